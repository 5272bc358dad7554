# shellcheck shell=sh
# Which Rust builds alcove: sourced by the scripts, from the top of the project.

# The minor version of the oldest Rust 1.x that will do, as Cargo.toml says.
rust_needed() {
    sed -n 's/^rust-version = "1\.\([0-9]*\).*"/\1/p' Cargo.toml
}

# The version of the rustc that a cargo calls, or nothing where one of the two doesn't run.
rust_version() {
    "$1" --version >/dev/null 2>&1 || return 0
    PATH=$(dirname -- "$1"):$PATH rustc --version 2>/dev/null | sed -n 's/^rustc \([0-9][0-9.]*\).*/\1/p'
}

# Whether a version is new enough.
rust_new_enough() {
    case $1 in
    1.[0-9]*) ;;
    *) return 1 ;;
    esac
    minor=${1#1.}
    [ "${minor%%.*}" -ge "$(rust_needed)" ]
}

# All cargos that there are: the one that CARGO names, those in PATH, rustup's.
each_cargo() {
    [ -z "${CARGO:-}" ] || command -v "$CARGO" || :
    printf '%s\n' "$PATH" | tr : '\n' | while IFS= read -r directory; do
        [ ! -x "$directory/cargo" ] || printf '%s\n' "$directory/cargo"
    done
    for home in "${CARGO_HOME:-}" "${HOME:-/nonexistent}/.cargo"; do
        [ -z "$home" ] || [ ! -x "$home/bin/cargo" ] || printf '%s\n' "$home/bin/cargo"
    done
}

# The path of the first that is new enough.
find_cargo() {
    each_cargo | while IFS= read -r cargo; do
        if rust_new_enough "$(rust_version "$cargo")"; then
            printf '%s\n' "$cargo"
            break
        fi
    done
}

# What is there instead, for whoever finds none: "1.63.0 (/usr/bin/cargo)".
found_cargos() {
    each_cargo | awk '!seen[$0]++' | while IFS= read -r cargo; do
        version=$(rust_version "$cargo")
        printf '%s' "${separator:-}${version:-one that does not run} ($cargo)"
        separator=', '
    done
}

# One line about what is missing.
missing_rust() {
    found=$(found_cargos)
    printf 'Rust 1.%s or newer is needed to build alcove, and ' "$(rust_needed)"
    if [ -n "$found" ]; then
        printf 'here is %s' "$found"
    else
        printf 'there is none here'
    fi
    echo
}

# Puts the cargo that builds alcove, with its rustc, at the head of PATH: another toolchain
# than the one that it comes with must not be picked up.
use_cargo() {
    cargo=$(find_cargo)
    [ -n "$cargo" ] || return 1
    # What else is beside it is not to come before what PATH has first.
    if [ "$(command -v cargo)" != "$cargo" ] || [ "$(command -v rustc)" != "$(dirname -- "$cargo")/rustc" ]; then
        PATH=$(dirname -- "$cargo"):$PATH
        export PATH
    fi
}

# The name of the archive of what was built for a target: whose Rust did that is of no account.
archive_name() {
    version=$(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml)
    printf 'alcove-%s-%s.tar.gz\n' "$version" "$(printf '%s' "$1" | sed 's/^\([^-]*\)-[^-]*-linux-/\1-unknown-linux-/')"
}
