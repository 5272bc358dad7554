#!/usr/bin/env escript
%% Writes the documentation as pages that a browser shows without a server or a network.
%%
%%   site.escript BUILD BEAMS OUT
%%
%% BUILD is the directory of what rebar3 built, with what edoc says of the modules, BEAMS that
%% of the compiled Elixir modules, or "", OUT where the pages go. What is shown and in which
%% order is in lib/alcove.app.src, as `docs'. Pages of Markdown are made by cmark-gfm.
-mode(compile).

%% A page of the site.
%% source: the file it is made of, or the module.
-record(page, {file, title, kind, source}).
%% An entry of a module: a function, a type, a callback.
-record(entry, {kind, name, arity, head, spec = [], body = []}).
%% What links are made with: the pages by source, and where a function or a type is.
-record(site, {about, out, groups = [], by_source = #{}, refs = #{}}).

main([Build, Beams, Out]) ->
    try
        site(Build, Beams, Out)
    catch
        throw:{error, Format, Args} ->
            io:format(standard_error, "alcove: " ++ Format ++ "~n", Args),
            halt(1)
    end.

site(Build, Beams, Out) ->
    {ok, [{application, alcove, About}]} = file:consult("lib/alcove.app.src"),
    {docs, Docs} = lists:keyfind(docs, 1, About),
    Has = fun(Module) -> Beams =/= "" orelse not is_elixir(Module) end,
    Guides = [
        {Name, [guide_page(File) || File <- Files]}
     || {Name, Files} <- proplists:get_value(guides, Docs)
    ],
    Modules = [
        {Name, [module_page(Module) || Module <- Members, Has(Module)]}
     || {Name, Members} <- proplists:get_value(modules, Docs)
    ],
    Examples = lists:sort(filelib:wildcard("examples/*.{erl,ex}")),
    All = Guides ++ Modules ++ [{"Examples", [example_page(File) || File <- Examples]}],
    Groups = [Group || {_, [_ | _]} = Group <- All],
    Pages = lists:append([Members || {_, Members} <- Groups]),
    complete(Pages, Build, Beams),
    Reference = [
        {Module, module(Module, Build, Beams)}
     || #page{kind = module, source = Module} <- Pages
    ],
    Site = #site{
        about = About,
        out = Out,
        groups = Groups,
        by_source = maps:from_list([{Page#page.source, Page#page.file} || Page <- Pages]),
        refs = maps:from_list(lists:append([refs(Module, Said) || {Module, Said} <- Reference]))
    },
    Index = [page(Page, proplists:get_value(Page#page.source, Reference), Site) || Page <- Pages],
    Lines = lists:join(",\n", lists:append(Index)),
    write(Site, "search-index.js", ["window.searchIndex = [\n", Lines, "\n];\n"]),
    [write(Site, File, read("scripts/site/" ++ File)) || File <- ["site.css", "site.js"]].

%% Whatever is public is somewhere in the lists.
complete(Pages, Build, Beams) ->
    Listed = [Source || #page{source = Source} <- Pages],
    Public = [
        Module
     || Module <- modules(chunks(Build), ".chunk") ++ modules(Beams, ".beam"),
        #{} <- [element(5, docs(Module, Build, Beams))]
    ],
    Missing = (filelib:wildcard("docs/*.md") ++ Public) -- Listed,
    Missing =:= [] orelse
        throw({error, "lib/alcove.app.src has in docs no place for ~tp", [Missing]}).

modules("", _) ->
    [];
modules(Dir, Extension) ->
    Files = filelib:wildcard(filename:join(Dir, "*" ++ Extension)),
    [list_to_atom(filename:basename(File, Extension)) || File <- Files].

guide_page(File) ->
    #page{file = page_file(File), title = title(File), kind = guide, source = File}.

example_page(File) ->
    Name = filename:basename(File),
    #page{file = Name ++ ".html", title = list_to_binary(Name), kind = example, source = File}.

%% alcove and Alcove are different names, which files may not have everywhere.
module_page(Module) ->
    File = atom_to_list(Module) ++ ".html",
    #page{file = File, title = shown(Module), kind = module, source = Module}.

page_file("README.md") -> "index.html";
page_file(File) -> string:lowercase(filename:basename(File, ".md")) ++ ".html".

title(File) ->
    Options = [unicode, multiline, {capture, all_but_first, binary}],
    {match, [Title]} = re:run(read(File), "^# (.+)$", Options),
    binary:replace(Title, <<"`">>, <<>>, [global]).

