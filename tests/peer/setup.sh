#!/bin/bash
# SPDX-License-Identifier: MIT
# Sets up Debian's llama.cpp in a folder of its own: a small Debian root made by debootstrap, from the mirror that this machine's apt
# uses. Does nothing if it is there already. Nothing is mounted, and nothing outside the folder changes (debootstrap itself is
# installed if it is missing).
#
#   usage: tests/peer/setup.sh [DIR]      DIR: $DV_PEER, else build-peer/llama
set -euo pipefail

want=0.7.0
suite=forky
top=$(cd "$(dirname "$0")/../.." && pwd)
dir=${1:-${DV_PEER:-$top/build-peer/llama}}

die() {
    echo "setup.sh: $*" >&2
    exit 1
}

check() {
    local version
    version=$(chroot "$dir" llama-completion --version 2>&1 | sed -n 's/^version: \([^ ]*\).*/\1/p')
    [ -n "$version" ] || die "llama.cpp in $dir does not run; remove the folder and start again"
    [ "$version" = "$want" ] || echo "setup.sh: note: llama.cpp in $dir is $version, the golden values are from $want" >&2
    echo "llama.cpp $version in $dir"
}

# The first repository of Debian itself in apt's configuration, whatever its format. The fields of an index are known once apt has
# fetched it.
mirror() {
    apt-get indextargets --format '$(ORIGIN)|$(LABEL)|$(COMPONENT)|$(REPO_URI)' 'Created-By: Packages' |
        awk -F'|' '$1 == "Debian" && $2 == "Debian" && $3 == "main" { print $4; exit }'
}

[ "$(id -u)" = 0 ] || die "needs root: debootstrap and chroot do"
if [ -e "$dir/.complete" ] || { [ -x "$dir/usr/bin/llama-server" ] && [ -x "$dir/usr/bin/llama-bench" ] && [ ! -d "$dir/debootstrap" ]; }; then
    check
    exit 0
fi
command -v apt-get >/dev/null || die "needs a Debian machine"
if [ -z "$(mirror)" ] || { ! command -v debootstrap >/dev/null; }; then
    echo "setup.sh: installing debootstrap with apt" >&2
    apt-get update -qq
    DEBIAN_FRONTEND=noninteractive apt-get install -qq -y debootstrap >/dev/null
fi
uri=${DV_PEER_MIRROR:-$(mirror)}
[ -n "$uri" ] || die "no Debian mirror in apt's configuration; name one in DV_PEER_MIRROR"

# An unfinished attempt is started over. debootstrap may have left proc mounted in it.
if [ -e "$dir" ]; then
    [ -e "$dir/debootstrap" ] || [ -z "$(ls -A "$dir")" ] || die "$dir is something else than an unfinished peer"
    ! mountpoint -q "$dir/proc" || umount "$dir/proc"
    ! mountpoint -q "$dir/sys" || umount "$dir/sys"
    rm -rf --one-file-system "$dir"
fi
mkdir -p "$dir"
echo "setup.sh: Debian's llama.cpp from $uri into $dir (about 450 MB; a few minutes)" >&2
log=$dir.log
debootstrap --variant=minbase --include=llama.cpp-tools,llama.cpp-tools-extra,python3-gguf "$suite" "$dir" "$uri" sid >"$log" 2>&1 ||
    die "debootstrap failed:"$'\n'"$(tail -n 5 "$log")"
! mountpoint -q "$dir/proc" || umount "$dir/proc"
! mountpoint -q "$dir/sys" || umount "$dir/sys"
rm -rf "$dir"/var/cache/apt/archives/*.deb
touch "$dir/.complete"
check
