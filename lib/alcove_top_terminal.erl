%% @private
%% @doc The terminal that {@link alcove_top} uses for a while: its keys, its screen, its size.
%%
%% A shell's group leader passes on lines, each of which is a list of keys. A virtual machine that
%% was started with -noinput doesn't read the terminal itself. Then each key comes as it is typed,
%% if stty(1) can set the terminal to that.
%%
%% A process uses the terminal, and restores it when it is told to, and when its owner ends. A Unix
%% process outside of the virtual machine keeps the mode of the terminal, and restores it even if
%% the virtual machine is killed.
-module(alcove_top_terminal).

-export([open/1, close/1, mode/1, size/0, draw/1]).

-export_type([terminal/0]).

-record(terminal, {
    pid :: pid(),
    monitor :: reference(),
    mode :: alcove_top_view:mode()
}).
-opaque terminal() :: #terminal{}.

-record(state, {
    owner :: reference(),
    to :: pid(),
    mode :: alcove_top_view:mode(),
    %% The process that keeps the modes, and the process that reads.
    stty :: port() | none,
    input :: port() | pid(),
    rest = "" :: string()
}).

%% The rest of what a key sends has come by then, in milliseconds.
-define(ESCAPE, 100).
%% How long the other process may take to restore the terminal, in milliseconds.
-define(BACK, 5000).
%% The size of terminals that don't tell their size.
-define(SIZE, {24, 80}).

-define(ENTER, "\e[?1049h\e[2J").
-define(LEAVE, "\e[?1049l").
-define(HIDE, "\e[?25l").
-define(SHOW, "\e[?25h").
-define(HOME, "\e[H").
%% Clears the rest of the line, so that nothing is left of what was there before.
-define(CLEAR, "\e[K").
-define(REVERSE, "\e[7m").
-define(PLAIN, "\e[m").

%% @doc Takes the terminal: that of the group leader, or the standard input of a virtual machine
%% that doesn't read it itself. What is typed comes as `{Pid, {keys, Keys}}' and `{Pid, closed}'.
-spec open(leader | stdin) -> {pid(), terminal()}.
open(From) ->
    Owner = self(),
    {Pid, Monitor} = spawn_monitor(fun() -> init(From, Owner) end),
    receive
        {Pid, {mode, Mode}} -> {Pid, #terminal{pid = Pid, monitor = Monitor, mode = Mode}};
        {'DOWN', Monitor, process, Pid, Reason} -> exit(Reason)
    end.

-spec mode(terminal()) -> alcove_top_view:mode().
mode(#terminal{mode = Mode}) ->
    Mode.

%% @doc Gives the terminal back, as it was.
-spec close(terminal()) -> ok.
close(#terminal{pid = Pid, monitor = Monitor}) ->
    Pid ! close,
    receive
        {'DOWN', Monitor, process, Pid, _} -> flush(Pid)
    end.

flush(Pid) ->
    receive
        {Pid, _} -> flush(Pid)
    after 0 -> ok
    end.

%% @doc The rows and columns that there are now.
-spec size() -> alcove_top_view:size().
size() ->
    case {io:rows(), io:columns()} of
        {{ok, Rows}, {ok, Columns}} when Rows > 0, Columns > 0 -> {Rows, Columns};
        _ -> ?SIZE
    end.

%% @doc Shows as many lines as the terminal has.
-spec draw([alcove_top_view:line()]) -> ok.
draw(Lines) ->
    io:put_chars([?HOME, lists:join("\n", [[?CLEAR, line(Line)] || Line <- Lines])]).

line({plain, Text}) -> Text;
line({reverse, Text}) -> [?REVERSE, Text, ?PLAIN].

%%--------------------------------------------------------------------
%% The process
%%--------------------------------------------------------------------

init(From, Owner) ->
    Monitor = monitor(process, Owner),
    {Mode, Stty, Input} = taken(From),
    shown([?ENTER, [?HIDE || Mode =:= keys]]),
    Owner ! {self(), {mode, Mode}},
    State = #state{owner = Monitor, to = Owner, mode = Mode, stty = Stty, input = Input},
    try
        loop(State)
    after
        shown([[?SHOW || Mode =:= keys], ?LEAVE]),
        given_back(State)
    end.

taken(leader) ->
    Self = self(),
    {lines, none, spawn_link(fun() -> read(Self, group_leader()) end)};
taken(stdin) ->
    {Mode, Stty} = raw(),
    {Mode, Stty, open_port({fd, 0, 0}, [in, binary, eof])}.

read(To, Leader) ->
    case io:get_line(Leader, "") of
        Line when is_list(Line); is_binary(Line) ->
            To ! {self(), {data, unicode:characters_to_binary(Line)}},
            read(To, Leader);
        _ ->
            To ! {self(), eof}
    end.

%% The process opens the terminal again, or, if that isn't allowed, uses its stderr. When its input
%% ends without a word from the virtual machine, that is gone, and has not restored the screen.
raw() ->
    Script =
        "if (: <>\"$1\") 2>/dev/null; then exec 3<>\"$1\"; else exec 3<&2; fi\n"
        "was=$(stty -g <&3 2>/dev/null) || exit 1\n"
        "stty -icanon -echo -isig min 1 time 0 <&3 || exit 1\n"
        "echo raw\n"
        "read -r word || printf '\\033[?25h\\033[?1049l' >&3\n"
        "stty \"$was\" <&3\n",
    Stdin = "/proc/" ++ os:getpid() ++ "/fd/0",
    Args = ["-c", Script, "sh", Stdin],
    Port = open_port({spawn_executable, "/bin/sh"}, [{args, Args}, {line, 80}, exit_status]),
    receive
        {Port, {data, {eol, "raw"}}} -> {keys, Port};
        {Port, {exit_status, _}} -> {lines, none}
    end.

given_back(#state{stty = none, input = Reader}) when is_pid(Reader) ->
    unlink(Reader),
    exit(Reader, kill);
given_back(#state{stty = none}) ->
    ok;
given_back(#state{stty = Port}) ->
    true = port_command(Port, "back\n"),
    receive
        {Port, {exit_status, _}} -> ok
    after ?BACK -> ok
    end.

%% A terminal that is gone shows nothing.
shown(Text) ->
    try
        io:put_chars(Text)
    catch
        error:_ -> ok
    end.

loop(#state{owner = Owner, to = To, input = Input, rest = Rest} = State) ->
    receive
        {Input, {data, Bytes}} ->
            loop(typed(Bytes, State));
        {Input, eof} ->
            To ! {self(), closed},
            loop(State);
        close ->
            ok;
        {'DOWN', Owner, process, _, _} ->
            ok
    after patience(Rest) ->
        pressed(alcove_top_view:typed(Rest), State),
        loop(State#state{rest = ""})
    end.

patience("") -> infinity;
patience(_) -> ?ESCAPE.

%% Nothing follows the end of a line.
typed(Bytes, #state{mode = Mode, rest = Before} = State) ->
    {Keys, Rest} = alcove_top_view:keys(Before ++ binary_to_list(Bytes), Mode),
    pressed(Keys, State),
    State#state{rest = Rest}.

pressed([], _State) ->
    ok;
pressed(Keys, #state{to = To}) ->
    To ! {self(), {keys, Keys}},
    ok.
