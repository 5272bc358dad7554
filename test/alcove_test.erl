%% @doc What the suites share: starting alcove, waiting with a deadline, running
%% a virtual machine as an ordinary user, and a look at the machine before and
%% after each case that fails the case when it left something behind.
%%
%% `ALCOVE_MUST_WORK=1' in the environment makes every skip a failure: where a
%% machine is known to be able to run everything, nothing is skipped unseen.
-module(alcove_test).

-export([suite/0, ms/1, init_suite/1, init_case/1, init_case/2, end_case/1]).
-export([both/2, start/0, start/1, stop/1, fork/2, chain/3, shell/3, run/3]).
-export([event/3, collect/3, output/2, until/2, until/1, badarg/1, badpid/1, alive_after/2]).
-export([tmp/1, drv/1, path/1, constant/1, busybox/0, chroot_dir/1]).
-export([need/2, skip/1, root/0, can/1, top/0, probe/0, probe/1, executable/2]).
-export([ospid/0, alive/1, state/1, descendants/1, descendants/0, parent/1, signal/2, threads/0]).
-export([quote/1, install/1, peer/2, user_peer/1, user_peer/2, setpriv_peer/2, paths/0, user_paths/1, user/0, in_peer/2, in_peer/3, peer_call/4, stop_peer/1, with_descriptors/2, with_descriptors/3]).
-export([nodes/1, without_epmd/1, free_port/0, hold/1]).

-define(DEADLINE, (ms(5000))).
-define(MARK, "ALCOVE_TEST_MARK").

%% ---------------------------------------------------------------------------
%% What Common Test calls
%% ---------------------------------------------------------------------------

suite() ->
    [{timetrap, ms(60000)}].

%% How long something may take on this machine, of what it may on a fast one, in milliseconds:
%% ALCOVE_TEST_SLOW=20 in the environment is a machine that is twenty times slower, as an
%% emulated one is.
ms(Ms) ->
    case os:getenv("ALCOVE_TEST_SLOW") of
        Unset when Unset =:= false; Unset =:= "" -> Ms;
        Factor -> Ms * list_to_integer(Factor)
    end.

%% A first start and stop: what a virtual machine makes once and keeps (threads,
%% the ports' helper) is there before the first look.
init_suite(Config) ->
    os:putenv(?MARK, os:getpid()),
    _ = os:cmd("true"),
    {ok, Drv} = alcove_drv:start(),
    ok = stop(Drv),
    Config.

%% A look at the machine, and a directory of the case's own.
init_case(Config) ->
    Dir = filename:join("/tmp", lists:concat(["alcove-", os:getpid(), "-",
                                              erlang:unique_integer([positive])])),
    Before = look(),
    ok = file:make_dir(Dir),
    ok = file:change_mode(Dir, 8#755),
    [{before, Before}, {tmp, Dir} | Config].

%% The same with alcove started, and a process in its event loop: `drv' and `path'.
init_case(Options, Config) ->
    Config1 = init_case(Config),
    {ok, Drv} = alcove_drv:start(Options),
    {ok, Pid} = alcove:fork(Drv),
    [{drv, Drv}, {path, [Pid]} | Config1].

end_case(Config) ->
    [stop(Drv) || Drv <- running({alcove_drv, init, 1})],
    [stop_peer(Peer) || Peer <- running({peer, init, 1})],
    Before = proplists:get_value(before, Config),
    {Status, Left} = case until(fun() -> left(Before) =:= [] end) of
                         true -> {ok, []};
                         false -> {left, left(Before)}
                     end,
    [signal(Pid, "KILL") || {processes, Pids} <- Left, {Pid, _} <- Pids],
    _ = file:del_dir_r(tmp(Config)),
    case Status of
        ok -> ok;
        left ->
            %% A case that failed may not have come to tidying up: what it failed with comes first.
            case proplists:get_value(tc_status, Config) of
                {failed, Reason} -> {fail, {Reason, {left_behind, Left}}};
                _ -> {fail, {left_behind, Left}}
            end
    end.

