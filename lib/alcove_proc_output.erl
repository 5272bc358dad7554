%% @private
%% @doc The output of a program, from the router's messages to its receivers.
%%
%% Each stream has a sink. Pieces for the owner, or for a reader, wait in a queue. The router may
%% send as many as it has credit for, and gets more credit when the queue is short and the owner has
%% taken what it was sent. A process of its own calls functions, so that a slow one holds up nothing
%% else.
%%
%% Pieces wait as they came. They are cut into lines when they are delivered, since one piece may
%% be as many lines as it has bytes.
%%
%% ```
%%            add/3                 deliver/1
%%   router --------> sink, queue ------------> owner, reader
%%      ^                               |
%%      +--------- credit/1 <-----------+
%% '''
-module(alcove_proc_output).

-export([
    new/1,
    add/3,
    deliver/1,
    credit/1,
    window/1,
    active/2,
    is_active/1,
    read/4,
    end_read/2,
    owner/2,
    lend/2,
    pause/1,
    give_back/2,
    close/1,
    shut_stream/2,
    discard/1,
    is_empty/1,
    queued/1,
    finish/1,
    result/1,
    end_look/2,
    take_work/3,
    is_working/1,
    take_failure/2,
    end_program/1,
    await_end/2,
    give_up/1
]).

-export_type([output/0]).

%% How many messages the router may send ahead.
-define(WINDOW, 16).
%% An owner with so many messages in its queue may have to read first.
-define(BEHIND, 256).
%% How many lines of a program that has ended an owner gets before it has to read.
-define(LAST, 65536).

-record(sink, {
    to :: message | discard | collect | alcove_proc_sink:sink(),
    max = infinity :: non_neg_integer() | infinity,
    full = kill :: kill | truncate,
    size = 0 :: non_neg_integer(),
    truncated = false :: boolean(),
    %% Newest first.
    data = [] :: [binary()]
}).

%% A process that reads one piece.
-record(reader, {
    from :: gen_server:from(),
    watch :: reference(),
    timer :: reference() | undefined,
    max :: pos_integer() | infinity
}).

%% What is the owner's again when the process that gets its messages detaches.
-record(lent, {
    owner :: pid() | none,
    active :: boolean() | once | pos_integer(),
    awaited :: boolean()
}).

-record(output, {
    stdout :: #sink{},
    stderr :: #sink{},
    %% The process that gets the messages: the owner, or the one that is attached.
    owner :: pid() | none,
    lent :: #lent{} | undefined,
    %% The tag of the owner's messages.
    tag :: term(),
    active :: boolean() | once | pos_integer(),
    reader :: #reader{} | undefined,
    %% Pieces that were not asked for yet. A `cut' stands where some were dropped. A `line' was cut
    %% already, and is taken as it is.
    queue = queue:new() :: queue:queue({stdout | stderr, binary() | {line, binary()} | cut}),
    lines :: alcove_proc_lines:max() | false,
    %% The beginnings of lines whose ends haven't come.
    begun :: #{stdout | stderr => alcove_proc_lines:lines()},
    %% How many lines the owner got since the last check whether it keeps up.
    handed = 0 :: non_neg_integer(),
    %% How many messages the router may still send; -1: no limit.
    credit :: integer(),
    %% The process that calls functions, and how many pieces it still has to handle.
    worker :: pid() | undefined,
    work = 0 :: non_neg_integer(),
    %% The results of folds.
    made = #{} :: #{stdout | stderr => term()},
    %% Functions aren't called any more: one has failed, or all were told of the end.
    idle = false :: boolean(),
    %% The monitor of a process that checks whether the owner keeps up.
    looking :: reference() | undefined,
    %% Output that comes from now on isn't needed.
    closed = false :: boolean(),
    %% The streams that were closed.
    shut = [] :: [stdout | stderr],
    %% The program has ended.
    ended = false :: boolean(),
    %% The owner waits for the outcome, and reads nothing until then.
    awaited = false :: boolean()
}).

-opaque output() :: #output{}.

