%% @private
%% @doc The spec of {@link alcove_sandbox}: checks it, and adds the defaults.
-module(alcove_sandbox_spec).

-export([parse/1, options/0]).

-export_type([spec/0, root/0, mount/0, tmpfs/0, limits/0, range/0]).

-type root() ::
    {tmpfs, size()}
    | {ro, path()}
    | {rw, path()}
    | {overlay, path(), size()}.
-type mount() ::
    system
    | {proc, path()}
    %% Further directories in the `dev', for mounts.
    | {dev, path(), Names :: [binary()]}
    | {sysfs | mqueue | empty, path()}
    | {masked | read_only, path()}
    %% The kind of what is there, once that is known.
    | {masked | read_only, path(), directory | file}
    | {ro | rw, Source :: path(), Target :: path()}
    | {ro | rw, Source :: path(), Target :: path(), [noexec | alone]}
    | {tmpfs, Target :: path(), size(), tmpfs()}
    | {dir, path(), alcove:mode()}
    | {file, path(), Bytes :: binary(), alcove:mode()}
    | {symlink, Text :: binary(), path()}.
-type tmpfs() :: #{
    mode => 0..8#1777, owner => program | root, noexec => boolean(), ro => boolean()
}.
-type path() :: binary().
-type range() :: {Inside :: alcove:id(), Outside :: alcove:id(), Count :: pos_integer()}.
-type size() :: pos_integer().
-type limit() :: non_neg_integer() | infinity.
-type limits() :: #{
    memory := pos_integer() | infinity,
    pids := pos_integer() | infinity,
    cpu := number() | infinity,
    cpu_time := pos_integer() | infinity,
    wall_time := pos_integer() | infinity,
    file_size := non_neg_integer() | infinity,
    open_files := pos_integer() | infinity,
    output := non_neg_integer() | infinity
}.
-type spec() :: #{
    root := root(),
    mounts := [mount()],
    network := none | host | alcove_sandbox_network:network(),
    listen := [alcove_sandbox_listen:listener()],
    hostname := binary(),
    user := {Uid :: alcove:id(), Gid :: alcove:id()},
    as := unused | {Uid :: alcove:id(), Gid :: alcove:id()},
    ids := own | subordinate | {Uids :: [range()], Gids :: [range()]},
    home := path(),
    cwd := path(),
    env := [alcove_environ:variable()],
    limits := limits(),
    seccomp := default | none | alcove_seccomp:policy() | alcove_seccomp:program(),
    best_effort := boolean(),
    domainname := binary(),
    umask := alcove:mode() | inherit,
    oom_score_adj := 0..1000,
    sysctl := [{Name :: binary(), Value :: binary()}],
    rlimits := #{atom() => {limit(), limit()}},
    %% The limits that were asked for by name.
    asked := [atom()],
    %% What this machine turned out to lack, and why.
    without := #{atom() => term()},
    %% The options of alcove_proc.
    options := [{atom(), term()}]
}.

-define(MIB, (1 bsl 20)).
-define(LIMITS, #{
    memory => 512 * ?MIB,
    pids => 64,
    cpu => 1,
    cpu_time => 30,
    wall_time => 60000,
    file_size => 64 * ?MIB,
    open_files => 256,
    output => 16 * ?MIB
}).
-define(SIZE, (64 * ?MIB)).
%% The kernel takes larger numbers of bytes for smaller ones, and a size of 0 for none.
-define(BYTES, 16#7fffffffffffffff).
%% One less than what setrlimit(2) takes for no limit; the hard limit of cpu_time is one more than
%% it.
-define(MOST, 16#fffffffffffffffd).
%% More processors than there are.
-define(CPUS, 16#100000).
-define(OPTIONS, [
    stdin, stdout, stderr, pty, lines, active, owner, grace, stop_signal, meta, name, tag, arg0, in
]).

%% @doc A checked spec with its defaults.
-spec parse(term()) -> {ok, spec()} | {error, term()}.
parse(Given) when is_map(Given) ->
    try
        {Options, Own} = lists:partition(
            fun({Name, _}) -> lists:member(Name, ?OPTIONS) end, maps:to_list(Given)
        ),
        Parsed = maps:from_list([{Name, key(Name, Value)} || {Name, Value} <- Own]),
        Asked = maps:keys(maps:get(limits, Given, #{})),
        {ok, finished(maps:merge(defaults(), Parsed#{options => Options, asked => Asked}))}
    catch
        throw:{spec, Part} -> {error, Part}
    end;
parse(Given) ->
    {error, alcove_text:shown(Given)}.

%% @doc The options that are those of {@link alcove_proc}.
-spec options() -> [atom(), ...].
options() ->
    ?OPTIONS.

-spec refuse(term()) -> no_return().
refuse(Part) ->
    throw({spec, Part}).

defaults() ->
    #{
        root => {tmpfs, ?SIZE},
        mounts => [
            system, {proc, <<"/proc">>}, {dev, <<"/dev">>, []}, {tmpfs, <<"/tmp">>, ?SIZE, #{}}
        ],
        network => none,
        listen => [],
        hostname => <<"sandbox">>,
        user => {1000, 1000},
        as => unused,
        ids => own,
        home => <<"/tmp">>,
        env => [],
        limits => ?LIMITS,
        seccomp => default,
        best_effort => false,
        domainname => <<>>,
        umask => inherit,
        oom_score_adj => 500,
        sysctl => [],
        rlimits => #{},
        asked => [],
        without => #{},
        options => []
    }.

finished(
    #{env := Env, home := Home, sysctl := Sysctl, network := Network, listen := Listen} = Spec
) ->
    [
        refuse({sysctl, Name})
     || {Name, _} <- Sysctl, not alcove_sandbox_kinds:is_own(Name, Network =/= host)
    ],
    %% A socket of Drv's network would be a second way out, which no filter closes here.
    is_map(Network) andalso Listen =/= [] andalso refuse({network, listen}),
    Clean = #{
        <<"PATH">> => <<"/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin">>,
        <<"HOME">> => Home,
        <<"LANG">> => <<"C.UTF-8">>
    },
    Full = maps:to_list(maps:merge(Clean, maps:from_list(Env))),
    maps:merge(#{cwd => <<"/">>}, Spec#{env := [V || {_, Value} = V <- Full, is_binary(Value)]}).

key(root, tmpfs) -> {tmpfs, ?SIZE};
key(root, {tmpfs, Size}) -> {tmpfs, bytes(Size)};
key(root, {ro, Dir}) -> {ro, path(Dir)};
key(root, {rw, Dir}) -> {rw, path(Dir)};
key(root, {overlay, Dir}) -> {overlay, path(Dir), ?SIZE};
key(root, {overlay, Dir, Size}) -> {overlay, path(Dir), bytes(Size)};
key(mounts, Mounts) when is_list(Mounts), length(Mounts) >= 0 -> [mount(M) || M <- Mounts];
key(domainname, Name) -> text(domainname, Name);
key(umask, Mask) when is_integer(Mask) -> mode(Mask);
key(oom_score_adj, Adj) when is_integer(Adj), Adj >= 0, Adj =< 1000 -> Adj;
key(sysctl, Values) when is_map(Values) ->
    [{text(sysctl, Name), text(sysctl, Value)} || {Name, Value} <- maps:to_list(Values)];
key(rlimits, Limits) when is_map(Limits) -> maps:map(fun rlimit/2, Limits);
key(network, Given) ->
    case alcove_sandbox_network:parse(Given) of
        {ok, Network} -> Network;
        {error, Part} -> refuse({network, Part})
    end;
key(listen, Given) ->
    case alcove_sandbox_listen:parse(Given) of
        {ok, Listeners} -> Listeners;
        {error, Part} -> refuse({listen, Part})
    end;
key(hostname, Name) -> text(hostname, Name);
key(user, User) -> ids(user, User);
key(as, unused) -> unused;
key(as, User) -> ids(as, User);
key(ids, Ids) when Ids =:= own; Ids =:= subordinate -> Ids;
key(ids, {Uids, Gids}) -> {ranges(Uids), ranges(Gids)};
key(home, Path) -> path(Path);
key(cwd, Path) -> path(Path);
key(env, Env) ->
    case alcove_environ:changes(Env) of
        {ok, Changes} -> Changes;
        {error, {name, Name}} -> refuse({env, Name});
        {error, {no_pair, _, Shown}} -> refuse({env, Shown});
        {error, no_list} -> refuse({env, alcove_text:shown(Env)})
    end;
key(limits, Limits) when is_map(Limits) ->
    maps:merge(?LIMITS, maps:map(fun limit/2, Limits));
key(seccomp, Policy) when Policy =:= default; Policy =:= none -> Policy;
key(seccomp, Policy) when is_map(Policy); is_binary(Policy) -> Policy;
key(seccomp, Program) when is_list(Program) ->
    try
        iolist_to_binary(Program)
    catch
        error:badarg -> refuse({seccomp, Program})
    end;
key(best_effort, Flag) when is_boolean(Flag) -> Flag;
%% A file's contents and an unknown key, which may be a misspelt one, may be secrets.
key(mounts, Mounts) -> refuse({mounts, alcove_text:shown(Mounts)});
key(Name, Value) ->
    Known = [cwd | maps:keys(maps:without([asked, without, options], defaults()))],
    case lists:member(Name, Known) of
        true -> refuse({Name, Value});
        false -> refuse({alcove_text:shown(Name), alcove_text:shown(Value)})
    end.

mount(system) -> system;
mount(proc) -> {proc, <<"/proc">>};
mount({proc, Path}) -> {proc, target(Path)};
mount(dev) -> {dev, <<"/dev">>, []};
mount({dev, Path}) -> {dev, target(Path), []};
mount({dev, Path, Names}) when is_list(Names), length(Names) >= 0 ->
    {dev, target(Path), [name(Name) || Name <- Names]};
mount({Kind, Path}) when
    Kind =:= sysfs; Kind =:= mqueue; Kind =:= empty; Kind =:= masked; Kind =:= read_only
->
    {Kind, target(Path)};
mount({How, Source}) when How =:= ro; How =:= rw -> mount({How, Source, Source});
mount({How, Source, Target}) when How =:= ro; How =:= rw -> {How, path(Source), target(Target)};
mount({How, Source, Target, Options}) when How =:= ro; How =:= rw ->
    is_options(Options) orelse refuse({How, Options}),
    {How, path(Source), target(Target), Options};
mount({tmpfs, Target}) -> mount({tmpfs, Target, ?SIZE});
mount({tmpfs, Target, Size}) -> mount({tmpfs, Target, Size, #{}});
mount({tmpfs, Target, Size, Options}) when is_map(Options) ->
    {tmpfs, target(Target), bytes(Size), maps:map(fun tmpfs/2, Options)};
mount({dir, Path}) -> {dir, target(Path), 8#755};
mount({dir, Path, Mode}) -> {dir, target(Path), mode(Mode)};
mount({file, Path, Bytes}) -> mount({file, Path, Bytes, 8#644});
mount({file, Path, Data, Mode}) ->
    Bytes =
        try
            iolist_to_binary(Data)
        catch
            error:badarg -> refuse({file, Path, alcove_text:shown(Data)})
        end,
    {file, target(Path), Bytes, mode(Mode)};
mount({symlink, Text, Path}) -> {symlink, text(symlink, Text), target(Path)};
mount(Mount) when element(1, Mount) =:= file -> refuse({mounts, alcove_text:shown(Mount)});
mount(Mount) -> refuse({mounts, Mount}).

is_options(Options) when is_list(Options), length(Options) >= 0 ->
    Options -- [noexec, alone] =:= [];
is_options(_) ->
    false.

tmpfs(mode, Mode) when is_integer(Mode), Mode >= 0, Mode =< 8#1777 -> Mode;
tmpfs(owner, Owner) when Owner =:= program; Owner =:= root -> Owner;
tmpfs(Name, Flag) when (Name =:= noexec orelse Name =:= ro), is_boolean(Flag) -> Flag;
tmpfs(Name, Value) -> refuse({tmpfs, {Name, Value}}).

limit(Name, infinity) when is_map_key(Name, ?LIMITS) -> infinity;
limit(cpu, Cpu) when is_number(Cpu), Cpu > 0, Cpu =< ?CPUS -> Cpu;
limit(Name, N) when is_map_key(Name, ?LIMITS), Name =/= cpu, is_integer(N), N > 0 ->
    N =< most(Name) orelse refuse({limits, {Name, N}}),
    N;
limit(Name, Value) -> refuse({limits, {Name, Value}}).

most(wall_time) -> 16#ffffffff;
most(memory) -> ?BYTES;
most(_Name) -> ?MOST.

rlimit(Name, {Soft, Hard} = Limit) when is_atom(Name) ->
    is_limit(Soft) andalso is_limit(Hard) andalso (Hard =:= infinity orelse Soft =< Hard) orelse
        refuse({rlimits, {Name, Limit}}),
    Resource = binary_to_atom(<<"rlimit_", (atom_to_binary(Name))/binary>>),
    alcove_nif:define(rlimit, Resource) =:= unknown andalso refuse({rlimits, {Name, Limit}}),
    Limit;
rlimit(Name, Limit) when is_integer(Limit); Limit =:= infinity ->
    rlimit(Name, {Limit, Limit});
rlimit(Name, Limit) ->
    refuse({rlimits, {Name, Limit}}).

is_limit(infinity) -> true;
is_limit(Limit) -> is_integer(Limit) andalso Limit >= 0 andalso Limit =< ?MOST + 2.

bytes(Size) when is_integer(Size), Size > 0, Size =< ?BYTES -> Size;
bytes(Size) -> refuse({size, Size}).

mode(Mode) when is_integer(Mode), Mode >= 0, Mode =< 8#777 -> Mode;
mode(Mode) -> refuse({mode, Mode}).

ranges([_ | _] = Ranges) when length(Ranges) >= 0 ->
    lists:foreach(
        fun(Range) -> alcove_proc_options:is_id_range(Range) orelse refuse({ids, Range}) end, Ranges
    ),
    Ranges;
ranges(Ranges) ->
    refuse({ids, Ranges}).

ids(_Name, {Uid, Gid} = Ids) when
    is_integer(Uid), Uid >= 0, Uid < 16#ffffffff, is_integer(Gid), Gid >= 0, Gid < 16#ffffffff
->
    Ids;
ids(Name, Value) ->
    refuse({Name, Value}).

text(Name, Text) ->
    case alcove_text:bytes(Text) of
        error -> refuse({Name, Text});
        Bytes -> Bytes
    end.

name(Name) ->
    Bytes = text(name, Name),
    lists:member(Bytes, [<<>>, <<".">>, <<"..">>]) andalso refuse({name, Name}),
    binary:match(Bytes, <<"/">>) =:= nomatch orelse refuse({name, Name}),
    Bytes.

%% A path of the host, or of the new root: absolute, and in its shortest form.
path(Path) ->
    case text(path, Path) of
        <<"/", _/binary>> = Absolute -> absolute(Absolute, Path);
        _ -> refuse({path, Path})
    end.

absolute(Absolute, Path) ->
    Parts = binary:split(Absolute, <<"/">>, [global]),
    lists:member(<<"..">>, Parts) andalso refuse({path, Path}),
    Named = [Part || Part <- Parts, Part =/= <<>>, Part =/= <<".">>],
    iolist_to_binary([<<"/">> | lists:join(<<"/">>, Named)]).

%% The root itself can't be a target: the key `root' sets it.
target(Path) ->
    case path(Path) of
        <<"/">> -> refuse({target, Path});
        Target -> Target
    end.
