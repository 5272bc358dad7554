%% @private
%% @doc Users and groups by their names, from the files passwd(5) and group(5) that the
%% process at a fork path sees.
%%
%% The virtual machine has no getpwnam(3), and the file that counts is the one of that
%% process. Users that are kept elsewhere are given by their numbers.
-module(alcove_proc_names).

-export([ids/2]).

-export_type([ids/0]).

-type ids() :: #{uid := alcove:id() | keep, gid := alcove:id(), groups := [alcove:id()]}.
-type process() :: {alcove:drv(), alcove:fork_path()}.

-define(PASSWD, "/etc/passwd").
-define(GROUP, "/etc/group").

%% @doc The ids to change to, or `keep'.
%%
%% A user brings its own group, and by name also its supplementary groups, unless they are
%% given. Nothing is guessed: `{no_group, User}' for a number that the file doesn't have and
%% no group.
-spec ids(process(), {term(), term(), term()}) ->
    keep | {ok, ids()} | {error, {user | group, term()}}.
ids(_Process, {undefined, undefined, undefined}) ->
    keep;
ids(Process, {User, Group, Groups}) ->
    try
        {Uid, Primary, Name} = user(Process, User),
        Gid =
            case Group of
                undefined -> Primary;
                _ -> group(Process, Group)
            end,
        is_integer(Gid) orelse throw({user, {no_group, User}}),
        Supplementary =
            case Groups of
                undefined when is_binary(Name) -> member_of(Process, Name);
                undefined -> [];
                _ -> [group(Process, One) || One <- Groups]
            end,
        {ok, #{uid => Uid, gid => Gid, groups => Supplementary}}
    catch
        throw:{What, Reason} -> {error, {What, Reason}}
    end.

user({Drv, Pids}, undefined) ->
    {keep, alcove:getegid(Drv, Pids), undefined};
user(Process, Uid) when is_integer(Uid) ->
    Number = integer_to_binary(Uid),
    case [Gid || [_, _, N, Gid | _] <- lines(Process, ?PASSWD), N =:= Number] of
        [Gid | _] -> {Uid, number(user, Gid), undefined};
        [] -> {Uid, undefined, undefined}
    end;
user(Process, Name) ->
    case [{Uid, Gid} || [N, _, Uid, Gid | _] <- lines(Process, ?PASSWD), N =:= Name] of
        [{Uid, Gid} | _] -> {number(user, Uid), number(user, Gid), Name};
        [] -> throw({user, {unknown, Name}})
    end.

group(_Process, Gid) when is_integer(Gid) ->
    Gid;
group(Process, Name) ->
    case [Gid || [N, _, Gid | _] <- lines(Process, ?GROUP), N =:= Name] of
        [Gid | _] -> number(group, Gid);
        [] -> throw({group, {unknown, Name}})
    end.

member_of(Process, Name) ->
    [
        number(group, Gid)
     || [_, _, Gid, Members | _] <- lines(Process, ?GROUP),
        lists:member(Name, binary:split(Members, <<",">>, [global]))
    ].

number(What, Text) ->
    try binary_to_integer(Text) of
        Id when Id >= 0, Id =< 16#fffffffe -> Id;
        _ -> throw({What, {not_an_id, Text}})
    catch
        error:badarg -> throw({What, {not_an_id, Text}})
    end.

lines(Process, Path) ->
    case alcove_proc_file:read(Process, Path) of
        {ok, Text} ->
            [
                binary:split(Line, <<":">>, [global])
             || Line <- binary:split(Text, <<"\n">>, [global])
            ];
        {error, _} ->
            []
    end.
