# SPDX-License-Identifier: MIT
"""Checks on every text file of the repository: the first line of sources names the licence, no path of somebody's machine, no line with
blanks at its end, no tabs, a line feed at the end; links
in Markdown lead to files.

usage: tree.py ROOT"""
import pathlib
import re
import subprocess
import sys

SOURCES = {".c", ".h", ".py", ".sh", ".mjs", ".js", ".build"}
MACHINE = re.compile(r"(?<![\w.~}$)/])/(work|root|home|Users)/\w")
# Not written by hand: inputs of tests, results of other programs, licences.
DATA = re.compile(r"^(tests/(golden|fuzz/corpus)/.*\.(json|jsonl|txt|jinja|bin|out|inp)$|tests/fuzz/corpus/|tests/peer/templates/|models/LICENSE|LICENSE)")


def files(root):
    """Tracked files, or every file where there is no git."""
    git = subprocess.run(["git", "-C", str(root), "ls-files", "-z"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=False)
    if git.returncode == 0:
        return [root / name for name in git.stdout.decode().split("\0") if name and (root / name).is_file()]
    skip = re.compile(r"^(\.git|build.*|node_modules)$")
    return [p for p in root.rglob("*") if p.is_file() and not any(skip.match(part) for part in p.relative_to(root).parts)]


def check(name, text):
    if pathlib.Path(name).suffix in SOURCES or name in ("Makefile", ".ci/run"):
        head = text.split("\n")[:2]
        if not any("SPDX-License-Identifier: MIT" in line for line in (head[:1] if head[0][:2] != "#!" else head[1:])):
            yield "1: the first line (below #!) is not the SPDX line"
    if text and not text.endswith("\n"):
        yield "no line feed at the end"
    for n, line in enumerate(text.split("\n"), 1):
        if MACHINE.search(line):
            yield f"{n}: a path of somebody's machine"
        if line != line.rstrip():
            yield f"{n}: blanks at the end"
        if "\t" in line and name != "Makefile":
            yield f"{n}: a tab"


def check_links(path, text):
    for target in re.findall(r"\]\(([^)#\s]+)", text):
        if "://" not in target and not (path.parent / target).exists():
            yield f" link to {target}, which does not exist"


def main():
    root = pathlib.Path(sys.argv[1])
    bad = []
    for path in files(root):
        name = str(path.relative_to(root))
        data = path.read_bytes()
        if DATA.match(name) or b"\0" in data:
            continue
        try:
            text = data.decode()
            bad += [f"{name}:{problem}" for problem in check(name, text)]
            if path.suffix == ".md":
                bad += [f"{name}:{problem}" for problem in check_links(path, text)]
        except UnicodeDecodeError:
            bad.append(f"{name}: not UTF-8")
    print("\n".join(bad))
    return bool(bad)


sys.exit(main())
