%% @doc Starting, owning and stopping a Drv.
-module(alcove_drv_SUITE).

-include_lib("stdlib/include/assert.hrl").
-include("alcove.hrl").

-export([suite/0, all/0, groups/0, init_per_suite/1, end_per_suite/1,
         init_per_testcase/2, end_per_testcase/2]).
%% options
-export([defaults/1, inheritance/1, env/1, clearenv/1, stderr_to_stdout/1, root_stderr_is_the_consoles/1,
         progname/1, exec/1, verbose/1, wrong_options_are_named/1]).
%% starts that fail
-export([missing_executable/1, missing_exec/1, exec_refuses/1, exec_dies/1, exec_eats_the_channel/1,
         exec_never_answers/1, exec_talks_nonsense/1, exec_is_another_version/1, exec_closes_the_channel/1, exec_leaves_a_process/1,
         failing_start_link/1, a_hundred_failures/1]).
%% privileges
-export([sudo_as_root/1, sudo_as_ordinary_user/1, sudo_refuses/1, setuid_executable/1,
         executable_by_hand/1]).
%% ownership
-export([owner_death_stops_drv/1, owner_option/1, controlling_process/1, path_owner_death/1,
         calls_from_any_process/1, tickets/1, wrong_owners/1, registered_names/1, no_drv/1]).
%% stopping
-export([supervisor_restarts/1, start_link/1, stop_of_what_is_stopped/1, stop_tells_what_is_left/1,
         stop_leaves_nothing/1, stop_during_calls/1, stop_twice/1,
         stop_reasons/1, info/1, a_hundred_drivers/1]).
%% the application's
-export([default_is_started_when_asked_for/1, default_runs_programs/1, default_is_followed/1, default_options/1, default_has_an_owner/1]).
%% other nodes
-export([remote_calls/1, remote_exceptions/1, remote_timeout/1, remote_streams/1, remote_owner_death/1]).
%% limits of open files
-export([files_24/1, files_64/1, files_256/1, files_1024/1, files_4096/1, files_1000000/1, files_1000000000/1,
         files_64_to_4096/1]).
%% called in other virtual machines
-export([limited_user/1, with_files/0]).
%% supervisor
-export([init/1]).

suite() ->
    alcove_test:suite().

all() ->
    [{group, Group} || {Group, _, _} <- groups()].

groups() ->
    [{options, [], [defaults, inheritance, env, clearenv, stderr_to_stdout, root_stderr_is_the_consoles,
                    progname, exec, verbose, wrong_options_are_named]},
     {failing_starts, [], [missing_executable, missing_exec, exec_refuses, exec_dies, exec_eats_the_channel,
                           exec_never_answers, exec_talks_nonsense, exec_is_another_version,
                           exec_closes_the_channel, exec_leaves_a_process, failing_start_link, a_hundred_failures]},
     {privileges, [], [sudo_as_root, sudo_as_ordinary_user, sudo_refuses, setuid_executable,
                       executable_by_hand]},
     {ownership, [], [owner_death_stops_drv, owner_option, controlling_process, path_owner_death,
                      calls_from_any_process, tickets, wrong_owners, registered_names, no_drv]},
     {stopping, [], [supervisor_restarts, start_link, stop_leaves_nothing, stop_of_what_is_stopped,
                     stop_tells_what_is_left, stop_during_calls, stop_twice,
                     stop_reasons, info, a_hundred_drivers]},
     {default, [], [default_is_started_when_asked_for, default_runs_programs, default_is_followed, default_options,
                    default_has_an_owner]},
     {other_nodes, [], [remote_calls, remote_exceptions, remote_timeout, remote_streams,
                        remote_owner_death]},
     {files, [], [files_24, files_64, files_256, files_1024, files_4096, files_1000000, files_1000000000,
                  files_64_to_4096]}].

init_per_suite(Config) ->
    alcove_test:init_suite(Config).

end_per_suite(_Config) ->
    ok.

init_per_testcase(_Case, Config) ->
    alcove_test:init_case(Config).

end_per_testcase(_Case, Config) ->
    _ = application:stop(alcove),
    _ = application:unset_env(alcove, drv),
    alcove_test:end_case(Config).

