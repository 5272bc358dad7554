%% @doc The user's terminal for a program that runs: one that is played by a process, which types.
-module(alcove_attach_SUITE).

-include_lib("stdlib/include/assert.hrl").

-export([suite/0, all/0, init_per_suite/1, end_per_suite/1, init_per_testcase/2, end_per_testcase/2]).
-export([type_and_detach/1, pieces/1, escapes/1, end_of_input/1, program_ends/1, ends_while_detaching/1, caller_ends/1, no_owner/1, refused/1]).

suite() ->
    alcove_test:suite().

all() ->
    [type_and_detach, pieces, escapes, end_of_input, program_ends, ends_while_detaching, caller_ends, no_owner, refused].

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
    {_, _, Caller} = attach(?MODULE, #{}),
    Self = self(),
    true = alcove_test:until(fun() -> maps:get(owner, alcove_proc:info(Pid)) =/= Self end),
    unlink(Caller),
    exit(Caller, kill),
    true = alcove_test:until(fun() -> maps:get(owner, alcove_proc:info(Pid)) =:= Self end),
    ok = alcove_proc:write(Pid, "on\n"),
    receive {alcove_proc, Pid, {stdout, <<"on", _/binary>>}} -> ok after alcove_test:ms(5000) -> ct:fail(silent) end,
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

%% ---------------------------------------------------------------------------

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
            From ! {io_reply, As, ok},
            terminal(State#{shown := Shown ++ unicode:characters_to_list(Text, Encoding)});
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
