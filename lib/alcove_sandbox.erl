%% @doc Runs programs that aren't trusted.
%%
%% ```
%% {ok, #{status := 0, stdout := <<"hi\n">>}} = alcove_sandbox:run(Drv, ["echo", "hi"], #{})
%% '''
%%
%% A sandbox is all or nothing: if a machine can't provide a part of it, the start fails with an
%% error that says what is missing and why. Results, streams and supervision are those of {@link
%% alcove_proc}. Linux only.
%%
%% <h3>What is always so</h3>
%%
%% The program
%%
%% <ul>
%% <li>has namespaces of its own, of each kind;</li>
%% <li>has a new root directory that holds what the spec says and nothing else; the host's root is
%%     unmounted;</li>
%% <li>runs as a user that no other process has, where Drv is root, and otherwise as Drv's own
%%     user, in a user namespace of its own that maps no other user;</li>
%% <li>has no capabilities, and can't gain privileges;</li>
%% <li>has a session and a session keyring of its own;</li>
%% <li>has no file descriptors but 0 to 2;</li>
%% <li>runs under a filter of system calls;</li>
%% <li>is restricted by Landlock to what the spec says, if the kernel has Landlock;</li>
%% <li>is the first that the kernel kills when memory runs out.</li>
%% </ul>
%%
%% <h3>The spec</h3>
%%
%% The spec is a map. Each key has a default.
%%
%% <dl>
%% <dt>`root': `{tmpfs, Size}', `{ro, Dir}', `{rw, Dir}' or `{overlay, Dir}', `{overlay, Dir,
%%     Size}'</dt>
%% <dd>`tmpfs', the default: a new and empty directory, which holds what `mounts' says and is
%%     read-only after that. `ro', `rw': a directory of the host, read-only or writable. `overlay':
%%     a directory of the host with a layer on top that takes what the program writes, and is thrown
%%     away at the end. Sizes are bytes.</dd>
%% <dt>`mounts': a list</dt>
%% <dd>What is inside, in the order in which it is made. The default is `[system, proc, dev, {tmpfs,
%%     "/tmp"}]'.
%%     <ul>
%%     <li>`{ro, Source, Target}', `{ro, Path}': a directory or a file of the host, read-only, with
%%         everything that is mounted below it; `{rw, ...}': the same, writable. Setuid bits and
%%         devices never work there. `{ro, Source, Target, Options}', `{rw, ...}': options are
%%         `noexec', no program can be executed, and `alone', without what is mounted below
%%         it.</li>
%%     <li>`{tmpfs, Target}', `{tmpfs, Target, Size}': an empty directory of the program's own.
%%         `{tmpfs, Target, Size, Options}': options are `mode', by default 8#700; `owner',
%%         `program' or `root'; `noexec' and `ro', both boolean. Where Drv is root, the id of `root'
%%         isn't mapped inside.</li>
%%     <li>`{dir, Path, Mode}', `{file, Path, Bytes, Mode}', `{symlink, Text, Path}'; modes can be
%%         left out.</li>
%%     <li>`proc': the processes of the sandbox. The files that runc masks are masked.</li>
%%     <li>`dev': null, zero, full, random, urandom, tty, pts, shm and the links to
%%         descriptors. `{dev, Target, Names}': with empty directories in it. What is below it comes
%%         after it in the list, `{rw, File, "/dev/log"}' for instance; then it is read-only.</li>
%%     <li>`{sysfs, Target}': what the kernel says about devices, read-only and without firmware;
%%         an ordinary user has it only with `network => none'. `{mqueue, Target}': message
%%         queues. `{empty, Target}': an empty directory, read-only.</li>
%%     <li>`{masked, Path}', `{read_only, Path}': makes what is at the path empty, or read-only. If
%%         there is nothing at the path, this does nothing. A path with a symbolic link in it is an
%%         error. In a mount with the option `alone', so is a path that is in another mount on the
%%         host.</li>
%%     <li>`system': the programs and libraries of the host, read-only: /usr and its like, the files
%%         of /etc that these need, and a passwd(5) that has the program's user. It is among the
%%         default `mounts', and is for a root directory that has nothing of this: for any other,
%%         give `mounts', as `[proc, dev, {tmpfs, "/tmp"}]'. A name that is there already is the
%%         error `{sandbox, {Path, eexist}}', and one that would have to be made in a read-only root
%%         `{sandbox, {Path, erofs}}'.</li>
%%     </ul>
%%     Links of the root directory are followed inside, where a link may be: it is the error
%%     `{sandbox, {Path, eloop}}' on the path of a file system of the kernel's, and of a `dir',
%%     `file' or `symlink' if the root directory is `rw', or if it leads to another directory of the
%%     host.</dd>
%% <dt>`network': `none', `host' or a map</dt>
%% <dd>`none', the default: nothing but a loopback interface. `host': the host's network. A map,
%%     where Drv is root: a network device of the sandbox's own that is joined to a bridge of Drv's
%%     network.
%%     <ul>
%%     <li>`bridge': the bridge's name.</li>
%%     <li>`address': its address, as `"10.0.0.2/24"' or `{{10, 0, 0, 2}, 24}', or a list of
%%         addresses, of IPv4 and IPv6.</li>
%%     <li>`gateway': where everything else is reached, as `"10.0.0.1"'. A list has one of each
%%         family. By default nothing else is reached.</li>
%%     <li>`name': its name inside, by default `"eth0"'.</li>
%%     <li>`mac': its Ethernet address, as `"02:00:00:00:00:01"', by default one that the kernel
%%         chooses.</li>
%%     <li>`mtu': the size of its largest packet, by default and at most the bridge's.</li>
%%     </ul>
%%     Errors: `{sandbox, {network, {{Key, Value}, Reason}}}'. It can't have `listen', too.</dd>
%% <dt>`listen': a list of `{tcp, Address, Port}' and `{unix, Path}', 16 at most</dt>
%% <dd>Sockets of Drv's network that listen for connections to the program. The program has them as
%%     descriptors 3, 4 and so on, and gets the variables of sd_listen_fds(3), LISTEN_PID,
%%     LISTEN_FDS and LISTEN_FDNAMES. An address is an `inet:ip_address()' or its text. A last
%%     element may give options: `#{name => Text, backlog => N}', by default `"unknown"' and 128. A
%%     path is one of the host; it must not exist, and is removed when the program has ended. Unless
%%     it has the host's network, a program with such sockets can't call connect(2) or bind(2), not
%%     even for addresses inside. Errors: `{sandbox, {listen, {Address, Reason}}}'.</dd>
%% <dt>`user': `{Uid, Gid}'</dt>
%% <dd>The user and group that the program sees itself as, by default `{1000, 1000}'.</dd>
%% <dt>`as': `unused' or `{Uid, Gid}'</dt>
%% <dd>The user and group that it has on the host, where Drv is root. `unused', the default: an id
%%     that belongs to nobody, from 2^31 on, or of those that Drv's user namespace has.</dd>
%% <dt>`ids': `own', `subordinate' or `{Uids, Gids}', lists of `{Inside, Outside, Count}'</dt>
%% <dd>The ids that exist inside, where Drv isn't root. `own', the default: only the program's,
%%     which is Drv's user on the host. `subordinate': Drv's user as 0, and from 1 on all ids that
%%     /etc/subuid and /etc/subgid give it. Lists: these ranges, which must contain Drv's user and
%%     group. The program runs as the id of `user', and on the host as the id to which the map
%%     translates that. Maps other than `own' need newuidmap(1) and newgidmap(1), in Debian's
%%     package uidmap. A Drv that is root has no ranges: there they are an error, unless `as' is
%%     given, which takes precedence.</dd>
%% <dt>`hostname', `domainname', `cwd', `home', `env'</dt>
%% <dd>The defaults are `"sandbox"', the host's domain name, `"/"' and `"/tmp"'. The environment has
%%     PATH, HOME and LANG, and what `env' adds.</dd>
%% <dt>`umask', `oom_score_adj'</dt>
%% <dd>The permissions that new files don't get, by default those of Drv's umask; a number from 0 to
%%     1000, by default 500.</dd>
%% <dt>`sysctl': a map of names and texts</dt>
%% <dd>Kernel parameters of the sandbox's own namespaces, `"net.ipv4.ip_default_ttl"' for
%%     instance.</dd>
%% <dt>`limits': a map</dt>
%% <dd>`memory', `file_size' and `output' in bytes, `pids', `open_files', `cpu' (processors, 2^20 at
%%     most), `cpu_time' in seconds and `wall_time' in milliseconds; `infinity' for no limit. All
%%     have a default. A control group limits memory, pids and cpu where Drv may make one, otherwise
%%     resource limits of each process do. Without a control group `cpu' can't be limited: it is an
%%     error if the spec has it.</dd>
%% <dt>`rlimits': `#{Resource => Limit | {Soft, Hard}}'</dt>
%% <dd>Further limits of each process, as of {@link alcove_proc}. If `limits' sets the same
%%     resource, the lower value holds.</dd>
%% <dt>`seccomp': `default', `none', or a policy of {@link alcove_seccomp}</dt>
%% <dd>By default {@link alcove_seccomp:sandbox/0}.</dd>
%% <dt>`best_effort': boolean</dt>
%% <dd>Whether to do without what the machine can't provide: control groups, the filter of system
%%     calls, a session keyring, proc, `ids', and, where Drv is root, a user namespace. Without a
%%     user namespace the program has the same user inside as on the host. Everything else that is
%%     missing is an error with this option, too, and so is what was only used up at that moment, as
%%     `{fork, eagain}'.</dd>
%% </dl>
%%
%% `stdin', `stdout', `stderr', `pty', `lines', `active', `owner', `grace', `stop_signal', `meta',
%% `name', `tag' and `arg0' are options of {@link alcove_proc}.
%%
%% <h3>Results</h3>
%%
%% Results are those of {@link alcove_proc:run/3}. In addition a result has `limit', the name of the
%% limit that ended the program, if one did (`memory': a process of it was killed for that, and its
%% status isn't 0), and `sandbox', a map that says what was in force: for each limit
%% `{cgroup | rlimit | timer | collect, Limit}' or `none'; `landlock', `{abi, Version}'; `seccomp',
%% `default', `policy' or `none'; `user', `{unused | as | own | mapped, Uid}'; `user_namespace',
%% `keyring' and `proc', `own'; `ids', the maps, `listen', the addresses, if it has any, and
%% `network', `{bridge, Bridge, Device}' with the name of the device outside, if it is on one. A
%% part that this machine lacks has the value `{lacking, Reason}'.
-module(alcove_sandbox).

-export([run/2, run/3, start_link/2, start_link/3, child_spec/1, explain/1, explain/2]).
-export([from_oci/1, from_oci/2]).
%% For supervisors.
-export([start_child/1, start_child/3]).

-export_type([spec/0, result/0, bundle/0, oci/0, oci_options/0, oci_why/0]).

-type spec() :: #{atom() => term()}.
-type result() :: {ok, map()} | {error, term()}.
-type bundle() :: file:name_all() | {file:name_all(), Config :: map()}.
-type oci_options() :: #{
    decode => fun((binary()) -> Config :: map() | {ok, Config :: map()} | {error, term()}),
    ignore => all | [Path :: unicode:chardata()]
}.
-type oci() :: #{
    argv := [binary()],
    spec := spec(),
    stricter := [{Path :: binary(), How :: binary()}],
    ignored := [{Path :: binary(), oci_why()}]
}.
-type oci_why() :: missing | {invalid, Must :: binary()} | {unsupported, Why :: binary()}.

%% @equiv run(Drv, Argv, #{})
-spec run(alcove_proc:drv(), alcove_proc:argv()) -> result().
run(Drv, Argv) ->
    run(Drv, Argv, #{}).

%% @doc Runs a program in a sandbox and returns when it and everything that it started have ended.
%%
%% Raises `{badarg, Part}' for the part of the spec that is wrong, or as {@link alcove_proc:run/3}
%% does. It tells no arguments and no variables' values.
-spec run(alcove_proc:drv(), alcove_proc:argv(), spec()) -> result().
run(Drv, Argv, Spec) ->
    Parsed = checked(run, Drv, Argv, Spec),
    Located = located(run, [Drv, Argv, Spec]),
    Run = fun(Given) ->
        Options = Given#{
            stdout => collect(maps:get(stdout, Given, collect), Parsed),
            stderr => collect(maps:get(stderr, Given, collect), Parsed)
        },
        alcove_proc:run(Located, Argv, Options)
    end,
    case attempted(Located, Parsed, run, Run) of
        {Outcome, Force} -> alcove_sandbox_limits:result(Outcome, Force)
    end.

