# SPDX-License-Identifier: MIT
"""Debian's llama.cpp in a folder made by setup.sh: run its programs, ask its server. Standard library only.

Nothing is mounted: files are linked (or copied, across file systems) into a folder inside the peer's root and removed again."""
import http.client
import json
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time

LETTER = 101  # "e" in the vocabulary of the synthetic models


class PeerError(Exception):
    pass


class Peer:
    """One peer root with one work folder in it. Use as a context manager; the folder goes at the end."""

    def __init__(self, root):
        self.root = os.path.abspath(root)
        if not os.path.exists(os.path.join(self.root, "usr/bin/llama-server")):
            raise PeerError(f"no llama.cpp in {self.root}: run tests/peer/setup.sh")
        if os.geteuid() != 0:
            raise PeerError("running the peer needs root (it lives in its own root folder)")

    def __enter__(self):
        self.work = tempfile.mkdtemp(prefix="drover-", dir=os.path.join(self.root, "tmp"))
        return self

    def __exit__(self, *exc):
        shutil.rmtree(self.work, ignore_errors=True)

    def inside(self, path):
        """A file of the work folder as the peer sees it."""
        return "/" + os.path.relpath(path, self.root)

    def give(self, path):
        """Put a file into the work folder; returns its path there."""
        dest = os.path.join(self.work, os.path.basename(path))
        if os.path.exists(dest):
            os.unlink(dest)
        try:
            os.link(path, dest)
        except OSError:
            shutil.copyfile(path, dest)
        return dest

    def command(self, name, *args):
        return ["chroot", self.root, name, *args]

    def run(self, name, *args):
        done = subprocess.run(self.command(name, *args), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace")
        if done.returncode != 0:
            raise PeerError(f"{name} {' '.join(args)} failed:\n{done.stdout[-2000:]}")
        return done.stdout

    def version(self):
        return self.run("llama-completion", "--version").strip().splitlines()[0]

    def dequantise(self, path):
        """The same weights as F32; path and the result are in the work folder."""
        out = path + ".f32"
        self.run("llama-quantize", "--allow-requantize", self.inside(path), self.inside(out), "F32", "1")
        return out

    def server(self, path, *args):
        return Server(self, path, args)


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Server:
    """llama-server on a file of the work folder, on a free loopback port, stopped by its process id."""

    def __init__(self, peer, path, args):
        self.port = free_port()
        self.log = tempfile.TemporaryFile()
        # One thread: the results are the same with more (checked), and on a busy machine its threads spin while they wait for each other.
        cmd = peer.command("llama-server", "-m", peer.inside(path), "--host", "127.0.0.1", "--port", str(self.port), "-np", "1", "-t", "1",
                           "--no-warmup", *args)
        self.proc = subprocess.Popen(cmd, stdin=subprocess.DEVNULL, stdout=self.log, stderr=subprocess.STDOUT)

    def __enter__(self):
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline and self.proc.poll() is None:
            try:
                if self.request("GET", "/health", None)[0] == 200:
                    return self
            except OSError:
                pass
            time.sleep(0.02)
        self.stop()
        self.log.seek(0)
        raise PeerError("llama-server did not start:\n" + self.log.read().decode(errors="replace")[-2000:])

    def __exit__(self, *exc):
        self.stop()

    def stop(self):
        if self.proc.poll() is None:
            self.proc.send_signal(signal.SIGTERM)
            try:
                self.proc.wait(10)
            except subprocess.TimeoutExpired:
                self.proc.kill()
        self.proc.wait()

    def request(self, method, path, body):
        c = http.client.HTTPConnection("127.0.0.1", self.port, timeout=300)
        try:
            c.request(method, path, json.dumps(body) if body is not None else None, {"Content-Type": "application/json"})
            r = c.getresponse()
            return r.status, r.read()
        finally:
            c.close()

    def post(self, path, body):
        status, data = self.request("POST", path, body)
        if status != 200:
            raise PeerError(f"llama-server {path}: {status} {data[:500]!r}")
        return json.loads(data)

    def logprobs(self, tokens, n_vocab):
        """Natural log-probabilities of the token after `tokens`, a list over the whole vocabulary."""
        # The bias changes what is sampled, not the probabilities: a letter. An end or half a character would be answered without any.
        r = self.post("/completion", {"prompt": tokens, "n_predict": 1, "temperature": 0, "n_probs": n_vocab, "cache_prompt": False,
                                      "logit_bias": [[LETTER, 1000]]})
        if r["tokens_evaluated"] != len(tokens):
            raise PeerError(f"llama-server saw {r['tokens_evaluated']} tokens of {len(tokens)}")
        out = [None] * n_vocab
        for t in r["completion_probabilities"][0]["top_logprobs"]:
            out[t["id"]] = t["logprob"]
        if None in out:
            raise PeerError("llama-server left tokens out of its answer")
        return out

    def chat(self, text, n_predict):
        r = self.post("/v1/chat/completions", {"messages": [{"role": "user", "content": text}], "temperature": 0, "max_tokens": n_predict,
                                               "cache_prompt": False})
        return r["choices"][0]["message"]["content"]
