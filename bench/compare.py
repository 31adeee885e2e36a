# SPDX-License-Identifier: MIT
"""Speed and memory of drover and llama.cpp on the same files, and of both against what the machine can do.

speed    prefill and decode in one sequence: `drover bench` and `llama-bench`
batch    decode in several sequences that share each step: `drover bench --parallel` and `llama-batched-bench`
first    time from the start of a process to its first token, with the file in the page cache and a prompt of one word
memory   peak of anonymous memory over a prompt of a few hundred tokens

The programs run in alternation, one repetition each at a time, so that both see the same machine; the table has medians and their ratio (above
1: drover is better). Before each round bench/roofline measures what the machine reads and multiplies in these minutes: the share is a
program's speed in relation to what the weights' bytes and multiplications allow at that rate (bench/roof.py).

What was measured until something failed, or until SIGINT or SIGTERM, becomes the table, the file and the chart all the same."""
import argparse
import datetime
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from typing import NamedTuple

import chart
import report
import roof
from report import TOP

sys.path.insert(0, os.path.join(TOP, "tests/peer"))

from peer import Peer, PeerError  # noqa: E402

MODELS = ["qwen3-0.6b:Q8_0", "tinyllama-1.1b:Q5_K_S", "llama-3.2-3b:Q4_K_M", "phi-4-14b:Q4_K_M"]
TESTS = ["speed", "batch", "first", "memory"]
SELF_TEST = {"only": "tiny-llama:Q8_0", "runs": 1, "prompt": [4, 9], "generate": 4, "depth": [0, 8], "batch": [3, 5, 4], "roof_mib": 16, "tests": TESTS}
LONG_PROMPT = "The quick brown fox jumps over the lazy dog and runs through the quiet forest to the river. " * 20
CONTEXT = 2048
LOST_MAX = 10
OTHERS_SHOWN = 0.05  # of the processors, from which on a caption tells
PEER_LEVELS = {"avx2": "haswell"}  # llama.cpp's library for a level of drover's


class Test(NamedTuple):
    kind: str  # "pp" or "tg"
    n: int
    depth: int = 0
    sequences: int = 1

    def name(self):
        name = f"{self.kind}{self.n}" + (f"x{self.sequences}" if self.sequences > 1 else "")
        return name + (f" @ d{self.depth}" if self.depth else "")


def model_file(args, model):
    shape, quant = model.split(":")
    path = os.path.join(args.models, f"{shape}-{quant}.gguf")
    if not os.path.exists(path):
        os.makedirs(args.models, exist_ok=True)
        print(f"writing {path}", file=sys.stderr)
        subprocess.run([os.path.join(args.build, "tools/synth-gguf"), shape, quant, path + ".part"], check=True)
        os.rename(path + ".part", path)
    return path


def output(cmd):
    done = subprocess.run(cmd, stdout=subprocess.PIPE, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True, errors="replace")
    if done.returncode != 0:
        raise PeerError(f"{' '.join(cmd)} failed:\n{done.stderr[-1000:]}")
    return done.stdout


def json_lines(text):
    return [json.loads(line) for line in text.splitlines() if line.startswith("{")]


# Rates by test from what the programs print.

def drover_rates(text):
    return {Test(r["test"][:2], int(r["test"][2:].split("x")[0]), r["depth"], r["sequences"]): r["tokens_per_second"]["median"] for r in json_lines(text)}


def bench_rates(text):
    return {Test("pp" if r["n_prompt"] else "tg", r["n_prompt"] or r["n_gen"], r["n_depth"]): r["avg_ts"] for r in json_lines(text)}


def batched_rates(text):
    return {Test("tg", r["tg"], r["pp"], r["pl"]): r["speed_tg"] for r in json_lines(text)}


