%% @private
%% @doc A point in time at which several waits end together.
-module(alcove_deadline).

-export([in/1, left/1, is_over/1]).

-export_type([deadline/0]).

%% In milliseconds of Erlang's monotonic time.
-type deadline() :: integer() | infinity.

%% @doc The deadline that a timeout from now on makes.
-spec in(timeout()) -> deadline().
in(infinity) -> infinity;
in(Ms) when is_integer(Ms) -> erlang:monotonic_time(millisecond) + Ms.

%% @doc The timeout until a deadline.
-spec left(deadline()) -> timeout().
left(infinity) -> infinity;
left(Deadline) when is_integer(Deadline) -> max(0, Deadline - erlang:monotonic_time(millisecond)).

%% @doc Whether no time is left.
-spec is_over(deadline()) -> boolean().
is_over(Deadline) -> left(Deadline) =:= 0.
