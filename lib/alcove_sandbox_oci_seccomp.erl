%% @private
%% @doc The filter of an OCI configuration as a policy of {@link alcove_seccomp}.
%%
%% If several rules match a call, the most restrictive one holds. So a policy admits no call that
%% libseccomp's filter of the configuration refuses. It may refuse it in another way: as all
%% policies, it kills the process for a call of another architecture, and answers ENOSYS to x32
%% numbers and, unless the default is to allow or to log, to numbers above all that are known. It
%% answers so also where the default kills, as runc does, since C libraries try new calls.
%%
%% == Arguments of 32 bits ==
%%
%% The kernel ignores the upper half of an argument that it takes as an int, and a filter can't
%% know which ones these are. With 64 bits, a program would evade a condition on such an argument
%% by one bit in the upper half: `eq 40' wouldn't match 16#100000028, `ne 40' would. With 32 bits,
%% `eq', `lt', `le' and `masked_eq' match more than with 64, and `ne', `ge' and `gt' match less.
%% (Of negative ints, whose upper half is all ones, `ge' and `gt' match more, `lt' and `le' less.)
%%
%% So the rule: if an int can have the value, a condition has 32 bits where this refuses more, and
%% 64 bits otherwise. Of a rule at least as strict as the default, those that match more have 32
%% bits, and of another rule those that match less. This is never weaker than what the
%% configuration says of all 64 bits; nor, for values below 2^32, than what it says of the lower
%% half. For pointers and sizes it is stricter: an admission by `ne 0' doesn't admit a size of 4
%% GiB. An argument below 2^31 gets what the configuration says.
-module(alcove_sandbox_oci_seccomp).

-export([items/2]).

-import(alcove_sandbox_oci_items, [
    array/3, at/2, natural/3, object/3, required/3, text/3, unsupported/1
]).

-type item() :: alcove_sandbox_oci_items:item().

-define(EPERM, 1).
-define(ENOSYS, 38).
-define(LOW, 16#ffffffff).
%% A program of the kernel has so many instructions at most, and each rule takes some.
-define(MOST, 4096).
%% The least int as an argument of 64 bits.
-define(NEGATIVE, 16#ffffffff80000000).
-define(OPERATORS, #{
    <<"SCMP_CMP_NE">> => ne,
    <<"SCMP_CMP_LT">> => lt,
    <<"SCMP_CMP_LE">> => le,
    <<"SCMP_CMP_EQ">> => eq,
    <<"SCMP_CMP_GE">> => ge,
    <<"SCMP_CMP_GT">> => gt,
    <<"SCMP_CMP_MASKED_EQ">> => masked_eq
}).
-define(ARCHITECTURES, [
    <<"X86">>, <<"X86_64">>, <<"X32">>, <<"ARM">>, <<"AARCH64">>, <<"MIPS">>, <<"MIPS64">>,
    <<"MIPS64N32">>, <<"MIPSEL">>, <<"MIPSEL64">>, <<"MIPSEL64N32">>, <<"PPC">>, <<"PPC64">>,
    <<"PPC64LE">>, <<"S390">>, <<"S390X">>, <<"PARISC">>, <<"PARISC64">>, <<"RISCV64">>,
    <<"LOONGARCH64">>, <<"M68K">>, <<"SH">>, <<"SHEB">>
]).
%% Calls that no architecture has for which policies are made, by which others do the same.
-define(ELSEWHERE, [
    socketcall, ipc, waitpid, stime, oldstat, oldlstat, oldfstat, signal, sgetmask, ssetmask,
    umount, nice, vm86, vm86old, olduname, oldolduname, readdir, break, ftime, gtty, idle, lock,
    mpx, prof, profil, stty, ulimit, cacheflush, getrlimit, mmap, select
]).

-spec items(alcove_sandbox_oci_items:path(), term()) -> [item()].
items(Path, Seccomp) ->
    Errno = errno(Seccomp, <<"defaultErrnoRet">>),
    Action = action(value(Seccomp, <<"defaultAction">>), Errno),
    Default = in_force(Action),
    required(Path, Seccomp, [<<"defaultAction">>]) ++
        policy(
            Path,
            object(Path, Seccomp, #{
                <<"defaultAction">> => fun(At, _) -> checked(At, Action) end,
                <<"defaultErrnoRet">> => fun error_number/2,
                <<"architectures">> => fun(At, Names) -> array(At, Names, fun architecture/2) end,
                <<"flags">> => fun(At, Flags) -> array(At, Flags, fun flag/2) end,
                <<"listenerPath">> => unsupported(<<"nobody is asked">>),
                <<"listenerMetadata">> => fun alcove_sandbox_oci_items:fine/2,
                <<"syscalls">> => fun(At, Rules) ->
                    Known = known(),
                    array(At, Rules, fun(Here, Rule) -> rule(Here, Rule, Default, Known) end)
                end
            }),
            Default
        ).

value(Map, Key) when is_map(Map) -> maps:get(Key, Map, none);
value(_, _) -> none.

policy(Path, Items, Default) ->
    Ranked = [{rank(Action), Rule} || {rule, {_, _, Action} = Rule} <- Items],
    Rules = [Rule || {_, Rule} <- lists:keysort(1, Ranked)],
    [Item || Item <- Items, element(1, Item) =/= rule] ++
        case is_action(Default) andalso sized(Rules, Default) of
            false ->
                [];
            too_many ->
                [{wrong, at(Path, <<"syscalls">>), {invalid, <<"fewer rules with conditions">>}}];
            Sized ->
                [{set, seccomp, #{default => Default, rules => Sized}}]
        end.

%% The most restrictive first.
rank(kill_process) -> 0;
rank(kill_thread) -> 1;
rank(trap) -> 2;
rank({errno, _}) -> 3;
rank(log) -> 4;
rank(allow) -> 5.

%% What the kernel does if nobody traces the process, or is asked. This holds if the option `ignore'
%% names the action, so that the calls aren't made for lack of a rule.
in_force({unsupported, _}) -> {errno, ?ENOSYS};
in_force(Action) -> Action.

