#!/bin/bash
# What is done in a virtual machine of test-vm.sh: there it is process 1 or, where systemd is, a service.
#
#   guest.sh begin     as process 1
#   guest.sh service   started by systemd
#   guest.sh suites    runs the suites, as whoever it is
#
# The file `cell' of the project says how and which: init, suites, cases, slow.
set -u
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin LANG=C.UTF-8 TERM=dumb
top=/opt/alcove
cd "$top" || exit 1
init='' suites='' cases='' slow=''
# shellcheck source=/dev/null
. "$top/cell"

# Where the logs of Common Test are gathered, for everybody.
gathered=/var/tmp/alcove-logs

mount_all() {
    mount -t proc proc /proc
    mount -t sysfs sysfs /sys
    mkdir -p /dev/pts /dev/shm
    mount -t devpts -o gid=5,mode=620,ptmxmode=666 devpts /dev/pts
    mount -t tmpfs -o mode=1777 tmpfs /dev/shm
    mount -t tmpfs -o mode=755 tmpfs /run
    mount -t tmpfs -o mode=1777 tmpfs /tmp
    ln -sfn /proc/self/fd /dev/fd
    ln -sf fd/0 /dev/stdin
    ln -sf fd/1 /dev/stdout
    ln -sf fd/2 /dev/stderr
    ip link set lo up 2>/dev/null || :
}

power_off() {
    sync
    echo o >/proc/sysrq-trigger
    sleep 60
}

# The names of the machine, and an ordinary user.
make_user() {
    echo alcove-vm >/etc/hostname
    printf '127.0.0.1 localhost alcove-vm\n::1 localhost\n' >/etc/hosts
    useradd --create-home --shell /bin/bash tester
    [ ! -d /etc/sudoers.d ] || echo 'tester ALL=(ALL) NOPASSWD: ALL' >/etc/sudoers.d/tester
    mkdir -p /var/lib/systemd/linger
    : >/var/lib/systemd/linger/tester
    tr -d - </proc/sys/kernel/random/uuid >/etc/machine-id
}

# Has systemd, which becomes process 1, go on here.
start_systemd() {
    local units=/run/systemd/system
    mkdir -p "$units/multi-user.target.wants"
    cat >"$units/alcove.service" <<EOF
[Unit]
After=systemd-user-sessions.service dbus.service systemd-logind.service
[Service]
Type=oneshot
ExecStart=/bin/bash $top/scripts/vm/guest.sh service
EOF
    ln -s "$units/alcove.service" "$units/multi-user.target.wants/"
    ln -s /dev/null "$units/serial-getty@ttyS0.service"
    exec /lib/systemd/systemd
}

# Runs the suites in a service of an ordinary user's, to which its control group is delegated: of the
# system's manager, or of that user's own.
as_ordinary_user() {
    local id service=(--quiet --wait --pipe --collect -p Delegate=yes /bin/bash "$top/scripts/vm/guest.sh" suites)
    if [ "$init" = systemd ]; then
        systemd-run -p User=tester "${service[@]}"
        return
    fi
    id=$(id -u tester)
    systemctl start "user@$id.service"
    setpriv --reuid=tester --regid=tester --init-groups env -i "PATH=$PATH" HOME=/home/tester USER=tester \
        LOGNAME=tester SHELL=/bin/bash "XDG_RUNTIME_DIR=/run/user/$id" LANG=C.UTF-8 \
        systemd-run --user "${service[@]}"
}

# GPIO controllers for the example that switches a light: simulated ones, where the kernel has those, two of
# them in a device, or qemu's own on ARM, the lines of which the kernel lists.
make_gpio() {
    local bank
    if modprobe gpio-sim 2>/dev/null; then
        mountpoint -q /sys/kernel/config || mount -t configfs configfs /sys/kernel/config
        for bank in alone/bank both/one both/other; do
            mkdir -p "/sys/kernel/config/gpio-sim/$bank"
            echo 8 >"/sys/kernel/config/gpio-sim/$bank/num_lines"
        done
        echo 1 >/sys/kernel/config/gpio-sim/alone/live
        echo 1 >/sys/kernel/config/gpio-sim/both/live
    else
        modprobe gpio-mockup gpio_mockup_ranges=-1,8,-1,8 2>/dev/null || modprobe gpio-pl061 2>/dev/null || :
        mountpoint -q /sys/kernel/debug || mount -t debugfs debugfs /sys/kernel/debug
    fi
}

