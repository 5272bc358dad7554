%% @doc The life of Unix processes, and the bytes that go to and from them.
-module(alcove_proc_SUITE).

-include_lib("stdlib/include/assert.hrl").
-include("alcove.hrl").

-export([suite/0, all/0, groups/0, init_per_suite/1, end_per_suite/1,
         init_per_testcase/2, end_per_testcase/2]).
%% life
-export([a_fork_is_a_copy/1, exec_keeps_pid_and_path/1, failed_exec_changes_nothing/1,
         exec_is_answered_ok/1, messages_are_as_documented/1, events_are_opted_in/1,
         trapped_sigchld_still_reaps/1, many_ends_at_once/1, orphans_are_reaped/1,
         signals_are_defaults_in_programs/1]).
%% nobody there
-export([badpid_after_exec/1, badpid_after_death/1, badpid_during_a_call/1, pids_are_not_reused/1,
         late_replies/1, timeouts_of_many/1]).
%% bytes
-export([output_before_the_end/1, a_grandchild_keeps_the_pipe/1, slow_reader_gets_all/1,
         a_hundred_megabytes/1, a_hundred_megabytes_at_depth_16/1, unread_output_is_bounded/1,
         unread_output_holds_nobody_else/1, unread_output_gets_a_new_owner/1, unread_output_is_given_up/1,
         unread_input_holds_only_the_writer/1,
         reader_that_closes_stdin/1, reader_that_dies/1, forged_replies_are_output/1]).
%% sizes
-export([large_environments/1, the_kernels_limit/1, sixteen_megabytes/1, beyond_the_cap/1,
         replies_beyond_the_cap/1, results_at_the_cap/1, beyond_all_memory/1]).
%% numbers
-export([fork_chain_of_16/1, fork_chain_of_64/1, a_thousand_children/1, four_thousand_processes/1,
         out_of_descriptors/1]).
%% many callers
-export([callers_on_one_process/1, callers_on_many_processes/1, callers_that_are_killed/1,
         purge_and_reload/1]).
%% violence
-export([leaf_is_killed/1, middle_is_killed/1, root_is_killed/1, guardian_is_killed/1,
         virtual_machine_is_killed/1, virtual_machine_halts/1]).
%% called in other virtual machines
-export([crowd/0, until_emfile/0, reload/0]).

suite() ->
    alcove_test:suite().

all() ->
    [{group, Group} || {Group, _, _} <- groups()].

groups() ->
    [{life, [], [a_fork_is_a_copy, exec_keeps_pid_and_path, failed_exec_changes_nothing,
                 exec_is_answered_ok, messages_are_as_documented, events_are_opted_in,
                 trapped_sigchld_still_reaps, many_ends_at_once, orphans_are_reaped,
                 signals_are_defaults_in_programs]},
     {nobody_there, [], [badpid_after_exec, badpid_after_death, badpid_during_a_call,
                         pids_are_not_reused, late_replies, timeouts_of_many]},
     {bytes, [], [output_before_the_end, a_grandchild_keeps_the_pipe, slow_reader_gets_all,
                  a_hundred_megabytes, a_hundred_megabytes_at_depth_16, unread_output_is_bounded,
                  unread_output_holds_nobody_else, unread_output_gets_a_new_owner, unread_output_is_given_up,
                  unread_input_holds_only_the_writer,
                  reader_that_closes_stdin, reader_that_dies, forged_replies_are_output]},
     {sizes, [], [large_environments, the_kernels_limit, sixteen_megabytes, beyond_the_cap,
                  replies_beyond_the_cap, results_at_the_cap, beyond_all_memory]},
     {numbers, [], [fork_chain_of_16, fork_chain_of_64, a_thousand_children, four_thousand_processes,
                    out_of_descriptors]},
     {many_callers, [], [callers_on_one_process, callers_on_many_processes, callers_that_are_killed,
                         purge_and_reload]},
     {violence, [], [leaf_is_killed, middle_is_killed, root_is_killed, guardian_is_killed,
                     virtual_machine_is_killed, virtual_machine_halts]}].

init_per_suite(Config) ->
    alcove_test:init_suite(Config).

end_per_suite(_Config) ->
    ok.

init_per_testcase(Case, Config) when Case =:= events_are_opted_in; Case =:= fork_chain_of_64;
                                     Case =:= out_of_descriptors; Case =:= a_thousand_children;
                                     Case =:= four_thousand_processes; Case =:= purge_and_reload;
                                     Case =:= virtual_machine_is_killed; Case =:= virtual_machine_halts ->
    alcove_test:init_case(Config);
init_per_testcase(_Case, Config) ->
    alcove_test:init_case([{exit_status, true}, {termsig, true}], Config).

end_per_testcase(_Case, Config) ->
    alcove_test:end_case(Config).

drv_and_path(Config) ->
    {alcove_test:drv(Config), alcove_test:path(Config)}.

%% Runs the funs at once, each in a process of its own, and waits for them all.
at_once(Funs) ->
    Self = self(),
    Workers = [spawn_link(fun() -> Self ! {self(), Fun()} end) || Fun <- Funs],
    [receive {Worker, Result} -> Result after alcove_test:ms(30000) -> ct:fail(stuck) end || Worker <- Workers].

no_messages() ->
    receive Message -> ct:fail({message, Message}) after 0 -> ok end.

blocked_in(Drv, Path) ->
    Pid = lists:last([alcove:getpid(Drv) | Path]),
    fun() -> alcove_test:state(Pid) =:= $S end.

%% ---------------------------------------------------------------------------
%% Life
%% ---------------------------------------------------------------------------

a_fork_is_a_copy(Config) ->
    {Drv, Path} = drv_and_path(Config),
    File = filename:join(alcove_test:tmp(Config), "file"),
    ok = file:write_file(File, <<"0123456789">>),
    ok = alcove:chdir(Drv, Path, alcove_test:tmp(Config)),
    ok = alcove:setenv(Drv, Path, "A", "1", 1),
    {ok, 3} = alcove:open(Drv, Path, "file", o_rdonly, 0),
    {ok, <<"01">>} = alcove:read(Drv, Path, 3, 2),
    ok = alcove:sigaction(Drv, Path, sigusr1, ign),
    Child = alcove_test:fork(Drv, Path),
    {ok, Cwd} = alcove:getcwd(Drv, Path),
    {ok, Cwd} = alcove:getcwd(Drv, Child),
    <<"1">> = alcove:getenv(Drv, Child, "A"),
    %% An open file is shared, with its offset, as POSIX has it.
    {ok, <<"23">>} = alcove:read(Drv, Child, 3, 2),
    {ok, <<"45">>} = alcove:read(Drv, Path, 3, 2),
    ok = alcove:kill(Drv, lists:last(Child), sigusr1),
    %% From here on each goes its own way.
    ok = alcove:chdir(Drv, Child, "/"),
    ok = alcove:close(Drv, Child, 3),
    ok = alcove:setenv(Drv, Child, "A", "2", 1),
    {ok, Cwd} = alcove:getcwd(Drv, Path),
    {ok, <<"67">>} = alcove:read(Drv, Path, 3, 2),
    <<"1">> = alcove:getenv(Drv, Path, "A"),
    %% The child hasn't the parent's children.
    [] = alcove:pid(Drv, Child),
    no_messages().

exec_keeps_pid_and_path(Config) ->
    {Drv, Path} = drv_and_path(Config),
    Cat = alcove_test:run(Drv, Path, ["cat"]),
    true = alcove_test:until(fun() ->
                                     {ok, Comm} = file:read_file(lists:concat(["/proc/", lists:last(Cat), "/comm"])),
                                     Comm =:= <<"cat\n">>
                             end),
    true = alcove:stdin(Drv, Cat, "x"),
    <<"x">> = alcove_test:collect(Drv, Cat, 1),
    ?assertEqual(lists:last(Path), alcove_test:parent(lists:last(Cat))),
    ok = alcove:kill(Drv, lists:last(Cat), sigterm),
    ok = alcove_test:event(Drv, Cat, {termsig, sigterm}).

