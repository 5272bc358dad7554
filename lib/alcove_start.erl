%% @private
%% @doc Starts of processes whose failure is the caller's to judge, not the log's: one
%% that can't start ends normally, after it has told why.
-module(alcove_start).

-export([run/3, failed/2]).

%% @doc Starts a process that runs `Module:init({self(), Arg})'. Where that calls {@link
%% failed/2}, the process has ended when `{error, Reason}' comes back.
-spec run(start | start_link, module(), term()) -> {ok, pid()} | {error, term()}.
run(How, Module, Arg) ->
    case proc_lib:How(Module, init, [{self(), Arg}]) of
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