# What tests might leave.
traces() {
    awk '{ for (i = 7; i <= NF; i++) if ($i == "-") type = $(i + 1)
        if (type !~ /^(tracefs|debugfs|autofs|binfmt_misc)$/) print "mount", $5, type }' /proc/self/mountinfo
    find /sys/fs/cgroup -type d -name 'alcove*' ! -name alcove-leaf 2>/dev/null
    ps -e -o pid=,comm= | awk '$2 == "alcove" || $2 == "busybox" || $2 == "beam.smp" { print "process", $1, $2 }'
}

suites() {
    local suite counts status began
    export ALCOVE_TEST_SLOW=$slow ALCOVE_CELL_CASES=$cases ALCOVE_CELL_SUITES ALCOVE_CELL_LOGS
    for suite in $suites; do
        printf '\n== %s, on Linux %s\n' "$suite" "$(uname -r)"
        began=$SECONDS
        case $suite in
        demo)
            counts='0 passed, 1 failed, 0 skipped'
            ! scripts/run-demo.sh "$top/_build/old/lib" || counts='1 passed, 0 failed, 0 skipped'
            ;;
        footprint)
            escript scripts/vm/footprint.escript "$top/_build/old/lib"
            continue
            ;;
        *)
            ALCOVE_CELL_SUITES=$suite ALCOVE_CELL_LOGS=$gathered/$suite
            mkdir -p "$ALCOVE_CELL_LOGS"
            erl -noshell -noinput -pa "$top/_build/old/lib/alcove/ebin" "$top/_build/old/lib/alcove/test" \
                -s alcove_cell main 2>&1 |
                tee "$gathered/$suite.out"
            status=${PIPESTATUS[0]}
            # shellcheck disable=SC2016 # it is sed that reads the dollar
            counts=$(sed -n '/^[0-9]* passed, [0-9]* failed, [0-9]* skipped$/h; ${x;p}' "$gathered/$suite.out")
            if [ -z "$counts" ]; then
                counts='0 passed, 1 failed, 0 skipped'
                printf 'the virtual machine of Erlang ended before, with status %s, in or after %s\n' "$status" \
                    "$(find "$gathered/$suite" -name '*_suite.*.html' -printf '%T@ %f\n' | sort -n | tail -n 1)"
                dmesg 2>/dev/null | tail -n 20
            fi
            ;;
        esac
        printf '%s: %s, %d seconds\n' "$suite" "$counts" "$((SECONDS - began))"
    done </dev/null
}

# Runs the suites by a command that leads to them, and says what is left afterwards.
run() {
    local before left
    ulimit -Hn 524288
    ulimit -Sn 1024
    mkdir -p "$gathered"
    chmod 1777 "$gathered"
    make_gpio
    before=$(traces | sort)
    "$@"
    for _ in $(seq 50); do
        left=$(comm -13 <(printf '%s\n' "$before") <(traces | sort))
        [ -n "$left" ] || break
        sleep 0.2
    done
    printf '\n%s\n' "${left:-nothing left behind}"
    tar -czf /dev/vdd -C "$gathered" .
}

case $1 in
suites)
    suites
    ;;
service)
    exec </dev/null >/dev/console 2>&1
    run as_ordinary_user
    power_off
    ;;
begin)
    export HOME=/root USER=root LOGNAME=root SHELL=/bin/bash
    mount_all
    exec </dev/console >/dev/console 2>&1
    make_user
    case $init in
    plain)
        hostname alcove-vm
        mount -t cgroup2 -o nsdelegate cgroup2 /sys/fs/cgroup
        run "$BASH" "$0" suites
        ;;
    systemd | user)
        start_systemd
        ;;
    esac
    power_off
    ;;
esac
