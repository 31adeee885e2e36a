#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Build and run every test: an optimised gcc build with all suites, a clang build of everything, and the suites that gain from it under the
# sanitizers. A build counts as one test. The last line is "N passed, N failed"; the exit status is 0 only if none failed.
#
#   usage: tools/run-tests.sh [PART]...     PART: plain, clang, asan, tsan; all of these if none is named; soak
set -u
cd "$(dirname "$0")/.." || exit

passed=0 failed=0
jobs=$(($(nproc) + 1)) # many tests wait for a clock or for a child more than they compute

count() { # PASSED FAILED
    passed=$((passed + $1))
    failed=$((failed + $2))
}

# build DIR MESON-OPTION...
build() {
    if tools/build.sh "$1" --set "${@:2}"; then
        count 1 0
    else
        echo "FAILED: the build in $1"
        count 0 1
        return 1
    fi
}

# run DIR MESON-TEST-OPTION...: every case inside a test program counts.
run() {
    local dir=$1 status counts
    rm -f "$dir/meson-logs/testlog.json"
    meson test -C "$dir" --no-rebuild --print-errorlogs --num-processes "$jobs" "${@:2}"
    status=$?
    counts=$(python3 tools/count_tests.py "$dir/meson-logs/testlog.json") || counts="0 1"
    [ "$status" -eq 0 ] || [ "${counts#* }" -gt 0 ] || counts="${counts% *} 1"
    count "${counts% *}" "${counts#* }"
}

plain() {
    build build-test -Dtests=true && run build-test
}

clang() {
    CC=clang build build-clang -Dtests=true --buildtype=debug
}

# -O1: the stack traces are good, the tests not too slow.
sanitizer=(-Dtests=true -Db_lundef=false --buildtype=debug -Doptimization=1)

asan() {
    build build-asan "${sanitizer[@]}" -Db_sanitize=address,undefined &&
        UBSAN_OPTIONS=halt_on_error=1:print_stacktrace=1 run build-asan --timeout-multiplier 6 --suite unit --suite fuzz-replay --suite checkasm --suite cli --suite e2e --suite proto --suite soak
}

# The long one: ten minutes, or SOAK_SECONDS of them. Not part of a run without arguments.
soak() {
    build build-asan "${sanitizer[@]}" -Db_sanitize=address,undefined &&
        SOAK_SECONDS=${SOAK_SECONDS:-600} UBSAN_OPTIONS=halt_on_error=1:print_stacktrace=1 run build-asan --timeout-multiplier 60 --suite soak
}

tsan() {
    build build-tsan "${sanitizer[@]}" -Db_sanitize=thread &&
        TSAN_OPTIONS=halt_on_error=1 run build-tsan --timeout-multiplier 10 --suite threads
}

[ $# -gt 0 ] || set -- plain clang asan tsan
for part; do
    case $part in
    plain | clang | asan | tsan | soak)
        echo "== $part"
        "$part"
        ;;
    *)
        echo "usage: tools/run-tests.sh [plain|clang|asan|tsan|soak]..." >&2
        exit 2
        ;;
    esac
done
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
