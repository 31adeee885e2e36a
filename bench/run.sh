#!/bin/sh
# SPDX-License-Identifier: MIT
# drover and llama.cpp on the same model files, in alternation: the programs (compare.py) or the servers (server.py). Sets up the peer and
# writes the files (12.5 GB of random weights, in build-bench; --only for less) the first time.
# usage: bench/run.sh [compare.py|server.py] [its options, see --help]      DV_PEER, DV_BENCH_MODELS: other folders
set -eu
top=$(cd "$(dirname "$0")/.." && pwd)
export DV_PEER="${DV_PEER:-$top/build-peer/llama}"
export DV_BENCH_MODELS="${DV_BENCH_MODELS:-$top/build-bench}"
"$top/tests/peer/setup.sh"
script=compare.py
case ${1:-} in
*.py)
    script=$1
    shift
    ;;
esac
exec python3 "$top/bench/$script" "$@"
