%% @private
%% @doc The process of a program: its life and its end.
%%
%% It runs on the node of the program's Drv, belongs to the program's owner, and owns the
%% program. When this process ends, for whatever reason, the library makes the keeper end the
%% program.
%%
%% ```
%%            keep            order, deadline         over                 all was read
%%   init/1 -------> running -----------------> stopping ----> ended(wait) -------------> (gone)
%%      |               |                                         ^
%%      | {error, _}    +--------------- over --------------------+
%%      v
%%   (gone)
%% '''
-module(alcove_proc_server).

-behaviour(gen_server).

-export([run/1, start/2, node_of/1]).
-export([
    init/1,
    handle_call/3,
    handle_cast/2,
    handle_info/2,
    terminate/2,
    format_status/1
]).
%% Control-D, for a terminal that still uses it: the first one passes on the line that was begun,
%% the second one is the end.
-define(VEOF, <<4, 4>>).
%% How long a keeper may take to report that a program has ended, in milliseconds, after it should
%% have killed it. The keeper itself reports if something is left.
-define(PATIENCE, 8000).
%% How long this process waits for functions that take output, in milliseconds, after the program
%% was ended.
-define(WORK, 1000).

%% After so many milliseconds without a message the process of a program hibernates.
-define(QUIET, 1000).

-record(state, {
    %% The entries of alcove_proc_options:parsed() that are needed while the program runs.
    options :: map(),
    drv :: pid(),
    drv_ref :: reference(),
    own_drv = false :: boolean(),
    path :: alcove:fork_path(),
    group :: alcove_proc_setup:group() | undefined,
    owner :: pid() | none,
    owner_ref :: reference() | undefined,
    %% The alias that gets the outcome, if it isn't for the owner.
    alias :: reference() | undefined,
    %% The process that gets the owner's messages for a terminal that is attached.
    attached :: {pid(), reference()} | undefined,
    output :: alcove_proc_output:output(),
    %% The callers that wait for the library's answer.
    waiting = #{} :: #{reference() => gen_server:from()},
    stoppers = [] :: [gen_server:from()],
    %% The callers that wait for the outcome.
    awaiting = [] :: [gen_server:from()],
    %% A caller only waits for the end: output that isn't read yet is dropped.
    expired = false :: boolean(),
    phase = running :: running | stopping | ended,
    %% Why the program was ended, if it was.
    why :: undefined | stopped | timeout | {output_limit, stdout | stderr} | term(),
    timer :: reference() | undefined,
    started :: integer(),
    over :: over() | undefined,
    stats :: alcove_cgroup:stats() | undefined
}).

%% How the program ended, as the keeper reports it.
-record(over, {
    status :: alcove_proc:status() | unknown,
    %% Microseconds.
    wall :: non_neg_integer(),
    usage :: map(),
    left :: [alcove:os_pid()] | false
}).
-type over() :: #over{}.

%%--------------------------------------------------------------------
%% The start
%%--------------------------------------------------------------------

%% @doc Runs a program for the caller, and returns when it has ended.
-spec run(alcove_proc_options:parsed()) -> alcove_proc:outcome().
run(Options) ->
    alcove_start:outcome(node_of(Options), ?MODULE, Options).

%% @doc Starts a program that may run for any length of time. With an alias the outcome goes
%% there, as `{Alias, Outcome}', and not to its owner.
-spec start(start | start_link, alcove_proc_options:parsed()) -> {ok, pid()} | {error, term()}.
start(How, Options) ->
    case node_of(Options) of
        Node when Node =:= node() -> alcove_start:run(How, ?MODULE, Options);
        Node -> alcove_start:run(How, Node, ?MODULE, Options)
    end.

