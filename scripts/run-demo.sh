#!/bin/sh
# Runs the demo, examples/alcove_demo.erl, with the alcove that was built.
#
#   scripts/run-demo.sh [LIBDIR]
#
# LIBDIR is the directory in which alcove is (default: _build/default/lib). All
# that the demo writes is in one directory, which is removed however it ends.
set -eu

top=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)
lib=${1:-$top/_build/default/lib}
if [ ! -d "$lib/alcove/ebin" ]; then
    echo "alcove is not built in $lib: run make first" >&2
    exit 1
fi
lib=$(CDPATH='' cd -- "$lib" && pwd)

if [ "$(id -u)" = 0 ]; then
    way=root
elif sudo -n -l "$lib/alcove/priv/alcove" >/dev/null 2>&1; then
    way=sudo
else
    way=user_namespace
fi

work=$(mktemp -d "${TMPDIR:-/tmp}/alcove_demo.XXXXXX")
trap 'rm -rf "$work"' EXIT
trap 'exit 1' HUP INT TERM
mkdir "$work/ebin" "$work/root"
# The user that the sandbox becomes has to get into its root directory.
chmod 755 "$work/root"

export ERL_LIBS="$lib"
erlc -o "$work/ebin" "$top/examples/alcove_demo.erl"
erl +Bd -noinput -pa "$work/ebin" -s alcove_demo main -extra "$way" "$work/root"