failed_exec_changes_nothing(Config) ->
    {Drv, Path} = drv_and_path(Config),
    {ok, 3} = alcove:open(Drv, Path, "/dev/null", [o_rdonly, o_cloexec], 0),
    ok = alcove:sigaction(Drv, Path, sigusr1, trap),
    Child = alcove_test:fork(Drv, Path),
    [{error, enoent} = alcove:execvp(Drv, Path, "/nonexistent", ["x"]) || _ <- lists:seq(1, 100)],
    [3] = [Fd || Fd <- lists:seq(3, 20), alcove:lseek(Drv, Path, Fd, 0, 0) =/= {error, ebadf}],
    ok = alcove:kill(Drv, lists:last(Path), sigusr1),
    ok = alcove_test:event(Drv, Path, {signal, sigusr1}),
    ok = alcove:exit(Drv, Child, 1),
    ok = alcove_test:event(Drv, Child, {exit_status, 1}),
    <<"x">> = begin
                  Cat = alcove_test:run(Drv, Path, ["cat"]),
                  true = alcove:stdin(Drv, Cat, "x"),
                  alcove_test:collect(Drv, Cat, 1)
              end.

%% However soon the program ends.
exec_is_answered_ok(Config) ->
    {Drv, Path} = drv_and_path(Config),
    [begin
         Pid = alcove_test:run(Drv, Path, ["true"]),
         ok = alcove_test:event(Drv, Pid, {exit_status, 0})
     end || _ <- lists:seq(1, 200)],
    [begin
         {ok, Pid} = alcove:spawn(Drv, Path, fork, [{execvp, ["false", ["false"]]}]),
         ok = alcove_test:event(Drv, Path ++ [Pid], {exit_status, 1})
     end || _ <- lists:seq(1, 200)],
    no_messages().

