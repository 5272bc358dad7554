%% @private
%% @doc The options of {@link alcove_proc}: what they may be, and their defaults.
-module(alcove_proc_options).

-export([parse/4, text/1, data/1, is_signal/1, is_dimension/1]).

-export_type([parsed/0, sink/0, input/0]).

-type input() :: none | stream | {data, binary()} | {file, binary()}.
-type sink() ::
    message
    | discard
    | {collect, Max :: non_neg_integer() | infinity, kill | truncate}
    | {file, binary(), o_append | o_trunc, alcove:mode()}
    | {function, fun((binary()) -> term())}.
-type parsed() :: #{
    drv := pid() | {start, alcove_drv:options()},
    argv := [binary(), ...],
    arg0 := binary() | undefined,
    in := alcove:fork_path(),
    owner := pid() | none,
    cwd := binary() | undefined,
    env := [{binary(), binary() | false}],
    clearenv := boolean(),
    user := binary() | alcove:id() | undefined,
    group := binary() | alcove:id() | undefined,
    groups := [binary() | alcove:id()] | undefined,
    rlimits := [{atom() | integer(), alcove:rlimit()}],
    nice := integer() | undefined,
    cpus := [non_neg_integer()] | undefined,
    chroot := binary() | undefined,
    namespaces := [atom()],
    hostname := binary() | undefined,
    uid_map := [id_range()] | undefined,
    gid_map := [id_range()] | undefined,
    cgroup := {alcove_cgroup:name() | undefined, map()} | undefined,
    seccomp := binary() | undefined,
    capabilities := [atom()] | undefined,
    no_new_privs := boolean(),
    setup := alcove:calls(),
    stdin := input(),
    stdout := sink(),
    stderr := sink() | stdout,
    pty := {Rows :: pos_integer(), Columns :: pos_integer()} | false,
    active := boolean() | once | pos_integer(),
    timeout := timeout(),
    grace := non_neg_integer(),
    stop_signal := atom() | integer(),
    leftovers := kill | leave,
    meta := map(),
    %% How many pieces of output may come unasked for; set where the program is started.
    window => integer()
}.
-type id_range() :: {Inside :: alcove:id(), Outside :: alcove:id(), Count :: pos_integer()}.

%% What a run collects of a stream unless told otherwise.
-define(COLLECT, 16 * 1024 * 1024).
-define(GRACE, 5000).
-define(ROWS, 24).
-define(COLUMNS, 80).
%% More than any platform has.
-define(MAX_SIGNAL, 127).

