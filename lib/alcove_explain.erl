%% @private
%% @doc Why a system call may have failed.
-module(alcove_explain).

-export([format_error/1, option/1]).

-include_lib("kernel/include/file.hrl").

-define(IS_POSIX(Reason), (is_atom(Reason) orelse is_integer(Reason))).

%% @doc See {@link alcove:format_error/1}.
-spec format_error(term()) -> unicode:chardata().
format_error({error, Reason}) ->
    format_error(Reason);
format_error({Index, Call, Reason}) when is_integer(Index), is_atom(Call), ?IS_POSIX(Reason) ->
    ["call ", integer_to_list(Index), ", ", format_error({Call, Reason})];
format_error({badarg, Option}) ->
    option(Option);
format_error({program, N, Reason}) when is_integer(N) ->
    [io_lib:format("program ~b of the pipeline: ", [N]), format_error(Reason)];
format_error({not_started, Application}) ->
    io_lib:format("application:ensure_all_started(~tp) comes first", [Application]);
format_error({nif, Text}) ->
    [
        "alcove's library can't be loaded: ",
        text(Text),
        ". It may be for another kind of processor. From an archive, as an escript is one, it "
        "can't be loaded: give the directory that has it, and the executable, to the application "
        "as its variable priv_dir"
    ];
format_error(too_large) ->
    "no member of the pool has that much room, even when it is empty";
format_error({no_member, Pool}) ->
    io_lib:format("no node that is connected has a member of the pool ~tp", [Pool]);
format_error({nodedown, Node}) ->
    io_lib:format("the node ~ts was lost: nobody knows whether the program has run", [Node]);
format_error({member, Reason}) ->
    io_lib:format(
        "the member of the pool has ended, and nobody knows whether the program has run: ~0tp",
        [Reason]
    );
format_error({setup, {N, Call, Reason}}) ->
    [io_lib:format("call ~b of setup: ", [N]), format_error({Call, Reason})];
format_error({start, timeout}) ->
    "it took longer to start than it was given";
format_error({in, badpid}) ->
    "no process is in its event loop at this fork path";
format_error({parent, gone}) ->
    "its keeper was killed, or stopped without end, and it with that";
format_error({drv, noproc}) ->
    "there is no such Drv";
format_error({drv, Reason}) ->
    io_lib:format("Drv has ended, or can't be started: ~0tp", [Reason]);
format_error({process, Reason}) ->
    io_lib:format("the Erlang process that ran it has failed: ~0tp", [Reason]);
format_error({name, Reason}) ->
    io_lib:format("the module of the name failed: ~0tp", [Reason]);
format_error({already_started, Pid}) ->
    io_lib:format("the name is taken, by ~0tp", [Pid]);
format_error({noproc, Owner}) when is_pid(Owner) ->
    io_lib:format("the owner ~0tp has ended", [Owner]);
format_error({noproc, Owner}) ->
    io_lib:format("nobody is registered as ~0tp", [Owner]);
format_error({version, Theirs, Ours}) ->
    io_lib:format("the executable is of another build (~0tp) than the library (~0tp)", [
        Theirs,
        Ours
    ]);
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
    ["no such user in /etc/passwd, Drv's own unless the option names says in: ", text(Name)];
format_error({_, {root_elsewhere, _}}) ->
    "/etc/passwd or /etc/group of another root directory says that it is root: give the number";
format_error({user, {unreadable, Path, Reason}}) ->
    io_lib:format("~ts can't be read: ~0tp", [text(Path), Reason]);
format_error({user, {no_group, User}}) ->
    ["user ", text(User), " isn't in /etc/passwd: give its group as well"];
format_error({group, {unknown, Name}}) ->
    ["no such group in /etc/group, Drv's own unless the option names says in: ", text(Name)];
format_error({What, {not_an_id, Text}}) ->
    [io_lib:format("~ts: /etc/passwd or /etc/group has what is no id: ", [What]), text(Text)];
format_error({Map, Text}) when (Map =:= uid_map orelse Map =:= gid_map), is_binary(Text) ->
    io_lib:format("~ts: ~ts", [Map, text(Text)]);
