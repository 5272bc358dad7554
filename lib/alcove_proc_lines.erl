%% @private
%% @doc Cuts output that comes in pieces into lines.
%%
%% No byte is changed, added or removed. A line has its newline; without one it is a piece of a line
%% that is too long, or the last line.
-module(alcove_proc_lines).

-export([new/1, next/2, rest/1, is_empty/1]).

-export_type([lines/0, max/0]).

-type max() :: pos_integer() | infinity.

-record(lines, {
    max :: max(),
    %% The pieces of a line whose end hasn't come, newest first.
    parts = [] :: [binary()],
    size = 0 :: non_neg_integer()
}).

-opaque lines() :: #lines{}.

%% @doc Starts, with lines of at most so many bytes, newlines not counted.
-spec new(max()) -> lines().
new(Max) ->
    #lines{max = Max}.

%% @doc The next line and the bytes after it; or `more' if the end of the line hasn't come.
-spec next(binary(), lines()) -> {Line :: binary(), Rest :: binary(), lines()} | {more, lines()}.
next(<<>>, Lines) ->
    {more, Lines};
next(Bytes, #lines{max = Max, parts = Parts, size = Size} = Lines) ->
    Length = byte_size(Bytes),
    %% An atom compares as larger than any number.
    Room = min(Length, left(Max, Size)),
    case binary:match(Bytes, <<"\n">>, [{scope, {0, min(Length, Room + 1)}}]) of
        {Position, 1} ->
            line(Bytes, Position + 1, Lines);
        nomatch when Length > Room ->
            line(Bytes, Room, Lines);
        nomatch ->
            {more, Lines#lines{parts = [Bytes | Parts], size = Size + Length}}
    end.

left(infinity, _Size) -> infinity;
left(Max, Size) -> Max - Size.

%% Copies a line, so that a process that keeps it doesn't keep the whole piece.
line(Bytes, Length, #lines{parts = Parts} = Lines) ->
    <<Part:Length/binary, Rest/binary>> = Bytes,
    {joined(Parts, Part), Rest, Lines#lines{parts = [], size = 0}}.

joined([], Part) -> binary:copy(Part);
joined(Parts, Part) -> iolist_to_binary(lists:reverse(Parts, [Part])).

%% @doc The beginning of a line whose end hasn't come.
-spec rest(lines()) -> {binary(), lines()}.
rest(#lines{parts = Parts} = Lines) ->
    {joined(Parts, <<>>), Lines#lines{parts = [], size = 0}}.

%% @doc Whether no line has been begun.
-spec is_empty(lines()) -> boolean().
is_empty(#lines{size = Size}) -> Size =:= 0.
