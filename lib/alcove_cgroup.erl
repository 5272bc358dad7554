%% @doc Control groups: what processes may use together, and what they have used.
%%
%% A control group has members, limits, and files that show both; see cgroups(7)
%% and, in the kernel's documentation, cgroup-v1 and cgroup-v2.rst. The Unix process
%% at a fork path does everything, since its privileges, its root directory
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
%% is `<<>>'. A name with `..' raises `badarg'. {@link make/3} makes a group with a name that
%% nothing else can use, not even by accident.
%%
%% <h3>Errors</h3>
%%
%% `{error, Reason}', where `Reason' is the error of a system call, or a tuple of where it happened
%% and the error. Where is the path of a directory or a file, or the name of a limit.
%%
%% <ul>
%% <li>`enodev': no hierarchy is mounted, or none that has the controller;</li>
%% <li>`enoent': there is no such group, or no such file in it;</li>
%% <li>`eacces', `eperm', `erofs': the process may not do that;</li>
%% <li>`ebusy', for `cgroup.subtree_control': the group has members itself, and only a
%%     root may have both members and controllers for groups below it, see {@link leaf/2}; for
%%     `cgroup.procs': the group has controllers for groups below it, and so can't have members; for
%%     a directory: the group still has members;</li>
%% <li>`enospc', for `cgroup.procs' of cpuset in version 1: the group has no CPUs or no
%%     memory nodes;</li>
%% <li>`esrch': there is no such process;</li>
%% <li>`emfile': the process has no number left for a descriptor, of which each group of
%%     {@link make/3} takes one in each of its hierarchies;</li>
%% <li>`edeadlk': see {@link freeze/3};</li>
%% <li>`enotsup', for `cgroup.procs' or `cgroup.kill': the group is threaded, which means that its
%%     members are threads. Their processes are members of the domain above it, see {@link
%%     procs/3};</li>
%% <li>`etimedout': see {@link freeze/3} and {@link kill/3}.</li>
%% </ul>
%%
%% Exceptions are those of {@link alcove}.
-module(alcove_cgroup).

-export([
    supported/1, supported/2, supported/3,
    create/1, create/2, create/3,
    destroy/1, destroy/2, destroy/3,
    make/3, remove/2, remove/3,
    leaf/1, leaf/2,
    attach/4, attach_files/3,
    kill_file/3,
    procs/3,
    limit/4,
    enable/4,
    freeze/3,
    thaw/3,
    kill/3,
    stats/3
]).

%% For alcove_proc.
-export([oom_kills/3]).

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

-import(alcove_cgroup_fs, [fail/1, must_write/4]).

-export_type([name/0, group/0, file/0, controller/0, reason/0, limits/0, stats/0, mount/0]).

