%% @doc The live view: what it makes of real trees and keys, and in terminals.
-module(alcove_top_SUITE).

-include_lib("stdlib/include/assert.hrl").

-export([suite/0, all/0, init_per_suite/1, end_per_suite/1, init_per_testcase/2, end_per_testcase/2]).
-export([typed_keys/1, programs_first/1, sorted/1, processor/1, scrolling/1, any_size/1, foreign_text/1,
         pid_namespace/1, ended/1, refused/1]).
-export([lines_of_a_shell/1, several_drvs/1, caller_is_killed/1, own_terminal/1, killed_machine/1, not_a_terminal/1,
         of_a_node/1]).
%% For other suites.
-export([terminal/2, type/2, screen/1, shows/2]).

suite() ->
    alcove_test:suite().

all() ->
    [typed_keys, programs_first, sorted, processor, scrolling, any_size, foreign_text, pid_namespace, ended, refused,
     lines_of_a_shell, several_drvs, caller_is_killed, own_terminal, killed_machine, not_a_terminal, of_a_node].

init_per_suite(Config) ->
    alcove_test:init_suite(Config).

end_per_suite(_Config) ->
    ok.

init_per_testcase(_Case, Config) ->
    alcove_test:init_case([], Config).

end_per_testcase(_Case, Config) ->
    alcove_test:end_case(Config).

%% ---------------------------------------------------------------------------
%% The model
%% ---------------------------------------------------------------------------

typed_keys(_Config) ->
    Keys = fun(Typed) -> alcove_top_view:keys(Typed, keys) end,
    ?assertEqual({[{order, cpu}, {order, memory}, {order, time}, {order, tree}, helpers, quit], ""}, Keys("cmtphq")),
    ?assertEqual({[up, down, right, left, up, down], ""}, Keys("\e[A\e[B\e[C\e[D\eOA\eOB")),
    ?assertEqual({[page_up, page_down, home, 'end', home, 'end', home, 'end'], ""},
                 Keys("\e[5~\e[6~\e[H\e[F\e[1~\e[4~\eOH\eOF")),
    ?assertEqual({[down, up, page_down, page_up, page_down, home, 'end', left, right], ""}, Keys("jkfb gG<>")),
    ?assertEqual({[quit, quit], ""}, Keys([3, 4])),
    %% What it doesn't know is nothing, of several bytes too.
    ?assertEqual({[{order, cpu}], ""}, Keys("\e[15~x\n\e[1;5Aäc")),
    %% Half of a key isn't one yet, and an escape alone is one when nothing follows.
    [?assertEqual({[down], Half}, Keys("j" ++ Half)) || Half <- ["\e", "\e[", "\eO", "\e[5"]],
    ?assertEqual([escape], alcove_top_view:typed("\e")),
    ?assertEqual([], alcove_top_view:typed("\e[")),
    ?assertEqual({[escape, {order, cpu}], ""}, Keys("\ec")),
    ?assertEqual({[quit], ""}, alcove_top_view:keys("\n", lines)),
    ?assertEqual({[], ""}, alcove_top_view:keys("\n", keys)),
    ?assertEqual({[down, down, {order, memory}], ""}, alcove_top_view:keys("jjm\n", lines)).

