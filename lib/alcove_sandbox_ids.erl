%% @private
%% @doc Unused user ids, one for each sandbox that root starts; and the ids that /etc/subuid and
%% /etc/subgid give an ordinary user besides its own.
%%
%% Root's unused ids are above all that distributions and systemd assign. Each virtual machine has a
%% range of its own, by its process id, so two of them in the machine's own pid namespace never
%% share an id. In another, the range is drawn by the namespace and the process id: two share one
%% with a chance of one in four millions.
%%
%% In a user namespace that doesn't have these ids, as a container's, they are the highest that it
%% has, above 65535; and where it has none of these, those that systemd leaves to nobody (60706 to
%% 61183). Virtual machines in one such container may share some.
%%
%% An id belongs to the Erlang process that took it, until that says what became of the start that
%% the id was for: {@link settle/2}. It is free again when the process that it belongs to has ended.
-module(alcove_sandbox_ids).

-behaviour(gen_server).

-export([start_link/0, child_spec/0, take/2, settle/2, users/1, has_both/2]).
-export_type([users/0]).
-export([mapped/3, outside/2]).
-export([init/1, handle_call/3, handle_cast/2, handle_info/2]).

-define(FIRST, 16#80000000).
%% How many ids a virtual machine has, and how many virtual machines there can be: pids are below
%% 2^22.
-define(EACH, 511).
-define(MACHINES, 16#400000).
%% In a user namespace that has no others: https://systemd.io/UIDS-GIDS.
-define(LOW, 60706).
-define(LOW_EACH, 478).
%% What the machine's own pid namespace is called.
-define(PIDS, "pid:[4026531836]").

%% The ids of a user namespace, as ranges in it: the first and how many.
-type users() ::
    all | {Uids :: [{alcove:id(), pos_integer()}], Gids :: [{alcove:id(), pos_integer()}]}.

-record(state, {
    %% The number of this virtual machine.
    machine :: non_neg_integer(),
    %% By the first id of the range.
    free = #{} :: #{pos_integer() => queue:queue(pos_integer())},
    %% By the monitor of the process that an id belongs to: the range and the id.
    taken = #{} :: #{reference() => {pos_integer(), pos_integer()}},
    %% The monitors of those that have starts under way, the newest first.
    starting = #{} :: #{pid() => [reference()]}
}).

%% @private
-spec child_spec() -> supervisor:child_spec().
child_spec() ->
    #{id => ?MODULE, start => {?MODULE, start_link, []}}.

%% @private
-spec start_link() -> {ok, pid()} | {error, term()} | ignore.
start_link() ->
    case gen_server:start_link({local, ?MODULE}, ?MODULE, [], []) of
        {error, {already_started, _}} -> ignore;
        Started -> Started
    end.

%% @doc An id for a node's Drv, for as long as the calling process lives, or what it says.
-spec take(node(), users()) -> {ok, pos_integer()} | {error, eagain | {unmapped, unused} | term()}.
take(Node, Users) ->
    Taker = self(),
    try
        gen_server:call({?MODULE, Node}, {take, Taker, Users})
    catch
        exit:{noproc, _} ->
            %% Without the application, as in a script, the first caller starts the process.
            case erpc:call(Node, gen_server, start, [{local, ?MODULE}, ?MODULE, [], []]) of
                {ok, _} -> take(Node, Users);
                {error, {already_started, _}} -> take(Node, Users);
                {error, Reason} -> {error, Reason}
            end
    end.

%% @doc The start of the calling process is over: the ids that it has taken since the last are free;
%% or the newest belongs to the process of the program that has it; or all of them stay the calling
%% process's, since something of the program is left.
-spec settle(node(), free | {program, pid()} | left) -> ok.
settle(Node, What) ->
    gen_server:cast({?MODULE, Node}, {settle, self(), What}).

%%--------------------------------------------------------------------
%% Those of an ordinary user
%%--------------------------------------------------------------------

%% The most bytes of a file that are read: more than any machine has.
-define(MAX, 4 * 1024 * 1024).

-type maps() :: {Uids :: [alcove_sandbox_spec:range()], Gids :: [alcove_sandbox_spec:range()]}.

%% @doc What a sandbox's user namespace has besides the program's own ids, or `own'.
%%
%% The user that makes a sandbox has to be in the maps, since everything in it is made by that user.
-spec mapped(pid(), alcove_sandbox_spec:spec(), Privileged :: boolean()) ->
    {ok, own | maps()} | {error, {ids, term()}}.
mapped(_Drv, #{ids := own}, _Privileged) ->
    {ok, own};
mapped(_Drv, #{without := #{ids := _}}, _Privileged) ->
    {ok, own};
mapped(_Drv, #{as := {_, _}}, true) ->
    {ok, own};
mapped(_Drv, _Spec, true) ->
    {error, {ids, root}};
mapped(Drv, #{ids := Ids}, false) ->
    {Uid, Gid} = {alcove:geteuid(Drv, []), alcove:getegid(Drv, [])},
    case Ids of
        subordinate ->
            subordinate(Drv, Uid, Gid);
        {Uids, Gids} ->
            case {has(Uid, Uids), has(Gid, Gids)} of
                {true, true} -> {ok, Ids};
                {false, _} -> {error, {ids, {user, Uid}}};
                {true, false} -> {error, {ids, {group, Gid}}}
            end
    end.

subordinate(Drv, Uid, Gid) ->
    Files = {drv, Drv, [], infinity},
    case alcove_proc_names:ids(Files, [], {Uid, Gid, []}) of
        {ok, #{login := #{name := Name}}} ->
            Names = [integer_to_binary(Uid) | [Name || is_binary(Name)]],
            case {given(Drv, <<"/etc/subuid">>, Names), given(Drv, <<"/etc/subgid">>, Names)} of
                {{ok, Uids}, {ok, Gids}} -> {ok, {[{0, Uid, 1} | Uids], [{0, Gid, 1} | Gids]}};
                {{error, Reason}, _} -> {error, {ids, Reason}};
                {_, {error, Reason}} -> {error, {ids, Reason}}
            end;
        {error, Reason} ->
            {error, {ids, Reason}}
    end.

%% All ranges that a file gives a user, from 1 on; see subuid(5).
given(Drv, Path, Names) ->
    case alcove_file:read_regular({Drv, []}, Path, [], ?MAX, infinity) of
        {ok, Text} ->
            Ranges = [
                Range
             || Line <- binary:split(Text, <<"\n">>, [global]),
                [Name, First, Count] <- [binary:split(Line, <<":">>, [global])],
                lists:member(Name, Names),
                Range <- range(First, Count)
            ],
            case Ranges of
                [] -> {error, {Path, no_range}};
                _ -> {ok, inside(1, Ranges)}
            end;
        {error, Reason} ->
            {error, {Path, Reason}}
    end.

range(First, Count) ->
    case {string:to_integer(First), string:to_integer(Count)} of
        %% Nobody is given root's id.
        {{From, <<>>}, {N, <<>>}} when From =/= 0 ->
            [{From, N} || alcove_proc_options:is_id_range({0, From, N})];
        _ -> []
    end.

inside(_Next, []) -> [];
inside(Next, [{First, Count} | Ranges]) -> [{Next, First, Count} | inside(Next + Count, Ranges)].

has(Outside, Ranges) ->
    lists:any(fun({_, From, Count}) -> Outside >= From andalso Outside < From + Count end, Ranges).

%% @doc The id outside of an id inside.
-spec outside({alcove:id(), alcove:id()}, maps()) ->
    {ok, {alcove:id(), alcove:id()}} | {error, {user, {unmapped, {alcove:id(), alcove:id()}}}}.
outside({Uid, Gid} = User, {Uids, Gids}) ->
    case {one(Uid, Uids), one(Gid, Gids)} of
        {[Is | _], [Its | _]} -> {ok, {Is, Its}};
        _ -> {error, {user, {unmapped, User}}}
    end.

one(Id, Ranges) ->
    [To + Id - From || {From, To, Count} <- Ranges, Id >= From, Id < From + Count].

%%--------------------------------------------------------------------
%% Root's
%%--------------------------------------------------------------------

%% @private
-spec init([]) -> {ok, #state{}}.
init([]) ->
    Pid = list_to_integer(os:getpid()),
    Machine =
        case file:read_link("/proc/self/ns/pid") of
            {ok, ?PIDS} -> Pid rem ?MACHINES;
            {ok, Namespace} -> erlang:phash2({Namespace, Pid}, ?MACHINES);
            {error, _} -> Pid rem ?MACHINES
        end,
    {ok, #state{machine = Machine}}.

%% The range of ids of this virtual machine that a user namespace has.
own_range(Machine, Users) ->
    First = ?FIRST + Machine * (?EACH + 1),
    case has_all(First, ?EACH, Users) of
        true -> {First, ?EACH};
        false -> mapped_range(Machine, Users)
    end.

mapped_range(Machine, {Uids, Gids} = Users) ->
    Both = [
        {max(U, G), min(U + UCount, G + GCount)}
     || {U, UCount} <- Uids, {G, GCount} <- Gids
    ],
    case
        lists:reverse(
            lists:sort([
                {To, max(From, 16#10000)}
             || {From, To} <- Both, To - max(From, 16#10000) > ?EACH
            ])
        )
    of
        [{To, From} | _] ->
            Slots = (To - From) div (?EACH + 1),
            {To - (Machine rem Slots + 1) * (?EACH + 1), ?EACH};
        [] ->
            case has_all(?LOW, ?LOW_EACH, Users) of
                true -> {?LOW, ?LOW_EACH};
                false -> none
            end
    end.

has_all(_First, _Count, all) ->
    true;
has_all(First, Count, {Uids, Gids}) ->
    Has = fun({From, Many}) -> From =< First andalso First + Count =< From + Many end,
    lists:any(Has, Uids) andalso lists:any(Has, Gids).

%% Those that other virtual machines have, too, are taken in another order.
ids(Machine, {?LOW, Count}) ->
    {Some, Others} = lists:split(Machine rem Count, lists:seq(?LOW, ?LOW + Count - 1)),
    queue:from_list(Others ++ Some);
ids(_Machine, {First, Count}) ->
    queue:from_list(lists:seq(First, First + Count - 1)).

%% @doc The ids of a Drv's user namespace; or `own', if that is only a user's, and not root's, own.
-spec users(pid()) -> {ok, users() | own} | {error, term()}.
users(Drv) ->
    Files = [<<"/proc/self/uid_map">>, <<"/proc/self/gid_map">>],
    case alcove:batch(Drv, [], [{read_file, [File]} || File <- Files]) of
        {ok, [{ok, Uids}, {ok, Gids}]} -> {ok, both(map(Uids), map(Gids))};
        %% A kernel without user namespaces.
        {error, {_, read_file, enoent}} -> {ok, all};
        {error, {Index, read_file, Reason}} -> {error, {lists:nth(Index, Files), Reason}}
    end.

both([{0, 0, 16#ffffffff}], [{0, 0, 16#ffffffff}]) -> all;
both([{_, Outside, 1}], _Gids) when Outside > 0 -> own;
both(Uids, Gids) -> {inner(Uids), inner(Gids)}.

inner(Ranges) -> [{Inside, Count} || {Inside, _Outside, Count} <- Ranges].

map(Map) ->
    [
        {binary_to_integer(Inside), binary_to_integer(Outside), binary_to_integer(Count)}
     || Line <- binary:split(Map, <<"\n">>, [global, trim_all]),
        [Inside, Outside, Count] <- [binary:split(Line, <<" ">>, [global, trim_all])]
    ].

%% @doc Whether a user namespace has a user and a group.
-spec has_both({alcove:id(), alcove:id()}, users()) -> boolean().
has_both(_Ids, all) ->
    true;
has_both({Uid, Gid}, {Uids, Gids}) ->
    has_all(Uid, 1, {Uids, Uids}) andalso has_all(Gid, 1, {Gids, Gids}).

%% @private
-spec handle_call({take, pid(), users()}, gen_server:from(), #state{}) ->
    {reply, {ok, pos_integer()} | {error, eagain | {unmapped, unused}}, #state{}}.
handle_call({take, Pid, Users}, _From, #state{machine = Machine, free = Free} = State) ->
    case own_range(Machine, Users) of
        {First, _} when is_map_key(First, Free) -> taken(Pid, First, State);
        {First, _} = Range ->
            taken(Pid, First, State#state{free = Free#{First => ids(Machine, Range)}});
        none -> {reply, {error, {unmapped, unused}}, State}
    end.

taken(Pid, First, #state{free = Free, taken = Taken, starting = Starting} = State) ->
    case queue:out(maps:get(First, Free)) of
        {{value, Id}, Rest} ->
            Ref = monitor(process, Pid),
            {reply, {ok, Id}, State#state{
                free = Free#{First := Rest},
                taken = Taken#{Ref => {First, Id}},
                starting = Starting#{Pid => [Ref | maps:get(Pid, Starting, [])]}
            }};
        {empty, _} ->
            {reply, {error, eagain}, State}
    end.

%% @private
-spec handle_cast(term(), #state{}) -> {noreply, #state{}}.
handle_cast({settle, Pid, What}, #state{starting = Starting} = State) ->
    case maps:take(Pid, Starting) of
        {Refs, Rest} -> {noreply, settled(What, Refs, State#state{starting = Rest})};
        error -> {noreply, State}
    end;
handle_cast(_Request, State) ->
    {noreply, State}.

settled(left, _Refs, State) ->
    State;
settled(free, Refs, State) ->
    lists:foldl(fun released/2, State, Refs);
settled({program, Pid}, [Newest | Refs], #state{taken = Taken} = State) ->
    true = demonitor(Newest, [flush]),
    {Id, Rest} = maps:take(Newest, Taken),
    settled(free, Refs, State#state{taken = Rest#{monitor(process, Pid) => Id}}).

released(Ref, #state{free = Free, taken = Taken} = State) ->
    true = demonitor(Ref, [flush]),
    case maps:take(Ref, Taken) of
        %% At the end of the queue: an id rests for as long as others do.
        {{First, Id}, Rest} ->
            Ids = maps:get(First, Free),
            State#state{free = Free#{First := queue:in(Id, Ids)}, taken = Rest};
        error -> State
    end.

%% @private
-spec handle_info(term(), #state{}) -> {noreply, #state{}}.
handle_info({'DOWN', Ref, process, Pid, _Reason}, #state{starting = Starting} = State) ->
    {noreply, released(Ref, State#state{starting = maps:remove(Pid, Starting)})};
handle_info(_Message, State) ->
    {noreply, State}.