-type name() :: binary() | string() | [binary() | string()] | group().
%% A group: its path in a hierarchy, or the components of that path; or a group of {@link make/3}.
-opaque group() :: alcove_cgroup_own:group().
%% See {@link make/3}.
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
%% The process may not be allowed to change the hierarchy.
-spec supported(alcove:drv(), alcove:fork_path(), controller()) -> boolean().
supported(Drv, Pids, Controller) ->
    alcove_cgroup_fs:run(supported, [Drv, Pids, Controller], fun() ->
        Process = {Drv, Pids},
        Named = controller(Controller, 3),
        case alcove_cgroup_paths:hierarchies(Process) of
            {ok, Hierarchies} ->
                lists:any(
                    fun(#{path := Path}) -> alcove_file:is_dir(Process, Path) end,
                    alcove_cgroup_paths:with(Named, Hierarchies)
                );
            {error, _} ->
                false
        end
    end).

%% @equiv create(Drv, [])
-spec create(alcove:drv()) -> ok | {error, reason()}.
create(Drv) ->
    create(Drv, []).

%% @equiv create(Drv, Pids, <<"alcove">>)
-spec create(alcove:drv(), alcove:fork_path()) -> ok | {error, reason()}.
create(Drv, Pids) ->
    create(Drv, Pids, ?DEFAULT).

%% @doc Creates a group in every hierarchy that is mounted, and the groups above it
%% that don't exist.
%%
%% `ok' also if it exists. After an error, nothing that this call made is left. In
%% version 1 a new group gets the CPUs and memory nodes of the group above, since it can't
%% have members without them.
-spec create(alcove:drv(), alcove:fork_path(), name()) -> ok | {error, reason()}.
create(Drv, Pids, Name) ->
    alcove_cgroup_fs:run(create, [Drv, Pids, Name], fun() ->
        Process = {Drv, Pids},
        Group = components(Name, 3),
        Group =/= [] orelse badarg(cgroup_root, 3),
        Hierarchies = hierarchies(Process),
        Hierarchies =/= [] orelse fail(enodev),
        make_all(
            Process,
            [{Hierarchy, Part} || Hierarchy <- Hierarchies, Part <- prefixes(Group)],
            []
        )
    end).

make_all(Process, [{#{path := Root} = Hierarchy, Group} | Rest], Made) ->
    Path = alcove_cgroup_text:join(Root, Group),
    case make_one(Process, Hierarchy, Path) of
        {made, ok} ->
            make_all(Process, Rest, [Path | Made]);
        {made, Error} ->
            unmake(Process, [Path | Made], Error);
        exists ->
            make_all(Process, Rest, Made);
        {error, Reason} ->
            unmake(Process, Made, {error, {Path, Reason}})
    end;
make_all(_Process, [], _Made) ->
    ok.

unmake(Process, Made, Error) ->
    lists:foreach(fun(Path) -> _ = alcove_cgroup_fs:rmdir(Process, Path) end, Made),
    Error.

make_one(Process, Hierarchy, Path) ->
    case alcove_cgroup_fs:mkdir(Process, Path) of
        ok ->
            {made, alcove_cgroup_v1:inherit(Process, Hierarchy, Path)};
        {error, eexist} ->
            %% The name may be that of a file.
            case alcove_file:is_dir(Process, Path) of
                true -> exists;
                false -> {error, eexist}
            end;
        {error, _} = Error ->
            Error
    end.

%% @doc Makes a group for one program, with limits and a name that nothing else uses.
%%
%% The new group is below the group of the process at the fork path (/proc/self/cgroup). It exists
%% in the hierarchies that have the controllers of the limits, and, if there is one, in a hierarchy
%% by which its members can be killed or stopped together. The functions of this module take the
%% returned term as a name. {@link remove/3} kills the members and removes the group. If the process
%% ends before that, the next process that makes such a group beside it removes it, even if it
%% belongs to another virtual machine.
%%
%% In version 2 a group can't have both members and controllers for groups in it. The group of the
%% process usually has members, among them the virtual machine. Then there are three ways:
%%
%% <ul>
%% <li>systemd has delegated the group and marked it as such, as it does with a service that has
%%     `Delegate=yes' (and `User=', for an ordinary user): alcove moves its members into the group
%%     `alcove-leaf' in it;</li>
%% <li>{@link leaf/2} was called, which does the same. A user's own systemd marks nothing, so below
%%     `systemd-run --user -p Delegate=yes' this is the way;</li>
%% <li>the process may write to the root of all groups: the new group is made there.</li>
%% </ul>
%%
%% Otherwise the function returns `{error, {Path, ebusy}}', with the path of
%% `cgroup.subtree_control', and changes nothing. `{error, {Path, enodev}}', with the path of
%% `cgroup.controllers': the group of the process lacks a controller. `{error,
%% {<<"/proc/self/cgroup">>, enoent}}': it isn't below what is mounted, or it is above the root of
%% the process's namespace of control groups. In version 1 the new group is then in the uppermost
%% group that the process sees.
-spec make(alcove:drv(), alcove:fork_path(), limits()) -> {ok, group()} | {error, reason()}.
make(Drv, Pids, Limits) ->
    alcove_cgroup_fs:run(make, [Drv, Pids, Limits], fun() ->
        Process = {Drv, Pids},
        Checked = limits(Limits, 3),
        Controllers = [{Key, alcove_cgroup_limits:controller(Key)} || {Key, _} <- Checked],
        Group = alcove_cgroup_own:make(Process, hierarchies(Process), Controllers),
        try
            set_limits(Process, Group, Checked),
            {ok, Group}
        catch
            Class:Why:Stack ->
                _ =
                    try
                        removed(Process, Group)
                    catch
                        _:_ -> ok
                    end,
                erlang:raise(Class, Why, Stack)
        end
    end).

