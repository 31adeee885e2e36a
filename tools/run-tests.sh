#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Build and run every test: an optimised gcc build with all suites, a clang build of everything, and the unit tests under the
# sanitizers. The last line is "N passed, N failed"; the exit status is 0 only if none failed.
# usage: tools/run-tests.sh [plain|clang|asan|tsan]...   (default: all)
set -u
cd "$(dirname "$0")/.."

passed=0 failed=0
note() { printf '== %s\n' "$*"; }

# configure DIR ARGS...: a folder with exactly these options, made again if it is broken.
configure() {
    local dir=$1
    shift
    if [ -f "$dir/build.ninja" ] && meson configure "$dir" "$@" >/dev/null 2>&1; then
        return 0
    fi
    rm -rf "$dir"
    meson setup "$dir" "$@" >"$dir.log" 2>&1 || {
        cat "$dir.log"
        return 1
    }
    rm -f "$dir.log"
}

# build DIR: counts as one test.
build() {
    if ninja -C "$1" --quiet; then
        passed=$((passed + 1))
    else
        echo "FAILED: build in $1"
        failed=$((failed + 1))
        return 1
    fi
}

# run DIR ARGS...: meson test; every case inside a test program counts.
run() {
    local dir=$1 counts
    shift
    meson test -C "$dir" --no-rebuild --print-errorlogs "$@"
    counts=$(python3 tools/count_tests.py "$dir/meson-logs/testlog.junit.xml") || counts="0 1"
    passed=$((passed + ${counts% *}))
    failed=$((failed + ${counts#* }))
}

plain() {
    note "optimised build, all tests"
    configure build -Dtests=true && build build && run build
}

clang() {
    note "clang build"
    CC=clang configure build-clang -Dtests=true --buildtype=debugoptimized && build build-clang
}

asan() {
    note "address and undefined behaviour sanitizers"
    configure build-asan -Dtests=true -Db_sanitize=address,undefined -Db_lundef=false --buildtype=debugoptimized && build build-asan &&
        UBSAN_OPTIONS=halt_on_error=1:print_stacktrace=1 run build-asan --timeout-multiplier 6 --suite unit --suite fuzz-replay --suite checkasm
}

tsan() {
    note "thread sanitizer"
    configure build-tsan -Dtests=true -Db_sanitize=thread -Db_lundef=false --buildtype=debugoptimized && build build-tsan &&
        run build-tsan --timeout-multiplier 6 --suite threads
}

for part in ${*:-plain clang asan tsan}; do
    case $part in
    plain | clang | asan | tsan) "$part" || [ "$failed" -gt 0 ] || failed=$((failed + 1)) ;;
    *)
        echo "usage: tools/run-tests.sh [plain|clang|asan|tsan]..." >&2
        exit 2
        ;;
    esac
done
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
