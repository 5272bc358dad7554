%% @private
%% @doc The members of a group, in all its hierarchies: lists, stops and kills them.
-module(alcove_cgroup_members).

-export([pids/2, freeze/2, thaw/2, kill/2]).

-import(alcove_cgroup_fs, [fail/1, wait/2]).

-type process() :: alcove_file:process().
-type groups() :: [{alcove_cgroup_paths:hierarchy(), binary()}].
%% The directories of a group.

%% How long the kernel may take, in milliseconds.
-define(FREEZE_WAIT, 5000).
-define(KILL_WAIT, 5000).

%% @doc The members of a group and of the groups in it.
-spec pids(process(), groups()) -> [non_neg_integer()].
pids(Process, Groups) ->
    pids_below(Process, [Path || {_, Path} <- Groups]).

pids_below(Process, Paths) ->
    Read = [
        read_pids(Process, Path, Top)
     || Top <- Paths, Path <- trees(Process, [Top])
    ],
    lists:usort(lists:append(Read)).

read_pids(Process, Path, Top) ->
    File = alcove_cgroup_text:join(Path, [<<"cgroup.procs">>]),
    case alcove_file:read(Process, File) of
        {ok, Text} ->
            alcove_cgroup_text:pids(Text);
        %% The group is gone.
        {error, Reason} when Reason =:= enoent; Reason =:= enodev ->
            [];
        %% A threaded group has threads as members. The file of the domain above lists their
        %% processes, and that domain is Top or below it, unless Top is threaded itself.
        {error, enotsup} when Path =/= Top ->
            [];
        {error, Reason} ->
            fail({File, Reason})
    end.

trees(Process, Paths) ->
    lists:flatmap(
        fun(Path) ->
            case alcove_cgroup_fs:tree(Process, Path) of
                {ok, Found} -> Found;
                {error, Reason} -> fail(Reason)
            end
        end,
        Paths
    ).

%% @doc Stops all members.
-spec freeze(process(), groups()) -> ok.
freeze(Process, Groups) ->
    case {alcove_cgroup_v2:freezers(Process, Groups), alcove_cgroup_v1:freezers(Groups)} of
        {[Path], []} ->
            freeze_by(alcove_cgroup_v2, Process, Path);
        {[Path], [Path1]} ->
            case alcove_cgroup_v2:is_populated(Process, Path) of
                true -> freeze_by(alcove_cgroup_v2, Process, Path);
                false -> freeze_by(alcove_cgroup_v1, Process, Path1)
            end;
        {[], [Path]} ->
            freeze_by(alcove_cgroup_v1, Process, Path);
        {[], []} ->
            fail(enodev)
    end.

freeze_by(Version, {Drv, Pids} = Process, Path) ->
    %% It would stop itself, and answer no call from then on, not even the one that lets it go on.
    lists:member(alcove:getpid(Drv, Pids), pids_below(Process, [Path])) andalso
        fail({alcove_cgroup_text:join(Path, [<<"cgroup.procs">>]), edeadlk}),
    {File, IsFrozen} = Version:freeze(Process, Path),
    Frozen = wait(IsFrozen, alcove_deadline:in(?FREEZE_WAIT)),
    Frozen orelse fail({alcove_cgroup_text:join(Path, [File]), etimedout}),
    ok.

%% @doc Lets them go on.
-spec thaw(process(), groups()) -> ok.
thaw(Process, Groups) ->
    Freezers = [{alcove_cgroup_v2, Path} || Path <- alcove_cgroup_v2:freezers(Process, Groups)] ++
        [{alcove_cgroup_v1, Path} || Path <- alcove_cgroup_v1:freezers(Groups)],
    Freezers =/= [] orelse fail(enodev),
    lists:foreach(fun({Version, Path}) -> Version:thaw(Process, Path) end, Freezers).

%% @doc Kills all members, including processes that a member is just forking.
-spec kill(process(), groups()) -> ok.
kill(Process, Groups) ->
    Deadline = alcove_deadline:in(?KILL_WAIT),
    Killed = [alcove_cgroup_v2:kill(Process, Path) || {#{version := 2}, Path} <- Groups],
    Gone = lists:member(true, Killed) andalso gone(Process, Groups, [], Deadline),
    Gone orelse kill_each(Process, Groups, Deadline),
    ok.

%% The process that does this may be a member itself. Then it goes last, and no freezer is used that
%% would stop it.
kill_each({Drv, Pids} = Process, Groups, Deadline) ->
    Self = alcove:getpid(Drv, Pids),
    Freezers = alcove_cgroup_v1:freezers(Groups),
    case lists:member(Self, pids(Process, Groups)) of
        false ->
            kill_rounds(Process, Groups, [], Freezers, Deadline);
        true ->
            Usable = [
                Path
             || Path <- Freezers, not lists:member(Self, pids_below(Process, [Path]))
            ],
            kill_rounds(Process, Groups, [Self], Usable, Deadline),
            signal(Process, [Self]),
            %% Only process 1 of a pid namespace outlives that.
            fail(eperm)
    end.

kill_rounds(Process, Groups, But, Freezers, Deadline) ->
    %% A stopped member doesn't fork while its group is read.
    lists:foreach(
        fun(Path) ->
            alcove_cgroup_fs:must_write(Process, Path, <<"freezer.state">>, <<"FROZEN">>)
        end,
        Freezers
    ),
    try
        signal(Process, pids(Process, Groups) -- But)
    after
        lists:foreach(
            fun(Path) ->
                File = alcove_cgroup_text:join(Path, [<<"freezer.state">>]),
                alcove_file:write(Process, File, <<"THAWED">>)
            end,
            trees(Process, Freezers)
        )
    end,
    case gone(Process, Groups, But, Deadline) of
        true ->
            ok;
        false ->
            alcove_deadline:is_over(Deadline) andalso fail(etimedout),
            kill_rounds(Process, Groups, But, Freezers, Deadline)
    end.

signal({Drv, Pids} = Process, [Pid | Rest]) ->
    case Pid =:= 0 orelse alcove:kill(Drv, Pids, Pid, sigkill) of
        {error, Reason} when Reason =/= esrch -> fail(Reason);
        _ -> signal(Process, Rest)
    end;
signal(_Process, []) ->
    ok.

%% Whether all members are gone soon, but for some: a killed process needs some time to end.
gone(Process, Groups, But, Deadline) ->
    wait(fun() -> pids(Process, Groups) -- But =:= [] end, min(Deadline, alcove_deadline:in(50))).
