%% @private
%% @doc The config.json of an OCI bundle as a spec of a sandbox: see {@link
%% alcove_sandbox:from_oci/2}.
%%
%% Members of the configuration are those of version 1.2 of the runtime specification,
%% https://github.com/opencontainers/runtime-spec.
-module(alcove_sandbox_oci).

-export([read/2]).

-import(alcove_sandbox_oci_items, [
    array/3, at/2, boolean/3, integer/3, natural/3, object/3, path/3, required/3, text/3,
    unsupported/1
]).

-include_lib("kernel/include/file.hrl").

-define(MAX_BYTES, (16 bsl 20)).
%% RLIM_INFINITY of JSON.
-define(INFINITY, 16#ffffffffffffffff).
-define(RLIMITS, #{
    <<"RLIMIT_AS">> => as,
    <<"RLIMIT_CORE">> => core,
    <<"RLIMIT_CPU">> => cpu,
    <<"RLIMIT_DATA">> => data,
    <<"RLIMIT_FSIZE">> => fsize,
    <<"RLIMIT_LOCKS">> => locks,
    <<"RLIMIT_MEMLOCK">> => memlock,
    <<"RLIMIT_MSGQUEUE">> => msgqueue,
    <<"RLIMIT_NICE">> => nice,
    <<"RLIMIT_NOFILE">> => nofile,
    <<"RLIMIT_NPROC">> => nproc,
    <<"RLIMIT_RSS">> => rss,
    <<"RLIMIT_RTPRIO">> => rtprio,
    <<"RLIMIT_RTTIME">> => rttime,
    <<"RLIMIT_SIGPENDING">> => sigpending,
    <<"RLIMIT_STACK">> => stack
}).
-define(CAPABILITIES,
    "^CAP_(AUDIT_(CONTROL|READ|WRITE)|BLOCK_SUSPEND|BPF|CHECKPOINT_RESTORE|CHOWN|DAC_OVERRIDE|"
    "DAC_READ_SEARCH|FOWNER|FSETID|IPC_LOCK|IPC_OWNER|KILL|LEASE|LINUX_IMMUTABLE|MAC_ADMIN|"
    "MAC_OVERRIDE|MKNOD|NET_(ADMIN|BIND_SERVICE|BROADCAST|RAW)|PERFMON|SET(FCAP|GID|PCAP|UID)|"
    "SYS_(ADMIN|BOOT|CHROOT|MODULE|NICE|PACCT|PTRACE|RAWIO|RESOURCE|TIME|TTY_CONFIG)|SYSLOG|"
    "WAKE_ALARM)$"
).
%% The default of every sandbox: the kernel kills the program first when memory runs out.
-define(OOM_SCORE_ADJ, 500).

%% @doc The program and the spec of a bundle.
-spec read(alcove_sandbox:bundle(), alcove_sandbox:oci_options()) ->
    {ok, alcove_sandbox:oci()} | {error, term()}.
read({Dir, Config}, Options) ->
    translated(directory(Dir), alcove_sandbox_oci_items:plain(Config), options(Options));
read(Dir, Options) ->
    Bundle = directory(Dir),
    #{decode := Decode} = Parsed = options(Options),
    case config(filename:join(Bundle, "config.json")) of
        {ok, Bytes} ->
            case decoded(Decode, Bytes) of
                {ok, Config} ->
                    translated(Bundle, alcove_sandbox_oci_items:plain(Config), Parsed);
                {error, Reason} ->
                    {error, {json, Reason}}
            end;
        {error, Reason} ->
            {error, {config, Reason}}
    end.

directory(Dir) ->
    case alcove_text:nonempty(Dir) of
        error ->
            throw({badarg, Dir});
        Bytes ->
            Absolute = iolist_to_binary(filename:absname(Bytes)),
            lists:member(<<"..">>, filename:split(Absolute)) andalso throw({badarg, Dir}),
            Absolute
    end.

