%% @doc A live view of Unix processes in a terminal, as top(1) is one: of a Drv, of several, or of
%% all members of a pool.
%%
%% ```
%% 1> alcove_top:run(Drv).
%% 2> alcove_top:run([Drv, Other]).
%% 3> alcove_top:run(jobs).
%% '''
%%
%% `make top NODE=name@host' does the same in a terminal of its own, for all Drvs of a running node.
%% The node's cookie must be that of ~/.erlang.cookie, or be given: `ERL_FLAGS="-setcookie secret"
%% make top NODE=name@host'. Without a node it makes a small tree and shows that.
%%
%% The first line has the totals. Programs come before alcove's own processes, the helpers:
%% `guardian' and `root', event loops (`loop'), the `keeper' of each program, and for a program in a
%% pid namespace an `init'. A process that a program has started is a `child'. A program of {@link
%% alcove_proc} that has a `name' is shown with it. Processor time since the last update is in
%% percent of one processor.
%%
%% Each member of a pool has a line: its node, how many programs run, how many more it has room for,
%% how many callers wait. Below it are the programs of the member's Drv, including those that the
%% pool didn't start.
%%
%% <h3>Keys</h3>
%%
%% <dl>
%% <dt>`c', `m', `t'</dt>
%% <dd>sort by use of processors, memory, and processor time since the start</dd>
%% <dt>`p', Escape</dt><dd>show trees again</dd>
%% <dt>`h'</dt><dd>hides the helpers, or shows them</dd>
%% <dt>arrows, `j', `k'</dt><dd>scroll by a line; left and right, or `<' and `>', scroll lines that
%%     are too long</dd>
%% <dt>Page Down and Up, `f', `b', space</dt><dd>scroll by a screen</dd>
%% <dt>Home, End, `g', `G'</dt><dd>the first and last line</dd>
%% <dt>`q', control and C</dt><dd>quit</dd>
%% </dl>
%%
%% `make top' reads keys as they are typed. A shell only passes on lines: there each line is a list
%% of such keys, as `mjj' and Enter, and an empty line quits.
-module(alcove_top).

-export([run/1, run/2, drvs/0]).
-export([main/1, sample/1]).

-export_type([viewed/0]).

%% A Drv, a list of them, or the name of a pool. The name of a registered process means a Drv.
-type viewed() :: alcove:drv() | [alcove:drv()] | atom().

-define(SECOND, 1000).
%% How long another node may take to answer.
-define(PATIENCE, 5000).

%% @equiv run(Viewed, 1000)
-spec run(viewed()) -> ok.
run(Viewed) ->
    run(Viewed, ?SECOND).

%% @doc Shows the processes, and updates the view at an interval in milliseconds, until the user
%% quits, all Drvs have ended or the pool has no member.
%%
%% Raises `badarg' for other arguments. The terminal is the caller's group leader, and is left as it
%% was.
-spec run(viewed(), pos_integer()) -> ok.
run(Viewed, Interval) when is_integer(Interval), Interval > 0 ->
    case source(Viewed) of
        {ok, Source} -> shown(Source, Interval, leader);
        {error, What} -> alcove_errors:raise(badarg, ?MODULE, run, [Viewed, Interval], {What, 1})
    end;
run(Viewed, Interval) ->
    alcove_errors:raise(badarg, ?MODULE, run, [Viewed, Interval], {milliseconds, 2}).

source([_ | _] = Refs) ->
    try [alcove_drv:locate(Ref) || Ref <- Refs] of
        Found ->
            case lists:member(error, Found) of
                true -> {error, no_drvs};
                false -> {ok, drvs_of(lists:uniq([Drv || {ok, Drv} <- Found]))}
            end
    catch
        %% Not a proper list.
        error:_ -> {error, no_drvs}
    end;
source(Ref) ->
    case alcove_drv:locate(Ref) of
        {ok, Drv} ->
            {ok, drvs_of([Drv])};
        error when is_atom(Ref) ->
            case alcove_pool:members(Ref) of
                [] -> {error, no_drvs};
                _ -> {ok, fun() -> members(Ref) end}
            end;
        error ->
            {error, no_drvs}
    end.

%%--------------------------------------------------------------------
%% The processes
%%--------------------------------------------------------------------

