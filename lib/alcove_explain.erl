%% @private
%% @doc Why a system call may have failed.
-module(alcove_explain).

-export([format_error/1]).

-define(IS_POSIX(Reason), (is_atom(Reason) orelse is_integer(Reason))).

%% @doc See {@link alcove:format_error/1}.
-spec format_error(term()) -> unicode:chardata().
format_error({error, Reason}) ->
    format_error(Reason);
format_error({Index, Call, Reason}) when is_integer(Index), is_atom(Call), ?IS_POSIX(Reason) ->
    ["call ", integer_to_list(Index), ", ", format_error({Call, Reason})];
format_error({badarg, Option}) ->
    io_lib:format("not an option, or one with a wrong value: ~0tp", [Option]);
format_error({start, timeout}) ->
    "it took longer to start than it was given";
format_error({in, badpid}) ->
    "no process is in its event loop at this fork path";
format_error({parent, gone}) ->
    "the process that started it was killed, and it with that";
format_error({drv, noproc}) ->
    "there is no such Drv";
format_error({drv, Reason}) ->
    io_lib:format("Drv has ended, or can't be started: ~0tp", [Reason]);
format_error({process, Reason}) ->
    io_lib:format("the Erlang process that ran it has failed: ~0tp", [Reason]);
format_error({already_started, Pid}) ->
    io_lib:format("the name is taken, by ~0tp", [Pid]);
format_error({noproc, Owner}) ->
    io_lib:format("nobody is registered as ~0tp", [Owner]);
format_error({version, Theirs, Ours}) ->
    io_lib:format("the executable is of another build (~0tp) than the library (~0tp)", [Theirs, Ours]);
format_error({exit_status, Status}) ->
    io_lib:format("it ended with status ~0tp", [Status]);
format_error({termsig, Signal}) ->
    io_lib:format("it was ended by ~0tp", [Signal]);
format_error({Call, Reason}) when is_atom(Call), ?IS_POSIX(Reason) ->
    case {why(Call, Reason), generally(Reason)} of
        {"", {_, ""}} -> [name(Call), ": ", said(Reason)];
        {"", {_, Hint}} -> [name(Call), ": ", said(Reason), ". ", Hint];
        {Why, _} -> [name(Call), ": ", said(Reason), ". ", Why]
    end;
