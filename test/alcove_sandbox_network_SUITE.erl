%% @doc Sandboxes on a bridge: what they reach, what they can't change, and that nothing is left of
%% them. Every case has a network namespace of its own, with a bridge and no way to the machine's
%% network, in which its Drv runs.
-module(alcove_sandbox_network_SUITE).

-include_lib("stdlib/include/assert.hrl").

-export([suite/0, all/0, groups/0, init_per_suite/1, end_per_suite/1,
         init_per_testcase/2, end_per_testcase/2]).
-export([reaches_a_server/1, reaches_others/1, gateway/1, no_gateway/1, address_moves/1, version_6/1, only_its_addresses/1,
         named_as_asked/1, many_at_once/1, can_not_change_it/1, probe/1, bridge_is_left_alone/1, ends/1,
         ends_by_sigkill/1, ends_with_the_vm/1, wrong_specs/1, not_there/1, not_root/1, explained/1,
         supervised/1, of_a_bundle/1, kernel_values/1]).

-define(GATEWAY, "10.77.0.1").
-define(GATEWAY_V6, "fd77::1").

suite() ->
    alcove_test:suite() ++ [{timetrap, alcove_test:ms(120000)}].

all() ->
    [{group, Group} || {Group, _, _} <- groups()].

groups() ->
    [{reach, [], [reaches_a_server, reaches_others, gateway, no_gateway, address_moves, version_6, only_its_addresses,
                  named_as_asked, many_at_once, of_a_bundle, kernel_values]},
     {hold, [], [can_not_change_it, probe, bridge_is_left_alone, ends, ends_by_sigkill, ends_with_the_vm, supervised]},
     {errors, [], [wrong_specs, not_there, not_root, explained]}].

init_per_suite(Config) ->
    alcove_test:need([root, {program, "ip"}, {program, "unshare"}, {program, "nsenter"}, busybox],
        fun() ->
                case os:cmd("unshare --net sh -c 'ip link add name br0 type bridge && ip link add name port0 master br0 type veth peer name end0' 2>&1") of
                    "" -> alcove_test:init_suite(Config);
                    Text -> alcove_test:skip("needs bridges and pairs of network devices: " ++ Text)
                end
        end).

end_per_suite(_Config) ->
    ok.

init_per_testcase(_Case, Config) ->
    {ok, _} = application:ensure_all_started(alcove),
    alcove_test:init_case(Config).

end_per_testcase(_Case, Config) ->
    alcove_test:end_case(Config).

%% Evaluates the fun with a Drv in a network of its own, which has a bridge.
with(Fun) ->
    {ok, Drv} = alcove_drv:start([{exec, "unshare --net"}]),
    try
        ip(Drv, "link set lo up"),
        bridged(Drv),
        Fun(Drv)
    after
        alcove_drv:stop(Drv)
    end.

bridged(Drv) ->
    [ip(Drv, Words)
     || Words <- ["link add br0 type bridge", "addr add " ?GATEWAY "/24 dev br0",
                  "addr add " ?GATEWAY_V6 "/64 dev br0 nodad", "link set br0 up"]].

