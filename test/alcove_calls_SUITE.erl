%% @doc One case for each call that the first suite, alcove_SUITE, has none for, with
%% the call's name: what it does to the real kernel, and how it fails.
-module(alcove_calls_SUITE).

-include_lib("stdlib/include/assert.hrl").
-include_lib("kernel/include/file.hrl").
-include("alcove.hrl").

-compile({no_auto_import, [link/1, getpgid/1]}).

-export([suite/0, all/0, groups/0, init_per_suite/1, end_per_suite/1,
         init_per_testcase/2, end_per_testcase/2]).
%% the documentation
-export([calls_md_is_up_to_date/1, every_call_is_documented/1, constants/1, errno_id/1, new_defines/1]).
%% ids and privileges
-export([geteuid/1, getegid/1, getresuid/1, getresgid/1, setresuid/1, setresgid/1, getgroups/1,
         setgroups/1, capget/1, capset/1, cap_get_bound/1, cap_drop_bound/1, cap_get_ambient/1,
         cap_set_ambient/1, seccomp/1, dropped_for_good/1, getrandom/1, getdomainname/1,
         setdomainname/1]).
%% files
-export([unlink/1, link/1, symlink/1, readlink/1, rename/1, mkfifo/1, mknod/1, stat/1, lstat/1,
         fstat/1, access/1, utimens/1, openat2/1, memfd_create/1, read_file/1, write_file/1]).
%% file descriptors
-export([fcntl/1, ioctl/1, dup/1, dup2/1, pipe/1, ftruncate/1, fsync/1, pread/1, pwrite/1, poll/1,
         openpty/1, window_size/1, control_socket_is_invisible/1, no_open_files/1, wide_limits/1]).
%% mounts and confinement
-export([umount2/1, pivot_root/1, mount_setattr/1, open_tree/1, move_mount/1, fsopen/1, fsconfig/1,
         fsmount/1, setns_fd/1, landlock_abi/1, landlock_create_ruleset/1, landlock_add_rule/1,
         landlock_restrict_self/1]).
%% processes
-export([filter/1, getcpid/1, setcpid/1, cpid/1, flowcontrol/1, signaloneof/1, signals_of_the_end/1]).
-export([getppid/1, getpgid/1, getpriority/1, setpriority/1, waitpid/1, fexecve/1, setproctitle/1,
         sched_getaffinity/1, sched_setaffinity/1, getrusage/1, ptrace/1, ptrace_untold_stop/1,
         pidfd_open/1,
         pidfd_send_signal/1]).
%% sockets
-export([socket/1, socketpair/1, connect/1, bind/1, listen/1, accept/1, getsockname/1, getpeername/1,
         getsockopt/1, setsockopt/1, shutdown/1, sendmsg/1, recvmsg/1]).
%% network devices
-export([netdev_veth/1, netdev_up/1, netdev_address/1, netdev_route/1, netdev_unused/1]).
%% any system call
-export([syscall/1]).
%% what only BSDs have
-export([pledge/1, unveil/1, jail/1, jail_attach/1, jail_remove/1, cap_enter/1, procctl/1]).

suite() ->
    alcove_test:suite().

all() ->
    [{group, Group} || {Group, _, _} <- groups()].

groups() ->
    [{documentation, [], [calls_md_is_up_to_date, every_call_is_documented, constants, errno_id, new_defines]},
     {privileges, [], [geteuid, getegid, getresuid, getresgid, setresuid, setresgid, getgroups,
                       setgroups, capget, capset, cap_get_bound, cap_drop_bound, cap_get_ambient,
                       cap_set_ambient, seccomp, dropped_for_good, getrandom, getdomainname,
                       setdomainname]},
     {files, [], [unlink, link, symlink, readlink, rename, mkfifo, mknod, stat, lstat, fstat,
                  access, utimens, openat2, memfd_create, read_file, write_file]},
     {descriptors, [], [fcntl, ioctl, dup, dup2, pipe, ftruncate, fsync, pread, pwrite, poll, openpty,
                        window_size, control_socket_is_invisible, no_open_files, wide_limits]},
     {confinement, [], [umount2, pivot_root, mount_setattr, open_tree, move_mount, fsopen, fsconfig,
                        fsmount, setns_fd, landlock_abi, landlock_create_ruleset, landlock_add_rule,
                        landlock_restrict_self]},
     {children, [], [filter, getcpid, setcpid, cpid, flowcontrol, signaloneof, signals_of_the_end]},
     {processes, [], [getppid, getpgid, getpriority, setpriority, waitpid, fexecve, setproctitle,
                      sched_getaffinity, sched_setaffinity, getrusage, ptrace, ptrace_untold_stop,
                      pidfd_open,
                      pidfd_send_signal]},
     {sockets, [], [socket, socketpair, connect, bind, listen, accept, getsockname, getpeername,
                    getsockopt, setsockopt, shutdown, sendmsg, recvmsg]},
     {network, [], [netdev_veth, netdev_up, netdev_address, netdev_route, netdev_unused]},
     {any, [], [syscall]},
     {bsd, [], [pledge, unveil, jail, jail_attach, jail_remove, cap_enter, procctl]}].

init_per_suite(Config) ->
    alcove_test:init_suite(Config).

end_per_suite(_Config) ->
    ok.

init_per_testcase(_Case, Config) ->
    alcove_test:init_case([], Config).

end_per_testcase(_Case, Config) ->
    alcove_test:end_case(Config).

%% A way to make calls in a process.
calls(Config, Path) ->
    Drv = alcove_test:drv(Config),
    fun(Call, Args) -> apply(alcove, Call, [Drv, Path | Args]) end.

%% The same in a new child, for what can't be taken back.
in_child(Config) ->
    calls(Config, alcove_test:fork(alcove_test:drv(Config), [])).

%% The same in a child with mounts of its own, which nobody else sees.
in_mounts(Config) ->
    Drv = alcove_test:drv(Config),
    {ok, Pid} = alcove:clone(Drv, [clone_newns, clone_newuts]),
    Do = calls(Config, [Pid]),
    ok = Do(mount, ["", "/", "", [ms_rec, ms_private], ""]),
    Do.

%% The same in a child without privileges.
unprivileged(Config) ->
    Do = in_child(Config),
    ok = Do(setgroups, [[]]),
    ok = Do(setresgid, [65534, 65534, 65534]),
    ok = Do(setresuid, [65534, 65534, 65534]),
    Do.

file(Config, Name) ->
    filename:join(alcove_test:tmp(Config), Name).

directory(Config, Name) ->
    Path = file(Config, Name),
    ok = file:make_dir(Path),
    Path.

written(Config, Name, Bytes) ->
    Path = file(Config, Name),
    ok = file:write_file(Path, Bytes),
    Path.

root(Fun) ->
    alcove_test:need([root], Fun).

mounts(Fun) ->
    mounts([], Fun).

mounts(Calls, Fun) ->
    alcove_test:need([root, namespaces | [{call, Call} || Call <- Calls]], Fun).

status(Pid, Field) ->
    {ok, Status} = file:read_file(lists:concat(["/proc/", Pid, "/status"])),
    {match, [Value]} = re:run(Status, ["^", Field, ":[ \t]*(.*)$"],
                              [multiline, {capture, all_but_first, binary}]),
    Value.

%% ---------------------------------------------------------------------------
%% Children and their options
%% ---------------------------------------------------------------------------

filter(Config) ->
    undef(Config, fun(Drv) -> alcove:filter(Drv, [getuid, fork]) end, []),
    Drv = alcove_test:drv(Config),
    Path = alcove_test:path(Config),
    {ok, Free} = alcove:fork(Drv, Path),
    undef(Config, fun(D) -> alcove:filter(D, Path, {deny, [getuid, fork]}) end, Path),
    %% What was forked before is not bound by it, what is forked later is.
    true = is_integer(alcove:getuid(Drv, Path ++ [Free])),
    {ok, Bound} = alcove:clone(Drv, Path, []),
    ?assertError(undef, alcove:getuid(Drv, Path ++ [Bound])),
    %% A second filter refuses more, never less.
    ok = alcove:filter(Drv, Path ++ [Bound], {allow, [getuid, getpid, exit]}),
    ?assertError(undef, alcove:getuid(Drv, Path ++ [Bound])),
    ?assertError(undef, alcove:getgid(Drv, Path ++ [Bound])),
    ?assertError(undef, alcove:filter(Drv, Path ++ [Bound], [])),
    Bound = alcove:getpid(Drv, Path ++ [Bound]),
    ok = alcove:exit(Drv, Path ++ [Bound], 0),
    [alcove_test:badarg(fun() -> alcove:filter(Drv, Path, Calls) end)
     || Calls <- [x, [no_such_call], [1], {allow, x}, {other, [getuid]}, [getuid | fork], {deny, [getuid], 1}]].

undef(Config, Filter, Path) ->
    Drv = alcove_test:drv(Config),
    ok = Filter(Drv),
    ?assertError(undef, alcove:getuid(Drv, Path)),
    ?assertError(undef, alcove:fork(Drv, Path)),
    ?assertError(undef, alcove:call(Drv, Path, getuid, [])),
    {error, {2, getuid, undef}} = alcove:batch(Drv, Path, [{getpid, []}, {getuid, []}]),
    ?assertError(undef, alcove:spawn(Drv, Path, fork, [{getpid, []}])),
    true = is_integer(alcove:getgid(Drv, Path)).

getcpid(Config) ->
    alcove_test:both(Config,
         fun(Do) ->
                 {ok, Child} = Do(fork, []),
                 15 = Do(getcpid, [Child, signaloneof]),
                 -1 = Do(getcpid, [Child, flowcontrol]),
                 false = Do(getcpid, [Child, no_such_option]),
                 false = Do(getcpid, [1, signaloneof]),
                 false = Do(getcpid, [1, flowcontrol]),
                 [alcove_test:badarg(fun() -> Do(getcpid, [Pid, Option]) end)
                  || {Pid, Option} <- [{a, signaloneof}, {Child, 1}, {1 bsl 40, signaloneof}]],
                 [15, -1] = [Do(getcpid, [Child, Option]) || Option <- ['SIGNALONEOF', 'FLOWCONTROL']]
         end),
    Drv = alcove_test:drv(Config),
    [alcove_test:badpid(fun() -> alcove:call(Drv, [1], Call, [1, Option | Value]) end)
     || Option <- [signaloneof, flowcontrol], {Call, Value} <- [{getcpid, []}, {setcpid, [1]}]].

setcpid(Config) ->
    alcove_test:both(Config,
         fun(Do) ->
                 {ok, Child} = Do(fork, []),
                 [begin
                      true = Do(setcpid, [Child, Option, Value]),
                      Value = Do(getcpid, [Child, Option])
                  end || {Option, Values} <- [{signaloneof, [0, 64, 9]}, {flowcontrol, [0, 7, -1]}],
                         Value <- Values],
                 [false = Do(setcpid, [Pid, Option, Value])
                  || {Pid, Option, Value} <- [{Child, signaloneof, -1}, {Child, signaloneof, 65},
                                              {Child, flowcontrol, -2}, {Child, flowcontrol, 1 bsl 40},
                                              {Child, maxchild, 1}, {1, signaloneof, 9}, {1, flowcontrol, 1}]],
                 [alcove_test:badarg(fun() -> Do(setcpid, [Pid, Option, Value]) end)
                  || {Pid, Option, Value} <- [{a, signaloneof, 1}, {Child, signaloneof, a},
                                              {Child, flowcontrol, a}, {a, flowcontrol, 1}]],
                 %% What is set for children is theirs from the start.
                 true = Do(setopt, [signaloneof, 2]),
                 true = Do(setopt, [flowcontrol, 3]),
                 {ok, Other} = Do(fork, []),
                 [2, 3] = [Do(getcpid, [Other, Option]) || Option <- [signaloneof, flowcontrol]],
                 [9, -1] = [Do(getcpid, [Child, Option]) || Option <- [signaloneof, flowcontrol]],
                 [false = Do(setopt, [Option, Value])
                  || {Option, Value} <- [{signaloneof, 65}, {signaloneof, -1}, {flowcontrol, -2}]]
         end).

