# SPDX-License-Identifier: MIT
"""drover against llama.cpp. Two checks:

1. Random models of every architecture: drover's distance to the exact prediction is no larger than llama.cpp's own on the same file.
   Exact is llama.cpp on the same weights dequantised to F32, with an f32 KV cache; distance is the root mean square of the differences
   of all log-probabilities. Both programs run with their defaults.
2. The pocket dictionary's greedy answers to the questions in questions.txt are the same.

Prints a table and `N passed, N failed`; exit code 1 if something failed."""
import argparse
import json
import os
import subprocess
import sys

import cases
from peer import Peer, PeerError

TOP = os.path.abspath(os.path.join(os.path.dirname(__file__), "../.."))


class Counter:
    def __init__(self):
        self.passed = self.failed = 0

    def add(self, ok):
        if ok:
            self.passed += 1
        else:
            self.failed += 1
        return ok


def synth(build, shape, quant, path):
    """Write a model; returns its hash."""
    cmd = [os.path.join(build, "tools/synth-gguf"), shape, quant, path, "--seed", str(cases.SEED), "--hash"]
    return subprocess.run(cmd, check=True, stdout=subprocess.PIPE, text=True).stdout.strip()


def drover_logprobs(build, path, tokens):
    cmd = [os.path.join(build, "drover"), "score", "-m", path, "--tokens", ",".join(map(str, tokens)), "--top", str(cases.N_VOCAB)]
    done = subprocess.run(cmd, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    if done.returncode != 0:
        raise PeerError(f"drover score: {done.stderr.strip()}")
    out = [None] * cases.N_VOCAB
    for token, logprob in json.loads(done.stdout)["top"][-1]:
        out[token] = logprob
    if None in out:
        raise PeerError("drover score left tokens out of its answer")
    return out


def peer_logprobs(peer, path, args):
    with peer.server(path, *args) as server:
        return [server.logprobs(cases.prompt(n), cases.N_VOCAB) for n in cases.LENGTHS]


def peer_results(peer, path, quant):
    """(exact, default) predictions of llama.cpp after each prompt."""
    exact_path = path if quant == "F32" else peer.dequantise(path)
    exact = peer_logprobs(peer, exact_path, cases.EXACT_ARGS)
    if exact_path != path:
        os.unlink(exact_path)
    return exact, peer_logprobs(peer, path, cases.DEFAULT_ARGS)


def compare_model(peer, build, shape, quant, count):
    path = os.path.join(peer.work, "model.gguf")
    synth(build, shape, quant, path)
    exact, default = peer_results(peer, path, quant)
    ok, row = True, []
    for n, e, d in zip(cases.LENGTHS, exact, default):
        theirs = cases.distance(d, e)
        ours = cases.distance(drover_logprobs(build, path, cases.prompt(n)), e)
        ok &= count.add(ours <= theirs)
        row.append(f"{ours:9.2e} {theirs:9.2e} {ours / theirs:6.3f}")
    os.unlink(path)
    print(f"{shape:<22} {quant:<7}  {'   '.join(row)}  {'ok' if ok else 'FAILED'}", flush=True)


def compare_models(peer, build, shapes, quants, count):
    head = "   ".join(f"{f'after {n} tokens':^26}" for n in cases.LENGTHS)
    print("Distance to the exact prediction: drover, llama.cpp, ratio")
    print(f"{'shape':<22} {'quant':<7}  {head}")
    for shape in shapes:
        for quant in quants:
            compare_model(peer, build, shape, quant, count)


def drover_answer(build, model, question):
    cmd = [os.path.join(build, "drover"), "run", "-m", model, "--temp", "0", "-n", str(cases.ANSWER_TOKENS), "-p", question]
    done = subprocess.run(cmd, stdout=subprocess.PIPE, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL)
    if done.returncode != 0:
        raise PeerError(f"drover run: {done.stderr.decode(errors='replace').strip()}")
    return done.stdout.decode().rstrip("\n")


def compare_questions(peer, build, count):
    model = os.path.join(TOP, "models/pocket-dictionary.gguf")
    inside = peer.give(model)
    same = 0
    questions = cases.questions()
    with peer.server(inside) as server:
        for q in questions:
            theirs, ours = server.chat(q, cases.ANSWER_TOKENS), drover_answer(build, model, q)
            if count.add(theirs == ours):
                same += 1
            else:
                print(f"FAILED {q}\n  llama.cpp: {theirs!r}\n  drover:    {ours!r}")
    print(f"\nGreedy answers of the pocket dictionary: {same} of {len(questions)} equal")


def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("--build", default=os.path.join(TOP, "build"), help="Meson build folder (default: build)")
    ap.add_argument("--peer", default=os.environ.get("DV_PEER", os.path.join(TOP, "build-peer/llama")), help="folder made by setup.sh")
    ap.add_argument("--shapes", default=",".join(cases.SHAPES), help="comma-separated; empty: none")
    ap.add_argument("--quants", default=",".join(cases.QUANTS))
    ap.add_argument("--no-questions", action="store_true")
    args = ap.parse_args()
    count = Counter()
    try:
        with Peer(args.peer) as peer:
            print("llama.cpp", peer.version())
            compare_models(peer, args.build, [s for s in args.shapes.split(",") if s], args.quants.split(","), count)
            if not args.no_questions:
                compare_questions(peer, args.build, count)
    except (PeerError, OSError, subprocess.CalledProcessError) as e:
        print(f"compare.py: {e}", file=sys.stderr)
        count.failed += 1
    print(f"{count.passed} passed, {count.failed} failed")
    return 1 if count.failed else 0


if __name__ == "__main__":
    sys.exit(main())
