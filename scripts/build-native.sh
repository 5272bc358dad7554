#!/bin/sh
# Puts alcove_nif.so and the executable alcove into priv: built by cargo, or made elsewhere.
# rebar3 runs this before it compiles, also where alcove is a dependency of another project.
#
#   build-native.sh          build, and install what has changed
#   build-native.sh clean    remove what was built
#
# Where to: MIX_APP_PATH/priv or REBAR_BARE_COMPILER_OUTPUT_DIR/priv, which mix has for each of
# its targets, else the project's own priv.
#
# What for: the target that CARGO_BUILD_TARGET names; else the one that follows from TARGET_ARCH,
# TARGET_CPU, TARGET_OS and TARGET_ABI, CROSSCOMPILE or CC, as Nerves sets them; else this
# machine. The linker is CARGO_TARGET_..._LINKER, the compiler of these variables, or a cross
# compiler as Debian names it.
#
# Made elsewhere: ALCOVE_PREBUILT names an archive that `make dist` made, or a directory or an
# address with such archives; ALCOVE_PREBUILT_SHA256 is its checksum, unless the file
# native/prebuilt.sha256 of the package lists it.
set -eu

root=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd -P)
cd "$root"
. "$root/scripts/rust.sh"

say() {
    printf 'alcove: %s\n' "$*" >&2
}

fail() {
    say "$@"
    exit 1
}

output=${MIX_APP_PATH:-${REBAR_BARE_COMPILER_OUTPUT_DIR:-}}
priv=${output:-$root}/priv
CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-$root/target}
export CARGO_TARGET_DIR
use_cargo || cargo=

# ---------------------------------------------------------------------------
# The target
# ---------------------------------------------------------------------------

# The machine that a C compiler makes code for, and the version of ARM's architecture.
machine_of() {
    compile "$1" -dumpmachine 2>/dev/null || :
}
arm_version() {
    # shellcheck disable=SC2086 # flags are words
    compile "$1" ${CFLAGS:-} -dM -E -x c /dev/null 2>/dev/null |
        sed -n 's/^#define __ARM_ARCH \([0-9]*\).*/\1/p'
}
# CC may name flags, too.
compile() {
    command=$1
    shift
    if command -v "$command" >/dev/null 2>&1; then
        "$command" "$@"
    else
        # shellcheck disable=SC2086 # words
        $command "$@"
    fi
}

# The C compiler that the environment names, if it names one.
compiler=
if [ -n "${CC:-}" ] && [ -n "$(machine_of "$CC")" ]; then
    compiler=$CC
elif [ -n "${CROSSCOMPILE:-}" ] && command -v "$CROSSCOMPILE-gcc" >/dev/null 2>&1; then
    compiler=$CROSSCOMPILE-gcc
fi

# Rust's name of the target that the environment asks for; nothing where it asks for none.
asked_target() {
    if [ -n "${CARGO_BUILD_TARGET:-}" ]; then
        printf '%s\n' "$CARGO_BUILD_TARGET"
        return
    fi
    if [ -n "${TARGET_ARCH:-}" ]; then
        arch=$TARGET_ARCH os=${TARGET_OS:-linux} abi=${TARGET_ABI:-gnu}
    else
        machine=
        [ -z "$compiler" ] || machine=$(machine_of "$compiler")
        [ -n "$machine" ] || machine=${CROSSCOMPILE:+$(basename "$CROSSCOMPILE")}
    fi
    rust_target
}
# Of a machine as compilers name it, or of the parts of its name.
rust_target() {
    if [ -z "${arch:-}" ]; then
        case $machine in
        *-linux) arch=${machine%%-*} os=linux abi=gnu ;;
        *-linux-*) arch=${machine%%-*} os=linux abi=${machine##*-} ;;
        *) return 0 ;;
        esac
    fi
    [ "$os" = linux ] || fail "no target of Rust is known here for the system $os: CARGO_BUILD_TARGET can name it"
    case $arch in
    amd64) arch=x86_64 ;;
    i?86) arch=i686 ;;
    arm64) arch=aarch64 ;;
    riscv64) arch=riscv64gc ;;
    arm*)
        version=$(printf '%s\n' "$arch" | sed -n 's/^armv\([0-9]*\).*/\1/p')
        case ${TARGET_CPU:-} in
        cortex_a* | cortex-a*) version=${version:-7} ;;
        arm11*) version=${version:-6} ;;
        arm9*) version=${version:-5} ;;
        esac
        [ -n "$version" ] || [ -z "$compiler" ] || version=$(arm_version "$compiler")
        case ${version:-7} in
        5) arch=armv5te ;;
        6) arch=arm ;;
        *) arch=armv7 ;;
        esac
        ;;
    x86_64 | aarch64 | riscv64gc) ;;
    *) fail "no target of Rust is known here for the architecture $arch: CARGO_BUILD_TARGET can name it" ;;
    esac
    printf '%s-unknown-linux-%s\n' "$arch" "$abi"
}

