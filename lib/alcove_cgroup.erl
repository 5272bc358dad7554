%% @doc Control groups: what processes may use together, and what they have used.
%%
%% A control group has members, limits and files that tell of both; see cgroups(7)
%% and, of the kernel's documentation, cgroup-v1 and cgroup-v2.rst. Everything is
%% done by the Unix process at a fork path, as its privileges, its root directory
%% and its mounts differ from those of the virtual machine.
%%
%% ```
%% ok = alcove_cgroup:create(Drv, [], <<"jobs">>),
%% ok = alcove_cgroup:limit(Drv, [], <<"jobs">>, #{memory => 64 bsl 20, pids => 20, cpu => 0.5}),
%% {ok, Pid} = alcove:fork(Drv),
%% ok = alcove_cgroup:attach(Drv, [], <<"jobs">>, Pid),
%% ok = alcove:execvp(Drv, [Pid], "sh", ["sh"]),
%% {ok, #{memory := #{usage := _}}} = alcove_cgroup:stats(Drv, [], <<"jobs">>),
%% ok = alcove_cgroup:kill(Drv, [], <<"jobs">>),
%% ok = alcove_cgroup:destroy(Drv, [], <<"jobs">>).
%% '''
%%
%% A process is a member from the moment it is attached, and so are the children
%% that it makes from then on: attach it while it is in its event loop.
%%
%% <h3>Versions</h3>
%%
%% In version 1 every controller (`cpu', `memory', ...) has a hierarchy of its own or
%% shares one with a few; version 2 has a single one. A machine may have both, with each
%% controller in one of them. {@link create/3}, {@link attach/4}, {@link
%% limit/4}, {@link freeze/3}, {@link kill/3}, {@link stats/3} and {@link destroy/3}
%% don't ask which: a group is one directory in each hierarchy that is mounted, and a
%% controller is used where it is.
%%
%% {@link get/5} and {@link set/6} read and write single files, whose names differ from
%% version to version. Three of version 1 mean their counterpart where the
%% controller is in version 2: `tasks' is `cgroup.procs', `memory.limit_in_bytes' is
%% `memory.max' and `memory.usage_in_bytes' is `memory.current'.
%%
%% In version 2 a controller has to be enabled in every group above for a group to
%% have its files. {@link limit/4} and {@link set/6} do that, see {@link enable/4}.
%%
%% <h3>Names</h3>
%%
%% A group is named by its path from where the hierarchies are mounted: `<<"jobs">>',
%% and a group in it `[<<"jobs">>, <<"1">>]' or `<<"jobs/1">>'. The root of a hierarchy
%% is `<<>>'. `..' is `badarg'.
%%
%% <h3>Errors</h3>
%%
%% `{error, Reason}', where `Reason' is what a system call said, or that and where: the
%% path of the directory or the file, or the name of a limit.
%%
%% <ul>
%% <li>`enodev': no hierarchy is mounted, or none that has the controller;</li>
%% <li>`enoent': there is no such group, or no such file in it;</li>
%% <li>`eacces', `eperm', `erofs': the process may not do that;</li>
%% <li>`ebusy': of `cgroup.subtree_control': the group has members itself, and only a
%%     root may have both these and controllers for groups below; of `cgroup.procs': the
%%     same, the other way round; of a directory: it still has members;</li>
%% <li>`enospc': of `cgroup.procs' of cpuset in version 1: the group has no CPUs or no
%%     memory nodes;</li>
%% <li>`esrch': there is no such process;</li>
%% <li>`etimedout': see {@link freeze/3} and {@link kill/3}.</li>
%% </ul>
%%
%% Exceptions are those of {@link alcove}.
-module(alcove_cgroup).

-export([
    supported/1, supported/2, supported/3,
    create/1, create/2, create/3,
    destroy/1, destroy/2, destroy/3,
    attach/4,
    procs/3,
    limit/4,
    enable/4,
    freeze/3,
    thaw/3,
    kill/3,
    stats/3
]).

%% Single files.
-export([get/5, set/6, stat/5]).

%% Where the groups are.
-export([
    mounts/1, mounts/2,
    cgroup/1, cgroup/2,
    fold/5, fold/6,
    fold_files/6, fold_files/7,
    is_dir/3,
    is_file/3,
    join/2,
    relpath/1,
    expand/1
]).

-export_type([name/0, file/0, controller/0, reason/0, limits/0, stats/0, mount/0]).

-type name() :: binary() | string() | [binary() | string()].
%% A group: its path in a hierarchy, or the components of it.
-type file() :: binary() | string().
%% The name of a file of a group, as `pids.max'.
-type controller() :: binary() | string() | atom().
%% As `memory'; an option of a hierarchy's mount, as `name=systemd'; `cgroup2' for the
%% hierarchy of version 2; `<<>>' for every hierarchy.
-type reason() :: alcove:posix() | {Where :: binary() | atom(), alcove:posix()}.
-type limits() :: #{
    memory => pos_integer() | max,
    swap => non_neg_integer() | max,
    pids => non_neg_integer() | max,
    cpus => iodata(),
    mems => iodata(),
    cpu => number() | max
}.
%% See {@link limit/4}.
-type stats() :: #{
    memory => #{
        usage => integer(),
        peak => integer(),
        limit => integer() | max,
        oom_kills => integer(),
        events => #{binary() => term()}
    },
    pids => #{
        current => integer(), limit => integer() | max, refused => integer()
    },
    cpu => #{
        usage => integer(),
        user => integer(),
        system => integer(),
        periods => integer(),
        throttled => integer(),
        throttled_time => integer()
    }
}.
-type mount() :: {
    Source :: binary(),
    Path :: binary(),
    Type :: binary(),
    Options :: binary(),
    Freq :: binary(),
    Passno :: binary()
}.

-define(DEFAULT, <<"alcove">>).

%% How long things that the kernel does in the background may take, in milliseconds.
-define(DESTROY_WAIT, 1000).
-define(FREEZE_WAIT, 5000).
-define(KILL_WAIT, 5000).

%%--------------------------------------------------------------------
%% Groups
%%--------------------------------------------------------------------

%% @equiv supported(Drv, [])
-spec supported(alcove:drv()) -> boolean().
supported(Drv) ->
    supported(Drv, []).

%% @doc Whether a hierarchy of control groups is mounted and the process can see it.
-spec supported(alcove:drv(), alcove:fork_path()) -> boolean().
supported(Drv, Pids) ->
    supported(Drv, Pids, <<>>).

%% @doc Whether there is a hierarchy with this controller that the process can see.
%%
%% It may not be allowed to change it.
-spec supported(alcove:drv(), alcove:fork_path(), controller()) -> boolean().
supported(Drv, Pids, Controller) ->
    Process = {Drv, Pids},
    try
        Named = controller(Controller, 3),
        case alcove_cgroup_fs:hierarchies(Process) of
            {ok, Hierarchies} ->
                lists:any(
                    fun(#{path := Path}) -> alcove_cgroup_fs:is_dir(Process, Path) end,
                    with(Named, Hierarchies)
                );
            {error, _} ->
                false
        end
    catch
        throw:{?MODULE, {badarg, _, _} = Thrown} ->
            refused(Thrown, supported, [Drv, Pids, Controller])
    end.

%% @equiv create(Drv, [])
-spec create(alcove:drv()) -> ok | {error, reason()}.
create(Drv) ->
    create(Drv, []).

%% @equiv create(Drv, Pids, <<"alcove">>)
-spec create(alcove:drv(), alcove:fork_path()) -> ok | {error, reason()}.
create(Drv, Pids) ->
    create(Drv, Pids, ?DEFAULT).

%% @doc Creates a group, in every hierarchy that is mounted, and the groups above it
%% that don't exist.
%%
%% `ok' also if it exists. After an error nothing that this call made is left. In
%% version 1 a new group gets the CPUs and memory nodes of the one above, as it can't
%% have members without.
-spec create(alcove:drv(), alcove:fork_path(), name()) -> ok | {error, reason()}.
create(Drv, Pids, Name) ->
    Process = {Drv, Pids},
    try
        Group = below_root(Name),
        Hierarchies = hierarchies(Process),
        Hierarchies =/= [] orelse fail(enodev),
        make(Process, [{Hierarchy, Part} || Hierarchy <- Hierarchies, Part <- prefixes(Group)], [])
    catch
        throw:{?MODULE, Thrown} -> thrown(Thrown, create, [Drv, Pids, Name])
    end.

