#!/bin/sh
# SPDX-License-Identifier: MIT
# drover and llama.cpp on the same three model files, in alternation. Sets up the peer and writes the files (3.4 GB of random weights,
# in build-bench) the first time.
# usage: bench/run.sh [options of bench/compare.py, see --help]      DV_PEER, DV_BENCH_MODELS: other folders
set -eu
top=$(cd "$(dirname "$0")/.." && pwd)
export DV_PEER="${DV_PEER:-$top/build-peer/llama}"
export DV_BENCH_MODELS="${DV_BENCH_MODELS:-$top/build-bench}"
"$top/tests/peer/setup.sh"
exec python3 "$top/bench/compare.py" "$@"
