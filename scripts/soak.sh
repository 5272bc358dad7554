#!/bin/sh
# Random operations and kills for so many minutes, thousands of callers and of sandboxes, then the
# cases of orders and races.
#
#   scripts/soak.sh MINUTES [SEED]
set -eu
CDPATH='' cd -- "$(dirname -- "$0")/.."
. scripts/rust.sh
use_cargo || { missing_rust >&2; exit 1; }
export ALCOVE_SOAK_MINUTES="${1:-1}"
[ -z "${2:-}" ] || export ALCOVE_SOAK_SEED="$2"

rebar3 ct --suite test/alcove_soak_SUITE
rebar3 ct --suite test/alcove_sandbox_SUITE --case swapped_targets
unset ALCOVE_SOAK_MINUTES
exec rebar3 ct --suite test/alcove_attack_SUITE --group pressure --repeat "${ALCOVE_SOAK_REPEAT:-3}"