is_action({errno, _}) -> true;
is_action(Action) -> is_atom(Action).

checked(Path, {wrong, Must}) -> [{wrong, Path, {invalid, Must}}];
checked(Path, {unsupported, Why}) -> [{unsupported, Path, Why}];
checked(_Path, _Action) -> [].

action(<<"SCMP_ACT_ALLOW">>, _) -> allow;
action(<<"SCMP_ACT_LOG">>, _) -> log;
action(<<"SCMP_ACT_ERRNO">>, Errno) -> {errno, Errno};
action(<<"SCMP_ACT_TRAP">>, _) -> trap;
%% This action means a single thread, but the process is killed: the other threads wouldn't know of
%% the end of one.
action(<<"SCMP_ACT_KILL">>, _) -> kill_process;
action(<<"SCMP_ACT_KILL_PROCESS">>, _) -> kill_process;
action(<<"SCMP_ACT_KILL_THREAD">>, _) -> kill_thread;
action(<<"SCMP_ACT_TRACE">>, _) -> {unsupported, <<"nobody traces it">>};
action(<<"SCMP_ACT_NOTIFY">>, _) -> {unsupported, <<"nobody is asked">>};
action(_, _) -> {wrong, <<"an action SCMP_ACT_...">>}.

errno(Map, Key) ->
    case value(Map, Key) of
        Errno when is_integer(Errno), Errno >= 0, Errno =< 4095 -> Errno;
        _ -> ?EPERM
    end.

error_number(Path, Value) ->
    natural(Path, Value, fun
        (Errno) when Errno =< 4095 -> [];
        (_) -> [{wrong, Path, {invalid, <<"an error number to 4095">>}}]
    end).

architecture(Path, Value) ->
    text(Path, Value, fun
        (<<"SCMP_ARCH_", Name/binary>>) when Name =/= <<>> ->
            case lists:member(Name, ?ARCHITECTURES) of
                true -> [];
                false -> [{wrong, Path, {invalid, <<"an architecture SCMP_ARCH_...">>}}]
            end;
        (_) ->
            [{wrong, Path, {invalid, <<"an architecture SCMP_ARCH_...">>}}]
    end).

