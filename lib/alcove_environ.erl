%% @private
%% @doc Where a program starts, and with which environment.
%%
%% There is one rule for every Drv, caller and form of a call: a program starts in the directory and
%% with the environment in which os:cmd/1 would start it on Drv's node at the moment of the call,
%% unless options say otherwise. From the weakest to the strongest, these are
%%
%% <ol>
%% <li>the working directory and the environment of the virtual machine, without what Erlang
%%     puts into it for itself;</li>
%% <li>the options of Drv: `env' on top of it, `clearenv' instead of it;</li>
%% <li>`in': the directory and the environment of the process that is named;</li>
%% <li>what other options of the program make of it: HOME, USER, LOGNAME and SHELL of its
%%     `user', PWD of where it is, no LINES and COLUMNS on a terminal of its own;</li>
%% <li>`cwd', `env' and `clearenv' of the program.</li>
%% </ol>
-module(alcove_environ).

-export([directory/0, variables/0, variables/2, own/1, strings/1, inherited/2]).
-export([absolute/2, program/2, changes/1]).

-export_type([variable/0, change/0, given/0, inherited/0, login/0]).

-type variable() :: {Name :: binary(), Value :: binary()}.
%% A variable to set, or to leave out.
-type change() :: {Name :: binary(), Value :: binary() | false}.
%% What the options of a Drv say about the environment of its processes.
-type given() :: #{exec := boolean(), clearenv := boolean(), env := [change()]}.
%% What a program has before its own options; `undefined' is what its parent has.
-type inherited() :: #{
    directory := binary() | undefined,
    variables := [variable()] | undefined
}.
%% A user as passwd(5) has it.
-type login() :: #{name := binary() | undefined, home := binary(), shell := binary() | undefined}.

%% @doc The working directory of this virtual machine.
-spec directory() -> binary() | undefined.
directory() ->
    try alcove_nif:cwd() of
        {ok, <<"/", _/binary>> = Directory} -> Directory;
        %% The directory was deleted, or isn't below the root directory.
        _ -> deleted(os:type())
    catch
        %% Without the library nothing can be started. The function that starts something will
        %% report that.
        error:{nif, _} -> undefined
    end.

%% A program can still start in a deleted directory, as the virtual machine can still work in it.
deleted({unix, linux}) -> iolist_to_binary(["/proc/", os:getpid(), "/cwd"]);
deleted(_) -> undefined.

%% A remembered environment is replaced after so many milliseconds at the earliest, even if it is
%% outdated: to replace it is expensive, since the virtual machine then checks what all processes
%% hold.
-define(REMEMBERED, 10000).

%% @doc The environment of this virtual machine, without what Erlang sets for itself.
-spec variables() -> [variable()].
variables() ->
    Seen = os:env(),
    case persistent_term:get(?MODULE, none) of
        {Seen, Own, _} ->
            Own;
        Remembered ->
            Own = own(Seen),
            Now = erlang:monotonic_time(millisecond),
            is_fresh(Remembered, Now) orelse persistent_term:put(?MODULE, {Seen, Own, Now}),
            Own
    end.

is_fresh(none, _Now) -> false;
is_fresh({_, _, Since}, Now) -> Now - Since < ?REMEMBERED.

%% @doc The variables of an environment with changes made to it.
-spec variables([variable()], [change()]) -> [variable()].
variables(Variables, Changes) ->
    Changed = maps:merge(maps:from_list(Variables), maps:from_list(Changes)),
    [Variable || {_, Value} = Variable <- maps:to_list(Changed), is_binary(Value)].

%% @doc The variables that an option names: pairs of names and values, in a map or a list. The error
%% tells the name of the first that is wrong, or its place, and never a value, which may be a
%% secret.
-spec changes(term()) ->
    {ok, [change()]} | {error, {name, term()} | {no_pair, N :: pos_integer(), term()} | no_list}.
changes(Given) when is_map(Given) ->
    changes(maps:to_list(Given));
changes(Given) when is_list(Given), length(Given) >= 0 ->
    changes(1, Given, []);
changes(_Given) ->
    {error, no_list}.

changes(_N, [], Changes) ->
    {ok, lists:reverse(Changes)};
changes(N, [{Name, Value} | Given], Changes) ->
    case {name(Name), value(Value)} of
        {error, _} -> {error, {name, told(Name)}};
        {_, error} -> {error, {name, told(Name)}};
        Change -> changes(N + 1, Given, [Change | Changes])
    end;
changes(N, [NoPair | _], _Changes) ->
    {error, {no_pair, N, alcove_text:shown(NoPair)}}.

name(Name) when is_atom(Name) ->
    name(atom_to_binary(Name));
name(Name) ->
    case alcove_text:nonempty(Name) of
        error ->
            error;
        Bytes ->
            case binary:match(Bytes, <<"=">>) of
                nomatch -> Bytes;
                _ -> error
            end
    end.

%% `nil' is Elixir's word for it.
value(Unset) when Unset =:= false; Unset =:= nil -> false;
value(Value) -> alcove_text:bytes(Value).