%% What ip(8) says, in Drv's network.
ip(Drv, Words) ->
    {ok, #{status := 0, stdout := Text}} = alcove_proc:run(Drv, ["ip" | string:lexemes(Words, " ")], #{stderr => stdout}),
    string:trim(Text).

%% The ports of the bridge.
ports(Drv) ->
    [Name || Line <- string:lexemes(ip(Drv, "-o link show master br0"), "\n"),
             [_, Name | _] <- [string:lexemes(Line, ": @")]].

%% The kernel takes a moment from the end of the last process to the removal.
no_ports(Drv) ->
    ?assert(alcove_test:until(fun() -> ports(Drv) =:= [] end)).

on(Address) ->
    on(Address, #{}).

on(Address, More) ->
    #{network => maps:merge(#{bridge => "br0", address => Address}, More)}.

sh(Drv, Script, Spec) ->
    {ok, #{status := 0, stdout := Text, stderr := <<>>}} = alcove_sandbox:run(Drv, ["sh", "-c", Script], Spec),
    string:trim(Text).

%% A socket in Drv's root that listens at an address of the host's.
listening(Drv, Address) ->
    {ok, Ip} = inet:parse_strict_address(Address),
    {Family, Name} = case tuple_size(Ip) of
                         4 -> {af_inet, inet};
                         8 -> {af_inet6, inet6}
                     end,
    {ok, Socket} = alcove:socket(Drv, Family, [sock_stream, sock_cloexec], 0),
    ok = alcove:bind(Drv, Socket, {Name, {Ip, 8000}}),
    ok = alcove:listen(Drv, Socket, 64),
    Socket.

%% Accepts a connection, answers it with who it is from, and returns what came.
served(Drv, Socket) ->
    {ok, Fd, {_, {From, _}}} = alcove:accept(Drv, Socket),
    {ok, Bytes} = alcove:read(Drv, Fd, 100),
    {ok, _} = alcove:write(Drv, Fd, inet:ntoa(From)),
    ok = alcove:close(Drv, Fd),
    {list_to_binary(inet:ntoa(From)), Bytes}.

%% Has a sandbox talk to that socket.
talk(Drv, Socket, To, Spec) ->
    {ok, Pid} = alcove_sandbox:start_link(Drv, ["busybox", "nc", To, "8000"],
                                          Spec#{stdin => "hello", stdout => collect, stderr => collect}),
    {From, <<"hello">>} = served(Drv, Socket),
    {ok, #{status := 0, stdout := From}} = alcove_proc:await(Pid),
    From.

%% ---------------------------------------------------------------------------
%% What is reached
%% ---------------------------------------------------------------------------

reaches_a_server(_Config) ->
    with(fun(Drv) ->
                 Socket = listening(Drv, ?GATEWAY),
                 <<"10.77.0.2">> = talk(Drv, Socket, ?GATEWAY, on("10.77.0.2/24")),
                 <<"10.77.0.3">> = talk(Drv, Socket, ?GATEWAY, on({{10, 77, 0, 3}, 24})),
                 %% The address is another's at once, with another Ethernet address.
                 [<<"10.77.0.2">> = talk(Drv, Socket, ?GATEWAY, on(<<"10.77.0.2/24">>)) || _ <- lists:seq(1, 5)],
                 %% The rest of it is a sandbox's still.
                 <<"1000 0000000000000000">> = sh(Drv, "echo $(id -u) $(sed -n 's/CapEff:.//p' /proc/self/status)", on("10.77.0.2/24")),
                 no_ports(Drv)
         end).

%% Two programs, each in a sandbox of its own.
reaches_others(_Config) ->
    with(fun(Drv) ->
                 {ok, Server} = alcove_sandbox:start_link(Drv, ["busybox", "nc", "-l", "-p", "8000"],
                                                          (on("10.77.0.2/24"))#{stdin => "from the server", stdout => collect}),
                 <<"from the server">> =
                     sh(Drv, "until busybox nc -w 5 10.77.0.2 8000 < /dev/null 2> /dev/null; do sleep 0.05; done", on("10.77.0.3/24")),
                 {ok, #{status := 0}} = alcove_proc:await(Server),
                 no_ports(Drv)
         end).

%% What isn't in its own network is reached through the gateway.
gateway(_Config) ->
    with(fun(Drv) ->
                 [ip(Drv, ["addr add ", Address, " dev lo"]) || Address <- ["192.0.2.1/32", "2001:db8::1/128"]],
                 [V4, V6] = [listening(Drv, Address) || Address <- ["192.0.2.1", "2001:db8::1"]],
                 Both = on(["10.77.0.2/24", "fd77::2/64"], #{gateway => [?GATEWAY, <<?GATEWAY_V6>>]}),
                 <<"10.77.0.2">> = talk(Drv, V4, "192.0.2.1", Both),
                 <<"fd77::2">> = talk(Drv, V6, "2001:db8::1", Both),
                 <<"10.77.0.2">> = talk(Drv, V4, "192.0.2.1", on("10.77.0.2/24", #{gateway => {10, 77, 0, 1}})),
                 <<"default via 10.77.0.1 dev eth0 proto static">> = sh(Drv, "exec ip route show default", Both),
                 <<"default via fd77::1 dev eth0 proto static">> =
                     re:replace(sh(Drv, "exec ip -6 route show default", Both), " metric.*", "", [{return, binary}])
         end).

no_gateway(_Config) ->
    with(fun(Drv) ->
                 ip(Drv, "addr add 192.0.2.1/32 dev lo"),
                 _ = listening(Drv, "192.0.2.1"),
                 <<>> = sh(Drv, "ip route show default; ip -6 route show default", on(["10.77.0.2/24", "fd77::2/64"])),
                 {ok, #{status := 1, stderr := Text}} =
                     alcove_sandbox:run(Drv, ["busybox", "nc", "192.0.2.1", "8000"], on("10.77.0.2/24")),
                 ?assertNotEqual(nomatch, string:find(Text, "unreachable"))
         end).

%% What another sandbox had a moment ago: who has talked to that finds the new one.
address_moves(_Config) ->
    with(fun(Drv) ->
                 %% With another port the bridge stays on, and what is remembered of neighbours with it.
                 ip(Drv, "link add name other master br0 type veth peer name far"),
                 [ip(Drv, ["link set ", Name, " up"]) || Name <- ["other", "far"]],
                 {ok, Caller} = alcove:fork(Drv),
                 Refused = fun(Family, To) ->
                                   {ok, Fd} = alcove:socket(Drv, [Caller], Family, [sock_stream, sock_cloexec], 0),
                                   ?assertEqual({error, econnrefused}, alcove:call(Drv, [Caller], connect, [Fd, To], alcove_test:ms(900))),
                                   ok = alcove:close(Drv, [Caller], Fd)
                           end,
                 [begin
                      {ok, Pid} = alcove_sandbox:start_link(Drv, ["sh", "-c", "echo ready; cat"], on(["10.77.0.2/24", "fd77::2/64"])),
                      receive {alcove_proc, Pid, {stdout, <<"ready\n">>}} -> ok end,
                      Refused(af_inet, {inet, {{10, 77, 0, 2}, 9}}),
                      Refused(af_inet6, {inet6, {{16#fd77, 0, 0, 0, 0, 0, 0, 2}, 9}}),
                      {ok, _} = alcove_proc:stop(Pid)
                  end || _ <- lists:seq(1, 10)]
         end).

%% An address of IPv6 can be used at once.
version_6(_Config) ->
    with(fun(Drv) ->
                 Socket = listening(Drv, ?GATEWAY_V6),
                 [<<"fd77::2">> = talk(Drv, Socket, ?GATEWAY_V6, on(Address))
                  || Address <- ["fd77::2/64", {{16#fd77, 0, 0, 0, 0, 0, 0, 2}, 64}]],
                 {ok, Server} = alcove_sandbox:start_link(Drv, ["busybox", "nc", "-l", "-p", "8000"],
                                                          (on("fd77::3/64"))#{stdin => "from the server", stdout => collect}),
                 <<"from the server">> =
                     sh(Drv, "until busybox nc -w 5 fd77::3 8000 < /dev/null 2> /dev/null; do sleep 0.05; done", on("fd77::4/64")),
                 {ok, #{status := 0}} = alcove_proc:await(Server)
         end).

addresses(Drv, Spec) ->
    Text = sh(Drv, "exec ip -o addr show dev eth0", Spec),
    lists:sort([Address || Line <- string:lexemes(Text, "\n"), [_, _, _, Address | _] <- [string:lexemes(Line, " ")]]).

%% It has the addresses of the spec and no others, whatever a router on the bridge says.
only_its_addresses(_Config) ->
    with(fun(Drv) ->
                 [<<"10.77.0.2/24">>] = addresses(Drv, on("10.77.0.2/24")),
                 [<<"10.77.0.2/31">>, <<"10.78.0.9/32">>] = addresses(Drv, on(["10.77.0.2/31", "10.78.0.9/32"])),
                 [<<"10.77.0.2/24">>, <<"fd77::2/64">>, <<"fe80:", _/binary>>] =
                     addresses(Drv, on(["10.77.0.2/24", "fd77::2/64"])),
                 Value = "cat /proc/sys/net/ipv6/conf/eth0/",
                 <<"1">> = sh(Drv, Value ++ "disable_ipv6", on("10.77.0.2/24")),
                 <<"0\n0">> = sh(Drv, [Value, "disable_ipv6; ", Value, "accept_ra"], on("fd77::2/64")),
                 <<"eth0\nlo">> = sh(Drv, "ip -o link | sed 's/^[0-9]*: \\([a-z0-9]*\\).*/\\1/' | sort", on("10.77.0.2/24")),
                 %% The loopback interface is on, as ever.
                 <<"127.0.0.1/8">> = sh(Drv, "ip -o -4 addr show dev lo up | sed 's/.*inet \\([^ ]*\\) .*/\\1/'", on("10.77.0.2/24")),
                 %% The same is true of the other process that it can see.
                 <<"lo">> = sh(Drv, "sed -n 's/^ *\\([a-z0-9]*\\):.*/\\1/p' /proc/1/net/dev", on("10.77.0.2/24")),
                 %% Nothing of the host's socket is left to the program.
                 <<"0 1 2 3">> = sh(Drv, "exec ls /proc/self/fd | xargs echo", on("10.77.0.2/24"))
         end).

named_as_asked(_Config) ->
    with(fun(Drv) ->
                 Spec = on("10.77.0.2/24", #{name => "net-1", mac => "02:00:00:00:00:2A", mtu => 1300}),
                 <<"1300 02:00:00:00:00:2a">> =
                     sh(Drv, "cd /sys/class/net/net-1 && echo $(cat mtu address)", Spec#{mounts => [system, {sysfs, "/sys"}]}),
                 %% Its packets are as large as the bridge's.
                 ip(Drv, "link set br0 mtu 1400"),
                 [<<Mtu/binary>> = sh(Drv, "cat /sys/class/net/eth0/mtu", Given#{mounts => [system, {sysfs, "/sys"}]})
                  || {Mtu, Given} <- [{<<"1400">>, on("10.77.0.2/24")}, {<<"1400">>, on("10.77.0.2/24", #{mtu => 1400})}]],
                 {ok, #{sandbox := #{network := {bridge, <<"br0">>, Outside}}}} =
                     alcove_sandbox:run(Drv, ["true"], on("10.77.0.2/24")),
                 <<"alc", _:12/binary>> = Outside
         end).

%% Each has a device of its own, and all of them are there at a time.
many_at_once(_Config) ->
    with(fun(Drv) ->
                 Count = 50,
                 Address = fun(N) -> lists:concat(["10.77.0.", N + 100]) end,
                 Self = self(),
                 Run = fun(N) ->
                               Spec = (on(Address(N) ++ "/24"))#{stdin => stream, stdout => message, limits => #{cpu_time => infinity, wall_time => infinity}},
                               {ok, Pid} = alcove_sandbox:start_link(Drv, ["sh", "-c", "echo ready; cat"], Spec),
                               receive {alcove_proc, Pid, {stdout, <<"ready\n">>}} -> ok end,
                               Self ! {self(), ready},
                               receive finish -> ok end,
                               ok = alcove_proc:eof(Pid),
                               {ok, #{status := 0} = Result} = alcove_proc:await(Pid),
                               Self ! {self(), Result}
                       end,
                 Pids = [spawn_link(fun() -> Run(N) end) || N <- lists:seq(1, Count)],
                 [receive {Pid, ready} -> ok end || Pid <- Pids],
                 Ports = ports(Drv),
                 ?assertEqual(Count, length(lists:usort(Ports))),
                 [] = [Port || Port <- Ports, string:prefix(Port, "alc") =:= nomatch],
                 %% Each has its address: where nobody listens, the kernel there refuses.
                 [begin
                      {ok, Fd} = alcove:socket(Drv, af_inet, [sock_stream, sock_cloexec], 0),
                      {ok, Ip} = inet:parse_strict_address(Address(N)),
                      ?assertEqual({N, {error, econnrefused}}, {N, alcove:connect(Drv, Fd, {inet, {Ip, 9}})}),
                      ok = alcove:close(Drv, Fd)
                  end || N <- lists:seq(1, Count)],
                 [Pid ! finish || Pid <- Pids],
                 [receive {Pid, #{}} -> ok end || Pid <- Pids],
                 no_ports(Drv)
         end).

%% The network isn't in the configuration of a bundle; it is added to its spec.
of_a_bundle(Config) ->
    Bundle = alcove_test:tmp(Config),
    Root = filename:join(Bundle, "rootfs"),
    ok = filelib:ensure_dir(filename:join([Root, "bin", "x"])),
    ok = file:make_dir(filename:join(Root, "proc")),
    {ok, _} = file:copy(alcove_test:busybox(), filename:join([Root, "bin", "busybox"])),
    ok = file:change_mode(filename:join([Root, "bin", "busybox"]), 8#755),
    Oci = #{ociVersion => <<"1.0.2">>,
            process => #{args => [<<"/bin/busybox">>, <<"nc">>, <<?GATEWAY>>, <<"8000">>], cwd => <<"/">>, noNewPrivileges => true},
            root => #{path => <<"rootfs">>, readonly => true},
            mounts => [#{destination => <<"/proc">>, type => <<"proc">>, source => <<"proc">>}],
            linux => #{namespaces => [#{type => Type} || Type <- [<<"pid">>, <<"network">>, <<"mount">>]]}},
    with(fun(Drv) ->
                 {ok, #{argv := Argv, spec := Spec}} = alcove_sandbox:from_oci({Bundle, Oci}),
                 Socket = listening(Drv, ?GATEWAY),
                 {ok, Pid} = alcove_sandbox:start_link(Drv, Argv, maps:merge(Spec#{stdin => "hello", stdout => collect}, on("10.77.0.2/24"))),
                 {<<"10.77.0.2">>, <<"hello">>} = served(Drv, Socket),
                 {ok, #{status := 0, stdout := <<"10.77.0.2">>}} = alcove_proc:await(Pid)
         end).

%% The kernel parameters of the network are the sandbox's own.
kernel_values(_Config) ->
    with(fun(Drv) ->
                 Spec = on("10.77.0.2/24"),
                 <<"80">> = sh(Drv, "cat /proc/sys/net/ipv4/ip_unprivileged_port_start",
                               Spec#{sysctl => #{"net.ipv4.ip_unprivileged_port_start" => "80"}}),
                 <<"100">> = sh(Drv, "cat /proc/sys/net/ipv4/conf/eth0/tag",
                                Spec#{sysctl => #{"net.ipv4.conf.eth0.tag" => "100"}})
         end).

%% ---------------------------------------------------------------------------
%% What holds
%% ---------------------------------------------------------------------------

%% The program can look, and no more.
can_not_change_it(_Config) ->
    with(fun(Drv) ->
                 [begin
                      {ok, #{status := Status, stderr := Text}} =
                          alcove_sandbox:run(Drv, ["ip" | string:lexemes(Words, " ")], (on(["10.77.0.2/24", "fd77::2/64"], #{gateway => ?GATEWAY}))#{seccomp => none}),
                      ?assertEqual({Words, 2}, {Words, Status}),
                      ?assertNotEqual({Words, nomatch}, {Words, string:find(Text, "Operation not permitted")})
                  end || Words <- ["addr add 10.77.0.9/24 dev eth0", "addr del 10.77.0.2/24 dev eth0", "link set eth0 down",
                                   "link set eth0 address 02:00:00:00:00:01", "link set eth0 promisc on", "route del default",
                                   "route add 192.0.2.0/24 dev eth0", "link add v type veth peer name w", "link del eth0"]],
                 <<"0000000000000000\n0000000000000000\n0000000000000000\n0000000000000000\n0000000000000000">> =
                     sh(Drv, "sed -n 's/^Cap[A-Z][a-z]*:.//p' /proc/self/status", on("10.77.0.2/24")),
                 %% Nor does it see what isn't for it: no raw or packet sockets.
                 {ok, #{status := Raw}} = alcove_sandbox:run(Drv, ["busybox", "arping", "-c", "1", "-I", "eth0", ?GATEWAY], on("10.77.0.2/24")),
                 ?assertNotEqual(0, Raw)
         end).

%% The program that tries to get out gets no further than without a network.
probe(Config) ->
    alcove_test:need([{probe, alcove_probe}],
        fun() ->
                {ok, Built} = alcove_test:probe(),
                [Probe, Secret] = [filename:join(alcove_test:tmp(Config), Name) || Name <- ["probe", "secret"]],
                {ok, _} = file:copy(Built, Probe),
                ok = file:change_mode(Probe, 8#755),
                ok = file:write_file(Secret, "secret"),
                with(fun(Drv) ->
                             Spec = (on(["10.77.0.2/24", "fd77::2/64"], #{gateway => ?GATEWAY}))
                                 #{mounts => [system, proc, dev, {tmpfs, "/tmp"}, {ro, Probe, "/probe"}]},
                             {ok, #{status := 0, stdout := Text}} = alcove_sandbox:run(Drv, ["/probe", Secret], Spec),
                             {Held, Other} = lists:partition(fun(Line) -> string:prefix(Line, "held") =/= nomatch end,
                                                             string:lexemes(Text, "\n")),
                             ?assertEqual([<<"done">>], Other),
                             ?assert(length(Held) > 40)
                     end)
        end).

%% What the bridge itself is.
settings(Drv) ->
    Text = ip(Drv, "-d -o link show br0"),
    [begin
         {match, [Value]} = re:run(Text, [" ", Key, " ([^ ]+)"], [{capture, all_but_first, binary}]),
         {Key, Value}
     end || Key <- ["mtu", "link/ether", "forward_delay", "hello_time", "max_age", "ageing_time", "stp_state", "priority",
                    "vlan_filtering", "bridge_id", "mcast_snooping", "txqueuelen|qlen"]].

%% Neither its address nor its MTU changes while sandboxes come and go.
bridge_is_left_alone(_Config) ->
    Stays = fun(Drv) ->
                    Before = settings(Drv),
                    {ok, Pid} = alcove_sandbox:start_link(Drv, ["cat"], on("10.77.0.2/24", #{mtu => 1300})),
                    ?assertEqual(Before, settings(Drv)),
                    {ok, Other} = alcove_sandbox:start_link(Drv, ["cat"], on("10.77.0.3/24", #{mac => "02:00:00:00:00:01"})),
                    ?assertEqual(Before, settings(Drv)),
                    {ok, _} = alcove_proc:stop(Pid),
                    ?assert(alcove_test:until(fun() -> length(ports(Drv) -- [<<"other">>]) =:= 1 end)),
                    ?assertEqual(Before, settings(Drv)),
                    {ok, _} = alcove_proc:stop(Other),
                    ?assert(alcove_test:until(fun() -> ports(Drv) -- [<<"other">>] =:= [] end)),
                    ?assertEqual(Before, settings(Drv))
            end,
    with(fun(Drv) ->
                 %% With another port, whose address it has.
                 ip(Drv, "link add other master br0 type veth peer name far"),
                 Stays(Drv)
         end),
    with(fun(Drv) ->
                 %% With an address of its own, and an MTU.
                 ip(Drv, "link set br0 address f2:00:00:00:00:01 mtu 9000"),
                 Stays(Drv)
         end),
    with(fun(Drv) ->
                 %% With neither, it keeps the address that it has with the first as long as there is one.
                 {ok, Pid} = alcove_sandbox:start_link(Drv, ["cat"], on("10.77.0.2/24")),
                 Now = settings(Drv),
                 {ok, Other} = alcove_sandbox:start_link(Drv, ["cat"], on("10.77.0.3/24")),
                 ?assertEqual(Now, settings(Drv)),
                 {ok, _} = alcove_proc:stop(Pid),
                 ?assert(alcove_test:until(fun() -> length(ports(Drv)) =:= 1 end)),
                 ?assertEqual(Now, settings(Drv)),
                 {ok, _} = alcove_proc:stop(Other)
         end).

%% A sandbox that runs on, as soon as it runs.
running(Drv) ->
    {ok, Pid} = alcove_sandbox:start_link(Drv, ["sh", "-c", "(setsid sleep 1000 &) ; echo ready; exec sleep 1000"], limitless(on("10.77.0.2/24"))),
    receive {alcove_proc, Pid, {stdout, <<"ready\n">>}} -> Pid end.

%% Without a control group, of which a Drv that is killed leaves the empty one.
limitless(Spec) ->
    Spec#{limits => #{memory => infinity, pids => infinity, cpu => infinity}}.

ends(_Config) ->
    with(fun(Drv) ->
                 %% By itself, and what it has left with it.
                 {ok, #{status := 3}} = alcove_sandbox:run(Drv, ["sh", "-c", "sleep 1000 & exit 3"], on("10.77.0.2/24")),
                 no_ports(Drv),
                 %% By its owner.
                 {ok, _} = alcove_proc:stop(running(Drv)),
                 no_ports(Drv),
                 {Owner, Ref} = spawn_monitor(fun() -> running(Drv), exit(kill_it) end),
                 receive {'DOWN', Ref, process, Owner, kill_it} -> ok end,
                 no_ports(Drv),
                 {error, {timeout, _}} = alcove_sandbox:run(Drv, ["sleep", "1000"], (on("10.77.0.2/24"))#{limits => #{wall_time => 2000}, grace => 100}),
                 no_ports(Drv),
                 %% When it can't be run, after the devices were made.
                 {error, {execvp, enoent}} = alcove_sandbox:run(Drv, ["no-such-program"], on("10.77.0.2/24")),
                 no_ports(Drv)
         end).

%% A Drv in the network of another one.
in_network_of(Drv) ->
    alcove_drv:start([{exec, network_of(Drv)}]).

network_of(Drv) ->
    ["nsenter", lists:concat(["--net=/proc/", alcove:getpid(Drv), "/ns/net"])].

%% Whoever of alcove's is killed.
ends_by_sigkill(_Config) ->
    process_flag(trap_exit, true),
    with(fun(Host) ->
                 [begin
                      {ok, Drv} = in_network_of(Host),
                      Program = running(Drv),
                      [_] = ports(Host),
                      #{os_pid := OsPid} = alcove_proc:info(Program),
                      Root = alcove:getpid(Drv),
                      Init = alcove_test:parent(OsPid),
                      Keeper = alcove_test:parent(Init),
                      Kill = #{program => OsPid, init => Init, keeper => Keeper, root => Root,
                               guardian => alcove_test:parent(Root)},
                      _ = alcove_test:signal(maps:get(Who, Kill), "KILL"),
                      ?assert(alcove_test:until(fun() -> ports(Host) =:= [] end, alcove_test:ms(20000)), Who),
                      _ = alcove_drv:stop(Drv)
                  end || Who <- [program, init, keeper, root, guardian]]
         end).

ends_with_the_vm(_Config) ->
    process_flag(trap_exit, true),
    with(fun(Host) ->
                 Peer = alcove_test:peer(alcove_test:paths(), #{}),
                 Exec = network_of(Host),
                 Os = alcove_test:in_peer(Peer,
                     fun() ->
                             {ok, _} = application:ensure_all_started(alcove),
                             Self = self(),
                             spawn(fun() ->
                                           {ok, Drv} = alcove_drv:start([{exec, Exec}]),
                                           _ = running(Drv),
                                           Self ! running,
                                           receive after infinity -> ok end
                                   end),
                             receive running -> os:getpid() end
                     end),
                 [_] = ports(Host),
                 _ = alcove_test:signal(Os, "KILL"),
                 ?assert(alcove_test:until(fun() -> ports(Host) =:= [] end, alcove_test:ms(20000)))
         end).

%% Restarted at the same address.
supervised(_Config) ->
    with(fun(Drv) ->
                 Child = alcove_sandbox:child_spec(#{id => on_bridge, drv => Drv, argv => ["sleep", "1000"],
                                                     spec => on("10.77.0.2/24"), restart => permanent}),
                 {ok, First} = supervisor:start_child(kernel_safe_sup, Child),
                 [_] = ports(Drv),
                 #{os_pid := OsPid} = alcove_proc:info(First),
                 _ = alcove_test:signal(OsPid, "KILL"),
                 Now = fun() -> [Pid || {on_bridge, Pid, _, _} <- supervisor:which_children(kernel_safe_sup), is_pid(Pid)] end,
                 ?assert(alcove_test:until(fun() -> Now() =/= [] andalso Now() =/= [First] end)),
                 ?assert(alcove_test:until(fun() -> length(ports(Drv)) =:= 1 end)),
                 ok = supervisor:terminate_child(kernel_safe_sup, on_bridge),
                 ok = supervisor:delete_child(kernel_safe_sup, on_bridge),
                 no_ports(Drv)
         end).

%% ---------------------------------------------------------------------------
%% Errors
%% ---------------------------------------------------------------------------

wrong_specs(_Config) ->
    Good = #{bridge => "br0", address => "10.0.0.2/24"},
    Refused = fun(Spec) ->
                      try alcove_sandbox:run(self(), ["true"], Spec) of
                          Result -> {Spec, Result}
                      catch
                          error:{badarg, {network, _} = Part} ->
                              ?assertNotEqual(nomatch, string:find(alcove:format_error({badarg, Part}), "network")),
                              refused;
                          error:Other -> {Spec, Other}
                      end
              end,
    Addresses = ["10.0.0.2", "10.0.0.2/", "10.0.0.2/33", "10.0.0.2/0", "10.0.0.2/-1", "10.0.0.2/24/24", "10.0.0/24", "localhost/24",
                 "", [], 1, [[]], ["10.0.0.2/24" | x], {10, 0, 0, 2}, {{10, 0, 0}, 24}, {{10, 0, 0, 2}, 33}, {{10, 0, 0, 2}, "24"},
                 "10.0.0.0/24", "10.0.0.255/24", "0.0.0.0/8", "0.0.0.1/8", "127.0.0.2/8", "224.0.0.1/24", "255.255.255.255/32", "::/64", "::1/64",
                 "ff02::1/64", "::ffff:10.0.0.2/96", "fe80::1%eth0/64", "fd00::2/129", ["10.0.0.2/24", "10.0.0.2/16"],
                 ["10.0.0.2/24", "wrong"], [lists:concat(["10.0.0.", N, "/24"]) || N <- lists:seq(1, 17)]],
    Wrong =
        [none_of_these, [{bridge, "br0"}], #{}, #{bridge => "br0"}, #{address => "10.0.0.2/24"}, Good#{nosuch => 1}] ++
        [Good#{bridge => Name} || Name <- names()] ++
        [Good#{name => Name} || Name <- ["lo" | names()]] ++
        [Good#{address => Address} || Address <- Addresses] ++
        [Good#{gateway => Gateway}
         || Gateway <- ["10.0.0.1/24", "gateway", 1, "127.0.0.1", "0.0.0.0", "fe80::1%eth0", {10, 0, 0, 256}, ["10.0.0.1", "10.0.0.3"], <<>>]] ++
        [Good#{mac => Mac} || Mac <- ["", "02:00:00:00:00", "02-00-00-00-00-01", "01:00:00:00:00:01", "00:00:00:00:00:00", "0g:00:00:00:00:01", 1,
                                      "02:00:00:00:00:01\n"]] ++
        [Good#{mtu => Mtu} || Mtu <- [0, 67, 65536, -1, "1400", 1400.0, infinity]] ++
        [Good#{address => "fd00::2/64", mtu => 1279}],
    ?assertEqual([], [Answer || Network <- Wrong, Answer <- [Refused(#{network => Network})], Answer =/= refused]),
    refused = Refused(#{network => Good, listen => [{tcp, {127, 0, 0, 1}, 8080}]}).

names() ->
    ["", "sixteen-letters-", "a/b", "a b", "a:b", "a\n", "a%d", ".", "..", "a\0", 1, {}, [$a | b]].

%% What can't be had is said, and nothing is left.
not_there(_Config) ->
    with(fun(Drv) ->
                 ip(Drv, "link set br0 mtu 1400"),
                 ip(Drv, "addr add 192.0.2.7/32 dev lo"),
                 {ok, Free} = alcove:open(Drv, "/dev/null", [o_rdonly], 0),
                 ok = alcove:close(Drv, Free),
                 [begin
                      Error = alcove_sandbox:run(Drv, ["true"], (on("10.77.0.2/24", Network))#{best_effort => Effort}),
                      ?assertEqual({Network, {error, {sandbox, {network, {What, Reason}}}}}, {Network, Error}),
                      Text = alcove:format_error(Error),
                      ?assertNotEqual({Part, Text, nomatch}, {Part, Text, string:find(Text, Part)}),
                      no_ports(Drv)
                  end || {What, Reason, Part, Network} <-
                             [{{bridge, <<"none">>}, enodev, "no bridge none", #{bridge => "none"}},
                              {{bridge, <<"lo">>}, enotsup, "no bridge", #{bridge => "lo"}},
                              {{mtu, 1401}, erange, "1401", #{mtu => 1401}},
                              {{address, <<?GATEWAY>>}, eaddrinuse, ?GATEWAY, #{address => ?GATEWAY "/24"}},
                              {{address, <<"192.0.2.7">>}, eaddrinuse, "192.0.2.7", #{address => ["10.77.0.2/24", "192.0.2.7/24"]}},
                              {{address, <<?GATEWAY_V6>>}, eaddrinuse, ?GATEWAY_V6, #{address => ["10.77.0.2/24", ?GATEWAY_V6 "/64"]}},
                              {{gateway, <<"10.78.0.1">>}, enetunreach, "10.78.0.1", #{gateway => "10.78.0.1"}},
                              {{gateway, <<"fd78::1">>}, ehostunreach, "fd78::1",
                               #{address => ["10.77.0.2/24", "fd77::2/64"], gateway => [?GATEWAY, "fd78::1"]}}],
                         Effort <- [false, true]],
                 {ok, Free} = alcove:open(Drv, "/dev/null", [o_rdonly], 0)
         end).

not_root(Config) ->
    alcove_test:need([ordinary, userns],
        fun() ->
                Spec = on("10.77.0.2/24"),
                {error, Reason} = alcove_test:in_peer(alcove_test:user_peer(Config),
                    fun() ->
                            {ok, Drv} = alcove_drv:start(),
                            Result = alcove_sandbox:run(Drv, ["true"], Spec),
                            Result = alcove_sandbox:run(Drv, ["true"], Spec#{best_effort => true}),
                            ok = alcove_drv:stop(Drv),
                            Result
                    end),
                ?assertEqual({sandbox, {network, {{bridge, <<"br0">>}, eperm}}}, Reason),
                ?assertNotEqual(nomatch, string:find(alcove:format_error(Reason), "root's rights"))
        end).

explained(_Config) ->
    with(fun(Drv) ->
                 Spec = on(["10.77.0.2/24", "fd77::2/64"], #{gateway => [?GATEWAY, ?GATEWAY_V6], mtu => 1300}),
                 {ok, #{calls := Calls, in_force := #{network := {bridge, <<"br0">>, Outside}}, lacking := Lacking}} =
                     alcove_sandbox:explain(Drv, Spec),
                 false = is_map_key(network, Lacking),
                 [] = [{netdev_unused, [3, <<"10.77.0.2">>]}, {netdev_unused, [3, <<"fd77::2">>]}, {unshare, [[clone_newnet]]},
                       {netdev_veth, [3, Outside, <<"br0">>, <<"eth0">>, <<>>, 1300]}, {netdev_up, [3, <<"lo">>]},
                       {netdev_address, [3, <<"eth0">>, <<"10.77.0.2/24">>]}, {netdev_address, [3, <<"eth0">>, <<"fd77::2/64">>]},
                       {netdev_up, [3, <<"eth0">>]}, {netdev_route, [3, <<"eth0">>, <<?GATEWAY>>]},
                       {netdev_route, [3, <<"eth0">>, <<?GATEWAY_V6>>]}] -- Calls,
                 no_ports(Drv),
                 {error, {sandbox, {network, {{bridge, <<"none">>}, enodev}}}} =
                     alcove_sandbox:explain(Drv, on("10.77.0.2/24", #{bridge => "none"}))
         end).
