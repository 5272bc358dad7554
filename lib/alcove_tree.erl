%% @doc The tree of a Drv's processes, as data and as text.
%%
%% The data about processes comes from proc(5), as the virtual machine sees it. The processes
%% themselves aren't asked, since some may be busy with a call, or have no /proc. The router knows
%% which of them are at a fork path, and in their event loops.
-module(alcove_tree).

-export([tree/1, format/1, format/2]).
-export([guardian/1, differing/2, bytes/1, printable/1]).

-export_type([process/0, state/0]).

-type state() :: event_loop | keeper | exec | exited | other.
-type process() :: #{
    pid := alcove:os_pid(),
    fork_path := alcove:fork_path() | undefined,
    state := state(),
    run_state := binary(),
    command := binary(),
    uid := alcove:id() | undefined,
    gid := alcove:id() | undefined,
    cpu_time := non_neg_integer(),
    memory := non_neg_integer(),
    namespaces := #{atom() => non_neg_integer()},
    cgroup := binary() | undefined,
    children := [process()]
}.

-define(NAMESPACES, [cgroup, ipc, mnt, net, pid, time, user, uts]).
%% The unit of times in proc(5), by the kernel's ABI, on every architecture.
-define(TICKS, 100).

%% @doc What {@link alcove:tree/1} returns: root and what is below it; `{error, gone}' when
%% there is no such Drv.
-spec tree(alcove:drv()) -> process() | {error, gone}.
tree(Drv) when node(Drv) =:= node() ->
    try alcove_drv:info(Drv) of
        #{os_pid := Pid} ->
            case process(Drv, Pid, Pid, [], event_loop) of
                #{} = Process -> Process;
                gone -> {error, gone}
            end
    catch
        error:badpid -> {error, gone}
    end;
tree(Drv) ->
    try
        erpc:call(node(Drv), ?MODULE, tree, [Drv])
    catch
        error:{erpc, noconnection} -> exit({nodedown, node(Drv)})
    end.

%% @private
%% @doc What is above root, on its node, without what is below it. It is the same executable.
-spec guardian(process()) -> process() | gone.
guardian(#{pid := Root}) ->
    case lines(Root, "status") of
        #{<<"PPid">> := [Parent], <<"Name">> := Name} ->
            Pid = binary_to_integer(Parent),
            case {lines(Pid, "status"), stat(Pid)} of
                {#{<<"Name">> := Name} = Status, {Run, Cpu}} ->
                    alone(Pid, Pid, undefined, event_loop, Status, {Run, Cpu});
                _ ->
                    gone
            end;
        _ ->
            gone
    end.

%% `Pid' is the pid of the process as this virtual machine sees it.
process(Drv, Pid, Number, Path, State) ->
    case {lines(Pid, "status"), stat(Pid)} of
        {#{} = Status, {_, _} = Stat} ->
            Process = alone(Pid, Number, Path, State, Status, Stat),
            Process#{children := children(Drv, Pid, Path, Status)};
        _ ->
            gone
    end.

alone(Pid, Number, Path, State, Status, {Run, Cpu}) ->
    #{
        pid => Pid,
        fork_path => Path,
        state => State,
        run_state => Run,
        command => command(Pid, Number, State, Status),
        uid => first(<<"Uid">>, Status),
        gid => first(<<"Gid">>, Status),
        cpu_time => Cpu,
        memory => resident(Status),
        namespaces => namespaces(Pid),
        cgroup => cgroup(Pid),
        children => []
    }.

children(Drv, Pid, Path, Status) ->
    Known = known(Drv, Path),
    %% The pid of a child in a fork path is the one that its parent sees.
    Level = length(maps:get(<<"NSpid">>, Status, [Pid])),
    lists:flatmap(
        fun(Child) ->
            Number = number(Child, Level),
            Process =
                case Known of
                    #{Number := State} -> process(Drv, Child, Number, Path ++ [Number], State);
                    #{} -> process(Drv, Child, Number, undefined, other)
                end,
            [Process || Process =/= gone, not is_free(Process)]
        end,
        below(Pid)
    ).

