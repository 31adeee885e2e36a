#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Fuzz the parsers with libFuzzer under ASan and UBSan, one target after the other, each for the same time. Inputs that reach new code are
# kept in build-fuzz/corpus/NAME, so the next run goes on from there; the first starts from tests/fuzz/corpus/NAME. An input that is a
# finding is kept in build-fuzz/findings. The last line is a summary; the exit status is 0 only if nothing was found.
#
#   usage: tests/fuzz/run.sh [TARGET]...      FUZZ_SECONDS: in sum over the targets, 600 if not set; FUZZ_BUILD: the folder
set -eu
cd "$(dirname "$0")/../.."

dir=${FUZZ_BUILD:-build-fuzz}
seconds=${FUZZ_SECONDS:-600}
case $seconds in
'' | *[!0-9]*)
    echo "FUZZ_SECONDS must be a number of seconds, not '$seconds'" >&2
    exit 2
    ;;
esac
CC=clang tools/build.sh "$dir" --set -Dtests=true -Dfuzz=true -Db_lundef=false --buildtype=debugoptimized --target fuzzers

if [ $# -eq 0 ]; then
    for f in tests/fuzz/*.c; do
        name=$(basename "$f" .c)
        [ ! -f "$dir/tests/fuzz/fuzz_$name" ] || set -- "$@" "$name"
    done
fi
each=$((seconds / $#))
[ "$each" -gt 0 ] || each=1
mkdir -p "$dir/findings"
executions=0 findings=0

fuzz() { # NAME
    local name=$1 log=$dir/fuzz-$1.log args status=0 runs before
    mkdir -p "$dir/corpus/$name"
    args=(-max_total_time="$each" -timeout=10 -rss_limit_mb=2048 -print_final_stats=1 -artifact_prefix="$dir/findings/$name-")
    [ ! -f "tests/fuzz/$name.dict" ] || args+=(-dict="tests/fuzz/$name.dict")
    before=$(find "$dir/corpus/$name" -type f | wc -l)
    UBSAN_OPTIONS=print_stacktrace=1 "$dir/tests/fuzz/fuzz_$name" "${args[@]}" "$dir/corpus/$name" "tests/fuzz/corpus/$name" >"$log" 2>&1 </dev/null || status=$?
    runs=$(sed -n 's/^stat::number_of_executed_units: *//p' "$log")
    # A run that ends with a finding prints no statistics; the last progress line has the count.
    [ -n "$runs" ] || runs=$(sed -n 's/^#\([0-9][0-9]*\)[^0-9].*/\1/p' "$log" | tail -n 1)
    executions=$((executions + ${runs:-0}))
    printf '%-12s %s executions in %s s, %s inputs new, exit status %s\n' "$name" "${runs:-0}" "$each" \
        $(($(find "$dir/corpus/$name" -type f | wc -l) - before)) "$status"
    if [ "$status" -ne 0 ]; then
        findings=$((findings + 1))
        grep -E '^(SUMMARY|==[0-9]+==ERROR|Test unit written)|runtime error' "$log" || tail -n 5 "$log"
    fi
}

for name; do
    if [ ! -x "$dir/tests/fuzz/fuzz_$name" ]; then
        echo "no fuzz target $name" >&2
        exit 2
    fi
    fuzz "$name"
done
echo "$# targets, $executions executions, $findings findings"
[ "$findings" -eq 0 ]
