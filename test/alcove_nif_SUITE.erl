%% @doc The library in the virtual machine: it loads or says why not, another one doesn't take
%% its place while it is in use, and it leaves the schedulers free.
-module(alcove_nif_SUITE).

-include_lib("stdlib/include/assert.hrl").
-include("alcove.hrl").

-export([suite/0, all/0, init_per_suite/1, end_per_suite/1, init_per_testcase/2, end_per_testcase/2]).
-export([no_library/1, directories/1, another_library/1, upgrade_of_a_release/1, upgrade_with_another_library/1,
         heavy_calls/1, what_holds_a_scheduler_is_found/1]).
%% called in other virtual machines
-export([start_without/0, start_with/1, start_and_say/0, load_another/1, upgrade/1, refuse/1, weigh/0]).

suite() ->
    [{timetrap, alcove_test:ms(240000)}].

all() ->
    [no_library, directories, another_library, upgrade_of_a_release, upgrade_with_another_library, heavy_calls,
     what_holds_a_scheduler_is_found].

init_per_suite(Config) ->
    alcove_test:init_suite(Config).

end_per_suite(_Config) ->
    ok.

init_per_testcase(_Case, Config) ->
    alcove_test:init_case(Config).

end_per_testcase(_Case, Config) ->
    alcove_test:end_case(Config).

%% ---------------------------------------------------------------------------
%% Loading
%% ---------------------------------------------------------------------------

