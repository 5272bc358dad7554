%% @doc Runs programs.
%%
%% {@link run/3} runs one and returns when it has ended, with what it wrote:
%%
%% ```
%% {ok, #{status := 0, stdout := <<"hi\n">>}} = alcove_proc:run(Drv, ["echo", "hi"])
%% '''
%%
%% {@link start_link/3} runs one for as long as it takes, with an Erlang process of its own
%% to link to, to monitor and to put under a supervisor. Everything else is the same: the
%% options, and what is returned at the end.
%%
%% ```
%% {ok, Pid} = alcove_proc:start_link(Drv, ["cat"]),
%% ok = alcove_proc:write(Pid, "hello"),
%% receive {alcove_proc, Pid, {stdout, <<"hello">>}} -> ok end,
%% ok = alcove_proc:eof(Pid),
%% {ok, #{status := 0}} = alcove_proc:await(Pid)
%% '''
%%
%% The program and its arguments are a list of strings or binaries; there is no shell that
%% takes them apart. A string's characters are encoded as file names are, a binary is taken
%% as it is. `Drv' is what {@link alcove_drv:start/1} returns, or its registered name, or
%% `{start, Options}' for a Drv of this program alone, which ends with it.
%%
%% <h3>What is left of a program</h3>
%%
%% Nothing. When it has ended, or its process has been killed, all that it started is killed
%% as well, in sessions of its own or not, and {@link run/3} returns when it is gone; unless
%% `leftovers' says else.
%%
%% <h3>Options</h3>
%%
%% A map, or a list of pairs.
%%
%% <dl>
%% <dt>`stdin': `none', `stream', `{data, Data}', Data or `{file, Path}'</dt>
%% <dd>What the program reads: nothing; what {@link write/2} gives it, until {@link eof/1};
%%     data of any size. The default of {@link start/3} is `stream', else `none'.</dd>
%% <dt>`stdout', `stderr': what becomes of what it writes</dt>
%% <dd><ul>
%%     <li>`collect', `{collect, Max}', `{collect, Max, truncate}': it is in the result, and
%%         the default of {@link run/3}. When there are more than `Max' bytes (16 MiB) the
%%         program is killed; with `truncate' the rest is dropped;</li>
%%     <li>`message': it comes as a message, as `active' says, or is there for {@link read/2}.
%%         The default of {@link start/3};</li>
%%     <li>a function, which is called with each piece in the program's process;</li>
%%     <li>`{file, Path}', `{file, Path, [append | truncate | {mode, Mode}]}': to a file,
%%         which is opened before there is a change of user or root directory;</li>
%%     <li>`discard';</li>
%%     <li>`stdout', for `stderr': to where stdout goes.</li>
%%     </ul></dd>
%% <dt>`active': `true', `false', `once' or a number</dt>
%% <dd>How many messages the owner gets, as `gen_tcp' has it; see {@link active/2}.</dd>
%% <dt>`pty': `true', `{Rows, Columns}' or `#{rows => Rows, cols => Columns}'</dt>
%% <dd>The program gets a terminal for all three streams, and it is its controlling
%%     terminal. What it writes is stdout; {@link eof/1} is control-D.</dd>
%% <dt>`timeout': milliseconds or `infinity'</dt>
%% <dd>How long it may take. Then the program and its process group get `stop_signal'
%%     (`sigterm'), and after `grace' (5000 milliseconds) all of it is killed.</dd>
%% <dt>`leftovers': `kill' or `leave'</dt>
%% <dd>What becomes of processes that the program leaves behind.</dd>
%% <dt>`cwd': Path</dt>
%% <dd>The working directory: in `chroot', if there is one, and with the rights of
%%     `user'.</dd>
%% <dt>`env': `#{Name => Value}' or `[{Name, Value}]'; `clearenv': boolean</dt>
%% <dd>Variables on top of Drv's environment, or of none; `false' takes one out.</dd>
%% <dt>`user', `group': a name or a number; `groups': a list of them</dt>
%% <dd>A user comes with its own group and, by name, its supplementary groups. Names are
%%     looked up in /etc/passwd and /etc/group, as Drv sees them.</dd>
%% <dt>`capabilities': a list of names</dt>
%% <dd>Those that the program keeps, as `[cap_net_bind_service]', also as another user; it
%%     can't get others.</dd>
%% <dt>`no_new_privs': boolean</dt>
%% <dd>Nothing that it runs gains privileges, see prctl(2).</dd>
%% <dt>`seccomp': a policy</dt>
%% <dd>See {@link alcove_seccomp}.</dd>
%% <dt>`rlimits': `#{Resource => Limit | {Soft, Hard}}'</dt>
%% <dd>`#{nofile => 64, core => 0}', see {@link alcove:setrlimit/4}.</dd>
%% <dt>`nice': -20 to 19; `cpus': a list of processors</dt>
%% <dd>See {@link alcove:setpriority/5} and {@link alcove:sched_setaffinity/4}.</dd>
%% <dt>`cgroup': `Limits' or `{Name, Limits}'</dt>
%% <dd>A control group with limits as of {@link alcove_cgroup:limit/4}. Without a name it is
%%     made for the program and removed after it. The result has `cgroup', what
%%     {@link alcove_cgroup:stats/3} says at the end.</dd>
%% <dt>`chroot': Path</dt>
%% <dd>Another root directory.</dd>
%% <dt>`namespaces': a list of names</dt>
%% <dd>`[newpid, newns, newnet, newipc, newuts, newuser]', see {@link
%%     alcove:clone_define/3}. `uid_map' and `gid_map', of newuser, are lists of `{Inside,
%%     Outside, Count}'; by default the user that Drv runs as is 0 inside, and there is no
%%     other. `hostname' goes with newuts. Mounts of newns aren't seen outside.</dd>
%% <dt>`setup': a list of calls</dt>
%% <dd>Calls of {@link alcove} that are made in the process before all of `chroot', `user'
%%     and what restricts it, as `[{mount, ["tmpfs", "/mnt", "tmpfs", 0, ""]}]'.</dd>
%% <dt>`arg0': string</dt>
%% <dd>What the program is to see as its own name.</dd>
%% <dt>`in': a fork path</dt>
%% <dd>The process that starts the program, Drv's root by default.</dd>
%% <dt>`owner': a pid, a registered name or `none'</dt>
%% <dd>Who gets the messages, the caller by default. When it ends, so does the program.</dd>
%% <dt>`meta': map</dt>
%% <dd>What events of {@link alcove_telemetry} are to have besides.</dd>
%% </dl>
%%
%% <h3>Results</h3>
%%
%% `{ok, Result}' when the program has run and ended by itself or because it was stopped,
%% whatever its exit status. `Result' is a map:
%%
%% <dl>
%% <dt>`status'</dt><dd>0 to 255, or `{termsig, Signal}'</dd>
%% <dt>`stdout', `stderr'</dt><dd>what was collected</dd>
%% <dt>`truncated'</dt><dd>the streams of which some was dropped</dd>
%% <dt>`wall_time', `user_time', `system_time'</dt><dd>microseconds: how long it ran, and what
%%     it and the children that it waited for have used</dd>
%% <dt>`peak_memory'</dt><dd>bytes: of the control group, or of the largest process</dd>
%% <dt>`os_pid'</dt><dd>what its pid was</dd>
%% <dt>`cgroup'</dt><dd>with that option</dd>
%% </dl>
%%
%% `{error, {timeout, Result}}', `{error, {{output_limit, Stream}, Result}}': it was killed,
%% and is gone. `{error, {leftovers, Pids}}': some of it couldn't be killed.
%%
%% `{error, {Call, Reason}}': it has not run. `{execvp, enoent}': there is no such program;
%% `{chdir, eacces}', `{setresuid, eperm}' and so on: the system call of an option failed;
%% {@link alcove:format_error/1} explains them. `{user, {unknown, Name}}', `{user, {no_group,
%% User}}': the user must be in /etc/passwd, or `group' be given. `{start, timeout}': it took
%% too long. `{in, badpid}': no process is in its event loop at that fork path. `{parent,
%% gone}', `{drv, Reason}': alcove itself was ended.
%%
%% A wrong option is the error `{badarg, Option}' of the caller.
-module(alcove_proc).

-behaviour(gen_server).

-export([
    run/2, run/3,
    start/2, start/3,
    start_link/2, start_link/3,
    child_spec/1
]).
-export([
    write/2,
    eof/1,
    read/1, read/2,
    fold/3,
    active/2,
    await/1, await/2,
    signal/2,
    stop/1, stop/2,
    winsize/3,
    info/1,
    controlling_process/2
]).
%% For supervisors.
-export([start_child/3]).
-export([
    init/1,
    handle_call/3,
    handle_cast/2,
    handle_info/2,
    terminate/2,
    format_status/1
]).

-export_type([drv/0, argv/0, options/0, status/0, result/0, outcome/0]).

-type drv() :: alcove:drv() | atom() | {start, alcove_drv:options()}.
-type argv() :: [unicode:chardata(), ...].
-type options() :: #{atom() => term()} | [{atom(), term()} | atom()].
-type status() :: 0..255 | {termsig, atom()}.
-type result() :: #{
    status := status(),
    stdout => binary(),
    stderr => binary(),
    truncated := [stdout | stderr],
    wall_time := non_neg_integer(),
    user_time => non_neg_integer(),
    system_time => non_neg_integer(),
    peak_memory => non_neg_integer(),
    os_pid := alcove:os_pid(),
    cgroup => alcove_cgroup:stats()
}.
-type outcome() :: {ok, result()} | {error, term()}.

%% What a program may send before it is asked for, in messages.
-define(WINDOW, 16).
%% An owner with more messages than this has to read first.
-define(BEHIND, 256).
%% Milliseconds until the next look at an owner that is behind.
-define(LOOK, 10).
%% Input that a new pipe takes at once.
-define(SMALL, 32768).
%% How long it may take a killed process to be gone, a terminal to be empty.
-define(KILLED, 5000).
-define(DRAINED, 2000).
%% How often to see whether the parent is there. It tells of the program's end, but nobody
%% tells of its own.
-define(TICK, 5000).

-record(sink, {
    to :: message | discard | collect | {function, fun((binary()) -> term())},
    max = infinity :: non_neg_integer() | infinity,
    full = kill :: kill | truncate,
    size = 0 :: non_neg_integer(),
    truncated = false :: boolean(),
    %% Newest first.
    data = [] :: [binary()]
}).

-record(state, {
    options :: map(),
    drv :: pid(),
    drv_ref :: reference(),
    own_drv :: boolean(),
    %% The parent of the program, and what watches over it.
    parent :: alcove:os_pid(),
    guard :: pid(),
    program :: alcove_proc_setup:program(),
    owner :: pid() | none,
    owner_ref :: reference() | undefined,
    %% Who is to get the outcome besides the owner.
    alias :: reference() | undefined,
    stdout :: #sink{},
    stderr :: #sink{},
    %% Output that nobody has asked for yet.
    queue = queue:new() :: queue:queue({stdout | stderr, binary()}),
    active :: boolean() | pos_integer() | once,
    reader :: {gen_server:from(), reference() | undefined} | undefined,
    %% Messages that may still come; -1 where there is no limit.
    credit :: integer(),
    looking = false :: boolean(),
    terminal :: #{reader := pid(), open := boolean()} | undefined,
    writer :: pid() | undefined,
    started :: integer(),
    phase = running :: running | stopping | killed | draining | ended,
    %% What is done to it, and why.
    why :: undefined | stopped | timeout | {output_limit, stdout | stderr} | term(),
    timer :: reference() | undefined,
    stoppers = [] :: [gen_server:from()],
    status :: status() | undefined,
    wall :: non_neg_integer() | undefined,
    rusage :: map() | undefined,
    stats :: map() | undefined,
    left = [] :: [alcove:os_pid()]
}).

%%--------------------------------------------------------------------
%% To run and to start
%%--------------------------------------------------------------------

%% @equiv run(Drv, Argv, #{})
-spec run(drv(), argv()) -> outcome().
run(Drv, Argv) ->
    run(Drv, Argv, #{}).

%% @doc Runs a program and returns when it has ended, and all that it started.
%%
%% It ends as well when the caller does.
-spec run(drv(), argv(), options()) -> outcome().
run(Drv, Argv, Options) ->
    Parsed = parse(run, Drv, Argv, Options, run),
    Pid = proc_lib:spawn(?MODULE, init, [{run, Parsed}]),
    Ref = erlang:monitor(process, Pid, [{alias, reply_demonitor}]),
    Pid ! {run, Ref},
    receive
        {Ref, Outcome} -> Outcome;
        {'DOWN', Ref, process, Pid, Reason} -> {error, {process, Reason}}
    end.

%% @equiv start(Drv, Argv, #{})
-spec start(drv(), argv()) -> {ok, pid()} | {error, term()}.
start(Drv, Argv) ->
    start(Drv, Argv, #{}).

%% @doc Starts a program. `{ok, Pid}' when it runs, else an error as of {@link run/3}.
%%
%% The owner, the caller unless `owner' says else, gets
%%
%% ```
%% {alcove_proc, Pid, {stdout | stderr, Bytes}}
%% {alcove_proc, Pid, passive}
%% {alcove_proc, Pid, {exit, Outcome}}
%% '''
%%
%% the last of which is what {@link run/3} would have returned; {@link await/2} waits for it,
%% and finds it also when the program has ended before anybody could monitor `Pid'.
%% `Pid' ends with the reason `normal' when the exit status was 0 or {@link stop/1} was
%% called, `{exit_status, N}' or `{termsig, Signal}' otherwise, and with `timeout' or
%% `{output_limit, Stream}' when that was why the program was killed.
%%
%% When the owner ends, the program is ended.
-spec start(drv(), argv(), options()) -> {ok, pid()} | {error, term()}.
start(Drv, Argv, Options) ->
    alcove_start:run(start, ?MODULE, parse(start, Drv, Argv, Options, start)).

%% @equiv start_link(Drv, Argv, #{})
-spec start_link(drv(), argv()) -> {ok, pid()} | {error, term()}.
start_link(Drv, Argv) ->
    start_link(Drv, Argv, #{}).

%% @doc As {@link start/3}, linked to the caller.
-spec start_link(drv(), argv(), options()) -> {ok, pid()} | {error, term()}.
start_link(Drv, Argv, Options) ->
    alcove_start:run(start_link, ?MODULE, parse(start, Drv, Argv, Options, start_link)).

%% @doc A child specification for a supervisor: `{Drv, Argv}', `{Drv, Argv, Options}' or a
%% map with `drv', `argv', `options', and what else a child specification may have, as `id'
%% and `restart'.
%%
%% A supervisor has no use for messages: unless the options have an `owner', who may be a
%% registered name, what the program writes is discarded, and it has no input.
%%
%% A program that ends with a status that isn't 0 has ended abnormally: the child is
%% `transient' and so restarted then, and only then.
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
            start => {?MODULE, start_child, [Drv, Argv, Options]},
            restart => transient,
            shutdown => Grace + 3 * ?KILLED,
            modules => [?MODULE]
        },
        maps:without([drv, argv, options], Spec)
    );
