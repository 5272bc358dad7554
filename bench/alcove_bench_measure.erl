%% @doc Measuring, in the virtual machine.
-module(alcove_bench_measure).

-export([times/2, times/3, timed/2, busy/3, processors/2, own_time/1, pss/1]).
-export([quiet/1, apart/1, nanoseconds/1, quantiles/0]).

-export_type([measured/0]).

-type measured() ::
    {times, N :: pos_integer(), Nanoseconds :: pos_integer(), Quantiles :: [integer()]}
    | {rate, PerSecond :: float(), ProcessorsUsed :: float()}
    | {bytes, pos_integer(), Nanoseconds :: pos_integer()}
    | {kib, float()}
    | {count, float()}.

%% How many times are kept; later ones take the places of the first.
-define(KEPT, 262144).
-define(WARM_UP, 10).

%% Ticks of a second, as Linux tells them everywhere: USER_HZ.
-define(TICKS, 100).

%% How long is looked whether the processors are idle, and how much they may be used.
-define(LOOK, 50).
-define(IDLE, 0.1).

%% @doc The quantiles of {@link measured()}, in thousandths; native/alcove_bench_limit tells the
%% same.
-spec quantiles() -> [0..1000].
quantiles() ->
    [0, 10, 50, 100, 250, 500, 750, 900, 950, 990, 999, 1000].

%% @doc Does something over and over for some milliseconds.
-spec times(pos_integer(), fun(() -> term())) -> measured().
times(Ms, Once) ->
    times(Ms, fun() -> ok end, Once).

%% @doc The same, with something before each time that isn't measured.
-spec times(pos_integer(), fun(() -> term()), fun(() -> term())) -> measured().
times(Ms, Before, Once) ->
    timed(Ms, fun() ->
        Before(),
        Start = erlang:monotonic_time(),
        Once(),
        erlang:monotonic_time() - Start
    end).

%% @doc The same for something that gives the time that counts, in native units.
-spec timed(pos_integer(), fun(() -> integer())) -> measured().
timed(Ms, Once) ->
    warm_up(now_plus(?WARM_UP), Once),
    %% No garbage: collecting it would be measured too.
    Kept = atomics:new(?KEPT, []),
    Start = erlang:monotonic_time(),
    N = repeat(now_plus(Ms), Once, Kept, 0),
    Elapsed = erlang:monotonic_time() - Start,
    Sorted = list_to_tuple(lists:sort([atomics:get(Kept, I) || I <- lists:seq(1, min(N, ?KEPT))])),
    Quantiles = [
        nanoseconds(element(1 + ((tuple_size(Sorted) - 1) * Q + 500) div 1000, Sorted))
     || Q <- quantiles()
    ],
    {times, N, nanoseconds(Elapsed), Quantiles}.

warm_up(End, Once) ->
    _ = Once(),
    case erlang:monotonic_time() < End of
        true -> warm_up(End, Once);
        false -> ok
    end.

repeat(End, Once, Kept, N) ->
    ok = atomics:put(Kept, 1 + N rem ?KEPT, Once()),
    case erlang:monotonic_time() < End of
        true -> repeat(End, Once, Kept, N + 1);
        false -> N + 1
    end.

%% @doc Has several processes do something at once, for some milliseconds: how
%% often a second, and the share of the processors' time that was used.
%%
%% Each is a function that is called in the process that is to do it, and that
%% gives what that is to do.
-spec busy(pos_integer(), pos_integer(), fun((pos_integer()) -> fun(() -> term()))) -> measured().
busy(Ms, N, Prepare) ->
    Start = now_plus(20 + N),
    End = Start + native(Ms),
    Callers = [
        spawn_monitor(fun() -> exit({counted, count(Start, End, Prepare(I), 0)}) end)
     || I <- lists:seq(1, N)
    ],
    wait_until(Start),
    Before = used(),
    wait_until(End),
    After = used(),
    Counts = [
        receive
            {'DOWN', Ref, process, Pid, {counted, Count}} -> Count;
            {'DOWN', Ref, process, Pid, Reason} -> error(Reason)
        end
     || {Pid, Ref} <- Callers
    ],
    {rate, lists:sum(Counts) * 1000 / Ms, share(Before, After)}.

count(Start, End, Once, N) ->
    _ = Once(),
    case erlang:monotonic_time() of
        Now when Now < Start -> count(Start, End, Once, N);
        Now when Now < End -> count(Start, End, Once, N + 1);
        _ -> N
    end.

wait_until(Time) ->
    timer:sleep(
        max(0, erlang:convert_time_unit(Time - erlang:monotonic_time(), native, millisecond))
    ).

%% @doc Does something over and over for some milliseconds: the processors' time that the virtual
%% machine and all that it started took for it, which is the same each time.
-spec processors(pos_integer(), fun(() -> term())) -> measured().
processors(Ms, Once) ->
    warm_up(now_plus(?WARM_UP), Once),
    Start = erlang:monotonic_time(),
    Before = ticks(),
    N = repeat(now_plus(Ms), fun() -> _ = Once(), 0 end, atomics:new(?KEPT, []), 0),
    Each = (ticks() - Before) * (1000000000 div ?TICKS) div N,
    {times, N, nanoseconds(erlang:monotonic_time() - Start), [Each || _ <- quantiles()]}.

