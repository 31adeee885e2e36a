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


def run(*args):
    return subprocess.run([tool, *args], cwd=root, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, check=False)


folders = ("src", "include", "tests", "tools", "bench", "examples")
names = sorted(str(p.relative_to(root)) for folder in folders for p in (root / folder).rglob("*") if p.suffix in (".c", ".h"))
check = run("--dry-run", "--Werror", *names)
if check.returncode == 0:
    sys.exit(0)
bad = sorted({m[1] for m in re.finditer(r"^(.+?):\d+:\d+: error: code should be clang-formatted", check.stderr, re.MULTILINE)})
for name in bad[:10]:
    was, formatted = (root / name).read_text().splitlines(), run(name).stdout.splitlines()
    print("\n".join(list(difflib.unified_diff(was, formatted, name, name + " formatted", lineterm="", n=1))[:40]))
print(f"{len(bad)} files are not formatted" if bad else check.stderr)
sys.exit(1)
