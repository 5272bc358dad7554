#!/bin/sh
# Writes what the shells show of the Erlang modules, a chunk for each that is newer than
# the one it has. rebar3 and mix run this after they have compiled, also where alcove is a
# dependency of another project.
#
#   doc-chunks.sh DIR...    the directories of alcove's builds, as far as there are such
#
# Where OTP came without edoc there is nothing to show, and nothing else is missing.
set -eu
# They are for the node of whoever builds, such as its name.
unset ERL_FLAGS ERL_AFLAGS ERL_ZFLAGS
# Where mix has rebar3 build.
[ -z "${REBAR_BARE_COMPILER_OUTPUT_DIR:-}" ] || set -- "$REBAR_BARE_COMPILER_OUTPUT_DIR"

root=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd -P)

for build in "$@"; do
    [ -d "$build/ebin" ] || continue
    set --
    for file in "$root"/lib/*.erl; do
        chunk=$build/doc/chunks/$(basename "$file" .erl).chunk
        # shellcheck disable=SC3013
        [ "$chunk" -nt "$file" ] || set -- "$@" "$file"
    done
    [ $# -gt 0 ] || continue
    mkdir -p "$build/doc/chunks"
    erl -noinput -boot no_dot_erlang -eval '
        [Build, Root | Files] = init:get_plain_arguments(),
        Options = [
            {dir, filename:join(Build, "doc")},
            {doclet, edoc_doclet_chunks},
            {layout, edoc_layout_chunks},
            {preprocess, true},
            {includes, [filename:join(Root, "include")]},
            {application, alcove}
        ],
        case code:ensure_loaded(edoc_doclet_chunks) of
            {module, _} -> ok = edoc:files(Files, Options);
            {error, _} -> ok
        end,
        halt().' -extra "$build" "$root" "$@" </dev/null ||
        echo "alcove: no documentation for the shell: see above" >&2
done
