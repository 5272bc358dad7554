%% @doc The documentation: what the shell shows, what the pages name, and the site that `make doc'
%% writes.
-module(alcove_doc_SUITE).

-include_lib("stdlib/include/assert.hrl").

-export([suite/0, all/0, groups/0, init_per_suite/1, end_per_suite/1, init_per_group/2, end_per_group/2,
         init_per_testcase/2, end_per_testcase/2]).
-export([in_the_shell/1, pages_name_functions/1, files_have_what_pages_say/1]).
%% site
-export([start_page/1, all_is_there/1, all_is_found/1, a_dead_link_is_found/1]).

%% The site takes some seconds of two processors, and more where others have them.
suite() ->
    [{timetrap, alcove_test:ms(600000)}].

all() ->
    [in_the_shell, pages_name_functions, files_have_what_pages_say, {group, site}].

groups() ->
    [{site, [], [start_page, all_is_there, all_is_found, a_dead_link_is_found]}].

init_per_suite(Config) ->
    alcove_test:init_suite(Config).

end_per_suite(_Config) ->
    ok.

%% Makes the site, which says nothing when all is well: no link leads nowhere.
init_per_group(site, Config) ->
    alcove_test:need([{program, "cmark-gfm"}], fun() ->
        {ok, Drv} = alcove_drv:start(),
        Made = run(Drv, "doc.sh", [code:lib_dir(alcove)]),
        ok = alcove_drv:stop(Drv),
        ?assertEqual({0, <<>>}, Made),
        Config
    end).

end_per_group(site, _Config) ->
    ok.

init_per_testcase(_Case, Config) ->
    alcove_test:init_case([], Config).

end_per_testcase(_Case, Config) ->
    alcove_test:end_case(Config).

%% The shell knows of every function, but for those that are private, of which it says nothing from OTP 29 on.
in_the_shell(_Config) ->
    [begin
         Known = maps:from_list([{{Name, Arity}, Doc} || {{function, Name, Arity}, _, _, Doc, _} <- entries(Module)]),
         Exports = Module:module_info(exports) -- [{module_info, 0}, {module_info, 1}],
         Private = private(Module),
         ?assertEqual([], [{Module, Function} || {Name, _} = Function <- Exports, not lists:member(Name, Private),
                                                 maps:get(Function, Known, none) =:= none])
     end || Module <- modules()],
    Rendered = iolist_to_binary(shell_docs:render(alcove, fork, 2, chunk(alcove))),
    ?assertMatch({match, _}, re:run(Rendered, "fork_path.*Creates a child process", [dotall])).

private(Module) ->
    {ok, Source} = file:read_file(filename:join([alcove_test:top(), "lib", lists:concat([Module, ".erl"])])),
    Private = "^%% @private\n(?:%%.*\n)*-spec ([a-z_]+)\\(",
    case re:run(Source, Private, [global, multiline, {capture, all_but_first, list}]) of
        {match, Names} -> [list_to_atom(Name) || [Name] <- Names];
        nomatch -> []
    end.

%% The pages name functions that there are.
pages_name_functions(_Config) ->
    [begin
         {ok, Text} = file:read_file(filename:join(alcove_test:top(), Page)),
         Named = re:run(Text, "\\b(alcove[a-z_]*)[:.]([a-z_]+)(?:\\(|/([0-9]))", [global, {capture, all_but_first, list}]),
         [begin
              Exports = (list_to_atom(Module)):module_info(exports),
              Arities = [A || {F, A} <- Exports, F =:= list_to_atom(Function)],
              ?assert(Arities =/= [] andalso [] =:= [A || [A] <- [Arity], not lists:member(list_to_integer(A), Arities)],
                      {Page, Module, Function, Arity})
          end || {match, All} <- [Named], [Module, Function | Arity] <- All]
     end || Page <- ["README.md" | guides()]].

%% A file of the sources that a page names is there, and has the functions that stand after it, as in
%% `tree.rs`, `over` and `reply`, or before it, as in `due` in `tree.rs`.
files_have_what_pages_say(_Config) ->
    Sources = sources(),
    Pages = ["README.md", "CONTRIBUTING.md", "SECURITY.md" | guides()],
    Named = [{Page, Name} || Page <- Pages, Name <- named(Page)],
    ?assert(length(Named) > 50),
    ?assertEqual([], [{Page, File} || {Page, {File, _}} <- Named, having(File, Sources) =:= []]),
    ?assertEqual([], [{Page, File, Function}
                      || {Page, {File, Functions}} <- Named, Function <- Functions,
                         not lists:any(fun(Source) -> defines(Source, Function) end, having(File, Sources))]).

%% The files that a page names, each with what it says that they have.
named(Page) ->
    {ok, Text} = file:read_file(filename:join(alcove_test:top(), Page)),
    File = "`([a-z_0-9/]+\\.(?:rs|erl))`(?:\\*\\*)?",
    Name = "`[A-Za-z_:]+(?:/[0-9])?`",
    After = File ++ "((?:,\\s+" ++ Name ++ ")*(?:\\s+and\\s+" ++ Name ++ ")?)",
    Before = "(" ++ Name ++ ")\\s+in\\s+" ++ File,
    [{Path, names(Functions)} || [Path, Functions] <- matches(Text, After)] ++
        [{Path, names(Function)} || [Function, Path] <- matches(Text, Before)].

names(Text) ->
    [Name || [Name] <- matches(Text, "`([A-Za-z_:]+)(?:/[0-9])?`")].

matches(Text, Pattern) ->
    case re:run(Text, Pattern, [global, {capture, all_but_first, list}]) of
        {match, All} -> All;
        nomatch -> []
    end.

sources() ->
    Top = alcove_test:top(),
    [filename:join(Top, Path) || Kind <- ["{lib,test,examples}/*.erl", "native/*/**/*.rs"],
                                 Path <- filelib:wildcard(Kind, Top)].

having(File, Sources) ->
    [Source || Source <- Sources, lists:suffix("/" ++ File, Source)].

defines(Source, Name) ->
    {ok, Text} = file:read_file(Source),
    Last = lists:last(string:lexemes(Name, ":")),
    Pattern = case filename:extension(Source) of
                  ".rs" -> "\\b(fn|struct|enum|trait|type|const|static|mod) " ++ Last ++ "\\b";
                  ".erl" -> "^" ++ Last ++ "\\("
              end,
    re:run(Text, Pattern, [multiline, {capture, none}]) =:= match.


%% ---------------------------------------------------------------------------
%% The site
%% ---------------------------------------------------------------------------

start_page(_Config) ->
    Start = page("index.html"),
    [?assertNotEqual(nomatch, binary:match(Start, Text))
     || Text <- [<<"<h1 id=\"alcove\">alcove">>, <<"id=\"run-a-program\"">>, <<"href=\"guide.html\"">>,
                 <<"href=\"alcove_proc.html#run/">>, <<"src=\"site.js\"">>]],
    %% It needs no network, and nothing that is not there.
    ?assertEqual(nomatch, re:run(Start, "(src|<link [^>]*href)=\"(https?:)?//")),
    [?assertNotEqual(<<>>, page(File)) || File <- ["site.js", "site.css", "search-index.js"]].

%% Every guide and every module has a page, which is beside every page.
all_is_there(_Config) ->
    Files = [filename:basename(Guide, ".md") ++ ".html" || Guide <- guides()] ++
        [lists:concat([Module, ".html"]) || Module <- modules()],
    [begin
         ?assertMatch({match, _}, re:run(page(File), "<article[^>]*>\\s*<h1 id=.*</p>", [dotall])),
         ?assertNotEqual(nomatch, binary:match(page("calls.html"), iolist_to_binary(["<a href=\"", File, "\""])))
     end || File <- Files].

%% The index of the search has every function and every type, and leads to them.
all_is_found(_Config) ->
    Index = page("search-index.js"),
    Shown = [{Module, Kind, lists:concat([Name, "/", Arity])}
             || Module <- modules(), {{Kind, Name, Arity}, _, _, Doc, _} <- entries(Module), Doc =/= hidden,
                Kind =:= type orelse erlang:function_exported(Module, Name, Arity)],
    ?assert(length(Shown) > 500),
    Missing = [Entry || {Module, Kind, Name} = Entry <- Shown,
                        binary:match(Index, iolist_to_binary(io_lib:format("\"~s\",\"~s:~s\",\"~s\",\"~s.html#~s~s\"",
                            [Kind, Module, Name, Module, Module, [["t:"] || Kind =:= type], Name]))) =:= nomatch],
    ?assertEqual([], Missing),
    %% And the sections of the guides.
    [?assertNotEqual(nomatch, binary:match(Index, Section))
     || Section <- [<<"\"section\",\"Talk to it\",\"alcove\",\"index.html#talk-to-it\"">>,
                    <<"\"guide\",\"Sandboxes\",\"\",\"sandbox.html\"">>]].

%% The test of the test.
a_dead_link_is_found(Config) ->
    File = filename:join([alcove_test:top(), "doc", "security.html"]),
    {ok, Page} = file:read_file(File),
    Check = fun(Link) ->
        ok = file:write_file(File, [Page, "<a href=\"", Link, "\">there</a>\n"]),
        run(proplists:get_value(drv, Config), "check-links.sh", [])
    end,
    try
        ?assertEqual({0, <<>>}, Check("calls.html")),
        ?assertEqual({1, <<"doc/security.html: nowhere.html: no such file\n">>}, Check("nowhere.html")),
        ?assertEqual({1, <<"doc/security.html: calls.html#none: no such place\n">>}, Check("calls.html#none"))
    after
        ok = file:write_file(File, Page)
    end.

%% ---------------------------------------------------------------------------

%% The modules of Erlang that the documentation lists.
modules() ->
    {ok, [{application, alcove, About}]} = file:consult(filename:join([alcove_test:top(), "lib", "alcove.app.src"])),
    Groups = proplists:get_value(modules, proplists:get_value(docs, About)),
    Modules = [Module || {_, Members} <- Groups, Module <- Members, not lists:prefix("Elixir.", atom_to_list(Module))],
    ?assert(lists:member(alcove_proc, Modules)),
    [{module, _} = code:ensure_loaded(Module) || Module <- Modules],
    Modules.

guides() ->
    [_ | _] = Names = filelib:wildcard("docs/*.md", alcove_test:top()),
    Names.

chunk(Module) ->
    {ok, Bytes} = file:read_file(filename:join([code:lib_dir(alcove), "doc", "chunks", lists:concat([Module, ".chunk"])])),
    binary_to_term(Bytes).

entries(Module) ->
    {docs_v1, _, erlang, _, #{<<"en">> := _}, _, Entries} = chunk(Module),
    Entries.

page(File) ->
    {ok, Text} = file:read_file(filename:join([alcove_test:top(), "doc", File])),
    Text.

run(Drv, Script, Args) ->
    Top = alcove_test:top(),
    {ok, #{status := Status, stdout := Out}} =
        alcove_proc:run(Drv, [filename:join([Top, "scripts", Script]) | Args],
                        #{cwd => Top, stderr => stdout, env => #{"ERL_FLAGS" => false}, timeout => 400000}),
    {Status, Out}.