cpid(Config) ->
    Drv = alcove_test:drv(Config),
    Path = alcove_test:path(Config),
    [] = alcove:cpid(Drv, Path),
    {ok, Loop} = alcove:fork(Drv, Path),
    {ok, Program} = alcove:spawn(Drv, Path, fork, [{execvp, ["cat", ["cat"]]}]),
    [#{pid := Loop, state := event_loop, flowcontrol := -1, signaloneof := 15},
     #{pid := Program, state := exec}] = alcove:cpid(Drv, Path),
    [Parent] = Path,
    [Parent] = [Pid || #{pid := Pid} <- alcove:cpid(Drv)],
    %% A process that won't tell what is its own to know.
    {ok, Silent} = alcove:fork(Drv, Path),
    {ok, Child} = alcove:fork(Drv, Path ++ [Silent]),
    ok = alcove:filter(Drv, Path ++ [Silent], {allow, [getpid]}),
    [#{pid := Child, state := event_loop, flowcontrol := -1, signaloneof := false}] =
        alcove:cpid(Drv, Path ++ [Silent]),
    alcove_test:badpid(fun() -> alcove:cpid(Drv, [1]) end),
    alcove_test:badarg(fun() -> alcove:cpid(Drv, x) end).

%% The owner gets as many messages as it asked for, then the rest, then the end.
flowcontrol(Config) ->
    Drv = alcove_test:drv(Config),
    true = alcove:setopt(Drv, exit_status, 1),
    true = alcove:setopt(Drv, flowcontrol, 1),
    Script = "echo 1; read x; echo 2; read x; echo 3",
    {ok, Pid} = alcove:spawn(Drv, [], fork, [{execvp, ["sh", ["sh", "-c", Script]]}]),
    <<"1\n">> = alcove:stdout(Drv, [Pid]),
    true = alcove:stdin(Drv, [Pid], "\n\n"),
    0 = alcove:getcpid(Drv, Pid, flowcontrol),
    false = alcove:stdout(Drv, [Pid], 200),
    false = alcove:event(Drv, [Pid], 0),
    true = alcove:setcpid(Drv, Pid, flowcontrol, -1),
    {<<"2\n3\n">>, {exit_status, 0}} = alcove_test:output(Drv, [Pid]).

%% A program hears of the end of its Drv by the signal that was asked for.
signaloneof(Config) ->
    Drv = alcove_test:drv(Config),
    Path = alcove_test:path(Config),
    File = file(Config, "signal"),
    true = alcove:setopt(Drv, Path, signaloneof, alcove:signal_define(Drv, sigusr1)),
    _ = listener(Drv, Path, first_signal(File)),
    ok = alcove_drv:stop(Drv),
    {ok, <<"usr1\n">>} = file:read_file(File).

%% It does at any depth. Who is to get no signal, and whose parent is busy, is asked by SIGTERM in
%% the end, as is whoever has lost its parent.
signals_of_the_end(Config) ->
    {ok, Drv} = alcove_drv:start([{signaloneof, alcove:signal_define(self(), sigusr1)}]),
    [{ok, Loop}, {ok, Busy}, {ok, Quiet}] = [alcove:fork(Drv) || _ <- [loop, busy, quiet]],
    true = alcove:setopt(Drv, [Quiet], signaloneof, 0),
    File = fun(Name) -> file(Config, Name) end,
    _ = listener(Drv, [], first_signal(File("root"))),
    _ = listener(Drv, [Loop], first_signal(File("loop"))),
    _ = listener(Drv, [Busy], every_signal(File("busy"))),
    _ = listener(Drv, [Quiet], every_signal(File("quiet"))),
    _ = listener(Drv, [], ["( ", first_signal(File("orphan")), ") & exit"]),
    {ok, Reader, _} = alcove:pipe(Drv, [Busy]),
    ?assertExit(timeout, alcove:call(Drv, [Busy], read, [Reader, 1], 0)),
    ok = alcove_drv:stop(Drv),
    ?assertEqual([{"root", {ok, <<"usr1\n">>}}, {"loop", {ok, <<"usr1\n">>}}, {"busy", {ok, <<"term\n">>}},
                  {"quiet", {ok, <<"term\n">>}}, {"orphan", {ok, <<"term\n">>}}],
                 [{Name, file:read_file(File(Name))}
                  || Name <- ["root", "loop", "busy", "quiet", "orphan"]]).

%% A shell script that is ready for signals.
listener(Drv, Path, Script) ->
    {ok, Pid} = alcove:spawn(Drv, Path, fork, [{execvp, ["sh", ["sh", "-c", Script]]}]),
    <<"ready\n">> = alcove:stdout(Drv, Path ++ [Pid]),
    Pid.

%% What comes is written down, SIGUSR1 first if both come at once.
every_signal(File) ->
    signals(File, "").

%% Only what comes first: a program that takes its time to end is asked once more.
first_signal(File) ->
    signals(File, "trap \"\" USR1 TERM; ").

signals(File, Before) ->
    Writes = fun(What) -> ["'", Before, "echo ", What, " >> ", File, "; exit'"] end,
    ["trap ", Writes("usr1"), " USR1; trap ", Writes("term"), " TERM; ",
     "mkfifo ", File, ".fifo; exec 3<> ", File, ".fifo; echo ready; read x <&3"].

%% ---------------------------------------------------------------------------
%% The documentation
%% ---------------------------------------------------------------------------

calls_md_is_up_to_date(_Config) ->
    Script = filename:join([alcove_test:top(), "scripts", "gen-calls.escript"]),
    Ebin = filename:dirname(code:which(alcove_nif)),
    {ok, Written} = file:read_file(filename:join([alcove_test:top(), "docs", "calls.md"])),
    Generated = unicode:characters_to_binary(os:cmd("escript " ++ alcove_test:quote(Script) ++ " " ++ alcove_test:quote(Ebin))),
    case Generated of
        Written -> ok;
        _ -> ct:fail("docs/calls.md is old: scripts/gen-calls.escript > docs/calls.md")
    end.

%% Every function of a call has a spec; one form is documented, the other refers to it.
every_call_is_documented(_Config) ->
    {_, Doc} = edoc:get_doc(filename:join([alcove_test:top(), "lib", "alcove.erl"]),
                            [{preprocess, true},
                             {includes, [filename:join(alcove_test:top(), "include")]}]),
    Function = fun(Name, Arity, Condition) ->
                       Path = io_lib:format("//function[@name='~s' and @arity='~b']~s",
                                            [Name, Arity, Condition]),
                       xmerl_xpath:string(lists:flatten(Path), Doc) =/= []
               end,
    Missing = [{Name, Arity}
               || {Name, _, Args, _, _, _} <- alcove_nif:calls(),
                  {Arity, Text} <- [{length(Args) + 1, "[equiv and typespec]"},
                                    {length(Args) + 2, "[(description or equiv) and typespec]"}],
                  not Function(Name, Arity, Text)],
    ?assertEqual([], Missing).

constants(_Config) ->
    All = alcove:constants(),
    ?assertEqual(lists:sort([clone, file, mount, prctl, rlimit, signal, syscall, process, socket, poll,
                             ioctl, landlock]),
                 lists:sort(maps:keys(All))),
    maps:foreach(fun(Group, Constants) ->
                         ?assertNotEqual({Group, []}, {Group, Constants}),
                         ?assertEqual(Constants, alcove:constants(Group)),
                         [?assertEqual({Name, Value}, {Name, alcove_nif:define(Group, Name)})
                          || {Name, Value} <- Constants]
                 end, All),
    [] = alcove:constants(nonesuch).

errno_id(Config) ->
    Drv = alcove_test:drv(Config),
    alcove_test:both(Config,
         fun(Do) ->
                 enoent = Do(errno_id, [2]),
                 eagain = Do(errno_id, [11]),
                 [unknown = Do(errno_id, [N]) || N <- [-1, 0, 4095, 4096, 1 bsl 40]]
         end),
    alcove_test:badarg(fun() -> alcove:errno_id(Drv, enoent) end),
    alcove_test:badarg(fun() -> alcove:errno_id(Drv, a, 2) end).

new_defines(Config) ->
    alcove_test:both(Config,
         fun(Do) ->
                 [begin
                      Value = Do(Define, [Name]),
                      ?assert(is_integer(Value)),
                      Value = Do(define, [Name]),
                      unknown = Do(Define, [no_such_name]),
                      unknown = Do(Define, [o_creat])
                  end
                  || {Define, Name} <- [{process_define, wnohang}, {process_define, ptrace_cont},
                                        {socket_define, af_inet}, {poll_define, pollin},
                                        {ioctl_define, tiocsctty},
                                        {landlock_define, landlock_access_fs_execute}]],
                 5 = Do(poll_define, [[pollin, pollout]])
         end).

%% ---------------------------------------------------------------------------
%% Ids and privileges
%% ---------------------------------------------------------------------------

geteuid(Config) ->
    alcove_test:both(Config, fun(Do) -> ?assertEqual(Do(getuid, []), Do(geteuid, [])) end),
    root(fun() ->
                 Do = in_child(Config),
                 ok = Do(setresuid, [-1, 1234, -1]),
                 1234 = Do(geteuid, []),
                 0 = Do(getuid, [])
         end).

getegid(Config) ->
    alcove_test:both(Config, fun(Do) -> ?assertEqual(Do(getgid, []), Do(getegid, [])) end),
    root(fun() ->
                 Do = in_child(Config),
                 ok = Do(setresgid, [-1, 1234, -1]),
                 1234 = Do(getegid, []),
                 0 = Do(getgid, [])
         end).

getresuid(Config) ->
    alcove_test:both(Config, fun(Do) -> Uid = Do(getuid, []), {ok, Uid, Uid, Uid} = Do(getresuid, []) end).

getresgid(Config) ->
    alcove_test:both(Config, fun(Do) -> Gid = Do(getgid, []), {ok, Gid, Gid, Gid} = Do(getresgid, []) end).

setresuid(Config) ->
    root(fun() ->
                 Do = in_child(Config),
                 ok = Do(setresuid, [-1, -1, -1]),
                 {ok, 0, 0, 0} = Do(getresuid, []),
                 ok = Do(setresuid, [1000, 2000, 3000]),
                 {ok, 1000, 2000, 3000} = Do(getresuid, []),
                 %% One of the three may become any other of them, and nothing else.
                 ok = Do(setresuid, [-1, 1000, -1]),
                 {error, eperm} = Do(setresuid, [0, -1, -1]),
                 {error, eperm} = Do(setresuid, [-1, 4000, -1]),
                 {ok, 1000, 1000, 3000} = Do(getresuid, [])
         end).

setresgid(Config) ->
    root(fun() ->
                 Do = in_child(Config),
                 ok = Do(setresgid, [1000, 2000, 3000]),
                 {ok, 1000, 2000, 3000} = Do(getresgid, []),
                 ok = Do(setresuid, [1000, 1000, 1000]),
                 ok = Do(setresgid, [-1, 3000, -1]),
                 {error, eperm} = Do(setresgid, [0, -1, -1]),
                 {ok, 1000, 3000, 3000} = Do(getresgid, [])
         end).

getgroups(Config) ->
    Drv = alcove_test:drv(Config),
    alcove_test:both(Config,
         fun(Do) ->
                 {ok, Groups} = Do(getgroups, []),
                 Shown = [binary_to_integer(Group)
                          || Group <- binary:split(status(alcove:getpid(Drv), "Groups"), <<" ">>,
                                                   [global, trim_all])],
                 ?assertEqual(lists:sort(Shown), lists:sort(Groups))
         end).

setgroups(Config) ->
    root(fun() ->
                 Do = in_child(Config),
                 ok = Do(setgroups, [[7, 16#fffffffe, 42]]),
                 {ok, Groups} = Do(getgroups, []),
                 [7, 42, 16#fffffffe] = lists:sort(Groups),
                 {error, einval} = Do(setgroups, [lists:duplicate(65537, 1)]),
                 ok = Do(setgroups, [[]]),
                 {ok, []} = Do(getgroups, []),
                 ok = Do(setuid, [1000]),
                 {error, eperm} = Do(setgroups, [[0]])
         end).

capability(Name) ->
    1 bsl alcove_test:constant(Name).

capget(Config) ->
    Drv = alcove_test:drv(Config),
    alcove_test:both(Config,
         fun(Do) ->
                 {ok, #{effective := E, permitted := P, inheritable := I}} = Do(capget, [0]),
                 Pid = alcove:getpid(Drv),
                 [?assertEqual(binary_to_integer(status(Pid, Field), 16), Set)
                  || {Field, Set} <- [{"CapEff", E}, {"CapPrm", P}, {"CapInh", I}]],
                 {ok, #{}} = Do(capget, [Pid]),
                 {error, esrch} = Do(capget, [16#7fffffff]),
                 {error, einval} = Do(capget, [-1])
         end).

capset(Config) ->
    root(fun() ->
                 Do = in_child(Config),
                 Chown = capability(cap_chown),
                 Kill = capability(cap_kill),
                 ok = Do(capset, [[cap_chown], [cap_chown, cap_kill], 0]),
                 Both = Chown bor Kill,
                 {ok, #{effective := Chown, permitted := Both, inheritable := 0}} = Do(capget, [0]),
                 ok = Do(capset, [Chown bor Kill, Chown bor Kill, []]),
                 {error, eperm} = Do(capset, [[], [cap_sys_admin], []]),
                 {error, eperm} = Do(mount, ["", "/tmp", "tmpfs", 0, ""]),
                 ok = Do(capset, [[], [], []]),
                 {error, eperm} = Do(capset, [[cap_chown], [cap_chown], []]),
                 Drv = alcove_test:drv(Config),
                 [alcove_test:badarg(fun() -> alcove:capset(Drv, Bad, 0, 0) end)
                  || Bad <- [[cap_nonesuch], [o_creat], [seccomp_ret_allow], cap_chown, -1]]
         end).

cap_get_bound(Config) ->
    Drv = alcove_test:drv(Config),
    alcove_test:both(Config,
         fun(Do) ->
                 {ok, Set} = Do(cap_get_bound, []),
                 ?assertEqual(binary_to_integer(status(alcove:getpid(Drv), "CapBnd"), 16), Set)
         end).

cap_drop_bound(Config) ->
    root(fun() ->
                 Do = in_child(Config),
                 {ok, Before} = Do(cap_get_bound, []),
                 ok = Do(cap_drop_bound, [[cap_sys_admin, cap_sys_boot]]),
                 {ok, After} = Do(cap_get_bound, []),
                 ?assertEqual(Before band bnot (capability(cap_sys_admin) bor capability(cap_sys_boot)),
                              After),
                 %% An unknown one: nothing is dropped.
                 {error, einval} = Do(cap_drop_bound, [(1 bsl 63) bor 1]),
                 {ok, After} = Do(cap_get_bound, []),
                 ok = Do(setuid, [1000]),
                 {error, eperm} = Do(cap_drop_bound, [[cap_chown]])
         end).

cap_get_ambient(Config) ->
    alcove_test:both(Config, fun(Do) -> {ok, 0} = Do(cap_get_ambient, []) end).

cap_set_ambient(Config) ->
    root(fun() ->
                 Drv = alcove_test:drv(Config),
                 Path = alcove_test:fork(Drv, []),
                 Do = calls(Config, Path),
                 Net = capability(cap_net_bind_service),
                 {error, eperm} = Do(cap_set_ambient, [[cap_net_bind_service]]),
                 {ok, #{permitted := Permitted}} = Do(capget, [0]),
                 ok = Do(capset, [Permitted, Permitted, [cap_net_bind_service, cap_kill]]),
                 ok = Do(cap_set_ambient, [[cap_net_bind_service]]),
                 {ok, Net} = Do(cap_get_ambient, []),
                 %% One that isn't inheritable: the set stays as it is.
                 {error, eperm} = Do(cap_set_ambient, [[cap_kill, cap_chown]]),
                 {ok, Net} = Do(cap_get_ambient, []),
                 %% A program of an ordinary user's has it.
                 {ok, _, _, _, _, _} = Do(prctl, [pr_set_keepcaps, 1, 0, 0, 0]),
                 ok = Do(setresuid, [65534, 65534, 65534]),
                 ok = Do(capset, [[], [cap_net_bind_service], [cap_net_bind_service]]),
                 ok = Do(cap_set_ambient, [[cap_net_bind_service]]),
                 ok = Do(execvp, ["cat", ["cat"]]),
                 ?assertEqual(Net, binary_to_integer(status(lists:last(Path), "CapEff"), 16))
         end).

seccomp(Config) ->
    Drv = alcove_test:drv(Config),
    alcove_test:both(Config,
         fun(Do) ->
                 {ok, 0, _} = Do(seccomp, [seccomp_get_action_avail, 0, <<16#7fff0000:32/native>>]),
                 {error, eopnotsupp} = errno(Do(seccomp, [seccomp_get_action_avail, 0, <<1:32/native>>])),
                 {error, einval} = Do(seccomp, [99, 0, 0]),
                 {error, einval} = Do(seccomp, [-1, 0, 0])
         end),
    Path = alcove_test:fork(Drv, []),
    Do = calls(Config, Path),
    {ok, 0, 1, 0, 0, 0} = Do(prctl, [pr_set_no_new_privs, 1, 0, 0, 0]),
    %% A filter that answers getppid(2) with EXDEV.
    Stmt = fun(Code, Then, Else, K) -> <<Code:16/native, Then, Else, K:32/native>> end,
    Filter = [Stmt(16#20, 0, 0, 0),
              Stmt(16#15, 0, 1, alcove_test:constant(sys_getpgid)),
              Stmt(6, 0, 0, 16#50000 + 18),
              Stmt(6, 0, 0, 16#7fff0000)],
    Padding = 8 * (erlang:system_info(wordsize) - 2),
    Program = [<<4:16/native, 0:Padding>>, {ptr, iolist_to_binary(Filter)}],
    {ok, 0, [_, {ptr, _}]} = Do(seccomp, [seccomp_set_mode_filter, 0, Program]),
    {error, exdev} = Do(getpgid, [0]),
    Pid = lists:last(Path),
    [Pid = Do(getpid, []) || _ <- lists:seq(1, 100)],
    <<"2">> = status(Pid, "Seccomp").

%% EOPNOTSUPP and ENOTSUP are one number on Linux, and have one name.
errno({error, enotsup}) -> {error, eopnotsupp};
errno(Other) -> Other.

%% What was dropped can't be had again: not the ids, not the groups, no
%% capability, and no program with privileges of its own gives them back.
dropped_for_good(Config) ->
    root(fun() ->
                 Drv = alcove_test:drv(Config),
                 Path = alcove_test:fork(Drv, []),
                 Do = calls(Config, Path),
                 Pid = lists:last(Path),
                 ok = Do(cap_set_ambient, [[]]),
                 {ok, Bound} = Do(cap_get_bound, []),
                 ok = Do(cap_drop_bound, [Bound]),
                 {ok, 0, 1, 0, 0, 0} = Do(prctl, [pr_set_no_new_privs, 1, 0, 0, 0]),
                 ok = Do(setgroups, [[]]),
                 ok = Do(setresgid, [65534, 65534, 65534]),
                 ok = Do(setresuid, [65534, 65534, 65534]),
                 {ok, 65534, 65534, 65534} = Do(getresuid, []),
                 {ok, 65534, 65534, 65534} = Do(getresgid, []),
                 {ok, #{effective := 0, permitted := 0, inheritable := 0}} = Do(capget, [0]),
                 {ok, 0} = Do(cap_get_bound, []),
                 {error, eperm} = Do(setuid, [0]),
                 {error, eperm} = Do(setgid, [0]),
                 [{error, eperm} = Do(Call, Ids)
                  || Call <- [setresuid, setresgid],
                     Ids <- [[0, -1, -1], [-1, 0, -1], [-1, -1, 0], [0, 0, 0]]],
                 {error, eperm} = Do(setgroups, [[0]]),
                 {error, eperm} = Do(capset, [[cap_setuid], [cap_setuid], []]),
                 {error, eperm} = Do(cap_set_ambient, [[cap_setuid]]),
                 {error, eperm} = Do(cap_drop_bound, [[cap_setuid]]),
                 {error, einval} = Do(prctl, [pr_set_no_new_privs, 0, 0, 0, 0]),
                 {ok, 1, _, _, _, _} = Do(prctl, [pr_get_no_new_privs, 0, 0, 0, 0]),
                 <<"65534\t65534\t65534\t65534">> = status(Pid, "Uid"),
                 <<"65534\t65534\t65534\t65534">> = status(Pid, "Gid"),
                 %% A program that is setuid root stays the user's.
                 Id = file(Config, "id"),
                 {ok, _} = file:copy(os:find_executable("id"), Id),
                 ok = file:change_mode(Id, 8#4755),
                 ok = Do(execve, [Id, ["id", "-u"], []]),
                 <<"65534\n">> = alcove:stdout(Drv, Path)
         end).

getrandom(Config) ->
    alcove_test:both(Config,
         fun(Do) ->
                 {ok, A} = Do(getrandom, [32, 0]),
                 {ok, B} = Do(getrandom, [32, grnd_nonblock]),
                 32 = byte_size(A),
                 ?assertNotEqual(A, B),
                 {ok, <<>>} = Do(getrandom, [0, 0]),
                 {error, einval} = Do(getrandom, [1, 16#80000000])
         end).

getdomainname(Config) ->
    {ok, Domain} = file:read_file("/proc/sys/kernel/domainname"),
    Name = string:trim(Domain),
    alcove_test:both(Config, fun(Do) -> {ok, Name} = Do(getdomainname, []) end).

setdomainname(Config) ->
    mounts(fun() ->
                 {ok, Before} = alcove:getdomainname(alcove_test:drv(Config)),
                 Do = in_mounts(Config),
                 ok = Do(setdomainname, ["inside"]),
                 {ok, <<"inside">>} = Do(getdomainname, []),
                 {error, einval} = Do(setdomainname, [lists:duplicate(65, $a)]),
                 {ok, Before} = alcove:getdomainname(alcove_test:drv(Config)),
                 ok = Do(setuid, [1000]),
                 {error, eperm} = Do(setdomainname, ["again"])
         end).

%% ---------------------------------------------------------------------------
%% Files
%% ---------------------------------------------------------------------------

unlink(Config) ->
    alcove_test:both(Config,
         fun(Do) ->
                 File = written(Config, "file", ""),
                 ok = Do(unlink, [File]),
                 false = filelib:is_file(File),
                 {error, enoent} = Do(unlink, [File]),
                 {error, eisdir} = Do(unlink, [alcove_test:tmp(Config)])
         end).

link(Config) ->
    alcove_test:both(Config,
         fun(Do) ->
                 File = written(Config, "file", "x"),
                 New = file(Config, "new"),
                 ok = Do(link, [File, New]),
                 {ok, #file_info{links = 2}} = file:read_file_info(New),
                 {error, eexist} = Do(link, [File, New]),
                 {error, enoent} = Do(link, [file(Config, "nonesuch"), file(Config, "other")]),
                 ok = file:delete(New)
         end).

symlink(Config) ->
    alcove_test:both(Config,
         fun(Do) ->
                 Path = file(Config, "link"),
                 ok = Do(symlink, ["../else where", Path]),
                 {ok, "../else where"} = file:read_link(Path),
                 {error, eexist} = Do(symlink, ["x", Path]),
                 {error, enoent} = Do(symlink, ["", file(Config, "other")]),
                 ok = file:delete(Path)
         end).

readlink(Config) ->
    alcove_test:both(Config,
         fun(Do) ->
                 Path = file(Config, "link"),
                 Target = binary:copy(<<"a">>, 4095),
                 ok = file:make_symlink(Target, Path),
                 {ok, Target} = Do(readlink, [Path]),
                 {error, einval} = Do(readlink, ["/tmp"]),
                 {error, enoent} = Do(readlink, [file(Config, "nonesuch")]),
                 ok = file:delete(Path)
         end).

rename(Config) ->
    alcove_test:both(Config,
         fun(Do) ->
                 From = written(Config, "from", "x"),
                 To = written(Config, "to", "y"),
                 ok = Do(rename, [From, To]),
                 {ok, <<"x">>} = file:read_file(To),
                 {error, enoent} = Do(rename, [From, To]),
                 Dir = directory(Config, "dir"),
                 {error, eisdir} = Do(rename, [To, Dir]),
                 ok = file:del_dir(Dir)
         end).

mkfifo(Config) ->
    alcove_test:both(Config,
         fun(Do) ->
                 Path = file(Config, "fifo"),
                 ok = Do(mkfifo, [Path, 8#640]),
                 {ok, #{type := fifo, mode := 8#640}} = Do(stat, [Path]),
                 {error, eexist} = Do(mkfifo, [Path, 8#640]),
                 ok = file:delete(Path)
         end).

mknod(Config) ->
    root(fun() ->
                 alcove_test:both(Config,
                      fun(Do) ->
                              Null = file(Config, "null"),
                              {ok, #{rdev := Dev}} = Do(stat, ["/dev/null"]),
                              Char = Do(define, [s_ifchr]),
                              ok = Do(mknod, [Null, Char bor 8#600, Dev]),
                              {ok, #{type := character, rdev := Dev}} = Do(stat, [Null]),
                              {error, eexist} = Do(mknod, [Null, Char, Dev]),
                              ok = file:delete(Null)
                      end),
                 Do = unprivileged(Config),
                 {error, eperm} = Do(mknod, ["/tmp/alcove-null", Do(define, [s_ifchr]), 16#103])
         end).

stat(Config) ->
    alcove_test:both(Config,
         fun(Do) ->
                 File = written(Config, "file", "hello"),
                 ok = file:change_mode(File, 8#4640),
                 {ok, Info} = file:read_file_info(File, [{time, posix}]),
                 {ok, Stat} = Do(stat, [File]),
                 #{type := regular, mode := 8#4640, size := 5, nlink := 1} = Stat,
                 ?assertEqual({Info#file_info.uid, Info#file_info.gid, Info#file_info.inode},
                              {maps:get(uid, Stat), maps:get(gid, Stat), maps:get(ino, Stat)}),
                 ?assertEqual({Info#file_info.mtime, Info#file_info.atime, Info#file_info.ctime},
                              {maps:get(mtime, Stat) div 1000000000,
                               maps:get(atime, Stat) div 1000000000,
                               maps:get(ctime, Stat) div 1000000000}),
                 14 = maps:size(Stat),
                 {ok, #{type := directory}} = Do(stat, ["/tmp"]),
                 {ok, #{type := character, rdev := _}} = Do(stat, ["/dev/null"]),
                 {error, enoent} = Do(stat, [file(Config, "nonesuch")]),
                 {error, enotdir} = Do(stat, [File ++ "/x"])
         end).

lstat(Config) ->
    File = written(Config, "file", "hello"),
    Link = file(Config, "link"),
    ok = file:make_symlink(File, Link),
    alcove_test:both(Config,
         fun(Do) ->
                 {ok, #{type := symlink, size := Size}} = Do(lstat, [Link]),
                 Size = length(File),
                 {ok, #{type := regular, size := 5}} = Do(stat, [Link]),
                 {error, enoent} = Do(lstat, [file(Config, "nonesuch")])
         end).

fstat(Config) ->
    alcove_test:both(Config,
         fun(Do) ->
                 {ok, #{type := fifo}} = Do(fstat, [0]),
                 {ok, FD} = Do(open, ["/tmp", [o_rdonly, o_directory], 0]),
                 {ok, Stat} = Do(stat, ["/tmp"]),
                 {ok, Stat} = Do(fstat, [FD]),
                 ok = Do(close, [FD]),
                 {error, ebadf} = Do(fstat, [FD]),
                 {error, ebadf} = Do(fstat, [63])
         end).

access(Config) ->
    File = written(Config, "file", "x"),
    ok = file:change_mode(File, 8#444),
    alcove_test:both(Config,
         fun(Do) ->
                 ok = Do(access, [File, f_ok]),
                 ok = Do(access, [File, r_ok]),
                 {error, eacces} = Do(access, [File, [r_ok, x_ok]]),
                 {error, enoent} = Do(access, [file(Config, "nonesuch"), f_ok]),
                 {error, einval} = Do(access, [File, 16#ff])
         end),
    root(fun() ->
                 Do = unprivileged(Config),
                 ok = Do(access, [File, r_ok]),
                 {error, eacces} = Do(access, [File, w_ok])
         end).

utimens(Config) ->
    alcove_test:both(Config,
         fun(Do) ->
                 File = written(Config, "file", "x"),
                 Then = 1234567890123456789,
                 ok = Do(utimens, [File, Then, -1, 0]),
                 {ok, #{atime := Then, mtime := -1}} = Do(stat, [File]),
                 ok = Do(utimens, [File, omit, now, 0]),
                 {ok, #{atime := Then, mtime := Now}} = Do(stat, [File]),
                 ?assert(abs(erlang:system_time(nanosecond) - Now) < 60000000000),
                 Link = file(Config, "link"),
                 ok = file:make_symlink(File, Link),
                 ok = Do(utimens, [Link, 5, 6, at_symlink_nofollow]),
                 {ok, #{mtime := 6}} = Do(lstat, [Link]),
                 {ok, #{atime := Then}} = Do(stat, [Link]),
                 ok = file:delete(Link),
                 {error, enoent} = Do(utimens, [file(Config, "nonesuch"), now, now, 0]),
                 {error, einval} = Do(utimens, [File, now, now, 1])
         end).

openat2(Config) ->
    alcove_test:need([{call, openat2}], fun() -> openat2_(Config) end).

openat2_(Config) ->
    Dir = directory(Config, "dir"),
    ok = file:write_file(filename:join(Dir, "inside"), "in"),
    ok = file:make_symlink("/inside", filename:join(Dir, "link")),
    alcove_test:both(Config,
         fun(Do) ->
                 {ok, FD} = Do(open, [Dir, [o_rdonly, o_directory, o_cloexec], 0]),
                 %% The directory is the root of what is resolved.
                 {ok, In} = Do(openat2, [FD, "link", o_rdonly, 0, resolve_in_root]),
                 {ok, <<"in">>} = Do(read, [In, 10]),
                 {error, enoent} = Do(openat2, [FD, "../../etc/passwd", o_rdonly, 0, resolve_in_root]),
                 {error, exdev} = Do(openat2, [FD, "../x", o_rdonly, 0, resolve_beneath]),
                 {error, eloop} = Do(openat2, [FD, "link", o_rdonly, 0, [resolve_no_symlinks]]),
                 {error, einval} = Do(openat2, [FD, "inside", o_rdonly, 0, 16#10000]),
                 {ok, Null} = Do(openat2, [at_fdcwd, "/dev/null", o_rdonly, 0, 0]),
                 {error, ebadf} = Do(openat2, [63, "x", o_rdonly, 0, 0]),
                 [ok = Do(close, [Close]) || Close <- [FD, In, Null]]
         end).

%% A file is what the process sees, and takes no descriptor of it.
read_file(Config) ->
    File = file(Config, "file"),
    Bytes = rand:bytes(100000),
    ok = file:write_file(File, Bytes),
    alcove_test:both(Config,
         fun(Do) ->
                 {ok, Bytes} = Do(read_file, [File]),
                 {ok, <<>>} = Do(read_file, ["/dev/null"]),
                 {ok, Self} = Do(read_file, ["/proc/self/stat"]),
                 Pid = Do(getpid, []),
                 ?assertEqual(integer_to_binary(Pid), hd(binary:split(Self, <<" ">>))),
                 {error, enoent} = Do(read_file, [[File, ".none"]]),
                 {error, enotdir} = Do(read_file, [[File, "/below"]]),
                 {error, eisdir} = Do(read_file, ["/"]),
                 {error, efbig} = Do(read_file, ["/dev/zero"]),
                 {error, enxio} = Do(read_file, ["/proc/self/fd/63"]),
                 alcove_test:badarg(fun() -> Do(read_file, [[File, 0, "x"]]) end),
                 {ok, 3} = Do(open, ["/dev/null", o_rdonly, 0]),
                 ok = Do(close, [3])
         end).

write_file(Config) ->
    File = file(Config, "file"),
    alcove_test:both(Config,
         fun(Do) ->
                 _ = file:delete(File),
                 {error, enoent} = Do(write_file, [File, [], 0, "x"]),
                 ok = Do(write_file, [File, [o_creat, o_excl], 8#640, ["one", <<"\n">>]]),
                 {ok, #{mode := 8#640}} = Do(stat, [File]),
                 {error, eexist} = Do(write_file, [File, [o_creat, o_excl], 8#640, "x"]),
                 ok = Do(write_file, [File, o_append, 0, "two\n"]),
                 ok = Do(write_file, [File, [o_wronly], 0, "O"]),
                 ?assertEqual({ok, <<"One\ntwo\n">>}, file:read_file(File)),
                 ok = Do(write_file, [File, [o_trunc], 0, ""]),
                 ?assertEqual({ok, <<>>}, file:read_file(File)),
                 Large = rand:bytes(3000000),
                 ok = Do(write_file, [File, [], 0, Large]),
                 ?assertEqual({ok, Large}, file:read_file(File)),
                 {error, einval} = Do(write_file, [File, [o_rdwr], 0, "x"]),
                 {error, eisdir} = Do(write_file, ["/", [], 0, "x"]),
                 {error, enospc} = Do(write_file, ["/dev/full", [], 0, "x"]),
                 %% To an ordinary user a process that isn't dumpable doesn't belong.
                 Adj = case alcove_test:root() of true -> einval; false -> eacces end,
                 {error, Adj} = Do(write_file, ["/proc/self/oom_score_adj", [], 0, "x"]),
                 alcove_test:badarg(fun() -> Do(write_file, [File, [o_nonesuch], 0, "x"]) end),
                 {ok, 3} = Do(open, ["/dev/null", o_rdonly, 0]),
                 ok = Do(close, [3])
         end).

memfd_create(Config) ->
    alcove_test:both(Config,
         fun(Do) ->
                 {ok, FD} = Do(memfd_create, ["alcove", [mfd_cloexec, mfd_allow_sealing]]),
                 {ok, 5} = Do(write, [FD, "hello"]),
                 {ok, <<"ell">>} = Do(pread, [FD, 3, 1]),
                 Seal = Do(define, [f_seal_write]),
                 {ok, 0, Seal} = Do(fcntl, [FD, f_add_seals, Seal]),
                 {error, eperm} = Do(write, [FD, "more"]),
                 ok = Do(close, [FD]),
                 {error, einval} = Do(memfd_create, ["alcove", 16#10000])
         end).

%% ---------------------------------------------------------------------------
%% File descriptors
%% ---------------------------------------------------------------------------

fcntl(Config) ->
    File = written(Config, "file", "x"),
    alcove_test:both(Config,
         fun(Do) ->
                 {ok, FD} = Do(open, [File, o_rdwr, 0]),
                 {ok, 0, 0} = Do(fcntl, [FD, f_getfd, 0]),
                 {ok, 0, 1} = Do(fcntl, [FD, f_setfd, 1]),
                 {ok, 1, 0} = Do(fcntl, [FD, f_getfd, 0]),
                 {ok, Dup, 20} = Do(fcntl, [FD, f_dupfd, 20]),
                 ?assert(Dup >= 20),
                 %% Flags by their names.
                 Set = Do(define, [[o_append, o_nonblock]]),
                 {ok, 0, Set} = Do(fcntl, [FD, f_setfl, [o_append, o_nonblock]]),
                 {ok, Flags, 0} = Do(fcntl, [FD, f_getfl, 0]),
                 ?assertEqual(Set, Flags band Set),
                 {ok, 0, Append} = Do(fcntl, [FD, f_setfl, o_append]),
                 ?assertEqual(Do(define, [o_append]), Append),
                 [alcove_test:badarg(fun() -> Do(fcntl, [FD, f_setfl, Wrong]) end)
                  || Wrong <- [no_such_flag, [o_append, no_such_flag], [o_append | o_nonblock]]],
                 %% A structure: the lock that would be in the way is none.
                 {ok, 0, <<Type:16/native, _/binary>>} =
                     Do(fcntl, [FD, f_getlk, <<(Do(define, [f_wrlck])):16/native, 0:(30 * 8)>>]),
                 ?assertEqual(Do(define, [f_unlck]), Type),
                 {error, einval} = Do(fcntl, [FD, 9999, 0]),
                 {error, efault} = Do(fcntl, [FD, f_getlk, 0]),
                 {error, ebadf} = Do(fcntl, [1000, f_getfd, 0]),
                 {error, ebadf} = Do(fcntl, [63, f_getfd, 0]),
                 ok = Do(close, [FD]),
                 ok = Do(close, [Dup])
         end).

ioctl(Config) ->
    alcove_test:both(Config,
         fun(Do) ->
                 {ok, R, W} = Do(pipe, []),
                 {ok, 3} = Do(write, [W, "abc"]),
                 {ok, 0, <<3:32/native>>} = Do(ioctl, [R, fionread, <<0:32>>]),
                 {ok, 0, 0} = Do(ioctl, [R, fioclex, 0]),
                 {ok, 1, 0} = Do(fcntl, [R, f_getfd, 0]),
                 {error, enotty} = Do(ioctl, [R, tiocgwinsz, <<0:64>>]),
                 {error, efault} = Do(ioctl, [R, fionread, 0]),
                 {error, einval} = Do(ioctl, [R, 1 bsl 32, 0]),
                 {error, ebadf} = Do(ioctl, [63, fionread, <<0:32>>]),
                 ok = Do(close, [R]),
                 ok = Do(close, [W])
         end).

dup(Config) ->
    alcove_test:both(Config,
         fun(Do) ->
                 {ok, R, W} = Do(pipe, []),
                 {ok, Dup} = Do(dup, [W]),
                 {ok, 1} = Do(write, [Dup, "x"]),
                 {ok, <<"x">>} = Do(read, [R, 1]),
                 {error, ebadf} = Do(dup, [1000]),
                 {error, ebadf} = Do(dup, [63]),
                 [ok = Do(close, [FD]) || FD <- [R, W, Dup]]
         end).

dup2(Config) ->
    Drv = alcove_test:drv(Config),
    alcove_test:both(Config,
         fun(Do) ->
                 {ok, R, W} = Do(pipe, []),
                 {ok, 50} = Do(dup2, [W, 50]),
                 {ok, 1} = Do(write, [50, "x"]),
                 {ok, <<"x">>} = Do(read, [R, 1]),
                 {error, ebadf} = Do(dup2, [1000, 51]),
                 {error, ebadf} = Do(dup2, [W, -1]),
                 {error, ebadf} = Do(dup2, [W, 63]),
                 {error, ebadf} = Do(dup2, [63, 51]),
                 [ok = Do(close, [FD]) || FD <- [R, W, 50]]
         end),
    %% A program's stdout is a file.
    Path = alcove_test:fork(Drv, []),
    File = file(Config, "out"),
    {ok, FD} = alcove:open(Drv, Path, File, [o_wronly, o_creat, o_cloexec], 8#600),
    {ok, 1} = alcove:dup2(Drv, Path, FD, 1),
    true = alcove:setopt(Drv, exit_status, 1),
    ok = alcove:execvp(Drv, Path, "echo", ["echo", "hello"]),
    ok = alcove_test:event(Drv, Path, {exit_status, 0}),
    {ok, <<"hello\n">>} = file:read_file(File).

pipe(Config) ->
    alcove_test:both(Config,
         fun(Do) ->
                 {ok, R, W} = Do(pipe, []),
                 {ok, 5} = Do(write, [W, "hello"]),
                 ok = Do(close, [W]),
                 {ok, <<"hello">>} = Do(read, [R, 10]),
                 {ok, <<>>} = Do(read, [R, 10]),
                 ok = Do(close, [R])
         end),
    Do = in_child(Config),
    ok = Do(setrlimit, [rlimit_nofile, #alcove_rlimit{cur = 0, max = 0}]),
    {error, emfile} = Do(pipe, []).

ftruncate(Config) ->
    File = written(Config, "file", "hello"),
    alcove_test:both(Config,
         fun(Do) ->
                 {ok, FD} = Do(open, [File, o_rdwr, 0]),
                 ok = Do(ftruncate, [FD, 2]),
                 2 = filelib:file_size(File),
                 ok = Do(ftruncate, [FD, 1 bsl 33]),
                 8589934592 = filelib:file_size(File),
                 {error, einval} = Do(ftruncate, [FD, -1]),
                 ok = Do(close, [FD]),
                 {error, ebadf} = Do(ftruncate, [FD, 0]),
                 {error, ebadf} = Do(ftruncate, [63, 0])
         end).

fsync(Config) ->
    File = written(Config, "file", "hello"),
    alcove_test:both(Config,
         fun(Do) ->
                 {ok, FD} = Do(open, [File, o_rdwr, 0]),
                 ok = Do(fsync, [FD]),
                 ok = Do(close, [FD]),
                 {error, einval} = Do(fsync, [0]),
                 {error, ebadf} = Do(fsync, [FD])
         end).

pread(Config) ->
    File = written(Config, "file", binary:copy(<<"0123456789">>, 10000)),
    alcove_test:both(Config,
         fun(Do) ->
                 {ok, FD} = Do(open, [File, o_rdonly, 0]),
                 {ok, <<"345">>} = Do(pread, [FD, 3, 13]),
                 {ok, <<"0">>} = Do(read, [FD, 1]),
                 {ok, All} = Do(pread, [FD, 16#1000000, 0]),
                 100000 = byte_size(All),
                 {ok, <<>>} = Do(pread, [FD, 10, 1 bsl 40]),
                 {error, einval} = Do(pread, [FD, 10, -1]),
                 {error, espipe} = Do(pread, [0, 1, 0]),
                 {error, ebadf} = Do(pread, [63, 1, 0]),
                 ok = Do(close, [FD])
         end).

pwrite(Config) ->
    alcove_test:both(Config,
         fun(Do) ->
                 File = written(Config, "file", "hello"),
                 {ok, FD} = Do(open, [File, o_rdwr, 0]),
                 {ok, 2} = Do(pwrite, [FD, ["L", <<"L">>], 2]),
                 {ok, <<"heLLo">>} = file:read_file(File),
                 {error, einval} = Do(pwrite, [FD, "x", -1]),
                 {error, espipe} = Do(pwrite, [1, "x", 0]),
                 {error, ebadf} = Do(pwrite, [63, "x", 0]),
                 ok = Do(close, [FD])
         end).

poll(Config) ->
    Drv = alcove_test:drv(Config),
    alcove_test:both(Config,
         fun(Do) ->
                 {ok, R, W} = Do(pipe, []),
                 {ok, []} = Do(poll, [[{R, pollin}], 0]),
                 {ok, [{W, [pollout]}]} = Do(poll, [[{R, [pollin]}, {W, [pollout]}], infinity]),
                 {ok, 1} = Do(write, [W, "x"]),
                 {ok, [{R, [pollin]}]} = Do(poll, [[{R, 1}], -1]),
                 ok = Do(close, [W]),
                 {ok, [{R, [pollin, pollhup]}]} = Do(poll, [[{R, pollin}], infinity]),
                 ok = Do(close, [R]),
                 {ok, [{R, [pollnval]}]} = Do(poll, [[{R, pollin}], 0]),
                 {ok, []} = Do(poll, [[], 1]),
                 {error, ebadf} = Do(poll, [[{63, pollin}], 0])
         end),
    %% A signal that is trapped ends it, another doesn't.
    Path = alcove_test:path(Config),
    Self = self(),
    ok = alcove:sigaction(Drv, Path, sigusr1, trap),
    {ok, 0, 1, 0, 0, 0} = alcove:prctl(Drv, Path, pr_set_dumpable, 1, 0, 0, 0),
    Caller = spawn_link(fun() -> Self ! {polled, alcove:poll(Drv, Path, [], infinity)} end),
    Pid = lists:last(Path),
    true = alcove_test:until(fun() -> waits(Pid) end),
    ok = alcove:kill(Drv, Pid, sigusr1),
    receive {polled, {error, eintr}} -> ok end,
    unlink(Caller, ok),
    ok = alcove_test:event(Drv, Path, {signal, sigusr1}).

unlink(Pid, Result) ->
    erlang:unlink(Pid),
    Result.

%% Whether a process is in a system call that waits in the kernel for poll(2). Not every processor has
%% all of them.
waits(Pid) ->
    case file:read_file(lists:concat(["/proc/", Pid, "/syscall"])) of
        {ok, Call} -> lists:member(hd(binary:split(Call, <<" ">>)),
                                   [integer_to_binary(Number)
                                    || Name <- [sys_poll, sys_ppoll, sys_ppoll_time64],
                                       Number <- [alcove_nif:define(syscall, Name)], is_integer(Number)]);
        {error, _} -> false
    end.

%% An interactive program on a terminal of its own, as `tty' and it itself see it.
openpty(Config) ->
    Drv = alcove_test:drv(Config),
    Path = alcove_test:path(Config),
    {ok, Master, Slave, Name} = alcove:openpty(Drv, Path),
    {ok, #{type := character}} = alcove:stat(Drv, Path, Name),
    {ok, Pid} = alcove:spawn(Drv, Path, fork, on_terminal(Master, Slave) ++
                                 [{execvp, ["sh", ["sh", "-c", "tty; ps -o tty= -p $$; read x; "
                                                   "echo got $x; test -t 0 && exec cat"]]}]),
    ok = alcove:close(Drv, Path, Slave),
    <<"/dev/", Short/binary>> = Name,
    Wanted = <<Name/binary, "\r\n", Short/binary>>,
    Wanted = read_until(Drv, Path, Master, Wanted),
    {ok, 6} = alcove:write(Drv, Path, Master, "hello\n"),
    _ = read_until(Drv, Path, Master, <<"got hello\r\n">>),
    %% Control-C reaches the program through the terminal.
    true = alcove:setopt(Drv, Path, termsig, 1),
    {ok, 1} = alcove:write(Drv, Path, Master, <<3>>),
    ok = alcove_test:event(Drv, Path ++ [Pid], {termsig, sigint}),
    %% Nobody has the slave any more.
    ok = drain(Drv, Path, Master),
    ok = alcove:close(Drv, Path, Master),
    {ok, M, S, _} = alcove:openpty(Drv),
    ok = alcove:close(Drv, M),
    ok = alcove:close(Drv, S),
    Do = in_child(Config),
    ok = Do(setrlimit, [rlimit_nofile, #alcove_rlimit{cur = 0, max = 0}]),
    {error, emfile} = Do(openpty, []).

on_terminal(Master, Slave) ->
    [{close, [Master]}, {setsid, []}, {ioctl, [Slave, tiocsctty, 0]},
     {dup2, [Slave, 0]}, {dup2, [Slave, 1]}, {dup2, [Slave, 2]}, {close, [Slave]}].

%% Reads until this was read; what was read up to there.
read_until(Drv, Path, FD, Wanted) ->
    read_until(Drv, Path, FD, Wanted, <<>>).

read_until(Drv, Path, FD, Wanted, Read) ->
    case binary:match(Read, Wanted) of
        {At, Length} ->
            binary:part(Read, 0, At + Length);
        nomatch ->
            {ok, More} = alcove:call(Drv, Path, read, [FD, 4096], alcove_test:ms(5000)),
            read_until(Drv, Path, FD, Wanted, <<Read/binary, More/binary>>)
    end.

drain(Drv, Path, Master) ->
    case alcove:call(Drv, Path, read, [Master, 4096], alcove_test:ms(5000)) of
        {ok, _} -> drain(Drv, Path, Master);
        {error, eio} -> ok
    end.

%% The size of a window, and its change, as a program sees it.
window_size(Config) ->
    Drv = alcove_test:drv(Config),
    Path = alcove_test:path(Config),
    {ok, Master, Slave, _} = alcove:openpty(Drv, Path),
    Size = fun(Rows, Columns) -> <<Rows:16/native, Columns:16/native, 0:32>> end,
    {ok, 0, _} = alcove:ioctl(Drv, Path, Master, tiocswinsz, Size(24, 80)),
    Wanted = Size(24, 80),
    {ok, 0, Wanted} = alcove:ioctl(Drv, Path, Slave, tiocgwinsz, <<0:64>>),
    {ok, Pid} = alcove:spawn(Drv, Path, fork, on_terminal(Master, Slave) ++
                                 [{execvp, ["sh", ["sh", "-c", "trap 'stty size' WINCH; stty size; "
                                                   "while :; do sleep 1000 & wait $!; done"]]}]),
    ok = alcove:close(Drv, Path, Slave),
    _ = read_until(Drv, Path, Master, <<"24 80\r\n">>),
    {ok, 0, _} = alcove:ioctl(Drv, Path, Master, tiocswinsz, Size(50, 132)),
    _ = read_until(Drv, Path, Master, <<"50 132\r\n">>),
    ok = alcove:kill(Drv, Path, -Pid, sigkill),
    true = alcove_test:until(fun() -> alcove:pid(Drv, Path) =:= [] end),
    ok = drain(Drv, Path, Master).

%% Each call that takes a descriptor answers for alcove's own as if it was not open.
control_socket_is_invisible(Config) ->
    alcove_test:both(Config,
         fun(Do) ->
                 [?assertEqual({Call, {error, ebadf}}, {Call, Do(Call, Args)})
                  || {Call, Args} <-
                         [{fstat, [63]}, {fcntl, [63, f_getfd, 0]}, {ioctl, [63, fionread, <<0:32>>]},
                          {dup, [63]}, {dup2, [63, 70]}, {dup2, [0, 63]}, {ftruncate, [63, 0]},
                          {fsync, [63]}, {pread, [63, 1, 0]}, {pwrite, [63, "", 0]},
                          {openat2, [63, "x", 0, 0, 0]}, {poll, [[{63, 0}], 0]},
                          {mount_setattr, [63, "", 0, 0, 0, 0, 0]},
                          {mount_setattr, [at_fdcwd, "/", 0, 0, 0, 0, 63]},
                          {open_tree, [63, "", 0]}, {move_mount, [63, "", at_fdcwd, "", 0]},
                          {move_mount, [at_fdcwd, "", 63, "", 0]},
                          {fsconfig, [63, 0, "", 0, 0]}, {fsconfig, [0, fsconfig_set_fd, "k", 0, 63]},
                          {fsmount, [63, 0, 0]}, {landlock_add_rule, [63, 1, 1, 0]},
                          {landlock_add_rule, [0, landlock_rule_path_beneath, 1, 63]},
                          {landlock_restrict_self, [63, 0]}, {pidfd_send_signal, [63, 0, 0]},
                          {connect, [63, {local, "x"}]}, {bind, [63, {local, "x"}]}, {listen, [63, 1]},
                          {accept, [63]}, {getsockname, [63]}, {getpeername, [63]},
                          {getsockopt, [63, sol_socket, so_type, 4]},
                          {setsockopt, [63, sol_socket, so_keepalive, <<1:32>>]},
                          {shutdown, [63, shut_rdwr]}, {sendmsg, [63, "x", [], 0]},
                          {sendmsg, [0, "x", [63], 0]}, {recvmsg, [63, 1, msg_dontwait]},
                          {netdev_veth, [63, "a", "", "b", "", 0]}, {netdev_up, [63, "lo"]},
                          {netdev_address, [63, "lo", "127.0.0.2/8"]}, {netdev_route, [63, "lo", "127.0.0.2"]},
                          {netdev_unused, [63, "127.0.0.2"]}, {fexecve, [63, ["x"], []]}]],
                 ?assert(is_integer(Do(getpid, [])))
         end).

%% A process that may open nothing answers still.
no_open_files(Config) ->
    Do = in_child(Config),
    File = written(Config, "file", "x"),
    ok = Do(setrlimit, [rlimit_nofile, #alcove_rlimit{cur = 0, max = 0}]),
    {ok, #{type := regular}} = Do(stat, [File]),
    {ok, #{type := fifo}} = Do(fstat, [0]),
    ok = Do(access, [File, r_ok]),
    {ok, _} = Do(capget, [0]),
    {ok, _} = Do(getrandom, [16, 0]),
    {ok, _} = Do(getrusage, [rusage_self]),
    {ok, [_ | _]} = Do(sched_getaffinity, [0]),
    {error, emfile} = Do(socket, [af_unix, sock_stream, 0]),
    {error, emfile} = Do(memfd_create, ["x", 0]),
    {error, emfile} = Do(dup, [0]),
    {error, einval} = Do(poll, [[{0, pollin}], 0]),
    ok = Do(setproctitle, ["alcove: nothing open"]),
    ok = Do(unlink, [File]),
    ?assert(is_integer(Do(getpid, []))).

%% A limit of 64 bits holds, or is an error: a 32-bit kernel would take it for none.
wide_limits(Config) ->
    Limit = fun(Bytes) -> #alcove_rlimit{cur = Bytes, max = Bytes} end,
    [begin
         Do = in_child(Config),
         Before = Do(getrlimit, [rlimit_fsize]),
         Set = Do(setrlimit, [rlimit_fsize, Limit(Bytes)]),
         After = Do(getrlimit, [rlimit_fsize]),
         case {Set, erlang:system_info(wordsize)} of
             {ok, _} -> ?assertEqual({ok, Limit(Bytes)}, After);
             {{error, einval}, 4} when Bytes >= 16#ffffffff -> ?assertEqual(Before, After)
         end
     end || Bytes <- [4096, 16#fffffffe, 16#ffffffff, 16#100000000, 5000000000]].

%% ---------------------------------------------------------------------------
%% Mounts and confinement
%% ---------------------------------------------------------------------------

umount2(Config) ->
    mounts(fun() ->
                 Do = in_mounts(Config),
                 Dir = directory(Config, "dir"),
                 ok = Do(mount, ["", Dir, "tmpfs", 0, ""]),
                 {ok, FD} = Do(open, [filename:join(Dir, "file"), [o_creat, o_rdwr], 8#600]),
                 {error, ebusy} = Do(umount2, [Dir, 0]),
                 {error, einval} = Do(umount2, [Dir, 16#1000]),
                 ok = Do(umount2, [Dir, mnt_detach]),
                 {error, enoent} = Do(stat, [filename:join(Dir, "file")]),
                 {ok, 1} = Do(write, [FD, "x"]),
                 {error, einval} = Do(umount2, [Dir, [mnt_detach, umount_nofollow]])
         end).

pivot_root(Config) ->
    mounts(fun() ->
                 Do = in_mounts(Config),
                 Dir = directory(Config, "root"),
                 {error, ebusy} = Do(pivot_root, ["/", "/"]),
                 ok = Do(mount, ["", Dir, "tmpfs", 0, ""]),
                 ok = Do(mkdir, [filename:join(Dir, "old"), 8#700]),
                 {error, enoent} = Do(pivot_root, [Dir, filename:join(Dir, "nonesuch")]),
                 ok = Do(pivot_root, [Dir, filename:join(Dir, "old")]),
                 ok = Do(chdir, ["/"]),
                 {ok, [<<"old">>]} = Do(readdir, ["/"]),
                 {ok, Outside} = Do(readdir, ["/old"]),
                 ?assert(lists:member(<<"proc">>, Outside)),
                 ok = Do(umount2, ["/old", mnt_detach]),
                 {ok, []} = Do(readdir, ["/old"]),
                 true = filelib:is_dir(Dir)
         end).

%% Read-only, what is mounted below it too.
mount_setattr(Config) ->
    mounts([mount_setattr], fun() ->
                 Do = in_mounts(Config),
                 Dir = directory(Config, "dir"),
                 Sub = filename:join(Dir, "sub"),
                 ok = Do(mount, ["", Dir, "tmpfs", 0, ""]),
                 ok = Do(mkdir, [Sub, 8#700]),
                 ok = Do(mount, ["", Sub, "tmpfs", 0, ""]),
                 Create = fun() -> Do(open, [filename:join(Sub, "file"), [o_creat, o_rdwr], 8#600]) end,
                 Set = fun(Attr, Clear) ->
                               Do(mount_setattr, [at_fdcwd, Dir, at_recursive, Attr, Clear, 0, 0])
                       end,
                 ok = Set([mount_attr_rdonly, mount_attr_nosuid], 0),
                 {error, erofs} = Create(),
                 ok = Set(0, mount_attr_rdonly),
                 {ok, _} = Create(),
                 ok = Do(mount_setattr, [at_fdcwd, Dir, 0, 0, 0, ms_shared, 0]),
                 {error, einval} = Set(16#80000000, 0),
                 {error, enoent} = Do(mount_setattr, [at_fdcwd, "/nonesuch", 0, 1, 0, 0, 0]),
                 ok = Do(setuid, [1000]),
                 {error, eperm} = Do(mount_setattr, [at_fdcwd, "/", 0, mount_attr_rdonly, 0, 0, 0])
         end).

open_tree(Config) ->
    mounts([open_tree, openat2], fun() ->
                 Do = in_mounts(Config),
                 Dir = directory(Config, "dir"),
                 ok = file:write_file(filename:join(Dir, "file"), "x"),
                 {ok, FD} = Do(open_tree, [at_fdcwd, Dir, [open_tree_clone, open_tree_cloexec]]),
                 {ok, File} = Do(openat2, [FD, "file", o_rdonly, 0, resolve_beneath]),
                 {ok, <<"x">>} = Do(read, [File, 1]),
                 {error, einval} = Do(open_tree, [at_fdcwd, Dir, 16#10000000]),
                 {error, enoent} = Do(open_tree, [at_fdcwd, "/nonesuch", open_tree_clone]),
                 ok = Do(setuid, [1000]),
                 {error, eperm} = Do(open_tree, [at_fdcwd, Dir, open_tree_clone])
         end).

move_mount(Config) ->
    mounts([open_tree, move_mount], fun() ->
                 Do = in_mounts(Config),
                 From = directory(Config, "from"),
                 To = directory(Config, "to"),
                 ok = file:write_file(filename:join(From, "file"), "x"),
                 {ok, FD} = Do(open_tree, [at_fdcwd, From, [open_tree_clone]]),
                 {error, enoent} =
                     Do(move_mount, [FD, "", at_fdcwd, "/nonesuch", move_mount_f_empty_path]),
                 ok = Do(move_mount, [FD, "", at_fdcwd, To, move_mount_f_empty_path]),
                 {ok, [<<"file">>]} = Do(readdir, [To]),
                 {ok, []} = file:list_dir(To),
                 {error, einval} = Do(move_mount, [at_fdcwd, From, at_fdcwd, To, 0])
         end).

fsopen(Config) ->
    mounts([fsopen], fun() ->
                 Do = in_mounts(Config),
                 {ok, FD} = Do(fsopen, ["tmpfs", fsopen_cloexec]),
                 ok = Do(close, [FD]),
                 {error, enodev} = Do(fsopen, ["nonesuch", 0]),
                 {error, einval} = Do(fsopen, ["tmpfs", 16#1000]),
                 ok = Do(setuid, [1000]),
                 {error, eperm} = Do(fsopen, ["tmpfs", 0])
         end).

fsconfig(Config) ->
    mounts([fsopen, fsconfig], fun() ->
                 Do = in_mounts(Config),
                 {ok, FD} = Do(fsopen, ["tmpfs", fsopen_cloexec]),
                 ok = Do(fsconfig, [FD, fsconfig_set_string, "size", "64k", 0]),
                 {error, einval} = Do(fsconfig, [FD, fsconfig_set_string, "nonesuch", "1", 0]),
                 %% The kernel says why.
                 {ok, <<"e tmpfs: Unknown parameter 'nonesuch'", _/binary>>} = Do(read, [FD, 1000]),
                 {error, einval} = Do(fsconfig, [FD, fsconfig_set_string, "", 0, 0]),
                 {error, errno_of_unknown_command} = unknown_command(Do(fsconfig, [FD, 999, "", 0, 0])),
                 ok = Do(fsconfig, [FD, fsconfig_cmd_create, "", 0, 0])
         end).

unknown_command({error, Error}) when Error =:= eopnotsupp; Error =:= enotsup; Error =:= einval ->
    {error, errno_of_unknown_command}.

fsmount(Config) ->
    mounts([fsopen, fsconfig, fsmount, move_mount], fun() ->
                 Do = in_mounts(Config),
                 Dir = directory(Config, "dir"),
                 {ok, FD} = Do(fsopen, ["tmpfs", fsopen_cloexec]),
                 {error, einval} = Do(fsmount, [FD, fsmount_cloexec, 0]),
                 ok = Do(fsconfig, [FD, fsconfig_set_string, "size", <<"64k">>, 0]),
                 ok = Do(fsconfig, [FD, fsconfig_cmd_create, "", 0, 0]),
                 {ok, Mount} = Do(fsmount, [FD, fsmount_cloexec, [mount_attr_noexec]]),
                 ok = Do(move_mount, [Mount, "", at_fdcwd, Dir, move_mount_f_empty_path]),
                 {ok, File} = Do(open, [filename:join(Dir, "file"), [o_creat, o_rdwr], 8#700]),
                 {ok, 65536} = Do(write, [File, binary:copy(<<"x">>, 100000)]),
                 {error, enospc} = Do(write, [File, "x"]),
                 {error, eacces} = Do(access, [filename:join(Dir, "file"), x_ok])
         end).

landlock(Fun) ->
    Drv = alcove_test:start(),
    Abi = alcove:landlock_abi(Drv),
    alcove_test:stop(Drv),
    case Abi of
        {ok, _} -> Fun();
        {error, _} -> alcove_test:skip("needs Landlock")
    end.

setns_fd(Config) ->
    alcove_test:need([{call, setns}], fun() -> setns_fd_(Config) end).

setns_fd_(Config) ->
    Drv = alcove_test:drv(Config),
    alcove_test:both(Config,
         fun(Do) ->
                 {error, ebadf} = Do(setns_fd, [-1, clone_newuts]),
                 {error, ebadf} = Do(setns_fd, [63, clone_newuts]),
                 {error, einval} = Do(setns_fd, [0, clone_newuts])
         end),
    mounts([pidfd_open], fun() ->
                 {ok, Child} = alcove:clone(Drv, [clone_newuts, clone_newipc]),
                 ok = alcove:sethostname(Drv, [Child], "test"),
                 Path = lists:concat(["/proc/", Child, "/ns/uts"]),
                 alcove_test:both(Config,
                      fun(Do) ->
                              {ok, Fd} = Do(open, [Path, [o_rdonly, o_cloexec], 0]),
                              {error, einval} = Do(setns_fd, [Fd, clone_newnet]),
                              ok = Do(setns_fd, [Fd, clone_newuts]),
                              {ok, <<"test">>} = Do(gethostname, []),
                              ok = Do(setns_fd, [Fd, 0]),
                              ok = Do(setns, [Fd, clone_newuts]),
                              {ok, Process} = Do(pidfd_open, [Child, 0]),
                              ok = Do(setns_fd, [Process, [clone_newuts, clone_newipc]]),
                              ok = Do(close, [Process]),
                              ok = Do(close, [Fd])
                      end)
         end).

landlock_abi(Config) ->
    landlock(fun() -> alcove_test:both(Config, fun(Do) -> {ok, Abi} = Do(landlock_abi, []), ?assert(Abi > 0) end) end).

landlock_create_ruleset(Config) ->
    landlock(fun() ->
                     alcove_test:both(Config,
                          fun(Do) ->
                                  {ok, FD} = Do(landlock_create_ruleset,
                                                [[landlock_access_fs_execute], 0, 0]),
                                  ok = Do(close, [FD]),
                                  {error, einval} = Do(landlock_create_ruleset, [1 bsl 63, 0, 0]),
                                  {error, enomsg} = Do(landlock_create_ruleset, [0, 0, 0])
                          end)
             end).

landlock_add_rule(Config) ->
    landlock(fun() ->
                     alcove_test:both(Config,
                          fun(Do) ->
                                  Write = landlock_access_fs_write_file,
                                  {ok, Rules} = Do(landlock_create_ruleset, [Write, 0, 0]),
                                  {ok, Dir} = Do(open, ["/tmp", [o_path, o_cloexec], 0]),
                                  Add = fun(Rule, Access, Object) ->
                                                Do(landlock_add_rule, [Rules, Rule, Access, Object])
                                        end,
                                  ok = Add(landlock_rule_path_beneath, Write, Dir),
                                  {error, einval} = Add(landlock_rule_path_beneath,
                                                        landlock_access_fs_read_file, Dir),
                                  {error, ebadf} = Add(landlock_rule_path_beneath, Write, 1000),
                                  {error, einval} = Add(77, Write, Dir),
                                  {error, ebadfd} = Do(landlock_add_rule,
                                                       [0, landlock_rule_path_beneath, Write, Dir]),
                                  ok = Do(close, [Rules]),
                                  ok = Do(close, [Dir])
                          end)
             end).

%% A process may write in one directory and nowhere else, nor may its children and
%% programs; and it may connect to one port.
landlock_restrict_self(Config) ->
    landlock(fun() -> restricted(Config) end).

restricted(Config) ->
    Drv = alcove_test:drv(Config),
    In = directory(Config, "in"),
    Out = directory(Config, "out"),
    Path = alcove_test:fork(Drv, []),
    Do = calls(Config, Path),
    Access = [landlock_access_fs_write_file, landlock_access_fs_make_reg, landlock_access_fs_make_dir],
    {ok, Abi} = Do(landlock_abi, []),
    Net = if Abi >= 4 -> [landlock_access_net_connect_tcp]; true -> 0 end,
    {ok, Rules} = Do(landlock_create_ruleset, [Access, Net, 0]),
    {ok, Dir} = Do(open, [In, [o_path, o_directory, o_cloexec], 0]),
    ok = Do(landlock_add_rule, [Rules, landlock_rule_path_beneath, Access, Dir]),
    {ok, Socket} = gen_tcp:listen(0, [{ip, {127, 0, 0, 1}}]),
    {ok, Port} = inet:port(Socket),
    Abi >= 4 andalso (ok = Do(landlock_add_rule, [Rules, landlock_rule_net_port, Net, Port])),
    case alcove_test:root() of
        true ->
            ok = Do(landlock_restrict_self, [Rules, 0]);
        false ->
            {error, eperm} = Do(landlock_restrict_self, [Rules, 0]),
            {ok, _, _, _, _, _} = Do(prctl, [pr_set_no_new_privs, 1, 0, 0, 0]),
            ok = Do(landlock_restrict_self, [Rules, 0])
    end,
    {error, einval} = Do(landlock_restrict_self, [Rules, 16#80000000]),
    Create = fun(Make, Parent) -> Make(open, [filename:join(Parent, "file"), [o_creat, o_rdwr], 8#600]) end,
    Child = calls(Config, alcove_test:fork(Drv, Path)),
    [begin
         {ok, File} = Create(Make, In),
         ok = Make(close, [File]),
         {error, eacces} = Create(Make, Out),
         {error, eacces} = Make(mkdir, [filename:join(Out, "dir"), 8#700])
     end
     || Make <- [Do, Child]],
    connects(Do, Abi, Port),
    %% What the shell says, in the locale C, to its end: it writes that in pieces.
    true = Do(setopt, [exit_status, 1]),
    Sh = alcove_test:shell(Drv, Path, lists:concat(["exec 2>&1; LC_ALL=C; echo x > ", In, "/two; echo x > ", Out, "/two"])),
    {Error, {exit_status, Status}} = alcove_test:output(Drv, Sh),
    ?assertNotEqual(0, Status),
    ?assertNotEqual(nomatch, binary:match(Error, <<"Permission denied">>)),
    {ok, Names} = file:list_dir(In),
    ["file", "two"] = lists:sort(Names),
    {ok, []} = file:list_dir(Out),
    ok = gen_tcp:close(Socket).

connects(_Do, Abi, _Port) when Abi < 4 ->
    ok;
connects(Do, _Abi, Port) ->
    To = fun(N) ->
                 {ok, FD} = Do(socket, [af_inet, [sock_stream, sock_cloexec], 0]),
                 Result = Do(connect, [FD, {inet, {{127, 0, 0, 1}, N}}]),
                 ok = Do(close, [FD]),
                 Result
         end,
    ok = To(Port),
    {error, eacces} = To(1).

%% ---------------------------------------------------------------------------
%% Processes
%% ---------------------------------------------------------------------------

getppid(Config) ->
    Drv = alcove_test:drv(Config),
    Path = alcove_test:path(Config),
    Root = alcove:getpid(Drv),
    Root = alcove:getppid(Drv, Path),
    ?assertEqual(alcove_test:parent(Root), alcove:getppid(Drv)),
    ?assertEqual(lists:last(Path), alcove:getppid(Drv, alcove_test:fork(Drv, Path))),
    mounts(fun() ->
                 {ok, Pid} = alcove:clone(Drv, clone_newpid),
                 0 = alcove:getppid(Drv, [Pid])
         end).

getpgid(Config) ->
    Drv = alcove_test:drv(Config),
    Pid = lists:last(alcove_test:path(Config)),
    alcove_test:both(Config,
         fun(Do) ->
                 Group = Do(getpgrp, []),
                 {ok, Group} = Do(getpgid, [0]),
                 {error, esrch} = Do(getpgid, [16#7fffffff]),
                 {error, esrch} = Do(getpgid, [-1])
         end),
    ok = alcove:setpgid(Drv, Pid, Pid),
    {ok, Pid} = alcove:getpgid(Drv, Pid).

getpriority(Config) ->
    alcove_test:both(Config,
         fun(Do) ->
                 {ok, Nice} = Do(getpriority, [prio_process, 0]),
                 ?assert(is_integer(Nice)),
                 {error, einval} = Do(getpriority, [99, 0]),
                 {error, esrch} = Do(getpriority, [prio_process, 16#7fffffff])
         end).

setpriority(Config) ->
    Do = in_child(Config),
    {ok, Nice} = Do(getpriority, [prio_process, 0]),
    New = min(19, Nice + 5),
    ok = Do(setpriority, [prio_process, 0, New]),
    {ok, New} = Do(getpriority, [prio_process, 0]),
    {error, einval} = Do(setpriority, [99, 0, 0]),
    {error, esrch} = Do(setpriority, [prio_process, 16#7fffffff, 0]),
    alcove_test:need([root, {cap, cap_sys_nice}], fun() ->
                 %% -1 is a value, and no failure.
                 ok = Do(setpriority, [prio_process, 0, -1]),
                 {ok, -1} = Do(getpriority, [prio_process, 0]),
                 ok = Do(setuid, [65534]),
                 {error, eacces} = Do(setpriority, [prio_process, 0, -5])
         end).

%% Statuses of children that ended, stopped and went on; alcove reaps meanwhile, and
%% its events come too.
waitpid(Config) ->
    Drv = alcove_test:drv(Config),
    Path = alcove_test:path(Config),
    {error, echild} = alcove:waitpid(Drv, Path, -1, 0),
    {error, echild} = alcove:waitpid(Drv, Path, -1, wnohang),
    {error, einval} = alcove:waitpid(Drv, Path, -1, 16#100000),
    ok = alcove:sigaction(Drv, Path, sigchld, trap),
    true = alcove:setopt(Drv, Path, exit_status, 1),
    true = alcove:setopt(Drv, Path, termsig, 1),
    Signal = fun() -> ok = alcove_test:event(Drv, Path, {signal, sigchld}) end,
    %% One that ended before.
    [A, B, C] = [lists:last(alcove_test:run(Drv, Path, ["cat"])) || _ <- "abc"],
    {ok, 0, 0, []} = alcove:waitpid(Drv, Path, -1, wnohang),
    ok = alcove:eof(Drv, Path ++ [A]),
    Signal(),
    ok = alcove_test:event(Drv, Path ++ [A], {exit_status, 0}),
    {ok, A, 0, [{exit_status, 0}]} = alcove:waitpid(Drv, Path, A, wnohang),
    {error, echild} = alcove:waitpid(Drv, Path, A, wnohang),
    %% Stopped, continued, killed.
    ok = alcove:kill(Drv, Path, B, sigstop),
    Signal(),
    {ok, B, _, [{stopsig, sigstop}]} = alcove:waitpid(Drv, Path, B, [wuntraced]),
    ok = alcove:kill(Drv, Path, B, sigcont),
    {ok, B, _, [continued]} = alcove:waitpid(Drv, Path, B, [wcontinued]),
    ok = alcove:kill(Drv, Path, B, sigkill),
    {ok, B, 9, [{termsig, sigkill}]} = alcove:waitpid(Drv, Path, B, 0),
    ok = alcove_test:event(Drv, Path ++ [B], {termsig, sigkill}),
    [C] = alcove:pid(Drv, Path),
    %% One that ends during the call.
    Self = self(),
    _ = spawn_link(fun() -> Self ! {waited, alcove:waitpid(Drv, Path, -1, 0)} end),
    ok = alcove:eof(Drv, Path ++ [C]),
    receive {waited, Waited} -> {ok, C, 0, [{exit_status, 0}]} = Waited end,
    ok = alcove_test:event(Drv, Path ++ [C], {exit_status, 0}),
    %% Without a trap there is nothing to be found afterwards.
    ok = alcove:sigaction(Drv, Path, sigchld, dfl),
    D = alcove_test:run(Drv, Path, ["true"]),
    ok = alcove_test:event(Drv, D, {exit_status, 0}),
    {error, echild} = alcove:waitpid(Drv, Path, -1, wnohang),
    {error, echild} = alcove:waitpid(Drv, 1, 0).

fexecve(Config) ->
    Drv = alcove_test:drv(Config),
    Path = alcove_test:path(Config),
    {error, ebadf} = alcove:fexecve(Drv, Path, 1000, ["x"], []),
    {ok, Text} = alcove:open(Drv, Path, written(Config, "text", "#!"), [o_rdonly, o_cloexec], 0),
    {error, eacces} = alcove:fexecve(Drv, Path, Text, ["x"], []),
    {ok, FD} = alcove:open(Drv, Path, os:find_executable("env"), [o_path, o_cloexec], 0),
    ok = alcove:fexecve(Drv, Path, FD, ["env"], ["A=b"]),
    <<"A=b\n">> = alcove:stdout(Drv, Path),
    alcove_test:badpid(fun() -> alcove:fexecve(Drv, Path, FD, ["env"], []) end),
    %% As the last call of a batch, and without a fork path.
    {ok, Child} = alcove:spawn(Drv, fork, [{open, [os:find_executable("cat"), o_rdonly, 0]},
                                           {fexecve, [3, ["cat"], []]}]),
    true = alcove:stdin(Drv, [Child], "meow"),
    <<"meow">> = alcove:stdout(Drv, [Child]),
    {error, ebadf} = alcove:fexecve(Drv, 1000, ["x"], []).

setproctitle(Config) ->
    alcove_test:both(Config,
         fun(Do) ->
                 Pid = lists:concat([Do(getpid, [])]),
                 ok = Do(setproctitle, ["alcove: it's me"]),
                 ?assertEqual("alcove: it's me", string:trim(os:cmd("ps -o args= -p " ++ Pid))),
                 ok = Do(setproctitle, ["short"]),
                 ?assertEqual("short", string:trim(os:cmd("ps -o args= -p " ++ Pid))),
                 %% Where there is no more room it is cut off, and nothing else is harmed.
                 Environment = Do(environ, []),
                 ok = Do(setproctitle, [binary:copy(<<"x">>, 1000000)]),
                 Environment = Do(environ, []),
                 ?assertMatch("xxx" ++ _, string:trim(os:cmd("ps -o args= -p " ++ Pid)))
         end).

sched_getaffinity(Config) ->
    alcove_test:both(Config,
         fun(Do) ->
                 {ok, [_ | _] = Cpus} = Do(sched_getaffinity, [0]),
                 ?assertEqual(erlang:system_info(logical_processors_available), length(Cpus)),
                 {error, esrch} = Do(sched_getaffinity, [16#7fffffff]),
                 {error, esrch} = Do(sched_getaffinity, [-1])
         end).

sched_setaffinity(Config) ->
    Do = in_child(Config),
    {ok, Cpus} = Do(sched_getaffinity, [0]),
    Last = lists:last(Cpus),
    ok = Do(sched_setaffinity, [0, [Last]]),
    {ok, [Last]} = Do(sched_getaffinity, [0]),
    Pid = Do(getpid, []),
    ok = Do(sched_setaffinity, [Pid, Cpus]),
    {ok, Cpus} = Do(sched_getaffinity, [0]),
    {error, einval} = Do(sched_setaffinity, [0, []]),
    {error, einval} = Do(sched_setaffinity, [0, [65535]]),
    {error, esrch} = Do(sched_setaffinity, [16#7fffffff, Cpus]).

getrusage(Config) ->
    Drv = alcove_test:drv(Config),
    Path = alcove_test:path(Config),
    alcove_test:both(Config,
         fun(Do) ->
                 {ok, #{utime := #alcove_timeval{}, stime := #alcove_timeval{}, maxrss := Size} = Usage} =
                     Do(getrusage, [rusage_self]),
                 ?assert(Size > 0),
                 9 = maps:size(Usage),
                 {error, einval} = Do(getrusage, [99])
         end),
    {ok, #{minflt := 0}} = alcove:getrusage(Drv, Path, rusage_children),
    true = alcove:setopt(Drv, Path, exit_status, 1),
    Child = alcove_test:run(Drv, Path, ["true"]),
    ok = alcove_test:event(Drv, Child, {exit_status, 0}),
    {ok, #{minflt := Faults}} = alcove:getrusage(Drv, Path, -1),
    ?assert(Faults > 0),
    %% On request it comes with the end of a child.
    0 = alcove:getopt(Drv, Path, rusage),
    false = alcove:setopt(Drv, Path, rusage, 2),
    true = alcove:setopt(Drv, Path, rusage, 1),
    Busy = alcove_test:shell(Drv, Path, "i=0; while [ $i -lt 30000 ]; do i=$((i + 1)); done; exit 3"),
    {rusage, #{utime := #alcove_timeval{sec = Sec, usec = Usec}, maxrss := Most} = Used} =
        alcove:event(Drv, Busy, alcove_test:ms(10000)),
    ok = alcove_test:event(Drv, Busy, {exit_status, 3}),
    ?assert(Sec * 1000000 + Usec > 0),
    ?assert(Most > 100),
    9 = maps:size(Used).

%% A program stops at its exec, its memory is looked at, and it goes on with the
%% event that was asked for.
ptrace(Config) ->
    Drv = alcove_test:drv(Config),
    Path = alcove_test:path(Config),
    {error, esrch} = alcove:ptrace(Drv, Path, ptrace_cont, 16#7fffffff, 0, 0),
    {error, esrch} = alcove:ptrace(Drv, ptrace_attach, 16#7fffffff, 0, 0),
    ok = alcove:sigaction(Drv, Path, sigchld, trap),
    true = alcove:setopt(Drv, Path, exit_status, 1),
    {ok, Pid} = alcove:fork(Drv, Path),
    %% Event loops can't be traced by ordinary users as long as they don't let them.
    {ok, 0, 1, 0, 0, 0} = alcove:prctl(Drv, Path ++ [Pid], pr_set_dumpable, 1, 0, 0, 0),
    Options = [ptrace_o_traceexec, ptrace_o_traceexit],
    {ok, 0, 0, _} = alcove:ptrace(Drv, Path, ptrace_seize, Pid, 0, Options),
    ok = alcove:execve(Drv, Path ++ [Pid], "/bin/sh", ["sh", "-c", "exit 7"], []),
    Stopped = fun(Event) ->
                      {ok, Pid, Status, [{stopsig, sigtrap}]} =
                          alcove:call(Drv, Path, waitpid, [Pid, 0], alcove_test:ms(5000)),
                      ?assertEqual(alcove:define(Drv, Event), Status bsr 16)
              end,
    Stopped(ptrace_event_exec),
    %% The message of the event is the pid before, and the program's first word.
    Bits = 8 * erlang:system_info(wordsize),
    {ok, 0, 0, <<Pid:Bits/native>>} =
        alcove:ptrace(Drv, Path, ptrace_geteventmsg, Pid, 0, <<0:Bits>>),
    {ok, Auxv} = file:read_file(lists:concat(["/proc/", Pid, "/auxv"])),
    Entry = entry(Auxv, Bits),
    {ok, Word, Entry, 0} = alcove:ptrace(Drv, Path, ptrace_peektext, Pid, Entry, 0),
    {ok, Memory} = file:open(lists:concat(["/proc/", Pid, "/mem"]), [read, raw, binary]),
    {ok, <<Seen:Bits/signed-native>>} = file:pread(Memory, Entry, Bits div 8),
    ok = file:close(Memory),
    ?assertEqual(Seen, Word),
    {error, eio} = alcove:ptrace(Drv, Path, ptrace_peektext, Pid, 1, 0),
    %% All registers, as a structure that says where they go.
    {ok, 0, _, [{ptr, Registers}, _]} =
        alcove:ptrace(Drv, Path, ptrace_getregset, Pid, nt_prstatus, [{ptr, 1024}, <<1024:Bits/native>>]),
    ?assertNotEqual(<<0:(1024 * 8)>>, Registers),
    %% The first of them, which ptrace(2) has by itself as well where there is one.
    case alcove:define(Drv, ptrace_getregs) of
        unknown ->
            ok;
        _ ->
            <<First:Bits/signed-native, _/binary>> = Registers,
            {ok, First, 0, 0} = alcove:ptrace(Drv, Path, ptrace_peekuser, Pid, 0, 0)
    end,
    {ok, 0, 0, 0} = alcove:ptrace(Drv, Path, ptrace_cont, Pid, 0, 0),
    Stopped(ptrace_event_exit),
    {ok, 0, 0, 0} = alcove:ptrace(Drv, Path, ptrace_cont, Pid, 0, 0),
    {ok, Pid, _, [{exit_status, 7}]} = alcove:call(Drv, Path, waitpid, [Pid, 0], alcove_test:ms(5000)),
    ok = alcove_test:event(Drv, Path ++ [Pid], {exit_status, 7}).

%% A stop that nobody asked waitpid for is over when the process goes on.
ptrace_untold_stop(Config) ->
    Drv = alcove_test:drv(Config),
    Path = alcove_test:path(Config),
    ok = alcove:sigaction(Drv, Path, sigchld, trap),
    {ok, Pid} = alcove:fork(Drv, Path),
    {ok, 0, 1, 0, 0, 0} = alcove:prctl(Drv, Path ++ [Pid], pr_set_dumpable, 1, 0, 0, 0),
    {ok, 0, 0, _} = alcove:ptrace(Drv, Path, ptrace_seize, Pid, 0, [ptrace_o_traceexec]),
    ok = alcove:execvp(Drv, Path ++ [Pid], "cat", ["cat"]),
    ok = alcove_test:event(Drv, Path, {signal, sigchld}),
    {ok, 0, 0, 0} = alcove:ptrace(Drv, Path, ptrace_cont, Pid, 0, 0),
    {ok, 0, 0, []} = alcove:waitpid(Drv, Path, Pid, [wnohang]),
    ok = alcove:eof(Drv, Path ++ [Pid]),
    {ok, Pid, 0, [{exit_status, 0}]} = alcove:call(Drv, Path, waitpid, [Pid, 0], alcove_test:ms(5000)),
    ok.

%% Where a program begins: AT_ENTRY.
entry(Auxv, Bits) ->
    <<Key:Bits/native, Value:Bits/native, Rest/binary>> = Auxv,
    case Key of
        9 -> Value;
        _ -> entry(Rest, Bits)
    end.

pidfd_open(Config) ->
    alcove_test:need([{call, pidfd_open}], fun() -> pidfd_open_(Config) end).

pidfd_open_(Config) ->
    Drv = alcove_test:drv(Config),
    Path = alcove_test:path(Config),
    Child = lists:last(alcove_test:run(Drv, Path, ["cat"])),
    {ok, FD} = alcove:pidfd_open(Drv, Path, Child, 0),
    {ok, []} = alcove:poll(Drv, Path, [{FD, pollin}], 0),
    ok = alcove:eof(Drv, Path ++ [Child]),
    {ok, [{FD, [pollin | _]}]} = alcove:poll(Drv, Path, [{FD, pollin}], infinity),
    alcove_test:both(Config,
         fun(Do) ->
                 {ok, Self} = Do(pidfd_open, [Do(getpid, []), pidfd_nonblock]),
                 ok = Do(close, [Self]),
                 {error, esrch} = Do(pidfd_open, [16#7fffffff, 0]),
                 {error, einval} = Do(pidfd_open, [-1, 0]),
                 {error, einval} = Do(pidfd_open, [1, 1])
         end).

pidfd_send_signal(Config) ->
    alcove_test:need([{call, pidfd_send_signal}], fun() -> pidfd_send_signal_(Config) end).

pidfd_send_signal_(Config) ->
    Drv = alcove_test:drv(Config),
    Path = alcove_test:path(Config),
    true = alcove:setopt(Drv, Path, termsig, 1),
    Child = alcove_test:run(Drv, Path, ["cat"]),
    {ok, FD} = alcove:pidfd_open(Drv, Path, lists:last(Child), 0),
    ok = alcove:pidfd_send_signal(Drv, Path, FD, 0, 0),
    {error, einval} = alcove:pidfd_send_signal(Drv, Path, FD, 999, 0),
    {error, einval} = alcove:pidfd_send_signal(Drv, Path, FD, sigterm, 16#1000),
    ok = alcove:pidfd_send_signal(Drv, Path, FD, sigterm, 0),
    ok = alcove_test:event(Drv, Child, {termsig, sigterm}),
    {error, esrch} = alcove:pidfd_send_signal(Drv, Path, FD, sigterm, 0),
    {error, ebadf} = alcove:pidfd_send_signal(Drv, 0, sigterm, 0).

%% ---------------------------------------------------------------------------
%% Sockets
%% ---------------------------------------------------------------------------

loopback(Port) ->
    {inet, {{127, 0, 0, 1}, Port}}.

%% A socket that takes connections, and its port.
listening(Do) ->
    {ok, FD} = Do(socket, [af_inet, [sock_stream, sock_cloexec], 0]),
    ok = Do(bind, [FD, loopback(0)]),
    ok = Do(listen, [FD, 5]),
    {ok, {inet, {{127, 0, 0, 1}, Port}}} = Do(getsockname, [FD]),
    {FD, Port}.

socket(Config) ->
    alcove_test:both(Config,
         fun(Do) ->
                 {ok, FD} = Do(socket, [af_unix, [sock_dgram, sock_cloexec], 0]),
                 {ok, 1, 0} = Do(fcntl, [FD, f_getfd, 0]),
                 {ok, #{type := socket}} = Do(fstat, [FD]),
                 ok = Do(close, [FD]),
                 {error, eafnosupport} = Do(socket, [255, sock_stream, 0]),
                 {error, einval} = Do(socket, [af_inet, 16#ff, 0])
         end).

socketpair(Config) ->
    alcove_test:both(Config,
         fun(Do) ->
                 {ok, A, B} = Do(socketpair, [af_unix, sock_stream, 0]),
                 {ok, 2} = Do(write, [A, "hi"]),
                 {ok, <<"hi">>} = Do(read, [B, 10]),
                 {ok, 2} = Do(write, [B, "ho"]),
                 {ok, <<"ho">>} = Do(read, [A, 10]),
                 [ok = Do(close, [FD]) || FD <- [A, B]],
                 {error, eopnotsupp} = errno(Do(socketpair, [af_inet, sock_stream, 0]))
         end).

connect(Config) ->
    {ok, Socket} = gen_tcp:listen(0, [binary, {ip, {127, 0, 0, 1}}, {active, false}]),
    {ok, Port} = inet:port(Socket),
    alcove_test:both(Config,
         fun(Do) ->
                 {ok, FD} = Do(socket, [af_inet, sock_stream, 0]),
                 ok = Do(connect, [FD, loopback(Port)]),
                 {error, eisconn} = Do(connect, [FD, loopback(Port)]),
                 {ok, Peer} = gen_tcp:accept(Socket),
                 {ok, 5} = Do(write, [FD, "hello"]),
                 {ok, <<"hello">>} = gen_tcp:recv(Peer, 5),
                 ok = gen_tcp:close(Peer),
                 ok = Do(close, [FD]),
                 {ok, Local} = Do(socket, [af_unix, sock_stream, 0]),
                 {error, enoent} = Do(connect, [Local, {local, file(Config, "nonesuch")}]),
                 {error, enametoolong} = Do(connect, [Local, {local, lists:duplicate(108, $a)}]),
                 {error, einval} = Do(connect, [Local, loopback(1)]),
                 {error, einval} = Do(connect, [Local, <<0:2000>>]),
                 {error, enotsock} = Do(connect, [0, loopback(1)]),
                 ok = Do(close, [Local])
         end),
    ok = gen_tcp:close(Socket).

bind(Config) ->
    alcove_test:both(Config,
         fun(Do) ->
                 Path = file(Config, "socket"),
                 {ok, FD} = Do(socket, [af_unix, sock_stream, 0]),
                 ok = Do(bind, [FD, {local, Path}]),
                 {ok, #{type := socket}} = Do(stat, [Path]),
                 Name = list_to_binary(Path),
                 {ok, {local, Name}} = Do(getsockname, [FD]),
                 {ok, Other} = Do(socket, [af_unix, sock_stream, 0]),
                 {error, eaddrinuse} = Do(bind, [Other, {local, Path}]),
                 %% The abstract kind has no file.
                 Abstract = iolist_to_binary([0, Path]),
                 ok = Do(bind, [Other, {local, Abstract}]),
                 {ok, {local, Abstract}} = Do(getsockname, [Other]),
                 %% As the kernel has it.
                 {ok, Raw} = Do(socket, [af_inet, sock_stream, 0]),
                 Family = Do(define, [af_inet]),
                 ok = Do(bind, [Raw, <<Family:16/native, 0:16, 127, 0, 0, 1, 0:64>>]),
                 {ok, {inet, {{127, 0, 0, 1}, _}}} = Do(getsockname, [Raw]),
                 [ok = Do(close, [Close]) || Close <- [FD, Other, Raw]],
                 ok = Do(unlink, [Path])
         end),
    {ok, FD} = alcove:socket(alcove_test:drv(Config), af_inet6, sock_stream, 0),
    V6 = alcove:bind(alcove_test:drv(Config), FD, {inet6, {{0, 0, 0, 0, 0, 0, 0, 1}, 0}}),
    ?assert(lists:member(V6, [ok, {error, eaddrnotavail}])),
    V6 =:= ok andalso
        begin
            {ok, {inet6, {{0, 0, 0, 0, 0, 0, 0, 1}, Port}}} =
                alcove:getsockname(alcove_test:drv(Config), FD),
            ?assert(Port > 0)
        end.

listen(Config) ->
    alcove_test:both(Config,
         fun(Do) ->
                 {FD, Port} = listening(Do),
                 {ok, Peer} = gen_tcp:connect({127, 0, 0, 1}, Port, []),
                 ok = gen_tcp:close(Peer),
                 ok = Do(close, [FD]),
                 {error, enotsock} = Do(listen, [0, 1]),
                 {ok, Datagram} = Do(socket, [af_inet, sock_dgram, 0]),
                 {error, eopnotsupp} = errno(Do(listen, [Datagram, 1])),
                 ok = Do(close, [Datagram])
         end).

accept(Config) ->
    alcove_test:both(Config,
         fun(Do) ->
                 {Listening, Port} = listening(Do),
                 {ok, Peer} = gen_tcp:connect({127, 0, 0, 1}, Port, [binary, {active, false}]),
                 {ok, PeerPort} = inet:port(Peer),
                 {ok, FD, {inet, {{127, 0, 0, 1}, PeerPort}}} = Do(accept, [Listening]),
                 ok = gen_tcp:send(Peer, "hello"),
                 {ok, <<"hello">>} = Do(read, [FD, 5]),
                 ok = gen_tcp:close(Peer),
                 {ok, <<>>} = Do(read, [FD, 5]),
                 {error, einval} = Do(accept, [FD]),
                 {error, enotsock} = Do(accept, [0]),
                 ok = Do(close, [FD]),
                 ok = Do(close, [Listening])
         end).

getsockname(Config) ->
    alcove_test:both(Config,
         fun(Do) ->
                 {ok, FD} = Do(socket, [af_inet, sock_stream, 0]),
                 {ok, {inet, {{0, 0, 0, 0}, 0}}} = Do(getsockname, [FD]),
                 ok = Do(close, [FD]),
                 {ok, Local} = Do(socket, [af_unix, sock_stream, 0]),
                 {ok, {local, <<>>}} = Do(getsockname, [Local]),
                 ok = Do(close, [Local]),
                 %% A family that has no name here comes as the kernel has it.
                 {ok, Netlink} = Do(socket, [af_netlink, sock_raw, netlink_route]),
                 {ok, <<_:16, _/binary>>} = Do(getsockname, [Netlink]),
                 ok = Do(close, [Netlink]),
                 {error, enotsock} = Do(getsockname, [0])
         end).

getpeername(Config) ->
    alcove_test:both(Config,
         fun(Do) ->
                 {Listening, Port} = listening(Do),
                 {ok, FD} = Do(socket, [af_inet, sock_stream, 0]),
                 {error, enotconn} = Do(getpeername, [FD]),
                 ok = Do(connect, [FD, loopback(Port)]),
                 ?assertEqual({ok, loopback(Port)}, Do(getpeername, [FD])),
                 [ok = Do(close, [Close]) || Close <- [FD, Listening]]
         end).

getsockopt(Config) ->
    alcove_test:both(Config,
         fun(Do) ->
                 {ok, FD} = Do(socket, [af_inet, sock_stream, 0]),
                 Stream = Do(define, [sock_stream]),
                 {ok, <<Stream:32/native>>} = Do(getsockopt, [FD, sol_socket, so_type, 64]),
                 {error, enoprotoopt} = Do(getsockopt, [FD, sol_socket, 9999, 4]),
                 {error, enotsock} = Do(getsockopt, [0, sol_socket, so_type, 4]),
                 ok = Do(close, [FD])
         end).

setsockopt(Config) ->
    alcove_test:both(Config,
         fun(Do) ->
                 {ok, FD} = Do(socket, [af_inet, sock_stream, 0]),
                 ok = Do(setsockopt, [FD, sol_socket, so_reuseaddr, <<1:32/native>>]),
                 {ok, <<1:32/native>>} = Do(getsockopt, [FD, sol_socket, so_reuseaddr, 4]),
                 {error, einval} = Do(setsockopt, [FD, sol_socket, so_reuseaddr, <<>>]),
                 {error, enoprotoopt} = Do(setsockopt, [FD, sol_socket, 9999, <<1:32>>]),
                 ok = Do(close, [FD])
         end).

shutdown(Config) ->
    alcove_test:both(Config,
         fun(Do) ->
                 {ok, A, B} = Do(socketpair, [af_unix, sock_stream, 0]),
                 ok = Do(shutdown, [A, shut_wr]),
                 {ok, <<>>} = Do(read, [B, 1]),
                 {ok, 1} = Do(write, [B, "x"]),
                 {ok, <<"x">>} = Do(read, [A, 1]),
                 {error, einval} = Do(shutdown, [A, 77]),
                 [ok = Do(close, [FD]) || FD <- [A, B]],
                 {error, enotsock} = Do(shutdown, [0, shut_rd])
         end).

%% A file descriptor goes from one process of the tree to another.
sendmsg(Config) ->
    Drv = alcove_test:drv(Config),
    Path = alcove_test:path(Config),
    {ok, A, B} = alcove:socketpair(Drv, Path, af_unix, sock_stream, 0),
    Child = alcove_test:fork(Drv, Path),
    ok = alcove:close(Drv, Path, B),
    ok = alcove:close(Drv, Child, A),
    %% The child opens a file that the parent then reads.
    {ok, FD} = alcove:open(Drv, Child, written(Config, "file", "from the child"), o_rdonly, 0),
    {ok, 5} = alcove:sendmsg(Drv, Child, B, "hello", [FD, 0], 0),
    {ok, <<"hello">>, [Got, _], _} = alcove:recvmsg(Drv, Path, A, 100, msg_cmsg_cloexec),
    ok = alcove:close(Drv, Child, FD),
    {ok, <<"from the child">>} = alcove:read(Drv, Path, Got, 100),
    {ok, 1, 0} = alcove:fcntl(Drv, Path, Got, f_getfd, 0),
    alcove_test:both(Config,
         fun(Do) ->
                 {error, enotsock} = Do(sendmsg, [0, "x", [], 0]),
                 {error, ebadf} = Do(sendmsg, [1000, "x", [], 0]),
                 {ok, C, D} = Do(socketpair, [af_unix, sock_stream, 0]),
                 {error, ebadf} = Do(sendmsg, [C, "x", [1000], 0]),
                 {error, einval} = Do(sendmsg, [C, "x", lists:duplicate(254, 0), 0]),
                 ok = Do(close, [D]),
                 {error, epipe} = Do(sendmsg, [C, "x", [], msg_nosignal]),
                 ok = Do(close, [C])
         end).

recvmsg(Config) ->
    alcove_test:both(Config,
         fun(Do) ->
                 {ok, A, B} = Do(socketpair, [af_unix, sock_dgram, 0]),
                 {error, eagain} = Do(recvmsg, [B, 10, msg_dontwait]),
                 {ok, 11} = Do(sendmsg, [A, "hello world", [], 0]),
                 {ok, <<"hello">>, [], Flags} = Do(recvmsg, [B, 5, 0]),
                 ?assertNotEqual(0, Flags band Do(define, [msg_trunc])),
                 %% As many descriptors as a message takes, and they are the receiver's.
                 {ok, 1} = Do(sendmsg, [A, "x", lists:duplicate(253, 0), 0]),
                 {ok, <<"x">>, FDs, 0} = Do(recvmsg, [B, 5, 0]),
                 253 = length(lists:usort(FDs)),
                 [ok = Do(close, [FD]) || FD <- [A, B | FDs]],
                 %% TCP discards what is received with this flag, and writes nothing.
                 {ok, Listen} = gen_tcp:listen(0, [{ip, {127, 0, 0, 1}}, binary, {active, false}]),
                 {ok, Port} = inet:port(Listen),
                 {ok, Tcp} = Do(socket, [af_inet, [sock_stream, sock_cloexec], 0]),
                 ok = Do(connect, [Tcp, <<2:16/native, Port:16, 127, 0, 0, 1, 0:64>>]),
                 {ok, Peer} = gen_tcp:accept(Listen),
                 {ok, _} = Do(readdir, ["/etc"]),
                 [begin
                      ok = gen_tcp:send(Peer, binary:copy(<<"D">>, Size)),
                      {ok, [_]} = Do(poll, [[{Tcp, [pollin]}], 5000]),
                      {ok, Discarded, [], _} = Do(recvmsg, [Tcp, Size, msg_trunc]),
                      <<>> = << <<Byte>> || <<Byte>> <= Discarded, Byte =/= 0 >>
                  end || Size <- [100, 1500, 4096, 30000]],
                 ok = Do(close, [Tcp]),
                 ok = gen_tcp:close(Peer),
                 ok = gen_tcp:close(Listen),
                 {error, enotsock} = Do(recvmsg, [0, 1, 0])
         end).

%% ---------------------------------------------------------------------------
%% Any system call
%% ---------------------------------------------------------------------------

syscall(Config) ->
    Drv = alcove_test:drv(Config),
    alcove_test:both(Config,
         fun(Do) ->
                 Pid = Do(getpid, []),
                 {ok, Pid, []} = Do(syscall, [getpid, []]),
                 {ok, Pid, []} = Do(syscall, [sys_getpid, []]),
                 {ok, Pid, [1, 2, 3, 4, 5, 6]} = Do(syscall, [Do(syscall_define, [getpid]), [1, 2, 3, 4, 5, 6]]),
                 {ok, 0, [<<"Linux", 0, _/binary>>]} = Do(syscall, [uname, [<<0:(6 * 65 * 8)>>]]),
                 %% writev(2) takes a structure with pointers: what it says comes out.
                 {ok, R, W} = Do(pipe, []),
                 Word = 8 * erlang:system_info(wordsize),
                 Iovec = [{ptr, <<"hello ">>}, <<6:Word/native>>, {ptr, <<"world">>}, <<5:Word/native>>],
                 {ok, 11, [W, Iovec, 2]} = Do(syscall, [writev, [W, Iovec, 2]]),
                 {ok, <<"hello world">>} = Do(read, [R, 100]),
                 [ok = Do(close, [FD]) || FD <- [R, W]],
                 {error, ebadf} = Do(syscall, [close, [-1]]),
                 %% Names of constants, as the functions take them.
                 {ok, FD, _} = Do(syscall, [openat, [at_fdcwd, "/dev/null", [o_rdwr, o_cloexec]]]),
                 {ok, 1, 0} = Do(fcntl, [FD, f_getfd, 0]),
                 ok = Do(close, [FD]),
                 [{error, enosys} = Do(syscall, [Number, []]) || Number <- no_calls()],
                 [{error, einval} = Do(syscall, [Call, []])
                  || Call <- [fork, vfork, clone, clone3], Do(syscall_define, [Call]) =/= unknown]
         end),
    alcove_test:badarg(fun() -> alcove:syscall(Drv, getpid, [1, 2, 3, 4, 5, 6, 7]) end),
    alcove_test:badarg(fun() -> alcove:syscall(Drv, no_such_call, []) end),
    %% A change of credentials: the process still ends with its parent.
    root(fun() ->
                 Do = in_child(Config),
                 {ok, 0, _} = Do(syscall, [setuid, [65534]]),
                 {ok, 65534, 65534, 65534} = Do(getresuid, []),
                 {ok, 0, <<9:32/native>>, 0, 0, 0} = Do(prctl, [pr_get_pdeathsig, <<0:32>>, 0, 0, 0])
         end).

%% Numbers that no call has. On 32-bit ARM the kernel ends a process with SIGILL for some of them: from
%% 16#f0000 on they are the processor's own.
no_calls() ->
    case erlang:system_info(system_architecture) of
        "arm" ++ _ -> [16#e0000, 1 bsl 63];
        _ -> [16#e0000, 16#7fffffff, 1 bsl 63]
    end.

%% ---------------------------------------------------------------------------
%% What only BSDs have
%% ---------------------------------------------------------------------------
%% Network devices
%% ---------------------------------------------------------------------------

%% A process in a network of its own, with a pair of devices and a socket.
in_network(Config, Fun) ->
    alcove_test:need([root, namespaces],
        fun() ->
                Drv = alcove_test:drv(Config),
                {ok, Pid} = alcove:clone(Drv, [clone_newnet]),
                Do = calls(Config, [Pid]),
                {ok, Socket} = Do(socket, [af_netlink, [sock_raw, sock_cloexec], netlink_route]),
                case Do(netdev_veth, [Socket, "outer", "", "inner", "02:00:00:00:00:01", 1400]) of
                    ok -> Fun(Do, Socket);
                    {error, unsupported} -> alcove_test:skip("needs pairs of network devices")
                end
        end).

devices(Do) ->
    {ok, Socket} = Do(socket, [af_inet, [sock_dgram, sock_cloexec], 0]),
    Named = [Name || Name <- ["lo", "outer", "inner"],
                     {ok, _, _} <- [Do(ioctl, [Socket, siocgifflags, request(Name)])]],
    ok = Do(close, [Socket]),
    Named.

%% A struct ifreq.
request(Name) ->
    <<(list_to_binary(Name))/binary, 0:((40 - length(Name)) * 8)>>.

netdev_veth(Config) ->
    in_network(Config,
        fun(Do, Socket) ->
                ["lo", "outer", "inner"] = devices(Do),
                {error, eexist} = Do(netdev_veth, [Socket, "outer", "", "other", "", 0]),
                {error, eexist} = Do(netdev_veth, [Socket, "other", "", "inner", "", 0]),
                {error, enodev} = Do(netdev_veth, [Socket, "a", "none", "b", "", 0]),
                {error, eopnotsupp} = errno(Do(netdev_veth, [Socket, "a", "lo", "b", "", 0])),
                {error, enametoolong} = Do(netdev_veth, [Socket, "a", "", "sixteen-letters-", "", 0]),
                {error, enodev} = Do(netdev_veth, [Socket, "", "", "b", "", 0]),
                [{error, einval} = Do(netdev_veth, [Socket, "a", "", "b", Mac, 0]) || Mac <- ["1", "00:00:00:00:00:0x"]],
                {error, eaddrnotavail} = Do(netdev_veth, [Socket, "a", "", "b", "01:00:00:00:00:01", 0]),
                {error, einval} = Do(netdev_veth, [Socket, "a", "", "b", "", 67]),
                ["lo", "outer", "inner"] = devices(Do),
                %% The other end goes where the process has gone, and with that.
                ok = Do(unshare, [clone_newnet]),
                ok = Do(netdev_veth, [Socket, "far", "", "near", "", 0]),
                {ok, Own} = Do(socket, [af_netlink, [sock_raw, sock_cloexec], netlink_route]),
                ok = Do(netdev_up, [Own, "near"]),
                {error, enodev} = Do(netdev_up, [Own, "far"]),
                ok = Do(netdev_up, [Socket, "far"]),
                {ok, File} = Do(open, ["/dev/null", [o_rdonly, o_cloexec], 0]),
                {error, enotsock} = Do(netdev_veth, [File, "a", "", "b", "", 0]),
                {ok, Other} = Do(socket, [af_netlink, sock_raw, netlink_kobject_uevent]),
                {error, eprototype} = Do(netdev_veth, [Other, "a", "", "b", "", 0]),
                ok
        end).

netdev_up(Config) ->
    in_network(Config,
        fun(Do, Socket) ->
                {ok, Inet} = Do(socket, [af_inet, [sock_dgram, sock_cloexec], 0]),
                Up = fun(Name) ->
                             {ok, 0, <<_:16/binary, Flags:16/native, _/binary>>} =
                                 Do(ioctl, [Inet, siocgifflags, request(Name)]),
                             Flags band 1 =:= 1
                     end,
                {true, false} = {Up("outer"), Up("inner")},
                ok = Do(netdev_up, [Socket, "inner"]),
                true = Up("inner"),
                ok = Do(netdev_up, [Socket, "inner"]),
                {error, enodev} = Do(netdev_up, [Socket, "none"]),
                {error, enametoolong} = Do(netdev_up, [Socket, "sixteen-letters-"]),
                ok = Do(setresuid, [65534, 65534, 65534]),
                {error, eperm} = Do(netdev_up, [Socket, "lo"])
        end).

netdev_address(Config) ->
    in_network(Config,
        fun(Do, Socket) ->
                ok = Do(netdev_address, [Socket, "inner", "10.1.2.3/24"]),
                {error, eexist} = Do(netdev_address, [Socket, "inner", "10.1.2.3/24"]),
                {ok, Inet} = Do(socket, [af_inet, [sock_dgram, sock_cloexec], 0]),
                ok = Do(bind, [Inet, {inet, {{10, 1, 2, 3}, 0}}]),
                {error, eaddrnotavail} = Do(bind, [Inet, {inet, {{10, 1, 2, 4}, 0}}]),
                case Do(netdev_address, [Socket, "inner", "fd00::1/64"]) of
                    ok ->
                        ok = Do(netdev_up, [Socket, "inner"]),
                        %% Nobody is asked first.
                        {ok, Inet6} = Do(socket, [af_inet6, [sock_dgram, sock_cloexec], 0]),
                        ok = Do(bind, [Inet6, {inet6, {{16#fd00, 0, 0, 0, 0, 0, 0, 1}, 0}}]),
                        {error, eaddrnotavail} = Do(netdev_address, [Socket, "inner", "ff02::1/64"]);
                    Error ->
                        {error, eopnotsupp} = errno(Error)
                end,
                [{error, einval} = Do(netdev_address, [Socket, "inner", Text])
                 || Text <- ["", "10.1.2.3", "10.1.2.3/33", "10.1.2/24", "localhost/8", "fd00::1/129", <<255, "/1">>]],
                {error, enodev} = Do(netdev_address, [Socket, "none", "10.1.2.3/24"])
        end).

netdev_route(Config) ->
    in_network(Config,
        fun(Do, Socket) ->
                Far = {inet, {{192, 0, 2, 1}, 9}},
                Connects = fun() ->
                                   {ok, Inet} = Do(socket, [af_inet, [sock_dgram, sock_cloexec], 0]),
                                   Connected = Do(connect, [Inet, Far]),
                                   ok = Do(close, [Inet]),
                                   Connected
                           end,
                ok = Do(netdev_address, [Socket, "inner", "10.1.2.3/24"]),
                ok = Do(netdev_up, [Socket, "inner"]),
                {error, enetunreach} = Connects(),
                {error, enetunreach} = Do(netdev_route, [Socket, "inner", "10.1.3.1"]),
                [{error, einval} = Do(netdev_route, [Socket, "inner", Text]) || Text <- ["", "10.1.2.1/24", "x"]],
                {error, enodev} = Do(netdev_route, [Socket, "none", "10.1.2.1"]),
                ok = Do(netdev_route, [Socket, "inner", "10.1.2.1"]),
                ok = Connects(),
                {error, eexist} = Do(netdev_route, [Socket, "inner", "10.1.2.1"])
        end).

netdev_unused(Config) ->
    in_network(Config,
        fun(Do, Socket) ->
                ok = Do(netdev_unused, [Socket, "10.1.2.3"]),
                ok = Do(netdev_address, [Socket, "inner", "10.1.2.3/24"]),
                ok = Do(netdev_up, [Socket, "inner"]),
                {error, eaddrinuse} = Do(netdev_unused, [Socket, "10.1.2.3"]),
                [ok = Do(netdev_unused, [Socket, Other]) || Other <- ["10.1.2.4", "192.0.2.1", "fd00::1"]],
                [{error, einval} = Do(netdev_unused, [Socket, Text]) || Text <- ["", "10.1.2.3/24", "x"]],
                ok
        end).

%% ---------------------------------------------------------------------------

unsupported(Config, Call, Args) ->
    case os:type() of
        {unix, linux} -> alcove_test:both(Config, fun(Do) -> {error, unsupported} = Do(Call, Args) end);
        _ -> alcove_test:skip("only tells what Linux lacks")
    end.

pledge(Config) -> unsupported(Config, pledge, ["stdio", ""]).

unveil(Config) -> unsupported(Config, unveil, ["/tmp", "r"]).

jail(Config) -> unsupported(Config, jail, [<<0:256>>]).

jail_attach(Config) -> unsupported(Config, jail_attach, [1]).

jail_remove(Config) -> unsupported(Config, jail_remove, [1]).

cap_enter(Config) -> unsupported(Config, cap_enter, []).

procctl(Config) -> unsupported(Config, procctl, [0, 0, 1, <<0:32>>]).
