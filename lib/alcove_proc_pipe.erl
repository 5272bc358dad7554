%% @private
%% @doc Programs that are joined by pipes.
%%
%% One process, on the node of the Drv, starts the programs and waits for all of them. Each program
%% has a process of its own, as any program does ({@link alcove_proc_server}), which is linked to
%% this one: when this one is killed, the programs are ended.
%%
%% They are started from the last to the first. A pipe is made when its reader is about to be
%% started, and each of its ends is closed here once the program that has it runs. So if a program
%% can't be started, the next one still waits for input when it is ended, and never takes an early
%% end of its input for the real one.
-module(alcove_proc_pipe).

-export([run/1]).
%% For alcove_start.
-export([init/1]).

-record(pipe, {
    %% The processes of the programs that run, and their places.
    running = #{} :: #{reference() => {Place :: pos_integer(), pid()}},
    %% The outcomes of the programs that have ended.
    ended = #{} :: #{Place :: pos_integer() => alcove_proc:outcome()},
    %% The first reason for which the programs were ended.
    why :: undefined | {Place :: pos_integer(), Reason :: term()},
    started :: integer()
}).

%% @doc Runs programs for the caller, and returns when all of them have ended.
-spec run(alcove_proc_options:programs()) -> alcove_proc:pipe_outcome().
run({[Program | _], _} = Programs) ->
    alcove_start:outcome(alcove_proc_server:node_of(Program), ?MODULE, Programs).

%% @private
-spec init({run, reference(), alcove_proc_options:programs()}) -> no_return().
init({run, Alias, {Programs, Timeout}}) ->
    process_flag(trap_exit, true),
    Alias ! {Alias, on_drv(Programs, Timeout)},
    exit(normal).