%% The ticks of the processors that were used by the virtual machine, what it started, and what
%% these have waited for.
ticks() ->
    lists:sum([lists:sum(lists:sublist(stat(Pid), 12, 4)) || Pid <- own_processes()]).

%% The fields of proc(5)'s stat after the name: state, parent and so on; a process may be gone.
stat(Pid) ->
    case file:read_file(lists:concat(["/proc/", Pid, "/stat"])) of
        {ok, Text} ->
            [_, <<_State, " ", Rest/binary>>] = string:split(Text, <<") ">>, trailing),
            [
                0
                | [
                    binary_to_integer(Word)
                 || Word <- binary:split(Rest, [<<" ">>, <<"\n">>], [global, trim])
                ]
            ];
        {error, _} ->
            lists:duplicate(50, 0)
    end.

own_processes() ->
    {ok, Names} = file:list_dir("/proc"),
    Parents = [{Pid, lists:nth(2, stat(Pid))} || Name <- Names, Pid <- number(Name)],
    with_children([list_to_integer(os:getpid())], Parents).

number(Name) ->
    case string:to_integer(Name) of
        {Number, ""} -> [Number];
        _ -> []
    end.

with_children([], _Parents) ->
    [];
with_children(Pids, Parents) ->
    Pids ++ with_children([Pid || {Pid, Parent} <- Parents, lists:member(Parent, Pids)], Parents).

%% @doc The processors' time, in microseconds, that the virtual machine and what it started take
%% while a function runs. The virtual machine's own is looked at last before and first after that:
%% to look at thousands of processes takes it longer than they take.
-spec own_time(fun(() -> _)) -> number().
own_time(During) ->
    [Own | Others] = own_processes(),
    OthersBefore = times_of(Others),
    OwnBefore = times_of([Own]),
    _ = During(),
    OwnAfter = times_of([Own]),
    times_of(Others) + OwnAfter - OthersBefore - OwnBefore.

times_of(Pids) ->
    lists:sum([
        time_of_thread(File)
     || Pid <- Pids,
        File <- filelib:wildcard(lists:concat(["/proc/", Pid, "/task/*/schedstat"]))
    ]).

time_of_thread(File) ->
    case file:read_file(File) of
        {ok, Text} ->
            [Nanoseconds | _] = binary:split(Text, <<" ">>),
            binary_to_integer(Nanoseconds) / 1000;
        {error, _} ->
            0
    end.

%% @doc The memory of a process in KiB, of which it shares with others only its part.
-spec pss(integer()) -> integer().
pss(Pid) ->
    {ok, Text} = file:read_file(lists:concat(["/proc/", Pid, "/smaps_rollup"])),
    {match, [Kib]} = re:run(Text, "^Pss: +([0-9]+) kB", [multiline, {capture, [1], binary}]),
    binary_to_integer(Kib).

%% @doc Waits until nothing else runs on the machine, at most so many
%% milliseconds; whether it came to that.
-spec quiet(pos_integer()) -> boolean().
quiet(Ms) ->
    quiet_until(now_plus(Ms)).

quiet_until(End) ->
    Before = used(),
    timer:sleep(?LOOK),
    Quiet = share(Before, used()) =< ?IDLE,
    case Quiet orelse erlang:monotonic_time() > End of
        true -> Quiet;
        false -> quiet_until(End)
    end.

%% All ticks of the processors, and those in which they were idle.
used() ->
    {ok, Stat} = file:read_file("/proc/stat"),
    [Line | _] = binary:split(Stat, <<"\n">>),
    [<<"cpu">> | Words] = binary:split(Line, <<" ">>, [global, trim_all]),
    Ticks = [binary_to_integer(Word) || Word <- Words],
    {lists:sum(Ticks), lists:nth(4, Ticks) + lists:nth(5, Ticks)}.

share({All, Idle}, {All1, Idle1}) ->
    1 - (Idle1 - Idle) / max(1, All1 - All).

%% @doc Calls a function in a process of its own, with a fresh heap and mailbox.
-spec apart(fun(() -> Result)) -> Result.
apart(Fun) ->
    {Pid, Ref} = spawn_monitor(fun() -> exit({result, Fun()}) end),
    receive
        {'DOWN', Ref, process, Pid, {result, Result}} -> Result;
        {'DOWN', Ref, process, Pid, Reason} -> error(Reason)
    end.

now_plus(Ms) ->
    erlang:monotonic_time() + native(Ms).

native(Ms) ->
    erlang:convert_time_unit(Ms, millisecond, native).

%% @doc A time in native units in nanoseconds.
-spec nanoseconds(integer()) -> integer().
nanoseconds(Native) ->
    erlang:convert_time_unit(Native, native, nanosecond).
