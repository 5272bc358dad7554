%% @doc Namespaces and mounts: each shown from inside, by the process that is in them,
%% and from outside, by the virtual machine.
-module(alcove_ns_SUITE).

-include_lib("stdlib/include/assert.hrl").
-include_lib("kernel/include/file.hrl").

%% linux/ipc.h
-define(IPC_CREAT, 8#1000).
-define(IPC_EXCL, 8#2000).

-export([suite/0, all/0, groups/0, init_per_suite/1, end_per_suite/1,
         init_per_testcase/2, end_per_testcase/2]).
%% namespaces
-export([clone_each/1, clone_all/1, clone_refused/1, unshare_each/1, unshare_refused/1, setns_by_path/1,
         setns_by_descriptor/1, setns_by_process/1, setns_refused/1, pids/1]).
%% what they are for
-export([host_name/1, network/1, ipc/1, mount_table/1, cgroup/1, clocks/1]).
%% without root
-export([rootless_needs_a_user_namespace/1, rootless_maps/1, rootless_mounts_and_chroot/1]).
%% mounts
-export([bind/1, bind_recursive/1, read_only/1, read_only_with_what_is_below/1, tmpfs/1, proc/1, devpts/1,
         shared_and_slave/1, private/1, unbindable/1, move/1, umount/1, mount_refused/1, table_after_a_failure/1]).

suite() ->
    alcove_test:suite().

all() ->
    [{group, Group} || {Group, _, _} <- groups()].

groups() ->
    [{namespaces, [], [clone_each, clone_all, clone_refused, unshare_each, unshare_refused, setns_by_path,
                       setns_by_descriptor, setns_by_process, setns_refused, pids]},
     {effects, [], [host_name, network, ipc, mount_table, cgroup, clocks]},
     {rootless, [], [rootless_needs_a_user_namespace, rootless_maps, rootless_mounts_and_chroot]},
     {mounts, [], [bind, bind_recursive, read_only, read_only_with_what_is_below, tmpfs, proc, devpts,
                   shared_and_slave, private, unbindable, move, umount, mount_refused, table_after_a_failure]}].

init_per_suite(Config) ->
    alcove_test:init_suite(Config).

end_per_suite(_Config) ->
    ok.

init_per_testcase(_Case, Config) ->
    Table = table(),
    [{table, Table} | alcove_test:init_case([{exit_status, true}, {termsig, true}], Config)].

%% Whatever became of the case, the machine has the mounts that it had.
end_per_testcase(_Case, Config) ->
    case alcove_test:end_case(Config) of
        ok ->
            case {proplists:get_value(table, Config), table()} of
                {Table, Table} -> ok;
                {Before, After} -> {fail, {mounts, [{gone, Before -- After}, {new, After -- Before}]}}
            end;
        Left ->
            Left
    end.

%% The mounts of the virtual machine, all that is known of each. The kernel makes some by
%% itself when somebody looks.
table() ->
    {ok, Table} = file:read_file("/proc/self/mountinfo"),
    [Mount || Mount <- lines(Table), re:run(Mount, " - (tracefs|debugfs|autofs|binfmt_misc) ") =:= nomatch].

lines(Text) ->
    binary:split(Text, <<"\n">>, [global, trim]).

as_root(Config, Fun) ->
    as_root([], Config, Fun).

as_root(Needs, Config, Fun) ->
    alcove_test:need([root | Needs], fun() -> Fun(alcove_test:drv(Config), alcove_test:path(Config)) end).

clone(Drv, Path, Flags) ->
    {ok, Pid} = alcove:clone(Drv, Path, Flags),
    Path ++ [Pid].

%% The flag of each namespace that this kernel has, and its name in /proc/PID/ns.
namespaces() ->
    [{Flag, Name} || {Flag, Name} <- [{clone_newcgroup, "cgroup"}, {clone_newipc, "ipc"}, {clone_newns, "mnt"},
                                      {clone_newnet, "net"}, {clone_newpid, "pid"}, {clone_newtime, "time"},
                                      {clone_newuser, "user"}, {clone_newuts, "uts"}],
                     {ok, _} <- [file:read_link_all("/proc/self/ns/" ++ Name)]].

%% The namespaces of a process, seen from outside.
outside(Pid) ->
    [{Flag, outside(Pid, Name)} || {Flag, Name} <- namespaces()].

outside(Pid, Name) ->
    {ok, Link} = file:read_link_all(lists:concat(["/proc/", Pid, "/ns/", Name])),
    Link.

%% The same, as the process itself sees them.
inside(Drv, Path) ->
    [{Flag, inside(Drv, Path, Name)} || {Flag, Name} <- namespaces()].

inside(Drv, Path, Name) ->
    {ok, Link} = alcove:readlink(Drv, Path, ["/proc/self/ns/", Name]),
    binary_to_list(Link).

%% Which namespaces are others.
different(These, Those) ->
    [Flag || {{Flag, This}, {Flag, That}} <- lists:zip(These, Those), This =/= That].

%% The ways to say a flag.
forms(Drv, Flag) ->
    Value = alcove:clone_define(Drv, Flag),
    true = is_integer(Value),
    [Flag, [Flag], list_to_atom(string:uppercase(atom_to_list(Flag))), Value].

%% The number by which the machine knows a process at a fork path, whatever its pid
%% namespaces: its own idea of it.
ospid(Drv, Path) ->
    {ok, Link} = alcove:readlink(Drv, Path, "/proc/self"),
    binary_to_integer(Link).

read(Drv, Path, File) ->
    {ok, Fd} = alcove:open(Drv, Path, File, [o_rdonly, o_cloexec], 0),
    {ok, Text} = alcove:read(Drv, Path, Fd, 65536),
    ok = alcove:close(Drv, Path, Fd),
    Text.

write(Drv, Path, File, Text) ->
    {ok, Fd} = alcove:open(Drv, Path, File, [o_wronly, o_cloexec], 0),
    Written = alcove:write(Drv, Path, Fd, Text),
    ok = alcove:close(Drv, Path, Fd),
    case Written of
        {ok, _} -> ok;
        {error, _} -> Written
    end.

touch(Drv, Path, File) ->
    case alcove:open(Drv, Path, File, [o_wronly, o_creat, o_cloexec], 8#644) of
        {ok, Fd} -> alcove:close(Drv, Path, Fd);
        {error, _} = Error -> Error
    end.

%% ---------------------------------------------------------------------------
%% Namespaces
%% ---------------------------------------------------------------------------

%% The child is in the one new namespace that was asked for, and else where its parent is.
clone_each(Config) ->
    as_root(Config, fun(Drv, Path) ->
        Here = outside(lists:last(Path)),
        ?assertEqual(Here, inside(Drv, Path)),
        ?assertEqual(outside(os:getpid()), Here),
        lists:foreach(
          fun({Flag, _}) ->
                  [begin
                       {ok, Pid} = alcove:clone(Drv, Path, Form),
                       There = outside(Pid),
                       ?assertEqual([Flag], different(Here, There)),
                       ?assertEqual(There, inside(Drv, Path ++ [Pid])),
                       ok = alcove:exit(Drv, Path ++ [Pid], 0)
                   end || Form <- forms(Drv, Flag)]
          end,
          namespaces()),
        ?assertEqual(Here, outside(lists:last(Path)))
    end).

%% All at once, and its child is in the same ones.
clone_all(Config) ->
    as_root(Config, fun(Drv, Path) ->
        Here = outside(lists:last(Path)),
        Flags = [Flag || {Flag, _} <- namespaces()],
        [begin
             {ok, Pid} = alcove:clone(Drv, Path, Form),
             There = outside(Pid),
             ?assertEqual(Flags, different(Here, There)),
             ?assertEqual(There, inside(Drv, Path ++ [Pid])),
             Child = alcove_test:fork(Drv, Path ++ [Pid]),
             ?assertEqual(There, outside(ospid(Drv, Child)))
         end || Form <- [Flags, alcove:clone_define(Drv, Flags)]]
    end).

%% What a forked event loop can't be: no process comes of it.
clone_refused(Config) ->
    Drv = alcove_test:drv(Config),
    Path = alcove_test:path(Config),
    lists:foreach(
      fun(Flag) ->
              [{Flag, {error, einval}} = {Flag, alcove:clone(Drv, P, Form)}
               || P <- [[], Path], Form <- forms(Drv, Flag) ++ [[Flag, clone_newuts]]]
      end,
      [clone_vm, clone_thread, clone_vfork, clone_sighand, clone_files, clone_parent, clone_settls,
       clone_parent_settid, clone_child_settid, clone_child_cleartid, clone_pidfd, clone_detached,
       clone_into_cgroup, clone_clear_sighand]),
    %% Another signal at its end than SIGCHLD; bits that mean nothing.
    [{error, einval} = alcove:clone(Drv, Path, Flags)
     || Flags <- [alcove:signal_define(Drv, sigusr1), 1 bsl 40, 1 bsl 63, 16#ffffffff]],
    %% What the kernel says of flags that exclude each other.
    alcove_test:root() andalso
        [{error, einval} = alcove:clone(Drv, Path, Flags)
         || Flags <- [[clone_newns, clone_fs], [clone_newuser, clone_fs], [clone_newipc, clone_sysvsem]]],
    {error, einval} = alcove:spawn(Drv, Path, {clone, clone_vm}, [{getpid, []}]),
    alcove_test:badarg(fun() -> alcove:clone(Drv, Path, [clone_newuts, clone_nonesuch]) end),
    alcove_test:badarg(fun() -> alcove:clone(Drv, Path, -1) end),
    [] = alcove:pid(Drv, Path),
    [] = alcove_test:descendants(lists:last(Path)).

%% The process itself is in the new namespace, or for pids and time its children are.
unshare_each(Config) ->
    as_root(Config, fun(Drv, _) ->
        lists:foreach(
          fun({Flag, Name}) ->
                  [begin
                       Path = alcove_test:fork(Drv, []),
                       Pid = lists:last(Path),
                       Before = outside(Pid),
                       ok = alcove:unshare(Drv, Path, Form),
                       After = outside(Pid),
                       ?assertEqual(After, inside(Drv, Path)),
                       Child = alcove_test:fork(Drv, Path),
                       Childs = outside(ospid(Drv, Child)),
                       ?assertEqual([Flag], different(Before, Childs)),
                       case lists:member(Flag, [clone_newpid, clone_newtime]) of
                           true ->
                               ?assertEqual(Before, After),
                               ?assertEqual(outside(Pid, Name ++ "_for_children"),
                                            proplists:get_value(Flag, Childs));
                           false ->
                               ?assertEqual(After, Childs)
                       end,
                       ok = alcove:exit(Drv, Path, 0)
                   end || Form <- forms(Drv, Flag)]
          end,
          namespaces())
    end).

unshare_refused(Config) ->
    Drv = alcove_test:drv(Config),
    Path = alcove_test:path(Config),
    Before = inside(Drv, Path),
    [{Flags, {error, einval}} = {Flags, alcove:unshare(Drv, Path, Flags)}
     || Flags <- [clone_vfork, clone_parent, [clone_newuts, clone_settls], clone_into_cgroup, 1, 1 bsl 63]],
    ?assertEqual(Before, inside(Drv, Path)).

setns_by_path(Config) ->
    as_root(Config, fun(Drv, _) ->
        entered(Drv, fun(Path, Pid, {_Flag, Name}) ->
            ok = alcove:setns(Drv, Path, ["/proc/", integer_to_list(Pid), "/ns/", Name])
        end)
    end).

%% The descriptor of a namespace, with the type that it must have or with none.
setns_by_descriptor(Config) ->
    as_root(Config, fun(Drv, _) ->
        [entered(Drv, fun(Path, Pid, {Flag, Name}) ->
             File = ["/proc/", integer_to_list(Pid), "/ns/", Name],
             {ok, Fd} = alcove:open(Drv, Path, File, [o_rdonly, o_cloexec], 0),
             [{error, einval} = alcove:setns(Drv, Path, Fd, Other) || {Other, _} <- namespaces(), Other =/= Flag],
             ok = alcove:setns(Drv, Path, Fd, Type(Flag)),
             ok = alcove:close(Drv, Path, Fd)
         end) || Type <- [fun(Flag) -> Flag end,
                          fun(Flag) -> [Flag] end,
                          fun(Flag) -> alcove:define(Drv, Flag) end,
                          fun(_) -> 0 end]],
        %% In root, without a fork path.
        {ok, Pid} = alcove:clone(Drv, clone_newuts),
        {ok, Fd} = alcove:open(Drv, lists:concat(["/proc/", Pid, "/ns/uts"]), o_rdonly, 0),
        ok = alcove:setns(Drv, Fd, clone_newuts),
        ?assertEqual(outside(Pid, "uts"), inside(Drv, [], "uts"))
    end).

%% The descriptor of a process: one of its namespaces, or several in one go.
setns_by_process(Config) ->
    as_root([], Config, fun(Drv, _) ->
        entered(Drv, fun(Path, Pid, {Flag, _Name}) ->
            {ok, Fd} = alcove:pidfd_open(Drv, Path, Pid, 0),
            {error, einval} = alcove:setns(Drv, Path, Fd, 0),
            ok = alcove:setns(Drv, Path, Fd, Flag),
            ok = alcove:close(Drv, Path, Fd)
        end),
        Flags = [Flag || {Flag, _} <- namespaces(), Flag =/= clone_newuser],
        {ok, Pid} = alcove:clone(Drv, Flags),
        Path = alcove_test:fork(Drv, []),
        {ok, Fd} = alcove:pidfd_open(Drv, Path, Pid, 0),
        ok = alcove:setns(Drv, Path, Fd, Flags),
        Child = alcove_test:fork(Drv, Path),
        ?assertEqual(outside(Pid), outside(lists:last(Child)))
    end).

%% A process enters each namespace of another, and its child is where that is.
entered(Drv, Enter) ->
    lists:foreach(
      fun({Flag, Name} = Namespace) ->
              {ok, Pid} = alcove:clone(Drv, Flag),
              Path = alcove_test:fork(Drv, []),
              ?assertNotEqual(outside(Pid, Name), outside(lists:last(Path), Name)),
              Enter(Path, Pid, Namespace),
              %% The process itself stays in its pid namespace.
              ?assertEqual(Flag =/= clone_newpid, outside(Pid, Name) =:= inside(Drv, Path, Name)),
              Child = alcove_test:fork(Drv, Path),
              ?assertEqual(outside(Pid), outside(lists:last(Child))),
              ?assertEqual(outside(Pid, Name), inside(Drv, Child, Name)),
              ok = alcove:exit(Drv, Path, 0),
              ok = alcove:exit(Drv, [Pid], 0)
      end,
      namespaces()).

setns_refused(Config) ->
    Drv = alcove_test:drv(Config),
    Path = alcove_test:path(Config),
    Before = inside(Drv, Path),
    {error, enoent} = alcove:setns(Drv, Path, "/proc/self/ns/nonesuch"),
    {error, einval} = alcove:setns(Drv, Path, "/dev/null"),
    {error, ebadf} = alcove:setns(Drv, Path, -1, 0),
    {error, ebadf} = alcove:setns(Drv, Path, 1000, clone_newuts),
    %% The control socket is nobody's to enter.
    {error, ebadf} = alcove:setns(Drv, Path, 63, clone_newuts),
    {error, einval} = alcove:setns(Drv, Path, 0, clone_newuts),
    {ok, Fd} = alcove:open(Drv, Path, "/proc/self/ns/uts", o_rdonly, 0),
    [{error, einval} = alcove:setns(Drv, Path, Fd, Type) || Type <- [clone_newnet, clone_vm, 1, 1 bsl 63]],
    alcove_test:badarg(fun() -> alcove:setns(Drv, Path, Fd, clone_nonesuch) end),
    alcove_test:badarg(fun() -> alcove:setns(Drv, Path, "/proc/self/ns/uts", clone_newuts) end),
    alcove_test:badarg(fun() -> alcove:setns(Drv, Fd, nonesuch) end),
    ?assertEqual(Before, inside(Drv, Path)),
    alcove_test:need([root], fun() ->
        ok = alcove:setgroups(Drv, Path, []),
        ok = alcove:setresgid(Drv, Path, 65534, 65534, 65534),
        ok = alcove:setresuid(Drv, Path, 65534, 65534, 65534),
        {error, eperm} = alcove:setns(Drv, Path, Fd, clone_newuts),
        ?assertEqual(Before, outside(lists:last(Path)))
    end).

%% Each process has a number in its pid namespace and in all those above. A fork path has
%% the number that the parent sees.
pids(Config) ->
    as_root(Config, fun(Drv, _) ->
        Outer = clone(Drv, [], clone_newpid),
        1 = alcove:getpid(Drv, Outer),
        0 = alcove:getppid(Drv, Outer),
        Sibling = alcove_test:fork(Drv, Outer),
        [_, 2] = Sibling,
        2 = alcove:getpid(Drv, Sibling),
        1 = alcove:getppid(Drv, Sibling),
        Inner = clone(Drv, Outer, clone_newpid),
        [_, 3] = Inner,
        1 = alcove:getpid(Drv, Inner),
        Innermost = alcove_test:fork(Drv, Inner),
        [First, 3, 2] = Innermost,
        2 = alcove:getpid(Drv, Innermost),
        [2, 3] = lists:sort(alcove:pid(Drv, Outer)),
        %% From outside: the numbers of a process from the machine's down to its own.
        Host = ospid(Drv, Innermost),
        {ok, Status} = file:read_file(lists:concat(["/proc/", Host, "/status"])),
        {match, [Numbers]} = re:run(Status, "^NSpid:\\s*(.*)$", [multiline, {capture, all_but_first, list}]),
        ?assertEqual([Host, 4, 2], [list_to_integer(N) || N <- string:lexemes(Numbers, "\t ")]),
        ?assertEqual(1, length([N || N <- alcove_test:descendants(First), N =:= Host])),
        %% Below init nobody can signal what is above.
        {error, esrch} = alcove:kill(Drv, Inner, First, 0),
        ok = alcove:kill(Drv, Outer, 3, sigkill),
        ok = alcove_test:event(Drv, Inner, {termsig, sigkill}),
        false = alcove_test:alive(Host),
        alcove_test:badpid(fun() -> alcove:getpid(Drv, Innermost) end),
        2 = alcove:getpid(Drv, Sibling)
    end).

%% ---------------------------------------------------------------------------
%% What they are for
%% ---------------------------------------------------------------------------

host_name(Config) ->
    as_root(Config, fun(Drv, Path) ->
        {ok, Host} = alcove:gethostname(Drv),
        Child = clone(Drv, Path, clone_newuts),
        {ok, Host} = alcove:gethostname(Drv, Child),
        ok = alcove:sethostname(Drv, Child, "alcove-inside"),
        {ok, <<"alcove-inside">>} = alcove:gethostname(Drv, Child),
        {ok, Host} = alcove:gethostname(Drv, Path),
        {ok, Visible} = inet:gethostname(),
        ?assertNotEqual("alcove-inside", Visible)
    end).

%% No devices but lo, and ports of its own.
network(Config) ->
    as_root(Config, fun(Drv, Path) ->
        {ok, Listen} = gen_tcp:listen(0, [{ip, {0, 0, 0, 0}}]),
        {ok, Port} = inet:port(Listen),
        Bind = fun(P) ->
                       {ok, Fd} = alcove:socket(Drv, P, af_inet, sock_stream, 0),
                       alcove:bind(Drv, P, Fd, {inet, {{0, 0, 0, 0}, Port}})
               end,
        {error, eaddrinuse} = Bind(Path),
        Child = clone(Drv, Path, clone_newnet),
        ok = Bind(Child),
        [_, _ | Devices] = lines(read(Drv, Child, "/proc/self/net/dev")),
        [<<"lo">>] = [string:trim(hd(binary:split(Device, <<":">>))) || Device <- Devices],
        {ok, Fd} = alcove:socket(Drv, Child, af_inet, sock_stream, 0),
        {error, enetunreach} = alcove:connect(Drv, Child, Fd, {inet, {{127, 0, 0, 1}, Port}}),
        {ok, Outside} = alcove:socket(Drv, Path, af_inet, sock_stream, 0),
        ok = alcove:connect(Drv, Path, Outside, {inet, {{127, 0, 0, 1}, Port}}),
        ok = gen_tcp:close(Listen)
    end).

%% A System V message queue is found by those who share the namespace.
ipc(Config) ->
    as_root(Config, fun(Drv, Path) ->
        case alcove:syscall_define(Drv, sys_msgget) of
            unknown ->
                alcove_test:skip("no msgget(2) of its own");
            _ ->
                Key = 16#a1c0 + rand:uniform(16#10000),
                Get = fun(P, Flags) -> alcove:syscall(Drv, P, sys_msgget, [Key, Flags]) end,
                Child = clone(Drv, Path, clone_newipc),
                {error, enoent} = Get(Child, 0),
                ok = element(1, Get(Child, ?IPC_CREAT bor ?IPC_EXCL bor 8#600)),
                ok = element(1, Get(Child, 0)),
                {error, enoent} = Get(Path, 0),
                Other = alcove_test:fork(Drv, Path),
                ok = alcove:setns(Drv, Other, ["/proc/", integer_to_list(lists:last(Child)), "/ns/ipc"]),
                ?assertEqual(Get(Child, 0), Get(Other, 0)),
                {ok, Queues} = file:read_file("/proc/sysvipc/msg"),
                nomatch = binary:match(Queues, integer_to_binary(Key))
        end
    end).

mount_table(Config) ->
    as_root(Config, fun(Drv, Path) ->
        Dir = alcove_test:tmp(Config),
        Child = with_mounts(Drv, Path),
        ok = alcove:mount(Drv, Child, "tmpfs", Dir, "tmpfs", [], ""),
        ok = touch(Drv, Child, [Dir, "/inside"]),
        {ok, [<<"inside">>]} = alcove:readdir(Drv, Child, Dir),
        {ok, []} = alcove:readdir(Drv, Path, Dir),
        {ok, []} = file:list_dir(Dir),
        match = mounted(read(Drv, Child, "/proc/self/mountinfo"), Dir),
        {ok, Outside} = file:read_file("/proc/self/mountinfo"),
        nomatch = mounted(Outside, Dir),
        %% From outside: by way of the process, what is mounted inside can be seen.
        {ok, ["inside"]} = file:list_dir(lists:concat(["/proc/", lists:last(Child), "/root", Dir]))
    end).

mounted(Table, Dir) ->
    re:run(Table, [" ", Dir, " "], [{capture, none}]).

%% Where it was when it unshared is the root of what it sees.
cgroup(Config) ->
    as_root(Config, fun(Drv, Path) ->
        Name = iolist_to_binary(["alcove-test-ns-", os:getpid()]),
        case alcove_cgroup:create(Drv, [], Name) of
            ok ->
                try
                    ok = alcove_cgroup:attach(Drv, [], Name, lists:last(Path)),
                    Of = fun(Text) ->
                                 lists:usort([lists:last(binary:split(Line, <<":">>, [global]))
                                              || Line <- lines(Text)])
                         end,
                    In = <<"/", Name/binary>>,
                    ?assert(lists:member(In, Of(read(Drv, Path, "/proc/self/cgroup")))),
                    ok = alcove:unshare(Drv, Path, clone_newcgroup),
                    [<<"/">>] = Of(read(Drv, Path, "/proc/self/cgroup")),
                    {ok, Outside} = file:read_file(lists:concat(["/proc/", lists:last(Path), "/cgroup"])),
                    ?assert(lists:member(In, Of(Outside)))
                after
                    ok = alcove_cgroup:kill(Drv, [], Name),
                    ok = alcove_cgroup:destroy(Drv, [], Name)
                end;
            {error, Reason} ->
                alcove_test:skip(lists:flatten(io_lib:format("no control group can be made: ~0p", [Reason])))
        end
    end).

%% The machine of a time namespace was started at another time.
clocks(Config) ->
    as_root(Config, fun(Drv, _) ->
        case filelib:is_file("/proc/self/timens_offsets") of
            false ->
                alcove_test:skip("needs time namespaces");
            true ->
                Day = 86400,
                Uptime = fun(Path) ->
                                 [Seconds | _] = binary:split(read(Drv, Path, "/proc/uptime"), <<" ">>),
                                 binary_to_float(Seconds)
                         end,
                Path = alcove_test:fork(Drv, []),
                ok = alcove:unshare(Drv, Path, clone_newtime),
                ok = write(Drv, [], ["/proc/", integer_to_list(lists:last(Path)), "/timens_offsets"],
                           ["boottime ", integer_to_list(Day), " 0"]),
                Before = Uptime([]),
                Child = alcove_test:fork(Drv, Path),
                Inside = Uptime(Child),
                After = Uptime([]),
                ?assert(Inside >= Before + Day - 1),
                ?assert(Inside =< After + Day + 1),
                ?assert(Uptime(Path) < Before + Day)
        end
    end).

%% ---------------------------------------------------------------------------
%% Without root
%% ---------------------------------------------------------------------------

in_user_peer(Needs, Config, Fun) ->
    alcove_test:need([ordinary, userns | Needs], fun() ->
        Peer = alcove_test:user_peer(Config),
        ok = alcove_test:in_peer(Peer, Fun),
        alcove_test:stop_peer(Peer)
    end).

%% Every namespace is refused, but with a user namespace every one is allowed.
rootless_needs_a_user_namespace(Config) ->
    in_user_peer([], Config, fun needs_a_user_namespace/0).

needs_a_user_namespace() ->
    Drv = alcove_test:start(),
    true = alcove:getuid(Drv) =/= 0,
    %% Nobody but the process itself may look: it can't be looked into by its user.
    Here = inside(Drv, []),
    {error, eacces} = file:read_link_all(lists:concat(["/proc/", alcove:getpid(Drv), "/ns/user"])),
    lists:foreach(
      fun({Flag, _}) ->
              {error, eperm} = alcove:clone(Drv, Flag),
              {error, eperm} = alcove:unshare(Drv, Flag),
              {ok, Pid} = alcove:clone(Drv, [clone_newuser, Flag]),
              ?assertEqual(lists:sort([clone_newuser, Flag]), different(Here, outside(Pid))),
              Path = alcove_test:fork(Drv, []),
              ok = alcove:unshare(Drv, Path, [clone_newuser, Flag]),
              Child = alcove_test:fork(Drv, Path),
              ?assertEqual(lists:sort([clone_newuser, Flag]), different(Here, inside(Drv, Child))),
              ok = alcove:exit(Drv, Path, 0)
      end,
      [Namespace || {Flag, _} = Namespace <- namespaces(), Flag =/= clone_newuser]),
    {ok, _} = alcove:clone(Drv, clone_newuser),
    ?assertEqual(Here, inside(Drv, [])),
    alcove_test:stop(Drv).

%% The parent says what the ids are outside, once, and setgroups(2) has to be denied before.
rootless_maps(Config) ->
    in_user_peer([], Config, fun maps/0).

maps() ->
    Drv = alcove_test:start(),
    {Uid, Gid} = {alcove:getuid(Drv), alcove:getgid(Drv)},
    {ok, Pid} = alcove:clone(Drv, clone_newuser),
    Proc = lists:concat(["/proc/", Pid, "/"]),
    Map = fun(Inside, Outside) -> io_lib:format("~b ~b 1", [Inside, Outside]) end,
    %% Before there is a map, it has nobody's id, but every right.
    65534 = alcove:getuid(Drv, [Pid]),
    {error, eperm} = write(Drv, [], [Proc, "gid_map"], Map(42, Gid)),
    %% Nobody else's ids.
    {error, eperm} = write(Drv, [], [Proc, "uid_map"], Map(42, Uid + 1)),
    {error, eperm} = write(Drv, [], [Proc, "uid_map"], io_lib:format("0 ~b 2", [Uid])),
    ok = write(Drv, [], [Proc, "setgroups"], "deny"),
    ok = write(Drv, [], [Proc, "uid_map"], Map(42, Uid)),
    ok = write(Drv, [], [Proc, "gid_map"], Map(43, Gid)),
    {error, eperm} = write(Drv, [], [Proc, "uid_map"], Map(0, Uid)),
    %% From inside and from outside.
    42 = alcove:getuid(Drv, [Pid]),
    43 = alcove:getgid(Drv, [Pid]),
    {ok, Status} = file:read_file(Proc ++ "status"),
    Ids = fun(Field) ->
                  {match, [Id]} = re:run(Status, ["^", Field, ":\\s+(\\d+)"],
                                         [multiline, {capture, all_but_first, binary}]),
                  binary_to_integer(Id)
          end,
    {Uid, Gid} = {Ids("Uid"), Ids("Gid")},
    {error, eperm} = alcove:setgroups(Drv, [Pid], []),
    {error, einval} = alcove:setuid(Drv, [Pid], 0),
    %% Its rights end at its namespaces: the host name is not of one.
    {error, eperm} = alcove:sethostname(Drv, [Pid], "alcove-inside"),
    {error, eperm} = alcove:chown(Drv, [Pid], "/etc/passwd", 42, 43),
    alcove_test:stop(Drv).

rootless_mounts_and_chroot(Config) ->
    alcove_test:need([busybox, {call, mount_setattr}], fun() ->
        Dir = alcove_test:chroot_dir(Config),
        in_user_peer([], Config, fun() -> mounts_and_chroot(Dir) end)
    end).

mounts_and_chroot(Dir) ->
    Drv = alcove_test:start([{exit_status, true}]),
    {Uid, Gid} = {alcove:getuid(Drv), alcove:getgid(Drv)},
    Root = "/mnt",
    {ok, Pid} = alcove:clone(Drv, [clone_newuser, clone_newns, clone_newpid]),
    Path = [Pid],
    Proc = lists:concat(["/proc/", Pid, "/"]),
    ok = write(Drv, [], [Proc, "setgroups"], "deny"),
    ok = write(Drv, [], [Proc, "uid_map"], io_lib:format("0 ~b 1", [Uid])),
    ok = write(Drv, [], [Proc, "gid_map"], io_lib:format("0 ~b 1", [Gid])),
    {ok, _} = alcove:batch(Drv, Path, [
        {mount, ["none", "/", "", [rec, private], ""]},
        {mount, ["tmpfs", Root, "tmpfs", [nosuid, nodev], "size=64k,mode=755"]},
        {mkdir, [Root ++ "/bin", 8#755]},
        {mount, [Dir, Root ++ "/bin", "", [bind], ""]},
        {mount_setattr, [at_fdcwd, Root ++ "/bin", at_recursive, mount_attr_rdonly, 0, 0, 0]},
        {mkdir, [Root ++ "/proc", 8#555]},
        {mount, ["proc", Root ++ "/proc", "proc", [nosuid, nodev, noexec], ""]},
        {chroot, [Root]},
        {chdir, ["/"]}]),
    {ok, Names} = alcove:readdir(Drv, Path, "/"),
    [<<"bin">>, <<"proc">>] = lists:sort(Names),
    {error, erofs} = touch(Drv, Path, "/bin/new"),
    ok = touch(Drv, Path, "/new"),
    {ok, #{uid := 0, gid := 0}} = alcove:stat(Drv, Path, "/new"),
    %% What it makes is its user's, seen from outside.
    {ok, #{uid := Uid, gid := Gid}} = alcove:stat(Drv, lists:concat(["/proc/", Pid, "/root/new"])),
    ok = alcove:execve(Drv, Path, "/bin/busybox", ["busybox", "sh"], ["PATH=/bin"]),
    true = alcove:stdin(Drv, Path, "echo $$ $(busybox id -u) /proc/[0-9]*; exit 3\n"),
    {Output, {exit_status, 3}} = alcove_test:output(Drv, Path),
    match = re:run(Output, "^1 0 /proc/1( /proc/[0-9]+)?\n$", [{capture, none}]),
    false = filelib:is_file(Root ++ "/new"),
    alcove_test:stop(Drv).

%% ---------------------------------------------------------------------------
%% Mounts
%% ---------------------------------------------------------------------------

%% A process that may mount what it likes, unseen by others.
with_mounts(Drv, Path) ->
    with_mounts(Drv, Path, []).

with_mounts(Drv, Path, Flags) ->
    Child = clone(Drv, Path, [clone_newns | Flags]),
    ok = alcove:mount(Drv, Child, "none", "/", "", [rec, private], ""),
    Child.

directory(Config, Name) ->
    Dir = filename:join(alcove_test:tmp(Config), Name),
    ok = file:make_dir(Dir),
    Dir.

in_mounts(Config, Fun) ->
    in_mounts([], Config, Fun).

in_mounts(Needs, Config, Fun) ->
    as_root(Needs, Config, fun(Drv, Path) -> Fun(calls(Drv, with_mounts(Drv, Path))) end).

%% A way to make calls in a process.
calls(Drv, Path) ->
    fun(Call, Args) -> apply(alcove, Call, [Drv, Path | Args]) end.

file_in(Do, File) ->
    case Do(open, [File, [o_wronly, o_creat], 8#644]) of
        {ok, Fd} -> Do(close, [Fd]);
        {error, _} = Error -> Error
    end.

%% Of the one mount on a directory: its options, and how it propagates.
mount_of(Do, Dir) ->
    {ok, Fd} = Do(open, ["/proc/self/mountinfo", o_rdonly, 0]),
    {ok, Table} = Do(read, [Fd, 1 bsl 20]),
    ok = Do(close, [Fd]),
    {match, [[Options, Fields]]} = re:run(Table, ["^\\S+ \\S+ \\S+ \\S+ ", Dir, " (\\S+) (.*)- "],
                                          [global, multiline, {capture, all_but_first, binary}]),
    {binary:split(Options, <<",">>, [global]), binary:split(Fields, <<" ">>, [global, trim_all])}.

%% A directory, and a file, in another place.
bind(Config) ->
    in_mounts(Config, fun(Do) ->
        [From, To] = [directory(Config, Name) || Name <- ["from", "to"]],
        ok = file:write_file(From ++ "/file", "text"),
        ok = Do(mount, [From, To, "", [bind], ""]),
        {ok, [<<"file">>]} = Do(readdir, [To]),
        {ok, []} = file:list_dir(To),
        %% It is the same directory.
        ok = Do(mkdir, [To ++ "/inside", 8#755]),
        true = filelib:is_dir(From ++ "/inside"),
        {ok, Same} = Do(stat, [From]),
        {ok, Same} = Do(stat, [To]),
        File = filename:join(alcove_test:tmp(Config), "other"),
        ok = file:write_file(File, ""),
        ok = Do(mount, [From ++ "/file", File, "", 'MS_BIND', ""]),
        {ok, #{size := 4}} = Do(stat, [File]),
        {ok, <<>>} = file:read_file(File),
        {error, enotdir} = Do(mount, [From, File, "", [bind], ""]),
        ok = Do(umount, [File]),
        {ok, #{size := 0}} = Do(stat, [File])
    end).

%% With what is mounted below, or without.
bind_recursive(Config) ->
    in_mounts(Config, fun(Do) ->
        [From, Flat, Deep] = [directory(Config, Name) || Name <- ["from", "flat", "deep"]],
        Below = directory(Config, "from/below"),
        ok = Do(mount, ["tmpfs", Below, "tmpfs", [], ""]),
        ok = Do(mkdir, [Below ++ "/inside", 8#755]),
        ok = Do(mount, [From, Flat, "", [bind], ""]),
        ok = Do(mount, [From, Deep, "", [bind, rec], ""]),
        {ok, []} = Do(readdir, [Flat ++ "/below"]),
        {ok, [<<"inside">>]} = Do(readdir, [Deep ++ "/below"])
    end).

%% A bind is read-only by a remount. That leaves what is mounted below as it is.
read_only(Config) ->
    in_mounts(Config, fun(Do) ->
        [From, To] = [directory(Config, Name) || Name <- ["from", "to"]],
        Below = directory(Config, "from/below"),
        ok = Do(mount, ["tmpfs", Below, "tmpfs", [], ""]),
        %% The flag is ignored the first time.
        ok = Do(mount, [From, To, "", [bind, rec, rdonly], ""]),
        ok = file_in(Do, To ++ "/first"),
        ok = Do(mount, ["none", To, "", [bind, remount, rdonly, nosuid], ""]),
        {error, erofs} = file_in(Do, To ++ "/second"),
        {error, erofs} = Do(mkdir, [To ++ "/second", 8#755]),
        {error, erofs} = Do(unlink, [To ++ "/first"]),
        {[<<"ro">>, <<"nosuid">> | _], []} = mount_of(Do, To),
        %% The other name of it is not read-only, neither here nor outside.
        ok = file_in(Do, From ++ "/third"),
        ok = file:write_file(From ++ "/fourth", ""),
        ok = file_in(Do, To ++ "/below/first"),
        %% And back.
        ok = Do(mount, ["none", To, "", [bind, remount], ""]),
        ok = file_in(Do, To ++ "/second")
    end).

%% mount_setattr(2) does not.
read_only_with_what_is_below(Config) ->
    in_mounts([{call, mount_setattr}], Config, fun(Do) ->
        [From, To] = [directory(Config, Name) || Name <- ["from", "to"]],
        Below = directory(Config, "from/below"),
        ok = Do(mount, ["tmpfs", Below, "tmpfs", [], ""]),
        ok = Do(mount, [From, To, "", [bind, rec], ""]),
        ok = Do(mount_setattr, [at_fdcwd, To, at_recursive, mount_attr_rdonly, 0, 0, 0]),
        {error, erofs} = file_in(Do, To ++ "/below/first"),
        {error, erofs} = file_in(Do, To ++ "/first"),
        ok = file_in(Do, Below ++ "/first"),
        %% And back, here alone.
        ok = Do(mount, ["none", To, "", [bind, remount], ""]),
        ok = file_in(Do, To ++ "/first"),
        {error, erofs} = file_in(Do, To ++ "/below/second")
    end).

%% The data is the file system's: here its size, its mode and its owner.
tmpfs(Config) ->
    in_mounts(Config, fun(Do) ->
        Dir = directory(Config, "tmpfs"),
        ok = Do(mount, ["tmpfs", Dir, "tmpfs", [nosuid, nodev, noexec], "size=64k,mode=1750,uid=12,gid=34"]),
        {ok, #{mode := 8#1750, uid := 12, gid := 34, type := directory}} = Do(stat, [Dir]),
        {ok, #file_info{mode = Mode, uid = 0}} = file:read_file_info(Dir),
        8#755 = Mode band 8#7777,
        {ok, Fd} = Do(open, [Dir ++ "/file", [o_wronly, o_creat], 8#755]),
        {ok, 65536} = Do(write, [Fd, binary:copy(<<"x">>, 65536)]),
        {error, enospc} = Do(write, [Fd, <<"x">>]),
        ok = Do(close, [Fd]),
        {error, eacces} = Do(execve, [Dir ++ "/file", ["file"], []]),
        ok = Do(mount, ["tmpfs", Dir, "tmpfs", [remount, nosuid, nodev, noexec], "size=128k"]),
        {ok, Again} = Do(open, [Dir ++ "/file", [o_wronly, o_append], 0]),
        {ok, 65536} = Do(write, [Again, binary:copy(<<"x">>, 65536)]),
        ok = Do(close, [Again]),
        %% Data that it doesn't know.
        {error, einval} = Do(mount, ["tmpfs", Dir, "tmpfs", [], "nonesuch=1"]),
        {ok, []} = file:list_dir(Dir)
    end).

%% It shows the processes of the pid namespace of the one that mounts it.
proc(Config) ->
    as_root(Config, fun(Drv, Path) ->
        Dir = directory(Config, "proc"),
        Init = with_mounts(Drv, Path, [clone_newpid]),
        2 = lists:last(alcove_test:fork(Drv, Init)),
        ok = alcove:mount(Drv, Init, "proc", Dir, "proc", [nosuid, nodev, noexec], ""),
        {ok, Names} = alcove:readdir(Drv, Init, Dir),
        [<<"1">>, <<"2">>] = lists:sort([Name || <<Digit, _/binary>> = Name <- Names, Digit >= $0, Digit =< $9]),
        {ok, <<"1">>} = alcove:readlink(Drv, Init, Dir ++ "/self"),
        %% The other one still is the machine's.
        {ok, Number} = alcove:readlink(Drv, Init, "/proc/self"),
        ?assertEqual(lists:last(Init), binary_to_integer(Number)),
        {ok, []} = file:list_dir(Dir)
    end).

%% Each devpts has terminals of its own, counted from 0.
devpts(Config) ->
    in_mounts(Config, fun(Do) ->
        Dir = directory(Config, "pts"),
        ok = Do(mount, ["devpts", Dir, "devpts", [nosuid, noexec], "newinstance,ptmxmode=0666,mode=0620"]),
        {ok, [<<"ptmx">>]} = Do(readdir, [Dir]),
        {ok, Before} = file:list_dir("/dev/pts"),
        {ok, Fd} = Do(open, [Dir ++ "/ptmx", [o_rdwr, o_noctty, o_cloexec], 0]),
        {ok, Names} = Do(readdir, [Dir]),
        [<<"0">>, <<"ptmx">>] = lists:sort(Names),
        {ok, #{type := character, mode := 8#620}} = Do(stat, [Dir ++ "/0"]),
        {ok, Before} = file:list_dir("/dev/pts"),
        ok = Do(close, [Fd]),
        {ok, [<<"ptmx">>]} = Do(readdir, [Dir])
    end).

%% Two namespaces, of which the second is cloned from the first when a directory there is
%% shared: what is mounted in one is in the other. As a slave, the second still gets what
%% the first mounts, and keeps what it mounts itself.
shared_and_slave(Config) ->
    as_root(Config, fun(Drv, Path) ->
        Dir = directory(Config, "shared"),
        First = with_mounts(Drv, Path),
        One = calls(Drv, First),
        ok = One(mount, ["tmpfs", Dir, "tmpfs", [], ""]),
        ok = One(mount, ["none", Dir, "", shared, ""]),
        {_, [<<"shared:", Group/binary>>]} = mount_of(One, Dir),
        [ok = One(mkdir, [[Dir, "/", Name], 8#755]) || Name <- ["a", "b", "c", "d"]],
        Two = calls(Drv, clone(Drv, First, clone_newns)),
        Mount = fun(By, Name) ->
                        ok = By(mount, ["tmpfs", [Dir, "/", Name], "tmpfs", [], ""]),
                        ok = By(mkdir, [[Dir, "/", Name, "/mounted"], 8#755])
                end,
        Sees = fun(Who, Name) -> Who(readdir, [[Dir, "/", Name]]) =:= {ok, [<<"mounted">>]} end,
        Mount(One, "a"),
        Mount(Two, "b"),
        [true = Sees(Who, Name) || Who <- [One, Two], Name <- ["a", "b"]],
        ok = Two(mount, ["none", Dir, "", [slave, rec], ""]),
        {_, [<<"master:", Group/binary>>]} = mount_of(Two, Dir),
        Mount(One, "c"),
        Mount(Two, "d"),
        true = Sees(Two, "c"),
        {true, false} = {Sees(Two, "d"), Sees(One, "d")},
        ok = One(umount, [[Dir, "/c"]]),
        false = Sees(Two, "c"),
        %% Nothing of it was ever outside.
        {ok, []} = file:list_dir(Dir)
    end).

%% As long as it is private, it stays in its namespace.
private(Config) ->
    as_root(Config, fun(Drv, Path) ->
        Dir = directory(Config, "private"),
        First = with_mounts(Drv, Path),
        One = calls(Drv, First),
        ok = One(mount, ["tmpfs", Dir, "tmpfs", [], ""]),
        ok = One(mount, ["none", Dir, "", shared, ""]),
        ok = One(mkdir, [Dir ++ "/a", 8#755]),
        Two = calls(Drv, clone(Drv, First, clone_newns)),
        ok = Two(mount, ["none", Dir, "", ['MS_PRIVATE', 'MS_REC'], ""]),
        {_, []} = mount_of(Two, Dir),
        ok = One(mount, ["tmpfs", Dir ++ "/a", "tmpfs", [], ""]),
        ok = One(mkdir, [Dir ++ "/a/mounted", 8#755]),
        {ok, []} = Two(readdir, [Dir ++ "/a"]),
        {error, einval} = Two(umount, [Dir ++ "/a"]),
        %% How something propagates is changed by nothing else at the same time.
        {error, einval} = Two(mount, ["none", Dir, "", [shared, slave], ""])
    end).

unbindable(Config) ->
    in_mounts(Config, fun(Do) ->
        [Dir, To] = [directory(Config, Name) || Name <- ["from", "to"]],
        ok = Do(mount, ["tmpfs", Dir, "tmpfs", [], ""]),
        ok = Do(mount, [Dir, To, "", [bind], ""]),
        ok = Do(umount, [To]),
        ok = Do(mount, ["none", Dir, "", unbindable, ""]),
        {_, [<<"unbindable">>]} = mount_of(Do, Dir),
        {error, einval} = Do(mount, [Dir, To, "", [bind], ""])
    end).

move(Config) ->
    in_mounts(Config, fun(Do) ->
        [From, To] = [directory(Config, Name) || Name <- ["from", "to"]],
        ok = Do(mount, ["tmpfs", From, "tmpfs", [], ""]),
        ok = Do(mkdir, [From ++ "/mounted", 8#755]),
        ok = Do(mount, [From, To, "", 'MS_MOVE', ""]),
        {ok, []} = Do(readdir, [From]),
        {ok, [<<"mounted">>]} = Do(readdir, [To]),
        {error, einval} = Do(umount, [From]),
        ok = Do(umount, [To])
    end).

%% What is in use stays, unless it is detached: then it is gone for those who come.
umount(Config) ->
    in_mounts(Config, fun(Do) ->
        [Dir, Link] = [directory(Config, "dir"), filename:join(alcove_test:tmp(Config), "link")],
        ok = file:make_symlink(Dir, Link),
        ok = Do(mount, ["tmpfs", Dir, "tmpfs", [], ""]),
        ok = Do(mkdir, [Dir ++ "/mounted", 8#755]),
        ok = Do(chdir, [Dir ++ "/mounted"]),
        {error, ebusy} = Do(umount, [Dir]),
        {error, einval} = Do(umount2, [Link, [umount_nofollow]]),
        ok = Do(umount2, [Dir, [mnt_detach]]),
        {ok, []} = Do(readdir, [Dir]),
        {ok, []} = Do(readdir, ["."]),
        ok = Do(chdir, ["/"]),
        {error, einval} = Do(umount, [Dir]),
        {error, enoent} = Do(umount, [Dir ++ "/nonesuch"])
    end).

mount_refused(Config) ->
    Drv = alcove_test:drv(Config),
    in_mounts(Config, fun(Do) ->
        Dir = directory(Config, "dir"),
        {error, enoent} = Do(mount, ["tmpfs", Dir ++ "/nonesuch", "tmpfs", [], ""]),
        {error, enoent} = Do(mount, [Dir ++ "/nonesuch", Dir, "", [bind], ""]),
        {error, enodev} = Do(mount, ["none", Dir, "nonesuch", [], ""]),
        {error, enotblk} = Do(mount, ["/dev/null", Dir, "ext4", [], ""]),
        {error, einval} = Do(mount, ["none", Dir, "", [remount, rdonly], ""]),
        alcove_test:badarg(fun() -> Do(mount, ["tmpfs", Dir, "tmpfs", [nonesuch], ""]) end),
        alcove_test:badarg(fun() -> Do(mount, ["tmpfs", [Dir, 0, "x"], "tmpfs", [], ""]) end),
        %% Mounts are the privileged user's.
        User = alcove_test:fork(Drv, []),
        ok = alcove:setresuid(Drv, User, 65534, 65534, 65534),
        {error, eperm} = alcove:mount(Drv, User, "tmpfs", Dir, "tmpfs", [], ""),
        {error, eperm} = alcove:umount(Drv, User, "/proc")
    end).

%% Whoever mounts and fails in the middle takes along what was mounted: when alcove's
%% owner crashes, when a batch fails, and when the process is killed.
table_after_a_failure(Config) ->
    as_root(Config, fun(Drv, Path) ->
        Dir = alcove_test:tmp(Config),
        Table = table(),
        Mounts = [{mount, ["none", "/", "", [rec, private], ""]}, {mount, ["tmpfs", Dir, "tmpfs", [], ""]}],
        {Owner, Ref} = spawn_monitor(fun() ->
            Own = alcove_test:start(),
            {ok, Pid} = alcove:clone(Own, clone_newns),
            {ok, [ok, ok]} = alcove:batch(Own, [Pid], Mounts),
            exit({failed, Own, Pid})
        end),
        {Own, Pid} = receive {'DOWN', Ref, process, Owner, {failed, D, P}} -> {D, P} end,
        true = alcove_test:until(fun() -> not is_process_alive(Own) end),
        gone = alcove_test:state(Pid),
        {error, {3, chdir, enoent}} =
            alcove:spawn(Drv, Path, {clone, clone_newns}, Mounts ++ [{chdir, ["/nonesuch"]}, {getpid, []}]),
        Child = with_mounts(Drv, Path),
        ok = alcove:mount(Drv, Child, "tmpfs", Dir, "tmpfs", [], ""),
        ok = alcove:kill(Drv, Path, lists:last(Child), sigkill),
        ok = alcove_test:event(Drv, Child, {termsig, sigkill}),
        ?assertEqual(Table, table()),
        {ok, []} = file:list_dir(Dir)
    end).
