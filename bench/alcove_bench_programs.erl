%% @doc What is measured of alcove_proc: programs that are run, what they say, and what they cost
%% while they run.
-module(alcove_bench_programs).

-export([all/0, workers/0]).

-include("alcove_bench.hrl").

-define(TRUE, "/bin/true").

%% How many run programs at the same time.
-define(WORKERS, [1, 8, 64]).

%% Milliseconds in which so many programs can be counted.
-define(ROUND, 1000).

%% How many programs run beside the one that is measured: few and many.
-define(FEW, 10).
-define(MANY, 2000).

%% How many programs' memory and descriptors are counted.
-define(COUNTED, 200).

%% Milliseconds in which a virtual machine does nothing, after those in which it comes to rest.
-define(IDLE, 5000).
-define(QUIET, 3000).

%% Bytes of a stream in a round of the default time.
-define(OUT, (256 * 1024 * 1024)).

-define(DEADLINE, 60000).

%% A program that does nothing until its input ends.
-define(WAITS, ["cat"]).

%% @doc All groups.
-spec all() -> [#group{}].
all() ->
    [runs(), throughput(), lines(), output(), beside(), held()].

%%--------------------------------------------------------------------
%% Runs
%%--------------------------------------------------------------------

%% The time that one takes, and the processors' time.
runs() ->
    with_drv(#group{
        name = runs,
        variants = [
            {run, fun(#{drv := Drv}, Ms) ->
                alcove_bench_measure:times(Ms, fun() -> run(Drv) end)
            end},
            {run_port, fun(_, Ms) -> alcove_bench_measure:times(Ms, fun port_runs/0) end},
            {run_limit, fun(#{limit := Limit}, Ms) ->
                alcove_bench_limit:times(Limit, [spawn, Ms, ?TRUE])
            end},
            {cpu, fun(#{drv := Drv}, Ms) ->
                alcove_bench_measure:processors(Ms, fun() -> run(Drv) end)
            end},
            {cpu_port, fun(_, Ms) -> alcove_bench_measure:processors(Ms, fun port_runs/0) end}
        ]
    }).

%% How many a second.
throughput() ->
    with_drv(#group{
        name = workers,
        variants =
            lists:append([
                [
                    {name(runs, N), fun(#{drv := Drv}, Ms) ->
                        alcove_bench_measure:busy(at_least(Ms), N, fun(_) ->
                            fun() -> run(Drv) end
                        end)
                    end},
                    {name(ports, N), fun(_, Ms) ->
                        alcove_bench_measure:busy(at_least(Ms), N, fun(_) -> fun port_runs/0 end)
                    end}
                ]
             || N <- ?WORKERS
            ]) ++
                [
                    {name(spawners, N), fun(#{limit := Limit}, Ms) ->
                        alcove_bench_limit:busy(Limit, [spawners, at_least(Ms), N, ?TRUE])
                    end}
                 || N <- [1, 2]
                ]
    }).

%% Of 64 that begin together none may have ended in a moment.
at_least(Ms) -> max(Ms, ?ROUND).

%% @doc How many workers there are at once, and the variants with so many.
-spec workers() -> [{pos_integer(), Runs :: atom(), Ports :: atom(), Limit :: atom()}].
workers() ->
    [{N, name(runs, N), name(ports, N), name(spawners, min(N, 2))} || N <- ?WORKERS].

name(Kind, N) ->
    list_to_atom(lists:concat([Kind, "_", N])).

run(Drv) ->
    {ok, #{status := 0}} = alcove_proc:run(Drv, [?TRUE]).

port_runs() ->
    Port = open_port({spawn_executable, ?TRUE}, [exit_status]),
    receive
        {Port, {exit_status, 0}} -> ok
    end.

%%--------------------------------------------------------------------
%% What programs say
%%--------------------------------------------------------------------

%% A line to cat, and back.
lines() ->
    with_drv(#group{
        name = lines,
        variants = [
            {primitive, fun(_, Ms) ->
                alcove_bench_measure:apart(fun() ->
                    Drv = start(),
                    {ok, Pid} = alcove:spawn(Drv, [], fork, [{execvp, ["cat", ["cat"]]}]),
                    Measured = alcove_bench_measure:times(Ms, fun() ->
                        true = alcove:stdin(Drv, [Pid], <<"x\n">>),
                        receive
                            {alcove_stdout, Drv, [Pid], <<"x\n">>} -> ok
                        end
                    end),
                    ok = alcove_drv:stop(Drv),
                    Measured
                end)
            end},
            {proc, fun(#{drv := Drv}, Ms) ->
                alcove_bench_measure:apart(fun() ->
                    {ok, Pid} = alcove_proc:start_link(Drv, ?WAITS),
                    Measured = alcove_bench_measure:times(Ms, fun() ->
                        ok = alcove_proc:write(Pid, <<"x\n">>),
                        receive
                            {alcove_proc, Pid, {stdout, <<"x\n">>}} -> ok
                        end
                    end),
                    {ok, _} = alcove_proc:stop(Pid),
                    Measured
                end)
            end},
            {port, fun(_, Ms) ->
                alcove_bench_measure:apart(fun() ->
                    Port = open_port({spawn_executable, os:find_executable("cat")}, [
                        stream, binary
                    ]),
                    Measured = alcove_bench_measure:times(Ms, fun() ->
                        true = port_command(Port, <<"x\n">>),
                        receive
                            {Port, {data, <<"x\n">>}} -> ok
                        end
                    end),
                    true = port_close(Port),
                    Measured
                end)
            end}
        ]
    }).

%% Much of it: as messages, to a fold and to who asks for a number of messages at a time.
output() ->
    with_drv(#group{
        name = output,
        variants = [
            {messages, output(#{active => true}, fun(Pid) -> ended(Pid, 0) end)},
            {fold, output(#{active => false}, fun(Pid) ->
                Add = fun({stdout, Piece}, Size) -> Size + byte_size(Piece) end,
                {ok, Size} = alcove_proc:fold(Pid, Add, 0),
                ended(Pid, Size)
            end)},
            {active, output(#{active => 10}, fun(Pid) -> ended(Pid, 0) end)},
            {output_limit, fun(#{limit := Limit} = State, _) ->
                Bytes = bytes(State),
                alcove_bench_limit:bytes(Limit, Bytes, [read | head(Bytes)])
            end},
            {output_port, fun(State, _) ->
                Bytes = bytes(State),
                timed(Bytes, fun() ->
                    [Name | Args] = head(Bytes),
                    Port = open_port({spawn_executable, os:find_executable(Name)}, [
                        {args, Args}, stream, binary, exit_status
                    ]),
                    port_received(Port, 0)
                end)
            end}
        ]
    }).

%% From before the program is started until it has ended and all has been read.
output(Options, Read) ->
    fun(#{drv := Drv} = State, _) ->
        Bytes = bytes(State),
        timed(Bytes, fun() ->
            {ok, Pid} = alcove_proc:start_link(Drv, head(Bytes), Options#{stdin => none}),
            Read(Pid)
        end)
    end.

%% How much it has written, at its end.
ended(Pid, Size) ->
    receive
        {alcove_proc, Pid, {stdout, Piece}} ->
            ended(Pid, Size + byte_size(Piece));
        {alcove_proc, Pid, passive} ->
            ok = alcove_proc:active(Pid, 10),
            ended(Pid, Size);
        {alcove_proc, Pid, {exit, {ok, #{status := 0}}}} ->
            Size
    after ?DEADLINE -> error({no_end, Size})
    end.

port_received(Port, Size) ->
    receive
        {Port, {data, Piece}} -> port_received(Port, Size + byte_size(Piece));
        {Port, {exit_status, 0}} -> Size
    after ?DEADLINE -> error({no_end, Size})
    end.

timed(Bytes, Fun) ->
    alcove_bench_measure:apart(fun() ->
        Start = erlang:monotonic_time(),
        Bytes = Fun(),
        {bytes, Bytes, alcove_bench_measure:nanoseconds(erlang:monotonic_time() - Start)}
    end).

head(Bytes) ->
    ["head", "-c", integer_to_list(Bytes), "/dev/zero"].

bytes(#{scale := Scale}) ->
    max(1, round(?OUT * Scale)).

%%--------------------------------------------------------------------
%% Programs beside others
%%--------------------------------------------------------------------

%% What a run takes while others run.
beside() ->
    Beside = fun(N) ->
        fun(_, Ms) ->
            among(N, fun(Drv, _) -> alcove_bench_measure:times(Ms, fun() -> run(Drv) end) end)
        end
    end,
    #group{
        name = beside,
        rounds = 3,
        variants = [
            {few, Beside(?FEW)},
            {many, Beside(?MANY)},
            {idle, fun(_, _) ->
                among(?MANY, fun(_, _) ->
                    timer:sleep(?QUIET),
                    Used = alcove_bench_measure:own_time(fun() -> timer:sleep(?IDLE) end),
                    {count, Used / (?IDLE / 1000)}
                end)
            end}
        ]
    }.

%% What each of the programs has while it runs.
held() ->
    #group{
        name = held,
        rounds = 3,
        variants = [
            {descriptors, each(#{}, fun descriptors/1)},
            {descriptors_alone,
                each(#{stdin => none, stdout => discard, stderr => discard}, fun descriptors/1)},
            {processes, each(#{}, fun(_) -> {count, erlang:system_info(process_count)} end)},
            {memory, each(#{}, fun(_) ->
                timer:sleep(?QUIET),
                [erlang:garbage_collect(Pid) || Pid <- erlang:processes(), not hibernates(Pid)],
                {kib, erlang:memory(processes) / 1024}
            end)},
            {helper, fun(_, _) ->
                among(?COUNTED, #{}, fun(_, Pids) ->
                    Keepers = [keeper(Pid) || Pid <- Pids],
                    Sum = lists:sum([alcove_bench_measure:pss(Keeper) || Keeper <- Keepers]),
                    {kib, Sum / ?COUNTED}
                end)
            end}
        ]
    }.

%% By how much something grows with each program.
each(Options, Count) ->
    fun(_, _) ->
        {Kind, Before} = among(1, Options, fun(_, _) -> Count(here) end),
        {Kind, After} = among(1 + ?COUNTED, Options, fun(_, _) -> Count(here) end),
        {Kind, (After - Before) / ?COUNTED}
    end.

hibernates(Pid) ->
    process_info(Pid, current_function) =:= {current_function, {erlang, hibernate, 3}}.

descriptors(here) ->
    {ok, Names} = file:list_dir("/proc/self/fd"),
    {count, length(Names)}.

%% The parent of a program.
keeper(Pid) ->
    #{os_pid := OsPid} = alcove_proc:info(Pid),
    {ok, Text} = file:read_file(lists:concat(["/proc/", OsPid, "/stat"])),
    [_, Rest] = string:split(Text, <<") ">>, trailing),
    [_, Parent | _] = binary:split(Rest, <<" ">>, [global]),
    binary_to_integer(Parent).

among(N, Fun) ->
    among(N, #{stdout => discard, stderr => discard}, Fun).

%% Calls a function while so many programs run.
among(N, Options, Fun) ->
    Drv = start(),
    %% sleep(1) ends with the Drv, whatever its input is.
    Pids = [
        begin
            {ok, Pid} = alcove_proc:start(Drv, ["sleep", "100000"], Options),
            Pid
        end
     || _ <- lists:seq(1, N)
    ],
    Result = Fun(Drv, Pids),
    Ends = [erlang:monitor(process, Pid) || Pid <- Pids],
    ok = alcove_drv:stop(Drv),
    [
        receive
            {'DOWN', End, process, _, _} -> ok
        end
     || End <- Ends
    ],
    flush(),
    Result.

flush() ->
    receive
        {alcove_proc, _, _} -> flush()
    after 0 -> ok
    end.

with_drv(Group) ->
    Group#group{
        enter = fun(Context) -> {ok, Context#{drv => start()}} end,
        leave = fun(#{drv := Drv}) -> ok = alcove_drv:stop(Drv) end
    }.

start() ->
    {ok, Drv} = alcove_drv:start([]),
    Drv.