child_spec(Spec) ->
    bad_option(Spec, child_spec, [Spec], 1).

%% @private
-spec start_child(drv(), argv(), options()) -> {ok, pid()} | {error, term()}.
start_child(Drv, Argv, Options) ->
    %% A name that nobody has yet is for the supervisor to try again.
    case alcove_proc_options:parse(child, Drv, Argv, Options) of
        {ok, Parsed} -> alcove_start:run(start_link, ?MODULE, Parsed);
        {error, Option} -> {error, {badarg, Option}}
    end.

parse(How, Drv, Argv, Options, Function) ->
    case alcove_proc_options:parse(How, Drv, Argv, Options) of
        {ok, Parsed} ->
            Parsed;
        {error, Option} ->
            Position =
                case Option of
                    {drv, _} -> 1;
                    {argv, _} -> 2;
                    _ -> 3
                end,
            bad_option(Option, Function, [Drv, Argv, Options], Position)
    end.

-spec bad_option(term(), atom(), [term(), ...], pos_integer()) -> no_return().
bad_option(Option, Function, Args, Position) ->
    alcove_errors:raise({badarg, Option}, ?MODULE, Function, Args, {{option, Option}, Position}).

%%--------------------------------------------------------------------
%% A program that runs
%%--------------------------------------------------------------------

