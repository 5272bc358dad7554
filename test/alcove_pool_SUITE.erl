%% @doc Programs in pools, on one node and on several.
-module(alcove_pool_SUITE).

-include_lib("stdlib/include/assert.hrl").

-export([suite/0, all/0, groups/0, init_per_suite/1, end_per_suite/1, init_per_testcase/2, end_per_testcase/2]).
%% one node
-export([no_more_than_max/1, busy/1, needs/1, first_come_first_served/1, callers_that_end/1, leases/1,
         draining/1, results/1, wrong_arguments/1, a_member_that_ends/1,
         drv_of_a_member/1, secrets/1]).
%% The handler of logger's.
-export([log/2]).
%% several
-export([least_loaded/1, lost_nodes/1, retries/1, streams/1, members_that_come_and_go/1, live_view/1, lost_before_pg_knows/1, a_node_that_stands_still/1,
         ten_thousand/1]).
-export([drv_that_ends/1, no_queue/1, drained_again/1, drained_when_told/1, application_that_restarts/1]).
%% who waits for less than 200 ms
-export([no_wait/1, no_wait_where_full/1, short_wait_and_late_view/1, refused_callers/1, no_wait_on_two_nodes/1,
         no_wait_and_a_node_that_stands_still/1, caller_that_stands_still/1]).

suite() ->
    alcove_test:suite() ++ [{timetrap, alcove_test:ms(900000)}].

all() ->
    [{group, one_node}, {group, several_nodes}].

groups() ->
    [{one_node, [], [no_more_than_max, busy, needs, first_come_first_served, callers_that_end, leases, draining, drained_when_told,
                     results, wrong_arguments, secrets, a_member_that_ends, drv_of_a_member, drv_that_ends, no_queue,
                     drained_again, application_that_restarts, no_wait, no_wait_where_full, short_wait_and_late_view,
                     refused_callers]},
     {several_nodes, [], [least_loaded, lost_nodes, retries, streams, members_that_come_and_go, live_view, lost_before_pg_knows,
                         a_node_that_stands_still, no_wait_on_two_nodes, no_wait_and_a_node_that_stands_still,
                         caller_that_stands_still, ten_thousand]}].

init_per_suite(Config) ->
    {ok, _} = application:ensure_all_started(alcove),
    alcove_test:init_suite(Config).

end_per_suite(_Config) ->
    application:stop(alcove).

init_per_testcase(_Case, Config) ->
    alcove_test:init_case([], Config).

end_per_testcase(_Case, Config) ->
    alcove_test:end_case(Config).

%%--------------------------------------------------------------------
%% One node
%%--------------------------------------------------------------------

