%% @private
%% @doc Control groups that are made for one program.
%%
%% They are below the group of the process that makes them, with names that nothing else has. That
%% process owns them: it holds a lock (flock(2)) on the directories, which the kernel releases when
%% the process ends, for whatever reason. So the owner of a group without a lock is gone, and the
%% next process that makes a group beside it removes it.
-module(alcove_cgroup_own).

-export([make/3, made/2, offered/3, forget_all/2, forget/2, dirs/1, is_group/1]).
%% For alcove_drv.
-export([identity/0, sweep/3]).

-export_type([group/0]).

-import(alcove_cgroup_fs, [fail/1]).

-type process() :: alcove_file:process().
-opaque group() :: #{
    dirs := [{alcove_cgroup_paths:hierarchy(), binary()}], locks := [lock()]
}.
%% A descriptor and its directory: the same number may later belong to another file.
-type lock() :: {alcove:fd(), Inode :: non_neg_integer()}.

-define(PREFIX, "alcove-own.").

%% How long a Drv that has ended may take to remove its groups, in milliseconds.
-define(SWEEP, 3000).

%% How often another name is tried if a name is taken.
-define(NAMES, 100).

%% The numbers of a process's descriptors are names of links to what they are of.
-define(DESCRIPTORS, <<"/proc/self/fd">>).

%% flock(2): LOCK_EX | LOCK_NB.
-define(LOCK, 6).

%% @doc Makes a group in the hierarchies that have these controllers, and, if there is one, in a
%% hierarchy by which all its members can be killed at once.
-spec make(process(), [alcove_cgroup_paths:hierarchy()], [{atom(), binary()}]) -> group().
make(Process, Hierarchies, Limits) ->
    Hierarchies =/= [] orelse fail(enodev),
    Wanted = wanted(Hierarchies, Limits),
    Bases = [base(Process, Hierarchy, Controllers) || {Hierarchy, Controllers} <- Wanted],
    Killers = killers(Process, Hierarchies -- [Hierarchy || {Hierarchy, _} <- Wanted], Wanted),
    Wanted =/= [] orelse Killers =/= [] orelse fail(enodev),
    Places = Bases ++ Killers,
    %% Whatever becomes of this process, Drv knows where its groups are.
    {Identity, _} = New = new(Process, [Base || {_, Base} <- Places]),
    clear(Process, Places, Identity),
    create(Process, Places, New, ?NAMES).

%% Each hierarchy with the controllers that it is to have.
wanted(Hierarchies, Limits) ->
    Found = [
        case alcove_cgroup_paths:with(Controller, Hierarchies) of
            [Hierarchy | _] -> {Hierarchy, Controller};
            [] -> fail({Limit, enodev})
        end
     || {Limit, Controller} <- Limits
    ],
    [
        {Hierarchy, lists:usort([Controller || {Of, Controller} <- Found, Of =:= Hierarchy])}
     || Hierarchy <- Hierarchies, lists:keymember(Hierarchy, 1, Found)
    ].

