%% @private
%% @doc Turns options into the request to a keeper.
%%
%% A keeper, a process of alcove's own, runs the program and takes care of its end, see
%% docs/architecture.md. One request tells it everything. What a request can't express is done by
%% calls in the process that will exec the program.
-module(alcove_proc_setup).

-export([
    request/3, failed/4, cgroup/2, ungroup/1, stats/1, kills/2, is_own/1, signal/1, is_piped/1
]).

-export_type([reason/0, group/0]).

-type reason() :: {atom(), term()}.
%% In milliseconds of monotonic time.
%% A control group: the process that sees its files, its name, whether it was made for the program
%% alone, in which case a process of its own removes it, the files by which a process enters it, and
%% the one by which it is killed. One with a name had members before, of which the kernel had killed
%% so many for want of memory.
-type group() :: {
    alcove:drv(),
    alcove:fork_path(),
    alcove_cgroup:name(),
    {own, pid()} | {named, Kills :: non_neg_integer()},
    {Attach :: [iodata()], Kill :: [iodata()]}
}.

%% How long the end of a program waits for its control group, in milliseconds.
-define(PATIENCE, 5000).

%% What is written to /proc/PID/setgroups.
-define(NOGROUPS, <<"deny">>).

%% The streams of a program, as alcove_nif:keep/4 takes them.
-define(NULL, 0).
-define(PIPE, 1).
-define(STDOUT, 2).
-define(TERMINAL, 3).

