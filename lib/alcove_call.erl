%% @private
%% @doc A request to a Unix process, and the wait for its reply.
%%
%% A refused request returns what the NIF returns: `` '$badpid' '' when
%% no process is in its event loop at the fork path, `` {'$badarg', What} '' for
%% an argument of the wrong shape. {@link alcove} turns these into exceptions.
-module(alcove_call).

-export([run/4, submit/3, define/2, is_timeout/1, is_fork_path/1]).

-export_type([request/0, outcome/0, how/0, calls/0]).

-type calls() :: [{Call :: atom(), Argv :: [term()]}].
-type how() :: fork | {clone, alcove:flags()}.
-type request() ::
    {call, atom(), [term()]}
    | {batch, calls()}
    | {spawn, how(), calls()}
    | {stdin, iodata()}
    | {keep, alcove_nif:keep(), calls()}
    | {eof, stdin | stdout | stderr}
    | {define, alcove_nif:group(), atom() | [atom()]}
    | children
    | {signal_constant, integer()}
    | {errno_id, integer()}.
-type outcome() :: term() | alcove_nif:refused().

%% How long the reply of a call that can't be cancelled any more may take to
%% arrive, in milliseconds: it was sent already.
-define(SENT, 5000).
-define(MAX_FLOW, 16#7fffffff).
-define(MAX_PID, 16#ffffffff).
-define(MAX_FLAGS, 16#ffffffffffffffff).
%% Options are named in either case.
-define(IS_FLOWCONTROL(Option), (Option =:= flowcontrol orelse Option =:= 'FLOWCONTROL')).

%% @doc Makes a request and waits for its outcome.
%%
%% `exit(timeout)' when the time runs out; the reply then comes as
%% `{alcove_call, Drv, Pids, Reply}'. A reply that was sent before the request
%% could be cancelled is in time and is returned.
-spec run(pid(), alcove:fork_path(), request(), timeout()) -> outcome().
run(Drv, Pids, Request, Timeout) when node(Drv) =:= node() ->
    case submit(Drv, Pids, Request) of
        Ticket when is_reference(Ticket) -> await(Ticket, Timeout);
        Outcome -> Outcome
    end;
run(Drv, Pids, Request, Timeout) ->
    alcove_proxy:run(Drv, Pids, Request, Timeout).

await(Ticket, Timeout) ->
    %% The compiler sees that only messages newer than the reference can match,
    %% so the receive doesn't search older messages.
    Ref = make_ref(),
    ok = alcove_nif:await(Ticket, Ref),
    receive
        {Ref, Outcome} ->
            Outcome
    after Timeout ->
        case alcove_nif:cancel(Ticket) of
            true ->
                exit(timeout);
            false ->
                receive
                    {Ref, Outcome} ->
                        Outcome
                after ?SENT ->
                    exit(timeout)
                end
        end
    end.

%% @doc Makes a request to a Drv of this node. If it returns a ticket, the outcome
%% comes as the message `{Ref, Outcome}' after `alcove_nif:await(Ticket, Ref)'. An outcome is
%% never a reference.
-spec submit(pid(), alcove:fork_path(), request()) -> outcome() | alcove_nif:ticket().
submit(Drv, Pids, {call, getcpid, [Pid, Option]}) when
    ?IS_FLOWCONTROL(Option), is_integer(Pid), Pid > 0, Pid =< ?MAX_PID
->
    child(alcove_nif:flowcontrol(Drv, child_path(Pids, Pid)), Drv, Pids);
submit(Drv, Pids, {call, setcpid, [Pid, Option, N]}) when
    ?IS_FLOWCONTROL(Option), is_integer(Pid), Pid > 0, Pid =< ?MAX_PID, is_integer(N)
->
    case N >= -1 andalso N =< ?MAX_FLOW of
        true -> child(alcove_nif:flowcontrol(Drv, child_path(Pids, Pid), N), Drv, Pids);
        false -> false
    end;
submit(Drv, Pids, children) ->
    alcove_nif:children(Drv, Pids);
submit(Drv, Pids, {call, Call, Argv}) ->
    alcove_nif:call(Drv, Pids, Call, Argv);
submit(Drv, Pids, {stdin, Data}) ->
    alcove_nif:stdin(Drv, Pids, Data);
submit(Drv, Pids, {batch, Calls}) ->
    alcove_nif:batch(Drv, Pids, Calls);
submit(Drv, Pids, {spawn, How, Calls}) ->
    case clone_flags(How) of
        unknown -> {'$badarg', how};
        Flags -> alcove_nif:spawn(Drv, Pids, Flags, Calls)
    end;
submit(Drv, Pids, {keep, Keep, Calls}) ->
    alcove_nif:keep(Drv, Pids, Keep, Calls);
submit(Drv, Pids, {eof, Stream}) ->
    alcove_nif:eof(Drv, Pids, Stream);
submit(_Drv, _Pids, {define, Group, Names}) ->
    define(Group, Names);
submit(_Drv, _Pids, {signal_constant, Number}) ->
    alcove_nif:signal_name(Number);
submit(_Drv, _Pids, {errno_id, Number}) ->
    alcove_nif:errno_name(Number).

%% The router controls the flow of a child, not the child's parent.
child_path(Pids, Pid) when is_list(Pids) -> Pids ++ [Pid];
child_path(Pids, _Pid) -> Pids.

child('$badpid', Drv, Pids) ->
    case alcove_nif:children(Drv, Pids) of
        '$badpid' -> '$badpid';
        _ -> false
    end;
child(Outcome, _Drv, _Pids) ->
    Outcome.

clone_flags(fork) ->
    0;
clone_flags({clone, Flags}) when is_integer(Flags), Flags >= 0, Flags =< ?MAX_FLAGS ->
    Flags;
clone_flags({clone, Names}) ->
    case define(clone, Names) of
        Flags when is_integer(Flags) -> Flags;
        _ -> unknown
    end;
clone_flags(_) ->
    unknown.

%% @doc The value of a constant, or of a list of them combined by `bor'.
-spec define(alcove_nif:group(), atom() | [atom()]) -> integer() | unknown | {'$badarg', names}.
define(Group, Name) when is_atom(Name) ->
    value(Group, Name);
define(Group, Names) ->
    define(Group, Names, 0).

define(Group, [Name | Names], Value) when is_atom(Name) ->
    define(Group, Names, either(Value, value(Group, Name)));
define(_Group, [], Value) ->
    Value;
define(_Group, _, _Value) ->
    {'$badarg', names}.

either(A, B) when is_integer(A), is_integer(B) -> A bor B;
either(_, _) -> unknown.

%% Filters of system calls have the architecture among the names of calls.
value(syscall, Name) ->
    case alcove_nif:define(syscall, Name) of
        unknown ->
            case string:lowercase(atom_to_list(Name)) of
                "audit_arch_" ++ _ -> alcove_nif:define(prctl, Name);
                _ -> unknown
            end;
        Number ->
            Number
    end;
value(Group, Name) ->
    alcove_nif:define(Group, Name).

%% @doc Whether a term can stand after `after'.
-spec is_timeout(term()) -> boolean().
is_timeout(infinity) -> true;
is_timeout(Ms) -> is_integer(Ms) andalso Ms >= 0 andalso Ms =< 16#ffffffff.

%% @doc Whether a term is a list of pids, each of 32 bits.
-spec is_fork_path(term()) -> boolean().
is_fork_path([Pid | Pids]) when is_integer(Pid), Pid >= 0, Pid =< ?MAX_PID -> is_fork_path(Pids);
is_fork_path(Term) -> Term =:= [].