%% @doc What is asked for, with the defaults of how it is asked: a run collects what the
%% program writes, a process that is started sends it to its owner. A child that is started
%% `later' may have names that nobody has yet.
-spec parse(run | start | child | later, term(), term(), term()) ->
    {ok, parsed()} | {error, Option :: term()}.
parse(later, Drv, Argv, Options) ->
    Now = fun(Name) when is_atom(Name), Name =/= undefined -> self(); (Other) -> Other end,
    Given = [
        case Option of
            {owner, Owner} when Owner =/= none -> {owner, Now(Owner)};
            _ -> Option
        end
     || Option <- pairs(Options)
    ],
    parse(child, Now(Drv), Argv, Given);
parse(How, Drv, Argv, Options) ->
    try
        Given = maps:from_list([given(Option) || Option <- list(Options)]),
        Parsed = maps:merge((defaults(How, Given))#{drv => drv(Drv), argv => argv(Argv)}, Given),
        {ok, consistent(Parsed)}
    catch
        throw:{option, Option} -> {error, Option}
    end.

pairs(Options) when is_map(Options) -> maps:to_list(Options);
pairs(Options) -> Options.

list(Options) when is_map(Options) -> maps:to_list(Options);
%% Of two options for the same the first one counts, as in a property list.
list(Options) when is_list(Options), length(Options) >= 0 -> lists:reverse(Options);
list(Options) -> refuse(Options).

-spec refuse(term()) -> no_return().
refuse(Option) ->
    throw({option, Option}).

defaults(How, Given) ->
    Output =
        case How of
            run -> {collect, ?COLLECT, kill};
            start -> message;
            child when is_map_key(owner, Given) -> message;
            child -> discard
        end,
    #{
        arg0 => undefined,
        in => [],
        owner =>
            case How of
                child -> none;
                _ -> self()
            end,
        cwd => undefined,
        env => [],
        clearenv => false,
        user => undefined,
        group => undefined,
        groups => undefined,
        rlimits => [],
        nice => undefined,
        cpus => undefined,
        chroot => undefined,
        namespaces => [],
        hostname => undefined,
        uid_map => undefined,
        gid_map => undefined,
        cgroup => undefined,
        seccomp => undefined,
        capabilities => undefined,
        no_new_privs => false,
        setup => [],
        stdin =>
            case How of
                start -> stream;
                _ -> none
            end,
        stdout => Output,
        stderr => Output,
        pty => false,
        active => true,
        timeout => infinity,
        grace => ?GRACE,
        stop_signal => sigterm,
        leftovers => kill,
        meta => #{}
    }.

drv(Drv) when is_pid(Drv) ->
    Drv;
drv(Name) when is_atom(Name), Name =/= undefined ->
    case whereis(Name) of
        Pid when is_pid(Pid) -> Pid;
        _ -> refuse({drv, Name})
    end;
drv({start, Options} = Drv) ->
    case alcove_options:parse(Options) of
        {ok, _} -> Drv;
        {error, _} -> refuse({drv, Drv})
    end;
drv(Drv) ->
    refuse({drv, Drv}).

argv([_ | _] = Argv) when length(Argv) > 0 ->
    case [text(Word) || Word <- Argv] of
        [Program | _] = Words when is_binary(Program), Program =/= <<>> ->
            lists:member(error, Words) andalso refuse({argv, Argv}),
            Words;
        _ ->
            refuse({argv, Argv})
    end;
argv(Argv) ->
    refuse({argv, Argv}).

%% What can't go together.
consistent(#{pty := false} = Parsed) ->
    Parsed;
consistent(#{stderr := {file, _, _, _} = Stderr}) ->
    refuse({stderr, Stderr});
consistent(#{stdout := {file, _, _, _} = Stdout}) ->
    refuse({stdout, Stdout});
consistent(#{stdin := {file, _} = Stdin}) ->
    refuse({stdin, Stdin});
consistent(Parsed) ->
    %% A terminal has one stream.
    Parsed#{stderr := stdout}.

given(Name) when is_atom(Name) ->
    given({Name, true});
given({Name, Value} = Option) ->
    case option(Name, Value) of
        error -> refuse(Option);
        Parsed -> {Name, Parsed}
    end;
given(Option) ->
    refuse(Option).

option(Name, undefined) when
    Name =:= cwd; Name =:= user; Name =:= group; Name =:= groups; Name =:= chroot; Name =:= hostname
->
    undefined;
option(Name, Value) when
    Name =:= cwd; Name =:= chroot; Name =:= arg0; Name =:= hostname
->
    text(Value);
option(in, Pids) ->
    check(alcove_call:is_fork_path(Pids), Pids);
option(owner, Owner) when is_pid(Owner) ->
    Owner;
option(owner, none) ->
    none;
option(owner, Name) when is_atom(Name) ->
    case whereis(Name) of
        Pid when is_pid(Pid) -> Pid;
        _ -> error
    end;
option(env, Env) ->
    env(Env);
option(Name, Flag) when Name =:= clearenv; Name =:= no_new_privs ->
    check(is_boolean(Flag), Flag);
option(Name, Id) when Name =:= user; Name =:= group ->
    id(Id);
option(groups, Groups) ->
    all(fun id/1, Groups);
option(rlimits, Limits) when is_map(Limits) ->
    option(rlimits, maps:to_list(Limits));
option(rlimits, Limits) ->
    all(fun rlimit/1, Limits);
option(nice, Nice) ->
    check(is_integer(Nice) andalso Nice >= -20 andalso Nice =< 19, Nice);
option(cpus, Cpus) ->
    all(fun(Cpu) -> check(is_integer(Cpu) andalso Cpu >= 0 andalso Cpu =< 65535, Cpu) end, Cpus);
option(namespaces, Names) ->
    all(fun namespace/1, Names);
option(Name, Ranges) when Name =:= uid_map; Name =:= gid_map ->
    all(fun range/1, Ranges);
option(cgroup, {Name, Limits}) ->
    case {alcove_cgroup_text:group(Name), alcove_cgroup_limits:check(Limits)} of
        {{ok, [_ | _]}, {ok, _}} -> {Name, Limits};
        _ -> error
    end;
option(cgroup, Limits) ->
    check(alcove_cgroup_limits:check(Limits) =/= error, {undefined, Limits});
option(seccomp, Policy) ->
    seccomp(Policy);
option(capabilities, Names) ->
    all(fun(Name) -> check(is_atom(Name), Name) end, Names);
option(setup, Calls) ->
    all(fun call/1, Calls);
option(stdin, Input) ->
    input(Input);
option(stdout, Sink) ->
    sink(Sink);
option(stderr, stdout) ->
    stdout;
option(stderr, Sink) ->
    sink(Sink);
option(pty, true) ->
    {?ROWS, ?COLUMNS};
option(pty, false) ->
    false;
option(pty, #{rows := Rows, cols := Columns}) ->
    option(pty, {Rows, Columns});
option(pty, {Rows, Columns} = Size) ->
    check(is_dimension(Rows) andalso is_dimension(Columns), Size);
option(pty, _) ->
    error;
option(active, Active) ->
    check(
        is_boolean(Active) orelse Active =:= once orelse (is_integer(Active) andalso Active > 0),
        Active
    );
option(timeout, Timeout) ->
    check(alcove_call:is_timeout(Timeout), Timeout);
option(grace, Grace) ->
    check(is_integer(Grace) andalso alcove_call:is_timeout(Grace), Grace);
option(stop_signal, Signal) ->
    check(is_signal(Signal), Signal);
option(leftovers, What) ->
    check(What =:= kill orelse What =:= leave, What);
option(meta, Meta) ->
    check(is_map(Meta), Meta);
option(_Name, _Value) ->
    error.

check(true, Value) -> Value;
check(false, _Value) -> error.

all(Check, Values) when is_list(Values), length(Values) >= 0 ->
    Checked = [Check(Value) || Value <- Values],
    case lists:member(error, Checked) of
        true -> error;
        false -> Checked
    end;
all(_Check, _Values) ->
    error.

%% @doc Whether a term is a signal, by its number or its name.
-spec is_signal(term()) -> boolean().
is_signal(Signal) when is_atom(Signal) -> is_integer(alcove_nif:define(signal, Signal));
is_signal(Signal) -> is_integer(Signal) andalso Signal >= 0 andalso Signal =< ?MAX_SIGNAL.

%% @doc Whether a term is a number of rows or columns of a terminal.
-spec is_dimension(term()) -> boolean().
is_dimension(N) -> is_integer(N) andalso N > 0 andalso N =< 16#ffff.

%% @doc A string as the operating system takes it: characters are encoded as file names
%% are, binaries are bytes.
-spec text(term()) -> binary() | error.
text(Bytes) when is_binary(Bytes) ->
    without_nul(Bytes);
text(Characters) when is_list(Characters) ->
    try unicode:characters_to_binary(Characters, unicode, file:native_name_encoding()) of
        Bytes when is_binary(Bytes) -> without_nul(Bytes);
        _ -> error
    catch
        error:badarg -> error
    end;
text(_) ->
    error.

without_nul(Bytes) ->
    case binary:match(Bytes, <<0>>) of
        nomatch -> Bytes;
        _ -> error
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

env(Env) when is_map(Env) ->
    env(maps:to_list(Env));
env(Env) ->
    all(fun variable/1, Env).

variable({Name, Unset}) when Unset =:= false; Unset =:= nil ->
    case name(Name) of
        error -> error;
        Bytes -> {Bytes, false}
    end;
variable({Name, Value}) ->
    case {name(Name), text(Value)} of
        {error, _} -> error;
        {_, error} -> error;
        Variable -> Variable
    end;
variable(_) ->
    error.

name(Name) when is_atom(Name) ->
    name(atom_to_binary(Name));
name(Name) ->
    case text(Name) of
        Bytes when is_binary(Bytes), Bytes =/= <<>> ->
            check(binary:match(Bytes, <<"=">>) =:= nomatch, Bytes);
        _ ->
            error
    end.

id(Id) when is_integer(Id) ->
    check(Id >= 0 andalso Id =< 16#fffffffe, Id);
id(Name) ->
    case text(Name) of
        <<>> -> error;
        Text -> Text
    end.

rlimit({Resource, {Soft, Hard}}) ->
    case {resource(Resource), limit(Soft), limit(Hard)} of
        {Name, true, true} when Name =/= error -> {Name, {alcove_rlimit, Soft, Hard}};
        _ -> error
    end;
rlimit({Resource, {alcove_rlimit, Soft, Hard}}) ->
    rlimit({Resource, {Soft, Hard}});
rlimit({Resource, Limit}) ->
    rlimit({Resource, {Limit, Limit}});
rlimit(_) ->
    error.

limit(infinity) -> true;
limit(N) -> is_integer(N) andalso N >= 0.

%% `nofile' is short for `rlimit_nofile'.
resource(Number) when is_integer(Number), Number >= 0 ->
    Number;
