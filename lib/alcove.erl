%% @doc System calls in a tree of Unix processes.
%%
%% `{ok, Drv} = alcove_drv:start()' starts a Unix process, root, that waits for
%% calls in its event loop. {@link fork/2} and {@link clone/3} make more of them,
%% at any depth. A process is named by its fork path, the list of pids that lead
%% to it from root; `[]' is root itself. Every function has a form without the
%% fork path, for root.
%%
%% ```
%% {ok, Drv} = alcove_drv:start(),
%% {ok, Pid} = alcove:fork(Drv),
%% ok = alcove:chdir(Drv, [Pid], "/tmp"),
%% ok = alcove:execvp(Drv, [Pid], "cat", ["cat"]),
%% true = alcove:stdin(Drv, [Pid], "hello\n"),
%% <<"hello\n">> = alcove:stdout(Drv, [Pid]).
%% '''
%%
%% Any process may call, also on another node than Drv's.
%%
%% <h3>Errors</h3>
%%
%% `{error, posix()}' is what the system call said; the man page that a function
%% names tells what it means. `{error, unsupported}' is for calls that a platform
%% lacks. The exceptions are the same for all functions:
%%
%% <ul>
%% <li>`error:badarg': an argument has the wrong shape. The Unix process has
%%     received nothing. One argument, and one reply, may have 16 MiB of data;</li>
%% <li>`error:badpid': no process is in its event loop at the fork path, or it went
%%     away during the call. A process that was replaced by {@link execvp/4} counts as gone, for
%%     all functions but {@link stdin/3} and {@link eof/3};</li>
%% <li>`exit:timeout' of {@link call/5};</li>
%% <li>`exit:{nodedown, Node}': the node of a Drv elsewhere can't be reached, or
%%     went away during the call.</li>
%% </ul>
%%
%% <h3>Constants</h3>
%%
%% Where a system call takes flags or the like, its function takes an integer, the
%% name of a constant, or for flags a list of names, in lower or upper case:
%% `[o_wronly, o_creat]' is what ``['O_WRONLY', 'O_CREAT'] '' is. {@link define/3}
%% gives the values.
%%
%% <h3>Messages</h3>
%%
%% The owner of a fork path (see {@link alcove_drv}) gets what its process writes, and what
%% happens to it, as messages:
%%
%% <dl>
%% <dt>`{alcove_stdout, Drv, Pids, Bytes}', `{alcove_stderr, Drv, Pids, Bytes}'</dt>
%% <dd>what it wrote; all of it comes before the event of its end;</dd>
%% <dt>`{alcove_event, Drv, Pids, {signal, Signal}}'</dt>
%% <dd>a signal that {@link sigaction/4} traps;</dd>
%% <dt>`{alcove_event, Drv, Pids, {exit_status, N}}',
%%     `{alcove_event, Drv, Pids, {termsig, Signal}}',
%%     `{alcove_event, Drv, Pids, {rusage, Map}}'</dt>
%% <dd>how it ended, and what it has used, if its parent has the option of this name,
%%     see {@link getopt/3};</dd>
%% <dt>`{alcove_call, Drv, Pids, Reply}'</dt>
%% <dd>to the caller: the reply of a call that ran into its timeout.</dd>
%% </dl>
-module(alcove).

-include("alcove.hrl").

-compile({no_auto_import, [exit/2, spawn/3, spawn/4]}).

%% System calls, in the process at the end of the fork path.
-export([
    chdir/2, chdir/3,
    chmod/3, chmod/4,
    chown/4, chown/5,
    chroot/2, chroot/3,
    clearenv/1, clearenv/2,
    clone/2, clone/3,
    close/2, close/3,
    environ/1, environ/2,
    execve/4, execve/5,
    execvp/3, execvp/4,
    exit/2, exit/3,
    fork/1, fork/2,
    getcwd/1, getcwd/2,
    getenv/2, getenv/3,
    getgid/1, getgid/2,
    gethostname/1, gethostname/2,
    getopt/2, getopt/3,
    getpgrp/1, getpgrp/2,
    getpid/1, getpid/2,
    getrlimit/2, getrlimit/3,
    getsid/2, getsid/3,
    getuid/1, getuid/2,
    kill/3, kill/4,
    lseek/4, lseek/5,
    mkdir/3, mkdir/4,
    mount/6, mount/7,
    open/4, open/5,
    pid/1, pid/2,
    prctl/6, prctl/7,
    read/3, read/4,
    readdir/2, readdir/3,
    rmdir/2, rmdir/3,
    select/5, select/6,
    setenv/4, setenv/5,
    setgid/2, setgid/3,
    sethostname/2, sethostname/3,
    setns/2, setns/3, setns/4,
    setopt/3, setopt/4,
    cpid/1, cpid/2,
    filter/2, filter/3,
    getcpid/3, getcpid/4,
    setcpid/4, setcpid/5,
    setpgid/3, setpgid/4,
    setrlimit/3, setrlimit/4,
    setsid/1, setsid/2,
    setuid/2, setuid/3,
    sigaction/3, sigaction/4,
    umount/2, umount/3,
    unsetenv/2, unsetenv/3,
    unshare/2, unshare/3,
    version/1, version/2,
    write/3, write/4
]).

%% Ids and privileges.
-export([
    geteuid/1, geteuid/2,
    getegid/1, getegid/2,
    getresuid/1, getresuid/2,
    getresgid/1, getresgid/2,
    setresuid/4, setresuid/5,
    setresgid/4, setresgid/5,
    getgroups/1, getgroups/2,
    setgroups/2, setgroups/3,
    capget/2, capget/3,
    capset/4, capset/5,
    cap_get_bound/1, cap_get_bound/2,
    cap_drop_bound/2, cap_drop_bound/3,
    cap_get_ambient/1, cap_get_ambient/2,
    cap_set_ambient/2, cap_set_ambient/3,
    seccomp/4, seccomp/5,
    getrandom/3, getrandom/4,
    setdomainname/2, setdomainname/3,
    getdomainname/1, getdomainname/2
]).

%% Files.
-export([
    unlink/2, unlink/3,
    link/3, link/4,
    symlink/3, symlink/4,
    readlink/2, readlink/3,
    rename/3, rename/4,
    mkfifo/3, mkfifo/4,
    mknod/4, mknod/5,
    stat/2, stat/3,
    lstat/2, lstat/3,
    fstat/2, fstat/3,
    access/3, access/4,
    utimens/5, utimens/6,
    openat2/6, openat2/7,
    read_file/2, read_file/3,
    write_file/5, write_file/6,
    memfd_create/3, memfd_create/4
]).

%% File descriptors.
-export([
    fcntl/4, fcntl/5,
    ioctl/4, ioctl/5,
    dup/2, dup/3,
    dup2/3, dup2/4,
    pipe/1, pipe/2,
    ftruncate/3, ftruncate/4,
    fsync/2, fsync/3,
    pread/4, pread/5,
    pwrite/4, pwrite/5,
    poll/3, poll/4,
    openpty/1, openpty/2
]).

%% Mounts and confinement.
-export([
    pivot_root/3, pivot_root/4,
    umount2/3, umount2/4,
    mount_setattr/8, mount_setattr/9,
    open_tree/4, open_tree/5,
    move_mount/6, move_mount/7,
    fsopen/3, fsopen/4,
    fsconfig/6, fsconfig/7,
    fsmount/4, fsmount/5,
    setns_fd/3, setns_fd/4,
    landlock_abi/1, landlock_abi/2,
    landlock_create_ruleset/4, landlock_create_ruleset/5,
    landlock_add_rule/5, landlock_add_rule/6,
    landlock_restrict_self/3, landlock_restrict_self/4
]).

%% Network devices.
-export([
    netdev_veth/7, netdev_veth/8,
    netdev_up/3, netdev_up/4,
    netdev_address/4, netdev_address/5,
    netdev_route/4, netdev_route/5,
    netdev_unused/3, netdev_unused/4
]).

%% Processes.
-export([
    getppid/1, getppid/2,
    getpgid/2, getpgid/3,
    getpriority/3, getpriority/4,
    setpriority/4, setpriority/5,
    waitpid/3, waitpid/4,
    fexecve/4, fexecve/5,
    setproctitle/2, setproctitle/3,
    sched_getaffinity/2, sched_getaffinity/3,
    sched_setaffinity/3, sched_setaffinity/4,
    getrusage/2, getrusage/3,
    ptrace/5, ptrace/6,
    pidfd_open/3, pidfd_open/4,
    pidfd_send_signal/4, pidfd_send_signal/5
]).

%% Sockets.
-export([
    socket/4, socket/5,
    socketpair/4, socketpair/5,
    connect/3, connect/4,
    bind/3, bind/4,
    listen/3, listen/4,
    accept/2, accept/3,
    getsockname/2, getsockname/3,
    getpeername/2, getpeername/3,
    getsockopt/5, getsockopt/6,
    setsockopt/5, setsockopt/6,
    shutdown/3, shutdown/4,
    sendmsg/5, sendmsg/6,
    recvmsg/4, recvmsg/5
]).

%% Any system call.
-export([
    syscall/3, syscall/4
]).

%% What only BSDs have.
-export([
    pledge/3, pledge/4,
    unveil/3, unveil/4,
    jail/2, jail/3,
    jail_attach/2, jail_attach/3,
    jail_remove/2, jail_remove/3,
    cap_enter/1, cap_enter/2,
    procctl/5, procctl/6
]).

%% System calls by name, and several at once.
-export([
    call/2, call/3, call/4, call/5,
    batch/2, batch/3,
    spawn/3, spawn/4
]).

%% Constants.
-export([
    clone_define/2, clone_define/3,
    define/2, define/3,
    file_define/2, file_define/3,
    mount_define/2, mount_define/3,
    prctl_define/2, prctl_define/3,
    audit_arch/0,
    constants/0, constants/1,
    errno_id/2, errno_id/3,
    ioctl_define/2, ioctl_define/3,
    landlock_define/2, landlock_define/3,
    poll_define/2, poll_define/3,
    process_define/2, process_define/3,
    socket_define/2, socket_define/3,
    rlimit_define/2, rlimit_define/3,
    signal_constant/2, signal_constant/3,
    signal_define/2, signal_define/3,
    syscall_define/2, syscall_define/3
]).

%% What there is, and what went wrong.
-export([
    tree/1,
    i/1,
    format_error/1
]).

%% What programs read and write, and events.
-export([
    stdin/2, stdin/3,
    stdout/1, stdout/2, stdout/3,
    stderr/1, stderr/2, stderr/3,
    event/1, event/2, event/3,
    eof/2, eof/3
]).

-export_type([
    child/0, filter/0,
    capset/0, caps/0, file_stat/0, file_time/0, dirfd/0, wait_status/0, rusage/0, sockaddr/0,
    drv/0, os_pid/0, fork_path/0, posix/0, path/0, fd/0, id/0, mode/0, constant/0, flags/0,
    rlimit/0, timeval/0, option/0, prctl_arg/0, prctl_val/0, stream/0, how/0, calls/0
]).

-type drv() :: alcove_drv:ref().
%% What {@link alcove_drv:start/1} returns.
-type os_pid() :: non_neg_integer().
-type fork_path() :: [os_pid()].
%% The pids from root's child down to the process that is meant.
-type posix() :: atom() | pos_integer().
%% The name of an error, as `enoent', or its number if it has no name; `unsupported' where
%% a platform lacks a call.
-type path() :: iodata().
%% Bytes without a NUL.
-type fd() :: integer().
-type id() :: 0..16#fffffffe.
%% A user or group id.
-type mode() :: 0..8#177777.
%% What stat(2) says of a file may be given back: its type isn't looked at.
-type constant() :: integer() | atom().
%% A number or the name of a constant.
-type flags() :: integer() | atom() | [atom() | integer()].
%% A number, or names of constants, and numbers among them.
-type rlimit() :: #alcove_rlimit{}.
-type timeval() :: #alcove_timeval{}.
-type filter() :: [atom()] | {deny | allow, [atom()]}.
%% Names of calls.
-type child() :: #{
    pid := os_pid(),
    state := event_loop | keeper | exec | exited,
    flowcontrol := integer(),
    signaloneof := integer() | false
}.
%% See {@link cpid/2}.
-type option() :: verbose | childlimit | exit_status | maxchild | maxforkdepth | termsig | rusage
    | flowcontrol | signaloneof.
%% An option of an event loop, see {@link getopt/3}.
-type prctl_arg() :: flags() | iodata() | [binary() | {ptr, non_neg_integer() | binary()}].
%% See {@link prctl/7}.
-type prctl_val() :: integer() | binary() | [binary() | {ptr, non_neg_integer() | binary()}].
%% See {@link prctl/7}.
-type capset() :: non_neg_integer().
%% A bit for each capability, see {@link capget/3}.
-type caps() :: capset() | [atom()].
%% A set of capabilities, or their names.
-type dirfd() :: fd() | at_fdcwd.
%% A directory, or the working directory.
-type file_time() :: now | omit | integer().
%% Nanoseconds since 1970, see {@link utimens/6}.
-type file_stat() :: #{
    type := regular | directory | symlink | character | block | fifo | socket | unknown,
    mode := mode(),
    uid := id(),
    gid := id(),
    size := integer(),
    atime := integer(),
    mtime := integer(),
    ctime := integer(),
    dev := non_neg_integer(),
    ino := non_neg_integer(),
    nlink := non_neg_integer(),
    rdev := non_neg_integer(),
    blksize := integer(),
    blocks := integer()
}.
%% See {@link stat/3}.
-type wait_status() ::
    {exit_status, non_neg_integer()} | {termsig, atom()} | {stopsig, atom()} | continued.
%% See {@link waitpid/4}.
-type rusage() :: #{
    utime := timeval(),
    stime := timeval(),
    maxrss := integer(),
    minflt := integer(),
    majflt := integer(),
    inblock := integer(),
    oublock := integer(),
    nvcsw := integer(),
    nivcsw := integer()
}.
%% See {@link getrusage/3}.
-type sockaddr() ::
    {inet, {inet:ip4_address(), inet:port_number()}}
    | {inet6, {inet:ip6_address(), inet:port_number()}}
    | {local, iodata()}
    | binary().
%% The address of a socket: as inet:family_address() has it, or as the kernel has it.
-type stream() :: stdin | stdout | stderr.
-type how() :: fork | {clone, flags()}.
-type calls() :: [{Call :: atom(), Argv :: [term()]}].
%% System calls and their arguments, without Drv and the fork path.

%% How long {@link stdout/2} and the like wait, in milliseconds.
-define(WAIT, 5000).

%%--------------------------------------------------------------------
%% System calls
%%--------------------------------------------------------------------

%% @equiv chdir(Drv, [], Path)
-spec chdir(drv(), path()) -> ok | {error, posix()}.
chdir(Drv, Path) ->
    short(Drv, chdir, [Path]).

%% @doc Changes the working directory, see chdir(2).
-spec chdir(drv(), fork_path(), path()) -> ok | {error, posix()}.
chdir(Drv, Pids, Path) ->
    full(Drv, Pids, chdir, [Path]).

%% @equiv chmod(Drv, [], Path, Mode)
-spec chmod(drv(), path(), mode()) -> ok | {error, posix()}.
chmod(Drv, Path, Mode) ->
    short(Drv, chmod, [Path, Mode]).

%% @doc Changes the permissions of a file, see chmod(2).
-spec chmod(drv(), fork_path(), path(), mode()) -> ok | {error, posix()}.
chmod(Drv, Pids, Path, Mode) ->
    full(Drv, Pids, chmod, [Path, Mode]).

%% @equiv chown(Drv, [], Path, Owner, Group)
-spec chown(drv(), path(), id(), id()) -> ok | {error, posix()}.
chown(Drv, Path, Owner, Group) ->
    short(Drv, chown, [Path, Owner, Group]).

%% @doc Changes the owner and the group of a file, see chown(2).
-spec chown(drv(), fork_path(), path(), id(), id()) -> ok | {error, posix()}.
chown(Drv, Pids, Path, Owner, Group) ->
    full(Drv, Pids, chown, [Path, Owner, Group]).

%% @equiv chroot(Drv, [], Path)
-spec chroot(drv(), path()) -> ok | {error, posix()}.
chroot(Drv, Path) ->
    short(Drv, chroot, [Path]).

%% @doc Changes the root directory, see chroot(2).
%%
%% The working directory stays where it is, outside: change to `/' next.
-spec chroot(drv(), fork_path(), path()) -> ok | {error, posix()}.
chroot(Drv, Pids, Path) ->
    full(Drv, Pids, chroot, [Path]).

%% @equiv clearenv(Drv, [])
-spec clearenv(drv()) -> ok | {error, posix()}.
clearenv(Drv) ->
    short(Drv, clearenv, []).

%% @doc Empties the environment, see clearenv(3).
-spec clearenv(drv(), fork_path()) -> ok | {error, posix()}.
clearenv(Drv, Pids) ->
    full(Drv, Pids, clearenv, []).

%% @equiv clone(Drv, [], Flags)
-spec clone(drv(), flags()) -> {ok, os_pid()} | {error, posix()}.
clone(Drv, Flags) ->
    short(Drv, clone, [Flags]).

%% @doc Creates a child process in new namespaces, see clone(2). Linux only.
%%
%% `Flags' are those of {@link clone_define/3}. The pid is the one that the calling
%% process sees, and the one to name the child by; in a new pid namespace the child
%% is 1 to itself. The limits of {@link fork/2} hold.
-spec clone(drv(), fork_path(), flags()) -> {ok, os_pid()} | {error, posix()}.
clone(Drv, Pids, Flags) ->
    full(Drv, Pids, clone, [Flags]).

%% @equiv close(Drv, [], FD)
-spec close(drv(), fd()) -> ok | {error, posix()}.
close(Drv, FD) ->
    short(Drv, close, [FD]).

%% @doc Closes a file descriptor, see close(2).
%%
%% The event loop's own file descriptors can't be closed: `{error, ebadf}'.
-spec close(drv(), fork_path(), fd()) -> ok | {error, posix()}.
close(Drv, Pids, FD) ->
    full(Drv, Pids, close, [FD]).

%% @equiv environ(Drv, [])
-spec environ(drv()) -> [binary()].
environ(Drv) ->
    short(Drv, environ, []).

%% @doc The environment, each variable as `NAME=value', see environ(7).
-spec environ(drv(), fork_path()) -> [binary()].
environ(Drv, Pids) ->
    full(Drv, Pids, environ, []).

%% @equiv execve(Drv, [], Arg0, Argv, Env)
-spec execve(drv(), path(), [iodata()], [iodata()]) -> ok | {error, posix()}.
execve(Drv, Arg0, Argv, Env) ->
    short(Drv, execve, [Arg0, Argv, Env]).

