# SPDX-License-Identifier: MIT
"""Prints "PASSED FAILED" for a JUnit file as Meson writes it: one <testcase> per case, with <failure> or <error> inside."""
import sys
import xml.etree.ElementTree as ET

passed = failed = 0
for suite in ET.parse(sys.argv[1]).getroot().iter("testsuite"):
    cases = list(suite.iter("testcase"))
    bad = sum(1 for c in cases if c.find("failure") is not None or c.find("error") is not None)
    skipped = sum(1 for c in cases if c.find("skipped") is not None)
    # A program that died before it reported any case.
    if not bad and int(suite.get("errors", 0)) + int(suite.get("failures", 0)) > 0:
        bad = 1
    failed += bad
    passed += max(len(cases) - bad - skipped, 0)
print(passed, failed)
