%% @doc What is measured between nodes: a call to a Drv of another node, and programs that a pool
%% runs on one, two and three nodes.
%%
%% All nodes are on this machine and share its processors, so more nodes don't run more programs.
%% The rows show what the way to another node costs.
-module(alcove_bench_nodes).

-export([all/0, pools/0]).

-include("alcove_bench.hrl").

-define(TRUE, "/bin/true").

%% How many nodes there are that run programs.
-define(NODES, 3).

%% How many callers run programs at the same time.
-define(WORKERS, 16).

%% Milliseconds in which so many programs can be counted.
-define(ROUND, 1000).

%% Milliseconds after which something is broken.
-define(DEADLINE, 60000).

%% @doc All groups.
-spec all() -> [#group{}].
all() ->
    [between_nodes()].

%% @doc How many nodes a pool has, and the variant that it is measured by.
-spec pools() -> [{pos_integer(), atom()}].
pools() ->
    [{N, pool(N)} || N <- lists:seq(1, ?NODES)].

between_nodes() ->
    #group{
        name = nodes,
        scope = group,
        enter = fun(_) -> enter() end,
        leave = fun(#{peers := Peers}) -> [peer:stop(Peer) || Peer <- Peers] end,
        variants =
            [
                {remote, fun(#{front := Front, drv := Drv}, Ms) ->
                    on(Front, fun() ->
                        alcove_bench_measure:times(Ms, fun() -> alcove:getpid(Drv, []) end)
                    end)
                end},
                {erpc, fun(#{front := Front, drv := Drv}, Ms) ->
                    on(Front, fun() ->
                        alcove_bench_measure:times(Ms, fun() ->
                            erpc:call(node(Drv), alcove, getpid, [Drv, []])
                        end)
                    end)
                end},
                {here, fun(#{first := First, drv := Drv}, Ms) ->
                    on(First, fun() -> busy(Ms, fun() -> alcove_proc:run(Drv, [?TRUE]) end) end)
                end}
            ] ++
                [
                    {Pool, fun(#{front := Front}, Ms) ->
                        on(Front, fun() ->
                            busy(Ms, fun() -> alcove_pool:run(Pool, [?TRUE]) end)
                        end)
                    end}
                 || {_, Pool} <- pools()
                ]
    }.

busy(Ms, Run) ->
    alcove_bench_measure:busy(max(Ms, ?ROUND), ?WORKERS, fun(_) ->
        fun() -> {ok, #{status := 0}} = Run() end
    end).

pool(N) ->
    list_to_atom(lists:concat(["nodes_", N])).

%%--------------------------------------------------------------------
%% The nodes
%%--------------------------------------------------------------------

%% The first node only calls. Each of the others has a Drv and is in the pools of at least so many.
enter() ->
    Port = free_port(),
    try [start_peer(Port, I) || I <- lists:seq(0, ?NODES)] of
        [Front | Others] = Peers ->
            Drvs = [join(Peer, I) || {I, Peer} <- lists:enumerate(Others)],
            [wait_for_members(Front, Pool, N) || {N, Pool} <- pools()],
            {ok, #{peers => Peers, front => Front, first => hd(Others), drv => hd(Drvs)}}
    catch
        _:Reason -> {skip, io_lib:format("no nodes: ~0p", [Reason])}
    end.

%% Each node has an address of its own and listens at the same port, so none needs a name server.
start_peer(Port, I) ->
    Last = 2 + I,
    Name = "alcove_bench_" ++ os:getpid(),
    {ok, Peer, _} = peer:start_link(#{
        name => list_to_atom(Name),
        host => lists:concat(["127.0.0.", Last]),
        longnames => true,
        connection => standard_io,
        wait_boot => ?DEADLINE,
        args =>
            lists:append([["-pa", Path] || Path <- code:get_path(), filelib:is_dir(Path)]) ++
                ["-erl_epmd_port", integer_to_list(Port), "-start_epmd", "false"] ++
                ["-setcookie", Name] ++
                ["-kernel", "inet_dist_use_interface", lists:concat(["{127,0,0,", Last, "}"])]
    }),
    {ok, _} = on(Peer, fun() -> application:ensure_all_started(alcove) end),
    First = list_to_atom(Name ++ "@127.0.0.2"),
    true = on(Peer, fun() -> node() =:= First orelse net_kernel:connect_node(First) end),
    Peer.

free_port() ->
    {ok, Socket} = gen_tcp:listen(0, [{ip, {127, 0, 0, 1}}]),
    {ok, Port} = inet:port(Socket),
    ok = gen_tcp:close(Socket),
    Port.

%% A Drv and its members, in a process that lives as long as the node.
join(Peer, I) ->
    Pools = [Pool || {N, Pool} <- pools(), I =< N],
    on(Peer, fun() -> held(Pools) end).

held(Pools) ->
    Self = self(),
    spawn(fun() ->
        {ok, Drv} = alcove_drv:start_link([]),
        [
            {ok, _} = alcove_pool:start_link(#{name => Pool, drv => Drv, max => ?WORKERS})
         || Pool <- Pools
        ],
        Self ! {joined, Drv},
        timer:sleep(infinity)
    end),
    receive
        {joined, Drv} -> Drv
    after ?DEADLINE -> error(no_member)
    end.

wait_for_members(Front, Pool, N) ->
    wait_for_members(Front, Pool, N, erlang:monotonic_time(millisecond) + ?DEADLINE).

wait_for_members(Front, Pool, N, Deadline) ->
    case on(Front, fun() -> length(alcove_pool:members(Pool)) end) of
        N ->
            ok;
        Known ->
            erlang:monotonic_time(millisecond) < Deadline orelse error({members, Known}),
            timer:sleep(10),
            wait_for_members(Front, Pool, N, Deadline)
    end.

on(Peer, Fun) ->
    peer:call(Peer, erlang, apply, [Fun, []], infinity).
