#!/bin/sh
# Runs under Miri, which finds undefined behaviour and changes threads at any point, what it can run:
# the decoders; the tickets and calls of the NIF's core; and the pointers of system calls. It knows
# no system calls of Linux's own, none that send descriptors, and no ioctl(2) of pipes.
#
# Needs nightly Rust with Miri: rustup component add --toolchain nightly miri rust-src
set -eu
CDPATH='' cd -- "$(dirname -- "$0")/.."
. scripts/rust.sh
use_cargo || { missing_rust >&2; exit 1; }
export CARGO_TARGET_DIR=target/miri

cargo +nightly miri test --quiet --locked -p alcove_core --lib
cargo +nightly miri test --quiet --locked -p alcove_proto --lib
MIRIFLAGS=-Zmiri-permissive-provenance \
    cargo +nightly miri test --quiet --locked -p alcove --bins calls::ptr -- --skip memory_is_bounded
