%% Filters of system calls, written by hand: see alcove_seccomp, seccomp(2) and
%% Documentation/networking/filter.rst of the kernel.
%%
%% A filter is a list of instructions, nested as it comes:
%%
%%     [
%%         ?VALIDATE_ARCHITECTURE(alcove_seccomp:audit_arch()),
%%         ?EXAMINE_SYSCALL,
%%         [?ALLOW_SYSCALL(Name) || Name <- alcove_seccomp:event_loop()],
%%         ?DENY_SYSCALL(getcwd),
%%         ?KILL_PROCESS
%%     ]

-ifndef(ALCOVE_SECCOMP_HRL).
-define(ALCOVE_SECCOMP_HRL, 1).

%% Classes of instructions.
-define(BPF_CLASS(Code), ((Code) band 16#07)).
-define(BPF_LD, 16#00).
-define(BPF_LDX, 16#01).
-define(BPF_ST, 16#02).
-define(BPF_STX, 16#03).
-define(BPF_ALU, 16#04).
-define(BPF_JMP, 16#05).
-define(BPF_RET, 16#06).
-define(BPF_MISC, 16#07).

%% Loads: how much, and from where. In a filter of system calls only words are
%% loaded, and BPF_ABS is an offset in struct seccomp_data.
-define(BPF_SIZE(Code), ((Code) band 16#18)).
-define(BPF_W, 16#00).
-define(BPF_H, 16#08).
-define(BPF_B, 16#10).
-define(BPF_MODE(Code), ((Code) band 16#e0)).
-define(BPF_IMM, 16#00).
-define(BPF_ABS, 16#20).
-define(BPF_IND, 16#40).
-define(BPF_MEM, 16#60).
-define(BPF_LEN, 16#80).
-define(BPF_MSH, 16#a0).

%% Arithmetic and jumps: the operation, and whether the operand is the
%% instruction's constant or the index register.
-define(BPF_OP(Code), ((Code) band 16#f0)).
-define(BPF_ADD, 16#00).
-define(BPF_SUB, 16#10).
-define(BPF_MUL, 16#20).
-define(BPF_DIV, 16#30).
-define(BPF_OR, 16#40).
-define(BPF_AND, 16#50).
-define(BPF_LSH, 16#60).
-define(BPF_RSH, 16#70).
-define(BPF_NEG, 16#80).
-define(BPF_MOD, 16#90).
-define(BPF_XOR, 16#a0).
-define(BPF_JA, 16#00).
-define(BPF_JEQ, 16#10).
-define(BPF_JGT, 16#20).
-define(BPF_JGE, 16#30).
-define(BPF_JSET, 16#40).
-define(BPF_SRC(Code), ((Code) band 16#08)).
-define(BPF_K, 16#00).
-define(BPF_X, 16#08).

%% What is returned: the constant, the index register or the accumulator.
-define(BPF_RVAL(Code), ((Code) band 16#18)).
-define(BPF_A, 16#10).

-define(BPF_MISCOP(Code), ((Code) band 16#f8)).
-define(BPF_TAX, 16#00).
-define(BPF_TXA, 16#80).

%% The most instructions of a filter.
-define(BPF_MAXINSNS, 4096).

%% struct sock_filter, see alcove_seccomp:insn/1.
-record(alcove_insn, {
    code = 0 :: 0..16#ffff,
    jt = 0 :: 0..16#ff,
    jf = 0 :: 0..16#ff,
    k = 0 :: 0..16#ffffffff
}).

-define(BPF_STMT(Code, K), alcove_seccomp:stmt((Code), (K))).
-define(BPF_JUMP(Code, K, JT, JF), alcove_seccomp:jump((Code), (K), (JT), (JF))).

%% The second argument of prctl(PR_SET_SECCOMP).
-define(SECCOMP_MODE_DISABLED, 0).
-define(SECCOMP_MODE_STRICT, 1).
-define(SECCOMP_MODE_FILTER, 2).

%% What a filter returns: an action, and its data in the low 16 bits.
-define(SECCOMP_RET_KILL_PROCESS, 16#80000000).
-define(SECCOMP_RET_KILL_THREAD, 16#00000000).
-define(SECCOMP_RET_KILL, ?SECCOMP_RET_KILL_THREAD).
-define(SECCOMP_RET_TRAP, 16#00030000).
-define(SECCOMP_RET_ERRNO, 16#00050000).
-define(SECCOMP_RET_USER_NOTIF, 16#7fc00000).
-define(SECCOMP_RET_TRACE, 16#7ff00000).
-define(SECCOMP_RET_LOG, 16#7ffc0000).
-define(SECCOMP_RET_ALLOW, 16#7fff0000).

-define(SECCOMP_RET_ACTION_FULL, 16#ffff0000).
-define(SECCOMP_RET_ACTION, 16#7fff0000).
-define(SECCOMP_RET_DATA, 16#0000ffff).

%% struct seccomp_data, which a filter looks at. An argument has 64 bits, whatever
%% the architecture.
-record(alcove_seccomp_data, {
    nr = 0 :: integer(),
    arch = 0 :: non_neg_integer(),
    instruction_pointer = 0 :: non_neg_integer(),
    args = [0, 0, 0, 0, 0, 0] :: [non_neg_integer()]
}).

-define(OFFSET_SYSCALL_NR, 0).
-define(OFFSET_ARCH_NR, 4).
-define(OFFSET_INSTRUCTION_POINTER, 8).
-define(OFFSET_ARG(N), (16 + 8 * (N))).
%% The halves of an argument, N from 0.
-define(OFFSET_ARG_LOW(N), (?OFFSET_ARG(N) + alcove_seccomp:half(low))).
-define(OFFSET_ARG_HIGH(N), (?OFFSET_ARG(N) + alcove_seccomp:half(high))).

%% Architectures, from linux/audit.h. That of the machine is
%% alcove_seccomp:audit_arch().
-define(AUDIT_ARCH_I386, 16#40000003).
-define(AUDIT_ARCH_X86_64, 16#c000003e).
-define(AUDIT_ARCH_ARM, 16#40000028).
-define(AUDIT_ARCH_AARCH64, 16#c00000b7).
-define(AUDIT_ARCH_RISCV64, 16#c00000f3).

%% Numbers from here on are x32's. They have the architecture x86_64: a filter that
%% admits what it doesn't name has to refuse them.
-define(X32_SYSCALL_BIT, 16#40000000).

%% Ends the process unless the system call is one of this architecture. The same
%% number is another call in another architecture.
-define(VALIDATE_ARCHITECTURE(Arch), [
    ?BPF_STMT(?BPF_LD + ?BPF_W + ?BPF_ABS, ?OFFSET_ARCH_NR),
    ?BPF_JUMP(?BPF_JMP + ?BPF_JEQ + ?BPF_K, Arch, 1, 0),
    ?KILL_PROCESS
]).

%% Loads the number of the system call, which what follows compares.
-define(EXAMINE_SYSCALL, ?BPF_STMT(?BPF_LD + ?BPF_W + ?BPF_ABS, ?OFFSET_SYSCALL_NR)).

%% Returns, if it is this system call: a number, or a name as getpid or sys_getpid.
-define(SYSCALL_RETURN(Syscall, Value), [
    ?BPF_JUMP(?BPF_JMP + ?BPF_JEQ + ?BPF_K, alcove_seccomp:number(Syscall), 0, 1),
    ?BPF_STMT(?BPF_RET + ?BPF_K, Value)
]).

-define(ALLOW_SYSCALL(Syscall), ?SYSCALL_RETURN(Syscall, ?SECCOMP_RET_ALLOW)).
%% Fails with EPERM, or with the number of another error.
-define(DENY_SYSCALL(Syscall), ?DENY_SYSCALL(Syscall, 1)).
-define(DENY_SYSCALL(Syscall, Errno), ?SYSCALL_RETURN(Syscall, ?SECCOMP_RET_ERRNO bor (Errno))).
-define(TRAP_SYSCALL(Syscall), ?SYSCALL_RETURN(Syscall, ?SECCOMP_RET_TRAP)).
-define(KILL_SYSCALL(Syscall), ?SYSCALL_RETURN(Syscall, ?SECCOMP_RET_KILL_PROCESS)).

%% How a filter ends.
-define(ALLOW_PROCESS, ?BPF_STMT(?BPF_RET + ?BPF_K, ?SECCOMP_RET_ALLOW)).
-define(KILL_PROCESS, ?BPF_STMT(?BPF_RET + ?BPF_K, ?SECCOMP_RET_KILL_PROCESS)).

-endif.
