%% @doc What is in examples/, and what `make run' shows.
-module(alcove_examples_SUITE).

-include_lib("common_test/include/ct.hrl").
-include_lib("stdlib/include/assert.hrl").

-export([suite/0, all/0, init_per_suite/1, end_per_suite/1, init_per_testcase/2, end_per_testcase/2]).
-export([
    chroot/1,
    namespaces/1,
    namespaces_limits/1,
    namespaces_start_fails/1,
    rootless/1,
    tcp_shells/1,
    tcp_shells_rootless/1,
    tcp_both_directions/1,
    tcp_ends/1,
    tcp_one_at_a_time/1,
    light_by_files/1,
    light_by_device/1,
    light_at_simulated_pin/1,
    light_of_a_controller/1,
    light_needs_a_pin/1,
    snippets/1,
    snippets_rootless/1,
    conversion/1,
    conversion_rootless/1,
    builds/1,
    builds_rootless/1,
    demo_as_root/1,
    demo_as_an_ordinary_user/1,
    demo_fails_when_a_step_does/1
]).

suite() ->
    alcove_test:suite().

all() ->
    [
        chroot,
        namespaces,
        namespaces_limits,
        namespaces_start_fails,
        rootless,
        tcp_shells,
        tcp_shells_rootless,
        tcp_both_directions,
        tcp_ends,
        tcp_one_at_a_time,
        light_by_files,
        light_by_device,
        light_at_simulated_pin,
        light_of_a_controller,
        light_needs_a_pin,
        snippets,
        snippets_rootless,
        conversion,
        conversion_rootless,
        builds,
        builds_rootless,
        demo_as_root,
        demo_as_an_ordinary_user,
        demo_fails_when_a_step_does
    ].

init_per_suite(Config) ->
    Ebin = filename:join(?config(priv_dir, Config), "examples"),
    ok = file:make_dir(Ebin),
    Sources = filelib:wildcard(filename:join([alcove_test:top(), "examples", "*.erl"])),
    Options = [{outdir, Ebin}, return_errors, warnings_as_errors],
    [{ok, _} = compile:file(Source, Options) || Source <- Sources],
    true = code:add_patha(Ebin),
    alcove_test:init_suite([{ebin, Ebin} | Config]).

end_per_suite(Config) ->
    true = code:del_path(?config(ebin, Config)),
    ok.

init_per_testcase(_Case, Config) ->
    alcove_test:init_case(Config).

%% The servers of a case that failed: they have control groups, which would stay.
end_per_testcase(_Case, Config) ->
    [tcpsh:stop(Pid) || Pid <- processes(), proc_lib:translate_initial_call(Pid) =:= {tcpsh, init, 1}],
    alcove_test:end_case(Config).

%% The session in the module's documentation, and how it goes on.
chroot(Config) ->
    alcove_test:need([root, busybox], fun() ->
        Dir = alcove_test:chroot_dir(Config),
        Busybox = filename:join(Dir, "busybox"),
        {ok, Drv} = chrootex:start([]),

        Cat = chrootex:sandbox(Drv, [Busybox, "cat"]),
        true = alcove:stdin(Drv, [Cat], "test test\n"),
        <<"test test\n">> = alcove:stdout(Drv, [Cat]),

        Sh = chrootex:sandbox(Drv, [Busybox, "sh"]),
        true = alcove:stdin(Drv, [Sh], "echo hello\n"),
        <<"hello\n">> = line(Drv, [Sh], stdout),
        % Outside: the root directory, the user, the limits.
        {ok, Dir} = file:read_link_all(proc(Sh, "root")),
        is_nobody(Sh),
        {ok, Limits} = file:read_file(proc(Sh, "limits")),
        match = re:run(Limits, "^Max open files +0 +0", [multiline, {capture, none}]),
        % Inside.
        true = alcove:stdin(Drv, [Sh], "> foo\n"),
        complains("can't create foo: Too many open files", line(Drv, [Sh], stderr)),
        true = alcove:stdin(Drv, [Sh], "/busybox true\n"),
        complains("can't fork", line(Drv, [Sh], stderr)),
        {signal, sigchld} = alcove:event(Drv),
        [Cat] = alcove:pid(Drv)
    end).

%% A container with a user, a process tree, a host name and so on of its own; another
%% program that enters it; and nothing that stays.
namespaces(Config) ->
    alcove_test:need([root, busybox], fun() ->
        Dir = alcove_test:chroot_dir(Config),
        Busybox = filename:join(Dir, "busybox"),
        {Containers, Cgroup} = with_nsex(fun(Drv) -> containers(Drv, Busybox) end),
        [false = alcove_test:alive(Pid) || Pid <- Containers],
        [] = filelib:wildcard("/sys/fs/cgroup/*/" ++ hd(Cgroup))
    end).

containers(Drv, Busybox) ->
    Cat = nsex:sandbox(Drv, [Busybox, "cat"]),
    true = alcove:stdin(Drv, [Cat], "test test\n"),
    <<"test test\n">> = alcove:stdout(Drv, [Cat]),

    Sh = nsex:sandbox(Drv, [Busybox, "sh"]),
    <<"1\n">> = ask(Drv, [Sh], "echo $$"),
    <<"/busybox\n">> = ask(Drv, [Sh], "echo /*"),
    <<"gone\n">> = ask(Drv, [Sh], ["kill -0 ", integer_to_list(Cat), " 2>&- || echo gone"]),
    Own = ["ipc", "mnt", "net", "pid", "uts"],
    [?assertNotEqual(namespace(os:getpid(), Name), namespace(Sh, Name)) || Name <- Own],
    [?assertNotEqual(namespace(Cat, Name), namespace(Sh, Name)) || Name <- Own],
    ?assertEqual(namespace(os:getpid(), "user"), namespace(Sh, "user")),
    is_nobody(Sh),

    Second = [_, Pid] = nsex:enter(Drv, Sh, [Busybox, "sh"]),
    <<"same\n">> = ask(Drv, Second, "kill -0 1 && echo same"),
    [?assertEqual(namespace(Sh, Name), namespace(Pid, Name)) || Name <- Own],
    ?assertEqual(ids(Sh), ids(Pid)),
    true = alcove:stdin(Drv, Second, "exit 3\n"),
    {exit_status, 3} = alcove:event(Drv, Second),

    Cgroup = nsex:cgroup(Drv),
    Containers = [Cat, Sh, hd(Second)],
    case alcove_cgroup:procs(Drv, [], Cgroup) of
        {ok, Members} -> [] = Containers -- Members;
        {error, enodev} -> ok
    end,
    {Containers, Cgroup}.

%% Whatever becomes of the case, the control group goes.
with_nsex(Fun) ->
    Drv = nsex:start([{exit_status, true}, {termsig, true}]),
    try
        Fun(Drv)
    after
        ok = nsex:stop(Drv)
    end.

%% All containers together have one CPU and 16 MiB.
namespaces_limits(Config) ->
    alcove_test:need([root, busybox], fun() ->
        Busybox = filename:join(alcove_test:chroot_dir(Config), "busybox"),
        with_nsex(fun(Drv) ->
            case [C || C <- [cpuset, memory], not alcove_cgroup:supported(Drv, [], C)] of
                [] -> limits(Drv, Busybox);
                Missing -> alcove_test:skip(lists:flatten(io_lib:format("no hierarchy has ~0p", [Missing])))
            end
        end)
    end).

limits(Drv, Busybox) ->
    Cgroup = nsex:cgroup(Drv),
    {ok, #{memory := #{limit := 16#1000000}}} = alcove_cgroup:stats(Drv, [], Cgroup),
    Sh = nsex:sandbox(Drv, [Busybox, "sh"]),
    <<"1\n">> = ask(Drv, [Sh], "echo $$"),
    {ok, [Cpu | _]} = alcove:sched_getaffinity(Drv, 0),
    ?assertEqual([integer_to_binary(Cpu)], status(Sh, "Cpus_allowed_list")),
    Other = nsex:sandbox(Drv, [Busybox, "cat"]),
    true = alcove:stdin(Drv, [Sh], "x=$(/busybox yes | /busybox head -c 67108864)\n"),
    {termsig, sigkill} = alcove:event(Drv, [Sh], alcove_test:ms(20000)),
    {ok, #{memory := #{oom_kills := Kills}}} = alcove_cgroup:stats(Drv, [], Cgroup),
    ?assert(Kills > 0),
    true = alcove:stdin(Drv, [Other], "still here\n"),
    <<"still here\n">> = alcove:stdout(Drv, [Other]).

%% An ordinary user can't make the group: alcove is stopped again, and no group is left.
namespaces_start_fails(Config) ->
    alcove_test:need([ordinary], fun() ->
        Peer = peer(Config),
        Result = alcove_test:in_peer(Peer, fun() ->
            try
                nsex:start([])
            catch
                error:{badmatch, {error, {_Where, Reason}}} -> Reason
            end
        end),
        ?assert(lists:member(Result, [eacces, eperm, erofs])),
        alcove_test:stop_peer(Peer)
    end).

%% The same for an ordinary user, with a root directory that is made for the container.
rootless(Config) ->
    alcove_test:need([ordinary, userns, busybox, {call, mount_setattr}], fun() ->
        Busybox = filename:join(alcove_test:chroot_dir(Config), "busybox"),
        Peer = peer(Config),
        ok = alcove_test:in_peer(Peer, fun() -> rootless_container(Busybox) end),
        alcove_test:stop_peer(Peer)
    end).

rootless_container(Busybox) ->
    Drv = nsex_rootless:start([{exit_status, true}]),
    {ok, Before} = file:read_file("/proc/self/mountinfo"),
    Sh = nsex_rootless:sandbox(Drv, [Busybox, "sh"]),
    Ask = fun(Line) -> ask(Drv, [Sh], Line) end,
    % Inside.
    <<"1\n">> = Ask("echo $$"),
    <<"/bin /proc /tmp\n">> = Ask("echo /*"),
    Id = binary_to_integer(string:trim(Ask("busybox id -u"))),
    ?assert(Id >= 16#f0000000),
    complains("can't create /bin/new: Read-only file system", Ask("{ > /bin/new; } 2>&1")),
    complains("can't create /new: Read-only file system", Ask("{ > /new; } 2>&1")),
    New = lists:concat(["/tmp/alcove-new-", os:getpid()]),
    ?assertEqual(list_to_binary(New ++ "\n"), Ask(["> ", New, "; echo /tmp/*"])),
    <<"CapEff:\t0000000000000000\n">> = Ask("busybox grep CapEff /proc/self/status"),
    <<"16384\n">> = Ask("ulimit -v"),
    <<"done\n">> = Ask("busybox mount -t tmpfs none /tmp 2>&- || busybox umount /tmp 2>&- || echo done"),
    % Outside the user is the same, but the process group is another.
    <<"alive\n">> = Ask("kill -9 0; echo alive"),
    % Outside: it is the user's process, in namespaces of its own.
    ?assertEqual(lists:duplicate(4, integer_to_binary(alcove:getuid(Drv))), status(Sh, "Uid")),
    [<<"1">>] = status(Sh, "NoNewPrivs"),
    [
        ?assertNotEqual(namespace("self", Name), namespace(Sh, Name))
     || Name <- ["cgroup", "ipc", "mnt", "net", "pid", "user", "uts"]
    ],
    {ok, Before} = file:read_file("/proc/self/mountinfo"),
    false = filelib:is_file(New),
    ok = nsex_rootless:stop(Drv),
    false = alcove_test:alive(Sh),
    ok.

%% Each connection has a container, and what is in one goes to that peer only.
tcp_shells(Config) ->
    alcove_test:need([root, busybox], fun() ->
        tcp_shells_of(nsex, filename:join(alcove_test:chroot_dir(Config), "busybox"))
    end).

tcp_shells_rootless(Config) ->
    alcove_test:need([ordinary, userns, busybox, {call, mount_setattr}], fun() ->
        Busybox = filename:join(alcove_test:chroot_dir(Config), "busybox"),
        Peer = peer(Config),
        ok = alcove_test:in_peer(Peer, fun() -> tcp_shells_of(nsex_rootless, Busybox) end),
        alcove_test:stop_peer(Peer)
    end).

tcp_shells_of(Sandbox, Busybox) ->
    Before = alcove_test:descendants(),
    Server = tcpsh(#{sandbox => Sandbox, argv => [Busybox, "sh"]}),
    Idle = alcove_test:descendants(),
    [One, Two] = [connect(Server), connect(Server)],
    [<<"1\n">> = say(Peer, "echo $$") || Peer <- [One, Two]],
    % Inside, a variable; outside, two shells in namespaces of their own.
    <<"here\n">> = say(One, "x=here; echo $x"),
    <<"nothing\n">> = say(Two, "echo ${x-nothing}"),
    % Newer shells also say in which line.
    {match, _} = re:run(say(Two, "nonesuch"), "^sh: .*nonesuch: not found\n$"),
    Shells = [Pid || Pid <- alcove_test:descendants() -- Idle, init_of_namespace(Pid)],
    2 = length(Shells),
    3 = length(lists:usort([namespace(Pid, "net") || Pid <- ["self" | Shells]])),
    % One ends by itself: all that it has said comes, and the connection ends.
    ok = gen_tcp:send(One, "echo bye; exit\n"),
    <<"bye\n">> = rest(One),
    <<"still\n">> = say(Two, "echo still"),
    % The other by its peer.
    ok = gen_tcp:close(Two),
    true = alcove_test:until(fun() -> alcove_test:descendants() -- Idle =:= [] end),
    ok = tcpsh:stop(Server),
    true = alcove_test:until(fun() -> alcove_test:descendants() -- Before =:= [] end),
    ok.

%% More than all the buffers on the way hold, in both directions at once; and after the
%% peer's last byte there is still the answer to come.
tcp_both_directions(Config) ->
    alcove_test:need([root, busybox], fun() ->
        Server = tcpsh(#{argv => [filename:join(alcove_test:chroot_dir(Config), "busybox"), "cat"]}),
        Peer = connect(Server),
        Bytes = rand:bytes(32 * 1024 * 1024),
        spawn_link(fun() ->
            ok = gen_tcp:send(Peer, Bytes),
            ok = gen_tcp:shutdown(Peer, write)
        end),
        ?assert(Bytes =:= rest(Peer)),
        ok = tcpsh:stop(Server)
    end).

%% However a connection ends, what it started does too; and the server goes on.
tcp_ends(Config) ->
    alcove_test:need([root, busybox], fun() ->
        Server = tcpsh(#{argv => [filename:join(alcove_test:chroot_dir(Config), "busybox"), "sh"]}),
        Idle = alcove_test:descendants(),
        Gone = fun() -> alcove_test:until(fun() -> alcove_test:descendants() -- Idle =:= [] end) end,
        Busy = fun() ->
            Peer = connect(Server),
            <<"1\n">> = say(Peer, "echo $$"),
            ok = gen_tcp:send(Peer, [
                "trap '' HUP TERM\n", "/busybox setsid /busybox sleep 1000 | /busybox sleep 1000\n"
            ]),
            % The event loop, the shell, and two that sleep.
            true = alcove_test:until(fun() -> length(alcove_test:descendants() -- Idle) >= 4 end),
            Peer
        end,
        % The peer closes while a program runs that doesn't read.
        ok = gen_tcp:close(Busy()),
        true = Gone(),
        % The process that serves it is killed.
        Second = Busy(),
        [Connection] = connections(Server),
        exit(Connection, kill),
        <<>> = rest(Second),
        true = Gone(),
        % The shell is killed.
        Third = Busy(),
        [Shell] = [Pid || Pid <- alcove_test:descendants() -- Idle, init_of_namespace(Pid)],
        _ = alcove_test:signal(Shell, "KILL"),
        <<>> = rest(Third),
        true = Gone(),
        % The server is stopped.
        Fourth = Busy(),
        Groups = groups_of_nsex(Idle),
        ok = tcpsh:stop(Server),
        <<>> = rest(Fourth),
        true = Gone(),
        [] = [Dir || Dir <- Groups, filelib:is_dir(Dir)]
    end).

%% nsex names a control group after the root process.
groups_of_nsex(Roots) ->
    lists:append([
        filelib:wildcard("/sys/fs/cgroup/*/alcove-" ++ integer_to_list(Root))
     || Root <- Roots
    ]).

init_of_namespace(Pid) ->
    [_ | Numbers] = status(Pid, "NSpid"),
    Numbers =:= [<<"1">>].

%% Who comes when there are enough connections waits for one to end.
tcp_one_at_a_time(Config) ->
    alcove_test:need([root, busybox], fun() ->
        Busybox = filename:join(alcove_test:chroot_dir(Config), "busybox"),
        Server = tcpsh(#{argv => [Busybox, "sh"], connections => 1}),
        One = connect(Server),
        <<"1\n">> = say(One, "echo $$"),
        Two = connect(Server),
        ok = gen_tcp:send(Two, "echo second\n"),
        {error, timeout} = gen_tcp:recv(Two, 0, 200),
        ok = gen_tcp:send(One, "exit\n"),
        <<>> = rest(One),
        {ok, <<"second\n">>} = gen_tcp:recv(Two, 0, alcove_test:ms(5000)),
        ok = gen_tcp:close(Two),
        ok = tcpsh:stop(Server)
    end).

tcpsh(Options) ->
    {ok, Server} = tcpsh:start(Options#{alcove => []}),
    Server.

connect(Server) ->
    {ok, Peer} = gen_tcp:connect({127, 0, 0, 1}, tcpsh:port(Server), [binary, {active, false}]),
    Peer.

%% Sends a line, and receives one.
say(Peer, Line) ->
    ok = gen_tcp:send(Peer, [Line, $\n]),
    said(Peer, <<>>).

said(Peer, Read) ->
    {ok, More} = gen_tcp:recv(Peer, 0, alcove_test:ms(5000)),
    All = <<Read/binary, More/binary>>,
    case binary:last(All) of
        $\n -> All;
        _ -> said(Peer, All)
    end.

%% What comes until the end of the connection.
rest(Peer) ->
    iolist_to_binary(rest_(Peer)).

rest_(Peer) ->
    case gen_tcp:recv(Peer, 0, alcove_test:ms(20000)) of
        {ok, More} -> [More | rest_(Peer)];
        {error, closed} -> []
    end.

%% The processes that serve a connection.
connections(Server) ->
    [
        Pid
     || Map <- tuple_to_list(sys:get_state(Server)), is_map(Map), Pid <- maps:keys(Map), is_pid(Pid)
    ].

%% A tree as that of a BeagleBone Black.
gpio(Config) ->
    Root = filename:join(alcove_test:tmp(Config), "tree"),
    Gpio = filename:join(Root, "sys/class/gpio"),
    [
        ok = filelib:ensure_dir(filename:join([Gpio, Dir, "x"]))
     || Dir <- ["gpiochip96", "gpiochip0", "gpiochip64", "gpiochip32", "gpio53"]
    ],
    [
        ok = file:write_file(filename:join(Gpio, File), Text)
     || {File, Text} <- [
            {"gpiochip" ++ Chip ++ "/ngpio", "32\n"}
         || Chip <- ["0", "32", "64", "96"]
        ] ++ [{File, ""} || File <- ["export", "unexport", "gpio53/direction", "gpio53/value"]]
    ],
    {Root, fun(File) ->
        {ok, Text} = file:read_file(filename:join(Gpio, File)),
        Text
    end}.

%% The pin is exported, switched and taken back, by two processes without privileges.
light_by_files(Config) ->
    alcove_test:need([root], fun() ->
        {Root, Read} = gpio(Config),
        {ok, Led} = gpioled:start({1, 21}, #{root => Root, alcove => []}),
        {<<"53">>, <<"low">>, <<>>} = {Read("export"), Read("gpio53/direction"), Read("unexport")},
        ok = gpioled:on(Led),
        <<"1">> = Read("gpio53/value"),
        ok = gpioled:off(Led),
        <<"0">> = Read("gpio53/value"),
        ok = gpioled:on(Led),
        ok = gpioled:blink(Led, 3, 1),
        <<"0">> = Read("gpio53/value"),

        {led, Drv, [Child], _, _} = Led,
        Port = alcove:getpid(Drv),
        % Outside: two users that are nobody; the child in other namespaces; who has what open.
        [is_nobody(Pid) || Pid <- [Port, Child]],
        ?assertNotEqual(ids(Port), ids(Child)),
        [[<<"1">>] = status(Pid, "NoNewPrivs") || Pid <- [Port, Child]],
        [
            ?assertNotEqual(namespace(Port, Name), namespace(Child, Name))
         || Name <- ["ipc", "mnt", "net", "pid", "uts"]
        ],
        Class = filename:join(Root, "sys/class/gpio"),
        [[Class ++ "/unexport"], [Class ++ "/gpio53/value"]] =:=
            [[File || File <- open_files(Pid), lists:prefix(Root, File)] || Pid <- [Port, Child]]
            orelse ct:fail({open, [open_files(Pid) || Pid <- [Port, Child]]}),
        % Inside: there is no way back, and nothing else to open.
        [{error, eperm} = alcove:setuid(Drv, Pids, 0) || Pids <- [[], [Child]]],
        {error, eacces} = alcove:open(Drv, Class ++ "/export", o_wronly, 0),
        {error, emfile} = alcove:open(Drv, [Child], "/dev/null", o_rdonly, 0),
        {error, eperm} = alcove:kill(Drv, Child, sigterm),

        ok = gpioled:stop(Led),
        {<<"53">>, <<"0">>} = {Read("unexport"), Read("gpio53/value")},
        [false = alcove_test:alive(Pid) || Pid <- [Port, Child]]
    end).

%% Where there are controllers that move nothing, the levels of their lines can be looked at: those that the
%% kernel simulates, as modules of it make them (gpio-sim since Linux 5.17, gpio-mockup before), or that of
%% qemu's machine for ARM.
light_at_simulated_pin(Config) ->
    alcove_test:need([root], fun() ->
        case simulated() of
            [] ->
                alcove_test:skip("needs a GPIO controller of gpio-sim, of gpio-mockup or of qemu's");
            Chips ->
                %% Without /dev it is the files.
                Root = alcove_test:tmp(Config),
                ok = file:make_symlink("/sys", filename:join(Root, "sys")),
                [light_at(Chip, Chips, #{alcove => []}, line) || Chip <- Chips],
                [light_at(Chip, Chips, #{alcove => [], root => Root}, value) || Chip <- Chips],
                ok
        end
    end).

light_at({Number, Level, Device}, Chips, Options, How) ->
    Levels = fun() -> [{N, Line} || {N, Of, _} <- Chips, Line <- [4, 5], Of(Line) =:= 1] end,
    Alone = length([same || {_, _, Other} <- Chips, Other =:= Device]) =:= 1,
    case gpioled:start({Number, 5}, Options) of
        {ok, Led} ->
            {How, _} = element(4, Led),
            [] = Levels(),
            ok = gpioled:on(Led),
            [{Number, 5}] = Levels(),
            %% Who has a line, has it alone.
            How =:= line andalso ({error, ebusy} = gpioled:start({Number, 5}, Options)),
            ok = gpioled:off(Led),
            [] = Levels(),
            ok = gpioled:on(Led),
            ok = gpioled:blink(Led, 3, 1),
            0 = Level(5),
            ok = gpioled:on(Led),
            ok = gpioled:stop(Led),
            [{error, einval} = gpioled:start({Number, Line}, Options) || Line <- no_lines(8)];
        {error, enodev} when How =:= value, not Alone ->
            %% By files nothing tells the controllers of one device apart.
            [] = Levels();
        %% There are no such files, which a kernel may be built without.
        {error, enoent} when How =:= value ->
            {error, enoent} = file:read_file_info("/sys/class/gpio/export")
    end.

%% What is no line of a controller with so many: the first of the next controller, and numbers whose
%% lowest 32 bits are those of a line.
no_lines(Count) ->
    [Count, Count + 5, 1 bsl 31, 1 bsl 32, 1 bsl 32 + 5, 1 bsl 64 + 5].

%% The numbers of the controllers, how the level of one of their lines is read, and whose they are.
simulated() ->
    Read = fun(File) ->
        {ok, <<Digit, "\n">>} = file:read_file(File),
        Digit - $0
    end,
    Found = {
        filelib:wildcard("/sys/devices/platform/gpio-sim.*/gpiochip*"),
        filelib:wildcard("/sys/kernel/debug/gpio-mockup/gpiochip*"),
        file:read_file("/proc/device-tree/compatible"),
        file:read_file("/sys/kernel/debug/gpio")
    },
    case Found of
        {[_ | _] = Dirs, _, _, _} ->
            [
                {number(Dir), fun(Line) -> Read(lists:concat([Dir, "/sim_gpio", Line, "/value"])) end,
                 filename:dirname(Dir)}
             || Dir <- Dirs
            ];
        {[], [_ | _] = Dirs, _, _} ->
            [{number(Dir), fun(Line) -> Read(lists:concat([Dir, "/", Line])) end, Dir} || Dir <- Dirs];
        {[], [], {ok, <<"linux,dummy-virt", _/binary>>}, {ok, <<_, _/binary>> = Lines}} ->
            {match, [Chip, First]} = re:run(
                Lines, "^gpiochip(\\d+): GPIOs (\\d+)-", [multiline, {capture, all_but_first, list}]
            ),
            [{list_to_integer(Chip), fun(Line) -> level(list_to_integer(First) + Line) end, Chip}];
        _ ->
            []
    end.

%% The kernel lists what is in use.
level(Line) ->
    {ok, Lines} = file:read_file("/sys/kernel/debug/gpio"),
    Pattern = lists:concat(["^ *gpio-", Line, " .* out (hi|lo)"]),
    case re:run(Lines, Pattern, [multiline, {capture, all_but_first, binary}]) of
        {match, [<<"hi">>]} -> 1;
        {match, [<<"lo">>]} -> 0;
        nomatch -> 0
    end.

number(Dir) ->
    "gpiochip" ++ Number = filename:basename(Dir),
    list_to_integer(Number).

%% Without the files it is the device; a plain file in its place knows no ioctl(2).
light_by_device(Config) ->
    alcove_test:need([root], fun() ->
        Root = alcove_test:tmp(Config),
        Start = fun(Chip) -> gpioled:start({Chip, 17}, #{root => Root, alcove => []}) end,
        {error, enoent} = Start(0),
        ok = file:make_dir(filename:join(Root, "dev")),
        ok = file:write_file(filename:join(Root, "dev/gpiochip0"), ""),
        {error, enotty} = Start(0),
        {error, enoent} = Start(1),
        % The request has 32 bits for a line.
        {error, einval} = gpioled:start({0, 1 bsl 32 + 17}, #{root => Root, alcove => []})
    end).

%% The lines of a controller are those of its device, in whichever order they are counted: here
%% the numbers go down while those of the controllers go up, and one has no device above it.
light_of_a_controller(Config) ->
    alcove_test:need([root], fun() ->
        Root = filename:join(alcove_test:tmp(Config), "tree"),
        Path = fun(Name) -> filename:join(Root, Name) end,
        Bus = Path("sys/bus/gpio/devices"),
        Class = Path("sys/class/gpio"),
        [ok = filelib:ensure_dir(filename:join(Dir, "x")) || Dir <- [Bus, Class]],
        [
            begin
                Device = Path("sys/devices/" ++ Where ++ "/gpiochip" ++ Chip),
                Lines = Path("sys/devices/" ++ LinesIn ++ "/gpio/gpiochip" ++ Base),
                [ok = filelib:ensure_dir(filename:join(Dir, "x")) || Dir <- [Device, Lines]],
                ok = file:make_symlink(Device, filename:join(Bus, "gpiochip" ++ Chip)),
                ok = file:make_symlink(Lines, filename:join(Class, "gpiochip" ++ Base)),
                ok = file:write_file(filename:join(Lines, "ngpio"), Count)
            end
         || {Chip, Where, LinesIn, Base, Count} <- [
                {"0", "platform/sim.0", "platform/sim.0", "512", "4\n"},
                {"1", "platform/sim.1", "platform/sim.1", "480", "32\n"},
                {"2", "virtual", "virtual/gpiochip2", "448", "32\n"}
            ]
        ],
        [ok = file:write_file(filename:join(Class, File), "") || File <- ["export", "unexport"]],
        Exported = fun(Chip) ->
            {error, enoent} = gpioled:start({Chip, 3}, #{root => Root, alcove => []}),
            {ok, Number} = file:read_file(filename:join(Class, "export")),
            Number
        end,
        [<<"515">>, <<"483">>, <<"451">>] = [Exported(Chip) || Chip <- [0, 1, 2]],
        {error, enodev} = gpioled:start({3, 0}, #{root => Root, alcove => []}),
        ok = file:write_file(filename:join(Class, "export"), ""),
        [
            {error, einval} = gpioled:start({Chip, Line}, #{root => Root, alcove => []})
         || {Chip, Count} <- [{0, 4}, {1, 32}], Line <- no_lines(Count)
        ],
        {ok, <<>>} = file:read_file(filename:join(Class, "export")),
        [
            ?assertError(function_clause, gpioled:start(Pin, #{root => Root, alcove => []}))
         || Pin <- [{0, -1}, {-1, 0}, {0, 1.0}, {0, "1"}, {zero, 1}, 17]
        ],
        % A controller that doesn't say how many lines it has.
        ok = file:delete(filename:join(Class, "gpiochip512/ngpio")),
        {error, enoent} = gpioled:start({0, 3}, #{root => Root, alcove => []})
    end).

light_needs_a_pin(Config) ->
    alcove_test:need([root], fun() ->
        {Root, Read} = gpio(Config),
        % There are four controllers; pin 54 isn't there once it is exported.
        {error, enodev} = gpioled:start({4, 0}, #{root => Root, alcove => []}),
        <<>> = Read("export"),
        {error, enoent} = gpioled:start({1, 22}, #{root => Root, alcove => []}),
        {<<"54">>, <<"54">>} = {Read("export"), Read("unexport")},
        {error, enoent} = gpioled:start({1, 21}, #{alcove => [{progname, "/nonesuch"}]})
    end).

demo_as_root(Config) ->
    alcove_test:need([root, busybox], fun() ->
        {Status, Output} = demo(Config, []),
        shows(Status, Output),
        has("as root", Output)
    end).

demo_as_an_ordinary_user(Config) ->
    alcove_test:need([ordinary, userns, busybox], fun() ->
        {Status, Output} = demo(Config, as_user()),
        shows(Status, Output),
        alcove_test:root() andalso has("in a user namespace", Output)
    end).

%% Root without the right to change its root directory.
demo_fails_when_a_step_does(Config) ->
    alcove_test:need([root, busybox, {program, "setpriv"}], fun() ->
        {Status, Output} = demo(Config, ["setpriv", "--bounding-set", "-sys_chroot", "--"]),
        ?assertNotEqual(0, Status),
        {match, _} = re:run(Output, "FAILED +chroot +ok +\\{error,eperm\\}")
    end).

%% What a shell says, which may name the line before.
complains(Text, Said) ->
    ?assertMatch({match, _}, re:run(Said, "^sh: (line \\d+: )?" ++ Text)).

as_user() ->
    case alcove_test:root() of
        true ->
            User = alcove_test:user(),
            Group = string:trim(os:cmd("id -gn " ++ User)),
            ["setpriv", "--reuid", User, "--regid", Group, "--clear-groups", "--"];
        false ->
            []
    end.

shows(Status, Output) ->
    ct:log("~ts", [Output]),
    ?assertEqual(0, Status),
    ?assertEqual(nomatch, binary:match(Output, <<"FAILED">>)),
    [
        has(Text, Output)
     || Text <- [
            "Too many open files",
            "can't fork",
            "1 sandbox",
            "Every step gave what was expected."
        ]
    ].

has(Text, Output) ->
    ?assertNotEqual(nomatch, binary:match(Output, list_to_binary(Text))).

%% Runs the demo behind the words of a command, on copies that every user can read.
%% It must leave nothing in its directory for temporary files.
demo(Config, Words) ->
    Dir = alcove_test:tmp(Config),
    _ = alcove_test:install(Dir),
    Copy = io_lib:format(
        "cd '~ts' && cp -rL include '~ts/alcove' && cp -r examples scripts '~ts' && "
        "chmod -R a+rX '~ts'",
        [alcove_test:top(), Dir, Dir, Dir]
    ),
    "" = os:cmd(lists:flatten(Copy)),
    Tmp = filename:join(Dir, "tmp"),
    ok = file:make_dir(Tmp),
    ok = file:change_mode(Tmp, 8#1777),
    [Program | Args] = Words ++ [filename:join([Dir, "scripts", "run-demo.sh"]), Dir],
    Port = open_port({spawn_executable, os:find_executable(Program)}, [
        {args, Args},
        {cd, "/"},
        {env, [{"TMPDIR", Tmp}, {"HOME", "/"}]},
        binary,
        exit_status,
        stderr_to_stdout
    ]),
    Result = wait(Port, []),
    {ok, []} = file:list_dir(Tmp),
    Result.

wait(Port, Output) ->
    receive
        {Port, {data, Data}} -> wait(Port, [Output, Data]);
        {Port, {exit_status, Status}} -> {Status, iolist_to_binary(Output)}
    after alcove_test:ms(50000) ->
        ct:fail({demo, iolist_to_binary(Output)})
    end.

%% A virtual machine of an ordinary user, with the examples.
peer(Config) ->
    Examples = filename:join(alcove_test:tmp(Config), "examples"),
    Copy = io_lib:format("cp -r '~ts' '~ts' && chmod -R a+rX '~ts'", [
        ?config(ebin, Config), Examples, Examples
    ]),
    "" = os:cmd(lists:flatten(Copy)),
    alcove_test:user_peer(Config, [Examples | alcove_test:user_paths(Config)]).

%%--------------------------------------------------------------------
%% Processes from outside
%%--------------------------------------------------------------------

proc(Pid, File) ->
    lists:concat(["/proc/", Pid, "/", File]).

namespace(Pid, Name) ->
    {ok, Link} = file:read_link_all(proc(Pid, "ns/" ++ Name)),
    Link.

%% The words of a line of a process' status.
status(Pid, Field) ->
    {ok, Status} = file:read_file(proc(Pid, "status")),
    {match, [Words]} = re:run(Status, ["^", Field, ":[ \t]*(.*)$"], [
        multiline, {capture, all_but_first, binary}
    ]),
    string:lexemes(Words, "\t ").

%% The real, effective, saved and file system ids of the user and the group.
ids(Pid) ->
    status(Pid, "Uid") ++ status(Pid, "Gid").

%% All ids are the same one, which is nobody's; no groups and no capabilities.
is_nobody(Pid) ->
    [Id] = lists:usort(ids(Pid)),
    ?assert(binary_to_integer(Id) >= 16#f0000000),
    ?assertEqual([], status(Pid, "Groups")),
    [[<<"0000000000000000">>] = status(Pid, Set) || Set <- ["CapInh", "CapPrm", "CapEff", "CapAmb"]].

open_files(Pid) ->
    {ok, Names} = file:list_dir(proc(Pid, "fd")),
    [Link || Name <- Names, {ok, Link} <- [file:read_link_all(proc(Pid, "fd/" ++ Name))]].

%% Writes a line to a program and reads one.
ask(Drv, Path, Line) ->
    true = alcove:stdin(Drv, Path, [Line, $\n]),
    line(Drv, Path, stdout).

%% A line, which a program may write in pieces.
line(Drv, Path, Stream) ->
    line(Drv, Path, Stream, <<>>).

line(Drv, Path, Stream, Read) ->
    More = alcove:Stream(Drv, Path),
    true = is_binary(More),
    All = <<Read/binary, More/binary>>,
    case binary:last(All) of
        $\n -> All;
        _ -> line(Drv, Path, Stream, All)
    end.

%% What strangers send, in sandboxes of root and of an ordinary user.
snippets(_Config) ->
    alcove_test:need([root, {program, "/usr/bin/python3"}, {call, mount_setattr}], fun() -> with_drv(fun snippets_of/1) end).

snippets_rootless(Config) ->
    alcove_test:need([ordinary, userns, {program, "/usr/bin/python3"}, {call, mount_setattr}], fun() ->
        as_user(Config, fun() -> with_drv(fun snippets_of/1) end)
    end).

snippets_of(Drv) ->
    {ok, <<"42\n">>} = untrusted:python(Drv, "print(6 * 7)"),
    {ok, <<"hello\n">>} = untrusted:python(Drv, "print(input())", "hello\n"),
    {failed, <<"ZeroDivisionError: division by zero">>} = untrusted:python(Drv, "1 / 0"),
    {limit, cpu_time} = untrusted:python(Drv, "while True: pass"),
    {limit, output} = untrusted:python(Drv, "while True: print('x' * 1000)"),
    {failed, <<"OSError: [Errno 30]", _/binary>>} = untrusted:python(Drv, "open('/usr/x', 'w')"),
    {failed, <<"FileNotFoundError", _/binary>>} = untrusted:python(Drv, "open('/etc/shadow')"),
    {failed, <<"OSError: [Errno", _/binary>>} =
        untrusted:python(Drv, "import socket; socket.create_connection(('192.0.2.1', 80))"),
    %% A control group kills it; a limit of the address space is an exception. Two seconds of an emulated
    %% processor may be over before that.
    IsSlow = alcove_test:ms(1) > 1,
    case untrusted:python(Drv, "x = bytearray(1 << 30)") of
        {limit, memory} -> ok;
        {failed, <<"MemoryError">>} -> ok;
        {limit, cpu_time} when IsSlow -> ok
    end,
    {ok, <<"0\n">>} = untrusted:python(Drv, "import os; print(len(os.listdir('/tmp'))); open('/tmp/x', 'w')"),
    {ok, <<"0\n">>} = untrusted:python(Drv, "import os; print(len(os.listdir('/tmp')))").

conversion(Config) ->
    alcove_test:need([root, {program, "gzip"}, {call, mount_setattr}], fun() ->
        Dir = shared(Config),
        with_drv(fun(Drv) -> conversions(Drv, Dir) end)
    end).

conversion_rootless(Config) ->
    alcove_test:need([ordinary, userns, {program, "gzip"}, {call, mount_setattr}], fun() ->
        Dir = shared(Config),
        as_user(Config, fun() -> with_drv(fun(Drv) -> conversions(Drv, Dir) end) end)
    end).

conversions(Drv, Dir) ->
    From = filename:join(Dir, "file"),
    To = filename:join(Dir, "file.gz"),
    Data = crypto:strong_rand_bytes(100000),
    ok = file:write_file(From, Data),
    ok = converter:gzip(Drv, From, To),
    {ok, Compressed} = file:read_file(To),
    ?assertEqual(Data, zlib:gunzip(Compressed)),
    {error, eexist} = converter:gzip(Drv, From, To),
    %% What fails leaves nothing, and can't do more than fail.
    Other = filename:join(Dir, "other"),
    {error, {failed, 2, <<"no\n">>}} =
        converter:convert(Drv, ["sh", "-c", "echo some; echo no >&2; exit 2"], From, Other),
    {error, {failed, 1, _}} = converter:convert(Drv, ["cat", From], From, Other),
    {error, {failed, 2, _}} = converter:convert(Drv, ["sh", "-c", "echo x > /proc/self/fd/0"], From, Other),
    {error, {limit, file_size}} = converter:convert(Drv, ["cat", "/dev/zero"], From, Other),
    {error, {open, enoent}} = converter:gzip(Drv, filename:join(Dir, "none"), Other),
    {error, enoent} = file:read_file(Other),
    ?assertEqual({ok, Data}, file:read_file(From)).

builds(Config) ->
    alcove_test:need([root, {call, mount_setattr}], fun() ->
        Dir = shared(Config),
        with_drv(fun(Drv) -> built(Drv, Dir) end)
    end).

builds_rootless(Config) ->
    alcove_test:need([ordinary, userns, {call, mount_setattr}], fun() ->
        Dir = shared(Config),
        as_user(Config, fun() -> with_drv(fun(Drv) -> built(Drv, Dir) end) end)
    end).

built(Drv, Dir) ->
    ok = file:write_file(filename:join(Dir, "text"), "text\n"),
    ok = file:write_file(filename:join(Dir, "build.sh"), "mkdir out && tr a-z A-Z < text > out/text && echo built\n"),
    {ok, <<"TEXT\n">>, <<"built\n">>} = throwaway:build(Drv, Dir, "sh build.sh", "out/text"),
    {error, {failed, 3, <<"no\n">>}} = throwaway:build(Drv, Dir, "echo no; exit 3", "out/text"),
    %% The sources are as they were.
    {error, {failed, 1, _}} = throwaway:build(Drv, Dir, "rm /sources/text", "text"),
    {ok, Names} = file:list_dir(Dir),
    ?assertEqual(["build.sh", "text"], lists:sort(Names)).

with_drv(Fun) ->
    {ok, Drv} = alcove_drv:start(),
    try
        Fun(Drv)
    after
        alcove_drv:stop(Drv)
    end.

%% A directory that every user may use.
shared(Config) ->
    Dir = filename:join(?config(tmp, Config), "shared"),
    ok = file:make_dir(Dir),
    ok = file:change_mode(Dir, 8#777),
    Dir.

%% In a virtual machine of an ordinary user, which has the examples as well.
as_user(Config, Fun) ->
    [_, Suites] = Paths = alcove_test:install(?config(tmp, Config)),
    [{ok, _} = file:copy(Beam, filename:join(Suites, filename:basename(Beam)))
     || Beam <- filelib:wildcard(filename:join(?config(ebin, Config), "*.beam"))],
    Peer = alcove_test:user_peer(Config, Paths),
    try
        alcove_test:in_peer(Peer, Fun, alcove_test:ms(60000))
    after
        alcove_test:stop_peer(Peer)
    end.
