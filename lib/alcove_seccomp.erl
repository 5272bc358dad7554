%% @doc Filters of system calls, see seccomp(2). Linux only.
%%
%% A filter decides what becomes of every system call of a process, of all that the
%% process forks and of the program that it is replaced by. It can't be taken off;
%% when several are installed, the most restrictive action counts.
%%
%% <h3>Policies</h3>
%%
%% ```
%% Policy = #{
%%     default => {errno, eperm},
%%     rules => alcove_seccomp:event_loop() ++ [
%%         getpid,
%%         {[open, openat], {errno, eacces}},
%%         {socket, [{0, eq, 1, 32}]},
%%         {ioctl, [{1, eq, 16#5412, 32}], kill}
%%     ]
%% },
%% ok = alcove_seccomp:install(Drv, [Pid], Policy).
%% '''
%%
%% The rules are tried in their order; the first that matches a call decides, and
%% `default' does where none matches. A rule is
%%
%% <dl>
%% <dt>`Call'</dt><dd>allows a system call;</dd>
%% <dt>`{Calls, Action}'</dt><dd>gives one, or a list of them, this action;</dd>
%% <dt>`{Calls, Conditions}'</dt><dd>allows them if all of the conditions hold;</dd>
%% <dt>`{Calls, Conditions, Action}'</dt><dd>gives them this action if all of the
%%     conditions hold.</dd>
%% </dl>
%%
%% A call is a name, `getpid' or `sys_getpid', or a number below 2^30. A name that the
%% platform lacks is an error: {@link available/1} takes such out of a list of names for
%% several platforms.
%%
%% An action is
%%
%% <dl>
%% <dt>`allow'</dt><dd>the call is made;</dd>
%% <dt>`log'</dt><dd>it is made, and written to the audit log;</dd>
%% <dt>`{errno, Error}'</dt><dd>it fails: `eperm', or a number to 4095;</dd>
%% <dt>`trap'</dt><dd>it isn't made, and the process gets SIGSYS, which {@link
%%     alcove:sigaction/4} reports as `{signal, sigsys}' and which else ends it;</dd>
%% <dt>`kill', `kill_process'</dt><dd>the process ends by SIGSYS: `{termsig, sigsys}';</dd>
%% <dt>`kill_thread'</dt><dd>only the thread ends. The others don't know, so this is
%%     seldom what is wanted.</dd>
%% </dl>
%%
%% A condition `{Argument, Operator, Value, Bits}' is about the argument with this
%% index, from 0 to 5:
%%
%% <dl>
%% <dt>`eq', `ne', `lt', `le', `gt', `ge'</dt><dd>compare the argument with the value,
%%     both as unsigned numbers;</dd>
%% <dt>`{masked_eq, Mask}'</dt><dd>compares only the bits of the mask.</dd>
%% </dl>
%%
%% `Bits' is 32 or 64. With 32 the upper half of the argument isn't looked at, as the
%% kernel doesn't where it takes an `int' (file descriptors, ioctl's request, most
%% flags): a rule with 64 bits that refuses such a value is got round by setting one of
%% the upper bits, and one with 32 that admits a pointer or a size admits 2^32 others.
%% A value of so many bits may be negative. What a pointer points to can't be looked at.
%%
%% <h3>What no policy admits</h3>
%%
%% The process is killed when it makes a call of another architecture (`int 0x80' on
%% x86_64): its numbers mean other calls. Numbers of the x32 ABI fail with ENOSYS, as they
%% do in kernels without it. So do, unless the default is `allow' or `log', numbers above
%% all that are known to this library and named by the policy: programs go on without
%% calls that the kernel is too old for, and may not go on when they get EPERM.
%%
%% <h3>The event loop</h3>
%%
%% A process in its event loop makes system calls of its own. {@link event_loop/0}
%% names those that it must have in order to answer; calls come on top. A policy that
%% kills or traps what it doesn't name needs them in its rules:
%%
%% ```
%% #{default => kill, rules => alcove_seccomp:event_loop() ++ [getpid, chdir]}
%% '''
%%
%% The loop ends by SIGSYS otherwise, and {@link install/3} raises `badpid'. Where it
%% can't write the reply because `write' gives an error, it ends as well.
%%
%% {@link alcove:fork/2} takes more (socketpair, pipe2, clone and so on): fork first, or
%% write a policy that refuses by name instead of admitting by name.
%%
%% <h3>Programs</h3>
%%
%% A policy holds for the program that the process is replaced by, and from before its
%% start: it must admit the exec, the work of the dynamic linker, and what the program
%% itself does. {@link exec/0} names what the first two take.
%%
%% ```
%% Policy = #{
%%     default => {errno, eperm},
%%     rules => alcove_seccomp:event_loop() ++ alcove_seccomp:exec() ++ [fadvise64]
%% },
%% ok = alcove_seccomp:install(Drv, [Pid], Policy),
%% ok = alcove:execvp(Drv, [Pid], "cat", ["cat"]).
%% '''
%%
%% Refuse with `{errno, eperm}' or `log' while looking for what a program needs.
%% `execve' stays allowed for the program too; give it nothing it could exec, or see
%% `no_new_privs' below.
%%
%% An ordinary user may install a filter in a process that can't gain privileges any
%% more. {@link install/3} sees to that, by PR_SET_NO_NEW_PRIVS, which is for good:
%% setuid programs and file capabilities have no effect from then on.
%%
%% <h3>Filters written by hand</h3>
%%
%% `include/alcove_seccomp.hrl' has the instructions of BPF and macros for common
%% sequences of them. A list of instructions is taken wherever a program is.
%%
%% ```
%% -include_lib("alcove/include/alcove_seccomp.hrl").
%%
%% Filter = [
%%     ?VALIDATE_ARCHITECTURE(alcove_seccomp:audit_arch()),
%%     ?EXAMINE_SYSCALL,
%%     [?ALLOW_SYSCALL(Name) || Name <- alcove_seccomp:event_loop()],
%%     ?ALLOW_SYSCALL(sys_getpid),
%%     ?KILL_PROCESS
%% ],
%% ok = alcove_seccomp:install(Drv, [Pid], Filter).
%% '''
-module(alcove_seccomp).

-include("alcove_seccomp.hrl").

-export([compile/1, install/3, calls/1, sock_fprog/1]).
-export([event_loop/0, exec/0, available/1]).
-export([stmt/2, jump/4, insn/1, number/1, half/1, audit_arch/0]).
-export([format_error/2]).

-export_type([policy/0, rule/0, call/0, action/0, condition/0, operator/0, program/0, insn/0]).

-type policy() :: #{default := action(), rules => [rule()]}.
-type rule() ::
    call()
    | {call() | [call()], action()}
    | {call() | [call()], [condition()]}
    | {call() | [call()], [condition()], action()}.
-type call() :: atom() | 0..16#3fffffff.
-type action() ::
    allow | log | {errno, alcove:posix() | 0..4095} | trap | kill | kill_process | kill_thread.
-type condition() ::
    {Argument :: 0..5, operator(), Value :: integer(), Bits :: 32 | 64}.
-type operator() :: eq | ne | lt | le | gt | ge | {masked_eq, Mask :: integer()}.
-type program() :: iodata().
%% Instructions, 8 bytes each and at most 4096.
-type insn() :: #alcove_insn{}.

%%--------------------------------------------------------------------
%% Policies
%%--------------------------------------------------------------------

%% @doc Compiles a policy to a program for this machine.
%%
%% Errors: `{unknown_syscall, Names}' for names that the platform doesn't have;
%% `too_large' when it takes more than 4096 instructions; `unsupported' where there
%% is no seccomp, or on an architecture other than x86_64, aarch64 and riscv64.
%%
%% `error:badarg' when a part of it has the wrong shape; the shell says which.
-spec compile(policy()) ->
    {ok, binary()} | {error, {unknown_syscall, [atom()]} | too_large | unsupported}.
compile(Policy) ->
    case alcove_nif:seccomp(Policy) of
        {'$badarg', Part} -> error(badarg, [Policy], why(1, {policy, Part}));
        Compiled -> Compiled
    end.

%% @doc Puts a process under a policy, or under a program.
%%
%% Sets PR_SET_NO_NEW_PRIVS and PR_SET_SECCOMP, see prctl(2), in one round trip. A
%% policy is compiled on Drv's node.
%%
%% Errors: as {@link compile/1}; and what prctl says, for example `einval' when the kernel
%% has no seccomp or the program is none, `enomem' when all filters of a process take too
%% much. No filter was installed then.
%%
%% Exceptions: as {@link compile/1} and {@link alcove}.
-spec install(alcove:drv(), alcove:fork_path(), policy() | program()) ->
    ok
    | {error, alcove:posix() | {unknown_syscall, [atom()]} | too_large | unsupported}.
install(Drv, Pids, What) when is_pid(Drv), node(Drv) =/= node() ->
    try
        erpc:call(node(Drv), ?MODULE, install, [Drv, Pids, What])
    catch
        error:{exception, Reason, _} -> error(Reason, [Drv, Pids, What]);
        error:{erpc, noconnection} -> exit({nodedown, node(Drv)})
    end;
install(Drv, Pids, Policy) when is_map(Policy) ->
    case alcove_nif:seccomp(Policy) of
        {ok, Program} -> install(Drv, Pids, Program);
        {'$badarg', Part} -> error(badarg, [Drv, Pids, Policy], why(3, {policy, Part}));
        {error, Reason} -> {error, Reason}
    end;
install(Drv, Pids, Program) ->
    case is_program(Program) of
        true ->
            case alcove:batch(Drv, Pids, calls(Program)) of
                {ok, _} -> ok;
                {error, {_, prctl, Reason}} -> {error, Reason}
            end;
        false ->
            error(badarg, [Drv, Pids, Program], why(3, program))
    end.

%% @doc The calls that install a program, for {@link alcove:batch/3} and {@link
%% alcove:spawn/4}.
%%
%% ```
%% {ok, Program} = alcove_seccomp:compile(Policy),
%% {ok, Pid} = alcove:spawn(Drv, [], fork,
%%     alcove_seccomp:calls(Program) ++ [{execvp, ["cat", ["cat"]]}])
%% '''
-spec calls(program()) -> [{prctl, [alcove:constant() | alcove:prctl_arg()]}, ...].
calls(Program) ->
    [
        {prctl, [pr_set_no_new_privs, 1, 0, 0, 0]},
        {prctl, [pr_set_seccomp, ?SECCOMP_MODE_FILTER, sock_fprog(Program), 0, 0]}
    ].

%% @doc `struct sock_fprog' of a program, as {@link alcove:prctl/7} takes it.
%%
%% ```
%% alcove:prctl(Drv, [Pid], pr_set_seccomp, ?SECCOMP_MODE_FILTER,
%%     alcove_seccomp:sock_fprog(Program), 0, 0)
%% '''
-spec sock_fprog(program()) -> [binary() | {ptr, binary()}].
sock_fprog(Program) ->
    is_program(Program) orelse error(badarg, [Program], why(1, program)),
    Instructions = iolist_to_binary(Program),
    Padding = (erlang:system_info({wordsize, external}) - 2) * 8,
    [
        <<(byte_size(Instructions) div 8):16/native>>,
        <<0:Padding>>,
        {ptr, Instructions}
    ].

is_program(Program) ->
    try iolist_size(Program) of
        Size -> Size > 0 andalso Size rem 8 =:= 0 andalso Size div 8 =< ?BPF_MAXINSNS
    catch
        error:badarg -> false
    end.

%% @doc The system calls that a process in its event loop makes whatever it is asked for.
%%
%% With these it answers calls, reports signals and the end of its children, and exits.
-spec event_loop() -> [atom()].
event_loop() ->
    available([read, write, writev, exit, exit_group, rt_sigreturn, sigreturn, wait4]).

%% @doc The system calls that an exec takes and that a program makes to start, with the
%% C libraries of GNU and musl.
%%
%% Programs make more, such as `ioctl', `getdents64' or `clone'; which, strace(1) tells.
-spec exec() -> [atom()].
exec() ->
    available([
        %% alcove's own part, with the signals and what follows the parent's death.
        execve,
        prctl,
        rt_sigaction,
        rt_sigprocmask,
        getpid,
        getppid,
        kill,
        %% Memory.
        brk,
        mmap,
        munmap,
        mprotect,
        madvise,
        %% Libraries.
        access,
        faccessat,
        faccessat2,
        open,
        openat,
        close,
        read,
        pread64,
        lseek,
        fcntl,
        stat,
        fstat,
        newfstatat,
        statx,
        readlink,
        readlinkat,
        %% The first thread, and what it wants to know of the system.
        arch_prctl,
        set_tid_address,
        set_robust_list,
        rseq,
        futex,
        prlimit64,
        getrlimit,
        getrandom,
        uname,
        getuid,
        geteuid,
        getgid,
        getegid
    ]).

%% @doc Those of a list of names that are system calls here.
%%
%% A name with a mistake in it is dropped as well: write lists for this platform without.
%% `error:badarg' for what isn't a list of atoms.
-spec available([atom()]) -> [atom()].
available(Names) ->
    try
        [Name || Name <- Names, is_atom(Name) orelse error(badarg), alcove_nif:define(syscall, Name) =/= unknown]
    catch
        error:_ -> error(badarg, [Names], why(1, names))
    end.

%%--------------------------------------------------------------------
%% Filters written by hand
%%--------------------------------------------------------------------

%% @doc An instruction that is no conditional jump: `?BPF_STMT'.
-spec stmt(Code :: 0..16#ffff, K :: 0..16#ffffffff) -> binary().
stmt(Code, K) ->
    jump(Code, K, 0, 0).

%% @doc A conditional jump, over so many instructions when the comparison holds and so
%% many when it doesn't: `?BPF_JUMP'.
-spec jump(Code :: 0..16#ffff, K :: 0..16#ffffffff, JT :: 0..16#ff, JF :: 0..16#ff) -> binary().
jump(Code, K, JT, JF) ->
    insn(#alcove_insn{code = Code, jt = JT, jf = JF, k = K}).

%% @doc `struct sock_filter' of a record, and the other way.
-spec insn(insn()) -> binary();
    (binary()) -> insn().
insn(#alcove_insn{code = Code, jt = JT, jf = JF, k = K}) when
    Code band 16#ffff =:= Code, JT band 16#ff =:= JT, JF band 16#ff =:= JF, K band 16#ffffffff =:= K
->
    <<Code:16/native, JT, JF, K:32/native>>;
insn(<<Code:16/native, JT, JF, K:32/native>>) ->
    #alcove_insn{code = Code, jt = JT, jf = JF, k = K};
insn(Instruction) ->
    error(badarg, [Instruction], why(1, insn)).

%% @doc The number of a system call. `error:badarg' for a name that isn't one here.
-spec number(call()) -> non_neg_integer().
number(Number) when is_integer(Number), Number >= 0, Number =< 16#3fffffff ->
    Number;
number(Name) when is_atom(Name) ->
    case alcove_nif:define(syscall, Name) of
        unknown -> error(badarg, [Name], why(1, syscall));
        Number -> Number
    end;
number(Call) ->
    error(badarg, [Call], why(1, syscall)).

%% @doc Where the low or the high half of a 64 bit word is, from its beginning:
%% `?OFFSET_ARG_LOW', `?OFFSET_ARG_HIGH'.
-spec half(low | high) -> 0 | 4.
half(Half) when Half =:= low; Half =:= high ->
    case <<1:16/native>> of
        <<1, 0>> when Half =:= low -> 0;
        <<0, 1>> when Half =:= high -> 0;
        _ -> 4
    end;
half(Half) ->
    error(badarg, [Half], why(1, half)).

%% @doc The machine's architecture, as a filter sees it: one of the `AUDIT_ARCH_*'
%% of linux/audit.h. `error:unsupported' where it isn't known.
-spec audit_arch() -> pos_integer().
audit_arch() ->
    Machine = hd(string:lexemes(erlang:system_info(system_architecture), "-")),
    case alcove_nif:define(prctl, audit_arch(Machine)) of
        unknown -> error(unsupported);
        Arch -> Arch
    end.

audit_arch("x86_64") -> audit_arch_x86_64;
audit_arch("aarch64") -> audit_arch_aarch64;
audit_arch("riscv64" ++ _) -> audit_arch_riscv64;
audit_arch([$i, _, $8, $6]) -> audit_arch_i386;
audit_arch("armeb" ++ _) -> audit_arch_armeb;
audit_arch("arm" ++ _) -> audit_arch_arm;
audit_arch("powerpc64le") -> audit_arch_ppc64le;
audit_arch("powerpc64") -> audit_arch_ppc64;
audit_arch("s390x") -> audit_arch_s390x;
audit_arch("loongarch64") -> audit_arch_loongarch64;
audit_arch("mips64el") -> audit_arch_mipsel64;
audit_arch("mipsel") -> audit_arch_mipsel;
audit_arch(_) -> unknown.

%%--------------------------------------------------------------------
%% Exceptions
%%--------------------------------------------------------------------

%% What was wrong with the argument at this position.
why(Position, What) ->
    [{error_info, #{module => ?MODULE, cause => {Position, What}}}].

%% @private
%% @doc The explanation that the shell and the logger show.
-spec format_error(term(), erlang:stacktrace()) -> #{pos_integer() => unicode:chardata()}.
format_error(_Reason, [{_Module, _Function, _Args, Info} | _]) ->
    case proplists:get_value(error_info, Info, #{}) of
        #{cause := {Position, What}} -> #{Position => text(What)};
        _ -> #{}
    end.

text({policy, Part}) ->
    io_lib:format("no policy can have ~tp there", [Part]);
text(program) ->
    "not iodata of 1 to 4096 instructions of 8 bytes";
text(insn) ->
    "not an instruction, or a number too large for its field";
text(names) ->
    "not a list of atoms";
text(half) ->
    "neither low nor high";
text(syscall) ->
    "not the number or the name of a system call".
