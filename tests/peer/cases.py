# SPDX-License-Identifier: MIT
"""What is compared: tiny random models of every architecture, in the common quantisations, after prompts of three lengths."""
import math
import os

SHAPES = ["tiny-llama", "tiny-llama-rope-freqs", "tiny-mistral", "tiny-qwen2", "tiny-qwen3", "tiny-qwen3moe", "tiny-phi3",
          "tiny-phi3-long", "tiny-gemma3"]
QUANTS = ["F32", "Q8_0", "Q4_K_M", "Q5_K_S", "Q6_K", "IQ4_XS", "Q4_0"]
LENGTHS = [5, 40, 150]
N_VOCAB = 4096
CONTEXT = 1024  # of every tiny shape; phi3 picks its RoPE factors by it
SEED = 1
ANSWER_TOKENS = 128

# llama.cpp as near to the exact result as it goes, on the weights dequantised to F32.
EXACT_ARGS = ["-c", str(CONTEXT), "-ctk", "f32", "-ctv", "f32", "-fa", "off"]
# And as people run it.
DEFAULT_ARGS = ["-c", str(CONTEXT)]


def prompt(length):
    """Token ids from a linear congruential generator; the three control tokens at the vocabulary's end are left out."""
    x, out = 12345 + length, []
    for _ in range(length):
        x = (x * 1103515245 + 12345) % 2**31
        out.append((x >> 8) % (N_VOCAB - 3))
    return out


def distance(a, b, ids=None):
    """Root mean square of the differences of two lists of log-probabilities."""
    ids = range(len(a)) if ids is None else ids
    return math.sqrt(math.fsum((a[i] - b[i]) ** 2 for i in ids) / len(ids))


def questions():
    path = os.path.join(os.path.dirname(os.path.abspath(__file__)), "questions.txt")
    with open(path, encoding="utf-8") as f:
        return [line.strip() for line in f if line.strip()]
