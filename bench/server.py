# SPDX-License-Identifier: MIT
"""drover engine and llama-server on the same files, over HTTP.

Everything is measured in alternation, so that both servers see the same machine: medians and their ratio (above 1: drover is better).

decode     N clients at once, each with a prompt of its own that the server has computed already, stream a greedy answer; tokens of all of
           them per second, from the first request to the end of the last answer
requests   the same with prompts that are new: prefill included
first      time of a request for one token after a long prompt: a new one, and one whose beginning another request had
start      from the start of the process to the first 200 of /health, with the file in the page cache
memory     anonymous memory once started, and at most while the whole context is filled

llama-server gets as many slots as there are clients and a context that holds them all, and starts with its usual warm-up. drover does not speculate
unless --speculate is given: models with random weights repeat themselves, which would flatter it.

Each row is printed to standard error as it stands after every measurement. What was measured until something failed, or until SIGINT or SIGTERM,
becomes the table and the file all the same; the exit status tells."""
import argparse
import http.client
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time

import compare  # first: it makes tests/peer known
import report
from peer import Peer, PeerError, free_port

MODELS = ["llama-3.2-3b:Q4_K_M", "qwen3-0.6b:Q8_0"]
TESTS = ["decode", "requests", "first", "start", "memory"]
SELF_TEST = {"only": "tiny-llama:Q8_0", "clients": "1,3", "runs": 1, "prompt": 20, "generate": 8, "prefix": 200, "context": 1024}
PLAIN_TOKENS = 4000  # ids below this are plain text in every vocabulary here
START_SECONDS, ANSWER_SECONDS = 300, 3600


class Engine:
    """One of the servers on a free port, as a process that is stopped by its id. Use as a context manager."""

    def __init__(self, command):
        self.command, self.log, self.proc = command, tempfile.TemporaryFile(), None

    def __enter__(self):
        self.port = free_port()
        start = time.monotonic()
        self.proc = subprocess.Popen(self.command + ["--port", str(self.port)], stdin=subprocess.DEVNULL, stdout=self.log, stderr=subprocess.STDOUT)
        while time.monotonic() - start < START_SECONDS and self.proc.poll() is None:
            try:
                if self.ask("GET", "/health", None).status == 200:
                    self.start_seconds = time.monotonic() - start
                    return self
            except OSError:
                pass
            time.sleep(0.002)
        self.stop()
        raise PeerError(f"{' '.join(self.command)} did not start:\n{self.said()}")

    def __exit__(self, kind, *exc):
        if kind is not None:
            self.proc.kill()  # nobody waits for its answers
        self.stop()

    def said(self):
        self.log.seek(0)
        return self.log.read()[-2000:].decode(errors="replace")

    def stop(self):
        try:
            if self.proc.poll() is None:
                self.proc.send_signal(signal.SIGTERM)
                self.proc.wait(60)
        except subprocess.TimeoutExpired:
            pass
        finally:  # also when this is interrupted
            if self.proc.poll() is None:
                self.proc.kill()
                self.proc.wait()
        self.log.seek(0, os.SEEK_END)

    def ask(self, method, path, body):
        c = http.client.HTTPConnection("127.0.0.1", self.port, timeout=ANSWER_SECONDS)
        c.request(method, path, json.dumps(body) if body is not None else None, {"Content-Type": "application/json"})
        return c.getresponse()

    def complete(self, prompt, n, stream=True):
        """Tokens of an answer of n tokens, and how many of the prompt's came from a cache, where the server tells."""
        body = {"prompt": prompt, "max_tokens": n, "temperature": 0, "ignore_eos": True, "stream": stream}
        if stream:
            body["stream_options"] = {"include_usage": True}
        reply = self.ask("POST", "/v1/completions", body)
        data = reply.read()
        if reply.status != 200:
            raise PeerError(f"{self.command[0]}: {reply.status} {data[:500]!r}")
        usage = None
        for event in data.split(b"\n\n") if stream else [b"data: " + data]:
            if event.startswith(b"data: {"):
                usage = json.loads(event[6:]).get("usage") or usage
        if usage is None or usage["completion_tokens"] != n:
            raise PeerError(f"{self.command[0]}: an answer of {n} tokens was asked for, not {usage}")
        return (usage.get("prompt_tokens_details") or {}).get("cached_tokens")

    def memory(self):
        pid = self.proc.pid
        with open(f"/proc/{pid}/status", encoding="ascii", errors="replace") as f:
            return next(int(line.split()[1]) * 1024 for line in f if line.startswith("RssAnon:"))