%% @doc Kills the members of a group of {@link make/3}, and removes the group.
%%
%% `ok' also if the group is gone.
-spec remove(alcove:drv(), alcove:fork_path(), group()) -> ok | {error, reason()}.
remove(Drv, Pids, Group) ->
    alcove_cgroup_fs:run(remove, [Drv, Pids, Group], fun() ->
        alcove_cgroup_own:is_group(Group) orelse badarg(cgroup_name, 3),
        removed({Drv, Pids}, Group)
    end).

removed(Process, Group) ->
    %% A process that has no number left for a descriptor needs those of the locks.
    ok = alcove_cgroup_own:forget(Process, Group),
    removed_dirs(Process, alcove_cgroup_own:dirs(Group)).

removed_dirs(Process, Dirs) ->
    ok = alcove_cgroup_members:kill(Process, existing(Process, Dirs)),
    first_error([alcove_cgroup_fs:remove(Process, Path) || {_, Path} <- Dirs]).

%% @doc As {@link remove/3}, for all groups that the process at the fork path has made, whoever
%% asked for them and on whichever node.
-spec remove(alcove:drv(), alcove:fork_path()) -> ok | {error, reason()}.
remove(Drv, Pids) ->
    alcove_cgroup_fs:run(remove, [Drv, Pids], fun() ->
        Process = {Drv, Pids},
        Made = alcove_cgroup_own:made(Process, hierarchies(Process)),
        ok = alcove_cgroup_own:forget_all(Process, Made),
        removed_dirs(Process, Made)
    end).

%% @equiv leaf(Drv, [])
-spec leaf(alcove:drv()) -> ok | {error, reason()}.
leaf(Drv) ->
    leaf(Drv, []).

%% @doc Moves all members of the process's own group of version 2, the virtual machine among them,
%% into a group `alcove-leaf' in it, so that {@link make/3} can make groups there.
%%
%% Call it once, when the virtual machine starts, if the virtual machine has its group to itself: in
%% a container, or in a unit of systemd with `Delegate=yes'. {@link make/3} does it itself where
%% systemd has marked the group, which it does for root and for `User=', but not below
%% `systemd --user'. Everything that runs in the group is moved, and stays in the leaf. `ok' also if
%% that was done before, or if there is no version 2.
-spec leaf(alcove:drv(), alcove:fork_path()) -> ok | {error, reason()}.
leaf(Drv, Pids) ->
    alcove_cgroup_fs:run(leaf, [Drv, Pids], fun() ->
        Process = {Drv, Pids},
        lists:foreach(
            fun(Hierarchy) ->
                case alcove_cgroup_paths:own(Process, Hierarchy) of
                    {ok, Own} ->
                        filename:basename(Own) =:= alcove_cgroup_v2:leaf_name() orelse
                            alcove_cgroup_v2:is_root(Process, Own) orelse
                            alcove_cgroup_v2:leaf(Process, Own);
                    {error, Reason} ->
                        fail({<<"/proc/self/cgroup">>, Reason})
                end
            end,
            alcove_cgroup_paths:with(<<"cgroup2">>, hierarchies(Process))
        )
    end).

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
%% `ok' also if there is none. A group that has members can't be removed. The function waits
%% for members that are about to end, and if it can't remove any of the groups for a second, it
%% returns `{error, {Path, ebusy}}'. {@link kill/3} ends the members. Groups that can be removed
%% are removed even if there is an error.
-spec destroy(alcove:drv(), alcove:fork_path(), name()) -> ok | {error, reason()}.
destroy(Drv, Pids, Name) ->
    alcove_cgroup_fs:run(destroy, [Drv, Pids, Name], fun() ->
        Process = {Drv, Pids},
        Group = below_root(Name),
        Removed = first_error([
            alcove_cgroup_fs:remove(Process, Path)
         || {_, Path} <- places_of(Process, Group)
        ]),
        Removed =:= ok andalso alcove_cgroup_own:is_group(Group) andalso
            alcove_cgroup_own:forget(Process, Group),
        Removed
    end).

%% @doc Puts a process in a group, in every hierarchy that has the group.
%%
%% `Pid' is the pid of the process as the process at the fork path sees it; 0 is that
%% process itself. All its threads are moved. After an error the process may be in the
%% group in some of the hierarchies. `<<>>', the root, takes it out of its groups.
-spec attach(alcove:drv(), alcove:fork_path(), name(), alcove:os_pid()) -> ok | {error, reason()}.
attach(Drv, Pids, Name, Pid) ->
    alcove_cgroup_fs:run(attach, [Drv, Pids, Name, Pid], fun() ->
        Process = {Drv, Pids},
        Group = group(Name),
        is_integer(Pid) andalso Pid >= 0 orelse badarg(pid, 4),
        Groups = groups(Process, Group),
        check_member(Process, Groups),
        lists:foreach(
            fun({_, Path}) ->
                must_write(Process, Path, <<"cgroup.procs">>, integer_to_binary(Pid))
            end,
            Groups
        )
    end).

