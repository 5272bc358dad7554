%% @doc A program that depends on alcove: forks a process, turns it into another
%% program and prints what that says.
-module(consumer).

-include_lib("alcove/include/alcove.hrl").

-export([main/0]).

-spec main() -> no_return().
main() ->
    {ok, _} = application:ensure_all_started(consumer),
    {ok, Drv} = alcove_drv:start(),
    {ok, Pid} = alcove:fork(Drv),
    Limit = #alcove_rlimit{cur = 0, max = 0},
    ok = alcove:setrlimit(Drv, [Pid], rlimit_core, Limit),
    {ok, Limit} = alcove:getrlimit(Drv, [Pid], rlimit_core),
    ok = alcove:execvp(Drv, [Pid], "cat", ["cat"]),
    true = alcove:stdin(Drv, [Pid], "hello from rebar3\n"),
    io:put_chars(alcove:stdout(Drv, [Pid])),
    ok = alcove_drv:stop(Drv),
    erlang:halt(0).