member(Config, Options) ->
    {ok, Member} = alcove_pool:start_link(Options#{name => ?MODULE, drv => alcove_test:drv(Config)}),
    Member.

leave(Member) ->
    unlink(Member),
    ok = gen_server:stop(Member).

info() ->
    [Info] = alcove_pool:info(?MODULE),
    Info.

state(Key) ->
    fun(Value) -> alcove_test:until(fun() -> maps:get(Key, info()) =:= Value end) end.

%% Programs say when they run by files in a directory.
no_more_than_max(Config) ->
    Member = member(Config, #{max => 3}),
    Dir = alcove_test:tmp(Config),
    Script = "mkdir $0/$$; ls $0 | wc -l; sleep 0.05; rmdir $0/$$",
    Runs = pmap(fun(_) -> alcove_pool:run(?MODULE, ["sh", "-c", Script, Dir], #{wait => infinity}) end, lists:seq(1, 20)),
    Counts = [binary_to_integer(string:trim(Out)) || {ok, #{status := 0, stdout := Out}} <- Runs],
    ?assertEqual(20, length(Counts)),
    ?assertEqual(3, lists:max(Counts)),
    %% The pool hears of an end at about the time when the caller does.
    true = (state(running))(0),
    ?assertMatch(#{running := 0, waiting := 0, started := 20, finished := 20, refused := 0}, info()),
    leave(Member).

busy(Config) ->
    Member = member(Config, #{max => 1, queue => 1}),
    {Pid, _} = async(fun() -> alcove_pool:run(?MODULE, ["sleep", "1000"]) end),
    true = (state(running))(1),
    %% It waits, and for as long as it was told.
    {Time, {error, busy}} = timer:tc(fun() -> alcove_pool:run(?MODULE, ["true"], #{wait => 300}) end),
    ?assert(Time >= 300000),
    ?assertEqual({error, busy}, alcove_pool:run(?MODULE, ["true"], #{wait => 0})),
    %% The queue is full.
    {Waiter, _} = async(fun() -> alcove_pool:run(?MODULE, ["true"], #{wait => infinity}) end),
    true = (state(waiting))(1),
    ?assertEqual({error, busy}, alcove_pool:run(?MODULE, ["true"], #{wait => infinity})),
    ?assertMatch(#{refused := 1}, info()),
    exit(Waiter, kill),
    true = (state(waiting))(0),
    exit(Pid, kill),
    true = (state(running))(0),
    ?assertMatch({ok, #{status := 0}}, alcove_pool:run(?MODULE, ["true"])),
    leave(Member).

needs(Config) ->
    Member = member(Config, #{max => 10, memory => 1000, cpu => 1.5}),
    {Pid, _} = async(fun() -> alcove_pool:run(?MODULE, ["sleep", "1000"], #{need => #{memory => 600, cpu => 1}}) end),
    true = (state(running))(1),
    ?assertMatch(#{used := #{memory := 600, cpu := 1}}, info()),
    No = fun(Need) -> alcove_pool:run(?MODULE, ["true"], #{need => Need, wait => 50}) end,
    ?assertEqual({error, busy}, No(#{memory => 401})),
    ?assertEqual({error, busy}, No(#{cpu => 0.6})),
    ?assertMatch({ok, _}, No(#{memory => 400, cpu => 0.5})),
    ?assertEqual({error, too_large}, No(#{memory => 1001})),
    ?assertEqual({error, too_large}, No(#{cpu => 2})),
    exit(Pid, kill),
    true = (state(running))(0),
    ?assertMatch(#{used := #{memory := 0}}, info()),
    leave(Member).

%% Also past one that takes more room than there is.
first_come_first_served(Config) ->
    Member = member(Config, #{max => 10, memory => 10}),
    Self = self(),
    {Pid, _} = async(fun() -> alcove_pool:run(?MODULE, ["sleep", "1000"], #{need => #{memory => 5}}) end),
    true = (state(running))(1),
    [begin
         async(fun() -> {ok, _} = alcove_pool:run(?MODULE, ["true"], #{need => #{memory => Memory}}), Self ! {ran, N} end),
         true = (state(waiting))(N)
     end || {N, Memory} <- [{1, 10}, {2, 1}, {3, 10}]],
    exit(Pid, kill),
    ?assertEqual([1, 2, 3], [receive {ran, N} -> N after alcove_test:ms(10000) -> none end || _ <- [1, 2, 3]]),
    leave(Member).

%% Nothing is left of what a caller wanted: room, place in the queue, program.
callers_that_end(Config) ->
    Member = member(Config, #{max => 4}),
    Drv = alcove_test:drv(Config),
    Callers = [element(1, async(fun() -> alcove_pool:run(?MODULE, ["sleep", "1000"], #{wait => infinity}) end)) || _ <- lists:seq(1, 12)],
    true = (state(running))(4),
    true = (state(waiting))(8),
    [exit(Caller, kill) || Caller <- Callers],
    true = (state(running))(0),
    true = (state(waiting))(0),
    true = alcove_test:until(fun() -> length(maps:get(children, alcove:tree(Drv))) =< 4 end),
    ?assertMatch({ok, _}, alcove_pool:run(?MODULE, ["true"])),
    %% The member has nothing of them.
    leave(Member).

leases(Config) ->
    Member = member(Config, #{max => 1}),
    Drv = alcove_test:drv(Config),
    ?assertEqual({Drv, 1}, alcove_pool:with(?MODULE, #{}, fun(D) -> {D, maps:get(running, info())} end)),
    true = (state(running))(0),
    ?assertError(oops, alcove_pool:with(?MODULE, #{}, fun(_) -> error(oops) end)),
    true = (state(running))(0),
    {ok, Cat} = alcove_pool:start_link(?MODULE, ["cat"], #{}),
    ?assertEqual({error, busy}, alcove_pool:start(?MODULE, ["cat"], #{wait => 50})),
    ok = alcove_proc:write(Cat, "hello"),
    receive {alcove_proc, Cat, {stdout, <<"hello">>}} -> ok after alcove_test:ms(5000) -> error(timeout) end,
    ok = alcove_proc:eof(Cat),
    {ok, #{status := 0}} = alcove_proc:await(Cat),
    true = (state(running))(0),
    ?assertEqual({error, {execvp, enoent}}, alcove_pool:start(?MODULE, ["no-such-program"], #{})),
    ?assertError({badarg, _}, alcove_pool:start(?MODULE, ["cat"], #{nonsense => 1})),
    true = (state(running))(0),
    leave(Member).

draining(Config) ->
    Member = member(Config, #{max => 1}),
    {Pid, _} = async(fun() -> alcove_pool:run(?MODULE, ["sleep", "1000"]) end),
    true = (state(running))(1),
    {_, Waiter} = async(fun() -> alcove_pool:run(?MODULE, ["true"], #{wait => 1000}) end),
    true = (state(waiting))(1),
    ?assertEqual({error, {running, 1}}, alcove_pool:drain(?MODULE, 100)),
    %% It takes no more.
    ?assertEqual({error, {no_member, ?MODULE}}, alcove_pool:run(?MODULE, ["true"])),
    ?assertEqual({error, busy}, result(Waiter)),
    exit(Pid, kill),
    true = alcove_test:until(fun() -> gen_server:call(Member, running) =:= 0 end),
    leave(Member).

%% A drain has ended when the callers have what they waited for, also if that takes a moment to
%% send: whoever stops the member then loses no result.
drained_when_told(Config) ->
    Member = member(Config, #{max => 1}),
    Large = fun(eof, _) -> lists:seq(1, 2000000); (_, Acc) -> Acc end,
    {_, Caller} = async(fun() ->
                                {ok, #{status := Status}} =
                                    alcove_pool:run(?MODULE, ["sleep", "0.5"], #{stdout => {Large, []}, wait => 5000}),
                                Status
                        end),
    true = (state(running))(1),
    unlink(Member),
    ok = alcove_pool:drain(?MODULE),
    exit(Member, shutdown),
    ?assertEqual(0, result(Caller)).

%% Who drains again waits, too, and an answer that comes too late isn't a message.
drained_again(Config) ->
    Member = member(Config, #{max => 1}),
    {Pid, _} = async(fun() -> alcove_pool:run(?MODULE, ["sleep", "1000"]) end),
    true = (state(running))(1),
    [{error, {running, 1}} = alcove_pool:drain(?MODULE, 10) || _ <- [1, 2]],
    {_, Drained} = async(fun() -> alcove_pool:drain(?MODULE) end),
    exit(Pid, kill),
    ?assertEqual(ok, result(Drained)),
    ?assertEqual(0, gen_server:call(Member, running)),
    ok = alcove_pool:drain(?MODULE),
    receive Late -> ct:fail(Late) after 0 -> ok end,
    leave(Member).

%% Those that wait are served, though the Drv isn't there when their turn comes; so is a drain.
drv_that_ends(_Config) ->
    Start = fun() -> {ok, Drv} = alcove_drv:start([{name, alcove_pool_drv}]), Drv end,
    Drv = Start(),
    {ok, Member} = alcove_pool:start_link(#{name => ?MODULE, max => 1, drv => alcove_pool_drv}),
    Run = fun() -> alcove_pool:run(?MODULE, ["sleep", "1000"], #{wait => infinity}) end,
    {_, First} = async(Run),
    true = (state(running))(1),
    Others = [element(2, async(Run)) || _ <- [1, 2, 3]],
    true = (state(waiting))(3),
    ok = alcove_drv:stop(Drv),
    ?assertEqual({error, {drv, normal}}, result(First)),
    [?assertEqual({error, {drv, noproc}}, result(Other)) || Other <- Others],
    %% One that has got room, and takes it when there is no Drv any more, keeps no drain waiting.
    Again = Start(),
    {Holder, _} = async(Run),
    true = (state(running))(1),
    {Slow, Last} = async(Run),
    true = (state(waiting))(1),
    true = erlang:suspend_process(Slow),
    exit(Holder, kill),
    true = alcove_test:until(fun() -> maps:get(waiting, info()) =:= 0 end),
    {_, Drained} = async(fun() -> alcove_pool:drain(?MODULE) end),
    true = alcove_test:until(fun() -> alcove_pool:members(?MODULE) =:= [] end),
    ok = alcove_drv:stop(Again),
    true = erlang:resume_process(Slow),
    ?assertEqual({error, {drv, noproc}}, result(Last)),
    ?assertEqual(ok, result(Drained)),
    leave(Member).

%% A member without a queue has room for one program after the other.
no_queue(Config) ->
    Member = member(Config, #{max => 1, queue => 0, memory => 100}),
    [{ok, #{status := 0}} = alcove_pool:run(?MODULE, ["true"]) || _ <- lists:seq(1, 100)],
    [{error, too_large} = alcove_pool:run(?MODULE, ["true"], #{need => #{memory => 200}}) || _ <- [1, 2, 3]],
    {ok, #{status := 0}} = alcove_pool:run(?MODULE, ["true"]),
    {_, _} = async(fun() -> alcove_pool:run(?MODULE, ["sleep", "1000"]) end),
    true = (state(running))(1),
    ?assertEqual({error, busy}, alcove_pool:run(?MODULE, ["true"])),
    leave(Member).

%% A caller that runs one program after the other, and doesn't wait, finds room each time.
no_wait(Config) ->
    [begin
         Member = member(Config, #{max => Max}),
         Run = fun() -> alcove_pool:run(?MODULE, ["true"], #{wait => 0}) end,
         With = fun() -> alcove_pool:with(?MODULE, #{wait => 0}, fun(_) -> ok end) end,
         ?assertEqual([], [Outcome || Outcome <- [Run() || _ <- lists:seq(1, 100)], element(1, Outcome) =/= ok]),
         ?assertEqual([ok], lists:usort([With() || _ <- lists:seq(1, 100)])),
         %% An error ends a run, too.
         ?assertEqual([{error, {execvp, enoent}}],
                      lists:usort([alcove_pool:run(?MODULE, ["no-such-program"], #{wait => 0}) || _ <- lists:seq(1, 10)])),
         ?assertMatch(#{running := 0, abandoned := 0, refused := 0, started := 210, finished := 210}, info()),
         leave(Member)
     end || Max <- [1, 8]].

%% A caller that doesn't wait joins no queue, and hears why it has got nothing.
no_wait_where_full(Config) ->
    Member = member(Config, #{max => 2, memory => 10}),
    Ask = fun(Options) -> alcove_pool:with(?MODULE, Options, fun(_) -> ok end) end,
    [?assertEqual({error, too_large}, Ask(#{wait => Wait, need => #{memory => 20}})) || Wait <- [0, 1, 100, 500], _ <- [1, 2, 3]],
    {Pid, _} = async(fun() -> alcove_pool:run(?MODULE, ["sleep", "1000"], #{need => #{memory => 5}}) end),
    true = (state(running))(1),
    ?assertEqual({error, busy}, Ask(#{wait => 0, need => #{memory => 6}})),
    ?assertEqual(ok, Ask(#{wait => 0, need => #{memory => 5}})),
    {Other, _} = async(fun() -> alcove_pool:run(?MODULE, ["sleep", "1000"], #{}) end),
    true = (state(running))(2),
    ?assertMatch(#{refused := 0, abandoned := 0}, info()),
    {Time, Busy} = timer:tc(fun() -> [Ask(#{wait => 0}) || _ <- lists:seq(1, 100)] end),
    ?assertEqual([{error, busy}], lists:usort(Busy)),
    ?assert(Time < 1000 * alcove_test:ms(1000)),
    ?assertEqual({error, too_large}, Ask(#{wait => 0, need => #{memory => 11}})),
    ?assertMatch(#{refused := 0, abandoned := 0, waiting := 0}, info()),
    %% Nor does it overtake one that waits for room.
    {Waiter, _} = async(fun() -> alcove_pool:run(?MODULE, ["sleep", "1000"], #{wait => infinity, need => #{memory => 10}}) end),
    true = (state(waiting))(1),
    exit(Other, kill),
    true = (state(running))(1),
    [?assertEqual({error, busy}, Ask(#{wait => Wait})) || Wait <- [0, 1, 100]],
    [exit(Caller, kill) || Caller <- [Waiter, Pid]],
    true = (state(running))(0),
    ?assertEqual(ok, Ask(#{wait => 0})),
    leave(Member).

%% What a node knows of a member's load is late, and the member itself is asked.
short_wait_and_late_view(Config) ->
    Member = member(Config, #{max => 1}),
    ok = alcove_pool:with(?MODULE, #{}, fun(_) ->
        true = alcove_test:until(fun() -> {[], [Member]} =:= alcove_pool_view:ranked([Member]) end),
        sys:suspend(alcove_pool_view)
    end),
    try
        [begin
             ?assertEqual({[], [Member]}, alcove_pool_view:ranked([Member])),
             ?assertMatch({Wait, {ok, #{status := 0}}}, {Wait, alcove_pool:run(?MODULE, ["true"], #{wait => Wait})})
         end || Wait <- [0, 1, 5, 199, 200, infinity]]
    after
        sys:resume(alcove_pool_view)
    end,
    leave(Member).

%% A caller that gets no room leaves no monitor, no message, and no wrong count of what it asked for.
refused_callers(Config) ->
    Member = member(Config, #{max => 10, memory => 10}),
    ok = alcove_pool:with(?MODULE, #{need => #{memory => 5}}, fun(_) ->
        Half = fun() -> [{Member, 500000, 100000}] =:= ets:lookup(alcove_pool_view, Member) end,
        true = alcove_test:until(Half),
        [begin
             ?assertEqual({error, Why}, alcove_pool:run(?MODULE, ["true"], #{wait => Wait, need => #{memory => Memory}})),
             ?assertEqual({monitors, []}, process_info(self(), monitors)),
             ?assertEqual({messages, []}, process_info(self(), messages)),
             %% What waits is told some milliseconds later.
             ?assert(case Wait of 250 -> alcove_test:until(Half); _ -> Half() end)
         end || {Why, Memory} <- [{busy, 6}, {too_large, 11}], Wait <- [0, 0, 0, 250]],
        ok
    end),
    leave(Member).

%% Members outlive the application that callers find them by.
application_that_restarts(Config) ->
    Member = member(Config, #{max => 1}),
    Found = fun() -> alcove_pool:members(?MODULE) =:= [Member] end,
    Before = whereis(alcove_pg),
    exit(Before, kill),
    ?assert(alcove_test:until(fun() -> whereis(alcove_pg) =/= Before andalso Found() end)),
    {ok, #{status := 0}} = alcove_pool:run(?MODULE, ["true"]),
    ok = application:stop(alcove),
    ?assertEqual({error, {not_started, alcove}}, alcove_pool:run(?MODULE, ["true"])),
    {ok, _} = application:ensure_all_started(alcove),
    ?assert(alcove_test:until(Found)),
    {ok, #{status := 0}} = alcove_pool:run(?MODULE, ["true"]),
    leave(Member).

results(Config) ->
    Member = member(Config, #{max => 2}),
    ?assertMatch({ok, #{status := 3, stdout := <<"o\n">>, stderr := <<"e\n">>}},
                 alcove_pool:run(?MODULE, ["sh", "-c", "echo o; echo e >&2; exit 3"])),
    ?assertMatch({ok, #{stdout := <<"x">>}}, alcove_pool:run(?MODULE, ["cat"], [{stdin, "x"}])),
    ?assertMatch({error, {timeout, #{status := {termsig, sigterm}}}},
                 alcove_pool:run(?MODULE, ["sleep", "1000"], #{timeout => 1000})),
    ?assertEqual({error, {execvp, enoent}}, alcove_pool:run(?MODULE, ["no-such-program"])),
    leave(Member),
    %% With a Drv of its own, which ends with it.
    {ok, Own} = alcove_pool:start_link(#{name => ?MODULE, drv => {start, []}}),
    Drv = alcove_pool:with(?MODULE, #{}, fun(D) -> D end),
    ?assert(is_process_alive(Drv)),
    leave(Own),
    ?assertNot(is_process_alive(Drv)).

wrong_arguments(_Config) ->
    [?assertError({badarg, _}, alcove_pool:start_link(Options))
     || Options <- [#{}, #{name => 1}, #{name => a, max => 0}, #{name => a, nonsense => 1}, [{name, a}, max], #{name => a, drv => 7}]],
    [?assertError({badarg, _}, alcove_pool:run(a, ["true"], Options))
     || Options <- [#{wait => -1}, #{retry => -1}, #{need => #{nonsense => 1}}, #{need => 7}, #{timeout => -1},
                    #{owner => self()}, #{stdout => message}, #{nonsense => 1}, nonsense]],
    ?assertError({badarg, {argv, _}}, alcove_pool:run(a, "ls", #{})),
    ?assertError({badarg, _}, alcove_pool:run("a", ["true"], #{})),
    ?assertEqual({error, {no_member, a}}, alcove_pool:run(a, ["true"])).

%% What isn't right is told by its name, and none of it is a secret.
secrets(Config) ->
    Env = #{"SECRET" => "hunter2"},
    [?assertError({badarg, Told}, alcove_pool:start_link(Options))
     || {Told, Options} <- [{{environment, '#{...}'}, #{name => a, environment => Env}},
                            {{drv, {start, {env, "A=B"}}}, #{name => a, drv => {start, [{env, [{"A=B", "hunter2"}]}]}}},
                            {{drv, {strt, '#{...}'}}, #{name => a, drv => {strt, Env}}},
                            {{options, '[...]'}, [{name, a}, Env]}]],
    [?assertError({badarg, Told}, apply(alcove_pool, run, Args))
     || {Told, Args} <- [{{pool, '[...]'}, [["true", "hunter2"], ["true"]]}, {{environment, '#{...}'}, [a, ["true"], #{environment => Env}]},
                         {{options, '[...]'}, [a, ["true"], [{env, Env} | x]]}]],
    ?assertError({badarg, {env, '#{...}'}}, alcove_pool:with(a, #{env => Env}, fun(Drv) -> Drv end)),
    %% The exception says which argument is wrong.
    try alcove_pool:run(a, ["true", "hunter2"], #{max => 2, env => Env}) of
        Ran -> ct:fail(Ran)
    catch
        error:Reason:Stack ->
            ?assertMatch([{alcove_pool, run, 3, _} | _], Stack),
            ?assertMatch(#{3 := _}, alcove_errors:format_error(Reason, Stack))
    end,
    %% A member that crashes while a caller's message waits for it.
    ok = logger:add_handler(?MODULE, ?MODULE, #{config => self(), level => all}),
    Self = self(),
    Drv = alcove_test:drv(Config),
    {Parent, Ended} = spawn_monitor(fun() ->
        {ok, Member} = alcove_pool:start_link(#{name => ?MODULE, drv => Drv}),
        Self ! {member, Member},
        receive stop -> exit(boom) end
    end),
    Member = receive {member, Pid} -> Pid end,
    ok = sys:suspend(Member),
    {_, Caller} = spawn_monitor(fun() ->
        exit(alcove_pool:run(?MODULE, ["true", "--password=hunter2"], #{env => Env}))
    end),
    true = alcove_test:until(fun() -> process_info(Member, message_queue_len) =/= {message_queue_len, 0} end),
    Gone = monitor(process, Member),
    Parent ! stop,
    receive {'DOWN', Gone, process, Member, boom} -> ok end,
    receive {'DOWN', Ended, process, Parent, boom} -> ok end,
    receive {'DOWN', Caller, process, _, Answer} -> ?assertEqual({error, {member, boom}}, Answer) end,
    %% The report of the server, and that of the process.
    Labels = [receive
                  {log, #{msg := {report, #{label := Label}}} = Event} ->
                      ?assertEqual(nomatch, string:find(io_lib:format("~0p", [Event]), "hunter2")),
                      Label
              after alcove_test:ms(5000) -> ct:fail(no_report)
              end || _ <- [1, 2]],
    ?assertEqual([{gen_server, terminate}, {proc_lib, crash}], lists:sort(Labels)),
    %% One that crashes by the message itself.
    process_flag(trap_exit, true),
    Next = member(Config, #{}),
    Next ! {now, make_ref(), self(), no_need, {run, ["true", "hunter2"], #{env => Env}}},
    receive {'EXIT', Next, {{badmap, no_need}, _}} -> ok end,
    process_flag(trap_exit, false),
    receive
        {log, #{msg := {report, #{label := {gen_server, terminate}} = Report}}} ->
            ?assertEqual(nomatch, string:find(io_lib:format("~0p", [Report]), "hunter2"))
    after alcove_test:ms(5000) -> ct:fail(no_report)
    end,
    ok = logger:remove_handler(?MODULE).

log(#{meta := #{pid := _}} = Event, #{config := Pid}) ->
    Pid ! {log, Event}.

a_member_that_ends(Config) ->
    Member = member(Config, #{max => 2}),
    Drv = alcove_test:drv(Config),
    {_, Running} = async(fun() -> alcove_pool:run(?MODULE, ["sleep", "1000"]) end),
    true = (state(running))(1),
    unlink(Member),
    exit(Member, kill),
    ?assertEqual({error, {member, killed}}, result(Running)),
    true = alcove_test:until(fun() -> not sleeps(Drv) end).

%% Who asks for it starts none.
drv_of_a_member(Config) ->
    Member = member(Config, #{}),
    ?assertMatch(#{drv := Drv} when is_pid(Drv), info()),
    ?assertEqual(alcove_test:drv(Config), maps:get(drv, info())),
    leave(Member),
    {ok, Later} = alcove_pool:start_link(#{name => ?MODULE, drv => alcove_pool_no_drv}),
    ?assertMatch(#{drv := undefined}, info()),
    leave(Later),
    ok = application:stop(alcove),
    {ok, _} = application:ensure_all_started(alcove),
    {ok, Default} = alcove_pool:start_link(#{name => ?MODULE}),
    ?assertMatch(#{drv := undefined}, info()),
    {ok, _} = alcove_pool:run(?MODULE, ["true"]),
    ?assertEqual(alcove_drv:default(), {ok, maps:get(drv, info())}),
    leave(Default).

sleeps(Drv) ->
    string:find(unicode:characters_to_binary(alcove_tree:format(alcove:tree(Drv))), "sleep 1000") =/= nomatch.

%%--------------------------------------------------------------------
%% Several
%%--------------------------------------------------------------------

%% Nodes that can reach each other: each has an address of its own, and no name server is needed.
with_nodes(N, Fun) ->
    Port = alcove_test:free_port(),
    Nodes = [start_node(Port, I) || I <- lists:seq(1, N)],
    try
        Fun(Nodes)
    after
        [catch alcove_test:stop_peer(Node) || Node <- Nodes]
    end.

start_node(Port, I) ->
    Host = lists:concat(["127.0.0.", I + 1]),
    Args = lists:append([["-pa", Path] || Path <- alcove_test:paths()])
        ++ alcove_test:without_epmd(Port)
        ++ ["-kernel", "inet_dist_use_interface", lists:concat(["{127,0,0,", I + 1, "}"]), "-setcookie", "alcove_test"],
    Peer = alcove_test:peer(alcove_test:paths(), #{name => list_to_atom("alcove_pool_" ++ os:getpid()), host => Host,
                                                  longnames => true, args => Args, env => [{"HOME", "/nonexistent"}]}),
    {ok, _} = alcove_test:peer_call(Peer, application, ensure_all_started, [alcove]),
    First = list_to_atom("alcove_pool_" ++ os:getpid() ++ "@127.0.0.2"),
    true = alcove_test:peer_call(Peer, net_kernel, connect_node, [First]),
    Peer.

%% A member on a node, in a process that lives as long as that.
join(Peer, Options) ->
    in(Peer, fun() ->
        Self = self(),
        spawn(fun() ->
            {ok, _} = alcove_pool:start_link(Options#{name => ?MODULE}),
            Self ! joined,
            receive after infinity -> ok end
        end),
        receive joined -> ok after alcove_test:ms(10000) -> error(timeout) end
    end).

in(Peer, Fun) -> alcove_test:in_peer(Peer, Fun).

%% What takes its time, on another node.
async_in(Peer, Fun) -> async(fun() -> peer:call(Peer, erlang, apply, [Fun, []], alcove_test:ms(900000)) end).

node_of(Peer) -> alcove_test:peer_call(Peer, erlang, node, []).

known(Peer, N) ->
    true = alcove_test:until(fun() -> length(alcove_test:peer_call(Peer, alcove_pool, members, [?MODULE])) =:= N end).

infos(Peer) -> in(Peer, fun() -> alcove_pool:info(?MODULE) end).

running(Peer, Numbers) ->
    true = alcove_test:until(fun() -> Numbers =:= lists:sort([maps:get(running, Info) || Info <- infos(Peer)]) end).

kill(Peer) ->
    alcove_test:signal(list_to_integer(alcove_test:peer_call(Peer, os, getpid, [])), "KILL").

least_loaded(_Config) ->
    with_nodes(3, fun([A, B, C] = Nodes) ->
        [join(Node, #{max => 4}) || Node <- Nodes],
        [known(Node, 3) || Node <- Nodes],
        Hold = fun() ->
            [begin
                 {ok, _} = alcove_pool:start(?MODULE, ["sleep", "1000"], #{}),
                 told(N)
             end || N <- lists:seq(1, 9)],
            receive after infinity -> ok end
        end,
        async_in(A, Hold),
        running(B, [3, 3, 3]),
        %% What has more to do for another reason is left alone.
        async_in(B, fun() ->
            [{ok, _} = alcove_pool:start(?MODULE, ["sleep", "1000"], #{}) || _ <- lists:seq(1, 3)],
            receive after infinity -> ok end
        end),
        running(C, [4, 4, 4])
    end).

%% What members tell is some milliseconds old, and may overtake what a caller has noted since: here the
%% next program is started when this node knows of all that run.
told(N) ->
    Known = fun() ->
                    Loads = [Load || {_, Load, _} <- ets:tab2list(alcove_pool_view)],
                    [Step | _] = [Step || {_, _, Step} <- ets:tab2list(alcove_pool_view)],
                    lists:sum(Loads) =:= N * Step
            end,
    Stays = fun() -> lists:all(fun(_) -> receive after 2 -> Known() end end, lists:seq(1, 15)) end,
    true = alcove_test:until(Stays).

%% The members of all nodes, a line for each, and what runs there.
live_view(_Config) ->
    with_nodes(2, fun([A, B]) ->
        [join(Node, #{max => 4}) || Node <- [A, B]],
        [known(Node, 2) || Node <- [A, B]],
        in(A, fun() ->
            Self = self(),
            spawn(fun() ->
                Terminal = alcove_top_SUITE:terminal(40, 120),
                true = register(alcove_pool_terminal, Terminal),
                spawn_link(fun() ->
                    group_leader(Terminal, self()),
                    ok = alcove_top:run(?MODULE, 200),
                    register(alcove_pool_ended, self()),
                    receive after infinity -> ok end
                end),
                Self ! begun,
                receive after infinity -> ok end
            end),
            receive begun -> ok after alcove_test:ms(10000) -> error(timeout) end
        end),
        Shows = fun(Pattern) -> in(A, fun() -> alcove_top_SUITE:shows(whereis(alcove_pool_terminal), Pattern) end) end,
        Line = fun(Node, Rest) -> ["^", atom_to_list(node_of(Node)), ": ", Rest] end,
        %% Nothing is started to be shown.
        [Shows(Line(Node, "0 running, room for 4, 0 waiting, no Drv runs$")) || Node <- [A, B]],
        async_in(A, fun() ->
            [{ok, _} = alcove_pool:start(?MODULE, ["sleep", integer_to_list(1000 + N)], #{}) || N <- lists:seq(1, 8)],
            alcove_pool:run(?MODULE, ["true"], #{wait => infinity})
        end),
        [Shows(Line(Node, "4 running, room for 0, 1 waiting; 10 processes$")) || Node <- [A, B]],
        [Shows(["program .* sleep ", integer_to_list(1000 + N), "$"]) || N <- lists:seq(1, 8)],
        in(A, fun() -> alcove_top_SUITE:type(whereis(alcove_pool_terminal), "mh\n") end),
        %% Sorted, a program is shown with its node.
        [Shows(["program .* ", atom_to_list(node_of(Node)), " sleep 10..$"]) || Node <- [A, B]],
        [Shows(Line(Node, "4 running")) || Node <- [A, B]],
        kill(B),
        Shows("^1 Drv, 4 programs, "),
        in(A, fun() ->
            [gen_server:stop(Member) || Member <- alcove_pool:members(?MODULE)],
            true = alcove_test:until(fun() -> whereis(alcove_pool_ended) =/= undefined end)
        end)
    end).

%% What ran there is lost, what waited there isn't.
lost_nodes(_Config) ->
    with_nodes(3, fun([A, B, C]) ->
        join(B, #{max => 1}),
        known(A, 1),
        {_, Running} = async_in(A, fun() -> alcove_pool:run(?MODULE, ["sleep", "1000"]) end),
        running(A, [1]),
        {_, Waiting} = async_in(A, fun() -> alcove_pool:run(?MODULE, ["echo", "x"], #{wait => 20000}) end),
        true = alcove_test:until(fun() -> [1] =:= [maps:get(waiting, Info) || Info <- infos(A)] end),
        Node = node_of(B),
        kill(B),
        ?assertEqual({error, {nodedown, Node}}, result(Running)),
        join(C, #{max => 1}),
        ?assertMatch({ok, #{stdout := <<"x\n">>}}, result(Waiting))
    end).

retries(Config) ->
    File = filename:join(alcove_test:tmp(Config), "runs"),
    Script = "echo run >>$0; [ $(wc -l <$0) -gt 1 ] || exec sleep 1000",
    with_nodes(3, fun([A, B, C]) ->
        join(B, #{max => 1}),
        known(A, 1),
        {_, Run} = async_in(A, fun() -> alcove_pool:run(?MODULE, ["sh", "-c", Script, File], #{retry => 1, wait => 20000}) end),
        true = alcove_test:until(fun() -> {ok, <<"run\n">>} =:= file:read_file(File) end),
        join(C, #{max => 1}),
        known(A, 2),
        kill(B),
        ?assertMatch({ok, #{status := 0}}, result(Run)),
        ?assertEqual({ok, <<"run\nrun\n">>}, file:read_file(File))
    end).

%% What nobody reads stays on its node.
streams(Config) ->
    File = filename:join(alcove_test:tmp(Config), "count"),
    Script = "n=0; while :; do head -c 1000000 /dev/zero; n=$((n + 1)); echo $n >$0; done",
    with_nodes(2, fun([A, B]) ->
        join(B, #{max => 2}),
        known(A, 1),
        {ok, Size} = in(A, fun() ->
            {ok, Pid} = alcove_pool:start(?MODULE, ["head", "-c", "50000000", "/dev/zero"], #{active => false}),
            alcove_proc:fold(Pid, fun({stdout, Bytes}, Sum) -> Sum + byte_size(Bytes) end, 0)
        end),
        ?assertEqual(50000000, Size),
        running(A, [0]),
        async_in(A, fun() ->
            {ok, Pid} = alcove_pool:start(?MODULE, ["sh", "-c", Script, File], #{active => false}),
            {ok, _} = alcove_proc:read(Pid),
            receive after infinity -> ok end
        end),
        Count = fun() -> case file:read_file(File) of {ok, Text} -> Text; {error, enoent} -> <<>> end end,
        true = alcove_test:until(fun() -> Before = Count(), timer:sleep(500), Before =:= Count() end),
        ?assert(binary_to_integer(string:trim(<<"0", (Count())/binary>>)) < 20)
    end).

members_that_come_and_go(_Config) ->
    with_nodes(3, fun([A, B, C]) ->
        join(B, #{max => 1}),
        known(A, 1),
        async_in(A, fun() -> alcove_pool:run(?MODULE, ["sleep", "1000"]) end),
        running(A, [1]),
        %% One that comes serves who waits already.
        {_, Waiting} = async_in(A, fun() -> alcove_pool:with(?MODULE, #{wait => 20000}, fun(Drv) -> node(Drv) end) end),
        true = alcove_test:until(fun() -> [1] =:= [maps:get(waiting, Info) || Info <- infos(A)] end),
        join(C, #{max => 1}),
        ?assertEqual(node_of(C), result(Waiting)),
        ?assertMatch([#{waiting := 0}, #{waiting := 0}], infos(A)),
        %% One that goes isn't asked.
        ok = in(C, fun() -> alcove_pool:drain(?MODULE, alcove_test:ms(10000)) end),
        known(A, 1),
        ?assertEqual({error, busy}, in(A, fun() -> alcove_pool:run(?MODULE, ["true"], #{wait => 100}) end))
    end).

%% The groups of pg still have the member of a node that is lost, whose load is forgotten already.
lost_before_pg_knows(_Config) ->
    with_nodes(3, fun([A, B, C]) ->
        [join(Node, #{max => Max}) || {Node, Max} <- [{B, 1}, {C, 8}]],
        known(A, 2),
        Lost = node_of(C),
        ok = in(A, fun() -> sys:suspend(alcove_pg) end),
        kill(C),
        true = alcove_test:until(fun() -> not lists:member(Lost, in(A, fun() -> nodes() end)) end),
        ?assertEqual(2, length(in(A, fun() -> alcove_pool:members(?MODULE) end))),
        {_, All} = async_in(A, fun() ->
            work([fun() -> [alcove_pool:run(?MODULE, ["true"], #{wait => infinity}) || _ <- lists:seq(1, 10)] end
                  || _ <- lists:seq(1, 4)])
        end),
        Outcomes = result(All),
        ok = in(A, fun() -> sys:resume(alcove_pg) end),
        ?assertEqual([], [Outcome || Outcome <- Outcomes, not is_map(element(2, Outcome))])
    end).

%% A node that takes no more messages holds nobody else up.
a_node_that_stands_still(_Config) ->
    with_nodes(3, fun([A, B, C]) ->
        join(B, #{max => 2}),
        [known(Node, 1) || Node <- [A, B, C]],
        Still = node_of(C),
        Os = list_to_integer(alcove_test:peer_call(C, os, getpid, [])),
        alcove_test:signal(Os, "STOP"),
        try
            %% As much as a connection and the machine beneath keep.
            Suspended = in(B, fun() ->
                Sender = spawn(fun() ->
                    [erlang:send({nobody, Still}, binary:copy(<<0>>, 16777216)) || _ <- lists:seq(1, 4)]
                end),
                alcove_test:until(fun() -> process_info(Sender, status) =:= {status, suspended} end)
            end),
            ?assert(Suspended),
            Run = fun() -> [alcove_pool:run(?MODULE, ["true"], #{wait => 5000}) || _ <- lists:seq(1, 10)] end,
            [?assertMatch([{ok, #{status := 0}}], lists:usort([{ok, maps:with([status], Result)} || {ok, Result} <- in(Node, Run)]))
             || Node <- [B, A]]
        after
            alcove_test:signal(Os, "CONT")
        end
    end).

%% Of two nodes one is full: the other is found, whatever is known of it.
no_wait_on_two_nodes(_Config) ->
    with_nodes(3, fun([A, B, C]) ->
        join(B, #{max => 1, memory => 10}),
        known(A, 1),
        Hold = fun(Name) ->
            in(A, fun() ->
                true = register(Name, spawn(fun() -> alcove_pool:run(?MODULE, ["sleep", "1000"], #{}) end))
            end)
        end,
        Hold(pool_first),
        running(A, [1]),
        join(C, #{max => 1, memory => 20}),
        known(A, 2),
        With = fun(Options) -> in(A, fun() -> alcove_pool:with(?MODULE, Options, fun(Drv) -> node(Drv) end) end) end,
        Other = node_of(C),
        [?assertEqual({Wait, Other}, {Wait, With(#{wait => Wait})}) || Wait <- [0, 1, 5], _ <- lists:seq(1, 50)],
        ?assertMatch([{ok, #{status := 0}}],
                     lists:usort([{ok, maps:with([status], Result)} || _ <- lists:seq(1, 20),
                                  {ok, Result} <- [in(A, fun() -> alcove_pool:run(?MODULE, ["true"], #{wait => 0}) end)]])),
        %% One that is full could serve it later, one that is too small never.
        ?assertEqual({error, too_large}, With(#{wait => 0, need => #{memory => 21}})),
        ?assertEqual(Other, With(#{wait => 0, need => #{memory => 15}})),
        %% Both are full, or seem so.
        Hold(pool_second),
        running(A, [1, 1]),
        ?assertEqual({error, busy}, With(#{wait => 0})),
        ?assertEqual({error, busy}, With(#{wait => 0, need => #{memory => 15}})),
        ?assertEqual({error, too_large}, With(#{wait => 0, need => #{memory => 21}})),
        ?assertEqual([0, 0], [maps:get(refused, Info) || Info <- infos(A)]),
        ?assertEqual([0, 0], [maps:get(abandoned, Info) || Info <- infos(A)]),
        Seem = fun() -> in(A, fun() -> alcove_pool_view:ranked(alcove_pool:members(?MODULE)) end) end,
        true = alcove_test:until(fun() -> element(1, Seem()) =:= [] end),
        ok = in(A, fun() -> sys:suspend(alcove_pool_view) end),
        in(A, fun() -> [exit(whereis(Name), kill) || Name <- [pool_first, pool_second]] end),
        running(A, [0, 0]),
        ?assertMatch({[], [_, _]}, Seem()),
        Nodes = lists:sort([node_of(B), Other]),
        ?assertEqual(Nodes, lists:sort(in(A, fun() ->
            alcove_pool:with(?MODULE, #{wait => 0}, fun(One) ->
                [node(One), alcove_pool:with(?MODULE, #{wait => 0}, fun(Two) -> node(Two) end)]
            end)
        end))),
        ok = in(A, fun() -> sys:resume(alcove_pool_view) end)
    end).

%% A node that stands still holds nobody up that doesn't wait, and runs nothing for a caller that was
%% told that there is no room, also when it goes on.
no_wait_and_a_node_that_stands_still(Config) ->
    File = filename:join(alcove_test:tmp(Config), "ran"),
    with_nodes(3, fun([A, B, C]) ->
        [join(Node, #{max => 2}) || Node <- [B, C]],
        [known(Node, 2) || Node <- [A, B, C]],
        {Still, Moving} = {node_of(C), node_of(B)},
        Os = list_to_integer(alcove_test:peer_call(C, os, getpid, [])),
        %% The callers live on: it isn't their end that makes room again.
        Living = fun(Fun) ->
            in(A, fun() ->
                Self = self(),
                spawn(fun() -> Self ! {living, Fun()}, receive after infinity -> ok end end),
                receive {living, Result} -> Result after alcove_test:ms(20000) -> error(timeout) end
            end)
        end,
        With = fun(N) ->
            Living(fun() -> [alcove_pool:with(?MODULE, #{wait => 0}, fun(Drv) -> node(Drv) end) || _ <- lists:seq(1, N)] end)
        end,
        Busy = fun() ->
            {Time, Outcome} = Living(fun() ->
                timer:tc(fun() -> alcove_pool:run(?MODULE, ["touch", File], #{wait => 0}) end)
            end),
            ?assertEqual({error, busy}, Outcome),
            ?assert(Time < 1000 * alcove_test:ms(2000))
        end,
        alcove_test:signal(Os, "STOP"),
        try
            ?assertEqual([Moving], lists:usort(With(20))),
            Hold = fun() ->
                [{ok, _} = alcove_pool:start(?MODULE, ["sleep", "1000"], #{wait => 0}) || _ <- [1, 2]],
                receive after infinity -> ok end
            end,
            async_in(A, Hold),
            true = alcove_test:until(fun() ->
                in(B, fun() -> [Member] = alcove_pool_view:local(?MODULE), gen_server:call(Member, running) end) =:= 2
            end),
            [Busy() || _ <- [1, 2, 3]],
            %% Nor when it takes no messages any more.
            true = in(A, fun() ->
                Sender = spawn(fun() ->
                    [erlang:send({nobody, Still}, binary:copy(<<0>>, 16777216)) || _ <- lists:seq(1, 4)]
                end),
                true = register(pool_sender, Sender),
                alcove_test:until(fun() -> process_info(Sender, status) =:= {status, suspended} end)
            end),
            [Busy() || _ <- [1, 2, 3]]
        after
            alcove_test:signal(Os, "CONT")
        end,
        true = alcove_test:until(fun() -> in(A, fun() -> whereis(pool_sender) end) =:= undefined end),
        %% What was asked of it meanwhile keeps no room there.
        running(A, [0, 2]),
        ?assertEqual({error, enoent}, file:read_file(File)),
        ?assertEqual([Still, Still], in(A, fun() ->
            alcove_pool:with(?MODULE, #{wait => 0}, fun(One) ->
                [node(One), alcove_pool:with(?MODULE, #{wait => 0}, fun(Two) -> node(Two) end)]
            end)
        end))
    end).

%% The room of a program that has ended is free, though its caller's node takes no messages.
caller_that_stands_still(Config) ->
    File = filename:join(alcove_test:tmp(Config), "go"),
    with_nodes(3, fun([A, B, C]) ->
        join(B, #{max => 1}),
        [known(Node, 1) || Node <- [A, B, C]],
        Still = node_of(C),
        Os = list_to_integer(alcove_test:peer_call(C, os, getpid, [])),
        Argv = ["sh", "-c", "until [ -e $0 ]; do sleep 0.05; done", File],
        {_, Caller} = async_in(C, fun() -> alcove_pool:run(?MODULE, Argv, #{}) end),
        running(B, [1]),
        alcove_test:signal(Os, "STOP"),
        try
            true = in(B, fun() ->
                Sender = spawn(fun() ->
                    [erlang:send({nobody, Still}, binary:copy(<<0>>, 16777216)) || _ <- lists:seq(1, 4)]
                end),
                alcove_test:until(fun() -> process_info(Sender, status) =:= {status, suspended} end)
            end),
            ok = file:write_file(File, <<>>),
            running(B, [0]),
            ?assertMatch({ok, #{status := 0}}, in(A, fun() -> alcove_pool:run(?MODULE, ["true"], #{wait => 0}) end))
        after
            alcove_test:signal(Os, "CONT")
        end,
        ?assertMatch({ok, #{status := 0}}, result(Caller))
    end).

%% A node is killed in the middle, another comes: each run is made once, but for those that were
%% lost with the node, whose callers know, and which are no more than it had room for.
ten_thousand(Config) ->
    Runs = 10000,
    Workers = 32,
    Max = 4,
    File = filename:join(alcove_test:tmp(Config), "runs"),
    ok = file:write_file(File, <<>>),
    with_nodes(5, fun([A, B, C, D, E]) ->
        [join(Node, #{max => Max}) || Node <- [B, C, D]],
        known(A, 3),
        Lost = node_of(C),
        {_, All} = async_in(A, fun() ->
            work([fun() -> [{N, once(N, File)} || N <- lists:seq(W, Runs, Workers)] end || W <- lists:seq(1, Workers)])
        end),
        Lines = fun() -> {ok, Text} = file:read_file(File), length(binary:matches(Text, <<"\n">>)) end,
        true = alcove_test:until(fun() -> Lines() > Runs div 3 end, alcove_test:ms(600000)),
        kill(C),
        join(E, #{max => Max}),
        Outcomes = receive {All, Results} -> Results after alcove_test:ms(600000) -> error(timeout) end,
        ?assertEqual(lists:seq(1, Runs), lists:sort([N || {N, _} <- Outcomes])),
        {ok, Text} = file:read_file(File),
        Times = lists:foldl(fun(Line, Acc) -> maps:update_with(binary_to_integer(Line), fun(T) -> T + 1 end, 1, Acc) end,
                            #{}, binary:split(Text, <<"\n">>, [global, trim_all])),
        Failed = [{N, Error} || {N, {error, _} = Error} <- Outcomes],
        ct:log("lost: ~p~n~p", [Failed, infos(A)]),
        ?assertEqual([], [{N, Outcome} || {N, Outcome} <- Failed, Outcome =/= {error, {nodedown, Lost}}]),
        ?assert(length(Failed) =< Max),
        ?assertEqual([], [{N, maps:get(N, Times, 0)} || {N, {ok, _}} <- Outcomes, maps:get(N, Times, 0) =/= 1]),
        ?assertEqual([], [N || {N, T} <- maps:to_list(Times), T > 1]),
        %% The one that came has had its part, and nothing is left of any.
        Infos = infos(A),
        ?assertEqual([0, 0, 0], [maps:get(running, Info) || Info <- Infos]),
        ?assert(lists:all(fun(#{finished := Finished}) -> Finished > Runs div 20 end, Infos))
    end).

once(N, File) ->
    Argv = ["sh", "-c", "echo $0 >>$1", integer_to_list(N), File],
    case alcove_pool:run(?MODULE, Argv, #{wait => infinity}) of
        {ok, #{status := 0}} -> {ok, 0};
        Other -> Other
    end.

work(Funs) ->
    Refs = [element(2, async(Fun)) || Fun <- Funs],
    lists:append([receive {Ref, Result} -> Result end || Ref <- Refs]).

%%--------------------------------------------------------------------

async(Fun) ->
    Self = self(),
    Ref = make_ref(),
    Pid = spawn(fun() -> Self ! {Ref, Fun()} end),
    {Pid, Ref}.

result(Ref) ->
    receive {Ref, Result} -> Result after alcove_test:ms(20000) -> error(timeout) end.

pmap(Fun, List) ->
    [result(Ref) || {_, Ref} <- [async(fun() -> Fun(X) end) || X <- List]].
