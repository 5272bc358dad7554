%% @private
%% @doc What only version 2 of control groups needs.
%%
%% If a group has members, the kernel refuses with EBUSY to enable controllers of domains (memory,
%% io) for the groups in it. It doesn't refuse threaded controllers (cpu, cpuset, pids). Then the
%% group becomes `domain threaded', all groups in it `domain invalid', and none of them can have
%% members any more. This module refuses both with EBUSY.
-module(alcove_cgroup_v2).

-export([enable/3, check_member/2, leaf/2, leaf_name/0, is_delegated/2, is_root/2]).
-export([kill/2, freezers/2, freeze/2, thaw/2, is_populated/2, figures/0]).

-import(alcove_cgroup_fs, [fail/1, must_read/3, must_write/4]).

-type process() :: alcove_file:process().

-define(PROCS, <<"cgroup.procs">>).
-define(SUBTREE, <<"cgroup.subtree_control">>).

%% The group in a group into which its members are moved.
-define(LEAF, <<"alcove-leaf">>).

%% How often members that were just forked are moved, at most.
-define(LEAF_ROUNDS, 100).

%% @doc Enables controllers for the groups in each of these.
-spec enable(process(), [binary()], [binary()]) -> ok.
enable(Process, Paths, Controllers) ->
    lists:foreach(
        fun(Path) ->
            case missing(Process, Path, Controllers) of
                [] ->
                    ok;
                Missing ->
                    must_be_writable(Process, Path),
                    check_members(Process, Path),
                    Value = lists:join($\s, [[$+, Controller] || Controller <- Missing]),
                    must_write(Process, Path, ?SUBTREE, Value)
            end
        end,
        Paths
    ).

%% A missing permission is reported first, whatever else is wrong.
must_be_writable({Drv, Pids}, Path) ->
    File = file(Path, ?SUBTREE),
    case alcove:open(Drv, Pids, File, [o_wronly, o_cloexec], 0) of
        {ok, Fd} -> ok = alcove:close(Drv, Pids, Fd);
        {error, Reason} -> fail({File, Reason})
    end.

missing(Process, Path, Controllers) ->
    Controllers -- alcove_cgroup_text:words(must_read(Process, Path, ?SUBTREE)).

%% Refuses a group that has members, as it can't have controllers for groups in it.
-spec check_members(process(), binary()) -> ok.
check_members(Process, Path) ->
    (is_domain(Process, Path) andalso members(Process, Path) =/= []) andalso
        fail({file(Path, ?SUBTREE), ebusy}),
    ok.

%% @doc Refuses a group that has controllers for groups in it, as it can't have members.
-spec check_member(process(), binary()) -> ok.
check_member(Process, Path) ->
    (alcove_cgroup_fs:words(Process, file(Path, ?SUBTREE)) =/= [] andalso
        is_domain(Process, Path)) andalso
        fail({file(Path, ?PROCS), ebusy}),
    ok.

%% Whether a group is neither a root, which may have both, nor a group of threads.
is_domain(Process, Path) ->
    alcove_cgroup_fs:words(Process, file(Path, <<"cgroup.type">>)) =:= [<<"domain">>].

%% @doc Whether a group is the root of all groups, and not a group that a namespace shows as the
%% root.
-spec is_root(process(), binary()) -> boolean().
is_root(Process, Path) ->
    alcove_file:read(Process, file(Path, <<"cgroup.type">>)) =:= {error, enoent}.

members(Process, Path) ->
    alcove_cgroup_text:pids(must_read(Process, Path, ?PROCS)).

file(Path, Name) ->
    alcove_cgroup_text:join(Path, [Name]).

%%--------------------------------------------------------------------
%% Leaves
%%--------------------------------------------------------------------

-spec leaf_name() -> binary().
leaf_name() ->
    ?LEAF.

%% @doc Moves the members of a group to one in it, so that it can have other groups.
-spec leaf(process(), binary()) -> ok.
leaf(Process, Path) ->
    Leaf = file(Path, ?LEAF),
    case alcove_cgroup_fs:mkdir(Process, Leaf) of
        ok -> ok;
        {error, eexist} -> ok;
        {error, Reason} -> fail({Leaf, Reason})
    end,
    move(Process, Path, Leaf, ?LEAF_ROUNDS).

