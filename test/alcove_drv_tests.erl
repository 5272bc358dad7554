%% What alcove_drv knows without a Unix process: options, environment, when
%% streams are held, and what exceptions say.
-module(alcove_drv_tests).

-include_lib("eunit/include/eunit.hrl").

parsed(Options) ->
    {ok, Parsed} = alcove_drv_options:parse(Options),
    Parsed.

defaults_test() ->
    Parsed = parsed([]),
    ?assertMatch(
        #{
            stderr_to_stdout := false,
            exit_status := false,
            termsig := false,
            verbose := 0,
            maxchild := -1,
            maxforkdepth := 16,
            timeout := 5000,
            telemetry := false,
            name := undefined,
            owner := undefined
        },
        Parsed
    ),
    #{argv := [Progname]} = Parsed,
    ?assertEqual(<<"alcove">>, filename:basename(Progname)),
    ?assertEqual(absolute, filename:pathtype(Progname)).

flags_test() ->
    [
        ?assertMatch(#{Name := Value}, parsed([{Name, Given}]))
     || Name <- [exit_status, termsig], {Given, Value} <- [{true, true}, {1, true}, {0, false}]
    ],
    ?assertMatch(#{exit_status := true, termsig := true}, parsed([exit_status, termsig])),
    ?assertMatch(#{stderr_to_stdout := true}, parsed([stderr_to_stdout])),
    ?assertMatch(#{stderr_to_stdout := false}, parsed([{stderr_to_stdout, false}])),
    ?assertMatch(#{telemetry := true}, parsed([telemetry])),
    ?assertMatch(#{telemetry := true}, parsed([{telemetry, true}])),
    ?assertMatch(#{verbose := 1}, parsed([verbose])),
    ?assertMatch(#{verbose := 3}, parsed([{verbose, 3}])).

maps_test() ->
    ?assertEqual(
        parsed([{exit_status, true}, {env, [{"A", "1"}, {<<"B">>, false}]}]),
        parsed(#{exit_status => true, env => #{"A" => "1", <<"B">> => nil}})
    ),
    ?assertEqual({error, {no_such, 1}}, alcove_drv_options:parse(#{no_such => 1})),
    ?assertEqual({error, {name, undefined}}, alcove_drv_options:parse([{name, undefined}])).

the_first_of_two_options_counts_test() ->
    ?assertMatch(#{maxchild := 1}, parsed([{maxchild, 1}, {maxchild, 2}])).

command_line_test_() ->
    Argv = fun(Options) -> maps:get(argv, parsed([{progname, "/p/alcove"} | Options])) end,
    [
        ?_assertEqual([<<"/p/alcove">>], Argv([])),
        ?_assertEqual([<<"/p/alcove">>], Argv([{exec, ""}])),
        ?_assertEqual([<<"/p/alcove">>], Argv([{exec, []}])),
        ?_assertEqual([<<"sudo">>, <<"/p/alcove">>], Argv([{exec, "sudo"}])),
        ?_assertEqual([<<"sudo">>, <<"-n">>, <<"/p/alcove">>], Argv([{exec, " sudo  -n "}])),
        ?_assertEqual([<<"sudo">>, <<"-n">>, <<"/p/alcove">>], Argv([{exec, <<"sudo -n">>}])),
        ?_assertEqual([<<"/my tools/x">>, <<"-n">>, <<"/p/alcove">>],
                      Argv([{exec, ["/my tools/x", <<"-n">>]}]))
    ].

a_wrong_option_is_named_test_() ->
    Wrong = [
        nonsense,
        {nonsense, 1},
        {verbose, -1},
        {verbose, high},
        {maxchild, -1},
        {maxchild, 16#100000000},
        {maxforkdepth, 1.0},
        {timeout, infinity},
        {exit_status, 2},
        {termsig, yes},
        {stderr_to_stdout, 1},
        {exec, sudo},
        {progname, ""},
        {progname, alcove},
        {owner, undefined},
        {owner, "me"},
        {env, a},
        {clearenv, 1}
    ],
    %% Variables and commands may be secrets, and so may what isn't an option: it is told what
    %% is wrong, not what it was.
    Secret = [
        {{env, "A"}, {env, [{"B", "1"}, {"A", 1}]}},
        {{env, "A"}, {env, #{"B" => "1", "A" => secret}}},
        {{env, ""}, {env, [{"", "secret"}]}},
        {{env, "A=B"}, {env, [{"A=B", "secret"}]}},
        {{env, "A=B"}, {env, [{"A=B", false}]}},
        {{env, "A"}, {env, [{"A", "secret\0"}]}},
        {{env, no_pair}, {env, ["A=secret"]}},
        {{env, '<<...>>'}, {env, <<"A=secret">>}},
        {{exec, '[...]'}, {exec, ["sshpass", "-psecret", 1]}},
        {{environment, '[...]'}, {environment, [{"A", "secret"}]}},
        {{environment, '#{...}'}, {environment, #{"A" => "secret"}}},
        {'[...]', "secret"},
        {{'<<...>>', 1}, {<<"secret">>, 1}}
    ],
    [
        [
            ?_assertEqual({error, Told}, alcove_drv_options:parse([verbose, Option])),
            ?_assertError({badarg, Told}, alcove_drv:start([verbose, Option])),
            ?_assertError({badarg, Told}, alcove_drv:start_link([Option])),
            ?_assertError({badarg, Told}, alcove_drv:start_link(self(), [Option])),
            ?_assertError({badarg, Told}, alcove_drv:child_spec([Option]))
        ]
     || {Told, Option} <- Secret ++ [{Option, Option} || Option <- Wrong]
    ].

options_that_are_no_list_test() ->
    ?assertError({badarg, verbose}, alcove_drv:start(verbose)),
    ?assertError({badarg, tail}, alcove_drv:start([verbose | tail])).

an_owner_without_a_process_test() ->
    ?assertEqual({error, {noproc, nobody_here}}, alcove_drv:start([{owner, nobody_here}])),
    ?assertEqual({error, {noproc, nobody_here}}, alcove_drv:start_link(nobody_here, [])),
    ?assertError(badarg, alcove_drv:start_link(undefined, [])),
    ?assertError(badarg, alcove_drv:start_link("me", [])).

environ(Inherited, Given) ->
    Variables = alcove_environ:variables(alcove_environ:own(Inherited), Given),
    lists:sort(alcove_environ:strings(Variables)).

environment_test_() ->
    [
        ?_assertEqual([<<"A=1">>, <<"B=">>], environ([{"A", "1"}], [{<<"B">>, <<>>}])),
        ?_assertEqual([<<"A=2">>], environ([{"A", "1"}], [{<<"A">>, <<"2">>}])),
        ?_assertEqual([], environ([{"A", "1"}], [{<<"A">>, false}])),
        ?_assertEqual([<<"A=x=y">>], environ([{"A", "x=y"}], []))
    ].

erlangs_own_variables_stay_at_home_test() ->
    Inherited = [
        {"BINDIR", "/erl/erts-1/bin"},
        {"ROOTDIR", "/erl"},
        {"EMU", "beam"},
        {"PROGNAME", "erl"},
        {"ESCRIPT_NAME", "x"},
        {"ERL_LIBS", "/libs"},
        {"ERTS_LIB_DIR", "/lib"},
        {"RELEASE_COOKIE", "secret"},
        {"RELX_CONFIG_PATH", "/c"},
        {"PATH", "/erl/erts-1/bin:/erl/bin:/usr/bin:/bin"},
        {"HOME", "/root"}
    ],
    ?assertEqual([<<"HOME=/root">>, <<"PATH=/usr/bin:/bin">>], environ(Inherited, [])),
    %% Who asks for one gets it.
    ?assertEqual([<<"ERL_LIBS=/x">>], environ([{"ERL_LIBS", "/y"}], [{<<"ERL_LIBS">>, <<"/x">>}])).

a_path_without_erlangs_directories_is_left_alone_test() ->
    Path = "/usr/bin:/erl/bin",
    ?assertEqual(
        [<<"PATH=/usr/bin:/erl/bin">>],
        environ([{"PATH", Path}, {"BINDIR", "/erl/erts-1/bin"}, {"ROOTDIR", "/erl"}], [])
    ).

environment_from_nothing_test() ->
    ?assertMatch(#{env := [<<"A=b">>]}, parsed([clearenv, {env, [{"A", <<"b">>}]}])),
    ?assertMatch(#{env := [_ | _]}, parsed([{clearenv, false}])).

characters_and_bytes_test() ->
    ?assertMatch(#{env := [<<"A=", 16#c3, 16#a9>>]}, parsed([clearenv, {env, [{"A", [16#e9]}]}])),
    ?assertMatch(#{env := [<<"A=", 16#e9>>]}, parsed([clearenv, {env, [{"A", <<16#e9>>}]}])).

%% A process that takes one message of Drv's when it is told to.
owner() ->
    spawn_link(fun Loop() ->
        receive
            {take, From} ->
                receive
                    {alcove_stdout, _, _, _} -> From ! taken
                end,
                Loop()
        end
    end).

take(Owner) ->
    Owner ! {take, self()},
    receive
        taken -> ok
    end.

sent(Owner, N, Size) ->
    [Owner ! {alcove_stdout, self(), [1], binary:copy(<<"x">>, Size)} || _ <- lists:seq(1, N)].

keeps_up(Ref, Ms) ->
    receive
        {'DOWN', Ref, process, _, normal} -> true
    after Ms -> false
    end.

an_owner_with_a_short_queue_keeps_up_test() ->
    Owner = owner(),
    ?assert(keeps_up(alcove_flow:watch(Owner), alcove_test:ms(4000))),
    sent(Owner, 8, 1000000),
    ?assert(keeps_up(alcove_flow:watch(Owner), alcove_test:ms(4000))).

an_owner_with_much_unread_is_waited_for_test() ->
    Owner = owner(),
    sent(Owner, 30, 256 * 1024),
    Ref = alcove_flow:watch(Owner),
    ?assertNot(keeps_up(Ref, 200)),
    [take(Owner) || _ <- lists:seq(1, 10)],
    ?assertNot(keeps_up(Ref, 200)),
    [take(Owner) || _ <- lists:seq(1, 10)],
    ?assert(keeps_up(Ref, alcove_test:ms(4000))).

messages_of_others_are_not_waited_for_test() ->
    Owner = owner(),
    [Owner ! {foreign, lists:seq(1, 10), N} || N <- lists:seq(1, 10000)],
    [Owner ! {alcove_stdout, Owner, [1], binary:copy(<<"x">>, 1000000)} || _ <- [1, 2, 3]],
    ?assert(keeps_up(alcove_flow:watch(Owner), alcove_test:ms(4000))),
    sent(Owner, 30, 256 * 1024),
    Ref = alcove_flow:watch(Owner),
    ?assertNot(keeps_up(Ref, 200)),
    [take(Owner) || _ <- lists:seq(1, 26)],
    ?assert(keeps_up(Ref, 4000)).

an_owner_that_ends_is_not_waited_for_test() ->
    Owner = owner(),
    sent(Owner, 30, 256 * 1024),
    Ref = alcove_flow:watch(Owner),
    ?assertNot(keeps_up(Ref, 50)),
    unlink(Owner),
    exit(Owner, kill),
    ?assert(keeps_up(Ref, alcove_test:ms(4000))),
    ?assert(keeps_up(alcove_flow:watch(Owner), alcove_test:ms(4000))).

nobody_watches_for_a_drv_that_ended_test() ->
    Owner = owner(),
    Self = self(),
    Drv = spawn(fun() ->
        sent(Owner, 30, 256 * 1024),
        _ = alcove_flow:watch(Owner),
        {monitors, [{process, Watcher}]} = process_info(self(), monitors),
        Self ! {watcher, Watcher},
        receive
            stop -> ok
        end
    end),
    Watcher = receive
        {watcher, Pid} -> Pid
    end,
    Ref = monitor(process, Watcher),
    ?assertNot(keeps_up(Ref, 50)),
    Drv ! stop,
    ?assert(keeps_up(Ref, alcove_test:ms(4000))).

%% What the shell shows: the public function, its arguments, and which is wrong.
explained(Fun) ->
    try Fun() of
        Value -> error({returned, Value})
    catch
        error:Reason:Stack ->
            [{Module, Function, Args, Info} | _] = Stack,
            #{module := Formatter} = proplists:get_value(error_info, Info),
            {Reason, Module, Function, Args, Formatter:format_error(Reason, Stack)}
    end.

exceptions_explain_themselves_test() ->
    ?assertMatch(
        {badarg, alcove, chdir, [drv, [1], "/"], #{1 := _}},
        explained(fun() -> alcove:chdir(drv, [1], "/") end)
    ),
    ?assertMatch(
        {badarg, alcove, stdout, [_, [-1]], #{2 := _}},
        explained(fun() -> alcove:stdout(self(), [-1]) end)
    ),
    ?assertMatch(
        {badarg, alcove, event, [_, [], soon], #{3 := _}},
        explained(fun() -> alcove:event(self(), [], soon) end)
    ),
    ?assertMatch(
        {badarg, alcove, eof, [_, [], stdinn], #{3 := _}},
        explained(fun() -> alcove:eof(self(), [], stdinn) end)
    ),
    ?assertMatch(
        {badarg, alcove, call, [_, [], getpid, [], -1], #{5 := _}},
        explained(fun() -> alcove:call(self(), [], getpid, [], -1) end)
    ),
    ?assertMatch(
        {{badarg, {x, y}}, alcove_drv, start, 1, #{1 := _}},
        explained(fun() -> alcove_drv:start([{x, y}]) end)
    ),
    ?assertMatch(
        {badarg, alcove_drv, controlling_process, [_, [a], _], #{2 := _}},
        explained(fun() -> alcove_drv:controlling_process(self(), [a], self()) end)
    ).

%% What is named is what is wrong.
explanations_name_the_argument_test() ->
    {ok, Drv} = alcove_drv:start(),
    Said = fun(Fun) ->
        {badarg, alcove, _, _, Explained} = explained(Fun),
        [{Position, Text}] = maps:to_list(Explained),
        {Position, unicode:characters_to_list(Text)}
    end,
    {2, Names} = Said(fun() -> alcove:filter(Drv, [opne]) end),
    ?assertMatch({match, _}, re:run(Names, "names of calls")),
    {2, How} = Said(fun() -> alcove:spawn(Drv, {clone, 1 bsl 64}, []) end),
    ?assertMatch({match, _}, re:run(How, "clone")),
    {2, Get} = Said(fun() -> alcove:getcpid(Drv, 1 bsl 40, flowcontrol) end),
    {2, Set} = Said(fun() -> alcove:setcpid(Drv, 1 bsl 40, flowcontrol, 1) end),
    [?assertMatch({match, _}, re:run(Text, "process id")) || Text <- [Get, Set]],
    ok = alcove_drv:stop(Drv).

%% Every option says what it takes.
options_explain_themselves_test_() ->
    [
        ?_assertMatch({match, _}, re:run(alcove_explain:option({Name, what}), "a wrong value of"))
     || Name <- alcove_proc_options:names() ++ alcove_drv_options:names(),
        not lists:member(Name, [env, setup, seccomp])
    ].

%% What is no option is told from one that is nearly one.
options_that_are_meant_test_() ->
    [
        ?_assertMatch({match, _}, re:run(alcove_explain:option({Name, 1}), Meant))
     || {Name, Meant} <- [
            {timout, "timeout"},
            {timoeut, "timeout"},
            {cd, "cwd"},
            {verbos, "verbose"},
            {stdin_, "stdin"},
            {no_such, "not an option: {no_such,1}$"}
        ]
    ].
