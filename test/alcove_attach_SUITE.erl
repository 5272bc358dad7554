%% @doc The user's terminal for a program that runs: one that is played by a process, which types.
-module(alcove_attach_SUITE).

-include_lib("stdlib/include/assert.hrl").

-export([suite/0, all/0, init_per_suite/1, end_per_suite/1, init_per_testcase/2, end_per_testcase/2]).
-export([type_and_detach/1, pieces/1, escapes/1, end_of_input/1, program_ends/1, ends_while_detaching/1, caller_ends/1, no_owner/1, refused/1]).
-export([one_at_a_time/1, in_order/1, between_the_steps/1, ends_first/1, owner_ends/1, no_piece_is_lost/1, asked_for_meanwhile/1, given_away/1, process_killed/1, attaching_process_killed/1, of_run/1]).

suite() ->
    alcove_test:suite().

all() ->
    [type_and_detach, pieces, escapes, end_of_input, program_ends, ends_while_detaching, caller_ends, no_owner, refused,
     one_at_a_time, in_order, between_the_steps, ends_first, owner_ends, no_piece_is_lost, asked_for_meanwhile, given_away, process_killed, attaching_process_killed, of_run].

init_per_suite(Config) ->
    alcove_test:init_suite(Config).

end_per_suite(_Config) ->
    ok.

init_per_testcase(_Case, Config) ->
    alcove_test:init_case([], Config).

end_per_testcase(_Case, Config) ->
    alcove_test:end_case(Config).

