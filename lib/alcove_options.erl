%% @private
%% @doc The options of {@link alcove_drv:start/1}.
-module(alcove_options).

-export([parse/1, environ/2, words/1]).

-export_type([options/0]).

-type options() :: #{
    argv := [binary()],
    env := [binary()],
    stderr_to_stdout := boolean(),
    exit_status := boolean(),
    termsig := boolean(),
    verbose := non_neg_integer(),
    maxchild := non_neg_integer() | -1,
    maxforkdepth := non_neg_integer(),
    flowcontrol := integer(),
    signaloneof := non_neg_integer(),
    timeout := non_neg_integer(),
    telemetry := boolean(),
    name := atom(),
    owner := pid() | atom()
}.

-define(TIMEOUT, 5000).
-define(MAX_U32, 16#ffffffff).

%% @doc What the options ask for, with the defaults for what they don't say. Of
%% two options for the same the first one counts.
%%
%% An owner that isn't given is `undefined', and so is a name.
-spec parse(term()) -> {ok, options()} | {error, Option :: term()}.
parse(Options) when is_map(Options) ->
    parse(maps:to_list(Options));
parse(Options) ->
    Defaults = #{
        exec => [],
        progname => progname(),
        env => [],
        clearenv => false,
        stderr_to_stdout => false,
        exit_status => false,
        termsig => false,
        verbose => 0,
        maxchild => -1,
        maxforkdepth => 16,
        flowcontrol => -1,
        signaloneof => 15,
        timeout => ?TIMEOUT,
        telemetry => false,
        name => undefined,
        owner => undefined
    },
    case parse(Options, #{}) of
        {ok, Given} ->
            All = #{exec := Exec, progname := Progname, env := Env, clearenv := Clear} =
                maps:merge(Defaults, Given),
            Inherited =
                case Clear of
                    true -> [];
                    false -> os:env()
                end,
            {ok, (maps:without([exec, progname, clearenv], All))#{
                argv => Exec ++ [Progname],
                env => environ(Inherited, Env)
            }};
        {error, Option} ->
            {error, Option}
    end.

