%% @doc The containers of alcove_proc: the options that make one do to the host what they say,
%% which is nothing. Each case is run by root and by an ordinary user.
-module(alcove_container_SUITE).

-include_lib("stdlib/include/assert.hrl").

-export([suite/0, all/0, groups/0, init_per_suite/1, end_per_suite/1,
         init_per_group/2, end_per_group/2, init_per_testcase/2, end_per_testcase/2]).
-export([needs_a_namespace/1, setup_needs_a_namespace/1, own_namespace/1, somebody/1, group_of_its_own/1,
         root_for_good/1, old_root_is_gone/1, strange_roots/1, streams/1, no_privileges/1,
         reduced_bounding_set/1, inherited_privileges/1]).

suite() ->
    alcove_test:suite() ++ [{timetrap, alcove_test:ms(120000)}].

all() ->
    [{group, root}, {group, rootless}].

groups() ->
    Both = [needs_a_namespace, setup_needs_a_namespace, own_namespace, somebody, root_for_good,
            old_root_is_gone, strange_roots, no_privileges],
    [{root, [], Both ++ [streams, reduced_bounding_set, inherited_privileges]},
     {rootless, [], Both ++ [group_of_its_own]}].

init_per_suite(Config) ->
    ct:timetrap(alcove_test:ms(600000)),
    [{probe, alcove_test:probe()} | alcove_test:init_suite(Config)].

end_per_suite(_Config) ->
    ok.

init_per_group(root, Config) ->
    case alcove_test:can(root) of
        true -> [{as, root} | Config];
        {false, Text} -> alcove_test:skip(Text)
    end;
init_per_group(rootless, Config) ->
    case [Text || What <- [ordinary, userns], {false, Text} <- [alcove_test:can(What)]] of
        [] -> [{as, ordinary} | Config];
        [Text | _] -> alcove_test:skip(Text)
    end.

end_per_group(_Group, _Config) ->
    ok.

init_per_testcase(_Case, Config) ->
    {ok, _} = application:ensure_all_started(alcove),
    alcove_test:init_case(Config).

end_per_testcase(_Case, Config) ->
    alcove_test:end_case(Config).

%% Evaluates the fun with a Drv, as root or in a virtual machine of an ordinary user.
with(Config, Fun) ->
    case as(Config) of
        root -> driven(Fun);
        ordinary -> alcove_test:in_peer(alcove_test:user_peer(Config), fun() -> driven(Fun) end, alcove_test:ms(60000))
    end.

driven(Fun) ->
    {ok, Drv} = alcove_drv:start(),
    try Fun(Drv) after alcove_drv:stop(Drv) end.

as(Config) ->
    proplists:get_value(as, Config).

%% The namespaces, with one for users where Drv may not make the others without.
namespaces(Config, Names) ->
    case as(Config) of
        root -> Names;
        ordinary -> [newuser | Names]
    end.

