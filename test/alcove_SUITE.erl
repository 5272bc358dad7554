%% @doc One case for each function of `alcove', with the function's name: both
%% forms (without and with the fork path), success, and each kind of failure.
-module(alcove_SUITE).

-include_lib("kernel/include/file.hrl").
-include_lib("stdlib/include/assert.hrl").
-include("alcove.hrl").

-compile({no_auto_import, [exit/1]}).

-export([suite/0, all/0, groups/0, init_per_suite/1, end_per_suite/1,
         init_per_testcase/2, end_per_testcase/2]).
%% the table
-export([every_row_has_a_function_and_a_case/1, every_bad_argument_is_badarg/1,
         bad_fork_paths/1, numbers_at_their_limits/1, exceptions_are_explained/1]).
%% the event loop
-export([version/1, pid/1, getopt/1, setopt/1]).
%% fork and exec
-export([fork/1, clone/1, execvp/1, execve/1, exit/1]).
%% processes
-export([getpid/1, getpgrp/1, getsid/1, setpgid/1, setsid/1]).
%% credentials
-export([getuid/1, getgid/1, setuid/1, setgid/1]).
%% files
-export([chdir/1, chmod/1, chown/1, chroot/1, getcwd/1, mkdir/1, readdir/1, rmdir/1]).
%% file descriptors
-export([open/1, close/1, read/1, write/1, lseek/1, select/1, internal_fds_are_invisible/1]).
%% the environment
-export([clearenv/1, environ/1, getenv/1, setenv/1, unsetenv/1]).
%% the host's name
-export([gethostname/1, sethostname/1]).
%% limits
-export([getrlimit/1, setrlimit/1]).
%% signals
-export([kill/1, sigaction/1]).
%% mounts and namespaces
-export([mount/1, umount/1, setns/1, unshare/1]).
%% prctl
-export([prctl/1]).
%% constants
-export([define/1, clone_define/1, file_define/1, mount_define/1, prctl_define/1, rlimit_define/1,
         signal_define/1, signal_constant/1, syscall_define/1, flags/1]).
%% calls of any kind
-export([call/1, batch/1, spawn/1]).
%% streams
-export([stdin/1, stdout/1, stderr/1, eof/1, event/1]).

suite() ->
    alcove_test:suite().

all() ->
    [{group, Group} || {Group, _, _} <- groups()].

groups() ->
    [{table, [], [every_row_has_a_function_and_a_case, every_bad_argument_is_badarg,
                  bad_fork_paths, numbers_at_their_limits, exceptions_are_explained]},
     {event_loop, [], [version, pid, getopt, setopt]},
     {fork_and_exec, [], [fork, clone, execvp, execve, exit]},
     {processes, [], [getpid, getpgrp, getsid, setpgid, setsid]},
     {credentials, [], [getuid, getgid, setuid, setgid]},
     {files, [], [chdir, chmod, chown, chroot, getcwd, mkdir, readdir, rmdir]},
     {descriptors, [], [open, close, read, write, lseek, select, internal_fds_are_invisible]},
     {environment, [], [clearenv, environ, getenv, setenv, unsetenv]},
     {host, [], [gethostname, sethostname]},
     {limits, [], [getrlimit, setrlimit]},
     {signals, [], [kill, sigaction]},
     {mounts_and_namespaces, [], [mount, umount, setns, unshare]},
     {prctl, [], [prctl]},
     {constants, [], [define, clone_define, file_define, mount_define, prctl_define,
                      rlimit_define, signal_define, signal_constant, syscall_define, flags]},
     {calls, [], [call, batch, spawn]},
     {streams, [], [stdin, stdout, stderr, eof, event]}].

init_per_suite(Config) ->
    alcove_test:init_suite(Config).

end_per_suite(_Config) ->
    ok.

init_per_testcase(_Case, Config) ->
    alcove_test:init_case([], Config).

end_per_testcase(_Case, Config) ->
    alcove_test:end_case(Config).

%% A way to make calls in a new child, for what can't be taken back.
in_child(Config) ->
    Drv = alcove_test:drv(Config),
    Path = alcove_test:fork(Drv, []),
    fun(Call, Args) -> apply(alcove, Call, [Drv, Path | Args]) end.

%% The same in a child in namespaces of its own.
in_clone(Config, Flags) ->
    Drv = alcove_test:drv(Config),
    {ok, Pid} = alcove:clone(Drv, Flags),
    fun(Call, Args) -> apply(alcove, Call, [Drv, [Pid] | Args]) end.

file(Config, Name) ->
    filename:join(alcove_test:tmp(Config), Name).

%% ---------------------------------------------------------------------------
%% The table
%% ---------------------------------------------------------------------------

every_row_has_a_function_and_a_case(_Config) ->
    Exports = alcove:module_info(exports),
    Suites = [?MODULE, alcove_calls_SUITE],
    [{module, Suite} = code:ensure_loaded(Suite) || Suite <- Suites],
    Cases = [{Suite, Case} || Suite <- Suites, {_, _, Cases} <- Suite:groups(), Case <- Cases],
    Missing = [{Name, What}
               || {Name, _, Args, _, _, _} <- alcove_nif:calls(),
                  {What, false} <- [{{arity, length(Args) + 1},
                                     lists:member({Name, length(Args) + 1}, Exports)},
                                    {{arity, length(Args) + 2},
                                     lists:member({Name, length(Args) + 2}, Exports)},
                                    {'case', [Suite || {Suite, Case} <- Cases, Case =:= Name,
                                                       erlang:function_exported(Suite, Case, 1)]
                                             =/= []}]],
    ?assertEqual([], Missing).

%% For every argument of every call: each thing that it can't be, with the other
%% arguments as they should be. The exception is raised in the caller and the
%% process doesn't hear of it.
every_bad_argument_is_badarg(Config) ->
    Drv = alcove_test:drv(Config),
    Path = alcove_test:path(Config),
    Accepted = [{Name, Kind, Bad, Form, Outcome}
                || {Name, _, Args, _, _, _} <- alcove_nif:calls(),
                   Args =/= [],
                   N <- lists:seq(1, length(Args)),
                   Kind <- [kind(lists:nth(N, Args))],
                   Bad <- bad(Kind),
                   Argv <- [[case M of
                                 N -> Bad;
                                 _ -> good(kind(lists:nth(M, Args)))
                             end || M <- lists:seq(1, length(Args))]],
                   {Form, Fun} <- [{short, fun() -> apply(alcove, Name, [Drv | Argv]) end},
                                   {long, fun() -> apply(alcove, Name, [Drv, Path | Argv]) end},
                                   {call, fun() -> alcove:call(Drv, Path, Name, Argv) end}],
                   Outcome <- [outcome(Fun)],
                   Outcome =/= {error, badarg}],
    ?assertEqual([], [{Name, Kind, short_term(Bad), Form, Outcome}
                      || {Name, Kind, Bad, Form, Outcome} <- Accepted]),
    [Child] = Path,
    ?assertEqual(Child, alcove:getpid(Drv, Path)),
    ?assertEqual([Child], alcove:pid(Drv)).

kind({_Name, Kind}) ->
    list_to_atom(string:lowercase(atom_to_list(Kind))).

outcome(Fun) ->
    try Fun() of
        Value -> {returned, Value}
    catch
        Class:Reason -> {Class, Reason}
    end.

short_term(Term) ->
    lists:flatten(io_lib:format("~P", [Term, 8])).

%% Something of the right shape, which never reaches the kernel in these cases.
good(str) -> "/nonexistent/alcove";
good(strvec) -> ["/nonexistent/alcove"];
good(bytes) -> <<"x">>;
good(fds) -> [];
good(rlimit) -> #alcove_rlimit{cur = 0, max = 0};
good(timeval) -> #alcove_timeval{sec = 0, usec = 0};
good(opt) -> verbose;
good(signal) -> 0;
good(handler) -> dfl;
good(List) when List =:= ids; List =:= cpus; List =:= pollfds; List =:= ptrs -> [];
good(sockaddr) -> {local, "/nonexistent/alcove"};
good(_Integer) -> 0.

bad(Kind) ->
    [make_ref(), self(), fun() -> ok end, 1.0, {}, #{}, <<1:3>> | bad_(Kind)]
        ++ [no_such_name || Kind =/= opt].

bad_(Kind) when Kind =:= i32; Kind =:= fd; Kind =:= pid ->
    [1 bsl 31, -(1 bsl 31) - 1, 1 bsl 64, -(1 bsl 200), "1", <<"1">>, [], <<>>];
bad_(u32) -> [-1, 1 bsl 32, "1", []];
bad_(i64) -> [1 bsl 63, -(1 bsl 63) - 1, 1 bsl 200, "1", []];
bad_(u64) -> [-1, 1 bsl 64, 1 bsl 200, "1", []];
bad_(mode) -> [-1, 8#200000, 1 bsl 32, 1 bsl 64, "600", []];
bad_(id) -> [-1, -2, (1 bsl 32) - 1, 1 bsl 32, 1 bsl 64, "0", "1 ", "", <<>>];
bad_(idorkeep) -> [-2, (1 bsl 32) - 1, 1 bsl 32, 1 bsl 64, "0", ""];
bad_(count) -> [-1, maps:get(max_data, alcove_nif:limits()) + 1, 1 bsl 32, 1 bsl 64, "1", []];
bad_(str) ->
    [1, -1, [a], [-1], [256], [16#20ac], [$a | $b], [$a | a], [$a, 0, $b], <<"a", 0, 0>>, <<0, 0>>,
     ["a", [<<0>>], "b"], ["a", {ptr, 1}], too_large()];
bad_(strvec) ->
    [1, <<"a">>, "abc", [a], [["a"] | a], ["a" | <<"b">>], ["a", <<0, 0>>], ["a", [1, 0, 1]], [[256]],
     [too_large()]];
bad_(bytes) -> [1, -1, [a], [-1], [256], [$a | $b], [<<"a">> | a], too_large()];
bad_(fds) -> [1, <<>>, <<1>>, [a], [1 | 2], [1 bsl 31], [-(1 bsl 31) - 1], [[1]]];
bad_(rlimit) ->
    [1, [], {alcove_rlimit, -2, 0}, {alcove_rlimit, 0, -2}, {alcove_rlimit, a, 0}, {alcove_rlimit, 0, "1"},
     {alcove_rlimit, 1 bsl 64, 0}, {alcove_rlimit, 1}, {alcove_rlimit, 1, 1, 1}, {rlimit, 1, 1}];
bad_(timeval) ->
    [1, [], <<1>>, {alcove_timeval, a, 0}, {alcove_timeval, 0, a}, {alcove_timeval, 1 bsl 63, 0},
     {alcove_timeval, 0, 1 bsl 63}, {alcove_timeval, 0}, {timeval, 0, 0}];
bad_(opt) ->
    %% The name of no option has the right shape: the answer is `false'.
    [1, "verbose", <<"verbose">>, []];
bad_(signal) -> [1 bsl 31, -(1 bsl 31) - 1, "sigterm", <<"sigterm">>, []];
bad_(handler) -> [0, 1, "dfl", <<"ign">>, []];
bad_(ptr) ->
    [1 bsl 64, -(1 bsl 63) - 1, 1 bsl 200, [a], [{ptr, a}], [{ptr, -1}], [{ptr, 1 bsl 64}], [{ptr}],
     {ptr, 1}, [{ptr, [a]}], [<<"a">> | a], too_large()];
