#!/bin/sh
# SPDX-License-Identifier: MIT
# usage: check_provider.sh PROGRAM MODEL DROVER: the example chats with an engine it starts and with one that runs, and fails with one sentence
# and status 1 where there is none.
set -u
dir=$(mktemp -d)
engine=
trap '[ -z "$engine" ] || kill "$engine"; rm -rf "$dir"' EXIT
PATH=$(cd "$(dirname "$3")" && pwd):$PATH
export PATH

check() { # WHAT TARGET
    printf 'What is a llama?\n\nWhat is a shepherd?\n' | "$1" "$2" >"$dir/out" 2>"$dir/err" || {
        cat "$dir/out" "$dir/err"
        exit 1
    }
    grep -q '^llama (noun): ' "$dir/out" && grep -q '^shepherd (noun): ' "$dir/out" && grep -q 'tokens read' "$dir/err" && return
    echo "unexpected answers of $2:"
    cat "$dir/out" "$dir/err"
    exit 1
}

check "$1" "$2"
"$3" engine -m "$2" --socket "$dir/sock" --log-level error 2>"$dir/log" &
engine=$!
n=0
until grep -q listening "$dir/log"; do
    n=$((n + 1))
    [ $n -le 300 ] || { cat "$dir/log"; exit 1; }
    sleep 0.1
done
check "$1" "unix:$dir/sock"
for target in /nonexistent.gguf "unix:$dir/nobody"; do
    message=$(echo x | "$1" "$target" 2>&1)
    [ $? -eq 1 ] && [ -n "$message" ] || { echo "$target: '$message'"; exit 1; }
done
