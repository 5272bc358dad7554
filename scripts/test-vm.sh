#!/usr/bin/env bash
# Runs suites on other kernels and other processors: those of Debian, booted by qemu.
#
#   scripts/test-vm.sh [CELL...]        without one, all of them
#
#   x86_64-6.1      Debian 12's kernel
#   x86_64-5.10     Debian 11's
#   x86_64-6.12     Debian 13's
#   systemd-6.1     Debian 12's with systemd, and the virtual machine in a service of an ordinary user's
#                   to which its control group is delegated
#   user-6.1        the same, by the user's own systemd
#   arm64-6.1       Debian 12's for 64-bit ARM, on a Cortex-A72 that is emulated
#   armhf-6.1       Debian 12's for 32-bit ARM, on a Cortex-A15 that is emulated, with 512 MB
#
#   SUITES="calls nif"      these suites; demo is scripts/run-demo.sh. Without it those of a cell that two
#                           processors which others use, too, end within an hour; all: all of the cell
#   CASES="poll openpty"    only these cases of the suite
#   LIMIT=3600              how many seconds a cell may take
#   ALCOVE_VM=directory     where kernels, root file systems and logs are kept: _build/vm by default.
#                           About 1.5 GB for each processor, and 0.3 GB for each kernel
#   ALCOVE_TEST_SLOW=5      how much slower than a fast machine's the deadlines of tests are
#   MIRROR=http://host      where debian/ is, by default where apt has it from
#
# All cells have control groups of version 2 alone, and Debian 12 with its OTP, whatever the kernel. What
# runs in them is built here: a newer OTP than that, or a library or program that asks for a newer C
# library, is refused. Debian 12 will do.
#
# Needs root, for debootstrap, and the network. The first run makes the root file systems. Where a kernel
# of this machine's kind boots by /dev/kvm its cell takes minutes.
#
# Nothing is mounted here, and the machine's apt stays as it is. The virtual machine ends with this
# script; what it writes goes to files that are gone then, but for the logs.
set -Eeuo pipefail
trap 'printf "alcove: test-vm ends, as line %d failed: %s\n" "$LINENO" "$BASH_COMMAND" >&2' ERR
CDPATH='' cd -- "$(dirname -- "$0")/.."
. scripts/rust.sh
. scripts/debian.sh

cells="x86_64-6.1 x86_64-5.10 x86_64-6.12 systemd-6.1 user-6.1 arm64-6.1 armhf-6.1"

# What is installed in the root file systems: what alcove needs to run, and what its tests do.
packages=busybox-static,erlang-base,erlang-crypto,erlang-edoc,erlang-eunit,erlang-inets,erlang-proper,erlang-ssl
packages+=,erlang-tools,erlang-xmerl,iproute2,kmod,libcap2-bin,procps,python3-minimal,strace,uidmap
packages+=,util-linux
# What is of no use where it is only unpacked, systemd for the cell that has it among that.
configured=sudo,dbus,dbus-user-session,libpam-systemd,systemd,systemd-sysv
# What is unpacked in any case, as it depends on a graphical debugger.
unpacked=erlang-common-test

say() {
    printf 'alcove: %s\n' "$*" >&2
}

fail() {
    say "$@"
    exit 1
}