%% Evaluates the fun with a way to make calls in root, without a fork path, and
%% with a way to make them in a child, with one.
both(Config, Fun) ->
    Drv = drv(Config),
    Path = path(Config),
    Fun(fun(Call, Args) -> apply(alcove, Call, [Drv | Args]) end),
    Fun(fun(Call, Args) -> apply(alcove, Call, [Drv, Path | Args]) end),
    ok.

%% ---------------------------------------------------------------------------
%% Before and after
%% ---------------------------------------------------------------------------

look() ->
    #{processes => processes_of_ours(), fds => fds(), threads => threads(),
      mounts => mounts(), cgroups => cgroups()}.

left(Before) ->
    After = look(),
    [{Kind, More} || Kind <- [processes, fds, mounts, cgroups],
                     More <- [maps:get(Kind, After) -- maps:get(Kind, Before)],
                     More =/= []]
        ++ [{threads, N} || N <- [maps:get(threads, After) - maps:get(threads, Before)], N > 0].

%% Descendants of this virtual machine, and strays that have its mark in their environment.
processes_of_ours() ->
    Mark = iolist_to_binary([0, ?MARK, "=", os:getpid(), 0]),
    Table = table(),
    Below = below([ospid()], Table),
    %% The kernel's own threads have 2 for their parent, and no environment.
    Strays = [Pid || {Pid, Parent, _, _} <- Table, Parent =/= 2, Pid =/= ospid(),
                     not lists:member(Pid, Below), marked(Pid, Mark)],
    [{Pid, name(Pid)} || Pid <- Below ++ Strays, state(Pid) =/= gone].

marked(Pid, Mark) ->
    case file:read_file(proc(Pid, "environ")) of
        {ok, Environ} -> binary:match(<<0, Environ/binary, 0>>, Mark) =/= nomatch;
        {error, _} -> false
    end.

%% Sockets, pipes and the like of this virtual machine. Its log files come and go.
fds() ->
    {ok, Names} = file:list_dir("/proc/self/fd"),
    [Link || Name <- Names,
             {ok, Link} <- [file:read_link_all(filename:join("/proc/self/fd", Name))],
             lists:prefix("socket:", Link) orelse lists:prefix("pipe:", Link)
                 orelse lists:prefix("anon_inode:", Link)
                 orelse lists:prefix("/proc/", Link) andalso lists:suffix("/ns", filename:dirname(Link))].

%% How many threads this virtual machine has.
threads() ->
    {ok, Names} = file:list_dir("/proc/self/task"),
    length(Names).

%% The kernel mounts some by itself, when somebody looks there.
mounts() ->
    {ok, Table} = file:read_file("/proc/self/mountinfo"),
    [Mount || Mount <- binary:split(Table, <<"\n">>, [global, trim]),
              re:run(Mount, " - (tracefs|debugfs|autofs|binfmt_misc) ") =:= nomatch].

%% Those in which another process than ours lives aren't ours.
cgroups() ->
    Cgroups = lists:append([filelib:wildcard("/sys/fs/cgroup" ++ Depth ++ "alcove*")
                            || Depth <- ["/", "/*/", "/*/*/"]]),
    Ours = [ospid() | case Cgroups of [] -> []; _ -> descendants() end],
    Theirs = [filename:basename(Cgroup)
              || Cgroup <- Cgroups, members(Cgroup) -- Ours =/= [] orelse is_anothers(Cgroup, Ours)],
    [Cgroup || Cgroup <- Cgroups, not lists:member(filename:basename(Cgroup), Theirs)].

%% A group that a program has to itself has the pid of its virtual machine in its name.
is_anothers(Cgroup, Ours) ->
    case re:run(Cgroup, "alcove-own\\.([0-9]+)\\.", [{capture, all_but_first, list}]) of
        {match, [Pid]} -> not lists:member(list_to_integer(Pid), Ours) andalso alive(list_to_integer(Pid));
        nomatch -> false
    end.

