%% @doc Programs, as people run them every day, and the tree as people look at it.
-module(alcove_use_SUITE).

-include_lib("stdlib/include/assert.hrl").

-export([suite/0, all/0, groups/0, init_per_suite/1, end_per_suite/1,
         init_per_testcase/2, end_per_testcase/2]).
%% runs
-export([what_it_wrote/1, statuses/1, errors_say_what_failed/1, wrong_options/1, secrets/1, secrets_of_children/1, children_of_another_node/1, usage/1, stdin_of_any_size/1,
         long_argv/1, no_input_is_eof/1, deadline/1, deadline_of_a_start/1, end_beside_a_stopped_parent/1,
         deadline_kills_all/1, output_limit/1, truncated/1,
         caller_traps_exits/1, caller_ends/1, many_and_one_hangs/1, nothing_is_left/1, leftovers_are_left/1,
         options_of_the_drv/1, stray_messages/1, drv_ends/1, parent_is_killed/1, a_drv_of_its_own/1,
         another_node/1]).
%% options
-export([environment/1, files/1, merged_and_discarded/1, functions/1, directories/1, users/1, users_by_number/1, users_who_are_so/1,
         capabilities/1, limits/1, policy/1, chrooted/1, namespaces/1, setup_calls/1, control_group/1,
         control_group_out_of_memory/1, control_group_with_a_name/1, strings/1]).
%% streams
-export([push/1, active_modes/1, lazy/1, held_while_reading_stdin/1, eof_while_output_goes_on/1, owner_is_behind/1,
         read_times_out/1, closed_stdin/1, controlling_process/1, owner_that_reads_nothing/1, shut_down/1,
          terminal/1, terminal_size/1, terminal_modes/1, long_lines_of_a_terminal/1, terminal_at_length/1,
         terminal_is_lazy/1, write_times_out/1, read_some/1, closed_output/1]).
%% lines
-export([lines/1, long_lines/1, active_lines/1, lines_of_an_owner_that_is_behind/1, lines_of_another_node/1, folds/1,
         functions_that_fail/1, logged_lines/1, console/1]).
%% processes
-export([exit_reasons/1, quiet/1, wrong_arguments/1, stopped/1, owner_ends/1, killed/1, supervised/1, signals/1, looked_at/1,
         names/1, names_of_another_node/1, tags/1, awaited_and_killed/1, outcomes/1]).
%% tree
-export([tree/1, pictures/1, explanations/1, exceptions/1, events/1, out_of_memory_is_an_event/1,
         events_of_processes/1, unknown_ends/1, slow_handlers/1, logged/1]).
%% docs
-export([guide/1, coming_from/1, troubleshooting/1]).

%% Callbacks of a supervisor and of logger.
-export([init/1, log/2]).

suite() ->
    alcove_test:suite().

all() ->
    [{group, Group} || {Group, _, _} <- groups()].

groups() ->
    [{runs, [], [what_it_wrote, statuses, errors_say_what_failed, wrong_options, secrets, secrets_of_children, children_of_another_node, usage, stdin_of_any_size,
                 long_argv, no_input_is_eof, deadline, deadline_of_a_start,
                 end_beside_a_stopped_parent, deadline_kills_all, output_limit, truncated,
                 caller_traps_exits, caller_ends, many_and_one_hangs, nothing_is_left, leftovers_are_left,
                 options_of_the_drv, stray_messages, drv_ends, parent_is_killed, a_drv_of_its_own, another_node]},
     {options, [], [environment, files, merged_and_discarded, functions, directories, users, users_by_number, users_who_are_so,
                    capabilities, limits, policy, chrooted, namespaces, setup_calls, control_group,
                    control_group_out_of_memory, control_group_with_a_name, strings]},
     {streams, [], [push, active_modes, lazy, held_while_reading_stdin, eof_while_output_goes_on, owner_is_behind,
                    read_times_out, closed_stdin, controlling_process, owner_that_reads_nothing, shut_down,
                     terminal, terminal_modes, long_lines_of_a_terminal, terminal_size,
                    terminal_at_length, terminal_is_lazy, write_times_out, read_some,
                    closed_output]},
     {lines, [], [lines, long_lines, active_lines, lines_of_an_owner_that_is_behind, lines_of_another_node, folds,
                  functions_that_fail, logged_lines, console]},
     {processes, [], [exit_reasons, quiet, wrong_arguments, stopped, owner_ends, killed, supervised, signals, looked_at,
                       names, names_of_another_node, tags, awaited_and_killed, outcomes]},
     {tree, [], [tree, pictures, explanations, exceptions, events,
                  out_of_memory_is_an_event, events_of_processes, unknown_ends, slow_handlers, logged]},
     {docs, [], [guide, coming_from, troubleshooting]}].

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

%% A file that the case's program may write to, whoever it is.
path(Config, Name) ->
    filename:join(alcove_test:tmp(Config), Name).

number(Text) ->
    binary_to_integer(string:trim(Text)).

