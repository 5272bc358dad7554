%% @private
%% @doc Emits events as the Unix processes of a Drv come and go, see {@link
%% alcove_telemetry}.
%%
%% The router sends messages to this process. It is separate from the Drv, since a handler of
%% events may take its time, and may call the Drv.
-module(alcove_reporter).

-behaviour(gen_server).

-export([start/1]).
-export([init/1, handle_call/3, handle_cast/2, handle_info/2]).

%% How long a reporter outlives a Drv that didn't end its tree itself, in milliseconds.
-define(LINGER, 5000).

%% @doc Starts a reporter for the calling Drv. It ends after the Drv, when it has emitted all
%% events.
-spec start(alcove:drv()) -> pid().
start(Drv) ->
    {ok, Pid} = gen_server:start(?MODULE, Drv, []),
    Pid.

%% @private
-spec init(alcove:drv()) -> {ok, alcove:drv()}.
init(Drv) ->
    _ = monitor(process, Drv),
    {ok, Drv}.

%% @private
-spec handle_call(term(), gen_server:from(), alcove:drv()) -> {reply, term(), alcove:drv()}.
handle_call(_Request, _From, Drv) ->
    {reply, {error, badarg}, Drv}.

%% @private
-spec handle_cast(term(), alcove:drv()) -> {noreply, alcove:drv()}.
handle_cast(_Message, Drv) ->
    {noreply, Drv}.

%% @private
-spec handle_info(term(), alcove:drv()) -> {noreply, alcove:drv()} | {stop, normal, alcove:drv()}.
handle_info({alcove_nif, forked, Pids}, Drv) ->
    event(spawn, #{system_time => erlang:system_time()}, #{}, Pids, Drv),
    {noreply, Drv};
handle_info({alcove_nif, gone, Pids, Nanoseconds, End}, Drv) ->
    {Status, Used} =
        case End of
            undefined -> {undefined, #{}};
            {{exit_status, Number}, Usage} -> {Number, alcove_telemetry:used(Usage)};
            {Signaled, Usage} -> {Signaled, alcove_telemetry:used(Usage)}
        end,
    Duration = erlang:convert_time_unit(Nanoseconds, nanosecond, native),
    event(exit, Used#{duration => Duration}, #{status => Status}, Pids, Drv),
    {noreply, Drv};
handle_info({'DOWN', _, process, Drv, Reason}, Drv) ->
    case Reason =:= normal orelse Reason =:= shutdown orelse is_tuple(Reason) of
        true ->
            {stop, normal, Drv};
        %% It was killed, and its processes end only now.
        false ->
            _ = erlang:send_after(?LINGER, self(), over),
            {noreply, Drv}
    end;
handle_info(over, Drv) ->
    {stop, normal, Drv};
handle_info(_Message, Drv) ->
    {noreply, Drv}.

event(Name, Measurements, More, Pids, Drv) ->
    Metadata = More#{drv => Drv, fork_path => Pids, os_pid => lists:last(Pids)},
    alcove_telemetry:execute([alcove, process, Name], Measurements, Metadata).
