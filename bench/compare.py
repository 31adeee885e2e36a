# SPDX-License-Identifier: MIT
"""Speed and memory of drover and llama.cpp on the same files.

pp512 and tg128: `drover bench` and `llama-bench` in alternation, one repetition each at a time, so that both see the same machine;
medians and their ratio (above 1: drover is faster). Then the time from the start of a process to its first token, with the file in the
page cache and a prompt of one word, and the peak of anonymous memory over a prompt of a few hundred tokens."""
import argparse
import csv
import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time

TOP = os.path.abspath(os.path.join(os.path.dirname(__file__), ".."))
sys.path.insert(0, os.path.join(TOP, "tests/peer"))

from peer import Peer, PeerError  # noqa: E402

MODELS = ["llama-3.2-3b:Q4_K_M", "qwen3-0.6b:Q8_0", "tinyllama-1.1b:Q5_K_S"]
LONG_PROMPT = "The quick brown fox jumps over the lazy dog and runs through the quiet forest to the river. " * 20
CONTEXT = 2048


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


def drover_speed(args, path):
    rows = json_lines(output([args.drover, "bench", "-m", path, "-p", str(args.prompt), "-n", str(args.generate), "-t", str(args.threads),
                              "-r", "1", "-o", "json"]))
    return {r["test"][:2]: r["tokens_per_second"]["median"] for r in rows}


def peer_speed(args, peer, inside):
    rows = json_lines(output(peer.command("llama-bench", "-m", inside, "-p", str(args.prompt), "-n", str(args.generate), "-t",
                                          str(args.threads), "-r", "1", "-o", "jsonl")))
    return {"pp" if r["n_prompt"] else "tg": r["avg_ts"] for r in rows}


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
        proc.stdout.read(1)
        first = time.monotonic() - start
        proc.stdout.read()
        code = proc.wait()
        stop.set()
        watcher.join()
        if code != 0:
            log.seek(0)
            raise PeerError(f"{' '.join(cmd)} failed:\n{log.read()[-1000:].decode(errors='replace')}")
    return first, peak[0]


def drover_run(args, path, prompt, n):
    return [args.drover, "run", "-m", path, "--raw", "-p", prompt, "-n", str(n), "--temp", "0", "--ctx", str(CONTEXT), "--threads", str(args.threads)]


def peer_run(args, peer, inside, prompt, n):
    return peer.command("llama-completion", "-m", inside, "-no-cnv", "--no-display-prompt", "--no-warmup", "-p", prompt, "-n", str(n),
                        "--temp", "0", "-c", str(CONTEXT), "-t", str(args.threads))


def measure(args, peer, model):
    path = model_file(args, model)
    inside = peer.inside(peer.give(path))
    rows = []
    ours, theirs = {"pp": [], "tg": []}, {"pp": [], "tg": []}
    for i in range(args.runs):
        print(f"{model}: run {i + 1} of {args.runs}", file=sys.stderr, flush=True)
        for results, speed in ((ours, drover_speed(args, path)), (theirs, peer_speed(args, peer, inside))):
            for test in results:
                results[test].append(speed[test])
    for test, n in (("pp", args.prompt), ("tg", args.generate)):
        rows.append((model, f"{test}{n}", "tokens/s", statistics.median(ours[test]), statistics.median(theirs[test])))
    first = [(one_run(drover_run(args, path, "Hello", 4))[0], one_run(peer_run(args, peer, inside, "Hello", 4))[0]) for _ in range(args.runs)]
    rows.append((model, "first token", "ms", *(1000 * statistics.median(x) for x in zip(*first))))
    memory = (one_run(drover_run(args, path, LONG_PROMPT, 16))[1], one_run(peer_run(args, peer, inside, LONG_PROMPT, 16))[1])
    rows.append((model, "peak anonymous memory", "MiB", *(m / 2**20 for m in memory)))
    os.unlink(os.path.join(peer.work, os.path.basename(path)))
    return rows


def ratio(row):
    """How many times better drover is."""
    model, test, unit, ours, theirs = row
    return ours / theirs if unit == "tokens/s" else theirs / ours


def table_line(row):
    model, test, unit, ours, theirs = row
    return f"| {model.replace(':', ' ')} | {test} | {unit} | {ours:.2f} | {theirs:.2f} | {ratio(row):.2f}x |"


def print_table(rows):
    print("| model | test | unit | drover | llama.cpp | drover is better by |")
    print("| --- | --- | --- | ---: | ---: | ---: |")
    for row in rows:
        print(table_line(row))


def write_csv(args, rows, version):
    path = os.path.join(TOP, "bench/results", args.csv + ".csv")
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w", newline="", encoding="utf-8") as f:
        out = csv.writer(f)
        out.writerow(["model", "test", "unit", "drover", "llama.cpp", "ratio", "threads", "runs", "peer"])
        for row in rows:
            out.writerow([*row[:3], f"{row[3]:.4g}", f"{row[4]:.4g}", f"{ratio(row):.4g}", args.threads, args.runs, version])
    print(f"wrote {path}", file=sys.stderr)


def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("--build", default=os.path.join(TOP, "build"))
    ap.add_argument("--drover", help="the program to measure (default: drover in the build folder)")
    ap.add_argument("--peer", default=os.environ.get("DV_PEER", os.path.join(TOP, "build-peer/llama")), help="folder made by tests/peer/setup.sh")
    ap.add_argument("--models", default=os.environ.get("DV_BENCH_MODELS", os.path.join(TOP, "build-bench")),
                    help="folder with SHAPE-QUANT.gguf; what is missing is written there")
    ap.add_argument("--only", default=",".join(MODELS), help="comma-separated SHAPE:QUANT")
    ap.add_argument("--threads", type=int, default=2)
    ap.add_argument("--runs", type=int, default=5)
    ap.add_argument("--prompt", type=int, default=512)
    ap.add_argument("--generate", type=int, default=128)
    ap.add_argument("--csv", metavar="NAME", help="also write bench/results/NAME.csv")
    args = ap.parse_args()
    args.drover = args.drover or os.path.join(args.build, "drover")
    try:
        with Peer(args.peer) as peer:
            version = "llama.cpp " + peer.version()
            print(f"{version}; {args.threads} threads; medians of {args.runs} runs in alternation\n")
            rows = [row for model in args.only.split(",") for row in measure(args, peer, model)]
    except (PeerError, OSError, subprocess.CalledProcessError) as e:
        print(f"compare.py: {e}", file=sys.stderr)
        return 1
    print_table(rows)
    if args.csv:
        write_csv(args, rows, version)
    return 0


if __name__ == "__main__":
    sys.exit(main())
