%% @private
%% @doc Starts processes. If a process can't start, it tells the caller why and ends normally, so
%% that nothing is logged.
-module(alcove_start).

-export([run/3, run/4, failed/2, outcome/3]).
%% For another node.
-export([begin_there/4, run_there/3]).

%% @doc Starts a process that runs `Module:init({self(), Arg})'. Where that calls {@link
%% failed/2}, the process has ended when `{error, Reason}' comes back.
-spec run(start | start_link, module(), term()) -> {ok, pid()} | {error, term()}.
run(How, Module, Arg) ->
    started(proc_lib:How(Module, init, [{self(), Arg}])).

%% @doc The same on another node.
-spec run(start | start_link, node(), module(), term()) -> {ok, pid()} | {error, term()}.
run(How, Node, Module, Arg) ->
    Starter = self(),
    Begin = [How, Starter, Module, Arg],
    {Pid, Ref} = spawn_monitor(Node, ?MODULE, begin_there, Begin),
    receive
        {ack, Pid, Answer} ->
            demonitor(Ref, [flush]),
            started(Answer);
        {'DOWN', Ref, process, Pid, noconnection} ->
            {error, {drv, noconnection}};
        {'DOWN', Ref, process, Pid, Reason} ->
            {error, Reason}
    end.

%% @private
-spec begin_there(start | start_link, pid(), module(), term()) -> no_return().
begin_there(How, Starter, Module, Arg) ->
    How =:= start_link andalso link(Starter),
    proc_lib:init_p(Starter, [], Module, init, [{Starter, Arg}]).

%% @doc Starts a process on a node that runs `Module:init({run, Alias, Arg})', and returns the
%% outcome that it sends as `{Alias, Outcome}'.
-spec outcome(node(), module(), term()) -> term().
outcome(Node, Module, Arg) ->
    Pid = spawn(Node, ?MODULE, run_there, [self(), Module, Arg]),
    Ref = erlang:monitor(process, Pid, [{alias, reply_demonitor}]),
    Pid ! {run, Ref},
    receive
        {Ref, Outcome} -> Outcome;
        {'DOWN', Ref, process, Pid, noconnection} -> {error, {drv, noconnection}};
        {'DOWN', Ref, process, Pid, Reason} -> {error, {process, Reason}}
    end.

%% @private
-spec run_there(pid(), module(), term()) -> no_return().
run_there(Caller, Module, Arg) ->
    Ref = monitor(process, Caller),
    receive
        {run, Alias} ->
            demonitor(Ref, [flush]),
            proc_lib:init_p(Caller, [], Module, init, [{run, Alias, Arg}]);
        %% The caller was killed before it could ask.
        {'DOWN', Ref, process, Caller, _} ->
            exit(normal)
    end.

started(Answer) ->
    case Answer of
        {failed, Pid, Reason} ->
            Ref = monitor(process, Pid),
            receive
                {'DOWN', Ref, process, Pid, _} -> {error, Reason}
            end;
        Result ->
            Result
    end.

%% @doc Ends a process that can't start.
-spec failed(pid(), term()) -> no_return().
failed(Parent, Reason) ->
    proc_lib:init_ack(Parent, {failed, self(), Reason}),
    unlink(Parent),
    exit(normal).