# Rust's name of this machine, also where there is no Rust.
if [ -n "$cargo" ]; then
    host=$(rustc -vV | sed -n 's/^host: //p')
else
    # The VM that will load the library says what it was made for: the kernel may be of another kind.
    host=$(
        arch=
        machine=$(
            env -u ERL_FLAGS -u ERL_AFLAGS -u ERL_ZFLAGS erl -noinput -boot no_dot_erlang \
                -eval 'io:put_chars(erlang:system_info(system_architecture)), halt().' </dev/null
        )
        case $machine/$(uname -m) in
        arm-*/armv6*) machine=armv6-${machine#*-} ;;
        esac
        rust_target
    )
    [ -n "$host" ] || host=$(uname -m)-unknown-linux-gnu
fi
target=$(asked_target)
target=${target:-$host}
# Some distributions, as Alpine, name themselves in their Rust's name of the machine.
case $host in
"${target%%-*}"-*-"linux-${target##*-}") target=$host ;;
esac
# This machine's own is built once, whether it was named or not.
[ "$target" != "$host" ] || unset CARGO_BUILD_TARGET

# ---------------------------------------------------------------------------
# Installing
# ---------------------------------------------------------------------------

# The class and the machine that files of the target have in their ELF header.
expected_elf() {
    case $target in
    x86_64-*-gnux32) ;;
    x86_64-*) echo '2 62' ;;
    i?86-*) echo '1 3' ;;
    aarch64-*) echo '2 183' ;;
    arm*) echo '1 40' ;;
    riscv64*) echo '2 243' ;;
    esac
}
elf_of() {
    od -An -v -t u1 -j 4 -N 16 "$1" | tr -s ' \n' '  ' |
        awk '{ print $1, $2 == 2 ? $15 * 256 + $16 : $15 + $16 * 256 }'
}
check_target() {
    case $target in
    *-apple-*) return 0 ;;
    esac
    expected=$(expected_elf)
    [ -z "$expected" ] || [ "$(elf_of "$1")" = "$expected" ] || fail "$1 is not for $target: it was not installed"
}

# Two builds at once must not install a library and an executable that don't match.
prepare_priv() {
    # mix links to the one priv of the project, if there is one: each of its targets has its own.
    [ -z "$output" ] || [ ! -L "$priv" ] || rm -f "$priv"
    mkdir -p "$priv"
    if command -v flock >/dev/null; then
        exec 9<"$priv"
        flock 9
    fi
}

# A program that runs, or a library that is loaded, is never written to: the new
# file takes its name in one step. One that hasn't changed is left alone, and keeps
# the setuid bit or the capabilities that it was given.
changed=
install_file() {
    check_target "$1"
    if [ ! -x "$2" ] || ! cmp -s "$1" "$2"; then
        temp=$2.$$
        cp "$1" "$temp"
        chmod 755 "$temp"
        mv -f "$temp" "$2"
        changed=yes
    fi
}

# ---------------------------------------------------------------------------
# Made elsewhere
# ---------------------------------------------------------------------------

sha256_of() {
    if command -v sha256sum >/dev/null 2>&1; then
        sha256sum <"$1"
    else
        shasum -a 256 <"$1"
    fi | cut -d ' ' -f 1
}

# The checksums that an archive of this name may have.
checksums_of() {
    if [ -n "${ALCOVE_PREBUILT_SHA256:-}" ]; then
        printf '%s\n' "$ALCOVE_PREBUILT_SHA256" | tr '[:upper:]' '[:lower:]'
    elif [ -f native/prebuilt.sha256 ]; then
        awk -v name="$1" '$2 == name { print $1 }' native/prebuilt.sha256
    fi
}

