%% @doc A live view of the trees of processes, for a terminal.
%%
%% ```
%% 1> alcove_top:run(Drv).
%% '''
%%
%% redraws the tree each second until a line is entered. `make top NODE=name@host' does the
%% same in a terminal of its own, of all Drvs of a node that runs, whose cookie must be that
%% of ~/.erlang.cookie, or be given: `ERL_FLAGS="-setcookie secret" make top NODE=name@host'.
%% Without a node it shows a small tree that it makes.
-module(alcove_top).

-export([run/1, run/2, frame/2, drvs/0]).
-export([main/1]).

-define(SECOND, 1000).
%% Home; to the end of the line; to the end of the screen.
-define(HOME, "\e[H").
-define(NEWLINE, "\e[K\n").
-define(REST, "\e[J").

%% @equiv run(Drv, 1000)
-spec run(alcove:drv()) -> ok.
run(Drv) ->
    run(Drv, ?SECOND).

%% @doc Shows the tree of a Drv, and again each so many milliseconds, until a line is
%% entered or the Drv ends.
-spec run(alcove:drv(), pos_integer()) -> ok.
run(Drv, Interval) when is_pid(Drv), is_integer(Interval), Interval > 0 ->
    shown(fun() -> [Drv] end, Interval);
run(Drv, Interval) when is_pid(Drv) ->
    alcove_errors:raise(badarg, ?MODULE, run, [Drv, Interval], {milliseconds, 2});
run(Drv, Interval) ->
    alcove_errors:raise(badarg, ?MODULE, run, [Drv, Interval], {drv, 1}).

shown(Drvs, Interval) ->
    Leader = group_leader(),
    {Reader, Ref} = spawn_monitor(fun() -> io:get_line(Leader, "") end),
    io:put_chars("\e[2J"),
    try
        loop(Drvs, Interval, #{}, Ref)
    after
        demonitor(Ref, [flush]),
        exit(Reader, kill)
    end.

loop(Drvs, Interval, Before, Ref) ->
    {Text, Now} = frames(Drvs(), Before),
    Lines = lines(string:split(unicode:characters_to_list(Text), "\n", all)),
    io:put_chars([?HOME, lists:join(?NEWLINE, Lines), ?REST]),
    receive
        {'DOWN', Ref, process, _, _} -> ok
    after Interval ->
        case Now of
            #{trees := 0} -> ok;
            _ -> loop(Drvs, Interval, Now, Ref)
        end
    end.

%% What the terminal has room for: it would scroll, and not be redrawn, with more.
lines(Lines) ->
    case {io:rows(), io:columns()} of
        {{ok, Rows}, {ok, Columns}} ->
            Narrow = [lists:sublist(Line, Columns) || Line <- Lines],
            case length(Lines) > Rows of
                true -> lists:sublist(Narrow, max(0, Rows - 1)) ++ ["..."];
                false -> Narrow
            end;
        _ ->
            Lines
    end.

frames(Drvs, Before) ->
    Frames = [frame(Drv, maps:get(Drv, Before, #{})) || Drv <- Drvs],
    Shown = [{Drv, Seen} || {Drv, {_, #{} = Seen}} <- lists:zip(Drvs, Frames)],
    {[[Text, "\n"] || {Text, _} <- Frames], (maps:from_list(Shown))#{trees => length(Shown)}}.

%% @doc A picture of the tree, and what the next one is compared to.
-spec frame(alcove:drv(), map()) -> {unicode:chardata(), map() | gone}.
frame(Drv, Before) ->
    Now = erlang:monotonic_time(microsecond),
    case alcove_tree:tree(Drv) of
        {error, gone} ->
            {io_lib:format("~p has ended~n", [Drv]), gone};
        Tree ->
            Compared =
                case Before of
                    #{at := At, cpu := Cpu} when Now > At -> #{since => Now - At, cpu => Cpu};
                    _ -> #{}
                end,
            Title =
                case maps:size(cpu(Tree)) of
                    1 -> io_lib:format("~p: 1 process~n", [Drv]);
                    Count -> io_lib:format("~p: ~b processes~n", [Drv, Count])
                end,
            {[Title, alcove_tree:format(Tree, Compared)], #{at => Now, cpu => cpu(Tree)}}
    end.

cpu(#{pid := Pid, cpu_time := Time, children := Children}) ->
    lists:foldl(fun(Child, All) -> maps:merge(All, cpu(Child)) end, #{Pid => Time}, Children).

%% @doc The Drvs of this node.
-spec drvs() -> [alcove:drv()].
drvs() ->
    [
        Pid
     || Pid <- processes(),
        {dictionary, Dictionary} <- [process_info(Pid, dictionary)],
        lists:keyfind('$initial_call', 1, Dictionary) =:= {'$initial_call', {alcove_drv, init, 1}}
    ].

%% @private
%% What `make top' calls: of another node, or of a tree to show. The status to exit with.
-spec main([string()]) -> 0 | 1.
main([]) ->
    {ok, Drv} = alcove_drv:start_link(),
    {ok, _} = alcove:fork(Drv),
    {ok, _} = alcove_proc:start_link(Drv, ["sleep", "1000"]),
    {ok, _} = alcove_proc:start_link(Drv, ["sh", "-c", "while :; do :; done"], #{nice => 19}),
    ok = run(Drv),
    ok = alcove_drv:stop(Drv),
    0;
main([Name]) ->
    Node = list_to_atom(Name),
    try
        other(Node)
    catch
        error:{erpc, noconnection} -> failed("~ts has ended", [Node]);
        exit:{nodedown, _} -> failed("~ts has ended", [Node]);
        error:{exception, undef, _} -> failed("~ts doesn't have alcove", [Node])
    end.

other(Node) ->
    Drvs = fun() -> erpc:call(Node, ?MODULE, drvs, []) end,
    case net_kernel:connect_node(Node) andalso Drvs() of
        [_ | _] ->
            ok = shown(Drvs, ?SECOND),
            0;
        [] ->
            failed("~ts has no Drv", [Node]);
        _ ->
            failed("no connection to ~ts: is it running, and is the cookie the same?", [Node])
    end.

failed(Format, Args) ->
    io:format(Format ++ "~n", Args),
    1.
