#!/bin/sh
# Installs what alcove is built and tested with, where something is missing: on
# Debian and its kin by apt-get, as root or by sudo. Elsewhere, and without the
# means to, it names what is missing and fails.
#
#   install-deps.sh          for building and testing
#   install-deps.sh bench    for the benchmark as well, which draws plots
set -eu

# Rust that the crates need.
rust_needed=91

packages="erlang-base erlang-common-test erlang-crypto erlang-dialyzer erlang-edoc
erlang-eunit erlang-inets erlang-proper erlang-ssl erlang-tools erlang-xmerl rebar3
elixir busybox-static sudo gcc libc6-dev make util-linux procps git"
[ "${1:-}" != bench ] || packages="$packages gnuplot-nox"

say() {
    printf 'alcove: %s\n' "$*" >&2
}

fail() {
    say "$@"
    exit 1
}

# The minor version of a Rust 1.x, or 0.
rust_minor() {
    version=$("$1" --version 2>/dev/null) || version=
    version=${version#cargo 1.}
    version=${version%%.*}
    case $version in
    '' | *[!0-9]*) echo 0 ;;
    *) echo "$version" ;;
    esac
}

have_rust() {
    for cargo in cargo "${CARGO_HOME:-${HOME:-/nonexistent}/.cargo}/bin/cargo"; do
        if command -v "$cargo" >/dev/null 2>&1 && [ "$(rust_minor "$cargo")" -ge "$rust_needed" ]; then
            return 0
        fi
    done
    return 1
}

if ! command -v dpkg-query >/dev/null 2>&1; then
    missing=
    for command in erl erlc rebar3 cc make; do
        command -v "$command" >/dev/null 2>&1 || missing="$missing $command"
    done
    have_rust || missing="$missing cargo(1.$rust_needed)"
    [ -z "$missing" ] || fail "missing:$missing"
    exit 0
fi

missing=
# shellcheck disable=SC2086 # a list of words
installed=$(dpkg-query -W -f='${Package} ${db:Status-Status}\n' $packages 2>/dev/null || :)
for package in $packages; do
    case "
$installed
" in
    *"
$package installed
"*) ;;
    *) missing="$missing $package" ;;
    esac
done
rust=yes
have_rust || rust=no
[ -n "$missing" ] || [ "$rust" = no ] || exit 0

if [ "$(id -u)" = 0 ]; then
    as_root=
elif sudo -n true 2>/dev/null; then
    as_root="sudo -n"
else
    as_root=none
fi

# Installs packages; the lists are fetched when they are too old for it.
apt_install() {
    $as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends "$@" ||
        {
            $as_root apt-get update -q
            $as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends "$@"
        }
}

if [ -n "$missing" ]; then
    [ "$as_root" != none ] || fail "missing packages, and no root to install them:$missing"
    say "installing$missing"
    # shellcheck disable=SC2086
    apt_install $missing
fi

if [ "$rust" = no ]; then
    minor=$(apt-cache policy cargo 2>/dev/null | sed -n 's/^  Candidate: 1\.\([0-9]*\)\..*/\1/p')
    if [ "$as_root" != none ] && [ "${minor:-0}" -ge "$rust_needed" ]; then
        say "installing cargo"
        apt_install cargo rustc
    else
        # Debian's Rust is older than the crates ask for.
        if ! command -v curl >/dev/null 2>&1; then
            [ "$as_root" != none ] || fail "missing: cargo 1.$rust_needed or newer, see https://rustup.rs"
            apt_install curl ca-certificates
        fi
        say "installing Rust by rustup, to ${CARGO_HOME:-$HOME/.cargo}"
        curl --proto '=https' --tlsv1.2 -sSf https://sh.rustup.rs |
            sh -s -- -y --quiet --profile minimal -c clippy -c rustfmt --no-modify-path
    fi
    have_rust || fail "missing: cargo 1.$rust_needed or newer, see https://rustup.rs"
fi