%% @doc Replaces the process by a program, with this environment, see execve(2).
%%
%% `Arg0' is the path of the program; `Argv' starts with the name it is to see as its
%% own; `Env' has variables as `NAME=value'. After `ok' the process isn't in its event
%% loop any more: {@link stdin/3}, {@link stdout/2} and {@link stderr/2} talk to the
%% program. It has file descriptors 0 to 2 and those that were opened by {@link open/5}
%% without `o_cloexec', and the signals that are ignored stay so.
-spec execve(drv(), fork_path(), path(), [iodata()], [iodata()]) -> ok | {error, posix()}.
execve(Drv, Pids, Arg0, Argv, Env) ->
    full(Drv, Pids, execve, [Arg0, Argv, Env]).

%% @equiv execvp(Drv, [], Arg0, Argv)
-spec execvp(drv(), path(), [iodata()]) -> ok | {error, posix()}.
execvp(Drv, Arg0, Argv) ->
    short(Drv, execvp, [Arg0, Argv]).

%% @doc Replaces the process by a program that is looked up in `PATH', see execvp(3).
%%
%% As {@link execve/5}, with the environment of the process.
-spec execvp(drv(), fork_path(), path(), [iodata()]) -> ok | {error, posix()}.
execvp(Drv, Pids, Arg0, Argv) ->
    full(Drv, Pids, execvp, [Arg0, Argv]).

%% @equiv exit(Drv, [], Status)
-spec exit(drv(), integer()) -> ok.
exit(Drv, Status) ->
    short(Drv, exit, [Status]).

%% @doc Ends the process, see exit(3).
%%
%% `ok' when it is gone.
-spec exit(drv(), fork_path(), integer()) -> ok.
exit(Drv, Pids, Status) ->
    full(Drv, Pids, exit, [Status]).

%% @equiv fork(Drv, [])
-spec fork(drv()) -> {ok, os_pid()} | {error, posix()}.
fork(Drv) ->
    short(Drv, fork, []).

%% @doc Creates a child process, see fork(2).
%%
%% `{error, eagain}' when the process has as many children as its childlimit allows, and
%% when the fork path would be longer than its maxforkdepth allows, see {@link getopt/3};
%% `{error, emfile}' when there are too few file descriptors, here or in the virtual machine.
-spec fork(drv(), fork_path()) -> {ok, os_pid()} | {error, posix()}.
fork(Drv, Pids) ->
    full(Drv, Pids, fork, []).

%% @equiv getcwd(Drv, [])
-spec getcwd(drv()) -> {ok, binary()} | {error, posix()}.
getcwd(Drv) ->
    short(Drv, getcwd, []).

%% @doc The working directory, see getcwd(3).
-spec getcwd(drv(), fork_path()) -> {ok, binary()} | {error, posix()}.
getcwd(Drv, Pids) ->
    full(Drv, Pids, getcwd, []).

%% @equiv getenv(Drv, [], Name)
-spec getenv(drv(), iodata()) -> binary() | false.
getenv(Drv, Name) ->
    short(Drv, getenv, [Name]).

%% @doc The value of a variable of the environment, or `false', see getenv(3).
-spec getenv(drv(), fork_path(), iodata()) -> binary() | false.
getenv(Drv, Pids, Name) ->
    full(Drv, Pids, getenv, [Name]).

%% @equiv getgid(Drv, [])
-spec getgid(drv()) -> id().
getgid(Drv) ->
    short(Drv, getgid, []).

%% @doc The real group id, see getgid(2).
-spec getgid(drv(), fork_path()) -> id().
getgid(Drv, Pids) ->
    full(Drv, Pids, getgid, []).

%% @equiv gethostname(Drv, [])
-spec gethostname(drv()) -> {ok, binary()} | {error, posix()}.
gethostname(Drv) ->
    short(Drv, gethostname, []).

%% @doc The host name, see gethostname(2).
-spec gethostname(drv(), fork_path()) -> {ok, binary()} | {error, posix()}.
gethostname(Drv, Pids) ->
    full(Drv, Pids, gethostname, []).

%% @equiv getopt(Drv, [], Option)
-spec getopt(drv(), option()) -> integer() | false.
getopt(Drv, Option) ->
    short(Drv, getopt, [Option]).

%% @doc An option of the event loop; `false' if there is none of this name.
%%
%% A child starts with what its parent has, root with the options of {@link
%% alcove_drv:start/1}.
%%
%% <dl>
%% <dt>`verbose': 0</dt>
%% <dd>More than 0: root writes to its stderr, which is the console's, which calls it makes.
%%     Other processes write nothing: their stderr is their program's.</dd>
%% <dt>`childlimit': soft limit of open files / 4 - 4</dt>
%% <dd>How many children this process may have, besides those that alcove forks for the programs of
%%     {@link alcove_proc}. Can't be set.</dd>
%% <dt>`exit_status': 0</dt>
%% <dd>1: the owner learns the exit status of a child that ends by itself,
%%     `{exit_status, N}'.</dd>
%% <dt>`maxchild': childlimit</dt>
%% <dd>The childlimit of children forked from now on. It may be larger than that of the
%%     process itself.</dd>
%% <dt>`maxforkdepth': 16</dt>
%% <dd>How long a fork path may be.</dd>
%% <dt>`termsig': 0</dt>
%% <dd>1: the owner learns the signal that ended a child, `{termsig, Signal}'.</dd>
%% <dt>`rusage': 0</dt>
%% <dd>1: the owner learns what a child that ended has used, `{rusage, Map}' with a map as
%%     of {@link getrusage/3}; before the event that tells how it ended.</dd>
%% <dt>`flowcontrol': -1</dt>
%% <dd>How many messages of stdout and stderr the owner gets of a child forked from now
%%     on, before {@link setcpid/5} asks for more; -1: as many as there are.</dd>
%% <dt>`signaloneof': 15</dt>
%% <dd>The signal for the program of a child forked from now on, when this process ends
%%     because its Drv has; 0: none. What has not ended some 150 ms later gets SIGTERM, and
%%     is killed after as much again.</dd>
%% </dl>
-spec getopt(drv(), fork_path(), option()) -> integer() | false.
getopt(Drv, Pids, Option) ->
    full(Drv, Pids, getopt, [Option]).

%% @equiv getpgrp(Drv, [])
-spec getpgrp(drv()) -> os_pid().
getpgrp(Drv) ->
    short(Drv, getpgrp, []).

%% @doc The process group, see getpgrp(2).
-spec getpgrp(drv(), fork_path()) -> os_pid().
getpgrp(Drv, Pids) ->
    full(Drv, Pids, getpgrp, []).

%% @equiv getpid(Drv, [])
-spec getpid(drv()) -> os_pid().
getpid(Drv) ->
    short(Drv, getpid, []).

%% @doc The process id as the process itself sees it, see getpid(2).
-spec getpid(drv(), fork_path()) -> os_pid().
getpid(Drv, Pids) ->
    full(Drv, Pids, getpid, []).

%% @equiv getrlimit(Drv, [], Resource)
-spec getrlimit(drv(), constant()) -> {ok, rlimit()} | {error, posix()}.
getrlimit(Drv, Resource) ->
    short(Drv, getrlimit, [Resource]).

%% @doc A resource limit, see getrlimit(2).
%%
%% `Resource' is one of {@link rlimit_define/3}. The record is in
%% `alcove/include/alcove.hrl'. No limit is the number 16#ffffffffffffffff here, on every platform;
%% {@link setrlimit/4} takes that, `infinity' or -1.
-spec getrlimit(drv(), fork_path(), constant()) -> {ok, rlimit()} | {error, posix()}.
getrlimit(Drv, Pids, Resource) ->
    full(Drv, Pids, getrlimit, [Resource]).

%% @equiv getsid(Drv, [], Pid)
-spec getsid(drv(), integer()) -> {ok, os_pid()} | {error, posix()}.
getsid(Drv, Pid) ->
    short(Drv, getsid, [Pid]).

%% @doc The session of a process, see getsid(2); 0 is the calling process.
-spec getsid(drv(), fork_path(), integer()) -> {ok, os_pid()} | {error, posix()}.
getsid(Drv, Pids, Pid) ->
    full(Drv, Pids, getsid, [Pid]).

%% @equiv getuid(Drv, [])
-spec getuid(drv()) -> id().
getuid(Drv) ->
    short(Drv, getuid, []).

%% @doc The real user id, see getuid(2).
-spec getuid(drv(), fork_path()) -> id().
getuid(Drv, Pids) ->
    full(Drv, Pids, getuid, []).

%% @equiv kill(Drv, [], Pid, Signal)
-spec kill(drv(), integer(), constant()) -> ok | {error, posix()}.
kill(Drv, Pid, Signal) ->
    short(Drv, kill, [Pid, Signal]).

%% @doc Sends a signal to a process, or to a group of them, see kill(2).
%%
%% `Signal' is a number or a name of {@link signal_define/3}; 0 only asks whether
%% there is such a process.
-spec kill(drv(), fork_path(), integer(), constant()) -> ok | {error, posix()}.
kill(Drv, Pids, Pid, Signal) ->
    full(Drv, Pids, kill, [Pid, Signal]).

%% @equiv lseek(Drv, [], FD, Offset, Whence)
-spec lseek(drv(), fd(), integer(), constant()) -> ok | {error, posix()}.
lseek(Drv, FD, Offset, Whence) ->
    short(Drv, lseek, [FD, Offset, Whence]).

%% @doc Moves the offset of a file descriptor, see lseek(2).
%%
%% `Whence' is `seek_set', `seek_cur' or `seek_end'.
-spec lseek(drv(), fork_path(), fd(), integer(), constant()) -> ok | {error, posix()}.
lseek(Drv, Pids, FD, Offset, Whence) ->
    full(Drv, Pids, lseek, [FD, Offset, Whence]).

%% @equiv mkdir(Drv, [], Path, Mode)
-spec mkdir(drv(), path(), mode()) -> ok | {error, posix()}.
mkdir(Drv, Path, Mode) ->
    short(Drv, mkdir, [Path, Mode]).

%% @doc Creates a directory, see mkdir(2).
-spec mkdir(drv(), fork_path(), path(), mode()) -> ok | {error, posix()}.
mkdir(Drv, Pids, Path, Mode) ->
    full(Drv, Pids, mkdir, [Path, Mode]).

%% @equiv mount(Drv, [], Source, Target, FSType, Flags, Data)
-spec mount(drv(), path(), path(), iodata(), flags(), iodata()) -> ok | {error, posix()}.
mount(Drv, Source, Target, FSType, Flags, Data) ->
    short(Drv, mount, [Source, Target, FSType, Flags, Data]).

