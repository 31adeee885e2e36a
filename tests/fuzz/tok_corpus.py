#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Writes corpus/tok/: texts for every small vocabulary of the target, input that makes vocabularies, and files with one."""
import pathlib

from gguf_corpus import ARR, BOOL, F32, I32, STR, U32, gguf

TEXTS = ["I'm HERE's  12345 x=1;\n\n  y \tz\r\n", "<|im_start|>user\n<think>\n\n<|im_end|>", "caf\u00e9 \u00c9COLE \u4e2d\u6587\u5b57abc\u3000\u3042!?~",
         "\U0001f600\u200d\U0001f600 \u0301e\u0308 \u0663\u0664 \u2167", "aaaaaaaaaaaaaaaaaaaa the thethe  the"]


def vocab(model, tokens, types, **more):
    kvs = [("tokenizer.ggml.model", STR, model), ("tokenizer.ggml.tokens", ARR, (STR, tokens)), ("tokenizer.ggml.token_type", ARR, (I32, types))]
    return gguf(kvs + [("tokenizer.ggml." + k, *v) for k, v in more.items()])


def main():
    out = pathlib.Path(__file__).parent / "corpus" / "tok"
    out.mkdir(parents=True, exist_ok=True)
    for kind in range(20):
        (out / f"text-{kind}").write_bytes(bytes([kind]) + TEXTS[kind % len(TEXTS)].encode() + b"\xff\xe4\xb8")
    for i, head in enumerate([0, 1, 2 + 32, 1 + 64, 16, 64]):
        made = bytes([50, head, 12]) + b"".join(bytes([24 * (1 + k % 6) + 8 * (k % 3) + 1 + k % 4]) + b"ab c"[:1 + k % 4] for k in range(12))
        (out / f"made-{i}").write_bytes(made + b"abab c abcabc")
    byte = [f"<0x{b:02X}>" for b in range(256)]
    spm = vocab("llama", ["<unk>", "<s>", "</s>"] + byte + ["\u2581", "a", "b", "ab", "\u2581a"], [2, 3, 3] + [6] * 256 + [1] * 5,
                scores=(ARR, (F32, [0.0] * 259 + [-1.0, -2.0, -3.0, -0.5, -0.7])), bos_token_id=(U32, 1), add_bos_token=(BOOL, 1))
    (out / "file-spm").write_bytes(b"\xff" + spm)
    bpe = vocab("gpt2", ["a", "b", "c", "\u0120", "ab", "\u0120ab", "<|im_end|>", "\n\n", "1", "H"], [1, 1, 1, 1, 1, 1, 3, 4, 1, 1],
                pre=(STR, "llama-bpe"), merges=(ARR, (STR, ["a b", "\u0120 ab", "ab c"])), eos_token_id=(U32, 6))
    (out / "file-bpe").write_bytes(b"\x80" + bpe)


if __name__ == "__main__":
    main()
