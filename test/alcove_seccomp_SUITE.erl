%% @doc Filters of system calls: what programs say, by an interpreter of theirs,
%% and what becomes of real processes.
-module(alcove_seccomp_SUITE).

-include_lib("stdlib/include/assert.hrl").
-include("alcove_seccomp.hrl").

-export([suite/0, all/0, groups/0, init_per_suite/1, end_per_suite/1,
         init_per_testcase/2, end_per_testcase/2]).
%% programs
-export([first_rule_decides/1, every_number/1, short_ways/1, conditions/1, other_architectures/1, newer_calls/1, actions/1,
         names/1, wrong_shapes/1, sizes/1, explanations/1]).
%% architectures
-export([essential_names/1, names_of_both/1, arm_numbers/1, sandbox_is_complete/1, sandbox_decides/1,
         sandbox_options/1, sandbox_documented/1]).
%% sandboxed
-export([sandbox_refuses/1, sandbox_admits/1, sandbox_namespaces/1]).
%% by_hand
-export([instructions/1, macros/1, argument_halves/1, structure/1]).
%% processes
-export([killed/1, trapped/1, errno/1, no_clone3/1, logged/1, allowed/1, arguments/1, least_filter/1,
         event_loop_is_enough/1, inherited/1, programs/1, most_restrictive_wins/1,
         foreign_calls/1, nameless_error/1, ordinary_user/1, in_one_call/1, refused/1, from_another_node/1]).

suite() ->
    alcove_test:suite().

all() ->
    [{group, Group} || {Group, _, _} <- groups()].

groups() ->
    [{programs, [], [first_rule_decides, every_number, short_ways, conditions, other_architectures, newer_calls, actions,
                     names, wrong_shapes, sizes, explanations]},
     {architectures, [], [essential_names, names_of_both, arm_numbers, sandbox_is_complete, sandbox_decides,
                          sandbox_options, sandbox_documented]},
     {sandboxed, [], [sandbox_refuses, sandbox_admits, sandbox_namespaces]},
     {by_hand, [], [instructions, macros, argument_halves, structure]},
     {processes, [], [killed, trapped, errno, no_clone3, logged, allowed, arguments, least_filter,
                      event_loop_is_enough, inherited, programs, most_restrictive_wins,
                      foreign_calls, nameless_error, ordinary_user, in_one_call, refused, from_another_node]}].

