%% @doc Bundles of the Open Container Initiative: that a program finds in a sandbox what it finds
%% where runc starts it, and each difference by name; that what isn't done is told.
-module(alcove_oci_SUITE).

-include_lib("kernel/include/file.hrl").

-export([suite/0, all/0, groups/0, init_per_suite/1, end_per_suite/1,
         init_per_group/2, end_per_group/2, init_per_testcase/2, end_per_testcase/2]).
-export([as_runc/1, as_runc_rootless/1, default_config/1, rootless_config/1, terminal/1, mounts/1, files_below_dev/1, process/1,
         hidden_paths/1, hidden_in_the_hosts_proc/1, hidden_behind_links/1, hostile_root/1, filter/1, limits_hold/1, mapped/1, writable/1]).
-export([spec_of_a_config/1, bad_process/1, bad_root/1, bad_mounts/1, bad_linux/1, bad_seccomp/1, bad_whole/1,
         policy_of_a_config/1, most_restrictive/1, no_atoms/1, ignored/1, atom_keys/1, files/1, bad_arguments/1,
         every_prefix/1, documented/1]).
-export([upper_halves/1, killed_by_default/1, least_quota/1, unknown_members/1, ignored_in_part/1, names_for_keys/1]).

suite() ->
    alcove_test:suite() ++ [{timetrap, alcove_test:ms(180000)}].

all() ->
    [{group, reading}, {group, root}, {group, rootless}, as_runc, as_runc_rootless].

groups() ->
    Both = [default_config, rootless_config, terminal, mounts, files_below_dev, process, hidden_paths, hidden_in_the_hosts_proc, hidden_behind_links,
            hostile_root, filter, upper_halves, killed_by_default, limits_hold, least_quota, writable],
    [{reading, [parallel], [spec_of_a_config, bad_process, bad_root, bad_mounts, bad_linux, bad_seccomp, bad_whole,
                            policy_of_a_config, most_restrictive, ignored, atom_keys, files, bad_arguments,
                            every_prefix, documented, unknown_members, ignored_in_part, names_for_keys]},
     {root, [], [no_atoms, mapped | Both]}, {rootless, [], Both}].

init_per_suite(Config) ->
    alcove_test:init_suite(Config).

end_per_suite(_Config) ->
    ok.

init_per_group(reading, Config) ->
    Config;
init_per_group(Group, Config) ->
    Needs = case Group of root -> [root, busybox]; rootless -> [ordinary, userns, busybox] end,
    case [Text || What <- Needs, {false, Text} <- [alcove_test:can(What)]] of
        [] -> [{as, Group} | Config];
        [Text | _] -> alcove_test:skip(Text)
    end.

end_per_group(_Group, _Config) ->
    ok.

init_per_testcase(Case, Config) ->
    case lists:member(Case, all_of(reading)) of
        true ->
            Config;
        false ->
            {ok, _} = application:ensure_all_started(alcove),
            alcove_test:init_case(Config)
    end.

end_per_testcase(Case, Config) ->
    case lists:member(Case, all_of(reading)) of
        true -> ok;
        false -> alcove_test:end_case(Config)
    end.

all_of(Group) ->
    {Group, _, Cases} = lists:keyfind(Group, 1, groups()),
    Cases.

%% Evaluates the fun with a Drv, as root or in a virtual machine of an ordinary user.
with(Config, Fun) ->
    Do = fun() ->
                 {ok, Drv} = alcove_drv:start(),
                 try Fun(Drv) after alcove_drv:stop(Drv) end
         end,
    case proplists:get_value(as, Config, root) of
        root -> Do();
        rootless -> alcove_test:in_peer(alcove_test:user_peer(Config), Do, alcove_test:ms(60000))
    end.

%% ---------------------------------------------------------------------------
%% Bundles
%% ---------------------------------------------------------------------------

