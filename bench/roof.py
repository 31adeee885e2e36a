# SPDX-License-Identifier: MIT
"""What a token of a model costs at least, and how fast a machine could be at it: the memory reads every weight once a step, the multipliers
see every weight once a token. What else there is to do (attention's own arithmetic, norms, rounding activations) is not counted, so a share
of 1 is out of reach, and more so at a depth."""
from typing import NamedTuple

STEP = 512  # tokens of a prefill step, of both programs
FLOATS = {"F32", "F16", "BF16"}


class Weights(NamedTuple):
    """Of a model's matrices: bytes read, and multiply-adds in bytes and in floats; the output's apart, as only wanted logits cost it."""
    bytes: float
    int8: float
    f32: float
    out_bytes: float
    out_int8: float
    out_f32: float
    kv_bytes: float  # of a token, in f16


class Machine(NamedTuple):
    """Per second."""
    bytes: float
    int8: float
    f32: float


def weights(inspected):
    """From what `drover inspect --json` prints."""
    meta = {m["key"]: m.get("value") for m in inspected["metadata"]}
    arch = meta["general.architecture"]
    names = {t["name"] for t in inspected["tensors"]}
    out = "output.weight" if "output.weight" in names else "token_embd.weight"
    used = meta.get(f"{arch}.expert_used_count", 1) / meta.get(f"{arch}.expert_count", 1)
    body, last = [0.0, 0.0, 0.0], [0.0, 0.0, 0.0]
    for t in inspected["tensors"]:
        if t["name"] == "token_embd.weight" != out:
            continue  # one row of it is read
        part = used if "_exps." in t["name"] else 1
        to = last if t["name"] == out else body
        to[0] += part * t["bytes"]
        if len(t["shape"]) > 1:
            n = 1
            for d in t["shape"]:
                n *= d
            to[2 if t["type"] in FLOATS else 1] += part * n
    heads = meta[f"{arch}.attention.head_count"]
    size = meta[f"{arch}.embedding_length"] / heads
    kv = meta.get(f"{arch}.attention.head_count_kv", heads)
    kv *= meta.get(f"{arch}.attention.key_length", size) + meta.get(f"{arch}.attention.value_length", size)
    return Weights(*body, *last, 2.0 * kv * meta[f"{arch}.block_count"])


def machine(measured, threads):
    """From what bench/roofline prints."""
    def most(entries, field, of=None):
        return 1e9 * max((e[field] for e in entries if e["threads"] == threads and e.get("of") == of), default=0)

    return Machine(most(measured["read"], "gb_per_second"), most(measured["multiply"], "gmac_per_second", "int8"),
                   most(measured["multiply"], "gmac_per_second", "f32"))


def attainable(w, m, tokens, logits, depth=0, sequences=1):
    """(tokens per second, what limits them) of steps that take `tokens` tokens and want `logits` of them; 0 if the machine's limits are unknown."""
    moved = w.bytes + (w.out_bytes if logits else 0) + sequences * depth * w.kv_bytes
    int8, f32 = tokens * w.int8 + logits * w.out_int8, tokens * w.f32 + logits * w.out_f32
    if not m.bytes or (int8 and not m.int8) or (f32 and not m.f32):
        return 0, ""
    read, multiply = moved / m.bytes, (int8 / m.int8 if int8 else 0) + (f32 / m.f32 if f32 else 0)
    return tokens / max(read, multiply), "read" if read >= multiply else "multiply"


def limit(test, w, m):
    """The same for a test of compare.py."""
    if test.kind == "pp":
        steps = -(-test.n // STEP)
        return attainable(w, m, test.n / steps, 1 / steps, test.depth)
    return attainable(w, m, test.sequences, test.sequences, test.depth, test.sequences)
