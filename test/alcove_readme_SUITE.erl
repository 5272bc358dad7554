%% @doc Runs what README.md shows.
%%
%% A block that is fenced as `erlang' and has lines that begin with `1> ' is a
%% session of the shell. What follows a prompt is evaluated; what stands below it,
%% up to the next prompt, is what it has to give, as a pattern in which every
%% variable matches anything. A single `...' matches anything too. A session goes on from
%% one block to the next until a block begins with `1> ' again.
-module(alcove_readme_SUITE).

-include_lib("stdlib/include/assert.hrl").

-export([suite/0, all/0, init_per_suite/1, end_per_suite/1, init_per_testcase/2, end_per_testcase/2]).
-export([sessions_do_what_they_show/1, a_wrong_result_is_found/1]).
%% For other pages.
-export([check/1]).

suite() ->
    alcove_test:suite().

all() ->
    [sessions_do_what_they_show, a_wrong_result_is_found].

init_per_suite(Config) ->
    alcove_test:init_suite(Config).

end_per_suite(_Config) ->
    ok.

init_per_testcase(_Case, Config) ->
    alcove_test:init_case(Config).

end_per_testcase(_Case, Config) ->
    alcove_test:end_case(Config).

sessions_do_what_they_show(_Config) ->
    alcove_test:need(
      [userns],
      fun() ->
              check("README.md")
      end).

%% Runs the session of a page of the project.
check(Page) ->
    {ok, Text} = file:read_file(filename:join(alcove_test:top(), Page)),
    %% Who reads on pastes on, into the same shell.
    [Session] = sessions(Text),
    Prompts = [N || {N, _, _} <- Session],
    ?assertEqual(lists:seq(1, length(Prompts)), Prompts),
    run(Session),
    {comment, lists:concat([length(Prompts), " prompts"])}.

%% The test of the test.
a_wrong_result_is_found(_Config) ->
    Block = fun(Lines) -> iolist_to_binary(["text\n\n```erlang\n", [[Line, "\n"] || Line <- Lines], "```\n"]) end,
    Runs = fun(Lines) -> [run(Session) || Session <- sessions(Block(Lines))] end,
    Runs(["1> X = {ok,", "1>      1}.", "{ok,_}", "2> X.", "{ok,1}", "3> self().", "<0.1.0>",
          "4> #alcove_rlimit{cur = 1, max = 2}.", "#alcove_rlimit{cur = 1,max = _}",
          "5> alcove:getpid(a).", "** exception error: bad argument", "6> ok.", "..."]),
    ?assertError(_, Runs(["1> 1.", "2"])),
    ?assertError(_, Runs(["1> {ok, 1}.", "{ok, 2}"])),
    ?assertError(_, Runs(["1> error(x).", "ok"])),
    ?assertError(_, Runs(["1> ok.", "** exception error: x"])),
    ?assertError(_, Runs(["1> Unbound."])).

%% ---------------------------------------------------------------------------

%% The sessions of a text, each a list of {Prompt, Expression, Result}.
sessions(Text) ->
    {match, Blocks} = re:run(Text, "^```erlang\n(.*?)^```", [global, multiline, dotall,
                                                              {capture, all_but_first, list}]),
    join([prompts(string:split(Block, "\n", all)) || [Block] <- Blocks,
                                                     re:run(Block, "^\\d+> ", [multiline]) =/= nomatch]).

join([First | Rest]) ->
    lists:foldl(fun([{1, _, _} | _] = Session, Joined) -> Joined ++ [Session];
                   (More, Joined) -> lists:droplast(Joined) ++ [lists:last(Joined) ++ More]
                end, [First], Rest).

%% An expression ends with a dot; until then what follows belongs to it, with a prompt or without.
prompts(Lines) ->
    prompts(Lines, []).

prompts([], Prompts) ->
    lists:reverse([{N, Expression, string:trim(Result)} || {N, Expression, Result} <- Prompts]);