resource(Name) when is_atom(Name) ->
    known(rlimit, "rlimit_", Name);
resource(_) ->
    error.

namespace(Name) when is_atom(Name) ->
    known(clone, "clone_", Name);
namespace(_) ->
    error.

%% A constant by its name, or by what comes after the prefix. Names make atoms only
%% where there is a constant.
known(Group, Prefix, Name) ->
    Names = [Constant || {Constant, _} <- alcove_nif:constants(Group)],
    Text = string:lowercase(atom_to_list(Name)),
    case [Known || Known <- Names, lists:member(atom_to_list(Known), [Text, Prefix ++ Text])] of
        [Known | _] -> Known;
        [] -> error
    end.

range({Inside, Outside, Count} = Range) ->
    Ids = [Inside, Outside, Count],
    check(lists:all(fun is_integer/1, Ids) andalso lists:min(Ids) >= 0 andalso Count > 0, Range);
range(_) ->
    error.

seccomp(Policy) when is_map(Policy) ->
    try alcove_seccomp:compile(Policy) of
        {ok, Program} -> iolist_to_binary(Program);
        {error, _} -> error
    catch
        error:badarg -> error
    end;
seccomp(Program) ->
    try
        iolist_to_binary(Program)
    catch
        error:badarg -> error
    end.