%% There is one thread; and what mitigations cost is no reason to be without.
flag(_Path, <<"SECCOMP_FILTER_FLAG_TSYNC">>) -> [];
flag(_Path, <<"SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV">>) -> [];
flag(Path, <<"SECCOMP_FILTER_FLAG_SPEC_ALLOW">>) -> [{stricter, Path, <<"mitigations are on">>}];
flag(Path, <<"SECCOMP_FILTER_FLAG_LOG">>) -> [{unsupported, Path, <<"actions aren't logged">>}];
flag(Path, _) -> [{wrong, Path, {invalid, <<"a flag SECCOMP_FILTER_FLAG_...">>}}].

%%--------------------------------------------------------------------
%% Rules
%%--------------------------------------------------------------------

rule(Path, Rule, Default, Known) ->
    Given = action(value(Rule, <<"action">>), errno(Rule, <<"errnoRet">>)),
    Action = in_force(Given),
    Refuses = is_action(Action) andalso is_action(Default) andalso rank(Action) < rank(Default),
    Items =
        required(Path, Rule, [<<"names">>, <<"action">>]) ++
            object(Path, Rule, #{
                <<"names">> => fun(At, Names) ->
                    array(At, Names, fun(Nth, Name) -> name(Nth, Name, Refuses, Known) end)
                end,
                <<"action">> => fun(At, _) -> checked(At, Given) end,
                <<"errnoRet">> => fun error_number/2,
                <<"args">> => fun(At, Args) -> array(At, Args, fun argument/2) end
            }),
    Calls = [Name || {call, Name} <- Items],
    Conditions = [Condition || {condition, Condition} <- Items],
    Others = [Item || Item <- Items, element(1, Item) =/= call, element(1, Item) =/= condition],
    Others ++
        [
            {rule, {Calls, All, Action}}
         || Calls =/= [], is_action(Action), All <- alternatives(Conditions)
        ].

%% All conditions have to hold. If several are about one argument, any of them suffices, as in runc.
alternatives(Conditions) ->
    Arguments = [element(1, Condition) || Condition <- Conditions],
    case Arguments -- lists:usort(Arguments) of
        [] -> [Conditions];
        _ -> [[Condition] || Condition <- Conditions]
    end.