%% What is no text at all is no name either.
told(Name) ->
    case is_atom(Name) orelse alcove_text:bytes(Name) =/= error of
        true -> Name;
        false -> alcove_text:shown(Name)
    end.

%% @doc Variables as execve(2) has them.
-spec strings([variable()]) -> [binary()].
strings(Variables) ->
    [<<Name/binary, "=", Value/binary>> || {Name, Value} <- Variables].

%% @doc The directory and the environment with which programs of a Drv of this node start. The first
%% argument has the options of Drv, the second is the directory that it was started in.
%%
%% A Drv that became another user by `exec' may not be allowed to enter the directory. But if that
%% is still the one that it was started in, its processes are there already.
-spec inherited(given(), binary() | undefined) -> inherited().
inherited(#{exec := Exec, clearenv := Clear, env := Changes}, Begun) ->
    Base = [Variable || not Clear, Variable <- variables()],
    Directory =
        case directory() of
            Begun when Exec -> undefined;
            Other -> Other
        end,
    #{directory => Directory, variables => variables(Base, Changes)}.

%% @doc A path as it is from a directory.
-spec absolute(binary(), binary() | undefined) -> binary().
absolute(<<"/", _/binary>> = Path, _Directory) -> Path;
absolute(Path, undefined) -> Path;
absolute(Path, Directory) -> <<Directory/binary, "/", Path/binary>>.

%%--------------------------------------------------------------------
%% What is the virtual machine's own
%%--------------------------------------------------------------------

%% @doc Variables as os:env/0 has them, without Erlang's, as bytes.
-spec own([{string(), string()}]) -> [variable()].
own(Inherited) ->
    {Text, Odd} = lists:partition(fun is_ascii/1, Inherited),
    All = maps:from_list(encoded(Text) ++ original(Odd)),
    [{Name, strip(Name, Value, All)} || {Name, Value} <- maps:to_list(All), not erlangs(Name)].

is_ascii({Name, Value}) ->
    alcove_text:is_ascii(Name) andalso alcove_text:is_ascii(Value).

encoded(Variables) ->
    [
        {Bytes, Text}
     || {Name, Value} <- Variables,
        Bytes <- [alcove_text:bytes(Name)],
        Bytes =/= error,
        Text <- [alcove_text:bytes(Value)],
        Text =/= error
    ].

%% Bytes that are no text in the virtual machine's encoding look to it like other bytes that are
%% text. The environment that it was started with tells which of the two a variable has, if the
%% variable hasn't changed.
original([]) ->
    [];
original(Variables) ->
    Known =
        case file:read_file("/proc/self/environ") of
            {ok, Environ} ->
                maps:from_list([
                    {Seen, {Name, Value}}
                 || Variable <- binary:split(Environ, <<0>>, [global]),
                    [Name, Value] <- [binary:split(Variable, <<"=">>)],
                    Seen <- [
                        {seen(Name), seen(Value)},
                        {binary_to_list(Name), binary_to_list(Value)}
                    ]
                ]);
            {error, _} ->
                #{}
        end,
    lists:flatmap(
        fun(Variable) ->
            case Known of
                #{Variable := Bytes} -> [Bytes];
                #{} -> encoded([Variable])
            end
        end,
        Variables
    ).

%% The characters of UTF-8. A byte that is no part of a character counts as one.
seen(Bytes) ->
    case file:native_name_encoding() of
        utf8 -> characters(Bytes);
        latin1 -> binary_to_list(Bytes)
    end.

characters(<<Character/utf8, Rest/binary>>) -> [Character | characters(Rest)];
characters(<<Byte, Rest/binary>>) -> [Byte | characters(Rest)];
characters(<<>>) -> [].

%% Variables that `erl', `escript' and the start scripts of releases set for themselves. One of
%% them is a release's cookie.
erlangs(<<"BINDIR">>) -> true;
erlangs(<<"ROOTDIR">>) -> true;
erlangs(<<"EMU">>) -> true;
erlangs(<<"PROGNAME">>) -> true;
erlangs(<<"ESCRIPT_NAME">>) -> true;
erlangs(<<"ERL_", _/binary>>) -> true;
erlangs(<<"ERTS_", _/binary>>) -> true;
erlangs(<<"RELEASE_", _/binary>>) -> true;
erlangs(<<"RELX_", _/binary>>) -> true;
erlangs(_) -> false.