%% The value with which chown(2) leaves an id as it is.
-define(NO_CHANGE, 16#ffffffff).

%% The highest capability that there is, cap_checkpoint_restore.
-define(LAST_CAP, 40).

%% @doc The request to the keeper, and the calls that are made before the exec.
-spec request(alcove_proc_options:parsed(), group() | undefined, alcove_deadline:deadline()) ->
    {ok, alcove_nif:keep(), alcove:calls()} | {error, reason()}.
request(#{drv := Drv, in := In} = Given, Group, Deadline) ->
    #{user := User, group := Gid, groups := Groups, names := Names} = Given,
    try
        Asked = Given#{deadline => Deadline},
        Options = Asked#{users => users(Asked)},
        %% What can't be done is an error, and isn't left out.
        (denied(Options) andalso is_list(Groups)) andalso fail({setgroups, eperm}),
        Named = got(alcove_proc_names:ids({Names, Drv, In, Deadline}, In, {User, Gid, Groups})),
        Ids = entered(Options, Named),
        Calls = calls(Options, Ids),
        {ok, keep(Options#{timeout := alcove_deadline:left(Deadline)}, Ids, Group, Calls), Calls}
    catch
        throw:{setup, Reason} -> {error, Reason};
        exit:timeout -> {error, {start, timeout}};
        error:badpid -> {error, absent(Drv)}
    end.

%% A call to the process that is to start the program, which may be stopped.
ask(#{drv := Drv, in := In, deadline := Deadline}, Call, Args) ->
    alcove:call(Drv, In, Call, Args, alcove_deadline:left(Deadline)).

%% The error: there is no such Drv, or no such process in its event loop.
absent(Drv) ->
    try alcove_drv:info(Drv) of
        _ -> {in, badpid}
    catch
        error:badpid -> {drv, noproc}
    end.

got(keep) -> keep;
got({ok, Value}) -> Value;
got({error, Reason}) -> fail(Reason).

-spec fail(reason()) -> no_return().
fail(Reason) ->
    throw({setup, Reason}).

must(_What, ok) -> ok;
must(What, {error, Reason}) -> fail({What, Reason}).

%%--------------------------------------------------------------------
%% What the keeper does itself
%%--------------------------------------------------------------------

keep(Options, Ids, Group, Calls) ->
    #{
        argv := [Program | Arguments],
        arg0 := Arg0,
        timeout := Timeout,
        grace := Grace,
        stop_signal := Signal,
        leftovers := Leftovers,
        pty := Pty,
        window := Window
    } = Options,
    Name =
        case Arg0 of
            undefined -> Program;
            _ -> Arg0
        end,
    {Clear, Env} = alcove_environ:program(Options, login(Ids)),
    {Setgroups, Uids, Gids} = maps(Options),
    {GroupFiles, KillFile} = group_files(Group),
    {
        flags(Options),
        streams(Options),
        terminal(Pty),
        owner(Options, Ids),
        Timeout,
        Grace,
        signal(Signal),
        %% If processes that are left keep the terminal, its end would never come.
        Leftovers =:= leave andalso Pty =:= false,
        Setgroups,
        Uids,
        Gids,
        GroupFiles,
        KillFile,
        Clear,
        [variable(Variable) || Variable <- Env],
        directory(Options, Calls),
        [Program],
        [Name | Arguments],
        Window
    }.

variable({Name, false}) -> Name;
variable({Name, Value}) -> <<Name/binary, "=", Value/binary>>.

login(#{login := Login}) -> Login;
login(keep) -> undefined.

flags(#{namespaces := []}) ->
    0;
flags(#{namespaces := Names}) ->
    case alcove_call:define(clone, Names) of
        Flags when is_integer(Flags) -> Flags;
        _ -> fail({namespaces, unsupported})
    end.

%% @doc The number of a signal.
-spec signal(atom() | integer()) -> integer().
signal(Signal) when is_integer(Signal) ->
    Signal;
signal(Signal) ->
    Number = alcove_nif:define(signal, Signal),
    true = is_integer(Number),
    Number.

terminal(false) -> {0, 0, true, false};
terminal(#{rows := Rows, cols := Columns, echo := Echo, raw := Raw}) -> {Rows, Columns, Echo, Raw}.

%% Calls open files, in the place of /dev/null.
streams(#{pty := #{}}) ->
    {?TERMINAL, ?TERMINAL, ?TERMINAL};
streams(#{stdin := Stdin, stdout := Stdout, stderr := Stderr}) ->
    {input(Stdin), output(Stdout), output(Stderr)}.

input(stream) -> ?PIPE;
input({given, End}) -> End;
input({data, <<>>}) -> ?NULL;
input({data, _}) -> ?PIPE;
input(_) -> ?NULL.

output(stdout) -> ?STDOUT;
%% Once that is there.
output(stderr) -> ?NULL;
output(discard) -> ?NULL;
output({given, End}) -> End;
output({file, _, _, _}) -> ?NULL;
output(_) -> ?PIPE.

%% @doc Whether the sink of a stream needs a pipe to this process.
-spec is_piped(alcove_proc_options:sink() | stdout | stderr) -> boolean().
is_piped(Sink) -> output(Sink) =:= ?PIPE.

%% The streams belong to the program's user, so that it may open /dev/stdout. In a user namespace of
%% its own that user has another number.
owner(#{users := none}, #{uid := Uid, gid := Gid}) when is_integer(Uid) ->
    {Uid, Gid};
owner(#{users := #{uids := Uids, gids := Gids}}, #{uid := Uid, gid := Gid}) when is_integer(Uid) ->
    case {outside(Uid, Uids), outside(Gid, Gids)} of
        {none, _} -> undefined;
        {Owner, none} -> {Owner, ?NO_CHANGE};
        Owners -> Owners
    end;
owner(_Options, _Ids) ->
    undefined.

%% If nothing else has to be done before, the keeper changes the directory.
directory(#{directory := Directory, cwd := undefined}, _Calls) -> known(Directory);
directory(#{directory := undefined, cwd := Cwd}, []) -> known(Cwd);
directory(#{directory := Directory, cwd := Cwd}, []) -> [alcove_environ:absolute(Cwd, Directory)];
directory(#{directory := Directory}, _Calls) -> known(Directory).

known(undefined) -> [];
known(Directory) -> [Directory].

%%--------------------------------------------------------------------
%% Calls
%%--------------------------------------------------------------------

%% The calls in the process that will exec the program. Calls that need root's rights or files of
%% the host come before those are given up. The filter of system calls comes last.
calls(Options, Ids) ->
    Calls = lists:append([
        before_setup(Options),
        maps:get(setup, Options),
        given(hostname, Options, fun(Name) -> [{sethostname, [Name]}] end),
        given(chroot, Options, fun(Root) -> root(Root, Options) end),
        given(nice, Options, fun(Nice) -> [{setpriority, [prio_process, 0, Nice]}] end),
        given(cpus, Options, fun(Cpus) -> [{sched_setaffinity, [0, Cpus]}] end),
        [{setrlimit, [Resource, Limit]} || {Resource, Limit} <- maps:get(rlimits, Options)],
        identity(Options, Ids)
    ]),
    Last = lists:append([
        [
            {prctl, [pr_set_no_new_privs, 1, 0, 0, 0]}
         || maps:get(no_new_privs, Options)
        ],
        given(seccomp, Options, fun(Program) -> alcove_seccomp:calls(Program) end)
    ]),
    case {Calls, Last} of
        {[], []} -> [];
        _ -> Calls ++ given(cwd, Options, fun(Dir) -> [{chdir, [Dir]}] end) ++ Last
    end.

before_setup(#{namespaces := Namespaces} = Options) ->
    Private = [
        {mount, ["none", "/", "", [ms_rec, ms_slave], ""]}
     || lists:member(clone_newns, Namespaces)
    ],
    files(Options) ++ Private.

%% @doc The error of the call that failed, which is the Index-th of those that were made: one of
%% `setup' is named by its place there.
-spec failed(pos_integer(), atom(), term(), alcove_proc_options:parsed()) -> reason().
failed(Index, Call, Reason, #{setup := Setup} = Options) ->
    case Index - length(before_setup(Options)) of
        N when N > 0, N =< length(Setup) -> {setup, {N, Call, Reason}};
        _ -> {Call, Reason}
    end.

%% With mounts of its own, the process enters the new root for good. It binds the new root over the
%% old one, where "/.." leads to it (a path is looked up once, and whatever is bound is a mount).
%% Then pivot_root(2) stacks the old root upon the new one, and the process unmounts it. With
%% chroot(2) alone, a program that is root finds a way back.
root(Root, #{namespaces := Namespaces}) ->
    case lists:member(clone_newns, Namespaces) of
        true ->
            [
                {mount, [Root, "/", "", [ms_bind, ms_rec], ""]},
                {chdir, ["/.."]},
                {pivot_root, [".", "."]},
                {umount2, [".", [mnt_detach]]},
                {chdir, ["/"]}
            ];
        false ->
            [{chroot, [Root]}, {chdir, ["/"]}]
    end.

given(Name, Options, Calls) ->
    case Options of
        #{Name := undefined} -> [];
        #{Name := Value} -> Calls(Value)
    end.

%% open(2) returns the lowest free number, which is the one that was just closed: 0 to 2 are all in
%% use.
files(#{pty := #{}}) ->
    [];
files(#{stdin := Stdin, stdout := Stdout, stderr := Stderr}) ->
    Again = [{dup2, [1, 2]} || Stderr =:= stdout, is_tuple(Stdout), element(1, Stdout) =:= file],
    First = [{dup2, [2, 1]} || Stdout =:= stderr],
    read(Stdin) ++ write(1, Stdout) ++ write(2, Stderr) ++ Again ++ First.

read({file, Path}) -> [{close, [0]}, {open, [Path, [o_rdonly], 0]}];
read(_) -> [].

write(Fd, {file, Path, How, Mode}) ->
    [{close, [Fd]}, {open, [Path, [o_wronly, o_creat | How], Mode]}];
write(_Fd, _) ->
    [].

%% The calls that set the program's user and privileges.
identity(Options, Ids) ->
    case privileges(Options) of
        all ->
            ids(Options, Ids);
        as_user ->
            ids(Options, Ids) ++ unprivileged(Ids);
        Keep ->
            case is_privileged(Options) of
                true ->
                    privileged(Keep, ids(Options, Ids));
                %% A process without privileges can't pass capabilities on, but can still give
                %% them up.
                false ->
                    Keep =:= [] orelse fail({capabilities, eperm}),
                    [{prctl, [pr_set_no_new_privs, 1, 0, 0, 0]} | ids(Options, Ids)] ++ nothing()
            end
    end.

%% Root in a container isn't root of the machine, and so has no capabilities by default.
privileges(#{capabilities := undefined, chroot := Root, namespaces := [_ | _]}) when
    Root =/= undefined
->
    [];
privileges(#{capabilities := undefined}) ->
    as_user;
privileges(#{capabilities := Keep}) ->
    Keep.

%% A program that runs as another user gets no privileges. The kernel itself only clears them when
%% root becomes another user, and keeps those that an exec inherits.
unprivileged(#{uid := Uid}) when is_integer(Uid), Uid > 0 -> nothing();
unprivileged(_Ids) -> [].

nothing() ->
    [{capset, [0, 0, 0]}].

privileged(Keep, Ids) ->
    Kept = lists:foldl(fun(Name, Set) -> Set bor bit(Name) end, 0, Keep),
    %% All capabilities there are: a new user namespace gives a full set, whatever the parent has.
    All = (1 bsl (?LAST_CAP + 1)) - 1,
    [
        {cap_drop_bound, [All band bnot Kept]},
        {prctl, [pr_set_keepcaps, 1, 0, 0, 0]}
    ] ++
        Ids ++
        [
            {capset, [Kept, Kept, Kept]},
            {cap_set_ambient, [Kept]}
        ].

bit(Name) ->
    case alcove_nif:define(all, Name) of
        Number when is_integer(Number) -> 1 bsl Number;
        unknown -> fail({capabilities, {unknown, Name}})
    end.

%% In a user namespace of its own a process has every capability.
is_privileged(Options) ->
    has_users(Options) orelse may(cap_setpcap, Options).

may(Capability, Options) ->
    {ok, #{effective := Effective}} = ask(Options, capget, [0]),
    Effective band bit(Capability) =/= 0.

ids(_Options, keep) ->
    [];
ids(Options, #{uid := Uid, gid := Gid, groups := Groups}) ->
    [{setgroups, [Groups]} || not denied(Options), not has_groups(Gid, Groups, Options)] ++
        [{setresgid, [Gid, Gid, Gid]} || Gid =/= keep] ++
        [{setresuid, [Uid, Uid, Uid]} || Uid =/= keep].

%% If the groups are set already, no rights are needed. It doesn't matter whether the list has the
%% process's own group.
has_groups(Gid, Groups, Options) ->
    not has_users(Options) andalso not may(cap_setgid, Options) andalso
        begin
            {ok, Now} = ask(Options, getgroups, []),
            lists:usort(Now) -- [Gid] =:= lists:usort(Groups) -- [Gid]
        end.

%%--------------------------------------------------------------------
%% A user namespace
%%--------------------------------------------------------------------

has_users(#{namespaces := Namespaces}) ->
    lists:member(clone_newuser, Namespaces).

%% The maps of a new user namespace, and the ids with which its first process starts, as seen from
%% outside.
users(#{uid_map := Uids, gid_map := Gids} = Options) ->
    case has_users(Options) of
        true ->
            {Uid, Gid} = {ask(Options, geteuid, []), ask(Options, getegid, [])},
            #{
                uid => Uid,
                gid => Gid,
                uids => ranges(Uids, Uid),
                gids => ranges(Gids, Gid),
                helped => {is_helped(Uids), is_helped(Gids)},
                %% A process that maps only itself, as any process may, can't set groups, see
                %% user_namespaces(7). newgidmap(1) itself decides whether it allows that.
                denied =>
                    not is_helped(Gids) andalso
                        (Gids =:= undefined orelse not may(cap_setgid, Options))
            };
        false ->
            none
    end.

ranges(undefined, Own) -> [{0, Own, 1}];
ranges({_Helper, Ranges}, _Own) -> Ranges;
ranges(Ranges, _Own) -> Ranges.

is_helped({_Helper, _Ranges}) -> true;
is_helped(_) -> false.

denied(#{users := #{denied := Denied}}) -> Denied;
denied(#{users := none}) -> false.

%% The program's ids if the options give none: those of the process that starts it, if the map has
%% them, otherwise the first of the map. With an unmapped id the program would be "nobody" inside,
%% and on the host the user of the process that starts it.
entered(#{users := none}, Ids) ->
    Ids;
entered(#{users := #{uid := Uid, uids := Uids, gid := Gid, gids := Gids}}, keep) ->
    case {first(Uid, Uids), first(Gid, Gids)} of
        {keep, keep} -> keep;
        {First, Group} -> #{uid => First, gid => Group, groups => [], login => undefined}
    end;
entered(#{users := #{uid := Uid, uids := Uids}}, #{uid := keep} = Ids) ->
    Ids#{uid := first(Uid, Uids)};
entered(_Options, Ids) ->
    Ids.

first(Own, [{First, _, _} | _] = Ranges) ->
    case lists:any(fun({_, From, Count}) -> within(Own, From, Count) end, Ranges) of
        true ->
            keep;
        false ->
            case outside(0, Ranges) of
                none -> First;
                _ -> 0
            end
    end.

%% What an id of the namespace is outside of it.
outside(Inside, Ranges) ->
    case [To + Inside - From || {From, To, Count} <- Ranges, within(Inside, From, Count)] of
        [Outside | _] -> Outside;
        [] -> none
    end.

within(Id, From, Count) ->
    is_integer(Id) andalso Id >= From andalso Id < From + Count.

maps(#{users := #{denied := Denied, uids := Uids, gids := Gids, helped := Helped}}) ->
    {UidsHelped, GidsHelped} = Helped,
    Setgroups =
        case Denied of
            true -> ?NOGROUPS;
            false -> <<>>
        end,
    {Setgroups, {map(Uids), UidsHelped}, {map(Gids), GidsHelped}};
maps(#{users := none}) ->
    {<<>>, {<<>>, false}, {<<>>, false}}.

map(Ranges) ->
    iolist_to_binary([
        io_lib:format("~b ~b ~b~n", [Inside, Outside, Count])
     || {Inside, Outside, Count} <- Ranges
    ]).

%%--------------------------------------------------------------------
%% A control group
%%--------------------------------------------------------------------

%% @doc Makes the control group that a program is to be in.
%%
%% This takes calls to the process that is to start the program, and that may be stopped. So another
%% process makes them. It also removes a group that was made for the program alone, once: when the
%% process of the program tells it to, or when that has ended and the program with it.
-spec cgroup(alcove_proc_options:parsed(), alcove_deadline:deadline()) ->
    {ok, group() | undefined} | {error, reason()}.
cgroup(#{cgroup := undefined}, _Deadline) ->
    {ok, undefined};
cgroup(#{drv := Drv, in := In, cgroup := {Given, Limits}}, Deadline) ->
    Owner = self(),
    {Maker, Ref} = spawn_monitor(fun() -> maker(Owner, Drv, In, Given, Limits) end),
    receive
        {Maker, Made} ->
            demonitor(Ref, [flush]),
            Made;
        {'DOWN', Ref, process, Maker, Reason} ->
            exit(Reason)
    after alcove_deadline:left(Deadline) ->
        demonitor(Ref, [flush]),
        Maker ! {remove, Owner},
        {error, {start, timeout}}
    end.

maker(Owner, Drv, In, Given, Limits) ->
    Ref = monitor(process, Owner),
    Made =
        try
            group(Drv, In, Given, Limits)
        catch
            throw:{setup, Reason} -> {error, Reason};
            error:badpid -> {error, absent(Drv)}
        end,
    Owner ! {self(), Made},
    case Made of
        {ok, {_, _, Name, {own, _}, _}} ->
            receive
                {remove, Owner} -> ok;
                {'DOWN', Ref, process, Owner, _} -> ok
            end,
            removed(Drv, In, Name);
        _ ->
            ok
    end.

removed(Drv, In, Name) ->
    try
        _ = alcove_cgroup:remove(Drv, In, Name),
        ok
    catch
        error:badpid -> ok
    end.

group(Drv, In, undefined, Limits) ->
    case alcove_cgroup:make(Drv, In, Limits) of
        {ok, Name} ->
            try
                {ok, {Drv, In, Name, {own, self()}, files(Drv, In, Name, own)}}
            catch
                throw:{setup, _} = Thrown ->
                    ok = removed(Drv, In, Name),
                    throw(Thrown)
            end;
        {error, Reason} ->
            fail({cgroup, Reason})
    end;
group(Drv, In, Name, Limits) ->
    must(cgroup, alcove_cgroup:create(Drv, In, Name)),
    must(cgroup, alcove_cgroup:limit(Drv, In, Name, Limits)),
    Files = files(Drv, In, Name, named),
    %% A lower limit may have cost members their lives, too.
    case alcove_cgroup:oom_kills(Drv, In, Name) of
        {ok, Kills} -> {ok, {Drv, In, Name, {named, Kills}, Files}};
        {error, Reason} -> fail({cgroup, Reason})
    end.

files(Drv, In, Name, Whose) ->
    case alcove_cgroup:attach_files(Drv, In, Name) of
        {ok, Files} -> {Files, kill_file(Drv, In, Name, Whose)};
        {error, Reason} -> fail({cgroup, Reason})
    end.

%% A group with a name isn't killed as a whole, since it may have other members.
kill_file(_Drv, _In, _Name, named) ->
    [];
kill_file(Drv, In, Name, own) ->
    case alcove_cgroup:kill_file(Drv, In, Name) of
        {ok, File} -> [File];
        {error, _} -> []
    end.

group_files(undefined) -> {[], []};
group_files({_Drv, _In, _Name, _Whose, Files}) -> Files.

%% @doc Removes the control group that was made for a program, with what is left in it. While the
%% process that does so is stopped, nobody waits for it for long.
-spec ungroup(group() | undefined) -> ok.
ungroup({_Drv, _In, _Name, {own, Maker}, _Files}) ->
    Ref = monitor(process, Maker),
    Maker ! {remove, self()},
    receive
        {'DOWN', Ref, process, Maker, _} -> ok
    after ?PATIENCE ->
        demonitor(Ref, [flush]),
        ok
    end;
ungroup(_Group) ->
    ok.

%% @doc What a control group has used; `undefined' also if the process that reads that is stopped.
-spec stats(group() | undefined) -> alcove_cgroup:stats() | undefined.
stats(undefined) ->
    undefined;
stats({Drv, In, Name, _Whose, _Files}) ->
    {Pid, Ref} = spawn_monitor(fun() ->
        try
            exit({stats, alcove_cgroup:stats(Drv, In, Name)})
        catch
            error:badpid -> ok
        end
    end),
    receive
        {'DOWN', Ref, process, Pid, {stats, {ok, Figures}}} -> Figures;
        {'DOWN', Ref, process, Pid, _} -> undefined
    after ?PATIENCE ->
        demonitor(Ref, [flush]),
        exit(Pid, kill),
        undefined
    end.

%% @doc How many processes of a control group the kernel has killed for want of memory, from when
%% the group was prepared for a program.
-spec kills(group() | undefined, alcove_cgroup:stats() | undefined) -> non_neg_integer().
kills({_Drv, _In, _Name, {named, Before}, _Files}, Stats) -> max(0, counted(Stats) - Before);
kills(_Group, Stats) -> counted(Stats).

counted(#{memory := #{oom_kills := Kills}}) -> Kills;
counted(_Stats) -> 0.

%% @doc Whether a control group was made for a program, so that all its figures are those of the
%% program.
-spec is_own(group() | undefined) -> boolean().
is_own({_Drv, _In, _Name, {own, _}, _Files}) -> true;
is_own(_Group) -> false.
