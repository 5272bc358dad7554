%% What the filter of an OCI configuration says of a call, and what the policy that is made of it
%% says: never more, and the same of ordinary arguments.
-module(alcove_sandbox_oci_seccomp_tests).

-include_lib("eunit/include/eunit.hrl").

-define(HIGH, (1 bsl 32)).
-define(NEGATIVE, 16#ffffffffffffff9c).

%% The condition of a rule at least as strict as the default, and of one that isn't.
bits_test_() ->
    [
        ?_assertEqual({Refusal, Admission}, {refusal(Given), admission(Given)})
     || {Given, Refusal, Admission} <- [
            %% An int from 0 on.
            {{ne, 40}, {0, ne, 40, 64}, {0, ne, 40, 32}},
            {{eq, 40}, {0, eq, 40, 32}, {0, eq, 40, 64}},
            {{lt, 40}, {0, lt, 40, 32}, {0, lt, 40, 64}},
            {{le, 40}, {0, le, 40, 32}, {0, le, 40, 64}},
            {{gt, 40}, {0, gt, 40, 64}, {0, gt, 40, 32}},
            {{ge, 40}, {0, ge, 40, 64}, {0, ge, 40, 32}},
            {{ne, ?HIGH - 1}, {0, ne, ?HIGH - 1, 64}, {0, ne, ?HIGH - 1, 32}},
            %% A negative one.
            {{ne, ?NEGATIVE}, {0, ne, ?NEGATIVE, 64}, {0, ne, 16#ffffff9c, 32}},
            {{eq, ?NEGATIVE}, {0, eq, 16#ffffff9c, 32}, {0, eq, ?NEGATIVE, 64}},
            {{lt, ?NEGATIVE}, {0, lt, ?NEGATIVE, 64}, {0, lt, 16#ffffff9c, 32}},
            {{le, ?NEGATIVE}, {0, le, ?NEGATIVE, 64}, {0, le, 16#ffffff9c, 32}},
            {{gt, ?NEGATIVE}, {0, gt, 16#ffffff9c, 32}, {0, gt, ?NEGATIVE, 64}},
            {{ge, ?NEGATIVE}, {0, ge, 16#ffffff9c, 32}, {0, ge, ?NEGATIVE, 64}}
        ]
    ] ++
        %% No int.
        [
            ?_assertEqual({Same, Same}, {refusal(Given), admission(Given)})
         || Operator <- [ne, eq, lt, le, gt, ge],
            Value <- [?HIGH, ?HIGH + 40, 16#ffffffff7fffffff],
            Given <- [{Operator, Value}],
            Same <- [{0, Operator, Value, 64}]
        ] ++
        [
            ?_assertEqual({Refusal, Admission}, {refusal(Given), admission(Given)})
         || {Mask, Value, Refusal} <- [
                {16#7e020000, 0, {0, {masked_eq, 16#7e020000}, 0, 64}},
                {16#ffffffffffffffff, 40, {0, {masked_eq, 16#ffffffff}, 40, 32}},
                {16#ffffffffffffffff, ?NEGATIVE, {0, {masked_eq, 16#ffffffff}, 16#ffffff9c, 32}},
                {?HIGH, 0, {0, {masked_eq, ?HIGH}, 0, 64}},
                {?HIGH + 1, ?HIGH, {0, {masked_eq, ?HIGH + 1}, ?HIGH, 64}}
            ],
            Given <- [{{masked_eq, Mask}, Value}],
            Admission <- [{0, {masked_eq, Mask}, Value, 64}]
        ].

refusal(Condition) ->
    Rule = {[read], [full(Condition)], {errno, 1}},
    #{rules := [{[read], [Read], {errno, 1}}]} = policy({allow, [Rule]}),
    Read.

admission(Condition) ->
    #{rules := [{_, [Read], allow}]} = policy({{errno, 1}, [{[read], [full(Condition)], allow}]}),
    Read.

full({Operator, Value}) -> {0, Operator, Value}.

%% Rules that admit more than the default, but less than another: what this one evades by its upper
%% half isn't what the other one admits.
between_test() ->
    Error = {[socket], [{0, eq, 40}], {errno, 97}},
    Kill = {kill_process, [Error, {[socket], [], allow}]},
    ?assertMatch(
        #{
            rules := [
                {[socket], [{0, eq, 40, 32}], {errno, 97}},
                {[socket], [{0, eq, 40, 64}], {errno, 97}},
                {[socket], [], allow}
            ]
        },
        policy(Kill)
    ),
    [
        ?assertEqual({errno, 97}, ours(policy(Kill), socket, [Family, 0]))
     || Family <- [40, ?HIGH + 40]
    ],
    %% Other calls have nothing to do with it, but a call by its other name.
    ?assertMatch(#{rules := [_, _]}, policy({kill_process, [Error, {[read], [], allow}]})),
    ?assertMatch(
        #{rules := [_, _, _]},
        policy({kill_process, [{[fstatat], [{0, eq, 40}], {errno, 97}}, {[newfstatat], [], allow}]})
    ).

%% No more than a program of the kernel has room for: who writes a bundle can't block its reader.
too_many_test_() ->
    {timeout, 60, fun() ->
        Rules = fun(Names, Many) ->
            [{Names, [{0, eq, N}], {errno, 1}} || N <- lists:seq(1, Many)] ++
                [{Names, [{0, gt, N}], allow} || N <- lists:seq(1, Many)]
        end,
        Calls = [Name || {Name, _} <- lists:sublist(alcove_nif:seccomp_calls(native), 200)],
        [
            ?assertMatch(
                {error, {oci, [{<<"linux.seccomp.syscalls">>, {invalid, _}}]}},
                read({kill_process, Many})
            )
         || Many <- [Rules([read], 10000), Rules(Calls, 100)]
        ],
        ?assertMatch(#{rules := [_ | _]}, policy({kill_process, Rules([read], 20)}))
    end}.

%% Configurations made up at random, with arguments made up at random.
never_weaker_test_() ->
    {timeout, 300, fun() ->
        [
            begin
                Filter = {Default, _} = random_filter(),
                Policy = policy(Filter),
                [
                    begin
                        Said = {Filter, Policy, Call, Args},
                        Ours = rank(ours(Policy, Call, Args)),
                        ?assert(Ours =< rank(theirs(Filter, Call, Args)), Said),
                        %% As the kernel takes it, if it takes some of them as an int.
                        are_ints(Filter) andalso
                            [
                                ?assert(Ours =< rank(theirs(Filter, Call, Taken)), Said)
                             || Taken <- taken(Args)
                            ],
                        lists:max(Args) < 1 bsl 31 andalso
                            ?assertEqual(rank(theirs(Filter, Call, Args)), Ours, Said)
                    end
                 || Call <- [read, write, socket],
                    Args <- [[word(), word()] || _ <- lists:seq(1, 30)]
                ],
                ?assertEqual(Default, maps:get(default, Policy))
            end
         || _ <- lists:seq(1, 1500)
        ]
    end}.

random_filter() ->
    {pick(actions()), [
        {
            pick([[read], [write], [read, write], [socket], [read, socket]]),
            [random_condition() || _ <- lists:seq(1, rand:uniform(4) - 1)],
            pick(actions())
        }
     || _ <- lists:seq(1, rand:uniform(6))
    ]}.

actions() -> [allow, log, {errno, 1}, {errno, 38}, trap, kill_process, kill_thread].

random_condition() ->
    {rand:uniform(2) - 1, pick([eq, ne, lt, le, gt, ge, {masked_eq, word()}]), word()}.

word() ->
    Half = fun() -> pick([0, 1, 2, 5, 16#7fffffff, 16#80000000, 16#fffffffe, 16#ffffffff]) end,
    (pick([0, 0, 0, 1, Half()]) bsl 32) bor Half().

pick(List) -> lists:nth(rand:uniform(length(List)), List).

are_ints({_, Rules}) ->
    lists:all(
        fun
            ({_, {masked_eq, Mask}, Value}) ->
                Value band Mask < ?HIGH andalso (Mask < ?HIGH orelse Mask rem ?HIGH =/= 0);
            ({_, _, Value}) ->
                Value < ?HIGH
        end,
        lists:append([Conditions || {_, Conditions, _} <- Rules])
    ).

taken([First, Second]) ->
    [[A, B] || A <- [First, First rem ?HIGH], B <- [Second, Second rem ?HIGH]].

%% What libseccomp makes of it; the strictest rule that matches counts.
theirs({Default, Rules}, Call, Args) ->
    Matching = [
        Action
     || {Calls, Conditions, Action} <- Rules, lists:member(Call, Calls), matches(Conditions, Args)
    ],
    case lists:sort(fun(A, B) -> rank(A) =< rank(B) end, Matching) of
        [] -> Default;
        [Strictest | _] -> Strictest
    end.

matches(Conditions, Args) ->
    Holds = [holds(Condition, Args, 64) || Condition <- Conditions],
    Indices = [Index || {Index, _, _} <- Conditions],
    case Indices -- lists:usort(Indices) of
        [] -> lists:all(fun(Is) -> Is end, Holds);
        _ -> lists:any(fun(Is) -> Is end, Holds)
    end.

%% The first rule that matches counts.
ours(#{default := Default, rules := Rules}, Call, Args) ->
    Matching = [
        Action
     || {Calls, Conditions, Action} <- Rules,
        lists:member(Call, Calls),
        lists:all(fun({I, O, V, Bits}) -> holds({I, O, V}, Args, Bits) end, Conditions)
    ],
    hd(Matching ++ [Default]).

holds({Index, Operator, Value}, Args, Bits) ->
    Arg = lists:nth(Index + 1, Args) rem (1 bsl Bits),
    case Operator of
        eq -> Arg =:= Value;
        ne -> Arg =/= Value;
        lt -> Arg < Value;
        le -> Arg =< Value;
        gt -> Arg > Value;
        ge -> Arg >= Value;
        {masked_eq, Mask} -> Arg band Mask =:= Value band Mask
    end.

rank(kill_process) -> 0;
rank(kill_thread) -> 1;
rank(trap) -> 2;
rank({errno, _}) -> 3;
rank(log) -> 4;
rank(allow) -> 5.

policy(Filter) ->
    {ok, #{spec := #{seccomp := Policy}}} = read(Filter),
    Policy.

read({Default, Rules}) ->
    Seccomp = maps:merge(
        maps:from_list(action(<<"defaultAction">>, <<"defaultErrnoRet">>, Default)),
        #{<<"syscalls">> => [rule(Rule) || Rule <- Rules]}
    ),
    Config = #{
        <<"ociVersion">> => <<"1.2.0">>,
        <<"root">> => #{<<"path">> => <<"root">>},
        <<"process">> => #{<<"args">> => [<<"x">>], <<"cwd">> => <<"/">>},
        <<"linux">> => #{<<"seccomp">> => Seccomp}
    },
    alcove_sandbox:from_oci({"/b", Config}).

rule({Calls, Conditions, Action}) ->
    maps:from_list(
        [
            {<<"names">>, [atom_to_binary(Call) || Call <- Calls]},
            {<<"args">>, [argument(Condition) || Condition <- Conditions]}
        ] ++ action(<<"action">>, <<"errnoRet">>, Action)
    ).

argument({Index, {masked_eq, Mask}, Value}) ->
    (argument({Index, masked_eq, Mask}))#{<<"valueTwo">> => Value};
argument({Index, Operator, Value}) ->
    Name = string:uppercase(atom_to_binary(Operator)),
    #{<<"index">> => Index, <<"value">> => Value, <<"op">> => <<"SCMP_CMP_", Name/binary>>}.

action(Key, Errno, {errno, Number}) -> [{Key, <<"SCMP_ACT_ERRNO">>}, {Errno, Number}];
action(Key, _, Action) ->
    [{Key, <<"SCMP_ACT_", (string:uppercase(atom_to_binary(Action)))/binary>>}].
