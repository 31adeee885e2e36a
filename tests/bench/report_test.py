# SPDX-License-Identifier: MIT
"""The parts of bench/ that need no other program: what is read from the programs' output, medians and shares, tables, files, charts, and what
bench/roofline prints. TAP.

usage: report_test.py ROOFLINE"""
import json
import os
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as xml

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../bench"))

import chart  # noqa: E402
import compare  # noqa: E402
import report  # noqa: E402
import roof  # noqa: E402
from compare import Test  # noqa: E402

ROWS = [
    report.median_row(("a:Q8_0", "pp512", "tokens/s"), [300, 100, 200], [40, 20, 10], ([0.3, 0.1, 0.2], [0.04, 0.02, 0.01], "multiply")),
    report.median_row(("b<&>:Q4_K_M", "pp512", "tokens/s"), [10, 20], [30, 60]),
    report.median_row(("a:Q8_0", "tg128", "tokens/s"), [50], [40], ([0.9], [0.7], "read")),
    report.median_row(("a:Q8_0", "tg32x8 @ d64", "tokens/s"), [200], [44]),
    report.median_row(("a:Q8_0", "first token", "ms"), [5], [20]),
]
TENSORS = [
    {"name": "token_embd.weight", "type": "Q8_0", "shape": [64, 1000], "bytes": 68000},
    {"name": "blk.0.attn_q.weight", "type": "Q8_0", "shape": [64, 64], "bytes": 4352},
    {"name": "blk.0.ffn_up_exps.weight", "type": "F16", "shape": [64, 32, 8], "bytes": 32768},
    {"name": "blk.0.attn_norm.weight", "type": "F32", "shape": [64], "bytes": 256},
]
META = {"general.architecture": "x", "x.block_count": 1, "x.embedding_length": 64, "x.attention.head_count": 4, "x.attention.head_count_kv": 2,
        "x.expert_count": 8, "x.expert_used_count": 2}


def inspected(tensors):
    return {"metadata": [{"key": k, "value": v} for k, v in META.items()], "tensors": tensors}


def programs_output_becomes_rates():
    ours = ('note\n{"test":"pp8","depth":20,"sequences":1,"tokens_per_second":{"min":1.0,"median":2.5,"max":3.0},"threads":1}\n'
            '{"test":"tg4x3","depth":20,"sequences":3,"tokens_per_second":{"min":1.0,"median":7.0,"max":9.0},"threads":1}\n')
    assert compare.drover_rates(ours) == {Test("pp", 8, 20): 2.5, Test("tg", 4, 20, 3): 7.0}
    theirs = '{"n_prompt": 8, "n_gen": 0, "n_depth": 20, "avg_ts": 4.5}\n{"n_prompt": 0, "n_gen": 4, "n_depth": 0, "avg_ts": 5.5}\n'
    assert compare.bench_rates(theirs) == {Test("pp", 8, 20): 4.5, Test("tg", 4): 5.5}
    assert compare.batched_rates('\n{"pp": 20, "tg": 4, "pl": 3, "speed_tg": 6.5, "speed": 1}\n') == {Test("tg", 4, 20, 3): 6.5}
    assert compare.batched_rates("") == {}


def tests_have_names():
    assert [t.name() for t in (Test("pp", 512), Test("tg", 4, 8), Test("tg", 32, 64, 8))] == ["pp512", "tg4 @ d8", "tg32x8 @ d64"]


def rows_are_medians_and_ratios():
    assert (ROWS[0].ours, ROWS[0].theirs, ROWS[0].ratio(), ROWS[0].share, ROWS[0].their_share) == (200, 20, 10, 0.2, 0.02)
    assert (ROWS[1].ours, ROWS[1].theirs, ROWS[1].share) == (15, 45, None)
    assert ROWS[4].ratio() == 4  # of times, less is better


def notes_collect_runs():
    notes = compare.Notes()
    for ours, theirs, best in ((10, 5, 100), (30, 6, 100), (20, 7, 200)):
        notes.note("m:Q", "pp4", "tokens/s", [ours, theirs], best, "read")
        notes.note("m:Q", "first token", "ms", [1, 2])
    speed, first = notes.rows()
    assert (speed.ours, speed.theirs, speed.share, speed.limit, speed.our_runs) == (20, 6, 0.1, "read", (10, 30, 20))
    assert first.share is None and first.ratio() == 2


def batches_are_compared_with_one():
    assert list(compare.gains(ROWS)) == ["a Q8_0: a token of 8 sequences costs 1/4.0 of one alone, llama.cpp 1/1.1"]


def tables_have_as_many_cells_everywhere():
    for rows in (ROWS, ROWS[3:]):
        lines = report.table(rows).splitlines()
        assert len(lines) == len(rows) + 2
        assert len({line.count("|") for line in lines}) == 1, lines
    assert "| a Q8_0 | pp512 | tokens/s | 200.00 | 20.00 | 10.00x | 20 % | 2 % | multiply |" in report.table(ROWS)


def files_are_read_as_written():
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "sub/x.csv")
        report.write_csv(path, ROWS, {"threads": "2", "peer": 'a, "b"'})
        rows, about = report.read_csv(path)
    assert rows == ROWS and about == {"threads": "2", "peer": 'a, "b"'}