members(Cgroup) ->
    [binary_to_integer(Pid)
     || File <- filelib:wildcard(filename:join(Cgroup, "**/cgroup.procs")),
        {ok, Pids} <- [file:read_file(File)],
        Pid <- string:lexemes(Pids, "\n")].

%% The processes of this virtual machine that began with this function.
running(Function) ->
    [Pid || Pid <- erlang:processes(), proc_lib:translate_initial_call(Pid) =:= Function].

%% ---------------------------------------------------------------------------
%% alcove
%% ---------------------------------------------------------------------------

start() ->
    start([]).

start(Options) ->
    {ok, Drv} = alcove_drv:start(Options),
    Drv.

stop(Drv) ->
    alcove_drv:stop(Drv).

%% The fork path of a new child of a process.
fork(Drv, Path) ->
    {ok, Pid} = alcove:fork(Drv, Path),
    Path ++ [Pid].

%% The fork path of a process so many forks further down.
chain(_Drv, Path, 0) ->
    Path;
chain(Drv, Path, N) ->
    chain(Drv, fork(Drv, Path), N - 1).

%% Runs a shell script in a new child of a process; its fork path.
shell(Drv, Path, Script) ->
    run(Drv, Path, ["/bin/sh", "-c", Script]).

%% Runs a program in a new child of a process; its fork path.
run(Drv, Path, [Arg0 | _] = Argv) ->
    Child = fork(Drv, Path),
    ok = alcove:execvp(Drv, Child, Arg0, Argv),
    Child.

%% The next event of a process must be this one.
event(Drv, Path, Event) ->
    case alcove:event(Drv, Path, ?DEADLINE) of
        Event -> ok;
        Other -> ct:fail({event, Path, [{expected, Event}, {got, Other}]})
    end.

%% At least so many bytes of a process' stdout.
collect(Drv, Path, Size) ->
    iolist_to_binary(collect_(Drv, Path, Size)).

collect_(_Drv, _Path, Size) when Size =< 0 ->
    [];
collect_(Drv, Path, Size) ->
    case alcove:stdout(Drv, Path, ?DEADLINE) of
        false -> ct:fail({stdout, Path, [{missing, Size}]});
        Bytes -> [Bytes | collect_(Drv, Path, Size - byte_size(Bytes))]
    end.

%% Everything a process writes to stdout until its end, and the event of its end.
output(Drv, Path) ->
    output(Drv, Path, []).

output(Drv, Path, Bytes) ->
    receive
        {alcove_stdout, Drv, Path, More} ->
            output(Drv, Path, [Bytes, More]);
        {alcove_event, Drv, Path, {Kind, _} = End} when Kind =:= exit_status; Kind =:= termsig ->
            {iolist_to_binary(Bytes), End}
    after ms(20000) ->
        ct:fail({no_end, Path, iolist_size(Bytes)})
    end.

%% The directory of the project.
top() ->
    top(code:lib_dir(alcove)).

top(Dir) ->
    case filelib:is_regular(filename:join(Dir, "README.md")) of
        true -> Dir;
        false -> top(filename:dirname(Dir))
    end.

%% The program that tries to get out of where it is, native/alcove_probe, or why there is none.
probe() ->
    probe(alcove_probe).

%% Another program of native/alcove_probe.
probe(Name) ->
    Top = top(),
    Target = os:getenv("CARGO_TARGET_DIR", filename:join(Top, "target")),
    Cargo = [Path || Path <- [os:find_executable("cargo"),
                              filename:join([os:getenv("HOME", "/"), ".cargo", "bin", "cargo"])],
                     Path =/= false, filelib:is_regular(Path)],
    Said = [os:cmd(lists:concat(["cd '", Top, "' && PATH=\"$PATH:", filename:dirname(Path), "\" '", Path,
                                 "' build --quiet -p alcove_probe 2>&1"])) || Path <- lists:sublist(Cargo, 1)],
    Built = filename:join([Target, "debug", Name]),
    case filelib:is_regular(Built) of
        true -> {ok, Built};
        false -> {false, lists:concat(["needs ", Name, ", and cargo to build it: " | Said])}
    end.