is_elixir(Module) -> lists:prefix("Elixir.", atom_to_list(Module)).

shown(Module) ->
    case atom_to_binary(Module) of
        <<"Elixir.", Name/binary>> -> Name;
        Name -> Name
    end.

%% ---------------------------------------------------------------------------
%% Modules
%% ---------------------------------------------------------------------------

chunks(Build) -> filename:join(Build, "doc/chunks").

beams(Module, Build, Beams) ->
    case is_elixir(Module) of true -> Beams; false -> filename:join(Build, "ebin") end.

docs(Module, Build, Beams) ->
    case is_elixir(Module) of
        true ->
            Beam = filename:join(Beams, atom_to_list(Module) ++ ".beam"),
            case beam_lib:chunks(Beam, ["Docs"], [allow_missing_chunks]) of
                {ok, {_, [{"Docs", Bytes}]}} when is_binary(Bytes) -> binary_to_term(Bytes);
                _ -> {docs_v1, 0, elixir, <<>>, hidden, #{}, []}
            end;
        false ->
            binary_to_term(read(filename:join(chunks(Build), atom_to_list(Module) ++ ".chunk")))
    end.

module(Module, Build, Beams) ->
    {docs_v1, _, _, Format, ModuleDoc, _, Docs} = docs(Module, Build, Beams),
    ModuleDoc =:= hidden andalso
        throw({error, "~ts is in docs of lib/alcove.app.src, and hidden", [Module]}),
    Beam = read(filename:join(beams(Module, Build, Beams), atom_to_list(Module) ++ ".beam")),
    {ok, {Module, [{exports, Exports}]}} = beam_lib:chunks(Beam, [exports]),
    Specs = case is_elixir(Module) of true -> elixir_specs(Beam); false -> #{} end,
    Entries = [
        #entry{
            kind = Kind,
            name = Name,
            arity = Arity,
            head = head(Kind, Name, Signature),
            spec = spec(Key, Meta, Specs),
            body = body(Doc)
        }
     || {{Kind, Name, Arity} = Key, _, Signature, Doc, Meta} <- lists:sort(Docs),
        Doc =/= hidden,
        Kind =/= function orelse lists:member({Name, Arity}, Exports)
    ],
    {Format, body(ModuleDoc), Entries}.