options(Options) when is_map(Options) ->
    maps:merge(#{decode => default, ignore => []}, maps:map(fun option/2, Options));
options(Options) ->
    throw({badarg, Options}).

option(decode, Decode) when is_function(Decode, 1) -> Decode;
option(ignore, all) -> all;
option(ignore, Paths) when is_list(Paths), length(Paths) >= 0 ->
    [
        case alcove_text:nonempty(Path) of
            error -> throw({badarg, {ignore, Path}});
            Bytes -> Bytes
        end
     || Path <- Paths
    ];
option(Name, Value) -> throw({badarg, {Name, Value}}).

%% The author of a bundle can't block its reader, neither by a FIFO nor by a large file.
config(Path) ->
    case file:read_file_info(Path, [raw]) of
        {ok, #file_info{type = regular, size = Size}} when Size =< ?MAX_BYTES ->
            file:read_file(Path);
        {ok, #file_info{type = regular}} ->
            {error, efbig};
        {ok, #file_info{type = directory}} ->
            {error, eisdir};
        {ok, #file_info{}} ->
            {error, einval};
        {error, Reason} ->
            {error, Reason}
    end.

decoded(default, Bytes) ->
    %% json is a module of OTP 27 and newer.
    case code:ensure_loaded(json) of
        {module, Json} -> decoded(fun Json:decode/1, Bytes);
        {error, _} -> {error, no_decoder}
    end;
decoded(Decode, Bytes) ->
    try Decode(Bytes) of
        {ok, Config} -> {ok, Config};
        {error, Reason} -> {error, Reason};
        Config -> {ok, Config}
    catch
        error:Reason -> {error, Reason};
        throw:Reason -> {error, Reason}
    end.

%%--------------------------------------------------------------------
%% The whole
%%--------------------------------------------------------------------

translated(Bundle, Config, #{ignore := Ignore}) ->
    Ids = ids(Config),
    Items =
        required(<<>>, Config, [<<"ociVersion">>, <<"process">>, <<"root">>]) ++
            object(<<>>, Config, table(Bundle, Ids)) ++
            alcove_sandbox_oci_linux:together(Config),
    Wrong = [{Path, Why} || {wrong, Path, Why} <- Items],
    {Ignored, Unsupported} = lists:partition(
        fun({Path, _}) -> is_ignored(Path, Ignore) end,
        [{Path, {unsupported, Why}} || {unsupported, Path, Why} <- Items]
    ),
    case lists:usort(Wrong ++ Unsupported) of
        [] ->
            [Argv] = [Args || {args, Args} <- Items],
            {ok, #{
                argv => Argv,
                spec => spec(Ids, Items),
                stricter => lists:usort([{Path, How} || {stricter, Path, How} <- Items]),
                ignored => lists:usort(Ignored)
            }};
        Reasons ->
            {error, {oci, Reasons}}
    end.

%% Whether the option `ignore' has this path, or one that it is in.
is_ignored(_Path, all) ->
    true;
is_ignored(Path, Ignore) ->
    lists:any(
        fun(Name) ->
            Size = byte_size(Name),
            case Path of
                Name -> true;
                <<Name:Size/binary, Next, _/binary>> -> Next =:= $. orelse Next =:= $[;
                _ -> false
            end
        end,
        Ignore
    ).

%% The user is root by default.
ids(#{<<"process">> := #{<<"user">> := User}}) when is_map(User) ->
    {id(maps:get(<<"uid">>, User, 0)), id(maps:get(<<"gid">>, User, 0))};
ids(_Config) ->
    {0, 0}.

%% Values that aren't objects are reported where they are read.
id(Id) when is_integer(Id), Id >= 0, Id < 16#ffffffff -> Id;
id(_) -> 0.

table(Bundle, Ids) ->
    #{
        <<"ociVersion">> => fun version/2,
        <<"process">> => fun process/2,
        <<"root">> => fun(Path, Root) -> root(Path, Root, Bundle) end,
        <<"hostname">> => fun(Path, Name) -> name(Path, Name, hostname) end,
        <<"domainname">> => fun(Path, Name) -> name(Path, Name, domainname) end,
        <<"mounts">> => fun(Path, Mounts) ->
            alcove_sandbox_oci_mounts:items(Path, Mounts, Bundle, Ids)
        end,
        <<"linux">> => fun(Path, Linux) -> alcove_sandbox_oci_linux:items(Path, Linux, Ids) end,
        <<"hooks">> => fun hooks/2,
        <<"annotations">> => fun alcove_sandbox_oci_items:fine/2,
        <<"solaris">> => unsupported(<<"not of Linux">>),
        <<"windows">> => unsupported(<<"not of Linux">>),
        <<"vm">> => unsupported(<<"not of Linux">>),
        <<"zos">> => unsupported(<<"not of Linux">>),
        <<"freebsd">> => unsupported(<<"not of Linux">>)
    }.

spec(Ids, Items) ->
    Set = maps:from_list([{Name, Value} || {set, Name, Value} <- Items]),
    Mounts = lists:append(
        [Mounts || {mounts, Mounts} <- Items] ++
            [Paths || {read_only, Paths} <- Items] ++
            [Paths || {masked, Paths} <- Items]
    ),
    Given = lists:append([Env || {env, Env} <- Items]),
    %% The default mounts of a sandbox don't apply: a configuration names all mounts.
    Unset = [{Name, false} || Name <- [<<"PATH">>, <<"LANG">>]],
    maps:merge(
        #{
            user => Ids,
            umask => 8#022,
            home => <<"/">>,
            env => maps:to_list(maps:merge(maps:from_list(Unset), maps:from_list(Given))),
            mounts => Mounts,
            limits => maps:from_list([{Name, Value} || {limit, Name, Value} <- Items]),
            rlimits => maps:from_list([{Name, Value} || {rlimit, Name, Value} <- Items])
        },
        Set
    ).

version(Path, Value) ->
    text(Path, Value, fun
        (<<"1.", _/binary>>) -> [];
        (_) -> [{wrong, Path, {invalid, <<"a version 1">>}}]
    end).

name(Path, Value, Key) ->
    text(Path, Value, fun
        (<<>>) -> [];
        (Name) when byte_size(Name) =< 64 -> [{set, Key, Name}];
        (_) -> [{wrong, Path, {invalid, <<"a name of at most 64 bytes">>}}]
    end).

root(Path, Root, Bundle) ->
    ReadOnly = is_map(Root) andalso maps:get(<<"readonly">>, Root, false),
    How =
        case ReadOnly of
            true -> ro;
            _ -> rw
        end,
    required(Path, Root, [<<"path">>]) ++
        object(Path, Root, #{
            <<"path">> => fun(At, Given) ->
                text(At, Given, fun
                    (<<>>) ->
                        [{wrong, At, {invalid, <<"the path of a directory">>}}];
                    (Dir) ->
                        path(At, in_bundle(Dir, Bundle), fun
                            (<<"/">>) -> [{wrong, At, {invalid, <<"another root directory">>}}];
                            (Absolute) -> [{set, root, {How, Absolute}}]
                        end)
                end)
            end,
            <<"readonly">> => fun(At, Value) -> boolean(At, Value, fun(_) -> [] end) end
        }).

in_bundle(Dir, Bundle) -> iolist_to_binary(filename:join(Bundle, Dir)).

%% Programs that the runtime would run, most of them on the host and as root.
hooks(Path, Hooks) when is_map(Hooks) ->
    Hook = unsupported(<<"hooks are programs on the host">>),
    object(Path, Hooks, maps:from_keys([Name || Name <- maps:keys(Hooks), is_binary(Name)], Hook));
hooks(Path, _Hooks) ->
    [{wrong, Path, {invalid, <<"an object">>}}].

%%--------------------------------------------------------------------
%% The process
%%--------------------------------------------------------------------

process(Path, Process) ->
    required(Path, Process, [<<"args">>, <<"cwd">>]) ++
        terminal(Path, Process) ++
        object(Path, Process, #{
            <<"terminal">> => fun(At, Value) -> boolean(At, Value, fun(_) -> [] end) end,
            <<"consoleSize">> => fun alcove_sandbox_oci_items:fine/2,
            <<"user">> => fun user/2,
            <<"args">> => fun args/2,
            <<"env">> => fun(At, Env) -> array(At, Env, fun variable/2) end,
            <<"cwd">> => fun(At, Value) -> path(At, Value, fun(Dir) -> [{set, cwd, Dir}] end) end,
            <<"rlimits">> => fun rlimits/2,
            <<"capabilities">> => fun capabilities/2,
            <<"noNewPrivileges">> => fun(At, Value) ->
                boolean(At, Value, fun(Asked) ->
                    [{stricter, At, <<"it can't gain privileges">>} || not Asked]
                end)
            end,
            <<"oomScoreAdj">> => fun oom_score_adj/2,
            <<"apparmorProfile">> => unsupported(<<"profiles aren't applied">>),
            <<"selinuxLabel">> => unsupported(<<"labels aren't applied">>),
            <<"ioPriority">> => unsupported(<<"priorities aren't set">>),
            <<"scheduler">> => unsupported(<<"schedulers aren't set">>),
            <<"execCPUAffinity">> => unsupported(<<"processors aren't chosen">>),
            <<"commandLine">> => unsupported(<<"not of Linux">>)
        }).

terminal(Path, #{<<"terminal">> := true} = Process) ->
    At = at(Path, <<"consoleSize">>),
    case Process of
        #{<<"consoleSize">> := #{<<"height">> := Rows, <<"width">> := Columns}} when
            is_integer(Rows),
            Rows > 0,
            Rows < 65536,
            is_integer(Columns),
            Columns > 0,
            Columns < 65536
        ->
            [{set, pty, #{rows => Rows, cols => Columns}}];
        #{<<"consoleSize">> := _} ->
            [{wrong, At, {invalid, <<"a height and a width below 65536">>}}];
        _ ->
            [{set, pty, true}]
    end;
terminal(_Path, _Process) ->
    [].

user(Path, User) ->
    Id = fun(At, Value) ->
        natural(At, Value, fun
            (N) when N < 16#ffffffff -> [];
            (_) -> [{wrong, At, {invalid, <<"an id below 2^32 - 1">>}}]
        end)
    end,
    Own = is_map(User) andalso maps:get(<<"gid">>, User, 0),
    object(Path, User, #{
        <<"uid">> => Id,
        <<"gid">> => Id,
        <<"umask">> => fun(At, Value) ->
            natural(At, Value, fun
                (Mask) when Mask =< 8#777 -> [{set, umask, Mask}];
                (_) -> [{wrong, At, {invalid, <<"a mask of at most 0777 (511)">>}}]
            end)
        end,
        <<"additionalGids">> => fun(At, Gids) ->
            array(At, Gids, fun
                (_, Gid) when Gid =:= Own -> [];
                (Nth, Gid) ->
                    Id(Nth, Gid) ++
                        [
                            {unsupported, Nth, <<"it has one group">>}
                         || is_integer(Gid), Gid >= 0
                        ]
            end)
        end,
        <<"username">> => unsupported(<<"not of Linux">>)
    }).

args(Path, []) ->
    [{wrong, Path, {invalid, <<"at least the program">>}}];
args(Path, Args) ->
    Items = array(Path, Args, fun(At, Value) -> text(At, Value, fun(Arg) -> [{arg, Arg}] end) end),
    case Items of
        [{arg, <<>>} | _] ->
            [{wrong, alcove_sandbox_oci_items:nth(Path, 0), {invalid, <<"a program">>}}];
        _ ->
            [Item || Item <- Items, element(1, Item) =/= arg] ++
                [{args, [Arg || {arg, Arg} <- Items]}]
    end.

variable(Path, Value) ->
    text(Path, Value, fun(Variable) ->
        case binary:split(Variable, <<"=">>) of
            [Name, Text] when Name =/= <<>> -> [{env, [{Name, Text}]}];
            _ -> [{wrong, Path, {invalid, <<"NAME=value">>}}]
        end
    end).

%% These replace the sandbox's default limits of the same resources.
rlimits(Path, Limits) ->
    Items = array(Path, Limits, fun rlimit/2),
    Names = [Name || {rlimit, Name, _} <- Items],
    Items ++
        [{wrong, Path, {invalid, <<"one limit of a type">>}} || Names -- lists:usort(Names) =/= []].

rlimit(Path, #{<<"type">> := Type, <<"soft">> := Soft, <<"hard">> := Hard} = Limit) when
    is_integer(Soft), Soft >= 0, Soft =< Hard, is_integer(Hard), Hard =< ?INFINITY
->
    case ?RLIMITS of
        #{Type := Name} ->
            Unknown = maps:without([<<"type">>, <<"soft">>, <<"hard">>], Limit),
            object(Path, Unknown, #{}) ++
                [{rlimit, Name, {limit(Soft), limit(Hard)}}] ++
                [{limit, Own, limit(Hard)} || {R, Own} <- own(), R =:= Name, Hard > 0] ++
                [{stricter, Path, <<"there are no core files">>} || Name =:= core, Hard > 0];
        _ ->
            [{wrong, at(Path, <<"type">>), {invalid, <<"a name of getrlimit(2)">>}}]
    end;
rlimit(Path, Limit) ->
    case required(Path, Limit, [<<"type">>, <<"soft">>, <<"hard">>]) of
        [] -> [{wrong, Path, {invalid, <<"a soft limit from 0 to the hard one, and a type">>}}];
        Missing -> Missing
    end.

own() -> [{nofile, open_files}, {fsize, file_size}, {cpu, cpu_time}].

limit(?INFINITY) -> infinity;
limit(N) -> N.

capabilities(Path, Sets) ->
    Set = fun(At, Names) -> array(At, Names, fun capability/2) end,
    Names = [<<"bounding">>, <<"effective">>, <<"inheritable">>, <<"permitted">>, <<"ambient">>],
    Items = object(Path, Sets, maps:from_list([{Name, Set} || Name <- Names])),
    [Item || Item <- Items, element(1, Item) =/= capability] ++
        lists:usort([{stricter, Path, <<"it has no capabilities">>} || {capability, _} <- Items]).

capability(Path, Value) ->
    text(Path, Value, fun(Name) ->
        case re:run(Name, ?CAPABILITIES, [{capture, none}, dollar_endonly]) of
            match -> [{capability, Name}];
            nomatch -> [{wrong, Path, {invalid, <<"a name of capabilities(7)">>}}]
        end
    end).

oom_score_adj(Path, Value) ->
    integer(Path, Value, fun
        (Adj) when Adj >= -1000, Adj < ?OOM_SCORE_ADJ ->
            [{stricter, Path, <<"it is 500">>}];
        (Adj) when Adj >= ?OOM_SCORE_ADJ, Adj =< 1000 ->
            [{set, oom_score_adj, Adj}];
        (_) ->
            [{wrong, Path, {invalid, <<"an integer from -1000 to 1000">>}}]
    end).
