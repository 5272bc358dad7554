%% @doc Who survives what: a matrix that is printed. Each column is a way in which it all may
%% end, each row a kind of process; a letter is a process that was still there a second later.
%%
%% ```
%% c  a program, child of an event loop
%% g  its child, in its process group
%% s  its child that called setsid
%% d  a grandchild that forked twice and called setsid
%% n  a program in a pid namespace of its own
%% u  a program that became another user
%% '''
-module(alcove_survivors_SUITE).

-include_lib("stdlib/include/assert.hrl").

-export([suite/0, all/0, init_per_suite/1, end_per_suite/1, init_per_testcase/2, end_per_testcase/2]).
-export([matrix_of_root/1, matrix_of_an_ordinary_user/1]).
-export([crowd/2]).

%% How long they have.
-define(SECOND, 1000).

%% Each cell with survivors takes its second, and some start a virtual machine.
suite() ->
    [{timetrap, alcove_test:ms(240000)}].

all() ->
    [matrix_of_root, matrix_of_an_ordinary_user].

init_per_suite(Config) ->
    alcove_test:init_suite(Config).

end_per_suite(_Config) ->
    ok.

init_per_testcase(_Case, Config) ->
    alcove_test:init_case(Config).

end_per_testcase(_Case, Config) ->
    alcove_test:end_case(Config).

matrix_of_root(Config) ->
    alcove_test:need([root], fun() -> matrix(Config, "root") end).

matrix_of_an_ordinary_user(Config) ->
    alcove_test:need([ordinary], fun() -> matrix(Config, "ordinary user") end).

%% ---------------------------------------------------------------------------
%% The matrix
%% ---------------------------------------------------------------------------

%% The first end the virtual machine as well, so that each cell has its own.
ways() ->
    [{vm, "VM killed"}, {vm_and_guardian, "VM and guardian killed"}, {vm_and_root, "VM and root killed"},
     {all, "VM, guardian and root killed"}, {guardian, "guardian killed"},
     {root, "root killed"}, {helpers, "guardian and root killed"}, {middle, "middle of the path killed"},
     {leaf, "its event loop killed"}, {router, "router fails"}, {stop, "Drv stopped"},
     {owner, "owner killed"}, {drv, "Drv killed"}].

how() ->
    [{plain, "as it is"}, {deaf, "ignores SIGTERM"}, {stopped, "is stopped"}].

matrix(Config, Who) ->
    Paths = case Who of
                "root" -> alcove_test:paths();
                _ -> alcove_test:user_paths(Config)
            end,
    Start = fun() ->
                    Peer = case Who of
                               "root" -> alcove_test:peer(Paths, #{peer_down => continue});
                               _ -> alcove_test:user_peer(Config, Paths)
                           end,
                    unlink(Peer),
                    Peer
            end,
    Shared = Start(),
    Rows = [{Text, [cell(Start, Shared, Way, How) || {How, _} <- how()]} || {Way, Text} <- ways()],
    ok = alcove_test:stop_peer(Shared),
    print(Who, [{Text, [Survivors || {Survivors, _} <- Cells]} || {Text, Cells} <- Rows]),
    ?assertEqual([], [{Text, Cells} || {Text, Cells} <- Rows,
                                       lists:any(fun({Survivors, Said}) -> Survivors -- Said =/= "" end, Cells)]).

%% What info/1 says, before anything happens. docs/guarantees.md says why.
may_survive(Way, Said) ->
    After = if
                Way =:= all; Way =:= helpers -> both_killed;
                Way =:= middle; Way =:= leaf -> event_loop_killed;
                true -> nothing
            end,
    case lists:member(After, Said) of
        true -> "dgsu";
        false when Way =:= router -> "?";
        false -> ""
    end.

print(Who, Rows) ->
    Row = fun(Head, Cells) ->
                  [io_lib:format("~-30s", [Head]), [io_lib:format("| ~-16s", [Cell]) || Cell <- Cells], "\n"]
          end,
    Shown = fun("") -> "none"; (Letters) -> lists:join(" ", Letters) end,
    Text = ["\nWhat is left a second after, started by ", Who, "\n",
            Row("", [Text || {_, Text} <- how()]),
            [Row(Head, [Shown(Cell) || Cell <- Cells]) || {Head, Cells} <- Rows]],
    io:put_chars(user, Text),
    ct:log("~s", [Text]).

cell(Start, Shared, Way, How) ->
    Own = lists:member(Way, [vm, vm_and_guardian, vm_and_root, all]),
    Peer = case Own of
               true -> Start();
               false -> Shared
           end,
    #{guardian := Guardian, root := Root, middle := Middle, leaf := Leaf, owner := Owner, drv := Drv,
      vm := Vm, poller := Poller, crowd := Crowd, said := Said}
        = alcove_test:in_peer(Peer, fun() -> ?MODULE:crowd(How, alcove_test:can(userns) =:= true) end),
    ?assertEqual([], [Letter || {Letter, Pid} <- Crowd, not alcove_test:alive(Pid)]),
    Done = case Way of
               vm -> kill([Vm]);
               vm_and_guardian -> kill([Vm, Guardian]);
               vm_and_root -> kill([Vm, Root]);
               all -> kill([Vm, Guardian, Root]);
               guardian -> kill([Guardian]);
               root -> kill([Root]);
               helpers -> kill([Guardian, Root]);
               middle -> kill([Middle]);
               leaf -> kill([Leaf]);
               router -> fail_router(Peer, Vm, Drv, Poller);
               stop -> spawn(fun() -> alcove_test:peer_call(Peer, alcove_drv, stop, [Drv]) end);
               owner -> alcove_test:peer_call(Peer, erlang, exit, [Owner, kill]);
               drv -> alcove_test:peer_call(Peer, erlang, exit, [Drv, kill])
           end,
    _ = Done =:= unknown orelse alcove_test:until(fun() -> survivors(Crowd) =:= "" end, ?SECOND),
    Survivors = case Done of
                    unknown -> "?";
                    _ -> survivors(Crowd)
                end,
    _ = [alcove_test:signal(Pid, "KILL") || {_, Pid} <- Crowd, alcove_test:alive(Pid)],
    _ = case Own of
            true -> try alcove_test:stop_peer(Peer) catch exit:_ -> ok end;
            false -> alcove_test:peer_call(Peer, alcove_drv, stop, [Drv])
        end,
    {Survivors, may_survive(Way, Said)}.

survivors(Crowd) ->
    lists:usort([Letter || {Letter, Pid} <- Crowd, alcove_test:alive(Pid)]).

%% At one moment.
kill(Pids) ->
    List = lists:append([[" ", integer_to_list(Pid)] || Pid <- Pids]),
    os:cmd(lists:flatten(["kill -KILL", List])).

%% Takes the router's epoll(7) away from it, as a fault in somebody else's library might.
fail_router(Peer, Vm, Drv, [Poller]) ->
    case os:find_executable("gdb") of
        false ->
            unknown;
        Gdb ->
            _ = os:cmd(lists:concat([Gdb, " -batch -p ", Vm, " -ex 'call (int)close(", Poller, ")' 2>&1"])),
            _ = alcove_test:peer_call(Peer, alcove_nif, resume, [Drv, 0]),
            ok
    end.

%% ---------------------------------------------------------------------------
%% In the other virtual machine
%% ---------------------------------------------------------------------------

%% Starts one of each kind below an event loop that is below another.
crowd(How, Namespaces) ->
    Self = self(),
    Owner = spawn(fun() ->
                          Self ! {crowd, crowd_(How, Namespaces)},
                          receive after infinity -> ok end
                  end),
    receive {crowd, Crowd} -> Crowd#{owner => Owner} after alcove_test:ms(20000) -> error(timeout) end.

crowd_(How, Namespaces) ->
    Before = pollers(),
    Drv = alcove_test:start(),
    Middle = alcove_test:fork(Drv, []),
    Leaf = alcove_test:fork(Drv, Middle),
    Deaf = case How of deaf -> "trap '' TERM HUP INT; "; _ -> "" end,
    Sleep = "sh -c 'echo $$; exec sleep 1000'",
    Script = Deaf ++ "echo $$; (" ++ Sleep ++ ") & setsid " ++ Sleep ++ " & "
        "(setsid sh -c '" ++ escaped(Sleep) ++ " & :' &) ; wait; sleep 1000",
    Shell = alcove_test:shell(Drv, Leaf, Script),
    Pids = lines(Drv, Shell, 4),
    Started = kinds(lists:last(Shell), Pids),
    Namespace = case Namespaces of
                    true -> in_namespace(Drv, Leaf, Deaf);
                    false -> []
                end,
    User = case alcove_test:root() of
               true -> as_user(Drv, Leaf, Deaf);
               false -> []
           end,
    Crowd = Started ++ Namespace ++ User,
    _ = [alcove_test:signal(Pid, "STOP") || How =:= stopped, {_, Pid} <- Crowd],
    Root = alcove:getpid(Drv),
    #{drv => Drv, vm => alcove_test:ospid(), poller => pollers() -- Before,
      root => Root, guardian => alcove_test:parent(Root), middle => lists:last(Middle), leaf => lists:last(Leaf), crowd => Crowd,
      said => maps:get(survivors, alcove_drv:info(Drv))}.

%% The epoll(7) descriptors of this virtual machine.
pollers() ->
    {ok, Fds} = file:list_dir("/proc/self/fd"),
    [Fd || Fd <- Fds, file:read_link_all("/proc/self/fd/" ++ Fd) =:= {ok, "anon_inode:[eventpoll]"}].

escaped(Text) ->
    lists:flatmap(fun($') -> "'\\''"; (C) -> [C] end, Text).

%% So many numbers that a program prints, one a line.
lines(Drv, Path, N) ->
    lines(Drv, Path, N, <<>>).

lines(Drv, Path, N, Text) ->
    case binary:split(Text, <<"\n">>, [global]) of
        Lines when length(Lines) > N ->
            [binary_to_integer(Line) || Line <- lists:sublist(Lines, N)];
        _ ->
            lines(Drv, Path, N, <<Text/binary, (alcove_test:collect(Drv, Path, 1))/binary>>)
    end.

%% Which is which: by group, session and parent.
kinds(Shell, Pids) ->
    [{kind(Shell, Pid), Pid} || Pid <- Pids].

kind(Shell, Shell) ->
    $c;
kind(Shell, Pid) ->
    Session = string:trim(os:cmd(lists:concat(["ps -o sid= -p ", Pid]))),
    Same = string:trim(os:cmd(lists:concat(["ps -o sid= -p ", Shell]))),
    if
        Session =:= Same -> $g;
        true ->
            case alcove_test:parent(Pid) of
                Shell -> $s;
                _ -> $d
            end
    end.

%% The first process of a pid namespace, and a child of its own session there.
in_namespace(Drv, Leaf, Deaf) ->
    Flags = case alcove_test:root() of
                true -> [clone_newpid];
                false -> [clone_newuser, clone_newpid]
            end,
    {ok, Pid} = alcove:clone(Drv, Leaf, Flags),
    Init = Leaf ++ [Pid],
    ok = alcove:execvp(Drv, Init, "/bin/sh",
                       ["sh", "-c", Deaf ++ "setsid sleep 1000 & echo $!; wait; sleep 1000"]),
    [_] = lines(Drv, Init, 1),
    [{$n, Pid} | [{$n, Below} || Below <- alcove_test:descendants(Pid)]].

as_user(Drv, Leaf, Deaf) ->
    Path = alcove_test:fork(Drv, Leaf),
    ok = alcove:setgid(Drv, Path, 65534),
    ok = alcove:setuid(Drv, Path, 65534),
    ok = alcove:execvp(Drv, Path, "/bin/sh",
                       ["sh", "-c", Deaf ++ "setsid sleep 1000 & echo $!; wait; sleep 1000"]),
    [Below] = lines(Drv, Path, 1),
    [{$u, lists:last(Path)}, {$u, Below}].
