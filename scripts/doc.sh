#!/usr/bin/env bash
# Writes the documentation of every function, as pages in doc/ and for h/2 in the shell, and
# says which links lead nowhere.
set -euo pipefail
cd "$(dirname "$0")/.."

rm -rf doc
erl -noshell -eval '
    Modules = filelib:wildcard("lib/*.erl"),
    Options = [{preprocess, true}, {includes, ["include"]}, {application, alcove}, {title, "alcove"}],
    ok = edoc:files(Modules, [{dir, "doc"}, {new, true} | Options]),
    ok = edoc:files(Modules, [{dir, "_build/default/lib/alcove/doc"},
                              {doclet, edoc_doclet_chunks}, {layout, edoc_layout_chunks} | Options]),
    halt().'
scripts/check-links.sh
