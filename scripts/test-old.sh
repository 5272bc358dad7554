#!/usr/bin/env bash
# Runs suites as on an old kernel and as in a container, each in a cell: what alcove does without,
# and what it then says that it can't do.
#
#   scripts/test-old.sh [CELL...]
#
#   enosys   a kernel that lacks what came after Linux 4.19, and statx, preadv2 and pwritev2
#   eperm    the same, of a filter that refuses what it doesn't know. clone3 isn't there for it
#            either: otherwise glibc makes no thread
#   docker   a container with Docker's capabilities, mounts and filter. The virtual machine is
#            process 1. Needs root
#
# ALCOVE_OLD_SUITES names other suites, and ALCOVE_OLD_CASES cases of the first.
set -euo pipefail
CDPATH='' cd -- "$(dirname -- "$0")/.."

newer=424-,statx,preadv2,pwritev2

# What Docker's profile refuses whoever has no more than the capabilities below.
refused=acct,add_key,bpf,clock_adjtime,clock_settime,clone_namespaces,delete_module,fanotify_init
refused+=,finit_module,fsconfig,fsmount,fsopen,fspick,get_mempolicy,init_module,io_uring_enter
refused+=,io_uring_register,io_uring_setup,ioperm,iopl,kcmp,kexec_file_load,kexec_load,keyctl
refused+=,lookup_dcookie,mbind,mount,mount_setattr,move_mount,move_pages,nfsservctl,open_by_handle_at
refused+=,open_tree,perf_event_open,pivot_root,quotactl,quotactl_fd,reboot,request_key,set_mempolicy
refused+=,setdomainname,sethostname,setns,settimeofday,swapoff,swapon,syslog,sysfs,umount2,unshare
refused+=,userfaultfd,ustat,vhangup
capabilities=chown,dac_override,fsetid,fowner,mknod,net_raw,setgid,setuid,setfcap,setpcap
capabilities+=,net_bind_service,sys_chroot,kill,audit_write

# Process 1 of the container makes it one, and becomes the command.
in_container() {
    mount -t proc proc /proc
    # What tests call process 1's is that of no other container.
    case $PWD/ in
    /tmp/*) ;;
    *) mount -t tmpfs -o mode=1777 tmpfs /tmp ;;
    esac
    for directory in /proc/acpi /proc/scsi /sys/firmware; do
        [ ! -d "$directory" ] || mount -t tmpfs -o ro,size=0k tmpfs "$directory"
    done
    for file in /proc/kcore /proc/keys /proc/latency_stats /proc/timer_list /proc/sched_debug; do
        [ ! -e "$file" ] || mount --bind /dev/null "$file"
    done
    for directory in /proc/bus /proc/fs /proc/irq /proc/sys /proc/sysrq-trigger; do
        [ ! -e "$directory" ] || { mount --bind "$directory" "$directory"; mount -o remount,bind,ro "$directory"; }
    done
    # The control groups are below.
    # shellcheck disable=SC2013 # no mount of /sys has a space in its path
    for directory in $(awk '$5 ~ /^\/sys(\/|$)/ { print $5 }' /proc/self/mountinfo | sort -u); do
        mount -o remount,bind,ro "$directory"
    done
    exec "$old" enosys:clone3 "eperm:$refused" -- \
        setpriv --no-new-privs --inh-caps=-all --bounding-set="-all,+${capabilities//,/,+}" "$@"
}

# Becomes a command in a cell.
in_cell() {
    local cell=$1
    shift
    case $cell in
    enosys) exec "$old" "enosys:$newer" -- "$@" ;;
    eperm) exec "$old" enosys:clone3 "eperm:$newer" -- "$@" ;;
    docker)
        exec unshare --mount --pid --ipc --uts --fork --kill-child --propagation private \
            "$BASH" "$0" --in-container "$@"
        ;;
    esac
}

if [ "${1:-}" = --in-container ]; then
    shift
    in_container "$@"
fi

[ $# -gt 0 ] || set -- enosys eperm docker
for cell in "$@"; do
    case $cell in
    enosys | eperm | docker) ;;
    *) echo "there is no cell $cell: enosys, eperm, docker" >&2; exit 2 ;;
    esac
done

. scripts/rust.sh
use_cargo || { missing_rust >&2; exit 1; }
rebar3 as old compile
cargo build --quiet -p alcove_old -p alcove_probe
export old=${CARGO_TARGET_DIR:-target}/debug/alcove_old
old=$(realpath "$old")
ebin=$(realpath _build/old/lib/alcove/ebin) tests=$(realpath _build/old/lib/alcove/test)
work=$(mktemp -d "$PWD/_build/old/cell.XXXXXX")
# What a cell has started ends with its virtual machine. It is a job with signals of its own.
set -m
running=
trap '[ -z "$running" ] || kill -KILL "$running"; wait || :; rm -rf "$work"' EXIT
trap 'exit 1' HUP INT TERM
chmod 755 "$work"

status=0
for cell in "$@"; do
    printf '\n== %s\n' "$cell"
    if [ "$cell" = docker ] && [ "$(id -u)" != 0 ]; then
        echo 'skipped: needs root'
        continue
    fi
    mkdir "$work/$cell"
    (
        export ALCOVE_CELL_SUITES=${ALCOVE_OLD_SUITES:-calls nif drv proc keeper use}
        export ALCOVE_CELL_CASES=${ALCOVE_OLD_CASES:-} ALCOVE_CELL_LOGS=$work/$cell
        in_cell "$cell" erl -noshell -noinput -pa "$ebin" "$tests" -s alcove_cell main
    ) </dev/null &
    running=$!
    wait "$running" || status=1
    running=
done
exit "$status"