%% Nothing of the Drv is there but root; what has ended may be waited for still.
bare(Drv) ->
    Living = fun() ->
        #{children := Children} = alcove:tree(Drv),
        [Child || #{run_state := Run, state := State} = Child <- Children, Run =/= <<"Z">>, State =/= exited]
    end,
    ?assertEqual([], Living()),
    true = alcove_test:until(fun() -> maps:get(children, alcove:tree(Drv)) =:= [] end).

bare_soon(Drv) ->
    true = alcove_test:until(fun() -> maps:get(children, alcove:tree(Drv)) =:= [] end).

%% ---------------------------------------------------------------------------
%% Runs
%% ---------------------------------------------------------------------------

what_it_wrote(Config) ->
    Drv = drv(Config),
    ?assertMatch({ok, #{status := 0, stdout := <<"hi\n">>, stderr := <<>>}}, alcove_proc:run(Drv, ["echo", "hi"])),
    ?assertMatch({ok, #{stdout := <<"out\n">>, stderr := <<"err\n">>}},
                 alcove_proc:run(Drv, sh("echo out; echo err >&2"))),
    {ok, #{stdout := Much}} = alcove_proc:run(Drv, sh("yes | head -c 5000000")),
    ?assertEqual(5000000, byte_size(Much)),
    bare(Drv).

statuses(Config) ->
    Drv = drv(Config),
    [?assertMatch({N, {ok, #{status := N}}}, {N, alcove_proc:run(Drv, sh(["exit ", integer_to_list(N)]))})
     || N <- [0, 1, 127, 255]],
    ?assertMatch({ok, #{status := {termsig, sigkill}}}, alcove_proc:run(Drv, sh("kill -9 $$"))).

errors_say_what_failed(Config) ->
    Drv = drv(Config),
    Run = fun(Options) -> alcove_proc:run(Drv, ["true"], Options) end,
    ?assertEqual({error, {execvp, enoent}}, alcove_proc:run(Drv, ["/nowhere/to/be/found"])),
    ?assertEqual({error, {execvp, eacces}}, alcove_proc:run(Drv, ["/etc/passwd"])),
    ?assertEqual({error, {chdir, enoent}}, Run([{cwd, "/nowhere"}])),
    ?assertEqual({error, {open, enoent}}, Run([{stdout, {file, "/nowhere/file"}}])),
    ?assertEqual({error, {open, enoent}}, Run([{stdin, {file, "/nowhere/file"}}])),
    ?assertEqual({error, {user, {unknown, <<"nobody at all">>}}}, Run([{user, "nobody at all"}])),
    ?assertEqual({error, {group, {unknown, <<"none">>}}}, Run([{group, "none"}])),
    ?assertEqual({error, {setup, {1, mkdir, eexist}}}, Run([{setup, [{mkdir, ["/", 8#755]}]}])),
    ?assertEqual({error, {setup, {1, mkdir, badarg}}}, Run([{setup, [{mkdir, [nothing, 8#755]}]}])),
    ?assertEqual({error, {in, badpid}}, Run([{in, [1]}])),
    ?assertEqual({error, {execvp, enoent}}, alcove_proc:start(Drv, ["/nowhere/to/be/found"])),
    ?assertEqual({error, {execvp, enoent}}, alcove_proc:start_link(Drv, ["/nowhere/to/be/found"])),
    bare(Drv).

wrong_options(Config) ->
    Drv = drv(Config),
    Wrong = fun(Told, Option) ->
        ?assertError({badarg, Told}, alcove_proc:run(Drv, ["true"], [Option])),
        ?assertError({badarg, Told}, alcove_proc:start(Drv, ["true"], [Option]))
    end,
    [Wrong(Option, Option)
     || Option <- [{no_such, 1}, {cwd, 1}, {cwd, "a\0b"}, {user, -1}, {user, 16#ffffffff}, {user, ""},
                   {rlimits, [{no_such, 1}]}, {nice, 20}, {namespaces, [no_such]}, {timeout, -1},
                   {stdout, nowhere}, {stdout, {file, "x", [no]}}, {pty, {0, 1}}, {active, 0},
                   {owner, nobody_of_this_name}, {stop_signal, nothing}, {stop_signal, 65}, {stop_signal, -1}, {cgroup, #{no_such => 1}},
                   {cgroup, #{pids => many}}, {cgroup, {"../x", #{}}}, {cgroup, {"/", #{}}}]],
    %% What is wrong within an option, without what isn't, and without what may be a secret.
    [Wrong(Told, Option)
     || {Told, Option} <- [
            {{rlimits, #{mem => 10}}, {rlimits, #{nofile => 10, mem => 10}}},
            {{rlimits, [{cpu, many}]}, {rlimits, [{nofile, 10}, {cpu, many}]}},
            {{cgroup, #{memry => 10}}, {cgroup, #{pids => 10, memry => 10}}},
            {{cgroup, {"x", #{memry => 10}}}, {cgroup, {"x", #{pids => 10, memry => 10}}}},
            {{cgroup, no_map}, {cgroup, 1}},
            {{namespaces, [no_such]}, {namespaces, [newuts, no_such]}},
            {{groups, [-1]}, {groups, [0, -1]}},
            {{cpus, [x]}, {cpus, [0, x]}},
            {{setup, {1, no_call}}, {setup, [x]}},
            {{setup, {2, no_such}}, {setup, [{chdir, ["/"]}, {no_such, []}]}},
            %% The process is there to run the program.
            {{setup, {1, exit, program}}, {setup, [{exit, [0]}]}},
            {{setup, {2, execvp, program}}, {setup, [{chdir, ["/"]}, {execvp, ["id", ["id"]]}]}},
            {{setup, {1, execve, program}}, {setup, [{execve, ["/bin/id", ["id"], []]}]}},
            {{setup, {1, fexecve, program}}, {setup, [{fexecve, [3, ["id"], []]}]}},
            {{setup, {1, fork, program}}, {setup, [{fork, []}]}},
            {{setup, {1, clone, program}}, {setup, [{clone, [0]}]}},
            {{setup, {3, chdir}}, {setup, [{chdir, ["/"]}, {chdir, ["/"]}, {chdir, []}]}},
            {{seccomp, {unknown_syscall, [no_such]}},
             {seccomp, #{default => allow, rules => [read, no_such]}}},
            {{seccomp, program}, {seccomp, <<"abc">>}},
            {{env, "A=B"}, {env, [{"C", "secret"}, {"A=B", "secret"}]}},
            {{env, "A"}, {env, #{"A" => secret}}},
            {{env, {element, 2}}, {env, [{"C", "secret"}, "A=secret"]}},
            {{environment, '#{...}'}, {environment, #{"A" => "secret"}}},
            {{stdin, '[...]'}, {stdin, [secret]}}
        ]],
    ?assertError({badarg, {seccomp, {part, _}}}, alcove_proc:run(Drv, ["true"], #{seccomp => #{}})),
    ?assertError({badarg, {drv, {start, {env, "A=B"}}}},
                 alcove_proc:run({start, [{env, [{"A=B", "secret"}]}]}, ["true"])),
    ?assertError({badarg, {options, '[...]'}}, alcove_proc:run(Drv, ["true"], [["secret"]])),
    ?assertError({badarg, {argv, _}}, alcove_proc:run(Drv, [])),
    ?assertError({badarg, {argv, _}}, alcove_proc:run(Drv, "ls -l")),
    ?assertError({badarg, {argv, _}}, alcove_proc:run(Drv, <<"ls -l">>)),
    ?assertError({badarg, {argv, _}}, alcove_proc:run(Drv, ["a", "b\0c"])),
    ?assertError({badarg, {drv, _}}, alcove_proc:run(nobody_of_this_name, ["true"])),
    ?assertError({badarg, _}, alcove_proc:run(Drv, ["true"], [{pty, true}, {stdout, {file, "x"}}])),
    try
        alcove_proc:run(Drv, ["true"], #{nice => 99})
    catch
        error:Reason:Stack ->
            #{3 := Text} = alcove_errors:format_error(Reason, Stack),
            ?assertMatch({match, _}, re:run(Text, "nice,99.*-20 to 19"))
    end,
    %% What to write instead is said also where nobody explains errors.
    try
        alcove_proc:run(Drv, "cat secret", #{env => #{"A" => "secret"}})
    catch
        error:{badarg, {argv, Said}} = Argv:Trace ->
            #{2 := Said} = alcove_errors:format_error(Argv, Trace),
            ?assertMatch({match, _}, re:run(Said, "a list.*\"sh\", \"-c\"")),
            ?assertEqual(nomatch, re:run(io_lib:format("~0p", [{Argv, Trace}]), "secret"))
    end,
    bare(Drv).

%% What an exception tells is never an argument of a program or a variable, whatever was called with
%% whatever: each function that takes such, with what is right, nearly right and in the wrong place.
secrets(Config) ->
    Drv = drv(Config),
    Argv = ["true", "--password=hunter2"],
    Env = #{"SECRET" => "hunter2"},
    Wrong = #{env => Env, nonsense => 1},
    Terms = [
        Drv, no_such_drv, Argv, ["true", "--password=hunter2" | end_of_list], "true --password=hunter2",
        [{"A", "1"}, ["true", "hunter2"]], <<"hunter2">>, Wrong, maps:to_list(Wrong), [{env, Env} | nonsense],
        #{env => [{"SECRET", "hunter2"}, {"A=B", "hunter2"}]}, #{environment => Env}, #{stdin => [hunter2]},
        {Drv, Argv, Wrong}, {Argv, Wrong}, {start, [{env, Env}, nonsense]}, {start, maps:to_list(Wrong)}, {"/nowhere", Wrong},
        #{drv => Drv, argv => Argv, options => Wrong, spec => Wrong}, #{argv => Argv, options => Wrong},
        #{name => ?MODULE, drv => {start, [{env, Env}, nonsense]}}, #{name => ?MODULE, drv => {strt, [{env, Env}]}},
        #{mounts => [{file, "/x", "hunter2", 0, 0}]}, #{mounts => [{file, "/x", [hunter2]} | x]}, fun(_) -> ok end
    ],
    %% What a program, or a child specification, is no argument of; and what isn't for users.
    Others = #{
        alcove_proc => [write, eof, close, read, fold, active, await, signal, stop, winsize, info,
                        controlling_process, attach],
        alcove_sandbox => [],
        alcove_pool => [drain, info, members, init, handle_call, handle_cast, handle_info, terminate, format_status],
        alcove_drv => [stop, controlling_process, info, default, locate, inherited, answer, kind, groups, init,
                       handle_call, handle_cast, handle_info, terminate, format_status]
    },
    Called = [
        told(Module, Function, Args)
     || {Module, Not} <- maps:to_list(Others),
        {Function, Arity} <- Module:module_info(exports),
        {Function, Arity} =/= {start_child, 1},
        Arity > 0,
        not lists:member(Function, [module_info | Not]),
        Args <- combinations(Arity, [Drv, Argv, Wrong], Terms)
    ],
    %% Most are wrong.
    ?assert(length([raised || raised <- Called]) > length(Called) div 2),
    %% The calls, and what is nearly one.
    Vector = ["true", "--password=hunter2" | x],
    [raised = told(alcove, Function, Args)
     || {Function, Args} <- [
            {execvp, [Drv, [], "true", Vector]}, {execvp, [Drv, "true", Vector]},
            {execve, [Drv, [], a, Argv, ["SECRET=hunter2"]]}, {fexecve, [Drv, [], a, Argv, ["SECRET=hunter2"]]},
            {setenv, [Drv, [], "SECRET", "hunter2", a]}, {call, [Drv, [], execvp, ["true", Vector]]},
            {call, [Drv, execve, [a, Argv, ["SECRET=hunter2"]]]}, {call, [Drv, [], "execve", [a, Argv, Argv]]},
            {call, [Drv, [], exceve, ["true", Argv, Argv], 1000]}, {batch, [Drv, [], [{exceve, ["true", Argv, Argv]}]]},
            {batch, [Drv, [{getpid, []}, {setenv, ["A", "hunter2", a]}]]}, {batch, [Drv, [], Argv]},
            {spawn, [Drv, [], fork, [{execvp, ["true", Vector]}]]}, {spawn, [Drv, nothing, [{getpid, []}, {execvp, Argv}]]}
        ]],
    %% A sandbox says which part of which argument is wrong.
    Whys = fun(Function, Args) ->
        try apply(alcove_sandbox, Function, Args) of
            Done -> ct:fail(Done)
        catch
            error:{badarg, Part}:Trace -> {Part, alcove_errors:format_error({badarg, Part}, Trace)}
        end
    end,
    [begin
         {Part, #{Position := Text}} = Whys(Function, Args),
         ?assertMatch({match, _}, re:run(Text, Pattern))
     end || {Function, Args, Position, Part, Pattern} <- [
                {run, [Drv, Argv, #{limits => #{memory => -1}}], 3, {limits, {memory, -1}}, "part of a sandbox.*memory,-1"},
                {start_link, [Drv, Argv, #{lines => 0}], 3, {lines, 0}, "lines,0.*longest line"},
                {explain, [Drv, #{user => 0}], 2, {user, 0}, "user,0"},
                {run, [{start, [{env, Env}]}, Argv, #{}], 1, {drv, {start, '[...]'}}, "not a Drv"},
                {run, [no_such_drv, Argv, #{}], 1, {drv, no_such_drv}, "not a Drv.*no_such_drv"},
                {child_spec, [#{argv => Argv}], 1, {drv, missing}, "not a Drv.*missing"}]],
    {{argv, _}, #{2 := _}} = Whys(run, [Drv, "true hunter2", #{}]),
    %% A supervisor tries again when a name isn't there.
    [{error, {badarg, {drv, no_such_drv}}} = apply(Module, Function, Args)
     || #{start := {Module, Function, Args}} <- [alcove_sandbox:child_spec(#{drv => no_such_drv, argv => Argv}),
                                                 alcove_proc:child_spec(#{drv => no_such_drv, argv => Argv})]],
    %% What takes no such thing tells its arguments.
    ?assertError(badarg, alcove:chmod(Drv, [], "/tmp", a)),
    [?assertMatch([{alcove, _, [Drv | _], _} | _],
                  try apply(alcove, Function, Args) catch error:_:Stack -> Stack end)
     || {Function, Args} <- [{chmod, [Drv, [], "/tmp", a]}, {call, [Drv, [], chmod, ["/tmp", a]]}, {define, [Drv, [], "x"]},
                             {batch, [Drv, [], [{getpid, []}, {chdir, [a]}]]}]],
    bare(Drv).

%% Any term in one place, and in the others those that could be right.
combinations(Arity, Right, Terms) ->
    lists:usort([Args || N <- lists:seq(1, Arity), Args <- places(Arity, N, Right, Terms)]).

places(0, _N, _Right, _Terms) -> [[]];
places(Arity, Arity, Right, Terms) -> [[Term | Rest] || Term <- Terms, Rest <- places(Arity - 1, 0, Right, Terms)];
places(Arity, N, Right, Terms) -> [[Term | Rest] || Term <- Right, Rest <- places(Arity - 1, N, Right, Terms)].

%% Calls a function, and looks for the secret in all that anybody could log of what comes of it.
told(Module, Function, Args) ->
    Told = try {returned, apply(Module, Function, Args)} catch Class:Reason:Stack -> {raised, {Class, Reason, Stack}} end,
    case is_told(Told) of
        true -> ct:fail({Module, Function, Args, Told});
        false -> stopped_again(Told)
    end.

is_told(Term) ->
    lists:any(fun(Format) -> string:find(io_lib:format(Format, [Term]), "hunter2") =/= nomatch end, ["~0p", "~0tp"]).

stopped_again({raised, {error, Reason, [{Module, Function, _, Info} | _] = Stack}}) ->
    %% It says which argument is wrong, and why.
    #{} = Why = alcove_errors:format_error(Reason, Stack),
    ?assertMatch({_, 1, false}, {{Module, Function, Info}, map_size(Why), is_told(Why)}),
    raised;
stopped_again({raised, _}) ->
    raised;
stopped_again({returned, {ok, Pid}}) when is_pid(Pid) ->
    unlink(Pid),
    %% A program may have ended by itself.
    _ = (catch gen_server:stop(Pid, shutdown, 10000)),
    returned;
stopped_again({returned, _}) ->
    returned.

%% A supervisor's reports show neither, when it starts children, when they can't start, and when they
%% end: of all kinds of children.
secrets_of_children(Config) ->
    process_flag(trap_exit, true),
    {ok, _} = application:ensure_all_started(alcove),
    Drv = drv(Config),
    Env = #{"SECRET" => "hunter2"},
    #{level := Level} = logger:get_primary_config(),
    ok = logger:set_primary_config(level, all),
    ok = logger:add_handler(?MODULE, ?MODULE, #{config => self(), level => all}),
    try
        Failing = sh("# hunter2\nread x; exit 3"),
        Children = [
            alcove_drv:child_spec(#{env => Env, name => alcove_use}),
            alcove_pool:child_spec(#{name => ?MODULE, drv => {start, #{env => Env}}}),
            alcove_proc:child_spec(#{drv => Drv, argv => Failing, options => #{env => Env, stdin => stream}}),
            alcove_sandbox:child_spec(#{drv => Drv, argv => Failing, spec => #{env => Env, stdin => stream}})
        ],
        Sandboxes = alcove_test:can({call, mount_setattr}) =:= true,
        [begin
             {ok, Sup} = supervisor:start_link(?MODULE, [Child]),
             case lists:member(Id, [alcove_proc, alcove_sandbox]) of
                 true -> ok = alcove_proc:eof(child(Id, Sup));
                 false -> exit(child(Id, Sup), kill)
             end,
             #{msg := {report, #{report := Report}}} = reported(child_terminated),
             {mfargs, {_, start_child, [Hidden]}} = lists:keyfind(mfargs, 1, proplists:get_value(offender, Report)),
             ?assert(is_function(Hidden)),
             ok = gen_server:stop(Sup, shutdown, 20000)
         end || #{id := Id} = Child <- Children, Id =/= alcove_sandbox orelse Sandboxes],
        {error, _} = supervisor:start_link(?MODULE, [alcove_proc:child_spec({Drv, ["/nowhere", "hunter2"], #{env => Env}})]),
        _ = reported(start_error)
    after
        logger:remove_handler(?MODULE),
        logger:set_primary_config(level, Level),
        process_flag(trap_exit, false)
    end.

%% What a child specification holds goes to a supervisor of another node, and stays good when the code
%% is loaded again, as an upgrade of a release does it.
children_of_another_node(Config) ->
    Out = path(Config, "out"),
    alcove_test:nodes(fun(There, Here) ->
        #{start := {Module, Function, Args}} = alcove_test:in_peer(Here, fun() ->
            alcove_proc:child_spec({{start, []}, ["echo", "hi"], #{stdout => {file, Out}}})
        end),
        alcove_test:in_peer(There, fun() ->
            [begin
                 {module, _} = code:load_file(alcove_hidden),
                 true = code:soft_purge(alcove_hidden)
             end || _ <- [1, 2]],
            process_flag(trap_exit, true),
            {ok, Pid} = apply(Module, Function, Args),
            receive {'EXIT', Pid, normal} -> ok end
        end),
        ?assertEqual({ok, <<"hi\n">>}, file:read_file(Out))
    end).

%% The next report of a supervisor's about this; no event before it has the secret.
reported(What) ->
    receive
        {log, Event} ->
            false = is_told(Event),
            case Event of
                #{msg := {report, #{label := {supervisor, What}}}} -> Event;
                _ -> reported(What)
            end
    after alcove_test:ms(10000) -> ct:fail({no_report, What})
    end.

%% Wall time, processor time and memory come together.
usage(Config) ->
    {ok, #{wall_time := Wall, user_time := User, system_time := System, peak_memory := Peak, os_pid := Pid}} =
        alcove_proc:run(drv(Config), sh("i=0; while [ $i -lt 50000 ]; do i=$((i + 1)); done; sleep 0.1")),
    ?assert(Wall >= 100000),
    ?assert(User + System > 1000),
    ?assert(User + System < Wall),
    ?assert(Peak > 100000),
    ?assert(is_integer(Pid)).

stdin_of_any_size(Config) ->
    Drv = drv(Config),
    [begin
         Data = bytes(Size),
         {ok, #{stdout := Out}} = alcove_proc:run(Drv, ["cat"], #{stdin => Data}),
         %% Neither is to be printed.
         ?assertEqual({Size, erlang:md5(Data)}, {byte_size(Out), erlang:md5(Out)})
     end || Size <- [0, 1, 32768, 32769, 65511, 65512, 65513, 65536, 65537, 147456, 147457, 3000000]],
    {ok, #{stdout := <<"abc">>}} = alcove_proc:run(Drv, ["cat"], #{stdin => ["a", <<"b">>, $c]}),
    {ok, #{stdout := <<"3000000\n">>}} =
        alcove_proc:run(Drv, sh("sleep 0.2; wc -c"), #{stdin => {data, binary:copy(<<"x">>, 3000000)}}),
    %% A program that doesn't read it.
    {ok, #{status := 0}} = alcove_proc:run(Drv, ["true"], #{stdin => binary:copy(<<"x">>, 3000000)}).

%% Bytes that differ from place to place.
bytes(Size) ->
    binary:part(<< <<N:24>> || N <- lists:seq(0, Size div 3) >>, 0, Size).

long_argv(Config) ->
    Drv = drv(Config),
    Words = [lists:duplicate(700, $a) || _ <- lists:seq(1, 100)],
    {ok, #{stdout := Out}} = alcove_proc:run(Drv, ["echo" | Words]),
    ?assertEqual(70100, byte_size(Out)),
    {ok, #{stdout := One}} = alcove_proc:run(Drv, ["echo", binary:copy(<<"b">>, 100000)]),
    ?assertEqual(100001, byte_size(One)),
    ?assertEqual({error, {execvp, e2big}}, alcove_proc:run(Drv, ["echo", binary:copy(<<"b">>, 200000)])).

no_input_is_eof(Config) ->
    ?assertMatch({ok, #{stdout := <<"0\n">>}}, alcove_proc:run(drv(Config), ["wc", "-c"])).

deadline(Config) ->
    Drv = drv(Config),
    {error, {timeout, #{status := Status, stdout := Out, os_pid := Pid, wall_time := Wall}}} =
        alcove_proc:run(Drv, sh("echo begun; sleep 1000"), #{timeout => 1000}),
    ?assertEqual({termsig, sigterm}, Status),
    ?assertEqual(<<"begun\n">>, Out),
    ?assertNot(alcove_test:alive(Pid)),
    ?assert(Wall >= 500000),
    {error, {timeout, #{status := 5}}} =
        alcove_proc:run(Drv, sh("trap 'exit 5' INT; while :; do sleep 0.01; done"),
                        #{timeout => 1000, stop_signal => sigint}),
    %% One that starts slowly: nobody ever reads this.
    Fifo = path(Config, "fifo"),
    ok = alcove:mkfifo(Drv, Fifo, 8#600),
    ?assertEqual({error, {start, timeout}},
                 alcove_proc:run(Drv, ["true"], #{timeout => 200, stdout => {file, Fifo}})),
    bare(Drv).

%% An event loop that is stopped starts nothing, whatever has to be asked of it first.
deadline_of_a_start(Config) ->
    Drv = drv(Config),
    {ok, In} = alcove:fork(Drv),
    alcove_test:signal(In, "STOP"),
    Options = [
        #{},
        #{group => 0},
        #{user => 65534},
        #{user => "nobody"},
        #{user => "nobody", names => in},
        #{user => 65534, group => 65534, groups => [65534]},
        #{capabilities => []},
        #{chroot => "/", namespaces => [newns]},
        #{namespaces => [newuser]},
        #{namespaces => [newuser], uid_map => [{0, 0, 1}], gid_map => [{0, 0, 1}]},
        #{cgroup => #{pids => 10}},
        #{cgroup => {"alcove-never", #{pids => 10}}}
    ],
    Self = self(),
    Runs = [
        {Option, spawn_link(fun() ->
            Self ! {self(), alcove_proc:run(Drv, ["true"], Option#{in => [In], timeout => 500, grace => 0})}
        end)}
     || Option <- Options
    ],
    [
        receive {Pid, Outcome} -> ?assertEqual({error, {start, timeout}}, Outcome, Option)
        after alcove_test:ms(15000) -> ct:fail({hangs, Option})
        end
     || {Option, Pid} <- Runs
    ],
    alcove_test:signal(In, "CONT"),
    ?assertMatch({ok, #{status := 0}}, alcove_proc:run(Drv, ["true"], #{in => [In]})),
    %% A group with a name stays, whoever asked for it.
    Depth = erlang:system_flag(backtrace_depth, 100),
    true = alcove_test:until(fun() -> not lists:any(fun is_making_a_group/1, processes()) end),
    _ = erlang:system_flag(backtrace_depth, Depth),
    true = alcove_test:until(fun() -> alcove_cgroup:destroy(Drv, [], "alcove-never") =:= ok end),
    ok = alcove:exit(Drv, [In], 0),
    true = alcove_test:until(fun() -> alcove:cpid(Drv, []) =:= [] end),
    bare(Drv).

is_making_a_group(Pid) ->
    case process_info(Pid, current_stacktrace) of
        {current_stacktrace, Stack} -> lists:keymember(alcove_proc_setup, 1, Stack);
        undefined -> false
    end.

%% A program ends, though it has stopped the process that would read and remove its control group.
end_beside_a_stopped_parent(Config) ->
    alcove_test:need([root], fun() ->
        Drv = drv(Config),
        {ok, In} = alcove:fork(Drv),
        Script = "kill -STOP " ++ integer_to_list(In) ++ "; echo done; exit 3",
        case alcove_proc:run(Drv, sh(Script), #{in => [In], cgroup => #{pids => 10}}) of
            {error, {cgroup, Reason}} ->
                alcove_test:skip(lists:flatten(io_lib:format("needs control groups: ~0p", [Reason])));
            {ok, Result} ->
                ?assertMatch(#{status := 3, stdout := <<"done\n">>}, Result),
                ?assertEqual($T, alcove_test:state(In)),
                alcove_test:signal(In, "CONT"),
                %% Then the group is removed.
                true = alcove_test:until(fun() ->
                    [] =:= filelib:wildcard("/sys/fs/cgroup/*/alcove-own." ++ os:getpid() ++ ".*")
                end),
                ok = alcove:exit(Drv, [In], 0)
        end
    end).

%% SIGTERM is ignored, the children are in sessions of their own, and stopped.
deadline_kills_all(Config) ->
    Drv = drv(Config),
    Script = "trap '' TERM; setsid sh -c 'echo $$; exec sleep 1000' & (setsid sh -c 'echo $$; kill -STOP $$') & "
             "while :; do sleep 1; done",
    {error, {timeout, #{status := {termsig, sigkill}, stdout := Out}}} =
        alcove_proc:run(Drv, sh(Script), #{timeout => 1000, grace => 100}),
    Pids = [number(Line) || Line <- binary:split(Out, <<"\n">>, [global, trim])],
    ?assertEqual(2, length(Pids)),
    [?assertNot(alcove_test:alive(Pid)) || Pid <- Pids],
    bare(Drv).

output_limit(Config) ->
    Drv = drv(Config),
    {error, {{output_limit, stdout}, #{stdout := Out, truncated := [stdout], os_pid := Pid}}} =
        alcove_proc:run(Drv, ["yes"], #{stdout => {collect, 1000}}),
    ?assertEqual(1000, byte_size(Out)),
    ?assertNot(alcove_test:alive(Pid)),
    {error, {{output_limit, stderr}, #{stderr := <<>>}}} =
        alcove_proc:run(Drv, sh("echo x >&2; sleep 1000"), #{stderr => {collect, 0}}),
    {ok, #{stdout := <<"12345">>, truncated := []}} =
        alcove_proc:run(Drv, ["printf", "12345"], #{stdout => {collect, 5}}),
    bare(Drv).

truncated(Config) ->
    {ok, #{status := 0, stdout := Out, truncated := [stdout]}} =
        alcove_proc:run(drv(Config), sh("yes | head -c 3000000"), #{stdout => {collect, 10, truncate}}),
    ?assertEqual(<<"y\ny\ny\ny\ny\n">>, Out).

caller_traps_exits(Config) ->
    process_flag(trap_exit, true),
    {ok, #{status := 3}} = alcove_proc:run(drv(Config), sh("exit 3")),
    {error, {execvp, enoent}} = alcove_proc:run(drv(Config), ["/nowhere"]),
    process_flag(trap_exit, false),
    receive {'EXIT', _, _} = Exit -> ct:fail(Exit) after 0 -> ok end.

caller_ends(Config) ->
    Drv = drv(Config),
    Caller = spawn(fun() -> alcove_proc:run(Drv, ["sleep", "1000"]) end),
    true = alcove_test:until(fun() -> programs(Drv) =/= [] end),
    exit(Caller, kill),
    true = alcove_test:until(fun() -> maps:get(children, alcove:tree(Drv)) =:= [] end).

programs(Drv) ->
    programs_of(alcove:tree(Drv)).

programs_of(#{state := State, pid := Pid, children := Children}) ->
    [Pid || State =:= exec] ++ lists:append([programs_of(Child) || Child <- Children]).

many_and_one_hangs(Config) ->
    Drv = drv(Config),
    Self = self(),
    Hangs = spawn(fun() -> Self ! {hung, alcove_proc:run(Drv, ["sleep", "1000"], #{timeout => 20000, grace => 0})} end),
    Runs = [spawn_monitor(fun() ->
                Word = integer_to_binary(N),
                {ok, #{status := 0, stdout := Out}} = alcove_proc:run(Drv, ["echo", Word]),
                Out = <<Word/binary, "\n">>
            end) || N <- lists:seq(1, 40)],
    [receive {'DOWN', Ref, process, Pid, Reason} -> ?assertEqual(normal, Reason) end || {Pid, Ref} <- Runs],
    receive {hung, Result} -> ct:fail(Result) after 0 -> ok end,
    exit(Hangs, kill),
    true = alcove_test:until(fun() -> maps:get(children, alcove:tree(Drv)) =:= [] end).

%% What a program leaves behind ends with it, and has ended when the run returns.
nothing_is_left(Config) ->
    Drv = drv(Config),
    {ok, #{status := 0, stdout := Out}} =
        alcove_proc:run(Drv, sh("sleep 1000 & echo $!; setsid sleep 1000 & echo $!; (setsid sh -c 'sleep 1000 & echo $!') &
                                 sleep 0.2")),
    Pids = [number(Line) || Line <- binary:split(Out, <<"\n">>, [global, trim])],
    ?assertEqual(3, length(Pids)),
    [?assertNot(alcove_test:alive(Pid)) || Pid <- Pids],
    bare(Drv).

leftovers_are_left(Config) ->
    Drv = drv(Config),
    {ok, #{stdout := Out}} =
        alcove_proc:run(Drv, sh("setsid sleep 1000 >/dev/null 2>&1 & echo $!"), #{leftovers => leave}),
    ?assert(alcove_test:alive(number(Out))),
    alcove_test:stop(Drv),
    ?assertNot(alcove_test:alive(number(Out))).

%% What a Drv's users have set for it is nothing to a run, nor the other way round.
options_of_the_drv(_Config) ->
    [begin
         Drv = alcove_test:start([{exit_status, Flag}, {termsig, Flag}, {flowcontrol, Flow}]),
         _ = Rusage andalso alcove:setopt(Drv, rusage, 1),
         {ok, #{status := 3, stdout := <<"x\n">>}} = alcove_proc:run(Drv, sh("echo x; exit 3")),
         {ok, #{status := {termsig, sigterm}}} = alcove_proc:run(Drv, sh("kill $$")),
         {ok, #{stdout := <<"x\r\n">>}} = alcove_proc:run(Drv, sh("echo x"), #{pty => true}),
         {ok, Proc} = alcove_proc:start(Drv, ["cat"]),
         ok = alcove_proc:eof(Proc),
         {ok, #{status := 0}} = alcove_proc:await(Proc),
         alcove_test:stop(Drv),
         ?assertEqual({messages, []}, process_info(self(), messages))
     end || Flag <- [true, false], Rusage <- [true, false], Flow <- [-1, 0]].

stray_messages(Config) ->
    Drv = drv(Config),
    {ok, _} = alcove_proc:run(Drv, sh("echo x; echo y >&2")),
    {error, _} = alcove_proc:run(Drv, ["/nowhere"]),
    {error, _} = alcove_proc:run(Drv, sh("echo x; sleep 100"), #{timeout => 1000}),
    {error, _} = alcove_proc:run(Drv, ["yes"], #{stdout => {collect, 1}}),
    alcove_test:stop(Drv),
    ?assertEqual({messages, []}, process_info(self(), messages)).

drv_ends(Config) ->
    Drv = drv(Config),
    Self = self(),
    spawn(fun() -> Self ! alcove_proc:run(Drv, ["sleep", "1000"]) end),
    {ok, Proc} = alcove_proc:start(Drv, ["sleep", "1000"]),
    Ref = monitor(process, Proc),
    true = alcove_test:until(fun() -> length(programs(Drv)) =:= 2 end),
    alcove_test:stop(Drv),
    receive {error, {drv, normal}} -> ok end,
    receive {'DOWN', Ref, process, Proc, Reason} -> ?assertEqual({drv, normal}, Reason) end,
    ?assertMatch({error, {drv, normal}}, alcove_proc:await(Proc)),
    ?assertMatch({error, {drv, _}}, alcove_proc:run(Drv, ["true"])).

parent_is_killed(Config) ->
    Drv = drv(Config),
    {ok, Proc} = alcove_proc:start(Drv, ["sleep", "1000"]),
    #{fork_path := [Parent, Pid]} = alcove_proc:info(Proc),
    ok = alcove:kill(Drv, Parent, sigkill),
    ?assertEqual({error, {parent, gone}}, alcove_proc:await(Proc, alcove_test:ms(10000))),
    %% What it kept has ended before.
    ?assertNot(alcove_test:alive(Pid)).

%% Nobody knows how a program has ended whose keeper was killed, or what it used: the events don't
%% say that it was 0.
unknown_ends(_Config) ->
    with_telemetry(fun() ->
        Drv = alcove_test:start([{telemetry, true}]),
        {ok, Proc} = alcove_proc:start(Drv, ["sleep", "1000"], #{meta => #{job => 7}}),
        #{fork_path := [Keeper, Pid]} = alcove_proc:info(Proc),
        ok = alcove:kill(Drv, Keeper, sigkill),
        ?assertEqual({error, {parent, gone}}, alcove_proc:await(Proc, alcove_test:ms(10000))),
        [receive
             {event, [alcove, What, exit], Measurements, #{os_pid := Pid, status := Status}} ->
                 ?assertEqual({undefined, [duration]}, {Status, maps:keys(Measurements)}, What)
         after alcove_test:ms(5000) -> ct:fail(What)
         end || What <- [proc, process]],
        ok = alcove_test:stop(Drv)
    end),
    forget_events().

forget_events() ->
    receive {event, _, _, _} -> forget_events() after 0 -> ok end.

a_drv_of_its_own(_Config) ->
    {ok, #{stdout := <<"hi\n">>}} = alcove_proc:run({start, []}, ["echo", "hi"]),
    {error, {execvp, enoent}} = alcove_proc:run({start, []}, ["/nowhere"]),
    {error, {drv, enoent}} = alcove_proc:run({start, [{progname, "/nowhere"}]}, ["true"]),
    {ok, Proc} = alcove_proc:start({start, []}, ["sleep", "1000"]),
    #{drv := Drv} = alcove_proc:info(Proc),
    Ref = monitor(process, Drv),
    {ok, #{status := {termsig, sigterm}}} = alcove_proc:stop(Proc),
    receive {'DOWN', Ref, process, Drv, Reason} -> ?assertEqual(normal, Reason) end,
    {ok, _} = alcove_proc:await(Proc).

%% The program runs where the Drv is.
another_node(_Config) ->
    alcove_test:nodes(
      fun(There, Here) ->
          Drv = alcove_test:in_peer(There, fun() -> alcove_test:hold([]) end),
          ok = alcove_test:in_peer(Here, fun() ->
              {ok, #{stdout := <<"hi\n">>}} = alcove_proc:run(Drv, ["echo", "hi"]),
              {ok, #{stdout := Data}} = alcove_proc:run(Drv, ["cat"], #{stdin => binary:copy(<<"x">>, 200000)}),
              200000 = byte_size(Data),
              {ok, Proc} = alcove_proc:start(Drv, ["cat"]),
              ok = alcove_proc:write(Proc, "a"),
              receive {alcove_proc, Proc, {stdout, <<"a">>}} -> ok end,
              #{children := [_]} = alcove:tree(Drv),
              {ok, _} = alcove_proc:stop(Proc),
              {ok, _} = alcove_proc:await(Proc),
              ok
          end)
      end).

%% ---------------------------------------------------------------------------
%% Options
%% ---------------------------------------------------------------------------

environment(Config) ->
    Drv = drv(Config),
    Env = fun(Options) ->
        {ok, #{stdout := Out}} = alcove_proc:run(Drv, ["/usr/bin/env"], Options),
        lists:sort(binary:split(Out, <<"\n">>, [global, trim]))
    end,
    Inherited = Env([]),
    ?assertEqual([<<"A=1">>, <<"B=">>], Env([clearenv, {env, [{"A", "1"}, {<<"B">>, <<>>}]}])),
    ?assertEqual([<<"A=2">>], Env(#{clearenv => true, env => #{'A' => "2"}})),
    ?assertEqual([], [V || <<"PATH=", _/binary>> = V <- Env(#{env => #{"PATH" => false}})]),
    ?assertEqual([<<"ALCOVE_USE=x">>], Env(#{env => #{"ALCOVE_USE" => "x"}}) -- Inherited),
    %% The PATH that counts is the new one.
    ?assertEqual({error, {execvp, enoent}}, alcove_proc:run(Drv, ["true"], #{env => #{"PATH" => "/nowhere"}})).

files(Config) ->
    Drv = drv(Config),
    File = path(Config, "out"),
    {ok, Result} = alcove_proc:run(Drv, ["echo", "one"], #{stdout => {file, File, [{mode, 8#600}]}}),
    ?assertNot(is_map_key(stdout, Result)),
    ?assertEqual({ok, <<"one\n">>}, file:read_file(File)),
    {ok, #{mode := 8#600}} = alcove:stat(Drv, File),
    {ok, _} = alcove_proc:run(Drv, ["echo", "two"], #{stdout => {file, File, [append]}}),
    ?assertEqual({ok, <<"one\ntwo\n">>}, file:read_file(File)),
    {ok, #{stdout := <<"one\ntwo\n">>}} = alcove_proc:run(Drv, ["cat"], #{stdin => {file, File}}),
    {ok, _} = alcove_proc:run(Drv, ["echo", "three"], #{stdout => {file, File, [truncate]}}),
    ?assertEqual({ok, <<"three\n">>}, file:read_file(File)),
    {ok, _} = alcove_proc:run(Drv, sh("echo out; echo err >&2"), #{stdout => {file, File}, stderr => stdout}),
    ?assertEqual({ok, <<"out\nerr\n">>}, file:read_file(File)),
    {ok, #{stdout := <<"out\n">>}} = alcove_proc:run(Drv, sh("echo out; echo err >&2"), #{stderr => {file, File}}),
    ?assertEqual({ok, <<"err\n">>}, file:read_file(File)).

merged_and_discarded(Config) ->
    Drv = drv(Config),
    {ok, #{stdout := <<"out\nerr\n">>} = Merged} =
        alcove_proc:run(Drv, sh("echo out; echo err >&2"), #{stderr => stdout}),
    ?assertNot(is_map_key(stderr, Merged)),
    Both = "echo out; echo err >&2; echo again",
    {ok, #{stderr := <<"out\nerr\nagain\n">>} = Other} = alcove_proc:run(Drv, sh(Both), #{stdout => stderr}),
    ?assertNot(is_map_key(stdout, Other)),
    File = path(Config, "both"),
    {ok, _} = alcove_proc:run(Drv, sh(Both), #{stdout => stderr, stderr => {file, File}}),
    ?assertEqual({ok, <<"out\nerr\nagain\n">>}, file:read_file(File)),
    {ok, #{status := 0}} = alcove_proc:run(Drv, sh(Both), #{stdout => stderr, stderr => discard, cwd => "/"}),
    {ok, Proc} = alcove_proc:start(Drv, sh(Both), #{stdout => stderr, lines => true}),
    ?assertEqual([{stderr, <<Line/binary, "\n">>} || Line <- [<<"out">>, <<"err">>, <<"again">>]], said(Proc, [])),
    [?assertError({badarg, {stdout, stderr}}, alcove_proc:run(Drv, ["true"], Wrong#{stdout => stderr}))
     || Wrong <- [#{stderr => stdout}, #{pty => true}]],
    ?assertError({badarg, {stderr, stderr}}, alcove_proc:run(Drv, ["true"], #{stderr => stderr})),
    ?assertError({badarg, {stdout, stdout}}, alcove_proc:run(Drv, ["true"], #{stdout => stdout})),
    alcove_test:need([root], fun() ->
        {ok, #{stderr := <<"65534\n">>}} = alcove_proc:run(Drv, sh("id -u >/dev/stdout"), #{stdout => stderr, user => "nobody"})
    end),
    {ok, #{status := 0, stderr := <<"err\n">>} = Half} =
        alcove_proc:run(Drv, sh("yes | head -c 1000000; echo err >&2"), #{stdout => discard}),
    ?assertNot(is_map_key(stdout, Half)).

functions(Config) ->
    Self = self(),
    {ok, _} = alcove_proc:run(drv(Config), ["echo", "hi"], #{stdout => fun(Bytes) -> Self ! {got, Bytes} end}),
    receive {got, <<"hi\n">>} -> ok after 0 -> ct:fail(nothing) end.

directories(Config) ->
    Drv = drv(Config),
    {ok, #{stdout := <<"/usr\n">>}} = alcove_proc:run(Drv, ["pwd"], #{cwd => <<"/usr">>}),
    alcove_test:need([root], fun() ->
        Dir = path(Config, "private"),
        ok = file:make_dir(Dir),
        ok = file:change_mode(Dir, 8#700),
        {ok, _} = alcove_proc:run(Drv, ["true"], #{cwd => Dir}),
        {error, {chdir, eacces}} = alcove_proc:run(Drv, ["true"], #{cwd => Dir, user => "nobody"})
    end).

users(Config) ->
    Drv = drv(Config),
    alcove_test:need([root], fun() ->
        Id = fun(Options) ->
            {ok, #{stdout := Out}} = alcove_proc:run(Drv, sh("id -u; id -g; id -G; grep -c 'Cap[A-Z][a-z]*:.0*$' /proc/self/status"),
                                                     Options),
            binary:split(Out, <<"\n">>, [global, trim])
        end,
        [Uid, Gid] = [string:trim(list_to_binary(os:cmd("id -" ++ Letter ++ " nobody"))) || Letter <- ["u", "g"]],
        %% Of the five sets of capabilities all but the bounding set are empty.
        ?assertEqual([Uid, Gid, Gid, <<"4">>], Id(#{user => "nobody"})),
        ?assertEqual([Uid, <<"1">>, <<"1">>, <<"4">>], Id(#{user => <<"nobody">>, group => "daemon"})),
        ?assertEqual([Uid, Gid, <<Gid/binary, " 1 7777">>, <<"4">>], Id(#{user => "nobody", groups => ["daemon", 7777]})),
        ?assertMatch([<<"0">>, <<"1">>, _, _], Id(#{group => 1})),
        %% There is no way back.
        {ok, #{status := Status}} = alcove_proc:run(Drv, ["setpriv", "--reuid=0", "true"], #{user => "nobody"}),
        ?assertNotEqual(0, Status)
    end).

%% Nothing is guessed.
users_by_number(Config) ->
    Drv = drv(Config),
    alcove_test:need([root], fun() ->
        {ok, #{stdout := <<"12345\n54321\n">>}} =
            alcove_proc:run(Drv, sh("id -u; id -G"), #{user => 12345, group => 54321}),
        ?assertEqual({error, {user, {no_group, 12345}}}, alcove_proc:run(Drv, ["true"], #{user => 12345}))
    end).

%% What is so already needs no rights.
users_who_are_so(Config) ->
    Peer = alcove_test:user_peer(Config),
    ok = alcove_test:in_peer(Peer, fun() ->
        {ok, Drv} = alcove_drv:start(),
        Out = fun(Argv, Options) ->
            {ok, #{status := 0, stdout := Bytes}} = alcove_proc:run(Drv, Argv, Options),
            string:trim(Bytes)
        end,
        [Name, Uid, Gid] = [Out(["id", How], #{}) || How <- ["-un", "-u", "-g"]],
        Groups = [binary_to_integer(Group) || Group <- string:lexemes(Out(["id", "-G"], #{}), " ")],
        Same = #{group => binary_to_integer(Gid), groups => Groups},
        [Name = Out(["id", "-un"], Options)
         || Options <- [Same, Same#{user => Name}, Same#{user => binary_to_integer(Uid)}]],
        {error, {setgroups, eperm}} = alcove_proc:run(Drv, ["true"], Same#{groups => [1 | Groups]}),
        {error, {setresuid, eperm}} = alcove_proc:run(Drv, ["true"], Same#{user => 1}),
        {error, {_, eperm}} = alcove_proc:run(Drv, ["true"], Same#{group => 1}),
        ok = alcove_drv:stop(Drv)
    end),
    alcove_test:stop_peer(Peer),
    alcove_test:need([root], fun() ->
        %% As who has nobody's groups, or those of another.
        <<"nobody\n">> = as_nobody(Config, ["--init-groups"], #{user => "nobody"}),
        <<"nobody\n">> = as_nobody(Config, ["--clear-groups"], #{user => "nobody"}),
        {setgroups, eperm} = as_nobody(Config, ["--groups=1"], #{user => "nobody"})
    end).

%% What `id -un' says of a program, or why there is none, of a virtual machine of nobody's.
as_nobody(Config, Groups, Options) ->
    Paths = alcove_test:install(alcove_test:tmp(Config)),
    Peer = alcove_test:setpriv_peer(Paths, ["--reuid=nobody", "--regid=nogroup" | Groups]),
    try
        alcove_test:in_peer(Peer, fun() ->
            case alcove_proc:run({start, []}, ["id", "-un"], Options) of
                {ok, #{stdout := Name}} -> Name;
                {error, Reason} -> Reason
            end
        end)
    after
        alcove_test:stop_peer(Peer)
    end.

capabilities(Config) ->
    Drv = drv(Config),
    alcove_test:need([root], fun() ->
        Caps = fun(Options) ->
            {ok, #{stdout := Out}} = alcove_proc:run(Drv, ["sed", "-n", "s/^Cap...:.//p", "/proc/self/status"], Options),
            [binary_to_integer(Line, 16) || Line <- binary:split(Out, <<"\n">>, [global, trim])]
        end,
        Bind = 1 bsl 10,
        ?assertEqual([0, 0, 0, 0, 0], Caps(#{capabilities => []})),
        ?assertEqual([0, 0, 0, 0, 0], Caps(#{capabilities => [], user => "nobody"})),
        ?assertEqual([Bind, Bind, Bind, Bind, Bind], Caps(#{capabilities => [cap_net_bind_service], user => "nobody"})),
        ?assertEqual([Bind, Bind, Bind, Bind, Bind], Caps(#{capabilities => [cap_net_bind_service]})),
        ?assertEqual({error, {capabilities, {unknown, cap_nothing}}},
                     alcove_proc:run(Drv, ["true"], #{capabilities => [cap_nothing]})),
        {ok, #{stdout := <<"1\n">>}} =
            alcove_proc:run(Drv, ["sed", "-n", "s/^NoNewPrivs:.//p", "/proc/self/status"], #{no_new_privs => true})
    end).

limits(Config) ->
    Drv = drv(Config),
    {ok, #{stdout := <<"0\n30\n40\n">>}} =
        alcove_proc:run(Drv, sh("ulimit -c; ulimit -Sn; ulimit -Hn"),
                        #{rlimits => #{rlimit_core => 0, nofile => {30, 40}}}),
    {ok, #{stdout := <<"7\n">>}} = alcove_proc:run(Drv, ["nice"], #{nice => 7}),
    {ok, #{stdout := <<"1\n">>}} = alcove_proc:run(Drv, ["nproc"], #{cpus => [0]}),
    %% Which of them ended it.
    Endless = sh("while :; do :; done"),
    Ended = fun(Argv, Limits) ->
        {ok, #{status := Status} = Result} = alcove_proc:run(Drv, Argv, #{rlimits => Limits, timeout => 30000}),
        {Status, maps:get(limit, Result, none)}
    end,
    ?assertEqual({{termsig, sigxcpu}, cpu}, Ended(Endless, #{cpu => 1})),
    ?assertEqual({{termsig, sigxcpu}, cpu}, Ended(Endless, [{cpu, {1, 5}}])),
    ?assertEqual({{termsig, sigkill}, cpu}, Ended(Endless, #{cpu => {1, 1}})),
    ?assertEqual({{termsig, sigkill}, cpu}, Ended(sh("trap '' XCPU; while :; do :; done"), #{cpu => 1})),
    ?assertEqual({{termsig, sigxfsz}, fsize},
                 Ended(["dd", "if=/dev/zero", "of=" ++ path(Config, "large"), "bs=4096", "count=2"], #{fsize => 4096})),
    ?assertEqual({{termsig, sigkill}, none}, Ended(sh("kill -KILL $$"), #{cpu => 10})),
    ?assertEqual({0, none}, Ended(["true"], #{cpu => 10, fsize => 0})).

policy(Config) ->
    Policy = #{default => allow, rules => [{[mkdir, mkdirat], {errno, eperm}}]},
    Drv = drv(Config),
    {ok, #{status := Status, stderr := Text}} =
        alcove_proc:run(Drv, ["mkdir", path(Config, "refused")], #{seccomp => Policy}),
    ?assertNotEqual(0, Status),
    ?assertMatch({match, _}, re:run(Text, "not permitted")).

%% No shell, no library, no /dev, nothing but the program.
chrooted(Config) ->
    Drv = drv(Config),
    alcove_test:need([root, busybox], fun() ->
        Dir = alcove_test:chroot_dir(Config),
        Options = #{chroot => Dir, user => 12345, group => 12345, clearenv => true},
        {ok, #{status := 0, stdout := <<"busybox\n">>}} = alcove_proc:run(Drv, ["/busybox", "ls", "/"], Options),
        {ok, #{stdout := <<"/\n">>}} = alcove_proc:run(Drv, ["/busybox", "pwd"], Options#{stderr => discard}),
        {error, {execvp, enoent}} = alcove_proc:run(Drv, ["/bin/sh"], Options),
        File = path(Config, "log"),
        {ok, _} = alcove_proc:run(Drv, ["/busybox", "echo", "logged"], Options#{stdout => {file, File}}),
        ?assertEqual({ok, <<"logged\n">>}, file:read_file(File)),
        bare(Drv)
    end).

namespaces(Config) ->
    Drv = drv(Config),
    alcove_test:need([userns], fun() ->
        Script = "id -u; hostname; echo $$; ls /proc/self/task | wc -l",
        {ok, #{stdout := <<"0\nbox\n2\n", _/binary>>}} =
            alcove_proc:run(Drv, sh(Script),
                            #{namespaces => [newuser, newuts, newpid, newns, newnet, newipc], hostname => "box"}),
        %% An init of alcove's is the first of the pid namespace, and passes signals on.
        {error, {timeout, #{status := {termsig, sigterm}}}} =
            alcove_proc:run(Drv, ["sleep", "1000"],
                            #{namespaces => [newuser, newpid], timeout => 1000, grace => 5000}),
        bare(Drv)
    end),
    alcove_test:need([root, namespaces], fun() ->
        {ok, #{stdout := <<"5\n6\n5\n">>}} =
            alcove_proc:run(Drv, sh("id -u; id -g; id -u"),
                            #{namespaces => [newuser], uid_map => [{0, 100000, 10}], gid_map => [{0, 100000, 10}],
                              user => 5, group => 6}),
        %% Groups that can't be set aren't forgotten.
        ?assertEqual({error, {setgroups, eperm}},
                     alcove_proc:run(Drv, ["true"], #{namespaces => [newuser], user => 0, group => 0, groups => [0]})),
        {ok, #{status := 0}} = alcove_proc:run(Drv, ["true"], #{namespaces => [clone_newuts]})
    end).

setup_calls(Config) ->
    Drv = drv(Config),
    alcove_test:need([root, namespaces], fun() ->
        Dir = alcove_test:tmp(Config),
        {ok, #{stdout := <<"x\n">>}} =
            alcove_proc:run(Drv, sh("echo x > x; cat x"),
                            #{namespaces => [newns], cwd => Dir, setup => [{mount, ["tmpfs", Dir, "tmpfs", 0, ""]}]}),
        ?assertEqual({ok, []}, file:list_dir(Dir))
    end).

with_cgroups(Drv, Fun) ->
    alcove_test:need([root], fun() ->
        Name = iolist_to_binary(["alcove-use-", os:getpid()]),
        case alcove_cgroup:supported(Drv, [], memory) andalso alcove_cgroup:create(Drv, [], Name) of
            ok ->
                ok = alcove_cgroup:destroy(Drv, [], Name),
                Fun();
            false ->
                alcove_test:skip("no hierarchy has memory");
            {error, Reason} ->
                alcove_test:skip(lists:flatten(io_lib:format("~0p", [Reason])))
        end
    end).

control_group(Config) ->
    Drv = drv(Config),
    with_cgroups(Drv, fun() ->
        {ok, #{cgroup := #{memory := Memory, pids := #{limit := 20}}, peak_memory := Peak}} =
            alcove_proc:run(Drv, sh("sleep 1000 & head -c 20000000 /dev/zero | tail -c 20000000 | wc -c"),
                            #{cgroup => #{memory => 64 bsl 20, pids => 20}}),
        ?assert(Peak >= 20000000),
        %% Linux counts the peak of a control group since 5.19.
        Peak = maps:get(peak, Memory, Peak),
        %% Nothing of it stays when there is no run, or when the run is killed.
        Own = fun() -> os:cmd("find /sys/fs/cgroup -type d -name 'alcove-own." ++ os:getpid() ++ ".*'") end,
        Before = Own(),
        {error, {execvp, enoent}} = alcove_proc:run(Drv, ["/nowhere"], #{cgroup => #{pids => 20}}),
        {error, {cgroup, _}} = alcove_proc:run(Drv, ["true"], #{cgroup => #{cpus => "1000000"}}),
        {ok, Proc} = alcove_proc:start(Drv, ["sleep", "1000"], #{cgroup => #{pids => 20}}),
        exit(Proc, kill),
        bare_soon(Drv),
        true = alcove_test:until(fun() -> Own() =:= Before end)
    end).

control_group_out_of_memory(Config) ->
    Drv = drv(Config),
    with_cgroups(Drv, fun() ->
        {ok, #{status := {termsig, sigkill}, limit := memory, cgroup := #{memory := #{oom_kills := Kills}}}} =
            alcove_proc:run(Drv, ["tail", "/dev/zero"], #{cgroup => #{memory => 8 bsl 20}, stdout => discard}),
        ?assert(Kills >= 1)
    end).

%% A group with a name has had other members, and has some beside the program. What the kernel did to those
%% is not told of the program; what the group as a whole has used, is.
control_group_with_a_name(Config) ->
    Drv = drv(Config),
    with_cgroups(Drv, fun() ->
        Name = iolist_to_binary(["alcove-use-", os:getpid(), "-named"]),
        Options = #{cgroup => {Name, #{memory => 16 bsl 20}}, stdout => discard},
        Run = fun(Argv) -> {ok, Result} = alcove_proc:run(Drv, Argv, Options), Result end,
        Eats = fun() ->
            #{limit := memory, status := {termsig, sigkill}} = Run(["tail", "/dev/zero"])
        end,
        Others = fun(Result) -> ?assertNot(maps:is_key(limit, Result)) end,
        try
            Others(Run(sh("exit 3"))),
            Bystander = fun(More, Script) ->
                {ok, Proc} = alcove_proc:start(Drv, sh("echo ready; " ++ Script),
                                               maps:merge(maps:remove(stdout, Options), More)),
                receive {alcove_proc, Proc, {stdout, <<"ready\n">>}} -> Proc end
            end,
            Outcome = fun(Proc) -> receive {alcove_proc, Proc, {exit, Ended}} -> Ended end end,
            Exits = Bystander(#{}, "read x; exit 7"),
            Stopped = Bystander(#{grace => 0}, "read x"),
            #{cgroup := #{memory := #{oom_kills := Before}}} = Eats(),
            ?assert(Before >= 1),
            %% Those beside it, which end by themselves, or by alcove, with the same signal.
            ok = alcove_proc:write(Exits, "go on\n"),
            {ok, #{status := 7} = Exited} = Outcome(Exits),
            Others(Exited),
            {ok, #{status := {termsig, sigkill}} = WasStopped} = alcove_proc:stop(Stopped),
            Others(WasStopped),
            %% Those after it, also if another sends them that signal.
            Others(#{status := 3} = Run(sh("exit 3"))),
            Others(#{status := {termsig, sigkill}} = Run(sh("kill -KILL $$"))),
            #{cgroup := #{memory := Memory}, peak_memory := Peak} = Run(sh("exit 3")),
            #{oom_kills := After} = Memory,
            ?assert(After >= Before),
            %% The program's own, and not that of the group, which was at its limit.
            ?assert(Peak < 16 bsl 20),
            [?assert(Most > 8 bsl 20) || #{peak := Most} <- [Memory]],
            %% One that is killed itself is told of it each time.
            _ = Eats()
        after
            ok = alcove_cgroup:kill(Drv, [], Name),
            ok = alcove_cgroup:destroy(Drv, [], Name)
        end
    end).

strings(Config) ->
    Drv = drv(Config),
    Text = <<"d", 195, 169, "j", 195, 160>>,
    Encoded = unicode:characters_to_binary([$d, 233, $j, 224], unicode, file:native_name_encoding()),
    {ok, #{stdout := Text}} = alcove_proc:run(Drv, ["printf", <<"%s">>, Text]),
    {ok, #{stdout := Encoded}} = alcove_proc:run(Drv, ["printf", ["%", $s], [$d, 233, $j, 224]]),
    {ok, #{stdout := <<"name x\n">>}} = alcove_proc:run(Drv, ["sh", "-c", "echo $0 $1", "name", "x"]),
    {ok, #{stdout := <<"me">>}} =
        alcove_proc:run(Drv, sh("printf %s $(tr '\\0' ' ' < /proc/$$/cmdline | cut -d ' ' -f 1)"), #{arg0 => "me"}).

%% ---------------------------------------------------------------------------
%% Streams
%% ---------------------------------------------------------------------------

push(Config) ->
    {ok, Proc} = alcove_proc:start_link(drv(Config), sh("while read line; do echo \"got $line\"; echo e >&2; done; exit 0")),
    ok = alcove_proc:write(Proc, "one\n"),
    receive {alcove_proc, Proc, {stdout, Out}} -> ?assertEqual(<<"got one\n">>, Out) end,
    receive {alcove_proc, Proc, {stderr, Err}} -> ?assertEqual(<<"e\n">>, Err) end,
    ok = alcove_proc:eof(Proc),
    receive {alcove_proc, Proc, {exit, Exit}} -> ?assertMatch({ok, #{status := 0}}, Exit) end.

active_modes(Config) ->
    Drv = drv(Config),
    {ok, Proc} = alcove_proc:start(Drv, ["cat"], #{active => false}),
    Say = fun(Text) -> ok = alcove_proc:write(Proc, Text) end,
    Next = fun() -> receive {alcove_proc, Proc, What} -> What after alcove_test:ms(5000) -> nothing end end,
    Say("a"),
    ?assertEqual({ok, {stdout, <<"a">>}}, alcove_proc:read(Proc)),
    ok = alcove_proc:active(Proc, once),
    ?assertEqual({error, active}, alcove_proc:read(Proc)),
    Say("b"),
    ?assertEqual({stdout, <<"b">>}, Next()),
    Say("c"),
    ?assertEqual({ok, {stdout, <<"c">>}}, alcove_proc:read(Proc)),
    ok = alcove_proc:active(Proc, 2),
    Say("d"),
    ?assertEqual({stdout, <<"d">>}, Next()),
    Say("e"),
    ?assertEqual({stdout, <<"e">>}, Next()),
    ?assertEqual(passive, Next()),
    Say("f"),
    ?assertEqual({ok, {stdout, <<"f">>}}, alcove_proc:read(Proc)),
    ok = alcove_proc:active(Proc, true),
    [begin Say([N]), ?assertEqual({stdout, <<N>>}, Next()) end || N <- lists:seq($0, $9)],
    ?assertError(badarg, alcove_proc:active(Proc, 0)),
    ok = alcove_proc:eof(Proc),
    ?assertMatch({exit, {ok, #{status := 0}}}, Next()),
    ?assertEqual(eof, alcove_proc:read(Proc)),
    ?assertEqual({error, closed}, alcove_proc:active(Proc, true)),
    ?assertEqual({error, closed}, alcove_proc:write(Proc, "x")).

%% Unread output stays in the pipe, and none of it is lost.
lazy(Config) ->
    Drv = drv(Config),
    {ok, Proc} = alcove_proc:start(Drv, sh("head -c 30000000 /dev/zero"), #{active => false}),
    true = alcove_test:until(fun() -> maps:get(queued, alcove_proc:info(Proc)) > 0 end),
    Held = fun() -> maps:get(output_bytes, alcove_drv:info(Drv)) end,
    settled(Held),
    ?assert(Held() < 20000000),
    ?assertEqual({ok, 30000000},
                 alcove_proc:fold(Proc, fun({stdout, Bytes}, Size) -> Size + byte_size(Bytes) end, 0)),
    {ok, #{status := 0}} = alcove_proc:await(Proc),
    ?assertEqual({message_queue_len, 0}, process_info(self(), message_queue_len)).

%% A figure that has not changed for a while.
settled(Fun) ->
    settled(Fun, Fun()).

settled(Fun, Before) ->
    receive after 100 -> ok end,
    case Fun() of
        Before -> ok;
        Now -> settled(Fun, Now)
    end.

%% Input goes on while output waits for a reader, and the caller of neither blocks the other.
held_while_reading_stdin(Config) ->
    {ok, Proc} = alcove_proc:start(drv(Config), ["cat"], #{active => false}),
    Data = bytes(20000000),
    {Writer, Ref} = spawn_monitor(fun() ->
        ok = alcove_proc:write(Proc, Data),
        ok = alcove_proc:eof(Proc)
    end),
    #{state := running} = alcove_proc:info(Proc),
    {ok, Read} = alcove_proc:fold(Proc, fun({stdout, Bytes}, Acc) -> [Acc, Bytes] end, []),
    ?assertEqual(erlang:md5(Data), erlang:md5(Read)),
    receive {'DOWN', Ref, process, Writer, Reason} -> ?assertEqual(normal, Reason) end.

eof_while_output_goes_on(Config) ->
    Drv = drv(Config),
    Lines = [[integer_to_list(N), "\n"] || N <- lists:seq(50000, 1, -1)],
    {ok, #{stdout := Sorted}} = alcove_proc:run(Drv, ["sort", "-n"], #{stdin => Lines}),
    ?assertEqual(iolist_to_binary(lists:reverse(Lines)), Sorted),
    {ok, Proc} = alcove_proc:start(Drv, sh("cat; echo more; sleep 0.1; echo end")),
    ok = alcove_proc:write(Proc, "begin\n"),
    ok = alcove_proc:eof(Proc),
    ?assertEqual(<<"begin\nmore\nend\n">>, pushed(Proc, [])).

pushed(Proc, Acc) ->
    receive
        {alcove_proc, Proc, {stdout, Bytes}} -> pushed(Proc, [Acc, Bytes]);
        {alcove_proc, Proc, {exit, _}} -> iolist_to_binary(Acc)
    after alcove_test:ms(20000) -> ct:fail(Acc)
    end.

%% An owner that doesn't read holds back an active program too.
owner_is_behind(Config) ->
    Drv = drv(Config),
    {ok, Proc} = alcove_proc:start(Drv, sh("while echo line; do :; done")),
    Length = fun() -> element(2, process_info(self(), message_queue_len)) end,
    true = alcove_test:until(fun() -> Length() > 256 end),
    settled(Length),
    ?assert(Length() < 1000),
    [receive {alcove_proc, Proc, {stdout, _}} -> ok end || _ <- lists:seq(1, 2000)],
    {ok, _} = alcove_proc:stop(Proc, 0),
    pushed(Proc, []).

read_times_out(Config) ->
    {ok, Proc} = alcove_proc:start(drv(Config), ["cat"], #{active => false}),
    ?assertEqual({error, timeout}, alcove_proc:read(Proc, 0)),
    ?assertEqual({error, timeout}, alcove_proc:read(Proc, 50)),
    %% A reader that ends takes nothing.
    Reader = spawn(fun() -> alcove_proc:read(Proc) end),
    true = alcove_test:until(fun() -> {current_function, {gen, do_call, 4}} =:= process_info(Reader, current_function) end),
    ?assertEqual({error, busy}, alcove_proc:read(Proc, 0)),
    exit(Reader, kill),
    true = alcove_test:until(fun() -> {error, timeout} =:= alcove_proc:read(Proc, 0) end),
    ok = alcove_proc:write(Proc, "x"),
    ?assertEqual({ok, {stdout, <<"x">>}}, alcove_proc:read(Proc, alcove_test:ms(5000))),
    ok = alcove_proc:eof(Proc),
    ?assertEqual(eof, alcove_proc:read(Proc, alcove_test:ms(5000))).

closed_stdin(Config) ->
    Drv = drv(Config),
    {ok, Proc} = alcove_proc:start(Drv, sh("exec <&-; echo closed; sleep 1000")),
    receive {alcove_proc, Proc, {stdout, <<"closed\n">>}} -> ok end,
    true = alcove_test:until(fun() -> alcove_proc:write(Proc, "x") =:= {error, epipe} end),
    {ok, _} = alcove_proc:stop(Proc),
    {ok, _} = alcove_proc:await(Proc).

%% All of a write that took too long gets there, in its place.
write_times_out(Config) ->
    {ok, Proc} = alcove_proc:start(drv(Config), ["cat"], #{active => false}),
    Much = bytes(12000000),
    ?assertEqual({error, timeout}, alcove_proc:write(Proc, Much, 100)),
    ?assertEqual({error, timeout}, alcove_proc:write(Proc, "y", 0)),
    Reader = reader(Proc),
    ok = alcove_proc:write(Proc, "z", alcove_test:ms(20000)),
    ok = alcove_proc:eof(Proc),
    Read = iolist_to_binary([Bytes || {stdout, Bytes} <- read_by(Reader)]),
    ?assertEqual(erlang:md5([Much, "yz"]), erlang:md5(Read)),
    ?assertEqual({error, closed}, alcove_proc:write(Proc, "x", 5000)),
    {ok, _} = alcove_proc:await(Proc),
    ?assertEqual({messages, []}, process_info(self(), messages)),
    %% Data has its end.
    {ok, Given} = alcove_proc:start(drv(Config), sh("cat; sleep 1000"), #{stdin => "data", active => false}),
    ?assertEqual({error, closed}, alcove_proc:write(Given, "x")),
    ?assertEqual({error, closed}, alcove_proc:write(Given, "x", 1000)),
    ?assertEqual({error, closed}, alcove_proc:eof(Given)),
    ?assertEqual({ok, {stdout, <<"data">>}}, alcove_proc:read(Given)),
    {ok, _} = alcove_proc:stop(Given, 0).

%% So much and no more; what is left is read next.
read_some(Config) ->
    Drv = drv(Config),
    {ok, Proc} = alcove_proc:start(Drv, ["printf", "abcdefg"], #{active => false}),
    ?assertEqual({ok, {stdout, <<"abc">>}}, alcove_proc:read(Proc, 5000, 3)),
    ?assertEqual({ok, {stdout, <<"d">>}}, alcove_proc:read(Proc, 5000, 1)),
    ok = alcove_proc:active(Proc, once),
    receive {alcove_proc, Proc, {stdout, Rest}} -> ?assertEqual(<<"efg">>, Rest) end,
    ?assertEqual(eof, alcove_proc:read(Proc, 5000, 3)),
    {ok, Lines} = alcove_proc:start(Drv, ["printf", "abcde\n\nfgh\nij"], #{active => false, lines => true}),
    ?assertEqual([<<"abc">>, <<"de\n">>, <<"\n">>, <<"fgh">>, <<"\n">>, <<"ij">>], by(3, Lines)),
    {ok, Long} = alcove_proc:start(Drv, ["printf", "abcdefgh\nij"], #{active => false, lines => 5}),
    ?assertEqual(<<"abcdefgh\nij">>, iolist_to_binary(by(2, Long))),
    %% The rest of a line is there at once, and isn't joined to what comes later.
    {ok, Piece} = alcove_proc:start(Drv, sh("printf aaaaaaaaaabb; read x; printf c; read x"), #{active => false, lines => 10}),
    ?assertEqual({ok, {stdout, <<"aaaa">>}}, alcove_proc:read(Piece, 5000, 4)),
    ?assertEqual({ok, {stdout, <<"aaaa">>}}, alcove_proc:read(Piece, 5000, 4)),
    ?assertEqual({ok, {stdout, <<"aa">>}}, alcove_proc:read(Piece, 5000)),
    ok = alcove_proc:write(Piece, "\n"),
    ok = alcove_proc:eof(Piece),
    ?assertEqual({ok, {stdout, <<"bbc">>}}, alcove_proc:read(Piece, 5000)),
    ?assertEqual(eof, alcove_proc:read(Piece, 5000)),
    %% So it is for an owner that doesn't read any more.
    {ok, Owned} = alcove_proc:start(Drv, sh("printf 'aaaaaaaaaab\nc'; read x"), #{active => false, lines => 10}),
    ?assertEqual({ok, {stdout, <<"aaaa">>}}, alcove_proc:read(Owned, 5000, 4)),
    ok = alcove_proc:active(Owned, true),
    [receive {alcove_proc, Owned, {stdout, Line}} -> ok after alcove_test:ms(5000) -> ct:fail(Line) end
     || Line <- [<<"aaaaaa">>, <<"b\n">>]],
    ok = alcove_proc:eof(Owned),
    receive {alcove_proc, Owned, {stdout, Last}} -> ?assertEqual(<<"c">>, Last) end,
    Data = bytes(300000),
    {ok, Much} = alcove_proc:start(Drv, ["cat"], #{active => false, stdin => Data}),
    Parts = by(1000, Much),
    ?assertEqual(erlang:md5(Data), erlang:md5(Parts)),
    ?assert(lists:all(fun(Part) -> byte_size(Part) =< 1000 end, Parts)).

by(Max, Proc) ->
    case alcove_proc:read(Proc, infinity, Max) of
        {ok, {stdout, Bytes}} -> [Bytes | by(Max, Proc)];
        eof -> []
    end.

%% A program that writes on is told that nobody reads.
closed_output(Config) ->
    Drv = drv(Config),
    Ends = fun(Argv, Options, Stream) ->
        {ok, Proc} = alcove_proc:start(Drv, Argv, Options),
        true = alcove_test:until(fun() -> maps:get(queued, alcove_proc:info(Proc)) > 0 end),
        ok = alcove_proc:close(Proc, Stream),
        ?assertEqual({error, closed}, alcove_proc:close(Proc, Stream)),
        {ok, #{status := Status}} = alcove_proc:await(Proc, alcove_test:ms(20000)),
        ?assertEqual({error, closed}, alcove_proc:close(Proc, Stream)),
        ?assertEqual(eof, alcove_proc:read(Proc)),
        Status
    end,
    [begin
         ?assertEqual({termsig, sigpipe}, Ends(["yes"], #{active => false, lines => Lines}, stdout)),
         ?assertEqual({termsig, sigpipe}, Ends(sh("exec yes >&2"), #{active => false, lines => Lines}, stderr)),
         ?assertEqual({termsig, sigpipe}, Ends(sh("exec yes >&2"), #{active => false, stderr => stdout}, stdout))
     end || Lines <- [true, false]],
    ?assertEqual(7, Ends(sh("trap '' PIPE; while echo x; do :; done 2>/dev/null; exit 7"), #{active => false}, stdout)),
    %% The other one goes on, and what it has said is there still.
    {ok, Proc} = alcove_proc:start(Drv, sh("echo err >&2; echo out; read x; read y; echo more >&2; echo $x; echo end >&2"),
                                   #{active => false, lines => true}),
    true = alcove_test:until(fun() -> maps:get(queued, alcove_proc:info(Proc)) =:= 2 end),
    ok = alcove_proc:close(Proc, stdout),
    ok = alcove_proc:write(Proc, "x\n"),
    ok = alcove_proc:close(Proc, stdin),
    ?assertEqual({error, closed}, alcove_proc:write(Proc, "x")),
    Reader = reader(Proc),
    ?assertEqual([{stderr, <<"err\n">>}, {stderr, <<"more\n">>}], read_by(Reader)),
    {ok, #{status := {termsig, sigpipe}}} = alcove_proc:await(Proc),
    %% What a function got is its own, and so is what was collected.
    {ok, Folds} = alcove_proc:start(Drv, sh("echo x; exec cat"),
                                    #{stdout => {fun(eof, N) -> {all, N}; (_, N) -> N + 1 end, 0}, stderr => collect}),
    true = alcove_test:until(fun() -> maps:get(output_bytes, alcove_drv:info(Drv)) > 0 end),
    #{state := running} = alcove_proc:info(Folds),
    ok = alcove_proc:close(Folds, stdout),
    ok = alcove_proc:write(Folds, "y"),
    {ok, #{status := {termsig, sigpipe}, stdout := {all, _}, stderr := <<>>}} = alcove_proc:await(Folds, alcove_test:ms(20000)),
    %% There is not always one.
    [begin
         {ok, None} = alcove_proc:start(Drv, ["cat"], Options),
         ?assertEqual({error, Reason}, alcove_proc:close(None, Stream)),
         {ok, _} = alcove_proc:stop(None, 0)
     end || {Reason, Stream, Options} <- [{closed, stdout, #{stdout => discard}}, {closed, stderr, #{stderr => stdout}},
                                          {closed, stdout, #{stdout => stderr}}, {einval, stdout, #{pty => true}},
                                          {closed, stdout, #{stdout => {file, "/dev/null"}}}]],
    bare(Drv).

controlling_process(Config) ->
    {ok, Proc} = alcove_proc:start(drv(Config), ["cat"]),
    Self = self(),
    New = spawn(fun() -> receive {alcove_proc, Proc, What} -> Self ! {new, What} end, receive stop -> ok end end),
    ok = alcove_proc:controlling_process(Proc, New),
    ok = alcove_proc:write(Proc, "x"),
    receive {new, What} -> ?assertEqual({stdout, <<"x">>}, What) end,
    Ref = monitor(process, Proc),
    New ! stop,
    receive {'DOWN', Ref, process, Proc, Reason} -> ?assertEqual({shutdown, owner_died}, Reason) end.

%% A new owner gets all that is still to come, though the former one reads nothing.
owner_that_reads_nothing(Config) ->
    Lines = 6000,
    Script = lists:concat(["i=0; while [ $i -lt ", Lines, " ]; do printf '%0100d\\n' $i; i=$((i + 1)); done; exit 4"]),
    {ok, Proc} = alcove_proc:start(drv(Config), sh(Script), #{lines => true}),
    Length = fun() -> element(2, process_info(self(), message_queue_len)) end,
    true = alcove_test:until(fun() -> Length() > 256 end),
    settled(Length),
    Self = self(),
    New = spawn_link(fun() -> Self ! {read, all_of(Proc)} end),
    ok = alcove_proc:controlling_process(Proc, New),
    receive {read, {Read, Outcome}} ->
        ?assertMatch({ok, #{status := 4}}, Outcome),
        Before = [Bytes || {alcove_proc, _, {stdout, Bytes}} <- element(2, process_info(self(), messages))],
        Numbers = [binary_to_integer(string:trim(Bytes)) || Bytes <- Before ++ Read],
        ?assertEqual(lists:seq(0, Lines - 1), Numbers)
    end.

all_of(Proc) ->
    all_of(Proc, []).

all_of(Proc, Read) ->
    receive
        {alcove_proc, Proc, {stdout, Bytes}} -> all_of(Proc, [Bytes | Read]);
        {alcove_proc, Proc, {exit, Outcome}} -> {lists:reverse(Read), Outcome}
    end.

%% A supervisor that stops a program: whoever takes what it writes gets the rest of it, and the owner the
%% outcome, of a program that has ended already, too.
shut_down(Config) ->
    Drv = drv(Config),
    process_flag(trap_exit, true),
    Self = self(),
    Bye = "trap 'for i in 1 2 3 4 5 6 7 8 9 10; do echo $i; done; printf last; exit 0' TERM; "
          "echo up; while :; do sleep 0.02; done",
    Expected = <<"up\n1\n2\n3\n4\n5\n6\n7\n8\n9\n10\nlast">>,
    Stop = fun(Options) ->
        {ok, Sup} = supervisor:start_link(?MODULE, [alcove_proc:child_spec({Drv, sh(Bye), Options})]),
        receive {got, <<"up", _/binary>> = First} -> ok end,
        ok = gen_server:stop(Sup, shutdown, alcove_test:ms(20000)),
        iolist_to_binary([First | got()])
    end,
    Take = fun(Bytes) -> timer:sleep(1), Self ! {got, Bytes} end,
    ?assertEqual(Expected, Stop(#{stdout => Take, lines => true})),
    ?assertEqual(Expected, Stop(#{stdout => Take})),
    ?assertEqual(Expected, Stop(#{stdout => {fun(eof, _) -> ok; (Bytes, _) -> Take(Bytes) end, ok}, lines => true})),
    {ok, Proc} = alcove_proc:start(Drv, sh("echo x; exit 5"), #{active => false}),
    true = alcove_test:until(fun() -> #{state := State} = alcove_proc:info(Proc), State =/= running end),
    ok = sys:terminate(Proc, shutdown),
    receive {alcove_proc, Proc, {exit, Outcome}} -> ?assertMatch({ok, #{status := 5}}, Outcome) end,
    bare_soon(Drv).

got() ->
    receive {got, Bytes} -> [Bytes | got()] after 0 -> [] end.

terminal(Config) ->
    Drv = drv(Config),
    {ok, #{stdout := Out}} =
        alcove_proc:run(Drv, sh("tty && test -t 0 && test -t 1 && test -t 2 && echo hi > /dev/tty"), #{pty => true}),
    ?assertMatch({match, _}, re:run(Out, "^/dev/pts/\\d+\r\nhi\r\n$")),
    {ok, Proc} = alcove_proc:start(Drv, sh("stty -echo; echo ready; cat; echo bye"), #{pty => true}),
    expect(Proc, <<"ready\r\n">>),
    ok = alcove_proc:write(Proc, "line\n"),
    expect(Proc, <<"line\r\n">>),
    ok = alcove_proc:eof(Proc),
    expect(Proc, <<"bye\r\n">>),
    {ok, #{status := 0}} = alcove_proc:await(Proc),
    %% Control-C is a signal to the foreground group.
    {ok, Sleep} = alcove_proc:start(Drv, sh("stty -echo; echo ready; exec sleep 1000"), #{pty => true}),
    expect(Sleep, <<"ready\r\n">>),
    ok = alcove_proc:write(Sleep, <<3>>),
    {ok, #{status := {termsig, sigint}}} = alcove_proc:await(Sleep),
    bare(Drv).

%% How it takes what is typed.
terminal_modes(Config) ->
    Drv = drv(Config),
    Said = fun(Data, Pty) ->
        {ok, #{stdout := Out}} = alcove_proc:run(Drv, ["cat"], #{pty => Pty, stdin => Data}),
        Out
    end,
    %% Shown, and said by cat; with an end in the middle of a line.
    ?assertEqual(<<"abc\r\nabc\r\n">>, Said("abc\n", true)),
    ?assertEqual(<<"abc\r\n">>, Said("abc\n", #{echo => false})),
    ?assertEqual(<<"abc">>, Said("abc", #{echo => false})),
    %% Nothing is made of any byte.
    All = list_to_binary(lists:seq(0, 255)),
    Raw = fun(Pty, Expected) ->
        {ok, Proc} = alcove_proc:start(Drv, ["cat"], #{pty => Pty}),
        ok = alcove_proc:write(Proc, All),
        expect(Proc, Expected),
        {error, einval} = alcove_proc:eof(Proc),
        {ok, _} = alcove_proc:stop(Proc, 0)
    end,
    Raw(#{raw => true}, All),
    {ok, #{stdout := <<"10 20\n">>}} = alcove_proc:run(Drv, ["stty", "size"], #{pty => #{raw => true, rows => 10, cols => 20}}),
    {ok, #{stdout := Modes}} = alcove_proc:run(Drv, ["stty", "-a"], #{pty => #{raw => true, echo => true}}),
    ?assertMatch({match, _}, re:run(Modes, "-icanon.* echo ")),
    [?assertError({badarg, {pty, Wrong}}, alcove_proc:run(Drv, ["true"], #{pty => Wrong}))
     || Wrong <- [#{rows => 0}, #{echo => 1}, #{raw => 'maybe'}, #{cooked => true}, {24, 80, raw}]].

%% A line is whole, or an error.
long_lines_of_a_terminal(Config) ->
    Drv = drv(Config),
    Line = fun(Length) -> lists:duplicate(Length, $x) end,
    {ok, Proc} = alcove_proc:start(Drv, sh("while read -r line; do echo ${#line}; done"), #{pty => #{echo => false}}),
    ok = alcove_proc:write(Proc, [Line(4095), $\n]),
    expect(Proc, <<"4095\r\n">>),
    {error, emsgsize} = alcove_proc:write(Proc, [Line(4096), $\n]),
    {error, emsgsize} = alcove_proc:write(Proc, ["a\n", Line(100000)]),
    %% However it is begun.
    ok = alcove_proc:write(Proc, Line(4000)),
    {error, emsgsize} = alcove_proc:write(Proc, Line(96)),
    ok = alcove_proc:write(Proc, [Line(95), $\n]),
    expect(Proc, <<"4095\r\n">>),
    ok = alcove_proc:write(Proc, [[Line(4000), $\n] || _ <- lists:seq(1, 100)]),
    expect(Proc, binary:copy(<<"4000\r\n">>, 100)),
    ok = alcove_proc:eof(Proc),
    {ok, #{status := 0}} = alcove_proc:await(Proc),
    %% Before it runs.
    ?assertError({badarg, {stdin, line}}, alcove_proc:run(Drv, ["cat"], #{pty => true, stdin => Line(4096)})),
    {ok, #{stdout := Said}} = alcove_proc:run(Drv, ["cat"], #{pty => #{echo => false}, stdin => Line(4095)}),
    ?assertEqual(4095, byte_size(Said)),
    %% There are no lines where the program, or who starts it, wants none.
    {ok, Own} = alcove_proc:start(Drv, sh("stty raw -echo; echo ready; exec head -c 100000"), #{pty => #{echo => false}}),
    expect(Own, <<"ready\n">>),
    ok = alcove_proc:write(Own, Line(100000)),
    expect(Own, list_to_binary(Line(100000))),
    {ok, #{status := 0}} = alcove_proc:await(Own),
    %% Nor is one left of what there was while it wanted none.
    {ok, Again} = alcove_proc:start(Drv, sh("stty raw -echo; echo ready; head -c 5000 >/dev/null; stty cooked -echo;"
                                           "echo again; read -r line; echo ${#line}"), #{pty => #{echo => false}}),
    expect(Again, <<"ready\n">>),
    ok = alcove_proc:write(Again, Line(5000)),
    expect(Again, <<"again\r\n">>),
    ok = alcove_proc:write(Again, "abc\n"),
    expect(Again, <<"3\r\n">>),
    {ok, #{status := 0}} = alcove_proc:await(Again),
    %% Control-U drops what was typed of one.
    {ok, Dropped} = alcove_proc:start(Drv, sh("read -r line; echo ${#line}"), #{pty => #{echo => false}}),
    ok = alcove_proc:write(Dropped, [Line(4000), 21, Line(4000), $\n]),
    expect(Dropped, <<"4000\r\n">>),
    {ok, #{status := 0}} = alcove_proc:await(Dropped),
    {ok, #{stdout := Whole}} = alcove_proc:run(Drv, ["head", "-c", "100000"], #{pty => #{raw => true}, stdin => Line(100000)}),
    ?assertEqual(100000, byte_size(Whole)).

%% The next output, in as many pieces as it comes.
expect(Proc, Expected) ->
    expect(Proc, Expected, <<>>).

expect(_Proc, Expected, Expected) ->
    ok;
expect(Proc, Expected, Got) ->
    receive
        {alcove_proc, Proc, {stdout, Bytes}} -> expect(Proc, Expected, <<Got/binary, Bytes/binary>>)
    after alcove_test:ms(5000) -> ct:fail({Expected, Got})
    end.

terminal_size(Config) ->
    Drv = drv(Config),
    {ok, #{stdout := <<"24 80\r\n">>}} = alcove_proc:run(Drv, ["stty", "size"], #{pty => true}),
    {ok, #{stdout := <<"10 33\r\n">>}} = alcove_proc:run(Drv, ["stty", "size"], #{pty => #{rows => 10, cols => 33}}),
    {ok, Proc} = alcove_proc:start(Drv, sh("trap 'stty size; exit' WINCH; echo ready; while :; do sleep 0.01; done"),
                                   #{pty => {5, 6}}),
    expect(Proc, <<"ready\r\n">>),
    ok = alcove_proc:winsize(Proc, 50, 60),
    expect(Proc, <<"50 60\r\n">>),
    {ok, _} = alcove_proc:await(Proc),
    {ok, Pipe} = alcove_proc:start(Drv, ["cat"]),
    ?assertEqual({error, enotty}, alcove_proc:winsize(Pipe, 1, 1)),
    {ok, _} = alcove_proc:stop(Pipe),
    {ok, _} = alcove_proc:await(Pipe).

%% All of it arrives, the last bytes before the end included.
terminal_at_length(Config) ->
    {ok, #{stdout := Out}} =
        alcove_proc:run(drv(Config), sh("stty -opost; yes 0123456789 | head -n 20000; printf end"), #{pty => true}),
    ?assertEqual(11 * 20000 + 3, byte_size(Out)),
    ?assertEqual(<<"end">>, binary:part(Out, byte_size(Out), -3)).

terminal_is_lazy(Config) ->
    {ok, Proc} = alcove_proc:start(drv(Config), sh("stty -opost; yes | head -c 1000000"), #{pty => true, active => false}),
    Queued = fun() -> maps:get(queued, alcove_proc:info(Proc)) end,
    settled(Queued),
    ?assert(Queued() =< 32),
    ?assertEqual({ok, 1000000}, alcove_proc:fold(Proc, fun({stdout, Bytes}, N) -> N + byte_size(Bytes) end, 0)),
    {ok, #{status := 0}} = alcove_proc:await(Proc).

%% ---------------------------------------------------------------------------
%% Lines, and what is done with them
%% ---------------------------------------------------------------------------

lines(Config) ->
    Drv = drv(Config),
    Lines = [<<"a\n">>, <<"\n">>, <<"b\r\n">>, <<0, "c\n">>, <<255, 254, "\n">>, <<195, "\n">>, <<"last">>],
    Data = iolist_to_binary(Lines),
    {ok, Whole} = alcove_proc:start(Drv, ["cat"], #{lines => true, stdin => Data}),
    ?assertEqual([{stdout, Line} || Line <- Lines], said(Whole, [])),
    %% However it comes.
    {ok, Bytewise} = alcove_proc:start(Drv, ["cat"], #{lines => 100, active => false}),
    Reader = reader(Bytewise),
    [ok = alcove_proc:write(Bytewise, <<Byte>>) || <<Byte>> <= Data],
    ok = alcove_proc:eof(Bytewise),
    ?assertEqual([{stdout, Line} || Line <- Lines], read_by(Reader)),
    %% Each stream has lines of its own.
    {ok, Both} = alcove_proc:start(Drv, sh("printf a; printf b >&2; sleep 0.1; echo a; printf c >&2"), #{lines => true}),
    ?assertEqual([{stderr, <<"bc">>}, {stdout, <<"aa\n">>}], lists:sort(said(Both, []))),
    {ok, Terminal} = alcove_proc:start(Drv, sh("echo a; printf b"), #{lines => true, pty => true}),
    ?assertEqual([{stdout, <<"a\r\n">>}, {stdout, <<"b">>}], said(Terminal, [])),
    %% What is collected is none the different.
    {ok, #{stdout := Data}} = alcove_proc:run(Drv, ["cat"], #{lines => true, stdin => Data}),
    [?assertError({badarg, {lines, Wrong}}, alcove_proc:start(Drv, ["cat"], #{lines => Wrong}))
     || Wrong <- [0, -1, 1.0, <<"\n">>, undefined]],
    bare(Drv).

%% What an owner is told, to the end.
said(Proc, Said) ->
    receive
        {alcove_proc, Proc, {exit, {ok, #{status := 0}}}} -> lists:reverse(Said);
        {alcove_proc, Proc, What} -> said(Proc, [What | Said])
    after alcove_test:ms(20000) -> ct:fail(Said)
    end.

%% Reads to the end, by another process.
reader(Proc) ->
    Self = self(),
    spawn_link(fun() -> Self ! {self(), alcove_proc:fold(Proc, fun(Piece, Acc) -> [Piece | Acc] end, [])} end).

read_by(Reader) ->
    receive {Reader, {ok, Pieces}} -> lists:reverse(Pieces) after alcove_test:ms(20000) -> ct:fail(Reader) end.

%% Pieces of a line that is too long are as long as one may be, and nothing is lost or joined.
long_lines(Config) ->
    Drv = drv(Config),
    Take = {fun(eof, Lines) -> lists:reverse(Lines); (Line, Lines) -> [Line | Lines] end, []},
    Cut = fun(Data, Max) ->
        {ok, #{stdout := Lines}} = alcove_proc:run(Drv, ["cat"], #{stdin => Data, lines => Max, stdout => Take}),
        Lines
    end,
    ?assertEqual([], Cut("", 3)),
    ?assertEqual([<<"abc\n">>, <<"def">>, <<"g\n">>, <<"hij">>], Cut("abc\ndefg\nhij", 3)),
    ?assertEqual([<<"ab">>, <<"c\n">>, <<"\n">>, <<"\n">>, <<"de">>], Cut("abc\n\n\nde", 2)),
    ?assertEqual([<<"a">>, <<"b">>, <<"c\n">>], Cut("abc\n", 1)),
    Long = binary:copy(<<"x">>, 65536),
    ?assertEqual([<<Long/binary, "\n">>, Long, <<"y\n">>], Cut([Long, "\n", Long, "y\n"], true)),
    Longer = binary:copy(<<"x">>, 300000),
    ?assertEqual([<<Longer/binary, "\n">>, Longer], Cut([Longer, "\n", Longer], infinity)),
    [begin
         Data = << <<(lists:nth(rand:uniform(5), "\n\r\0xy"))>> || _ <- lists:seq(1, 3000) >>,
         Max = rand:uniform(8),
         Lines = Cut(Data, Max),
         ?assertEqual(Data, iolist_to_binary(Lines)),
         [?assertEqual(Max, byte_size(Line)) || Line <- lists:droplast(Lines), binary:last(Line) =/= $\n],
         [?assertEqual({[], true}, {[Line || <<"\n">> <- [binary:part(Line, 0, byte_size(Line) - 1)]],
                                    byte_size(string:trim(Line, trailing, "\n")) =< Max}) || Line <- Lines],
         {ok, Proc} = alcove_proc:start(Drv, ["cat"], #{stdin => Data, lines => Max, active => false}),
         ?assertEqual([{stdout, Line} || Line <- Lines], read_by(reader(Proc))),
         ?assertMatch({ok, _}, alcove_proc:await(Proc))
     end || _ <- lists:seq(1, 10)],
    bare(Drv).

%% A line is a message, also where one piece was many.
active_lines(Config) ->
    {ok, Proc} = alcove_proc:start(drv(Config), ["seq", "8"], #{lines => true, active => false}),
    Next = fun() -> receive {alcove_proc, Proc, What} -> What after alcove_test:ms(5000) -> nothing end end,
    ?assertEqual({ok, {stdout, <<"1\n">>}}, alcove_proc:read(Proc)),
    ok = alcove_proc:active(Proc, once),
    ?assertEqual({stdout, <<"2\n">>}, Next()),
    ?assertEqual({ok, {stdout, <<"3\n">>}}, alcove_proc:read(Proc)),
    ok = alcove_proc:active(Proc, 2),
    ?assertEqual([{stdout, <<"4\n">>}, {stdout, <<"5\n">>}, passive], [Next(), Next(), Next()]),
    ?assertEqual({ok, {stdout, <<"6\n">>}}, alcove_proc:read(Proc)),
    ok = alcove_proc:active(Proc, true),
    ?assertEqual([{stdout, <<"7\n">>}, {stdout, <<"8\n">>}], [Next(), Next()]),
    ?assertMatch({exit, {ok, #{status := 0}}}, Next()).

%% An owner that doesn't read isn't given a million messages for a megabyte, and one that has other
%% mail is given all of them.
lines_of_an_owner_that_is_behind(Config) ->
    Drv = drv(Config),
    Length = fun() -> element(2, process_info(self(), message_queue_len)) end,
    Behind = fun(Script, Other) ->
        [self() ! other || _ <- lists:seq(1, Other)],
        {ok, Proc} = alcove_proc:start(Drv, sh(Script), #{lines => true}),
        true = alcove_test:until(fun() -> Length() - Other > 200 end),
        settled(Length),
        ?assert(Length() - Other < 1000, {Other, Length(), alcove_proc:info(Proc)}),
        #{state := running} = alcove_proc:info(Proc),
        Proc
    end,
    Millions = Behind("yes '' | head -c 6000000", 0),
    ?assertEqual(6000000, count(Millions, <<"\n">>, 0)),
    %% Nor when the program has ended.
    Newlines = binary:copy(<<"\n">>, 70000),
    {ok, Ended} = alcove_proc:start(Drv, ["cat"], #{lines => true, stdin => Newlines, active => false}),
    true = alcove_test:until(fun() -> maps:get(state, alcove_proc:info(Ended)) =:= ended end),
    ok = alcove_proc:active(Ended, true),
    #{queued := Queued} = alcove_proc:info(Ended),
    ?assert(Queued > 0),
    ?assertEqual(70000, count(Ended, <<"\n">>, 0)),
    Many = Behind("yes '' | head -c 5000; sleep 0.1; read x; yes '' | head -c 5000", 1000),
    ok = alcove_proc:write(Many, "x\n"),
    ?assertEqual(10000, count(Many, <<"\n">>, 0)),
    [receive other -> ok end || _ <- lists:seq(1, 1000)],
    %% Who waits for the end gets there, if it isn't more than was on its way.
    {ok, Few} = alcove_proc:start(Drv, ["seq", "3000"], #{lines => true}),
    {ok, #{status := 0}} = alcove_proc:await(Few, alcove_test:ms(20000)),
    [receive {alcove_proc, Few, {stdout, _}} -> ok after 0 -> ct:fail(N) end || N <- lists:seq(1, 3000)],
    %% What is said at the end is heard, also by who asks for the end.
    Talks = "exec 2>/dev/null; trap 'seq 2000; printf bye; exit 0' TERM; echo ready; while :; do sleep 0.01; done",
    {ok, Stops} = alcove_proc:start(Drv, sh(Talks), #{lines => true}),
    receive {alcove_proc, Stops, {stdout, <<"ready\n">>}} -> ok end,
    {ok, #{status := 0}} = alcove_proc:stop(Stops),
    ?assertEqual({2001, {stdout, <<"bye">>}}, begin All = said(Stops, []), {length(All), lists:last(All)} end),
    {ok, Ends} = alcove_proc:start(Drv, ["yes", ""], #{lines => true}),
    true = alcove_test:until(fun() -> Length() > 200 end),
    {ok, _} = alcove_proc:stop(Ends, 0),
    bare(Drv).

count(Proc, Line, N) ->
    receive
        {alcove_proc, Proc, {stdout, Line}} -> count(Proc, Line, N + 1);
        {alcove_proc, Proc, {exit, {ok, #{status := 0}}}} -> N
    after alcove_test:ms(20000) -> ct:fail(N)
    end.

lines_of_another_node(_Config) ->
    alcove_test:nodes(
      fun(There, Here) ->
          Drv = alcove_test:in_peer(There, fun() -> alcove_test:hold([]) end),
          ok = alcove_test:in_peer(Here, fun() ->
              {ok, Proc} = alcove_proc:start(Drv, ["seq", "5000"], #{lines => true}),
              [receive {alcove_proc, Proc, {stdout, <<_, _/binary>> = Line}} -> N = binary_to_integer(string:trim(Line)) end
               || N <- lists:seq(1, 5000)],
              {ok, _} = alcove_proc:await(Proc),
              {ok, #{stdout := 5000}} =
                  alcove_proc:run(Drv, ["seq", "5000"],
                                  #{lines => true, stdout => {fun(eof, N) -> N; (_, N) -> N + 1 end, 0}}),
              ok
          end)
      end).

%% A function is told of the end, after all pieces, of each stream, also when there were none.
folds(Config) ->
    Drv = drv(Config),
    Count = {fun(eof, N) -> {all, N}; (Bytes, N) -> N + byte_size(Bytes) end, 0},
    Run = fun(Argv, Options) -> alcove_proc:run(Drv, Argv, Options#{stdout => Count}) end,
    {ok, #{stdout := {all, 3000000}, stderr := <<>>}} = Run(sh("yes | head -c 3000000"), #{}),
    {ok, #{stdout := {all, 0}, stderr := {all, 2}}} = Run(sh("echo x >&2"), #{stderr => Count}),
    {ok, #{stdout := {all, 4}}} = Run(sh("echo x; echo y >&2"), #{stderr => stdout}),
    {ok, #{stdout := {all, 3}}} = Run(sh("echo x"), #{pty => true}),
    {error, {timeout, #{stdout := {all, 2}}}} = Run(sh("echo x; sleep 1000"), #{timeout => 1000}),
    Self = self(),
    Tell = {fun(What, Told) -> Self ! {Told, What}, Told end, told},
    Told = fun() -> receive {told, What} -> What after alcove_test:ms(5000) -> nothing end end,
    {ok, Proc} = alcove_proc:start(Drv, ["cat"], #{stdout => Tell}),
    ok = alcove_proc:write(Proc, "x"),
    ?assertEqual(<<"x">>, Told()),
    {ok, #{stdout := told}} = alcove_proc:stop(Proc),
    ?assertEqual(eof, Told()),
    %% Also when Drv ends.
    {ok, Lost} = alcove_proc:start({start, []}, sh("printf x; exec cat"), #{stdout => Tell, lines => true}),
    true = alcove_test:until(fun() -> maps:get(output_bytes, alcove_drv:info(drv_of(Lost))) > 0 end),
    _ = alcove_drv:stop(drv_of(Lost)),
    ?assertEqual([<<"x">>, eof, nothing], [Told(), Told(), receive {told, More} -> More after 0 -> nothing end]),
    [?assertError({badarg, {stdout, _}}, alcove_proc:run(Drv, ["true"], #{stdout => Wrong}))
     || Wrong <- [fun() -> ok end, fun(_, _) -> ok end, {fun(_) -> ok end, []}]].

drv_of(Proc) ->
    maps:get(drv, alcove_proc:info(Proc)).

%% A function that fails ends the program and is the outcome, however late it is called.
functions_that_fail(Config) ->
    Drv = drv(Config),
    ok = logger:set_primary_config(level, none),
    Fails = fun(_) -> exit(oops) end,
    [?assertEqual({error, {process, oops}}, alcove_proc:run(Drv, sh(Script), #{stdout => Sink, lines => Lines}))
     || Script <- ["echo x", "printf x", "echo x; sleep 0.05", "yes"],
        Sink <- [Fails, {fun(_, _) -> exit(oops) end, []}], Lines <- [true, Script =:= "printf x"]],
    {error, {process, oops}} =
        alcove_proc:run(Drv, ["true"], #{stdout => {fun(eof, _) -> exit(oops) end, []}}),
    %% However it ends, and with whatever reason.
    [?assertEqual({error, {process, normal}}, alcove_proc:run(Drv, sh("echo x"), #{stdout => Sink, timeout => 60000}))
     || Sink <- [fun(_) -> exit(normal) end, {fun(_, _) -> exit(normal) end, 0},
                 {fun(eof, _) -> exit(normal); (_, Acc) -> Acc end, 0}]],
    {ok, Proc} = alcove_proc:start(Drv, sh("echo x; exec sleep 1000"), #{stdout => Fails}),
    ?assertEqual({error, {process, oops}}, alcove_proc:await(Proc, alcove_test:ms(20000))),
    ok = logger:set_primary_config(level, notice),
    bare(Drv).

%% On the console of another virtual machine, whose streams are pipes.
console(Config) ->
    Erl = filename:join([code:root_dir(), "bin", "erl"]),
    Run = fun(Encoding) ->
        Eval = ["[ok = io:setopts(Device, [{encoding, ", Encoding, "}]) || Device <- [user, standard_error]], "
                "{ok, Drv} = alcove_drv:start(), "
                "{ok, #{status := 0} = Result} = alcove_proc:run(Drv, [\"sh\", \"-c\", "
                "\"printf 'a\\\\303'; sleep 0.2; printf '\\\\244b\\\\377c\\\\0\\n'; printf 'err\\\\303' >&2\"], "
                "#{stdout => console, stderr => console}), "
                "false = maps:is_key(stdout, Result) orelse maps:is_key(stderr, Result), "
                "alcove_drv:stop(Drv), init:stop()."],
        {ok, #{status := 0, stdout := Out, stderr := Err}} =
            alcove_proc:run(drv(Config), [Erl, "-noshell", "-pa", filename:dirname(code:which(alcove)), "-eval", Eval],
                            #{env => #{"ERL_FLAGS" => false}, timeout => 50000}),
        {Out, Err}
    end,
    ?assertEqual({<<"a", 195, 164, "b", 255, "c", 0, "\n">>, <<"err", 195>>}, Run("latin1")),
    ?assertEqual({<<"a", 195, 164, "b", 195, 191, "c", 0, "\n">>, <<"err", 195, 131>>}, Run("unicode")).

logged_lines(Config) ->
    Drv = drv(Config),
    ok = logger:add_handler(?MODULE, ?MODULE, #{config => self(), level => all}),
    try
        Said = fun() ->
            receive {log, #{level := Level, msg := {Format, Args}, meta := Meta}} ->
                {Level, unicode:characters_to_binary(io_lib:format(Format, Args)), Meta}
            after alcove_test:ms(5000) -> nothing
            end
        end,
        Script = "printf 'one\\ntwo\\r\\n\\n\\377\\n'; printf '%s' \"$1\"",
        Argv = ["sh", "-c", Script, "sh", <<"l\xc3\xa4st"/utf8>>],
        {ok, Result} = alcove_proc:run(Drv, ["/bin/sh" | tl(Argv)], #{stdout => {log, error}}),
        ?assertNot(is_map_key(stdout, Result)),
        [?assertMatch({error, Line, #{stream := stdout, pid := Pid}} when is_pid(Pid), Said())
         || Line <- [<<"sh: one">>, <<"sh: two">>, <<"sh: ">>, <<"sh: ÿ"/utf8>>, <<"sh: l\xc3\xa4st"/utf8>>]],
        {ok, Proc} = alcove_proc:start(Drv, sh("echo err >&2; read x; echo $x"),
                                       #{stderr => {log, critical, #{prefix => "", job => 7}}, stdout => {log, debug},
                                         stdin => <<"y">>}),
        ?assertMatch({critical, <<"err">>, #{stream := stderr, job := 7, pid := Proc}}, Said()),
        {ok, _} = alcove_proc:await(Proc),
        {ok, _} = alcove_proc:run(Drv, ["printf", "abcdef"], #{stdout => {log, error, #{prefix => [" ", 16#20ac]}}, lines => 4}),
        ?assertEqual([<<" €abcd"/utf8>>, <<" €ef"/utf8>>], [Line || {_, Line, _} <- [Said(), Said()]]),
        %% No line is cut in a character.
        Logs = fun(Bytes, Options) ->
            {ok, _} = alcove_proc:run(Drv, ["cat"], Options#{stdin => {data, Bytes}, stdout => {log, error, #{prefix => ""}}}),
            fun Logs() ->
                receive {log, #{msg := {"~ts~ts", [_, Line]}}} -> [Line | Logs()] after 0 -> [] end
            end()
        end,
        Long = unicode:characters_to_binary([$x, lists:duplicate(5000, "é")]),
        <<First:8191/binary, Then/binary>> = Long,
        ?assertEqual([First, Then, <<"next">>], Logs([Long, "\nnext\n"], #{})),
        ?assertEqual([First, Then], Logs(Long, #{})),
        ?assertEqual([<<"€a"/utf8>>, <<"bcd">>], Logs(<<"€abcd\n"/utf8>>, #{lines => 4})),
        ?assertEqual([<<"a">>, <<"€"/utf8>>, <<"b">>, <<"€"/utf8>>], Logs(<<"a€b€\n"/utf8>>, #{lines => 2})),
        ?assertEqual([<<"€"/utf8>>, <<"é"/utf8>>], Logs(<<"€é\n"/utf8>>, #{lines => 1})),
        %% What never becomes a character is Latin-1.
        ?assertEqual([<<"ab">>, <<"Ãcde"/utf8>>, <<"f">>], Logs(<<"ab", 195, "cdef">>, #{lines => 3})),
        ?assertEqual([<<"ab">>, <<"Ãc"/utf8>>], Logs(<<"ab", 195, "c\n">>, #{lines => 3})),
        ?assertEqual([<<"ab">>, <<"â\x{82}"/utf8>>], Logs(<<"ab", 226, 130>>, #{lines => 3})),
        ?assertEqual([<<"aÃ"/utf8>>], Logs(<<"a", 195>>, #{})),
        receive {log, Event} -> ct:fail(Event) after 0 -> ok end
    after
        logger:remove_handler(?MODULE)
    end,
    [?assertError({badarg, {stderr, Wrong}}, alcove_proc:run(Drv, ["true"], #{stderr => Wrong}))
     || Wrong <- [{log, loud}, {log, info, []}, {log, info, #{prefix => a}}, {log, info, #{"job" => 7}}, log,
                  {log, info, #{logger_formatter => #{title => 7}}}]
            ++ [{log, info, #{Key => Value}} || {Key, Value} <- own_of_logger()]],
    %% Only what is wrong is in the error.
    ?assertError({badarg, {stdout, {log, info, #{time := <<"12:00">>}}}},
                 alcove_proc:run(Drv, ["true"], #{stdout => {log, info, #{prefix => "x", job => 7, time => <<"12:00">>}}})),
    %% What is right is logger's metadata.
    Right = #{domain => [a, b], gl => whereis(user), time => 0, mfa => {a, b, 1}, file => "f", line => 7, pid => self(),
              report_cb => fun logger:format_report/1, logger_formatter => #{title => "T"}},
    ok = logger:add_handler(?MODULE, ?MODULE, #{config => self(), level => all}),
    try
        {ok, _} = alcove_proc:run(Drv, ["echo", "x"], #{stdout => {log, error, Right}}),
        receive {log, #{meta := Given} = Logged} ->
            ?assertEqual(Right, maps:with(maps:keys(Right), Given)),
            ?assertMatch({match, _}, re:run(logger_formatter:format(Logged, #{legacy_header => true}), "=T==== .*\necho: x"))
        after alcove_test:ms(5000) -> ct:fail(nothing)
        end
    after
        logger:remove_handler(?MODULE)
    end.

%% Keys that logger has itself, with values that it can't use.
own_of_logger() ->
    [{gl, group_a}, {time, <<"12:00">>}, {time, -1}, {time, 1 bsl 80}, {domain, <<"example.com">>}, {domain, [<<"a">>]},
     {domain, [a | b]}, {report_cb, x}, {mfa, "f/1"}, {mfa, {a, b, c}}, {file, 7}, {line, "7"}, {pid, 7}, {logger_formatter, x}].

%% ---------------------------------------------------------------------------
%% Processes
%% ---------------------------------------------------------------------------

exit_reasons(Config) ->
    Drv = drv(Config),
    process_flag(trap_exit, true),
    Reason = fun(Argv, Options) ->
        {ok, Proc} = alcove_proc:start_link(Drv, Argv, Options),
        receive {'EXIT', Proc, Why} -> Why after alcove_test:ms(10000) -> nothing end
    end,
    ?assertEqual(normal, Reason(["true"], #{})),
    ?assertEqual({exit_status, 3}, Reason(sh("exit 3"), #{})),
    ?assertEqual({termsig, sigkill}, Reason(sh("kill -9 $$"), #{})),
    ?assertEqual(timeout, Reason(["sleep", "1000"], #{timeout => 1000})),
    ?assertEqual({output_limit, stdout}, Reason(["yes"], #{stdout => {collect, 10}})),
    %% A start that fails is a value, and no exit signal.
    Links = process_info(self(), links),
    {error, {execvp, enoent}} = alcove_proc:start_link(Drv, ["/nowhere"]),
    %% A link is there until an exit signal over it is a message.
    true = alcove_test:until(fun() -> process_info(self(), links) =:= Links end),
    receive {'EXIT', _, Other} -> ct:fail(Other) after 0 -> ok end,
    process_flag(trap_exit, false).

%% A program that fails is nothing to log, nor is one that can't start.
quiet(Config) ->
    Drv = drv(Config),
    Self = self(),
    ok = logger:add_handler(?MODULE, ?MODULE, #{config => Self, level => all}),
    try
        {ok, Proc} = alcove_proc:start(Drv, sh("read x; exit 3")),
        Ref = monitor(process, Proc),
        ok = alcove_proc:eof(Proc),
        receive {'DOWN', Ref, process, Proc, Reason} -> ?assertEqual({exit_status, 3}, Reason) end,
        {error, _} = alcove_proc:start(Drv, ["/nowhere"]),
        {ok, #{status := 1}} = alcove_proc:run(Drv, ["false"]),
        {error, {timeout, _}} = alcove_proc:run(Drv, ["sleep", "1000"], #{timeout => 1000}),
        %% What a process logs it logs before it is gone, and what the virtual machine logs comes in
        %% order: its error about this process is the last.
        true = alcove_test:until(fun() -> not lists:any(fun is_program/1, processes()) end),
        Last = spawn(fun() -> error(last) end),
        receive {log, Event} -> ?assertMatch(#{meta := #{pid := Last}}, Event) after alcove_test:ms(5000) -> ct:fail(nothing) end
    after
        logger:remove_handler(?MODULE)
    end.

is_program(Pid) ->
    proc_lib:translate_initial_call(Pid) =:= {alcove_proc_server, init, 1}.

%% The handler of logger's.
log(Event, #{config := Pid}) ->
    Pid ! {log, Event}.

%% Nothing that a program's process is asked can end it, and what was wrong is said.
wrong_arguments(Config) ->
    {ok, Proc} = alcove_proc:start(drv(Config), ["cat"], #{pty => true}),
    Wrong = fun(Function, Args, Position, Pattern) ->
        try apply(alcove_proc, Function, Args) of
            Value -> ct:fail({Function, Args, Value})
        catch
            error:badarg:Stack ->
                ?assertMatch([{alcove_proc, Function, Args, _} | _], Stack),
                #{Position := Text} = alcove_errors:format_error(badarg, Stack),
                ?assertMatch({match, _}, re:run(Text, Pattern), {Function, Args})
        end
    end,
    [Wrong(Function, ["nothing" | Args], 1, "not a pid.*name")
     || {Function, Args} <- [{write, ["x"]}, {eof, []}, {read, [0]}, {read, [0, 1]}, {fold, [fun(_, Acc) -> Acc end, []]}, {write, ["x", 0]},
                             {active, [true]}, {await, [0]}, {await, [0, kill]}, {close, [stdout]},
                             {signal, [sigterm]}, {stop, []}, {stop, [0]}, {winsize, [1, 1]}, {info, []},
                             {controlling_process, [self()]}]],
    Wrong(write, [Proc, nothing], 2, "iodata"),
    Wrong(write, [Proc, [-1]], 2, "iodata"),
    Wrong(write, [Proc, "x", soon], 3, "timeout"),
    Wrong(write, [Proc, nothing, 0], 2, "iodata"),
    Wrong(read, [Proc, soon], 2, "timeout"),
    Wrong(read, [Proc, soon, 1], 2, "timeout"),
    [Wrong(read, [Proc, 0, Max], 3, "bytes") || Max <- [0, -1, 1.0, "1"]],
    Wrong(fold, [Proc, fun() -> ok end, []], 2, "function"),
    Wrong(active, [Proc, 0], 2, "active"),
    Wrong(await, [Proc, -1], 2, "timeout"),
    Wrong(await, [Proc, -1, kill], 2, "timeout"),
    Wrong(await, [Proc, 0, stop], 3, "kill"),
    Wrong(close, [Proc, output], 2, "stdin, stdout or stderr"),
    Wrong(signal, [Proc, sigsomething], 2, "signal"),
    Wrong(signal, [Proc, -1], 2, "signal"),
    Wrong(stop, [Proc, never], 2, "milliseconds"),
    Wrong(winsize, [Proc, 0, 80], 2, "rows"),
    Wrong(winsize, [Proc, 24, 65536], 3, "columns"),
    Wrong(controlling_process, [Proc, nobody], 2, "pid"),
    #{state := running} = alcove_proc:info(Proc),
    {ok, _} = alcove_proc:stop(Proc),
    {ok, _} = alcove_proc:await(Proc),
    {ok, Nobodys} = alcove_proc:start(drv(Config), ["cat"], #{owner => none}),
    ?assertEqual({error, no_owner}, alcove_proc:active(Nobodys, once)),
    %% Characters that aren't bytes.
    ok = alcove_proc:write(Nobodys, [16#20ac]),
    ?assertEqual({ok, {stdout, <<16#20ac/utf8>>}}, alcove_proc:read(Nobodys)),
    {ok, _} = alcove_proc:stop(Nobodys).

stopped(Config) ->
    Drv = drv(Config),
    {ok, Proc} = alcove_proc:start(Drv, ["sleep", "1000"]),
    Ref = monitor(process, Proc),
    ?assertMatch({ok, #{status := {termsig, sigterm}}}, alcove_proc:stop(Proc)),
    receive {'DOWN', Ref, process, Proc, Reason} -> ?assertEqual(normal, Reason) end,
    {ok, Hard} = alcove_proc:start(Drv, sh("trap '' TERM; echo ready; while :; do sleep 1; done")),
    receive {alcove_proc, Hard, {stdout, _}} -> ok end,
    ?assertMatch({ok, #{status := {termsig, sigkill}}}, alcove_proc:stop(Hard, 100)),
    {ok, Soft} = alcove_proc:start(Drv, ["sleep", "1000"]),
    ?assertMatch({ok, #{status := {termsig, sigkill}}}, alcove_proc:stop(Soft, 0)),
    ?assertEqual({error, closed}, alcove_proc:stop(Soft)),
    bare(Drv).

%% Who has waited for long enough ends it, and has the outcome.
awaited_and_killed(Config) ->
    Drv = drv(Config),
    Stubborn = sh("trap '' TERM; setsid sleep 1000 & echo ready; while :; do sleep 1; done"),
    {ok, Proc} = alcove_proc:start(Drv, Stubborn),
    Ref = monitor(process, Proc),
    receive {alcove_proc, Proc, {stdout, _}} -> ok end,
    {error, {timeout, #{status := {termsig, sigkill}, os_pid := Pid}}} = alcove_proc:await(Proc, 100, kill),
    ?assertNot(alcove_test:alive(Pid)),
    receive {'DOWN', Ref, process, Proc, Reason} -> ?assertEqual(timeout, Reason) end,
    ?assertEqual({messages, []}, process_info(self(), messages)),
    bare(Drv),
    %% Whoever waits, and whatever nobody reads.
    {ok, Yes} = alcove_proc:start(Drv, ["yes"], #{active => false, lines => true, tag => mine}),
    Self = self(),
    spawn_link(fun() -> Self ! {waited, alcove_proc:await(Yes, 100, kill)} end),
    receive {waited, Waited} -> ?assertMatch({error, {timeout, #{status := {termsig, sigkill}}}}, Waited) end,
    receive {mine, Yes, {exit, Exit}} -> ?assertMatch({error, {timeout, _}}, Exit) end,
    {ok, Done} = alcove_proc:start(Drv, ["seq", "10"], #{active => false}),
    true = alcove_test:until(fun() -> maps:get(state, alcove_proc:info(Done)) =:= ended end),
    ?assertMatch({ok, #{status := 0}}, alcove_proc:await(Done, 0, kill)),
    ?assertEqual({error, {process, noproc}}, alcove_proc:await(Done, 0, kill)),
    {ok, Soon} = alcove_proc:start(Drv, ["true"]),
    ?assertMatch({ok, #{status := 0}}, alcove_proc:await(Soon, 20000, kill)),
    ?assertEqual({error, {process, noproc}}, alcove_proc:await(alcove_use_nobody, 0, kill)).

%% Why a program was ended from outside is its outcome.
outcomes(Config) ->
    Drv = drv(Config),
    Self = self(),
    {ok, Sup} = supervisor:start_link(?MODULE, [
        alcove_proc:child_spec(#{drv => Drv, argv => ["sleep", "1000"], options => #{owner => Self}})]),
    [{_, Child, _, _}] = supervisor:which_children(Sup),
    unlink(Sup),
    ok = gen_server:stop(Sup, shutdown, alcove_test:ms(20000)),
    {error, {shutdown, #{status := {termsig, sigterm}}}} = alcove_proc:await(Child),
    {Owner, _} = spawn_monitor(fun() ->
        {ok, Proc} = alcove_proc:start(Drv, ["sleep", "1000"]),
        Self ! Proc,
        receive stop -> ok end
    end),
    Orphan = receive P when is_pid(P) -> P end,
    spawn_link(fun() -> Self ! {awaited, alcove_proc:await(Orphan)} end),
    true = alcove_test:until(fun() -> {monitored_by, By} = process_info(Orphan, monitored_by), By =/= [] end),
    Owner ! stop,
    receive {awaited, Outcome} ->
        ?assertMatch({error, {{shutdown, owner_died}, #{status := {termsig, sigterm}}}}, Outcome)
    end,
    {ok, Killed} = alcove_proc:start(Drv, ["sleep", "1000"], #{owner => none}),
    spawn_link(fun() -> Self ! {awaited, alcove_proc:await(Killed)} end),
    true = alcove_test:until(fun() -> {monitored_by, By} = process_info(Killed, monitored_by), By =/= [] end),
    exit(Killed, kill),
    receive {awaited, Gone} -> ?assertEqual({error, {process, killed}}, Gone) end,
    bare_soon(Drv).

owner_ends(Config) ->
    Drv = drv(Config),
    Self = self(),
    %% Also if there is output that it would have read.
    [begin
         {Owner, _} = spawn_monitor(fun() ->
             {ok, Proc} = alcove_proc:start(Drv, sh(Script), Options#{name => {local, ?MODULE}}),
             Self ! Proc,
             receive stop -> ok end
         end),
         Proc = receive P when is_pid(P) -> P end,
         Ref = monitor(process, Proc),
         true = alcove_test:until(fun() -> maps:get(queued, alcove_proc:info(Proc)) =:= Queued end),
         Owner ! stop,
         receive
             {'DOWN', Ref, process, Proc, Reason} -> ?assertEqual({shutdown, owner_died}, Reason)
         after alcove_test:ms(20000) -> ct:fail({stays, Options})
         end,
         undefined = whereis(?MODULE)
     end || {Script, Options, Queued} <- [{"sleep 1000", #{}, 0},
                                          {"echo a; exec sleep 1000", #{active => false}, 1},
                                          {"echo a; exec sleep 1000", #{active => false, lines => 10}, 1}]],
    bare(Drv).

%% A process that is killed cleans nothing up; its program ends all the same.
killed(Config) ->
    Drv = drv(Config),
    {ok, Proc} = alcove_proc:start(Drv, sh("trap '' TERM; setsid sleep 1000 & while :; do sleep 1; done"),
                                   #{grace => 500}),
    true = alcove_test:until(fun() -> length(alcove_test:descendants(root_pid(Drv))) >= 3 end),
    exit(Proc, kill),
    bare_soon(Drv),
    %% Nor does anybody else hear of it.
    alcove_test:stop(Drv),
    ?assertEqual({messages, []}, process_info(self(), messages)).

root_pid(Drv) ->
    maps:get(os_pid, alcove_drv:info(Drv)).

%% The supervisor's callback.
init(Specs) ->
    {ok, {#{strategy => one_for_one, intensity => 3, period => 10}, Specs}}.

supervised(Config) ->
    Drv = drv(Config),
    process_flag(trap_exit, true),
    Count = path(Config, "count"),
    Again = "echo x >> " ++ Count ++ "; [ $(wc -l < " ++ Count ++ ") -ge 3 ]",
    ok = logger:set_primary_config(level, none),
    {ok, Sup} = supervisor:start_link(?MODULE, [
        alcove_drv:child_spec([{name, alcove_use}, {owner, self()}]),
        alcove_proc:child_spec(#{id => sleeps, drv => alcove_use, argv => ["sleep", "1000"], restart => permanent}),
        alcove_proc:child_spec(#{id => again, drv => alcove_use, argv => sh(Again)}),
        alcove_proc:child_spec(#{id => echo, drv => alcove_use, argv => ["echo", "hi"], options => #{owner => self()}})
    ]),
    receive {alcove_proc, _, {stdout, <<"hi\n">>}} -> ok end,
    %% It is restarted until it ends with 0.
    true = alcove_test:until(fun() -> file:read_file(Count) =:= {ok, <<"x\nx\nx\n">>} end),
    true = alcove_test:until(fun() -> undefined =:= child(again, Sup) end),
    Sleeps = child(sleeps, Sup),
    #{os_pid := Pid} = alcove_proc:info(Sleeps),
    ok = alcove_proc:signal(Sleeps, sigkill),
    true = alcove_test:until(fun() -> is_pid(child(sleeps, Sup)) andalso child(sleeps, Sup) =/= Sleeps end),
    ?assertNot(alcove_test:alive(Pid)),
    #{os_pid := Pid2} = alcove_proc:info(child(sleeps, Sup)),
    ?assertEqual({error, {already_started, whereis(alcove_use)}}, alcove_drv:start([{name, alcove_use}])),
    ok = gen_server:stop(Sup, shutdown, alcove_test:ms(20000)),
    ?assertNot(alcove_test:alive(Pid2)),
    ?assertEqual(undefined, whereis(alcove_use)),
    {error, {shutdown, {failed_to_start_child, _, {execvp, enoent}}}} =
        supervisor:start_link(?MODULE, [alcove_proc:child_spec({Drv, ["/nowhere"]})]),
    ok = logger:set_primary_config(level, notice),
    ?assertMatch(#{id := alcove_proc, start := {alcove_proc, _, _}}, alcove_proc:child_spec({Drv, ["true"], #{}})),
    %% A name may be anybody's later; what is wrong now is wrong.
    #{shutdown := Soon} = alcove_proc:child_spec({nobody_yet, ["true"], [{grace, 0}, {owner, nobody_yet}]}),
    #{shutdown := Late} = alcove_proc:child_spec(#{drv => {start, []}, argv => ["true"], options => #{grace => 60000}}),
    ?assertEqual(60000, Late - Soon),
    [?assertError({badarg, Option}, alcove_proc:child_spec(Spec))
     || {Option, Spec} <- [{nothing, nothing}, {{no_such, 1}, {Drv, ["true"], #{no_such => 1}}},
                           {{drv, '[...]'}, #{drv => "x", argv => ["true"]}}]],
    ?assertError({badarg, {argv, _}}, alcove_proc:child_spec({Drv, []})),
    process_flag(trap_exit, false),
    bare(Drv).

child(Id, Sup) ->
    {Id, Child, _, _} = lists:keyfind(Id, 1, supervisor:which_children(Sup)),
    Child.

%% Signals go to the group.
signals(Config) ->
    {ok, Proc} = alcove_proc:start(drv(Config), sh("trap 'echo usr1' USR1; sh -c \"trap 'echo child; exit' USR1; echo ready; while :; do sleep 0.01; done\"; echo end")),
    receive {alcove_proc, Proc, {stdout, <<"ready\n">>}} -> ok end,
    ok = alcove_proc:signal(Proc, sigusr1),
    ?assertEqual(<<"child\nusr1\nend\n">>, pushed(Proc, [])),
    ?assertEqual({error, closed}, alcove_proc:signal(Proc, sigusr1)).

looked_at(Config) ->
    Drv = drv(Config),
    {ok, Proc} = alcove_proc:start(Drv, ["cat"]),
    #{drv := Drv, argv := [<<"cat">>], state := running, owner := Owner, os_pid := Pid, fork_path := [_, Pid]} =
        alcove_proc:info(Proc),
    ?assertEqual(self(), Owner),
    {status, Proc, _, [_, _, _, _, Data]} = sys:get_status(Proc),
    ?assertMatch({match, _}, re:run(io_lib:format("~p", [Data]), "fork_path")),
    {ok, _} = alcove_proc:stop(Proc),
    {ok, _} = alcove_proc:await(Proc),
    ?assertEqual({error, closed}, alcove_proc:info(Proc)).

%% A name is taken before anything runs, is good for every function, and free again when it is told.
names(Config) ->
    Drv = drv(Config),
    [begin
         {ok, Proc} = alcove_proc:start(Drv, ["cat"], #{name => Name, active => false}),
         ?assertMatch(#{name := Name}, alcove_proc:info(Server)),
         Before = programs(Drv),
         ?assertEqual({error, {already_started, Proc}},
                      alcove_proc:start_link(Drv, sh("echo > " ++ path(Config, "ran")), #{name => Name})),
         ?assertEqual({error, {already_started, Proc}}, alcove_proc:run(Drv, ["true"], #{name => Name})),
         ?assertEqual(Before, programs(Drv)),
         ok = alcove_proc:write(Server, "a"),
         {ok, {stdout, <<"a">>}} = alcove_proc:read(Server),
         ok = alcove_proc:write(Server, "b", 5000),
         {ok, {stdout, <<"b">>}} = alcove_proc:read(Server, alcove_test:ms(5000)),
         {error, timeout} = alcove_proc:read(Server, 0, 1),
         {error, enotty} = alcove_proc:winsize(Server, 1, 1),
         ok = alcove_proc:active(Server, true),
         ok = alcove_proc:active(Server, false),
         {error, timeout} = alcove_proc:await(Server, 0),
         ok = alcove_proc:controlling_process(Server, self()),
         ok = alcove_proc:signal(Server, sigcont),
         ok = alcove_proc:eof(Server),
         {ok, []} = alcove_proc:fold(Server, fun(Piece, Acc) -> [Piece | Acc] end, []),
         {ok, #{status := 0}} = alcove_proc:await(Proc),
         ?assertEqual({error, closed}, alcove_proc:stop(Server)),
         ?assertEqual({error, closed}, alcove_proc:write(Server, "x")),
         ?assertEqual(eof, alcove_proc:read(Server)),
         ?assertEqual({error, {process, noproc}}, alcove_proc:await(Server)),
         %% One that could not start has none either.
         {error, {execvp, enoent}} = alcove_proc:start(Drv, ["/nowhere"], #{name => Name}),
         {ok, Again} = alcove_proc:start(Drv, ["sleep", "1000"], #{name => Name}),
         {ok, _} = alcove_proc:stop(Server, 0),
         {ok, _} = alcove_proc:await(Again),
         {ok, #{stdout := <<"x\n">>}} = alcove_proc:run(Drv, ["echo", "x"], #{name => Name})
     end || {Name, Server} <- [{{local, alcove_use_name}, alcove_use_name},
                               {{local, alcove_use_name}, {alcove_use_name, node()}},
                               {{global, {alcove_use, 1}}, {global, {alcove_use, 1}}},
                               {{via, global, "alcove"}, {via, global, "alcove"}}]],
    ?assertNot(filelib:is_file(path(Config, "ran"))),
    %% One that is killed loses it.
    {ok, Killed} = alcove_proc:start({start, []}, ["sleep", "1000"], #{name => {local, alcove_use_name}}),
    exit(Killed, kill),
    true = alcove_test:until(fun() -> whereis(alcove_use_name) =:= undefined end),
    %% A run is known by its name, too.
    {_, Ref} = spawn_monitor(fun() -> exit(alcove_proc:run(Drv, ["sleep", "1000"], #{name => {local, alcove_use_name}})) end),
    true = alcove_test:until(fun() -> alcove_proc:info(alcove_use_name) =/= {error, closed} end),
    {ok, _} = alcove_proc:stop(alcove_use_name, 0),
    receive {'DOWN', Ref, process, _, Reason} -> ?assertMatch({ok, #{status := {termsig, sigkill}}}, Reason) end,
    {error, {name, undef}} = alcove_proc:start(Drv, ["true"], #{name => {via, alcove_no_module, x}}),
    {error, {already_started, Init}} = alcove_proc:start(Drv, ["true"], #{name => {local, init}}),
    ?assertEqual(whereis(init), Init),
    [?assertError({badarg, {name, Wrong}}, alcove_proc:start(Drv, ["true"], #{name => Wrong}))
     || Wrong <- [a, "a", {local, "a"}, {local, undefined}, {via, "m", a}, {node(), a}, undefined]],
    ?assertError({badarg, {name, a}}, alcove_proc:child_spec({Drv, ["true"], #{name => a}})),
    %% Under a supervisor, one after another.
    process_flag(trap_exit, true),
    {ok, Sup} = supervisor:start_link(?MODULE, [
        alcove_proc:child_spec(#{drv => Drv, argv => ["sleep", "1000"], restart => permanent,
                                 options => #{name => {global, alcove_use_name}}})]),
    First = global:whereis_name(alcove_use_name),
    {ok, _} = alcove_proc:stop({global, alcove_use_name}, 0),
    true = alcove_test:until(fun() -> lists:member(global:whereis_name(alcove_use_name), [First, undefined]) =:= false end),
    ok = gen_server:stop(Sup, shutdown, alcove_test:ms(20000)),
    process_flag(trap_exit, false),
    bare(Drv).

%% A local name is one of the node where the process is.
names_of_another_node(_Config) ->
    alcove_test:nodes(
      fun(There, Here) ->
          Drv = alcove_test:in_peer(There, fun() -> alcove_test:hold([]) end),
          ok = alcove_test:in_peer(Here, fun() ->
              Server = {alcove_use_name, node(Drv)},
              {ok, Proc} = alcove_proc:start(Drv, ["cat"], #{name => {local, alcove_use_name}, tag => far, lines => true}),
              undefined = whereis(alcove_use_name),
              {error, {already_started, Proc}} = alcove_proc:start(Drv, ["cat"], #{name => {local, alcove_use_name}}),
              ok = alcove_proc:write(Server, "a\n", 5000),
              receive {far, Proc, {stdout, <<"a\n">>}} -> ok end,
              #{tag := far} = alcove_proc:info(Server),
              {error, timeout} = alcove_proc:await(Server, 100),
              ok = alcove_proc:eof(Server),
              %% It may have ended by now, and its name is nobody's then.
              {ok, #{status := 0}} = alcove_proc:await(Proc),
              {error, {process, noproc}} = alcove_proc:await(Server),
              {nodedown, nowhere@localhost} =
                  try alcove_proc:await({alcove_use_name, nowhere@localhost}) catch exit:Reason -> Reason end,
              ok
          end)
      end).

%% What the messages are called, and what else is known of whose they are.
tags(Config) ->
    Drv = drv(Config),
    [begin
         {ok, Proc} = alcove_proc:start(Drv, ["cat"], #{tag => Tag, meta => #{job => 7}, active => 1}),
         ?assertMatch(#{tag := Tag, meta := #{job := 7}, name := undefined}, alcove_proc:info(Proc)),
         ok = alcove_proc:write(Proc, "x"),
         ?assertEqual({Tag, Proc, {stdout, <<"x">>}}, message()),
         ?assertEqual({Tag, Proc, passive}, message()),
         ok = alcove_proc:eof(Proc),
         case Awaits of
             true ->
                 ?assertMatch({ok, #{status := 0, meta := #{job := 7}}}, alcove_proc:await(Proc));
             false ->
                 ?assertMatch({Tag, Proc, {exit, {ok, #{status := 0, meta := #{job := 7}}}}}, message())
         end,
         ?assertEqual({messages, []}, process_info(self(), messages))
     end || Tag <- [job, {job, 7}, make_ref(), "x", stdout], Awaits <- [true, false]],
    {ok, Plain} = alcove_proc:run(Drv, ["true"]),
    ?assertNot(maps:is_key(meta, Plain)),
    ?assertError({badarg, {tag, 'EXIT'}}, alcove_proc:start(Drv, ["cat"], #{tag => 'EXIT'})),
    %% It may be a secret.
    {ok, Proc} = alcove_proc:start(Drv, ["cat"], #{tag => {secret, 4711}, meta => #{secret => 4711}}),
    {status, Proc, _, [_, _, _, _, Data]} = sys:get_status(Proc),
    ?assertEqual(nomatch, re:run(io_lib:format("~p", [Data]), "4711")),
    {ok, _} = alcove_proc:stop(Proc),
    {ok, _} = alcove_proc:await(Proc),
    %% An owner that doesn't read holds such a program back as well.
    {ok, Yes} = alcove_proc:start(Drv, sh("while echo line; do :; done"), #{tag => job}),
    Length = fun() -> element(2, process_info(self(), message_queue_len)) end,
    true = alcove_test:until(fun() -> Length() > 256 end),
    settled(Length),
    ?assert(Length() < 1000),
    [receive {job, Yes, {stdout, _}} -> ok end || _ <- lists:seq(1, 2000)],
    {ok, _} = alcove_proc:stop(Yes, 0).

message() ->
    receive Message -> Message after alcove_test:ms(5000) -> nothing end.

%% ---------------------------------------------------------------------------
%% The tree
%% ---------------------------------------------------------------------------

tree(Config) ->
    Drv = drv(Config),
    alcove_test:need([root, namespaces], fun() ->
        {ok, A} = alcove:fork(Drv),
        {ok, B} = alcove:clone(Drv, [A], [clone_newpid, clone_newuts]),
        {ok, C} = alcove:fork(Drv, [A, B]),
        ok = alcove:setresuid(Drv, [A, B, C], 65534, 65534, 65534),
        {ok, D} = alcove:spawn(Drv, [A], fork, [{execvp, ["sh", ["sh", "-c", "sleep 1000; :"]]}]),
        true = alcove_test:until(fun() ->
            [{{ok, <<"sleep\n">>}, $S}] =:=
                [{file:read_file(lists:concat(["/proc/", Pid, "/comm"])), alcove_test:state(Pid)}
                 || Pid <- alcove_test:descendants(D)]
        end),
        #{pid := Root, fork_path := [], state := event_loop, namespaces := Own, children := [TreeA]} = alcove:tree(Drv),
        ?assertEqual(Root, root_pid(Drv)),
        #{pid := A, fork_path := [A], children := Below} = TreeA,
        [TreeB] = [T || #{fork_path := [_, P]} = T <- Below, P =:= B],
        [TreeD] = [T || #{fork_path := [_, P]} = T <- Below, P =:= D],
        #{namespaces := Namespaces, children := [TreeC]} = TreeB,
        [?assert((maps:get(N, Namespaces) =/= maps:get(N, Own)) =:= lists:member(N, [pid, uts])) || N <- [pid, uts, net, mnt]],
        %% Its number is the one of its pid namespace.
        ?assertEqual(2, C),
        #{fork_path := [A, B, C], uid := 65534, pid := Pid} = TreeC,
        ?assertNotEqual(C, Pid),
        #{state := exec, command := <<"sh -c sleep 1000; :">>, memory := Memory, children := [Sleep]} = TreeD,
        ?assert(Memory > 0),
        #{state := other, fork_path := undefined, command := <<"sleep 1000">>, run_state := <<"S">>} = Sleep,
        alcove_test:stop(Drv),
        ?assertEqual({error, gone}, alcove:tree(Drv)),
        ?assertError(badarg, alcove:tree(nothing))
    end).

pictures(Config) ->
    Drv = drv(Config),
    {ok, Proc} = alcove_proc:start(Drv, ["sleep", "1000"], #{arg0 => "sl\e[2Jeep"}),
    Text = unicode:characters_to_list(alcove_tree:format(alcove:tree(Drv))),
    ?assertMatch([_, _, _, _, ""], string:split(Text, "\n", all)),
    ?assertMatch({match, _}, re:run(Text, "program +\\d+ .*`- sl\\?\\[2Jeep 1000\n$")),
    ?assertEqual(nomatch, re:run(Text, "\e")),
    ok = alcove:i(Drv),
    Compared = alcove_tree:format(alcove:tree(Drv), #{since => 1000000, cpu => #{}}),
    ?assertMatch({match, _}, re:run(Text, "TIME.*0\\.\\d\\ds", [dotall])),
    ?assertMatch({match, _}, re:run(unicode:characters_to_list(Compared), "CPU.*0\\.0%", [dotall])),
    {ok, _} = alcove_proc:stop(Proc),
    {ok, _} = alcove_proc:await(Proc),
    ok.

%% Each call has a text for each error, and the common ones say why.
explanations(_Config) ->
    Says = fun(Error, Pattern) ->
        Text = unicode:characters_to_binary(alcove:format_error(Error)),
        ?assertMatch({match, _}, re:run(Text, Pattern), {Error, Text})
    end,
    Says({chroot, eperm}, "chroot\\(2\\).*CAP_SYS_CHROOT"),
    Says({error, {execvp, enoent}}, "PATH"),
    Says({error, {2, mount, eperm}}, "call 2.*CAP_SYS_ADMIN"),
    Says({error, enoent}, "no such file"),
    Says({user, {unknown, <<"x">>}}, "x"),
    Says({error, {timeout, #{}}}, "killed"),
    Says({error, {{output_limit, stdout}, #{}}}, "stdout"),
    Says({cgroup, {<<"/sys/fs/cgroup/x">>, eacces}}, "/sys/fs/cgroup/x"),
    Says({cgroup, {<<"/sys/fs/cgroup/x/cgroup.subtree_control">>, ebusy}}, "leaf/1"),
    Says({in, badpid}, "event loop"),
    Says({drv, noproc}, "no such Drv"),
    Says({drv, {exit_status, 1}}, "ended.*exit_status,1"),
    Says({parent, gone}, "killed"),
    Says({start, timeout}, "longer to start"),
    Says({capabilities, {unknown, cap_nothing}}, "no such capability: cap_nothing"),
    Says({user, {not_an_id, <<"x">>}}, "passwd.*: x$"),
    %% A name may have any bytes, and the text is text: what isn't UTF-8 is Latin-1.
    [?assertMatch({match, _}, re:run(unicode:characters_to_binary(alcove:format_error(Error)), Name, [unicode]), Error)
     || {Bytes, Name} <- [{<<"a", 228>>, <<"aä"/utf8>>}, {<<"aä"/utf8>>, <<"aä"/utf8>>}, {"aä", <<"aä"/utf8>>}],
        Error <- [{user, {unknown, Bytes}}, {group, {unknown, Bytes}}, {user, {not_an_id, Bytes}}, {nif, Bytes},
                  {user, {no_group, Bytes}}, {user, {unreadable, Bytes, enoent}},
                  {sandbox, {listen, {{unix, Bytes}, eaddrinuse}}}, {sandbox, {listen, {{unix, Bytes}, eacces}}},
                  {sandbox, {network, {{bridge, Bytes}, enodev}}}, {sandbox, {network, {{name, Bytes}, einval}}}]],
    Says({user, {no_group, 12345}}, "user 12345 isn't"),
    Says({process, oops}, "oops"),
    Says({badarg, {cwd, 1}}, "option.*cwd,1"),
    [Says({error, Reason}, Pattern)
     || {Reason, Pattern} <- [{{noproc, me}, "registered as me"}, {{noproc, self()}, "has ended"},
                              {{version, 1, 2}, "another build"},
                              {{exit_status, 1}, "status 1"}, {{termsig, sigkill}, "sigkill"}, {badproto, "isn't alcove"},
                              {exited, "ended"}, {timeout, "too long"}, {closed, "closed"}, {no_owner, "nobody"},
                              {active, "messages"}, {busy, "somebody else"}]],
    %% A number where there is no name.
    Says({chdir, 4095}, "chdir\\(2\\).*no name.*4095"),
    Says({error, {2, chdir, 4095}}, "call 2.*4095"),
    Says(anything, "anything"),
    Says({a, b, {c, "d"}}, "d"),
    [Says({Call, Error}, "[a-z]")
     || {Call, _, _, _, _, _} <- alcove_nif:calls(), Error <- [eperm, enoent, einval, eagain, ebusy, unsupported]].

%% What `telemetry' would get, where it is there.
events(Config) ->
    Drv = drv(Config),
    with_telemetry(fun() ->
        {error, {timeout, _}} = alcove_proc:run(Drv, ["sleep", "1000"], #{timeout => 1000, meta => #{job => 7}}),
        {#{duration := Took, system_time := _}, #{job := 7, os_pid := Pid, drv := Drv, fork_path := [_, Pid], pid := Proc}} =
            event([alcove, proc, spawn]),
        ?assert(Took > 0),
        {#{duration := Before}, #{reason := timeout, signal := sigterm, os_pid := Pid}} = event([alcove, proc, kill]),
        {#{duration := Ran, user_time := User, system_time := System, peak_memory := Peak},
         #{status := {termsig, sigterm}, argv := [<<"sleep">>, <<"1000">>], job := 7, pid := Proc}} =
            event([alcove, proc, exit]),
        ?assert(Ran >= Before),
        ?assert(User + System >= 0 andalso Peak > 100000),
        {error, {{output_limit, stdout}, _}} = alcove_proc:run(Drv, ["yes"], #{stdout => {collect, 10}}),
        _ = event([alcove, proc, spawn]),
        {_, #{reason := {output_limit, stdout}, signal := sigkill}} = event([alcove, proc, kill]),
        {_, #{status := {termsig, sigkill}}} = event([alcove, proc, exit]),
        {error, {execvp, enoent}} = alcove_proc:run(Drv, ["/nowhere"]),
        {ok, _} = alcove_proc:run(Drv, sh("exit 3")),
        _ = event([alcove, proc, spawn]),
        {_, #{status := 3}} = event([alcove, proc, exit]),
        %% Nothing else, of a Drv without the option.
        no_event()
    end).

out_of_memory_is_an_event(Config) ->
    Drv = drv(Config),
    with_cgroups(Drv, fun() ->
        with_telemetry(fun() ->
            {ok, _} = alcove_proc:run(Drv, ["tail", "/dev/zero"], #{cgroup => #{memory => 8 bsl 20}, stdout => discard}),
            _ = event([alcove, proc, spawn]),
            {#{peak_memory := Peak}, #{status := {termsig, sigkill}, os_pid := Pid}} = event([alcove, proc, exit]),
            %% Where the group has no peak it is that of the process, in which pages of files count, too.
            ?assert(Peak =< 12 bsl 20),
            {#{kills := Kills}, #{os_pid := Pid}} = event([alcove, proc, oom]),
            ?assert(Kills >= 1),
            no_event()
        end),
        %% Of a group with a name, once: those that were killed while the program ran.
        Name = iolist_to_binary(["alcove-use-", os:getpid(), "-named"]),
        Run = fun(Argv) ->
            {ok, _} = alcove_proc:run(Drv, Argv, #{cgroup => {Name, #{memory => 8 bsl 20}}, stdout => discard}),
            _ = event([alcove, proc, spawn]),
            _ = event([alcove, proc, exit])
        end,
        try
            with_telemetry(fun() ->
                [begin
                     _ = Run(["tail", "/dev/zero"]),
                     {#{kills := 1}, _} = event([alcove, proc, oom]),
                     _ = Run(sh("exit 3")),
                     no_event()
                 end || _ <- [1, 2]]
            end)
        after
            ok = alcove_cgroup:destroy(Drv, [], Name)
        end
    end).

%% Of each process at a fork path, where that is asked for.
events_of_processes(_Config) ->
    with_telemetry(fun() ->
        Drv = alcove_test:start([{telemetry, true}, {exit_status, true}]),
        Busy = "i=0; while [ $i -lt 20000 ]; do i=$((i + 1)); done; exit 3",
        {ok, A} = alcove:fork(Drv),
        {#{system_time := _}, #{drv := Drv, fork_path := [A], os_pid := A}} = event([alcove, process, spawn]),
        Asked = erlang:monotonic_time(),
        {ok, B} = alcove:spawn(Drv, [A], fork, [{execvp, ["sh", ["sh", "-c", Busy]]}]),
        {_, #{fork_path := [A, B], os_pid := B}} = event([alcove, process, spawn]),
        Heard = erlang:monotonic_time(),
        {#{duration := Ran, user_time := User, system_time := System, peak_memory := Peak},
         #{drv := Drv, fork_path := [A, B], status := 3}} = event([alcove, process, exit]),
        ?assert(User + System > 1000),
        %% It counts from when the fork is heard of, and the child may have run before that.
        ?assert(erlang:convert_time_unit(Heard - Asked + Ran, native, microsecond) >= User + System),
        ?assert(Peak > 100000),
        {ok, C} = alcove:clone(Drv, [A], 0),
        {_, #{fork_path := [A, C]}} = event([alcove, process, spawn]),
        ok = alcove:kill(Drv, C, sigkill),
        {_, #{fork_path := [A, C], status := {termsig, sigkill}}} = event([alcove, process, exit]),
        %% The owner gets what its options say, and no more.
        receive Message -> ?assertEqual({alcove_event, Drv, [A, B], {exit_status, 3}}, Message) end,
        %% A spawn that fails was a process for a while.
        {error, {1, execvp, enoent}} = alcove:spawn(Drv, [A], fork, [{execvp, ["/nowhere", ["nowhere"]]}]),
        {_, #{fork_path := [A, D]}} = event([alcove, process, spawn]),
        {_, #{fork_path := [A, D], status := 127}} = event([alcove, process, exit]),
        %% Nobody tells of what ends with its parent, or with the Drv.
        {ok, E} = alcove:fork(Drv, [A]),
        {ok, F} = alcove:fork(Drv),
        _ = [event([alcove, process, spawn]) || _ <- [E, F]],
        ok = alcove:kill(Drv, A, sigkill),
        Ends = lists:sort([event([alcove, process, exit]) || _ <- [A, E]]),
        ?assertMatch([{#{duration := _}, #{fork_path := [A], status := {termsig, sigkill}}},
                      {#{duration := _}, #{fork_path := [A, E]}}],
                     lists:keysort(2, Ends)),
        ok = alcove_test:stop(Drv),
        {Last, #{fork_path := [F], status := undefined}} = event([alcove, process, exit]),
        %% So it is with a Drv that is killed.
        Killed = alcove_test:start([{telemetry, true}]),
        {ok, G} = alcove:fork(Killed),
        _ = event([alcove, process, spawn]),
        unlink(Killed),
        exit(Killed, kill),
        {_, #{drv := Killed, fork_path := [G], status := undefined}} = event([alcove, process, exit]),
        ?assertEqual([duration], maps:keys(Last)),
        no_event()
    end).

%% A handler may ask the Drv, and take its time.
slow_handlers(_Config) ->
    Self = self(),
    with_telemetry(
      fun(Event, Measurements, #{drv := Drv} = Metadata) ->
          #{forks := 1} = alcove_drv:info(Drv),
          Self ! {event, Event, Measurements, Metadata},
          receive go_on -> ok end
      end,
      fun() ->
          Drv = alcove_test:start([{telemetry, true}]),
          {ok, A} = alcove:fork(Drv),
          {_, #{fork_path := [A]}} = event([alcove, process, spawn]),
          A = alcove:getpid(Drv, [A]),
          ok = alcove:exit(Drv, [A], 0),
          ok = alcove_test:stop(Drv)
      end).

%% Puts a `telemetry' there for as long as the fun takes.
with_telemetry(Fun) ->
    Self = self(),
    with_telemetry(fun(Event, Measurements, Metadata) -> Self ! {event, Event, Measurements, Metadata} end, Fun).

with_telemetry(Handler, Fun) ->
    true = persistent_term:get(telemetry, none) =:= none,
    persistent_term:put(telemetry, Handler),
    Forms = [{attribute, 1, module, telemetry},
             {attribute, 1, export, [{execute, 3}]},
             {function, 1, execute, 3,
              [{clause, 1, [{var, 1, 'E'}, {var, 1, 'M'}, {var, 1, 'D'}], [],
                [{call, 1, {call, 1, {remote, 1, {atom, 1, persistent_term}, {atom, 1, get}}, [{atom, 1, telemetry}]},
                  [{var, 1, 'E'}, {var, 1, 'M'}, {var, 1, 'D'}]}]}]}],
    {ok, telemetry, Beam} = compile:forms(Forms),
    {module, telemetry} = code:load_binary(telemetry, "telemetry", Beam),
    try
        Fun()
    after
        _ = code:delete(telemetry),
        _ = code:purge(telemetry),
        persistent_term:erase(telemetry)
    end.

%% The next event is this one.
event(Name) ->
    receive
        {event, Event, Measurements, Metadata} ->
            ?assertEqual(Name, Event, {Measurements, Metadata}),
            {Measurements, Metadata}
    after alcove_test:ms(5000) -> ct:fail(Name)
    end.

no_event() ->
    receive {event, _, _, _} = Event -> ct:fail(Event) after 0 -> ok end.

%% An exception says what was wrong with which argument, in a list of calls too.
exceptions(Config) ->
    Drv = drv(Config),
    Says = fun(Fun, Position, Pattern) ->
        try Fun() of
            Value -> ct:fail(Value)
        catch
            error:Reason:Stack ->
                #{Position := Text} = alcove_errors:format_error(Reason, Stack),
                ?assertMatch({match, _}, re:run(Text, Pattern), Text)
        end
    end,
    Says(fun() -> alcove:chroot(Drv, a) end, 2, "NUL"),
    Says(fun() -> alcove:batch(Drv, [], [{getpid, []}, {chdir, [a]}]) end, 3, "in call 2, argument 1 of chdir is not .*NUL"),
    Says(fun() -> alcove:spawn(Drv, [], fork, [{open, ["/", 0, -1]}]) end, 4, "in call 1, argument 3 of open is not a file mode"),
    Says(fun() -> alcove:batch(Drv, [], [{no_such, []}]) end, 3, "call 1 is none"),
    Says(fun() -> alcove:batch(Drv, [], [{getpid, []}, getppid]) end, 3, "call 2 is not"),
    Says(fun() -> alcove:getpid(Drv, [1]) end, 2, "event loop"),
    %% There is a text for each kind of argument.
    Kinds = [{Call, N} || {Call, _, Arguments, _, _, _} <- alcove_nif:calls(), N <- lists:seq(1, length(Arguments))],
    [begin
         Info = [{error_info, #{module => alcove_errors, cause => {{argument, Call, N}, 1}}}],
         #{1 := Text} = alcove_errors:format_error(badarg, [{alcove, Call, [], Info}]),
         ?assertNotEqual("has the wrong shape", Text, {Call, N})
     end || {Call, N} <- Kinds].

%% Events are logged by who wants that.
logged(Config) ->
    Drv = drv(Config),
    ok = logger:add_handler(?MODULE, ?MODULE, #{config => self(), level => all}),
    ok = application:set_env(alcove, log_level, error),
    try
        {ok, _} = alcove_proc:run(Drv, ["true"]),
        [receive
             {log, #{level := error, msg := {report, #{event := [alcove, proc, Name]}},
                     meta := #{argv := [<<"true">>], os_pid := _}}} -> ok
         after alcove_test:ms(5000) -> ct:fail(Name)
         end || Name <- [spawn, exit]],
        %% What the user calls as logger calls its own harms neither the program nor the log.
        [begin
             {ok, #{meta := Meta}} = alcove_proc:run(Drv, ["true"], #{meta => #{Key => Value, job => 7}}),
             ?assertEqual(Value, maps:get(Key, Meta)),
             [receive
                  {log, #{msg := {report, #{metadata := #{Key := Logged, job := 7}}}, meta := #{job := 7} = Own} = Event} ->
                      ?assert(Key =:= pid orelse Value =:= Logged, Key),
                      ?assertNotEqual({ok, Value}, maps:find(Key, Own)),
                      ?assertMatch({match, _}, re:run(logger_formatter:format(Event, #{legacy_header => true}), "job"))
              after alcove_test:ms(5000) -> ct:fail({Key, Name})
              end || Name <- [spawn, exit]]
         end || {Key, Value} <- own_of_logger()]
    after
        application:unset_env(alcove, log_level),
        logger:remove_handler(?MODULE)
    end,
    %% As logger is set up by default, it is seen.
    Erl = filename:join([code:root_dir(), "bin", "erl"]),
    Eval = "{ok, Drv} = alcove_drv:start(), application:set_env(alcove, log_level, notice), "
           "{ok, _} = alcove_proc:run(Drv, [\"true\"], #{meta => #{time => <<\"12:00\">>, domain => <<\"example\">>}}), "
           "alcove_drv:stop(Drv), init:stop().",
    {ok, #{status := 0, stdout := Out}} =
        alcove_proc:run(Drv, [Erl, "-noshell", "-pa", filename:dirname(code:which(alcove)), "-eval", Eval],
                        #{env => #{"ERL_FLAGS" => false}, stderr => stdout}),
    %% The order of what is in a report is any.
    [?assertMatch({match, _}, re:run(Out, Said))
     || Said <- ["alcove,proc,spawn", "alcove,proc,exit", "status => 0", "12:00", "example"]].

%% ---------------------------------------------------------------------------
%% The pages of docs/
%% ---------------------------------------------------------------------------

guide(Config) ->
    alcove_test:need([root, busybox, {program, "ip"}], fun() ->
        with_cgroups(drv(Config), fun() -> alcove_readme_SUITE:check("docs/guide.md") end)
    end).

coming_from(_Config) ->
    alcove_test:need([root], fun() -> alcove_readme_SUITE:check("docs/coming-from.md") end).

troubleshooting(_Config) ->
    alcove_test:need([root], fun() -> alcove_readme_SUITE:check("docs/troubleshooting.md") end).
