%% @doc A container of Linux namespaces and a control group.
%%
%% The sandbox of {@link chrootex}, but cloned into new namespaces (see
%% namespaces(7)) instead of forked: it has its own host name, its own network
%% with nothing but a loopback device that is down, its own mounts and System V
%% IPC, and it is process 1 of a process tree of its own, which the kernel kills
%% when it ends. What it may use is no longer limited process by process: all
%% sandboxes of a Drv are in one control group (see cgroups(7)) and share one CPU and
%% 16 MiB of memory.
%%
%% ```
%% 1> Drv = nsex:start().
%% <0.95.0>
%% 2> Sh = nsex:sandbox(Drv, ["/bin/busybox", "sh"]).
%% 31901
%% 3> alcove:stdin(Drv, [Sh], "echo $$\n").
%% true
%% 4> alcove:stdout(Drv, [Sh]).
%% <<"1\n">>
%% 5> Second = nsex:enter(Drv, Sh, ["/bin/busybox", "sh"]).
%% [31907,31908]
%% 6> alcove:stdin(Drv, Second, "echo $$\n").
%% true
%% 7> alcove:stdout(Drv, Second).
%% <<"2\n">>
%% 8> nsex:stop(Drv).
%% ok
%% '''
%%
%% Namespaces and control groups take root's rights: `start/0' asks sudo for them, and
%% a VM that runs as root says `nsex:start([])'. {@link nsex_rootless} does without.
%%
%% The group is made in whichever version of control groups the machine has. A limit
%% that it has no controller for is left out: `alcove_cgroup:stats(Drv, [],
%% nsex:cgroup(Drv))' tells which are in force. When Drv ends without {@link stop/1}, its
%% sandboxes end as well, but the empty group stays.
-module(nsex).

-export([start/0, start/1, stop/1]).
-export([sandbox/1, sandbox/2, sandbox/3, enter/3, cgroup/1]).

-define(MEMORY, 16 * 1024 * 1024).

-define(NAMESPACES, [
    % System V IPC and POSIX message queues
    clone_newipc,
    % network
    clone_newnet,
    % mounts
    clone_newns,
    % process ids: the child is process 1
    clone_newpid,
    % host name
    clone_newuts
]).

%% @doc Starts alcove through sudo.
-spec start() -> alcove:drv().
start() ->
    start([{exec, "sudo -n"}]).

%% @doc Starts alcove with options of `alcove_drv:start/1', and makes the control group.
-spec start([alcove_drv:option()]) -> alcove:drv().
start(Options) ->
    {ok, Drv} = alcove_drv:start(Options),
    try
        setlimits(Drv),
        Drv
    catch
        Class:Reason:Stack ->
            stop(Drv),
            erlang:raise(Class, Reason, Stack)
    end.

%% @doc Ends all sandboxes, removes their control group and stops alcove.
-spec stop(alcove:drv()) -> ok.
stop(Drv) ->
    try
        Cgroup = cgroup(Drv),
        % There is none if it couldn't be made.
        _ = alcove_cgroup:kill(Drv, [], Cgroup),
        ok = if_there(alcove_cgroup:destroy(Drv, [], Cgroup))
    after
        alcove_drv:stop(Drv)
    end.

%% @doc The control group of a Drv, which is named after the port.
-spec cgroup(alcove:drv()) -> alcove_cgroup:name().
cgroup(Drv) ->
    ["alcove-" ++ integer_to_list(alcove:getpid(Drv))].

setlimits(Drv) ->
    Cgroup = cgroup(Drv),
    % The first of the CPUs that there are for the port.
    {ok, [Cpu | _]} = alcove:sched_getaffinity(Drv, 0),
    ok = if_there(alcove_cgroup:create(Drv, [], Cgroup)),
    ok = if_there(alcove_cgroup:limit(Drv, [], Cgroup, #{cpus => integer_to_list(Cpu)})),
    ok = if_there(alcove_cgroup:limit(Drv, [], Cgroup, #{memory => ?MEMORY})),
    % This may fail: not every kernel counts what is swapped out.
    _ = alcove_cgroup:limit(Drv, [], Cgroup, #{swap => 0}),
    ok.

%% A machine may be without this controller, or without control groups.
if_there({error, enodev}) -> ok;
if_there({error, {_, enodev}}) -> ok;
if_there(Result) -> Result.

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
sandbox(Drv, Pids, Argv) ->
    {Root, Arg0, Args} = chrootex:argv(Argv),
    {ok, Child} = alcove:clone(Drv, Pids, ?NAMESPACES),
    Path = Pids ++ [Child],
    join_cgroup(Drv, Path),
    become(Drv, Path, Root, chrootex:id(), [Arg0 | Args]),
    Child.

%% Before it becomes the program: children that are forked earlier would stay outside.
join_cgroup(Drv, Path) ->
    % 0 is whoever writes it.
    ok = if_there(alcove_cgroup:attach(Drv, Path, cgroup(Drv), 0)).

%% A process group reaches over pid namespaces: kill(2) of 0 would be for the event loops
%% too. So the program gets a session, and a group, of its own.
become(Drv, Path, Root, Id, Argv) ->
    Confine = chrootex:chroot(Root) ++ chrootex:drop_privs(Id),
    {ok, _} = alcove:batch(Drv, Path, [{setsid, []} | Confine] ++ chrootex:exec(Argv)),
    ok.

%% @doc Runs a program in a container that there is: in its namespaces, as its user, with
%% the same limits. Gives back the fork path.
%%
%% Nobody changes the pid namespace that they are in themselves, only that of their
%% children. So a process enters the namespaces, and forks the one that becomes the
%% program.
-spec enter(alcove:drv(), Sandbox :: alcove:os_pid(), [string()]) -> alcove:fork_path().
enter(Drv, Sandbox, Argv) ->
    {Root, Arg0, Args} = chrootex:argv(Argv),
    {ok, #{uid := Id}} = alcove:stat(Drv, ["/proc/", integer_to_list(Sandbox)]),
    {ok, Door} = alcove:fork(Drv),
    join_cgroup(Drv, [Door]),
    {ok, Fd} = alcove:pidfd_open(Drv, [Door], Sandbox, 0),
    ok = alcove:setns(Drv, [Door], Fd, ?NAMESPACES),
    {ok, Child} = alcove:fork(Drv, [Door]),
    Path = [Door, Child],
    become(Drv, Path, Root, Id, [Arg0 | Args]),
    Path.
