#!/bin/sh
# Installs what alcove is built and tested with, where something is missing, and says what: on
# Debian and its kin by apt-get, as root or by sudo. Elsewhere, and without the means to, it
# names what is missing and fails.
#
#   install-deps.sh          for building, testing and the documentation
#   install-deps.sh check    for the lints as well
#   install-deps.sh bench    for the benchmark as well, which draws plots
#   install-deps.sh cross    for building for other architectures as well
#   install-deps.sh vm       for that, and for running what was built on other kernels
set -eu
cd "$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd -P)"
. scripts/rust.sh

packages="erlang-base erlang-common-test erlang-crypto erlang-dialyzer erlang-edoc
erlang-eunit erlang-inets erlang-proper erlang-ssl erlang-tools erlang-xmerl rebar3
elixir busybox-static sudo gcc libc6-dev make util-linux procps git ca-certificates cmark-gfm uidmap
iproute2"
case ${1:-} in
bench) packages="$packages gnuplot-nox" ;;
cross | vm)
    packages="$packages gcc-aarch64-linux-gnu libc6-dev-arm64-cross gcc-arm-linux-gnueabihf
        libc6-dev-armhf-cross qemu-user"
    ;;
esac
[ "${1:-}" != vm ] || packages="$packages cpio debootstrap e2fsprogs gcc-12 kmod libelf1
    qemu-system-arm qemu-system-x86 xz-utils"

say() {
    printf 'alcove: %s\n' "$*" >&2
}

fail() {
    say "$@"
    exit 1
}

# clippy and rustfmt come with cargo by rustup, and as packages of their own by Debian.
have_lints() {
    (use_cargo && cargo clippy --version && cargo fmt --version) >/dev/null 2>&1
}
need_rust=no
[ -n "$(find_cargo)" ] || need_rust=yes
need_lints=no
[ "${1:-}" != check ] || have_lints || need_lints=yes

if ! command -v dpkg-query >/dev/null 2>&1; then
    missing=
    for command in erl erlc rebar3 cc make; do
        command -v "$command" >/dev/null 2>&1 || missing="$missing $command"
    done
    [ -z "$missing" ] || fail "missing:$missing"
    [ "$need_rust" = no ] || fail "$(missing_rust), see https://rustup.rs"
    [ "$need_lints" = no ] || fail "missing: cargo clippy and cargo fmt"
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
[ "$missing/$need_rust/$need_lints" != /no/no ] || exit 0

# How root's rights are had: not at all by whoever is told what to install.
if [ "$(id -u)" = 0 ]; then
    as_root=
elif sudo -n true 2>/dev/null; then
    as_root="sudo -n"
else
    as_root=none
fi

apt() {
    # shellcheck disable=SC2086
    $as_root env DEBIAN_FRONTEND=noninteractive apt-get "$@"
}

# The lists are fetched when there are none, or they are too old for what is to be installed.
lists=
refresh() {
    [ -z "$lists" ] && [ "$as_root" != none ] || return 0
    lists=fresh
    apt update -q
}
apt_install() {
    apt install -y -q --no-install-recommends "$@" || { refresh && apt install -y -q --no-install-recommends "$@"; }
}

# The minor version of the Rust 1.x in a package that apt knows.
packaged_minor() {
    LC_ALL=C apt-cache policy "$1" 2>/dev/null | sed -n 's/^  Candidate: 1\.\([0-9]*\)\..*/\1/p'
}

# The packages of a Rust that is new enough: the release's own, or the newer one that Debian
# keeps for browsers; nothing where there is none.
packaged_rust() {
    for suffix in '' -web; do
        minor=$(packaged_minor "rustc$suffix")
        if [ "${minor:-0}" -ge "$(rust_needed)" ]; then
            printf 'cargo%s rustc%s' "$suffix" "$suffix"
            [ "${suffix}${1:-}" != check ] || printf ' rust-clippy rustfmt'
            [ "${suffix}${1:-}" != -webcheck ] || printf ' rust-web-clippy rustfmt-web'
            return
        fi
    done
}

# What would be removed for packages.
replaced() {
    # shellcheck disable=SC2086
    LC_ALL=C apt-get -s --no-install-recommends install $1 2>/dev/null | awk '$1 == "Remv" { printf " %s", $2 }'
}

# Whether something may be replaced: nobody to ask is no.
allowed() {
    [ -z "$2" ] && return 0
    if [ -t 0 ] && [ -t 2 ]; then
        printf 'alcove: installing %s removes%s. Go on? [y/N] ' "$1" "$2" >&2
        read -r answer
        case $answer in
        y | Y | yes) return 0 ;;
        esac
    else
        say "installing $1 would remove$2: left as it is"
    fi
    return 1
}

rust_packages=
if [ "$need_rust" = yes ] || [ "$need_lints" = yes ]; then
    [ -n "$(apt-cache policy rustc 2>/dev/null)" ] || refresh
    rust_packages=$(packaged_rust "${1:-}")
fi
if [ "$as_root" = none ]; then
    [ "$need_rust$need_lints" = nono ] || missing="$missing${rust_packages:+ $rust_packages}"
    [ -z "$missing" ] || say "missing, and only root can install it: apt-get install$missing"
    if [ "$need_rust" = yes ]; then
        say "$(missing_rust)"
        [ -n "$rust_packages" ] || say "Rust for a user alone comes from https://rustup.rs"
    fi
    exit 1
fi

if [ -n "$missing" ]; then
    say "installing$missing"
    # shellcheck disable=SC2086
    apt_install $missing
fi
[ "$need_rust$need_lints" != nono ] || exit 0

[ "$need_rust" = no ] || say "$(missing_rust)"
# Lints come from where this Rust came from.
if [ "$need_rust" = no ] && command -v rustup >/dev/null 2>&1; then
    say "installing clippy and rustfmt by rustup"
    rustup component add clippy rustfmt
elif [ -n "$rust_packages" ] && allowed "$rust_packages" "$(replaced "$rust_packages")"; then
    say "installing $rust_packages"
    # shellcheck disable=SC2086
    apt_install $rust_packages
else
    for package in curl ca-certificates; do
        dpkg-query -W "$package" >/dev/null 2>&1 || apt_install "$package"
    done
    say "installing Rust to ${CARGO_HOME:-$HOME/.cargo} by rustup:" \
        "the script at https://sh.rustup.rs is fetched and run"
    rustup=$(mktemp)
    trap 'rm -f "$rustup"' EXIT
    curl --proto '=https' --tlsv1.2 -sSf -o "$rustup" https://sh.rustup.rs
    sh "$rustup" -y --quiet --profile minimal -c clippy -c rustfmt --no-modify-path
fi
[ -n "$(find_cargo)" ] || fail "$(missing_rust)"
[ "${1:-}" != check ] || have_lints || fail "missing: cargo clippy and cargo fmt"