%% A start says why the library isn't there, and nothing of the environment.
no_library(Config) ->
    [begin
         Dir = subdir(Config, Name),
         Paths = alcove_test:install(Dir),
         Library = filename:join([Dir, "alcove", "priv", "alcove_nif.so"]),
         ok = Spoil(Library),
         Peer = alcove_test:peer(Paths, #{env => [{"SECRET", "hunter2"}]}),
         {Start, Link, Crash} = alcove_test:in_peer(Peer, fun ?MODULE:start_without/0),
         %% Whoever then gives the directory needs no new virtual machine.
         Priv = code:priv_dir(alcove),
         ok = alcove_test:in_peer(Peer, fun() -> ?MODULE:start_with(Priv) end),
         alcove_test:stop_peer(Peer),
         {error, {nif, Text}} = Start,
         ?assertNotEqual(nomatch, string:find(Text, Library)),
         ?assertEqual(Start, Link),
         ?assertEqual({nif, Text}, Crash)
     end || {Name, Spoil} <- [{"missing", fun file:delete/1},
                              {"text", fun(File) -> file:write_file(File, "not a library") end},
                              {"empty", fun(File) -> file:write_file(File, "") end}]].

subdir(Config, Name) ->
    Dir = filename:join(alcove_test:tmp(Config), Name),
    ok = file:make_dir(Dir),
    Dir.

start_without() ->
    Start = alcove_drv:start([]),
    Link = alcove_drv:start_link([]),
    Crash = try alcove_nif:version() catch error:Reason -> Reason end,
    {Start, Link, Crash}.

start_with(Priv) ->
    _ = application:load(alcove),
    ok = application:set_env(alcove, priv_dir, Priv),
    {ok, Drv} = alcove_drv:start([]),
    alcove_drv:stop(Drv).

%% The directory is a string or a binary, in the encoding of file names, and a node starts with any.
directories(Config) ->
    Dir = filename:join(subdir(Config, "d\x{65e5}"), "priv"),
    ok = file:make_symlink(code:priv_dir(alcove), Dir),
    Away = subdir(Config, "away"),
    Absent = alcove_test:install(Away),
    ok = file:delete(filename:join([Away, "alcove", "priv", "alcove_nif.so"])),
    Pa = lists:append([["-pa", Path] || Path <- Absent]),
    Started = fun(Priv, Env) ->
        Set = filename:join(subdir(Config, integer_to_list(erlang:unique_integer([positive]))), "set.config"),
        ok = file:write_file(Set, unicode:characters_to_binary(io_lib:format("%% coding: utf-8~n~tp.~n", [[{alcove, [{priv_dir, Priv}]}]]))),
        Peer = alcove_test:peer(Absent, #{env => Env, args => Pa ++ ["-config", filename:rootname(Set)]}),
        Result = alcove_test:in_peer(Peer, fun ?MODULE:start_and_say/0),
        alcove_test:stop_peer(Peer),
        Result
    end,
    [?assertEqual({Priv, ok}, {Priv, Started(Priv, [{"LC_ALL", "C.UTF-8"}])})
     || Priv <- [Dir, unicode:characters_to_binary(Dir), code:priv_dir(alcove), list_to_binary(code:priv_dir(alcove))]],
    ?assertEqual(ok, Started(unicode:characters_to_binary(Dir), [{"LC_ALL", "C"}])),
    [begin
         {badarg, {priv_dir, Priv}, Text} = Started(Priv, [{"LC_ALL", Locale}]),
         ?assertMatch({match, _}, re:run(Text, "^priv_dir, .* is no path of "))
     end || {Priv, Locale} <- [{42, "C.UTF-8"}, {"", "C.UTF-8"}, {<<0>>, "C.UTF-8"}, {[a], "C.UTF-8"}, {<<"/", 255>>, "C.UTF-8"}, {Dir, "C"}]].

start_and_say() ->
    _ = application:load(alcove),
    try alcove_drv:start([]) of
        {ok, Drv} -> alcove_drv:stop(Drv)
    catch
        error:{badarg, Option} ->
            {nif, Text} = try alcove_nif:version() catch error:Reason -> Reason end,
            Text = lists:flatten(io_lib:format("~ts", [alcove:format_error({badarg, Option})])),
            {badarg, Option, Text}
    end.

%% A library in another place, the same or not, doesn't take the place of one with Drvs. These
%% go on, and without them it does.
another_library(Config) ->
    [begin
         Dir = subdir(Config, Name),
         alcove_test:install(Dir),
         ok = Change(filename:join([Dir, "alcove", "priv", "alcove_nif.so"])),
         Peer = alcove_test:peer(alcove_test:paths(), #{}),
         Self = {?MODULE, load_another},
         Result = peer:call(Peer, element(1, Self), element(2, Self), [filename:join([Dir, "alcove", "ebin"])], alcove_test:ms(30000)),
         alcove_test:stop_peer(Peer),
         ?assertEqual({Name, Expected}, {Name, Result})
     end || {Name, Change, Expected} <-
                [{"same", fun(_) -> ok end, {ok, ok}},
                 %% What is behind the end of an ELF file has no meaning, and makes it another one.
                 {"other", fun(File) -> file:write_file(File, "x", [append]) end, {refused, ok}}]].

load_another(Ebin) ->
    Drv = alcove_test:start([{exit_status, true}]),
    Path = alcove_test:fork(Drv, []),
    Pid = lists:last(Path),
    true = code:add_patha(Ebin),
    Load = fun() ->
                   _ = code:purge(alcove_nif),
                   case code:load_file(alcove_nif) of
                       {module, alcove_nif} -> ok;
                       {error, on_load_failure} -> refused
                   end
           end,
    In_use = Load(),
    %% Calls, output and ends are as before.
    Pid = alcove:getpid(Drv, Path),
    Child = alcove_test:shell(Drv, Path, "echo x; exit 3"),
    {<<"x\n">>, {exit_status, 3}} = alcove_test:output(Drv, Child),
    ok = alcove_test:stop(Drv),
    Free = Load(),
    Second = alcove_test:start(),
    true = is_integer(alcove:getpid(Second)),
    ok = alcove_test:stop(Second),
    {In_use, Free}.

%% A release is upgraded and downgraded again, by the instructions that are built with alcove. A Drv
%% and the default one run, and a process makes calls all the time: none fails.
upgrade_of_a_release(Config) ->
    {Peer, Versions} = releases(Config, fun(_) -> ok end),
    ok = alcove_test:in_peer(Peer, fun() -> ?MODULE:upgrade(Versions) end, alcove_test:ms(60000)),
    alcove_test:stop_peer(Peer).

upgrade({First, Next}) ->
    Drv = alcove_test:start([{exit_status, true}]),
    Path = alcove_test:fork(Drv, []),
    Pid = lists:last(Path),
    Loop = fun Loop(N) ->
                   Pid = alcove:getpid(Drv, Path),
                   receive {calls, To} -> To ! {calls, N} after 0 -> Loop(N + 1) end
           end,
    {Caller, Ref} = spawn_monitor(fun() -> Loop(1) end),
    ok = look(Drv, First),
    ok = install("2", Drv, Next),
    ok = install("1", Drv, First),
    %% A process that waits in the code of a version isn't killed: two versions later, nothing is
    %% upgraded until it has its answer.
    Asleep = alcove_test:fork(Drv, []),
    {Waiting, Waits} =
        spawn_monitor(fun() -> exit(alcove:select(Drv, Asleep, [], [], [], #alcove_timeval{sec = 600, usec = 0})) end),
    true = alcove_test:until(fun() -> {status, waiting} =:= process_info(Waiting, status) end),
    ok = install("2", Drv, Next),
    {error, {old_processes, _}} = release_handler:install_release("1"),
    ok = look(Drv, Next),
    true = is_process_alive(Waiting),
    ok = alcove:kill(Drv, lists:last(Asleep), sigkill),
    receive {'DOWN', Waits, process, Waiting, {badpid, _}} -> ok end,
    ok = install("1", Drv, First),
    Caller ! {calls, self()},
    receive
        {calls, N} when N > 0 -> ok;
        {'DOWN', Ref, process, Caller, Reason} -> error({caller, Reason})
    end,
    ok = alcove_test:stop(Drv).

install(Release, Drv, Vsn) ->
    {ok, _, _} = release_handler:install_release(Release),
    {alcove, _, Vsn} = lists:keyfind(alcove, 1, application:which_applications()),
    look(Drv, Vsn).

%% Calls, programs, output and ends are as they should be, and the code is that of a version.
look(Drv, Vsn) ->
    [true = string:find(code:which(Module), "/alcove-" ++ Vsn ++ "/") =/= nomatch
     || Module <- [alcove, alcove_call, alcove_drv, alcove_nif, alcove_proc_server]],
    Child = alcove_test:shell(Drv, [], "echo x; exit 3"),
    {<<"x\n">>, {exit_status, 3}} = alcove_test:output(Drv, Child),
    {ok, #{stdout := <<"y\n">>}} = alcove_proc:run(["/bin/sh", "-c", "echo y"]),
    New = alcove_test:start(),
    true = is_integer(alcove:getpid(New)),
    ok = alcove_test:stop(New).

%% A release with another build of the library isn't installed while there are Drvs, and nothing is
%% changed. Without them it is.
upgrade_with_another_library(Config) ->
    Other = fun(Library) -> file:write_file(Library, "x", [append]) end,
    {Peer, Versions} = releases(Config, Other),
    ok = alcove_test:in_peer(Peer, fun() -> ?MODULE:refuse(Versions) end, alcove_test:ms(60000)),
    alcove_test:stop_peer(Peer).

refuse({First, Next}) ->
    Drv = alcove_test:start([{exit_status, true}]),
    {error, {nif, Text}} = release_handler:install_release("2"),
    true = string:find(Text, "another build") =/= nomatch,
    ok = look(Drv, First),
    ok = alcove_test:stop(Drv),
    ok = supervisor:terminate_child(alcove_sup, alcove_default),
    {ok, "1", _} = release_handler:install_release("2"),
    {ok, _} = supervisor:restart_child(alcove_sup, alcove_default),
    Second = alcove_test:start([{exit_status, true}]),
    ok = look(Second, Next),
    {error, {nif, Text}} = release_handler:install_release("1"),
    ok = look(Second, Next),
    alcove_test:stop(Second).

%% A virtual machine that runs a release of this version, beside which there is another of the next
%% one: the same modules, and a library that `Change' has changed. The two versions.
releases(Config, Change) ->
    Dir = alcove_test:tmp(Config),
    _ = [application:load(Application) || Application <- [sasl, alcove]],
    {ok, First} = application:get_key(alcove, vsn),
    Next = First ++ ".1",
    [One, Two] = [release(Dir, Release, Vsn, From)
                  || {Release, Vsn, From} <- [{"1", First, []}, {"2", Next, [First]}]],
    ok = Change(filename:join([Dir, "lib", "alcove-" ++ Next, "priv", "alcove_nif.so"])),
    {ok, _, _, []} = systools:make_relup(Two, [One], [One], [silent, {path, ebins(Dir)}, {outdir, filename:dirname(Two)}]),
    Releases = filename:join(Dir, "releases"),
    ok = release_handler:create_RELEASES(code:root_dir(), Releases, One ++ ".rel", [{alcove, First, filename:join(Dir, "lib")}]),
    Test = filename:join([Dir, "lib", "alcove-" ++ First, "test"]),
    Args = ["-boot", filename:join(filename:dirname(One), "start"), "-pa", Test,
            "-sasl", "releases_dir", io_lib:format("~p", [Releases])],
    Peer = alcove_test:peer([], #{args => [lists:flatten(Arg) || Arg <- Args]}),
    {ok, "2"} = alcove_test:peer_call(Peer, release_handler, set_unpacked,
                                      [Two ++ ".rel", [{alcove, Next, filename:join(Dir, "lib")}]]),
    {Peer, {First, Next}}.

%% A version of alcove in a directory of its own, and the files of a release with it.
release(Dir, Release, Vsn, From) ->
    Build = filename:join([Dir, "lib", "alcove-" ++ Vsn]),
    Copy = filename:join(Dir, "copy" ++ Release),
    ok = file:make_dir(Copy),
    [Ebin, _] = alcove_test:install(Copy),
    ok = filelib:ensure_dir(Build),
    ok = file:rename(filename:dirname(Ebin), Build),
    App = filename:join([Build, "ebin", "alcove.app"]),
    {ok, [{application, alcove, Keys}]} = file:consult(App),
    write_term(App, {application, alcove, lists:keystore(vsn, 1, Keys, {vsn, Vsn})}),
    %% The instructions, as a build of that version has them.
    Source = filename:join(Dir, "source" ++ Release),
    Script = filename:join([Source, "scripts", "appup.sh"]),
    Appup = filename:join([Source, "lib", "alcove.appup.src"]),
    [ok = filelib:ensure_dir(File) || File <- [Script, Appup]],
    {ok, _} = file:copy(filename:join([alcove_test:top(), "scripts", "appup.sh"]), Script),
    write_term(Appup, {[{Old, []} || Old <- From], [{Old, []} || Old <- From]}),
    [] = os:cmd(lists:join(" ", ["sh", alcove_test:quote(Script), alcove_test:quote(Build)])),
    Name = filename:join([Dir, "releases", Release, "alcove_test"]),
    ok = filelib:ensure_dir(Name),
    Applications = [{Application, version(Application)} || Application <- [kernel, stdlib, sasl]] ++ [{alcove, Vsn}],
    write_term(Name ++ ".rel", {release, {"alcove_test", Release}, {erts, erlang:system_info(version)}, Applications}),
    write_term(filename:join(filename:dirname(Name), "sys.config"), []),
    {ok, _, []} = systools:make_script(Name, [silent, local, no_warn_sasl, {script_name, "start"}, {path, [filename:dirname(App)]},
                                              {outdir, filename:dirname(Name)}]),
    Name.

version(Application) ->
    {ok, Vsn} = application:get_key(Application, vsn),
    Vsn.

ebins(Dir) ->
    filelib:wildcard(filename:join([Dir, "lib", "*", "ebin"])).

write_term(File, Term) ->
    ok = file:write_file(File, io_lib:format("~p.~n", [Term])).

%% ---------------------------------------------------------------------------
%% Schedulers
%% ---------------------------------------------------------------------------

%% What takes long to look at or to copy is no scheduler's work, whatever it is that makes it
%% long. The kernel takes a scheduler's processor away now and then, so that a few may be long.
heavy_calls(_Config) ->
    Peer = alcove_test:peer(alcove_test:paths(), #{}),
    Long = peer:call(Peer, ?MODULE, weigh, [], alcove_test:ms(220000)),
    alcove_test:stop_peer(Peer),
    ct:pal("long schedules of 5: ~p", [Long]),
    [?assert(N =< 2, {What, N}) || {What, N} <- Long].

weigh() ->
    Drv = alcove_test:start([]),
    Path = alcove_test:fork(Drv, []),
    {ok, Null} = alcove:open(Drv, Path, "/dev/null", o_wronly, 0),
    Sixty = binary:copy(<<"x">>, 60000),
    Many = lists:seq(1, 500000),
    Names = lists:duplicate(100000, o_wronly),
    Tuple = erlang:make_tuple(3000000, x),
    Iolist = lists:duplicate(100000, [<<"x">>, $y]),
    Calls = [{batch, fun() -> alcove:batch(Drv, Path, [{write, [Null, Sixty]} || _ <- lists:seq(1, 250)]) end},
             {calls, fun() -> alcove:batch(Drv, Path, [{getpid, []} || _ <- lists:seq(1, 20000)]) end},
             {flags, fun() -> alcove:open(Drv, Path, "/dev/null", Names, 0) end},
             {clone, fun() -> alcove:clone(Drv, Path, lists:duplicate(100000, clone_newns)) end},
             {path, fun() -> alcove:getpid(Drv, Many) end},
             {stdin_path, fun() -> alcove:stdin(Drv, Many, "x") end},
             {ioctl, fun() -> alcove:ioctl(Drv, Path, Null, 0, Many ++ [x]) end},
             {ids, fun() -> alcove:setgroups(Drv, Path, Many) end},
             {tuple, fun() -> alcove:setrlimit(Drv, Path, rlimit_core, Tuple) end},
             {iolist, fun() -> alcove:write(Drv, Path, Null, Iolist) end},
             {spawn, fun() -> alcove:spawn(Drv, Path, fork, [{chdir, [Iolist]}, {exit, [0]}]) end}],
    Long = [{What, long(Call)} || {What, Call} <- Calls],
    ok = alcove_test:stop(Drv),
    Long ++ [{stdin, long_stdin()}].

try_(Fun) ->
    try Fun() catch _:_ -> refused end.

%% The watch that other suites have finds what runs for long on a scheduler, and not what is long
%% because others have the processors.
what_holds_a_scheduler_is_found(_Config) ->
    alcove_test:need(
      [{probe, alcove_watch}],
      fun() ->
              {ok, Program} = alcove_test:probe(alcove_watch),
              %% While others have the processors too, one may be excused.
              ?assert(lists:any(fun(_) -> finds(Program) end, lists:seq(1, 20))),
              %% More programs than processors, and a process that never runs for long. What others take of
              %% the processors of an emulated machine, its kernel doesn't know.
              Quiet = alcove_held:start(Program, alcove_test:ms(5)),
              Drv = alcove_test:start(),
              Busy = [alcove_test:shell(Drv, [], "while :; do :; done") || _ <- lists:seq(1, 8)],
              {Short, End} = spawn_monitor(fun() -> [erlang:yield() || _ <- lists:seq(1, 300000)] end),
              receive {'DOWN', End, process, Short, normal} -> ok end,
              ?assertEqual([], [Held || {_, _, Pid, _} = Held <- alcove_held:stop(Quiet), Pid =:= Short]),
              ?assertEqual(8, length(Busy)),
              ok = alcove_test:stop(Drv)
      end).

finds(Program) ->
    Watch = alcove_held:start(Program, 5),
    {Long, Ref} = spawn_monitor(fun() -> exit(tuple_size(list_to_tuple(lists:seq(1, 5000000)))) end),
    receive {'DOWN', Ref, process, Long, 5000000} -> ok end,
    lists:keymember(Long, 3, alcove_held:stop(Watch)).

%% In how many of five attempts a function of the library held a scheduler for 3 ms.
long(Call) ->
    erlang:system_monitor(self(), [{long_schedule, 3}]),
    Long = length([x || _ <- lists:seq(1, 5), held(Call)]),
    erlang:system_monitor(undefined),
    Long.

held(Call) ->
    {Pid, Ref} = spawn_opt(fun() -> try_(Call) end, [monitor]),
    receive {'DOWN', Ref, process, Pid, _} -> ok after alcove_test:ms(20000) -> error(hangs) end,
    held_by_nif(Pid, false).

held_by_nif(Pid, Held) ->
    receive
        {monitor, Pid, long_schedule, Info} ->
            Nif = [x || {_, {alcove_nif, _, _}} <- Info] =/= [],
            held_by_nif(Pid, Held orelse Nif);
        {monitor, _, long_schedule, _} ->
            held_by_nif(Pid, Held)
    after 20 ->
        Held
    end.

%% Somebody writes to stdin while the router writes much that came before.
long_stdin() ->
    Drv = alcove_test:start([]),
    Cat = alcove_test:run(Drv, [], ["/bin/dd", "bs=1M", "of=/dev/null", "status=none"]),
    Much = binary:copy(<<"x">>, 100000000),
    Writer = spawn(fun() -> [alcove:stdin(Drv, Cat, Much) || _ <- lists:seq(1, 8)] end),
    Ref = monitor(process, Writer),
    erlang:system_monitor(self(), [{long_schedule, 3}]),
    Small = spawn_link(fun Loop() -> _ = alcove:stdin(Drv, Cat, "x"), receive stop -> ok after 1 -> Loop() end end),
    receive {'DOWN', Ref, process, Writer, _} -> ok after alcove_test:ms(30000) -> error(hangs) end,
    erlang:system_monitor(undefined),
    unlink(Small),
    exit(Small, kill),
    Long = case held_by_nif(Small, false) of true -> 5; false -> 0 end,
    ok = alcove_test:stop(Drv),
    Long.