%% An executable script.
script(Config, Name, Lines) ->
    Path = filename:join(alcove_test:tmp(Config), Name),
    ok = file:write_file(Path, ["#!/bin/sh\n", [[Line, "\n"] || Line <- Lines]]),
    ok = file:change_mode(Path, 8#755),
    Path.

executable() ->
    filename:join(code:priv_dir(alcove), "alcove").

%% A process that can be told to do something and to end.
actor() ->
    spawn(fun Loop() ->
                  receive
                      {From, Ref, Fun} -> From ! {Ref, Fun()}, Loop();
                      stop -> ok
                  end
          end).

act(Actor, Fun) ->
    Ref = monitor(process, Actor),
    Actor ! {self(), Ref, Fun},
    receive
        {Ref, Result} -> demonitor(Ref, [flush]), Result;
        {'DOWN', Ref, process, Actor, Reason} -> ct:fail({actor, Reason})
    after alcove_test:ms(20000) -> ct:fail(actor_is_stuck)
    end.

end_of(Pid) ->
    Ref = monitor(process, Pid),
    receive
        {'DOWN', Ref, process, Pid, Reason} -> Reason
    after alcove_test:ms(5000) -> ct:fail({still_there, Pid})
    end.

%% ---------------------------------------------------------------------------
%% Options
%% ---------------------------------------------------------------------------

defaults(_Config) ->
    Drv = alcove_test:start(),
    {ok, #alcove_rlimit{cur = Nofile}} = alcove:getrlimit(Drv, rlimit_nofile),
    [0, 0, 0, 16] = [alcove:getopt(Drv, Option) || Option <- [verbose, exit_status, termsig, maxforkdepth]],
    Limit = Nofile div 4 - 4,
    [Limit, Limit] = [alcove:getopt(Drv, Option) || Option <- [childlimit, maxchild]],
    %% The limit is the one that the virtual machine was started with, as a shell's children have it.
    {ok, Status} = file:read_file("/proc/self/limits"),
    {match, [Hard]} = re:run(Status, "Max open files +[0-9a-z]+ +([0-9]+)", [{capture, all_but_first, list}]),
    ?assert(Nofile =< list_to_integer(Hard)).

inheritance(_Config) ->
    Options = [{exit_status, true}, {termsig, true}, {maxchild, 5}, {maxforkdepth, 3}, {verbose, 0}],
    Drv = alcove_test:start(Options),
    Read = fun(Path) -> [alcove:getopt(Drv, Path, Option)
                         || Option <- [exit_status, termsig, maxchild, maxforkdepth, verbose]]
           end,
    [1, 1, 5, 3, 0] = Read([]),
    Path = alcove_test:chain(Drv, [], 3),
    [1, 1, 5, 3, 0] = Read(Path),
    5 = alcove:getopt(Drv, Path, childlimit),
    {error, eagain} = alcove:fork(Drv, Path),
    ok = alcove:exit(Drv, Path, 7),
    ok = alcove_test:event(Drv, Path, {exit_status, 7}),
    %% false and the plain words.
    Plain = alcove_test:start([{exit_status, false}, {termsig, false}]),
    [0, 0] = [alcove:getopt(Plain, Option) || Option <- [exit_status, termsig]].

env(_Config) ->
    Drv = alcove_test:start([{env, [{"ALCOVE_A", "1"}, {"ALCOVE_B", ""}, {<<"ALCOVE_C">>, <<"x=", 255>>},
                                    {"PATH", "/usr/bin:/bin"}]}]),
    Child = alcove_test:fork(Drv, []),
    [begin
         <<"1">> = alcove:getenv(Drv, Path, "ALCOVE_A"),
         <<>> = alcove:getenv(Drv, Path, "ALCOVE_B"),
         <<"x=", 255>> = alcove:getenv(Drv, Path, "ALCOVE_C"),
         <<"/usr/bin:/bin">> = alcove:getenv(Drv, Path, "PATH")
     end || Path <- [[], Child]],
    %% Each name once.
    Names = [hd(binary:split(Variable, <<"=">>)) || Variable <- alcove:environ(Drv)],
    ?assertEqual(lists:usort(Names), lists:sort(Names)),
    %% Thousands.
    Many = [{"V" ++ integer_to_list(N), integer_to_list(N)} || N <- lists:seq(1, 5000)],
    Large = alcove_test:start([clearenv, {env, Many}]),
    ?assertEqual(lists:sort([list_to_binary([Name, "=", Value]) || {Name, Value} <- Many]),
                 lists:sort(alcove:environ(Large))).

clearenv(_Config) ->
    Empty = alcove_test:start([clearenv]),
    [] = alcove:environ(Empty),
    One = alcove_test:start([clearenv, {env, [{"A", "1"}]}]),
    [<<"A=1">>] = alcove:environ(One),
    %% What a program gets is what is there, nothing of the virtual machine's or of sudo's.
    true = alcove:setopt(One, exit_status, 1),
    Program = alcove_test:run(One, [], ["/usr/bin/env"]),
    {<<"A=1\n">>, {exit_status, 0}} = alcove_test:output(One, Program).

%% Root's own stderr is a stream only when it was asked to be.
stderr_to_stdout(_Config) ->
    Drv = alcove_test:start([stderr_to_stdout]),
    {ok, 4} = alcove:write(Drv, 2, "err\n"),
    <<"err\n">> = alcove:stdout(Drv),
    ok = alcove:execvp(Drv, "sh", ["sh", "-c", "echo out; echo err >&2; exec cat"]),
    <<"out\nerr\n">> = alcove_test:collect(Drv, [], 8).

root_stderr_is_the_consoles(_Config) ->
    Drv = alcove_test:start(),
    Child = [Pid] = alcove_test:fork(Drv, []),
    {ok, 4} = alcove:write(Drv, Child, 2, "err\n"),
    <<"err\n">> = alcove:stderr(Drv, Child),
    %% Only root may look at an event loop's descriptors.
    alcove_test:need(
      [root, {cap, cap_sys_ptrace}],
      fun() ->
              [Ours, Roots, Childs] = [begin
                                           {ok, Link} = file:read_link_all(lists:concat(["/proc/", P, "/fd/2"])),
                                           Link
                                       end || P <- [self, alcove:getpid(Drv), Pid]],
              ?assertEqual(Ours, Roots),
              ?assertNotEqual(Ours, Childs)
      end).

progname(Config) ->
    Copy = filename:join(alcove_test:tmp(Config), "my alcove"),
    {ok, _} = file:copy(executable(), Copy),
    ok = file:change_mode(Copy, 8#755),
    Drv = alcove_test:start([{progname, Copy}]),
    {ok, Comm} = file:read_file(lists:concat(["/proc/", alcove:getpid(Drv), "/comm"])),
    ?assertEqual(<<"my alcove\n">>, Comm),
    Binary = alcove_test:start([{progname, list_to_binary(Copy)}]),
    true = is_integer(alcove:getpid(Binary)).

%% The words of `exec' come before the executable, and are searched for in PATH.
exec(Config) ->
    Log = filename:join(alcove_test:tmp(Config), "log"),
    Wrapper = script(Config, "wrapper", ["echo \"$@\" > " ++ Log, "shift", "exec \"$@\""]),
    Drv = alcove_test:start([{exec, Wrapper ++ " word"}]),
    true = is_integer(alcove:getpid(Drv)),
    {ok, Words} = file:read_file(Log),
    ?assertEqual(iolist_to_binary(["word ", executable(), "\n"]), Words),
    InPath = alcove_test:start([{exec, "nice -n 5"}]),
    true = is_integer(alcove:getpid(InPath)),
    None = alcove_test:start([{exec, ""}]),
    true = is_integer(alcove:getpid(None)).

verbose(_Config) ->
    [begin
         Drv = alcove_test:start([Option]),
         N = alcove:getopt(Drv, verbose)
     end || {Option, N} <- [{{verbose, 0}, 0}, {{verbose, 2}, 2}, {verbose, 1}]].

wrong_options_are_named(_Config) ->
    Wrong = [no_such_option, {no_such_option, 1}, {env, a}, {env, [{1, "1"}]},
             {env, [{"A=B", "1"}]}, {env, [{"", "1"}]}, {env, [{"A", [0]}]}, {env, [{"A", <<"1", 0>>}]},
             {exec, a}, {exec, 1}, {exec, "a" ++ [0]}, {progname, a}, {progname, ""}, {progname, [0]},
             {exit_status, 2}, {exit_status, yes}, {termsig, -1}, {verbose, -1}, {verbose, a},
             {verbose, 1 bsl 40}, {maxchild, -1}, {maxchild, a}, {maxchild, 1 bsl 40}, {maxforkdepth, -1},
             {maxforkdepth, a}, {maxforkdepth, 1 bsl 40}, {timeout, -1}, {timeout, a}, {stderr_to_stdout, 1},
             {owner, 1}, {owner, "a"}, {telemetry, 1}, {name, "a"}, {name, undefined}, {env, #{1 => "1"}},
             1, "a", {}],
    [begin
         Named = try alcove_drv:start([{exit_status, true}, Option]) of
                     Started -> {started, Started}
                 catch
                     error:{badarg, Which} -> {named, Which};
                     Class:Reason -> {Class, Reason}
                 end,
         %% What may be a secret isn't told.
         Told = case Option of
                    {env, [{Name, _}]} -> {env, Name};
                    {env, #{} = Env} -> {env, hd(maps:keys(Env))};
                    {exec, [_ | _]} -> {exec, '[...]'};
                    [_ | _] -> '[...]';
                    _ -> Option
                end,
         ?assertEqual({Option, {named, Told}}, {Option, Named})
     end || Option <- Wrong],
    [
        ?assertError({badarg, {env, no_pair}}, alcove_drv:start([{env, [NoPair]}]))
     || NoPair <- [a, {"A"}, "A=secret", {"A", "secret", 1}]
    ],
    [?assertError(_, alcove_drv:start(Options)) || Options <- [a, [a | b], {exec, "sudo"}]],
    ?assertError({badarg, {verbose, a}}, alcove_drv:start(#{exit_status => true, verbose => a})).

%% ---------------------------------------------------------------------------
%% Starts that fail
%% ---------------------------------------------------------------------------

fails(Options) ->
    {error, Reason} = alcove_drv:start(Options),
    Reason.

missing_executable(Config) ->
    enoent = fails([{progname, "/nonexistent/alcove"}]),
    NotExecutable = filename:join(alcove_test:tmp(Config), "file"),
    ok = file:write_file(NotExecutable, <<"x">>),
    eacces = fails([{progname, NotExecutable}]),
    eacces = fails([{progname, alcove_test:tmp(Config)}]),
    ok = file:change_mode(NotExecutable, 8#755),
    enoexec = fails([{progname, NotExecutable}]).

missing_exec(_Config) ->
    %% A directory in PATH may be closed to us, where the program could be.
    ?assert(lists:member(fails([{exec, "no-such-sudo -n"}]), [enoent, eacces])),
    enoent = fails([{exec, "/nonexistent/sudo"}]).

exec_refuses(Config) ->
    ended({exit_status, 7}, fails([{exec, script(Config, "seven", ["sleep 0.05", "exit 7"])}])),
    refused(1, fails([{exec, "false"}])),
    refused(0, fails([{exec, "true"}])).

%% A command that ends at once may be gone before the kernel can be asked about it.
refused(Status, {exit_status, Status}) -> ok;
refused(_Status, exited) -> ok.

%% The virtual machine ignores SIGCHLD: of a start that failed there is a status where the kernel
%% keeps it for whoever holds the process.
ended(End, Reason) ->
    Told = case alcove_test:can(told) of
               true -> End;
               {false, _} -> exited
           end,
    ?assertEqual(Told, Reason).

exec_dies(Config) ->
    ended({termsig, sigkill}, fails([{exec, script(Config, "kill", ["sleep 0.05", "kill -9 $$"])}])).

%% One prints the executable and ends, another takes what alcove says and never answers.
exec_eats_the_channel(Config) ->
    refused(0, fails([{exec, "cat"}])),
    timeout = fails([{exec, script(Config, "eats", ["exec cat > /dev/null"])}, {timeout, 1000}]).

exec_never_answers(Config) ->
    Sleep = script(Config, "sleep", ["sleep 1000"]),
    Start = erlang:monotonic_time(millisecond),
    timeout = fails([{exec, Sleep}, {timeout, 300}]),
    Took = erlang:monotonic_time(millisecond) - Start,
    ?assert(Took >= 300 andalso Took < alcove_test:ms(2000)),
    %% Deaf to what asks it to end.
    Deaf = script(Config, "deaf", ["trap '' TERM HUP INT", "sleep 1000"]),
    timeout = fails([{exec, Deaf}, {timeout, 100}]),
    timeout = fails([{exec, script(Config, "stop", ["kill -STOP $$"])}, {timeout, 100}]),
    %% No time at all.
    timeout = fails([{exec, Sleep}, {timeout, 0}]).

exec_talks_nonsense(Config) ->
    [badproto = fails([{exec, script(Config, Name, [Line, "sleep 1000"])}])
     || {Name, Line} <- [{"long", "head -c 100000 /dev/zero >&0"},
                         {"huge", "printf '\\377\\377\\377\\377garbage' >&0"},
                         {"hello", "printf '\\001\\000\\000\\000\\005' >&0"}]],
    %% A frame begun, and then silence.
    timeout = fails([{exec, script(Config, "half", ["printf '\\020\\000' >&0", "sleep 1000"])},
                     {timeout, 300}]).

%% An executable with another table of calls than the library's.
exec_is_another_version(Config) ->
    Hello = "\\026\\000\\000\\000\\005" "12345678" "\\001\\000\\000\\000" "\\005\\000\\000\\000" "1.0.0",
    Script = script(Config, "old", ["printf '" ++ Hello ++ "' >&0", "exec sleep 1000"]),
    {version, <<"1.0.0">>, Ours} = fails([{exec, Script}, {timeout, alcove_test:ms(2000)}]),
    ?assertEqual(alcove_nif:version(), Ours).

exec_closes_the_channel(Config) ->
    Closes = script(Config, "closes", ["sleep 0.05", "exec \"$@\" < /dev/null 2> /dev/null"]),
    ended({exit_status, 1}, fails([{exec, Closes}])),
    %% It ends, but what it started lives on with nobody to talk to.
    Hangs = script(Config, "hangs", ["exec < /dev/null > /dev/null", "sleep 1000"]),
    exited = fails([{exec, Hangs}, {timeout, alcove_test:ms(500)}]).

%% A process that the failing command started in the background goes with it.
exec_leaves_a_process(Config) ->
    ended({exit_status, 1}, fails([{exec, script(Config, "leaves", ["sleep 1000 &", "sleep 0.05", "exit 1"])},
                                   {timeout, alcove_test:ms(1000)}])).

failing_start_link(_Config) ->
    process_flag(trap_exit, true),
    {error, enoent} = alcove_drv:start_link([{progname, "/nonexistent"}]),
    receive {'EXIT', _, enoent} -> ok after 0 -> ok end,
    process_flag(trap_exit, false),
    %% start/1 doesn't touch the caller, trapping or not.
    {error, enoent} = alcove_drv:start([{progname, "/nonexistent"}]),
    receive Message -> ct:fail({message, Message}) after 0 -> ok end.

%% The end of the case looks for what they left.
a_hundred_failures(_Config) ->
    [refused(1, fails([{exec, "false"}])) || _ <- lists:seq(1, 50)],
    [enoent = fails([{progname, "/nonexistent"}]) || _ <- lists:seq(1, 50)],
    Drv = alcove_test:start(),
    true = is_integer(alcove:getpid(Drv)).

%% ---------------------------------------------------------------------------
%% Limits of open files: the soft and the hard one of a virtual machine
%% ---------------------------------------------------------------------------

files_24(Config) -> files(Config, 24, 24).
files_64(Config) -> files(Config, 64, 64).
files_256(Config) -> files(Config, 256, 256).
files_1024(Config) -> files(Config, 1024, 1024).
files_4096(Config) -> files(Config, 4096, 4096).
files_1000000(Config) -> files(Config, 1000000, 1000000).
files_1000000000(Config) -> files(Config, 1000000000, 1000000000).
files_64_to_4096(Config) -> files(Config, 64, 4096).

%% What there is no room for is emfile, whatever it is, and takes nothing from what there is room for.
%% No start takes longer for the size of the limit: closing a thousand million descriptors takes minutes.
files(_Config, Soft, Hard) ->
    Limits = lists:concat(["--nofile=", Soft, ":", Hard]),
    alcove_test:need([{program, "prlimit"}], fun() ->
        Erl = filename:join([code:root_dir(), "bin", "erl"]),
        Prlimit = ["prlimit ", Limits, " "],
        Boots = ["ERL_CRASH_DUMP_SECONDS=0 "] ++ Prlimit ++ ["'", Erl, "' -noinput -eval 'halt(0).' >/dev/null 2>&1; echo $?"],
        case {os:cmd(lists:append(Prlimit) ++ "true 2>&1"), Soft < 64 andalso string:trim(os:cmd(lists:append(Boots)))} of
            {"", No} when No =:= false; No =:= "0" ->
                Exec = {os:find_executable("prlimit"), [Limits, Erl]},
                try alcove_test:peer(alcove_test:paths(), #{exec => Exec}) of
                    Peer ->
                        Started = alcove_test:in_peer(Peer, fun ?MODULE:with_files/0, alcove_test:ms(60000)),
                        alcove_test:stop_peer(Peer),
                        ct:log("~p", [Started]),
                        as_there_is_room(Soft, Hard, Started)
                catch
                    %% It starts, but has no descriptors for all that it needs.
                    _:{boot_failed, _} when Soft < 64 ->
                        alcove_test:skip("a virtual machine doesn't get far")
                end;
            {"", _} ->
                alcove_test:skip(lists:concat(["a virtual machine doesn't start with ", Soft, " files"]));
            {Said, _} ->
                alcove_test:skip(string:trim(Said))
        end
    end).

as_there_is_room(_Soft, Hard, {error, Reason}) ->
    ?assert(Hard < 256),
    ?assertEqual(emfile, Reason);
as_there_is_room(Soft, Hard, {ok, First, Many, Last}) ->
    Told = iolist_to_binary(io_lib:format("~b ~b\n", [Soft, Hard])),
    Refused = [Reason || {error, Reason} <- Many],
    [?assert(lists:member(Reason, [emfile, {fork, emfile}])) || Reason <- Refused],
    case First of
        {ok, #{stdout := Text}} -> ?assertEqual(Told, Text);
        {error, Reason} -> ?assert(Hard < 256), ?assert(lists:member(Reason, [emfile, {fork, emfile}]))
    end,
    %% What was refused did no harm.
    ?assertEqual(element(1, First), element(1, Last)),
    [?assertEqual([], Refused) || Hard >= 1024].

%% A Drv with a program, with twenty at once, and with one again.
with_files() ->
    Limits = ["sh", "-c", "echo $(ulimit -Sn) $(ulimit -Hn)"],
    case alcove_drv:start() of
        {ok, Drv} ->
            First = alcove_proc:run(Drv, Limits),
            Many = [alcove_proc:start(Drv, ["cat"]) || _ <- lists:seq(1, 20)],
            {ok, _} = file:read_file("/proc/self/status"),
            [_ = alcove_proc:stop(Pid) || {ok, Pid} <- Many],
            Last = alcove_proc:run(Drv, Limits),
            _ = alcove_drv:stop(Drv),
            {ok, First, Many, Last};
        {error, Reason} ->
            {ok, _} = file:read_file("/proc/self/status"),
            {error, Reason}
    end.

%% ---------------------------------------------------------------------------
%% Privileges
%% ---------------------------------------------------------------------------

%% What a Drv must be able to do however it was started.
works(Drv) ->
    Uid = alcove:getuid(Drv),
    true = alcove:setopt(Drv, exit_status, 1),
    Path = alcove_test:run(Drv, [], ["sh", "-c", "read x; echo got $x; exit 3"]),
    true = alcove:stdin(Drv, Path, "it\n"),
    {<<"got it\n">>, {exit_status, 3}} = alcove_test:output(Drv, Path),
    Deep = alcove_test:chain(Drv, [], 3),
    true = is_integer(alcove:getpid(Drv, Deep)),
    _ = alcove_test:run(Drv, Deep, ["sleep", "1000"]),
    ok = alcove_test:stop(Drv),
    Uid.

%% The executable of an installed copy.
installed(Paths) ->
    filename:join([filename:dirname(hd(Paths)), "priv", "alcove"]).

sudo_as_root(Config) ->
    alcove_test:need(
      [root, sudo],
      fun() ->
              0 = works(alcove_test:start([{exec, "sudo -n"}])),
              %% The other user may not be able to look into the directory of the project.
              Executable = installed(alcove_test:user_paths(Config)),
              65534 = works(alcove_test:start([{exec, "sudo -n -u " ++ alcove_test:user()}, {progname, Executable}])),
              %% sudo cleans the environment; root has what was asked for all the same.
              Drv = alcove_test:start([{exec, "sudo -n"}, clearenv, {env, [{"LD_PRELOAD", "x"}, {"A", "1"}]}]),
              [<<"A=1">>, <<"LD_PRELOAD=x">>] = lists:sort(alcove:environ(Drv))
      end).

%% As an ordinary user, with a rule for the executable that lasts as long as the case.
sudo_as_ordinary_user(Config) ->
    alcove_test:need(
      [root, sudo, ordinary, gains],
      fun() ->
              Paths = alcove_test:user_paths(Config),
              Executable = installed(Paths),
              Rules = "/etc/sudoers.d/alcove_test_" ++ os:getpid(),
              ok = file:write_file(Rules, [alcove_test:user(), " ALL = NOPASSWD: ", Executable, "\n"]),
              ok = file:change_mode(Rules, 8#440),
              try
                  Peer = alcove_test:user_peer(Config, Paths),
                  Uid = alcove_test:in_peer(Peer, fun() -> works(alcove_test:start([{exec, "sudo -n"}])) end),
                  ?assertEqual(0, Uid),
                  %% Plain sudo doesn't stop to ask where the rule needs no password.
                  0 = alcove_test:in_peer(Peer, fun() -> works(alcove_test:start([{exec, "sudo"}])) end),
                  alcove_test:stop_peer(Peer)
              after
                  file:delete(Rules)
              end
      end).

%% No rule: sudo asks for no password, it fails, and so does the start.
sudo_refuses(Config) ->
    alcove_test:need(
      [sudo, ordinary],
      fun() ->
              Peer = alcove_test:user_peer(Config),
              Result =
                  case alcove_test:in_peer(Peer, fun() -> os:cmd("sudo -n true >/dev/null 2>&1 && echo yes") end) of
                      "yes\n" ->
                          alcove_test:skip("sudo lets this user do anything");
                      "" ->
                          refused(1, alcove_test:in_peer(Peer, fun() -> fails([{exec, "sudo -n"}]) end)),
                          {ok, 0} = alcove_test:in_peer(
                                      Peer, fun() -> {ok, length(alcove_test:descendants() -- helpers())} end)
                  end,
              alcove_test:stop_peer(Peer),
              Result
      end).

%% The virtual machine's own helper processes.
helpers() ->
    [Pid || Pid <- alcove_test:descendants(),
            {ok, Exe} <- [file:read_file(lists:concat(["/proc/", Pid, "/comm"]))],
            Exe =:= <<"erl_child_setup\n">> orelse Exe =:= <<"erl_child_setu\n">> orelse Exe =:= <<"inet_gethost\n">>].

setuid_executable(Config) ->
    alcove_test:need(
      [root, ordinary, gains, namespaces],
      fun() ->
              Copy = filename:join(alcove_test:tmp(Config), "alcove-setuid"),
              {ok, _} = file:copy(executable(), Copy),
              ok = file:change_mode(Copy, 8#4755),
              Peer = alcove_test:user_peer(Config),
              {Real, Uts} =
                  alcove_test:in_peer(
                    Peer,
                    fun() ->
                            Drv = alcove_test:start([{progname, Copy}]),
                            {ok, Pid} = alcove:clone(Drv, clone_newuts),
                            ok = alcove:sethostname(Drv, [Pid], "setuid"),
                            {ok, Name} = alcove:gethostname(Drv, [Pid]),
                            {works(Drv), Name}
                    end),
              ?assertEqual(<<"setuid">>, Uts),
              %% The real user is who ran it.
              ?assertEqual(list_to_integer(string:trim(os:cmd("id -u " ++ alcove_test:user()))), Real),
              %% A tree with more rights than the virtual machine goes with it too.
              Pids = alcove_test:in_peer(
                       Peer,
                       fun() -> alcove_drv_SUITE:limited_user(Copy) end),
              ?assert(lists:all(fun alcove_test:alive/1, Pids)),
              alcove_test:stop_peer(Peer),
              ?assert(alcove_test:until(fun() -> not lists:any(fun alcove_test:alive/1, Pids) end))
      end).

%% A Drv whose processes are root's and another user's, and which outlives the caller.
limited_user(Copy) ->
    Self = self(),
    spawn(fun() ->
                  Drv = alcove_test:start([{progname, Copy}]),
                  A = alcove_test:run(Drv, [], ["sleep", "1000"]),
                  B = alcove_test:fork(Drv, []),
                  ok = alcove:setgid(Drv, B, 65533),
                  ok = alcove:setuid(Drv, B, 65533),
                  C = alcove_test:run(Drv, B, ["sleep", "1000"]),
                  Self ! {pids, [alcove:getpid(Drv), lists:last(A), lists:last(B), lists:last(C)]},
                  receive after infinity -> ok end
          end),
    receive {pids, Pids} -> Pids end.

%% Run by hand it says what it is for and ends; with a strange fd 0 too.
executable_by_hand(_Config) ->
    Run = fun(Redirect) ->
                  Command = lists:concat(["timeout ", alcove_test:ms(5000) div 1000, " '", executable(), "' ", Redirect, " 2>&1; echo status=$?"]),
                  os:cmd(Command)
          end,
    [begin
         Output = Run(Redirect),
         {match, [Status]} = re:run(Output, "status=(\\d+)", [{capture, all_but_first, list}]),
         ?assertNotEqual("0", Status),
         ?assertNotEqual("124", Status),
         ?assert(length(string:split(Output, "\n", all)) >= 2)
     end || Redirect <- ["< /dev/null", "<&-", "< /etc/passwd", "<&- >&-", "--help < /dev/null",
                         "a b c < /dev/null"]].

%% ---------------------------------------------------------------------------
%% Ownership
%% ---------------------------------------------------------------------------

owner_death_stops_drv(_Config) ->
    [begin
         Owner = actor(),
         Drv = act(Owner, fun() -> alcove_test:start() end),
         Path = alcove_test:run(Drv, [], ["sleep", "1000"]),
         Root = alcove:getpid(Drv),
         End(Owner),
         _ = end_of(Drv),
         ?assert(alcove_test:until(fun() -> not alcove_test:alive(Root)
                                                andalso not alcove_test:alive(lists:last(Path))
                                   end)),
         alcove_test:badpid(fun() -> alcove:getpid(Drv) end),
         alcove_test:badpid(fun() -> alcove:stdin(Drv, Path, "x") end)
     end || End <- [fun(Owner) -> Owner ! stop end, fun(Owner) -> exit(Owner, kill) end]].

%% The streams of all paths go to the owner that was named.
owner_option(_Config) ->
    Owner = actor(),
    {ok, Drv} = alcove_drv:start([{owner, Owner}]),
    Path = alcove_test:shell(Drv, [], "echo hello; exec cat"),
    <<"hello\n">> = act(Owner, fun() -> alcove:stdout(Drv, Path) end),
    false = alcove:stdout(Drv, Path, 0),
    %% Replies come to the caller.
    true = is_integer(alcove:getpid(Drv)),
    Owner ! stop,
    _ = end_of(Drv),
    %% By its name.
    Named = actor(),
    true = register(alcove_drv_owner, Named),
    {ok, Second} = alcove_drv:start([{owner, alcove_drv_owner}]),
    Hello = alcove_test:shell(Second, [], "echo hello; exec cat"),
    <<"hello\n">> = act(Named, fun() -> alcove:stdout(Second, Hello) end),
    Named ! stop,
    _ = end_of(Second),
    {error, {noproc, alcove_drv_owner}} = alcove_drv:start([{owner, alcove_drv_owner}]),
    Ended = spawn(fun() -> ok end),
    _ = end_of(Ended),
    {error, {noproc, Ended}} = alcove_drv:start([{owner, Ended}]).

controlling_process(_Config) ->
    Drv = alcove_test:start(),
    Other = actor(),
    Given = alcove_test:fork(Drv, []),
    Before = alcove_test:fork(Drv, Given),
    Kept = alcove_test:fork(Drv, []),
    ok = alcove_drv:controlling_process(Drv, Given, Other),
    Later = alcove_test:fork(Drv, Given),
    LaterStill = alcove_test:fork(Drv, Later),
    Write = fun(Path) -> {ok, 2} = alcove:write(Drv, Path, 1, "x\n") end,
    %% The path, and what is forked below it from then on.
    [begin
         _ = Write(Path),
         <<"x\n">> = act(Other, fun() -> alcove:stdout(Drv, Path) end),
         {ok, 2} = alcove:write(Drv, Path, 2, "e\n"),
         <<"e\n">> = act(Other, fun() -> alcove:stderr(Drv, Path) end),
         ok = alcove:sigaction(Drv, Path, sigusr1, trap),
         ok = alcove:kill(Drv, lists:last(Path), sigusr1),
         {signal, sigusr1} = act(Other, fun() -> alcove:event(Drv, Path) end)
     end || Path <- [Given, Later, LaterStill]],
    [begin
         _ = Write(Path),
         <<"x\n">> = alcove:stdout(Drv, Path)
     end || Path <- [Kept, Before]],
    %% It is whose the path is that gets a child's end.
    true = alcove:setopt(Drv, Later, exit_status, 1),
    ok = alcove:exit(Drv, LaterStill, 4),
    {exit_status, 4} = act(Other, fun() -> alcove:event(Drv, LaterStill) end),
    %% Back.
    ok = alcove_drv:controlling_process(Drv, Given, self()),
    _ = Write(Given),
    <<"x\n">> = alcove:stdout(Drv, Given),
    %% Nothing of all this came to anyone else.
    receive Message -> ct:fail({message, Message}) after 0 -> ok end,
    Other ! stop,
    %% Another process than the owner may give it as well.
    Third = actor(),
    ok = act(Third, fun() -> alcove_drv:controlling_process(Drv, Kept, self()) end),
    _ = Write(Kept),
    <<"x\n">> = act(Third, fun() -> alcove:stdout(Drv, Kept) end),
    Third ! stop.

path_owner_death(_Config) ->
    Drv = alcove_test:start(),
    Path = alcove_test:fork(Drv, []),
    Owner = actor(),
    ok = alcove_drv:controlling_process(Drv, Path, Owner),
    Below = alcove_test:fork(Drv, Path),
    Owner ! stop,
    _ = end_of(Owner),
    %% The Drv lives, and the paths are its owner's again.
    [begin
         ?assert(alcove_test:until(fun() ->
                                           {ok, 1} = alcove:write(Drv, P, 1, "x"),
                                           alcove:stdout(Drv, P, 20) =/= false
                                   end))
     end || P <- [Path, Below]],
    %% Given to a process that is gone already: the same.
    ok = alcove_drv:controlling_process(Drv, Path, Owner),
    ?assert(alcove_test:until(fun() ->
                                      {ok, 1} = alcove:write(Drv, Path, 1, "x"),
                                      alcove:stdout(Drv, Path, 20) =/= false
                              end)).

calls_from_any_process(_Config) ->
    Drv = alcove_test:start(),
    Path = [Pid] = alcove_test:fork(Drv, []),
    Actors = [actor() || _ <- lists:seq(1, 10)],
    [Pid = act(Actor, fun() -> alcove:getpid(Drv, Path) end) || Actor <- Actors],
    [alcove_test:badarg(fun() -> act_raises(Actor, fun() -> alcove:chdir(Drv, Path, a) end) end)
     || Actor <- Actors],
    %% A caller that is killed while it waits disturbs nobody.
    Waiting = actor(),
    Waiting ! {self(), make_ref(), fun() -> alcove:select(Drv, Path, [0], [], [], <<>>) end},
    exit(Waiting, kill),
    true = alcove:stdin(Drv, Path, "x"),
    Pid = alcove:getpid(Drv, Path),
    [Actor ! stop || Actor <- Actors].

%% What a caller holds between its call and the wait for the reply.
tickets(_Config) ->
    Drv = alcove_test:start(),
    Await = fun(Ticket) ->
                    Ref = make_ref(),
                    ok = alcove_nif:await(Ticket, Ref),
                    receive {Ref, Outcome} -> Outcome after alcove_test:ms(10000) -> error(timeout) end
            end,
    Poll = fun(Ms) ->
                   Ticket = alcove_nif:call(Drv, [], poll, [[], Ms]),
                   ?assert(is_reference(Ticket), Ticket),
                   Ticket
           end,
    Answered = fun() -> true = alcove_test:until(fun() -> maps:get(pending, alcove_drv:info(Drv)) =:= 0 end) end,
    %% The reply comes after the wait began, and before.
    {ok, []} = Await(Poll(20)),
    Early = Poll(20),
    Answered(),
    false = alcove_nif:cancel(Early),
    {ok, []} = Await(Early),
    %% Nothing comes twice.
    ok = alcove_nif:await(Early, make_ref()),
    false = alcove_nif:cancel(Early),
    %% Given up before there is a reply, and before the wait began.
    [begin
         Given = Poll(1000),
         [ok = alcove_nif:await(Given, make_ref()) || Waits],
         true = alcove_nif:cancel(Given),
         receive {alcove_call, Drv, [], {ok, []}} -> ok after alcove_test:ms(10000) -> error(timeout) end
     end || Waits <- [false, true]],
    %% A caller that dies meanwhile.
    {Dies, Ref} = spawn_monitor(fun() -> _ = Poll(20) end),
    receive {'DOWN', Ref, process, Dies, normal} -> ok end,
    Answered(),
    %% The Drv ends.
    Last = Poll(10000),
    ok = alcove_drv:stop(Drv),
    '$badpid' = Await(Last),
    [?assertError(badarg, Function(Wrong))
     || Wrong <- [make_ref(), 1, self()],
        Function <- [fun alcove_nif:cancel/1, fun(Term) -> alcove_nif:await(Term, make_ref()) end]],
    receive Unexpected -> error({unexpected, Unexpected}) after 0 -> ok end.

act_raises(Actor, Fun) ->
    case act(Actor, fun() -> try {value, Fun()} catch error:Reason -> {error, Reason} end end) of
        {value, Value} -> Value;
        {error, Reason} -> error(Reason)
    end.

wrong_owners(_Config) ->
    Drv = alcove_test:start(),
    [alcove_test:badarg(fun() -> alcove_drv:controlling_process(Drv, Path, Pid) end)
     || {Path, Pid} <- [{[], a}, {[], 1}, {a, self()}, {[a], self()}, {[1 bsl 32], self()}, {[-1], self()},
                        {[], of_an_earlier_node(self())}]],
    alcove_test:badarg(fun() -> alcove_drv:controlling_process(a, [], self()) end),
    ?assertError({badarg, {in, _}}, alcove_proc:run(Drv, ["true"], #{in => [1 bsl 32]})),
    {error, {noproc, _}} = alcove_drv:start([{owner, of_an_earlier_node(self())}]),
    alcove_test:badpid(fun() -> alcove_drv:controlling_process(Drv, [1], self()) end),
    alcove_test:badpid(fun() -> alcove_drv:controlling_process(Drv, [16#ffffffff], self()) end),
    %% Who was refused is no owner, and is not watched.
    Other = actor(),
    alcove_test:badpid(fun() -> alcove_drv:controlling_process(Drv, [1], Other) end),
    #{owners := []} = alcove_drv:info(Drv),
    {monitored_by, []} = process_info(Other, monitored_by),
    Other ! stop,
    {ok, _} = alcove:getcwd(Drv).

%% The pid that a process would have had in an earlier run of this node.
of_an_earlier_node(Pid) ->
    Bytes = term_to_binary(Pid),
    Size = byte_size(Bytes) - 4,
    <<Name:Size/binary, Creation:32>> = Bytes,
    Earlier = binary_to_term(<<Name/binary, (Creation + 1):32>>),
    true = node(Earlier) =:= node() andalso Earlier =/= Pid,
    Earlier.

%% ---------------------------------------------------------------------------
%% Stopping
%% ---------------------------------------------------------------------------

supervisor_restarts(_Config) ->
    Owner = self(),
    {ok, Supervisor} = supervisor:start_link(?MODULE, [{exit_status, true}, {owner, Owner}]),
    Child = fun() ->
                    case supervisor:which_children(Supervisor) of
                        [{_, Drv, worker, _}] when is_pid(Drv) -> Drv;
                        _ -> none
                    end
            end,
    Another = fun(Than) ->
                      true = alcove_test:until(fun() -> not lists:member(Child(), [none, Than]) end),
                      Child()
              end,
    A = Child(),
    1 = alcove:getopt(A, exit_status),
    %% The gen_server, root, the guardian above it: whatever dies, there is a new one that works.
    exit(A, kill),
    B = Another(A),
    Root = alcove:getpid(B),
    alcove_test:signal(Root, "KILL"),
    C = Another(B),
    alcove_test:signal(alcove_test:parent(alcove:getpid(C)), "KILL"),
    D = Another(C),
    Path = alcove_test:shell(D, [], "exit 3"),
    ok = alcove_test:event(D, Path, {exit_status, 3}),
    ?assertNot(alcove_test:alive(Root)),
    %% And when the supervisor goes, it goes.
    unlink(Supervisor),
    exit(Supervisor, shutdown),
    _ = end_of(Supervisor),
    ?assertNot(is_process_alive(D)).

%% The supervisor's.
init(Options) ->
    {ok, {#{strategy => one_for_one, intensity => 10, period => 10}, [alcove_drv:child_spec(Options)]}}.

start_link(_Config) ->
    process_flag(trap_exit, true),
    [begin
         {ok, Drv} = Start(),
         ?assert(lists:member(Drv, element(2, process_info(self(), links)))),
         true = is_integer(alcove:getpid(Drv)),
         exit(Drv, kill),
         receive {'EXIT', Drv, killed} -> ok after alcove_test:ms(5000) -> ct:fail(no_exit) end
     end || Start <- [fun() -> alcove_drv:start_link() end,
                      fun() -> alcove_drv:start_link([{exit_status, true}]) end]],
    %% For somebody else.
    Other = actor(),
    {ok, Theirs} = alcove_drv:start_link(Other, [{exit_status, true}]),
    Path = alcove_test:shell(Theirs, [], "exit 3"),
    {exit_status, 3} = act(Other, fun() -> alcove:event(Theirs, Path) end),
    [?assertError(badarg, alcove_drv:start_link(Bad, [])) || Bad <- [1, "a", undefined]],
    {error, {noproc, no_such_name}} = alcove_drv:start_link(no_such_name, []),
    %% An orderly end is no failure for who is linked.
    ok = alcove_drv:stop(Theirs),
    receive {'EXIT', Theirs, normal} -> ok after alcove_test:ms(5000) -> ct:fail(no_exit) end,
    Other ! stop,
    %% Whoever is linked takes it along, and it what it runs.
    Owner = actor(),
    Linked = act(Owner, fun() -> {ok, Drv} = alcove_drv:start_link(), Drv end),
    exit(Owner, shutdown),
    _ = end_of(Linked).

stop_leaves_nothing(_Config) ->
    Drv = alcove_test:start(),
    Root = alcove:getpid(Drv),
    Scripts = ["sleep 1000", "exec setsid sleep 1000", "(setsid sleep 1000 &) ; exec sleep 1000",
               "trap '' TERM HUP; sleep 1000 & wait", "kill -STOP $$", "sleep 1000 & exit 0"],
    Deep = alcove_test:chain(Drv, [], 8),
    [alcove_test:shell(Drv, Path, Script) || Path <- [[], Deep], Script <- Scripts, _ <- [1, 2, 3, 4]],
    ?assert(alcove_test:until(fun() -> length(alcove_test:descendants()) > 50 end)),
    Pids = alcove_test:descendants(Root),
    Start = erlang:monotonic_time(millisecond),
    ok = alcove_drv:stop(Drv),
    _ = end_of(Drv),
    ?assert(alcove_test:until(fun() -> not lists:any(fun alcove_test:alive/1, [Root | Pids]) end, alcove_test:ms(1000))),
    ?assert(erlang:monotonic_time(millisecond) - Start < alcove_test:ms(2000)).

%% Whoever waits for an answer learns at once that there will be none.
stop_during_calls(_Config) ->
    Drv = alcove_test:start(),
    Paths = [alcove_test:fork(Drv, []) || _ <- lists:seq(1, 10)],
    Self = self(),
    Callers = [spawn_link(fun() ->
                                  alcove_test:badpid(fun() -> alcove:select(Drv, Path, [0], [], [], <<>>) end),
                                  Self ! {done, self()}
                          end) || Path <- [[] | Paths]],
    %% They are in the call when their process is.
    ?assert(alcove_test:until(fun() -> lists:all(fun(P) -> waits_in_select(lists:last(P)) end, Paths) end)),
    ok = alcove_drv:stop(Drv),
    [receive {done, Caller} -> ok after alcove_test:ms(5000) -> ct:fail(hangs) end || Caller <- Callers].

waits_in_select(Pid) ->
    case file:read_file(lists:concat(["/proc/", Pid, "/wchan"])) of
        {ok, Wchan} -> binary:match(Wchan, [<<"poll">>, <<"select">>]) =/= nomatch orelse Wchan =:= <<"0">>;
        {error, _} -> false
    end.

stop_twice(_Config) ->
    Drv = alcove_test:start(),
    ok = alcove_drv:stop(Drv),
    ?assertNot(is_process_alive(Drv)),
    ok = alcove_drv:stop(Drv),
    %% Two at once.
    Two = alcove_test:start(),
    Stoppers = [actor(), actor()],
    [Stopper ! {self(), make_ref(), fun() -> alcove_drv:stop(Two) end}
     || Stopper <- Stoppers],
    _ = end_of(Two),
    [Stopper ! stop || Stopper <- Stoppers].

%% What a supervisor sees tells whether it was meant.
stop_reasons(_Config) ->
    A = alcove_test:start(),
    RefA = monitor(process, A),
    ok = alcove_drv:stop(A),
    receive {'DOWN', RefA, process, A, ReasonA} -> ?assertEqual(normal, ReasonA) end,
    B = alcove_test:start(),
    RefB = monitor(process, B),
    ok = alcove:exit(B, 3),
    receive {'DOWN', RefB, process, B, ReasonB} -> ?assertMatch({exit_status, 3}, cause(ReasonB)) end,
    C = alcove_test:start(),
    RefC = monitor(process, C),
    alcove_test:signal(alcove:getpid(C), "KILL"),
    receive {'DOWN', RefC, process, C, ReasonC} -> ?assertMatch({termsig, sigkill}, cause(ReasonC)) end.

cause({shutdown, Cause}) -> Cause;
cause(Cause) -> Cause.

%% Each figure, by what changes it.
info(_Config) ->
    Drv = alcove_test:start(),
    Info = fun(Name) -> maps:get(Name, alcove_drv:info(Drv)) end,
    More = fun(Name, Fun) ->
                   Before = Info(Name),
                   Result = Fun(),
                   {Result, Info(Name) - Before}
           end,
    ?assertEqual(alcove:getpid(Drv), Info(os_pid)),
    ?assertEqual({self(), []}, {Info(owner), Info(owners)}),
    ?assertEqual([event_loop_killed, both_killed], Info(survivors)),
    ?assertEqual({1, 0}, {Info(processes), Info(forks)}),
    %% A batch is a call, and so is a spawn; what is refused is none.
    {A, 1} = More(calls, fun() -> alcove_test:fork(Drv, []) end),
    {_, 10} = More(calls, fun() -> [alcove:getpid(Drv, A) || _ <- lists:seq(1, 10)] end),
    {{ok, [_, _]}, 1} = More(calls, fun() -> alcove:batch(Drv, A, [{getpid, []}, {getppid, []}]) end),
    {{ok, Cat}, 1} = More(calls, fun() -> alcove:spawn(Drv, A, fork, [{execvp, ["cat", ["cat"]]}]) end),
    {_, 0} = More(calls, fun() -> catch alcove:chdir(Drv, A, not_a_path) end),
    {_, 0} = More(calls, fun() -> catch alcove:getpid(Drv, [1]) end),
    ?assert(Info(inline) =< Info(calls)),
    ?assertEqual({3, 2}, {Info(processes), Info(forks)}),
    Path = A ++ [Cat],
    {_, 5} = More(output_bytes, fun() ->
                                        {_, 5} = More(stdin_bytes, fun() -> alcove:stdin(Drv, Path, "hello") end),
                                        alcove_test:collect(Drv, Path, 5)
                                end),
    %% What waits.
    Queues = fun() -> maps:with([pending, stdin_queued, streams_held, waiting], alcove_drv:info(Drv)) end,
    None = #{pending => 0, stdin_queued => 0, streams_held => 0, waiting => 0},
    ?assertEqual(None, Queues()),
    {Reader, _} = spawn_monitor(fun() -> alcove:read(Drv, A, 0, 1) end),
    true = alcove_test:until(fun() -> Queues() =:= None#{pending := 1} end),
    true = alcove:stdin(Drv, A, "x"),
    receive {'DOWN', _, process, Reader, _} -> ok end,
    ?assertEqual(None, Queues()),
    {ok, Sleep} = alcove:spawn(Drv, [], fork, [{execvp, ["sleep", ["sleep", "1000"]]}]),
    true = alcove:stdin(Drv, [Sleep], binary:copy(<<"x">>, 1000000)),
    #{stdin_queued := Queued} = Queues(),
    ?assert(Queued > 0 andalso Queued < 1000000),
    ok = alcove:kill(Drv, Sleep, sigkill),
    true = alcove_test:until(fun() -> Queues() =:= None end),
    %% An owner that doesn't read.
    Owner = spawn_link(fun() -> receive stop -> ok end end),
    {ok, Yes} = alcove:fork(Drv),
    ok = alcove_drv:controlling_process(Drv, [Yes], Owner),
    ?assertEqual([Owner], Info(owners)),
    ok = alcove:execvp(Drv, [Yes], "yes", ["yes"]),
    true = alcove_test:until(fun() -> Queues() =:= None#{streams_held := 1, waiting := 1} end),
    ?assert(Info(held) > 0),
    Owner ! stop,
    true = alcove_test:until(fun() -> Info(owners) =:= [] end),
    %% What can't be written isn't counted.
    ok = alcove:close(Drv, A, 0),
    {{error, epipe}, 0} = More(stdin_bytes, fun() -> alcove:stdin(Drv, A, "x") end),
    {status, Drv, _, [_, _, _, _, Status]} = sys:get_status(Drv),
    Shown = lists:flatten(io_lib:format("~p", [Status])),
    [?assertNotEqual(nomatch, string:find(Shown, Name)) || Name <- ["os_pid", "owner", "calls", "processes", "pending"]],
    alcove_test:stop(Drv).

a_hundred_drivers(_Config) ->
    alcove_test:need(
      [{nofile, 2048}],
      fun() ->
              Drivers = [alcove_test:start() || _ <- lists:seq(1, 100)],
              Roots = [alcove:getpid(Drv) || Drv <- Drivers],
              ?assertEqual(100, length(lists:usort(Roots))),
              Paths = [{Drv, alcove_test:fork(Drv, [])} || Drv <- Drivers],
              [true = is_integer(alcove:getpid(Drv, Path)) || {Drv, Path} <- Paths],
              [exit(Drv, kill) || Drv <- Drivers],
              ?assert(alcove_test:until(fun() -> not lists:any(fun alcove_test:alive/1, Roots) end))
      end).

%% A name is as good as a pid, everywhere; messages have the pid.
registered_names(_Config) ->
    Names = fun(Name) -> [Name, {Name, node()}, {global, Name}, {via, global, Name}] end,
    Drv = alcove_test:start([{name, alcove_test_named}, {exit_status, true}]),
    yes = global:register_name(alcove_test_named, Drv),
    [
        begin
            #{os_pid := OsPid} = alcove_drv:info(Name),
            ?assertEqual(OsPid, alcove:getpid(Name)),
            ?assertEqual(OsPid, alcove:getpid(Name, [])),
            {ok, Pid} = alcove:spawn(Name, [], fork, []),
            ok = alcove_drv:controlling_process(Name, [Pid], self()),
            ?assertMatch({ok, [_]}, alcove:batch(Name, [Pid], [{getpid, []}])),
            ok = alcove:execvp(Name, [Pid], "cat", ["cat"]),
            true = alcove:stdin(Name, [Pid], "abc"),
            ?assertEqual(<<"abc">>, alcove:stdout(Name, [Pid])),
            ok = alcove:eof(Name, [Pid]),
            ?assertEqual({exit_status, 0}, alcove:event(Name, [Pid])),
            ?assertEqual(2, alcove:signal_define(Name, sigint)),
            ?assertMatch(#{pid := OsPid}, alcove:tree(Name)),
            ?assertEqual(ok, alcove:i(Name)),
            ?assertMatch({ok, #{stdout := <<"x\n">>}}, alcove_proc:run(Name, ["echo", "x"])),
            ?assertMatch({ok, _}, alcove_cgroup:mounts(Name, [])),
            ?assertExit(timeout, alcove:call(Name, [], select, [[], [], [], {alcove_timeval, 1, 0}], 1)),
            receive {alcove_call, Drv, [], {ok, [], [], []}} -> ok end
        end
     || Name <- Names(alcove_test_named)
    ],
    ok = alcove_drv:stop(alcove_test_named),
    ?assertNot(is_process_alive(Drv)),
    %% Nobody has the name any more.
    [
        alcove_test:badarg(fun() -> Function(Name) end)
     || Name <- Names(alcove_test_named),
        Function <- [
            fun alcove:getpid/1, fun alcove:stdout/1, fun alcove:i/1, fun alcove_drv:info/1, fun alcove_drv:stop/1
        ]
    ].

%% Processes that are no Drv, whatever they do with messages: nobody waits for them.
no_drv(_Config) ->
    Deaf = spawn(fun() -> receive stop -> ok end end),
    Suspended = spawn(fun Loop() -> Loop() end),
    true = erlang:suspend_process(Suspended),
    Ended = spawn(fun() -> ok end),
    [
        begin
            alcove_test:badpid(fun() -> alcove:getpid(Pid) end),
            alcove_test:badpid(fun() -> alcove:stdin(Pid, [], "x") end),
            alcove_test:badpid(fun() -> alcove_drv:info(Pid) end),
            alcove_test:badpid(fun() -> alcove_drv:controlling_process(Pid, [], self()) end),
            ?assertEqual({error, gone}, alcove:tree(Pid)),
            ?assertEqual({error, gone}, alcove:i(Pid)),
            ?assertEqual({error, {drv, noproc}}, alcove_proc:run(Pid, ["true"], #{timeout => 500})),
            ?assertEqual({error, {drv, noproc}}, alcove_proc:start(Pid, ["true"]))
        end
     || Pid <- [self(), whereis(init), Deaf, Suspended, Ended]
    ],
    [alcove_test:badarg(fun() -> alcove_drv:stop(Pid) end) || Pid <- [self(), whereis(init), Deaf, Suspended]],
    ?assert(is_process_alive(Deaf)),
    ok = alcove_drv:stop(Ended),
    [alcove_test:badarg(fun() -> Function(What) end)
     || Function <- [fun alcove:getpid/1, fun alcove:i/1, fun alcove:tree/1, fun alcove_drv:stop/1, fun alcove_drv:info/1],
        What <- ["drv", 1, undefined, {a, b, c}, #{}]],
    exit(Suspended, kill),
    Deaf ! stop.

%% A program of the same user may stop alcove's own processes, again and again, and gets round
%% nothing by that.
stop_of_what_is_stopped(_Config) ->
    Drv = alcove_test:start(),
    Path = alcove_test:fork(Drv, []),
    Root = alcove:getpid(Drv),
    Guardian = alcove_test:parent(Root),
    Script = lists:concat(["trap '' TERM; while :; do kill -STOP ", Guardian, " ", Root, "; sleep 0.01; done"]),
    {ok, _} = alcove:spawn(Drv, Path, fork, [{execvp, ["sh", ["sh", "-c", Script]]}]),
    true = alcove_test:until(fun() -> alcove_test:state(Guardian) =:= $T end),
    Below = alcove_test:descendants(Guardian),
    ?assertEqual(ok, alcove_drv:stop(Drv)),
    ?assertEqual([], [Pid || Pid <- [Guardian | Below], alcove_test:alive(Pid)]).

%% What is frozen can't be killed: nobody says that it is gone.
stop_tells_what_is_left(_Config) ->
    Other = alcove_test:start(),
    Name = lists:concat(["alcove-frozen-", os:getpid()]),
    case alcove_cgroup:supported(Other, [], freezer) andalso alcove_cgroup:create(Other, [], Name) of
        ok ->
            Drv = alcove_test:start(),
            Guardian = alcove_test:parent(alcove:getpid(Drv)),
            {ok, Pid} = alcove:spawn(Drv, [], fork, [{execvp, ["sleep", ["sleep", "1000"]]}]),
            {ok, _} = alcove_cgroup:set(Other, [], freezer, Name, "tasks", integer_to_list(Pid)),
            {ok, _} = alcove_cgroup:set(Other, [], freezer, Name, "freezer.state", "FROZEN"),
            true = alcove_test:until(fun() ->
                alcove_cgroup:get(Other, [], freezer, Name, "freezer.state") =:= {ok, <<"FROZEN\n">>}
            end),
            %% Nobody who asks is told otherwise.
            Self = self(),
            Askers = [spawn_link(fun() -> Self ! {self(), alcove_drv:stop(Drv)} end) || _ <- [1, 2, 3]],
            [{error, {leftovers, Left}}] = lists:usort([receive {Asker, Answer} -> Answer end || Asker <- Askers]),
            ?assert(lists:member(Guardian, Left), {Guardian, Left}),
            ?assert(alcove_test:alive(Pid)),
            {ok, _} = alcove_cgroup:set(Other, [], freezer, Name, "freezer.state", "THAWED"),
            ?assert(alcove_test:until(fun() -> not lists:any(fun alcove_test:alive/1, [Pid | Left]) end)),
            ok = alcove_cgroup:destroy(Other, [], Name),
            alcove_test:stop(Other);
        Not ->
            alcove_test:stop(Other),
            alcove_test:skip(lists:flatten(io_lib:format("needs the freezer of version 1: ~0p", [Not])))
    end.

%% ---------------------------------------------------------------------------
%% The Drv of the application
%% ---------------------------------------------------------------------------

default_is_started_when_asked_for(_Config) ->
    ?assertEqual({error, {not_started, alcove}}, alcove_drv:default()),
    Before = alcove_test:descendants(),
    {ok, _} = application:ensure_all_started(alcove),
    ?assertEqual(Before, alcove_test:descendants()),
    %% Many ask at once, and there is one.
    Parent = self(),
    Askers = [spawn_link(fun() -> Parent ! {self(), alcove_drv:default()} end) || _ <- lists:seq(1, 50)],
    [{ok, Drv}] = lists:usort([receive {Asker, Answer} -> Answer end || Asker <- Askers]),
    ?assertMatch({ok, #{stdout := <<"x\n">>}}, alcove_proc:run(Drv, ["echo", "x"])),
    OsPid = alcove:getpid(Drv),
    ?assert(alcove_test:alive(OsPid)),
    ok = application:stop(alcove),
    ?assertNot(is_process_alive(Drv)),
    ?assertNot(alcove_test:alive(OsPid)),
    ?assertEqual({error, {not_started, alcove}}, alcove_drv:default()).

%% Who runs a program needs none of its own.
default_runs_programs(_Config) ->
    ?assertEqual({error, {drv, {not_started, alcove}}}, alcove_proc:run(["true"])),
    ?assertEqual({error, {drv, {not_started, alcove}}}, alcove_proc:start(["cat"])),
    {ok, _} = application:ensure_all_started(alcove),
    ?assertMatch({ok, #{stdout := <<"x\n">>}}, alcove_proc:run(["echo", "x"])),
    ?assertMatch({ok, #{stdout := <<"in">>}}, alcove_proc:run(["cat"], #{stdin => "in"})),
    [
        begin
            {ok, Proc} = Start(),
            ok = alcove_proc:write(Proc, "x"),
            ok = alcove_proc:eof(Proc),
            ?assertMatch({ok, #{status := 0}}, alcove_proc:await(Proc))
        end
     || Start <- [
            fun() -> alcove_proc:start(["cat"]) end,
            fun() -> alcove_proc:start(["cat"], [{timeout, 5000}]) end,
            fun() -> alcove_proc:start_link(["cat"]) end,
            fun() -> alcove_proc:start_link(["cat"], #{}) end
        ]
    ],
    [
        ?assertError({badarg, Wrong}, Run())
     || {Wrong, Run} <- [
            {{timeout, a}, fun() -> alcove_proc:run(["true"], #{timeout => a}) end},
            {{nonsense, 1}, fun() -> alcove_proc:start(["true"], #{nonsense => 1}) end}
        ]
    ],
    ?assertError({badarg, {argv, _}}, alcove_proc:run("ls -l")),
    ?assertError({badarg, {argv, _}}, alcove_proc:run([], #{})).

%% However it ends, who asks next has a new one.
default_is_followed(_Config) ->
    {ok, _} = application:ensure_all_started(alcove),
    End = fun(Do) ->
        {ok, Drv} = alcove_drv:default(),
        Ref = monitor(process, Drv),
        Do(Drv),
        {ok, Next} = alcove_drv:default(),
        ?assertNotEqual(Drv, Next),
        ?assertMatch({ok, #{status := 0}}, alcove_proc:run(Next, ["true"])),
        receive {'DOWN', Ref, process, Drv, _} -> ok end
    end,
    End(fun alcove_drv:stop/1),
    End(fun(Drv) -> exit(Drv, kill), true = alcove_test:until(fun() -> not is_process_alive(Drv) end) end),
    End(fun(Drv) ->
        alcove_test:signal(alcove:getpid(Drv), "KILL"),
        true = alcove_test:until(fun() -> not is_process_alive(Drv) end)
    end),
    %% Nor does its end take the application down.
    ?assertMatch({alcove, _, _}, lists:keyfind(alcove, 1, application:which_applications())).

default_options(_Config) ->
    Start = fun(Options) ->
        _ = application:stop(alcove),
        ok = application:set_env(alcove, drv, Options),
        {ok, _} = application:ensure_all_started(alcove),
        alcove_drv:default()
    end,
    {ok, Drv} = Start([{name, alcove_test_default}, {maxforkdepth, 3}]),
    ?assertEqual(Drv, whereis(alcove_test_default)),
    ?assertEqual(3, alcove:getopt(Drv, maxforkdepth)),
    {ok, Other} = Start(#{maxforkdepth => 4}),
    ?assertEqual(4, alcove:getopt(Other, maxforkdepth)),
    %% What is wrong is told to who asks, and the application goes on.
    ?assertEqual({error, {badarg, {nonsense, 1}}}, Start([{nonsense, 1}])),
    ?assertEqual({error, enoent}, Start([{progname, "/nowhere"}])),
    ok = application:unset_env(alcove, drv),
    ?assertMatch({ok, _}, alcove_drv:default()).

%% What comes of processes that nobody else owns is dropped, and reaches nobody's mailbox.
default_has_an_owner(_Config) ->
    {ok, _} = application:ensure_all_started(alcove),
    {ok, Drv} = alcove_drv:default(),
    Owner = maps:get(owner, alcove_drv:info(Drv)),
    ?assertEqual(whereis(alcove_default), Owner),
    {ok, Pid} = alcove:spawn(Drv, [], fork, [{execvp, ["yes", ["yes"]]}]),
    ?assert(alcove_test:until(fun() -> maps:get(output_bytes, alcove_drv:info(Drv)) > 10000000 end)),
    ok = alcove:kill(Drv, Pid, sigkill),
    ?assert(alcove_test:until(fun() -> process_info(Owner, message_queue_len) =:= {message_queue_len, 0} end)).

%% ---------------------------------------------------------------------------
%% Other nodes
%% ---------------------------------------------------------------------------

%% Evaluates a fun with two nodes, and a Drv that lives on the first.
with_nodes(Fun) ->
    alcove_test:nodes(
      fun(A, B) ->
              Fun(A, B, alcove_test:in_peer(A, fun() -> alcove_test:hold([]) end))
      end).

remote_calls(_Config) ->
    with_nodes(
      fun(A, B, Drv) ->
              Root = alcove_test:in_peer(A, fun() -> alcove:getpid(Drv) end),
              Root = alcove_test:in_peer(B, fun() -> alcove:getpid(Drv) end),
              {[Pid], Pid} = alcove_test:in_peer(
                               B, fun() ->
                                          Path = alcove_test:fork(Drv, []),
                                          ok = alcove:chdir(Drv, Path, "/"),
                                          {ok, <<"/">>} = alcove:getcwd(Drv, Path),
                                          {error, enoent} = alcove:chdir(Drv, Path, "/nonexistent"),
                                          {ok, [ok, {ok, <<"/">>}]} =
                                              alcove:batch(Drv, Path, [{chdir, ["/"]}, {getcwd, []}]),
                                          {ok, Spawned} = alcove:spawn(Drv, Path, fork, [{chdir, ["/"]}]),
                                          Spawned = alcove:getpid(Drv, Path ++ [Spawned]),
                                          true = alcove:setopt(Drv, Path, exit_status, 1),
                                          16#04000000 = alcove:define(Drv, clone_newuts),
                                          {ok, <<"1">>} = {ok, alcove_test_env(Drv, Path)},
                                          Cat = alcove_test:run(Drv, Path, ["cat"]),
                                          true = alcove:stdin(Drv, Cat, "x"),
                                          ok = alcove:eof(Drv, Cat),
                                          Large = binary:copy(<<"v">>, 1048576),
                                          ok = alcove:setenv(Drv, Path, "LARGE", Large, 1),
                                          Large = alcove:getenv(Drv, Path, "LARGE"),
                                          {Path, alcove:getpid(Drv, Path)}
                                  end)
      end).

alcove_test_env(Drv, Path) ->
    ok = alcove:setenv(Drv, Path, "A", "1", 1),
    alcove:getenv(Drv, Path, "A").

remote_exceptions(_Config) ->
    with_nodes(
      fun(A, B, Drv) ->
              ok = alcove_test:in_peer(
                     B,
                     fun() ->
                             Path = alcove_test:fork(Drv, []),
                             alcove_test:badarg(fun() -> alcove:chdir(Drv, Path, a) end),
                             alcove_test:badarg(fun() -> alcove:chdir(Drv, a, "/") end),
                             alcove_test:badarg(fun() -> alcove:call(Drv, Path, no_such_call, []) end),
                             alcove_test:badpid(fun() -> alcove:chdir(Drv, [1], "/") end),
                             true = is_integer(alcove:getpid(Drv, Path)),
                             %% The process goes away during the call.
                             spawn(fun() -> alcove:kill(Drv, lists:last(Path), sigkill) end),
                             alcove_test:badpid(fun() -> alcove:select(Drv, Path, [0], [], [], <<>>) end),
                             ok
                     end),
              %% The whole node goes away.
              Caller = alcove_test:in_peer(
                         B, fun() ->
                                    Self = self(),
                                    Waiter = spawn(fun() ->
                                                           Self ! waiting,
                                                           Outcome = try alcove:select(Drv, [0], [], [], <<>>)
                                                                     catch Class:Reason -> {Class, Reason} end,
                                                           receive {From, outcome} -> From ! {outcome, Outcome} end
                                                   end),
                                    receive waiting -> Waiter end
                            end),
              NodeA = node(Drv),
              alcove_test:stop_peer(A),
              {exit, {nodedown, NodeA}} = alcove_test:in_peer(
                                  B, fun() ->
                                             Caller ! {self(), outcome},
                                             receive {outcome, Outcome} -> Outcome
                                             after alcove_test:ms(10000) -> hangs end
                                     end)
      end).

remote_timeout(_Config) ->
    with_nodes(
      fun(_A, B, Drv) ->
              ok = alcove_test:in_peer(
                     B,
                     fun() ->
                             Path = alcove_test:fork(Drv, []),
                             Select = [[], [], [], #alcove_timeval{sec = 2, usec = 0}],
                             timeout = try alcove:call(Drv, Path, select, Select, 50)
                                       catch exit:Reason -> Reason end,
                             receive {alcove_call, Drv, Path, {ok, [], [], []}} -> ok
                             after alcove_test:ms(5000) -> error(no_late_reply) end,
                             %% So it is where no time was left for the call to begin.
                             [timeout = try alcove:call(Drv, Path, getpid, [], 0) catch exit:None -> None end
                              || _ <- lists:seq(1, 20)],
                             [receive {alcove_call, Drv, Path, Pid} -> Pid = lists:last(Path)
                              after alcove_test:ms(5000) -> error({no_late_reply, N}) end
                              || N <- lists:seq(1, 20)],
                             %% It answered nothing but the call it was for.
                             true = is_integer(alcove:getpid(Drv, Path)),
                             ok
                     end)
      end).

remote_streams(_Config) ->
    with_nodes(
      fun(_A, B, Drv) ->
              Size = alcove_test:in_peer(
                       B,
                       fun() ->
                               Path = alcove_test:fork(Drv, []),
                               ok = alcove_drv:controlling_process(Drv, Path, self()),
                               true = alcove:setopt(Drv, Path, exit_status, 1),
                               Seq = alcove_test:run(Drv, Path, ["seq", "1", "1000000"]),
                               {Output, {exit_status, 0}} = alcove_test:output(Drv, Seq),
                               <<"1\n2\n3\n", _/binary>> = Output,
                               <<"1000000\n">> = binary:part(Output, byte_size(Output), -8),
                               byte_size(Output)
                       end),
              ?assertEqual(6888896, Size)
      end).

remote_owner_death(_Config) ->
    with_nodes(
      fun(A, B, Drv) ->
              %% A path's owner dies: the path is the Drv's owner's again, the Drv goes on.
              Path = alcove_test:in_peer(A, fun() -> alcove_test:fork(Drv, []) end),
              ok = alcove_test:in_peer(
                     B, fun() -> ok = alcove_drv:controlling_process(Drv, Path, self()), ok end),
              true = is_integer(alcove_test:in_peer(A, fun() -> alcove:getpid(Drv, Path) end)),
              %% A Drv whose owner was on a node that goes away stops.
              Owner = alcove_test:in_peer(B, fun() -> spawn(fun() -> receive after infinity -> ok end end) end),
              %% For an owner that is refused no process stands in.
              alcove_test:in_peer(
                A, fun() ->
                           alcove_test:badpid(fun() -> alcove_drv:controlling_process(Drv, [1], Owner) end),
                           Forward = fun(Pid) ->
                                             {alcove_forward, init, 2} =:= proc_lib:translate_initial_call(Pid)
                                     end,
                           true = alcove_test:until(fun() -> not lists:any(Forward, processes()) end)
                   end),
              Owned = alcove_test:in_peer(A, fun() -> alcove_test:start([{owner, Owner}]) end),
              true = alcove_test:in_peer(A, fun() -> is_process_alive(Owned) end),
              alcove_test:stop_peer(B),
              true = alcove_test:in_peer(
                       A, fun() -> alcove_test:until(fun() -> not is_process_alive(Owned) end) end),
              true = alcove_test:in_peer(A, fun() -> is_process_alive(Drv) end)
      end).
