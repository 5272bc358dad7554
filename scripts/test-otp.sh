#!/usr/bin/env bash
# Builds, shows and tests alcove as whoever is new to it does on a Debian, with the OTP, the Elixir
# and the Rust that are got there: `make run` and `make test` in a root directory of that release.
#
#   scripts/test-otp.sh [CELL...]        bookworm, trixie, sid; without one all of them
#
#   SUITES="attach pipe"   only these suites, after building
#   STEPS=run              only `make run`; the default is "run test"
#   AS="root user"         who does it: root (the default), or an ordinary user that may use sudo
#   MIRROR=http://host     where debian/ and debian-security/ are, by default where apt has them from
#
# ALCOVE_* and CARGO_PROFILE_* of the environment, and a proxy, count there too.
#
# Needs root, in a system that may mount; debootstrap, git and util-linux; and the network. debootstrap
# makes the root directories, in _build/roots. They are used again, with what was installed there
# meanwhile: who removes one begins anew. Mounts and processes of a cell are in namespaces of its own,
# and end with it.
set -euo pipefail
CDPATH='' cd -- "$(dirname -- "$0")/.."
. scripts/debian.sh

# The user of a cell, and where the source is in a home directory: in the way of whoever forgets quotes.
user=newcomer source='a copy of alcove'

say() {
    printf 'alcove: %s\n' "$*" >&2
}

fail() {
    say "$@"
    exit 1
}

# Process 1 of a cell makes a root directory the system's, and becomes the command.
enter() {
    local root=$1 name value
    shift
    # pivot_root(2) takes a mount, and so does a program in the cell that changes all mounts.
    mount --bind "$root" "$root"
    cd "$root"
    mount -t proc proc proc
    mount --rbind /sys sys
    mount --rbind /dev dev
    mount -t tmpfs -o mode=755 tmpfs run
    mount -t tmpfs -o mode=1777 tmpfs tmp
    rm -f etc/hosts etc/resolv.conf
    printf '127.0.0.1 localhost %s\n::1 localhost\n' "$(uname -n)" >etc/hosts
    cat /etc/resolv.conf >etc/resolv.conf
    pivot_root . mnt
    cd /
    umount -l /mnt
    # As systemd leaves them: what is mounted below shows elsewhere, unless somebody takes care.
    mount --make-rshared /
    local environment=(
        HOME=/root LOGNAME=root USER=root SHELL=/bin/bash LANG=C.UTF-8 "TERM=${TERM:-dumb}"
        PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
    )
    for name in $(compgen -e); do
        case $name in
        ALCOVE_* | CARGO_PROFILE_* | http_proxy | https_proxy | no_proxy | SUITES | STEPS)
            value=${!name}
            environment+=("$name=$value")
            ;;
        esac
    done
    exec env -i "${environment[@]}" "$@"
}

# Runs a command in namespaces of its own. It is a job: what it starts and mounts ends with it, or with
# this script.
running=
apart() {
    local status=0
    unshare --mount --pid --ipc --uts --propagation private --fork --kill-child "$@" </dev/null 9>&- &
    running=$!
    wait "$running" || status=$?
    running=
    return "$status"
}

# Runs a command in a root directory.
entered() {
    apart "$BASH" "$PWD/scripts/test-otp.sh" --enter "$@"
}

# Makes the root directory of a cell.
make_root() {
    local cell=$1 root=$2 new=$2.new mirror
    mirror=$(debian_mirror)
    [ -n "$mirror" ] || fail 'MIRROR=http://host must say where debian/ and debian-security/ are'
    say "making $root by debootstrap, from $mirror"
    rm -rf "$new"
    apart debootstrap --variant=minbase --include=ca-certificates,git,make,sudo "$cell" "$new" "$mirror/debian" \
        >"$root.log" || { tail -n 5 "$root.log" >&2; fail "debootstrap failed: all that it said is in $root.log"; }
    {
        printf 'deb %s/debian %s main\n' "$mirror" "$cell"
        if [ "$cell" != sid ]; then
            printf 'deb %s/debian %s-updates main\n' "$mirror" "$cell"
            printf 'deb %s/debian-security %s-security main\n' "$mirror" "$cell"
        fi
    } >"$new/etc/apt/sources.list"
    # A mirror that is behind has lists that are too old by their dates. They are signed all the same.
    printf 'Acquire::Check-Valid-Until "false";\n' >"$new/etc/apt/apt.conf.d/50mirror"
    # The authorities that this machine knows beside Debian's.
    find /usr/local/share/ca-certificates -name '*.crt' \
        -exec cp -Lt "$new/usr/local/share/ca-certificates" {} + 2>/dev/null || :
    entered "$new" /bin/sh -ec 'update-ca-certificates >/dev/null
        export DEBIAN_FRONTEND=noninteractive
        apt-get -q update
        apt-get -q -y upgrade
        apt-get clean' >>"$root.log" 2>&1 || fail "its packages can't be had: see $root.log"
    mv "$new" "$root"
}

