#!/usr/bin/env bash
# Runs suites with AddressSanitizer in the executable, and again with it in the NIF, in a
# copy of the project: what is built here stays as it is. Needs nightly Rust, and for the NIF
# gcc's libasan.
#
#   scripts/sanitize.sh [SUITE...]
#
# With suites, as attach for test/alcove_attach_SUITE.erl, only these. Not those with filters of
# system calls: the sanitizer makes some of its own.
set -euo pipefail
CDPATH='' cd -- "$(dirname -- "$0")/.."
. scripts/rust.sh
use_cargo || { missing_rust >&2; exit 1; }
for suite; do
    [ -e "test/alcove_${suite}_SUITE.erl" ] || { echo "there is no suite $suite" >&2; exit 2; }
done
if [ $# -gt 0 ]; then
    suites=$(printf ',test/alcove_%s_SUITE' "$@")
else
    suites=,test/alcove_SUITE$(printf ',test/alcove_%s_SUITE' calls proc drv)
fi

host=$(rustc +nightly -vV | sed -n 's/^host: //p')
RUSTFLAGS=-Zsanitizer=address CARGO_TARGET_DIR=target/sanitize \
    cargo +nightly build --quiet -p alcove -p alcove_nif --target "$host"
rebar3 compile
top=$PWD
built=$top/target/sanitize/$host/debug

# A colon ends a directory of PATH, and so does a blank or a comma the name of the sanitizer's log: what
# it finds would be in no log that is looked for.
directory=${TMPDIR:-/tmp}
case $directory in *[[:space:],:\"\']*) directory=/tmp ;; esac
copy=$(mktemp -d "$directory/alcove_sanitize.XXXXXX")
trap 'rm -rf "$copy"' EXIT
tar cf - --exclude=./target --exclude=./_build --exclude=./.git . | tar xf - -C "$copy"
cd "$copy"
status=0

# Runs the suites with what is in priv, and with variables. Leaks are the end of a process's
# business. Faults and aborts are the VM's own and those of tests. What is found is found in
# the logs.
options="detect_leaks=0:log_path=$copy/asan:exitcode=99"
run() {
    printf '\n== AddressSanitizer in %s\n' "$1"
    shift
    chmod -R go+rX "$copy"
    # Without cargo what is in priv stays.
    env HOME="$copy" CARGO_HOME="$copy" CARGO=/nonexistent \
        PATH="$copy/bin:/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin" "$@" \
        rebar3 ct --suite "${suites#,}" || status=$?
}

cp -f "$built/alcove" priv/alcove
run 'the executable' ASAN_OPTIONS="$options"

# The NIF has the sanitizer's part in it, and the VM its allocator, from a library that must be
# there first; so have all dynamic programs that tests run. ps(1) hangs with it.
runtime=$(readlink -f "$(cc -print-file-name=libasan.so)")
if [ ! -f "$runtime" ]; then
    echo "no libasan here: the NIF is left out"
    exit 1
fi
cp -f "$top/priv/alcove" priv/alcove
cp -f "$built/libalcove_nif.so" priv/alcove_nif.so
mkdir bin
printf '#!/bin/sh\nunset LD_PRELOAD\nexec %s "$@"\n' "$(command -v ps)" >bin/ps
chmod 755 bin/ps
unhandled=handle_segv=0:handle_sigbus=0:handle_abort=0:handle_sigfpe=0:handle_sigill=0
run 'the NIF' LD_PRELOAD="$runtime" ASAN_OPTIONS="$options:$unhandled:use_sigaltstack=0"

if compgen -G "$copy/asan.*" >/dev/null; then
    cat "$copy"/asan.*
    exit 1
fi
exit "$status"
