#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Writes corpus/chatfmt/ and corpus/chatmsg/: answers of every format, whole and broken, and requests of every API."""
import json
import pathlib

here = pathlib.Path(__file__).parent
DS = {w: f"<\uff5ctool\u2581{w.replace(' ', chr(0x2581))}\uff5c>" for w in ("calls begin", "call begin", "sep", "call end", "calls end")}
ARGS = '{"a":[1,-2.5e3,"\\u00e9\\ud83d\\ude00</tool_call>"],"b":{}}'
ANSWERS = {
    0: ['{"tool_calls": [{"name": "f", "arguments": %s}, {"name": "g", "arguments": {}}]}' % ARGS, "```json\n{\"tool_calls\": []}\n```", "{\"x\": 1}"],
    1: ['{"name": "f", "parameters": %s}; {"name": "g", "parameters": {}}' % ARGS, '<|python_tag|>{"name": "f", "parameters": {"a":',
        '{"name": "Bob", "parameters": {}}'],
    2: ['<think>\nhm\n</think>\n\nText\n<tool_call>\n{"name": "f", "arguments": %s}\n</tool_call>\n<tool_call>{"name":"g"}</tool_call> end' % ARGS,
        '<tool_call>{"name":"f","arguments":{"a":"\\ud800"}}</tool_call>', '<tool_call><tool_call>{"type":"function","function":{"name":"f","arguments":{}}}',
        "<think>never closed </thin"],
    3: ['[TOOL_CALLS] [{"name": "f", "arguments": %s, "id": "abcdefghi"}, {"name": "g", "arguments": {}}, 7]' % ARGS, "[TOOL_CALLS]"],
    4: ["[THINK]hm[/THINK]Text [TOOL_CALLS]f[CALL_ID]abcdefghi[ARGS]%s[TOOL_CALLS]g{}" % ARGS, "[TOOL_CALLS]f[ARGS]{\"a\""],
    5: ['functools[{"name": "f", "arguments": %s}]' % ARGS, '<|tool_call|>[{"name":"g"}]<|/tool_call|>'],
    6: [DS["calls begin"] + DS["call begin"] + "function" + DS["sep"] + "f\n```json\n" + ARGS + "\n```" + DS["call end"] + DS["calls end"]],
    7: ["<think>a</think>" + DS["calls begin"] + DS["call begin"] + "f" + DS["sep"] + ARGS + DS["call end"] + DS["call begin"] + "g" + DS["sep"] + "{}" +
        DS["call end"] + DS["calls end"]],
    8: ['```tool_code\n[{"name": "f", "parameters": %s}, {"name": "g", "parameters": {}}]\n```' % ARGS],
    9: ["<|channel|>analysis<|message|>hm<|end|><|start|>assistant<|channel|>commentary to=functions.f <|constrain|>json<|message|>%s<|call|>" % ARGS,
        " to=functions.g<|channel|>commentary<|message|>{}<|end|><|start|>assistant<|channel|>final<|message|>Yes.<|return|>", "<|start|><|channel|>x"],
}
CALL = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": '{"a":"\x01"}'}}
CHAT = [{"role": "developer", "content": "\x01s"}, {"role": "user", "content": [{"type": "text", "text": "\x02q"}]},
        {"role": "assistant", "content": "t", "reasoning_content": "hm", "tool_calls": [CALL, dict(CALL, id="c2")]},
        {"role": "tool", "tool_call_id": "c2", "content": "r"}, {"role": "tool", "tool_call_id": "c1", "content": "r"},
        {"role": "assistant", "content": "\x01go on"}]
CLAUDE = [{"role": "user", "content": "\x01q"},
          {"role": "assistant", "content": [{"type": "thinking", "thinking": "hm"}, {"type": "text", "text": "t"},
                                            {"type": "tool_use", "id": "c1", "name": "f", "input": {"a": [1, 2]}}]},
          {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "c1", "content": [{"type": "text", "text": "r"}], "is_error": True},
                                       {"type": "text", "text": "x"}]}]
ITEMS = [{"role": "user", "content": [{"type": "input_text", "text": "q"}]}, {"type": "reasoning", "summary": [{"type": "summary_text", "text": "hm"}]},
         {"type": "function_call", "call_id": "c1", "name": "f", "arguments": "{}"}, {"type": "function_call_output", "call_id": "c1", "output": "r"}]
SCHEMA = {"type": "object", "properties": {"a": {"type": "string"}}}
REQUESTS = [
    {"messages": CHAT, "tools": [{"type": "function", "function": {"name": "f", "parameters": SCHEMA}}], "tool_choice": "required"},
    {"messages": CLAUDE, "system": [{"type": "text", "text": "s"}], "tools": [{"name": "f", "input_schema": SCHEMA}], "tool_choice": {"type": "tool", "name": "f"}},
    {"messages": ITEMS, "system": "s", "tools": [{"type": "function", "name": "f", "parameters": SCHEMA}], "vars": {"enable_thinking": False}},
]


def write(folder, name, data):
    out = here / "corpus" / folder
    out.mkdir(parents=True, exist_ok=True)
    (out / name).write_bytes(data)


for kind, answers in ANSWERS.items():
    for i, text in enumerate(answers):
        for flags in (0, 0x80) if i == 0 else (0x80 * (i % 2),):
            write("chatfmt", f"{kind}-{i}-{flags:02x}", bytes([kind | flags, i]) + text.encode())
write("chatfmt", "inside-thoughts", bytes([2 | 0x40, 3]) + b"hm </think> x")
for api, request in enumerate(REQUESTS):
    for template in range(5):
        write("chatmsg", f"{api}-{template}", bytes([template * 3 + api]) + json.dumps(request).encode())
write("chatmsg", "bad-arguments", b"\0" + json.dumps({"messages": [dict(CHAT[2], tool_calls=[dict(CALL, function={"name": "f", "arguments": "{"})])]}).encode())
