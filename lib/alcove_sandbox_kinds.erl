%% @private
%% @doc What a sandbox may hold besides the mounts of {@link alcove_sandbox_plan}: paths that are
%% hidden or made read-only, sysfs, queues of messages, directories of memory with a mode, and
%% values of sysctl.
%%
%% All functions return calls, or what is needed to make them. An `Fd' that is passed is the lowest
%% free descriptor number.
-module(alcove_sandbox_kinds).

-export([sources/2, resolved/3, is_own/2]).
-export([tree/4, sysfs/1, tmpfs/3, read_only/2, sysctl/2, domainname/1, umask/1]).

-type root() :: alcove_sandbox_spec:root().
-type mount() :: alcove_sandbox_spec:mount().

%% Values of an IPC namespace.
-define(OWN, [
    <<"kernel.msgmax">>, <<"kernel.msgmnb">>, <<"kernel.msgmni">>, <<"kernel.sem">>,
    <<"kernel.shmall">>, <<"kernel.shmmax">>, <<"kernel.shmmni">>, <<"kernel.shm_rmid_forced">>
]).
%% The contents of a `dev'.
-define(DEVICES, [<<"null">>, <<"zero">>, <<"full">>, <<"random">>, <<"urandom">>, <<"tty">>]).

%% The path that tells much about the machine and its firmware; runc hides it, too.
-define(MASKED, [<<"/firmware">>, <<"/devices/virtual/powercap">>]).

%%--------------------------------------------------------------------
%% Paths that are hidden, or read-only
%%--------------------------------------------------------------------

%% @doc The paths of the host whose kinds have to be known, so that the kind of a path in the new
%% root is known.
-spec sources(root(), [mount()]) -> [binary()].
sources(Root, Mounts) ->
    Hiding = lists:append([hiding(Mount) || Mount <- Mounts]),
    lists:append([
        [Path | Above]
     || {_, Target} <- Hiding,
        {host, Source, Rest} <-
            [from_root(Root, Target)] ++
                [from(Mount, Target) || Mount <- Mounts] ++
                [{host, <<>>, Target} || lists:member(system, Mounts)],
        {Above, Path} <- [below(Source, Rest)]
    ]).

hiding({masked, Path}) -> [{masked, Path}];
hiding({read_only, Path}) -> [{read_only, Path}];
hiding({sysfs, Target}) -> [{masked, <<Target/binary, Path/binary>>} || Path <- ?MASKED];
hiding(_) -> [].

%% The paths between a directory and a path below it, and that path.
below(Source, Rest) ->
    Parts = [Part || Part <- binary:split(Rest, <<"/">>, [global]), Part =/= <<>>],
    {Paths, Last} = lists:mapfoldl(
        fun(Part, Above) -> {Above, <<Above/binary, "/", Part/binary>>} end, Source, Parts
    ),
    {lists:nthtail(min(1, length(Paths)), Paths), Last}.

%% @doc The mounts. Each mount that hides something gets the kind of what it hides: where nothing
%% is, nothing has to be hidden.
%%
%% A path with a symbolic link in it is an error, since it isn't known in advance where the link
%% leads inside.
-spec resolved(root(), [mount()], alcove_sandbox_plan:here()) -> [mount()].
resolved(Root, Mounts, Here) ->
    {Resolved, _} = lists:mapfoldl(
        fun(Mount, Before) ->
            {[Mount || not is_hiding(Mount)] ++
                    [
                        {How, Path, Kind}
                     || {How, Path} <- hiding(Mount),
                        Kind <- [kind(Path, Root, [Mount | Before], Here)],
                        Kind =/= absent
                    ],
                [Mount | Before]}
        end,
        [],
        Mounts
    ),
    lists:append(Resolved).

is_hiding({masked, _}) -> true;
is_hiding({read_only, _}) -> true;
is_hiding(_) -> false.

