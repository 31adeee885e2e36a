#!/bin/sh
# SPDX-License-Identifier: MIT
# Install what a make target needs and this machine lacks, from Debian's packages. Says so in one line before it does anything.
# usage: tools/setup.sh build|test|fuzz|compare|bench
set -eu

build="gcc libc6-dev meson ninja-build pkg-config libpcre2-dev libjansson-dev libedit-dev"
case "${1:-build}" in
build) want=$build ;;
test) want="$build libcmocka-dev clang nodejs npm python3 binutils" ;;
fuzz) want="$build libcmocka-dev clang llvm" ;;
compare | bench) want="$build debootstrap python3 nodejs npm" ;;
*)
    echo "usage: tools/setup.sh build|test|fuzz|compare|bench" >&2
    exit 2
    ;;
esac

# A tool that is there by other means (node from elsewhere, say) counts as installed.
have() {
    case $1 in
    nodejs) command -v node >/dev/null 2>&1 && return 0 ;;
    ninja-build) command -v ninja >/dev/null 2>&1 && return 0 ;;
    gcc | clang | meson | npm | python3 | debootstrap) command -v "$1" >/dev/null 2>&1 && return 0 ;;
    esac
    [ "$(dpkg-query -W -f='${db:Status-Status}' "$1" 2>/dev/null || true)" = installed ]
}

missing=
for p in $want; do
    have "$p" || missing="$missing $p"
done
[ -n "$missing" ] || exit 0

if ! command -v apt-get >/dev/null 2>&1; then
    echo "drover: please install:$missing" >&2
    exit 1
fi
sudo=
if [ "$(id -u)" != 0 ]; then
    if ! command -v sudo >/dev/null 2>&1; then
        echo "drover: please install as root:$missing" >&2
        exit 1
    fi
    sudo=sudo
fi
echo "drover: installing with apt-get:$missing" >&2
log=$(mktemp)
trap 'rm -f "$log"' EXIT
export DEBIAN_FRONTEND=noninteractive
# The package lists may be missing or old: one update, then the install.
if ! { $sudo apt-get -q update && $sudo apt-get -q -y install --no-install-recommends $missing; } >"$log" 2>&1; then
    tail -n 20 "$log" >&2
    echo "drover: installing failed; please install:$missing" >&2
    exit 1
fi
