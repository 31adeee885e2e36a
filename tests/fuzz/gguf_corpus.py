#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Writes corpus/gguf/: small valid files that reach every branch of the reader, for the fuzzer to start from."""
import pathlib
import struct

U8, I8, U16, I16, U32, I32, F32, BOOL, STR, ARR, U64, I64, F64 = range(13)
FIXED = {U8: "B", I8: "b", U16: "H", I16: "h", U32: "I", I32: "i", F32: "f", BOOL: "B", U64: "Q", I64: "q", F64: "d"}


def text(s):
    s = s.encode() if isinstance(s, str) else s
    return struct.pack("<Q", len(s)) + s


def value(t, v):
    if t == STR:
        return text(v)
    if t == ARR:
        elem, items = v
        return struct.pack("<IQ", elem, len(items)) + b"".join(value(elem, i) for i in items)
    return struct.pack("<" + FIXED[t], v)


def gguf(kvs=(), tensors=(), version=3, align=32):
    """tensors: (name, type, ne, bytes)"""
    out = struct.pack("<4sIQQ", b"GGUF", version, len(tensors), len(kvs))
    for key, t, v in kvs:
        out += text(key) + struct.pack("<I", t) + value(t, v)
    at = 0
    for name, t, ne, n in tensors:
        out += text(name) + struct.pack(f"<I{len(ne)}QIQ", len(ne), *ne, t, at)
        at += -(-n // align) * align
    if tensors:
        out += bytes(-len(out) % align)
        out += bytes(at)
    return out


SCALARS = [("u8", U8, 255), ("i8", I8, -1), ("u16", U16, 65535), ("i16", I16, -2), ("u32", U32, 7), ("i32", I32, -7), ("f32", F32, 1.5),
           ("bool", BOOL, 1), ("str", STR, "text"), ("u64", U64, 2**64 - 1), ("i64", I64, -2**63), ("f64", F64, -0.5)]
FILES = {
    "empty": gguf(),
    "v2": gguf([("a", U32, 1)], version=2),
    "v1": gguf(version=1),
    "big-endian": struct.pack(">4sIQQ", b"GGUF", 3, 0, 0),
    "scalars": gguf(SCALARS),
    "arrays": gguf([(f"a.{k}", ARR, (t, [v, v])) for k, t, v in SCALARS] + [("none", ARR, (STR, []))]),
    "nested": gguf([("n", ARR, (ARR, [(ARR, [(ARR, [(U8, [1, 2])])]), (ARR, []), (STR, ["x", ""])]))]),
    "too-deep": gguf([("n", ARR, (ARR, [(ARR, [(ARR, [(ARR, [(U8, [])])])])]))]),
    "aligned": gguf([("general.alignment", U32, 8)], [("t", 0, [1], 4), ("u", 8, [32], 34)], align=8),
    "tensors": gguf([("general.architecture", STR, "llama")],
                    [("f32", 0, [3], 12), ("f16", 1, [2, 2], 8), ("q4_0", 2, [32, 1, 2], 36), ("q6_k", 14, [256, 1, 1, 1], 210),
                     ("bf16", 30, [1], 2), ("iq2_xxs", 16, [256], 0), ("future", 4000, [5, 5], 0)]),
    "merged": gguf([("split.count", U16, 0)]),
    "split-part": gguf([("split.no", U16, 0), ("split.count", U16, 2), ("split.tensors.count", I32, 0)]),
    "twice": gguf([("a", U8, 0), ("a", U8, 0)]),
}

folder = pathlib.Path(__file__).parent / "corpus" / "gguf"
folder.mkdir(parents=True, exist_ok=True)
for name, data in FILES.items():
    (folder / name).write_bytes(data)
