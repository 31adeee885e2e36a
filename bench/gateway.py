#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""What the service adds to an engine: the same requests to `drover serve` and to the `drover engine` of the same model, in alternation.

added latency of a request     median over requests of 1 token, not streamed, on a connection that is kept
added time of a streamed token (time of a stream of N tokens through the service - the same from the engine) / N
health                         requests/s on /api/health, by wrk (64 connections)

usage: bench/gateway.py [--drover build/drover] [--model FILE] [--runs 5] [--requests 300] [--tokens 1000]"""
import argparse
import http.client
import json
import os
import pathlib
import re
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time

TOP = pathlib.Path(__file__).resolve().parent.parent


class Program:
    """One of the two, until stop()."""

    def __init__(self, args, pattern):
        self.log = tempfile.TemporaryFile("w+")
        self.child = subprocess.Popen(args, stdout=subprocess.DEVNULL, stderr=self.log)
        for _ in range(400):
            time.sleep(0.05)
            self.log.seek(0)
            m = re.search(pattern, self.log.read())
            if m:
                self.port = int(m[1])
                break
            if self.child.poll() is not None:
                break
        else:
            sys.exit("it does not start: " + " ".join(args))
        if not hasattr(self, "port"):
            self.log.seek(0)
            sys.exit(self.log.read())
        self.http = http.client.HTTPConnection("127.0.0.1", self.port)

    def post(self, path, body):
        self.http.request("POST", path, json.dumps(body), {"Content-Type": "application/json"})
        reply = self.http.getresponse()
        data = reply.read()
        if reply.status != 200:
            sys.exit(f"{path}: {reply.status} {data[:300]}")
        return data

    def latencies(self, n):
        """Seconds of n requests, one after the other."""
        out = []
        for _ in range(n):
            begin = time.perf_counter()
            self.post("/completion", {"prompt": "A llama is", "n_predict": 1, "temperature": 0})
            out.append(time.perf_counter() - begin)
        return out

    def stream(self, n):
        """Seconds of a stream of n tokens."""
        begin = time.perf_counter()
        data = self.post("/completion", {"prompt": "A llama is", "n_predict": n, "temperature": 0, "ignore_eos": True, "stream": True})
        took = time.perf_counter() - begin
        if data.count(b"data:") < n // 2:
            sys.exit("the stream is too short")
        return took

    def stop(self):
        self.http.close()
        self.child.send_signal(signal.SIGTERM)
        self.child.wait(30)


def health(port):
    """Requests per second of wrk."""
    wrk = shutil.which("wrk")
    if wrk is None:
        return None
    text = subprocess.run([wrk, "-t1", "-c64", "-d3", f"http://127.0.0.1:{port}/api/health"], capture_output=True, text=True, check=True).stdout
    return float(re.search(r"Requests/sec:\s+([\d.]+)", text)[1])


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--drover", default=str(TOP / "build/drover"))
    p.add_argument("--model", default=str(TOP / "models/pocket-dictionary.gguf"))
    p.add_argument("--runs", type=int, default=5)
    p.add_argument("--requests", type=int, default=300)
    p.add_argument("--tokens", type=int, default=1000)
    o = p.parse_args()
    folder = tempfile.mkdtemp(prefix="drover-bench-")
    env = ["--set", f"data_dir={folder}/data", "--set", f"run_dir={folder}/run", "--set", "listen.openai=127.0.0.1:0", "--set", "listen.app=off",
           "--set", "limits.requests=0", "--set", "log.level=warn"]
    direct = Program([o.drover, "engine", "-m", o.model, "--port", "0", "-c", "4096", "--log-level", "warn"], r"listening on http://127\.0\.0\.1:(\d+)")
    service = Program([o.drover, "serve", "-m", o.model, *env], r"http://127\.0\.0\.1:(\d+) \(")
    try:
        both = {"engine": direct, "service": service}
        for x in both.values():
            x.latencies(20)
            x.stream(50)
        lat = {k: [] for k in both}
        tok = {k: [] for k in both}
        rates = []
        for run in range(o.runs):
            for name, x in both.items():
                lat[name].append(statistics.median(x.latencies(o.requests)))
                tok[name].append(x.stream(o.tokens) / o.tokens)
            rates.append(health(service.port))
            print(f"run {run + 1}: request {lat['engine'][-1] * 1e3:.3f} / {lat['service'][-1] * 1e3:.3f} ms, "
                  f"token {tok['engine'][-1] * 1e6:.1f} / {tok['service'][-1] * 1e6:.1f} us, health {rates[-1] or 0:.0f}/s", flush=True)
    finally:
        direct.stop()
        service.stop()
        shutil.rmtree(folder, ignore_errors=True)
    added = [b - a for a, b in zip(lat["engine"], lat["service"])]
    token = [b - a for a, b in zip(tok["engine"], tok["service"])]
    print(f"added to a request: median {statistics.median(added) * 1e3:.3f} ms; to a streamed token: median {statistics.median(token) * 1e6:.1f} us")
    if rates[0] is not None:
        print(f"/api/health: median {statistics.median(rates):.0f} requests/s")


if __name__ == "__main__":
    os.environ.pop("DROVER_CONFIG", None)
    main()
