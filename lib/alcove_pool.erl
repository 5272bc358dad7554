%% @doc Runs programs on any number of nodes as if they were one.
%%
%% A pool has a *member* on each node that runs programs, and each member has room for a number of
%% them. A caller names the pool, on any connected node on which the application alcove is started,
%% and the program runs on the node with the least load. If no member has room, the caller waits in
%% a queue. On one node a pool limits how many programs run at a time.
%%
%% ```
%% {ok, _} = alcove_pool:start_link(#{name => jobs, max => 8}),
%% {ok, #{status := 0}} = alcove_pool:run(jobs, ["convert", "a.png", "b.jpg"])
%% '''
%%
%% Under a supervisor a member is `{alcove_pool, #{name => jobs, max => 8}}', or what {@link
%% child_spec/1} returns. Nodes find each other's members by `pg'.
%%
%% <h3>Members</h3>
%%
%% The options of {@link start_link/1}, a map or a list:
%%
%% <dl>
%% <dt>`name': atom</dt>
%% <dd>The name of the pool.</dd>
%% <dt>`drv': a pid, a registered name, `default' or `{start, Options}'</dt>
%% <dd>The Drv that runs this node's programs, the application's by default. A Drv that is started
%%     for the pool ends with its member.</dd>
%% <dt>`max': number</dt>
%% <dd>How many programs may run at a time, by default the number of schedulers.</dd>
%% <dt>`memory': bytes; `cpu': number of processors</dt>
%% <dd>How much all programs together may need. The member adds up the `need' of each program and
%%     measures nothing: to limit what a program really uses, give it the option `cgroup' or
%%     `rlimits'.</dd>
%% <dt>`queue': number</dt>
%% <dd>How many callers may wait, 1000 by default.</dd>
%% </dl>
%%
%% <h3>Programs</h3>
%%
%% The options of {@link run/3}, {@link start/3}, {@link start_link/3} and {@link with/3}, besides
%% those of {@link alcove_proc}. Paths, users and the environment are those of the node that runs
%% the program.
%%
%% <dl>
%% <dt>`wait': milliseconds or `infinity'</dt>
%% <dd>How long to wait for room, 5000 by default. After that time, and when all queues are full,
%%     the function returns `{error, busy}'. With less than 200, and with 0, every member is asked
%%     before that. A member on another node that says nothing for 200 milliseconds is passed
%%     over.</dd>
%% <dt>`need': `#{memory => Bytes, cpu => Number}'</dt>
%% <dd>How much of its member's memory and processors the program takes. It also counts as one
%%     program.</dd>
%% <dt>`retry': number</dt>
%% <dd>How often {@link run/3} runs a program again if its node is lost, 0 by default. The program
%%     may have done all of its work before that, so use this only for work that may be done
%%     twice.</dd>
%% </dl>
%%
%% <h3>What comes back</h3>
%%
%% What {@link alcove_proc} returns, and:
%%
%% <dl>
%% <dt>`{error, busy}'</dt><dd>There was no room in time.</dd>
%% <dt>`{error, {nodedown, Node}}'</dt>
%% <dd>The node was lost while the program ran or was about to run; the caller can't tell which. A
%%     caller that still waits in queues goes on waiting at the other members.</dd>
%% <dt>`{error, {member, Reason}}'</dt><dd>The same, for a member that has ended.</dd>
%% <dt>`{error, too_large}'</dt><dd>No member has that much room even when it is empty.</dd>
%% <dt>`{error, {no_member, Pool}}'</dt><dd>There is no such pool.</dd>
%% <dt>`{error, {not_started, alcove}}'</dt><dd>The application alcove isn't started on this
%%     node.</dd>
%% </dl>
-module(alcove_pool).

-behaviour(gen_server).

-export([start_link/1, child_spec/1]).
%% For supervisors.
-export([start_child/1]).
-export([run/2, run/3, start/3, start_link/3, with/3]).
-export([drain/1, drain/2, info/1, members/1]).
-export([init/1, handle_call/3, handle_cast/2, handle_info/2, terminate/2, format_status/1]).

-export_type([options/0, need/0, error/0]).

-type options() :: #{atom() => term()} | [{atom(), term()}].
-type need() :: #{memory => non_neg_integer(), cpu => number()}.
-type error() ::
    busy
    | too_large
    | {nodedown, node()}
    | {member, term()}
    | {no_member, atom()}
    | {not_started, alcove}
    | term().

-define(QUEUE, 1000).
-define(WAIT, 5000).
%% How often a waiting caller looks for new members, in milliseconds. Who waits for less time than
%% that asks each member, and waits for an answer from another node no longer than that.
-define(LOOK, 200).
%% How long a member gathers changes of its load before it tells the other nodes, in milliseconds.
-define(TELL, 5).
%% How long a Drv may take to stop, and somewhat more.
-define(SHUTDOWN, 10000).
-define(MILLION, 1000000).

%% A client that has room, or waits for it. A job is known by its reference. The reference is an
%% alias of the client, to which answers go; they are dropped once the client no longer waits.
-record(job, {
    client :: pid(),
    watch :: reference(),
    need :: need(),
    since :: integer(),
    phase :: waiting | granted | leased | running | over,
    runner :: {pid(), reference()} | undefined
}).

-record(state, {
    pool :: atom(),
    drv :: pid() | atom(),
    own :: pid() | undefined,
    %% The monitor of what knows the members of pools.
    scope :: reference() | undefined,
    max :: pos_integer(),
    limits :: #{memory := number() | infinity, cpu := number() | infinity},
    queue_max :: non_neg_integer(),
    draining = false :: boolean(),
    drainers = [] :: [gen_server:from()],
    jobs = #{} :: #{reference() => #job{}},
    %% From a monitor, of a client or a runner, to the job.
    refs = #{} :: #{reference() => reference()},
    %% The jobs that wait, oldest first. Some clients may have given up.
    queue = queue:new() :: queue:queue(reference()),
    waiting = 0 :: non_neg_integer(),
    used = #{programs => 0, memory => 0, cpu => 0} :: #{atom() => number()},
    counters = #{started => 0, finished => 0, refused => 0, abandoned => 0} ::
        #{atom() => non_neg_integer()},
    telling = false :: boolean()
}).

%%--------------------------------------------------------------------
%% Members
%%--------------------------------------------------------------------

%% @doc Starts a member of a pool on this node.
%%
%% `{error, {not_started, alcove}}' if the application isn't started. A wrong option raises the
%% error `{badarg, Option}'.
-spec start_link(options()) -> {ok, pid()} | {error, term()}.
start_link(Options) ->
    Parsed = parsed(start_link, Options),
    case gen_server:start_link(?MODULE, Parsed, []) of
        {ok, Pid} -> {ok, Pid};
        {error, {shutdown, Reason}} -> {error, Reason};
        {error, Reason} -> {error, Reason}
    end.

%% @doc A child specification for a supervisor, which holds the options in a function, as that of
%% {@link alcove_drv:child_spec/1} does.
-spec child_spec(options()) -> supervisor:child_spec().
child_spec(Options) ->
    #{name := Name} = parsed(child_spec, Options),
    #{
        id => {?MODULE, Name},
        start => {?MODULE, start_child, [alcove_hidden:hide(Options)]},
        shutdown => ?SHUTDOWN,
        modules => [?MODULE]
    }.

%% @private
%% @doc Starts a member as the child of a supervisor, for {@link child_spec/1}.
-spec start_child(alcove_hidden:hidden()) -> {ok, pid()} | {error, term()}.
start_child(Hidden) ->
    start_link(alcove_hidden:reveal(Hidden)).

parsed(Function, Options) ->
    Defaults = #{
        drv => default,
        max => erlang:system_info(schedulers_online),
        memory => infinity,
        cpu => infinity,
        queue => ?QUEUE
    },
    Given = given(Function, [Options], 1, Options),
    Parsed = maps:merge(Defaults, Given),
    is_map_key(name, Parsed) orelse wrong(Function, [Options], 1, {name, missing}),
    _ = [
        wrong(Function, [Options], 1, told(Defaults#{name => undefined}, Option))
     || {Name, Value} = Option <- maps:to_list(Parsed), not member_option(Name, Value)
    ],
    ok = startable(Parsed, Function, [Options]),
    Parsed.

%% What may be told of an option that is wrong. What isn't an option here may be a misspelt one, or
%% one of a program.
told(Known, {Name, Value}) when is_map_key(Name, Known), Name =/= drv -> {Name, Value};
told(_Known, Option) -> alcove_text:shown(Option).

startable(#{drv := {start, Options}}, Function, Args) ->
    case alcove_drv_options:parse(Options) of
        {ok, _} -> ok;
        {error, Option} -> wrong(Function, Args, 1, {drv, {start, Option}})
    end;
startable(_Parsed, _Function, _Args) ->
    ok.

given(_Function, _Args, _Position, Options) when is_map(Options) ->
    Options;
given(Function, Args, Position, Options) ->
    try
        maps:from_list(lists:reverse(Options))
    catch
        error:_ -> wrong(Function, Args, Position, {options, alcove_text:shown(Options)})
    end.

member_option(name, Name) -> is_atom(Name) andalso Name =/= undefined;
member_option(drv, {start, _}) -> true;
member_option(drv, Drv) -> (is_pid(Drv) andalso node(Drv) =:= node()) orelse is_atom(Drv);
member_option(max, Max) -> is_integer(Max) andalso Max > 0;
member_option(memory, infinity) -> true;
member_option(memory, Bytes) -> is_integer(Bytes) andalso Bytes > 0;
member_option(cpu, infinity) -> true;
member_option(cpu, Number) -> is_number(Number) andalso Number > 0;
member_option(queue, Max) -> is_integer(Max) andalso Max >= 0;
member_option(_Name, _Value) -> false.

-spec wrong(atom(), [term()], pos_integer(), term()) -> no_return().
wrong(Function, Args, Position, Option) ->
    alcove_errors:raise({badarg, Option}, ?MODULE, Function, Args, {{option, Option}, Position}).

%% @equiv drain(Pool, infinity)
-spec drain(atom()) -> ok | {error, {running, pos_integer()}}.
drain(Pool) ->
    drain(Pool, infinity).

%% @doc Takes this node's members out of a pool, and returns when no program of the pool runs here
%% any more, and whoever waited for one has been told. Call it before a node goes down for a
%% deployment.
%%
%% Callers that wait here go on waiting at the other members. `{error, {running, N}}': `N' programs
%% still run when the time is over. They go on, and the member takes no others.
-spec drain(atom(), timeout()) -> ok | {error, {running, pos_integer()}}.
drain(Pool, Timeout) ->
    alcove_call:is_timeout(Timeout) orelse
        alcove_errors:raise(badarg, ?MODULE, drain, [Pool, Timeout], {timeout, 2}),
    %% Those that are leaving already, too.
    Members = alcove_pool_view:local(Pool),
    Requests = [{Member, gen_server:send_request(Member, drain)} || Member <- Members],
    Deadline = alcove_deadline:in(Timeout),
    %% A request that isn't answered in time is given up: its answer doesn't come later.
    Late = [
        Member
     || {Member, Request} <- Requests,
        gen_server:receive_response(Request, alcove_deadline:left(Deadline)) =:= timeout
    ],
    Left = [gen_server:send_request(Member, running) || Member <- Late],
    Replies = [gen_server:receive_response(Request, infinity) || Request <- Left],
    case lists:sum([Running || {reply, Running} <- Replies]) of
        0 -> ok;
        Running -> {error, {running, Running}}
    end.

