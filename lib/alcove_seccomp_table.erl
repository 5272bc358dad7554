%% @private
%% @doc Which system calls there are policies about, and why.
%%
%% The lists have the names of every architecture: `fstat64' is what 32-bit ARM has where
%% others have `fstat'. {@link alcove_seccomp:available/2} takes from them what an
%% architecture has, and raises an exception for a name that no architecture has.
-module(alcove_seccomp_table).

-export([event_loop/0, exec/0, sandbox/1, document/0]).

-export_type([row/0, options/0]).

-type call() :: atom().
-type row() :: {
    Action :: alcove_seccomp:action(),
    Calls :: [call() | {call(), [alcove_seccomp:condition()]}],
    Why :: string()
}.
-type options() :: #{
    families := [unix | inet | inet6 | route],
    namespaces := boolean(),
    trace := boolean()
}.

%% linux/sched.h: all of CLONE_NEW*. That of time is no flag of clone(2).
-define(NAMESPACES, 16#7e020000).
-define(NAMESPACES_TIME, 16#7e020080).

-define(TIOCSTI, 16#5412).
-define(TIOCLINUX, 16#541c).
-define(TIOCSETD, 16#5423).

-define(AF_UNIX, 1).
-define(AF_INET, 2).
-define(AF_INET6, 10).
-define(AF_NETLINK, 16).
-define(NETLINK_ROUTE, 0).

-define(S_IFMT, 16#f000).
-define(S_IFCHR, 16#2000).
-define(S_IFBLK, 16#6000).

%% @doc What a process in its event loop does.
-spec event_loop() -> [call()].
event_loop() ->
    [read, write, writev, exit, exit_group, rt_sigreturn, sigreturn, wait4].

%% @doc What an exec takes, and the start of a program.
-spec exec() -> [call()].
exec() ->
    [
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
        mmap2,
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
        '_llseek',
        fcntl,
        fcntl64,
        stat,
        stat64,
        lstat,
        lstat64,
        fstat,
        fstat64,
        newfstatat,
        fstatat64,
        statx,
        readlink,
        readlinkat,
        %% The first thread, and what it wants to know of the system.
        arch_prctl,
        set_tls,
        cacheflush,
        riscv_flush_icache,
        riscv_hwprobe,
        set_tid_address,
        set_robust_list,
        rseq,
        futex,
        futex_time64,
        prlimit64,
        getrlimit,
        ugetrlimit,
        getrandom,
        clock_gettime,
        clock_gettime64,
        uname,
        getuid,
        getuid32,
        geteuid,
        geteuid32,
        getgid,
        getgid32,
        getegid,
        getegid32
    ].

%% @doc The policy of sandboxes. The first row that is about a call decides.
-spec sandbox(options()) -> [row()].
sandbox(#{families := Families, namespaces := Namespaces, trace := Trace}) ->
    arguments() ++ sockets(Families) ++ namespaces(Namespaces) ++ trace(Trace) ++ refused() ++
        obsolete() ++ allowed().

%% Calls that are refused by what they are given.
arguments() ->
    [
        {{errno, eperm}, [{ioctl, [{1, eq, ?TIOCSTI, 32}]}],
            "puts input before whoever reads the terminal next, such as the shell outside"},
        {{errno, eperm}, [{ioctl, [{1, eq, ?TIOCLINUX, 32}]}],
            "pastes into the console's input, as TIOCSTI does"},
        {{errno, eperm}, [{ioctl, [{1, eq, ?TIOCSETD, 32}]}],
            "has the kernel load line disciplines, seldom used code of drivers"},
        {allow, [ioctl], "what else files and devices are asked"},
        {{errno, eperm},
            [
                {mknod, [{1, {masked_eq, ?S_IFMT}, ?S_IFCHR, 32}]},
                {mknod, [{1, {masked_eq, ?S_IFMT}, ?S_IFBLK, 32}]},
                {mknodat, [{2, {masked_eq, ?S_IFMT}, ?S_IFCHR, 32}]},
                {mknodat, [{2, {masked_eq, ?S_IFMT}, ?S_IFBLK, 32}]}
            ],
            "makes devices, by which the machine's memory and disks are reached"},
        {allow, [mknod, mknodat], "named pipes, sockets and empty files"},
        {allow, [{personality, [{0, eq, Persona, 32}]} || Persona <- personas()],
            "asks for the personality, sets that of Linux, 32 bits or an old version's number"},
        {{errno, eperm}, [personality],
            "others turn off the randomness of addresses, and make data executable"}
    ].

%% PER_LINUX, PER_LINUX32, both with UNAME26, and the question.
personas() ->
    [0, 16#8, 16#20000, 16#20008, 16#ffffffff].

sockets(Families) ->
    [
        {allow, lists:append([family(Family) || Family <- Families]),
            "the families that programs need: local, the Internet's, and routes"},
        {{errno, eprotonosupport}, [{socket, [{0, eq, ?AF_NETLINK, 32}]}],
            "other netlink protocols set up firewalls, IPsec and devices, and listen to the "
            "kernel"},
        {{errno, eafnosupport}, [socket],
            "raw packets (packet, XDP), the hypervisor (vsock), the kernel's cryptography (alg), "
            "and protocols of which the kernel loads seldom used code"},
        {allow, [{socketpair, [{0, eq, ?AF_UNIX, 32}]}], "local pairs are the ones there are"},
        {{errno, eafnosupport}, [socketpair], "has the kernel load seldom used code"}
    ].

family(unix) -> [{socket, [{0, eq, ?AF_UNIX, 32}]}];
family(inet) -> [{socket, [{0, eq, ?AF_INET, 32}]}];
family(inet6) -> [{socket, [{0, eq, ?AF_INET6, 32}]}];
family(route) -> [{socket, [{0, eq, ?AF_NETLINK, 32}, {2, eq, ?NETLINK_ROUTE, 32}]}].

namespaces(true) ->
    [
        {allow, [clone, clone3, unshare, setns],
            "namespaces inside were asked for"},
        {allow, [chroot, mount, umount2, pivot_root, sethostname, setdomainname] ++ mounts(),
            "what is done in namespaces; the kernel checks the capabilities of each"}
    ];
namespaces(false) ->
    [
        {allow, [{clone, [{0, {masked_eq, ?NAMESPACES}, 0, 32}]}], "processes and threads"},
        {{errno, eperm}, [clone],
            "in a user namespace a program has every capability over kernel code that is "
            "written for root"},
        {{errno, enosys}, [clone3],
            "its flags are in memory, where no filter sees them; C libraries use clone then"},
        {allow, [{unshare, [{0, {masked_eq, ?NAMESPACES_TIME}, 0, 32}]}],
            "files, directories and semaphores of a thread's own"},
        {{errno, eperm}, [unshare], "makes namespaces, as clone does"},
        {{errno, eperm}, [setns], "enters namespaces of others"},
        {{errno, eperm},
            [chroot, mount, umount2, pivot_root, sethostname, setdomainname | mounts()],
            "changes what is where; takes privileges that nothing inside has"}
    ].

mounts() ->
    [
        move_mount,
        open_tree,
        open_tree_attr,
        fsopen,
        fsconfig,
        fsmount,
        fspick,
        mount_setattr
    ].

trace(Trace) ->
    Calls = [ptrace, process_vm_readv, process_vm_writev, process_madvise, kcmp],
    case Trace of
        true ->
            [{allow, Calls, "debuggers inside were asked for"}];
        false ->
            [
                {{errno, eperm}, Calls,
                    "looks into and changes other processes; ptrace has had ways round filters"}
            ]
    end.

refused() ->
    [
        {{errno, eperm}, [io_uring_setup, io_uring_enter, io_uring_register],
            "makes calls that no filter sees, by code that has often been broken"},
        {{errno, eperm}, [userfaultfd],
            "stops the kernel in the middle of its work, which makes races easy to win"},
        {{errno, eperm}, [bpf], "loads programs into the kernel"},
        {{errno, eperm}, [perf_event_open],
            "a large part of the kernel that has often been broken, and tells of other processes"},
        {{errno, eperm}, [add_key, request_key, keyctl],
            "keyrings know no namespaces: those of the user outside are in reach"},
        {{errno, eperm}, [pidfd_getfd], "takes descriptors out of other processes"},
        {{errno, eperm}, [open_by_handle_at, name_to_handle_at],
            "opens files by number, wherever they are on the file system: out of a container"},
        {{errno, eperm}, [fanotify_init, fanotify_mark],
            "watches whole file systems; inotify is there"},
        {{errno, eperm}, [init_module, finit_module, delete_module, kexec_load, kexec_file_load],
            "replaces the kernel, or parts of it"},
        {{errno, eperm}, [reboot, swapon, swapoff, acct, quotactl, quotactl_fd, vhangup],
            "the machine is administered from outside"},
        {{errno, eperm},
            [settimeofday, clock_settime, clock_settime64, clock_adjtime, clock_adjtime64],
            "the clock is everybody's"},
        {{errno, eperm}, [iopl, ioperm, pciconfig_iobase, pciconfig_read, pciconfig_write],
            "reaches the hardware itself"},
        {{errno, eperm}, [syslog], "the kernel's messages tell of other users, and addresses"},
        {{errno, eperm},
            [
                mbind,
                set_mempolicy,
                set_mempolicy_home_node,
                get_mempolicy,
                migrate_pages,
                move_pages
            ],
            "moves memory between nodes, also that of other processes"},
        {{errno, enosys}, [statmount, listmount],
            "tells of mounts, also outside the root; /proc/self/mountinfo is there"},
        {{errno, enosys}, [lsm_get_self_attr, lsm_set_self_attr, lsm_list_modules],
            "the security modules of the machine are no concern of programs inside"},
        {{errno, enosys}, [modify_ldt],
            "16-bit code is run by it, seldom anything else; kernels can be built without"}
    ].

obsolete() ->
    [
        {{errno, enosys},
            [
                '_sysctl',
                afs_syscall,
                bdflush,
                create_module,
                epoll_ctl_old,
                epoll_wait_old,
                get_kernel_syms,
                getpmsg,
                lookup_dcookie,
                nfsservctl,
                putpmsg,
                query_module,
                security,
                sysfs,
                tuxcall,
                uselib,
                usr26,
                ustat,
                vserver
            ],
            "kernels don't have it any more, or never had"}
    ].

allowed() ->
    [
        {allow,
            [
                read, pread64, readv, preadv, preadv2,
                write, pwrite64, writev, pwritev, pwritev2,
                lseek, '_llseek', sendfile, sendfile64, splice, tee, vmsplice, copy_file_range,
                close, close_range, dup, dup2, dup3, fcntl, fcntl64, flock, pipe, pipe2,
                fsync, fdatasync, sync, syncfs, sync_file_range, sync_file_range2,
                fadvise64, arm_fadvise64_64, readahead, fallocate, cachestat
            ],
            "open files"},
        {allow,
            [
                open, openat, openat2, creat, access, faccessat, faccessat2,
                stat, stat64, lstat, lstat64, fstat, fstat64, newfstatat, fstatat64, statx,
                statfs, statfs64, fstatfs, fstatfs64,
                truncate, truncate64, ftruncate, ftruncate64,
                mkdir, mkdirat, rmdir, rename, renameat, renameat2,
                link, linkat, symlink, symlinkat, unlink, unlinkat, readlink, readlinkat,
                getdents, getdents64, getcwd, chdir, fchdir, umask,
                chmod, fchmod, fchmodat, fchmodat2,
                chown, chown32, fchown, fchown32, lchown, lchown32, fchownat,
                utime, utimes, futimesat, utimensat, utimensat_time64,
                getxattr, lgetxattr, fgetxattr, getxattrat,
                setxattr, lsetxattr, fsetxattr, setxattrat,
                listxattr, llistxattr, flistxattr, listxattrat,
                removexattr, lremovexattr, fremovexattr, removexattrat,
                file_getattr, file_setattr,
                inotify_init, inotify_init1, inotify_add_watch, inotify_rm_watch
            ],
            "files by name; who may do what to which is the file system's business"},
        {allow,
            [
                select, '_newselect', pselect6, pselect6_time64, poll, ppoll, ppoll_time64,
                epoll_create, epoll_create1, epoll_ctl, epoll_wait, epoll_pwait, epoll_pwait2,
                eventfd, eventfd2, signalfd, signalfd4,
                io_setup, io_submit, io_cancel, io_destroy, io_getevents,
                io_pgetevents, io_pgetevents_time64
            ],
            "waiting"},
        {allow,
            [
                bind, listen, accept, accept4, connect, shutdown,
                getsockname, getpeername, getsockopt, setsockopt,
                send, sendto, sendmsg, sendmmsg,
                recv, recvfrom, recvmsg, recvmmsg, recvmmsg_time64
            ],
            "sockets of the families that there are"},
        {allow,
            [
                brk, mmap, mmap2, munmap, mremap, remap_file_pages, mprotect, madvise, mincore,
                msync, mlock, mlock2, mlockall, munlock, munlockall, mseal, map_shadow_stack,
                pkey_alloc, pkey_free, pkey_mprotect, memfd_create, memfd_secret,
                membarrier, cacheflush, riscv_flush_icache
            ],
            "memory"},
        {allow,
            [
                fork, vfork, execve, execveat, exit, exit_group, wait4, waitid,
                getpid, getppid, gettid, getpgid, getpgrp, setpgid, getsid, setsid,
                prctl, arch_prctl, set_tid_address, set_thread_area, get_thread_area,
                set_tls, get_tls, usr32, breakpoint,
                set_robust_list, get_robust_list, rseq, restart_syscall,
                futex, futex_time64, futex_wait, futex_wake, futex_requeue, futex_waitv,
                pidfd_open, pidfd_send_signal, process_mrelease,
                uprobe, uretprobe, riscv_hwprobe
            ],
            "processes and threads, of which only those inside are in reach"},
        {allow,
            [
                kill, tkill, tgkill, pause, alarm,
                sigaction, sigaltstack, sigpending, sigprocmask, sigreturn, sigsuspend,
                rt_sigaction, rt_sigpending, rt_sigprocmask, rt_sigqueueinfo, rt_sigreturn,
                rt_sigsuspend, rt_sigtimedwait, rt_sigtimedwait_time64, rt_tgsigqueueinfo
            ],
            "signals"},
        {allow,
            [
                time, gettimeofday, times, nanosleep, adjtimex,
                clock_gettime, clock_gettime64, clock_getres, clock_getres_time64,
                clock_nanosleep, clock_nanosleep_time64,
                getitimer, setitimer,
                timer_create, timer_delete, timer_getoverrun,
                timer_gettime, timer_gettime64, timer_settime, timer_settime64,
                timerfd_create, timerfd_gettime, timerfd_gettime64,
                timerfd_settime, timerfd_settime64
            ],
            "clocks and timers; to set the clock takes a capability"},
        {allow,
            [
                getuid, getuid32, geteuid, geteuid32, getgid, getgid32, getegid, getegid32,
                getresuid, getresuid32, getresgid, getresgid32, getgroups, getgroups32,
                setuid, setuid32, setgid, setgid32, setreuid, setreuid32, setregid, setregid32,
                setresuid, setresuid32, setresgid, setresgid32, setgroups, setgroups32,
                setfsuid, setfsuid32, setfsgid, setfsgid32, capget, capset
            ],
            "who the program is: with no capabilities it can only give things up"},
        {allow, [seccomp, landlock_create_ruleset, landlock_add_rule, landlock_restrict_self],
            "programs that confine themselves further"},
        {allow,
            [
                sched_yield, sched_getaffinity, sched_setaffinity, sched_getattr, sched_setattr,
                sched_getparam, sched_setparam, sched_getscheduler, sched_setscheduler,
                sched_get_priority_max, sched_get_priority_min,
                sched_rr_get_interval, sched_rr_get_interval_time64,
                nice, getpriority, setpriority, ioprio_get, ioprio_set,
                getrlimit, ugetrlimit, setrlimit, prlimit64, getrusage
            ],
            "shares and limits, which can be lowered only"},
        {allow, [getcpu, getrandom, sysinfo, uname], "what there is to know of the machine"},
        {allow,
            [
                shmget, shmat, shmdt, shmctl, semget, semop, semctl,
                semtimedop, semtimedop_time64, msgget, msgsnd, msgrcv, msgctl,
                mq_open, mq_unlink, mq_notify, mq_getsetattr, mq_timedsend, mq_timedsend_time64,
                mq_timedreceive, mq_timedreceive_time64
            ],
            "queues, semaphores and memory of the own IPC namespace"}
    ].

%% @doc The lines of the table in docs/sandbox-policy.md, for all architectures.
-spec document() -> [string()].
document() ->
    Rows = sandbox(#{families => [unix, inet, inet6, route], namespaces => false, trace => false}),
    [
        lists:flatten([
            "| ",
            action(Action),
            " | ",
            lists:join(" ", [call(Call) || Call <- Calls]),
            " | ",
            Why,
            " |"
        ])
     || {Action, Calls, Why} <- Rows
    ].

action({errno, Error}) -> string:uppercase(atom_to_list(Error));
action(allow) -> "yes".

call({Call, Conditions}) ->
    io_lib:format("`~s(~s)`", [
        Call, lists:join(", ", [condition(Condition) || Condition <- Conditions])
    ]);
call(Call) ->
    io_lib:format("`~s`", [Call]).

condition({Argument, eq, Value, 32}) ->
    io_lib:format("arg ~b = ~s", [Argument, hex(Value)]);
condition({Argument, {masked_eq, Mask}, Value, 32}) ->
    io_lib:format("arg ~b & ~s = ~s", [Argument, hex(Mask), hex(Value)]).

hex(Value) when Value < 100 -> integer_to_list(Value);
hex(Value) -> "0x" ++ string:lowercase(integer_to_list(Value, 16)).
