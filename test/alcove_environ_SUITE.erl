%% @doc Where programs start and with which environment: as os:cmd/1 would start them, unless
%% they are told otherwise.
-module(alcove_environ_SUITE).

-include_lib("stdlib/include/assert.hrl").

-export([suite/0, all/0, init_per_suite/1, end_per_suite/1, init_per_testcase/2, end_per_testcase/2]).
-export([working_directory/1, relative_paths/1, deleted_directory/1, environment/1, options_of_the_drv/1,
         child_of_a_process/1, supervised/1, another_node/1, login/1, consistent/1, bytes/1, names/1]).
%% Called in another virtual machine.
-export([odd/0]).

suite() ->
    alcove_test:suite().

all() ->
    [names, working_directory, relative_paths, deleted_directory, environment, options_of_the_drv, child_of_a_process,
     supervised, another_node, login, consistent, bytes].

init_per_suite(Config) ->
    alcove_test:init_suite(Config).

end_per_suite(_Config) ->
    ok.

init_per_testcase(_Case, Config) ->
    {ok, Dir} = file:get_cwd(),
    Config1 = alcove_test:init_case(Config),
    [{drv, alcove_test:start()}, {cwd, Dir} | Config1].

end_per_testcase(_Case, Config) ->
    ok = file:set_cwd(proplists:get_value(cwd, Config)),
    alcove_test:end_case(Config).

drv(Config) ->
    alcove_test:drv(Config).

path(Config, Name) ->
    filename:join(alcove_test:tmp(Config), Name).

%% Both forms: a Drv that has been there before, and one of the program's own.
both(Config, Fun) ->
    [Fun(Drv) || Drv <- [drv(Config), {start, []}]].