%% A bundle with busybox in its root directory, and the program that tells what it sees.
bundle(Config) ->
    Bundle = filename:join(alcove_test:tmp(Config), "bundle"),
    Root = filename:join(Bundle, "rootfs"),
    [directory(Dir) || Dir <- [Bundle, Root | [filename:join(Root, Name) || Name <- ["bin", "proc", "sys", "dev", "tmp"]]]],
    To = filename:join(Root, "bin/busybox"),
    {ok, _} = file:copy(alcove_test:busybox(), To),
    {ok, _} = file:copy(filename:join(data(), "view"), filename:join(Root, "view")),
    [ok = file:change_mode(filename:join(Root, Name), 8#755) || Name <- ["bin/busybox", "view"]],
    ok = file:make_symlink("busybox", filename:join(Root, "bin/sh")),
    Bundle.

directory(Dir) ->
    ok = file:make_dir(Dir),
    ok = file:change_mode(Dir, 8#755).

data() ->
    filename:join([alcove_test:top(), "test", "alcove_oci_SUITE_data"]).

%% What runc writes, for a program without a terminal.
runc(Name) ->
    {ok, Bytes} = file:read_file(filename:join(data(), Name)),
    #{<<"process">> := Process} = Config = json(Bytes),
    Config#{<<"process">> := Process#{<<"terminal">> := false, <<"args">> := [<<"sh">>, <<"/view">>]}}.

runc() -> runc("runc.json").

script(Config, Script) ->
    set([<<"process">>, <<"args">>], [<<"sh">>, <<"-c">>, iolist_to_binary(Script)], Config).

%% A member at a path of a configuration; numbers are of arrays, from 0 on.
set([], Value, _Config) -> Value;
set([N | Path], Value, Array) when is_integer(N) ->
    {Before, [Old | After]} = lists:split(N, Array),
    Before ++ [set(Path, Value, Old) | After];
set([Key | Path], Value, Config) -> Config#{Key => set(Path, Value, maps:get(Key, Config, #{}))}.

drop([Key], Config) -> maps:remove(Key, Config);
drop([Key | Path], Config) -> Config#{Key := drop(Path, maps:get(Key, Config))}.

more_mounts(Mounts, Config) ->
    Config#{<<"mounts">> := maps:get(<<"mounts">>, Config) ++ Mounts}.

mount(Target, Type, Source, Options) ->
    #{<<"destination">> => bin(Target), <<"type">> => bin(Type), <<"source">> => bin(Source),
      <<"options">> => [bin(Option) || Option <- Options]}.

bin(Text) -> iolist_to_binary(Text).

sandboxed(Drv, Bundle, Oci) ->
    {ok, #{argv := Argv, spec := Spec, ignored := []}} = alcove_sandbox:from_oci({Bundle, Oci}),
    alcove_sandbox:run(Drv, Argv, Spec).

sh(Drv, Bundle, Oci, Script) ->
    {ok, #{status := 0, stdout := Text, stderr := <<>>}} = sandboxed(Drv, Bundle, script(Oci, Script)),
    string:trim(Text).

%% ---------------------------------------------------------------------------
%% Beside runc
%% ---------------------------------------------------------------------------

as_runc(Config) ->
    compared(Config, "runc.json").

as_runc_rootless(Config) ->
    compared(Config, "runc-rootless.json").

%% What may be another inside, and why; all else is the same.
different() ->
    [{"mount /dev", "nothing is added to /dev"},
     {"mount /dev/(null|zero|full|random|urandom|tty)", "the host's own devices are bound, none are made"},
     {"mount /proc/(interrupts|keys|timer_list|latency_stats|sched_debug|kcore)",
      "the host's null, not one of the sandbox's own; interrupts are hidden as well"},
     {"mount /sys/devices/virtual/powercap", "later versions of runc hide it, too"},
     {"mount /sys/fs/cgroup(/.*)?", "control groups aren't shown"},
     {"cgroups", "control groups aren't shown"},
     {"limit Max (cpu time|file size)", "limits of every sandbox"},
     {"limit Max core file size", "no core files, for good"},
     {"limit Max processes", "where there is no control group for it"},
     {"limit Max address space", "where there is no control group for it"},
     {"status Cap(Prm|Eff|Bnd|Amb)", "no capabilities, not even in the user namespace"},
     {"status Seccomp", "a filter also where none is asked for"},
     {"oom_score_adj", "the first that the kernel ends"},
     {"owner", "who owns the files of the host isn't in the user namespace"},
     {"file /dev/x", "nothing is added to /dev"}].

compared(Config, Name) ->
    alcove_test:need([root, busybox, {program, "runc"}], fun() ->
        Bundle = bundle(Config),
        Oci = runc(Name),
        ok = file:write_file(filename:join(Bundle, "config.json"), encoded(Oci)),
        with(Config, fun(Drv) ->
            Id = lists:concat(["alcove-", os:getpid(), "-", erlang:unique_integer([positive])]),
            case alcove_proc:run(Drv, ["runc", "run", "--bundle", Bundle, Id], #{timeout => 60000}) of
                {ok, #{status := 0, stdout := Theirs}} ->
                    {ok, #{status := 0, stdout := Ours}} = sandboxed(Drv, Bundle, Oci),
                    ct:pal("runc~n~ts~nalcove~n~ts", [Theirs, Ours]),
                    compare(rows(Theirs), rows(Ours));
                {ok, #{stderr := Why}} ->
                    alcove_test:skip(unicode:characters_to_list(["runc doesn't run here: ", Why]))
            end
        end)
    end).

compare(Theirs, Ours) ->
    Names = lists:usort(maps:keys(Theirs) ++ maps:keys(Ours)),
    Differ = [Row || Row <- Names, shown(Row, maps:get(Row, Theirs, none)) =/= shown(Row, maps:get(Row, Ours, none))],
    [] = [{Row, maps:get(Row, Theirs, none), maps:get(Row, Ours, none)}
          || Row <- Differ, not lists:any(fun({May, _Why}) -> matches(Row, May) end, different())],
    %% Some do: the comparison sees what it is to see.
    [] = [<<"status CapEff">>, <<"status Seccomp">>, <<"oom_score_adj">>] -- Differ,
    %% Not one mount is less restricted.
    [] = [{Row, Options, maps:get(Row, Ours)}
          || {<<"mount ", Target/binary>> = Row, [_, Options]} <- maps:to_list(Theirs),
             string:prefix(Target, "/sys/fs/cgroup/") =:= nomatch,
             #{Row := [_, Own]} <- [Ours],
             string:lexemes(Options, ",") -- [<<"rw">> | string:lexemes(Own, ",")] =/= []],
    %% Nor writable but for it.
    [] = [Row || {<<"file ", _/binary>> = Row, <<"writes">>} <- maps:to_list(Ours),
                 maps:get(Row, Theirs) =:= <<"refuses">>],
    ok.

matches(Row, May) -> re:run(Row, ["^", May, "$"], [{capture, none}]) =:= match.

%% Of a mount the type, and whether it is read-only.
shown(<<"mount ", _/binary>>, [Type, Options]) -> {Type, hd(string:lexemes(Options, ","))};
shown(_Row, Value) -> Value.

rows(Text) ->
    lists:foldl(fun(Line, Rows) ->
                        {Name, Value} = row(Line),
                        %% The last mount at a place is the one that is seen.
                        Rows#{Name => Value}
                end, #{}, string:lexemes(Text, "\n")).

row(<<"mount ", Rest/binary>>) ->
    [Target, Type, Options] = string:lexemes(Rest, " "),
    {<<"mount ", Target/binary>>, [Type, Options]};
row(<<"limit ", Rest/binary>>) ->
    [Name, Values] = string:split(Rest, "|"),
    {<<"limit ", Name/binary>>, Values};
row(<<"env ", Rest/binary>>) ->
    [Name, Value] = string:split(Rest, "="),
    {<<"env ", Name/binary>>, Value};
row(<<"status ", Rest/binary>>) ->
    [Name, Value] = string:split(Rest, ": "),
    {<<"status ", Name/binary>>, Value};
row(<<"file ", Rest/binary>>) ->
    [How, Path] = string:lexemes(Rest, " "),
    {<<"file ", Path/binary>>, How};
row(Line) ->
    case string:split(Line, " ") of
        [Name, Value] -> {Name, Value};
        [Name] -> {Name, <<>>}
    end.

%% ---------------------------------------------------------------------------
%% Inside
%% ---------------------------------------------------------------------------

default_config(Config) ->
    Bundle = bundle(Config),
    Oci = runc(),
    with(Config, fun(Drv) ->
        {ok, #{argv := [<<"sh">>, <<"/view">>] = Argv, spec := Spec, stricter := Stricter, ignored := []}} =
            alcove_sandbox:from_oci({Bundle, Oci}),
        {ok, #{status := 0, stdout := Text, stderr := <<>>}} = alcove_sandbox:run(Drv, Argv, Spec),
        #{<<"id">> := <<"0 0 0">>, <<"cwd">> := <<"/">>, <<"umask">> := <<"0022">>, <<"hostname">> := <<"runc">>,
          <<"env TERM">> := <<"xterm">>, <<"env HOME">> := <<"/">>, <<"net">> := <<"lo">>,
          <<"limit Max open files">> := <<"1024|1024|files">>, <<"status NoNewPrivs">> := <<"1">>,
          <<"status Seccomp">> := <<"2">>, <<"status CapEff">> := <<"0000000000000000">>,
          <<"mount /sys">> := [<<"sysfs">>, <<"ro,", _/binary>>], <<"cgroups">> := <<>>, <<"firmware">> := <<>>,
          <<"file /x">> := <<"refuses">>, <<"file /sys/x">> := <<"refuses">>, <<"file /dev/x">> := <<"refuses">>,
          <<"file /proc/sys/kernel/x">> := <<"refuses">>, <<"file /dev/shm/x">> := <<"writes">>,
          <<"file /dev/mqueue/x">> := <<"writes">>} = Rows = rows(Text),
        [<<"env HOME">>, <<"env PATH">>, <<"env TERM">>] = [Name || <<"env ", _/binary>> = Name <- lists:sort(maps:keys(Rows))],
        [{<<"linux.namespaces">>, <<"namespaces of its own also of user, cgroup">>},
         {<<"mounts[1]">>, <<"read-only, and with nothing but devices">>},
         {<<"mounts[6]">>, <<"empty">>},
         {<<"process.capabilities">>, <<"it has no capabilities">>}] = Stricter
    end).

rootless_config(Config) ->
    Bundle = bundle(Config),
    Written = runc("runc-rootless.json"),
    with(Config, fun(Drv) ->
        Map = fun(Id) -> [#{<<"containerID">> => 0, <<"hostID">> => Id, <<"size">> => 1}] end,
        Oci = set([<<"linux">>, <<"uidMappings">>], Map(alcove:geteuid(Drv, [])),
                  set([<<"linux">>, <<"gidMappings">>], Map(alcove:getegid(Drv, [])), Written)),
        {ok, #{status := 0, stdout := Text}} = sandboxed(Drv, Bundle, Oci),
        #{<<"id">> := <<"0 0 0">>, <<"hostname">> := <<"runc">>, <<"cgroups">> := <<>>, <<"firmware">> := <<>>,
          <<"file /sys/x">> := <<"refuses">>, <<"mount /sys">> := [<<"sysfs">>, <<"ro,", _/binary>>]} = rows(Text),
        %% The configuration has no network namespace.
        {ok, Here} = file:read_file("/proc/net/dev"),
        [_ | Interfaces] = [Name || Line <- string:lexemes(Here, "\n"), [Name, _] <- [string:split(string:trim(Line), ":")]],
        true = lists:member(lists:last(Interfaces), string:lexemes(maps:get(<<"net">>, rows(Text)), " "))
    end).

terminal(Config) ->
    Bundle = bundle(Config),
    Plain = runc(),
    with(Config, fun(Drv) ->
        Script = "test -t 0 && /bin/busybox stty size",
        Oci = set([<<"process">>, <<"terminal">>], true, script(Plain, Script)),
        {ok, #{status := 0, stdout := <<"24 80\r\n">>}} = sandboxed(Drv, Bundle, Oci),
        Size = #{<<"height">> => 30, <<"width">> => 100},
        {ok, #{status := 0, stdout := <<"30 100\r\n">>}} =
            sandboxed(Drv, Bundle, set([<<"process">>, <<"consoleSize">>], Size, Oci))
    end).

process(Config) ->
    Bundle = bundle(Config),
    Plain = runc(),
    Set = fun(Pairs) -> lists:foldl(fun({Path, Value}, Oci) -> set([<<"process">> | Path], Value, Oci) end, Plain, Pairs) end,
    with(Config, fun(Drv) ->
        Oci = Set([{[<<"cwd">>], <<"/tmp">>}, {[<<"env">>], [<<"A=1">>, <<"B=x=y">>, <<"A=2">>, <<"E=">>]},
                   {[<<"user">>], #{<<"uid">> => 7, <<"gid">> => 8, <<"umask">> => 8#077, <<"additionalGids">> => [8]}},
                   {[<<"rlimits">>], [#{<<"type">> => <<"RLIMIT_NOFILE">>, <<"soft">> => 100, <<"hard">> => 300},
                                      #{<<"type">> => <<"RLIMIT_CPU">>, <<"soft">> => 100, <<"hard">> => 200},
                                      #{<<"type">> => <<"RLIMIT_STACK">>, <<"soft">> => 1048576,
                                        <<"hard">> => 16#ffffffffffffffff}]},
                   {[<<"oomScoreAdj">>], 900}]),
        <<"/tmp 2 x=y - 7 8 8 0077 100 300 100 200 1024 900">> =
            sh(Drv, Bundle, Oci, "bb=/bin/busybox; echo $($bb pwd) $A $B ${E}- $($bb id -u) $($bb id -g) $($bb id -G) $(umask) "
               "$(ulimit -Sn) $(ulimit -Hn) $(ulimit -St) $(ulimit -Ht) $(ulimit -Ss) $($bb cat /proc/self/oom_score_adj)"),
        %% The program is looked for in the path of the configuration.
        Which = fun(Path) -> set([<<"process">>, <<"args">>], [<<"busybox">>, <<"true">>], Set([{[<<"env">>], [Path]}])) end,
        {ok, #{status := 0}} = sandboxed(Drv, Bundle, Which(<<"PATH=/bin">>)),
        {error, {execvp, enoent}} = sandboxed(Drv, Bundle, Which(<<"PATH=/none">>)),
        {error, {chdir, enoent}} = sandboxed(Drv, Bundle, Set([{[<<"cwd">>], <<"/none">>}]))
    end).

mounts(Config) ->
    Bundle = bundle(Config),
    [directory(filename:join([Bundle, "rootfs", Name])) || Name <- ["ro", "rw", "mem", "own", "fixed"]],
    Data = filename:join(Bundle, "data"),
    ok = directory(Data),
    ok = file:change_mode(Data, 8#777),
    ok = file:write_file(filename:join(Data, "file"), "host"),
    ok = file:write_file(filename:join(Data, "program"), "#!/bin/sh\necho ran"),
    ok = file:change_mode(filename:join(Data, "program"), 8#755),
    Oci = more_mounts([mount("/ro", "bind", Data, ["rbind", "ro", "noexec"]),
                       %% Of the bundle.
                       mount("/rw", "none", "data", ["bind", "rw", "nosuid", "rprivate"]),
                       mount("/mem", "tmpfs", "tmpfs", ["size=64k", "mode=1777", "noexec"]),
                       mount("/own", "tmpfs", "tmpfs", ["size=1m", "mode=0750"]),
                       mount("/fixed", "tmpfs", "tmpfs", ["ro"])],
                      set([<<"mounts">>, 0, <<"options">>], [<<"ro">>, <<"nosuid">>], runc())),
    with(Config, fun(Drv) ->
        Run = fun(Script) -> sh(Drv, Bundle, Oci, ["bb=/bin/busybox; ", Script]) end,
        <<"host ran">> = Run("echo $($bb cat /ro/file) $(/rw/program)"),
        <<"126">> = Run("/ro/program 2>/dev/null; echo $?"),
        <<>> = Run("echo new > /rw/new"),
        <<"1777 750 0:0">> = Run("echo $($bb stat -c %a /mem) $($bb stat -c %a /own) $($bb stat -c %u:%g /own)"),
        <<"65536">> = Run("$bb dd if=/dev/zero of=/mem/x bs=1k count=100 2>/dev/null; $bb stat -c %s /mem/x"),
        [<<"refused">> = Run(["(echo x > ", Path, ") 2>/dev/null || echo refused"])
         || Path <- ["/ro/x", "/fixed/x", "/proc/self/oom_score_adj"]],
        %% Memory that isn't the program's: it is another user.
        Other = set([<<"process">>, <<"user">>, <<"uid">>], 5, set([<<"process">>, <<"user">>, <<"gid">>], 5, Oci)),
        Owner = fun(Options) ->
                        More = more_mounts([mount("/tmp", "tmpfs", "tmpfs", Options)], Other),
                        sh(Drv, Bundle, More, "/bin/busybox stat -c %u /tmp")
                end,
        <<"5">> = Owner(["uid=5", "gid=5"]),
        case proplists:get_value(as, Config) of
            root -> <<"65534">> = Owner([]);
            %% There is nobody else whose it could be.
            rootless -> <<"5">> = Owner([])
        end,
        {error, {sandbox, {_, enoent}}} =
            sandboxed(Drv, Bundle, more_mounts([mount("/ro", "bind", "/no/such/place", ["rbind"])], Oci)),
        %% There is nothing to mount upon.
        {error, {sandbox, {<<"/none">>, erofs}}} =
            sandboxed(Drv, Bundle, more_mounts([mount("/none", "tmpfs", "tmpfs", [])], Oci))
    end),
    {ok, <<"new\n">>} = file:read_file(filename:join(Data, "new")).

%% As every container of Kubernetes has one, and what runc makes of it where it is installed.
files_below_dev(Config) ->
    Bundle = bundle(Config),
    Log = filename:join(Bundle, "log"),
    ok = directory(filename:join(Bundle, "dir")),
    [begin ok = file:write_file(Path, "log\n"), ok = file:change_mode(Path, 8#666) end
     || Path <- [Log, filename:join([Bundle, "dir", "file"])]],
    Binds = [mount("/dev/termination-log", "bind", "log", ["rbind", "rprivate", "rw"]),
             mount("/dev/sub/deep/log", "bind", "log", ["rbind", "rprivate", "ro"]),
             mount("/dev/dir", "bind", "dir", ["bind", "ro"]),
             mount("/dev/null", "bind", "/dev/null", ["bind", "rprivate", "nosuid", "noexec", "rw"]),
             mount("/dev/memory", "tmpfs", "tmpfs", ["size=64k"])],
    Script = "cd /dev; echo new >> termination-log; b=/bin/busybox; $b cat termination-log sub/deep/log dir/file; "
        "echo x > null; echo x > memory/x; $b stat -c '%n %F' termination-log sub/deep/log sub dir null; "
        "(echo x > sub/deep/log) 2>&- || echo ro; (echo x > dir/new) 2>&- || echo ro",
    Told = <<"log\nnew\nlog\nnew\nlog\n"
             "termination-log regular file\nsub/deep/log regular file\nsub directory\ndir directory\n"
             "null character special file\nro\nro\n">>,
    Clear = fun() -> file:write_file(Log, "log\n") end,
    Plain = runc(),
    with(Config, fun(Drv) ->
        [begin
             ok = Clear(),
             {ok, #{status := 0, stdout := Told, stderr := <<>>}} =
                 sandboxed(Drv, Bundle, script(Oci, ["set -e; ", Script, "; (echo x > /dev/new) 2>&- || true"])),
             {ok, #{status := 1}} = sandboxed(Drv, Bundle, script(Oci, "echo x > /dev/new || exit 1"))
         end || Oci <- [more_mounts(Binds, Plain), more_mounts(lists:reverse(Binds), Plain)]],
        %% Another device is there, but can't be opened.
        Device = more_mounts([mount("/dev/kmsg", "bind", "/dev/kmsg", ["bind"])], Plain),
        <<"no">> = sh(Drv, Bundle, Device, "[ -c /dev/kmsg ]; (: < /dev/kmsg) 2>&- || echo no")
    end),
    {ok, <<"log\nnew\n">>} = file:read_file(Log),
    case {proplists:get_value(as, Config), os:find_executable("runc")} of
        {root, Runc} when is_list(Runc) ->
            ok = Clear(),
            Oci = set([<<"root">>, <<"readonly">>], true, script(more_mounts(Binds, Plain), Script)),
            ok = file:write_file(filename:join(Bundle, "config.json"), encoded(Oci)),
            with(Config, fun(Drv) ->
                Id = lists:concat(["alcove-", os:getpid(), "-", erlang:unique_integer([positive])]),
                case alcove_proc:run(Drv, [Runc, "run", "--bundle", Bundle, Id], #{timeout => 60000}) of
                    {ok, #{status := 0, stdout := Theirs}} -> Told = Theirs;
                    {ok, #{stderr := Why}} -> ct:pal("runc doesn't run here: ~ts", [Why])
                end
            end);
        _ ->
            ok
    end.

hidden_paths(Config) ->
    Bundle = bundle(Config),
    [directory(filename:join([Bundle, "rootfs", Name])) || Name <- ["data", "secrets"]],
    [ok = file:write_file(filename:join([Bundle, "rootfs", Name]), "secret") || Name <- ["key", "secrets/key"]],
    ok = directory(filename:join(Bundle, "data")),
    [begin
         Path = filename:join([Bundle, "data", Name]),
         ok = file:write_file(Path, "data"),
         ok = file:change_mode(Path, 8#666)
     end || Name <- ["fixed", "free"]],
    Paths = fun(Key, More, Oci) -> set([<<"linux">>, Key], maps:get(Key, maps:get(<<"linux">>, Oci)) ++ More, Oci) end,
    Oci = Paths(<<"maskedPaths">>, [<<"/key">>, <<"/secrets">>, <<"/proc/version">>, <<"/none">>, <<"/data/none">>],
                Paths(<<"readonlyPaths">>, [<<"/data/fixed">>, <<"/none">>],
                      more_mounts([mount("/data", "bind", "data", ["rbind", "rw"])], runc()))),
    with(Config, fun(Drv) ->
        <<"end">> = sh(Drv, Bundle, Oci, "/bin/busybox cat /key /secrets/* /proc/version 2>/dev/null; echo end"),
        <<"refused">> = sh(Drv, Bundle, Oci, "echo x > /data/free; (echo x > /data/fixed) 2>/dev/null || echo refused")
    end),
    {ok, <<"data">>} = file:read_file(filename:join([Bundle, "data", "fixed"])),
    {ok, <<"x\n">>} = file:read_file(filename:join([Bundle, "data", "free"])).

%% A proc that isn't the sandbox's own hides nothing by itself.
hidden_in_the_hosts_proc(Config) ->
    Bundle = bundle(Config),
    #{<<"mounts">> := Mounts} = Runc = runc(),
    Others = [Mount || #{<<"type">> := Type} = Mount <- Mounts, Type =/= <<"proc">>],
    Names = [<<"acpi">>, <<"interrupts">>, <<"keys">>, <<"scsi">>, <<"timer_list">>],
    Oci = set([<<"linux">>, <<"maskedPaths">>], [<<"/proc/", Name/binary>> || Name <- Names],
              Runc#{<<"mounts">> := [mount("/proc", "bind", "/proc", ["rbind", "rw"]) | Others]}),
    with(Config, fun(Drv) ->
        Script = "for f in keys interrupts timer_list; do /bin/busybox cat /proc/$f 2>&-; done; /bin/busybox ls -A /proc/acpi 2>&-; "
            "/bin/busybox ls -A /proc/scsi 2>&-; /bin/busybox grep -c ' /proc/sys proc ro' /proc/mounts",
        <<"1">> = sh(Drv, Bundle, Oci, Script)
    end).

%% As images have it: /var/run is a link, and the secrets are mounted there.
hidden_behind_links(Config) ->
    Bundle = bundle(Config),
    [directory(filename:join([Bundle, "rootfs", Name])) || Name <- ["run", "run/secrets", "var"]],
    ok = directory(filename:join(Bundle, "secrets")),
    ok = file:write_file(filename:join([Bundle, "secrets", "token"]), "token"),
    Secrets = more_mounts([mount("/var/run/secrets", "bind", "secrets", ["rbind", "ro"])], runc()),
    Masked = set([<<"linux">>, <<"maskedPaths">>], [<<"/run/secrets/token">>], Secrets),
    Script = "/bin/busybox cat /var/run/secrets/token 2>&-; echo end",
    [begin
         Path = filename:join([Bundle, "rootfs", "var/run"]),
         ok = file:make_symlink(Link, Path),
         with(Config, fun(Drv) ->
             <<"tokenend">> = sh(Drv, Bundle, Secrets, Script),
             <<"end">> = sh(Drv, Bundle, Masked, Script)
         end),
         ok = file:delete(Path)
     end || Link <- ["/run", "../run"]].

%% A read-only image whose mount points are links to the host.
hostile_root(Config) ->
    Bundle = bundle(Config),
    Host = filename:join(Bundle, "host"),
    ok = directory(Host),
    Root = filename:join(Bundle, "rootfs"),
    Text = lists:concat(["proc/self/fd/3/../", os:getpid(), "/root", Host]),
    ok = filelib:ensure_dir(filename:join([Root | string:lexemes(Text, "/")]) ++ "/"),
    ok = file:make_symlink(Text, filename:join(Root, "x")),
    Runc = runc(),
    with(Config, fun(Drv) ->
        [begin
             {error, {sandbox, {Path, eloop}}} = sandboxed(Drv, Bundle, more_mounts([mount(Path, Type, Source, Options)], Runc)),
             {ok, []} = file:list_dir(Host)
         end || {Path, Type, Source, Options} <- [{<<"/x/tmpfs">>, "tmpfs", "tmpfs", []}, {<<"/x/file">>, "bind", "/etc/passwd", ["ro"]},
                                                  {<<"/x/dir">>, "bind", "/usr", ["rbind", "ro"]}]]
    end),
    ok = file:del_dir_r(filename:join(Root, "proc")).

filter(Config) ->
    Bundle = bundle(Config),
    Rule = fun(Names, Action, More) -> More#{<<"names">> => Names, <<"action">> => Action} end,
    Seccomp = #{<<"defaultAction">> => <<"SCMP_ACT_ALLOW">>,
                <<"architectures">> => [<<"SCMP_ARCH_X86_64">>, <<"SCMP_ARCH_X86">>, <<"SCMP_ARCH_AARCH64">>],
                <<"syscalls">> => [Rule([<<"mkdir">>, <<"mkdirat">>], <<"SCMP_ACT_ERRNO">>, #{<<"errnoRet">> => 28}),
                                   %% kill(pid, 0) is refused, other signals aren't.
                                   Rule([<<"kill">>], <<"SCMP_ACT_ERRNO">>,
                                        #{<<"args">> => [#{<<"index">> => 1, <<"value">> => 0, <<"op">> => <<"SCMP_CMP_EQ">>}]})]},
    Plain = runc(),
    Oci = set([<<"linux">>, <<"seccomp">>], Seccomp, Plain),
    with(Config, fun(Drv) ->
        <<"No space left on device">> =
            sh(Drv, Bundle, Oci, "/bin/busybox mkdir /dev/shm/x 2>&1 | /bin/busybox sed 's/.*: //'"),
        <<"refused 143">> =
            sh(Drv, Bundle, Oci, "kill -0 $$ 2>/dev/null || r=refused; sh -c 'kill -TERM $$' 2>/dev/null; echo $r $?"),
        {ok, #{sandbox := #{seccomp := policy}}} = sandboxed(Drv, Bundle, script(Oci, "true")),
        {ok, #{sandbox := #{seccomp := default}}} = sandboxed(Drv, Bundle, script(Plain, "true"))
    end).

limits_hold(Config) ->
    Bundle = bundle(Config),
    Resources = #{<<"memory">> => #{<<"limit">> => 100 bsl 20, <<"swap">> => -1}, <<"pids">> => #{<<"limit">> => 5},
                  <<"devices">> => [#{<<"allow">> => false, <<"access">> => <<"rwm">>}]},
    Plain = runc(),
    Oci = set([<<"linux">>, <<"resources">>], Resources, script(Plain, "true")),
    with(Config, fun(Drv) ->
        {ok, #{sandbox := #{memory := {_, 104857600}, pids := {_, 5}, open_files := {rlimit, 1024},
                            wall_time := {timer, 60000}}}} = sandboxed(Drv, Bundle, Oci),
        Cpu = set([<<"linux">>, <<"resources">>, <<"cpu">>], #{<<"quota">> => 50000, <<"period">> => 100000}, Oci),
        case alcove_sandbox:explain(Drv, #{}) of
            {ok, #{lacking := #{cpu := _}}} ->
                %% It was asked for.
                {error, {sandbox, {cpu, no_control_group}}} = sandboxed(Drv, Bundle, Cpu);
            {ok, _} ->
                {ok, #{sandbox := #{cpu := {cgroup, 0.5}}}} = sandboxed(Drv, Bundle, Cpu)
        end,
        Sysctl = set([<<"linux">>, <<"sysctl">>], #{<<"net.ipv4.ip_unprivileged_port_start">> => <<"80">>}, Plain),
        <<"80">> = sh(Drv, Bundle, Sysctl, "/bin/busybox cat /proc/sys/net/ipv4/ip_unprivileged_port_start"),
        Name = Oci#{<<"domainname">> => <<"example">>},
        <<"example">> = sh(Drv, Bundle, Name, "/bin/busybox cat /proc/sys/kernel/domainname")
    end).

%% Who it is to the host.
mapped(Config) ->
    Bundle = bundle(Config),
    ok = directory(filename:join(Bundle, "rootfs/data")),
    Data = filename:join(Bundle, "data"),
    ok = directory(Data),
    ok = file:change_mode(Data, 8#777),
    Map = [#{<<"containerID">> => 0, <<"hostID">> => 300000, <<"size">> => 65536}],
    with(Config, fun(Drv) ->
        Oci = more_mounts([mount("/data", "bind", Data, ["rbind"])],
                          lists:foldl(fun({Path, Value}, Now) -> set(Path, Value, Now) end, runc("runc-rootless.json"),
                                      [{[<<"linux">>, <<"uidMappings">>], Map}, {[<<"linux">>, <<"gidMappings">>], Map},
                                       {[<<"process">>, <<"user">>], #{<<"uid">> => 5, <<"gid">> => 6}}])),
        <<"5 6">> = sh(Drv, Bundle, Oci, "echo x > /data/file; /bin/busybox stat -c '%u %g' /data/file")
    end),
    {ok, #file_info{uid = 300005, gid = 300006}} = file:read_file_info(filename:join(Data, "file")).

writable(Config) ->
    Bundle = bundle(Config),
    ok = file:change_mode(filename:join(Bundle, "rootfs"), 8#777),
    Oci = set([<<"root">>, <<"readonly">>], false, runc()),
    with(Config, fun(Drv) ->
        <<"x">> = sh(Drv, Bundle, Oci, "echo x > /x; /bin/busybox cat /x"),
        %% As the user wants it: nothing is left of what is written.
        {ok, #{argv := Argv, spec := #{root := {rw, Root}} = Spec}} =
            alcove_sandbox:from_oci({Bundle, script(Oci, "echo y > /y && /bin/busybox cat /y")}),
        {ok, #{status := 0, stdout := <<"y\n">>}} = alcove_sandbox:run(Drv, Argv, Spec#{root := {overlay, Root}})
    end),
    {ok, <<"x\n">>} = file:read_file(filename:join([Bundle, "rootfs", "x"])),
    {error, enoent} = file:read_file(filename:join([Bundle, "rootfs", "y"])).

%% ---------------------------------------------------------------------------
%% Reading
%% ---------------------------------------------------------------------------

read(Oci) -> alcove_sandbox:from_oci({"/b", Oci}).

%% The spec as it is documented.
spec_of_a_config(_Config) ->
    {ok, #{argv := [<<"sh">>, <<"/view">>], ignored := [],
           spec := #{root := {ro, <<"/b/rootfs">>}, hostname := <<"runc">>, user := {0, 0}, cwd := <<"/">>,
                     mounts := Mounts, env := Env, limits := #{open_files := 1024}, home := <<"/">>,
                     rlimits := #{nofile := {1024, 1024}}} = Spec}} = read(runc()),
    [{proc, <<"/proc">>}, {dev, <<"/dev">>, []}, {mqueue, <<"/dev/mqueue">>}, {sysfs, <<"/sys">>},
     {empty, <<"/sys/fs/cgroup">>} | Paths] = Mounts,
    [{masked, <<"/sys/firmware">>}] = [Path || {masked, <<"/sys/", _/binary>>} = Path <- Paths],
    true = lists:member({read_only, <<"/proc/sys">>}, Paths) andalso lists:member({masked, <<"/proc/kcore">>}, Paths),
    [{<<"LANG">>, false}, {<<"PATH">>, <<"/usr/", _/binary>>}, {<<"TERM">>, <<"xterm">>}] = lists:sort(Env),
    [] = [Key || Key <- [network, as, seccomp, pty], is_map_key(Key, Spec)],
    %% An absolute path stays, a large shared memory is one of its own.
    {ok, #{spec := #{root := {ro, <<"/r">>}, mounts := More}}} =
        read(set([<<"root">>, <<"path">>], <<"/r/./">>,
                 set([<<"mounts">>, 3, <<"options">>], [<<"size=128m">>, <<"mode=1777">>], runc()))),
    true = lists:member({tmpfs, <<"/dev/shm">>, 128 bsl 20, #{mode => 8#1777, owner => program}}, More).

%% What is wrong with a configuration of which one part is another.
wrong(Path, Value) ->
    case read(set(Path, Value, runc())) of
        {error, {oci, Reasons}} -> Reasons;
        {ok, _} = Ok -> Ok
    end.

%% Each of these gives this path and this kind of reason, and nothing else.
each(Cases) ->
    [] = [{Path, Value, Got}
          || {Path, Value, At, Kind} <- Cases, Got <- [wrong(Path, Value)],
             case Got of
                 [{At, Kind}] -> false;
                 [{At, {Kind, Text}}] when is_binary(Text) -> false;
                 _ -> true
             end].

bad_process(_Config) ->
    P = fun(Keys) -> [<<"process">> | Keys] end,
    Limit = fun(Type, Soft, Hard) -> [#{<<"type">> => Type, <<"soft">> => Soft, <<"hard">> => Hard}] end,
    each([{P([<<"args">>]), [], <<"process.args">>, invalid},
          {P([<<"args">>]), <<"sh">>, <<"process.args">>, invalid},
          {P([<<"args">>]), [<<>>], <<"process.args[0]">>, invalid},
          {P([<<"args">>]), [<<"sh">>, 5], <<"process.args[1]">>, invalid},
          {P([<<"args">>]), [<<"sh">>, <<0>>], <<"process.args[1]">>, invalid},
          {P([<<"cwd">>]), <<"tmp">>, <<"process.cwd">>, invalid},
          {P([<<"cwd">>]), <<>>, <<"process.cwd">>, invalid},
          {P([<<"cwd">>]), <<"/a/../b">>, <<"process.cwd">>, invalid},
          {P([<<"cwd">>]), null, <<"process.cwd">>, missing},
          {P([<<"args">>]), null, <<"process.args">>, missing},
          {P([<<"env">>]), [<<"A=1">>, <<"B">>], <<"process.env[1]">>, invalid},
          {P([<<"env">>]), [<<"=1">>], <<"process.env[0]">>, invalid},
          {P([<<"env">>]), #{}, <<"process.env">>, invalid},
          {P([<<"terminal">>]), 1, <<"process.terminal">>, invalid},
          {P([<<"user">>, <<"uid">>]), -1, <<"process.user.uid">>, invalid},
          {P([<<"user">>, <<"uid">>]), 16#ffffffff, <<"process.user.uid">>, invalid},
          {P([<<"user">>, <<"gid">>]), <<"1">>, <<"process.user.gid">>, invalid},
          {P([<<"user">>, <<"umask">>]), 8#1000, <<"process.user.umask">>, invalid},
          {P([<<"user">>, <<"additionalGids">>]), [0, 5], <<"process.user.additionalGids[1]">>, unsupported},
          {P([<<"user">>, <<"additionalGids">>]), [-5], <<"process.user.additionalGids[0]">>, invalid},
          {P([<<"user">>, <<"username">>]), <<"x">>, <<"process.user.username">>, unsupported},
          {P([<<"rlimits">>]), Limit(<<"RLIMIT_NOSUCH">>, 1, 1), <<"process.rlimits[0].type">>, invalid},
          {P([<<"rlimits">>]), Limit(<<"RLIMIT_CPU">>, 2, 1), <<"process.rlimits[0]">>, invalid},
          {P([<<"rlimits">>]), Limit(<<"RLIMIT_CPU">>, 1, 1) ++ Limit(<<"RLIMIT_CPU">>, 1, 1), <<"process.rlimits">>, invalid},
          {P([<<"rlimits">>]), [#{<<"type">> => <<"RLIMIT_CPU">>, <<"soft">> => 1}], <<"process.rlimits[0].hard">>, missing},
          {P([<<"rlimits">>]), [5], <<"process.rlimits[0]">>, invalid},
          {P([<<"capabilities">>, <<"bounding">>]), [<<"CAP_NOSUCH">>], <<"process.capabilities.bounding[0]">>, invalid},
          {P([<<"capabilities">>, <<"nosuch">>]), [], <<"process.capabilities.nosuch">>, unsupported},
          {P([<<"oomScoreAdj">>]), 1001, <<"process.oomScoreAdj">>, invalid},
          {P([<<"noNewPrivileges">>]), <<"yes">>, <<"process.noNewPrivileges">>, invalid},
          {P([<<"apparmorProfile">>]), <<"docker-default">>, <<"process.apparmorProfile">>, unsupported},
          {P([<<"selinuxLabel">>]), <<"x">>, <<"process.selinuxLabel">>, unsupported},
          {P([<<"ioPriority">>]), #{<<"class">> => <<"IOPRIO_CLASS_IDLE">>}, <<"process.ioPriority">>, unsupported},
          {P([<<"scheduler">>]), #{<<"policy">> => <<"SCHED_FIFO">>}, <<"process.scheduler">>, unsupported},
          {P([<<"nosuch">>]), 1, <<"process.nosuch">>, unsupported}]),
    [{<<"process.consoleSize">>, {invalid, _}}] =
        begin
            {error, {oci, Reasons}} = read(set(P([<<"terminal">>]), true, set(P([<<"consoleSize">>]), #{}, runc()))),
            Reasons
        end,
    %% Where there is no more to ask for than there is.
    {ok, _} = wrong(P([<<"apparmorProfile">>]), <<>>),
    {ok, #{stricter := Stricter}} = wrong(P([<<"noNewPrivileges">>]), false),
    {_, _} = lists:keyfind(<<"process.noNewPrivileges">>, 1, Stricter).

bad_root(_Config) ->
    each([{[<<"root">>], <<"rootfs">>, <<"root">>, invalid},
          {[<<"root">>, <<"path">>], null, <<"root.path">>, missing},
          {[<<"root">>, <<"path">>], <<>>, <<"root.path">>, invalid},
          {[<<"root">>, <<"path">>], <<"../rootfs">>, <<"root.path">>, invalid},
          {[<<"root">>, <<"path">>], <<"/">>, <<"root.path">>, invalid},
          {[<<"root">>, <<"path">>], 5, <<"root.path">>, invalid},
          {[<<"root">>, <<"readonly">>], <<"true">>, <<"root.readonly">>, invalid},
          {[<<"root">>, <<"nosuch">>], 1, <<"root.nosuch">>, unsupported}]).

bad_mounts(_Config) ->
    One = fun(Mount) -> maps:get(<<"mounts">>, runc()) ++ [Mount] end,
    Case = fun(Mount, At, Kind) -> {[<<"mounts">>], One(Mount), <<"mounts[7]", At/binary>>, Kind} end,
    each([{[<<"mounts">>], #{}, <<"mounts">>, invalid},
          Case(5, <<>>, invalid),
          Case(drop([<<"destination">>], mount("/x", "tmpfs", "tmpfs", [])), <<".destination">>, missing),
          Case(mount("x", "tmpfs", "tmpfs", []), <<".destination">>, invalid),
          Case(mount("/", "tmpfs", "tmpfs", []), <<".destination">>, invalid),
          Case(mount("/x/../y", "tmpfs", "tmpfs", []), <<".destination">>, invalid),
          Case(mount("/x", "ext4", "/dev/vda", []), <<".type">>, unsupported),
          Case(mount("/x", "overlay", "overlay", []), <<".type">>, unsupported),
          Case(mount("/x", "devpts", "devpts", []), <<".type">>, unsupported),
          Case(mount("/x", "none", "/y", []), <<".type">>, invalid),
          Case(#{<<"destination">> => <<"/x">>}, <<".type">>, invalid),
          Case(drop([<<"source">>], mount("/x", "bind", "/y", ["rbind"])), <<".source">>, missing),
          Case(mount("/x", "bind", "/y/../z", ["rbind"]), <<".source">>, invalid),
          Case(mount("/x", "bind", "/y", ["rbind", "idmap"]), <<".options[1]">>, unsupported),
          Case(mount("/x", "bind", "/y", ["rbind", "nosymfollow"]), <<".options[1]">>, unsupported),
          Case(mount("/x", "proc", "proc", ["hidepid=2"]), <<".options[0]">>, unsupported),
          Case(mount("/x", "tmpfs", "tmpfs", ["size=50%"]), <<".options[0]">>, unsupported),
          Case(mount("/x", "tmpfs", "tmpfs", ["size=x"]), <<".options[0]">>, invalid),
          Case(mount("/x", "tmpfs", "tmpfs", ["size=999999999999999g"]), <<".options[0]">>, invalid),
          Case(mount("/x", "tmpfs", "tmpfs", ["mode=999"]), <<".options[0]">>, invalid),
          Case(mount("/x", "tmpfs", "tmpfs", ["mode=4755"]), <<".options[0]">>, invalid),
          Case(mount("/x", "tmpfs", "tmpfs", ["uid=77"]), <<".options[0]">>, unsupported),
          Case(mount("/x", "tmpfs", "tmpfs", ["uid=-1"]), <<".options[0]">>, invalid),
          Case(mount("/x", "tmpfs", "tmpfs", ["tmpcopyup"]), <<".options[0]">>, unsupported),
          Case((mount("/x", "tmpfs", "tmpfs", []))#{<<"options">> => [5]}, <<".options[0]">>, invalid),
          Case((mount("/x", "bind", "/y", ["rbind"]))#{<<"uidMappings">> => [#{}]}, <<".uidMappings">>, unsupported)]),
    {ok, #{stricter := Stricter}} = wrong([<<"mounts">>], One(mount("/x", "bind", "/y", ["rbind", "dev", "suid", "rshared"]))),
    [_, _, _] = [How || {<<"mounts[7].options", _/binary>>, How} <- Stricter].

bad_linux(_Config) ->
    L = fun(Keys) -> [<<"linux">> | Keys] end,
    R = fun(Keys) -> [<<"linux">>, <<"resources">> | Keys] end,
    Map = [#{<<"containerID">> => 0, <<"hostID">> => 5, <<"size">> => 1}],
    each([{L([]), [], <<"linux">>, invalid},
          {L([<<"namespaces">>, 0, <<"path">>]), <<"/proc/1/ns/pid">>, <<"linux.namespaces[0].path">>, unsupported},
          {L([<<"namespaces">>, 0, <<"type">>]), <<"nosuch">>, <<"linux.namespaces[0].type">>, invalid},
          {L([<<"namespaces">>, 0, <<"type">>]), <<"time">>, <<"linux.namespaces[0].type">>, unsupported},
          {L([<<"namespaces">>, 0, <<"type">>]), <<"ipc">>, <<"linux.namespaces">>, invalid},
          {L([<<"namespaces">>, 0]), #{}, <<"linux.namespaces[0].type">>, missing},
          {L([<<"devices">>]), [#{<<"path">> => <<"/dev/kvm">>}], <<"linux.devices">>, unsupported},
          {L([<<"cgroupsPath">>]), <<"/x">>, <<"linux.cgroupsPath">>, unsupported},
          {L([<<"timeOffsets">>]), #{<<"monotonic">> => #{}}, <<"linux.timeOffsets">>, unsupported},
          {L([<<"intelRdt">>]), #{<<"closID">> => <<"x">>}, <<"linux.intelRdt">>, unsupported},
          {L([<<"mountLabel">>]), <<"x">>, <<"linux.mountLabel">>, unsupported},
          {L([<<"personality">>]), #{<<"domain">> => <<"LINUX32">>}, <<"linux.personality">>, unsupported},
          {L([<<"rootfsPropagation">>]), <<"nosuch">>, <<"linux.rootfsPropagation">>, invalid},
          {L([<<"maskedPath">>]), [<<"/x">>], <<"linux.maskedPath">>, unsupported},
          {L([<<"maskedPaths">>]), [<<"x">>], <<"linux.maskedPaths[0]">>, invalid},
          {L([<<"maskedPaths">>]), [<<"/">>], <<"linux.maskedPaths[0]">>, invalid},
          {L([<<"readonlyPaths">>]), [5], <<"linux.readonlyPaths[0]">>, invalid},
          {L([<<"sysctl">>]), [], <<"linux.sysctl">>, invalid},
          {L([<<"sysctl">>]), #{<<"net.ipv4.ip_forward">> => 1}, <<"linux.sysctl.net.ipv4.ip_forward">>, invalid},
          {L([<<"sysctl">>]), #{<<"kernel.core_pattern">> => <<"x">>}, <<"linux.sysctl.kernel.core_pattern">>, unsupported},
          {L([<<"sysctl">>]), #{<<"net.../x">> => <<"x">>}, <<"linux.sysctl.net.../x">>, unsupported},
          {R([<<"memory">>, <<"limit">>]), -2, <<"linux.resources.memory.limit">>, invalid},
          {R([<<"memory">>, <<"swap">>]), 5, <<"linux.resources.memory.swap">>, unsupported},
          {R([<<"memory">>, <<"reservation">>]), 5, <<"linux.resources.memory.reservation">>, unsupported},
          {R([<<"memory">>, <<"disableOOMKiller">>]), true, <<"linux.resources.memory.disableOOMKiller">>, unsupported},
          {R([<<"pids">>, <<"limit">>]), <<"5">>, <<"linux.resources.pids.limit">>, invalid},
          {R([<<"memory">>, <<"limit">>]), 1 bsl 64, <<"linux.resources.memory.limit">>, invalid},
          {R([<<"pids">>, <<"limit">>]), 1 bsl 64, <<"linux.resources.pids.limit">>, invalid},
          {R([<<"cpu">>, <<"quota">>]), <<"5">>, <<"linux.resources.cpu.quota">>, invalid},
          {R([<<"cpu">>, <<"quota">>]), 1 bsl 2000, <<"linux.resources.cpu.quota">>, invalid},
          {R([<<"cpu">>]), #{<<"quota">> => 1 bsl 2000, <<"period">> => 0}, <<"linux.resources.cpu.quota">>, invalid},
          {R([<<"cpu">>]), #{<<"quota">> => 1 bsl 2000, <<"period">> => 1 bsl 2000}, <<"linux.resources.cpu.quota">>, invalid},
          {R([<<"cpu">>]), #{<<"quota">> => 1, <<"period">> => 1 bsl 2000}, <<"linux.resources.cpu.quota">>, invalid},
          {R([<<"cpu">>, <<"shares">>]), 512, <<"linux.resources.cpu.shares">>, unsupported},
          {R([<<"cpu">>, <<"cpus">>]), <<"0-1">>, <<"linux.resources.cpu.cpus">>, unsupported},
          {R([<<"blockIO">>]), #{<<"weight">> => 10}, <<"linux.resources.blockIO">>, unsupported},
          {R([<<"hugepageLimits">>]), [#{}], <<"linux.resources.hugepageLimits">>, unsupported},
          {R([<<"network">>]), #{<<"classID">> => 1}, <<"linux.resources.network">>, unsupported},
          {R([<<"unified">>]), #{<<"memory.high">> => <<"1">>}, <<"linux.resources.unified">>, unsupported},
          {R([<<"devices">>]), [#{<<"allow">> => 1}], <<"linux.resources.devices[0].allow">>, invalid}]),
    %% A mapping without a user namespace, and one that doesn't have the program's user.
    Rootless = runc("runc-rootless.json"),
    {error, {oci, [{<<"linux.uidMappings">>, {invalid, _}}]}} =
        read(set(L([<<"uidMappings">>]), Map, set(L([<<"gidMappings">>]), Map, runc()))),
    {error, {oci, [{<<"linux.uidMappings">>, {invalid, _}}]}} =
        read(set([<<"process">>, <<"user">>, <<"uid">>], 9, Rootless)),
    {error, {oci, [{<<"linux.gidMappings">>, {invalid, _}}]}} = read(drop(L([<<"gidMappings">>]), Rootless)),
    %% The host's network is the host's.
    {error, {oci, [{<<"linux.sysctl.net.ipv4.ip_forward">>, {unsupported, _}}]}} =
        read(set(L([<<"sysctl">>]), #{<<"net.ipv4.ip_forward">> => <<"1">>}, Rootless)),
    {ok, #{spec := #{network := host}}} = read(Rootless),
    {ok, #{spec := #{network := host}}} = read(maps:remove(<<"linux">>, runc())).

bad_whole(_Config) ->
    [{error, {oci, [{<<>>, {invalid, <<"an object">>}}]}} = read(Config) || Config <- [[], <<"{}">>, 5, not_a_map, [{a, 1}]]],
    {error, {oci, [{<<"ociVersion">>, missing}, {<<"process">>, missing}, {<<"root">>, missing}]}} = read(#{}),
    each([{[<<"ociVersion">>], <<"2.0">>, <<"ociVersion">>, invalid},
          {[<<"ociVersion">>], 1, <<"ociVersion">>, invalid},
          {[<<"process">>], [], <<"process">>, invalid},
          {[<<"hostname">>], 5, <<"hostname">>, invalid},
          {[<<"hostname">>], binary:copy(<<"x">>, 65), <<"hostname">>, invalid},
          {[<<"hooks">>], [], <<"hooks">>, invalid},
          {[<<"hooks">>], #{<<"prestart">> => [#{<<"path">> => <<"/bin/x">>}]}, <<"hooks.prestart">>, unsupported},
          {[<<"hooks">>], #{<<"poststop">> => [#{<<"path">> => <<"/bin/x">>}]}, <<"hooks.poststop">>, unsupported},
          {[<<"windows">>], #{<<"layerFolders">> => [<<"x">>]}, <<"windows">>, unsupported},
          {[<<"nosuch">>], 1, <<"nosuch">>, unsupported}]),
    {ok, _} = wrong([<<"hooks">>], #{<<"prestart">> => []}),
    {ok, _} = wrong([<<"annotations">>], #{<<"org.example">> => <<"x">>}),
    %% All of it at once, in the order of the paths.
    {error, {oci, [{<<"hooks.prestart">>, _}, {<<"linux.devices">>, _}, {<<"process.cwd">>, missing}]}} =
        read(set([<<"hooks">>], #{<<"prestart">> => [#{}]}, set([<<"linux">>, <<"devices">>], [#{}],
                                                                 drop([<<"process">>, <<"cwd">>], runc())))).

%% ---------------------------------------------------------------------------
%% Filters
%% ---------------------------------------------------------------------------

seccomp(Seccomp) ->
    set([<<"linux">>, <<"seccomp">>], Seccomp, runc()).

rules(Default, Rules) ->
    #{<<"defaultAction">> => Default, <<"syscalls">> => Rules}.

rule(Names, Action, Args) ->
    #{<<"names">> => Names, <<"action">> => Action,
      <<"args">> => [#{<<"index">> => Index, <<"value">> => Value, <<"op">> => <<"SCMP_CMP_", Op/binary>>}
                     || {Index, Op, Value} <- Args]}.

policy(Seccomp) ->
    {ok, #{spec := #{seccomp := Policy}}} = read(seccomp(Seccomp)),
    {ok, _} = alcove_seccomp:compile(Policy),
    Policy.

policy_of_a_config(_Config) ->
    #{default := {errno, 1},
      rules := [{[openat], [{1, {masked_eq, 3}, 2, 64}], {errno, 13}},
                {[read, write], [], allow},
                {[socket], [{0, eq, 1, 64}], allow}]} =
        policy((rules(<<"SCMP_ACT_ERRNO">>,
                      [rule([<<"read">>, <<"write">>, <<"socketcall">>], <<"SCMP_ACT_ALLOW">>, []),
                       rule([<<"socket">>], <<"SCMP_ACT_ALLOW">>, [{0, <<"EQ">>, 1}]),
                       #{<<"names">> => [<<"openat">>], <<"action">> => <<"SCMP_ACT_ERRNO">>, <<"errnoRet">> => 13,
                         <<"args">> => [#{<<"index">> => 1, <<"value">> => 3, <<"valueTwo">> => 2,
                                          <<"op">> => <<"SCMP_CMP_MASKED_EQ">>}]}]))
               #{<<"architectures">> => [<<"SCMP_ARCH_X86_64">>, <<"SCMP_ARCH_AARCH64">>],
                 <<"flags">> => [<<"SECCOMP_FILTER_FLAG_TSYNC">>]}),
    [#{default := Default} = policy(rules(Name, []))
     || {Name, Default} <- [{<<"SCMP_ACT_ALLOW">>, allow}, {<<"SCMP_ACT_KILL">>, kill_process},
                            {<<"SCMP_ACT_KILL_PROCESS">>, kill_process}, {<<"SCMP_ACT_KILL_THREAD">>, kill_thread},
                            {<<"SCMP_ACT_TRAP">>, trap}, {<<"SCMP_ACT_LOG">>, log}]],
    #{default := {errno, 38}} = policy((rules(<<"SCMP_ACT_ERRNO">>, []))#{<<"defaultErrnoRet">> => 38}),
    %% Several conditions about one argument: any of them.
    #{rules := [{[personality], [{0, eq, 0, 64}], allow}, {[personality], [{0, eq, 8, 64}], allow}]} =
        policy(rules(<<"SCMP_ACT_ERRNO">>,
                     [rule([<<"personality">>], <<"SCMP_ACT_ALLOW">>, [{0, <<"EQ">>, 0}, {0, <<"EQ">>, 8}])])),
    %% What is refused is so whatever is in the upper half.
    #{rules := [{[ioctl], [{1, eq, 16#5412, 32}], {errno, 1}}]} =
        policy(rules(<<"SCMP_ACT_ALLOW">>, [rule([<<"ioctl">>], <<"SCMP_ACT_ERRNO">>, [{1, <<"EQ">>, 16#5412}])])),
    %% A name that isn't known is no way in.
    {ok, #{stricter := Stricter}} =
        read(seccomp(rules(<<"SCMP_ACT_ERRNO">>, [rule([<<"no_such_call">>], <<"SCMP_ACT_ALLOW">>, [])]))),
    {_, _} = lists:keyfind(<<"linux.seccomp.syscalls[0].names[0]">>, 1, Stricter).

%% Of several rules for a call the strictest is first, wherever it stands.
most_restrictive(_Config) ->
    Rules = [rule([<<"socket">>], Action, Args)
             || {Action, Args} <- [{<<"SCMP_ACT_ALLOW">>, []}, {<<"SCMP_ACT_LOG">>, []},
                                   {<<"SCMP_ACT_ERRNO">>, [{0, <<"EQ">>, 40}]}, {<<"SCMP_ACT_KILL_PROCESS">>, [{0, <<"EQ">>, 38}]},
                                   {<<"SCMP_ACT_TRAP">>, [{0, <<"EQ">>, 39}]}]],
    #{rules := [{_, _, kill_process}, {_, _, trap}, {_, _, {errno, 1}}, {_, [], log}, {_, [], allow}]} =
        policy(rules(<<"SCMP_ACT_ERRNO">>, Rules)).

bad_seccomp(_Config) ->
    S = fun(Seccomp, At, Kind) ->
                {[<<"linux">>, <<"seccomp">>], Seccomp, <<"linux.seccomp", At/binary>>, Kind}
        end,
    Errno = fun(Rule) -> rules(<<"SCMP_ACT_ERRNO">>, [Rule]) end,
    Allow = <<"SCMP_ACT_ALLOW">>,
    First = <<".syscalls[0]">>,
    each([S([], <<>>, invalid),
          S(#{}, <<".defaultAction">>, missing),
          S(rules(<<"allow">>, []), <<".defaultAction">>, invalid),
          S(rules(<<"SCMP_ACT_NOTIFY">>, []), <<".defaultAction">>, unsupported),
          S((rules(Allow, []))#{<<"defaultErrnoRet">> => 4096}, <<".defaultErrnoRet">>, invalid),
          S((rules(Allow, []))#{<<"architectures">> => [<<"SCMP_ARCH_PDP11">>]}, <<".architectures[0]">>, invalid),
          S((rules(Allow, []))#{<<"architectures">> => [<<"x86_64">>]}, <<".architectures[0]">>, invalid),
          S((rules(Allow, []))#{<<"flags">> => [<<"SECCOMP_FILTER_FLAG_LOG">>]}, <<".flags[0]">>, unsupported),
          S((rules(Allow, []))#{<<"flags">> => [<<"x">>]}, <<".flags[0]">>, invalid),
          S((rules(Allow, []))#{<<"listenerPath">> => <<"/x">>}, <<".listenerPath">>, unsupported),
          S(rules(Allow, #{}), <<".syscalls">>, invalid),
          S(rules(Allow, [rule([<<"no_such_call">>], <<"SCMP_ACT_ERRNO">>, [])]), <<First/binary, ".names[0]">>, unsupported),
          S(Errno(rule([5], Allow, [])), <<First/binary, ".names[0]">>, invalid),
          S(Errno(rule([<<"read">>], <<"SCMP_ACT_TRACE">>, [])), <<First/binary, ".action">>, unsupported),
          S(Errno(rule([<<"read">>], <<"x">>, [])), <<First/binary, ".action">>, invalid),
          S(Errno(#{<<"names">> => [<<"read">>]}), <<First/binary, ".action">>, missing),
          S(Errno(#{<<"action">> => Allow}), <<First/binary, ".names">>, missing),
          S(Errno(rule([<<"read">>], Allow, [{6, <<"EQ">>, 0}])), <<First/binary, ".args[0].index">>, invalid),
          S(Errno(rule([<<"read">>], Allow, [{0, <<"XX">>, 0}])), <<First/binary, ".args[0].op">>, invalid),
          S(Errno(rule([<<"read">>], Allow, [{0, <<"EQ">>, 1 bsl 64}])), <<First/binary, ".args[0].value">>, invalid)]),
    [{<<"linux.seccomp.syscalls[0].args[0].", _/binary>>, missing} | _] =
        wrong([<<"linux">>, <<"seccomp">>], Errno((rule([<<"read">>], Allow, []))#{<<"args">> => [#{}]})).

%% Text of a configuration makes no atoms.
no_atoms(_Config) ->
    Config = fun(N) ->
                     Name = fun(Kind) -> iolist_to_binary(io_lib:format("~s_~b_~p", [Kind, N, self()])) end,
                     Rules = [rule([Name(call)], Action, [])
                              || Action <- [<<"SCMP_ACT_ERRNO">>, <<"SCMP_ACT_ALLOW">>, Name(action)]],
                     maps:merge(seccomp(rules(<<"SCMP_ACT_ALLOW">>, Rules)),
                                #{Name(key) => 1, <<"hooks">> => #{Name(hook) => [1]}})
             end,
    {error, _} = read(Config(0)),
    Before = erlang:system_info(atom_count),
    [{error, {oci, [_ | _]}} = read(Config(N)) || N <- lists:seq(1, 50)],
    true = erlang:system_info(atom_count) - Before < 50.

%% ---------------------------------------------------------------------------
%% Arguments
%% ---------------------------------------------------------------------------

%% Only what isn't supported can be gone without, and it is told what that was.
ignored(_Config) ->
    Oci = set([<<"hooks">>], #{<<"prestart">> => [#{}], <<"poststop">> => [#{}]},
              set([<<"linux">>, <<"resources">>, <<"unified">>], #{<<"x">> => <<"y">>}, runc())),
    Ignore = fun(Config, Paths) -> alcove_sandbox:from_oci({"/b", Config}, #{ignore => Paths}) end,
    All = [<<"hooks.poststop">>, <<"hooks.prestart">>, <<"linux.resources.unified">>],
    {error, {oci, Reasons}} = Ignore(Oci, []),
    All = [Path || {Path, {unsupported, _}} <- Reasons],
    {error, {oci, [{<<"linux.resources.unified">>, _}]}} = Ignore(Oci, ["hooks"]),
    {error, {oci, [_, _, _]}} = Ignore(Oci, ["hook", "hooks.pre", "linux.res", "ooks"]),
    [begin
         {ok, #{ignored := Ignored, spec := Spec}} = Ignore(Oci, Paths),
         All = [Path || {Path, {unsupported, _}} <- Ignored],
         {ok, #{spec := Spec}} = read(runc())
     end || Paths <- [all, ["hooks", "linux.resources"], [<<"hooks">>, "linux"], All]],
    [{error, {oci, [{<<"process.cwd">>, _}]}} = Ignore(drop([<<"process">>, <<"cwd">>], Config), all) || Config <- [runc(), Oci]],
    %% A part of a mount, of which the rest is made.
    Mount = more_mounts([mount("/x", "bind", "/y", ["rbind", "ro", "idmap"])], runc()),
    {ok, #{spec := #{mounts := Mounts}, ignored := [_]}} = Ignore(Mount, ["mounts[7].options"]),
    true = lists:member({ro, <<"/y">>, <<"/x">>, []}, Mounts).

atom_keys(_Config) ->
    {ok, Read} = read(runc()),
    {ok, Read} = read(atoms(runc())).

atoms(Map) when is_map(Map) -> maps:from_list([{binary_to_atom(K), atoms(V)} || {K, V} <- maps:to_list(Map)]);
atoms(List) when is_list(List) -> [atoms(V) || V <- List];
atoms(Value) -> Value.

files(Config) ->
    Bundle = filename:join(proplists:get_value(priv_dir, Config), "bundle"),
    ok = file:make_dir(Bundle),
    File = filename:join(Bundle, "config.json"),
    Decode = #{decode => fun json/1},
    {error, {config, enoent}} = alcove_sandbox:from_oci(Bundle, Decode),
    ok = file:make_dir(File),
    {error, {config, eisdir}} = alcove_sandbox:from_oci(Bundle, Decode),
    ok = file:del_dir(File),
    [] = os:cmd("mkfifo " ++ alcove_test:quote(File)),
    {error, {config, einval}} = alcove_sandbox:from_oci(Bundle, Decode),
    ok = file:delete(File),
    {ok, Fd} = file:open(File, [write, raw]),
    {ok, _} = file:position(Fd, 1 bsl 30),
    ok = file:truncate(Fd),
    ok = file:close(Fd),
    {error, {config, efbig}} = alcove_sandbox:from_oci(Bundle, Decode),
    ok = file:write_file(File, encoded(runc())),
    {ok, #{spec := #{root := {ro, Root}}} = Read} = alcove_sandbox:from_oci(Bundle, Decode),
    true = Root =:= iolist_to_binary(filename:absname(filename:join(Bundle, "rootfs"))),
    {ok, Read} = alcove_sandbox:from_oci(iolist_to_binary(Bundle), #{decode => fun(Bytes) -> {ok, json(Bytes)} end}),
    case code:ensure_loaded(json) of
        {module, json} -> {ok, Read} = alcove_sandbox:from_oci(Bundle);
        {error, _} -> {error, {json, no_decoder}} = alcove_sandbox:from_oci(Bundle)
    end,
    {error, {json, bad}} = alcove_sandbox:from_oci(Bundle, #{decode => fun(_) -> {error, bad} end}),
    {error, {json, bad}} = alcove_sandbox:from_oci(Bundle, #{decode => fun(_) -> error(bad) end}),
    {error, {json, bad}} = alcove_sandbox:from_oci(Bundle, #{decode => fun(_) -> throw(bad) end}),
    ok = file:write_file(File, "{"),
    {error, {json, _}} = alcove_sandbox:from_oci(Bundle, Decode).

bad_arguments(_Config) ->
    [{Args, {badarg, Part}} = {Args, try apply(alcove_sandbox, from_oci, Args) catch error:Reason -> Reason end}
     || {Args, Part} <- [{[5], 5}, {[""], ""}, {["/a/../b"], "/a/../b"}, {[{5, #{}}], 5}, {["a\0b"], "a\0b"},
                         {[{"/b", #{}}, []], []}, {[{"/b", #{}}, #{nosuch => 1}], {nosuch, 1}},
                         {[{"/b", #{}}, #{ignore => hooks}], {ignore, hooks}},
                         {[{"/b", #{}}, #{ignore => [5]}], {ignore, 5}},
                         {["/b", #{decode => json}], {decode, json}}]].

%% Whatever stands wherever: an answer, and a spec that is one.
every_prefix(_Config) ->
    Oci = set([<<"linux">>, <<"seccomp">>],
              rules(<<"SCMP_ACT_ERRNO">>, [rule([<<"read">>], <<"SCMP_ACT_ALLOW">>, [{0, <<"EQ">>, 1}])]),
              set([<<"linux">>, <<"resources">>, <<"cpu">>], #{<<"quota">> => 1, <<"period">> => 2}, runc("runc-rootless.json"))),
    Junk = [null, nil, true, 0, -1, 1 bsl 70, 1.5, <<>>, <<"x">>, <<"/x">>, <<0>>, [], [5], [[]], [#{}], [a | b], #{}, #{a => 1},
            #{5 => 6}, #{<<"type">> => 5}, self(), {a, b}],
    [case read(set(Path, Value, Oci)) of
         {ok, #{spec := Spec, argv := [_ | _]}} -> {ok, _} = alcove_sandbox_spec:parse(Spec);
         {error, {oci, [_ | _] = Reasons}} -> [true = is_binary(At) || {At, _} <- Reasons]
     end || Path <- paths(Oci), Value <- Junk].

paths(Map) when is_map(Map) ->
    [[]] ++ [[Key | Path] || {Key, Value} <- maps:to_list(Map), Path <- paths(Value)];
paths(List) when is_list(List) ->
    [[]] ++ [[N | Path] || {N, Value} <- lists:zip(lists:seq(0, length(List) - 1), List), Path <- paths(Value)];
paths(_) ->
    [[]].

%% ---------------------------------------------------------------------------
%% What is ignored, and what is evaded
%% ---------------------------------------------------------------------------

%% A policy that admits all calls but these, for which there are rules.
all_but(Calls, Default, Rules) ->
    Others = [atom_to_binary(Name) || {Name, _} <- alcove_nif:seccomp_calls(native), not lists:member(Name, Calls)],
    policy((rules(Default, [rule(Others, <<"SCMP_ACT_ALLOW">>, []) | Rules]))#{<<"defaultErrnoRet">> => 28}).

filtered(Drv, Policy, Fun) ->
    {ok, Pid} = alcove:fork(Drv, []),
    ok = alcove_seccomp:install(Drv, [Pid], Policy),
    try
        Fun([Pid])
    after
        %% It may be dead.
        catch alcove:exit(Drv, [Pid], 0)
    end.

%% The kernel takes a family and a type of socket(2) as ints. A bit in their upper halves opens nothing.
upper_halves(Config) ->
    High = 1 bsl 32,
    Allow = <<"SCMP_ACT_ALLOW">>,
    Error = <<"SCMP_ACT_ERRNO">>,
    All = 16#ffffffffffffffff,
    Masked = fun(Rule, Mask, Value) ->
                     Rule#{<<"args">> => [#{<<"index">> => 0, <<"op">> => <<"SCMP_CMP_MASKED_EQ">>, <<"value">> => Mask,
                                            <<"valueTwo">> => Value}]}
             end,
    Socket = fun(Action, Args) -> rule([<<"socket">>], Action, Args) end,
    %% The default, the rules, and what is said of the families inet (2) and unix (1).
    Cases = [{Error, [Socket(Allow, [{0, <<"NE">>, 2}])], enospc, ok},
             {Error, [Socket(Allow, [{0, <<"GT">>, 1}])], ok, enospc},
             {Error, [Socket(Allow, [{0, <<"GE">>, 2}])], ok, enospc},
             {Error, [Socket(Allow, [{0, <<"NE">>, 2}, {1, <<"NE">>, 5}])], enospc, ok},
             %% Those of one argument, any of which suffices.
             {Error, [Socket(Allow, [{0, <<"GT">>, 2}, {0, <<"LT">>, 2}])], enospc, ok},
             %% The error is another than the default's.
             {Error, [(Socket(Error, [{0, <<"EQ">>, 2}, {2, <<"EQ">>, 0}]))#{<<"errnoRet">> => 22},
                      Socket(Allow, [{2, <<"NE">>, 9}])], einval, ok},
             {Allow, [Socket(Error, [{0, <<"EQ">>, 2}])], eperm, ok},
             {Allow, [Socket(Error, [{0, <<"LT">>, 2}])], ok, eperm},
             {Allow, [Socket(Error, [{0, <<"LE">>, 1}])], ok, eperm},
             {Allow, [Socket(Error, [{0, <<"NE">>, 1}])], eperm, ok},
             {Allow, [Socket(Error, [{0, <<"GT">>, 1}])], eperm, ok},
             {Allow, [Masked(Socket(Error, []), All, 2)], eperm, ok},
             %% Stricter than another rule, if not than the default.
             {<<"SCMP_ACT_KILL_PROCESS">>, [Socket(Error, [{0, <<"EQ">>, 2}]), Socket(Allow, [])], eperm, ok}],
    Policies = [{all_but([socket], Default, Rules), Inet, Unix} || {Default, Rules, Inet, Unix} <- Cases],
    %% A number that isn't an int is compared as a whole.
    Whole = all_but([ftruncate], Error, [rule([<<"ftruncate">>], Allow, [{1, <<"LE">>, High}])]),
    with(Config, fun(Drv) ->
        [filtered(Drv, Policy, fun(Child) ->
             Says = fun(Family) ->
                            case alcove:syscall(Drv, Child, socket, [Family, 1, 0]) of
                                {ok, Fd, _} -> ok = alcove:close(Drv, Child, Fd);
                                {error, Reason} -> Reason
                            end
                    end,
             Of = [Rule || {[socket], _, _} = Rule <- maps:get(rules, Policy)],
             {Inet, Unix, Of} = {Says(2), Says(1), Of},
             %% Whatever isn't refused is what the kernel makes of it.
             [{Inet, Of} = {Says(Upper + 2), Of} || Upper <- [High, 16#ffffffff00000000]],
             case Unix of
                 %% Admitted as an int: as a number of 64 bits it needn't be.
                 ok -> true = lists:member(Says(High + 1), [ok, enospc, eperm]);
                 _ -> {Unix, Of} = {Says(High + 1), Of}
             end
         end) || {Policy, Inet, Unix} <- Policies],
        filtered(Drv, Whole, fun(Child) ->
            [{Size, {error, Reason}} = {Size, alcove:syscall(Drv, Child, ftruncate, [-1, Size])}
             || {Size, Reason} <- [{0, ebadf}, {High, ebadf}, {High + 1, enospc}]]
        end)
    end).

%% A default that kills does so for all calls that are known; newer ones aren't there, as in runc.
killed_by_default(Config) ->
    Newer = lists:max([Number || {_, Number} <- alcove_nif:seccomp_calls(native)]) + 1,
    Policies = [all_but([getppid], Default, [])
                || Default <- [<<"SCMP_ACT_KILL">>, <<"SCMP_ACT_KILL_PROCESS">>, <<"SCMP_ACT_KILL_THREAD">>, <<"SCMP_ACT_TRAP">>]],
    with(Config, fun(Drv) ->
        [filtered(Drv, Policy, fun(Child) ->
             {error, enosys} = alcove:syscall(Drv, Child, Newer, []),
             {error, enosys} = alcove:syscall(Drv, Child, 16#3fffffff, []),
             badpid = try alcove:syscall(Drv, Child, getppid, []) catch error:Reason -> Reason end
         end) || Policy <- Policies]
    end).

%% Less than the kernel takes.
least_quota(Config) ->
    Cpu = fun(Cpu) -> set([<<"linux">>, <<"resources">>, <<"cpu">>], Cpu, runc()) end,
    Quota = fun(Quota, Period) -> Cpu(#{<<"quota">> => Quota, <<"period">> => Period}) end,
    [{error, {oci, [{<<"linux.resources.cpu.quota">>, {unsupported, _}}]}} = read(Oci)
     || Oci <- [Quota(1000, 1000000), Quota(9999, 1000000), Quota(1, 1000), Cpu(#{<<"quota">> => 999}), Quota(999, 0)]],
    [{error, {oci, [{<<"linux.resources.cpu.period">>, {invalid, _}}]}} = read(Cpu(Wrong))
     || Period <- [<<"5">>, -1, 1000001, 1.5],
        Wrong <- [#{<<"period">> => Period}, #{<<"period">> => Period, <<"quota">> => -1}, #{<<"period">> => Period, <<"quota">> => 0}]],
    [{error, {oci, [{<<"linux.resources.cpu.quota">>, {invalid, _}}]}} = read(Quota(Wrong, 1000)) || Wrong <- [-2, 1.5, <<"5">>]],
    {ok, #{spec := #{limits := #{cpu := 0.5}}}} = read(Quota(500, 1000)),
    Bundle = bundle(Config),
    Least = script(Quota(10000, 1000000), "true"),
    Less = script(Quota(9999, 1000000), "true"),
    with(Config, fun(Drv) ->
        {ok, #{spec := #{limits := #{cpu := 0.01}} = Spec, argv := Argv}} = alcove_sandbox:from_oci({Bundle, Least}),
        %% Without the limit that isn't supported, the least one holds.
        {ok, #{spec := Spec, ignored := [_]}} =
            alcove_sandbox:from_oci({Bundle, Less}, #{ignore => ["linux.resources.cpu.quota"]}),
        case alcove_sandbox:explain(Drv, #{}) of
            {ok, #{lacking := #{cpu := _}}} ->
                {error, {sandbox, {cpu, no_control_group}}} = alcove_sandbox:run(Drv, Argv, Spec);
            {ok, _} ->
                {ok, #{status := 0, sandbox := #{cpu := {cgroup, 0.01}}}} = alcove_sandbox:run(Drv, Argv, Spec),
                #{limits := Limits} = Spec,
                {error, {cgroup, {_, einval}}} = alcove_sandbox:run(Drv, Argv, Spec#{limits := Limits#{cpu := 0.009}})
        end
    end).

%% A configuration with an object of every kind.
everything() ->
    Condition = fun(Index, Op) -> #{<<"index">> => Index, <<"op">> => <<"SCMP_CMP_", Op/binary>>, <<"value">> => 16#7e020000} end,
    Filter = rules(<<"SCMP_ACT_ERRNO">>,
                   [#{<<"names">> => [<<"clone">>], <<"action">> => <<"SCMP_ACT_ALLOW">>,
                      <<"args">> => [Condition(0, <<"MASKED_EQ">>), Condition(1, <<"EQ">>), Condition(2, <<"NE">>)]},
                    #{<<"names">> => [<<"socket">>], <<"action">> => <<"SCMP_ACT_KILL">>, <<"args">> => [Condition(1, <<"LT">>)]}]),
    Values = [{[<<"linux">>, <<"seccomp">>], Filter},
              {[<<"linux">>, <<"resources">>],
               #{<<"memory">> => #{<<"limit">> => 1 bsl 26}, <<"cpu">> => #{<<"quota">> => 5000, <<"period">> => 10000},
                 <<"pids">> => #{<<"limit">> => 9}, <<"devices">> => [#{<<"allow">> => false, <<"access">> => <<"rwm">>}]}},
              {[<<"linux">>, <<"sysctl">>], #{<<"kernel.msgmax">> => <<"5">>}},
              {[<<"process">>, <<"rlimits">>],
               [#{<<"type">> => <<"RLIMIT_CPU">>, <<"soft">> => 1, <<"hard">> => 2},
                #{<<"type">> => <<"RLIMIT_NOFILE">>, <<"soft">> => 9, <<"hard">> => 9}]},
              {[<<"process">>, <<"user">>], #{<<"uid">> => 0, <<"gid">> => 0, <<"umask">> => 8#077}},
              {[<<"hooks">>], #{<<"prestart">> => []}},
              {[<<"mounts">>],
               maps:get(<<"mounts">>, runc("runc-rootless.json")) ++
                   [mount("/x", "bind", "/y", ["rbind", "ro", "noexec"]), mount("/z", "tmpfs", "tmpfs", ["size=1k", "ro", "mode=700"])]}],
    lists:foldl(fun({Path, Value}, Oci) -> set(Path, Value, Oci) end, runc("runc-rootless.json"), Values).

%% The option `ignore' leaves out a member that isn't known, wherever it is, and nothing else.
unknown_members(_Config) ->
    Oci = everything(),
    {ok, #{spec := Spec, argv := Argv, stricter := Stricter, ignored := []}} = read(Oci),
    Objects = objects(Oci) -- [[<<"annotations">>]],
    [] = [[<<"linux">>, <<"seccomp">>, <<"syscalls">>, 0, <<"args">>, 2], [<<"mounts">>, 7], [<<"process">>, <<"rlimits">>, 1],
          [<<"linux">>, <<"namespaces">>, 0], [<<"linux">>, <<"uidMappings">>, 0], [<<"linux">>, <<"resources">>, <<"devices">>, 0],
          [<<"hooks">>], [<<"process">>, <<"capabilities">>], [<<"linux">>, <<"sysctl">>]] -- Objects,
    [begin
         With = set(Path ++ [<<"nosuch">>], <<"x">>, Oci),
         {Path, {error, {oci, [{At, {unsupported, _}}]}}} = {Path, read(With)},
         [{Path, {ok, #{spec := Spec, argv := Argv, stricter := Stricter, ignored := [{At, {unsupported, _}}]}}} =
              {Path, alcove_sandbox:from_oci({"/b", With}, #{ignore => Ignore})}
          || Ignore <- [all, [At]]]
     end || Path <- Objects].

objects(Oci) ->
    [Path || Path <- lists:usort(paths(Oci)), is_map(get_in(Path, Oci))].

get_in([], Value) -> Value;
get_in([N | Path], Array) when is_integer(N) -> get_in(Path, lists:nth(N + 1, Array));
get_in([Key | Path], Object) -> get_in(Path, maps:get(Key, Object)).

%% What isn't supported is left out, and what restricts the program besides stays.
ignored_in_part(_Config) ->
    Seccomp = fun(Filter, Path) ->
                      {ok, #{spec := #{seccomp := Policy}, ignored := [{At, {unsupported, _}}]}} =
                          alcove_sandbox:from_oci({"/b", seccomp(Filter)}, #{ignore => [<<"linux.seccomp.", Path/binary>>]}),
                      {At, At} = {At, <<"linux.seccomp.", Path/binary>>},
                      {ok, _} = alcove_seccomp:compile(Policy),
                      Policy
              end,
    Rule = fun(Names, Action) -> rule(Names, Action, [{0, <<"EQ">>, 5}]) end,
    [begin
         %% Where nobody is asked, the kernel answers ENOSYS.
         #{default := allow, rules := [{[mount], [{0, eq, 5, 32}], {errno, 38}}]} =
             Seccomp(rules(<<"SCMP_ACT_ALLOW">>, [Rule([<<"mount">>], Asks)]), <<"syscalls[0].action">>),
         #{default := {errno, 38}, rules := [{[mount], [{0, eq, 5, 32}], kill_process}, {[read], [], allow}]} =
             Seccomp(rules(Asks, [Rule([<<"mount">>], <<"SCMP_ACT_KILL">>), rule([<<"read">>], <<"SCMP_ACT_ALLOW">>, [])]),
                     <<"defaultAction">>)
     end || Asks <- [<<"SCMP_ACT_NOTIFY">>, <<"SCMP_ACT_TRACE">>]],
    #{rules := [{[mount], [{0, eq, 5, 32}], {errno, 1}}]} =
        Seccomp(rules(<<"SCMP_ACT_ALLOW">>, [Rule([<<"nosuch">>, <<"mount">>], <<"SCMP_ACT_ERRNO">>)]), <<"syscalls[0].names[0]">>),
    %% A namespace of its own instead of another's, and a mount without its mapping.
    {ok, #{spec := Spec}} = read(everything()),
    [{ok, #{spec := Spec, ignored := [_]}} = alcove_sandbox:from_oci({"/b", set(Path, Value, everything())}, #{ignore => all})
     || {Path, Value} <- [{[<<"linux">>, <<"namespaces">>, 0, <<"path">>], <<"/proc/1/ns/pid">>},
                          {[<<"mounts">>, 7, <<"uidMappings">>], [#{}]},
                          {[<<"process">>, <<"user">>, <<"additionalGids">>], [5]},
                          {[<<"linux">>, <<"sysctl">>, <<"kernel.core_pattern">>], <<"x">>},
                          {[<<"linux">>, <<"seccomp">>, <<"flags">>], [<<"SECCOMP_FILTER_FLAG_LOG">>]},
                          {[<<"linux">>, <<"resources">>, <<"memory">>, <<"swap">>], 5},
                          {[<<"linux">>, <<"resources">>, <<"cpu">>, <<"shares">>], 5}]].

%% A member whose key is no name isn't left out in silence.
names_for_keys(_Config) ->
    [{At, {error, {oci, [{At, {invalid, <<"an object with names for keys">>}}]}}} = {At, read(set(Path ++ ["key"], <<"x">>, everything()))}
     || {Path, At} <- [{[<<"hooks">>], <<"hooks">>}, {[<<"linux">>, <<"sysctl">>], <<"linux.sysctl">>}, {[<<"process">>], <<"process">>}]].

documented(_Config) ->
    %% A part of it is about networks, which are root's.
    alcove_test:need([root, {program, "ip"}, {program, "unshare"}, busybox],
        fun() -> alcove_readme_SUITE:check("docs/sandbox.md") end).

%% ---------------------------------------------------------------------------
%% JSON, where OTP has none
%% ---------------------------------------------------------------------------

encoded(Map) when is_map(Map) ->
    ["{", lists:join(",", [[encoded(K), ":", encoded(V)] || {K, V} <- maps:to_list(Map)]), "}"];
encoded(List) when is_list(List) -> ["[", lists:join(",", [encoded(V) || V <- List]), "]"];
encoded(Text) when is_binary(Text) -> ["\"", binary:replace(Text, <<"\"">>, <<"\\\"">>, [global]), "\""];
encoded(N) when is_integer(N) -> integer_to_binary(N);
encoded(Atom) -> atom_to_binary(Atom).

json(Bytes) ->
    {Value, Rest} = value(skip(Bytes)),
    <<>> = skip(Rest),
    Value.

skip(<<C, Rest/binary>>) when C =:= $\s; C =:= $\t; C =:= $\r; C =:= $\n -> skip(Rest);
skip(Rest) -> Rest.

value(<<"{", Rest/binary>>) -> members(skip(Rest), #{});
value(<<"[", Rest/binary>>) -> elements(skip(Rest), []);
value(<<"\"", Rest/binary>>) -> string(Rest, <<>>);
value(<<"true", Rest/binary>>) -> {true, Rest};
value(<<"false", Rest/binary>>) -> {false, Rest};
value(<<"null", Rest/binary>>) -> {null, Rest};
value(Bytes) ->
    {match, [{0, Size}]} = re:run(Bytes, "^-?[0-9]+"),
    <<Number:Size/binary, Rest/binary>> = Bytes,
    {binary_to_integer(Number), Rest}.

members(<<"}", Rest/binary>>, Map) -> {Map, Rest};
members(<<",", Rest/binary>>, Map) -> members(skip(Rest), Map);
members(<<"\"", Bytes/binary>>, Map) ->
    {Key, Rest} = string(Bytes, <<>>),
    <<":", More/binary>> = skip(Rest),
    {Value, After} = value(skip(More)),
    members(skip(After), Map#{Key => Value}).

elements(<<"]", Rest/binary>>, List) -> {lists:reverse(List), Rest};
elements(<<",", Rest/binary>>, List) -> elements(skip(Rest), List);
elements(Bytes, List) ->
    {Value, Rest} = value(Bytes),
    elements(skip(Rest), [Value | List]).

string(<<"\"", Rest/binary>>, Text) -> {Text, Rest};
string(<<"\\", C, Rest/binary>>, Text) -> string(Rest, <<Text/binary, C>>);
string(<<C, Rest/binary>>, Text) -> string(Rest, <<Text/binary, C>>).
