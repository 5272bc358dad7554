%% @private
%% @doc Ends a program when the process that runs it has ended and couldn't.
%%
%% A process that is killed cleans nothing up. The guard forks the parent of the program, so
%% that there is never one without a guard, and ends it, with all that is below it, when the
%% process is gone and has not said that it did so itself.
-module(alcove_proc_guard).

-export([start/1, done/1]).

%% @doc Forks the parent of a program for the caller, and watches the caller from then on.
-spec start(alcove_proc_options:parsed()) ->
    {ok, pid(), alcove:os_pid()} | {error, alcove_proc_setup:reason()}.
start(Options) ->
    Runner = self(),
    {Guard, Ref} = spawn_monitor(fun() -> init(Runner, Options) end),
    receive
        {Guard, {ok, Pid}} ->
            demonitor(Ref, [flush]),
            {ok, Guard, Pid};
        {Guard, {error, Reason}} ->
            demonitor(Ref, [flush]),
            {error, Reason};
        {'DOWN', Ref, process, Guard, Reason} ->
            {error, {drv, Reason}}
    end.

%% @doc Nothing is left to be watched.
-spec done(pid()) -> ok.
done(Guard) ->
    Guard ! done,
    ok.

init(Runner, Options) ->
    Ref = monitor(process, Runner),
    case alcove_proc_setup:parent(Options) of
        {ok, Pid} ->
            Runner ! {self(), {ok, Pid}},
            receive
                done -> ok;
                {'DOWN', Ref, process, Runner, _} -> clear(Options, Pid)
            end;
        {error, Reason} ->
            Runner ! {self(), {error, Reason}}
    end.

clear(#{drv := Drv, in := In} = Options, Pid) ->
    Parent = In ++ [Pid],
    try
        %% The program's end is nobody's business any more.
        ok = alcove_proc_reap:silence({Drv, Parent}),
        ok = alcove_drv:controlling_process(Drv, Parent, self()),
        _ = alcove_proc_reap:leftovers({Drv, Parent}, []),
        ok = alcove_proc_setup:ungroup(Options, Parent),
        alcove_proc_reap:release(Drv, In, Pid)
    catch
        %% The Drv has ended, and all of its processes.
        error:badpid -> ok
    end.
