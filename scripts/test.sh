#!/usr/bin/env bash
# Runs every test and closes with one line that counts them.
#
#   scripts/test.sh [SUITE...]
#
# With suites, as attach for test/alcove_attach_SUITE.erl, only these.
set -uo pipefail
CDPATH='' cd -- "$(dirname -- "$0")/.." || exit 1
. scripts/rust.sh
use_cargo || { missing_rust >&2; exit 1; }

# Tests have characters in names and arguments: without a locale these would be Latin-1.
case ${LC_ALL:-${LC_CTYPE:-${LANG:-}}} in
*[Uu][Tt][Ff]-8 | *[Uu][Tt][Ff]8) ;;
*) export LC_ALL=C.UTF-8 ;;
esac

passed=0 failed=0 skipped=0
output=$(mktemp) failures=$(mktemp)
trap 'rm -f "$output" "$failures"' EXIT

# What failed, out of what a part printed without its colours: the lines of Common Test
# and of rebar3 that name a case with the start of its reason, and what cargo and EUnit
# print of a failure.
# shellcheck disable=SC2016
failure='/ ==> .*: FAILED$/ || /^---- .* stdout ----$/ || /^  *[0-9]+\) / || /^error/ || /===> .*[Ff]ail/ { left = 12 }
    left > 0 && NF { print substr($0, 1, 300); left-- }'

# Runs a part, shows what it prints and counts its tests with the awk program that
# is given. A part that fails without a test that failed is one failure itself.
part() {
    local name=$1 count=$2 status p f s
    shift 2
    printf '\n== %s\n' "$name"
    "$@" 2>&1 </dev/null | tee "$output"
    status=${PIPESTATUS[0]}
    sed -i 's/\x1b\[[0-9;]*[A-Za-z]//g' "$output"
    read -r p f s < <(awk "$count"' END { print p + 0, f + 0, s + 0 }' "$output")
    if [ "$status" -ne 0 ] && [ "$f" -eq 0 ]; then
        f=1
    fi
    if [ "$f" -ne 0 ]; then
        awk "$failure" "$output" >>"$failures"
    fi
    passed=$((passed + p)) failed=$((failed + f)) skipped=$((skipped + s))
}

# test result: ok. 3 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; ...
# A test that says that it can't be made passes for cargo: a_test skipped: needs root
# shellcheck disable=SC2016
cargo_counts='/^[^ ]+ skipped: / { s++; p-- }
    /^test result:/ { for (i = 2; i <= NF; i++) {
    if ($i == "passed;") p += $(i - 1); if ($i == "failed;") f += $(i - 1); if ($i == "ignored;") s += $(i - 1) } }'
# 5 tests, 1 failures, 1 skipped
# shellcheck disable=SC2016
eunit_counts='/^[0-9]+ tests, [0-9]+ failures/ { p += $1 - $3; f += $3; if ($6 ~ /^skipped/) { s += $5; p -= $5 } }'
# All 12 tests passed.   or   Failed 1 tests. Skipped 2 (1, 1) tests. Passed 9 tests.
# shellcheck disable=SC2016
ct_counts='/^All [0-9]+ tests passed/ { p += $2 }
    /(Failed|Skipped|Passed) [0-9]+ / { for (i = 1; i < NF; i++) {
    if ($i == "Failed") f += $(i + 1); if ($i == "Skipped") s += $(i + 1); if ($i == "Passed") p += $(i + 1) } }'
# 15 doctests, 42 tests, 1 failure, 1 skipped
# shellcheck disable=SC2016
mix_counts='/^([0-9]+ doctests?, )?[0-9]+ tests?, [0-9]+ failures?/ { for (i = 2; i <= NF; i++) {
    if ($i ~ /^(doctest|test)s?,/) p += $(i - 1); if ($i ~ /^failures?/) { f += $(i - 1); p -= $(i - 1) }
    if ($i ~ /^(skipped|excluded)/) { s += $(i - 1); p -= $(i - 1) } } }'

# What tests might leave on the machine: mounts (but for what the kernel mounts by
# itself), control groups, processes. An ordinary user can't mount here and leaves
# nothing but his own, whatever others run meanwhile; what root leaves may be anybody's.
mounts=/proc/self/mountinfo owner=() whose=(-e)
if [ "$(id -u)" != 0 ]; then
    mounts=/dev/null owner=(-user "$(id -u)") whose=(-u "$(id -u)" -U "$(id -u)")
fi
traces() {
    {
        awk '{ for (i = 7; i <= NF; i++) if ($i == "-") type = $(i + 1)
            if (type !~ /^(tracefs|debugfs|autofs|binfmt_misc)$/) print "mount", $5, type }' "$mounts"
        find /sys/fs/cgroup -type d -name 'alcove*' "${owner[@]}" 2>/dev/null
        ps "${whose[@]}" -o pid=,comm= | awk '$2 == "alcove" || $2 == "busybox" { print "process", $1, $2 }'
    } 2>/dev/null | sort
}
before=$(traces)

part 'build' '/never/ {}' rebar3 compile
if [ "$failed" -eq 0 ] && [ $# -gt 0 ]; then
    suites=$(printf ',test/alcove_%s_SUITE' "$@")
    part 'rebar3 ct' "$ct_counts" rebar3 ct --suite "${suites#,}"
elif [ "$failed" -eq 0 ]; then
    # The NIF finds its symbols in the virtual machine only: the suites test it.
    part 'cargo test' "$cargo_counts" cargo test --workspace --exclude alcove_nif --quiet --no-fail-fast
    part 'rebar3 eunit' "$eunit_counts" rebar3 eunit
    if compgen -G 'test/*_SUITE.erl' >/dev/null; then
        part 'rebar3 ct' "$ct_counts" rebar3 ct
    fi
    if command -v mix >/dev/null; then
        part 'mix test' "$mix_counts" mix test
    fi
fi

# What was killed last may take a moment.
for _ in $(seq 50); do
    left=$(comm -13 <(printf '%s\n' "$before") <(traces))
    [ -n "$left" ] || break
    sleep 0.1
done
if [ -n "$left" ]; then
    printf '\n== left behind\n%s\n' "$left"
    failed=$((failed + 1))
fi

# Again at the end, where whoever reads only that finds it.
if [ -s "$failures" ]; then
    printf '\n== failed\n'
    head -c 4000 "$failures"
fi

printf '\n%d passed, %d failed, %d skipped\n' "$passed" "$failed" "$skipped"
[ "$failed" -eq 0 ]
