%% @doc Random operations by many callers, while processes are killed at random moments.
%%
%% Every call returns or raises within its time, a Drv works on or stops with a reason, and
%% afterwards the virtual machine has what it had before. By default that are 10,000
%% operations; with `ALCOVE_SOAK_MINUTES' in the environment it goes on for so long, and
%% `ALCOVE_SOAK_SEED' makes the same choices again. Then there are ten times as many callers of
%% alcove_proc:run/3, too.
-module(alcove_soak_SUITE).

-include_lib("stdlib/include/assert.hrl").

-export([suite/0, all/0, init_per_suite/1, end_per_suite/1, init_per_testcase/2, end_per_testcase/2]).
-export([random_operations/1, killed_callers/1, killed_with_their_vm/1]).
%% called in other virtual machines
-export([soak/3, callers/2, call_on/1]).

-define(CALLERS, 8).
-define(OPERATIONS, 10000).
%% No operation waits for anything but alcove, so this is a hang.
-define(HANG, (alcove_test:ms(20000))).
%% For how many milliseconds nothing may hold a scheduler.
-define(HELD, 5).

suite() ->
    [{timetrap, {minutes, minutes() + alcove_test:ms(3)}}].

all() ->
    [random_operations, killed_callers, killed_with_their_vm].

init_per_suite(Config) ->
    alcove_test:init_suite(Config).

end_per_suite(_Config) ->
    ok.

init_per_testcase(_Case, Config) ->
    alcove_test:init_case(Config).

end_per_testcase(_Case, Config) ->
    alcove_test:end_case(Config).

minutes() ->
    list_to_integer(os:getenv("ALCOVE_SOAK_MINUTES", "0")).

