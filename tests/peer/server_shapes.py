# SPDX-License-Identifier: MIT
"""drover engine against llama-server: the same requests to both, with the same model. Whatever llama-server says drover says too: the
status, the keys of every object and the types of their values, the events of streams in their order; and, where nothing is left to
chance, the values.

What differs on purpose is listed in IGNORED and in the cases. Prints a line for each request and `N passed, N failed`; exit code 1 if
something failed."""
import argparse
import http.client
import json
import os
import subprocess
import sys
import tempfile

from peer import Peer, PeerError

TOP = os.path.abspath(os.path.join(os.path.dirname(__file__), "../.."))

# Keys of llama-server that drover does not have: samplers that it does not have, images and sound, the file's type; the list of models a
# second time, in the shape of another API.
IGNORED = {"adaptive_target", "adaptive_decay", "architecture", "ftype", "media_marker", "model_ftype", "models", "vocab_type"}

GREEDY = {"temperature": 0, "n_predict": 8}
CHAT = [{"role": "user", "content": "apple"}]
# What is the same in both answers to a greedy completion.
FACTS = ("content", "tokens_predicted", "tokens_evaluated", "tokens_cached", "stop_type", "stopping_word", "truncated", "has_new_line", "prompt", "stop", "index")


def case(method, path, body=None, same=(), stream=False):
    return {"method": method, "path": path, "body": body, "same": same, "stream": stream}


