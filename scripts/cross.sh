#!/usr/bin/env bash
# Builds alcove for other machines and tries what comes out: the executable runs calls under
# qemu-user, and the library asks for no newer C library than Debian 12's.
#
#   scripts/cross.sh [TARGET...]     default: 64-bit and 32-bit ARM, as on a Raspberry Pi and a BeagleBone
#
# The archives that a release publishes are made by dist.sh, in the same way.
set -euo pipefail
CDPATH='' cd -- "$(dirname -- "$0")/.."
. scripts/rust.sh
. scripts/debian.sh
use_cargo || { missing_rust >&2; exit 1; }
[ $# -gt 0 ] || set -- aarch64-unknown-linux-gnu armv7-unknown-linux-gnueabihf

fail() {
    printf 'alcove: %s\n' "$*" >&2
    exit 1
}

# The emulator of a target.
emulator() {
    case $1 in
    aarch64-*) echo qemu-aarch64 ;;
    arm*) echo qemu-arm ;;
    riscv64gc-*) echo qemu-riscv64 ;;
    *) fail "no emulator is known here for $1" ;;
    esac
}

# Rust's standard library for a target comes by rustup, or as a package of the system.
have_std() {
    [ -d "$(rustc --print target-libdir --target "$1" 2>/dev/null || echo /nonexistent)" ]
}

for target in "$@"; do
    printf '\n== %s\n' "$target"
    if ! have_std "$target" && command -v rustup >/dev/null 2>&1; then
        rustup target add "$target"
    fi
    output=$PWD/_build/cross/$target
    mkdir -p "$output"
    env -u ALCOVE_PREBUILT CARGO_BUILD_TARGET="$target" MIX_APP_PATH="$output" scripts/build-native.sh

    if readelf -d "$output/priv/alcove" | grep -q NEEDED; then
        fail "the executable for $target isn't static"
    fi
    version=$(libc_needed "$output/priv/alcove_nif.so")
    printf 'alcove_nif.so needs the C library %s\n' "$version"
    debian_has_libc "$version" || fail "that isn't Debian 12's"

    # The tests of calls and programs talk to the executable of the other machine. Programs that an
    # emulator has started ignore a signal that it needs itself.
    emulator=$(emulator "$target")
    command -v "$emulator" >/dev/null || fail "$emulator isn't there"
    printf '#!/bin/sh\nexec %s "%s/priv/alcove" "$@"\n' "$emulator" "$output" >"$output/alcove"
    chmod 755 "$output/alcove"
    ALCOVE="$output/alcove" cargo test --quiet --locked -p alcove --test calls --test exec -- \
        --skip ignored_signals_stay_ignored --skip what_a_program_finds
done
