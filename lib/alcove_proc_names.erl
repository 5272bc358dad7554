%% @private
%% @doc Users and groups by their names, from passwd(5) and group(5).
%%
%% The virtual machine has no getpwnam(3). Names are looked up in Drv's own files. Files of another
%% root directory are only used if the caller asks for that, and are then read as untrusted files.
%% Users that are kept elsewhere, as in LDAP, have to be given by their numbers.
-module(alcove_proc_names).

-export([ids/3]).

-export_type([ids/0]).

-type ids() :: #{
    uid := alcove:id() | keep,
    gid := alcove:id() | keep,
    groups := [alcove:id()],
    login := alcove_environ:login() | undefined
}.
%% Which files: Drv's own, or those that a process with another root directory sees.
-type files() :: {drv | in, alcove:drv(), alcove:fork_path(), alcove_deadline:deadline()}.

%% The most bytes of a file that are read: more than any machine has.
-define(MAX, 4 * 1024 * 1024).
-define(PASSWD, "/etc/passwd").
-define(GROUP, "/etc/group").

%% @doc The ids to change to, or `keep'.
%%
%% A user brings its own group, and if given by name its supplementary groups, unless the caller
%% gives them. Nothing is guessed: `{no_group, User}' if the file doesn't have a user's number and
%% no group is given. A name in files of another root directory never becomes root.
-spec ids(files(), alcove:fork_path(), {term(), term(), term()}) ->
    keep | {ok, ids()} | {error, {user | group | start, term()}}.
ids(_Files, _Pids, {undefined, undefined, undefined}) ->
    keep;
ids(Process, Pids, {User, Group, Groups}) ->
    try
        {Uid, Primary, Name, Login} =
            case User of
                undefined -> {keep, own_group(Process, Pids), undefined, undefined};
                _ -> user(Process, User)
            end,
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
        {ok, #{uid => Uid, gid => Gid, groups => Supplementary, login => Login}}
    catch
        throw:{What, Reason} -> {error, {What, Reason}}
    end.

own_group({_, Drv, _, Deadline}, Pids) ->
    try
        alcove:call(Drv, Pids, getegid, [], alcove_deadline:left(Deadline))
    catch
        exit:timeout -> throw({start, timeout})
    end.

user(Process, Uid) when is_integer(Uid) ->
    Number = integer_to_binary(Uid),
    case [Entry || [_, _, N, _ | _] = Entry <- lines(Process, ?PASSWD), N =:= Number] of
        [[_, _, _, Gid | _] = Entry | _] ->
            {Uid, number(Process, user, Gid), undefined, login(Entry)};
        [] -> {Uid, undefined, undefined, #{name => undefined, home => <<"/">>, shell => undefined}}
    end;
user(Process, Name) ->
    case [Entry || [N, _, _, _ | _] = Entry <- lines(Process, ?PASSWD), N =:= Name] of
        [[_, _, Uid, Gid | _] = Entry | _] ->
            {number(Process, user, Uid), number(Process, user, Gid), Name, login(Entry)};
        [] ->
            throw({user, {unknown, Name}})
    end.

%% The login data, with the defaults of login(1) for fields that an entry leaves out.
login([Name, _, _, _ | More]) ->
    {Home, Shell} =
        case More of
            [_, Directory, Program | _] -> {Directory, Program};
            [_, Directory] -> {Directory, <<>>};
            _ -> {<<>>, <<>>}
        end,
    #{name => Name, home => default(Home, <<"/">>), shell => default(Shell, <<"/bin/sh">>)}.

default(<<>>, Default) -> Default;
default(Given, _Default) -> Given.

group(_Process, Gid) when is_integer(Gid) ->
    Gid;
group(Process, Name) ->
    case [Gid || [N, _, Gid | _] <- lines(Process, ?GROUP), N =:= Name] of
        [Gid | _] -> number(Process, group, Gid);
        [] -> throw({group, {unknown, Name}})
    end.

member_of(Process, Name) ->
    [
        number(Process, group, Gid)
     || [_, _, Gid, Members | _] <- lines(Process, ?GROUP),
        lists:member(Name, binary:split(Members, <<",">>, [global]))
    ].

number({Whose, _, _, _}, What, Text) ->
    try binary_to_integer(Text) of
        0 when Whose =:= in -> throw({What, {root_elsewhere, Text}});
        Id when Id >= 0, Id =< 16#fffffffe -> Id;
        _ -> throw({What, {not_an_id, Text}})
    catch
        error:badarg -> throw({What, {not_an_id, Text}})
    end.

lines(Files, Path) ->
    case text(Files, Path) of
        {ok, Text} ->
            [
                binary:split(Line, <<":">>, [global])
             || Line <- binary:split(Text, <<"\n">>, [global])
            ];
        {error, enoent} ->
            [];
        {error, timeout} ->
            throw({start, timeout});
        {error, Reason} ->
            throw({user, {unreadable, Path, Reason}})
    end.

text({drv, Drv, _, Deadline}, Path) ->
    alcove_file:read_regular({Drv, []}, Path, [], ?MAX, Deadline);
text({in, Drv, Pids, Deadline}, Path) ->
    alcove_file:read_regular({Drv, Pids}, Path, [o_nofollow], ?MAX, Deadline).
