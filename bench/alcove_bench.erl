%% @doc Measures alcove against the limit of the machine and against ports.
%%
%% Everything of a group is measured in each of a number of rounds, in random
%% order, so that what changes meanwhile changes it for all. See bench/run.sh.
-module(alcove_bench).

-export([main/0]).

-include("alcove_bench.hrl").

%% A ratio may fall so far below the recorded one.
-define(KEPT, 0.8).

%% Processes that want to run, above which the machine isn't quiet.
-define(QUIET, 0.7).

%% Milliseconds to wait for that, before each round.
-define(PATIENCE, 2000).

-record(options, {
    rounds :: pos_integer(),
    seconds :: number(),
    rows :: all | [string()],
    out :: file:filename(),
    recorded :: file:filename(),
    limit :: file:filename(),
    root :: file:filename()
}).

%% The default of BENCH_SECONDS.
-define(SECONDS, 20).

%% @doc Does what the first argument after `-extra' says, and ends the virtual machine.
-spec main() -> no_return().
main() ->
    try init:get_plain_arguments() of
        ["run"] -> halt(run(options()));
        ["check"] -> halt(check(options()));
        ["record"] -> halt(record(options()));
        Other -> stop("usage: run | check | record, not ~p", [Other])
    catch
        Class:Reason:Stack ->
            stop("~p", [{Class, Reason, Stack}])
    end.

-spec stop(string(), [term()]) -> no_return().
stop(Format, Values) ->
    io:format(standard_error, "bench: " ++ Format ++ "~n", Values),
    halt(2).

options() ->
    #options{
        rounds = number("BENCH_ROUNDS", 10),
        seconds = number("BENCH_SECONDS", ?SECONDS),
        rows =
            case os:getenv("BENCH_ROWS", "") of
                "" -> all;
                Names -> string:lexemes(Names, ", ")
            end,
        out = need("BENCH_OUT"),
        recorded = need("BENCH_RECORDED"),
        limit = need("BENCH_LIMIT"),
        root = need("BENCH_ROOT")
    }.

number(Name, Default) ->
    case os:getenv(Name, "") of
        "" -> Default;
        Text -> list_to_integer(Text)
    end.

need(Name) ->
    case os:getenv(Name) of
        false -> error({no_variable, Name});
        Value -> Value
    end.

%%--------------------------------------------------------------------
%% What can be asked for
%%--------------------------------------------------------------------

run(Options) ->
    _ = measure(rows(Options), Options),
    0.

record(#options{recorded = File} = Options) ->
    Lines = measure(rows(Options), Options),
    New = maps:from_list([
        {{Id, Limit}, Ratio}
     || Line <- Lines, {Id, Limit, Ratio} <- alcove_bench_table:ratios(Line)
    ]),
    Old =
        case file:consult(File) of
            {ok, Terms} -> maps:from_list([{{Id, Limit}, Ratio} || {Id, Limit, Ratio} <- Terms]);
            {error, enoent} -> #{}
        end,
    %% The limit itself has fast and slow runs: the lowest ratio is what can be held.
    Lowest = maps:merge_with(fun(_, Before, Now) -> min(Before, Now) end, Old, New),
    Text = [
        "%% What `make bench-check' compares with, the lowest of some runs: {Row, Limit, Ratio}.\n"
        | [
            io_lib:format("{~p, ~p, ~.3f}.~n", [Id, Limit, Ratio])
         || {{Id, Limit}, Ratio} <- lists:sort(maps:to_list(Lowest))
        ]
    ],
    ok = file:write_file(File, Text),
    io:format("~nrecorded in ~ts~n", [File]),
    0.

