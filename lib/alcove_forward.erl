%% @private
%% @doc Stands in for an owner on another node.
%%
%% The router sends to processes of its own node only. This process passes what
%% it gets on to the owner and every few megabytes waits until that keeps up: then
%% its own message queue gets long, and the router holds the streams. It ends with
%% the owner, and so gives its fork paths back, or with Drv.
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

%% What is sent between two looks, in bytes; each message counts for some more.
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
    %% A node that can't be asked, because it is gone or has no alcove, isn't waited for.
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

%% Drv is gone: nothing more will come than what is here.
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
