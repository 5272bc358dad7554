%% @private
%% @doc Stands in for an owner on another node.
%%
%% The router only sends to processes of its own node. This process passes the messages
%% on to the owner. Every few megabytes it waits until the owner keeps up; meanwhile
%% its own message queue gets long, and the router holds the streams. It ends with
%% the owner, which gives its fork paths back to Drv's owner, or with Drv.
-module(alcove_forward).

-export([start/1]).
-export([init/2]).

-record(state, {
    owner :: pid(),
    owner_ref :: reference(),
    drv :: pid(),
    drv_ref :: reference(),
    sent = 0 :: non_neg_integer()
}).

%% How many bytes are sent between two checks; each message counts for some more.
-define(PORTION, 2 * 1024 * 1024).
-define(MESSAGE, 256).

%% @doc Starts a stand-in for `Owner'; the caller is the Drv.
-spec start(pid()) -> pid().
start(Owner) ->
    proc_lib:spawn(?MODULE, init, [Owner, self()]).

%% @private
-spec init(pid(), pid()) -> ok.
init(Owner, Drv) ->
    loop(#state{
        owner = Owner,
        owner_ref = monitor(process, Owner),
        drv = Drv,
        drv_ref = monitor(process, Drv)
    }).

loop(#state{sent = Sent, owner = Owner, drv = Drv} = State) when Sent >= ?PORTION ->
    %% This process doesn't wait for a node that can't be asked, because it is gone or lacks alcove.
    try
        erpc:call(node(Owner), alcove_flow, wait, [Owner, Drv])
    catch
        error:_ -> ok
    end,
    loop(State#state{sent = 0});
loop(#state{owner_ref = OwnerRef, drv_ref = DrvRef, sent = Sent} = State) ->
    receive
        {'DOWN', OwnerRef, process, _, _} -> ok;
        {'DOWN', DrvRef, process, _, _} -> drain(State);
        Message -> loop(State#state{sent = Sent + pass(Message, State)})
    end.

%% Drv is gone: nothing will come after the messages that are in the queue.
drain(#state{owner_ref = OwnerRef} = State) ->
    receive
        {'DOWN', OwnerRef, process, _, _} ->
            ok;
        Message ->
            _ = pass(Message, State),
            drain(State)
    after 0 ->
        ok
    end.

pass({alcove_stdout, _, _, Bytes} = Message, #state{owner = Owner}) ->
    Owner ! Message,
    byte_size(Bytes) + ?MESSAGE;
pass({alcove_stderr, _, _, Bytes} = Message, #state{owner = Owner}) ->
    Owner ! Message,
    byte_size(Bytes) + ?MESSAGE;
pass({alcove_event, _, _, _} = Message, #state{owner = Owner}) ->
    Owner ! Message,
    ?MESSAGE;
pass(_, _) ->
    0.