body(#{<<"en">> := Body}) -> Body;
body(_) -> [].

head(type, Name, _) -> atom_to_binary(Name);
head(_, Name, []) -> atom_to_binary(Name);
head(_, _, Signature) -> iolist_to_binary(lists:join(" ", Signature)).

%% The specification as text, and how much of it is the name.
spec(_, #{signature := [_ | _] = Attributes}, _) ->
    Text = fun(Attribute) -> erl_pp:attribute(Attribute, [{encoding, unicode}]) end,
    [unicode:characters_to_binary(Text(Attribute)) || Attribute <- Attributes];
spec(Key, _, Specs) ->
    maps:get(Key, Specs, []).

%% Those of Elixir are in no chunk.
elixir_specs(Beam) ->
    Typespec = 'Elixir.Code.Typespec',
    Text = fun(Prefix, Quoted) ->
        Line = <<Prefix/binary, ('Elixir.Macro':to_string(Quoted))/binary>>,
        iolist_to_binary('Elixir.Code':'format_string!'(Line, [{line_length, 80}]))
    end,
    Functions = [
        {{function, Name, Arity}, [
            Text(<<"@spec ">>, Typespec:spec_to_quoted(Name, Spec))
         || Spec <- Specs
        ]}
     || {{Name, Arity}, Specs} <- listed(Typespec:fetch_specs(Beam))
    ],
    Types = [
        {{type, Name, length(Args)}, [Text(<<"@type ">>, Typespec:type_to_quoted(Type))]}
     || {_, {Name, _, Args} = Type} <- listed(Typespec:fetch_types(Beam))
    ],
    maps:from_list(Functions ++ Types).

listed({ok, List}) -> List;
listed(error) -> [].

%% Where something is, by the module and by what pages say of it.
refs(Module, {_, _, Entries}) ->
    File = atom_to_list(Module) ++ ".html",
    %% A name alone is that of the fewest arguments, which comes last.
    [{Module, File}] ++
        lists:append([
            [{{Module, Kind, Name, Arity}, Href}, {{Module, Kind, Name}, Href}]
         || #entry{arity = Arity} = Entry <- lists:reverse(Entries),
            Kind <- [type_or_function(Entry#entry.kind)],
            Name <- [atom_to_binary(Entry#entry.name)],
            Href <- [[File, "#", id(Entry)]]
        ]).

type_or_function(type) -> type;
type_or_function(_) -> function.

id(#entry{kind = type} = Entry) -> <<"t:", (name(Entry))/binary>>;
id(#entry{kind = callback} = Entry) -> <<"c:", (name(Entry))/binary>>;
id(#entry{} = Entry) -> name(Entry).

name(#entry{name = Name, arity = Arity}) ->
    <<(atom_to_binary(Name))/binary, "/", (integer_to_binary(Arity))/binary>>.

%% ---------------------------------------------------------------------------
%% Pages
%% ---------------------------------------------------------------------------

%% Writes a page, and gives its lines of the index.
page(#page{kind = guide, source = Source} = Page, undefined, Site) ->
    Body = headings(links(markdown(Source), Source, Site)),
    write_page(Page, Body, Site),
    index_sections(Page, Body, guide);
page(#page{kind = example, source = Source, title = Title} = Page, undefined, Site) ->
    Code = tag(pre, tag(code, escape(read(Source)))),
    Body = iolist_to_binary([top(Title), Code, "\n"]),
    write_page(Page, Body, Site),
    [index(example, Title, <<>>, Page#page.file, <<>>)];
page(#page{kind = module, source = Module} = Page, {Format, ModuleDoc, Entries}, Site) ->
    #page{title = Title, file = File} = Page,
    Top = [top(Title), headings(render(Format, ModuleDoc, 2, Module, Site))],
    Kinds = [
        {Heading, Id, [Entry || #entry{kind = K} = Entry <- Entries, K =:= Kind]}
     || {Heading, Id, Kind} <- [
            {"Types", "types", type},
            {"Callbacks", "callbacks", callback},
            {"Functions", "functions", function}
        ]
    ],
    Sections = [
        [
            ["<h2 id=\"", Id, "\">", Heading, "</h2>\n"],
            [entry(Entry, Format, Module, Site) || Entry <- Members]
        ]
     || {Heading, Id, [_ | _] = Members} <- Kinds
    ],
    write_page(Page, iolist_to_binary([Top, Sections]), Site),
    Separator = case is_elixir(Module) of true -> "."; false -> ":" end,
    index_sections(Page, iolist_to_binary(Top), module) ++
        [
            index(Kind, [Title, Separator, name(Entry)], Title, [File, "#", id(Entry)], Text)
         || {_, _, Members} <- Kinds,
            #entry{kind = Kind, body = Body} = Entry <- Members,
            Text <- [plain(render(Format, Body, 4, Module, Site))]
        ].

entry(#entry{head = Head, spec = Spec} = Entry, Format, Module, Site) ->
    Lines = lists:join("\n", [specification(Text, Module, Site) || Text <- Spec]),
    [
        ["<section class=\"entry\">\n<h3 id=\"", id(Entry), "\" data-name=\"", name(Entry), "\">"],
        ["<code>", escape(Head), "</code></h3>\n"],
        [["<pre class=\"spec\"><code>", Lines, "</code></pre>\n"] || Spec =/= []],
        render(Format, Entry#entry.body, 4, Module, Site),
        "</section>\n"
    ].

top(Title) ->
    ["<h1 id=\"top\">", escape(Title), "</h1>\n"].

write_page(#page{file = File, title = Title} = Page, Body, #site{about = About} = Site) ->
    Parts = #{
        <<"title">> => [escape(Title), [" - alcove" || File =/= "index.html"]],
        <<"version">> => proplists:get_value(vsn, About),
        <<"pages">> => sidebar(Page, Site),
        <<"contents">> => contents(Body),
        <<"kind">> => atom_to_list(Page#page.kind),
        <<"article">> => anchors(Body),
        <<"around">> => around(Page, Site)
    },
    Html = replace(read("scripts/site/page.html"), "\\{\\{([a-z]+)\\}\\}", fun([_, Part]) ->
        maps:get(Part, Parts)
    end),
    write(Site, File, Html).

sidebar(#page{file = File}, #site{groups = Groups}) ->
    [
        begin
            Here = lists:keymember(File, #page.file, Members),
            [
                ["<details", [" open" || Here orelse Name =/= "Examples"], ">"],
                ["<summary>", Name, "</summary>\n<ul>\n"],
                [side_link(Page, File) || Page <- Members],
                "</ul></details>\n"
            ]
        end
     || {Name, Members} <- Groups
    ].

side_link(#page{file = To} = Page, File) ->
    Current = [" aria-current=\"page\"" || To =:= File],
    ["<li><a href=\"", To, "\"", Current, ">", escape(side_title(Page)), "</a></li>\n"].

side_title(#page{file = "index.html"}) -> <<"Start">>;
side_title(#page{title = Title}) -> Title.

%% The table of contents of a page.
contents(Body) ->
    case [Heading || {Level, _, _} = Heading <- headings_of(Body), Level > 1] of
        [_, _ | _] = Headings ->
            [
                "<details class=\"contents\" open><summary>On this page</summary>\n<ul>\n",
                [
                    [
                        ["<li class=\"level", integer_to_list(Level), "\">"],
                        ["<a href=\"#", Id, "\">", Title, "</a></li>\n"]
                    ]
                 || {Level, Id, Title} <- Headings
                ],
                "</ul></details>\n"
            ];
        _ ->
            []
    end.

%% The page before and the one after, in the order of the side bar.
around(#page{file = File}, #site{groups = Groups}) ->
    Pages = lists:append([Members || {_, Members} <- Groups]),
    {Before, [_ | After]} = lists:splitwith(fun(#page{file = F}) -> F =/= File end, Pages),
    [
        ["<a rel=\"", Rel, "\" href=\"", To, "\">", escape(side_title(Page)), "</a>"]
     || {Rel, [#page{file = To} = Page | _]} <- [{"prev", lists:reverse(Before)}, {"next", After}]
    ].

%% ---------------------------------------------------------------------------
%% Text
%% ---------------------------------------------------------------------------

markdown(File) ->
    Program = os:find_executable("cmark-gfm"),
    Program =/= false orelse throw({error, "cmark-gfm is missing", []}),
    Args = ["-e", "table", "-e", "autolink", "-e", "strikethrough", File],
    Port = open_port({spawn_executable, Program}, [{args, Args}, binary, exit_status]),
    prompts(received(Port, File, <<>>)).

received(Port, File, Text) ->
    receive
        {Port, {data, More}} -> received(Port, File, <<Text/binary, More/binary>>);
        {Port, {exit_status, 0}} -> Text;
        {Port, {exit_status, N}} -> throw({error, "cmark-gfm ends with ~b at ~ts", [N, File]})
    end.

%% What is said of a module or in it, as HTML with headings of a level and below.
render(_, [], _, _, _) ->
    <<>>;
render(<<"text/markdown">>, Text, Level, Module, Site) ->
    File = filename:join(Site#site.out, "doc.md"),
    ok = file:write_file(File, Text),
    Html = markdown(File),
    ok = file:delete(File),
    %% The first heading is the page's.
    lower(links(Html, Module, Site), Level - 2);
render(<<"application/erlang+html">>, Tree, Level, Module, Site) ->
    %% edoc has the first two for itself.
    lower(prompts(iolist_to_binary(blocks(Tree, Module, Site))), Level - 3).

lower(Html, By) ->
    replace(Html, "<(/?)h([1-6])>", fun([_, Slash, Level]) ->
        ["<", Slash, "h", integer_to_list(max(2, min(6, binary_to_integer(Level) + By))), ">"]
    end).

%% Text between paragraphs is a paragraph.
blocks(Tree, Module, Site) when not is_list(Tree) ->
    blocks([Tree], Module, Site);
blocks([], _, _) ->
    [];
blocks(Nodes, Module, Site) ->
    case lists:splitwith(fun(Node) -> not is_block(Node) end, Nodes) of
        {[], [Block | Rest]} ->
            [block(Block, Module, Site), "\n" | blocks(Rest, Module, Site)];
        {Inline, Rest} ->
            Text = iolist_to_binary([inline(Node, Module, Site) || Node <- Inline]),
            Paragraph = [["<p>", Text, "</p>\n"] || string:trim(Text) =/= <<>>],
            [Paragraph | blocks(Rest, Module, Site)]
    end.

is_block({Tag, _, _}) ->
    lists:member(Tag, [p, pre, ul, ol, li, dl, dt, dd, 'div', table, h1, h2, h3, h4, h5, h6]);
is_block(_) ->
    false.

block({pre, _, Content}, _, _) ->
    ["<pre><code>", escape(unindented(text(Content))), "</code></pre>"];
block({Tag, _, Content}, Module, Site) ->
    Inner =
        case lists:any(fun is_block/1, Content) of
            true -> blocks(Content, Module, Site);
            false -> [inline(Node, Module, Site) || Node <- Content]
        end,
    tag(Tag, Inner).

tag(Tag, Inner) ->
    ["<", atom_to_list(Tag), ">", Inner, "</", atom_to_list(Tag), ">"].

inline(Text, _, _) when is_binary(Text) ->
    escape(Text);
inline({a, Attributes, Content}, Module, Site) ->
    Inner = [linked(Node) || Node <- Content],
    Rel = proplists:get_value(rel, Attributes, <<>>),
    case address(proplists:get_value(href, Attributes), Rel, Module, Site) of
        none -> Inner;
        Href -> ["<a href=\"", escape(iolist_to_binary(Href)), "\">", Inner, "</a>"]
    end;
inline({code, _, Content}, Module, Site) ->
    Code = text(Content),
    case ref(Code, Module, Site) of
        none -> tag(code, escape(Code));
        Href -> ["<a href=\"", Href, "\">", tag(code, escape(Code)), "</a>"]
    end;
inline({br, _, _}, _, _) ->
    "<br>";
inline({Tag, _, Content}, Module, Site) ->
    tag(Tag, [inline(Node, Module, Site) || Node <- Content]).

%% What is in a link has no links.
linked({code, _, Content}) -> tag(code, escape(text(Content)));
linked(Node) -> escape(text([Node])).

text(Content) when is_binary(Content) -> Content;
text(Content) when is_list(Content) -> iolist_to_binary([text(Node) || Node <- Content]);
text({_, _, Content}) -> text(Content).

unindented(Text) ->
    Lines = binary:split(string:trim(Text, both, "\n"), <<"\n">>, [global]),
    Indent = fun(Line) -> byte_size(Line) - byte_size(string:trim(Line, leading, " ")) end,
    By = lists:min([1000 | [Indent(Line) || Line <- Lines, string:trim(Line) =/= <<>>]]),
    iolist_to_binary(lists:join("\n", [string:slice(Line, By) || Line <- Lines])).

%% What edoc links: `module#function/1', of another application `application:module#function/1'.
address(Href, Rel, Module, Site) ->
    case lists:last(binary:split(Rel, <<"/">>, [global])) of
        <<"see", Kind/binary>> ->
            [Name | Place] = binary:split(Href, <<"#">>),
            To =
                case lists:last(binary:split(Name, <<":">>)) of
                    <<>> -> Module;
                    Other -> binary_to_atom(Other)
                end,
            Prefix = [<<"t:">> || Kind =:= <<"type">>],
            case Site#site.by_source of
                #{To := File} -> [File, [["#", Prefix, P] || P <- Place]];
                _ -> otp(atom_to_binary(To))
            end;
        _ ->
            case is_elsewhere(Href) of
                true -> Href;
                false -> page_address(Href, Module, Site)
            end
    end.

is_elsewhere(Href) ->
    re:run(Href, "^(https?:|mailto:|//)", [{capture, none}]) =:= match.

otp(Module) ->
    case code:which(binary_to_atom(Module)) of
        Path when is_list(Path) -> ["https://www.erlang.org/doc/man/", Module, ".html"];
        _ -> none
    end.

%% Where a link of a page leads to on the site: none if it is a file that has no page.
page_address(<<"#", _/binary>> = Href, _, _) ->
    Href;
page_address(Href, Source, #site{by_source = Pages}) ->
    [Path | Place] = binary:split(Href, <<"#">>),
    %% Those of the modules are as if they were in docs/.
    Dir = case is_atom(Source) of true -> "docs"; false -> filename:dirname(Source) end,
    case normal(filename:split(filename:join(Dir, binary_to_list(Path))), []) of
        ["examples"] -> "index.html#examples";
        Steps ->
            case maps:find(filename:join(Steps), Pages) of
                {ok, Page} -> [Page, [["#", P] || P <- Place]];
                error -> none
            end
    end.

normal([".." | Steps], [_ | Up]) -> normal(Steps, Up);
normal(["." | Steps], Up) -> normal(Steps, Up);
normal([Step | Steps], Up) -> normal(Steps, [Step | Up]);
normal([], Up) -> lists:reverse(Up).

%% Links of Markdown that lead to pages, and code that names what has a place.
links(Html, Source, Site) ->
    Linked = replace(Html, "<a href=\"([^\"]*)\">(.*?)</a>", fun([All, Href, Text]) ->
        case is_elsewhere(Href) orelse page_address(unescape(Href), Source, Site) of
            true -> All;
            none -> Text;
            To -> ["<a href=\"", To, "\">", Text, "</a>"]
        end
    end),
    Code = "<a [^>]*>.*?</a>|<pre>.*?</pre>|<h[1-6]>.*?</h[1-6]>|<code>([^<]*)</code>",
    replace(Linked, Code, fun
        ([All, Name]) ->
            case ref(unescape(Name), Source, Site) of
                none -> All;
                Href -> ["<a href=\"", Href, "\">", All, "</a>"]
            end;
        ([All]) ->
            All
    end).

%% What a piece of code names: a module or a function of one, or of this module, as `run/3'.
ref(Code, Source, #site{refs = Refs}) ->
    Patterns = [
        {remote, "^([a-z][a-z0-9_]*):([a-z][a-z0-9_]*)(?:/([0-9]+)|\\(.*)?$"},
        {remote, "^(:[a-z]\\w*|[A-Z][A-Za-z.]*)\\.([a-z]\\w*[!?]?)(?:/([0-9]+)|\\(.*)?$"},
        {local, "^([a-z][a-z0-9_]*[!?]?)/([0-9]+)(?:,[0-9]+)*$"},
        {module, "^:?([A-Za-z][A-Za-z0-9_.]*)$"}
    ],
    Options = [unicode, dotall, {capture, all_but_first, binary}],
    Here = case Source of "docs/calls.md" -> alcove; _ -> Source end,
    case [{What, Parts} || {What, Re} <- Patterns, {match, Parts} <- [re:run(Code, Re, Options)]] of
        [{remote, [Module, Name | Arity]} | _] -> place(named(Module), Name, Arity, Refs);
        [{local, [Name, Arity]} | _] when is_atom(Here) -> place(Here, Name, [Arity], Refs);
        [{module, [Name]} | _] ->
            case named(Name) of
                Source -> none;
                Module -> maps:get(Module, Refs, none)
            end;
        _ -> none
    end.

place(Module, Name, [], Refs) ->
    maps:get({Module, function, Name}, Refs, none);
place(Module, Name, [Arity], Refs) ->
    maps:get({Module, function, Name, binary_to_integer(Arity)}, Refs, none).

named(<<":", Name/binary>>) -> named(Name);
named(<<C, _/binary>> = Name) when C >= $A, C =< $Z -> binary_to_atom(<<"Elixir.", Name/binary>>);
named(Name) -> binary_to_atom(Name).

%% A specification, in which types are links.
specification(Text, Module, #site{refs = Refs}) ->
    %% The name itself is none.
    {match, [Head, Rest]} = re:run(string:trim(Text), "^([-@]?[a-z]+ [^(\\s]+)(.*)$", [
        unicode, dotall, {capture, all_but_first, binary}
    ]),
    Types = "(?<![\\w'@.:])((?:(:?[A-Za-z][\\w.]*)[:.])?([a-z]\\w*))\\(",
    [
        escape(Head),
        replace(escape(Rest), Types, fun([All, Type, In, Name]) ->
            Where = case In of <<>> -> Module; _ -> named(In) end,
            case Refs of
                #{{Where, type, Name} := Href} -> ["<a href=\"", Href, "\">", Type, "</a>("];
                _ -> All
            end
        end)
    ].

%% What is typed can be selected without the prompt.
prompts(Html) ->
    replace(Html, "<pre>.*?</pre>", fun([Block]) ->
        Prompts = "^(<pre><code[^>]*>)?((?:iex(?:\\([0-9]+\\))?|\\.\\.\\.|[0-9]+)&gt; )",
        replace(Block, Prompts, fun([_, Begin, Prompt]) ->
            [Begin, "<span class=\"prompt\">", Prompt, "</span>"]
        end)
    end).

%% Headings get the names that they have elsewhere too: of two that are the same the second
%% one has a number.
headings(Html) ->
    {New, _} = replace(Html, "<h([1-6])>(.*?)</h[1-6]>", #{}, fun([_, Level, Title], Seen) ->
        Slug = slug(plain(Title)),
        N = maps:get(Slug, Seen, 0),
        Id = [Slug, [["-", integer_to_list(N)] || N > 0]],
        {["<h", Level, " id=\"", Id, "\">", Title, "</h", Level, ">"], Seen#{Slug => N + 1}}
    end),
    New.

slug(Title) ->
    Options = [global, unicode, ucp, {return, binary}],
    Words = re:replace(string:lowercase(Title), "[^\\w -]", "", Options),
    binary:replace(Words, <<" ">>, <<"-">>, [global]).

headings_of(Html) ->
    Re = "<h([1-3]) id=\"([^\"]+)\"(?: data-name=\"([^\"]+)\")?>(.*?)</h[1-3]>",
    [
        {binary_to_integer(Level), Id, shown_in_contents(Name, Title)}
     || [_, Level, Id, Name, Title] <- matches(Html, Re)
    ].

shown_in_contents(<<>>, Title) -> re:replace(Title, "</?a[^>]*>", "", [global]);
shown_in_contents(Name, _) -> Name.

%% Each heading is a link to itself.
anchors(Html) ->
    Heading = "(<h[1-6] id=\"([^\"]+)\"[^>]*>.*?)(</h[1-6]>)",
    replace(Html, Heading, fun([_, Begin, Id, End]) ->
        Anchor = ["<a class=\"anchor\" href=\"#", Id, "\" aria-label=\"Link to here\">#</a>"],
        [Begin, Anchor, End]
    end).

%% ---------------------------------------------------------------------------
%% The index
%% ---------------------------------------------------------------------------

%% A page of its title, and each of its sections.
index_sections(#page{file = File, title = Title}, Html, Kind) ->
    Sections = matches(Html, "<h([1-3]) id=\"([^\"]+)\"[^>]*>(.*?)</h[1-3]>(.*?)(?=<h[1-3] |\\z)"),
    [
        case Level of
            <<"1">> -> index(Kind, Title, <<>>, File, plain(Text));
            _ -> index(section, plain(Heading), Title, [File, "#", Id], plain(Text))
        end
     || [_, Level, Id, Heading, Text] <- Sections
    ].

index(Kind, Title, In, Href, Text) ->
    Parts = [atom_to_binary(Kind), Title, In, Href, Text],
    ["[", lists:join(",", [quoted(iolist_to_binary(Part)) || Part <- Parts]), "]"].

quoted(Text) ->
    Escaped = re:replace(Text, "[\\\\\"]", "\\\\&", [global, unicode]),
    [$", re:replace(Escaped, "[\\x00-\\x1f]|\\x{2028}|\\x{2029}", " ", [global, unicode]), $"].

%% ---------------------------------------------------------------------------

plain(Html) ->
    Text = unescape(re:replace(Html, "<[^>]*>", "", [global, unicode, {return, binary}])),
    string:trim(re:replace(Text, "\\s+", " ", [global, unicode, {return, binary}])).

entities() ->
    [
        {<<"&">>, <<"&amp;">>},
        {<<"<">>, <<"&lt;">>},
        {<<">">>, <<"&gt;">>},
        {<<"\"">>, <<"&quot;">>}
    ].

escape(Text) ->
    Escape = fun({Char, Entity}, Acc) -> binary:replace(Acc, Char, Entity, [global]) end,
    lists:foldl(Escape, Text, entities()).

unescape(Text) ->
    Unescape = fun({Char, Entity}, Acc) -> binary:replace(Acc, Entity, Char, [global]) end,
    lists:foldr(Unescape, iolist_to_binary(Text), entities()).

matches(Text, Re) ->
    case re:run(Text, Re, [global, unicode, dotall, multiline, {capture, all, binary}]) of
        {match, Found} -> Found;
        nomatch -> []
    end.

%% Replaces what matches by what a function makes of it and of its groups.
replace(Text, Re, Fun) ->
    {New, ok} = replace(Text, Re, ok, fun(Groups, ok) -> {Fun(Groups), ok} end),
    New.

replace(Text, Re, Acc, Fun) ->
    case re:run(Text, Re, [global, unicode, dotall, multiline, {capture, all, index}]) of
        nomatch ->
            {Text, Acc};
        {match, Found} ->
            {Parts, {End, Acc1}} = lists:mapfoldl(
                fun([{Start, Length} | _] = Groups, {From, Acc0}) ->
                    {New, AccN} = Fun([part(Text, Group) || Group <- Groups], Acc0),
                    {[binary:part(Text, From, Start - From), New], {Start + Length, AccN}}
                end,
                {0, Acc},
                Found
            ),
            {iolist_to_binary([Parts, binary:part(Text, End, byte_size(Text) - End)]), Acc1}
    end.

part(_, {-1, 0}) -> <<>>;
part(Text, {Start, Length}) -> binary:part(Text, Start, Length).

read(File) ->
    case file:read_file(File) of
        {ok, Bytes} -> Bytes;
        {error, Reason} -> throw({error, "~ts: ~ts", [File, file:format_error(Reason)]})
    end.

write(#site{out = Out}, File, Text) ->
    ok = file:write_file(filename:join(Out, File), Text).
