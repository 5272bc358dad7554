#!/bin/sh
# Builds priv/alcove_nif.so and priv/alcove. rebar3 runs this before it compiles,
# also where alcove is a dependency of another project.
#
#   build-native.sh          build, and install what has changed
#   build-native.sh clean    remove what was built
set -eu

root=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd -P)
cd "$root"
mkdir -p priv

say() {
    printf 'alcove: %s\n' "$*" >&2
}

# cargo may not be in the PATH of whoever runs rebar3.
find_cargo() {
    for candidate in "${CARGO:-}" "$(command -v cargo || :)" \
        "${CARGO_HOME:-${HOME:-/nonexistent}/.cargo}/bin/cargo" "${HOME:-/nonexistent}/.cargo/bin/cargo"; do
        if [ -n "$candidate" ] && [ -x "$candidate" ]; then
            printf '%s\n' "$candidate"
            return
        fi
    done
}
cargo=$(find_cargo)

if [ "${1:-build}" = clean ]; then
    rm -f priv/alcove priv/alcove_nif.so
    # The crates of others stay: they are not ours to build again.
    [ -z "$cargo" ] || [ ! -d "${CARGO_TARGET_DIR:-$root/target}" ] ||
        "$cargo" clean --offline --release -p alcove_proto -p alcove -p alcove_nif 2>/dev/null || :
    exit 0
fi

if [ -z "$cargo" ]; then
    if [ -x priv/alcove ] && [ -f priv/alcove_nif.so ]; then
        say "no cargo here: priv/ stays as it is"
        exit 0
    fi
    say "cargo is missing: alcove is built with Rust 1.91 or newer, see https://rustup.rs"
    exit 1
fi

# Another toolchain than the one that cargo comes with must not be picked up.
PATH=$(dirname -- "$cargo"):$PATH
export PATH
CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-$root/target}
export CARGO_TARGET_DIR

# Two builds at once must not install a library and an executable that don't match.
if command -v flock >/dev/null; then
    exec 9>"priv/.lock"
    flock 9
fi

# A program that runs, or a library that is loaded, is never written to: the new
# file takes its name in one step. One that hasn't changed is left alone, and keeps
# the setuid bit or the capabilities that it was given.
install_file() {
    if ! cmp -s "$1" "$2"; then
        temp=$2.$$
        cp "$1" "$temp"
        chmod 755 "$temp"
        mv -f "$temp" "$2"
    fi
}

host=$(rustc -vV | sed -n 's/^host: //p')
case $host in
*-apple-*) library=libalcove_nif.dylib ;;
*) library=libalcove_nif.so ;;
esac

# A shared library can't have a C library of its own, which is the default with musl.
case $host in
*-musl*) RUSTFLAGS="${RUSTFLAGS:-} -C target-feature=-crt-static" "$cargo" build --release --quiet -p alcove_nif ;;
*) "$cargo" build --release --quiet -p alcove_nif ;;
esac
install_file "$CARGO_TARGET_DIR/release/$library" priv/alcove_nif.so

# The executable is static: it forks and execs a third faster, and runs in any root.
if ! "$cargo" rustc --release --quiet -p alcove --bin alcove -- -C target-feature=+crt-static; then
    say "no static executable; trying one that needs the C library at run time"
    "$cargo" build --release --quiet -p alcove --bin alcove
fi
install_file "$CARGO_TARGET_DIR/release/alcove" priv/alcove
