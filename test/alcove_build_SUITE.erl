%% @doc What those have of alcove who depend on it: packages, archives of what was built, and
%% releases.
%%
%% Nothing is compiled from Rust here: what is tested is what was built for these tests.
-module(alcove_build_SUITE).

-include_lib("kernel/include/file.hrl").
-include_lib("stdlib/include/assert.hrl").

-export([suite/0, all/0, init_per_suite/1, end_per_suite/1]).
-export([init_per_testcase/2, end_per_testcase/2]).
-export([prebuilt_is_taken/1, prebuilt_is_fetched/1, prebuilt_is_refused/1]).
-export([targets_are_known/1, host_is_known/1, names_of_distributions/1, a_priv_for_each_target/1, no_rust_is_one_message/1]).
-export([builds_after_each_other/1, environment_of_the_build/1, first_in_path/1]).
-export([package_is_complete/1, rebar3_release/1, mix_release/1, mix_install/1]).

suite() ->
    [{timetrap, alcove_test:ms(300000)}].

all() ->
    [prebuilt_is_taken, prebuilt_is_fetched, prebuilt_is_refused, targets_are_known,
     host_is_known, names_of_distributions, builds_after_each_other, environment_of_the_build,
     first_in_path, a_priv_for_each_target, no_rust_is_one_message, package_is_complete, rebar3_release,
     mix_release, mix_install].

%% The archive of what these tests run is made once.
init_per_suite(Config) ->
    Config1 = alcove_test:init_suite(Config),
    Archive = filename:join([proplists:get_value(priv_dir, Config1), "made elsewhere", name()]),
    ok = filelib:ensure_dir(Archive),
    "" = run("/", "tar -cf - -C \"$2\" alcove alcove_nif.so | gzip -1 >\"$1\"",
             [Archive, code:priv_dir(alcove)], []),
    [{archive, Archive} | Config1].

end_per_suite(Config) ->
    {Archive, _} = archive(Config),
    ok = file:del_dir_r(filename:dirname(Archive)).

%% Everything is done in a directory with a space.
init_per_testcase(_Case, Config) ->
    Config1 = alcove_test:init_case(Config),
    Dir = filename:join(alcove_test:tmp(Config1), "a b"),
    ok = file:make_dir(Dir),
    [{dir, Dir} | Config1].

end_per_testcase(_Case, Config) ->
    alcove_test:end_case(Config).

dir(Config) ->
    proplists:get_value(dir, Config).

%% ---------------------------------------------------------------------------
%% Made elsewhere
%% ---------------------------------------------------------------------------

prebuilt_is_taken(Config) ->
    {Archive, Sum} = archive(Config),
    Dir = filename:dirname(Archive),
    [begin
         App = filename:join(dir(Config), "app"),
         Output = build(Config, [{"MIX_APP_PATH", App} | prebuilt(From, Sum)]),
         Took = "^alcove: took .*" ++ name() ++ " for ",
         ?assertMatch({match, _}, re:run(Output, Took, [multiline])),
         ?assert(same(App)),
         ok = file:del_dir_r(App)
     end
     || From <- [Archive, Dir, Dir ++ "/", "file://" ++ Archive]],
    clean(Config).

%% What was fetched once isn't fetched again, as long as it is what was asked for.
prebuilt_is_fetched(Config) ->
    case [Program || Program <- ["curl", "wget"], os:find_executable(Program) =/= false] of
        [] -> alcove_test:skip("needs curl or wget");
        _ -> fetched(Config)
    end.

