%% @doc The data that bench/plots.gp draws.
-module(alcove_bench_plot).

-export([data/3]).

%% @doc Writes the data files of the plots for which there are measurements.
-spec data(file:filename(), [alcove_bench_table:line()], alcove_bench_table:results()) -> ok.
data(Out, Lines, Results) ->
    Files = [
        {"ratios.dat", ratios(Lines)},
        {"calls.dat", calls(Results)},
        {"callers.dat", callers(Results)},
        {"processes.dat", bars(Results, processes, process_bars())},
        {"streams.dat", bars(Results, streams, stream_bars())}
    ],
    lists:foreach(
        fun
            ({Name, []}) -> _ = file:delete(filename:join(Out, Name));
            ({Name, Data}) -> ok = file:write_file(filename:join(Out, Name), Data)
        end,
        Files
    ).

%% The last limit of a row is the one that varies less.
ratios(Lines) ->
    [
        io_lib:format("\"~s\"\t~.4f~n", [underscores(Id), Ratio])
     || Line <- Lines,
        [_ | _] = Ratios <- [alcove_bench_table:ratios(Line)],
        {Id, _, Ratio} <- [lists:last(Ratios)]
    ].

underscores(Id) ->
    lists:map(
        fun
            ($_) -> $\s;
            (Char) -> Char
        end,
        atom_to_list(Id)
    ).

%% The quantiles of a call, a block for each variant.
calls(Results) ->
    case Results of
        #{calls := #{} = Variants} ->
            lists:join("\n\n", [
                [
                    io_lib:format("\"~s\"~n", [Title]),
                    [
                        io_lib:format("~.2f\t~.3f~n", [
                            Q / 10,
                            alcove_bench_table:median([quantile(Times, Q) || Times <- Rounds])
                        ])
                     || Q <- alcove_bench_measure:quantiles(), Q > 0, Q < 1000
                    ]
                ]
             || {Variant, Title} <- [
                    {depth0, "alcove, depth 0"},
                    {depth16, "alcove, depth 16"},
                    {unpinned, "ping-pong"},
                    {pinned, "ping-pong on one core"},
                    {port, "open_port"}
                ],
                [_ | _] = Rounds <- [maps:get(Variant, Variants, [])]
            ]);
        _ ->
            []
    end.

quantile({times, _, _, Quantiles}, Q) ->
    {Q, Nanoseconds} = lists:keyfind(Q, 1, lists:zip(alcove_bench_measure:quantiles(), Quantiles)),
    Nanoseconds / 1000.

callers(Results) ->
    case Results of
        #{callers := #{} = Variants} ->
            Ns = lists:usort([N || {N, _, _} <- alcove_bench_groups:callers()]),
            [
                [
                    integer_to_list(N),
                    [
                        io_lib:format("\t~s", [middle(rate, maps:get(Variant, Variants, []))])
                     || {M, _, Variant} <- alcove_bench_groups:callers(), M =:= N
                    ],
                    "\n"
                ]
             || N <- Ns
            ];
        _ ->
            []
    end.

process_bars() ->
    [
        {"fork, exit", [fork_exit_spawn, fork_limit, none]},
        {"exec true", [true, true_limit, true_port]},
        {"container", [container, container_limit, none]}
    ].

stream_bars() ->
    [
        {"head, at 1", [head1, head_limit, head_port]},
        {"head, at 16", [head16, head_limit, head_port]},
        {"dd, at 1", [dd1, dd_limit, dd_port]},
        {"dd, at 16", [dd16, dd_limit, dd_port]},
        {"stdin", [in, in_limit, in_port]},
        {"echo", [echo, echo_limit, echo_port]}
    ].

bars(Results, Group, Rows) ->
    case Results of
        #{Group := #{} = Variants} ->
            [
                [
                    io_lib:format("\"~s\"", [Title]),
                    [["\t", middle(rate, maps:get(Variant, Variants, []))] || Variant <- Bars],
                    "\n"
                ]
             || {Title, Bars} <- Rows
            ];
        _ ->
            []
    end.

%% gnuplot takes a question mark for what isn't there.
middle(_Metric, []) -> "?";
middle(_Metric, {skip, _}) -> "?";
middle(Metric, Rounds) ->
    Values = [alcove_bench_table:value(Metric, Measured) || Measured <- Rounds],
    io_lib:format("~.3f", [alcove_bench_table:median(Values)]).
