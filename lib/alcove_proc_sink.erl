%% @private
%% @doc Handles a piece of output, in a process of its own that may take its time: calls a
%% function, logs a line, or writes to the console.
-module(alcove_proc_sink).

-export([is_sink/1, new/3, add/2, ended/1]).

-export_type([sink/0, state/0]).

-type sink() ::
    {function, fun((binary()) -> term())}
    | {fold, fun((binary() | eof, Acc :: term()) -> term()), Acc :: term()}
    | {log, logger:level(), Prefix :: binary() | program, logger:metadata()}
    | {console, standard_error | user | pid()}.

%% A longer line is logged in pieces, unless lines are asked for.
-define(LONGEST, 8192).

-record(state, {
    sink :: sink(),
    lines :: alcove_proc_lines:lines() | undefined,
    %% The first bytes of a character whose others haven't come, for a console or the log.
    begun = <<>> :: binary()
}).

-opaque state() :: #state{}.

%% @doc Whether a separate process handles this kind of sink.
-spec is_sink(term()) -> boolean().
is_sink({function, _}) -> true;
is_sink({fold, _, _}) -> true;
is_sink({log, _, _, _}) -> true;
is_sink({console, _}) -> true;
is_sink(_) -> false.

%% @doc With lines of so many bytes, or pieces as they come; `Known' is for the log.
-spec new(sink(), alcove_proc_lines:max() | false, logger:metadata()) -> state().
new({log, Level, Prefix, Given}, Max, Known) ->
    Lines =
        case Max of
            false -> ?LONGEST;
            _ -> Max
        end,
    #state{
        sink = {log, Level, Prefix, maps:merge(Known, Given)},
        lines = alcove_proc_lines:new(Lines)
    };
%% A console takes pieces, not lines.
new({console, _} = Sink, _Max, _Known) ->
    #state{sink = Sink};
new(Sink, false, _Known) ->
    #state{sink = Sink};
new(Sink, Max, _Known) ->
    #state{sink = Sink, lines = alcove_proc_lines:new(Max)}.

%% @doc Handles a piece.
-spec add(binary(), state()) -> state().
add(Bytes, #state{lines = undefined} = State) ->
    piece(Bytes, State);
add(Bytes, #state{lines = Lines} = State) ->
    case alcove_proc_lines:next(Bytes, Lines) of
        {Line, Rest, Lines1} -> add(Rest, piece(Line, State#state{lines = Lines1}));
        {more, Lines1} -> State#state{lines = Lines1}
    end.

%% @doc Handles the end of the output. Returns the result of a fold.
-spec ended(state()) -> {ok, term()} | none.
ended(#state{lines = Lines} = State) when Lines =/= undefined ->
    {Line, _} = alcove_proc_lines:rest(Lines),
    case State of
        #state{sink = {log, _, _, _}, begun = Begun} ->
            last(log(<<Begun/binary, Line/binary>>, State));
        _ when Line =:= <<>> -> last(State);
        _ -> last(piece(Line, State))
    end;
ended(State) ->
    last(State).

last(#state{sink = {fold, Fun, Acc}}) ->
    {ok, Fun(eof, Acc)};
last(#state{sink = {console, Device}, begun = Begun}) ->
    ok = output(Device, latin1, Begun),
    none;
last(_State) ->
    none.

piece(Bytes, #state{sink = {function, Fun}} = State) ->
    _ = Fun(Bytes),
    State;
piece(Bytes, #state{sink = {fold, Fun, Acc}} = State) ->
    State#state{sink = {fold, Fun, Fun(Bytes, Acc)}};
piece(Line, #state{sink = {log, _, _, _}, begun = Begun} = State) ->
    Bytes = <<Begun/binary, Line/binary>>,
    %% A line that is too long may have been cut in a character.
    case binary:last(Line) =/= $\n andalso unicode:characters_to_binary(Bytes) of
        {incomplete, Text, Rest} -> (log(Text, State))#state{begun = Rest};
        _ -> log(Bytes, State#state{begun = <<>>})
    end;
piece(Bytes, #state{sink = {console, Device}, begun = Begun} = State) ->
    case encoding(Device) of
        latin1 ->
            ok = output(Device, latin1, <<Begun/binary, Bytes/binary>>),
            State#state{begun = <<>>};
        _ ->
            State#state{begun = characters(Device, <<Begun/binary, Bytes/binary>>)}
    end.

log(<<>>, State) ->
    State;
log(Line, #state{sink = {log, Level, Prefix, Metadata}} = State) ->
    logger:log(Level, "~ts~ts", [Prefix, alcove_text:printable(without_end(Line))], Metadata),
    State.

without_end(Line) ->
    Length = byte_size(Line),
    case Line of
        <<_:(Length - 2)/binary, "\r\n">> when Length >= 2 -> binary:part(Line, 0, Length - 2);
        <<_:(Length - 1)/binary, "\n">> when Length >= 1 -> binary:part(Line, 0, Length - 1);
        _ -> Line
    end.

encoding(Device) ->
    case io:getopts(Device) of
        Options when is_list(Options) -> proplists:get_value(encoding, Options, latin1);
        _ -> latin1
    end.

%% A device that takes characters gets them as they are, and bytes that aren't characters one by
%% one.
characters(Device, Bytes) ->
    case unicode:characters_to_binary(Bytes) of
        Text when is_binary(Text) ->
            ok = output(Device, unicode, Text),
            <<>>;
        {incomplete, Text, Begun} ->
            ok = output(Device, unicode, Text),
            Begun;
        {error, Text, <<Byte, Rest/binary>>} ->
            ok = output(Device, unicode, <<Text/binary, Byte/utf8>>),
            characters(Device, Rest)
    end.

%% A binary goes as it is, where a list of them would not.
output(_Device, _Encoding, <<>>) ->
    ok;
output(Device, Encoding, Characters) ->
    case io:request(Device, {put_chars, Encoding, Characters}) of
        ok -> ok;
        {error, Reason} -> exit({console, Reason})
    end.
