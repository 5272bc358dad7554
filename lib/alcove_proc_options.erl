%% @private
%% @doc The options of {@link alcove_proc}: what they may be, and their defaults.
-module(alcove_proc_options).

-export([
    parse/4, pipe/3, incomplete/1, names/0, data/1, is_signal/1, is_dimension/1, is_id_range/1
]).

-export_type([parsed/0, sink/0, input/0, name/0, programs/0]).

-type input() :: none | stream | {data, binary()} | {file, binary()} | given().
%% An end of a pipe to another program.
-type given() :: {given, alcove_nif:pipe_end()}.
-type sink() ::
    message
    | discard
    | {collect, Max :: non_neg_integer() | infinity, kill | truncate}
    | {file, binary(), [o_append | o_trunc, ...], alcove:mode()}
    | given()
    | alcove_proc_sink:sink().
-type parsed() :: #{
    drv := pid() | {start, alcove_drv:options()},
    argv := [binary(), ...],
    arg0 := binary() | undefined,
    in := alcove:fork_path(),
    owner := pid() | none,
    %% The directory in which the program starts, with the rights of Drv, and the environment that
    %% it starts with: see alcove_environ:program/2.
    directory := binary() | undefined,
    inherited := [alcove_environ:variable()] | undefined,
    %% The directory that it changes to at last, with its own rights.
    cwd := binary() | undefined,
    env := [alcove_environ:change()],
    clearenv := boolean(),
    user := binary() | alcove:id() | undefined,
    group := binary() | alcove:id() | undefined,
    groups := [binary() | alcove:id()] | undefined,
    names := drv | in,
    rlimits := [{atom() | integer(), alcove:rlimit()}],
    nice := integer() | undefined,
    cpus := [non_neg_integer()] | undefined,
    chroot := binary() | undefined,
    namespaces := [atom()],
    hostname := binary() | undefined,
    uid_map := [id_range()] | {newuidmap, [id_range()]} | undefined,
    gid_map := [id_range()] | {newgidmap, [id_range()]} | undefined,
    cgroup := {alcove_cgroup:name() | undefined, map()} | undefined,
    seccomp := binary() | undefined,
    capabilities := [atom()] | all | undefined,
    no_new_privs := boolean(),
    setup := alcove:calls(),
    stdin := input(),
    stdout := sink() | stderr,
    stderr := sink() | stdout,
    pty := terminal() | false,
    lines := alcove_proc_lines:max() | false,
    active := boolean() | once | pos_integer(),
    timeout := timeout(),
    grace := non_neg_integer(),
    stop_signal := atom() | integer(),
    leftovers := kill | leave,
    meta := map(),
    name := name() | undefined,
    tag := term(),
    %% How many pieces of output the router may send ahead; set where the program is started.
    window => integer(),
    %% The users of the program's own user namespace; set where that is made.
    users => users(),
    %% Until when the program has to have started, in milliseconds of monotonic time; set at the
    %% start.
    deadline => integer() | infinity,
    %% The alias that gets the outcome instead of the owner; set if the program is one of several.
    alias => reference()
}.
%% The programs of a pipeline, and how long it may take.
-type programs() :: {[parsed(), ...], timeout()}.
-type name() :: {local, atom()} | {global, term()} | {via, module(), term()}.
%% The ids of the process that starts the program, as seen from outside, and the ids inside.
-type users() ::
    none
    | #{
        uid := alcove:id(),
        gid := alcove:id(),
        uids := [id_range()],
        gids := [id_range()],
        %% Whether newuidmap(1) and newgidmap(1) write them.
        helped := {boolean(), boolean()},
        denied := boolean()
    }.
-type terminal() :: #{
    rows := pos_integer(), cols := pos_integer(), echo := boolean(), raw := boolean()
}.
-type id_range() :: {Inside :: alcove:id(), Outside :: alcove:id(), Count :: pos_integer()}.

