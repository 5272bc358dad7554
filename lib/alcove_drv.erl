%% @doc Starts and stops trees of Unix processes.
%%
%% This module runs a process for each tree. Its pid is the Drv that every function
%% of {@link alcove} takes. The process is no bottleneck: calls, replies and the
%% bytes of streams don't go through it. It starts the tree, watches the owners, and
%% ends the tree when it ends itself, for whatever reason.
%%
%% <h3>Owners</h3>
%%
%% An owner gets what Unix processes write, and what happens to them, as
%% messages: `{alcove_stdout, Drv, Pids, Bytes}', `{alcove_stderr, Drv, Pids, Bytes}'
%% and `{alcove_event, Drv, Pids, Event}'. The owner of a Drv is the process that
%% started it, or the one that the option `owner' names. {@link
%% controlling_process/3} gives a fork path to another process. When that process
%% ends, its fork paths go back to Drv's owner. When Drv's owner ends, Drv stops
%% with the reason `{shutdown, owner_died}'.
%%
%% Owners may live on other nodes.
%%
%% <h3>How it ends</h3>
%%
%% <ul>
%% <li>`normal': {@link stop/1}, or root exited with 0;</li>
%% <li>`{shutdown, {exit_status, N}}': root exited with another status;</li>
%% <li>`{termsig, Signal}': root was killed;</li>
%% <li>`killed': the process that guards the tree was killed, and the tree with it;</li>
%% <li>`{leftovers, Pids}': these processes didn't end in time, as far as alcove knows, see
%%     {@link stop/1}. Where nobody asked Drv to end, root's control socket had ended, and root
%%     had not;</li>
%% <li>`{router, Text}': the thread that serves this Drv failed.</li>
%% </ul>
%%
%% But for `leftovers', no process of the tree is left.
-module(alcove_drv).

-behaviour(gen_server).

-export([
    start/0, start/1,
    start_link/0, start_link/1, start_link/2,
    stop/1,
    child_spec/1,
    controlling_process/3,
    default/0,
    info/1
]).
%% For supervisors.
-export([start_child/1]).
%% For the other modules.
-export([locate/1, inherited/1, answer/2, kind/1, groups/2]).

-export([
    init/1,
    handle_call/3,
    handle_cast/2,
    handle_info/2,
    terminate/2,
    format_status/1
]).

-export_type([option/0, options/0, owner/0, ref/0]).

%% A Drv, given by its pid or by the name that it is registered by, as for a gen_server.
-type ref() :: pid() | atom() | {atom(), node()} | {global, term()} | {via, module(), term()}.

