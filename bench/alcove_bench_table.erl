%% @doc What was measured, as a table and as data.
-module(alcove_bench_table).

-export([row/2, format/1, missed/1, ratios/1, rounds/1, quantiles/1, value/2, median/1]).

-export_type([results/0, line/0]).

-include("alcove_bench.hrl").

-type results() :: #{Group :: atom() => group_results()}.
-type group_results() ::
    #{Variant :: atom() => [alcove_bench_measure:measured()]} | {skip, string()}.

-record(line, {
    row :: #row{},
    skip = none :: none | string(),
    alcove = "" :: string(),
    limit = "" :: string(),
    port = "" :: string(),
    ratios = [] :: [{Limit :: atom(), float()}],
    marks = [] :: [{boolean(), string()}]
}).

-opaque line() :: #line{}.

%% @doc The line of a row.
-spec row(#row{}, results()) -> line().
row(#row{group = Group} = Row, Results) ->
    case maps:get(Group, Results) of
        {skip, Reason} ->
            #line{row = Row, skip = Reason};
        Variants ->
            Needed = [maps:get(Variant, Variants) || Variant <- alcove_bench_rows:needs(Row)],
            case [Reason || {skip, Reason} <- Needed] of
                [Reason | _] -> #line{row = Row, skip = Reason};
                [] -> line(Row, Variants)
            end
    end.

line(#row{metric = Metric, alcove = Alcove, limits = Limits, port = Port} = Row, Variants) ->
    Of = fun(Variant) -> maps:get(Variant, Variants) end,
    #line{
        row = Row,
        alcove = cell(Metric, Of(Alcove)),
        limit = lists:flatten(lists:join(" / ", [cell(Metric, Of(Limit)) || Limit <- Limits])),
        port = lists:append([cell(Metric, Of(Port)) || Port =/= none]),
        ratios = [
            {Limit, median(per_round(Metric, Of(Alcove), Of(Limit)))}
         || Limit <- Limits
        ],
        marks = [mark(Mark, Row, Of) || Mark <- Row#row.marks]
    }.

%% How good alcove is, in each round: 1 is as good as the other, 2 twice as good.
per_round(Metric, Alcove, Other) ->
    [better(Metric, value(Metric, A), value(Metric, O)) || {A, O} <- lists:zip(Alcove, Other)].

better(rate, Alcove, Other) -> Alcove / Other;
better(_, Alcove, Other) -> Other / Alcove.

%% @doc The figure of a measurement that is compared: microseconds, how many a
%% second (of bytes, megabytes), or KiB.
-spec value(time | rate | kib | count, alcove_bench_measure:measured()) -> float().
value(time, {times, _, _, _} = Times) -> microseconds(Times, 500);
value(rate, {times, N, Nanoseconds, _}) -> N * 1.0e9 / Nanoseconds;
value(rate, {rate, PerSecond, _}) -> PerSecond;
value(rate, {bytes, Bytes, Nanoseconds}) -> Bytes * 1.0e3 / Nanoseconds;
value(kib, {kib, Kib}) -> Kib;
value(count, {count, Count}) -> Count.

microseconds({times, _, _, Quantiles}, Q) ->
    {Q, Nanoseconds} = lists:keyfind(Q, 1, lists:zip(alcove_bench_measure:quantiles(), Quantiles)),
    Nanoseconds / 1000.

%%--------------------------------------------------------------------
%% Cells
%%--------------------------------------------------------------------

%% The median of the rounds and what they range over, and what else there is to say.
cell(Metric, Rounds) ->
    Values = [value(Metric, Measured) || Measured <- Rounds],
    Unit = unit(Metric, hd(Rounds)),
    lists:flatten([
        number(median(Values)), Unit, range(Values), more(Rounds)
    ]).

unit(time, _) -> " us";
unit(kib, _) -> " KiB";
unit(count, _) -> "";
unit(rate, {bytes, _, _}) -> " MB/s";
unit(rate, _) -> "/s".

range([_]) -> "";
range(Values) -> [" [", number(lists:min(Values)), "-", number(lists:max(Values)), "]"].

more([{times, _, _, _} | _] = Rounds) ->
    [", p99 ", number(median([microseconds(Times, 990) || Times <- Rounds])), " us"];
more([{rate, _, _} | _] = Rounds) ->
    [", cpu ", percent(median([Used || {rate, _, Used} <- Rounds]))];
more(_) ->
    "".

percent(Share) ->
    io_lib:format("~b%", [round(100 * Share)]).

number(Value) when Value < 20 -> io_lib:format("~.1f", [float(Value)]);
number(Value) -> thousands(integer_to_list(round(Value))).

thousands(Digits) when length(Digits) =< 3 -> Digits;
thousands(Digits) ->
    {High, Low} = lists:split(length(Digits) - 3, Digits),
    [thousands(High), $,, Low].

%% @doc The median; of an even number the mean of the two in the middle.
-spec median([number(), ...]) -> float().
median(Values) ->
    Sorted = lists:sort(Values),
    N = length(Sorted),
    (lists:nth((N + 1) div 2, Sorted) + lists:nth(N div 2 + 1, Sorted)) / 2.

%%--------------------------------------------------------------------
%% Marks
%%--------------------------------------------------------------------

mark({limit, Limit, AtLeast}, #row{metric = Metric, alcove = Alcove}, Of) ->
    Ratio = median(per_round(Metric, Of(Alcove), Of(Limit))),
    {Ratio >= AtLeast, text("~.2f of ~s >= ~.2f", [Ratio, Limit, AtLeast])};
mark({every, Limit, AtLeast}, #row{metric = Metric, alcove = Alcove}, Of) ->
    Middle = median([value(Metric, Measured) || Measured <- Of(Limit)]),
    Ratios = [better(Metric, value(Metric, Measured), Middle) || Measured <- Of(Alcove)],
    {lists:min(Ratios) >= AtLeast,
        text("~.2f of ~s in the worst round >= ~.2f", [lists:min(Ratios), Limit, AtLeast])};
mark({tail, AtMost}, #row{alcove = Alcove}, Of) ->
    Tail = median([microseconds(Times, 990) || Times <- Of(Alcove)]),
    Middle = median([microseconds(Times, 500) || Times <- Of(Alcove)]),
    {Tail =< AtMost * Middle, text("p99/p50 ~.2f <= ~.2f", [Tail / Middle, AtMost])};
mark({against, Other, AtMost}, #row{metric = Metric, alcove = Alcove}, Of) ->
    Times = 1 / median(per_round(Metric, Of(Alcove), Of(Other))),
    {Times =< AtMost, text("~.2f x ~s <= ~.2f", [Times, Other, AtMost])};
mark({like, Other, AtLeast}, #row{metric = Metric, alcove = Alcove}, Of) ->
    Times = median(per_round(Metric, Of(Alcove), Of(Other))),
    {Times >= AtLeast, text("~.2f x ~s >= ~.2f", [Times, Other, AtLeast])};
mark({grows, Other, Busy}, #row{metric = Metric, alcove = Alcove}, Of) ->
    Times = median(per_round(Metric, Of(Alcove), Of(Other))),
    Used = median([Used || {rate, _, Used} <- Of(Other)]),
    {Times >= 1 orelse Used >= Busy,
        text("~.2f x ~s >= 1, or that uses ~s of the processors: ~s", [
            Times, Other, percent(Busy), percent(Used)
        ])};
mark(above_port, #row{metric = Metric, alcove = Alcove, port = Port}, Of) ->
    Times = median(per_round(Metric, Of(Alcove), Of(Port))),
    {Times > 1, text("~.2f x a port > 1", [Times])};
mark({most, AtMost}, #row{metric = Metric, alcove = Alcove}, Of) ->
    Value = median([value(Metric, Measured) || Measured <- Of(Alcove)]),
    {Value =< AtMost, text("~.1f <= ~.1f", [Value, AtMost])}.

text(Format, Values) ->
    lists:flatten(io_lib:format(Format, Values)).

%% @doc The marks that a line doesn't reach.
-spec missed(line()) -> [string()].
missed(#line{row = #row{title = Title}, marks = Marks}) ->
    [Title ++ ": " ++ Text || {false, Text} <- Marks].

%% @doc What is recorded of a line: its ratios to the limits.
-spec ratios(line()) -> [{atom(), atom(), float()}].
ratios(#line{row = #row{id = Id}, ratios = Ratios}) ->
    [{Id, Limit, Ratio} || {Limit, Ratio} <- Ratios].

%% @doc The table.
-spec format([line()]) -> iolist().
format(Lines) ->
    Head = ["", "alcove", "limit", "open_port", "ratio", "reached"],
    Rows = [columns(Line) || Line <- Lines],
    Widths = [
        lists:max([string:length(Cell) || Cell <- Column])
     || Column <- columns_of([Head | Rows])
    ],
    Rule = [lists:duplicate(Width, $-) || Width <- Widths],
    [[padded(Widths, Row), $\n] || Row <- [Head, Rule | Rows]].

columns(#line{row = #row{title = Title}, skip = Reason}) when Reason =/= none ->
    [Title, "not measured: " ++ Reason, "", "", "", ""];
columns(#line{row = #row{title = Title}} = Line) ->
    #line{alcove = Alcove, limit = Limit, port = Port, ratios = Ratios, marks = Marks} = Line,
    [
        Title,
        Alcove,
        Limit,
        Port,
        lists:flatten(lists:join(" / ", [text("~.2f", [Ratio]) || {_, Ratio} <- Ratios])),
        reached(Marks)
    ].

reached([]) -> "";
reached(Marks) ->
    case lists:all(fun({Reached, _}) -> Reached end, Marks) of
        true -> "yes";
        false -> "no"
    end.

columns_of([[] | _]) -> [];
columns_of(Rows) -> [[hd(Row) || Row <- Rows] | columns_of([tl(Row) || Row <- Rows])].

padded(Widths, Cells) ->
    Padded = [string:pad(Cell, Width) || {Width, Cell} <- lists:zip(Widths, Cells)],
    ["| ", lists:join(" | ", Padded), " |"].

%%--------------------------------------------------------------------
%% Data
%%--------------------------------------------------------------------

%% @doc Every round of everything, a line each.
-spec rounds(results()) -> iolist().
rounds(Results) ->
    [
        "group\tvariant\tround\tvalue\tunit\tp99_us\tcpu\n"
        | [
            io_lib:format("~s\t~s\t~b\t~.3f\t~s\t~s\t~s\n", [
                Group, Variant, Round, Value, Unit, tail(Measured), cpu(Measured)
            ])
         || {Group, #{} = Variants} <- lists:sort(maps:to_list(Results)),
            {Variant, Rounds} <- lists:sort(maps:to_list(Variants)),
            {Round, Measured} <- lists:zip(lists:seq(1, length(Rounds)), Rounds),
            {Value, Unit} <- [natural(Measured)]
        ]
    ].

natural({times, _, _, _} = Times) -> {value(time, Times), "us"};
natural({kib, Kib}) -> {Kib, "KiB"};
natural({count, Count}) -> {Count, "-"};
natural({bytes, _, _} = Bytes) -> {value(rate, Bytes), "MB/s"};
natural({rate, PerSecond, _}) -> {PerSecond, "/s"}.

tail({times, _, _, _} = Times) -> io_lib:format("~.3f", [microseconds(Times, 990)]);
tail(_) -> "-".

cpu({rate, _, Used}) -> io_lib:format("~.3f", [Used]);
cpu(_) -> "-".

%% @doc The quantiles of everything that was timed, medians of the rounds.
-spec quantiles(results()) -> iolist().
quantiles(Results) ->
    [
        "group\tvariant\tquantile\tus\n"
        | [
            io_lib:format("~s\t~s\t~.3f\t~.3f\n", [
                Group, Variant, Q / 1000, median([microseconds(Times, Q) || Times <- Rounds])
            ])
         || {Group, #{} = Variants} <- lists:sort(maps:to_list(Results)),
            {Variant, [{times, _, _, _} | _] = Rounds} <- lists:sort(maps:to_list(Variants)),
            Q <- alcove_bench_measure:quantiles()
        ]
    ].
