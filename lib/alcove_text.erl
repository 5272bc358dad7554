%% @private
%% @doc Text as the operating system takes it, and what may be shown of what it is given.
-module(alcove_text).

-export([bytes/1, nonempty/1, data/1, characters/1, printable/1, shown/1, is_ascii/1]).

%% @doc A string without NUL: the characters of a list are encoded as file names are, a
%% binary is taken as it is, and so is a list that mixes both in no encoding.
-spec bytes(term()) -> binary() | error.
bytes(Bytes) when is_binary(Bytes) ->
    without_nul(Bytes);
bytes(Characters) when is_list(Characters) ->
    %% Most text is the same in every encoding.
    case is_ascii(Characters) of
        true -> without_nul(list_to_binary(Characters));
        false -> encoded(Characters)
    end;
bytes(_) ->
    error.

%% @doc Whether a term is a string of characters that every encoding has.
-spec is_ascii(term()) -> boolean().
is_ascii([Byte | Characters]) when is_integer(Byte), Byte >= 0, Byte < 128 -> is_ascii(Characters);
is_ascii(Rest) -> Rest =:= [].

encoded(Characters) ->
    try
        case unicode:characters_to_binary(Characters, unicode, file:native_name_encoding()) of
            Bytes when is_binary(Bytes) -> without_nul(Bytes);
            _ -> without_nul(iolist_to_binary(Characters))
        end
    catch
        error:badarg -> error
    end.

without_nul(Bytes) ->
    case binary:match(Bytes, <<0>>) of
        nomatch -> Bytes;
        _ -> error
    end.

%% @doc As {@link bytes/1}, of one byte at least.
-spec nonempty(term()) -> binary() | error.
nonempty(Term) ->
    case bytes(Term) of
        <<>> -> error;
        Bytes -> Bytes
    end.

%% @doc Data is bytes, or characters where it can't be that.
-spec data(term()) -> binary() | error.
data(Data) ->
    try
        iolist_to_binary(Data)
    catch
        error:badarg ->
            try unicode:characters_to_binary(Data) of
                Bytes when is_binary(Bytes) -> Bytes;
                _ -> error
            catch
                error:badarg -> error
            end
    end.

%% @doc Characters as UTF-8.
-spec characters(term()) -> binary() | error.
characters(Text) ->
    try unicode:characters_to_binary(Text) of
        Characters when is_binary(Characters) -> Characters;
        _ -> error
    catch
        error:badarg -> error
    end.

%% @doc Characters: what isn't UTF-8 is taken for Latin-1.
-spec printable(binary()) -> binary().
printable(Line) ->
    case unicode:characters_to_binary(Line) of
        Text when is_binary(Text) -> Text;
        _ -> <<<<Character/utf8>> || <<Character>> <= Line>>
    end.

%% @doc What may be told of a value that may be a secret: what it is, if it is a number or a
%% name, else its kind.
-spec shown(term()) -> term().
shown(Value) when is_binary(Value), Value =/= <<>> -> '<<...>>';
shown(Value) when is_list(Value), Value =/= [] -> '[...]';
shown(Value) when is_map(Value), map_size(Value) > 0 -> '#{...}';
shown(Value) when is_tuple(Value) ->
    list_to_tuple([shown(Element) || Element <- tuple_to_list(Value)]);
shown(Value) ->
    Value.