%% How much a run collects of a stream by default.
-define(COLLECT, 16 * 1024 * 1024).
%% The longest line.
-define(LONGEST, 65536).
-define(GRACE, 5000).
%% The longest line that a terminal takes, without its end: see termios(3).
-define(TERMINAL_LINE, 4095).
-define(ROWS, 24).
-define(COLUMNS, 80).
%% The last microsecond of the year 9999, for logger.
-define(LATEST, 253402300799999999).
-define(LEVELS, [emergency, alert, critical, error, warning, notice, info, debug]).
%% More than any platform has.
-define(MAX_SIGNAL, 127).
%% The last one that a program can be asked to end with.
-define(STOP_SIGNALS, 64).
%% Calls after which there is no process to run the program in, or one more that nobody could reach.
-define(IS_END(Call),
    (Call =:= exit orelse Call =:= execve orelse Call =:= execvp orelse Call =:= fexecve orelse
        Call =:= fork orelse Call =:= clone)
).

%% @doc The parsed options, with the defaults of the function: a run collects the output of the
%% program, a process that is started sends it to its owner. A child that is started `later' may
%% have names that aren't registered yet.
-spec parse(run | start | child | later, term(), term(), term()) ->
    {ok, parsed()} | {error, Option :: term()}.
parse(later, Drv, Argv, Options) ->
    Now = fun(Name) when is_atom(Name), Name =/= undefined -> self(); (Other) -> Other end,
    Given = fun
        ({owner, Owner}) when Owner =/= none -> {owner, Now(Owner)};
        (Option) -> Option
    end,
    case pairs(Options) of
        Pairs when is_list(Pairs), length(Pairs) >= 0 ->
            checked(child, Now(Drv), Argv, lists:map(Given, Pairs));
        _ ->
            checked(child, Now(Drv), Argv, Options)
    end;
parse(How, Drv, Argv, Options) ->
    case checked(How, Drv, Argv, Options) of
        {ok, Parsed} -> {ok, begun(Parsed)};
        {error, Option} -> {error, Option}
    end.

%% @doc What is wrong with a child specification that lacks `drv' or `argv', or is none.
-spec incomplete(term()) -> term().
incomplete(#{drv := _}) -> {argv, wrong_argv(no_list)};
incomplete(#{}) -> {drv, missing};
incomplete(Other) -> alcove_text:shown(Other).

checked(How, Drv, Argv, Options) ->
    try
        {ok, whole(How, drv(Drv), argv(Argv), all_given(Options))}
    catch
        throw:{option, Option} -> {error, Option}
    end.

all_given(Options) ->
    maps:from_list([given(Option) || Option <- list(Options)]).

whole(How, Drv, Argv, Given) ->
    Parsed = maps:merge((defaults(How, Given))#{drv => Drv, argv => Argv}, Given),
    consistent((named(Parsed))#{begins => not is_map_key(in, Given)}).

%% @doc The parsed options of programs that are joined by pipes: a list of `Argv' and `{Argv,
%% Options}', with options for all of them. Options of a single program take precedence. {@link
%% alcove_proc_pipe} fills in the streams that are pipes.
-spec pipe(term(), term(), term()) -> {ok, programs()} | {error, Option :: term()}.
pipe(Drv, Programs, Options) ->
    try
        Found = drv(Drv),
        Given = all_given(Options),
        without([name], {pipe, one}, no_terminal(Given)),
        Last = count(Programs),
        Parsed = [
            piped(N, Last, Found, Program, Given)
         || {N, Program} <- lists:enumerate(Programs)
        ],
        {ok, {one_file(Parsed), maps:get(timeout, Given, infinity)}}
    catch
        throw:{option, Option} -> {error, Option}
    end.

count([_ | _] = Programs) when length(Programs) > 0 -> length(Programs);
count([]) -> refuse({programs, wrong_programs(empty)});
count(_) -> refuse({programs, wrong_programs(no_list)}).

piped(N, Last, Drv, Program, Given) ->
    try
        {Argv, Own} =
            case Program of
                {Words, Options} -> {Words, no_terminal(all_given(Options))};
                Words -> {Words, #{}}
            end,
        without([timeout, owner], {pipe, all}, Own),
        without([stdin || N > 1] ++ [stdout || N < Last], {pipe, stream}, Own),
        Ends = [stdin || N =:= 1] ++ [stdout || N =:= Last],
        Shared = maps:without([stdin, stdout] -- Ends, Given),
        %% Otherwise its kind isn't known yet.
        Pipe = maps:from_list([{stdout, discard} || N < Last]),
        begun(whole(run, Drv, argv(Argv), maps:merge(maps:merge(Pipe, Shared), Own)))
    catch
        throw:{option, Option} -> refuse({program, {N, Option}})
    end.

without(Names, Why, Given) ->
    _ = [refuse({Name, Why}) || Name <- Names, is_map_key(Name, Given)],
    ok.

no_terminal(#{pty := #{}}) -> refuse({pty, {pipe, terminal}});
no_terminal(Given) -> Given.

%% If several programs write to one file, the program that is started first, which is the last of
%% the list, truncates it, and none overwrites what another has written.
one_file(Programs) ->
    Paths = [Path || #{stderr := {file, Path, _, _}} <- Programs],
    {Joined, _} = lists:mapfoldr(fun one_file/2, Paths -- lists:usort(Paths), Programs),
    Joined.

one_file(#{stderr := {file, Path, How, Mode}} = Program, Paths) ->
    case {lists:member(Path, Paths), lists:member({emptied, Path}, Paths)} of
        {false, _} -> {Program, Paths};
        {true, true} -> {Program#{stderr := {file, Path, [o_append], Mode}}, Paths};
        {true, false} ->
            Emptied = {file, Path, lists:usort([o_append | How]), Mode},
            {Program#{stderr := Emptied}, [{emptied, Path} | Paths]}
    end;
one_file(Program, Paths) ->
    {Program, Paths}.

%% The directory and the environment with which the program starts, as they are at the time of the
%% call. Relative paths start from that directory.
begun(#{begins := false} = Parsed) ->
    maps:remove(begins, Parsed);
begun(#{drv := Drv} = Parsed) ->
    case inherited(Drv) of
        {ok, #{directory := Directory, variables := Variables}} ->
            paths((maps:remove(begins, Parsed))#{
                directory => Directory, inherited => Variables
            });
        %% The start of the program will report the error.
        gone ->
            maps:remove(begins, Parsed)
    end.

inherited({start, Options}) ->
    {ok, #{given := Given}} = alcove_drv_options:parse(Options),
    {ok, alcove_environ:inherited(Given, alcove_environ:directory())};
inherited(Drv) ->
    alcove_drv:inherited(Drv).

paths(#{directory := Directory} = Parsed) ->
    #{chroot := Root, stdin := Stdin, stdout := Stdout, stderr := Stderr} = Parsed,
    Parsed#{
        chroot := absolute(Root, Directory),
        stdin := absolute(Stdin, Directory),
        stdout := absolute(Stdout, Directory),
        stderr := absolute(Stderr, Directory)
    }.

absolute(Path, Directory) when is_binary(Path) ->
    alcove_environ:absolute(Path, Directory);
absolute({file, Path}, Directory) ->
    {file, absolute(Path, Directory)};
absolute({file, Path, Flag, Mode}, Directory) ->
    {file, absolute(Path, Directory), Flag, Mode};
absolute(Other, _Directory) ->
    Other.

pairs(Options) when is_map(Options) -> maps:to_list(Options);
pairs(Options) -> Options.

list(Options) when is_map(Options) -> maps:to_list(Options);
%% If an option is given twice, the first one holds, as in a property list.
list(Options) when is_list(Options), length(Options) >= 0 -> lists:reverse(Options);
list(Options) -> refuse({options, alcove_text:shown(Options)}).

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
        directory => undefined,
        inherited => undefined,
        cwd => undefined,
        env => [],
        clearenv => false,
        user => undefined,
        group => undefined,
        groups => undefined,
        names => drv,
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
        lines => false,
        active => true,
        timeout => infinity,
        grace => ?GRACE,
        stop_signal => sigterm,
        leftovers => kill,
        meta => #{},
        name => undefined,
        tag => alcove_proc
    }.

drv({start, Options} = Drv) ->
    case alcove_drv_options:parse(Options) of
        {ok, _} -> Drv;
        {error, Option} -> refuse({drv, {start, Option}})
    end;
drv(Drv) ->
    case alcove_drv:locate(Drv) of
        {ok, Pid} -> Pid;
        _ -> refuse({drv, alcove_text:shown(Drv)})
    end.

%% The error tells what is wrong with a program and its arguments, but not their values, which may
%% be secrets.
argv([_ | _] = Argv) when length(Argv) > 0 ->
    case lists:all(fun(Word) -> is_integer(Word) end, Argv) of
        true -> refuse({argv, wrong_argv(string)});
        false -> words(1, Argv)
    end;
argv([]) ->
    refuse({argv, wrong_argv(empty)});
argv(Command) when is_binary(Command) ->
    refuse({argv, wrong_argv(string)});
argv(_) ->
    refuse({argv, wrong_argv(no_list)}).

words(_N, []) ->
    [];
words(N, [Word | Words]) ->
    case alcove_text:bytes(Word) of
        error -> refuse({argv, wrong_argv({word, N})});
        <<>> when N =:= 1 -> refuse({argv, wrong_argv({word, N})});
        Bytes -> [Bytes | words(N + 1, Words)]
    end.

%% Options that can't be combined.
consistent(Parsed) ->
    streams(contained(Parsed)).

%% An option about a namespace needs that namespace: otherwise it would change the host's, or do
%% nothing.
contained(#{in := In, namespaces := Names, setup := Setup} = Parsed) ->
    [
        lists:member(Namespace, Names) orelse refuse({Option, {without, short(Namespace)}})
     || {Option, Namespace} <- [
            {hostname, clone_newuts}, {uid_map, clone_newuser}, {gid_map, clone_newuser}
        ],
        maps:get(Option, Parsed) =/= undefined
    ],
    %% Which namespaces a process other than root has, its user must know.
    In =:= [] andalso own(1, Setup, Names),
    Parsed.

own(_N, [], _Names) ->
    ok;
own(N, [{Call, _} | Calls], Names) ->
    case changes(Call) of
        %% From this call on the process is in other namespaces.
        namespaces -> ok;
        nothing -> own(N + 1, Calls, Names);
        Namespace ->
            lists:member(Namespace, Names) orelse
                refuse({setup, {N, Call, {without, short(Namespace)}}}),
            own(N + 1, Calls, Names)
    end.

changes(Call) when Call =:= unshare; Call =:= setns; Call =:= setns_fd -> namespaces;
changes(Call) when
    Call =:= mount; Call =:= umount; Call =:= umount2; Call =:= move_mount; Call =:= pivot_root
->
    clone_newns;
changes(sethostname) -> clone_newuts;
changes(_) -> nothing.

short(clone_newns) -> newns;
short(clone_newuts) -> newuts;
short(clone_newuser) -> newuser.

streams(#{stdout := stderr, stderr := stdout}) ->
    refuse({stdout, stderr});
streams(#{pty := false} = Parsed) ->
    Parsed;
streams(#{stdout := stderr}) ->
    refuse({stdout, stderr});
streams(#{stderr := {file, _, _, _} = Stderr}) ->
    refuse({stderr, Stderr});
streams(#{stdout := {file, _, _, _} = Stdout}) ->
    refuse({stdout, Stdout});
streams(#{stdin := {file, _} = Stdin}) ->
    refuse({stdin, Stdin});
streams(#{stdin := {data, Data}, pty := #{raw := false}} = Parsed) ->
    Lines = binary:split(Data, [<<"\n">>, <<"\r">>, <<4>>], [global]),
    lists:any(fun(Line) -> byte_size(Line) > ?TERMINAL_LINE end, Lines) andalso
        refuse({stdin, line}),
    Parsed#{stderr := stdout};
streams(Parsed) ->
    %% A terminal has one stream.
    Parsed#{stderr := stdout}.

given(Name) when is_atom(Name) ->
    given({Name, true});
given({Name, Value}) when is_atom(Name) ->
    case option(Name, Value) of
        error -> refuse({Name, told(Name, Value)});
        {error, Wrong} -> refuse({Name, Wrong});
        Parsed -> {Name, Parsed}
    end;
given(Option) ->
    refuse({options, alcove_text:shown(Option)}).

%% An unknown option may be a misspelt one, so its value may be a secret.
told(Name, Value) ->
    Secret = [stdin, meta, env, setup, tag],
    case lists:member(Name, names()) andalso not lists:member(Name, Secret) of
        true -> Value;
        false -> alcove_text:shown(Value)
    end.

%% @doc The names of the options.
-spec names() -> [atom(), ...].
names() ->
    [
        active, arg0, capabilities, cgroup, chroot, clearenv, cpus, cwd, env, gid_map, grace, group,
        groups, hostname, in, leftovers, lines, meta, name, names, namespaces, nice, no_new_privs,
        owner, pty, rlimits, seccomp, setup, stderr, stdin, stdout, stop_signal, tag, timeout,
        uid_map, user
    ].

%% The value; or `error'; or `{error, Wrong}' with the part of the value that is wrong.
option(Name, undefined) when
    Name =:= cwd; Name =:= user; Name =:= group; Name =:= groups; Name =:= chroot; Name =:= hostname
->
    undefined;
option(Name, Value) when
    Name =:= cwd; Name =:= chroot; Name =:= arg0; Name =:= hostname
->
    alcove_text:bytes(Value);
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
option(names, Whose) ->
    check(Whose =:= drv orelse Whose =:= in, Whose);
option(rlimits, Limits) when is_map(Limits) ->
    case all(fun rlimit/1, maps:to_list(Limits)) of
        {error, Wrong} -> {error, maps:from_list(Wrong)};
        Checked -> Checked
    end;
option(rlimits, Limits) ->
    all(fun rlimit/1, Limits);
option(nice, Nice) ->
    check(is_integer(Nice) andalso Nice >= -20 andalso Nice =< 19, Nice);
option(cpus, Cpus) ->
    all(fun(Cpu) -> check(is_integer(Cpu) andalso Cpu >= 0 andalso Cpu =< 65535, Cpu) end, Cpus);
option(namespaces, Names) ->
    all(fun namespace/1, Names);
option(Name, [_ | _] = Ranges) when Name =:= uid_map; Name =:= gid_map ->
    all(fun range/1, Ranges);
option(uid_map, {newuidmap, [_ | _] = Ranges}) ->
    helped(newuidmap, Ranges);
option(gid_map, {newgidmap, [_ | _] = Ranges}) ->
    helped(newgidmap, Ranges);
option(cgroup, {Name, Limits}) ->
    case alcove_cgroup_text:group(Name) of
        {ok, [_ | _]} ->
            case limits(Limits) of
                ok -> {Name, Limits};
                {error, Wrong} -> {error, {Name, Wrong}}
            end;
        _ ->
            {error, {Name, #{}}}
    end;
option(cgroup, Limits) ->
    case limits(Limits) of
        ok -> {undefined, Limits};
        Error -> Error
    end;
option(seccomp, Policy) ->
    seccomp(Policy);
option(capabilities, all) ->
    all;
option(capabilities, Names) ->
    all(fun(Name) -> check(is_atom(Name), Name) end, Names);
option(setup, Calls) when is_list(Calls), length(Calls) >= 0 ->
    calls(1, Calls);
option(stdin, Input) ->
    input(Input);
option(stdout, stderr) ->
    stderr;
option(stdout, console) ->
    {console, user};
option(stdout, Sink) ->
    sink(Sink);
option(stderr, stdout) ->
    stdout;
option(stderr, console) ->
    {console, standard_error};
option(stderr, Sink) ->
    sink(Sink);
option(pty, true) ->
    option(pty, #{});
option(pty, false) ->
    false;
option(pty, {Rows, Columns}) ->
    option(pty, #{rows => Rows, cols => Columns});
option(pty, #{} = Given) ->
    %% In raw mode the terminal does nothing with what is typed, and so doesn't echo it.
    Default = #{
        rows => ?ROWS,
        cols => ?COLUMNS,
        raw => false,
        echo => maps:get(raw, Given, false) =/= true
    },
    #{rows := Rows, cols := Columns, raw := Raw, echo := Echo} =
        Terminal = maps:merge(Default, Given),
    check(
        map_size(Terminal) =:= map_size(Default) andalso is_dimension(Rows) andalso
            is_dimension(Columns) andalso is_boolean(Raw) andalso is_boolean(Echo),
        Terminal
    );
option(pty, _) ->
    error;
option(active, Active) ->
    check(
        is_boolean(Active) orelse Active =:= once orelse (is_integer(Active) andalso Active > 0),
        Active
    );
option(lines, true) ->
    ?LONGEST;
option(lines, Max) ->
    check(Max =:= false orelse Max =:= infinity orelse (is_integer(Max) andalso Max > 0), Max);
option(timeout, Timeout) ->
    check(alcove_call:is_timeout(Timeout), Timeout);
option(grace, Grace) ->
    check(is_integer(Grace) andalso alcove_call:is_timeout(Grace), Grace);
option(stop_signal, Signal) ->
    check(is_signal(Signal) andalso (is_atom(Signal) orelse Signal =< ?STOP_SIGNALS), Signal);
option(leftovers, What) ->
    check(What =:= kill orelse What =:= leave, What);
option(meta, Meta) ->
    check(is_map(Meta), Meta);
option(name, Name) ->
    check(is_name(Name), Name);
%% With this tag a message would look like an exit signal of a linked process.
option(tag, Tag) ->
    check(Tag =/= 'EXIT', Tag);
option(_Name, _Value) ->
    error.

is_name({local, Name}) -> is_atom(Name) andalso Name =/= undefined;
is_name({global, _}) -> true;
is_name({via, Module, _}) -> is_atom(Module);
is_name(_) -> false.

check(true, Value) -> Value;
check(false, _Value) -> error.

%% The error of a list names the elements that are wrong.
all(Check, Values) when is_list(Values), length(Values) >= 0 ->
    Checked = [{Value, Check(Value)} || Value <- Values],
    case [Value || {Value, error} <- Checked] of
        [] -> [Good || {_, Good} <- Checked];
        Wrong -> {error, Wrong}
    end;
all(_Check, _Values) ->
    error.

helped(Helper, Ranges) ->
    case all(fun range/1, Ranges) of
        Good when is_list(Good) -> {Helper, Good};
        Wrong -> Wrong
    end.

%% What is wrong with a program and its arguments. It is part of the error, so that it is
%% seen also where errors aren't explained.
wrong_argv(What) ->
    iolist_to_binary([
        case What of
            string -> "a program and its arguments are a list, and not one string";
            empty -> "a program and its arguments are a list, and this one is empty";
            no_list -> "a program and its arguments are a list";
            {word, 1} -> "the program isn't a string or a binary without NUL, or is empty";
            {word, N} -> io_lib:format("word ~b isn't a string or a binary without NUL", [N])
        end,
        ": [\"ls\", \"-l\"]; for a shell, [\"sh\", \"-c\", \"ls -l | wc\"]"
    ]).

%% What is wrong with a list of programs.
wrong_programs(What) ->
    iolist_to_binary([
        case What of
            empty -> "the programs of a pipeline are a list, and this one is empty";
            no_list -> "the programs of a pipeline are a list"
        end,
        ": [[\"ls\", \"-l\"], [\"wc\", \"-l\"]]"
    ]).

%% @doc Whether a term is a signal, by its number or its name.
-spec is_signal(term()) -> boolean().
is_signal(Signal) when is_atom(Signal) -> is_integer(alcove_nif:define(signal, Signal));
is_signal(Signal) -> is_integer(Signal) andalso Signal >= 0 andalso Signal =< ?MAX_SIGNAL.

%% @doc Whether a term is a number of rows or columns of a terminal.
-spec is_dimension(term()) -> boolean().
is_dimension(N) -> is_integer(N) andalso N > 0 andalso N =< 16#ffff.

%% @doc See {@link alcove_text:data/1}.
-spec data(term()) -> binary() | error.
data(Data) ->
    alcove_text:data(Data).

env(Env) ->
    case alcove_environ:changes(Env) of
        {ok, Changes} -> Changes;
        {error, {name, Name}} -> {error, Name};
        {error, {no_pair, N, _}} -> {error, {element, N}};
        {error, no_list} -> error
    end.

id(Id) when is_integer(Id) ->
    check(Id >= 0 andalso Id =< 16#fffffffe, Id);
id(Name) ->
    case alcove_text:bytes(Name) of
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
    case resource(Resource) of
        %% At the hard limit the kernel sends SIGKILL, which doesn't tell the reason.
        rlimit_cpu when is_integer(Limit) -> rlimit({Resource, {Limit, Limit + 1}});
        _ -> rlimit({Resource, {Limit, Limit}})
    end;
rlimit(_) ->
    error.

limit(infinity) -> true;
limit(N) -> is_integer(N) andalso N >= 0.

%% `nofile' is short for `rlimit_nofile'.
resource(Number) when is_integer(Number), Number >= 0 ->
    Number;
resource(Name) when is_atom(Name) ->
    known(rlimit, <<"rlimit_">>, Name);
resource(_) ->
    error.

namespace(Name) when is_atom(Name) ->
    known(clone, <<"clone_">>, Name);
namespace(_) ->
    error.

%% A constant by its name, with or without the prefix. A name only becomes an atom if there is such
%% a constant.
known(Group, Prefix, Name) ->
    Text = string:lowercase(atom_to_binary(Name)),
    Names = [Text, <<Prefix/binary, Text/binary>>],
    case [Known || Known <- Names, alcove_nif:define(Group, Known) =/= unknown] of
        [Known | _] -> binary_to_atom(Known);
        [] -> error
    end.

range(Range) ->
    check(is_id_range(Range), Range).

%% @doc Whether a term is a range of ids, as user_namespaces(7) maps them.
-spec is_id_range(term()) -> boolean().
is_id_range({Inside, Outside, Count}) ->
    lists:all(fun is_integer/1, [Inside, Outside, Count]) andalso
        Inside >= 0 andalso Outside >= 0 andalso
        Count > 0 andalso max(Inside, Outside) + Count =< 16#ffffffff;
is_id_range(_) ->
    false.

%% A program of seccomp(2) is compiled already.
seccomp(Policy) when is_map(Policy) ->
    case alcove_nif:seccomp(Policy, native) of
        {ok, Program} -> Program;
        {error, Reason} -> {error, Reason};
        {'$badarg', Part} -> {error, {part, Part}}
    end;
seccomp(Program) ->
    try iolist_to_binary(Program) of
        <<>> -> {error, program};
        Bytes when byte_size(Bytes) rem 8 =:= 0 -> Bytes;
        _ -> {error, program}
    catch
        error:badarg -> {error, program}
    end.

limits(Limits) when is_map(Limits) ->
    Alone = fun(Key, Value) -> alcove_cgroup_limits:check(#{Key => Value}) =:= error end,
    case maps:filter(Alone, Limits) of
        Wrong when map_size(Wrong) > 0 -> {error, Wrong};
        _ -> ok
    end;
limits(_Limits) ->
    {error, no_map}.

%% A call by its place in the list, which may have the same one more than once.
calls(_N, []) ->
    [];
calls(N, [{Call, _} | _]) when ?IS_END(Call) ->
    {error, {N, Call, program}};
calls(N, [{Call, Argv} = Request | Calls]) when is_atom(Call), is_list(Argv) ->
    case alcove_nif:arity(Call) =:= length(Argv) andalso calls(N + 1, Calls) of
        false -> {error, {N, Call}};
        {error, _} = Error -> Error;
        Rest -> [Request | Rest]
    end;
calls(N, _) ->
    {error, {N, no_call}}.

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
    case alcove_text:bytes(Path) of
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
    case {alcove_text:bytes(Path), file(How, {[o_trunc], 8#644})} of
        {error, _} -> error;
        {_, error} -> error;
        {Bytes, {Flag, Mode}} -> {file, Bytes, Flag, Mode}
    end;
sink(Fun) when is_function(Fun, 1) ->
    {function, Fun};
sink({Fun, Acc}) when is_function(Fun, 2) ->
    {fold, Fun, Acc};
sink({log, Level}) ->
    sink({log, Level, #{}});
sink({log, Level, Options}) when is_map(Options) ->
    {Prefix, Metadata} =
        case maps:take(prefix, Options) of
            error -> {program, Options};
            Taken -> Taken
        end,
    Text = prefix(Prefix),
    Wrong = maps:filter(fun(Key, Value) -> not is_metadata(Key, Value) end, Metadata),
    case lists:member(Level, ?LEVELS) andalso Text =/= error of
        true when map_size(Wrong) > 0 -> {error, {log, Level, Wrong}};
        true -> {log, Level, Text, Metadata};
        false -> error
    end;
sink(_) ->
    error.

%% Logger fails, or drops the event, if a value of its own has another type.
is_metadata(domain, Domain) when is_list(Domain), length(Domain) >= 0 ->
    lists:all(fun is_atom/1, Domain);
is_metadata(domain, _) ->
    false;
is_metadata(file, File) ->
    alcove_text:characters(File) =/= error;
is_metadata(line, Line) ->
    is_integer(Line) andalso Line >= 0;
is_metadata(logger_formatter, Title) ->
    is_map(Title) andalso alcove_text:characters(maps:get(title, Title, "")) =/= error;
is_metadata(mfa, {Module, Function, Arity}) ->
    is_atom(Module) andalso is_atom(Function) andalso is_integer(Arity) andalso Arity >= 0;
is_metadata(mfa, _) ->
    false;
is_metadata(Key, Pid) when Key =:= gl; Key =:= pid ->
    is_pid(Pid);
is_metadata(report_cb, Fun) ->
    is_function(Fun, 1) orelse is_function(Fun, 2);
is_metadata(time, Microseconds) ->
    is_integer(Microseconds) andalso Microseconds >= 0 andalso Microseconds =< ?LATEST;
is_metadata(Key, _Value) ->
    is_atom(Key).

prefix(program) -> program;
prefix(Prefix) -> alcove_text:characters(Prefix).

%% The default prefix of logged lines: the name of the program.
named(#{argv := [Program | _], stdout := Stdout, stderr := Stderr} = Parsed) ->
    Parsed#{stdout := named(Program, Stdout), stderr := named(Program, Stderr)}.

named(Program, {log, Level, program, Metadata}) ->
    {log, Level, <<(alcove_text:printable(filename:basename(Program)))/binary, ": ">>, Metadata};
named(_Program, Sink) ->
    Sink.

file([append | How], {_, Mode}) -> file(How, {[o_append], Mode});
file([truncate | How], {_, Mode}) -> file(How, {[o_trunc], Mode});
file([{mode, Mode} | How], {Flag, _}) when is_integer(Mode), Mode >= 0, Mode =< 8#7777 ->
    file(How, {Flag, Mode});
file([], File) ->
    File;
file(_, _) ->
    error.
