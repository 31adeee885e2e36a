# SPDX-License-Identifier: MIT
"""Writes the corpus of the sse target. usage: sse_corpus.py    (in any folder)"""
import json
import pathlib

here = pathlib.Path(__file__).parent / "corpus" / "sse"


def event(value, end="\n"):
    return f"data: {json.dumps(value)}{end}{end}"


def delta(text, **more):
    return {"model": "m", "choices": [{"index": 0, "delta": {"content": text}, **more}]}


USAGE = {"choices": [], "usage": {"prompt_tokens": 7, "completion_tokens": 2, "prompt_tokens_details": {"cached_tokens": 5}}}
INPUTS = {
    "good": "s" + event(delta("Hel")) + event(delta("lo")) + event(delta("", finish_reason="stop")) + event(USAGE) + "data: [DONE]\n\n",
    "crlf": "s" + event(delta("Hi"), "\r\n") + "data: [DONE]\r\n\r\n",
    "cr": "s" + event(delta("Hi"), "\r") + "data: [DONE]\r\r",
    "bom": "s\ufeff: comment\nevent: x\nid: 1\nretry: 1\n" + event(delta("Hi")),
    "lines": 's: x\ndata: {"choices":\ndata: [{"text": "Hi"}]}\n\ndata\n\ndata:\n\n',
    "reasoning": "s" + event({"choices": [{"delta": {"reasoning_content": "hm", "content": None}}]}) + event(delta("ok", finish_reason="length")),
    "others": "s" + event({"choices": [{"index": 1, "delta": {"content": "no"}}, {"index": 0, "text": "yes"}]}) + "data: [DONE]\n\n",
    "error": "s" + event(delta("Hel")) + event({"error": {"message": "lost\u001b[2J", "code": 503}}),
    "error_text": "s" + event({"error": "bad"}),
    "number": "s" + event({"choices": [{"delta": {"content": 5}}]}),
    "no_json": "sdata: rubbish\n\n",
    "list": "sdata: [1]\n\n",
    "nul": "s" + event(delta("a\0b")) + "data: [DONE]\n\n",
    "cut": "s" + event(delta("Hel")) + 'data: {"choi',
    "after": "s" + event(delta("Hi")) + "data: [DONE]\n\n" + event(delta("more")),
    "deep": "sdata: " + "[" * 3000 + "\n\n",
    "json": "j" + json.dumps({"choices": [{"message": {"content": "Hi", "reasoning_content": "hm"}, "finish_reason": "stop"}], **{"usage": USAGE["usage"]}}),
    "json_text": "j" + json.dumps({"choices": [{"text": "Hi", "finish_reason": "content_filter"}]}),
    "json_error": "j" + json.dumps({"error": {"message": "long", "type": "exceed_context_size_error"}}),
    "json_detail": "j" + json.dumps({"detail": "no"}),
    "json_html": "j<html>",
    "json_empty": "j",
}

here.mkdir(parents=True, exist_ok=True)
for key, text in INPUTS.items():
    (here / key).write_bytes(text.encode())
(here / "no_utf8").write_bytes(b"s" + event(delta("X")).encode().replace(b"X", b"\xff") + b"data: [DONE]\n\n")