CASES = [
    case("GET", "/health", same=("status",)),
    case("GET", "/props", same=("total_slots", "chat_template", "bos_token", "eos_token", "is_sleeping")),
    case("GET", "/slots"),
    case("GET", "/lora-adapters"),
    case("GET", "/v1/models"),
    case("GET", "/models"),
    case("POST", "/completion", {"prompt": "apple", **GREEDY}, FACTS),
    case("POST", "/completions", {"prompt": "apple", **GREEDY, "n_predict": -1}, FACTS),
    case("POST", "/completion", {"prompt": "apple", **GREEDY, "stop": ["e"]}, FACTS),
    case("POST", "/completion", {"prompt": "apple", **GREEDY, "return_tokens": True, "n_probs": 3}, FACTS + ("tokens",)),
    case("POST", "/completion", {"prompt": "apple", "n_predict": 4, "top_k": 3, "n_probs": 2, "post_sampling_probs": True}),
    case("POST", "/completion", {"prompt": ["apple", [97, 98], ["a", 98]], **GREEDY}),
    case("POST", "/completion", {"prompt": ["apple"], **GREEDY, "response_fields": ["content", "timings/prompt_n", "nothing"]}, ("content",)),
    case("POST", "/completion", {"prompt": "apple", **GREEDY, "stream": True}, FACTS, stream=True),
    case("POST", "/completion", {"prompt": "apple", **GREEDY, "stream": True, "n_probs": 2, "timings_per_token": True}, FACTS, stream=True),
    case("POST", "/completion", {"prompt": "apple", **GREEDY, "logit_bias": [["a", False], [5, 1.5]]}),
    case("POST", "/completion", {"prompt": "apple", **GREEDY, "grammar": 'root ::= "ab" "c"+'}),
    case("POST", "/completion", {}),
    case("POST", "/completion", {"prompt": []}),
    case("POST", "/completion", {"prompt": "cat " * 400}),
    case("POST", "/completion", {"prompt": "a", "grammar": "root ::= ("}),
    case("POST", "/tokenize", {"content": "Hello <|im_end|> world"}, ("tokens",)),
    case("POST", "/tokenize", {"content": "Hello <|im_end|> world", "add_special": True, "parse_special": False}, ("tokens",)),
    case("POST", "/tokenize", {"content": "é x", "with_pieces": True}, ("tokens",)),
    case("POST", "/tokenize", {"content": ["a", 5, "b"]}, ("tokens",)),
    case("POST", "/detokenize", {"tokens": [1, 2, 3, 300]}, ("content",)),
    case("POST", "/apply-template", {"messages": CHAT}, ("prompt",)),
    case("POST", "/infill", {"input_prefix": "a", "input_suffix": "b"}),
    case("POST", "/rerank", {"query": "a", "documents": ["b"]}),
    case("POST", "/completion", {"prompt": "the quick brown fox jumps over the lazy dog and runs far away from there", "id_slot": 0, **GREEDY}, FACTS),
    case("POST", "/slots/0?action=save", {"filename": "one.bin"}, ("id_slot", "filename")),
    case("POST", "/slots/0?action=restore", {"filename": "one.bin"}, ("id_slot", "filename")),
    case("POST", "/slots/0?action=restore", {"filename": "missing.bin"}),
    case("POST", "/slots/0?action=restore", {"filename": "../one.bin"}),
    case("POST", "/slots/0?action=erase", None, ("id_slot",)),
    case("POST", "/slots/0?action=burn", {}),
    case("POST", "/slots/x?action=erase", {}),
    case("POST", "/v1/chat/completions", {"messages": CHAT, "temperature": 0, "max_tokens": 8}),
    case("POST", "/v1/chat/completions", {"messages": CHAT, "temperature": 0, "max_tokens": 8, "stream": True, "stream_options": {"include_usage": True}}, stream=True),
    case("POST", "/v1/chat/completions", {"messages": CHAT, "temperature": 0, "max_tokens": 8, "stream": True, "timings_per_token": True}, stream=True),
    case("POST", "/v1/completions", {"prompt": "apple", "temperature": 0, "max_tokens": 8}),
    case("POST", "/v1/completions", {"prompt": "apple", "temperature": 0, "max_tokens": 8, "stream": True}, stream=True),
    case("POST", "/v1/completions", {"prompt": "apple", "temperature": 0, "max_tokens": 8, "stream": True, "timings_per_token": True}, stream=True),
    case("POST", "/v1/messages", {"messages": CHAT, "temperature": 0, "max_tokens": 8}, ("content/0/text", "stop_reason", "usage/output_tokens")),
    case("POST", "/v1/messages", {"messages": CHAT, "temperature": 0, "max_tokens": 8, "stream": True}, stream=True),
    case("POST", "/v1/messages/count_tokens", {"messages": CHAT}, ("input_tokens",)),
    case("POST", "/v1/responses", {"input": "apple", "temperature": 0, "max_output_tokens": 100}, ("output/0/content/0/text", "status", "usage/output_tokens")),
    case("POST", "/v1/responses", {"input": "apple", "temperature": 0, "max_output_tokens": 100, "stream": True}, stream=True),
    case("POST", "/embedding", {"content": "apple"}),
    case("POST", "/embeddings", {"content": ["apple", "dog"]}),
    case("POST", "/v1/embeddings", {"input": ["apple", "dog"]}),
    case("GET", "/no/such/path"),
]


class Drover:
    """drover engine on a free loopback port, stopped by its process id."""

    def __init__(self, build, model, *args):
        cmd = [os.path.join(build, "drover"), "engine", "-m", model, "--port", "0", "-np", "1", "-t", "1", "--log-level", "warn", *args]
        self.proc = subprocess.Popen(cmd, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)

    def __enter__(self):
        for line in self.proc.stderr:
            if "listening on http://127.0.0.1:" in line:
                self.port = int(line.strip().rsplit(":", 1)[1])
                return self
        self.proc.wait()
        raise PeerError("drover engine did not start")

    def __exit__(self, *exc):
        self.proc.terminate()
        self.proc.wait(60)
        self.proc.stderr.close()

    def request(self, method, path, body):
        c = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            c.request(method, path, json.dumps(body) if body is not None else None, {"Content-Type": "application/json"})
            r = c.getresponse()
            return r.status, r.read()
        finally:
            c.close()


def kind(v):
    if isinstance(v, bool) or v is None:
        return "null" if v is None else "bool"
    return "number" if isinstance(v, (int, float)) else type(v).__name__


