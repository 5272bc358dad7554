%% @private
%% @doc Turns the spec of a sandbox into the calls that make it.
%%
%% A process that is alone in new namespaces makes the calls, in one list, in this
%% order:
%%
%% <ol>
%% <li>What is to come from the host is opened: copies of mounts that are nowhere yet
%%     (open_tree), restricted while no process can reach them (mount_setattr), and a new proc.</li>
%% <li>The new root is mounted over the old one, and becomes the root (pivot_root); the old
%%     one is unmounted. From here on no path leads to the host, whatever it says, as
%%     there is nothing else in this mount namespace.</li>
%% <li>What is inside is made, in the order of the spec. No call looks up a path by itself: with
%%     openat2, which follows no link and can't leave the new root, the process opens a mount point,
%%     and puts the mount where that descriptor is (move_mount); or it opens a directory, goes there
%%     (fchdir), and makes a single name in it. {@link alcove_sandbox_paths} has followed the links
%%     of the root directory before.</li>
%% <li>What needs rights, the loopback interface for instance, is done; then the process gives
%%     up its user, and all capabilities in a user namespace of its own, in which nothing of
%%     the above belongs to it.</li>
%% </ol>
%%
%% Descriptors have the lowest numbers that are free, and those are known: everything from 3 to 62
%% is closed at the beginning, the program's listening sockets are counted from 3, what comes from
%% the host after them, and the number after that is for whatever is opened and closed again.
-module(alcove_sandbox_plan).

-export([calls/2, sources/1]).

-export_type([here/0, kind/0]).

