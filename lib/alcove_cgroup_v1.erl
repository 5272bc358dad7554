%% @private
%% @doc What only version 1 of control groups needs.
-module(alcove_cgroup_v1).

-export([inherit/3, memory_writes/4, freezers/1, freeze/2, thaw/2, figures/0]).

-import(alcove_cgroup_fs, [fail/1, must_read/3, must_write/4]).

-type process() :: alcove_file:process().

%% @doc Gives a new group the CPUs and memory nodes of the group above, since it can't have members
%% without them.
-spec inherit(process(), alcove_cgroup_paths:hierarchy(), binary()) ->
    ok | {error, {binary(), alcove:posix()}}.
inherit(Process, #{version := 1, options := Options}, Path) ->
    case lists:member(<<"cpuset">>, Options) of
        true -> inherit_files(Process, Path, [<<"cpuset.cpus">>, <<"cpuset.mems">>]);
        false -> ok
    end;
inherit(_Process, _Hierarchy, _Path) ->
    ok.

inherit_files(Process, Path, [File | Files]) ->
    Own = alcove_cgroup_text:join(Path, [File]),
    Above = alcove_cgroup_text:join(filename:dirname(Path), [File]),
    case alcove_file:read(Process, Above) of
        {ok, Value} ->
            case alcove_file:write(Process, Own, string:trim(Value)) of
                ok -> inherit_files(Process, Path, Files);
                {error, Reason} -> {error, {Own, Reason}}
            end;
        {error, Reason} ->
            {error, {Above, Reason}}
    end;
inherit_files(_Process, _Path, []) ->
    ok.

%% @doc The files and values that limit memory, swap or both, which are set together.
-spec memory_writes(process(), binary(), Memory, Swap) -> [alcove_cgroup_limits:write()] when
    Memory :: pos_integer() | max | keep, Swap :: non_neg_integer() | max | keep.
memory_writes(Process, Path, Memory, Swap) ->
    Now = alcove_cgroup_fs:must_read_value(Process, Path, <<"memory.limit_in_bytes">>),
    Both = alcove_cgroup_fs:read_value(Process, Path, <<"memory.memsw.limit_in_bytes">>),
    Swap =/= keep andalso Both =:= none andalso
        fail({alcove_cgroup_text:join(Path, [<<"memory.memsw.limit_in_bytes">>]), enoent}),
    case alcove_cgroup_limits:memory(Memory, Swap, {Now, Both}) of
        {ok, Writes} -> Writes;
        error -> fail({swap, einval})
    end.

%% @doc The directory of the group that the freezer has, in a list, or none.
-spec freezers([{alcove_cgroup_paths:hierarchy(), binary()}]) -> [binary()].
freezers(Groups) ->
    [
        Path
     || {#{version := 1, options := Options}, Path} <- Groups, lists:member(<<"freezer">>, Options)
    ].

%% @doc Stops the members of a group; the function says whether they have stopped.
-spec freeze(process(), binary()) -> {File :: binary(), fun(() -> boolean())}.
freeze(Process, Path) ->
    must_write(Process, Path, <<"freezer.state">>, <<"FROZEN">>),
    {<<"freezer.state">>, fun() ->
        string:trim(must_read(Process, Path, <<"freezer.state">>)) =:= <<"FROZEN">>
    end}.

-spec thaw(process(), binary()) -> ok.
thaw(Process, Path) ->
    must_write(Process, Path, <<"freezer.state">>, <<"THAWED">>).

%% @doc Which figures are in which file of which controller, under which key of it, and in
%% which unit.
-spec figures() -> [alcove_cgroup_stats:figures()].
figures() ->
    [
        {memory, <<"memory">>, [
            {usage, <<"memory.usage_in_bytes">>, value, 1},
            {peak, <<"memory.max_usage_in_bytes">>, value, 1},
            {limit, <<"memory.limit_in_bytes">>, value, 1},
            {oom_kills, <<"memory.oom_control">>, <<"oom_kill">>, 1},
            {events, <<"memory.oom_control">>, all, 1}
        ]},
        {pids, <<"pids">>, [
            {current, <<"pids.current">>, value, 1},
            {limit, <<"pids.max">>, value, 1},
            {refused, <<"pids.events">>, <<"max">>, 1}
        ]},
        {cpu, <<"cpuacct">>, [
            {usage, <<"cpuacct.usage">>, value, 1000},
            {user, <<"cpuacct.usage_user">>, value, 1000},
            {system, <<"cpuacct.usage_sys">>, value, 1000}
        ]},
        {cpu, <<"cpu">>, [
            {periods, <<"cpu.stat">>, <<"nr_periods">>, 1},
            {throttled, <<"cpu.stat">>, <<"nr_throttled">>, 1},
            {throttled_time, <<"cpu.stat">>, <<"throttled_time">>, 1000}
        ]}
    ].
