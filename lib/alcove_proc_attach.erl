%% @private
%% @doc Connects the caller's terminal with a program that has a terminal of its own.
%%
%% Meanwhile a separate process owns the program. If the caller is killed, that process gives the
%% program back to its former owner, and the program goes on.
-module(alcove_proc_attach).

-export([attach/2]).

%% How often the size of the terminal is checked, in milliseconds.
-define(LOOK, 500).
-define(VEOF, 4).

-record(attached, {
    proc :: pid(),
    tag :: term(),
    %% The former owner of the program.
    owner :: pid() | none,
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
    case alcove_proc:info(Proc) of
        #{pty := true, state := running} = Info ->
            {Caller, Leader} = {self(), group_leader()},
            Done = make_ref(),
            {Pid, Ref} = spawn_monitor(fun() ->
                Caller ! {Done, begun(Proc, Info, Options, Caller, Leader)}
            end),
            receive
                {Done, Result} ->
                    demonitor(Ref, [flush]),
                    Result;
                {'DOWN', Ref, process, Pid, _Reason} ->
                    {error, terminated}
            end;
        #{pty := false} ->
            {error, enotty};
        _ ->
            {error, closed}
    end.

begun(Proc, #{owner := Owner, active := Active, tag := Tag}, Options, Caller, Leader) ->
    Before = echoes(Leader),
    State = #attached{
        proc = Proc,
        tag = Tag,
        owner = Owner,
        caller = monitor(process, Caller),
        leader = Leader,
        reader = reader(Leader),
        console = alcove_proc_sink:new({console, Leader}, false, #{}),
        escape = maps:get(escape, Options, $~)
    },
    %% The program's terminal shows what is typed.
    _ = io:setopts(Leader, [{echo, false}]),
    try
        case owned(Proc, self()) of
            ok ->
                _ = alcove_proc:active(Proc, true),
                attached(State);
            {error, Reason} ->
                {error, Reason}
        end
    after
        unlink(State#attached.reader),
        exit(State#attached.reader, kill),
        _ = io:setopts(Leader, [{echo, Before}]),
        restored(Proc, Owner, Active),
        passed_on(Proc, Tag, Owner)
    end.

%% What came for this process since the program was detached is its former owner's.
passed_on(Proc, Tag, Owner) ->
    receive
        {Tag, Proc, What} ->
            _ = is_pid(Owner) andalso (Owner ! {Tag, Proc, What}),
            passed_on(Proc, Tag, Owner)
    after 0 -> ok
    end.

echoes(Leader) ->
    case io:getopts(Leader) of
        Options when is_list(Options) -> proplists:get_value(echo, Options, true);
        _ -> true
    end.

owned(Proc, Owner) ->
    try
        gen_server:call(Proc, {owner, Owner}, infinity)
    catch
        exit:_ -> {error, closed}
    end.

%% Gives the program back to its former owner, if it had one.
restored(Proc, Owner, Active) ->
    _ = alcove_proc:active(Proc, Active),
    owned(Proc, Owner).

attached(State) ->
    Sized = resized(State),
    #attached{
        proc = Proc, tag = Tag, owner = Owner, caller = Caller, reader = Reader, console = Console
    } = Sized,
    receive
        {Tag, Proc, {exit, Outcome}} ->
            _ = alcove_proc_sink:ended(Console),
            %% The former owner gets the message, too.
            _ = is_pid(Owner) andalso (Owner ! {Tag, Proc, {exit, Outcome}}),
            {exit, Outcome};
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
            detached;
        {'DOWN', Caller, process, _, _} ->
            detached
    after ?LOOK ->
        attached(Sized)
    end.

%% Detaches as ssh(1) does: by an escape at the beginning of a line and a full stop. Typing the
%% escape twice sends it once.
typed(<<Byte, _/binary>> = Typed, State) ->
    #attached{proc = Proc, column = Column, escape = Escape} = State,
    case Column of
        escaped when Typed =:= <<".">> ->
            detached;
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