def differences(theirs, ours, at=""):
    """What of theirs is not in ours. Null goes with everything: it is what a value is before it is known."""
    if theirs is None or ours is None:
        return
    if kind(theirs) != kind(ours):
        yield f"{at or 'the answer'} is a {kind(ours)}, not a {kind(theirs)}"
    elif isinstance(theirs, dict):
        for key, value in theirs.items():
            if key in ours:
                yield from differences(value, ours[key], f"{at}/{key}")
            elif key not in IGNORED:
                yield f"{at}/{key} is missing"
    elif isinstance(theirs, list) and theirs:
        if ours:
            yield from differences(theirs[0], ours[0], f"{at}/0")
        else:
            yield f"{at} is empty"


def lookup(v, path):
    for key in path.split("/"):
        v = v[int(key)] if isinstance(v, list) else v.get(key)
    return v


def frames(data):
    """(event, object) of each frame but [DONE] and those that only keep a connection alive."""
    out = []
    for block in data.decode().split("\n\n"):
        lines = dict(line.split(": ", 1) for line in block.split("\n") if ": " in line)
        if "data" not in lines or lines["data"] == "[DONE]" or lines.get("event") == "ping":
            continue
        out.append((lines.get("event", ""), json.loads(lines["data"])))
    return out


def compare_streams(theirs, ours):
    """The order of events, and for each the keys that all of theirs have."""
    theirs, ours = frames(theirs), frames(ours)
    order = lambda list_: [name for i, (name, _) in enumerate(list_) if i == 0 or name != list_[i - 1][0]]
    if order(theirs) != order(ours):
        yield f"events are {order(ours)}, not {order(theirs)}"
        return
    for pick, name in ((0, "first"), (len(theirs) // 2, "middle"), (-1, "last")):
        mine = ours[len(ours) // 2] if name == "middle" else ours[pick]
        yield from (f"{name} event: {d}" for d in differences(theirs[pick][1], mine[1]))


def compare(c, theirs, ours):
    if theirs[0] != ours[0]:
        yield f"status {ours[0]}, not {theirs[0]}: {ours[1][:200]!r}"
        return
    if c["stream"]:
        yield from compare_streams(theirs[1], ours[1])
        theirs, ours = frames(theirs[1])[-1][1], frames(ours[1])[-1][1]
    else:
        theirs, ours = json.loads(theirs[1]), json.loads(ours[1])
        yield from differences(theirs, ours)
    for path in c["same"]:
        a, b = lookup(theirs, path), lookup(ours, path)
        if a != b:
            yield f"{path} is {b!r}, not {a!r}"


def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("--build", default=os.path.join(TOP, "build"), help="Meson build folder (default: build)")
    ap.add_argument("--peer", default=os.environ.get("DV_PEER", os.path.join(TOP, "build-peer/llama")), help="folder made by setup.sh")
    args = ap.parse_args()
    model = os.path.join(TOP, "models/pocket-dictionary.gguf")
    passed = failed = 0
    try:
        with Peer(args.peer) as peer, tempfile.TemporaryDirectory(prefix="drover-") as slots, \
                peer.server(peer.give(model), "-c", "256", "--slots", "--embeddings", "--pooling", "mean", "--slot-save-path", peer.inside(peer.work)) as theirs, \
                Drover(args.build, model, "-c", "256", "--slot-save-path", slots) as ours:
            for c in CASES:
                ask = (c["method"], c["path"], c["body"])
                bad = list(compare(c, theirs.request(*ask), ours.request(*ask)))
                print(f"{'FAILED' if bad else 'ok':<7}{c['method']} {c['path']} {json.dumps(c['body'])[:90]}", *bad, sep="\n         ", flush=True)
                passed, failed = passed + (not bad), failed + bool(bad)
    except (PeerError, OSError, ValueError) as e:
        print(f"server_shapes.py: {e}", file=sys.stderr)
        failed += 1
    print(f"{passed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
