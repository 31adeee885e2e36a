# SPDX-License-Identifier: MIT
"""C files are as clang-format 14 (Debian 12's) writes them with .clang-format; shows the difference. Other versions format a little
differently, so without that one the check is skipped.

usage: format.py ROOT      to format: git ls-files '*.c' '*.h' | xargs clang-format -i"""
import difflib
import pathlib
import re
import shutil
import subprocess
import sys

root = pathlib.Path(sys.argv[1])
tool = next((name for name in ("clang-format-14", "clang-format") if shutil.which(name)), None)
version = subprocess.run([tool, "--version"], stdout=subprocess.PIPE, text=True, check=True).stdout if tool else "none"
if not re.search(r"version 14\.", version):
    print(f"skipped: needs clang-format 14, found {version.strip()}")
    sys.exit(77)
bad = 0
for folder in ("src", "include", "tests", "tools", "bench", "examples"):
    for path in sorted(p for p in (root / folder).rglob("*") if p.suffix in (".c", ".h")):
        # In the root's folder, since that is where clang-format looks for its settings from.
        done = subprocess.run([tool, str(path)], cwd=root, stdout=subprocess.PIPE, text=True, check=True).stdout
        name = str(path.relative_to(root))
        diff = list(difflib.unified_diff(path.read_text().splitlines(), done.splitlines(), name, name + " formatted", lineterm="", n=1))
        bad += bool(diff)
        if diff and bad <= 10:
            print("\n".join(diff[:40]))
print(f"{bad} files are not formatted")
sys.exit(bad != 0)