format_error({sandbox, {listen, {{tcp, Address, Port}, Reason}}}) ->
    [
        "nobody can connect to ",
        inet:ntoa(Address),
        io_lib:format(" port ~b: ~ts", [Port, port(Reason)])
    ];
format_error({sandbox, {listen, {{unix, Path}, eaddrinuse}}}) ->
    [text(Path), " is there already, and a socket needs a path where nothing is"];
format_error({sandbox, {listen, {{unix, Path}, Reason}}}) ->
    ["no socket can be made at ", text(Path), ": ", listening(Reason)];
format_error({sandbox, {network, {{Key, Value}, Reason}}}) ->
    network(Key, Value, Reason);
format_error({sandbox, {root, no_mount}}) ->
    "the root directory that Drv is in isn't a mount, as in a plain chroot, and so it can't have "
    "mounts of its own: enter it by pivot_root, or bind the directory to itself (mount --bind) "
    "before the chroot and do without a user namespace (best_effort)";
format_error({sandbox, {ids, {Path, no_range}}}) ->
    [Path, " has no range of ids for the user that Drv runs as, see subuid(5)"];
format_error({sandbox, {ids, {Path, Reason}}}) when is_binary(Path) ->
    io_lib:format("the user's ranges of ids can't be read from ~ts: ~0tp", [Path, Reason]);
format_error({sandbox, {ids, root}}) ->
    "ranges of ids are for a Drv that isn't root: say with as who the program is to the host";
format_error({sandbox, {ids, {Who, Id}}}) ->
    io_lib:format("ids must have the ~ts that Drv runs as, ~0tp", [Who, Id]);
format_error({sandbox, {user, {unmapped, unused}}}) ->
    "Drv's user namespace has no ids that are surely unused: give the program a user and a group "
    "of it (as)";
format_error({sandbox, {as, {unmapped, {Uid, Gid}}}}) ->
    io_lib:format("Drv's user namespace doesn't have both the user ~b and the group ~b", [
        Uid,
        Gid
    ]);
format_error({sandbox, {user, {unmapped, User}}}) ->
    io_lib:format("ids doesn't have the user, ~0tp", [User]);
format_error({sandbox, {Path, Reason}}) when
    is_binary(Path) andalso (Reason =:= eexist orelse Reason =:= erofs)
->
    [
        text(Path),
        ": ",
        said(Reason),
        ". In a root directory that has a system of its own, mounts has to be given without "
        "system, as [proc, dev, {tmpfs, \"/tmp\"}]; below one that is read-only, nothing can "
        "be made"
    ];
format_error({capabilities, {unknown, Name}}) ->
    io_lib:format("no such capability: ~0tp", [Name]);
format_error({leftovers, Pids}) ->
    io_lib:format("these processes were killed and don't end, they may wait for a device: ~w", [
        Pids
    ]);
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

%% A name as text, whatever its bytes are; or a number.
text(Name) when is_binary(Name) ->
    alcove_text:printable(Name);
text(Name) ->
    case alcove_text:characters(Name) of
        error -> io_lib:format("~0tp", [Name]);
        Text -> Text
    end.

listening(eacces) -> "the user that Drv runs as may not do that";
listening(Reason) -> said(Reason).

port(eacces) -> "ports below 1024 are root's";
port(eaddrinuse) -> "somebody else has it";
port(eaddrnotavail) -> "the address isn't one of this machine's";
port(Reason) -> said(Reason).

network(bridge, Bridge, enodev) ->
    ["there is no bridge ", text(Bridge), " where Drv is"];
network(bridge, Bridge, enotsup) ->
    [text(Bridge), " is a network device, but no bridge"];
network(bridge, Bridge, eperm) ->
    [
        "to join ",
        text(Bridge),
        " takes root's rights, CAP_NET_ADMIN among them, and Drv hasn't got them"
    ];
network(bridge, _Bridge, unsupported) ->
    "the kernel has no pairs of network devices, see veth(4)";
network(mtu, Mtu, erange) ->
    io_lib:format("an MTU of ~b is more than the bridge's", [Mtu]);
network(name, Name, eexist) ->
    ["the kernel makes a network device with the name ", text(Name), " in each network namespace"];