# The Debian whose kernel a cell has, the package of that, Debian's and Rust's names of the processor, how
# slow it is when emulated, and the suites.
cell_of() {
    local hour='demo calls drv keeper proc ns seccomp sandbox cgroup examples' all
    all="$hour nif use survivors"
    architecture=amd64 target=x86_64-unknown-linux-gnu kernel=linux-image-amd64 memory=2048 slow=10 init=plain
    limit=${LIMIT:-5400}
    case $1 in
    x86_64-6.1) release=bookworm ;;
    x86_64-5.10) release=bullseye ;;
    x86_64-6.12) release=trixie ;;
    systemd-6.1) release=bookworm init=systemd hour='delegated sandbox cgroup' all=$hour ;;
    user-6.1) release=bookworm init=user hour='delegated sandbox' all=$hour ;;
    arm64-6.1)
        release=bookworm architecture=arm64 target=aarch64-unknown-linux-gnu kernel=linux-image-arm64
        hour='demo nif calls drv keeper proc ns seccomp' all="$hour survivors"
        ;;
    armhf-6.1)
        release=bookworm architecture=armhf target=armv7-unknown-linux-gnueabihf kernel=linux-image-armmp
        memory=512 hour='demo footprint nif calls seccomp' all="$hour drv"
        ;;
    *) return 1 ;;
    esac
    case ${SUITES:-} in
    '') suites=$hour ;;
    all) suites=$all ;;
    *) suites=$SUITES ;;
    esac
    version=$release-$architecture
}

# ---------------------------------------------------------------------------
# Kernels and root file systems
# ---------------------------------------------------------------------------

# Fetches packages into the directory that is the working directory, by an apt of its own.
fetch() {
    local release=$1 architecture=$2 apt=$PWD/apt
    shift 2
    mkdir -p "$apt/lists/partial" "$apt/cache/archives/partial" "$apt/none"
    : >"$apt/status"
    printf 'deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] %s/debian %s main\n' \
        "$mirror" "$release" >"$apt/sources.list"
    cat >"$apt/apt.conf" <<EOF
APT::Architecture "$architecture";
APT::Architectures { "$architecture"; };
APT::Sandbox::User "root";
Acquire::Languages "none";
Dir::State::lists "$apt/lists";
Dir::State::status "$apt/status";
Dir::Cache "$apt/cache";
Dir::Etc::sourcelist "$apt/sources.list";
Dir::Etc::sourceparts "-";
Dir::Etc::preferencesparts "$apt/none";
EOF
    export APT_CONFIG=$apt/apt.conf
    apt-get -q update
    local package
    for package in "$@"; do
        # The kernel's package depends on the one of its newest version.
        case $package in
        linux-image-*)
            package=$(LC_ALL=C apt-cache depends "$package" | awk '/Depends: linux-image/ { print $2; exit }')
            ;;
        esac
        apt-get -q download "$package"
    done
    unset APT_CONFIG
}

