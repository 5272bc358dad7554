#!/usr/bin/env bash
# What must be clean besides the tests.
set -euo pipefail
cd "$(dirname "$0")/.."
export PATH="$PATH:${CARGO_HOME:-${HOME:-/nonexistent}/.cargo}/bin"

step() {
    printf '\n== %s\n' "$*"
    "$@"
}

step cargo fmt --all --check
step cargo clippy --workspace --all-targets --locked --quiet -- -D warnings
step rebar3 as ci compile
step rebar3 xref
step rebar3 dialyzer
step rebar3 edoc