take_prebuilt() {
    name=$(archive_name "$target")
    from=$ALCOVE_PREBUILT
    case $from in
    *.tar.gz) name=$(basename "$from") ;;
    */) from=$from$name ;;
    *) from=$from/$name ;;
    esac
    checksum=$(checksums_of "$name")
    [ -n "$checksum" ] || fail "$from is not taken without its checksum: ALCOVE_PREBUILT_SHA256 names it"

    work=$(mktemp -d "${TMPDIR:-/tmp}/alcove_prebuilt.XXXXXX")
    trap 'rm -rf "$work"' EXIT
    trap 'exit 1' HUP INT TERM
    case $from in
    http://* | https://*)
        archive=$CARGO_TARGET_DIR/prebuilt/$name
        if [ ! -f "$archive" ] || [ "$(sha256_of "$archive")" != "$checksum" ]; then
            say "fetching $from"
            if command -v curl >/dev/null 2>&1; then
                curl -fsSL -o "$work/archive" "$from" || fail "$from can't be fetched"
            elif command -v wget >/dev/null 2>&1; then
                wget -q -O "$work/archive" "$from" || fail "$from can't be fetched"
            else
                fail "neither curl nor wget is here to fetch $from"
            fi
            [ "$(sha256_of "$work/archive")" = "$checksum" ] ||
                fail "$from has the checksum $(sha256_of "$work/archive"), not $checksum"
            # What can't be kept is fetched again the next time.
            { mkdir -p "$(dirname "$archive")" && mv -f "$work/archive" "$archive"; } 2>/dev/null ||
                archive=$work/archive
        fi
        ;;
    file://*) archive=${from#file://} ;;
    *) archive=$from ;;
    esac
    [ -f "$archive" ] || fail "$archive isn't there: ALCOVE_PREBUILT names it"
    # A copy: what is checked is what is unpacked.
    cp "$archive" "$work/checked"
    [ "$(sha256_of "$work/checked")" = "$checksum" ] ||
        fail "$from has the checksum $(sha256_of "$work/checked"), not $checksum"
    mkdir "$work/priv"
    gzip -dc "$work/checked" | tar xf - -C "$work/priv" || fail "$from can't be unpacked"
    for file in alcove_nif.so alcove; do
        if [ ! -f "$work/priv/$file" ] || [ -L "$work/priv/$file" ]; then
            fail "$from has no $file"
        fi
        check_target "$work/priv/$file"
    done
    prepare_priv
    install_file "$work/priv/alcove_nif.so" "$priv/alcove_nif.so"
    install_file "$work/priv/alcove" "$priv/alcove"
    keep_newer
    say "took $from for $target: nothing is compiled from Rust"
}

# ---------------------------------------------------------------------------
# Built here
# ---------------------------------------------------------------------------

# Gives the linker the flags of the compiler, such as where the system of the target is.
link_with() {
    for flag in $1; do
        RUSTFLAGS="${RUSTFLAGS:-} -C link-arg=$flag"
    done
    export RUSTFLAGS
}
# The linker for another machine than this one.
choose_linker() {
    variable=CARGO_TARGET_$(printf '%s' "$target" | tr 'a-z-' 'A-Z_')_LINKER
    eval "linker=\${$variable:-}"
    [ -z "$linker" ] || return 0
    case ${target%%-*} in
    arm*) debian=arm-linux-${target##*-} ;;
    riscv64gc) debian=riscv64-linux-${target##*-} ;;
    *) debian=${target%%-*}-linux-${target##*-} ;;
    esac
    for candidate in "$compiler" "${compiler%% *}" "$debian-gcc" "$(printf '%s' "$debian" | sed 's/musl/gnu/')-gcc"; do
        if [ -n "$candidate" ] && command -v "$candidate" >/dev/null 2>&1; then
            export "$variable=$candidate"
            case $compiler in
            "$candidate "*) link_with "${compiler#* }" ;;
            esac
            return 0
        fi
    done
    # Another C library of this machine's kind is linked by its own linker.
    [ "${target%%-*}" != "${host%%-*}" ] || return 0
    fail "no linker for $target here, as $debian-gcc is: CC or $variable can name one"
}

# mix may copy the project's own priv to that of a target, where it is newer.
keep_newer() {
    [ -z "$output" ] || touch "$priv/alcove" "$priv/alcove_nif.so"
}