%% A keeper without a program waits for the next one, and isn't shown.
is_free(#{state := State, children := Children}) -> State =:= keeper andalso Children =:= [].

known(_Drv, undefined) ->
    #{};
known(Drv, Path) ->
    case alcove_call:run(Drv, Path, children, infinity) of
        Children when is_list(Children) ->
            maps:from_list([{Pid, State} || {Pid, State, _Flow} <- Children]);
        '$badpid' ->
            #{}
    end.

number(Pid, Level) ->
    case lines(Pid, "status") of
        #{<<"NSpid">> := Numbers} when length(Numbers) >= Level ->
            binary_to_integer(lists:nth(Level, Numbers));
        _ ->
            Pid
    end.

%%--------------------------------------------------------------------
%% proc(5)
%%--------------------------------------------------------------------

proc(Pid, Name) ->
    file:read_file(["/proc/", integer_to_list(Pid), "/", Name]).

%% The threads of a program may all have children.
below(Pid) ->
    Tasks =
        case file:list_dir(["/proc/", integer_to_list(Pid), "/task"]) of
            {ok, Names} -> Names;
            {error, _} -> []
        end,
    lists:sort([
        binary_to_integer(Child)
     || Task <- Tasks,
        {ok, Text} <- [proc(Pid, ["task/", Task, "/children"])],
        Child <- words(Text)
    ]).

words(Text) ->
    binary:split(Text, [<<" ">>, <<"\t">>, <<"\n">>], [global, trim_all]).

lines(Pid, Name) ->
    case proc(Pid, Name) of
        {ok, Text} ->
            maps:from_list([
                {Key, words(Value)}
             || Line <- binary:split(Text, <<"\n">>, [global]),
                [Key, Value] <- [binary:split(Line, <<":">>)]
            ]);
        {error, _} ->
            gone
    end.

first(Key, Status) ->
    case Status of
        #{Key := [Id | _]} -> binary_to_integer(Id);
        #{} -> undefined
    end.

%% A process that is about to be gone has no memory any more.
resident(#{<<"VmRSS">> := [Kilobytes | _]}) -> binary_to_integer(Kilobytes) * 1024;
resident(_Status) -> 0.

%% The name, in parentheses, may contain any character.
stat(Pid) ->
    case proc(Pid, "stat") of
        {ok, Text} ->
            {Start, Length} = lists:last(binary:matches(Text, <<")">>)),
            After = words(binary:part(Text, Start + Length, byte_size(Text) - Start - Length)),
            Field = fun(N) -> binary_to_integer(lists:nth(N - 2, After)) end,
            {hd(After), (Field(14) + Field(15)) * (1000000 div ?TICKS)};
        {error, _} ->
            gone
    end.

command(_Pid, _Number, event_loop, _Status) ->
    <<"alcove">>;
command(Pid, _Number, _State, #{<<"Name">> := Name}) ->
    case proc(Pid, "cmdline") of
        {ok, <<_, _/binary>> = Text} ->
            iolist_to_binary(lists:join(" ", binary:split(Text, <<0>>, [global, trim_all])));
        _ ->
            iolist_to_binary(["[", lists:join(" ", Name), "]"])
    end.

%% Those that this virtual machine may see.
namespaces(Pid) ->
    maps:from_list([
        {Name, Inode}
     || Name <- ?NAMESPACES,
        {ok, Link} <- [
            file:read_link(["/proc/", integer_to_list(Pid), "/ns/", atom_to_list(Name)])
        ],
        {match, [Number]} <- [re:run(Link, "\\[(\\d+)\\]", [{capture, all_but_first, list}])],
        Inode <- [list_to_integer(Number)]
    ]).

%% The control group of version 2, or of the first hierarchy in which the process isn't in the root.
cgroup(Pid) ->
    case proc(Pid, "cgroup") of
        {ok, Text} ->
            Groups = [
                {Id, Group}
             || Line <- binary:split(Text, <<"\n">>, [global, trim]),
                [Id, _, Group] <- [binary:split(Line, <<":">>, [global])]
            ],
            Named = [Group || {_, Group} <- Groups, Group =/= <<"/">>],
            case {lists:keyfind(<<"0">>, 1, Groups), Named} of
                {{_, Group}, _} when Group =/= <<"/">> -> Group;
                {_, [Group | _]} -> Group;
                _ -> <<"/">>
            end;
        {error, _} ->
            undefined
    end.

%%--------------------------------------------------------------------
%% Text
%%--------------------------------------------------------------------

%% @doc The tree as lines of text. Namespaces and control groups are shown where they
%% aren't root's.
-spec format(process()) -> unicode:chardata().
format(Root) ->
    format(Root, #{}).

%% @doc The same, with the share of a processor that each process has used since earlier. The
%% arguments are the `cpu_time' of that time, by pid, and how many microseconds ago that was.
-spec format(process(), #{} | #{since := pos_integer(), cpu := #{alcove:os_pid() => integer()}}) ->
    unicode:chardata().
format(Root, Before) ->
    [
        line("PID", "STATE", "UID", head(Before), "MEMORY", "NAMESPACES", "COMMAND")
        | rows(Root, "", "", maps:with([namespaces, cgroup], Root), Before)
    ].

head(#{since := _}) -> "CPU";
head(_) -> "TIME".

rows(#{children := Children} = Process, Branch, Indent, Own, Before) ->
    [row(Process, Branch, Own, Before) | below(Children, Indent, Own, Before)].

below([], _Indent, _Own, _Before) ->
    [];
below([Last], Indent, Own, Before) ->
    rows(Last, [Indent, "`- "], [Indent, "   "], Own, Before);
below([Child | Children], Indent, Own, Before) ->
    [
        rows(Child, [Indent, "|- "], [Indent, "|  "], Own, Before)
        | below(Children, Indent, Own, Before)
    ].

row(#{pid := Pid, state := State, uid := Uid, memory := Memory} = Process, Branch, Own, Before) ->
    #{command := Command, cgroup := Cgroup} = Process,
    Group =
        case Own of
            #{cgroup := Cgroup} -> "";
            _ when Cgroup =:= undefined -> "";
            _ -> ["  ", printable(Cgroup)]
        end,
    line(
        integer_to_list(Pid),
        state(State, Process),
        case Uid of
            undefined -> "?";
            _ -> integer_to_list(Uid)
        end,
        cpu(Process, Before),
        bytes(Memory),
        differing(Process, Own),
        [Branch, string:slice(printable(Command), 0, 60), Group]
    ).

line(Pid, State, Uid, Cpu, Memory, Namespaces, Command) ->
    io_lib:format("~8ts ~-10ts ~6ts ~7ts ~7ts ~-14ts ~ts~n", [
        Pid, State, Uid, Cpu, Memory, iolist_to_binary(Namespaces), Command
    ]).

state(_State, #{run_state := <<"Z">>}) -> "zombie";
state(_State, #{run_state := Stopped}) when Stopped =:= <<"T">>; Stopped =:= <<"t">> -> "stopped";
state(event_loop, _) -> "waits";
state(keeper, _) -> "keeper";
state(exec, _) -> "program";
state(exited, _) -> "ends";
state(other, _) -> "-".

cpu(#{pid := Pid, cpu_time := Time}, #{since := Since, cpu := Earlier}) ->
    Used = Time - maps:get(Pid, Earlier, Time),
    io_lib:format("~.1f%", [100 * Used / Since]);
cpu(#{cpu_time := Time}, _) ->
    io_lib:format("~.2fs", [Time / 1000000]).

%% @private
%% @doc The namespaces that aren't root's.
-spec differing(process(), #{namespaces := #{atom() => non_neg_integer()}, _ => _}) ->
    unicode:chardata().
differing(#{namespaces := Namespaces}, #{namespaces := Own}) ->
    Differing = [
        atom_to_list(Name)
     || {Name, Inode} <- maps:to_list(Namespaces), maps:get(Name, Own, Inode) =/= Inode
    ],
    case Differing of
        [] -> "-";
        _ -> lists:join(",", Differing)
    end.

%% @private
-spec bytes(non_neg_integer()) -> unicode:chardata().
bytes(N) when N < 1024 * 1024 -> [integer_to_list(N div 1024), "K"];
bytes(N) when N < 1024 * 1024 * 1024 -> io_lib:format("~.1fM", [N / (1024 * 1024)]);
bytes(N) -> io_lib:format("~.1fG", [N / (1024 * 1024 * 1024)]).

%% @private
%% A program may choose any name for itself, even one with control sequences of a terminal.
-spec printable(binary()) -> binary().
printable(Bytes) ->
    << <<(if C >= $\s, C =< $~ -> C; true -> $? end)>> || <<C>> <= Bytes >>.