network(address, Address, eaddrinuse) ->
    [text(Address), " is an address of the host"];
network(gateway, Gateway, Reason) when Reason =:= enetunreach; Reason =:= ehostunreach ->
    ["the gateway ", text(Gateway), " is in the network of none of the addresses"];
network(Key, Value, Reason) ->
    io_lib:format("the network can't have the ~ts ~ts: ~ts", [Key, text(Value), said(Reason)]).

%%--------------------------------------------------------------------
%% Options
%%--------------------------------------------------------------------

%% @doc What is wrong with an option, what was expected and what to write.
-spec option(term()) -> unicode:chardata().
option({argv, Text}) ->
    Text;
option({priv_dir, Dir}) ->
    alcove_priv:format_error(Dir);
option({programs, Text}) ->
    Text;
option({program, {N, Option}}) ->
    [io_lib:format("program ~b of the pipeline: ", [N]), option(Option)];
option({pty, {pipe, terminal}}) ->
    "what is joined by pipes has no terminal";
option({stdin, {pipe, stream}}) ->
    "stdin is the pipe from the program before; of the first alone it is an option";
option({stdout, {pipe, stream}}) ->
    "stdout is the pipe to the next program; of the last alone it is an option";
option({Name, {pipe, one}}) ->
    io_lib:format("~ts is an option of one program, {Argv, Options}, and not of all", [Name]);
option({Name, {pipe, all}}) ->
    io_lib:format("~ts is an option of all programs together, and not of one", [Name]);
option({drv, {start, Option}}) ->
    ["{start, Options}: ", option(Option)];
option({drv, Drv}) ->
    io_lib:format("not a Drv, its registered name or {start, Options}: ~0tp", [
        alcove_text:shown(Drv)
    ]);
option({stdin, line}) ->
    "a line has more than 4095 bytes, which a terminal cuts: pty has to be #{raw => true}";
option({Option, {without, Namespace}}) ->
    io_lib:format("~ts would be that of the host: namespaces has to have ~ts", [Option, Namespace]);
option({setup, {N, Call, {without, Namespace}}}) ->
    io_lib:format(
        "call ~b of setup, ~ts, would change the host and stay: namespaces has to have ~ts", [
            N, Call, Namespace
        ]
    );
option({setup, {N, Call, program}}) ->
    io_lib:format("call ~b of setup, ~ts, takes the process that is to run the program", [N, Call]);
option({setup, {N, no_call}}) ->
    io_lib:format("call ~b of setup is not {Call, Arguments}, as {mkdir, [\"/x\", 8#755]}", [N]);
option({setup, {N, Call}}) ->
    io_lib:format(
        "call ~b of setup, ~tp, is none of alcove's, or has another number of arguments "
        "(without Drv and the fork path)",
        [N, Call]
    );
option({env, {element, N}}) ->
    io_lib:format("element ~b of env is not {Name, Value}: ~ts", [N, expected(env)]);
option({env, Name}) ->
    io_lib:format("env has a wrong variable, ~0tp: ~ts", [Name, expected(env)]);
option({seccomp, {unknown_syscall, Names}}) ->
    [
        "the policy of seccomp names system calls that this platform lacks: ",
        lists:join(", ", [atom_to_list(Name) || Name <- Names]),
        "; alcove_seccomp:available/1 takes such out of a list"
    ];
option({seccomp, too_large}) ->
    "the policy of seccomp takes more than 4096 instructions";
option({seccomp, unsupported}) ->
    "there is no seccomp on this platform";
option({seccomp, {part, Part}}) ->
    io_lib:format("no policy of seccomp can have ~0tp there", [Part]);
option({seccomp, program}) ->
    "seccomp is a policy, #{default => Action, rules => Rules}, or a program: iodata of "
    "instructions of 8 bytes";
option({network, listen}) ->
    "a program on a bridge takes connections at its own address: listen is for the networks none "
    "and host";
option({options, What}) ->
    io_lib:format("options are a map or a list of pairs, and not ~0tp", [What]);
