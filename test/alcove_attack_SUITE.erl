%% @doc Attacks: what a program finds at its exec, what it can do to its event loop, and
%% what a Unix process that was taken over can do to the virtual machine.
%%
%% Such a process is the program of `native/alcove_forge', which is started in place of
%% alcove's executable: the call `chdir' tells it which rule of the protocol to break.
-module(alcove_attack_SUITE).

-include_lib("stdlib/include/assert.hrl").
-include("alcove.hrl").

-export([suite/0, all/0, groups/0, init_per_suite/1, end_per_suite/1, init_per_group/2,
         end_per_group/2, init_per_testcase/2, end_per_testcase/2]).
%% at_exec
-export([hundred_descriptors/1, working_directory/1, signals_and_mask/1, environment/1,
         executable_is_not_writable/1]).
%% containment
-export([event_loop_is_closed/1, namespaces_loop_is_closed/1, cloning_loop_is_closed/1, signals_stay_in_the_namespace/1,
         orders_of_dropping/1, half_dropped/1, hostile_ids/1, names_of_another_root/1, setgroups_is_denied_first/1, no_terminal/1, secrets/1,
         no_core/1, by_hand/1, strangers_socket/1]).
%% channel
-export([greetings/1, silent_processes/1, broken_frames/1, random_frames/1, unsolicited_frames/1,
         signal_storm/1, forged_ends/1, reply_storm/1, unexpected_descriptors/1,
         slow_to_close/1, socket_options/1, wrong_channels/1, too_many_forks/1, other_ids/1, hostile_terms/1, program_replies/1, stolen_output/1,
         survivors_output/1]).
%% pressure
-export([processes_run_out/1, memory_runs_out/1, starts_and_stops/1, pids_wrap/1, killed_setup/1,
         failing_steps/1, two_callers_one_process/1, exec_after_output/1, storms_during_calls/1,
         signals_to_a_caller/1, root_without_a_channel/1, bomb_dies_with_drv/1, parent_dies_first/1]).
-export([start_and_stop/0, call_among_signals/0, look_into_parent/0, look_while_cloning/0]).

