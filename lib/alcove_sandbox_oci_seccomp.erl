%% @private
%% @doc The filter of an OCI configuration as a policy of {@link alcove_seccomp}.
%%
%% If several rules match a call, the most restrictive one holds, so that a policy is never
%% weaker than what libseccomp makes of the configuration. Calls of other architectures are
%% always refused.
-module(alcove_sandbox_oci_seccomp).

-export([items/2]).

-import(alcove_sandbox_oci_items, [
    array/3, natural/3, object/3, required/3, text/3, unsupported/1
]).

-type item() :: alcove_sandbox_oci_items:item().

-define(EPERM, 1).
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
    Default = action(value(Seccomp, <<"defaultAction">>), Errno),
    required(Path, Seccomp, [<<"defaultAction">>]) ++
        policy(
            object(Path, Seccomp, #{
                <<"defaultAction">> => fun(At, Value) -> checked(At, action(Value, Errno)) end,
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

policy(Items, Default) ->
    Ranked = [{rank(Action), Rule} || {rule, {_, _, Action} = Rule} <- Items],
    Rules = [Rule || {_, Rule} <- lists:keysort(1, Ranked)],
    [Item || Item <- Items, element(1, Item) =/= rule] ++
        [{set, seccomp, #{default => Default, rules => Rules}} || is_action(Default)].

%% The most restrictive first.
rank(kill_process) -> 0;
rank(kill_thread) -> 1;
rank(trap) -> 2;
rank({errno, _}) -> 3;
rank(log) -> 4;
rank(allow) -> 5.

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
    Action = action(value(Rule, <<"action">>), errno(Rule, <<"errnoRet">>)),
    Refuses = is_action(Action) andalso is_action(Default) andalso rank(Action) < rank(Default),
    Items =
        required(Path, Rule, [<<"names">>, <<"action">>]) ++
            object(Path, Rule, #{
                <<"names">> => fun(At, Names) ->
                    array(At, Names, fun(Nth, Name) -> name(Nth, Name, Refuses, Known) end)
                end,
                <<"action">> => fun(At, _) -> checked(At, Action) end,
                <<"errnoRet">> => fun error_number/2,
                <<"args">> => fun(At, Args) ->
                    array(At, Args, fun(Nth, Arg) -> argument(Nth, Arg, Refuses) end)
                end
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

argument(Path, Arg, Refuses) ->
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
    case Items of
        [] ->
            #{<<"index">> := Index, <<"value">> := Value, <<"op">> := Operator} = Arg,
            Two = maps:get(<<"valueTwo">>, Arg, 0),
            [{condition, condition(Index, maps:get(Operator, ?OPERATORS), Value, Two, Refuses)}];
        _ ->
            Items
    end.

word(Path, Value) ->
    natural(Path, Value, fun
        (N) when N < 1 bsl 64 -> [];
        (_) -> [{wrong, Path, {invalid, <<"a number of 64 bits">>}}]
    end).

condition(Index, masked_eq, Mask, Value, _Refuses) ->
    {Index, {masked_eq, Mask}, Value, 64};
%% The kernel ignores the upper half of most arguments: a program must not evade a refusal by
%% setting bits there.
condition(Index, eq, Value, _Two, true) when Value < 1 bsl 32 ->
    {Index, eq, Value, 32};
condition(Index, Operator, Value, _Two, _Refuses) ->
    {Index, Operator, Value, 64}.