option({Name, Value}) when is_atom(Name) ->
    case expected(Name) of
        unknown ->
            io_lib:format("not an option: ~0tp~ts", [{Name, Value}, instead(Name)]);
        Expected ->
            io_lib:format("a wrong value of an option, ~0tp: ~ts", [{Name, Value}, Expected])
    end;
option(Option) ->
    io_lib:format("not an option: ~0tp", [Option]).

%% What an option of alcove_proc or alcove_drv takes.
expected(stdin) ->
    "none, stream, data (iodata or characters), {data, Data} or {file, Path}";
expected(stdout) ->
    ["stderr, unless there is a terminal or stderr is stdout, ", output()];
expected(stderr) ->
    ["stdout, ", output()];
expected(tag) ->
    "any term but 'EXIT'";
expected(lines) ->
    "true, false, infinity or the bytes of the longest line, a number above 0";
expected(active) ->
    "true, false, once or a number above 0";
expected(pty) ->
    "true, false, {Rows, Columns} or a map of rows and cols, each from 1 to 65535, and of echo and "
    "raw, true or false";
expected(timeout) ->
    "a number of milliseconds, or for a program infinity";
expected(grace) ->
    "a number of milliseconds";
expected(stop_signal) ->
    "a signal: its name, as sigterm, or its number";
expected(leftovers) ->
    "kill or leave";
expected(Path) when Path =:= cwd; Path =:= chroot ->
    "a path: a string or a binary without NUL";
expected(progname) ->
    "the path of the executable: a string or a binary without NUL";
expected(Text) when Text =:= arg0; Text =:= hostname ->
    "a string or a binary without NUL";
expected(env) ->
    "#{Name => Value} or [{Name, Value}], strings or binaries without NUL and names without =; "
    "false for a value leaves the variable out";
expected(Flag) when
    Flag =:= clearenv;
    Flag =:= no_new_privs;
    Flag =:= stderr_to_stdout;
    Flag =:= telemetry
->
    "true or false";
expected(Flag) when Flag =:= exit_status; Flag =:= termsig ->
    "true, false, 0 or 1";
expected(Id) when Id =:= user; Id =:= group ->
    "a name, or a number from 0 to 16#fffffffe";
expected(names) ->
    "drv or in: whose /etc/passwd and /etc/group tell users and groups";
expected(groups) ->
    "a list of names and numbers of groups";
expected(capabilities) ->
    "a list of names, as [cap_net_bind_service], or all";
expected(seccomp) ->
    "a policy or a program, see alcove_seccomp";
expected(rlimits) ->
    "#{Resource => Limit}, where a resource is nofile, as, cpu, core, nproc or another of "
    "alcove:rlimit_define/2, and a limit a number, infinity or {Soft, Hard}";
expected(nice) ->
    "an integer from -20 to 19";
expected(cpus) ->
    "a list of processors, integers from 0 to 65535";
expected(cgroup) ->
    "Limits or {Name, Limits}, where limits are a map with memory, swap, pids, cpu, cpus or mems";
expected(namespaces) ->
    "a list of newuser, newpid, newns, newnet, newuts, newipc, newcgroup and newtime";
expected(Map) when Map =:= uid_map; Map =:= gid_map ->
    "a list of {Inside, Outside, Count}, with one at least, or of an ordinary user "
    "{newuidmap, List} and {newgidmap, List}";
expected(network) ->
    "of a sandbox: none, host, or a map of bridge, address (\"10.0.0.2/24\" or a list) and, where "
    "needed, gateway, name, mac and mtu";
expected(setup) ->
    "a list of {Call, Arguments}, as [{mkdir, [\"/x\", 8#755]}]";
expected(in) ->
    "a fork path: a list of pids, [] for root";
expected(owner) ->
    "a pid or a name that is registered, or for a program none";
expected(meta) ->
    "a map";
expected(exec) ->
    "a command, as \"sudo -n\", or a list of its words";
expected(verbose) ->
    "a number from 0 on";
expected(Number) when Number =:= maxchild; Number =:= maxforkdepth ->
    "a number from 0 to 16#ffffffff";
expected(flowcontrol) ->
    "-1, or a number of messages to 16#7fffffff";
expected(signaloneof) ->
    "the number of a signal, 0 to 64";
