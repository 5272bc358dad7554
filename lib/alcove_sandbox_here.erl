%% @private
%% @doc What a sandbox has to know about the machine, as its Drv sees it.
-module(alcove_sandbox_here).

-export([look/2, lacking/3, named/2]).

%% A filter of system calls of one instruction, which allows all: BPF_RET, SECCOMP_RET_ALLOW.
-define(ALLOW, <<6:16/native, 0, 0, 16#7fff0000:32/native>>).

%% @doc Finds out whether Drv has root's rights, which user the program is to have on the host, and
%% what kinds of files the sources of its mounts are.
-spec look(pid(), alcove_sandbox_spec:spec()) ->
    {ok, alcove_sandbox_plan:here()} | {error, term()}.
look(Drv, #{as := As, user := User} = Spec) ->
    case privileged(Drv) of
        {ok, Privileged, Users} ->
            case alcove_sandbox_ids:mapped(Drv, Spec, Privileged) of
                {ok, own} ->
                    seen(Drv, Spec, {Privileged, Users}, own, who(Drv, As, Privileged, Users));
                {ok, Maps} ->
                    Is = alcove_sandbox_ids:outside(User, Maps),
                    seen(Drv, Spec, {Privileged, Users}, Maps, mapped(As, Is));
                {error, Reason} ->
                    {error, Reason}
            end;
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

seen(Drv, #{user := User} = Spec, {Privileged, Users}, Maps, Who) ->
    case Who of
        {ok, Ids} ->
            Paths = alcove_sandbox_plan:sources(Spec),
            Looked = [{Path, kind(Drv, Path)} || Path <- Paths],
            {ok, #{
                privileged => Privileged,
                users => Users,
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
                kernel => alcove_sandbox_kernel:look(Drv, Spec),
                holds => fun(Path, Bytes) -> holds(Drv, Path, Bytes) end,
                crosses => fun(Dir, Below) -> crosses(Drv, Dir, Below) end,
                last => alcove_sandbox_attempt:last(Drv)
            }};
        {error, Reason} ->
            {error, Reason}
    end.

%% Whether Drv has root's rights, and over which ids. In a user namespace that an ordinary user has
%% made for itself alone, root can be nobody else, and is like that user.
privileged(Drv) ->
    case alcove:batch(Drv, [], [{geteuid, []}, {capget, [0]}]) of
        {ok, [0, {ok, #{effective := Effective}}]} ->
            Needed = [cap_sys_admin, cap_setuid, cap_setgid, cap_chown, cap_net_admin],
            case
                lists:all(
                    fun(Name) -> Effective band (1 bsl alcove_nif:define(all, Name)) =/= 0 end,
                    Needed
                )
            of
                true -> of_users(alcove_sandbox_ids:users(Drv));
                false -> {ok, false, all}
            end;
        _ ->
            {ok, false, all}
    end.

of_users({ok, own}) -> {ok, false, all};
of_users({ok, Users}) -> {ok, true, Users};
of_users({error, Reason}) -> {error, Reason}.

landlock(Drv) ->
    case alcove:landlock_abi(Drv, []) of
        {ok, Version} -> {abi, Version};
        {error, Reason} -> {lacking, Reason}
    end.

who(Drv, unused, true, Users) ->
    case alcove_sandbox_ids:take(node(Drv), Users) of
        {ok, Id} -> {ok, {Id, Id}};
        {error, Reason} -> {error, {user, Reason}}
    end;
who(_Drv, Ids, true, Users) ->
    case alcove_sandbox_ids:has_both(Ids, Users) of
        true -> {ok, Ids};
        false -> {error, {as, {unmapped, Ids}}}
    end;
who(Drv, unused, false, _Users) ->
    {ok, {alcove:geteuid(Drv, []), alcove:getegid(Drv, [])}};
who(Drv, Ids, false, Users) ->
    %% No other id is mapped.
    case who(Drv, unused, false, Users) of
        {ok, Ids} -> {ok, Ids};
        {ok, _} -> {error, {as, eperm}}
    end.

kind(Drv, Path) ->
    case alcove:lstat(Drv, [], Path) of
        {ok, #{type := symlink}} -> followed(Drv, Path);
        {ok, #{type := directory}} -> {directory, none};
        {ok, _} -> {file, none};
        {error, Reason} -> {without(Reason), none}
    end.

%% What there is where an lstat(2) fails.
without(Reason) when Reason =:= enoent; Reason =:= enotdir -> absent;
without(Reason) -> {unknown, Reason}.

followed(Drv, Path) ->
    case {alcove:stat(Drv, [], Path), alcove:readlink(Drv, [], Path)} of
        {{ok, #{type := directory}}, {ok, Link}} -> {directory, Link};
        {{ok, _}, {ok, Link}} -> {file, Link};
        {{error, Reason}, {ok, Link}} -> {without(Reason), Link};
        {_, {error, Reason}} -> {without(Reason), none}
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
        {error, Reason} ->
            without(Reason)
    end.

%% Whether there is a file of these bytes.
holds(Drv, Path, Bytes) ->
    Max = max(1, byte_size(Bytes)),
    {ok, Bytes} =:= alcove_file:read_regular({Drv, []}, Path, [o_nofollow], Max, infinity).

%% Whether something is mounted on the way from a directory to a path below it.
crosses(_Drv, _Dir, <<>>) ->
    false;
crosses(Drv, Dir, <<"/", Below/binary>>) ->
    case alcove:openat2(Drv, [], at_fdcwd, Dir, [o_path, o_cloexec], 0, []) of
        {ok, Fd} ->
            Flags = [o_path, o_nofollow, o_cloexec],
            Opened = alcove:openat2(Drv, [], Fd, Below, Flags, 0, [
                resolve_beneath, resolve_no_xdev
            ]),
            _ = [alcove:close(Drv, [], Other) || {ok, Other} <- [Opened]],
            _ = alcove:close(Drv, [], Fd),
            Opened =/= {error, enoent} andalso element(1, Opened) =:= error;
        {error, _} ->
            true
    end.

%% @doc The optional parts of a sandbox that a Drv can't provide, each with the error that shows it.
%%
%% Each part is tried by itself, by starting a program that can't be executed. A part is lacking
%% only if a call that is the part's own fails, and not for a shortage: any other error says nothing
%% about the machine, and ends the search.
-spec lacking(pid(), alcove_sandbox_spec:spec(), map()) ->
    {ok, #{atom() => term()}} | {error, term()}.
lacking(Drv, #{mounts := Mounts}, Options) ->
    #{namespaces := Namespaces} = Options,
    Users = [newuser || lists:member(newuser, Namespaces)],
    Try = fun(How) -> fun() -> alcove_sandbox_attempt:try_out(Drv, How) end end,
    search(
        Drv,
        [{keyring, [syscall], Try(#{setup => alcove_sandbox_parts:keyring()})}] ++
            %% Any filter will do: whether this one is a program is no matter of the machine.
            [
                {seccomp, [prctl], Try(#{seccomp => ?ALLOW, no_new_privs => true})}
             || is_map_key(seccomp, Options)
            ] ++
            [
                {user_namespace, [unshare], Try(#{setup => [{unshare, [[clone_newuser]]}]})}
             || Users =:= []
            ] ++
            [
                {proc, [fsopen, fsconfig, fsmount],
                    Try(#{
                        namespaces => [newns, newpid | Users],
                        setup => alcove_sandbox_attempt:cleared(Drv) ++
                            alcove_sandbox_parts:new_proc(alcove_sandbox_parts:first())
                    })}
             || {proc, _} <- Mounts
            ] ++
            [
                {ids, [uid_map, gid_map, setgroups],
                    Try(maps:with([namespaces, uid_map, gid_map], Options))}
             || is_map_key(uid_map, Options)
            ] ++
            [
                {cgroup, [cgroup], fun() -> group(Drv, Limits) end}
             || #{cgroup := Limits} <- [Options]
            ],
        #{}
    ).

search(_Drv, [], Lacking) ->
    {ok, Lacking};
search(Drv, [{Name, Own, Try} | Parts], Lacking) ->
    case Try() of
        ok ->
            search(Drv, Parts, Lacking);
        {error, {Call, _} = Why} ->
            case lists:member(Call, Own) andalso is_lack(Drv, Why) of
                true -> search(Drv, Parts, Lacking#{Name => Why});
                false -> {error, Why}
            end;
        {error, Why} ->
            {error, Why}
    end.

%% user_namespaces(7): no user namespace is left, or the machine has turned them off.
is_lack(Drv, {unshare, enospc}) ->
    alcove_file:read({Drv, []}, <<"/proc/sys/user/max_user_namespaces">>) =:= {ok, <<"0\n">>};
%% Any other error is about the limits of the spec, or about groups of which there are too many.
is_lack(Drv, {cgroup, {_Where, Reason}}) ->
    is_lack(Drv, {cgroup, Reason});
is_lack(_Drv, {cgroup, Reason}) ->
    lists:member(Reason, [enodev, enoent, eacces, eperm, erofs, ebusy, enosys]);
is_lack(_Drv, Why) ->
    not alcove_errors:is_shortage(Why).

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
%% Before Linux 5.11 close_range(2) doesn't know the flag that the first call has. What can't be
%% done without comes a version later.
named(Drv, {syscall, einval} = Reason) ->
    case alcove:mount_setattr(Drv, [], -1, "", 0, 0, 0, 0, 0) of
        {error, enosys} -> {mount_setattr, enosys};
        _ -> Reason
    end;
named(_Drv, Reason) ->
    Reason.

group(Drv, Limits) ->
    case alcove_cgroup:make(Drv, [], Limits) of
        {ok, Group} ->
            _ = alcove_cgroup:remove(Drv, [], Group),
            ok;
        {error, Reason} ->
            {error, {cgroup, Reason}}
    end.
