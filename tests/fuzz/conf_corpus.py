# SPDX-License-Identifier: MIT
"""Writes the corpus of the conf target and its dictionary, the names in docs/configuration.md. usage: conf_corpus.py    (in any folder)"""
import pathlib
import re

here = pathlib.Path(__file__).parent
root = here.parent.parent

GOOD = {
    "empty": "",
    "sample": (root / "examples" / "drover.yaml").read_text(),
    "listeners": "listen: {openai: '[::1]:1', app: off, chroma: 'unix:s'}\nlisteners: [{address: 3, api: chroma, tls_cert: c, tls_key: k}]\n",
    "exposed": "insecure: true\nlisten: {openai: 0.0.0.0:8081}\nsecurity: {trusted_proxies: [10.0.0.0/8, 'fd00::/8'], allowed_origins: ['*']}\n",
    "numbers": "limits: {window: 1500ms, body_size: 4096, tokens_per_minute: off}\naudit: {keep: forever}\ndefaults: {top_p: 0.1, gpu_layers: -1}\n",
    "profiles": "profiles: [{name: fast, top_k: 3}, {name: p, base: fast, presence_penalty: -2, kv_type: q8_0}]\ndefaults: {profile: p}\n",
    "models": "models:\n- {path: a/b-00001-of-00003.gguf, aliases: [b, 'c:1']}\n- {name: r, url: 'http://localhost:9/', key_env: K}\n",
    "quotes": "data_dir: '/with ''quotes'' and: colons # \u00e9'\nredis: {prefix: \"\\u00e9 x:\"}\n",
    "redis": "redis: {url: 'rediss://u:p@[::1]:6379/1'}\n",
    "bom": "\ufefflog: {level: debug}\n",
    "outside": "log: {level: warn}\n\0LLAMA_MODEL_PATH=/m/x.gguf\nLLAMA_SERVER_URL=http://localhost:9\nRATE_LIMIT_WINDOW=60000\n"
               "DROVER_MODELS_0_PATH=a\nmodels.0.pin=true\nlimits.queue=10\nsecurity.allowed_hosts=a,b\n",
}
BAD = {
    "key": "limits:\n  request: 5\n",
    "twice": "log: {level: info, level: warn}\n",
    "type": "limits: [5]\n",
    "range": "defaults: {threads: 257, top_p: 0}\n",
    "anchor": "a: &x [1]\nb: [*x, *x]\n",
    "tag": "a: !!str 1\n",
    "documents": "a: 1\n---\nb: 2\n",
    "deep": "[" * 40,
    "tab": "log:\n\tlevel: info\n",
    "block": "data_dir: |\n  x\n  y\n",
    "cut": "a: 'x\n",
    "utf8": b"a: \xff\n",
    "names": "models: [{path: a}, {path: b, name: a}]\n",
    "remote": "models: [{name: a, url: 'https://api.example'}]\n",
    "variable": "\0DROVER_LIMIT_QUEUE=5\n",
    "flag": "\0models.3.path=x\nlimits.window=1\n",
}


def main():
    folder = here / "corpus" / "conf"
    folder.mkdir(parents=True, exist_ok=True)
    for kind, cases in (("good", GOOD), ("bad", BAD)):
        for name, text in cases.items():
            (folder / f"{kind}-{name}").write_bytes(text if isinstance(text, bytes) else text.encode())
    page = (root / "docs" / "configuration.md").read_text()
    words = sorted({w for name in re.findall(r"^\| `([a-z_.*]+)`", page, re.M) for w in name.split(".") if w != "*"})
    (here / "conf.dict").write_text("# SPDX-License-Identifier: MIT\n" + "".join(f'"{w}"\n' for w in words))


main()
