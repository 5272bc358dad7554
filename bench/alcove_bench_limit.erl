%% @doc The program that shows the limit of the machine: native/alcove_bench_limit.
-module(alcove_bench_limit).

-export([open/1, close/1, path/1, times/2, busy/2, bytes/3, idle/2, crowd/2, calm/1]).

-export_type([limit/0]).

-record(limit, {port :: port(), path :: file:filename()}).

-opaque limit() :: #limit{}.

%% @doc Starts the program.
-spec open(file:filename()) -> limit().
open(Path) ->
    Options = [{args, []}, {line, 4096}, use_stdio, exit_status],
    #limit{port = open_port({spawn_executable, Path}, Options), path = Path}.

%% @doc Ends the program.
-spec close(limit()) -> ok.
close(#limit{port = Port}) ->
    true = port_close(Port),
    ok.

%% @doc Where the program is.
-spec path(limit()) -> file:filename().
path(#limit{path = Path}) ->
    Path.

%% @doc Has something done over and over.
-spec times(limit(), [term()]) -> alcove_bench_measure:measured().
times(Limit, Words) ->
    [N, Nanoseconds | Quantiles] = ask(Limit, Words),
    {times, N, Nanoseconds, Quantiles}.

%% @doc Has something done by many at once.
-spec busy(limit(), [term()]) -> alcove_bench_measure:measured().
busy(Limit, Words) ->
    [N, Nanoseconds, Used] = ask(Limit, Words),
    {rate, N * 1.0e9 / Nanoseconds, Used / 1000}.

%% @doc Has so many bytes moved.
-spec bytes(limit(), pos_integer(), [term()]) -> alcove_bench_measure:measured().
bytes(Limit, Bytes, [Request | Program]) ->
    [Nanoseconds] = ask(Limit, [Request, Bytes | Program]),
    {bytes, Bytes, Nanoseconds}.

%% @doc Has so many idle processes forked and their memory looked at.
-spec idle(limit(), pos_integer()) -> alcove_bench_measure:measured().
idle(Limit, N) ->
    [Sum, N] = ask(Limit, [idle, N]),
    {kib, Sum / N}.

%% @doc Has so many processes compute until {@link calm/1}.
-spec crowd(limit(), pos_integer()) -> ok.
crowd(Limit, N) ->
    [_] = ask(Limit, [crowd, N]),
    ok.

%% @doc Ends what {@link crowd/2} started.
-spec calm(limit()) -> ok.
calm(Limit) ->
    [_] = ask(Limit, [calm]),
    ok.

ask(#limit{port = Port}, Words) ->
    true = port_command(Port, [
        lists:join($\s, [io_lib:format("~s", [word(W)]) || W <- Words]), $\n
    ]),
    receive
        {Port, {data, {eol, "error: " ++ Text}}} ->
            error({limit, Words, Text});
        {Port, {data, {eol, Line}}} ->
            [list_to_integer(Number) || Number <- string:lexemes(Line, " ")];
        {Port, {exit_status, Status}} ->
            error({limit, Words, {exit_status, Status}})
    end.

word(Word) when is_atom(Word) -> atom_to_list(Word);
word(Word) when is_integer(Word) -> integer_to_list(Word);
word(Word) -> Word.