move(Process, Path, Leaf, Rounds) ->
    case members(Process, Path) of
        [] ->
            ok;
        Members when Rounds > 0 ->
            %% 0 is a member that this process can't see.
            lists:member(0, Members) andalso fail({file(Path, ?PROCS), ebusy}),
            [move_one(Process, Leaf, Member) || Member <- Members],
            move(Process, Path, Leaf, Rounds - 1);
        _ ->
            fail({file(Path, ?PROCS), ebusy})
    end.

move_one(Process, Leaf, Member) ->
    case alcove_file:write(Process, file(Leaf, ?PROCS), integer_to_binary(Member)) of
        ok -> ok;
        {error, esrch} -> ok;
        {error, Reason} -> fail({file(Leaf, ?PROCS), Reason})
    end.

%% @doc Whether systemd has delegated this group, with all groups in it: `Delegate=yes'.
-spec is_delegated(process(), binary()) -> boolean().
is_delegated({Drv, Pids}, Path) ->
    lists:any(
        fun(Name) ->
            Args = [<<Path/binary, 0>>, <<Name/binary, 0>>, <<0:64>>, 8],
            case alcove:syscall(Drv, Pids, getxattr, Args) of
                {ok, 1, [_, _, <<"1", _/binary>> | _]} -> true;
                _ -> false
            end
        end,
        [<<"user.delegate">>, <<"trusted.delegate">>]
    ).

%%--------------------------------------------------------------------
%% Members
%%--------------------------------------------------------------------

%% @doc Kills all members at once. `false' if the kernel is too old for that.
-spec kill(process(), binary()) -> boolean().
kill(Process, Path) ->
    File = file(Path, <<"cgroup.kill">>),
    case alcove_file:write(Process, File, <<"1">>) of
        ok -> true;
        {error, enoent} -> false;
        {error, Reason} -> fail({File, Reason})
    end.

%% @doc The directory of the group if it can be frozen, in a list, or none.
-spec freezers(process(), [{alcove_cgroup_paths:hierarchy(), binary()}]) -> [binary()].
freezers(Process, Groups) ->
    [
        Path
     || {#{version := 2}, Path} <- Groups,
        alcove_file:is_file(Process, file(Path, <<"cgroup.freeze">>))
    ].

%% @doc Stops the members of a group; the function says whether they have stopped.
-spec freeze(process(), binary()) -> {File :: binary(), fun(() -> boolean())}.
freeze(Process, Path) ->
    must_write(Process, Path, <<"cgroup.freeze">>, <<"1">>),
    {<<"cgroup.events">>, fun() -> flag(<<"frozen">>, Process, Path) end}.

-spec thaw(process(), binary()) -> ok.
thaw(Process, Path) ->
    must_write(Process, Path, <<"cgroup.freeze">>, <<"0">>).

%% @doc Whether a group or one in it has members.
-spec is_populated(process(), binary()) -> boolean().
is_populated(Process, Path) ->
    flag(<<"populated">>, Process, Path).

flag(Name, Process, Path) ->
    case alcove_cgroup_text:keyed(must_read(Process, Path, <<"cgroup.events">>)) of
        {ok, #{Name := 1}} -> true;
        _ -> false
    end.

%% @doc Which figures are in which file of which controller, under which key of it, and in
%% which unit. The time of CPUs is counted without a controller.
-spec figures() -> [alcove_cgroup_stats:figures()].
figures() ->
    [
        {memory, <<"memory">>, [
            {usage, <<"memory.current">>, value, 1},
            {peak, <<"memory.peak">>, value, 1},
            {limit, <<"memory.max">>, value, 1},
            {oom_kills, <<"memory.events">>, <<"oom_kill">>, 1},
            {events, <<"memory.events">>, all, 1}
        ]},
        {pids, <<"pids">>, [
            {current, <<"pids.current">>, value, 1},
            {limit, <<"pids.max">>, value, 1},
            {refused, <<"pids.events">>, <<"max">>, 1}
        ]},
        {cpu, <<"cgroup2">>, [
            {usage, <<"cpu.stat">>, <<"usage_usec">>, 1},
            {user, <<"cpu.stat">>, <<"user_usec">>, 1},
            {system, <<"cpu.stat">>, <<"system_usec">>, 1},
            {periods, <<"cpu.stat">>, <<"nr_periods">>, 1},
            {throttled, <<"cpu.stat">>, <<"nr_throttled">>, 1},
            {throttled_time, <<"cpu.stat">>, <<"throttled_usec">>, 1}
        ]}
    ].
