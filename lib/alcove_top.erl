%% @doc A live view of the trees of processes, for a terminal.
%%
%% ```
%% 1> alcove_top:run(Drv).
%% '''
%%
%% redraws the tree each second until a line is entered. `make top' does the same in a
%% terminal of its own: of all Drvs of the node `NODE', or, without one, of a small tree that
%% it makes to show.
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
run(Drv, Interval) ->
    Leader = group_leader(),
    {Reader, Ref} = spawn_monitor(fun() -> io:get_line(Leader, "") end),
    io:put_chars("\e[2J"),
    try
        loop(fun() -> [Drv] end, Interval, #{}, Ref)
    after
        demonitor(Ref, [flush]),
        exit(Reader, kill)
    end.

loop(Drvs, Interval, Before, Ref) ->
    {Text, Now} = frames(Drvs(), Before),
    Lines = string:split(unicode:characters_to_list(Text), "\n", all),
    io:put_chars([?HOME, lists:join(?NEWLINE, Lines), ?REST]),
    receive
        {'DOWN', Ref, process, _, _} -> ok
    after Interval ->
        case Now of
            #{trees := 0} -> ok;
            _ -> loop(Drvs, Interval, Now, Ref)
        end
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
            Count = maps:size(cpu(Tree)),
            Title = io_lib:format("~p: ~b processes~n", [Drv, Count]),
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
%% What `make top' calls: of another node, or of a tree to show.
-spec main([string()]) -> ok.
main([]) ->
    {ok, Drv} = alcove_drv:start_link(),
    {ok, _} = alcove:fork(Drv),
    {ok, _} = alcove_proc:start_link(Drv, ["sleep", "1000"]),
    {ok, _} = alcove_proc:start_link(Drv, ["sh", "-c", "while :; do :; done"], #{nice => 19}),
    run(Drv),
    alcove_drv:stop(Drv);
main([Name]) ->
    Node = list_to_atom(Name),
    case net_kernel:connect_node(Node) of
        true ->
            {Reader, Ref} = spawn_monitor(fun() -> io:get_line("") end),
            io:put_chars("\e[2J"),
            loop(fun() -> erpc:call(Node, ?MODULE, drvs, []) end, ?SECOND, #{}, Ref),
            exit(Reader, kill),
            ok;
        _ ->
            io:format("no connection to ~ts~n", [Node])
    end.
