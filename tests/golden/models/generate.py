# SPDX-License-Identifier: MIT
"""Golden values from llama.cpp: a JSON file per tiny shape, and the pocket dictionary's answers.

Of each prediction they keep the exact log-probabilities of 128 tokens (the 64 likeliest and a sample of the others) and llama.cpp's own
distance to them on the same tokens, which is the limit for drover's."""
import argparse
import json
import os
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
TOP = os.path.abspath(os.path.join(HERE, "../../.."))
sys.path.insert(0, os.path.join(TOP, "tests/peer"))

import cases  # noqa: E402
import compare  # noqa: E402
from peer import Peer  # noqa: E402


def sample(exact):
    order = sorted(range(cases.N_VOCAB), key=lambda i: (-exact[i], i))
    return sorted(order[:64] + order[64::(cases.N_VOCAB - 64) // 64 + 1])


def prediction(exact, default):
    ids = sample(exact)
    theirs = cases.distance(default, exact, ids)
    return {"limit": float(f"{theirs:.4g}"), "ids": ids, "logprobs": [round(exact[i], 6) for i in ids]}


def golden_file(peer, build, shape, quant):
    path = os.path.join(peer.work, "model.gguf")
    digest = compare.synth(build, shape, quant, path)
    exact, default = compare.peer_results(peer, path, quant)
    os.unlink(path)
    print(shape, quant, flush=True)
    return {"quant": quant, "fnv1a": digest, "predictions": [prediction(e, d) for e, d in zip(exact, default)]}


def write_shape(peer, build, shape):
    golden = {"shape": shape, "seed": cases.SEED, "context": cases.CONTEXT, "peer": "llama.cpp " + peer.version(),
              "prompts": [cases.prompt(n) for n in cases.LENGTHS], "files": [golden_file(peer, build, shape, q) for q in cases.QUANTS]}
    text = json.dumps(golden, separators=(",", ":")).replace('{"quant"', '\n{"quant"').replace('{"limit"', '\n {"limit"').replace('"files"', '\n"files"')
    with open(os.path.join(HERE, shape + ".json"), "w", encoding="utf-8") as f:
        f.write(text + "\n")


def write_answers(peer):
    inside = peer.give(os.path.join(TOP, "models/pocket-dictionary.gguf"))
    with peer.server(inside) as server:
        rows = [{"question": q, "answer": server.chat(q, cases.ANSWER_TOKENS)} for q in cases.questions()]
    with open(os.path.join(HERE, "answers.json"), "w", encoding="utf-8") as f:
        f.write("[\n" + ",\n".join(json.dumps(r, ensure_ascii=False) for r in rows) + "\n]\n")


def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("--build", default=os.path.join(TOP, "build"))
    ap.add_argument("--peer", default=os.environ.get("DV_PEER", os.path.join(TOP, "build-peer/llama")))
    ap.add_argument("--shapes", default=",".join(cases.SHAPES))
    ap.add_argument("--no-questions", action="store_true")
    args = ap.parse_args()
    with Peer(args.peer) as peer:
        for shape in [s for s in args.shapes.split(",") if s]:
            write_shape(peer, args.build, shape)
        if not args.no_questions:
            write_answers(peer)


if __name__ == "__main__":
    main()
