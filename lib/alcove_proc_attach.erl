%% @private
%% @doc Connects the caller's terminal with a program that has a terminal of its own.
%%
%% Meanwhile a separate process gets what the program writes. The owner stays the owner. What that
%% process hasn't shown when it detaches goes back to the program's process, which delivers it to
%% the owner first. If the caller is killed, the program goes on.
-module(alcove_proc_attach).

-export([attach/2]).

%% How often the size of the terminal is checked, in milliseconds.
-define(LOOK, 500).
-define(VEOF, 4).

-record(attached, {
    proc :: pid(),
    watch :: reference(),
    tag :: term(),
    %% The caller, and its terminal.
    caller :: reference(),
    leader :: pid(),
    reader :: pid(),
    %% The console that shows what the program writes.
    console :: alcove_proc_sink:state(),
    escape :: byte() | none,
    %% Where in a line the next character is: an escape only counts at the beginning.
    column = first :: first | escaped | later,
    ends = 0 :: 0..1,
    size :: {pos_integer(), pos_integer()} | undefined
}).

-spec attach(pid(), alcove_proc:attach_options()) -> alcove_proc:attach_result().
attach(Proc, Options) ->
    {Caller, Leader} = {self(), group_leader()},
    Done = make_ref(),
    {Pid, Ref} = spawn_monitor(fun() ->
        Caller ! {Done, begun(Proc, Options, Caller, Leader)}
    end),
    receive
        {Done, Result} ->
            demonitor(Ref, [flush]),
            Result;
        {'DOWN', Ref, process, Pid, _Reason} ->
            {error, terminated}
    end.

begun(Proc, Options, Caller, Leader) ->
    Watch = monitor(process, Proc),
    case ask(Proc, {attach, self()}) of
        {ok, Tag} ->
            connected(
                #attached{
                    proc = Proc,
                    watch = Watch,
                    tag = Tag,
                    caller = monitor(process, Caller),
                    leader = Leader,
                    reader = reader(Leader),
                    console = alcove_proc_sink:new({console, Leader}, false, #{}),
                    escape = maps:get(escape, Options, $~)
                },
                echoes(Leader)
            );
        {error, Reason} ->
            {error, Reason}
    end.

connected(#attached{leader = Leader, reader = Reader} = State, Before) ->
    %% The program's terminal shows what is typed.
    _ = io:setopts(Leader, [{echo, false}]),
    try
        attached(State)
    catch
        Class:Reason:Stack ->
            _ = give_back(State),
            erlang:raise(Class, Reason, Stack)
    after
        unlink(Reader),
        exit(Reader, kill),
        _ = io:setopts(Leader, [{echo, Before}])
    end.

echoes(Leader) ->
    case io:getopts(Leader) of
        Options when is_list(Options) -> proplists:get_value(echo, Options, true);
        _ -> true
    end.

ask(Proc, Request) ->
    try
        gen_server:call(Proc, Request, infinity)
    catch
        exit:_ -> {error, closed}
    end.

detach(#attached{console = Console} = State) ->
    case give_back(State) of
        ok ->
            detached;
        %% The program has ended first: the message of its end is here, or comes at once.
        {error, Pieces} ->
            Add = fun({_Stream, Bytes}, Shown) -> alcove_proc_sink:add(Bytes, Shown) end,
            attached(State#attached{console = lists:foldl(Add, Console, Pieces)})
    end.

%% Detaches in two steps, so that the owner gets everything once and in order: first no more comes
%% here, then what has come and wasn't shown goes back.
give_back(#attached{proc = Proc, tag = Tag}) ->
    case ask(Proc, {detach, pause}) of
        ok ->
            Pieces = not_shown(Proc, Tag),
            case ask(Proc, {detach, Pieces}) of
                ok -> ok;
                {error, _} -> {error, Pieces}
            end;
        {error, _} ->
            {error, []}
    end.

not_shown(Proc, Tag) ->
    receive
        {Tag, Proc, {Stream, Bytes}} when is_binary(Bytes) ->
            [{Stream, Bytes} | not_shown(Proc, Tag)]
    after 0 -> []
    end.

attached(State) ->
    Sized = resized(State),
    #attached{
        proc = Proc, watch = Watch, tag = Tag, caller = Caller, reader = Reader, console = Console
    } = Sized,
    receive
        {Tag, Proc, {exit, Outcome}} ->
            _ = alcove_proc_sink:ended(Console),
            {exit, Outcome};
        %% The program's process was killed.
        {'DOWN', Watch, process, _, Reason} ->
            {exit, {error, {process, Reason}}};
        {Tag, Proc, {_Stream, Bytes}} ->
            attached(Sized#attached{console = alcove_proc_sink:add(Bytes, Console)});
        {Reader, eof} when Sized#attached.ends =:= 0 ->
            _ = alcove_proc:write(Proc, <<?VEOF>>),
            Reader ! more,
            attached(Sized#attached{ends = 1, column = first});
        {Reader, Typed} when is_binary(Typed) ->
            typed(Typed, Sized#attached{ends = 0});
        %% The terminal is gone.
        {Reader, _} ->
            detach(Sized);
        {'DOWN', Caller, process, _, _} ->
            detach(Sized)
    after ?LOOK ->
        attached(Sized)
    end.

%% Detaches as ssh(1) does: by an escape at the beginning of a line and a full stop. Typing the
%% escape twice sends it once.
typed(<<Byte, _/binary>> = Typed, State) ->
    #attached{proc = Proc, column = Column, escape = Escape} = State,
    case Column of
        escaped when Typed =:= <<".">> ->
            detach(State);
        escaped when Byte =:= Escape ->
            written(Proc, Typed, State);
        escaped ->
            written(Proc, [Escape, Typed], State);
        first when Byte =:= Escape ->
            State#attached.reader ! more,
            attached(State#attached{column = escaped});
        _ ->
            written(Proc, Typed, State)
    end.

written(Proc, Typed, #attached{reader = Reader} = State) ->
    _ = alcove_proc:write(Proc, Typed),
    Reader ! more,
    Column =
        case binary:last(iolist_to_binary(Typed)) of
            End when End =:= $\n; End =:= $\r -> first;
            _ -> later
        end,
    attached(State#attached{column = Column}).

%% Starts a process that reads one character for each `more'. So it takes nothing that is typed
%% after the last one from the process that reads the terminal next.
reader(Leader) ->
    To = self(),
    Reader = spawn_link(fun() -> read(To, Leader) end),
    Reader ! more,
    Reader.

read(To, Leader) ->
    receive
        more -> ok
    end,
    Read =
        case io:get_chars(Leader, "", 1) of
            Typed when is_list(Typed); is_binary(Typed) -> unicode:characters_to_binary(Typed);
            Other -> Other
        end,
    To ! {self(), Read},
    read(To, Leader).

resized(#attached{proc = Proc, leader = Leader, size = Size} = State) ->
    case {io:rows(Leader), io:columns(Leader)} of
        {{ok, Rows}, {ok, Columns}} when {Rows, Columns} =/= Size ->
            _ = alcove_proc:winsize(Proc, Rows, Columns),
            State#attached{size = {Rows, Columns}};
        _ ->
            State
    end.