# Does the steps, in the cell, and closes with a line of what came of them.
steps() {
    local cell=$1 who=$2 as=() status=0 step output counts version
    if [ "$who" = user ]; then
        id "$user" >/dev/null 2>&1 || useradd --create-home --shell /bin/bash "$user"
        printf '%s ALL=(ALL) NOPASSWD: ALL\n' "$user" >"/etc/sudoers.d/$user"
        chown -R "$user:$user" "/home/$user"
        as=(setpriv "--reuid=$user" "--regid=$user" --init-groups env
            "HOME=/home/$user" "USER=$user" "LOGNAME=$user")
    fi
    output=$(mktemp)
    for step in ${STEPS:-run test}; do
        printf '\n==== %s, %s: make %s\n' "$cell" "$who" "$step"
        "${as[@]}" make "$step" ${SUITES:+"SUITES=$SUITES"} 2>&1 </dev/null | tee "$output" || status=1
        case $step in
        run)
            counts='make run passed'
            [ "$status" = 0 ] || { counts='make run failed'; break; }
            ;;
        *)
            # shellcheck disable=SC2016 # it is sed that reads the dollar
            counts=$(sed -n '/^[0-9]* passed, [0-9]* failed, [0-9]* skipped$/h; ${x;p}' "$output")
            counts=${counts:-make $step ended before the tests}
            ;;
        esac
    done
    version=$(erl -noshell -eval '{ok, Version} = file:read_file(filename:join([code:root_dir(), "releases",
        erlang:system_info(otp_release), "OTP_VERSION"])), io:put_chars(Version), halt().' 2>/dev/null) || :
    printf '%s, OTP %s, as %s: %s\n' "$cell" "${version:-that is missing}" "$who" "$counts" >result
    return "$status"
}

case ${1:-} in
--enter)
    shift
    enter "$@"
    ;;
--steps)
    shift
    steps "$@"
    exit
    ;;
esac

[ $# -gt 0 ] || set -- bookworm trixie sid
for cell in "$@"; do
    case $cell in
    bookworm | trixie | sid) ;;
    *) say "there is no cell $cell: bookworm, trixie, sid"; exit 2 ;;
    esac
done
for step in ${STEPS:-run test}; do
    case $step in
    run | test) ;;
    *) say "there is no step $step: run, test"; exit 2 ;;
    esac
done
for who in ${AS:-root}; do
    case $who in
    root | user) ;;
    *) say "AS is root, user or both, and not $who"; exit 2 ;;
    esac
done
for suite in ${SUITES:-}; do
    [ -e "test/alcove_${suite}_SUITE.erl" ] || { say "there is no suite $suite"; exit 2; }
done
[ "$(id -u)" = 0 ] || fail 'test-otp needs root: it makes a root directory of Debian, and mounts'
for command in debootstrap unshare pivot_root flock git tar; do
    command -v "$command" >/dev/null || fail "test-otp needs $command: apt-get install debootstrap util-linux git"
done
git rev-parse --git-dir >/dev/null || fail 'test-otp tests what git knows of: here is no clone'
unshare --mount --pid --fork --propagation private true ||
    fail 'test-otp needs namespaces of its own, and they are refused'

roots=$PWD/_build/roots
mkdir -p "$roots"
copy=
set -m
trap '[ -z "$running" ] || kill -KILL "$running"; wait || :; [ -z "$copy" ] || rm -rf "$copy"' EXIT
trap 'exit 1' HUP INT TERM

status=0 results=()
for cell in "$@"; do
    root=$roots/$cell
    exec 9>"$root.lock"
    flock -n 9 || fail "$root is in use"
    [ -d "$root" ] || make_root "$cell" "$root"
    for who in ${AS:-root}; do
        home=root
        [ "$who" = root ] || home=home/$user
        copy=$root/$home/$source
        rm -rf "$copy"
        # A clone, with what was changed since: without what git doesn't know.
        git clone -q --no-hardlinks . "$copy"
        changed=$(git -c user.name=alcove -c user.email=alcove@localhost stash create)
        git archive "${changed:-HEAD}" | tar -x -C "$copy"
        entered "$root" /bin/bash "/$home/$source/scripts/test-otp.sh" --steps "$cell" "$who" || status=1
        results+=("$(cat "$copy/result" || echo "$cell, as $who: ended before the tests")")
        rm -rf "$copy"
        copy=
    done
    exec 9>&-
done

printf '\n'
printf '%s\n' "${results[@]}"
exit "$status"
