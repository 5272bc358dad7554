%% @doc Confinement as users put it together: chroot, limits, credentials,
%% system call filters, namespaces and mounts.
-module(alcove_confine_SUITE).

-include_lib("stdlib/include/assert.hrl").
-include("alcove.hrl").

-export([suite/0, all/0, groups/0, init_per_suite/1, end_per_suite/1,
         init_per_testcase/2, end_per_testcase/2]).
%% chroot and limits
-export([chroot_sandbox/1, no_descriptors_left/1, limits_are_inherited/1, cpu_limit/1]).
%% credentials
-export([dropped_privileges_stay_dropped/1, dropped_privileges_and_the_parents_death/1]).
%% seccomp
-export([system_call_filter/1, filter_is_inherited/1, programs_get_no_descriptors/1,
         programs_get_no_high_descriptors/1]).
%% namespaces
-export([uts_namespace/1, pid_namespace/1, net_namespace/1, ipc_namespace/1, mount_namespace/1, setns_example/1,
         unshare_example/1, user_namespace/1, container_in_one_call/1, namespace_init_is_killed/1]).

suite() ->
    alcove_test:suite().

all() ->
    [{group, Group} || {Group, _, _} <- groups()].

groups() ->
    [{chroot_and_limits, [], [chroot_sandbox, no_descriptors_left, limits_are_inherited, cpu_limit]},
     {credentials, [], [dropped_privileges_stay_dropped, dropped_privileges_and_the_parents_death]},
     {seccomp, [], [system_call_filter, filter_is_inherited, programs_get_no_descriptors,
                    programs_get_no_high_descriptors]},
     {namespaces, [], [uts_namespace, pid_namespace, net_namespace, ipc_namespace, mount_namespace,
                       setns_example, unshare_example, user_namespace, container_in_one_call,
                       namespace_init_is_killed]}].

init_per_suite(Config) ->
    alcove_test:init_suite(Config).

end_per_suite(_Config) ->
    ok.

init_per_testcase(_Case, Config) ->
    alcove_test:init_case([{exit_status, true}, {termsig, true}], Config).

end_per_testcase(_Case, Config) ->
    alcove_test:end_case(Config).

as_root(Needs, Config, Fun) ->
    alcove_test:need([root | Needs], fun() -> Fun(alcove_test:drv(Config), alcove_test:path(Config)) end).

%% ---------------------------------------------------------------------------
%% chroot and limits
%% ---------------------------------------------------------------------------