%% @doc The output of a program with these options. The router only needs a limit if output waits
%% for a receiver.
-spec new(alcove_proc_options:parsed()) -> output().
new(#{stdout := Stdout, stderr := Stderr, owner := Owner, active := Active} = Options) ->
    #{lines := Lines, tag := Tag} = Options,
    #output{
        tag = Tag,
        stdout = sink(Stdout),
        stderr = sink(Stderr),
        lines = Lines,
        begun = begin_lines(Lines),
        owner = Owner,
        active = Owner =/= none andalso Active,
        credit =
            case lists:any(fun waits/1, [Stdout, Stderr]) of
                true -> ?WINDOW;
                false -> -1
            end
    }.

waits(message) -> true;
waits(Sink) -> alcove_proc_sink:is_sink(Sink).

sink({collect, Max, Full}) ->
    #sink{to = collect, max = Max, full = Full};
sink(Sink) ->
    case waits(Sink) of
        true -> #sink{to = Sink};
        false -> #sink{to = discard}
    end.

begin_lines(false) ->
    #{};
begin_lines(Max) ->
    #{stdout => alcove_proc_lines:new(Max), stderr => alcove_proc_lines:new(Max)}.

%% @doc How many messages the router may send at first; -1: all.
-spec window(output()) -> integer().
window(#output{credit = Credit}) -> Credit.

%% @doc Takes a piece that came. `{full, Output}' if it was more than may be collected.
-spec add(stdout | stderr, binary(), output()) -> {ok | full, output()}.
add(Stream, Bytes, #output{credit = Credit} = Output) when Credit > 0 ->
    take(Stream, Bytes, Output#output{credit = Credit - 1});
add(Stream, Bytes, Output) ->
    take(Stream, Bytes, Output).

take(Stream, Bytes, #output{shut = Shut} = Output) ->
    case lists:member(Stream, Shut) of
        true -> {ok, Output};
        false -> given(Stream, Bytes, Output)
    end.

given(Stream, Bytes, Output) ->
    #sink{to = To} = Sink = stream(Stream, Output),
    case To of
        collect ->
            collect(Stream, Bytes, Sink, Output);
        message ->
            case is_dropped(Output) of
                true -> {ok, cut(Stream, Output)};
                false -> {ok, Output#output{queue = queue:in({Stream, Bytes}, Output#output.queue)}}
            end;
        discard ->
            {ok, Output};
        _ when Output#output.idle; Output#output.closed, Output#output.work > ?WINDOW ->
            {ok, Output};
        _ ->
            {ok, work({add, Stream, Bytes}, Output)}
    end.

%% Marks that pieces were dropped: the beginning of a line must not be joined with what comes later.
cut(_Stream, #output{lines = false} = Output) ->
    Output;
cut(Stream, #output{queue = Queue} = Output) ->
    case queue:peek_r(Queue) of
        {value, {Stream, cut}} -> Output;
        _ -> Output#output{queue = queue:in({Stream, cut}, Queue)}
    end.

%% A program that is being ended isn't held back any more. It may still write without end, so what
%% its owner doesn't take is dropped.
is_dropped(#output{closed = false}) ->
    false;
is_dropped(#output{active = true, lines = Lines, queue = Queue}) when Lines =/= false ->
    %% One piece may become many lines for an owner that takes all.
    queue:len(Queue) > ?WINDOW;
is_dropped(#output{active = true, owner = Owner}) when node(Owner) =:= node() ->
    case process_info(Owner, message_queue_len) of
        {message_queue_len, Length} -> Length > ?BEHIND;
        undefined -> true
    end;
is_dropped(#output{queue = Queue, active = Active}) ->
    Active =:= true orelse queue:len(Queue) > ?BEHIND.

work(What, #output{worker = undefined} = Output) ->
    Server = self(),
    Sinks = sinks(Output),
    work(What, Output#output{worker = spawn_link(fun() -> worker(Server, Sinks) end)});
work(What, #output{worker = Worker, work = N} = Output) ->
    Worker ! {work, What},
    Output#output{work = N + 1}.

sinks(#output{lines = Lines} = Output) ->
    maps:from_list([
        {Stream, alcove_proc_sink:new(To, Lines, #{pid => self(), stream => Stream})}
     || {Stream, #sink{to = To}} <- streams(Output), alcove_proc_sink:is_sink(To)
    ]).

worker(Server, Sinks) ->
    receive
        {work, {add, Stream, Bytes}} ->
            #{Stream := Sink} = Sinks,
            Added = alcove_proc_sink:add(Bytes, Sink),
            Server ! {alcove_proc_output, self(), #{}},
            worker(Server, Sinks#{Stream := Added});
        {work, ended} ->
            Ended = maps:map(fun(_Stream, Sink) -> alcove_proc_sink:ended(Sink) end, Sinks),
            Made = maps:from_list([{Stream, Term} || {Stream, {ok, Term}} <- maps:to_list(Ended)]),
            Server ! {alcove_proc_output, self(), Made},
            worker(Server, #{})
    end.

%% @doc The worker has handled a piece.
-spec take_work(pid(), #{stdout | stderr => term()}, output()) -> output().
take_work(Worker, Made, #output{worker = Worker, work = N} = Output) ->
    Output#output{work = N - 1, made = maps:merge(Output#output.made, Made)};
take_work(_Worker, _Made, Output) ->
    Output.

%% @doc A process has ended; `{true, Output}' if it was the one that calls functions.
-spec take_failure(pid(), output()) -> {boolean(), output()}.
take_failure(Worker, #output{worker = Worker} = Output) ->
    {true, Output#output{worker = undefined, work = 0, idle = true}};
take_failure(_Pid, Output) ->
    {false, Output}.

%% @doc The program has ended. Functions get the beginning of a line that is left, and are told of
%% the end.
-spec end_program(output()) -> output().
end_program(#output{ended = true} = Output) ->
    Output;
end_program(#output{idle = Idle} = Output) ->
    Ended = Output#output{ended = true, idle = true},
    case not Idle andalso is_concerned(Output) of
        true -> work(ended, Ended);
        false -> Ended
    end.

%% A fold also has a result if there was no output.
is_concerned(#output{worker = Worker}) when is_pid(Worker) ->
    true;
is_concerned(Output) ->
    IsFold = fun({_, #sink{to = To}}) -> is_tuple(To) andalso element(1, To) =:= fold end,
    lists:any(IsFold, streams(Output)).

%% @doc Whether functions are being called, or still have to be.
-spec is_working(output()) -> boolean().
is_working(#output{work = N}) -> N > 0.

%% @doc Stops calling functions.
-spec give_up(output()) -> output().
give_up(#output{worker = undefined} = Output) ->
    Output#output{idle = true};
give_up(#output{worker = Worker} = Output) ->
    unlink(Worker),
    exit(Worker, kill),
    Output#output{worker = undefined, work = 0, idle = true}.

streams(#output{stdout = Stdout, stderr = Stderr}) -> [{stdout, Stdout}, {stderr, Stderr}].

stream(stdout, Output) -> Output#output.stdout;
stream(stderr, Output) -> Output#output.stderr.

stream(stdout, Sink, Output) -> Output#output{stdout = Sink};
stream(stderr, Sink, Output) -> Output#output{stderr = Sink}.

collect(Stream, Bytes, #sink{size = Size, max = Max, data = Data} = Sink, Output) ->
    case Size + byte_size(Bytes) of
        More when More =< Max ->
            {ok, stream(Stream, Sink#sink{size = More, data = [Bytes | Data]}, Output)};
        _ ->
            Room = binary:copy(binary:part(Bytes, 0, Max - Size)),
            Full = Sink#sink{size = Max, data = [Room | Data], truncated = true},
            How =
                case Sink of
                    #sink{full = kill} -> full;
                    #sink{full = truncate} -> ok
                end,
            {How, stream(Stream, Full, Output)}
    end.

%% @doc Delivers pieces that wait, to the owner or a reader, as far as these may have them now.
-spec deliver(output()) -> output().
deliver(#output{active = false, reader = undefined} = Output) ->
    Output;
deliver(Output) ->
    case is_paced(Output) of
        true ->
            case keeps_up(Output) of
                {true, Output1} -> deliver(Output1#output{handed = 0});
                {false, Output1} -> Output1
            end;
        false ->
            case take_next(Output) of
                {empty, Output1} -> Output1;
                {Piece, Output1} -> deliver(hand(Piece, Output1))
            end
    end.

%% Whether the owner has to keep up before it gets more: few pieces may become very many lines.
is_paced(#output{lines = Lines, reader = Reader}) when Lines =:= false; Reader =/= undefined ->
    false;
is_paced(#output{ended = false, handed = Handed}) ->
    Handed >= ?BEHIND;
is_paced(#output{awaited = Awaited, handed = Handed}) ->
    not Awaited andalso Handed >= ?LAST.

%% The next piece, or line.
take_next(#output{queue = Queue, lines = Lines, begun = Begun} = Output) ->
    case queue:out(Queue) of
        {{value, {Stream, {line, Line}}}, Rest} ->
            {{Stream, Line}, Output#output{queue = Rest}};
        {{value, Piece}, Rest} when Lines =:= false ->
            {Piece, Output#output{queue = Rest}};
        {empty, _} when Lines =:= false ->
            {empty, Output};
        {{value, {Stream, cut}}, Rest} ->
            take_rest(Stream, Output#output{queue = Rest}, fun take_next/1);
        {{value, {Stream, Bytes}}, Rest} ->
            #{Stream := Begin} = Begun,
            case alcove_proc_lines:next(Bytes, Begin) of
                {Line, More, Begin1} ->
                    Left =
                        case More of
                            <<>> -> Rest;
                            _ -> queue:in_r({Stream, More}, Rest)
                        end,
                    {{Stream, Line}, Output#output{queue = Left, begun = Begun#{Stream := Begin1}}};
                {more, Begin1} ->
                    take_next(Output#output{queue = Rest, begun = Begun#{Stream := Begin1}})
            end;
        {empty, _} when Output#output.ended ->
            Stderr = fun(Still) -> take_rest(stderr, Still, fun(None) -> {empty, None} end) end,
            take_rest(stdout, Output, Stderr);
        {empty, _} ->
            {empty, Output}
    end.

%% The beginning of a line, if there is one.
take_rest(Stream, #output{begun = Begun} = Output, Else) ->
    case alcove_proc_lines:rest(maps:get(Stream, Begun)) of
        {<<>>, _} -> Else(Output);
        {Line, Lines} -> {{Stream, Line}, Output#output{begun = Begun#{Stream := Lines}}}
    end.

hand({Stream, Bytes}, #output{reader = #reader{max = Max}, queue = Queue} = Output) when
    byte_size(Bytes) > Max
->
    %% The rest of a line counts as a line, which has come already.
    <<First:Max/binary, Rest/binary>> = Bytes,
    answered({ok, {Stream, First}}, Output#output{
        queue = queue:in_r({Stream, {line, Rest}}, Queue)
    });
hand(Piece, #output{reader = #reader{}} = Output) ->
    answered({ok, Piece}, Output);
hand(Piece, #output{owner = Owner, tag = Tag, active = Active, handed = Handed} = Output) ->
    Owner ! {Tag, self(), Piece},
    case Active of
        true ->
            Output#output{handed = Handed + 1};
        once ->
            Output#output{active = false};
        1 ->
            Owner ! {Tag, self(), passive},
            Output#output{active = false};
        N ->
            Output#output{active = N - 1}
    end.

cancel(undefined) ->
    ok;
cancel(Ref) ->
    _ = erlang:cancel_timer(Ref),
    ok.

%% @doc How many messages the router may send from now on, if half of the window was used
%% and little waits; `none' if the router needn't be told anything now.
-spec credit(output()) -> {pos_integer() | none, output()}.
credit(#output{credit = Credit} = Output) when Credit < 0; Credit > ?WINDOW div 2 ->
    {none, Output};
credit(#output{looking = Ref} = Output) when is_reference(Ref) ->
    {none, Output};
credit(Output) ->
    case has_room(Output) of
        true ->
            case keeps_up(Output) of
                {true, Output1} -> more(Output1);
                {false, Output1} -> {none, Output1}
            end;
        false ->
            {none, Output}
    end.

has_room(#output{queue = Queue, work = Work}) ->
    queue:len(Queue) < ?WINDOW andalso Work < ?WINDOW div 2.

%% An owner that asks for a number of pieces has made room for them. An owner that takes all is
%% behind if it has not taken the pieces that it was sent; its other messages don't count.
keeps_up(#output{looking = Ref} = Output) when is_reference(Ref) ->
    {false, Output};
keeps_up(#output{active = true, owner = Owner} = Output) when node(Owner) =:= node() ->
    case process_info(Owner, message_queue_len) of
        {message_queue_len, Length} when Length > ?BEHIND ->
            {false, Output#output{looking = alcove_flow:watch(Owner)}};
        _ ->
            {true, Output}
    end;
keeps_up(#output{active = true, owner = Owner} = Output) when is_pid(Owner) ->
    {false, Output#output{looking = alcove_flow:watch(Owner)}};
keeps_up(Output) ->
    {true, Output}.

more(Output) ->
    {?WINDOW, Output#output{credit = ?WINDOW}}.

%% @doc A monitored process has ended. If it was the one that checks the owner, the owner keeps up,
%% and this returns how many messages the router may send. If it was the reader, nobody reads.
-spec end_look(reference(), output()) -> {pos_integer() | none, output()}.
end_look(Ref, #output{looking = Ref, credit = Credit} = Output) ->
    Looked = Output#output{looking = undefined, handed = 0},
    case Credit >= 0 andalso Credit =< ?WINDOW div 2 andalso has_room(Looked) of
        true -> more(Looked);
        false -> {none, Looked}
    end;
end_look(Ref, #output{reader = #reader{watch = Ref, timer = Timer}} = Output) ->
    cancel(Timer),
    {none, Output#output{reader = undefined}};
end_look(_Ref, Output) ->
    {none, Output}.

%% @doc See {@link alcove_proc:active/2}. While a process is attached, this is for the time after.
-spec active(boolean() | once | pos_integer(), output()) -> {ok | {error, no_owner}, output()}.
active(_Active, #output{lent = #lent{owner = none}} = Output) ->
    {{error, no_owner}, Output};
active(N, #output{lent = #lent{active = Active} = Lent} = Output) when
    is_integer(N), is_integer(Active)
->
    {ok, Output#output{lent = Lent#lent{active = Active + N}}};
active(Active, #output{lent = #lent{} = Lent} = Output) ->
    {ok, Output#output{lent = Lent#lent{active = Active}}};
active(_Active, #output{owner = none} = Output) ->
    {{error, no_owner}, Output};
active(N, #output{active = Active} = Output) when is_integer(N), is_integer(Active) ->
    {ok, Output#output{active = Active + N}};
active(Active, Output) ->
    {ok, Output#output{active = Active}}.

%% @doc How many pieces the owner gets as messages.
-spec is_active(output()) -> boolean() | once | pos_integer().
is_active(#output{lent = #lent{active = Active}}) -> Active;
is_active(#output{active = Active}) -> Active.

%% @doc A process reads.
-spec read(gen_server:from(), timeout(), pos_integer() | infinity, output()) ->
    {ok | {error, active | busy}, output()}.
read(_From, _Timeout, _Max, #output{lent = Lent} = Output) when Lent =/= undefined ->
    {{error, busy}, Output};
read(_From, _Timeout, _Max, #output{active = Active} = Output) when Active =/= false ->
    {{error, active}, Output};
read(_From, _Timeout, _Max, #output{reader = Reader} = Output) when Reader =/= undefined ->
    {{error, busy}, Output};
read(From, Timeout, Max, Output) ->
    Timer =
        case Timeout of
            infinity -> undefined;
            _ -> erlang:start_timer(Timeout, self(), read)
        end,
    Watch = monitor(process, element(1, From)),
    {ok, Output#output{reader = #reader{from = From, watch = Watch, timer = Timer, max = Max}}}.

%% @doc The time of the reader ran out.
-spec end_read(reference(), output()) -> output().
end_read(Ref, #output{reader = #reader{timer = Ref}} = Output) ->
    answered({error, timeout}, Output);
end_read(_Ref, Output) ->
    Output.

answered(Answer, #output{reader = #reader{from = From, watch = Watch, timer = Timer}} = Output) ->
    demonitor(Watch, [flush]),
    cancel(Timer),
    gen_server:reply(From, Answer),
    Output#output{reader = undefined}.

%% @doc Makes another process the owner, which has nothing to read yet, whatever the former one has.
-spec owner(pid() | none, output()) -> output().
owner(Owner, #output{lent = #lent{} = Lent} = Output) ->
    Output#output{lent = Lent#lent{owner = Owner, awaited = false}};
owner(Owner, #output{looking = Ref} = Output) ->
    is_reference(Ref) andalso demonitor(Ref, [flush]),
    Output#output{owner = Owner, looking = undefined, handed = 0, awaited = false}.

%% @doc A process is attached: it gets all messages, and not the owner.
-spec lend(pid(), output()) -> output().
lend(Pid, #output{owner = Owner, active = Active, awaited = Awaited} = Output) ->
    Lent = #lent{owner = Owner, active = Active, awaited = Awaited},
    (owner(Pid, Output))#output{lent = Lent, active = true}.

%% @doc The process that is attached gets no more.
-spec pause(output()) -> output().
pause(Output) ->
    Output#output{active = false}.

%% @doc It isn't attached any more. The owner gets first what it hasn't used.
-spec give_back([{stdout | stderr, binary()}], output()) -> output().
give_back(Pieces, #output{lent = #lent{} = Lent, queue = Queue} = Output) ->
    #lent{owner = Owner, active = Active, awaited = Awaited} = Lent,
    Unused = queue:from_list([{Stream, {line, Bytes}} || {Stream, Bytes} <- Pieces]),
    Back = owner(Owner, Output#output{lent = undefined, queue = queue:join(Unused, Queue)}),
    Back#output{active = Active, awaited = Awaited}.

%% @doc The program is being ended. It isn't held back any more, and output that comes is only
%% collected.
-spec close(output()) -> output().
close(#output{closed = true} = Output) ->
    Output;
close(Output) ->
    Output#output{closed = true, credit = -1}.

%% @doc A stream was closed: drops what waits of it, and what still comes.
-spec shut_stream(stdout | stderr, output()) -> output().
shut_stream(Stream, #output{queue = Queue, lines = Lines, begun = Begun, shut = Shut} = Output) ->
    Output#output{
        queue = queue:filter(fun({Name, _}) -> Name =/= Stream end, Queue),
        begun = maps:merge(Begun, maps:with([Stream], begin_lines(Lines))),
        shut = lists:usort([Stream | Shut])
    }.

%% @doc Drops what waits. An owner that gets all output as lines first gets some of the lines that
%% were held back.
-spec discard(output()) -> output().
discard(#output{active = true, lines = Lines} = Output) when Lines =/= false ->
    drop_queue(deliver(Output#output{ended = true, handed = 0}));
discard(Output) ->
    drop_queue(Output).

drop_queue(#output{lines = Lines} = Output) ->
    Output#output{queue = queue:new(), begun = begin_lines(Lines)}.

%% @doc A process waits for the outcome.
-spec await_end(pid(), output()) -> output().
await_end(Owner, #output{lent = #lent{owner = Owner} = Lent} = Output) ->
    Output#output{lent = Lent#lent{awaited = true}};
await_end(Owner, #output{owner = Owner} = Output) -> Output#output{awaited = true};
await_end(_Pid, Output) -> Output.

%% @doc Whether nothing waits.
-spec is_empty(output()) -> boolean().
is_empty(#output{lent = #lent{}, active = false}) ->
    %% Some may come back.
    false;
is_empty(#output{queue = Queue, begun = Begun}) ->
    queue:is_empty(Queue) andalso
        lists:all(fun alcove_proc_lines:is_empty/1, maps:values(Begun)).

%% @doc How many pieces wait.
-spec queued(output()) -> non_neg_integer().
queued(#output{queue = Queue}) -> queue:len(Queue).

%% @doc Tells a reader that there is no more.
-spec finish(output()) -> ok.
finish(#output{reader = undefined}) ->
    ok;
finish(Output) ->
    _ = answered(eof, Output),
    ok.

%% @doc Returns what was collected, and the streams of which some was dropped.
-spec result(output()) -> #{atom() => term()}.
result(#output{made = Made} = Output) ->
    Sinks = streams(Output),
    Collected = [
        {Stream, iolist_to_binary(lists:reverse(Data))}
     || {Stream, #sink{to = collect, data = Data}} <- Sinks
    ],
    Truncated = [Stream || {Stream, #sink{truncated = true}} <- Sinks],
    maps:merge(Made, maps:from_list([{truncated, Truncated} | Collected])).