%% The program goes on, and is who owned it's again.
type_and_detach(Config) ->
    {ok, Pid} = alcove_proc:start(alcove_test:drv(Config), ["cat"], #{pty => true, active => false}),
    Attached = attach(Pid, #{}),
    type(Attached, "grüße\n"),
    shows(Attached, "grüße\r\ngrüße\r\n"),
    type(Attached, "~."),
    ?assertEqual(detached, result(Attached)),
    #{state := running, owner := Owner, active := Active} = alcove_proc:info(Pid),
    ?assertEqual({self(), false}, {Owner, Active}),
    %% The caller's terminal shows again what is typed there.
    ?assertEqual([false, true], echo(Attached)),
    ok = alcove_proc:write(Pid, "again\n"),
    {ok, {stdout, <<"again", _/binary>>}} = alcove_proc:read(Pid, alcove_test:ms(5000)),
    {ok, _} = alcove_proc:stop(Pid, 0).

%% A character that comes in two pieces is one; what is none is shown byte by byte.
pieces(Config) ->
    Script = "read line; printf 'gr\\303'; read line; printf '\\274\\337e'; read line; printf '\\303'",
    {ok, Pid} = alcove_proc:start(
        alcove_test:drv(Config), ["sh", "-c", Script], #{pty => #{echo => false}}
    ),
    Attached = attach(Pid, #{}),
    type(Attached, "\n"),
    shows(Attached, "gr"),
    type(Attached, "\n"),
    shows(Attached, "grüße"),
    type(Attached, "\n"),
    ?assertMatch({exit, {ok, #{status := 0}}}, result(Attached)),
    shows(Attached, "grüßeÃ").

%% An escape is one at the beginning of a line only.
escapes(Config) ->
    {ok, Pid} = alcove_proc:start(alcove_test:drv(Config), ["cat"], #{pty => #{echo => false}}),
    Tilde = attach(Pid, #{}),
    type(Tilde, "a~.b\n~~.c\n~d\n"),
    shows(Tilde, "a~.b\r\n~.c\r\n~d\r\n"),
    type(Tilde, "~."),
    detached = result(Tilde),
    At = attach(Pid, #{escape => $@}),
    type(At, "~.e\n"),
    shows(At, "~.e\r\n"),
    type(At, "@."),
    detached = result(At),
    None = attach(Pid, #{escape => none}),
    type(None, "~.f\n"),
    shows(None, "~.f\r\n"),
    {ok, _} = alcove_proc:stop(Pid, 0),
    {exit, {ok, _}} = result(None).

%% Control and D is the program's end of input; twice it is the terminal that is gone.
end_of_input(Config) ->
    {ok, Cat} = alcove_proc:start(alcove_test:drv(Config), ["cat"], #{pty => true}),
    Once = attach(Cat, #{}),
    type(Once, [eof]),
    ?assertMatch({exit, {ok, #{status := 0}}}, result(Once)),
    {ok, Pid} = alcove_proc:start(alcove_test:drv(Config), ["sleep", "1000"], #{pty => true}),
    Twice = attach(Pid, #{}),
    type(Twice, [eof, eof]),
    ?assertEqual(detached, result(Twice)),
    {ok, _} = alcove_proc:stop(Pid, 0).

program_ends(Config) ->
    Script = "read line; stty size; exit 3",
    {ok, Pid} = alcove_proc:start(alcove_test:drv(Config), ["sh", "-c", Script], #{pty => true, tag => here}),
    Attached = attach(Pid, #{}),
    type(Attached, "go\n"),
    shows(Attached, "33 99"),
    ?assertMatch({exit, {ok, #{status := 3}}}, result(Attached)),
    %% Who owns it is told as well.
    receive {here, Pid, {exit, {ok, #{status := 3}}}} -> ok after alcove_test:ms(5000) -> ct:fail(untold) end,
    ?assertEqual({error, closed}, alcove_proc:attach(Pid)).

%% The terminal is slow to take its modes back, and the program ends meanwhile: its owner is told.
ends_while_detaching(Config) ->
    {ok, Pid} = alcove_proc:start(alcove_test:drv(Config), ["sh", "-c", "read line; echo x; exit 3"], #{pty => true}),
    Attached = attach(Pid, #{}),
    slow(Attached),
    type(Attached, "~."),
    receive restores -> ok after alcove_test:ms(5000) -> ct:fail(attached) end,
    #{os_pid := OsPid} = alcove_proc:info(Pid),
    ok = alcove_proc:write(Pid, "go\n"),
    true = alcove_test:until(fun() -> not alcove_test:alive(OsPid) andalso not is_process_alive(Pid) end),
    go_on(Attached),
    ?assertEqual(detached, result(Attached)),
    receive {alcove_proc, Pid, {exit, {ok, #{status := 3}}}} -> ok after alcove_test:ms(5000) -> ct:fail(untold) end.

%% Whoever is killed while attached takes no program along.
caller_ends(Config) ->
    {ok, Pid} = alcove_proc:start(alcove_test:drv(Config), ["cat"], #{pty => true, name => {local, ?MODULE}}),
    {_, _, Caller} = Attached = attach(?MODULE, #{}),
    type(Attached, "x\n"),
    shows(Attached, "x\r\nx\r\n"),
    unlink(Caller),
    exit(Caller, kill),
    true = alcove_test:until(fun() -> alcove_proc:read(Pid, 0) =:= {error, active} end),
    ok = alcove_proc:write(Pid, "on\n"),
    gets(Pid, <<"on">>),
    {ok, _} = alcove_proc:stop(Pid, 0).

no_owner(Config) ->
    Child = alcove_proc:child_spec({alcove_test:drv(Config), ["cat"], #{pty => true, stdin => stream, stdout => message}}),
    #{start := {Module, Function, Args}} = Child,
    {ok, Pid} = apply(Module, Function, Args),
    Attached = attach(Pid, #{}),
    type(Attached, "x\n"),
    shows(Attached, "x\r\nx\r\n"),
    type(Attached, "~."),
    detached = result(Attached),
    ?assertMatch(#{state := running, owner := none}, alcove_proc:info(Pid)),
    {ok, _} = alcove_proc:stop(Pid, 0).

refused(Config) ->
    {ok, Pid} = alcove_proc:start(alcove_test:drv(Config), ["cat"]),
    ?assertEqual({error, enotty}, alcove_proc:attach(Pid)),
    [?assertError(badarg, alcove_proc:attach(Pid, Bad))
     || Bad <- [[], #{escape => 128}, #{escape => "~"}, #{escape => none, more => 1}, #{key => $~}, none]],
    ?assertEqual({error, closed}, alcove_proc:attach(no_such_name)),
    ?assertError(badarg, alcove_proc:attach("no server")),
    {ok, _} = alcove_proc:stop(Pid, 0).

%% A second terminal is refused, and takes nothing from the first or from the owner.
one_at_a_time(Config) ->
    {ok, Pid} = alcove_proc:start(alcove_test:drv(Config), ["cat"], #{pty => true}),
    First = attach(Pid, #{}),
    type(First, "x\n"),
    shows(First, "x\r\nx\r\n"),
    Second = attach(Pid, #{}),
    ?assertEqual({error, busy}, result(Second)),
    %% Its terminal wasn't touched.
    ?assertEqual([], echo(Second)),
    type(First, "y\n"),
    shows(First, "y\r\ny\r\n"),
    type(First, "~."),
    ?assertEqual(detached, result(First)),
    Third = attach(Pid, #{}),
    type(Third, "z\n"),
    shows(Third, "z\r\nz\r\n"),
    type(Third, "~."),
    ?assertEqual(detached, result(Third)),
    ?assertMatch(#{owner := Owner, state := running} when Owner =:= self(), alcove_proc:info(Pid)),
    ok = alcove_proc:write(Pid, "on\n"),
    gets(Pid, <<"on">>),
    {ok, _} = alcove_proc:stop(Pid, 0),
    receive {alcove_proc, Pid, {exit, {ok, _}}} -> ok after alcove_test:ms(5000) -> ct:fail(untold) end.

%% What came for the terminal, and wasn't shown when it detached, is the owner's, who reads it first.
in_order(Config) ->
    Script = "read x; printf shown; read x; printf back; read x; printf next; read x",
    {ok, Pid} = alcove_proc:start(
        alcove_test:drv(Config), ["sh", "-c", Script], #{pty => #{echo => false}, active => false}
    ),
    Attached = attach(Pid, #{}),
    Attaching = detaching(Attached),
    ok = alcove_proc:write(Pid, "\n"),
    waits(Attaching, 2),
    ?assertEqual({error, busy}, alcove_proc:read(Pid, 0)),
    go_on(Attached),
    ?assertEqual(detached, result(Attached)),
    ok = alcove_proc:write(Pid, "\n"),
    ?assertEqual({ok, {stdout, <<"back">>}}, alcove_proc:read(Pid, 5000)),
    ?assertEqual({ok, {stdout, <<"next">>}}, alcove_proc:read(Pid, 5000)),
    receive {alcove_proc, Pid, Unasked} -> ct:fail(Unasked) after 0 -> ok end,
    shows(Attached, "shown"),
    {ok, _} = alcove_proc:stop(Pid, 0).

%% Detaching takes two steps, and between them the program writes and ends. This process takes them
%% itself, as the one that is attached does, so that there is time between.
between_the_steps(Config) ->
    Script = "read x; printf first; read x; printf second; exit 3",
    {ok, Pid} = alcove_proc:start(
        alcove_test:drv(Config), ["sh", "-c", Script], #{pty => #{echo => false}, active => false}
    ),
    #{os_pid := OsPid} = alcove_proc:info(Pid),
    {ok, alcove_proc} = gen_server:call(Pid, {attach, self()}),
    ok = alcove_proc:write(Pid, "\n"),
    receive {alcove_proc, Pid, {stdout, <<"first">>}} -> ok after alcove_test:ms(5000) -> ct:fail(silent) end,
    ok = gen_server:call(Pid, {detach, pause}),
    ok = alcove_proc:write(Pid, "\n"),
    true = alcove_test:until(fun() -> not alcove_test:alive(OsPid) end),
    true = alcove_test:until(fun() -> maps:with([queued, state], alcove_proc:info(Pid)) =:= #{queued => 1, state => ended} end),
    receive {alcove_proc, Pid, Early} -> ct:fail(Early) after 0 -> ok end,
    ok = gen_server:call(Pid, {detach, [{stdout, <<"first">>}]}),
    ?assertEqual({ok, {stdout, <<"first">>}}, alcove_proc:read(Pid, 5000)),
    ?assertEqual({ok, {stdout, <<"second">>}}, alcove_proc:read(Pid, 5000)),
    ?assertEqual(eof, alcove_proc:read(Pid, 5000)),
    receive {alcove_proc, Pid, {exit, {ok, #{status := 3}}}} -> ok after alcove_test:ms(5000) -> ct:fail(untold) end,
    receive {alcove_proc, Pid, Twice} -> ct:fail(Twice) after 0 -> ok end,
    %% What was taken with nothing in the queue keeps the program's process until it is back.
    Quiet = ["sh", "-c", "read x; printf first; read x; exit 3"],
    {ok, Other} = alcove_proc:start(alcove_test:drv(Config), Quiet, #{pty => #{echo => false}}),
    {ok, alcove_proc} = gen_server:call(Other, {attach, self()}),
    ok = alcove_proc:write(Other, "\n"),
    gets(Other, <<"first">>),
    ok = gen_server:call(Other, {detach, pause}),
    ok = alcove_proc:write(Other, "\n"),
    true = alcove_test:until(fun() -> maps:get(state, alcove_proc:info(Other)) =:= ended end),
    receive {alcove_proc, Other, {exit, _}} -> ct:fail(early) after 0 -> ok end,
    ok = gen_server:call(Other, {detach, [{stdout, <<"back">>}]}),
    gets(Other, <<"back">>),
    receive {alcove_proc, Other, {exit, {ok, #{status := 3}}}} -> ok after alcove_test:ms(5000) -> ct:fail(untold) end.

%% The program ends while somebody types to detach: the terminal shows the last of it.
ends_first(Config) ->
    Script = "read x; printf shown; read x; printf last; exit 3",
    {ok, Pid} = alcove_proc:start(alcove_test:drv(Config), ["sh", "-c", Script], #{pty => #{echo => false}}),
    Attached = attach(Pid, #{}),
    _ = detaching(Attached),
    ok = alcove_proc:write(Pid, "\n"),
    true = alcove_test:until(fun() -> not is_process_alive(Pid) end),
    go_on(Attached),
    ?assertMatch({exit, {ok, #{status := 3}}}, result(Attached)),
    shows(Attached, "shownlast"),
    receive {alcove_proc, Pid, What} -> ?assertMatch({exit, {ok, #{status := 3}}}, What) end.

%% A program ends with its owner, whoever is attached.
owner_ends(Config) ->
    Self = self(),
    Drv = alcove_test:drv(Config),
    Owner = spawn(fun() ->
        Self ! {started, alcove_proc:start(Drv, ["cat"], #{pty => #{echo => false}})},
        receive never -> ok end
    end),
    Pid = receive {started, {ok, Started}} -> Started after alcove_test:ms(5000) -> ct:fail(started) end,
    Attached = attach(Pid, #{}),
    type(Attached, "x\n"),
    shows(Attached, "x\r\n"),
    exit(Owner, kill),
    ?assertMatch({exit, {error, {{shutdown, owner_died}, #{}}}}, result(Attached)).

%% A program writes without pause while a terminal is attached and detached. The owner has the
%% beginning and the end of it, in order, and the terminal what is between.
no_piece_is_lost(Config) ->
    [without_pause(Config) || _ <- lists:seq(1, 5)].

without_pause(Config) ->
    {ok, Pid} = alcove_proc:start(alcove_test:drv(Config), ["seq", "-w", "100000"], #{pty => #{raw => true}}),
    Attached = attach(Pid, #{}),
    shows(Attached, "\n"),
    type(Attached, "~."),
    detached = result(Attached),
    All = iolist_to_binary([io_lib:format("~6..0b~n", [N]) || N <- lists:seq(1, 100000)]),
    Owners = all(Pid, []),
    Shown = unicode:characters_to_binary(shown(Attached)),
    {At, _} = binary:match(All, Shown),
    {Begin, End} = split_binary(Owners, At),
    ?assertEqual(erlang:md5(All), erlang:md5([Begin, Shown, End])).

all(Pid, Bytes) ->
    receive
        {alcove_proc, Pid, {stdout, More}} -> all(Pid, [Bytes, More]);
        {alcove_proc, Pid, {exit, _}} -> iolist_to_binary(Bytes)
    after alcove_test:ms(10000) -> ct:fail(untold)
    end.

%% How many messages the owner asks for is for the time after: the terminal gets them all.
asked_for_meanwhile(Config) ->
    {ok, Pid} = alcove_proc:start(
        alcove_test:drv(Config), ["cat"], #{pty => #{echo => false}, active => false}
    ),
    Attached = attach(Pid, #{}),
    type(Attached, "a\n"),
    shows(Attached, "a\r\n"),
    ok = alcove_proc:active(Pid, 1),
    ok = alcove_proc:active(Pid, 1),
    ?assertMatch(#{active := 2, owner := Owner} when Owner =:= self(), alcove_proc:info(Pid)),
    [begin type(Attached, Line), shows(Attached, [hd(Line) | "\r\n"]) end || Line <- ["b\n", "c\n", "d\n"]],
    type(Attached, "~."),
    ?assertEqual(detached, result(Attached)),
    [begin ok = alcove_proc:write(Pid, Line), gets(Pid, Line) end || Line <- [<<"e\n">>, <<"f\n">>]],
    receive {alcove_proc, Pid, passive} -> ok after alcove_test:ms(5000) -> ct:fail(active) end,
    {ok, _} = alcove_proc:stop(Pid, 0).

%% Another owner, while a terminal is attached, is the owner afterwards, and is told of the end.
given_away(Config) ->
    Self = self(),
    {ok, Pid} = alcove_proc:start(alcove_test:drv(Config), ["cat"], #{pty => #{echo => false}}),
    Heir = spawn_link(fun() -> heir(Self) end),
    First = attach(Pid, #{}),
    type(First, "x\n"),
    shows(First, "x\r\n"),
    ok = alcove_proc:controlling_process(Pid, Heir),
    type(First, "y\n"),
    shows(First, "y\r\n"),
    type(First, "~."),
    ?assertEqual(detached, result(First)),
    ?assertMatch(#{owner := Heir}, alcove_proc:info(Pid)),
    ok = alcove_proc:write(Pid, "z\n"),
    receive {Heir, {alcove_proc, Pid, {stdout, <<"z", _/binary>>}}} -> ok after alcove_test:ms(5000) -> ct:fail(silent) end,
    Second = attach(Pid, #{}),
    type(Second, "x\n"),
    shows(Second, "x\r\n"),
    ok = alcove_proc:controlling_process(Pid, Self),
    {ok, _} = alcove_proc:stop(Pid, 0),
    ?assertMatch({exit, {ok, #{}}}, result(Second)),
    receive {alcove_proc, Pid, {exit, {ok, _}}} -> ok after alcove_test:ms(5000) -> ct:fail(untold) end,
    unlink(Heir),
    exit(Heir, kill).

heir(To) ->
    receive Message -> To ! {self(), Message} end,
    heir(To).

%% Whoever is attached isn't left waiting.
process_killed(Config) ->
    {ok, Pid} = alcove_proc:start(alcove_test:drv(Config), ["cat"], #{pty => true}),
    #{os_pid := OsPid} = alcove_proc:info(Pid),
    Attached = attach(Pid, #{}),
    type(Attached, "x\n"),
    shows(Attached, "x\r\n"),
    exit(Pid, kill),
    ?assertEqual({exit, {error, {process, killed}}}, result(Attached)),
    ?assertEqual([false, true], echo(Attached)),
    true = alcove_test:until(fun() -> not alcove_test:alive(OsPid) end).

%% The program goes on, and its owner gets what it writes.
attaching_process_killed(Config) ->
    {ok, Pid} = alcove_proc:start(alcove_test:drv(Config), ["cat"], #{pty => true}),
    Attached = attach(Pid, #{}),
    held(Attached),
    type(Attached, "x"),
    Attaching = holds(),
    exit(Attaching, kill),
    ?assertEqual({error, terminated}, result(Attached)),
    go_on(Attached),
    ok = alcove_proc:write(Pid, "\ny\n"),
    gets(Pid, <<"y">>),
    {ok, _} = alcove_proc:stop(Pid, 0),
    receive {alcove_proc, Pid, {exit, {ok, _}}} -> ok after alcove_test:ms(5000) -> ct:fail(untold) end.

%% A program that run/3 runs: who called that gets the result, and whoever is attached, too.
of_run(Config) ->
    Self = self(),
    Drv = alcove_test:drv(Config),
    spawn_link(fun() ->
        Options = #{pty => #{echo => false}, stdin => stream, stdout => message, name => {local, ?MODULE}},
        Self ! {ran, alcove_proc:run(Drv, ["sh", "-c", "read x; echo $x; exit 3"], Options)}
    end),
    true = alcove_test:until(fun() -> is_pid(whereis(?MODULE)) andalso is_map(alcove_proc:info(?MODULE)) end),
    Attached = attach(?MODULE, #{}),
    type(Attached, "here\n"),
    ?assertMatch({exit, {ok, #{status := 3}}}, result(Attached)),
    shows(Attached, "here\r\n"),
    receive {ran, {ok, #{status := 3}}} -> ok after alcove_test:ms(5000) -> ct:fail(untold) end.

%% ---------------------------------------------------------------------------

%% The owner gets this, whatever the terminal's program writes around it.
gets(Pid, Bytes) ->
    receive
        {alcove_proc, Pid, {stdout, Piece}} ->
            case binary:match(Piece, string:trim(Bytes)) of
                nomatch -> gets(Pid, Bytes);
                _ -> ok
            end
    after alcove_test:ms(5000) -> ct:fail({silent, Bytes})
    end.

attach(Proc, Options) ->
    Self = self(),
    Ref = make_ref(),
    Terminal = spawn_link(fun() -> terminal(#{shown => [], typed => [], waiting => none, echo => []}) end),
    Caller = spawn_link(fun() ->
        group_leader(Terminal, self()),
        Self ! {Ref, alcove_proc:attach(Proc, Options)}
    end),
    {Terminal, Ref, Caller}.

result({_, Ref, _}) ->
    receive {Ref, Result} -> Result after alcove_test:ms(10000) -> error(timeout) end.

type({Terminal, _, _}, Text) ->
    Terminal ! {type, Text}.

shows({Terminal, _, _}, Text) ->
    true = alcove_test:until(fun() -> string:find(asked(Terminal, shown), Text) =/= nomatch end).

shown({Terminal, _, _}) ->
    asked(Terminal, shown).

%% It only shows the next once that is allowed; who writes there waits.
held({Terminal, _, _}) ->
    Terminal ! {held, self()}.

%% Types to detach, and holds the process that attaches before it says so.
detaching(Attached) ->
    held(Attached),
    type(Attached, "\n~"),
    Attaching = holds(),
    type(Attached, "."),
    waits(Attaching, 1),
    Attaching.

holds() ->
    receive {holds, Attaching} -> Attaching after alcove_test:ms(5000) -> ct:fail(attached) end.

waits(Pid, Messages) ->
    Length = {message_queue_len, Messages},
    true = alcove_test:until(fun() -> process_info(Pid, message_queue_len) =:= Length end).

echo({Terminal, _, _}) ->
    asked(Terminal, echo).

%% Its modes are only set once that is allowed.
slow({Terminal, _, _}) ->
    Terminal ! {slow, self()}.

go_on({Terminal, _, _}) ->
    Terminal ! go_on.

asked(Terminal, What) ->
    Terminal ! {What, self()},
    receive {Terminal, Answer} -> Answer end.

%% A terminal of 33 rows and 99 columns: what it shows, what was typed, who waits for that, and the
%% modes it was given.
terminal(#{waiting := {From, As}, typed := [Next | Typed]} = State) ->
    From ! {io_reply, As, case Next of eof -> eof; _ -> [Next] end},
    terminal(State#{waiting := none, typed := Typed});
terminal(#{typed := Typed, shown := Shown, echo := Echo} = State) ->
    receive
        {type, Text} ->
            terminal(State#{typed := Typed ++ Text});
        {shown, To} ->
            To ! {self(), Shown},
            terminal(State);
        {echo, To} ->
            To ! {self(), Echo},
            terminal(State);
        {io_request, From, As, {get_chars, _, _, 1}} ->
            terminal(State#{waiting := {From, As}});
        {io_request, From, As, {put_chars, Encoding, Text}} ->
            case State of
                #{held := To} ->
                    To ! {holds, From},
                    self() ! {holding, From, As};
                _ ->
                    From ! {io_reply, As, ok}
            end,
            terminal(State#{shown := Shown ++ unicode:characters_to_list(Text, Encoding)});
        {held, To} ->
            terminal(State#{held => To});
        {holding, From, As} ->
            terminal(State#{holding => {From, As}});
        go_on when is_map_key(holding, State) ->
            #{holding := {From, As}} = State,
            From ! {io_reply, As, ok},
            terminal(maps:without([held, holding], State));
        {slow, To} ->
            terminal(State#{slow => To});
        {io_request, From, As, {setopts, Options}} ->
            case {State, proplists:get_value(echo, Options)} of
                {#{slow := To}, true} ->
                    To ! restores,
                    receive go_on -> ok end;
                _ ->
                    ok
            end,
            From ! {io_reply, As, ok},
            terminal(State#{echo := Echo ++ [proplists:get_value(echo, Options)]});
        {io_request, From, As, Asked} ->
            From ! {io_reply, As,
                case Asked of
                    getopts -> [{echo, true}, {encoding, unicode}];
                    {get_geometry, rows} -> 33;
                    {get_geometry, columns} -> 99;
                    _ -> {error, enotsup}
                end},
            terminal(State)
    end.