parse([Option | Options], Given) ->
    case option(Option) of
        {Name, Value} -> parse(Options, maps:merge(#{Name => Value}, Given));
        badarg -> {error, Option}
    end;
parse([], Given) ->
    {ok, Given};
parse(Options, _Given) ->
    {error, Options}.

option(stderr_to_stdout) -> {stderr_to_stdout, true};
option({stderr_to_stdout, Bool}) when is_boolean(Bool) -> {stderr_to_stdout, Bool};
option(clearenv) -> {clearenv, true};
option({clearenv, Bool}) when is_boolean(Bool) -> {clearenv, Bool};
option({env, Env}) -> value(env, variables(Env));
option({exec, Exec}) -> value(exec, words(Exec));
option({progname, Path}) -> value(progname, nonempty(Path));
option({exit_status, Flag}) -> value(exit_status, flag(Flag));
option({termsig, Flag}) -> value(termsig, flag(Flag));
option(verbose) -> {verbose, 1};
option({verbose, N}) -> value(verbose, u32(N));
option({maxchild, N}) -> value(maxchild, u32(N));
option({maxforkdepth, N}) -> value(maxforkdepth, u32(N));
option({flowcontrol, N}) -> value(flowcontrol, range(N, -1, 16#7fffffff));
option({signaloneof, N}) -> value(signaloneof, range(N, 0, 64));
option({timeout, Ms}) -> value(timeout, u32(Ms));
option(telemetry) -> {telemetry, true};
option({telemetry, Bool}) when is_boolean(Bool) -> {telemetry, Bool};
option({name, Name}) when is_atom(Name), Name =/= undefined -> {name, Name};
option({owner, Owner}) when is_pid(Owner) -> {owner, Owner};
option({owner, Owner}) when is_atom(Owner), Owner =/= undefined -> {owner, Owner};
option(_) -> badarg.

value(_Name, badarg) -> badarg;
value(Name, Value) -> {Name, Value}.

flag(Flag) when is_boolean(Flag) -> Flag;
flag(0) -> false;
flag(1) -> true;
flag(_) -> badarg.

u32(N) -> range(N, 0, ?MAX_U32).

range(N, Min, Max) when is_integer(N), N >= Min, N =< Max -> N;
range(_, _, _) -> badarg.

%% @doc The words of a command: a string is split at its blanks, a list of strings
%% is taken as it is.
-spec words(term()) -> [binary()] | badarg.
words([Word | _] = Words) when is_list(Word); is_binary(Word) ->
    every(fun nonempty/1, Words);
words(Command) ->
    case bytes(Command) of
        badarg -> badarg;
        Bytes -> binary:split(Bytes, [<<" ">>, <<"\t">>], [global, trim_all])
    end.

variables(Env) when is_map(Env) ->
    variables(maps:to_list(Env));
variables(Env) ->
    every(fun variable/1, Env).

variable({Name, Value}) ->
    case {nonempty(Name), Value} of
        {badarg, _} ->
            badarg;
        %% Elixir's word for it.
        {Key, Unset} when Unset =:= false; Unset =:= nil ->
            without_equals(Key, {Key, false});
        {Key, _} ->
            case bytes(Value) of
                badarg -> badarg;
                Bytes -> without_equals(Key, {Key, Bytes})
            end
    end;
variable(_) ->
    badarg.

without_equals(Key, Variable) ->
    case binary:match(Key, <<"=">>) of
        nomatch -> Variable;
        _ -> badarg
    end.

every(Fun, Terms) ->
    every(Fun, Terms, []).

every(Fun, [Term | Terms], Values) ->
    case Fun(Term) of
        badarg -> badarg;
        Value -> every(Fun, Terms, [Value | Values])
    end;
every(_Fun, [], Values) ->
    lists:reverse(Values);
every(_Fun, _, _Values) ->
    badarg.

nonempty(Term) ->
    case bytes(Term) of
        <<>> -> badarg;
        Bytes -> Bytes
    end.

%% A list is characters, in the encoding that file names have; a binary is bytes.
bytes(Binary) when is_binary(Binary) ->
    without_nul(Binary);
bytes(List) when is_list(List) ->
    try unicode:characters_to_binary(List, unicode, file:native_name_encoding()) of
        Bytes when is_binary(Bytes) -> without_nul(Bytes);
        _ -> without_nul(iolist_to_binary(List))
    catch
        error:badarg -> badarg
    end;
bytes(_) ->
    badarg.

without_nul(Bytes) ->
    case binary:match(Bytes, <<0>>) of
        nomatch -> Bytes;
        _ -> badarg
    end.

%% @doc The environment, as `NAME=value': what is inherited, but for what Erlang
%% itself put there, and the variables given on top of it.
-spec environ([{string(), string()}], [{binary(), binary() | false}]) -> [binary()].
environ(Inherited, Given) ->
    Variables = maps:from_list(
        [{bytes(Name), bytes(Value)} || {Name, Value} <- own(Inherited), bytes(Name) =/= badarg]
    ),
    [
        <<Name/binary, "=", Value/binary>>
     || {Name, Value} <- maps:to_list(maps:merge(Variables, maps:from_list(Given))),
        is_binary(Value)
    ].

own(Inherited) ->
    [
        {Name, strip(Name, Value, Inherited)}
     || {Name, Value} <- Inherited,
        not erlangs(Name)
    ].

%% What `erl', `escript' and the start scripts of releases set for themselves. A
%% release's cookie is among it.
erlangs("BINDIR") -> true;
erlangs("ROOTDIR") -> true;
erlangs("EMU") -> true;
erlangs("PROGNAME") -> true;
erlangs("ESCRIPT_NAME") -> true;
erlangs("ERL_" ++ _) -> true;
erlangs("ERTS_" ++ _) -> true;
erlangs("RELEASE_" ++ _) -> true;
erlangs("RELX_" ++ _) -> true;
erlangs(_) -> false.

%% `erl' puts its own directories in front of PATH.
strip("PATH", Value, Inherited) ->
    Dirs = [
        proplists:get_value("BINDIR", Inherited, ""),
        proplists:get_value("ROOTDIR", Inherited, "") ++ "/bin"
    ],
    lists:foldl(fun strip_dir/2, Value, Dirs);
strip(_, Value, _) ->
    Value.

strip_dir(Dir, Path) ->
    case string:prefix(Path, Dir ++ ":") of
        nomatch -> Path;
        Rest -> Rest
    end.

progname() ->
    Priv =
        case code:priv_dir(alcove) of
            {error, bad_name} ->
                filename:join(filename:dirname(filename:dirname(code:which(?MODULE))), "priv");
            Dir ->
                Dir
        end,
    bytes(filename:absname(filename:join(Priv, "alcove"))).