expected(name) ->
    "{local, Name}, {global, Name} or {via, Module, Name}; for a Drv an atom";
expected(_) ->
    unknown.

output() ->
    "collect, {collect, Max}, {collect, Max, kill | truncate}, message, discard, console, "
    "a function of one argument, {Fun, Acc} with one of two, {log, Level}, "
    "{log, Level, #{prefix => Text, Key => Value}} (for a key of logger's own, as time, gl or "
    "domain, a value of the type that logger has for it), {file, Path} or "
    "{file, Path, [append | truncate | {mode, Mode}]}".

%% What others call it, or how it is written.
instead(Name) ->
    Others = #{
        cd => cwd,
        dir => cwd,
        directory => cwd,
        uid => user,
        gid => group,
        environ => env,
        environment => env,
        input => stdin,
        stderr_to_stdout => {stderr, stdout},
        into => stdout,
        kill_timeout => grace,
        delay_to_sigkill => grace,
        memory => {cgroup, #{memory => 'Bytes'}},
        limits => rlimits,
        rlimit => rlimits,
        kill => stop_signal
    },
    Near = [
        Known
     || Known <- lists:usort(alcove_proc_options:names() ++ alcove_drv_options:names()),
        near(atom_to_list(Known), atom_to_list(Name))
    ],
    case {Others, Near} of
        {#{Name := Option}, _} -> io_lib:format("; is ~0tp meant?", [Option]);
        {_, [Option | _]} -> io_lib:format("; is ~0tp meant?", [Option]);
        _ -> ""
    end.

%% One letter too few, too many or another, or two in the other order.
near(Same, Same) -> true;
near([C | Known], [C | Given]) -> near(Known, Given);
near([A, B | Known], [B, A | Given]) when Known =:= Given -> true;
near([_ | Known], Given) when Known =:= Given -> true;
near(Known, [_ | Given]) when Known =:= Given -> true;
near([_ | Known], [_ | Given]) -> Known =:= Given;
near(_, _) -> false.

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
    {
        "somebody else reads the program's output, or is attached to it; or a pool had no room in "
        "time",
        ""
    };
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

%% Directories of this virtual machine's PATH that not everybody can search.
closed() ->
    Dirs = lists:uniq(string:lexemes(os:getenv("PATH", ""), ":")),
    case lists:filter(fun is_closed/1, Dirs) of
        [] -> ".";
        Closed -> ", as may be so with " ++ lists:append(lists:join(", ", Closed)) ++ "."
    end.

is_closed(Dir) ->
    case file:read_file_info(Dir) of
        {ok, #file_info{type = directory, mode = Mode}} when Mode band 8#001 =/= 0 ->
            Parent = filename:dirname(Dir),
            Parent =/= Dir andalso is_closed(Parent);
        {error, enoent} ->
            false;
        _ ->
            true
    end.

%% What it mostly is about with this call.
why(execvp, enoent) ->
    "There is no such program in the directories of PATH, as the process has it after setenv and "
    "chroot; or it is there and its interpreter (#!) or dynamic linker isn't in this root "
    "directory.";
why(execve, enoent) ->
    "There is no file at this path, which isn't searched for; or its interpreter (#!) or dynamic "
    "linker isn't in this root directory.";
why(execvp, eacces) ->
    "The file has no x permission for this user, one of the directories above it can't be "
    "searched, or its file system is mounted with noexec. Or there is no such program, and a "
    "directory of PATH can't be searched by this user" ++ closed();
why(execve, eacces) ->
    "The file has no x permission for this user, one of the directories above it can't be "
    "searched, or its file system is mounted with noexec.";
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
    "A limit on processes: childlimit or maxforkdepth of alcove (getopt/3), rlimit_nproc of the "
    "user, or pids.max of the control group.";
why(Fork, enomem) when Fork =:= fork; Fork =:= clone; Fork =:= spawn ->
    "There is no memory; or the first process of the pid namespace has ended.";
why(clone, eperm) ->
    "New namespaces take CAP_SYS_ADMIN, unless clone_newuser is one of them. A user namespace may "
    "be refused by the system (sysctl kernel.unprivileged_userns_clone, user.max_user_namespaces, "
    "AppArmor), and always is in a chroot.";
why(clone, einval) ->
    "Flags that can't go together or that the kernel lacks.";
why(clone, enospc) ->
    "There are as many namespaces as user.max_*_namespaces allows, or they are nested too deep.";
why(unshare, eperm) ->
    why(clone, eperm);
why(unshare, einval) ->
    "Flags that can't go together, or that the kernel lacks.";
why(setns, eperm) ->
    "It takes CAP_SYS_ADMIN, in the user namespace that owns the namespace, and for a mount "
    "namespace CAP_SYS_CHROOT.";
why(mount, eperm) ->
    "It takes CAP_SYS_ADMIN in the user namespace that owns the mount namespace: clone with "
    "clone_newns. In a user namespace, most file systems can't be mounted, a bind mount has to "
    "keep the flags it has, and a new /proc needs one that is all visible.";
why(mount, enodev) ->
    "The kernel doesn't have this type of file system.";
why(mount, einval) ->
    "The source isn't a file system of this type, its options are wrong, or the target isn't in "
    "this mount namespace; to move or change a mount it must be one. The root directory of a plain "
    "chroot is none, and with newns it has to be one: bind it to itself before the chroot.";
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
    "mounts above may be shared: mount(none, /, ms_rec + ms_private) first. The root that there is "
    "has to be a mount, too, and not the initramfs: in a process that is in a chroot it isn't.";
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
    "Its permissions, or those of a directory on the path, refuse this user; root too where it has "
    "no CAP_DAC_OVERRIDE.";
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
    "No such option, or one with wrong arguments; those that aren't used must be 0. With "
    "pr_set_seccomp: the filter is wrong.";
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
why(netdev_veth, enodev) ->
    "There is no such device as the bridge in the network namespace of the socket.";
why(netdev_veth, enotsup) ->
    "The device isn't a bridge.";
why(netdev_veth, eexist) ->
    "A device has the name, in the network namespace where it was to be.";
why(netdev_veth, erange) ->
    "The MTU is larger than the bridge's.";
why(netdev_route, enetunreach) ->
    "The gateway is in the network of none of the device's addresses, or the device isn't up.";
why(Netdev, eperm) when
    Netdev =:= netdev_veth;
    Netdev =:= netdev_up;
    Netdev =:= netdev_address;
    Netdev =:= netdev_route
->
    "It takes CAP_NET_ADMIN in the user namespace that owns the network namespace.";
why(socket, eperm) ->
    "Raw and packet sockets take CAP_NET_RAW.";
why(Close, ebadf) when Close =:= close; Close =:= read; Close =:= write; Close =:= dup2 ->
    "No such descriptor; those of the event loop are none either.";
why(write, epipe) ->
    "Nobody reads it any more.";
why(openpty, Reason) when Reason =:= enoent; Reason =:= enospc; Reason =:= enodev ->
    "/dev/pts has to be mounted (devpts), with /dev/ptmx, and kernel.pty.max has to allow one "
    "more.";
why(cgroup, eacces) ->
    why(cgroup, eperm);
why(cgroup, eperm) ->
    "The directory of the group belongs to another user, or the hierarchy is mounted read-only.";
why(cgroup, ebusy) ->
    "The group has members, and in version 2 it can't have groups with limits besides: who has it "
    "to itself calls alcove_cgroup:leaf/1 before.";
why(cgroup, enodev) ->
    "No hierarchy of control groups is mounted that has what is needed.";
why(capabilities, eperm) ->
    "To keep capabilities takes having them, and CAP_SETPCAP: start alcove as root.";
why(uid_map, enoent) ->
    "newuidmap(1) isn't installed; Debian has it in the package uidmap.";
why(gid_map, enoent) ->
    "newgidmap(1) isn't installed; Debian has it in the package uidmap.";
why(uid_map, eperm) ->
    "Who has no CAP_SETUID maps only its own id, and that once.";
why(gid_map, eperm) ->
    "Who has no CAP_SETGID maps only its own group, and after `deny' in /proc/PID/setgroups.";
why(_Call, _Reason) ->
    "".
