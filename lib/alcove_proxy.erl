%% @private
%% @doc Requests to a Drv of another node.
%%
%% A process on Drv's node, the proxy, makes the request and sends the outcome to
%% an alias of the caller. When the caller has stopped waiting, it says so and the
%% proxy sends the reply as `{alcove_call, Drv, Pids, Reply}': the proxy keeps the
%% outcome until it knows which of both it is, so that a reply is delivered
%% exactly once.
-module(alcove_proxy).

-export([run/4]).
-export([serve/1]).

%% A proxy whose caller gave up before it knew the proxy hears nothing at all.
-define(IDLE, 60000).

%% @doc As {@link alcove_call:run/4}; `exit({nodedown, Node})' when the node can't
%% be reached or goes away.
-spec run(pid(), alcove:fork_path(), alcove_call:request(), timeout()) -> alcove_call:outcome().
run(Drv, Pids, Request, Timeout) ->
    Deadline = deadline(Timeout),
    Ref = spawn_request(
        node(Drv),
        ?MODULE,
        serve,
        [self()],
        [{monitor, [{alias, demonitor}]}]
    ),
    receive
        {spawn_reply, Ref, ok, Proxy} ->
            Proxy ! {request, Ref, Drv, Pids, Request},
            receive
                {Ref, Outcome} ->
                    demonitor(Ref, [flush]),
                    Proxy ! {done, Ref},
                    Outcome;
                {'DOWN', Ref, process, Proxy, Reason} ->
                    exit(reason(Reason, node(Drv)))
            after remaining(Deadline) ->
                %% From here on the alias takes nothing more.
                demonitor(Ref, [flush]),
                receive
                    {Ref, Outcome} ->
                        Proxy ! {done, Ref},
                        Outcome
                after 0 ->
                    Proxy ! {late, Ref},
                    exit(timeout)
                end
            end;
        {spawn_reply, Ref, error, Reason} ->
            exit(reason(Reason, node(Drv)))
    after Timeout ->
        abandon(Ref),
        exit(timeout)
    end.

abandon(Ref) ->
    case spawn_request_abandon(Ref) of
        true ->
            ok;
        false ->
            receive
                {spawn_reply, Ref, ok, Proxy} ->
                    demonitor(Ref, [flush]),
                    Proxy ! {done, Ref},
                    ok;
                {spawn_reply, Ref, error, _} ->
                    ok
            end
    end.

reason(noconnection, Node) -> {nodedown, Node};
reason(Reason, Node) -> {Reason, Node}.

deadline(infinity) -> infinity;
deadline(Timeout) -> erlang:monotonic_time(millisecond) + Timeout.

remaining(infinity) -> infinity;
remaining(Deadline) -> max(0, Deadline - erlang:monotonic_time(millisecond)).

%% @doc The proxy.
-spec serve(pid()) -> ok.
serve(Caller) ->
    Monitor = monitor(process, Caller),
    receive
        {request, Alias, Drv, Pids, Request} ->
            case alcove_call:submit(Drv, Pids, Request) of
                Ticket when is_reference(Ticket) ->
                    Ref = make_ref(),
                    ok = alcove_nif:await(Ticket, Ref),
                    receive
                        {Ref, Outcome} ->
                            reply(Alias, Outcome, Caller, Monitor, Drv, Pids);
                        {late, Alias} ->
                            receive
                                {Ref, Outcome} -> late(Caller, Drv, Pids, Outcome);
                                {'DOWN', Monitor, process, Caller, _} -> ok
                            end;
                        {'DOWN', Monitor, process, Caller, _} ->
                            ok
                    end;
                Outcome ->
                    reply(Alias, Outcome, Caller, Monitor, Drv, Pids)
            end;
        {done, _} ->
            ok;
        {'DOWN', Monitor, process, Caller, _} ->
            ok
    after ?IDLE ->
        ok
    end.

reply(Alias, Outcome, Caller, Monitor, Drv, Pids) ->
    Alias ! {Alias, Outcome},
    receive
        {done, Alias} -> ok;
        {late, Alias} -> late(Caller, Drv, Pids, Outcome);
        {'DOWN', Monitor, process, Caller, _} -> ok
    end.

%% What was refused has no reply.
late(_Caller, _Drv, _Pids, '$badpid') ->
    ok;
late(_Caller, _Drv, _Pids, {'$badarg', _}) ->
    ok;
late(Caller, Drv, Pids, Reply) ->
    Caller ! {alcove_call, Drv, Pids, Reply},
    ok.