%% `erl' puts its own directories in front of PATH.
strip(<<"PATH">>, Value, All) ->
    Dirs = [
        maps:get(<<"BINDIR">>, All, <<>>),
        <<(maps:get(<<"ROOTDIR">>, All, <<>>))/binary, "/bin">>
    ],
    lists:foldl(fun strip_dir/2, Value, Dirs);
strip(_, Value, _) ->
    Value.

strip_dir(Dir, Path) ->
    Size = byte_size(Dir),
    case Path of
        <<Dir:Size/binary, ":", Rest/binary>> -> Rest;
        _ -> Path
    end.

%%--------------------------------------------------------------------
%% What a program gets
%%--------------------------------------------------------------------

%% @doc The environment of a program: whether to start from none, and what to change.
%%
%% `Login' is what the user's entry of passwd(5) says, `undefined' where the user stays.
-spec program(alcove_proc_options:parsed(), login() | undefined) -> {boolean(), [change()]}.
program(#{clearenv := true, env := Env}, _Login) ->
    {true, Env};
program(#{inherited := Inherited, env := Env} = Options, Login) ->
    Changes = login(Login) ++ place(Options) ++ terminal(Options),
    case Inherited of
        undefined ->
            {false, maps:to_list(maps:from_list(Changes ++ Env))};
        _ ->
            Names = host(Options, Inherited) ++ Changes,
            {true, variables(variables(Inherited, Names), Env)}
    end.

login(undefined) ->
    [];
login(#{name := Name, home := Home, shell := Shell}) ->
    [
        {<<"HOME">>, Home},
        {<<"USER">>, known_or_none(Name)},
        {<<"LOGNAME">>, known_or_none(Name)},
        {<<"SHELL">>, known_or_none(Shell)},
        %% These variables lead to the former user's files.
        {<<"MAIL">>, false},
        {<<"XDG_RUNTIME_DIR">>, false}
    ].

known_or_none(undefined) -> false;
known_or_none(Value) -> Value.

%% PWD has to be an absolute path without . and .., or not to be there.
place(Options) ->
    case where(Options) of
        unchanged -> [];
        Path -> [{<<"PWD">>, plain(Path)}, {<<"OLDPWD">>, false}]
    end.

where(#{cwd := undefined, setup := Calls} = Options) ->
    Moves = [chdir, fchdir, chroot, pivot_root, setns],
    case [Call || {Call, _} <- Calls, lists:member(Call, Moves)] of
        [] -> begun(Options);
        _ -> unknown
    end;
where(#{cwd := Path, chroot := undefined, directory := Directory}) ->
    absolute(Path, Directory);
where(#{cwd := Path}) ->
    absolute(Path, <<>>).

begun(#{chroot := undefined, directory := undefined}) -> unchanged;
begun(#{chroot := undefined, directory := Directory}) -> Directory;
begun(_Options) -> <<"/">>.

plain(<<"/proc/", _/binary>>) ->
    false;
plain(<<"/", _/binary>> = Path) ->
    Names = filename:split(Path),
    case lists:member(<<".">>, Names) orelse lists:member(<<"..">>, Names) of
        true -> false;
        false -> filename:join(Names)
    end;
plain(_) ->
    false.

terminal(#{pty := false}) -> [];
terminal(_Options) -> [{<<"LINES">>, false}, {<<"COLUMNS">>, false}].

host(#{hostname := Name}, Variables) when is_binary(Name) ->
    [{<<"HOSTNAME">>, Name} || lists:keymember(<<"HOSTNAME">>, 1, Variables)];
host(_Options, _Variables) ->
    [].
