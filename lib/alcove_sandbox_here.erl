%% @private
%% @doc What a sandbox has to know about the machine, as its Drv sees it.
-module(alcove_sandbox_here).

-export([look/2, lacking/3, named/2, try_out/2, unplaced/1]).

%% How long an attempt to start may take, in milliseconds.
-define(TIMEOUT, 60000).

%% @doc Finds out whether Drv has root's rights, which user the program is to have on the host, and
%% what kinds of files the sources of its mounts are.
-spec look(pid(), alcove_sandbox_spec:spec()) ->
    {ok, alcove_sandbox_plan:here()} | {error, term()}.
look(Drv, #{as := As, user := User} = Spec) ->
    Privileged = privileged(Drv),
    case alcove_sandbox_ids:mapped(Drv, Spec, Privileged) of
        {ok, own} ->
            seen(Drv, Spec, Privileged, own, who(Drv, As, Privileged));
        {ok, Maps} ->
            Is = alcove_sandbox_ids:outside(User, Maps),
            seen(Drv, Spec, Privileged, Maps, mapped(As, Is));
        {error, Reason} ->
            {error, Reason}
    end.

mapped(_As, {error, Reason}) -> {error, Reason};
mapped(unused, Ids) -> Ids;
mapped(Is, {ok, Is}) -> {ok, Is};
mapped(_As, {ok, _Is}) -> {error, {as, eperm}}.

%% The owner of everything that is made for the program, as the process that makes it sees the ids.
owner(_User, true, own, As) -> As;
owner(_User, false, own, _As) -> none;
owner(User, false, _Maps, _As) -> User.

seen(Drv, #{user := User} = Spec, Privileged, Maps, Who) ->
    case Who of
        {ok, Ids} ->
            Paths = alcove_sandbox_plan:sources(Spec),
            Looked = [{Path, kind(Drv, Path)} || Path <- Paths],
            {ok, #{
                privileged => Privileged,
                as => Ids,
                ids => Maps,
                owner => owner(User, Privileged, Maps, Ids),
                streams => [],
                others => [],
                link => alcove_sandbox_network:name(),
                landlock => landlock(Drv),
                kinds => maps:from_list([{Path, Kind} || {Path, {Kind, _}} <- Looked]),
                links => maps:from_list(
                    [{Path, Link} || {Path, {_, Link}} <- Looked, Link =/= none]
                ),
                look => fun(Path) -> found(Drv, Path) end,
                crosses => fun(Dir, Below) -> crosses(Drv, Dir, Below) end
            }};
        {error, Reason} ->
            {error, Reason}
    end.

privileged(Drv) ->
    case alcove:capget(Drv, [], 0) of
        {ok, #{effective := Effective}} ->
            Needed = [cap_sys_admin, cap_setuid, cap_setgid, cap_chown, cap_net_admin],
            alcove:geteuid(Drv, []) =:= 0 andalso
                lists:all(
                    fun(Name) -> Effective band (1 bsl alcove_nif:define(all, Name)) =/= 0 end,
                    Needed
                );
        {error, _} ->
            false
    end.

landlock(Drv) ->
    case alcove:landlock_abi(Drv, []) of
        {ok, Version} -> {abi, Version};
        {error, Reason} -> {lacking, Reason}
    end.

who(Drv, unused, true) ->
    case alcove_sandbox_ids:take(node(Drv)) of
        {ok, Id} -> {ok, {Id, Id}};
        {error, Reason} -> {error, {user, Reason}}
    end;
who(_Drv, Ids, true) ->
    {ok, Ids};
who(Drv, unused, false) ->
    {ok, {alcove:geteuid(Drv, []), alcove:getegid(Drv, [])}};
who(Drv, Ids, false) ->
    %% No other id is mapped.
    case who(Drv, unused, false) of
        {ok, Ids} -> {ok, Ids};
        {ok, _} -> {error, {as, eperm}}
    end.

kind(Drv, Path) ->
    case alcove:lstat(Drv, [], Path) of
        {ok, #{type := symlink}} -> followed(Drv, Path);
        {ok, #{type := directory}} -> {directory, none};
        {ok, _} -> {file, none};
        {error, _} -> {absent, none}
    end.

followed(Drv, Path) ->
    case {alcove:stat(Drv, [], Path), alcove:readlink(Drv, [], Path)} of
        {{ok, #{type := directory}}, {ok, Link}} -> {directory, Link};
        {{ok, _}, {ok, Link}} -> {file, Link};
        {_, {ok, Link}} -> {absent, Link};
        _ -> {absent, none}
    end.

%% What is at a path of a root directory, in which a link leads somewhere else than on the host.
found(Drv, Path) ->
    case alcove:lstat(Drv, [], Path) of
        {ok, #{type := symlink}} ->
            case alcove:readlink(Drv, [], Path) of
                {ok, Text} -> {link, Text};
                %% Somebody has put something else there meanwhile.
                {error, einval} -> {unknown, eloop};
                {error, Reason} -> {unknown, Reason}
            end;
        {ok, #{type := directory}} ->
            directory;
        {ok, _} ->
            file;
        {error, Reason} when Reason =:= enoent; Reason =:= enotdir ->
            absent;
        {error, Reason} ->
            {unknown, Reason}
    end.

%% Whether something is mounted on the way from a directory to a path below it.
crosses(_Drv, _Dir, <<>>) ->
    false;
crosses(Drv, Dir, <<"/", Below/binary>>) ->
    case alcove:openat2(Drv, [], at_fdcwd, Dir, [o_path, o_cloexec], 0, []) of
        {ok, Fd} ->
            Flags = [o_path, o_nofollow, o_cloexec],
            Opened = alcove:openat2(Drv, [], Fd, Below, Flags, 0, [resolve_beneath, resolve_no_xdev]),
            _ = [alcove:close(Drv, [], Other) || {ok, Other} <- [Opened]],
            _ = alcove:close(Drv, [], Fd),
            Opened =/= {error, enoent} andalso element(1, Opened) =:= error;
        {error, _} ->
            true
    end.

%% @doc The optional parts of a sandbox that a Drv can't provide, each with the error that shows it.
%%
%% Each part is tried by itself, by starting a program that can't be executed.
-spec lacking(pid(), alcove_sandbox_spec:spec(), map()) -> #{atom() => term()}.
lacking(Drv, #{mounts := Mounts}, Options) ->
    #{namespaces := Namespaces} = Options,
    Users = [newuser || lists:member(newuser, Namespaces)],
    Tried =
        [{keyring, #{setup => alcove_sandbox_plan:keyring()}}] ++
            [{seccomp, maps:with([seccomp, no_new_privs], Options)} || is_map_key(seccomp, Options)] ++
            [{user_namespace, #{setup => [{unshare, [[clone_newuser]]}]}} || Users =:= []] ++
            [
                {proc, #{
                    namespaces => [newns, newpid | Users],
                    setup => alcove_sandbox_plan:new_proc()
                }}
             || {proc, _} <- Mounts
            ] ++
            [{ids, maps:with([namespaces, uid_map, gid_map], Options)} || is_map_key(uid_map, Options)],
    maps:from_list(
        [{Name, Why} || {Name, Try} <- Tried, {error, Why} <- [try_out(Drv, Try)]] ++
            [
                {cgroup, Why}
             || #{cgroup := Limits} <- [Options], {error, Why} <- [group(Drv, Limits)]
            ]
    ).

%% @doc The reason why a sandbox hasn't started, by the name of what is lacking if it is a root
%% directory that is a mount. A process in a plain chroot can't keep its mounts from other
%% namespaces, as it doesn't reach the mount that its root directory lies on, and pivot_root(2)
%% doesn't take it out of that directory.
%%
%% Of a kernel that is too old, by the name of the call that it lacks.
-spec named(pid(), term()) -> term().
named(Drv, {mount, einval} = Reason) ->
    case alcove_cgroup_paths:mounts({Drv, []}) of
        {ok, Mounts} ->
            case [Mount || #{path := <<"/">>} = Mount <- Mounts] of
                [] -> {sandbox, {root, no_mount}};
                _ -> Reason
            end;
        {error, _} ->
            Reason
    end;
%% Before Linux 5.11 close_range(2) doesn't know the flag that the first call has. What can't be done
%% without comes a version later.
named(Drv, {syscall, einval} = Reason) ->
    case alcove:mount_setattr(Drv, [], -1, "", 0, 0, 0, 0, 0) of
        {error, enosys} -> {mount_setattr, enosys};
        _ -> Reason
    end;
named(_Drv, Reason) ->
    Reason.

%% @doc Whether all calls succeed up to the exec, which always fails: it is given a directory.
-spec try_out(pid(), map()) -> ok | {error, term()}.
try_out(Drv, Options) ->
    Way = maps:with(
        [
            setup, namespaces, uid_map, gid_map, seccomp, no_new_privs, rlimits, cgroup, cwd,
            clearenv, env
        ],
        Options
    ),
    case unplaced(alcove_proc:run(Drv, ["/"], Way#{timeout => ?TIMEOUT})) of
        {error, {execvp, _}} -> ok;
        {error, Reason} -> {error, Reason}
    end.

%% @doc An outcome whose error names the call that failed, but not its place among the calls of
%% `setup': those of a sandbox aren't the user's.
-spec unplaced(Outcome) -> Outcome when Outcome :: term().
unplaced({error, {setup, {_Index, Call, Reason}}}) -> {error, {Call, Reason}};
unplaced(Outcome) -> Outcome.

group(Drv, Limits) ->
    case alcove_cgroup:make(Drv, [], Limits) of
        {ok, Group} -> alcove_cgroup:remove(Drv, [], Group);
        {error, Reason} -> {error, Reason}
    end.