make(Process, [{#{path := Root} = Hierarchy, Group} | Rest], Made) ->
    Path = alcove_cgroup_text:join(Root, Group),
    case make_one(Process, Hierarchy, Path) of
        {made, ok} ->
            make(Process, Rest, [Path | Made]);
        {made, Error} ->
            unmake(Process, [Path | Made], Error);
        exists ->
            make(Process, Rest, Made);
        {error, Reason} ->
            unmake(Process, Made, {error, {Path, Reason}})
    end;
make(_Process, [], _Made) ->
    ok.

unmake(Process, Made, Error) ->
    lists:foreach(fun(Path) -> _ = alcove_cgroup_fs:rmdir(Process, Path) end, Made),
    Error.

make_one(Process, Hierarchy, Path) ->
    case alcove_cgroup_fs:mkdir(Process, Path) of
        ok ->
            {made, inherit(Process, Hierarchy, Path)};
        {error, eexist} ->
            %% The name may be that of a file.
            case alcove_cgroup_fs:is_dir(Process, Path) of
                true -> exists;
                false -> {error, eexist}
            end;
        {error, _} = Error ->
            Error
    end.

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
    case alcove_cgroup_fs:read(Process, Above) of
        {ok, Value} ->
            case alcove_cgroup_fs:write(Process, Own, string:trim(Value)) of
                {ok, _} -> inherit_files(Process, Path, Files);
                {error, Reason} -> {error, {Own, Reason}}
            end;
        {error, Reason} ->
            {error, {Above, Reason}}
    end;
inherit_files(_Process, _Path, []) ->
    ok.

%% @equiv destroy(Drv, [])
-spec destroy(alcove:drv()) -> ok | {error, reason()}.
destroy(Drv) ->
    destroy(Drv, []).

%% @equiv destroy(Drv, Pids, <<"alcove">>)
-spec destroy(alcove:drv(), alcove:fork_path()) -> ok | {error, reason()}.
destroy(Drv, Pids) ->
    destroy(Drv, Pids, ?DEFAULT).

%% @doc Removes a group and the groups in it, from every hierarchy.
%%
%% `ok' also if there is none. A group that has members can't be removed; this
%% waits up to a second for those that are about to end, then says `{error, {Path,
%% ebusy}}'. {@link kill/3} ends them. What can be removed is removed also when there
%% is an error.
-spec destroy(alcove:drv(), alcove:fork_path(), name()) -> ok | {error, reason()}.
destroy(Drv, Pids, Name) ->
    Process = {Drv, Pids},
    try
        Group = below_root(Name),
        Deadline = deadline(?DESTROY_WAIT),
        first_error([
            remove(Process, alcove_cgroup_text:join(Root, Group), Deadline, 0)
         || #{path := Root} <- hierarchies(Process)
        ])
    catch
        throw:{?MODULE, Thrown} -> thrown(Thrown, destroy, [Drv, Pids, Name])
    end.

remove(Process, Path, Deadline, Pause) ->
    case alcove_cgroup_fs:rmdir(Process, Path) of
        ok ->
            ok;
        {error, enoent} ->
            ok;
        {error, Busy} when Busy =:= ebusy; Busy =:= enotempty ->
            case remove_below(Process, Path, Deadline) of
                ok ->
                    case late(Deadline) of
                        true ->
                            {error, {Path, Busy}};
                        false ->
                            pause(Pause),
                            remove(Process, Path, Deadline, min(2 * Pause + 1, 50))
                    end;
                Error ->
                    Error
            end;
        {error, Reason} ->
            {error, {Path, Reason}}
    end.

remove_below({Drv, Pids} = Process, Path, Deadline) ->
    case alcove:readdir(Drv, Pids, Path) of
        {ok, Names} ->
            first_error([
                remove_entry(Process, alcove_cgroup_text:join(Path, [Name]), Deadline)
             || Name <- Names
            ]);
        {error, enoent} ->
            ok;
        {error, Reason} ->
            {error, {Path, Reason}}
    end.

%% What is no directory is no group but a file of this one, and goes with it.
remove_entry(Process, Path, Deadline) ->
    case remove(Process, Path, Deadline, 0) of
        {error, {Path, enotdir}} -> ok;
        Result -> Result
    end.

%% @doc Puts a process in a group, in every hierarchy that has the group.
%%
%% `Pid' is the number by which the process at the fork path knows it; 0 is that
%% process itself. All threads of it are moved. After an error it may be in the
%% group in some of the hierarchies. `<<>>', the root, takes it out of its groups.
-spec attach(alcove:drv(), alcove:fork_path(), name(), alcove:os_pid()) -> ok | {error, reason()}.
attach(Drv, Pids, Name, Pid) ->
    Process = {Drv, Pids},
    try
        Group = group(Name),
        is_integer(Pid) andalso Pid >= 0 orelse badarg(pid, 4),
        lists:foreach(
            fun({_, Path}) ->
                must_write(Process, Path, <<"cgroup.procs">>, integer_to_binary(Pid))
            end,
            groups(Process, Group)
        )
    catch
        throw:{?MODULE, Thrown} -> thrown(Thrown, attach, [Drv, Pids, Name, Pid])
    end.

%% @doc The members of a group and of the groups in it, of all hierarchies.
%%
%% A 0 stands for members that the process at the fork path can't see, as they are not
%% in its pid namespace.
-spec procs(alcove:drv(), alcove:fork_path(), name()) ->
    {ok, [alcove:os_pid()]} | {error, reason()}.
procs(Drv, Pids, Name) ->
    Process = {Drv, Pids},
    try
        {ok, members(Process, [Path || {_, Path} <- groups(Process, group(Name))])}
    catch
        throw:{?MODULE, Thrown} -> thrown(Thrown, procs, [Drv, Pids, Name])
    end.

members(Process, Paths) ->
    Read = [
        read_pids(Process, alcove_cgroup_text:join(Path, [<<"cgroup.procs">>]))
     || Path <- trees(Process, Paths)
    ],
    lists:usort(lists:append(Read)).

read_pids(Process, File) ->
    case alcove_cgroup_fs:read(Process, File) of
        {ok, Text} -> alcove_cgroup_text:pids(Text);
        %% The group is gone, or one for threads, whose members are those of the one above.
        {error, Reason} when Reason =:= enoent; Reason =:= enodev; Reason =:= eopnotsupp -> [];
        {error, Reason} -> fail({File, Reason})
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

%%--------------------------------------------------------------------
%% Limits
%%--------------------------------------------------------------------

%% @doc Limits what the members of a group may use together, in either version.
%%
%% <dl>
%% <dt>`memory', in bytes</dt>
%% <dd>Where no memory can be freed at the limit, the kernel kills a member:
%%     `{termsig, sigkill}'.</dd>
%% <dt>`swap', in bytes</dt>
%% <dd>How much may be swapped out besides. `{error, {Path, enoent}}' where the kernel
%%     doesn't count it. Unlimited swap makes a memory limit a limit of memory
%%     only. Version 1 can't limit swap alone: `{error, {swap, einval}}'.</dd>
%% <dt>`pids'</dt>
%% <dd>How many processes and threads there may be; fork(2) says `eagain' then.</dd>
%% <dt>`cpus', `mems'</dt>
%% <dd>The CPUs and the memory nodes that may be used, as cpuset(7) lists them:
%%     `"0-3,5"'.</dd>
%% <dt>`cpu'</dt>
%% <dd>How many CPUs' time may be used: 0.5 is 50 ms in each 100 ms, 2 all of two CPUs.
%%     The kernel refuses less than 0.01 with `einval'.</dd>
%% </dl>
%%
%% `max' is no limit, for all but `cpus' and `mems'. The group must exist. Limits are set
%% one after the other, `mems', `cpus', `memory', `swap', `pids', `cpu', up to the first
%% error. Groups above have limits of their own, which hold as well.
-spec limit(alcove:drv(), alcove:fork_path(), name(), limits()) -> ok | {error, reason()}.
limit(Drv, Pids, Name, Limits) ->
    Process = {Drv, Pids},
    try
        Group = group(Name),
        Checked =
            case alcove_cgroup_limits:check(Limits) of
                {ok, List} -> List;
                error -> badarg(cgroup_limits, 4)
            end,
        Hierarchies = hierarchies(Process),
        Places = [
            {Key, Value, place(Process, Key, Hierarchies, Group)}
         || {Key, Value} <- Checked
        ],
        enable_for(Process, Group, Places),
        lists:foreach(
            fun({File, Value}) ->
                case alcove_cgroup_fs:write(Process, File, Value) of
                    {ok, _} -> ok;
                    {error, Reason} -> fail({File, Reason})
                end
            end,
            limit_writes(Process, Places)
        )
    catch
        throw:{?MODULE, Thrown} -> thrown(Thrown, limit, [Drv, Pids, Name, Limits])
    end.

%% Where a limit is set. What nothing here can limit is found before anything is set.
place(Process, Key, Hierarchies, Group) ->
    case with(alcove_cgroup_limits:controller(Key), Hierarchies) of
        [#{path := Root} = Hierarchy | _] ->
            Path = alcove_cgroup_text:join(Root, Group),
            alcove_cgroup_fs:is_dir(Process, Path) orelse fail({Path, enoent}),
            {Hierarchy, Path};
        [] ->
            fail({Key, enodev})
    end.

enable_for(Process, Group, Places) ->
    Controllers = [
        alcove_cgroup_limits:controller(Key)
     || {Key, _, {#{version := 2}, _}} <- Places
    ],
    case [Hierarchy || {_, _, {#{version := 2} = Hierarchy, _}} <- Places] of
        [Hierarchy | _] -> enable_above(Process, Hierarchy, Group, lists:usort(Controllers));
        [] -> ok
    end.

%% In version 1, memory and swap are set together.
limit_writes(Process, [{memory, Memory, {#{version := 1}, Path}}, {swap, Swap, _} | Rest]) ->
    memory_writes(Process, Path, Memory, Swap) ++ limit_writes(Process, Rest);
limit_writes(Process, [{memory, Memory, {#{version := 1}, Path}} | Rest]) ->
    memory_writes(Process, Path, Memory, keep) ++ limit_writes(Process, Rest);
limit_writes(Process, [{swap, Swap, {#{version := 1}, Path}} | Rest]) ->
    memory_writes(Process, Path, keep, Swap) ++ limit_writes(Process, Rest);
limit_writes(Process, [{Key, Value, {#{version := Version}, Path}} | Rest]) ->
    [
        {alcove_cgroup_text:join(Path, [File]), Bytes}
     || {File, Bytes} <- alcove_cgroup_limits:writes(Version, Key, Value)
    ] ++ limit_writes(Process, Rest);
limit_writes(_Process, []) ->
    [].

memory_writes(Process, Path, Memory, Swap) ->
    Now = must_read_value(Process, Path, <<"memory.limit_in_bytes">>),
    Both = read_value(Process, Path, <<"memory.memsw.limit_in_bytes">>),
    Swap =/= keep andalso Both =:= none andalso
        fail({alcove_cgroup_text:join(Path, [<<"memory.memsw.limit_in_bytes">>]), enoent}),
    case alcove_cgroup_limits:memory(Memory, Swap, {Now, Both}) of
        {ok, Writes} ->
            [{alcove_cgroup_text:join(Path, [File]), Bytes} || {File, Bytes} <- Writes];
        error ->
            fail({swap, einval})
    end.

%% @doc Makes controllers of version 2 available to a group, by enabling them in
%% `cgroup.subtree_control' of every group above.
%%
%% They stay enabled there. `{error, {Path, ebusy}}', with the path of a
%% `cgroup.subtree_control': that group has members itself. `{error, {Controller,
%% enodev}}': the hierarchy doesn't have it, or there is none. In version 1 there is
%% nothing to enable.
-spec enable(alcove:drv(), alcove:fork_path(), name(), [controller()]) -> ok | {error, reason()}.
enable(Drv, Pids, Name, Controllers) ->
    Process = {Drv, Pids},
    try
        Group = group(Name),
        is_list(Controllers) andalso length(Controllers) >= 0 orelse badarg(cgroup_controllers, 4),
        Named = [controller(Controller, 4) || Controller <- Controllers],
        lists:member(<<>>, Named) andalso badarg(cgroup_controllers, 4),
        lists:member(<<"cgroup2">>, Named) andalso badarg(cgroup_controllers, 4),
        Hierarchies = hierarchies(Process),
        [fail({Controller, enodev}) || Controller <- Named, with(Controller, Hierarchies) =:= []],
        lists:foreach(
            fun(#{options := Options} = Hierarchy) ->
                Here = [Controller || Controller <- Named, lists:member(Controller, Options)],
                enable_above(Process, Hierarchy, Group, Here)
            end,
            with(<<"cgroup2">>, Hierarchies)
        )
    catch
        throw:{?MODULE, Thrown} -> thrown(Thrown, enable, [Drv, Pids, Name, Controllers])
    end.

enable_above(Process, #{version := 2, path := Root}, Group, Controllers) ->
    lists:foreach(
        fun(Above) ->
            Path = alcove_cgroup_text:join(Root, Above),
            Enabled = alcove_cgroup_text:words(
                must_read(Process, Path, <<"cgroup.subtree_control">>)
            ),
            case Controllers -- Enabled of
                [] ->
                    ok;
                Missing ->
                    Value = lists:join($\s, [[$+, Controller] || Controller <- Missing]),
                    must_write(Process, Path, <<"cgroup.subtree_control">>, Value)
            end
        end,
        above(Group)
    ).

above([]) -> [];
above(Group) -> [[] | lists:droplast(prefixes(Group))].

%%--------------------------------------------------------------------
%% Members
%%--------------------------------------------------------------------

%% @doc Stops all members of a group and of the groups in it.
%%
%% `ok' when they have stopped. `{error, {Path, etimedout}}' if that takes more than 5
%% seconds; they still stop when they can, unless {@link thaw/3} is called. An event
%% loop that is stopped answers nothing until then, so the one at the fork path should
%% not be a member.
%%
%% The hierarchy of version 2 does it if it has members there, else the freezer of
%% version 1. A member that the latter has stopped doesn't end when it is killed, but when
%% it goes on.
-spec freeze(alcove:drv(), alcove:fork_path(), name()) -> ok | {error, reason()}.
freeze(Drv, Pids, Name) ->
    Process = {Drv, Pids},
    try
        Groups = groups(Process, below_root(Name)),
        case {freezers(2, Process, Groups), freezers(1, Process, Groups)} of
            {[Path], []} ->
                stop(2, Process, Path);
            {[Path], [Path1]} ->
                case populated(Process, Path) of
                    true -> stop(2, Process, Path);
                    false -> stop(1, Process, Path1)
                end;
            {[], [Path]} ->
                stop(1, Process, Path);
            {[], []} ->
                fail(enodev)
        end
    catch
        throw:{?MODULE, Thrown} -> thrown(Thrown, freeze, [Drv, Pids, Name])
    end.

stop(2, Process, Path) ->
    must_write(Process, Path, <<"cgroup.freeze">>, <<"1">>),
    wait_frozen(Process, Path, <<"cgroup.events">>, fun(Text) ->
        flag(<<"frozen">>, Text)
    end);
stop(1, Process, Path) ->
    must_write(Process, Path, <<"freezer.state">>, <<"FROZEN">>),
    wait_frozen(Process, Path, <<"freezer.state">>, fun(Text) ->
        string:trim(Text) =:= <<"FROZEN">>
    end).

wait_frozen(Process, Path, File, IsFrozen) ->
    Frozen = wait(fun() -> IsFrozen(must_read(Process, Path, File)) end, deadline(?FREEZE_WAIT)),
    Frozen orelse fail({alcove_cgroup_text:join(Path, [File]), etimedout}),
    ok.

populated(Process, Path) ->
    flag(<<"populated">>, must_read(Process, Path, <<"cgroup.events">>)).

flag(Name, Text) ->
    case alcove_cgroup_text:keyed(Text) of
        {ok, #{Name := 1}} -> true;
        _ -> false
    end.

%% The directory of the group that can be frozen, in a list, or none.
freezers(1, _Process, Groups) ->
    [
        Path
     || {#{version := 1, options := Options}, Path} <- Groups, lists:member(<<"freezer">>, Options)
    ];
freezers(2, Process, Groups) ->
    [
        Path
     || {#{version := 2}, Path} <- Groups,
        alcove_cgroup_fs:is_file(Process, alcove_cgroup_text:join(Path, [<<"cgroup.freeze">>]))
    ].

%% @doc Lets the members of a group go on that {@link freeze/3} has stopped.
%%
%% They stay stopped while a group above is.
-spec thaw(alcove:drv(), alcove:fork_path(), name()) -> ok | {error, reason()}.
thaw(Drv, Pids, Name) ->
    Process = {Drv, Pids},
    try
        Groups = groups(Process, below_root(Name)),
        Writes =
            [{Path, <<"cgroup.freeze">>, <<"0">>} || Path <- freezers(2, Process, Groups)] ++
                [{Path, <<"freezer.state">>, <<"THAWED">>} || Path <- freezers(1, Process, Groups)],
        Writes =/= [] orelse fail(enodev),
        lists:foreach(
            fun({Path, File, Value}) -> must_write(Process, Path, File, Value) end,
            Writes
        )
    catch
        throw:{?MODULE, Thrown} -> thrown(Thrown, thaw, [Drv, Pids, Name])
    end.

%% @doc Kills all members of a group and of the groups in it, those that a member is just
%% forking included.
%%
%% `ok' when none is left. By `cgroup.kill' where there is one (version 2, from Linux 5.14),
%% else by kill(2) in as many rounds as it takes, with the members stopped by the freezer
%% of version 1 if that is mounted; the group is thawed after that. `{error,
%% etimedout}' if some still live after 5 seconds: they wait for a device, a group above is
%% frozen, or the process at the fork path can't see them, see {@link procs/3}.
-spec kill(alcove:drv(), alcove:fork_path(), name()) -> ok | {error, reason()}.
kill(Drv, Pids, Name) ->
    Process = {Drv, Pids},
    try
        Groups = groups(Process, below_root(Name)),
        Paths = [Path || {_, Path} <- Groups],
        Deadline = deadline(?KILL_WAIT),
        Killed = [cgroup_kill(Process, Path) || {#{version := 2}, Path} <- Groups],
        Gone = lists:member(true, Killed) andalso gone(Process, Paths, Deadline),
        Gone orelse kill_rounds(Process, Groups, Paths, Deadline),
        ok
    catch
        throw:{?MODULE, Thrown} -> thrown(Thrown, kill, [Drv, Pids, Name])
    end.

cgroup_kill(Process, Path) ->
    File = alcove_cgroup_text:join(Path, [<<"cgroup.kill">>]),
    case alcove_cgroup_fs:write(Process, File, <<"1">>) of
        {ok, _} -> true;
        %% An older kernel.
        {error, enoent} -> false;
        {error, Reason} -> fail({File, Reason})
    end.

kill_rounds(Process, Groups, Paths, Deadline) ->
    Freezers = freezers(1, Process, Groups),
    %% What is stopped doesn't fork while its group is read.
    lists:foreach(
        fun(Path) -> must_write(Process, Path, <<"freezer.state">>, <<"FROZEN">>) end,
        Freezers
    ),
    try
        signal(Process, members(Process, Paths))
    after
        lists:foreach(
            fun(Path) ->
                _ = alcove_cgroup_fs:write(
                    Process,
                    alcove_cgroup_text:join(Path, [<<"freezer.state">>]),
                    <<"THAWED">>
                )
            end,
            trees(Process, Freezers)
        )
    end,
    case gone(Process, Paths, Deadline) of
        true ->
            true;
        false ->
            late(Deadline) andalso fail(etimedout),
            kill_rounds(Process, Groups, Paths, Deadline)
    end.

signal({Drv, Pids} = Process, [Pid | Rest]) ->
    case Pid =:= 0 orelse alcove:kill(Drv, Pids, Pid, sigkill) of
        {error, Reason} when Reason =/= esrch -> fail(Reason);
        _ -> signal(Process, Rest)
    end;
signal(_Process, []) ->
    ok.

%% Whether all members are gone soon: what is killed still has to end.
gone(Process, Paths, Deadline) ->
    wait(fun() -> members(Process, Paths) =:= [] end, min(Deadline, deadline(50))).

%%--------------------------------------------------------------------
%% What was used
%%--------------------------------------------------------------------

%% @doc What the members of a group use and have used, in either version.
%%
%% <dl>
%% <dt>`memory'</dt>
%% <dd>`usage', `peak' and `limit' in bytes; `oom_kills', how many processes were killed at
%%     the limit; `events', all figures of `memory.events', or of `memory.oom_control' in
%%     version 1.</dd>
%% <dt>`pids'</dt>
%% <dd>`current' and `limit'; `refused', how often fork(2) failed at the limit.</dd>
%% <dt>`cpu'</dt>
%% <dd>`usage', `user' and `system' in microseconds; `periods' of a limit that have been,
%%     `throttled', in how many of them the members had to wait, and `throttled_time',
%%     how long, in microseconds.</dd>
%% </dl>
%%
%% Figures that the kernel doesn't have are left out, as those of controllers that are
%% not enabled. `limit' is `max' where there is none.
-spec stats(alcove:drv(), alcove:fork_path(), name()) -> {ok, stats()} | {error, reason()}.
stats(Drv, Pids, Name) ->
    Process = {Drv, Pids},
    try
        Groups = groups(Process, group(Name)),
        Figures = [
            {Kind, figures(Process, Path, Wanted)}
         || {Kind, Version, Controller, Wanted} <- figures(),
            {#{version := V, options := Options}, Path} <- Groups,
            V =:= Version,
            lists:member(Controller, Options)
        ],
        {ok,
            lists:foldl(
                fun
                    ({_Kind, Map}, Stats) when map_size(Map) =:= 0 -> Stats;
                    ({Kind, Map}, Stats) ->
                        Stats#{Kind => maps:merge(maps:get(Kind, Stats, #{}), Map)}
                end,
                #{},
                Figures
            )}
    catch
        throw:{?MODULE, Thrown} -> thrown(Thrown, stats, [Drv, Pids, Name])
    end.

%% Which figures are in which file, and under which key of it, in which unit. Where both
%% versions have one, that of version 1 comes later and is taken: version 2 has the time
%% of CPUs without the controller as well.
figures() ->
    [
        {memory, 2, <<"memory">>, [
            {usage, <<"memory.current">>, value, 1},
            {peak, <<"memory.peak">>, value, 1},
            {limit, <<"memory.max">>, value, 1},
            {oom_kills, <<"memory.events">>, <<"oom_kill">>, 1},
            {events, <<"memory.events">>, all, 1}
        ]},
        {memory, 1, <<"memory">>, [
            {usage, <<"memory.usage_in_bytes">>, value, 1},
            {peak, <<"memory.max_usage_in_bytes">>, value, 1},
            {limit, <<"memory.limit_in_bytes">>, value, 1},
            {oom_kills, <<"memory.oom_control">>, <<"oom_kill">>, 1},
            {events, <<"memory.oom_control">>, all, 1}
        ]},
        {pids, 2, <<"pids">>, pids_figures()},
        {pids, 1, <<"pids">>, pids_figures()},
        {cpu, 2, <<"cgroup2">>, [
            {usage, <<"cpu.stat">>, <<"usage_usec">>, 1},
            {user, <<"cpu.stat">>, <<"user_usec">>, 1},
            {system, <<"cpu.stat">>, <<"system_usec">>, 1},
            {periods, <<"cpu.stat">>, <<"nr_periods">>, 1},
            {throttled, <<"cpu.stat">>, <<"nr_throttled">>, 1},
            {throttled_time, <<"cpu.stat">>, <<"throttled_usec">>, 1}
        ]},
        {cpu, 1, <<"cpuacct">>, [
            {usage, <<"cpuacct.usage">>, value, 1000},
            {user, <<"cpuacct.usage_user">>, value, 1000},
            {system, <<"cpuacct.usage_sys">>, value, 1000}
        ]},
        {cpu, 1, <<"cpu">>, [
            {periods, <<"cpu.stat">>, <<"nr_periods">>, 1},
            {throttled, <<"cpu.stat">>, <<"nr_throttled">>, 1},
            {throttled_time, <<"cpu.stat">>, <<"throttled_time">>, 1000}
        ]}
    ].

pids_figures() ->
    [
        {current, <<"pids.current">>, value, 1},
        {limit, <<"pids.max">>, value, 1},
        {refused, <<"pids.events">>, <<"max">>, 1}
    ].

figures(Process, Path, Wanted) ->
    Files = lists:usort([File || {_, File, _, _} <- Wanted]),
    Texts = [{File, read_figures(Process, Path, File)} || File <- Files],
    maps:from_list([
        {Name, Value}
     || {Name, File, Key, Unit} <- Wanted,
        {ok, Value} <- [figure(proplists:get_value(File, Texts), Key, Unit)]
    ]).

read_figures(Process, Path, File) ->
    case alcove_cgroup_fs:read(Process, alcove_cgroup_text:join(Path, [File])) of
        {ok, Text} -> Text;
        {error, enoent} -> none;
        {error, Reason} -> fail({alcove_cgroup_text:join(Path, [File]), Reason})
    end.

figure(none, _Key, _Unit) ->
    none;
figure(Text, value, Unit) ->
    in_unit(alcove_cgroup_text:value(string:trim(Text)), Unit);
figure(Text, Key, Unit) ->
    case {Key, alcove_cgroup_text:keyed(Text)} of
        {all, {ok, Map}} -> {ok, Map};
        {_, {ok, #{Key := Value}}} -> in_unit(Value, Unit);
        _ -> none
    end.

in_unit(N, Unit) when is_integer(N) -> {ok, N div Unit};
in_unit(max, _Unit) -> {ok, max};
in_unit(_, _Unit) -> none.

%%--------------------------------------------------------------------
%% Single files
%%--------------------------------------------------------------------

%% @doc Reads a file of a group, as the kernel writes it: `{ok, <<"0-1\n">>}'.
%%
%% With `<<>>' for the controller it is the first hierarchy that has the file.
-spec get(alcove:drv(), alcove:fork_path(), controller(), name(), file()) ->
    {ok, binary()} | {error, reason()}.
get(Drv, Pids, Controller, Name, Key) ->
    Process = {Drv, Pids},
    try
        Places = places(Process, controller(Controller, 3), group(Name, 4), file(Key)),
        read_first(Process, Places)
    catch
        throw:{?MODULE, Thrown} -> thrown(Thrown, get, [Drv, Pids, Controller, Name, Key])
    end.

read_first(Process, [{_, File} | Places]) ->
    case alcove_cgroup_fs:read(Process, File) of
        {error, enoent} when Places =/= [] -> read_first(Process, Places);
        Result -> Result
    end.

%% @doc Writes to a file of a group. How many bytes were written is returned.
%%
%% With `<<>>' for the controller it is written in every hierarchy that has it, up to the
%% first error. In version 2, a controller that is named is enabled first, see {@link
%% enable/4}.
%%
%% ```
%% {ok, 3} = alcove_cgroup:set(Drv, [], <<"memory">>, <<"jobs">>,
%%                             <<"memory.limit_in_bytes">>, <<"16m">>)
%% '''
-spec set(
    alcove:drv(), alcove:fork_path(), controller(), name(), file(), iodata()
) -> {ok, non_neg_integer()} | {error, reason()}.
set(Drv, Pids, Controller, Name, Key, Value) ->
    Process = {Drv, Pids},
    try
        Named = controller(Controller, 3),
        Group = group(Name, 4),
        File = file(Key),
        is_iodata(Value) orelse badarg(iodata, 6),
        Places = places(Process, Named, Group, File),
        [
            enable_above(Process, Hierarchy, Group, [Named])
         || {#{version := 2} = Hierarchy, _} <- Places, Named =/= <<>>, Named =/= <<"cgroup2">>
        ],
        write_all(Process, Places, Value, {error, enoent})
    catch
        throw:{?MODULE, Thrown} -> thrown(Thrown, set, [Drv, Pids, Controller, Name, Key, Value])
    end.

write_all(Process, [{_, File} | Places], Value, Written) ->
    case alcove_cgroup_fs:write(Process, File, Value) of
        {ok, _} = Ok -> write_all(Process, Places, Value, Ok);
        {error, enoent} -> write_all(Process, Places, Value, Written);
        {error, _} = Error -> Error
    end;
write_all(_Process, [], _Value, Written) ->
    Written.

%% @doc Reads a file of lines `KEY VALUE' or `KEY SUBKEY=VALUE...', as `memory.events',
%% `memory.stat', `pids.events', `cpu.stat', `cpu.pressure' and `io.stat' are.
%%
%% Values are numbers where they look like it, `max', or binaries. `{error, einval}' for
%% other files.
%%
%% ```
%% {ok, #{<<"oom_kill">> := 0}} =
%%     alcove_cgroup:stat(Drv, [], <<"memory">>, <<"jobs">>, <<"memory.events">>)
%% '''
-spec stat(alcove:drv(), alcove:fork_path(), controller(), name(), file()) ->
    {ok, #{binary() => term()}} | {error, reason()}.
stat(Drv, Pids, Controller, Name, Key) ->
    Process = {Drv, Pids},
    try
        Places = places(Process, controller(Controller, 3), group(Name, 4), file(Key)),
        case read_first(Process, Places) of
            {ok, Text} ->
                case alcove_cgroup_text:keyed(Text) of
                    {ok, Map} -> {ok, Map};
                    error -> {error, einval}
                end;
            {error, _} = Error ->
                Error
        end
    catch
        throw:{?MODULE, Thrown} -> thrown(Thrown, stat, [Drv, Pids, Controller, Name, Key])
    end.

%% The file in each hierarchy that has the controller and the group; at least one.
places(Process, Controller, Group, File) ->
    Found =
        case with(Controller, hierarchies(Process)) of
            [] -> fail(enodev);
            Hierarchies -> Hierarchies
        end,
    case existing(Process, Found, Group) of
        [] ->
            fail(enoent);
        Groups ->
            [
                {Hierarchy, alcove_cgroup_text:join(Path, [counterpart(Version, File)])}
             || {#{version := Version} = Hierarchy, Path} <- Groups
            ]
    end.

%% What a file of version 1 is called in version 2.
counterpart(2, <<"tasks">>) -> <<"cgroup.procs">>;
counterpart(2, <<"memory.limit_in_bytes">>) -> <<"memory.max">>;
counterpart(2, <<"memory.usage_in_bytes">>) -> <<"memory.current">>;
counterpart(_, File) -> File.

%%--------------------------------------------------------------------
%% Where the groups are
%%--------------------------------------------------------------------

%% @equiv mounts(Drv, [])
-spec mounts(alcove:drv()) -> {ok, [mount()]} | {error, alcove:posix()}.
mounts(Drv) ->
    mounts(Drv, []).

%% @doc What is mounted, as the process sees it: each mount as a tuple of the fields of
%% fstab(5).
-spec mounts(alcove:drv(), alcove:fork_path()) -> {ok, [mount()]} | {error, alcove:posix()}.
mounts(Drv, Pids) ->
    case alcove_cgroup_fs:mounts({Drv, Pids}) of
        {ok, Mounts} -> {ok, [fstab(Mount) || Mount <- Mounts]};
        {error, _} = Error -> Error
    end.

fstab(#{source := Source, path := Path, type := Type, options := Options, super := Super}) ->
    All = iolist_to_binary(lists:join($,, Options ++ (Super -- [<<"rw">>, <<"ro">>]))),
    {Source, Path, Type, All, <<"0">>, <<"0">>}.

%% @equiv cgroup(Drv, [])
-spec cgroup(alcove:drv()) -> [{binary(), [binary()]}] | {error, alcove:posix()}.
cgroup(Drv) ->
    cgroup(Drv, []).

%% @doc The hierarchies that are mounted: where, and their options, the controllers among
%% them. That of version 2 has `cgroup2' there as well.
-spec cgroup(alcove:drv(), alcove:fork_path()) ->
    [{binary(), [binary()]}] | {error, alcove:posix()}.
cgroup(Drv, Pids) ->
    case alcove_cgroup_fs:hierarchies({Drv, Pids}) of
        {ok, Hierarchies} ->
            [{Path, Options} || #{path := Path, options := Options} <- Hierarchies];
        {error, _} = Error ->
            Error
    end.

%% @equiv fold(Drv, [], Controller, Name, Fun, Acc)
-spec fold(alcove:drv(), controller(), name(), fun((binary(), Acc) -> Acc), Acc) ->
    Acc | {error, reason()}.
fold(Drv, Controller, Name, Fun, Acc) ->
    fold(Drv, [], Controller, Name, Fun, Acc).

%% @doc Calls `Fun(Path, Acc)' for the directory of the group in each hierarchy that has
%% the controller and the group.
-spec fold(
    alcove:drv(), alcove:fork_path(), controller(), name(), fun((binary(), Acc) -> Acc), Acc
) -> Acc | {error, reason()}.
fold(Drv, Pids, Controller, Name, Fun, Acc) ->
    Process = {Drv, Pids},
    Paths =
        try
            is_function(Fun, 2) orelse badarg(function, 5),
            Named = controller(Controller, 3),
            Group = group(Name, 4),
            [Path || {_, Path} <- existing(Process, with(Named, hierarchies(Process)), Group)]
        catch
            throw:{?MODULE, Thrown} -> thrown(Thrown, fold, [Drv, Pids, Controller, Name, Fun, Acc])
        end,
    case Paths of
        {error, _} = Error -> Error;
        _ -> lists:foldl(Fun, Acc, Paths)
    end.

%% @equiv fold_files(Drv, [], Controller, Name, RegExp, Fun, Acc)
-spec fold_files(
    alcove:drv(), controller(), name(), iodata(), fun((binary(), Acc) -> Acc), Acc
) -> Acc | {error, reason()}.
fold_files(Drv, Controller, Name, RegExp, Fun, Acc) ->
    fold_files(Drv, [], Controller, Name, RegExp, Fun, Acc).

%% @doc Calls `Fun(File, Acc)' for the names in the directories of the group that match a
%% regular expression, see {@link re}.
-spec fold_files(
    alcove:drv(),
    alcove:fork_path(),
    controller(),
    name(),
    iodata(),
    fun((binary(), Acc) -> Acc),
    Acc
) -> Acc | {error, reason()}.
fold_files(Drv, Pids, Controller, Name, RegExp, Fun, Acc) ->
    Names =
        try
            is_function(Fun, 2) orelse badarg(function, 6),
            Pattern = pattern(RegExp),
            Process = {Drv, Pids},
            Named = controller(Controller, 3),
            Group = group(Name, 4),
            Groups = existing(Process, with(Named, hierarchies(Process)), Group),
            [
                File
             || {_, Path} <- Groups,
                File <- names(Process, Path),
                re:run(File, Pattern, [{capture, none}]) =:= match
            ]
        catch
            throw:{?MODULE, Thrown} ->
                thrown(Thrown, fold_files, [Drv, Pids, Controller, Name, RegExp, Fun, Acc])
        end,
    case Names of
        {error, _} = Error -> Error;
        _ -> lists:foldl(Fun, Acc, Names)
    end.

pattern(RegExp) ->
    try re:compile(RegExp) of
        {ok, Pattern} -> Pattern;
        {error, _} -> badarg(regexp, 5)
    catch
        error:badarg -> badarg(regexp, 5)
    end.

names({Drv, Pids}, Path) ->
    case alcove:readdir(Drv, Pids, Path) of
        {ok, Names} -> Names;
        {error, Reason} -> fail({Path, Reason})
    end.

%% @doc Whether there is a directory that the process may read.
-spec is_dir(alcove:drv(), alcove:fork_path(), alcove:path()) -> boolean().
is_dir(Drv, Pids, Path) ->
    alcove_cgroup_fs:is_dir({Drv, Pids}, Path).

%% @doc Whether there is a file that the process may read, and that is no directory.
-spec is_file(alcove:drv(), alcove:fork_path(), alcove:path()) -> boolean().
is_file(Drv, Pids, Path) ->
    alcove_cgroup_fs:is_file({Drv, Pids}, Path).

%% @doc The path of a group in the hierarchy that is mounted at `Path'.
-spec join(Path :: iodata(), name()) -> binary().
join(Path, Name) ->
    try
        is_iodata(Path) orelse badarg(iodata, 1),
        alcove_cgroup_text:join(iolist_to_binary(Path), group(Name, 2))
    catch
        throw:{?MODULE, {badarg, _, _} = Thrown} -> refused(Thrown, join, [Path, Name])
    end.

%% @doc The components of a name.
-spec relpath(name()) -> [binary()].
relpath(Name) ->
    try
        group(Name, 1)
    catch
        throw:{?MODULE, {badarg, _, _} = Thrown} -> refused(Thrown, relpath, [Name])
    end.

%% @doc A group and those above it, from the uppermost: `[[<<"a">>], [<<"a">>, <<"b">>]]'
%% for `<<"a/b">>'.
-spec expand(name()) -> [[binary()]].
expand(Name) ->
    try
        prefixes(group(Name, 1))
    catch
        throw:{?MODULE, {badarg, _, _} = Thrown} -> refused(Thrown, expand, [Name])
    end.

%%--------------------------------------------------------------------
%% What these have in common
%%--------------------------------------------------------------------

%% A step that fails ends the function that it is part of, with an error; an argument of
%% the wrong shape does, with an exception.
-spec thrown({fail, reason()} | {badarg, atom(), pos_integer()}, atom(), [term()]) ->
    {error, reason()}.
thrown({fail, Reason}, _Function, _Args) ->
    {error, Reason};
thrown(Badarg, Function, Args) ->
    refused(Badarg, Function, Args).

-spec refused({badarg, atom(), pos_integer()}, atom(), [term()]) -> no_return().
refused({badarg, What, Position}, Function, Args) ->
    alcove_errors:raise(badarg, ?MODULE, Function, Args, {What, Position}).

-spec fail(reason()) -> no_return().
fail(Reason) ->
    throw({?MODULE, {fail, Reason}}).

-spec badarg(atom(), pos_integer()) -> no_return().
badarg(What, Position) ->
    throw({?MODULE, {badarg, What, Position}}).

group(Name) ->
    group(Name, 3).

group(Name, Position) ->
    case alcove_cgroup_text:group(Name) of
        {ok, Group} -> Group;
        error -> badarg(cgroup_name, Position)
    end.

%% A group that is not the root, which is nobody's to create, to stop or to remove.
below_root(Name) ->
    case group(Name) of
        [] -> badarg(cgroup_root, 3);
        Group -> Group
    end.

file(Key) ->
    case alcove_cgroup_text:file(Key) of
        {ok, File} -> File;
        error -> badarg(cgroup_file, 5)
    end.

controller(Controller, _Position) when is_binary(Controller) ->
    Controller;
controller(Controller, _Position) when is_atom(Controller) ->
    atom_to_binary(Controller);
controller(Controller, Position) ->
    is_iodata(Controller) orelse badarg(cgroup_controllers, Position),
    iolist_to_binary(Controller).

is_iodata(Term) ->
    try
        iolist_size(Term) >= 0
    catch
        error:badarg -> false
    end.

prefixes(Group) ->
    [lists:sublist(Group, N) || N <- lists:seq(1, length(Group))].

hierarchies(Process) ->
    case alcove_cgroup_fs:hierarchies(Process) of
        {ok, Hierarchies} -> Hierarchies;
        {error, Reason} -> fail({<<"/proc/self/mountinfo">>, Reason})
    end.

with(<<>>, Hierarchies) ->
    Hierarchies;
with(Controller, Hierarchies) ->
    [
        Hierarchy
     || #{options := Options} = Hierarchy <- Hierarchies, lists:member(Controller, Options)
    ].

%% The directories of a group.
existing(Process, Hierarchies, Group) ->
    [
        {Hierarchy, Path}
     || #{path := Root} = Hierarchy <- Hierarchies,
        Path <- [alcove_cgroup_text:join(Root, Group)],
        alcove_cgroup_fs:is_dir(Process, Path)
    ].

%% The directories of a group that exists.
groups(Process, Group) ->
    case hierarchies(Process) of
        [] ->
            fail(enodev);
        Hierarchies ->
            case existing(Process, Hierarchies, Group) of
                [] -> fail(enoent);
                Groups -> Groups
            end
    end.

must_read(Process, Path, Name) ->
    File = alcove_cgroup_text:join(Path, [Name]),
    case alcove_cgroup_fs:read(Process, File) of
        {ok, Text} -> Text;
        {error, Reason} -> fail({File, Reason})
    end.

must_write(Process, Path, Name, Value) ->
    File = alcove_cgroup_text:join(Path, [Name]),
    case alcove_cgroup_fs:write(Process, File, Value) of
        {ok, _} -> ok;
        {error, Reason} -> fail({File, Reason})
    end.

must_read_value(Process, Path, Name) ->
    alcove_cgroup_text:value(string:trim(must_read(Process, Path, Name))).

read_value(Process, Path, Name) ->
    case alcove_cgroup_fs:read(Process, alcove_cgroup_text:join(Path, [Name])) of
        {ok, Text} -> alcove_cgroup_text:value(string:trim(Text));
        {error, enoent} -> none;
        {error, Reason} -> fail({alcove_cgroup_text:join(Path, [Name]), Reason})
    end.

first_error(Results) ->
    case [Error || {error, _} = Error <- Results] of
        [Error | _] -> Error;
        [] -> ok
    end.

%%--------------------------------------------------------------------
%% Time
%%--------------------------------------------------------------------

deadline(Ms) ->
    erlang:monotonic_time(millisecond) + Ms.

late(Deadline) ->
    erlang:monotonic_time(millisecond) >= Deadline.

%% Whether something comes true until then.
wait(Fun, Deadline) ->
    wait(Fun, Deadline, 1).

wait(Fun, Deadline, Pause) ->
    case Fun() of
        true ->
            true;
        false ->
            case late(Deadline) of
                true ->
                    false;
                false ->
                    pause(Pause),
                    wait(Fun, Deadline, min(2 * Pause, 20))
            end
    end.

pause(Ms) ->
    receive
    after Ms -> ok
    end.