-type kind() :: directory | file | absent | {unknown, Reason :: atom()}.
%% What is known about the machine.
-type here() :: #{
    privileged := boolean(),
    %% The ids that Drv's user namespace has, if Drv is privileged.
    users := alcove_sandbox_ids:users(),
    %% The program's ids on the host; those of Drv's user if Drv isn't privileged.
    as := {Uid :: alcove:id(), Gid :: alcove:id()},
    %% Further ids of the user namespace, if Drv isn't privileged.
    ids := own | {Uids :: [alcove_sandbox_spec:range()], Gids :: [alcove_sandbox_spec:range()]},
    %% The owner of the program's files, as the process that makes them sees the ids.
    owner := {Uid :: alcove:id(), Gid :: alcove:id()} | none,
    %% The streams that the program is to own.
    streams := [0..2],
    %% The streams that aren't pipes, and how they may be opened again.
    others := [{0..2, read | write}],
    %% The name for a network device outside, if the sandbox has one.
    link := binary(),
    landlock := {abi, pos_integer()} | {lacking, term()},
    kinds := #{binary() => kind()},
    links := #{binary() => binary()},
    %% Looks at a path of a root directory.
    look := fun((binary()) -> alcove_sandbox_paths:found()),
    %% Looks at a path of the proc or the sysfs that the sandbox will have, as if it were at /proc
    %% or /sys; it may throw `{plan, unseen}'.
    kernel := fun((binary()) -> alcove_sandbox_paths:found()),
    %% Whether it has a file of these bytes at a path.
    holds := fun((binary(), binary()) -> boolean()),
    %% Whether a path below a directory is in another mount than that, or may be.
    crosses := fun((Dir :: binary(), Below :: binary()) -> boolean()),
    %% The last descriptor that the calls may use and close; alcove's own is behind it.
    last := integer()
}.

-define(CLOSE_RANGE_CLOEXEC, 4).
-define(IFF_UP, 1).
-define(CAPABILITIES, ((1 bsl 41) - 1)).

%% Rights of Landlock: linux/landlock.h. The right to make devices is never given.
-define(WRITE_FILE, (1 bsl 1)).
-define(READ, (1 bsl 0 bor (1 bsl 2) bor (1 bsl 3))).
%% The rights to execute, write, read, truncate, and control a device.
-define(FILES, (7 bor (1 bsl 14) bor (1 bsl 15))).
-define(WRITE, (16#ffff band bnot (1 bsl 6) band bnot (1 bsl 11) band bnot (1 bsl 15))).
%% Abstract Unix sockets and signals.
-define(SCOPES, 3).

%% The files of the host's system that a program needs to run at all, as far as they exist.
-define(SYSTEM, [
    <<"/usr">>, <<"/bin">>, <<"/sbin">>, <<"/lib">>, <<"/lib32">>, <<"/lib64">>, <<"/libx32">>
]).
-define(ETC, [
    <<"/etc/ld.so.cache">>, <<"/etc/alternatives">>, <<"/etc/ssl/certs">>, <<"/etc/localtime">>
]).

%% @doc The paths of the host whose kinds have to be known.
-spec sources(alcove_sandbox_spec:spec()) -> [binary()].
sources(#{root := Root, mounts := Mounts} = Spec) ->
    Lower = [element(2, Root) || element(1, Root) =/= tmpfs],
    lists:usort(
        Lower ++ alcove_sandbox_network:sources(Spec) ++ lists:flatmap(fun sources_of/1, Mounts)
    ).

sources_of(system) -> ?SYSTEM ++ ?ETC;
sources_of({How, Source, _}) when How =:= ro; How =:= rw -> [Source];
sources_of({How, Source, _, _}) when How =:= ro; How =:= rw -> [Source];
sources_of(_) -> [].

%%--------------------------------------------------------------------
%% The list
%%--------------------------------------------------------------------

-record(plan, {
    here :: here(),
    user :: {alcove:id(), alcove:id()},
    %% The first descriptor that isn't the program's.
    first :: pos_integer(),
    %% Newest first.
    calls = [] :: [[{atom(), [term()]}]],
    next :: pos_integer(),
    %% The descriptor of the new root.
    root = -1 :: integer(),
    %% The working directory in it, if it is known.
    cwd = none :: binary() | none
}).

%% @doc The calls for a spec. `{error, unseen}': they depend on what {@link alcove_sandbox_kernel}
%% can't see where Drv is.
-spec calls(alcove_sandbox_spec:spec(), here()) -> {ok, alcove:calls()} | {error, term()}.
calls(#{root := Root, mounts := Wanted, user := Given, without := Without} = Spec, Here) ->
    %% Without a user namespace the program has the same ids inside as on the host.
    User =
        case {Without, Here} of
            {#{user_namespace := _}, #{as := As}} -> As;
            _ -> Given
        end,
    Mounts = [
        Mount
     || Mount <- Wanted, not (is_map_key(proc, Without) andalso is_proc(Mount))
    ],
    try
        Expanded = lists:flatmap(fun(Mount) -> expanded(Mount, User, Here) end, Mounts),
        Steps = alcove_sandbox_paths:resolved(Root, Expanded, Here),
        First = alcove_sandbox_parts:first() + length(maps:get(listen, Spec)),
        Begun = begun(Spec, #plan{here = Here, user = User, first = First, next = First}),
        {RootFd, Rooted} = root(Root, Begun),
        {Opened, Prepared} = lists:mapfoldl(fun prepared_for/2, Rooted, Steps),
        Prepared#plan.next > maps:get(last, Here) - 4 andalso
            throw({plan, {mounts, too_many(Here)}}),
        Pivoted = pivoted(Root, RootFd, Prepared),
        Made = lists:foldl(fun made_with/2, Pivoted, sealing(Opened)),
        Done = finished(Spec#{mounts := [Mount || {Mount, _} <- Steps]}, in(<<"/">>, Made)),
        {ok, lists:append(lists:reverse(Done#plan.calls))}
    catch
        throw:{plan, Reason} -> {error, Reason}
    end.

%% Either the spec has more mounts than a sandbox can have, or Drv has too few descriptors.
too_many(#{last := Last}) ->
    case alcove_sandbox_parts:last(infinity) of
        Last -> e2big;
        _ -> emfile
    end.

is_proc({proc, _}) -> true;
is_proc(_) -> false.

add(Calls, #plan{calls = All} = Plan) ->
    Plan#plan{calls = [Calls | All]}.

%% A descriptor that stays until the end.
kept(Calls, #plan{next = Fd} = Plan) ->
    {Fd, add(Calls, Plan#plan{next = Fd + 1})}.

begun(#{oom_score_adj := Adj, sysctl := Sysctl} = Spec, #plan{first = Fd, here = Here} = Plan) ->
    First = alcove_sandbox_parts:first(),
    Begun = add(
        alcove_sandbox_parts:closed(maps:get(last, Here)) ++
            [{syscall, [close_range, [First, 16#ffffffff, ?CLOSE_RANGE_CLOEXEC]]}] ++
            alcove_sandbox_listen:calls(Spec, First) ++
            alcove_sandbox_network:calls(Spec, Here, Fd) ++
            own_files(Here, [
                {open, [<<"/proc/self/oom_score_adj">>, [o_wronly, o_cloexec], 0]},
                {write, [Fd, integer_to_binary(Adj)]},
                {close, [Fd]}
            ]) ++
            alcove_sandbox_kinds:sysctl(Sysctl, Fd),
        Plan
    ),
    %% The directory of the process itself, in which the maps of its last user namespace are.
    {Fd, Held} = kept(
        [{open_tree, [at_fdcwd, <<"/proc/self">>, [open_tree_clone, open_tree_cloexec]]}], Begun
    ),
    Held.

%% The files of a process in /proc belong to its user only while it is dumpable.
own_files(#{privileged := true}, Calls) ->
    Calls;
own_files(#{privileged := false}, Calls) ->
    dumpable(Calls).

dumpable(Calls) ->
    [{prctl, [pr_set_dumpable, 1, 0, 0, 0]}] ++ Calls ++ [{prctl, [pr_set_dumpable, 0, 0, 0, 0]}].

%%--------------------------------------------------------------------
%% From the host
%%--------------------------------------------------------------------

%% Mounts that stand for several others.
expanded(system, {Uid, Gid}, #{links := Links} = Here) ->
    Present = [Path || Path <- ?SYSTEM ++ ?ETC, kind(Path, Here) =/= absent],
    [
        case Links of
            %% As /bin, which is in /usr.
            #{Path := <<"/", _/binary>>} -> {ro, Path, Path};
            #{Path := Link} -> {symlink, Link, Path};
            _ -> {ro, Path, Path}
        end
     || Path <- Present
    ] ++
        [
            {file, <<"/etc/passwd">>,
                iolist_to_binary(
                    io_lib:format(
                        "user:x:~b:~b::/tmp:/bin/sh~nnobody:x:65534:65534::/:/bin/false~n",
                        [Uid, Gid]
                    )
                ),
                8#644},
            {file, <<"/etc/group">>,
                iolist_to_binary(io_lib:format("user:x:~b:~nnogroup:x:65534:~n", [Gid])), 8#644}
        ];
expanded(Mount, _User, _Here) ->
    [Mount].

prepared_for({Mount, Missing}, Plan) ->
    {Opened, Prepared} = prepared(Mount, Plan),
    {{Missing, Opened}, Prepared}.

prepared({proc, _} = Mount, #plan{next = Fd} = Plan) ->
    {Fd, Prepared} = kept(
        alcove_sandbox_parts:new_proc(Fd) ++ [{dup2, [Fd + 1, Fd]}, {close, [Fd + 1]}],
        Plan
    ),
    {{Mount, Fd}, Prepared};
prepared({dev, _, _} = Mount, Plan) ->
    Devices = [Name || {Name, file} <- alcove_sandbox_parts:devices()],
    {Fds, Prepared} = lists:mapfoldl(
        fun(Name, Now) ->
            tree(<<"/dev/", Name/binary>>, [mount_attr_nosuid, mount_attr_noexec], Now)
        end,
        Plan,
        Devices
    ),
    {{Mount, lists:zip(Devices, Fds)}, Prepared};
prepared({How, Source, _} = Mount, Plan) when How =:= ro; How =:= rw ->
    {Fd, Prepared} = tree(present(Source, Plan), attributes(How), Plan),
    {{Mount, Fd}, Prepared};
prepared({How, Source, _, Options} = Mount, Plan) when How =:= ro; How =:= rw ->
    Fd = Plan#plan.next,
    Tree = alcove_sandbox_kinds:tree(present(Source, Plan), attributes(How), Options, Fd),
    {Fd, Prepared} = kept(Tree, Plan),
    {{Mount, Fd}, Prepared};
prepared({sysfs, _} = Mount, Plan) ->
    {Fd, Prepared} = kept(alcove_sandbox_kinds:sysfs(Plan#plan.next), Plan),
    {{Mount, Fd}, Prepared};
prepared({masked, _, file} = Mount, Plan) ->
    {Fd, Prepared} = tree(<<"/dev/null">>, attributes(rw), Plan),
    {{Mount, Fd}, Prepared};
prepared(Mount, Plan) ->
    {{Mount, none}, Plan}.

present(Source, #plan{here = Here}) ->
    kind(Source, Here) =:= absent andalso throw({plan, {Source, enoent}}),
    Source.

kind(Source, #{kinds := Kinds}) ->
    case maps:get(Source, Kinds, absent) of
        {unknown, Reason} -> throw({plan, {Source, Reason}});
        Kind -> Kind
    end.

attributes(ro) -> [mount_attr_rdonly | attributes(rw)];
attributes(rw) -> [mount_attr_nosuid, mount_attr_nodev].

%% A copy of a mount with everything that is mounted below it. All mounts of the copy are equally
%% restricted, and later mounts of the host don't appear in it.
tree(Source, Attributes, #plan{next = Fd} = Plan) ->
    kept(
        [
            {open_tree, [
                at_fdcwd, Source, [open_tree_clone, open_tree_cloexec, at_recursive]
            ]},
            {mount_setattr, [
                Fd, <<>>, [at_empty_path, at_recursive], Attributes, [], [ms_private], 0
            ]}
        ],
        Plan
    ).

%% A new tmpfs.
tmpfs(Size, Plan) ->
    Fd = Plan#plan.next,
    kept(
        [
            {fsopen, [<<"tmpfs">>, [fsopen_cloexec]]},
            {fsconfig, [Fd, fsconfig_set_string, <<"size">>, integer_to_binary(Size), 0]},
            {fsconfig, [Fd, fsconfig_set_string, <<"mode">>, <<"755">>, 0]},
            {fsconfig, [Fd, fsconfig_cmd_create, <<>>, 0, 0]},
            {fsmount, [Fd, [], [mount_attr_nosuid, mount_attr_nodev]]},
            {dup2, [Fd + 1, Fd]},
            {close, [Fd + 1]}
        ],
        Plan
    ).

%%--------------------------------------------------------------------
%% The root
%%--------------------------------------------------------------------

root({tmpfs, Size}, Plan) ->
    tmpfs(Size, Plan);
root({How, Dir}, Plan) when How =:= ro; How =:= rw ->
    tree(present(Dir, Plan), attributes(How), Plan);
root({overlay, Dir, Size}, Plan) ->
    {Lower, Opened} = tree(present(Dir, Plan), attributes(ro), Plan),
    {Layer, Layered} = tmpfs(Size, Opened),
    Fd = Layered#plan.next,
    %% The layers are put together over the old root, which isn't needed any more.
    {Root, Rooted} = kept(
        [
            {move_mount, [Layer, <<>>, at_fdcwd, <<"/">>, [move_mount_f_empty_path]]},
            fchdir(Layer),
            {mkdir, [<<"lower">>, 8#755]},
            {mkdir, [<<"upper">>, 8#755]},
            {mkdir, [<<"work">>, 8#755]},
            {mkdir, [<<"root">>, 8#755]}
        ] ++
            own(<<"upper">>, Plan) ++
            [
                {move_mount, [Lower, <<>>, at_fdcwd, <<"lower">>, [move_mount_f_empty_path]]},
                {mount, [
                    <<"overlay">>,
                    <<"root">>,
                    <<"overlay">>,
                    [ms_nosuid, ms_nodev],
                    <<"lowerdir=lower,upperdir=upper,workdir=work,userxattr">>
                ]},
                {open, [<<"root">>, [o_path, o_directory, o_cloexec], 0]}
            ],
        Layered
    ),
    Root = Fd,
    {Root, Rooted}.

pivoted({overlay, _, _}, Fd, Plan) ->
    %% The tmpfs of the layers is mounted on top of the old root.
    rooted(Fd, [fchdir(Fd) | pivot([{umount2, [<<".">>, [mnt_detach]]}])], Plan);
pivoted(_Root, Fd, Plan) ->
    rooted(
        Fd,
        [
            {move_mount, [Fd, <<>>, at_fdcwd, <<"/">>, [move_mount_f_empty_path]]},
            fchdir(Fd)
            | pivot([])
        ],
        Plan
    ).

rooted(Fd, Calls, Plan) ->
    add(Calls, Plan#plan{root = Fd, cwd = <<"/">>}).

%% pivot_root(2) stacks the old root upon the new one, and the process unmounts it. If any of it
%% were left, the process couldn't make a user namespace of its own later.
pivot(Off) ->
    [{pivot_root, [<<".">>, <<".">>]}] ++
        Off ++
        [
            {umount2, [<<".">>, [mnt_detach]]},
            {chdir, [<<"/">>]}
        ].

fchdir(Fd) ->
    {syscall, [fchdir, [Fd]]}.

%% Gives a name in the working directory to the program.
own(Name, #plan{here = #{owner := {Uid, Gid}}}) ->
    [{chown, [Name, Uid, Gid]}];
own(_Name, _Plan) ->
    [].

%%--------------------------------------------------------------------
%% Inside
%%--------------------------------------------------------------------

%% A `dev' becomes read-only when all that is to be in it has been made: after the last mount below
%% it, up to one that covers it.
sealing([]) ->
    [];
sealing([{_, {{dev, Target, _}, _}} = Dev | Later]) ->
    Reached = lists:takewhile(fun({_, {Mount, _}}) -> not covers(Mount, Target) end, Later),
    Last = lists:dropwhile(
        fun({_, {Mount, _}}) -> not within(target(Mount), Target) end, lists:reverse(Reached)
    ),
    {Below, Others} = lists:split(length(Last), Later),
    [Dev | sealing(Below ++ [{[], {{sealed, Target}, none}} | Others])];
sealing([Other | Later]) ->
    [Other | sealing(Later)].

covers({read_only, Path, _}, Target) -> within(Target, Path);
covers(Mount, Target) -> is_mount(Mount) andalso within(Target, target(Mount)).

%% Makes what is missing for a mount, and the mount.
made_with({[_ | _] = Missing, {{How, _, Target}, Fd}}, Plan) when How =:= ro; How =:= rw ->
    bound(Target, Fd, Missing, Plan);
made_with({[_ | _] = Missing, {{How, _, Target, _}, Fd}}, Plan) when How =:= ro; How =:= rw ->
    bound(Target, Fd, Missing, Plan);
made_with({Missing, Opened}, Plan) ->
    made(Opened, lists:foldl(fun directory/2, Plan, Missing)).

made({{How, _, Target}, Fd}, Plan) when How =:= ro; How =:= rw ->
    moved(Fd, Target, Plan);
made({{How, _, Target, _}, Fd}, Plan) when How =:= ro; How =:= rw ->
    moved(Fd, Target, Plan);
made({{How, Target}, Fd}, Plan) when How =:= proc; How =:= sysfs ->
    moved(Fd, Target, Plan);
made({{mqueue, Target}, none}, Plan) ->
    mounted(Target, <<"mqueue">>, [ms_nosuid, ms_nodev, ms_noexec], <<>>, Plan);
made({{empty, Target}, none}, Plan) ->
    hidden(Target, Plan);
made({{masked, Path, directory}, none}, Plan) ->
    hidden(Path, Plan);
made({{masked, Path, file}, Fd}, Plan) ->
    moved(Fd, Path, Plan);
made({{read_only, Path, _}, none}, Plan) ->
    read_only(Path, Plan);
made({{dev, Target, Names}, Devices}, Plan) ->
    Data = <<"mode=755,size=65536">>,
    Begun = mounted(Target, <<"tmpfs">>, [ms_nosuid, ms_noexec], Data, Plan),
    At = fun(Name) -> <<Target/binary, "/", Name/binary>> end,
    Nodes = lists:foldl(fun({Name, Fd}, Now) -> upon(Fd, At(Name), Now) end, Begun, Devices),
    Directories = lists:foldl(
        fun(Name, Now) -> directory({directory, At(Name)}, Now) end,
        Nodes,
        [Name || {Name, directory} <- alcove_sandbox_parts:devices()] ++ Names
    ),
    Links = [{symlink, [Text, Name]} || {Name, {link, Text}} <- alcove_sandbox_parts:devices()],
    Linked = add(Links, in(Target, Directories)),
    Terminals = mounted(
        At(<<"pts">>),
        <<"devpts">>,
        [ms_nosuid, ms_noexec],
        <<"newinstance,ptmxmode=0666,mode=0620">>,
        Linked
    ),
    mounted(
        At(<<"shm">>),
        <<"tmpfs">>,
        [ms_nosuid, ms_nodev, ms_noexec],
        <<"mode=1777,size=67108864">>,
        Terminals
    );
made({{sealed, Target}, none}, Plan) ->
    sealed(Target, Plan);
made({{tmpfs, Target, Size, Options}, none}, #plan{here = Here} = Plan) ->
    {Flags, Data} = alcove_sandbox_kinds:tmpfs(Size, Options, Here),
    mounted(Target, <<"tmpfs">>, Flags, Data, Plan);
made({{dir, Path, Mode}, none}, Plan) ->
    add([{chmod, [<<".">>, Mode]} | own(<<".">>, Plan)], in(Path, Plan));
made({{file, Path, Bytes, Mode}, none}, #plan{next = Fd, here = Here} = Plan) ->
    Owned = [{syscall, [fchown, [Fd, Uid, Gid]]} || #{owner := {Uid, Gid}} <- [Here]],
    add(
        [{open, [filename:basename(Path), [o_wronly, o_creat, o_excl, o_cloexec], Mode]}] ++
            [{write, [Fd, Piece]} || Piece <- pieces(Bytes)] ++
            [{syscall, [fchmod, [Fd, Mode]]}] ++ Owned ++ [{close, [Fd]}],
        in(filename:dirname(Path), Plan)
    );
made({{symlink, Text, Path}, none}, Plan) ->
    add([{symlink, [Text, filename:basename(Path)]}], in(filename:dirname(Path), Plan)).

%% A mount from the host for which something is missing, and the mount point last.
bound(Target, Fd, Missing, Plan) ->
    Above = lists:foldl(fun directory/2, Plan, lists:droplast(Missing)),
    case lists:last(Missing) of
        {directory, Target} = Point -> moved(Fd, Target, directory(Point, Above));
        {file, Target} -> upon(Fd, Target, Above)
    end.

%% Opens a path of the new root: no link on it is followed, and none leads out.
point(Path, #plan{root = Root}) ->
    Strict = [resolve_in_root, resolve_no_magiclinks, resolve_no_symlinks],
    {openat2, [Root, Path, [o_path, o_cloexec], 0, Strict]}.

%% Goes to a directory.
in(Path, #plan{cwd = Path} = Plan) ->
    Plan;
in(<<"/">>, Plan) ->
    add([{chdir, [<<"/">>]}], Plan#plan{cwd = <<"/">>});
in(Path, #plan{next = Fd} = Plan) ->
    add([point(Path, Plan), fchdir(Fd), {close, [Fd]}], Plan#plan{cwd = Path}).

%% Makes a directory.
directory({directory, Path}, Plan) ->
    add([{mkdir, [filename:basename(Path), 8#755]}], in(filename:dirname(Path), Plan)).

%% Puts a mount at a path.
moved(Tree, Target, #plan{next = Fd} = Plan) ->
    add([point(Target, Plan) | move(Tree, Fd)], left(Target, Plan)).

%% Puts a mount upon an empty file, which it makes.
upon(Tree, Target, #plan{next = Fd} = Plan) ->
    Flags = [o_rdonly, o_creat, o_excl, o_cloexec],
    add(
        [{open, [filename:basename(Target), Flags, 8#444]} | move(Tree, Fd)],
        in(filename:dirname(Target), Plan)
    ).

move(Tree, Fd) ->
    [
        {move_mount, [
            Tree, <<>>, Fd, <<>>, [move_mount_f_empty_path, move_mount_t_empty_path]
        ]},
        {close, [Fd]}
    ].

%% A working directory that a mount covers isn't what is at its path any more.
left(Target, #plan{cwd = Cwd} = Plan) when is_binary(Cwd) ->
    case within(Cwd, Target) of
        true -> Plan#plan{cwd = none};
        false -> Plan
    end;
left(_Target, Plan) ->
    Plan.

%% A file system of the kernel's, mounted on the very directory that was opened.
mounted(Target, Type, Flags, Data, Plan) ->
    Reached = in(Target, Plan),
    add([{mount, [Type, <<".">>, Type, Flags, Data]}], Reached#plan{cwd = none}).

%% A bind of the path to itself, read-only.
read_only(Path, #plan{root = Root, next = Fd} = Plan) ->
    add(alcove_sandbox_kinds:read_only(Root, Path, Fd), left(Path, Plan)).

%% Something empty over a directory.
hidden(Path, Plan) ->
    Flags = [ms_rdonly, ms_nosuid, ms_nodev, ms_noexec],
    mounted(Path, <<"tmpfs">>, Flags, <<"size=4096">>, Plan).

sealed(Target, #plan{next = Fd} = Plan) ->
    add(
        [
            point(Target, Plan),
            {mount_setattr, [Fd, <<>>, [at_empty_path], [mount_attr_rdonly], [], 0, 0]},
            {close, [Fd]}
        ],
        Plan
    ).

within(Path, Path) -> true;
within(Path, Target) -> string:prefix(Path, <<Target/binary, "/">>) =/= nomatch.

pieces(<<Piece:65536/binary, Rest/binary>>) -> [Piece | pieces(Rest)];
pieces(<<>>) -> [];
pieces(Piece) -> [Piece].

%%--------------------------------------------------------------------
%% What is given up
%%--------------------------------------------------------------------

finished(#{root := Root, network := Network, hostname := Name, without := Without} = Spec, Begun) ->
    #{domainname := Domain, umask := Mask} = Spec,
    Sealed = add(
        [
            {mount_setattr, [at_fdcwd, <<"/">>, [], [mount_attr_rdonly], [], 0, 0]}
         || element(1, Root) =:= tmpfs
        ],
        Begun
    ),
    {Restricted, Plan} = rules(Spec, Sealed),
    #plan{first = First, next = Fd, here = Here, user = User} = Plan,
    Bounds = [{cap_drop_bound, [?CAPABILITIES]}],
    %% In the last user namespace it has all capabilities again; without, none as another user.
    %% Where others are mapped, it is in the namespace that has them, in which it made all this.
    {Before, Into, After} =
        case is_map_key(user_namespace, Without) orelse maps:get(ids, Here) =/= own of
            true -> {Bounds, [], []};
            false -> {[], last_namespace(User, Here, First, Fd), Bounds}
        end,
    lists:foldl(fun add/2, Plan, [
        [{sethostname, [Name]} | alcove_sandbox_kinds:domainname(Domain)],
        [Call || Network =:= none, Call <- loopback(Fd)],
        streams(Here),
        Before,
        identity(Here),
        Into,
        Restricted,
        [{syscall, [close_range, [First, maps:get(last, Here), 0]]}],
        case is_map_key(keyring, Without) of
            true -> [];
            false -> alcove_sandbox_parts:keyring()
        end,
        After,
        [
            {cap_set_ambient, [0]},
            {capset, [0, 0, 0]}
            | alcove_sandbox_kinds:umask(Mask)
        ],
        alcove_sandbox_listen:confined(Spec)
    ]).

%% Landlock refuses once more what the mounts refuse already, so that a program that finds a way to
%% change the mounts gains nothing. It also refuses what nothing else does: opening a file for
%% writing that is the program's input, and, on the host's network, the abstract sockets of other
%% processes. The call that puts it in force is made last.
rules(_Spec, #plan{here = #{landlock := {lacking, _}}} = Plan) ->
    {[], Plan};
rules(#{root := Root, mounts := Mounts}, #plan{here = Here} = Plan) ->
    #{landlock := {abi, Version}, others := Others, kinds := Kinds} = Here,
    Known = known(Version),
    Scoped =
        case Version >= 6 of
            true -> ?SCOPES;
            false -> 0
        end,
    {Rules, #plan{next = Fd} = Made} = kept(
        [{landlock_create_ruleset, [Known, 0, Scoped]}], Plan
    ),
    Beneath = fun(Rights, Object) ->
        {landlock_add_rule, [Rules, landlock_rule_path_beneath, Rights band Known, Object]}
    end,
    Path = fun({Target, Rights}) ->
        [point(Target, Made), Beneath(Rights, Fd), {close, [Fd]}]
    end,
    Whole =
        case Root of
            {overlay, _, _} -> ?WRITE;
            {rw, _} -> ?WRITE;
            _ -> ?READ
        end,
    Calls =
        lists:flatmap(Path, [{<<"/">>, Whole} | writable(Mounts, Kinds)]) ++
            [Beneath(opened(How), Stream) || {Stream, How} <- Others],
    {
        [{prctl, [pr_set_no_new_privs, 1, 0, 0, 0]}, {landlock_restrict_self, [Rules, 0]}],
        add(Calls, Made)
    }.

opened(read) -> ?FILES band bnot (?WRITE_FILE bor (1 bsl 14));
opened(write) -> ?FILES.

%% Linux 5.13 had 13 rights; then came refer, truncate, and ioctl_dev.
known(1) -> (1 bsl 13) - 1;
known(2) -> (1 bsl 14) - 1;
known(Version) when Version < 5 -> (1 bsl 15) - 1;
known(_Version) -> (1 bsl 16) - 1.

%% The paths where the program may do more than read and execute, without those that a later mount
%% covers.
writable([], _Kinds) ->
    [];
writable([Mount | Later], Kinds) ->
    Targets = [target(One) || One <- Later, is_mount(One)],
    [
        {Target, Rights}
     || {Target, Rights} <- rights(Mount, Kinds),
        not lists:any(fun(Over) -> within(Target, Over) end, Targets)
    ] ++ writable(Later, Kinds).

target({_, Target}) -> Target;
target({How, _, Target}) when How =:= ro; How =:= rw; How =:= symlink -> Target;
target({How, _, Target, _}) when How =:= ro; How =:= rw -> Target;
target({_, Target, _}) -> Target;
target({_, Target, _, _}) -> Target.

is_mount({Made, _, _}) when Made =:= dir; Made =:= symlink -> false;
is_mount({file, _, _, _}) -> false;
is_mount({read_only, _, _}) -> false;
is_mount(_) -> true.

rights({rw, Source, Target}, #{} = Kinds) ->
    case Kinds of
        #{Source := directory} -> [{Target, ?WRITE}];
        _ -> [{Target, ?FILES}]
    end;
rights({How, Source, Target, _}, Kinds) when How =:= ro; How =:= rw ->
    rights({How, Source, Target}, Kinds);
rights({tmpfs, Target, _, #{ro := true}}, _Kinds) ->
    [{Target, ?READ}];
rights({tmpfs, Target, _, _}, _Kinds) ->
    [{Target, ?WRITE}];
rights({mqueue, Target}, _Kinds) ->
    [{Target, ?WRITE}];
rights({proc, Target}, _Kinds) ->
    [{Target, ?READ bor ?WRITE_FILE}];
rights({dev, Target, _}, _Kinds) ->
    [
        {Target, ?READ bor ?FILES},
        {<<Target/binary, "/shm">>, ?WRITE}
    ];
rights(_Mount, _Kinds) ->
    [].

loopback(Fd) ->
    [
        {socket, [af_inet, [sock_dgram, sock_cloexec], ipproto_ip]},
        {ioctl, [Fd, siocsifflags, <<"lo", 0:(14 * 8), ?IFF_UP:16/native, 0:(22 * 8)>>]},
        {close, [Fd]}
    ].

%% Gives the streams to the program's user, so that the program can open /dev/stdout.
streams(#{owner := {Uid, Gid}, streams := Fds}) ->
    [{syscall, [fchown, [Fd, Uid, Gid]]} || Fd <- Fds];
streams(_Here) ->
    [].

identity(#{owner := {Uid, Gid}}) ->
    [
        {setgroups, [[]]},
        {setresgid, [Gid, Gid, Gid]},
        {setresuid, [Uid, Uid, Uid]}
    ];
identity(_Here) ->
    [].

%% Makes the user namespace of the program, which owns none of the other namespaces. A process may
%% map only itself, and only if it can't set groups.
last_namespace({Uid, Gid}, Here, First, Fd) ->
    {OutsideUid, OutsideGid} =
        case Here of
            #{privileged := true, as := As} -> As;
            #{privileged := false} -> {0, 0}
        end,
    [
        {unshare, [[clone_newuser]]}
        | dumpable(
            written(First, Fd, <<"setgroups">>, <<"deny">>) ++
                written(First, Fd, <<"uid_map">>, map(Uid, OutsideUid)) ++
                written(First, Fd, <<"gid_map">>, map(Gid, OutsideGid))
        )
    ].

map(Inside, Outside) -> [integer_to_list(Inside), " ", integer_to_list(Outside), " 1"].

written(Own, Fd, Name, Text) ->
    [
        {openat2, [Own, Name, [o_wronly, o_cloexec], 0, [resolve_beneath, resolve_no_symlinks]]},
        {write, [Fd, iolist_to_binary(Text)]},
        {close, [Fd]}
    ].
