#!/bin/sh
# SPDX-License-Identifier: MIT
# Set up the peer if it is missing, then compare drover with it: token ids, then predictions and answers.
# usage: tests/peer/run.sh [options of compare.py, see --help]      DV_PEER: the peer's folder
set -eu
here=$(cd "$(dirname "$0")" && pwd)
export DV_PEER="${DV_PEER:-$here/../../build/peer/llama}"
"$here/setup.sh"
code=0
python3 "$here/tokenize.py" || code=1
python3 "$here/compare.py" "$@" || code=1
exit $code
