%% @doc Control groups: real ones of both versions, as this machine has them, and those of
%% a machine that has version 2 alone, from a record of its files.
-module(alcove_cgroup_SUITE).

-include_lib("stdlib/include/assert.hrl").

-export([suite/0, all/0, groups/0, init_per_suite/1, end_per_suite/1,
         init_per_testcase/2, end_per_testcase/2]).
%% groups
-export([readme_example/1, create_and_destroy/1, nested_groups/1, names_of_files/1, destroy_refuses_members/1,
         members/1, fork_is_attached/1]).
%% places
-export([evaluated_in_the_process/1, half_created_is_removed/1, nothing_mounted/1, ordinary_user/1, namespaces_pids/1,
         folds_and_mounts/1, single_files/1, descriptors_are_closed/1, wrong_shapes/1, nothing_for_a_dead_process/1]).
%% limits
-export([memory_limit/1, memory_and_swap/1, fork_bomb/1, cpus/1, cpu_time/1, limits_without_a_controller/1]).
%% members
-export([freeze_and_thaw/1, freezer_of_version_1/1, freeze_and_kill_version_2/1, kill_all/1, kill_version_1_only/1,
         kill_oneself/1, freeze_oneself/1, kill_frozen/1, kill_forking/1]).
%% version 2
-export([threaded_above_members/1, members_above_controllers/1, below_the_own_group/1]).
-export([threaded_groups/1, threaded_groups_of_a_program/1]).
-export([full_group/1, refused_program/1]).
%% own
-export([own_group/1, own_groups_are_apart/1, own_groups_leave_nothing_open/1, outside_the_namespace/1, own_group_under_a_filter/1, left_behind/1, stopped/1, stopped_with_sudo/1, out_of_descriptors/1,
         many_empty_groups/1, mounts_over_mounts/1,
         files_for_others/1]).
-export([named_node/1, another_node/1, gone_meanwhile/1]).
-export([enable_controllers/1, enable_is_refused/1, recorded_figures/1, recorded_limits/1, recorded_enabling_fails/1,
         recorded_members/1, recorded_example/1]).

suite() ->
    alcove_test:suite().

all() ->
    [{group, Group} || {Group, _, _} <- groups()].

groups() ->
    [{groups, [], [readme_example, create_and_destroy, nested_groups, names_of_files, destroy_refuses_members,
                   members, fork_is_attached]},
     {places, [], [evaluated_in_the_process, half_created_is_removed, nothing_mounted, ordinary_user, namespaces_pids,
                   folds_and_mounts, single_files, descriptors_are_closed, wrong_shapes,
                   nothing_for_a_dead_process]},
     {limits, [], [memory_limit, memory_and_swap, fork_bomb, cpus, cpu_time, limits_without_a_controller]},
     {members, [], [freeze_and_thaw, freezer_of_version_1, freeze_and_kill_version_2, kill_all,
                    kill_version_1_only, kill_oneself, freeze_oneself, kill_frozen, kill_forking]},
     {own, [], [own_group, own_groups_are_apart, own_groups_leave_nothing_open, outside_the_namespace, own_group_under_a_filter, left_behind, stopped, stopped_with_sudo, out_of_descriptors, many_empty_groups, mounts_over_mounts,
                files_for_others, named_node, another_node, gone_meanwhile]},
     {version_2, [], [threaded_above_members, members_above_controllers, below_the_own_group,
                      threaded_groups, threaded_groups_of_a_program,
                      full_group, refused_program,
                      enable_controllers, enable_is_refused, recorded_figures, recorded_limits,
                      recorded_enabling_fails, recorded_members, recorded_example]}].

init_per_suite(Config) ->
    alcove_test:init_suite(Config).

end_per_suite(_Config) ->
    ok.

init_per_testcase(_Case, Config) ->
    Name = iolist_to_binary(["alcove-test-", os:getpid(), "-",
                             integer_to_list(erlang:unique_integer([positive]))]),
    [{group, Name} | alcove_test:init_case([{exit_status, true}, {termsig, true}], Config)].

%% The groups go whatever the case has left in them.
end_per_testcase(_Case, Config) ->
    Drv = alcove_test:start(),
    _ = alcove_cgroup:kill(Drv, [], name(Config)),
    _ = alcove_cgroup:destroy(Drv, [], name(Config)),
    alcove_test:stop(Drv),
    alcove_test:end_case(Config).

name(Config) ->
    proplists:get_value(group, Config).

%% A case with a group of its own, where controllers are there and groups can be created.
with_group(Needs, Controllers, Config, Fun) ->
    Drv = alcove_test:drv(Config),
    Name = name(Config),
    alcove_test:need([root | Needs], fun() ->
        case [C || C <- Controllers, not alcove_cgroup:supported(Drv, [], C)] of
            [] ->
                case alcove_cgroup:create(Drv, [], Name) of
                    ok ->
                        ok = alcove_cgroup:enable(Drv, [], Name, Controllers -- [cgroup2]),
                        Fun(Drv, Name);
                    {error, {Where, Why}} when Why =:= erofs; Why =:= eacces; Why =:= eperm ->
                        alcove_test:skip(lists:flatten(io_lib:format("~ts: ~ts", [Where, Why])))
                end;
            Missing ->
                alcove_test:skip(lists:flatten(io_lib:format("no hierarchy has ~0p", [Missing])))
        end
    end).

%% The directory of a group in each hierarchy.
directories(Drv, Name) ->
    lists:reverse(alcove_cgroup:fold(Drv, <<>>, Name, fun(Path, Acc) -> [Path | Acc] end, [])).

is_file(Dir, Name) ->
    filelib:is_regular(filename:join(Dir, Name)).

hierarchies(Drv) ->
    [Path || {Path, _} <- alcove_cgroup:cgroup(Drv)].

read(Path) ->
    {ok, Bytes} = file:read_file(Path),
    string:trim(Bytes).

%% A child that is attached while it is in its event loop and then runs a program.
run_in(Drv, Name, Argv) ->
    Path = alcove_test:fork(Drv, []),
    ok = alcove_cgroup:attach(Drv, [], Name, lists:last(Path)),
    ok = alcove:execvp(Drv, Path, hd(Argv), Argv),
    Path.

busybox(Argv) ->
    [alcove_test:busybox() | Argv].

%% A process that is cloned from root, for what changes its view of the machine.
cloned(Drv, Flags) ->
    {ok, Pid} = alcove:clone(Drv, Flags),
    [Pid].

in_group(Pid, Directory) ->
    lists:member(integer_to_binary(Pid),
                 binary:split(read(filename:join(Directory, "cgroup.procs")), <<"\n">>, [global])).

%% ---------------------------------------------------------------------------
%% Groups
%% ---------------------------------------------------------------------------

%% The steps of the README's container, with a name of the case's own.
readme_example(Config) ->
    with_group([], [cpuset, memory], Config, fun(Drv, Name) ->
        ok = alcove_cgroup:create(Drv, [], Name),
        {ok, 1} = alcove_cgroup:set(Drv, [], <<"cpuset">>, Name, <<"cpuset.cpus">>, <<"0">>),
        {ok, 1} = alcove_cgroup:set(Drv, [], <<"cpuset">>, Name, <<"cpuset.mems">>, <<"0">>),
        _ = alcove_cgroup:set(Drv, [], <<"memory">>, Name, <<"memory.memsw.limit_in_bytes">>, <<"16m">>),
        {ok, 3} = alcove_cgroup:set(Drv, [], <<"memory">>, Name, <<"memory.limit_in_bytes">>, <<"16m">>),
        {ok, <<"16777216\n">>} = alcove_cgroup:get(Drv, [], <<"memory">>, Name, <<"memory.limit_in_bytes">>),
        {ok, <<"0\n">>} = alcove_cgroup:get(Drv, [], <<"cpuset">>, Name, <<"cpuset.cpus">>),
        {ok, Child} = alcove:clone(Drv, [clone_newipc, clone_newnet, clone_newns, clone_newpid, clone_newuts]),
        {ok, N} = alcove_cgroup:set(Drv, [], <<>>, Name, <<"tasks">>, integer_to_list(Child)),
        N = length(integer_to_list(Child)),
        [?assert(in_group(Child, Directory)) || Directory <- directories(Drv, Name)],
        {ok, [Child]} = alcove_cgroup:procs(Drv, [], [Name])
    end).

%% A group is in every hierarchy, once however often it is created, and gone when
%% it is destroyed.
create_and_destroy(Config) ->
    with_group([], [], Config, fun(Drv, Name) ->
        Directories = directories(Drv, Name),
        Directories = [<<Path/binary, "/", Name/binary>> || Path <- hierarchies(Drv)],
        [?assert(filelib:is_dir(Directory)) || Directory <- Directories],
        ok = alcove_cgroup:create(Drv, [], [Name]),
        ok = alcove_cgroup:create(Drv, [], binary_to_list(Name)),
        ok = alcove_cgroup:destroy(Drv, [], Name),
        [] = directories(Drv, Name),
        ok = alcove_cgroup:destroy(Drv, [], Name),
        {error, enoent} = alcove_cgroup:get(Drv, [], <<>>, Name, "cgroup.procs"),
        {error, enoent} = alcove_cgroup:set(Drv, [], <<>>, Name, "cgroup.procs", "0"),
        {error, enoent} = alcove_cgroup:attach(Drv, [], Name, 0),
        {error, enoent} = alcove_cgroup:procs(Drv, [], Name),
        {error, enoent} = alcove_cgroup:stats(Drv, [], Name),
        {error, enoent} = alcove_cgroup:freeze(Drv, [], Name),
        {error, enoent} = alcove_cgroup:thaw(Drv, [], Name),
        {error, enoent} = alcove_cgroup:kill(Drv, [], Name)
    end).

%% Groups above are created with a group, and those below are removed with one.
nested_groups(Config) ->
    with_group([], [], Config, fun(Drv, Name) ->
        ok = alcove_cgroup:destroy(Drv, [], Name),
        ok = alcove_cgroup:create(Drv, [], [Name, <<"a">>, "b"]),
        ok = alcove_cgroup:create(Drv, [], <<"/", Name/binary, "/a/c.d/">>),
        Count = length(hierarchies(Drv)),
        [Count = length(directories(Drv, Group))
         || Group <- [Name, [Name, "a"], [Name, "a", "b"], [Name, "a", "c.d"]]],
        {error, {Where, enotdir}} = alcove_cgroup:destroy(Drv, [], [Name, "cgroup.procs"]),
        <<"cgroup.procs">> = filename:basename(Where),
        Path = alcove_test:fork(Drv, []),
        %% Members can be in any of them.
        ok = alcove_cgroup:attach(Drv, [], [Name, "a", "b"], lists:last(Path)),
        [?assert(in_group(lists:last(Path), D)) || D <- directories(Drv, [Name, "a", "b"])],
        ok = alcove_cgroup:attach(Drv, [], <<>>, lists:last(Path)),
        ok = alcove_cgroup:destroy(Drv, [], Name),
        [] = directories(Drv, Name)
    end).

%% A name that is a file's is refused, and nothing is left of the group above.
names_of_files(Config) ->
    with_group([], [], Config, fun(Drv, Name) ->
        {error, {Where, eexist}} = alcove_cgroup:create(Drv, [], [Name, "new", "cgroup.procs"]),
        <<"cgroup.procs">> = filename:basename(Where),
        [] = directories(Drv, [Name, "new"])
    end).

%% A group that has members stays; those that end meanwhile are waited for.
destroy_refuses_members(Config) ->
    with_group([], [], Config, fun(Drv, Name) ->
        Path = run_in(Drv, Name, ["cat"]),
        [Directory | _] = directories(Drv, Name),
        {error, {Directory, ebusy}} = alcove_cgroup:destroy(Drv, [], Name),
        Self = self(),
        spawn_link(fun() -> Self ! {destroyed, alcove_cgroup:destroy(Drv, [], Name)} end),
        ok = alcove:eof(Drv, Path),
        alcove_test:event(Drv, Path, {exit_status, 0}),
        receive {destroyed, Result} -> ok = Result end,
        [] = directories(Drv, Name)
    end).