random_operations(_Config) ->
    Seed = list_to_integer(os:getenv("ALCOVE_SOAK_SEED", integer_to_list(erlang:phash2(make_ref())))),
    Limit = case minutes() of
                0 -> {operations, ?OPERATIONS};
                Minutes -> {until, erlang:monotonic_time(millisecond) + Minutes * 60000}
            end,
    Peer = alcove_test:peer(alcove_test:paths(), #{}),
    Watch = case alcove_test:probe(alcove_watch) of
                {ok, Program} -> Program;
                {false, Text_} -> ct:comment(Text_), none
            end,
    Counts = rounds(Peer, Watch, Limit, Seed, #{}),
    alcove_test:stop_peer(Peer),
    Text = [io_lib:format("~nRandom operations, from seed ~b:~n", [Seed]),
            [io_lib:format("~10b ~s~n", [N, What]) || {What, N} <- lists:sort(maps:to_list(Counts))]],
    io:put_chars(user, Text),
    ct:log("~s", [Text]).

%% Callers of alcove_proc:run/3 are killed at random moments. Nothing is left of their programs.
killed_callers(_Config) ->
    Peer = alcove_test:peer(alcove_test:paths(), #{}),
    {Callers, AtOnce} = many(),
    Result = alcove_test:in_peer(Peer, fun() -> ?MODULE:callers(Callers, AtOnce) end, infinity),
    alcove_test:stop_peer(Peer),
    ?assertMatch(#{programs := [], stopped := ok, more := []}, Result),
    #{keepers := Keepers, killed := Killed, finished := Finished} = Result,
    ct:log("~b callers killed, ~b runs finished, ~b keepers", [Killed, Finished, Keepers]),
    ?assertEqual(Callers, Killed + Finished).

%% The virtual machine is killed while callers are.
killed_with_their_vm(_Config) ->
    Peer = alcove_test:peer(alcove_test:paths(), #{}),
    {_, AtOnce} = many(),
    OsPid = list_to_integer(alcove_test:in_peer(Peer, fun os:getpid/0)),
    ok = alcove_test:in_peer(Peer, fun() -> ?MODULE:call_on(AtOnce) end),
    true = alcove_test:until(fun() -> length(alcove_test:descendants(OsPid)) > AtOnce end),
    Left = alcove_test:descendants(OsPid),
    unlink(Peer),
    os:cmd(lists:concat(["kill -KILL ", OsPid])),
    true = alcove_test:until(fun() -> not lists:any(fun alcove_test:alive/1, Left) end).

%% How many callers, and how many of them at a time.
many() ->
    case minutes() of
        0 -> {600, 100};
        _ -> {6000, 1000}
    end.

%% A round is so many operations and a look at the virtual machine.
rounds(Peer, Watch, Limit, Seed, Counts) ->
    Soak = fun() -> ?MODULE:soak(Watch, Seed, ?OPERATIONS) end,
    {Done, More, Held} = alcove_test:in_peer(Peer, Soak, infinity),
    Sum = maps:fold(fun(What, N, Acc) -> maps:update_with(What, fun(M) -> M + N end, N, Acc) end,
                    Counts, Done),
    ?assertEqual([], More, {seed, Seed}),
    ?assertEqual([], Held, {seed, Seed}),
    case Limit of
        {until, Time} ->
            case erlang:monotonic_time(millisecond) < Time of
                true -> rounds(Peer, Watch, Limit, Seed + 1, Sum);
                false -> Sum
            end;
        {operations, _} ->
            Sum
    end.

%% ---------------------------------------------------------------------------
%% In the other virtual machine
%% ---------------------------------------------------------------------------

%% What was done, what there is more of than before, and what held a scheduler.
soak(Watch, Seed, Operations) ->
    %% Of each Drv that is killed there would be a report.
    ok = logger:set_primary_config(level, none),
    %% A first round makes what is made once.
    _ = work(Seed + 1000000, Operations div 4),
    Before = state(),
    Watching = [alcove_held:start(Program, ?HELD) || Program <- [Watch], Program =/= none],
    Counts = work(Seed, Operations),
    Held = lists:append([alcove_held:stop(Pid) || Pid <- Watching]),
    _ = alcove_test:until(fun() -> more(Before, state()) =:= [] end),
    {Counts, more(Before, state()), Held}.

state() ->
    [erlang:garbage_collect(Pid) || Pid <- processes()],
    {ok, Fds} = file:list_dir("/proc/self/fd"),
    {ok, Status} = file:read_file("/proc/self/status"),
    {match, [Kb]} = re:run(Status, "VmRSS:\\s+(\\d+)", [{capture, all_but_first, binary}]),
    #{fds => length(Fds), threads => alcove_test:threads(), atoms => erlang:system_info(atom_count),
      processes => length(processes()), children => length(alcove_test:descendants()),
      %% The allocators' own.
      mebibytes => binary_to_integer(Kb) div 1024 - 32}.

more(Before, After) ->
    [{Key, N, maps:get(Key, After)}
     || {Key, N} <- maps:to_list(Before), maps:get(Key, After) > N + allowed(Key)].

allowed(mebibytes) -> 32;
%% An operation may be the first of its kind.
allowed(atoms) -> 50;
allowed(_) -> 0.

work(Seed, Operations) ->
    Owner = self(),
    Table = ets:new(soak, [public, set]),
    Counts = ets:new(counts, [public, set]),
    Keeper = spawn_link(fun() -> keeper(Table, Counts, Seed) end),
    true = alcove_test:until(fun() -> ets:member(Table, drv) end),
    Callers = [spawn_monitor(fun() ->
                                     _ = rand:seed(exsss, {Seed, N, 0}),
                                     caller(Table, Counts, Operations div ?CALLERS)
                             end) || N <- lists:seq(1, ?CALLERS)],
    [receive
         {'DOWN', Ref, process, Pid, normal} -> ok;
         {'DOWN', Ref, process, Pid, Reason} -> error({caller, Reason})
     end || {Pid, Ref} <- Callers],
    Ref = monitor(process, Keeper),
    Keeper ! {stop, Owner},
    receive {'DOWN', Ref, process, Keeper, _} -> ok end,
    Result = maps:from_list(ets:tab2list(Counts)),
    true = ets:delete(Table),
    true = ets:delete(Counts),
    Result.

count(Counts, What) ->
    ets:update_counter(Counts, lists:flatten(io_lib:format("~p", [What])), 1,
                       {lists:flatten(io_lib:format("~p", [What])), 0}).

%% Owns the Drv, reads what comes and starts another Drv when it ends.
keeper(Table, Counts, Seed) ->
    _ = rand:seed(exsss, {Seed, 0, 0}),
    {ok, Drv} = alcove_drv:start([{exit_status, true}, {termsig, true}]),
    Root = alcove:getpid(Drv),
    true = ets:insert(Table, {drv, Drv, Root, alcove_test:parent(Root)}),
    keep(Table, Counts, Seed, Drv, monitor(process, Drv)).

keep(Table, Counts, Seed, Drv, Ref) ->
    receive
        {'DOWN', Ref, process, Drv, Reason} ->
            count(Counts, {drv_ended, reason(Reason)}),
            true = ets:match_delete(Table, {{path, Drv, '_'}}),
            keeper(Table, Counts, Seed + 1);
        {stop, _} ->
            ok = alcove_drv:stop(Drv);
        _ ->
            keep(Table, Counts, Seed, Drv, Ref)
    end.

reason({router, _}) -> router;
reason({shutdown, Reason}) -> Reason;
reason(Reason) -> Reason.

caller(_Table, _Counts, 0) ->
    ok;
caller(Table, Counts, N) ->
    {drv, Drv, Root, Guardian} = current(Table),
    Path = some_path(Table, Drv),
    Operation = operation(rand:uniform(1000)),
    %% A watchdog tells what hung.
    Self = self(),
    {Dog, Ref} = spawn_monitor(fun() ->
                                       Owner = monitor(process, Self),
                                       receive
                                           done -> ok;
                                           {'DOWN', Owner, process, Self, _} -> ok
                                       after ?HANG -> exit(Self, {hangs, Operation, Path, about(Drv, Path)})
                                       end
                               end),
    Outcome = try
                  do(Operation, Table, Drv, Path, {Root, Guardian})
              catch
                  error:badpid -> badpid;
                  exit:timeout -> timeout
              end,
    Dog ! done,
    demonitor(Ref, [flush]),
    count(Counts, {Operation, kind(Outcome)}),
    flush(),
    caller(Table, Counts, N - 1).

%% What is known about a process whose caller waits.
about(Drv, Path) ->
    [{drv, is_process_alive(Drv)}, {process, [alcove_test:state(Pid) || Pid <- Path]},
     {children, catch alcove_nif:children(Drv, Path)},
     {answers, catch alcove:call(Drv, Path, getpid, [], 1000)}].

%% The Drv. One that was told to end, or whose root was killed, does so soon.
current(Table) ->
    Alive = fun() ->
                    [{drv, Drv, _, Guardian}] = ets:lookup(Table, drv),
                    is_process_alive(Drv) andalso alcove_test:alive(Guardian)
            end,
    alcove_test:until(Alive, alcove_test:ms(3000)) orelse error({drv_lives, ets:lookup(Table, drv)}),
    [Current] = ets:lookup(Table, drv),
    Current.

flush() ->
    receive _ -> flush() after 0 -> ok end.

kind({error, {_, Call, Reason}}) -> {error, Call, Reason};
kind({error, Reason}) -> Reason;
kind(Atom) when is_atom(Atom) -> Atom;
kind(_) -> ok.

some_path(Table, Drv) ->
    case ets:match(Table, {{path, Drv, '$1'}}) of
        [] -> [];
        Paths -> hd(lists:nth(rand:uniform(length(Paths)), Paths))
    end.

operation(N) when N =< 150 -> fork;
operation(N) when N =< 250 -> run;
operation(N) when N =< 300 -> spawn_fails;
operation(N) when N =< 350 -> exec_fails;
operation(N) when N =< 500 -> getpid;
operation(N) when N =< 600 -> batch;
operation(N) when N =< 650 -> stdin;
operation(N) when N =< 690 -> signals;
operation(N) when N =< 730 -> wait;
operation(N) when N =< 780 -> large;
operation(N) when N =< 820 -> flood;
operation(N) when N =< 900 -> exit;
operation(N) when N =< 960 -> kill;
operation(N) when N =< 998 -> eof;
operation(_) ->
    element(rand:uniform(3), {kill_root, kill_guardian, stop}).

do(fork, Table, Drv, Path, _) when length(Path) < 6 ->
    case length(ets:match(Table, {{path, Drv, '$1'}})) > 40 of
        true ->
            do(exit, Table, Drv, Path, none);
        false ->
            case alcove:fork(Drv, Path) of
                {ok, Pid} ->
                    true = ets:insert(Table, {{path, Drv, Path ++ [Pid]}}),
                    ok;
                Error ->
                    Error
            end
    end;
do(fork, Table, Drv, Path, Top) ->
    do(exit, Table, Drv, Path, Top);
do(run, _, Drv, Path, _) ->
    alcove:spawn(Drv, Path, fork, [{chdir, ["/"]}, {execvp, ["/bin/true", ["true"]]}]);
do(spawn_fails, _, Drv, Path, _) ->
    {error, _} = alcove:spawn(Drv, Path, fork, [{chdir, ["/"]}, {chdir, ["/nonexistent"]}]);
do(exec_fails, _, Drv, Path, _) ->
    %% `ok' when it was killed at that moment.
    alcove:execvp(Drv, Path, "/nonexistent", ["x"]);
do(getpid, _, Drv, Path, {Root, _}) ->
    Pid = lists:last([Root | Path]),
    case alcove:getpid(Drv, Path) of
        Pid -> ok;
        Other -> error({answer_of_another_process, Path, Other})
    end;
do(batch, _, Drv, Path, _) ->
    {ok, [ok, <<_/binary>>]} = alcove:batch(Drv, Path, [{chdir, ["/"]}, {version, []}]),
    ok;
do(stdin, _, Drv, Path, _) when Path =/= [] ->
    alcove:stdin(Drv, Path, <<0:8000>>);
do(signals, _, Drv, Path, _) ->
    ok = alcove:sigaction(Drv, Path, sigusr1, trap),
    Pid = alcove:getpid(Drv, Path),
    _ = [alcove:kill(Drv, Path, Pid, sigusr1) || _ <- lists:seq(1, 20)],
    ok;
do(wait, _, Drv, Path, _) ->
    %% A call that is in the middle of something when others come.
    case alcove:call(Drv, Path, poll, [[], 2], 1) of
        {ok, _} -> ok;
        Other -> Other
    end;
do(large, _, Drv, Path, _) ->
    {error, _} = alcove:chdir(Drv, Path, binary:copy(<<"x">>, 200000));
do(flood, _, Drv, Path, _) ->
    alcove:spawn(Drv, Path, fork, [{execvp, ["/usr/bin/head", ["head", "-c", "300000", "/dev/zero"]]}]);
do(exit, Table, Drv, Path, _) when Path =/= [] ->
    true = ets:delete(Table, {path, Drv, Path}),
    alcove:exit(Drv, Path, 0);
do(kill, Table, Drv, Path, _) when Path =/= [] ->
    true = ets:delete(Table, {path, Drv, Path}),
    alcove:kill(Drv, [], lists:last(Path), sigkill);
do(eof, _, Drv, Path, _) when Path =/= [] ->
    alcove:eof(Drv, Path);
do(kill_root, _, _Drv, _, {Root, _}) ->
    _ = alcove_test:signal(Root, "KILL"),
    ok;
do(kill_guardian, _, _Drv, _, {_, Guardian}) ->
    _ = alcove_test:signal(Guardian, "KILL"),
    ok;
do(stop, _, Drv, _, _) ->
    alcove_drv:stop(Drv);
do(_, _, _, [], _) ->
    skipped.

%% ---------------------------------------------------------------------------
%% Callers of alcove_proc:run/3, in the other virtual machine
%% ---------------------------------------------------------------------------

callers(Callers, AtOnce) ->
    ok = logger:set_primary_config(level, none),
    %% A first round makes what is made once. On a slow machine none of its programs comes to its end.
    {ok, Drv} = alcove_drv:start(),
    {ok, #{status := 0}} = alcove_proc:run(Drv, ["cat"], #{stdin => <<"x">>}),
    ok = alcove_drv:stop(Drv),
    _ = called(AtOnce, AtOnce),
    Before = state(),
    Result = called(Callers, AtOnce),
    _ = alcove_test:until(fun() -> more(Before, state()) =:= [] end),
    Result#{more => more(Before, state())}.

called(Callers, AtOnce) ->
    {ok, Drv} = alcove_drv:start(),
    Self = self(),
    Ahead = atomics:new(1, []),
    Workers = [spawn_monitor(fun() -> Self ! {counts, self(), worker(Drv, Ahead, Callers, {0, 0})} end)
               || _ <- lists:seq(1, AtOnce)],
    Counts = [receive
                  {counts, Pid, Count} -> Count;
                  {'DOWN', Ref, process, Pid, Reason} -> error(Reason)
              end || {Pid, Ref} <- Workers],
    [demonitor(Ref, [flush]) || {_, Ref} <- Workers],
    %% What was killed last may take a moment.
    _ = alcove_test:until(fun() -> programs(Drv) =:= [] end),
    Keepers = [Pid || {Pid, keeper, _} <- alcove_nif:children(Drv, [])],
    #{programs => programs(Drv), keepers => length(Keepers), stopped => alcove_drv:stop(Drv),
      killed => lists:sum([Killed || {Killed, _} <- Counts]),
      finished => lists:sum([Finished || {_, Finished} <- Counts])}.

%% What runs below the keepers.
programs(Drv) ->
    [Pid || {Keeper, keeper, _} <- alcove_nif:children(Drv, []), Pid <- alcove_test:descendants(Keeper)].

worker(Drv, Ahead, Callers, {Killed, Finished} = Count) ->
    case atomics:add_get(Ahead, 1, 1) =< Callers of
        false ->
            Count;
        true ->
            {Pid, Ref} = spawn_monitor(fun() -> exit({ran, run(Drv)}) end),
            Moment = rand:uniform(60),
            receive
                {'DOWN', Ref, process, Pid, {ran, {ok, #{status := 0}}}} ->
                    worker(Drv, Ahead, Callers, {Killed, Finished + 1});
                {'DOWN', Ref, process, Pid, Reason} ->
                    error(Reason)
            after Moment ->
                exit(Pid, kill),
                receive
                    {'DOWN', Ref, process, Pid, killed} ->
                        worker(Drv, Ahead, Callers, {Killed + 1, Finished});
                    {'DOWN', Ref, process, Pid, {ran, {ok, #{status := 0}}}} ->
                        worker(Drv, Ahead, Callers, {Killed, Finished + 1})
                end
            end
    end.

run(Drv) ->
    case rand:uniform(5) of
        1 -> alcove_proc:run(Drv, ["true"]);
        2 -> alcove_proc:run(Drv, ["cat"], #{stdin => binary:copy(<<"x">>, rand:uniform(100000))});
        3 -> alcove_proc:run(Drv, ["sleep", "1000"]);
        4 -> alcove_proc:run(Drv, ["sh", "-c", "trap '' TERM; (setsid sleep 1000 &); sleep 1000"]);
        5 -> alcove_proc:run(Drv, ["yes"], #{stdout => discard})
    end.

%% Goes on without end.
call_on(AtOnce) ->
    ok = logger:set_primary_config(level, none),
    Self = self(),
    _ = spawn(fun() ->
        {ok, Drv} = alcove_drv:start(),
        Self ! started,
        Ahead = atomics:new(1, []),
        Workers = [spawn_monitor(fun() -> worker(Drv, Ahead, 1 bsl 40, {0, 0}) end)
                   || _ <- lists:seq(1, AtOnce)],
        [receive {'DOWN', Ref, process, _, _} -> ok end || {_, Ref} <- Workers]
    end),
    receive started -> ok end.
