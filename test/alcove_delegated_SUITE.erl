%% @doc Limits of control groups for an ordinary user, in a group that systemd has delegated, of the
%% system's manager or of the user's. Elsewhere everything is skipped; `make test-vm CELL=systemd-6.1' and
%% `make test-vm CELL=user-6.1' make such machines.
-module(alcove_delegated_SUITE).

-include_lib("stdlib/include/assert.hrl").

-export([suite/0, all/0, init_per_suite/1, end_per_suite/1, init_per_testcase/2, end_per_testcase/2]).
-export([
    program_memory/1,
    program_pids/1,
    side_by_side/1,
    sandbox_memory/1,
    sandbox_pids/1,
    sandbox_without/1,
    nothing_stays/1
]).

suite() ->
    alcove_test:suite().

all() ->
    [
        program_memory,
        program_pids,
        side_by_side,
        sandbox_memory,
        sandbox_pids,
        sandbox_without,
        nothing_stays
    ].

init_per_suite(Config) ->
    case own() of
        {ok, Own} ->
            Config1 = alcove_test:init_suite(Config),
            Drv = alcove_test:start(),
            ok = prepared(Drv, string:find(Own, "/user@"), is_in_leaf()),
            ok = alcove_test:stop(Drv),
            [{own, Own} | Config1];
        {false, Text} ->
            alcove_test:skip(Text)
    end.

