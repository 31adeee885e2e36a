#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""What the profiles are worth on a model: each runs in an instance of `drover serve`, chosen by X-Drover-Profile.

first token     of a prompt of about 700 tokens that nobody asked before
alone, four     tokens/s of one stream, of four streams in all
longest gap     between two tokens of a running stream while another client's prompt of about 700 tokens is computed
memory          anonymous, after that

usage: bench/profiles.py --model FILE [--drover build/drover] [--runs 3] [--profiles fast,balanced,quality,memory,batch]"""
import argparse
import http.client
import json
import pathlib
import random
import shutil
import statistics
import tempfile
import threading
import time

from gateway import TOP, Program

WORDS = "the of and to in is you that it he was for on are as with his they at be this have from or one had by word but not what all were we when".split()


def prompt(seed, n=350):
    r = random.Random(seed)
    return " ".join(r.choice(WORDS) for _ in range(n))


def stream(port, profile, body):
    """Times at which the pieces of a stream came, the request's first."""
    c = http.client.HTTPConnection("127.0.0.1", port)
    times = [time.perf_counter()]
    c.request("POST", "/completion", json.dumps({**body, "stream": True, "temperature": 0, "ignore_eos": True}), {"X-Drover-Profile": profile})
    reply = c.getresponse()
    if reply.status != 200:
        raise SystemExit(f"{profile}: {reply.read(400)}")
    while True:
        line = reply.readline()
        if not line:
            break
        if line.startswith(b"data:"):
            times.append(time.perf_counter())
    c.close()
    return times


def together(jobs):
    """Results of functions that run at the same time."""
    out = [None] * len(jobs)

    def run(i):
        out[i] = jobs[i]()

    threads = [threading.Thread(target=run, args=(i,)) for i in range(len(jobs))]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    return out


def rate(all_times, n):
    first, last = min(t[1] for t in all_times), max(t[-1] for t in all_times)
    return (n - 1) * len(all_times) / (last - first)


def measure(port, profile, seed, n=48):
    times = stream(port, profile, {"prompt": prompt(seed), "n_predict": 2})
    first = times[1] - times[0]
    alone = rate([stream(port, profile, {"prompt": prompt(seed + 1, 8), "n_predict": n})], n)
    four = rate(together([lambda i=i: stream(port, profile, {"prompt": prompt(seed + 2 + i, 8), "n_predict": n}) for i in range(4)]), n)

    def disturb():
        time.sleep(0.5)
        return stream(port, profile, {"prompt": prompt(seed + 7), "n_predict": 2})

    quiet, _ = together([lambda: stream(port, profile, {"prompt": prompt(seed + 8, 8), "n_predict": 120}), disturb])
    gap = max(b - a for a, b in zip(quiet[1:], quiet[2:]))
    return first, alone, four, gap


def memory(port, key, profile):
    c = http.client.HTTPConnection("127.0.0.1", port)
    c.request("GET", "/api/instances", headers={"Authorization": "Bearer " + key})
    for i in json.loads(c.getresponse().read())["instances"]:
        if i["profile"] == profile:
            return i["memory_anonymous"]
    return 0


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--drover", default=str(TOP / "build/drover"))
    p.add_argument("--model", required=True)
    p.add_argument("--runs", type=int, default=3)
    p.add_argument("--profiles", default="fast,balanced,quality,memory,batch")
    o = p.parse_args()
    folder = pathlib.Path(tempfile.mkdtemp(prefix="drover-bench-"))
    sets = {"data_dir": folder / "data", "run_dir": folder / "run", "listen.openai": "127.0.0.1:0", "listen.app": "off", "limits.requests": 0, "log.level": "warn",
            "residency.models": 1}
    args = [x for k, v in sets.items() for x in ("--set", f"{k}={v}")]
    service = Program([o.drover, "serve", "-m", o.model, *args], r"http://127\.0\.0\.1:(\d+) \(")
    key = (folder / "data" / "admin.key").read_text().strip()
    print("| profile | first token, ms | alone, tokens/s | four, tokens/s | longest gap, ms | memory, MiB |\n| --- | --- | --- | --- | --- | --- |", flush=True)
    try:
        for profile in o.profiles.split(","):
            stream(service.port, profile, {"prompt": "warm", "n_predict": 2})
            rows = [measure(service.port, profile, 1000 * (run + 1)) for run in range(o.runs)]
            first, alone, four, gap = (statistics.median(c) for c in zip(*rows))
            print(f"| {profile} | {first * 1e3:.0f} | {alone:.1f} | {four:.1f} | {gap * 1e3:.0f} | {memory(service.port, key, profile) / 2**20:.0f} |", flush=True)
    finally:
        service.stop()
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
