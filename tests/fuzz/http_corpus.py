# SPDX-License-Identifier: MIT
"""Writes the corpora of the http_* targets. usage: http_corpus.py    (in any folder)"""
import pathlib

here = pathlib.Path(__file__).parent / "corpus"
H = "Host: a\r\n"
CHUNKED = "Transfer-Encoding: chunked\r\n"
LONG = "a" * 300

HEADS = {
    "get": f"GET / HTTP/1.1\r\n{H}\r\n",
    "query": f"GET /a%20b/%C3%A9?q=1&r&=&s=%26+x HTTP/1.1\r\n{H}\r\n",
    "absolute": f"GET http://A/x?y HTTP/1.1\r\n{H}\r\n",
    "options": f"OPTIONS * HTTP/1.1\r\n{H}\r\n",
    "old": "GET / HTTP/1.0\r\n\r\n",
    "post": f"\r\nPOST /v1/x HTTP/1.1\r\n{H}Content-Length: 5\r\nExpect: 100-continue\r\nConnection: x, close\r\n\r\n",
    "chunked": f"POST / HTTP/1.1\r\n{H}{CHUNKED}\r\n",
    "both": f"POST / HTTP/1.1\r\n{H}{CHUNKED}Content-Length: 5\r\n\r\n",
    "twice": f"POST / HTTP/1.1\r\n{H}{H}\r\n",
    "fold": f"GET / HTTP/1.1\r\n{H}A: b\r\n c\r\n\r\n",
    "colon": f"GET / HTTP/1.1\r\n{H}A : b\r\n\r\n",
    "lf": "GET / HTTP/1.1\nHost: a\n\n",
    "fields": f"GET / HTTP/1.1\r\n{H}" + "A: b\r\n" * 20 + "\r\n",
    "long_uri": f"GET /{LONG}{LONG} HTTP/1.1\r\n{H}\r\n",
    "long_head": f"GET / HTTP/1.1\r\n{H}" + f"A: {LONG}\r\n" * 15 + "\r\n",
    "dots": f"GET /a/%2e%2e/b HTTP/1.1\r\n{H}\r\n",
    "nul": f"GET /%00 HTTP/1.1\r\n{H}A: \0\r\n\r\n",
    "version": f"GET / HTTP/2.0\r\n{H}\r\n",
    "cut": "GET / HTTP/1.1\r\nHo",
}

BODIES = {
    "simple": "5\r\nhello\r\n0\r\n\r\nGET",
    "two": "2\r\nhe\r\n003\r\nllo\r\n0000\r\n\r\n",
    "extension": '5;a=b;c="d"\r\nhello\r\n0;x\r\n\r\n',
    "trailer": "1\r\nx\r\n0\r\nA: b\r\nC:\r\n\r\n",
    "digits": "000000005\r\nhello\r\n",
    "large": "FFFFFFFF\r\nhello",
    "sign": "+5\r\nhello\r\n",
    "crlf": "5\r\nhello0\r\n\r\n",
    "lf": "5\nhello\n0\n\n",
    "many": "1;abc\r\nx\r\n" * 900,
    "trailers": "0\r\n" + "A: b\r\n" * 900,
}


def request(path, body="", fields="", verb="POST", version="1.1"):
    return f"{verb} {path} HTTP/{version}\r\n{H}{fields}" + (f"Content-Length: {len(body)}\r\n" if body else "") + "\r\n" + body


CONNECTIONS = {
    "pipeline": request("/e", verb="GET") + request("/e?q=1", "abc") + request("/s", "def") + request("/x", verb="HEAD"),
    "chunked": f"POST /e HTTP/1.1\r\n{H}{CHUNKED}\r\n{BODIES['two']}" + request("/s", "x"),
    "chunked_limit": f"POST /e HTTP/1.1\r\n{H}{CHUNKED}\r\n" + ("3E8\r\n" + "y" * 1000 + "\r\n") * 3,
    "length_limit": request("/e", "z" * 2049),
    "held": request("/h", "a") + request("/e", "b"),
    "held_ahead": request("/h") + "j" * 3000,
    "denied": request("/d", "body that nobody reads") + request("/e"),
    "denied_empty": request("/d", verb="GET") + request("/e"),
    "abort": request("/s", "x") + request("/a", "y") + request("/e"),
    "nobody": request("/n") + request("/e"),
    "expect": request("/e", "abc", "Expect: 100-continue\r\n"),
    "old": request("/s", "abc", version="1.0") + request("/e"),
    "close": request("/e", fields="Connection: close\r\n") + request("/e"),
    "bad_field": request("/e?q=%0d%0a"),
    "garbage": request("/e") + "\x16\x03\x01",
    "smuggle": f"POST /e HTTP/1.1\r\n{H}{CHUNKED}\r\n0\r\n\r\nX" + request("/e"),
}

for name, items in (("http_head", HEADS), ("http_chunked", BODIES), ("http_conn", CONNECTIONS)):
    folder = here / name
    folder.mkdir(parents=True, exist_ok=True)
    for key, text in items.items():
        (folder / key).write_bytes(text.encode("latin-1"))
