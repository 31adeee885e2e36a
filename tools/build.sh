#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Configure a build folder, from whatever state it is in, and build in it. Only one build at a time runs in a source tree; the others wait.
#
#   usage: tools/build.sh DIR [--new OPTION...] [--set OPTION...] [--target TARGET...]
#
#   --new     options for meson setup that count only when the folder is made
#   --set     options for meson that the folder must have
#   --target  what ninja builds; everything if none is named
#
# The folder is made anew if it is none or only half one, or if it was made with another Meson or compiler (CC) or at another place. A folder that somebody
# made by hand is used as it is, as long as it works. Nothing is printed when there is nothing to do, and never to standard output.
set -eu
cd "$(dirname "$0")/.."
exec </dev/null 3>&1 1>&2

dir=${1:?usage: tools/build.sh DIR [--new OPTION...] [--set OPTION...] [--target TARGET...]}
shift
new=() set=() targets=() list="new"
for arg in "$@"; do
    case $arg in
    --new) list="new" ;;
    --set) list="set" ;;
    --target) list="targets" ;;
    *) declare -n to=$list && to+=("$arg") ;;
    esac
done

# Programs started from here do not inherit the lock: it ends with this script.
exec 9<tools/build.sh
flock 9

stamp=$dir/drover-stamp
tools="$PWD: meson $(meson --version), ${CC:-cc}: $(${CC:-cc} --version 2>/dev/null | head -n 1)"

# works: the folder was configured to the end, by these tools.
works() {
    [ -f "$dir/build.ninja" ] && [ -f "$dir/meson-private/coredata.dat" ] || return 1
    [ ! -f "$stamp" ] || [ "$(head -n 1 "$stamp")" = "$tools" ] || return 1
    [ -f "$stamp" ] || meson introspect --buildoptions "$dir" >/dev/null 2>&1 9>&-
}

configure() {
    local log
    if works; then
        [ ${#set[@]} -gt 0 ] || return 0
        ! { [ -f "$stamp" ] && [ "$(sed -n 2p "$stamp")" = "${set[*]}" ]; } || return 0
        if meson setup --reconfigure "$dir" "${set[@]}" >/dev/null 2>&1 9>&-; then
            printf '%s\n%s\n' "$tools" "${set[*]}" >"$stamp"
            return 0
        fi
    fi
    # Never remove a folder that is not ours: it must be empty, or Meson must have been at work in it.
    if [ -e "$dir" ] && [ -n "$(ls -A "$dir")" ] && [ ! -e "$dir/meson-private" ] && [ ! -e "$dir/meson-info" ] && [ ! -e "$dir/meson-logs" ]; then
        echo "drover: $dir is there and is no build folder"
        return 1
    fi
    rm -rf --one-file-system "$dir"
    log=$(mktemp)
    meson setup "$dir" "${new[@]}" "${set[@]}" >"$log" 2>&1 9>&- || {
        cat "$log"
        rm -f "$log"
        return 1
    }
    rm -f "$log"
    printf '%s\n%s\n' "$tools" "${set[*]}" >"$stamp"
}

configure
case $(ninja -C "$dir" -n "${targets[@]}" 2>&1 9>&-) in
*"no work to do"*) exit 0 ;;
esac
echo "drover: building in $dir"
if [ -t 2 ]; then
    ninja -C "$dir" "${targets[@]}" 9>&-
else
    ninja -C "$dir" --quiet "${targets[@]}" 9>&-
fi