messages_are_as_documented(Config) ->
    {Drv, Path} = drv_and_path(Config),
    Pid = alcove_test:shell(Drv, Path, "echo out; read x; echo err >&2; read x; kill -USR1 $$"),
    receive {alcove_stdout, Drv, Pid, <<"out\n">>} -> ok after alcove_test:ms(5000) -> ct:fail(stdout) end,
    true = alcove:stdin(Drv, Pid, "\n"),
    receive {alcove_stderr, Drv, Pid, <<"err\n">>} -> ok after alcove_test:ms(5000) -> ct:fail(stderr) end,
    true = alcove:stdin(Drv, Pid, "\n"),
    receive {alcove_event, Drv, Pid, {termsig, sigusr1}} -> ok after alcove_test:ms(5000) -> ct:fail(termsig) end,
    ok = alcove:sigaction(Drv, Path, sighup, trap),
    ok = alcove:kill(Drv, lists:last(Path), sighup),
    receive {alcove_event, Drv, Path, {signal, sighup}} -> ok after alcove_test:ms(5000) -> ct:fail(signal) end,
    Child = alcove_test:fork(Drv, Path),
    ok = alcove:exit(Drv, Child, 2),
    receive {alcove_event, Drv, Child, {exit_status, 2}} -> ok after alcove_test:ms(5000) -> ct:fail(exit_status) end,
    Select = [[], [], [], #alcove_timeval{sec = 0, usec = 50000}],
    timeout = try alcove:call(Drv, Path, select, Select, 0) catch exit:Reason -> Reason end,
    receive {alcove_call, Drv, Path, {ok, [], [], []}} -> ok after alcove_test:ms(5000) -> ct:fail(call) end,
    %% And nothing else, ever.
    _ = alcove:getpid(Drv, Path),
    no_messages().

%% Each kind by itself, per process, at the time of the end.
events_are_opted_in(_Config) ->
    Drv = alcove_test:start(),
    Path = alcove_test:fork(Drv, []),
    Ends = fun() ->
                   Exits = alcove_test:fork(Drv, Path),
                   ok = alcove:exit(Drv, Exits, 1),
                   Dies = alcove_test:fork(Drv, Path),
                   ok = alcove:kill(Drv, lists:last(Dies), sigkill),
                   true = alcove_test:until(fun() -> alcove:pid(Drv, Path) =:= [] end),
                   {Exits, Dies}
           end,
    _ = Ends(),
    no_messages(),
    true = alcove:setopt(Drv, Path, exit_status, 1),
    {A, _} = Ends(),
    ok = alcove_test:event(Drv, A, {exit_status, 1}),
    no_messages(),
    true = alcove:setopt(Drv, Path, exit_status, 0),
    true = alcove:setopt(Drv, Path, termsig, 1),
    {_, B} = Ends(),
    ok = alcove_test:event(Drv, B, {termsig, sigkill}),
    no_messages(),
    true = alcove:setopt(Drv, Path, exit_status, 1),
    {C, D} = Ends(),
    ok = alcove_test:event(Drv, C, {exit_status, 1}),
    ok = alcove_test:event(Drv, D, {termsig, sigkill}),
    no_messages().

trapped_sigchld_still_reaps(Config) ->
    {Drv, Path} = drv_and_path(Config),
    lists:foreach(
      fun(Handler) ->
              ok = alcove:sigaction(Drv, Path, sigchld, Handler),
              Children = [alcove_test:fork(Drv, Path) || _ <- lists:seq(1, 20)],
              [ok = alcove:exit(Drv, Child, 3) || Child <- Children],
              [ok = alcove_test:event(Drv, Child, {exit_status, 3}) || Child <- Children],
              true = alcove_test:until(fun() -> alcove:pid(Drv, Path) =:= [] end),
              [] = alcove_test:descendants(lists:last(Path)),
              %% Several ends may be reported as one event.
              Signals = signals(Drv, Path),
              case Handler of
                  trap -> ?assert(Signals >= 1 andalso Signals =< 20);
                  _ -> ?assertEqual(0, Signals)
              end
      end,
      [trap, dfl, ign, trap]),
    no_messages().

signals(Drv, Path) ->
    case alcove:event(Drv, Path, 0) of
        {signal, sigchld} -> 1 + signals(Drv, Path);
        false -> 0
    end.

many_ends_at_once(Config) ->
    {Drv, Path} = drv_and_path(Config),
    Children = [{alcove_test:fork(Drv, Path), N rem 256} || N <- lists:seq(1, 200)],
    at_once([fun() -> ok = alcove:exit(Drv, Child, N) end || {Child, N} <- Children]),
    [ok = alcove_test:event(Drv, Child, {exit_status, N}) || {Child, N} <- Children],
    [] = alcove:pid(Drv, Path),
    no_messages().

%% What a program leaves running and then ends becomes nobody's zombie, be it a thousand.
orphans_are_reaped(Config) ->
    {Drv, Path} = drv_and_path(Config),
    Root = alcove:getpid(Drv),
    Guardian = alcove_test:parent(Root),
    Pid = alcove_test:shell(Drv, Path, "for i in $(seq 1000); do (: &) ; done; (sleep 0.05 &); exit 5"),
    {<<>>, {exit_status, 5}} = alcove_test:output(Drv, Pid),
    true = alcove_test:until(
             fun() -> lists:sort(alcove_test:descendants(Guardian)) =:= lists:sort([Root | Path]) end),
    no_messages().

%% The virtual machine ignores some signals; its programs don't, and none is blocked.
signals_are_defaults_in_programs(Config) ->
    {Drv, Path} = drv_and_path(Config),
    ok = alcove:sigaction(Drv, Path, sigusr1, trap),
    Zero = <<"0000000000000000">>,
    [Zero, Zero, Zero] = signals_of_a_program(Drv, Path),
    %% What the user ignores stays ignored.
    ok = alcove:sigaction(Drv, Path, sighup, ign),
    [Zero, <<"0000000000000001">>, Zero] = signals_of_a_program(Drv, Path).

%% Blocked, ignored and caught.
signals_of_a_program(Drv, Path) ->
    Cat = alcove_test:run(Drv, Path, ["cat", "/proc/self/status"]),
    {Status, {exit_status, 0}} = alcove_test:output(Drv, Cat),
    [begin
         {match, [Set]} = re:run(Status, Name ++ ":\t(.*)", [{capture, all_but_first, binary}]),
         Set
     end || Name <- ["SigBlk", "SigIgn", "SigCgt"]].

%% ---------------------------------------------------------------------------
%% Nobody there
%% ---------------------------------------------------------------------------

badpid_after_exec(Config) ->
    {Drv, Path} = drv_and_path(Config),
    [begin
         Cat = alcove_test:run(Drv, Path, ["cat"]),
         alcove_test:badpid(fun() -> alcove:getpid(Drv, Cat) end),
         alcove_test:badpid(fun() -> alcove:fork(Drv, Cat) end),
         alcove_test:badpid(fun() -> alcove:batch(Drv, Cat, [{getpid, []}]) end),
         alcove_test:badpid(fun() -> alcove:spawn(Drv, Cat, fork, []) end),
         alcove_test:badpid(fun() -> alcove:execvp(Drv, Cat, "cat", ["cat"]) end),
         %% An argument that is wrong is wrong still.
         alcove_test:badarg(fun() -> alcove:chdir(Drv, Cat, a) end)
     end || _ <- lists:seq(1, 50)],
    no_messages().

badpid_after_death(Config) ->
    {Drv, Path} = drv_and_path(Config),
    Ended = alcove_test:fork(Drv, Path),
    ok = alcove:exit(Drv, Ended, 0),
    alcove_test:badpid(fun() -> alcove:getpid(Drv, Ended) end),
    ok = alcove_test:event(Drv, Ended, {exit_status, 0}),
    alcove_test:badpid(fun() -> alcove:getpid(Drv, Ended) end),
    alcove_test:badpid(fun() -> alcove:stdin(Drv, Ended, "x") end),
    {error, esrch} = alcove:eof(Drv, Ended),
    Killed = alcove_test:fork(Drv, Path),
    ok = alcove:kill(Drv, lists:last(Killed), sigkill),
    ok = alcove_test:event(Drv, Killed, {termsig, sigkill}),
    alcove_test:badpid(fun() -> alcove:getpid(Drv, Killed) end),
    %% A program's too.
    Program = alcove_test:run(Drv, Path, ["true"]),
    ok = alcove_test:event(Drv, Program, {exit_status, 0}),
    alcove_test:badpid(fun() -> alcove:stdin(Drv, Program, "x") end),
    %% Below a process that is gone there is nobody either.
    Upper = alcove_test:fork(Drv, Path),
    Lower = alcove_test:fork(Drv, Upper),
    ok = alcove:kill(Drv, lists:last(Upper), sigkill),
    ok = alcove_test:event(Drv, Upper, {termsig, sigkill}),
    true = alcove_test:until(fun() -> not alcove_test:alive(lists:last(Lower)) end),
    alcove_test:badpid(fun() -> alcove:getpid(Drv, Lower) end),
    alcove_test:badpid(fun() -> alcove:getpid(Drv, Upper) end).

badpid_during_a_call(Config) ->
    {Drv, Path} = drv_and_path(Config),
    [begin
         Child = alcove_test:fork(Drv, Path),
         Self = self(),
         Call = case N rem 3 of
                    0 -> fun() -> alcove:select(Drv, Child, [0], [], [], <<>>) end;
                    1 -> fun() -> alcove:read(Drv, Child, 0, 1) end;
                    2 -> fun() -> alcove:call(Drv, Child, select, [[0], [], [], <<>>], 20000) end
                end,
         Callers = [spawn_link(fun() -> alcove_test:badpid(Call), Self ! {self(), done} end)
                    || _ <- lists:seq(1, 3)],
         true = alcove_test:until(blocked_in(Drv, Child)),
         ok = alcove:kill(Drv, lists:last(Child), sigkill),
         [receive {Caller, done} -> ok after alcove_test:ms(5000) -> ct:fail(hangs) end || Caller <- Callers],
         ok = alcove_test:event(Drv, Child, {termsig, sigkill})
     end || N <- lists:seq(1, 30)],
    no_messages().

%% In a pid namespace of its own numbers come round soon: an old path never means
%% another process.
pids_are_not_reused(Config) ->
    alcove_test:need(
      [root, namespaces],
      fun() ->
              {Drv, Path} = drv_and_path(Config),
              {ok, Pid} = alcove:clone(Drv, Path, [clone_newpid, clone_newns]),
              Init = Path ++ [Pid],
              ok = alcove:mount(Drv, Init, "none", "/", "", [ms_rec, ms_private], ""),
              ok = alcove:mount(Drv, Init, "proc", "/proc", "proc", 0, ""),
              Again = fun() ->
                              {ok, Fd} = alcove:open(Drv, Init, "/proc/sys/kernel/ns_last_pid", o_wronly, 0),
                              {ok, _} = alcove:write(Drv, Init, Fd, "99"),
                              ok = alcove:close(Drv, Init, Fd),
                              alcove_test:fork(Drv, Init)
                      end,
              First = Again(),
              100 = lists:last(First),
              ok = alcove:exit(Drv, First, 1),
              ok = alcove_test:event(Drv, First, {exit_status, 1}),
              alcove_test:badpid(fun() -> alcove:getpid(Drv, First) end),
              %% The number is another process now, and the path its own.
              Second = Again(),
              First = Second,
              100 = alcove:getpid(Drv, Second),
              ok = alcove:exit(Drv, Second, 2),
              ok = alcove_test:event(Drv, Second, {exit_status, 2}),
              no_messages()
      end).

late_replies(Config) ->
    {Drv, Path} = drv_and_path(Config),
    ok = alcove:setenv(Drv, Path, "A", "1", 1),
    [begin
         timeout = try alcove:call(Drv, Path, select, [[0], [], [], <<>>], N rem 5) catch exit:Reason -> Reason end,
         true = alcove:stdin(Drv, Path, "x"),
         %% The next call's reply is its own.
         <<"1">> = alcove:getenv(Drv, Path, "A"),
         receive {alcove_call, Drv, Path, {ok, [0], [], []}} -> ok after alcove_test:ms(5000) -> ct:fail(no_late_reply) end,
         {ok, <<"x">>} = alcove:read(Drv, Path, 0, 1)
     end || N <- lists:seq(1, 50)],
    no_messages(),
    %% Which comes first, the time or the reply: either way it comes once.
    Outcomes = [begin
                    Short = [[], [], [], #alcove_timeval{sec = 0, usec = 1000}],
                    try alcove:call(Drv, Path, select, Short, 1) of
                        {ok, [], [], []} -> reply
                    catch
                        exit:timeout ->
                            receive {alcove_call, Drv, Path, {ok, [], [], []}} -> late
                            after alcove_test:ms(5000) -> ct:fail(no_late_reply) end
                    end
                end || _ <- lists:seq(1, 300)],
    300 = length(Outcomes),
    _ = alcove:getpid(Drv, Path),
    no_messages(),
    %% A process that goes away after the time ran out owes nobody an answer.
    Child = alcove_test:fork(Drv, Path),
    timeout = try alcove:call(Drv, Child, select, [[0], [], [], <<>>], 0) catch exit:Reason -> Reason end,
    ok = alcove:kill(Drv, lists:last(Child), sigkill),
    ok = alcove_test:event(Drv, Child, {termsig, sigkill}).

timeouts_of_many(Config) ->
    {Drv, Path} = drv_and_path(Config),
    Blocker = spawn_link(fun() -> alcove:select(Drv, Path, [0], [], [], <<>>) end),
    Ref = monitor(process, Blocker),
    true = alcove_test:until(blocked_in(Drv, Path)),
    Self = self(),
    Pid = lists:last(Path),
    Callers = [spawn_link(fun() ->
                                  timeout = try alcove:call(Drv, Path, getpid, [], 20)
                                            catch exit:Reason -> Reason end,
                                  Self ! {self(), timeout},
                                  receive {alcove_call, Drv, Path, Pid} -> Self ! {self(), late} end
                          end) || _ <- lists:seq(1, 50)],
    Await = fun(What) ->
                    [receive {Caller, What} -> ok after alcove_test:ms(5000) -> ct:fail(What) end || Caller <- Callers]
            end,
    _ = Await(timeout),
    no_messages(),
    true = alcove:stdin(Drv, Path, "x"),
    _ = Await(late),
    receive {'DOWN', Ref, process, Blocker, _} -> ok after alcove_test:ms(5000) -> ct:fail(blocked) end,
    no_messages().

%% ---------------------------------------------------------------------------
%% Bytes
%% ---------------------------------------------------------------------------

%% What a process wrote comes before the event of its end, each time.
output_before_the_end(Config) ->
    {Drv, Path} = drv_and_path(Config),
    Calls = [{execvp, ["/bin/sh", ["sh", "-c", "echo out; echo err >&2; exit 3"]]}],
    Start = fun() -> {ok, Pid} = alcove:spawn(Drv, Path, fork, Calls), Path ++ [Pid] end,
    [in_order(Drv, Start()) || _ <- lists:seq(1, 500)],
    %% Many at a time.
    Some = [Start() || _ <- lists:seq(1, 100)],
    [in_order(Drv, Pid) || Pid <- Some],
    More = [Start() || _ <- lists:seq(1, 400)],
    [in_order(Drv, Pid) || Pid <- lists:reverse(More)],
    no_messages().

%% The three messages of a process, the event last.
in_order(Drv, Path) ->
    Next = fun() ->
                   receive
                       {alcove_stdout, Drv, Path, Bytes} -> {out, Bytes};
                       {alcove_stderr, Drv, Path, Bytes} -> {err, Bytes};
                       {alcove_event, Drv, Path, Event} -> Event
                   after alcove_test:ms(10000) -> ct:fail({nothing_from, Path})
                   end
           end,
    First = Next(),
    Second = Next(),
    ?assertEqual([{err, <<"err\n">>}, {out, <<"out\n">>}], lists:sort([First, Second])),
    ?assertEqual({exit_status, 3}, Next()).

a_grandchild_keeps_the_pipe(Config) ->
    {Drv, Path} = drv_and_path(Config),
    Pid = alcove_test:shell(Drv, Path, "sleep 1000 & echo now; exit 3"),
    {<<"now\n">>, {exit_status, 3}} = alcove_test:output(Drv, Pid),
    alcove_test:badpid(fun() -> alcove:getpid(Drv, Pid) end).

slow_reader_gets_all(Config) ->
    {Drv, Path} = drv_and_path(Config),
    Size = 2000000,
    %% In one piece, in pieces, with the eof right behind.
    [begin
         Pid = alcove_test:shell(Drv, Path, "sleep 0.3; exec md5sum"),
         [true = alcove:stdin(Drv, Pid, Piece) || Piece <- Pieces],
         ok = alcove:eof(Drv, Pid),
         {Output, {exit_status, 0}} = alcove_test:output(Drv, Pid),
         ?assertEqual(hex(erlang:md5(Pieces)), binary:part(Output, 0, 32))
     end || Pieces <- [[numbers(0, Size div 8)],
                       [numbers(N * 250, 250) || N <- lists:seq(0, 999)]]].

%% So many numbers of eight bytes, from one on: no part of it is like another.
numbers(From, Count) ->
    << <<N:64>> || N <- lists:seq(From, From + Count - 1) >>.

hex(Bytes) ->
    string:lowercase(<< <<(integer_to_binary(Digit, 16))/binary>> || <<Digit:4>> <= Bytes >>).

a_hundred_megabytes(Config) ->
    {Drv, Path} = drv_and_path(Config),
    through_cat(Drv, alcove_test:run(Drv, Path, ["cat"])).

a_hundred_megabytes_at_depth_16(Config) ->
    {Drv, Path} = drv_and_path(Config),
    Deep = alcove_test:chain(Drv, Path, 14),
    Cat = alcove_test:run(Drv, Deep, ["cat"]),
    16 = length(Cat),
    through_cat(Drv, Cat).

through_cat(Drv, Cat) ->
    Piece = 65536,
    Count = 1600,
    Writer = spawn_link(fun() ->
                                [true = alcove:stdin(Drv, Cat, numbers(N * Piece div 8, Piece div 8))
                                 || N <- lists:seq(0, Count - 1)],
                                ok = alcove:eof(Drv, Cat)
                        end),
    Ref = monitor(process, Writer),
    Expected = lists:foldl(fun(N, Md5) -> erlang:md5_update(Md5, numbers(N * Piece div 8, Piece div 8)) end,
                           erlang:md5_init(), lists:seq(0, Count - 1)),
    {Size, Md5} = digest(Drv, Cat, 0, erlang:md5_init()),
    ?assertEqual(Piece * Count, Size),
    ?assertEqual(erlang:md5_final(Expected), Md5),
    receive {'DOWN', Ref, process, Writer, normal} -> ok after alcove_test:ms(5000) -> ct:fail(writer) end.

%% The size and the digest of all that a process writes until it exits.
digest(Drv, Path, Size, Md5) ->
    receive
        {alcove_stdout, Drv, Path, Bytes} ->
            digest(Drv, Path, Size + byte_size(Bytes), erlang:md5_update(Md5, Bytes));
        {alcove_event, Drv, Path, {exit_status, 0}} ->
            {Size, erlang:md5_final(Md5)}
    after alcove_test:ms(20000) ->
        ct:fail({stuck_after, Size})
    end.

%% An owner that doesn't read for two seconds: the memory stays bounded, and all is
%% there when it reads on.
unread_output_is_bounded(Config) ->
    {Drv, Path} = drv_and_path(Config),
    Count = 10000000,
    Expected = os:cmd(lists:concat(["seq 1 ", Count, " | md5sum | cut -c 1-32"])),
    erlang:garbage_collect(),
    Before = erlang:memory(total),
    Seq = alcove_test:run(Drv, Path, ["seq", "1", integer_to_list(Count)]),
    Peak = peak(erlang:monotonic_time(millisecond) + 2000, 0),
    ?assert(Peak - Before < 64 * 1024 * 1024),
    {Size, Md5} = digest(Drv, Seq, 0, erlang:md5_init()),
    ?assertEqual(78888897, Size),
    ?assertEqual(string:trim(Expected), binary_to_list(hex(Md5))),
    %% One that never ends.
    Yes = alcove_test:run(Drv, Path, ["yes"]),
    ?assert(peak(erlang:monotonic_time(millisecond) + 2000, 0) - Before < 64 * 1024 * 1024),
    ok = alcove:kill(Drv, lists:last(Yes), sigkill),
    {_, {termsig, sigkill}} = alcove_test:output(Drv, Yes),
    %% What a case returns is written to a log, and of megabytes that takes gigabytes.
    ok.

%% The most memory seen until then.
peak(Deadline, Peak) ->
    More = max(Peak, erlang:memory(total)),
    case erlang:monotonic_time(millisecond) of
        Now when Now >= Deadline -> More;
        _ -> receive after 20 -> peak(Deadline, More) end
    end.

unread_output_holds_nobody_else(Config) ->
    {Drv, Path} = drv_and_path(Config),
    Deaf = spawn_link(fun() -> receive stop -> ok end end),
    Flood = alcove_test:fork(Drv, Path),
    ok = alcove_drv:controlling_process(Drv, Flood, Deaf),
    ok = alcove:execvp(Drv, Flood, "yes", ["yes"]),
    %% The stream is held when the owner's mailbox no longer grows.
    Length = fun() -> element(2, process_info(Deaf, message_queue_len)) end,
    true = alcove_test:until(fun() ->
                                     First = Length(),
                                     receive after 200 -> ok end,
                                     First > 0 andalso Length() =:= First
                             end),
    Cat = alcove_test:run(Drv, Path, ["cat"]),
    Start = erlang:monotonic_time(millisecond),
    [begin
         true = alcove:stdin(Drv, Cat, numbers(N, 1)),
         Bytes = numbers(N, 1),
         Bytes = alcove_test:collect(Drv, Cat, 8),
         Pid = lists:last(Path),
         Pid = alcove:getpid(Drv, Path)
     end || N <- lists:seq(1, 200)],
    ?assert(erlang:monotonic_time(millisecond) - Start < alcove_test:ms(2000)),
    ok = alcove:kill(Drv, lists:last(Flood), sigkill),
    unlink(Deaf),
    Deaf ! stop,
    no_messages().

%% A stream that waits for an owner goes on when its path gets another.
unread_output_gets_a_new_owner(Config) ->
    {Drv, Path} = drv_and_path(Config),
    Program = alcove_test:run(Drv, Path, ["sh", "-c", "head -c 64000000 /dev/zero; exit 3"]),
    true = alcove_test:until(fun() -> maps:get(streams_held, alcove_drv:info(Drv)) =:= 1 end),
    Self = self(),
    New = spawn_link(fun() -> receive read -> Self ! {self(), alcove_test:output(Drv, Program)} end end),
    ok = alcove_drv:controlling_process(Drv, Program, New),
    New ! read,
    %% The former owner waits for the new one alone, and reads nothing else meanwhile.
    {Rest, {exit_status, 3}} = receive {New, Output} -> Output after alcove_test:ms(25000) -> ct:fail(stuck) end,
    ?assertEqual(64000000, byte_size(Rest) + byte_size(iolist_to_binary(read(Drv, Program)))),
    #{streams_held := 0} = alcove_drv:info(Drv).

read(Drv, Path) ->
    case alcove:stdout(Drv, Path, 0) of
        false -> [];
        Bytes -> [Bytes | read(Drv, Path)]
    end.

%% Who closes a stream gives up what is left in it, and is told how the program ended.
unread_output_is_given_up(Config) ->
    {Drv, Path} = drv_and_path(Config),
    %% The owner wants none.
    Hello = alcove_test:fork(Drv, Path),
    true = alcove:setcpid(Drv, Path, lists:last(Hello), flowcontrol, 0),
    ok = alcove:execvp(Drv, Hello, "sh", ["sh", "-c", "echo hello; echo error >&2; exit 3"]),
    true = alcove_test:until(fun() -> [exited] =:= [State || #{state := State} <- alcove:cpid(Drv, Path)] end),
    false = alcove:event(Drv, Hello, 0),
    ok = alcove:eof(Drv, Hello, stdout),
    false = alcove:event(Drv, Hello, 100),
    ok = alcove:eof(Drv, Hello, stderr),
    ok = alcove_test:event(Drv, Hello, {exit_status, 3}),
    %% The owner is behind.
    Flood = alcove_test:run(Drv, Path, ["sh", "-c", "head -c 64000000 /dev/zero; exit 4"]),
    true = alcove_test:until(fun() -> maps:get(streams_held, alcove_drv:info(Drv)) =:= 1 end),
    ok = alcove:eof(Drv, Flood, stdout),
    #{streams_held := 0} = alcove_drv:info(Drv),
    {_, {Kind, _}} = alcove_test:output(Drv, Flood),
    true = lists:member(Kind, [exit_status, termsig]),
    true = alcove_test:until(fun() -> alcove:cpid(Drv, Path) =:= [] end).

%% A program that never reads holds who writes to it, and the memory stays bounded.
unread_input_holds_only_the_writer(Config) ->
    {Drv, Path} = drv_and_path(Config),
    Sleep = alcove_test:run(Drv, Path, ["sleep", "1000"]),
    Before = erlang:memory(total),
    Writer = spawn(fun() -> write_forever(Drv, Sleep, binary:copy(<<"x">>, 65536)) end),
    Ref = monitor(process, Writer),
    true = alcove_test:until(fun() ->
                                     {reductions, First} = process_info(Writer, reductions),
                                     receive after 100 -> ok end,
                                     {reductions, First} =:= process_info(Writer, reductions)
                             end),
    ?assert(erlang:memory(total) - Before < 64 * 1024 * 1024),
    Cat = alcove_test:run(Drv, Path, ["cat"]),
    true = alcove:stdin(Drv, Cat, "x"),
    <<"x">> = alcove_test:collect(Drv, Cat, 1),
    %% Its reader's death frees the writer.
    ok = alcove:kill(Drv, lists:last(Sleep), sigkill),
    ok = alcove_test:event(Drv, Sleep, {termsig, sigkill}),
    receive
        {'DOWN', Ref, process, Writer, {stdin, Outcome}} ->
            ?assert(lists:member(Outcome, [{error, epipe}, badpid]))
    after alcove_test:ms(5000) -> ct:fail(writer_hangs)
    end.

write_forever(Drv, Path, Bytes) ->
    try alcove:stdin(Drv, Path, Bytes) of
        true -> write_forever(Drv, Path, Bytes);
        Other -> exit({stdin, Other})
    catch
        error:badpid -> exit({stdin, badpid})
    end.

reader_that_closes_stdin(Config) ->
    {Drv, Path} = drv_and_path(Config),
    Pid = alcove_test:shell(Drv, Path, "exec 0<&-; echo closed; exec sleep 1000"),
    <<"closed\n">> = alcove_test:collect(Drv, Pid, 7),
    {error, epipe} = alcove:stdin(Drv, Pid, "x"),
    {error, epipe} = alcove:stdin(Drv, Pid, binary:copy(<<"x">>, 1000000)),
    _ = alcove:eof(Drv, Pid),
    ok = alcove:kill(Drv, lists:last(Pid), sigkill),
    ok = alcove_test:event(Drv, Pid, {termsig, sigkill}).

reader_that_dies(Config) ->
    {Drv, Path} = drv_and_path(Config),
    [begin
         Pid = alcove_test:shell(Drv, Path, "read x; exit 4"),
         Outcomes = [try alcove:stdin(Drv, Pid, [N, "\n", binary:copy(<<"x">>, 1000000)])
                     catch error:badpid -> badpid end || N <- "123"],
         [?assert(lists:member(Outcome, [true, {error, epipe}, badpid])) || Outcome <- Outcomes],
         ok = alcove_test:event(Drv, Pid, {exit_status, 4})
     end || _ <- lists:seq(1, 20)].

%% A program's bytes are bytes, whatever they look like.
forged_replies_are_output(Config) ->
    {Drv, Path} = drv_and_path(Config),
    File = filename:join(alcove_test:tmp(Config), "forged"),
    Frame = <<12:32/little, 1, 1:32/little, 0:16, 1, 2, 3, 4, 5>>,
    Size = byte_size(Frame) * 10000,
    ok = file:write_file(File, binary:copy(Frame, 10000)),
    Pid = alcove_test:run(Drv, Path, ["cat", File]),
    Pids = [alcove:getpid(Drv, Path) || _ <- lists:seq(1, 1000)],
    ?assertEqual([lists:last(Path)], lists:usort(Pids)),
    {Output, {exit_status, 0}} = alcove_test:output(Drv, Pid),
    ?assertEqual(Size, byte_size(Output)),
    no_messages().

%% ---------------------------------------------------------------------------
%% Sizes
%% ---------------------------------------------------------------------------

large_environments(Config) ->
    {Drv, Path} = drv_and_path(Config),
    Variables = [list_to_binary(["V", integer_to_list(N), "=", integer_to_list(N * N)])
                 || N <- lists:seq(1, 5000)],
    ok = alcove:clearenv(Drv, Path),
    {ok, Oks} = alcove:batch(Drv, Path, [{setenv, [Name, Value, 1]}
                                         || Variable <- Variables,
                                            [Name, Value] <- [binary:split(Variable, <<"=">>)]]),
    ?assertEqual(5000, length(Oks)),
    ?assertEqual(lists:sort(Variables), lists:sort(alcove:environ(Drv, Path))),
    Expected = lists:sort(Variables),
    %% Inherited, and given to exec.
    Inherits = alcove_test:run(Drv, Path, ["/usr/bin/env"]),
    {Inherited, {exit_status, 0}} = alcove_test:output(Drv, Inherits),
    ?assertEqual(Expected, lists:sort(binary:split(Inherited, <<"\n">>, [global, trim]))),
    Given = alcove_test:fork(Drv, Path),
    ok = alcove:execve(Drv, Given, "/usr/bin/env", ["env"], Variables),
    {Output, {exit_status, 0}} = alcove_test:output(Drv, Given),
    ?assertEqual(Expected, lists:sort(binary:split(Output, <<"\n">>, [global, trim]))).

%% What the kernel takes arrives, what it doesn't is e2big.
the_kernels_limit(Config) ->
    {Drv, Path} = drv_and_path(Config),
    Word = binary:copy(<<"a">>, 131000),
    Echo = alcove_test:run(Drv, Path, ["/bin/echo", Word, Word, Word]),
    {Output, {exit_status, 0}} = alcove_test:output(Drv, Echo),
    ?assertEqual(<<Word/binary, " ", Word/binary, " ", Word/binary, "\n">>, Output),
    {error, e2big} = alcove:execvp(Drv, Path, "/bin/echo", ["echo", <<Word/binary, Word/binary>>]),
    ok = alcove:setenv(Drv, Path, "A", <<Word/binary, Word/binary>>, 1),
    {error, e2big} = alcove:execvp(Drv, Path, "/bin/echo", ["echo"]),
    ok = alcove:unsetenv(Drv, Path, "A"),
    {error, e2big} = alcove:execvp(Drv, Path, "/bin/echo", ["echo" | lists:duplicate(100, Word)]),
    Small = alcove_test:run(Drv, Path, ["/bin/echo", "x"]),
    {<<"x\n">>, {exit_status, 0}} = alcove_test:output(Drv, Small).

%% As much as one argument or reply may hold, exactly.
sixteen_megabytes(Config) ->
    {Drv, Path} = drv_and_path(Config),
    File = filename:join(alcove_test:tmp(Config), "file"),
    #{max_data := Max} = alcove_nif:limits(),
    ?assert(Max >= 16 * 1024 * 1024),
    Data = numbers(0, Max div 8),
    {ok, Fd} = alcove:open(Drv, Path, File, [o_rdwr, o_creat], 8#600),
    {ok, Max} = alcove:write(Drv, Path, Fd, Data),
    ok = alcove:lseek(Drv, Path, Fd, 0, seek_set),
    {ok, Data} = alcove:read(Drv, Path, Fd, Max),
    {ok, Data} = file:read_file(File),
    %% In bits and pieces.
    ok = alcove:lseek(Drv, Path, Fd, 0, seek_set),
    {ok, Max} = alcove:write(Drv, Path, Fd, [[Piece] || <<Piece:64/binary>> <= Data]),
    {ok, Data} = file:read_file(File),
    ok = alcove:setenv(Drv, Path, "A", binary:copy(<<"a">>, Max - 10), 1),
    ?assertEqual(Max - 10, byte_size(alcove:getenv(Drv, Path, "A"))).

beyond_the_cap(Config) ->
    {Drv, Path} = drv_and_path(Config),
    #{max_data := Max} = alcove_nif:limits(),
    Large = binary:copy(<<"a">>, Max + 1),
    [alcove_test:badarg(Fun)
     || Fun <- [fun() -> alcove:write(Drv, Path, 1, Large) end,
                fun() -> alcove:write(Drv, Path, 1, [Large, Large]) end,
                fun() -> alcove:setenv(Drv, Path, "A", Large, 1) end,
                fun() -> alcove:chdir(Drv, Path, Large) end,
                fun() -> alcove:read(Drv, Path, 0, Max + 1) end,
                fun() -> alcove:execvp(Drv, Path, "x", [Large]) end,
                %% Each fits, all of them don't.
                fun() -> alcove:execvp(Drv, Path, "x", [binary:part(Large, 0, Max div 2)
                                                        || _ <- lists:seq(1, 4)]) end,
                fun() -> alcove:batch(Drv, Path, [{write, [1, binary:part(Large, 0, Max - 1)]}
                                                  || _ <- lists:seq(1, 3)]) end]],
    Pid = lists:last(Path),
    Pid = alcove:getpid(Drv, Path),
    no_messages().

%% An answer that no frame can hold is an error of that call.
replies_beyond_the_cap(Config) ->
    {Drv, Path} = drv_and_path(Config),
    #{max_data := Max} = alcove_nif:limits(),
    Value = binary:copy(<<"a">>, Max - 100),
    ok = alcove:setenv(Drv, Path, "A", Value, 1),
    ok = alcove:setenv(Drv, Path, "B", Value, 1),
    {error, _} = alcove:environ(Drv, Path),
    {error, _} = alcove:batch(Drv, Path, [{getenv, ["A"]}, {getenv, ["B"]}]),
    Value = alcove:getenv(Drv, Path, "A"),
    Pid = lists:last(Path),
    Pid = alcove:getpid(Drv, Path).

%% A list in which a binary stands so often that no memory has room for all: refused like any that is
%% too large.
beyond_all_memory(_Config) ->
    Peer = alcove_test:peer(alcove_test:paths(), #{}),
    ok = alcove_test:in_peer(
           Peer,
           fun() ->
                   Drv = alcove_test:start(),
                   Path = alcove_test:fork(Drv, []),
                   Large = lists:duplicate(100000, binary:copy(<<"x">>, 64 * 1024 * 1024)),
                   [alcove_test:badarg(Fun)
                    || Data <- [Large, ["x" | Large], [[[], Large], "x"]],
                       Fun <- [fun() -> alcove:write(Drv, Path, 1, Data) end,
                               fun() -> alcove:batch(Drv, Path, [{write, [1, Data]}]) end,
                               fun() -> alcove:spawn(Drv, Path, fork, [{write, [1, Data]}]) end,
                               fun() -> alcove:chdir(Drv, Path, Data) end,
                               fun() -> alcove:execvp(Drv, Path, "true", ["true", Data]) end]],
                   #{max_data := Max} = alcove_nif:limits(),
                   {ok, Null} = alcove:open(Drv, Path, "/dev/null", [o_wronly], 0),
                   Most = [[binary:copy(<<"x">>, Max - 3), [$x | <<"x">>]], "x"],
                   {ok, Max} = alcove:write(Drv, Path, Null, Most),
                   alcove_test:badarg(fun() -> alcove:write(Drv, Path, Null, [Most, "x"]) end),
                   alcove_test:badarg(fun() -> alcove:write(Drv, Path, Null, [Most | "x"]) end),
                   alcove_test:stop(Drv)
           end),
    alcove_test:stop_peer(Peer).

%% The results of a list of calls fit in a frame with what is around them, or the call that is too
%% much fails.
results_at_the_cap(Config) ->
    {Drv, Path} = drv_and_path(Config),
    #{max_data := Data} = alcove_nif:limits(),
    Frame = Data + 1024 * 1024,
    {ok, Fd} = alcove:open(Drv, Path, "/dev/zero", [o_rdonly], 0),
    %% Each result takes ten bytes besides its own.
    Calls = fun(Left) -> [{read, [Fd, Data]}, {read, [Fd, Frame - Left - Data - 20]}] end,
    Fits = fun(Left) ->
                   case alcove:batch(Drv, Path, Calls(Left)) of
                       {ok, Results} ->
                           ?assertEqual(Frame - Left - 20, lists:sum([byte_size(Bytes) || {ok, Bytes} <- Results])),
                           true;
                       {error, {2, read, emsgsize}} ->
                           false
                   end
           end,
    [true, true, false | _] = Fitting = [Fits(Left) || Left <- lists:seq(16, -1, -1)],
    ?assertNot(lists:member(true, lists:nthtail(2, Fitting))),
    [{error, {2, read, emsgsize}} = alcove:spawn(Drv, Path, fork, Calls(Left)) || Left <- [14, 8, 0, -1]],
    %% What is sent before an exec has less around it.
    [{error, {2, read, emsgsize}} =
         alcove:spawn(Drv, Path, fork, Calls(Left) ++ [{execvp, ["true", ["true"]]}]) || Left <- [14, 10, 9, 0]],
    true = alcove_test:until(fun() -> alcove:cpid(Drv, Path) =:= [] end),
    Pid = lists:last(Path),
    Pid = alcove:getpid(Drv, Path).

%% ---------------------------------------------------------------------------
%% Numbers
%% ---------------------------------------------------------------------------

fork_chain_of_16(Config) ->
    {Drv, Path} = drv_and_path(Config),
    Deepest = alcove_test:chain(Drv, Path, 15),
    16 = length(Deepest),
    ?assertEqual(lists:last(Deepest), alcove:getpid(Drv, Deepest)),
    {error, eagain} = alcove:fork(Drv, Deepest),
    {error, eagain} = alcove:clone(Drv, Deepest, 0),
    {error, eagain} = alcove:spawn(Drv, Deepest, fork, []),
    {ok, _} = alcove:fork(Drv, lists:droplast(Deepest)).

fork_chain_of_64(_Config) ->
    Drv = alcove_test:start([{maxforkdepth, 64}, {exit_status, true}]),
    Deepest = alcove_test:chain(Drv, [], 64),
    ?assertEqual(lists:last(Deepest), alcove:getpid(Drv, Deepest)),
    {error, eagain} = alcove:fork(Drv, Deepest),
    %% Each knows its way.
    [?assertEqual(lists:last(Path), alcove:getpid(Drv, Path))
     || N <- lists:seq(1, 64), Path <- [lists:sublist(Deepest, N)]],
    Cat = lists:sublist(Deepest, 63),
    ok = alcove:exit(Drv, Deepest, 9),
    ok = alcove_test:event(Drv, Deepest, {exit_status, 9}),
    ok = alcove:execvp(Drv, Cat, "cat", ["cat"]),
    true = alcove:stdin(Drv, Cat, "deep"),
    <<"deep">> = alcove_test:collect(Drv, Cat, 4).

a_thousand_children(_Config) ->
    alcove_test:need(
      [{nofile, 5000}],
      fun() ->
              Drv = alcove_test:start([{maxchild, 1000}, {exit_status, true}, {termsig, true}]),
              Path = alcove_test:fork(Drv, []),
              Children = [alcove_test:fork(Drv, Path) || _ <- lists:seq(1, 1000)],
              {error, eagain} = alcove:fork(Drv, Path),
              ?assertEqual(1000, length(alcove:pid(Drv, Path))),
              [?assertEqual(lists:last(Child), alcove:getpid(Drv, Child)) || Child <- Children],
              [ok = alcove:exit(Drv, Child, 1) || Child <- Children],
              [ok = alcove_test:event(Drv, Child, {exit_status, 1}) || Child <- Children],
              [] = alcove:pid(Drv, Path),
              {ok, _} = alcove:fork(Drv, Path)
      end).

four_thousand_processes(_Config) ->
    alcove_test:need(
      [{nofile, 17000}],
      fun() ->
              Drv = alcove_test:start([{maxchild, 1000}, {termsig, true}]),
              Branches = [alcove_test:fork(Drv, []) || _ <- lists:seq(1, 4)],
              Leaves = lists:append(
                         at_once([fun() -> [alcove_test:fork(Drv, Branch) || _ <- lists:seq(1, 1000)] end
                                  || Branch <- Branches])),
              ?assertEqual(4000, length(lists:usort(Leaves))),
              at_once([fun() ->
                               [?assertEqual(lists:last(Leaf), alcove:getpid(Drv, Leaf))
                                || Leaf <- Leaves, lists:prefix(Branch, Leaf)]
                       end || Branch <- Branches]),
              %% The virtual machine has descriptors for its own affairs.
              {ok, Socket} = gen_tcp:listen(0, []),
              ok = gen_tcp:close(Socket),
              Root = alcove:getpid(Drv),
              %% So many may take a busy machine more than the five seconds that are waited for.
              case alcove_drv:stop(Drv) of
                  ok -> ?assertNot(alcove_test:alive(Root));
                  {error, {leftovers, _}} -> ok
              end,
              ?assert(alcove_test:until(fun() ->
                  not lists:any(fun alcove_test:alive/1, [Root | [lists:last(Leaf) || Leaf <- Leaves]])
              end))
      end).

%% A virtual machine with few descriptors: a fork that finds none is an error of
%% that fork, and of nothing else.
out_of_descriptors(_Config) ->
    alcove_test:with_descriptors(256, fun ?MODULE:until_emfile/0),
    alcove_test:with_descriptors(256, 512, fun ?MODULE:until_emfile/0).

until_emfile() ->
    {ok, Listen} = gen_tcp:listen(0, [{ip, {127, 0, 0, 1}}, binary, {active, false}]),
    {ok, Port} = inet:port(Listen),
    Drv = alcove_test:start([{exit_status, true}]),
    Branches = [alcove_test:fork(Drv, []) || _ <- lists:seq(1, 10)],
    {Paths, Reason} = fork_all(Drv, Branches, []),
    emfile = Reason,
    %% Some tens fit: it is neither refused early nor at the cost of others.
    true = length(Paths) + 10 > 30,
    [{error, emfile} = alcove:fork(Drv, Branch) || Branch <- Branches, _ <- lists:seq(1, 20)],
    {error, emfile} = alcove:spawn(Drv, hd(Branches), fork, []),
    {error, emfile} = alcove:clone(Drv, hd(Branches), 0),
    %% Of a list nothing is done.
    {error, {1, chdir, emfile}} = alcove:batch(Drv, hd(Branches), [{chdir, ["/"]}, {fork, []}, {fork, []}]),
    {ok, Directory} = alcove:getcwd(Drv, lists:last(Branches)),
    {ok, Directory} = alcove:getcwd(Drv, hd(Branches)),
    no_messages(),
    %% The listening socket still takes connections, files can be opened.
    {ok, Client} = gen_tcp:connect({127, 0, 0, 1}, Port, [binary, {active, false}]),
    {ok, Server} = gen_tcp:accept(Listen, alcove_test:ms(5000)),
    ok = gen_tcp:send(Client, "hello"),
    {ok, <<"hello">>} = gen_tcp:recv(Server, 5, alcove_test:ms(5000)),
    {ok, _} = file:read_file("/proc/self/status"),
    %% Those that are there go on, and an end makes room.
    [true = lists:last(Path) =:= alcove:getpid(Drv, Path) || Path <- Paths ++ Branches],
    ok = alcove:exit(Drv, hd(Paths), 0),
    ok = alcove_test:event(Drv, hd(Paths), {exit_status, 0}),
    %% Another thread closes the channels of the process, a moment after its end was told.
    true = alcove_test:until(fun() ->
                                     case alcove:fork(Drv, hd(Branches)) of
                                         {ok, Child} -> self() ! {room, Child}, true;
                                         {error, emfile} -> false
                                     end
                             end),
    Pid = receive {room, Room} -> Room end,
    Pid = alcove:getpid(Drv, hd(Branches) ++ [Pid]),
    {error, emfile} = alcove:fork(Drv, hd(Branches)),
    %% Nobody that the parent doesn't know of is left of the forks that failed.
    true = alcove_test:until(fun() ->
                                     length(alcove_test:descendants(alcove:getpid(Drv)))
                                         =:= length(Paths) + length(Branches)
                             end),
    ok = alcove_test:stop(Drv).

fork_all(Drv, [Branch | Branches], Paths) ->
    case alcove:fork(Drv, Branch) of
        {ok, Pid} -> fork_all(Drv, Branches ++ [Branch], [Branch ++ [Pid] | Paths]);
        {error, Reason} -> {Paths, Reason}
    end.

%% ---------------------------------------------------------------------------
%% Many callers
%% ---------------------------------------------------------------------------

callers_on_one_process(Config) ->
    {Drv, Path} = drv_and_path(Config),
    at_once([fun() -> own_variable(Drv, Path, N, 300) end || N <- lists:seq(1, 16)]),
    no_messages().

%% Everybody's answers are their own.
own_variable(Drv, Path, N, Count) ->
    Name = "V" ++ integer_to_list(N),
    [begin
         Value = integer_to_binary(N * 1000000 + M),
         ok = alcove:setenv(Drv, Path, Name, Value, 1),
         Value = alcove:getenv(Drv, Path, Name),
         case M rem 50 of
             0 ->
                 Large = binary:copy(Value, 20000),
                 ok = alcove:setenv(Drv, Path, Name, Large, 1),
                 Large = alcove:getenv(Drv, Path, Name);
             _ -> ok
         end
     end || M <- lists:seq(1, Count)].

callers_on_many_processes(Config) ->
    {Drv, Path} = drv_and_path(Config),
    Paths = [alcove_test:fork(Drv, Path) || _ <- lists:seq(1, 100)],
    at_once([fun() -> own_variable(Drv, Child, N, 50) end
             || {N, Child} <- lists:zip(lists:seq(1, 100), Paths)]),
    %% Forks from many sides.
    Below = at_once([fun() -> alcove_test:fork(Drv, Child) end || Child <- Paths]),
    [?assertEqual(lists:last(Child), alcove:getpid(Drv, Child)) || Child <- Below],
    no_messages().

callers_that_are_killed(Config) ->
    {Drv, Path} = drv_and_path(Config),
    Loop = fun Loop() -> own_variable(Drv, Path, erlang:unique_integer([positive]) rem 100, 10), Loop() end,
    [begin
         Callers = [spawn(Loop) || _ <- lists:seq(1, 8)],
         own_variable(Drv, Path, 1000, 20),
         [exit(Caller, kill) || Caller <- Callers]
     end || _ <- lists:seq(1, 20)],
    own_variable(Drv, Path, 1001, 20),
    no_messages().

%% In a virtual machine of its own, which has to survive it.
purge_and_reload(_Config) ->
    Peer = alcove_test:peer(alcove_test:paths(), #{}),
    ok = alcove_test:in_peer(Peer, fun ?MODULE:reload/0),
    alcove_test:stop_peer(Peer).

reload() ->
    Drv = alcove_test:start([{exit_status, true}]),
    Path = alcove_test:fork(Drv, []),
    Pid = lists:last(Path),
    Loop = fun Loop() -> Pid = alcove:getpid(Drv, Path), Loop() end,
    Callers = [spawn_monitor(Loop) || _ <- lists:seq(1, 8)],
    Blocked = spawn_monitor(fun() ->
                                    Other = alcove_test:fork(Drv, []),
                                    {ok, [0], [], []} = alcove:select(Drv, Other, [0], [], [], <<>>)
                            end),
    [begin
         %% code:purge/1 kills who is in the old code, and a call that many make at once may be in it
         %% on a dirty scheduler.
         true = alcove_test:until(fun() -> code:soft_purge(alcove_nif) end),
         {module, alcove_nif} = code:load_file(alcove_nif),
         true = alcove_test:until(fun() -> code:soft_purge(alcove_nif) end),
         Pid = alcove:getpid(Drv, Path),
         Child = alcove_test:shell(Drv, Path, "echo x; exit 3"),
         {<<"x\n">>, {exit_status, 3}} = alcove_test:output(Drv, Child)
     end || _ <- lists:seq(1, 20)],
    Second = alcove_test:start(),
    true = is_integer(alcove:getpid(Second)),
    %% Not one call failed.
    [begin
         receive {'DOWN', Ref, process, Caller, Reason} -> error({caller, Reason}) after 0 -> ok end,
         demonitor(Ref, [flush]),
         exit(Caller, kill)
     end || {Caller, Ref} <- [Blocked | Callers]],
    ok = alcove_test:stop(Drv),
    ok = alcove_test:stop(Second).

%% ---------------------------------------------------------------------------
%% Violence
%% ---------------------------------------------------------------------------

%% Programs that do what can be done to get away: their own sessions, orphans,
%% signals ignored, stopped. The fork paths of a few event loops as well.
hard_to_kill(Drv, Path) ->
    Scripts = ["exec sleep 1000",
               "exec setsid sleep 1000",
               "(setsid sleep 1000 &); exec sleep 1000",
               "setsid sh -c 'sleep 1000 & sleep 1000 & exit' & exit 0",
               "trap '' TERM HUP INT QUIT; sleep 1000 & wait",
               "trap '' TERM; setsid sh -c 'trap \"\" TERM; sleep 1000 & kill -STOP $$' & wait",
               "kill -STOP $$"],
    [alcove_test:shell(Drv, Where, Script)
     || Where <- [Path, alcove_test:chain(Drv, Path, 3)], Script <- Scripts, _ <- [1, 2, 3]].

%% Waits until they have all got as far as they are going to.
settled(Root, Least) ->
    true = alcove_test:until(fun() ->
                                     First = alcove_test:descendants(Root),
                                     receive after 100 -> ok end,
                                     length(First) >= Least
                                         andalso lists:sort(alcove_test:descendants(Root)) =:= lists:sort(First)
                             end),
    alcove_test:descendants(Root).

gone(Pids) ->
    _ = alcove_test:until(fun() -> not lists:any(fun alcove_test:alive/1, Pids) end, alcove_test:ms(1000)),
    ?assertEqual([], [os:cmd(lists:concat(["ps -o pid,ppid,pgid,sid,stat,args -p ", Pid, " | tail -1"]))
                      || Pid <- Pids, alcove_test:alive(Pid)]).

leaf_is_killed(Config) ->
    {Drv, Path} = drv_and_path(Config),
    Leaf = alcove_test:chain(Drv, Path, 4),
    Sibling = alcove_test:fork(Drv, lists:droplast(Leaf)),
    _ = alcove_test:signal(lists:last(Leaf), "KILL"),
    ok = alcove_test:event(Drv, Leaf, {termsig, sigkill}),
    alcove_test:badpid(fun() -> alcove:getpid(Drv, Leaf) end),
    ?assertEqual(lists:last(Sibling), alcove:getpid(Drv, Sibling)),
    no_messages().

middle_is_killed(Config) ->
    {Drv, Path} = drv_and_path(Config),
    Middle = alcove_test:fork(Drv, Path),
    Below = alcove_test:chain(Drv, Middle, 3),
    Programs = [alcove_test:shell(Drv, Where, Script)
                || Where <- [Middle, Below],
                   Script <- ["exec sleep 1000", "exec setsid sleep 1000", "trap '' TERM; kill -STOP $$"]],
    Pids = settled(lists:last(Middle), 9),
    Sibling = alcove_test:fork(Drv, Path),
    _ = alcove_test:signal(lists:last(Middle), "KILL"),
    ok = alcove_test:event(Drv, Middle, {termsig, sigkill}),
    gone(Pids),
    [alcove_test:badpid(fun() -> alcove:getpid(Drv, P) end) || P <- [Middle, Below | Programs]],
    %% The rest of the tree is as it was.
    ?assertEqual(lists:last(Sibling), alcove:getpid(Drv, Sibling)),
    [Sib] = alcove:pid(Drv, Path),
    ?assertEqual(lists:last(Sibling), Sib).

root_is_killed(Config) ->
    {Drv, Path} = drv_and_path(Config),
    Root = alcove:getpid(Drv),
    _ = hard_to_kill(Drv, Path),
    Pids = settled(Root, 50),
    Ref = monitor(process, Drv),
    _ = alcove_test:signal(Root, "KILL"),
    receive
        {'DOWN', Ref, process, Drv, Reason} -> ?assertEqual({termsig, sigkill}, Reason)
    after alcove_test:ms(5000) -> ct:fail(drv_lives)
    end,
    %% When Drv has ended there is nothing left.
    ?assertEqual([], [Pid || Pid <- [Root | Pids], alcove_test:alive(Pid)]).

guardian_is_killed(Config) ->
    {Drv, Path} = drv_and_path(Config),
    Root = alcove:getpid(Drv),
    _ = hard_to_kill(Drv, Path),
    Pids = settled(Root, 50),
    Ref = monitor(process, Drv),
    _ = alcove_test:signal(alcove_test:parent(Root), "KILL"),
    gone([Root | Pids]),
    receive {'DOWN', Ref, process, Drv, _} -> ok after alcove_test:ms(5000) -> ct:fail(drv_lives) end.

%% Starts a Drv with many processes in another virtual machine. All their pids.
crowd() ->
    Self = self(),
    spawn(fun() ->
                  Drv = alcove_test:start(),
                  _ = hard_to_kill(Drv, alcove_test:fork(Drv, [])),
                  Guardian = alcove_test:parent(alcove:getpid(Drv)),
                  Self ! {pids, [Guardian | settled(Guardian, 50)]},
                  receive after infinity -> ok end
          end),
    receive {pids, Pids} -> Pids after alcove_test:ms(20000) -> error(timeout) end.

virtual_machine_is_killed(_Config) ->
    Peer = alcove_test:peer(alcove_test:paths(), #{peer_down => continue}),
    Vm = alcove_test:in_peer(Peer, fun alcove_test:ospid/0),
    Pids = alcove_test:in_peer(Peer, fun ?MODULE:crowd/0),
    ?assert(length(Pids) > 50),
    ?assert(lists:all(fun alcove_test:alive/1, Pids)),
    _ = alcove_test:signal(Vm, "KILL"),
    gone(Pids).

virtual_machine_halts(_Config) ->
    Peer = alcove_test:peer(alcove_test:paths(), #{}),
    Pids = alcove_test:in_peer(Peer, fun ?MODULE:crowd/0),
    alcove_test:stop_peer(Peer),
    gone(Pids).
