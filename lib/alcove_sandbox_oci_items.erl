%% @private
%% @doc Reads a configuration of the Open Container Initiative. An object is read by a table of its
%% members, which returns items. An error is an item, too, so that all errors are reported at once.
-module(alcove_sandbox_oci_items).

-export([plain/1, at/2, nth/2, object/3, array/3, required/3, is_nothing/1]).
-export([text/3, path/3, boolean/3, natural/3, integer/3, unsupported/1, fine/2]).

-export_type([item/0, path/0, handler/0]).

%% Where something is: `<<"linux.namespaces[1].path">>'.
-type path() :: binary().
-type item() ::
    %% A part of a spec.
    {set, atom(), term()}
    | {limit, atom(), term()}
    | {rlimit, atom(), {term(), term()}}
    %% The value is wrong.
    | {wrong, path(), missing | {invalid, Must :: binary()}}
    %% A sandbox doesn't support it.
    | {unsupported, path(), Why :: binary()}
    %% The sandbox refuses more than the configuration asks for.
    | {stricter, path(), How :: binary()}
    %% A fact that several members determine together.
    | {Note :: atom(), term()}.
-type handler() :: fun((path(), term()) -> [item()]).

%% @doc A decoded configuration with binaries for keys, and without members that are null.
-spec plain(term()) -> term().
plain(Object) when is_map(Object) ->
    maps:from_list([
        {key(Key), plain(Value)}
     || {Key, Value} <- maps:to_list(Object), Value =/= null, Value =/= nil
    ]);
plain(Array) when is_list(Array) ->
    try
        [plain(Value) || Value <- Array]
    catch
        error:_ -> Array
    end;
plain(Value) ->
    Value.

key(Key) when is_atom(Key) -> atom_to_binary(Key);
key(Key) -> Key.

-spec at(path(), binary()) -> path().
at(<<>>, Key) -> Key;
at(Path, Key) -> <<Path/binary, ".", Key/binary>>.

-spec nth(path(), non_neg_integer()) -> path().
nth(Path, N) -> <<Path/binary, "[", (integer_to_binary(N))/binary, "]">>.

%% @doc The items of an object. A member that the table lacks is reported: it might restrict the
%% program in a way that this library doesn't know.
-spec object(path(), term(), #{binary() => handler()}) -> [item()].
object(Path, Object, Table) when is_map(Object) ->
    lists:append([
        case Table of
            #{Key := Handler} -> Handler(at(Path, Key), Value);
            _ when is_binary(Key) -> [{unsupported, at(Path, Key), <<"not known">>}];
            _ -> [{wrong, Path, {invalid, <<"an object with names for keys">>}}]
        end
     || {Key, Value} <- lists:sort(maps:to_list(Object))
    ]);
object(Path, _Value, _Table) ->
    [{wrong, Path, {invalid, <<"an object">>}}].

%% @doc The required members that are missing.
-spec required(path(), term(), [binary()]) -> [item()].
required(Path, Object, Keys) when is_map(Object) ->
    [{wrong, at(Path, Key), missing} || Key <- Keys, not is_map_key(Key, Object)];
required(_Path, _Value, _Keys) ->
    [].

%% @doc The items of each element.
-spec array(path(), term(), handler()) -> [item()].
array(Path, Array, Handler) ->
    try length(Array) of
        Length ->
            lists:append([
                Handler(nth(Path, N), Value)
             || {N, Value} <- lists:zip(lists:seq(0, Length - 1), Array)
            ])
    catch
        error:badarg -> [{wrong, Path, {invalid, <<"an array">>}}]
    end.

%% @doc A text without NUL.
-spec text(path(), term(), fun((binary()) -> [item()])) -> [item()].
text(Path, Text, Then) when is_binary(Text) ->
    case binary:match(Text, <<0>>) of
        nomatch -> Then(Text);
        _ -> [{wrong, Path, {invalid, <<"a string without NUL">>}}]
    end;
text(Path, _Value, _Then) ->
    [{wrong, Path, {invalid, <<"a string">>}}].

%% @doc An absolute path, in its shortest form.
-spec path(path(), term(), fun((binary()) -> [item()])) -> [item()].
path(Path, Value, Then) ->
    text(Path, Value, fun(Text) ->
        Parts = binary:split(Text, <<"/">>, [global]),
        case Text of
            <<"/", _/binary>> ->
                case lists:member(<<"..">>, Parts) of
                    true ->
                        [{wrong, Path, {invalid, <<"a path without ..">>}}];
                    false ->
                        Named = [Part || Part <- Parts, Part =/= <<>>, Part =/= <<".">>],
                        Then(iolist_to_binary([<<"/">> | lists:join(<<"/">>, Named)]))
                end;
            _ ->
                [{wrong, Path, {invalid, <<"an absolute path">>}}]
        end
    end).

-spec boolean(path(), term(), fun((boolean()) -> [item()])) -> [item()].
boolean(_Path, Value, Then) when is_boolean(Value) -> Then(Value);
boolean(Path, _Value, _Then) -> [{wrong, Path, {invalid, <<"true or false">>}}].

-spec natural(path(), term(), fun((non_neg_integer()) -> [item()])) -> [item()].
natural(_Path, Value, Then) when is_integer(Value), Value >= 0 -> Then(Value);
natural(Path, _Value, _Then) -> [{wrong, Path, {invalid, <<"an integer from 0 on">>}}].

-spec integer(path(), term(), fun((integer()) -> [item()])) -> [item()].
integer(_Path, Value, Then) when is_integer(Value) -> Then(Value);
integer(Path, _Value, _Then) -> [{wrong, Path, {invalid, <<"an integer">>}}].

%% @doc Reads a member that isn't supported: an error, unless its value is empty.
-spec unsupported(binary()) -> handler().
unsupported(Why) ->
    fun(Path, Value) -> [{unsupported, Path, Why} || not is_nothing(Value)] end.

%% @doc Whether the value of a member is empty.
-spec is_nothing(term()) -> boolean().
is_nothing(Value) ->
    lists:member(Value, [[], <<>>, false]) orelse Value =:= #{}.

%% @doc Reads a member that has no effect.
-spec fine(path(), term()) -> [].
fine(_Path, _Value) -> [].
