#!/bin/sh
# SPDX-License-Identifier: MIT
# Install what a make target needs and this machine lacks, from Debian's packages. Says so in one line before it does anything.
# usage: tools/setup.sh build|test|fuzz|compare|bench
set -eu
exec </dev/null

build="gcc libc6-dev meson ninja-build pkg-config libpcre2-dev libjansson-dev libedit-dev libevent-dev libssl-dev libseccomp-dev libyaml-dev libsodium-dev libsqlite3-dev libcurl4-openssl-dev libhiredis-dev"
case "${1:-build}" in
build) want=$build ;;
test) want="$build curl openssl libcmocka-dev clang clang-format nodejs npm python3 binutils redis-tools" ;;
fuzz) want="$build clang libclang-rt-14-dev llvm libcmocka-dev" ;;
compare | bench) want="$build debootstrap python3 nodejs npm libcmocka-dev" ;;
*)
    echo "usage: tools/setup.sh build|test|fuzz|compare|bench" >&2
    exit 2
    ;;
esac

# What is there by other means (node from elsewhere, say) counts as installed.
have() {
    case $1 in
    nodejs) command -v node >/dev/null 2>&1 && return 0 ;;
    ninja-build) command -v ninja >/dev/null 2>&1 && return 0 ;;
    binutils) command -v objdump >/dev/null 2>&1 && return 0 ;;
    llvm) command -v llvm-symbolizer >/dev/null 2>&1 && return 0 ;;
    libclang-rt-*) [ -e "$(clang -print-file-name="libclang_rt.fuzzer-$(uname -m).a" 2>/dev/null)" ] && return 0 ;;
    curl | openssl | gcc | clang | clang-format | meson | npm | python3 | pkg-config | debootstrap) command -v "$1" >/dev/null 2>&1 && return 0 ;;
    esac
    [ "$(dpkg-query -W -f='${db:Status-Status}' "$1" 2>/dev/null || true)" = installed ]
}

missing() {
    for p in $want; do
        have "$p" || printf ' %s' "$p"
    done
}

list=$(missing)
[ -n "$list" ] || exit 0
if ! command -v apt-get >/dev/null 2>&1; then
    echo "drover: please install:$list" >&2
    exit 1
fi
sudo=
if [ "$(id -u)" != 0 ]; then
    if ! command -v sudo >/dev/null 2>&1; then
        echo "drover: please install as root: apt-get install$list" >&2
        exit 1
    fi
    sudo=sudo
fi

# Another make in this folder may be at it already.
exec 9<"$0"
flock 9
list=$(missing)
[ -n "$list" ] || exit 0
echo "drover: installing with apt-get:$list" >&2
log=$(mktemp)
trap 'rm -f "$log"' EXIT
apt() {
    $sudo env DEBIAN_FRONTEND=noninteractive apt-get -q -y -o DPkg::Lock::Timeout=300 "$@" >>"$log" 2>&1 9>&-
}
# The package lists may be missing or old: then once more with new ones.
# shellcheck disable=SC2086
if ! apt install --no-install-recommends $list && ! { apt update && apt install --no-install-recommends $list; }; then
    tail -n 20 "$log" >&2
    echo "drover: installing failed; please install:$list" >&2
    exit 1
fi
