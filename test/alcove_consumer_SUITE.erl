%% @doc Projects that depend on alcove: each is copied, compiled from clean and run.
-module(alcove_consumer_SUITE).

-include_lib("stdlib/include/assert.hrl").

-export([suite/0, all/0, init_per_suite/1, end_per_suite/1, init_per_testcase/2, end_per_testcase/2]).
-export([rebar3_project/1, mix_project/1]).

suite() ->
    [{timetrap, alcove_test:ms(600000)}].

all() ->
    [rebar3_project, mix_project].

init_per_suite(Config) ->
    alcove_test:init_suite(Config).

end_per_suite(_Config) ->
    ok.

init_per_testcase(_Case, Config) ->
    ok = clean(),
    ok = filelib:ensure_dir(filename:join(dir(), "x")),
    alcove_test:init_case(Config).

end_per_testcase(_Case, Config) ->
    ok = clean(),
    alcove_test:end_case(Config).

%% Always the same: cargo keeps what it built apart by directories.
dir() ->
    filename:join([alcove_test:top(), "_build", "consumer"]).

clean() ->
    case file:del_dir_r(dir()) of
        ok -> ok;
        {error, enoent} -> ok
    end.

%% alcove comes from a git repository.
rebar3_project(_Config) ->
    alcove_test:need(
      [{program, "rebar3"}, {program, "cargo"}, {program, "git"}],
      fun() ->
              Repository = repository(),
              Project = copy("consumer_rebar3"),
              run(Project, "rebar3 compile", [{"ALCOVE_GIT", "file://" ++ Repository}]),
              Output = run(Project, "erl -noshell -pa _build/default/lib/*/ebin -s consumer main", []),
              ?assertEqual("hello from rebar3\n", Output)
      end).

%% alcove comes from a directory.
mix_project(_Config) ->
    alcove_test:need(
      [{program, "mix"}, {program, "rebar3"}, {program, "cargo"}, {program, "git"}],
      fun() ->
              Env = [{"ALCOVE_PATH", tree()}, {"MIX_REBAR3", os:find_executable("rebar3")},
                     {"MIX_HOME", filename:join(dir(), "mix")}, {"LC_ALL", "C.UTF-8"}],
              Project = copy("consumer_mix"),
              run(Project, "mix compile", Env),
              %% What rebar3 does after it has compiled is done where mix has it build.
              Built = filename:join([Project, "_build", "dev", "lib", "alcove"]),
              ?assertMatch({ok, [{"2" ++ _, _, _}]}, file:consult(filename:join([Built, "ebin", "alcove.appup"]))),
              ?assert(filelib:is_regular(filename:join([Built, "doc", "chunks", "alcove.chunk"]))),
              Output = run(Project, "mix run -e 'Consumer.main()'", Env),
              ?assertMatch({match, _}, re:run(Output, "^hello from mix$", [multiline]))
      end).

%% What is in the working tree, or would be after the next commit, and nothing that was built.
tree() ->
    To = filename:join(dir(), "alcove"),
    ok = file:make_dir(To),
    run(alcove_test:top(), "git ls-files -co --exclude-standard | while read -r file; do "
        "[ ! -e \"$file\" ] || printf '%s\\n' \"$file\"; done | tar -cf - -T - | tar -xf - -C " ++ alcove_test:quote(To), []),
    ?assertNot(filelib:is_file(filename:join([To, "priv", "alcove"]))),
    To.

repository() ->
    Tree = tree(),
    run(Tree, "git init -q -b main . && git add -A && "
        "git -c user.name=test -c user.email=test@localhost commit -q --no-verify -m test", []),
    Tree.

copy(Name) ->
    To = filename:join(dir(), Name),
    run(dir(), "cp -r " ++ alcove_test:quote(filename:join([alcove_test:top(), "test", Name])) ++ " " ++ alcove_test:quote(To), []),
    To.

%% Crates of others need not be compiled again: what is built goes where the
%% tree's own goes. It need not be fast, so it is built without the time that this takes.
run(Dir, Command, Env) ->
    Target = case os:getenv("CARGO_TARGET_DIR") of
                 Unset when Unset =:= false; Unset =:= "" -> filename:join(alcove_test:top(), "target");
                 Given -> Given
             end,
    %% What rebar3 sets for the run of these tests isn't meant for other projects.
    Quick = [{"CARGO_PROFILE_RELEASE_" ++ Name, Value}
             || {Name, Value} <- [{"LTO", "off"}, {"CODEGEN_UNITS", "16"}, {"OPT_LEVEL", "1"}]],
    Own = [{Name, false} || Name <- ["REBAR_CONFIG", "REBAR_PROFILE", "REBAR_BASE_DIR", "ERL_LIBS", "ERL_FLAGS"]],
    Port = open_port({spawn_executable, "/bin/sh"},
                     [{args, ["-c", Command]}, {cd, Dir}, exit_status, stderr_to_stdout, binary,
                      {env, [{"CARGO_TARGET_DIR", Target} | Quick ++ Own] ++ Env}]),
    {Status, Output} = wait(Port, []),
    ct:log("~ts~n~ts", [Command, Output]),
    ?assertEqual({Command, 0}, {Command, Status}),
    unicode:characters_to_list(Output).

wait(Port, Output) ->
    receive
        {Port, {data, Bytes}} -> wait(Port, [Output, Bytes]);
        {Port, {exit_status, Status}} -> {Status, iolist_to_binary(Output)}
    end.
