#!/usr/bin/env escript
%% -*- erlang -*-
%% What alcove takes on this machine: how long a start takes, and how much memory its processes and
%% the virtual machine do: footprint.escript LIBDIR.
main([Lib]) ->
    true = code:add_patha(filename:join([Lib, "alcove", "ebin"])),
    Before = vm(),
    {ok, First} = alcove_drv:start(),
    true = is_integer(alcove:getpid(First)),
    Loaded = vm(),
    Times = lists:sort([started() || _ <- lists:seq(1, 10)]),
    io:format("start of a Drv: ~.1f ms, median of 10; ~.1f to ~.1f~n",
              [lists:nth(5, Times), hd(Times), lists:last(Times)]),
    Runs = lists:sort([timed(fun() ->
                                 {ok, #{status := 0}} = alcove_proc:run(First, ["true"], #{})
                             end)
                       || _ <- lists:seq(1, 20)]),
    io:format("run of a program: ~.1f ms, median of 20~n", [lists:nth(10, Runs)]),
    Calls = lists:sort([timed(fun() -> alcove:getpid(First) end) || _ <- lists:seq(1, 1000)]),
    io:format("call: ~.3f ms, median of 1000~n", [lists:nth(500, Calls)]),
    [io:format("PSS of ~s: ~b kB, of which ~b kB are its own~n", [Role, Pss, Own])
     || {Role, Pss, Own} <- roles()],
    io:format("RSS of the virtual machine: ~b kB before, ~b kB with a Drv, ~b kB at the end~n",
              [Before, Loaded, vm()]),
    ok = alcove_drv:stop(First).

started() ->
    {Drv, Ms} = with_time(fun() -> {ok, Drv} = alcove_drv:start(), Drv end),
    ok = alcove_drv:stop(Drv),
    Ms.

timed(Fun) ->
    {_, Ms} = with_time(Fun),
    Ms.

with_time(Fun) ->
    Began = erlang:monotonic_time(microsecond),
    Value = Fun(),
    {Value, (erlang:monotonic_time(microsecond) - Began) / 1000}.

vm() ->
    number(status, os:getpid(), "VmRSS:").

%% The guardian is the virtual machine's child, root is its, and keepers are root's.
roles() ->
    [{Role, number(smaps_rollup, Pid, "Pss:"),
      number(smaps_rollup, Pid, "Private_Clean:") + number(smaps_rollup, Pid, "Private_Dirty:")}
     || {Role, Pid} <- below(os:getpid(), ["guardian", "root", "keeper"])].

below(_Parent, []) ->
    [];
below(Parent, [Role | Roles]) ->
    Children = [Pid || Pid <- string:lexemes(os:cmd("pgrep -x alcove -P " ++ Parent), "\n")],
    lists:append([[{Role, Pid} | below(Pid, Roles)] || Pid <- Children]).

number(File, Pid, Key) ->
    {ok, Text} = file:read_file(lists:concat(["/proc/", Pid, "/", File])),
    {match, [Digits]} = re:run(Text, Key ++ "\\s+(\\d+)", [{capture, all_but_first, list}]),
    list_to_integer(Digits).