def tokens(seed, n):
    r = random.Random(repr(seed))
    return [r.randrange(1000, PLAIN_TOKENS) for _ in range(n)]


def together(engine, prompts, n):
    """Seconds until all of the answers are there."""
    failures, gate = [], threading.Barrier(len(prompts) + 1)

    def client(prompt):
        gate.wait()
        try:
            engine.complete(prompt, n)
        except (PeerError, OSError, ValueError) as e:
            failures.append(e)

    threads = [threading.Thread(target=client, args=(p,)) for p in prompts]
    for t in threads:
        t.start()
    gate.wait()
    start = time.monotonic()
    for t in threads:
        t.join()
    if failures:
        raise PeerError(str(failures[0]))
    return time.monotonic() - start


class Pair:
    """Both servers for one model; what is measured is appended to rows of two lists."""

    def __init__(self, args, peer, model, rows):
        self.args, self.peer, self.model = args, peer, model
        self.path = compare.model_file(args, model)
        self.inside = peer.inside(peer.give(self.path))
        self.rows = rows

    def note(self, test, unit, which, value):
        key = (self.model, test, unit)
        pair = self.rows.setdefault(key, ([], []))
        pair[which].append(value)
        if all(pair):
            print(f"{report.table_line(report.median_row(key, *pair))} so far, of {min(map(len, pair))}", file=sys.stderr, flush=True)

    def engine(self, which, slots, context):
        common = ["--host", "127.0.0.1", "-t", str(self.args.threads), "--parallel", str(slots), "-c", str(context)]
        if which == 1:
            return Engine(self.peer.command("llama-server", "-m", self.inside, *common))
        speculate = [] if self.args.speculate else ["--no-speculate"]
        return Engine([self.args.drover, "engine", "-m", self.path, "--log-level", "warn", *common, *speculate])

    def throughput(self, which, run, n):
        # A slot holds a prompt, its answer, and what servers round up to.
        slot = -(-(self.args.prompt + self.args.generate + 32) // 256) * 256
        prompts = [tokens((run, n, i), self.args.prompt) for i in range(n)]
        total = n * self.args.generate
        with self.engine(which, n, n * slot) as e:
            for test in ("requests", "decode") if "decode" in self.args.tests else ("requests",):  # the first computes the prompts of the second
                speed = total / together(e, prompts, self.args.generate)
                if test in self.args.tests:
                    self.note(f"{test}, {n:2} clients", "tokens/s", which, speed)

    def start(self, which):
        with self.engine(which, 4, self.args.context) as e:
            self.note("start", "ms", which, 1000 * e.start_seconds)

    def first_token(self, which, run):
        prefix = tokens((run, "prefix"), self.args.prefix)
        with self.engine(which, 4, self.args.context) as e:
            e.complete(tokens((run, "warm"), 16), 4)
            for name, tail in (("cold", 0), ("shared prefix", 1)):
                start = time.monotonic()
                cached = e.complete(prefix + tokens((run, tail), 16), 1, stream=False)
                self.note(f"first token, {name}", "ms", which, 1000 * (time.monotonic() - start))
                if tail == 1 and cached is not None and cached < self.args.prefix * 9 // 10:
                    raise PeerError(f"only {cached} tokens of a prefix of {self.args.prefix} came from the cache")

    def memory(self, which):
        peak, done = [0], threading.Event()
        with self.engine(which, 1, self.args.context) as e:
            self.note("memory, started", "MiB", which, e.memory() / 2**20)

            def watch():
                while not done.is_set():
                    peak[0] = max(peak[0], e.memory())
                    time.sleep(0.02)

            watcher = threading.Thread(target=watch)
            watcher.start()
            try:
                e.complete(tokens("memory", self.args.context - 64), 32)
            finally:
                done.set()
                watcher.join()
            self.note(f"memory, {self.args.context} tokens", "MiB", which, peak[0] / 2**20)

    def measure(self):
        tests = self.args.tests
        for run in range(self.args.runs):
            order = (run % 2, 1 - run % 2)
            for n in self.args.counts if "decode" in tests or "requests" in tests else []:
                for which in order:
                    self.throughput(which, run, n)
            for which in order:
                if "start" in tests:
                    self.start(which)
                if "first" in tests:
                    self.first_token(which, run)
        for which in (0, 1) if "memory" in tests else ():
            self.memory(which)
        os.unlink(os.path.join(self.peer.work, os.path.basename(self.path)))


def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("--build", default=os.path.join(compare.TOP, "build"))
    ap.add_argument("--drover", help="the program to measure (default: drover in the build folder)")
    ap.add_argument("--peer", default=os.environ.get("DV_PEER", os.path.join(compare.TOP, "build-peer/llama")), help="folder made by tests/peer/setup.sh")
    ap.add_argument("--models", default=os.environ.get("DV_BENCH_MODELS", os.path.join(compare.TOP, "build-bench")),
                    help="folder with SHAPE-QUANT.gguf; what is missing is written there")
    ap.add_argument("--only", default=",".join(MODELS), help="comma-separated SHAPE:QUANT")
    ap.add_argument("--tests", type=compare.words_of(TESTS), default=TESTS, help=f"comma-separated parts of {','.join(TESTS)}")
    ap.add_argument("--clients", default="1,4,8,16", help="comma-separated numbers of clients")
    ap.add_argument("--threads", type=int, default=2)
    ap.add_argument("--runs", type=int, default=5)
    ap.add_argument("--prompt", type=int, default=100, help="tokens of a client's prompt")
    ap.add_argument("--generate", type=int, default=64, help="tokens of its answer")
    ap.add_argument("--prefix", type=int, default=1000, help="tokens before the first one that is timed")
    ap.add_argument("--context", type=int, default=8192, help="of first token and memory")
    ap.add_argument("--speculate", action="store_true", help="with drover's speculation")
    ap.add_argument("--csv", metavar="NAME", help="also write bench/results/NAME.csv")
    ap.add_argument("--self-test", action="store_true", help="everything once with a tiny model: the numbers mean nothing")
    args = ap.parse_args()
    args.drover = args.drover or os.path.join(args.build, "drover")
    folder = None
    if args.self_test:
        folder = tempfile.TemporaryDirectory(prefix="drover-bench-")
        vars(args).update(SELF_TEST, models=folder.name)
    args.counts = [int(n) for n in args.clients.split(",")]
    rows, version, code = {}, "", 1
    signal.signal(signal.SIGINT, compare.on_signal)
    signal.signal(signal.SIGTERM, compare.on_signal)
    try:
        with Peer(args.peer) as peer:
            version = "llama.cpp " + peer.version()
            print(f"{version}; {args.threads} threads; medians of {args.runs} runs in alternation\n", flush=True)
            for model in args.only.split(","):
                Pair(args, peer, model, rows).measure()
            code = 0
    except (PeerError, OSError, subprocess.CalledProcessError) as e:
        print(f"server.py: {e}", file=sys.stderr)
    except SystemExit as e:
        print("server.py: stopped", file=sys.stderr)
        code = e.code
    done = [report.median_row(key, *pair) for key, pair in rows.items() if all(pair)]
    if done:
        print(report.table(done))
    if args.csv and done:
        path = report.result_path(args.csv + ".csv")
        report.write_csv(path, done, {"threads": args.threads, "runs": args.runs, "peer": version})
        print(f"wrote {path}", file=sys.stderr)
    if folder:
        folder.cleanup()
    return code


if __name__ == "__main__":
    sys.exit(main())
