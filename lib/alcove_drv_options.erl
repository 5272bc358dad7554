%% @private
%% @doc The options of {@link alcove_drv:start/1}.
-module(alcove_drv_options).

-export([parse/1, names/0]).

-export_type([options/0]).

-type options() :: #{
    argv := [binary()],
    env := [binary()],
    %% What programs inherit.
    given := alcove_environ:given(),
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
    case with_progname(parse(Options, #{})) of
        {ok, Given} ->
            All = #{exec := Exec, progname := Progname, env := Env, clearenv := Clear} =
                maps:merge(Defaults, Given),
            Inherited = [Variable || not Clear, Variable <- alcove_environ:variables()],
            {ok, (maps:without([exec, progname, clearenv], All))#{
                argv => Exec ++ [Progname],
                env => alcove_environ:strings(alcove_environ:variables(Inherited, Env)),
                given => #{exec => Exec =/= [], clearenv => Clear, env => Env}
            }};
        {error, Option} ->
            {error, Option}
    end.

parse([Option | Options], Given) ->
    case option(Option) of
        {Name, Value} -> parse(Options, maps:merge(#{Name => Value}, Given));
        badarg -> {error, wrong(Option)}
    end;
parse([], Given) ->
    {ok, Given};
parse(Options, _Given) ->
    {error, alcove_text:shown(Options)}.

%% What may be told of an option that is wrong: of variables the names.
wrong({env, Env}) ->
    case alcove_environ:changes(Env) of
        {error, {name, Name}} -> {env, Name};
        {error, {no_pair, _, _}} -> {env, no_pair};
        {error, no_list} -> {env, alcove_text:shown(Env)}
    end;
wrong({Name, Value}) when is_atom(Name) ->
    case lists:member(Name, names()) andalso Name =/= exec of
        true -> {Name, Value};
        false -> {Name, alcove_text:shown(Value)}
    end;
wrong(Option) ->
    alcove_text:shown(Option).

%% @doc The names of the options.
-spec names() -> [atom(), ...].
names() ->
    [
        clearenv, env, exec, exit_status, flowcontrol, maxchild, maxforkdepth, name, owner,
        progname, signaloneof, stderr_to_stdout, telemetry, termsig, timeout, verbose
    ].

option(stderr_to_stdout) -> {stderr_to_stdout, true};
option({stderr_to_stdout, Bool}) when is_boolean(Bool) -> {stderr_to_stdout, Bool};
option(clearenv) -> {clearenv, true};
option({clearenv, Bool}) when is_boolean(Bool) -> {clearenv, Bool};
option({env, Env}) -> value(env, variables(Env));
option({exec, Exec}) -> value(exec, words(Exec));
option({progname, Path}) -> value(progname, text(Path));
option(exit_status) -> {exit_status, true};
option({exit_status, Flag}) -> value(exit_status, flag(Flag));
option(termsig) -> {termsig, true};
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

%% The words of a command: a string is split at its blanks, a list of strings
%% is taken as it is.
-spec words(term()) -> [binary()] | badarg.
words([Word | _] = Words) when is_list(Word); is_binary(Word) ->
    every(fun text/1, Words);
words(Command) ->
    case alcove_text:bytes(Command) of
        error -> badarg;
        Bytes -> binary:split(Bytes, [<<" ">>, <<"\t">>], [global, trim_all])
    end.

variables(Env) ->
    case alcove_environ:changes(Env) of
        {ok, Changes} -> Changes;
        {error, _} -> badarg
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

text(Term) ->
    case alcove_text:nonempty(Term) of
        error -> badarg;
        Bytes -> Bytes
    end.

with_progname({ok, Given}) when not is_map_key(progname, Given) ->
    case alcove_priv:file("alcove") of
        {ok, Path} -> {ok, Given#{progname => text(Path)}};
        {error, Dir} -> {error, {priv_dir, Dir}}
    end;
with_progname(Parsed) ->
    Parsed.
