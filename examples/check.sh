#!/bin/sh
# SPDX-License-Identifier: MIT
# usage: check.sh PROGRAM MODEL: the example answers, and fails with one sentence and status 1 without a model.
answer=$("$1" "$2" 'What is a llama?') || exit 1
case $answer in
"llama (noun): "*) ;;
*) echo "unexpected answer: $answer"; exit 1 ;;
esac
message=$("$1" /nonexistent 'x' 2>&1)
[ $? -eq 1 ] && [ -n "$message" ]
