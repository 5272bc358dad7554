%% @private
%% @doc From options to a program that runs.
%%
%% A program has a parent of its own in the tree: a process that waits in its event loop,
%% tells of its children's ends whatever the Drv's other users have set, belongs to the one
%% that runs the program, and inherits all that the program leaves behind, as it is a
%% subreaper. So output has its owner before there is any, and the end of everything that
%% the program started can be waited for.
%%
%% The program itself takes one round trip: fork, all calls, exec. Where something has to be
%% done to the process from outside in between (maps of a user namespace, a control group),
%% it takes two.
-module(alcove_proc_setup).

-export([parent/1, program/3, ungroup/2, terminal_size/3]).

-export_type([program/0, terminal/0, reason/0]).

-type terminal() :: #{
    master := alcove:fd(), reader := alcove:fork_path(), writer := alcove:fork_path()
}.
-type program() :: #{
    path := alcove:fork_path(),
    terminal := terminal() | undefined,
    cgroup := alcove_cgroup:name() | undefined
}.
-type reason() :: {atom(), term()}.

%% What /proc/PID/setgroups is to say.
-define(NOGROUPS, <<"deny">>).

%% @doc Forks the parent of a program.
-spec parent(alcove_proc_options:parsed()) -> {ok, alcove:os_pid()} | {error, reason()}.
parent(#{drv := Drv, in := In, window := Window}) ->
    Calls = [
        {setopt, [exit_status, 1]},
        {setopt, [termsig, 1]},
        {setopt, [rusage, 1]},
        {setopt, [flowcontrol, Window]},
        {prctl, [pr_set_child_subreaper, 1, 0, 0, 0]}
    ],
    case request(Drv, In, {spawn, fork, Calls}, infinity) of
        {error, {parent, gone}} -> {error, absent(Drv)};
        Result -> Result
    end.

%% Whether there is no such Drv, or no such process in its event loop.
absent(Drv) ->
    try alcove_drv:info(Drv) of
        _ -> {in, badpid}
    catch
        error:badpid -> {drv, noproc}
    end.

%% @doc Starts the program below its parent. After an error, what there is of it is below the
%% parent as well.
-spec program(alcove_proc_options:parsed(), alcove:fork_path(), Deadline :: integer() | infinity) ->
    {ok, program()} | {error, reason()}.
program(#{drv := Drv, in := In} = Options, Parent, Deadline) ->
    #{user := User, group := Group, groups := Groups} = Options,
    try
        %% What can't be done isn't left out.
        (denied(Options) andalso is_list(Groups)) andalso fail({setgroups, eperm}),
        Ids = got(alcove_proc_names:ids({Drv, In}, {User, Group, Groups})),
        Cgroup = cgroup(Options, Parent),
        Terminal = terminal(Options, Parent, Ids),
        Calls = calls(Options, Ids, Terminal, privileged(Options, Parent)),
        Pid = started(Options, Parent, Calls, Cgroup, Deadline),
        {ok, #{
            path => Parent ++ [Pid],
            terminal => attended(Drv, Parent, Terminal, Deadline),
            cgroup => Cgroup
        }}
    catch
        throw:{setup, Reason} -> {error, Reason};
        error:badpid -> {error, {parent, gone}}
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
%% The program
%%--------------------------------------------------------------------

started(#{drv := Drv, namespaces := Namespaces} = Options, Parent, Calls, Cgroup, Deadline) ->
    How =
        case Namespaces of
            [] -> fork;
            _ -> {clone, Namespaces}
        end,
    case Cgroup =:= undefined andalso not lists:member(clone_newuser, Namespaces) of
        true ->
            got(request(Drv, Parent, {spawn, How, Calls}, Deadline));
        false ->
            Pid = got(request(Drv, Parent, {spawn, How, []}, Deadline)),
            map_ids(Options, Parent, Pid),
            Cgroup =:= undefined orelse
                must(cgroup, alcove_cgroup:attach(Drv, Parent, Cgroup, Pid)),
            _ = got(request(Drv, Parent ++ [Pid], {batch, Calls}, Deadline)),
            Pid
    end.

%% The calls in the process that is to be the program. What needs root's rights or files of
%% the host comes before they are given up; the filter of system calls comes last.
calls(Options, Ids, Terminal, Privileged) ->
    lists:append([
        [{setsid, []}],
        streams(Options, Terminal),
        env(Options),
        [
            {mount, ["none", "/", "", [ms_rec, ms_slave], ""]}
         || lists:member(clone_newns, maps:get(namespaces, Options))
        ],
        maps:get(setup, Options),
        given(hostname, Options, fun(Name) -> [{sethostname, [Name]}] end),
        given(chroot, Options, fun(Root) -> [{chroot, [Root]}, {chdir, ["/"]}] end),
        given(nice, Options, fun(Nice) -> [{setpriority, [prio_process, 0, Nice]}] end),
        given(cpus, Options, fun(Cpus) -> [{sched_setaffinity, [0, Cpus]}] end),
        [{setrlimit, [Resource, Limit]} || {Resource, Limit} <- maps:get(rlimits, Options)],
        identity(Options, Ids, Privileged),
        given(cwd, Options, fun(Dir) -> [{chdir, [Dir]}] end),
        [
            {prctl, [pr_set_no_new_privs, 1, 0, 0, 0]}
         || maps:get(no_new_privs, Options)
        ],
        given(seccomp, Options, fun(Program) -> alcove_seccomp:calls(Program) end),
        [exec(Options)]
    ]).

given(Name, Options, Calls) ->
    case Options of
        #{Name := undefined} -> [];
        #{Name := Value} -> Calls(Value)
    end.

exec(#{argv := [Program | Arguments], arg0 := Arg0}) ->
    Name =
        case Arg0 of
            undefined -> Program;
            _ -> Arg0
        end,
    {execvp, [Program, [Name | Arguments]]}.

env(#{env := Env, clearenv := Clear}) ->
    [{clearenv, []} || Clear] ++
        [
            case Value of
                false -> {unsetenv, [Name]};
                _ -> {setenv, [Name, Value, 1]}
            end
         || {Name, Value} <- Env
        ].

%% The lowest number that is free is the one that was just closed: 0 to 2 are all in use.
streams(_Options, #{master := Master, slave := Slave}) ->
    [
        {ioctl, [Slave, tiocsctty, 0]},
        {dup2, [Slave, 0]},
        {dup2, [Slave, 1]},
        {dup2, [Slave, 2]},
        {close, [Slave]},
        {close, [Master]}
    ];
streams(#{stdin := Stdin, stdout := Stdout, stderr := Stderr}, undefined) ->
    input(Stdin) ++ output(1, Stdout) ++ output(2, Stderr).

input({file, Path}) -> [{close, [0]}, {open, [Path, [o_rdonly], 0]}];
input(_) -> [].

output(Fd, {file, Path, How, Mode}) ->
    [{close, [Fd]}, {open, [Path, [o_wronly, o_creat, How], Mode]}];
output(Fd, discard) ->
    [{close, [Fd]}, {open, [<<"/dev/null">>, [o_wronly], 0]}];
output(Fd, stdout) ->
    [{dup2, [1, Fd]}];
output(_Fd, _) ->
    [].

%% Who the program is, and what it may do.
identity(#{capabilities := undefined} = Options, Ids, _Privileged) ->
    ids(Options, Ids);
%% Nothing can be taken from a process that has nothing; but it can be kept from getting it.
identity(#{capabilities := Keep} = Options, Ids, false) ->
    Keep =:= [] orelse fail({capabilities, eperm}),
    [{prctl, [pr_set_no_new_privs, 1, 0, 0, 0]} | ids(Options, Ids)];
identity(#{capabilities := Keep} = Options, Ids, {true, Bound}) ->
    Kept = lists:foldl(fun(Name, Set) -> Set bor bit(Name) end, 0, Keep),
    [
        {cap_drop_bound, [Bound band bnot Kept]},
        {prctl, [pr_set_keepcaps, 1, 0, 0, 0]}
    ] ++
        ids(Options, Ids) ++
        [
            {capset, [Kept, Kept, Kept]},
            {cap_set_ambient, [Kept]}
        ].

bit(Name) ->
    case alcove_nif:define(all, Name) of
        Number when is_integer(Number) -> 1 bsl Number;
        unknown -> fail({capabilities, {unknown, Name}})
    end.

privileged(#{capabilities := undefined}, _Parent) ->
    false;
privileged(#{drv := Drv, namespaces := Namespaces}, Parent) ->
    {ok, Bound} = alcove:cap_get_bound(Drv, Parent),
    {ok, #{effective := Effective}} = alcove:capget(Drv, Parent, 0),
    %% In a user namespace of its own the process has every capability.
    case
        lists:member(clone_newuser, Namespaces) orelse Effective band bit(cap_setpcap) =/= 0
    of
        true -> {true, Bound};
        false -> false
    end.

ids(_Options, keep) ->
    [];
ids(Options, #{uid := Uid, gid := Gid, groups := Groups}) ->
    [{setgroups, [Groups]} || not denied(Options)] ++
        [{setresgid, [Gid, Gid, Gid]}] ++
        [{setresuid, [Uid, Uid, Uid]} || Uid =/= keep].

%%--------------------------------------------------------------------
%% A user namespace
%%--------------------------------------------------------------------

%% Who maps only itself, as anybody may, can't set groups.
denied(#{namespaces := Namespaces, gid_map := undefined}) ->
    lists:member(clone_newuser, Namespaces);
denied(_Options) ->
    false.

map_ids(#{drv := Drv, namespaces := Namespaces} = Options, Parent, Pid) ->
    case lists:member(clone_newuser, Namespaces) of
        true ->
            Process = {Drv, Parent},
            File = fun(Name) -> ["/proc/", integer_to_list(Pid), "/", Name] end,
            denied(Options) andalso
                must(setgroups, alcove_proc_file:write(Process, File("setgroups"), ?NOGROUPS)),
            Uids = map(maps:get(uid_map, Options), fun() -> alcove:geteuid(Drv, Parent) end),
            Gids = map(maps:get(gid_map, Options), fun() -> alcove:getegid(Drv, Parent) end),
            must(uid_map, alcove_proc_file:write(Process, File("uid_map"), Uids)),
            must(gid_map, alcove_proc_file:write(Process, File("gid_map"), Gids));
        false ->
            ok
    end.

map(undefined, Own) ->
    map([{0, Own(), 1}], Own);
map(Ranges, _Own) ->
    [
        io_lib:format("~b ~b ~b~n", [Inside, Outside, Count])
     || {Inside, Outside, Count} <- Ranges
    ].

%%--------------------------------------------------------------------
%% A control group
%%--------------------------------------------------------------------

cgroup(#{cgroup := undefined}, _Parent) ->
    undefined;
cgroup(#{drv := Drv, cgroup := {Given, Limits}}, Parent) ->
    Name =
        case Given of
            undefined -> own_group(Parent);
            _ -> Given
        end,
    must(cgroup, alcove_cgroup:create(Drv, Parent, Name)),
    must(cgroup, alcove_cgroup:limit(Drv, Parent, Name, Limits)),
    Name.

own_group(Parent) ->
    iolist_to_binary(["alcove-run-", integer_to_list(lists:last(Parent))]).

%% @doc Removes the control group that was made for a program, with what is left in it.
-spec ungroup(alcove_proc_options:parsed(), alcove:fork_path()) -> ok.
ungroup(#{drv := Drv, cgroup := {undefined, _}}, Parent) ->
    _ = alcove_cgroup:kill(Drv, Parent, own_group(Parent)),
    _ = alcove_cgroup:destroy(Drv, Parent, own_group(Parent)),
    ok;
ungroup(_Options, _Parent) ->
    ok.

%%--------------------------------------------------------------------
%% A terminal
%%--------------------------------------------------------------------

terminal(#{pty := false}, _Parent, _Ids) ->
    undefined;
terminal(#{drv := Drv, pty := Size}, Parent, Ids) ->
    case alcove:openpty(Drv, Parent) of
        {ok, Master, Slave, Name} ->
            ok = terminal_size({Drv, Parent}, Master, Size),
            %% So that the program can open /dev/tty's like by its name; who may not give
            %% it away has it already.
            case Ids of
                #{uid := Uid, gid := Gid} when is_integer(Uid) ->
                    _ = alcove:chown(Drv, Parent, Name, Uid, Gid),
                    ok;
                _ ->
                    ok
            end,
            #{master => Master, slave => Slave};
        {error, Reason} ->
            fail({openpty, Reason})
    end.

%% @doc Sets the size of a terminal's window.
-spec terminal_size(
    {alcove:drv(), alcove:fork_path()}, alcove:fd(), {pos_integer(), pos_integer()}
) -> ok | {error, alcove:posix()}.
terminal_size({Drv, Parent}, Master, {Rows, Columns}) ->
    Size = <<Rows:16/native, Columns:16/native, 0:32>>,
    case alcove:ioctl(Drv, Parent, Master, tiocswinsz, Size) of
        {ok, _, _} -> ok;
        {error, Reason} -> {error, Reason}
    end.

%% A read from a terminal waits, and so may a write: each has a process that does nothing
%% else.
attended(_Drv, _Parent, undefined, _Deadline) ->
    undefined;
attended(Drv, Parent, #{master := Master, slave := Slave}, Deadline) ->
    _ = alcove:close(Drv, Parent, Slave),
    Reader = got(request(Drv, Parent, {spawn, fork, []}, Deadline)),
    Writer = got(request(Drv, Parent, {spawn, fork, []}, Deadline)),
    #{master => Master, reader => Parent ++ [Reader], writer => Parent ++ [Writer]}.

%%--------------------------------------------------------------------
%% Requests
%%--------------------------------------------------------------------

%% An error names the call that failed.
request(Drv, Pids, Request, Deadline) ->
    try alcove_call:run(Drv, Pids, Request, left(Deadline)) of
        {ok, Value} -> {ok, Value};
        {error, {_Index, Call, Reason}} -> {error, {Call, Reason}};
        {error, Reason} -> {error, {first(Request), Reason}};
        '$badpid' -> {error, {parent, gone}};
        {'$badarg', {Index, _}} when Index > 0 -> {error, {call(Request, Index), badarg}};
        {'$badarg', _} -> {error, {first(Request), badarg}}
    catch
        exit:timeout -> {error, {start, timeout}}
    end.

first({spawn, fork, _}) -> fork;
first({spawn, {clone, _}, _}) -> clone;
first({batch, _}) -> setup.

call({spawn, _, Calls}, Index) -> call({batch, Calls}, Index);
call({batch, Calls}, Index) -> element(1, lists:nth(Index, Calls)).

left(infinity) -> infinity;
left(Deadline) -> max(0, Deadline - erlang:monotonic_time(millisecond)).