def weights_are_counted():
    w = roof.weights(inspected(TENSORS))
    assert (w.out_bytes, w.out_int8, w.out_f32) == (68000, 64000, 0)  # the embeddings are the output, too
    assert (w.bytes, w.int8, w.f32) == (4352 + 32768 / 4 + 256, 4096, 16384 / 4)
    assert w.kv_bytes == 2 * 2 * 32
    w = roof.weights(inspected(TENSORS + [{"name": "output.weight", "type": "F32", "shape": [64, 1000], "bytes": 256000}]))
    assert (w.out_bytes, w.out_int8, w.out_f32, w.int8) == (256000, 0, 64000, 4096)


def machine_is_the_best_of_its_threads():
    measured = {"read": [{"threads": 1, "gb_per_second": 9}, {"threads": 2, "gb_per_second": 5}, {"threads": 2, "gb_per_second": 7}],
                "multiply": [{"threads": 2, "of": "int8", "gmac_per_second": 3}, {"threads": 2, "of": "f32", "gmac_per_second": 2},
                             {"threads": 1, "of": "int8", "gmac_per_second": 8}]}
    assert roof.machine(measured, 2) == (7e9, 3e9, 2e9)
    assert roof.machine({"read": [], "multiply": []}, 2) == (0, 0, 0)


def limits_follow_from_bytes_and_multiplications():
    w = roof.Weights(bytes=900, int8=1000, f32=0, out_bytes=100, out_int8=200, out_f32=0, kv_bytes=10)
    m = roof.Machine(bytes=1e4, int8=1.2e5, f32=0)
    assert roof.limit(Test("tg", 128), w, m) == (10, "read")
    assert roof.limit(Test("tg", 128, depth=100), w, m) == (5, "read")
    assert roof.limit(Test("tg", 32, sequences=8), w, m) == (80, "read")
    assert roof.limit(Test("tg", 32, sequences=20), w, m) == (100, "multiply")
    rate, by = roof.limit(Test("pp", 1024), w, m)
    assert by == "multiply" and abs(rate - 1.2e5 / (1000 + 200 / 1024)) < 1e-9
    assert roof.limit(Test("pp", 1), w, m) == (10, "read")
    assert roof.limit(Test("tg", 1), w._replace(f32=5), m) == (0, "")  # nothing is known of floats


def charts_are_xml():
    tree = xml.fromstring(chart.svg(ROWS, "a < b", ["one & two", "three"]))
    texts = ["".join(t.itertext()) for t in tree.iter("{http://www.w3.org/2000/svg}text")]
    for want in ("b<&> Q4_K_M", "200 tokens/s, 10.0x", "20 % of the multipliers' rate", "one & two", "prefill: a prompt of 512 tokens",
                 "decode: 128 tokens, one sequence", "decode: 32 tokens in 8 sequences at a time, after 64 tokens"):
        assert want in texts, (want, texts)
    assert "first token" not in " ".join(texts)
    bars = [float(r.get("width")) for r in tree.iter("{http://www.w3.org/2000/svg}rect") if r.get("x") == str(chart.LABELS)]
    assert len(bars) == 8 and max(bars) == chart.BARS and abs(bars[0] / bars[1] - 10) < 0.1
    assert xml.fromstring(chart.svg([], "nothing", [])) is not None


def captions_tell_of_a_busy_machine():
    facts = {"cpu": "C", "cores": "2", "threads": "2", "level": "c", "date": "d", "runs": "5", "peer": "p", "others": "0.01", "note": ""}
    assert len(compare.caption(facts)) == 2
    assert "43 % of the processors" in compare.caption(facts | {"others": "0.43"})[2]
    assert compare.caption(facts | {"note": "only a try"})[2:] == ["only a try"]
    assert 0 <= compare.Others().share() < 1.5


def options_are_checked():
    assert compare.numbers("1,7,33") == [1, 7, 33] and compare.batch_of("0,4,2") == [0, 4, 2]
    for parse, text in ((compare.numbers, "1,-2"), (compare.numbers, "x"), (compare.batch_of, "1,2"), (compare.batch_of, "1,2,1"),
                        (compare.words_of(["a"]), "a,b")):
        try:
            parse(text)
        except (ValueError, compare.argparse.ArgumentTypeError):
            continue
        raise AssertionError(text)


def roofline_measures():
    def run(*args):
        return subprocess.run([sys.argv[1], *args], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, check=False)

    done = run("2", "8", "1")
    assert done.returncode == 0, done.stderr
    measured = json.loads(done.stdout)
    assert {e["threads"] for e in measured["read"]} == {1, 2} and {e["pages"] for e in measured["read"]} == {"small", "huge"}
    assert all(e["gb_per_second"] > 0 for e in measured["read"]) and all(e["gmac_per_second"] > 0 for e in measured["multiply"])
    if measured["level"] != "c":
        assert all(v > 0 for v in roof.machine(measured, 2))
    plain = json.loads(run("1", "8", "1", "c").stdout)
    assert plain["level"] == "c" and plain["multiply"] == [] and plain["read"]
    for wrong in (["0"], ["1", "x"], ["1", "1", "1", "sse"], ["1"] * 5):
        assert run(*wrong).returncode == 2, wrong


def main():
    tests = [f for name, f in list(globals().items()) if callable(f) and getattr(f, "__module__", "") == __name__ and name not in ("main", "inspected")]
    print(f"1..{len(tests)}")
    failed = 0
    for i, test in enumerate(tests, 1):
        try:
            test()
            print(f"ok {i} - {test.__name__}")
        except Exception as e:  # pylint: disable=broad-except
            failed += 1
            print(f"not ok {i} - {test.__name__}: {type(e).__name__} {str(e)[:400]!r}")
    return failed != 0


if __name__ == "__main__":
    sys.exit(main())
