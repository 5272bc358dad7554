%% @doc Programs that are joined by pipes: what goes through, who holds the ends, and that they are
%% started, ended and told of as one.
-module(alcove_pipe_SUITE).

-include_lib("stdlib/include/assert.hrl").

-export([
    suite/0,
    all/0,
    init_per_suite/1,
    end_per_suite/1,
    init_per_testcase/2,
    end_per_testcase/2
]).
-export([
    three_programs/1,
    one_program/1,
    many_programs/1,
    by_default/1,
    each_has_a_result/1,
    input_has_every_form/1,
    output_has_every_form/1,
    errors_are_each_ones_own/1,
    errors_into_the_pipe/1,
    errors_into_one_file/1,
    reader_that_has_enough/1,
    nothing_comes_to_the_vm/1,
    nobody_else_has_an_end/1,
    helper_of_a_writer/1,
    helper_that_is_left/1,
    ways_to_start/1,
    failed_starts/1,
    reader_of_a_failed_start/1,
    failed_start_ends_stubborn_ones/1,
    no_descriptor_is_left/1,
    no_room_for_descriptors/1,
    timeout/1,
    timeout_during_the_start/1,
    owner_ends/1,
    process_is_killed/1,
    output_limit/1,
    function_fails/1,
    keeper_is_killed/1,
    stopped_keeper/1,
    drv_is_killed/1,
    drv_of_its_own/1,
    in_another_process/1,
    keeper_without_room/1,
    under_a_filter/1,
    users/1,
    ordinary_user/1,
    another_node/1,
    options_of_one_and_of_all/1,
    wrong_options/1,
    explanations/1
]).
%% In another virtual machine.
-export([small_table/0]).

suite() ->
    alcove_test:suite().