%% @doc The members of a pool.
-spec members(atom()) -> [pid()].
members(Pool) ->
    case alcove_pool_view:members(Pool) of
        Members when is_list(Members) -> Members;
        {error, _} -> []
    end.

%% @doc Returns what is known about the members of a pool: `node', `drv' (`undefined' when it
%% doesn't run), `running', `max', `waiting', `used' (`memory' and `cpu'), `draining', and how many
%% programs were `started', have `finished', were `refused' because the queue was full, and were
%% `abandoned' by callers that had got room.
-spec info(atom()) -> [map()].
info(Pool) ->
    Requests = [gen_server:send_request(Member, info) || Member <- members(Pool)],
    [Info || {reply, Info} <- [gen_server:receive_response(Request, ?WAIT) || Request <- Requests]].

%%--------------------------------------------------------------------
%% The callers
%%--------------------------------------------------------------------

%% @equiv run(Pool, Argv, #{})
-spec run(atom(), alcove_proc:argv()) -> {ok, alcove_proc:result()} | {error, error()}.
run(Pool, Argv) ->
    run(Pool, Argv, #{}).

%% @doc Runs a program on the node with the least load, and returns when it has ended, as {@link
%% alcove_proc:run/3} does.
%%
%% This takes one message to the node and one back, and one more each way with a `wait' of less than
%% 200. When the caller ends, so does the program.
-spec run(atom(), alcove_proc:argv(), options()) ->
    {ok, alcove_proc:result()} | {error, error()}.
run(Pool, Argv, Options) ->
    Args = [Pool, Argv, Options],
    {Own, More} = own(run, Args, Options),
    _ = [
        wrong(run, Args, 3, Option)
     || {Name, Value} = Option <- maps:to_list(More),
        %% No process would receive messages.
        Name =:= owner orelse Name =:= active orelse Value =:= message
    ],
    case alcove_proc_options:parse(later, self(), Argv, More) of
        {ok, _} -> ok;
        {error, {argv, _} = Option} -> wrong(run, Args, 2, Option);
        {error, Option} -> wrong(run, Args, 3, Option)
    end,
    attempt(Pool, {run, Argv, More}, Own, maps:get(retry, Own)).

attempt(Pool, Work, Own, Retry) ->
    case placed(Pool, Work, Own) of
        {done, Outcome} ->
            Outcome;
        {lost, Member, Reason} ->
            ok = lost(Pool, Member, Reason, Retry),
            case Retry of
                0 -> {error, reason(Member, Reason)};
                _ -> attempt(Pool, Work, Own, Retry - 1)
            end;
        {error, Reason} ->
            {error, Reason}
    end.

lost(Pool, Member, Reason, Retry) ->
    alcove_telemetry:execute(
        [alcove, pool, lost],
        #{count => 1},
        #{pool => Pool, node => node(Member), reason => reason(Member, Reason), retry => Retry}
    ).

reason(Member, noconnection) -> {nodedown, node(Member)};
reason(_Member, Reason) -> {member, Reason}.

%% @doc Starts a program on the node with the least load, as {@link alcove_proc:start/3} does. The
%% Erlang process of the program is on that node, and its messages come from there. The room is free
%% when that process has ended, some moments after its last message.
-spec start(atom(), alcove_proc:argv(), options()) -> {ok, pid()} | {error, error()}.
start(Pool, Argv, Options) ->
    started(start, Pool, Argv, Options).

%% @doc As {@link start/3}, linked to the caller.
-spec start_link(atom(), alcove_proc:argv(), options()) -> {ok, pid()} | {error, error()}.
start_link(Pool, Argv, Options) ->
    started(start_link, Pool, Argv, Options).

started(Function, Pool, Argv, Options) ->
    {Own, More} = own(Function, [Pool, Argv, Options], Options),
    leased(Pool, Own, fun(Drv, Lease) ->
        try alcove_proc:Function(Drv, Argv, More) of
            {ok, Pid} ->
                ok = kept(Lease, Pid),
                {keep, {ok, Pid}};
            {error, Reason} ->
                {give, {error, Reason}}
        catch
            exit:{nodedown, Node} -> {give, {error, {nodedown, Node}}}
        end
    end).

%% @doc Calls a function with the Drv of the member with the least load, and takes room there until
%% the function returns: for sandboxes, and for the calls of {@link alcove}.
%%
%% ```
%% alcove_pool:with(jobs, #{}, fun(Drv) -> alcove_proc:run(Drv, Argv) end)
%% '''
-spec with(atom(), options(), fun((alcove:drv()) -> Result)) -> Result | {error, error()}.
with(Pool, Options, Fun) when is_function(Fun, 1) ->
    {Own, More} = own(with, [Pool, Options, Fun], Options),
    More =:= #{} orelse
        wrong(with, [Pool, Options, Fun], 2, alcove_text:shown(hd(maps:to_list(More)))),
    leased(Pool, Own, fun(Drv, _Lease) -> {give, Fun(Drv)} end);
with(Pool, Options, Fun) ->
    alcove_errors:raise(badarg, ?MODULE, with, [Pool, Options, Fun], {function, 3}).

leased(Pool, Own, Fun) ->
    case placed(Pool, lease, Own) of
        {leased, Member, Job, Drv} ->
            try Fun(Drv, {Member, Job}) of
                {keep, Result} ->
                    Result;
                {give, Result} ->
                    gen_server:cast(Member, {cancel, Job}),
                    Result
            catch
                Class:Reason:Stack ->
                    gen_server:cast(Member, {cancel, Job}),
                    erlang:raise(Class, Reason, Stack)
            end;
        {done, {error, Reason}} ->
            {error, Reason};
        %% The member had begun nothing for the caller.
        {lost, _Member, _Reason} ->
            leased(Pool, Own, Fun);
        {error, Reason} ->
            {error, Reason}
    end.

kept({Member, Job}, Pid) ->
    gen_server:cast(Member, {kept, Job, Pid}).

own(Function, Args, Options) ->
    Position = [N || {N, Arg} <- lists:zip(lists:seq(1, length(Args)), Args), Arg =:= Options],
    Given = given(Function, Args, lists:last(Position), Options),
    is_atom(hd(Args)) orelse wrong(Function, Args, 1, {pool, alcove_text:shown(hd(Args))}),
    Names = [wait, need, retry],
    Own = maps:merge(#{wait => ?WAIT, need => #{}, retry => 0}, maps:with(Names, Given)),
    _ = [
        wrong(Function, Args, lists:last(Position), Option)
     || {Name, Value} = Option <- maps:to_list(Own), not run_option(Name, Value)
    ],
    {Own, maps:without(Names, Given)}.

run_option(wait, Timeout) ->
    alcove_call:is_timeout(Timeout);
run_option(retry, Times) ->
    is_integer(Times) andalso Times >= 0;
run_option(need, Need) ->
    is_map(Need) andalso map_size(maps:without([memory, cpu], Need)) =:= 0 andalso
        lists:all(fun(Amount) -> is_number(Amount) andalso Amount >= 0 end, maps:values(Need)).

%% Finds a member for the work, and returns what became of it. The caller first asks, one after the
%% other, the members that should have room now. If none has, it waits in the queues of all members,
%% takes the first that grants room, and leaves the other queues.
%%
%% What this node knows of the members' load is some milliseconds old, and a queue could answer too
%% late for a caller that hardly waits. Such a caller asks all members, of which each knows its
%% room.
placed(Pool, Work, #{wait := Wait} = Own) ->
    case alcove_pool_view:members(Pool) of
        {error, Reason} ->
            {error, Reason};
        [] ->
            {error, {no_member, Pool}};
        Members ->
            {Room, Full} = alcove_pool_view:ranked(Members),
            Deadline = alcove_deadline:in(Wait),
            case Wait < ?LOOK of
                true -> asked(Room ++ Full, #{}, Pool, Work, Own, Deadline);
                false -> asked(Room, #{}, Pool, Work, Own, Deadline)
            end
    end.

%% `Said' has the members that were asked, and why each took nothing.
asked([Member | Members], Said, Pool, Work, Own, Deadline) ->
    ok = alcove_pool_view:bump(Member),
    case ask(Member, Work, Own) of
        {no, Why} -> asked(Members, Said#{Member => Why}, Pool, Work, Own, Deadline);
        Outcome -> Outcome
    end;
asked([], Said, Pool, Work, #{wait := Wait} = Own, Deadline) when Wait < ?LOOK ->
    case {lists:usort(maps:values(Said)) -- [leaving, gone], alcove_deadline:left(Deadline)} of
        {[too_large], _} ->
            {error, too_large};
        {_, 0} ->
            {error, busy};
        _ ->
            Full = [Member || {Member, full} <- maps:to_list(Said)],
            joined(Full, #{}, #{}, Pool, Work, Own, Deadline)
    end;
asked([], _Said, Pool, Work, Own, Deadline) ->
    queued(#{}, #{}, Pool, Work, Own, Deadline).

%% Asks one member. It begins the work at once if it has room, and after that the caller can't take
%% it back: when the member's node stands still, the caller waits until that node is lost. Who
%% hardly waits asks a member on another node for room first, which may be given up.
ask(Member, Work, #{wait := Wait} = Own) when Wait < ?LOOK, node(Member) =/= node() ->
    case offered(Member, Own) of
        {granted, Offer} -> requested(Member, {held, Offer}, Work, Own);
        {no, Why} -> {no, Why}
    end;
ask(Member, Work, Own) ->
    requested(Member, now, Work, Own).

requested(Member, When, Work, Own) ->
    case request(Member, When, Work, Own) of
        {sent, Job} ->
            case answer(Job, infinity) of
                {no, Why, Load} ->
                    ok = forget(Job),
                    ok = alcove_pool_view:correct(Member, Load),
                    {no, Why};
                {lost, noproc} ->
                    ok = forget(Job),
                    {no, gone};
                Answer ->
                    outcome(Member, Job, Answer)
            end;
        unsent ->
            {no, gone}
    end.

%% A monitor would have the caller wait for a node that takes no messages; the time does without.
%% This node goes on counting what it has asked of a member that is silent, and so asks it last.
offered(Member, #{need := Need}) ->
    Offer = alias(),
    Sent = erlang:send(Member, {offer, Offer, self(), Need}, [noconnect, nosuspend]),
    Answer =
        receive
            {Offer, Early} -> Early
        after wait_for(Sent) ->
            _ = unalias(Offer),
            receive
                {Offer, Late} -> Late
            after 0 -> Sent
            end
        end,
    _ = unalias(Offer),
    case Answer of
        granted ->
            {granted, Offer};
        {no, Why, Load} ->
            ok = alcove_pool_view:correct(Member, Load),
            {no, Why};
        ok ->
            %% The member may have given room, or do so later.
            ok = cancelled(Member, Offer),
            {no, silent};
        nosuspend ->
            {no, silent};
        noconnect ->
            {no, gone}
    end.

wait_for(ok) -> ?LOOK;
wait_for(_Unsent) -> 0.

%% The caller doesn't wait for a node that takes no messages.
cancelled(Member, Job) ->
    Cancel = {'$gen_cast', {cancel, Job}},
    case erlang:send(Member, Cancel, [noconnect, nosuspend]) of
        nosuspend ->
            _ = spawn(fun() -> gen_server:cast(Member, {cancel, Job}) end),
            ok;
        %% What a member has for a client on a node that is lost ends with the connection.
        _ ->
            ok
    end.

%% The reference of a job is the monitor of its member and the alias for answers. A caller can know
%% that a node is lost before `pg' does. It asks nothing of a member there, and nothing is lost.
request(Member, When, Work, #{need := Need}) ->
    case lists:member(node(Member), [node() | nodes(connected)]) of
        true ->
            Job = monitor(process, Member, [{alias, explicit_unalias}]),
            case sent(Member, {When, Job, self(), Need, Work}) of
                true ->
                    {sent, Job};
                false ->
                    ok = forget(Job),
                    unsent
            end;
        false ->
            unsent
    end.

%% Whether a message is on its way: none makes a connection to a node.
sent(Member, Message) ->
    erlang:send(Member, Message, [noconnect]) =:= ok.

answer(Job, Timeout) ->
    receive
        {Job, Answer} -> Answer;
        {'DOWN', Job, process, _, Reason} -> {lost, Reason}
    after Timeout -> timeout
    end.

forget(Job) ->
    _ = unalias(Job),
    demonitor(Job, [flush]),
    receive
        {Job, _} -> ok
    after 0 -> ok
    end.

outcome(Member, Job, {lost, Reason}) ->
    ok = forget(Job),
    {lost, Member, Reason};
outcome(Member, Job, {leased, Drv}) ->
    ok = forget(Job),
    {leased, Member, Job, Drv};
outcome(Member, Job, running) ->
    outcome(Member, Job, answer(Job, infinity));
outcome(_Member, Job, Answer) ->
    ok = forget(Job),
    Answer.

%% `Waiting' has the members in whose queues the caller is, by their jobs. The caller also joins the
%% queues of members that are new.
queued(Waiting, Refused, Pool, Work, Own, Deadline) ->
    joined(members(Pool) -- maps:values(Waiting), Waiting, Refused, Pool, Work, Own, Deadline).

joined(New, Waiting, Refused, Pool, Work, Own, Deadline) ->
    Asked = maps:from_list([
        {Job, Member}
     || Member <- New, {sent, Job} <- [request(Member, later, Work, Own)]
    ]),
    waited(maps:merge(Waiting, Asked), Refused, Pool, Work, Own, Deadline).

%% `Refused' has the jobs that members didn't take into their queues, and why.
waited(Waiting, Refused, Pool, Work, Own, Deadline) when
    map_size(Waiting) =:= map_size(Refused), map_size(Waiting) > 0
->
    ok = left_all(Waiting),
    case lists:member(busy, maps:values(Refused)) of
        true -> {error, busy};
        false -> refused(Refused, Pool, Work, Own, Deadline)
    end;
waited(Waiting, Refused, Pool, Work, Own, Deadline) ->
    receive
        {Job, granted} when is_map_key(Job, Waiting) ->
            {Member, Others} = maps:take(Job, Waiting),
            case sent(Member, {go, Job, Work}) of
                true ->
                    ok = left_all(Others),
                    outcome(Member, Job, answer(Job, infinity));
                false ->
                    ok = forget(Job),
                    waited(Others, maps:remove(Job, Refused), Pool, Work, Own, Deadline)
            end;
        {Job, {refused, Why}} when is_map_key(Job, Waiting) ->
            waited(Waiting, Refused#{Job => Why}, Pool, Work, Own, Deadline);
        {'DOWN', Job, process, _, _} when is_map_key(Job, Waiting) ->
            %% The member had begun nothing for the caller.
            ok = forget(Job),
            waited(
                maps:remove(Job, Waiting), maps:remove(Job, Refused), Pool, Work, Own, Deadline
            )
    after min(?LOOK, alcove_deadline:left(Deadline)) ->
        case alcove_deadline:left(Deadline) of
            0 ->
                ok = left_all(Waiting),
                {error, busy};
            _ ->
                queued(Waiting, Refused, Pool, Work, Own, Deadline)
        end
    end.

%% All members have refused: the work is too large for them, or they are leaving the pool.
refused(Refused, Pool, Work, Own, Deadline) ->
    case lists:usort(maps:values(Refused)) of
        [too_large] ->
            {error, too_large};
        _ ->
            %% Members that leave are no longer among the members of the pool later.
            receive
            after min(?LOOK, alcove_deadline:left(Deadline)) -> ok
            end,
            case alcove_deadline:left(Deadline) of
                0 -> {error, busy};
                _ -> queued(#{}, #{}, Pool, Work, Own, Deadline)
            end
    end.

left_all(Waiting) ->
    maps:foreach(
        fun(Job, Member) ->
            gen_server:cast(Member, {cancel, Job}),
            forget(Job)
        end,
        Waiting
    ).

%%--------------------------------------------------------------------
%% The member
%%--------------------------------------------------------------------

%% @private
-spec init(map()) -> {ok, #state{}} | {stop, {shutdown, term()}}.
init(#{name := Pool, drv := Drv, max := Max, queue := Queue} = Options) ->
    process_flag(trap_exit, true),
    case own_drv(Drv) of
        {ok, Used, Own} ->
            case alcove_pool_view:join(Pool) of
                {ok, Scope} ->
                    State = #state{
                        pool = Pool,
                        scope = Scope,
                        drv = Used,
                        own = Own,
                        max = Max,
                        limits = maps:with([memory, cpu], Options),
                        queue_max = Queue
                    },
                    {ok, told(State)};
                {error, Reason} ->
                    {stop, {shutdown, Reason}}
            end;
        {error, Reason} ->
            {stop, {shutdown, Reason}}
    end.

own_drv({start, Options}) ->
    case alcove_drv:start_link(Options) of
        {ok, Drv} -> {ok, Drv, Drv};
        {error, Reason} -> {error, {drv, Reason}}
    end;
own_drv(Drv) ->
    {ok, Drv, undefined}.

drv(default) ->
    alcove_drv:default();
drv(Name) when is_atom(Name) ->
    case whereis(Name) of
        Drv when is_pid(Drv) -> {ok, Drv};
        _ -> {error, noproc}
    end;
drv(Drv) ->
    {ok, Drv}.

%% Looking at a member doesn't start the application's Drv.
running_drv(default) ->
    alcove_default:running();
running_drv(Named) ->
    case drv(Named) of
        {ok, Drv} -> Drv;
        {error, _} -> undefined
    end.

%% @private
-spec handle_call(term(), gen_server:from(), #state{}) ->
    {reply, term(), #state{}} | {noreply, #state{}}.
handle_call(info, From, State) ->
    Summary = summary(State),
    _ = spawn(fun() -> gen_server:reply(From, Summary) end),
    {noreply, State};
%% For a drain, which has told those that wait.
handle_call(running, _From, #state{jobs = Jobs} = State) ->
    {reply, map_size(Jobs), State};
handle_call(drain, From, #state{pool = Pool, drainers = Drainers} = State) ->
    ok = alcove_pool_view:leave(Pool),
    Refusing = lists:foldl(
        fun(Ref, Acc) -> refuse(Ref, leaving, Acc) end, State, queue:to_list(State#state.queue)
    ),
    {noreply,
        drained(Refusing#state{
            draining = true, queue = queue:new(), drainers = [From | Drainers]
        })};
handle_call(_Request, _From, State) ->
    {reply, {error, badarg}, State}.

%% @private
-spec handle_cast(term(), #state{}) -> {noreply, #state{}}.
handle_cast({kept, Ref, Pid}, #state{jobs = Jobs, refs = Refs} = State) ->
    case Jobs of
        #{Ref := #job{watch = Watch} = Job} ->
            demonitor(Watch, [flush]),
            New = monitor(process, Pid),
            {noreply, State#state{
                jobs = Jobs#{Ref := Job#job{client = Pid, watch = New}},
                refs = (maps:remove(Watch, Refs))#{New => Ref}
            }};
        #{} ->
            {noreply, State}
    end;
handle_cast({cancel, Ref}, #state{jobs = Jobs} = State) ->
    case Jobs of
        #{Ref := #job{phase = leased}} -> {noreply, told(granted(ended(Ref, State)))};
        #{Ref := #job{}} -> {noreply, told(granted(given_up(Ref, State)))};
        #{} -> {noreply, State}
    end;
handle_cast(_Message, State) ->
    {noreply, State}.

%% @private
-spec handle_info(term(), #state{}) -> {noreply, #state{}} | {stop, term(), #state{}}.
handle_info({now, Ref, Client, Need, Work}, State) ->
    case room(Need, State) of
        yes ->
            Job = job(Client, Need, granted),
            {noreply, told(begun(Ref, Work, taken(Need, added(Ref, Job, State))))};
        {no, Why} ->
            tell(Ref, {no, Why, load(State)}),
            {noreply, State}
    end;
handle_info({offer, Ref, Client, Need}, State) ->
    case room(Need, State) of
        yes ->
            tell(Ref, granted),
            {noreply, told(taken(Need, added(Ref, job(Client, Need, granted), State)))};
        {no, Why} ->
            tell(Ref, {no, Why, load(State)}),
            {noreply, State}
    end;
handle_info({{held, Offer}, Ref, Client, Need, Work}, #state{jobs = Jobs} = State) ->
    case Jobs of
        #{Offer := #job{phase = granted}} ->
            Held = added(Ref, job(Client, Need, granted), removed(Offer, State)),
            {noreply, told(begun(Ref, Work, Held))};
        %% The connection to the client was lost meanwhile, and the grant with it.
        #{} ->
            handle_info({now, Ref, Client, Need, Work}, State)
    end;
handle_info({later, Ref, Client, Need, _Work}, State) ->
    #state{waiting = Waiting, queue_max = Max, draining = Draining} = State,
    %% Who gets room at once takes no place in the queue.
    Full = Waiting >= Max andalso not (Waiting =:= 0 andalso fits(Need, State)),
    case possible(Need, State) of
        _ when Draining ->
            tell(Ref, {refused, leaving}),
            {noreply, State};
        false ->
            tell(Ref, {refused, too_large}),
            {noreply, State};
        true when Full ->
            tell(Ref, {refused, busy}),
            {noreply, counted(refused, State)};
        true ->
            Added = added(Ref, job(Client, Need, waiting), State),
            Queue = queue:in(Ref, State#state.queue),
            {noreply, told(granted(Added#state{queue = Queue, waiting = Waiting + 1}))}
    end;
handle_info({go, Ref, Work}, #state{jobs = Jobs} = State) ->
    case Jobs of
        #{Ref := #job{phase = granted}} -> {noreply, told(begun(Ref, Work, State))};
        %% The client has ended, and the grant has ended with it.
        #{} -> {noreply, State}
    end;
handle_info({ended, Ref}, #state{jobs = Jobs} = State) ->
    case Jobs of
        #{Ref := #job{phase = running, need = Need, since = Since} = Job} ->
            event(stop, #{duration => erlang:monotonic_time() - Since}, State),
            %% The runner still has to tell the client: a drain waits for that.
            Over = counted(finished, State#state{jobs = Jobs#{Ref := Job#job{phase = over}}}),
            {noreply, told(granted(freed(Need, Over)))};
        #{} ->
            {noreply, State}
    end;
handle_info({'DOWN', Scope, process, _, _}, #state{scope = Scope} = State) ->
    handle_info(join, State#state{scope = undefined});
handle_info(join, #state{pool = Pool, draining = Draining} = State) ->
    %% The application was stopped, or what it runs for pools is started again.
    case alcove_pool_view:join(Pool) of
        {ok, Scope} ->
            _ = Draining andalso alcove_pool_view:leave(Pool),
            {noreply, told(State#state{scope = Scope})};
        {error, _} ->
            _ = erlang:send_after(?LOOK, self(), join),
            {noreply, State}
    end;
handle_info({unwatch, Client, Watch}, State) ->
    ok = unwatched(Client, Watch),
    {noreply, State};
handle_info({'DOWN', Ref, process, _, Reason}, #state{refs = Refs, jobs = Jobs} = State) ->
    case Refs of
        #{Ref := Id} ->
            case Jobs of
                #{Id := #job{phase = over, runner = {_, Ref}}} ->
                    Reason =:= normal orelse tell(Id, {done, {error, {process, Reason}}}),
                    {noreply, drained(removed(Id, State))};
                #{Id := #job{runner = {_, Ref}}} ->
                    Reason =:= normal orelse tell(Id, {done, {error, {process, Reason}}}),
                    {noreply, told(granted(ended(Id, State)))};
                %% The runner monitors the client, too: it stops the program, and ends after that.
                #{Id := #job{phase = running}} ->
                    {noreply, State};
                #{Id := #job{phase = leased}} ->
                    {noreply, told(granted(ended(Id, State)))};
                #{Id := _} ->
                    {noreply, told(granted(given_up(Id, State)))}
            end;
        #{} ->
            {noreply, State}
    end;
handle_info(tell, State) ->
    Untold = State#state{telling = false},
    case alcove_pool_view:tell(self(), load(State)) of
        ok -> {noreply, Untold};
        %% A node is slow to take messages: it is told later.
        busy -> {noreply, told(Untold)}
    end;
handle_info({'EXIT', Drv, Reason}, #state{own = Drv} = State) ->
    {stop, {drv, Reason}, State#state{own = undefined}};
handle_info({'EXIT', _, _}, State) ->
    {noreply, State};
handle_info(_Message, State) ->
    {noreply, State}.

%% @private
-spec terminate(term(), #state{}) -> ok.
terminate(_Reason, #state{own = Drv}) ->
    _ = Drv =:= undefined orelse alcove_drv:stop(Drv),
    forget_all().

%% The report of a crash would show the messages that wait, and with them the arguments of programs.
forget_all() ->
    receive
        _ -> forget_all()
    after 0 -> ok
    end.

%% @private
-spec format_status(gen_server:format_status()) -> gen_server:format_status().
format_status(Status) ->
    Hidden = fun
        (message, _) -> hidden;
        (log, _) -> [];
        (_, Value) -> Value
    end,
    maps:map(Hidden, Status).

%% Tells a client. A node that is slow to take messages doesn't hold up the member.
tell(Ref, Answer) ->
    case erlang:send(Ref, {Ref, Answer}, [nosuspend]) of
        ok ->
            ok;
        nosuspend ->
            _ = spawn(fun() -> Ref ! {Ref, Answer} end),
            ok
    end.

job(Client, Need, Phase) ->
    #job{
        client = Client,
        watch = monitor(process, Client),
        need = Need,
        since = erlang:monotonic_time(),
        phase = Phase
    }.

added(Ref, #job{watch = Watch} = Job, #state{jobs = Jobs, refs = Refs} = State) ->
    State#state{jobs = Jobs#{Ref => Job}, refs = Refs#{Watch => Ref}}.

removed(Ref, #state{jobs = Jobs, refs = Refs} = State) ->
    {#job{client = Client, watch = Watch, runner = Runner}, Rest} = maps:take(Ref, Jobs),
    ok = unwatched(Client, Watch),
    Without =
        case Runner of
            {_, Other} -> maps:remove(Other, Refs);
            undefined -> Refs
        end,
    State#state{jobs = Rest, refs = maps:remove(Watch, Without)}.

%% The end of a monitor is a message to the client's node, too, for which the member would wait if
%% that takes none. A message to nobody there tells whether it does. Until then the monitor stays.
unwatched(Client, Watch) when node(Client) =/= node() ->
    case erlang:send({alcove_pool_nobody, node(Client)}, free, [noconnect, nosuspend]) of
        nosuspend ->
            _ = erlang:send_after(?LOOK, self(), {unwatch, Client, Watch}),
            ok;
        _ ->
            demonitor(Watch, [flush]),
            ok
    end;
unwatched(_Client, Watch) ->
    demonitor(Watch, [flush]),
    ok.

%% The room of a member.

%% Whether there is room at once. Nobody overtakes those that wait.
room(_Need, #state{draining = true}) ->
    {no, leaving};
room(Need, #state{waiting = Waiting} = State) ->
    case possible(Need, State) of
        false -> {no, too_large};
        true when Waiting > 0 -> {no, full};
        true ->
            case fits(Need, State) of
                true -> yes;
                false -> {no, full}
            end
    end.

fits(Need, #state{max = Max, limits = Limits, used = #{programs := Programs} = Used}) ->
    Programs < Max andalso
        lists:all(
            fun(What) ->
                within(maps:get(What, Used) + maps:get(What, Need, 0), maps:get(What, Limits))
            end,
            [memory, cpu]
        ).

possible(Need, #state{limits = Limits}) ->
    lists:all(
        fun(What) -> within(maps:get(What, Need, 0), maps:get(What, Limits)) end, [memory, cpu]
    ).

within(_Amount, infinity) -> true;
within(Amount, Limit) -> Amount =< Limit.

taken(Need, State) -> used(1, Need, State).

freed(Need, State) -> used(-1, Need, State).

used(Sign, Need, #state{used = #{programs := Programs, memory := Memory, cpu := Cpu}} = State) ->
    State#state{
        used = #{
            programs => Programs + Sign,
            memory => Memory + Sign * maps:get(memory, Need, 0),
            cpu => Cpu + Sign * maps:get(cpu, Need, 0)
        }
    }.

%% Grants room to the first waiting job when there is enough for it. No other job overtakes it.
granted(#state{queue = Queue, jobs = Jobs, waiting = Waiting} = State) ->
    case queue:peek(Queue) of
        empty ->
            State;
        {value, Ref} ->
            case Jobs of
                #{Ref := #job{phase = waiting, need = Need} = Job} ->
                    case fits(Need, State) of
                        true ->
                            tell(Ref, granted),
                            Granted = taken(Need, State#state{
                                queue = queue:drop(Queue),
                                waiting = Waiting - 1,
                                jobs = Jobs#{Ref := Job#job{phase = granted}}
                            }),
                            granted(Granted);
                        false ->
                            State
                    end;
                %% The client has given up.
                #{} ->
                    granted(State#state{queue = queue:drop(Queue)})
            end
    end.

refuse(Ref, Why, #state{jobs = Jobs} = State) ->
    case Jobs of
        #{Ref := #job{phase = waiting}} ->
            tell(Ref, {refused, Why}),
            (removed(Ref, State))#state{waiting = State#state.waiting - 1};
        #{} ->
            State
    end.

begun(Ref, Work, #state{jobs = Jobs, refs = Refs, drv = Named} = State) ->
    #{Ref := #job{client = Client, since = Since} = Job} = Jobs,
    case drv(Named) of
        {ok, Drv} ->
            event(start, #{wait => erlang:monotonic_time() - Since}, State),
            Started = counted(started, State),
            case Work of
                lease ->
                    tell(Ref, {leased, Drv}),
                    Started#state{jobs = Jobs#{Ref := Job#job{phase = leased}}};
                {run, Argv, Options} ->
                    tell(Ref, running),
                    Member = self(),
                    {Runner, Watch} = spawn_monitor(fun() ->
                        runner(Member, Client, Ref, Drv, Argv, Options)
                    end),
                    Started#state{
                        jobs = Jobs#{Ref := Job#job{phase = running, runner = {Runner, Watch}}},
                        refs = Refs#{Watch => Ref}
                    }
            end;
        {error, Reason} ->
            tell(Ref, {done, {error, {drv, Reason}}}),
            %% The room is free again, for a caller that waits or for the end of a drain.
            granted(drained(freed(Job#job.need, removed(Ref, State))))
    end.

ended(Ref, #state{jobs = Jobs} = State) ->
    #{Ref := #job{need = Need, since = Since}} = Jobs,
    event(stop, #{duration => erlang:monotonic_time() - Since}, State),
    drained(freed(Need, removed(Ref, counted(finished, State)))).

%% The client has given up, either while it waited or after it got room.
given_up(Ref, #state{jobs = Jobs, waiting = Waiting} = State) ->
    case Jobs of
        #{Ref := #job{phase = waiting}} ->
            (removed(Ref, State))#state{waiting = Waiting - 1};
        #{Ref := #job{phase = granted, need = Need}} ->
            drained(freed(Need, removed(Ref, counted(abandoned, State))));
        #{} ->
            State
    end.

running(#state{used = #{programs := Programs}}) -> Programs.

drained(#state{draining = true, jobs = Jobs, drainers = Drainers} = State) when
    map_size(Jobs) =:= 0
->
    lists:foreach(fun(From) -> gen_server:reply(From, ok) end, Drainers),
    State#state{drainers = []};
drained(State) ->
    State.

counted(What, #state{counters = Counters} = State) ->
    State#state{counters = maps:update_with(What, fun(N) -> N + 1 end, Counters)}.

told(#state{telling = true} = State) ->
    State;
told(State) ->
    _ = erlang:send_after(?TELL, self(), tell),
    State#state{telling = true}.

%% The load is the used share of the scarcest resource.
load(#state{max = Max, limits = Limits, used = Used, waiting = Waiting}) ->
    Share = fun
        (_What, infinity) -> 0;
        (What, Limit) -> ?MILLION * maps:get(What, Used) / Limit
    end,
    Taken = lists:max([
        Share(programs, Max),
        Share(memory, maps:get(memory, Limits)),
        Share(cpu, maps:get(cpu, Limits))
    ]),
    {trunc(Taken) + ?MILLION * min(Waiting, 1), ?MILLION div Max}.

summary(#state{used = Used, counters = Counters, max = Max} = State) ->
    Counters#{
        node => node(),
        member => self(),
        drv => running_drv(State#state.drv),
        running => running(State),
        max => Max,
        waiting => State#state.waiting,
        used => maps:with([memory, cpu], Used),
        draining => State#state.draining
    }.

event(Name, Measurements, #state{pool = Pool, waiting = Waiting} = State) ->
    alcove_telemetry:execute(
        [alcove, pool, Name],
        Measurements#{running => running(State), waiting => Waiting},
        #{pool => Pool, node => node()}
    ).

%% The process that has a program run for a client. It stops the program when the client or the
%% member ends, and itself ends when nothing of the program is left.
runner(Member, Client, Ref, Drv, Argv, Options) ->
    Ended = monitor(process, Member),
    Gone = monitor(process, Client),
    Defaults = #{stdin => none, stdout => collect, stderr => collect},
    _ =
        case alcove_proc:start(Drv, Argv, maps:merge(Defaults, Options)) of
            {ok, Pid} ->
                receive
                    {alcove_proc, Pid, {exit, Outcome}} -> done(Member, Ref, Outcome);
                    {'DOWN', Gone, process, _, _} -> alcove_proc:stop(Pid);
                    {'DOWN', Ended, process, _, _} -> alcove_proc:stop(Pid)
                end;
            {error, Reason} ->
                done(Member, Ref, {error, Reason})
        end,
    ok.

%% The member hears it first, so that its room is free when the client asks for the next program.
done(Member, Ref, Outcome) ->
    Member ! {ended, Ref},
    Ref ! {Ref, {done, Outcome}}.