%% The system's manager marks what it delegates: there is nothing to be done. A user's own doesn't, so that
%% whoever has the group to himself has to say so. Before, a sandbox does without.
prepared(Drv, nomatch, _) ->
    {ok, #{status := 0}} = limited(Drv),
    ok;
prepared(Drv, _, true) ->
    {ok, #{status := 0}} = limited(Drv),
    ok;
prepared(Drv, _, false) ->
    {error, {cgroup, {_, ebusy}}} = limited(Drv),
    {ok, #{status := 0, sandbox := #{pids := {rlimit, _}}}} = alcove_sandbox:run(Drv, ["true"], #{}),
    ok = alcove_cgroup:leaf(Drv),
    {ok, #{status := 0}} = limited(Drv),
    ok.

limited(Drv) ->
    alcove_proc:run(Drv, ["true"], #{cgroup => #{pids => 9}}).

is_in_leaf() ->
    {ok, Text} = file:read_file("/proc/self/cgroup"),
    string:find(Text, "/alcove-leaf\n") =/= nomatch.

end_per_suite(_Config) ->
    ok.

init_per_testcase(_Case, Config) ->
    alcove_test:init_case(Config).

end_per_testcase(_Case, Config) ->
    Groups = groups_in(Config),
    case alcove_test:end_case(Config) of
        ok when Groups =/= [] -> {fail, {left_behind, Groups}};
        Result -> Result
    end.

%% The group that was delegated: this virtual machine's, or the one above it once alcove has moved it.
own() ->
    {ok, Text} = file:read_file("/proc/self/cgroup"),
    case {alcove_test:root(), re:run(Text, "^0::(.*)$", [multiline, {capture, [1], list}])} of
        {false, {match, [Path]}} ->
            Dir =
                case filename:basename(Path) of
                    "alcove-leaf" -> "/sys/fs/cgroup" ++ filename:dirname(Path);
                    _ -> "/sys/fs/cgroup" ++ Path
                end,
            %% The xattr is root's to set, and this group's owner is who may make groups in it.
            case os:cmd("test -w " ++ alcove_test:quote(Dir ++ "/cgroup.procs") ++ " && echo yes") of
                "yes\n" when Dir =/= "/sys/fs/cgroup/" -> {ok, Dir};
                _ -> {false, reason()}
            end;
        _ ->
            {false, reason()}
    end.

reason() ->
    "needs an ordinary user in a control group of version 2 that was delegated, "
    "as by systemd-run -p User=... -p Delegate=yes".

%% The groups of programs that are there now.
groups_in(Config) ->
    filelib:wildcard(proplists:get_value(own, Config) ++ "/alcove-own.*").

sh(Script) ->
    ["/bin/sh", "-c", Script].

%% A program that takes more memory than it may is killed, and the result says why. It can't be a limit
%% of the address space: it has none.
program_memory(Config) ->
    Drv = alcove_test:start(),
    Take = sh("x=$(head -c 60000000 /dev/zero | tr '\\0' x)"),
    Limit = 16 bsl 20,
    {ok, #{status := Status, limit := memory, cgroup := #{memory := Memory}}} =
        alcove_proc:run(Drv, Take, #{cgroup => #{memory => Limit}}),
    ?assertNotEqual(0, Status),
    ?assertMatch(#{limit := Limit, oom_kills := Kills} when Kills > 0, Memory),
    [] = groups_in(Config),
    {ok, #{status := 0} = Enough} = alcove_proc:run(Drv, Take, #{cgroup => #{memory => 512 bsl 20}}),
    ?assertEqual(false, is_map_key(limit, Enough)).

%% No more processes than it may have, and the result says how often it was refused one. Nobody else's
%% count: RLIMIT_NPROC would count all that the user has.
program_pids(Config) ->
    Drv = alcove_test:start(),
    Forks = sh("for i in 1 2 3 4 5 6 7 8 9; do sleep 1000 & done; wait"),
    {ok, #{status := Status, cgroup := #{pids := Pids}}} =
        alcove_proc:run(Drv, Forks, #{cgroup => #{pids => 5}}),
    ?assertNotEqual(0, Status),
    ?assertMatch(#{limit := 5, refused := Refused} when Refused > 0, Pids),
    [] = groups_in(Config),
    {ok, #{status := 0, cgroup := #{pids := #{limit := 20, refused := 0}}}} =
        alcove_proc:run(Drv, sh("for i in 1 2 3 4 5 6 7 8 9; do true & done; wait"), #{
            cgroup => #{pids => 20, memory => 64 bsl 20}
        }).

%% Two programs have a group each, the limits of which are their own. The virtual machine is in the leaf.
side_by_side(Config) ->
    Own = proplists:get_value(own, Config),
    Drv = alcove_test:start(),
    Cat = fun(Count) ->
        {ok, Server} = alcove_proc:start(Drv, ["cat"], #{stdin => stream, cgroup => #{pids => Count}}),
        Server
    end,
    Servers = [Cat(Count) || Count <- [3, 4]],
    Groups = groups_in(Config),
    ?assertEqual(
        [<<"3\n">>, <<"4\n">>],
        lists:sort([element(2, {ok, _} = file:read_file(Group ++ "/pids.max")) || Group <- Groups])
    ),
    [?assertMatch({ok, <<_, _/binary>>}, file:read_file(Group ++ "/cgroup.procs")) || Group <- Groups],
    {ok, Where} = file:read_file("/proc/self/cgroup"),
    ?assertEqual("alcove-leaf", filename:basename(string:trim(binary_to_list(Where)))),
    ?assertEqual({ok, <<>>}, file:read_file(Own ++ "/cgroup.procs")),
    [ok = alcove_proc:eof(Server) || Server <- Servers],
    [{ok, #{status := 0}} = alcove_proc:await(Server) || Server <- Servers],
    [] = groups_in(Config).

%% A sandbox takes control groups for its limits where its Drv may make them, whoever that is.
sandbox_memory(Config) ->
    sandboxed(fun(Drv) ->
        Limit = 32 bsl 20,
        Take = sh("x=$(head -c 100000000 /dev/zero | tr '\\0' x)"),
        {ok, #{status := Status, limit := memory, sandbox := #{memory := {cgroup, Limit}}}} =
            alcove_sandbox:run(Drv, Take, #{limits => #{memory => Limit}}),
        ?assertNotEqual(0, Status),
        %% What it keeps in files is memory, too.
        {ok, #{status := Files, limit := memory}} =
            alcove_sandbox:run(Drv, sh("head -c 50000000 /dev/zero >/tmp/x"), #{limits => #{memory => Limit}}),
        ?assertNotEqual(0, Files),
        [] = groups_in(Config)
    end).

sandbox_pids(Config) ->
    sandboxed(fun(Drv) ->
        Forks = sh("for i in 1 2 3 4 5 6 7 8 9; do sleep 1000 & done; wait"),
        {ok, #{status := Status, cgroup := #{pids := Pids}, sandbox := #{pids := {cgroup, 5}}}} =
            alcove_sandbox:run(Drv, Forks, #{limits => #{pids => 5}}),
        ?assertNotEqual(0, Status),
        ?assertMatch(#{limit := 5, refused := Refused} when Refused > 0, Pids),
        {ok, #{status := 0, sandbox := Force}} = alcove_sandbox:run(Drv, ["true"], #{}),
        ?assertMatch(#{memory := {cgroup, _}, pids := {cgroup, _}}, Force),
        [] = groups_in(Config)
    end).

%% A controller that wasn't delegated is no reason to do without the others.
sandbox_without(Config) ->
    sandboxed(fun(Drv) ->
        {ok, Offered} = file:read_file(proplists:get_value(own, Config) ++ "/cgroup.controllers"),
        case lists:member("cpu", string:lexemes(binary_to_list(Offered), " \n")) of
            true ->
                {ok, #{status := 0, sandbox := #{cpu := {cgroup, 0.5}}}} =
                    alcove_sandbox:run(Drv, ["true"], #{limits => #{cpu => 0.5}});
            false ->
                {error, {sandbox, {cpu, no_control_group}}} =
                    alcove_sandbox:run(Drv, ["true"], #{limits => #{cpu => 0.5}}),
                {ok, #{status := 0, sandbox := #{cpu := {lacking, no_control_group}, pids := {cgroup, 9}}}} =
                    alcove_sandbox:run(Drv, ["true"], #{limits => #{cpu => 0.5, pids => 9}, best_effort => true})
        end,
        [] = groups_in(Config)
    end).

sandboxed(Fun) ->
    alcove_test:need([userns], fun() -> Fun(alcove_test:start()) end).

%% What a program leaves ends with it, in a session of its own, too; and with Drv, whatever runs.
nothing_stays(Config) ->
    Drv = alcove_test:start(),
    {ok, #{status := 0, stdout := Text}} = alcove_proc:run(
        Drv, sh("setsid sleep 1000 >/dev/null 2>&1 & echo $!"), #{cgroup => #{pids => 9}}
    ),
    false = alcove_test:alive(binary_to_integer(string:trim(Text))),
    [] = groups_in(Config),
    {ok, _} = alcove_proc:start(Drv, ["sleep", "1000"], #{cgroup => #{pids => 9}}),
    [Group] = groups_in(Config),
    ok = alcove_test:stop(Drv),
    {Gone, Other} = {alcove_test:until(fun() -> members(Group) =:= [] end), alcove_test:start()},
    true = Gone,
    %% An empty group of a Drv that has ended goes when another makes one, at the latest.
    {ok, #{status := 0}} = alcove_proc:run(Other, ["true"], #{cgroup => #{pids => 9}}),
    [] = groups_in(Config).

members(Group) ->
    case file:read_file(Group ++ "/cgroup.procs") of
        {ok, Pids} -> string:lexemes(Pids, "\n");
        {error, _} -> []
    end.