fetched(Config) ->
    {Archive, Sum} = archive(Config),
    {Server, Port} = serve(Archive),
    Env = fun(Name) ->
                  [{"MIX_APP_PATH", filename:join(dir(Config), Name)}
                   | prebuilt(lists:concat(["http://127.0.0.1:", Port]), Sum)]
          end,
    ?assertMatch({match, _}, re:run(build(Config, Env("one")), "fetching http")),
    ?assert(same(filename:join(dir(Config), "one"))),
    ok = gen_tcp:close(Server),
    ?assertMatch(nomatch, re:run(build(Config, Env("two")), "fetching http")),
    ?assert(same(filename:join(dir(Config), "two"))),
    [Fetched] = filelib:wildcard(filename:join([target(Config), "prebuilt", "*.tar.gz"])),
    ok = file:write_file(Fetched, "something else"),
    refused(Config, Env("three"), "can't be fetched"),
    clean(Config).

%% Gives one file to one who asks for it, and says no to whoever asks for another.
serve(File) ->
    Options = [binary, {ip, {127, 0, 0, 1}}, {active, false}, {packet, http_bin}],
    {ok, Server} = gen_tcp:listen(0, Options),
    {ok, Port} = inet:port(Server),
    Path = list_to_binary([$/ | filename:basename(File)]),
    Answer = fun() ->
                     {ok, Socket} = gen_tcp:accept(Server),
                     {ok, {http_request, 'GET', {abs_path, Path}, _}} = gen_tcp:recv(Socket, 0),
                     ok = inet:setopts(Socket, [{packet, raw}]),
                     ok = gen_tcp:send(Socket, "HTTP/1.0 200 OK\r\nConnection: close\r\n\r\n"),
                     {ok, _} = file:sendfile(File, Socket),
                     ok = gen_tcp:shutdown(Socket, write),
                     % What it had to say besides, until it has all and goes.
                     (fun Rest() -> {ok, _} = gen_tcp:recv(Socket, 0), Rest() end)()
             end,
    _ = spawn(fun() -> try Answer() catch error:{badmatch, {error, closed}} -> ok end end),
    {Server, Port}.

prebuilt_is_refused(Config) ->
    {Archive, Sum} = archive(Config),
    App = filename:join(dir(Config), "app"),
    Refused = fun(Env, Why) ->
                      refused(Config, [{"MIX_APP_PATH", App} | Env], Why),
                      ?assertNot(filelib:is_file(filename:join([App, "priv", "alcove"])))
              end,
    Refused([{"ALCOVE_PREBUILT", Archive}], "not taken without its checksum"),
    Other = lists:duplicate(64, $0),
    Refused(prebuilt(Archive, Other), "has the checksum"),
    Refused(prebuilt(dir(Config), Sum), "isn't there"),
    % What is meant for another machine.
    Target = case erlang:system_info(system_architecture) of
                 "aarch64" ++ _ -> "x86_64-unknown-linux-gnu";
                 _ -> "aarch64-unknown-linux-gnu"
             end,
    Refused([{"CARGO_BUILD_TARGET", Target} | prebuilt(Archive, Sum)], "is not for " ++ Target),
    % A link in an archive would lead elsewhere.
    Links = filename:join(dir(Config), "links"),
    ok = file:make_dir(Links),
    [ok = file:make_symlink("/bin/sh", filename:join(Links, Name)) || Name <- names()],
    Bad = filename:join(dir(Config), name()),
    _ = run(dir(Config), "tar -czf \"$1\" -C \"$2\" alcove alcove_nif.so", [Bad, Links], []),
    Refused(prebuilt(Bad, sum(Bad)), "has no alcove"),
    % What is no archive.
    ok = file:write_file(Bad, "no archive"),
    Refused(prebuilt(Bad, sum(Bad)), "can't be unpacked"),
    clean(Config).

