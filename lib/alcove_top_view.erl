%% @private
%% @doc The view of {@link alcove_top}: turns data about processes and typed keys into lines.
%%
%% Nothing here reads or writes: a key turns a view into another view, and a size turns it into
%% lines.
-module(alcove_top_view).

-export([new/1, seen/2, ended/1, summary/1, keys/2, typed/1, pressed/3, lines/2]).

-export_type([view/0, group/0, size/0, key/0, mode/0, line/0]).

%% What is typed comes as it is typed, or after Enter.
-type mode() :: keys | lines.
-type size() :: {Rows :: pos_integer(), Columns :: pos_integer()}.
-type line() :: {plain | reverse, string()}.
-type order() :: tree | cpu | memory | time.
-type key() ::
    {order, order()} | helpers | quit | escape | up | down | left | right
    | page_up | page_down | home | 'end'.
%% A Drv, or a member of a pool with its Drv.
-type group() :: #{
    key := term(),
    node := node(),
    drv := pid() | undefined,
    %% When the tree was read, in microseconds of its node's time.
    at := integer(),
    %% `none' if another group has the tree, `late' if its node hasn't answered in time.
    tree := alcove_tree:process() | gone | none | late,
    guardian := alcove_tree:process() | gone,
    %% The names of programs that alcove_proc runs, by the fork paths of their keepers.
    names := #{alcove:fork_path() => unicode:chardata()},
    %% As alcove_pool:info/1 has it.
    member => map()
}.

-record(row, {
    key :: term(),
    node :: node(),
    process :: alcove_tree:process(),
    kind :: program | child | init | keeper | loop | root | guardian,
    name = "" :: unicode:chardata(),
    branch = "" :: unicode:chardata(),
    %% Those of its root, which aren't shown.
    own :: map()
}).

