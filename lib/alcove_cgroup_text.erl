%% @private
%% @doc Parses the kernel's files about control groups, and names of groups.
%%
%% The formats are those of proc_pid_mountinfo(5) and of the section
%% "Interface Files" of the kernel's cgroup-v2.rst.
-module(alcove_cgroup_text).

-export([mountinfo/1, memberships/1, words/1, pids/1, keyed/1, value/1, group/1, file/1, join/2]).

-export_type([mount/0, value/0, keyed/0]).

-type mount() :: #{
    id := binary(),
    parent := binary(),
    device := binary(),
    root := binary(),
    path := binary(),
    options := [binary()],
    type := binary(),
    source := binary(),
    super := [binary()]
}.
%% `options' are those of the mount, `super' those of the file system.

-type value() :: integer() | float() | max | binary().
-type keyed() :: #{binary() => value() | #{binary() => value()}}.

%% @doc The mounts in a `mountinfo' file, in its order. Malformed lines are left out.
-spec mountinfo(binary()) -> [mount()].
mountinfo(Text) ->
    lists:flatmap(fun(Line) -> mount(binary:split(Line, <<" - ">>)) end, lines(Text)).

mount([Before, After]) ->
    case {words(Before), words(After)} of
        {[Id, Parent, Device, Root, Path, Options | _Tags], [Type, Source | Super]} ->
            [
                #{
                    id => Id,
                    parent => Parent,
                    device => Device,
                    root => unescape(Root),
                    path => unescape(Path),
                    options => options([Options]),
                    type => Type,
                    source => unescape(Source),
                    super => options(Super)
                }
            ];
        _ ->
            []
    end;
mount(_) ->
    [].

options(Words) ->
    [Option || Word <- Words, Option <- binary:split(Word, <<",">>, [global]), Option =/= <<>>].

%% Blanks and the like in paths are written as \ooo, in octal.
unescape(Path) ->
    case binary:split(Path, <<"\\">>) of
        [Before, <<A, B, C, After/binary>>] when
            A >= $0, A =< $3, B >= $0, B =< $7, C >= $0, C =< $7
        ->
            Byte = (A - $0) * 64 + (B - $0) * 8 + (C - $0),
            <<Before/binary, Byte, (unescape(After))/binary>>;
        [Before, After] ->
            <<Before/binary, "\\", (unescape(After))/binary>>;
        [_] ->
            Path
    end.

%% @doc The groups in /proc/PID/cgroup: which controllers, or options of a mount, and the path.
%% That of version 2 has none.
-spec memberships(binary()) -> [{[binary()], binary()}].
memberships(Text) ->
    [
        {binary:split(Controllers, <<",">>, [global, trim_all]), Path}
     || Line <- lines(Text),
        [_Id, Rest] <- [binary:split(Line, <<":">>)],
        [Controllers, Path] <- [binary:split(Rest, <<":">>)]
    ].

%% @doc The words between blanks, tabs and ends of lines.
-spec words(binary()) -> [binary()].
words(Text) ->
    binary:split(Text, [<<" ">>, <<"\t">>, <<"\n">>], [global, trim_all]).

lines(Text) ->
    binary:split(Text, <<"\n">>, [global, trim_all]).

%% @doc The numbers in `cgroup.procs' or `tasks'.
-spec pids(binary()) -> [non_neg_integer()].
pids(Text) ->
    [Pid || Pid <- [value(Word) || Word <- words(Text)], is_integer(Pid)].

%% @doc A file of lines `KEY VALUE' or `KEY SUBKEY=VALUE...' as a map; `error' if it
%% is neither.
-spec keyed(binary()) -> {ok, keyed()} | error.
keyed(Text) ->
    keyed(lines(Text), #{}).

keyed([Line | Lines], Map) ->
    [Key | Words] = binary:split(Line, [<<" ">>, <<"\t">>], [global]),
    case entry([Word || Word <- Words, Word =/= <<>>], Words) of
        {ok, Value} -> keyed(Lines, Map#{Key => Value});
        error -> error
    end;
keyed([], Map) ->
    {ok, Map}.

entry([], [_ | _]) ->
    %% A line of a device that has no figures yet.
    {ok, #{}};
entry([Word | Words], _) ->
    case {binary:split(Word, <<"=">>), Words} of
        {[_], []} -> {ok, value(Word)};
        {[_, _], _} -> pairs([Word | Words], #{});
        _ -> error
    end;
entry([], []) ->
    error.

pairs([Word | Words], Map) ->
    case binary:split(Word, <<"=">>) of
        [Key, Value] -> pairs(Words, Map#{Key => value(Value)});
        [_] -> error
    end;
pairs([], Map) ->
    {ok, Map}.

%% @doc A number or `max'; other text stays as it is.
%%
%% In files of version 1, the largest number of pages stands for no limit.
-spec value(binary()) -> value().
value(<<"max">>) ->
    max;
value(Word) when is_binary(Word) ->
    case string:to_integer(Word) of
        {N, <<>>} when N >= 16#7fffffffffff0000 -> max;
        {N, <<>>} when is_integer(N) -> N;
        _ -> float_value(Word)
    end.

float_value(Word) ->
    case string:to_float(Word) of
        {F, <<>>} when is_float(F) -> F;
        _ -> Word
    end.

%% @doc The components of a name, which is a binary, a string, or a list of these. `[]' is
%% the root of a hierarchy. A name can't lead out of it.
-spec group(term()) -> {ok, [binary()]} | error.
group(Name) when is_binary(Name) ->
    components([Name]);
group([C | _] = Name) when is_integer(C) ->
    components([Name]);
group(Names) when is_list(Names) ->
    components(Names);
group(_) ->
    error.

components(Names) ->
    try lists:flatmap(fun component/1, Names) of
        Components -> {ok, Components}
    catch
        throw:error -> error;
        %% Not a proper list.
        error:function_clause -> error
    end.

component(Name) ->
    Parts = [Part || Part <- binary:split(bytes(Name), <<"/">>, [global]), Part =/= <<>>],
    case lists:any(fun(Part) -> Part =:= <<".">> orelse Part =:= <<"..">> end, Parts) of
        true -> throw(error);
        false -> Parts
    end.

bytes(Name) when is_binary(Name); is_list(Name) ->
    Bytes =
        case is_binary(Name) of
            true ->
                Name;
            false ->
                try
                    unicode:characters_to_binary(Name)
                catch
                    error:badarg -> throw(error)
                end
        end,
    case is_binary(Bytes) andalso binary:match(Bytes, <<0>>) =:= nomatch of
        true -> Bytes;
        false -> throw(error)
    end;
bytes(_) ->
    throw(error).

%% @doc The name of a file in a group.
-spec file(term()) -> {ok, binary()} | error.
file(Name) ->
    case group(Name) of
        {ok, [File]} -> {ok, File};
        _ -> error
    end.

%% @doc The path of a group or a file in the hierarchy that is mounted at `Path'.
-spec join(binary(), [binary()]) -> binary().
join(Path, Components) ->
    iolist_to_binary([Path | [[$/, Component] || Component <- Components]]).