%% Version 2 can kill all members of a group, and the freezer of version 1 can stop them.
killers(Process, Others, Wanted) ->
    Is = fun(Version, Controller, {#{version := V, options := Options}, _}) ->
        V =:= Version andalso lists:member(Controller, Options)
    end,
    Has = fun(Version, Controller) ->
        lists:any(fun(W) -> Is(Version, Controller, W) end, Wanted)
    end,
    Other = fun(Version, Controller) ->
        [Hierarchy || Hierarchy <- Others, Is(Version, Controller, {Hierarchy, []})]
    end,
    Candidates =
        case Has(2, <<"cgroup2">>) orelse Has(1, <<"freezer">>) of
            true -> [];
            false -> Other(2, <<"cgroup2">>) ++ Other(1, <<"freezer">>)
        end,
    first_base(Process, Candidates).

first_base(Process, [Hierarchy | Rest]) ->
    try
        {_, Dir} = Base = base(Process, Hierarchy, []),
        {Drv, Pids} = Process,
        case alcove:access(Drv, Pids, Dir, w_ok) of
            ok -> [Base];
            {error, _} -> first_base(Process, Rest)
        end
    catch
        throw:{alcove_cgroup, {fail, Reason}} ->
            ok = alcove_cgroup_fs:passing(Reason),
            first_base(Process, Rest)
    end;
first_base(_Process, []) ->
    [].

%%--------------------------------------------------------------------
%% Where
%%--------------------------------------------------------------------

%% The group in which the new one is made: the process's own. If that can't have groups with these
%% controllers, root may use the root of all groups. Of version 1, it is the root of those that the
%% process sees where it doesn't see its own.
base(Process, #{version := 1, path := Path} = Hierarchy, _Controllers) ->
    case alcove_cgroup_paths:own(Process, Hierarchy) of
        {ok, Own} ->
            case alcove_file:is_dir(Process, Own) of
                true -> {Hierarchy, Own};
                false -> {Hierarchy, Path}
            end;
        {error, Reason} ->
            ok = alcove_cgroup_fs:passing({<<"/proc/self/cgroup">>, Reason}),
            {Hierarchy, Path}
    end;
base(Process, #{version := 2, path := Path} = Hierarchy, Controllers) ->
    try
        Own =
            case alcove_cgroup_paths:own(Process, Hierarchy) of
                {ok, Dir} -> above_leaf(Dir);
                {error, Reason} -> fail({<<"/proc/self/cgroup">>, Reason})
            end,
        ok = prepared(Process, Own, Controllers),
        {Hierarchy, Own}
    catch
        throw:{alcove_cgroup, {fail, Why}} = Thrown ->
            ok = alcove_cgroup_fs:passing(Why),
            case is_all_ours(Process, Path) of
                true ->
                    ok = alcove_cgroup_v2:enable(Process, [Path], Controllers),
                    {Hierarchy, Path};
                false ->
                    throw(Thrown)
            end
    end.

above_leaf(Dir) ->
    case filename:basename(Dir) =:= alcove_cgroup_v2:leaf_name() of
        true -> filename:dirname(Dir);
        false -> Dir
    end.

prepared(Process, Own, Controllers) ->
    Offered = alcove_cgroup_fs:words(
        Process, alcove_cgroup_text:join(Own, [<<"cgroup.controllers">>])
    ),
    [
        fail({alcove_cgroup_text:join(Own, [<<"cgroup.controllers">>]), enodev})
     || Controllers -- Offered =/= []
    ],
    Enabled = alcove_cgroup_fs:words(
        Process, alcove_cgroup_text:join(Own, [<<"cgroup.subtree_control">>])
    ),
    case Controllers -- Enabled =/= [] andalso alcove_cgroup_v2:is_delegated(Process, Own) of
        true -> alcove_cgroup_v2:leaf(Process, Own);
        false -> ok
    end,
    alcove_cgroup_v2:enable(Process, [Own], Controllers).

%% @doc Those of some controllers with which a process can have groups for its programs. For root,
%% these are all that there are. Another user's process has those in its own group: one that systemd
%% has delegated, in which groups have the controller already, or whose members are in a leaf.
%%
%% `{error, Reason}': that can't be known now, for want of something.
-spec offered(process(), root | user, [binary()]) ->
    {ok, [binary()]} | {error, alcove_cgroup:reason()}.
offered(_Process, _Who, []) ->
    {ok, []};
offered(Process, Who, Controllers) ->
    try
        case alcove_cgroup_paths:hierarchies(Process) of
            {ok, Hierarchies} ->
                With = [
                    alcove_cgroup_paths:with(Controller, Hierarchies)
                 || Controller <- Controllers
                ],
                Offered = lists:flatmap(
                    fun(Hierarchy) -> in(Process, Who, Hierarchy) end,
                    lists:usort(lists:append(With))
                ),
                {ok, [Controller || Controller <- Controllers, lists:member(Controller, Offered)]};
            {error, Reason} ->
                ok = alcove_cgroup_fs:passing({<<"/proc/self/mountinfo">>, Reason}),
                {ok, []}
        end
    catch
        throw:{alcove_cgroup, {fail, Why}} -> {error, Why}
    end.

in(Process, root, #{path := Path, options := Options}) ->
    case alcove_file:is_dir(Process, Path) of
        true -> Options;
        false -> []
    end;
in({Drv, Pids} = Process, user, #{version := 2} = Hierarchy) ->
    case alcove_cgroup_paths:own(Process, Hierarchy) of
        {ok, Own} ->
            Dir = above_leaf(Own),
            case alcove:access(Drv, Pids, Dir, w_ok) of
                ok -> delegated(Process, Own, Dir);
                {error, _} -> []
            end;
        {error, Reason} ->
            ok = alcove_cgroup_fs:passing({<<"/proc/self/cgroup">>, Reason}),
            []
    end;
in(_Process, user, #{version := 1}) ->
    [].

delegated(Process, Own, Dir) ->
    Words = fun(Name) -> alcove_cgroup_fs:words(Process, alcove_cgroup_text:join(Dir, [Name])) end,
    case Dir =/= Own orelse alcove_cgroup_v2:is_delegated(Process, Dir) of
        true -> Words(<<"cgroup.controllers">>);
        false -> Words(<<"cgroup.subtree_control">>)
    end.

is_all_ours({Drv, Pids} = Process, Path) ->
    alcove_cgroup_v2:is_root(Process, Path) andalso alcove:access(Drv, Pids, Path, w_ok) =:= ok.

%%--------------------------------------------------------------------
%% Names and locks
%%--------------------------------------------------------------------

%% @doc The prefix of all names of a Drv: the virtual machine's pid, for people who look, and a part
%% that no other Drv has, also of another virtual machine that has the same pid in its container.
%% Drv makes it once, and is asked for it: another node has another pid, and a node that gets a name
%% has other pids and another creation.
-spec identity() -> binary().
identity() ->
    Known = {os:getpid(), os:system_time(), erlang:time_offset(), self(), make_ref()},
    <<Unique:64, _/binary>> = erlang:md5(term_to_binary(Known)),
    iolist_to_binary([
        ?PREFIX, os:getpid(), $., string:lowercase(integer_to_list(Unique, 36)), $.
    ]).

%% The prefix of Drv's names, and a number that none of them has. Drv keeps in which directories its
%% groups are.
new({Drv, _Pids}, Dirs) ->
    case alcove_drv:groups(Drv, Dirs) of
        {ok, {Identity, Number}} -> {Identity, Number};
        gone -> alcove_cgroup_fs:gone()
    end.

%% The prefix of the names of one process.
prefix(Process) ->
    {Identity, _} = new(Process, []),
    prefix(Process, Identity).

prefix({_Drv, Pids}, Identity) ->
    Pid =
        case Pids of
            [] -> 0;
            _ -> lists:last(Pids)
        end,
    <<Identity/binary, (integer_to_binary(Pid))/binary, $.>>.

create(Process, Places, {Identity, Number}, Names) ->
    Name = <<(prefix(Process, Identity))/binary, (integer_to_binary(Number))/binary>>,
    Dirs = [
        {Hierarchy, alcove_cgroup_text:join(Base, [Name])}
     || {Hierarchy, Base} <- Places
    ],
    case create_all(Process, Dirs, [], []) of
        {ok, Locks} ->
            #{dirs => Dirs, locks => Locks};
        again when Names > 0 ->
            create(Process, Places, new(Process, []), Names - 1);
        again ->
            [{_, Dir} | _] = Dirs,
            fail({Dir, eexist})
    end.

create_all(Process, [{Hierarchy, Dir} | Dirs], Made, Locks) ->
    case alcove_cgroup_fs:mkdir(Process, Dir) of
        ok ->
            case lock(Process, Dir) of
                {ok, Lock} ->
                    case alcove_cgroup_v1:inherit(Process, Hierarchy, Dir) of
                        ok ->
                            create_all(Process, Dirs, [Dir | Made], [Lock | Locks]);
                        {error, Reason} ->
                            undo(Process, [Dir | Made], [Lock | Locks]),
                            fail(Reason)
                    end;
                %% Another process took the new group for one that was left behind, and removed it.
                busy ->
                    undo(Process, [Dir | Made], Locks),
                    again;
                {error, Reason} ->
                    undo(Process, [Dir | Made], Locks),
                    fail({Dir, Reason})
            end;
        {error, eexist} ->
            undo(Process, Made, Locks),
            again;
        {error, Reason} ->
            undo(Process, Made, Locks),
            fail({Dir, Reason})
    end;
create_all(_Process, [], _Made, Locks) ->
    {ok, Locks}.

undo(Process, Made, Locks) ->
    lists:foreach(fun(Dir) -> alcove_cgroup_fs:rmdir(Process, Dir) end, Made),
    unlock(Process, Locks).

%% A lock on a directory that was removed meanwhile doesn't count. `busy': another process has it,
%% or the directory is gone.
lock({Drv, Pids}, Dir) ->
    case alcove:open(Drv, Pids, Dir, [o_rdonly, o_directory, o_cloexec], 0) of
        {ok, Fd} ->
            Locked = alcove:syscall(Drv, Pids, flock, [Fd, ?LOCK]),
            case {Locked, alcove:stat(Drv, Pids, Dir)} of
                {{ok, 0, _}, {ok, #{ino := Inode}}} ->
                    {ok, {Fd, Inode}};
                {{error, Reason}, _} when Reason =/= eagain ->
                    _ = alcove:close(Drv, Pids, Fd),
                    {error, Reason};
                _ ->
                    _ = alcove:close(Drv, Pids, Fd),
                    busy
            end;
        {error, enoent} ->
            busy;
        {error, Reason} ->
            {error, Reason}
    end.

%% Closes descriptors, also if that was done before, when the numbers may belong to other files.
unlock({Drv, Pids}, Locks) ->
    lists:foreach(
        fun({Fd, Inode}) ->
            case alcove:fstat(Drv, Pids, Fd) of
                {ok, #{ino := Inode, type := directory}} -> alcove:close(Drv, Pids, Fd);
                _ -> ok
            end
        end,
        Locks
    ).

%% @doc The directories of the groups that a process has made and not removed.
-spec made(process(), [alcove_cgroup_paths:hierarchy()]) ->
    [{alcove_cgroup_paths:hierarchy(), binary()}].
made({Drv, Pids} = Process, Hierarchies) ->
    Prefix = prefix(Process),
    Size = byte_size(Prefix),
    [
        {Hierarchy, alcove_cgroup_text:join(Base, [Name])}
     || Hierarchy <- Hierarchies,
        Base <- bases(Process, Hierarchy),
        {ok, Names} <- [alcove:readdir(Drv, Pids, Base)],
        <<Start:Size/binary, _/binary>> = Name <- Names,
        Start =:= Prefix
    ].

%% The directories in which such groups can be.
bases(Process, #{path := Path} = Hierarchy) ->
    case alcove_cgroup_paths:own(Process, Hierarchy) of
        {ok, Own} -> lists:usort([Path, Own, above_leaf(Own)]);
        {error, _} -> [Path]
    end.

%% @doc The directories of a group.
-spec dirs(group()) -> [{alcove_cgroup_paths:hierarchy(), binary()}].
dirs(#{dirs := Dirs}) ->
    Dirs.

-spec is_group(term()) -> boolean().
is_group(#{dirs := _, locks := _}) -> true;
is_group(_) -> false.

%% @doc Releases the locks of a group that is removed next.
-spec forget(process(), group()) -> ok.
forget(Process, #{locks := Locks}) ->
    unlock(Process, Locks).

%% @doc Releases the locks of groups that a process has made, and of all that are gone.
-spec forget_all(process(), [{alcove_cgroup_paths:hierarchy(), Dir :: binary()}]) -> ok.
forget_all({Drv, Pids} = Process, Made) ->
    Prefix = prefix(Process),
    Size = byte_size(Prefix),
    Names = [filename:basename(Dir) || {_, Dir} <- Made],
    lists:foreach(
        fun(Fd) ->
            case alcove:readlink(Drv, Pids, filename:join(?DESCRIPTORS, Fd)) of
                {ok, Path} ->
                    Name = filename:basename(Path),
                    %% One that was made since is somebody else's, and stays locked.
                    Over =
                        lists:member(Name, Names) orelse
                            binary:match(Name, <<" (deleted)">>) =/= nomatch,
                    Over andalso binary:longest_common_prefix([Name, Prefix]) =:= Size andalso
                        alcove:close(Drv, Pids, binary_to_integer(Fd));
                %% The one by which the names were read.
                {error, _} ->
                    ok
            end
        end,
        descriptors(Process)
    ).

descriptors({Drv, Pids}) ->
    case alcove:readdir(Drv, Pids, ?DESCRIPTORS) of
        {ok, Names} ->
            Names;
        {error, Reason} ->
            ok = alcove_cgroup_fs:passing({?DESCRIPTORS, Reason}),
            []
    end.

%%--------------------------------------------------------------------
%% What others have left behind
%%--------------------------------------------------------------------

%% Removes the groups in these directories whose owners are gone. If a Drv is alive, only one of its
%% groups is checked.
clear(Process, Bases, Identity) ->
    lists:foreach(
        fun({Hierarchy, Base}) -> clear_one(Process, Hierarchy, Base, Identity) end,
        Bases
    ).

clear_one({Drv, Pids} = Process, Hierarchy, Base, Identity) ->
    case alcove:readdir(Drv, Pids, Base) of
        {ok, Names} ->
            Own = byte_size(Identity),
            Others = [
                {owner(Name), Name}
             || <<?PREFIX, _/binary>> = Name <- Names,
                binary:longest_common_prefix([Name, Identity]) < Own
            ],
            _ = lists:foldl(
                fun({Owner, Name}, Alive) ->
                    case lists:member(Owner, Alive) of
                        true ->
                            Alive;
                        false ->
                            Group = {Hierarchy, alcove_cgroup_text:join(Base, [Name])},
                            clear_group(Process, Group, Owner, Alive)
                    end
                end,
                [],
                Others
            ),
            ok;
        {error, _} ->
            ok
    end.

%% PREFIX PID . DRV . PROCESS . NUMBER
owner(Name) ->
    lists:sublist(binary:split(Name, <<".">>, [global]), 3).

clear_group(Process, {_, Dir} = Group, Owner, Alive) ->
    case lock(Process, Dir) of
        {ok, Lock} ->
            try
                ok = alcove_cgroup_members:kill(Process, [Group]),
                _ = alcove_cgroup_fs:remove(Process, Dir),
                Alive
            catch
                %% A group that this process may not remove stays.
                throw:{alcove_cgroup, _} -> Alive
            after
                unlock(Process, [Lock])
            end;
        busy ->
            [Owner | Alive];
        %% Whether the owner lives can't be known now.
        {error, _} ->
            [Owner | Alive]
    end.

%%--------------------------------------------------------------------
%% What a Drv has left when it has ended
%%--------------------------------------------------------------------

%% @doc Removes the groups of a Drv whose processes have ended, by the prefix of their names, from
%% the directories in which it has made some. Where the virtual machine's own user may not do that,
%% as with `sudo', a new tree of the same kind does. What can't be removed in time stays, for the
%% next Drv that makes a group there.
-spec sweep(binary(), [binary()], fun(() -> {ok, pid()} | {error, term()})) -> ok.
sweep(Identity, Bases, Start) ->
    {Sweeper, Ref} = spawn_monitor(fun() ->
        Deadline = alcove_deadline:in(?SWEEP),
        swept(left(Identity, Bases), Deadline) orelse swept_by(Start, left(Identity, Bases))
    end),
    receive
        {'DOWN', Ref, process, Sweeper, _} -> ok
    after ?SWEEP ->
        true = demonitor(Ref, [flush]),
        ok
    end.

left(Identity, Bases) ->
    Size = byte_size(Identity),
    [
        alcove_cgroup_text:join(Base, [Name])
     || Base <- Bases,
        {ok, Names} <- [file:list_dir(Base)],
        Name <- [list_to_binary(Text) || Text <- Names, alcove_text:is_ascii(Text)],
        binary:longest_common_prefix([Name, Identity]) =:= Size
    ].

%% Whether all are gone. A process that has just ended may be a member for another moment.
swept(Dirs, Deadline) ->
    alcove_cgroup_fs:wait(
        fun() -> [] =:= [Dir || Dir <- Dirs, is_busy(removed(Dir))] end, Deadline
    ) andalso
        [] =:= [Dir || Dir <- Dirs, filelib:is_dir(Dir)].

is_busy(Removed) ->
    lists:member(Removed, [{error, ebusy}, {error, eexist}, {error, enotempty}]).

%% The files of a group aren't removed, and only the groups in it are directories.
removed(Dir) ->
    case file:del_dir(Dir) of
        {error, Reason} = Busy when Reason =:= ebusy; Reason =:= eexist; Reason =:= enotempty ->
            case file:list_dir_all(Dir) of
                {ok, Names} ->
                    Below = [filename:join(Dir, Name) || Name <- Names],
                    lists:foreach(
                        fun(Group) -> _ = removed(Group) end,
                        [G || G <- Below, filelib:is_dir(G)]
                    ),
                    file:del_dir(Dir);
                {error, _} ->
                    Busy
            end;
        Removed ->
            Removed
    end.

swept_by(_Start, []) ->
    ok;
swept_by(Start, Dirs) ->
    case Start() of
        {ok, Drv} ->
            lists:foreach(fun(Dir) -> alcove_cgroup_fs:remove({Drv, []}, Dir) end, Dirs),
            alcove_drv:stop(Drv);
        {error, _} ->
            ok
    end.
