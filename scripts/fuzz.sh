#!/usr/bin/env bash
# Fuzzes the decoding of frames, terms, arguments and greetings, and whole conversations with
# processes, each for some seconds.
#
#   scripts/fuzz.sh [SECONDS]
#
# Always: the kept corpora and inputs derived from them by a generator that starts the same
# each time, with stable Rust. Where there are nightly Rust and cargo-fuzz (cargo install
# cargo-fuzz), also by libFuzzer with AddressSanitizer; what it finds interesting stays in
# fuzz/corpus, and what fails is in fuzz/artifacts.
set -euo pipefail
CDPATH='' cd -- "$(dirname -- "$0")/.."
. scripts/rust.sh
use_cargo || { missing_rust >&2; exit 1; }
seconds=${1:-10}

export ALCOVE_FUZZ_SECONDS=$seconds
cargo test --quiet -p alcove_proto --test fuzz -- --nocapture
cargo test --quiet -p alcove_core --test conversations -- --nocapture

if cargo +nightly --version >/dev/null 2>&1 && cargo fuzz --version >/dev/null 2>&1; then
    for target in frames terms arguments greetings conversations; do
        mkdir -p "fuzz/new/$target"
        cargo +nightly fuzz run "$target" "fuzz/new/$target" "fuzz/corpus/$target" -- \
            -max_total_time="$seconds" -max_len=4096 -verbosity=0 -print_final_stats=1
        # Only what covers something that the corpus didn't.
        cargo +nightly fuzz run "$target" "fuzz/corpus/$target" "fuzz/new/$target" -- \
            -merge=1 -verbosity=0 >/dev/null 2>&1
    done
    rm -rf fuzz/new
else
    echo "no nightly Rust with cargo-fuzz here: libFuzzer was left out"
fi