out(Drv, Argv) ->
    out(Drv, Argv, #{}).

out(Drv, Argv, Options) ->
    {ok, #{stdout := Bytes}} = alcove_proc:run(Drv, Argv, Options),
    string:trim(Bytes, trailing, "\n").

pwd() ->
    ["/bin/pwd", "-P"].

var(Name) ->
    ["printenv", Name].

%% The program is where os:cmd's is, and PWD says so.
working_directory(Config) ->
    Moved = path(Config, "moved"),
    ok = file:make_dir(Moved),
    ok = file:set_cwd(Moved),
    Expected = list_to_binary(string:trim(os:cmd("/bin/pwd -P"))),
    both(Config, fun(Drv) ->
        ?assertEqual(Expected, out(Drv, pwd())),
        ?assertEqual(Expected, out(Drv, var("PWD"))),
        ?assertEqual(<<"/">>, out(Drv, pwd(), #{cwd => "/"})),
        ?assertEqual(<<"/">>, out(Drv, var("PWD"), #{cwd => "/"}))
    end),
    %% Also when nobody but Drv may go there.
    ok = file:change_mode(Moved, 8#700),
    alcove_test:need([root], fun() ->
        both(Config, fun(Drv) -> ?assertEqual(Expected, out(Drv, pwd(), #{user => 4711, group => 4711})) end)
    end).

relative_paths(Config) ->
    Dir = path(Config, "dir"),
    ok = file:make_dir(Dir),
    ok = file:make_dir(filename:join(Dir, "sub")),
    ok = file:set_cwd(Dir),
    ok = file:write_file("in", "abc"),
    Sub = list_to_binary(string:trim(os:cmd("cd sub; /bin/pwd -P"))),
    both(Config, fun(Drv) ->
        ?assertEqual(Sub, out(Drv, pwd(), #{cwd => "sub"})),
        ?assertEqual(Sub, out(Drv, var("PWD"), #{cwd => "sub"})),
        ?assertEqual(<<"abc">>, out(Drv, ["cat"], #{stdin => {file, "in"}})),
        Write = #{stdout => {file, "out"}, stderr => {file, "../dir/err"}, cwd => "/"},
        {ok, _} = alcove_proc:run(Drv, ["sh", "-c", "echo o; echo e >&2"], Write),
        ?assertEqual({ok, <<"o\n">>}, file:read_file("out")),
        ?assertEqual({ok, <<"e\n">>}, file:read_file("err"))
    end),
    Script = filename:join(Dir, "script"),
    ok = file:write_file(Script, "#!/bin/sh\necho ran\n"),
    ok = file:change_mode(Script, 8#755),
    both(Config, fun(Drv) -> ?assertEqual(<<"ran">>, out(Drv, ["./script"])) end).

%% The same is a variable for a program, a Drv and a sandbox, and the same isn't.
names(Config) ->
    Drv = drv(Config),
    Ways = [
        fun(Env) -> alcove_proc:child_spec({Drv, ["true"], #{env => Env}}) end,
        fun(Env) -> alcove_drv:child_spec(#{env => Env}) end,
        fun(Env) -> alcove_proc:child_spec({{start, [{env, Env}]}, ["true"]}) end,
        fun(Env) -> alcove_sandbox:child_spec(#{drv => Drv, argv => ["true"], spec => #{env => Env}}) end,
        fun(Env) -> alcove_pool:child_spec(#{name => a, drv => {start, #{env => Env}}}) end
    ],
    Good = [{'ALCOVE_A', "1"}, {"ALCOVE_A", <<"1">>}, {<<"ALCOVE_A">>, [$1]}, {"ALCOVE_A", ""}, {"ALCOVE_A", "x=y"},
            {'ALCOVE_A', false}, {"ALCOVE_A", nil}, {"alcove a", "1"} |
            %% Characters are what the locale makes of them.
            [{[16#20ac], [16#20ac]} || file:native_name_encoding() =:= utf8]],
    [#{} = Way(Env) || Way <- Ways, Variable <- Good, Env <- [[Variable], maps:from_list([Variable])]],
    Wrong = [{{name, Name}, {Name, Value}} || Name <- ["", <<>>, '', "A=B", <<"A=B">>, 'A=B', "A\0", 1, {"A"}],
                                             Value <- ["1", false, nil]] ++
        [{{name, "A"}, {"A", Value}} || Value <- [1, true, undefined, "\0", [16#110000], ["x" | y], self()]] ++
        [{pair, NoPair} || NoPair <- ["A=1", 'A', {"A"}, {"A", "1", "2"}, 1]],
    [begin
         Told = fun(Way, Env) -> try Way(Env) of Spec -> {taken, Spec} catch error:{badarg, Option} -> Option end end,
         Options = [Told(Way, Env) || Way <- Ways, Env <- [[{"B", "1"}, Variable]] ++ [#{Name => Value} || {Name, Value} <- [Variable]]],
         ?assertEqual([], [Option || {taken, _} = Option <- Options], {env, Variable}),
         [case Option of
              {env, _} -> ok;
              {drv, {start, {env, _}}} -> ok
          end || Option <- Options],
         case What of
             {name, Name} ->
                 Shown = case Name of {"A"} -> {'[...]'}; "A\0" -> '[...]'; _ -> Name end,
                 ?assertEqual([{drv, {start, {env, Shown}}}, {env, Shown}], lists:usort(Options));
             pair ->
                 ok
         end
     end || {What, Variable} <- Wrong],
    [?assertError({badarg, _}, Way(Env)) || Way <- Ways, Env <- [[{"A", "1"} | x], "A=1", <<"A=1">>, 'A', 1, {"A", "1"}]],
    %% And it is set: of two for the same, the last.
    Env = [{'ALCOVE_A', "1"}, {"ALCOVE_B", ""}, {<<"ALCOVE_C">>, "1"}, {"ALCOVE_C", "2"}, {'PWD', false}],
    Script = ["/bin/sh", "-c", "printenv ALCOVE_A ALCOVE_B ALCOVE_C"],
    ?assertEqual(<<"1\n\n2">>, out(Drv, Script, #{env => Env})),
    ?assertEqual(<<"1\n\n2">>, out({start, [{env, Env}]}, Script)),
    alcove_test:need([root, {call, mount_setattr}], fun() ->
        {ok, #{stdout := Out}} = alcove_sandbox:run(Drv, Script, #{env => Env}),
        ?assertEqual(<<"1\n\n2\n">>, Out)
    end).

%% A directory that was deleted, before a Drv starts or after it has.
deleted_directory(Config) ->
    Dir = path(Config, "gone"),
    ok = file:make_dir(Dir),
    ok = file:set_cwd(Dir),
    ok = file:del_dir(Dir),
    {ok, Drv} = alcove_drv:start(),
    both([{drv, Drv} | Config], fun(Each) ->
        Where = out(Each, ["readlink", "/proc/self/cwd"]),
        ?assertEqual(iolist_to_binary([Dir, " (deleted)"]), Where)
    end),
    Before = out(drv(Config), ["readlink", "/proc/self/cwd"]),
    ?assertEqual(iolist_to_binary([Dir, " (deleted)"]), Before),
    alcove_test:stop(Drv).

environment(Config) ->
    true = os:putenv("ALCOVE_NEW", "1"),
    true = os:putenv("ALCOVE_CHANGED", "before"),
    Old = alcove_test:start(),
    true = os:putenv("ALCOVE_CHANGED", "after"),
    true = os:unsetenv("ALCOVE_NEW"),
    true = os:putenv("ALCOVE_NEWER", "2"),
    both([{drv, Old} | Config], fun(Drv) ->
        ?assertEqual(<<>>, out(Drv, var("ALCOVE_NEW"))),
        ?assertEqual(<<"2">>, out(Drv, var("ALCOVE_NEWER"))),
        ?assertEqual(<<"after">>, out(Drv, var("ALCOVE_CHANGED"))),
        ?assertEqual(<<"mine">>, out(Drv, var("ALCOVE_CHANGED"), #{env => #{"ALCOVE_CHANGED" => "mine"}})),
        ?assertEqual(<<>>, out(Drv, var("ALCOVE_CHANGED"), #{env => #{"ALCOVE_CHANGED" => false}})),
        ?assertEqual(<<"A=1">>, out(Drv, ["/usr/bin/env"], #{clearenv => true, env => #{"A" => "1"}}))
    end),
    [os:unsetenv(Name) || Name <- ["ALCOVE_NEWER", "ALCOVE_CHANGED"]],
    alcove_test:stop(Old).

%% What Drv was told holds for its programs, whatever the virtual machine's environment is now.
options_of_the_drv(Config) ->
    Env = #{"ALCOVE_OWN" => "drv", "HOME" => false},
    Own = alcove_test:start([{env, Env}]),
    Clear = alcove_test:start([clearenv, {env, [{"ALCOVE_OWN", "drv"}]}]),
    true = os:putenv("ALCOVE_OWN", "vm"),
    [
        begin
            ?assertEqual(<<"drv">>, out(Drv, var("ALCOVE_OWN"))),
            ?assertEqual(<<>>, out(Drv, var("HOME")))
        end
     || Drv <- [Own, Clear, {start, [{env, Env}]}, {start, [clearenv, {env, [{"ALCOVE_OWN", "drv"}]}]}]
    ],
    ?assertEqual(<<"vm">>, out(drv(Config), var("ALCOVE_OWN"))),
    true = os:unsetenv("ALCOVE_OWN"),
    [alcove_test:stop(Drv) || Drv <- [Own, Clear]].

%% Who names a process has its directory and its environment, root's too.
child_of_a_process(Config) ->
    Drv = drv(Config),
    {ok, Pid} = alcove:fork(Drv),
    [
        begin
            ok = alcove:chdir(Drv, Path, "/usr"),
            ok = alcove:setenv(Drv, Path, "ALCOVE_OF", "process", 1),
            ?assertEqual(<<"/usr">>, out(Drv, pwd(), #{in => Path})),
            ?assertEqual(<<"/usr/bin">>, out(Drv, pwd(), #{in => Path, cwd => "bin"})),
            ?assertEqual(<<"process">>, out(Drv, var("ALCOVE_OF"), #{in => Path})),
            ?assertEqual(<<>>, out(Drv, var("ALCOVE_OF")))
        end
     || Path <- [[Pid], []]
    ].

supervised(Config) ->
    Drv = drv(Config),
    Out = path(Config, "out"),
    #{start := {Module, Function, Args}} = alcove_proc:child_spec(
        {Drv, pwd(), #{stdout => {file, Out}}}
    ),
    %% The call is the supervisor's, not the one that made the specification.
    ok = file:set_cwd("/usr"),
    {ok, Pid} = apply(Module, Function, Args),
    Ref = monitor(process, Pid),
    receive {'DOWN', Ref, process, Pid, _} -> ok end,
    ?assertEqual({ok, <<"/usr\n">>}, file:read_file(Out)).

%% A program runs on Drv's node: its directory and its environment are meant.
another_node(_Config) ->
    alcove_test:nodes(fun(There, Here) ->
        Drv = alcove_test:in_peer(There, fun() ->
            Held = alcove_test:hold([]),
            ok = file:set_cwd("/usr"),
            true = os:putenv("ALCOVE_THERE", "1"),
            Held
        end),
        ok = alcove_test:in_peer(Here, fun() ->
            ok = file:set_cwd("/tmp"),
            ?assertEqual(<<"/usr">>, out(Drv, pwd())),
            ?assertEqual(<<"1">>, out(Drv, var("ALCOVE_THERE"))),
            ok
        end)
    end).

%% HOME and the like are what a login of the user gives, and `env' is stronger.
login(Config) ->
    alcove_test:need([root], fun() ->
        Print = ["/bin/sh", "-c", "echo \"$HOME|$USER|$LOGNAME|$SHELL|${MAIL-}\""],
        [Nobody] = [
            Fields
         || Line <- string:lexemes(os:cmd("getent passwd nobody"), "\n"),
            Fields <- [string:split(Line, ":", all)]
        ],
        [Name, _, Uid, Gid, _, Home, Shell] = Nobody,
        Expected = iolist_to_binary([Home, "|", Name, "|", Name, "|", Shell, "|"]),
        true = os:putenv("MAIL", "/var/mail/root"),
        both(Config, fun(Drv) ->
            ?assertEqual(Expected, out(Drv, Print, #{user => "nobody"})),
            ?assertEqual(Expected, out(Drv, Print, #{user => list_to_integer(Uid)})),
            ?assertEqual(Expected, out(Drv, Print, #{user => "nobody", in => []})),
            ?assertEqual(
                iolist_to_binary(["/mine|me|", Name, "||"]),
                out(Drv, Print, #{
                    user => "nobody", env => [{"HOME", "/mine"}, {"USER", "me"}, {"SHELL", false}]
                })
            ),
            %% A user without an entry has no name, and nobody else's either.
            ?assertEqual(<<"/|||/bin/sh|">>, sh_less(out(Drv, Print, #{user => 4711, group => 4711})))
        end),
        true = os:unsetenv("MAIL"),
        _ = Gid
    end).

%% Where SHELL isn't set some shells say their own path.
sh_less(<<"/||||">>) -> <<"/|||/bin/sh|">>;
sh_less(Other) -> Other.

%% What options change is changed in the environment as well.
consistent(Config) ->
    [true = os:putenv(Name, Value) || {Name, Value} <- [{"LINES", "1"}, {"COLUMNS", "2"}, {"OLDPWD", "/x"}]],
    both(Config, fun(Drv) ->
        Env = fun(Options) -> binary:split(out(Drv, ["/usr/bin/env"], Options), [<<"\n">>, <<"\r\n">>], [global]) end,
        Has = fun(Name, Variables) -> [V || V <- Variables, string:prefix(V, [Name, "="]) =/= nomatch] =/= [] end,
        ?assert(Has("LINES", Env(#{}))),
        ?assertNot(Has("OLDPWD", Env(#{}))),
        Terminal = Env(#{pty => true}),
        ?assertNot(Has("LINES", Terminal)),
        ?assertNot(Has("COLUMNS", Terminal)),
        %% A path that PWD can't have.
        ?assertNot(Has("PWD", Env(#{cwd => "/usr/../usr"}))),
        ?assertNot(Has("PWD", Env(#{setup => [{chdir, ["/usr"]}]})))
    end),
    [os:unsetenv(Name) || Name <- ["LINES", "COLUMNS", "OLDPWD"]].

%% Bytes that are no text go through as they are: in the environment, the working directory,
%% arguments and paths, whatever the encoding of file names.
bytes(Config) ->
    Odd = filename:join(list_to_binary(alcove_test:tmp(Config)), <<"dir\xe9">>),
    ok = file:make_dir(Odd),
    Values = [<<"caf\xe9">>, <<"caf\xc3\xa9">>, <<"\xc3\xa9\xe9">>, <<"\xe2\x82">>, <<"plain">>, <<"\xff=\xfe">>],
    Variables = [
        {iolist_to_binary(["ALCOVE_", integer_to_list(N)]), Value}
     || {N, Value} <- lists:zip(lists:seq(1, length(Values)), Values)
    ],
    Paths = lists:append([[<<" -pa ">>, alcove_test:quote(Path)] || Path <- alcove_test:paths()]),
    [
        begin
            Command = [
                <<"exec erl -noshell ">>, Flags, Paths, <<" -eval 'alcove_environ_SUITE:odd(), halt().'">>
            ],
            {ok, #{stdout := Out}} = alcove_proc:run(
                drv(Config),
                ["sh", "-c", Command],
                #{env => [{"LANG", Lang}, {"ODD", alcove_test:tmp(Config)} | Variables], stderr => stdout, timeout => 50000}
            ),
            Lines = binary:split(Out, <<"\n">>, [global, trim]),
            [Where, Given | Environ] = Lines,
            ?assertEqual(filename:basename(Odd), filename:basename(Where)),
            ?assertEqual(<<"arg\xe9">>, Given),
            ?assertEqual(
                lists:sort([<<Name/binary, "=", Value/binary>> || {Name, Value} <- Variables]),
                [Line || <<"ALCOVE_", N, _/binary>> = Line <- lists:sort(Environ), N =< $9]
            )
        end
     || {Flags, Lang} <- [{"+fnu", "C.UTF-8"}, {"+fnl", "C"}]
    ].

odd() ->
    {ok, Drv} = alcove_drv:start(),
    Odd = filename:join(list_to_binary(os:getenv("ODD")), <<"dir\xe9">>),
    Script = ["/bin/pwd -P; echo ", <<"arg\xe9">>, "; env"],
    {ok, #{stdout := Out}} = alcove_proc:run(Drv, ["/bin/sh", "-c", iolist_to_binary(Script)], #{cwd => Odd}),
    ok = alcove_drv:stop(Drv),
    Port = open_port({fd, 0, 1}, [out, binary]),
    true = port_command(Port, Out),
    true = port_close(Port).
