%% @doc Programs that aren't trusted: what they find inside, what of the host they don't, and
%% which limit ends them. Each case is run by root and by an ordinary user, whose sandboxes are
%% made in a user namespace.
-module(alcove_sandbox_SUITE).

-include_lib("kernel/include/file.hrl").

-export([suite/0, all/0, groups/0, init_per_suite/1, end_per_suite/1,
         init_per_group/2, end_per_group/2, init_per_testcase/2, end_per_testcase/2]).
-export([nothing_but_the_spec/1, nobody/1, no_host/1, mounts/1, kernel_mounts/1, hidden/1, hidden_links/1, layers/1, writable_root/1,
         own_kernel_values/1, resource_limits/1, links_lead_nowhere/1, hostile_root/1, changed_meanwhile/1, former_run/1, shared_mount/1,
         links_of_a_root/1, paths_after_pivot/1, hidden_behind_links/1, hidden_alone/1, hidden_twice/1,
         limits/1, descriptors/1, network/1, bad_specs/1, missing_sources/1, systems_of_their_own/1, few_descriptors/1, listening_with_few/0, supervised/1, devices_stay/1,
         explained/1, own_users/1, own_users_in_pid_namespaces/1, input_is_read_only/1, abstract_sockets/1, terminal/1,
         no_landlock/1, no_keyring/1, no_filters/1, no_user_namespaces/1, no_control_groups/1, shortages/1, all_user_namespaces_in_use/1, out_of_descriptors/1, old_kernel/1, old_kernel_rootless/1,
         subordinate_ids/1, no_subordinate_ids/1, ids_of_root/1, root_of_a_user_namespace/1, root_of_one_id/1, listens/1, not_listening/1, listens_on_host/1,
         part_of_a_proc/1, no_proc/1, no_sysfs/1, half_a_sysfs/1, look_ends/1, below_dev/1, covered_dev/1,
         read_only_control_groups/1, plain_chroot/1, covered_proc/1, nothing_lacks/1, probe/1, as_bubblewrap/1, swapped_targets/1, many_by_one/1]).

suite() ->
    alcove_test:suite() ++ [{timetrap, alcove_test:ms(180000)}].

all() ->
    [{group, root}, {group, rootless}, old_kernel, old_kernel_rootless, root_of_a_user_namespace, root_of_one_id, own_users, own_users_in_pid_namespaces, many_by_one,
     as_bubblewrap, swapped_targets].

groups() ->
    Both = [nothing_but_the_spec, nobody, no_host, mounts, kernel_mounts, hidden, hidden_links,
            layers, writable_root, own_kernel_values, resource_limits, links_lead_nowhere,
            hostile_root, former_run, shared_mount, links_of_a_root, paths_after_pivot, hidden_behind_links, hidden_twice, limits,
            descriptors, devices_stay, network, listens, not_listening, listens_on_host, bad_specs, missing_sources, systems_of_their_own, supervised, explained, probe,
            input_is_read_only, abstract_sockets, terminal, no_landlock, no_keyring, no_filters,
            no_user_namespaces, no_control_groups, shortages, nothing_lacks,
            part_of_a_proc, no_proc, no_sysfs, half_a_sysfs, below_dev, covered_dev],
    [{root, [], Both ++ [changed_meanwhile, few_descriptors, hidden_alone, read_only_control_groups, all_user_namespaces_in_use,
                         out_of_descriptors, ids_of_root, plain_chroot, look_ends]},
     {rootless, [], Both ++ [covered_proc, subordinate_ids, no_subordinate_ids]}].

init_per_suite(Config) ->
    ct:timetrap(alcove_test:ms(600000)),
    [{probe, alcove_test:probe()} | alcove_test:init_suite(Config)].

end_per_suite(_Config) ->
    ok.

init_per_group(root, Config) ->
    as(root, [root, {call, mount_setattr}], Config);
init_per_group(rootless, Config) ->
    as(ordinary, [ordinary, userns, {call, mount_setattr}], Config).

as(Who, Needs, Config) ->
    case [Text || What <- Needs, {false, Text} <- [alcove_test:can(What)]] of
        [] -> [{as, Who} | Config];
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
    Do = fun() ->
                 {ok, Drv} = alcove_drv:start(),
                 try Fun(Drv) after alcove_drv:stop(Drv) end
         end,
    case proplists:get_value(as, Config, root) of
        root -> Do();
        ordinary -> alcove_test:in_peer(alcove_test:user_peer(Config), Do, alcove_test:ms(60000))
    end.

