#!/bin/sh
# SPDX-License-Identifier: MIT
# usage: install.sh BUILD PREFIX CC...: what `meson install` puts in place works from there: the program finds its model, and a program that
# knows nothing but pkg-config builds against libdrover and libdrover-provider, shared and static.
set -eu
build=$(cd "$1" && pwd) prefix=$2
shift 2
top=$(cd "$(dirname "$0")/../.." && pwd)
dest=$(mktemp -d)
trap 'rm -rf "$dest"' EXIT

meson install -C "$build" --no-rebuild --quiet --destdir "$dest" >"$dest/log" 2>&1 || {
    cat "$dest/log"
    exit 1
}
want=$("$build/drover" run -m "$top/models/pocket-dictionary.gguf" -p 'What is a llama?' --temp 0 2>/dev/null)
check() { # WHAT ANSWER
    [ "$2" = "$want" ] || {
        echo "$1 answers '$2' and not '$want'"
        exit 1
    }
    echo "$1: right"
}
cd /
check 'the installed program without -m' "$("$dest$prefix/bin/drover" run -p 'What is a llama?' --temp 0 2>/dev/null)"

pc=$(find "$dest" -name drover.pc)
[ -n "$pc" ]
config() { PKG_CONFIG_LIBDIR="$(dirname "$pc"):$(pkg-config --variable pc_path pkg-config)" PKG_CONFIG_SYSROOT_DIR=$dest pkg-config "$@"; }
lib=$(dirname "$(find "$dest" -name libdrover.a)")
model=$dest$prefix/share/drover/models/pocket-dictionary.gguf
# shellcheck disable=SC2046
"$@" "$top/examples/answer.c" $(config --cflags --libs drover) -o "$dest/shared"
check 'a program with the shared library' "$(LD_LIBRARY_PATH=$lib "$dest/shared" "$model" 'What is a llama?')"
# The provider finds the program by itself: next to the library, in bin/.
ask() { echo 'What is a llama?' | "$@" 2>/dev/null; }
# shellcheck disable=SC2046
"$@" "$top/examples/provider.c" $(config --cflags --libs drover-provider) -o "$dest/asks"
check 'a program with the shared provider' "$(PATH=/nonexistent LD_LIBRARY_PATH=$lib ask "$dest/asks" "$model")"
rm "$lib"/libdrover*.so*
# The system's own libraries do not live below the sysroot; the linker finds them where they are.
# shellcheck disable=SC2046
"$@" "$top/examples/answer.c" $(config --cflags --libs --static drover) -o "$dest/static"
check 'a program with the static library' "$("$dest/static" "$model" 'What is a llama?')"
# Not --static: that would take libcurl's own libraries, whose development packages few have.
# shellcheck disable=SC2046
"$@" "$top/examples/provider.c" $(config --cflags --libs drover-provider libcurl jansson) -lm -o "$dest/asks-static"
check 'a program with the static provider' "$(PATH=$dest$prefix/bin:$PATH ask "$dest/asks-static" "$model")"