# What cargo says that it made, of its messages: a file.
made() {
    printf '%s\n' "$messages" | grep '"reason":"compiler-artifact"' |
        grep -F "\"kind\":[\"$1\"]" | grep -F "\"name\":\"$2\"" |
        sed -n 's/.*"filenames":\["\(\([^"\\]\|\\.\)*\)".*/\1/p' | sed 's/\\\(.\)/\1/g' | tail -n 1
}

build() {
    # Nothing is said where nothing is to be done.
    quiet=
    if [ -f "$priv/alcove" ] && [ -f "$priv/alcove_nif.so" ] &&
        [ -z "$(find Cargo.toml Cargo.lock native -type f -newer "$priv/alcove" 2>/dev/null | head -n 1)" ]; then
        quiet=--quiet
    fi
    [ -n "$quiet" ] || say "building for $target with Rust $(rust_version "$cargo"), $cargo"

    # Where a target is named cargo builds apart from what it builds for this machine.
    for_target=
    if [ "$target" != "$host" ]; then
        for_target="--target $target"
        [ -d "$(rustc --print target-libdir --target "$target" 2>/dev/null || echo /nonexistent)" ] ||
            [ -n "${CARGO_UNSTABLE_BUILD_STD:-}" ] ||
            fail "this Rust has no standard library for $target: rustup target add $target," \
                "or a libstd-rust-dev of that architecture"
        choose_linker
    fi

    # A shared library can't have a C library of its own, which is the default with musl.
    # rustler asks for a newer Rust than it takes.
    # shellcheck disable=SC2086 # words
    messages=$(
        case $target in
        *-musl*) export RUSTFLAGS="${RUSTFLAGS:-} -C target-feature=-crt-static" ;;
        esac
        "$cargo" build --release $quiet --ignore-rust-version $for_target \
            --message-format=json-render-diagnostics -p alcove_nif 9<&-
    )
    library=$(made cdylib alcove_nif)

    # The executable is static: it forks and execs a third faster, and runs in any root.
    # shellcheck disable=SC2086
    if ! messages=$("$cargo" rustc --release $quiet $for_target --message-format=json-render-diagnostics \
        -p alcove --bin alcove -- -C target-feature=+crt-static 9<&-); then
        say "no static executable; trying one that needs the C library at run time"
        messages=$("$cargo" build --release $quiet $for_target --message-format=json-render-diagnostics \
            -p alcove --bin alcove 9<&-)
    fi
    executable=$(made bin alcove)

    install_file "$library" "$priv/alcove_nif.so"
    install_file "$executable" "$priv/alcove"
    keep_newer
    [ -z "$changed" ] || say "built $priv/alcove and $priv/alcove_nif.so"
}

case ${1:-build} in
clean)
    for file in "$priv/alcove" "$priv/alcove_nif.so"; do
        [ ! -e "$file" ] || say "removing $file"
        rm -f "$file"
    done
    if [ -n "$cargo" ] && [ -d "$CARGO_TARGET_DIR" ]; then
        say "removing what cargo built of alcove in $CARGO_TARGET_DIR; the crates of others stay"
        for_target=
        [ "$target" = "$host" ] || for_target="--target $target"
        # shellcheck disable=SC2086
        "$cargo" clean --offline --quiet --release $for_target \
            -p alcove_proto -p alcove_core -p alcove -p alcove_nif 2>/dev/null || :
    fi
    ;;
build)
    case ${RUSTLER_PRECOMPILED_FORCE_BUILD_ALL:-} in
    1 | true) ALCOVE_PREBUILT= ;;
    esac
    if [ -n "${ALCOVE_PREBUILT:-}" ]; then
        take_prebuilt
    elif [ -n "$cargo" ]; then
        prepare_priv
        build
    elif [ -x "$priv/alcove" ] && [ -f "$priv/alcove_nif.so" ]; then
        check_target "$priv/alcove_nif.so"
        say "$(missing_rust): $priv stays as it is"
    else
        fail "$(missing_rust). It comes from https://rustup.rs, or as a package of the system;" \
            "without it ALCOVE_PREBUILT can name what was built elsewhere"
    fi
    ;;
*)
    fail "usage: build-native.sh [build | clean]"
    ;;
esac