name(Path, Value, Refuses, Known) ->
    text(Path, Value, fun(Text) ->
        case {Known, Refuses} of
            {#{Text := here}, _} -> [{call, binary_to_existing_atom(Text)}];
            {#{Text := elsewhere}, _} -> [];
            {_, true} -> [{unsupported, Path, <<"no such system call is known">>}];
            {_, false} -> [{stricter, Path, <<"it isn't known, and not admitted">>}]
        end
    end).

%% Names by the architectures that have them: text from a file makes no atoms.
known() ->
    Names =
        ?ELSEWHERE ++
            [
                Name
             || Architecture <- alcove_seccomp:architectures(),
                {Name, _} <- alcove_nif:seccomp_calls(Architecture)
            ],
    maps:from_list([
        {atom_to_binary(Name),
            case alcove_nif:seccomp_number(Name, native) of
                Number when is_integer(Number) -> here;
                _ -> elsewhere
            end}
     || Name <- lists:usort(Names)
    ]).

%% A member that isn't known leaves the condition in force, whether or not it is ignored.
argument(Path, Arg) ->
    Names = [<<"index">>, <<"value">>, <<"op">>],
    Items =
        required(Path, Arg, Names) ++
            object(Path, Arg, #{
                <<"index">> => fun(At, Index) ->
                    natural(At, Index, fun
                        (N) when N =< 5 -> [];
                        (_) -> [{wrong, At, {invalid, <<"an index to 5">>}}]
                    end)
                end,
                <<"value">> => fun word/2,
                <<"valueTwo">> => fun word/2,
                <<"op">> => fun
                    (_, Operator) when is_map_key(Operator, ?OPERATORS) -> [];
                    (At, _) -> [{wrong, At, {invalid, <<"an operator SCMP_CMP_...">>}}]
                end
            }),
    Items ++
        case lists:keymember(wrong, 1, Items) of
            true ->
                [];
            false ->
                #{<<"index">> := Index, <<"value">> := Value, <<"op">> := Name} = Arg,
                case maps:get(Name, ?OPERATORS) of
                    masked_eq ->
                        Two = maps:get(<<"valueTwo">>, Arg, 0),
                        [{condition, {Index, {masked_eq, Value}, Two}}];
                    Operator ->
                        [{condition, {Index, Operator, Value}}]
                end
        end.

word(Path, Value) ->
    natural(Path, Value, fun
        (N) when N < 1 bsl 64 -> [];
        (_) -> [{wrong, Path, {invalid, <<"a number of 64 bits">>}}]
    end).

%%--------------------------------------------------------------------
%% 32 or 64 bits
%%--------------------------------------------------------------------

%% The rules of a policy, of those of a configuration in the order of their strictness.
sized(Rules, Default) ->
    {Strict, Lenient} = lists:splitwith(
        fun({_, _, Action}) -> rank(Action) =< rank(Default) end, Rules
    ),
    Admitted = lists:foldl(fun admitted/2, #{}, Lenient),
    Counts = [
        Count
     || Rule <- Lenient, {_, Key} <- evaded(Rule, Admitted), {Count, _} <- [maps:get(Key, Admitted)]
    ],
    case lists:sum(Counts) > ?MOST of
        true ->
            too_many;
        false ->
            [{Calls, bits(more, All), Action} || {Calls, All, Action} <- Strict] ++
                lists:append([lenient(Rule, Admitted) || Rule <- Lenient])
    end.

%% A call that such a rule matches with fewer bits, but not with more, is for the default or for a
%% rule that is less strict. The latter mustn't admit more than this rule.
lenient({Calls, All, Action} = Rule, Admitted) ->
    [
        {[Call], bits(more, All) ++ Others, Action}
     || {Call, Key} <- evaded(Rule, Admitted),
        {_, Admissions} <- [maps:get(Key, Admitted)],
        Others <- Admissions
    ] ++ [{Calls, bits(less, All), Action}].

%% The calls of a rule for which there are rules that are less strict.
evaded({Calls, All, Action}, Admitted) ->
    [
        {Call, Key}
     || bits(more, All) =/= bits(less, All),
        Call <- Calls,
        Rank <- lists:seq(rank(Action) + 1, rank(allow)),
        Key <- [{number(Call), Rank}],
        is_map_key(Key, Admitted)
    ].

%% The conditions of rules by call and strictness, with how many there are.
admitted({Calls, All, Action}, Admitted) ->
    Conditions = bits(less, All),
    lists:foldl(
        fun(Call, Now) ->
            Add = fun({Count, Others}) -> {Count + 1, [Conditions | Others]} end,
            maps:update_with({number(Call), rank(Action)}, Add, {1, [Conditions]}, Now)
        end,
        Admitted,
        Calls
    ).

%% Calls may have two names.
number(Call) -> alcove_nif:seccomp_number(Call, native).

%% Conditions with 32 bits where they match more or less with them, else with 64.
bits(Wanted, Conditions) ->
    [
        case with_32_bits(Operator, Value) of
            Wanted -> {Index, low(Operator), Value band ?LOW, 32};
            _ -> {Index, Operator, Value, 64}
        end
     || {Index, Operator, Value} <- Conditions
    ].

low({masked_eq, Mask}) -> {masked_eq, Mask band ?LOW};
low(Operator) -> Operator.

%% Whether a condition matches more or less with 32 bits than with 64: `same' if there is no
%% difference, or if no int can have the value. A mask whose lower half is 0 isn't about an int.
with_32_bits({masked_eq, Mask}, Value) ->
    case {Mask band ?LOW, Mask bsr 32, (Mask band Value) bsr 32} of
        {_, 0, _} -> same;
        {0, _, _} -> same;
        {_, _, 0} -> more;
        {_, Upper, Upper} when Mask band Value band (1 bsl 31) =/= 0 -> more;
        _ -> same
    end;
with_32_bits(Operator, Value) when Value =< ?LOW ->
    case lists:member(Operator, [eq, lt, le]) of
        true -> more;
        false -> less
    end;
%% A negative int.
with_32_bits(Operator, Value) when Value >= ?NEGATIVE ->
    case lists:member(Operator, [eq, ge, gt]) of
        true -> more;
        false -> less
    end;
with_32_bits(_Operator, _Value) ->
    same.