bad_(const) ->
    [1 bsl 63, -(1 bsl 63) - 1, 1 bsl 200, "1", [], [o_creat], <<>>];
bad_(dirfd) ->
    [1 bsl 31, -(1 bsl 31) - 1, "1", [], [at_fdcwd], <<>>];
bad_(ids) -> [1, <<>>, [a], [1 | 2], [-1], [(1 bsl 32) - 1], [1 bsl 32], [[1]]];
bad_(calls) ->
    [1, a, <<>>, [1], [no_such_call], [getpid | fork], {allow, getpid}, {other, [getpid]}, {deny, [getpid], 1}];
bad_(cpus) -> [1, <<>>, [a], [1 | 2], [-1], [65536], [[1]]];
bad_(caps) ->
    [-1, 1 bsl 64, cap_chown, [cap_nonesuch], [cap_chown | cap_kill], [o_creat], [pr_set_name], [1], <<>>];
bad_(filetime) -> [1 bsl 63, -(1 bsl 63) - 1, "now", [now], <<>>];
bad_(millis) -> [-2, 1 bsl 31, "1", []];
bad_(pollfds) ->
    [1, <<>>, [1], [{1}], [{1, no_such_name}], [{1, 1 bsl 16}], [{1, -1}], [{1 bsl 31, 1}], [{a, 1}],
     [{1, 1} | {1, 1}], [{1, 1, 1}]];
bad_(sockaddr) ->
    [1, [], "local", {local}, {local, 1}, {local, [256]}, {unix, "a"}, {inet, {127, 0, 0, 1}},
     {inet, {{127, 0, 0}, 1}}, {inet, {{127, 0, 0, 256}, 1}}, {inet, {{127, 0, 0, 1}, 65536}},
     {inet, {{127, 0, 0, 1}, -1}}, {inet6, {{127, 0, 0, 1}, 1}},
     {inet6, {{65536, 0, 0, 0, 0, 0, 0, 1}, 1}}, {inet, {"127.0.0.1", 1}}];
bad_(ptrs) ->
    [1, <<>>, [a], [1 | 2], [1 bsl 64], [[a]], [[{ptr, -1}]], [1, 2, 3, 4, 5, 6, 7]];
bad_(Flags) when Flags =:= cloneflags; Flags =:= openflags; Flags =:= mountflags; Flags =:= flags;
                 Flags =:= syscallnumber ->
    [-1, 1 bsl 64, 1 bsl 200, [no_such_name], [no_such_name | a], <<>>, [1.0]];
bad_(Name) when Name =:= whence; Name =:= resource; Name =:= prctloption ->
    [-1, 1 bsl 64, <<>>, "1"].

too_large() ->
    binary:copy(<<"a">>, maps:get(max_data, alcove_nif:limits()) + 1).

bad_fork_paths(Config) ->
    Drv = alcove_test:drv(Config),
    [Child] = alcove_test:path(Config),
    [alcove_test:badarg(fun() -> alcove:getpid(Drv, Pids) end)
     || Pids <- [a, <<>>, 1, -1, [a], ["1"], [1.0], [Child | a], [Child | Child], {Child}, [-1],
                 [1 bsl 64], lists:duplicate(10, a)]],
    [alcove_test:badpid(fun() -> alcove:getpid(Drv, Pids) end)
     || Pids <- [[1], [Child + 1], [Child, Child], [Child, 1], [0, Child], lists:duplicate(100, 1),
                 lists:duplicate(100000, 1)]],
    [alcove_test:badarg(fun() -> alcove:getpid(NoDrv) end) || NoDrv <- [a, 1, "", make_ref()]],
    ?assertEqual(Child, alcove:getpid(Drv, [Child])),
    %% The parent's number for a process is no number for the process itself.
    Grandchild = alcove_test:fork(Drv, [Child]),
    alcove_test:badpid(fun() -> alcove:getpid(Drv, tl(Grandchild)) end).

