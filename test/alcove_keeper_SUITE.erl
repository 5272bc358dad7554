%% @doc The end of a program is certain: whatever the program does against it, and whoever sleeps.
-module(alcove_keeper_SUITE).

-include_lib("stdlib/include/assert.hrl").
-include("alcove.hrl").

-define(CAP_SYS_NICE, 23).

-export([
    suite/0,
    all/0,
    init_per_suite/1,
    end_per_suite/1,
    init_per_testcase/2,
    end_per_testcase/2
]).
-export([
    stopped_keeper/1, waited_for/1, childlimit/1,
    stopped_again_and_again/1,
    stopped_root_again_and_again/1,
    killed_root/1,
    killed_root_is_outlived/1,
    program_kills_root/1,
    killed_root_and_stopped_guardian/1,
    killed_keeper/1,
    calls_to_a_keeper/1,
    stopped_root/1,
    unread_output/1,
    awaited_before_read/1,
    slow_function/1,
    endless_function/1,
    other_mail/1,
    pid_namespace/1,
    ends_before_it_is_heard/1,
    orphans_in_a_pid_namespace/1,
    swarm/1,
    swarm_of_a_drv/1,
    its_own_children_file/1,
    no_proc/1,
    numbers_of_another_proc/1,
    await_of_a_stranger/1,
    keepers_are_used_again/1,
    what_a_program_holds/1,
    what_has_changed_is_inherited/1,
    killed_callers/1,
    a_terminal_has_everything/1,
    streams_are_the_users/1,
    traced_by_its_keeper/1,
    traced_and_left/1,
    traced_under_a_filter/1,
    traced_root/1,
    left_to_live/1,
    left_in_a_pid_namespace/1,
    large_environment/1
]).

suite() ->
    alcove_test:suite().

all() ->
    [
        stopped_keeper,
        waited_for,
        childlimit,
        stopped_again_and_again,
        stopped_root_again_and_again,
        killed_root,
        killed_root_is_outlived,
        program_kills_root,
        killed_root_and_stopped_guardian,
        killed_keeper,
        calls_to_a_keeper,
        stopped_root,
        unread_output,
        awaited_before_read,
        slow_function,
        endless_function,
        other_mail,
        pid_namespace,
        ends_before_it_is_heard,
        orphans_in_a_pid_namespace,
        swarm,
        swarm_of_a_drv,
        its_own_children_file,
        no_proc,
        numbers_of_another_proc,
        await_of_a_stranger,
        keepers_are_used_again,
        what_a_program_holds,
        what_has_changed_is_inherited,
        killed_callers,
        a_terminal_has_everything,
        streams_are_the_users,
        traced_by_its_keeper,
        traced_and_left,
        traced_under_a_filter,
        traced_root,
        left_to_live,
        left_in_a_pid_namespace,
        large_environment
    ].

init_per_suite(Config) ->
    alcove_test:init_suite(Config).

end_per_suite(_Config) ->
    ok.

init_per_testcase(_Case, Config) ->
    Config1 = alcove_test:init_case(Config),
    [{drv, alcove_test:start()} | Config1].

end_per_testcase(_Case, Config) ->
    alcove_test:end_case(Config).

drv(Config) ->
    alcove_test:drv(Config).

sh(Script) ->
    ["/bin/sh", "-c", Script].

%% How many milliseconds something takes, and what it gives.
timed(Fun) ->
    Start = erlang:monotonic_time(millisecond),
    Value = Fun(),
    {erlang:monotonic_time(millisecond) - Start, Value}.