init_per_suite(Config) ->
    case alcove_seccomp:compile(#{default => allow}) of
        {ok, _} -> alcove_test:init_suite(Config);
        {error, unsupported} -> alcove_test:skip("needs seccomp on x86_64 or aarch64")
    end.

end_per_suite(_Config) ->
    ok.

init_per_testcase(_Case, Config) ->
    alcove_test:init_case([{exit_status, true}, {termsig, true}], Config).

end_per_testcase(_Case, Config) ->
    alcove_test:end_case(Config).

%% ---------------------------------------------------------------------------
%% An interpreter of filters
%% ---------------------------------------------------------------------------

compile(Policy) ->
    {ok, Program} = alcove_seccomp:compile(Policy),
    Program.

%% What a program returns for a call.
run(Program, Number, Args) ->
    run(Program, alcove_seccomp:audit_arch(), Number, Args).

run(Program, Arch, Number, Args) ->
    {Returned, _} = run_and_count(Program, Arch, Number, Args),
    Returned.

run_and_count(Program, Arch, Number, Args) ->
    Words = << <<Arg:64/native>> || Arg <- Args ++ lists:duplicate(6 - length(Args), 0) >>,
    Data = <<Number:32/native, Arch:32/native, 0:64/native, Words/binary>>,
    step([alcove_seccomp:insn(Insn) || <<Insn:8/binary>> <= Program], 0, Data, 1).

step([#alcove_insn{code = Code, jt = True, jf = False, k = K} | Rest], A, Data, Steps) ->
    On = fun(Over, Accumulator) -> step(lists:nthtail(Over, Rest), Accumulator, Data, Steps + 1) end,
    Jump = fun(Holds) when Holds -> On(True, A);
              (_) -> On(False, A)
           end,
    case Code of
        ?BPF_LD + ?BPF_W + ?BPF_ABS when K rem 4 =:= 0 ->
            <<_:K/binary, Word:32/native, _/binary>> = Data,
            On(0, Word);
        ?BPF_JMP + ?BPF_JA -> On(K, A);
        ?BPF_JMP + ?BPF_JEQ + ?BPF_K -> Jump(A =:= K);
        ?BPF_JMP + ?BPF_JGT + ?BPF_K -> Jump(A > K);
        ?BPF_JMP + ?BPF_JGE + ?BPF_K -> Jump(A >= K);
        ?BPF_JMP + ?BPF_JSET + ?BPF_K -> Jump(A band K =/= 0);
        ?BPF_ALU + ?BPF_AND + ?BPF_K -> On(0, A band K);
        ?BPF_RET + ?BPF_K -> {K, Steps}
    end.

returned(allow) -> ?SECCOMP_RET_ALLOW;
returned(log) -> ?SECCOMP_RET_LOG;
returned(trap) -> ?SECCOMP_RET_TRAP;
returned({errno, Number}) -> ?SECCOMP_RET_ERRNO bor Number;
returned(kill_thread) -> ?SECCOMP_RET_KILL_THREAD;
returned(_) -> ?SECCOMP_RET_KILL_PROCESS.

enosys() ->
    returned({errno, 38}).

%% ---------------------------------------------------------------------------
%% Programs of policies
%% ---------------------------------------------------------------------------

%% Policies made up at random say of calls made up at random what the documentation says.
first_rule_decides(_Config) ->
    Seed = rand:seed(exsss),
    ct:log("seed ~p", [rand:export_seed_s(Seed)]),
    [begin
         Policy = #{default => random_action(), rules => [random_rule() || _ <- lists:seq(1, rand:uniform(12))]},
         Program = compile(Policy),
         [begin
              Args = [random_word() || _ <- lists:seq(1, 3)],
              ?assertEqual(expected(Policy, Number, Args), run(Program, Number, Args), {Policy, Number, Args})
          end || Number <- [0, 7, 8, 99, 103, 200 | [random_number() || _ <- lists:seq(1, 50)]]]
     end || _ <- lists:seq(1, 300)].

%% Neighbours, and such that are far from each other.
random_number() ->
    pick([rand:uniform(6), 99 + rand:uniform(3), 201]).

%% Whether every number goes where it belongs, in programs of every size: those whose jumps are
%% short, those whose jumps are longer than a conditional jump can be, and those with ranges.
every_number(_Config) ->
    [begin
         Rules = [{Number, {errno, Number rem Values}} || Number <- lists:seq(3, Count, Step)],
         Policy = #{default => {errno, 4095}, rules => Rules},
         Program = compile(Policy),
         [?assertEqual(expected(Policy, Number, []), run(Program, Number, []), {Count, Step, Values, Number})
          || Number <- lists:seq(0, Count)]
     end || Count <- [3, 4, 5, 100, 200, 300, 330], Step <- [1, 2, 7], Values <- [1, 2, 400]].

%% The kernel runs a program once for every number when it is installed: no number has a long way.
short_ways(_Config) ->
    {ok, Program} = alcove_seccomp:compile(alcove_seccomp:sandbox()),
    ?assert(byte_size(Program) div 8 < 700, byte_size(Program) div 8),
    [?assert(steps(Program, Number) < 40, {Number, steps(Program, Number)})
     || {_, Number} <- alcove_nif:constants(syscall)].

steps(Program, Number) ->
    {_, Steps} = run_and_count(Program, alcove_seccomp:audit_arch(), Number, []),
    Steps.

pick(List) ->
    lists:nth(rand:uniform(length(List)), List).

random_action() ->
    pick([allow, log, trap, kill, kill_process, kill_thread, {errno, 1}, {errno, 13}]).

random_rule() ->
    Calls = pick([random_number(), [random_number() || _ <- lists:seq(1, rand:uniform(3))]]),
    Conditions = [random_condition() || _ <- lists:seq(1, rand:uniform(4) - 1)],
    case pick([call, action, conditions, both]) of
        call -> random_number();
        action -> {Calls, random_action()};
        conditions -> {Calls, Conditions};
        both -> {Calls, Conditions, random_action()}
    end.

random_condition() ->
    Bits = pick([32, 64]),
    Operator = pick([eq, ne, lt, le, gt, ge, {masked_eq, low(Bits, random_word())}]),
    {rand:uniform(3) - 1, Operator, low(Bits, random_word()), Bits}.

%% Numbers that meet, in one half or both.
random_word() ->
    Half = fun() -> pick([0, 1, 2, 5, 16#7fffffff, 16#80000000, 16#ffffffff]) end,
    (pick([0, 0, Half()]) bsl 32) bor Half().

low(Bits, Word) ->
    Word band ((1 bsl Bits) - 1).

expected(#{default := Default, rules := Rules}, Number, Args) ->
    Actions = [Action || Rule <- Rules, {Calls, Conditions, Action} <- [in_full(Rule)],
                         lists:member(Number, Calls),
                         lists:all(fun(Condition) -> holds(Condition, Args) end, Conditions)],
    returned(hd(Actions ++ [Default])).

in_full(Call) when not is_tuple(Call) -> {[Call], [], allow};
in_full({Calls, Conditions}) when is_list(Conditions) -> in_full({Calls, Conditions, allow});
in_full({Calls, Action}) -> in_full({Calls, [], Action});
in_full({Calls, Conditions, Action}) -> {lists:flatten([Calls]), Conditions, Action}.

holds({Index, Operator, Value, Bits}, Args) ->
    Arg = low(Bits, lists:nth(Index + 1, Args)),
    case Operator of
        eq -> Arg =:= Value;
        ne -> Arg =/= Value;
        lt -> Arg < Value;
        le -> Arg =< Value;
        gt -> Arg > Value;
        ge -> Arg >= Value;
        {masked_eq, Mask} -> Arg band Mask =:= Value band Mask
    end.

%% Of 32 bits the upper half isn't looked at; negative values are their complement.
conditions(_Config) ->
    Is = fun(Condition, Arg) ->
                 Program = compile(#{default => kill, rules => [{7, [Condition]}]}),
                 run(Program, 7, [0, 0, 0, 0, 0, Arg]) =:= ?SECCOMP_RET_ALLOW
         end,
    High = 1 bsl 32,
    ?assert(Is({5, eq, 16#5412, 32}, 16#5412)),
    ?assert(Is({5, eq, 16#5412, 32}, High + 16#5412)),
    ?assertNot(Is({5, eq, 16#5412, 64}, High + 16#5412)),
    ?assertNot(Is({5, gt, 16#5412, 32}, High)),
    ?assert(Is({5, gt, 16#5412, 64}, High)),
    ?assert(Is({5, eq, -100, 32}, 16#ffffff9c)),
    ?assertNot(Is({5, eq, -100, 64}, 16#ffffff9c)),
    ?assert(Is({5, eq, -100, 64}, 16#ffffffffffffff9c)),
    ?assert(Is({5, {masked_eq, 3}, 1, 32}, 16#ff41)),
    ?assert(Is({5, {masked_eq, 3}, 16#f1, 32}, 16#ff41)),
    ?assertNot(Is({5, {masked_eq, 3}, 1, 32}, 3)),
    ?assert(Is({5, {masked_eq, -1}, -1, 64}, 16#ffffffffffffffff)),
    %% Many of them: more than a jump of BPF reaches over.
    Many = [{N rem 6, ne, N, 64} || N <- lists:seq(10, 200)],
    Program = compile(#{default => kill, rules => [{7, Many}]}),
    ?assertEqual(?SECCOMP_RET_ALLOW, run(Program, 7, [1, 2, 3, 4, 5, 6])),
    [?assertEqual(?SECCOMP_RET_KILL_PROCESS,
                  run(Program, 7, [case N rem 6 of I -> N; _ -> 0 end || I <- lists:seq(0, 5)]))
     || N <- lists:seq(10, 200)].

%% The numbers of other architectures mean other calls, whatever the policy says.
other_architectures(_Config) ->
    Here = alcove_seccomp:audit_arch(),
    Others = [?AUDIT_ARCH_I386, ?AUDIT_ARCH_X86_64, ?AUDIT_ARCH_ARM, ?AUDIT_ARCH_AARCH64, 0] -- [Here],
    Policies = [#{default => Default, rules => Rules}
                || Default <- [allow, kill, log, {errno, 1}], Rules <- [[], [1, {2, trap}]]],
    [?assertEqual(?SECCOMP_RET_KILL_PROCESS, run(compile(Policy), Arch, Number, []))
     || Policy <- Policies, Arch <- Others,
        Number <- [0, 1, 2, 11, ?X32_SYSCALL_BIT, ?X32_SYSCALL_BIT + 1, 16#ffffffff]],
    [?assertEqual(enosys(), run(compile(Policy), Here, Number, []))
     || Policy <- Policies,
        Number <- [?X32_SYSCALL_BIT, ?X32_SYSCALL_BIT + 1, ?X32_SYSCALL_BIT + 512, 16#ffffffff]].

%% A policy doesn't say EPERM or worse about calls that are newer than itself.
newer_calls(_Config) ->
    %% ARM's own calls have numbers of their own.
    Highest = lists:max([Number || {_, Number} <- alcove_nif:constants(syscall), Number < 16#f0000]),
    [begin
         Program = compile(#{default => Default}),
         ?assertEqual(returned(Default), run(Program, Highest, [])),
         ?assertEqual(enosys(), run(Program, Highest + 1, []))
     end || Default <- [{errno, 1}, trap, kill, kill_thread]],
    [?assertEqual(returned(Default), run(compile(#{default => Default}), Highest + 1, []))
     || Default <- [allow, log]],
    %% One that it names isn't newer.
    Program = compile(#{default => kill, rules => [{Highest + 10, trap}]}),
    ?assertEqual(?SECCOMP_RET_KILL_PROCESS, run(Program, Highest + 9, [])),
    ?assertEqual(?SECCOMP_RET_TRAP, run(Program, Highest + 10, [])),
    ?assertEqual(enosys(), run(Program, Highest + 11, [])).

actions(_Config) ->
    Returns = fun(Action) ->
                      Value = run(compile(#{default => Action}), 1, []),
                      ?assertEqual(Value, run(compile(#{default => log, rules => [{1, Action}]}), 1, [])),
                      Value
              end,
    ?assertEqual(16#7fff0000, Returns(allow)),
    ?assertEqual(16#7ffc0000, Returns(log)),
    ?assertEqual(16#00030000, Returns(trap)),
    ?assertEqual(16#80000000, Returns(kill)),
    ?assertEqual(16#80000000, Returns(kill_process)),
    ?assertEqual(16#00000000, Returns(kill_thread)),
    ?assertEqual(16#00050001, Returns({errno, eperm})),
    ?assertEqual(16#0005000d, Returns({errno, eacces})),
    ?assertEqual(enosys(), Returns({errno, enosys})),
    ?assertEqual(16#00050000, Returns({errno, 0})),
    ?assertEqual(16#00050fff, Returns({errno, 4095})).

names(_Config) ->
    Getpid = alcove_nif:define(syscall, getpid),
    Forms = [getpid, sys_getpid, '__NR_getpid', Getpid, {getpid, allow}, {[sys_getpid], []}, {[Getpid], [], allow}],
    [_] = lists:usort([compile(#{default => kill, rules => [Form]}) || Form <- Forms]),
    Rules = [getpid, no_such_call, {[read, not_this_one], kill}, {no_such_call, []}],
    ?assertEqual({error, {unknown_syscall, [no_such_call, not_this_one]}},
                 alcove_seccomp:compile(#{default => allow, rules => Rules})),
    ?assertEqual([getpid, sys_read], alcove_seccomp:available([getpid, socketcall, sys_read])),
    [alcove_test:badarg(fun() -> alcove_seccomp:available(Wrong) end)
     || Wrong <- [[getpid, no_such_call], [getpid | read], ["getpid"], getpid, [1]]],
    [?assertEqual(Names, alcove_seccomp:available(Names))
     || Names <- [alcove_seccomp:event_loop(), alcove_seccomp:exec()]].

wrong_shapes(_Config) ->
    Rule = fun(Rule) -> #{default => allow, rules => [getpid, Rule]} end,
    Condition = fun(Condition) -> Rule({getpid, [Condition]}) end,
    Shapes =
        [[], policy, {default, allow}, [{default, allow}], #{}, #{rules => []},
         #{default => allow, rule => []}, #{"default" => allow}, #{default => allow, rules => getpid},
         #{default => allow, rules => [getpid | read]}, #{default => allow, rules => #{}}]
        ++ [#{default => Action} || Action <- wrong_actions()]
        ++ [Rule({getpid, Action}) || Action <- wrong_actions() -- [[]]]
        ++ [Rule({getpid, [], Action}) || Action <- wrong_actions()]
        ++ [Rule(Wrong) || Wrong <- [-1, 1 bsl 30, 1 bsl 70, 1.0, <<"getpid">>, "getpid", [getpid], {}, {getpid},
                                     {getpid, [], allow, x}, {{getpid}, kill}, {[getpid | read], kill},
                                     {[[getpid]], kill}, #{}, self()]]
        ++ [Condition(Wrong) || Wrong <- [x, {}, {0, eq, 1}, {0, eq, 1, 16}, {0, eq, 1, 288}, {0, eq, 1, x}, {6, eq, 1, 32},
                                          {-1, eq, 1, 32}, {256, eq, 1, 32}, {x, eq, 1, 32}, {0, like, 1, 32},
                                          {0, {masked_eq}, 1, 32}, {0, {masked_eq, x}, 1, 32},
                                          {0, {masked_eq, 1 bsl 32}, 1, 32}, {0, masked_eq, 1, 32}, {0, eq, x, 32},
                                          {0, eq, 1 bsl 32, 32}, {0, eq, -(1 bsl 31) - 1, 32}, {0, eq, 1 bsl 64, 64},
                                          {0, eq, -(1 bsl 63) - 1, 64}, {0, eq, 1.0, 32}]],
    [alcove_test:badarg(fun() -> alcove_seccomp:compile(Shape) end) || Shape <- Shapes].

wrong_actions() ->
    [x, 1, "allow", [], {}, {allow}, {errno}, errno, {errno, -1}, {errno, 4096}, {errno, 65537}, {errno, not_an_error}, {errno, "eperm"},
     {errno, eperm, x}, {trap, 1}, trace].

%% Every call there is has room, with conditions and several actions; what the kernel
%% couldn't take is refused.
sizes(_Config) ->
    Numbers = [Number || {_, Number} <- alcove_nif:constants(syscall)],
    Rules = [{Number, lists:nth(1 + Number rem 3, [allow, {errno, Number rem 4096}, trap])} || Number <- Numbers],
    %% As many actions as calls.
    Program = compile(#{default => kill, rules => Rules}),
    ct:log("~b instructions", [byte_size(Program) div 8]),
    [?assertEqual(returned(Action), run(Program, Number, [])) || {Number, Action} <- Rules],
    Ten = [{N, ne, 77, 64} || N <- lists:seq(0, 5)],
    TooLarge = [[{Number, [{N, ne, Number, 64} || N <- lists:seq(0, 5)]} || Number <- Numbers], [{7, Ten} || _ <- lists:seq(1, 1000)],
                lists:duplicate(1000000, {[1, 2], kill}),
                [{lists:duplicate(5000, 1), Ten}], [{1, lists:duplicate(5000, hd(Ten))}],
                [{1, [{0, eq, N, 64}]} || N <- lists:seq(1, 700)]],
    [?assertEqual({error, too_large}, alcove_seccomp:compile(#{default => allow, rules => Large}))
     || Large <- TooLarge].

%% The shell tells which part it was.
explanations(_Config) ->
    Why = fun(Fun) ->
                  try Fun() of
                      Value -> ct:fail({returned, Value})
                  catch
                      error:badarg:Stack ->
                          [{alcove_seccomp, _, _, _} | _] = Stack,
                          maps:map(fun(_, Text) -> lists:flatten(Text) end,
                                   alcove_seccomp:format_error(badarg, Stack))
                  end
          end,
    Policy = #{default => allow, rules => [{getpid, kil}]},
    ?assertEqual(#{1 => "no policy can have kil there"}, Why(fun() -> alcove_seccomp:compile(Policy) end)),
    ?assertMatch(#{3 := "no policy" ++ _}, Why(fun() -> alcove_seccomp:install(self(), [], Policy) end)),
    ?assertMatch(#{3 := "not iodata" ++ _}, Why(fun() -> alcove_seccomp:install(self(), [], <<1>>) end)),
    ?assertMatch(#{1 := "not iodata" ++ _}, Why(fun() -> alcove_seccomp:calls([]) end)),
    ?assertMatch(#{1 := "no system calls of any architecture: [opem]"},
                 Why(fun() -> alcove_seccomp:available([open, opem]) end)),
    ?assertMatch(#{1 := "no such option" ++ _}, Why(fun() -> alcove_seccomp:sandbox(#{netlink => true}) end)),
    ?assertMatch(#{1 := "not the number" ++ _}, Why(fun() -> alcove_seccomp:number(no_such_call) end)),
    ?assertMatch(#{1 := "not an instruction" ++ _}, Why(fun() -> alcove_seccomp:stmt(0, 1 bsl 32) end)).

%% ---------------------------------------------------------------------------
%% Each architecture
%% ---------------------------------------------------------------------------

-define(ALLOW, ?SECCOMP_RET_ALLOW).

audit(x86_64) -> ?AUDIT_ARCH_X86_64;
audit(aarch64) -> ?AUDIT_ARCH_AARCH64;
audit(arm) -> ?AUDIT_ARCH_ARM;
audit(riscv64) -> ?AUDIT_ARCH_RISCV64.

number(Arch, Name) ->
    proplists:get_value(Name, alcove_nif:seccomp_calls(Arch)).

%% What dynamic programs were seen to do at their start, with the numbers of the kernel's headers.
essential(x86_64) ->
    [{execve, 59}, {brk, 12}, {mmap, 9}, {mprotect, 10}, {munmap, 11}, {access, 21}, {openat, 257}, {close, 3}, {read, 0},
     {pread64, 17}, {newfstatat, 262}, {fstat, 5}, {arch_prctl, 158}, {set_tid_address, 218}, {set_robust_list, 273},
     {rseq, 334}, {prlimit64, 302}, {getrandom, 318}, {futex, 202}];
essential(aarch64) ->
    [{execve, 221}, {brk, 214}, {mmap, 222}, {mprotect, 226}, {munmap, 215}, {faccessat, 48}, {openat, 56}, {close, 57},
     {read, 63}, {newfstatat, 79}, {fstat, 80}, {set_tid_address, 96}, {set_robust_list, 99}, {rseq, 293},
     {prlimit64, 261}, {getrandom, 278}, {futex, 98}];
essential(arm) ->
    [{execve, 11}, {brk, 45}, {mmap2, 192}, {mprotect, 125}, {munmap, 91}, {access, 33}, {openat, 322}, {close, 6},
     {read, 3}, {fstat64, 197}, {stat64, 195}, {fstatat64, 327}, {fcntl64, 221}, {'_llseek', 140}, {ugetrlimit, 191},
     {getuid32, 199}, {futex_time64, 422}, {futex, 240}, {set_tls, 16#f0005}, {set_tid_address, 256},
     {set_robust_list, 338}, {rseq, 398}, {prlimit64, 369}, {getrandom, 384}, {statx, 397}];
essential(riscv64) ->
    [{execve, 221}, {brk, 214}, {mmap, 222}, {openat, 56}, {newfstatat, 79}, {riscv_flush_icache, 259}].

%% A list that loses a name that programs need on an architecture is found there, and on all others.
essential_names(_Config) ->
    [begin
         Names = alcove_seccomp:available(alcove_seccomp_table:exec(), Arch),
         {ok, Exec} = alcove_seccomp:compile(#{default => kill, rules => Names}, Arch),
         {ok, Sandbox} = alcove_seccomp:compile(alcove_seccomp:sandbox(#{architecture => Arch}), Arch),
         [?assertEqual(?ALLOW, run(Program, audit(Arch), Number, []), {Arch, Name})
          || Program <- [Exec, Sandbox], {Name, Number} <- essential(Arch)],
         Loop = alcove_seccomp:available(alcove_seccomp_table:event_loop(), Arch),
         ?assertEqual([], [read, write, writev, exit, exit_group, rt_sigreturn, wait4] -- Loop)
     end || Arch <- alcove_seccomp:architectures()].

%% A call with two names is known by both, wherever it is.
names_of_both(_Config) ->
    [begin
         [Program, Program] =
             [element(2, {ok, _} = alcove_seccomp:compile(#{default => kill, rules => [Name]}, Arch))
              || Name <- [newfstatat, fstatat]],
         ?assertEqual(?ALLOW, run(Program, audit(Arch), Number, []))
     end || {Arch, Number} <- [{x86_64, 262}, {aarch64, 79}, {riscv64, 79}]],
    ?assertEqual({error, {unknown_syscall, [newfstatat]}},
                 alcove_seccomp:compile(#{default => kill, rules => [newfstatat, openat]}, arm)),
    ?assertEqual({error, {unknown_syscall, [open]}},
                 alcove_seccomp:compile(#{default => kill, rules => [open, openat]}, aarch64)),
    ?assertEqual({error, unsupported}, alcove_seccomp:compile(#{default => kill}, vax)).

%% ARM has calls of its own far above the others: between them, and above, there are none.
arm_numbers(_Config) ->
    {ok, Program} = alcove_seccomp:compile(#{default => {errno, eperm}, rules => [set_tls]}, arm),
    Highest = lists:max([Number || {_, Number} <- alcove_nif:seccomp_calls(arm), Number < 16#f0000]),
    Returns = fun(Number) -> run(Program, ?AUDIT_ARCH_ARM, Number, []) end,
    ?assertEqual(?ALLOW, Returns(16#f0005)),
    ?assertEqual(returned({errno, 1}), Returns(16#f0002)),
    ?assertEqual(returned({errno, 1}), Returns(Highest)),
    [?assertEqual(enosys(), Returns(Number))
     || Number <- [Highest + 1, 16#effff, 16#f0010, ?X32_SYSCALL_BIT, 16#ffffffff]],
    ?assertEqual(?SECCOMP_RET_KILL_PROCESS, run(Program, ?AUDIT_ARCH_I386, 3, [])).

%% Every call that a kernel of these days has is in the table: once, but for conditions.
sandbox_is_complete(_Config) ->
    [begin
         Rows = alcove_seccomp:sandbox_rows(Options#{architecture => Arch}),
         Decided = [Call || {_, Calls, _} <- Rows, Call <- Calls, is_atom(Call)],
         Asked = [Call || {_, Calls, _} <- Rows, {Call, _} <- Calls],
         ?assertEqual([], Decided -- lists:usort(Decided), Arch),
         ?assertEqual([], lists:usort(Asked) -- Decided, Arch),
         Numbers = lists:usort([number(Arch, Call) || Call <- Decided]),
         ?assertEqual([], [Call || {Call, Number} <- alcove_nif:seccomp_calls(Arch),
                                   not lists:member(Number, Numbers), not lists:suffix("_time64", atom_to_list(Call)),
                                   not lists:suffix("64", atom_to_list(Call))],
                      Arch),
         [?assert(length(Why) > 5, Row) || {_, _, Why} = Row <- Rows]
     end || Arch <- alcove_seccomp:architectures(),
            Options <- [#{}, #{namespaces => true, trace => true}]].

%% What becomes of arguments, on each architecture.
sandbox_decides(_Config) ->
    High = 1 bsl 63,
    Eperm = returned({errno, 1}),
    [begin
         {ok, Program} = alcove_seccomp:compile(alcove_seccomp:sandbox(#{architecture => Arch}), Arch),
         ct:log("~s: ~b instructions", [Arch, byte_size(Program) div 8]),
         Returns = fun(Call, Args) -> run(Program, audit(Arch), number(Arch, Call), Args) end,
         [?assertEqual(Eperm, Returns(ioctl, [0, Upper + Request]), {Arch, Request})
          || Request <- [16#5412, 16#541c, 16#5423], Upper <- [0, 1 bsl 32, High]],
         ?assertEqual(?ALLOW, Returns(ioctl, [0, 16#5401])),
         [?assertEqual(Eperm, Returns(Call, [Upper + Flag + 17]), {Arch, Call, Flag})
          || Call <- [clone, unshare], Upper <- [0, High],
             Flag <- [16#10000000, 16#20000, 16#2000000, 16#4000000, 16#8000000, 16#20000000, 16#40000000]],
         ?assertEqual(Eperm, Returns(unshare, [16#80])),
         ?assertEqual(?ALLOW, Returns(clone, [16#3d0f00])),
         ?assertEqual(?ALLOW, Returns(clone, [16#1200011])),
         ?assertEqual(?ALLOW, Returns(unshare, [16#600])),
         ?assertEqual(enosys(), Returns(clone3, [])),
         [?assertEqual(?ALLOW, Returns(socket, [Family, 1, 6])) || Family <- [1, 2, 10]],
         ?assertEqual(?ALLOW, Returns(socket, [16, 16#80003, 0])),
         [?assertEqual(returned({errno, 93}), Returns(socket, [16, 3, Protocol]))
          || Protocol <- [4, 9, 12, 15, 16, 21]],
         [?assertEqual(returned({errno, 97}), Returns(Call, [Family, 3, 0]))
          || Call <- [socket, socketpair], Family <- [3, 9, 17, 21, 29, 30, 31, 36, 38, 40, 43, 44, (1 bsl 32) + 40]],
         ?assertEqual(returned({errno, 97}), Returns(socketpair, [2, 1, 0])),
         ?assertEqual(?ALLOW, Returns(socketpair, [1, 1, 0])),
         [?assertEqual(Eperm, Returns(mknodat, [0, 0, Upper + Mode, 0]))
          || Mode <- [8#020666, 8#060666], Upper <- [0, 16#10000, 1 bsl 32]],
         [?assertEqual(?ALLOW, Returns(mknodat, [0, 0, Mode, 0])) || Mode <- [8#010666, 8#100666, 8#140666, 8#666]],
         [?assertEqual(?ALLOW, Returns(personality, [Persona])) || Persona <- [0, 16#ffffffff, High + 8]],
         [?assertEqual(Eperm, Returns(personality, [Persona])) || Persona <- [16#40000, 16#400000]],
         [?assertEqual(enosys(), run(Program, audit(Arch), Number, [])) || Number <- [600, 999, 5000]],
         [?assertEqual(?SECCOMP_RET_KILL_PROCESS, run(Program, audit(Other), 1, []))
          || Other <- alcove_seccomp:architectures(), Other =/= Arch]
     end || Arch <- alcove_seccomp:architectures()].

sandbox_options(_Config) ->
    Returns = fun(Options, Call, Args) -> run(compile(alcove_seccomp:sandbox(Options)), alcove_seccomp:number(Call), Args) end,
    ?assertEqual(returned({errno, 97}), Returns(#{families => []}, socket, [1, 1, 0])),
    ?assertEqual(?ALLOW, Returns(#{families => [unix]}, socket, [1, 1, 0])),
    ?assertEqual(returned({errno, 97}), Returns(#{families => [unix]}, socket, [2, 1, 0])),
    ?assertEqual(returned({errno, 93}), Returns(#{families => [inet]}, socket, [16, 3, 0])),
    [?assertEqual(?ALLOW, Returns(#{namespaces => true}, Call, [16#10000000]))
     || Call <- [clone, clone3, unshare, setns, mount, umount2, pivot_root, chroot]],
    ?assertEqual(returned({errno, 1}), Returns(#{namespaces => true}, open_by_handle_at, [])),
    ?assertEqual(?ALLOW, Returns(#{trace => true}, ptrace, [])),
    %% What the user says goes first.
    ?assertEqual(?ALLOW, Returns(#{allow => [bpf]}, bpf, [])),
    ?assertEqual(returned(kill), Returns(#{allow => [{getpid, kill}]}, getpid, [])),
    [alcove_test:badarg(fun() -> alcove_seccomp:sandbox(Wrong) end)
     || Wrong <- [[], x, #{families => [packet]}, #{families => inet}, #{families => [inet | unix]}, #{namespaces => yes},
                  #{trace => 1}, #{architecture => vax}, #{allow => bpf}, #{allowed => []}, #{"trace" => true}]].

%% docs/sandbox-policy.md is this table.
sandbox_documented(_Config) ->
    {ok, Page} = file:read_file(filename:join([alcove_test:top(), "docs", "sandbox-policy.md"])),
    [?assertNotEqual(nomatch, binary:match(Page, unicode:characters_to_binary(Line)), Line)
     || Line <- alcove_seccomp_table:document()].

%% ---------------------------------------------------------------------------
%% Filters by hand
%% ---------------------------------------------------------------------------

instructions(_Config) ->
    ?assertEqual(<<16#20:16/native, 0, 0, 4:32/native>>, ?BPF_STMT(?BPF_LD + ?BPF_W + ?BPF_ABS, 4)),
    ?assertEqual(<<16#15:16/native, 1, 2, 16#c000003e:32/native>>,
                 ?BPF_JUMP(?BPF_JMP + ?BPF_JEQ + ?BPF_K, ?AUDIT_ARCH_X86_64, 1, 2)),
    Insn = #alcove_insn{code = 16#15, jt = 1, jf = 255, k = 16#ffffffff},
    ?assertEqual(Insn, alcove_seccomp:insn(alcove_seccomp:insn(Insn))),
    [alcove_test:badarg(Fun)
     || Fun <- [fun() -> alcove_seccomp:stmt(1 bsl 16, 0) end, fun() -> alcove_seccomp:stmt(-1, 0) end,
                fun() -> alcove_seccomp:stmt(6, 1 bsl 32) end, fun() -> alcove_seccomp:stmt(6, -1) end,
                fun() -> alcove_seccomp:stmt(6, unknown) end, fun() -> alcove_seccomp:jump(6, 0, 256, 0) end,
                fun() -> alcove_seccomp:jump(6, 0, 0, -1) end, fun() -> alcove_seccomp:insn(<<0:63>>) end,
                fun() -> alcove_seccomp:number(-1) end, fun() -> alcove_seccomp:number("getpid") end]].

macros(_Config) ->
    Program = iolist_to_binary(
                [?VALIDATE_ARCHITECTURE(alcove_seccomp:audit_arch()),
                 ?EXAMINE_SYSCALL,
                 [?ALLOW_SYSCALL(Name) || Name <- [sys_read, write]],
                 ?ALLOW_SYSCALL(1000),
                 ?DENY_SYSCALL(getpid),
                 ?DENY_SYSCALL(getppid, 13),
                 ?TRAP_SYSCALL(chdir),
                 ?KILL_SYSCALL(fchdir),
                 ?BPF_STMT(?BPF_RET + ?BPF_K, ?SECCOMP_RET_LOG)]),
    Returns = [{read, allow}, {write, allow}, {1000, allow}, {getpid, {errno, 1}}, {getppid, {errno, 13}},
               {chdir, trap}, {fchdir, kill_process}, {1001, log}],
    [?assertEqual(returned(Action), run(Program, alcove_seccomp:number(Call), [])) || {Call, Action} <- Returns],
    ?assertEqual(returned(kill_process), run(Program, ?AUDIT_ARCH_I386, 0, [])),
    ?assertEqual(returned(allow), run(?ALLOW_PROCESS, 0, [])),
    ?assertEqual(returned(kill_process), run(?KILL_PROCESS, 0, [])).

argument_halves(_Config) ->
    Load = fun(Offset) -> ?BPF_STMT(?BPF_LD + ?BPF_W + ?BPF_ABS, Offset) end,
    Is = fun(K) -> [?BPF_JUMP(?BPF_JMP + ?BPF_JEQ + ?BPF_K, K, 1, 0), ?KILL_PROCESS] end,
    Program = iolist_to_binary([Load(?OFFSET_ARG_LOW(2)), Is(5), Load(?OFFSET_ARG_HIGH(2)), Is(6), ?ALLOW_PROCESS]),
    ?assertEqual(?SECCOMP_RET_ALLOW, run(Program, 0, [0, 0, (6 bsl 32) + 5])),
    ?assertEqual(?SECCOMP_RET_KILL_PROCESS, run(Program, 0, [0, 0, (5 bsl 32) + 6])).

structure(_Config) ->
    Program = [?EXAMINE_SYSCALL, [?ALLOW_PROCESS]],
    Instructions = iolist_to_binary(Program),
    Structure = alcove_seccomp:sock_fprog(Program),
    [Length, Padding, {ptr, Instructions}] = Structure,
    ?assertEqual(<<2:16/native>>, Length),
    ?assertEqual(erlang:system_info({wordsize, external}), byte_size(<<Length/binary, Padding/binary>>)),
    [alcove_test:badarg(fun() -> alcove_seccomp:sock_fprog(Wrong) end)
     || Wrong <- [[], <<>>, <<0:56>>, <<0:72>>, <<0:(4097 * 64)>>, program, [x], #{default => allow}]].

%% ---------------------------------------------------------------------------
%% The policy of sandboxes, in force
%% ---------------------------------------------------------------------------

%% Root's own attempts: without the policy each would get another answer.
sandbox_refuses(Config) ->
    {Drv, Path} = drv_and_path(Config),
    install(Drv, Path, alcove_seccomp:sandbox()),
    Tries =
        [{eperm, Name, lists:duplicate(6, 0)}
         || Name <- alcove_seccomp:available(
                      [io_uring_setup, io_uring_enter, io_uring_register, userfaultfd, bpf, perf_event_open, add_key,
                       request_key, keyctl, ptrace, process_vm_readv, process_vm_writev, process_madvise, kcmp,
                       pidfd_getfd, open_by_handle_at, name_to_handle_at, fanotify_init, fanotify_mark, init_module,
                       finit_module, delete_module, kexec_load, kexec_file_load, reboot, swapon, swapoff, acct, quotactl,
                       settimeofday, clock_settime, iopl, ioperm, syslog, mount, umount2, pivot_root, move_mount,
                       open_tree, fsopen, fsconfig, fsmount, fspick, mount_setattr, chroot, setns, sethostname,
                       setdomainname, mbind, move_pages, migrate_pages])]
        ++ [{enosys, Name, []} || Name <- alcove_seccomp:available([modify_ldt, uselib, lookup_dcookie, '_sysctl'])]
        ++ [{enosys, Number, []} || Number <- [777, 4000]]
        ++ [{eperm, unshare, [Flag]} || Flag <- [16#10000000, 16#20000, 16#40000000, 16#80]]
        ++ [{eafnosupport, socket, [Family, 3, 0]} || Family <- [17, 38, 40, 44, 29, 30]]
        ++ [{eprotonosupport, socket, [16, 3, Protocol]} || Protocol <- [9, 12, 15, 16]]
        %% Where a word has 32 bits there are none above.
        ++ [{eperm, ioctl, [0, Request, 0]}
            || Request <- [16#5412, 16#541c, (1 bsl 32) + 16#5412, (1 bsl 63) + 16#541c],
               Request < 1 bsl (8 * erlang:system_info({wordsize, external}))]
        ++ [{eperm, mknodat, [-100, <<"/nonexistent/null", 0>>, 8#020666, 259]}, {eperm, personality, [16#40000]}],
    Said = [{Error, Name, Args, alcove:syscall(Drv, Path, Name, Args)} || {Error, Name, Args} <- Tries],
    ?assertEqual([], [Wrong || {Error, _, _, Answer} = Wrong <- Said, Answer =/= {error, Error}]),
    %% The process is as it was.
    ?assertEqual(lists:last(Path), alcove:getpid(Drv, Path)).

%% Programs as there are many: shells with pipes, threads, sockets, clocks.
sandbox_admits(Config) ->
    {Drv, Path} = drv_and_path(Config),
    Tmp = alcove_test:tmp(Config),
    Run = fun(Argv) ->
                  Child = alcove_test:fork(Drv, Path),
                  install(Drv, Child, alcove_seccomp:sandbox()),
                  ok = alcove:execvp(Drv, Child, hd(Argv), Argv),
                  alcove_test:output(Drv, Child)
          end,
    {<<"3\n">>, {exit_status, 0}} =
        Run(["/bin/sh", "-c", "cd " ++ alcove_test:quote(Tmp) ++ " && mkfifo p && (echo a b c >p &) && tr ' ' '\n' <p | sort | wc -l"]),
    {<<"ok\n">>, {exit_status, 0}} =
        Run(["/bin/sh", "-c", "cd " ++ Tmp ++ " && touch f && chmod 600 f && mv f g && ln -s g h && ls -l h >/dev/null "
             "&& rm g h && sleep 0.01 && date >/dev/null && id >/dev/null && echo ok"]),
    %% A small Python hasn't all of its modules.
    Modules = "import threading, socket, time, tempfile, subprocess, mmap",
    case [Found || Found <- [os:find_executable("python3")], Found =/= false,
                  os:cmd(alcove_test:quote(Found) ++ " -c '" ++ Modules ++ "' 2>&1") =:= ""] of
        [] -> ok;
        [Python] ->
            Script = "import threading, socket, time, tempfile, subprocess, mmap\n"
                "t = threading.Thread(target=lambda: time.sleep(0.001)); t.start(); t.join()\n"
                "a, b = socket.socketpair(); a.send(b'x'); assert b.recv(1) == b'x'\n"
                "s = socket.socket(); s.bind(('127.0.0.1', 0)); s.listen(); socket.if_nameindex()\n"
                "with tempfile.TemporaryFile(dir='" ++ Tmp ++ "') as f: f.write(b'hello'); f.flush(); mmap.mmap(f.fileno(), 5)\n"
                "print(subprocess.check_output(['/bin/echo', 'hi']).decode().strip())\n",
            {<<"hi\n">>, {exit_status, 0}} = Run([Python, "-c", Script])
    end,
    Erl = os:find_executable("erl"),
    {<<"[2,4]">>, {exit_status, 0}} =
        Run([Erl, "-noshell", "-eval", "io:format(\"~w\", [lists:map(fun(X) -> 2 * X end, [1, 2])]), halt()."]).

%% Namespaces inside, when they are asked for, and not otherwise.
sandbox_namespaces(Config) ->
    {Drv, Path} = drv_and_path(Config),
    Unshare = fun(Options) ->
                      Child = alcove_test:fork(Drv, Path),
                      install(Drv, Child, alcove_seccomp:sandbox(Options)),
                      alcove:unshare(Drv, Child, [clone_newns])
              end,
    ?assertEqual({error, eperm}, Unshare(#{})),
    alcove_test:need([root], fun() -> ?assertEqual(ok, Unshare(#{namespaces => true})) end).

%% ---------------------------------------------------------------------------
%% Processes
%% ---------------------------------------------------------------------------

drv_and_path(Config) ->
    {alcove_test:drv(Config), alcove_test:path(Config)}.

install(Drv, Path, Policy) ->
    ok = alcove_seccomp:install(Drv, Path, Policy).

status(Path, Name) ->
    {ok, Status} = file:read_file(lists:concat(["/proc/", lists:last(Path), "/status"])),
    {match, [Value]} = re:run(Status, ["^", Name, ":\\s+(\\S+)$"], [multiline, {capture, all_but_first, list}]),
    Value.

%% A directory may be made by either.
mkdir() ->
    alcove_seccomp:available([mkdir, mkdirat]).

killed(Config) ->
    {Drv, Path} = drv_and_path(Config),
    [begin
         Child = alcove_test:fork(Drv, Path),
         install(Drv, Child, #{default => allow, rules => [{getcwd, Action}]}),
         ok = alcove:chdir(Drv, Child, "/"),
         alcove_test:badpid(fun() -> alcove:getcwd(Drv, Child) end),
         ok = alcove_test:event(Drv, Child, {termsig, sigsys})
     end || Action <- [kill, kill_process, kill_thread]],
    %% By default too, and by hand.
    ByPolicy = alcove_test:fork(Drv, Path),
    install(Drv, ByPolicy, #{default => kill, rules => alcove_seccomp:event_loop()}),
    alcove_test:badpid(fun() -> alcove:getcwd(Drv, ByPolicy) end),
    ok = alcove_test:event(Drv, ByPolicy, {termsig, sigsys}),
    ByHand = alcove_test:fork(Drv, Path),
    install(Drv, ByHand, [?EXAMINE_SYSCALL, ?KILL_SYSCALL(getcwd), ?ALLOW_PROCESS]),
    alcove_test:badpid(fun() -> alcove:getcwd(Drv, ByHand) end),
    ok = alcove_test:event(Drv, ByHand, {termsig, sigsys}),
    ?assertEqual(lists:last(Path), alcove:getpid(Drv, Path)).

%% The call isn't made, the signal is reported, the process goes on. Without a trap the signal
%% ends it.
trapped(Config) ->
    {Drv, Path} = drv_and_path(Config),
    Policy = #{default => allow, rules => [{[chdir, getcwd, getpgid], trap}]},
    Child = alcove_test:fork(Drv, Path),
    %% Where the process is, the names say that it can open: getcwd is trapped too.
    Tmp = alcove_test:tmp(Config),
    ok = file:write_file(filename:join(Tmp, "here"), []),
    ok = alcove:chdir(Drv, Child, Tmp),
    ok = alcove:sigaction(Drv, Child, sigsys, trap),
    install(Drv, Child, Policy),
    [begin
         {error, enosys} = alcove:chdir(Drv, Child, "/proc"),
         ok = alcove_test:event(Drv, Child, {signal, sigsys})
     end || _ <- lists:seq(1, 100)],
    %% Some processors leave the first argument in the register of the result.
    [begin
         {error, enosys} = alcove:getpgid(Drv, Child, Pid),
         ok = alcove_test:event(Drv, Child, {signal, sigsys})
     end || Pid <- [0, 1, 7]],
    ?assertMatch({ok, _}, alcove:open(Drv, Child, "here", o_rdonly, 0)),
    Untrapped = alcove_test:fork(Drv, Path),
    install(Drv, Untrapped, Policy),
    alcove_test:badpid(fun() -> alcove:chdir(Drv, Untrapped, "/proc") end),
    ok = alcove_test:event(Drv, Untrapped, {termsig, sigsys}).

%% A filter that doesn't know clone3 mostly says EPERM, which it may also say of namespaces: clone(2) tells.
no_clone3(Config) ->
    alcove_test:need([root, namespaces], fun() ->
        {Drv, Path} = drv_and_path(Config),
        install(Drv, Path, #{default => allow, rules => [{clone3, {errno, eperm}}]}),
        {ok, Pid} = alcove:clone(Drv, Path, clone_newuts),
        ok = alcove:sethostname(Drv, Path ++ [Pid], "inside"),
        {ok, <<"inside">>} = alcove:gethostname(Drv, Path ++ [Pid]),
        ?assertNotMatch({ok, <<"inside">>}, alcove:gethostname(Drv, Path)),
        install(Drv, Path, #{default => allow, rules => [{clone, {errno, eacces}}]}),
        {error, eacces} = alcove:clone(Drv, Path, clone_newuts)
    end).

errno(Config) ->
    {Drv, Path} = drv_and_path(Config),
    Dir = filename:join(alcove_test:tmp(Config), "dir"),
    install(Drv, Path, #{default => allow,
                         rules => [{mkdir(), {errno, enospc}}, {chdir, {errno, eacces}}, {getpgid, {errno, 5}}]}),
    {error, enospc} = alcove:mkdir(Drv, Path, Dir, 8#700),
    {error, eacces} = alcove:chdir(Drv, Path, "/"),
    false = filelib:is_dir(Dir),
    %% As a default, with what the event loop needs.
    Child = alcove_test:fork(Drv, []),
    install(Drv, Child, #{default => {errno, eperm}, rules => alcove_seccomp:event_loop() ++ [getpid]}),
    {error, eperm} = alcove:mkdir(Drv, Child, Dir, 8#700),
    {error, eperm} = alcove:chdir(Drv, Child, "/"),
    {error, eperm} = alcove:fork(Drv, Child),
    ?assertEqual(lists:last(Child), alcove:getpid(Drv, Child)),
    ok = alcove:exit(Drv, Child, 3),
    ok = alcove_test:event(Drv, Child, {exit_status, 3}).

%% What is logged is made.
logged(Config) ->
    {Drv, Path} = drv_and_path(Config),
    install(Drv, Path, #{default => allow, rules => [{chdir, log}]}),
    ok = alcove:chdir(Drv, Path, "/proc"),
    {ok, <<"/proc">>} = alcove:getcwd(Drv, Path).

allowed(Config) ->
    {Drv, Path} = drv_and_path(Config),
    install(Drv, Path, #{default => kill, rules => alcove_seccomp:event_loop() ++ [chdir, getcwd]}),
    ok = alcove:chdir(Drv, Path, "/proc"),
    {ok, <<"/proc">>} = alcove:getcwd(Drv, Path),
    ?assertEqual("2", status(Path, "Seccomp")),
    ?assertEqual("1", status(Path, "NoNewPrivs")).

%% Signals of one number to this process only; the order of rules matters.
arguments(Config) ->
    {Drv, Path} = drv_and_path(Config),
    Pid = lists:last(Path),
    ok = alcove:sigaction(Drv, Path, sigusr1, trap),
    install(Drv, Path, #{default => allow,
                         rules => [{kill, [{0, eq, Pid, 32}, {1, eq, alcove:signal_define(Drv, sigusr1), 32}]},
                                   {kill, [{1, eq, 0, 32}], {errno, esrch}},
                                   {kill, {errno, eperm}},
                                   {umask, [{0, {masked_eq, 8#077}, 8#077, 32}]},
                                   {umask, {errno, einval}}]}),
    ok = alcove:kill(Drv, Path, Pid, sigusr1),
    ok = alcove_test:event(Drv, Path, {signal, sigusr1}),
    {error, eperm} = alcove:kill(Drv, Path, Pid, sigusr2),
    {error, eperm} = alcove:kill(Drv, Path, alcove_test:ospid(), sigusr1),
    {error, esrch} = alcove:kill(Drv, Path, Pid, 0).

%% An event loop that may do nothing but read, write and return from handlers.
least_filter(Config) ->
    {Drv, Path} = drv_and_path(Config),
    Names = [sys_read, sys_write, sys_writev, sys_poll, sys_exit, sys_exit_group, sys_rt_sigreturn, sys_sigreturn,
             sys_getpid],
    ok = alcove:sigaction(Drv, Path, sigusr1, trap),
    install(Drv, Path, [?VALIDATE_ARCHITECTURE(alcove_seccomp:audit_arch()),
                        ?EXAMINE_SYSCALL,
                        [?ALLOW_SYSCALL(Number) || Name <- Names,
                                                   Number <- [alcove:syscall_define(Drv, Name)], Number =/= unknown],
                        ?KILL_PROCESS]),
    Pid = lists:last(Path),
    [Pid = alcove:getpid(Drv, Path) || _ <- lists:seq(1, 1000)],
    {ok, Pids} = alcove:batch(Drv, Path, lists:duplicate(1000, {getpid, []})),
    [Pid] = lists:usort(Pids),
    ok = alcove:kill(Drv, Pid, sigusr1),
    ok = alcove_test:event(Drv, Path, {signal, sigusr1}),
    alcove_test:badpid(fun() -> alcove:getuid(Drv, Path) end),
    ok = alcove_test:event(Drv, Path, {termsig, sigsys}).

%% The names of event_loop/0 let a process answer, report signals and children, and exit.
event_loop_is_enough(Config) ->
    {Drv, Path} = drv_and_path(Config),
    Pid = lists:last(Path),
    Child = alcove_test:fork(Drv, Path),
    ok = alcove:sigaction(Drv, Path, sigusr1, trap),
    install(Drv, Path, #{default => kill, rules => alcove_seccomp:event_loop() ++ [getpid]}),
    [Pid = alcove:getpid(Drv, Path) || _ <- lists:seq(1, 1000)],
    ok = alcove:kill(Drv, Pid, sigusr1),
    ok = alcove_test:event(Drv, Path, {signal, sigusr1}),
    ok = alcove:exit(Drv, Child, 7),
    ok = alcove_test:event(Drv, Child, {exit_status, 7}),
    %% Without a call's own system calls there is none.
    {ok, [16, false]} = alcove:batch(Drv, Path, [{getopt, [maxforkdepth]}, {getenv, ["ALCOVE_NOT_SET"]}]),
    ok = alcove:exit(Drv, Path, 4),
    ok = alcove_test:event(Drv, Path, {exit_status, 4}).

inherited(Config) ->
    {Drv, Path} = drv_and_path(Config),
    Dir = filename:join(alcove_test:tmp(Config), "dir"),
    install(Drv, Path, #{default => allow, rules => [{mkdir(), {errno, enospc}}]}),
    Child = alcove_test:chain(Drv, Path, 2),
    {error, enospc} = alcove:mkdir(Drv, Child, Dir, 8#700),
    Shell = alcove_test:shell(Drv, Child, "exec 2>&1; LC_ALL=C mkdir " ++ Dir ++ "; grep ^Seccomp: /proc/self/status"),
    {Output, {exit_status, 0}} = alcove_test:output(Drv, Shell),
    ?assertMatch({match, _}, re:run(Output, "No space left on device.*\nSeccomp:\t2\n")),
    false = filelib:is_dir(Dir),
    %% Not by those above.
    ok = alcove:mkdir(Drv, Dir, 8#700).

%% A program starts under a policy that admits by name, and does what that admits.
programs(Config) ->
    {Drv, Path} = drv_and_path(Config),
    Names = alcove_seccomp:event_loop() ++ alcove_seccomp:exec(),
    Run = fun(Default, More, Argv) ->
                  Child = alcove_test:fork(Drv, Path),
                  install(Drv, Child, #{default => Default, rules => Names ++ More}),
                  ok = alcove:execvp(Drv, Child, hd(Argv), Argv),
                  alcove_test:output(Drv, Child)
          end,
    {<<"hello\n">>, {exit_status, 0}} = Run(kill, [], ["/bin/echo", "hello"]),
    {<<>>, {termsig, sigsys}} = Run(kill, [], ["/bin/sh", "-c", "cd /; echo not here"]),
    {<<"here\n">>, {exit_status, 0}} = Run(kill, [chdir, getcwd], ["/bin/sh", "-c", "cd /; echo here"]),
    {<<"no\n">>, {exit_status, 0}} =
        Run({errno, eperm}, [], ["/bin/sh", "-c", "cd / 2>/dev/null || echo no"]),
    case alcove_test:busybox() of
        false -> ok;
        Busybox ->
            %% It gives up what a setuid bit might have given it, unless root runs it.
            {<<"static\n">>, {exit_status, 0}} = Run(kill, [setgid, setuid], [Busybox, "echo", "static"])
    end,
    %% Without execve there is no program; the event loop goes on.
    install(Drv, Path, #{default => {errno, eperm}, rules => alcove_seccomp:event_loop() ++ [getpid, rt_sigaction]}),
    {error, eperm} = alcove:execvp(Drv, Path, "/bin/true", ["true"]),
    ?assertEqual(lists:last(Path), alcove:getpid(Drv, Path)).

%% Of several filters.
most_restrictive_wins(Config) ->
    {Drv, Path} = drv_and_path(Config),
    Policy = fun(Action) -> #{default => allow, rules => [{[chdir, getcwd], Action}]} end,
    [install(Drv, Path, Policy(Action)) || Action <- [allow, {errno, eacces}, log, allow]],
    {error, eacces} = alcove:chdir(Drv, Path, "/"),
    ?assertEqual("4", status(Path, "Seccomp_filters")),
    install(Drv, Path, Policy(kill)),
    alcove_test:badpid(fun() -> alcove:chdir(Drv, Path, "/") end),
    ok = alcove_test:event(Drv, Path, {termsig, sigsys}).

%% A program that calls getpid by int 0x80 and exits with 0. Without a policy it may.
foreign_calls(Config) ->
    {Drv, Path} = drv_and_path(Config),
    File = filename:join(alcove_test:tmp(Config), "int80"),
    ok = file:write_file(File, elf(<<16#b8, 20:32/little,           % mov eax, 20
                                     16#cd, 16#80,                  % int 0x80
                                     16#31, 16#ff,                  % xor edi, edi
                                     16#b8, 60:32/little,           % mov eax, 60
                                     16#0f, 16#05>>)),              % syscall
    ok = file:change_mode(File, 8#755),
    Run = fun() -> alcove_test:output(Drv, alcove_test:run(Drv, Path, [File])) end,
    case alcove_seccomp:audit_arch() =:= ?AUDIT_ARCH_X86_64 andalso Run() of
        {<<>>, {exit_status, 0}} ->
            install(Drv, Path, #{default => allow}),
            ?assertEqual({<<>>, {termsig, sigsys}}, Run());
        _ ->
            alcove_test:skip("needs calls of i386 on x86_64")
    end.

%% A static executable of this code.
elf(Code) ->
    Base = 16#400000,
    Size = 64 + 56 + byte_size(Code),
    <<16#7f, "ELF", 2, 1, 1, 0:72,
      2:16/little, 62:16/little, 1:32/little, (Base + 120):64/little, 64:64/little, 0:64, 0:32,
      64:16/little, 56:16/little, 1:16/little, 0:48,
      1:32/little, 5:32/little, 0:64, Base:64/little, Base:64/little, Size:64/little, Size:64/little, 16#1000:64/little,
      Code/binary>>.

%% An error that nothing has a name for is its number.
nameless_error(Config) ->
    {Drv, Path} = drv_and_path(Config),
    install(Drv, Path, #{default => allow, rules => [{chdir, {errno, 4095}}, {getcwd, {errno, 4000}}]}),
    {error, 4095} = alcove:chdir(Drv, Path, "/"),
    {error, 4000} = alcove:getcwd(Drv, Path),
    {error, {1, chdir, 4095}} = alcove:batch(Drv, Path, [{chdir, ["/"]}]),
    %% Of an exec too, in whatever way a program is started.
    Policy = #{default => allow, rules => [{execve, {errno, 4095}}]},
    ?assertEqual({error, {execvp, 4095}}, alcove_proc:run(Drv, ["true"], #{seccomp => Policy})),
    ?assertEqual({error, {execvp, 4095}}, alcove_proc:run(Drv, ["/bin/true"], #{seccomp => Policy})),
    {ok, Filtered} = alcove:fork(Drv, []),
    install(Drv, [Filtered], Policy),
    ?assertEqual({error, {execvp, 4095}}, alcove_proc:run(Drv, ["true"], #{in => [Filtered]})),
    ?assertEqual({error, 4095}, alcove:execvp(Drv, [Filtered], "true", ["true"])),
    ?assertEqual({error, {1, execvp, 4095}}, alcove:spawn(Drv, [Filtered], fork, [{execvp, ["true", ["true"]]}])).

%% No privilege is needed to give up calls, only no_new_privs, which install/3 sets.
ordinary_user(Config) ->
    alcove_test:need(
      [root],
      fun() ->
              {Drv, Path} = drv_and_path(Config),
              ok = alcove:setgid(Drv, Path, 65534),
              ok = alcove:setuid(Drv, Path, 65534),
              Program = compile(#{default => allow, rules => [{chdir, {errno, eacces}}]}),
              {error, eacces} = alcove:prctl(Drv, Path, pr_set_seccomp, ?SECCOMP_MODE_FILTER,
                                             alcove_seccomp:sock_fprog(Program), 0, 0),
              ok = alcove:chdir(Drv, Path, "/"),
              install(Drv, Path, Program),
              {error, eacces} = alcove:chdir(Drv, Path, "/")
      end).

%% A process that never was without its filter.
in_one_call(Config) ->
    {Drv, Path} = drv_and_path(Config),
    Program = compile(#{default => allow, rules => [{chdir, {errno, eacces}}]}),
    {ok, Pid} = alcove:spawn(Drv, Path, fork, alcove_seccomp:calls(Program)
                             ++ [{execvp, ["/bin/sh", ["sh", "-c", "cd / 2>/dev/null || echo no"]]}]),
    {<<"no\n">>, {exit_status, 0}} = alcove_test:output(Drv, Path ++ [Pid]).

%% Nothing is installed.
refused(Config) ->
    {Drv, Path} = drv_and_path(Config),
    {error, {unknown_syscall, [no_such_call]}} =
        alcove_seccomp:install(Drv, Path, #{default => allow, rules => [no_such_call]}),
    {error, too_large} =
        alcove_seccomp:install(Drv, Path, #{default => allow, rules => lists:duplicate(5000, getpid)}),
    %% It doesn't return.
    {error, einval} = alcove_seccomp:install(Drv, Path, ?EXAMINE_SYSCALL),
    alcove_test:alive_after(
      Config,
      fun() ->
              [alcove_test:badarg(fun() -> alcove_seccomp:install(Drv, Path, Wrong) end)
               || Wrong <- [<<1>>, [], x, {a}, #{}, #{default => x}]],
              alcove_test:badarg(fun() -> alcove_seccomp:install(Drv, x, #{default => allow}) end),
              alcove_test:badarg(fun() -> alcove_seccomp:install(x, Path, #{default => allow}) end)
      end),
    ?assertEqual("0", status(Path, "Seccomp")),
    alcove_test:badpid(fun() -> alcove_seccomp:install(Drv, [1], #{default => allow}) end).

from_another_node(_Config) ->
    alcove_test:nodes(
      fun(There, Here) ->
              Drv = alcove_test:in_peer(There, fun() -> alcove_test:hold([]) end),
              Path = alcove_test:in_peer(There, fun() -> alcove_test:fork(Drv, []) end),
              Install = fun(Policy) ->
                                alcove_test:in_peer(Here, fun() -> alcove_seccomp:install(Drv, Path, Policy) end)
                        end,
              {error, {unknown_syscall, [no_such_call]}} = Install(#{default => allow, rules => [no_such_call]}),
              alcove_test:in_peer(
                Here,
                fun() ->
                        alcove_test:badarg(fun() -> alcove_seccomp:install(Drv, Path, #{default => x}) end),
                        alcove_test:badpid(fun() -> alcove_seccomp:install(Drv, [1], #{default => allow}) end)
                end),
              ok = Install(#{default => allow, rules => [{chdir, {errno, eacces}}]}),
              {error, eacces} = alcove_test:peer_call(Here, alcove, chdir, [Drv, Path, "/"]),
              ok = alcove_test:stop_peer(There),
              Node = node(Drv),
              {nodedown, Node} =
                  alcove_test:in_peer(
                    Here,
                    fun() ->
                            try alcove_seccomp:install(Drv, Path, #{default => allow}) catch exit:Reason -> Reason end
                    end)
      end).