set_limits(Drv, Child) ->
    RLIMIT_FSIZE = alcove:rlimit_define(Drv, rlimit_fsize),
    RLIMIT_NOFILE = alcove:rlimit_define(Drv, rlimit_nofile),
    RLIMIT_NPROC = alcove:rlimit_define(Drv, rlimit_nproc),
    ok = alcove:setrlimit(Drv, Child, RLIMIT_FSIZE, #alcove_rlimit{cur = 0, max = 0}),
    ok = alcove:setrlimit(Drv, Child, RLIMIT_NOFILE, #alcove_rlimit{cur = 0, max = 0}),
    ok = alcove:setrlimit(Drv, Child, RLIMIT_NPROC, #alcove_rlimit{cur = 1, max = 1}).

id() ->
    16#f0000000 + rand:uniform(16#ffff).

sandbox(Drv, Dir, Argv) ->
    Child = alcove_test:fork(Drv, []),
    ok = set_limits(Drv, Child),
    ok = alcove:chroot(Drv, Child, Dir),
    ok = alcove:chdir(Drv, Child, "/"),
    Id = id(),
    ok = alcove:setgid(Drv, Child, Id),
    ok = alcove:setuid(Drv, Child, Id),
    %% Still in its event loop, without a descriptor to its name.
    Id = alcove:getuid(Drv, Child),
    ok = alcove:execvp(Drv, Child, "/busybox", ["/busybox" | Argv]),
    Child.

%% The sandbox that the library was made for.
chroot_sandbox(Config) ->
    as_root(
      [busybox], Config,
      fun(Drv, _) ->
              Dir = alcove_test:chroot_dir(Config),
              Cat = sandbox(Drv, Dir, ["cat"]),
              true = alcove:stdin(Drv, Cat, "test test\n"),
              <<"test test\n">> = alcove:stdout(Drv, Cat),
              Sh = sandbox(Drv, Dir, ["sh"]),
              true = alcove:stdin(Drv, Sh, "echo hello\n"),
              <<"hello\n">> = alcove:stdout(Drv, Sh),
              true = alcove:stdin(Drv, Sh, "> foo\n"),
              ?assertMatch({match, _}, re:run(complaint(Drv, Sh), "can't create foo: Too many open files\n")),
              true = alcove:stdin(Drv, Sh, "/busybox ls\n"),
              ?assertMatch({match, _}, re:run(complaint(Drv, Sh), "can't fork")),
              {ok, ["busybox"]} = file:list_dir(Dir),
              true = alcove:stdin(Drv, Cat, "still here\n"),
              <<"still here\n">> = alcove:stdout(Drv, Cat),
              ok = alcove:eof(Drv, Cat),
              ok = alcove_test:event(Drv, Cat, {exit_status, 0})
      end).

%% A line of stderr, which may come in pieces.
complaint(Drv, Path) ->
    complaint(Drv, Path, alcove:stderr(Drv, Path)).

complaint(Drv, Path, Text) when is_binary(Text) ->
    case binary:last(Text) of
        $\n -> Text;
        _ -> complaint(Drv, Path, <<Text/binary, (alcove:stderr(Drv, Path))/binary>>)
    end.

%% With RLIMIT_NOFILE = 0 the event loop goes on; what needs a descriptor fails.
no_descriptors_left(Config) ->
    Drv = alcove_test:drv(Config),
    Path = alcove_test:path(Config),
    ok = alcove:setrlimit(Drv, Path, rlimit_nofile, #alcove_rlimit{cur = 0, max = 0}),
    [?assertEqual(lists:last(Path), alcove:getpid(Drv, Path)) || _ <- lists:seq(1, 100)],
    {error, emfile} = alcove:open(Drv, Path, "/dev/null", o_rdonly, 0),
    {error, emfile} = alcove:readdir(Drv, Path, "/"),
    {error, emfile} = alcove:fork(Drv, Path),
    {error, emfile} = alcove:spawn(Drv, Path, fork, []),
    ok = alcove:chdir(Drv, Path, "/"),
    {error, enoent} = alcove:execvp(Drv, Path, "/nonexistent", ["x"]),
    ok = alcove:sigaction(Drv, Path, sigusr1, trap),
    ok = alcove:kill(Drv, lists:last(Path), sigusr1),
    ok = alcove_test:event(Drv, Path, {signal, sigusr1}),
    ok = alcove:exit(Drv, Path, 3),
    ok = alcove_test:event(Drv, Path, {exit_status, 3}).

limits_are_inherited(Config) ->
    Drv = alcove_test:drv(Config),
    Path = alcove_test:path(Config),
    ok = alcove:setrlimit(Drv, Path, rlimit_nofile, #alcove_rlimit{cur = 100, max = 100}),
    Child = alcove_test:fork(Drv, Path),
    {ok, #alcove_rlimit{cur = 100, max = 100}} = alcove:getrlimit(Drv, Child, rlimit_nofile),
    Shell = alcove_test:shell(Drv, Path, "ulimit -n"),
    {<<"100\n">>, {exit_status, 0}} = alcove_test:output(Drv, Shell),
    %% The parent's own are what they were.
    {ok, #alcove_rlimit{cur = Cur}} = alcove:getrlimit(Drv, rlimit_nofile),
    ?assertNotEqual(100, Cur).

cpu_limit(Config) ->
    Drv = alcove_test:drv(Config),
    Path = alcove_test:path(Config),
    Child = alcove_test:fork(Drv, Path),
    ok = alcove:setrlimit(Drv, Child, rlimit_cpu, #alcove_rlimit{cur = 1, max = 1}),
    ok = alcove:execvp(Drv, Child, "/bin/sh", ["sh", "-c", "while :; do :; done"]),
    {<<>>, {termsig, Signal}} = alcove_test:output(Drv, Child),
    ?assert(lists:member(Signal, [sigxcpu, sigkill])).

%% ---------------------------------------------------------------------------
%% Credentials
%% ---------------------------------------------------------------------------

dropped_privileges_stay_dropped(Config) ->
    as_root(
      [], Config,
      fun(Drv, Path) ->
              Id = id(),
              ok = alcove:setgid(Drv, Path, Id),
              ok = alcove:setuid(Drv, Path, Id),
              {error, eperm} = alcove:setuid(Drv, Path, 0),
              {error, eperm} = alcove:setgid(Drv, Path, 0),
              {error, eperm} = alcove:chroot(Drv, Path, "/"),
              {error, eperm} = alcove:sethostname(Drv, Path, "x"),
              {error, eperm} = alcove:kill(Drv, Path, alcove:getpid(Drv), 0),
              %% Real, effective, saved and the file system's; no capability left.
              Program = alcove_test:run(Drv, Path, ["grep", "-E", "^(Uid|Gid|Cap(Prm|Eff|Inh|Amb))",
                                                    "/proc/self/status"]),
              {Status, {exit_status, 0}} = alcove_test:output(Drv, Program),
              Ids = lists:duplicate(4, integer_to_list(Id)),
              ?assertEqual([["Uid:" | Ids], ["Gid:" | Ids]
                            | [[Set, "0000000000000000"] || Set <- ["CapInh:", "CapPrm:", "CapEff:", "CapAmb:"]]],
                           [string:lexemes(Line, "\t") || Line <- string:lexemes(binary_to_list(Status), "\n")])
      end).

%% A change of credentials clears what ties a process to its parent's life: it is tied again.
dropped_privileges_and_the_parents_death(Config) ->
    as_root(
      [], Config,
      fun(Drv, Path) ->
              Child = alcove_test:fork(Drv, Path),
              ok = alcove:setgid(Drv, Child, 65533),
              ok = alcove:setuid(Drv, Child, 65533),
              Program = alcove_test:run(Drv, Child, ["sleep", "1000"]),
              Direct = alcove_test:fork(Drv, Path),
              ok = alcove:setuid(Drv, Direct, 65533),
              ok = alcove:execvp(Drv, Direct, "sleep", ["sleep", "1000"]),
              _ = alcove_test:signal(lists:last(Path), "KILL"),
              ok = alcove_test:event(Drv, Path, {termsig, sigkill}),
              [?assert(alcove_test:until(fun() -> not alcove_test:alive(lists:last(P)) end, alcove_test:ms(1000)))
               || P <- [Child, Program, Direct]]
      end).

%% ---------------------------------------------------------------------------
%% seccomp
%% ---------------------------------------------------------------------------

-define(ALLOW, 16#7fff0000).
-define(KILL_PROCESS, 16#80000000).

%% A filter that admits these system calls: it loads the call's number and compares.
filter(Drv, Names) ->
    Numbers = [Number || Name <- Names, Number <- [alcove:syscall_define(Drv, Name)], Number =/= unknown],
    Load = bpf(16#20, 0, 0, 0),
    Count = length(Numbers),
    Compare = [bpf(16#15, Count - N + 1, 0, Number) || {N, Number} <- lists:zip(lists:seq(1, Count), Numbers)],
    iolist_to_binary([Load, Compare, bpf(16#06, 0, 0, ?KILL_PROCESS), bpf(16#06, 0, 0, ?ALLOW)]).

bpf(Code, True, False, K) ->
    <<Code:16/native, True:8, False:8, K:32/native>>.

put_under(Drv, Path, Filter) ->
    {ok, 0, 1, 0, 0, 0} = alcove:prctl(Drv, Path, pr_set_no_new_privs, 1, 0, 0, 0),
    Padding = (erlang:system_info(wordsize) - 2) * 8,
    Program = [<<(byte_size(Filter) div 8):16/native>>, <<0:Padding>>, {ptr, Filter}],
    {ok, 0, 2, _, 0, 0} = alcove:prctl(Drv, Path, pr_set_seccomp, 2, Program, 0, 0),
    ok.

least() ->
    [sys_read, sys_write, sys_writev, sys_poll, sys_ppoll, sys_exit, sys_exit_group, sys_rt_sigreturn,
     sys_sigreturn].

%% An event loop needs no more than this, for as long as it runs.
system_call_filter(Config) ->
    Drv = alcove_test:drv(Config),
    Path = alcove_test:path(Config),
    ok = put_under(Drv, Path, filter(Drv, [sys_getpid | least()])),
    Pid = lists:last(Path),
    [Pid = alcove:getpid(Drv, Path) || _ <- lists:seq(1, 1000)],
    %% From many callers, and after a pause in which it may have gone to sleep.
    Self = self(),
    Callers = [spawn_link(fun() ->
                                  [Pid = alcove:getpid(Drv, Path) || _ <- lists:seq(1, 100)],
                                  Self ! {self(), done}
                          end) || _ <- lists:seq(1, 8)],
    [receive {Caller, done} -> ok after alcove_test:ms(10000) -> ct:fail(hangs) end || Caller <- Callers],
    true = alcove_test:until(fun() -> alcove_test:state(Pid) =:= $S end),
    {ok, Pids} = alcove:batch(Drv, Path, lists:duplicate(1000, {getpid, []})),
    [Pid] = lists:usort(Pids),
    %% Calls that reach no system call do as well.
    16 = alcove:getopt(Drv, Path, maxforkdepth),
    [] = alcove:pid(Drv, Path),
    false = alcove:getenv(Drv, Path, "ALCOVE_NOT_SET"),
    %% Any other ends it.
    alcove_test:badpid(fun() -> alcove:chdir(Drv, Path, "/") end),
    ok = alcove_test:event(Drv, Path, {termsig, sigsys}),
    %% exit is among those admitted.
    Exits = alcove_test:fork(Drv, []),
    ok = put_under(Drv, Exits, filter(Drv, [sys_getpid | least()])),
    ok = alcove:exit(Drv, Exits, 4),
    ok = alcove_test:event(Drv, Exits, {exit_status, 4}),
    %% Signals are reported from under a filter too.
    Traps = alcove_test:fork(Drv, []),
    ok = alcove:sigaction(Drv, Traps, sigusr1, trap),
    ok = put_under(Drv, Traps, filter(Drv, [sys_getpid | least()])),
    [begin
         ok = alcove:kill(Drv, lists:last(Traps), sigusr1),
         ok = alcove_test:event(Drv, Traps, {signal, sigusr1})
     end || _ <- lists:seq(1, 100)],
    ?assertEqual(lists:last(Traps), alcove:getpid(Drv, Traps)).

%% A child that was forked under the filter is under it.
filter_is_inherited(Config) ->
    Drv = alcove_test:drv(Config),
    Path = alcove_test:path(Config),
    %% All but one.
    Number = alcove:syscall_define(Drv, sys_mkdir),
    Refused = case Number of
                  unknown -> alcove:syscall_define(Drv, sys_mkdirat);
                  _ -> Number
              end,
    Errno = 16#00050000 bor 1,
    Filter = iolist_to_binary([bpf(16#20, 0, 0, 0), bpf(16#15, 0, 1, Refused),
                               bpf(16#06, 0, 0, Errno), bpf(16#06, 0, 0, ?ALLOW)]),
    ok = put_under(Drv, Path, Filter),
    Dir = filename:join(alcove_test:tmp(Config), "dir"),
    {error, eperm} = alcove:mkdir(Drv, Path, Dir, 8#700),
    Child = alcove_test:fork(Drv, Path),
    {error, eperm} = alcove:mkdir(Drv, Child, Dir, 8#700),
    ?assertEqual(lists:last(Child), alcove:getpid(Drv, Child)),
    Program = alcove_test:run(Drv, Child, ["grep", "^Seccomp:", "/proc/self/status"]),
    {<<"Seccomp:\t2\n">>, {exit_status, 0}} = alcove_test:output(Drv, Program),
    ok = alcove:mkdir(Drv, Dir, 8#700).

%% Under a filter alcove doesn't ask which descriptors are open, and closes for a program all that may be: those
%% above the limit too, if that was lowered since, by whomever and whenever.
programs_get_no_descriptors(Config) ->
    Drv = alcove_test:drv(Config),
    Open = fun(Path) -> open_at(Drv, Path, 200) end,
    Filter = fun(Path) -> with_filter(Drv, Path) end,
    Fork = fun(Path) -> alcove_test:fork(Drv, Path) end,
    Limit = fun(Path) ->
                    ok = alcove:setrlimit(Drv, Path, rlimit_nofile, #alcove_rlimit{cur = 100, max = 100}),
                    Path
            end,
    ByHand = fun(Path) -> prlimit(Drv, Path, 0, 100), Path end,
    FromOutside = fun(Path) -> prlimit(Drv, [], lists:last(Path), 100), Path end,
    [begin
         Path = alcove_test:fork(Drv, []),
         Last = lists:foldl(fun(Step, At) -> Step(At) end, Path, Steps),
         ?assertEqual({N, [<<"0">>, <<"1">>, <<"2">>, <<"3">>]}, {N, descriptors_of_a_program(Drv, Last)}),
         ok = alcove:exit(Drv, Path, 0)
     end || {N, Steps} <- lists:enumerate(
                            [[Open, Filter]] ++
                            [Steps || Lower <- [Limit, ByHand, FromOutside],
                                      Steps <- [[Open, Lower, Filter], [Open, Filter, Lower], [Filter, Open, Lower],
                                                [Open, Lower, Fork, Filter], [Open, Filter, Lower, Fork]]])].

%% Nor those with numbers that the limit admitted only for a while.
programs_get_no_high_descriptors(Config) ->
    as_root([], Config, fun(Drv, Path) ->
        {ok, #alcove_rlimit{max = Most}} = alcove:getrlimit(Drv, rlimit_nofile),
        High = Most + 1000,
        case try_prlimit(Drv, [], lists:last(Path), High) of
            {ok, 0, _} -> high_descriptors(Drv, Path, High);
            {error, eperm} -> alcove_test:skip("the limit of open files can't be raised")
        end
    end).

high_descriptors(Drv, Path, High) ->
    Place = High - 1,
    Opens = [fun(Child) -> open_at(Drv, Child, Place) end,
             fun(Child) -> {ok, Place, _} = alcove:fcntl(Drv, Child, 0, f_dupfd, Place) end,
             fun(Child) -> {ok, Place, _} = alcove:syscall(Drv, Child, dup3, [0, Place, 0]) end],
    [begin
         Child = alcove_test:fork(Drv, Path),
         Before andalso with_filter(Drv, Child),
         prlimit(Drv, [], lists:last(Child), High),
         Open(Child),
         prlimit(Drv, [], lists:last(Child), 100),
         Before orelse with_filter(Drv, Child),
         ?assertEqual([<<"0">>, <<"1">>, <<"2">>, <<"3">>], descriptors_of_a_program(Drv, Child)),
         ok = alcove:exit(Drv, Child, 0)
     end || Before <- [false, true], Open <- Opens].

open_at(Drv, Path, Number) ->
    {ok, Fd} = alcove:open(Drv, Path, "/dev/null", o_rdonly, 0),
    {ok, Number} = alcove:dup2(Drv, Path, Fd, Number),
    ok = alcove:close(Drv, Path, Fd),
    Path.

with_filter(Drv, Path) ->
    ok = alcove_seccomp:install(Drv, Path, #{default => allow, rules => [{swapon, {errno, eperm}}]}),
    Path.

prlimit(Drv, Path, Pid, Limit) ->
    {ok, 0, _} = try_prlimit(Drv, Path, Pid, Limit).

try_prlimit(Drv, Path, Pid, Limit) ->
    Resource = alcove:rlimit_define(Drv, rlimit_nofile),
    alcove:syscall(Drv, Path, prlimit64, [Pid, Resource, <<Limit:64/native, Limit:64/native>>, 0]).

%% The list has that of the directory, too.
descriptors_of_a_program(Drv, Path) ->
    {ok, #{status := 0, stdout := List}} =
        alcove_proc:run(Drv, ["ls", "/proc/self/fd"], #{in => Path, timeout => alcove_test:ms(20000)}),
    binary:split(List, <<"\n">>, [global, trim]).

%% ---------------------------------------------------------------------------
%% Namespaces
%% ---------------------------------------------------------------------------

clone(Drv, Path, Flags) ->
    {ok, Pid} = alcove:clone(Drv, Path, Flags),
    Path ++ [Pid].

uts_namespace(Config) ->
    as_root(
      [], Config,
      fun(Drv, _) ->
              Flags = alcove:define(Drv, 'CLONE_NEWUTS'),
              {ok, Child} = alcove:clone(Drv, Flags),
              ok = alcove:sethostname(Drv, [Child], "test"),
              {ok, Hostname1} = alcove:gethostname(Drv),
              {ok, <<"test">> = Hostname2} = alcove:gethostname(Drv, [Child]),
              ?assertNotEqual(Hostname1, Hostname2),
              Program = alcove_test:run(Drv, [Child], ["hostname"]),
              {<<"test\n">>, {exit_status, 0}} = alcove_test:output(Drv, Program)
      end).

pid_namespace(Config) ->
    as_root(
      [], Config,
      fun(Drv, Path) ->
              Init = clone(Drv, Path, [clone_newpid, clone_newns]),
              1 = alcove:getpid(Drv, Init),
              %% Below it the numbers are the namespace's own.
              Child = alcove_test:fork(Drv, Init),
              2 = lists:last(Child),
              2 = alcove:getpid(Drv, Child),
              Program = alcove_test:shell(Drv, Init, "echo $$"),
              {<<"3\n">>, {exit_status, 0}} = alcove_test:output(Drv, Program),
              ok = alcove:exit(Drv, Child, 7),
              ok = alcove_test:event(Drv, Child, {exit_status, 7}),
              %% With a /proc of its own it sees nobody else.
              ok = alcove:mount(Drv, Init, "none", "/", "", [ms_rec, ms_private], ""),
              ok = alcove:mount(Drv, Init, "proc", "/proc", "proc", 0, ""),
              {ok, Names} = alcove:readdir(Drv, Init, "/proc"),
              ?assertEqual([<<"1">>], [Name || <<Digit, _/binary>> = Name <- Names, Digit >= $0, Digit =< $9]),
              %% The end of init is the end of all in there.
              Sleep = alcove_test:run(Drv, Init, ["sleep", "1000"]),
              ok = alcove:exit(Drv, Init, 0),
              ok = alcove_test:event(Drv, Init, {exit_status, 0}),
              alcove_test:badpid(fun() -> alcove:getpid(Drv, Sleep) end),
              alcove_test:badpid(fun() -> alcove:stdin(Drv, Sleep, "x") end)
      end).

net_namespace(Config) ->
    as_root(
      [], Config,
      fun(Drv, Path) ->
              Child = clone(Drv, Path, [clone_newnet]),
              ?assertEqual(["lo"], interfaces(Drv, Child))
      end).

interfaces(Drv, Path) ->
    Program = alcove_test:run(Drv, Path, ["cat", "/proc/self/net/dev"]),
    {Output, {exit_status, 0}} = alcove_test:output(Drv, Program),
    {match, Names} = re:run(Output, "^ *([^ :]+):", [global, multiline, {capture, all_but_first, list}]),
    lists:sort(lists:append(Names)).

ipc_namespace(Config) ->
    as_root(
      [], Config,
      fun(Drv, Path) ->
              Child = clone(Drv, Path, 'CLONE_NEWIPC'),
              Link = fun(Pid) ->
                             {ok, Target} = file:read_link_all(lists:concat(["/proc/", Pid, "/ns/ipc"])),
                             Target
                     end,
              ?assertNotEqual(Link(lists:last(Child)), Link(lists:last(Path)))
      end).

mount_namespace(Config) ->
    as_root(
      [], Config,
      fun(Drv, Path) ->
              Dir = alcove_test:tmp(Config),
              {ok, Before} = file:read_file("/proc/self/mountinfo"),
              Child = clone(Drv, Path, [clone_newns]),
              ok = alcove:mount(Drv, Child, "none", "/", "", [ms_rec, ms_private], ""),
              ok = alcove:mount(Drv, Child, "tmpfs", Dir, "tmpfs", [nosuid, noexec], "size=1m"),
              ok = alcove:mount(Drv, Child, "/etc", Dir, "", [ms_bind], ""),
              {ok, Names} = alcove:readdir(Drv, Child, Dir),
              ?assert(lists:member(<<"passwd">>, Names)),
              ok = alcove:mount(Drv, Child, "none", Dir, "", [ms_bind, remount, rdonly], ""),
              {error, erofs} = alcove:mkdir(Drv, Child, [Dir, "/alcove"], 8#700),
              {ok, Before} = file:read_file("/proc/self/mountinfo"),
              {ok, []} = file:list_dir(Dir)
      end).

%% As the documentation of setns/2,3 has it.
setns_example(Config) ->
    as_root(
      [], Config,
      fun(Drv, _) ->
              Flags = alcove:define(Drv, clone_newnet),
              {ok, Child1} = alcove:clone(Drv, Flags),
              {ok, Child2} = alcove:fork(Drv),
              ok = alcove:setns(Drv, [Child2], ["/proc/", integer_to_list(Child1), "/ns/net"]),
              ?assertEqual(["lo"], interfaces(Drv, [Child2]))
      end).

%% As the documentation of unshare/2,3 has it.
unshare_example(Config) ->
    as_root(
      [], Config,
      fun(Drv, _) ->
              Flags = alcove:define(Drv, clone_newnet),
              ok = alcove:unshare(Drv, Flags),
              ?assertEqual(["lo"], interfaces(Drv, []))
      end).

%% Without any privileges: a user namespace, in which one is root.
user_namespace(Config) ->
    alcove_test:need(
      [ordinary, userns],
      fun() ->
              Peer = alcove_test:user_peer(Config),
              ok = alcove_test:in_peer(Peer, fun in_user_namespace/0),
              alcove_test:stop_peer(Peer)
      end).

in_user_namespace() ->
    Drv = alcove_test:start([{exit_status, true}]),
    Uid = alcove:getuid(Drv),
    Gid = alcove:getgid(Drv),
    true = Uid =/= 0,
    {error, eperm} = alcove:clone(Drv, clone_newuts),
    lists:foreach(
      fun(Writer) ->
              {ok, Pid} = alcove:clone(Drv, [clone_newuser, clone_newuts, clone_newpid, clone_newnet, clone_newns]),
              Child = [Pid],
              %% The parent may write the maps, and so may the process itself.
              {From, Proc} = case Writer of
                                 parent -> {[], lists:concat(["/proc/", Pid])};
                                 itself -> {Child, "/proc/self"}
                             end,
              ok = put_text(Drv, From, [Proc, "/setgroups"], "deny"),
              ok = put_text(Drv, From, [Proc, "/uid_map"], lists:concat(["0 ", Uid, " 1"])),
              ok = put_text(Drv, From, [Proc, "/gid_map"], lists:concat(["0 ", Gid, " 1"])),
              0 = alcove:getuid(Drv, Child),
              0 = alcove:getgid(Drv, Child),
              1 = alcove:getpid(Drv, Child),
              ok = alcove:sethostname(Drv, Child, "rootless"),
              {ok, <<"rootless">>} = alcove:gethostname(Drv, Child),
              ok = alcove:mount(Drv, Child, "none", "/", "", [ms_rec, ms_private], ""),
              ok = alcove:mount(Drv, Child, "tmpfs", "/tmp", "tmpfs", 0, ""),
              {ok, []} = alcove:readdir(Drv, Child, "/tmp"),
              ok = alcove:chroot(Drv, Child, "/"),
              Program = alcove_test:run(Drv, Child, ["id", "-u"]),
              {<<"0\n">>, {exit_status, 0}} = alcove_test:output(Drv, Program)
      end,
      [parent, itself]),
    ok = alcove_test:stop(Drv).

put_text(Drv, Path, File, Text) ->
    {ok, Fd} = alcove:open(Drv, Path, File, o_wronly, 0),
    {ok, _} = alcove:write(Drv, Path, Fd, Text),
    ok = alcove:close(Drv, Path, Fd).

%% A container's start is a list.
container_in_one_call(Config) ->
    as_root(
      [busybox], Config,
      fun(Drv, Path) ->
              Dir = alcove_test:chroot_dir(Config),
              Id = id(),
              {ok, Pid} = alcove:spawn(
                            Drv, Path,
                            {clone, [clone_newuts, clone_newpid, clone_newnet, clone_newns, clone_newipc]},
                            [{sethostname, ["container"]},
                             {mount, ["none", "/", "", [ms_rec, ms_private], ""]},
                             {chroot, [Dir]},
                             {chdir, ["/"]},
                             {setrlimit, [rlimit_nproc, #alcove_rlimit{cur = 1, max = 1}]},
                             {setgid, [Id]},
                             {setuid, [Id]},
                             {execve, ["/busybox", ["busybox", "sh"], ["A=1"]]}]),
              Shell = Path ++ [Pid],
              true = alcove:stdin(Drv, Shell, "echo $$ $A; exit 3\n"),
              {<<"1 1\n">>, {exit_status, 3}} = alcove_test:output(Drv, Shell)
      end).

%% Who is init of a pid namespace and dies by a signal takes all of it along.
namespace_init_is_killed(Config) ->
    as_root(
      [], Config,
      fun(Drv, Path) ->
              Init = clone(Drv, Path, [clone_newpid]),
              _ = alcove_test:shell(Drv, Init, "trap '' TERM; setsid sleep 1000 & wait"),
              true = alcove_test:until(fun() -> length(alcove_test:descendants(lists:last(Init))) >= 2 end),
              Pids = alcove_test:descendants(lists:last(Init)),
              ok = alcove:kill(Drv, Path, lists:last(Init), sigkill),
              ok = alcove_test:event(Drv, Init, {termsig, sigkill}),
              ?assertEqual([], [Pid || Pid <- Pids, alcove_test:alive(Pid)]),
              ?assertEqual(lists:last(Path), alcove:getpid(Drv, Path))
      end).