check_member(Process, Groups) ->
    lists:foreach(
        fun(Path) -> alcove_cgroup_v2:check_member(Process, Path) end,
        [Path || {#{version := 2}, Path} <- Groups]
    ).

%% @doc The files to which the pid of a process has to be written to make it a member, one for
%% each hierarchy.
%%
%% This is for callers that attach a process without this module. The process that opens the files
%% must be the one at the fork path, or see the same mounts.
-spec attach_files(alcove:drv(), alcove:fork_path(), name()) ->
    {ok, [binary()]} | {error, reason()}.
attach_files(Drv, Pids, Name) ->
    alcove_cgroup_fs:run(attach_files, [Drv, Pids, Name], fun() ->
        Process = {Drv, Pids},
        Groups = groups(Process, group(Name)),
        check_member(Process, Groups),
        {ok, [alcove_cgroup_text:join(Path, [<<"cgroup.procs">>]) || {_, Path} <- Groups]}
    end).

%% @doc The file `cgroup.kill', to which `1' has to be written to kill all members at once.
%% `{error, enodev}' if there is none: then {@link kill/3} takes more steps. The file of a threaded
%% group takes nothing, see {@link procs/3}.
-spec kill_file(alcove:drv(), alcove:fork_path(), name()) -> {ok, binary()} | {error, reason()}.
kill_file(Drv, Pids, Name) ->
    alcove_cgroup_fs:run(kill_file, [Drv, Pids, Name], fun() ->
        Process = {Drv, Pids},
        Files = [
            alcove_cgroup_text:join(Path, [<<"cgroup.kill">>])
         || {#{version := 2}, Path} <- groups(Process, below_root(Name))
        ],
        case [File || File <- Files, alcove:access(Drv, Pids, File, f_ok) =:= ok] of
            [File | _] -> {ok, File};
            [] -> fail(enodev)
        end
    end).

%% @doc The members of a group and of the groups in it, from all hierarchies.
%%
%% A 0 stands for members that the process at the fork path can't see, since they are not
%% in its pid namespace.
%%
%% A group may have threaded groups in it (version 2, `cgroup.type'): their threads' processes are
%% members of the group that is their domain, and are listed. For a group that is threaded itself
%% this function, {@link freeze/3} and {@link kill/3} return `{error, {Path, enotsup}}'.
-spec procs(alcove:drv(), alcove:fork_path(), name()) ->
    {ok, [alcove:os_pid()]} | {error, reason()}.
procs(Drv, Pids, Name) ->
    alcove_cgroup_fs:run(procs, [Drv, Pids, Name], fun() ->
        Process = {Drv, Pids},
        {ok, alcove_cgroup_members:pids(Process, groups(Process, group(Name)))}
    end).

%%--------------------------------------------------------------------
%% Limits
%%--------------------------------------------------------------------

%% @doc Limits what the members of a group may use together, in either version.
%%
%% <dl>
%% <dt>`memory', in bytes</dt>
%% <dd>If the kernel can't free memory at the limit, it kills a member:
%%     `{termsig, sigkill}'.</dd>
%% <dt>`swap', in bytes</dt>
%% <dd>How much the kernel may swap out in addition. `{error, {Path, enoent}}' if the kernel
%%     doesn't count it. With unlimited swap a memory limit only limits what is in
%%     memory. Version 1 can't limit swap alone: `{error, {swap, einval}}'.</dd>
%% <dt>`pids'</dt>
%% <dd>How many processes and threads there may be. At the limit fork(2) fails with `eagain'.
%%     The limit is for what members create. {@link attach/4} succeeds all the same, and so does
%%     {@link alcove_proc} where it moves a program to the group: always in version 1, in version
%%     2 only where the kernel can't create the program there, see the option `cgroup'.</dd>
%% <dt>`cpus', `mems'</dt>
%% <dd>The CPUs and the memory nodes that members may use, as cpuset(7) lists them:
%%     `"0-3,5"'.</dd>
%% <dt>`cpu'</dt>
%% <dd>How much CPU time members may use: 0.5 is 50 ms in each 100 ms, 2 is all of two CPUs.
%%     The kernel refuses less than 0.01 with `einval'; 2^20 is the most.</dd>
%% </dl>
%%
%% `max' means no limit, for all but `cpus' and `mems'. The group must exist. Limits are set
%% one after the other, `mems', `cpus', `memory', `swap', `pids', `cpu', up to the first
%% error. The limits of groups above hold as well.
-spec limit(alcove:drv(), alcove:fork_path(), name(), limits()) -> ok | {error, reason()}.
limit(Drv, Pids, Name, Limits) ->
    alcove_cgroup_fs:run(limit, [Drv, Pids, Name, Limits], fun() ->
        Group = group(Name),
        set_limits({Drv, Pids}, Group, limits(Limits, 4))
    end).

limits(Limits, Position) ->
    case alcove_cgroup_limits:check(Limits) of
        {ok, Checked} -> Checked;
        error -> badarg(cgroup_limits, Position)
    end.

set_limits(Process, Group, Limits) ->
    Dirs = places_of(Process, Group),
    Places = [{Key, Value, place(Process, Key, Dirs)} || {Key, Value} <- Limits],
    enable_for(Process, Group, Places),
    lists:foreach(
        fun({Path, {File, Value}}) -> must_write(Process, Path, File, Value) end,
        limit_writes(Process, Places)
    ).

%% The directory where a limit is set. A limit that no controller here can set is an error before
%% any limit is set.
place(Process, Key, Dirs) ->
    Controller = alcove_cgroup_limits:controller(Key),
    case [Dir || {#{options := Options}, _} = Dir <- Dirs, lists:member(Controller, Options)] of
        [{_, Path} = Dir | _] ->
            alcove_file:is_dir(Process, Path) orelse fail({Path, enoent}),
            Dir;
        [] ->
            fail({Key, enodev})
    end.

enable_for(Process, Group, Places) when is_list(Group) ->
    Controllers = [
        alcove_cgroup_limits:controller(Key)
     || {Key, _, {#{version := 2}, _}} <- Places
    ],
    case [Hierarchy || {_, _, {#{version := 2} = Hierarchy, _}} <- Places] of
        [Hierarchy | _] -> enable_above(Process, Hierarchy, Group, lists:usort(Controllers));
        [] -> ok
    end;
%% A group of make/3 has had its controllers enabled when it was made.
enable_for(_Process, _Group, _Places) ->
    ok.

%% In version 1, memory and swap are set together.
limit_writes(Process, [{memory, Memory, {#{version := 1}, Path}}, {swap, Swap, _} | Rest]) ->
    memory_writes(Process, Path, Memory, Swap) ++ limit_writes(Process, Rest);
limit_writes(Process, [{memory, Memory, {#{version := 1}, Path}} | Rest]) ->
    memory_writes(Process, Path, Memory, keep) ++ limit_writes(Process, Rest);
limit_writes(Process, [{swap, Swap, {#{version := 1}, Path}} | Rest]) ->
    memory_writes(Process, Path, keep, Swap) ++ limit_writes(Process, Rest);
limit_writes(Process, [{Key, Value, {#{version := Version}, Path}} | Rest]) ->
    [{Path, Write} || Write <- alcove_cgroup_limits:writes(Version, Key, Value)] ++
        limit_writes(Process, Rest);
limit_writes(_Process, []) ->
    [].

memory_writes(Process, Path, Memory, Swap) ->
    [{Path, Write} || Write <- alcove_cgroup_v1:memory_writes(Process, Path, Memory, Swap)].

%% @doc Makes controllers of version 2 available to a group, by enabling them in
%% `cgroup.subtree_control' of every group above.
%%
%% They stay enabled there. `{error, {Path, ebusy}}', with the path of a
%% `cgroup.subtree_control': that group has members itself. The function refuses this for all
%% controllers, though the kernel would enable those that it calls threaded (cpu, cpuset, pids):
%% it would turn the group into one of threads, and no group in it could have members any more.
%% `{error, {Controller, enodev}}': the hierarchy doesn't have the controller, or there is no
%% hierarchy of version 2. In version 1 there is nothing to enable.
-spec enable(alcove:drv(), alcove:fork_path(), name(), [controller()]) -> ok | {error, reason()}.
enable(Drv, Pids, Name, Controllers) ->
    alcove_cgroup_fs:run(enable, [Drv, Pids, Name, Controllers], fun() ->
        Process = {Drv, Pids},
        Group = components(Name, 3),
        is_list(Controllers) andalso length(Controllers) >= 0 orelse badarg(cgroup_controllers, 4),
        Named = [controller(Controller, 4) || Controller <- Controllers],
        lists:member(<<>>, Named) andalso badarg(cgroup_controllers, 4),
        lists:member(<<"cgroup2">>, Named) andalso badarg(cgroup_controllers, 4),
        Hierarchies = hierarchies(Process),
        [
            fail({Controller, enodev})
         || Controller <- Named, alcove_cgroup_paths:with(Controller, Hierarchies) =:= []
        ],
        lists:foreach(
            fun(#{options := Options} = Hierarchy) ->
                Here = [Controller || Controller <- Named, lists:member(Controller, Options)],
                enable_above(Process, Hierarchy, Group, Here)
            end,
            alcove_cgroup_paths:with(<<"cgroup2">>, Hierarchies)
        )
    end).

enable_above(Process, #{version := 2, path := Root}, Group, Controllers) ->
    Above = [alcove_cgroup_text:join(Root, Names) || Names <- above(Group)],
    alcove_cgroup_v2:enable(Process, Above, Controllers).

above([]) -> [];
above(Group) -> [[] | lists:droplast(prefixes(Group))].

%%--------------------------------------------------------------------
%% Members
%%--------------------------------------------------------------------

%% @doc Stops all members of a group and of the groups in it.
%%
%% `ok' when they have stopped. `{error, {Path, etimedout}}' if that takes more than 5
%% seconds; they still stop when they can, unless {@link thaw/3} is called. An event
%% loop that is stopped answers no call until it goes on. The one at the fork path must not be a
%% member: `{error, {Path, edeadlk}}', with the path of `cgroup.procs', and nothing is stopped.
%%
%% The function uses the hierarchy of version 2 if the group has members there, and otherwise the
%% freezer of version 1. A member that the freezer of version 1 has stopped doesn't end when it is
%% killed, but when it goes on.
-spec freeze(alcove:drv(), alcove:fork_path(), name()) -> ok | {error, reason()}.
freeze(Drv, Pids, Name) ->
    alcove_cgroup_fs:run(freeze, [Drv, Pids, Name], fun() ->
        Process = {Drv, Pids},
        alcove_cgroup_members:freeze(Process, groups(Process, below_root(Name)))
    end).

%% @doc Lets the members of a group that {@link freeze/3} has stopped go on.
%%
%% They stay stopped while a group above is stopped.
-spec thaw(alcove:drv(), alcove:fork_path(), name()) -> ok | {error, reason()}.
thaw(Drv, Pids, Name) ->
    alcove_cgroup_fs:run(thaw, [Drv, Pids, Name], fun() ->
        Process = {Drv, Pids},
        alcove_cgroup_members:thaw(Process, groups(Process, below_root(Name)))
    end).

%% @doc Kills all members of a group and of the groups in it, including processes that a member is
%% just forking.
%%
%% `ok' when none is left. The function uses `cgroup.kill' if there is one (version 2, from Linux
%% 5.14). Otherwise it uses kill(2) in as many rounds as it takes, and before that stops the members
%% with the freezer of version 1 if that is mounted; it thaws the group afterwards. `{error,
%% etimedout}' if some members still live after 5 seconds: they wait for a device, a group above is
%% frozen, or the process at the fork path can't see them, see {@link procs/3}. If the process at
%% the fork path is a member itself, it goes last, and its end is the answer: the exception
%% `badpid'. Without `cgroup.kill', process 1 of a pid namespace can't kill itself, which is
%% `{error, eperm}'.
-spec kill(alcove:drv(), alcove:fork_path(), name()) -> ok | {error, reason()}.
kill(Drv, Pids, Name) ->
    alcove_cgroup_fs:run(kill, [Drv, Pids, Name], fun() ->
        Process = {Drv, Pids},
        alcove_cgroup_members:kill(Process, groups(Process, below_root(Name)))
    end).

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
%% <dd>`usage', `user' and `system' in microseconds; `periods', the number of periods of the limit
%%     so far; `throttled', in how many of them the members had to wait; and `throttled_time',
%%     how long they had to wait, in microseconds.</dd>
%% </dl>
%%
%% Figures that the kernel doesn't have are left out, such as those of controllers that are
%% not enabled. `limit' is `max' if there is no limit.
-spec stats(alcove:drv(), alcove:fork_path(), name()) -> {ok, stats()} | {error, reason()}.
stats(Drv, Pids, Name) ->
    alcove_cgroup_fs:run(stats, [Drv, Pids, Name], fun() ->
        Process = {Drv, Pids},
        {ok, alcove_cgroup_stats:read(Process, groups(Process, group(Name)))}
    end).

%% @private
%% @doc The figure `oom_kills' alone, for a fraction of the calls; 0 also where no controller counts
%% it.
-spec oom_kills(alcove:drv(), alcove:fork_path(), name()) ->
    {ok, non_neg_integer()} | {error, reason()}.
oom_kills(Drv, Pids, Name) ->
    alcove_cgroup_fs:run(oom_kills, [Drv, Pids, Name], fun() ->
        Process = {Drv, Pids},
        {ok, alcove_cgroup_stats:oom_kills(Process, groups(Process, <<"memory">>, group(Name)))}
    end).

%%--------------------------------------------------------------------
%% Single files
%%--------------------------------------------------------------------

%% @doc Reads a file of a group, as the kernel writes it: `{ok, <<"0-1\n">>}'.
%%
%% With `<<>>' for the controller, it reads from the first hierarchy that has the file.
-spec get(alcove:drv(), alcove:fork_path(), controller(), name(), file()) ->
    {ok, binary()} | {error, reason()}.
get(Drv, Pids, Controller, Name, Key) ->
    alcove_cgroup_fs:run(get, [Drv, Pids, Controller, Name, Key], fun() ->
        Process = {Drv, Pids},
        Places = places(Process, controller(Controller, 3), group(Name, 4), file(Key)),
        read_first(Process, Places)
    end).

read_first(Process, [{_, File} | Places]) ->
    case alcove_file:read(Process, File) of
        {error, enoent} when Places =/= [] -> read_first(Process, Places);
        Result -> Result
    end.

%% @doc Writes to a file of a group, and returns how many bytes were written.
%%
%% With `<<>>' for the controller, it writes the file in every hierarchy that has it, up to the
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
    alcove_cgroup_fs:run(set, [Drv, Pids, Controller, Name, Key, Value], fun() ->
        Process = {Drv, Pids},
        Named = controller(Controller, 3),
        Group = group(Name, 4),
        File = file(Key),
        is_iodata(Value) orelse badarg(iodata, 6),
        Places = places(Process, Named, Group, File),
        lists:foreach(
            fun(Path) -> alcove_cgroup_v2:check_member(Process, Path) end,
            [
                filename:dirname(Path)
             || {#{version := 2}, Path} <- Places, filename:basename(Path) =:= <<"cgroup.procs">>
            ]
        ),
        [
            enable_above(Process, Hierarchy, Group, [Named])
         || {#{version := 2} = Hierarchy, _} <- Places, Named =/= <<>>, Named =/= <<"cgroup2">>
        ],
        write_all(Process, Places, Value, {error, enoent})
    end).

write_all(Process, [{_, File} | Places], Value, Written) ->
    case alcove_file:write(Process, File, Value) of
        ok -> write_all(Process, Places, Value, {ok, iolist_size(Value)});
        {error, enoent} -> write_all(Process, Places, Value, Written);
        {error, _} = Error -> Error
    end;
write_all(_Process, [], _Value, Written) ->
    Written.

%% @doc Reads a file of lines `KEY VALUE' or `KEY SUBKEY=VALUE...', as `memory.events',
%% `memory.stat', `pids.events', `cpu.stat', `cpu.pressure' and `io.stat' are.
%%
%% Values are numbers if they look like numbers, `max', or binaries. `{error, einval}' for
%% other files.
%%
%% ```
%% {ok, #{<<"oom_kill">> := 0}} =
%%     alcove_cgroup:stat(Drv, [], <<"memory">>, <<"jobs">>, <<"memory.events">>)
%% '''
-spec stat(alcove:drv(), alcove:fork_path(), controller(), name(), file()) ->
    {ok, #{binary() => term()}} | {error, reason()}.
stat(Drv, Pids, Controller, Name, Key) ->
    alcove_cgroup_fs:run(stat, [Drv, Pids, Controller, Name, Key], fun() ->
        Process = {Drv, Pids},
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
    end).

%% The file in each hierarchy that has the controller and the group; at least one.
places(Process, Controller, Group, File) ->
    Hierarchies = hierarchies(Process),
    alcove_cgroup_paths:with(Controller, Hierarchies) =/= [] orelse fail(enodev),
    case groups(Process, Controller, Group) of
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

%% @doc The mounts that the process sees, each as a tuple of the fields of fstab(5).
-spec mounts(alcove:drv(), alcove:fork_path()) -> {ok, [mount()]} | {error, alcove:posix()}.
mounts(Drv, Pids) ->
    case alcove_cgroup_paths:mounts({Drv, Pids}) of
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

%% @doc The hierarchies that are mounted: the path of each, and its options, which include the
%% controllers. The options of the hierarchy of version 2 also include `cgroup2'.
-spec cgroup(alcove:drv(), alcove:fork_path()) ->
    [{binary(), [binary()]}] | {error, alcove:posix()}.
cgroup(Drv, Pids) ->
    case alcove_cgroup_paths:hierarchies({Drv, Pids}) of
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
    Paths = alcove_cgroup_fs:run(fold, [Drv, Pids, Controller, Name, Fun, Acc], fun() ->
        is_function(Fun, 2) orelse badarg(function, 5),
        Named = controller(Controller, 3),
        Group = group(Name, 4),
        [Path || {_, Path} <- groups({Drv, Pids}, Named, Group)]
    end),
    fold_all(Fun, Acc, Paths).

%% An exception of the function goes to the caller.
fold_all(_Fun, _Acc, {error, _} = Error) -> Error;
fold_all(Fun, Acc, Found) -> lists:foldl(Fun, Acc, Found).

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
    Names = alcove_cgroup_fs:run(
        fold_files,
        [Drv, Pids, Controller, Name, RegExp, Fun, Acc],
        fun() ->
            is_function(Fun, 2) orelse badarg(function, 6),
            Pattern = pattern(RegExp),
            Process = {Drv, Pids},
            Named = controller(Controller, 3),
            Group = group(Name, 4),
            [
                File
             || {_, Path} <- groups(Process, Named, Group),
                File <- names(Process, Path),
                re:run(File, Pattern, [{capture, none}]) =:= match
            ]
        end
    ),
    fold_all(Fun, Acc, Names).

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
    alcove_file:is_dir({Drv, Pids}, Path).

%% @doc Whether there is a file that the process may read, and that is no directory.
-spec is_file(alcove:drv(), alcove:fork_path(), alcove:path()) -> boolean().
is_file(Drv, Pids, Path) ->
    alcove_file:is_file({Drv, Pids}, Path).

%% @doc The path of a group in the hierarchy that is mounted at `Path'.
-spec join(Path :: iodata(), name()) -> binary().
join(Path, Name) ->
    alcove_cgroup_fs:run(join, [Path, Name], fun() ->
        is_iodata(Path) orelse badarg(iodata, 1),
        alcove_cgroup_text:join(iolist_to_binary(Path), components(Name, 2))
    end).

%% @doc The components of a name.
-spec relpath(name()) -> [binary()].
relpath(Name) ->
    alcove_cgroup_fs:run(relpath, [Name], fun() ->
        components(Name, 1)
    end).

%% @doc A group and the groups above it, the uppermost first: `[[<<"a">>], [<<"a">>, <<"b">>]]'
%% for `<<"a/b">>'.
-spec expand(name()) -> [[binary()]].
expand(Name) ->
    alcove_cgroup_fs:run(expand, [Name], fun() ->
        prefixes(components(Name, 1))
    end).

%%--------------------------------------------------------------------
%% What these have in common
%%--------------------------------------------------------------------

-spec badarg(atom(), pos_integer()) -> no_return().
badarg(What, Position) ->
    throw({?MODULE, {badarg, What, Position}}).

group(Name) ->
    group(Name, 3).

group(Name, Position) ->
    case alcove_cgroup_own:is_group(Name) of
        true -> Name;
        false -> components(Name, Position)
    end.

components(Name, Position) ->
    case alcove_cgroup_text:group(Name) of
        {ok, Group} -> Group;
        error -> badarg(cgroup_name, Position)
    end.

%% A group that is not the root: the root can't be created, stopped or removed.
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
    case alcove_cgroup_paths:hierarchies(Process) of
        {ok, Hierarchies} -> Hierarchies;
        {error, Reason} -> fail({<<"/proc/self/mountinfo">>, Reason})
    end.

%% The directory that a group has or would have, in each hierarchy.
places_of(Process, Group) when is_list(Group) ->
    [
        {Hierarchy, alcove_cgroup_text:join(Root, Group)}
     || #{path := Root} = Hierarchy <- hierarchies(Process)
    ];
places_of(_Process, Group) ->
    alcove_cgroup_own:dirs(Group).

existing(Process, Dirs) ->
    [Dir || {_, Path} = Dir <- Dirs, alcove_file:is_dir(Process, Path)].

%% The directories of a group that exists. One that was made for a program has all of its
%% directories, or none.
groups(Process, Group) ->
    case places_of(Process, Group) of
        [] ->
            fail(enodev);
        [Dir | _] = Dirs when not is_list(Group) ->
            existing(Process, [Dir]) =/= [] orelse fail(enoent),
            Dirs;
        Dirs ->
            case existing(Process, Dirs) of
                [] -> fail(enoent);
                Groups -> Groups
            end
    end.

%% The hierarchies that have a controller.
groups(Process, Controller, Group) ->
    existing(Process, [
        Dir
     || {Hierarchy, _} = Dir <- places_of(Process, Group),
        alcove_cgroup_paths:with(Controller, [Hierarchy]) =/= []
    ]).

first_error(Results) ->
    case [Error || {error, _} = Error <- Results] of
        [Error | _] -> Error;
        [] -> ok
    end.