%% @doc Mounts a file system, see mount(2).
%%
%% `Flags' are those of {@link mount_define/3}. `Data' are options of the file
%% system. On the BSDs `Source' is left out.
-spec mount(drv(), fork_path(), path(), path(), iodata(), flags(), iodata()) ->
    ok | {error, posix()}.
mount(Drv, Pids, Source, Target, FSType, Flags, Data) ->
    full(Drv, Pids, mount, [Source, Target, FSType, Flags, Data]).

%% @equiv open(Drv, [], Path, Flags, Mode)
-spec open(drv(), path(), flags(), mode()) -> {ok, fd()} | {error, posix()}.
open(Drv, Path, Flags, Mode) ->
    short(Drv, open, [Path, Flags, Mode]).

%% @doc Opens a file, see open(2).
%%
%% `Flags' are those of {@link file_define/3}; `Mode' is for a file that is created. A
%% program that the process execs inherits the file descriptor unless `o_cloexec' is
%% among the flags.
-spec open(drv(), fork_path(), path(), flags(), mode()) -> {ok, fd()} | {error, posix()}.
open(Drv, Pids, Path, Flags, Mode) ->
    full(Drv, Pids, open, [Path, Flags, Mode]).

%% @equiv pid(Drv, [])
-spec pid(drv()) -> [os_pid()].
pid(Drv) ->
    short(Drv, pid, []).

%% @doc The pids of the children of the process.
-spec pid(drv(), fork_path()) -> [os_pid()].
pid(Drv, Pids) ->
    full(Drv, Pids, pid, []).

%% @equiv cpid(Drv, [])
-spec cpid(drv()) -> [child()].
cpid(Drv) ->
    children(Drv, [], infinity, {short, cpid, [Drv]}).

%% @doc The children of the process and what is known of them: whether one is in its
%% event loop (`event_loop'), runs a program (`exec') or is about to be gone (`exited'),
%% and its options, see {@link setcpid/5}. `signaloneof' is `false' where that can't be
%% known: the child is gone, or the process has a {@link filter/3} that refuses `getcpid'.
-spec cpid(drv(), fork_path()) -> [child()].
cpid(Drv, Pids) ->
    children(Drv, Pids, infinity, {full, cpid, [Drv, Pids]}).

children(Drv, Pids, Timeout, Origin) ->
    Children = request(Drv, Pids, children, Timeout, Origin),
    Calls = [{getcpid, [Pid, signaloneof]} || {Pid, _, _} <- Children],
    Signals =
        case request(Drv, Pids, {batch, Calls}, Timeout, Origin) of
            {ok, Found} -> Found;
            {error, {_, getcpid, undef}} -> [false || _ <- Calls]
        end,
    [
        #{pid => Pid, state => State, flowcontrol => Flow, signaloneof => Signal}
     || {{Pid, State, Flow}, Signal} <- lists:zip(Children, Signals)
    ].

%% @equiv filter(Drv, [], Calls)
-spec filter(drv(), filter()) -> ok.
filter(Drv, Calls) ->
    short(Drv, filter, [Calls]).

%% @doc Refuses calls for good, in the process and in what it forks later. A list, or `{deny,
%% Calls}', names the calls to refuse; `{allow, Calls}' refuses all others.
%%
%% Another filter can refuse more, not less. A call that is refused raises `undef'; in a
%% batch it returns `{error, {Index, Call, undef}}'. The filter doesn't bind the program that a
%% process execs: see {@link alcove_seccomp} for that. Nor does it bind what the virtual machine
%% does without asking the process: the streams, the flow control of children, constants.
-spec filter(drv(), fork_path(), filter()) -> ok.
filter(Drv, Pids, Calls) ->
    full(Drv, Pids, filter, [Calls]).

%% @equiv getcpid(Drv, [], Pid, Option)
-spec getcpid(drv(), os_pid(), flowcontrol | signaloneof) -> integer() | false.
getcpid(Drv, Pid, Option) ->
    short(Drv, getcpid, [Pid, Option]).

%% @doc An option of a child, see {@link setcpid/5}; `false' if there is no such option
%% or child. The process doesn't know the flow control of its children: in a batch that
%% is `false'.
-spec getcpid(drv(), fork_path(), os_pid(), flowcontrol | signaloneof) -> integer() | false.
getcpid(Drv, Pids, Pid, Option) ->
    full(Drv, Pids, getcpid, [Pid, Option]).

%% @equiv setcpid(Drv, [], Pid, Option, Value)
-spec setcpid(drv(), os_pid(), flowcontrol | signaloneof, integer()) -> boolean().
setcpid(Drv, Pid, Option, Value) ->
    short(Drv, setcpid, [Pid, Option, Value]).

%% @doc Sets an option of a child that may run a program by now. `false' if there is no
%% such option or child, or the value is out of its range.
%%
%% <dl>
%% <dt>`flowcontrol'</dt>
%% <dd>How many more messages of the child's stdout and stderr its owner gets; -1: as many
%%     as there are. Each message takes one off. At 0 the router reads no more of the
%%     child, so that its pipes fill and the kernel makes it wait. The event of its end
%%     comes after what it had written, so it waits, too.</dd>
%% <dt>`signaloneof'</dt>
%% <dd>The signal for the child's program when the process at the fork path ends because
%%     its Drv has; 0: none. See {@link getopt/3}.</dd>
%% </dl>
-spec setcpid(drv(), fork_path(), os_pid(), flowcontrol | signaloneof, integer()) -> boolean().
setcpid(Drv, Pids, Pid, Option, Value) ->
    full(Drv, Pids, setcpid, [Pid, Option, Value]).

%% @equiv prctl(Drv, [], Option, Arg2, Arg3, Arg4, Arg5)
-spec prctl(drv(), constant(), prctl_arg(), prctl_arg(), prctl_arg(), prctl_arg()) ->
    {ok, integer(), prctl_val(), prctl_val(), prctl_val(), prctl_val()} | {error, posix()}.
prctl(Drv, Option, Arg2, Arg3, Arg4, Arg5) ->
    pieces(short(Drv, prctl, [Option, Arg2, Arg3, Arg4, Arg5]), [Arg2, Arg3, Arg4, Arg5]).

%% @doc Operations on a process, see prctl(2). Linux only.
%%
%% `Option' is one of {@link prctl_define/3}. An argument is an integer, or the names of
%% constants (see {@link define/3}) that stand for one; iodata, whose bytes the kernel
%% gets a pointer to; or a list that is laid out as a structure, in which a binary stands
%% for its bytes, `{ptr, N}' for a pointer to N bytes of zero, and `{ptr, Binary}' for a
%% pointer to these bytes. The reply has the return value and the arguments as the kernel
%% left them.
%%
%% ```
%% {ok, 0, <<"sh", 0:120>>, 0, 0, 0} =
%%     alcove:prctl(Drv, [Pid], pr_get_name, <<0:136>>, 0, 0, 0)
%% '''
-spec prctl(drv(), fork_path(), constant(), prctl_arg(), prctl_arg(), prctl_arg(), prctl_arg()) ->
    {ok, integer(), prctl_val(), prctl_val(), prctl_val(), prctl_val()} | {error, posix()}.
prctl(Drv, Pids, Option, Arg2, Arg3, Arg4, Arg5) ->
    pieces(full(Drv, Pids, prctl, [Option, Arg2, Arg3, Arg4, Arg5]), [Arg2, Arg3, Arg4, Arg5]).

%% An argument that was given as a list of binaries is returned as a list.
pieces({ok, Value, Out2, Out3, Out4, Out5}, In) ->
    list_to_tuple([ok, Value | lists:zipwith(fun pieced/2, [Out2, Out3, Out4, Out5], In)]);
pieces(Reply, _In) ->
    Reply.

pieced(Out, [_ | _] = In) when is_binary(Out) ->
    case lists:all(fun erlang:is_binary/1, In) andalso iolist_size(In) =:= byte_size(Out) of
        true -> split([byte_size(Piece) || Piece <- In], Out);
        false -> Out
    end;
pieced(Out, _In) ->
    Out.

split([], <<>>) ->
    [];
split([Size | Sizes], Bytes) ->
    <<Piece:Size/binary, Rest/binary>> = Bytes,
    [Piece | split(Sizes, Rest)].

%% @equiv read(Drv, [], FD, Count)
-spec read(drv(), fd(), non_neg_integer()) -> {ok, binary()} | {error, posix()}.
read(Drv, FD, Count) ->
    short(Drv, read, [FD, Count]).

%% @doc Reads from a file descriptor, see read(2).
%%
%% At most `Count' bytes, which is 16 MiB at most; `<<>>' at the end of the file.
-spec read(drv(), fork_path(), fd(), non_neg_integer()) -> {ok, binary()} | {error, posix()}.
read(Drv, Pids, FD, Count) ->
    full(Drv, Pids, read, [FD, Count]).

%% @equiv readdir(Drv, [], Path)
-spec readdir(drv(), path()) -> {ok, [binary()]} | {error, posix()}.
readdir(Drv, Path) ->
    short(Drv, readdir, [Path]).

%% @doc The names in a directory but `.' and `..', see readdir(3).
-spec readdir(drv(), fork_path(), path()) -> {ok, [binary()]} | {error, posix()}.
readdir(Drv, Pids, Path) ->
    full(Drv, Pids, readdir, [Path]).

%% @equiv rmdir(Drv, [], Path)
-spec rmdir(drv(), path()) -> ok | {error, posix()}.
rmdir(Drv, Path) ->
    short(Drv, rmdir, [Path]).

%% @doc Removes a directory, see rmdir(2).
-spec rmdir(drv(), fork_path(), path()) -> ok | {error, posix()}.
rmdir(Drv, Pids, Path) ->
    full(Drv, Pids, rmdir, [Path]).

%% @equiv select(Drv, [], Readfds, Writefds, Exceptfds, Timeout)
-spec select(drv(), [fd()], [fd()], [fd()], <<>> | timeval()) ->
    {ok, [fd()], [fd()], [fd()]} | {error, posix()}.
select(Drv, Readfds, Writefds, Exceptfds, Timeout) ->
    short(Drv, select, [Readfds, Writefds, Exceptfds, Timeout]).

%% @doc Waits until file descriptors can be read or written, see select(2).
%%
%% `Timeout' is an `#alcove_timeval{}' of seconds and microseconds, or `<<>>' to wait
%% without end. The process answers nothing else meanwhile.
-spec select(drv(), fork_path(), [fd()], [fd()], [fd()], <<>> | timeval()) ->
    {ok, [fd()], [fd()], [fd()]} | {error, posix()}.
select(Drv, Pids, Readfds, Writefds, Exceptfds, Timeout) ->
    full(Drv, Pids, select, [Readfds, Writefds, Exceptfds, Timeout]).

%% @equiv setenv(Drv, [], Name, Value, Overwrite)
-spec setenv(drv(), iodata(), iodata(), 0 | 1) -> ok | {error, posix()}.
setenv(Drv, Name, Value, Overwrite) ->
    short(Drv, setenv, [Name, Value, Overwrite]).

%% @doc Sets a variable of the environment, see setenv(3).
%%
%% With 0 for `Overwrite' a variable that exists stays as it is.
-spec setenv(drv(), fork_path(), iodata(), iodata(), 0 | 1) -> ok | {error, posix()}.
setenv(Drv, Pids, Name, Value, Overwrite) ->
    full(Drv, Pids, setenv, [Name, Value, Overwrite]).

%% @equiv setgid(Drv, [], Gid)
-spec setgid(drv(), id()) -> ok | {error, posix()}.
setgid(Drv, Gid) ->
    short(Drv, setgid, [Gid]).

%% @doc Sets the group id, see setgid(2).
-spec setgid(drv(), fork_path(), id()) -> ok | {error, posix()}.
setgid(Drv, Pids, Gid) ->
    full(Drv, Pids, setgid, [Gid]).

%% @equiv sethostname(Drv, [], Hostname)
-spec sethostname(drv(), iodata()) -> ok | {error, posix()}.
sethostname(Drv, Hostname) ->
    short(Drv, sethostname, [Hostname]).

%% @doc Sets the host name, see sethostname(2).
%%
%% This changes the machine's own name, unless the process is in a UTS namespace of its own:
%%
%% ```
%% {ok, Pid} = alcove:clone(Drv, clone_newuts),
%% ok = alcove:sethostname(Drv, [Pid], "inside")
%% '''
-spec sethostname(drv(), fork_path(), iodata()) -> ok | {error, posix()}.
sethostname(Drv, Pids, Hostname) ->
    full(Drv, Pids, sethostname, [Hostname]).

%% @equiv setns(Drv, [], Path)
-spec setns(drv(), path()) -> ok | {error, posix()}.
setns(Drv, Path) ->
    short(Drv, setns, [Path]).

%% @doc Enters a namespace, see setns(2). Linux only.
%%
%% `setns(Drv, Pids, Path)': `Path' is that of a namespace, as `/proc/1234/ns/net'.
%% `setns(Drv, FD, Type)' is {@link setns_fd/4} in root.
%%
%% A process doesn't change its own pid namespace: what it forks from then on is in it.
-spec setns
    (drv(), fork_path(), path()) -> ok | {error, posix()};
    (drv(), fd(), flags()) -> ok | {error, posix()}.
setns(Drv, FD, Type) when is_integer(FD) ->
    setns_fd(Drv, FD, Type);
setns(Drv, Pids, Path) ->
    full(Drv, Pids, setns, [Path]).

%% @equiv setns_fd(Drv, Pids, FD, Type)
-spec setns(drv(), fork_path(), fd(), flags()) -> ok | {error, posix()}.
setns(Drv, Pids, FD, Type) ->
    setns_fd(Drv, Pids, FD, Type).

%% @equiv setopt(Drv, [], Option, Value)
-spec setopt(drv(), option(), integer()) -> boolean().
setopt(Drv, Option, Value) ->
    short(Drv, setopt, [Option, Value]).

%% @doc Sets an option of the event loop, see {@link getopt/3}.
%%
%% `false' if there is none of this name, if it can't be set or the value is out of
%% its range.
-spec setopt(drv(), fork_path(), option(), integer()) -> boolean().
setopt(Drv, Pids, Option, Value) ->
    full(Drv, Pids, setopt, [Option, Value]).

%% @equiv setpgid(Drv, [], Pid, Pgid)
-spec setpgid(drv(), integer(), integer()) -> ok | {error, posix()}.
setpgid(Drv, Pid, Pgid) ->
    short(Drv, setpgid, [Pid, Pgid]).

%% @doc Sets the group of a process, see setpgid(2).
%%
%% 0 for `Pid' is the calling process; 0 for `Pgid' makes a group of its own.
-spec setpgid(drv(), fork_path(), integer(), integer()) -> ok | {error, posix()}.
setpgid(Drv, Pids, Pid, Pgid) ->
    full(Drv, Pids, setpgid, [Pid, Pgid]).

%% @equiv setrlimit(Drv, [], Resource, Limit)
-spec setrlimit(drv(), constant(), rlimit()) -> ok | {error, posix()}.
setrlimit(Drv, Resource, Limit) ->
    short(Drv, setrlimit, [Resource, Limit]).

%% @doc Sets a resource limit, see setrlimit(2).
%%
%% `Resource' is one of {@link rlimit_define/3}. The record is in
%% `alcove/include/alcove.hrl'; `infinity' or -1 is no limit. The event loop goes on
%% with any limit, also with no open files at all. A limit for which a 32-bit kernel has
%% no room, as 4 GiB, is `{error, einval}': it would take it for no limit.
-spec setrlimit(drv(), fork_path(), constant(), rlimit()) -> ok | {error, posix()}.
setrlimit(Drv, Pids, Resource, Limit) ->
    full(Drv, Pids, setrlimit, [Resource, Limit]).

%% @equiv setsid(Drv, [])
-spec setsid(drv()) -> {ok, os_pid()} | {error, posix()}.
setsid(Drv) ->
    short(Drv, setsid, []).

%% @doc Creates a session, see setsid(2). Its id is returned.
-spec setsid(drv(), fork_path()) -> {ok, os_pid()} | {error, posix()}.
setsid(Drv, Pids) ->
    full(Drv, Pids, setsid, []).

%% @equiv setuid(Drv, [], Uid)
-spec setuid(drv(), id()) -> ok | {error, posix()}.
setuid(Drv, Uid) ->
    short(Drv, setuid, [Uid]).

%% @doc Sets the user id, see setuid(2).
%%
%% For a privileged process there is no way back. Set the group first.
-spec setuid(drv(), fork_path(), id()) -> ok | {error, posix()}.
setuid(Drv, Pids, Uid) ->
    full(Drv, Pids, setuid, [Uid]).

%% @equiv sigaction(Drv, [], Signal, Handler)
-spec sigaction(drv(), constant(), dfl | ign | trap) -> ok | {error, posix() | unsupported}.
sigaction(Drv, Signal, Handler) ->
    short(Drv, sigaction, [Signal, Handler]).

%% @doc Sets what a signal does to the process, see sigaction(2).
%%
%% `dfl' is what it does by default; `ign' ignores it, in a program that the process
%% execs as well; `trap' sends the owner the event `{signal, Name}'. Signals that
%% come in quick succession may come as one event. Children are reaped with any
%% handler of `sigchld'. `{error, einval}' for `sigkill' and `sigstop', and for those
%% that the C library keeps for itself (32 and 33 on Linux). `sigsys' can't be trapped, and
%% is `{error, unsupported}', on a processor on which alcove doesn't know how to say that a
%% system call that a filter trapped wasn't made: on Linux, all but x86, ARM and 64-bit RISC-V.
%%
%% The event of a signal that is trapped during a call comes after the call. It ends
%% {@link poll/4} and {@link select/6} with `{error, eintr}'; other calls go on.
-spec sigaction(drv(), fork_path(), constant(), dfl | ign | trap) ->
    ok | {error, posix() | unsupported}.
sigaction(Drv, Pids, Signal, Handler) ->
    full(Drv, Pids, sigaction, [Signal, Handler]).

%% @equiv umount(Drv, [], Path)
-spec umount(drv(), path()) -> ok | {error, posix()}.
umount(Drv, Path) ->
    short(Drv, umount, [Path]).

%% @doc Unmounts a file system, see umount(2).
-spec umount(drv(), fork_path(), path()) -> ok | {error, posix()}.
umount(Drv, Pids, Path) ->
    full(Drv, Pids, umount, [Path]).

%% @equiv unsetenv(Drv, [], Name)
-spec unsetenv(drv(), iodata()) -> ok | {error, posix()}.
unsetenv(Drv, Name) ->
    short(Drv, unsetenv, [Name]).

%% @doc Removes a variable of the environment, see unsetenv(3).
-spec unsetenv(drv(), fork_path(), iodata()) -> ok | {error, posix()}.
unsetenv(Drv, Pids, Name) ->
    full(Drv, Pids, unsetenv, [Name]).

%% @equiv unshare(Drv, [], Flags)
-spec unshare(drv(), flags()) -> ok | {error, posix()}.
unshare(Drv, Flags) ->
    short(Drv, unshare, [Flags]).

%% @doc Leaves namespaces for new ones, see unshare(2). Linux only.
%%
%% `Flags' are those of {@link clone_define/3}. With `clone_newpid' the new namespace
%% is that of the children.
-spec unshare(drv(), fork_path(), flags()) -> ok | {error, posix()}.
unshare(Drv, Pids, Flags) ->
    full(Drv, Pids, unshare, [Flags]).

%% @equiv version(Drv, [])
-spec version(drv()) -> binary().
version(Drv) ->
    short(Drv, version, []).

%% @doc The version of the executable.
-spec version(drv(), fork_path()) -> binary().
version(Drv, Pids) ->
    full(Drv, Pids, version, []).

%% @equiv write(Drv, [], FD, Data)
-spec write(drv(), fd(), iodata()) -> {ok, non_neg_integer()} | {error, posix()}.
write(Drv, FD, Data) ->
    short(Drv, write, [FD, Data]).

%% @doc Writes to a file descriptor, see write(2). How many bytes it took is returned.
-spec write(drv(), fork_path(), fd(), iodata()) -> {ok, non_neg_integer()} | {error, posix()}.
write(Drv, Pids, FD, Data) ->
    full(Drv, Pids, write, [FD, Data]).

%%--------------------------------------------------------------------
%% Ids and privileges
%%--------------------------------------------------------------------

%% @equiv geteuid(Drv, [])
-spec geteuid(drv()) -> id().
geteuid(Drv) ->
    short(Drv, geteuid, []).

%% @doc The effective user id, see geteuid(2).
-spec geteuid(drv(), fork_path()) -> id().
geteuid(Drv, Pids) ->
    full(Drv, Pids, geteuid, []).

%% @equiv getegid(Drv, [])
-spec getegid(drv()) -> id().
getegid(Drv) ->
    short(Drv, getegid, []).

%% @doc The effective group id, see getegid(2).
-spec getegid(drv(), fork_path()) -> id().
getegid(Drv, Pids) ->
    full(Drv, Pids, getegid, []).

%% @equiv getresuid(Drv, [])
-spec getresuid(drv()) -> {ok, Real :: id(), Effective :: id(), Saved :: id()} | {error, posix()}.
getresuid(Drv) ->
    short(Drv, getresuid, []).

%% @doc The real, effective and saved user ids, see getresuid(2).
-spec getresuid(drv(), fork_path()) ->
    {ok, Real :: id(), Effective :: id(), Saved :: id()} | {error, posix()}.
getresuid(Drv, Pids) ->
    full(Drv, Pids, getresuid, []).

%% @equiv getresgid(Drv, [])
-spec getresgid(drv()) -> {ok, Real :: id(), Effective :: id(), Saved :: id()} | {error, posix()}.
getresgid(Drv) ->
    short(Drv, getresgid, []).

%% @doc The real, effective and saved group ids, see getresgid(2).
-spec getresgid(drv(), fork_path()) ->
    {ok, Real :: id(), Effective :: id(), Saved :: id()} | {error, posix()}.
getresgid(Drv, Pids) ->
    full(Drv, Pids, getresgid, []).

%% @equiv setresuid(Drv, [], Ruid, Euid, Suid)
-spec setresuid(drv(), id() | -1, id() | -1, id() | -1) -> ok | {error, posix()}.
setresuid(Drv, Ruid, Euid, Suid) ->
    short(Drv, setresuid, [Ruid, Euid, Suid]).

%% @doc Sets the real, effective and saved user ids, see setresuid(2); -1 leaves one as
%% it is.
%%
%% With all three set, a process without capabilities has no way back. Set the groups
%% first, see {@link setgroups/3} and {@link setresgid/5}.
-spec setresuid(drv(), fork_path(), id() | -1, id() | -1, id() | -1) -> ok | {error, posix()}.
setresuid(Drv, Pids, Ruid, Euid, Suid) ->
    full(Drv, Pids, setresuid, [Ruid, Euid, Suid]).

%% @equiv setresgid(Drv, [], Rgid, Egid, Sgid)
-spec setresgid(drv(), id() | -1, id() | -1, id() | -1) -> ok | {error, posix()}.
setresgid(Drv, Rgid, Egid, Sgid) ->
    short(Drv, setresgid, [Rgid, Egid, Sgid]).

%% @doc Sets the real, effective and saved group ids, see setresgid(2); -1 leaves one
%% as it is.
-spec setresgid(drv(), fork_path(), id() | -1, id() | -1, id() | -1) -> ok | {error, posix()}.
setresgid(Drv, Pids, Rgid, Egid, Sgid) ->
    full(Drv, Pids, setresgid, [Rgid, Egid, Sgid]).

%% @equiv getgroups(Drv, [])
-spec getgroups(drv()) -> {ok, [id()]} | {error, posix()}.
getgroups(Drv) ->
    short(Drv, getgroups, []).

%% @doc The supplementary groups, see getgroups(2).
-spec getgroups(drv(), fork_path()) -> {ok, [id()]} | {error, posix()}.
getgroups(Drv, Pids) ->
    full(Drv, Pids, getgroups, []).

%% @equiv setgroups(Drv, [], Groups)
-spec setgroups(drv(), [id()]) -> ok | {error, posix()}.
setgroups(Drv, Groups) ->
    short(Drv, setgroups, [Groups]).

%% @doc Sets the supplementary groups, see setgroups(2).
%%
%% A process that drops the privileges of root has those of root's groups until it sets
%% them: `setgroups(Drv, Pids, [])' goes before {@link setgid/3} and {@link setuid/3}.
-spec setgroups(drv(), fork_path(), [id()]) -> ok | {error, posix()}.
setgroups(Drv, Pids, Groups) ->
    full(Drv, Pids, setgroups, [Groups]).

%% @equiv capget(Drv, [], Pid)
-spec capget(drv(), integer()) ->
    {ok, #{effective := capset(), permitted := capset(), inheritable := capset()}}
    | {error, posix()}.
capget(Drv, Pid) ->
    short(Drv, capget, [Pid]).

%% @doc The capabilities of a process, see capget(2); 0 is the calling process. Linux
%% only.
%%
%% A set is an integer with a bit for each capability:
%%
%% ```
%% {ok, #{effective := Set}} = alcove:capget(Drv, [Pid], 0),
%% Held = Set band (1 bsl alcove:define(Drv, cap_chown)) =/= 0
%% '''
-spec capget(drv(), fork_path(), integer()) ->
    {ok, #{effective := capset(), permitted := capset(), inheritable := capset()}}
    | {error, posix()}.
capget(Drv, Pids, Pid) ->
    full(Drv, Pids, capget, [Pid]).

%% @equiv capset(Drv, [], Effective, Permitted, Inheritable)
-spec capset(drv(), caps(), caps(), caps()) -> ok | {error, posix()}.
capset(Drv, Effective, Permitted, Inheritable) ->
    short(Drv, capset, [Effective, Permitted, Inheritable]).

%% @doc Sets the capabilities of the process, see capset(2). Linux only.
%%
%% A set is an integer as {@link capget/3} has it, or a list of names: `[cap_chown,
%% cap_kill]', `[]' for none. What is taken from the permitted set is gone for good, but
%% for an exec of a program with privileges of its own, see `pr_set_no_new_privs' of
%% {@link prctl/7}.
-spec capset(drv(), fork_path(), caps(), caps(), caps()) -> ok | {error, posix()}.
capset(Drv, Pids, Effective, Permitted, Inheritable) ->
    full(Drv, Pids, capset, [Effective, Permitted, Inheritable]).

%% @equiv cap_get_bound(Drv, [])
-spec cap_get_bound(drv()) -> {ok, capset()} | {error, posix()}.
cap_get_bound(Drv) ->
    short(Drv, cap_get_bound, []).

%% @doc The bounding set: the capabilities that an exec may gain at most, see
%% capabilities(7). Linux only.
-spec cap_get_bound(drv(), fork_path()) -> {ok, capset()} | {error, posix()}.
cap_get_bound(Drv, Pids) ->
    full(Drv, Pids, cap_get_bound, []).

%% @equiv cap_drop_bound(Drv, [], Caps)
-spec cap_drop_bound(drv(), caps()) -> ok | {error, posix()}.
cap_drop_bound(Drv, Caps) ->
    short(Drv, cap_drop_bound, [Caps]).

%% @doc Drops capabilities from the bounding set, for good, see `PR_CAPBSET_DROP' in
%% prctl(2). Linux only.
-spec cap_drop_bound(drv(), fork_path(), caps()) -> ok | {error, posix()}.
cap_drop_bound(Drv, Pids, Caps) ->
    full(Drv, Pids, cap_drop_bound, [Caps]).

%% @equiv cap_get_ambient(Drv, [])
-spec cap_get_ambient(drv()) -> {ok, capset()} | {error, posix()}.
cap_get_ambient(Drv) ->
    short(Drv, cap_get_ambient, []).

%% @doc The ambient set: the capabilities that a program keeps which has no privileges
%% of its own, see capabilities(7). Linux only.
-spec cap_get_ambient(drv(), fork_path()) -> {ok, capset()} | {error, posix()}.
cap_get_ambient(Drv, Pids) ->
    full(Drv, Pids, cap_get_ambient, []).

%% @equiv cap_set_ambient(Drv, [], Caps)
-spec cap_set_ambient(drv(), caps()) -> ok | {error, posix()}.
cap_set_ambient(Drv, Caps) ->
    short(Drv, cap_set_ambient, [Caps]).

%% @doc Makes this the ambient set, see `PR_CAP_AMBIENT' in prctl(2). Linux only.
%%
%% The capabilities have to be permitted and inheritable, see {@link capset/5}; if one
%% isn't, the set stays as it is.
-spec cap_set_ambient(drv(), fork_path(), caps()) -> ok | {error, posix()}.
cap_set_ambient(Drv, Pids, Caps) ->
    full(Drv, Pids, cap_set_ambient, [Caps]).

%% @equiv seccomp(Drv, [], Operation, Flags, Args)
-spec seccomp(drv(), constant(), flags(), prctl_arg()) ->
    {ok, integer(), prctl_val()} | {error, posix()}.
seccomp(Drv, Operation, Flags, Args) ->
    short(Drv, seccomp, [Operation, Flags, Args]).

%% @doc Filters the system calls of the process, see seccomp(2). Linux only.
%%
%% `Args' is as for {@link prctl/7}. {@link alcove_seccomp} makes filters and installs
%% them.
-spec seccomp(drv(), fork_path(), constant(), flags(), prctl_arg()) ->
    {ok, integer(), prctl_val()} | {error, posix()}.
seccomp(Drv, Pids, Operation, Flags, Args) ->
    full(Drv, Pids, seccomp, [Operation, Flags, Args]).

%% @equiv getrandom(Drv, [], Count, Flags)
-spec getrandom(drv(), non_neg_integer(), flags()) -> {ok, binary()} | {error, posix()}.
getrandom(Drv, Count, Flags) ->
    short(Drv, getrandom, [Count, Flags]).

%% @doc Random bytes of the kernel's, see getrandom(2). Linux only.
-spec getrandom(drv(), fork_path(), non_neg_integer(), flags()) ->
    {ok, binary()} | {error, posix()}.
getrandom(Drv, Pids, Count, Flags) ->
    full(Drv, Pids, getrandom, [Count, Flags]).

%% @equiv setdomainname(Drv, [], Name)
-spec setdomainname(drv(), iodata()) -> ok | {error, posix()}.
setdomainname(Drv, Name) ->
    short(Drv, setdomainname, [Name]).

%% @doc Sets the NIS domain name, see setdomainname(2). Linux only. As {@link
%% sethostname/3}, in the UTS namespace of the process.
-spec setdomainname(drv(), fork_path(), iodata()) -> ok | {error, posix()}.
setdomainname(Drv, Pids, Name) ->
    full(Drv, Pids, setdomainname, [Name]).

%% @equiv getdomainname(Drv, [])
-spec getdomainname(drv()) -> {ok, binary()} | {error, posix()}.
getdomainname(Drv) ->
    short(Drv, getdomainname, []).

%% @doc The NIS domain name, see getdomainname(2). Linux only.
-spec getdomainname(drv(), fork_path()) -> {ok, binary()} | {error, posix()}.
getdomainname(Drv, Pids) ->
    full(Drv, Pids, getdomainname, []).

%%--------------------------------------------------------------------
%% Files
%%--------------------------------------------------------------------

%% @equiv unlink(Drv, [], Path)
-spec unlink(drv(), path()) -> ok | {error, posix()}.
unlink(Drv, Path) ->
    short(Drv, unlink, [Path]).

%% @doc Removes a file, see unlink(2).
-spec unlink(drv(), fork_path(), path()) -> ok | {error, posix()}.
unlink(Drv, Pids, Path) ->
    full(Drv, Pids, unlink, [Path]).

%% @equiv link(Drv, [], Path, New)
-spec link(drv(), path(), path()) -> ok | {error, posix()}.
link(Drv, Path, New) ->
    short(Drv, link, [Path, New]).

%% @doc Gives a file a second name, see link(2).
-spec link(drv(), fork_path(), path(), path()) -> ok | {error, posix()}.
link(Drv, Pids, Path, New) ->
    full(Drv, Pids, link, [Path, New]).

%% @equiv symlink(Drv, [], Target, Path)
-spec symlink(drv(), path(), path()) -> ok | {error, posix()}.
symlink(Drv, Target, Path) ->
    short(Drv, symlink, [Target, Path]).

%% @doc Makes `Path' a symbolic link to `Target', see symlink(2).
-spec symlink(drv(), fork_path(), path(), path()) -> ok | {error, posix()}.
symlink(Drv, Pids, Target, Path) ->
    full(Drv, Pids, symlink, [Target, Path]).

%% @equiv readlink(Drv, [], Path)
-spec readlink(drv(), path()) -> {ok, binary()} | {error, posix()}.
readlink(Drv, Path) ->
    short(Drv, readlink, [Path]).

%% @doc What a symbolic link says, see readlink(2).
-spec readlink(drv(), fork_path(), path()) -> {ok, binary()} | {error, posix()}.
readlink(Drv, Pids, Path) ->
    full(Drv, Pids, readlink, [Path]).

%% @equiv rename(Drv, [], From, To)
-spec rename(drv(), path(), path()) -> ok | {error, posix()}.
rename(Drv, From, To) ->
    short(Drv, rename, [From, To]).

%% @doc Renames a file; what has the new name is replaced, see rename(2).
-spec rename(drv(), fork_path(), path(), path()) -> ok | {error, posix()}.
rename(Drv, Pids, From, To) ->
    full(Drv, Pids, rename, [From, To]).

%% @equiv mkfifo(Drv, [], Path, Mode)
-spec mkfifo(drv(), path(), mode()) -> ok | {error, posix()}.
mkfifo(Drv, Path, Mode) ->
    short(Drv, mkfifo, [Path, Mode]).

%% @doc Makes a named pipe, see mkfifo(3).
-spec mkfifo(drv(), fork_path(), path(), mode()) -> ok | {error, posix()}.
mkfifo(Drv, Pids, Path, Mode) ->
    full(Drv, Pids, mkfifo, [Path, Mode]).

%% @equiv mknod(Drv, [], Path, Mode, Dev)
-spec mknod(drv(), path(), non_neg_integer(), non_neg_integer()) -> ok | {error, posix()}.
mknod(Drv, Path, Mode, Dev) ->
    short(Drv, mknod, [Path, Mode, Dev]).

%% @doc Makes a file of any type, see mknod(2).
%%
%% `Mode' has the type besides the permissions, as `s_ifchr' of {@link file_define/3};
%% `Dev' is the number of a device, as `rdev' of {@link stat/3}.
-spec mknod(drv(), fork_path(), path(), non_neg_integer(), non_neg_integer()) ->
    ok | {error, posix()}.
mknod(Drv, Pids, Path, Mode, Dev) ->
    full(Drv, Pids, mknod, [Path, Mode, Dev]).

%% @equiv stat(Drv, [], Path)
-spec stat(drv(), path()) -> {ok, file_stat()} | {error, posix()}.
stat(Drv, Path) ->
    short(Drv, stat, [Path]).

%% @doc What is known about a file, see stat(2).
%%
%% Times are nanoseconds since 1970; `mode' has the permissions, and `type' is
%% `regular', `directory', `symlink', `character', `block', `fifo', `socket' or `unknown'.
%% The rest is as in the structure of stat(2).
-spec stat(drv(), fork_path(), path()) -> {ok, file_stat()} | {error, posix()}.
stat(Drv, Pids, Path) ->
    full(Drv, Pids, stat, [Path]).

%% @equiv lstat(Drv, [], Path)
-spec lstat(drv(), path()) -> {ok, file_stat()} | {error, posix()}.
lstat(Drv, Path) ->
    short(Drv, lstat, [Path]).

%% @doc As {@link stat/3}, of a symbolic link itself, see lstat(2).
-spec lstat(drv(), fork_path(), path()) -> {ok, file_stat()} | {error, posix()}.
lstat(Drv, Pids, Path) ->
    full(Drv, Pids, lstat, [Path]).

%% @equiv fstat(Drv, [], FD)
-spec fstat(drv(), fd()) -> {ok, file_stat()} | {error, posix()}.
fstat(Drv, FD) ->
    short(Drv, fstat, [FD]).

%% @doc As {@link stat/3}, of an open file, see fstat(2).
-spec fstat(drv(), fork_path(), fd()) -> {ok, file_stat()} | {error, posix()}.
fstat(Drv, Pids, FD) ->
    full(Drv, Pids, fstat, [FD]).

%% @equiv access(Drv, [], Path, Mode)
-spec access(drv(), path(), flags()) -> ok | {error, posix()}.
access(Drv, Path, Mode) ->
    short(Drv, access, [Path, Mode]).

%% @doc Whether the real user of the process may use a file, see access(2).
%%
%% `Mode' is `f_ok', or some of `[r_ok, w_ok, x_ok]'.
-spec access(drv(), fork_path(), path(), flags()) -> ok | {error, posix()}.
access(Drv, Pids, Path, Mode) ->
    full(Drv, Pids, access, [Path, Mode]).

%% @equiv utimens(Drv, [], Path, Atime, Mtime, Flags)
-spec utimens(drv(), path(), file_time(), file_time(), flags()) -> ok | {error, posix()}.
utimens(Drv, Path, Atime, Mtime, Flags) ->
    short(Drv, utimens, [Path, Atime, Mtime, Flags]).

%% @doc Sets the times of a file, see utimensat(2).
%%
%% A time is `now', `omit' to leave it as it is, or nanoseconds since 1970. The flag
%% `at_symlink_nofollow' is for a symbolic link itself.
-spec utimens(drv(), fork_path(), path(), file_time(), file_time(), flags()) ->
    ok | {error, posix()}.
utimens(Drv, Pids, Path, Atime, Mtime, Flags) ->
    full(Drv, Pids, utimens, [Path, Atime, Mtime, Flags]).

%% @equiv openat2(Drv, [], DirFD, Path, Flags, Mode, Resolve)
-spec openat2(drv(), dirfd(), path(), flags(), mode(), flags()) -> {ok, fd()} | {error, posix()}.
openat2(Drv, DirFD, Path, Flags, Mode, Resolve) ->
    short(Drv, openat2, [DirFD, Path, Flags, Mode, Resolve]).

%% @doc Opens a file and says how its path is to be resolved, see openat2(2). Linux
%% only.
%%
%% `DirFD' is a directory, or `at_fdcwd' for the working directory. `Resolve' is 0 or
%% some of `resolve_in_root', `resolve_beneath', `resolve_no_symlinks',
%% `resolve_no_magiclinks', `resolve_no_xdev', `resolve_cached'.
-spec openat2(drv(), fork_path(), dirfd(), path(), flags(), mode(), flags()) ->
    {ok, fd()} | {error, posix()}.
openat2(Drv, Pids, DirFD, Path, Flags, Mode, Resolve) ->
    full(Drv, Pids, openat2, [DirFD, Path, Flags, Mode, Resolve]).

%% @equiv read_file(Drv, [], Path)
-spec read_file(drv(), path()) -> {ok, binary()} | {error, posix()}.
read_file(Drv, Path) ->
    short(Drv, read_file, [Path]).

%% @doc What is in a file: open(2), read(2) to its end and close(2) in one call.
%%
%% `{error, efbig}': these are more than 16 MB, or more than 16 KB and the process has a filter of
%% system calls; {@link read/4} reads pieces. As open(2) does, this waits for a writer of a named
%% pipe.
%%
%% ```
%% {ok, Status} = alcove:read_file(Drv, [Pid], "/proc/self/status")
%% '''
-spec read_file(drv(), fork_path(), path()) -> {ok, binary()} | {error, posix()}.
read_file(Drv, Pids, Path) ->
    full(Drv, Pids, read_file, [Path]).

%% @equiv write_file(Drv, [], Path, Flags, Mode, Data)
-spec write_file(drv(), path(), flags(), mode(), iodata()) -> ok | {error, posix()}.
write_file(Drv, Path, Flags, Mode, Data) ->
    short(Drv, write_file, [Path, Flags, Mode, Data]).

%% @doc Writes to a file: open(2), write(2) and close(2) in one call.
%%
%% Without flags, the file has to exist, and is written to from its beginning: what else is in it
%% stays. `Flags' are those of {@link file_define/3}: `[o_creat, o_trunc]' makes a new file, with
%% `Mode', or empties it first, and `o_append' writes to its end. It is always opened with
%% `o_wronly' and `o_cloexec'; `o_rdwr' is `einval'. A file of proc(5), sysfs(5) or cgroups(7) gets
%% the data as one command.
%%
%% If that fails midway, a part has been written.
%%
%% ```
%% ok = alcove:write_file(Drv, [Pid], "/proc/self/oom_score_adj", [], 0, "500"),
%% ok = alcove:write_file(Drv, [Pid], "/tmp/new", [o_creat, o_trunc], 8#644, Data)
%% '''
-spec write_file(drv(), fork_path(), path(), flags(), mode(), iodata()) -> ok | {error, posix()}.
write_file(Drv, Pids, Path, Flags, Mode, Data) ->
    full(Drv, Pids, write_file, [Path, Flags, Mode, Data]).

%% @equiv memfd_create(Drv, [], Name, Flags)
-spec memfd_create(drv(), iodata(), flags()) -> {ok, fd()} | {error, posix()}.
memfd_create(Drv, Name, Flags) ->
    short(Drv, memfd_create, [Name, Flags]).

%% @doc Makes a file that only exists in memory, see memfd_create(2). Linux only. `Flags'
%% are `mfd_cloexec', `mfd_allow_sealing' and others.
-spec memfd_create(drv(), fork_path(), iodata(), flags()) -> {ok, fd()} | {error, posix()}.
memfd_create(Drv, Pids, Name, Flags) ->
    full(Drv, Pids, memfd_create, [Name, Flags]).

%%--------------------------------------------------------------------
%% File descriptors
%%--------------------------------------------------------------------

%% @equiv fcntl(Drv, [], FD, Op, Arg)
-spec fcntl(drv(), fd(), constant(), prctl_arg()) ->
    {ok, integer(), prctl_val()} | {error, posix()}.
fcntl(Drv, FD, Op, Arg) ->
    short(Drv, fcntl, [FD, Op, Arg]).

%% @doc Operations on a file descriptor, see fcntl(2).
%%
%% `Op' is one of {@link file_define/3}. The argument is as for {@link prctl/7}, and
%% comes back as the kernel left it:
%%
%% ```
%% {ok, 0, _} = alcove:fcntl(Drv, [Pid], FD, f_setfd, alcove:define(Drv, fd_cloexec))
%% '''
-spec fcntl(drv(), fork_path(), fd(), constant(), prctl_arg()) ->
    {ok, integer(), prctl_val()} | {error, posix()}.
fcntl(Drv, Pids, FD, Op, Arg) ->
    full(Drv, Pids, fcntl, [FD, Op, Arg]).

%% @equiv ioctl(Drv, [], FD, Request, Arg)
-spec ioctl(drv(), fd(), constant(), prctl_arg()) ->
    {ok, integer(), prctl_val()} | {error, posix()}.
ioctl(Drv, FD, Request, Arg) ->
    short(Drv, ioctl, [FD, Request, Arg]).

%% @doc Operations on a device, see ioctl(2).
%%
%% `Request' is an integer or one of {@link ioctl_define/3}. The argument is as for
%% {@link prctl/7}, and comes back as the kernel left it.
-spec ioctl(drv(), fork_path(), fd(), constant(), prctl_arg()) ->
    {ok, integer(), prctl_val()} | {error, posix()}.
ioctl(Drv, Pids, FD, Request, Arg) ->
    full(Drv, Pids, ioctl, [FD, Request, Arg]).

%% @equiv dup(Drv, [], FD)
-spec dup(drv(), fd()) -> {ok, fd()} | {error, posix()}.
dup(Drv, FD) ->
    short(Drv, dup, [FD]).

%% @doc Duplicates a file descriptor, see dup(2).
-spec dup(drv(), fork_path(), fd()) -> {ok, fd()} | {error, posix()}.
dup(Drv, Pids, FD) ->
    full(Drv, Pids, dup, [FD]).

%% @equiv dup2(Drv, [], FD, To)
-spec dup2(drv(), fd(), fd()) -> {ok, fd()} | {error, posix()}.
dup2(Drv, FD, To) ->
    short(Drv, dup2, [FD, To]).

%% @doc Makes `To' what `FD' is, see dup2(2). 0 to 2 are the streams that a program
%% inherits.
-spec dup2(drv(), fork_path(), fd(), fd()) -> {ok, fd()} | {error, posix()}.
dup2(Drv, Pids, FD, To) ->
    full(Drv, Pids, dup2, [FD, To]).

%% @equiv pipe(Drv, [])
-spec pipe(drv()) -> {ok, Reader :: fd(), Writer :: fd()} | {error, posix()}.
pipe(Drv) ->
    short(Drv, pipe, []).

%% @doc Makes a pipe, see pipe(2).
-spec pipe(drv(), fork_path()) -> {ok, Reader :: fd(), Writer :: fd()} | {error, posix()}.
pipe(Drv, Pids) ->
    full(Drv, Pids, pipe, []).

%% @equiv ftruncate(Drv, [], FD, Length)
-spec ftruncate(drv(), fd(), integer()) -> ok | {error, posix()}.
ftruncate(Drv, FD, Length) ->
    short(Drv, ftruncate, [FD, Length]).

%% @doc Sets the size of an open file, see ftruncate(2).
-spec ftruncate(drv(), fork_path(), fd(), integer()) -> ok | {error, posix()}.
ftruncate(Drv, Pids, FD, Length) ->
    full(Drv, Pids, ftruncate, [FD, Length]).

%% @equiv fsync(Drv, [], FD)
-spec fsync(drv(), fd()) -> ok | {error, posix()}.
fsync(Drv, FD) ->
    short(Drv, fsync, [FD]).

%% @doc Waits until an open file is on its disk, see fsync(2).
-spec fsync(drv(), fork_path(), fd()) -> ok | {error, posix()}.
fsync(Drv, Pids, FD) ->
    full(Drv, Pids, fsync, [FD]).

%% @equiv pread(Drv, [], FD, Count, Offset)
-spec pread(drv(), fd(), non_neg_integer(), integer()) -> {ok, binary()} | {error, posix()}.
pread(Drv, FD, Count, Offset) ->
    short(Drv, pread, [FD, Count, Offset]).

%% @doc As {@link read/4}, from a place in the file, see pread(2).
-spec pread(drv(), fork_path(), fd(), non_neg_integer(), integer()) ->
    {ok, binary()} | {error, posix()}.
pread(Drv, Pids, FD, Count, Offset) ->
    full(Drv, Pids, pread, [FD, Count, Offset]).

%% @equiv pwrite(Drv, [], FD, Data, Offset)
-spec pwrite(drv(), fd(), iodata(), integer()) -> {ok, non_neg_integer()} | {error, posix()}.
pwrite(Drv, FD, Data, Offset) ->
    short(Drv, pwrite, [FD, Data, Offset]).

%% @doc As {@link write/4}, to a place in the file, see pwrite(2).
-spec pwrite(drv(), fork_path(), fd(), iodata(), integer()) ->
    {ok, non_neg_integer()} | {error, posix()}.
pwrite(Drv, Pids, FD, Data, Offset) ->
    full(Drv, Pids, pwrite, [FD, Data, Offset]).

%% @equiv poll(Drv, [], FDs, Timeout)
-spec poll(drv(), [{fd(), Events :: flags()}], timeout() | -1) ->
    {ok, [{fd(), [Event :: atom()]}]} | {error, posix()}.
poll(Drv, FDs, Timeout) ->
    short(Drv, poll, [FDs, Timeout]).

%% @doc Waits until something happens to one of the file descriptors, see poll(2).
%%
%% Events are those of {@link poll_define/3}; the reply has the descriptors to which
%% something happened, and what: `[{4, [pollin, pollhup]}]', or `[]' after `Timeout'
%% milliseconds. A trapped signal ends the wait with `{error, eintr}'.
-spec poll(drv(), fork_path(), [{fd(), Events :: flags()}], timeout() | -1) ->
    {ok, [{fd(), [Event :: atom()]}]} | {error, posix()}.
poll(Drv, Pids, FDs, Timeout) ->
    full(Drv, Pids, poll, [FDs, Timeout]).

%% @equiv openpty(Drv, [])
-spec openpty(drv()) -> {ok, Master :: fd(), Slave :: fd(), Name :: binary()} | {error, posix()}.
openpty(Drv) ->
    short(Drv, openpty, []).

%% @doc Makes a pseudo-terminal, see openpty(3).
%%
%% A program in a session of its own whose streams are the slave has it as its
%% terminal. What it writes can be read from the master:
%%
%% ```
%% {ok, Master, Slave, _} = alcove:openpty(Drv, [A]),
%% {ok, B} = alcove:spawn(Drv, [A], fork, [
%%     {close, [Master]},
%%     {setsid, []},
%%     {ioctl, [Slave, tiocsctty, 0]},
%%     {dup2, [Slave, 0]},
%%     {dup2, [Slave, 1]},
%%     {dup2, [Slave, 2]},
%%     {close, [Slave]},
%%     {execvp, ["sh", ["sh", "-i"]]}
%% ]),
%% ok = alcove:close(Drv, [A], Slave),
%% {ok, Prompt} = alcove:read(Drv, [A], Master, 4096)
%% '''
%%
%% The size of its window is set by `tiocswinsz' of {@link ioctl/5}, with
%% `<<Rows:16/native, Columns:16/native, 0:32>>'.
-spec openpty(drv(), fork_path()) ->
    {ok, Master :: fd(), Slave :: fd(), Name :: binary()} | {error, posix()}.
openpty(Drv, Pids) ->
    full(Drv, Pids, openpty, []).

%%--------------------------------------------------------------------
%% Mounts and confinement
%%--------------------------------------------------------------------

%% @equiv pivot_root(Drv, [], NewRoot, PutOld)
-spec pivot_root(drv(), path(), path()) -> ok | {error, posix()}.
pivot_root(Drv, NewRoot, PutOld) ->
    short(Drv, pivot_root, [NewRoot, PutOld]).

%% @doc Makes a mount point the root and puts the old root at another, see pivot_root(2).
%% Linux only.
%%
%% Unlike after {@link chroot/3}, the old root can be unmounted, and then nothing leads
%% out: `umount2(Drv, Pids, PutOld, mnt_detach)'.
-spec pivot_root(drv(), fork_path(), path(), path()) -> ok | {error, posix()}.
pivot_root(Drv, Pids, NewRoot, PutOld) ->
    full(Drv, Pids, pivot_root, [NewRoot, PutOld]).

%% @equiv umount2(Drv, [], Path, Flags)
-spec umount2(drv(), path(), flags()) -> ok | {error, posix()}.
umount2(Drv, Path, Flags) ->
    short(Drv, umount2, [Path, Flags]).

%% @doc Unmounts a file system, see umount2(2). Linux only. `Flags' are `mnt_detach',
%% `mnt_force', `mnt_expire' and `umount_nofollow'.
-spec umount2(drv(), fork_path(), path(), flags()) -> ok | {error, posix()}.
umount2(Drv, Pids, Path, Flags) ->
    full(Drv, Pids, umount2, [Path, Flags]).

%% @equiv mount_setattr(Drv, [], DirFD, Path, Flags, Set, Clear, Propagation, UserNS)
-spec mount_setattr(drv(), dirfd(), path(), flags(), flags(), flags(), flags(), fd()) ->
    ok | {error, posix()}.
mount_setattr(Drv, DirFD, Path, Flags, Set, Clear, Propagation, UserNS) ->
    short(Drv, mount_setattr, [DirFD, Path, Flags, Set, Clear, Propagation, UserNS]).

%% @doc Changes the attributes of a mount, see mount_setattr(2). Linux only.
%%
%% With the flag `at_recursive' of all mounts below it, too. `Set' and `Clear' are
%% attributes as `mount_attr_rdonly'; `Propagation' is 0 or one of `ms_private',
%% `ms_slave', `ms_shared', `ms_unbindable'; `UserNS' is 0 but for `mount_attr_idmap'.
-spec mount_setattr(
    drv(), fork_path(), dirfd(), path(), flags(), flags(), flags(), flags(), fd()
) ->
    ok | {error, posix()}.
mount_setattr(Drv, Pids, DirFD, Path, Flags, Set, Clear, Propagation, UserNS) ->
    full(Drv, Pids, mount_setattr, [DirFD, Path, Flags, Set, Clear, Propagation, UserNS]).

%% @equiv open_tree(Drv, [], DirFD, Path, Flags)
-spec open_tree(drv(), dirfd(), path(), flags()) -> {ok, fd()} | {error, posix()}.
open_tree(Drv, DirFD, Path, Flags) ->
    short(Drv, open_tree, [DirFD, Path, Flags]).

%% @doc A mount as a file descriptor, see open_tree(2). Linux only.
%%
%% With `open_tree_clone' it is a copy, which isn't mounted until {@link move_mount/7}.
-spec open_tree(drv(), fork_path(), dirfd(), path(), flags()) -> {ok, fd()} | {error, posix()}.
open_tree(Drv, Pids, DirFD, Path, Flags) ->
    full(Drv, Pids, open_tree, [DirFD, Path, Flags]).

%% @equiv move_mount(Drv, [], FromFD, From, ToFD, To, Flags)
-spec move_mount(drv(), dirfd(), path(), dirfd(), path(), flags()) -> ok | {error, posix()}.
move_mount(Drv, FromFD, From, ToFD, To, Flags) ->
    short(Drv, move_mount, [FromFD, From, ToFD, To, Flags]).

%% @doc Puts a mount somewhere, see move_mount(2). Linux only.
%%
%% For the result of {@link open_tree/5} or {@link fsmount/5}, `From' is "" and the flag
%% `move_mount_f_empty_path'.
-spec move_mount(drv(), fork_path(), dirfd(), path(), dirfd(), path(), flags()) ->
    ok | {error, posix()}.
move_mount(Drv, Pids, FromFD, From, ToFD, To, Flags) ->
    full(Drv, Pids, move_mount, [FromFD, From, ToFD, To, Flags]).

%% @equiv fsopen(Drv, [], FSType, Flags)
-spec fsopen(drv(), iodata(), flags()) -> {ok, fd()} | {error, posix()}.
fsopen(Drv, FSType, Flags) ->
    short(Drv, fsopen, [FSType, Flags]).

%% @doc Begins to configure a file system, see fsopen(2). Linux only.
-spec fsopen(drv(), fork_path(), iodata(), flags()) -> {ok, fd()} | {error, posix()}.
fsopen(Drv, Pids, FSType, Flags) ->
    full(Drv, Pids, fsopen, [FSType, Flags]).

%% @equiv fsconfig(Drv, [], FD, Command, Key, Value, Aux)
-spec fsconfig(drv(), fd(), constant(), iodata(), prctl_arg(), integer()) -> ok | {error, posix()}.
fsconfig(Drv, FD, Command, Key, Value, Aux) ->
    short(Drv, fsconfig, [FD, Command, Key, Value, Aux]).

%% @doc Configures a file system that {@link fsopen/4} opened, see fsconfig(2). Linux
%% only.
%%
%% An empty key is none, and 0 no value:
%%
%% ```
%% {ok, FS} = alcove:fsopen(Drv, [Pid], "tmpfs", fsopen_cloexec),
%% ok = alcove:fsconfig(Drv, [Pid], FS, fsconfig_set_string, "size", "1m", 0),
%% ok = alcove:fsconfig(Drv, [Pid], FS, fsconfig_cmd_create, "", 0, 0),
%% {ok, Mount} = alcove:fsmount(Drv, [Pid], FS, fsmount_cloexec, 0),
%% ok = alcove:move_mount(Drv, [Pid], Mount, "", at_fdcwd, "/mnt", move_mount_f_empty_path)
%% '''
-spec fsconfig(drv(), fork_path(), fd(), constant(), iodata(), prctl_arg(), integer()) ->
    ok | {error, posix()}.
fsconfig(Drv, Pids, FD, Command, Key, Value, Aux) ->
    full(Drv, Pids, fsconfig, [FD, Command, Key, Value, Aux]).

%% @equiv fsmount(Drv, [], FD, Flags, Attr)
-spec fsmount(drv(), fd(), flags(), flags()) -> {ok, fd()} | {error, posix()}.
fsmount(Drv, FD, Flags, Attr) ->
    short(Drv, fsmount, [FD, Flags, Attr]).

%% @doc A mount of a file system that was configured, see fsmount(2). Linux only.
-spec fsmount(drv(), fork_path(), fd(), flags(), flags()) -> {ok, fd()} | {error, posix()}.
fsmount(Drv, Pids, FD, Flags, Attr) ->
    full(Drv, Pids, fsmount, [FD, Flags, Attr]).

%% @equiv setns_fd(Drv, [], FD, Type)
-spec setns_fd(drv(), fd(), flags()) -> ok | {error, posix()}.
setns_fd(Drv, FD, Type) ->
    short(Drv, setns_fd, [FD, Type]).

%% @doc Enters namespaces by a file descriptor, see setns(2). Linux only.
%%
%% `FD' is a namespace that was opened, and `Type' what kind of one it must be, or 0; or
%% it is a process ({@link pidfd_open/4}), and `Type' says which of its namespaces are
%% entered, all of them or none:
%%
%% ```
%% {ok, FD} = alcove:pidfd_open(Drv, Pids, 1234, 0),
%% ok = alcove:setns_fd(Drv, Pids, FD, [clone_newnet, clone_newns])
%% '''
-spec setns_fd(drv(), fork_path(), fd(), flags()) -> ok | {error, posix()}.
setns_fd(Drv, Pids, FD, Type) ->
    full(Drv, Pids, setns_fd, [FD, Type]).

%% @equiv landlock_abi(Drv, [])
-spec landlock_abi(drv()) -> {ok, pos_integer()} | {error, posix()}.
landlock_abi(Drv) ->
    short(Drv, landlock_abi, []).

%% @doc The version of Landlock that the kernel has, see landlock(7). Linux only.
%%
%% `{error, enosys}' or `{error, enotsup}' when it has none.
-spec landlock_abi(drv(), fork_path()) -> {ok, pos_integer()} | {error, posix()}.
landlock_abi(Drv, Pids) ->
    full(Drv, Pids, landlock_abi, []).

%% @equiv landlock_create_ruleset(Drv, [], FS, Net, Scoped)
-spec landlock_create_ruleset(drv(), flags(), flags(), flags()) -> {ok, fd()} | {error, posix()}.
landlock_create_ruleset(Drv, FS, Net, Scoped) ->
    short(Drv, landlock_create_ruleset, [FS, Net, Scoped]).

%% @doc What Landlock is to refuse unless a rule allows it, see landlock_create_ruleset(2).
%% Linux only.
%%
%% The rights are those of {@link landlock_define/3}, or 0 for none. An error tells that
%% this kernel doesn't know one of them.
%%
%% ```
%% {ok, Rules} = alcove:landlock_create_ruleset(Drv, [Pid],
%%     [landlock_access_fs_write_file, landlock_access_fs_make_reg], 0, 0),
%% {ok, Dir} = alcove:open(Drv, [Pid], "/tmp", [o_path, o_cloexec], 0),
%% ok = alcove:landlock_add_rule(Drv, [Pid], Rules, landlock_rule_path_beneath,
%%     [landlock_access_fs_write_file, landlock_access_fs_make_reg], Dir),
%% {ok, _, _, _, _, _} = alcove:prctl(Drv, [Pid], pr_set_no_new_privs, 1, 0, 0, 0),
%% ok = alcove:landlock_restrict_self(Drv, [Pid], Rules, 0)
%% '''
-spec landlock_create_ruleset(drv(), fork_path(), flags(), flags(), flags()) ->
    {ok, fd()} | {error, posix()}.
landlock_create_ruleset(Drv, Pids, FS, Net, Scoped) ->
    full(Drv, Pids, landlock_create_ruleset, [FS, Net, Scoped]).

%% @equiv landlock_add_rule(Drv, [], Ruleset, Rule, Access, Object)
-spec landlock_add_rule(drv(), fd(), constant(), flags(), non_neg_integer()) ->
    ok | {error, posix()}.
landlock_add_rule(Drv, Ruleset, Rule, Access, Object) ->
    short(Drv, landlock_add_rule, [Ruleset, Rule, Access, Object]).

%% @doc Allows something, see landlock_add_rule(2). Linux only.
%%
%% `Object' is the file descriptor of a file or directory for `landlock_rule_path_beneath',
%% and a port for `landlock_rule_net_port'.
-spec landlock_add_rule(drv(), fork_path(), fd(), constant(), flags(), non_neg_integer()) ->
    ok | {error, posix()}.
landlock_add_rule(Drv, Pids, Ruleset, Rule, Access, Object) ->
    full(Drv, Pids, landlock_add_rule, [Ruleset, Rule, Access, Object]).

%% @equiv landlock_restrict_self(Drv, [], Ruleset, Flags)
-spec landlock_restrict_self(drv(), fd(), flags()) -> ok | {error, posix()}.
landlock_restrict_self(Drv, Ruleset, Flags) ->
    short(Drv, landlock_restrict_self, [Ruleset, Flags]).

%% @doc Restricts the process, what it forks and what they exec, for good, see
%% landlock_restrict_self(2). Linux only.
%%
%% The process needs `pr_set_no_new_privs' of {@link prctl/7}, or CAP_SYS_ADMIN.
-spec landlock_restrict_self(drv(), fork_path(), fd(), flags()) -> ok | {error, posix()}.
landlock_restrict_self(Drv, Pids, Ruleset, Flags) ->
    full(Drv, Pids, landlock_restrict_self, [Ruleset, Flags]).

%%--------------------------------------------------------------------
%% Processes
%%--------------------------------------------------------------------

%% @equiv getppid(Drv, [])
-spec getppid(drv()) -> os_pid().
getppid(Drv) ->
    short(Drv, getppid, []).

%% @doc The process id of the parent, see getppid(2); 0 when that is in another pid
%% namespace.
-spec getppid(drv(), fork_path()) -> os_pid().
getppid(Drv, Pids) ->
    full(Drv, Pids, getppid, []).

%% @equiv getpgid(Drv, [], Pid)
-spec getpgid(drv(), integer()) -> {ok, os_pid()} | {error, posix()}.
getpgid(Drv, Pid) ->
    short(Drv, getpgid, [Pid]).

%% @doc The process group of a process, see getpgid(2); 0 is the calling process.
-spec getpgid(drv(), fork_path(), integer()) -> {ok, os_pid()} | {error, posix()}.
getpgid(Drv, Pids, Pid) ->
    full(Drv, Pids, getpgid, [Pid]).

%% @equiv getpriority(Drv, [], Which, Who)
-spec getpriority(drv(), constant(), non_neg_integer()) -> {ok, integer()} | {error, posix()}.
getpriority(Drv, Which, Who) ->
    short(Drv, getpriority, [Which, Who]).

%% @doc The nice value, see getpriority(2).
%%
%% `Which' is `prio_process', `prio_pgrp' or `prio_user'; 0 for `Who' is the calling
%% process, its group or its user.
-spec getpriority(drv(), fork_path(), constant(), non_neg_integer()) ->
    {ok, integer()} | {error, posix()}.
getpriority(Drv, Pids, Which, Who) ->
    full(Drv, Pids, getpriority, [Which, Who]).

%% @equiv setpriority(Drv, [], Which, Who, Priority)
-spec setpriority(drv(), constant(), non_neg_integer(), integer()) -> ok | {error, posix()}.
setpriority(Drv, Which, Who, Priority) ->
    short(Drv, setpriority, [Which, Who, Priority]).

%% @doc Sets the nice value, see setpriority(2) and {@link getpriority/4}.
-spec setpriority(drv(), fork_path(), constant(), non_neg_integer(), integer()) ->
    ok | {error, posix()}.
setpriority(Drv, Pids, Which, Who, Priority) ->
    full(Drv, Pids, setpriority, [Which, Who, Priority]).

%% @equiv waitpid(Drv, [], Pid, Options)
-spec waitpid(drv(), integer(), flags()) ->
    {ok, os_pid() | 0, Status :: integer(), [wait_status()]} | {error, posix()}.
waitpid(Drv, Pid, Options) ->
    short(Drv, waitpid, [Pid, Options]).

%% @doc Waits for a child, see waitpid(2).
%%
%% `Pid' is -1 for any child. `Options' are `wnohang', `wuntraced', `wcontinued', or 0.
%% `{ok, 0, 0, []}' when `wnohang' found nothing.
%%
%% alcove reaps children as they end, so this finds one that ends during the call. While
%% `sigchld' is trapped (see {@link sigaction/4}), it finds those that ended before as
%% well: the latest 1024 statuses are kept, also of stops of a traced process, without
%% their process groups: of a group (0, or less than -1) only what ends during the call is
%% found. The events `{exit_status, N}' and `{termsig, Signal}' come in either case.
-spec waitpid(drv(), fork_path(), integer(), flags()) ->
    {ok, os_pid() | 0, Status :: integer(), [wait_status()]} | {error, posix()}.
waitpid(Drv, Pids, Pid, Options) ->
    full(Drv, Pids, waitpid, [Pid, Options]).

%% @equiv fexecve(Drv, [], FD, Argv, Env)
-spec fexecve(drv(), fd(), [iodata()], [iodata()]) -> ok | {error, posix()}.
fexecve(Drv, FD, Argv, Env) ->
    short(Drv, fexecve, [FD, Argv, Env]).

%% @doc As {@link execve/5}, of a program that is open, see fexecve(3).
%%
%% A program that was opened with `o_cloexec' can't be a script.
-spec fexecve(drv(), fork_path(), fd(), [iodata()], [iodata()]) -> ok | {error, posix()}.
fexecve(Drv, Pids, FD, Argv, Env) ->
    full(Drv, Pids, fexecve, [FD, Argv, Env]).

%% @equiv setproctitle(Drv, [], Title)
-spec setproctitle(drv(), iodata()) -> ok | {error, posix()}.
setproctitle(Drv, Title) ->
    short(Drv, setproctitle, [Title]).

%% @doc Sets what ps(1) shows as the command of the process, see setproctitle(3). Linux
%% only.
%%
%% The text is cut off if it is longer than the arguments and the environment that alcove was
%% started with, as it is stored in their place.
-spec setproctitle(drv(), fork_path(), iodata()) -> ok | {error, posix()}.
setproctitle(Drv, Pids, Title) ->
    full(Drv, Pids, setproctitle, [Title]).

%% @equiv sched_getaffinity(Drv, [], Pid)
-spec sched_getaffinity(drv(), integer()) -> {ok, [CPU :: non_neg_integer()]} | {error, posix()}.
sched_getaffinity(Drv, Pid) ->
    short(Drv, sched_getaffinity, [Pid]).

%% @doc The processors that a process may run on, see sched_getaffinity(2); 0 is the
%% calling process. Linux only.
-spec sched_getaffinity(drv(), fork_path(), integer()) ->
    {ok, [CPU :: non_neg_integer()]} | {error, posix()}.
sched_getaffinity(Drv, Pids, Pid) ->
    full(Drv, Pids, sched_getaffinity, [Pid]).

%% @equiv sched_setaffinity(Drv, [], Pid, CPUs)
-spec sched_setaffinity(drv(), integer(), [non_neg_integer()]) -> ok | {error, posix()}.
sched_setaffinity(Drv, Pid, CPUs) ->
    short(Drv, sched_setaffinity, [Pid, CPUs]).

%% @doc Sets the processors that a process may run on, see sched_setaffinity(2); 0 is
%% the calling process. Linux only.
-spec sched_setaffinity(drv(), fork_path(), integer(), [non_neg_integer()]) ->
    ok | {error, posix()}.
sched_setaffinity(Drv, Pids, Pid, CPUs) ->
    full(Drv, Pids, sched_setaffinity, [Pid, CPUs]).

%% @equiv getrusage(Drv, [], Who)
-spec getrusage(drv(), constant()) -> {ok, rusage()} | {error, posix()}.
getrusage(Drv, Who) ->
    short(Drv, getrusage, [Who]).

%% @doc What was used of the machine, see getrusage(2).
%%
%% `Who' is `rusage_self', or `rusage_children' for children that have ended. `utime' and
%% `stime' are each an `#alcove_timeval{}'; the rest is as in the structure of getrusage(2).
-spec getrusage(drv(), fork_path(), constant()) -> {ok, rusage()} | {error, posix()}.
getrusage(Drv, Pids, Who) ->
    full(Drv, Pids, getrusage, [Who]).

%% @equiv ptrace(Drv, [], Request, Pid, Addr, Data)
-spec ptrace(drv(), constant(), integer(), prctl_arg(), prctl_arg()) ->
    {ok, integer(), prctl_val(), prctl_val()} | {error, posix()}.
ptrace(Drv, Request, Pid, Addr, Data) ->
    short(Drv, ptrace, [Request, Pid, Addr, Data]).

%% @doc Traces a process, see ptrace(2). Linux only.
%%
%% `Request' is one of {@link process_define/3}. `Addr' and `Data' are as for {@link
%% prctl/7} and come back as the kernel left them. An ordinary user can trace an event
%% loop only after its `pr_set_dumpable' of {@link prctl/7}. Trap `sigchld' before: {@link
%% waitpid/4} then tells that the process has stopped, and `Status bsr 16' which event
%% (`ptrace_event_exec') it was.
-spec ptrace(drv(), fork_path(), constant(), integer(), prctl_arg(), prctl_arg()) ->
    {ok, integer(), prctl_val(), prctl_val()} | {error, posix()}.
ptrace(Drv, Pids, Request, Pid, Addr, Data) ->
    full(Drv, Pids, ptrace, [Request, Pid, Addr, Data]).

%% @equiv pidfd_open(Drv, [], Pid, Flags)
-spec pidfd_open(drv(), integer(), flags()) -> {ok, fd()} | {error, posix()}.
pidfd_open(Drv, Pid, Flags) ->
    short(Drv, pidfd_open, [Pid, Flags]).

%% @doc A process as a file descriptor, see pidfd_open(2). Linux only. It can be read
%% ({@link poll/4}) when the process has ended.
-spec pidfd_open(drv(), fork_path(), integer(), flags()) -> {ok, fd()} | {error, posix()}.
pidfd_open(Drv, Pids, Pid, Flags) ->
    full(Drv, Pids, pidfd_open, [Pid, Flags]).

%% @equiv pidfd_send_signal(Drv, [], PidFD, Signal, Flags)
-spec pidfd_send_signal(drv(), fd(), constant(), flags()) -> ok | {error, posix()}.
pidfd_send_signal(Drv, PidFD, Signal, Flags) ->
    short(Drv, pidfd_send_signal, [PidFD, Signal, Flags]).

%% @doc Sends a signal to a process that is held by a file descriptor, see
%% pidfd_send_signal(2). Linux only.
-spec pidfd_send_signal(drv(), fork_path(), fd(), constant(), flags()) -> ok | {error, posix()}.
pidfd_send_signal(Drv, Pids, PidFD, Signal, Flags) ->
    full(Drv, Pids, pidfd_send_signal, [PidFD, Signal, Flags]).

%%--------------------------------------------------------------------
%% Sockets
%%--------------------------------------------------------------------

%% @equiv socket(Drv, [], Domain, Type, Protocol)
-spec socket(drv(), constant(), flags(), constant()) -> {ok, fd()} | {error, posix()}.
socket(Drv, Domain, Type, Protocol) ->
    short(Drv, socket, [Domain, Type, Protocol]).

%% @doc Makes a socket, see socket(2). The names are those of {@link socket_define/3}:
%% `af_unix', `[sock_stream, sock_cloexec]', 0.
-spec socket(drv(), fork_path(), constant(), flags(), constant()) -> {ok, fd()} | {error, posix()}.
socket(Drv, Pids, Domain, Type, Protocol) ->
    full(Drv, Pids, socket, [Domain, Type, Protocol]).

%% @equiv socketpair(Drv, [], Domain, Type, Protocol)
-spec socketpair(drv(), constant(), flags(), constant()) -> {ok, fd(), fd()} | {error, posix()}.
socketpair(Drv, Domain, Type, Protocol) ->
    short(Drv, socketpair, [Domain, Type, Protocol]).

%% @doc Makes two sockets that are connected, see socketpair(2). A process and its
%% child that inherits one of them can pass file descriptors, see {@link
%% sendmsg/6}.
-spec socketpair(drv(), fork_path(), constant(), flags(), constant()) ->
    {ok, fd(), fd()} | {error, posix()}.
socketpair(Drv, Pids, Domain, Type, Protocol) ->
    full(Drv, Pids, socketpair, [Domain, Type, Protocol]).

%% @equiv connect(Drv, [], FD, Address)
-spec connect(drv(), fd(), sockaddr()) -> ok | {error, posix()}.
connect(Drv, FD, Address) ->
    short(Drv, connect, [FD, Address]).

%% @doc Connects a socket, see connect(2).
-spec connect(drv(), fork_path(), fd(), sockaddr()) -> ok | {error, posix()}.
connect(Drv, Pids, FD, Address) ->
    full(Drv, Pids, connect, [FD, Address]).

%% @equiv bind(Drv, [], FD, Address)
-spec bind(drv(), fd(), sockaddr()) -> ok | {error, posix()}.
bind(Drv, FD, Address) ->
    short(Drv, bind, [FD, Address]).

%% @doc Gives a socket an address, see bind(2).
-spec bind(drv(), fork_path(), fd(), sockaddr()) -> ok | {error, posix()}.
bind(Drv, Pids, FD, Address) ->
    full(Drv, Pids, bind, [FD, Address]).

%% @equiv listen(Drv, [], FD, Backlog)
-spec listen(drv(), fd(), integer()) -> ok | {error, posix()}.
listen(Drv, FD, Backlog) ->
    short(Drv, listen, [FD, Backlog]).

%% @doc Has a socket take connections, see listen(2).
-spec listen(drv(), fork_path(), fd(), integer()) -> ok | {error, posix()}.
listen(Drv, Pids, FD, Backlog) ->
    full(Drv, Pids, listen, [FD, Backlog]).

%% @equiv accept(Drv, [], FD)
-spec accept(drv(), fd()) -> {ok, fd(), sockaddr()} | {error, posix()}.
accept(Drv, FD) ->
    short(Drv, accept, [FD]).

%% @doc Waits for a connection, see accept(2). The process answers nothing else
%% meanwhile.
-spec accept(drv(), fork_path(), fd()) -> {ok, fd(), sockaddr()} | {error, posix()}.
accept(Drv, Pids, FD) ->
    full(Drv, Pids, accept, [FD]).

%% @equiv getsockname(Drv, [], FD)
-spec getsockname(drv(), fd()) -> {ok, sockaddr()} | {error, posix()}.
getsockname(Drv, FD) ->
    short(Drv, getsockname, [FD]).

%% @doc The address of a socket, see getsockname(2).
-spec getsockname(drv(), fork_path(), fd()) -> {ok, sockaddr()} | {error, posix()}.
getsockname(Drv, Pids, FD) ->
    full(Drv, Pids, getsockname, [FD]).

%% @equiv getpeername(Drv, [], FD)
-spec getpeername(drv(), fd()) -> {ok, sockaddr()} | {error, posix()}.
getpeername(Drv, FD) ->
    short(Drv, getpeername, [FD]).

%% @doc The address that a socket is connected to, see getpeername(2).
-spec getpeername(drv(), fork_path(), fd()) -> {ok, sockaddr()} | {error, posix()}.
getpeername(Drv, Pids, FD) ->
    full(Drv, Pids, getpeername, [FD]).

%% @equiv getsockopt(Drv, [], FD, Level, Name, Count)
-spec getsockopt(drv(), fd(), constant(), constant(), non_neg_integer()) ->
    {ok, binary()} | {error, posix()}.
getsockopt(Drv, FD, Level, Name, Count) ->
    short(Drv, getsockopt, [FD, Level, Name, Count]).

%% @doc The value of an option of a socket, of at most `Count' bytes, see
%% getsockopt(2).
-spec getsockopt(drv(), fork_path(), fd(), constant(), constant(), non_neg_integer()) ->
    {ok, binary()} | {error, posix()}.
getsockopt(Drv, Pids, FD, Level, Name, Count) ->
    full(Drv, Pids, getsockopt, [FD, Level, Name, Count]).

%% @equiv setsockopt(Drv, [], FD, Level, Name, Value)
-spec setsockopt(drv(), fd(), constant(), constant(), iodata()) -> ok | {error, posix()}.
setsockopt(Drv, FD, Level, Name, Value) ->
    short(Drv, setsockopt, [FD, Level, Name, Value]).

%% @doc Sets an option of a socket, see setsockopt(2).
%%
%% ```
%% ok = alcove:setsockopt(Drv, [Pid], FD, sol_socket, so_reuseaddr, <<1:32/native>>)
%% '''
-spec setsockopt(drv(), fork_path(), fd(), constant(), constant(), iodata()) ->
    ok | {error, posix()}.
setsockopt(Drv, Pids, FD, Level, Name, Value) ->
    full(Drv, Pids, setsockopt, [FD, Level, Name, Value]).

%% @equiv shutdown(Drv, [], FD, How)
-spec shutdown(drv(), fd(), constant()) -> ok | {error, posix()}.
shutdown(Drv, FD, How) ->
    short(Drv, shutdown, [FD, How]).

%% @doc Ends a connection in one direction or both, see shutdown(2): `shut_rd',
%% `shut_wr', `shut_rdwr'.
-spec shutdown(drv(), fork_path(), fd(), constant()) -> ok | {error, posix()}.
shutdown(Drv, Pids, FD, How) ->
    full(Drv, Pids, shutdown, [FD, How]).

%% @equiv sendmsg(Drv, [], FD, Data, FDs, Flags)
-spec sendmsg(drv(), fd(), iodata(), [fd()], flags()) -> {ok, non_neg_integer()} | {error, posix()}.
sendmsg(Drv, FD, Data, FDs, Flags) ->
    short(Drv, sendmsg, [FD, Data, FDs, Flags]).

%% @doc Sends bytes, and file descriptors with them, see sendmsg(2).
%%
%% File descriptors go through sockets of `af_unix' only, with at least one byte.
-spec sendmsg(drv(), fork_path(), fd(), iodata(), [fd()], flags()) ->
    {ok, non_neg_integer()} | {error, posix()}.
sendmsg(Drv, Pids, FD, Data, FDs, Flags) ->
    full(Drv, Pids, sendmsg, [FD, Data, FDs, Flags]).

%% @equiv recvmsg(Drv, [], FD, Count, Flags)
-spec recvmsg(drv(), fd(), non_neg_integer(), flags()) ->
    {ok, binary(), [fd()], Flags :: integer()} | {error, posix()}.
recvmsg(Drv, FD, Count, Flags) ->
    short(Drv, recvmsg, [FD, Count, Flags]).

%% @doc Receives at most `Count' bytes and the file descriptors that come with them, see
%% recvmsg(2).
%%
%% The flags of the reply tell what had no room: `msg_trunc', `msg_ctrunc'. With the flag
%% `msg_trunc' TCP discards the bytes, see tcp(7): as many zeros come.
-spec recvmsg(drv(), fork_path(), fd(), non_neg_integer(), flags()) ->
    {ok, binary(), [fd()], Flags :: integer()} | {error, posix()}.
recvmsg(Drv, Pids, FD, Count, Flags) ->
    full(Drv, Pids, recvmsg, [FD, Count, Flags]).

%%--------------------------------------------------------------------
%% Any system call
%%--------------------------------------------------------------------

%% @equiv syscall(Drv, [], Call, Args)
-spec syscall(drv(), constant(), [prctl_arg()]) ->
    {ok, integer(), [prctl_val()]} | {error, posix()}.
syscall(Drv, Call, Args) ->
    short(Drv, syscall, [Call, Args]).

%% @doc Makes any system call, see syscall(2). Linux only.
%%
%% `Call' is a number or one of {@link syscall_define/3}. There are at most six
%% arguments, each as for {@link prctl/7}; they come back as the kernel left them.
%%
%% ```
%% {ok, 0, [<<Sysname:65/binary, _/binary>>]} =
%%     alcove:syscall(Drv, [Pid], uname, [<<0:(6 * 65 * 8)>>])
%% '''
%%
%% Nothing protects the event loop here: a process that closes its control socket or
%% unmaps its memory is gone. `{error, einval}' for `fork', `vfork', `clone' and `clone3',
%% which make no event loop; for programs there is {@link execve/5}.
-spec syscall(drv(), fork_path(), constant(), [prctl_arg()]) ->
    {ok, integer(), [prctl_val()]} | {error, posix()}.
syscall(Drv, Pids, Call, Args) ->
    full(Drv, Pids, syscall, [Call, Args]).

%%--------------------------------------------------------------------
%% What only BSDs have
%%--------------------------------------------------------------------

%% @equiv pledge(Drv, [], Promises, ExecPromises)
-spec pledge(drv(), iodata(), iodata()) -> ok | {error, posix()}.
pledge(Drv, Promises, ExecPromises) ->
    short(Drv, pledge, [Promises, ExecPromises]).

%% @doc Restricts the process to promises, see pledge(2). OpenBSD only, `{error,
%% unsupported}' elsewhere.
-spec pledge(drv(), fork_path(), iodata(), iodata()) -> ok | {error, posix()}.
pledge(Drv, Pids, Promises, ExecPromises) ->
    full(Drv, Pids, pledge, [Promises, ExecPromises]).

%% @equiv unveil(Drv, [], Path, Permissions)
-spec unveil(drv(), path(), iodata()) -> ok | {error, posix()}.
unveil(Drv, Path, Permissions) ->
    short(Drv, unveil, [Path, Permissions]).

%% @doc Restricts the process to paths, see unveil(2); two empty strings end it.
%% OpenBSD only, `{error, unsupported}' elsewhere.
-spec unveil(drv(), fork_path(), path(), iodata()) -> ok | {error, posix()}.
unveil(Drv, Pids, Path, Permissions) ->
    full(Drv, Pids, unveil, [Path, Permissions]).

%% @equiv jail(Drv, [], Jail)
-spec jail(drv(), prctl_arg()) -> {ok, Jid :: integer()} | {error, posix()}.
jail(Drv, Jail) ->
    short(Drv, jail, [Jail]).

%% @doc Puts the process into a new jail, see jail(2). FreeBSD only, `{error,
%% unsupported}' elsewhere. `Jail' is a structure as for {@link prctl/7}.
-spec jail(drv(), fork_path(), prctl_arg()) -> {ok, Jid :: integer()} | {error, posix()}.
jail(Drv, Pids, Jail) ->
    full(Drv, Pids, jail, [Jail]).

%% @equiv jail_attach(Drv, [], Jid)
-spec jail_attach(drv(), integer()) -> ok | {error, posix()}.
jail_attach(Drv, Jid) ->
    short(Drv, jail_attach, [Jid]).

%% @doc Puts the process into a jail, see jail_attach(2). FreeBSD only, `{error,
%% unsupported}' elsewhere.
-spec jail_attach(drv(), fork_path(), integer()) -> ok | {error, posix()}.
jail_attach(Drv, Pids, Jid) ->
    full(Drv, Pids, jail_attach, [Jid]).

%% @equiv jail_remove(Drv, [], Jid)
-spec jail_remove(drv(), integer()) -> ok | {error, posix()}.
jail_remove(Drv, Jid) ->
    short(Drv, jail_remove, [Jid]).

%% @doc Removes a jail, see jail_remove(2). FreeBSD only, `{error, unsupported}'
%% elsewhere.
-spec jail_remove(drv(), fork_path(), integer()) -> ok | {error, posix()}.
jail_remove(Drv, Pids, Jid) ->
    full(Drv, Pids, jail_remove, [Jid]).

%% @equiv cap_enter(Drv, [])
-spec cap_enter(drv()) -> ok | {error, posix()}.
cap_enter(Drv) ->
    short(Drv, cap_enter, []).

%% @doc Enters capability mode, see cap_enter(2). FreeBSD only, `{error, unsupported}'
%% elsewhere.
-spec cap_enter(drv(), fork_path()) -> ok | {error, posix()}.
cap_enter(Drv, Pids) ->
    full(Drv, Pids, cap_enter, []).

%% @equiv procctl(Drv, [], IDType, ID, Command, Data)
-spec procctl(drv(), constant(), integer(), constant(), prctl_arg()) ->
    {ok, integer(), prctl_val()} | {error, posix()}.
procctl(Drv, IDType, ID, Command, Data) ->
    short(Drv, procctl, [IDType, ID, Command, Data]).

%% @doc Controls processes, see procctl(2). FreeBSD only, `{error, unsupported}'
%% elsewhere. `Data' is as for {@link prctl/7}.
-spec procctl(drv(), fork_path(), constant(), integer(), constant(), prctl_arg()) ->
    {ok, integer(), prctl_val()} | {error, posix()}.
procctl(Drv, Pids, IDType, ID, Command, Data) ->
    full(Drv, Pids, procctl, [IDType, ID, Command, Data]).

%%--------------------------------------------------------------------
%% Network devices
%%--------------------------------------------------------------------

%% @equiv netdev_veth(Drv, [], Socket, Name, Bridge, Peer, Address, MTU)
-spec netdev_veth(drv(), fd(), iodata(), iodata(), iodata(), iodata(), non_neg_integer()) ->
    ok | {error, posix() | unsupported}.
netdev_veth(Drv, Socket, Name, Bridge, Peer, Address, MTU) ->
    short(Drv, netdev_veth, [Socket, Name, Bridge, Peer, Address, MTU]).

%% @doc Makes a pair of network devices, see veth(4). Linux only.
%%
%% `Name' is in the network namespace in which the socket was made. It is switched on and is a port
%% of the bridge, unless `Bridge' is empty. `Peer' is in the network namespace of the process. The
%% two are gone when either namespace is.
%%
%% ```
%% {ok, Host} = alcove:socket(Drv, [Pid], af_netlink, [sock_raw, sock_cloexec], netlink_route),
%% ok = alcove:unshare(Drv, [Pid], clone_newnet),
%% ok = alcove:netdev_veth(Drv, [Pid], Host, "guest1", "br0", "eth0", "", 0),
%% ok = alcove:close(Drv, [Pid], Host)
%% '''
%%
%% `Address' is that of the peer, as `"02:00:00:00:00:01"', or empty: the kernel chooses it. `MTU'
%% is the peer's, 0 for the bridge's. The bridge keeps its own address and MTU: the port has an
%% address behind all others, and the bridge's MTU.
%%
%% `{error, enodev}': there is no such device as the bridge. `{error, enotsup}': it is no bridge.
%% `{error, erange}': the MTU is larger than the bridge's. `{error, eexist}': a name is taken.
%% `{error, unsupported}': the kernel has no such devices.
-spec netdev_veth(
    drv(), fork_path(), fd(), iodata(), iodata(), iodata(), iodata(), non_neg_integer()
) ->
    ok | {error, posix() | unsupported}.
netdev_veth(Drv, Pids, Socket, Name, Bridge, Peer, Address, MTU) ->
    full(Drv, Pids, netdev_veth, [Socket, Name, Bridge, Peer, Address, MTU]).

%% @equiv netdev_up(Drv, [], Socket, Name)
-spec netdev_up(drv(), fd(), iodata()) -> ok | {error, posix()}.
netdev_up(Drv, Socket, Name) ->
    short(Drv, netdev_up, [Socket, Name]).

%% @doc Switches on a network device of the network namespace in which the socket of rtnetlink(7)
%% was made. Linux only.
%%
%% ```
%% {ok, Socket} = alcove:socket(Drv, [Pid], af_netlink, [sock_raw, sock_cloexec], netlink_route),
%% ok = alcove:netdev_address(Drv, [Pid], Socket, "eth0", "10.0.0.2/24"),
%% ok = alcove:netdev_up(Drv, [Pid], Socket, "eth0"),
%% ok = alcove:netdev_route(Drv, [Pid], Socket, "eth0", "10.0.0.1")
%% '''
%%
%% `{error, eprototype}': the descriptor is another socket.
-spec netdev_up(drv(), fork_path(), fd(), iodata()) -> ok | {error, posix()}.
netdev_up(Drv, Pids, Socket, Name) ->
    full(Drv, Pids, netdev_up, [Socket, Name]).

%% @equiv netdev_address(Drv, [], Socket, Name, Address)
-spec netdev_address(drv(), fd(), iodata(), iodata()) -> ok | {error, posix()}.
netdev_address(Drv, Socket, Name, Address) ->
    short(Drv, netdev_address, [Socket, Name, Address]).

%% @doc Gives a network device an address, as `"10.0.0.2/24"' or `"fd00::2/64"'. Linux only.
%%
%% The address is used at once: nobody asks whether another host has it. See {@link netdev_up/4}.
-spec netdev_address(drv(), fork_path(), fd(), iodata(), iodata()) -> ok | {error, posix()}.
netdev_address(Drv, Pids, Socket, Name, Address) ->
    full(Drv, Pids, netdev_address, [Socket, Name, Address]).

%% @equiv netdev_route(Drv, [], Socket, Name, Gateway)
-spec netdev_route(drv(), fd(), iodata(), iodata()) -> ok | {error, posix()}.
netdev_route(Drv, Socket, Name, Gateway) ->
    short(Drv, netdev_route, [Socket, Name, Gateway]).

%% @doc Makes a gateway that is reached by a network device the way to everywhere. Linux only.
%%
%% The device is on before, and the gateway, as `"10.0.0.1"', is in the network of one of its
%% addresses. See {@link netdev_up/4}.
-spec netdev_route(drv(), fork_path(), fd(), iodata(), iodata()) -> ok | {error, posix()}.
netdev_route(Drv, Pids, Socket, Name, Gateway) ->
    full(Drv, Pids, netdev_route, [Socket, Name, Gateway]).

%% @equiv netdev_unused(Drv, [], Socket, Address)
-spec netdev_unused(drv(), fd(), iodata()) -> ok | {error, posix()}.
netdev_unused(Drv, Socket, Address) ->
    short(Drv, netdev_unused, [Socket, Address]).

%% @doc Whether an address, as `"10.0.0.2"', isn't one of the network namespace's own in which the
%% socket of rtnetlink(7) was made: otherwise `{error, eaddrinuse}'. Linux only.
-spec netdev_unused(drv(), fork_path(), fd(), iodata()) -> ok | {error, posix()}.
netdev_unused(Drv, Pids, Socket, Address) ->
    full(Drv, Pids, netdev_unused, [Socket, Address]).

%%--------------------------------------------------------------------
%% System calls by name, and several at once
%%--------------------------------------------------------------------

%% @equiv call(Drv, [], Call, [])
-spec call(drv(), atom()) -> term().
call(Drv, Call) ->
    by_name(Drv, [], Call, [], infinity, {short, call, [Drv, Call]}).

%% @equiv call(Drv, [], Call, Argv)
-spec call(drv(), atom(), [term()]) -> term().
call(Drv, Call, Argv) ->
    by_name(Drv, [], Call, Argv, infinity, {short, call, [Drv, Call, Argv]}).

%% @equiv call(Drv, Pids, Call, Argv, infinity)
-spec call(drv(), fork_path(), atom(), [term()]) -> term().
call(Drv, Pids, Call, Argv) ->
    by_name(Drv, Pids, Call, Argv, infinity, {full, call, [Drv, Pids, Call, Argv]}).

%% @doc Makes the system call `Call' with the arguments `Argv', those of the function
%% of this name after the fork path. {@link cpid/2} and the functions that look up
%% constants can be called like this as well.
%%
%% ```
%% alcove:call(Drv, [Pid], execve, ["/bin/ls", ["ls", "-l"], ["HOME=/"]], 1000)
%% '''
%%
%% When `Timeout' milliseconds are over, the caller exits with `timeout'. The Unix
%% process isn't disturbed, and if the caller catches the exit, the reply comes as
%% the message `{alcove_call, Drv, Pids, Reply}'. A reply that was on its way to the
%% caller when the time was over has made it, and is returned.
-spec call(drv(), fork_path(), atom(), [term()], timeout()) -> term().
call(Drv, Pids, Call, Argv, Timeout) ->
    Origin = {full, call, [Drv, Pids, Call, Argv, Timeout]},
    case alcove_call:is_timeout(Timeout) of
        true -> by_name(Drv, Pids, Call, Argv, Timeout, Origin);
        false -> refuse({'$badarg', timeout}, Origin)
    end.

by_name(Drv, Pids, setns, [FD, Type], Timeout, Origin) ->
    by_name(Drv, Pids, setns_fd, [FD, Type], Timeout, Origin);
by_name(Drv, Pids, Call, Argv, Timeout, Origin) ->
    case outcome(Drv, Pids, {call, Call, Argv}, Timeout) of
        {'$badarg', undef} = Refused -> in_vm(Drv, Pids, Call, Argv, Timeout, Refused, Origin);
        Outcome -> reply(Outcome, Origin)
    end.

%% Functions that aren't calls of a process, but look like it.
in_vm(Drv, Pids, cpid, [], Timeout, _Refused, Origin) ->
    children(Drv, Pids, Timeout, Origin);
in_vm(Drv, Pids, Call, [Arg], _Timeout, Refused, Origin) ->
    Defines = [
        {list_to_atom(lists:concat([Group, "_define"])), Group}
     || Group <- alcove_nif:groups()
    ],
    case lists:keyfind(Call, 1, [{define, all} | Defines]) of
        {Call, Group} -> constant(Drv, Pids, Group, Arg, Origin);
        false when Call =:= signal_constant -> signal_name(Drv, Pids, Arg, Origin);
        false when Call =:= errno_id -> errno_name(Drv, Pids, Arg, Origin);
        false -> refuse(Refused, Origin)
    end;
in_vm(_Drv, _Pids, _Call, _Argv, _Timeout, Refused, Origin) ->
    refuse(Refused, Origin).

%% @equiv batch(Drv, [], Calls)
-spec batch(drv(), calls()) ->
    {ok, [term()]} | {error, {Index :: pos_integer(), Call :: atom(), Reason :: term()}}.
batch(Drv, Calls) ->
    request(Drv, [], {batch, Calls}, infinity, {short, batch, [Drv, Calls]}).

%% @doc Makes system calls in one round trip, until one fails.
%%
%% The replies come in the order of the calls. When one is `{error, Reason}', the
%% calls after it aren't made, and the error tells the number (from 1), the name
%% and the reason of that one. `execve', `execvp', `fexecve' and `exit' have to come last:
%% `badarg' if they don't.
%%
%% When the virtual machine has no file descriptors for the processes that all of the calls would
%% fork, none is made, and the first one's reason is `emfile'.
%%
%% ```
%% {ok, [ok, ok, <<_/binary>>]} =
%%     alcove:batch(Drv, [Pid], [{chdir, ["/"]}, {setenv, ["A", "b", 1]}, {version, []}])
%% '''
-spec batch(drv(), fork_path(), calls()) ->
    {ok, [term()]} | {error, {Index :: pos_integer(), Call :: atom(), Reason :: term()}}.
batch(Drv, Pids, Calls) ->
    request(Drv, Pids, {batch, Calls}, infinity, {full, batch, [Drv, Pids, Calls]}).

%% @equiv spawn(Drv, [], How, Calls)
-spec spawn(drv(), how(), calls()) ->
    {ok, os_pid()}
    | {error, posix()}
    | {error, {Index :: pos_integer(), Call :: atom(), Reason :: term()}}.
spawn(Drv, How, Calls) ->
    request(Drv, [], {spawn, How, Calls}, infinity, {short, spawn, [Drv, How, Calls]}).

%% @doc Forks or clones a child process, which makes system calls until one fails,
%% all in one round trip.
%%
%% After the last call the child is in its event loop, unless that was an exec. When
%% one fails, the child is gone, and the error tells the number (from 1), the name
%% and the reason of the call. `{error, posix()}' when there is no child at all, see
%% {@link fork/2}.
%%
%% ```
%% {ok, Pid} = alcove:spawn(Drv, [], {clone, [clone_newnet, clone_newuts]}, [
%%     {sethostname, ["inside"]},
%%     {setgid, [65534]},
%%     {setuid, [65534]},
%%     {execvp, ["sh", ["sh"]]}
%% ])
%% '''
-spec spawn(drv(), fork_path(), how(), calls()) ->
    {ok, os_pid()}
    | {error, posix()}
    | {error, {Index :: pos_integer(), Call :: atom(), Reason :: term()}}.
spawn(Drv, Pids, How, Calls) ->
    request(Drv, Pids, {spawn, How, Calls}, infinity, {full, spawn, [Drv, Pids, How, Calls]}).

%%--------------------------------------------------------------------
%% Constants
%%--------------------------------------------------------------------

%% @equiv clone_define(Drv, [], Names)
-spec clone_define(drv(), atom() | [atom()]) -> integer() | unknown.
clone_define(Drv, Names) ->
    constant(Drv, [], clone, Names, {short, clone_define, [Drv, Names]}).

%% @doc The value of a flag of {@link clone/3} and {@link unshare/3}: `clone_newns',
%% `clone_newpid' and so on. Linux only; `unknown' where there is none of this
%% name. See {@link define/3}.
-spec clone_define(drv(), fork_path(), atom() | [atom()]) -> integer() | unknown.
clone_define(Drv, Pids, Names) ->
    constant(Drv, Pids, clone, Names, {full, clone_define, [Drv, Pids, Names]}).

%% @equiv define(Drv, [], Names)
-spec define(drv(), atom() | [atom()]) -> integer() | unknown.
define(Drv, Names) ->
    constant(Drv, [], all, Names, {short, define, [Drv, Names]}).

%% @doc The value of a constant, of any kind, or of a list of them, combined by
%% `bor'; `unknown' where this platform lacks one.
%%
%% Names may be in lower or in upper case. The values are those of the platform of
%% Drv's virtual machine, and found there: no Unix process is asked.
-spec define(drv(), fork_path(), atom() | [atom()]) -> integer() | unknown.
define(Drv, Pids, Names) ->
    constant(Drv, Pids, all, Names, {full, define, [Drv, Pids, Names]}).

%% @equiv file_define(Drv, [], Names)
-spec file_define(drv(), atom() | [atom()]) -> integer() | unknown.
file_define(Drv, Names) ->
    constant(Drv, [], file, Names, {short, file_define, [Drv, Names]}).

%% @doc The value of a flag of {@link open/5} or a place of {@link lseek/5}:
%% `o_rdonly', `seek_set' and so on; `unknown' where there is none of this name.
%% See {@link define/3}.
-spec file_define(drv(), fork_path(), atom() | [atom()]) -> integer() | unknown.
file_define(Drv, Pids, Names) ->
    constant(Drv, Pids, file, Names, {full, file_define, [Drv, Pids, Names]}).

%% @equiv mount_define(Drv, [], Names)
-spec mount_define(drv(), atom() | [atom()]) -> integer() | unknown.
mount_define(Drv, Names) ->
    constant(Drv, [], mount, Names, {short, mount_define, [Drv, Names]}).

%% @doc The value of a flag of {@link mount/7}: `rdonly', `nosuid', `noexec' and so
%% on, which are `MS_RDONLY' on Linux and `MNT_RDONLY' on the BSDs; `unknown'
%% where there is none of this name. See {@link define/3}.
-spec mount_define(drv(), fork_path(), atom() | [atom()]) -> integer() | unknown.
mount_define(Drv, Pids, Names) ->
    constant(Drv, Pids, mount, Names, {full, mount_define, [Drv, Pids, Names]}).

%% @equiv prctl_define(Drv, [], Names)
-spec prctl_define(drv(), atom() | [atom()]) -> integer() | unknown.
prctl_define(Drv, Names) ->
    constant(Drv, [], prctl, Names, {short, prctl_define, [Drv, Names]}).

%% @doc The value of an option of {@link prctl/7} and what goes with it: `pr_set_name'
%% and so on. Linux only; `unknown' where there is none of this name. See {@link
%% define/3}.
-spec prctl_define(drv(), fork_path(), atom() | [atom()]) -> integer() | unknown.
prctl_define(Drv, Pids, Names) ->
    constant(Drv, Pids, prctl, Names, {full, prctl_define, [Drv, Pids, Names]}).

%% @equiv ioctl_define(Drv, [], Names)
-spec ioctl_define(drv(), atom() | [atom()]) -> integer() | unknown.
ioctl_define(Drv, Names) ->
    constant(Drv, [], ioctl, Names, {short, ioctl_define, [Drv, Names]}).

%% @doc The value of a request of {@link ioctl/5}: `tiocsctty', `siocgifflags' and so
%% on; `unknown' where there is none of this name. See {@link define/3}.
-spec ioctl_define(drv(), fork_path(), atom() | [atom()]) -> integer() | unknown.
ioctl_define(Drv, Pids, Names) ->
    constant(Drv, Pids, ioctl, Names, {full, ioctl_define, [Drv, Pids, Names]}).

%% @equiv landlock_define(Drv, [], Names)
-spec landlock_define(drv(), atom() | [atom()]) -> integer() | unknown.
landlock_define(Drv, Names) ->
    constant(Drv, [], landlock, Names, {short, landlock_define, [Drv, Names]}).

%% @doc The value of a right or a rule of {@link landlock_add_rule/6}:
%% `landlock_access_fs_execute' and so on. Linux only; `unknown' where there is none of
%% this name. See {@link define/3}.
-spec landlock_define(drv(), fork_path(), atom() | [atom()]) -> integer() | unknown.
landlock_define(Drv, Pids, Names) ->
    constant(Drv, Pids, landlock, Names, {full, landlock_define, [Drv, Pids, Names]}).

%% @equiv poll_define(Drv, [], Names)
-spec poll_define(drv(), atom() | [atom()]) -> integer() | unknown.
poll_define(Drv, Names) ->
    constant(Drv, [], poll, Names, {short, poll_define, [Drv, Names]}).

%% @doc The value of an event of {@link poll/4}: `pollin' and so on; `unknown' where there
%% is none of this name. See {@link define/3}.
-spec poll_define(drv(), fork_path(), atom() | [atom()]) -> integer() | unknown.
poll_define(Drv, Pids, Names) ->
    constant(Drv, Pids, poll, Names, {full, poll_define, [Drv, Pids, Names]}).

%% @equiv process_define(Drv, [], Names)
-spec process_define(drv(), atom() | [atom()]) -> integer() | unknown.
process_define(Drv, Names) ->
    constant(Drv, [], process, Names, {short, process_define, [Drv, Names]}).

%% @doc The value of an option or request of {@link waitpid/4}, {@link getpriority/4},
%% {@link getrusage/3}, {@link getrandom/4}, {@link ptrace/6} or {@link pidfd_open/4}:
%% `wnohang', `prio_process', `ptrace_cont' and so on; `unknown' where there is none of
%% this name. See {@link define/3}.
-spec process_define(drv(), fork_path(), atom() | [atom()]) -> integer() | unknown.
process_define(Drv, Pids, Names) ->
    constant(Drv, Pids, process, Names, {full, process_define, [Drv, Pids, Names]}).

%% @equiv socket_define(Drv, [], Names)
-spec socket_define(drv(), atom() | [atom()]) -> integer() | unknown.
socket_define(Drv, Names) ->
    constant(Drv, [], socket, Names, {short, socket_define, [Drv, Names]}).

%% @doc The value of a family, type, protocol, option or flag of {@link socket/5} and the
%% like: `af_inet', `sock_stream', `so_error', `msg_peek' and so on; `unknown' where there
%% is none of this name. See {@link define/3}.
-spec socket_define(drv(), fork_path(), atom() | [atom()]) -> integer() | unknown.
socket_define(Drv, Pids, Names) ->
    constant(Drv, Pids, socket, Names, {full, socket_define, [Drv, Pids, Names]}).

%% @doc The name of the machine's architecture, as `audit_arch_x86_64': its value, by {@link
%% syscall_define/3}, is what a filter of system calls compares with. `unknown' where it isn't
%% known.
-spec audit_arch() -> atom().
audit_arch() ->
    try alcove_seccomp:audit_arch() of
        Value ->
            Names = [
                Name
             || {Name, Number} <- alcove_nif:constants(prctl),
                Number =:= Value,
                lists:prefix("audit_arch_", atom_to_list(Name))
            ],
            case Names of
                [Name | _] -> Name;
                [] -> unknown
            end
    catch
        error:unsupported -> unknown
    end.

%% @doc All constants of this virtual machine's platform, by the kind of name that
%% {@link define/3} and its like take: `#{file => [{o_append, 1024}, ...], ...}'.
-spec constants() -> #{Group :: atom() => [{atom(), integer()}]}.
constants() ->
    maps:from_list([{Group, alcove_nif:constants(Group)} || Group <- alcove_nif:groups()]).

%% @doc The constants of a kind, as `file' for {@link file_define/3}; `[]' when there is
%% no such kind.
-spec constants(Group :: atom()) -> [{atom(), integer()}].
constants(Group) when is_atom(Group) ->
    alcove_nif:constants(Group);
constants(Group) ->
    alcove_errors:raise(badarg, ?MODULE, constants, [Group], {group, 1}).

%% @equiv errno_id(Drv, [], Number)
-spec errno_id(drv(), integer()) -> posix() | unknown.
errno_id(Drv, Number) ->
    errno_name(Drv, [], Number, {short, errno_id, [Drv, Number]}).

%% @doc The name of an error number, as `enoent', or `unknown'.
-spec errno_id(drv(), fork_path(), integer()) -> posix() | unknown.
errno_id(Drv, Pids, Number) ->
    errno_name(Drv, Pids, Number, {full, errno_id, [Drv, Pids, Number]}).

%% @equiv rlimit_define(Drv, [], Names)
-spec rlimit_define(drv(), atom() | [atom()]) -> integer() | unknown.
rlimit_define(Drv, Names) ->
    constant(Drv, [], rlimit, Names, {short, rlimit_define, [Drv, Names]}).

%% @doc The value of a resource of {@link getrlimit/3}: `rlimit_nofile' and so on;
%% `unknown' where there is none of this name. See {@link define/3}.
-spec rlimit_define(drv(), fork_path(), atom() | [atom()]) -> integer() | unknown.
rlimit_define(Drv, Pids, Names) ->
    constant(Drv, Pids, rlimit, Names, {full, rlimit_define, [Drv, Pids, Names]}).

%% @equiv signal_constant(Drv, [], Number)
-spec signal_constant(drv(), integer()) -> atom() | unknown.
signal_constant(Drv, Number) ->
    signal_name(Drv, [], Number, {short, signal_constant, [Drv, Number]}).

%% @doc The name of a signal, as `sigterm', or `unknown'.
-spec signal_constant(drv(), fork_path(), integer()) -> atom() | unknown.
signal_constant(Drv, Pids, Number) ->
    signal_name(Drv, Pids, Number, {full, signal_constant, [Drv, Pids, Number]}).

%% @equiv signal_define(Drv, [], Names)
-spec signal_define(drv(), atom() | [atom()]) -> integer() | unknown.
signal_define(Drv, Names) ->
    constant(Drv, [], signal, Names, {short, signal_define, [Drv, Names]}).

%% @doc The value of a signal: `sigterm' and so on; `unknown' where there is none of
%% this name. See {@link define/3}.
-spec signal_define(drv(), fork_path(), atom() | [atom()]) -> integer() | unknown.
signal_define(Drv, Pids, Names) ->
    constant(Drv, Pids, signal, Names, {full, signal_define, [Drv, Pids, Names]}).

%% @equiv syscall_define(Drv, [], Names)
-spec syscall_define(drv(), atom() | [atom()]) -> integer() | unknown.
syscall_define(Drv, Names) ->
    constant(Drv, [], syscall, Names, {short, syscall_define, [Drv, Names]}).

%% @doc The value of a system call, as seccomp(2) wants it: `sys_read' and so on;
%% `unknown' where there is none of this name. See {@link define/3}.
-spec syscall_define(drv(), fork_path(), atom() | [atom()]) -> integer() | unknown.
syscall_define(Drv, Pids, Names) ->
    constant(Drv, Pids, syscall, Names, {full, syscall_define, [Drv, Pids, Names]}).

%%--------------------------------------------------------------------
%% What programs read and write, and events
%%--------------------------------------------------------------------

%% @equiv stdin(Drv, [], Data)
-spec stdin(drv(), iodata()) -> true | {error, posix()}.
stdin(Drv, Data) ->
    request(Drv, [], {stdin, Data}, infinity, {short, stdin, [Drv, Data]}).

%% @doc Writes to stdin of a process.
%%
%% Bytes that the pipe doesn't take at once are queued, in order, and nothing is lost. If
%% much is queued, the caller waits until the process has read some of it.
%% `{error, epipe}' when the process has closed its stdin or {@link eof/3} has.
-spec stdin(drv(), fork_path(), iodata()) -> true | {error, posix()}.
stdin(Drv, Pids, Data) ->
    request(Drv, Pids, {stdin, Data}, infinity, {full, stdin, [Drv, Pids, Data]}).

%% @equiv stdout(Drv, [])
-spec stdout(drv()) -> binary() | false.
stdout(Drv) ->
    next(alcove_stdout, Drv, [], ?WAIT, {short, stdout, [Drv]}).

%% @equiv stdout(Drv, Pids, 5000)
-spec stdout(drv(), fork_path()) -> binary() | false.
stdout(Drv, Pids) ->
    next(alcove_stdout, Drv, Pids, ?WAIT, {full, stdout, [Drv, Pids]}).

%% @doc The next bytes that a process wrote to stdout, or `false' if none
%% comes within `Timeout' milliseconds.
%%
%% It takes the message `{alcove_stdout, Drv, Pids, _}' out of the caller's mailbox: the caller
%% has to be the owner of the fork path, see {@link alcove_drv}. `false' at once when
%% none is there and Drv has ended.
-spec stdout(drv(), fork_path(), timeout()) -> binary() | false.
stdout(Drv, Pids, Timeout) ->
    next(alcove_stdout, Drv, Pids, Timeout, {full, stdout, [Drv, Pids, Timeout]}).

%% @equiv stderr(Drv, [])
-spec stderr(drv()) -> binary() | false.
stderr(Drv) ->
    next(alcove_stderr, Drv, [], ?WAIT, {short, stderr, [Drv]}).

%% @equiv stderr(Drv, Pids, 5000)
-spec stderr(drv(), fork_path()) -> binary() | false.
stderr(Drv, Pids) ->
    next(alcove_stderr, Drv, Pids, ?WAIT, {full, stderr, [Drv, Pids]}).

%% @doc The next bytes that a process wrote to stderr, or `false' if none
%% comes within `Timeout' milliseconds.
%%
%% It takes the message `{alcove_stderr, Drv, Pids, _}' out of the caller's mailbox: the caller
%% has to be the owner of the fork path, see {@link alcove_drv}. `false' at once when
%% none is there and Drv has ended.
-spec stderr(drv(), fork_path(), timeout()) -> binary() | false.
stderr(Drv, Pids, Timeout) ->
    next(alcove_stderr, Drv, Pids, Timeout, {full, stderr, [Drv, Pids, Timeout]}).

%% @equiv event(Drv, [])
-spec event(drv()) -> term().
event(Drv) ->
    next(alcove_event, Drv, [], ?WAIT, {short, event, [Drv]}).

%% @equiv event(Drv, Pids, 5000)
-spec event(drv(), fork_path()) -> term().
event(Drv, Pids) ->
    next(alcove_event, Drv, Pids, ?WAIT, {full, event, [Drv, Pids]}).

%% @doc The next event of a process, or `false' if none
%% comes within `Timeout' milliseconds.
%%
%% It takes the message `{alcove_event, Drv, Pids, _}' out of the caller's mailbox: the caller
%% has to be the owner of the fork path, see {@link alcove_drv}. `false' at once when
%% none is there and Drv has ended.
-spec event(drv(), fork_path(), timeout()) -> term().
event(Drv, Pids, Timeout) ->
    next(alcove_event, Drv, Pids, Timeout, {full, event, [Drv, Pids, Timeout]}).

%% @equiv eof(Drv, Pids, stdin)
-spec eof(drv(), fork_path()) -> ok | {error, posix()}.
eof(Drv, Pids) ->
    ended(Drv, Pids, stdin, {full, eof, [Drv, Pids]}).

%% @doc Closes a stream of a process. Stdin is closed after all that was written to it.
%%
%% A process that writes to a stream that is closed gets SIGPIPE. Whoever closes stdout or stderr
%% gives up what wasn't delivered of it: the event of the process's end doesn't wait for that.
%% `{error, esrch}' when there is no process at the fork path: it may have ended while its input
%% was being closed.
-spec eof(drv(), fork_path(), stream()) -> ok | {error, posix()}.
eof(Drv, Pids, Stream) ->
    Origin = {full, eof, [Drv, Pids, Stream]},
    case lists:member(Stream, [stdin, stdout, stderr]) of
        true -> ended(Drv, Pids, Stream, Origin);
        false -> refuse({'$badarg', stream}, Origin)
    end.

%% If the Drv is gone, there is no process to ask.
ended(Ref, Pids, Stream, Origin) ->
    case outcome(Ref, Pids, {eof, Stream}, infinity) of
        '$badpid' ->
            case alcove_drv:locate(Ref) of
                {ok, Drv} ->
                    case alcove_drv:kind(Drv) of
                        drv -> {error, esrch};
                        _ -> refuse('$badpid', Origin)
                    end;
                error ->
                    refuse('$badpid', Origin)
            end;
        Reply ->
            reply(Reply, Origin)
    end.

%%--------------------------------------------------------------------
%% What there is, and what went wrong
%%--------------------------------------------------------------------

%% @doc The processes of a Drv, programs and what they have started included, as they are
%% now: root, with the others in its `children'.
%%
%% <dl>
%% <dt>`pid'</dt><dd>the pid that Drv's virtual machine sees;</dd>
%% <dt>`fork_path'</dt><dd>`undefined' for what a program has started;</dd>
%% <dt>`state'</dt><dd>`event_loop', `exec' (a program), `exited' (about to be gone), or
%%     `other' without a fork path;</dd>
%% <dt>`run_state'</dt><dd>the letter of proc(5), as `<<"S">>';</dd>
%% <dt>`command'</dt><dd>what runs: the words of it, or the name in brackets;</dd>
%% <dt>`uid', `gid'</dt><dd>real ids;</dd>
%% <dt>`cpu_time', `memory'</dt><dd>microseconds that were used, bytes that are in use;</dd>
%% <dt>`namespaces'</dt><dd>a number for each, as far as the virtual machine may see them;</dd>
%% <dt>`cgroup'</dt><dd>the path of the control group.</dd>
%% </dl>
%%
%% Linux only. Nothing is asked of the processes.
-spec tree(drv()) -> alcove_tree:process() | {error, gone}.
tree(Ref) ->
    case alcove_drv:locate(Ref) of
        {ok, Drv} -> alcove_tree:tree(Drv);
        error -> refuse({'$badarg', drv}, {short, tree, [Ref]})
    end.

%% @doc Prints the tree of a Drv's processes; {@link alcove_top} keeps showing it.
-spec i(drv()) -> ok | {error, gone}.
i(Ref) ->
    case alcove_drv:locate(Ref) of
        {ok, Drv} ->
            case alcove_tree:tree(Drv) of
                {error, Reason} -> {error, Reason};
                Tree -> io:put_chars(alcove_tree:format(Tree))
            end;
        error ->
            refuse({'$badarg', drv}, {short, i, [Ref]})
    end.

%% @doc Why a call may have failed, in words.
%%
%% Takes a call and its error, `{chroot, eperm}', what {@link batch/3} and {@link spawn/4}
%% return, `{error, {2, chroot, eperm}}', what {@link alcove_proc:run/3} returns, or just
%% `{error, eperm}' or `eperm', about which less can be said.
%%
%% ```
%% io:format("~ts~n", [alcove:format_error({chroot, eperm})])
%% '''
-spec format_error(term()) -> unicode:chardata().
format_error(Error) ->
    alcove_explain:format_error(Error).

%%--------------------------------------------------------------------
%% How all of them do it
%%--------------------------------------------------------------------

short(Drv, Call, Argv) ->
    request(Drv, [], {call, Call, Argv}, infinity, {short, Call, [Drv | Argv]}).

full(Drv, Pids, Call, Argv) ->
    request(Drv, Pids, {call, Call, Argv}, infinity, {full, Call, [Drv, Pids | Argv]}).

%% `Origin' is the public function that was called, for its exceptions: its form,
%% name and arguments.
request(Drv, Pids, Request, Timeout, Origin) ->
    reply(outcome(Drv, Pids, Request, Timeout), Origin).

outcome(Drv, Pids, Request, Timeout) when is_pid(Drv) ->
    alcove_call:run(Drv, Pids, Request, Timeout);
outcome(Ref, Pids, Request, Timeout) ->
    case alcove_drv:locate(Ref) of
        {ok, Drv} -> alcove_call:run(Drv, Pids, Request, Timeout);
        error -> {'$badarg', drv}
    end.

reply('$badpid', Origin) -> refuse('$badpid', Origin);
reply({'$badarg', _} = Refused, Origin) -> refuse(Refused, Origin);
reply({error, undef}, Origin) -> refuse(undef, Origin);
reply(Reply, _Origin) -> Reply.

%% Constants are those of Drv's node, which may be another platform.
constant(Drv, Pids, Group, Names, Origin) ->
    lookup(Drv, Pids, {define, Group, Names}, Origin).

signal_name(Drv, Pids, Number, Origin) when is_integer(Number) ->
    lookup(Drv, Pids, {signal_constant, Number}, Origin);
signal_name(_Drv, _Pids, _Number, Origin) ->
    refuse({'$badarg', signal}, Origin).

errno_name(Drv, Pids, Number, Origin) when is_integer(Number) ->
    lookup(Drv, Pids, {errno_id, Number}, Origin);
errno_name(_Drv, _Pids, _Number, Origin) ->
    refuse({'$badarg', number}, Origin).

lookup(Drv, Pids, Request, Origin) ->
    case alcove_call:is_fork_path(Pids) of
        true -> request(Drv, Pids, Request, infinity, Origin);
        false -> refuse({'$badarg', pids}, Origin)
    end.

next(Tag, Ref, Pids, Timeout, Origin) ->
    Drv =
        case alcove_drv:locate(Ref) of
            {ok, Pid} -> Pid;
            error -> refuse({'$badarg', drv}, Origin)
        end,
    alcove_call:is_fork_path(Pids) orelse refuse({'$badarg', pids}, Origin),
    alcove_call:is_timeout(Timeout) orelse refuse({'$badarg', timeout}, Origin),
    case taken(Tag, Drv, Pids) of
        false when Timeout =/= 0 -> wait(Tag, Drv, Pids, Timeout);
        Taken -> Taken
    end.

taken(Tag, Drv, Pids) ->
    receive
        {Tag, Drv, Pids, Term} -> Term
    after 0 ->
        false
    end.

wait(Tag, Drv, Pids, Timeout) ->
    Ref = monitor(process, Drv),
    Taken =
        receive
            {Tag, Drv, Pids, Term} -> Term;
            {'DOWN', Ref, process, Drv, _} -> taken(Tag, Drv, Pids)
        after Timeout ->
            false
        end,
    demonitor(Ref, [flush]),
    Taken.

-spec refuse(alcove_nif:refused() | undef, {short | full, atom(), [term()]}) -> no_return().
refuse(undef, {Form, Function, Args}) ->
    alcove_errors:raise(undef, ?MODULE, Function, Args, {filtered, pids_at(Form)});
refuse('$badpid', {Form, Function, [Ref | _] = Args}) ->
    alcove_errors:raise(badpid, ?MODULE, Function, Args, absent(alcove_drv:locate(Ref), Form));
refuse({'$badarg', What}, {Form, Function, Args}) ->
    Cause = cause(What, Form, Function, Args),
    alcove_errors:raise(badarg, ?MODULE, Function, Args, Cause).

%% Why no process is in its event loop there, as far as that can be told from here.
absent({ok, Drv}, Form) when node(Drv) =:= node() ->
    case alcove_drv:kind(Drv) of
        drv -> {badpid, pids_at(Form)};
        other -> {no_drv, 1};
        gone -> {gone, 1}
    end;
absent({ok, _Drv}, Form) ->
    {badpid, pids_at(Form)};
absent(error, _Form) ->
    {gone, 1}.

pids_at(short) -> 1;
pids_at(full) -> 2.

%% What was wrong and at which position of the arguments, of which Drv and the fork
%% path come first.
cause(drv, _Form, _Function, _Args) ->
    {drv, 1};
cause(pids, Form, _Function, _Args) ->
    {pids, pids_at(Form)};
cause(undef, Form, call, _Args) ->
    {undef, pids_at(Form) + 1};
cause(What, Form, call, _Args) when What =:= names; What =:= signal; What =:= number ->
    {What, pids_at(Form) + 2};
cause(length, _Form, _Function, Args) ->
    {length, length(Args)};
cause(N, Form, call, Args) when is_integer(N) ->
    At = pids_at(Form) + 1,
    {{in_argv, lists:nth(At, Args), N}, At + 1};
cause({Index, N}, _Form, _Function, Args) when Index > 0 ->
    {{in_calls, Index, N}, length(Args)};
cause({0, length}, _Form, _Function, Args) ->
    {length, length(Args)};
cause(how, Form, spawn, _Args) ->
    {how, pids_at(Form) + 1};
cause(_What, _Form, Function, Args) when Function =:= batch; Function =:= spawn ->
    {calls, length(Args)};
cause(_What, _Form, stdin, Args) ->
    {iodata, length(Args)};
cause(N, Form, Function, _Args) when is_integer(N) ->
    {{argument, Function, N}, pids_at(Form) + N};
cause(What, _Form, _Function, Args) ->
    {What, length(Args)}.