%% @doc The node on which a program runs.
-spec node_of(alcove_proc_options:parsed()) -> node().
node_of(#{drv := Drv}) when is_pid(Drv) -> node(Drv);
node_of(_Options) -> node().

%% @private
-spec init(
    {run, reference(), alcove_proc_options:parsed()} | {pid(), alcove_proc_options:parsed()}
) ->
    no_return().
init({run, Alias, Options}) ->
    process_flag(trap_exit, true),
    case start_named(Options, Alias) of
        {ok, State} -> enter(State, []);
        {error, Reason} -> send_outcome(Alias, {error, Reason})
    end,
    exit(normal);
init({Starter, Options}) ->
    process_flag(trap_exit, true),
    case start_named(Options, maps:get(alias, Options, undefined)) of
        {ok, State} ->
            proc_lib:init_ack(Starter, {ok, self()}),
            enter(State, [{hibernate_after, ?QUIET}]);
        {error, Reason} ->
            alcove_start:failed(Starter, Reason)
    end.

send_outcome(Alias, Outcome) ->
    Alias ! {Alias, Outcome},
    ok.

-spec enter(#state{}, [{hibernate_after, timeout()}]) -> no_return().
enter(#state{options = #{name := undefined}} = State, LoopOptions) ->
    gen_server:enter_loop(?MODULE, LoopOptions, State);
enter(#state{options = #{name := Name}} = State, LoopOptions) ->
    gen_server:enter_loop(?MODULE, LoopOptions, State, Name).

%% If another process has the name, nothing is started.
start_named(#{name := Name} = Options, Alias) ->
    case alcove_proc_registry:claim(Name) of
        ok ->
            case start_program(Options, Alias) of
                {ok, #state{drv = Drv, path = Path} = State} ->
                    ok = alcove_proc_registry:note(Name, Drv, Path),
                    {ok, State};
                {error, Reason} ->
                    ok = alcove_proc_registry:release(Name),
                    {error, Reason}
            end;
        {error, Reason} ->
            {error, Reason}
    end.

start_program(#{drv := {start, DrvOptions}} = Options, Alias) ->
    case alcove_drv:start_link(self(), DrvOptions) of
        {ok, Drv} ->
            case start_program(Options#{drv := Drv}, Alias) of
                {ok, State} ->
                    {ok, State#state{own_drv = true}};
                {error, Reason} ->
                    unlink(Drv),
                    ok = alcove_drv:stop(Drv),
                    {error, Reason}
            end;
        {error, Reason} ->
            {error, {drv, Reason}}
    end;
start_program(#{owner := Owner, drv := Drv, timeout := Timeout} = Options, Alias) ->
    Deadline = alcove_deadline:in(Timeout),
    %% The owner is monitored before anything is started, so that nothing runs for one that is gone;
    %% Drv, so that its end is known by its reason.
    OwnerRef = watch(Owner),
    DrvRef = monitor(process, Drv),
    Output = note_caller(Alias, alcove_proc_output:new(Options), Owner),
    Given = Options#{window => alcove_proc_output:window(Output)},
    Start = erlang:monotonic_time(),
    case alcove_proc_setup:cgroup(Given, Deadline) of
        {ok, Group} ->
            case start_in_keeper(Given, Group, Deadline, DrvRef) of
                {ok, Path} ->
                    State = #state{
                        options = Given,
                        drv = Drv,
                        drv_ref = DrvRef,
                        path = Path,
                        group = Group,
                        owner = Owner,
                        owner_ref = OwnerRef,
                        alias = Alias,
                        output = Output,
                        started = Start
                    },
                    {ok, begin_to_run(State)};
                {error, Reason} ->
                    ok = alcove_proc_setup:ungroup(Group),
                    {error, Reason}
            end;
        {error, Reason} ->
            {error, Reason}
    end.

%% The caller of run/1 waits for the end of the program.
note_caller(undefined, Output, _Owner) -> Output;
note_caller(_Alias, Output, Owner) -> alcove_proc_output:await_end(Owner, Output).

watch(none) -> undefined;
watch(Owner) -> monitor(process, Owner).

start_in_keeper(#{drv := Drv, in := In} = Options, Group, Deadline, DrvRef) ->
    case alcove_proc_setup:request(Options, Group, Deadline) of
        {ok, Keep, Calls} ->
            try alcove_call:run(Drv, In, {keep, Keep, Calls}, patience(Options)) of
                {ok, Path} -> {ok, Path};
                {error, {start, etimedout}} -> {error, {start, timeout}};
                {error, {Index, Call, Reason}} ->
                    {error, alcove_proc_setup:failed(Index, Call, Reason, Options)};
                {error, {Step, Reason}} -> {error, {Step, Reason}};
                {error, Reason} -> {error, {fork, Reason}};
                '$badpid' -> {error, explain_absence(Drv, In, DrvRef)};
                {'$badarg', {Index, _}} when Index > 0 ->
                    Call = element(1, lists:nth(Index, Calls)),
                    {error, alcove_proc_setup:failed(Index, Call, badarg, Options)};
                {'$badarg', _} ->
                    {error, {execvp, badarg}}
            catch
                exit:timeout -> {error, {start, timeout}}
            end;
        {error, Reason} ->
            {error, Reason}
    end.

%% The keeper itself ends a start that takes too long; this is for a keeper that can't.
patience(#{timeout := infinity}) -> infinity;
patience(#{timeout := Timeout}) -> min(16#ffffffff, Timeout + ?PATIENCE).

%% Why a start failed: there is no Drv or it is ending, no process is in its event loop at the fork
%% path, or the keeper was killed.
explain_absence(Drv, In, DrvRef) ->
    case takes_calls(Drv) of
        true ->
            case alcove_nif:children(Drv, In) of
                '$badpid' -> {in, badpid};
                _ -> {parent, gone}
            end;
        false ->
            %% A process that is no Drv doesn't end.
            Patience =
                case alcove_drv:kind(Drv) of
                    other -> 0;
                    _ -> ?PATIENCE
                end,
            receive
                {'DOWN', DrvRef, process, _, Reason} -> {drv, Reason}
            after Patience ->
                {drv, noproc}
            end
    end.

%% Whether root is in its event loop. Who is stopped and doesn't answer is there.
takes_calls(Drv) ->
    try alcove:call(Drv, [], getpid, [], ?PATIENCE) of
        _ -> true
    catch
        exit:timeout -> true;
        _:_ -> false
    end.

begin_to_run(#state{started = Start} = State) ->
    Now = erlang:monotonic_time(),
    event(spawn, #{duration => Now - Start, system_time => erlang:system_time()}, #{}, State),
    drop_sent(give_input(watch_deadline(State))).

%% Drops options that were sent already: the environment and given input may be larger than
%% everything else.
drop_sent(#state{options = #{stdin := Stdin} = Options} = State) ->
    Input =
        case Stdin of
            {data, _} -> {data, <<>>};
            _ -> Stdin
        end,
    Sent = [inherited, env, setup, seccomp],
    State#state{options = maps:without(Sent, Options#{stdin := Input})}.

%% The keeper watches the deadline; this is for a keeper that can't.
watch_deadline(#state{options = #{timeout := infinity}} = State) ->
    State;
watch_deadline(#state{options = #{timeout := Timeout, grace := Grace}} = State) ->
    set_timer(Timeout + Grace + ?PATIENCE, State).

give_input(#state{options = #{stdin := stream}} = State) ->
    State;
give_input(#state{options = #{stdin := {data, Data}}} = State) when Data =/= <<>> ->
    _ = ask({stdin, Data}, State),
    end_input(State);
give_input(#state{options = #{pty := #{}}} = State) ->
    end_input(State);
give_input(State) ->
    State.

%% Ends the program's input: closes its stdin, or types control-D to a terminal.
end_input(#state{options = #{pty := false}} = State) ->
    _ = ask({eof, stdin}, State),
    State;
end_input(#state{options = #{pty := #{raw := true}}} = State) ->
    State;
end_input(State) ->
    _ = ask({stdin, ?VEOF}, State),
    State.

ask(Request, #state{drv = Drv, path = Path}) ->
    alcove_call:submit(Drv, Path, Request).

order(Order, #state{drv = Drv, path = Path}) ->
    alcove_nif:order(Drv, Path, Order).

%%--------------------------------------------------------------------
%% The process
%%--------------------------------------------------------------------

%% @private
-spec handle_call(term(), gen_server:from(), #state{}) ->
    {reply, term(), #state{}} | {noreply, #state{}} | {stop, normal, #state{}}.
handle_call({write, Data}, From, #state{phase = Phase} = State) when Phase =/= ended ->
    case State#state.options of
        #{stdin := stream} -> {noreply, pass_answer(ask({stdin, Data}, State), From, State)};
        _ -> {reply, {error, closed}, State}
    end;
handle_call(eof, From, #state{phase = Phase, options = Options} = State) when Phase =/= ended ->
    case Options of
        #{stdin := stream, pty := false} ->
            {noreply, pass_answer(ask({eof, stdin}, State), From, State)};
        #{stdin := stream, pty := #{raw := true}} ->
            {reply, {error, einval}, State};
        #{stdin := stream} ->
            {noreply, pass_answer(ask({stdin, ?VEOF}, State), From, State)};
        _ ->
            {reply, {error, closed}, State}
    end;
handle_call({close, Stream}, From, #state{phase = Phase, options = Options} = State) when
    Phase =/= ended
->
    case Options of
        #{pty := #{}} ->
            {reply, {error, einval}, State};
        #{Stream := Sink} ->
            case alcove_proc_setup:is_piped(Sink) of
                true -> close_stream(Stream, From, State);
                false -> {reply, {error, closed}, State}
            end
    end;
handle_call({read, Timeout, Max}, From, #state{output = Output} = State) ->
    case alcove_proc_output:read(From, Timeout, Max, Output) of
        {ok, Output1} -> proceed(State#state{output = Output1});
        {{error, Reason}, _} -> {reply, {error, Reason}, State}
    end;
handle_call({active, Active}, From, #state{output = Output} = State) ->
    {Reply, Output1} = alcove_proc_output:active(Active, Output),
    gen_server:reply(From, Reply),
    proceed(State#state{output = Output1});
handle_call({signal, Signal}, From, #state{phase = Phase} = State) when Phase =/= ended ->
    Number = alcove_proc_setup:signal(Signal),
    {noreply, pass_answer(order({signal, Number}, State), From, State)};
handle_call({stop, Grace}, From, State) ->
    Stopping = State#state{stoppers = [From | State#state.stoppers]},
    proceed(stop_program(Grace, Stopping));
handle_call(await, {Pid, _} = From, #state{awaiting = Awaiting, output = Output} = State) ->
    proceed(State#state{
        awaiting = [From | Awaiting],
        output = alcove_proc_output:await_end(Pid, Output)
    });
handle_call({winsize, _}, _From, #state{options = #{pty := false}} = State) ->
    {reply, {error, enotty}, State};
handle_call({winsize, {Rows, Columns}}, From, #state{phase = Phase} = State) when
    Phase =/= ended
->
    {noreply, pass_answer(order({size, Rows, Columns}, State), From, State)};
handle_call(info, _From, State) ->
    {reply, summary(State), State};
handle_call({owner, Owner}, From, State) ->
    State#state.owner_ref =:= undefined orelse demonitor(State#state.owner_ref, [flush]),
    gen_server:reply(From, ok),
    proceed(State#state{
        owner = Owner,
        owner_ref = watch(Owner),
        output = alcove_proc_output:owner(Owner, State#state.output)
    });
handle_call({attach, _}, _From, #state{options = #{pty := false}} = State) ->
    {reply, {error, enotty}, State};
handle_call({attach, Pid}, From, #state{phase = running, attached = undefined} = State) ->
    #state{options = #{tag := Tag}, output = Output} = State,
    gen_server:reply(From, {ok, Tag}),
    proceed(State#state{
        attached = {Pid, monitor(process, Pid)},
        output = alcove_proc_output:lend(Pid, Output)
    });
handle_call({attach, _}, _From, #state{phase = running} = State) ->
    {reply, {error, busy}, State};
handle_call({detach, pause}, {Pid, _}, #state{attached = {Pid, _}, output = Output} = State) ->
    {reply, ok, State#state{output = alcove_proc_output:pause(Output)}};
handle_call({detach, Pieces}, {Pid, _} = From, #state{attached = {Pid, _}} = State) ->
    gen_server:reply(From, ok),
    proceed(detach(Pieces, State));
handle_call(_Request, _From, State) ->
    {reply, {error, closed}, State}.

%% The owner gets the messages again, if it is still there.
detach([_ | _], #state{phase = ended, owner = Owner, owner_ref = undefined} = State) when
    is_pid(Owner)
->
    detach([], State);
detach(Pieces, #state{attached = {_, Ref}, output = Output} = State) ->
    demonitor(Ref, [flush]),
    State#state{attached = undefined, output = alcove_proc_output:give_back(Pieces, Output)}.

close_stream(Stream, From, #state{output = Output} = State) ->
    case translate(ask({eof, Stream}, State)) of
        ok ->
            gen_server:reply(From, ok),
            proceed(State#state{output = alcove_proc_output:shut_stream(Stream, Output)});
        Error ->
            {reply, Error, State}
    end.

%% An answer of the library; or a ticket, for an answer that is passed on when it comes.
pass_answer(Ticket, From, #state{waiting = Waiting} = State) when is_reference(Ticket) ->
    Ref = make_ref(),
    ok = alcove_nif:await(Ticket, Ref),
    State#state{waiting = Waiting#{Ref => From}};
pass_answer(Answer, From, State) ->
    gen_server:reply(From, translate(Answer)),
    State.

translate(true) -> ok;
translate('$badpid') -> {error, closed};
translate({error, ebadf}) -> {error, closed};
translate({'$badarg', _}) -> {error, einval};
translate(Answer) -> Answer.

%% @private
-spec handle_cast(term(), #state{}) -> {noreply, #state{}} | {stop, normal, #state{}}.
handle_cast(expired, #state{phase = ended} = State) ->
    proceed(stop_program(0, State));
handle_cast(expired, State) ->
    proceed(end_program(timeout, 0, State#state{expired = true}));
%% The caller that started the program ends it, and awaits the outcome as before.
handle_cast({stop, Grace}, State) ->
    proceed(stop_program(Grace, State));
handle_cast(_Message, State) ->
    {noreply, State}.

%% @private
-spec handle_info(term(), #state{}) -> {noreply, #state{}} | {stop, normal, #state{}}.
handle_info({alcove_stdout, Drv, Path, Bytes}, #state{drv = Drv, path = Path} = State) ->
    proceed(take_output(stdout, Bytes, State));
handle_info({alcove_stderr, Drv, Path, Bytes}, #state{drv = Drv, path = Path} = State) ->
    proceed(take_output(stderr, Bytes, State));
handle_info({alcove_event, Drv, Path, {over, Over}}, #state{drv = Drv, path = Path} = State) ->
    proceed(take_report(Over, State));
handle_info({alcove_proc_output, Worker, Made}, #state{output = Output} = State) ->
    proceed(State#state{output = alcove_proc_output:take_work(Worker, Made, Output)});
handle_info({timeout, Ref, What}, #state{timer = Ref} = State) ->
    proceed(handle_timer(What, State#state{timer = undefined}));
handle_info({timeout, Ref, read}, #state{output = Output} = State) ->
    {noreply, State#state{output = alcove_proc_output:end_read(Ref, Output)}};
handle_info({'DOWN', Ref, process, _, Reason}, #state{drv_ref = Ref} = State) ->
    proceed(give_up({drv, Reason}, State));
handle_info({'DOWN', Ref, process, _, _}, #state{owner_ref = Ref} = State) ->
    proceed(end_for_owner(State#state{owner_ref = undefined}));
handle_info({'DOWN', Ref, process, _, _}, #state{attached = {_, Ref}} = State) ->
    proceed(detach([], State));
handle_info({'DOWN', Ref, process, _, _}, #state{output = Output} = State) ->
    {Credit, Output1} = alcove_proc_output:end_look(Ref, Output),
    Credit =:= none orelse allow(Credit, State),
    proceed(State#state{output = Output1});
handle_info({Ref, Answer}, #state{waiting = Waiting} = State) when is_map_key(Ref, Waiting) ->
    {From, Rest} = maps:take(Ref, Waiting),
    gen_server:reply(From, translate(Answer)),
    {noreply, State#state{waiting = Rest}};
handle_info({'EXIT', Drv, Reason}, #state{drv = Drv} = State) ->
    proceed(give_up({drv, Reason}, State));
handle_info({'EXIT', Pid, Reason}, #state{output = Output} = State) ->
    %% A linked process failed: this one ends, as any linked process does.
    case alcove_proc_output:take_failure(Pid, Output) of
        {true, Output1} -> proceed(end_for_function(Reason, State#state{output = Output1}));
        {false, _} when Reason =:= normal -> {noreply, State};
        {false, _} -> proceed(end_program({process, Reason}, grace(undefined, State), State))
    end;
handle_info(_Message, State) ->
    {noreply, State}.

%% @private
-spec terminate(term(), #state{}) -> ok.
terminate(normal, #state{phase = ended}) ->
    ok;
terminate(_Reason, #state{phase = ended} = State) ->
    run_to_the_end(set_timer(?WORK, State));
terminate(Reason, State) ->
    run_to_the_end(end_program(Reason, grace(undefined, State), State)).

%% A supervisor waits until this returns. Functions get all that the program wrote, as long as they
%% don't take too long.
run_to_the_end(#state{phase = ended, output = Output} = State) ->
    case alcove_proc_output:is_working(Output) of
        true ->
            next_to_the_end(State);
        false ->
            _ = conclude(State),
            ok
    end;
run_to_the_end(State) ->
    next_to_the_end(State).

next_to_the_end(State) ->
    receive
        Message ->
            case handle_info(Message, State) of
                {noreply, State1} -> run_to_the_end(State1);
                {stop, normal, _} -> ok
            end
    end.

%% @private
-spec format_status(gen_server:format_status()) -> gen_server:format_status().
format_status(Status) ->
    maps:map(
        fun
            (state, #state{} = State) -> maps:without([argv, meta, tag], summary(State));
            (message, _) -> hidden;
            (log, _) -> [];
            (_, Value) -> Value
        end,
        Status
    ).

summary(#state{options = Options, path = Path, output = Output} = State) ->
    #{argv := Argv, name := Name, tag := Tag, meta := Meta} = Options,
    #{
        name => Name,
        tag => Tag,
        meta => Meta,
        drv => State#state.drv,
        fork_path => Path,
        os_pid => lists:last(Path),
        argv => Argv,
        state => State#state.phase,
        owner => State#state.owner,
        active => alcove_proc_output:is_active(Output),
        pty => is_map(maps:get(pty, Options)),
        queued => alcove_proc_output:queued(Output),
        wall_time => wall(State)
    }.

wall(#state{over = #over{wall = Wall}}) ->
    Wall;
wall(#state{started = Start}) ->
    erlang:convert_time_unit(erlang:monotonic_time() - Start, native, microsecond).

%%--------------------------------------------------------------------
%% Output
%%--------------------------------------------------------------------

take_output(Stream, Bytes, #state{output = Output} = State) ->
    case alcove_proc_output:add(Stream, Bytes, Output) of
        {ok, Output1} -> State#state{output = Output1};
        {full, Output1} -> end_program({output_limit, Stream}, 0, State#state{output = Output1})
    end.

end_for_function(Reason, #state{phase = ended, why = undefined} = State) ->
    State#state{why = {process, Reason}};
end_for_function(Reason, State) ->
    end_program({process, Reason}, grace(undefined, State), State).

%% Is called after every event: delivers output that waits, asks the router for more when there is
%% room, and ends the process when all is done.
proceed(#state{output = Output} = State) ->
    case State#state{output = alcove_proc_output:deliver(Output)} of
        #state{phase = ended, output = Delivered} = Ended ->
            case
                alcove_proc_output:is_empty(Delivered) andalso
                    not alcove_proc_output:is_working(Delivered)
            of
                true -> conclude(Ended);
                false -> {noreply, tell_waiting(Ended)}
            end;
        #state{output = Delivered} = Running ->
            {Credit, Output1} = alcove_proc_output:credit(Delivered),
            Credit =:= none orelse allow(Credit, Running),
            {noreply, Running#state{output = Output1}}
    end.

%% The program has ended, and its output waits to be read. Who waits for the end doesn't wait for
%% that: whoever should read may be the one who waits.
tell_waiting(#state{awaiting = []} = State) ->
    State;
tell_waiting(#state{awaiting = Awaiting, output = Output} = State) ->
    case alcove_proc_output:is_working(Output) of
        true ->
            State;
        false ->
            Outcome = outcome(alcove_proc_output:result(Output), State),
            lists:foreach(fun(From) -> gen_server:reply(From, Outcome) end, Awaiting),
            State#state{awaiting = []}
    end.

allow(Messages, #state{drv = Drv, path = Path}) ->
    alcove_nif:flowcontrol(Drv, Path, Messages).

%%--------------------------------------------------------------------
%% The end
%%--------------------------------------------------------------------

grace(undefined, #state{options = #{grace := Grace}}) -> Grace;
grace(Grace, _State) -> Grace.

stop_program(_Grace, #state{phase = ended, output = Output} = State) ->
    %% The program has ended; output that waits is dropped.
    State#state{output = alcove_proc_output:give_up(alcove_proc_output:discard(Output))};
stop_program(Grace, State) ->
    end_program(stopped, grace(Grace, State), State).

%% Makes the keeper end the program. The first reason is the one that counts.
end_program(_Why, _Grace, #state{phase = ended} = State) ->
    State;
end_program(Why, Grace, #state{phase = running, options = #{stop_signal := Signal}} = State) ->
    report_kill(
        Why,
        case Grace of
            0 -> sigkill;
            _ -> Signal
        end,
        State
    ),
    order_end(Grace, State#state{phase = stopping, why = Why});
end_program(_Why, Grace, State) ->
    order_end(Grace, State).

report_kill(Why, Signal, State) ->
    Duration = erlang:convert_time_unit(wall(State), microsecond, native),
    event(kill, #{duration => Duration}, #{signal => Signal, reason => Why}, State).

order_end(Grace, #state{options = #{stop_signal := Signal}} = State) ->
    _ = order({'end', alcove_proc_setup:signal(Signal), Grace}, State),
    set_timer(Grace + ?PATIENCE, lift_flow_control(State)).

%% Lifts the flow control: the program may have to write before it can end, and its end is reported
%% after all that it wrote. Neither must wait for a reader.
lift_flow_control(#state{output = Output} = State) ->
    _ = allow(-1, State),
    State#state{output = alcove_proc_output:close(Output)}.

set_timer(Ms, #state{timer = Timer} = State) ->
    is_reference(Timer) andalso erlang:cancel_timer(Timer),
    State#state{timer = erlang:start_timer(min(Ms, 16#ffffffff), self(), keeper)}.

%% The keeper doesn't answer. A program of the same user may have stopped it. Its parent continues
%% it, and if that doesn't help, kills it, and with it the program.
handle_timer(keeper, #state{phase = ended, output = Output} = State) ->
    State#state{output = alcove_proc_output:give_up(Output)};
handle_timer(keeper, #state{drv = Drv, path = Path, options = #{in := In}} = State) ->
    Keeper = lists:nth(length(Path) - 1, Path),
    _ = [
        try
            alcove:call(Drv, In, kill, [Keeper, Signal], ?PATIENCE)
        catch
            _:_ -> ok
        end
     || Signal <- [sigcont, sigkill]
    ],
    set_timer(?PATIENCE, give_up_next_time(State)).

%% After two attempts in vain this process waits no longer.
give_up_next_time(#state{why = {lost, Why}} = State) ->
    give_up(Why, State);
give_up_next_time(#state{why = Why} = State) ->
    State#state{why = {lost, Why}}.

end_for_owner(#state{phase = ended, output = Output} = State) ->
    State#state{
        why = {shutdown, owner_died},
        output = alcove_proc_output:give_up(alcove_proc_output:discard(Output))
    };
end_for_owner(State) ->
    end_program({shutdown, owner_died}, grace(undefined, State), State).

%% The program is gone, and its status can't be known.
give_up(_Why, #state{phase = ended} = State) ->
    State;
give_up(Why, #state{output = Output} = State) ->
    set_timer(?WORK, State#state{
        phase = ended,
        why = Why,
        output = alcove_proc_output:discard(alcove_proc_output:end_program(Output))
    }).

take_report(_Over, #state{phase = ended} = State) ->
    State;
take_report({End, Because, Wall, Usage, Left}, #state{timer = Timer, output = Output} = State) ->
    is_reference(Timer) andalso erlang:cancel_timer(Timer),
    Status =
        case End of
            {exit_status, N} -> N;
            {termsig, Signal} -> {termsig, Signal};
            unknown -> unknown
        end,
    Stats = alcove_proc_setup:stats(State#state.group),
    ok = alcove_proc_setup:ungroup(State#state.group),
    Over = #over{status = Status, wall = Wall div 1000, usage = Usage, left = Left},
    Ended = State#state{
        phase = ended,
        timer = undefined,
        over = Over,
        stats = Stats,
        output = alcove_proc_output:end_program(Output)
    },
    case {Because, State} of
        {timeout, #state{phase = running, options = #{stop_signal := Stop}}} ->
            %% The keeper watched the timeout, and so ended the program in time.
            report_kill(timeout, Stop, Ended),
            set_timer(?WORK, close_output(Ended#state{why = timeout}));
        %% Nobody reads it any more: the owner has ended, and no other has taken its place.
        {_, #state{phase = stopping, owner = Owner, owner_ref = undefined}} when is_pid(Owner) ->
            set_timer(?WORK, discard_output(Ended));
        {_, #state{phase = stopping, stoppers = Stoppers, expired = Expired}} when
            Stoppers =/= []; Expired
        ->
            set_timer(?WORK, discard_output(Ended));
        {_, #state{phase = stopping}} ->
            set_timer(?WORK, Ended);
        _ ->
            Ended
    end.

close_output(#state{output = Output} = State) ->
    State#state{output = alcove_proc_output:close(Output)}.

discard_output(#state{output = Output} = State) ->
    State#state{output = alcove_proc_output:discard(Output)}.

-spec conclude(#state{}) -> {stop, normal, #state{}}.
conclude(#state{output = Output} = State) ->
    ok = alcove_proc_output:finish(Output),
    Outcome = outcome(alcove_proc_output:result(Output), State),
    %% A process that gets the outcome may start another program at once.
    ok = alcove_proc_registry:release(maps:get(name, State#state.options)),
    tell_outcome(Outcome, State),
    event(exit, measurements(State), #{status => status(State)}, State),
    case kills(State) of
        0 -> ok;
        Kills -> event(oom, #{kills => Kills}, #{}, State)
    end,
    case State of
        #state{own_drv = true, drv = Drv} ->
            unlink(Drv),
            _ = alcove_drv:stop(Drv),
            ok;
        _ ->
            ok
    end,
    _ = alcove_proc_output:give_up(Output),
    quit(reason(State)),
    {stop, normal, State}.

tell_outcome(Outcome, #state{alias = Alias, owner = Owner, options = #{tag := Tag}} = State) ->
    _ = [Attached ! {Tag, self(), {exit, Outcome}} || {Attached, _} <- [State#state.attached]],
    _ = [gen_server:reply(From, {error, closed}) || From <- maps:values(State#state.waiting)],
    _ = [gen_server:reply(From, Outcome) || From <- State#state.stoppers],
    if
        is_reference(Alias) ->
            send_outcome(Alias, Outcome);
        is_pid(Owner) ->
            Owner ! {Tag, self(), {exit, Outcome}},
            ok;
        true ->
            ok
    end,
    %% This comes after the message, which an owner that waits takes instead.
    _ = [gen_server:reply(From, Outcome) || From <- State#state.awaiting],
    ok.

outcome(_Collected, #state{over = undefined, why = Why}) ->
    {error, Why};
outcome(_Collected, #state{over = #over{status = unknown, left = []}}) ->
    %% The keeper was killed.
    {error, {parent, gone}};
outcome(Collected, #state{over = #over{left = [_ | _] = Left}} = State) ->
    {error, {{leftovers, Left}, result(Collected, State)}};
outcome(Collected, #state{over = #over{left = []}} = State) ->
    {error, {{leftovers, []}, result(Collected, State)}};
outcome(Collected, #state{why = Why} = State) when Why =:= undefined; Why =:= stopped ->
    {ok, result(Collected, State)};
outcome(_Collected, #state{why = {process, _} = Why}) ->
    {error, Why};
outcome(Collected, #state{why = Why} = State) ->
    {error, {Why, result(Collected, State)}}.

result(Collected, #state{path = Path, stats = Stats} = State) ->
    Figures = maps:merge(Collected, usage(State)),
    Ended = Figures#{
        status => status(State),
        wall_time => wall(State),
        os_pid => lists:last(Path)
    },
    #{meta := Meta} = State#state.options,
    More = #{limit => limit(Ended, State), cgroup => Stats, meta => Meta},
    maps:merge(Ended, maps:filter(fun is_said/2, More)).

is_said(limit, Limit) -> Limit =/= none;
is_said(cgroup, Stats) -> Stats =/= undefined;
is_said(meta, Meta) -> Meta =/= #{}.

%% The limit that ended the program, if the way it ended tells. A process of it may have been killed
%% at a limit and the program have gone on.
limit(#{status := 0}, _State) ->
    none;
limit(#{status := {termsig, sigxcpu}}, _State) ->
    cpu;
limit(#{status := {termsig, sigxfsz}}, _State) ->
    fsize;
limit(Result, State) ->
    case kills(State) > 0 andalso is_certain(Result, State) of
        true -> memory;
        false -> killed_by_cpu(Result, State)
    end.

kills(#state{group = Group, stats = Stats}) ->
    alcove_proc_setup:kills(Group, Stats).

%% Whether it was the program that lost a process for want of memory. In a control group with a name
%% that may have been another program. Then only the program's own death tells, unless alcove killed
%% it.
is_certain(#{status := Status}, #state{group = Group, why = Why}) ->
    alcove_proc_setup:is_own(Group) orelse
        (Status =:= {termsig, sigkill} andalso Why =:= undefined).

killed_by_cpu(
    #{status := {termsig, sigkill}, user_time := User, system_time := System},
    #state{options = #{rlimits := Limits}}
) ->
    %% The kernel counts ticks against the limit. What it says of the time that was used is more
    %% exact, and may be much less where others had the processor for parts of the ticks.
    case lists:keyfind(rlimit_cpu, 1, Limits) of
        {rlimit_cpu, {alcove_rlimit, _, Hard}} when
            is_integer(Hard), User + System >= Hard * 500000
        ->
            cpu;
        _ ->
            none
    end;
killed_by_cpu(_Result, _State) ->
    none.

%% A keeper that was lost, or couldn't kill the program, knows neither its status nor what it used.
status(#state{over = #over{status = Status}}) when Status =/= unknown -> Status;
status(_State) -> undefined.

usage(#state{over = undefined}) ->
    #{};
usage(#state{over = #over{status = unknown}}) ->
    #{};
usage(#state{over = #over{usage = Usage}, stats = Stats, group = Group}) ->
    Used = alcove_telemetry:used(Usage),
    case {Stats, alcove_proc_setup:is_own(Group)} of
        {#{memory := #{peak := Peak}}, true} when is_integer(Peak) -> Used#{peak_memory := Peak};
        _ -> Used
    end.

measurements(State) ->
    (usage(State))#{
        duration => erlang:convert_time_unit(wall(State), microsecond, native)
    }.

reason(#state{over = #over{left = Left}}) when Left =/= false -> {leftovers, Left};
reason(#state{why = stopped}) -> normal;
reason(#state{why = Why}) when Why =/= undefined -> Why;
reason(#state{over = #over{status = 0}}) -> normal;
reason(#state{over = #over{status = {termsig, _} = Status}}) -> Status;
reason(#state{over = #over{status = Status}}) -> {exit_status, Status}.

%% Ends with a reason that linked processes get, but that isn't a crash, so that nothing is logged.
quit(normal) ->
    ok;
quit(Reason) ->
    process_flag(trap_exit, false),
    exit(self(), Reason),
    ok.

event(Name, Measurements, More, #state{options = Options, path = Path} = State) ->
    #{argv := Argv, meta := Meta} = Options,
    Metadata = maps:merge(Meta, More#{
        drv => State#state.drv,
        pid => self(),
        fork_path => Path,
        os_pid => lists:last(Path),
        argv => Argv
    }),
    alcove_telemetry:execute([alcove, proc, Name], Measurements, Metadata).