sh(Drv, Script) ->
    sh(Drv, Script, #{}).

sh(Drv, Script, Spec) ->
    {ok, #{status := 0, stdout := Text, stderr := <<>>}} = alcove_sandbox:run(Drv, ["sh", "-c", Script], Spec),
    string:trim(Text).

%% A directory that everybody may use, in the case's own.
directory(Config, Name) ->
    Dir = filename:join(alcove_test:tmp(Config), Name),
    ok = file:make_dir(Dir),
    ok = file:change_mode(Dir, 8#777),
    Dir.

%% ---------------------------------------------------------------------------
%% What is inside
%% ---------------------------------------------------------------------------

nothing_but_the_spec(Config) ->
    with(Config,
         fun(Drv) ->
                 Root = string:lexemes(sh(Drv, "ls /"), "\n"),
                 [] = Root -- [<<"bin">>, <<"dev">>, <<"etc">>, <<"lib">>, <<"lib32">>, <<"lib64">>,
                               <<"libx32">>, <<"proc">>, <<"sbin">>, <<"tmp">>, <<"usr">>],
                 Devices = string:lexemes(sh(Drv, "ls /dev"), "\n"),
                 [] = Devices -- [<<"null">>, <<"zero">>, <<"full">>, <<"random">>, <<"urandom">>,
                                  <<"tty">>, <<"pts">>, <<"ptmx">>, <<"shm">>, <<"fd">>, <<"stdin">>,
                                  <<"stdout">>, <<"stderr">>],
                 <<"sandbox">> = sh(Drv, "uname -n"),
                 <<"LANG=C.UTF-8\nPATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin\nX=1">> =
                     sh(Drv, "env | grep -v ^HOME | grep -v ^PWD | sort", #{env => #{"X" => "1"}}),
                 <<"x">> = sh(Drv, "echo x > /tmp/y; cat /tmp/y"),
                 %% What one has written is gone for the next.
                 <<>> = sh(Drv, "ls /tmp"),
                 <<"out">> = sh(Drv, "echo out > /dev/stdout")
         end).

nobody(Config) ->
    with(Config,
         fun(Drv) ->
                 <<"1000 1000 1000">> = sh(Drv, "echo $(id -u) $(id -g) $(id -G)"),
                 <<"7 8">> = sh(Drv, "echo $(id -u) $(id -g)", #{user => {7, 8}}),
                 Caps = sh(Drv, "grep ^Cap /proc/self/status | cut -f2 | sort -u"),
                 <<"0000000000000000">> = Caps,
                 <<"1">> = sh(Drv, "grep ^NoNewPrivs /proc/self/status | cut -f2"),
                 <<"deny">> = sh(Drv, "cat /proc/self/setgroups"),
                 %% Not even in the user namespace that it is in.
                 {ok, #{status := S}} = alcove_sandbox:run(Drv, ["mount", "-t", "tmpfs", "x", "/tmp"], #{}),
                 true = S =/= 0
         end).

no_host(Config) ->
    Secret = filename:join(alcove_test:tmp(Config), "secret"),
    ok = file:write_file(Secret, "secret"),
    with(Config,
         fun(Drv) ->
                 <<>> = sh(Drv, ["for d in / /proc/1/root /proc/self/root /proc/1/cwd /proc/self/cwd; do "
                                 "cat $d/", Secret, " $d/../../../", Secret, " 2>/dev/null; done; true"]),
                 %% Its own processes are all that it sees.
                 <<"ok">> = sh(Drv, "for p in /proc/[0-9]*; do [ ${p#/proc/} -lt 100 ] || exit 1; done; echo ok"),
                 {ok, #{status := 2}} = alcove_sandbox:run(Drv, ["sh", "-c", "echo x > /usr/x"], #{}),
                 {ok, #{status := 2}} = alcove_sandbox:run(Drv, ["sh", "-c", "echo x > /x"], #{})
         end).

mounts(Config) ->
    Dir = directory(Config, "dir"),
    ok = file:write_file(filename:join(Dir, "file"), "host"),
    with(Config,
         fun(Drv) ->
                 Spec = fun(Mounts) -> #{mounts => [system, proc, dev, {tmpfs, "/tmp"} | Mounts]} end,
                 <<"host">> = sh(Drv, "cat /data/file", Spec([{ro, Dir, "/data"}])),
                 {ok, #{status := 2}} =
                     alcove_sandbox:run(Drv, ["sh", "-c", "echo x > /data/new"], Spec([{ro, Dir, "/data"}])),
                 {error, enoent} = file:read_file(filename:join(Dir, "new")),
                 <<"bytes 640">> = sh(Drv, "echo $(cat /a/b/c) $(stat -c %a /a/b/c)",
                                      Spec([{file, "/a/b/c", "bytes", 8#640}])),
                 <<"/a/b">> = sh(Drv, "readlink /l", Spec([{symlink, "/a/b", "/l"}])),
                 <<"711">> = sh(Drv, "stat -c %a /d/e", Spec([{dir, "/d/e", 8#711}])),
                 <<"">> = sh(Drv, "echo x > /data/in; true", Spec([{rw, Dir, "/data"}])),
                 %% One file, in a place of its own.
                 <<"host">> = sh(Drv, "cat /one", Spec([{ro, filename:join(Dir, "file"), "/one"}]))
         end),
    {ok, <<"x\n">>} = file:read_file(filename:join(Dir, "in")).

%% What a container has besides: the machine's devices to look at, queues of messages, memory with a
%% mode.
kernel_mounts(Config) ->
    Dir = directory(Config, "dir"),
    ok = file:write_file(filename:join(Dir, "program"), "#!/bin/sh\necho ran"),
    ok = file:change_mode(filename:join(Dir, "program"), 8#755),
    with(Config,
         fun(Drv) ->
                 Spec = #{mounts => [system, proc, {dev, "/dev", ["mqueue", "more"]}, {tmpfs, "/tmp"},
                                     {sysfs, "/sys"}, {empty, "/sys/fs/cgroup"}, {mqueue, "/dev/mqueue"},
                                     {tmpfs, "/dev/more", 65536, #{mode => 8#1777, owner => root, noexec => true}},
                                     {tmpfs, "/still", 4096, #{ro => true}},
                                     {ro, Dir, "/no", [noexec]}, {ro, Dir, "/yes", []}, {rw, Dir, "/alone", [alone]}]},
                 Run = fun(Script) -> sh(Drv, Script, Spec) end,
                 <<"lo">> = Run("ls /sys/class/net"),
                 {ok, #{status := 2}} = alcove_sandbox:run(Drv, ["sh", "-c", "echo 1 > /sys/kernel/profiling"], Spec),
                 <<"ro,nosuid,nodev,noexec,relatime">> = Run("grep ' /sys sysfs ' /proc/mounts | cut -d' ' -f4"),
                 <<>> = Run("ls /sys/fs/cgroup; ls /sys/firmware 2>/dev/null; true"),
                 <<"1777 q">> = Run("touch /dev/mqueue/q; echo $(stat -c %a /dev/mqueue) $(ls /dev/mqueue)"),
                 <<"1777">> = Run("stat -c %a /dev/more"),
                 <<"x">> = Run("echo x > /dev/more/x; cat /dev/more/x"),
                 <<"126 ran">> = Run("/no/program 2>/dev/null; echo $? $(/yes/program)"),
                 [{ok, #{status := 2}} = alcove_sandbox:run(Drv, ["sh", "-c", "echo x > " ++ Path], Spec)
                  || Path <- ["/still/x", "/sys/fs/cgroup/x", "/no/x", "/dev/x"]],
                 <<>> = Run("echo new > /alone/new")
         end),
    {ok, <<"new\n">>} = file:read_file(filename:join(Dir, "new")).

%% What is to be below a dev is there, files as well, and the dev is read-only all the same.
below_dev(Config) ->
    Dir = directory(Config, "dir"),
    File = filename:join(Dir, "file"),
    ok = file:write_file(File, "host\n"),
    ok = file:change_mode(File, 8#666),
    with(Config,
         fun(Drv) ->
                 Mounts = [{rw, File, "/dev/log"}, {ro, File, "/dev/sub/deep/file"}, {ro, File, "/dev/sub/other"},
                           {rw, Dir, "/dev/dir", [noexec]}, {tmpfs, "/dev/memory"}, {mqueue, "/dev/mqueue"}, {empty, "/dev/empty"},
                           {dir, "/dev/own"}, {file, "/dev/text", "text\n"}, {symlink, "log", "/dev/link"},
                           {masked, "/dev/sub/other"}, {read_only, "/dev/shm"}, {rw, File, "/dev/full"}],
                 Script = "cat /dev/sub/deep/file /dev/text /dev/link; cat /dev/sub/other 2>&-; echo new >> /dev/log; echo x > /dev/memory/x; "
                     "touch /dev/mqueue/q; cat /dev/full; grep -c ' /dev tmpfs ro' /proc/mounts; "
                     "for f in new sub/new sub/deep/file sub/deep/new own/new text empty/new shm/new; do "
                     "(echo x > /dev/$f) 2>&- && echo $f; done; true",
                 [begin
                      ok = file:write_file(File, "host\n"),
                      <<"host\ntext\nhost\nhost\nnew\n1">> = sh(Drv, Script, #{mounts => [system, proc, Dev | Mounts] ++ Last})
                  end || {Dev, Last} <- [{dev, []}, {{dev, "/dev", ["sub", "memory"]}, [{tmpfs, "/tmp"}]}]],
                 %% In another place, and each by itself.
                 <<"host\nnew\n2">> = sh(Drv, "cat /a/dev/log; grep -c 'dev tmpfs ro' /proc/mounts",
                                         #{mounts => [system, proc, {dev, "/a/dev"}, {dev, "/b/dev"}, {ro, File, "/a/dev/log"}]}),
                 [{error, Why} = alcove_sandbox:run(Drv, ["true"], #{mounts => [system, dev, {ro, File, Path}]})
                  || {Path, Why} <- [{"/dev/null/file", {sandbox, {<<"/dev/null/file">>, enotdir}}}]],
                 {error, {move_mount, _}} = alcove_sandbox:run(Drv, ["true"], #{mounts => [system, {dev, "/dev", ["log"]}, {ro, File, "/dev/log"}]}),
                 {error, {open, _}} = alcove_sandbox:run(Drv, ["true"], #{mounts => [system, dev, {ro, File, "/dev/pts/file"}]})
         end).

%% A mount that covers a dev isn't the dev.
covered_dev(Config) ->
    Dir = directory(Config, "dir"),
    File = filename:join(Dir, "file"),
    ok = file:write_file(File, "host\n"),
    with(Config,
         fun(Drv) ->
                 Run = fun(Mounts) -> sh(Drv, "cat /d/dev/log; echo x > /d/dev/new; cat /d/dev/new", #{mounts => [system, proc | Mounts]}) end,
                 Dev = {dev, "/d/dev"},
                 Log = {ro, File, "/d/dev/log"},
                 [<<"host\nx">> = Run(Mounts)
                  || Mounts <- [[Dev, {tmpfs, "/d/dev"}, Log], [Dev, Log, {tmpfs, "/d/dev"}, Log], [Dev, Log, {tmpfs, "/d"}, {tmpfs, "/d/dev"}, Log]]],
                 {ok, #{status := 0, stdout := <<"host\nno\n">>}} =
                     alcove_sandbox:run(Drv, ["sh", "-c", "cat /d/dev/log; (echo x > /d/dev/new) 2>&- || echo no"],
                                        #{mounts => [system, proc, Dev, Log, {read_only, "/d/dev"}, {tmpfs, "/d/e"}]}),
                 {error, {_, erofs}} =
                     alcove_sandbox:run(Drv, ["true"], #{mounts => [system, Dev, {read_only, "/d/dev"}, Log]})
         end).

%% Nothing is to be seen at a path, nor to be written to; whether it is the host's, the kernel's or
%% in the root directory.
hidden(Config) ->
    Root = directory(Config, "root"),
    Dir = directory(Config, "dir"),
    [ok = file:make_dir(filename:join(Root, Name)) || Name <- ["usr", "proc", "dev", "data", "own"]],
    [ok = file:make_symlink("usr/" ++ Name, filename:join(Root, Name)) || Name <- ["bin", "lib", "lib64"]],
    [ok = file:write_file(filename:join(Root, Name), "secret") || Name <- ["own/file", "key"]],
    [ok = file:write_file(filename:join(Dir, Name), "secret") || Name <- ["file", "fixed"]],
    [ok = file:change_mode(filename:join(Dir, Name), 8#666) || Name <- ["file", "fixed"]],
    with(Config,
         fun(Drv) ->
                 Hidden = [{masked, Path} || Path <- ["/own", "/key", "/data/file", "/none", "/data/none", "/proc/version",
                                                      "/proc/fs/none"]],
                 Spec = #{root => {ro, Root},
                          mounts => [{ro, "/usr"}, proc, dev, {rw, Dir, "/data"} | Hidden] ++
                              [{read_only, Path} || Path <- ["/data/fixed", "/data/none", "/dev/shm"]]},
                 <<"fixed">> = sh(Drv, "cat /own/* /key /data/file /proc/version 2>/dev/null; echo fixed", Spec),
                 [{ok, #{status := 2}} = alcove_sandbox:run(Drv, ["sh", "-c", "echo x > " ++ Path], Spec)
                  || Path <- ["/data/fixed", "/dev/shm/x", "/own/x"]],
                 <<>> = sh(Drv, "echo x > /data/new", Spec),
                 %% All of a directory, also of one that is mounted itself.
                 <<>> = sh(Drv, "ls /data", Spec#{mounts := [{ro, "/usr"}, {rw, Dir, "/data"}, {masked, "/data"}]}),
                 <<"file">> = sh(Drv, "ls /own", Spec#{mounts := [{ro, "/usr"}, {masked, "/own/none"}]}),
                 %% With the default root as well.
                 <<>> = sh(Drv, "ls /etc", #{mounts => [system, {masked, "/etc"}]}),
                 Nothing = [{How, Path} || How <- [masked, read_only], Path <- ["/none", "/none/x", "/etc/none"]],
                 <<"passwd">> = sh(Drv, "ls / /etc | grep -e none -e passwd", #{mounts => [system | Nothing]})
         end),
    {ok, <<"secret">>} = file:read_file(filename:join(Dir, "fixed")).

%% Where a path leads that has a link in it isn't known beforehand.
hidden_links(Config) ->
    Root = directory(Config, "root"),
    [ok = file:make_dir(filename:join(Root, Name)) || Name <- ["usr", "a"]],
    [ok = file:make_symlink("usr/" ++ Name, filename:join(Root, Name)) || Name <- ["bin", "lib", "lib64"]],
    ok = file:write_file(filename:join(Root, "a/file"), "secret"),
    ok = file:make_symlink("/a", filename:join(Root, "b")),
    with(Config,
         fun(Drv) ->
                 [{error, {sandbox, {Path, eloop}}} =
                      alcove_sandbox:run(Drv, ["true"], #{root => {ro, Root}, mounts => [{ro, "/usr"}, {How, Path}]})
                  || How <- [masked, read_only], Path <- [<<"/b">>, <<"/b/file">>, <<"/b/none">>]]
         end).

%% A directory of the host that is written to.
writable_root(Config) ->
    [Root, Again] = [directory(Config, Name) || Name <- ["root", "again"]],
    [ok = file:make_dir(filename:join(Root, Name)) || Name <- ["usr"]],
    [ok = file:make_symlink("usr/" ++ Name, filename:join(Root, Name)) || Name <- ["bin", "lib", "lib64"]],
    with(Config,
         fun(Drv) ->
                 <<"x">> = sh(Drv, "echo x > /x; cat /x", #{root => {rw, Root}, mounts => [{ro, "/usr"}]}),
                 %% What a run before has made is left as it is, but nothing else is taken for it.
                 [<<"user">> = sh(Drv, "id -un", #{root => {rw, Again}}) || _ <- [1, 2, 3]],
                 Passwd = filename:join(Again, "etc/passwd"),
                 {ok, Users} = file:read_file(Passwd),
                 ok = file:delete(Passwd),
                 [begin
                      ok = file:write_file(Passwd, Other),
                      {error, {sandbox, {<<"/etc/passwd">>, eexist}}} = alcove_sandbox:run(Drv, ["true"], #{root => {rw, Again}})
                  end || Other <- [<<>>, <<"x">>, <<Users/binary, "x:x:0:0::/:/bin/sh\n">>]],
                 ok = file:delete(Passwd),
                 ok = file:make_symlink("/elsewhere", Passwd),
                 {error, {sandbox, {<<"/etc/passwd">>, eexist}}} = alcove_sandbox:run(Drv, ["true"], #{root => {rw, Again}})
         end),
    {ok, <<"x\n">>} = file:read_file(filename:join(Root, "x")).

own_kernel_values(Config) ->
    with(Config,
         fun(Drv) ->
                 Spec = #{domainname => "example", umask => 8#027, oom_score_adj => 700,
                          sysctl => #{"net.ipv4.ip_unprivileged_port_start" => "80"}},
                 <<"example 0027 700 80">> =
                     sh(Drv, "echo $(cat /proc/sys/kernel/domainname) $(umask) $(cat /proc/self/oom_score_adj) "
                        "$(cat /proc/sys/net/ipv4/ip_unprivileged_port_start)", Spec),
                 {error, {openat2, enoent}} = alcove_sandbox:run(Drv, ["true"], #{sysctl => #{"net.nosuch" => "1"}}),
                 {error, {write, einval}} =
                     alcove_sandbox:run(Drv, ["true"], #{sysctl => #{"net.ipv4.ip_forward" => "text"}})
         end).

%% They are added to what `limits' are kept by, and never more than these.
resource_limits(Config) ->
    with(Config,
         fun(Drv) ->
                 Limits = #{nofile => {20, 30}, core => {100, infinity}, stack => {65536 * 16, infinity}, cpu => 5},
                 <<"20 30 0 1024 5">> =
                     sh(Drv, "echo $(ulimit -n) $(ulimit -Hn) $(ulimit -Hc) $(ulimit -s) $(ulimit -Ht)", #{rlimits => Limits}),
                 <<"256">> = sh(Drv, "ulimit -Hn", #{rlimits => #{nofile => 1000}}),
                 <<"1000">> = sh(Drv, "ulimit -Hn", #{rlimits => #{nofile => 1000}, limits => #{open_files => infinity}})
         end).

%% A directory with a layer that is thrown away; and a directory that is read-only.
layers(Config) ->
    Root = directory(Config, "root"),
    [ok = file:make_dir(filename:join(Root, Name)) || Name <- ["usr", "proc", "dev"]],
    [ok = file:make_symlink("usr/" ++ Name, filename:join(Root, Name)) || Name <- ["bin", "lib", "lib64"]],
    with(Config,
         fun(Drv) ->
                 Mounts = [{ro, "/usr"}, proc, dev],
                 Layer = #{root => {overlay, Root}, mounts => Mounts ++ [{dir, "/work", 8#755}]},
                 <<"new">> = sh(Drv, "echo new > /work/x; cat /work/x", Layer),
                 <<>> = sh(Drv, "ls /work", Layer),
                 Only = #{root => {ro, Root}, mounts => Mounts},
                 <<"bin dev lib lib64 proc usr">> = sh(Drv, "echo $(ls /)", Only),
                 {ok, #{status := 2}} = alcove_sandbox:run(Drv, ["sh", "-c", "echo x > /x"], Only),
                 %% There is nothing to mount upon.
                 {error, {_, _}} = alcove_sandbox:run(Drv, ["true"], Only#{mounts => Mounts ++ [{tmpfs, "/none"}]})
         end),
    {ok, Names} = file:list_dir(Root),
    ["bin", "dev", "lib", "lib64", "proc", "usr"] = lists:sort(Names).

%% A root whose /proc, /dev or mount points are links to the host's.
links_lead_nowhere(Config) ->
    Root = directory(Config, "root"),
    Target = directory(Config, "target"),
    [ok = file:make_dir(filename:join(Root, Name)) || Name <- ["usr", "dev"]],
    [ok = file:make_symlink("usr/" ++ Name, filename:join(Root, Name)) || Name <- ["bin", "lib", "lib64"]],
    ok = file:make_symlink(Target, filename:join(Root, "proc")),
    ok = file:make_symlink(Target, filename:join(Root, "data")),
    ok = file:make_symlink("../../../../../../.." ++ Target, filename:join(Root, "up")),
    with(Config,
         fun(Drv) ->
                 Run = fun(Mounts) ->
                               alcove_sandbox:run(Drv, ["true"], #{root => {ro, Root}, mounts => [{ro, "/usr"} | Mounts]})
                       end,
                 {ok, #{status := 0}} = Run([]),
                 {error, {sandbox, {<<"/proc">>, eloop}}} = Run([proc]),
                 [{error, {sandbox, {_, erofs}}} = Run([{tmpfs, Path}]) || Path <- ["/data", "/up"]],
                 {ok, #{status := 0}} = Run([dev])
         end),
    {ok, []} = file:list_dir(Target).

%% Links of a root directory lead to the host for a process that has a directory of the host open,
%% or by another process of root. Whatever is mounted or made where they lead, the host stays as it is.
hostile_root(Config) ->
    hostile(Config,
            fun(Drv, Root, Names, Own, Same) ->
                    [begin
                         Result = alcove_sandbox:run(Drv, ["/nothing"], #{root => In, mounts => [proc, Mount]}),
                         {Mount, In, {error, _}} = {Mount, In, Result},
                         Same({Mount, In})
                     end || Name <- Names, In <- [{rw, Root}, {overlay, Root}, {ro, Root}],
                            Name =:= "x3" orelse Name =:= "p" orelse element(1, In) =:= rw,
                            Mount <- led_out("/" ++ Name, Own)]
            end).

%% Each kind of mount, where a link leads.
led_out(X, Own) ->
    [{dir, X}, {dir, X ++ "file"}, {dir, X ++ "/d"}, {dir, X ++ "/sub", 8#700},
     {file, X ++ "/made", "x"}, {file, X ++ "file", "x"},
     {file, X ++ "/d/made", "x"}, {symlink, "t", X ++ "/link"},
     {tmpfs, X ++ "/t"}, {tmpfs, X ++ "/sub"}, {ro, "/etc/passwd", X ++ "/empty"},
     {ro, "/usr", X ++ "/usr"}, {rw, Own, X ++ "/a/b"}, {dev, X ++ "/dev", []},
     {sysfs, X ++ "/sys"}, {mqueue, X ++ "/mqueue"}, {empty, X ++ "/e"},
     {masked, X ++ "file"}, {read_only, X ++ "file"}, {masked, X ++ "/sub"}].

%% A root directory with links to a directory of the host, and their names. `Same' fails if that
%% directory isn't as it was.
hostile(Config, Fun) ->
    Root = directory(Config, "root"),
    Host = directory(Config, "host"),
    Own = directory(Config, "own"),
    ok = file:write_file(filename:join(Host, "file"), "secret"),
    ok = file:change_mode(filename:join(Host, "file"), 8#600),
    ok = file:make_dir(filename:join(Host, "sub")),
    Through = [{"x" ++ integer_to_list(N), lists:concat(["proc/self/fd/", N, "/../", os:getpid(), "/root", Host])}
               || N <- lists:seq(3, 6)],
    Links = [{"p", "/proc/" ++ os:getpid() ++ "/root" ++ Host}, {"q", "/proc/1/root" ++ Host},
             {"r", "/proc/self/root" ++ Host}, {"s", Host}, {"t", "../../../../.." ++ Host} | Through],
    %% Outside, where nothing is mounted on /proc, they lead to something in the root directory.
    [begin
         Like = filename:join([Root | string:lexemes(Text, "/")]),
         ok = filelib:ensure_dir(filename:join(Like, "sub/x")),
         ok = file:write_file(filename:join(Like, "file"), "")
     end || {_, Text} <- Through],
    [ok = file:make_symlink(Text ++ To, filename:join(Root, Name ++ Suffix))
     || {Name, Text} <- Links, {To, Suffix} <- [{"", ""}, {"/file", "file"}]],
    Before = everything(Host),
    Same = fun(What) -> {What, Before} = {What, everything(Host)} end,
    with(Config, fun(Drv) -> Fun(Drv, Root, [Name || {Name, _} <- Links], Own, Same) end),
    ok = file:del_dir_r(Root).

%% What is looked up may be something else a moment later: the calls themselves refuse a link.
changed_meanwhile(Config) ->
    hostile(Config,
            fun(Drv, Root, Names, Own, Same) ->
                    [begin
                         Mounts = [proc, Mount],
                         {ok, Spec} = alcove_sandbox_spec:parse(#{root => {rw, Root}, as => {4242, 4242}, mounts => Mounts}),
                         {ok, Here} = alcove_sandbox_here:look(Drv, Spec),
                         Look = fun(Path) ->
                                        case lists:suffix(Name, binary_to_list(Path)) of
                                            true -> directory;
                                            false -> Is
                                        end
                                end,
                         case alcove_sandbox_plan:calls(Spec, Here#{look := Look}) of
                             {ok, Calls} ->
                                 Options = #{namespaces => [newns, newpid, newipc, newuts, newcgroup, newnet],
                                             setup => Calls},
                                 Hides = lists:member(element(1, Mount), [masked, read_only]),
                                 case alcove_sandbox_attempt:try_out(Drv, Options) of
                                     {error, {openat2, eloop}} -> ok;
                                     {error, {Make, eexist}} when Make =:= open; Make =:= mkdir -> ok;
                                     %% What isn't there needs no hiding.
                                     ok when Is =:= absent, Hides -> ok
                                 end;
                             {error, {_, Reason}} ->
                                 true = lists:member(Reason, [eloop, enotdir, eexist])
                         end,
                         Same(Mount)
                     end || Name <- Names, Is <- [directory, file, absent], Mount <- led_out("/" ++ Name, Own)]
            end).

%% What can be told about everything in a directory: each change shows at least in a time.
everything(Dir) ->
    {ok, Names} = file:list_dir(Dir),
    [begin
         Path = filename:join(Dir, Name),
         {ok, Info} = file:read_link_info(Path),
         {Name, Info#file_info{atime = none, access = none},
          [everything(Path) || #file_info{type = directory} <- [Info]]}
     end || Name <- lists:sort(Names)].

%% Where Drv is root, the program is somebody who owns the root directory.
owned(Config, Dir, Spec) ->
    case proplists:get_value(as, Config, root) of
        root ->
            ok = file:change_owner(Dir, 4242, 4242),
            Spec#{as => {4242, 4242}};
        ordinary ->
            Spec
    end.

-define(PROGRAMS, [{ro, Path} || Path <- ["/usr", "/bin", "/lib", "/lib64"], filelib:is_dir(Path)]).

%% A program leaves a link for the next run, where the sandbox makes a directory for it.
former_run(Config) ->
    Root = directory(Config, "root"),
    Host = directory(Config, "host"),
    Victim = filename:join(Host, "victim"),
    ok = file:write_file(Victim, "secret"),
    ok = file:change_mode(Victim, 8#440),
    Before = everything(Host),
    Spec = owned(Config, Root, #{root => {rw, Root}, mounts => ?PROGRAMS ++ [proc, {dir, "/work"}]}),
    %% A file of the same name is on the host, too.
    Plant = lists:concat(["rm -rf /old && mv /work /old && mkdir -p /etc && ln -sf /proc/self/fd/$N/../", os:getpid(), "/root",
                          Victim, " /etc/passwd && ln -s /etc/passwd /work"]),
    with(Config,
         fun(Drv) ->
                 [begin
                      <<>> = sh(Drv, Plant, Spec#{env => #{"N" => integer_to_list(N)}}),
                      {error, {sandbox, {<<"/work">>, eloop}}} = alcove_sandbox:run(Drv, ["true"], Spec),
                      Before = everything(Host),
                      ok = file:delete(filename:join(Root, "work"))
                  end || N <- lists:seq(3, 6)]
         end).

%% The same, with a link to what is mounted inside, but isn't the program's.
shared_mount(Config) ->
    Root = directory(Config, "root"),
    Shared = directory(Config, "shared"),
    ok = file:make_dir(filename:join(Shared, "dir")),
    ok = file:write_file(filename:join(Shared, "file"), "secret"),
    ok = file:change_mode(filename:join(Shared, "file"), 8#600),
    ok = file:change_mode(Shared, 8#755),
    Before = everything(Shared),
    Spec = fun(Mounts) ->
                   owned(Config, Root, #{root => {rw, Root}, mounts => ?PROGRAMS ++ [{rw, Shared, "/shared"} | Mounts]})
           end,
    with(Config,
         fun(Drv) ->
                 Refused = fun(Link, Path, Mount) ->
                                   <<>> = sh(Drv, "mkdir -p /etc && " ++ Link, Spec([])),
                                   Result = alcove_sandbox:run(Drv, ["true"], Spec([Mount])),
                                   {Mount, {error, {sandbox, {Path, eloop}}}} = {Mount, Result},
                                   {Mount, Before} = {Mount, everything(Shared)},
                                   <<>> = sh(Drv, "rm -f /work /etc/passwd", Spec([]))
                           end,
                 Refused("ln -s ../shared/file /etc/passwd && ln -s /etc/passwd /work", <<"/work">>, {dir, "/work"}),
                 Into = "ln -s shared/dir /work",
                 [Refused(Into, Path, Mount)
                  || {Path, Mount} <- [{<<"/work">>, {dir, "/work"}}, {<<"/work/d">>, {dir, "/work/d"}},
                                       {<<"/work/f">>, {file, "/work/f", "x"}}, {<<"/work/l">>, {symlink, "x", "/work/l"}},
                                       {<<"/work/t">>, {tmpfs, "/work/t"}}, {<<"/work/a/b">>, {ro, "/usr", "/work/a/b"}},
                                       {<<"/work/p">>, {ro, "/etc/passwd", "/work/p"}}]],
                 %% Nothing is made when a mount goes where a link leads.
                 <<>> = sh(Drv, Into, Spec([])),
                 <<"x">> = sh(Drv, "echo x > /shared/dir/x; cat /work/x", Spec([{tmpfs, "/work"}])),
                 %% Not even in the root directory, where others may have directories.
                 <<>> = sh(Drv, "rm /work && ln -s usr /work", Spec([])),
                 {error, {sandbox, {<<"/work">>, eloop}}} = alcove_sandbox:run(Drv, ["true"], Spec([{dir, "/work"}]))
         end),
    Before = everything(Shared).

%% The links of a root directory are followed inside, as a program follows them; those of a mount
%% before as well.
links_of_a_root(Config) ->
    Root = filename:join(directory(Config, "top"), "root"),
    Dir = directory(Config, "dir"),
    ok = file:write_file(filename:join(Dir, "token"), "token"),
    ok = file:make_symlink("/run", filename:join(Dir, "run")),
    with(Config,
         fun(Drv) ->
                 [ok = file:make_dir(filename:join(Root, Name))
                  || Name <- ["", "usr", "var", "data", "run", "deep", "deep/er"]],
                 [ok = file:make_symlink(Text, filename:join(Root, Name))
                  || {Text, Name} <- [{"usr/bin", "bin"}, {"usr/lib", "lib"}, {"usr/lib64", "lib64"}, {"/run", "var/run"},
                                      {"../../run", "deep/er/relative"}, {"var/run", "twice"}, {"../../../../run", "up"},
                                      {"/none/at/all", "nowhere"}, {"round", "around"}, {"around", "round"}, {".", "whole"}]],
                 In = fun(How, Mounts) -> #{root => {How, Root}, mounts => [{ro, "/usr"} | Mounts]} end,
                 [[<<"token">> = sh(Drv, "cat /run/secrets/token", In(overlay, Before ++ [{ro, Dir, At ++ "/secrets"}]))
                   || At <- ["/run", "/var/run", "/deep/er/relative", "/twice", "/up"]]
                  || Before <- [[], [{tmpfs, "/run"}], [{tmpfs, "/var/run"}]]],
                 <<"token">> = sh(Drv, "cat /data/token", In(ro, [{ro, Dir, "/data"}])),
                 %% Where a link leads, what is missing is made.
                 <<"token">> = sh(Drv, "cat /nowhere/token", In(overlay, [{ro, Dir, "/nowhere"}])),
                 <<"token">> = sh(Drv, "cat /nowhere/x/token", In(overlay, [{ro, filename:join(Dir, "token"), "/nowhere/x/token"}])),
                 %% As root's, and the program's.
                 <<"1000 x /run/d">> =
                     sh(Drv, "echo $(stat -c %u /run/d) $(cat /run/f) $(readlink /run/l)",
                        In(overlay, [{dir, "/var/run/d"}, {file, "/var/run/f", "x"}, {symlink, "/run/d", "/var/run/l"}])),
                 %% A link that the spec has made.
                 <<"x">> = sh(Drv, "cat /tmp/f", #{mounts => [system, {tmpfs, "/data"}, {symlink, "/data", "/tmp"}, {file, "/tmp/f", "x"}]}),
                 %% A link of a directory that is mounted.
                 <<"token">> = sh(Drv, "cat /run/x/token", In(overlay, [{rw, Dir, "/data"}, {ro, Dir, "/data/run/x"}])),
                 [{error, {sandbox, {Path, eloop}}} = alcove_sandbox:run(Drv, ["true"], In(overlay, Mounts))
                  || {Path, Mounts} <- [{<<"/data/run/x">>, [{rw, Dir, "/data"}, {dir, "/data/run/x"}]},
                                        {<<"/round/x">>, [{tmpfs, "/round/x"}]},
                                        {<<"/var/run/dev">>, [{dev, "/var/run/dev", []}]},
                                        {<<"/proc/self/x">>, [proc, {tmpfs, "/proc/self/x"}]}]],
                 {error, {sandbox, {<<"/data/token/x">>, enotdir}}} =
                     alcove_sandbox:run(Drv, ["true"], In(overlay, [{rw, Dir, "/data"}, {tmpfs, "/data/token/x"}])),
                 {error, {sandbox, {<<"/whole">>, ebusy}}} = alcove_sandbox:run(Drv, ["true"], In(overlay, [{tmpfs, "/whole"}]))
         end),
    {ok, ["run", "token"]} = then_sorted(file:list_dir(Dir)).

then_sorted({ok, Names}) -> {ok, lists:sort(Names)}.

%% Once the process is in the new root it looks up no path by itself: it opens what it names with
%% openat2, which follows no link and stays inside, and makes single names in a directory.
paths_after_pivot(Config) ->
    Root = directory(Config, "root"),
    Dir = directory(Config, "dir"),
    [_ = directory(Config, "root/" ++ Name) || Name <- ["usr", "old"]],
    [ok = file:make_symlink("usr/" ++ Name, filename:join(Root, Name)) || Name <- ["bin", "lib", "lib64"]],
    Made = [{tmpfs, "/a/t"}, {rw, Dir, "/a/b/c"}, {ro, "/etc/passwd", "/a/f"}, {rw, Dir, "/d", [noexec, alone]},
            {dir, "/a/dir", 8#700}, {file, "/a/file", binary:copy(<<"x">>, 100000)}, {symlink, "/a", "/a/l"},
            {sysfs, "/sys"}, {mqueue, "/q"}, {empty, "/e"}, {masked, "/old"}, {masked, "/a/f"}, {read_only, "/a/t"}],
    with(Config,
         fun(Drv) ->
                 [begin
                      {ok, #{calls := Calls}} = alcove_sandbox:explain(Drv, Spec),
                      [_ | After] = lists:dropwhile(fun({Name, _}) -> Name =/= pivot_root end, Calls),
                      true = length(After) > 100,
                      [] = [Call || Call <- After, not stays(Call)]
                  end || Spec <- [#{root => {overlay, Root}, mounts => [{ro, "/usr"}, proc, dev | Made]},
                                  #{root => {rw, Root}, mounts => [{ro, "/usr"}, proc, dev | Made]},
                                  #{mounts => [system, proc, dev, {dir, "/old"} | Made]}] ++
                      [#{root => {overlay, Root}, mounts => [{ro, "/usr"}, {dir, "/old"}, proc, dev, {ro, "/usr", "/x/y"}]}
                       || proplists:get_value(as, Config, root) =:= root]]
         end).

stays({openat2, [Dir, Path, _, _, Resolve]}) ->
    is_integer(Dir) andalso lists:member(resolve_no_symlinks, Resolve) andalso
        (lists:member(resolve_in_root, Resolve) orelse
         lists:member(resolve_beneath, Resolve) andalso binary:match(Path, <<"/">>) =:= nomatch);
stays({open, [Name, Flags, _]}) -> is_name(Name) andalso lists:member(o_creat, Flags) andalso lists:member(o_excl, Flags);
stays({symlink, [_, Name]}) -> is_name(Name);
stays({mkdir, [Name, _]}) -> is_name(Name);
stays({Call, [Path | _]}) when Call =:= chmod; Call =:= chown; Call =:= umount2 -> Path =:= <<".">>;
stays({mount, [_, Path | _]}) -> Path =:= <<".">>;
stays({chdir, [Path]}) -> Path =:= <<"/">>;
stays({mount_setattr, [Fd, Path | _]}) -> {Fd, Path} =:= {at_fdcwd, <<"/">>} orelse is_integer(Fd) andalso Path =:= <<>>;
stays({open_tree, [Fd, Path, _]}) -> is_integer(Fd) andalso Path =:= <<>>;
stays({move_mount, [From, <<>>, To, <<>>, _]}) -> is_integer(From) andalso is_integer(To);
stays({write, [Fd, _]}) -> is_integer(Fd);
stays({syscall, [Call | _]}) -> lists:member(Call, [fchdir, fchmod, fchown, close_range, keyctl, umask]);
stays({Call, _}) ->
    lists:member(Call, [close, prctl, sethostname, socket, ioctl, setgroups, setresgid, setresuid, unshare, setrlimit,
                        landlock_create_ruleset, landlock_add_rule, landlock_restrict_self, cap_drop_bound,
                        cap_set_ambient, capset]).

is_name(Name) -> is_binary(Name) andalso Name =/= <<"..">> andalso binary:match(Name, <<"/">>) =:= nomatch.

%% What is hidden is hidden where the mount is, wherever the links on its path have put it.
hidden_behind_links(Config) ->
    Root = directory(Config, "root"),
    Dir = directory(Config, "dir"),
    [ok = file:make_dir(filename:join(Root, Name)) || Name <- ["usr", "var", "run", "run/secrets"]],
    [ok = file:make_symlink("usr/" ++ Name, filename:join(Root, Name)) || Name <- ["bin", "lib", "lib64"]],
    [ok = file:write_file(filename:join(Dir, Name), "token") || Name <- ["token", "fixed"]],
    [ok = file:change_mode(filename:join(Dir, Name), 8#666) || Name <- ["token", "fixed"]],
    [begin
         ok = file:make_symlink(Link, filename:join(Root, "var/run")),
         with(Config, fun(Drv) -> hidden_behind_link(Drv, Root, Dir) end),
         ok = file:delete(filename:join(Root, "var/run"))
     end || Link <- ["../run", "/run"]],
    {ok, <<"token">>} = file:read_file(filename:join(Dir, "fixed")).

hidden_behind_link(Drv, Root, Dir) ->
    Spec = fun(Hidden) -> #{root => {ro, Root}, mounts => [{ro, "/usr"}, {rw, Dir, "/var/run/secrets"} | Hidden]} end,
    Both = "cat /run/secrets/token /var/run/secrets/token 2>&-; echo end",
    <<"tokentokenend">> = sh(Drv, Both, Spec([])),
    <<"end">> = sh(Drv, Both, Spec([{masked, "/run/secrets/token"}])),
    <<>> = sh(Drv, "ls /run/secrets", Spec([{masked, "/run/secrets"}])),
    [{ok, #{status := 2}} =
         alcove_sandbox:run(Drv, ["sh", "-c", "echo x > /run/secrets/fixed"], Spec([{read_only, Path}]))
     || Path <- ["/run/secrets", "/run/secrets/fixed"]],
    %% There is nothing of the image to be hidden, and nothing of what is hidden already.
    <<"fixed">> = sh(Drv, "ls /run/secrets | grep -v token", Spec([{masked, "/run/secrets/none"}])),
    <<>> = sh(Drv, "ls /run/secrets", Spec([{masked, "/run/secrets"}, {masked, "/run/secrets/token"}])),
    {error, {sandbox, {<<"/var/run/secrets/token">>, eloop}}} =
        alcove_sandbox:run(Drv, ["true"], Spec([{masked, "/var/run/secrets/token"}])).

%% Inside a directory that is mounted alone there may be what another mount covers on the host.
hidden_alone(Config) ->
    Dir = directory(Config, "dir"),
    [_ = directory(Config, "dir/" ++ Name) || Name <- ["sub", "free"]],
    [ok = file:write_file(filename:join([Dir, Name, "token"]), "token") || Name <- ["sub", "free"]],
    with(Config,
         fun(Drv) ->
                 Spec = fun(Options, Hidden) ->
                                #{mounts => [system, {ro, Dir, "/data", Options} | [{masked, Path} || Path <- Hidden]]}
                        end,
                 Cat = "cat /data/sub/token /data/free/token 2>&-; echo end",
                 <<"tokentokenend">> = sh(Drv, Cat, Spec([alone], [])),
                 own_mounts(Drv),
                 ok = alcove:mount(Drv, [], "none", filename:join(Dir, "sub"), "tmpfs", 0, ""),
                 <<"tokentokenend">> = sh(Drv, Cat, Spec([alone], [])),
                 <<"tokenend">> = sh(Drv, Cat, Spec([alone], ["/data/free/token", "/data/none", "/data/free/none/x"])),
                 [{error, {sandbox, {Path, exdev}}} = alcove_sandbox:run(Drv, ["true"], Spec([alone], [Path]))
                  || Path <- [<<"/data/sub/token">>, <<"/data/sub">>, <<"/data/sub/none">>]],
                 %% With all mounts nothing is there.
                 <<"end">> = sh(Drv, Cat, Spec([], ["/data/sub/token", "/data/free/token"]))
         end).

%% A proc hides some of its paths by itself, and only a proc does, as long as nothing covers it.
hidden_twice(Config) ->
    with(Config,
         fun(Drv) ->
                 Hidden = [{masked, "/proc/interrupts"}, {masked, "/proc/keys"}, {read_only, "/proc/sys"}],
                 Calls = fun(Mounts) ->
                                 {ok, #{calls := Calls}} = alcove_sandbox:explain(Drv, #{mounts => [system | Mounts]}),
                                 length(Calls)
                         end,
                 true = Calls([proc]) =:= Calls([proc | Hidden]),
                 Proc = {ro, "/proc", "/proc"},
                 Shown = "for f in keys interrupts; do cat /proc/$f 2>&-; done | wc -c; "
                     "echo $(grep -c ' /proc/sys proc ro' /proc/mounts)",
                 [<<"0\n", Times>> = sh(Drv, Shown, #{mounts => [system | Mounts] ++ Hidden})
                  || {Times, Mounts} <- [{$1, [proc]}, {$1, [Proc]}, {$2, [proc, Proc]}]]
         end).

%% A Drv that sees what a script of root's mounts, root's or an ordinary user's.
where_mounted(Config, Script, Fun) ->
    alcove_test:need([root], fun() ->
        As = case proplists:get_value(as, Config) of
                 root -> "";
                 ordinary -> "setpriv --reuid=nobody --regid=nogroup --clear-groups -- "
             end,
        Mount = ["set -e; ", Script, "; exec ", As, "\"$@\""],
        Drv = in_namespace(alcove_test:install(alcove_test:tmp(Config)),
                           ["unshare", "--mount", "sh", "-c", lists:flatten(Mount), "sh"]),
        try Fun(Drv), true = alcove_test:until(fun() -> looking(Drv) =:= [] end) after alcove_drv:stop(Drv) end
    end).

%% The children of Drv but for those that keep programs.
looking(Drv) ->
    [Pid || #{pid := Pid, state := State} <- alcove:cpid(Drv, []), State =/= keeper].

%% What a sandbox hides in its proc is hidden wherever Drv sees less of one.
hidden_in_proc(Drv) ->
    Default = "cat /proc/keys /proc/interrupts /proc/timer_list 2>&-; find /proc/acpi /proc/scsi -mindepth 1 2>&-; "
        "for d in bus fs irq sys; do grep -c \" /proc/$d proc ro\" /proc/mounts; done",
    All = <<"1\n1\n1\n1">>,
    [All = sh(Drv, Default, Spec) || Spec <- [#{}, #{best_effort => true}]],
    More = [{masked, "/proc/version"}, {masked, "/proc/tty"}, {read_only, "/proc/driver"}, {masked, "/proc/sys/kernel/random"},
            {masked, "/proc/sys/kernel/ostype"}, {masked, "/proc/1/environ"}, {masked, "/proc/keys"},
            {masked, "/proc/none"}, {read_only, "/proc/sys/none"}],
    <<"ro">> = sh(Drv, "cat /proc/version /proc/sys/kernel/ostype /proc/1/environ 2>&-; find /proc/tty /proc/sys/kernel/random -mindepth 1; "
                  "grep ' /proc/driver proc' /proc/mounts | cut -d' ' -f4 | cut -d, -f1", #{mounts => [system, proc, dev | More]}),
    {error, {sandbox, {<<"/proc/self/environ">>, eloop}}} =
        alcove_sandbox:run(Drv, ["true"], #{mounts => [system, proc, {masked, "/proc/self/environ"}]}).

part_of_a_proc(Config) ->
    As = proplists:get_value(as, Config),
    Pids = "mount -t proc -o subset=pid proc /proc",
    Names = fun(Drv) ->
                    {ok, #{type := directory}} = alcove:stat(Drv, [], "/proc/self"),
                    {error, enoent} = alcove:stat(Drv, [], "/proc/keys")
            end,
    where_mounted(Config, Pids,
                  fun(Drv) ->
                          Names(Drv),
                          hidden_in_proc(Drv),
                          Write = "(: > /proc/sys/kernel/domainname) 2>&- || echo no",
                          <<"no">> = sh(Drv, Write, maps:from_list([{as, {0, 0}} || As =:= root]))
                  end),
    %% An ordinary user gets no proc where none is in full view.
    where_mounted(Config, Pids ++ "; mount -t tmpfs none /proc/1",
                  fun(Drv) when As =:= root ->
                          hidden_in_proc(Drv);
                     (Drv) ->
                          Names(Drv),
                          {error, {fsmount, eperm}} = alcove_sandbox:run(Drv, ["true"], #{}),
                          lacking(Drv, proc, {fsmount, eperm}),
                          <<>> = sh(Drv, "ls /proc 2>/dev/null; true", #{best_effort => true})
                  end).

%% A directory that has some of a proc's names. An ordinary user's sandbox needs more of them.
no_proc(Config) ->
    Bind = "mount -t tmpfs none /mnt; mkdir /mnt/p /mnt/q /mnt/q/sys; touch /mnt/q/interrupts; mount -t proc proc /mnt/p; "
        "ln -s ../mnt/p/self /mnt/q; mount --bind /mnt/q /proc",
    where_mounted(Config, Bind,
                  fun(Drv) ->
                          {ok, #{type := directory}} = alcove:lstat(Drv, [], "/proc/sys"),
                          {error, enoent} = alcove:stat(Drv, [], "/proc/keys"),
                          case proplists:get_value(as, Config) of
                              root ->
                                  hidden_in_proc(Drv);
                              ordinary ->
                                  [{error, {setgroups, enoent}} = alcove_sandbox:run(Drv, ["true"], #{best_effort => Effort})
                                   || Effort <- [false, true]]
                          end
                  end).

no_sysfs(Config) ->
    hidden_in_sysfs(Config, "mount -t tmpfs none /sys").

%% Something else is mounted in the sysfs, or it is only a part.
half_a_sysfs(Config) ->
    [hidden_in_sysfs(Config, Script) || Script <- ["mount -t tmpfs none /sys/kernel", "mount --bind /sys/kernel /sys"]].

hidden_in_sysfs(Config, Script) ->
    Sees = fun(Mounts) -> #{mounts => [system, proc, {sysfs, "/sys"} | Mounts]} end,
    where_mounted(Config, Script,
                  fun(Drv) ->
                          Masked = [{masked, "/sys/kernel/mm"}, {masked, "/sys/kernel/profiling"}, {masked, "/sys/kernel/none"},
                                    {read_only, "/sys/kernel/none"}, {masked, "/sys/kernel/mm/none"}],
                          Run = fun(Spec) -> alcove_sandbox:run(Drv, ["sh", "-c", "ls /sys/firmware /sys/kernel/mm; "
                                                                      "cat /sys/kernel/profiling 2>&-; ls -d /sys/kernel"], Spec) end,
                          case proplists:get_value(as, Config) of
                              root ->
                                  {ok, #{stdout := Text}} = Run(Sees(Masked)),
                                  <<"/sys/firmware:\n\n/sys/kernel/mm:\n/sys/kernel\n">> = Text,
                                  %% Hidden once, as often as it is said.
                                  <<"1">> = sh(Drv, "grep -c ' /sys/firmware tmpfs ro' /proc/mounts", Sees([{masked, "/sys/firmware"}]));
                              ordinary ->
                                  %% The kernel refuses a sysfs where none is in full view.
                                  {error, {fsmount, eperm}} = Run(Sees(Masked))
                          end
                  end).

%% The process that looks at a new proc ends with whoever has asked for it.
look_ends(_Config) ->
    alcove_test:need([root, {call, mount_setattr}], fun() ->
        {ok, Drv} = alcove_drv:start([exit_status, termsig]),
        Self = self(),
        Asks = spawn(fun() ->
                             Args = [self(), Drv, [clone_newns, clone_newpid], [proc]],
                             {Holder, Ref} = spawn_monitor(alcove_sandbox_kernel, hold, Args),
                             receive {Holder, {ok, Child, _Fds}} -> Self ! {holds, Holder, Child} end,
                             receive {'DOWN', Ref, process, Holder, _} -> ok end
                     end),
        {Holder, Child} = receive {holds, H, C} -> {H, C} end,
        [Child] = looking(Drv),
        Ref = monitor(process, Holder),
        exit(Asks, kill),
        receive {'DOWN', Ref, process, Holder, {shutdown, done}} -> ok after alcove_test:ms(5000) -> ct:fail(holds) end,
        true = alcove_test:until(fun() -> looking(Drv) =:= [] end),
        {error, {sandbox, {<<"/proc/self/x">>, eloop}}} =
            alcove_sandbox:run(Drv, ["true"], #{mounts => [proc, {masked, "/proc/tty/none"}, {masked, "/proc/self/x"}]}),
        true = alcove_test:until(fun() -> looking(Drv) =:= [] end),
        %% Nobody else has got a message.
        receive {alcove_event, Drv, _, _} = Event -> ct:fail(Event) after 0 -> ok end,
        alcove_drv:stop(Drv)
    end).

%% What the program gets of the host stays the host's: so does the device that stands for no
%% input.
devices_stay(Config) ->
    {ok, Before} = file:read_file_info("/dev/null"),
    with(Config,
         fun(Drv) ->
                 [{ok, #{status := 0}} =
                      alcove_sandbox:run(Drv, ["sh", "-c", "cat < /dev/null; cat /proc/self/fd/0; echo x > /dev/null"],
                                         maps:merge(#{stdout => discard, stderr => stdout}, Options))
                  || Options <- [#{}, #{stdin => none}, #{stdin => ""}, #{stdin => {data, [[], <<>>]}}]],
                 {ok, Pid} = alcove_sandbox:start_link(Drv, ["cat"], #{}),
                 ok = alcove_proc:eof(Pid),
                 {ok, #{status := 0}} = alcove_proc:await(Pid)
         end),
    {ok, After} = file:read_file_info("/dev/null"),
    Owner = fun(#file_info{uid = Uid, gid = Gid, mode = Mode}) -> {Uid, Gid, Mode} end,
    true = Owner(Before) =:= Owner(After).

descriptors(Config) ->
    with(Config,
         fun(Drv) ->
                 %% What the user opened in Drv's root is the host's.
                 {ok, _} = alcove:open(Drv, "/etc", [o_rdonly, o_directory], 0),
                 {ok, High} = alcove:open(Drv, "/etc", [o_rdonly, o_directory], 0),
                 {ok, 200} = alcove:dup2(Drv, High, 200),
                 <<"0 1 2 3">> = sh(Drv, "exec ls /proc/self/fd | xargs echo")
         end).

network(Config) ->
    with(Config,
         fun(Drv) ->
                 <<"lo:">> = sh(Drv, "cut -d' ' -f1 /proc/net/route | tail -n +2; sed -n 's/^ *\\([a-z0-9]*:\\).*/\\1/p' /proc/net/dev"),
                 {ok, Host} = file:read_link("/proc/self/ns/net"),
                 Namespace = fun(Spec) -> binary_to_list(sh(Drv, "readlink /proc/self/ns/net", Spec)) end,
                 {Host, true} = {Namespace(#{network => host}), Namespace(#{}) =/= Host}
         end).

%% An address of this case alone.
loopback() ->
    N = erlang:unique_integer([positive]) band 16#ff,
    Pid = list_to_integer(os:getpid()),
    {127, 1 + ((Pid bsr 8) band 16#7f), Pid band 16#ff, 1 + (N band 16#7f)}.

connected(Address, Port) ->
    gen_tcp:connect(Address, Port, [binary, {active, false}], alcove_test:ms(5000)).

%% What a client has sent and got.
answer(Address, Port) ->
    {ok, Socket} = connected(Address, Port),
    ok = gen_tcp:send(Socket, "hello"),
    {ok, Answer} = gen_tcp:recv(Socket, 0, alcove_test:ms(30000)),
    ok = gen_tcp:close(Socket),
    Answer.

%% Takes a connection of each of its sockets, and answers.
-define(SERVER,
    "use Socket; for $n (3 .. 2 + $ENV{LISTEN_FDS}) { open(S, '+<&=', $n) or die; accept(C, S) or die; sysread(C, $b, 100); "
    "syswrite(C, \"$$ $ENV{LISTEN_PID} $ENV{LISTEN_FDS} $ENV{LISTEN_FDNAMES} $b\"); close C; } ").

%% Who is outside comes in, and the program doesn't get out: neither by new sockets, nor by those
%% that it has.
listens(Config) ->
    Path = filename:join(directory(Config, "sockets"), "socket"),
    Address = loopback(),
    {ok, Outside} = gen_tcp:listen(0, [{ip, Address}, {active, false}]),
    {ok, Port} = inet:port(Outside),
    Out = lists:flatten(io_lib:format("pack_sockaddr_in(~b, inet_aton('~s'))", [Port, inet:ntoa(Address)])),
    Tries = ["sub told { print STDOUT $_[0] ? 'got out' : $! + 0, ' ' } $| = 1; "
             "socket(N, AF_INET, SOCK_STREAM, 0); told(connect(N, ", Out, ")); "
             "told(send(N, 'x', 0x20000000, ", Out, ")); "
             "open(T, '+<&=', 3) or die; shutdown(T, 2); told(connect(T, ", Out, ")); "
             "told(send(T, 'x', 0x20000000, ", Out, ")); "
             "told(bind(T, pack_sockaddr_in(0, INADDR_ANY))); listen(T, 1) or die; print unpack('i', getsockopt(T, SOL_SOCKET, 30));"],
    alcove_test:need([{program, "perl"}], fun() -> with(Config,
        fun(Drv) ->
                Free = lowest(Drv),
                Listen = [{tcp, Address, 8080, #{name => "http"}}, {unix, Path}],
                Perl = fun(Script, More) -> alcove_sandbox:start_link(Drv, ["perl", "-e", lists:flatten(Script)], More) end,
                {ok, Pid} = Perl([?SERVER, Tries], #{listen => Listen, stdout => collect, stderr => collect}),
                <<"2 2 2 http:unknown hello">> = answer(Address, 8080),
                <<"2 2 2 http:unknown hello">> = answer({local, Path}, 0),
                {ok, #{status := 0, stdout := <<"13 13 13 13 13 0">>, stderr := <<>>}} = alcove_proc:await(Pid),
                true = alcove_test:until(fun() -> file:read_link_info(Path) =:= {error, enoent} end),
                {error, econnrefused} = connected(Address, 8080),
                %% Whatever filter it has, and with whatever it is to go without.
                {ok, Again} = Perl([?SERVER, Tries], #{listen => [{tcp, inet:ntoa(Address), 8080}], seccomp => none,
                                                       best_effort => true, stdout => collect, stderr => collect}),
                <<"2 2 1 unknown hello">> = answer(Address, 8080),
                {ok, #{status := 0, stdout := <<"13 13 13 13 13 0">>, stderr := <<>>}} = alcove_proc:await(Again),
                %% Only these are there.
                <<"0 1 2 3 4 5">> = sh(Drv, "exec ls /proc/self/fd | xargs echo", #{listen => Listen}),
                <<"lo:">> = sh(Drv, "sed -n 's/^ *\\([a-z0-9]*:\\).*/\\1/p' /proc/net/dev", #{listen => Listen}),
                %% What it can see of its init is no other network either.
                <<"lo:">> = sh(Drv, "sed -n 's/^ *\\([a-z0-9]*:\\).*/\\1/p' /proc/1/net/dev; tail -n +2 /proc/1/net/tcp", #{listen => Listen}),
                <<"lo">> = sh(Drv, "ls /sys/class/net", #{listen => Listen, mounts => [system, {sysfs, "/sys"}]}),
                {error, enoent} = file:read_link_info(Path),
                {ok, #{in_force := #{listen := [{tcp, Address, 8080}, {unix, _}]}}} = alcove_sandbox:explain(Drv, #{listen => Listen}),
                {error, enoent} = file:read_link_info(Path),
                %% The program is killed, or its owner has ended.
                {ok, Killed} = Perl(?SERVER, #{listen => Listen}),
                {ok, _} = file:read_link_info(Path),
                {error, {sandbox, {listen, {{unix, _}, eaddrinuse}}}} = Perl(?SERVER, #{listen => Listen}),
                {ok, _} = alcove_proc:stop(Killed),
                true = alcove_test:until(fun() -> file:read_link_info(Path) =:= {error, enoent} end),
                Self = self(),
                {Owner, Ref} = spawn_monitor(fun() ->
                                                     {ok, _} = Perl(?SERVER, #{listen => Listen}),
                                                     Self ! there,
                                                     receive stop -> ok end
                                             end),
                receive there -> ok; {'DOWN', Ref, process, Owner, Why} -> error(Why) end,
                exit(Owner, kill),
                true = alcove_test:until(fun() -> file:read_link_info(Path) =:= {error, enoent} end),
                Free = lowest(Drv),
                ok
        end) end),
    {error, timeout} = gen_tcp:accept(Outside, 0),
    ok = gen_tcp:close(Outside).

%% The descriptor that would be the next in Drv's root.
lowest(Drv) ->
    {ok, Fd} = alcove:open(Drv, "/dev/null", [o_rdonly], 0),
    ok = alcove:close(Drv, Fd),
    Fd.

%% Which one can't be had is said, and nothing is left of the others.
not_listening(Config) ->
    Dir = directory(Config, "sockets"),
    [First, There, Long] = [filename:join(Dir, Name) || Name <- ["first", "there", lists:duplicate(100, $x)]],
    ok = file:write_file(There, "file"),
    Address = loopback(),
    {ok, Taken} = gen_tcp:listen(0, [{ip, Address}]),
    {ok, Port} = inet:port(Taken),
    with(Config,
         fun(Drv) ->
                 Free = lowest(Drv),
                 Ordinary = alcove:geteuid(Drv) =/= 0,
                 Fails = fun(Listener) ->
                                 Listen = [{unix, First}, {tcp, Address, 8080}, Listener],
                                 [begin
                                      {error, {sandbox, {listen, {_, Reason}}} = Error} =
                                          alcove_sandbox:run(Drv, ["true"], #{listen => Listen, best_effort => Effort}),
                                      {error, enoent} = file:read_link_info(First),
                                      {error, econnrefused} = connected(Address, 8080),
                                      {Reason, iolist_to_binary(alcove:format_error(Error))}
                                  end || Effort <- [false, true]]
                         end,
                 Said = fun(Reason, Part, Listener) ->
                                [{Reason, Text} = {Is, Text} || {Is, Text} <- Fails(Listener),
                                                                true <- [string:find(Text, Part) =/= nomatch]]
                        end,
                 [[_, _] = Said(Reason, Part, Listener)
                  || {Reason, Part, Listener} <-
                         [{eaddrinuse, integer_to_list(Port), {tcp, Address, Port}},
                          {eaddrnotavail, "192.0.2.1", {tcp, {192, 0, 2, 1}, 8080}},
                          {eaddrinuse, There, {unix, There}},
                          {enoent, "none", {unix, filename:join(Dir, "none/socket")}}] ++
                             [{eacces, "1024", {tcp, Address, 81}} || Ordinary]],
                 {ok, <<"file">>} = file:read_file(There),
                 [{badarg, {listen, _}} = refused(Drv, #{listen => Listen})
                  || Listen <- [all, [{tcp, Address, 0}], [{tcp, Address, 65536}], [{tcp, "localhost", 80}], [{tcp, {1, 2, 3}, 80}],
                                [{unix, "relative"}], [{unix, Long}], [{unix, "/a\0b"}], [{unix, First, #{name => "a:b"}}],
                                [{unix, First, #{name => ""}}], [{unix, First, #{mode => 1}}], [{tcp, Address, 80, []}],
                                [{tcp, Address, 80, #{backlog => 0}}], [{unix, First}, {unix, First}], [{udp, Address, 80}],
                                [{unix, First} | x], [{tcp, Address, N} || N <- lists:seq(1, 17)]]],
                 Free = lowest(Drv),
                 ok
         end),
    ok = gen_tcp:close(Taken).

%% On the host's network it may connect as ever.
listens_on_host(Config) ->
    Address = loopback(),
    {ok, Outside} = gen_tcp:listen(0, [{ip, Address}, {active, false}]),
    {ok, Port} = inet:port(Outside),
    Script = io_lib:format("socket(N, AF_INET, SOCK_STREAM, 0); connect(N, pack_sockaddr_in(~b, inet_aton('~s'))) or die;",
                           [Port, inet:ntoa(Address)]),
    alcove_test:need([{program, "perl"}], fun() -> with(Config,
        fun(Drv) ->
                {ok, Pid} = alcove_sandbox:start_link(Drv, ["perl", "-e", lists:flatten([?SERVER, Script])],
                                                      #{listen => [{tcp, Address, 8080}], network => host}),
                <<"2 2 1 unknown hello">> = answer(Address, 8080),
                {ok, #{status := 0}} = alcove_proc:await(Pid)
        end) end),
    ok = gen_tcp:close(Outside).

%% A file that is the program's input can't be opened again and written to.
input_is_read_only(Config) ->
    File = filename:join(directory(Config, "in"), "input"),
    with(Config,
         fun(Drv) ->
                 case alcove:landlock_abi(Drv) of
                     {ok, _} ->
                         {ok, #{status := 0}} =
                             alcove_proc:run(Drv, ["sh", "-c", "echo x > \"$0\" && chmod 666 \"$0\"", File]),
                         Spec = #{stdin => {file, File}},
                         {ok, #{status := 2}} =
                             alcove_sandbox:run(Drv, ["sh", "-c", "echo y > /proc/self/fd/0"], Spec),
                         {ok, #{status := 0, stdout := <<"x\nx\n">>}} =
                             alcove_sandbox:run(Drv, ["sh", "-c", "cat; cat /dev/stdin"], Spec);
                     {error, _} ->
                         ok
                 end
         end).

%% On the host's network it finds no abstract socket of the host's, where the kernel has that
%% of Landlock.
abstract_sockets(Config) ->
    with_probe(Config,
        fun(Probe, Secret) ->
                {ok, Socket} = gen_tcp:listen(0, [{ifaddr, {local, [0 | Secret]}}]),
                Try = fun(Drv) ->
                              Spec = #{network => host, mounts => [system, proc, dev, {tmpfs, "/tmp"}, {ro, Probe, "/probe"}]},
                              {ok, #{status := 0, stdout := Text, sandbox := #{landlock := Landlock}}} =
                                  alcove_sandbox:run(Drv, ["/probe", Secret, "abstract_socket"], Spec),
                              {Landlock, told(Text)}
                      end,
                Held = {[], [<<"abstract_socket">>]},
                Broke = {[<<"abstract_socket: connected">>], []},
                case with(Config, Try) of
                    {{abi, Version}, Told} when Version >= 6 -> Held = Told;
                    {_, Told} -> Broke = Told
                end,
                {{lacking, enosys}, Broke} =
                    with(Config, fun(Drv) -> ok = lacks(Drv, [{landlock_create_ruleset, {errno, 38}}]), Try(Drv) end),
                ok = gen_tcp:close(Socket)
        end).

terminal(Config) ->
    with(Config,
         fun(Drv) ->
                 Script = "test -t 0 && stty size < /dev/tty && echo x > /proc/self/fd/0",
                 {ok, #{status := 0, stdout := <<"24 80\r\nx\r\n">>}} =
                     alcove_sandbox:run(Drv, ["sh", "-c", Script], #{pty => true})
         end).

%% ---------------------------------------------------------------------------
%% What a machine may lack
%% ---------------------------------------------------------------------------

%% From now on system calls fail for a Drv as where the kernel lacks something.
lacks(Drv, Rules) ->
    alcove_seccomp:install(Drv, [], #{default => allow, rules => Rules}).

%% What is missing is an error, and with best effort it is told.
without(Config, Rules, Name, Error) ->
    with(Config,
         fun(Drv) ->
                 ok = lacks(Drv, Rules),
                 {error, Error} = alcove_sandbox:run(Drv, ["true"], #{}),
                 {error, Error} = alcove_sandbox:start_link(Drv, ["true"], #{}),
                 lacking(Drv, Name, Error)
         end).

lacking(Drv, Name, Why) ->
    {ok, #{status := 0, sandbox := #{Name := {lacking, Why}} = Sandbox}} =
        alcove_sandbox:run(Drv, ["true"], #{best_effort => true}),
    {ok, #{lacking := #{Name := Why} = Lacking, in_force := Force}} = alcove_sandbox:explain(Drv, #{}),
    false = is_map_key(Name, Force),
    [] = maps:keys(Force) -- maps:keys(Sandbox),
    [] = maps:keys(Lacking) -- maps:keys(Sandbox),
    {ok, Pid} = alcove_sandbox:start_link(Drv, ["true"], #{best_effort => true}),
    {ok, #{status := 0}} = alcove_proc:await(Pid).

nothing_lacks(Config) ->
    with(Config,
         fun(Drv) ->
                 {ok, #{sandbox := Sandbox}} = alcove_sandbox:run(Drv, ["true"], #{best_effort => true}),
                 {ok, #{lacking := Lacking, in_force := Force}} = alcove_sandbox:explain(Drv, #{}),
                 #{user_namespace := own, keyring := own, proc := own, seccomp := default} = Force,
                 [] = maps:keys(Lacking) -- [cpu, landlock],
                 %% The user is another each time.
                 Same = fun(Map) -> maps:without([user | maps:keys(Lacking)], Map) end,
                 true = Same(Sandbox) =:= Same(Force),
                 %% What has nothing to do with the machine isn't tried again.
                 {error, {execvp, enoent}} =
                     alcove_sandbox:run(Drv, ["no-such-program"], #{best_effort => true})
         end).

%% Landlock is there in addition.
no_landlock(Config) ->
    with(Config,
         fun(Drv) ->
                 ok = lacks(Drv, [{landlock_create_ruleset, {errno, 95}}]),
                 {ok, #{status := 0, sandbox := #{landlock := {lacking, enotsup}}}} =
                     alcove_sandbox:run(Drv, ["true"], #{}),
                 lacking(Drv, landlock, enotsup)
         end).

no_keyring(Config) ->
    without(Config, [{keyctl, {errno, 38}}], keyring, {syscall, enosys}).

%% PR_SET_SECCOMP, of a kernel without filters.
no_filters(Config) ->
    without(Config, [{prctl, [{0, eq, 22, 32}], {errno, 22}}, {seccomp, {errno, 38}}], seccomp, {prctl, einval}).

%% Linux 5.10, which has neither the flag of close_range(2) nor mount_setattr(2): there are no sandboxes.
old_kernel(Config) ->
    alcove_test:need([root], fun() -> without_mount_setattr([{as, root} | Config]) end).

old_kernel_rootless(Config) ->
    alcove_test:need([ordinary, userns], fun() -> without_mount_setattr([{as, ordinary} | Config]) end).

without_mount_setattr(Config) ->
    with(Config,
         fun(Drv) ->
                 ok = lacks(Drv, [{close_range, [{2, eq, 4, 32}], {errno, 22}}, {mount_setattr, {errno, 38}}]),
                 [{error, {mount_setattr, enosys}} = alcove_sandbox:run(Drv, ["true"], #{best_effort => Effort})
                  || Effort <- [false, true]]
         end).

%% Root's sandboxes can do without; an ordinary user has nothing else to make one of.
no_user_namespaces(Config) ->
    Flag = 16#10000000,
    NoNew = [{0, {masked_eq, Flag}, Flag, 64}],
    case proplists:get_value(as, Config, root) of
        root ->
            Rules = [{unshare, NoNew, {errno, 1}}],
            without(Config, Rules, user_namespace, {unshare, eperm}),
            with(Config,
                 fun(Drv) ->
                         ok = lacks(Drv, Rules),
                         {ok, #{stdout := Status, sandbox := #{user := {unused, Uid}}}} =
                             alcove_sandbox:run(Drv, ["sh", "-c", "id -u; id -un; sed -n 's/^Cap...:.//p' /proc/self/status"],
                                                #{best_effort => true}),
                         [Text, <<"user">> | Caps] = string:lexemes(Status, "\n"),
                         Uid = binary_to_integer(Text),
                         [<<"0000000000000000">>] = lists:usort(Caps)
                 end);
        ordinary ->
            with(Config,
                 fun(Drv) ->
                         ok = lacks(Drv, [{[unshare, clone], NoNew, {errno, 1}}, {clone3, {errno, 38}}]),
                         [{error, {fork, eperm}} = alcove_sandbox:run(Drv, ["true"], #{best_effort => Effort})
                          || Effort <- [false, true]],
                         {error, {fork, eperm}} = alcove_sandbox:explain(Drv, #{})
                 end)
    end.

%% What was used up at that moment isn't lacking, and neither is what the spec has wrong: the program
%% doesn't run with less.
shortages(Config) ->
    Flag = 16#10000000,
    As = proplists:get_value(as, Config),
    Refused = fun(Drv, Spec, Error) ->
                      {error, Error} = alcove_sandbox:run(Drv, ["true"], Spec#{best_effort => true}),
                      {error, Error} = alcove_sandbox:start_link(Drv, ["true"], Spec#{best_effort => true}),
                      {error, Error} = alcove_sandbox:explain(Drv, Spec)
              end,
    Short = fun(Rules, Error) ->
                    with(Config, fun(Drv) -> ok = lacks(Drv, Rules), Refused(Drv, #{}, Error) end)
            end,
    Short([{keyctl, {errno, 122}}], {syscall, edquot}),
    Short([{prctl, [{0, eq, 22, 32}], {errno, 12}}], {prctl, enomem}),
    Short([{fsmount, {errno, 24}}], {fsmount, emfile}),
    As =:= root andalso Short([{unshare, [{0, {masked_eq, Flag}, Flag, 64}], {errno, 11}}], {unshare, eagain}),
    %% Neither when something else is lacking: the search for that ends with the shortage.
    Short([{keyctl, {errno, 38}}, {prctl, [{0, eq, 22, 32}], {errno, 12}}], {syscall, enosys}),
    with(Config,
         fun(Drv) ->
                 Refused(Drv, #{seccomp => <<0:64>>}, {prctl, einval}),
                 case alcove_sandbox:explain(Drv, #{}) of
                     {ok, #{in_force := #{cpu := {cgroup, _}}}} ->
                         Few = #{limits => #{cpu => 0.0001}},
                         {error, {cgroup, {_, einval}} = Error} = alcove_sandbox:run(Drv, ["true"], Few),
                         {error, {cgroup, {_, einval}}} = alcove_sandbox:run(Drv, ["true"], Few#{best_effort => true}),
                         _ = alcove:format_error(Error);
                     {ok, _} ->
                         ok
                 end
         end).

%% With few descriptors left, nothing is lacking either: there is a sandbox, or an error.
out_of_descriptors(Config) ->
    with(Config,
         fun(Drv) ->
                 {ok, #{sandbox := Force}} = alcove_sandbox:run(Drv, ["true"], #{}),
                 Same = fun(Sandbox) -> maps:remove(user, Sandbox) =:= maps:remove(user, Force) end,
                 {ok, {alcove_rlimit, Soft, Hard}} = alcove:getrlimit(Drv, [], rlimit_nofile),
                 Run = fun(Most, Spec) ->
                               ok = alcove:setrlimit(Drv, [], rlimit_nofile, {alcove_rlimit, Most, Hard}),
                               alcove_sandbox:run(Drv, ["true"], Spec)
                       end,
                 Became = fun({ok, #{status := 0, sandbox := Sandbox}}) -> true = Same(Sandbox), ran;
                             ({error, {cgroup, {_, emfile}}}) -> cgroup;
                             ({error, {sandbox, {mounts, emfile}}}) -> limit;
                             ({error, _}) -> none
                          end,
                 Ran = [Became(Run(Most, #{best_effort => Effort}))
                        || Most <- lists:seq(3, 30) ++ [40, 62, 63, 64, 65], Effort <- [false, true]],
                 {true, true} = {lists:member(limit, Ran), lists:member(ran, Ran)},
                 %% So many are left for what root itself opens.
                 Full = fun(Free, Spec) ->
                                {Closed, Open} = lists:split(Free, fill(Drv, [])),
                                [ok = alcove:close(Drv, [], Fd) || Fd <- Closed],
                                Outcome = Became(Run(40, Spec)),
                                [ok = alcove:close(Drv, [], Fd) || Fd <- Open],
                                Outcome
                        end,
                 ok = alcove:setrlimit(Drv, [], rlimit_nofile, {alcove_rlimit, 40, Hard}),
                 Few = [Full(Free, #{best_effort => Effort}) || Free <- lists:seq(0, 12), Effort <- [false, true]],
                 maps:is_key(memory, Force) andalso element(1, maps:get(memory, Force)) =:= cgroup andalso
                     (true = lists:member(cgroup, Few)),
                 true = lists:member(ran, Few),
                 {ok, #{sandbox := Whole}} = Run(Soft, #{best_effort => true}),
                 true = Same(Whole)
         end).

fill(Drv, Fds) ->
    case alcove:open(Drv, [], "/dev/null", [o_rdonly, o_cloexec], 0) of
        {ok, Fd} -> fill(Drv, [Fd | Fds]);
        {error, emfile} -> Fds
    end.

%% ENOSPC of unshare(2) says either that the machine has turned them off or that all are in use.
all_user_namespaces_in_use(Config) ->
    Flag = 16#10000000,
    Off = filename:join(directory(Config, "off"), "max"),
    ok = file:write_file(Off, "0\n"),
    with(Config,
         fun(Drv) ->
                 ok = lacks(Drv, [{unshare, [{0, {masked_eq, Flag}, Flag, 64}], {errno, 28}}]),
                 [{error, {unshare, enospc}} = alcove_sandbox:run(Drv, ["true"], #{best_effort => Effort})
                  || Effort <- [false, true]],
                 own_mounts(Drv),
                 ok = alcove:mount(Drv, [], Off, "/proc/sys/user/max_user_namespaces", "", [ms_bind], ""),
                 lacking(Drv, user_namespace, {unshare, enospc})
         end).

%% Memory and processes are limited by other means; processors can't be, and who asked for that
%% is told.
no_control_groups(Config) ->
    As = proplists:get_value(as, Config),
    Given = fun(Drv) -> As =:= ordinary andalso alcove_cgroup_own:offered({Drv, []}, user, [<<"memory">>]) =/= {ok, []} end,
    case with(Config, Given) of
        true -> alcove_test:skip("needs an ordinary user to whom no control group was delegated");
        false -> without_control_groups(Config, As)
    end.

without_control_groups(Config, As) ->
    with(Config,
         fun(Drv) ->
                 case As of
                     root ->
                         own_mounts(Drv),
                         ok = alcove:mount(Drv, [], "none", "/sys/fs/cgroup", "tmpfs", 0, "");
                     ordinary ->
                         ok
                 end,
                 {ok, #{status := 0, sandbox := #{memory := {rlimit, _}, pids := {rlimit, 64},
                                                  cpu := {lacking, no_control_group}}}} =
                     alcove_sandbox:run(Drv, ["true"], #{}),
                 Asked = #{limits => #{cpu => 2}},
                 {error, {sandbox, {cpu, no_control_group}}} = alcove_sandbox:run(Drv, ["true"], Asked),
                 {ok, #{sandbox := #{cpu := {lacking, no_control_group}}}} =
                     alcove_sandbox:run(Drv, ["true"], Asked#{best_effort => true}),
                 {ok, #{lacking := #{cpu := no_control_group}}} = alcove_sandbox:explain(Drv, Asked)
         end).

own_mounts(Drv) ->
    ok = alcove:unshare(Drv, [], [clone_newns]),
    ok = alcove:mount(Drv, [], "none", "/", "", [ms_rec, ms_slave], "").

%% As in a container.
read_only_control_groups(Config) ->
    with(Config,
         fun(Drv) ->
                 {ok, #{in_force := Before}} = alcove_sandbox:explain(Drv, #{}),
                 own_mounts(Drv),
                 {ok, Table} = file:read_file("/proc/self/mountinfo"),
                 [ok = alcove:mount(Drv, [], "none", Path, "", [ms_remount, ms_bind, ms_rdonly], "")
                  || Line <- string:lexemes(Table, "\n"),
                     [_, _, _, _, <<"/sys/fs/cgroup", _/binary>> = Path | _] <- [string:lexemes(Line, " ")]],
                 case Before of
                     #{memory := {cgroup, _}} ->
                         {error, {cgroup, _}} = alcove_sandbox:run(Drv, ["true"], #{}),
                         {ok, #{status := 0, sandbox := #{memory := {rlimit, _}, cpu := {lacking, _}}}} =
                             alcove_sandbox:run(Drv, ["true"], #{best_effort => true}),
                         {ok, #{in_force := #{memory := {rlimit, _}}}} = alcove_sandbox:explain(Drv, #{});
                     _ ->
                         ok
                 end
         end).

%% Drv is in a chroot: to a directory that is a mount, where only a user namespace is missing, or to one
%% that isn't, which is told. The host sees none of the mounts.
plain_chroot(Config) ->
    Inside = fun(Name, Bound) ->
        Dir = directory(Config, Name),
        with(Config, fun(Drv) ->
            own_mounts(Drv),
            [bind(Drv, Dir, Dir) || Bound],
            {ok, Names} = file:list_dir("/"),
            [copy(Drv, filename:join("/", Entry), filename:join(Dir, Entry))
             || Entry <- Names, Entry =/= "tmp", Entry =/= "sys"],
            ok = alcove:mkdir(Drv, [], filename:join(Dir, "tmp"), 8#777),
            ok = alcove:chroot(Drv, [], Dir),
            ok = alcove:chdir(Drv, [], "/"),
            {alcove_sandbox:run(Drv, ["echo", "inside"], #{}),
             alcove_sandbox:run(Drv, ["echo", "inside"], #{best_effort => true}),
             alcove_proc:run(Drv, ["true"], #{namespaces => [newns]})}
        end)
    end,
    {{error, {unshare, eperm}}, {ok, #{stdout := <<"inside\n">>}}, {ok, #{status := 0}}} = Inside("bound", true),
    {{error, {sandbox, {root, no_mount}} = Reason} = Error, Error, {error, {mount, einval} = Why}} =
        Inside("plain", false),
    [true = is_list(string:find(lists:flatten(alcove:format_error(Text)), "mount --bind")) || Text <- [Reason]],
    [true = is_list(string:find(lists:flatten(alcove:format_error(Text)), "chroot")) || Text <- [Why]],
    {ok, Mounts} = file:read_file("/proc/self/mountinfo"),
    nomatch = string:find(Mounts, alcove_test:tmp(Config)).

bind(Drv, From, To) ->
    ok = alcove:mount(Drv, [], From, To, "", [ms_bind, ms_rec], "").

%% What is at the top of the host's tree, at another place.
copy(Drv, From, To) ->
    case alcove:lstat(Drv, [], From) of
        {ok, #{type := directory}} ->
            ok = alcove:mkdir(Drv, [], To, 8#755),
            bind(Drv, From, To);
        {ok, #{type := symlink}} ->
            {ok, Target} = alcove:readlink(Drv, [], From),
            ok = alcove:symlink(Drv, [], Target, To);
        {ok, _} ->
            ok
    end.

%% As in a container, too: a part of proc is covered, and the kernel gives an ordinary user none
%% that isn't.
covered_proc(Config) ->
    alcove_test:need([root], fun() ->
        Cover = "mount -t tmpfs none /proc/irq && exec setpriv --reuid=nobody --regid=nogroup --clear-groups -- \"$0\" \"$@\"",
        Exec = {os:find_executable("unshare"),
                ["--mount", "sh", "-c", Cover, filename:join([code:root_dir(), "bin", "erl"])]},
        Paths = alcove_test:install(alcove_test:tmp(Config)),
        {ok, Cwd} = file:get_cwd(),
        ok = file:set_cwd("/"),
        Peer = try alcove_test:peer(Paths, #{exec => Exec, env => [{"HOME", "/"}]}) after file:set_cwd(Cwd) end,
        Do = fun() ->
                     {ok, Drv} = alcove_drv:start(),
                     {error, {fsmount, eperm}} = alcove_sandbox:run(Drv, ["true"], #{}),
                     lacking(Drv, proc, {fsmount, eperm}),
                     {ok, #{stdout := <<>>}} =
                         alcove_sandbox:run(Drv, ["sh", "-c", "ls /proc 2>/dev/null; true"], #{best_effort => true}),
                     alcove_drv:stop(Drv)
             end,
        ok = alcove_test:in_peer(Peer, Do, alcove_test:ms(60000)),
        alcove_test:stop_peer(Peer)
    end).

%% ---------------------------------------------------------------------------
%% Ranges of ids
%% ---------------------------------------------------------------------------

%% A virtual machine of an ordinary user whom files of its own /etc give ranges, and who sees what a
%% script mounts.
with_ranges(Config, Uids, Gids, Script, Fun) ->
    alcove_test:need([root, {program, "newuidmap"}, {program, "newgidmap"}], fun() ->
        Dir = alcove_test:tmp(Config),
        [ok = file:write_file(filename:join(Dir, Name), Text) || {Name, Text} <- [{"subuid", Uids}, {"subgid", Gids}]],
        Cover = ["mount -t tmpfs none /mnt && mkdir /mnt/upper /mnt/work && cp ", Dir, "/subuid ", Dir, "/subgid /mnt/upper && "
                 "mount -t overlay -o lowerdir=/etc,upperdir=/mnt/upper,workdir=/mnt/work none /etc && umount -l /mnt && ",
                 Script, " && exec setpriv --reuid=nobody --regid=nogroup --clear-groups -- \"$0\" \"$@\""],
        Exec = {os:find_executable("unshare"),
                ["--mount", "sh", "-c", lists:flatten(Cover), filename:join([code:root_dir(), "bin", "erl"])]},
        Paths = alcove_test:install(Dir),
        {ok, Cwd} = file:get_cwd(),
        ok = file:set_cwd("/"),
        Peer = try alcove_test:peer(Paths, #{exec => Exec, env => [{"HOME", "/"}]}) after file:set_cwd(Cwd) end,
        Do = fun() ->
                     {ok, Drv} = alcove_drv:start(),
                     try Fun(Drv) after alcove_drv:stop(Drv) end
             end,
        Result = alcove_test:in_peer(Peer, Do, alcove_test:ms(60000)),
        alcove_test:stop_peer(Peer),
        Result
    end).

%% With a range of ids the program is a user that its Drv isn't, and others are there.
subordinate_ids(Config) ->
    alcove_test:need([root], fun() -> ranges_of_ids(Config) end).

ranges_of_ids(Config) ->
    Data = directory(Config, "data"),
    Secret = filename:join(Data, "secret"),
    ok = file:write_file(Secret, "secret"),
    ok = file:change_mode(Secret, 8#600),
    ok = file:change_owner(Secret, 65534, 65534),
    Root = filename:join(Data, "root"),
    ok = file:make_dir(Root),
    [ok = file:make_dir(filename:join(Root, Name)) || Name <- ["usr", "proc", "etc"]],
    [ok = file:make_symlink("usr/" ++ Name, filename:join(Root, Name)) || Name <- ["bin", "lib", "lib64"]],
    Probe = case proplists:get_value(probe, Config) of
                {ok, Built} ->
                    {ok, _} = file:copy(Built, filename:join(Data, "probe")),
                    ok = file:change_mode(filename:join(Data, "probe"), 8#755),
                    filename:join(Data, "probe");
                {false, _} -> none
            end,
    with_ranges(Config, "x:1:1\nnobody:100000:65536\nnobody:bad\n65534:300000:10\n", "nobody:200000:65536\n", "true",
        fun(Drv) ->
                Spec = #{ids => subordinate, mounts => [system, proc, dev, {tmpfs, "/tmp"}, {rw, Data, "/data"}, {dir, "/d/e"}]},
                Ids = {[{0, 65534, 1}, {1, 100000, 65536}, {65537, 300000, 10}], [{0, 65534, 1}, {1, 200000, 65536}]},
                {ok, #{status := 0, stdout := Text, stderr := <<>>, sandbox := #{ids := Ids, user := {mapped, 100999}}}} =
                    alcove_sandbox:run(Drv, ["sh", "-c", "echo $(id -u) $(id -g) $(id -G); echo $(cat /proc/self/uid_map); "
                                             "echo $(cat /proc/self/gid_map); echo x > /data/file; echo x > /dev/stdout; "
                                             "echo x > /tmp/x; echo $(stat -c '%u %g' /tmp/x /data/secret /d/e); cat /data/secret 2>/dev/null; "
                                             "sed -n 's/^Cap...:.//p' /proc/self/status | sort -u; sed -n 's/^NoNewPrivs:.//p' /proc/self/status"],
                                       Spec),
                [<<"1000 1000 1000">>, <<"0 65534 1 1 100000 65536 65537 300000 10">>, <<"0 65534 1 1 200000 65536">>, <<"x">>,
                 <<"1000 1000 0 0 1000 1000">>, <<"0000000000000000">>, <<"1">>] = string:lexemes(Text, "\n"),
                %% Drv's own user is 0 inside.
                {ok, #{status := 0, stdout := <<"0 0 0\nsecret">>, sandbox := #{user := {mapped, 65534}}}} =
                    alcove_sandbox:run(Drv, ["sh", "-c", "echo $(id -u) $(id -g) $(id -G); cat /data/secret"], Spec#{user => {0, 0}}),
                Some = {[{7, 65534, 1}, {1000, 100500, 2}], [{8, 65534, 1}, {1000, 200500, 1}]},
                <<"1001 1000">> = sh(Drv, "echo $(id -u) $(id -g)", Spec#{ids => Some, user => {1001, 1000}}),
                {ok, #{in_force := #{ids := Some, user := {mapped, 100501}}, lacking := Lacking}} =
                    alcove_sandbox:explain(Drv, Spec#{ids => Some, user => {1001, 1000}}),
                false = is_map_key(ids, Lacking),
                Run = fun(More) -> alcove_sandbox:run(Drv, ["true"], maps:merge(Spec, More)) end,
                {ok, #{status := 0}} = Run(#{as => {100999, 200999}}),
                {error, {sandbox, {as, eperm}}} = Run(#{as => {100998, 200999}}),
                {error, {sandbox, {user, {unmapped, {5, 1000}}}}} = Run(#{ids => Some, user => {5, 1000}}),
                {error, {sandbox, {ids, {user, 65534}}}} = Run(#{ids => {[{0, 100000, 1}], [{0, 65534, 1}]}}),
                {error, {sandbox, {ids, {group, 65534}}}} = Run(#{ids => {[{0, 65534, 1}], [{0, 200000, 1}]}}),
                %% A range that is nobody's to give is refused in the words of newuidmap(1).
                Foreign = #{ids => {[{0, 65534, 1}, {1000, 500000, 1}], [{0, 65534, 1}, {1000, 200000, 1}]}},
                {error, {uid_map, <<"newuidmap: ", _/binary>> = Said} = Reason} = Run(Foreign),
                true = string:find(alcove:format_error(Reason), Said) =/= nomatch,
                {error, {gid_map, <<"newgidmap: ", _/binary>>}} =
                    Run(#{ids => {[{0, 65534, 1}, {1000, 100000, 1}], [{0, 65534, 1}, {1000, 500000, 1}]}}),
                {ok, #{status := 0, sandbox := #{ids := {lacking, {uid_map, Said}}, user := {own, 65534}}}} =
                    Run(Foreign#{best_effort => true}),
                %% What an OCI configuration has for such a user.
                Map = fun(First) -> [#{<<"containerID">> => 0, <<"hostID">> => 65534, <<"size">> => 1},
                                     #{<<"containerID">> => 1, <<"hostID">> => First, <<"size">> => 65536}] end,
                Oci = #{<<"ociVersion">> => <<"1.0.2">>, <<"root">> => #{<<"path">> => <<"root">>, <<"readonly">> => true},
                        <<"process">> => #{<<"cwd">> => <<"/">>, <<"user">> => #{<<"uid">> => 33, <<"gid">> => 33},
                                           <<"env">> => [<<"PATH=/usr/bin">>], <<"noNewPrivileges">> => true,
                                           <<"args">> => [<<"sh">>, <<"-c">>, <<"echo $(id -u) $(cat /proc/self/uid_map)">>]},
                        <<"mounts">> => [#{<<"destination">> => <<"/proc">>, <<"type">> => <<"proc">>, <<"source">> => <<"proc">>},
                                         #{<<"destination">> => <<"/usr">>, <<"type">> => <<"bind">>, <<"source">> => <<"/usr">>,
                                           <<"options">> => [<<"rbind">>, <<"ro">>]}],
                        <<"linux">> => #{<<"namespaces">> => [#{<<"type">> => Type} || Type <- [<<"pid">>, <<"user">>, <<"mount">>]],
                                         <<"uidMappings">> => Map(100000), <<"gidMappings">> => Map(200000)}},
                {ok, #{argv := Argv, spec := #{ids := {[{0, 65534, 1}, {1, 100000, 65536}], _}, as := {100032, 200032}} = OciSpec}} =
                    alcove_sandbox:from_oci({Data, Oci}),
                {ok, #{status := 0, stdout := <<"33 0 65534 1 1 100000 65536\n">>}} = alcove_sandbox:run(Drv, Argv, OciSpec),
                %% Without a sandbox, too.
                {ok, #{stdout := <<"5\n">>}} =
                    alcove_proc:run(Drv, ["id", "-u"], #{namespaces => [newuser], user => 5, group => 6,
                                                         uid_map => {newuidmap, [{0, 65534, 1}, {1, 100000, 10}]},
                                                         gid_map => {newgidmap, [{0, 65534, 1}, {1, 200000, 10}]}}),
                case Probe of
                    none -> ok;
                    _ ->
                        {[], Held} = probed(Drv, Probe, Secret, #{ids => subordinate}),
                        true = length(Held) > 40
                end,
                %% To the host it is that user.
                {ok, #file_info{uid = 100999, gid = 200999}} = file:read_file_info(filename:join(Data, "file")),
                ok
        end).

%% What is missing is named.
no_subordinate_ids(Config) ->
    alcove_test:need([root, {program, "newuidmap"}, {program, "newgidmap"}], fun() -> lacking_ids(Config) end).

lacking_ids(Config) ->
    Lacks = fun(Uids, Gids, Script, Error, Why) ->
        with_ranges(Config, Uids, Gids, Script,
            fun(Drv) ->
                    Spec = #{ids => subordinate},
                    {error, Error} = alcove_sandbox:run(Drv, ["true"], Spec),
                    {ok, #{status := 0, sandbox := #{ids := {lacking, Why}}}} =
                        alcove_sandbox:run(Drv, ["true"], Spec#{best_effort => true}),
                    {ok, #{lacking := #{ids := Why}}} = alcove_sandbox:explain(Drv, Spec),
                    iolist_to_binary(alcove:format_error(Error))
            end)
    end,
    Has = "nobody:100000:65536\n",
    Texts = [Lacks("root:1:1\n", Has, "true", {sandbox, {ids, {<<"/etc/subuid">>, no_range}}}, {<<"/etc/subuid">>, no_range}),
             Lacks(Has, "", "true", {sandbox, {ids, {<<"/etc/subgid">>, no_range}}}, {<<"/etc/subgid">>, no_range}),
             Lacks(Has, Has, "rm /etc/subgid", {sandbox, {ids, {<<"/etc/subgid">>, enoent}}}, {<<"/etc/subgid">>, enoent})
             | [Lacks(Has, Has, lists:concat(["mount --bind /dev/null $(command -v ", Program, ")"]), {Map, enoent}, {Map, enoent})
                || {Program, Map} <- [{"newuidmap", uid_map}, {"newgidmap", gid_map}]]],
    [true = string:find(Text, Part) =/= nomatch
     || {Text, Part} <- lists:zip(Texts, ["/etc/subuid", "/etc/subgid", "/etc/subgid", "newuidmap", "newgidmap"])],
    ok.

ids_of_root(Config) ->
    with(Config,
         fun(Drv) ->
                 {error, {sandbox, {ids, root}}} = alcove_sandbox:run(Drv, ["true"], #{ids => subordinate}),
                 {ok, #{status := 0, sandbox := #{ids := {lacking, root}}}} =
                     alcove_sandbox:run(Drv, ["true"], #{ids => subordinate, best_effort => true}),
                 {ok, #{status := 0, sandbox := #{user := {as, 300000}}}} =
                     alcove_sandbox:run(Drv, ["true"], #{ids => subordinate, as => {300000, 300000}})
         end).

%% Drv is root in a user namespace, as in a container without rights: a sandbox's user is one of those that
%% the namespace has, and an error where none is surely unused.
root_of_a_user_namespace(Config) ->
    alcove_test:need([root, userns, {call, mount_setattr}, {program, "newuidmap"}, {program, "newgidmap"}],
        fun() -> root_of_a_user_namespace(Config, alcove_test:user_paths(Config)) end).

root_of_a_user_namespace(Config, Paths) ->
    Subordinate = filename:join(alcove_test:tmp(Config), "subordinate"),
    ok = file:write_file(Subordinate, "root:100000:200000\n"),
    Script = "mount --bind \"$0\" /etc/subuid && mount --bind \"$0\" /etc/subgid || exit 9; count=$1; shift; "
             "exec unshare --user --map-users=100000,0,$count --map-groups=100000,0,$count --setuid 0 --setgid 0 -- \"$@\"",
    In = fun(Count, Fun) ->
                 Drv = in_namespace(Paths, ["unshare", "--mount", "sh", "-c", Script, Subordinate, integer_to_list(Count)]),
                 try Fun(Drv) after alcove_drv:stop(Drv) end
         end,
    Used = fun(Drv, Spec) ->
                   {ok, #{status := 0, stdout := <<"1000\n">>, sandbox := #{user := User} = Sandbox}} =
                       alcove_sandbox:run(Drv, ["id", "-u"], Spec),
                   #{seccomp := default, user_namespace := own, keyring := own, memory := {rlimit, _}} = Sandbox,
                   User
           end,
    In(65536, fun(Drv) ->
                      {unused, Uid} = Used(Drv, #{}),
                      true = Uid >= 60706 andalso Uid < 61184,
                      {unused, Other} = Used(Drv, #{best_effort => true}),
                      true = Other =/= Uid,
                      {as, 1234} = Used(Drv, #{as => {1234, 1234}}),
                      [{error, {sandbox, {as, {unmapped, As}}}} =
                           alcove_sandbox:run(Drv, ["true"], #{as => As, best_effort => Effort})
                       || As <- [{70000, 1}, {1, 70000}], Effort <- [false, true]]
              end),
    In(66048, fun(Drv) ->
                      {unused, Uid} = Used(Drv, #{}),
                      true = Uid >= 65536 andalso Uid < 66048
              end),
    In(1000, fun(Drv) ->
                     Reason = {sandbox, {user, {unmapped, unused}}},
                     [{error, Reason} = alcove_sandbox:run(Drv, ["true"], #{best_effort => Effort})
                      || Effort <- [false, true]],
                     true = string:find(alcove:format_error(Reason), "(as)") =/= nomatch,
                     {as, 999} = Used(Drv, #{as => {999, 999}})
             end).

in_namespace(Paths, Exec) ->
    alcove_test:start([{exec, Exec}, {progname, filename:join([filename:dirname(hd(Paths)), "priv", "alcove"])}]).

%% A user namespace that has one id alone is an ordinary user's, and its root like that user; if it isn't
%% the host's root that has made it.
root_of_one_id(Config) ->
    alcove_test:need([root, ordinary, userns, {call, mount_setattr}],
        fun() ->
                Paths = alcove_test:user_paths(Config),
                Alone = ["unshare", "--user", "--map-root-user", "--"],
                As = ["setpriv", "--reuid=" ++ alcove_test:user(), "--regid=nogroup", "--clear-groups", "--"],
                Drv = in_namespace(Paths, As ++ Alone),
                [{ok, #{status := 0, stdout := <<"1000\n">>, sandbox := #{user := {own, 0}}}} =
                     alcove_sandbox:run(Drv, ["id", "-u"], Spec) || Spec <- [#{}, #{as => {0, 0}}]],
                {error, {sandbox, {as, eperm}}} = alcove_sandbox:run(Drv, ["true"], #{as => {1, 1}}),
                ok = alcove_drv:stop(Drv),
                Root = in_namespace(Paths, Alone),
                {error, {sandbox, {user, {unmapped, unused}}}} = alcove_sandbox:run(Root, ["true"], #{}),
                ok = alcove_drv:stop(Root)
        end).

%% ---------------------------------------------------------------------------
%% Limits
%% ---------------------------------------------------------------------------

limits(Config) ->
    with(Config,
         fun(Drv) ->
                 Run = fun(Script, Limits) -> alcove_sandbox:run(Drv, ["sh", "-c", Script], #{limits => Limits, grace => 500}) end,
                 {error, {timeout, #{limit := wall_time}}} = Run("sleep 100", #{wall_time => 3000}),
                 {ok, #{limit := cpu_time}} = Run("while :; do :; done", #{cpu_time => 1}),
                 {error, {{output_limit, stdout}, #{limit := output}}} = Run("yes", #{output => 100}),
                 {ok, #{stdout := <<"20\n">>}} = Run("ulimit -n", #{open_files => 20}),
                 %% Either the program is killed, or it isn't given the memory.
                 {ok, Memory} = Run("x=$(head -c 100000000 /dev/zero | tr '\\0' x)", #{memory => 32 bsl 20}),
                 true = maps:get(status, Memory) =/= 0,
                 case Memory of
                     #{sandbox := #{memory := {cgroup, _}}} -> memory = maps:get(limit, Memory);
                     #{sandbox := #{memory := {rlimit, _}}} -> ok
                 end,
                 %% That went on without the child that was killed.
                 {ok, #{status := 0} = Went} =
                     Run("(x=$(head -c 100000000 /dev/zero | tr '\\0' x)); exit 0", #{memory => 32 bsl 20}),
                 false = is_map_key(limit, Went),
                 {ok, #{status := Forks}} = Run("for i in 1 2 3 4 5 6 7 8; do sleep 5 & done; kill $(jobs -p)", #{pids => 4}),
                 true = Forks =/= 0
         end).

%% ---------------------------------------------------------------------------
%% Errors, supervision
%% ---------------------------------------------------------------------------

bad_specs(Config) ->
    with(Config,
         fun(Drv) ->
                 [{Spec, {badarg, Spec}} = {Spec, refused(Drv, Spec)} || Spec <- [not_a_map]],
                 [{badarg, _} = refused(Drv, Spec)
                  || Spec <- [#{nosuch => 1}, #{root => "/"}, #{root => {ro, "relative"}}, #{root => {tmpfs, 0}},
                              #{mounts => proc}, #{mounts => [{ro, "/usr/../etc"}]}, #{mounts => [{tmpfs, "/"}]},
                              #{mounts => [{file, "/x", atom}]}, #{mounts => [system | proc]}, #{network => all},
                              #{user => {-1, 0}}, #{ids => all}, #{ids => {[], []}}, #{ids => {[{0, 1, 0}], [{0, 1, 1}]}},
                              #{ids => {[{0, 1, 1}], [{0, 1, 1} | x]}}, #{ids => {[{0, 16#fffffffe, 2}], [{0, 1, 1}]}}, #{user => {0, 16#ffffffff}}, #{limits => #{memory => 0}},
                              #{limits => #{nosuch => 1}}, #{limits => []}, #{env => #{"A=B" => "C"}},
                              #{hostname => "a\0b"}, #{umask => 8#1000}, #{oom_score_adj => 1001}, #{sysctl => #{"../x" => "1"}},
                              #{sysctl => #{"net" => "1"}}, #{rlimits => #{nosuch => 1}}, #{rlimits => #{cpu => {2, 1}}},
                              #{mounts => [{tmpfs, "/x", 4096, #{mode => rwx}}]}, #{mounts => [{ro, "/x", "/y", [suid]}]},
                              #{mounts => [{dev, "/dev", ["a/b"]}]}, #{mounts => [{masked, "/"}]}, #{root => {rw, "x"}}, #{seccomp => all}, #{best_effort => 'maybe'},
                              %% What the kernel would take for less, or for no limit.
                              #{limits => #{cpu => 1.0e308}}, #{limits => #{cpu => 1 bsl 21}}, #{root => {tmpfs, 1 bsl 64}}]],
                 [{Spec, {badarg, {limits, {Name, 1 bsl 64}}}} = {Spec, refused(Drv, Spec)}
                  || Name <- [memory, pids, cpu, cpu_time, wall_time, file_size, open_files, output],
                     Spec <- [#{limits => #{Name => 1 bsl 64}}]],
                 {badarg, {size, _}} = refused(Drv, #{mounts => [system, {tmpfs, "/tmp", 1 bsl 64}]}),
                 {badarg, {rlimits, {as, _}}} = refused(Drv, #{rlimits => #{as => 1 bsl 64}}),
                 %% The error names what is wrong, also where it is neither text nor bytes.
                 No = [16#110000],
                 [{badarg, {Name, No}} = refused(Drv, #{Name => No}) || Name <- [hostname, domainname, arg0, name]],
                 [{badarg, {path, No}} = refused(Drv, #{Name => No}) || Name <- [cwd, home]],
                 {badarg, {sysctl, No}} = refused(Drv, #{sysctl => #{No => "1"}}),
                 {badarg, {listen, _}} = refused(Drv, #{listen => [{unix, No}]}),
                 {badarg, {network, _}} = refused(Drv, #{network => #{bridge => No, address => "10.0.0.1/8"}}),
                 [{badarg, {seccomp, Filter}} = refused(Drv, #{seccomp => Filter}) || Filter <- [[a | b], [a]]],
                 {badarg, {ro, [noexec | x]}} = refused(Drv, #{mounts => [{ro, "/usr", "/usr", [noexec | x]}]}),
                 %% But not what may be secret.
                 [{badarg, {env, "A"}} = refused(Drv, #{env => #{"A" => Value}}) || Value <- [No, "secret\0"]],
                 {badarg, {env, Shown}} = refused(Drv, #{env => [{"A", "secret"} | x]}),
                 nomatch = string:find(io_lib:format("~0p", [Shown]), "secret")
         end).

refused(Drv, Spec) ->
    try alcove_sandbox:run(Drv, ["true"], Spec) of
        Result -> Result
    catch
        error:Reason -> Reason
    end.

missing_sources(Config) ->
    Dir = directory(Config, "sources"),
    [Round, Lost, File, Closed] = [filename:join(Dir, Name) || Name <- ["round", "lost", "file", "closed"]],
    ok = file:make_symlink("round", Round),
    ok = file:make_symlink("/no/such/place", Lost),
    ok = file:write_file(File, ""),
    ok = file:make_dir(Closed),
    ok = file:change_mode(Closed, 0),
    Long = filename:join(Dir, lists:duplicate(256, $x)),
    Reasons = [{"/no/such/place", enoent}, {Round, eloop}, {Lost, enoent}, {Long, enametoolong}, {File ++ "/x", enoent}] ++
        [{Closed ++ "/x", eacces} || proplists:get_value(as, Config) =:= ordinary],
    with(Config,
         fun(Drv) ->
                 %% Each with the reason that the kernel gives.
                 [begin
                      Result = alcove_sandbox:run(Drv, ["true"], #{mounts => [system, {How, Source, "/here"}]}),
                      {Source, {error, {sandbox, {Source, Reason}}}} = {Source, Result}
                  end || {Path, Reason} <- Reasons, Source <- [list_to_binary(Path)], How <- [ro, rw]],
                 {error, {execvp, enoent}} = alcove_sandbox:run(Drv, ["no-such-program"], #{}),
                 {error, {chdir, enoent}} = alcove_sandbox:run(Drv, ["true"], #{cwd => "/nowhere"})
         end),
    ok = file:change_mode(Closed, 8#700),
    ok = file:del_dir_r(Dir).

%% A root directory with a system of its own, and the default mounts: the error names the path and
%% says what to do.
systems_of_their_own(Config) ->
    Root = directory(Config, "image"),
    [ok = file:make_dir(filename:join(Root, Name)) || Name <- ["usr", "etc", "proc", "dev", "tmp"]],
    ok = file:write_file(filename:join(Root, "etc/passwd"), "root:x:0:0::/:/bin/sh\n"),
    with(Config,
         fun(Drv) ->
                 [begin
                      {error, {sandbox, {Path, Reason}}} = Error = alcove_sandbox:run(Drv, ["true"], #{root => In}),
                      Error = alcove_sandbox:explain(Drv, #{root => In}),
                      true = string:find(alcove:format_error(Error), "mounts has to be given") =/= nomatch
                  end || {In, Path, Reason} <- [{{overlay, Root}, <<"/etc/passwd">>, eexist},
                                                {{ro, Root}, <<"/bin">>, erofs}]],
                 Mounts = [proc, dev, {tmpfs, "/tmp"}, {ro, "/usr"}] ++
                     [{symlink, "usr/" ++ Name, "/" ++ Name} || Name <- ["bin", "lib", "lib64"]],
                 <<"root">> = sh(Drv, "cut -d: -f1 /etc/passwd", #{root => {overlay, Root}, mounts => Mounts})
         end),
    ok = file:del_dir_r(Root).

%% Also with few descriptors the address that can't be had is the one that is told.
few_descriptors(_Config) ->
    alcove_test:with_descriptors(50, 4096, fun ?MODULE:listening_with_few/0).

listening_with_few() ->
    Drv = alcove_test:start([]),
    Nowhere = {tcp, {203, 0, 113, 9}, 18080},
    {error, {sandbox, {listen, {Nowhere, eaddrnotavail}}}} =
        alcove_sandbox:run(Drv, ["true"], #{listen => [{tcp, loopback(), 18080}, Nowhere]}),
    ok = alcove_test:stop(Drv).

supervised(Config) ->
    with(Config,
         fun(Drv) ->
                 Child = alcove_sandbox:child_spec(#{id => sandboxed, drv => Drv, argv => ["sleep", "1000"]}),
                 {ok, Pid} = supervisor:start_child(kernel_safe_sup, Child),
                 #{state := running} = alcove_proc:info(Pid),
                 ok = supervisor:terminate_child(kernel_safe_sup, sandboxed),
                 ok = supervisor:delete_child(kernel_safe_sup, sandboxed),
                 {ok, Cat} = alcove_sandbox:start_link(Drv, ["cat"], #{}),
                 ok = alcove_proc:write(Cat, "hello"),
                 receive {alcove_proc, Cat, {stdout, <<"hello">>}} -> ok end,
                 ok = alcove_proc:eof(Cat),
                 {ok, #{status := 0}} = alcove_proc:await(Cat)
         end).

explained(Config) ->
    with(Config,
         fun(Drv) ->
                 {ok, #{calls := Calls, in_force := #{wall_time := {timer, 60000}}}} = alcove_sandbox:explain(Drv, #{}),
                 Names = [Name || {Name, _} <- Calls],
                 true = lists:member(pivot_root, Names)
         end).

%% Each sandbox of root has a user that no other has.
own_users(_Config) ->
    alcove_test:need([root, {call, mount_setattr}],
        fun() ->
                {ok, Drv} = alcove_drv:start(),
                Started = [alcove_sandbox:start_link(Drv, ["sleep", "100"], #{}) || _ <- lists:seq(1, 3)],
                Uids = [uid(maps:get(os_pid, alcove_proc:info(Pid))) || {ok, Pid} <- Started],
                3 = length(lists:usort(Uids)),
                [] = [Uid || Uid <- Uids, Uid < 16#80000000],
                [{ok, _} = alcove_proc:stop(Pid) || {ok, Pid} <- Started],
                ok = alcove_drv:stop(Drv)
        end).

%% Nor one of another virtual machine with the same pid, in a pid namespace of its own.
own_users_in_pid_namespaces(_Config) ->
    alcove_test:need([root],
        fun() ->
                Alone = {os:find_executable("unshare"),
                         ["--pid", "--fork", "--kill-child", "--mount-proc", filename:join([code:root_dir(), "bin", "erl"])]},
                Peers = [alcove_test:peer(alcove_test:paths(), #{exec => Alone}) || _ <- [1, 2]],
                [{Pid, First}, {Pid, Second}] =
                    [alcove_test:in_peer(Peer, fun() ->
                                                       {ok, Id} = alcove_sandbox_ids:take(node(), all),
                                                       {os:getpid(), Id}
                                               end) || Peer <- Peers],
                true = First =/= Second,
                [alcove_test:stop_peer(Peer) || Peer <- Peers]
        end).

%% A process may run more sandboxes, one after the other, than there are ids. What runs meanwhile
%% keeps its id to itself, and a start that fails takes none.
many_by_one(_Config) ->
    alcove_test:need([root, {call, mount_setattr}],
        fun() ->
                {ok, Drv} = alcove_drv:start(),
                Spec = #{mounts => [system], limits => maps:from_list([{Limit, infinity} || Limit <- [memory, pids, cpu, wall_time]])},
                {ok, Proc} = alcove_sandbox:start_link(Drv, ["sleep", "1000"], Spec),
                Own = uid(maps:get(os_pid, alcove_proc:info(Proc))),
                Used = [begin
                            {ok, #{status := 0, sandbox := #{user := {unused, Uid}}}} = alcove_sandbox:run(Drv, ["true"], Spec),
                            {error, {execvp, enoent}} = alcove_sandbox:run(Drv, ["/nowhere"], Spec),
                            Uid
                        end || _ <- lists:seq(1, 300)],
                false = lists:member(Own, Used),
                {ok, _} = alcove_proc:stop(Proc, 0),
                ok = alcove_drv:stop(Drv)
        end).

%% A soak takes as many as it needs to meet every moment.
starts() ->
    case os:getenv("ALCOVE_SOAK_MINUTES", "0") of
        "0" -> {100, 40000};
        _ -> {10000, 1200000}
    end.

%% What a fun returns, so often or until it is so late.
for_a_while(_Fun, 0, _Until) -> [];
for_a_while(Fun, Times, Until) ->
    Result = Fun(),
    case erlang:monotonic_time(millisecond) < Until of
        true -> [Result | for_a_while(Fun, Times - 1, Until)];
        false -> [Result]
    end.

uid(Pid) ->
    {ok, #file_info{uid = Uid}} = file:read_file_info(lists:concat(["/proc/", Pid, "/task"])),
    Uid.

%% ---------------------------------------------------------------------------
%% What tries to get out
%% ---------------------------------------------------------------------------

%% Nothing that the probe tries comes off.
probe(Config) ->
    with_probe(Config,
        fun(Probe, Secret) ->
                {[], Held} = with(Config, fun(Drv) -> probed(Drv, Probe, Secret) end),
                true = length(Held) > 40
        end).

%% The same with bubblewrap and the flags that its manual recommends: there is nothing that it
%% holds and a sandbox doesn't; and the probe notices what isn't held.
as_bubblewrap(Config) ->
    alcove_test:need([{program, "bwrap"}],
        fun() ->
                with_probe(Config,
                    fun(Probe, Secret) ->
                            {ok, Drv} = alcove_drv:start(),
                            {ok, #{stdout := Text}} =
                                alcove_proc:run(Drv, ["bwrap", "--unshare-all", "--die-with-parent",
                                                      "--new-session", "--clearenv", "--cap-drop", "ALL",
                                                      "--ro-bind", "/usr", "/usr", "--symlink", "usr/bin", "/bin",
                                                      "--symlink", "usr/lib", "/lib", "--symlink", "usr/lib64", "/lib64",
                                                      "--proc", "/proc", "--dev", "/dev", "--tmpfs", "/tmp",
                                                      "--ro-bind", Probe, "/probe", "/probe", Secret]),
                            {Broke, Held} = told(Text),
                            true = Broke =/= [],
                            {_, Ours} = probed(Drv, Probe, Secret),
                            ok = alcove_drv:stop(Drv),
                            [] = Held -- Ours
                    end)
        end).

probed(Drv, Probe, Secret) ->
    probed(Drv, Probe, Secret, #{}).

probed(Drv, Probe, Secret, More) ->
    Spec = More#{mounts => [system, proc, dev, {tmpfs, "/tmp"}, {ro, Probe, "/probe"}]},
    {ok, #{status := 0, stdout := Text}} = alcove_sandbox:run(Drv, ["/probe", Secret], Spec),
    told(Text).

told(Text) ->
    Lines = string:lexemes(Text, "\n"),
    <<"done">> = lists:last(Lines),
    {[Line || <<"broke ", Line/binary>> <- Lines], [Name || <<"held ", Name/binary>> <- Lines]}.

with_probe(Config, Fun) ->
    case proplists:get_value(probe, Config) of
        {ok, Built} ->
            Probe = filename:join(alcove_test:tmp(Config), "probe"),
            {ok, _} = file:copy(Built, Probe),
            ok = file:change_mode(Probe, 8#755),
            Secret = filename:join(alcove_test:tmp(Config), "secret"),
            ok = file:write_file(Secret, "secret"),
            Fun(Probe, Secret);
        {false, Text} ->
            alcove_test:skip(Text)
    end.

%% Somebody swaps a mount point and a link to the host over and over: the mount is put inside
%% or nowhere.
swapped_targets(Config) ->
    alcove_test:need([root, {call, mount_setattr}],
        fun() ->
                ct:timetrap(alcove_test:ms(1500000)),
                Root = directory(Config, "root"),
                Host = directory(Config, "host"),
                [ok = file:make_dir(filename:join(Root, Name)) || Name <- ["usr", "dev", "data"]],
                [ok = file:make_symlink("usr/" ++ Name, filename:join(Root, Name)) || Name <- ["bin", "lib", "lib64"]],
                ok = file:make_symlink(Host, filename:join(Root, "link")),
                Before = file:read_file("/proc/self/mountinfo"),
                {ok, Drv} = alcove_drv:start(),
                {ok, Swapper} = alcove:fork(Drv),
                Path = fun(Name) -> iolist_to_binary([filename:join(Root, Name), 0]) end,
                %% AT_FDCWD twice, and RENAME_EXCHANGE.
                Exchange = [-100, Path("data"), -100, Path("link"), 2],
                {ok, 0, _} = alcove:syscall(Drv, [Swapper], renameat2, Exchange),
                Swap = fun Swap() ->
                               receive
                                   stop -> ok
                               after 0 ->
                                       {ok, 0, _} = alcove:syscall(Drv, [Swapper], renameat2, Exchange),
                                       Swap()
                               end
                       end,
                Pid = spawn_link(Swap),
                Spec = #{root => {ro, Root}, mounts => [{ro, "/usr"}, {tmpfs, "/data"}]},
                Run = fun() -> alcove_sandbox:run(Drv, ["sh", "-c", "echo x > /data/x"], Spec) end,
                {Starts, Ms} = starts(),
                Results = for_a_while(Run, Starts, erlang:monotonic_time(millisecond) + Ms),
                ct:log("~b starts", [length(Results)]),
                Ref = monitor(process, Pid),
                Pid ! stop,
                receive {'DOWN', Ref, process, Pid, _} -> ok end,
                [] = [Result || Result <- Results,
                                case Result of
                                    {ok, #{status := 0}} -> false;
                                    %% The link, where there is nothing to mount upon inside.
                                    {error, {sandbox, {_, erofs}}} -> false;
                                    %% Swapped after it was looked at.
                                    {error, {openat2, eloop}} -> false;
                                    {error, {sandbox, {<<"/data">>, eloop}}} -> false;
                                    %% Swapped after the mount, which went along: the link leads nowhere.
                                    {ok, #{status := 2}} -> false;
                                    _ -> true
                                end],
                ok = alcove_drv:stop(Drv),
                {ok, []} = file:list_dir(Host),
                Before = file:read_file("/proc/self/mountinfo"),
                ok
        end).
