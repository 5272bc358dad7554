%% @doc Starts and stops trees of Unix processes.
%%
%% The pid of the process that this module runs is the Drv that every function
%% of {@link alcove} takes. The process is on nobody's way: calls, replies and the
%% bytes of streams pass it by. It starts the tree, watches the owners and ends
%% the tree when it ends itself, for whatever reason.
%%
%% <h3>Owners</h3>
%%
%% What Unix processes write and what happens to them comes to an owner as
%% messages: `{alcove_stdout, Drv, Pids, Bytes}', `{alcove_stderr, Drv, Pids, Bytes}'
%% and `{alcove_event, Drv, Pids, Event}'. The owner of a Drv is the process that
%% started it, or the one that the option `owner' names. {@link
%% controlling_process/3} gives a fork path to another process. When that one
%% ends, its fork paths go back to Drv's owner; when Drv's owner ends, Drv stops
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
%% <li>`{router, Text}': the thread that serves this Drv failed.</li>
%% </ul>
%%
%% In each case no process of the tree is left.
-module(alcove_drv).

-behaviour(gen_server).

-export([
    start/0, start/1,
    start_link/0, start_link/1, start_link/2,
    stop/1,
    child_spec/1,
    controlling_process/3,
    info/1
]).

-export([
    init/1,
    handle_call/3,
    handle_cast/2,
    handle_info/2,
    terminate/2,
    format_status/1
]).

-export_type([option/0, options/0, owner/0]).

-type owner() :: pid() | atom().
-type options() :: [option()] | #{atom() => term()}.
-type variable() :: {Name :: string() | binary(), Value :: string() | binary() | false}.
-type option() ::
    stderr_to_stdout
    | {stderr_to_stdout, boolean()}
    | {env, [variable()] | #{string() | binary() => string() | binary() | false}}
    | clearenv
    | {clearenv, boolean()}
    | {exec, string() | binary() | [string() | binary()]}
    | {progname, file:name_all()}
    | {exit_status, boolean() | 0 | 1}
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
%% What {@link start/1} takes, in a list or a map. Of two options for the same in a list the
%% first one counts.
%%
%% <dl>
%% <dt>`stderr_to_stdout'</dt>
%% <dd>Root's stderr comes to the owner like that of all others. Without the
%%     option it is the console's.</dd>
%% <dt>`{env, Variables}'</dt>
%% <dd>Variables on top of the environment of the virtual machine; `false' for a
%%     value leaves the variable out. What Erlang itself puts into its environment
%%     is never passed on: `BINDIR', `ROOTDIR', `EMU', `PROGNAME', `ESCRIPT_NAME',
%%     `ERL_*', `ERTS_*', `RELEASE_*' (a release's cookie is one of these),
%%     `RELX_*', and the two directories that `erl' puts in front of `PATH'.</dd>
%% <dt>`clearenv'</dt>
%% <dd>Start from an empty environment.</dd>
%% <dt>`{exec, Command}'</dt>
%% <dd>A command that runs alcove, such as `"sudo -n"'. A string is split at its
%%     blanks; a list of strings is taken as it is.</dd>
%% <dt>`{progname, Path}'</dt>
%% <dd>The executable; the default is `priv/alcove'.</dd>
%% <dt>`{exit_status, Flag}', `{termsig, Flag}', `{verbose, N}', `{maxchild, N}',
%%     `{maxforkdepth, N}', `{flowcontrol, N}', `{signaloneof, N}'</dt>
%% <dd>What {@link alcove:getopt/3} says of these, for root; its children inherit
%%     them. `verbose' is short for `{verbose, 1}'.</dd>
%% <dt>`{timeout, Milliseconds}'</dt>
%% <dd>How long the start may take, 5000 by default: sudo may have to look up a
%%     user elsewhere.</dd>
%% <dt>`telemetry'</dt>
%% <dd>An event for each Unix process that is forked, and for each that is gone: see {@link
%%     alcove_telemetry}.</dd>
%% <dt>`{name, Name}'</dt>
%% <dd>The name to register Drv by on this node. {@link alcove_proc} takes it for Drv; for
%%     other functions it is `whereis(Name)'.</dd>
%% <dt>`{owner, Owner}'</dt>
%% <dd>Whom Drv belongs to, a pid or a registered name: see above.</dd>
%% </dl>
%%
%% In strings the characters are encoded as file names are; binaries are bytes.

-record(state, {
    os_pid :: non_neg_integer(),
    %% The local process that the NIF knows as Drv's owner.
    owner :: pid(),
    %% Monitors of the owners.
    owners :: #{pid() => reference()},
    %% Owners on other nodes, and the processes that stand in for them.
    forwards :: #{pid() => pid()},
    %% What the router is to be told when an owner keeps up, by the monitor of who watches that.
    watched = #{} :: #{reference() => Token :: term()},
    stopped = false :: boolean()
}).

%% How long the tree may take to end: it is killed within less.
-define(STOP, 5000).
%% The router keeps the time of the start; this is for a router that doesn't.
-define(GRACE, 5000).

%% @equiv start([])
-spec start() -> {ok, pid()} | {error, term()}.
start() ->
    start_owned(start, undefined, [], start, []).

%% @doc Starts alcove.
%%
%% A start that fails is a value and leaves nothing behind: `{error, Reason}' with
%% a `posix()' such as `enoent' when there is no such executable, `{exit_status, N}'
%% or `{termsig, Signal}' when it or `exec' ended, `exited' when that can't be
%% known, `badproto' when something else answered, `{version, Theirs, Ours}' for
%% the executable of another alcove, `timeout' when nobody answered in time,
%% `{noproc, Name}' when no process has the owner's name, `{already_started, Pid}' when one
%% has Drv's.
%%
%% A wrong option is the error `{badarg, Option}'.
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

%% @doc Stops a Drv and returns when all its processes are gone, also when there
%% are none because it has stopped already.
%%
%% They get SIGTERM, or what `signaloneof' says, and SIGCONT, and after a short grace
%% SIGKILL. When Drv lives on
%% another node and that goes down, the caller exits with `{nodedown, Node}'.
-spec stop(pid()) -> ok.
stop(Drv) when is_pid(Drv) ->
    Ref = monitor(process, Drv),
    gen_server:cast(Drv, stop),
    receive
        {'DOWN', Ref, process, Drv, noconnection} -> exit({nodedown, node(Drv)});
        {'DOWN', Ref, process, Drv, _} -> ok
    end;
stop(Drv) ->
    alcove_errors:raise(badarg, ?MODULE, stop, [Drv], {drv, 1}).

%% @doc A child specification for a supervisor.
%%
%% Give the option `owner' with a registered name: without it the owner is the
%% process that starts Drv, here the supervisor, which has no use for its messages.
-spec child_spec(options()) -> supervisor:child_spec().
child_spec(Options) ->
    case alcove_options:parse(Options) of
        {ok, _} ->
            #{
                id => ?MODULE,
                start => {?MODULE, start_link, [Options]},
                shutdown => 2 * ?STOP,
                modules => [?MODULE]
            };
        {error, Option} ->
            bad_option(Option, child_spec, [Options])
    end.

%% @doc Gives a fork path, and what is forked below it later, to a process: the
%% messages about it go there.
%%
%% What the former owner has got already stays with it. The error `badpid' when
%% there is no such fork path.
-spec controlling_process(pid(), alcove:fork_path(), pid()) -> ok.
controlling_process(Drv, Pids, Owner) ->
    Args = [Drv, Pids, Owner],
    is_pid(Drv) orelse alcove_errors:raise(badarg, ?MODULE, controlling_process, Args, {drv, 1}),
    alcove_call:is_fork_path(Pids) orelse
        alcove_errors:raise(badarg, ?MODULE, controlling_process, Args, {pids, 2}),
    is_pid(Owner) orelse alcove_errors:raise(badarg, ?MODULE, controlling_process, Args, {pid, 3}),
    case ask(Drv, {controlling_process, Pids, Owner}) of
        {ok, ok} -> ok;
        {ok, badpid} -> alcove_errors:raise(badpid, ?MODULE, controlling_process, Args, {badpid, 2});
        gone -> alcove_errors:raise(badpid, ?MODULE, controlling_process, Args, {gone, 1})
    end.

%% @doc What there is to know about a Drv.
%%
%% <dl>
%% <dt>`os_pid', `owner', `owners'</dt>
%% <dd>The pid of root; the owner; the processes that fork paths were given to.</dd>
%% <dt>`calls', `inline', `forks'</dt>
%% <dd>How many calls were made, a batch or spawn being one; how many of them were answered
%%     without a message, which is fastest; how many processes were forked.</dd>
%% <dt>`stdin_bytes', `output_bytes'</dt>
%% <dd>What stdin took, and what came from stdout and stderr to owners.</dd>
%% <dt>`held'</dt>
%% <dd>How often a stream was held because its owner had more than it could take.</dd>
%% <dt>`processes'</dt>
%% <dd>How many there are now, root among them.</dd>
%% <dt>`pending', `stdin_queued', `streams_held', `waiting'</dt>
%% <dd>What waits now: calls for their answers; bytes for programs that are slow to read
%%     stdin; streams for their owners; and the owners that they wait for.</dd>
%% <dt>`survivors'</dt>
%% <dd>After what there may be survivors, here and now, as a list: `event_loop_killed', where
%%     what its programs had started lives as long as the tree when only an event loop is
%%     killed by SIGKILL; `both_killed', where that outlives the tree when root and its
%%     guardian are killed at one moment; and `orphaned', where what lost its parent is never
%%     found. What was cloned into a pid namespace is never among them.</dd>
%% </dl>
-spec info(pid()) -> map().
info(Drv) when is_pid(Drv) ->
    case ask(Drv, info) of
        {ok, Info} -> Info;
        gone -> alcove_errors:raise(badpid, ?MODULE, info, [Drv], {gone, 1})
    end;
info(Drv) ->
    alcove_errors:raise(badarg, ?MODULE, info, [Drv], {drv, 1}).

ask(Drv, Request) ->
    try
        {ok, gen_server:call(Drv, Request, infinity)}
    catch
        exit:{{nodedown, Node}, _} -> exit({nodedown, Node});
        exit:_ -> gone
    end.

%%--------------------------------------------------------------------
%% The start
%%--------------------------------------------------------------------

start_owned(How, Explicit, Options, Function, Args) ->
    case alcove_options:parse(Options) of
        {ok, #{owner := Named} = Parsed} ->
            case owner([Explicit, Named]) of
                Owner when is_pid(Owner) -> alcove_start:run(How, ?MODULE, Parsed#{owner := Owner});
                Name -> {error, {noproc, Name}}
            end;
        {error, Option} ->
            bad_option(Option, Function, Args)
    end.

-spec bad_option(term(), atom(), [term(), ...]) -> no_return().
bad_option(Option, Function, Args) ->
    Cause = {{option, Option}, length(Args)},
    alcove_errors:raise({badarg, Option}, ?MODULE, Function, Args, Cause).

owner([undefined | Owners]) -> owner(Owners);
owner([Owner | _]) when is_pid(Owner) -> Owner;
owner([Name | _]) ->
    case whereis(Name) of
        Owner when is_pid(Owner) -> Owner;
        _ -> Name
    end;
owner([]) -> self().

%% @private
-spec init({pid(), alcove_options:options()}) -> no_return().
init({Parent, #{owner := Owner, timeout := Timeout} = Options}) ->
    process_flag(trap_exit, true),
    registered(Parent, Options),
    {Local, Forwards} = local(Owner, #{}),
    Owners = #{Local => monitor(process, Local)},
    Reporter =
        case Options of
            #{telemetry := true} -> alcove_reporter:start(self());
            #{telemetry := false} -> undefined
        end,
    case alcove_nif:start(Options#{owner := Local, reporter => Reporter}) of
        ok ->
            receive
                {alcove_nif, started, OsPid} ->
                    proc_lib:init_ack(Parent, {ok, self()}),
                    gen_server:enter_loop(?MODULE, [], #state{
                        os_pid = OsPid,
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
handle_call({controlling_process, Pids, Owner}, _From, State) ->
    {Local, Forwards} = local(Owner, State#state.forwards),
    Owners = monitored(Local, State#state.owners),
    Reply =
        case alcove_nif:owner(self(), Pids, Local) of
            ok -> ok;
            '$badpid' -> badpid
        end,
    {reply, Reply, State#state{forwards = Forwards, owners = Owners}};
handle_call(info, _From, State) ->
    {reply, summary(State), State};
handle_call(_Request, _From, State) ->
    {reply, {error, badarg}, State}.

monitored(Owner, Owners) when is_map_key(Owner, Owners) -> Owners;
monitored(Owner, Owners) -> Owners#{Owner => monitor(process, Owner)}.

%% @private
-spec handle_cast(term(), #state{}) -> {noreply, #state{}} | {stop, term(), #state{}}.
handle_cast(stop, State) ->
    {stop, normal, State};
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
terminate(_Reason, #state{stopped = true}) ->
    ok;
terminate(_Reason, _State) ->
    ok = alcove_nif:stop(self()),
    receive
        {alcove_nif, stopped, _} -> ok
    after ?STOP ->
        ok
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

%% Without a subreaper, what loses its parent is out of reach.
survivors({unix, linux}) -> [event_loop_killed, both_killed];
survivors(_) -> [event_loop_killed, both_killed, orphaned].
