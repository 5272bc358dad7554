#!/usr/bin/env bash
# What must be clean besides the tests.
set -euo pipefail
CDPATH='' cd -- "$(dirname -- "$0")/.."
. scripts/rust.sh
use_cargo || { missing_rust >&2; exit 1; }

step() {
    printf '\n== %s\n' "$*"
    "$@"
}

# The lines of some files that have more characters than that: FILE:LINE:TEXT.
longer() {
    local most=$1 status=0
    shift
    LC_ALL=C.UTF-8 git grep -nIE "^.{$((most + 1)),}" -- "$@" || status=$?
    [ "$status" = 1 ]
}

# What .editorconfig says of max_line_length.
columns() {
    longer 120 '*.sh' &&
        longer 100 ':!*.sh' ':!*.md' ':!*.css' ':!*.js' ':(exclude,glob)test/*.erl' \
            ':!test/*_data/*' ':!native/alcove_proto/src/calls.rs' \
            ':!native/alcove_proto/src/constants.rs'
}

# What the oldest Rust doesn't take and clippy doesn't find: conditions after a pattern.
let_chains() {
    find native -name '*.rs' -exec awk '
        FNR == 1 { pattern = 0 }
        /&& let / || /(if|while) let [^=]*= [^|{]*&& / || (pattern && /^ *&& /) {
            print FILENAME ":" FNR ": no Rust before 1.88 takes this"
            found = 1
        }
        /(if|while) let / { pattern = 1 }
        /\{$/ || /;$/ { pattern = 0 }
        END { exit found }' {} +
}

# The code of a platform that isn't this one, where its standard library is there or can be had.
elsewhere() {
    local target=$1 library
    library=$(rustc --print sysroot)/lib/rustlib/$target/lib
    if [ ! -d "$library" ] && ! rustup target add "$target"; then
        echo "not checked: there is no standard library of $target here"
        return
    fi
    # What is built for others, without the tools of tests and benchmarks.
    cargo clippy --package alcove --package alcove_nif --package alcove_core --package alcove_proto \
        --target "$target" --locked --quiet -- -D warnings
}

step columns
step cargo fmt --all --check
step let_chains
step cargo clippy --workspace --all-targets --locked --quiet -- -D warnings
for target in aarch64-unknown-linux-gnu armv7-unknown-linux-gnueabihf x86_64-unknown-freebsd \
    x86_64-unknown-netbsd; do
    step elsewhere "$target"
done
step rebar3 as ci compile
step rebar3 xref
step rebar3 dialyzer
step rebar3 edoc
if command -v mix >/dev/null; then
    step mix format --check-formatted
fi
if command -v shellcheck >/dev/null; then
    step shellcheck -x scripts/*.sh scripts/vm/*.sh bench/*.sh .ci/run
fi
