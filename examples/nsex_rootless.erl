%% @doc A container for an ordinary user: no root, no sudo.
%%
%% As {@link nsex}, but with a user namespace (see user_namespaces(7)) besides the
%% others. In there the new process may do what takes root's rights elsewhere, with
%% what belongs to its namespaces: it mounts file systems, and changes its root
%% directory. Before it becomes the program it has an id that is nobody's, which the
%% kernel takes for the user's own outside; with exec the rights are gone.
%%
%% ```
%% 1> Drv = nsex_rootless:start().
%% <0.95.0>
%% 2> Sh = nsex_rootless:sandbox(Drv, ["/bin/busybox", "sh"]).
%% 31901
%% 3> alcove:stdin(Drv, [Sh], "busybox id -u; busybox ls /; busybox ps -o pid,args\n").
%% true
%% 4> alcove:stdout(Drv, [Sh]).
%% <<"4026585092\nbin\nproc\ntmp\nPID   COMMAND\n    1 /bin/busybox sh\n...">>
%% 5> nsex_rootless:stop(Drv).
%% ok
%% '''
%%
%% The root directory is made for the container: `/bin' is the directory of the program,
%% read-only, `/proc' shows the processes in the container, `/tmp' is empty and takes 1
%% MiB. The program has to be static.
%%
%% Control groups would take the rights of root, or a group that an administrator gives
%% to the user. So each process of the container is limited by itself, to 16 MiB of
%% address space, and the container as a whole is not.
%%
%% Root has no use for this: what is root outside would stay root for the files outside.
-module(nsex_rootless).

-export([start/0, start/1, stop/1, sandbox/1, sandbox/2, sandbox/3]).

-include_lib("alcove/include/alcove.hrl").

-define(ADDRESS_SPACE, 16 * 1024 * 1024).

%% Where the root directory is put together. What is there outside is covered up inside.
-define(ROOT, "/mnt").

-define(NAMESPACES, [
    clone_newuser,
    clone_newcgroup,
    clone_newipc,
    clone_newnet,
    clone_newns,
    clone_newpid,
    clone_newuts
]).

%% @equiv start([])
-spec start() -> alcove:drv().
start() ->
    start([]).

%% @doc Starts alcove with options of `alcove_drv:start/1'.
-spec start([alcove_drv:option()]) -> alcove:drv().
start(Options) ->
    {ok, Drv} = alcove_drv:start(Options),
    Drv.

%% @doc Ends all containers and stops alcove. The mounts go with the last process that
%% sees them.
-spec stop(alcove:drv()) -> ok.
stop(Drv) ->
    alcove_drv:stop(Drv).

%% @doc Runs `cat' in a container.
-spec sandbox(alcove:drv()) -> alcove:os_pid().
sandbox(Drv) ->
    sandbox(Drv, ["/bin/busybox", "cat"]).

%% @doc Runs a static program in a container: its path and its arguments. Gives back
%% the process id that the program has outside.
-spec sandbox(alcove:drv(), [string()]) -> alcove:os_pid().
sandbox(Drv, Argv) ->
    sandbox(Drv, [], Argv).

%% @doc The same, as a child of the process at a fork path.
-spec sandbox(alcove:drv(), alcove:fork_path(), [string()]) -> alcove:os_pid().
sandbox(Drv, Pids, [Program | Args]) ->
    {ok, Child} = alcove:clone(Drv, Pids, ?NAMESPACES),
    Path = Pids ++ [Child],
    map_ids(Drv, Pids, Child, chrootex:id()),
    change_root(Drv, Path, filename:dirname(Program)),
    Limit = #alcove_rlimit{cur = ?ADDRESS_SPACE, max = ?ADDRESS_SPACE},
    Arg0 = filename:join("/bin", filename:basename(Program)),
    {ok, _} = alcove:batch(Drv, Path, [
        % A process group reaches over pid namespaces, and outside the user is the same:
        % kill(2) of 0 would end the event loops.
        {setsid, []},
        {setrlimit, [rlimit_as, Limit]},
        {prctl, [pr_set_no_new_privs, 1, 0, 0, 0]},
        {execve, [Arg0, [Arg0 | Args], ["PATH=/bin"]]}
    ]),
    Child.

%% Says what the ids in the new user namespace are outside. Its parent does: the process
%% itself has no rights over the ids outside.
%%
%% setgroups(2) is denied first. A group can also be what keeps its members from
%% something, and whoever could leave it would get there; the kernel takes no map of
%% group ids before that.
map_ids(Drv, Pids, Child, Id) ->
    Map = fun(Outside) -> io_lib:format("~b ~b 1", [Id, Outside]) end,
    write(Drv, Pids, Child, "setgroups", "deny"),
    write(Drv, Pids, Child, "uid_map", Map(alcove:getuid(Drv, Pids))),
    write(Drv, Pids, Child, "gid_map", Map(alcove:getgid(Drv, Pids))).

write(Drv, Pids, Child, File, Text) ->
    Name = filename:join(["/proc", integer_to_list(Child), File]),
    % The kernel wants a map in one piece.
    ok = alcove:write_file(Drv, Pids, Name, [], 0, Text).

change_root(Drv, Path, Programs) ->
    In = fun(Name) -> filename:join(?ROOT, Name) end,
    {ok, _} = alcove:batch(Drv, Path, [
        % Nothing that is mounted here is seen outside, nor the other way round.
        {mount, ["none", "/", "", [rec, private], ""]},
        {mount, ["tmpfs", ?ROOT, "tmpfs", [nosuid, nodev], "size=1m,mode=755"]},
        {mkdir, [In("bin"), 8#755]},
        {mkdir, [In("proc"), 8#555]},
        {mkdir, [In("tmp"), 8#1777]},
        {mount, [Programs, In("bin"), "", [bind, rec], ""]},
        % Not a remount: that leaves what is mounted below as it is.
        {mount_setattr, [at_fdcwd, In("bin"), at_recursive, mount_attr_rdonly, 0, 0, 0]},
        {mount, ["tmpfs", In("tmp"), "tmpfs", [nosuid, nodev, noexec], "size=1m,mode=1777"]}
    ]),
    case alcove:mount(Drv, Path, "proc", In("proc"), "proc", [nosuid, nodev, noexec], "") of
        ok -> ok;
        % Where parts of /proc are covered up, as in many containers, nobody gets a new one.
        {error, eperm} -> ok
    end,
    {ok, _} = alcove:batch(Drv, Path, [
        % The rest stays as it was made.
        {mount, ["none", ?ROOT, "", [bind, remount, rdonly, nosuid, nodev], ""]},
        {chroot, [?ROOT]},
        {chdir, ["/"]}
    ]),
    ok.
