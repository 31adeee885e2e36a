# SPDX-License-Identifier: MIT
"""Prints "PASSED FAILED" for a testlog.json of Meson (its JUnit file says nothing of programs that crash or run out of time).

A program that speaks TAP, recognised by its plan, counts by its test points; any other counts as one. A program that Meson does not call
good counts at least one failure, whatever its points say. Skipped points and programs count neither way; a program that says nothing at
all where TAP is expected is a failure, although Meson calls it skipped.

usage: count_tests.py testlog.json | count_tests.py --self-test"""
import json
import re
import sys

PLAN = re.compile(r"1\.\.(\d+)")
POINT = re.compile(r"(not )?ok\b(?:[^#\\]|\\.)*(?:#\s*(skip|todo))?", re.IGNORECASE)


def count(test):
    """(passed, failed) of one program's record."""
    lines = test.get("stdout", "").splitlines()
    good = test["result"] in ("OK", "EXPECTEDFAIL")
    if test["result"] == "SKIP":
        plan = any(PLAN.match(line) for line in lines)
        return (0, 0) if plan or test.get("returncode") == 77 else (0, 1)
    if not any(PLAN.match(line) for line in lines):
        return (1, 0) if good else (0, 1)
    passed = failed = 0
    for point in filter(None, map(POINT.match, lines)):
        if (point[2] or "").lower() == "skip":
            continue
        if point[1] and (point[2] or "").lower() != "todo":
            failed += 1
        else:
            passed += 1
    return passed, failed if good else max(failed, 1)


def self_test():
    cases = [
        ("OK", 0, "1..2\nok 1 - a\nok 2 - b\n", (2, 0)),
        ("OK", 0, "TAP version 13\n    ok 1 - inner\n    1..1\nok 1 - a\n1..1\n", (1, 0)),
        ("ERROR", 1, "1..2\nok 1 - a\nnot ok 2 - b\n", (1, 1)),
        ("ERROR", -11, "1..2\nok 1 - a\n", (1, 1)),
        ("ERROR", -11, "1..2\nok 1 - a\nok 2 - b\n", (2, 1)),
        ("TIMEOUT", -15, "1..3\nok 1 - a\n", (1, 1)),
        ("ERROR", 0, "1..2\nok 1 - a\nBail out! x\n", (1, 1)),
        ("OK", 0, "1..3\nok 1 - a\nok 2 - b # SKIP why\nnot ok 3 - c # TODO why\n", (2, 0)),
        ("OK", 0, "1..1\nok 1 - with \\# skip in its name\n", (1, 0)),
        ("SKIP", 0, "1..0 # SKIP why\n", (0, 0)),
        ("SKIP", 0, "", (0, 1)),
        ("SKIP", 77, "", (0, 0)),
        ("OK", 0, "ok this is no TAP\n", (1, 0)),
        ("FAIL", 1, "", (0, 1)),
        ("FAIL", -11, "", (0, 1)),
        ("TIMEOUT", -15, "", (0, 1)),
        ("UNEXPECTEDPASS", 0, "", (0, 1)),
        ("INTERRUPT", None, "", (0, 1)),
    ]
    bad = 0
    print(f"1..{len(cases)}")
    for n, (result, code, out, want) in enumerate(cases, 1):
        got = count({"result": result, "returncode": code, "stdout": out})
        bad += got != want
        print(f"{'ok' if got == want else 'not ok'} {n} - {result} {out!r}: {got}".replace("#", "\\#"))
    return bad != 0


def main():
    if sys.argv[1] == "--self-test":
        return self_test()
    with open(sys.argv[1], encoding="utf-8") as f:
        counts = [count(json.loads(line)) for line in f]
    print(sum(p for p, _ in counts), sum(f for _, f in counts))
    return 0


sys.exit(main())