%% With the names that they have, and what they have started; then the helpers, which can be hidden.
programs_first(Config) ->
    Drv = alcove_test:drv(Config),
    #{children := [#{pid := Loop}]} = alcove:tree(Drv),
    {ok, _} = alcove:spawn(Drv, [], fork, [{execvp, ["sleep", ["sleep", "1001"]]}]),
    {ok, Proc} = alcove_proc:start(Drv, ["sh", "-c", "sleep 1000 & wait"], #{name => {local, alcove_top_fred}}),
    Child = fun() -> has(plain({24, 100}, view(Drv)), " `- sleep 1000$") end,
    true = alcove_test:until(Child),
    View = view(Drv),
    [Totals, Columns, Drvs | Lines] = plain({24, 100}, View),
    ?assertMatch({match, _}, re:run(Totals, "^1 Drv, 2 programs, 7 processes  cpu 0.0%  memory [1-9].*  in trees$")),
    ?assertMatch({match, _}, re:run(Columns, "^ +PID KIND +S +UID +CPU +TIME MEMORY COMMAND *$")),
    ?assertEqual(lists:flatten(io_lib:format("~p: 7 processes", [Drv])), Drvs),
    ?assertEqual(["program", "program", "child", "guardian", "root", "keeper", "loop"] -- kinds(Lines), []),
    ?assertEqual(lists:duplicate(3, true) ++ lists:duplicate(4, false),
                 [lists:member(Kind, ["program", "child"]) || Kind <- kinds(Lines)]),
    ?assert(has(Lines, "program .* alcove_top_fred: sh -c sleep 1000 & wait$")),
    ?assert(has(Lines, "program .* sleep 1001$")),
    ?assert(has(Lines, lists:concat([" ", Loop, " loop .*[|`]- alcove$"]))),
    ?assertMatch({match, _}, re:run(lists:last(Lines), "q quit.*c cpu.*m memory.*t time.*p tree.*h helpers")),
    Hidden = press([helpers], {24, 100}, View),
    [_, _, _ | Programs] = plain({24, 100}, Hidden),
    ?assertEqual(["program", "program", "child"], lists:sort(fun(A, B) -> A >= B end, kinds(Programs))),
    ?assert(has(plain({24, 100}, Hidden), "helpers hidden")),
    ?assertEqual(plain({24, 100}, View), plain({24, 100}, press([helpers, helpers], {24, 100}, View))),
    {ok, _} = alcove_proc:stop(Proc, 0).

%% Programs and then helpers, each by what they use; in trees again by p and Escape.
sorted(Config) ->
    Drv = alcove_test:drv(Config),
    {ok, Small} = alcove_proc:start(Drv, ["sleep", "1000"]),
    {ok, Large} = alcove_proc:start(Drv, ["sh", "-c", "x=$(head -c 8000000 /dev/zero | tr '\\0' x); echo ready; while :; do :; done"]),
    receive {alcove_proc, Large, {stdout, <<"ready\n">>}} -> ok end,
    Time = fun(Proc) -> [T || {P, T} <- times(alcove:tree(Drv)), P =:= maps:get(os_pid, alcove_proc:info(Proc))] end,
    Memory = fun(Proc) -> pick(memory, maps:get(os_pid, alcove_proc:info(Proc)), alcove:tree(Drv)) end,
    true = alcove_test:until(fun() -> Memory(Large) > 8000000 andalso Time(Large) > Time(Small) end),
    View = view(Drv),
    [begin
         Lines = plain({24, 80}, press([{order, Order}], {24, 80}, View)),
         ?assert(has([hd(Lines)], "by " ++ atom_to_list(Order))),
         Pids = pids(Lines),
         {Programs, Helpers} = lists:split(2, Pids),
         ?assertEqual([maps:get(os_pid, alcove_proc:info(Proc)) || Proc <- [Large, Small]], Programs),
         ?assertEqual(5, length(Helpers)),
         ?assertEqual([], Helpers -- pids(plain({24, 80}, View)))
     end || Order <- [memory, time]],
    [?assertEqual(plain({24, 80}, View), plain({24, 80}, press([{order, memory}, Key], {24, 80}, View)))
     || Key <- [{order, tree}, escape]],
    [{ok, _} = alcove_proc:stop(Proc, 0) || Proc <- [Small, Large]].

%% The share of a processor since the last look.
processor(Config) ->
    Drv = alcove_test:drv(Config),
    {ok, _} = alcove_proc:start(Drv, ["sleep", "1000"]),
    {ok, Busy} = alcove_proc:start(Drv, ["sh", "-c", "while :; do :; done"]),
    #{os_pid := Pid} = alcove_proc:info(Busy),
    First = view(Drv),
    ?assert(has(plain({24, 80}, First), lists:concat(["^ +", Pid, " program .* - +\\d"]))),
    Used = fun() -> pick(cpu_time, Pid, alcove:tree(Drv)) end,
    Before = Used(),
    true = alcove_test:until(fun() -> Used() > Before + 50000 end),
    Second = press([{order, cpu}], {24, 80}, alcove_top_view:seen(alcove_top:sample([Drv]), First)),
    [Totals, _, Top | _] = plain({24, 80}, Second),
    ?assertMatch({match, _}, re:run(Top, lists:concat(["^ +", Pid, " program .* [0-9.]*[1-9][0-9.]*% "]))),
    ?assertMatch({match, _}, re:run(Totals, "cpu [0-9.]*[1-9][0-9.]*%")),
    {ok, _} = alcove_proc:stop(Busy, 0).

scrolling(Config) ->
    Drv = alcove_test:drv(Config),
    [{ok, _} = alcove_proc:start(Drv, ["sleep", integer_to_list(1000 + N)]) || N <- lists:seq(1, 5)],
    View = view(Drv),
    %% A line for Drv, five programs, guardian, root and loop, five keepers.
    [_, _ | All] = plain({17, 80}, View),
    14 = length(All) - 1,
    Shown = fun(Keys) ->
        [_, _, A, B, C, D, Last] = plain({7, 80}, press(Keys, {7, 80}, View)),
        {string:find([A, B, C, D], "x") =:= nomatch, [A, B, C, D], Last}
    end,
    Rows = fun(From) -> lists:sublist(All, From, 4) end,
    [?assertMatch({_, Expected, _} when Expected =:= At, Shown(Keys), Keys)
     || {Keys, From} <- [{[], 1}, {[down], 2}, {[down, down, up], 2}, {[up], 1}, {[page_down], 5}, {[page_down, page_up], 1},
                         {[page_down, page_up, up], 1}, {['end'], 11}, {['end', down, page_down], 11}, {['end', up], 10},
                         {['end', home], 1}, {[down, {order, tree}], 1}, {lists:duplicate(20, down), 11},
                         {lists:duplicate(20, down) ++ [up], 10}],
        At <- [Rows(From)]],
    {_, _, Place} = Shown([down]),
    ?assertMatch({match, _}, re:run(Place, "2-5/14$")),
    %% What is longer than there is now, or in a higher terminal, is no empty screen.
    ?assertEqual(plain({17, 80}, View), plain({17, 80}, press(['end'], {7, 80}, View))),
    %% Sideways commands move, and no further than they are long.
    Commands = fun(Keys) -> [lists:nthtail(48, Line) || Line <- lists:sublist(plain({17, 80}, press(Keys, {17, 80}, View)), 4, 5)] end,
    ?assertEqual("sleep 1001", hd(Commands([]))),
    ?assertEqual("01", hd(Commands([right]))),
    ?assertEqual("sleep 1001", hd(Commands([right, left, left]))),
    ?assertEqual("", hd(Commands([right, right, right, right]))),
    ?assertEqual("sleep 1001", hd(Commands(lists:duplicate(9, right) ++ lists:duplicate(2, left)))).

%% As many lines as there are rows, and none that is wider, whatever there is to see.
any_size(Config) ->
    Drv = alcove_test:drv(Config),
    {ok, _} = alcove_proc:start(Drv, ["sh", "-c", "sleep 1000 # " ++ lists:duplicate(300, $x)]),
    [begin
         View = press(Keys, {Rows, Columns}, view(Mode, [Drv])),
         Lines = plain({Rows, Columns}, View),
         ?assertEqual(Rows, length(Lines), {Mode, Rows, Columns}),
         [?assert(length(Line) =< Columns, {Mode, Rows, Columns, Line}) || Line <- Lines],
         %% With room for a line of keys behind the last.
         Mode =:= keys orelse ?assert(Columns < 7 orelse length(lists:last(Lines)) =< Columns - 6)
     end || Mode <- [keys, lines], Rows <- [1, 2, 3, 4, 5, 9, 24, 60], Columns <- [1, 5, 20, 79, 80, 81, 109, 110, 111, 400],
            Keys <- [[], ['end', {order, cpu}], ['end', right]]],
    ?assert(has(plain({24, 110}, view(Drv)), "NAMESPACES")),
    ?assertNot(has(plain({24, 109}, view(Drv)), "NAMESPACES")).

%% What a program and its name are called is no order to a terminal.
foreign_text(Config) ->
    Drv = alcove_test:drv(Config),
    {ok, _} = alcove_proc:start(Drv, ["sleep", "1000"], #{arg0 => "sl\e[2Jeep~", name => {global, {"\e[2J", <<"ä"/utf8>>, [1234]}}}),
    Lines = plain({24, 120}, view(Drv)),
    ?assert(has(Lines, "sl\\?\\[2Jeep~ 1000$")),
    [?assertEqual([], [C || C <- Line, C < $\s orelse C > $~]) || Line <- Lines].

%% A program in a pid namespace has an init of alcove's above it, which is a helper.
pid_namespace(Config) ->
    alcove_test:need([root], fun() ->
        Drv = alcove_test:drv(Config),
        {ok, _} = alcove_proc:start(Drv, ["sleep", "1000"], #{namespaces => [newpid], name => {local, alcove_top_inside}}),
        Lines = plain({24, 120}, view(Drv)),
        ?assert(has(Lines, "program .* pid +alcove_top_inside: sleep 1000$")),
        ?assertEqual(["program", "guardian", "root", "loop", "keeper", "init"], kinds(Lines))
    end).

ended(_Config) ->
    {ok, Drv} = alcove_drv:start(),
    {ok, Other} = alcove_drv:start(),
    View = view(keys, [Drv, Other]),
    ?assertNot(alcove_top_view:ended(View)),
    ok = alcove_drv:stop(Drv),
    One = alcove_top_view:seen(alcove_top:sample([Drv, Other]), View),
    ?assertNot(alcove_top_view:ended(One)),
    ?assert(has(plain({24, 80}, One), "^<.*> has ended$")),
    ok = alcove_drv:stop(Other),
    None = alcove_top_view:seen(alcove_top:sample([Drv, Other]), One),
    ?assert(alcove_top_view:ended(None)),
    ?assertEqual([lists:flatten(io_lib:format("~p has ended", [D])) || D <- [Drv, Other]], alcove_top_view:summary(None)).

refused(Config) ->
    Drv = alcove_test:drv(Config),
    [?assertError(badarg, alcove_top:run(Bad)) || Bad <- [nothing, [], [nothing], [Drv, nothing], [Drv | Drv], "Drv", 7, {Drv}]],
    [?assertError(badarg, alcove_top:run(Drv, Bad)) || Bad <- [0, -1, 1.0, infinity]],
    ?assert(lists:member(Drv, alcove_top:drvs())).

%% ---------------------------------------------------------------------------
%% Terminals
%% ---------------------------------------------------------------------------

%% A shell gives lines, of keys; an empty one ends it.
lines_of_a_shell(Config) ->
    Drv = alcove_test:drv(Config),
    {ok, _} = alcove_proc:start(Drv, ["sleep", "1000"]),
    {Terminal, Result} = run(Drv),
    shows(Terminal, "in trees"),
    ?assertMatch({match, _}, re:run(lists:last(screen(Terminal)), "^Enter ends, or keys and Enter: c cpu")),
    type(Terminal, "mh\n"),
    shows(Terminal, "by memory, helpers hidden"),
    type(Terminal, "\n"),
    ?assertEqual(ok, result(Result)),
    ?assertEqual(left, asked(Terminal, state)),
    %% So does the end of its input, and q.
    {Gone, Ends} = run(Drv),
    Gone ! {type, eof},
    ?assertEqual(ok, result(Ends)),
    {Quit, Quits} = run(Drv),
    type(Quit, "cq\n"),
    ?assertEqual(ok, result(Quits)),
    ?assertEqual({messages, []}, process_info(self(), messages)).

%% Until all have ended.
several_drvs(_Config) ->
    {ok, One} = alcove_drv:start(),
    {ok, Two} = alcove_drv:start(),
    {Terminal, Result} = run([One, Two, One]),
    shows(Terminal, "^2 Drvs, 0 programs, 4 processes"),
    [shows(Terminal, lists:flatten(io_lib:format("^~p: 2 processes$", [Drv]))) || Drv <- [One, Two]],
    ok = alcove_drv:stop(One),
    shows(Terminal, lists:flatten(io_lib:format("^~p has ended$", [One]))),
    ok = alcove_drv:stop(Two),
    ?assertEqual(ok, result(Result)),
    ?assertEqual(left, asked(Terminal, state)),
    [?assertNotEqual(nomatch, string:find(asked(Terminal, after_it), io_lib:format("~p has ended\n", [Drv]))) || Drv <- [One, Two]].

%% The terminal is given back.
caller_is_killed(Config) ->
    {Terminal, {_, Caller}} = run(alcove_test:drv(Config)),
    shows(Terminal, "^1 Drv"),
    unlink(Caller),
    exit(Caller, kill),
    true = alcove_test:until(fun() -> asked(Terminal, state) =:= left end).

%% What `make top' runs: keys as they are typed, a screen that is full, and a size that changes.
own_terminal(Config) ->
    Top = main(Config, "\"$@\"; status=$?; [ \"$(stty -g)\" = \"$was\" ] && echo as it was; exit $status"),
    Screen = shown(Top, {24, 80}, <<>>, "program .* 0.0% .* sleeper: sleep 1000$"),
    Lines = rows(Screen, {24, 80}),
    ?assert(has([hd(Lines)], "^1 Drv, 2 programs, 7 processes")),
    ?assert(has([lists:nth(24, Lines)], "^ q quit")),
    Press = fun(Keys, Size, Before, What) ->
        ok = alcove_proc:write(Top, Keys),
        shown(Top, Size, Before, What)
    end,
    Sorted = Press("c", {24, 80}, Screen, "by cpu"),
    Busy = shown(Top, {24, 80}, Sorted, "[1-9][0-9.]*% .*while :; do :; done$"),
    Hidden = Press("h", {24, 80}, Busy, "by cpu, helpers hidden"),
    ?assertNot(has(rows(Hidden, {24, 80}), "keeper")),
    Trees = Press("h\e", {24, 80}, Hidden, "in trees$"),
    %% A smaller one is filled by the next picture.
    ok = alcove_proc:winsize(Top, 7, 70),
    Low = shown(Top, {7, 70}, Trees, " 1-4/8$"),
    Next = Press("\e[B", {7, 70}, Low, " 2-5/8$"),
    Last = Press("\e[F", {7, 70}, Next, " 5-8/8$"),
    ?assertEqual(7, length(rows(Last, {7, 70}))),
    First = Press("\e[5~\e[5~", {7, 70}, Last, " 1-4/8$"),
    ok = alcove_proc:write(Top, "q"),
    {Status, Rest} = await(Top, First),
    ?assertMatch({match, _}, re:run(Rest, "\e\\[\\?1049l.*as it was\r\n$", [dotall])),
    ?assertEqual(0, Status).

%% Also when there is nobody left in it to do so.
killed_machine(Config) ->
    Top = main(Config, "\"$@\"; until [ \"$(stty -g)\" = \"$was\" ]; do sleep 0.1; done; echo as it was"),
    Screen = shown(Top, {24, 80}, <<>>, "^1 Drv"),
    #{os_pid := Shell} = alcove_proc:info(Top),
    [#{children := [#{pid := Machine}]}] =
        [Process || #{pid := P} = Process <- processes(alcove:tree(alcove_test:drv(Config))), P =:= Shell],
    _ = alcove_test:signal(Machine, "KILL"),
    {_, Rest} = await(Top, Screen),
    ?assertMatch({match, _}, re:run(Rest, "\e\\[\\?1049l.*as it was\r\n$", [dotall])).

%% Without a terminal there are no keys: it is seen once.
not_a_terminal(Config) ->
    {ok, #{status := 0, stdout := Out}} =
        alcove_proc:run(alcove_test:drv(Config), erl(), #{env => #{"ERL_FLAGS" => false}, stdin => none, timeout => 50000}),
    ?assertEqual(nomatch, binary:match(Out, <<"stty">>)).

%% `make top NODE=name@host': all Drvs of a node, as they come and go, until the node does.
of_a_node(Config) ->
    alcove_test:nodes(
      fun(There, _Here) ->
          {ok, [[Port]]} = alcove_test:peer_call(There, init, get_argument, [erl_epmd_port]),
          Name = atom_to_list(alcove_test:peer_call(There, erlang, node, [])),
          Flags = ["-setcookie alcove_test -start_epmd false -erl_epmd_port ", Port],
          %% What is given last is found first, before what is in the Makefile.
          Code = ["-pa ", filename:dirname(code:which(alcove))],
          Script = "was=$(stty -g); \"$@\"; status=$?; [ \"$(stty -g)\" = \"$was\" ] && echo as it was; exit $status",
          Top = fun(Node) ->
              {ok, Top} = alcove_proc:start(alcove_test:drv(Config),
                                            ["sh", "-c", Script, "sh", "make", "-s", "-o", "all", "top", "NODE=" ++ Node],
                                            #{pty => {24, 120}, cwd => alcove_test:top(),
                                              env => #{"ERL_AFLAGS" => Flags, "ERL_ZFLAGS" => Code, "HOME" => "/nonexistent"}}),
              Top
          end,
          Says = fun(Proc, What) ->
              {Status, Said} = await(Proc, <<>>),
              ?assertEqual(2, Status),
              ?assertMatch({match, _}, re:run(Said, What))
          end,
          Says(Top(Name), "has no Drv"),
          Says(Top("nobody@localhost"), "no connection"),
          Held = fun() ->
              Drv = alcove_test:hold([]),
              {ok, Pid} = alcove:fork(Drv),
              ok = alcove:execvp(Drv, [Pid], "sleep", ["sleep", "1000"]),
              Drv
          end,
          Drv = alcove_test:in_peer(There, Held),
          Ends = Top(Name),
          Stays = Top(Name),

          Seen = shown(Ends, {24, 120}, <<>>, "^1 Drv, 1 program, 3 processes"),
          Before = shown(Stays, {24, 120}, <<>>, "program .* sleep 1000$"),
          ok = alcove_proc:write(Ends, "q"),
          {0, Quit} = await(Ends, Seen),
          ?assertMatch({match, _}, re:run(Quit, "as it was")),
          _ = alcove_test:in_peer(There, fun() -> alcove_test:hold([]) end),
          Two = shown(Stays, {24, 120}, Before, "^2 Drvs, 1 program, 5 processes"),
          ok = alcove_test:in_peer(There, fun() -> alcove_drv:stop(Drv) end),
          One = shown(Stays, {24, 120}, Two, "^1 Drv, 0 programs, 2 processes"),
          alcove_test:stop_peer(There),
          {2, Lost} = await(Stays, One),
          ?assertMatch({match, _}, re:run(Lost, "\e\\[\\?1049l.*" ++ Name ++ " has ended.*as it was", [dotall]))
      end).

%% ---------------------------------------------------------------------------

view(Drv) ->
    view(keys, [Drv]).

view(Mode, Drvs) ->
    alcove_top_view:seen(alcove_top:sample(Drvs), alcove_top_view:new(Mode)).

press(Keys, Size, View) ->
    lists:foldl(fun(Key, Acc) -> alcove_top_view:pressed(Key, Size, Acc) end, View, Keys).

plain(Size, View) ->
    [Line || {_, Line} <- alcove_top_view:lines(Size, View)].

has(Lines, Pattern) ->
    lists:any(fun(Line) -> re:run(Line, Pattern, [unicode]) =/= nomatch end, Lines).

kinds(Lines) ->
    [Kind || Line <- Lines, {match, [Kind]} <- [re:run(Line, "^ +\\d+ ([a-z]+) ", [{capture, all_but_first, list}])]].

pids(Lines) ->
    [list_to_integer(Pid) || Line <- Lines,
                             {match, [Pid]} <- [re:run(Line, "^ +(\\d+) [a-z]+ ", [{capture, all_but_first, list}])]].

processes(#{children := Children} = Process) ->
    [Process | lists:flatmap(fun processes/1, Children)].

times(Tree) ->
    [{Pid, Time} || #{pid := Pid, cpu_time := Time} <- processes(Tree)].

pick(What, Pid, Tree) ->
    hd([maps:get(What, Process) || #{pid := P} = Process <- processes(Tree), P =:= Pid]).

erl() ->
    [filename:join([code:root_dir(), "bin", "erl"]), "-noshell", "-noinput", "-pa", filename:dirname(code:which(alcove)),
     "-eval", "halt(alcove_top:main([]))."].

main(Config, Script) ->
    {ok, Top} = alcove_proc:start(alcove_test:drv(Config), ["sh", "-c", "was=$(stty -g); " ++ Script, "sh" | erl()],
                                  #{pty => {24, 80}, env => #{"ERL_FLAGS" => false}}),
    Top.

%% All that was written, when the screen of that has a line that matches.
shown(Top, Size, Before, Pattern) ->
    case has(rows(Before, Size), Pattern) of
        true ->
            Before;
        false ->
            receive
                {alcove_proc, Top, {stdout, Bytes}} -> shown(Top, Size, <<Before/binary, Bytes/binary>>, Pattern)
            after alcove_test:ms(20000) -> ct:fail({Pattern, rows(Before, Size), Before})
            end
    end.

await(Top, Before) ->
    receive
        {alcove_proc, Top, {stdout, Bytes}} -> await(Top, <<Before/binary, Bytes/binary>>);
        {alcove_proc, Top, {exit, {ok, #{status := Status}}}} -> {Status, Before}
    after alcove_test:ms(20000) -> ct:fail(Before)
    end.

%% The screen of a terminal as it was shown last: a line that is too long, or one too many, is an
%% error.
rows(Bytes, {Rows, Columns}) ->
    case string:split(Bytes, "\e[H", trailing) of
        [_, Last] ->
            Text = re:replace(Last, "\e\\[\\?(1049|25)[hl].*|\e\\[[0-9;]*[mK]|\r", "", [global, dotall, {return, list}]),
            Lines = string:split(Text, "\n", all),
            case length(Lines) =:= Rows andalso lists:all(fun(Line) -> length(Line) =< Columns end, Lines) of
                true -> [string:trim(Line, trailing) || Line <- Lines];
                false -> []
            end;
        _ ->
            []
    end.

%% A terminal that is played by a process: it gives lines, as a shell does.
run(What) ->
    Terminal = terminal(24, 80),
    Self = self(),
    Ref = make_ref(),
    Caller = spawn_link(fun() ->
        group_leader(Terminal, self()),
        Self ! {Ref, alcove_top:run(What, 200)}
    end),
    {Terminal, {Ref, Caller}}.

result({Ref, _}) ->
    receive {Ref, Result} -> Result after alcove_test:ms(20000) -> error(timeout) end.

terminal(Rows, Columns) ->
    spawn_link(fun() -> played(#{size => {Rows, Columns}, typed => [], waiting => [], shown => <<>>}) end).

type(Terminal, Line) ->
    Terminal ! {type, Line},
    ok.

screen(Terminal) ->
    {Size, Bytes} = asked(Terminal, shown),
    rows(Bytes, Size).

shows(Terminal, Pattern) ->
    true = alcove_test:until(fun() -> has(screen(Terminal), Pattern) end),
    ok.

asked(Terminal, What) ->
    Terminal ! {What, self()},
    receive {Terminal, Answer} -> Answer end.

played(#{waiting := [{From, As} | Waiting], typed := [Next | Typed]} = State) ->
    From ! {io_reply, As, Next},
    played(State#{waiting := Waiting, typed := Typed});
played(#{typed := Typed, waiting := Waiting, shown := Shown, size := {Rows, Columns} = Size} = State) ->
    receive
        {type, Line} ->
            played(State#{typed := Typed ++ [Line]});
        {shown, To} ->
            To ! {self(), {Size, Shown}},
            played(State);
        {state, To} ->
            Switches = [Switch || {match, All} <- [re:run(Shown, "\e\\[\\?1049([hl])", [global, {capture, all_but_first, list}])],
                                  [Switch] <- All],
            To ! {self(), case lists:last(["l" | Switches]) of "h" -> entered; "l" -> left end},
            played(State);
        {after_it, To} ->
            To ! {self(), lists:last(string:split(Shown, "\e[?1049l", all))},
            played(State);
        {io_request, From, As, {get_line, _, _}} ->
            played(State#{waiting := Waiting ++ [{From, As}]});
        {io_request, From, As, {put_chars, unicode, Text}} ->
            From ! {io_reply, As, ok},
            played(State#{shown := <<Shown/binary, (unicode:characters_to_binary(Text))/binary>>});
        {io_request, From, As, Asked} ->
            From ! {io_reply, As,
                case Asked of
                    {get_geometry, rows} -> Rows;
                    {get_geometry, columns} -> Columns;
                    _ -> {error, enotsup}
                end},
            played(State)
    end.