prompts([Line | Lines], Prompts) ->
    Prompt = re:run(Line, "^(\\d+)> (.*)", [{capture, all_but_first, list}]),
    case {Prompt, Prompts} of
        {{match, [_, Text]}, [{N, Expression, []} | Before]} ->
            case complete(Expression) of
                true -> prompts(Lines, [prompt(Prompt) | Prompts]);
                false -> prompts(Lines, [{N, Expression ++ "\n" ++ Text, []} | Before])
            end;
        {{match, _}, _} ->
            prompts(Lines, [prompt(Prompt) | Prompts]);
        {nomatch, []} ->
            prompts(Lines, Prompts);
        {nomatch, [{N, Expression, Result} | Before]} ->
            case {complete(Expression), Line} of
                {false, _} -> prompts(Lines, [{N, Expression ++ "\n" ++ Line, Result} | Before]);
                {true, "%" ++ _} -> prompts(Lines, Prompts);
                {true, _} -> prompts(Lines, [{N, Expression, Result ++ "\n" ++ Line} | Before])
            end
    end.

prompt({match, [N, Text]}) ->
    {list_to_integer(N), Text, []}.

complete(Expression) ->
    lists:suffix(".", string:trim(Expression)).

run(Session) ->
    lists:foldl(fun({N, Expression, Result}, Bindings) -> step(N, Expression, Result, Bindings) end,
                erl_eval:new_bindings(), Session).

step(N, Expression, Expected, Bindings) ->
    ct:log("~b> ~ts~n~ts", [N, Expression, Expected]),
    case {evaluate(Expression, Bindings), Expected} of
        {{value, _, After}, Any} when Any =:= ""; Any =:= "..." ->
            After;
        {{raised, Class, _}, "** exception " ++ Text} ->
            ?assertEqual({N, atom_to_list(Class)}, {N, lists:takewhile(fun(C) -> C =/= $: end, Text)}),
            Bindings;
        {{value, Value, After}, _} ->
            ?assert(matches(Value, Expected), lists:flatten(io_lib:format("~b> ~tp", [N, Value]))),
            After;
        {Raised, _} ->
            error({prompt, N, Expression, Raised})
    end.

evaluate(Expression, Bindings) ->
    {ok, Tokens, _} = erl_scan:string(Expression),
    {ok, Exprs} = erl_parse:parse_exprs(Tokens),
    try
        {value, Value, After} = erl_eval:exprs(with_records(Exprs), Bindings),
        {value, Value, After}
    catch
        Class:Reason -> {raised, Class, Reason}
    end.

matches(Value, Expected) ->
    %% A pid or the like is printed as something that can't be read.
    Readable = re:replace(Expected, "<\\d+\\.\\d+\\.\\d+>|#(Ref|Port|Fun)<[^>]*>", "_",
                          [global, {return, list}, unicode]),
    {ok, Tokens, _} = erl_scan:string(Readable ++ "."),
    Anything = [case Token of
                    {var, Line, _} -> {var, Line, '_'};
                    _ -> Token
                end || Token <- Tokens],
    {ok, [Pattern]} = erl_parse:parse_exprs(Anything),
    Clauses = [{clause, 1, [Pattern], [], [{atom, 1, true}]},
               {clause, 1, [{var, 1, '_'}], [], [{atom, 1, false}]}],
    {value, Matches, _} =
        erl_eval:exprs(with_records([{'case', 1, {var, 1, 'Value'}, Clauses}]),
                       erl_eval:add_binding('Value', Value, erl_eval:new_bindings())),
    Matches.

%% As after rr("include/alcove.hrl") in the shell.
with_records(Exprs) ->
    Header = filename:join([alcove_test:top(), "include", "alcove.hrl"]),
    {ok, Forms} = epp:parse_file(Header, []),
    Records = [Form || {attribute, _, record, _} = Form <- Forms],
    Function = {function, 1, session, 0, [{clause, 1, [], [], Exprs}]},
    Expanded = erl_expand_records:module([{attribute, 1, module, session} | Records] ++ [Function], []),
    [Body] = [Body || {function, _, session, 0, [{clause, _, [], [], Body}]} <- Expanded],
    Body.