%% Which archive is looked for, by what cross builds have in their environment: cargo's, Nerves'
%% and compilers'.
targets_are_known(Config) ->
    Gcc = fun(Machine) ->
                  File = filename:join(dir(Config), "gcc-" ++ Machine),
                  ok = file:write_file(File, ["#!/bin/sh\necho ", Machine, "\n"]),
                  ok = file:change_mode(File, 8#755),
                  {"CC", File}
          end,
    Nerves = fun(Arch, Cpu, Abi) ->
                     [{"TARGET_ARCH", Arch}, {"TARGET_CPU", Cpu}, {"TARGET_OS", "linux"},
                      {"TARGET_ABI", Abi}]
             end,
    None = filename:join(dir(Config), "none"),
    Flags = fun(Machine) ->
                    {"CC", File} = Gcc(Machine),
                    [{"PATH", filename:dirname(File) ++ ":" ++ path(Config)},
                     {"CC", filename:basename(File) ++ " -O2 --sysroot=/none"}]
            end,
    [begin
         Env1 = [{"CC", false}, {"CROSSCOMPILE", false} | Env ++ prebuilt(None, "00")],
         refused(Config, Env1, "-" ++ Target ++ "\\.tar\\.gz isn't there")
     end
     || {Env, Target} <-
            [{[{"CARGO_BUILD_TARGET", "aarch64-unknown-linux-musl"}], "aarch64-unknown-linux-musl"},
             {Nerves("aarch64", "cortex_a72", "gnu"), "aarch64-unknown-linux-gnu"},
             {Nerves("arm", "cortex_a7", "gnueabihf"), "armv7-unknown-linux-gnueabihf"},
             {Nerves("arm", "arm1176jzf_s", "gnueabihf"), "arm-unknown-linux-gnueabihf"},
             {Nerves("x86_64", "generic", "musl"), "x86_64-unknown-linux-musl"},
             {[{"CROSSCOMPILE", "/no/bin/aarch64-nerves-linux-gnu"}], "aarch64-unknown-linux-gnu"},
             {[Gcc("aarch64-linux-gnu")], "aarch64-unknown-linux-gnu"},
             {[Gcc("armv7-nerves-linux-gnueabihf")], "armv7-unknown-linux-gnueabihf"},
             {[Gcc("i686-linux-gnu")], "i686-unknown-linux-gnu"},
             {[Gcc("aarch64-poky-linux")], "aarch64-unknown-linux-gnu"},
             {Flags("aarch64-poky-linux"), "aarch64-unknown-linux-gnu"},
             {Flags("arm-oe-linux-gnueabi"), "armv7-unknown-linux-gnueabi"}]],
    refused(Config, Nerves("mips", "generic", "gnu"), "no target of Rust is known here .* mips").

%% Without Rust, whose library is asked for: that of the virtual machine which will load it, also
%% where the kernel is of another kind.
host_is_known(Config) ->
    None = filename:join(dir(Config), "none"),
    Bin = filename:join(dir(Config), "bin"),
    Says = fun(Name, Text) ->
                   File = filename:join(Bin, Name),
                   ok = filelib:ensure_dir(File),
                   ok = file:write_file(File, ["#!/bin/sh\necho ", Text, "\n"]),
                   ok = file:change_mode(File, 8#755)
           end,
    [begin
         ok = Says("erl", Vm),
         ok = Says("uname", Kernel),
         Env = [{"PATH", Bin ++ ":" ++ path(Config)}, {"CC", false}, {"CROSSCOMPILE", false} | prebuilt(None, "00")],
         refused(Config, Env, "-" ++ Target ++ "\\.tar\\.gz isn't there")
     end
     || {Vm, Kernel, Target} <-
            [{"arm-unknown-linux-gnueabihf", "aarch64", "armv7-unknown-linux-gnueabihf"},
             {"arm-unknown-linux-gnueabihf", "armv6l", "arm-unknown-linux-gnueabihf"},
             {"armv7l-unknown-linux-gnueabihf", "armv7l", "armv7-unknown-linux-gnueabihf"},
             {"i686-pc-linux-gnu", "x86_64", "i686-unknown-linux-gnu"},
             {"riscv64-unknown-linux-gnu", "riscv64", "riscv64gc-unknown-linux-gnu"},
             {"x86_64-alpine-linux-musl", "x86_64", "x86_64-unknown-linux-musl"},
             {"x86_64-pc-linux-gnu", "x86_64", "x86_64-unknown-linux-gnu"}]].

%% Alpine's Rust has another name for the machine than everybody else's: it is the same machine, also
%% where a compiler is named, and what was made elsewhere is found by the usual name.
names_of_distributions(Config) ->
    Bin = filename:join(dir(Config), "bin"),
    [begin
         File = filename:join(Bin, Name),
         ok = filelib:ensure_dir(File),
         ok = file:write_file(File, ["#!/bin/sh\ncase \"$*\" in\n", Cases, "\n*) echo \"", Name, ": <$*>\" >&2; exit 1 ;;\nesac\n"]),
         ok = file:change_mode(File, 8#755)
     end || {Name, Cases} <- [{"cargo", "--version) echo cargo 1.91.1 ;;"},
                              {"rustc", "--version) echo 'rustc 1.91.1 (Alpine Linux)' ;;\n-vV) echo host: x86_64-alpine-linux-musl ;;"},
                              {"gcc", "-dumpmachine) echo x86_64-alpine-linux-musl ;;"}]],
    Env = hidden(Config) ++ [{"PATH", Bin ++ ":" ++ path(Config)}, {"CROSSCOMPILE", false}, {"ALCOVE_PREBUILT", false},
                             {"MIX_APP_PATH", filename:join(dir(Config), "app")}],
    [begin
         {1, Output} = try_run(alcove_test:top(), "scripts/build-native.sh", [], Env ++ [{"CC", Compiler}]),
         ?assertMatch({match, _}, re:run(Output, "building for x86_64-alpine-linux-musl with Rust 1.91.1")),
         ?assertMatch({match, _}, re:run(Output, "^cargo: <", [multiline])),
         ?assertEqual(nomatch, re:run(Output, "--target"))
     end || Compiler <- [false, "gcc"]],
    None = filename:join(dir(Config), "none"),
    refused(Config, Env ++ [{"CC", "gcc"} | prebuilt(None, "00")], "-x86_64-unknown-linux-musl\\.tar\\.gz isn't there").

%% What cargo leaves running, as a cache of compilers does, keeps nobody from building.
builds_after_each_other(Config) ->
    Bin = filename:join(dir(Config), "bin"),
    Cargo = filename:join(Bin, "cargo"),
    Told = filename:join(dir(Config), "told"),
    ok = file:make_dir(Bin),
    ok = file:write_file(Cargo, "#!/bin/sh\ncase $1 in\n--version) echo 'cargo 1.99.0' ;;\n"
                         "*) ls -l /proc/self/fd >>\"$TOLD\"; exit 7 ;;\nesac\n"),
    ok = file:write_file(filename:join(Bin, "rustc"),
                         "#!/bin/sh\necho 'rustc 1.99.0'\necho 'host: x86_64-unknown-linux-gnu'\n"),
    [ok = file:change_mode(filename:join(Bin, Name), 8#755) || Name <- ["cargo", "rustc"]],
    App = filename:join(dir(Config), "app"),
    Env = [{"PATH", Bin ++ ":" ++ path(Config)}, {"TOLD", Told}, {"MIX_APP_PATH", App}, {"CC", false}],
    {7, _} = try_run(dir(Config), "\"$1\"", [script()], hidden(Config) ++ Env),
    {ok, Descriptors} = file:read_file(Told),
    ?assertMatch({match, _}, re:run(Descriptors, "proc")),
    ?assertEqual(nomatch, re:run(Descriptors, "app/priv")).

%% What is there isn't what makes a build: a file that lost its mode is made anew, and what can't be
%% kept is used all the same.
environment_of_the_build(Config) ->
    {Archive, Sum} = archive(Config),
    App = filename:join(dir(Config), "app"),
    Env = [{"MIX_APP_PATH", App} | prebuilt(Archive, Sum)],
    _ = build(Config, Env),
    Program = filename:join([App, "priv", "alcove"]),
    ok = file:change_mode(Program, 8#644),
    _ = build(Config, Env),
    {ok, #file_info{mode = Mode}} = file:read_file_info(Program),
    ?assertEqual(8#755, Mode band 8#777),
    case [Name || Name <- ["curl", "wget"], os:find_executable(Name) =/= false] of
        [] ->
            ok;
        _ ->
            {Server, Port} = serve(Archive),
            Url = lists:concat(["http://127.0.0.1:", Port]),
            _ = build(Config, [{"MIX_APP_PATH", filename:join(dir(Config), "other")},
                               {"CARGO_TARGET_DIR", "/proc/none"} | prebuilt(Url, Sum)]),
            ?assert(same(filename:join(dir(Config), "other"))),
            ok = gen_tcp:close(Server)
    end,
    clean(Config).

%% The Erlang that somebody has first in the path stays the first, whatever else is beside cargo.
first_in_path(Config) ->
    Own = filename:join(dir(Config), "own"),
    System = filename:join(dir(Config), "system"),
    [begin
         File = filename:join(Bin, Name),
         ok = filelib:ensure_dir(File),
         ok = file:write_file(File, ["#!/bin/sh\necho '", Name, " 1.99.0'\n"]),
         ok = file:change_mode(File, 8#755)
     end || {Bin, Name} <- [{Own, "erl"}, {System, "erl"}, {System, "cargo"}, {System, "rustc"}]],
    Find = ". scripts/rust.sh && use_cargo && command -v erl && command -v cargo",
    Env = [{"PATH", Own ++ ":" ++ System ++ ":" ++ path(Config)}],
    ?assertEqual(Own ++ "/erl\n" ++ System ++ "/cargo\n",
                 run(alcove_test:top(), Find, [], hidden(Config) ++ Env)),
    %% A rustc of another toolchain doesn't.
    Other = filename:join(Own, "rustc"),
    ok = file:write_file(Other, "#!/bin/sh\necho 'rustc 1.50.0'\n"),
    ok = file:change_mode(Other, 8#755),
    ?assertEqual(System ++ "/rustc\n",
                 run(alcove_test:top(), ". scripts/rust.sh && use_cargo && command -v rustc", [], hidden(Config) ++ Env)).

%% mix links to the project's own priv from the directories of all of its targets: what is built
%% for one must not be what another has.
a_priv_for_each_target(Config) ->
    {Archive, Sum} = archive(Config),
    Shared = filename:join(dir(Config), "shared"),
    ok = file:make_dir(Shared),
    ok = file:write_file(filename:join(Shared, "alcove"), "the host's"),
    App = filename:join(dir(Config), "app"),
    ok = file:make_dir(App),
    ok = file:make_symlink(Shared, filename:join(App, "priv")),
    _ = build(Config, [{"REBAR_BARE_COMPILER_OUTPUT_DIR", App} | prebuilt(Archive, Sum)]),
    ?assert(same(App)),
    ?assertEqual({ok, ["alcove"]}, file:list_dir(Shared)),
    ?assertEqual({ok, <<"the host's">>}, file:read_file(filename:join(Shared, "alcove"))),
    % Nothing but what is used.
    {ok, Installed} = file:list_dir(filename:join(App, "priv")),
    ?assertEqual(lists:sort(names()), lists:sort(Installed)).

%% Before anything is compiled, and with what is there instead.
no_rust_is_one_message(Config) ->
    Old = filename:join(dir(Config), "old"),
    ok = file:make_dir(Old),
    [begin
         File = filename:join(Old, Name),
         ok = file:write_file(File, ["#!/bin/sh\necho '", Name, " 1.63.0'\n"]),
         ok = file:change_mode(File, 8#755)
     end || Name <- ["cargo", "rustc"]],
    App = {"MIX_APP_PATH", filename:join(dir(Config), "app")},
    Output = refused(Config, [App, {"PATH", Old ++ ":" ++ path(Config)}], "is needed to build alcove"),
    ?assertMatch({match, _}, re:run(Output, "here is 1\\.63\\.0 \\(" ++ Old ++ "/cargo\\)")),
    ?assertMatch([_], string:split(string:trim(Output), "\n", all)).

%% ---------------------------------------------------------------------------
%% Packages and releases
%% ---------------------------------------------------------------------------

%% All that Cargo.toml and the build's hooks name is in the package.
package_is_complete(Config) ->
    Package = package(Config),
    Exists = fun(Name) -> filelib:is_file(filename:join(Package, Name)) end,
    {ok, Cargo} = file:read_file(filename:join(Package, "Cargo.toml")),
    {match, [Members]} = re:run(Cargo, "members = \\[([^]]*)\\]", [{capture, all_but_first, list}]),
    [?assert(Exists(filename:join(Member, "Cargo.toml")))
     || Member <- string:lexemes(Members, "\", \n")],
    {ok, Rebar} = file:read_file(filename:join(Package, "rebar.config")),
    {ok, Mix} = file:read_file(filename:join(Package, "mix.exs")),
    % The commands of hooks, not what a comment names.
    {match, Scripts} = re:run([Rebar, Mix], "\"(?:scripts/)?([a-z-]+\\.sh)",
                              [global, {capture, all_but_first, list}]),
    {ok, Script} = file:read_file(filename:join([Package, "scripts", "build-native.sh"])),
    {match, Sourced} = re:run(Script, "^\\. .*/([a-z-]+\\.sh)",
                              [global, multiline, {capture, all_but_first, list}]),
    [?assert(Exists(filename:join("scripts", Name))) || [Name] <- Scripts ++ Sourced],
    [?assert(Exists(Name)) || Name <- ["LICENSE", "README.md", "CHANGELOG.md", "Cargo.lock"]],
    % Nothing that was built.
    [?assertNot(Exists(Name)) || Name <- ["priv", "_build", "target", "dist", "doc"]].

rebar3_release(Config) ->
    alcove_test:need(
      [{program, "rebar3"}, {program, "git"}],
      fun() ->
              Project = copy(Config, "consumer_rebar3"),
              Checkouts = filename:join(Project, "_checkouts"),
              ok = file:make_dir(Checkouts),
              ok = file:rename(package(Config), filename:join(Checkouts, "alcove")),
              _ = run(Project, "rebar3 release", [], from_archive(Config)),
              Release = filename:join([Project, "_build", "default", "rel", "consumer"]),
              has_appup(Release),
              Output = as_user(Config, Release, "bin/consumer -noinput -s consumer main"),
              ?assertEqual("hello from rebar3\n", Output)
      end).

%% A release says how it is upgraded.
has_appup(Release) ->
    [File] = filelib:wildcard(filename:join([Release, "lib", "alcove-*", "ebin", "alcove.appup"])),
    {ok, [{Vsn, _, _}]} = file:consult(File),
    ?assertEqual("alcove-" ++ Vsn, filename:basename(filename:dirname(filename:dirname(File)))).

%% As a user of Elixir has it: mix builds it, with the modules for Elixir.
mix_release(Config) ->
    alcove_test:need(
      [{program, "mix"}, {program, "git"}],
      fun() ->
              Project = copy(Config, "consumer_mix"),
              Env = [{"ALCOVE_PATH", package(Config)}, {"ALCOVE_MANAGER", "mix"},
                     {"MIX_ENV", "prod"} | mix(Config)],
              %% With flags that are for the user's own node.
              Node = ["-sname", "alcove_build" | alcove_test:without_epmd(alcove_test:free_port())],
              _ = run(Project, "mix release", [], [{"ERL_FLAGS", lists:append(lists:join(" ", Node))} | Env]),
              Release = filename:join([Project, "_build", "prod", "rel", "consumer"]),
              has_appup(Release),
              Main = "bin/consumer eval 'Consumer.main(); Consumer.elixir()'",
              Output = as_user(Config, Release, Main),
              ?assertEqual("hello from mix\nhello from Elixir\n", Output)
      end).

%% As a notebook has it.
mix_install(Config) ->
    alcove_test:need(
      [{program, "mix"}, {program, "git"}],
      fun() ->
              Env = [{"MIX_INSTALL_DIR", filename:join(dir(Config), "install")},
                     {"ALCOVE_PATH", package(Config)} | mix(Config)],
              Script = "Mix.install([{:alcove, path: System.fetch_env!(\"ALCOVE_PATH\")}]); "
                  "IO.write(Alcove.run!([\"echo\", \"hello from a notebook\"]).stdout)",
              Output = run(dir(Config), "elixir -e \"$1\"", [Script], Env),
              ?assertMatch({match, _}, re:run(Output, "^hello from a notebook$", [multiline, unicode]))
      end).

%% What a package has: the files that alcove.app.src lists for it, as far as they are in the
%% working tree, or would be after the next commit.
package(Config) ->
    To = filename:join(dir(Config), "alcove"),
    ok = file:make_dir(To),
    {ok, [{application, alcove, About}]} =
        file:consult(filename:join([alcove_test:top(), "lib", "alcove.app.src"])),
    Files = proplists:get_value(files, About),
    _ = run(alcove_test:top(),
            "to=$1; shift; git ls-files -co --exclude-standard -- \"$@\" | "
            "while IFS= read -r file; do [ ! -e \"$file\" ] || printf '%s\\n' \"$file\"; done | "
            "tar -cf - -T - | tar -xf - -C \"$to\"",
            [To | Files], []),
    To.

copy(Config, Name) ->
    To = filename:join(dir(Config), Name),
    From = filename:join([alcove_test:top(), "test", Name]),
    _ = run(dir(Config), "cp -r \"$1\" \"$2\"", [From, To], []),
    To.

mix(Config) ->
    [{"MIX_HOME", filename:join(dir(Config), "mix")}, {"LC_ALL", "C.UTF-8"} | from_archive(Config)].

%% A release runs in another place, for somebody without a home.
as_user(Config, Release, Command) ->
    Place = filename:join(dir(Config), "else where"),
    ok = file:rename(Release, Place),
    _ = run(dir(Config), "chmod -R a+rX \"$1\"", [Place], []),
    User = case alcove_test:root() of
               true ->
                   Id = string:trim(os:cmd("id -g " ++ alcove_test:user())),
                   ["setpriv --reuid=", alcove_test:user(), " --regid=", Id, " --clear-groups "];
               false ->
                   []
           end,
    Env = "env -i PATH=/usr/bin:/bin LC_ALL=C.UTF-8 RELEASE_TMP=/nonexistent ",
    run(Place, lists:concat([lists:append(User), Env, "sh -c \"$1\""]), [Command], []).

%% ---------------------------------------------------------------------------
%% The script, and what it is given
%% ---------------------------------------------------------------------------

names() ->
    ["alcove", "alcove_nif.so"].

name() ->
    {ok, Cargo} = file:read_file(filename:join(alcove_test:top(), "Cargo.toml")),
    {match, [Version]} = re:run(Cargo, "^version = \"(.*)\"",
                                [multiline, {capture, all_but_first, list}]),
    {match, [Machine, C]} = re:run(erlang:system_info(system_architecture), "^([a-z0-9_]+)-.*linux-([a-z]+)",
                                   [{capture, all_but_first, list}]),
    Names = #{"armv7l" => "armv7", "riscv64" => "riscv64gc", "i386" => "i686"},
    lists:concat(["alcove-", Version, "-", maps:get(Machine, Names, Machine), "-unknown-linux-", C, ".tar.gz"]).

archive(Config) ->
    Archive = proplists:get_value(archive, Config),
    {Archive, sum(Archive)}.

from_archive(Config) ->
    {Archive, Sum} = archive(Config),
    prebuilt(Archive, Sum).

prebuilt(From, Sum) ->
    [{"ALCOVE_PREBUILT", From}, {"ALCOVE_PREBUILT_SHA256", Sum}].

sum(File) ->
    {ok, Bytes} = file:read_file(File),
    lists:flatten([io_lib:format("~2.16.0b", [Byte]) || <<Byte>> <= crypto:hash(sha256, Bytes)]).

same(App) ->
    lists:all(fun(Name) ->
                      file:read_file(filename:join([App, "priv", Name]))
                          =:= file:read_file(filename:join(code:priv_dir(alcove), Name))
              end, names()).

%% A path without Rust: where Debian's is installed, links to everything else.
path(Config) ->
    Path = "/usr/local/bin:/usr/bin:/bin",
    case os:find_executable("cargo", Path) of
        false ->
            Path;
        _ ->
            Links = filename:join(dir(Config), "without Rust"),
            _ = filelib:is_dir(Links) orelse linked(Links, string:lexemes(Path, ":")),
            Links
    end.

linked(Links, Directories) ->
    ok = file:make_dir(Links),
    [file:make_symlink(filename:join(Directory, Name), filename:join(Links, Name))
     || Directory <- Directories, {ok, Names} <- [file:list_dir(Directory)], Name <- Names,
        re:run(Name, "^(cargo|rustc|rustup|rustdoc)") =:= nomatch].

target(Config) ->
    filename:join(dir(Config), "target").

hidden(Config) ->
    [{"PATH", path(Config)}, {"CARGO", false}, {"CARGO_HOME", "/nonexistent"}, {"HOME", "/nonexistent"},
     {"CARGO_TARGET_DIR", target(Config)}, {"TMPDIR", dir(Config)}].

build(Config, Env) ->
    run(dir(Config), "\"$1\"", [script()], hidden(Config) ++ Env).

refused(Config, Env, Why) ->
    {Status, Output} = try_run(dir(Config), "\"$1\"", [script()], hidden(Config) ++ Env),
    ?assertEqual(1, Status),
    ?assertMatch({match, _}, re:run(Output, "^alcove: .*" ++ Why, [multiline])),
    Output.

script() ->
    filename:join([alcove_test:top(), "scripts", "build-native.sh"]).

%% The script leaves no directory of its own.
clean(Config) ->
    ?assertEqual([], filelib:wildcard(filename:join(dir(Config), "alcove_prebuilt*"))).

run(Dir, Command, Args, Env) ->
    {Status, Output} = try_run(Dir, Command, Args, Env),
    ?assertEqual({Command, 0}, {Command, Status}),
    Output.

try_run(Dir, Command, Args, Env) ->
    % What rebar3 sets for the run of these tests isn't meant for other projects.
    Own = [{Name, false} || Name <- ["REBAR_CONFIG", "REBAR_PROFILE", "REBAR_BASE_DIR", "ERL_LIBS",
                                     "ERL_FLAGS", "MIX_APP_PATH", "CARGO_BUILD_TARGET",
                                     "REBAR_BARE_COMPILER_OUTPUT_DIR"]],
    Port = open_port({spawn_executable, "/bin/sh"},
                     [{args, ["-c", Command, "sh" | Args]}, {cd, Dir}, exit_status,
                      stderr_to_stdout, binary, {env, maps:to_list(maps:from_list(Own ++ Env))}]),
    {Status, Output} = wait(Port, []),
    ct:log("~ts ~tp~n~ts", [Command, Args, Output]),
    {Status, unicode:characters_to_list(Output)}.

wait(Port, Output) ->
    receive
        {Port, {data, Bytes}} -> wait(Port, [Output, Bytes]);
        {Port, {exit_status, Status}} -> {Status, iolist_to_binary(Output)}
    end.
