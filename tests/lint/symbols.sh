#!/bin/sh
# SPDX-License-Identifier: MIT
# Visibility is readable in the name: every global of our libraries starts with dv_ (for other folders) or dv__ (for its own).
set -u
bad=0
for lib in "$@"; do
    found=$(nm -g --defined-only "$lib" 2>/dev/null | awk 'NF == 3 && $3 !~ /^(dv_|__asan|__ubsan|__odr|\.)/ { print $3 }' | sort -u)
    if [ -n "$found" ]; then
        echo "$lib defines globals without the prefix:"
        echo "$found"
        bad=1
    fi
done
exit $bad
