#!/bin/sh
# Measures alcove, the limit of the machine and ports; prints a table and writes
# it with data and plots to bench/out.
#
#   bench/run.sh [run | check | record]
#
#   run      measure (default)
#   check    measure, and fail when a ratio is more than 20 % below the recorded one
#   record   measure, and record the ratios that are lower than those recorded: run it
#            some times on a quiet machine, after removing bench/recorded.terms
#
#   BENCH_ROWS     rows or groups of rows, separated by commas (default: all; see
#                  alcove_bench_rows.erl)
#   BENCH_SECONDS  how long each group is measured for (default: 20)
#   BENCH_ROUNDS   in how many rounds (default: 10)
#   BENCH_LIB      the directory in which alcove is (default: _build/default/lib)
#   BENCH_OUT      where to write to (default: bench/out)
set -eu

top=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd -P)
cd "$top"
lib=${BENCH_LIB:-$top/_build/default/lib}
BENCH_OUT=${BENCH_OUT:-$top/bench/out}
BENCH_RECORDED=$top/bench/recorded.terms
target=${CARGO_TARGET_DIR:-$top/target}
if [ ! -d "$lib/alcove/ebin" ]; then
    echo "alcove is not built in $lib: run make first" >&2
    exit 1
fi
. scripts/rust.sh
use_cargo || { missing_rust >&2; exit 1; }

# Static, as alcove's executable is.
cargo rustc --release --quiet -p alcove_bench_limit --bin alcove_bench_limit -- -C target-feature=+crt-static ||
    cargo build --release --quiet -p alcove_bench_limit

work=$(mktemp -d "${TMPDIR:-/tmp}/alcove_bench.XXXXXX")
trap 'rm -rf "$work"' EXIT
trap 'exit 1' HUP INT TERM
mkdir -p "$BENCH_OUT" "$work/ebin" "$work/root"
chmod 755 "$work" "$work/root"
cp "$(command -v busybox)" "$work/root/busybox"
cp "$target/release/alcove_bench_limit" "$work/limit"
BENCH_LIMIT=$work/limit
BENCH_ROOT=$work/root
export BENCH_OUT BENCH_RECORDED BENCH_LIMIT BENCH_ROOT

export ERL_LIBS="$lib"
erlc -Werror -o "$work/ebin" bench/*.erl
status=0
erl -noinput -pa "$work/ebin" -s alcove_bench main -extra "${1:-run}" || status=$?

if command -v gnuplot >/dev/null 2>&1; then
    (cd "$BENCH_OUT" && gnuplot "$top/bench/plots.gp")
else
    echo "no gnuplot: no plots" >&2
fi
exit "$status"