%% A program that stops its parent doesn't get round its deadline, nor round stop/2.
stopped_keeper(Config) ->
    Drv = drv(Config),
    Stops = sh("kill -STOP $PPID; sleep 1000"),
    {Took, Result} = timed(fun() -> alcove_proc:run(Drv, Stops, #{timeout => 500}) end),
    ?assertMatch({error, {timeout, #{status := {termsig, sigterm}}}}, Result),
    ?assert(Took < alcove_test:ms(4000)),
    {ok, Proc} = alcove_proc:start(Drv, Stops),
    ?assertMatch({ok, #{status := {termsig, sigkill}}}, alcove_proc:stop(Proc, 0)).

%% A keeper is no child that the user forked.
childlimit(Config) ->
    Drv = drv(Config),
    true = alcove:setopt(Drv, maxchild, 1),
    {ok, Pid} = alcove:fork(Drv),
    {ok, Proc} = alcove_proc:start(Drv, ["sleep", "1000"], #{in => [Pid]}),
    ?assertMatch({ok, _}, alcove_proc:run(Drv, ["true"], #{in => [Pid]})),
    {ok, Child} = alcove:fork(Drv, [Pid]),
    ?assertEqual({error, eagain}, alcove:fork(Drv, [Pid])),
    ?assertEqual(Child, alcove:getpid(Drv, [Pid, Child])),
    ?assertMatch({ok, _}, alcove_proc:run(Drv, ["true"], #{in => [Pid]})),
    ?assertMatch({ok, _}, alcove_proc:stop(Proc)).

%% Who waits for the children of a process waits for those that it forked: a keeper that is stopped
%% goes on, and is nobody that waitpid tells of.
waited_for(Config) ->
    Drv = drv(Config),
    {ok, Pid} = alcove:fork(Drv),
    {ok, Child} = alcove:fork(Drv, [Pid]),
    ?assertMatch({ok, _}, alcove_proc:run(Drv, ["true"], #{in => [Pid]})),
    {ok, 0, 0, []} = alcove:waitpid(Drv, [Pid], -1, [wnohang, wuntraced, wcontinued]),
    {ok, Proc} = alcove_proc:start(Drv, sh("read x; kill -STOP $PPID; echo $x"), #{in => [Pid]}),
    Self = self(),
    _ = spawn_link(fun() -> Self ! {waited, alcove:waitpid(Drv, [Pid], -1, [wuntraced, wcontinued])} end),
    ?assert(alcove_test:until(fun() -> maps:get(pending, alcove_drv:info(Drv)) > 0 end)),
    ?assert(alcove_test:until(fun() -> alcove_test:state(Pid) =:= $S end)),
    ok = alcove_proc:write(Proc, "done\n"),
    ?assertMatch({ok, #{status := 0}}, alcove_proc:await(Proc, alcove_test:ms(5000))),
    receive {waited, Early} -> ct:fail({waited, Early}) after 0 -> ok end,
    _ = alcove_test:signal(Child, "KILL"),
    receive
        {waited, Waited} -> ?assertMatch({ok, Child, 9, [{termsig, sigkill}]}, Waited)
    after alcove_test:ms(5000) -> ct:fail(stuck)
    end.

%% Whoever leaves its keeper no time to do anything loses it, and ends with it.
stopped_again_and_again(Config) ->
    Stops = sh("while :; do kill -STOP $PPID; done"),
    ?assertEqual({error, {parent, gone}}, alcove_proc:run(drv(Config), Stops, #{timeout => 60000})).

%% A program gets rid of its keeper: nothing of it runs on, wherever it was started.
killed_keeper(Config) ->
    Drv = drv(Config),
    {ok, Loop} = alcove:fork(Drv, []),
    Inits = [alcove:clone(Drv, [], [clone_newpid]) || alcove_test:root(), alcove_test:can(namespaces) =:= true],
    File = filename:join(alcove_test:tmp(Config), "lock"),
    %% Whatever lives on holds the lock.
    Leave = "exec 9> \"$0\"; flock 9; sleep 1000 & setsid sleep 1000 & (setsid sleep 1000 &) ; ",
    [
        begin
            Kills = ["/bin/sh", "-c", [Leave, "kill -KILL $PPID; sleep 1000"], File],
            ?assertEqual({error, {parent, gone}}, alcove_proc:run(Drv, Kills, #{in => In})),
            ?assertMatch({ok, #{status := 0}}, alcove_proc:run(Drv, ["flock", "-n", File, "true"]))
        end
     || In <- [[], [Loop] | [[Init] || {ok, Init} <- Inits]]
    ],
    ?assertMatch({ok, #{stdout := <<"1\n">>}}, alcove_proc:run(Drv, ["echo", "1"])).

%% A keeper takes no calls: whoever makes one finds no process, and the program lives.
calls_to_a_keeper(Config) ->
    Drv = drv(Config),
    {ok, Ref} = alcove_proc:start(Drv, ["cat"], #{stdin => stream, stdout => collect}),
    [Keeper] = [[Pid] || {Pid, keeper, _} <- alcove_nif:children(Drv, [])],
    ?assertError(badpid, alcove:getpid(Drv, Keeper)),
    ?assertError(badpid, alcove:batch(Drv, Keeper, [{getpid, []}])),
    ?assertError(badpid, alcove:spawn(Drv, Keeper, fork, [{exit, [0]}])),
    ?assertMatch({error, _}, alcove_proc:run(Drv, ["true"], #{in => Keeper})),
    ok = alcove_proc:write(Ref, "x\n"),
    ok = alcove_proc:eof(Ref),
    ?assertMatch({ok, #{status := 0, stdout := <<"x\n">>}}, alcove_proc:await(Ref)).

%% Root is continued by the guardian.
stopped_root(Config) ->
    Drv = drv(Config),
    #{os_pid := Root} = alcove_drv:info(Drv),
    Stop = "kill -STOP " ++ integer_to_list(Root),
    ?assertMatch({ok, #{status := 0}}, alcove_proc:run(Drv, sh(Stop))),
    ?assertMatch({ok, #{stdout := <<"1\n">>}}, alcove_proc:run(Drv, ["echo", "1"], #{timeout => 5000})),
    ?assertEqual(Root, alcove:getpid(Drv)).

%% A root that is never let alone is a root that was killed: Drv says so, and hangs nowhere.
stopped_root_again_and_again(_Config) ->
    {ok, Drv} = alcove_drv:start(),
    #{os_pid := Root} = alcove_drv:info(Drv),
    Stops = sh("while :; do kill -STOP " ++ integer_to_list(Root) ++ "; done"),
    ?assertEqual({error, {drv, {termsig, sigkill}}}, alcove_proc:run(Drv, Stops, #{timeout => 60000})).

%% The end of a tree is told the same way wherever a program was below root, and never as that of
%% its parent alone.
killed_root(_Config) ->
    [
        begin
            {ok, Drv} = alcove_drv:start(),
            Path = alcove_test:chain(Drv, [], Depth),
            #{os_pid := Root} = alcove_drv:info(Drv),
            {ok, Proc} = alcove_proc:start(Drv, ["sleep", "1000"], #{in => Path}),
            "" = os:cmd("kill -KILL " ++ integer_to_list(Root)),
            ?assertEqual({error, {drv, {termsig, sigkill}}}, alcove_proc:await(Proc))
        end
     || Depth <- [0, 1, 2, 5], _ <- lists:seq(1, 5)
    ].

%% Also if it does so before anybody has heard that it started.
program_kills_root(_Config) ->
    [
        begin
            {ok, Drv} = alcove_drv:start(),
            Path = alcove_test:chain(Drv, [], Depth),
            #{os_pid := Root} = alcove_drv:info(Drv),
            Kills = sh("kill -KILL " ++ integer_to_list(Root) ++ "; sleep 1000"),
            ?assertEqual({error, {drv, {termsig, sigkill}}}, alcove_proc:run(Drv, Kills, #{in => Path}))
        end
     || Depth <- [0, 1, 3], _ <- lists:seq(1, 20)
    ].

%% Also where a process outlives root, and with it a keeper, for as long as the guardian asks programs
%% to end: what the keeper then reports is not how the program would have ended.
killed_root_is_outlived(_Config) ->
    [
        begin
            {ok, Drv} = alcove_drv:start(),
            Path = alcove_test:fork(Drv, []),
            {ok, _, _, _, _, _} = alcove:prctl(Drv, Path, pr_set_pdeathsig, 0, 0, 0, 0),
            #{os_pid := Root} = alcove_drv:info(Drv),
            {ok, Proc} = alcove_proc:start(Drv, sh("sleep 1000; exit 7"), #{in => Path}),
            true = alcove_test:until(fun() -> length(alcove_test:descendants(Root)) =:= 4 end),
            "" = os:cmd("kill -KILL " ++ integer_to_list(Root)),
            ?assertEqual({error, {drv, {termsig, sigkill}}}, alcove_proc:await(Proc))
        end
     || _ <- lists:seq(1, 5)
    ].

%% A guardian that is stopped is continued when root has gone, so that it can say so.
killed_root_and_stopped_guardian(_Config) ->
    {ok, Drv} = alcove_drv:start(),
    #{os_pid := Root} = alcove_drv:info(Drv),
    {ok, Proc} = alcove_proc:start(Drv, ["sleep", "1000"]),
    Guardian = string:trim(os:cmd("ps -o ppid= -p " ++ integer_to_list(Root))),
    "" = os:cmd("kill -STOP " ++ Guardian ++ "; kill -KILL " ++ integer_to_list(Root)),
    {Took, Result} = timed(fun() -> alcove_proc:await(Proc) end),
    ?assertEqual({error, {drv, {termsig, sigkill}}}, Result),
    ?assert(Took < alcove_test:ms(3000)).

unread_output(Config) ->
    Drv = drv(Config),
    [
        begin
            {ok, Proc} = alcove_proc:start(Drv, ["yes"], #{active => Active}),
            true = alcove_test:until(fun() -> maps:get(queued, alcove_proc:info(Proc)) > 0 end),
            {Took, Result} = timed(fun() -> alcove_proc:stop(Proc) end),
            ?assertMatch({ok, #{status := {termsig, sigterm}}}, Result),
            ?assert(Took < alcove_test:ms(3000))
        end
     || Active <- [false, once, 3]
    ].

%% Whoever should read may be the one who waits for the end. Nothing is lost by that.
awaited_before_read(Config) ->
    Drv = drv(Config),
    Stranger = fun(Proc) ->
        Self = self(),
        spawn_link(fun() -> Self ! {awaited, alcove_proc:await(Proc, alcove_test:ms(10000))} end),
        receive {awaited, Outcome} -> Outcome end
    end,
    Owner = fun(Proc) -> alcove_proc:await(Proc, alcove_test:ms(10000)) end,
    %% With some of these sizes the last of it is still in the pipe when the program ends: others
    %% write it while somebody waits.
    Write = "head -c $0 /dev/zero | tee /dev/stderr",
    [
        begin
            Argv = ["/bin/sh", "-c", Write, integer_to_list(Size)],
            {ok, Proc} = alcove_proc:start(Drv, Argv, #{active => false}),
            ?assertMatch({ok, #{status := 0}}, Await(Proc)),
            ?assertMatch(#{state := ended}, alcove_proc:info(Proc)),
            ?assertEqual({Size, Size}, read_all(Proc, {0, 0})),
            ?assertMatch({alcove_proc, Proc, {exit, {ok, #{status := 0}}}}, receive M -> M end)
        end
     || Size <- lists:seq(1, 120000, 9999), Await <- [Owner, Stranger]
    ].

read_all(Proc, {Out, Err}) ->
    case alcove_proc:read(Proc) of
        {ok, {stdout, Bytes}} -> read_all(Proc, {Out + byte_size(Bytes), Err});
        {ok, {stderr, Bytes}} -> read_all(Proc, {Out, Err + byte_size(Bytes)});
        eof -> {Out, Err}
    end.

slow_function(Config) ->
    Slow = fun(_) -> timer:sleep(200) end,
    {Took, Result} = timed(fun() ->
        alcove_proc:run(drv(Config), ["yes"], #{stdout => Slow, timeout => 500})
    end),
    ?assertMatch({error, {timeout, _}}, Result),
    ?assert(Took < alcove_test:ms(4000)).

endless_function(Config) ->
    Endless = fun(_) -> receive never -> ok end end,
    {Took, Result} = timed(fun() ->
        alcove_proc:run(drv(Config), ["yes"], #{stdout => Endless, timeout => 500})
    end),
    ?assertMatch({error, {timeout, _}}, Result),
    ?assert(Took < alcove_test:ms(4000)).

%% What others have sent an owner is no business of the program's.
other_mail(Config) ->
    Self = self(),
    [Self ! {other, N} || N <- lists:seq(1, 300)],
    {ok, Proc} = alcove_proc:start(drv(Config), ["head", "-c", "20000000", "/dev/zero"]),
    ?assertEqual(20000000, received(Proc, 0)),
    [receive {other, N} -> ok end || N <- lists:seq(1, 300)].

received(Proc, Size) ->
    receive
        {alcove_proc, Proc, {stdout, Bytes}} -> received(Proc, Size + byte_size(Bytes));
        {alcove_proc, Proc, {exit, {ok, #{status := 0}}}} -> Size
    after alcove_test:ms(20000) -> {stuck_at, Size}
    end.

%% An init of alcove's is process 1: signals arrive, and the status is the program's.
pid_namespace(Config) ->
    Drv = drv(Config),
    alcove_test:need([userns], fun() ->
        Own = #{namespaces => [newuser, newpid]},
        ?assertMatch(
            {error, {timeout, #{status := {termsig, sigterm}}}},
            alcove_proc:run(Drv, ["sleep", "1000"], Own#{timeout => 500})
        ),
        ?assertMatch({ok, #{status := 7}}, alcove_proc:run(Drv, sh("exit 7"), Own)),
        {ok, Proc} = alcove_proc:start(Drv, sh("trap 'exit 3' USR1; echo on; while :; do sleep 0.01; done"), Own),
        receive {alcove_proc, Proc, {stdout, <<"on\n">>}} -> ok end,
        ok = alcove_proc:signal(Proc, sigusr1),
        ?assertMatch({ok, #{status := 3}}, alcove_proc:await(Proc, alcove_test:ms(10000)))
    end).

orphans_in_a_pid_namespace(Config) ->
    Drv = drv(Config),
    alcove_test:need([userns], fun() ->
        Before = alcove_test:descendants(),
        Script = "for i in 1 2 3; do (setsid sleep 1000 &) ; done; (true &); echo done",
        ?assertMatch(
            {ok, #{status := 0, stdout := <<"done\n">>}},
            alcove_proc:run(Drv, sh(Script), #{namespaces => [newuser, newpid]})
        ),
        New = [Pid || Pid <- alcove_test:descendants() -- Before, alcove_test:alive(Pid)],
        ?assertMatch([_], New, "nothing but the keeper")
    end).

%% Chains of processes that leave their session, fork and exit without end. Where each session has
%% its share of the processor, only a keeper with CAP_SYS_NICE goes before 200 of them.
swarm(Config) ->
    alcove_test:need([{probe, alcove_swarm}], fun() ->
        Swarm = alcove_test:executable(Config, alcove_swarm),
        Users = [#{}] ++ [#{user => "nobody"} || alcove_test:root()],
        [
            begin
                Drv = drv(Config),
                Proc = start_swarm(Drv, Swarm, Chains, User),
                {Took, Result} = timed(fun() -> alcove_proc:stop(Proc, 0) end),
                ?assertMatch({ok, #{status := {termsig, sigkill}}}, Result),
                ?assert(Took < alcove_test:ms(case Chains of 50 -> 500; _ -> 2000 end)),
                ?assertEqual([], swarm()),
                ?assertMatch(#{children := []}, alcove:tree(Drv))
            end
         || User <- Users, Chains <- chains()
        ]
    end).

%% The same, when Drv ends with it.
swarm_of_a_drv(Config) ->
    alcove_test:need([{probe, alcove_swarm}], fun() ->
        Drv = drv(Config),
        _ = start_swarm(Drv, alcove_test:executable(Config, alcove_swarm), lists:last(chains()), #{}),
        ?assertEqual(ok, alcove_drv:stop(Drv)),
        ?assertEqual([], swarm())
    end).

chains() ->
    {ok, Status} = file:read_file("/proc/self/status"),
    {match, [Caps]} = re:run(Status, "CapEff:\\s*([0-9a-f]+)", [{capture, all_but_first, binary}]),
    [50] ++ [200 || binary_to_integer(Caps, 16) band (1 bsl ?CAP_SYS_NICE) =/= 0].

start_swarm(Drv, Swarm, Chains, Options) ->
    {ok, Proc} = alcove_proc:start(Drv, [Swarm, integer_to_list(Chains)], Options),
    receive {alcove_proc, Proc, {stdout, <<"on\n">>}} -> Proc end.

swarm() ->
    {ok, Names} = file:list_dir("/proc"),
    [Name || Name <- Names, command(Name) =:= "alcove_swarm"].

%% What a program writes to files of a /proc of its own is not believed.
its_own_children_file(Config) ->
    Drv = drv(Config),
    alcove_test:need([root], fun() ->
        Root = alcove_test:chroot_dir(Config),
        Fake = filename:join([Root, "proc", "thread-self"]),
        ok = filelib:ensure_path(Fake),
        ok = file:write_file(filename:join(Fake, "children"), <<"-1 1 ">>),
        {ok, Loop} = alcove:fork(Drv),
        ok = alcove:chroot(Drv, [Loop], Root),
        ok = alcove:chdir(Drv, [Loop], "/"),
        Leaves = ["/busybox", "sh", "-c", "/busybox sleep 1000 & exit 5"],
        ?assertMatch({ok, #{status := 5}}, alcove_proc:run(Drv, Leaves, #{in => [Loop]})),
        Left = [Pid || Pid <- alcove_test:descendants(), "busybox" =:= command(Pid)],
        ?assertEqual([], Left)
    end).

command(Pid) when is_integer(Pid) ->
    command(integer_to_list(Pid));
command(Pid) ->
    case file:read_file(["/proc/", Pid, "/comm"]) of
        {ok, Text} -> string:trim(binary_to_list(Text));
        {error, _} -> ""
    end.

no_proc(Config) ->
    Drv = drv(Config),
    alcove_test:need([root], fun() ->
        Root = alcove_test:chroot_dir(Config),
        {ok, Loop} = alcove:fork(Drv),
        ok = alcove:chroot(Drv, [Loop], Root),
        ok = alcove:chdir(Drv, [Loop], "/"),
        Leaves = ["/busybox", "sh", "-c", "/busybox setsid /busybox sleep 1000 & /busybox sleep 0.2; exit 6"],
        ?assertMatch({ok, #{status := 6}}, alcove_proc:run(Drv, Leaves, #{in => [Loop]})),
        ?assertEqual([], [Pid || Pid <- alcove_test:descendants(), "busybox" =:= command(Pid)])
    end).

%% The /proc that is believed has other numbers for what a keeper in a pid namespace leaves.
numbers_of_another_proc(Config) ->
    Drv = drv(Config),
    alcove_test:need([root, namespaces], fun() ->
        {ok, Init} = alcove:clone(Drv, clone_newpid),
        Leaves = sh("setsid sleep 1000 & exit 6"),
        ?assertMatch({ok, #{status := 6}}, alcove_proc:run(Drv, Leaves, #{in => [Init], timeout => 10000})),
        ?assertEqual([], [Pid || Pid <- alcove_test:descendants(Init), "sleep" =:= command(Pid)])
    end).

%% An init may tell of the end before the keeper has heard of exec, or of why there was none.
ends_before_it_is_heard(Config) ->
    Drv = drv(Config),
    Options = #{namespaces => [newuser, newpid], timeout => 60000},
    Run = fun() ->
        ?assertMatch({ok, #{status := 0}}, alcove_proc:run(Drv, ["true"], Options)),
        ?assertEqual({error, {execvp, enoent}}, alcove_proc:run(Drv, ["/nowhere"], Options)),
        Astray = Options#{setup => [{chdir, ["/nowhere"]}]},
        ?assertEqual({error, {setup, {1, chdir, enoent}}}, alcove_proc:run(Drv, ["true"], Astray))
    end,
    alcove_test:need([userns], fun() ->
        Runners = [
            spawn_monitor(fun() -> [Run() || _ <- lists:seq(1, 30)] end)
         || _ <- lists:seq(1, 4)
        ],
        [receive {'DOWN', Ref, process, Pid, Why} -> ?assertEqual(normal, Why) end || {Pid, Ref} <- Runners]
    end).

await_of_a_stranger(Config) ->
    {ok, Proc} = alcove_proc:start(drv(Config), ["cat"]),
    Self = self(),
    spawn_link(fun() ->
        Self ! ready,
        Self ! {stranger, alcove_proc:await(Proc)}
    end),
    receive ready -> ok end,
    ok = alcove_proc:eof(Proc),
    ?assertMatch({ok, #{status := 0}}, alcove_proc:await(Proc)),
    receive {stranger, Outcome} -> ?assertMatch({ok, #{status := 0}}, Outcome) end.

keepers_are_used_again(Config) ->
    Drv = drv(Config),
    {ok, _} = alcove_proc:run(Drv, ["true"]),
    [{Keeper, keeper, _}] = alcove_nif:children(Drv, []),
    [{ok, _} = alcove_proc:run(Drv, ["true"]) || _ <- lists:seq(1, 50)],
    [
        begin
            {error, {execvp, enoent}} = alcove_proc:run(Drv, ["/nowhere"]),
            {error, {chdir, enoent}} = alcove_proc:run(Drv, ["true"], #{cwd => "/nowhere"}),
            Setup = #{setup => [{chdir, ["/"]}, {chdir, ["/no"]}]},
            {error, {setup, {2, chdir, enoent}}} = alcove_proc:run(Drv, ["true"], Setup)
        end
     || _ <- lists:seq(1, 20)
    ],
    %% What is set on the way is the program's own.
    Own = #{nice => 5, cpus => [0], setup => [{syscall, [umask, [8#077]]}]},
    {ok, #{stdout := <<"5\n0077\n">>}} = alcove_proc:run(Drv, sh("nice; umask"), Own),
    {ok, _} = alcove_proc:run(Drv, ["true"]),
    ?assertMatch([{Keeper, keeper, _}], alcove_nif:children(Drv, [])),
    ?assertEqual([], alcove:pid(Drv)).

%% What each program takes while it runs: of the virtual machine's descriptors, of its processes and,
%% once it has nothing to say for a while, of its memory. What it was started with isn't kept.
what_a_program_holds(Config) ->
    Drv = drv(Config),
    N = 10,
    Large = #{"LARGE" => lists:duplicate(50000, $x)},
    Count = fun() ->
        {ok, Fds} = file:list_dir("/proc/self/fd"),
        {length(Fds), erlang:system_info(process_count)}
    end,
    Start = fun(Options) ->
        {ok, Pid} = alcove_proc:start(Drv, ["cat"], Options#{env => Large}),
        Pid
    end,
    Nothing = #{stdin => none, stdout => discard, stderr => discard},
    Data = #{stdin => lists:duplicate(100000, $x), stdout => discard},
    _ = alcove_proc:stop(Start(#{})),
    {Fds, Processes} = Count(),
    Pids = [Start(#{}) || _ <- lists:seq(1, N)],
    {Fds1, Processes1} = Count(),
    ?assert(Fds1 - Fds =< 5 * N),
    ?assert(Processes1 - Processes =< N),
    Sleepers = [
        begin
            {ok, Pid} = alcove_proc:start(Drv, ["sleep", "1000"], Nothing#{env => Large}),
            Pid
        end
     || _ <- lists:seq(1, N)
    ],
    {Fds2, Processes2} = Count(),
    ?assert(Fds2 - Fds1 =< 2 * N),
    ?assert(Processes2 - Processes1 =< N),
    {ok, Reader} = alcove_proc:start(Drv, sh("cat; exec sleep 1000"), Data),
    All = [Reader | Pids ++ Sleepers],
    ?assert(alcove_test:until(fun() ->
        lists:all(fun(Pid) -> element(2, process_info(Pid, memory)) < 6 * 1024 end, All)
    end)),
    [{ok, _} = alcove_proc:stop(Pid, 0) || Pid <- All].

%% A program inherits what the process has now, whatever that was when its keeper was forked,
%% and whoever changed it.
what_has_changed_is_inherited(Config) ->
    Drv = drv(Config),
    Path = [Pid] = alcove_test:fork(Drv, []),
    Out = fun(Script) ->
        {ok, #{stdout := Bytes}} = alcove_proc:run(Drv, sh(Script), #{in => Path}),
        Bytes
    end,
    File = fun(Text) ->
        {ok, Fd} = alcove:open(Drv, Path, "/proc/self/oom_score_adj", o_wronly, 0),
        {ok, _} = alcove:write(Drv, Path, Fd, Text),
        ok = alcove:close(Drv, Path, Fd)
    end,
    Call = fun(Where, Name, Args) -> fun() -> alcove:call(Drv, Where, Name, Args) end end,
    Limit = #alcove_rlimit{cur = 100, max = 100},
    Changes =
        [
            {Call(Path, setrlimit, [rlimit_nofile, Limit]), "ulimit -n", <<"100\n">>},
            {Call(Path, setpriority, [prio_process, 0, 7]), "nice", <<"7\n">>},
            {Call([], setpriority, [prio_process, Pid, 9]), "nice", <<"9\n">>},
            {Call(Path, sched_setaffinity, [0, [0]]), "nproc", <<"1\n">>},
            {Call(Path, setenv, ["NAME", "value", 1]), "echo $NAME", <<"value\n">>},
            {Call(Path, unsetenv, ["NAME"]), "echo $NAME", <<"\n">>},
            {Call(Path, chdir, ["/usr"]), "pwd", <<"/usr\n">>},
            {Call(Path, syscall, [umask, [8#027]]), "umask", <<"0027\n">>},
            {fun() -> alcove:batch(Drv, Path, [{getpid, []}, {chdir, ["/"]}]) end, "pwd", <<"/\n">>}
        ] ++
            [
                {Call(Path, prctl, [pr_set_no_new_privs, 1, 0, 0, 0]), "grep NoNewPrivs /proc/self/status",
                    <<"NoNewPrivs:\t1\n">>}
             || alcove_test:can(gains) =:= true
            ] ++
            [
                Change
             || alcove_test:root(),
                Change <- [
                    {fun() -> File("300") end, "cat /proc/self/oom_score_adj", <<"300\n">>},
                    {Call(Path, setgroups, [[54321]]), "id -G", <<"0 54321\n">>},
                    {Call(Path, setresgid, [54321, 54321, 54321]), "id -g", <<"54321\n">>},
                    {Call(Path, setresuid, [54321, 54321, 54321]), "id -u", <<"54321\n">>}
                ]
            ],
    [
        begin
            ?assertNotEqual(Expected, Out(Script)),
            _ = Change(),
            ?assertEqual({Script, Expected}, {Script, Out(Script)})
        end
     || {Change, Script, Expected} <- Changes
    ].

killed_callers(Config) ->
    Drv = drv(Config),
    Callers = [
        spawn(fun() -> alcove_proc:run(Drv, sh("setsid sleep 1000 & sleep 1000"), #{grace => 100}) end)
     || _ <- lists:seq(1, 50)
    ],
    [
        begin
            erlang:yield(),
            exit(Caller, kill)
        end
     || Caller <- Callers
    ],
    true = alcove_test:until(fun() -> maps:get(children, alcove:tree(Drv)) =:= [] end, alcove_test:ms(15000)),
    ?assertMatch({ok, #{status := 0}}, alcove_proc:run(Drv, ["true"])).

%% All that was written comes before the end, which one end of input in mid-line is.
a_terminal_has_everything(Config) ->
    Drv = drv(Config),
    ?assertMatch({ok, #{stdout := <<"abcabc">>}}, alcove_proc:run(Drv, ["cat"], #{pty => true, stdin => "abc"})),
    Lines = iolist_to_binary([[integer_to_list(N), "\r\n"] || N <- lists:seq(1, 20000)]),
    {ok, #{stdout := Out}} = alcove_proc:run(Drv, ["seq", "20000"], #{pty => true}),
    ?assertEqual(byte_size(Lines), byte_size(Out)),
    ?assertEqual(Lines, Out).

streams_are_the_users(Config) ->
    alcove_test:need([root], fun() ->
        ?assertMatch(
            {ok, #{status := 0, stdout := <<"x\n">>}},
            alcove_proc:run(drv(Config), sh("exec 3>/dev/stdout; echo x >&3"), #{user => "nobody"})
        )
    end).

%% A program that asks to be traced (PTRACE_TRACEME) has its keeper, or its init, for a tracer. It goes
%% on as if it had not asked: a stop is not its end.
traced_by_its_keeper(Config) ->
    alcove_test:need([{probe, alcove_traced}], fun() ->
        Drv = drv(Config),
        Traced = alcove_test:executable(Config, alcove_traced),
        Inits = [#{namespaces => [newpid]} || alcove_test:root(), alcove_test:can(namespaces) =:= true],
        Users = [#{user => "nobody"} || alcove_test:root()],
        [traced(Drv, Traced, Options) || Options <- [#{} | Inits ++ Users]]
    end).

traced(Drv, Traced, Options) ->
    Run = fun(Argv) -> alcove_proc:run(Drv, Argv, Options#{timeout => alcove_test:ms(5000), grace => 0}) end,
    Number = fun(Signal) -> integer_to_list(alcove_test:constant(Signal)) end,
    %% These end nothing.
    [?assertMatch({ok, #{status := 3, stdout := <<"after\n">>}}, Run([Traced, How, Number(Signal)]))
     || How <- ["raise", "thread"], Signal <- [sigwinch, sigchld, sigcont]],
    %% These do.
    [?assertMatch({ok, #{status := {termsig, Signal}, stdout := <<>>}}, Run([Traced, "raise", Number(Signal)]))
     || Signal <- [sigusr1, sigtrap, sigkill]],
    ?assertMatch({error, {timeout, #{status := {termsig, sigkill}, stdout := <<>>}}},
                 alcove_proc:run(Drv, [Traced, "raise", Number(sigstop)], Options#{timeout => 200, grace => 0})),
    %% An exec stops it, too.
    ?assertMatch({ok, #{status := 7, stdout := <<"ran\n">>}},
                 Run([Traced, "exec", "/bin/sh", "-c", "echo ran; exit 7"])),
    %% What the program left to its keeper goes on as well.
    Leaves = ["/bin/sh", "-c", "(\"$0\" raise \"$1\" $PPID >&3 &) 3>&1 | { read line; echo \"$line\"; }",
              Traced, Number(sigwinch)],
    ?assertMatch({ok, #{status := 0, stdout := <<"after\n">>}}, Run(Leaves)),
    %% It gets the signals of orders.
    {ok, Proc} = alcove_proc:start(Drv, [Traced, "wait"], Options),
    receive {alcove_proc, Proc, {stdout, <<"on\n">>}} -> ok end,
    ok = alcove_proc:signal(Proc, sigwinch),
    ok = alcove_proc:signal(Proc, sigterm),
    ?assertMatch({ok, #{status := {termsig, sigterm}}}, alcove_proc:await(Proc)).

%% It is not free of its deadline either.
traced_and_left(Config) ->
    alcove_test:need([{probe, alcove_traced}], fun() ->
        Traced = alcove_test:executable(Config, alcove_traced),
        Argv = [Traced, "exec", "sleep", "1000"],
        Result = alcove_proc:run(drv(Config), Argv, #{leftovers => leave, timeout => 300, grace => 0}),
        ?assertMatch({error, {timeout, #{status := {termsig, sigkill}}}}, Result),
        {error, {timeout, #{os_pid := Pid}}} = Result,
        ?assertNot(alcove_test:alive(Pid))
    end).

%% A filter of the keeper's may keep it from letting the program go: then it kills the program.
traced_under_a_filter(Config) ->
    alcove_test:need([{probe, alcove_traced}], fun() ->
        Drv = drv(Config),
        Argv = [alcove_test:executable(Config, alcove_traced), "exec", "/bin/sh", "-c", "exit 7"],
        Run = fun(Rules) ->
            {ok, Loop} = alcove:fork(Drv),
            ok = alcove_seccomp:install(Drv, [Loop], #{default => allow, rules => Rules}),
            alcove_proc:run(Drv, Argv, #{in => [Loop], timeout => alcove_test:ms(5000), grace => 0})
        end,
        ?assertMatch({ok, #{status := 7}}, Run([])),
        ?assertMatch({ok, #{status := {termsig, sigkill}}}, Run([{ptrace, [{0, gt, 0, 32}], {errno, eperm}}]))
    end).

%% The guardian doesn't hold root at its stops.
traced_root(Config) ->
    Drv = drv(Config),
    {ok, 0, _, _} = alcove:ptrace(Drv, [], ptrace_traceme, 0, 0, 0),
    {ok, Loop} = alcove:fork(Drv),
    ok = alcove:exit(Drv, [Loop], 0),
    ?assertMatch({ok, #{status := 0}}, alcove_proc:run(Drv, ["true"], #{timeout => alcove_test:ms(5000)})),
    ?assert(is_integer(alcove:getpid(Drv))).

%% A keeper that leaves something to live on ends, and gets no other program.
left_to_live(Config) ->
    Drv = drv(Config),
    Leaves = sh("sleep 1000 >/dev/null 2>&1 & echo $!"),
    Left = [
        begin
            {ok, #{status := 0, stdout := Line}} = alcove_proc:run(Drv, Leaves, #{leftovers => leave}),
            Next = alcove_proc:run(Drv, ["echo", "next"]),
            {binary_to_integer(string:trim(Line)), Next}
        end
     || _ <- lists:seq(1, 50)
    ],
    Live = [Pid || {Pid, _} <- Left, alcove_test:alive(Pid)],
    _ = [ok = alcove:kill(Drv, [], Pid, sigkill) || Pid <- Live],
    ?assertEqual(50, length(Live)),
    [?assertMatch({ok, #{status := 0, stdout := <<"next\n">>}}, Next) || {_, Next} <- Left].

%% With its pid namespace everything of a program ends, also with leave; and what it used is known.
left_in_a_pid_namespace(Config) ->
    alcove_test:need([root, namespaces], fun() ->
        Drv = drv(Config),
        File = filename:join(alcove_test:tmp(Config), "lock"),
        Argv = ["/bin/sh", "-c", "exec 9> \"$0\"; flock 9; sleep 1000 & setsid sleep 1000 & exit 3", File],
        Options = #{leftovers => leave, namespaces => [newpid]},
        [
            begin
                {ok, Result} = alcove_proc:run(Drv, Argv, Options#{stdout => discard, stderr => discard}),
                ?assertMatch(#{status := 3, peak_memory := Memory} when Memory > 0, Result),
                ?assertMatch({ok, #{status := 0}}, alcove_proc:run(Drv, ["flock", "-n", File, "true"]))
            end
         || _ <- lists:seq(1, 10)
        ]
    end).

%% However many variables there are, the keeper is soon done with them: until then it sees no deadline.
large_environment(Config) ->
    Drv = drv(Config),
    Many = [{"V" ++ integer_to_list(N), "x"} || N <- lists:seq(1, 30000)],
    %% The last one of a name holds.
    Env = Many ++ [{"V1", "y"}, {"V2", false}, {"V3", ""}, {"V", "z"}, {"V1", "z"}],
    Kept = [<<"V", (integer_to_binary(N))/binary, "=x">> || N <- lists:seq(4, 30000)],
    Expected = Kept ++ [<<"V3=">>, <<"V=z">>, <<"V1=z">>],
    Plain = #{env => Env, clearenv => true, timeout => alcove_test:ms(1500)},
    %% With calls before exec a process is forked first.
    [
        begin
            Run = fun() -> alcove_proc:run(Drv, ["/usr/bin/env"], Options) end,
            {Took, {ok, #{status := 0, stdout := Out}}} = timed(Run),
            ?assert(Took < alcove_test:ms(1500)),
            ?assertEqual(Expected, string:lexemes(Out, "\n"))
        end
     || Options <- [Plain, Plain#{setup => [{chdir, ["/"]}]}]
    ],
    %% Drv's variables, too, are compared with all of them.
    {Took, Result} = timed(fun() -> alcove_proc:run(Drv, ["env"], maps:remove(clearenv, Plain)) end),
    ?assertMatch({ok, #{status := 0}}, Result),
    ?assert(Took < alcove_test:ms(1500)).