%% Only collected output is limited: whatever else receives output has to limit it itself.
collect(collect, #{limits := #{output := Max}}) -> {collect, Max, kill};
collect(Sink, _Parsed) -> Sink.

%% @equiv start_link(Drv, Argv, #{})
-spec start_link(alcove_proc:drv(), alcove_proc:argv()) -> {ok, pid()} | {error, term()}.
start_link(Drv, Argv) ->
    start_link(Drv, Argv, #{}).

%% @doc Starts a program in a sandbox, see {@link alcove_proc:start_link/3}. The functions of {@link
%% alcove_proc} work with the pid that this returns.
-spec start_link(alcove_proc:drv(), alcove_proc:argv(), spec()) -> {ok, pid()} | {error, term()}.
start_link(Drv, Argv, Spec) ->
    Parsed = checked(start_link, Drv, Argv, Spec),
    Located = located(start_link, [Drv, Argv, Spec]),
    Start = fun(Options) -> alcove_proc:start_link(Located, Argv, Options) end,
    {Started, _Force} = attempted(Located, Parsed, start, Start),
    Started.

%% @doc A child specification for a supervisor, as {@link alcove_proc:child_spec/1} returns one,
%% with a `spec' in the place of the options. A program or a spec that is wrong raises the error
%% `{badarg, Part}', as with {@link run/3}; a Drv that isn't registered yet is an error when the
%% supervisor starts the child.
-spec child_spec(map()) -> supervisor:child_spec().
child_spec(#{drv := Drv, argv := Argv} = Child) ->
    Spec = maps:get(spec, Child, #{}),
    case parsed(Drv, Argv, Spec) of
        {ok, _} -> ok;
        {error, Part} -> wrong(Part, child_spec, [Child], 1)
    end,
    maps:merge(
        #{
            id => ?MODULE,
            start => {?MODULE, start_child, [alcove_hidden:hide([Drv, Argv, Spec])]},
            restart => transient,
            shutdown => 20000,
            modules => [alcove_proc]
        },
        maps:without([drv, argv, spec], Child)
    );
child_spec(Child) ->
    wrong(alcove_proc_options:incomplete(Child), child_spec, [Child], 1).

%% @private
%% @doc Starts a program as the child of a supervisor, for {@link child_spec/1}.
-spec start_child(alcove_hidden:hidden()) -> {ok, pid()} | {error, term()}.
start_child(Hidden) ->
    [Drv, Argv, Spec] = alcove_hidden:reveal(Hidden),
    start_child(Drv, Argv, Spec).

%% @private
%% @doc As {@link start_child/1}. A name that isn't registered yet is an error value, so that the
%% supervisor tries again.
-spec start_child(alcove_proc:drv(), alcove_proc:argv(), spec()) -> {ok, pid()} | {error, term()}.
start_child(Drv, Argv, Spec) ->
    case parsed(Drv, Argv, Spec) of
        {ok, #{options := Given} = Parsed} ->
            case alcove_proc_options:parse(child, Drv, Argv, Given) of
                {ok, #{drv := Located}} -> begun_child(Located, Argv, Parsed);
                {error, Option} -> {error, {badarg, Option}}
            end;
        {error, Part} ->
            {error, {badarg, Part}}
    end.

begun_child(Located, Argv, Parsed) ->
    Start = fun(Options) ->
        Discard = #{owner => none, stdin => none, stdout => discard, stderr => discard},
        alcove_proc:start_link(Located, Argv, maps:merge(Discard, Options))
    end,
    {Started, _Force} = attempted(Located, Parsed, child, Start),
    Started.

%% @doc As {@link explain/2}, for the Drv of the application.
-spec explain(spec()) -> {ok, map()} | {error, term()}.
explain(Spec) ->
    case alcove_drv:default() of
        {ok, Drv} -> explain(Drv, Spec);
        {error, Reason} -> {error, Reason}
    end.

%% @doc Tells what alcove does for a spec: `calls', the calls in the order in which the process that
%% becomes the program makes them; `in_force', the restrictions that hold; `lacking', what this
%% machine lacks, with the reason.
%%
%% To find out, it tries to start a program. If this machine can't provide a sandbox, not even with
%% `best_effort', it returns the error of {@link run/3}.
-spec explain(alcove_proc:drv(), spec()) -> {ok, map()} | {error, term()}.
explain(Drv, Spec) ->
    Args = [Drv, Spec],
    Parsed =
        case alcove_sandbox_spec:parse(Spec) of
            {ok, Known} -> Known;
            {error, Part} -> wrong(Part, explain, Args, 2)
        end,
    Located = located(explain, Args),
    Try = fun(Options) ->
        case alcove_sandbox_attempt:try_out(Located, Options) of
            ok -> {ok, Options};
            {error, Reason} -> {error, Reason}
        end
    end,
    case attempted(Located, Parsed#{best_effort := true}, explain, Try) of
        {{ok, #{setup := Calls, rlimits := Rlimits, namespaces := Namespaces}}, Force} ->
            Lacking = maps:from_list(
                [{Name, Why} || {Name, {lacking, Why}} <- maps:to_list(Force)]
            ),
            {ok, #{
                namespaces => Namespaces,
                calls => Calls ++ [{setrlimit, [R, L]} || {R, L} <- maps:to_list(Rlimits)],
                in_force => maps:without(maps:keys(Lacking), Force),
                lacking => Lacking
            }};
        {{error, Reason}, _Force} ->
            {error, Reason}
    end.

%% @equiv from_oci(Bundle, #{})
-spec from_oci(bundle()) -> {ok, oci()} | {error, term()}.
from_oci(Bundle) ->
    from_oci(Bundle, #{}).

%% @doc Reads the program and the spec from a bundle of the Open Container Initiative: a directory
%% with a `config.json', as `runc spec' writes it, and a root directory.
%%
%% ```
%% {ok, #{argv := Argv, spec := Spec}} = alcove_sandbox:from_oci("/srv/bundle"),
%% {ok, #{status := 0}} = alcove_sandbox:run(Drv, Argv, Spec)
%% '''
%%
%% `{Dir, Config}' is a bundle whose configuration is decoded already, with binaries or atoms for
%% keys. OTP's `json' decodes a file, from OTP 27 on, or the function in the option `decode', for
%% instance `fun jsx:decode/1'.
%%
%% Nothing is left out silently. What a sandbox doesn't support is `{unsupported, Why}', and a wrong
%% configuration is `missing' or `{invalid, Must}'. All of these are reported at once, each with its
%% path in the configuration, as `linux.namespaces[1].path': `{error, {oci, [{Path, Why}]}}'. The
%% option `ignore' is a list of paths, at which unsupported items are left out with everything in
%% them, or `all'; the result then names them in `ignored'. Where a sandbox is stricter than the
%% configuration asks for, that is no error; the result names it in `stricter'.
%%
%% Limits that the configuration lacks are those of every sandbox, such as 60 seconds of
%% `wall_time'. The spec is a map, and may be changed before it is run.
%%
%% Other errors: `{config, Reason}' if config.json can't be read, `{json, Reason}' if it can't be
%% decoded, `{json, no_decoder}' if OTP has no `json' and `decode' isn't given. Raises `{badarg,
%% Part}' for a wrong bundle or wrong options. The function reads no file but config.json, and
%% writes none.
-spec from_oci(bundle(), oci_options()) -> {ok, oci()} | {error, term()}.
from_oci(Bundle, Options) ->
    try
        alcove_sandbox_oci:read(Bundle, Options)
    catch
        throw:{badarg, Part} ->
            Args = [Bundle, Options],
            %% What isn't a directory or an option may be a configuration.
            Shown = alcove_text:shown(Part),
            case Part of
                Options -> wrong(Shown, from_oci, Args, 2);
                {_Name, _Value} -> wrong(Shown, from_oci, Args, 2);
                _ -> wrong(hd([Part || is_text(Part)] ++ [Shown]), from_oci, Args, 1)
            end
    end.

is_text(Text) when is_list(Text), length(Text) > 0 -> lists:all(fun is_integer/1, Text);
is_text(Text) -> is_binary(Text).

%% The spec, of a call whose arguments are all right as far as that can be known without Drv.
checked(Function, Drv, Argv, Spec) ->
    case parsed(Drv, Argv, Spec) of
        {ok, Parsed} -> Parsed;
        {error, {drv, _} = Part} -> wrong(Part, Function, [Drv, Argv, Spec], 1);
        {error, {argv, _} = Part} -> wrong(Part, Function, [Drv, Argv, Spec], 2);
        {error, Part} -> wrong(Part, Function, [Drv, Argv, Spec], 3)
    end.

parsed(Drv, Argv, Spec) ->
    case alcove_sandbox_spec:parse(Spec) of
        {ok, #{options := Options} = Parsed} ->
            case is_start(Drv) orelse alcove_proc_options:parse(later, Drv, Argv, Options) of
                true -> {error, {drv, alcove_text:shown(Drv)}};
                {ok, _} -> {ok, Parsed};
                {error, Option} -> {error, Option}
            end;
        {error, Part} ->
            {error, Part}
    end.

%% A sandbox looks at what Drv has before it starts anything.
is_start({start, _}) -> true;
is_start(_) -> false.

located(Function, [Drv | _] = Args) ->
    case alcove_drv:locate(Drv) of
        {ok, Pid} -> Pid;
        error -> wrong({drv, alcove_text:shown(Drv)}, Function, Args, 1)
    end.

-spec wrong(term(), atom(), [term(), ...], pos_integer()) -> no_return().
wrong(Part, Function, Args, Position) ->
    alcove_errors:raise({badarg, Part}, ?MODULE, Function, Args, {cause(Part), Position}).

%% What a sandbox has in common with programs is explained as theirs.
cause({Name, _} = Part) ->
    case lists:member(Name, [argv, env, network | alcove_sandbox_spec:options()]) of
        true -> {option, Part};
        false -> {spec, Part}
    end;
cause(Part) ->
    {spec, Part}.

%%--------------------------------------------------------------------
%% From a spec to options of alcove_proc
%%--------------------------------------------------------------------

%% Starts a program, and returns the outcome and what is in force. With best effort, a start that
%% failed is followed by a search for what this machine lacks, and by a start without that.
attempted(Located, Parsed, How, Start) ->
    #{listen := Listeners} = Parsed,
    case alcove_sandbox_listen:present(Located, Listeners) of
        ok ->
            Watcher = alcove_sandbox_listen:watched(Located, Listeners),
            try started(Located, Parsed, How, Start) of
                {{ok, Pid}, Force} when is_pid(Pid) ->
                    ok = alcove_sandbox_listen:released(Watcher, Pid),
                    ok = alcove_sandbox_ids:settle(node(Located), {program, Pid}),
                    {{ok, Pid}, Force};
                {{error, {_, _} = Reason} = Error, Force} when Listeners =/= [] ->
                    ok = over(Watcher, Located, Error),
                    {{error, named(Located, Listeners, Reason)}, Force};
                {Outcome, _} = Ended ->
                    ok = over(Watcher, Located, Outcome),
                    Ended
            catch
                Class:Reason:Stack ->
                    ok = over(Watcher, Located, {error, Reason}),
                    erlang:raise(Class, Reason, Stack)
            end;
        {error, Reason} ->
            {{error, {sandbox, Reason}}, #{}}
    end.

%% No program runs any more, but for what was left of it.
over(Watcher, Drv, Outcome) ->
    ok = alcove_sandbox_listen:release(Watcher),
    Ids =
        case Outcome of
            {error, {{leftovers, _}, _}} -> left;
            _ -> free
        end,
    alcove_sandbox_ids:settle(node(Drv), Ids).

%% The error with the address of the socket that failed, if it was one.
named(Drv, Listeners, Reason) ->
    case alcove_sandbox_listen:failed(Drv, Listeners, Reason) of
        {listen, _} = Failed -> {sandbox, Failed};
        Reason -> Reason
    end.

started(Located, #{network := Network} = Parsed, How, Start) ->
    case begun(Located, Parsed, How, Start) of
        {{error, Reason}, Force} ->
            Named = alcove_sandbox_here:named(Located, Reason),
            {{error, alcove_sandbox_network:named(Located, Network, Named)}, Force};
        Outcome ->
            Outcome
    end.

begun(Located, #{best_effort := BestEffort} = Parsed, How, Start) ->
    case compiled(Located, Parsed, How) of
        {ok, Options, Force} ->
            case alcove_sandbox_attempt:unplaced(Start(Options)) of
                {error, Reason} = Failed when BestEffort ->
                    case is_of_the_machine(Reason) of
                        true -> again(Located, Parsed, How, Start, Options, {Failed, Force});
                        false -> {Failed, Force}
                    end;
                Outcome ->
                    {Outcome, Force}
            end;
        {error, Reason} ->
            {{error, Reason}, #{}}
    end.

again(Drv, Parsed, How, Start, Options, Failed) ->
    case alcove_sandbox_here:lacking(Drv, Parsed, Options) of
        {ok, Lacking} when map_size(Lacking) > 0 ->
            ok = alcove_sandbox_listen:remove(Drv, maps:get(listen, Parsed)),
            case compiled(Drv, Parsed#{without := Lacking}, How) of
                {ok, Without, Force} -> {alcove_sandbox_attempt:unplaced(Start(Without)), Force};
                {error, Reason} -> {{error, Reason}, #{}}
            end;
        _ ->
            Failed
    end.

%% Whether the machine may be the reason that the program hasn't run, and not the program itself,
%% what runs it, or what was used up at that moment.
is_of_the_machine({Call, Reason}) when is_atom(Call), not is_map(Reason) ->
    not lists:member(Call, [execvp, chdir, start, in, drv, parent, process]) andalso
        not alcove_errors:is_shortage(Reason);
is_of_the_machine(_Reason) ->
    false.

compiled(Drv, Parsed, How) ->
    case alcove_sandbox_here:look(Drv, Parsed) of
        {ok, Known} ->
            {Pipes, Others} = streams(Parsed, How),
            case alcove_sandbox_kernel:calls(Drv, Parsed, Known#{
                    streams => Pipes, others => Others
                }) of
                {ok, Calls} -> options(Drv, Calls, Parsed, Known);
                {lacks, proc, Why} -> without(proc, Why, Why, Drv, Parsed, How);
                {lacks, _, Why} -> {error, Why};
                {error, Reason} -> {error, {sandbox, Reason}}
            end;
        {error, {ids, Why}} ->
            without(ids, Why, {sandbox, {ids, Why}}, Drv, Parsed, How);
        {error, Reason} ->
            {error, {sandbox, Reason}}
    end.

%% What turns out to be lacking before a start is an error, but with best effort.
without(Name, Why, Error, Drv, #{best_effort := BestEffort, without := Without} = Parsed, How) ->
    case BestEffort andalso not alcove_errors:is_shortage(Why) of
        true -> compiled(Drv, Parsed#{without := Without#{Name => Why}}, How);
        false -> {error, Error}
    end.

%% The streams that are alcove's pipes, whose ends are given to the program's user; and those that
%% are files or devices of the host.
streams(#{options := Given}, How) ->
    Default =
        case How of
            child -> discard;
            _ -> collect
        end,
    Options = maps:from_list(Given),
    case Options of
        #{pty := Pty} when Pty =/= false ->
            {[0], [{0, write}]};
        _ ->
            Stdout = maps:get(stdout, Options, Default),
            Stderr = maps:get(stderr, Options, Default),
            Pipes = [
                {0, is_pipe(maps:get(stdin, Options, input(How)))},
                {1, is_pipe(where(stderr, Stdout, Stderr))},
                {2, is_pipe(where(stdout, Stderr, Stdout))}
            ],
            {
                [Fd || {Fd, true} <- Pipes],
                [{Fd, may(Fd)} || {Fd, false} <- Pipes]
            }
    end.

may(0) -> read;
may(_) -> write.

input(start) -> stream;
input(_) -> none.

%% Where a stream goes, which may be where the other stream goes.
where(Other, Other, Sink) -> Sink;
where(_Other, Sink, _) -> Sink.

is_pipe({file, _}) -> false;
is_pipe({file, _, _}) -> false;
is_pipe(discard) -> false;
is_pipe(none) -> false;
is_pipe({data, Data}) -> alcove_proc_options:data(Data) =/= <<>>;
is_pipe(Data) when is_binary(Data); is_list(Data) -> is_pipe({data, Data});
is_pipe(_) -> true.

options(
    Drv,
    Calls,
    #{network := Network} = Parsed,
    #{privileged := Privileged, ids := Ids} = Here
) ->
    #{cwd := Cwd, env := Env, listen := Listeners, options := Given} = Parsed,
    case alcove_sandbox_limits:options(Drv, Parsed, Here) of
        {ok, Limits, Force} ->
            {ok,
                maps:merge(
                    maps:from_list(Given),
                    (maps:merge(Limits, maps_of(Ids)))#{
                        namespaces =>
                            [newns, newpid, newipc, newuts, newcgroup] ++
                            %% Sockets of the host's network are made before it is left.
                            [newnet || Network =:= none, Listeners =:= []] ++
                            [newuser || not Privileged],
                        setup => Calls,
                        clearenv => true,
                        env => Env ++ alcove_sandbox_listen:env(Listeners),
                        cwd => Cwd,
                        no_new_privs => true
                    }
                ),
                connected(Network, Here, listening(Listeners, Force))};
        {error, {cgroup, _} = Reason} ->
            {error, Reason};
        {error, Reason} ->
            {error, {sandbox, Reason}}
    end.

listening([], Force) -> Force;
listening(Listeners, Force) -> Force#{listen => [Address || {Address, _} <- Listeners]}.

connected(#{bridge := Bridge}, #{link := Link}, Force) -> Force#{network => {bridge, Bridge, Link}};
connected(_Network, _Here, Force) -> Force.

%% Without root's privileges, newuidmap(1) and newgidmap(1) write the maps.
maps_of(own) -> #{};
maps_of({Uids, Gids}) -> #{uid_map => {newuidmap, Uids}, gid_map => {newgidmap, Gids}}.