-record(view, {
    mode :: mode(),
    order = tree :: order(),
    helpers = true :: boolean(),
    %% How many lines, and columns of commands, aren't shown above and on the left.
    top = 0 :: non_neg_integer(),
    left = 0 :: non_neg_integer(),
    groups = [] :: [group()],
    rows = [] :: [{group(), Programs :: [#row{}], Helpers :: [#row{}]}],
    %% The share of a processor that each process has used since the last update.
    shares = #{} :: #{{term(), alcove:os_pid()} => float()}
}).
-opaque view() :: #view{}.

%% The header, the names of the columns, and the keys.
-define(FIXED, 3).
-define(SHIFT, 8).
%% The room for a line of keys.
-define(TYPED, 6).
%% With so many columns there is room for namespaces.
-define(WIDE, 110).

-spec new(mode()) -> view().
new(Mode) ->
    #view{mode = Mode}.

%% @doc Replaces the data of the view by newer data.
-spec seen([group()], view()) -> view().
seen(Groups, #view{groups = Before} = View) ->
    Earlier = maps:from_list([{Key, Group} || #{key := Key} = Group <- Before]),
    Shares = [shares(Group, maps:get(Key, Earlier, none)) || #{key := Key} = Group <- Groups],
    View#view{
        groups = Groups,
        rows = [rows(Group) || Group <- Groups],
        shares = maps:from_list(lists:append(Shares))
    }.

shares(#{key := Key, at := At, tree := #{} = Tree}, #{at := Then, tree := #{} = Old}) when
    At > Then
->
    Times = maps:from_list(times(Old, [])),
    [
        {{Key, Pid}, max(0, Time - maps:get(Pid, Times)) / (At - Then)}
     || {Pid, Time} <- times(Tree, []), is_map_key(Pid, Times)
    ];
shares(_Group, _Before) ->
    [].

times(#{pid := Pid, cpu_time := Time, children := Children}, Times) ->
    lists:foldl(fun times/2, [{Pid, Time} | Times], Children).

%% @doc Whether everything that was shown has ended.
-spec ended(view()) -> boolean().
ended(#view{groups = Groups}) ->
    lists:all(
        fun(#{tree := Tree} = Group) -> Tree =:= gone andalso not is_map_key(member, Group) end,
        Groups
    ).

%% @doc A line for each Drv and member.
-spec summary(view()) -> [string()].
summary(#view{rows = Rows}) ->
    [title(Group, Programs, Helpers) || {Group, Programs, Helpers} <- Rows].

%%--------------------------------------------------------------------
%% Processes
%%--------------------------------------------------------------------

rows(#{tree := #{} = Tree, guardian := Guardian} = Group) ->
    #{key := Key, node := Node, names := Names} = Group,
    Row = #row{
        key = Key,
        node = Node,
        process = Tree,
        kind = root,
        own = maps:with([namespaces, cgroup], Tree)
    },
    {Programs, Root} = parted(Tree, Tree, root, Names),
    Helpers =
        case Guardian of
            #{} -> {guardian, Guardian, [Root]};
            gone -> Root
        end,
    {Group, [R || {Name, P} <- Programs, R <- program(P, Name, Row)], tree(Helpers, "", "", Row)};
rows(Group) ->
    {Group, [], []}.

%% The programs that are below a helper, each with all that it has started, and what is left of
%% the tree without them.
parted(Process, Keeper, Kind, Names) ->
    {Programs, Helpers} = lists:unzip([
        case kind(Process, Child) of
            program -> {[{name(Child, Keeper, Names), Child}], []};
            keeper -> below(Child, Child, keeper, Names);
            Helper -> below(Child, Keeper, Helper, Names)
        end
     || Child <- maps:get(children, Process)
    ]),
    {lists:append(Programs), {Kind, Process, lists:append(Helpers)}}.

below(Process, Keeper, Kind, Names) ->
    {Programs, Tree} = parted(Process, Keeper, Kind, Names),
    {Programs, [Tree]}.

kind(_Parent, #{state := event_loop}) -> loop;
kind(_Parent, #{state := keeper}) -> keeper;
%% Whether a process is the init of a pid namespace, between a keeper and its program: keeper and
%% init are the same executable.
kind(#{state := keeper, command := Command}, #{state := other, command := Command}) -> init;
kind(_Parent, _Process) -> program.

name(_Process, #{state := keeper, fork_path := Path}, Names) -> maps:get(Path, Names, "");
name(_Process, _NoKeeper, _Names) -> "".

program(Process, Name, Row) ->
    [First | Others] = tree(started(program, Process), "", "", Row),
    [First#row{name = Name} | Others].

started(Kind, #{children := Children} = Process) ->
    {Kind, Process, [started(child, Child) || Child <- Children]}.

tree({Kind, Process, Children}, Branch, Indent, Row) ->
    [Row#row{kind = Kind, process = Process, branch = Branch} | branches(Children, Indent, Row)].

branches([], _Indent, _Row) ->
    [];
branches([Last], Indent, Row) ->
    tree(Last, [Indent, "`- "], [Indent, "   "], Row);
branches([Child | Children], Indent, Row) ->
    tree(Child, [Indent, "|- "], [Indent, "|  "], Row) ++ branches(Children, Indent, Row).

%%--------------------------------------------------------------------
%% Keys
%%--------------------------------------------------------------------

%% @doc The keys in what was typed, and what of it may be the beginning of one.
-spec keys(string(), mode()) -> {[key()], Rest :: string()}.
keys("\n", lines) -> {[quit], ""};
keys(Typed, _Mode) -> keys(Typed).

keys("") ->
    {[], ""};
keys([$\e, Bracket | Typed] = All) when Bracket =:= $[; Bracket =:= $O ->
    case lists:splitwith(fun(C) -> C >= $0 andalso C =< $; end, Typed) of
        {Number, [Final | Rest]} -> add(sequence(Number, Final), keys(Rest));
        {_, []} -> {[], All}
    end;
keys("\e") ->
    {[], "\e"};
keys([Character | Typed]) ->
    add(character(Character), keys(Typed)).

add(none, Keys) -> Keys;
add(Key, {Keys, Rest}) -> {[Key | Keys], Rest}.

%% @doc The key that the beginning of one was, when nothing has followed.
-spec typed(string()) -> [key()].
typed("\e") -> [escape];
typed(_Rest) -> [].

sequence("", $A) -> up;
sequence("", $B) -> down;
sequence("", $C) -> right;
sequence("", $D) -> left;
sequence("", $H) -> home;
sequence("", $F) -> 'end';
sequence("1", $~) -> home;
sequence("4", $~) -> 'end';
sequence("5", $~) -> page_up;
sequence("6", $~) -> page_down;
sequence("7", $~) -> home;
sequence("8", $~) -> 'end';
sequence(_Number, _Final) -> none.

character($c) -> {order, cpu};
character($m) -> {order, memory};
character($t) -> {order, time};
character($p) -> {order, tree};
character($\e) -> escape;
character($h) -> helpers;
character($q) -> quit;
%% Control and C, which is no signal in such a terminal, and control and D.
character(3) -> quit;
character(4) -> quit;
character($j) -> down;
character($k) -> up;
character($\s) -> page_down;
character($f) -> page_down;
character($b) -> page_up;
character($g) -> home;
character($G) -> 'end';
character($<) -> left;
character($>) -> right;
character(_Other) -> none.

%% @doc What a key makes of a view in a terminal of some size.
-spec pressed(key(), size(), view()) -> view() | quit.
pressed(quit, _Size, _View) -> quit;
pressed({order, Order}, _Size, View) -> View#view{order = Order, top = 0};
pressed(escape, Size, View) -> pressed({order, tree}, Size, View);
pressed(helpers, _Size, #view{helpers = Helpers} = View) -> View#view{helpers = not Helpers};
pressed(left, _Size, #view{left = Left} = View) -> View#view{left = max(0, Left - ?SHIFT)};
pressed(right, _Size, View) -> View#view{left = furthest(View#view.left + ?SHIFT, View)};
pressed(up, Size, View) -> scrolled(-1, Size, View);
pressed(down, Size, View) -> scrolled(1, Size, View);
pressed(page_up, Size, View) -> scrolled(-room(Size), Size, View);
pressed(page_down, Size, View) -> scrolled(room(Size), Size, View);
pressed(home, _Size, View) -> View#view{top = 0};
pressed('end', Size, View) -> View#view{top = last(Size, length(body(View)))}.

scrolled(By, Size, View) ->
    Last = last(Size, length(body(View))),
    View#view{top = max(0, min(Last, min(Last, View#view.top) + By))}.

room({Rows, _Columns}) -> max(1, Rows - ?FIXED).

%% The last line that may be the first on the screen.
last(Size, Length) -> max(0, Length - room(Size)).

furthest(Left, View) ->
    Lengths = [string:length(command(Row, View)) || Row <- all(View)],
    min(Left, lists:max([0 | Lengths])).

%%--------------------------------------------------------------------
%% Lines
%%--------------------------------------------------------------------

%% @doc As many lines as the terminal has, none longer than it is wide.
-spec lines(size(), view()) -> [line()].
lines({Rows, Columns} = Size, #view{mode = Mode, left = Left} = View) ->
    Body = body(View),
    Top = min(View#view.top, last(Size, length(Body))),
    Room = max(0, Rows - ?FIXED),
    Shown = lists:sublist(lists:nthtail(Top, Body), Room),
    Empty = lists:duplicate(Room - length(Shown), {text, ""}),
    Line = fun(Text) -> string:slice(Text, 0, Columns) end,
    Lines =
        [{plain, Line(header(View))}, {reverse, Line(pad(titles(Columns), Columns))}] ++
            [{plain, Line(text(Item, Left, Columns, View))} || Item <- Shown ++ Empty],
    Keys = help(Mode, Columns, {Top, length(Shown), length(Body)}),
    case Rows of
        1 -> [Keys];
        2 -> [hd(Lines), Keys];
        _ -> Lines ++ [Keys]
    end.

pad(Text, Columns) ->
    lists:flatten(string:pad(Text, Columns)).

text({text, Text}, _Left, _Columns, _View) -> Text;
text({row, Row}, Left, Columns, View) -> row(Row, Left, Columns, View).

header(#view{groups = Groups, order = Order, helpers = Helpers, shares = Shares} = View) ->
    Rows = rows_of(View),
    Programs = [Row || #row{kind = program} = Row <- Rows],
    Memory = lists:sum([Bytes || #row{process = #{memory := Bytes}} <- Rows]),
    lists:flatten([
        counted(length([Drv || #{drv := Drv, tree := #{}} <- Groups]), "Drv", "Drvs"),
        ", ",
        counted(length(Programs), "program", "programs"),
        ", ",
        counted(length(Rows), "process", "processes"),
        "  cpu ",
        percent(lists:sum(maps:values(Shares))),
        "  memory ",
        alcove_tree:bytes(Memory),
        "  ",
        case Order of
            tree -> "in trees";
            _ -> ["by ", atom_to_list(Order)]
        end,
        [", helpers hidden" || not Helpers]
    ]).

counted(1, One, _More) -> ["1 ", One];
counted(N, _One, More) -> [integer_to_list(N), " ", More].

titles(Columns) ->
    columns("PID", "KIND", "S", "UID", "CPU", "TIME", "MEMORY", spaces("NAMESPACES", Columns)) ++
        "COMMAND".

spaces(Namespaces, Columns) when Columns >= ?WIDE -> io_lib:format("~-15ts", [Namespaces]);
spaces(_Namespaces, _Columns) -> "".

columns(Pid, Kind, State, Uid, Cpu, Time, Memory, Spaces) ->
    lists:flatten(
        io_lib:format("~7ts ~-8ts ~1ts ~5ts ~6ts ~8ts ~6ts ~ts", [
            Pid, Kind, State, Uid, Cpu, Time, Memory, Spaces
        ])
    ).

%% In the order of trees each group has its own: its programs before its helpers. Otherwise the
%% programs of all groups come before the helpers of all, and what the groups are before both.
body(#view{order = tree, rows = Rows, helpers = Helpers}) ->
    lists:append([
        [
            {text, title(Group, Programs, Others)}
            | [{row, Row} || Row <- Programs ++ [Other || Helpers, Other <- Others]]
        ]
     || {Group, Programs, Others} <- Rows
    ]);
body(#view{rows = Rows} = View) ->
    Titles = [
        {text, title(Group, Programs, Others)}
     || {Group, Programs, Others} <- Rows,
        is_map_key(member, Group) orelse not is_map(maps:get(tree, Group))
    ],
    Titles ++ [{row, Row} || Row <- all(View)].

rows_of(#view{rows = Rows}) ->
    lists:append([Programs ++ Helpers || {_, Programs, Helpers} <- Rows]).

%% Those that are shown, as they are sorted.
all(#view{rows = Rows, helpers = Helpers} = View) ->
    sorted([Row || {_, Programs, _} <- Rows, Row <- Programs], View) ++
        sorted([Row || Helpers, {_, _, Others} <- Rows, Row <- Others], View).

sorted(Rows, #view{order = tree}) ->
    Rows;
sorted(Rows, View) ->
    Sorted = lists:sort([{-value(Row, View), N, Row} || {N, Row} <- numbered(Rows)]),
    [Row#row{branch = ""} || {_, _, Row} <- Sorted].

numbered(Rows) -> lists:zip(lists:seq(1, length(Rows)), Rows).

value(#row{process = #{memory := Memory}}, #view{order = memory}) -> Memory;
value(#row{process = #{cpu_time := Time}}, #view{order = time}) -> Time;
value(Row, #view{order = cpu} = View) -> share(Row, View).

%% A process that is new since the last update has used nothing yet.
share(#row{key = Key, process = #{pid := Pid}}, #view{shares = Shares}) ->
    maps:get({Key, Pid}, Shares, 0.0).

title(#{member := Member} = Group, Programs, Others) ->
    #{node := Node, running := Running, max := Max, waiting := Waiting} = Member,
    printable([
        atom_to_list(Node),
        io_lib:format(": ~b running, room for ~b, ~b waiting", [
            Running, max(0, Max - Running), Waiting
        ]),
        [", draining" || maps:get(draining, Member)],
        case Group of
            #{tree := gone} -> ", no Drv runs";
            #{tree := none} -> ", its Drv is above";
            #{tree := late} -> ", no answer";
            #{} -> ["; ", processes(Programs ++ Others)]
        end
    ]);
title(#{drv := Drv, tree := gone}, _Programs, _Others) ->
    printable(io_lib:format("~p has ended", [Drv]));
title(#{drv := Drv, tree := late}, _Programs, _Others) ->
    printable(io_lib:format("~p: no answer", [Drv]));
title(#{drv := Drv}, Programs, Others) ->
    printable([io_lib:format("~p: ", [Drv]), processes(Programs ++ Others)]).

processes(Rows) ->
    counted(length(Rows), "process", "processes").

row(Row, Left, Columns, #view{shares = Shares} = View) ->
    #row{process = Process, kind = Kind, own = Own} = Row,
    #{pid := Pid, run_state := State, uid := Uid, cpu_time := Time, memory := Memory} = Process,
    columns(
        integer_to_list(Pid),
        atom_to_list(Kind),
        printable(State),
        case Uid of
            undefined -> "?";
            _ -> integer_to_list(Uid)
        end,
        case Shares of
            #{} when map_size(Shares) =:= 0 -> "-";
            #{} -> percent(share(Row, View))
        end,
        duration(Time),
        alcove_tree:bytes(Memory),
        spaces(alcove_tree:differing(Process, Own), Columns)
    ) ++ string:slice(command(Row, View), Left).

%% With its name, where it has one, and its node where there are several.
command(#row{node = Node, process = Process, kind = Kind} = Row, View) ->
    #row{branch = Branch, name = Name} = Row,
    #{command := Command} = Process,
    printable([
        Branch,
        [[atom_to_list(Node), " "] || View#view.order =/= tree, are_several(View)],
        [[Name, ": "] || Name =/= ""],
        case Kind of
            _ when Kind =:= program; Kind =:= child -> Command;
            _ -> <<"alcove">>
        end,
        case Row#row.own of
            #{cgroup := Own} when Own =/= map_get(cgroup, Process) ->
                ["  ", case map_get(cgroup, Process) of undefined -> "?"; Group -> Group end];
            #{} ->
                ""
        end
    ]).

are_several(#view{groups = Groups}) ->
    length(lists:usort([Node || #{node := Node} <- Groups])) > 1.

%% A program may choose any name for itself, even one with control sequences of a terminal.
printable(Text) ->
    binary_to_list(alcove_tree:printable(to_bytes(Text))).

to_bytes(Text) ->
    try
        iolist_to_binary(Text)
    catch
        %% A name may have other characters.
        error:badarg -> unicode:characters_to_binary(Text)
    end.

percent(Share) when Share < 9.9995 -> io_lib:format("~.1f%", [100.0 * Share]);
percent(Share) -> io_lib:format("~b%", [round(100 * Share)]).

%% The text for so many microseconds.
duration(Time) when Time < 100 * 1000000 -> io_lib:format("~.2fs", [Time / 1000000]);
duration(Time) ->
    Seconds = Time div 1000000,
    case Seconds div 3600 of
        Hours when Hours > 99 -> io_lib:format("~bd~2..0bh", [Hours div 24, Hours rem 24]);
        Hours -> io_lib:format("~b:~2..0b:~2..0b", [Hours, Seconds div 60 rem 60, Seconds rem 60])
    end.

%% Which keys there are, and where it is in what there is to see. A line of keys is typed behind
%% them, and has some room.
help(lines, Columns, _Place) ->
    Help = "Enter ends, or keys and Enter: c cpu m mem t time p tree h helpers jkfbgG:",
    {plain, string:slice(Help, 0, max(0, Columns - ?TYPED))};
help(keys, Columns, {Top, Shown, Length}) ->
    Keys = " q quit  arrows jk scroll  c cpu  m memory  t time  p tree  h helpers",
    Place =
        case Shown < Length of
            true -> lists:concat([" ", Top + 1, "-", Top + Shown, "/", Length]);
            false -> ""
        end,
    Room = max(0, Columns - length(Place)),
    {reverse, string:slice(pad(string:slice(Keys, 0, Room), Room) ++ Place, 0, Columns)}.