%% @doc Writes to a program's stdin, and returns when that was taken. Characters that aren't
%% bytes go as UTF-8.
%%
%% `{error, epipe}' when the program has closed it, `{error, closed}' when it has ended or
%% {@link eof/1} was called.
-spec write(pid(), iodata() | unicode:chardata()) -> ok | {error, alcove:posix() | closed}.
write(Pid, Data) ->
    case alcove_proc_options:data(Data) of
        error -> wrong(write, [Pid, Data], {iodata, 2});
        Bytes -> ask(write, [Pid, Data], {write, Bytes})
    end.

%% @doc Ends a program's stdin, after all that was written. On a terminal it is control-D.
-spec eof(pid()) -> ok | {error, alcove:posix() | closed}.
eof(Pid) ->
    ask(eof, [Pid], eof).

%% @equiv read(Pid, infinity)
-spec read(pid()) -> {ok, {stdout | stderr, binary()}} | eof | {error, active | busy | timeout}.
read(Pid) ->
    read(Pid, infinity).

%% @doc The next piece of what a program writes, while it isn't active; `eof' when it has
%% ended and all was read.
%%
%% A program is held back while nobody reads: a little is kept for the next read, and the
%% rest waits in its pipe.
-spec read(pid(), timeout()) ->
    {ok, {stdout | stderr, binary()}} | eof | {error, active | busy | timeout}.
read(Pid, Timeout) ->
    alcove_call:is_timeout(Timeout) orelse wrong(read, [Pid, Timeout], {timeout, 2}),
    case ask(read, [Pid, Timeout], {read, Timeout}) of
        {error, closed} -> eof;
        Read -> Read
    end.

%% @doc Reads all that a program writes: `Fun({stdout | stderr, Bytes}, Acc)' for each piece.
-spec fold(pid(), fun(({stdout | stderr, binary()}, Acc) -> Acc), Acc) ->
    {ok, Acc} | {error, term()}.
fold(Pid, Fun, Acc) when not is_function(Fun, 2) ->
    wrong(fold, [Pid, Fun, Acc], {function, 2});
fold(Pid, Fun, Acc) ->
    case read(Pid) of
        {ok, Piece} -> fold(Pid, Fun, Fun(Piece, Acc));
        eof -> {ok, Acc};
        {error, Reason} -> {error, Reason}
    end.

%% @doc How many pieces of output the owner gets as messages.
%%
%% `true': all of them; but a program is held back while its owner, on this node, has more
%% than some hundred messages to take. `once': one. `N': so many more, and then `{alcove_proc,
%% Pid, passive}'. `false': none, they are for {@link read/2}. `{error, no_owner}' when there is
%% nobody to get them.
-spec active(pid(), boolean() | once | pos_integer()) -> ok | {error, closed | no_owner}.
active(Pid, Active) when
    is_boolean(Active);
    Active =:= once;
    is_integer(Active), Active > 0
->
    ask(active, [Pid, Active], {active, Active});
active(Pid, Active) ->
    wrong(active, [Pid, Active], {{option, {active, Active}}, 2}).

%% @equiv await(Pid, infinity)
-spec await(pid()) -> outcome().
await(Pid) ->
    await(Pid, infinity).

%% @doc Waits for the last message of a program, which its owner gets, and returns what it
%% says. `{error, timeout}' when there is none in time: the program goes on.
-spec await(pid(), timeout()) -> outcome().
await(Pid, Timeout) ->
    is_pid(Pid) orelse wrong(await, [Pid, Timeout], {pid, 1}),
    alcove_call:is_timeout(Timeout) orelse wrong(await, [Pid, Timeout], {timeout, 2}),
    Ref = monitor(process, Pid),
    Outcome =
        receive
            {alcove_proc, Pid, {exit, Exit}} -> Exit;
            {'DOWN', Ref, process, Pid, Reason} -> {error, {process, Reason}}
        after Timeout ->
            {error, timeout}
        end,
    demonitor(Ref, [flush]),
    Outcome.

