%% @doc Properties: whatever the arguments are, a call is `badarg' or has a reply, and the
%% process and its Drv answer the next one.
%%
%% The generators are PropEr's, which Debian has as erlang-proper; without it everything here
%% is skipped. Calls with arguments that the kernel may get are made in a process that is
%% nobody, in namespaces and a root directory of its own.
-module(alcove_prop_SUITE).

-include_lib("stdlib/include/assert.hrl").
-include("alcove.hrl").

-export([suite/0, all/0, init_per_suite/1, end_per_suite/1, init_per_testcase/2, end_per_testcase/2]).
-export([wrong_shapes/1, every_function/1, any_arguments/1, any_batch/1, any_stdin/1, any_fork_path/1, any_option/1,
         any_constant/1, large_arguments/1]).

-define(TESTS, 500).

%% A machine that is busy with something else has no less to do.
suite() ->
    [{timetrap, alcove_test:ms(300000)}].

all() ->
    [wrong_shapes, every_function, any_arguments, any_batch, any_stdin, any_fork_path, any_option,
     any_constant, large_arguments].

init_per_suite(Config) ->
    case code:which(proper) of
        non_existing -> alcove_test:skip("needs PropEr (Debian: erlang-proper)");
        _ -> alcove_test:init_suite(Config)
    end.

end_per_suite(_Config) ->
    ok.

init_per_testcase(_Case, Config) ->
    alcove_test:init_case([{exit_status, true}, {termsig, true}], Config).

end_per_testcase(_Case, Config) ->
    alcove_test:end_case(Config).

%% Checks a property of what a generator makes; a counterexample fails the case.
forall(Generator, Holds) ->
    forall(?TESTS, Generator, Holds).

forall(Tests, Generator, Holds) ->
    Property = proper:forall(Generator, Holds),
    case proper:quickcheck(Property, [{numtests, Tests}, {on_output, fun ct:log/2}, long_result]) of
        true -> ok;
        Counterexample -> ct:fail({counterexample, short(Counterexample)})
    end.

short(Term) ->
    lists:flatten(io_lib:format("~P", [Term, 60])).

%% The outcome of a call that may take as long as a test has.
outcome(Fun) ->
    try Fun() of
        Value -> {returned, Value}
    catch
        Class:Reason -> {Class, Reason}
    end.

%% ---------------------------------------------------------------------------
%% Generators
%% ---------------------------------------------------------------------------

oneof(Generators) -> proper_types:oneof(Generators).

let_(Generator, Fun) -> proper_types:bind(Generator, Fun, false).

%% What no argument may be, whatever its kind.
wrong() ->
    oneof([proper_types:float(), let_(proper_types:integer(), fun(N) -> (1 bsl 70) + N end),
           let_(proper_types:integer(), fun(N) -> -(1 bsl 70) + N end),
           proper_types:exactly(self()), proper_types:exactly(make_ref()),
           proper_types:exactly(fun() -> ok end), proper_types:exactly(<<1:3>>),
           let_(proper_types:list(proper_types:byte()), fun(Bytes) -> [65 | Bytes] ++ no_tail end),
           let_(proper_types:non_neg_integer(), fun(N) -> deep(10 * N, no_tail) end),
           let_(proper_types:any(), fun(Any) -> {not_a_record, Any, Any} end),
           let_(proper_types:any(), fun(Any) -> #{Any => Any} end),
           let_(proper_types:atom(), fun(Atom) -> list_to_atom("no such " ++ lists:sublist(atom_to_list(Atom), 2)) end)]).

deep(0, Term) -> Term;
deep(N, Term) -> deep(N - 1, [Term]).

%% What an argument may be, or nearly.
near() ->
    oneof([proper_types:integer(), proper_types:largeint(), edge(), proper_types:binary(), proper_types:string(),
           proper_types:list(proper_types:byte()), iolist(), proper_types:list(proper_types:integer()),
           proper_types:list(proper_types:binary()), constant(), proper_types:list(constant()), structure(),
           let_({number(), number()}, fun({A, B}) -> #alcove_rlimit{cur = A, max = B} end),
           let_({number(), number()}, fun({A, B}) -> #alcove_timeval{sec = A, usec = B} end),
           let_({number(), constant()}, fun({Fd, Event}) -> [{Fd, Event}] end),
           let_({proper_types:list(proper_types:byte()), number()}, fun(Address) -> {inet, Address} end),
           let_(proper_types:binary(), fun(Path) -> {local, Path} end),
           let_(proper_types:binary(), fun(Path) -> <<Path/binary, 0, Path/binary>> end)]).

number() -> oneof([proper_types:integer(), edge()]).

edge() ->
    let_({oneof([7, 8, 15, 16, 31, 32, 62, 63, 64]), oneof([-1, 0, 1]), oneof([1, -1])},
         fun({Bits, More, Sign}) -> Sign * (1 bsl Bits) + More end).

constant() ->
    oneof([Name || Group <- [clone, file, mount, prctl, rlimit, signal], {Name, _} <- alcove_nif:constants(Group)]
          ++ [dfl, ign, trap, infinity, now, omit, at_fdcwd, verbose, maxchild, no_such_constant, '']).

iolist() ->
    let_({proper_types:binary(), proper_types:string(), proper_types:non_neg_integer()},
         fun({Binary, String, N}) -> deep(N, [Binary, [String], Binary | Binary]) end).

structure() ->
    proper_types:list(oneof([proper_types:binary(), {ptr, number()}, {ptr, proper_types:binary()},
                             {nothing, number()}])).

any() ->
    oneof([near(), near(), wrong(), proper_types:any()]).

calls() ->
    [{Name, length(Args)} || {Name, _, Args, _, _, _} <- alcove_nif:calls()].

%% ---------------------------------------------------------------------------
%% Properties
%% ---------------------------------------------------------------------------

%% Every call there is, at least one of whose arguments is wrong: it never leaves the VM.
wrong_shapes(Config) ->
    Drv = alcove_test:drv(Config),
    Path = alcove_test:path(Config),
    Pid = lists:last(Path),
    Generator = let_(oneof([Call || {_, Arity} = Call <- calls(), Arity > 0]),
                     fun({Name, Arity}) ->
                             let_({proper_types:integer(1, Arity), wrong(), proper_types:vector(Arity, any())},
                                  fun({At, Wrong, Argv}) ->
                                          {Left, [_ | Right]} = lists:split(At - 1, Argv),
                                          {Name, Left ++ [Wrong | Right]}
                                  end)
                     end),
    forall(4 * ?TESTS, Generator,
           fun({Name, Argv}) ->
                   %% An option that there isn't is no error.
                   Unknown = lists:member(Name, [getopt, setopt, getcpid, setcpid]),
                   Result = outcome(fun() -> alcove:call(Drv, Path, Name, Argv) end),
                   (Result =:= {error, badarg} orelse Unknown andalso element(1, Result) =:= returned)
                       andalso alcove:getpid(Drv, Path) =:= Pid
           end),
    {message_queue_len, 0} = process_info(self(), message_queue_len).

%% Not only the calls: each function of the library, with one argument that is wrong.
every_function(Config) ->
    Drv = alcove_test:drv(Config),
    Path = alcove_test:path(Config),
    %% The last are for the other modules and for supervisors, and take anything.
    Others = [module_info, format_error, locate, kind, inherited, answer, groups, start_child],
    Functions = [{Module, Name, Arity}
                 || Module <- [alcove, alcove_drv, alcove_cgroup, alcove_seccomp],
                    {Name, Arity} <- Module:module_info(exports),
                    Arity > 0, not lists:member(Name, Others ++ callbacks(Module))],
    Generator = let_({oneof(Functions), wrong()},
                     fun({{_, _, Arity} = Function, Wrong}) ->
                             let_(proper_types:integer(1, Arity), fun(At) -> {Function, At, Wrong} end)
                     end),
    forall(10 * ?TESTS, Generator,
           fun({{Module, Name, Arity}, At, Wrong}) ->
                   {Left, [_ | Right]} = lists:split(At - 1, lists:sublist([Drv, Path | lists:duplicate(8, 0)], Arity)),
                   %% A pid may be an owner, or a Drv that doesn't answer.
                   Pid = is_pid(Wrong) andalso (At =:= 1 orelse Module =:= alcove_drv),
                   Pid orelse refused(Name, Wrong, outcome(fun() -> apply(Module, Name, Left ++ [Wrong | Right]) end))
                       andalso alcove:getpid(Drv, Path) =:= lists:last(Path)
           end),
    {message_queue_len, 0} = process_info(self(), message_queue_len).

callbacks(Module) ->
    [Name || Behaviour <- proplists:get_value(behaviour, Module:module_info(attributes), []),
             {Name, _} <- Behaviour:behaviour_info(callbacks)].

refused(_, _, {error, badarg}) -> true;
%% Of an option.
refused(_, _, {error, {badarg, _}}) -> true;
%% The name of what there isn't.
refused(Name, Wrong, {returned, Nothing}) when is_atom(Wrong) ->
    Nothing =:= unknown orelse Nothing =:= [] andalso Name =:= constants
        orelse Nothing =:= false andalso lists:member(Name, [getopt, setopt, getcpid, setcpid, supported]);
refused(_, _, _) -> false.

%% Calls that end the process, may wait for ever, or are about other processes.
excluded() ->
    [exit, execvp, execve, fexecve, fork, clone, select, poll, read, recvmsg, accept, connect, waitpid, syscall,
     ptrace, kill, pidfd_send_signal, seccomp, prctl, setrlimit, sigaction, write, sendmsg, ioctl, fcntl].

%% A process that can harm nobody.
harmless(Config) ->
    Drv = alcove_test:drv(Config),
    Dir = filename:join(alcove_test:tmp(Config), "jail"),
    ok = file:make_dir(Dir),
    Flags = [clone_newns, clone_newuts, clone_newipc, clone_newnet, clone_newpid],
    {ok, Pid} = alcove:clone(Drv, [], Flags),
    Path = [Pid],
    {ok, _} = alcove:batch(Drv, Path, [{setsid, []}, {chroot, [Dir]}, {chdir, ["/"]}, {setgroups, [[]]},
                                       {setgid, [65534]}, {setuid, [65534]}]),
    {Drv, Path}.

any_arguments(Config) ->
    alcove_test:need(
      [root],
      fun() ->
              {Drv, Path} = harmless(Config),
              Safe = [Call || {Name, _} = Call <- calls(), not lists:member(Name, excluded())],
              Generator = let_(oneof(Safe),
                               fun({Name, Arity}) -> {Name, proper_types:vector(Arity, near())} end),
              forall(6 * ?TESTS, Generator,
                     fun({Name, Argv}) ->
                             Result = outcome(fun() -> alcove:call(Drv, Path, Name, Argv, 5000) end),
                             replied(Result) andalso alcove:getpid(Drv, Path) =:= 1
                     end)
      end).

replied({returned, {error, Reason}}) -> is_atom(Reason) orelse is_integer(Reason);
replied({returned, _}) -> true;
replied(Raised) -> Raised =:= {error, badarg}.

%% Lists of calls of any shape.
any_batch(Config) ->
    alcove_test:need(
      [root],
      fun() ->
              {Drv, Path} = harmless(Config),
              Safe = [Call || {Name, _} = Call <- calls(), not lists:member(Name, excluded())],
              Call = let_(oneof(Safe), fun({Name, Arity}) -> {Name, proper_types:vector(Arity, near())} end),
              Entry = oneof([Call, Call, {getpid, []}, wrong(), {proper_types:atom(), proper_types:any()}]),
              Lists = oneof([proper_types:list(Entry), wrong(), let_(Entry, fun(E) -> [E | E] end)]),
              forall(Lists,
                     fun(Calls) ->
                             Result = outcome(fun() -> alcove:batch(Drv, Path, Calls) end),
                             batch_replied(Result) andalso alcove:getpid(Drv, Path) =:= 1
                     end)
      end).

batch_replied({returned, {ok, List}}) -> is_list(List);
batch_replied({returned, {error, {Index, Name, _}}}) -> is_integer(Index) andalso is_atom(Name);
batch_replied({error, Reason}) -> Reason =:= badarg orelse element(1, Reason) =:= badarg;
batch_replied(_) -> false.

any_stdin(Config) ->
    Drv = alcove_test:drv(Config),
    Cat = alcove_test:run(Drv, [], ["/bin/cat"]),
    forall(oneof([iolist(), proper_types:binary(), any()]),
           fun(Data) ->
                   Size = try iolist_size(Data) catch error:badarg -> none end,
                   case outcome(fun() -> alcove:stdin(Drv, Cat, Data) end) of
                       {returned, true} when is_integer(Size) ->
                           byte_size(alcove_test:collect(Drv, Cat, Size)) =:= Size;
                       {error, badarg} ->
                           Size =:= none;
                       _ ->
                           false
                   end
           end).

any_fork_path(Config) ->
    Drv = alcove_test:drv(Config),
    Path = alcove_test:path(Config),
    forall(oneof([any(), proper_types:list(number()), wrong()]),
           fun(Pids) ->
                   Calls = [fun() -> alcove:getpid(Drv, Pids) end, fun() -> alcove:stdin(Drv, Pids, "") end,
                            fun() -> alcove:eof(Drv, Pids) end, fun() -> alcove:batch(Drv, Pids, []) end,
                            fun() -> alcove:call(Drv, Pids, getpid, []) end],
                   Results = [outcome(Call) || Pids =/= [], Call <- Calls],
                   lists:all(fun({error, Reason}) -> Reason =:= badarg orelse Reason =:= badpid;
                                %% Of the end of the input of what isn't there.
                                ({returned, Nobody}) -> Nobody =:= {error, esrch};
                                (_) -> false
                             end, Results)
                       andalso alcove:getpid(Drv, Path) =:= lists:last(Path)
           end).

any_option(_Config) ->
    Names = [stderr_to_stdout, env, clearenv, exec, progname, exit_status, termsig, verbose, maxchild,
             maxforkdepth, timeout, owner, nothing],
    Option = oneof([any(), {oneof(Names), wrong()}, {oneof(Names), wrong(), wrong()}, {env, [wrong()]},
                    {env, [{wrong(), near()}]}]),
    forall(oneof([proper_types:non_empty(proper_types:list(Option)), wrong()]),
           fun(Options) ->
                   case outcome(fun() -> alcove_drv:start(Options) end) of
                       {error, badarg} -> true;
                       {error, {badarg, _}} -> true;
                       {returned, {error, _}} -> true;
                       {returned, {ok, Drv}} -> alcove_test:stop(Drv) =:= ok
                   end
           end).

any_constant(Config) ->
    Drv = alcove_test:drv(Config),
    Functions = [clone_define, file_define, mount_define, prctl_define, rlimit_define, signal_define, define],
    forall({oneof(Functions), any()},
           fun({Function, Name}) ->
                   case outcome(fun() -> alcove:Function(Drv, Name) end) of
                       {returned, Value} -> is_integer(Value) orelse Value =:= unknown;
                       {error, Reason} -> Reason =:= badarg;
                       _ -> false
                   end
           end).

%% A hundred megabytes in the place of each argument.
large_arguments(Config) ->
    Drv = alcove_test:drv(Config),
    Path = alcove_test:path(Config),
    Large = binary:copy(<<"x">>, 100 * 1024 * 1024),
    [begin
         Argv = lists:duplicate(At - 1, 0) ++ [Term] ++ lists:duplicate(Arity - At, 0),
         ?assertEqual({error, badarg}, outcome(fun() -> alcove:call(Drv, Path, Name, Argv) end))
     end || {Name, Arity} <- calls(), Arity > 0, not lists:member(Name, [getopt, setopt, getcpid, setcpid]),
            At <- lists:seq(1, Arity), Term <- [Large, [Large, [Large | Large]]]],
    ?assertEqual(lists:last(Path), alcove:getpid(Drv, Path)).
