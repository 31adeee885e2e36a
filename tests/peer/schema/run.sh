#!/bin/sh
# SPDX-License-Identifier: MIT
# Validate random texts of drover's grammars for JSON Schemas with ajv, which is installed under build-peer/schema with npm.
#   tests/peer/schema/run.sh [BUILD_DIR [TEXTS_PER_SCHEMA]]      last line: N passed, N failed
set -eu
here=$(cd "$(dirname "$0")" && pwd)
build=$(cd "${1:-$here/../../../build}" && pwd)
work=$here/../../../build-peer/schema
if ! cmp -s "$here/package-lock.json" "$work/package-lock.json"; then
    rm -rf "$work"
    mkdir -p "$work"
    cp "$here/package.json" "$work/"
    cp "$here/package-lock.json" "$work/lock"
    (cd "$work" && cp lock package-lock.json && npm ci --ignore-scripts --no-audit --no-fund --loglevel=error >&2) || {
        rm -rf "$work"
        exit 1
    }
fi
code=0
for space in 0 1 2; do
    node "$here/compare.mjs" "$build/tests/peer/schema_generate" "$work/node_modules" "${2:-12}" -w $space -s $((space + 1)) || code=1
done
# Tokens of several bytes cross the borders that single bytes cannot.
node "$here/compare.mjs" "$build/tests/peer/schema_generate" "$work/node_modules" "${2:-12}" -m "$here/../../../models/pocket-dictionary.gguf" || code=1
exit $code
