#!/bin/sh
# SPDX-License-Identifier: MIT
# Makes the golden values of this folder again from the peer (see tests/peer/setup.sh; as root). Needs build/tools/synth-gguf.
# usage: tests/golden/models/generate.sh [--shapes A,B] [--no-questions]
set -eu
top=$(cd "$(dirname "$0")/../../.." && pwd)
"$top/tests/peer/setup.sh"
exec python3 "$top/tests/golden/models/generate.py" "$@"