%% The largest and smallest numbers that an argument may be come to the kernel as
%% they are: it is the kernel that refuses them.
numbers_at_their_limits(Config) ->
    alcove_test:both(Config,
         fun(Do) ->
                 {error, ebadf} = Do(close, [16#7fffffff]),
                 {error, ebadf} = Do(close, [-16#80000000]),
                 {error, ebadf} = Do(close, [-1]),
                 {error, ebadf} = Do(read, [-1, 0]),
                 {error, ebadf} = Do(read, [16#7fffffff, 16#1000000]),
                 {error, ebadf} = Do(lseek, [-1, 16#7fffffffffffffff, 0]),
                 {error, ebadf} = Do(lseek, [-1, -16#8000000000000000, 0]),
                 %% select(2) takes no descriptor as large as that.
                 {error, einval} = Do(select, [[16#7fffffff], [], [], <<>>]),
                 {error, ebadf} = Do(select, [[], [-1], [], <<>>]),
                 {error, einval} = Do(select, [[], [], [], #alcove_timeval{sec = -1, usec = 0}]),
                 {error, einval} = Do(getrlimit, [16#ffffffff]),
                 {error, einval} = Do(getrlimit, [16#ffffffffffffffff]),
                 {error, einval} = Do(kill, [0, 16#7fffffff]),
                 {error, einval} = Do(kill, [0, -1]),
                 {error, einval} = Do(sigaction, [16#7fffffff, dfl]),
                 {error, einval} = Do(sigaction, [-1, trap]),
                 {error, einval} = Do(sigaction, [0, ign]),
                 {error, einval} = Do(prctl, [16#ffffffff, 16#ffffffffffffffff, -1, 0, 0]),
                 {error, enametoolong} = Do(chdir, [binary:copy(<<"a/">>, 500000)]),
                 {error, enoent} = Do(chdir, [""]),
                 {error, enoent} = Do(chdir, [[[], <<>>, [[]]]]),
                 false = Do(setopt, [verbose, -1]),
                 false = Do(setopt, [maxchild, 16#7fffffffffffffff]),
                 false = Do(setopt, [maxforkdepth, -16#8000000000000000])
         end).

%% The exceptions say which argument of which function was wrong.
exceptions_are_explained(Config) ->
    Drv = alcove_test:drv(Config),
    Path = alcove_test:path(Config),
    Explained = fun(Fun) ->
                        try Fun() of
                            Value -> ct:fail({returned, Value})
                        catch
                            error:Reason:Stack -> explain(Reason, Stack)
                        end
                end,
    Mode = Explained(fun() -> alcove:chmod(Drv, Path, "/tmp", a) end),
    ?assert(maps:is_key(4, Mode)),
    Short = Explained(fun() -> alcove:chmod(Drv, "/tmp", a) end),
    ?assert(maps:is_key(3, Short)),
    NoPid = Explained(fun() -> alcove:getpid(Drv, [1]) end),
    ?assert(maps:size(NoPid) > 0).

%% As the shell does it.
explain(Reason, [{Module, _, _, Info} | _] = Stack) ->
    {error_info, ErrorInfo} = lists:keyfind(error_info, 1, Info),
    Formatter = maps:get(module, ErrorInfo, Module),
    Function = maps:get(function, ErrorInfo, format_error),
    Formatter:Function(Reason, Stack).

%% ---------------------------------------------------------------------------
%% The event loop
%% ---------------------------------------------------------------------------

version(Config) ->
    _ = application:load(alcove),
    {ok, Vsn} = application:get_key(alcove, vsn),
    Version = list_to_binary(Vsn),
    alcove_test:both(Config, fun(Do) -> Version = Do(version, []) end),
    Version = alcove_nif:version().

pid(Config) ->
    Drv = alcove_test:drv(Config),
    [Child] = Path = alcove_test:path(Config),
    [Child] = alcove:pid(Drv),
    [Child] = alcove:pid(Drv, []),
    [] = alcove:pid(Drv, Path),
    {ok, A} = alcove:fork(Drv, Path),
    {ok, B} = alcove:fork(Drv, Path),
    ?assertEqual(lists:sort([A, B]), lists:sort(alcove:pid(Drv, Path))),
    %% A process that exec'ed is a child still, one that has ended is none.
    ok = alcove:execvp(Drv, Path ++ [A], "cat", ["cat"]),
    ?assertEqual(lists:sort([A, B]), lists:sort(alcove:pid(Drv, Path))),
    true = alcove:setopt(Drv, Path, exit_status, 1),
    ok = alcove:exit(Drv, Path ++ [B], 0),
    ok = alcove_test:event(Drv, Path ++ [B], {exit_status, 0}),
    [A] = alcove:pid(Drv, Path).

getopt(Config) ->
    alcove_test:both(Config,
         fun(Do) ->
                 {ok, #alcove_rlimit{cur = Nofile}} = Do(getrlimit, [alcove_test:constant(rlimit_nofile)]),
                 Childlimit = Nofile div 4 - 4,
                 0 = Do(getopt, [verbose]),
                 Childlimit = Do(getopt, [childlimit]),
                 0 = Do(getopt, [exit_status]),
                 Childlimit = Do(getopt, [maxchild]),
                 16 = Do(getopt, [maxforkdepth]),
                 0 = Do(getopt, [termsig]),
                 false = Do(getopt, [no_such_option])
         end).

setopt(Config) ->
    Drv = alcove_test:drv(Config),
    Path = alcove_test:path(Config),
    alcove_test:both(Config,
         fun(Do) ->
                 [begin
                      true = Do(setopt, [Option, Value]),
                      Value = Do(getopt, [Option])
                  end || {Option, Values} <- [{verbose, [1, 0]}, {exit_status, [1, 0]}, {termsig, [1, 0]},
                                              {maxchild, [0, 1, 100000, 7]}, {maxforkdepth, [0, 64, 20]}],
                         Value <- Values],
                 Limit = Do(getopt, [childlimit]),
                 false = Do(setopt, [childlimit, 1]),
                 Limit = Do(getopt, [childlimit]),
                 false = Do(setopt, [no_such_option, 1])
         end),
    %% A child has its parent's options; its childlimit is the parent's maxchild.
    true = alcove:setopt(Drv, Path, exit_status, 1),
    Child = alcove_test:fork(Drv, Path),
    [7, 7, 20, 1, 0] = [alcove:getopt(Drv, Child, Option)
                        || Option <- [childlimit, maxchild, maxforkdepth, exit_status, termsig]],
    %% From then on they are its own.
    true = alcove:setopt(Drv, Child, exit_status, 0),
    1 = alcove:getopt(Drv, Path, exit_status).

%% ---------------------------------------------------------------------------
%% Fork and exec
%% ---------------------------------------------------------------------------

fork(Config) ->
    Drv = alcove_test:drv(Config),
    Path = alcove_test:path(Config),
    alcove_test:both(Config,
         fun(Do) ->
                 {ok, Pid} = Do(fork, []),
                 true = lists:member(Pid, Do(pid, []))
         end),
    {ok, Pid} = alcove:fork(Drv, Path),
    Pid = alcove:getpid(Drv, Path ++ [Pid]),
    ?assertEqual(alcove:getpid(Drv, Path), alcove_test:parent(Pid)),
    %% At the child limit.
    true = alcove:setopt(Drv, Path, maxchild, 2),
    Parent = alcove_test:fork(Drv, Path),
    First = alcove_test:fork(Drv, Parent),
    _Second = alcove_test:fork(Drv, Parent),
    {error, eagain} = alcove:fork(Drv, Parent),
    {error, eagain} = alcove:fork(Drv, Parent),
    %% A child that is gone makes room.
    true = alcove:setopt(Drv, Parent, exit_status, 1),
    ok = alcove:exit(Drv, First, 0),
    ok = alcove_test:event(Drv, First, {exit_status, 0}),
    {ok, _} = alcove:fork(Drv, Parent),
    {error, eagain} = alcove:fork(Drv, Parent),
    %% No room at all.
    true = alcove:setopt(Drv, Path, maxchild, 0),
    None = alcove_test:fork(Drv, Path),
    {error, eagain} = alcove:fork(Drv, None),
    %% The fork path's length.
    true = alcove:setopt(Drv, Path, maxforkdepth, 1),
    {error, eagain} = alcove:fork(Drv, Path),
    {error, eagain} = alcove:clone(Drv, Path, [clone_newuser]),
    %% Nobody there.
    alcove_test:badpid(fun() -> alcove:fork(Drv, Path ++ [1]) end).

clone(Config) ->
    Drv = alcove_test:drv(Config),
    Path = alcove_test:path(Config),
    alcove_test:both(Config,
         fun(Do) ->
                 {ok, Pid} = Do(clone, [0]),
                 true = lists:member(Pid, Do(pid, [])),
                 {ok, _} = Do(clone, [[]]),
                 %% A child that shares the parent's memory, or isn't its child, is no event loop.
                 {error, einval} = Do(clone, [clone_thread]),
                 {error, einval} = Do(clone, [clone_vm]),
                 {error, einval} = Do(clone, [[clone_newns, clone_fs]])
         end),
    {ok, Plain} = alcove:clone(Drv, Path, 0),
    Plain = alcove:getpid(Drv, Path ++ [Plain]),
    Limit = alcove:getopt(Drv, Path, maxchild),
    true = alcove:setopt(Drv, Path, maxchild, 0),
    None = alcove_test:fork(Drv, Path),
    {error, eagain} = alcove:clone(Drv, None, 0),
    true = alcove:setopt(Drv, Path, maxchild, Limit),
    case alcove_test:root() of
        true ->
            [begin
                 {ok, Pid} = alcove:clone(Drv, Path, Flags),
                 {ok, Inside} = file:read_link_all(lists:concat(["/proc/", Pid, "/ns/uts"])),
                 {ok, Outside} = file:read_link_all("/proc/self/ns/uts"),
                 ?assertNotEqual(Outside, Inside)
             end || Flags <- [alcove:define(Drv, clone_newuts), clone_newuts, 'CLONE_NEWUTS',
                              [clone_newuts], ['CLONE_NEWUTS', clone_newipc],
                              alcove:define(Drv, [clone_newuts, 'CLONE_NEWIPC'])]],
            %% In a pid namespace a process has two numbers: the fork path has the parent's.
            {ok, Init} = alcove:clone(Drv, Path, [clone_newpid]),
            1 = alcove:getpid(Drv, Path ++ [Init]),
            {ok, 2} = alcove:fork(Drv, Path ++ [Init]),
            2 = alcove:getpid(Drv, Path ++ [Init, 2]);
        false ->
            {error, eperm} = alcove:clone(Drv, Path, clone_newuts)
    end.

execvp(Config) ->
    Drv = alcove_test:drv(Config),
    Path = alcove_test:path(Config),
    NoExec = file(Config, "noexec"),
    ok = file:write_file(NoExec, <<"#!/bin/sh\n">>),
    NoFormat = file(Config, "noformat"),
    ok = file:write_file(NoFormat, <<1, 2, 3, 4, 5, 6, 7, 8>>),
    ok = file:change_mode(NoFormat, 8#755),
    alcove_test:both(Config,
         fun(Do) ->
                 ok = Do(setenv, ["PATH", "/nonexistent:/usr/bin:/bin", 1]),
                 {error, enoent} = Do(execvp, ["/nonexistent/program", ["program"]]),
                 {error, enoent} = Do(execvp, ["no-such-program-in-the-path", ["x"]]),
                 {error, enoent} = Do(execvp, ["", ["x"]]),
                 {error, eacces} = Do(execvp, [NoExec, [NoExec]]),
                 {error, eacces} = Do(execvp, ["/", ["/"]]),
                 {error, e2big} = Do(execvp, ["/bin/cat", ["cat", binary:copy(<<"a">>, 200000)]]),
                 {error, e2big} = Do(execvp, ["/bin/cat", lists:duplicate(200, binary:copy(<<"a">>, 70000))]),
                 %% The event loop goes on after each.
                 true = is_integer(Do(getpid, []))
         end),
    %% By its path, and found in PATH.
    [begin
         Pid = alcove_test:fork(Drv, Path),
         ok = alcove:execvp(Drv, Pid, Arg0, ["cat", <<"-">>]),
         true = alcove:stdin(Drv, Pid, "hello process\n"),
         <<"hello process\n">> = alcove_test:collect(Drv, Pid, 14),
         alcove_test:badpid(fun() -> alcove:getpid(Drv, Pid) end)
     end || Arg0 <- ["/bin/cat", "cat", <<"cat">>, [$c, <<"at">>]]],
    %% The words come as they are: any iodata, empty ones, bytes above 127, spaces and newlines.
    true = alcove:setopt(Drv, Path, exit_status, 1),
    Words = ["/bin/sh", "-c", "printf '<%s>' \"$@\"", "sh", "", "a b", <<"ö\n"/utf8>>, [$x, <<"y">>, [[$z]]], <<255>>],
    Shell = alcove_test:run(Drv, Path, Words),
    {Printed, {exit_status, 0}} = alcove_test:output(Drv, Shell),
    ?assertEqual(<<"<><a b><ö\n><xyz>"/utf8, "<", 255, ">">>, Printed),
    %% Root itself, which has pipes like any other.
    ok = alcove:execvp(Drv, "cat", ["cat"]),
    alcove_test:badpid(fun() -> alcove:getpid(Drv) end).

execve(Config) ->
    Drv = alcove_test:drv(Config),
    Path = alcove_test:path(Config),
    true = alcove:setopt(Drv, Path, exit_status, 1),
    alcove_test:both(Config,
         fun(Do) ->
                 {error, enoent} = Do(execve, ["/nonexistent/program", ["program"], []]),
                 %% No search in PATH.
                 {error, enoent} = Do(execve, ["cat", ["cat"], ["PATH=/bin:/usr/bin"]]),
                 {error, e2big} = Do(execve, ["/bin/cat", ["cat"], ["A=" ++ lists:duplicate(200000, $a)]]),
                 true = is_integer(Do(getpid, []))
         end),
    Env = fun(Variables) ->
                  Pid = alcove_test:fork(Drv, Path),
                  ok = alcove:execve(Drv, Pid, "/usr/bin/env", ["env"], Variables),
                  {Output, {exit_status, 0}} = alcove_test:output(Drv, Pid),
                  Output
          end,
    <<>> = Env([]),
    <<"A=1\nB=\nC=2=3\n">> = Env(["A=1", <<"B=">>, [$C, "=", <<"2=3">>]]),
    %% Nothing of the event loop's environment comes along.
    ok = alcove:setenv(Drv, Path, "SECRET", "1", 1),
    <<"A=1\n">> = Env(["A=1"]),
    ok = alcove:execve(Drv, "/bin/cat", ["cat"], []),
    alcove_test:badpid(fun() -> alcove:getpid(Drv) end).

exit(Config) ->
    Drv = alcove_test:drv(Config),
    Path = alcove_test:path(Config),
    true = alcove:setopt(Drv, Path, exit_status, 1),
    [begin
         Pid = alcove_test:fork(Drv, Path),
         ok = alcove:exit(Drv, Pid, Value),
         ok = alcove_test:event(Drv, Pid, {exit_status, Status}),
         alcove_test:badpid(fun() -> alcove:getpid(Drv, Pid) end)
     end || {Value, Status} <- [{0, 0}, {1, 1}, {255, 255}, {256, 0}, {-1, 255}, {16#7fffffff, 255}]],
    [] = alcove:pid(Drv, Path),
    %% Not asked for, no event.
    ok = alcove:exit(Drv, Path, 3),
    alcove_test:badpid(fun() -> alcove:getpid(Drv, Path) end),
    true = alcove_test:until(fun() -> alcove:pid(Drv) =:= [] end),
    false = alcove:event(Drv, Path, 0),
    %% Root.
    Ref = monitor(process, Drv),
    ok = alcove:exit(Drv, 0),
    receive
        {'DOWN', Ref, process, Drv, _} -> ok
    after alcove_test:ms(5000) -> ct:fail(drv_outlives_root)
    end.

%% ---------------------------------------------------------------------------
%% Processes
%% ---------------------------------------------------------------------------

getpid(Config) ->
    Drv = alcove_test:drv(Config),
    [Child] = Path = alcove_test:path(Config),
    Root = alcove:getpid(Drv),
    Root = alcove:getpid(Drv, []),
    Child = alcove:getpid(Drv, Path),
    ?assertEqual(Root, alcove_test:parent(Child)),
    ?assert(lists:member(Root, alcove_test:descendants())).

getpgrp(Config) ->
    Drv = alcove_test:drv(Config),
    [Child] = Path = alcove_test:path(Config),
    Group = alcove:getpgrp(Drv),
    Group = alcove:getpgrp(Drv, Path),
    ok = alcove:setpgid(Drv, Path, 0, 0),
    Child = alcove:getpgrp(Drv, Path).

getsid(Config) ->
    Drv = alcove_test:drv(Config),
    [Child] = Path = alcove_test:path(Config),
    {ok, Session} = alcove:getsid(Drv, 0),
    {ok, Session} = alcove:getsid(Drv, Path, 0),
    {ok, Session} = alcove:getsid(Drv, Child),
    %% The tree isn't in the session of the virtual machine: no terminal's signals reach it.
    {ok, Ours} = alcove:getsid(Drv, alcove_test:ospid()),
    ?assertNotEqual(Ours, Session),
    alcove_test:both(Config,
         fun(Do) ->
                 {error, esrch} = Do(getsid, [16#7fffffff]),
                 {error, esrch} = Do(getsid, [-1])
         end).

setpgid(Config) ->
    Drv = alcove_test:drv(Config),
    [Child] = Path = alcove_test:path(Config),
    {ok, Grandchild} = alcove:fork(Drv, Path),
    alcove_test:both(Config,
         fun(Do) ->
                 {error, esrch} = Do(setpgid, [16#7fffffff, 0]),
                 {error, einval} = Do(setpgid, [0, -1]),
                 {error, eperm} = Do(setpgid, [0, 16#7ffffffe])
         end),
    ok = alcove:setpgid(Drv, Child, 0),
    Child = alcove:getpgrp(Drv, Path),
    ok = alcove:setpgid(Drv, Path, Grandchild, Grandchild),
    Grandchild = alcove:getpgrp(Drv, Path ++ [Grandchild]).

setsid(Config) ->
    Drv = alcove_test:drv(Config),
    [Child] = Path = alcove_test:path(Config),
    {ok, Child} = alcove:setsid(Drv, Path),
    {ok, Child} = alcove:getsid(Drv, Path, 0),
    {error, eperm} = alcove:setsid(Drv, Path),
    %% Root's answer depends on how it was started.
    case alcove:setsid(Drv) of
        {ok, Root} -> Root = alcove:getpid(Drv);
        {error, eperm} -> ok
    end.

%% ---------------------------------------------------------------------------
%% Credentials
%% ---------------------------------------------------------------------------

getuid(Config) ->
    Uid = list_to_integer(string:trim(os:cmd("id -u"))),
    alcove_test:both(Config, fun(Do) -> Uid = Do(getuid, []) end).

getgid(Config) ->
    Gid = list_to_integer(string:trim(os:cmd("id -g"))),
    alcove_test:both(Config, fun(Do) -> Gid = Do(getgid, []) end).

setuid(Config) ->
    case alcove_test:root() of
        true ->
            Do = in_child(Config),
            ok = Do(setuid, [0]),
            ok = Do(setuid, [16#f0000000 + 7]),
            16#f0000007 = Do(getuid, []),
            {error, eperm} = Do(setuid, [0]),
            Largest = in_child(Config),
            ok = Largest(setuid, [16#fffffffe]),
            16#fffffffe = Largest(getuid, []),
            alcove_test:both(Config, fun(Both) -> ok = Both(setuid, [65533]), 65533 = Both(getuid, []) end);
        false ->
            alcove_test:both(Config,
                 fun(Both) ->
                         ok = Both(setuid, [Both(getuid, [])]),
                         {error, eperm} = Both(setuid, [0])
                 end)
    end.

setgid(Config) ->
    case alcove_test:root() of
        true ->
            Do = in_child(Config),
            ok = Do(setgid, [16#f0000000 + 7]),
            16#f0000007 = Do(getgid, []),
            ok = Do(setgid, [0]),
            ok = Do(setgid, [65533]),
            ok = Do(setuid, [65533]),
            {error, eperm} = Do(setgid, [0]),
            alcove_test:both(Config, fun(Both) -> ok = Both(setgid, [65533]), 65533 = Both(getgid, []) end);
        false ->
            alcove_test:both(Config,
                 fun(Both) ->
                         ok = Both(setgid, [Both(getgid, [])]),
                         {error, eperm} = Both(setgid, [0])
                 end)
    end.

%% ---------------------------------------------------------------------------
%% Files
%% ---------------------------------------------------------------------------

chdir(Config) ->
    Dir = alcove_test:tmp(Config),
    File = file(Config, "file"),
    ok = file:write_file(File, <<>>),
    alcove_test:both(Config,
         fun(Do) ->
                 ok = Do(chdir, [Dir]),
                 {ok, Cwd} = Do(getcwd, []),
                 Dir = binary_to_list(Cwd),
                 ok = Do(chdir, [[<<"/">>, []]]),
                 {ok, <<"/">>} = Do(getcwd, []),
                 {error, enoent} = Do(chdir, ["/nonexistent"]),
                 {error, enotdir} = Do(chdir, [File]),
                 {error, enametoolong} = Do(chdir, [lists:duplicate(5000, $a)]),
                 {ok, <<"/">>} = Do(getcwd, [])
         end).

chmod(Config) ->
    File = file(Config, <<"f\x{f6}"/utf8>>),
    ok = file:write_file(File, <<>>),
    alcove_test:both(Config,
         fun(Do) ->
                 [begin
                      ok = Do(chmod, [File, Mode]),
                      ?assertEqual(Mode, mode(File))
                  end || Mode <- [8#600, 8#7777, 0, 8#644]],
                 {error, enoent} = Do(chmod, ["/nonexistent", 8#600])
         end).

mode(File) ->
    {ok, Info} = file:read_file_info(File, [raw]),
    Info#file_info.mode band 8#7777.

chown(Config) ->
    File = file(Config, "file"),
    ok = file:write_file(File, <<>>),
    {ok, Before} = file:read_file_info(File, [raw]),
    #file_info{uid = Uid, gid = Gid} = Before,
    alcove_test:both(Config,
         fun(Do) ->
                 case alcove_test:root() of
                     true ->
                         ok = Do(chown, [File, 65533, 16#fffffffe]),
                         {ok, #file_info{uid = 65533, gid = 16#fffffffe}} = file:read_file_info(File, [raw]);
                     false ->
                         {error, eperm} = Do(chown, [File, 0, 0])
                 end,
                 ok = Do(chown, [File, Uid, Gid]),
                 {error, enoent} = Do(chown, ["/nonexistent", Uid, Gid])
         end).

chroot(Config) ->
    Dir = alcove_test:tmp(Config),
    alcove_test:both(Config, fun(Do) ->
                         case alcove_test:root() of
                             true -> {error, enoent} = Do(chroot, ["/nonexistent"]);
                             false -> {error, eperm} = Do(chroot, [Dir])
                         end
                 end),
    case alcove_test:root() of
        true ->
            ok = file:write_file(file(Config, "here"), <<>>),
            alcove_test:both(Config, fun(Do) ->
                                 {error, enotdir} = Do(chroot, [file(Config, "here")]),
                                 ok = Do(chroot, [Dir]),
                                 ok = Do(chdir, ["/"]),
                                 {ok, [<<"here">>]} = Do(readdir, ["/"]),
                                 {error, enoent} = Do(readdir, [Dir])
                         end);
        false ->
            ok
    end.

getcwd(Config) ->
    Dir = file(Config, "gone"),
    alcove_test:both(Config,
         fun(Do) ->
                 ok = file:make_dir(Dir),
                 ok = Do(chdir, [Dir]),
                 {ok, Cwd} = Do(getcwd, []),
                 Dir = binary_to_list(Cwd),
                 ok = file:del_dir(Dir),
                 {error, enoent} = Do(getcwd, []),
                 ok = Do(chdir, ["/"]),
                 {ok, <<"/">>} = Do(getcwd, [])
         end).

mkdir(Config) ->
    Dir = file(Config, "dir"),
    alcove_test:both(Config,
         fun(Do) ->
                 ok = Do(mkdir, [Dir, 8#700]),
                 ?assertEqual(8#700, mode(Dir)),
                 {error, eexist} = Do(mkdir, [Dir, 8#700]),
                 {error, enoent} = Do(mkdir, [filename:join([Dir, "a", "b"]), 8#700]),
                 ok = file:del_dir(Dir)
         end).

readdir(Config) ->
    Dir = file(Config, "dir"),
    ok = file:make_dir(Dir),
    alcove_test:both(Config,
         fun(Do) ->
                 {ok, []} = Do(readdir, [Dir]),
                 {error, enoent} = Do(readdir, ["/nonexistent"]),
                 {error, enotdir} = Do(readdir, ["/proc/self/stat"])
         end),
    %% Names are bytes, in whatever encoding.
    Names = [<<"a">>, <<".hidden">>, <<"...">>, <<"with\nnewline">>, <<255, 254>>]
        ++ [integer_to_binary(N) || N <- lists:seq(1, 1000)],
    [ok = file:write_file(<<(list_to_binary(Dir))/binary, "/", Name/binary>>, <<>>) || Name <- Names],
    alcove_test:both(Config,
         fun(Do) ->
                 {ok, Read} = Do(readdir, [Dir]),
                 ?assertEqual(lists:sort(Names), lists:sort(Read))
         end).

rmdir(Config) ->
    Dir = file(Config, "dir"),
    File = filename:join(Dir, "file"),
    alcove_test:both(Config,
         fun(Do) ->
                 ok = file:make_dir(Dir),
                 ok = file:write_file(File, <<>>),
                 {error, enotempty} = Do(rmdir, [Dir]),
                 {error, enotdir} = Do(rmdir, [File]),
                 ok = file:delete(File),
                 ok = Do(rmdir, [Dir]),
                 {error, enoent} = Do(rmdir, [Dir])
         end).

%% ---------------------------------------------------------------------------
%% File descriptors
%% ---------------------------------------------------------------------------

open(Config) ->
    File = file(Config, "file"),
    alcove_test:both(Config,
         fun(Do) ->
                 _ = file:delete(File),
                 {error, enoent} = Do(open, [File, o_rdonly, 0]),
                 {error, enoent} = Do(open, [File, 0, 0]),
                 Flags = alcove_test:constant(o_wronly) bor alcove_test:constant(o_creat),
                 {ok, Fd} = Do(open, [File, Flags, 8#640]),
                 ?assertEqual(8#640, mode(File)),
                 %% The lowest number that is free, as POSIX has it.
                 ?assertEqual(3, Fd),
                 {ok, Next} = Do(open, [File, [o_rdwr, o_cloexec], 0]),
                 ?assertEqual(4, Next),
                 {error, eexist} = Do(open, [File, [o_wronly, o_creat, o_excl], 8#640]),
                 {error, eisdir} = Do(open, ["/", ['O_WRONLY'], 0]),
                 ok = Do(close, [Fd]),
                 ok = Do(close, [Next])
         end).

close(Config) ->
    alcove_test:both(Config,
         fun(Do) ->
                 {ok, Fd} = Do(open, ["/dev/null", 0, 0]),
                 ok = Do(close, [Fd]),
                 {error, ebadf} = Do(close, [Fd]),
                 {error, ebadf} = Do(close, [1000])
         end),
    %% Its own standard streams are the process' to close.
    Do = in_child(Config),
    ok = Do(close, [0]),
    {error, ebadf} = Do(close, [0]),
    {ok, 0} = Do(open, ["/dev/null", 0, 0]).

read(Config) ->
    File = file(Config, "file"),
    Bytes = binary:copy(<<0, 1, 255, "abcde">>, 131072),
    ok = file:write_file(File, Bytes),
    alcove_test:both(Config,
         fun(Do) ->
                 {ok, Fd} = Do(open, [File, o_rdonly, 0]),
                 {ok, <<>>} = Do(read, [Fd, 0]),
                 {ok, <<0, 1, 255, "a">>} = Do(read, [Fd, 4]),
                 ok = Do(lseek, [Fd, 0, 0]),
                 %% A megabyte in one call.
                 {ok, Bytes} = Do(read, [Fd, byte_size(Bytes)]),
                 %% At the end.
                 {ok, <<>>} = Do(read, [Fd, 100]),
                 ok = Do(lseek, [Fd, -3, seek_end]),
                 {ok, <<"cde">>} = Do(read, [Fd, 16 * 1024 * 1024]),
                 ok = Do(close, [Fd]),
                 {error, ebadf} = Do(read, [Fd, 1]),
                 {ok, Dir} = Do(open, ["/", o_rdonly, 0]),
                 {error, eisdir} = Do(read, [Dir, 1]),
                 ok = Do(close, [Dir])
         end).

write(Config) ->
    File = file(Config, "file"),
    alcove_test:both(Config,
         fun(Do) ->
                 _ = file:delete(File),
                 {ok, Fd} = Do(open, [File, [o_rdwr, o_creat], 8#600]),
                 {ok, 0} = Do(write, [Fd, <<>>]),
                 {ok, 0} = Do(write, [Fd, []]),
                 {ok, 6} = Do(write, [Fd, ["abc", <<0>>, [$d | <<255>>]]]),
                 {ok, <<"abc", 0, "d", 255>>} = file:read_file(File),
                 Large = binary:copy(<<"0123456789abcdef">>, 65536),
                 {ok, 1048576} = Do(write, [Fd, Large]),
                 {ok, <<_:6/binary, Large/binary>>} = file:read_file(File),
                 ok = Do(close, [Fd]),
                 {error, ebadf} = Do(write, [Fd, <<"x">>]),
                 {ok, ReadOnly} = Do(open, [File, o_rdonly, 0]),
                 {error, ebadf} = Do(write, [ReadOnly, <<"x">>]),
                 ok = Do(close, [ReadOnly])
         end).

lseek(Config) ->
    File = file(Config, "file"),
    ok = file:write_file(File, <<"0123456789">>),
    alcove_test:both(Config,
         fun(Do) ->
                 {ok, Fd} = Do(open, [File, o_rdonly, 0]),
                 [begin
                      ok = Do(lseek, [Fd, Offset, Whence]),
                      {ok, Byte} = Do(read, [Fd, 1])
                  end || {Offset, Whence, Byte} <- [{5, 0, <<"5">>}, {2, 1, <<"8">>}, {-1, 2, <<"9">>},
                                                    {0, seek_set, <<"0">>}, {3, seek_cur, <<"4">>},
                                                    {-2, 'SEEK_END', <<"8">>}]],
                 %% Beyond four gigabytes.
                 ok = Do(lseek, [Fd, 1 bsl 40, seek_set]),
                 {ok, <<>>} = Do(read, [Fd, 1]),
                 {error, einval} = Do(lseek, [Fd, -1, seek_set]),
                 {error, einval} = Do(lseek, [Fd, 0, 1000]),
                 ok = Do(close, [Fd]),
                 {error, ebadf} = Do(lseek, [Fd, 0, 0]),
                 {error, espipe} = Do(lseek, [0, 0, 0])
         end).

select(Config) ->
    Drv = alcove_test:drv(Config),
    Path = alcove_test:path(Config),
    Now = #alcove_timeval{sec = 0, usec = 0},
    alcove_test:both(Config,
         fun(Do) ->
                 {ok, [], [], []} = Do(select, [[], [], [], Now]),
                 {ok, [], [], []} = Do(select, [[0], [], [], #alcove_timeval{sec = 0, usec = 1000}]),
                 {ok, [], [1], []} = Do(select, [[0], [1], [0, 1], Now]),
                 {ok, Null} = Do(open, ["/dev/null", o_rdwr, 0]),
                 {ok, [Null], [Null], []} = Do(select, [[Null, 0], [Null], [], <<>>]),
                 ok = Do(close, [Null]),
                 {error, ebadf} = Do(select, [[Null], [], [], <<>>]),
                 {error, ebadf} = Do(select, [[], [], [5000], Now]),
                 {error, einval} = Do(select, [[], [], [], #alcove_timeval{sec = -1, usec = 0}])
         end),
    %% It returns when something can be read.
    true = alcove:stdin(Drv, Path, "x"),
    {ok, [0], [], []} = alcove:select(Drv, Path, [0], [], [], <<>>),
    {ok, <<"x">>} = alcove:read(Drv, Path, 0, 10),
    {ok, [], [], []} = alcove:select(Drv, Path, [0], [], [], Now).

%% The control socket has a number, but not for the user: nothing done to it by
%% number reaches it.
internal_fds_are_invisible(Config) ->
    Drv = alcove_test:drv(Config),
    Path = [Child] = alcove_test:path(Config),
    {ok, Names} = alcove:readdir(Drv, Path, ["/proc/", integer_to_list(Child), "/fd"]),
    Fds = [binary_to_integer(Name) || Name <- Names],
    Seen = [Fd || Fd <- lists:seq(0, 255), alcove:lseek(Drv, Path, Fd, 0, 0) =/= {error, ebadf}],
    ?assertEqual([0, 1, 2], Seen),
    [begin
         {error, ebadf} = alcove:close(Drv, Path, Fd),
         {error, ebadf} = alcove:read(Drv, Path, Fd, 1),
         {error, ebadf} = alcove:write(Drv, Path, Fd, "x"),
         {error, ebadf} = alcove:select(Drv, Path, [Fd], [], [], <<>>)
     end || Fd <- Fds, Fd > 2],
    Child = alcove:getpid(Drv, Path),
    %% Nor does a program find anything but its streams and what was opened for it.
    true = alcove:setopt(Drv, Path, exit_status, 1),
    Program = alcove_test:fork(Drv, Path),
    {ok, 3} = alcove:open(Drv, Program, "/dev/null", o_rdonly, 0),
    {ok, 4} = alcove:open(Drv, Program, "/dev/null", [o_rdonly, o_cloexec], 0),
    {ok, 5} = alcove:open(Drv, Program, "/dev/null", o_rdonly, 0),
    Script = "n=0; while [ $n -lt 256 ]; do [ ! -e /proc/$$/fd/$n ] || echo $n; n=$((n + 1)); done",
    ok = alcove:execvp(Drv, Program, "/bin/sh", ["sh", "-c", Script]),
    {Open, {exit_status, 0}} = alcove_test:output(Drv, Program),
    ?assertEqual(<<"0\n1\n2\n3\n5\n">>, Open).

%% ---------------------------------------------------------------------------
%% The environment
%% ---------------------------------------------------------------------------

clearenv(Config) ->
    alcove_test:both(Config,
         fun(Do) ->
                 ok = Do(setenv, ["A", "1", 1]),
                 ok = Do(clearenv, []),
                 [] = Do(environ, []),
                 false = Do(getenv, ["A"]),
                 ok = Do(clearenv, []),
                 ok = Do(setenv, ["A", "1", 1]),
                 [<<"A=1">>] = Do(environ, [])
         end).

environ(Config) ->
    alcove_test:both(Config,
         fun(Do) ->
                 ok = Do(clearenv, []),
                 [] = Do(environ, []),
                 ok = Do(setenv, ["A", "", 1]),
                 ok = Do(setenv, [<<"B">>, <<"b=", 255>>, 1]),
                 [<<"A=">>, <<"B=b=", 255>>] = lists:sort(Do(environ, []))
         end).

getenv(Config) ->
    alcove_test:both(Config,
         fun(Do) ->
                 ok = Do(setenv, ["ALCOVE", "1", 1]),
                 <<"1">> = Do(getenv, ["ALCOVE"]),
                 <<"1">> = Do(getenv, [[<<"ALC">>, "OVE"]]),
                 false = Do(getenv, ["ALCOVE_NOT_SET"]),
                 false = Do(getenv, [""]),
                 false = Do(getenv, ["ALCOVE=1"])
         end).

setenv(Config) ->
    Drv = alcove_test:drv(Config),
    alcove_test:both(Config,
         fun(Do) ->
                 ok = Do(setenv, ["A", "1", 0]),
                 ok = Do(setenv, ["A", "2", 0]),
                 <<"1">> = Do(getenv, ["A"]),
                 ok = Do(setenv, ["A", "3", 1]),
                 <<"3">> = Do(getenv, ["A"]),
                 ok = Do(setenv, [<<"A">>, [], 1]),
                 <<>> = Do(getenv, ["A"]),
                 {error, einval} = Do(setenv, ["", "1", 1]),
                 {error, einval} = Do(setenv, ["A=B", "1", 1]),
                 Large = binary:copy(<<"v">>, 1048576),
                 ok = Do(setenv, ["LARGE", Large, 1]),
                 Large = Do(getenv, ["LARGE"]),
                 ok = Do(unsetenv, ["LARGE"])
         end),
    %% A child has a copy.
    ok = alcove:setenv(Drv, "COPY", "1", 1),
    Child = alcove_test:fork(Drv, []),
    <<"1">> = alcove:getenv(Drv, Child, "COPY"),
    ok = alcove:setenv(Drv, Child, "COPY", "2", 1),
    <<"1">> = alcove:getenv(Drv, "COPY").

unsetenv(Config) ->
    alcove_test:both(Config,
         fun(Do) ->
                 ok = Do(setenv, ["A", "1", 1]),
                 ok = Do(unsetenv, ["A"]),
                 false = Do(getenv, ["A"]),
                 ok = Do(unsetenv, ["A"]),
                 {error, einval} = Do(unsetenv, [""]),
                 {error, einval} = Do(unsetenv, ["A=B"])
         end).

%% ---------------------------------------------------------------------------
%% The host's name
%% ---------------------------------------------------------------------------

gethostname(Config) ->
    {ok, Name} = file:read_file("/proc/sys/kernel/hostname"),
    Expected = {ok, string:trim(Name)},
    alcove_test:both(Config, fun(Do) -> Expected = Do(gethostname, []) end).

sethostname(Config) ->
    case alcove_test:root() of
        true ->
            Drv = alcove_test:drv(Config),
            {ok, Outside} = alcove:gethostname(Drv),
            Do = in_clone(Config, [clone_newuts]),
            ok = Do(sethostname, ["test"]),
            {ok, <<"test">>} = Do(gethostname, []),
            {error, einval} = Do(sethostname, [lists:duplicate(65, $a)]),
            Longest = binary:copy(<<"a">>, 64),
            ok = Do(sethostname, [Longest]),
            {ok, Longest} = Do(gethostname, []),
            {ok, Outside} = alcove:gethostname(Drv),
            %% Root too has the form without a fork path.
            ok = alcove:unshare(Drv, clone_newuts),
            ok = alcove:sethostname(Drv, "root"),
            {ok, <<"root">>} = alcove:gethostname(Drv);
        false ->
            alcove_test:both(Config, fun(Do) -> {error, eperm} = Do(sethostname, ["test"]) end)
    end.

%% ---------------------------------------------------------------------------
%% Limits
%% ---------------------------------------------------------------------------

getrlimit(Config) ->
    alcove_test:both(Config,
         fun(Do) ->
                 {ok, #alcove_rlimit{cur = Cur, max = Max}} = Do(getrlimit, [rlimit_core]),
                 true = is_integer(Cur) andalso is_integer(Max),
                 Core = Do(rlimit_define, [rlimit_core]),
                 {ok, #alcove_rlimit{cur = Cur, max = Max}} = Do(getrlimit, [Core]),
                 {ok, #alcove_rlimit{}} = Do(getrlimit, ['RLIMIT_NOFILE']),
                 {error, einval} = Do(getrlimit, [1000])
         end).

setrlimit(Config) ->
    alcove_test:both(Config,
         fun(Do) ->
                 Set = fun(Cur, Max) -> Do(setrlimit, [rlimit_fsize, #alcove_rlimit{cur = Cur, max = Max}]) end,
                 Get = fun() -> Do(getrlimit, [rlimit_fsize]) end,
                 {ok, #alcove_rlimit{max = Infinity}} = Get(),
                 %% No limit is the largest number, or a word for it.
                 ok = Set(infinity, infinity),
                 {ok, #alcove_rlimit{cur = Infinity, max = Infinity}} = Get(),
                 ok = Set(-1, -1),
                 {ok, #alcove_rlimit{cur = Infinity, max = Infinity}} = Get(),
                 ok = Set(1 bsl 40, (1 bsl 40) + 1),
                 {ok, #alcove_rlimit{cur = 16#10000000000, max = 16#10000000001}} = Get(),
                 {error, einval} = Set(2, 1),
                 {error, einval} = Do(setrlimit, [1000, #alcove_rlimit{cur = 0, max = 0}]),
                 {error, einval} = Do(setrlimit, [16#ffffffffffffffff, #alcove_rlimit{cur = 0, max = 0}])
         end),
    Do = in_child(Config),
    case alcove_test:root() of
        true -> ok = Do(setuid, [65533]);
        false -> ok
    end,
    ok = Do(setrlimit, [rlimit_nproc, #alcove_rlimit{cur = 1, max = 1}]),
    {error, eperm} = Do(setrlimit, [rlimit_nproc, #alcove_rlimit{cur = 1, max = 2}]).

%% ---------------------------------------------------------------------------
%% Signals
%% ---------------------------------------------------------------------------

kill(Config) ->
    Drv = alcove_test:drv(Config),
    Path = [Child] = alcove_test:path(Config),
    alcove_test:both(Config,
         fun(Do) ->
                 ok = Do(kill, [Child, 0]),
                 {error, esrch} = Do(kill, [16#7ffffffe, 0]),
                 {error, einval} = Do(kill, [Child, 1000]),
                 {error, einval} = Do(kill, [Child, -1])
         end),
    true = alcove:setopt(Drv, termsig, 1),
    true = alcove:setopt(Drv, Path, termsig, 1),
    [begin
         Pid = alcove_test:run(Drv, Path, ["cat"]),
         ok = alcove:kill(Drv, Path, lists:last(Pid), Signal),
         ok = alcove_test:event(Drv, Pid, {termsig, Name})
     end || {Signal, Name} <- [{15, sigterm}, {sigterm, sigterm}, {'SIGTERM', sigterm}, {9, sigkill},
                               {sigkill, sigkill}, {sigusr1, sigusr1}, {sigabrt, sigabrt}]],
    ok = alcove:kill(Drv, Child, sigkill),
    ok = alcove_test:event(Drv, Path, {termsig, sigkill}).

sigaction(Config) ->
    Drv = alcove_test:drv(Config),
    Path = alcove_test:path(Config),
    Caught = [sighup, sigint, sigquit, sigusr1, sigusr2, sigalrm, sigterm, sigcont, sigwinch, sigpipe],
    lists:foreach(
      fun({Where, Do}) ->
              Pid = Do(getpid, []),
              [begin
                   ok = Do(sigaction, [Signal, trap]),
                   ok = Do(kill, [Pid, Signal]),
                   ok = alcove_test:event(Drv, Where, {signal, Signal}),
                   ok = Do(sigaction, [alcove_test:constant(Signal), ign]),
                   ok = Do(kill, [Pid, Signal]),
                   Pid = Do(getpid, []),
                   false = alcove:event(Drv, Where, 0)
               end || Signal <- Caught],
              [{error, einval} = Do(sigaction, [Signal, Handler])
               || Signal <- [sigkill, sigstop, 9, 'SIGSTOP', 0, 1000], Handler <- [dfl, ign, trap]],
              ok = Do(sigaction, [sigchld, trap]),
              {ok, Child} = Do(fork, []),
              ok = alcove:exit(Drv, Where ++ [Child], 0),
              ok = alcove_test:event(Drv, Where, {signal, sigchld}),
              ok = Do(sigaction, [sigchld, dfl])
      end,
      [{[], fun(Call, Args) -> apply(alcove, Call, [Drv | Args]) end},
       {Path, fun(Call, Args) -> apply(alcove, Call, [Drv, Path | Args]) end}]),
    %% The default is the default again.
    true = alcove:setopt(Drv, termsig, 1),
    ok = alcove:sigaction(Drv, Path, sigterm, dfl),
    ok = alcove:kill(Drv, lists:last(Path), sigterm),
    ok = alcove_test:event(Drv, Path, {termsig, sigterm}).

%% ---------------------------------------------------------------------------
%% Mounts and namespaces
%% ---------------------------------------------------------------------------

mount(Config) ->
    Dir = alcove_test:tmp(Config),
    alcove_test:need(
      [root],
      fun() ->
              Do = in_clone(Config, [clone_newns]),
              ok = Do(mount, ["none", "/", <<>>, [ms_rec, ms_private], <<>>]),
              ok = Do(mount, ["tmpfs", Dir, "tmpfs", 0, "size=64k,mode=0700"]),
              ok = Do(mkdir, [[Dir, "/inside"], 8#700]),
              {ok, [<<"inside">>]} = Do(readdir, [Dir]),
              {ok, []} = file:list_dir(Dir),
              ReadOnly = Do(mount_define, [rdonly]) bor Do(mount_define, [remount]),
              ok = Do(mount, ["tmpfs", Dir, "tmpfs", ReadOnly, ""]),
              {error, erofs} = Do(mkdir, [[Dir, "/more"], 8#700]),
              ok = Do(mount, ["tmpfs", Dir, "tmpfs", [rdonly, nosuid, 'MS_NOEXEC'], ""]),
              {error, enoent} = Do(mount, ["tmpfs", "/nonexistent", "tmpfs", 0, ""]),
              {error, enodev} = Do(mount, ["none", Dir, "nosuchfs", 0, ""]),
              {error, einval} = Do(mount, ["tmpfs", Dir, "tmpfs", 0, "nosuchoption=1"]),
              %% Without a fork path.
              Drv = alcove_test:drv(Config),
              {error, enoent} = alcove:mount(Drv, "tmpfs", "/nonexistent", "tmpfs", 0, ""),
              Ordinary = in_child(Config),
              ok = Ordinary(setuid, [65533]),
              {error, eperm} = Ordinary(mount, ["tmpfs", Dir, "tmpfs", 0, ""])
      end).

umount(Config) ->
    Dir = alcove_test:tmp(Config),
    alcove_test:both(Config,
         fun(Do) ->
                 case alcove_test:root() of
                     true ->
                         {error, einval} = Do(umount, [Dir]),
                         {error, enoent} = Do(umount, ["/nonexistent"]);
                     false ->
                         {error, eperm} = Do(umount, [Dir])
                 end
         end),
    case alcove_test:root() of
        true ->
            Do = in_clone(Config, [clone_newns]),
            ok = Do(mount, ["none", "/", <<>>, [ms_rec, ms_private], <<>>]),
            ok = Do(mount, ["tmpfs", Dir, "tmpfs", 0, ""]),
            {ok, Fd} = Do(open, [[Dir, "/file"], [o_creat, o_wronly], 8#600]),
            {error, ebusy} = Do(umount, [Dir]),
            ok = Do(close, [Fd]),
            ok = Do(umount, [Dir]),
            {error, einval} = Do(umount, [Dir]);
        false ->
            ok
    end.

setns(Config) ->
    Drv = alcove_test:drv(Config),
    alcove_test:both(Config,
         fun(Do) ->
                 {error, enoent} = Do(setns, ["/proc/0/ns/net"]),
                 {error, einval} = Do(setns, ["/dev/null"])
         end),
    alcove_test:need(
      [root],
      fun() ->
              {ok, Child1} = alcove:clone(Drv, clone_newuts),
              ok = alcove:sethostname(Drv, [Child1], "test"),
              Path = ["/proc/", integer_to_list(Child1), "/ns/uts"],
              alcove_test:both(Config,
                   fun(Do) ->
                           ok = Do(setns, [Path]),
                           {ok, <<"test">>} = Do(gethostname, [])
                   end)
      end).

unshare(Config) ->
    alcove_test:both(Config,
         fun(Do) ->
                 ok = Do(unshare, [0]),
                 {error, einval} = Do(unshare, [1]),
                 case alcove_test:root() of
                     true ->
                         [begin
                              Name = list_to_binary(lists:concat(["unshare", N])),
                              ok = Do(unshare, [Flags]),
                              ok = Do(sethostname, [Name]),
                              {ok, Name} = Do(gethostname, [])
                          end || {N, Flags} <- [{1, clone_newuts}, {2, [clone_newuts, clone_newipc]},
                                                {3, 'CLONE_NEWUTS'},
                                                {4, Do(define, [[clone_newuts]])}]];
                     false ->
                         {error, eperm} = Do(unshare, [clone_newuts])
                 end
         end),
    {ok, Host} = file:read_file("/proc/sys/kernel/hostname"),
    nomatch = re:run(Host, "^unshare").

%% ---------------------------------------------------------------------------
%% prctl
%% ---------------------------------------------------------------------------

prctl(Config) ->
    alcove_test:both(Config,
         fun(Do) ->
                 {error, einval} = Do(prctl, [100000, 0, 0, 0, 0]),
                 %% A name goes in, and comes back in a buffer of the size that was given.
                 {ok, 0, <<"alcove-test", 0>>, 0, 0, 0} =
                     Do(prctl, [pr_set_name, <<"alcove-test", 0>>, 0, 0, 0]),
                 {ok, 0, <<"alcove-test", 0:48>>, 0, 0, 0} =
                     Do(prctl, ['PR_GET_NAME', <<0:136>>, 0, 0, 0]),
                 Get = Do(prctl_define, [pr_get_name]),
                 {ok, 0, <<"alcove-test", 0:48>>, 0, 0, 0} = Do(prctl, [Get, <<0:136>>, 0, 0, 0]),
                 {ok, 0, _, _, _, _} = Do(prctl, [pr_set_name, ["alc", <<"ove">>, 0], 0, 0, 0]),
                 %% A number.
                 {ok, 0, 5, 0, 0, 0} = Do(prctl, [pr_set_pdeathsig, 5, 0, 0, 0]),
                 {ok, 0, <<5:32/native>>, 0, 0, 0} = Do(prctl, [pr_get_pdeathsig, <<0:32>>, 0, 0, 0]),
                 %% No memory that isn't the caller's own.
                 {error, efault} = Do(prctl, [pr_get_pdeathsig, 1, 0, 0, 0]),
                 {error, einval} = Do(prctl, [pr_set_no_new_privs, 0, 0, 0, 0])
         end),
    Do = in_child(Config),
    {ok, 0, 1, 0, 0, 0} = Do(prctl, [pr_set_no_new_privs, 1, 0, 0, 0]),
    {ok, 1, 0, 0, 0, 0} = Do(prctl, [pr_get_no_new_privs, 0, 0, 0, 0]),
    case alcove_test:root() of
        true ->
            %% A capability that is held, and one dropped from the bounding set.
            {ok, 1, 0, 0, 0, 0} = Do(prctl, [pr_capbset_read, 0, 0, 0, 0]),
            {ok, 0, 0, 0, 0, 0} = Do(prctl, [pr_capbset_drop, 0, 0, 0, 0]),
            {ok, 0, 0, 0, 0, 0} = Do(prctl, [pr_capbset_read, 0, 0, 0, 0]);
        false ->
            ok
    end,
    %% A structure with a pointer in it: a filter that lets everything pass.
    Allow = <<16#06:16/native, 0, 0, 16#7fff0000:32/native>>,
    Pad = <<0:48>>,
    {ok, 0, 2, Program, 0, 0} =
        Do(prctl, [pr_set_seccomp, 2, [<<1:16/native>>, Pad, {ptr, Allow}], 0, 0]),
    [<<1:16/native>>, Pad, {ptr, Allow}] = Program,
    {ok, 2, 0, 0, 0, 0} = Do(prctl, [pr_get_seccomp, 0, 0, 0, 0]),
    true = is_integer(Do(getpid, [])).

%% ---------------------------------------------------------------------------
%% Constants
%% ---------------------------------------------------------------------------

define(Config) ->
    alcove_test:both(Config,
         fun(Do) ->
                 16#04000000 = Do(define, [clone_newuts]),
                 16#04000000 = Do(define, ['CLONE_NEWUTS']),
                 16#0c000000 = Do(define, [[clone_newuts, 'CLONE_NEWIPC']]),
                 16#04000000 = Do(define, [[clone_newuts, clone_newuts]]),
                 0 = Do(define, [[]]),
                 unknown = Do(define, [no_such_constant]),
                 unknown = Do(define, [[clone_newuts, no_such_constant]]),
                 %% Whatever group has it.
                 15 = Do(define, [sigterm]),
                 true = is_integer(Do(define, [rlimit_nofile])),
                 true = is_integer(Do(define, [pr_set_name])),
                 true = is_integer(Do(define, [o_cloexec])),
                 1 = Do(define, [rdonly]),
                 [alcove_test:badarg(fun() -> Do(define, [Bad]) end)
                  || Bad <- [1, "clone_newuts", <<"clone_newuts">>, [1], [clone_newuts | a], {}]]
         end).

%% Every name of a group, in both cases of its letters.
constants(Config, Function, Group, Some) ->
    alcove_test:both(Config,
         fun(Do) ->
                 All = alcove_nif:constants(Group),
                 ?assert(length(All) >= length(Some)),
                 [begin
                      Value = Do(Function, [Name]),
                      Upper = list_to_atom(string:uppercase(atom_to_list(Name))),
                      Value = Do(Function, [Upper])
                  end || {Name, Value} <- All],
                 [?assertEqual({Name, Value}, {Name, Do(Function, [Name])}) || {Name, Value} <- Some],
                 unknown = Do(Function, [no_such_constant]),
                 %% Another group's name.
                 Other = case Group of signal -> clone_newuts; _ -> sigterm end,
                 unknown = Do(Function, [Other]),
                 [alcove_test:badarg(fun() -> Do(Function, [Bad]) end) || Bad <- [1, "a", {}]]
         end).

clone_define(Config) ->
    constants(Config, clone_define, clone,
              [{clone_newns, 16#00020000}, {clone_newuts, 16#04000000}, {clone_newipc, 16#08000000},
               {clone_newuser, 16#10000000}, {clone_newpid, 16#20000000}, {clone_newnet, 16#40000000}]).

file_define(Config) ->
    constants(Config, file_define, file,
              [{o_rdonly, 0}, {o_wronly, 1}, {o_rdwr, 2}, {seek_set, 0}, {seek_cur, 1}, {seek_end, 2}]).

mount_define(Config) ->
    constants(Config, mount_define, mount,
              [{rdonly, 1}, {nosuid, 2}, {nodev, 4}, {noexec, 8}, {ms_rdonly, 1}, {ms_bind, 4096}]).

prctl_define(Config) ->
    constants(Config, prctl_define, prctl,
              [{pr_set_pdeathsig, 1}, {pr_set_name, 15}, {pr_set_seccomp, 22}, {pr_set_no_new_privs, 38}]).

rlimit_define(Config) ->
    constants(Config, rlimit_define, rlimit, [{rlimit_cpu, 0}, {rlimit_fsize, 1}]).

signal_define(Config) ->
    constants(Config, signal_define, signal,
              [{sighup, 1}, {sigint, 2}, {sigkill, 9}, {sigsegv, 11}, {sigterm, 15}]).

signal_constant(Config) ->
    alcove_test:both(Config,
         fun(Do) ->
                 sighup = Do(signal_constant, [1]),
                 sigkill = Do(signal_constant, [9]),
                 sigterm = Do(signal_constant, [15]),
                 unknown = Do(signal_constant, [0]),
                 unknown = Do(signal_constant, [-1]),
                 unknown = Do(signal_constant, [1000]),
                 unknown = Do(signal_constant, [1 bsl 31 - 1]),
                 [Number = Do(signal_define, [Do(signal_constant, [Number])])
                  || {_, Number} <- alcove_nif:constants(signal)],
                 alcove_test:badarg(fun() -> Do(signal_constant, [a]) end)
         end).

syscall_define(Config) ->
    alcove_test:both(Config,
         fun(Do) ->
                 true = is_integer(Do(syscall_define, [sys_getpid])),
                 true = is_integer(Do(syscall_define, ['SYS_WRITE'])),
                 unknown = Do(syscall_define, [sys_no_such_call]),
                 unknown = Do(syscall_define, [sigterm]),
                 alcove_test:badarg(fun() -> Do(syscall_define, [1]) end)
         end).

%% Flags in all their forms mean the same.
flags(Config) ->
    File = file(Config, "file"),
    Names = [o_rdwr, o_creat, o_trunc],
    Upper = ['O_RDWR', 'O_CREAT', 'O_TRUNC'],
    alcove_test:both(Config,
         fun(Do) ->
                 Number = Do(define, [Names]),
                 Number = Do(define, [Upper]),
                 [begin
                      _ = file:delete(File),
                      {ok, Fd} = Do(open, [File, Flags, 8#600]),
                      {ok, 1} = Do(write, [Fd, "x"]),
                      ok = Do(close, [Fd])
                  end || Flags <- [Number, Names, Upper, [o_creat, 'O_RDWR'], lists:reverse(Names)]],
                 %% A name of another group is no flag of this one.
                 [alcove_test:badarg(fun() -> Do(open, [File, Flags, 8#600]) end)
                  || Flags <- [clone_newuts, [o_rdonly, clone_newuts], sigterm, [[o_rdonly]]]]
         end).

%% ---------------------------------------------------------------------------
%% Calls of any kind
%% ---------------------------------------------------------------------------

call(Config) ->
    Drv = alcove_test:drv(Config),
    Path = [Child] = alcove_test:path(Config),
    Root = alcove:call(Drv, getpid),
    Root = alcove:call(Drv, getpid, []),
    Root = alcove:call(Drv, [], getpid, []),
    Child = alcove:call(Drv, Path, getpid, []),
    Child = alcove:call(Drv, Path, getpid, [], infinity),
    Child = alcove:call(Drv, Path, getpid, [], alcove_test:ms(5000)),
    {error, enoent} = alcove:call(Drv, Path, chdir, ["/nonexistent"]),
    {error, enoent} = alcove:call(Drv, chdir, ["/nonexistent"]),
    %% What looks like a call of the process.
    [Flag, Flag, Flag] = [alcove:define(Drv, o_creat), alcove:call(Drv, define, [o_creat]),
                          alcove:call(Drv, Path, file_define, [['O_CREAT']], alcove_test:ms(5000))],
    [unknown = alcove:call(Drv, Path, Define, [no_such_name])
     || Define <- [define | [list_to_atom(lists:concat([Group, "_define"]))
                             || Group <- maps:keys(alcove:constants())]]],
    sigkill = alcove:call(Drv, signal_constant, [9]),
    enoent = alcove:call(Drv, Path, errno_id, [2]),
    true = alcove:cpid(Drv) =:= alcove:call(Drv, cpid),
    [] = alcove:call(Drv, Path, cpid, [], alcove_test:ms(5000)),
    {error, ebadf} = alcove:call(Drv, Path, setns, [1000, 0]),
    [alcove_test:badarg(Fun)
     || Fun <- [fun() -> alcove:call(Drv, no_such_call) end,
                fun() -> alcove:call(Drv, Path, no_such_call, []) end,
                fun() -> alcove:call(Drv, Path, getpid, [1]) end,
                fun() -> alcove:call(Drv, Path, chdir, []) end,
                fun() -> alcove:call(Drv, Path, define, ["o_creat"], alcove_test:ms(5000)) end,
                fun() -> alcove:call(Drv, Path, define, [o_creat | o_excl]) end,
                fun() -> alcove:call(Drv, Path, errno_id, [enoent]) end,
                fun() -> alcove:call(Drv, Path, cpid, [1]) end,
                fun() -> alcove:call(Drv, Path, stdin, ["x"]) end,
                fun() -> alcove:call(Drv, Path, chdir, ["/", "/"]) end,
                fun() -> alcove:call(Drv, Path, chdir, a) end,
                fun() -> alcove:call(Drv, Path, chdir, ["/" | a]) end,
                fun() -> alcove:call(Drv, Path, "getpid", []) end,
                fun() -> alcove:call(Drv, Path, getpid, [], -1) end,
                fun() -> alcove:call(Drv, Path, getpid, [], 1 bsl 32) end,
                fun() -> alcove:call(Drv, Path, getpid, [], a) end,
                fun() -> alcove:call(Drv, Path, getpid, [], 1.0) end,
                fun() -> alcove:call(Drv, a, getpid, []) end]],
    %% When the time runs out the caller exits, and the answer comes as a message.
    Select = [[], [], [], #alcove_timeval{sec = 1, usec = 0}],
    timeout = try alcove:call(Drv, Path, select, Select, 10) catch exit:Reason -> Reason end,
    receive
        {alcove_call, Drv, Path, {ok, [], [], []}} -> ok
    after alcove_test:ms(5000) -> ct:fail(no_late_reply)
    end,
    timeout = try alcove:call(Drv, Path, select, Select, 0) catch exit:Reason0 -> Reason0 end,
    receive
        {alcove_call, Drv, Path, {ok, [], [], []}} -> ok
    after alcove_test:ms(5000) -> ct:fail(no_late_reply)
    end.

batch(Config) ->
    Drv = alcove_test:drv(Config),
    Path = [Child] = alcove_test:path(Config),
    {ok, []} = alcove:batch(Drv, Path, []),
    {ok, [Child, ok, {ok, <<"/">>}, []]} =
        alcove:batch(Drv, Path, [{getpid, []}, {chdir, ["/"]}, {getcwd, []}, {pid, []}]),
    {ok, [Root]} = alcove:batch(Drv, [], [{getpid, []}]),
    Root = alcove:getpid(Drv),
    %% It stops at the first that fails, and says which.
    {error, {2, chdir, enoent}} =
        alcove:batch(Drv, Path, [{setenv, ["A", "1", 1]}, {chdir, ["/nonexistent"]}, {setenv, ["A", "2", 1]}]),
    <<"1">> = alcove:getenv(Drv, Path, "A"),
    %% `false' is an answer, not a failure.
    {ok, [false, Child]} = alcove:batch(Drv, Path, [{getenv, ["ALCOVE_NOT_SET"]}, {getpid, []}]),
    %% Fork in a batch: the child waits in its event loop.
    {ok, [{ok, Forked}, Child]} = alcove:batch(Drv, Path, [{fork, []}, {getpid, []}]),
    Forked = alcove:getpid(Drv, Path ++ [Forked]),
    %% Arguments are looked at before anything is done.
    [alcove_test:badarg(fun() -> alcove:batch(Drv, Path, Calls) end)
     || Calls <- [a, [a], [getpid], [{getpid}], [{getpid, a}], [{getpid, [1]}], [{no_such_call, []}],
                  [{setenv, ["A", "3", 1]}, {chdir, [a]}], [{getpid, []} | a]]],
    <<"1">> = alcove:getenv(Drv, Path, "A"),
    alcove_test:badpid(fun() -> alcove:batch(Drv, [1], [{getpid, []}]) end),
    %% Ten thousand calls in one frame.
    {ok, Many} = alcove:batch(Drv, Path, lists:duplicate(10000, {getpid, []})),
    ?assertEqual(lists:duplicate(10000, Child), Many),
    %% exec and exit end it.
    A = alcove_test:fork(Drv, Path),
    {ok, [ok, ok]} = alcove:batch(Drv, A, [{chdir, ["/"]}, {execvp, ["cat", ["cat"]]}]),
    true = alcove:stdin(Drv, A, "x"),
    <<"x">> = alcove_test:collect(Drv, A, 1),
    B = alcove_test:fork(Drv, Path),
    {error, {2, execvp, enoent}} =
        alcove:batch(Drv, B, [{chdir, ["/"]}, {execvp, ["/nonexistent", ["x"]]}]),
    {ok, <<"/">>} = alcove:getcwd(Drv, B),
    %% They come last.
    [alcove_test:badarg(fun() -> alcove:batch(Drv, B, [{chdir, ["/tmp"]}, Leaves, {getpid, []}]) end)
     || Leaves <- [{exit, [0]}, {execvp, ["true", ["true"]]}, {execve, ["/bin/true", ["true"], []]},
                   {fexecve, [0, ["true"], []]}]],
    {ok, <<"/">>} = alcove:getcwd(Drv, B),
    {ok, [ok]} = alcove:batch(Drv, B, [{exit, [0]}]).

spawn(Config) ->
    Drv = alcove_test:drv(Config),
    Path = alcove_test:path(Config),
    %% Without exec the new process waits in its event loop.
    {ok, Pid} = alcove:spawn(Drv, Path, fork, [{chdir, ["/"]}, {setenv, ["A", "1", 1]}]),
    Pid = alcove:getpid(Drv, Path ++ [Pid]),
    <<"1">> = alcove:getenv(Drv, Path ++ [Pid], "A"),
    {ok, Empty} = alcove:spawn(Drv, [], fork, []),
    Empty = alcove:getpid(Drv, [Empty]),
    %% With it, it is the program.
    {ok, Cat} = alcove:spawn(Drv, Path, fork, [{chdir, ["/"]}, {execvp, ["cat", ["cat"]]}]),
    true = alcove:stdin(Drv, Path ++ [Cat], "x"),
    <<"x">> = alcove_test:collect(Drv, Path ++ [Cat], 1),
    alcove_test:badpid(fun() -> alcove:getpid(Drv, Path ++ [Cat]) end),
    %% What fails ends the new process, and is named.
    Before = lists:sort(alcove:pid(Drv, Path)),
    {error, {2, chdir, enoent}} =
        alcove:spawn(Drv, Path, fork, [{chdir, ["/"]}, {chdir, ["/nonexistent"]}, {execvp, ["cat", ["cat"]]}]),
    {error, {1, execvp, enoent}} = alcove:spawn(Drv, Path, fork, [{execvp, ["/nonexistent", ["x"]]}]),
    true = alcove_test:until(fun() -> lists:sort(alcove:pid(Drv, Path)) =:= Before end),
    [alcove_test:badarg(fun() -> alcove:spawn(Drv, Path, How, Calls) end)
     || {How, Calls} <- [{a, []}, {fork, a}, {fork, [a]}, {{clone, no_such_flag}, []}, {{clone, -1}, []},
                         {fork, [{chdir, [a]}]}, {fork, [{no_such_call, []}]},
                         {fork, [{exit, [0]}, {getpid, []}]}]],
    alcove_test:badpid(fun() -> alcove:spawn(Drv, [1], fork, []) end),
    true = alcove_test:until(fun() -> lists:sort(alcove:pid(Drv, Path)) =:= Before end),
    true = alcove:setopt(Drv, Path, maxchild, 0),
    None = alcove_test:fork(Drv, Path),
    {error, eagain} = alcove:spawn(Drv, None, fork, [{chdir, ["/"]}]),
    {error, einval} = alcove:spawn(Drv, Path, {clone, [clone_newns, clone_fs]}, []),
    case alcove_test:root() of
        true ->
            {ok, Init} = alcove:spawn(Drv, Path, {clone, [clone_newuts, clone_newpid]},
                                      [{sethostname, ["spawned"]}]),
            {ok, <<"spawned">>} = alcove:gethostname(Drv, Path ++ [Init]),
            1 = alcove:getpid(Drv, Path ++ [Init]);
        false ->
            {error, eperm} = alcove:spawn(Drv, Path, {clone, clone_newuts}, [])
    end.

%% ---------------------------------------------------------------------------
%% Streams
%% ---------------------------------------------------------------------------

stdin(Config) ->
    Drv = alcove_test:drv(Config),
    Path = alcove_test:path(Config),
    Cat = alcove_test:run(Drv, Path, ["cat"]),
    true = alcove:stdin(Drv, Cat, "a"),
    true = alcove:stdin(Drv, Cat, <<0, 255>>),
    true = alcove:stdin(Drv, Cat, [$b, <<"c">>, ["d" | <<"e">>]]),
    true = alcove:stdin(Drv, Cat, []),
    <<"a", 0, 255, "bcde">> = alcove_test:collect(Drv, Cat, 7),
    [alcove_test:badarg(fun() -> alcove:stdin(Drv, Cat, Bad) end)
     || Bad <- [a, 1, [a], [256], [-1], {}, <<1:1>>, ["a" | a]]],
    alcove_test:badarg(fun() -> alcove:stdin(Drv, a, "a") end),
    alcove_test:badpid(fun() -> alcove:stdin(Drv, [1], "a") end),
    %% A process in its event loop has a stdin too, for whatever reads it.
    true = alcove:stdin(Drv, Path, "early"),
    {ok, <<"early">>} = alcove:read(Drv, Path, 0, 100),
    %% Root's, without a fork path.
    true = alcove:stdin(Drv, "root"),
    {ok, <<"root">>} = alcove:read(Drv, 0, 100).

stdout(Config) ->
    Drv = alcove_test:drv(Config),
    Path = alcove_test:path(Config),
    Pid = alcove_test:shell(Drv, Path, "read x; echo out; read x; echo more"),
    false = alcove:stdout(Drv, Pid, 0),
    true = alcove:stdin(Drv, Pid, "\n"),
    <<"out\n">> = alcove:stdout(Drv, Pid),
    false = alcove:stdout(Drv, Pid, 10),
    true = alcove:stdin(Drv, Pid, "\n"),
    <<"more\n">> = alcove:stdout(Drv, Pid, alcove_test:ms(5000)),
    %% What the event loop writes to its fd 1 is stdout as well; root's without a fork path.
    {ok, 5} = alcove:write(Drv, Path, 1, "loop\n"),
    <<"loop\n">> = alcove:stdout(Drv, Path),
    {ok, 5} = alcove:write(Drv, 1, "root\n"),
    <<"root\n">> = alcove:stdout(Drv),
    false = alcove:stdout(Drv, [], 0),
    wrong_waits(stdout, Drv, Path).

%% What can't be a Drv, a fork path or a timeout, for what waits for messages.
wrong_waits(Function, Drv, Path) ->
    [alcove_test:badarg(fun() -> apply(alcove, Function, Args) end)
     || Args <- [[a], [a, Path], [a, Path, 0], [Drv, a], [Drv, [a], 0], [Drv, Path, -1], [Drv, Path, a],
                 [Drv, Path, 1.0], [Drv, Path, 1 bsl 32], [Drv, [1 | 2], 0]]].

stderr(Config) ->
    Drv = alcove_test:drv(Config),
    Path = alcove_test:path(Config),
    Pid = alcove_test:shell(Drv, Path, "read x; echo out; echo err >&2; read x"),
    false = alcove:stderr(Drv, Pid, 0),
    true = alcove:stdin(Drv, Pid, "\n"),
    <<"err\n">> = alcove:stderr(Drv, Pid),
    <<"out\n">> = alcove:stdout(Drv, Pid, infinity),
    {ok, 5} = alcove:write(Drv, Path, 2, "loop\n"),
    <<"loop\n">> = alcove:stderr(Drv, Path, alcove_test:ms(5000)),
    false = alcove:stderr(Drv, [], 0),
    wrong_waits(stderr, Drv, Path).

eof(Config) ->
    Drv = alcove_test:drv(Config),
    Path = alcove_test:path(Config),
    true = alcove:setopt(Drv, Path, exit_status, 1),
    true = alcove:setopt(Drv, Path, termsig, 1),
    %% stdin: after everything that was sent.
    Sum = alcove_test:run(Drv, Path, ["wc", "-c"]),
    true = alcove:stdin(Drv, Sum, binary:copy(<<"x">>, 1000000)),
    ok = alcove:eof(Drv, Sum),
    {Count, {exit_status, 0}} = alcove_test:output(Drv, Sum),
    <<"1000000">> = string:trim(Count),
    Cat = alcove_test:run(Drv, Path, ["cat"]),
    ok = alcove:eof(Drv, Cat, stdin),
    ok = alcove_test:event(Drv, Cat, {exit_status, 0}),
    %% stdout and stderr: the writer gets SIGPIPE, as from a pager that was left.
    Out = alcove_test:run(Drv, Path, ["yes"]),
    _ = alcove_test:collect(Drv, Out, 1),
    ok = alcove:eof(Drv, Out, stdout),
    {_, {termsig, sigpipe}} = alcove_test:output(Drv, Out),
    Err = alcove_test:shell(Drv, Path, "echo ready; read x; exec yes >&2"),
    <<"ready\n">> = alcove_test:collect(Drv, Err, 6),
    ok = alcove:eof(Drv, Err, stderr),
    true = alcove:stdin(Drv, Err, "\n"),
    ok = alcove_test:event(Drv, Err, {termsig, sigpipe}),
    %% After its eof a stream takes nothing.
    Loop = alcove_test:fork(Drv, Path),
    ok = alcove:eof(Drv, Loop, stdin),
    {ok, <<>>} = alcove:read(Drv, Loop, 0, 1),
    {error, _} = alcove:stdin(Drv, Loop, "x"),
    alcove_test:badarg(fun() -> alcove:eof(Drv, Loop, stdnone) end),
    {error, esrch} = alcove:eof(Drv, [1]).

event(Config) ->
    Drv = alcove_test:drv(Config),
    Path = alcove_test:path(Config),
    false = alcove:event(Drv, Path, 0),
    false = alcove:event(Drv, [], 0),
    ok = alcove:sigaction(Drv, sigusr1, trap),
    ok = alcove:sigaction(Drv, Path, sigusr2, trap),
    ok = alcove:kill(Drv, alcove:getpid(Drv), sigusr1),
    {signal, sigusr1} = alcove:event(Drv),
    ok = alcove:kill(Drv, lists:last(Path), sigusr2),
    {signal, sigusr2} = alcove:event(Drv, Path),
    ok = alcove:kill(Drv, lists:last(Path), sigusr2),
    {signal, sigusr2} = alcove:event(Drv, Path, infinity),
    %% Events of a process are its own: another's stay where they are.
    ok = alcove:kill(Drv, lists:last(Path), sigusr2),
    ok = alcove:kill(Drv, alcove:getpid(Drv), sigusr1),
    {signal, sigusr1} = alcove:event(Drv, [], alcove_test:ms(5000)),
    {signal, sigusr2} = alcove:event(Drv, Path, alcove_test:ms(5000)),
    false = alcove:event(Drv, Path, 0),
    wrong_waits(event, Drv, Path).