%% As linux/ptrace.h has it; unlike PTRACE_ATTACH it doesn't stop the process.
-define(PTRACE_SEIZE, 16#4206).

%% For how many milliseconds nothing may hold a scheduler.
-define(HELD, 5).

suite() ->
    alcove_test:suite().

all() ->
    [{group, Group} || {Group, _, _} <- groups()].

groups() ->
    [{at_exec, [], [hundred_descriptors, working_directory, signals_and_mask, environment,
                    executable_is_not_writable]},
     {containment, [], [event_loop_is_closed, namespaces_loop_is_closed, cloning_loop_is_closed, signals_stay_in_the_namespace,
                        orders_of_dropping, half_dropped, hostile_ids, names_of_another_root,
                        setgroups_is_denied_first, no_terminal, secrets,
                        no_core, by_hand, strangers_socket]},
     {channel, [], [greetings, silent_processes, broken_frames, random_frames, unsolicited_frames,
                    signal_storm, forged_ends, reply_storm, unexpected_descriptors, slow_to_close,
                    socket_options, wrong_channels, too_many_forks, other_ids, hostile_terms, program_replies, stolen_output,
                    survivors_output]},
     {pressure, [], [processes_run_out, memory_runs_out, starts_and_stops, pids_wrap, killed_setup,
                     failing_steps, two_callers_one_process, exec_after_output, storms_during_calls,
                     signals_to_a_caller, root_without_a_channel,
                     bomb_dies_with_drv, parent_dies_first]}].

init_per_suite(Config) ->
    ct:timetrap(alcove_test:ms(600000)),
    [{forge, forge()} | alcove_test:init_suite(Config)].

end_per_suite(_Config) ->
    ok.

%% What a process that was taken over sends must not hold a scheduler either, so that is watched.
init_per_group(channel, Config) ->
    case alcove_test:probe(alcove_watch) of
        {ok, Program} -> [{watch, Program} | Config];
        {false, Text} -> ct:comment(Text), Config
    end;
init_per_group(_, Config) ->
    Config.

end_per_group(_, _Config) ->
    ok.

init_per_testcase(_Case, Config) ->
    Config1 = alcove_test:init_case([{exit_status, true}, {termsig, true}], Config),
    [{held, alcove_held:start(Program, ?HELD)} || {watch, Program} <- Config] ++ Config1.

end_per_testcase(_Case, Config) ->
    Held = [Held || {held, Pid} <- Config, Held <- alcove_held:stop(Pid)],
    case alcove_test:end_case(Config) of
        ok when Held =/= [] -> {fail, {held_a_scheduler, Held}};
        Ended -> Ended
    end.

drv_and_path(Config) ->
    {alcove_test:drv(Config), alcove_test:path(Config)}.

%% The output of a shell script that is run in a new child.
script(Drv, Path, Script) ->
    {Bytes, {exit_status, 0}} = alcove_test:output(Drv, alcove_test:shell(Drv, Path, Script)),
    Bytes.

%% ---------------------------------------------------------------------------
%% At exec
%% ---------------------------------------------------------------------------

%% A hundred descriptors of the VM that exec would not close, and many of alcove's: the
%% program has its three and the one that was opened for it.
hundred_descriptors(Config) ->
    {Drv, Path} = drv_and_path(Config),
    Files = [begin
                 {ok, File} = file:open("/etc/passwd", [read, raw]),
                 File
             end || _ <- lists:seq(1, 100)],
    Second = alcove_test:start(),
    Siblings = [alcove_test:fork(Where, []) || Where <- [Drv, Second], _ <- lists:seq(1, 5)],
    ?assertEqual(10, length(Siblings)),
    {ok, Kept} = alcove:open(Drv, Path, "/etc/hostname", o_rdonly, 0),
    {ok, _} = alcove:open(Drv, Path, "/etc/hostname", [o_rdonly, o_cloexec], 0),
    Script = "for fd in $(seq 0 200); do [ -L /proc/$$/fd/$fd ] && echo $fd; done; true",
    Expected = lists:sort([0, 1, 2, Kept]),
    [begin
         Text = script(Drv, Where, Script),
         Fds = [binary_to_integer(Fd) || Fd <- binary:split(Text, <<"\n">>, [global, trim])],
         ?assertEqual(Expected, lists:sort(Fds))
     end || Where <- [Path, alcove_test:fork(Drv, Path)]],
    [file:close(File) || File <- Files].

%% No descriptor leads out of the new root, neither as a working directory nor at exec.
working_directory(Config) ->
    alcove_test:need(
      [root, busybox],
      fun() ->
              {Drv, Path} = drv_and_path(Config),
              Dir = alcove_test:chroot_dir(Config),
              ok = file:make_dir(filename:join(Dir, "proc")),
              ok = alcove:unshare(Drv, Path, [clone_newns]),
              ok = alcove:mount(Drv, Path, "none", "/", "", [ms_rec, ms_private], ""),
              ok = alcove:mount(Drv, Path, "proc", filename:join(Dir, "proc"), "proc", [], ""),
              ok = alcove:chroot(Drv, Path, Dir),
              ok = alcove:chdir(Drv, Path, "/"),
              %% The control socket is one of these.
              [begin
                   Result = alcove:chdir(Drv, Path, lists:concat(["/proc/self/fd/", Fd, "/etc"])),
                   ?assertMatch({error, _}, Result)
               end || Fd <- lists:seq(0, 70)],
              {ok, <<"/">>} = alcove:getcwd(Drv, Path),
              ok = alcove:execvp(Drv, Path, "/busybox", ["busybox", "readlink", "/proc/self/cwd"]),
              {<<"/\n">>, {exit_status, 0}} = alcove_test:output(Drv, Path)
      end).

%% Nothing is ignored or blocked, whatever the VM ignores, in programs of every depth.
signals_and_mask(Config) ->
    {Drv, Path} = drv_and_path(Config),
    [begin
         Child = alcove_test:run(Drv, Where, ["/bin/cat", "/proc/self/status"]),
         {Status, {exit_status, 0}} = alcove_test:output(Drv, Child),
         [?assertMatch({match, _}, re:run(Status, Field ++ ":\\t0000000000000000\n"))
          || Field <- ["SigIgn", "SigBlk", "SigPnd", "SigCgt"]]
     end || Where <- [[], Path, alcove_test:chain(Drv, Path, 3)]].

%% What was set and nothing else.
environment(Config) ->
    {_, _} = drv_and_path(Config),
    Secrets = [{"RELEASE_COOKIE", "hunter2"}, {"ERL_FLAGS", ""}, {"BINDIR_X", "kept"}],
    [os:putenv(Name, Value) || {Name, Value} <- Secrets],
    try
        Clean = alcove_test:start([clearenv, {env, [{"A", "1"}]}, {exit_status, true}]),
        Printed = fun(Drv, Env) ->
                          Child = alcove_test:fork(Drv, []),
                          ok = case Env of
                                   default -> alcove:execvp(Drv, Child, "/usr/bin/env", ["env"]);
                                   _ -> alcove:execve(Drv, Child, "/usr/bin/env", ["env"], Env)
                               end,
                          {Text, {exit_status, 0}} = alcove_test:output(Drv, Child),
                          lists:sort(binary:split(Text, <<"\n">>, [global, trim]))
                  end,
        ?assertEqual([<<"A=1">>], Printed(Clean, default)),
        ?assertEqual([<<"B=2">>], Printed(Clean, ["B=2"])),
        ?assertEqual([], Printed(Clean, [])),
        ok = alcove:clearenv(Clean, []),
        ?assertEqual([], Printed(Clean, default)),
        Inherits = alcove_test:start([{exit_status, true}]),
        Names = [hd(binary:split(Variable, <<"=">>)) || Variable <- Printed(Inherits, default)],
        ?assert(lists:member(<<"BINDIR_X">>, Names)),
        [?assertNot(lists:member(Name, Names))
         || Name <- [<<"RELEASE_COOKIE">>, <<"ERL_FLAGS">>, <<"BINDIR">>, <<"ROOTDIR">>, <<"EMU">>,
                     <<"PROGNAME">>]]
    after
        [os:unsetenv(Name) || {Name, _} <- Secrets]
    end.

%% A program that is root in its namespaces tries to write what its parent runs, while new
%% ones are started from it.
executable_is_not_writable(Config) ->
    alcove_test:need(
      [root],
      fun() ->
              {Drv, _} = drv_and_path(Config),
              Executable = filename:join(code:priv_dir(alcove), "alcove"),
              {ok, Before} = file:read_file(Executable),
              Flags = [clone_newuser, clone_newpid, clone_newns],
              %% The inside of the file is a copy: the host's must not even be asked.
              Calls = [{mount, ["none", "/", "", [ms_rec, ms_private], ""]},
                       {mount, ["proc", "/proc", "proc", [], ""]}],
              {ok, Pid} = alcove:spawn(Drv, [], {clone, Flags}, []),
              _ = [map_ids(Pid) || alcove_test:root()],
              {ok, [ok, ok]} = alcove:batch(Drv, [Pid], Calls),
              Script = "i=0; while [ $i -lt 300 ]; do "
                  "for exe in /proc/1/exe /proc/self/exe; do "
                  "(printf X >> $exe) 2>/dev/null && [ $exe = /proc/1/exe ] && echo written; "
                  "(exec 3>/proc/self/fd/../../1/exe) 2>/dev/null && echo opened; done; "
                  "i=$((i + 1)); done; readlink /proc/1/exe; true",
              Text = script(Drv, [Pid], Script),
              ?assertEqual(nomatch, binary:match(Text, <<"written">>)),
              ?assertEqual(nomatch, binary:match(Text, <<"opened">>)),
              {ok, After} = file:read_file(Executable),
              ?assertEqual(erlang:md5(Before), erlang:md5(After))
      end).

%% Maps the root of a user namespace to an ordinary user.
map_ids(Pid) ->
    [ok = file:write_file(lists:concat(["/proc/", Pid, "/", Map]), "0 65534 1\n")
     || Map <- ["uid_map", "gid_map"]].

%% ---------------------------------------------------------------------------
%% Containment
%% ---------------------------------------------------------------------------

%% A program of the same user can't look into, trace or stop reading its event loop.
event_loop_is_closed(Config) ->
    Peer = alcove_test:user_peer(Config),
    Text = alcove_test:in_peer(
             Peer,
             fun() ->
                     Drv = alcove_test:start([{exit_status, true}]),
                     Path = alcove_test:fork(Drv, []),
                     Parent = integer_to_list(lists:last(Path)),
                     Script = "cd /proc/" ++ Parent ++ " && for f in mem environ maps auxv stack; do "
                         "(cat $f) >/dev/null 2>&1 && echo read $f; "
                         "(exec 3<>$f) 2>/dev/null && echo opened $f; done; "
                         "ls fd/ 2>/dev/null && echo fds; readlink exe cwd root && echo links; "
                         "(cat <fd/63) 2>/dev/null && echo control; true",
                     Bytes = script(Drv, Path, Script),
                     %% PTRACE_ATTACH from a sibling, which no Yama setting would refuse to root.
                     Sibling = alcove_test:fork(Drv, []),
                     Attach = alcove:ptrace(Drv, Sibling, 16, lists:last(Path), 0, 0),
                     Pid = lists:last(Path),
                     Pid = alcove:getpid(Drv, Path),
                     alcove_test:stop(Drv),
                     {Bytes, Attach}
             end),
    alcove_test:stop_peer(Peer),
    ?assertEqual({<<>>, {error, eperm}}, Text).

%% Nor can one that is root in a user namespace, once that has its maps of ids.
namespaces_loop_is_closed(Config) ->
    alcove_test:need(
      [userns, ordinary],
      fun() ->
              Peer = alcove_test:user_peer(Config),
              Results = alcove_test:in_peer(Peer, fun ?MODULE:look_into_parent/0),
              alcove_test:stop_peer(Peer),
              [?assertEqual({How, [{error, eperm}, <<"0\n">>]}, {How, Found}) || {How, Found} <- Results]
      end).

%% What a program and an event loop of the same rights get of their parent, made by clone or
%% by unshare.
look_into_parent() ->
    Drv = alcove_test:start([{exit_status, true}]),
    Ids = [alcove:getuid(Drv, []), alcove:getgid(Drv, [])],
    Made = [{clone, fun() -> {ok, Pid} = alcove:clone(Drv, [], [clone_newuser]), [Pid] end},
            {unshare, fun() ->
                              Path = alcove_test:fork(Drv, []),
                              ok = alcove:unshare(Drv, Path, [clone_newuser]),
                              Path
                      end}],
    Results = [begin
                   Path = Make(),
                   Proc = lists:concat(["/proc/", lists:last(Path), "/"]),
                   [ok = file:write_file(Proc ++ File, Bytes)
                    || {File, Bytes} <- [{"setgroups", "deny"} | [{Map, lists:concat(["0 ", Id, " 1\n"])}
                                                                  || {Map, Id} <- lists:zip(["uid_map", "gid_map"], Ids)]]],
                   0 = alcove:getuid(Drv, Path),
                   Traced = alcove:ptrace(Drv, alcove_test:fork(Drv, Path), ?PTRACE_SEIZE, lists:last(Path), 0, 0),
                   Script = "id -u; cd /proc/$PPID; for f in mem environ maps auxv; do (cat $f) 2>/dev/null; done; "
                       "ls fd/ 2>/dev/null; (exec 3<>mem) 2>/dev/null && echo opened; true",
                   {How, [Traced, script(Drv, Path, Script)]}
               end || {How, Make} <- Made],
    ok = alcove_test:stop(Drv),
    Results.

%% Nor while it clones a user namespace, whose process has to be looked into.
cloning_loop_is_closed(Config) ->
    alcove_test:need(
      [userns, ordinary, {program, "perl"}],
      fun() ->
              Peer = alcove_test:user_peer(Config),
              Result = alcove_test:in_peer(Peer, fun ?MODULE:look_while_cloning/0, alcove_test:ms(60000)),
              alcove_test:stop_peer(Peer),
              ?assertEqual(closed, Result)
      end).

%% A program of the same user opens the memory of an event loop, again and again.
look_while_cloning() ->
    Drv = alcove_test:start([{exit_status, true}]),
    Path = alcove_test:fork(Drv, []),
    Perl = lists:concat(["$| = 1; print 'x'; while (1) { if (open(F, '<', '/proc/", lists:last(Path),
                         "/mem')) { print 'open'; exit } }"]),
    Spy = alcove_test:run(Drv, [], ["perl", "-e", Perl]),
    <<"x", _/binary>> = alcove_test:collect(Drv, Spy, 1),
    Cloned = [alcove:clone(Drv, Path, [clone_newuser]) || _ <- lists:seq(1, 100)],
    [{ok, _} = One || One <- Cloned],
    Result = case alcove:stdout(Drv, Spy, 0) of
                 false -> closed;
                 Said -> Said
             end,
    ok = alcove_test:stop(Drv),
    Result.

%% The init of a pid namespace sees and signals nobody outside.
signals_stay_in_the_namespace(Config) ->
    alcove_test:need(
      [root],
      fun() ->
              {Drv, Path} = drv_and_path(Config),
              Witness = alcove_test:run(Drv, [], ["/bin/sleep", "1000"]),
              {ok, Pid} = alcove:clone(Drv, Path, [clone_newpid]),
              Inner = Path ++ [Pid],
              1 = alcove:getpid(Drv, Inner),
              [?assertEqual({error, esrch}, alcove:kill(Drv, Inner, Victim, sigkill))
               || Victim <- [Pid, lists:last(Path), lists:last(Witness), alcove_test:ospid(),
                             -lists:last(Witness)]],
              %% Everybody is nobody else.
              Program = alcove_test:shell(Drv, Inner, "kill -KILL -1; echo $?"),
              _ = alcove_test:output(Drv, Program),
              ?assert(alcove_test:alive(lists:last(Witness))),
              1 = alcove:getpid(Drv, Inner),
              _ = alcove:getpid(Drv, Path)
      end).

%% Whatever the order in which privileges are dropped, they don't come back, or a call
%% says that it failed.
orders_of_dropping(Config) ->
    alcove_test:need(
      [root],
      fun() ->
              {Drv, Path} = drv_and_path(Config),
              Id = 65534,
              Steps = [{setgroups, [[Id]]}, {setresgid, [Id, Id, Id]}, {setresuid, [Id, Id, Id]},
                       {capset, [[], [], []]}],
              [dropped(Drv, Path, Id, Order) || Order <- permutations(Steps)]
      end).

permutations([]) -> [[]];
permutations(List) -> [[X | Rest] || X <- List, Rest <- permutations(List -- [X])].

dropped(Drv, Path, Id, Order) ->
    Child = alcove_test:fork(Drv, Path),
    Results = [alcove:call(Drv, Child, Call, Argv) || {Call, Argv} <- Order],
    Failed = [Call || {{Call, _}, {error, _}} <- lists:zip(Order, Results)],
    case Failed of
        [] ->
            ?assertEqual({ok, Id, Id, Id}, alcove:getresuid(Drv, Child)),
            ?assertEqual({ok, Id, Id, Id}, alcove:getresgid(Drv, Child)),
            ?assertEqual({ok, [Id]}, alcove:getgroups(Drv, Child)),
            [?assertEqual({error, eperm}, Call)
             || Call <- [alcove:setuid(Drv, Child, 0), alcove:setgid(Drv, Child, 0),
                         alcove:setresuid(Drv, Child, -1, 0, -1),
                         alcove:setresgid(Drv, Child, -1, 0, -1),
                         alcove:setgroups(Drv, Child, [0])]],
            Text = script(Drv, Child, "grep -E '^Cap(Inh|Prm|Eff|Amb)' /proc/self/status"),
            [?assertMatch({match, _}, re:run(Text, Set ++ ":\\t0000000000000000"))
             || Set <- ["CapInh", "CapPrm", "CapEff", "CapAmb"]];
        _ ->
            %% What comes after the loss of the means to do it.
            {Before, _} = lists:splitwith(fun({Call, _}) -> not lists:member(Call, Failed) end, Order),
            ?assert(lists:keymember(setresuid, 1, Before) orelse lists:keymember(capset, 1, Before))
    end,
    ok = alcove:exit(Drv, Child, 0),
    ok = alcove_test:event(Drv, Child, {exit_status, 0}).

%% In one batch the failure ends it, and the program isn't started.
half_dropped(Config) ->
    alcove_test:need(
      [root],
      fun() ->
              {Drv, Path} = drv_and_path(Config),
              Calls = [{setresuid, [65534, 65534, 65534]}, {setresgid, [65534, 65534, 65534]},
                       {execvp, ["/bin/touch", ["touch", filename:join(alcove_test:tmp(Config), "ran")]]}],
              {error, {2, setresgid, eperm}} = alcove:spawn(Drv, Path, fork, Calls),
              {error, {2, setresgid, eperm}} = alcove:batch(Drv, alcove_test:fork(Drv, Path), Calls),
              {ok, []} = file:list_dir(alcove_test:tmp(Config))
      end).

%% Ids that other programs have taken for root's.
hostile_ids(Config) ->
    {Drv, Path} = drv_and_path(Config),
    Uid = alcove:getuid(Drv, Path),
    [alcove_test:badarg(fun() -> alcove:Call(Drv, Path, Id) end)
     || Call <- [setuid, setgid],
        Id <- [-1, -2, 16#ffffffff, 16#100000000, 1 bsl 64, 0.0, "", "1 ", <<"0">>, root, [], {0}]],
    [alcove_test:badarg(fun() -> alcove:setgroups(Drv, Path, Ids) end)
     || Ids <- [[16#ffffffff], [-1], [0 | 0], [zero], 0]],
    Uid = alcove:getuid(Drv, Path).

%% An ordinary user who maps a group must first have given up setgroups(2).
setgroups_is_denied_first(Config) ->
    alcove_test:need(
      [userns, ordinary],
      fun() ->
              Peer = alcove_test:user_peer(Config),
              Result = alcove_test:in_peer(
                         Peer,
                         fun() ->
                                 Drv = alcove_test:start(),
                                 Gid = alcove:getgid(Drv, []),
                                 {ok, Pid} = alcove:clone(Drv, [], [clone_newuser]),
                                 Proc = lists:concat(["/proc/", Pid, "/"]),
                                 Map = lists:concat(["0 ", Gid, " 1\n"]),
                                 Early = file:write_file(Proc ++ "gid_map", Map),
                                 ok = file:write_file(Proc ++ "setgroups", "deny"),
                                 ok = file:write_file(Proc ++ "gid_map", Map),
                                 Groups = alcove:setgroups(Drv, [Pid], []),
                                 alcove_test:stop(Drv),
                                 {Early, Groups}
                         end),
              alcove_test:stop_peer(Peer),
              ?assertEqual({{error, eperm}, {error, eperm}}, Result)
      end).

%% A tenant's etc/passwd is no concern of a run in his root directory; where it is asked for,
%% it is read with care.
names_of_another_root(Config) ->
    alcove_test:need(
      [root, busybox],
      fun() ->
              {Drv, Path} = drv_and_path(Config),
              Dir = alcove_test:chroot_dir(Config),
              Etc = filename:join(Dir, "etc"),
              ok = file:make_dir(Etc),
              Passwd = filename:join(Etc, "passwd"),
              ok = alcove:chroot(Drv, Path, Dir),
              ok = alcove:chdir(Drv, Path, "/"),
              Out = filename:join(Dir, "out"),
              ok = file:make_dir(Out),
              ok = file:change_mode(Out, 8#777),
              %% id(1) would look into etc/passwd itself.
              Script = ": > /out/file; /busybox stat -c %u /out/file; /busybox rm /out/file",
              Run = fun(Options) ->
                            Asked = #{in => Path, user => "nobody", timeout => 5000, clearenv => true},
                            alcove_proc:run(Drv, ["/busybox", "sh", "-c", Script], maps:merge(Asked, Options))
                    end,
              Nobody = iolist_to_binary(string:trim(os:cmd("id -u nobody")) ++ "\n"),
              Text = fun(Text) -> fun() -> file:write_file(Passwd, Text) end end,
              Command = fun(Command) -> fun() -> [] = os:cmd(Command ++ " '" ++ Passwd ++ "'"), ok end end,
              [begin
                   ok = Make(),
                   ?assertMatch({ok, #{stdout := Nobody}}, Run(#{})),
                   ?assertEqual({error, {user, Reason}}, Run(#{names => in})),
                   ok = file:delete(Passwd)
               end || {Make, Reason} <-
                          [{Text("nobody:x:0:0::/:/\n"), {root_elsewhere, <<"0">>}},
                           {Text("nobody:x:00:1::/:/\n"), {root_elsewhere, <<"00">>}},
                           {Text("nobody:x:1:0::/:/\n"), {root_elsewhere, <<"0">>}},
                           {Text(""), {unknown, <<"nobody">>}},
                           {Command("mkfifo"), {unreadable, "/etc/passwd", not_regular}},
                           {Command("ln -s /busybox"), {unreadable, "/etc/passwd", eloop}},
                           {Command("truncate -s 8G"), {unreadable, "/etc/passwd", too_large}}]],
              ok = file:write_file(Passwd, "nobody:x:77:77::/:/\n"),
              ?assertMatch({ok, #{stdout := <<"77\n">>}}, Run(#{names => in}))
      end).

%% Root is the leader of a session without a terminal, so that TIOCSTI finds none.
no_terminal(Config) ->
    {Drv, Path} = drv_and_path(Config),
    Root = alcove:getpid(Drv),
    {ok, Root} = alcove:getsid(Drv, Path, 0),
    <<"none\n">> = script(Drv, Path, "(exec 3</dev/tty) 2>/dev/null && echo terminal || echo none").

%% What earlier calls were about isn't in the memory of processes that are forked later.
secrets(Config) ->
    alcove_test:need(
      [root],
      fun() ->
              {Drv, Path} = drv_and_path(Config),
              Secret = base64:encode(crypto:strong_rand_bytes(24)),
              Long = binary:copy(Secret, 4000),
              {error, _} = alcove:chdir(Drv, Path, Secret),
              {error, _} = alcove:execve(Drv, Path, <<"/nonexistent/", Secret/binary>>, [Secret], [Secret]),
              {ok, [_, _]} = alcove:batch(Drv, Path, [{getpid, []}, {getenv, [Secret]}]),
              {ok, Fd} = alcove:open(Drv, Path, "/dev/null", o_wronly, 0),
              {ok, _} = alcove:write(Drv, Path, Fd, Long),
              {ok, _} = alcove:write(Drv, Path, Fd, Secret),
              Child = alcove_test:fork(Drv, Path),
              ?assertNot(holds(lists:last(Child), Secret)),
              ?assertNot(holds(lists:last(Path), Secret)),
              %% The test would find one.
              ok = alcove:setenv(Drv, Child, "SECRET", Secret, 1),
              ?assert(holds(lists:last(Child), Secret))
      end).

%% Whether the memory of a process that may be written holds some bytes.
holds(Pid, Bytes) ->
    Proc = lists:concat(["/proc/", Pid, "/"]),
    {ok, Maps} = file:read_file(Proc ++ "maps"),
    {ok, Memory} = file:open(Proc ++ "mem", [read, binary, raw]),
    Found = [true || Line <- binary:split(Maps, <<"\n">>, [global, trim]),
                     {match, [From, To]} <- [re:run(Line, "^([0-9a-f]+)-([0-9a-f]+) rw",
                                                    [{capture, all_but_first, binary}])],
                     Start <- [binary_to_integer(From, 16)],
                     {ok, Part} <- [file:pread(Memory, Start, binary_to_integer(To, 16) - Start)],
                     binary:match(Part, Bytes) =/= nomatch],
    ok = file:close(Memory),
    Found =/= [].

%% An event loop leaves no core, whatever the limit is.
no_core(Config) ->
    {Drv, Path} = drv_and_path(Config),
    {ok, 0, _, _, _, _} = alcove:prctl(Drv, Path, pr_get_dumpable, 0, 0, 0, 0),
    ok = alcove:chdir(Drv, Path, alcove_test:tmp(Config)),
    case alcove:setrlimit(Drv, Path, rlimit_core, #alcove_rlimit{cur = 1000000, max = 1000000}) of
        ok ->
            _ = alcove_test:signal(lists:last(Path), "ABRT"),
            ok = alcove_test:event(Drv, Path, {termsig, sigabrt}),
            {ok, []} = file:list_dir(alcove_test:tmp(Config));
        {error, eperm} ->
            {skip, "this user may have no core"}
    end.

%% The executable by hand, as it would be called by who wants more than he may: it refuses
%% with one line, whatever it finds.
by_hand(Config) ->
    Executable = filename:join(code:priv_dir(alcove), "alcove"),
    Hostile = "env -i LD_PRELOAD=/nonexistent LD_LIBRARY_PATH=/nonexistent PATH=/nonexistent IFS=/ "
        "RUST_BACKTRACE=full MALLOC_CHECK_=3 GLIBC_TUNABLES=glibc.malloc.check=3 ",
    Err = filename:join(alcove_test:tmp(Config), "err"),
    [begin
         Command = lists:concat(["timeout 5 ", Prefix, "'", Executable, "' ", Rest, " 2>", Err,
                                 "; printf %s $?"]),
         Status = os:cmd(Command),
         ?assertNot(lists:member(Status, ["0", "124", "101"]), Command),
         {ok, Said} = file:read_file(Err),
         ?assertMatch([_, <<>>], binary:split(Said, <<"\n">>, [global]), Command),
         ?assertMatch(<<"alcove: ", _/binary>>, Said, Command)
     end || Prefix <- ["", Hostile],
            Rest <- ["</dev/null", "<&-", "<&- >&-", "</dev/zero", "</etc/passwd", "<'" ++ Executable ++ "'",
                     "'' </dev/null", "'%n%s' </dev/null", "--version </dev/null"]],
    %% With nowhere to say it.
    ?assertEqual("1", os:cmd("'" ++ Executable ++ "' <&- >&- 2>&-; printf %s $?")).

%% A setuid executable doesn't obey a socket of somebody else's.
strangers_socket(Config) ->
    alcove_test:need(
      [root, {program, "setpriv"}, {program, "perl"}],
      fun() ->
              Dir = alcove_test:tmp(Config),
              Copy = filename:join(Dir, "alcove"),
              {ok, _} = file:copy(filename:join(code:priv_dir(alcove), "alcove"), Copy),
              ok = file:change_mode(Copy, 8#4755),
              %% The socket is made by one ordinary user, the executable run by another.
              Perl = "use Socket; socketpair(A, B, AF_UNIX, SOCK_STREAM, PF_UNSPEC); "
                  "$> = 65533; socketpair(A, B, AF_UNIX, SOCK_STREAM, PF_UNSPEC); $> = 0; "
                  "open(STDIN, '<&', A); $( = $) = 65534; $< = $> = 65534; exec '" ++ Copy ++ "'",
              Output = os:cmd("timeout 5 perl -e \"" ++ escape(Perl) ++ "\" 2>&1; echo status=$?"),
              ?assertEqual("alcove: standard input is another user's socket\nstatus=1\n", Output)
      end).

escape(Text) ->
    lists:flatmap(fun(C) when C =:= $$; C =:= $"; C =:= $` -> [$\\, C];
                     (C) -> [C]
                  end, Text).

%% ---------------------------------------------------------------------------
%% The channel
%% ---------------------------------------------------------------------------

%% The forger, or why there is none.
forge() ->
    Top = alcove_test:top(),
    Target = os:getenv("CARGO_TARGET_DIR", filename:join(Top, "target")),
    Cargo = [Path || Path <- [os:find_executable("cargo"),
                              filename:join([os:getenv("HOME", "/"), ".cargo", "bin", "cargo"])],
                     Path =/= false, filelib:is_regular(Path)],
    case Cargo of
        [] ->
            {false, "needs cargo to build what breaks the protocol"};
        [Path | _] ->
            Said = os:cmd(lists:concat(["cd '", Top, "' && PATH=\"$PATH:", filename:dirname(Path), "\" '", Path,
                                        "' build --quiet -p alcove_forge 2>&1"])),
            Built = filename:join([Target, "debug", "alcove_forge"]),
            case filelib:is_regular(Built) of
                true -> {true, Built};
                false -> {false, "needs alcove_forge: " ++ Said}
            end
    end.

%% Runs `Fun' with two children of a forger, and watches what must hold whatever the first
%% of them does: no new atom, the second and another Drv answer all the time, memory is
%% bounded, the descriptors are those of before (which the end of the case looks at).
forged(Config, Fun) ->
    case proplists:get_value(forge, Config) of
        {false, Text} -> alcove_test:skip(Text);
        {true, Executable} -> forged_(Config, Executable, Fun)
    end.

forged_(Config, Executable, Fun) ->
    Drv = alcove_test:start([{progname, Executable}, {exit_status, true}]),
    Evil = alcove_test:fork(Drv, []),
    Good = alcove_test:fork(Drv, []),
    Other = alcove_test:path(Config),
    ok = alcove:chdir(Drv, Evil, "nothing"),
    Watch = watch([{Drv, Good}, {alcove_test:drv(Config), Other}]),
    true = erlang:garbage_collect(),
    Before = {erlang:system_info(atom_count), rss()},
    Result = Fun(Drv, Evil, Good),
    true = erlang:garbage_collect(),
    {Atoms, Rss} = Before,
    prompt(Watch),
    ?assertEqual([], fresh_atoms(Atoms)),
    ?assert(rss() - Rss < 64 * 1024, {rss, Rss, rss()}),
    ok = alcove_test:stop(Drv),
    flush(),
    Result.

%% The atoms that are newer than so many. Common Test and the code server make some of
%% their own, so that only those that a process could have sent are of interest.
fresh_atoms(Count) ->
    case erlang:system_info(atom_count) - Count of
        N when N > 100 -> N;
        _ -> []
    end.

%% Resident memory in KiB.
rss() ->
    kib("VmRSS").

%% A size that the kernel tells of this virtual machine.
kib(Name) ->
    {ok, Status} = file:read_file("/proc/self/status"),
    {match, [Kib]} = re:run(Status, Name ++ ":\\s+(\\d+)", [{capture, all_but_first, binary}]),
    binary_to_integer(Kib).

%% Calls processes again and again, and meanwhile has cat(1) say something: that takes as many
%% turns of the processor as a call, but nothing of alcove.
watch(Processes) ->
    {watch_one(fun() -> echo() end), [watch_one(fun() -> calls(Drv, Path) end) || {Drv, Path} <- Processes]}.

echo() ->
    Cat = open_port({spawn_executable, os:find_executable("cat")}, [binary]),
    fun() ->
            true = port_command(Cat, "x"),
            receive {Cat, {data, <<"x">>}} -> ok end
    end.

calls(Drv, Path) ->
    Pid = lists:last(Path),
    fun() -> Pid = alcove:getpid(Drv, Path) end.

watch_one(Prepare) ->
    Self = self(),
    Watcher = spawn_monitor(fun() -> Once = Prepare(), Once(), Self ! {watches, self()}, watch(Once, []) end),
    {Pid, _} = Watcher,
    receive {watches, Pid} -> Watcher after alcove_test:ms(20000) -> ct:fail(cannot_watch) end.

%% Says how long 99 of 100 took at most, but for two, and the slowest.
watch(Once, Times) ->
    receive
        stop ->
            Slowest = lists:reverse(lists:sort([0 | Times])),
            Most = min(3 + length(Times) div 100, length(Slowest)),
            exit({slowest, {lists:nth(Most, Slowest), hd(Slowest)}})
    after 2 ->
        Start = erlang:monotonic_time(millisecond),
        _ = Once(),
        watch(Once, [erlang:monotonic_time(millisecond) - Start | Times])
    end.

slowest({Pid, Ref}) ->
    Pid ! stop,
    receive
        {'DOWN', Ref, process, Pid, {slowest, Slowest}} -> Slowest;
        {'DOWN', Ref, process, Pid, Reason} -> ct:fail({other_callers, Reason})
    after alcove_test:ms(20000) -> ct:fail(other_callers_hang)
    end.

%% All that were watched answered within 100 ms, or two seconds for one in 100 and two. Other work on
%% this machine makes them wait as it does cat(1).
prompt({Echo, Calls}) ->
    {Slow, Slowest} = lists:max([slowest(Watcher) || Watcher <- Calls]),
    {Machine, MachineSlowest} = slowest(Echo),
    ?assert(Slow < 100 + 3 * Machine, {milliseconds, Slow, Machine}),
    ?assert(Slowest < 2000 + 3 * MachineSlowest, {milliseconds, Slowest, MachineSlowest}).

flush() ->
    receive _ -> flush() after 0 -> ok end.

%% A start fails with a reason when the greeting isn't one.
greetings(Config) ->
    case proplists:get_value(forge, Config) of
        {false, Text} ->
            alcove_test:skip(Text);
        {true, Executable} ->
            [?assertEqual({How, Expected},
                          {How, alcove_drv:start([{progname, Executable}, {timeout, 1000},
                                                  {env, [{"FORGE", How}]}])})
             || {How, Expected} <- [{"hello_header", {error, timeout}},
                                    {"hello_long", {error, badproto}},
                                    {"hello_reply", {error, badproto}},
                                    {"hello_noise", {error, badproto}}]],
            %% Descriptors that come with it are closed.
            {ok, Drv} = alcove_drv:start([{progname, Executable}, {env, [{"FORGE", "hello_descriptors"}]}]),
            ok = alcove_test:stop(Drv)
    end.

%% A header and then nothing: its own callers wait for as long as they say.
silent_processes(Config) ->
    [forged(Config,
            fun(Drv, Evil, _) ->
                    ?assertExit(timeout, alcove:call(Drv, Evil, chdir, [Act], 500)),
                    ?assertExit(timeout, alcove:call(Drv, Evil, getpid, [], 50))
            end) || Act <- ["header", "promise"]].

%% Its channel ends, with an event.
broken_frames(Config) ->
    [forged(Config,
            fun(Drv, Evil, _) ->
                    ok = alcove_test:badpid(fun() -> alcove:chdir(Drv, Evil, Act) end),
                    ok = alcove_test:event(Drv, Evil, {error, badproto}),
                    ok = alcove_test:badpid(fun() -> alcove:getpid(Drv, Evil) end)
            end) || Act <- ["oversized", "empty", "type:0", "type:5", "type:99", "backwards", "noise"]],
    forged(Config,
           fun(Drv, Evil, _) ->
                   ok = alcove_test:badpid(fun() -> alcove:chdir(Drv, Evil, "truncated") end),
                   ok = alcove_test:badpid(fun() -> alcove:getpid(Drv, Evil) end)
           end).

%% Whole frames of any type: the call is answered, or the process is gone.
random_frames(Config) ->
    [forged(Config,
            fun(Drv, Evil, _) ->
                    _ = try alcove:call(Drv, Evil, chdir, [lists:concat(["random:", Seed])], 2000)
                        catch error:badpid -> badpid; exit:timeout -> timeout
                        end,
                    receive {alcove_event, Drv, Evil, {error, badproto}} -> ok after alcove_test:ms(5000) -> ct:fail(no_event) end
            end) || Seed <- lists:seq(1, 20)].

%% Whole frames of a kind that there is, when they aren't due: the same.
unsolicited_frames(Config) ->
    [forged(Config,
            fun(Drv, Evil, _) ->
                    breaks_off(Drv, Evil, fun() -> alcove:chdir(Drv, Evil, "unasked:" ++ What) end)
            end) || What <- ["reply", "partial", "signal", "end", "fork", "fork_of_another", "hello"]],
    forged(Config,
           fun(Drv, Evil, _) ->
                   ok = alcove:chdir(Drv, Evil, "unasked:twice"),
                   ok = alcove_test:event(Drv, Evil, {error, badproto})
           end),
    %% In the place of a batch's and of a fork's.
    [forged(Config,
            fun(Drv, Evil, _) ->
                    breaks_off(Drv, Evil, fun() -> alcove:batch(Drv, Evil, [{chdir, ["unasked:" ++ What]}]) end)
            end) || What <- ["partial", "signal", "end", "fork"]].

%% Its caller is told that the process is gone, its owner why, and nothing else is said.
breaks_off(Drv, Evil, Fun) ->
    ok = alcove_test:badpid(Fun),
    ok = alcove_test:event(Drv, Evil, {error, badproto}),
    ok = alcove_test:badpid(fun() -> alcove:getpid(Drv, Evil) end).

nothing_said(Drv) ->
    receive
        Message when element(2, Message) =:= Drv -> ct:fail({message, Message})
    after 0 -> ok
    end.

%% Where one is trapped, those that the owner hasn't read yet are enough.
signal_storm(Config) ->
    forged(Config,
           fun(Drv, Evil, _) ->
                   ok = alcove:sigaction(Drv, Evil, sigusr1, trap),
                   ok = alcove:chdir(Drv, Evil, "signals"),
                   ok = alcove_test:event(Drv, Evil, {signal, sigusr1}),
                   ?assert(settled(0, -1) < 50000)
           end),
    %% There are no others.
    [forged(Config,
            fun(Drv, Evil, _) ->
                    ok = alcove:sigaction(Drv, Evil, sigusr1, trap),
                    breaks_off(Drv, Evil, fun() -> alcove:chdir(Drv, Evil, "signal:" ++ Number) end)
            end) || Number <- ["0", "-1", "65", "1000000"]],
    forged(Config,
           fun(Drv, Evil, _) ->
                   ok = alcove:sigaction(Drv, Evil, sigusr1, trap),
                   ok = alcove:chdir(Drv, Evil, "signal:64"),
                   ok = alcove_test:event(Drv, Evil, {signal, alcove:signal_constant(Drv, 64)})
           end).

%% The length of this process' queue when it no longer grows.
settled(Length, Length) ->
    Length;
settled(_, Before) ->
    receive after 50 -> ok end,
    {message_queue_len, Length} = process_info(self(), message_queue_len),
    settled(Before, Length).

%% It has no such children, so they don't end; and one that it has ends once.
forged_ends(Config) ->
    forged(Config,
           fun(Drv, Evil, _) ->
                   breaks_off(Drv, Evil, fun() -> alcove:chdir(Drv, Evil, "children") end),
                   nothing_said(Drv)
           end),
    forged(Config,
           fun(Drv, Evil, _) ->
                   Child = alcove_test:fork(Drv, Evil),
                   _ = try alcove:chdir(Drv, Evil, "ends:500") catch error:badpid -> badpid end,
                   ok = alcove_test:event(Drv, Evil, {error, badproto}),
                   ok = alcove_test:event(Drv, Child, {exit_status, 0}),
                   ok = alcove_test:badpid(fun() -> alcove:getpid(Drv, Child) end),
                   nothing_said(Drv)
           end).

%% Replies without end to another call than the one that waits.
reply_storm(Config) ->
    forged(Config,
           fun(Drv, Evil, _) ->
                   breaks_off(Drv, Evil, fun() -> alcove:call(Drv, Evil, chdir, ["flood"], 2000) end)
           end).

%% Descriptors that no frame announces.
unexpected_descriptors(Config) ->
    [forged(Config,
            fun(Drv, Evil, _) ->
                    Before = fds(),
                    breaks_off(Drv, Evil, fun() -> alcove:call(Drv, Evil, chdir, [Act], 1000) end),
                    ?assert(alcove_test:until(fun() -> fds() - Before < 20 end), {Act, Before, fds()})
            end) || Act <- ["descriptors:50", "many_descriptors"]].

fds() ->
    {ok, Names} = file:list_dir("/proc/self/fd"),
    length(Names).

%% A descriptor that takes long to close comes with a reply. It holds up nobody: not its
%% caller, not a sibling, not a scheduler, not the end of its Drv.
slow_to_close(Config) ->
    forged(Config,
           fun(Drv, Evil, Good) ->
                   Calls = [fun() -> ok = alcove:call(Drv, Evil, chdir, ["linger:8"], 1000) end,
                            fun() -> ok = alcove_test:event(Drv, Evil, {error, badproto}) end,
                            fun() -> true = is_integer(alcove:call(Drv, Good, getpid, [], alcove_test:ms(1000))) end,
                            fun() -> {ok, _} = alcove:call(Drv, Good, fork, [], alcove_test:ms(1000)) end],
                   [begin
                        {Time, _} = timer:tc(Call),
                        ?assert(Time < alcove_test:ms(1000000), {microseconds, Time})
                    end || Call <- Calls]
           end).

%% Whoever makes a control socket can have the kernel send more at the end that it gives away:
%% a descriptor of the sender (SO_PASSPIDFD), who it is (SO_PASSCRED), its label (SO_PASSSEC).
socket_options(Config) ->
    [forged(Config,
            fun(Drv, Evil, _) ->
                    Before = fds(),
                    [begin
                         ok = alcove:chdir(Drv, Evil, lists:concat(["next_fork_option:", Option])),
                         Child = alcove_test:fork(Drv, Evil),
                         _ = [try alcove:getpid(Drv, Child) catch error:badpid -> badpid end || _ <- lists:seq(1, 20)]
                     end || _ <- lists:seq(1, 20)],
                    ?assert(alcove_test:until(fun() -> fds() - Before =< 4 * 20 end), {Option, Before, fds()}),
                    true = is_integer(alcove:getpid(Drv, Evil))
            end) || Option <- [76, 16, 34]],
    %% One that had something else sent has broken the protocol.
    forged(Config,
           fun(Drv, Evil, _) ->
                   ok = alcove:chdir(Drv, Evil, "next_fork_option:16"),
                   Child = alcove_test:fork(Drv, Evil),
                   breaks_off(Drv, Child, fun() -> alcove:getpid(Drv, Child) end)
           end).

%% Descriptors that aren't the channels that they should be, or too few of them.
wrong_channels(Config) ->
    [forged(Config,
            fun(Drv, Evil, _) ->
                    ok = alcove:chdir(Drv, Evil, "next_fork_with:" ++ What),
                    {error, ebadf} = alcove:fork(Drv, Evil),
                    true = is_integer(alcove:getpid(Drv, Evil))
            end) || What <- ["null", "zero", "terminal", "directory", "event", "pipes", "swapped", "paths", "tcp",
                             "datagrams"]],
    [forged(Config,
            fun(Drv, Evil, _) ->
                    ok = alcove:chdir(Drv, Evil, lists:concat(["next_fork_less:", N])),
                    {error, emfile} = alcove:fork(Drv, Evil),
                    true = is_integer(alcove:getpid(Drv, Evil))
            end) || N <- [0, 1, 3]].

%% One call forks one process.
too_many_forks(Config) ->
    forged(Config,
           fun(Drv, Evil, _) ->
                   ok = alcove:chdir(Drv, Evil, "next_fork_often:1000"),
                   Before = length(element(2, file:list_dir("/proc/self/fd"))),
                   %% Its reply isn't that of a batch either.
                   ok = alcove_test:badpid(fun() -> alcove:batch(Drv, Evil, [{fork, []}]) end),
                   ?assert(length(element(2, file:list_dir("/proc/self/fd"))) - Before < 20)
           end).

%% A reply answers the call that is due, of that process, and names it.
other_ids(Config) ->
    forged(Config,
           fun(Drv, Evil, _) ->
                   breaks_off(Drv, Evil, fun() -> alcove:chdir(Drv, Evil, "others") end)
           end),
    forged(Config,
           fun(Drv, Evil, _) ->
                   ok = alcove:chdir(Drv, Evil, "twice"),
                   %% If no call is under way when the second reply comes, the next call finds it.
                   breaks_off(Drv, Evil, fun() -> alcove:getpid(Drv, Evil) end)
           end),
    forged(Config,
           fun(Drv, Evil, _) ->
                   ok = alcove:chdir(Drv, Evil, "reversed:3"),
                   Self = self(),
                   [spawn(fun() ->
                                  Self ! {Call, try alcove:call(Drv, Evil, Call, []) catch error:badpid -> badpid end}
                          end) || Call <- [getpid, getuid, getgid]],
                   [receive {Call, Reply} -> ?assertEqual(badpid, Reply) after alcove_test:ms(5000) -> ct:fail(Call) end
                    || Call <- [getpid, getuid, getgid]],
                   ok = alcove_test:event(Drv, Evil, {error, badproto}),
                   nothing_said(Drv)
           end).

hostile_terms(Config) ->
    [forged(Config,
            fun(Drv, Evil, _) ->
                    ok = alcove_test:badpid(fun() -> alcove:chdir(Drv, Evil, "term:" ++ Which) end),
                    ok = alcove_test:event(Drv, Evil, {error, badproto})
            end) || Which <- ["atom", "compressed", "external", "deep", "count", "binary", "same_keys",
                              "trailing", "none"]],
    %% Numbers without a name are numbers.
    [forged(Config, fun(Drv, Evil, _) -> 16#ffff = alcove:chdir(Drv, Evil, "term:" ++ Which) end)
     || Which <- ["errno", "signal"]],
    %% The most terms that a frame can hold.
    case proplists:get_value(forge, Config) of
        {false, Text} ->
            alcove_test:skip(Text);
        {true, Executable} ->
            Drv = alcove_test:start([{progname, Executable}]),
            {Pid, Ref} = spawn_monitor(fun() -> exit({length, length(alcove:chdir(Drv, [], "term:many"))}) end),
            Reason = receive {'DOWN', Ref, process, Pid, How} -> How after alcove_test:ms(20000) -> ct:fail(hangs) end,
            ?assertEqual({length, 8388600}, Reason),
            ct:pal("KiB at most: ~b", [kib("VmHWM")]),
            ok = alcove_test:stop(Drv),
            %% Maps within maps that each promise that all the rest is theirs are given room for
            %% what comes.
            Before = kib("VmPeak"),
            Maps = alcove_test:start([{progname, Executable}]),
            ok = alcove_test:badpid(fun() -> alcove:chdir(Maps, [], "term:maps") end),
            ?assert(kib("VmPeak") - Before < 1024 * 1024, {Before, kib("VmPeak")}),
            ok = alcove_test:stop(Maps)
    end.

%% A program that prints what a reply looks like prints it.
program_replies(Config) ->
    {Drv, Path} = drv_and_path(Config),
    Reply = <<"\\010\\000\\000\\000\\001\\000\\000\\000\\000\\000\\000\\000">>,
    [begin
         {ok, Pid} = alcove:spawn(Drv, Path, fork,
                                  [{execvp, ["/usr/bin/printf", ["printf", Reply]]}]),
         {<<8, 0, 0, 0, 1, 0:56>>, {exit_status, 0}} = alcove_test:output(Drv, Path ++ [Pid])
     end || _ <- lists:seq(1, 500)].

%% A program that reads its own output from the pipe holds up nobody, and its end is told.
stolen_output(Config) ->
    {Drv, Path} = drv_and_path(Config),
    Sibling = alcove_test:fork(Drv, Path),
    Watch = watch([{Drv, Sibling}]),
    Script = "for i in 1 2 3 4; do (while :; do cat /proc/self/fd/1 >/dev/null <&-; done) & done; "
        "i=0; while [ $i -lt 20000 ]; do echo x; i=$((i + 1)); done; kill 0",
    Thief = alcove_test:shell(Drv, Path, "exec setsid sh -c '" ++ Script ++ "'"),
    _ = alcove_test:output(Drv, Thief),
    prompt(Watch).

%% Output of a process that survived: Drv ends all the same.
survivors_output(Config) ->
    {Drv, Path} = drv_and_path(Config),
    Child = alcove_test:shell(Drv, Path, "setsid sh -c 'echo $$; while :; do echo yyyyyyyy; done' & wait"),
    <<Yes/binary>> = alcove_test:collect(Drv, Child, 2),
    [Pid | _] = binary:split(Yes, <<"\n">>),
    Root = alcove:getpid(Drv),
    Guardian = alcove_test:parent(Root),
    Ref = monitor(process, Drv),
    %% Both at one moment, so that neither can end the rest.
    _ = os:cmd(lists:concat(["kill -STOP ", Root, " ", Guardian, "; kill -KILL ", Root, " ", Guardian])),
    receive {'DOWN', Ref, process, Drv, _} -> ok after alcove_test:ms(5000) -> ct:fail(drv_lives) end,
    _ = alcove_test:signal(binary_to_list(Pid), "KILL"),
    flush().

%% ---------------------------------------------------------------------------
%% Under pressure
%% ---------------------------------------------------------------------------

%% No more processes for a user: an error there, service for the rest, and service there
%% when some have ended.
processes_run_out(Config) ->
    alcove_test:need(
      [root],
      fun() ->
              {Drv, Path} = drv_and_path(Config),
              Few = alcove_test:fork(Drv, Path),
              ok = alcove:setrlimit(Drv, Few, rlimit_nproc, #alcove_rlimit{cur = 5, max = 5}),
              ok = alcove:setuid(Drv, Few, 16#f0000000 + rand:uniform(16#ffff)),
              Watch = watch([{Drv, Path}]),
              Forked = forks(Drv, Few, []),
              ?assertEqual(4, length(Forked)),
              {error, eagain} = alcove:spawn(Drv, Few, fork, []),
              [Last | _] = Forked,
              ok = alcove:exit(Drv, Last, 0),
              ok = alcove_test:event(Drv, Last, {exit_status, 0}),
              {ok, _} = alcove:fork(Drv, Few),
              prompt(Watch)
      end).

forks(Drv, Path, Forked) ->
    case alcove:fork(Drv, Path) of
        {ok, Pid} -> forks(Drv, Path, [Path ++ [Pid] | Forked]);
        {error, eagain} -> Forked
    end.

%% No more memory for an event loop: what needs much of it ends with it or is an error, and
%% its neighbours don't notice.
memory_runs_out(Config) ->
    {Drv, Path} = drv_and_path(Config),
    Sibling = alcove_test:fork(Drv, []),
    Watch = watch([{Drv, Sibling}]),
    ok = alcove:setrlimit(Drv, Path, rlimit_as, #alcove_rlimit{cur = 4000000, max = 4000000}),
    Pid = lists:last(Path),
    Pid = alcove:getpid(Drv, Path),
    {ok, Zero} = alcove:open(Drv, Path, "/dev/zero", o_rdonly, 0),
    Outcome = try alcove:read(Drv, Path, Zero, 16000000) catch error:badpid -> badpid end,
    ?assert(lists:member(Outcome, [badpid, {error, enomem}]), Outcome),
    case Outcome of
        badpid -> ok = alcove_test:event(Drv, Path, {termsig, sigabrt});
        _ -> Pid = alcove:getpid(Drv, Path)
    end,
    prompt(Watch).

%% A virtual machine is after a thousand starts and stops what it was after some.
starts_and_stops(_Config) ->
    Peer = alcove_test:peer(alcove_test:paths(), #{}),
    ok = alcove_test:in_peer(Peer, fun ?MODULE:start_and_stop/0, alcove_test:ms(60000)),
    alcove_test:stop_peer(Peer).

start_and_stop() ->
    Cycle = fun(_) ->
                    Drv = alcove_test:start([{exit_status, true}]),
                    Path = alcove_test:fork(Drv, []),
                    ok = alcove:exit(Drv, Path, 0),
                    ok = alcove_test:stop(Drv),
                    flush()
            end,
    State = fun() ->
                    [erlang:garbage_collect(Pid) || Pid <- processes()],
                    {ok, Fds} = file:list_dir("/proc/self/fd"),
                    #{fds => length(Fds), threads => alcove_test:threads(),
                      atoms => erlang:system_info(atom_count), processes => length(processes()),
                      children => length(alcove_test:descendants()), ports => length(erlang:ports())}
            end,
    lists:foreach(Cycle, lists:seq(1, 50)),
    %% To look loads code, once.
    _ = {State(), rss()},
    {Before, Rss} = {State(), rss()},
    lists:foreach(Cycle, lists:seq(1, 1000)),
    Grown = fun() ->
                    After = State(),
                    [{Key, N, maps:get(Key, After)} || {Key, N} <- maps:to_list(Before), maps:get(Key, After) > N]
            end,
    true = alcove_test:until(fun() -> Grown() =:= [] end) orelse error(Grown()),
    true = rss() - Rss < 8192 orelse error({rss, Rss, rss()}),
    ok.

%% A caller that waits for another message too, and that others monitor meanwhile. OTP 25
%% mistakes one receive marker for another when calls leave them behind: this crashes the
%% virtual machine at the first attempt.
signals_to_a_caller(_Config) ->
    Peer = alcove_test:peer(alcove_test:paths(), #{}),
    ok = alcove_test:in_peer(Peer, fun ?MODULE:call_among_signals/0),
    alcove_test:stop_peer(Peer).

call_among_signals() ->
    Drv = alcove_test:start([]),
    Monitored = atomics:new(1, []),
    Other = spawn_link(fun() -> monitor_callers(Monitored) end),
    [begin
         ok = atomics:put(Monitored, 1, 0),
         {_, Ref} = spawn_monitor(fun() -> caller(Drv, Other, Monitored) end),
         receive {'DOWN', Ref, process, _, Reason} -> normal = Reason end
     end || _ <- lists:seq(1, 300)],
    true = unlink(Other),
    exit(Other, kill),
    alcove_test:stop(Drv).

monitor_callers(Monitored) ->
    receive
        {'DOWN', _, process, _, _} -> ok;
        Caller -> _ = monitor(process, Caller), atomics:put(Monitored, 1, 1)
    end,
    monitor_callers(Monitored).

%% The compiler sets a marker where it sees both reference and receive; there is none
%% while the queue is empty.
caller(Drv, Other, Monitored) ->
    self() ! unread,
    Ref = make_ref(),
    Other ! self(),
    monitored(Monitored),
    calls(Drv),
    receive {Ref, answer} -> ok after 0 -> ok end.

%% Nothing here takes signals out of the queue.
monitored(Monitored) ->
    case atomics:get(Monitored, 1) of
        0 -> monitored(Monitored);
        1 -> ok
    end.

calls(Drv) ->
    Root = alcove:getpid(Drv),
    [Root = alcove:getpid(Drv) || _ <- lists:seq(1, 20)],
    [{'EXIT', {badpid, _}} = catch alcove:getpid(Drv, [1]) || _ <- lists:seq(1, 20)],
    {error, enoent} = alcove:chdir(Drv, "/nonexistent").

%% The same pids again and again: a fork path is the process that was forked there, not
%% another that got its number.
pids_wrap(Config) ->
    alcove_test:need(
      [root],
      fun() ->
              {Drv, Path} = drv_and_path(Config),
              {ok, Pid} = alcove:clone(Drv, Path, [clone_newpid]),
              Init = Path ++ [Pid],
              {ok, Last} = alcove:open(Drv, Init, "/proc/sys/kernel/ns_last_pid", [o_wronly, o_cloexec], 0),
              Rewind = fun() ->
                               {ok, _} = alcove:pwrite(Drv, Init, Last, <<"20">>, 0)
                       end,
              [begin
                   _ = Rewind(),
                   {ok, 21} = alcove:fork(Drv, Init),
                   21 = alcove:getpid(Drv, Init ++ [21]),
                   ok = alcove:exit(Drv, Init ++ [21], N rem 256),
                   ok = alcove_test:event(Drv, Init ++ [21], {exit_status, N rem 256}),
                   ok = alcove_test:badpid(fun() -> alcove:getpid(Drv, Init ++ [21]) end)
               end || N <- lists:seq(1, 500)],
              %% The number now belongs to a program's child.
              Shell = alcove_test:shell(Drv, Init, "echo 20 > /proc/sys/kernel/ns_last_pid; sleep 1000 & "
                                        "echo $!; wait"),
              <<"21\n">> = alcove_test:collect(Drv, Shell, 3),
              ok = alcove_test:badpid(fun() -> alcove:getpid(Drv, Init ++ [21]) end),
              ok = alcove_test:badpid(fun() -> alcove:getpid(Drv, Shell ++ [21]) end),
              ok = alcove_test:badpid(fun() -> alcove:stdin(Drv, Init ++ [21], "x") end)
      end).

%% Killed at any moment of its set-up, a process has run its program confined or not at all.
killed_setup(Config) ->
    alcove_test:need(
      [root],
      fun() ->
              Dir = alcove_test:tmp(Config),
              ok = file:change_mode(Dir, 8#777),
              Script = "[ $(id -u) = 65534 ] && [ $(id -g) = 65534 ] || : > " ++ Dir ++ "/half",
              Calls = [{setgroups, [[]]}, {setgid, [65534]}, {setuid, [65534]}, {chdir, ["/"]},
                       {execvp, ["/bin/sh", ["sh", "-c", Script]]}],
              {Drv, Path} = drv_and_path(Config),
              [begin
                   Middle = alcove_test:fork(Drv, Path),
                   Victim = integer_to_list(lists:last(Middle)),
                   {Caller, Ref} = spawn_monitor(
                                     fun() ->
                                             _ = [catch alcove:spawn(Drv, Middle, fork, Calls)
                                                  || _ <- lists:seq(1, 1 + N rem 5)]
                                     end),
                   spin(rand:uniform(400)),
                   _ = alcove:kill(Drv, [], list_to_integer(Victim), sigkill),
                   receive {'DOWN', Ref, process, Caller, _} -> ok after alcove_test:ms(5000) -> ct:fail(hangs) end
               end || N <- lists:seq(1, 100)],
              flush(),
              ?assert(alcove_test:until(
                        fun() -> alcove_test:descendants(lists:last(Path)) =:= [] end)),
              {ok, []} = file:list_dir(Dir)
      end).

%% Keeps the processor for so many microseconds: a timer isn't that exact.
spin(Microseconds) ->
    spin_until(erlang:monotonic_time(microsecond) + Microseconds).

spin_until(Time) ->
    case erlang:monotonic_time(microsecond) < Time of
        true -> spin_until(Time);
        false -> ok
    end.

%% Each step of a set-up fails in turn: the error names it, and the program doesn't run.
failing_steps(Config) ->
    alcove_test:need(
      [root, {program, "strace"}],
      fun() ->
              Dir = alcove_test:tmp(Config),
              Steps = [{setgroups, [[]]}, {chdir, ["/"]}, {unshare, [[clone_newuts]]},
                       {sethostname, ["inside"]}, {setresgid, [65534, 65534, 65534]},
                       {setresuid, [65534, 65534, 65534]},
                       {execve, ["/bin/touch", ["touch", filename:join(Dir, "ran")], []]}],
              [begin
                   {Call, _} = lists:nth(Index, Steps),
                   Inject = lists:concat(["inject=", Call, ":error=EDQUOT"]),
                   Drv = alcove_test:start([{exec, ["strace", "-f", "-qq", "-o", "/dev/null",
                                                    "-e", lists:concat(["trace=", Call]), "-e", Inject]},
                                            {exit_status, true}]),
                   Result = alcove:spawn(Drv, [], fork, Steps),
                   ?assertEqual({error, {Index, Call, edquot}}, Result),
                   ok = alcove_test:stop(Drv),
                   {ok, []} = file:list_dir(Dir)
               end || Index <- lists:seq(1, length(Steps) - 1)],
              flush()
      end).

%% A root whose channel ended takes no more calls. If it doesn't end either, Drv does, and says so.
root_without_a_channel(_Config) ->
    alcove_test:need(
      [root, {program, "strace"}],
      fun() ->
              Slow = "inject=exit_group:delay_enter=100000000",
              {ok, Drv} = alcove_drv:start([{exec, ["strace", "-f", "-qq", "-o", "/dev/null",
                                                    "-e", "trace=exit_group", "-e", Slow]}]),
              Ref = monitor(process, Drv),
              #{os_pid := Root} = alcove_drv:info(Drv),
              Dir = filename:join(["/proc", integer_to_list(Root), "fd"]),
              {ok, Open} = file:list_dir(Dir),
              [Control] = [list_to_integer(FD) || FD <- Open, list_to_integer(FD) > 2,
                                                  {ok, "socket" ++ _} <- [file:read_link(filename:join(Dir, FD))]],
              {ok, Thief} = alcove:fork(Drv, []),
              {ok, Proc} = alcove_proc:start(Drv, ["sleep", "1000"]),
              {ok, PidFD} = alcove:pidfd_open(Drv, [Thief], Root, 0),
              %% pidfd_getfd(2)
              {ok, FD, _} = alcove:syscall(Drv, [Thief], 438, [PidFD, Control, 0]),
              ok = alcove:shutdown(Drv, [Thief], FD, shut_rdwr),
              Outcome = alcove_proc:await(Proc),
              receive
                  {'DOWN', Ref, process, Drv, {leftovers, Pids} = Reason} ->
                      ?assertEqual({error, {drv, Reason}}, Outcome),
                      ?assert(lists:member(Root, Pids)),
                      %% strace holds it.
                      _ = os:cmd("kill -KILL " ++ lists:join($\s, [integer_to_list(Pid) || Pid <- Pids])),
                      ?assert(alcove_test:until(fun() -> not filelib:is_file(Dir) end))
              after alcove_test:ms(20000) -> ct:fail(hangs)
              end,
              flush()
      end).

%% One execs, the other calls: it gets its answer or badpid, never the program's.
two_callers_one_process(Config) ->
    {Drv, Path} = drv_and_path(Config),
    [begin
         Child = alcove_test:fork(Drv, Path),
         Pid = lists:last(Child),
         Callers = [spawn_monitor(fun() -> exit({said, until_gone(Drv, Child, Pid)}) end)
                    || _ <- lists:seq(1, 4)],
         ok = alcove:execvp(Drv, Child, "/bin/true", ["true"]),
         [receive {'DOWN', Ref, process, Caller, Reason} -> ?assertEqual({said, gone}, Reason)
          after alcove_test:ms(5000) -> ct:fail(hangs)
          end || {Caller, Ref} <- Callers],
         ok = alcove_test:event(Drv, Child, {exit_status, 0})
     end || _ <- lists:seq(1, 50)].

until_gone(Drv, Path, Pid) ->
    try alcove:getpid(Drv, Path) of
        Pid -> until_gone(Drv, Path, Pid);
        Other -> Other
    catch
        error:badpid -> gone
    end.

%% What was written before an exec that failed, between, and by the program: all of it, in
%% order, and the end last.
exec_after_output(Config) ->
    {Drv, Path} = drv_and_path(Config),
    true = alcove:stdin(Drv, Path, "one\ntwo\n"),
    {ok, 4} = alcove:write(Drv, Path, 1, <<"out\n">>),
    {error, enoent} = alcove:execvp(Drv, Path, "/nonexistent", ["x"]),
    {ok, <<"one\n">>} = alcove:read(Drv, Path, 0, 4),
    {ok, 5} = alcove:write(Drv, Path, 1, <<"more\n">>),
    {error, eacces} = alcove:execve(Drv, Path, "/etc/passwd", ["x"], []),
    ok = alcove:execvp(Drv, Path, "/bin/sh", ["sh", "-c", "cat; echo end; exit 5"]),
    ok = alcove:eof(Drv, Path),
    ?assertEqual({<<"out\nmore\ntwo\nend\n">>, {exit_status, 5}}, alcove_test:output(Drv, Path)),
    %% Its output is closed before its end, or after.
    [begin
         Child = alcove_test:shell(Drv, [], Script),
         ?assertEqual({<<"x\n">>, {exit_status, 0}}, alcove_test:output(Drv, Child))
     end || Script <- ["echo x; exec >&- 2>&- <&-; sleep 0.02", "echo x",
                       "(sleep 0.02; exit 0) & echo x", "exec 2>&-; echo x; exec >&-"]].

%% Signals as fast as another process can send them: every call is made and answered once.
storms_during_calls(Config) ->
    {Drv, Path} = drv_and_path(Config),
    Pid = lists:last(Path),
    ok = alcove:sigaction(Drv, Path, sigusr1, trap),
    ok = alcove:sigaction(Drv, Path, sigchld, trap),
    Storm = alcove_test:shell(Drv, [], lists:concat(["while kill -USR1 ", Pid, " 2>/dev/null; do :; done"])),
    %% It has begun.
    ok = alcove_test:event(Drv, Path, {signal, sigusr1}),
    [begin
         Pid = alcove:getpid(Drv, Path),
         ok = alcove:chdir(Drv, Path, "/"),
         {ok, [Pid, Pid]} = alcove:batch(Drv, Path, [{getpid, []}, {getpid, []}]),
         case N rem 20 of
             0 ->
                 Child = alcove_test:fork(Drv, Path),
                 ok = alcove:exit(Drv, Child, 1),
                 ok = alcove_test:event(Drv, Child, {exit_status, 1});
             _ ->
                 ok
         end
     end || N <- lists:seq(1, 1000)],
    ok = alcove:exit(Drv, Path, 0),
    {_, {exit_status, 0}} = alcove_test:output(Drv, Storm),
    flush().

%% A fork bomb that a limit holds goes with its Drv, although it replaces at once what is
%% killed.
bomb_dies_with_drv(Config) ->
    alcove_test:need(
      [root, {program, "perl"}],
      fun() ->
              {Drv, Path} = drv_and_path(Config),
              User = 16#f0000000 + rand:uniform(16#ffff),
              ok = alcove:setrlimit(Drv, Path, rlimit_nproc, #alcove_rlimit{cur = 60, max = 60}),
              ok = alcove:setuid(Drv, Path, User),
              Script = "$SIG{TERM} = 'IGNORE'; "
                  "while (1) { setpgrp; defined(fork) or select(undef, undef, undef, 0.001) }",
              ok = alcove:execvp(Drv, Path, "perl", ["perl", "-e", Script]),
              Root = alcove:getpid(Drv),
              ?assert(alcove_test:until(fun() -> length(alcove_test:descendants(Root)) > 30 end)),
              ok = alcove_test:stop(Drv),
              ?assertEqual([], processes_of(User))
      end).

processes_of(User) ->
    {ok, Names} = file:list_dir("/proc"),
    [Name || [Digit | _] = Name <- Names, Digit >= $0, Digit =< $9,
             {ok, Status} <- [file:read_file(lists:concat(["/proc/", Name, "/status"]))],
             binary:match(Status, iolist_to_binary(["Uid:\t", integer_to_list(User)])) =/= nomatch].

%% A process whose parent is killed while it forks ends, whenever that was.
parent_dies_first(Config) ->
    {Drv, Path} = drv_and_path(Config),
    [begin
         Parent = alcove_test:fork(Drv, Path),
         {Caller, Ref} = spawn_monitor(fun() ->
                                               catch alcove:batch(Drv, Parent, lists:duplicate(4, {fork, []}))
                                       end),
         spin(rand:uniform(300)),
         _ = alcove:kill(Drv, [], lists:last(Parent), sigkill),
         receive {'DOWN', Ref, process, Caller, _} -> ok after alcove_test:ms(5000) -> ct:fail(hangs) end,
         ok = alcove_test:event(Drv, Parent, {termsig, sigkill})
     end || _ <- lists:seq(1, 250)],
    ?assert(alcove_test:until(fun() -> alcove_test:descendants(lists:last(Path)) =:= [] end)),
    ?assert(alcove_test:until(fun() -> length(alcove_test:descendants(alcove:getpid(Drv))) =:= 1 end)),
    flush().
