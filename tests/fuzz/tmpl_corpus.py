#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Writes corpus/tmpl/: the templates of tests/golden/templates, and its snippets in files of fifty."""
import json
import pathlib

here = pathlib.Path(__file__).parent
golden = here.parent / "golden" / "templates"
out = here / "corpus" / "tmpl"
out.mkdir(parents=True, exist_ok=True)
for path in golden.glob("*.jinja"):
    (out / path.stem).write_bytes(path.read_bytes())
hf = json.loads((golden / "snippets-hf.json").read_text())
python = json.loads((golden / "snippets-python.json").read_text())
good, bad = [], []
for text, a, b in zip(json.loads((golden / "snippets.json").read_text())["snippets"], hf, python):
    (bad if a is None and b is None else good).append(text)
for i in range(0, len(good), 50):
    (out / f"good-{i // 50:02}").write_text("\n".join(good[i:i + 50]))
for i, text in enumerate(bad[::4]):
    (out / f"bad-{i:02}").write_text(text)
(out / "json").write_text('#J{"a":[1,-2.5e3,true,null,"\\u00e9\\ud83d\\ude00"],"b":{"c":[[[]]]}}')
