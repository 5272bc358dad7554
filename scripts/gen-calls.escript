#!/usr/bin/env escript
%% Writes docs/calls.md from the table of calls to standard output.
%%
%%   gen-calls.escript [EBIN] > docs/calls.md
%%
%% EBIN is the directory of alcove's compiled modules (default:
%% _build/default/lib/alcove/ebin).

main([]) ->
    main(["_build/default/lib/alcove/ebin"]);
main([Ebin]) ->
    true = code:add_patha(Ebin),
    Calls = lists:keysort(1, alcove_nif:calls()),
    io:put_chars([
        "# Calls\n\n"
        "Generated from the call table by `scripts/gen-calls.escript`. Every call is a function "
        "of\n"
        "the module `alcove`, `Call(Drv, Arguments...)` for root and "
        "`Call(Drv, Pids, Arguments...)`\n"
        "for the process at a fork path, and can be made by `alcove:call/5`, `alcove:batch/3` and\n"
        "`alcove:spawn/4`. Where a platform lacks a call, it answers `{error, unsupported}`.\n\n"
        "| call | arguments | man page | platforms | |\n"
        "| --- | --- | --- | --- | --- |\n",
        [row(Call) || Call <- Calls]
    ]).

row({Name, _Number, Arguments, Man, Platforms, Summary}) ->
    io_lib:format("| `~ts/~b,~b` | ~ts | ~ts | ~ts | ~ts |\n", [
        Name,
        length(Arguments) + 1,
        length(Arguments) + 2,
        lists:join(", ", [["`", atom_to_list(Argument), "`"] || {Argument, _Kind} <- Arguments]),
        Man,
        platforms(Platforms),
        Summary
    ]).

platforms(all) -> "all";
platforms(linux) -> "Linux";
platforms(linux_freebsd) -> "Linux, FreeBSD";
platforms(linux_bsd) -> "all but macOS, NetBSD";
platforms(not_netbsd) -> "all but NetBSD";
platforms(freebsd) -> "FreeBSD";
platforms(openbsd) -> "OpenBSD".
