# SPDX-License-Identifier: MIT
"""What Python's jinja2 makes of the snippets, set up as chat templates are rendered in Python. Writes the golden file of the
Python dialect. Needs jinja2 3.1; run by hand after snippets.json changed:  TZ=UTC python3 jinja2_expected.py"""
import datetime
import json
import pathlib

import jinja2
import jinja2.ext
from jinja2.sandbox import ImmutableSandboxedEnvironment

golden = pathlib.Path(__file__).parent / "../../golden/templates"
data = json.loads((golden / "snippets.json").read_text())
differs = json.loads((golden / "differs.json").read_text())["python"]


class Generation(jinja2.ext.Extension):
    tags = {"generation"}

    def parse(self, parser):
        next(parser.stream)
        return parser.parse_statements(["name:endgeneration"], drop_needle=True)


def raise_exception(message):
    raise jinja2.TemplateError(message)


def tojson(x, ensure_ascii=False, indent=None, separators=None, sort_keys=False):
    return json.dumps(x, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)


def render(env, text):
    if text in differs:
        return None
    try:
        out = env.from_string(text).render(**json.loads(json.dumps(data["context"])))
    except Exception:
        return None
    python_only = (" at 0x", "<function", "built-in method", "dict_items(", "dict_keys(", "dict_values(", "range(")
    return None if any(p in out for p in python_only) else out


env = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True,
                                    extensions=[jinja2.ext.loopcontrols, jinja2.ext.do, Generation])
env.filters["tojson"] = tojson
env.globals["raise_exception"] = raise_exception
now = datetime.datetime.fromtimestamp(data["now"], datetime.timezone.utc)
env.globals["strftime_now"] = now.strftime
result = [render(env, s) for s in data["snippets"]]
(golden / "snippets-python.json").write_text(json.dumps(result, ensure_ascii=False, indent=0) + "\n")
print(sum(r is not None for r in result), "of", len(result), "rendered")