%% All programs use the same Drv.
on_drv([#{drv := {start, Options}} | _] = Programs, Timeout) ->
    case alcove_drv:start_link(self(), Options) of
        {ok, Drv} ->
            Outcome = piped([Program#{drv := Drv} || Program <- Programs], Timeout),
            unlink(Drv),
            _ = alcove_drv:stop(Drv),
            Outcome;
        {error, Reason} ->
            {error, {drv, Reason}}
    end;
on_drv(Programs, Timeout) ->
    piped(Programs, Timeout).

piped(Programs, Timeout) ->
    Pipe = #pipe{started = erlang:monotonic_time()},
    Deadline = alcove_deadline:in(Timeout),
    case started(lists:reverse(lists:enumerate(Programs)), none, Deadline, Pipe) of
        {ok, Started} ->
            outcome(ended(Started));
        {error, Place, Reason, Ends, Started} ->
            _ = ended(stopped(undefined, Started)),
            close(Ends),
            failed(Place, Reason)
    end.

%%--------------------------------------------------------------------
%% The start
%%--------------------------------------------------------------------

%% `Out' is where the next program writes: the end of the pipe to the program that was started last.
started([], none, _Deadline, Pipe) ->
    {ok, Pipe};
started([{Place, Program} | Before], Out, Deadline, Pipe) ->
    case input(Before, Program) of
        {ok, Reader, Writer, Input} ->
            Alias = alias(),
            Joined = output(Out, Input),
            Options = Joined#{alias => Alias, timeout := alcove_deadline:left(Deadline)},
            case alcove_start:run(start_link, alcove_proc_server, Options) of
                {ok, Pid} ->
                    close([Out, Reader]),
                    Running = (Pipe#pipe.running)#{Alias => {Place, Pid}},
                    started(Before, Writer, Deadline, Pipe#pipe{running = Running});
                {error, Reason} ->
                    {error, Place, Reason, [Out, Reader, Writer], Pipe}
            end;
        {error, Reason} ->
            {error, Place, Reason, [Out], Pipe}
    end.

%% The input of the first program is what the options say.
input([], Program) ->
    {ok, none, none, Program};
input(_Before, #{drv := Drv} = Program) ->
    case alcove_nif:pipe(Drv) of
        {ok, {Reader, Writer}} -> {ok, Reader, Writer, Program#{stdin := {given, Reader}}};
        {error, Reason} -> {error, {pipe, Reason}};
        '$badpid' -> {error, {drv, noproc}}
    end.

output(none, Program) -> Program;
output(Out, Program) -> Program#{stdout := {given, Out}}.

close(Ends) ->
    lists:foreach(fun alcove_nif:close/1, [End || End <- Ends, End =/= none]).

%% If Drv failed, no single program is to blame.
failed(_Place, {drv, _} = Reason) -> {error, Reason};
failed(Place, Reason) -> {error, {program, Place, Reason}}.

%%--------------------------------------------------------------------
%% The end
%%--------------------------------------------------------------------

%% Waits until all programs have ended. If one was ended for a reason, ends the others, too.
ended(#pipe{running = Running} = Pipe) when map_size(Running) =:= 0 ->
    Pipe;
ended(#pipe{running = Running} = Pipe) ->
    receive
        {Alias, Outcome} when is_map_key(Alias, Running) ->
            ended(heard(Alias, Outcome, Pipe));
        {'EXIT', Pid, Reason} ->
            %% Its outcome, if it sent one, came before this message.
            case [Alias || {Alias, {_, Its}} <- maps:to_list(Running), Its =:= Pid] of
                [Alias] ->
                    receive
                        {Alias, Outcome} -> ended(heard(Alias, Outcome, Pipe))
                    after 0 -> ended(heard(Alias, {error, {process, Reason}}, Pipe))
                    end;
                [] ->
                    ended(Pipe)
            end;
        _Other ->
            ended(Pipe)
    end.

heard(Alias, Outcome, #pipe{running = Running, ended = Ended, why = Why} = Pipe) ->
    {{Place, _}, Others} = maps:take(Alias, Running),
    Heard = Pipe#pipe{running = Others, ended = Ended#{Place => Outcome}},
    case Outcome of
        {error, Reason} when Why =:= undefined ->
            stopped(grace(Reason), Heard#pipe{why = {Place, Reason}});
        _ ->
            Heard
    end.

%% If a program has written too much, all are killed at once; otherwise they have their grace.
grace({{output_limit, _}, _}) -> 0;
grace(_Reason) -> undefined.

stopped(Grace, #pipe{running = Running} = Pipe) ->
    _ = [gen_server:cast(Pid, {stop, Grace}) || {_, Pid} <- maps:values(Running)],
    Pipe.

%%--------------------------------------------------------------------
%% The outcome
%%--------------------------------------------------------------------

outcome(#pipe{ended = Ended, why = Why} = Pipe) ->
    Ordered = [Outcome || {_, Outcome} <- lists:sort(maps:to_list(Ended))],
    %% A program that was lost has no result, so there is none for all together.
    case {Why, [N || {N, Outcome} <- lists:enumerate(Ordered), result(Outcome) =:= none]} of
        {undefined, []} ->
            {ok, together([result(Outcome) || Outcome <- Ordered], Pipe)};
        {{_, {Reason, #{status := _}}}, []} ->
            Results = [result(Outcome) || Outcome <- Ordered],
            {error, {reason(Reason, Ordered), together(Results, Pipe)}};
        {{Place, Reason}, [Lost | _]} ->
            {First, FirstReason} =
                case result({error, Reason}) of
                    none ->
                        {Place, Reason};
                    _ ->
                        {error, Other} = lists:nth(Lost, Ordered),
                        {Lost, Other}
                end,
            lost(First, FirstReason)
    end.

%% A function that has failed isn't the fault of one program.
lost(_Place, {process, _} = Reason) -> {error, Reason};
lost(Place, Reason) -> failed(Place, Reason).

result({ok, Result}) -> Result;
result({error, {_Reason, #{status := _} = Result}}) -> Result;
result({error, _Reason}) -> none.

%% Processes that are left may belong to any of the programs.
reason({leftovers, _}, Outcomes) ->
    {leftovers, lists:append([Pids || {error, {{leftovers, Pids}, _}} <- Outcomes])};
reason(Reason, _Outcomes) ->
    Reason.

together(Results, #pipe{started = Start}) ->
    Last = lists:last(Results),
    Took = erlang:monotonic_time() - Start,
    Of = fun(Key) -> [Value || #{Key := Value} <- Results] end,
    Sums = [{Key, lists:sum(Of(Key))} || Key <- [user_time, system_time, peak_memory]],
    Errors = [Text || Text <- Of(stderr), is_binary(Text)],
    maps:merge(
        maps:with([status, stdout, os_pid], Last),
        maps:from_list(
            [{stderr, iolist_to_binary(Errors)} || Errors =/= []] ++
                [
                    {programs, Results},
                    {statuses, Of(status)},
                    {truncated, lists:usort(lists:append(Of(truncated)))},
                    {wall_time, erlang:convert_time_unit(Took, native, microsecond)}
                    | Sums
                ]
        )
    ).
