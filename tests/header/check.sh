#!/bin/sh
# SPDX-License-Identifier: MIT
# usage: check.sh ROOT CC...: every header compiles alone, twice in a row (guards), without warnings; the installed ones also as C99.
root=$1
shift
cd "$root" || exit 1
bad=0
check() { # HEADER FLAGS...
    header=$1
    shift
    printf '#include "%s"\n#include "%s"\nint dv_not_empty;\n' "$header" "$header" |
        "$@" -x c -fsyntax-only -Wall -Wextra -Werror -Wno-unused-function -Wno-unused-const-variable - || {
        echo "$header does not compile alone"
        bad=1
    }
}
for header in $(cd src && find . -name '*.h' | sed 's|^\./||' | sort); do
    isa=
    case $header in
    *_body_*) continue ;; # code that a .c file completes with its own definitions before it includes it
    kern/x86/*) isa="-mavx2 -mfma -mf16c -mavx512f -mavx512bw -mavx512dq -mavx512vl -mavx512vnni" ;;
    esac
    # shellcheck disable=SC2086
    check "$header" "$@" -std=c11 -D_GNU_SOURCE -Iinclude -Isrc $isa
done
for header in $(cd include && find . -name '*.h' | sed 's|^\./||' | sort); do
    check "$header" "$@" -std=c99 -pedantic -Iinclude
done
exit $bad
