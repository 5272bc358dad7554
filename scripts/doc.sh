#!/usr/bin/env bash
# Writes the documentation: a site in doc/, of the guides and of every public function, and
# what h/2 shows in the shell. Says which links lead nowhere.
#
#   doc.sh [BUILD]    of what rebar3 has built there, _build/default/lib/alcove by default
#
# scripts/site/site.escript writes the pages. Without Elixir they are those of Erlang alone.
set -euo pipefail
CDPATH='' cd -- "$(dirname -- "$0")/.."

build=${1:-_build/default/lib/alcove}

if ! command -v cmark-gfm >/dev/null; then
    echo "alcove: cmark-gfm is missing, which makes pages of Markdown; scripts/install-deps.sh installs it" >&2
    exit 1
fi

scripts/doc-chunks.sh "$build"

# Elixir keeps what is said of a module in the compiled module.
beams='' elixir=''
if command -v elixirc >/dev/null; then
    beams=_build/doc/elixir
    rm -rf "$beams"
    mkdir -p "$beams"
    find elixir/lib -name '*.ex' -print0 |
        ERL_LIBS=$(dirname "$build") xargs -0 elixirc --ignore-module-conflict -o "$beams"
    elixir=$(elixir -e 'IO.puts(Path.dirname(:code.lib_dir(:elixir)))')
fi

rm -rf doc
mkdir doc
ERL_LIBS=$elixir escript scripts/site/site.escript "$build" "$beams" doc
scripts/check-links.sh