# The kernel of a cell, the file system that its virtual machine begins with, and its modules: vmlinuz,
# initramfs.gz, modules.img.
make_kernel() {
    local kept=$1 here=$work/kernel version base module name
    say "fetching $kernel of $release for $architecture"
    mkdir -p "$here/start/lib" "$here/start/bin" "$here/start/proc" "$here/start/sys" "$here/start/dev" \
        "$here/start/root" "$here/unpacked"
    (
        cd "$here"
        fetch "$release" "$architecture" "$kernel" busybox-static
        for package in *.deb; do
            dpkg-deb -x "$package" unpacked
        done
    ) >"$here/log" 2>&1 || { tail -n 5 "$here/log" >&2; fail "the kernel can't be had from $mirror"; }
    version=$(basename "$here"/unpacked/boot/vmlinuz-*)
    version=${version#vmlinuz-}
    base=$here/unpacked
    [ -d "$base/lib/modules" ] || base=$here/unpacked/usr
    # What a virtual machine has no hardware for.
    for name in gpu media infiniband scsi usb iio staging net/ethernet net/wireless; do
        rm -rf "$base/lib/modules/$version/kernel/drivers/$name"
    done
    rm -rf "$base/lib/modules/$version/kernel/sound"
    find "$base/lib/modules/$version" -name '*.ko.xz' -exec xz -d {} +
    if [ "$release-$architecture" = bookworm-amd64 ]; then
        make_gpio_sim "$base/lib/modules/$version/kernel/drivers/gpio" >"$here/log" 2>&1 ||
            { tail -n 5 "$here/log" >&2; fail 'the module gpio-sim cannot be made'; }
    fi
    depmod -b "$base" "$version"
    cp "$here"/unpacked/bin/busybox "$here/start/bin/" 2>/dev/null ||
        cp "$here"/unpacked/usr/bin/busybox "$here/start/bin/"
    for name in virtio_pci virtio_blk virtio_rng ext4; do
        modprobe -d "$base" -S "$version" --show-depends "$name" | awk '$1 == "insmod" { print $2 }'
    done | awk '!seen[$0]++' | while read -r module; do
        cp "$module" "$here/start/lib/"
        basename "$module" >>"$here/start/lib/order"
    done
    cp scripts/vm/initramfs.sh "$here/start/init"
    chmod 755 "$here/start/init"
    mkdir "$here/made"
    (cd "$here/start" && find . | cpio -o -H newc --quiet) | gzip -1 >"$here/made/initramfs.gz"
    cp "$here/unpacked/boot/vmlinuz-$version" "$here/made/vmlinuz"
    image "$base/lib/modules" "$here/made/modules.img" 32
    mv "$here/made" "$kept"
    rm -rf "$here"
}

# The module of simulated GPIO controllers, which Debian doesn't build: of the sources of its kernel, by the
# compiler of that. What simulates their interrupts would be a part of the kernel, and is one of the module.
make_gpio_sim() (
    local to=$1 sources=$here/gpio/linux-source-6.1 headers=$here/gpio/usr/src/linux-headers-$version
    mkdir -p "$here/gpio/module" "$to"
    cd "$here/gpio"
    fetch "$release" "$architecture" "linux-headers-$version" "linux-headers-${version%-*}-common" \
        linux-kbuild-6.1 linux-source-6.1
    for package in linux-headers-*.deb linux-kbuild-*.deb; do
        dpkg-deb -x "$package" .
    done
    dpkg-deb --fsys-tarfile linux-source-*.deb | tar -xO ./usr/src/linux-source-6.1.tar.xz |
        tar -xJ linux-source-6.1/drivers/gpio linux-source-6.1/kernel/irq
    sed -i "s,/usr/src,$PWD/usr/src," "$headers/Makefile"
    cp "$sources/drivers/gpio/gpio-sim.c" module/chips.c
    cp "$sources"/drivers/gpio/gpiolib*.h "$sources/kernel/irq/irq_sim.c" module/
    # What it calls is not for modules.
    sed -i 's/handle_simple_irq(irq_to_desc(irqnum))/generic_handle_irq(irqnum)/' module/irq_sim.c
    printf 'obj-m := gpio-sim.o\ngpio-sim-y := chips.o irq_sim.o\n' >module/Makefile
    make -C "$headers" "M=$PWD/module" CC=gcc-12 modules
    cp module/gpio-sim.ko "$to/"
)

# A file system of a directory in a file, with so many megabytes to spare.
image() {
    truncate -s "$(($(du -sm --apparent-size "$1" | cut -f 1) * 5 / 4 + $3))M" "$2"
    mke2fs -q -t ext4 -E lazy_itable_init=1 -d "$1" "$2"
}

# The root file system of a processor. Where it isn't this machine's, what packages would run when they are
# installed can't be run here: they are unpacked, and what alcove and its tests need of the rest is done.
make_root() {
    local kept=$1 here=$work/root include=$packages foreign=--foreign package
    say "making the root file system of Debian 12 for $architecture, from $mirror"
    if ! is_foreign; then
        include+=,$configured foreign=
    fi
    apart debootstrap ${foreign:+"$foreign"} --variant=minbase "--arch=$architecture" "--include=$include" \
        bookworm "$here" "$mirror/debian" >"$work/log" 2>&1 ||
        { tail -n 5 "$work/log" >&2; fail 'debootstrap failed'; }
    (
        if is_foreign; then
            for package in "$here"/var/cache/apt/archives/*.deb; do
                unpack "$package" "$here"
            done
            for package in passwd group; do
                cp "$here/usr/share/base-passwd/$package.master" "$here/etc/$package"
            done
            mkdir -p "$here/mnt" "$here/srv" "$here/home" "$here/media"
            ln -sfn mawk "$here/usr/bin/awk"
            ln -sfn dash "$here/usr/bin/sh"
            rm -rf "$here/debootstrap"
        fi
        mkdir "$work/unpacked"
        cd "$work/unpacked"
        fetch bookworm "$architecture" "$unpacked"
        unpack ./*.deb "$here"
        rm -f "$here"/var/cache/apt/archives/*.deb
        # As debootstrap leaves it in a container.
        [ ! -L "$here/proc" ] || rm "$here/proc"
        mkdir -p "$here/proc"
    ) >"$work/log" 2>&1 || { tail -n 5 "$work/log" >&2; fail "it can't be made"; }
    image "$here" "$work/root.img" 2000
    mv "$work/root.img" "$kept"
    rm -rf "$here" "$work/unpacked"
}

# The links between directories of a root file system stay.
unpack() {
    dpkg-deb --fsys-tarfile "$1" | tar -x --keep-directory-symlink -C "$2"
}

is_foreign() {
    [ "$architecture" != "$(dpkg --print-architecture)" ]
}

# ---------------------------------------------------------------------------
# What runs in a cell
# ---------------------------------------------------------------------------

# Builds for a processor, and names the directories of what came out: priv, and the programs of the tests.
build() {
    local file version
    case $target in
    "$(rustc -vV | sed -n 's/^host: //p')")
        [ -d priv ] || fail 'nothing was built in priv'
        priv=priv programs=target/debug
        cargo build --quiet --locked -p alcove_probe
        ;;
    *)
        local output=$PWD/_build/cross/$target linker
        mkdir -p "$output"
        env -u ALCOVE_PREBUILT CARGO_BUILD_TARGET="$target" MIX_APP_PATH="$output" scripts/build-native.sh
        linker=${target/-unknown/}
        linker=${linker/armv7/arm}-gcc
        env "CARGO_TARGET_$(printf '%s' "$target" | tr 'a-z-' 'A-Z_')_LINKER=$linker" \
            cargo build --quiet --locked --target "$target" -p alcove_probe
        priv=$output/priv programs=target/$target/debug
        ;;
    esac
    for file in "$priv/alcove_nif.so" "$programs/alcove_probe"; do
        version=$(libc_needed "$file")
        debian_has_libc "$version" || fail "$file needs the C library ${version:-that is not told}, and not Debian 12's"
    done
}

# The file system that is the project in a cell: what git knows, what was built, and what is to be done.
project() {
    local tree=$work/tree changed program
    rm -rf "$tree" "$work/project.img"
    mkdir -p "$tree/target/debug" "$tree/_build/old/lib"
    # Not the clone's own index: another git may have locked that.
    cp "$(git rev-parse --git-path index)" "$work/index"
    changed=$(GIT_INDEX_FILE=$work/index git -c user.name=alcove -c user.email=alcove@localhost stash create)
    git archive "${changed:-HEAD}" | tar -x -C "$tree"
    tar -c -C _build/old/lib alcove | tar -x -C "$tree/_build/old/lib"
    cp -rL "$priv" "$tree/priv"
    for program in alcove_probe alcove_forge alcove_swarm alcove_traced alcove_watch; do
        [ ! -e "$programs/$program" ] || cp "$programs/$program" "$tree/target/debug/"
    done
    printf '%s\n' "init=$init" "suites='$suites'" "cases='${CASES:-}'" "slow=$slow" >"$tree/cell"
    chmod -R go+rX "$tree"
    image "$tree" "$work/project.img" 200
    rm -rf "$tree"
}

# Runs a command in namespaces of its own: what it mounts and starts ends with it, or with this script.
running=
apart() {
    local status=0
    setpriv --pdeathsig KILL unshare --mount --pid --propagation private --fork --kill-child "$@" </dev/null 9>&- &
    running=$!
    wait "$running" || status=$?
    running=
    return "$status"
}

# Boots the kernel of a cell for at most so many seconds, with a word for its command line and more options
# of qemu, and shows what is printed there.
machine() {
    local limit=$1 word=$2 qemu machine=() console=ttyS0 line status=0
    shift 2
    case $architecture in
    amd64) qemu=qemu-system-x86_64 machine=(-cpu "$([ "$accel" = kvm ] && echo host || echo max)") ;;
    arm64) qemu=qemu-system-aarch64 machine=(-M virt -cpu cortex-a72) console=ttyAMA0 ;;
    armhf) qemu=qemu-system-arm machine=(-M 'virt,highmem=off' -cpu cortex-a15) console=ttyAMA0 ;;
    esac
    [ "$accel" = kvm ] || machine+=(-accel 'tcg,thread=multi,tb-size=512')
    [ "$accel" = tcg ] || machine+=(-accel kvm)
    line="console=$console panic=-1 quiet loglevel=1 cgroup_no_v1=all"
    line="$line systemd.show_status=0 mitigations=off $word"
    rm -f "$work/printed"
    mkfifo "$work/printed"
    { tee "$work/console" <"$work/printed" | sed -u 's/\r$//'; } 9>&- &
    TMPDIR=$work apart timeout -k 5 "$limit" \
        "$qemu" -nodefaults -display none -monitor none -no-reboot -serial stdio \
        "${machine[@]}" -m "$memory" -smp 2 -device virtio-rng-pci \
        -kernel "$kernels/$version/vmlinuz" -initrd "$kernels/$version/initramfs.gz" \
        -append "$line" "$@" >"$work/printed" 2>&1 || status=$?
    wait || :
    tr -d '\r' <"$work/console" >"$work/console.new"
    mv "$work/console.new" "$work/console"
    return "$status"
}

# With the root file system and all that belongs to it. What is written to it is gone afterwards.
boot() {
    local status=0
    rm -f "$work/logs.img"
    truncate -s 64M "$work/logs.img"
    machine "$limit" alcove=begin \
        -drive "file=$roots/$architecture.img,if=virtio,format=raw,cache=unsafe,snapshot=on" \
        -drive "file=$work/project.img,if=virtio,format=raw,cache=unsafe" \
        -drive "file=$kernels/$version/modules.img,if=virtio,format=raw,readonly=on" \
        -drive "file=$work/logs.img,if=virtio,format=raw,cache=unsafe" || status=$?
    [ "$status" != 124 ] || say "the virtual machine didn't end within $limit seconds"
    return "$status"
}

# How a cell is run: by /dev/kvm where a kernel boots by it, which not everything does that is so called.
choose_accel() {
    accel=tcg
    if ! is_foreign && (: <>/dev/kvm) 2>/dev/null; then
        accel=kvm
        machine 20 alcove=try >/dev/null 2>&1 || :
        grep -q '^tried$' "$work/console" || accel=tcg
    fi
    [ "$accel" = tcg ] || slow=3
    slow=${ALCOVE_TEST_SLOW:-$slow}
}

# Runs a cell, and leaves a line of each suite and one of all in results.
run_cell() {
    local cell=$1 suite began=$SECONDS passed=0 failed=0 skipped=0 p f s line
    [ -d "$kernels/$version" ] || make_kernel "$kernels/$version"
    choose_accel
    [ -f "$roots/$architecture.img" ] || make_root "$roots/$architecture.img"
    build
    printf '\n==== %s, by %s\n' "$cell" "$accel"
    project
    boot || failed=1
    rm -rf "${logs:?}/$cell"
    mkdir -p "$logs/$cell"
    cp "$work/console" "$logs/$cell/console"
    tar -xzf "$work/logs.img" -C "$logs/$cell" 2>/dev/null || :
    for suite in $suites; do
        [ "$suite" != footprint ] || continue
        line=$(grep -E "^$suite: [0-9]+ passed, [0-9]+ failed, [0-9]+ skipped, [0-9]+ seconds\$" "$work/console" |
            tail -n 1) || :
        line=${line:-$suite: 0 passed, 1 failed, 0 skipped, as it did not run to its end}
        read -r _ p _ f _ s _ <<<"$line"
        passed=$((passed + p)) failed=$((failed + f)) skipped=$((skipped + s))
        results+=("  $line")
    done
    # It says so itself when all is done, and what the tests left there.
    if ! grep -q '^nothing left behind$' "$work/console"; then
        results+=("  $cell ended early, or something was left behind: see $logs/$cell/console")
        failed=$((failed + 1))
    fi
    results+=("$cell: $passed passed, $failed failed, $skipped skipped, $((SECONDS - began)) seconds")
    all_passed=$((all_passed + passed)) all_failed=$((all_failed + failed)) all_skipped=$((all_skipped + skipped))
    printf '\n%s: %d passed, %d failed, %d skipped\n' "$cell" "$passed" "$failed" "$skipped"
}

# shellcheck disable=SC2086 # a list of words
[ $# -gt 0 ] || set -- $cells
for cell in "$@"; do
    cell_of "$cell" || { say "there is no cell $cell: $cells"; exit 2; }
done
for suite in ${SUITES:-}; do
    case $suite in
    demo | footprint) ;;
    all) [ "$SUITES" = all ] || { say 'SUITES=all stands alone'; exit 2; } ;;
    *) [ -e "test/alcove_${suite}_SUITE.erl" ] || { say "there is no suite $suite"; exit 2; } ;;
    esac
done
case "${CASES:+cases}${SUITES:-}" in
cases | casesall | cases*' '*) say 'CASES are those of one suite: SUITES says which'; exit 2 ;;
esac
[ "$(id -u)" = 0 ] || fail 'test-vm needs root: debootstrap unpacks root file systems'
for command in apt-get cpio debootstrap depmod flock git mke2fs modprobe setpriv unshare xz; do
    PATH=$PATH:/usr/sbin:/sbin command -v "$command" >/dev/null ||
        fail "test-vm needs $command: scripts/install-deps.sh vm"
done
PATH=$PATH:/usr/sbin:/sbin
git rev-parse --git-dir >/dev/null || fail 'test-vm tests what git knows of: here is no clone'
mirror=$(debian_mirror)
[ -n "$mirror" ] || fail 'MIRROR=http://host must say where debian/ is'
use_cargo || fail "$(missing_rust)"
otp=$(erl -noshell -noinput -eval 'io:put_chars(erlang:system_info(otp_release)), halt().')
[ "$otp" -le 25 ] || fail "here is OTP $otp, and what that builds isn't for OTP 25 of the cells"

cache=${ALCOVE_VM:-_build/vm}
mkdir -p "$cache"
cache=$(realpath "$cache")
kernels=$cache/kernels roots=$cache/roots logs=$cache/logs
mkdir -p "$kernels" "$roots" "$logs"
exec 9>"$cache/lock"
flock -n 9 || fail "$cache is in use"
# What another run was kept from removing.
rm -rf "$cache"/work.*
work=$(mktemp -d "$cache/work.XXXXXX")
set -m
# Whoever reads what is printed waits for the last who could print.
trap 'exec >/dev/null 2>&1; [ -z "$running" ] || kill -KILL -- "-$running" 2>/dev/null; wait || :; rm -rf "$work"' EXIT
trap 'say "ended by SIGHUP"; exit 1' HUP
trap 'say "ended by SIGINT"; exit 1' INT
trap 'say "ended by SIGTERM"; exit 1' TERM

rebar3 as old compile
results=() all_passed=0 all_failed=0 all_skipped=0
for cell in "$@"; do
    cell_of "$cell"
    run_cell "$cell"
done

printf '\n'
printf '%s\n' "${results[@]}"
printf '%d passed, %d failed, %d skipped\n' "$all_passed" "$all_failed" "$all_skipped"
[ "$all_failed" -eq 0 ] && [ "$all_passed" -gt 0 ]
