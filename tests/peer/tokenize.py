#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Token ids of drover and of llama.cpp on random text, for every pre-tokenizer that both know.

usage: tests/peer/tokenize.py [--drover build/drover] [--rounds N] [PRE ...]
DV_PEER          root made by tests/peer/setup.sh (default: build-peer/llama)
DV_SHARED_VOCAB  folder with llama-bpe.gguf and others (default: ../shared/vocab); without it only the shipped model's vocabulary is used
"""
import argparse
import ast
import os
import random
import re
import struct
import subprocess
import sys
import unicodedata

from peer import Peer, PeerError

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
PEER = os.environ.get("DV_PEER", os.path.join(ROOT, "build-peer/llama"))
SHARED = os.environ.get("DV_SHARED_VOCAB", os.path.join(ROOT, "../shared/vocab"))

PRES = """default gpt-2 llama-bpe qwen2 deepseek-llm deepseek-coder deepseek-v3 smollm tekken gpt-4o starcoder refact falcon mpt
phi-2 olmo dbrx codeshell command-r stablelm2 qwen35 glm4 bailingmoe seed-coder viking bloom""".split()

# ---- metadata of a GGUF file, copied without tensors and with one string replaced ----

SCALAR = {0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8}


def skip_value(d, at, kind):
    if kind == 8:
        return at + 8 + struct.unpack_from("<Q", d, at)[0]
    if kind != 9:
        return at + SCALAR[kind]
    elem, n = struct.unpack_from("<IQ", d, at)
    at += 12
    if elem in SCALAR:
        return at + n * SCALAR[elem]
    for _ in range(n):
        at = skip_value(d, at, elem)
    return at


def with_pre(src, dst, pre):
    d = open(src, "rb").read()
    magic, version, _, n_kv = struct.unpack_from("<4sIQQ", d, 0)
    assert magic == b"GGUF" and version in (2, 3), src
    at, pairs = 24, []
    for _ in range(n_kv):
        n = struct.unpack_from("<Q", d, at)[0]
        key = d[at + 8:at + 8 + n]
        kind = struct.unpack_from("<I", d, at + 8 + n)[0]
        end = skip_value(d, at + 12 + n, kind)
        if key != b"tokenizer.ggml.pre":
            pairs.append(d[at:end])
        at = end
    if pre is not None:
        key = b"tokenizer.ggml.pre"
        pairs.append(struct.pack("<Q", len(key)) + key + struct.pack("<IQ", 8, len(pre)) + pre.encode())
    with open(dst, "wb") as f:
        f.write(struct.pack("<4sIQQ", magic, 3, 0, len(pairs)) + b"".join(pairs))


# ---- text ----

SPACES = [" ", " ", " ", "  ", "   ", "\t", "\n", "\n\n", "\r\n", "\r", "\v", "\f", "\x85", "\xa0", "\u1680", "\u2002", "\u2009",
          "\u2028", "\u2029", "\u202f", "\u205f", "\u3000", "\u200b", "\u180e", "\ufeff"]
ENDS = ["'s", "'S", "'t", "'re", "'RE", "'Re", "'ve", "'VE", "'m", "'ll", "'LL", "'lL", "'d", "'D", "'x", "'", "''", "\u2019s", "'\u017f"]
WORDS = """the quick brown Fox jumps OVER lazyDog naïve café ÉCOLE Straße straSSE Ångström I'm you'll WE'VE don'T
return static int main(void) printf("%d\\n", x->y[3]); if(a!=b&&c||d){e+=1;}//x /*y*/ #define FOO_BAR 0x1F $HOME ~/a ~! ~~ a~b @user
#tag http://a.b/c?d=e&f=%20g user@example.com x=1e-5 3.14 1,000,000 100% $5 €7 £9 ±½ ² Ⅷ ٣٤٥ 一二三 12345678 1314151天
Привет МИР приВЕТ нещо на Български Ελληνικά ΣΊΣΥΦΟΣ עברית العربية हिन्दी বাংলা ไทย ភាសាខ្មែរ 한국어 日本語のテキスト カタカナ 中文字符，标点。「」！？
Việt Nam Cửa ﬁne Ǆ ǅ ǆ ʰ ª º İstanbul ıI ΐ a\u0301e\u0308 \u0301 \u0300\u0301x 🦙 🚀 😶\u200d🌫\ufe0f 👩\u200d👩\u200d👧 🇩🇪 ✅ ☃ ← ∑ ≠ ∀x∈ℝ ＡＢＣａｂｃ１２３！
(){}[]<>|\\/^`´¨~ ------======= ''''```` ""\"\" .... !!!!?? … — – ‘q’ “Q” ¿¡ § ¶ † № ™ ®""".split()


def by_category():
    groups = {}
    for cp in range(0x20, 0x110000):
        cat = unicodedata.category(chr(cp))
        if cat not in ("Cn", "Cs", "Co"):
            groups.setdefault(cat, []).append(chr(cp))
    return groups


GROUPS = by_category()


def random_text(r, n):
    """About n pieces of every kind, in every neighbourhood."""
    out = []
    for _ in range(n):
        k = r.randrange(14)
        if k < 4:
            out.append(r.choice(WORDS))
        elif k < 7:
            out.append("".join(r.choice(SPACES) for _ in range(r.choice([1, 1, 1, 2, 3, 6]))))
        elif k == 7:
            out.append(r.choice(ENDS))
        elif k == 8:
            out.append("".join(r.choice("0123456789") for _ in range(r.randint(1, 9))))
        elif k == 9:
            out.append("".join(chr(r.randint(0x21, 0x7e)) for _ in range(r.randint(1, 6))))
        elif k == 10:
            out.append("".join(r.choice(r.choice(list(GROUPS.values()))) for _ in range(r.randint(1, 4))))
        elif k == 11:
            out.append("".join(r.choice("aAbBzZéÉßЖж") for _ in range(r.randint(1, 6))))
        elif k == 12:
            out.append("".join(chr(r.choice([r.randint(0x4e00, 0x9fff), r.randint(0xac00, 0xd7a3), r.randint(0x3040, 0x30fe)])) for _ in range(r.randint(1, 4))))
        else:
            out.append(chr(r.randint(1, 0x1f)))
    return "".join(out)


# Written in the text where both sides are told to parse them.
SPECIAL = """<s> </s> <unk> <|im_start|> <|im_end|> <|endoftext|> <|user|> <|assistant|> <|end|> <|system|> <|eot_id|> <|begin_of_text|>
<|start_header_id|> <|end_header_id|>""".split()


def with_special(r, text, names):
    at = sorted(r.randrange(len(text)) for _ in range(300))
    return "".join(text[i:j] + r.choice(names) for i, j in zip([0] + at, at)) + text[at[-1]:]


# ---- the two programs ----

def ids_of_drover(drover, model, text, special):
    cmd = [drover, "tokenize", "-m", model, "--json"] + ["--special"] * special + ["-"]
    p = subprocess.run(cmd, input=text.encode(), capture_output=True)
    if p.returncode != 0:
        sys.exit("drover: " + p.stderr.decode())
    return ast.literal_eval(p.stdout.decode())


def ids_of_peer(peer, model, text, special):
    cmd = peer.command("llama-tokenize", "-m", peer.inside(model), "--stdin", "--ids", "--no-bos", "--no-escape", "--log-disable")
    p = subprocess.run(cmd + ["--no-parse-special"] * (not special), input=text.encode(), capture_output=True)
    m = re.search(rb"\[[0-9, ]*\]", p.stdout)
    if p.returncode != 0 or m is None:
        sys.exit("llama-tokenize (%d): %s" % (p.returncode, p.stderr.decode(errors="replace")[-500:]))
    return ast.literal_eval(m.group().decode())


def explain(drover, model, text, special, ours, theirs):
    i = next((i for i, (a, b) in enumerate(zip(ours, theirs)) if a != b), min(len(ours), len(theirs)))
    cmd = [drover, "tokenize", "-m", model] + ["--special"] * special + ["-"]
    p = subprocess.run(cmd, input=text.encode(), capture_output=True)
    pieces = [line.split("\t", 1)[1] for line in p.stdout.decode().split("\n")[:-1]]
    print("    token %d of %d: ...%s" % (i, len(theirs), "|".join(pieces[max(0, i - 6):i + 6])))
    print("    ours  ", ours[max(0, i - 2):i + 8], "\n    theirs", theirs[max(0, i - 2):i + 8])


def compare(peer, a, name, model, special):
    """Whether all ids are equal."""
    tokens = 0
    for i in range(a.rounds):
        r = random.Random("%d %s %d" % (a.seed, name, i))
        text = random_text(r, 6000)
        if special:
            # llama.cpp takes "</s>" for a control token even where, as in Qwen's vocabulary, it is a word like any other.
            names = [n for n in SPECIAL if n != "</s>" or "spm" in name or "phi" in name]
            text = with_special(r, text, names)
        ours, theirs = ids_of_drover(a.drover, model, text, special), ids_of_peer(peer, model, text, special)
        tokens += len(theirs)
        if ours != theirs:
            print("FAIL %s, round %d" % (name, i))
            explain(a.drover, model, text, special, ours, theirs)
            return False
    print("ok   %s: %d tokens equal" % (name, tokens), flush=True)
    return True


def shared(*names):
    return [p for p in (os.path.join(SHARED, n + ".gguf") for n in names) if os.path.exists(p)]


def main():
    ap = argparse.ArgumentParser()
    ap.add_argument("--drover", default=os.path.join(ROOT, "build/drover"))
    ap.add_argument("--rounds", type=int, default=2)
    ap.add_argument("--seed", type=int, default=1)
    ap.add_argument("pre", nargs="*")
    a = ap.parse_args()

    own = os.path.join(ROOT, "models/pocket-dictionary.gguf")
    bases = shared("llama-bpe", "gpt-2") or [own]
    jobs = [(bases[i % len(bases)], pre, False) for i, pre in enumerate(a.pre or PRES)]
    if not a.pre:
        real = [own] + shared("llama-bpe", "qwen2", "deepseek-llm", "gpt-2", "llama-spm", "phi-3")
        jobs += [(p, None, special) for p in real for special in (False, True)]
    passed = 0
    with Peer(PEER) as peer:
        for base, pre, special in jobs:
            name = os.path.basename(base) + (" as " + pre if pre else "") + (" with special tokens" if special else "")
            if pre:
                model = os.path.join(peer.work, "vocab.gguf")
                with_pre(base, model, pre)
            else:
                model = peer.give(base)
            passed += compare(peer, a, name, model, special)
    print("%d passed, %d failed" % (passed, len(jobs) - passed))
    return passed < len(jobs)


try:
    sys.exit(main())
except PeerError as e:
    sys.exit(str(e))