all() ->
    [
        three_programs,
        one_program,
        many_programs,
        by_default,
        each_has_a_result,
        input_has_every_form,
        output_has_every_form,
        errors_are_each_ones_own,
        errors_into_the_pipe,
        errors_into_one_file,
        reader_that_has_enough,
        nothing_comes_to_the_vm,
        nobody_else_has_an_end,
        helper_of_a_writer,
        helper_that_is_left,
        ways_to_start,
        failed_starts,
        reader_of_a_failed_start,
        failed_start_ends_stubborn_ones,
        no_descriptor_is_left,
        no_room_for_descriptors,
        timeout,
        timeout_during_the_start,
        owner_ends,
        process_is_killed,
        output_limit,
        function_fails,
        keeper_is_killed,
        stopped_keeper,
        drv_is_killed,
        drv_of_its_own,
        in_another_process,
        keeper_without_room,
        under_a_filter,
        users,
        ordinary_user,
        another_node,
        options_of_one_and_of_all,
        wrong_options,
        explanations
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

%% The processes of Drv's that are none of alcove's own.
programs(Drv) ->
    #{os_pid := Root} = alcove_drv:info(Drv),
    [Pid || Pid <- alcove_test:descendants(Root), not is_alcove(Pid)].

is_alcove(Pid) ->
    case file:read_link_all("/proc/" ++ integer_to_list(Pid) ++ "/exe") of
        {ok, Exe} -> string:find(Exe, "priv/alcove") =/= nomatch;
        {error, _} -> true
    end.

none_is_left(Drv) ->
    ?assertEqual([], programs(Drv)).

%% ---------------------------------------------------------------------------
%% What goes through
%% ---------------------------------------------------------------------------

three_programs(Config) ->
    Programs = [["echo", "hello"], ["tr", "a-z", "A-Z"], ["cat"]],
    ?assertMatch(
        {ok, #{status := 0, statuses := [0, 0, 0], stdout := <<"HELLO\n">>, stderr := <<>>}},
        alcove_proc:pipe(drv(Config), Programs)
    ).

%% One is as with run/3, but that there is a list of results.
one_program(Config) ->
    Program = sh("cat; echo error >&2; exit 3"),
    {ok, Result} = alcove_proc:pipe(drv(Config), [Program], #{stdin => "in"}),
    ?assertMatch(
        #{
            status := 3,
            statuses := [3],
            stdout := <<"in">>,
            stderr := <<"error\n">>,
            programs := [#{status := 3, stdout := <<"in">>, stderr := <<"error\n">>}]
        },
        Result
    ).

many_programs(Config) ->
    Programs = [["seq", "1000"] | lists:duplicate(19, ["cat"])],
    {ok, Result} = alcove_proc:pipe(drv(Config), Programs),
    #{stdout := Stdout, statuses := Statuses} = Result,
    ?assertEqual(lists:duplicate(20, 0), Statuses),
    ?assertEqual(lists:seq(1, 1000), [binary_to_integer(N) || N <- string:lexemes(Stdout, "\n")]).

%% By the Drv of the application.
by_default(_Config) ->
    {ok, Started} = application:ensure_all_started(alcove),
    ?assertMatch({ok, #{stdout := <<"1\n">>}}, alcove_proc:pipe([["seq", "3"], ["head", "-n", "1"]])),
    ?assertMatch(
        {ok, #{stdout := <<"b">>}},
        alcove_proc:pipe([["cat"], ["tr", "a", "b"]], #{stdin => "a"})
    ),
    _ = [application:stop(Application) || Application <- lists:reverse(Started)],
    ok.

each_has_a_result(Config) ->
    Programs = [sh("exit 1"), sh("kill -TERM $$"), sh("cat; exit 7")],
    {ok, Result} = alcove_proc:pipe(drv(Config), Programs),
    #{programs := [First, Second, Third], os_pid := Last} = Result,
    ?assertMatch(#{status := 7, statuses := [1, {termsig, sigterm}, 7]}, Result),
    ?assertMatch(
        #{status := 1, wall_time := _, user_time := _, peak_memory := _, truncated := []}, First
    ),
    ?assertMatch(#{status := {termsig, sigterm}}, Second),
    ?assertMatch(#{status := 7, os_pid := Last}, Third),
    ?assertNot(is_map_key(stdout, First)),
    Sum = fun(Key) -> lists:sum([maps:get(Key, Each) || Each <- [First, Second, Third]]) end,
    [?assertEqual(Sum(Key), maps:get(Key, Result)) || Key <- [user_time, system_time, peak_memory]].

input_has_every_form(Config) ->
    Drv = drv(Config),
    File = filename:join(alcove_test:tmp(Config), "in"),
    ok = file:write_file(File, <<"in">>),
    Cat = [["cat"], ["cat"]],
    [
        ?assertMatch({ok, #{stdout := Read}}, alcove_proc:pipe(Drv, Cat, #{stdin => Stdin}))
     || {Stdin, Read} <- [
            {none, <<>>},
            {"in", <<"in">>},
            {{data, ["i", <<"n">>]}, <<"in">>},
            {{file, File}, <<"in">>}
        ]
    ],
    Large = binary:copy(<<"0123456789abcdef">>, 65536 * 4),
    ?assertMatch({ok, #{stdout := Large}}, alcove_proc:pipe(Drv, Cat, #{stdin => Large})),
    %% The first may say it itself, and one that has a name can be written to.
    ?assertMatch({ok, #{stdout := <<"1">>}}, alcove_proc:pipe(Drv, [{["cat"], #{stdin => "1"}}, ["cat"]])),
    Name = {local, alcove_pipe_first},
    Writer = spawn_link(fun() ->
        true = alcove_test:until(fun() -> is_pid(whereis(alcove_pipe_first)) end),
        ok = alcove_proc:write(alcove_pipe_first, "written"),
        ok = alcove_proc:eof(alcove_pipe_first)
    end),
    ?assertMatch(
        {ok, #{stdout := <<"written">>}},
        alcove_proc:pipe(Drv, [{["cat"], #{stdin => stream, name => Name}}, ["cat"]])
    ),
    ?assert(alcove_test:until(fun() -> not is_process_alive(Writer) end)).

output_has_every_form(Config) ->
    Drv = drv(Config),
    File = filename:join(alcove_test:tmp(Config), "out"),
    Seq = [["seq", "3"], ["cat"]],
    All = <<"1\n2\n3\n">>,
    {ok, Discarded} = alcove_proc:pipe(Drv, Seq, #{stdout => discard}),
    ?assertNot(is_map_key(stdout, Discarded)),
    {ok, #{statuses := [0, 0]}} = alcove_proc:pipe(Drv, Seq, #{stdout => {file, File}}),
    ?assertEqual({ok, All}, file:read_file(File)),
    Self = self(),
    Tell = fun(Bytes) -> Self ! {said, Bytes} end,
    {ok, _} = alcove_proc:pipe(Drv, Seq, #{stdout => Tell}),
    receive
        {said, Bytes} -> ?assertEqual(All, Bytes)
    after 0 -> error(nothing_was_said)
    end,
    Count = fun
        (eof, N) -> {counted, N};
        (_Line, N) -> N + 1
    end,
    ?assertMatch(
        {ok, #{stdout := {counted, 3}}},
        alcove_proc:pipe(Drv, Seq, #{stdout => {Count, 0}, lines => true})
    ),
    {ok, _} = alcove_proc:pipe(Drv, Seq, #{stdout => message}),
    receive
        {alcove_proc, _, {stdout, Message}} -> ?assertEqual(All, Message)
    after 0 -> error(no_message)
    end,
    ?assertMatch(
        {ok, #{stderr := All}}, alcove_proc:pipe(Drv, Seq, #{stdout => stderr})
    ).

errors_are_each_ones_own(Config) ->
    Drv = drv(Config),
    Programs = [sh("echo out; echo one >&2"), sh("cat; echo two >&2"), sh("cat; echo three >&2")],
    {ok, Result} = alcove_proc:pipe(Drv, Programs),
    ?assertMatch(#{stdout := <<"out\n">>, stderr := <<"one\ntwo\nthree\n">>}, Result),
    ?assertEqual(
        [<<"one\n">>, <<"two\n">>, <<"three\n">>],
        [Stderr || #{stderr := Stderr} <- maps:get(programs, Result)]
    ),
    [One, Two, Three] = Programs,
    {ok, Mixed} = alcove_proc:pipe(Drv, [One, {Two, #{stderr => discard}}, Three]),
    ?assertMatch(#{stderr := <<"one\nthree\n">>}, Mixed),
    ?assertMatch([#{stderr := _}, Second, _] when not is_map_key(stderr, Second), maps:get(programs, Mixed)).

errors_into_the_pipe(Config) ->
    Complains = sh("echo error >&2"),
    [
        ?assertMatch({ok, #{stdout := <<"ERROR\n">>}}, alcove_proc:pipe(drv(Config), Programs, Options))
     || {Programs, Options} <- [
            {[{Complains, #{stderr => stdout}}, ["tr", "a-z", "A-Z"]], #{}},
            {[Complains, ["tr", "a-z", "A-Z"]], #{stderr => stdout}}
        ]
    ].

%% Each opens it, and none empties it for another, nor writes over what is there.
errors_into_one_file(Config) ->
    Drv = drv(Config),
    File = filename:join(alcove_test:tmp(Config), "errors"),
    ok = file:write_file(File, <<"before\n">>),
    Say = fun(Word) -> sh("cat; echo " ++ Word ++ " >&2") end,
    Programs = [Say(Word) || Word <- ["one", "two", "three"]],
    Said = fun() ->
        {ok, Text} = file:read_file(File),
        lists:sort(string:lexemes(Text, "\n"))
    end,
    {ok, _} = alcove_proc:pipe(Drv, Programs, #{stderr => {file, File}}),
    ?assertEqual([<<"one">>, <<"three">>, <<"two">>], Said()),
    {ok, _} = alcove_proc:pipe(Drv, [["true"] | Programs], #{stderr => {file, File, [append]}}),
    ?assertEqual([<<"one">>, <<"one">>, <<"three">>, <<"three">>, <<"two">>, <<"two">>], Said()).

%% As in a shell: who goes on writing gets SIGPIPE.
reader_that_has_enough(Config) ->
    ?assertMatch(
        {ok, #{status := 0, statuses := [{termsig, sigpipe}, 0], stdout := <<"y\n">>}},
        alcove_proc:pipe(drv(Config), [["yes"], ["head", "-n", "1"]])
    ).

%% A hundred megabytes go from one to the other, and the virtual machine reads what the last says.
nothing_comes_to_the_vm(Config) ->
    Drv = drv(Config),
    Output = fun() -> maps:get(output_bytes, alcove_nif:info(Drv)) end,
    Input = fun() -> maps:get(stdin_bytes, alcove_nif:info(Drv)) end,
    Before = {Output(), Input()},
    Programs = [["head", "-c", "100000000", "/dev/zero"], ["cat"], ["wc", "-c"]],
    ?assertMatch(
        {ok, #{statuses := [0, 0, 0], stdout := <<"100000000\n">>}}, alcove_proc:pipe(Drv, Programs)
    ),
    {OutputBefore, InputBefore} = Before,
    ?assertEqual({10, 0}, {Output() - OutputBefore, Input() - InputBefore}).

%% ---------------------------------------------------------------------------
%% Who holds the ends
%% ---------------------------------------------------------------------------

%% Each of two programs has its end, and there is no other descriptor of the pipe anywhere.
nobody_else_has_an_end(Config) ->
    Drv = drv(Config),
    Self = self(),
    Tell = fun(Bytes) -> Self ! {said, Bytes} end,
    %% With a call on the way the keeper forks in another way than without.
    [
        begin
            Programs = [{["sleep", "1000"], #{stderr => discard}}, sh("readlink /proc/self/fd/0; exec cat")],
            {Pid, Ref} = spawn_monitor(fun() ->
                alcove_proc:pipe(Drv, Programs, Options#{stdout => Tell, grace => 0})
            end),
            Pipe =
                receive
                    {said, Link} -> string:trim(binary_to_list(Link))
                end,
            ?assertMatch("pipe:" ++ _, Pipe),
            %% The shell is `cat' by and by, and its helper is gone.
            ?assert(
                alcove_test:until(fun() ->
                    lists:sort([name(Holder) || Holder <- holders(Pipe)]) =:= ["cat", "sleep"]
                end)
            ),
            exit(Pid, kill),
            receive
                {'DOWN', Ref, process, Pid, _} -> ok
            end,
            ?assert(alcove_test:until(fun() -> holders(Pipe) =:= [] end))
        end
     || Options <- [#{}, #{nice => 1}]
    ].

%% The processes that have a pipe open, each as often as it does.
holders(Pipe) ->
    [
        Pid
     || Link <- filelib:wildcard("/proc/[0-9]*/fd/*"),
        {ok, Pipe} =:= file:read_link_all(Link),
        [_, _, Pid | _] <- [filename:split(Link)]
    ].

name(Pid) ->
    case file:read_file("/proc/" ++ Pid ++ "/comm") of
        {ok, Name} -> string:trim(binary_to_list(Name));
        {error, _} -> gone
    end.

%% What a program has started ends with it, and so the reader reads the end.
helper_of_a_writer(Config) ->
    Leaves = sh("echo begun; sleep 1000 & setsid sleep 1000 &"),
    ?assertMatch(
        {ok, #{statuses := [0, 0], stdout := <<"begun\n">>}},
        alcove_proc:pipe(drv(Config), [Leaves, ["cat"]])
    ).

%% Unless it is to be left.
helper_that_is_left(Config) ->
    File = filename:join(alcove_test:tmp(Config), "go"),
    Leaves = sh("echo begun; (until [ -e " ++ File ++ " ]; do sleep 0.01; done; echo later) & exit 0"),
    Goes = sh("read first; touch " ++ File ++ "; echo $first; cat"),
    ?assertMatch(
        {ok, #{statuses := [0, 0], stdout := <<"begun\nlater\n">>}},
        alcove_proc:pipe(drv(Config), [{Leaves, #{leftovers => leave}}, Goes])
    ).

%% All the ways by which a keeper comes to a program.
ways_to_start(Config) ->
    Drv = drv(Config),
    Ways =
        [#{nice => 1}, #{no_new_privs => true}, #{cwd => "/"}] ++
            [Way || alcove_test:root(), Way <- [#{user => "nobody"}, #{namespaces => [newpid]}, #{cgroup => #{pids => 10}}]],
    Programs = [["seq", "3"], sh("cat"), ["wc", "-l"]],
    [
        ?assertMatch(
            {Way, {ok, #{statuses := [0, 0, 0], stdout := <<"3\n">>}}},
            {Way, alcove_proc:pipe(Drv, Programs, Way)}
        )
     || Way <- Ways
    ],
    %% Each in its own.
    Mixed = lists:zip(Programs, lists:sublist(Ways, 3)),
    ?assertMatch({ok, #{stdout := <<"3\n">>}}, alcove_proc:pipe(Drv, Mixed)).

%% ---------------------------------------------------------------------------
%% Starts that fail
%% ---------------------------------------------------------------------------

failed_starts(Config) ->
    Drv = drv(Config),
    Good = ["cat"],
    Wrong = ["no-such-program"],
    [
        begin
            ?assertEqual(
                {error, {program, N, {execvp, enoent}}}, alcove_proc:pipe(Drv, Programs)
            ),
            none_is_left(Drv)
        end
     || {N, Programs} <- [
            {1, [Wrong]},
            {1, [Wrong, Good, Good]},
            {2, [Good, Wrong, Good]},
            {3, [Good, Good, Wrong]},
            %% They are started from the last to the first.
            {3, [Wrong, Good, Wrong]}
        ]
    ],
    ?assertEqual(
        {error, {program, 2, {chdir, enoent}}},
        alcove_proc:pipe(Drv, [Good, {Good, #{cwd => "/nowhere"}}, Good])
    ),
    ?assertEqual(
        {error, {program, 1, {user, {unknown, <<"no-such-user">>}}}},
        alcove_proc:pipe(Drv, [{Good, #{user => "no-such-user"}}, Good])
    ),
    ?assertEqual({error, {program, 2, {in, badpid}}}, alcove_proc:pipe(Drv, [Good, {Good, #{in => [1]}}])),
    %% It is the place that a name has, too.
    true = register(alcove_pipe_taken, self()),
    Named = {Good, #{name => {local, alcove_pipe_taken}}},
    ?assertEqual(
        {error, {program, 2, {already_started, self()}}}, alcove_proc:pipe(Drv, [Good, Named, Good])
    ),
    unregister(alcove_pipe_taken),
    none_is_left(Drv).

%% A program whose predecessor can't be started doesn't take nothing for all of its input.
reader_of_a_failed_start(Config) ->
    File = filename:join(alcove_test:tmp(Config), "file"),
    Finishes = sh("cat >/dev/null; echo whole > " ++ File),
    ?assertMatch(
        {error, {program, 1, {execvp, enoent}}},
        alcove_proc:pipe(drv(Config), [["no-such-program"], Finishes])
    ),
    ?assertEqual({error, enoent}, file:read_file(File)).

%% Those that run have their grace, and then they are killed.
failed_start_ends_stubborn_ones(Config) ->
    Drv = drv(Config),
    Stubborn = sh("trap '' TERM; sleep 1000 & wait; wait; cat"),
    ?assertMatch(
        {error, {program, 1, {execvp, enoent}}},
        alcove_proc:pipe(Drv, [["no-such-program"], {Stubborn, #{grace => 100}}])
    ),
    none_is_left(Drv).

%% Neither of the virtual machine's, nor of a keeper's, whatever became of them.
no_descriptor_is_left(Config) ->
    Drv = drv(Config),
    Good = [["echo", "1"], ["cat"], ["cat"]],
    Bad = [["cat"], ["no-such-program"], ["cat"]],
    Once = fun() ->
        {ok, #{stdout := <<"1\n">>}} = alcove_proc:pipe(Drv, Good),
        {error, {program, 2, _}} = alcove_proc:pipe(Drv, Bad)
    end,
    Once(),
    Before = pipes(Drv),
    _ = [Once() || _ <- lists:seq(1, 200)],
    ?assert(alcove_test:until(fun() -> pipes(Drv) =:= Before end)).

%% How many descriptors of pipes the virtual machine has, and each process of Drv.
pipes(Drv) ->
    #{os_pid := Root} = alcove_drv:info(Drv),
    Of = fun(Pid) ->
        Links = filelib:wildcard("/proc/" ++ Pid ++ "/fd/*"),
        length([1 || Link <- Links, {ok, "pipe:" ++ _} <- [file:read_link_all(Link)]])
    end,
    {Of("self"), lists:usort([Of(integer_to_list(Pid)) || Pid <- alcove_test:descendants(Root)])}.

%% A virtual machine that has no number left for a pipe says so.
no_room_for_descriptors(_Config) ->
    alcove_test:with_descriptors(160, fun ?MODULE:small_table/0).

small_table() ->
    {ok, Drv} = alcove_drv:start(),
    %% A pipeline of so many programs doesn't fit, and nothing of it stays.
    Programs = lists:duplicate(60, ["cat"]),
    Count = fun() ->
        {ok, Fds} = file:list_dir("/proc/self/fd"),
        length(Fds)
    end,
    {ok, _} = alcove_proc:pipe(Drv, [["true"], ["cat"]]),
    Before = Count(),
    {error, {program, N, {_, emfile}}} = alcove_proc:pipe(Drv, Programs),
    true = N > 1 andalso N < 60,
    true = alcove_test:until(fun() ->
        Keepers = [1 || {_, keeper, _} <- alcove_nif:children(Drv, [])],
        Count() =< Before + length(Keepers)
    end),
    {ok, #{stdout := <<"1\n">>}} = alcove_proc:pipe(Drv, [["echo", "1"], ["cat"]]),
    alcove_drv:stop(Drv).

%% ---------------------------------------------------------------------------
%% They end as one
%% ---------------------------------------------------------------------------

timeout(Config) ->
    Drv = drv(Config),
    Programs = [sh("echo begun; exec sleep 1000"), sh("cat; sleep 1000"), ["cat"]],
    {error, {timeout, Result}} = alcove_proc:pipe(Drv, Programs, #{timeout => 3000}),
    ?assertMatch(#{stdout := <<"begun\n">>, statuses := [{termsig, sigterm}, _, _]}, Result),
    none_is_left(Drv),
    %% One that doesn't want to is killed.
    Stubborn = sh("trap '' TERM; while :; do sleep 0.1; done"),
    {error, {timeout, Killed}} =
        alcove_proc:pipe(Drv, [Stubborn, ["cat"]], #{timeout => 3000, grace => 500}),
    ?assertMatch(#{statuses := [{termsig, sigkill}, _]}, Killed),
    none_is_left(Drv).

timeout_during_the_start(Config) ->
    Drv = drv(Config),
    Slow = {["true"], #{setup => [{poll, [[], 100000]}]}},
    ?assertEqual(
        {error, {program, 1, {start, timeout}}},
        alcove_proc:pipe(Drv, [Slow, ["cat"]], #{timeout => 500})
    ),
    none_is_left(Drv).

%% Who asks, or another owner.
owner_ends(Config) ->
    Drv = drv(Config),
    Programs = [["sleep", "1000"], ["cat"], ["cat"]],
    Caller = spawn(fun() -> alcove_proc:pipe(Drv, Programs) end),
    ?assert(alcove_test:until(fun() -> length(programs(Drv)) =:= 3 end)),
    exit(Caller, kill),
    ?assert(alcove_test:until(fun() -> programs(Drv) =:= [] end)),
    Self = self(),
    Owner = spawn(fun() -> receive stop -> ok end end),
    spawn_link(fun() -> Self ! alcove_proc:pipe(Drv, Programs, #{owner => Owner}) end),
    ?assert(alcove_test:until(fun() -> length(programs(Drv)) =:= 3 end)),
    Owner ! stop,
    receive
        Outcome ->
            ?assertMatch(
                {error, {{shutdown, owner_died}, #{statuses := [{termsig, sigterm}, _, _]}}}, Outcome
            )
    end,
    none_is_left(Drv).

%% The process that waits for all of them is ended: nothing runs on.
process_is_killed(Config) ->
    Drv = drv(Config),
    Self = self(),
    spawn_link(fun() -> Self ! {outcome, alcove_proc:pipe(Drv, [["sleep", "1000"], ["cat"]])} end),
    ?assert(alcove_test:until(fun() -> length(programs(Drv)) =:= 2 end)),
    [Pipe] = [
        Pid
     || Pid <- processes(), {alcove_proc_pipe, _, _} <- [proc_lib:translate_initial_call(Pid)]
    ],
    exit(Pipe, kill),
    receive
        {outcome, Outcome} -> ?assertEqual({error, {process, killed}}, Outcome)
    end,
    ?assert(alcove_test:until(fun() -> programs(Drv) =:= [] end)).

output_limit(Config) ->
    Drv = drv(Config),
    {error, {{output_limit, stdout}, Result}} =
        alcove_proc:pipe(Drv, [["sleep", "1000"], sh("yes"), ["cat"]], #{stdout => {collect, 1000}}),
    ?assertMatch(#{truncated := [stdout], programs := [_, _, #{truncated := [stdout]}]}, Result),
    ?assertEqual(1000, byte_size(maps:get(stdout, Result))),
    %% Whoever it is that writes too much.
    {error, {{output_limit, stderr}, Errors}} =
        alcove_proc:pipe(Drv, [sh("yes >&2"), ["cat"]], #{stderr => {collect, 10}}),
    ?assertMatch(#{truncated := [stderr], programs := [#{truncated := [stderr]}, #{truncated := []}]}, Errors),
    none_is_left(Drv),
    %% Or it is dropped.
    ?assertMatch(
        {ok, #{stdout := <<"1\n2">>, truncated := [stdout], statuses := [0, 0]}},
        alcove_proc:pipe(Drv, [["seq", "9"], ["cat"]], #{stdout => {collect, 3, truncate}})
    ).

function_fails(Config) ->
    Drv = drv(Config),
    Programs = [["yes"], ["cat"]],
    {error, {process, Reason}} =
        alcove_proc:pipe(Drv, Programs, #{stdout => fun(_) -> exit(enough) end}),
    ?assertEqual(enough, Reason),
    none_is_left(Drv).

keeper_is_killed(Config) ->
    Drv = drv(Config),
    Kills = sh("kill -KILL $PPID; sleep 1000"),
    ?assertEqual(
        {error, {program, 2, {parent, gone}}},
        alcove_proc:pipe(Drv, [["sleep", "1000"], Kills, ["cat"]])
    ),
    none_is_left(Drv),
    ?assertMatch({ok, #{stdout := <<"1\n">>}}, alcove_proc:pipe(Drv, [["echo", "1"], ["cat"]])).

%% A request that a keeper doesn't read now has its descriptors when it does.
stopped_keeper(Config) ->
    Drv = drv(Config),
    Good = [["echo", "1"], ["cat"]],
    {ok, _} = alcove_proc:pipe(Drv, Good),
    Keepers = [Pid || {Pid, keeper, _} <- alcove_nif:children(Drv, [])],
    _ = [alcove_test:signal(Pid, "STOP") || Pid <- Keepers],
    ?assertMatch({ok, #{stdout := <<"1\n">>}}, alcove_proc:pipe(Drv, Good)).

drv_is_killed(Config) ->
    Drv = drv(Config),
    #{os_pid := Root} = alcove_drv:info(Drv),
    unlink(Drv),
    Self = self(),
    spawn_link(fun() -> Self ! {outcome, alcove_proc:pipe(Drv, [["sleep", "1000"], ["cat"]])} end),
    ?assert(alcove_test:until(fun() -> length(programs(Drv)) =:= 2 end)),
    alcove_test:signal(Root, "KILL"),
    receive
        {outcome, {error, {drv, _}}} -> ok;
        %% It is heard of its keeper first.
        {outcome, Outcome} -> ?assertMatch({error, {program, _, {parent, gone}}}, Outcome)
    end.

%% One for all of them, which ends with them.
drv_of_its_own(_Config) ->
    Programs = [sh("echo $PPID"), sh("cat; echo $PPID")],
    Before = alcove_test:descendants(),
    ?assertMatch({ok, #{statuses := [0, 0]}}, alcove_proc:pipe({start, #{}}, Programs)),
    ?assertEqual(Before, alcove_test:descendants()),
    ?assertMatch({error, {drv, _}}, alcove_proc:pipe({start, #{progname => "/nowhere"}}, Programs)).

%% ---------------------------------------------------------------------------
%% Where, and as whom
%% ---------------------------------------------------------------------------

in_another_process(Config) ->
    Drv = drv(Config),
    {ok, Loop} = alcove:fork(Drv, []),
    {ok, Other} = alcove:fork(Drv, [Loop]),
    Programs = [["echo", "1"], ["cat"], ["cat"]],
    ?assertMatch({ok, #{stdout := <<"1\n">>}}, alcove_proc:pipe(Drv, Programs, #{in => [Loop]})),
    Mixed = lists:zip(Programs, [#{in => In} || In <- [[], [Loop], [Loop, Other]]]),
    ?assertMatch({ok, #{stdout := <<"1\n">>}}, alcove_proc:pipe(Drv, Mixed)).

%% A keeper that has no number left for a descriptor says so, and can be used again.
keeper_without_room(Config) ->
    Drv = drv(Config),
    {ok, Loop} = alcove:fork(Drv, []),
    {ok, _} = alcove_proc:pipe(Drv, [["true"], ["cat"]], #{in => [Loop]}),
    Good = [["echo", "1"], ["cat"]],
    Limit = {alcove_rlimit, 3, 3},
    ok = alcove:setrlimit(Drv, [Loop], rlimit_nofile, Limit),
    ?assertMatch(
        {error, {program, 2, {_, emfile}}}, alcove_proc:pipe(Drv, Good, #{in => [Loop]})
    ),
    ?assertMatch({ok, #{stdout := <<"1\n">>}}, alcove_proc:pipe(Drv, Good)).

%% What a filter may not know isn't tried.
under_a_filter(Config) ->
    Drv = drv(Config),
    {ok, Loop} = alcove:fork(Drv, []),
    {ok, _, _, _, _, _} = alcove:prctl(Drv, [Loop], pr_set_no_new_privs, 1, 0, 0, 0),
    ok = alcove_seccomp:install(Drv, [Loop], #{
        default => allow, rules => [{[recvmsg], kill_process}]
    }),
    ?assertMatch({ok, #{status := 0}}, alcove_proc:run(Drv, ["true"], #{in => [Loop]})),
    ?assertEqual(
        {error, {program, 2, {pipe, enosys}}},
        alcove_proc:pipe(Drv, [["true"], ["cat"]], #{in => [Loop]})
    ),
    ?assertMatch({ok, #{status := 0}}, alcove_proc:run(Drv, ["true"], #{in => [Loop]})).

%% Each as another user, who may open its streams by their names.
users(Config) ->
    alcove_test:need([root], fun() ->
        Drv = drv(Config),
        Writes = sh("id -u > /dev/stdout"),
        Reads = sh("cat /dev/stdin; id -u"),
        ?assertMatch(
            {ok, #{statuses := [0, 0, 0], stdout := <<"1001\n1002\n0\n">>}},
            alcove_proc:pipe(Drv, [
                {Writes, #{user => 1001, group => 1001}},
                {Reads, #{user => 1002, group => 1002}},
                Reads
            ])
        ),
        ?assertMatch(
            {ok, #{statuses := [0, 0]}}, alcove_proc:pipe(Drv, [Writes, Reads], #{user => "nobody"})
        )
    end).

%% By a virtual machine that isn't root's.
ordinary_user(Config) ->
    Peer = alcove_test:user_peer(Config),
    ok = alcove_test:in_peer(Peer, fun() ->
        {ok, Drv} = alcove_drv:start(),
        Opens = ["/bin/sh", "-c", "cat /dev/stdin > /dev/stdout"],
        {ok, #{statuses := [0, 0, 0, 0], stdout := <<"1\n">>}} =
            alcove_proc:pipe(Drv, [["seq", "3"], Opens, {Opens, #{nice => 1}}, ["head", "-n", "1"]]),
        {error, {program, 1, {setresuid, eperm}}} =
            alcove_proc:pipe(Drv, [{["true"], #{user => 1, group => Gid}} || Gid <- [alcove:getgid(Drv)]] ++ [["cat"]]),
        ok = alcove_drv:stop(Drv)
    end),
    alcove_test:stop_peer(Peer).

%% The pipes are where the Drv is.
another_node(_Config) ->
    alcove_test:nodes(fun(There, Here) ->
        Drv = alcove_test:in_peer(There, fun() -> alcove_test:hold([]) end),
        ok = alcove_test:in_peer(Here, fun() ->
            {ok, #{stdout := <<"HI">>}} =
                alcove_proc:pipe(Drv, [["cat"], ["tr", "a-z", "A-Z"]], #{stdin => "hi"}),
            {error, {program, 2, {execvp, enoent}}} =
                alcove_proc:pipe(Drv, [["cat"], ["no-such-program"], ["cat"]]),
            ok
        end)
    end).

%% ---------------------------------------------------------------------------
%% Options
%% ---------------------------------------------------------------------------

options_of_one_and_of_all(Config) ->
    Drv = drv(Config),
    Says = sh("cat; echo $A$B $PWD"),
    ?assertMatch(
        {ok, #{stdout := <<"12 /\n32 /tmp\n">>}},
        alcove_proc:pipe(
            Drv,
            [Says, {Says, [{env, #{"A" => "3", "B" => "2"}}, {cwd, "/tmp"}]}],
            #{env => #{"A" => "1", "B" => "2"}, cwd => "/"}
        )
    ).

wrong_options(Config) ->
    Drv = drv(Config),
    Cat = ["cat"],
    [
        ?assertError({badarg, Option}, alcove_proc:pipe(Drv, Programs, Options))
     || {Option, Programs, Options} <- [
            {{pty, {pipe, terminal}}, [Cat], #{pty => true}},
            {{name, {pipe, one}}, [Cat, Cat], #{name => {local, x}}},
            {{timeout, never}, [Cat], #{timeout => never}},
            {{no_option, 1}, [Cat], [{no_option, 1}]},
            {{options, 7}, [Cat], 7},
            {{program, {2, {pty, {pipe, terminal}}}}, [Cat, {Cat, #{pty => true}}], #{}},
            {{program, {1, {timeout, {pipe, all}}}}, [{Cat, #{timeout => 1}}], #{}},
            {{program, {2, {owner, {pipe, all}}}}, [Cat, {Cat, #{owner => self()}}], #{}},
            {{program, {1, {stdout, {pipe, stream}}}}, [{Cat, #{stdout => discard}}, Cat], #{}},
            {{program, {2, {stdin, {pipe, stream}}}}, [Cat, {Cat, #{stdin => none}}], #{}},
            {{program, {2, {grace, never}}}, [Cat, {Cat, [{grace, never}]}], #{}},
            {{program, {2, {options, 7}}}, [Cat, {Cat, 7}], #{}}
        ]
    ],
    [
        ?assertError({badarg, {programs, _}}, alcove_proc:pipe(Drv, Programs, #{}))
     || Programs <- [[], cat, #{}, [Cat | cat]]
    ],
    [
        ?assertError({badarg, {program, {N, {argv, _}}}}, alcove_proc:pipe(Drv, Programs, #{}))
     || {N, Programs} <- [{1, ["cat"]}, {2, [Cat, []]}, {2, [Cat, {[], #{}}]}, {1, [{Cat}]}, {1, "cat"}]
    ],
    ?assertError({badarg, {drv, no_drv}}, alcove_proc:pipe(no_drv, [Cat])).

explanations(Config) ->
    Drv = drv(Config),
    Text = fun(Reason) -> unicode:characters_to_list(alcove:format_error(Reason)) end,
    {error, Reason} = alcove_proc:pipe(Drv, [["cat"], ["no-such-program"]]),
    ?assertMatch("program 2 of the pipeline: execvp(3): " ++ _, Text(Reason)),
    [
        begin
            Why =
                try
                    alcove_proc:pipe(Drv, Programs, Options)
                catch
                    error:Badarg -> Badarg
                end,
            ?assertNotEqual(nomatch, string:find(Text(Why), Part), Text(Why))
        end
     || {Part, Programs, Options} <- [
            {"no terminal", [["cat"]], #{pty => true}},
            {"program 1 of the pipeline: stdout is the pipe to the next", [{["cat"], #{stdout => discard}}, ["cat"]], #{}},
            {"program 2 of the pipeline: stdin is the pipe", [["cat"], {["cat"], #{stdin => none}}], #{}},
            {"timeout is an option of all", [{["cat"], #{timeout => 1}}], #{}},
            {"name is an option of one", [["cat"]], #{name => {local, x}}},
            {"this one is empty: [[", [], #{}},
            {"program 1 of the pipeline: a program and its arguments are a list, and not one", ["ls"], #{}}
        ]
    ].