-type owner() :: pid() | atom().
-type options() :: [option()] | #{atom() => term()}.
-type variable() :: {Name :: string() | binary() | atom(), Value :: string() | binary() | false}.
-type option() ::
    stderr_to_stdout
    | {stderr_to_stdout, boolean()}
    | {env, [variable()] | #{string() | binary() | atom() => string() | binary() | false}}
    | clearenv
    | {clearenv, boolean()}
    | {exec, string() | binary() | [string() | binary()]}
    | {progname, file:name_all()}
    | exit_status
    | {exit_status, boolean() | 0 | 1}
    | termsig
    | {termsig, boolean() | 0 | 1}
    | verbose
    | {verbose, non_neg_integer()}
    | {maxchild, non_neg_integer()}
    | {maxforkdepth, non_neg_integer()}
    | {flowcontrol, integer()}
    | {signaloneof, non_neg_integer()}
    | {timeout, Milliseconds :: non_neg_integer()}
    | telemetry
    | {telemetry, boolean()}
    | {name, atom()}
    | {owner, owner()}.
%% The options of {@link start/1}, in a list or a map. If a list has an option twice, the first
%% one holds.
%%
%% <dl>
%% <dt>`stderr_to_stdout'</dt>
%% <dd>The owner gets root's stderr as that of all other processes. Without the
%%     option root's stderr is the virtual machine's.</dd>
%% <dt>`{env, Variables}'</dt>
%% <dd>Variables that are added to the environment of the virtual machine; the value `false'
%%     removes a variable. Names are strings, binaries or atoms. What Erlang itself puts into its
%%     environment is never passed on: `BINDIR', `ROOTDIR', `EMU', `PROGNAME', `ESCRIPT_NAME',
%%     `ERL_*', `ERTS_*', `RELEASE_*' (a release's cookie is one of these), `RELX_*', and the two
%%     directories that `erl' puts in front of `PATH'.</dd>
%% <dt>`clearenv'</dt>
%% <dd>Start from an empty environment.</dd>
%% <dt>`{exec, Command}'</dt>
%% <dd>A command that runs alcove, such as `"sudo -n"'. A string is split at
%%     blanks; a list of strings is used unchanged.</dd>
%% <dt>`{progname, Path}'</dt>
%% <dd>The executable; the default is `priv/alcove'.</dd>
%% <dt>`{exit_status, Flag}', `{termsig, Flag}', `{verbose, N}', `{maxchild, N}',
%%     `{maxforkdepth, N}', `{flowcontrol, N}', `{signaloneof, N}'</dt>
%% <dd>Root's options, see {@link alcove:getopt/3}; its children inherit
%%     them. `verbose' is short for `{verbose, 1}', `exit_status' and `termsig' for `true'.</dd>
%% <dt>`{timeout, Milliseconds}'</dt>
%% <dd>How long the start may take, 5000 by default: sudo may have to look up a
%%     user elsewhere.</dd>
%% <dt>`telemetry'</dt>
%% <dd>Emits an event for each Unix process that is forked, and for each that is gone, see {@link
%%     alcove_telemetry}.</dd>
%% <dt>`{name, Name}'</dt>
%% <dd>The name to register Drv by on this node. All functions that take a Drv take the name, or
%%     what gen_server takes as one: `{Name, Node}', `{global, Name}', `{via, Module, Name}'.
%%     Messages always have the pid.</dd>
%% <dt>`{owner, Owner}'</dt>
%% <dd>The owner of Drv, a pid or a registered name, see above.</dd>
%% </dl>
%%
%% The characters of strings are encoded as file names are; binaries are bytes.

-record(state, {
    os_pid :: non_neg_integer(),
    %% The environment that programs start with, and the directory in which the tree was started,
    %% as a term that the NIF library keeps.
    note :: binary(),
    %% The local process that the NIF knows as Drv's owner.
    owner :: pid(),
    %% Monitors of the owners.
    owners :: #{pid() => reference()},
    %% Owners on other nodes, and the local processes that forward messages to them.
    forwards :: #{pid() => pid()},
    %% The token that tells the router that an owner keeps up again, by the monitor of the process
    %% that waits for that.
    watched = #{} :: #{reference() => Token :: term()},
    stopped = false :: boolean(),
    %% The caller of stop/1, if there is one.
    asker :: reference() | undefined,
    %% What the names of all control groups begin with that are made for its programs, and the
    %% directories in which some were. No name before anybody has asked for one.
    groups = [] :: ordsets:ordset(binary()) | {binary(), ordsets:ordset(binary())},
    %% How to start such a tree once more.
    options :: alcove_drv_options:options()
}).

%% How long the tree may take to end, in milliseconds. The guardian kills it within less.
-define(STOP, 8000).
%% The router watches the timeout of the start. This much more is for a router that fails to.
-define(GRACE, 5000).

%% @equiv start([])
-spec start() -> {ok, pid()} | {error, term()}.
start() ->
    start_owned(start, undefined, [], start, []).

%% @doc Starts alcove.
%%
%% A start that fails returns `{error, Reason}' and leaves nothing behind. `Reason' is
%% a `posix()' such as `enoent' if there is no such executable, `{exit_status, N}'
%% or `{termsig, Signal}' if the executable or `exec' ended, `exited' if its status can't be
%% known, `badproto' if something other than alcove answered, `{version, Theirs, Ours}' for
%% the executable of another version of alcove, `timeout' if the executable didn't answer in time,
%% `{noproc, Owner}' if no process has the owner's name, or if the owner is a process of this
%% node that has ended, `{already_started, Pid}' if a process
%% has Drv's name.
%%
%% A wrong option raises the error `{badarg, Option}'.
-spec start(options()) -> {ok, pid()} | {error, term()}.
start(Options) ->
    start_owned(start, undefined, Options, start, [Options]).

%% @equiv start_link([])
-spec start_link() -> {ok, pid()} | {error, term()}.
start_link() ->
    start_owned(start_link, undefined, [], start_link, []).

%% @doc As {@link start/1}, linked to the caller.
%%
%% Where the start fails, the caller gets `{error, Reason}' and no exit signal.
-spec start_link(options()) -> {ok, pid()} | {error, term()}.
start_link(Options) ->
    start_owned(start_link, undefined, Options, start_link, [Options]).

%% @doc As {@link start_link/1}, for an owner that isn't the caller.
-spec start_link(owner(), options()) -> {ok, pid()} | {error, term()}.
start_link(Owner, Options) when
    is_pid(Owner);
    is_atom(Owner), Owner =/= undefined
->
    start_owned(start_link, Owner, Options, start_link, [Owner, Options]);
start_link(Owner, Options) ->
    alcove_errors:raise(badarg, ?MODULE, start_link, [Owner, Options], {pid, 1}).

%% @doc Stops a Drv and returns when all its processes are gone. If Drv has stopped already,
%% it returns at once. Raises the error `badarg' for a process that is no Drv.
%%
%% The processes get SIGTERM, or the signal that `signaloneof' sets, and SIGCONT, and after a
%% short grace SIGKILL. If Drv is on another node and that node goes down, the caller exits with
%% `{nodedown, Node}'.
%%
%% `{error, {leftovers, Pids}}': the processes were not gone after five seconds, since alcove
%% isn't allowed to signal a program, or since the program is blocked in the kernel. `Pids' are the
%% pids of alcove's own processes that wait for such a program, and end when it does.
-spec stop(ref()) -> ok | {error, {leftovers, [alcove:os_pid()]}}.
stop(Ref) ->
    case locate(Ref) of
        {ok, Drv} -> stop(Drv, kind(Drv), [Ref]);
        error -> alcove_errors:raise(badarg, ?MODULE, stop, [Ref], {drv, 1})
    end.

stop(_Drv, other, Args) ->
    alcove_errors:raise(badarg, ?MODULE, stop, Args, {no_drv, 1});
stop(_Drv, gone, _Args) ->
    ok;
stop(Drv, drv, _Args) ->
    Ref = monitor(process, Drv, [{alias, demonitor}]),
    Drv ! {alcove_stop, Ref},
    receive
        {'DOWN', Ref, process, Drv, noconnection} -> exit({nodedown, node(Drv)});
        {'DOWN', Ref, process, Drv, {leftovers, Pids}} -> {error, {leftovers, Pids}};
        {'DOWN', Ref, process, Drv, _} -> ok;
        {Ref, {leftovers, Pids}} ->
            demonitor(Ref, [flush]),
            {error, {leftovers, Pids}}
    end.

%% @doc A child specification for a supervisor.
%%
%% Give the option `owner' a registered name: without it the owner is the
%% process that starts Drv, here the supervisor, which has no use for the messages.
%%
%% The specification holds the options in a function, so that the supervisor's reports don't show
%% the environment.
-spec child_spec(options()) -> supervisor:child_spec().
child_spec(Options) ->
    case alcove_drv_options:parse(Options) of
        {ok, _} ->
            #{
                id => ?MODULE,
                start => {?MODULE, start_child, [alcove_hidden:hide(Options)]},
                shutdown => 2 * ?STOP,
                modules => [?MODULE]
            };
        {error, Option} ->
            bad_option(Option, child_spec, [Options])
    end.

%% @private
%% @doc Starts alcove as the child of a supervisor, for {@link child_spec/1}.
-spec start_child(alcove_hidden:hidden()) -> {ok, pid()} | {error, term()}.
start_child(Hidden) ->
    start_link(alcove_hidden:reveal(Hidden)).

%% @doc Gives a fork path, and what is forked below it later, to a process, which from now
%% on gets the messages about it.
%%
%% Messages that the former owner has got stay in its queue. Raises the error `badpid' if
%% there is no such fork path, and `badarg' for what is no fork path or no pid. The pid of a
%% process of an earlier node of the same name is none.
-spec controlling_process(ref(), alcove:fork_path(), pid()) -> ok.
controlling_process(Drv, Pids, Owner) ->
    Args = [Drv, Pids, Owner],
    alcove_call:is_fork_path(Pids) orelse
        alcove_errors:raise(badarg, ?MODULE, controlling_process, Args, {pids, 2}),
    is_pid(Owner) orelse alcove_errors:raise(badarg, ?MODULE, controlling_process, Args, {pid, 3}),
    case asked(controlling_process, Args, {controlling_process, Pids, Owner}) of
        ok -> ok;
        badpid ->
            alcove_errors:raise(badpid, ?MODULE, controlling_process, Args, {badpid, 2});
        {badarg, Cause} ->
            alcove_errors:raise(badarg, ?MODULE, controlling_process, Args, Cause)
    end.

%% @doc Returns the application's Drv, for callers that don't need one of their own. The first
%% call starts it.
%%
%% The application must be started, by `application:ensure_all_started(alcove)'; otherwise this
%% returns `{error, {not_started, alcove}}'. The options of this Drv are the application's variable
%% `drv', a list or a map as {@link start/1} takes:
%%
%% ```
%% [{alcove, [{drv, [{exec, "sudo -n"}, {name, programs}]}]}].
%% '''
%%
%% The errors are those of {@link start/1}, and `{badarg, Option}' for a wrong option. If a start
%% failed, the next call tries again. If the Drv has ended, for whatever reason, the next call
%% starts a new one; the programs of the old one have ended with it, as with any Drv. Its pid is
%% no longer valid then, but a `name' is.
%%
%% Unless `owner' is among the options, the owner of this Drv is a process of the application that
%% drops all messages. So give fork paths to a process of your own, with {@link
%% controlling_process/3}; {@link alcove_proc} does that by itself. The Drv ends when the
%% application is stopped.
-spec default() -> {ok, pid()} | {error, term()}.
default() ->
    alcove_default:drv().

%% @doc Returns what is known about a Drv.
%%
%% <dl>
%% <dt>`os_pid', `owner', `owners'</dt>
%% <dd>The pid of root; the owner; the processes that fork paths were given to.</dd>
%% <dt>`calls', `inline', `forks'</dt>
%% <dd>The number of calls, where a batch or spawn counts as one; the number of calls that were
%%     answered without a message, which is fastest; the number of processes that were forked.</dd>
%% <dt>`stdin_bytes', `output_bytes'</dt>
%% <dd>The bytes that programs took on stdin, and those from stdout and stderr that owners got.</dd>
%% <dt>`held'</dt>
%% <dd>How often a stream was held back because its owner had too many messages.</dd>
%% <dt>`processes'</dt>
%% <dd>The number of processes now, root included.</dd>
%% <dt>`pending', `stdin_queued', `streams_held', `waiting'</dt>
%% <dd>What waits now: calls that wait for their answers; bytes that wait for programs that are slow
%%     to read stdin; streams that wait for their owners; and those owners.</dd>
%% <dt>`survivors'</dt>
%% <dd>A list of the events that processes may survive here. `event_loop_killed': if only an event
%%     loop is killed by SIGKILL, what its programs had started lives as long as the tree.
%%     `both_killed': if root and its guardian are killed at the same moment, such processes outlive
%%     the tree. `orphaned': a process that lost its parent is never found. Processes that were
%%     cloned into a pid namespace never survive.</dd>
%% </dl>
-spec info(ref()) -> map().
info(Drv) ->
    asked(info, [Drv], info).

%% Sends a public function's request to the Drv that is the first of its arguments.
asked(Function, [Ref | _] = Args, Request) ->
    case locate(Ref) of
        {ok, Drv} ->
            case ask(Drv, Request) of
                {ok, Answer} -> Answer;
                gone -> alcove_errors:raise(badpid, ?MODULE, Function, Args, {gone, 1})
            end;
        error ->
            alcove_errors:raise(badarg, ?MODULE, Function, Args, {drv, 1})
    end.

%% @private
%% @doc The pid of a Drv; `error' if no process has the name, or the term is no name.
-spec locate(term()) -> {ok, pid()} | error.
locate(Drv) when is_pid(Drv) ->
    {ok, Drv};
locate(Name) when is_atom(Name), Name =/= undefined ->
    found(whereis(Name));
locate({global, Name}) ->
    found(global:whereis_name(Name));
locate({via, Module, Name}) when is_atom(Module) ->
    try
        found(Module:whereis_name(Name))
    catch
        error:undef -> error
    end;
locate({Name, Node}) when is_atom(Name), is_atom(Node) ->
    try
        found(erpc:call(Node, erlang, whereis, [Name]))
    catch
        error:{erpc, noconnection} -> exit({nodedown, Node})
    end;
locate(_) ->
    error.

found(Pid) when is_pid(Pid) -> {ok, Pid};
found(_) -> error.

%% @private
%% @doc The environment that programs start with on Drv's node, now; `gone' if Drv is gone.
-spec inherited(pid()) -> {ok, alcove_environ:inherited()} | gone.
inherited(Drv) when node(Drv) =:= node() ->
    case alcove_nif:note(Drv) of
        '$badpid' ->
            %% Drv starts, or stops, or the process is no Drv.
            case answer(Drv, note) of
                {ok, Note} -> {ok, inherited_by(Note)};
                gone -> gone
            end;
        Note ->
            {ok, inherited_by(Note)}
    end;
inherited(Drv) ->
    there(Drv, inherited, [Drv]).

inherited_by(Note) ->
    {Given, Directory} = binary_to_term(Note),
    alcove_environ:inherited(Given, Directory).

ask(Drv, Request) when node(Drv) =:= node() -> answer(Drv, Request);
ask(Drv, Request) -> there(Drv, answer, [Drv, Request]).

%% @private
%% @doc A Drv's answer to a request, on this node. A process that is no Drv isn't asked, since it
%% might never answer.
-spec answer(pid(), term()) -> {ok, term()} | gone.
answer(Drv, Request) ->
    %% The NIF library doesn't know a Drv that starts or stops.
    case alcove_nif:flowcontrol(Drv, []) =/= '$badpid' orelse kind(Drv) =:= drv of
        true ->
            try
                {ok, gen_server:call(Drv, Request, infinity)}
            catch
                exit:_ -> gone
            end;
        false ->
            gone
    end.

%% @private
%% @doc Tells a Drv in which directories control groups are made for its programs. The answer is
%% what their names begin with, whoever asks, and a number that is new for this Drv.
-spec groups(ref(), [binary()]) -> {ok, {binary(), pos_integer()}} | gone.
groups(Ref, Dirs) ->
    case locate(Ref) of
        {ok, Drv} -> ask(Drv, {groups, Dirs});
        error -> gone
    end.

%% @private
%% @doc Whether a process is a Drv, also one that starts or stops.
-spec kind(pid()) -> drv | other | gone.
kind(Pid) when node(Pid) =:= node() ->
    case process_info(Pid, dictionary) of
        {dictionary, Dictionary} ->
            case lists:keyfind('$initial_call', 1, Dictionary) of
                {_, {?MODULE, init, 1}} -> drv;
                _ -> other
            end;
        undefined ->
            gone
    end;
kind(Pid) ->
    there(Pid, kind, [Pid]).

%% Calls a function of this module on the node of a process.
there(Pid, Function, Args) ->
    try
        erpc:call(node(Pid), ?MODULE, Function, Args)
    catch
        error:{erpc, noconnection} -> exit({nodedown, node(Pid)})
    end.

%%--------------------------------------------------------------------
%% The start
%%--------------------------------------------------------------------

start_owned(How, Explicit, Options, Function, Args) ->
    case alcove_drv_options:parse(Options) of
        {ok, #{owner := Named} = Parsed} ->
            Owner = owner([Explicit, Named]),
            case is_process(Owner) of
                true -> alcove_start:run(How, ?MODULE, Parsed#{owner := Owner});
                false -> {error, {noproc, Owner}}
            end;
        {error, Option} ->
            bad_option(Option, Function, Args)
    end.

-spec bad_option(term(), atom(), [term(), ...]) -> no_return().
bad_option(Option, Function, Args) ->
    Cause = {{option, Option}, length(Args)},
    alcove_errors:raise({badarg, Option}, ?MODULE, Function, Args, Cause).

is_process(Pid) when is_pid(Pid), node(Pid) =:= node() -> is_process_alive(Pid);
is_process(Owner) -> is_pid(Owner).

owner([undefined | Owners]) -> owner(Owners);
owner([Owner | _]) when is_pid(Owner) -> Owner;
owner([Name | _]) ->
    case whereis(Name) of
        Owner when is_pid(Owner) -> Owner;
        _ -> Name
    end;
owner([]) -> self().

%% @private
-spec init({pid(), alcove_drv_options:options()}) -> no_return().
init({Parent, #{owner := Owner, timeout := Timeout, given := Given} = Options}) ->
    process_flag(trap_exit, true),
    registered(Parent, Options),
    {Local, Forwards} = local(Owner, #{}),
    Owners = #{Local => monitor(process, Local)},
    Reporter =
        case Options of
            #{telemetry := true} -> alcove_reporter:start(self());
            #{telemetry := false} -> undefined
        end,
    Note = term_to_binary({Given, alcove_environ:directory()}),
    case alcove_nif:start(Options#{owner := Local, reporter => Reporter, note => Note}) of
        ok ->
            receive
                {alcove_nif, started, OsPid} ->
                    proc_lib:init_ack(Parent, {ok, self()}),
                    gen_server:enter_loop(?MODULE, [], #state{
                        os_pid = OsPid,
                        note = Note,
                        options = Options,
                        owner = Local,
                        owners = Owners,
                        forwards = Forwards
                    });
                {alcove_nif, failed, Reason} ->
                    alcove_start:failed(Parent, Reason)
            after Timeout + ?GRACE ->
                ok = alcove_nif:stop(self()),
                alcove_start:failed(Parent, timeout)
            end;
        {error, Reason} ->
            alcove_start:failed(Parent, Reason)
    end.

registered(_Parent, #{name := undefined}) ->
    ok;
registered(Parent, #{name := Name}) ->
    try
        true = register(Name, self()),
        ok
    catch
        error:badarg -> alcove_start:failed(Parent, {already_started, whereis(Name)})
    end.

%% The router sends to processes of this node.
local(Owner, Forwards) when node(Owner) =:= node() ->
    {Owner, Forwards};
local(Owner, Forwards) ->
    case Forwards of
        #{Owner := Forward} ->
            {Forward, Forwards};
        #{} ->
            Forward = alcove_forward:start(Owner),
            {Forward, Forwards#{Owner => Forward}}
    end.

%%--------------------------------------------------------------------
%% The process
%%--------------------------------------------------------------------

%% @private
-spec handle_call(term(), gen_server:from(), #state{}) -> {reply, term(), #state{}}.
handle_call({controlling_process, Pids, Owner}, _From, #state{forwards = Before} = State) ->
    {Local, Forwards} = local(Owner, Before),
    case alcove_nif:owner(self(), Pids, Local) of
        ok ->
            %% If the owner has ended by now, this monitor tells so, and the path goes back.
            Owners = monitored(Local, State#state.owners),
            {reply, ok, State#state{forwards = Forwards, owners = Owners}};
        Refused ->
            map_size(Forwards) > map_size(Before) andalso exit(Local, kill),
            {reply, refused(Refused), State}
    end;
handle_call(info, _From, State) ->
    {reply, summary(State), State};
handle_call(note, _From, #state{note = Note} = State) ->
    {reply, Note, State};
handle_call({groups, Dirs}, _From, #state{groups = Before} = State) when is_list(Dirs) ->
    {Identity, Known} = named(Before),
    Groups = {Identity, ordsets:union(ordsets:from_list(Dirs), Known)},
    {reply, {Identity, erlang:unique_integer([positive])}, State#state{groups = Groups}};
handle_call(_Request, _From, State) ->
    {reply, {error, badarg}, State}.

named({_Identity, _Dirs} = Groups) -> Groups;
named(Dirs) -> {alcove_cgroup_own:identity(), Dirs}.

refused('$badpid') -> badpid;
refused({'$badarg', pids}) -> {badarg, {pids, 2}};
%% The pid of a process of an earlier node of this name, for example.
refused({'$badarg', _}) -> {badarg, {pid, 3}}.

monitored(Owner, Owners) when is_map_key(Owner, Owners) -> Owners;
monitored(Owner, Owners) -> Owners#{Owner => monitor(process, Owner)}.

%% @private
-spec handle_cast(term(), #state{}) -> {noreply, #state{}}.
handle_cast(_Message, State) ->
    {noreply, State}.

%% @private
-spec handle_info(term(), #state{}) -> {noreply, #state{}} | {stop, term(), #state{}}.
handle_info({alcove_nif, stopped, Reason}, State) ->
    {stop, stop_reason(Reason), State#state{stopped = true}};
handle_info({alcove_nif, busy, Owner, Token}, #state{watched = Watched} = State) ->
    {noreply, State#state{watched = Watched#{alcove_flow:watch(Owner) => Token}}};
handle_info({'DOWN', Ref, process, _, _}, #state{watched = Watched} = State) when
    is_map_key(Ref, Watched)
->
    {Token, Watched1} = maps:take(Ref, Watched),
    ok = alcove_nif:resume(self(), Token),
    {noreply, State#state{watched = Watched1}};
handle_info({'DOWN', _, process, Owner, _}, #state{owner = Owner} = State) ->
    {stop, {shutdown, owner_died}, State};
handle_info({'DOWN', _, process, Owner, _}, State) ->
    ok = alcove_nif:reset_owner(self(), Owner),
    {noreply, forget(Owner, State)};
handle_info({alcove_stop, Asker}, State) when is_reference(Asker) ->
    {stop, normal, State#state{asker = Asker}};
handle_info({'EXIT', _, normal}, State) ->
    {noreply, State};
handle_info({'EXIT', _, Reason}, State) ->
    {stop, Reason, State};
handle_info(_Message, State) ->
    {noreply, State}.

stop_reason({exit_status, 0}) -> normal;
stop_reason({exit_status, _} = Reason) -> {shutdown, Reason};
stop_reason(Reason) -> Reason.

forget(Owner, #state{owners = Owners, forwards = Forwards} = State) ->
    State#state{
        owners = maps:remove(Owner, Owners),
        forwards = maps:filter(fun(_, Forward) -> Forward =/= Owner end, Forwards)
    }.

%% @private
-spec terminate(term(), #state{}) -> ok.
terminate(_Reason, #state{stopped = true} = State) ->
    swept(State);
terminate(_Reason, State) ->
    ok = alcove_nif:stop(self()),
    receive
        {alcove_nif, stopped, {leftovers, _} = Left} -> told(State, Left);
        {alcove_nif, stopped, _} -> swept(State)
    after ?STOP ->
        told(State, {leftovers, [State#state.os_pid]})
    end.

%% The control groups go when the processes have. Whoever asks for a name now gets none.
swept(#state{groups = {Identity, [_ | _] = Dirs}, options = Options}) ->
    alcove_cgroup_own:sweep(Identity, Dirs, fun() ->
        alcove_start:run(start, ?MODULE, Options#{
            owner := self(), name := undefined, telemetry := false
        })
    end);
swept(_State) ->
    ok.

told(#state{asker = Asker}, Left) ->
    _ = is_reference(Asker) andalso (Asker ! {Asker, Left}),
    others_told(Left).

%% Those who asked while Drv was ending.
others_told(Left) ->
    receive
        {alcove_stop, Asker} when is_reference(Asker) ->
            Asker ! {Asker, Left},
            others_told(Left)
    after 0 -> ok
    end.

%% @private
-spec format_status(gen_server:format_status()) -> gen_server:format_status().
format_status(#{state := #state{} = State} = Status) ->
    Status#{state := summary(State)};
format_status(Status) ->
    Status.

summary(#state{owner = Owner, forwards = Forwards} = State) ->
    Remote = maps:from_list([{Forward, Pid} || {Pid, Forward} <- maps:to_list(Forwards)]),
    Name = fun(Pid) -> maps:get(Pid, Remote, Pid) end,
    Counters =
        case alcove_nif:info(self()) of
            '$badpid' -> #{};
            Info -> Info
        end,
    Counters#{
        os_pid => State#state.os_pid,
        owner => Name(Owner),
        owners => [Name(Pid) || Pid <- maps:keys(State#state.owners), Pid =/= Owner],
        waiting => map_size(State#state.watched),
        survivors => survivors(os:type())
    }.

%% Where the system has no subreapers, a process that loses its parent is out of reach.
survivors({unix, linux}) -> [event_loop_killed, both_killed];
survivors(_) -> [event_loop_killed, both_killed, orphaned].
