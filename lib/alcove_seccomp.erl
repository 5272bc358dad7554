%% @doc Filters of system calls, see seccomp(2). Linux only.
%%
%% A filter decides what the kernel does with every system call of a process, of all processes
%% that it forks, and of the program that it is replaced by. A filter can't be removed.
%% If several are installed, the most restrictive action holds.
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
%% platform lacks is an error: {@link available/1} takes out of a list of names for
%% several architectures those that only others have. Calls with two names, as
%% `newfstatat' and `fstatat', are known by both.
%%
%% An action is
%%
%% <dl>
%% <dt>`allow'</dt><dd>the call is made;</dd>
%% <dt>`log'</dt><dd>it is made, and written to the audit log;</dd>
%% <dt>`{errno, Error}'</dt><dd>it fails: `eperm', or a number to 4095;</dd>
%% <dt>`trap'</dt><dd>it isn't made, and the process gets SIGSYS, which {@link
%%     alcove:sigaction/4} reports as `{signal, sigsys}' and which else ends it; a call of
%%     alcove's is then `{error, enosys}';</dd>
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
%% `Bits' is 32 or 64. With 32 the filter ignores the upper half of the argument, as the
%% kernel does where it takes an `int' (file descriptors, ioctl's request, most
%% flags). A program can evade a rule with 64 bits that refuses such a value by setting one of
%% the upper bits; a rule with 32 bits that admits a pointer or a size admits 2^32 others.
%% A value of so many bits may be negative. A filter can't see what a pointer points to.
%%
%% <h3>What no policy admits</h3>
%%
%% The process is killed when it makes a call of another architecture (`int 0x80' on
%% x86_64): its numbers mean other calls. Numbers of the x32 ABI fail with ENOSYS, as they
%% do in kernels without it. Unless the default is `allow' or `log', so do numbers above
%% all that are known to this library or named by the policy: programs manage without
%% calls that the kernel is too old for, but may fail when they get EPERM.
%%
%% <h3>The event loop</h3>
%%
%% A process in its event loop makes system calls of its own. {@link event_loop/0}
%% names those that it needs in order to answer; the calls that it makes for you come in
%% addition. A policy that kills or traps what it doesn't name needs them in its rules:
%%
%% ```
%% #{default => kill, rules => alcove_seccomp:event_loop() ++ [getpid, chdir]}
%% '''
%%
%% Otherwise the loop ends by SIGSYS, and {@link install/3} raises `badpid'. The loop also ends
%% if it can't write the reply because `write' fails.
%%
%% {@link alcove:fork/2} takes more (socketpair, pipe2, clone and so on): fork first, or
%% write a policy that refuses by name instead of admitting by name.
%%
%% <h3>Programs</h3>
%%
%% A policy holds for the program that the process is replaced by, and from before its
%% start: it must admit the exec, the work of the dynamic linker, and what the program
%% itself does. {@link exec/0} names the calls that the first two need.
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

-export([compile/1, compile/2, install/3, calls/1, sock_fprog/1]).
-export([event_loop/0, exec/0, available/1, available/2, architectures/0]).
-export([sandbox/0, sandbox/1, sandbox_rows/0, sandbox_rows/1]).
-export([stmt/2, jump/4, insn/1, number/1, half/1, audit_arch/0]).
-export([format_error/2]).

-export_type([policy/0, rule/0, call/0, action/0, condition/0, operator/0, program/0, insn/0]).
-export_type([architecture/0, sandbox_options/0, row/0]).

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
-type architecture() :: native | x86_64 | aarch64 | arm | riscv64.
%% `native' is that of this machine.
-type sandbox_options() :: #{
    allow => [rule()],
    families => [unix | inet | inet6 | route],
    namespaces => boolean(),
    trace => boolean(),
    architecture => architecture()
}.
%% See {@link sandbox/1}.
-type row() :: {action(), [call() | {call(), [condition()]}], Why :: string()}.

%%--------------------------------------------------------------------
%% Policies
%%--------------------------------------------------------------------

%% @equiv compile(Policy, native)
-spec compile(policy()) ->
    {ok, binary()} | {error, {unknown_syscall, [atom()]} | too_large | unsupported}.
compile(Policy) ->
    case alcove_nif:seccomp(Policy, native) of
        {'$badarg', Part} -> error(badarg, [Policy], why(1, {policy, Part}));
        Compiled -> Compiled
    end.

%% @doc Compiles a policy to a program for this machine, or for one of another architecture.
%%
%% Errors: `{unknown_syscall, Names}' for names that the platform doesn't have;
%% `too_large' when it takes more than 4096 instructions; `unsupported' where there
%% is no seccomp, or for an architecture that isn't one of {@link architectures/0}.
%%
%% `error:badarg' when a part of it has the wrong shape; the shell says which.
-spec compile(policy(), architecture()) ->
    {ok, binary()} | {error, {unknown_syscall, [atom()]} | too_large | unsupported}.
compile(Policy, Architecture) ->
    case alcove_nif:seccomp(Policy, Architecture) of
        {'$badarg', Part} -> error(badarg, [Policy, Architecture], why(1, {policy, Part}));
        Compiled -> Compiled
    end.

%% @doc Puts a process under a policy, or under a program.
%%
%% Sets PR_SET_NO_NEW_PRIVS and PR_SET_SECCOMP, see prctl(2), in one round trip. A
%% policy is compiled on Drv's node.
%%
%% Errors: as {@link compile/1}; and those of prctl, for example `einval' if the kernel
%% has no seccomp or the program is invalid, `enomem' if all filters of a process together are
%% too large. After an error no filter was installed.
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
    case alcove_nif:seccomp(Policy, native) of
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

%% @doc The system calls that a process in its event loop makes for any request.
%%
%% With these it answers calls, reports signals and the end of its children, and exits.
-spec event_loop() -> [atom()].
event_loop() ->
    available(alcove_seccomp_table:event_loop()).

%% @doc The system calls that an exec takes and that a program makes to start, with the
%% C libraries of GNU and musl.
%%
%% Programs make more calls, such as `ioctl', `getdents64' or `clone'; strace(1) shows which.
-spec exec() -> [atom()].
exec() ->
    available(alcove_seccomp_table:exec()).

%% @equiv available(Names, native)
-spec available([atom()]) -> [atom()].
available(Names) ->
    available(Names, native).

%% @doc Those of a list of names that are system calls on an architecture.
%%
%% Left out are calls that only others have, as `open', which is `openat' on 64-bit ARM.
%% `error:badarg' for a name that no architecture has: the shell says which.
-spec available([atom()], architecture()) -> [atom()].
available(Names, Architecture) ->
    is_names(Names) orelse error(badarg, [Names, Architecture], why(1, names)),
    Numbers = [{Name, alcove_nif:seccomp_number(Name, Architecture)} || Name <- Names],
    case [Name || {Name, unknown} <- Numbers] of
        [] -> [Name || {Name, Number} <- Numbers, is_integer(Number)];
        Unknown -> error(badarg, [Names, Architecture], why(1, {unknown_syscall, Unknown}))
    end.

is_names(Names) ->
    is_proper_list(Names) andalso lists:all(fun is_atom/1, Names).

is_proper_list(Term) ->
    try
        length(Term) >= 0
    catch
        error:badarg -> false
    end.

%% @doc The architectures for which policies can be compiled.
-spec architectures() -> [architecture()].
architectures() ->
    [x86_64, aarch64, arm, riscv64].

%%--------------------------------------------------------------------
%% The policy of sandboxes
%%--------------------------------------------------------------------

%% @equiv sandbox(#{})
-spec sandbox() -> policy().
sandbox() ->
    sandbox(#{}).

%% @doc A policy for programs that aren't trusted.
%%
%% It admits what programs do with files, sockets, memory, processes and time. It refuses
%% what only a machine's administrator or a debugger does, and the parts of the kernel through
%% which programs have escaped from containers. {@link sandbox_rows/1} returns it as a table, with
%% the reason for each row. A refused call fails with an error. A call that is in no row, since
%% it is newer than this library, fails with ENOSYS.
%%
%% <dl>
%% <dt>`allow', default `[]'</dt><dd>rules that are tried before all others;</dd>
%% <dt>`families', default `[unix, inet, inet6, route]'</dt><dd>the families of
%%     sockets. `route' is netlink's protocol for routes, which C libraries use to learn
%%     the machine's addresses;</dd>
%% <dt>`namespaces', default `false'</dt><dd>whether namespaces may be made inside, user
%%     namespaces among them, and what is done in these: mounts, chroot, pivot_root;</dd>
%% <dt>`trace', default `false'</dt><dd>whether processes may look into each other, as
%%     debuggers do;</dd>
%% <dt>`architecture', default `native'</dt><dd>for which the rules are.</dd>
%% </dl>
%%
%% ```
%% {ok, Program} = alcove_seccomp:compile(alcove_seccomp:sandbox(#{families => [unix]}))
%% '''
%%
%% It is made for programs without capabilities, in namespaces of their own: it admits `kill',
%% which assumes that the program can only reach the sandbox's own processes.
-spec sandbox(sandbox_options()) -> policy().
sandbox(Options) ->
    {Architecture, Allow, Table} = sandbox_options(sandbox, Options),
    Rows = rows(Architecture, Table),
    Rules = [rule(Call, Action) || {Action, Calls, _} <- Rows, Call <- Calls],
    #{default => {errno, enosys}, rules => Allow ++ Rules}.

rule({Call, Conditions}, Action) -> {Call, Conditions, Action};
rule(Call, Action) -> {Call, Action}.

%% @equiv sandbox_rows(#{})
-spec sandbox_rows() -> [row()].
sandbox_rows() ->
    sandbox_rows(#{}).

%% @doc The policy of {@link sandbox/1} as a table, in its order: what becomes of which calls,
%% and why.
-spec sandbox_rows(sandbox_options()) -> [row()].
sandbox_rows(Options) ->
    {Architecture, _, Table} = sandbox_options(sandbox_rows, Options),
    rows(Architecture, Table).

%% What an architecture doesn't have takes no row.
rows(Architecture, Table) ->
    [
        {Action, Here, Why}
     || {Action, Calls, Why} <- alcove_seccomp_table:sandbox(Table),
        Here <- [here(Architecture, Calls)],
        Here =/= []
    ].

here(Architecture, Calls) ->
    [Call || Call <- Calls, available([call_name(Call)], Architecture) =/= []].

call_name({Call, _}) -> Call;
call_name(Call) -> Call.

sandbox_options(Function, Options) ->
    is_map(Options) orelse refuse_option(Function, Options, sandbox_options),
    case [Name || {Name, Value} <- maps:to_list(Options), not is_option(Name, Value)] of
        [] -> ok;
        [Wrong | _] -> refuse_option(Function, Options, {sandbox_option, Wrong})
    end,
    Defaults = #{
        allow => [],
        families => families(),
        namespaces => false,
        trace => false,
        architecture => native
    },
    #{allow := Allow, architecture := Architecture} = All = maps:merge(Defaults, Options),
    {Architecture, Allow, maps:without([allow, architecture], All)}.

-spec refuse_option(atom(), term(), term()) -> no_return().
refuse_option(Function, Options, What) ->
    erlang:raise(error, badarg, [{?MODULE, Function, [Options], why(1, What)}]).

is_option(allow, Rules) -> is_proper_list(Rules);
is_option(families, Families) -> is_names(Families) andalso Families -- families() =:= [];
is_option(namespaces, Value) -> is_boolean(Value);
is_option(trace, Value) -> is_boolean(Value);
is_option(architecture, Value) -> lists:member(Value, [native | architectures()]);
is_option(_, _) -> false.

families() ->
    [unix, inet, inet6, route].

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
text({unknown_syscall, Names}) ->
    io_lib:format("no system calls of any architecture: ~tp", [Names]);
text(sandbox_options) ->
    "not a map";
text({sandbox_option, Name}) ->
    io_lib:format("no such option, or not a value of it: ~tp", [Name]);
text(half) ->
    "neither low nor high";
text(syscall) ->
    "not the number or the name of a system call".
