%% @private
%% @doc Limits, as both versions of control groups write them.
-module(alcove_cgroup_limits).

-export([check/1, controller/1, writes/3, memory/3]).

-export_type([key/0, write/0]).

-type key() :: cpus | mems | memory | swap | pids | cpu.
-type write() :: {File :: binary(), Value :: binary()}.

%% The period of a CPU limit, in microseconds: the kernel's own.
-define(PERIOD, 100000).

%% The kernel takes larger numbers of bytes for smaller ones.
-define(MOST, 16#7fffffffffffffff).
%% More processors than there are.
-define(CPUS, 16#100000).

%% @doc The limits in the order in which they are set, or `error' if a name is unknown
%% or a value has the wrong shape.
-spec check(term()) -> {ok, [{key(), term()}]} | error.
check(Limits) when is_map(Limits) ->
    Known = [{Key, maps:get(Key, Limits)} || Key <- keys(), is_map_key(Key, Limits)],
    Checked = [{Key, Value} || {Key, Value} <- Known, is_value(Key, Value)],
    case length(Checked) =:= map_size(Limits) of
        true -> {ok, Checked};
        false -> error
    end;
check(_) ->
    error.

keys() ->
    [mems, cpus, memory, swap, pids, cpu].

is_value(Key, max) -> Key =/= cpus andalso Key =/= mems;
is_value(memory, N) -> is_integer(N) andalso N > 0 andalso N =< ?MOST;
is_value(swap, N) -> is_integer(N) andalso N >= 0 andalso N =< ?MOST;
is_value(pids, N) -> is_integer(N) andalso N >= 0 andalso N =< ?MOST;
is_value(cpu, N) -> is_number(N) andalso N > 0 andalso N =< ?CPUS;
is_value(Key, List) when Key =:= cpus; Key =:= mems ->
    try iolist_size(List) of
        Size -> Size > 0
    catch
        error:badarg -> false
    end.

%% @doc The controller that has a limit.
-spec controller(key()) -> binary().
controller(memory) -> <<"memory">>;
controller(swap) -> <<"memory">>;
controller(pids) -> <<"pids">>;
controller(cpus) -> <<"cpuset">>;
controller(mems) -> <<"cpuset">>;
controller(cpu) -> <<"cpu">>.

%% @doc The file and the value that set a limit.
-spec writes(1 | 2, key(), term()) -> [write()].
writes(_, cpus, List) -> [{<<"cpuset.cpus">>, iolist_to_binary(List)}];
writes(_, mems, List) -> [{<<"cpuset.mems">>, iolist_to_binary(List)}];
writes(_, pids, N) -> [{<<"pids.max">>, number(N)}];
writes(2, memory, N) -> [{<<"memory.max">>, number(N)}];
writes(2, swap, N) -> [{<<"memory.swap.max">>, number(N)}];
writes(2, cpu, max) -> [{<<"cpu.max">>, <<"max">>}];
writes(2, cpu, N) -> [{<<"cpu.max">>, <<(quota(N))/binary, " ", (number(?PERIOD))/binary>>}];
writes(1, cpu, max) -> [{<<"cpu.cfs_quota_us">>, <<"-1">>}];
writes(1, cpu, N) ->
    [{<<"cpu.cfs_period_us">>, number(?PERIOD)}, {<<"cpu.cfs_quota_us">>, quota(N)}].

quota(N) ->
    number(round(N * ?PERIOD)).

number(max) -> <<"max">>;
number(N) -> integer_to_binary(N).

%% @doc The files and values that set memory and swap in version 1. It has a limit of memory and a
%% limit of both together, which is never below the first.
%%
%% `Now' has both as they are; the second is `none' if the kernel doesn't count swap. A
%% limit that isn't given stays: that of memory, or the amount of swap. `error': version 1
%% can't express a limit of swap alone.
-spec memory(
    Memory :: pos_integer() | max | keep,
    Swap :: non_neg_integer() | max | keep,
    Now :: {integer() | max, integer() | max | none}
) -> {ok, [write()]} | error.
memory(Memory, keep, {_, Both}) when Both =:= none; Both =:= max ->
    {ok, [only(Memory)]};
memory(keep, Swap, {Memory, Both}) ->
    memory(Memory, Swap, {Memory, Both});
memory(Memory, Swap, {MemoryNow, BothNow}) ->
    case both(Memory, Swap, MemoryNow, BothNow) of
        error ->
            error;
        Both ->
            Write = {<<"memory.memsw.limit_in_bytes">>, number1(Both)},
            %% In the order that keeps the first limit below the second.
            case Memory > BothNow of
                true -> {ok, [Write, only(Memory)]};
                false -> {ok, [only(Memory), Write]}
            end
    end.

%% An atom is larger than any number, so `max' compares as it should.
both(max, Swap, _, _) when is_integer(Swap) -> error;
both(max, _, _, _) -> max;
both(_, max, _, _) -> max;
both(Memory, keep, MemoryNow, BothNow) -> Memory + BothNow - MemoryNow;
both(Memory, Swap, _, _) -> Memory + Swap.

only(Memory) ->
    {<<"memory.limit_in_bytes">>, number1(Memory)}.

number1(max) -> <<"-1">>;
number1(N) -> integer_to_binary(N).