sh(Drv, Script, Options) ->
    {ok, #{status := 0, stdout := Out, stderr := <<>>}} = alcove_proc:run(Drv, ["/bin/sh", "-c", Script], Options),
    string:trim(Out).

directory(Config, Name) ->
    Dir = filename:join(alcove_test:tmp(Config), Name),
    ok = file:make_dir(Dir),
    ok = file:change_mode(Dir, 8#777),
    Dir.

%% A root directory with the system's programs, and the calls that put them there.
system(Config) ->
    Root = directory(Config, "root"),
    [directory(Config, "root/" ++ Name) || Name <- ["usr", "tmp", "proc", "dev", "etc"]],
    [ok = file:make_symlink("usr/" ++ Name, filename:join(Root, Name)) || Name <- ["bin", "lib", "lib64"]],
    {Root, [{mount, ["/usr", filename:join(Root, "usr"), "", [ms_bind, ms_rec], ""]},
            {mount, ["/proc", filename:join(Root, "proc"), "", [ms_bind, ms_rec], ""]}]}.

%% ---------------------------------------------------------------------------
%% Nothing is done to the host
%% ---------------------------------------------------------------------------

%% What is about a namespace, without it, is an error of the caller.
needs_a_namespace(Config) ->
    {ok, Name} = inet:gethostname(),
    with(Config, fun(Drv) ->
        Refused = fun(Told, Options) ->
            ?assertError({badarg, Told}, alcove_proc:run(Drv, ["true"], Options)),
            ?assertError({badarg, Told}, alcove_proc:start(Drv, ["true"], Options)),
            ?assertError({badarg, Told}, alcove_proc:child_spec({Drv, ["true"], Options}))
        end,
        Refused({hostname, {without, newuts}}, #{hostname => "mine"}),
        Refused({hostname, {without, newuts}}, #{hostname => "mine", namespaces => [newns, newuser]}),
        Refused({uid_map, {without, newuser}}, #{uid_map => [{0, 1000, 1}]}),
        Refused({gid_map, {without, newuser}}, #{gid_map => [{0, 1000, 1}], namespaces => [newuts]}),
        %% Also of another process.
        {ok, Child} = alcove:fork(Drv),
        Refused({hostname, {without, newuts}}, #{hostname => "mine", in => [Child]}),
        [Refused(Wrong, maps:from_list([Wrong, {namespaces, [newuser]}]))
         || Wrong <- [{uid_map, []}, {gid_map, []}, {uid_map, [{0, 16#ffffffff, 1}]}, {uid_map, [{0, 0, 0}]}]],
        Told = lists:flatten(alcove:format_error({badarg, {hostname, {without, newuts}}})),
        ?assertEqual("hostname would be that of the host: namespaces has to have newuts", Told)
    end),
    ?assertEqual({ok, Name}, inet:gethostname()).

%% Mounts would stay.
setup_needs_a_namespace(Config) ->
    Dir = directory(Config, "dir"),
    {ok, Before} = file:read_file("/proc/self/mountinfo"),
    with(Config, fun(Drv) ->
        Mount = {mount, ["tmpfs", Dir, "tmpfs", 0, ""]},
        Run = fun(Options) -> alcove_proc:run(Drv, ["true"], Options) end,
        ?assertError({badarg, {setup, {1, mount, {without, newns}}}}, Run(#{setup => [Mount]})),
        ?assertError({badarg, {setup, {2, mount, {without, newns}}}},
                     Run(#{setup => [{chdir, ["/"]}, Mount], namespaces => [newuser, newuts], chroot => "/"})),
        ?assertError({badarg, {setup, {1, sethostname, {without, newuts}}}},
                     Run(#{setup => [{sethostname, ["x"]}], namespaces => [newuser, newns]})),
        [?assertError({badarg, {setup, {1, Call, {without, newns}}}}, Run(#{setup => [{Call, Argv}]}))
         || {Call, Argv} <- [{umount, ["/"]}, {umount2, ["/", 0]}, {pivot_root, [".", "."]},
                             {move_mount, [0, "", 0, "", 0]}]],
        %% In namespaces that it makes itself.
        Own = [{unshare, [[clone_newuser, clone_newns, clone_newuts]]}, {sethostname, ["x"]},
               {mount, ["none", "/", "", [ms_rec, ms_slave], ""]}, Mount],
        {ok, #{status := 0}} = Run(#{setup => Own}),
        %% Or that its parent is in.
        {ok, Guest} = alcove:clone(Drv, [clone_newuser, clone_newns]),
        {ok, #{status := 0}} = Run(#{in => [Guest], setup => [{mount, ["none", "/", "", [ms_rec, ms_slave], ""]}]})
    end),
    ?assertEqual({ok, Before}, file:read_file("/proc/self/mountinfo")).

own_namespace(Config) ->
    {ok, Name} = inet:gethostname(),
    with(Config, fun(Drv) ->
        <<"mine">> = sh(Drv, "uname -n", #{hostname => "mine", namespaces => namespaces(Config, [newuts])})
    end),
    ?assertEqual({ok, Name}, inet:gethostname()).

%% ---------------------------------------------------------------------------
%% Users
%% ---------------------------------------------------------------------------

%% A program is somebody, whatever the map.
somebody(Config) ->
    with(Config, fun(Drv) ->
        {Uid, Gid} = {alcove:geteuid(Drv), alcove:getegid(Drv)},
        Ids = fun(Options) ->
            sh(Drv, "echo $(id -u) $(id -g)", Options#{namespaces => [newuser]})
        end,
        <<"0 0">> = Ids(#{}),
        <<"1000 0">> = Ids(#{uid_map => [{1000, Uid, 1}]}),
        <<"1000 100">> = Ids(#{uid_map => [{1000, Uid, 1}], gid_map => [{100, Gid, 1}]}),
        case as(Config) of
            ordinary ->
                ?assertEqual({error, {uid_map, eperm}},
                             alcove_proc:run(Drv, ["true"], #{namespaces => [newuser], uid_map => [{0, 100000, 1}]}));
            root ->
                %% Who starts it isn't in the map.
                <<"0 0">> = Ids(#{uid_map => [{0, 100000, 10}], gid_map => [{0, 100000, 10}]}),
                <<"7 8">> = Ids(#{uid_map => [{7, 100000, 10}], gid_map => [{8, 100000, 10}]}),
                <<"0 8">> = Ids(#{uid_map => [{7, 100000, 10}, {0, 200000, 1}], gid_map => [{8, 100000, 10}]}),
                <<"7 9">> = Ids(#{uid_map => [{7, 100000, 10}], gid_map => [{8, 100000, 10}], group => 9}),
                %% It stays who it is, if that is in the map.
                <<"5 0">> = Ids(#{uid_map => [{0, 100000, 5}, {5, 0, 1}]}),
                %% Nothing of root's is its own: neither files nor groups.
                Secret = filename:join(alcove_test:tmp(Config), "secret"),
                ok = file:write_file(Secret, "secret"),
                ok = file:change_mode(Secret, 8#660),
                {ok, #{status := 1}} =
                    alcove_proc:run(Drv, ["cat", Secret], #{namespaces => [newuser], uid_map => [{0, 100000, 10}],
                                                            gid_map => [{0, 100000, 10}]}),
                <<"0">> = sh(Drv, "id -G", #{namespaces => [newuser], uid_map => [{0, 100000, 10}],
                                             gid_map => [{0, 100000, 10}]})
        end
    end).

%% setgroups is denied before an ordinary user maps a group.
group_of_its_own(Config) ->
    with(Config, fun(Drv) ->
        Options = #{namespaces => [newuser], gid_map => [{7, alcove:getegid(Drv), 1}]},
        <<"0 7 deny">> = sh(Drv, "echo $(id -u) $(id -g) $(cat /proc/self/setgroups)", Options),
        <<"7">> = sh(Drv, "id -g", Options#{group => 7}),
        ?assertEqual({error, {setgroups, eperm}}, alcove_proc:run(Drv, ["true"], Options#{groups => [7]}))
    end).

%% ---------------------------------------------------------------------------
%% Another root directory
%% ---------------------------------------------------------------------------

%% Who is root inside, with all capabilities, doesn't find the host again.
root_for_good(Config) ->
    with_probe(Config, fun(Probe, Secret) ->
        {Root, Mounts} = system(Config),
        {ok, _} = file:copy(Probe, filename:join(Root, "probe")),
        ok = file:change_mode(filename:join(Root, "probe"), 8#755),
        with(Config, fun(Drv) ->
            Try = fun(Options) ->
                {ok, #{status := 0, stdout := Out}} =
                    alcove_proc:run(Drv, ["/probe", Secret, "host_by_path", "host_by_chroot", "chroot"],
                                    Options#{chroot => Root, capabilities => all}),
                [hd(string:split(Line, ":")) || Line <- string:lexemes(Out, "\n")]
            end,
            [<<"held host_by_path">>, <<"held host_by_chroot">>, <<"broke chroot">>, <<"done">>] =
                Try(#{namespaces => namespaces(Config, [newns]), setup => Mounts}),
            %% The probe does find it out of a chroot.
            New = [{unshare, [clone_newns]}, {mount, ["none", "/", "", [ms_rec, ms_slave], ""]}],
            [<<"held host_by_path">>, <<"broke host_by_chroot">>, <<"broke chroot">>, <<"done">>] =
                Try(#{namespaces => namespaces(Config, []), setup => New ++ Mounts})
        end)
    end).

old_root_is_gone(Config) ->
    {Root, Mounts} = system(Config),
    Options = #{chroot => Root, namespaces => namespaces(Config, [newns, newpid]), setup => Mounts, cwd => "/tmp"},
    with(Config, fun(Drv) ->
        %% The mounts that it sees are those of its root.
        <<"/\n/proc\n/usr">> = sh(Drv, "cut -d' ' -f5 /proc/thread-self/mountinfo | grep -E '^/(proc|usr)?$' | sort -u", Options),
        <<>> = sh(Drv, "cut -d' ' -f5 /proc/thread-self/mountinfo | grep -vE '^/$|^/(proc|usr)'; true", Options),
        <<"/tmp">> = sh(Drv, "pwd", Options),
        <<"new">> = sh(Drv, "echo new > /tmp/x; cat /tmp/x", Options)
    end),
    {ok, <<"new\n">>} = file:read_file(filename:join(Root, "tmp/x")).

strange_roots(Config) ->
    File = filename:join(alcove_test:tmp(Config), "file"),
    ok = file:write_file(File, "x"),
    {Root, Mounts} = system(Config),
    Link = filename:join(alcove_test:tmp(Config), "link"),
    ok = file:make_symlink(Root, Link),
    with(Config, fun(Drv) ->
        Options = #{namespaces => namespaces(Config, [newns])},
        Run = fun(Dir) -> alcove_proc:run(Drv, ["/bin/sh", "-c", "echo /*"], Options#{chroot => Dir, setup => Mounts}) end,
        ?assertEqual({error, {mount, enoent}}, Run("/no/such/place")),
        ?assertEqual({error, {mount, enotdir}}, Run(File)),
        {ok, #{stdout := <<"/bin /dev /etc /lib /lib64 /proc /tmp /usr\n">>}} = Run(Link),
        {ok, #{status := 0}} = Run("/")
    end).

with_probe(Config, Fun) ->
    case proplists:get_value(probe, Config) of
        {ok, Probe} ->
            Secret = filename:join(alcove_test:tmp(Config), "secret"),
            ok = file:write_file(Secret, "secret"),
            Fun(Probe, Secret);
        {false, Text} ->
            alcove_test:skip(Text)
    end.

%% ---------------------------------------------------------------------------
%% Streams
%% ---------------------------------------------------------------------------

%% Programs of other users open their streams by name.
streams(Config) ->
    with(Config, fun(Drv) ->
        Script = "cat /proc/self/fd/0; echo out > /dev/stdout; echo again > /proc/self/fd/1; echo err > /dev/stderr",
        Run = fun(Options) ->
            {ok, Result} = alcove_proc:run(Drv, ["/bin/sh", "-c", Script], Options#{stdin => "in\n"}),
            maps:with([status, stdout, stderr], Result)
        end,
        Map = [{0, 100000, 1000}],
        Mapped = #{namespaces => [newuser], uid_map => Map, gid_map => Map},
        [?assertEqual({Options, #{status => 0, stdout => <<"in\nout\nagain\n">>, stderr => <<"err\n">>}},
                      {Options, Run(Options)})
         || Options <- [#{user => "nobody"}, #{user => 12345, group => 54321}, Mapped,
                        Mapped#{user => 5, group => 6}, Mapped#{uid_map := [{7, 100000, 10}]},
                        #{user => "nobody", capabilities => [cap_kill]}]],
        {ok, #{status := 0, stdout := <<"out\r\n">>}} =
            alcove_proc:run(Drv, ["/bin/sh", "-c", "echo out > /dev/tty"], #{user => "nobody", pty => true})
    end).

%% ---------------------------------------------------------------------------
%% Privileges
%% ---------------------------------------------------------------------------

caps(Drv, Options) ->
    [binary_to_integer(Line, 16)
     || Line <- string:lexemes(sh(Drv, "sed -n 's/^Cap...:.//p' /proc/self/status", Options), "\n")].

%% What has a root directory and namespaces of its own has no privileges, nor what is another
%% user's; unless somebody asks for them.
no_privileges(Config) ->
    {Root, Mounts} = system(Config),
    with(Config, fun(Drv) ->
        Box = #{chroot => Root, namespaces => namespaces(Config, [newns]), setup => Mounts},
        None = [0, 0, 0, 0, 0],
        Kill = 1 bsl 5,
        ?assertEqual(None, caps(Drv, Box)),
        ?assertEqual(None, caps(Drv, Box#{capabilities => []})),
        ?assertEqual([Kill, Kill, Kill, Kill, Kill], caps(Drv, Box#{capabilities => [cap_kill]})),
        [_, All, All, All, _] = caps(Drv, Box#{capabilities => all}),
        ?assert(All band Kill =/= 0),
        %% A user namespace alone is there for what can be done in it.
        [_, Own, Own, _, _] = caps(Drv, #{namespaces => [newuser]}),
        ?assert(Own band Kill =/= 0),
        ?assertEqual(None, caps(Drv, #{namespaces => [newuser], capabilities => []}))
    end).

%% A virtual machine that has few capabilities, and whose programs have less: in a new user
%% namespace there is a whole set to be dropped.
reduced_bounding_set(Config) ->
    Held = fun(Bounding, Fun) -> of_few(Config, ["--bounding-set=" ++ Bounding], Fun) end,
    None = [0, 0, 0, 0, 0],
    Held("-sys_admin", fun(Drv) ->
        ?assertEqual(None, caps(Drv, #{capabilities => []})),
        ?assertEqual(None, caps(Drv, #{capabilities => [], namespaces => [newuser]})),
        Mount = "mount -t tmpfs none /mnt 2>/dev/null && echo mounted",
        {ok, #{stdout := <<>>}} =
            alcove_proc:run(Drv, ["sh", "-c", Mount], #{capabilities => [], namespaces => [newuser, newns]}),
        {ok, #{stdout := <<"mounted\n">>}} =
            alcove_proc:run(Drv, ["sh", "-c", Mount], #{namespaces => [newuser, newns]})
    end),
    %% Who can't drop the bounding set drops all else, and keeps it from coming back.
    Held("-setpcap", fun(Drv) ->
        [Inheritable, Permitted, Effective, _, Ambient] = caps(Drv, #{capabilities => []}),
        ?assertEqual([0, 0, 0, 0], [Inheritable, Permitted, Effective, Ambient]),
        <<"1">> = sh(Drv, "sed -n 's/^NoNewPrivs:.//p' /proc/self/status", #{capabilities => []}),
        ?assertEqual({error, {capabilities, eperm}},
                     alcove_proc:run(Drv, ["true"], #{capabilities => [cap_kill]}))
    end).

%% What an ordinary user inherits isn't for the users that its programs become.
inherited_privileges(Config) ->
    Ambient = ["--reuid=nobody", "--clear-groups", "--inh-caps=+setuid,+setgid,+kill",
               "--ambient-caps=+setuid,+setgid,+kill"],
    of_few(Config, Ambient, fun(Drv) ->
        [_, Permitted, Permitted, _, Permitted] = caps(Drv, #{}),
        ?assert(Permitted =/= 0),
        [0, 0, 0, _, 0] = caps(Drv, #{user => 12345, group => 12345})
    end).

%% Evaluates the fun with a Drv of a virtual machine that setpriv(1) started like this.
of_few(Config, Args, Fun) ->
    Peer = alcove_test:setpriv_peer(alcove_test:install(alcove_test:tmp(Config)), Args),
    try alcove_test:in_peer(Peer, fun() -> driven(Fun) end, alcove_test:ms(60000)) after alcove_test:stop_peer(Peer) end.