format_error({{output_limit, Stream}, #{}}) ->
    ["it wrote more to ", atom_to_list(Stream), " than was to be collected, and was killed"];
format_error({timeout, #{}}) ->
    "it took longer than it was given, and was killed";
format_error({user, {unknown, Name}}) ->
    ["no such user in /etc/passwd, as Drv sees it: ", Name];
format_error({user, {no_group, User}}) ->
    io_lib:format("user ~p isn't in /etc/passwd: give its group as well", [User]);
format_error({group, {unknown, Name}}) ->
    ["no such group in /etc/group, as Drv sees it: ", Name];
format_error({What, {not_an_id, Text}}) ->
    [io_lib:format("~ts: /etc/passwd or /etc/group has what is no id: ", [What]), Text];
format_error({capabilities, {unknown, Name}}) ->
    io_lib:format("no such capability: ~0tp", [Name]);
format_error({leftovers, Pids}) ->
    io_lib:format("these processes were killed and don't end, they may wait for a device: ~w", [Pids]);
format_error({cgroup, {Where, Reason}}) when ?IS_POSIX(Reason) ->
    [io_lib:format("~ts: ", [Where]), format_error({cgroup, Reason})];
format_error({Where, Reason}) when ?IS_POSIX(Reason) ->
    io_lib:format("~0tp: ~ts", [Where, said(Reason)]);
format_error(Reason) when is_atom(Reason) ->
    case generally(Reason) of
        {_, ""} -> said(Reason);
        {_, Hint} -> [said(Reason), ". ", Hint]
    end;
format_error(Reason) ->
    io_lib:format("~0tp", [Reason]).

name(Call) ->
    case lists:keyfind(Call, 1, calls()) of
        {_, _, _, Man, _, _} when Man =/= <<>> -> Man;
        _ -> atom_to_list(Call)
    end.

calls() ->
    %% The library may not be loaded where the error is explained.
    try
        alcove_nif:calls()
    catch
        error:_ -> []
    end.

said(Reason) ->
    {Text, _} = generally(Reason),
    io_lib:format("~ts (~tp)", [Text, Reason]).

%% What it means anywhere, and what it mostly is about.
generally(badarg) ->
    {"an argument has the wrong shape", ""};
generally(timeout) ->
    {"it took too long", ""};
generally(closed) ->
    {"the program has ended, or its input was closed", ""};
generally(no_owner) ->
    {"nobody gets its messages", ""};
generally(active) ->
    {"its output comes as messages", ""};
generally(busy) ->
    {"somebody else reads its output", ""};
generally(badpid) ->
    {"no process is in its event loop at this fork path", ""};
generally(badproto) ->
    {"what was started isn't alcove", ""};
generally(exited) ->
    {"it has ended, and nobody knows how", ""};
generally(gone) ->
    {"the process has ended", ""};
generally(unsupported) ->
    {"this platform has no such call", ""};
generally(emfile) ->
    {"too many open files",
        "Of the virtual machine, if a fork says so: each process takes four; see ulimit -n and "
        "maxchild."};
generally(emsgsize) ->
    {"the reply is too long", "One reply may have 16 MiB."};
generally(enosys) ->
    {"function not implemented", "The kernel lacks it, or a filter of system calls says so."};
generally(eperm) ->
    {"operation not permitted",
        "It takes a privilege that the process doesn't have: see capget/3, and whether it is in a "
        "user namespace, or under a filter of system calls."};
generally(Number) when is_integer(Number) ->
    {"an error that has no name", ""};
generally(Reason) ->
    case erl_posix_msg:message(Reason) of
        "unknown POSIX error" ++ _ -> {"error", ""};
        Text -> {Text, ""}
    end.

%% What it mostly is about with this call.
why(execvp, enoent) ->
    "There is no such program in the directories of PATH, as the process has it after setenv and "
    "chroot; or it is there and its interpreter (#!) or dynamic linker isn't in this root directory.";
why(execve, enoent) ->
    "There is no file at this path, which isn't searched for; or its interpreter (#!) or dynamic "
    "linker isn't in this root directory.";
why(Exec, eacces) when Exec =:= execvp; Exec =:= execve ->
    "The file has no x permission for this user, one of the directories above it can't be searched, "
    "or its file system is mounted with noexec.";
why(Exec, enoexec) when Exec =:= execvp; Exec =:= execve ->
    "It is no program of this machine's architecture, or a script without #! in its first line.";
why(Exec, e2big) when Exec =:= execvp; Exec =:= execve ->
    "The arguments and the environment are too large together, or one of them has 128 KiB or more.";
why(Exec, etxtbsy) when Exec =:= execvp; Exec =:= execve ->
    "Somebody has the file open for writing.";
why(Exec, enomem) when Exec =:= execvp; Exec =:= execve ->
    "A limit (rlimit_as, rlimit_data) is lower than what the program takes to be loaded.";
why(chroot, eperm) ->
    "It takes CAP_SYS_CHROOT: start alcove as root (option exec), or clone the process into a user "
    "namespace (clone_newuser), where it has it.";
why(chroot, enotdir) ->
    "The path, or a part of it, isn't a directory.";
why(chdir, eacces) ->
    "One of the directories on the path can't be searched by this user: it comes after setuid in "
    "alcove_proc.";
why(Set, eperm) when Set =:= setuid; Set =:= setresuid ->
    "It takes CAP_SETUID, which is gone once another user was set; set user ids last.";
why(Set, eperm) when Set =:= setgid; Set =:= setresgid ->
    "It takes CAP_SETGID, which is gone after setuid: set the groups first.";
why(Set, einval) when Set =:= setuid; Set =:= setresuid; Set =:= setgid; Set =:= setresgid ->
    "The id isn't mapped in the process's user namespace, see /proc/PID/uid_map and gid_map.";
why(setuid, eagain) ->
    "The user has as many processes as rlimit_nproc allows.";
why(setgroups, eperm) ->
    "It takes CAP_SETGID; in a user namespace it is refused until gid_map is written, and for good "
    "once `deny' was written to /proc/PID/setgroups.";
why(capset, eperm) ->
    "A capability can't be added that isn't permitted, nor made inheritable that isn't in the "
    "bounding set.";
why(cap_drop_bound, eperm) ->
    "It takes CAP_SETPCAP.";
why(cap_set_ambient, eperm) ->
    "Each has to be permitted and inheritable first, see capset/5.";
why(Fork, eagain) when Fork =:= fork; Fork =:= clone; Fork =:= spawn ->
    "A limit on processes: maxchild of alcove (getopt/3), rlimit_nproc of the user, or pids.max of "
    "the control group.";
why(Fork, einval) when Fork =:= fork; Fork =:= spawn ->
    "The fork path would be longer than maxforkdepth.";
why(Fork, enomem) when Fork =:= fork; Fork =:= clone; Fork =:= spawn ->
    "There is no memory; or the first process of the pid namespace has ended.";
why(clone, eperm) ->
    "New namespaces take CAP_SYS_ADMIN, unless clone_newuser is one of them. A user namespace may "
    "be refused by the system (sysctl kernel.unprivileged_userns_clone, user.max_user_namespaces, "
    "AppArmor), and always is in a chroot.";
why(clone, einval) ->
    "Flags that can't go together or that the kernel lacks, or the fork path would be longer than "
    "maxforkdepth.";
why(clone, enospc) ->
    "There are as many namespaces as user.max_*_namespaces allows, or they are nested too deep.";
why(unshare, eperm) ->
    why(clone, eperm);
why(unshare, einval) ->
    "Flags that can't go together, or that the kernel lacks.";
why(setns, eperm) ->
    "It takes CAP_SYS_ADMIN, in the user namespace that owns the namespace, and for a mount namespace "
    "CAP_SYS_CHROOT.";
why(mount, eperm) ->
    "It takes CAP_SYS_ADMIN in the user namespace that owns the mount namespace: clone with "
    "clone_newns. In a user namespace, most file systems can't be mounted, a bind mount has to keep "
    "the flags it has, and a new /proc needs one that is all visible.";
why(mount, enodev) ->
    "The kernel doesn't have this type of file system.";
why(mount, einval) ->
    "The source isn't a file system of this type, its options are wrong, or the target isn't in this "
    "mount namespace; to move or change a mount it must be one.";
why(mount, ebusy) ->
    "It is mounted there already, or in use.";
why(mount, enoent) ->
    "The target, or the source, isn't there: make it first, as the process sees it.";
why(Umount, ebusy) when Umount =:= umount; Umount =:= umount2 ->
    "Somebody has a file open there, or works in it; umount2 with mnt_detach doesn't wait.";
why(Umount, einval) when Umount =:= umount; Umount =:= umount2 ->
    "It is no mount, or one that came from a namespace with more privileges.";
why(pivot_root, einval) ->
    "The new root has to be a mount (bind it to itself), put_old below it, and neither it nor the "
    "mounts above may be shared: mount(none, /, ms_rec + ms_private) first.";
why(pivot_root, ebusy) ->
    "The new root is the one that there is.";
why(setrlimit, eperm) ->
    "To raise a hard limit takes CAP_SYS_RESOURCE.";
why(setrlimit, einval) ->
    "The soft limit is above the hard one.";
why(setpriority, eacces) ->
    "A lower nice value takes CAP_SYS_NICE, or rlimit_nice.";
why(setpriority, eperm) ->
    "It is another user's process.";
why(kill, eperm) ->
    "It is another user's process.";
why(kill, esrch) ->
    "There is no such process, or group, in the process's pid namespace.";
why(setsid, eperm) ->
    "It leads its process group already: after fork it doesn't.";
why(setpgid, eacces) ->
    "The child is a program by now: set its group before.";
why(open, eacces) ->
    "Its permissions, or those of a directory on the path, refuse this user; root too where it has no "
    "CAP_DAC_OVERRIDE.";
why(open, erofs) ->
    "The file system is mounted read-only.";
why(open, enxio) ->
    "Nobody reads the named pipe, or there is no such device.";
why(open, enotdir) ->
    "A part of the path isn't a directory.";
why(openat2, eloop) ->
    "There is a symbolic link, and `resolve' forbids it.";
why(openat2, exdev) ->
    "The path leads out of where `resolve' wants it to stay.";
why(prctl, einval) ->
    "No such option, or one with wrong arguments; those that aren't used must be 0. With pr_set_seccomp: "
    "the filter is wrong.";
why(prctl, eacces) ->
    "A filter of system calls needs pr_set_no_new_privs first, or CAP_SYS_ADMIN.";
why(seccomp, eacces) ->
    why(prctl, eacces);
why(seccomp, einval) ->
    "The filter is wrong: a jump out of it, no return at its end, or none at all.";
why(landlock_restrict_self, eperm) ->
    "pr_set_no_new_privs comes first, or CAP_SYS_ADMIN.";
why(sethostname, eperm) ->
    "It takes CAP_SYS_ADMIN in the user namespace that owns the UTS namespace: clone with "
    "clone_newuts.";
why(ioctl, enotty) ->
    "The descriptor isn't a device that has this request; tiocsctty wants a terminal.";
why(ioctl, eperm) ->
    "For tiocsctty: the process leads its session, and neither it nor the terminal may have "
    "another.";
why(ptrace, eperm) ->
    "It is another user's, is traced already, can't be dumped, or Yama (kernel.yama.ptrace_scope) "
    "allows it for descendants only.";
why(bind, eacces) ->
    "Ports below 1024 take CAP_NET_BIND_SERVICE.";
why(socket, eperm) ->
    "Raw and packet sockets take CAP_NET_RAW.";
why(Close, ebadf) when Close =:= close; Close =:= read; Close =:= write; Close =:= dup2 ->
    "No such descriptor; those of the event loop are none either.";
why(write, epipe) ->
    "Nobody reads it any more.";
why(openpty, Reason) when Reason =:= enoent; Reason =:= enospc; Reason =:= enodev ->
    "/dev/pts has to be mounted (devpts), with /dev/ptmx, and kernel.pty.max has to allow one more.";
why(cgroup, eacces) ->
    why(cgroup, eperm);
why(cgroup, eperm) ->
    "The directory of the group belongs to another user, or the hierarchy is mounted read-only.";
why(cgroup, enodev) ->
    "No hierarchy of control groups is mounted that has what is needed.";
why(capabilities, eperm) ->
    "To keep capabilities takes having them, and CAP_SETPCAP: start alcove as root.";
why(uid_map, eperm) ->
    "Who has no CAP_SETUID maps only its own id, and that once.";
why(gid_map, eperm) ->
    "Who has no CAP_SETGID maps only its own group, and after `deny' in /proc/PID/setgroups.";
why(_Call, _Reason) ->
    "".