%% Members are those of the groups below as well.
members(Config) ->
    with_group([], [], Config, fun(Drv, Name) ->
        ok = alcove_cgroup:create(Drv, [], [Name, "below"]),
        [Pid1] = alcove_test:fork(Drv, []),
        [Pid2] = alcove_test:fork(Drv, []),
        {ok, []} = alcove_cgroup:procs(Drv, [], Name),
        ok = alcove_cgroup:attach(Drv, [], Name, Pid1),
        ok = alcove_cgroup:attach(Drv, [], [Name, "below"], Pid2),
        Both = lists:sort([Pid1, Pid2]),
        {ok, Both} = alcove_cgroup:procs(Drv, [], Name),
        {ok, [Pid2]} = alcove_cgroup:procs(Drv, [], [Name, "below"]),
        {error, {_, esrch}} = alcove_cgroup:attach(Drv, [], Name, 16#7fffffff),
        %% 0 is the process that does it.
        ok = alcove_cgroup:attach(Drv, [Pid1], [Name, "below"], 0),
        {ok, Both} = alcove_cgroup:procs(Drv, [], [Name, "below"])
    end).

%% What a member forks, is one.
fork_is_attached(Config) ->
    with_group([], [], Config, fun(Drv, Name) ->
        Path = alcove_test:fork(Drv, []),
        ok = alcove_cgroup:attach(Drv, [], Name, lists:last(Path)),
        Pids = alcove_test:chain(Drv, Path, 2),
        Sorted = lists:sort(Pids),
        {ok, Sorted} = alcove_cgroup:procs(Drv, [], Name)
    end).

%% ---------------------------------------------------------------------------
%% Places
%% ---------------------------------------------------------------------------

%% A process with mounts of its own sees these, and only these.
evaluated_in_the_process(Config) ->
    with_group([], [], Config, fun(Drv, Name) ->
        Inside = cloned(Drv, clone_newns),
        ok = alcove:mount(Drv, Inside, "none", "/", "", [rec, private], ""),
        true = alcove_cgroup:supported(Drv, Inside),
        ok = alcove:mount(Drv, Inside, "tmpfs", "/sys/fs/cgroup", "tmpfs", 0, ""),
        false = alcove_cgroup:supported(Drv, Inside),
        true = alcove_cgroup:supported(Drv, []),
        {error, enodev} = alcove_cgroup:create(Drv, Inside, Name),
        {error, enodev} = alcove_cgroup:get(Drv, Inside, <<>>, Name, "cgroup.procs"),
        true = alcove_cgroup:is_dir(Drv, Inside, "/sys/fs/cgroup"),
        {ok, []} = alcove:readdir(Drv, Inside, "/sys/fs/cgroup")
    end).

%% One hierarchy that refuses undoes the group in the others.
half_created_is_removed(Config) ->
    with_group([], [], Config, fun(Drv, Name) ->
        Inside = cloned(Drv, clone_newns),
        ok = alcove:mount(Drv, Inside, "none", "/", "", [rec, private], ""),
        Last = lists:last(hierarchies(Drv)),
        ok = alcove:mount(Drv, Inside, "none", Last, "", [remount, bind, rdonly], ""),
        Refused = <<Last/binary, "/", Name/binary, "/new">>,
        {error, {Refused, erofs}} = alcove_cgroup:create(Drv, Inside, [Name, "new"]),
        [] = directories(Drv, [Name, "new"]),
        ok = alcove_cgroup:create(Drv, [], [Name, "new"]),
        {error, {Refused, erofs}} = alcove_cgroup:destroy(Drv, Inside, [Name, "new"]),
        [Refused] = directories(Drv, [Name, "new"])
    end).

%% Without /proc there is nothing to find.
nothing_mounted(Config) ->
    alcove_test:need([root], fun() ->
        Drv = alcove_test:drv(Config),
        Inside = cloned(Drv, clone_newpid),
        ok = alcove:chroot(Drv, Inside, alcove_test:tmp(Config)),
        ok = alcove:chdir(Drv, Inside, "/"),
        false = alcove_cgroup:supported(Drv, Inside),
        None = {error, {<<"/proc/self/mountinfo">>, enoent}},
        None = alcove_cgroup:create(Drv, Inside, "x"),
        None = alcove_cgroup:destroy(Drv, Inside, "x"),
        None = alcove_cgroup:attach(Drv, Inside, "x", 0),
        None = alcove_cgroup:limit(Drv, Inside, "x", #{pids => 1}),
        None = alcove_cgroup:set(Drv, Inside, pids, "x", "pids.max", "1"),
        None = alcove_cgroup:get(Drv, Inside, pids, "x", "pids.max"),
        {error, enoent} = alcove_cgroup:mounts(Drv, Inside),
        {error, enoent} = alcove_cgroup:cgroup(Drv, Inside)
    end).

%% A process without the right to is told so.
ordinary_user(Config) ->
    with_group([], [memory], Config, fun(Drv, Name) ->
        Path = alcove_test:path(Config),
        [First | _] = Directories = directories(Drv, Name),
        ok = alcove:setgid(Drv, Path, 65534),
        ok = alcove:setuid(Drv, Path, 65534),
        true = alcove_cgroup:supported(Drv, Path),
        New = <<First/binary, "/new">>,
        Procs = <<First/binary, "/cgroup.procs">>,
        {error, {New, eacces}} = alcove_cgroup:create(Drv, Path, [Name, "new"]),
        {error, {Procs, eacces}} = alcove_cgroup:attach(Drv, Path, Name, 0),
        {error, {_, eacces}} = alcove_cgroup:limit(Drv, Path, Name, #{memory => max}),
        {error, _} = alcove_cgroup:set(Drv, Path, memory, Name, "memory.limit_in_bytes", "1m"),
        {error, {First, _}} = alcove_cgroup:destroy(Drv, Path, Name),
        {error, _} = alcove_cgroup:freeze(Drv, Path, Name),
        %% Without a file for that there is nothing to be refused, as nothing is in the group.
        Killed = alcove_cgroup:kill(Drv, Path, Name),
        ?assertEqual(
            lists:any(fun(Dir) -> is_file(Dir, "cgroup.kill") orelse is_file(Dir, "freezer.state") end, Directories),
            Killed =/= ok
        ),
        {ok, []} = alcove_cgroup:procs(Drv, Path, Name),
        {ok, #{memory := _}} = alcove_cgroup:stats(Drv, Path, Name),
        Directories = directories(Drv, Name)
    end).

%% A pid is the one that the process at the fork path knows.
namespaces_pids(Config) ->
    with_group([], [], Config, fun(Drv, Name) ->
        [Outside] = Inside = cloned(Drv, clone_newpid),
        {ok, 2} = alcove:fork(Drv, Inside),
        ok = alcove_cgroup:attach(Drv, Inside, Name, 1),
        {ok, [1]} = alcove_cgroup:procs(Drv, Inside, Name),
        {ok, [Outside]} = alcove_cgroup:procs(Drv, [], Name),
        Other = alcove_test:path(Config),
        ok = alcove_cgroup:attach(Drv, [], Name, lists:last(Other)),
        {ok, [0, 1]} = alcove_cgroup:procs(Drv, Inside, Name)
    end).

folds_and_mounts(Config) ->
    with_group([], [memory], Config, fun(Drv, Name) ->
        {ok, Mounts} = alcove_cgroup:mounts(Drv),
        {_, <<"/proc">>, <<"proc">>, Options, <<"0">>, <<"0">>} = lists:keyfind(<<"/proc">>, 2, Mounts),
        <<"rw", _/binary>> = Options,
        Hierarchies = alcove_cgroup:cgroup(Drv),
        [Memory] = [Path || {Path, Opts} <- Hierarchies, lists:member(<<"memory">>, Opts)],
        {_, Memory, _, _, _, _} = lists:keyfind(Memory, 2, Mounts),
        Group = alcove_cgroup:join(Memory, Name),
        [Group] = alcove_cgroup:fold(Drv, [], <<"memory">>, Name, fun(Path, Acc) -> [Path | Acc] end, []),
        [] = alcove_cgroup:fold(Drv, [], <<"nonesuch">>, Name, fun(Path, Acc) -> [Path | Acc] end, []),
        Count = length(Hierarchies),
        Count = alcove_cgroup:fold(Drv, <<>>, <<>>, fun(_, N) -> N + 1 end, 0),
        Files = alcove_cgroup:fold_files(Drv, <<"memory">>, Name, "^memory\\..*", fun(F, Acc) -> [F | Acc] end, []),
        true = lists:member(<<"memory.stat">>, Files),
        false = lists:member(<<"cgroup.procs">>, Files),
        %% What the caller's function throws is the caller's.
        thrown = (catch alcove_cgroup:fold(Drv, <<>>, Name, fun(_, _) -> throw(thrown) end, [])),
        true = alcove_cgroup:is_dir(Drv, [], Group),
        false = alcove_cgroup:is_dir(Drv, [], [Group, "/cgroup.procs"]),
        true = alcove_cgroup:is_file(Drv, [], [Group, "/cgroup.procs"]),
        false = alcove_cgroup:is_file(Drv, [], Group),
        false = alcove_cgroup:is_file(Drv, [], "/nonesuch"),
        true = alcove_cgroup:supported(Drv),
        true = alcove_cgroup:supported(Drv, [], <<"memory">>),
        false = alcove_cgroup:supported(Drv, [], "nonesuch")
    end).

single_files(Config) ->
    with_group([], [memory, pids], Config, fun(Drv, Name) ->
        {ok, 1} = alcove_cgroup:set(Drv, [], pids, Name, "pids.max", "7"),
        {ok, <<"7\n">>} = alcove_cgroup:get(Drv, [], "pids", Name, <<"pids.max">>),
        %% Without a controller: where there is such a file.
        {ok, <<"7\n">>} = alcove_cgroup:get(Drv, [], <<>>, Name, "pids.max"),
        {ok, 1} = alcove_cgroup:set(Drv, [], <<>>, Name, "pids.max", "8"),
        {ok, <<"8\n">>} = alcove_cgroup:get(Drv, [], <<>>, Name, "pids.max"),
        {error, enoent} = alcove_cgroup:get(Drv, [], <<>>, Name, "nonesuch"),
        {error, enoent} = alcove_cgroup:set(Drv, [], <<>>, Name, "nonesuch", "8"),
        {error, enoent} = alcove_cgroup:get(Drv, [], pids, Name, "nonesuch"),
        {error, enodev} = alcove_cgroup:get(Drv, [], nonesuch, Name, "pids.max"),
        {error, einval} = alcove_cgroup:set(Drv, [], pids, Name, "pids.max", "many"),
        {ok, #{<<"max">> := 0}} = alcove_cgroup:stat(Drv, [], pids, Name, "pids.events"),
        {ok, Memory} = alcove_cgroup:stat(Drv, [], memory, Name, "memory.stat"),
        [?assert(is_binary(Key) andalso (is_integer(Value) orelse Value =:= max)) || {Key, Value} <- maps:to_list(Memory)],
        {error, einval} = alcove_cgroup:stat(Drv, [], pids, Name, "pids.max"),
        {error, enoent} = alcove_cgroup:stat(Drv, [], pids, Name, "nonesuch")
    end).

%% Whatever comes of it, the process has the file descriptors it had.
descriptors_are_closed(Config) ->
    with_group([], [pids], Config, fun(Drv, Name) ->
        Path = alcove_test:path(Config),
        Fds = fun() -> {ok, Names} = alcove:readdir(Drv, Path, "/proc/self/fd"), lists:sort(Names) end,
        Before = Fds(),
        ok = alcove_cgroup:create(Drv, Path, [Name, "x"]),
        ok = alcove_cgroup:limit(Drv, Path, [Name, "x"], #{pids => 10}),
        {error, _} = alcove_cgroup:set(Drv, Path, pids, Name, "pids.max", "many"),
        {error, _} = alcove_cgroup:attach(Drv, Path, Name, 16#7fffffff),
        {ok, _} = alcove_cgroup:stats(Drv, Path, Name),
        _ = alcove_cgroup:freeze(Drv, Path, [Name, "x"]),
        _ = alcove_cgroup:thaw(Drv, Path, [Name, "x"]),
        ok = alcove_cgroup:kill(Drv, Path, Name),
        ok = alcove_cgroup:destroy(Drv, Path, Name),
        Before = Fds()
    end).

%% What has the wrong shape is refused in the caller.
wrong_shapes(Config) ->
    Drv = alcove_test:drv(Config),
    Bad = fun(Function, Args) -> alcove_test:badarg(fun() -> apply(alcove_cgroup, Function, [Drv, [] | Args]) end) end,
    [begin
         Bad(create, [Name]), Bad(destroy, [Name]), Bad(freeze, [Name]), Bad(thaw, [Name]), Bad(kill, [Name]),
         Bad(attach, [Name, 1]), Bad(procs, [Name]), Bad(stats, [Name]), Bad(limit, [Name, #{}]), Bad(enable, [Name, []]),
         Bad(get, [<<>>, Name, "f"]), Bad(set, [<<>>, Name, "f", "v"]), Bad(stat, [<<>>, Name, "f"]),
         Bad(fold, [<<>>, Name, fun(_, A) -> A end, 0]), Bad(fold_files, [<<>>, Name, "", fun(_, A) -> A end, 0])
     end || Name <- [atom, 1, <<"..">>, "a/../b", [<<"a">>, <<"..">>], <<"a", 0>>, [<<"a">> | b], [[[a]]]]],
    [begin
         Bad(create, [Name]), Bad(destroy, [Name]), Bad(freeze, [Name]), Bad(thaw, [Name]), Bad(kill, [Name])
     end || Name <- [<<>>, "", "/", []]],
    [Bad(attach, ["x", Pid]) || Pid <- [-1, "1", a, 1.0]],
    [Bad(limit, ["x", Limits])
     || Limits <- [[], #{memory => 0}, #{memory => -1}, #{memory => 1.5}, #{memory => "1"}, #{pids => -1}, #{cpu => 0},
                   #{cpu => -0.5}, #{cpus => 0}, #{cpus => ""}, #{cpus => max}, #{mems => [a]}, #{swap => -1}, #{memry => 1}]],
    [begin Bad(get, [<<>>, "x", Key]), Bad(set, [<<>>, "x", Key, "v"]), Bad(stat, [<<>>, "x", Key]) end
     || Key <- [a, "", "a/b", "..", ".", "../x", <<"x", 0>>]],
    Bad(set, [<<>>, "x", "f", v]),
    Bad(set, [<<>>, "x", "f", 1]),
    [begin Bad(get, [C, "x", "f"]), Bad(supported, [C]), Bad(enable, ["x", [C]]) end || C <- [1, {}, [a]]],
    [Bad(enable, ["x", [C]]) || C <- [<<>>, cgroup2]],
    Bad(enable, ["x", memory]),
    Bad(enable, ["x", [memory | pids]]),
    Bad(fold, [<<>>, "x", fun(_) -> ok end, 0]),
    Bad(fold_files, [<<>>, "x", "", f, 0]),
    Bad(fold_files, [<<>>, "x", "(", fun(_, A) -> A end, 0]),
    alcove_test:badarg(fun() -> alcove_cgroup:join("/sys", <<"..">>) end),
    alcove_test:badarg(fun() -> alcove_cgroup:join(a, <<"x">>) end),
    alcove_test:badarg(fun() -> alcove_cgroup:expand(a) end),
    alcove_test:badarg(fun() -> alcove_cgroup:relpath(a) end),
    try alcove_cgroup:limit(Drv, [], "x", #{memry => 1}) of
        _ -> ct:fail(no_exception)
    catch
        error:badarg:Stack ->
            [{alcove_cgroup, limit, [Drv, [], "x", #{memry := 1}], _} | _] = Stack,
            #{4 := Text} = alcove_errors:format_error(badarg, Stack),
            ?assertNotEqual(nomatch, string:find(Text, "limits"))
    end.

nothing_for_a_dead_process(Config) ->
    Drv = alcove_test:drv(Config),
    [alcove_test:badpid(fun() -> apply(alcove_cgroup, Function, [Drv, [16#7ffffffe] | Args]) end)
     || {Function, Args} <- [{create, ["x"]}, {destroy, ["x"]}, {supported, []}, {mounts, []}, {stats, ["x"]}]].

%% ---------------------------------------------------------------------------
%% Groups of one program
%% ---------------------------------------------------------------------------

own_dirs() ->
    own_dirs(os:getpid()).

own_dirs(Pid) ->
    [
        Dir
     || Above <- ["", "*/", "*/*/", "*/*/*/"],
        Dir <- filelib:wildcard("/sys/fs/cgroup/" ++ Above ++ "alcove-own." ++ Pid ++ ".*")
    ].

%% A group that has its limits, members and figures like one with a name, and goes with all in it.
own_group(Config) ->
    with_group([], [pids], Config, fun(Drv, _) ->
        [] = own_dirs(),
        {ok, Group} = alcove_cgroup:make(Drv, [], #{pids => 7}),
        [_ | _] = own_dirs(),
        Path = run_in(Drv, Group, ["cat"]),
        Pid = lists:last(Path),
        {ok, [Pid]} = alcove_cgroup:procs(Drv, [], Group),
        {ok, #{pids := #{limit := 7, current := 1}}} = alcove_cgroup:stats(Drv, [], Group),
        ok = alcove_cgroup:limit(Drv, [], Group, #{pids => 8}),
        {ok, <<"8\n">>} = alcove_cgroup:get(Drv, [], pids, Group, "pids.max"),
        alcove_test:badarg(fun() -> alcove_cgroup:create(Drv, [], Group) end),
        alcove_test:badarg(fun() -> alcove_cgroup:remove(Drv, [], <<"name">>) end),
        ok = alcove_cgroup:remove(Drv, [], Group),
        alcove_test:event(Drv, Path, {termsig, sigkill}),
        [] = own_dirs(),
        %% The numbers of its descriptors are those of other files by now.
        Fds = [begin {ok, Fd} = alcove:open(Drv, [], "/dev/null", [o_rdonly], 0), Fd end || _ <- lists:seq(1, 8)],
        ok = alcove_cgroup:remove(Drv, [], Group),
        [{ok, _} = alcove:fstat(Drv, [], Fd) || Fd <- Fds],
        [ok = alcove:close(Drv, [], Fd) || Fd <- Fds],
        %% What can't be limited is said, and leaves nothing.
        {error, _} = alcove_cgroup:make(Drv, [], #{pids => 7, cpus => "100000"}),
        [] = own_dirs()
    end).

%% Two Drvs, and two processes of one, share none.
own_groups_are_apart(Config) ->
    with_group([], [pids], Config, fun(Drv, _) ->
        Other = alcove_test:start(),
        Path = alcove_test:path(Config),
        Made = [{D, P, element(2, {ok, _} = alcove_cgroup:make(D, P, #{pids => N}))}
                || {D, P, N} <- [{Drv, [], 5}, {Other, [], 6}, {Drv, Path, 7}, {Drv, Path, 8}]],
        [{ok, #{pids := #{limit := 5}}}, {ok, #{pids := #{limit := 6}}}, {ok, #{pids := #{limit := 7}}},
         {ok, #{pids := #{limit := 8}}}] = [alcove_cgroup:stats(D, P, Group) || {D, P, Group} <- Made],
        %% Those of one process, and no others.
        ok = alcove_cgroup:remove(Drv, Path),
        [{ok, _}, {ok, _}, {error, enoent}, {error, enoent}] =
            [alcove_cgroup:stats(D, P, Group) || {D, P, Group} <- Made],
        [ok = alcove_cgroup:remove(D, P, Group) || {D, P, Group} <- Made],
        alcove_test:stop(Other),
        [] = own_dirs()
    end).

%% However a group goes, its maker keeps no descriptor of it, and none of the maker's others goes with it.
own_groups_leave_nothing_open(Config) ->
    with_group([], [pids], Config, fun(Drv, Name) ->
        Path = alcove_test:path(Config),
        [First | _] = directories(Drv, Name),
        {ok, Fd} = alcove:open(Drv, Path, First, [o_rdonly, o_directory], 0),
        Open = fun() ->
            {ok, Names} = file:list_dir(lists:concat(["/proc/", lists:last(Path), "/fd"])),
            lists:sort(Names)
        end,
        Before = Open(),
        Make = fun(N) -> [element(2, {ok, _} = alcove_cgroup:make(Drv, Path, #{pids => 5})) || _ <- lists:seq(1, N)] end,
        Ways = [fun(_) -> ok = alcove_cgroup:remove(Drv, Path) end,
                fun(Groups) -> [ok = alcove_cgroup:remove(Drv, Path, Group) || Group <- Groups] end,
                fun(Groups) -> [ok = alcove_cgroup:destroy(Drv, Path, Group) || Group <- Groups] end,
                %% Others have removed them.
                fun(_) ->
                    [ok = file:del_dir(Dir) || Dir <- own_dirs()],
                    ok = alcove_cgroup:remove(Drv, Path)
                end],
        [begin
             Groups = Make(3),
             ?assertNotEqual(Before, Open()),
             _ = Way(Groups),
             ?assertEqual(Before, Open()),
             [] = own_dirs()
         end || Way <- Ways],
        %% One that is made while others are removed keeps its lock: nobody else removes it.
        [New] = Make(1),
        Locked = Open(),
        ok = alcove_cgroup_own:forget_all({Drv, Path}, []),
        ?assertEqual(Locked, Open()),
        ok = alcove_cgroup:destroy(Drv, Path, New),
        ?assertEqual(Before, Open()),
        %% One that still has members keeps its lock.
        [Group] = Make(1),
        Member = run_in(Drv, Group, ["cat"]),
        Held = Open(),
        {error, {_, ebusy}} = alcove_cgroup:destroy(Drv, Path, Group),
        Held = Open(),
        ok = alcove_cgroup:remove(Drv, Path),
        alcove_test:event(Drv, Member, {termsig, sigkill}),
        Before = Open(),
        ok = alcove:close(Drv, Path, Fd)
    end).

%% The group of a process may be above all that its namespace shows, where it can have none for its programs:
%% of version 1 they are in the uppermost that it sees, of version 2, whose rules bind its own, it is an error.
outside_the_namespace(Config) ->
    with_group([], [pids], Config, fun(Drv, Name) ->
        %% Of version 2, the one above can't have members, as it has controllers for those in it.
        {Outside, Shows} = case version(Drv, <<"pids">>) of
                               1 -> {Name, <<"/..">>};
                               2 -> {[Name, "beside"], <<"/../beside">>}
                           end,
        [ok = alcove_cgroup:create(Drv, [], Group) || Group <- [[Name, "in"], Outside]],
        ok = alcove_cgroup:enable(Drv, [], [Name, "in"], [pids]),
        [Pid] = Inside = cloned(Drv, clone_newns),
        ok = alcove:mount(Drv, Inside, "none", "/", "", [rec, private], ""),
        ok = alcove_cgroup:attach(Drv, [], [Name, "in"], Pid),
        ok = alcove:unshare(Drv, Inside, clone_newcgroup),
        {ok, Text} = alcove:read_file(Drv, Inside, "/proc/self/cgroup"),
        Shown = [begin
                     [Of] = [Cs || {Cs, _} <- alcove_cgroup_text:memberships(Text),
                                   Cs =:= [] andalso lists:member(<<"cgroup2">>, Options)
                                       orelse Cs =/= [] andalso Cs -- Options =:= []],
                     ok = alcove:umount2(Drv, Inside, Root, mnt_detach),
                     Type = case Of of [] -> "cgroup2"; _ -> "cgroup" end,
                     ok = alcove:mount(Drv, Inside, Type, Root, Type, 0, lists:join(",", Of)),
                     {Root, Of}
                 end || {Root, Options} <- lists:reverse(alcove_cgroup:cgroup(Drv)),
                        lists:any(fun(C) -> lists:member(C, Options) end, [<<"pids">>, <<"cgroup2">>])],
        ok = alcove_cgroup:attach(Drv, [], Outside, Pid),
        {ok, Now} = alcove:read_file(Drv, Inside, "/proc/self/cgroup"),
        [?assertEqual({Of, Shows}, {Of, proplists:get_value(Of, alcove_cgroup_text:memberships(Now))})
         || {_, Of} <- Shown],
        Around = fun() -> {ok, Names} = file:list_dir("/sys/fs/cgroup"), lists:sort(Names) end,
        Before = Around(),
        Above = {error, {<<"/proc/self/cgroup">>, enoent}},
        [Above = alcove_cgroup:leaf(Drv, Inside) || {_, []} <- Shown],
        case version(Drv, <<"pids">>) of
            1 ->
                {ok, Group} = alcove_cgroup:make(Drv, Inside, #{pids => 5}),
                [Dir] = [D || {Root, [<<"pids">> | _]} <- Shown,
                              D <- filelib:wildcard(lists:concat([binary_to_list(Root), "/", binary_to_list(Name), "/in/alcove-own.*"]))],
                <<"5">> = read(filename:join(Dir, "pids.max")),
                ok = alcove_cgroup:remove(Drv, Inside, Group),
                false = filelib:is_dir(Dir);
            2 ->
                Above = alcove_cgroup:make(Drv, Inside, #{pids => 5})
        end,
        Before = Around()
    end).

%% A keeper under a filter makes no call that it can do without: the filter may kill it for that.
own_group_under_a_filter(Config) ->
    with_group([], [pids], Config, fun(Drv, _) ->
        {ok, Pid} = alcove:fork(Drv),
        Path = alcove_test:constant(o_path),
        Looks = {openat, [{2, {masked_eq, Path}, Path, 32}], kill},
        ok = alcove_seccomp:install(Drv, [Pid], #{default => allow, rules => [Looks, {clone3, kill}]}),
        {ok, #{status := 0, stdout := Groups}} =
            alcove_proc:run(Drv, ["cat", "/proc/self/cgroup"], #{in => [Pid], cgroup => #{pids => 10}}),
        {match, _} = re:run(Groups, "(pids|^0:)[^\n]*alcove-own", [multiline]),
        ok = alcove:exit(Drv, [Pid], 0)
    end).

%% What a Drv leaves behind that was killed, the next one removes; what a Drv has that is alive, it
%% leaves alone, also when that Drv is one of another virtual machine.
left_behind(Config) ->
    with_group([], [pids], Config, fun(Drv, _) ->
        Killed = alcove_test:start(),
        [Parent] = alcove_test:fork(Killed, []),
        {ok, _} = alcove_cgroup:make(Killed, [Parent], #{pids => 5}),
        Left = own_dirs(),
        [_ | _] = Left,
        {ok, Mine} = alcove_cgroup:make(Drv, [], #{pids => 5}),
        %% Its owner lives.
        true = lists:all(fun filelib:is_dir/1, Left),
        true = exit(Killed, kill),
        true = alcove_test:until(fun() -> not alcove_test:alive(Parent) end),
        true = lists:all(fun filelib:is_dir/1, Left),
        {ok, Next} = alcove_cgroup:make(Drv, [], #{pids => 5}),
        [] = [Dir || Dir <- Left, filelib:is_dir(Dir)],
        {ok, _} = alcove_cgroup:stats(Drv, [], Mine),
        ok = alcove_cgroup:remove(Drv, [], Mine),
        ok = alcove_cgroup:remove(Drv, [], Next),
        [] = own_dirs()
    end).

%% The groups of a Drv that stops, or whose root is killed, go with its processes, which have their
%% time to end before.
stopped(Config) ->
    with_group([], [pids], Config, fun(_, _) ->
        Told = filename:join(alcove_test:tmp(Config), "told"),
        Ends = [fun(Drv) ->
                        ok = alcove_drv:stop(Drv),
                        {ok, <<"told\n">>} = file:read_file(Told)
                end,
                fun(Drv) ->
                        Ref = monitor(process, Drv),
                        "" = os:cmd("kill -9 " ++ integer_to_list(maps:get(os_pid, alcove_drv:info(Drv)))),
                        receive {'DOWN', Ref, process, Drv, {termsig, sigkill}} -> ok end
                end],
        [begin
             Drv = alcove_test:start(),
             Path = alcove_test:fork(Drv, []),
             {ok, Group} = alcove_cgroup:make(Drv, Path, #{pids => 20}),
             _ = run_in(Drv, Group, ["sh", "-c", "trap '' TERM; while :; do sleep 1; done"]),
             [ok = file:make_dir(filename:join(Dir, "below")) || Dir <- own_dirs()],
             Script = "trap 'echo told > \"$0\"; exit' TERM; echo ready; while :; do sleep 0.01; done",
             {ok, Pid} = alcove_proc:start_link(Drv, ["sh", "-c", Script, Told], #{cgroup => #{pids => 10}}),
             receive {alcove_proc, Pid, {stdout, <<"ready\n">>}} -> ok end,
             true = unlink(Pid),
             _ = End(Drv),
             [] = own_dirs()
         end || End <- Ends],
        ok
    end).

%% Also where Drv is root and the virtual machine isn't, which may not remove them.
stopped_with_sudo(Config) ->
    alcove_test:need([root, sudo, ordinary, gains], fun() ->
        Paths = alcove_test:user_paths(Config),
        Executable = filename:join([filename:dirname(hd(Paths)), "priv", "alcove"]),
        Rules = "/etc/sudoers.d/alcove_test_" ++ os:getpid(),
        ok = file:write_file(Rules, [alcove_test:user(), " ALL = NOPASSWD: ", Executable, "\n"]),
        ok = file:change_mode(Rules, 8#440),
        try
            Peer = alcove_test:user_peer(Config, Paths),
            Made = alcove_test:in_peer(Peer, fun() ->
                {ok, Drv} = alcove_drv:start([{exec, "sudo -n"}]),
                Groups = [alcove_cgroup:make(Drv, [], #{pids => 5}) || _ <- [1, 2]],
                Before = own_dirs(),
                ok = alcove_drv:stop(Drv),
                {[ok || {ok, _} <- Groups], length(Before), own_dirs()}
            end),
            {[ok, ok], Before, []} = Made,
            true = Before >= 2,
            alcove_test:stop_peer(Peer)
        after
            file:delete(Rules)
        end
    end).

%% With few descriptors left a group is made whole or not at all, the error says what was missing, and the
%% groups of others stay. One is also removed with no others than its own.
out_of_descriptors(Config) ->
    with_group([], [pids, memory], Config, fun(_, _) ->
        Other = alcove_test:start(),
        {ok, Theirs} = alcove_cgroup:make(Other, [], #{pids => 5}),
        Before = own_dirs(),
        Drv = alcove_test:start(),
        {ok, {alcove_rlimit, _, Hard}} = alcove:getrlimit(Drv, [], rlimit_nofile),
        Has = fun(Most) -> ok = alcove:setrlimit(Drv, [], rlimit_nofile, {alcove_rlimit, Most, Hard}) end,
        Made = [begin
                    Has(Most),
                    case alcove_cgroup:make(Drv, [], #{pids => 5, memory => 1 bsl 30}) of
                        {ok, Group} ->
                            ok = alcove_cgroup:remove(Drv, [], Group),
                            made;
                        {error, {Path, emfile}} when is_binary(Path) ->
                            none
                    end
                end || Most <- lists:seq(3, 12), Before =:= own_dirs()],
        10 = length(Made),
        [made, none] = lists:usort(Made),
        %% In the end they are used up by groups.
        Has(40),
        Groups = until_error(fun() -> alcove_cgroup:make(Drv, [], #{pids => 5, memory => 1 bsl 30}) end),
        [ok = alcove_cgroup:remove(Drv, [], Group) || Group <- Groups],
        Before = own_dirs(),
        ok = alcove_cgroup:remove(Other, [], Theirs),
        [] = own_dirs()
    end).

%% The groups of a Drv are its own whatever its node is called, when they were made, and now.
named_node(Config) ->
    with_group([], [pids], Config, fun(_, _) ->
        Args = lists:append([["-pa", Path] || Path <- alcove_test:paths()])
            ++ ["-setcookie", "alcove_test" | alcove_test:without_epmd(alcove_test:free_port())],
        Peer = alcove_test:peer(alcove_test:paths(), #{args => Args, env => [{"HOME", "/nonexistent"}]}),
        Name = list_to_atom("alcove_named" ++ os:getpid() ++ "@127.0.0.1"),
        {Before, [], [nonode@nohost, Name, nonode@nohost], After, []} = alcove_test:in_peer(Peer, fun() ->
            {ok, Drv} = alcove_drv:start(),
            Make = fun() ->
                {ok, _} = alcove_cgroup:make(Drv, [], #{pids => 5}),
                {ok, _} = alcove_proc:start(Drv, ["sleep", "100"], #{cgroup => #{pids => 5}})
            end,
            Make(),
            Made = own_dirs(),
            First = node(),
            {ok, _} = net_kernel:start(Name, #{name_domain => longnames, dist_listen => false}),
            ok = alcove_cgroup:remove(Drv, []),
            Removed = own_dirs(),
            Make(),
            Second = node(),
            ok = net_kernel:stop(),
            Make(),
            Again = own_dirs(),
            ok = alcove_drv:stop(Drv),
            {length(Made), Removed, [First, Second, node()], length(Again), own_dirs()}
        end),
        ?assert(Before >= 2),
        ?assertEqual(2 * Before, After),
        alcove_test:stop_peer(Peer)
    end).

%% Also who makes a group from another node makes it for Drv.
another_node(Config) ->
    with_group([], [pids], Config, fun(_, _) ->
        alcove_test:nodes(fun(There, Here) ->
            Drv = alcove_test:peer_call(There, alcove_test, hold, [[{name, alcove_own}]]),
            Dirs = fun() -> lists:append([own_dirs(alcove_test:peer_call(Peer, os, getpid, [])) || Peer <- [There, Here]]) end,
            Named = {alcove_own, node(Drv)},
            Make = fun(Peer, Ref) ->
                {ok, Group} = alcove_test:peer_call(Peer, alcove_cgroup, make, [Ref, [], #{pids => 5}]),
                Group
            end,
            Ways = [{There, Drv}, {Here, Drv}, {Here, Named}, {There, alcove_own}],
            _ = [Make(Peer, Ref) || {Peer, Ref} <- Ways],
            ?assertMatch([_, _, _, _ | _], Dirs()),
            ok = alcove_test:peer_call(There, alcove_cgroup, remove, [alcove_own, []]),
            [] = Dirs(),
            _ = [Make(Peer, Ref) || {Peer, Ref} <- Ways],
            ok = alcove_test:peer_call(Here, alcove_cgroup, remove, [Named, []]),
            [] = Dirs(),
            %% No name comes twice, so that a group that is gone is never another one.
            Names = [begin
                         Group = Make(Peer, Ref),
                         Made = lists:usort([filename:basename(Dir) || Dir <- Dirs()]),
                         ok = alcove_test:peer_call(Here, alcove_cgroup, remove, [Drv, [], Group]),
                         Made
                     end || _ <- lists:seq(1, 10), {Peer, Ref} <- Ways],
            40 = length(lists:usort(lists:append(Names))),
            _ = [Make(Peer, Ref) || {Peer, Ref} <- Ways],
            ok = alcove_test:peer_call(Here, alcove_drv, stop, [Drv]),
            [] = Dirs(),
            gone = alcove_test:peer_call(Here, alcove_drv, groups, [Drv, []]),
            gone = alcove_test:peer_call(There, alcove_drv, groups, [alcove_own, []]),
            gone = alcove_test:peer_call(Here, alcove_drv, groups, [Named, []])
        end)
    end).

%% A Drv that ends before it has said what its groups are called has none. One that says it late is waited
%% for, by a program for as long as that may wait for its start.
gone_meanwhile(Config) ->
    with_group([], [pids], Config, fun(_, _) ->
        Drv = alcove_test:start(),
        ok = sys:suspend(Drv),
        Calls = [fun() -> alcove_cgroup:make(Drv, [], #{pids => 5}) end,
                 fun() -> alcove_cgroup:remove(Drv, []) end,
                 fun() -> alcove_proc:run(Drv, ["true"], #{cgroup => #{pids => 5}}) end],
        Callers = [spawn_monitor(fun() -> exit(try Call() catch Class:Why -> {Class, Why} end) end)
                   || Call <- Calls],
        Asked = fun() -> element(2, process_info(Drv, message_queue_len)) end,
        true = alcove_test:until(fun() -> Asked() =:= length(Calls) end),
        true = exit(Drv, kill),
        ?assertMatch([{error, badpid}, {error, badpid}, {error, {drv, _}}],
                     [receive {'DOWN', Ref, process, Caller, Answer} -> Answer end || {Caller, Ref} <- Callers]),
        [] = own_dirs(),
        Late = alcove_test:start(),
        ok = sys:suspend(Late),
        {error, {start, timeout}} = alcove_proc:run(Late, ["true"], #{cgroup => #{pids => 5}, timeout => 100}),
        ok = sys:resume(Late),
        {ok, #{status := 0}} = alcove_proc:run(Late, ["true"], #{cgroup => #{pids => 5}}),
        true = alcove_test:until(fun() -> own_dirs() =:= [] end),
        alcove_test:stop(Late)
    end).

until_error(Make) ->
    case Make() of
        {ok, Group} -> [Group | until_error(Make)];
        {error, {_, emfile}} -> []
    end.

%% However long it takes, one call removes them all.
many_empty_groups(Config) ->
    with_group([], [], Config, fun(Drv, Name) ->
        [begin
             {ok, _} = alcove:batch(Drv, [], [{mkdir, [filename:join(Directory, ["n", integer_to_list(N)]), 8#755]}
                                              || N <- lists:seq(1, 400)])
         end || Directory <- [hd(directories(Drv, Name))]],
        ok = alcove_cgroup:destroy(Drv, [], Name),
        [] = directories(Drv, Name)
    end).

%% Of what is mounted at one place the last counts, also when whole trees lie over each other.
mounts_over_mounts(Config) ->
    with_group([], [], Config, fun(Drv, _) ->
        Inside = cloned(Drv, clone_newns),
        ok = alcove:mount(Drv, Inside, "none", "/", "", [rec, private], ""),
        Tmp = alcove_test:tmp(Config),
        {Type, Source} = case [Path || {Path, Options} <- alcove_cgroup:cgroup(Drv), lists:member(<<"cgroup2">>, Options)] of
                             [Path | _] -> {"cgroup2", Path};
                             [] -> {none, none}
                         end,
        Type =:= none andalso alcove_test:skip("needs version 2"),
        ok = alcove:mount(Drv, Inside, Source, Tmp, "", [bind], ""),
        %% A new tree over the old one, with a hierarchy where one lies below it.
        ok = alcove:mount(Drv, Inside, "tmpfs", "/sys/fs/cgroup", "tmpfs", 0, ""),
        [Tmp] = [binary_to_list(Path) || {Path, _} <- alcove_cgroup:cgroup(Drv, Inside)],
        Again = case Source of
                    <<"/sys/fs/cgroup">> -> Source;
                    _ -> ok = alcove:mkdir(Drv, Inside, Source, 8#755), Source
                end,
        ok = alcove:mount(Drv, Inside, Tmp, Again, "", [bind], ""),
        ok = alcove:umount2(Drv, Inside, Tmp, mnt_detach),
        [Again] = [Path || {Path, _} <- alcove_cgroup:cgroup(Drv, Inside)],
        %% Over that, once more.
        ok = alcove:mount(Drv, Inside, Again, Again, "", [bind], ""),
        [Again] = [Path || {Path, _} <- alcove_cgroup:cgroup(Drv, Inside)]
    end).

%% Where whoever attaches and kills by itself has to write.
files_for_others(Config) ->
    with_group([], [pids], Config, fun(Drv, _) ->
        {ok, Group} = alcove_cgroup:make(Drv, [], #{pids => 7}),
        {ok, Files} = alcove_cgroup:attach_files(Drv, [], Group),
        Path = alcove_test:fork(Drv, []),
        [ok = file:write_file(File, integer_to_binary(lists:last(Path))) || File <- Files],
        {ok, [_]} = alcove_cgroup:procs(Drv, [], Group),
        case alcove_cgroup:kill_file(Drv, [], Group) of
            {ok, Kill} ->
                ok = file:write_file(Kill, "1"),
                alcove_test:event(Drv, Path, {termsig, sigkill});
            {error, enodev} ->
                ok
        end,
        ok = alcove_cgroup:remove(Drv, [], Group)
    end).

%% ---------------------------------------------------------------------------
%% Limits
%% ---------------------------------------------------------------------------

%% A program that takes more memory than its group may have is killed; others aren't.
memory_limit(Config) ->
    with_group([busybox], [memory], Config, fun(Drv, Name) ->
        ok = alcove_cgroup:limit(Drv, [], Name, #{memory => 16 bsl 20}),
        Innocent = alcove_test:run(Drv, [], ["cat"]),
        Eater = run_in(Drv, Name, busybox(["tail", "/dev/zero"])),
        alcove_test:event(Drv, Eater, {termsig, sigkill}),
        {ok, #{memory := #{limit := 16777216, oom_kills := 1, events := Events} = Memory}} =
            alcove_cgroup:stats(Drv, [], Name),
        #{<<"oom_kill">> := 1} = Events,
        %% In version 2 since Linux 5.19.
        case Memory of
            #{peak := Peak} -> ?assert(Peak =< 16777216 andalso Peak > 8388608);
            _ -> [] = [Dir || Dir <- directories(Drv, Name), is_file(Dir, "memory.peak")]
        end,
        true = alcove:stdin(Drv, Innocent, "alive"),
        <<"alive">> = alcove:stdout(Drv, Innocent, alcove_test:ms(5000)),
        ok = alcove_cgroup:limit(Drv, [], Name, #{memory => max}),
        {ok, #{memory := #{limit := max}}} = alcove_cgroup:stats(Drv, [], Name)
    end).

%% Swap is limited besides memory, in any order of larger and smaller.
memory_and_swap(Config) ->
    with_group([], [memory], Config, fun(Drv, Name) ->
        M = 1 bsl 20,
        case alcove_cgroup:limit(Drv, [], Name, #{memory => 16 * M, swap => 4 * M}) of
            ok ->
                {16, 4} = memory_and_swap(Drv, Name, M),
                [begin
                     ok = alcove_cgroup:limit(Drv, [], Name, Limits),
                     Now = memory_and_swap(Drv, Name, M)
                 end || {Limits, Now} <- [{#{memory => 64 * M}, {64, 4}}, {#{memory => 8 * M}, {8, 4}},
                                          {#{swap => 0}, {8, 0}}, {#{swap => 32 * M}, {8, 32}},
                                          {#{memory => 128 * M, swap => 0}, {128, 0}},
                                          {#{memory => 2 * M, swap => 2 * M}, {2, 2}}]],
                ok = alcove_cgroup:limit(Drv, [], Name, #{swap => max}),
                {2, max} = memory_and_swap(Drv, Name, M),
                ok = alcove_cgroup:limit(Drv, [], Name, #{memory => max}),
                {max, max} = memory_and_swap(Drv, Name, M),
                case version(Drv, <<"memory">>) of
                    1 -> {error, {swap, einval}} = alcove_cgroup:limit(Drv, [], Name, #{swap => M});
                    2 -> ok = alcove_cgroup:limit(Drv, [], Name, #{swap => M})
                end;
            {error, {File, enoent}} when is_binary(File) ->
                alcove_test:skip("the kernel doesn't count swap")
        end
    end).

version(Drv, Controller) ->
    [Options] = [Options || {_, Options} <- alcove_cgroup:cgroup(Drv), lists:member(Controller, Options)],
    case lists:member(<<"cgroup2">>, Options) of
        true -> 2;
        false -> 1
    end.

memory_and_swap(Drv, Name, M) ->
    Get = fun(Key) ->
                  {ok, Text} = alcove_cgroup:get(Drv, [], memory, Name, Key),
                  case alcove_cgroup_text:value(string:trim(Text)) of
                      max -> max;
                      N -> N div M
                  end
          end,
    case version(Drv, <<"memory">>) of
        1 ->
            Memory = Get("memory.limit_in_bytes"),
            case Get("memory.memsw.limit_in_bytes") of
                max -> {Memory, max};
                Both -> {Memory, Both - Memory}
            end;
        2 ->
            {Get("memory.max"), Get("memory.swap.max")}
    end.

%% A shell that forks on and on is stopped at the limit, and ended with all it has made.
fork_bomb(Config) ->
    with_group([busybox], [pids], Config, fun(Drv, Name) ->
        ok = alcove_cgroup:limit(Drv, [], Name, #{pids => 8}),
        Script = "i=0; while [ $i -lt 64 ]; do sleep 100 & i=$((i+1)); done",
        Bomb = run_in(Drv, Name, busybox(["sh", "-c", Script])),
        ok = stderr(Drv, Bomb, <<"Resource temporarily unavailable">>, <<>>),
        {ok, Pids} = alcove_cgroup:procs(Drv, [], Name),
        ?assert(length(Pids) =< 8 andalso length(Pids) >= 6),
        {ok, #{pids := #{limit := 8, refused := Refused}}} = alcove_cgroup:stats(Drv, [], Name),
        ?assert(Refused >= 1),
        %% The others are unharmed.
        {ok, _} = alcove:fork(Drv, alcove_test:path(Config)),
        ok = alcove_cgroup:kill(Drv, [], Name),
        {ok, []} = alcove_cgroup:procs(Drv, [], Name),
        [?assertNot(alcove_test:alive(Pid)) || Pid <- Pids],
        %% One in its event loop is told.
        Path = alcove_test:fork(Drv, []),
        ok = alcove_cgroup:limit(Drv, [], Name, #{pids => 1}),
        ok = alcove_cgroup:attach(Drv, [], Name, lists:last(Path)),
        {error, eagain} = alcove:fork(Drv, Path)
    end).

%% Reads stderr up to a text.
stderr(Drv, Path, Text, Read) ->
    case binary:match(Read, Text) of
        nomatch ->
            case alcove:stderr(Drv, Path, alcove_test:ms(5000)) of
                false -> ct:fail({stderr, Path, Read});
                More -> stderr(Drv, Path, Text, <<Read/binary, More/binary>>)
            end;
        _ ->
            ok
    end.

cpus(Config) ->
    with_group([], [cpuset], Config, fun(Drv, Name) ->
        %% The root of version 2 has what is in force, and sets nothing.
        Set = fun() ->
            [First | _] = [Cpus || File <- ["cpuset.cpus", "cpuset.cpus.effective"],
                                   {ok, Cpus} <- [alcove_cgroup:get(Drv, [], cpuset, <<>>, File)]],
            First
        end,
        All = Set(),
        ok = alcove_cgroup:limit(Drv, [], Name, #{cpus => "0", mems => ["0"]}),
        [Pid] = alcove_test:fork(Drv, []),
        ok = alcove_cgroup:attach(Drv, [], Name, Pid),
        {ok, Status} = file:read_file(lists:concat(["/proc/", Pid, "/status"])),
        {match, [<<"0">>]} = re:run(Status, "Cpus_allowed_list:\\s+(\\S+)", [{capture, all_but_first, binary}]),
        {error, {File, Reason}} = alcove_cgroup:limit(Drv, [], Name, #{cpus => "no cpus"}),
        ?assertEqual({<<"cpuset.cpus">>, einval}, {filename:basename(File), Reason}),
        All = Set()
    end).

%% A fifth of a CPU is no more than that.
cpu_time(Config) ->
    with_group([busybox], [cpu], Config, fun(Drv, Name) ->
        ok = alcove_cgroup:limit(Drv, [], Name, #{cpu => 0.2}),
        _ = run_in(Drv, Name, busybox(["sh", "-c", "while :; do :; done"])),
        Throttled = fun() ->
                            {ok, #{cpu := #{throttled := N}}} = alcove_cgroup:stats(Drv, [], Name),
                            N
                    end,
        true = alcove_test:until(fun() -> Throttled() >= 1 end),
        {Start, Used0} = used(Drv, Name),
        First = Throttled(),
        true = alcove_test:until(fun() -> Throttled() >= First + 8 end),
        {End, Used1} = used(Drv, Name),
        Share = (Used1 - Used0) / (End - Start),
        ct:pal("used ~.2f of a CPU", [Share]),
        ?assert(Share < 0.35),
        {error, {_, einval}} = alcove_cgroup:limit(Drv, [], Name, #{cpu => 0.001}),
        ok = alcove_cgroup:limit(Drv, [], Name, #{cpu => max}),
        ok = alcove_cgroup:kill(Drv, [], Name)
    end).

used(Drv, Name) ->
    {ok, #{cpu := #{usage := Used}}} = alcove_cgroup:stats(Drv, [], Name),
    {erlang:monotonic_time(microsecond), Used}.

%% What can't be limited here is an error before anything is.
limits_without_a_controller(Config) ->
    with_group([], [memory, pids], Config, fun(Drv, Name) ->
        Inside = cloned(Drv, clone_newns),
        ok = alcove:mount(Drv, Inside, "none", "/", "", [rec, private], ""),
        [Memory] = [Path || {Path, Options} <- alcove_cgroup:cgroup(Drv), lists:member(<<"memory">>, Options)],
        case version(Drv, <<"memory">>) of
            1 ->
                ok = alcove:umount(Drv, Inside, Memory),
                {error, {memory, enodev}} = alcove_cgroup:limit(Drv, Inside, Name, #{pids => 3, memory => 1 bsl 24}),
                {error, enodev} = alcove_cgroup:set(Drv, Inside, memory, Name, "memory.limit_in_bytes", "1m");
            2 ->
                {error, enodev} = alcove_cgroup:set(Drv, Inside, nonesuch, Name, "nonesuch.max", "1")
        end,
        {ok, <<"max\n">>} = alcove_cgroup:get(Drv, [], pids, Name, "pids.max"),
        ok = alcove_cgroup:destroy(Drv, [], Name),
        {error, {_, enoent}} = alcove_cgroup:limit(Drv, [], Name, #{pids => 3}),
        ok = alcove_cgroup:create(Drv, [], Name),
        ok = alcove_cgroup:limit(Drv, [], Name, #{})
    end).

%% ---------------------------------------------------------------------------
%% Members
%% ---------------------------------------------------------------------------

%% What is frozen stands still, and goes on.
freeze_and_thaw(Config) ->
    with_group([], [], Config, fun(Drv, Name) ->
        Path = run_in(Drv, Name, ["cat"]),
        echo(Drv, Path, "before"),
        ok = alcove_cgroup:freeze(Drv, [], Name),
        true = alcove:stdin(Drv, Path, "during"),
        false = alcove:stdout(Drv, Path, 100),
        ok = alcove_cgroup:thaw(Drv, [], Name),
        <<"during">> = alcove:stdout(Drv, Path, alcove_test:ms(5000)),
        %% An empty group, and one that isn't frozen.
        ok = alcove_cgroup:create(Drv, [], [Name, "empty"]),
        ok = alcove_cgroup:freeze(Drv, [], [Name, "empty"]),
        ok = alcove_cgroup:thaw(Drv, [], [Name, "empty"]),
        ok = alcove_cgroup:thaw(Drv, [], [Name, "empty"])
    end).

echo(Drv, Path, Text) ->
    Bytes = list_to_binary(Text),
    true = alcove:stdin(Drv, Path, Bytes),
    Bytes = alcove:stdout(Drv, Path, alcove_test:ms(5000)).

%% Members of the freezer alone are frozen by it.
freezer_of_version_1(Config) ->
    with_group([], [freezer], Config, fun(Drv, Name) ->
        Path = [Pid] = alcove_test:fork(Drv, []),
        {ok, _} = alcove_cgroup:set(Drv, [], <<"freezer">>, Name, <<"tasks">>, integer_to_list(Pid)),
        ok = alcove:execvp(Drv, Path, "cat", ["cat"]),
        echo(Drv, Path, "before"),
        ok = alcove_cgroup:freeze(Drv, [], Name),
        {ok, <<"FROZEN\n">>} = alcove_cgroup:get(Drv, [], freezer, Name, "freezer.state"),
        true = alcove:stdin(Drv, Path, "during"),
        false = alcove:stdout(Drv, Path, 100),
        ok = alcove_cgroup:thaw(Drv, [], Name),
        {ok, <<"THAWED\n">>} = alcove_cgroup:get(Drv, [], freezer, Name, "freezer.state"),
        <<"during">> = alcove:stdout(Drv, Path, alcove_test:ms(5000))
    end).

%% On the unified mount: cgroup.procs, cgroup.freeze and cgroup.kill.
freeze_and_kill_version_2(Config) ->
    with_group([], [cgroup2], Config, fun(Drv, Name) ->
        Path = run_in(Drv, Name, ["cat"]),
        Pid = lists:last(Path),
        Text = integer_to_binary(Pid),
        {ok, <<Text:(byte_size(Text))/binary, "\n">>} = alcove_cgroup:get(Drv, [], cgroup2, Name, "cgroup.procs"),
        {ok, #{<<"populated">> := 1, <<"frozen">> := 0}} =
            alcove_cgroup:stat(Drv, [], cgroup2, Name, "cgroup.events"),
        echo(Drv, Path, "before"),
        ok = alcove_cgroup:freeze(Drv, [], Name),
        {ok, #{<<"frozen">> := 1}} = alcove_cgroup:stat(Drv, [], cgroup2, Name, "cgroup.events"),
        true = alcove:stdin(Drv, Path, "during"),
        false = alcove:stdout(Drv, Path, 100),
        case alcove_cgroup:supported(Drv, [], freezer) of
            true -> {ok, <<"THAWED\n">>} = alcove_cgroup:get(Drv, [], freezer, Name, "freezer.state");
            false -> ok
        end,
        ok = alcove_cgroup:thaw(Drv, [], Name),
        {ok, #{<<"frozen">> := 0}} = alcove_cgroup:stat(Drv, [], cgroup2, Name, "cgroup.events"),
        <<"during">> = alcove:stdout(Drv, Path, alcove_test:ms(5000)),
        %% The file is there since Linux 5.14.
        case alcove_cgroup:set(Drv, [], cgroup2, Name, "cgroup.kill", "1") of
            {ok, 1} -> ok;
            {error, enoent} -> ok = alcove_cgroup:kill(Drv, [], Name)
        end,
        alcove_test:event(Drv, Path, {termsig, sigkill})
    end).

%% Sessions of their own, double forks and groups below don't escape.
kill_all(Config) ->
    with_group([], [], Config, fun(Drv, Name) ->
        ok = alcove_cgroup:create(Drv, [], [Name, "below"]),
        Script = "trap '' TERM; (setsid sleep 100 &) ; (sh -c 'setsid sleep 101 & sleep 102 & wait' &); "
            "sleep 103 & echo ready; wait",
        Above = run_in(Drv, Name, ["sh", "-c", Script]),
        Below = run_in(Drv, [Name, "below"], ["sh", "-c", Script]),
        [<<"ready\n">> = alcove:stdout(Drv, Path, alcove_test:ms(5000)) || Path <- [Above, Below]],
        Loop = alcove_test:fork(Drv, []),
        ok = alcove_cgroup:attach(Drv, [], Name, lists:last(Loop)),
        Count = fun() -> {ok, Pids} = alcove_cgroup:procs(Drv, [], Name), length(Pids) end,
        true = alcove_test:until(fun() -> Count() >= 11 end),
        ok = alcove_cgroup:kill(Drv, [], Name),
        {ok, []} = alcove_cgroup:procs(Drv, [], Name),
        [alcove_test:event(Drv, Path, {termsig, sigkill}) || Path <- [Above, Below, Loop]],
        ok = alcove_cgroup:kill(Drv, [], Name),
        ok = alcove_cgroup:destroy(Drv, [], Name)
    end).

%% Members of hierarchies of version 1 alone are killed one by one.
kill_version_1_only(Config) ->
    with_group([], [pids, freezer], Config, fun(Drv, Name) ->
        Path = [Pid] = alcove_test:fork(Drv, []),
        {ok, _} = alcove_cgroup:set(Drv, [], pids, Name, "tasks", integer_to_list(Pid)),
        {ok, _} = alcove_cgroup:set(Drv, [], freezer, Name, "tasks", integer_to_list(Pid)),
        ok = alcove:execvp(Drv, Path, "sh", ["sh", "-c", "sleep 100 & (setsid sleep 101 &) ; echo ready; wait"]),
        <<"ready\n">> = alcove:stdout(Drv, Path, alcove_test:ms(5000)),
        ok = alcove_cgroup:kill(Drv, [], Name),
        alcove_test:event(Drv, Path, {termsig, sigkill}),
        {ok, []} = alcove_cgroup:procs(Drv, [], Name),
        {ok, <<"THAWED\n">>} = alcove_cgroup:get(Drv, [], freezer, Name, "freezer.state")
    end).

%% A process with these hierarchies of version 1 alone.
version_1_only(Drv, Controllers) ->
    Inside = cloned(Drv, clone_newns),
    ok = version_1_only(Drv, Inside, Controllers),
    Inside.

version_1_only(Drv, Inside, Controllers) ->
    ok = alcove:mount(Drv, Inside, "none", "/", "", [rec, private], ""),
    Is = fun(Options) -> lists:any(fun(C) -> lists:member(C, Options) end, Controllers) end,
    [ok = alcove:umount(Drv, Inside, Path) || {Path, Options} <- alcove_cgroup:cgroup(Drv, Inside), not Is(Options)],
    ok.

%% Calls that stop the process that makes them would never return.
unstopped(Drv, Name, Fun) ->
    {Caller, Ref} = spawn_monitor(fun() -> exit({returned, try Fun() catch error:Reason -> {raised, Reason} end}) end),
    receive
        {'DOWN', Ref, process, Caller, {returned, Result}} -> Result
    after alcove_test:ms(10000) ->
        Thawed = [alcove_cgroup:set(Drv, [], freezer, Name, "freezer.state", "THAWED")
                  || alcove_cgroup:supported(Drv, [], freezer)] ++ [alcove_cgroup:thaw(Drv, [], Name)],
        ct:fail({stopped, Thawed})
    end.

%% A process that is a member itself kills all others first, in version 1 too, where it must not stop
%% itself. With the freezer or without, and where it isn't in the freezer's group.
kill_oneself(Config) ->
    with_group([], [pids], Config, fun(Drv, Name) ->
        Member = alcove_test:fork(Drv, []),
        [ok = alcove_cgroup:attach(Drv, [], Name, lists:last(P)) || P <- [Member, alcove_test:path(Config)]],
        {raised, badpid} = unstopped(Drv, Name, fun() -> alcove_cgroup:kill(Drv, Member, Name) end),
        [alcove_test:event(Drv, P, {termsig, sigkill}) || P <- [Member, alcove_test:path(Config)]],
        {ok, []} = alcove_cgroup:procs(Drv, [], Name),
        version(Drv, <<"pids">>) =:= 1 andalso alcove_cgroup:supported(Drv, [], freezer) andalso kill_oneself(Drv, Name)
    end).

kill_oneself(Drv, Name) ->
    ok = alcove_cgroup:create(Drv, [], [Name, "below"]),
    Script = "sleep 100 & (setsid sleep 101 &) ; echo ready; wait",
    [begin
         Path = run_in(Drv, [Name, "below"], ["sh", "-c", Script]),
         <<"ready\n">> = alcove:stdout(Drv, Path, alcove_test:ms(5000)),
         Inside = version_1_only(Drv, Hierarchies),
         [{ok, _} = alcove_cgroup:set(Drv, Inside, Controller, Name, "cgroup.procs", "0") || Controller <- In],
         {raised, badpid} = unstopped(Drv, Name, fun() -> alcove_cgroup:kill(Drv, Inside, Name) end),
         alcove_test:event(Drv, Inside, {termsig, sigkill}),
         alcove_test:event(Drv, Path, {termsig, sigkill}),
         {ok, []} = alcove_cgroup:procs(Drv, [], Name),
         {ok, <<"THAWED\n">>} = alcove_cgroup:get(Drv, [], freezer, Name, "freezer.state")
     end || {Hierarchies, In} <- [{[<<"pids">>, <<"freezer">>], [pids, freezer]},
                                  {[<<"pids">>], [pids]},
                                  {[<<"pids">>, <<"freezer">>], [pids]},
                                  {[<<"freezer">>], [freezer]}]],
    %% Process 1 of a pid namespace can't be killed from within.
    First = cloned(Drv, clone_newpid),
    ok = alcove:unshare(Drv, First, clone_newns),
    ok = version_1_only(Drv, First, [<<"pids">>, <<"freezer">>]),
    {ok, 2} = alcove:fork(Drv, First),
    [ok = alcove_cgroup:attach(Drv, First, Name, Pid) || Pid <- [1, 2]],
    {error, eperm} = unstopped(Drv, Name, fun() -> alcove_cgroup:kill(Drv, First, Name) end),
    {ok, [1]} = alcove_cgroup:procs(Drv, First, Name),
    ok = alcove_cgroup:attach(Drv, First, <<>>, 0),
    %% A group that was made for a program goes the same way.
    Maker = version_1_only(Drv, [<<"pids">>, <<"freezer">>]),
    {ok, Own} = alcove_cgroup:make(Drv, Maker, #{pids => 5}),
    ok = alcove_cgroup:attach(Drv, Maker, Own, 0),
    {raised, badpid} = unstopped(Drv, Own, fun() -> alcove_cgroup:remove(Drv, Maker, Own) end),
    ok = alcove_cgroup:remove(Drv, [], Own),
    [] = own_dirs().

%% One that would stop itself says so and goes on, whatever the version.
freeze_oneself(Config) ->
    with_group([], [], Config, fun(Drv, Name) ->
        Refused = fun(Process, Group) ->
            {error, {Procs, edeadlk}} = unstopped(Drv, Name, fun() -> alcove_cgroup:freeze(Drv, Process, Group) end),
            <<"cgroup.procs">> = filename:basename(Procs),
            lists:last(Process) =:= alcove:getpid(Drv, Process) orelse ct:fail(stopped)
        end,
        Path = alcove_test:path(Config),
        ok = alcove_cgroup:create(Drv, [], [Name, "below"]),
        ok = alcove_cgroup:attach(Drv, Path, [Name, "below"], 0),
        Refused(Path, Name),
        Refused(Path, [Name, "below"]),
        ok = alcove_cgroup:attach(Drv, Path, <<>>, 0),
        case alcove_cgroup:supported(Drv, [], freezer) of
            true ->
                Inside = version_1_only(Drv, [<<"freezer">>]),
                ok = alcove_cgroup:attach(Drv, Inside, Name, 0),
                Refused(Inside, Name),
                %% Another may, and it goes on with that one's help.
                ok = alcove_cgroup:freeze(Drv, [], Name),
                ok = alcove_cgroup:thaw(Drv, [], Name),
                Refused(Inside, Name);
            false ->
                ok
        end
    end).

%% What is frozen is killed too, by whichever hierarchy it was frozen.
kill_frozen(Config) ->
    with_group([], [], Config, fun(Drv, Name) ->
        ok = alcove_cgroup:create(Drv, [], [Name, "below"]),
        Path = run_in(Drv, [Name, "below"], ["cat"]),
        ok = alcove_cgroup:freeze(Drv, [], Name),
        ok = alcove_cgroup:kill(Drv, [], Name),
        alcove_test:event(Drv, Path, {termsig, sigkill}),
        ok = alcove_cgroup:thaw(Drv, [], Name),
        case alcove_cgroup:supported(Drv, [], freezer) of
            true ->
                Other = run_in(Drv, [Name, "below"], ["cat"]),
                {ok, _} = alcove_cgroup:set(Drv, [], freezer, [Name, "below"], "freezer.state", "FROZEN"),
                ok = alcove_cgroup:kill(Drv, [], Name),
                alcove_test:event(Drv, Other, {termsig, sigkill});
            false ->
                ok
        end
    end).

%% A program that forks as fast as it can doesn't get away: with all that is mounted, with
%% version 1 alone, and without the freezer as well.
kill_forking(Config) ->
    with_group([busybox], [pids], Config, fun(Drv, Name) ->
        ok = alcove_cgroup:limit(Drv, [], Name, #{pids => 40}),
        Inside = cloned(Drv, clone_newns),
        ok = alcove:mount(Drv, Inside, "none", "/", "", [rec, private], ""),
        Script = "f() { while :; do (sleep 0.01 & sleep 0.01 &) ; done; }; f & f & f & echo ready; wait",
        Kill = fun() ->
                       Path = run_in(Drv, Name, busybox(["sh", "-c", Script])),
                       <<"ready\n">> = alcove:stdout(Drv, Path, alcove_test:ms(5000)),
                       ok = alcove_cgroup:kill(Drv, Inside, Name),
                       {ok, []} = alcove_cgroup:procs(Drv, [], Name)
               end,
        Kill(),
        case version(Drv, <<"pids">>) of
            1 ->
                [begin
                     [ok = alcove:umount(Drv, Inside, Path)
                      || {Path, Options} <- alcove_cgroup:cgroup(Drv, Inside), lists:member(Hidden, Options)],
                     Kill()
                 end || Hidden <- [<<"cgroup2">>, <<"freezer">>]];
            2 ->
                ok
        end,
        ok = alcove_cgroup:destroy(Drv, [], Name)
    end).

%% ---------------------------------------------------------------------------
%% Version 2
%% ---------------------------------------------------------------------------

%% The directory of version 2 of a group, where it has a controller that the kernel calls threaded.
with_threaded(Config, Fun) ->
    with_group([], [cgroup2], Config, fun(Drv, Name) ->
        [Dir] = alcove_cgroup:fold(Drv, cgroup2, Name, fun(Path, Acc) -> [Path | Acc] end, []),
        Offered = [C || C <- [<<"pids">>, <<"cpu">>, <<"cpuset">>],
                        lists:member(C, binary:split(read(filename:join(filename:dirname(Dir), "cgroup.controllers")),
                                                     <<" ">>, [global]))],
        case Offered of
            [] -> alcove_test:skip("version 2 has no controllers here");
            [Controller | _] -> Fun(Drv, Name, Dir, Controller)
        end
    end).

%% A group with members is left as it is, and those in it too.
threaded_above_members(Config) ->
    with_threaded(Config, fun(Drv, Name, Dir, Controller) ->
        ok = alcove_cgroup:create(Drv, [], [Name, "below"]),
        Path = alcove_test:fork(Drv, []),
        ok = alcove_cgroup:attach(Drv, [], Name, lists:last(Path)),
        Subtree = <<Dir/binary, "/cgroup.subtree_control">>,
        {error, {Subtree, ebusy}} = alcove_cgroup:enable(Drv, [], [Name, "below"], [Controller]),
        {error, {Subtree, ebusy}} = alcove_cgroup:set(Drv, [], Controller, [Name, "below"], "cgroup.freeze", "0"),
        (Controller =:= <<"pids">>) andalso
            ({error, {Subtree, ebusy}} =:= alcove_cgroup:limit(Drv, [], [Name, "below"], #{pids => 20}) orelse ct:fail(limit)),
        <<"domain">> = read(<<Dir/binary, "/cgroup.type">>),
        <<"domain">> = read(<<Dir/binary, "/below/cgroup.type">>),
        ok = alcove_cgroup:attach(Drv, [], [Name, "below"], lists:last(Path)),
        ok = alcove_cgroup:enable(Drv, [], [Name, "below"], [Controller])
    end).

%% Nor does one get members that has controllers for the groups in it.
members_above_controllers(Config) ->
    with_threaded(Config, fun(Drv, Name, Dir, Controller) ->
        ok = alcove_cgroup:create(Drv, [], [Name, "below"]),
        ok = alcove_cgroup:enable(Drv, [], [Name, "below"], [Controller]),
        Path = alcove_test:fork(Drv, []),
        Procs = <<Dir/binary, "/cgroup.procs">>,
        {error, {Procs, ebusy}} = alcove_cgroup:attach(Drv, [], Name, lists:last(Path)),
        {error, {Procs, ebusy}} = alcove_cgroup:attach_files(Drv, [], Name),
        {error, {Procs, ebusy}} =
            alcove_cgroup:set(Drv, [], cgroup2, Name, "cgroup.procs", integer_to_list(lists:last(Path))),
        <<"domain">> = read(<<Dir/binary, "/below/cgroup.type">>),
        ok = alcove_cgroup:attach(Drv, [], [Name, "below"], lists:last(Path))
    end).

%% Where the own group has members, as the process itself is one, a group for a program is made there only
%% when these are moved to a leaf.
below_the_own_group(Config) ->
    with_threaded(Config, fun(Drv, Name, Dir, Controller) ->
        Limits = case Controller of <<"pids">> -> #{pids => 20}; <<"cpu">> -> #{cpu => 1}; _ -> #{cpus => "0"} end,
        %% A namespace in which it is the root of all that there is.
        [Pid] = Inside = cloned(Drv, clone_newns),
        ok = alcove_cgroup:create(Drv, [], [Name, "x"]),
        ok = alcove_cgroup:enable(Drv, [], [Name, "x"], [Controller]),
        ok = alcove_cgroup:attach(Drv, [], [Name, "x"], Pid),
        ok = alcove:unshare(Drv, Inside, clone_newcgroup),
        ok = alcove:mount(Drv, Inside, "none", "/", "", [rec, private], ""),
        [Root] = [Path || {Path, Options} <- alcove_cgroup:cgroup(Drv), lists:member(<<"cgroup2">>, Options)],
        %% Older kernels refuse the same file system in the same place.
        ok = alcove:umount2(Drv, Inside, Root, mnt_detach),
        ok = alcove:mount(Drv, Inside, "cgroup2", Root, "cgroup2", 0, ""),
        Subtree = <<Root/binary, "/cgroup.subtree_control">>,
        {error, {Subtree, ebusy}} = alcove_cgroup:make(Drv, Inside, Limits),
        <<"domain">> = read(<<Dir/binary, "/x/cgroup.type">>),
        ok = alcove_cgroup:leaf(Drv, Inside),
        ok = alcove_cgroup:leaf(Drv, Inside),
        {ok, Group} = alcove_cgroup:make(Drv, Inside, Limits),
        [_] = filelib:wildcard(binary_to_list(Dir) ++ "/x/alcove-own.*"),
        {ok, Child} = alcove:fork(Drv, Inside),
        ok = alcove_cgroup:attach(Drv, Inside, Group, Child),
        {ok, [Child]} = alcove_cgroup:procs(Drv, Inside, Group),
        ok = alcove_cgroup:remove(Drv, Inside, Group),
        [] = filelib:wildcard(binary_to_list(Dir) ++ "/x/alcove-own.*")
    end).

%% The members of a threaded group are threads, whose processes are members of the domain above, and are
%% killed with it: by cgroup.kill, and where that does nothing or isn't there. The group itself is refused.
threaded_groups(Config) ->
    with_group([], [cgroup2], Config, fun(Drv, Name) ->
        Inside = version_1_only(Drv, [<<"cgroup2">>]),
        Groups = [Threads | _] = [[Name, Below] || Below <- ["threads", "threads/below", "other"]],
        [begin
             ok = alcove_cgroup:create(Drv, [], Group),
             {ok, _} = alcove_cgroup:set(Drv, [], cgroup2, Group, "cgroup.type", "threaded")
         end || Group <- Groups],
        {ok, <<"domain threaded\n">>} = alcove_cgroup:get(Drv, [], cgroup2, Name, "cgroup.type"),
        Run = fun() ->
            Paths = [run_in(Drv, Group, ["cat"]) || Group <- [Name | Groups]],
            Members = lists:sort([lists:last(Path) || Path <- Paths]),
            {ok, Members} = alcove_cgroup:procs(Drv, Inside, Name),
            Paths
        end,
        Killed = fun(Paths) ->
            ok = alcove_cgroup:kill(Drv, Inside, Name),
            [alcove_test:event(Drv, Path, {termsig, sigkill}) || Path <- Paths],
            {ok, []} = alcove_cgroup:procs(Drv, Inside, Name)
        end,
        Paths = Run(),
        [[begin
              {error, {File, enotsup}} = Refused(Drv, Inside, Group),
              [_, _ | _] = binary:matches(File, [list_to_binary(lists:last(Group)), <<"/cgroup.">>])
          end || Refused <- [fun alcove_cgroup:procs/3, fun alcove_cgroup:kill/3, fun alcove_cgroup:freeze/3]]
         || Group <- Groups],
        [echo(Drv, Path, "alive") || Path <- Paths],
        ok = alcove_cgroup:freeze(Drv, Inside, Name),
        ok = alcove_cgroup:thaw(Drv, Inside, Name),
        [echo(Drv, Path, "alive") || Path <- Paths],
        {error, {_, ebusy}} = alcove_cgroup:destroy(Drv, Inside, Threads),
        Killed(Paths),
        %% The file is there since Linux 5.14.
        case alcove_cgroup:kill_file(Drv, Inside, Name) of
            {ok, Kill} ->
                Nothing = filename:join(alcove_test:tmp(Config), "kill"),
                ok = file:write_file(Nothing, ""),
                ok = alcove:mount(Drv, Inside, Nothing, Kill, "", [bind], ""),
                Killed(Run()),
                {ok, <<"1">>} = file:read_file(Nothing);
            {error, enodev} ->
                ok
        end,
        ok = alcove_cgroup:destroy(Drv, Inside, Name)
    end).

%% A program may make threaded groups in the group that was made for it. They go with it, and so do
%% their members.
threaded_groups_of_a_program(Config) ->
    with_group([], [pids, cgroup2], Config, fun(Drv, _) ->
        [Root] = [Path || {Path, Options} <- alcove_cgroup:cgroup(Drv), lists:member(<<"cgroup2">>, Options)],
        Script = "cd \"$0$(sed -n 's/^0:://p' /proc/self/cgroup)\" && mkdir t && echo threaded > t/cgroup.type && "
            "cat t/cgroup.type",
        Member = " && (setsid sleep 100 > /dev/null 2>&1 & echo $! | tee t/cgroup.procs)",
        Run = fun(Text) ->
            {ok, #{status := 0, stdout := <<"threaded\n", More/binary>>}} =
                alcove_proc:run(Drv, ["sh", "-c", Text, Root], #{cgroup => #{pids => 20}}),
            [] = own_dirs(),
            More
        end,
        <<>> = Run(Script),
        Left = binary_to_integer(string:trim(Run(Script ++ Member))),
        ?assertNot(alcove_test:alive(Left)),
        %% A group of make/3 as well.
        {ok, Group} = alcove_cgroup:make(Drv, [], #{pids => 20}),
        Path = run_in(Drv, Group, ["sh", "-c", Script ++ Member ++ "; read x", Root]),
        <<"threaded\n">> = alcove:stdout(Drv, Path, alcove_test:ms(5000)),
        ok = alcove_cgroup:remove(Drv, []),
        alcove_test:event(Drv, Path, {termsig, sigkill}),
        [] = own_dirs()
    end).

%% A program that alcove starts is held by the limit of its group, with and without a process of alcove's
%% above it, and leaves nothing where it can't be started.
full_group(Config) ->
    with_group([], [pids], Config, fun(Drv, Name) ->
        case version(Drv, <<"pids">>) of
            1 ->
                alcove_test:skip("version 2 has no pids here, and version 1 refuses no process that is moved");
            2 ->
                ok = alcove_cgroup:limit(Drv, [], Name, #{pids => 2}),
                Start = fun(Options) -> alcove_proc:start(Drv, ["sleep", "1000"], Options#{cgroup => {Name, #{}}}) end,
                [{ok, First}, {ok, Second}] = [Start(#{}) || _ <- [1, 2]],
                [{error, {fork, eagain}} = Start(#{}) || _ <- lists:seq(1, 20)],
                {error, {fork, eagain}} = Start(#{namespaces => [newpid]}),
                {error, {fork, eagain}} = alcove_proc:run(Drv, ["true"], #{cgroup => {Name, #{}}}),
                {ok, Members} = alcove_cgroup:procs(Drv, [], Name),
                ?assertEqual(lists:sort([maps:get(os_pid, alcove_proc:info(P)) || P <- [First, Second]]),
                             lists:sort(Members)),
                {ok, #{pids := #{current := 2, limit := 2, refused := Refused}}} = alcove_cgroup:stats(Drv, [], Name),
                ?assert(Refused >= 22),
                {ok, _} = alcove_proc:stop(First),
                {ok, #{status := 0}} = alcove_proc:run(Drv, ["true"], #{cgroup => {Name, #{}}}),
                %% None fits in a group of the program's own.
                {error, {fork, eagain}} = alcove_proc:run(Drv, ["true"], #{cgroup => #{pids => 0}}),
                %% Where the kernel can't create it in the group, the program is moved there.
                {ok, Pid} = alcove:fork(Drv),
                ok = alcove_seccomp:install(Drv, [Pid], #{default => allow, rules => [{clone3, {errno, enosys}}]}),
                {ok, Third} = Start(#{}),
                {ok, Moved} = Start(#{in => [Pid]}),
                {ok, #{pids := #{current := 3}}} = alcove_cgroup:stats(Drv, [], Name),
                [{ok, _} = alcove_proc:stop(P) || P <- [Second, Third, Moved]],
                ok = alcove:exit(Drv, [Pid], 0)
        end
    end).

%% A group that can't have a program as it has controllers for groups in it says so, and the program isn't
%% started outside.
refused_program(Config) ->
    with_threaded(Config, fun(Drv, Name, Dir, Controller) ->
        ok = alcove_cgroup:create(Drv, [], [Name, "below"]),
        ok = alcove_cgroup:enable(Drv, [], [Name, "below"], [Controller]),
        File = filename:join(alcove_test:tmp(Config), "made"),
        {error, {cgroup, Why}} = alcove_proc:run(Drv, ["touch", File], #{cgroup => {Name, #{}}}),
        ?assert(lists:member(Why, [ebusy, {<<Dir/binary, "/cgroup.procs">>, ebusy}])),
        false = filelib:is_file(File)
    end).

%% With a controller that the unified hierarchy has here, for real. Only below the
%% case's own group: the root's stays as it is where that has none enabled.
enable_controllers(Config) ->
    with_controller(Config, fun(Drv, Name, Controller) ->
        ok = alcove_cgroup:create(Drv, [], [Name, "a", "b"]),
        ok = alcove_cgroup:enable(Drv, [], [Name, "a", "b"], [Controller]),
        Enabled = fun(Group) ->
                          {ok, Text} = alcove_cgroup:get(Drv, [], cgroup2, Group, "cgroup.subtree_control"),
                          lists:member(Controller, binary:split(string:trim(Text), <<" ">>, [global]))
                  end,
        [true, true, true, false] = [Enabled(Group) || Group <- [<<>>, Name, [Name, "a"], [Name, "a", "b"]]],
        ok = alcove_cgroup:enable(Drv, [], [Name, "a", "b"], [Controller]),
        {error, {<<"nonesuch">>, enodev}} = alcove_cgroup:enable(Drv, [], Name, [Controller, nonesuch]),
        {error, {<<"/", _/binary>>, enoent}} = alcove_cgroup:enable(Drv, [], [Name, "x", "y"], [Controller])
    end).

%% A group that has members can't have controllers for groups below, and says so; nor can one
%% that has controllers for groups below have members.
enable_is_refused(Config) ->
    with_controller(Config, fun(Drv, Name, Controller) ->
        ok = alcove_cgroup:create(Drv, [], [Name, "a"]),
        [Pid] = alcove_test:fork(Drv, []),
        [Directory] = alcove_cgroup:fold(Drv, cgroup2, Name, fun(Path, Acc) -> [Path | Acc] end, []),
        ok = alcove_cgroup:attach(Drv, [], Name, Pid),
        Control = <<Directory/binary, "/cgroup.subtree_control">>,
        {error, {Control, ebusy}} = alcove_cgroup:enable(Drv, [], [Name, "a"], [Controller]),
        ok = alcove_cgroup:attach(Drv, [], [Name, "a"], Pid),
        ok = alcove_cgroup:enable(Drv, [], [Name, "a"], [Controller]),
        Procs = <<Directory/binary, "/cgroup.procs">>,
        {error, {Procs, ebusy}} = alcove_cgroup:attach(Drv, [], Name, Pid)
    end).

with_controller(Config, Fun) ->
    with_group([], [cgroup2], Config, fun(Drv, Name) ->
        {ok, Offered} = alcove_cgroup:get(Drv, [], cgroup2, <<>>, "cgroup.controllers"),
        {ok, Enabled} = alcove_cgroup:get(Drv, [], cgroup2, <<>>, "cgroup.subtree_control"),
        %% Those that may have threads as members are not bound to this rule.
        Threaded = [<<"cpu">>, <<"cpuset">>, <<"perf_event">>, <<"pids">>],
        Split = fun(Text) -> binary:split(Text, [<<" ">>, <<"\n">>], [global, trim_all]) end,
        case Split(Offered) -- Threaded of
            [Controller | _] ->
                try
                    Fun(Drv, Name, Controller)
                after
                    ok = alcove_cgroup:kill(Drv, [], Name),
                    ok = alcove_cgroup:destroy(Drv, [], Name),
                    [{ok, _} = alcove_cgroup:set(Drv, [], cgroup2, <<>>, "cgroup.subtree_control", ["-", Added])
                     || Added <- [Controller], not lists:member(Added, Split(Enabled))]
                end;
            [] ->
                alcove_test:skip("the unified hierarchy has no controller")
        end
    end).

%% A process whose root is a copy of the record: it sees that machine's groups. Its pid
%% namespace keeps signals away from this machine's processes.
recorded(Config, Fun) ->
    Drv = alcove_test:drv(Config),
    {Needs, Flags} = case alcove_test:root() of
                         true -> {[], [clone_newpid]};
                         false -> {[userns], [clone_newpid, clone_newuser]}
                     end,
    alcove_test:need(Needs, fun() ->
        Tree = filename:join(alcove_test:tmp(Config), "v2"),
        Record = filename:join(proplists:get_value(data_dir, Config), "v2"),
        "" = os:cmd("cp -r " ++ alcove_test:quote(Record) ++ " " ++ alcove_test:quote(Tree)),
        Inside = cloned(Drv, Flags),
        ok = alcove:chroot(Drv, Inside, Tree),
        ok = alcove:chdir(Drv, Inside, "/"),
        Fun(Drv, Inside, filename:join(Tree, "sys/fs/cgroup"))
    end).

%% The kernel takes what is written as a whole, a plain file keeps the rest of what was there.
emptied(Tree, Files) ->
    [ok = file:write_file(filename:join(Tree, File), "") || File <- Files].

recorded_figures(Config) ->
    recorded(Config, fun(Drv, Inside, _Tree) ->
        [true, true, true, false] = [alcove_cgroup:supported(Drv, Inside, C) || C <- [memory, pids, cgroup2, cpuset]],
        [{<<"/sys/fs/cgroup">>, Options}] = alcove_cgroup:cgroup(Drv, Inside),
        [<<"rw">>, <<"relatime">>, <<"cgroup2">>, <<"cpu">>, <<"io">>, <<"memory">>, <<"pids">>] = Options,
        {ok, Stats} = alcove_cgroup:stats(Drv, Inside, <<"jobs">>),
        #{memory := #{usage := 356352, peak := 8388608, limit := 8388608, oom_kills := 1, events := Events},
          pids := #{current := 2, limit := 4, refused := 1},
          cpu := #{usage := 750000, user := 730000, system := 20000, periods := 18, throttled := _,
                   throttled_time := _}} = Stats,
        {ok, Events} = alcove_cgroup:stat(Drv, Inside, memory, <<"jobs">>, "memory.events"),
        #{<<"max">> := 918, <<"oom">> := 1, <<"oom_kill">> := 1, <<"low">> := 0, <<"high">> := 0} = Events,
        {ok, #{<<"max">> := 1} = PidsEvents} = alcove_cgroup:stat(Drv, Inside, pids, <<"jobs">>, "pids.events"),
        1 = map_size(PidsEvents),
        {ok, #{<<"nr_periods">> := 18}} = alcove_cgroup:stat(Drv, Inside, cpu, <<"jobs">>, "cpu.stat"),
        {ok, [688, 690]} = alcove_cgroup:procs(Drv, Inside, <<"jobs">>),
        %% The root of the hierarchy has no limits to tell.
        {ok, #{cpu := #{usage := 2610000}} = Root} = alcove_cgroup:stats(Drv, Inside, <<>>),
        [cpu] = maps:keys(Root)
    end).

recorded_limits(Config) ->
    recorded(Config, fun(Drv, Inside, Tree) ->
        Jobs = filename:join(Tree, "jobs"),
        Limits = ["memory.max", "memory.swap.max", "pids.max", "cpu.max"],
        Enabling = filename:join(Tree, "cgroup.subtree_control"),
        Set = fun(Map) ->
                      emptied(Jobs, Limits),
                      emptied(Tree, ["cgroup.subtree_control"]),
                      Result = alcove_cgroup:limit(Drv, Inside, <<"jobs">>, Map),
                      {Result, [read(filename:join(Jobs, File)) || File <- Limits], read(Enabling)}
              end,
        {ok, [<<"16777216">>, <<"0">>, <<"9">>, <<"150000 100000">>], <<"+cpu +memory +pids">>} =
            Set(#{memory => 16 bsl 20, swap => 0, pids => 9, cpu => 1.5}),
        {ok, [<<"max">>, <<"max">>, <<"max">>, <<"max">>], <<"+cpu +memory +pids">>} =
            Set(#{memory => max, swap => max, pids => max, cpu => max}),
        {ok, [<<>>, <<>>, <<"1">>, <<>>], <<"+pids">>} = Set(#{pids => 1}),
        %% There is no cpuset: nothing is set.
        {{error, {cpus, enodev}}, [<<>>, <<>>, <<>>, <<>>], <<>>} = Set(#{pids => 1, cpus => "0"}),
        {error, {<<"/sys/fs/cgroup/none">>, enoent}} = alcove_cgroup:limit(Drv, Inside, <<"none">>, #{pids => 1}),
        %% A kernel that doesn't count swap has no such file.
        ok = file:delete(filename:join(Jobs, "memory.swap.max")),
        {error, {<<"/sys/fs/cgroup/jobs/memory.swap.max">>, enoent}} =
            alcove_cgroup:limit(Drv, Inside, <<"jobs">>, #{swap => 0}),
        %% What is enabled already isn't enabled again.
        ok = file:write_file(Enabling, "cpu memory\n"),
        ok = alcove_cgroup:limit(Drv, Inside, <<"jobs">>, #{cpu => 0.5}),
        <<"cpu memory">> = read(Enabling)
    end).

%% Which file refused to enable a controller is told, and nothing is set.
recorded_enabling_fails(Config) ->
    recorded(Config, fun(Drv, Inside, Tree) ->
        Below = filename:join(Tree, "jobs/below"),
        Enabling = filename:join(Tree, "jobs/cgroup.subtree_control"),
        ok = file:make_dir(Below),
        emptied(Below, ["pids.max"]),
        ok = file:change_mode(filename:join(Below, "pids.max"), 8#666),
        ok = file:change_mode(Enabling, 8#444),
        [ok = alcove:setuid(Drv, Inside, 65534) || alcove_test:root()],
        Refused = {error, {<<"/sys/fs/cgroup/jobs/cgroup.subtree_control">>, eacces}},
        Refused = alcove_cgroup:limit(Drv, Inside, <<"jobs/below">>, #{pids => 1}),
        Refused = alcove_cgroup:set(Drv, Inside, pids, <<"jobs/below">>, "pids.max", "1"),
        Refused = alcove_cgroup:enable(Drv, Inside, <<"jobs/below">>, [pids, memory]),
        <<>> = read(filename:join(Below, "pids.max")),
        ok = file:delete(Enabling),
        {error, {<<"/sys/fs/cgroup/jobs/cgroup.subtree_control">>, enoent}} =
            alcove_cgroup:limit(Drv, Inside, <<"jobs/below">>, #{pids => 1})
    end).

recorded_members(Config) ->
    recorded(Config, fun(Drv, Inside, Tree) ->
        Jobs = filename:join(Tree, "jobs"),
        emptied(Jobs, ["cgroup.procs", "cgroup.freeze"]),
        ok = alcove_cgroup:attach(Drv, Inside, <<"jobs">>, 1),
        <<"1">> = read(filename:join(Jobs, "cgroup.procs")),
        ok = file:write_file(filename:join(Jobs, "cgroup.events"), "populated 1\nfrozen 1\n"),
        %% It is that process.
        {error, {<<"/sys/fs/cgroup/jobs/cgroup.procs">>, edeadlk}} = alcove_cgroup:freeze(Drv, Inside, <<"jobs">>),
        <<>> = read(filename:join(Jobs, "cgroup.freeze")),
        ok = file:write_file(filename:join(Jobs, "cgroup.procs"), "688\n690\n"),
        ok = alcove_cgroup:freeze(Drv, Inside, <<"jobs">>),
        <<"1">> = read(filename:join(Jobs, "cgroup.freeze")),
        ok = alcove_cgroup:thaw(Drv, Inside, <<"jobs">>),
        <<"0">> = read(filename:join(Jobs, "cgroup.freeze")),
        emptied(Jobs, ["cgroup.procs", "cgroup.kill"]),
        ok = alcove_cgroup:kill(Drv, Inside, <<"jobs">>),
        <<"1">> = read(filename:join(Jobs, "cgroup.kill"))
    end).

%% The README's container, but for cpuset, which that machine lacks.
recorded_example(Config) ->
    recorded(Config, fun(Drv, Inside, Tree) ->
        emptied(Tree, ["cgroup.subtree_control", "jobs/memory.max", "jobs/cgroup.procs"]),
        ok = alcove_cgroup:create(Drv, Inside, <<"jobs">>),
        {error, enodev} = alcove_cgroup:set(Drv, Inside, <<"cpuset">>, <<"jobs">>, <<"cpuset.cpus">>, <<"0">>),
        {error, enoent} = alcove_cgroup:set(Drv, Inside, <<"memory">>, <<"jobs">>, <<"memory.memsw.limit_in_bytes">>,
                                            <<"16m">>),
        {ok, 3} = alcove_cgroup:set(Drv, Inside, <<"memory">>, <<"jobs">>, <<"memory.limit_in_bytes">>, <<"16m">>),
        <<"16m">> = read(filename:join(Tree, "jobs/memory.max")),
        <<"+memory">> = read(filename:join(Tree, "cgroup.subtree_control")),
        {ok, <<"16m">>} = alcove_cgroup:get(Drv, Inside, <<"memory">>, <<"jobs">>, <<"memory.limit_in_bytes">>),
        {ok, 3} = alcove_cgroup:set(Drv, Inside, <<>>, <<"jobs">>, <<"tasks">>, integer_to_list(123)),
        <<"123">> = read(filename:join(Tree, "jobs/cgroup.procs"))
    end).