call({Call, Argv} = Request) when is_atom(Call), is_list(Argv) -> Request;
call(_) -> error.

input(none) ->
    none;
input(stream) ->
    stream;
input({data, Data}) ->
    case data(Data) of
        error -> error;
        Bytes -> {data, Bytes}
    end;
input({file, Path}) ->
    case text(Path) of
        error -> error;
        Bytes -> {file, Bytes}
    end;
input(Data) when is_binary(Data); is_list(Data) ->
    input({data, Data});
input(_) ->
    error.

sink(message) ->
    message;
sink(discard) ->
    discard;
sink(collect) ->
    {collect, ?COLLECT, kill};
sink({collect, Max}) ->
    sink({collect, Max, kill});
sink({collect, Max, Then} = Sink) ->
    check(
        (Max =:= infinity orelse (is_integer(Max) andalso Max >= 0)) andalso
            (Then =:= kill orelse Then =:= truncate),
        Sink
    );
sink({file, Path}) ->
    sink({file, Path, []});
sink({file, Path, How}) ->
    case {text(Path), file(How, {o_trunc, 8#644})} of
        {error, _} -> error;
        {_, error} -> error;
        {Bytes, {Flag, Mode}} -> {file, Bytes, Flag, Mode}
    end;
sink(Fun) when is_function(Fun, 1) ->
    {function, Fun};
sink(_) ->
    error.

file([append | How], {_, Mode}) -> file(How, {o_append, Mode});
file([truncate | How], {_, Mode}) -> file(How, {o_trunc, Mode});
file([{mode, Mode} | How], {Flag, _}) when is_integer(Mode), Mode >= 0, Mode =< 8#7777 ->
    file(How, {Flag, Mode});
file([], File) ->
    File;
file(_, _) ->
    error.
