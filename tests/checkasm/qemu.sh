#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# The built programs on emulated older CPUs: without AVX (an instruction of a higher level that leaked into code for
# everyone is an illegal instruction there) and with AVX2 only. Needs QEMU's user-mode emulation; about four minutes of
# CPU time, so it is not part of the default tests.
# usage: tests/checkasm/qemu.sh [BUILD]   (default: build)      exit status: 0 passed, 1 failed, 77 skipped
set -u
cd "$(dirname "$0")/../.."
build=${1:-build}
qemu=$(command -v qemu-x86_64) || {
    echo "SKIP: qemu-x86_64 is not installed (Debian: apt-get install qemu-user)"
    exit 77
}
[ "$(uname -m)" = x86_64 ] && [ -x "$build/tests/checkasm/checkasm" ] || {
    echo "SKIP: no x86-64 build with tests in $build"
    exit 77
}

failed=0
out=$(mktemp) || exit 1
trap 'rm -f "$out"' EXIT

# emulate CPU PROGRAM ARGS...: stdout and stderr without the emulator's notes on CPU features that it lacks.
emulate() {
    local cpu=$1
    shift
    "$qemu" -cpu "$cpu" "$@" >"$out" 2>&1
    local status=$?
    sed -i '/^qemu-x86_64: warning: TCG doesn.t support/d' "$out"
    return $status
}

verdict() { # STATUS WHAT
    if [ "$1" -eq 0 ]; then
        echo "ok   $2"
    else
        echo "FAIL $2"
        tail -n 20 "$out"
        failed=1
    fi
}

level() { # CPU LEVEL
    emulate "$1" "$build/drover" info && grep -Eq "^kernels +$2 \\(best here: $2\\)" "$out"
    verdict $? "$1: level $2 is chosen"
}

# The same words on every CPU: results do not depend on the level.
answer() { # CPU
    emulate "$1" "$build/drover" run -m models/pocket-dictionary.gguf -p "What is a llama?" -n 8 --temp 0 &&
        grep -Fq "$expected" "$out"
    verdict $? "$1: the model's answer"
}

expected=$("$build/drover" run -m models/pocket-dictionary.gguf -p "What is a llama?" -n 8 --temp 0 2>/dev/null)
[ -n "$expected" ]
verdict $? "this CPU: the model's answer"

level Nehalem c
answer Nehalem
emulate Nehalem "$build/tests/unit/test_kern"
verdict $? "Nehalem: C kernels"

level Haswell avx2
answer Haswell
emulate Haswell "$build/tests/checkasm/checkasm" --level avx2
verdict $? "Haswell: AVX2 kernels against the C reference"
exit $failed