%% The last mount at a path determines what is there.
kind(Path, Root, Before, #{kinds := Kinds, links := Links}) ->
    Found = [At || Mount <- Before, At <- [from(Mount, Path)], At =/= none],
    case Found ++ [from_root(Root, Path)] of
        [{host, Source, Rest} | _] ->
            {Above, At} = below(Source, Rest),
            Named = [At || Rest =/= <<>>] ++ Above,
            lists:any(fun(One) -> is_map_key(One, Links) end, Named) andalso
                throw({plan, {Path, eloop}}),
            maps:get(At, Kinds, absent);
        [{own, link} | _] ->
            throw({plan, {Path, eloop}});
        [{own, Kind} | _] ->
            Kind;
        [none] ->
            made(Path, Before)
    end.

%% An empty root has the mount points that were made for the mounts; what hides something makes none.
made(Path, Before) ->
    Mounts = [Mount || Mount <- Before, not is_hiding(Mount)],
    case [Target || Mount <- Mounts, Target <- [target(Mount)], within(Target, Path) =/= none] of
        [] -> absent;
        _ -> directory
    end.

from_root({tmpfs, _}, _Path) -> none;
from_root(Root, Path) -> {host, element(2, Root), Path}.

%% The source of what a mount has at a path.
from({How, _}, _Path) when How =:= masked; How =:= read_only ->
    none;
from(Mount, Path) ->
    case {within(Path, target(Mount)), Mount} of
        {none, _} -> none;
        {Rest, {proc, _}} -> {host, <<"/proc">>, Rest};
        {Rest, {sysfs, _}} -> {host, <<"/sys">>, Rest};
        {Rest, {How, Source, _}} when How =:= ro; How =:= rw -> {host, Source, Rest};
        {Rest, {How, Source, _, _}} when How =:= ro; How =:= rw -> {host, Source, Rest};
        {<<>>, {file, _, _, _}} -> {own, file};
        {<<>>, _} -> {own, directory};
        {<<"/", Name/binary>>, {dev, _, Names}} -> {own, device(Name, Names)};
        %% The directory may have existed before, with its contents.
        {_, {dir, _, _}} -> none;
        {_, {symlink, _, _}} -> {own, link};
        {_, _} -> {own, absent}
    end.

device(Name, Names) ->
    case {lists:member(Name, [<<"pts">>, <<"shm">> | Names]), lists:member(Name, ?DEVICES)} of
        {true, _} -> directory;
        {false, true} -> file;
        {false, false} -> absent
    end.

target(system) -> <<>>;
target({dev, Target, _}) -> Target;
target({_, Target}) -> Target;
target({How, _, Target}) when How =:= ro; How =:= rw; How =:= symlink -> Target;
target({How, _, Target, _}) when How =:= ro; How =:= rw -> Target;
target(Mount) -> element(2, Mount).

%% The part of a path that is below another path, or `none'.
within(Path, Path) ->
    <<>>;
within(Path, Target) ->
    Size = byte_size(Target),
    case Path of
        <<Target:Size/binary, "/", _/binary>> when Size > 0 ->
            binary:part(Path, Size, byte_size(Path) - Size);
        _ ->
            none
    end.

%%--------------------------------------------------------------------
%% Calls
%%--------------------------------------------------------------------

%% @doc A copy of a mount: with everything that is mounted below it, or `alone'. All mounts of the
%% copy are equally restricted, and later mounts of the host don't appear in it.
-spec tree(binary(), [atom()], [noexec | alone], pos_integer()) -> alcove:calls().
tree(Source, Attributes, Options, Fd) ->
    Recursive = [at_recursive || not lists:member(alone, Options)],
    Set = Attributes ++ [mount_attr_noexec || lists:member(noexec, Options)],
    [
        {open_tree, [at_fdcwd, Source, [open_tree_clone, open_tree_cloexec | Recursive]]},
        {mount_setattr, [Fd, <<>>, [at_empty_path | Recursive], Set, [], [ms_private], 0]}
    ].

%% @doc A new sysfs of the process's network namespace, which can't be written to.
-spec sysfs(pos_integer()) -> alcove:calls().
sysfs(Fd) ->
    Attributes = [mount_attr_rdonly, mount_attr_nosuid, mount_attr_nodev, mount_attr_noexec],
    [
        {fsopen, [<<"sysfs">>, [fsopen_cloexec]]},
        {fsconfig, [Fd, fsconfig_cmd_create, <<>>, 0, 0]},
        {fsmount, [Fd, [], Attributes]},
        {dup2, [Fd + 1, Fd]},
        {close, [Fd + 1]}
    ].

%% @doc The flags and the data of a tmpfs for mount(2).
-spec tmpfs(pos_integer(), alcove_sandbox_spec:tmpfs(), alcove_sandbox_plan:here()) ->
    {[atom()], binary()}.
tmpfs(Size, Options, Here) ->
    Mode = maps:get(mode, Options, 8#700),
    Owner =
        case {maps:get(owner, Options, program), Here} of
            {program, #{owner := {Uid, Gid}}} ->
                io_lib:format(",uid=~b,gid=~b", [Uid, Gid]);
            _ ->
                ""
        end,
    Data = io_lib:format("mode=~.8b,size=~b~s", [Mode, Size, Owner]),
    Flags = [
        Flag
     || {Name, Flag} <- [{noexec, ms_noexec}, {ro, ms_rdonly}], maps:get(Name, Options, false)
    ],
    {[ms_nosuid, ms_nodev | Flags], iolist_to_binary(Data)}.

%% @doc A path bound to itself with all that is mounted below it, read-only; `Fd' and the next are
%% free.
-spec read_only(binary(), pos_integer()) -> alcove:calls().
read_only(Path, Fd) ->
    Strict = [resolve_in_root, resolve_no_magiclinks, resolve_no_symlinks],
    [
        {openat2, [at_fdcwd, Path, [o_path, o_cloexec], 0, Strict]},
        {open_tree, [Fd, <<>>, [open_tree_clone, open_tree_cloexec, at_empty_path, at_recursive]]},
        {mount_setattr, [
            Fd + 1, <<>>, [at_empty_path, at_recursive], [mount_attr_rdonly], [], 0, 0
        ]},
        {move_mount, [
            Fd + 1, <<>>, Fd, <<>>, [move_mount_f_empty_path, move_mount_t_empty_path]
        ]},
        {close, [Fd + 1]},
        {close, [Fd]}
    ].

%% @doc Whether a kernel parameter belongs to namespaces that a sandbox has for itself: all others
%% are the machine's.
-spec is_own(binary(), Isolated :: boolean()) -> boolean().
is_own(Name, Isolated) ->
    Parts = "^[a-z0-9_-]+(\\.[a-zA-Z0-9_-]+)+$",
    re:run(Name, Parts, [{capture, none}, dollar_endonly]) =:= match andalso
        case Name of
            <<"net.", _/binary>> -> Isolated;
            <<"fs.mqueue.", _/binary>> -> true;
            _ -> lists:member(Name, ?OWN)
        end.

%% @doc Sets kernel parameters of the process's own namespaces, through a proc that isn't mounted on
%% any path.
-spec sysctl([{binary(), binary()}], pos_integer()) -> alcove:calls().
sysctl([], _Fd) ->
    [];
sysctl(Values, Fd) ->
    New = alcove_sandbox_plan:new_proc(Fd),
    Close = [{close, [Fd + 1]}, {close, [Fd]}],
    New ++ lists:append([sysctl(Name, Value, Fd + 1) || {Name, Value} <- Values]) ++ Close.

sysctl(Name, Value, Proc) ->
    Path = <<"sys/", (binary:replace(Name, <<".">>, <<"/">>, [global]))/binary>>,
    [
        {openat2, [Proc, Path, [o_wronly, o_cloexec], 0, [resolve_beneath, resolve_no_symlinks]]},
        {write, [Proc + 1, Value]},
        {close, [Proc + 1]}
    ].

%% @doc Sets the domain name of the process's own UTS namespace.
-spec domainname(binary()) -> alcove:calls().
domainname(<<>>) -> [];
domainname(Name) -> [{syscall, [setdomainname, [Name, byte_size(Name)]]}].

%% @doc Sets the umask.
-spec umask(alcove:mode() | inherit) -> alcove:calls().
umask(inherit) -> [];
umask(Mask) -> [{syscall, [umask, [Mask]]}].
