#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Writes dequant.bin: random blocks of every supported type and their values according to gguf-py (pip package gguf, quants.dequantize).

Records until the end of the file, little-endian: u32 type id, u32 elements, u32 bytes, the blocks, f32 values.
Usage: make.py > dequant.bin"""
import sys

import numpy as np
from gguf import GGMLQuantizationType as T
from gguf import GGML_QUANT_SIZES
from gguf.quants import dequantize

N = 768
# Byte offsets of the f16 fields of a block.
HALVES = {T.Q4_0: [0], T.Q4_1: [0, 2], T.Q5_0: [0], T.Q5_1: [0, 2], T.Q8_0: [0], T.Q2_K: [80, 82], T.Q3_K: [108], T.Q4_K: [0, 2],
          T.Q5_K: [0, 2], T.Q6_K: [208], T.IQ4_NL: [0], T.IQ4_XS: [0]}

rng = np.random.default_rng(20261122)


def finite_halves(n):
    """Every kind of finite f16: normal of any exponent, subnormal, zero, both signs."""
    h = rng.integers(0, 0x7C00, n, dtype=np.uint16)
    h[rng.random(n) < 0.1] &= 0x3FF
    return h | (rng.integers(0, 2, n, dtype=np.uint16) << 15)


def blocks(t):
    if t == T.F32:
        return rng.standard_normal(N).astype(np.float32).view(np.uint8)
    if t == T.F16:
        return finite_halves(N).view(np.uint8)
    if t == T.BF16:
        return (rng.standard_normal(N).astype(np.float32).view(np.uint32) >> 16).astype(np.uint16).view(np.uint8)
    length, size = GGML_QUANT_SIZES[t]
    b = rng.integers(0, 256, (N // length, size), dtype=np.uint8)
    for at in HALVES[t]:
        b[:, at:at + 2] = finite_halves(len(b)).view(np.uint8).reshape(-1, 2)
    return b.reshape(-1)


for t in [T.F32, T.F16, T.BF16, *HALVES]:
    raw = blocks(t)
    values = raw.view(np.float32) if t == T.F32 else dequantize(raw, t)
    head = np.array([int(t), N, raw.size], dtype="<u4")
    sys.stdout.buffer.write(head.tobytes() + raw.tobytes() + values.astype("<f4").tobytes())