class Pair:
    """Both programs on one model."""

    def __init__(self, args, peer, model, note):
        self.args, self.peer, self.model, self.note = args, peer, model, note
        self.path = model_file(args, model)
        self.inside = peer.inside(peer.give(self.path))
        self.weights = roof.weights(json.loads(output([args.drover, "inspect", "--json", self.path])))

    def close(self):
        os.unlink(os.path.join(self.peer.work, os.path.basename(self.path)))

    def bench(self, *options):
        """drover bench"""
        return drover_rates(output([self.args.drover, "bench", "-m", self.path, "-t", str(self.args.threads), "-r", "1", "-o", "json", "--cpu-mask",
                                    self.args.level, *map(str, options)]))

    def speed(self, which):
        """Rates of the tests in one sequence."""
        rates = {}
        for depth in self.args.depth:
            if which == 1:
                prompts = ",".join(map(str, self.args.prompt))
                rates.update(bench_rates(output(self.peer.command("llama-bench", "-m", self.inside, "-p", prompts, "-n", str(self.args.generate), "-d",
                                                                  str(depth), "-t", str(self.args.threads), "-r", "1", "-o", "jsonl"))))
                continue
            for i, prompt in enumerate(self.args.prompt):
                rates.update(self.bench("-p", prompt, "-n", 0 if i else self.args.generate, "-d", depth))
        return rates

    def batch(self, which):
        depth, n, sequences = self.args.batch
        if which == 0:
            return self.bench("-p", 0, "-n", n, "-d", depth, "--parallel", sequences)
        threads = str(self.args.threads)
        context = -(-(depth + n) // 256) * 256 * sequences
        command = self.peer.command("llama-batched-bench", "-m", self.inside, "-c", str(context), "-npp", str(depth), "-ntg", str(n), "-npl", str(sequences),
                                    "-t", threads, "-tb", threads, "--output-format", "jsonl")
        for _ in range(LOST_MAX):  # it prints from a thread that its exit does not always wait for
            rates = batched_rates(output(command))
            if rates:
                return rates
        raise PeerError(f"{' '.join(command)} says nothing")

    def rates(self, which):
        rates = self.speed(which) if "speed" in self.args.tests else {}
        if "batch" in self.args.tests:
            rates.update(self.batch(which))
        return rates

    def round(self, order):
        """One repetition of everything that is a rate, and the first token."""
        found = machine(self.args)
        speeds = {}
        for which in order:
            speeds[which] = self.rates(which)
        for test in speeds[0]:
            if test not in speeds[1]:
                raise PeerError(f"llama.cpp measured {', '.join(t.name() for t in speeds[1])}, not {test.name()}")
            best, limit = roof.limit(test, self.weights, found)
            self.note(self.model, test.name(), "tokens/s", [speeds[which][test] for which in (0, 1)], best, limit)
        if "first" in self.args.tests:
            first = {which: 1000 * one_run(self.answer(which, "Hello", 4))[0] for which in order}
            self.note(self.model, "first token", "ms", [first[0], first[1]])

    def memory(self):
        self.note(self.model, "peak anonymous memory", "MiB", [one_run(self.answer(which, LONG_PROMPT, 16))[1] / 2**20 for which in (0, 1)])

    def answer(self, which, prompt, n):
        common = ["-p", prompt, "-n", str(n), "--temp", "0"]
        if which == 0:
            return [self.args.drover, "run", "-m", self.path, "--raw", "--ctx", str(CONTEXT), "--threads", str(self.args.threads), "--cpu-mask",
                    self.args.level, *common]
        return self.peer.command("llama-completion", "-m", self.inside, "-no-cnv", "--no-display-prompt", "--no-warmup", "-c", str(CONTEXT), "-t",
                                 str(self.args.threads), *common)

    def measure(self):
        for i in range(self.args.runs):
            print(f"{self.model}: run {i + 1} of {self.args.runs}", file=sys.stderr, flush=True)
            self.round((i % 2, 1 - i % 2))
        if "memory" in self.args.tests:
            self.memory()


def machine(args):
    level = [] if args.level == "best" else [args.level]
    measured = json.loads(output([os.path.join(args.build, "bench/roofline"), str(args.threads), str(args.roof_mib), "9", *level]))
    found = roof.machine(measured, args.threads)
    print(f"  the machine: {found.bytes / 1e9:.1f} GB/s, {found.int8 / 1e9:.0f} G multiply-adds/s of bytes, {found.f32 / 1e9:.0f} G of floats",
          file=sys.stderr, flush=True)
    return found


def peak_anon(pid, stop, out):
    """Largest RssAnon of a process, sampled every 2 ms."""
    while not stop.is_set():
        try:
            with open(f"/proc/{pid}/status", encoding="ascii", errors="replace") as f:
                for line in f:
                    if line.startswith("RssAnon:"):
                        out[0] = max(out[0], int(line.split()[1]) * 1024)
        except OSError:
            return
        time.sleep(0.002)


def one_run(cmd):
    """(seconds to the first byte of output, peak anonymous bytes) of a process."""
    with tempfile.TemporaryFile() as log:
        start = time.monotonic()
        proc = subprocess.Popen(cmd, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=log)
        stop, peak = threading.Event(), [0]
        watcher = threading.Thread(target=peak_anon, args=(proc.pid, stop, peak))
        watcher.start()
        try:
            proc.stdout.read(1)
            first = time.monotonic() - start
            proc.stdout.read()
            code = proc.wait()
        except BaseException:
            proc.kill()
            proc.wait()
            raise
        finally:
            stop.set()
            watcher.join()
        if code != 0:
            log.seek(0)
            raise PeerError(f"{' '.join(cmd)} failed:\n{log.read()[-1000:].decode(errors='replace')}")
    return first, peak[0]


class Notes:
    """What was measured, by model, test and unit."""

    def __init__(self):
        self.runs = {}

    def note(self, model, test, unit, pair, best=0, limit=""):
        """pair: drover's value and the peer's; best: what the machine would allow, 0 if that is not known"""
        ours, theirs, shares = self.runs.setdefault((model, test, unit), ([], [], ([], [], limit)))
        ours.append(pair[0])
        theirs.append(pair[1])
        if best:
            shares[0].append(pair[0] / best)
            shares[1].append(pair[1] / best)

    def rows(self):
        return [report.median_row(key, ours, theirs, shares if shares[0] else None) for key, (ours, theirs, shares) in self.runs.items()]


def gains(rows):
    """How much less a token costs in a batch, a line for each model."""
    alone = {(r.model): r for r in rows if r.test.startswith("tg") and "x" not in r.test and "@" not in r.test}
    for r in rows:
        if r.test.startswith("tg") and "x" in r.test and r.model in alone:
            one = alone[r.model]
            yield (f"{r.model.replace(':', ' ')}: a token of {r.test.split('x')[1].split()[0]} sequences costs 1/{r.ours / one.ours:.1f} of one alone, "
                   f"llama.cpp 1/{r.theirs / one.theirs:.1f}")


def peer_of_level(root, level):
    """llama.cpp's folder, or for a level that is not the best, a copy (of links) that has only the library for it."""
    if level == "best":
        return root
    name = PEER_LEVELS[level]
    copy = f"{os.path.abspath(root)}-{name}"
    if not os.path.exists(copy):
        part = copy + ".part"
        shutil.rmtree(part, ignore_errors=True)
        subprocess.run(["cp", "-al", root, part], check=True)
        folder = os.path.join(part, "usr/lib/x86_64-linux-gnu/ggml/backends0")
        for lib in os.listdir(folder):
            if lib.startswith("libggml-cpu-") and lib != f"libggml-cpu-{name}.so":
                os.unlink(os.path.join(folder, lib))
        for left in os.listdir(os.path.join(part, "tmp")):
            shutil.rmtree(os.path.join(part, "tmp", left), ignore_errors=True)
        os.rename(part, copy)
    return copy


def on_signal(number, _):
    """What is running ends with this process group, or is stopped by its context managers."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    raise SystemExit(128 + number)


def processor_seconds():
    """(of everything on this machine, of what this script has run to its end)"""
    with open("/proc/stat", encoding="ascii") as f:
        ticks = [int(v) for v in f.readline().split()[1:9]]
    idle = ticks[3] + ticks[4]
    ours = os.times()
    return (sum(ticks) - idle) / os.sysconf("SC_CLK_TCK"), sum(ours[:4])


class Others:
    """How much of the processors other programs take from the time it is made."""

    def __init__(self):
        self.start, self.before = time.monotonic(), processor_seconds()

    def share(self):
        everything, ours = (now - before for now, before in zip(processor_seconds(), self.before))
        return max(0, everything - ours) / max(time.monotonic() - self.start, 0.01) / os.cpu_count()


def about(args, version, others):
    info = json.loads(output([args.drover, "info", "--json", "--cpu-mask", args.level]))
    return {"threads": str(args.threads), "runs": str(args.runs), "level": info["cpu_level"], "cpu": info["cpu"], "cores": str(info["cores"]),
            "date": datetime.date.today().isoformat(), "peer": version,
            "others": f"{others:.2f}", "note": args.note}


def caption(facts):
    lines = [f"{facts['cpu']}, {facts['cores']} cores, {facts['threads']} threads, {facts['level']}; {facts['date']}; medians of {facts['runs']} runs in alternation.",
            f"Random weights in the shape of each model, the same files for both. {facts['peer']}."]
    if float(facts.get("others") or 0) >= OTHERS_SHOWN:
        lines.append(f"Other programs used {100 * float(facts['others']):.0f} % of the processors meanwhile: these figures say little.")
    return lines + ([facts["note"]] if facts.get("note") else [])


def draw(path, rows, facts):
    os.makedirs(os.path.dirname(os.path.abspath(path)), exist_ok=True)
    with open(path, "w", encoding="utf-8") as f:
        f.write(chart.svg(rows, "drover and llama.cpp on the same files", caption(facts)))
    print(f"wrote {path}", file=sys.stderr)


def publish(args, rows, facts):
    """The table to standard output, the files."""
    print("\n".join(caption(facts)) + "\n\n" + report.table(rows))
    for line in gains(rows):
        print(line)
    if not args.self_test and not args.redraw:
        path = report.result_path(args.csv + ".csv")
        report.write_csv(path, rows, facts)
        print(f"wrote {path}", file=sys.stderr)
    draw(args.chart or report.result_path(args.csv + ".svg"), rows, facts)


def numbers(text):
    values = [int(n) for n in text.split(",")]
    if min(values) < 0:
        raise ValueError
    return values


def words_of(known):
    def parse(text):
        words = text.split(",")
        for word in words:
            if word not in known:
                raise argparse.ArgumentTypeError(f"'{word}' is none of {', '.join(known)}")
        return words
    return parse


def batch_of(text):
    values = numbers(text)
    if len(values) != 3 or values[1] < 1 or values[2] < 2:
        raise argparse.ArgumentTypeError("wants DEPTH,TOKENS,SEQUENCES, as 64,32,8")
    return values


def models_of(args):
    models = args.only.split(",")
    return [f"{m.split(':')[0]}:{q}" for m in models for q in args.quants.split(",")] if args.quants else models


def options():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("--build", default=os.path.join(TOP, "build"))
    ap.add_argument("--drover", help="the program to measure (default: drover in the build folder)")
    ap.add_argument("--peer", default=os.environ.get("DV_PEER", os.path.join(TOP, "build-peer/llama")), help="folder made by tests/peer/setup.sh")
    ap.add_argument("--models", default=os.environ.get("DV_BENCH_MODELS", os.path.join(TOP, "build-bench")),
                    help="folder with SHAPE-QUANT.gguf; what is missing is written there")
    ap.add_argument("--only", default=",".join(MODELS), help="comma-separated SHAPE:QUANT (default: %(default)s)")
    ap.add_argument("--quants", help="comma-separated quantisations, in place of those in --only: Q4_0,Q6_K,IQ4_XS,F16,BF16")
    ap.add_argument("--tests", type=words_of(TESTS), default=TESTS, help=f"comma-separated parts of {','.join(TESTS)}")
    ap.add_argument("--threads", type=int, default=2)
    ap.add_argument("--runs", type=int, default=5)
    ap.add_argument("--prompt", type=numbers, default=[512], help="comma-separated lengths of prompts (512)")
    ap.add_argument("--generate", type=int, default=128, help="tokens to decode (128)")
    ap.add_argument("--depth", type=numbers, default=[0], help="comma-separated tokens before these (0)")
    ap.add_argument("--batch", type=batch_of, default=[64, 32, 8], metavar="DEPTH,TOKENS,SEQUENCES", help="of the batch test (64,32,8)")
    ap.add_argument("--level", choices=["best", *PEER_LEVELS], default="best", help="highest instruction set that both may use")
    ap.add_argument("--roof-mib", type=int, default=1024, help="buffer of bench/roofline; more than all caches together")
    ap.add_argument("--csv", metavar="NAME", default="compare", help="write bench/results/NAME.csv and NAME.svg (compare)")
    ap.add_argument("--chart", metavar="FILE", help="write the chart there")
    ap.add_argument("--note", default="", help="a line for the caption")
    ap.add_argument("--redraw", metavar="CSV", help="measure nothing: table and chart of such a file")
    ap.add_argument("--self-test", action="store_true", help="everything once with a tiny model: the numbers mean nothing")
    args = ap.parse_args()
    args.drover = args.drover or os.path.join(args.build, "drover")
    return args


def measure(args, notes):
    """(exit status, version of the peer)"""
    version = "llama.cpp"
    try:
        with Peer(peer_of_level(args.peer, args.level)) as peer:
            version = "llama.cpp " + peer.version().removeprefix("version: ")
            for model in models_of(args):
                pair = Pair(args, peer, model, notes.note)
                pair.measure()
                pair.close()
            return 0, version
    except (PeerError, OSError, subprocess.CalledProcessError) as e:
        print(f"compare.py: {e}", file=sys.stderr)
        return 1, version
    except SystemExit as e:
        print("compare.py: stopped", file=sys.stderr)
        return e.code, version


def main():
    args = options()
    if args.redraw:
        rows, facts = report.read_csv(args.redraw)
        publish(args, rows, facts | ({"note": args.note} if args.note else {}))
        return 0
    signal.signal(signal.SIGINT, on_signal)
    signal.signal(signal.SIGTERM, on_signal)
    with tempfile.TemporaryDirectory(prefix="drover-bench-") as folder:
        if args.self_test:
            vars(args).update(SELF_TEST, models=folder, chart=os.path.join(folder, "chart.svg"))
        notes, others = Notes(), Others()
        code, version = measure(args, notes)
        if notes.runs:
            publish(args, notes.rows(), about(args, version, others.share()))
    return code


if __name__ == "__main__":
    sys.exit(main())
