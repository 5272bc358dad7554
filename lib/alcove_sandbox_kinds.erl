%% @private
%% @doc What a sandbox may hold besides the mounts of {@link alcove_sandbox_plan}: paths that are
%% hidden or made read-only, sysfs, queues of messages, directories of memory with a mode, and
%% values of sysctl.
%%
%% All functions return calls, or what is needed to make them. An `Fd' that is passed is the lowest
%% free descriptor number.
-module(alcove_sandbox_kinds).

-export([is_own/2, tree/4, sysfs/1, tmpfs/3, read_only/3, sysctl/2, domainname/1, umask/1]).

%% Values of an IPC namespace.
-define(OWN, [
    <<"kernel.msgmax">>, <<"kernel.msgmnb">>, <<"kernel.msgmni">>, <<"kernel.sem">>,
    <<"kernel.shmall">>, <<"kernel.shmmax">>, <<"kernel.shmmni">>, <<"kernel.shm_rmid_forced">>
]).

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

%% @doc A path of the root that `Root' is open for, bound to itself with all that is mounted below
%% it, read-only; `Fd' and the next are free.
-spec read_only(pos_integer(), binary(), pos_integer()) -> alcove:calls().
read_only(Root, Path, Fd) ->
    Strict = [resolve_in_root, resolve_no_magiclinks, resolve_no_symlinks],
    [
        {openat2, [Root, Path, [o_path, o_cloexec], 0, Strict]},
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
    New = alcove_sandbox_parts:new_proc(Fd),
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
