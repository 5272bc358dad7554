%% @doc What is measured, and how: alcove, the limit of the machine, and ports.
-module(alcove_bench_groups).

-export([all/0, callers/0]).

-compile({no_auto_import, [processes/0]}).

-include("alcove_bench.hrl").

%% How deep is deep, and how many messages, callers and idle processes are many.
-define(DEEP, 16).
%% How many sandboxes are started at a time.
-define(CROWD, 100).
-define(MAILBOX, 100000).
-define(CALLERS, [1, 10, 100]).
-define(IDLE, 1000).
%% Milliseconds, in which everything falls asleep.
-define(PAUSE, 2).
%% How much is written at a time.
-define(PIECE, 65536).
%% Milliseconds after which something is broken.
-define(DEADLINE, 60000).

%% Bytes of a stream in a round of the default time.
-define(OUT, (256 * 1024 * 1024)).
-define(IN, (128 * 1024 * 1024)).

%% For a shell: a program that reads everything.
-define(DISCARD, "exec cat >/dev/null").

-define(NOBODY, 65534).

%% @doc All groups.
-spec all() -> [#group{}].
all() ->
    [
        calls(),
        children(children_1000, 1000),
        children(children_4000, 4000),
        many(),
        processes(),
        sandboxes(sandboxes, []),
        sandboxes(sandboxes_rootless, [
            {exec, "setpriv --reuid=nobody --regid=nogroup --clear-groups --"}
        ]),
        streams(),
        start(),
        memory(),
        crowded(),
        one_scheduler(),
        paced()
    ] ++ alcove_bench_programs:all() ++ alcove_bench_nodes:all().

%%--------------------------------------------------------------------
%% Calls
%%--------------------------------------------------------------------

calls() ->
    #group{
        name = calls,
        enter = fun(#{limit := Limit}) ->
            Drv = start([]),
            {ok, #{limit => Limit, alone => start([]), drv => Drv, chain => chain(Drv, ?DEEP)}}
        end,
        leave = fun(#{alone := Alone, drv := Drv}) ->
            ok = alcove_drv:stop(Alone),
            ok = alcove_drv:stop(Drv)
        end,
        variants = [
            {alone, fun alone/2},
            {depth0, at_depth(0)},
            {depth1, at_depth(1)},
            {depth4, at_depth(4)},
            {depth16, at_depth(?DEEP)},
            {mailbox, fun(#{alone := Drv}, Ms) ->
                alcove_bench_measure:apart(fun() ->
                    [self() ! {message, I} || I <- lists:seq(1, ?MAILBOX)],
                    alcove_bench_measure:times(Ms, getpid(Drv, []))
                end)
            end},
            {batch, fun(#{alone := Drv}, Ms) ->
                Calls = lists:duplicate(10, {getpid, []}),
                times(Ms, fun() -> {ok, [_ | _]} = alcove:batch(Drv, [], Calls) end)
            end},
            {ten, fun(#{alone := Drv}, Ms) ->
                Once = getpid(Drv, []),
                times(Ms, fun() -> [Once() || _ <- lists:seq(1, 10)] end)
            end},
            {unpinned, ping_pong(pingpong)},
            {pinned, ping_pong(pingpong_pinned)},
            {port, fun port_answers/2}
        ]
    }.

%% A Drv with many processes; calls to root, which forked them, and to each in turn.
children(Name, N) ->
    #group{
        name = Name,
        scope = group,
        enter = fun(#{limit := Limit}) ->
            Drv = start([{maxchild, N + 1}]),
            case fork(Drv, N) of
                {ok, Pids} ->
                    {ok, #{
                        limit => Limit,
                        alone => start([]),
                        drv => Drv,
                        pids => list_to_tuple(Pids)
                    }};
                {error, Forked, Reason} ->
                    ok = alcove_drv:stop(Drv),
                    {skip, io_lib:format("~p after ~b processes", [Reason, Forked])}
            end
        end,
        leave = fun(#{alone := Alone, drv := Drv}) ->
            ok = alcove_drv:stop(Alone),
            ok = alcove_drv:stop(Drv)
        end,
        variants = [
            {alone, fun alone/2},
            {root, fun(#{drv := Drv}, Ms) -> times(Ms, getpid(Drv, [])) end},
            {one, fun(#{drv := Drv, pids := Pids}, Ms) ->
                times(Ms, getpid(Drv, [element(1, Pids)]))
            end},
            {each, fun(#{drv := Drv, pids := Pids}, Ms) ->
                Next = counters:new(1, []),
                times(Ms, fun() ->
                    I = counters:get(Next, 1),
                    counters:add(Next, 1, 1),
                    alcove:getpid(Drv, [element(1 + I rem tuple_size(Pids), Pids)])
                end)
            end},
            {unpinned, ping_pong(pingpong)},
            {pinned, ping_pong(pingpong_pinned)}
        ]
    }.

%% Many callers, each with a process of its own to call.
many() ->
    #group{
        name = callers,
        enter = fun(#{limit := Limit}) ->
            Drv = start([]),
            {ok, Pids} = fork(Drv, lists:max(?CALLERS)),
            {ok, #{limit => Limit, drv => Drv, pids => list_to_tuple(Pids)}}
        end,
        leave = fun(#{drv := Drv}) -> ok = alcove_drv:stop(Drv) end,
        variants = lists:append([
            [
                {name(alcove, N), fun(#{drv := Drv, pids := Pids}, Ms) ->
                    alcove_bench_measure:busy(Ms, N, fun(I) -> getpid(Drv, [element(I, Pids)]) end)
                end},
                {name(pairs, N), fun(#{limit := Limit}, Ms) ->
                    alcove_bench_limit:busy(Limit, [pairs, Ms, N])
                end},
                {name(ports, N), fun(#{limit := Limit}, Ms) ->
                    alcove_bench_measure:busy(Ms, N, fun(_) ->
                        Port = port_that_answers(Limit),
                        fun() -> answered(Port) end
                    end)
                end}
            ]
         || N <- ?CALLERS
        ])
    }.

%% @doc How many callers there are at once, and the variants with so many.
-spec callers() -> [{pos_integer(), alcove | pairs | ports, atom()}].
callers() ->
    [{N, Kind, name(Kind, N)} || N <- ?CALLERS, Kind <- [alcove, pairs, ports]].

name(Kind, N) ->
    list_to_atom(lists:concat([Kind, "_", N])).

%% Calls while every processor has something else to do.
crowded() ->
    Few = few(crowded),
    Few#group{
        quiet = false,
        enter = fun(#{limit := Limit}) ->
            ok = alcove_bench_limit:crowd(Limit, erlang:system_info(logical_processors_online)),
            {ok, #{limit => Limit, alone => start([])}}
        end,
        leave = fun(#{limit := Limit, alone := Drv}) ->
            ok = alcove_bench_limit:calm(Limit),
            ok = alcove_drv:stop(Drv)
        end
    }.

%% Calls from a virtual machine with one scheduler.
one_scheduler() ->
    Few = few(one_scheduler),
    Few#group{
        enter = fun(#{limit := Limit}) ->
            Before = erlang:system_flag(schedulers_online, 1),
            {ok, #{limit => Limit, alone => start([]), before => Before}}
        end,
        leave = fun(#{alone := Drv, before := Before}) ->
            1 = erlang:system_flag(schedulers_online, Before),
            ok = alcove_drv:stop(Drv)
        end
    }.

%% Calls with a pause before each.
paced() ->
    Pause = fun() -> timer:sleep(?PAUSE) end,
    #group{
        name = paced,
        enter = fun(#{limit := Limit}) -> {ok, #{limit => Limit, alone => start([])}} end,
        leave = fun(#{alone := Drv}) -> ok = alcove_drv:stop(Drv) end,
        variants = [
            {alone, fun(#{alone := Drv}, Ms) ->
                alcove_bench_measure:apart(fun() ->
                    alcove_bench_measure:times(Ms, Pause, getpid(Drv, []))
                end)
            end},
            {unpinned, fun(#{limit := Limit}, Ms) ->
                alcove_bench_limit:times(Limit, [pingpong_paced, Ms, ?PAUSE])
            end},
            {port, fun(#{limit := Limit}, Ms) ->
                alcove_bench_measure:apart(fun() ->
                    Port = port_that_answers(Limit),
                    alcove_bench_measure:times(Ms, Pause, fun() -> answered(Port) end)
                end)
            end}
        ]
    }.

few(Name) ->
    #group{
        name = Name,
        enter = fun(_) -> {skip, "not here"} end,
        leave = fun(_) -> ok end,
        variants = [
            {alone, fun alone/2},
            {unpinned, ping_pong(pingpong)},
            {pinned, ping_pong(pingpong_pinned)},
            {port, fun port_answers/2}
        ]
    }.

alone(#{alone := Drv}, Ms) ->
    times(Ms, getpid(Drv, [])).

at_depth(N) ->
    fun(#{drv := Drv, chain := Chain}, Ms) ->
        times(Ms, getpid(Drv, lists:sublist(Chain, N)))
    end.

ping_pong(Request) ->
    fun(#{limit := Limit}, Ms) -> alcove_bench_limit:times(Limit, [Request, Ms]) end.

port_answers(#{limit := Limit}, Ms) ->
    alcove_bench_measure:apart(fun() ->
        Port = port_that_answers(Limit),
        alcove_bench_measure:times(Ms, fun() -> answered(Port) end)
    end).

port_that_answers(Limit) ->
    open_port({spawn_executable, alcove_bench_limit:path(Limit)}, [
        {args, ["answer"]}, {packet, 4}, binary
    ]).

answered(Port) ->
    true = port_command(Port, <<0:56>>),
    receive
        {Port, {data, Answer}} -> Answer
    end.

getpid(Drv, Path) ->
    fun() -> alcove:getpid(Drv, Path) end.

%% Measures in a process of its own.
times(Ms, Once) ->
    alcove_bench_measure:apart(fun() -> alcove_bench_measure:times(Ms, Once) end).

%%--------------------------------------------------------------------
%% Processes
%%--------------------------------------------------------------------

processes() ->
    #group{
        name = processes,
        enter = fun(Context) -> {ok, Context#{drv => start([{exit_status, true}])}} end,
        leave = fun(#{drv := Drv}) -> ok = alcove_drv:stop(Drv) end,
        variants = [
            {fork_exit, fun(#{drv := Drv}, Ms) ->
                alcove_bench_measure:times(Ms, fun() ->
                    {ok, Pid} = alcove:fork(Drv, []),
                    ok = alcove:exit(Drv, [Pid], 0),
                    exited(Drv, [Pid])
                end)
            end},
            {fork_exit_spawn, spawned(fork, fun(_) -> [{exit, [0]}] end)},
            {fork_limit, fun(#{limit := Limit}, Ms) ->
                alcove_bench_limit:times(Limit, [fork, Ms])
            end},
            {true, spawned(fork, fun(_) -> [{execvp, ["/bin/true", ["/bin/true"]]}] end)},
            {true_limit, fun(#{limit := Limit}, Ms) ->
                alcove_bench_limit:times(Limit, [spawn, Ms, "/bin/true"])
            end},
            {true_port, fun(_, Ms) ->
                alcove_bench_measure:times(Ms, fun() ->
                    Port = open_port({spawn_executable, "/bin/true"}, [exit_status]),
                    receive
                        {Port, {exit_status, 0}} -> ok
                    end
                end)
            end},
            {container,
                spawned(
                    {clone, [
                        clone_newipc, clone_newnet, clone_newns, clone_newpid, clone_newuts
                    ]},
                    fun(#{root := Root}) ->
                        [
                            {chroot, [Root]},
                            {chdir, ["/"]},
                            {setgid, [?NOBODY]},
                            {setuid, [?NOBODY]},
                            {execvp, ["/busybox", ["true"]]}
                        ]
                    end
                )},
            {container_limit, fun(#{limit := Limit, root := Root}, Ms) ->
                alcove_bench_limit:times(Limit, [container, Ms, Root])
            end}
        ]
    }.

%% A program that isn't trusted, by alcove's own means and by bubblewrap, which alcove runs: the
%% same mounts and namespaces; and with the control groups that a sandbox has besides.
sandboxes(Name, Options) ->
    #group{
        name = Name,
        enter = fun(Context) ->
            case {os:find_executable("bwrap"), os:find_executable("setpriv")} of
                {false, _} ->
                    {skip, "needs bwrap"};
                {_, false} when Options =/= [] ->
                    {skip, "needs setpriv"};
                _ ->
                    case alcove_drv:start(Options) of
                        {ok, Drv} -> {ok, Context#{drv => Drv}};
                        {error, Reason} -> {skip, lists:flatten(io_lib:format("~0p", [Reason]))}
                    end
            end
        end,
        leave = fun(#{drv := Drv}) -> ok = alcove_drv:stop(Drv) end,
        variants = [
            {alcove, fun(#{drv := Drv}, Ms) ->
                alcove_bench_measure:times(Ms, fun() -> sandboxed(Drv, ungrouped()) end)
            end},
            {limited, fun(#{drv := Drv}, Ms) ->
                alcove_bench_measure:times(Ms, fun() -> sandboxed(Drv, #{}) end)
            end},
            {bwrap, fun(#{drv := Drv}, Ms) ->
                alcove_bench_measure:times(Ms, fun() -> bubblewrapped(Drv) end)
            end},
            {crowd, fun(#{drv := Drv}, Ms) ->
                Once = fun() -> sandboxed(Drv, ungrouped()) end,
                alcove_bench_measure:busy(Ms, ?CROWD, fun(_) -> Once end)
            end},
            {bwrap_crowd, fun(#{drv := Drv}, Ms) ->
                Once = fun() -> bubblewrapped(Drv) end,
                alcove_bench_measure:busy(Ms, ?CROWD, fun(_) -> Once end)
            end}
        ]
    }.

sandboxed(Drv, Limits) ->
    {ok, #{status := 0}} = alcove_sandbox:run(Drv, ["/usr/bin/true"], #{
        mounts => [
            {ro, "/usr"},
            {symlink, "usr/bin", "/bin"},
            {symlink, "usr/lib", "/lib"},
            {symlink, "usr/lib64", "/lib64"},
            proc,
            dev,
            {tmpfs, "/tmp"}
        ],
        limits => Limits
    }).

%% Without control groups, which bubblewrap doesn't have.
ungrouped() ->
    #{memory => infinity, pids => infinity, cpu => infinity}.

bubblewrapped(Drv) ->
    Argv = string:lexemes(
        "bwrap --unshare-all --die-with-parent --new-session --clearenv --cap-drop ALL "
        "--ro-bind /usr /usr --symlink usr/bin /bin --symlink usr/lib /lib "
        "--symlink usr/lib64 /lib64 --proc /proc --dev /dev --tmpfs /tmp /usr/bin/true",
        " "
    ),
    {ok, #{status := 0}} = alcove_proc:run(Drv, Argv).

spawned(How, Calls) ->
    fun(#{drv := Drv} = State, Ms) ->
        List = Calls(State),
        alcove_bench_measure:times(Ms, fun() ->
            {ok, Pid} = alcove:spawn(Drv, [], How, List),
            exited(Drv, [Pid])
        end)
    end.

exited(Drv, Path) ->
    receive
        {alcove_event, Drv, Path, {exit_status, 0}} -> ok;
        {alcove_event, Drv, Path, Event} -> error(Event)
    after ?DEADLINE -> error({no_exit, Path})
    end.

start() ->
    #group{
        name = start,
        variants = [
            {alcove, fun(_, Ms) ->
                alcove_bench_measure:timed(Ms, fun() ->
                    Start = erlang:monotonic_time(),
                    Drv = start([]),
                    _ = alcove:getpid(Drv),
                    Took = erlang:monotonic_time() - Start,
                    ok = alcove_drv:stop(Drv),
                    Took
                end)
            end},
            {limit, fun(#{limit := Limit}, Ms) -> alcove_bench_limit:times(Limit, [start, Ms]) end},
            {port, fun(#{limit := Limit}, Ms) ->
                alcove_bench_measure:timed(Ms, fun() ->
                    Start = erlang:monotonic_time(),
                    Port = open_port(
                        {spawn_executable, alcove_bench_limit:path(Limit)},
                        [{args, ["hello"]}, stream]
                    ),
                    receive
                        {Port, {data, "h"}} -> ok
                    end,
                    Took = erlang:monotonic_time() - Start,
                    true = port_close(Port),
                    Took
                end)
            end}
        ]
    }.

memory() ->
    #group{
        name = memory,
        rounds = 3,
        variants = [
            {alcove, fun(_, _) ->
                Drv = start([{maxchild, ?IDLE}]),
                {ok, Pids} = fork(Drv, ?IDLE),
                %% Each has served a call.
                [alcove:getpid(Drv, [Pid]) || Pid <- Pids],
                Sum = lists:sum([alcove_bench_measure:pss(Pid) || Pid <- Pids]),
                ok = alcove_drv:stop(Drv),
                {kib, Sum / ?IDLE}
            end},
            {limit, fun(#{limit := Limit}, _) -> alcove_bench_limit:idle(Limit, ?IDLE) end}
        ]
    }.

%%--------------------------------------------------------------------
%% Streams
%%--------------------------------------------------------------------

streams() ->
    #group{
        name = streams,
        enter = fun(Context) ->
            Drv = start([{exit_status, true}]),
            {ok, Context#{drv => Drv, chain => chain(Drv, ?DEEP - 1)}}
        end,
        leave = fun(#{drv := Drv}) -> ok = alcove_drv:stop(Drv) end,
        variants = [
            {head1, out(1, fun head/1)},
            {head16, out(?DEEP, fun head/1)},
            {head_limit, out_limit(fun head/1)},
            {head_port, fun(State, _) -> port_out(head(out_bytes(State)), out_bytes(State)) end},
            {dd1, out(1, fun dd/1)},
            {dd16, out(?DEEP, fun dd/1)},
            {dd_limit, out_limit(fun dd/1)},
            {dd_port, fun(State, _) -> port_out(dd(out_bytes(State)), out_bytes(State)) end},
            {in, fun in/2},
            {in_limit, fun(#{limit := Limit} = State, _) ->
                alcove_bench_limit:bytes(Limit, in_bytes(State), [write, ?DISCARD])
            end},
            {in_port, fun(State, _) -> port_in(in_bytes(State)) end},
            {echo, fun echo/2},
            {echo_limit, fun(#{limit := Limit} = State, _) ->
                alcove_bench_limit:bytes(Limit, in_bytes(State), [echo, cat])
            end},
            {echo_port, fun(State, _) -> port_echo(in_bytes(State)) end}
        ]
    }.

head(Bytes) ->
    ["head", "-c", integer_to_list(Bytes), "/dev/zero"].

dd(Bytes) ->
    Count = Bytes div (1024 * 1024),
    ["dd", "if=/dev/zero", "bs=1M", "count=" ++ integer_to_list(Count), "status=none"].

out_bytes(#{scale := Scale}) -> megabytes(?OUT, Scale).

in_bytes(#{scale := Scale}) -> megabytes(?IN, Scale).

%% Whole megabytes.
megabytes(Bytes, Scale) ->
    Megabyte = 1024 * 1024,
    Megabyte * max(1, round(Bytes * Scale / Megabyte)).

%% From before the program is started until its last byte is with the owner.
out(Depth, Program) ->
    fun(#{drv := Drv, chain := Chain} = State, _) ->
        Bytes = out_bytes(State),
        Parent = lists:sublist(Chain, Depth - 1),
        Start = erlang:monotonic_time(),
        Path = run(Drv, Parent, Program(Bytes)),
        ok = owner_reads(Drv, Path, Bytes),
        Took = erlang:monotonic_time() - Start,
        exited(Drv, Path),
        {bytes, Bytes, alcove_bench_measure:nanoseconds(Took)}
    end.

run(Drv, Parent, [Name | _] = Argv) ->
    {ok, Pid} = alcove:spawn(Drv, Parent, fork, [{execvp, [Name, Argv]}]),
    Parent ++ [Pid].

owner_reads(_Drv, _Path, 0) ->
    ok;
owner_reads(Drv, Path, Left) ->
    receive
        {alcove_stdout, Drv, Path, Bytes} -> owner_reads(Drv, Path, Left - byte_size(Bytes))
    after ?DEADLINE -> error({missing, Left})
    end.

out_limit(Program) ->
    fun(#{limit := Limit} = State, _) ->
        Bytes = out_bytes(State),
        alcove_bench_limit:bytes(Limit, Bytes, [read | Program(Bytes)])
    end.

port_out(Argv, Bytes) ->
    Start = erlang:monotonic_time(),
    Port = port_runs(Argv),
    ok = port_reads(Port, Bytes),
    Took = erlang:monotonic_time() - Start,
    receive
        {Port, {exit_status, 0}} -> ok
    end,
    {bytes, Bytes, alcove_bench_measure:nanoseconds(Took)}.

port_runs([Name | Args]) ->
    open_port({spawn_executable, os:find_executable(Name)}, [
        {args, Args}, stream, binary, exit_status
    ]).

port_reads(_Port, 0) ->
    ok;
port_reads(Port, Left) ->
    receive
        {Port, {data, Bytes}} -> port_reads(Port, Left - byte_size(Bytes))
    after ?DEADLINE -> error({missing, Left})
    end.

%% From before the program is started until it has read everything and has ended.
in(#{drv := Drv} = State, _) ->
    Bytes = in_bytes(State),
    Start = erlang:monotonic_time(),
    Path = run(Drv, [], ["sh", "-c", ?DISCARD]),
    pieces(Bytes, fun(Piece) -> true = alcove:stdin(Drv, Path, Piece) end),
    ok = alcove:eof(Drv, Path),
    exited(Drv, Path),
    {bytes, Bytes, alcove_bench_measure:nanoseconds(erlang:monotonic_time() - Start)}.

%% A port's program can't be told the end of its input: until all is on its way.
port_in(Bytes) ->
    Start = erlang:monotonic_time(),
    Port = port_runs(["sh", "-c", ?DISCARD]),
    pieces(Bytes, fun(Piece) -> true = port_command(Port, Piece) end),
    Took = erlang:monotonic_time() - Start,
    true = port_close(Port),
    {bytes, Bytes, alcove_bench_measure:nanoseconds(Took)}.

%% One process writes, and the owner reads.
echo(#{drv := Drv} = State, _) ->
    Bytes = in_bytes(State),
    Start = erlang:monotonic_time(),
    Path = run(Drv, [], ["cat"]),
    Writer = writer(Bytes, fun(Piece) -> true = alcove:stdin(Drv, Path, Piece) end),
    ok = owner_reads(Drv, Path, Bytes),
    ok = alcove:eof(Drv, Path),
    exited(Drv, Path),
    Took = erlang:monotonic_time() - Start,
    written(Writer),
    {bytes, Bytes, alcove_bench_measure:nanoseconds(Took)}.

port_echo(Bytes) ->
    Start = erlang:monotonic_time(),
    Port = port_runs(["cat"]),
    Writer = writer(Bytes, fun(Piece) -> true = port_command(Port, Piece) end),
    ok = port_reads(Port, Bytes),
    Took = erlang:monotonic_time() - Start,
    written(Writer),
    true = port_close(Port),
    {bytes, Bytes, alcove_bench_measure:nanoseconds(Took)}.

writer(Bytes, Write) ->
    spawn_monitor(fun() -> pieces(Bytes, Write) end).

written({Pid, Ref}) ->
    receive
        {'DOWN', Ref, process, Pid, normal} -> ok;
        {'DOWN', Ref, process, Pid, Reason} -> error(Reason)
    end.

pieces(Bytes, Write) ->
    pieces(Bytes, binary:copy(<<"x">>, ?PIECE), Write).

pieces(0, _Piece, _Write) ->
    ok;
pieces(Left, Piece, Write) ->
    Write(Piece),
    pieces(Left - byte_size(Piece), Piece, Write).

%%--------------------------------------------------------------------
%% alcove
%%--------------------------------------------------------------------

start(Options) ->
    {ok, Drv} = alcove_drv:start(Options),
    Drv.

%% The path of a process at the end of so many forks.
chain(Drv, Depth) ->
    lists:foldl(
        fun(_, Path) ->
            {ok, Pid} = alcove:fork(Drv, Path),
            Path ++ [Pid]
        end,
        [],
        lists:seq(1, Depth)
    ).

%% So many children of root.
fork(Drv, N) ->
    fork(Drv, N, []).

fork(_Drv, 0, Pids) ->
    {ok, Pids};
fork(Drv, N, Pids) ->
    case alcove:fork(Drv, []) of
        {ok, Pid} -> fork(Drv, N - 1, [Pid | Pids]);
        {error, Reason} -> {error, length(Pids), Reason}
    end.
