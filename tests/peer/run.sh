#!/bin/sh
# SPDX-License-Identifier: MIT
# Set up the peers if they are missing, then compare drover with them: token ids, predictions, answers and the server's replies with
# llama.cpp, chat templates with @huggingface/jinja. The exit status is 0 only if every comparison passed.
# usage: tests/peer/run.sh [options of compare.py, see --help]      DV_PEER: llama.cpp's folder; DV_BUILD: the build to compare
set -eu
here=$(cd "$(dirname "$0")" && pwd)
top=$here/../..
export DV_PEER="${DV_PEER:-$top/build-peer/llama}"
build=${DV_BUILD:-$top/build}
"$here/setup.sh"
code=0
echo "== token ids"
python3 "$here/tokenize.py" --drover "$build/drover" || code=1
echo "== predictions and answers"
python3 "$here/compare.py" --build "$build" "$@" || code=1
echo "== server"
python3 "$here/server_shapes.py" --build "$build" || code=1
echo "== chat templates"
"$here/templates/run.sh" "$build" || code=1
echo "== JSON schemas"
"$here/schema/run.sh" "$build" || code=1
echo "== benchmarks, self-test"
python3 "$top/bench/compare.py" --self-test --build "$build" || code=1
python3 "$top/bench/server.py" --self-test --build "$build" || code=1
exit $code
