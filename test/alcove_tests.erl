%% @doc What the sources say. The layers of the Erlang modules, as docs/architecture.md lists them: the
%% list has every module, and no module calls one of a higher layer. The names of error numbers: none
%% is there that alcove never gives.
-module(alcove_tests).

-include_lib("eunit/include/eunit.hrl").

%% Calls of a higher layer that there still are. None may be added; one that is no more is taken out.
-define(UPWARD, [
    %% An exception about an unknown option says which one may be meant.
    {alcove_explain, alcove_proc_options},
    %% At its end a Drv removes the groups of its programs.
    {alcove_drv, alcove_cgroup_own}
]).

%% Modules that use each other, in whatever round. None may be added.
-define(CYCLES, [
    [
        alcove,
        alcove_cgroup_fs,
        alcove_cgroup_members,
        alcove_cgroup_own,
        alcove_cgroup_paths,
        alcove_cgroup_v1,
        alcove_cgroup_v2,
        alcove_default,
        alcove_drv,
        alcove_errors,
        alcove_explain,
        alcove_file,
        alcove_proc_options,
        alcove_seccomp,
        alcove_tree
    ],
    [alcove_call, alcove_proxy],
    [alcove_proc, alcove_proc_attach]
]).

list_has_every_module_test() ->
    Listed = lists:append(layers()),
    ?assertEqual({missing, []}, {missing, modules() -- Listed}),
    ?assertEqual({nowhere_or_twice, []}, {nowhere_or_twice, Listed -- modules()}).

no_module_calls_a_higher_layer_test() ->
    Layers = lists:zip(lists:seq(1, length(layers())), layers()),
    Layer = maps:from_list([{Module, N} || {N, Modules} <- Layers, Module <- Modules]),
    Upward = [Call || {From, To} = Call <- calls(), map_get(From, Layer) < map_get(To, Layer)],
    ?assertEqual(lists:sort(?UPWARD), lists:sort(Upward)).

no_more_modules_use_each_other_test() ->
    Graph = digraph:new(),
    _ = [digraph:add_vertex(Graph, Module) || Module <- modules()],
    _ = [digraph:add_edge(Graph, From, To) || {From, To} <- calls()],
    Cycles = digraph_utils:cyclic_strong_components(Graph),
    true = digraph:delete(Graph),
    ?assertEqual([], [
        lists:sort(Cycle)
     || Cycle <- Cycles, not lists:any(fun(Known) -> Cycle -- Known =:= [] end, ?CYCLES)
    ]).

%% The modules of each layer, the lowest first: the rows of the table.
layers() ->
    {ok, Text} = file:read_file(filename:join([alcove_test:top(), "docs", "architecture.md"])),
    [_, After] = string:split(Text, "\n## The Erlang modules\n"),
    [Section | _] = string:split(After, "\n## "),
    [
        [binary_to_atom(Module) || [Module] <- names(Row)]
     || Row <- string:split(Section, "\n", all), names(Row) =/= [], binary:first(Row) =:= $|
    ].

names(Row) ->
    case re:run(Row, "`(alcove[a-z_0-9]*)`", [global, {capture, all_but_first, binary}]) of
        {match, Names} -> Names;
        nomatch -> []
    end.

modules() ->
    Files = filelib:wildcard(filename:join([alcove_test:top(), "lib", "*.erl"])),
    lists:sort([list_to_atom(filename:basename(File, ".erl")) || File <- Files]).

%% Which module calls which other.
calls() ->
    {ok, Xref} = xref:start([{xref_mode, modules}]),
    xref:set_default(Xref, [{warnings, false}]),
    _ = [
        {ok, _} = xref:add_module(Xref, code:which(Module))
     || Module <- modules()
    ],
    {ok, Calls} = xref:q(Xref, "strict ME | M || M"),
    xref:stop(Xref),
    Calls.

%% From OTP 29 on the compiler says that `catch' is deprecated: whoever builds alcove would see it.
no_old_catch_test() ->
    ?assertEqual([], [Module || Module <- modules(), has_catch(forms(Module))]).

forms(Module) ->
    {ok, {Module, [{abstract_code, {raw_abstract_v1, Forms}}]}} =
        beam_lib:chunks(code:which(Module), [abstract_code]),
    Forms.

has_catch({'catch', _, _}) -> true;
has_catch(Form) when is_tuple(Form) -> has_catch(tuple_to_list(Form));
has_catch([Form | Forms]) -> has_catch(Form) orelse has_catch(Forms);
has_catch(_) -> false.

%% Names of error numbers that alcove never gives, as errno.rs says: it has another name for the same
%% number, on Linux at least. Who matches one of them waits in vain.
-define(OTHER_NAMES, [<<"eopnotsupp">>, <<"ewouldblock">>, <<"edeadlock">>]).

no_error_is_named_that_is_never_given_test() ->
    Given = given(),
    ?assertEqual([], [
        {File, Word}
     || File <- sources(),
        Word <- words(File),
        not lists:member(Word, Given),
        lists:member(Word, ?OTHER_NAMES) orelse is_errno(Word)
    ]).

%% A name that nothing has is a slip of the pen.
no_error_is_misspelt_test() ->
    Given = given(),
    ?assertEqual([], [
        {File, Error}
     || File <- sources(),
        filename:extension(File) =:= ".erl",
        Error <- errors(tokens(File)),
        not lists:member(Error, Given)
    ]).

given() ->
    File = filename:join([alcove_test:top(), "native", "alcove_proto", "src", "errno.rs"]),
    {ok, Text} = file:read_file(File),
    {match, Names} = re:run(
        Text, "^ +E[A-Z0-9]+ \"(e[a-z0-9]+)\",$", [global, multiline, {capture, all_but_first, binary}]
    ),
    true = length(Names) > 100,
    lists:append(Names) -- ?OTHER_NAMES.

sources() ->
    lists:append([
        filelib:wildcard(filename:join(alcove_test:top(), Files))
     || Files <- [
            "README.md", "docs/*.md", "lib/*.erl", "include/*.hrl", "examples/*.{erl,ex}",
            "elixir/**/*.{ex,exs}"
        ]
    ]).

words(File) ->
    {ok, Text} = file:read_file(File),
    Options = [global, {capture, all_but_first, binary}],
    case re:run(Text, "\\b(e[a-z0-9]{2,14})\\b", Options) of
        {match, Words} -> lists:usort(lists:append(Words));
        nomatch -> []
    end.

%% Whether Erlang knows it as one.
is_errno(Word) ->
    string:prefix(erl_posix_msg:message(binary_to_atom(Word)), "unknown") =:= nomatch.

tokens(File) ->
    {ok, Text} = file:read_file(File),
    {ok, Tokens, _} = erl_scan:string(unicode:characters_to_list(Text)),
    Tokens.

errors([{'{', _}, {atom, _, error}, {',', _}, {atom, _, Error}, {'}', _} | Rest]) ->
    [Word || <<"e", _/binary>> = Word <- [atom_to_binary(Error)]] ++ errors(Rest);
errors([_ | Rest]) ->
    errors(Rest);
errors([]) ->
    [].
