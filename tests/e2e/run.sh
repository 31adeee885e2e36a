#!/bin/sh
# SPDX-License-Identifier: MIT
# Run one end-to-end test with the npm packages of package.json, which are installed beside the build folders where they are missing.
# usage: tests/e2e/run.sh TEST.mjs
set -eu
here=$(cd "$(dirname "$0")" && pwd)
work=$here/../../build-peer/e2e
mkdir -p "$work"
exec 9>"$work/lock" # another test may be at it
flock 9
if ! cmp -s "$here/package-lock.json" "$work/installed"; then
    cp "$here/package.json" "$here/package-lock.json" "$work/"
    (cd "$work" && npm ci --ignore-scripts --no-audit --no-fund --loglevel=error >&2)
    cp "$here/package-lock.json" "$work/installed"
fi
exec 9>&-
E2E_PACKAGES=$(cd "$work" && pwd) exec node --test-reporter=tap "$1"
