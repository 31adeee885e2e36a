# SPDX-License-Identifier: MIT
"""Checks on what the compiler made of src/, by nm and objdump.

symbols   Visibility is readable in the name: a global of a library is dv_x (for other folders) or dv__x (for its own folder), and no
          folder uses another's dv__x.
exports   What a shared library exports is what the installed headers declare as DV_API, and nothing else.
baseline  Objects outside src/kern/x86 run on every x86-64 machine: no instruction of SSE3 or later is in them.

usage: objects.py symbols|exports|baseline BUILD_ROOT"""
import pathlib
import re
import subprocess
import sys

# What compilers add for sanitizers and coverage.
RUNTIME = re.compile(r"__(asan|ubsan|tsan|msan|odr_asan|sancov|gcov|llvm|start_|stop_)")
# VEX and EVEX names all start with v; the registers catch the rest of AVX-512. Then BMI, and SSE3 to SSE4.2 as compilers emit them.
WIDE = re.compile(
    r"^(v(?!err|erw)\w+|k(mov|and|or|xor|xnor|not|test|shift|add|unpck)\w*"
    r"|andn|bextr|blsi|blsmsk|blsr|bzhi|mulx|pdep|pext|rorx|sarx|shlx|shrx|lzcnt|popcnt|movbe"
    r"|pshufb|palignr|pabs[bwd]|psign[bwd]|pmadd?ubsw|pmulhrsw|ph(add|sub)\w+|(h|addsub)(add|sub)?p[sd]|movddup|movs[hl]dup|lddqu"
    r"|p?blend\w+|round[sp][sd]|dpp[sd]|p(min|max)(sb|sd|uw|ud)|pmul(ld|dq)|pcmp(eqq|gtq|[ei]str[im])|pmov[sz]x\w+|pinsr[bdq]|pextr[bdq]"
    r"|insertps|extractps|ptest|packusdw|phminposuw|mpsadbw|crc32\w*)$")


def output(*args):
    return subprocess.run(args, check=True, stdout=subprocess.PIPE, text=True).stdout.splitlines()


def libraries(root):
    """{folder: [library]}; the libraries below src/kern/ are kern's."""
    found = {}
    for lib in sorted((root / "src").rglob("lib*.a")):
        found.setdefault(lib.relative_to(root / "src").parts[0], []).append(lib)
    return found


def names(lib, which):
    """Names of a library's globals: which is --defined-only or --undefined-only."""
    fields = [line.split() for line in output("nm", "-g", which, str(lib))]
    return {f[-1] for f in fields if len(f) >= 2 and not f[-1].endswith(":") and not RUNTIME.match(f[-1])}


def symbols(root):
    bad, n = [], 0
    for folder, libs in libraries(root).items():
        defined = set().union(*(names(lib, "--defined-only") for lib in libs))
        n += len(defined)
        bad += [f"{folder} defines {name}, which is neither dv_ nor dv__" for name in sorted(defined) if not name.startswith("dv_")]
        for lib in libs:
            foreign = {name for name in names(lib, "--undefined-only") if name.startswith("dv__")} - defined
            bad += [f"{folder} uses {name}, which is another folder's own" for name in sorted(foreign)]
    return bad, f"{n} globals"


def exports(root):
    include = pathlib.Path(__file__).resolve().parents[2] / "include" / "drover"
    declared = {name for path in include.glob("*.h") for name in re.findall(r"^DV_API\b[^;(]*?\b(dv_\w+)\(", path.read_text(), re.M)}
    bad, found = [], set()
    for lib in sorted(root.glob("libdrover*.so")):
        defined = {f[-1] for f in (line.split() for line in output("nm", "-D", "--defined-only", str(lib))) if not RUNTIME.match(f[-1])}
        bad += [f"{lib.name} exports {name}, which no installed header declares" for name in sorted(defined - declared)]
        found |= defined
    bad += [f"{name} is declared, and no library exports it" for name in sorted(declared - found)]
    return bad, f"{len(found)} exports"


def baseline(root):
    paths = [lib for libs in libraries(root).values() for lib in libs if lib.parent.name != "x86"] + sorted(root.glob("drover.p/*.o"))
    bad, n = [], 0
    for path in paths:
        where = ""
        for line in output("objdump", "-d", "--no-show-raw-insn", str(path)):
            if line.endswith(">:"):
                where = line.split("<")[1][:-2]
            fields = line.split("\t")
            if len(fields) < 2:
                continue
            n += 1
            if WIDE.match(fields[1].split(" ")[0]) or "%ymm" in line or "%zmm" in line:
                bad.append(f"{path.relative_to(root)}: {where}: {' '.join(fields[1:]).strip()}")
    return bad, f"{n} instructions"


def main():
    check = {"symbols": symbols, "exports": exports, "baseline": baseline}[sys.argv[1]]
    bad, seen = check(pathlib.Path(sys.argv[2]))
    if seen.startswith("0 "):
        bad.append("nothing to look at")
    print("\n".join(bad[:50] or [seen]))
    return bool(bad)


sys.exit(main())
