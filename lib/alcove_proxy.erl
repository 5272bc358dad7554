%% @private
%% @doc Requests to a Drv of another node, in one round trip.
%%
%% A process on Drv's node, the proxy, makes the request. If the caller waits without a timeout, the
%% proxy ends with the outcome as its reason, as erpc does it. A caller with a timeout gets the
%% outcome by an alias. It then tells the proxy that it has got it, and the proxy is done; or that
%% it has stopped waiting, and the proxy sends the reply as `{alcove_call, Drv, Pids, Reply}'. If
%% the caller's time is over before it knows the proxy, the proxy hears nothing, and sends the reply
%% by another alias, which the caller has given up if it did know the proxy. So a reply is delivered
%% exactly once.
-module(alcove_proxy).

-export([run/4]).
-export([serve/4, serve/5]).

%% How long an outcome may take until the proxy checks whether the caller still waits for it.
-define(SOON, 100).
%% How long after its time a caller usually has said that it waits no longer, if it knows the proxy,
%% and how long a slow one may take.
-define(TOLD, 1000).
-define(KNOWN, 60000).

-record(served, {
    caller :: pid(),
    monitor :: reference(),
    alias :: reference(),
    late :: reference(),
    timer :: reference(),
    reply_to :: {pid(), alcove:fork_path()}
}).

%% @doc As {@link alcove_call:run/4}; `exit({nodedown, Node})' when the node can't
%% be reached or goes away.
-spec run(pid(), alcove:fork_path(), alcove_call:request(), timeout()) -> alcove_call:outcome().
run(Drv, Pids, Request, infinity) ->
    Args = [self(), Drv, Pids, Request],
    Ref = spawn_request(node(Drv), ?MODULE, serve, Args, [monitor, {reply, error_only}]),
    receive
        {'DOWN', Ref, process, _, {?MODULE, Outcome}} -> Outcome;
        {'DOWN', Ref, process, _, Reason} -> exit(reason(Reason, node(Drv)));
        {spawn_reply, Ref, error, Reason} -> exit(reason(Reason, node(Drv)))
    end;
run(Drv, Pids, Request, Timeout) ->
    Deadline = alcove_deadline:in(Timeout),
    Alias = alias([explicit_unalias]),
    %% For a late reply of a proxy that this process doesn't know yet when it stops waiting.
    Late = alias([reply]),
    Args = [self(), {Alias, Late, Timeout}, Drv, Pids, Request],
    Ref = spawn_request(node(Drv), ?MODULE, serve, Args, [monitor]),
    receive
        {spawn_reply, Ref, ok, Proxy} ->
            unalias(Late),
            receive
                {Alias, Outcome} ->
                    received(Proxy, Ref, Alias),
                    Outcome;
                {'DOWN', Ref, process, Proxy, Reason} ->
                    unalias(Alias),
                    exit(reason(Reason, node(Drv)))
            after alcove_deadline:left(Deadline) ->
                %% From here on the alias is inactive.
                unalias(Alias),
                receive
                    {Alias, Outcome} ->
                        received(Proxy, Ref, Alias),
                        Outcome
                after 0 ->
                    demonitor(Ref, [flush]),
                    Proxy ! {late, Alias},
                    exit(timeout)
                end
            end;
        {spawn_reply, Ref, error, Reason} ->
            unalias(Alias),
            unalias(Late),
            exit(reason(Reason, node(Drv)))
    after Timeout ->
        unalias(Alias),
        abandon(Ref, Alias, Late),
        exit(timeout)
    end.

received(Proxy, Ref, Alias) ->
    unalias(Alias),
    demonitor(Ref, [flush]),
    Proxy ! {done, Alias},
    ok.

