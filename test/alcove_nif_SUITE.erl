%% @doc The library in the virtual machine: it loads or says why not, another one doesn't take
%% its place while it is in use, and it leaves the schedulers free.
-module(alcove_nif_SUITE).

-include_lib("stdlib/include/assert.hrl").

-export([suite/0, all/0, init_per_suite/1, end_per_suite/1, init_per_testcase/2, end_per_testcase/2]).
-export([no_library/1, another_library/1, upgrade_of_the_application/1, heavy_calls/1]).
%% called in other virtual machines
-export([start_without/0, start_with/1, load_another/1, upgrade/1, weigh/0]).

suite() ->
    [{timetrap, alcove_test:ms(240000)}].

all() ->
    [no_library, another_library, upgrade_of_the_application, heavy_calls].

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
         Paths = alcove_test:install(Dir = subdir(Config, Name)),
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

%% A library in another place, the same or not, doesn't take the place of one with Drvs. These
%% go on, and without them it does.
another_library(Config) ->
    [begin
         Dir = subdir(Config, Name),
         alcove_test:install(Dir),
         ok = Change(filename:join([Dir, "alcove", "priv", "alcove_nif.so"])),
         Peer = alcove_test:peer(alcove_test:paths(), #{}),
         Self = {?MODULE, load_another},
         Result = peer:call(Peer, element(1, Self), element(2, Self), [filename:join([Dir, "alcove", "ebin"])], 30000),
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

%% From one version to the next by what a release upgrade does, with a Drv that runs.
upgrade_of_the_application(Config) ->
    Dir = subdir(Config, "next"),
    [Ebin | _] = alcove_test:install(Dir),
    App = filename:join(Ebin, "alcove.app"),
    {ok, [{application, alcove, Keys}]} = file:consult(App),
    {vsn, Vsn} = lists:keyfind(vsn, 1, Keys),
    Next = Vsn ++ ".1",
    write_term(App, {application, alcove, lists:keystore(vsn, 1, Keys, {vsn, Next})}),
    {modules, Modules} = lists:keyfind(modules, 1, Keys),
    Load = [{load_module, Module} || Module <- Modules, Module =/= alcove_drv]
        ++ [{update, alcove_drv, {advanced, []}}],
    write_term(filename:join(Ebin, "alcove.appup"), {Next, [{Vsn, Load}], [{Vsn, Load}]}),
    Peer = alcove_test:peer(alcove_test:paths(), #{}),
    ok = peer:call(Peer, ?MODULE, upgrade, [filename:join(Dir, "alcove")], 30000),
    alcove_test:stop_peer(Peer).

write_term(File, Term) ->
    ok = file:write_file(File, io_lib:format("~p.~n", [Term])).

upgrade(Dir) ->
    {ok, _} = application:ensure_all_started(sasl),
    ok = application:load(alcove),
    ok = application:start(alcove),
    Drv = alcove_test:start([{exit_status, true}]),
    Path = alcove_test:fork(Drv, []),
    Pid = lists:last(Path),
    Loop = fun Loop() -> Pid = alcove:getpid(Drv, Path), Loop() end,
    {Caller, Ref} = spawn_monitor(Loop),
    {ok, _} = release_handler:upgrade_app(alcove, Dir),
    true = lists:prefix(Dir, code:which(alcove_nif)),
    true = lists:prefix(Dir, code:which(alcove_drv)),
    Child = alcove_test:shell(Drv, Path, "echo x; exit 3"),
    {<<"x\n">>, {exit_status, 3}} = alcove_test:output(Drv, Child),
    receive {'DOWN', Ref, process, Caller, Reason} -> error({caller, Reason}) after 0 -> ok end,
    demonitor(Ref, [flush]),
    exit(Caller, kill),
    ok = alcove_test:stop(Drv),
    ok.

%% ---------------------------------------------------------------------------
%% Schedulers
%% ---------------------------------------------------------------------------

%% What takes long to look at or to copy is no scheduler's work, whatever it is that makes it
%% long. The kernel takes a scheduler's processor away now and then, so that a few may be long.
heavy_calls(_Config) ->
    Peer = alcove_test:peer(alcove_test:paths(), #{}),
    Long = peer:call(Peer, ?MODULE, weigh, [], 220000),
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
