#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Writes corpus/body/: the requests of the unit test of the tables, each behind the number of its table in body.c."""
import json
import pathlib

here = pathlib.Path(__file__).parent
TABLES = ["chat", "completions", "embeddings", "responses", "messages", "completion", "infill", "tokenize", "detokenize", "response_tokens", "rerank",
          "native_embeddings", "count_tokens", "slot_action"]
requests = json.loads((here / "../unit/serve_requests.json").read_text())
# Bytes from 42 on, of which body.c takes the remainder by the number of tables, 14.
folder = here / "corpus/body"
folder.mkdir(parents=True, exist_ok=True)
for old in folder.iterdir():
    old.unlink()
for kind, all_of_kind in requests.items():
    for table, bodies in all_of_kind.items():
        if table not in TABLES:
            continue
        # A few of those that are refused: they differ in little.
        for i, body in enumerate(bodies if kind == "accepted" else bodies[::4]):
            body = body if kind == "accepted" else body[1]
            text = json.dumps(body, separators=(",", ":"))
            (folder / f"{kind[0]}-{table}-{i:02}").write_bytes(bytes([42 + TABLES.index(table)]) + text.encode())