%% The proxy may have made the request although the caller doesn't know it yet.
abandon(Ref, Alias, Late) ->
    case spawn_request_abandon(Ref) of
        true ->
            %% The proxy hears nothing of this process, and sends its reply to `Late'.
            ok;
        false ->
            unalias(Late),
            receive
                {spawn_reply, Ref, ok, Proxy} ->
                    demonitor(Ref, [flush]),
                    Proxy ! {late, Alias},
                    ok;
                {spawn_reply, Ref, error, _} ->
                    ok
            end
    end.

reason(noconnection, Node) -> {nodedown, Node};
%% The stack of an undefined function has the arguments of the call, so it is left out.
reason({undef, _}, Node) -> {undef, Node};
reason(Reason, Node) -> {Reason, Node}.


%% @doc The proxy of a caller that waits as long as it takes.
-spec serve(pid(), pid(), alcove:fork_path(), alcove_call:request()) -> no_return().
serve(Caller, Drv, Pids, Request) ->
    case submitted(Drv, Pids, Request) of
        {ticket, Ref} ->
            receive
                {Ref, Outcome} -> exit({?MODULE, Outcome})
            after ?SOON ->
                Monitor = monitor(process, Caller),
                receive
                    {Ref, Outcome} -> exit({?MODULE, Outcome});
                    {'DOWN', Monitor, process, Caller, _} -> exit(normal)
                end
            end;
        {outcome, Outcome} ->
            exit({?MODULE, Outcome})
    end.

submitted(Drv, Pids, Request) ->
    case alcove_call:submit(Drv, Pids, Request) of
        Ticket when is_reference(Ticket) ->
            Ref = make_ref(),
            ok = alcove_nif:await(Ticket, Ref),
            {ticket, Ref};
        Outcome ->
            {outcome, Outcome}
    end.

%% @doc The proxy of a caller that may stop waiting.
-spec serve(
    pid(),
    {reference(), reference(), non_neg_integer()},
    pid(),
    alcove:fork_path(),
    alcove_call:request()
) -> ok.
serve(Caller, {Alias, Late, Timeout}, Drv, Pids, Request) ->
    Served = #served{
        caller = Caller,
        monitor = monitor(process, Caller),
        alias = Alias,
        late = Late,
        timer = erlang:start_timer(Timeout + ?TOLD, self(), unknown),
        reply_to = {Drv, Pids}
    },
    case submitted(Drv, Pids, Request) of
        {ticket, Ref} -> outcome(Ref, Served);
        {outcome, Outcome} -> reply(Outcome, Served)
    end.

outcome(Ref, #served{alias = Alias, caller = Caller, monitor = Monitor} = Served) ->
    receive
        {Ref, Outcome} ->
            reply(Outcome, Served);
        {late, Alias} ->
            receive
                {Ref, Outcome} -> late(Caller, Outcome, Served);
                {'DOWN', Monitor, process, Caller, _} -> ok
            end;
        {'DOWN', Monitor, process, Caller, _} ->
            ok
    end.

reply(Outcome, #served{alias = Alias} = Served) ->
    Alias ! {Alias, Outcome},
    settled(Outcome, infinity, Served).

%% Waits until the caller says what became of the outcome. One that never knew this process says
%% nothing, and gets it by the other alias.
settled(Outcome, Timeout, #served{alias = Alias, caller = Caller, monitor = Monitor} = Served) ->
    #served{late = Late, timer = Timer} = Served,
    receive
        {done, Alias} ->
            ok;
        {late, Alias} ->
            late(Caller, Outcome, Served);
        {timeout, Timer, unknown} ->
            late(Late, Outcome, Served),
            settled(Outcome, ?KNOWN, Served);
        {'DOWN', Monitor, process, Caller, _} ->
            ok
    after Timeout -> ok
    end.

%% A refused request has no reply.
late(_To, '$badpid', _Served) ->
    ok;
late(_To, {'$badarg', _}, _Served) ->
    ok;
late(To, Reply, #served{reply_to = {Drv, Pids}}) ->
    To ! {alcove_call, Drv, Pids, Reply},
    ok.