%% A copy of such a program, where any user may execute it.
executable(Config, Name) ->
    {ok, Built} = probe(Name),
    File = filename:join(tmp(Config), Name),
    {ok, _} = file:copy(Built, File),
    ok = file:change_mode(File, 8#755),
    File.

drv(Config) ->
    proplists:get_value(drv, Config).

path(Config) ->
    proplists:get_value(path, Config).

tmp(Config) ->
    proplists:get_value(tmp, Config).

constant(Name) ->
    Value = alcove_nif:define(all, Name),
    true = is_integer(Value),
    Value.

%% ---------------------------------------------------------------------------
%% Waiting and failing
%% ---------------------------------------------------------------------------

until(Fun) ->
    until(Fun, ?DEADLINE).

%% Whether something that sends no message comes true within so many milliseconds. A while in
%% which this process was kept from looking counts as a moment: the machine was mostly kept
%% from what is waited for, too.
until(Fun, Ms) ->
    until_(Fun, Ms * 1000, erlang:monotonic_time(microsecond)).

until_(Fun, Left, Looked) ->
    case Fun() of
        true ->
            true;
        false when Left =< 0 ->
            false;
        false ->
            receive after 2 -> ok end,
            Now = erlang:monotonic_time(microsecond),
            until_(Fun, Left - min(Now - Looked, 20000), Now)
    end.

badarg(Fun) ->
    raises(badarg, Fun).

badpid(Fun) ->
    raises(badpid, Fun).

raises(Reason, Fun) ->
    try Fun() of
        Value -> ct:fail({returned, Value, instead_of, Reason})
    catch
        error:Reason -> ok;
        Class:Other:Stack -> ct:fail({raised, {Class, Other}, instead_of, Reason, Stack})
    end.

%% Evaluates `Fun' and checks that the process at the end of the fork path still answers.
alive_after(Config, Fun) ->
    Result = Fun(),
    Path = path(Config),
    Pid = lists:last(Path),
    Pid = alcove:getpid(drv(Config), Path),
    Result.

%% ---------------------------------------------------------------------------
%% What a case needs
%% ---------------------------------------------------------------------------

%% Runs `Fun' where everything it needs is there, else skips with the reason.
need([], Fun) ->
    Fun();
need([What | Rest], Fun) ->
    case can(What) of
        true -> need(Rest, Fun);
        {false, Text} -> skip(Text)
    end.

skip(Text) ->
    case os:getenv("ALCOVE_MUST_WORK") of
        Unset when Unset =:= false; Unset =:= ""; Unset =:= "0" -> {skip, Text};
        _ -> ct:fail({must_work, Text})
    end.

can(root) ->
    yes(root(), "needs root");
can(ordinary) ->
    yes(not root() orelse os:find_executable("setpriv") =/= false,
        "needs setpriv to become an ordinary user");
can(sudo) ->
    yes(os:find_executable("sudo") =/= false, "needs sudo");
can(busybox) ->
    yes(busybox() =/= false, "needs a busybox that is linked statically");
can(userns) ->
    Status = os:cmd("unshare --user true 2>&1; echo $?"),
    yes(string:trim(Status) =:= "0", "needs user namespaces for ordinary users");
can({nofile, N}) ->
    {ok, Limits} = file:read_file("/proc/self/limits"),
    {match, [Hard]} = re:run(Limits, "Max open files +[0-9a-z]+ +([0-9a-z]+)",
                             [{capture, all_but_first, list}]),
    yes(Hard =:= "unlimited" orelse list_to_integer(Hard) >= N,
        lists:concat(["needs a hard limit of ", N, " open files, it is ", Hard]));
can(namespaces) ->
    made(clone, [[clone_newns, clone_newuts, clone_newpid]], "needs namespaces, and clone says ");
can({probe, Name}) ->
    case probe(Name) of
        {ok, _} -> true;
        No -> No
    end;
%% What is there answers that the arguments are no good.
can({call, Name}) ->
    case made(syscall, [Name, [-1, 0, 0, 0, 0, 0]], lists:concat(["needs ", Name, "(2), which says "])) of
        {false, Text} = No ->
            case lists:any(fun(Missing) -> lists:suffix(Missing, Text) end, [" enosys", " eperm"]) of
                true -> No;
                false -> true
            end;
        true -> true
    end;
can(told) ->
    case os:version() of
        {Major, Minor, _} when {Major, Minor} >= {6, 15} -> can({call, pidfd_open});
        _ -> {false, "needs a kernel that tells how a process ended that was reaped, as Linux 6.15 does"}
    end;
can({cap, Name}) ->
    {ok, Status} = file:read_file("/proc/self/status"),
    {match, [Caps]} = re:run(Status, "CapEff:\\s+([0-9a-f]+)", [{capture, all_but_first, binary}]),
    yes(binary_to_integer(Caps, 16) band (1 bsl constant(Name)) =/= 0,
        lists:concat(["needs ", string:uppercase(atom_to_list(Name))]));
can(gains) ->
    {ok, Status} = file:read_file("/proc/self/status"),
    yes(re:run(Status, "NoNewPrivs:\\s+1") =:= nomatch, "needs programs that gain privileges, no_new_privs is set");
can({program, Name}) ->
    yes(os:find_executable(Name) =/= false, "needs " ++ Name).

%% Whether a call works in a root process of its own.
made(Call, Args, Text) ->
    Drv = start(),
    Result = apply(alcove, Call, [Drv, [] | Args]),
    _ = stop(Drv),
    case Result of
        {error, Reason} -> {false, lists:concat([Text, Reason])};
        _ -> true
    end.

yes(true, _Text) -> true;
yes(false, Text) -> {false, Text}.

root() ->
    {ok, Status} = file:read_file("/proc/self/status"),
    {match, [Euid]} = re:run(Status, "Uid:\\s+\\d+\\s+(\\d+)", [{capture, all_but_first, list}]),
    Euid =:= "0".

%% The path of a busybox that needs no library, as a program in a chroot has none.
busybox() ->
    Candidates = [Path || Name <- ["busybox", "busybox-static"],
                          Path <- [os:find_executable(Name)], Path =/= false],
    Static = fun(Path) ->
                     {ok, Bytes} = file:read_file(Path),
                     binary:match(Bytes, <<"/ld-">>) =:= nomatch
             end,
    case lists:filter(Static, Candidates) of
        [Path | _] -> Path;
        [] -> false
    end.

%% A directory to chroot to, with nothing but busybox in it.
chroot_dir(Config) ->
    Dir = filename:join(tmp(Config), "root"),
    ok = file:make_dir(Dir),
    ok = file:change_mode(Dir, 8#755),
    To = filename:join(Dir, "busybox"),
    {ok, _} = file:copy(busybox(), To),
    ok = file:change_mode(To, 8#755),
    Dir.

%% ---------------------------------------------------------------------------
%% Unix processes, seen from outside
%% ---------------------------------------------------------------------------

ospid() ->
    list_to_integer(os:getpid()).

proc(Pid, File) ->
    lists:concat(["/proc/", Pid, "/", File]).

%% Whether a process runs: a zombie doesn't.
alive(Pid) ->
    not lists:member(state(Pid), [gone, $Z, $X]).

%% The letter of a process' state as in ps(1), or `gone'.
state(Pid) ->
    case stat(Pid) of
        {_, _, State, _} -> State;
        gone -> gone
    end.

parent(Pid) ->
    case stat(Pid) of
        {_, Parent, _, _} -> Parent;
        gone -> gone
    end.

name(Pid) ->
    case stat(Pid) of
        {_, _, _, Name} -> Name;
        gone -> gone
    end.

%% The name may hold anything, so what follows is found after the last parenthesis.
stat(Pid) ->
    case file:read_file(proc(Pid, "stat")) of
        {ok, Stat} ->
            [PidAndName, <<" ", State, " ", Rest/binary>>] = string:split(Stat, ")", trailing),
            [_, Name] = string:split(PidAndName, "("),
            [Parent | _] = binary:split(Rest, <<" ">>),
            {Pid, binary_to_integer(Parent), State, Name};
        {error, _} ->
            gone
    end.

table() ->
    {ok, Names} = file:list_dir("/proc"),
    [Stat || [Digit | _] = Name <- Names, Digit >= $0, Digit =< $9,
             Stat <- [stat(list_to_integer(Name))], Stat =/= gone].

%% The descendants of a process, zombies included.
descendants(Pid) ->
    below([Pid], table()).

descendants() ->
    descendants(ospid()).

below([], _Table) ->
    [];
below(Parents, Table) ->
    Children = [Pid || {Pid, Parent, _, _} <- Table, lists:member(Parent, Parents)],
    Children ++ below(Children, Table).

%% Sends a signal from outside, as an administrator would.
signal(Pid, Name) ->
    os:cmd(lists:concat(["kill -", Name, " ", Pid])).

%% ---------------------------------------------------------------------------
%% Other virtual machines
%% ---------------------------------------------------------------------------

%% A copy of the compiled library that every user can read. The code paths.
install(Dir) ->
    Lib = code:lib_dir(alcove),
    Here = filename:dirname(code:which(?MODULE)),
    To = filename:join(Dir, "alcove"),
    Q = fun quote/1,
    Copy = ["cd ", Q(To), " && mkdir ebin test && cp -L ", Q(Lib), "/ebin/* ebin && ",
            "cp -rL ", Q(Lib), "/priv . && cp -L ", Q(Here), "/*.beam test && ",
            "chmod -R a+rX . && echo copied"],
    case file:make_dir(To) of
        ok -> "copied\n" = os:cmd(lists:flatten(Copy));
        {error, eexist} -> there
    end,
    [filename:join(To, "ebin"), filename:join(To, "test")].

%% A word of a shell's, whatever is in it.
quote(Word) ->
    "'" ++ lists:flatmap(fun($') -> "'\\''"; (C) -> [C] end, lists:flatten(Word)) ++ "'".

%% A virtual machine of one's own, controlled over its stdio.
peer(Paths, Options) ->
    Args = lists:append([["-pa", Path] || Path <- Paths]),
    Started = peer:start_link(maps:merge(#{connection => standard_io, args => Args, exec => erl(),
                                           wait_boot => ms(15000)}, Options)),
    ok = element(1, Started),
    Peer = element(2, Started),
    {module, ?MODULE} = peer_call(Peer, code, ensure_loaded, [?MODULE]),
    Peer.

%% A virtual machine that runs as an ordinary user, on a copy of the library.
user_peer(Config) ->
    user_peer(Config, user_paths(Config)).

user_peer(_Config, Paths) ->
    case root() of
        true -> setpriv_peer(Paths, ["--reuid=" ++ user(), "--regid=" ++ group(), "--clear-groups"]);
        false -> peer_at_root(Paths, erl())
    end.

%% A virtual machine that setpriv(1) starts with these arguments.
setpriv_peer(Paths, Args) ->
    peer_at_root(Paths, {os:find_executable("setpriv"), Args ++ ["--", erl()]}).

%% Whoever it runs as can be there.
peer_at_root(Paths, Exec) ->
    {ok, Cwd} = file:get_cwd(),
    ok = file:set_cwd("/"),
    try
        peer(Paths, #{exec => Exec, env => [{"HOME", "/"}]})
    after
        file:set_cwd(Cwd)
    end.

%% The code paths of the library and of the suites.
paths() ->
    [filename:dirname(code:which(Module)) || Module <- [alcove, ?MODULE]].

user_paths(Config) ->
    case root() of
        true -> install(tmp(Config));
        false -> paths()
    end.

%% The ordinary user: whoever runs the tests, if not root.
user() ->
    case root() of
        true -> "nobody";
        false -> string:trim(os:cmd("id -un"))
    end.

group() ->
    string:trim(os:cmd("id -gn " ++ user())).

erl() ->
    filename:join([code:root_dir(), "bin", "erl"]).

%% Evaluates a fun of a suite in another virtual machine, in one process.
in_peer(Peer, Fun) ->
    in_peer(Peer, Fun, ms(30000)).

in_peer(Peer, Fun, Timeout) ->
    peer:call(Peer, erlang, apply, [Fun, []], Timeout).

%% A call in another virtual machine, with more time than peer:call/4 has.
peer_call(Peer, Module, Function, Args) ->
    peer:call(Peer, Module, Function, Args, ms(30000)).

stop_peer(Peer) ->
    try peer:stop(Peer) catch exit:noproc -> ok end.

%% Evaluates a fun in a virtual machine that has so many descriptors.
with_descriptors(Number, Fun) ->
    with_descriptors(Number, Number, Fun).

%% The soft and the hard limit.
with_descriptors(Soft, Hard, Fun) ->
    Limits = lists:concat(["ulimit -n ", Hard, " && ulimit -S -n ", Soft]),
    Limited = ["-c", Limits ++ " && exec \"$0\" \"$@\"", erl()],
    Peer = peer(paths(), #{exec => {"/bin/sh", Limited}}),
    ok = in_peer(Peer, Fun),
    stop_peer(Peer).

%% Evaluates a fun with two virtual machines, whose nodes are connected. They find each
%% other by the port, without a name server: only the first listens.
nodes(Fun) ->
    Port = free_port(),
    Start = fun(Node, More) ->
                    Args = lists:append([["-pa", Path] || Path <- paths()])
                        ++ without_epmd(Port)
                        ++ ["-kernel", "inet_dist_use_interface", "{127,0,0,1}",
                            "-setcookie", "alcove_test" | More],
                    peer(paths(), #{name => Node, host => "localhost", args => Args, env => [{"HOME", "/nonexistent"}]})
            end,
    %% A name server that runs by chance may hear of them.
    Name = fun(Prefix) -> list_to_atom(Prefix ++ os:getpid()) end,
    There = Start(Name("alcove_there"), []),
    Here = Start(Name("alcove_here"), ["-dist_listen", "false"]),
    true = peer_call(Here, net_kernel, connect_node, [peer_call(There, erlang, node, [])]),
    Result = Fun(There, Here),
    stop_peer(Here),
    stop_peer(There),
    Result.

%% Flags of a node that listens at a port, or finds another there, and starts no name server: that
%% would stay.
without_epmd(Port) ->
    ["-erl_epmd_port", integer_to_list(Port), "-start_epmd", "false"].

%% A port of 127.0.0.1 that nobody has at the moment.
free_port() ->
    {ok, Socket} = gen_tcp:listen(0, [{ip, {127, 0, 0, 1}}]),
    {ok, Port} = inet:port(Socket),
    ok = gen_tcp:close(Socket),
    Port.

%% A Drv in a process that owns it for as long as its node lives.
hold(Options) ->
    Self = self(),
    spawn(fun() -> Self ! {drv, start(Options)}, receive after infinity -> ok end end),
    receive {drv, Drv} -> Drv after ms(10000) -> error(timeout) end.