drvs_of(Drvs) ->
    fun() ->
        Seen = everywhere(Drvs),
        [maps:get(Drv, Seen) || Drv <- Drvs]
    end.

%% If two members use the same Drv, its processes are shown once.
members(Pool) ->
    Infos = lists:sort(
        fun(#{node := A, member := M}, #{node := B, member := N}) -> {A, M} =< {B, N} end,
        alcove_pool:info(Pool)
    ),
    Seen = everywhere(lists:usort([Drv || #{drv := Drv} <- Infos, is_pid(Drv)])),
    {Groups, _} = lists:mapfoldl(
        fun(#{drv := Drv, member := Member} = Info, Left) ->
            {Group, Rest} =
                case maps:take(Drv, Left) of
                    error when is_map_key(Drv, Seen) ->
                        {(maps:get(Drv, Seen))#{tree := none}, Left};
                    error ->
                        {gone(Drv, maps:get(node, Info)), Left};
                    Taken ->
                        Taken
                end,
            {Group#{key := Member, member => Info}, Rest}
        end,
        Seen,
        Infos
    ),
    Groups.

gone(Drv, Node) ->
    #{key => Drv, node => Node, drv => Drv, at => 0, tree => gone, guardian => gone, names => #{}}.

%% Asks each node for its own Drvs. A node that is lost has none.
everywhere(Drvs) ->
    Nodes = lists:usort([node(Drv) || Drv <- Drvs]),
    Asked = [{Node, [Drv || Drv <- Drvs, node(Drv) =:= Node]} || Node <- Nodes],
    Requests = [
        {Node, Of, erpc:send_request(Node, ?MODULE, sample, [Of])}
     || {Node, Of} <- Asked, Node =/= node()
    ],
    Here = lists:append([sample(Of) || {Node, Of} <- Asked, Node =:= node()]),
    There = lists:append([answered(Node, Of, Request) || {Node, Of, Request} <- Requests]),
    maps:from_list([{Drv, Group} || #{drv := Drv} = Group <- Here ++ There]).

answered(Node, Drvs, Request) ->
    try
        erpc:receive_response(Request, ?PATIENCE)
    catch
        error:{erpc, noconnection} -> [gone(Drv, Node) || Drv <- Drvs];
        error:{erpc, timeout} -> [(gone(Drv, Node))#{tree := late} || Drv <- Drvs]
    end.

%% @private
%% @doc What the view shows of Drvs of this node.
-spec sample([pid()]) -> [alcove_top_view:group()].
sample(Drvs) ->
    Names = alcove_proc_registry:noted(),
    [sample(Drv, Names) || Drv <- Drvs].

sample(Drv, Names) ->
    Group = gone(Drv, node()),
    case alcove_tree:tree(Drv) of
        {error, gone} ->
            Group;
        Tree ->
            Group#{
                at := erlang:monotonic_time(microsecond),
                tree := Tree,
                guardian := alcove_tree:guardian(Tree),
                names := maps:from_list([
                    {lists:droplast(Path), label(Name)}
                 || {Of, Path, Name} <- Names, Of =:= Drv
                ])
            }
    end.

label({via, _Module, Name}) -> label({global, Name});
label({_Kind, Name}) -> io_lib:format("~tp", [Name]).

%% @doc The Drvs of this node.
-spec drvs() -> [alcove:drv()].
drvs() ->
    [
        Pid
     || Pid <- processes(),
        {dictionary, Dictionary} <- [process_info(Pid, dictionary)],
        lists:keyfind('$initial_call', 1, Dictionary) =:= {'$initial_call', {alcove_drv, init, 1}}
    ].

%%--------------------------------------------------------------------
%% The view
%%--------------------------------------------------------------------

-record(top, {
    source :: fun(() -> [alcove_top_view:group()]),
    interval :: pos_integer(),
    terminal :: pid(),
    view :: alcove_top_view:view(),
    %% The process that gathers data while keys are read, or the time of the next update.
    next :: {pid(), reference()} | integer()
}).

shown(Source, Interval, From) ->
    {Pid, Terminal} = alcove_top_terminal:open(From),
    View = alcove_top_view:new(alcove_top_terminal:mode(Terminal)),
    Ended =
        try
            loop(#top{
                source = Source,
                interval = Interval,
                terminal = Pid,
                view = View,
                next = now_ms()
            })
        after
            alcove_top_terminal:close(Terminal)
        end,
    lists:foreach(fun(Line) -> io:put_chars([Line, "\n"]) end, Ended).

loop(#top{next = Next, terminal = Terminal} = Top) ->
    receive
        {Terminal, {keys, Keys}} ->
            pressed(Keys, Top);
        {Terminal, closed} ->
            quit(Top);
        {looked, Pid, Result} when is_tuple(Next), Pid =:= element(1, Next) ->
            true = demonitor(element(2, Next), [flush]),
            looked(Result, Top);
        {'DOWN', Ref, process, Pid, Reason} when {Pid, Ref} =:= Next ->
            exit(Reason)
    after wait(Next) ->
        #top{source = Source} = Top,
        Self = self(),
        Looker = spawn_monitor(fun() -> Self ! {looked, self(), look(Source)} end),
        loop(Top#top{next = Looker})
    end.

now_ms() -> erlang:monotonic_time(millisecond).

wait({_, _}) -> infinity;
wait(At) -> max(0, At - now_ms()).

look(Source) ->
    try
        {seen, Source()}
    catch
        Class:Reason:Stack -> {failed, Class, Reason, Stack}
    end.

looked({seen, Groups}, #top{view = View, interval = Interval} = Top) ->
    Seen = alcove_top_view:seen(Groups, View),
    case alcove_top_view:ended(Seen) of
        true -> alcove_top_view:summary(Seen);
        false -> drawn(Top#top{view = Seen, next = now_ms() + Interval})
    end;
looked({failed, Class, Reason, Stack}, _Top) ->
    erlang:raise(Class, Reason, Stack).

pressed([Key | Keys], #top{view = View} = Top) ->
    case alcove_top_view:pressed(Key, alcove_top_terminal:size(), View) of
        quit -> quit(Top);
        Pressed -> pressed(Keys, Top#top{view = Pressed})
    end;
pressed([], Top) ->
    drawn(Top).

drawn(#top{view = View} = Top) ->
    ok = alcove_top_terminal:draw(alcove_top_view:lines(alcove_top_terminal:size(), View)),
    loop(Top).

quit(#top{next = {Looker, Ref}}) ->
    exit(Looker, kill),
    receive
        {'DOWN', Ref, process, Looker, _} -> ok
    end,
    receive
        {looked, Looker, _} -> []
    after 0 -> []
    end;
quit(_Top) ->
    [].

%% @private
%% What `make top' calls: shows another node, or a tree for demonstration. Returns the exit status.
-spec main([string()]) -> 0 | 1.
main([]) ->
    {ok, Drv} = alcove_drv:start_link(),
    {ok, _} = alcove:fork(Drv),
    {ok, _} = alcove_proc:start_link(Drv, ["sleep", "1000"], #{name => {local, sleeper}}),
    {ok, _} = alcove_proc:start_link(Drv, ["sh", "-c", "while :; do :; done"], #{nice => 19}),
    ok = shown(drvs_of([Drv]), ?SECOND, terminal()),
    ok = alcove_drv:stop(Drv),
    0;
main([Name]) ->
    Node = list_to_atom(Name),
    try
        other(Node)
    catch
        error:{erpc, noconnection} -> failed("~ts has ended", [Node]);
        error:{exception, undef, _} -> failed("~ts doesn't have alcove", [Node])
    end.

other(Node) ->
    Drvs = fun() -> erpc:call(Node, ?MODULE, drvs, []) end,
    case net_kernel:connect_node(Node) andalso Drvs() of
        [_ | _] ->
            Source = fun() -> erpc:call(Node, ?MODULE, sample, [Drvs()]) end,
            ok = shown(Source, ?SECOND, terminal()),
            0;
        [] ->
            failed("~ts has no Drv", [Node]);
        _ ->
            failed("no connection to ~ts: is it running, and is the cookie the same?", [Node])
    end.

%% Where keys come from: standard input, unless the virtual machine reads that itself.
terminal() ->
    case init:get_argument(noinput) of
        {ok, _} -> stdin;
        error -> leader
    end.

failed(Format, Args) ->
    io:format(Format ++ "~n", Args),
    1.
