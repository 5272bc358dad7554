%% @private
%% @doc What a node knows about the load of the members of pools, on this node and others.
%%
%% A member tells each node's view when its load has changed. A caller reads the view without a
%% message, and notes there what it is about to ask for, since other callers on its node are about
%% to ask, too.
-module(alcove_pool_view).

-behaviour(gen_server).

-export([start_link/0, child_specs/0]).
-export([join/1, leave/1, members/1, local/1, tell/2, ranked/1, bump/1, correct/2]).
-export([init/1, handle_call/3, handle_cast/2, handle_info/2]).

-export_type([load/0]).

%% How much of a member's room is taken, and how much one program takes, in millionths; more than
%% ?FULL if a caller waits for the member.
-type load() :: {Taken :: non_neg_integer(), Step :: non_neg_integer()}.

-define(SCOPE, alcove_pg).
-define(VIEWS, alcove_pool_views).
-define(FULL, 1000000).

-spec start_link() -> {ok, pid()} | {error, term()}.
start_link() ->
    case gen_server:start_link({local, ?MODULE}, ?MODULE, [], []) of
        {ok, Pid} -> {ok, Pid};
        {error, Reason} -> {error, Reason}
    end.

%% @doc The child that the application has to run for pools.
-spec child_specs() -> [supervisor:child_spec()].
child_specs() ->
    [
        #{id => ?SCOPE, start => {pg, start_link, [?SCOPE]}},
        #{id => ?MODULE, start => {?MODULE, start_link, []}}
    ].

%% @doc Makes the caller a member of a pool, and monitors what knows the members.
-spec join(atom()) -> {ok, reference()} | {error, {not_started, alcove}}.
join(Pool) ->
    try
        [ok = pg:join(?SCOPE, Group, self()) || Group <- [group(Pool), stay(Pool)]],
        {ok, monitor(process, ?SCOPE)}
    catch
        error:badarg -> {error, {not_started, alcove}};
        exit:{noproc, _} -> {error, {not_started, alcove}}
    end.

%% @doc Ends the membership: callers don't find the member any more.
-spec leave(atom()) -> ok.
leave(Pool) ->
    _ = pg:leave(?SCOPE, group(Pool), self()),
    ok.

%% The group of the members that take programs, and that of all until they end.
group(Pool) -> {alcove_pool, Pool}.

stay(Pool) -> {alcove_pool_all, Pool}.

%% @doc The members of a pool on this node, also those that have left it and still run programs.
-spec local(atom()) -> [pid()].
local(Pool) ->
    try
        pg:get_local_members(?SCOPE, stay(Pool))
    catch
        error:badarg -> []
    end.

%% @doc The members of a pool, as far as this node is connected.
-spec members(atom()) -> [pid()] | {error, {not_started, alcove}}.
members(Pool) ->
    case whereis(?SCOPE) of
        undefined -> {error, {not_started, alcove}};
        _ -> pg:get_members(?SCOPE, group(Pool))
    end.

%% @doc Tells all nodes the load of a member. `busy': one of them is slow to take messages and
%% wasn't told, so that the member doesn't wait for it.
-spec tell(pid(), load()) -> ok | busy.
tell(Member, Load) ->
    Sent = [
        erlang:send(View, {load, Member, Load}, [nosuspend, noconnect])
     || View <- pg:get_members(?SCOPE, ?VIEWS)
    ],
    case lists:member(nosuspend, Sent) of
        true -> busy;
        false -> ok
    end.

%% @doc The members that have room and those that may have none, each with the least loaded first;
%% members with the same load in any order.
-spec ranked([pid()]) -> {Room :: [pid()], Full :: [pid()]}.
ranked(Members) ->
    Loads = lists:sort([{load(Member), rand:uniform(), Member} || Member <- Members]),
    {Room, Full} = lists:partition(fun({Load, _, _}) -> Load < ?FULL end, Loads),
    {[Member || {_, _, Member} <- Room], [Member || {_, _, Member} <- Full]}.

load(Member) ->
    try
        ets:lookup_element(?MODULE, Member, 2)
    catch
        error:badarg -> 0
    end.

%% @doc Notes that a member is about to get one more program.
-spec bump(pid()) -> ok.
bump(Member) ->
    try
        Step = ets:lookup_element(?MODULE, Member, 3),
        _ = ets:update_counter(?MODULE, Member, {2, Step}),
        ok
    catch
        error:badarg -> ok
    end.

%% @doc Notes the load that a member has told a caller, in place of what was noted before.
-spec correct(pid(), load()) -> ok.
correct(Member, {Taken, Step}) ->
    try
        %% A member that has ended isn't noted again.
        _ = ets:update_element(?MODULE, Member, [{2, Taken}, {3, Step}]),
        ok
    catch
        error:badarg -> ok
    end.

%% @private
-spec init([]) -> {ok, #{pid() => reference()}}.
init([]) ->
    ?MODULE = ets:new(?MODULE, [
        named_table, public, {read_concurrency, true}, {write_concurrency, true}
    ]),
    %% Where pg has to begin anew, so has this process.
    true = link(whereis(?SCOPE)),
    ok = pg:join(?SCOPE, ?VIEWS, self()),
    {ok, #{}}.

%% @private
-spec handle_call(term(), gen_server:from(), State) -> {reply, {error, badarg}, State}.
handle_call(_Request, _From, Watched) ->
    {reply, {error, badarg}, Watched}.

%% @private
-spec handle_cast(term(), State) -> {noreply, State}.
handle_cast(_Message, Watched) ->
    {noreply, Watched}.

%% @private
-spec handle_info(term(), State) -> {noreply, State}.
handle_info({load, Member, {Taken, Step}}, Watched) ->
    true = ets:insert(?MODULE, {Member, Taken, Step}),
    case Watched of
        #{Member := _} -> {noreply, Watched};
        #{} -> {noreply, Watched#{Member => monitor(process, Member)}}
    end;
handle_info({'DOWN', _, process, Member, _}, Watched) ->
    true = ets:delete(?MODULE, Member),
    {noreply, maps:remove(Member, Watched)};
handle_info(_Message, Watched) ->
    {noreply, Watched}.
