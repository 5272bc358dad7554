%% @doc Runs programs.
%%
%% {@link run/3} runs one and returns when it has ended, with what it wrote:
%%
%% ```
%% {ok, #{status := 0, stdout := <<"hi\n">>}} = alcove_proc:run(["echo", "hi"])
%% '''
%%
%% {@link pipe/3} runs several that are joined by pipes.
%%
%% {@link start_link/3} starts a program that may run for any length of time. It gives the program
%% an Erlang process of its own, which you can link to, monitor and put under a supervisor.
%% Everything else is the same: the options, and what is returned at the end.
%%
%% ```
%% {ok, Pid} = alcove_proc:start_link(Drv, ["cat"]),
%% ok = alcove_proc:write(Pid, "hello"),
%% receive {alcove_proc, Pid, {stdout, <<"hello">>}} -> ok end,
%% ok = alcove_proc:eof(Pid),
%% {ok, #{status := 0}} = alcove_proc:await(Pid)
%% '''
%%
%% The program and its arguments are a list of strings or binaries. No shell interprets them. The
%% characters of a string are encoded as file names are; a binary is passed on unchanged.
%%
%% `Drv' is what {@link alcove_drv:start/1} returns, or its registered name, or `{start, Options}'
%% for a Drv that serves this program alone and ends with it. Functions that take no Drv, such as
%% `run(Argv)' and `run(Argv, Options)' and the same forms of `start' and `start_link', use the
%% application's, see {@link alcove_drv:default/0}.
%%
%% <h3>What is left of a program</h3>
%%
%% Nothing. When the program has ended, or its Erlang process has been killed, alcove kills
%% everything that the program started, whether or not it is in a session of its own, and {@link
%% run/3} returns when all of it is gone. The option `leftovers' changes that.
%%
%% <h3>Options</h3>
%%
%% A map, or a list of pairs.
%%
%% <dl>
%% <dt>`stdin': `none', `stream', `{data, Data}', Data or `{file, Path}'</dt>
%% <dd>What the program reads: nothing; what {@link write/2} gives it, until {@link eof/1};
%%     the given data, of any size; or a file. The default is `stream' for {@link start/3}, and
%%     `none' otherwise.</dd>
%% <dt>`stdout', `stderr': where the program's output goes</dt>
%% <dd><ul>
%%     <li>`collect', `{collect, Max}', `{collect, Max, truncate}': into the result. This is the
%%         default of {@link run/3}. If there are more than `Max' bytes (16 MiB by default), the
%%         program is killed; with `truncate' it goes on, and the rest is dropped;</li>
%%     <li>`message': to the owner, as messages, as `active' says, or else to {@link read/2}.
%%         This is the default of {@link start/3};</li>
%%     <li>a function: a process of its own calls it with each piece;</li>
%%     <li>`{Fun, Acc}', a fold: `Fun(Bytes, Acc)' is called for each piece, and `Fun(eof, Acc)'
%%         when the program has ended. The result has what the last call returns, in the place of
%%         collected output;</li>
%%     <li>`{log, Level}', `{log, Level, Options}': each line is logged, by `logger' on the
%%         caller's node. `Options' is a map: `prefix' is the text before each line, the program's
%%         name and a colon by default; all other entries are metadata of the event, together with
%%         `pid', the process of the program, and `stream'. A key that logger itself gives a
%%         meaning, such as `time', `domain' or `gl', takes a value of logger's type for it. Lines
%%         are logged without their newlines. What isn't UTF-8 is read as Latin-1. A line of more
%%         than 8 KiB is logged in pieces, unless `lines' sets another length;</li>
%%     <li>`{file, Path}', `{file, Path, [append | truncate | {mode, Mode}]}': to a file,
%%         which is opened before the process changes its user or its root directory;</li>
%%     <li>`console': to the virtual machine's own standard output or standard error, the devices
%%         `user' and `standard_error' of the node where Drv is. A device that takes characters
%%         gets the text as it is, and bytes that aren't UTF-8 as Latin-1;</li>
%%     <li>`discard': nowhere;</li>
%%     <li>`stdout', for `stderr', or `stderr', for `stdout': where the other stream goes.</li>
%%     </ul></dd>
%% <dt>`lines': `true', the bytes of the longest line, `infinity' or `false'</dt>
%% <dd>Whether messages, {@link read/2} and functions get output line by line. A line comes as the
%%     program wrote it, with its newline. A line without a newline is either the last one, or a
%%     piece of a line that is longer than allowed: 64 KiB with `true', the newline not counted.
%%     Each line counts as one message for `active'. A program is held back once its owner has
%%     some hundred lines that it hasn't taken. Each stream is split into lines by itself.</dd>
%% <dt>`active': `true', `false', `once' or a number</dt>
%% <dd>How many messages the owner gets, as for a socket of `gen_tcp'; see {@link active/2}.</dd>
%% <dt>`pty': `true', `{Rows, Columns}' or a map of `rows', `cols', `echo' and `raw'</dt>
%% <dd>The program gets a terminal for all three streams. It is the program's controlling
%%     terminal, by default of 24 rows and 80 columns. All output comes as stdout. {@link eof/1}
%%     types control-D, and control-C sends a signal. The terminal takes lines of up to 4095 bytes:
%%     writing a longer one returns `{error, emsgsize}'. With `#{echo => false}' the terminal
%%     doesn't send back what is typed. With `#{raw => true}' every byte goes through unchanged,
%%     there are no lines, and input ends only with the program: {@link eof/1} returns `{error,
%%     einval}'. The program can change all of these modes, see termios(3).</dd>
%% <dt>`timeout': milliseconds or `infinity'</dt>
%% <dd>How long the program may run. After that alcove sends `stop_signal' (`sigterm' by default)
%%     to the program and its process group, and after `grace' (5000 milliseconds by default) it
%%     kills everything.</dd>
%% <dt>`leftovers': `kill' or `leave'</dt>
%% <dd>What alcove does with processes that the program leaves behind.</dd>
%% <dt>`cwd': Path</dt>
%% <dd>The working directory. The path is inside `chroot', if that is given, and is entered with the
%%     rights of `user'.</dd>
%% <dt>`env': `#{Name => Value}' or `[{Name, Value}]'; `clearenv': boolean</dt>
%% <dd>Variables that are added to Drv's environment, or with `clearenv' to an empty one; the value
%%     `false' removes a variable. Names are strings, binaries or atoms.</dd>
%% <dt>`user', `group': a name or a number; `groups': a list of them</dt>
%% <dd>A user brings its own group and, if it is given by name, its supplementary groups. Names are
%%     looked up in /etc/passwd and /etc/group of Drv's own root directory.</dd>
%% <dt>`names': `drv' or `in'</dt>
%% <dd>Where names of users and groups are looked up: in Drv's own /etc, or, with `in', in that of
%%     the process that the option `in' names, which may have another root directory. Such files
%%     aren't trusted: only regular files of up to 4 MiB are read, and a name that they map to root
%%     is an error.</dd>
%% <dt>`capabilities': a list of names, or `all'</dt>
%% <dd>The capabilities that the program keeps, as `[cap_net_bind_service]', also when it runs as
%%     another user. It can't get any others. Without this option, a program with a `user' other
%%     than 0, and one with both `chroot' and `namespaces', has none; every other program has what
%%     Drv has, or, in a user namespace, all that count there. `all' leaves them as the kernel sets
%%     them.</dd>
%% <dt>`no_new_privs': boolean</dt>
%% <dd>With `true', the program can't gain privileges by executing another one, see prctl(2).</dd>
%% <dt>`seccomp': a policy</dt>
%% <dd>See {@link alcove_seccomp}.</dd>
%% <dt>`rlimits': `#{Resource => Limit | {Soft, Hard}}'</dt>
%% <dd>Resource limits, as `#{nofile => 64, core => 0}', see {@link alcove:setrlimit/4}. `#{cpu =>
%%     N}' means `{N, N + 1}': the kernel sends SIGXCPU after `N' seconds of processor time, and
%%     SIGKILL a second later.</dd>
%% <dt>`nice': -20 to 19; `cpus': a list of processors</dt>
%% <dd>See {@link alcove:setpriority/5} and {@link alcove:sched_setaffinity/4}.</dd>
%% <dt>`cgroup': `Limits' or `{Name, Limits}'</dt>
%% <dd>A control group with limits, see {@link alcove_cgroup:limit/4}. Without a name, alcove makes
%%     a group for the program, where {@link alcove_cgroup:make/3} says, and removes it afterwards.
%%     The result has an entry `cgroup', what {@link alcove_cgroup:stats/3} says at the end. A group
%%     with a name stays, and its figures are those of all that has been in it. In a group of
%%     version 2 that has as many processes as `pids' admits, the program isn't started: `{error,
%%     {fork, eagain}}'. Version 1 can't refuse it. Nor can version 2 refuse a program that is moved
%%     to its group: before Linux 5.7, where a filter refuses clone3(2), as Docker's may, and with
%%     `in' where that process is under a filter.</dd>
%% <dt>`chroot': Path</dt>
%% <dd>Another root directory. With `newns' in `namespaces', the program can't leave it: the process
%%     enters it by pivot_root(2) and unmounts the old one. Otherwise it enters it by chroot(2),
%%     which doesn't confine root: give a `user', too.</dd>
%% <dt>`namespaces': a list of names</dt>
%% <dd>`[newpid, newns, newnet, newipc, newuts, newuser]', see {@link
%%     alcove:clone_define/3}. `uid_map' and `gid_map', for newuser, are lists of `{Inside,
%%     Outside, Count}'; by default the user that Drv runs as is 0 inside, and no other id is
%%     mapped. Without a `user' the program runs as Drv's user, if the map has that one, and
%%     otherwise as 0, or as the first id of the map if that has no 0. The kernel lets an ordinary
%%     user map only itself. With `{newuidmap, Ranges}' and `{newgidmap, Ranges}', the programs of
%%     these names write the maps; they also map the ids that /etc/subuid and /etc/subgid give the
%%     user. `hostname' needs newuts. Mounts made in newns aren't seen outside.</dd>
%% <dt>`setup': a list of calls</dt>
%% <dd>Calls of {@link alcove}, as `[{mount, ["tmpfs", "/mnt", "tmpfs", 0, ""]}]'. The process makes
%%     them before `chroot', `user' and everything that restricts it. A call that would change the
%%     host for good is an error: mounting and unmounting needs newns, and sethostname needs
%%     newuts, unless an `unshare' or `setns' comes before, or `in' names a process other than
%%     root. So are `exit', exec, fork and clone, as the process is there to run the program.</dd>
%% <dt>`arg0': string</dt>
%% <dd>The name that the program sees as its own.</dd>
%% <dt>`in': a fork path</dt>
%% <dd>The process that starts the program, Drv's root by default.</dd>
%% <dt>`owner': a pid, a registered name or `none'</dt>
%% <dd>The process that gets the messages, the caller by default. When it ends, alcove ends the
%%     program.</dd>
%% <dt>`name': `{local, Name}', `{global, Name}' or `{via, Module, Name}'</dt>
%% <dd>A name for the program's process, as a gen_server has one. The functions of this module take
%%     it as `Name', for another node `{Name, Node}', as `{global, Name}' or `{via, Module, Name}'.
%%     A local name is registered on Drv's node, where the process is. If the name is taken, the
%%     start returns `{error, {already_started, Pid}}' and nothing runs.</dd>
%% <dt>`tag': any term but `` 'EXIT' ''</dt>
%% <dd>Messages have it instead of `alcove_proc': `{Tag, Pid, What}'. {@link info/1} returns
%%     it.</dd>
%% <dt>`meta': map</dt>
%% <dd>Anything that you want to know about the program later. It is in its result, in the events of
%%     {@link alcove_telemetry}, and in {@link info/1}.</dd>
%% </dl>
%%
%% <h3>Results</h3>
%%
%% `{ok, Result}' when the program has run and ended by itself or because it was stopped,
%% whatever its exit status. `Result' is a map:
%%
%% <dl>
%% <dt>`status'</dt><dd>0 to 255, or `{termsig, Signal}'; `undefined', with an error of `leftovers',
%%     if the program is one of those</dd>
%% <dt>`stdout', `stderr'</dt><dd>what was collected</dd>
%% <dt>`truncated'</dt><dd>the streams of which some output was dropped</dd>
%% <dt>`limit'</dt><dd>the limit that ended the program, if the way it ended tells: `cpu' or `fsize'
%%     of `rlimits'; `memory' of its control group, where a process was killed for that and the
%%     program's status isn't 0. A group with a name may have lost another program's process:
%%     there it takes that the program itself ended by SIGKILL, after such a kill while it ran,
%%     and that alcove didn't send it</dd>
%% <dt>`wall_time', `user_time', `system_time'</dt><dd>microseconds: how long the program ran, and
%%     the processor time of the program and of the children that it waited for, if the status is
%%     known</dd>
%% <dt>`peak_memory'</dt><dd>bytes: of the control group that was made for the program, otherwise of
%%     its largest process; likewise</dd>
%% <dt>`os_pid'</dt><dd>the pid that the program had</dd>
%% <dt>`cgroup', `meta'</dt><dd>present with those options</dd>
%% </dl>
%%
%% `{error, {timeout, Result}}', `{error, {{output_limit, Stream}, Result}}': alcove killed the
%% program, and all of it is gone. `{error, {{leftovers, Pids}, Result}}': alcove couldn't kill some
%% of its processes, and goes on trying as long as Drv lives.
%%
%% `{error, {Call, Reason}}': the program has not run. `{execvp, enoent}': there is no such program;
%% `{chdir, eacces}', `{setresuid, eperm}' and so on: the system call of an option failed;
%% {@link alcove:format_error/1} explains them. `{setup, {N, Call, Reason}}': the N-th call of
%% `setup' failed. `{uid_map, Text}', `{gid_map, Text}': the error text of newuidmap or newgidmap.
%% `{user, {unknown, Name}}', `{user, {no_group, User}}': the user must be in /etc/passwd, or
%% `group' must be given. `{start, timeout}': the start took too long. `{in, badpid}': no process is
%% in its event loop at that fork path. `{parent, gone}', `{drv, Reason}': alcove itself was ended.
%%
%% `{error, {{shutdown, owner_died}, Result}}': the owner ended, so alcove ended the program.
%% `{error, {shutdown, Result}}', or another reason: the supervisor, or the linked process that
%% started the program, ended its Erlang process. `{error, {process, Reason}}': a function that
%% takes output failed, or another process that is linked to the program's, so the program was
%% ended; or the program's own Erlang process was killed. `{process, noproc}', from {@link await/2}:
%% there is no such process, and the result of the program was not kept.
%%
%% A wrong option raises the error `{badarg, Option}' in the caller.
-module(alcove_proc).

-export([
    run/1, run/2, run/3,
    start/1, start/2, start/3,
    start_link/1, start_link/2, start_link/3,
    child_spec/1
]).
-export([pipe/1, pipe/2, pipe/3]).
-export([
    write/2, write/3,
    eof/1,
    close/2,
    read/1, read/2, read/3,
    fold/3,
    active/2,
    await/1, await/2, await/3,
    signal/2,
    stop/1, stop/2,
    winsize/3,
    info/1,
    controlling_process/2,
    attach/1, attach/2
]).
%% For supervisors.
-export([start_child/1]).
-export_type([drv/0, argv/0, options/0, sink/0, server/0, status/0, result/0, outcome/0]).
-export_type([programs/0, pipe_result/0, pipe_outcome/0]).
-export_type([attach_options/0, attach_result/0]).

-type drv() :: alcove:drv() | atom() | {start, alcove_drv:options()}.
-type argv() :: [unicode:chardata(), ...].
-type options() ::
    #{
        stdin => none | stream | data() | {data, data()} | {file, path()},
        stdout => sink() | stderr,
        stderr => sink() | stdout,
        lines => boolean() | pos_integer() | infinity,
        active => active(),
        pty => boolean() | {pos_integer(), pos_integer()}
            | #{rows => pos_integer(), cols => pos_integer(), echo => boolean(), raw => boolean()},
        timeout => timeout(),
        grace => non_neg_integer(),
        stop_signal => atom() | integer(),
        leftovers => kill | leave,
        cwd => path() | undefined,
        env => #{name() => value()} | [{name(), value()}],
        clearenv => boolean(),
        user => path() | alcove:id() | undefined,
        group => path() | alcove:id() | undefined,
        groups => [path() | alcove:id()] | undefined,
        names => drv | in,
        capabilities => [atom()] | all,
        no_new_privs => boolean(),
        seccomp => alcove_seccomp:policy() | iodata(),
        rlimits => #{rlimit() => limit()} | [{rlimit(), limit()}],
        nice => -20..19,
        cpus => [non_neg_integer()],
        cgroup => map() | {alcove_cgroup:name() | string(), map()},
        chroot => path() | undefined,
        namespaces => [atom()],
        uid_map => [id_range()] | {newuidmap, [id_range()]},
        gid_map => [id_range()] | {newgidmap, [id_range()]},
        hostname => path() | undefined,
        setup => alcove:calls(),
        arg0 => path(),
        in => alcove:fork_path(),
        owner => pid() | atom(),
        name => {local, atom()} | {global, term()} | {via, module(), term()},
        tag => term(),
        meta => map()
    }
    | [{atom(), term()} | atom()].
-type data() :: iodata() | unicode:chardata().
%% A string of any kind, without NUL.
-type path() :: unicode:chardata() | iodata().
-type name() :: path() | atom().
-type value() :: path() | false | nil.
-type rlimit() :: atom() | non_neg_integer().
-type limit() ::
    non_neg_integer()
    | infinity
    | {Soft :: non_neg_integer() | infinity, Hard :: non_neg_integer() | infinity}
    | alcove:rlimit().
-type id_range() :: {Inside :: alcove:id(), Outside :: alcove:id(), Count :: pos_integer()}.
-type active() :: boolean() | once | pos_integer().
-type sink() ::
    collect
    | {collect, Max :: non_neg_integer() | infinity}
    | {collect, Max :: non_neg_integer() | infinity, kill | truncate}
    | message
    | discard
    | console
    | fun((binary()) -> term())
    | {fun((binary() | eof, Acc :: term()) -> term()), Acc :: term()}
    | {log, logger:level()}
    | {log, logger:level(), #{prefix => unicode:chardata(), atom() => term()}}
    | {file, path()}
    | {file, path(), [append | truncate | {mode, alcove:mode()}]}.
%% The process of a program, or its name: see the option `name'.
-type server() ::
    pid()
    | atom()
    | {Name :: atom(), node()}
    | {global, Name :: term()}
    | {via, module(), Name :: term()}.
-type status() :: 0..255 | {termsig, atom()}.
-type result() :: #{
    status := status() | undefined,
    %% Collected bytes, or what a fold has made of them.
    stdout => binary() | term(),
    stderr => binary() | term(),
    truncated := [stdout | stderr],
    wall_time := non_neg_integer(),
    user_time => non_neg_integer(),
    system_time => non_neg_integer(),
    peak_memory => non_neg_integer(),
    os_pid := alcove:os_pid(),
    limit => cpu | fsize | memory,
    cgroup => alcove_cgroup:stats(),
    meta => map()
}.
-type outcome() :: {ok, result()} | {error, term()}.
-type programs() :: [argv() | {argv(), options()}, ...].
-type pipe_result() :: #{
    status := status() | undefined,
    statuses := [status() | undefined, ...],
    stdout => binary() | term(),
    stderr => binary(),
    truncated := [stdout | stderr],
    wall_time := non_neg_integer(),
    user_time => non_neg_integer(),
    system_time => non_neg_integer(),
    peak_memory => non_neg_integer(),
    os_pid := alcove:os_pid(),
    programs := [result(), ...]
}.
-type pipe_outcome() :: {ok, pipe_result()} | {error, term()}.
-type attach_options() :: #{escape => byte() | none}.
-type attach_result() ::
    detached | {exit, outcome()} | {error, busy | closed | enotty | terminated}.

%% How long a killed program may take to be gone, in milliseconds, before the supervisor kills the
%% process of the program.
-define(KILLED, 15000).

%%--------------------------------------------------------------------
%% To run and to start
%%--------------------------------------------------------------------

%% @equiv run(Argv, #{})
-spec run(argv()) -> outcome().
run(Argv) ->
    run(Argv, #{}).

%% @doc `run(Drv, Argv, #{})'. When the first argument is a list, it is the program, the second its
%% options, and the application's Drv runs it.
-spec run(drv(), argv()) -> outcome();
         (argv(), options()) -> outcome().
run(Argv, Options) when is_list(Argv) ->
    by_default(run, Argv, Options);
run(Drv, Argv) ->
    run(Drv, Argv, #{}).

%% @doc Runs a program and returns when it and everything that it started have ended.
%%
%% When the caller ends, so does the program.
-spec run(drv(), argv(), options()) -> outcome().
run(Drv, Argv, Options) ->
    begun(run, Drv, Argv, Options, [Drv, Argv, Options]).

%% @equiv pipe(Programs, #{})
-spec pipe(programs()) -> pipe_outcome().
pipe(Programs) ->
    pipe(Programs, #{}).

%% @doc As {@link run/2} is to {@link run/3}.
-spec pipe(drv(), programs()) -> pipe_outcome();
          (programs(), options()) -> pipe_outcome().
pipe(Programs, Options) when is_list(Programs) ->
    by_default(pipe, Programs, Options);
pipe(Drv, Programs) ->
    pipe(Drv, Programs, #{}).

%% @doc Runs programs that are joined by pipes, as a shell does for `a | b | c', and returns when
%% all of them and everything that they started have ended.
%%
%% ```
%% {ok, #{stdout := <<"HEO\n">>, statuses := [0, 0, 0]}} =
%%     alcove_proc:pipe([["echo", "hello"], ["tr", "-d", "l"], ["tr", "a-z", "A-Z"]])
%% '''
%%
%% Each program reads from stdin what the one before it writes to stdout. The pipes are the
%% kernel's: no byte that goes through them passes the virtual machine, and no process but the two
%% programs has the ends of a pipe. So a program reads the end of its input when the one before it
%% has ended, with everything that that one started (unless `leftovers' is `leave'), and it gets
%% SIGPIPE when it writes to a program that has ended.
%%
%% <h4>Options</h4>
%%
%% The options are those of {@link run/3} and hold for each program. A program in the form `{Argv,
%% Options}' has options of its own, which take precedence.
%%
%% <dl>
%% <dt>`stdin'</dt><dd>is for the first program.</dd>
%% <dt>`stdout'</dt><dd>is for the last program. For the others, `stderr => stdout' sends stderr
%%     into the pipe.</dd>
%% <dt>`stderr'</dt><dd>is separate for each program: each is collected, passed to a function or
%%     sent as messages by itself. A file that is the same for several programs gets what all of
%%     them write.</dd>
%% <dt>`timeout', `owner'</dt><dd>are for all programs together, and can't be given for one.</dd>
%% <dt>`name'</dt><dd>can only be given for one program.</dd>
%% <dt>`cgroup'</dt><dd>without a name makes a group for each program; a group with a name holds all
%%     of them.</dd>
%% <dt>`pty'</dt><dd>isn't possible.</dd>
%% </dl>
%%
%% <h4>Results</h4>
%%
%% `{ok, Result}' when all of them have run. `Result' has
%%
%% <dl>
%% <dt>`programs'</dt><dd>the result of each, as {@link run/3} returns it, in the same order</dd>
%% <dt>`statuses'</dt><dd>the status of each</dd>
%% <dt>`status', `stdout', `os_pid'</dt><dd>those of the last one</dd>
%% <dt>`stderr'</dt><dd>what was collected from all of them, one after the other</dd>
%% <dt>`truncated'</dt><dd>the streams of which some output of at least one program was dropped</dd>
%% <dt>`wall_time'</dt><dd>microseconds: from the start of the first to the end of the last</dd>
%% <dt>`user_time', `system_time', `peak_memory'</dt><dd>the sum over all programs; the peaks may
%%     have been at different times</dd>
%% </dl>
%%
%% The programs are stopped together. When the time is over, when one writes more than may be
%% collected, when the owner ends, and so on, alcove ends all of them. The error is that of {@link
%% run/3}, such as `{error, {timeout, Result}}', with a result as above.
%%
%% `{error, {program, N, Reason}}': program `N', counted from 1, has not run, for a `Reason' as of
%% {@link run/3}, or was lost (`{parent, gone}'). Programs that were already started are ended.
%% Programs are started from the last to the first. If the one before a program can't be started,
%% that program is ended before it can read the end of its input, so that it never takes partial
%% input for all of it.
-spec pipe(drv(), programs(), options()) -> pipe_outcome().
pipe(Drv, Programs, Options) ->
    begun(pipe, Drv, Programs, Options, [Drv, Programs, Options]).

%% @equiv start(Argv, #{})
-spec start(argv()) -> {ok, pid()} | {error, term()}.
start(Argv) ->
    start(Argv, #{}).

%% @doc As {@link run/2} is to {@link run/3}.
-spec start(drv(), argv()) -> {ok, pid()} | {error, term()};
           (argv(), options()) -> {ok, pid()} | {error, term()}.
start(Argv, Options) when is_list(Argv) ->
    by_default(start, Argv, Options);
start(Drv, Argv) ->
    start(Drv, Argv, #{}).

%% @doc Starts a program. `{ok, Pid}' when it runs, else an error as of {@link run/3}.
%%
%% The owner, which is the caller unless `owner' names another process, gets
%%
%% ```
%% {alcove_proc, Pid, {stdout | stderr, Bytes}}
%% {alcove_proc, Pid, passive}
%% {alcove_proc, Pid, {exit, Outcome}}
%% '''
%%
%% with its `tag' in place of `alcove_proc' if it has one. `Outcome' in the last message is what
%% {@link run/3} would have returned. {@link await/2} waits for that message, and finds it also when
%% the program ended before a process could monitor `Pid'.
%%
%% `Pid' ends with the reason `normal' if the exit status was 0 or {@link stop/1} was called, with
%% `timeout' or `{output_limit, Stream}' if the program was killed for that, and otherwise with
%% `{exit_status, N}' or `{termsig, Signal}'.
%%
%% When the owner ends, alcove ends the program.
-spec start(drv(), argv(), options()) -> {ok, pid()} | {error, term()}.
start(Drv, Argv, Options) ->
    begun(start, Drv, Argv, Options, [Drv, Argv, Options]).

%% @equiv start_link(Argv, #{})
-spec start_link(argv()) -> {ok, pid()} | {error, term()}.
start_link(Argv) ->
    start_link(Argv, #{}).

%% @doc As {@link run/2} is to {@link run/3}.
-spec start_link(drv(), argv()) -> {ok, pid()} | {error, term()};
                (argv(), options()) -> {ok, pid()} | {error, term()}.
start_link(Argv, Options) when is_list(Argv) ->
    by_default(start_link, Argv, Options);
start_link(Drv, Argv) ->
    start_link(Drv, Argv, #{}).

%% @doc As {@link start/3}, linked to the caller.
-spec start_link(drv(), argv(), options()) -> {ok, pid()} | {error, term()}.
start_link(Drv, Argv, Options) ->
    begun(start_link, Drv, Argv, Options, [Drv, Argv, Options]).

%% @doc A child specification for a supervisor. The argument is `{Drv, Argv}', `{Drv, Argv,
%% Options}' or a map with `drv', `argv', `options' and any other key of a child specification, such
%% as `id' and `restart'.
%%
%% A supervisor has no use for messages. So without an `owner' among the options, which may be a
%% registered name, the program's output is discarded, and it has no input.
%%
%% A program that ends with a status other than 0 has ended abnormally. The child is `transient', so
%% the supervisor restarts it then, and only then.
%%
%% A supervisor logs how it started its children. So the specification holds the program's arguments
%% and options in a function, which shows nothing of them. The supervisor can be on any node that
%% has the same build of alcove.
-spec child_spec(
    {drv(), argv()}
    | {drv(), argv(), options()}
    | #{drv := drv(), argv := argv(), options => options(), atom() => term()}
) -> supervisor:child_spec().
child_spec({Drv, Argv}) ->
    child_spec({Drv, Argv, #{}});
child_spec({Drv, Argv, Options}) ->
    child_spec(#{drv => Drv, argv => Argv, options => Options});
child_spec(#{drv := Drv, argv := Argv} = Spec) ->
    Options = maps:get(options, Spec, #{}),
    Grace =
        case alcove_proc_options:parse(later, Drv, Argv, Options) of
            {ok, #{grace := Ms}} -> Ms;
            {error, Option} -> bad_option(Option, child_spec, [Spec], 1)
        end,
    maps:merge(
        #{
            id => ?MODULE,
            start => {?MODULE, start_child, [alcove_hidden:hide([Drv, Argv, Options])]},
            restart => transient,
            shutdown => Grace + ?KILLED,
            modules => [?MODULE]
        },
        maps:without([drv, argv, options], Spec)
    );
child_spec(Spec) ->
    bad_option(alcove_proc_options:incomplete(Spec), child_spec, [Spec], 1).

%% @private
%% @doc Starts a program as the child of a supervisor, for {@link child_spec/1}.
-spec start_child(alcove_hidden:hidden()) -> {ok, pid()} | {error, term()}.
start_child(Hidden) ->
    [Drv, Argv, Options] = alcove_hidden:reveal(Hidden),
    %% A name that isn't registered yet is an error value, so that the supervisor tries again.
    case alcove_proc_options:parse(child, Drv, Argv, Options) of
        {ok, Parsed} -> alcove_proc_server:start(start_link, Parsed);
        {error, Option} -> {error, {badarg, Option}}
    end.

%% Runs it by the application's Drv, if that runs or can be started.
by_default(Function, Argv, Options) ->
    case alcove_drv:default() of
        {ok, Drv} -> begun(Function, Drv, Argv, Options, [Argv, Options]);
        {error, Reason} -> {error, {drv, Reason}}
    end.

%% `Args' are the arguments with which the public function was called, for its errors.
begun(run, Drv, Argv, Options, Args) ->
    alcove_proc_server:run(parse(run, run, Drv, Argv, Options, Args));
begun(pipe, Drv, Programs, Options, Args) ->
    alcove_proc_pipe:run(checked(alcove_proc_options:pipe(Drv, Programs, Options), pipe, Args));
begun(Start, Drv, Argv, Options, Args) ->
    alcove_proc_server:start(Start, parse(start, Start, Drv, Argv, Options, Args)).

parse(How, Function, Drv, Argv, Options, Args) ->
    checked(alcove_proc_options:parse(How, Drv, Argv, Options), Function, Args).

checked({ok, Parsed}, _Function, _Args) ->
    Parsed;
checked({error, Option}, Function, Args) ->
    Last = length(Args),
    Position =
        case Option of
            {drv, _} -> 1;
            {What, _} when What =:= argv; What =:= program; What =:= programs -> Last - 1;
            _ -> Last
        end,
    bad_option(Option, Function, Args, Position).

-spec bad_option(term(), atom(), [term(), ...], pos_integer()) -> no_return().
bad_option(Option, Function, Args, Position) ->
    alcove_errors:raise({badarg, Option}, ?MODULE, Function, Args, {{option, Option}, Position}).

%%--------------------------------------------------------------------
%% A program that runs
%%--------------------------------------------------------------------

%% @equiv write(Server, Data, infinity)
-spec write(server(), iodata() | unicode:chardata()) -> ok | {error, alcove:posix() | closed}.
write(Server, Data) ->
    case alcove_proc_options:data(Data) of
        error -> wrong(write, [Server, Data], {iodata, 2});
        Bytes -> ask(write, [Server, Data], {write, Bytes})
    end.

%% @doc Writes to a program's stdin, and returns when the data was accepted. Characters that aren't
%% bytes are encoded as UTF-8.
%%
%% `{error, epipe}': the program has closed its stdin. `{error, closed}': the program has ended,
%% {@link eof/1} was called, or `stdin' is anything but `stream', as given data has its own end.
%%
%% `{error, timeout}': the data wasn't accepted in time, because the program doesn't read and more
%% than a MiB waits for it. The data is not taken back: it stays in the queue and goes to the
%% program when that reads on, before anything that is written later. So don't write it again. There
%% is no way to tell how much of it the program has read. With a `Timeout' of 0 the function never
%% waits.
-spec write(server(), iodata() | unicode:chardata(), timeout()) ->
    ok | {error, alcove:posix() | closed | timeout}.
write(Server, Data, Timeout) ->
    Args = [Server, Data, Timeout],
    alcove_call:is_timeout(Timeout) orelse wrong(write, Args, {timeout, 3}),
    case alcove_proc_options:data(Data) of
        error -> wrong(write, Args, {iodata, 2});
        Bytes -> ask(write, Args, {write, Bytes}, Timeout)
    end.

%% @doc Ends a program's stdin, after everything that was written. To a terminal it sends control-D.
-spec eof(server()) -> ok | {error, alcove:posix() | closed}.
eof(Server) ->
    ask(eof, [Server], eof).

%% @doc Closes alcove's end of a stream. A program that goes on writing to `stdout' or `stderr' gets
%% SIGPIPE, or the error EPIPE if it ignores that signal, as a program whose output goes to `head'
%% does. Output of the stream that waits is dropped, and no more comes. For `stdin' this is {@link
%% eof/1}.
%%
%% `{error, closed}': the stream is closed already, the program has ended, or the stream goes
%% elsewhere: to a file, or to the other stream. `{error, einval}': the program has a terminal,
%% which is one for both directions.
-spec close(server(), stdin | stdout | stderr) -> ok | {error, alcove:posix() | closed}.
close(Server, stdin) ->
    ask(close, [Server, stdin], eof);
close(Server, Stream) when Stream =:= stdout; Stream =:= stderr ->
    ask(close, [Server, Stream], {close, Stream});
close(Server, Stream) ->
    wrong(close, [Server, Stream], {stream, 2}).

%% @equiv read(Server, infinity)
-spec read(server()) -> {ok, {stdout | stderr, binary()}} | eof | {error, active | busy | timeout}.
read(Server) ->
    read(Server, infinity).

%% @doc Reads the next piece of a program's output, or with `lines' the next line, while the program
%% isn't active; `eof' when the program has ended and everything was read.
%%
%% A program is held back while no process reads: alcove keeps a little output for the next read,
%% and the rest waits in the pipe.
-spec read(server(), timeout()) ->
    {ok, {stdout | stderr, binary()}} | eof | {error, active | busy | timeout}.
read(Server, Timeout) ->
    read([Server, Timeout], Timeout, infinity, 2).

%% @doc As {@link read/2}, but returns `Max' bytes at most. The next read returns the rest of the
%% piece or the line.
-spec read(server(), timeout(), pos_integer() | infinity) ->
    {ok, {stdout | stderr, binary()}} | eof | {error, active | busy | timeout}.
read(Server, Timeout, Max) ->
    Args = [Server, Timeout, Max],
    Max =:= infinity orelse (is_integer(Max) andalso Max > 0) orelse wrong(read, Args, {bytes, 3}),
    read(Args, Timeout, Max, 2).

read(Args, Timeout, Max, Position) ->
    alcove_call:is_timeout(Timeout) orelse wrong(read, Args, {timeout, Position}),
    case ask(read, Args, {read, Timeout, Max}) of
        {error, closed} -> eof;
        Read -> Read
    end.

%% @doc Reads all output of a program, with a call of `Fun({stdout | stderr, Bytes}, Acc)' for each
%% piece.
-spec fold(server(), fun(({stdout | stderr, binary()}, Acc) -> Acc), Acc) ->
    {ok, Acc} | {error, term()}.
fold(Server, Fun, Acc) when not is_function(Fun, 2) ->
    wrong(fold, [Server, Fun, Acc], {function, 2});
fold(Server, Fun, Acc) ->
    %% The name is looked up once: another program may have it later, and must not be read from.
    case pid(fold, [Server, Fun, Acc]) of
        undefined -> {ok, Acc};
        Pid -> folded(Pid, Fun, Acc)
    end.

folded(Pid, Fun, Acc) ->
    case read(Pid) of
        {ok, Piece} -> folded(Pid, Fun, Fun(Piece, Acc));
        eof -> {ok, Acc};
        {error, Reason} -> {error, Reason}
    end.

%% @doc Sets how many pieces of output the owner gets as messages.
%%
%% `true': all of them, but the program is held back while its owner, on this node, has more
%% than some hundred messages in its queue. `once': one. `N': so many more, and then `{alcove_proc,
%% Pid, passive}'. `false': none, they are for {@link read/2}. `{error, no_owner}': the program has
%% no owner that could get messages.
-spec active(server(), boolean() | once | pos_integer()) -> ok | {error, closed | no_owner}.
active(Server, Active) when
    is_boolean(Active);
    Active =:= once;
    is_integer(Active), Active > 0
->
    ask(active, [Server, Active], {active, Active});
active(Server, Active) ->
    wrong(active, [Server, Active], {{option, {active, Active}}, 2}).

%% @equiv await(Server, infinity)
-spec await(server()) -> outcome().
await(Server) ->
    await(Server, infinity).

%% @doc Waits for the end of a program, and returns the outcome that the last message to its owner
%% has. `{error, timeout}' when the program hasn't ended in time; it goes on running.
%%
%% It doesn't wait for output to be read: when the program has ended, and its output still waits to
%% be read, it returns the outcome. You can read the rest then; the last message comes after it.
%%
%% A name belongs to a program only while it runs: after that, awaiting it by its name returns
%% `{error, {process, noproc}}'.
-spec await(server(), timeout()) -> outcome().
await(Server, Timeout) ->
    Pid = pid(await, [Server, Timeout]),
    alcove_call:is_timeout(Timeout) orelse wrong(await, [Server, Timeout], {timeout, 2}),
    case awaited(Pid, Timeout) of
        late -> {error, timeout};
        Outcome -> Outcome
    end.

%% @doc As {@link await/2}, but if the program hasn't ended in time, kills it and everything that it
%% started. Returns when that is done: `{error, {timeout, Result}}', as when the option `timeout'
%% runs out, or the program's own outcome if it had just ended. Output that wasn't read until then
%% is dropped.
-spec await(server(), timeout(), kill) -> outcome().
await(Server, Timeout, How) ->
    Args = [Server, Timeout, How],
    Pid = pid(await, Args),
    alcove_call:is_timeout(Timeout) orelse wrong(await, Args, {timeout, 2}),
    How =:= kill orelse wrong(await, Args, {kill, 3}),
    case awaited(Pid, Timeout) of
        late ->
            gen_server:cast(Pid, expired),
            awaited(Pid, infinity);
        Outcome ->
            Outcome
    end.

%% A gen_server tags its reply to an alias with an improper list.
-dialyzer({no_improper_lists, awaited/2}).

awaited(undefined, _Timeout) ->
    {error, {process, noproc}};
awaited(Pid, Timeout) ->
    Ref = erlang:monitor(process, Pid, [{alias, reply_demonitor}]),
    Pid ! {'$gen_call', {self(), [alias | Ref]}, await},
    receive
        {Tag, Pid, {exit, Exit}} when Tag =/= 'EXIT' ->
            demonitor(Ref, [flush]),
            unasked(Ref),
            Exit;
        {[alias | Ref], Outcome} ->
            message_or(Pid, Outcome);
        {'DOWN', Ref, process, Pid, Reason} ->
            message_or(Pid, {error, {process, Reason}})
    after Timeout ->
        demonitor(Ref, [flush]),
        unasked(Ref),
        late
    end.

%% The owner also gets a message with the outcome: it is taken from the queue if it is there.
message_or(Pid, Outcome) ->
    receive
        {Tag, Pid, {exit, Exit}} when Tag =/= 'EXIT' -> Exit
    after 0 -> Outcome
    end.

unasked(Ref) ->
    receive
        {[alias | Ref], _} -> ok
    after 0 -> ok
    end.

%% @doc Sends a signal to a program and its process group.
-spec signal(server(), atom() | integer()) -> ok | {error, alcove:posix() | closed}.
signal(Server, Signal) ->
    alcove_proc_options:is_signal(Signal) orelse
        wrong(signal, [Server, Signal], {{argument, kill, 2}, 2}),
    ask(signal, [Server, Signal], {signal, Signal}).

%% @doc Stops a program: sends `stop_signal', and SIGKILL after its grace. Returns when no process
%% of it is left.
-spec stop(server()) -> outcome().
stop(Server) ->
    ask(stop, [Server], {stop, undefined}).

%% @doc As {@link stop/1}, with a grace in milliseconds. With 0 the program is killed at once.
-spec stop(server(), non_neg_integer()) -> outcome().
stop(Server, Grace) ->
    (is_integer(Grace) andalso alcove_call:is_timeout(Grace)) orelse
        wrong(stop, [Server, Grace], {milliseconds, 2}),
    ask(stop, [Server, Grace], {stop, Grace}).

%% @doc Changes the size of a program's terminal. The kernel sends the program SIGWINCH.
-spec winsize(server(), pos_integer(), pos_integer()) -> ok | {error, alcove:posix() | closed}.
winsize(Server, Rows, Columns) ->
    Args = [Server, Rows, Columns],
    alcove_proc_options:is_dimension(Rows) orelse wrong(winsize, Args, {dimension, 2}),
    alcove_proc_options:is_dimension(Columns) orelse wrong(winsize, Args, {dimension, 3}),
    ask(winsize, Args, {winsize, {Rows, Columns}}).

%% @doc Returns what is known about a program: `drv', `fork_path', `os_pid', `argv', `state'
%% (`running', `stopping', `ended'), `owner', `active', `pty' (whether it has a terminal), `queued'
%% (how many pieces of output wait, counted as they came), `wall_time'; and its options `name' (or
%% `undefined'), `tag' and `meta'.
-spec info(server()) -> map() | {error, closed}.
info(Server) ->
    ask(info, [Server], info).

%% @doc Makes another process the owner. Messages that the caller has got stay in its queue.
-spec controlling_process(server(), pid()) -> ok | {error, closed}.
controlling_process(Server, Owner) ->
    is_pid(Owner) orelse wrong(controlling_process, [Server, Owner], {pid, 2}),
    ask(controlling_process, [Server, Owner], {owner, Owner}).

%% @equiv attach(Server, #{})
-spec attach(server()) -> attach_result().
attach(Server) ->
    attach(Server, #{}).

%% @doc Connects the caller's terminal, its group leader, with a running program that has a terminal
%% of its own (`pty').
%%
%% The caller's terminal shows what the program writes, if its output goes to `message' (the default
%% of {@link start/3}). What is typed goes to the program, whose terminal gets the size of the
%% caller's. Typing `~.' at the beginning of a line detaches: the program goes on, its owner gets
%% what it writes again, and the function returns `detached'. `~~' there sends a tilde. The option
%% `escape' sets another character instead of the tilde, or `none'. Control-D ends the program's
%% input. A second one in a row ends the caller's input, and so detaches.
%%
%% Meanwhile the owner stays the owner: the program ends with it. But of the messages it gets only
%% that of the program's end. {@link active/2} and {@link controlling_process/2} are for the time
%% after, and {@link read/2} returns `{error, busy}'.
%%
%% `{exit, Outcome}' when the program has ended, as {@link await/1} returns it; `{error, enotty}'
%% for one without a terminal; `{error, busy}' while another process is attached;
%% `{error, terminated}' when the caller's terminal fails. A caller that ends is detached, too.
%% Before OTP 28 the shell passes on what is typed only line by line, and keeps control characters.
-spec attach(server(), attach_options()) -> attach_result().
attach(Server, Options) ->
    is_attach(Options) orelse wrong(attach, [Server, Options], {escape, 2}),
    case pid(attach, [Server, Options]) of
        undefined -> {error, closed};
        Pid -> alcove_proc_attach:attach(Pid, Options)
    end.

is_attach(#{escape := Escape} = Options) ->
    map_size(Options) =:= 1 andalso
        (Escape =:= none orelse (is_integer(Escape) andalso Escape >= 0 andalso Escape < 128));
is_attach(Options) ->
    Options =:= #{}.

-spec wrong(atom(), [term(), ...], alcove_errors:cause()) -> no_return().
wrong(Function, Args, Cause) ->
    alcove_errors:raise(badarg, ?MODULE, Function, Args, Cause).

%% Sends a request to the process of a program, which is the first of the function's arguments.
ask(Function, Args, Request) ->
    ask(Function, Args, Request, infinity).

ask(Function, [Server | _] = Args, Request, Timeout) ->
    alcove_proc_registry:is_server(Server) orelse wrong(Function, Args, {server, 1}),
    try
        gen_server:call(Server, Request, Timeout)
    catch
        exit:{{nodedown, Node}, _} -> exit({nodedown, Node});
        exit:{timeout, _} -> {error, timeout};
        exit:_ -> {error, closed}
    end.

%% The pid of a program's process, if that is given by its name; `undefined' if there is none.
pid(Function, [Server | _] = Args) ->
    alcove_proc_registry:is_server(Server) orelse wrong(Function, Args, {server, 1}),
    alcove_proc_registry:pid(Server).