%% @doc Sends a signal to a program and its process group.
-spec signal(pid(), atom() | integer()) -> ok | {error, alcove:posix() | closed}.
signal(Pid, Signal) ->
    alcove_proc_options:is_signal(Signal) orelse
        wrong(signal, [Pid, Signal], {{argument, kill, 2}, 2}),
    ask(signal, [Pid, Signal], {signal, Signal}).

%% @doc Stops a program: `stop_signal', and SIGKILL after its grace. Returns when nothing of
%% it is left.
-spec stop(pid()) -> outcome().
stop(Pid) ->
    ask(stop, [Pid], {stop, undefined}).

%% @doc As {@link stop/1}, with a grace in milliseconds. With 0 it is killed at once.
-spec stop(pid(), non_neg_integer()) -> outcome().
stop(Pid, Grace) ->
    (is_integer(Grace) andalso alcove_call:is_timeout(Grace)) orelse
        wrong(stop, [Pid, Grace], {milliseconds, 2}),
    ask(stop, [Pid, Grace], {stop, Grace}).

%% @doc Changes the size of a program's terminal, which gets SIGWINCH.
-spec winsize(pid(), pos_integer(), pos_integer()) -> ok | {error, alcove:posix() | closed}.
winsize(Pid, Rows, Columns) ->
    Args = [Pid, Rows, Columns],
    alcove_proc_options:is_dimension(Rows) orelse wrong(winsize, Args, {dimension, 2}),
    alcove_proc_options:is_dimension(Columns) orelse wrong(winsize, Args, {dimension, 3}),
    ask(winsize, Args, {winsize, {Rows, Columns}}).

%% @doc What there is to know about a program: `drv', `fork_path', `os_pid', `argv', `state'
%% (`running', `stopping', `ended'), `owner', `active', `queued' (pieces of output that wait),
%% `wall_time'.
-spec info(pid()) -> map() | {error, closed}.
info(Pid) ->
    ask(info, [Pid], info).

%% @doc Makes another process the owner. Messages that the caller got already stay there.
-spec controlling_process(pid(), pid()) -> ok | {error, closed}.
controlling_process(Pid, Owner) ->
    is_pid(Owner) orelse wrong(controlling_process, [Pid, Owner], {pid, 2}),
    ask(controlling_process, [Pid, Owner], {owner, Owner}).

-spec wrong(atom(), [term(), ...], alcove_errors:cause()) -> no_return().
wrong(Function, Args, Cause) ->
    alcove_errors:raise(badarg, ?MODULE, Function, Args, Cause).

%% What a function asks of the process of a program, the first of its arguments.
ask(Function, [Pid | _] = Args, Request) ->
    is_pid(Pid) orelse wrong(Function, Args, {pid, 1}),
    try
        gen_server:call(Pid, Request, infinity)
    catch
        exit:{{nodedown, Node}, _} -> exit({nodedown, Node});
        exit:_ -> {error, closed}
    end.

%%--------------------------------------------------------------------
%% The start
%%--------------------------------------------------------------------

%% @private
-spec init({run, map()} | {pid(), map()}) -> no_return().
init({run, Options}) ->
    receive
        {run, Alias} ->
            process_flag(trap_exit, true),
            case begin_(Options, Alias) of
                {ok, State} -> enter(State);
                {error, Reason} -> answer(Alias, {error, Reason})
            end,
            exit(normal)
    end;
init({Starter, Options}) ->
    process_flag(trap_exit, true),
    case begin_(Options, undefined) of
        {ok, State} ->
            proc_lib:init_ack(Starter, {ok, self()}),
            enter(State);
        {error, Reason} ->
            alcove_start:failed(Starter, Reason)
    end.

answer(Alias, Outcome) ->
    Alias ! {Alias, Outcome},
    ok.

-spec enter(#state{}) -> no_return().
enter(State) ->
    gen_server:enter_loop(?MODULE, [], State).

begin_(#{drv := {start, DrvOptions}} = Options, Alias) ->
    case alcove_drv:start_link(self(), DrvOptions) of
        {ok, Drv} ->
            case begin_(Options#{drv := Drv}, Alias) of
                {ok, State} ->
                    {ok, State#state{own_drv = true}};
                {error, Reason} ->
                    unlink(Drv),
                    ok = alcove_drv:stop(Drv),
                    {error, Reason}
            end;
        {error, Reason} ->
            {error, {drv, Reason}}
    end;
begin_(#{drv := Drv} = Given, Alias) ->
    Options = Given#{window => window(Given)},
    Deadline = deadline(Options),
    Start = erlang:monotonic_time(),
    case alcove_proc_guard:start(Options) of
        {ok, Guard, Parent} ->
            Path = path(Options, Parent),
            try
                ok = alcove_drv:controlling_process(Drv, Path, self()),
                alcove_proc_setup:program(Options, Path, Deadline)
            of
                {ok, Program} ->
                    {ok, running(Options, Alias, Guard, Parent, Program, Start)};
                {error, Reason} ->
                    abandon(Options, Guard, Parent),
                    {error, Reason}
            catch
                error:badpid -> {error, {parent, gone}}
            end;
        {error, Reason} ->
            {error, Reason}
    end.

path(#{in := In}, Parent) ->
    In ++ [Parent].

%% Only where output waits for somebody has it to be held.
window(#{stdout := Stdout, stderr := Stderr}) ->
    case Stdout =:= message orelse Stderr =:= message of
        true -> ?WINDOW;
        false -> -1
    end.

deadline(#{timeout := infinity}) -> infinity;
deadline(#{timeout := Timeout}) -> erlang:monotonic_time(millisecond) + Timeout.

abandon(#{drv := Drv, in := In} = Options, Guard, Parent) ->
    Path = path(Options, Parent),
    try
        _ = alcove_proc_reap:leftovers({Drv, Path}, []),
        ok = alcove_proc_setup:ungroup(Options, Path),
        ok = alcove_proc_reap:release(Drv, In, Parent)
    catch
        error:badpid -> ok
    end,
    alcove_proc_guard:done(Guard).

running(Options, Alias, Guard, Parent, Program, Start) ->
    #{drv := Drv, owner := Owner, stdout := Stdout, stderr := Stderr, active := Active} = Options,
    State = #state{
        options = Options,
        drv = Drv,
        drv_ref = monitor(process, Drv),
        own_drv = false,
        parent = Parent,
        guard = Guard,
        program = Program,
        owner = Owner,
        owner_ref = watched(Owner),
        alias = Alias,
        stdout = sink(Stdout),
        stderr = sink(Stderr),
        active = Owner =/= none andalso Active,
        credit = maps:get(window, Options),
        started = Start
    },
    Now = erlang:monotonic_time(),
    event(spawn, #{duration => Now - Start, system_time => erlang:system_time()}, #{}, State),
    _ = erlang:send_after(?TICK, self(), tick),
    opened(input(timed(State))).

watched(none) -> undefined;
watched(Owner) -> monitor(process, Owner).

sink({collect, Max, Full}) -> #sink{to = collect, max = Max, full = Full};
sink(message) -> #sink{to = message};
sink({function, Fun}) -> #sink{to = {function, Fun}};
sink(_) -> #sink{to = discard}.

timed(#state{options = #{timeout := infinity}} = State) ->
    State;
timed(#state{options = #{timeout := Timeout}} = State) ->
    timer(max(0, Timeout - wall(State) div 1000), deadline, State).

timer(Ms, What, State) ->
    (untimed(State))#state{timer = erlang:start_timer(Ms, self(), What)}.

untimed(#state{timer = undefined} = State) ->
    State;
untimed(#state{timer = Ref} = State) ->
    _ = erlang:cancel_timer(Ref),
    State#state{timer = undefined}.

%% A terminal has readers of its own.
opened(#state{program = #{terminal := undefined}} = State) ->
    State;
opened(#state{drv = Drv, program = #{terminal := Terminal}} = State) ->
    #{reader := Path, master := Master} = Terminal,
    Reader = alcove_proc_io:reader(Drv, {tty, Path, Master}, self()),
    ok = alcove_proc_io:credit(Reader, State#state.credit),
    State#state{terminal = #{reader => Reader, open => true}}.

input(#state{options = #{stdin := Stdin}, program = #{terminal := Terminal}} = State) ->
    case Stdin of
        none when Terminal =:= undefined -> closed(State);
        {data, Data} when Terminal =:= undefined, byte_size(Data) =< ?SMALL -> small(Data, State);
        none -> written([], State);
        {data, Data} -> written(Data, State);
        _ -> State
    end.

%% What a new pipe takes at once needs nobody who waits.
small(Data, #state{drv = Drv, program = #{path := Path}} = State) ->
    _ = reached(fun() -> alcove:stdin(Drv, Path, Data) end),
    closed(State).

closed(#state{drv = Drv, program = #{path := Path}} = State) ->
    _ = reached(fun() -> alcove:eof(Drv, Path) end),
    State.

written(Data, State) ->
    #state{writer = Writer} = State1 = writer(State),
    ok = alcove_proc_io:write(Writer, none, Data),
    ok = alcove_proc_io:eof(Writer, none),
    State1.

writer(#state{writer = undefined, drv = Drv, program = Program} = State) ->
    Target =
        case Program of
            #{terminal := undefined, path := Path} -> {stdin, Path};
            #{terminal := #{writer := Path, master := Master}} -> {tty, Path, Master}
        end,
    State#state{writer = alcove_proc_io:writer(Drv, Target)};
writer(State) ->
    State.

%% A program may have ended by now: then its end is about to be heard of.
reached(Fun) ->
    try
        Fun()
    catch
        error:badpid -> gone
    end.

%%--------------------------------------------------------------------
%% The process
%%--------------------------------------------------------------------

%% @private
-spec handle_call(term(), gen_server:from(), #state{}) ->
    {reply, term(), #state{}} | {noreply, #state{}} | {stop, normal, #state{}}.
handle_call({write, Data}, From, #state{phase = running} = State) ->
    #state{writer = Writer} = State1 = writer(State),
    ok = alcove_proc_io:write(Writer, From, Data),
    {noreply, State1};
handle_call(eof, From, #state{phase = running} = State) ->
    #state{writer = Writer} = State1 = writer(State),
    ok = alcove_proc_io:eof(Writer, From),
    {noreply, State1};
handle_call({read, _}, _From, #state{active = Active} = State) when Active =/= false ->
    {reply, {error, active}, State};
handle_call({read, _}, _From, #state{reader = Reader} = State) when Reader =/= undefined ->
    {reply, {error, busy}, State};
handle_call({read, Timeout}, From, State) ->
    Ref =
        case Timeout of
            infinity -> undefined;
            _ -> erlang:start_timer(Timeout, self(), read)
        end,
    next(State#state{reader = {From, Ref}});
handle_call({active, _}, _From, #state{owner = none} = State) ->
    {reply, {error, no_owner}, State};
handle_call({active, N}, From, #state{active = Active} = State) when
    is_integer(N), is_integer(Active)
->
    gen_server:reply(From, ok),
    next(State#state{active = Active + N});
handle_call({active, Active}, From, State) ->
    gen_server:reply(From, ok),
    next(State#state{active = Active});
handle_call({signal, Signal}, _From, #state{status = undefined} = State) ->
    {reply, reached(fun() -> send_signal(Signal, State) end), State};
handle_call({stop, Grace}, From, #state{status = undefined} = State) ->
    Stopping = State#state{stoppers = [From | State#state.stoppers]},
    next(stopping(stopped, grace(Grace, State), Stopping));
handle_call({stop, _}, From, State) ->
    %% It has ended; output that waits is nobody's any more.
    next(State#state{stoppers = [From | State#state.stoppers], queue = queue:new()});
handle_call({winsize, _}, _From, #state{program = #{terminal := undefined}} = State) ->
    {reply, {error, enotty}, State};
handle_call({winsize, Size}, _From, #state{status = undefined} = State) ->
    #state{drv = Drv, program = #{terminal := #{master := Master}}} = State,
    Set = fun() -> alcove_proc_setup:terminal_size({Drv, parent(State)}, Master, Size) end,
    {reply, reached(Set), State};
handle_call(info, _From, State) ->
    {reply, summary(State), State};
handle_call({owner, Owner}, _From, State) ->
    State#state.owner_ref =:= undefined orelse demonitor(State#state.owner_ref, [flush]),
    {reply, ok, State#state{owner = Owner, owner_ref = monitor(process, Owner)}};
handle_call(_Request, _From, State) ->
    {reply, {error, closed}, State}.

%% @private
-spec handle_cast(term(), #state{}) -> {noreply, #state{}}.
handle_cast(_Message, State) ->
    {noreply, State}.

%% @private
-spec handle_info(term(), #state{}) -> {noreply, #state{}} | {stop, normal, #state{}}.
handle_info({alcove_stdout, Drv, Path, Bytes}, #state{drv = Drv} = State) ->
    next(heard(stdout, Path, Bytes, State));
handle_info({alcove_stderr, Drv, Path, Bytes}, #state{drv = Drv} = State) ->
    next(heard(stderr, Path, Bytes, State));
handle_info({alcove_event, Drv, Path, Event}, #state{drv = Drv} = State) ->
    case State#state.program of
        #{path := Path} -> next(happened(Event, State));
        _ -> {noreply, State}
    end;
handle_info({alcove_proc_io, Reader, What}, #state{terminal = #{reader := Reader}} = State) ->
    case What of
        eof -> next(emptied(State));
        Bytes -> next(output(stdout, Bytes, State))
    end;
handle_info({timeout, Ref, What}, #state{timer = Ref} = State) ->
    next(due(What, State#state{timer = undefined}));
handle_info({timeout, Ref, read}, #state{reader = {From, Ref}} = State) ->
    gen_server:reply(From, {error, timeout}),
    {noreply, State#state{reader = undefined}};
handle_info(look, State) ->
    next(State#state{looking = false});
handle_info(tick, State) ->
    _ = erlang:send_after(?TICK, self(), tick),
    next(looked_after(State));
handle_info({'DOWN', Ref, process, _, Reason}, #state{drv_ref = Ref} = State) ->
    next(lost({drv, Reason}, State));
handle_info({'DOWN', Ref, process, _, _}, #state{owner_ref = Ref} = State) ->
    next(orphaned(State));
handle_info({'EXIT', Pid, Reason}, State) ->
    exited(Pid, Reason, State);
handle_info(_Message, State) ->
    {noreply, State}.

exited(Pid, Reason, #state{drv = Pid} = State) ->
    next(lost({drv, Reason}, State));
exited(_Pid, normal, State) ->
    {noreply, State};
exited(_Pid, Reason, State) ->
    %% As any process that is linked to one that fails.
    next(stopping(Reason, grace(undefined, State), State)).

%% @private
-spec terminate(term(), #state{}) -> ok.
terminate(Reason, #state{phase = Phase} = State) when Phase =/= ended ->
    last(stopping(Reason, grace(undefined, State), State));
terminate(_Reason, _State) ->
    ok.

%% A supervisor waits for this.
last(#state{status = undefined, phase = Phase} = State) when Phase =/= ended ->
    receive
        Message ->
            case handle_info(Message, State) of
                {noreply, State1} -> last(State1);
                {stop, normal, _} -> ok
            end
    end;
last(State) ->
    case next(State#state{queue = queue:new()}) of
        {noreply, #state{phase = draining} = State1} -> last(State1#state{phase = killed});
        _ -> ok
    end.

%% @private
-spec format_status(gen_server:format_status()) -> gen_server:format_status().
format_status(#{state := #state{} = State} = Status) ->
    Status#{state := summary(State)};
format_status(Status) ->
    Status.

summary(#state{options = #{argv := Argv}, program = #{path := Path}} = State) ->
    #{
        drv => State#state.drv,
        fork_path => Path,
        os_pid => lists:last(Path),
        argv => Argv,
        state =>
            case State#state.phase of
                running -> running;
                Phase when Phase =:= stopping; Phase =:= killed -> stopping;
                _ -> ended
            end,
        owner => State#state.owner,
        active => State#state.active,
        queued => queue:len(State#state.queue),
        wall_time => wall(State)
    }.

wall(#state{wall = undefined, started = Start}) ->
    erlang:convert_time_unit(erlang:monotonic_time() - Start, native, microsecond);
wall(#state{wall = Wall}) ->
    Wall.

%%--------------------------------------------------------------------
%% Output
%%--------------------------------------------------------------------

heard(Stream, Path, Bytes, #state{program = #{path := Path}, terminal = undefined} = State) ->
    output(Stream, Bytes, State);
heard(_Stream, _Path, _Bytes, State) ->
    State.

output(Stream, Bytes, #state{credit = -1} = State) ->
    taken(Stream, Bytes, State);
output(Stream, Bytes, #state{credit = Credit} = State) ->
    %% What was under way when more was asked for comes on top.
    taken(Stream, Bytes, State#state{credit = max(0, Credit - 1)}).

taken(Stream, Bytes, State) ->
    #sink{to = To} = Sink = stream(Stream, State),
    case To of
        collect ->
            collected(Stream, Bytes, Sink, State);
        message ->
            case dropped(State) of
                true -> State;
                false -> State#state{queue = queue:in({Stream, Bytes}, State#state.queue)}
            end;
        {function, Fun} ->
            _ = Fun(Bytes),
            State;
        discard ->
            State
    end.

%% A program that is being ended isn't held any more. It may yet write without end, and what
%% nobody takes is not kept.
dropped(#state{phase = running}) -> false;
dropped(#state{queue = Queue} = State) -> queue:len(Queue) > ?BEHIND orelse behind(State).

stream(stdout, State) -> State#state.stdout;
stream(stderr, State) -> State#state.stderr.

stream(stdout, Sink, State) -> State#state{stdout = Sink};
stream(stderr, Sink, State) -> State#state{stderr = Sink}.

collected(Stream, Bytes, #sink{size = Size, max = Max, data = Data} = Sink, State) ->
    case Size + byte_size(Bytes) of
        More when More =< Max ->
            stream(Stream, Sink#sink{size = More, data = [Bytes | Data]}, State);
        _ ->
            Room = binary:copy(binary:part(Bytes, 0, Max - Size)),
            Full = stream(
                Stream, Sink#sink{size = Max, data = [Room | Data], truncated = true}, State
            ),
            case Sink of
                #sink{full = kill} -> stopping({output_limit, Stream}, 0, Full);
                #sink{full = truncate} -> Full
            end
    end.

%% Whatever happened: what waits goes to who waits for it, more is asked for when there is
%% room, and when all is done the process ends.
next(State) ->
    case delivered(State) of
        #state{phase = ended, queue = Queue} = Delivered ->
            case queue:is_empty(Queue) of
                true -> conclude(Delivered);
                false -> {noreply, Delivered}
            end;
        #state{} = Delivered ->
            {noreply, metered(Delivered)}
    end.

delivered(#state{active = false, reader = undefined} = State) ->
    State;
delivered(#state{queue = Queue} = State) ->
    case queue:out(Queue) of
        {{value, Piece}, Rest} -> delivered(Piece, State#state{queue = Rest});
        {empty, _} -> State
    end.

delivered(Piece, #state{reader = {From, Ref}} = State) ->
    Ref =:= undefined orelse erlang:cancel_timer(Ref),
    gen_server:reply(From, {ok, Piece}),
    State#state{reader = undefined};
delivered(Piece, #state{owner = Owner, active = Active} = State) ->
    Owner ! {alcove_proc, self(), Piece},
    case Active of
        true ->
            delivered(State);
        once ->
            State#state{active = false};
        1 ->
            Owner ! {alcove_proc, self(), passive},
            State#state{active = false};
        N ->
            delivered(State#state{active = N - 1})
    end.

%% Half of the window is asked for again when it was used and little waits.
metered(#state{credit = Credit} = State) when Credit < 0; Credit > ?WINDOW div 2 ->
    State;
metered(#state{queue = Queue, looking = Looking} = State) ->
    case queue:len(Queue) < ?WINDOW of
        true when Looking ->
            State;
        true ->
            case behind(State) of
                true ->
                    _ = erlang:send_after(?LOOK, self(), look),
                    State#state{looking = true};
                false ->
                    asked(State)
            end;
        false ->
            State
    end.

%% Who asks for a number of pieces has made room for them.
behind(#state{active = true, owner = Owner}) when node(Owner) =:= node() ->
    case process_info(Owner, message_queue_len) of
        {message_queue_len, Length} -> Length > ?BEHIND;
        undefined -> false
    end;
behind(_State) ->
    false.

asked(#state{terminal = #{reader := Reader}} = State) ->
    ok = alcove_proc_io:credit(Reader, ?WINDOW),
    State#state{credit = ?WINDOW};
asked(#state{drv = Drv, program = #{path := Path}} = State) ->
    Pid = lists:last(Path),
    _ = reached(fun() -> alcove:setcpid(Drv, parent(State), Pid, flowcontrol, ?WINDOW) end),
    State#state{credit = ?WINDOW}.

parent(#state{options = Options, parent = Parent}) ->
    path(Options, Parent).

%%--------------------------------------------------------------------
%% The end
%%--------------------------------------------------------------------

grace(undefined, #state{options = #{grace := Grace}}) -> Grace;
grace(Grace, _State) -> Grace.

%% Ends the program; what asks for it first is why.
stopping(_Why, 0, #state{status = undefined, phase = stopping} = State) ->
    killed(State);
stopping(Why, Grace, #state{status = undefined, phase = running} = State) ->
    Signal =
        case Grace of
            0 -> sigkill;
            _ -> maps:get(stop_signal, State#state.options)
        end,
    event(
        kill,
        #{duration => erlang:monotonic_time() - State#state.started},
        #{signal => Signal, reason => Why},
        State
    ),
    Stopping = State#state{phase = stopping, why = Why},
    case Grace of
        0 ->
            killed(Stopping);
        _ ->
            _ = reached(fun() ->
                _ = send_signal(Signal, Stopping),
                send_signal(sigcont, Stopping)
            end),
            %% It may have to write before it can end.
            timer(Grace, kill, unheld(Stopping))
    end;
stopping(_Why, _Grace, State) ->
    State.

send_signal(Signal, #state{drv = Drv, program = #{path := Path}} = State) ->
    alcove_proc_reap:signal({Drv, parent(State)}, lists:last(Path), Signal).

killed(#state{status = undefined} = State) ->
    case reached(fun() -> send_signal(sigkill, State) end) of
        gone -> lost({parent, gone}, State);
        _ -> timer(?KILLED, give_up, unheld(State#state{phase = killed}))
    end.

%% Its end is told after all that it wrote: that isn't to wait for somebody who reads.
unheld(#state{credit = -1} = State) ->
    State;
unheld(#state{drv = Drv, terminal = Terminal, program = #{path := Path}} = State) ->
    ok =
        case Terminal of
            undefined ->
                Pid = lists:last(Path),
                Set = fun() -> alcove:setcpid(Drv, parent(State), Pid, flowcontrol, -1) end,
                _ = reached(Set),
                ok;
            #{reader := Reader} ->
                alcove_proc_io:credit(Reader, -1)
        end,
    State#state{credit = -1}.

due(deadline, State) -> stopping(timeout, grace(undefined, State), State);
due(kill, State) -> killed(State);
due(drained, State) -> emptied(State);
due(give_up, State) -> cleared(State).

orphaned(#state{status = undefined} = State) ->
    stopping({shutdown, owner_died}, grace(undefined, State), State#state{active = true});
orphaned(State) ->
    State#state{queue = queue:new(), why = {shutdown, owner_died}}.

%% The parent is alcove's own, and nobody but the kernel when it runs out of memory ends it.
looked_after(#state{drv = Drv, status = undefined} = State) ->
    case reached(fun() -> alcove:getpid(Drv, parent(State)) end) of
        gone -> lost({parent, gone}, State);
        _ -> State
    end;
looked_after(State) ->
    State.

%% All of it is gone, in a way that nobody can tell the status of.
lost(_Why, #state{phase = ended} = State) ->
    State;
lost(Why, State) ->
    alcove_proc_guard:done(State#state.guard),
    (untimed(State))#state{phase = ended, why = Why, wall = wall(State)}.

happened({rusage, Usage}, State) ->
    State#state{rusage = Usage};
happened({exit_status, Status}, State) ->
    over(Status, State);
happened({termsig, Signal}, State) ->
    over({termsig, Signal}, State);
happened(_Event, State) ->
    State.

over(Status, State) ->
    Over = (untimed(State))#state{status = Status, wall = wall(State)},
    case Over of
        #state{terminal = #{open := true}} -> draining(Over);
        _ -> cleared(Over)
    end.

%% What is left is killed; then nobody has the terminal, and the last of it can be read.
draining(#state{drv = Drv, program = #{terminal := Terminal}} = State) ->
    #{reader := Reader, writer := Writer} = Terminal,
    Own = [lists:last(Reader), lists:last(Writer)],
    _ = leftovers(Own, Drv, State),
    timer(?DRAINED, drained, (unheld(State))#state{phase = draining}).

emptied(#state{phase = draining} = State) ->
    cleared(untimed(alone(State)));
emptied(#state{terminal = #{} = Terminal} = State) ->
    State#state{terminal = Terminal#{open := false}};
emptied(State) ->
    State.

%% The ends of the terminal's processes, which are next, are nobody's business.
alone(#state{drv = Drv} = State) ->
    _ = reached(fun() -> alcove_proc_reap:silence({Drv, parent(State)}) end),
    State.

%% Sees to it that nothing of the program is left.
cleared(#state{drv = Drv, options = #{in := In}} = State) ->
    try
        Left =
            case leftovers([], Drv, State) of
                ok -> [];
                {error, Pids} -> Pids
            end,
        Stats = ungrouped(State),
        ok = alcove_proc_reap:release(Drv, In, State#state.parent),
        alcove_proc_guard:done(State#state.guard),
        State#state{phase = ended, left = Left, stats = Stats}
    catch
        error:badpid when State#state.status =/= undefined -> State#state{phase = ended};
        error:badpid -> lost({parent, gone}, State)
    end.

leftovers(_Except, _Drv, #state{options = #{leftovers := leave, pty := false}, phase = running}) ->
    ok;
leftovers(Except, Drv, State) ->
    alcove_proc_reap:leftovers({Drv, parent(State)}, Except).

ungrouped(#state{program = #{cgroup := undefined}}) ->
    undefined;
ungrouped(#state{drv = Drv, options = Options, program = #{cgroup := Name}} = State) ->
    Parent = parent(State),
    Stats =
        case alcove_cgroup:stats(Drv, Parent, Name) of
            {ok, Figures} -> Figures;
            {error, _} -> undefined
        end,
    ok = alcove_proc_setup:ungroup(Options, Parent),
    Stats.

-spec conclude(#state{}) -> {stop, normal, #state{}}.
conclude(State) ->
    Outcome = outcome(State),
    told(Outcome, State),
    event(exit, measured(State), #{status => State#state.status}, State),
    case State#state.stats of
        #{memory := #{oom_kills := Kills}} when Kills > 0 ->
            event(oom, #{kills => Kills}, #{}, State);
        _ ->
            ok
    end,
    case State of
        #state{own_drv = true, drv = Drv} ->
            unlink(Drv),
            alcove_drv:stop(Drv);
        _ ->
            ok
    end,
    _ = [
        begin
            unlink(Pid),
            exit(Pid, kill)
        end
     || Pid <- [State#state.writer, reader(State)], is_pid(Pid)
    ],
    quit(reason(State)),
    {stop, normal, State}.

reader(#state{terminal = #{reader := Reader}}) -> Reader;
reader(_State) -> undefined.

told(Outcome, #state{reader = Reader, alias = Alias, owner = Owner} = State) ->
    case Reader of
        {From, _} -> gen_server:reply(From, eof);
        undefined -> ok
    end,
    _ = [gen_server:reply(From, Outcome) || From <- State#state.stoppers],
    if
        is_reference(Alias) ->
            answer(Alias, Outcome);
        is_pid(Owner) ->
            Owner ! {alcove_proc, self(), {exit, Outcome}},
            ok;
        true ->
            ok
    end.

outcome(#state{status = undefined, why = {What, _} = Why}) when What =:= drv; What =:= parent ->
    {error, Why};
outcome(#state{status = undefined, left = Left}) ->
    {error, {leftovers, Left}};
outcome(#state{left = [_ | _] = Left}) ->
    {error, {leftovers, Left}};
outcome(#state{why = Why} = State) when Why =:= undefined; Why =:= stopped ->
    {ok, result(State)};
outcome(#state{why = Why} = State) ->
    {error, {Why, result(State)}}.

result(#state{status = Status, program = #{path := Path}} = State) ->
    Collected = [
        {Stream, iolist_to_binary(lists:reverse(Data))}
     || {Stream, #sink{to = collect, data = Data}} <- streams(State)
    ],
    Stats = [{cgroup, Stats} || #{} = Stats <- [State#state.stats]],
    Figures = maps:merge(usage(State), maps:from_list(Stats ++ Collected)),
    Figures#{
        status => Status,
        truncated => [Stream || {Stream, #sink{truncated = true}} <- streams(State)],
        wall_time => wall(State),
        os_pid => lists:last(Path)
    }.

streams(#state{stdout = Stdout, stderr = Stderr}) ->
    [{stdout, Stdout}, {stderr, Stderr}].

usage(#state{rusage = undefined}) ->
    #{};
usage(#state{rusage = Usage, stats = Stats}) ->
    Used = alcove_telemetry:used(Usage),
    case Stats of
        #{memory := #{peak := Peak}} when is_integer(Peak) -> Used#{peak_memory := Peak};
        _ -> Used
    end.

measured(#state{wall = Wall} = State) ->
    (usage(State))#{
        duration => erlang:convert_time_unit(Wall, microsecond, native)
    }.

reason(#state{why = stopped}) -> normal;
reason(#state{left = [_ | _] = Left}) -> {leftovers, Left};
reason(#state{why = Why}) when Why =/= undefined -> Why;
reason(#state{status = 0}) -> normal;
reason(#state{status = {termsig, _} = Status}) -> Status;
reason(#state{status = Status}) -> {exit_status, Status}.

%% Ends with a reason that is news to who is linked, and no crash: nothing is to be logged.
quit(normal) ->
    ok;
quit(Reason) ->
    process_flag(trap_exit, false),
    exit(self(), Reason),
    ok.

event(Name, Measurements, More, #state{options = Options, program = #{path := Path}} = State) ->
    #{argv := Argv, meta := Meta} = Options,
    Metadata = maps:merge(Meta, More#{
        drv => State#state.drv,
        pid => self(),
        fork_path => Path,
        os_pid => lists:last(Path),
        argv => Argv
    }),
    alcove_telemetry:execute([alcove, proc, Name], Measurements, Metadata).
