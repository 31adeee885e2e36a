#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Writes corpus/gbnf/, corpus/schema/ and corpus/regex/: small inputs that reach each construct."""
import json
import pathlib

GBNF = ['root ::= "a"', 'root ::= [^a-z"\\x41]{2,3} | . # c\n', 'root ::= x+ "\\u00e9\\U0001F600"\nx ::= "(" root? ")" | <t> | !<[3]>', "root ::= (\n [0-9]* | y)\ny ::= \"b\" y | ",
        'root ::= a\na ::= a "x" | "y"', 'root ::= "a"{3,2}', "root ::= foo", 'root ::= (("a"{40}){40}){40}', "root ::= [a"]
REGEX = ["^[a-z]+$", "a|^b|c$", "(?:x{2,3}?y)*z", "\\d\\W\\s\\u{1F600}\\ud83d\\ude00\\x41\\cA", "[^\\]\\-a-c\\d]", "(?<n>a)\\1", "(?=x)", "^(([a-z]{1,9}){1,9})$", "(x+x+)+y", "a{2}{3}"]
BASE = [{}, True, False, {"type": ["string", "null"]}, {"enum": ["a\"\n", 1.5, {"a": [None]}]}, {"type": "integer", "minimum": -12, "exclusiveMaximum": 105},
        {"type": "number", "minimum": -0.5, "maximum": 1.25}, {"type": "string", "minLength": 2, "maxLength": 3}, {"type": "string", "format": "date"},
        {"type": "string", "pattern": "^a.c$", "maxLength": 4}, {"type": "array", "items": {"type": "boolean"}, "minItems": 1, "maxItems": 3},
        {"prefixItems": [{"type": "null"}, {}], "items": False},
        {"type": "object", "properties": {"a": {"type": "integer"}, "b": {}}, "required": ["b"], "additionalProperties": {"const": 1}},
        {"type": "object", "patternProperties": {"^x": {"type": "null"}}, "additionalProperties": True, "minProperties": 1},
        {"propertyNames": {"enum": ["p", "q"]}, "additionalProperties": {"type": "null"}, "type": "object"},
        {"anyOf": [{"type": "null"}, {"$ref": "#/$defs/n"}], "$defs": {"n": {"properties": {"k": {"$ref": "#"}}, "required": ["k"]}}},
        {"oneOf": [{"properties": {"t": {"const": 1}}, "required": ["t"]}, {"properties": {"t": {"const": 2}}, "required": ["t"]}]},
        {"allOf": [{"properties": {"a": {"minimum": 1}}}, {"properties": {"a": {"type": "integer"}}, "required": ["a"]}], "nullable": True},
        {"$ref": "#"}, {"not": {}}, {"allOf": [{"$ref": "#"}]}]


def main():
    for name, texts in (("gbnf", GBNF), ("regex", REGEX), ("schema", [json.dumps(s, separators=(",", ":")) for s in BASE])):
        out = pathlib.Path(__file__).parent / "corpus" / name
        out.mkdir(parents=True, exist_ok=True)
        for i, text in enumerate(texts):
            (out / f"{i:02}").write_bytes(text.encode())


if __name__ == "__main__":
    main()
