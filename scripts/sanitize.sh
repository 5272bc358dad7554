#!/usr/bin/env bash
# Runs suites with AddressSanitizer in the executable, in a copy of the project: what is
# built here stays as it is. Needs nightly Rust.
#
#   scripts/sanitize.sh [SUITE...]
#
# Not those with filters of system calls: the sanitizer makes some of its own.
set -euo pipefail
cd "$(dirname "$0")/.."
export PATH="$PATH:${CARGO_HOME:-${HOME:-/nonexistent}/.cargo}/bin"
[ $# -gt 0 ] || set -- alcove_SUITE alcove_calls_SUITE alcove_proc_SUITE

host=$(rustc +nightly -vV | sed -n 's/^host: //p')
RUSTFLAGS=-Zsanitizer=address CARGO_TARGET_DIR=target/sanitize \
    cargo +nightly build --quiet -p alcove --target "$host"
rebar3 compile

copy=$(mktemp -d "${TMPDIR:-/tmp}/alcove_sanitize.XXXXXX")
trap 'rm -rf "$copy"' EXIT
tar cf - --exclude=./target --exclude=./_build --exclude=./.git . | tar xf - -C "$copy"
cp -f "target/sanitize/$host/debug/alcove" "$copy/priv/alcove"
chmod -R go+rX "$copy"
cd "$copy"

# Leaks are the end of a process's business. What is found is found in the logs.
export ASAN_OPTIONS="detect_leaks=0:log_path=$copy/asan:exitcode=99"
suites=$(printf ',test/%s' "$@")
status=0
# Without cargo the executable stays.
env HOME="$copy" CARGO_HOME="$copy" CARGO=/nonexistent PATH=/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin \
    rebar3 ct --suite "${suites#,}" || status=$?
if compgen -G "$copy/asan.*" >/dev/null; then
    cat "$copy"/asan.*
    exit 1
fi
exit "$status"
