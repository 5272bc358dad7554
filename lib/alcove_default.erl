%% @private
%% @doc The application's Drv, for callers that don't name one.
%%
%% The first caller starts it, and so does the first one after it has ended. So the application also
%% starts on a machine where the Drv can't, and each caller gets the error. This process owns the
%% Drv, and drops the messages of Unix processes that have no other owner.
-module(alcove_default).

-behaviour(gen_server).

-export([start_link/0, child_spec/0, drv/0, running/0]).
-export([
    init/1,
    handle_call/3,
    handle_cast/2,
    handle_info/2,
    terminate/2
]).

-type state() :: pid() | undefined.

%% How long a Drv may take to stop, and somewhat more.
-define(SHUTDOWN, 10000).

-spec start_link() -> {ok, pid()} | {error, term()}.
start_link() ->
    case gen_server:start_link({local, ?MODULE}, ?MODULE, [], []) of
        {ok, Pid} -> {ok, Pid};
        {error, Reason} -> {error, Reason}
    end.

-spec child_spec() -> supervisor:child_spec().
child_spec() ->
    #{id => ?MODULE, start => {?MODULE, start_link, []}, shutdown => ?SHUTDOWN}.

%% @doc See {@link alcove_drv:default/0}.
-spec drv() -> {ok, pid()} | {error, term()}.
drv() ->
    case running() of
        undefined -> ask();
        Drv -> {ok, Drv}
    end.

%% @doc The Drv, if it runs. Callers find it without a message.
-spec running() -> pid() | undefined.
running() ->
    try ets:lookup_element(?MODULE, drv, 2) of
        Drv ->
            case is_process_alive(Drv) of
                true -> Drv;
                false -> undefined
            end
    catch
        error:badarg -> undefined
    end.

ask() ->
    try
        gen_server:call(?MODULE, drv, infinity)
    catch
        exit:_ -> {error, {not_started, alcove}}
    end.

%% @private
-spec init([]) -> {ok, state()}.
init([]) ->
    process_flag(trap_exit, true),
    ?MODULE = ets:new(?MODULE, [named_table, {read_concurrency, true}]),
    {ok, undefined}.

%% @private
-spec handle_call(term(), gen_server:from(), state()) -> {reply, term(), state()}.
handle_call(drv, _From, Drv) ->
    case running() of
        undefined -> start(Drv);
        Running -> {reply, {ok, Running}, Drv}
    end;
handle_call(_Request, _From, Drv) ->
    {reply, {error, badarg}, Drv}.

start(Former) ->
    Options = application:get_env(alcove, drv, []),
    case alcove_drv_options:parse(Options) of
        {ok, _} ->
            case alcove_drv:start_link(Options) of
                {ok, Drv} ->
                    true = ets:insert(?MODULE, {drv, Drv}),
                    {reply, {ok, Drv}, Drv};
                {error, Reason} ->
                    {reply, {error, Reason}, Former}
            end;
        {error, Option} ->
            {reply, {error, {badarg, Option}}, Former}
    end.

%% @private
-spec handle_cast(term(), state()) -> {noreply, state()}.
handle_cast(_Message, Drv) ->
    {noreply, Drv}.

%% @private
-spec handle_info(term(), state()) -> {noreply, state()}.
handle_info({'EXIT', Drv, _Reason}, Drv) ->
    true = ets:delete(?MODULE, drv),
    {noreply, undefined};
handle_info(_Message, Drv) ->
    {noreply, Drv}.

%% @private
-spec terminate(term(), state()) -> ok.
terminate(_Reason, undefined) ->
    ok;
terminate(_Reason, Drv) ->
    _ = alcove_drv:stop(Drv),
    ok.
