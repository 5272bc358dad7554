#!/bin/sh
# Writes ebin/alcove.appup, what a release upgrade does, of lib/alcove.appup.src and the modules
# that were compiled. rebar3 and mix run this after they have compiled, also where alcove is a
# dependency of another project.
#
#   appup.sh DIR...    the directories of alcove's builds, as far as there are such
#
# First of all alcove_upgrade looks whether the library of the other version can take the place of
# the loaded one: if not, nothing is loaded. A module is only loaded if no process runs the code of
# the version before the last, and nothing kills a process that runs the code of the last.
set -eu
# They are for the node of whoever builds, such as its name.
unset ERL_FLAGS ERL_AFLAGS ERL_ZFLAGS
# Where mix has rebar3 build.
[ -z "${REBAR_BARE_COMPILER_OUTPUT_DIR:-}" ] || set -- "$REBAR_BARE_COMPILER_OUTPUT_DIR"

root=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd -P)

for build in "$@"; do
    [ -f "$build/ebin/alcove.app" ] || continue
    erl -noinput -boot no_dot_erlang -eval '
        [Build, Root] = init:get_plain_arguments(),
        File = fun(Name) -> filename:join([Build, "ebin", Name]) end,
        {ok, [{application, alcove, About}]} = file:consult(File("alcove.app")),
        {ok, [{Up, Down}]} = file:consult(filename:join([Root, "lib", "alcove.appup.src"])),
        Vsn = proplists:get_value(vsn, About),
        Modules = proplists:get_value(modules, About),
        Load = fun(alcove_sup) -> {update, alcove_sup, supervisor};
                  (Module) -> {load_module, Module, soft_purge, soft_purge, []}
               end,
        Script = fun(To, Special) ->
                         %% Supervisors hold functions of alcove_hidden, whose code is always the same.
                         Rest = Modules -- [alcove_hidden | [element(2, Instruction) || Instruction <- Special]],
                         [{apply, {alcove_upgrade, check, [To]}}, point_of_no_return
                          | Special ++ lists:map(Load, Rest)]
                 end,
        Appup = {Vsn, [{From, Script(Vsn, Special)} || {From, Special} <- Up],
                 [{To, Script(To, Special)} || {To, Special} <- Down]},
        ok = file:write_file(File("alcove.appup"), io_lib:format("~p.~n", [Appup])),
        halt().' -extra "$build" "$root" </dev/null
done
