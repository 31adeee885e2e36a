#!/bin/sh
# SPDX-License-Identifier: MIT
# Set up the peer if it is missing, then compare drover with it.
# usage: tests/peer/run.sh [options of compare.py, see --help]      DV_PEER: the peer's folder
set -eu
here=$(cd "$(dirname "$0")" && pwd)
export DV_PEER="${DV_PEER:-$here/../../build/peer/llama}"
"$here/setup.sh"
exec python3 "$here/compare.py" "$@"