check(#options{recorded = File} = Options) ->
    {ok, Terms} = file:consult(File),
    Recorded = maps:from_list([{{Id, Limit}, Ratio} || {Id, Limit, Ratio} <- Terms]),
    Rows = rows(Options),
    case fallen(measure(Rows, Options), Recorded) of
        [] ->
            io:format("~nNo ratio is more than 20 % below the recorded one.~n"),
            0;
        Suspects ->
            %% One run may have had a neighbour; two of them hardly have.
            tell_fallen("again, to be sure", Suspects),
            Ids = [Id || {Id, _, _, _} <- Suspects],
            Again = [Row || Row <- Rows, lists:member(Row#row.id, Ids)],
            case fallen(measure(Again, Options), Recorded) of
                [] ->
                    0;
                Fallen ->
                    tell_fallen("fallen", Fallen),
                    1
            end
    end.

fallen(Lines, Recorded) ->
    [
        {Id, Limit, Ratio, Before}
     || Line <- Lines,
        {Id, Limit, Ratio} <- alcove_bench_table:ratios(Line),
        {ok, Before} <- [maps:find({Id, Limit}, Recorded)],
        Ratio < ?KEPT * Before
    ].

tell_fallen(Text, Fallen) ->
    [
        io:format("~n~s: ~s to ~s is ~.2f, recorded ~.2f", [Text, Id, Limit, Ratio, Before])
     || {Id, Limit, Ratio, Before} <- Fallen
    ],
    io:nl().

rows(#options{rows = all}) ->
    alcove_bench_rows:all();
rows(#options{rows = Names}) ->
    Rows = [
        Row
     || #row{id = Id, group = Group} = Row <- alcove_bench_rows:all(),
        lists:any(
            fun(Name) -> Name =:= atom_to_list(Id) orelse Name =:= atom_to_list(Group) end,
            Names
        )
    ],
    Rows =/= [] orelse error({no_such_rows, Names}),
    Rows.

%%--------------------------------------------------------------------
%% Measuring
%%--------------------------------------------------------------------

measure(Rows, #options{out = Out} = Options) ->
    Machine = machine(),
    io:format("~ts~n", [Machine]),
    Groups = [
        Group#group{variants = Needed}
     || #group{name = Name, variants = Variants} = Group <- alcove_bench_groups:all(),
        Needed <- [
            [
                Variant
             || {Id, _} = Variant <- Variants,
                lists:any(
                    fun(Row) ->
                        Row#row.group =:= Name andalso
                            lists:member(Id, alcove_bench_rows:needs(Row))
                    end,
                    Rows
                )
            ]
        ],
        Needed =/= []
    ],
    Results = maps:from_list([
        {Group#group.name, alcove_bench_measure:apart(fun() -> group(Group, Options) end)}
     || Group <- Groups
    ]),
    Lines = [alcove_bench_table:row(Row, Results) || Row <- Rows],
    Text = [alcove_bench_table:format(Lines), missed(Lines)],
    io:format("~n~ts", [Text]),
    ok = file:write_file(filename:join(Out, "table.md"), [Machine, "\n", Text]),
    ok = file:write_file(filename:join(Out, "rounds.tsv"), alcove_bench_table:rounds(Results)),
    ok = file:write_file(
        filename:join(Out, "quantiles.tsv"), alcove_bench_table:quantiles(Results)
    ),
    ok = alcove_bench_plot:data(Out, Lines, Results),
    Lines.

missed(Lines) ->
    case lists:append([alcove_bench_table:missed(Line) || Line <- Lines]) of
        [] -> "\nEvery mark is reached.\n";
        Missed -> ["\nMissed:\n\n" | [["* ", Text, "\n"] || Text <- Missed]]
    end.

group(#group{name = Name, scope = Scope, quiet = Quiet, variants = Variants} = Group, Options) ->
    Rounds = min(Options#options.rounds, Group#group.rounds),
    Ms = max(1, round(Options#options.seconds * 1000 / Rounds / length(Variants))),
    io:put_chars(standard_error, atom_to_list(Name)),
    Round = fun(State) ->
        io:put_chars(standard_error, sign(Quiet)),
        [{Variant, attempt(Fun, State, Ms)} || {Variant, Fun} <- shuffled(Variants)]
    end,
    Outcome =
        case Scope of
            round ->
                Each = [apart(Group, Options, Round) || _ <- lists:seq(1, Rounds)],
                case [Skip || {skip, _} = Skip <- Each] of
                    [Skip | _] -> Skip;
                    [] -> Each
                end;
            group ->
                apart(Group, Options, fun(State) ->
                    [Round(State) || _ <- lists:seq(1, Rounds)]
                end)
        end,
    io:nl(standard_error),
    case Outcome of
        {skip, Reason} ->
            {skip, lists:flatten(Reason)};
        _ ->
            maps:from_list([
                {Variant, collect([proplists:get_value(Variant, One) || One <- Outcome])}
             || {Variant, _} <- Variants
            ])
    end.

%% Calls a function with what a group's variants need, in a process of its own.
apart(#group{enter = Enter, leave = Leave}, Options, Fun) ->
    alcove_bench_measure:apart(fun() ->
        Limit = alcove_bench_limit:open(Options#options.limit),
        Context = #{
            limit => Limit,
            root => Options#options.root,
            scale => Options#options.seconds / ?SECONDS
        },
        Result =
            case Enter(Context) of
                {ok, State} ->
                    Measured = Fun(State),
                    _ = Leave(State),
                    Measured;
                {skip, _} = Skip ->
                    Skip
            end,
        ok = alcove_bench_limit:close(Limit),
        Result
    end).

%% Waits for a quiet machine before a round. An exclamation mark says that
%% something else runs all the time: the figures are worth less.
sign(false) ->
    ".";
sign(true) ->
    case alcove_bench_measure:quiet(?PATIENCE) of
        true -> ".";
        false -> "!"
    end.

%% What can't be done here, for want of rights say, is told and left out.
attempt(Fun, State, Ms) ->
    try
        Fun(State, Ms)
    catch
        error:Reason -> {skip, lists:flatten(io_lib:format("~0p", [Reason]))}
    end.

collect(Rounds) ->
    case [Skip || {skip, _} = Skip <- Rounds] of
        [Skip | _] -> Skip;
        [] -> Rounds
    end.

shuffled(List) ->
    [Element || {_, Element} <- lists:sort([{rand:uniform(), Element} || Element <- List])].

%%--------------------------------------------------------------------
%% The machine
%%--------------------------------------------------------------------

machine() ->
    {{Year, Month, Day}, {Hour, Minute, _}} = calendar:local_time(),
    Load = load(),
    io_lib:format(
        "~4..0b-~2..0b-~2..0b ~2..0b:~2..0b, ~ts, ~b processors, ~ts, OTP ~s, alcove ~s, "
        "load ~.2f~s~n"
        "A time is the median of the rounds' medians, [what these range over], p99 the median of "
        "their 99th~n"
        "percentiles. Ratios are medians of those in each round: 1 is the limit, 2 twice as good "
        "as that.~n",
        [
            Year, Month, Day, Hour, Minute,
            processor(),
            erlang:system_info(logical_processors_online),
            kernel(),
            erlang:system_info(otp_release),
            alcove_nif:version(),
            Load,
            [": NOT QUIET" || Load > ?QUIET]
        ]
    ).

processor() ->
    {ok, Text} = file:read_file("/proc/cpuinfo"),
    case re:run(Text, "^model name\\s*: (.*)$", [multiline, {capture, [1], list}]) of
        {match, [Name]} -> Name;
        nomatch -> erlang:system_info(system_architecture)
    end.

kernel() ->
    {Type, Name} = os:type(),
    {Major, Minor, Patch} = os:version(),
    io_lib:format("~s/~s ~b.~b.~b", [Type, Name, Major, Minor, Patch]).

load() ->
    {ok, Text} = file:read_file("/proc/loadavg"),
    [Minute | _] = string:lexemes(binary_to_list(Text), " "),
    list_to_float(Minute).
