%% @doc What alcove is for, step by step: a program in a chroot sandbox, then in
%% namespaces of its own.
%%
%% Each line is a step: what was expected of it and what came. The first step that
%% gives anything else ends the demo.
%%
%% That takes root's rights. An ordinary user has them by sudo, or in a user namespace
%% (user_namespaces(7)) for each sandbox: there, one id is theirs under another number.
-module(alcove_demo).

-export([main/0, run/3, busybox/0]).

-export_type([way/0]).

-include_lib("alcove/include/alcove.hrl").

-define(PT_INTERP, 3).

-define(COLUMNS, "  ~-6ts ~-37ts ~-43ts ~ts~n").

-record(demo, {
    way :: way(),
    drv :: pid(),
    % An empty directory: the root of the sandboxes.
    root :: file:filename()
}).

-type way() :: root | sudo | user_namespace.
%% Where the right to make a sandbox comes from.

% What a step should give: a term, or a description and a test.
-define(LIKE(Text, Pattern), {like, Text, fun
    (Pattern) -> true;
    (_) -> false
end}).

% The expression runs inside the step, so that what it raises is shown there too.
-define(STEP(What, Expected, Expression), step(What, Expected, fun() -> Expression end)).

%% @doc Runs the demo in the way and the directory that stand after `-extra', and ends the
%% VM: with 0 when every step gave what was expected.
-spec main() -> no_return().
main() ->
    [Way, Root] = init:get_plain_arguments(),
    case busybox() of
        {ok, Busybox} ->
            halt(status(run(list_to_existing_atom(Way), Root, Busybox)));
        {error, Reason} ->
            io:format("~ts~n", [Reason]),
            halt(1)
    end.

status(ok) -> 0;
status(failed) -> 1.

%% @doc Runs the demo: where root's rights come from, an empty directory and the path of a
%% static busybox.
-spec run(way(), file:filename(), file:filename()) -> ok | failed.
run(Way, Root, Busybox) ->
    {ok, _} = file:copy(Busybox, filename:join(Root, "busybox")),
    ok = file:change_mode(filename:join(Root, "busybox"), 8#755),
    ok = file:make_dir(filename:join(Root, "data")),
    try
        demo(Way, Root),
        io:format("~nEvery step gave what was expected.~n")
    catch
        throw:failed ->
            io:format("~nThis step failed: the demo ends here.~n"),
            failed
    end.

demo(Way, Root) ->
    headline("alcove, " ++ describe(Way)),
    io:format(?COLUMNS, ["", "step", "expected", "came"]),
    {ok, Drv} = ?STEP("start alcove", ?LIKE("{ok, Drv}", {ok, _}), start(Way)),
    Port = alcove:getpid(Drv),
    try
        Demo = #demo{way = Way, drv = Drv, root = Root},
        chroot_sandbox(Demo),
        namespaces(Demo)
    after
        alcove_drv:stop(Drv)
    end,
    headline("alcove has stopped"),
    ?STEP("the port is alive", false, alive(Port)).

describe(root) ->
    "as root";
describe(sudo) ->
    "through sudo -n";
describe(user_namespace) ->
    "as an ordinary user without sudo: each sandbox is in a user namespace".

start(sudo) ->
    alcove_drv:start([{exec, "sudo -n"}, {exit_status, true}]);
start(_) ->
    alcove_drv:start([{exit_status, true}]).

%% The sandbox that chroot(2), setrlimit(2) and setuid(2) make.
chroot_sandbox(#demo{drv = Drv} = Demo) ->
    headline("A sandbox: limits, chroot, another user"),
    Id = sandbox_id(),
    Sh = child(Demo, [], Id),
    ?STEP("the new process' id, asked of itself", Sh, alcove:getpid(Drv, [Sh])),
    confine(Demo, Sh, Id),
    shell(Demo, Sh),
    ?STEP("echo hello", "hello", ask(Drv, Sh, "echo hello\n", stdout)),
    holds(Demo, Sh).

%% The same in namespaces of its own.
namespaces(#demo{drv = Drv, root = Root} = Demo) ->
    headline("The same in new namespaces"),
    {ok, Host} = ?STEP("host name", ?LIKE("{ok, Name}", {ok, _}), alcove:gethostname(Drv)),
    Id = sandbox_id(),
    Flags = [clone_newipc, clone_newnet, clone_newns, clone_newpid, clone_newuts],
    Sh = child(Demo, Flags, Id),
    ?STEP("its process id inside", 1, alcove:getpid(Drv, [Sh])),
    ?STEP("set the host name inside", ok, alcove:sethostname(Drv, [Sh], "sandbox")),
    ?STEP("host name inside", {ok, <<"sandbox">>}, alcove:gethostname(Drv, [Sh])),
    ?STEP("host name outside", {ok, Host}, alcove:gethostname(Drv)),
    ?STEP("network devices inside", ["lo"], network(Drv, Sh)),

    Data = filename:join(Root, "data"),
    ?STEP(
        "keep mounts inside",
        ok,
        alcove:mount(Drv, [Sh], "none", "/", "", [rec, private], "")
    ),
    ?STEP(
        "mount a tmpfs inside",
        ok,
        alcove:mount(Drv, [Sh], "tmpfs", Data, "tmpfs", [nosuid, nodev], "size=64k")
    ),
    ?STEP(
        "make a directory in it",
        ok,
        alcove:mkdir(Drv, [Sh], filename:join(Data, "inside"), 8#755)
    ),
    ?STEP("the mount, seen inside", {ok, [<<"inside">>]}, alcove:readdir(Drv, [Sh], Data)),
    ?STEP("the mount, seen outside", {ok, []}, alcove:readdir(Drv, Data)),

    confine(Demo, Sh, Id),
    shell(Demo, Sh),
    ?STEP(
        "echo $$ $HOSTNAME",
        "1 sandbox",
        ask(Drv, Sh, "echo $$ $HOSTNAME\n", stdout)
    ),
    holds(Demo, Sh).

sandbox_id() ->
    16#f0000000 + rand:uniform(16#10000) - 1.

%% A new process: forked, or cloned when there are namespaces to make.
child(#demo{way = user_namespace, drv = Drv}, Flags, Id) ->
    {ok, Child} = clone(Drv, [clone_newuser | Flags]),
    Proc = fun(File) -> ["/proc/", integer_to_list(Child), "/", File] end,
    Map = fun(Outside) -> io_lib:format("~b ~b 1", [Id, Outside]) end,
    Uid = alcove:getuid(Drv),
    Gid = alcove:getgid(Drv),
    ?STEP("deny setgroups(2)", ok, alcove:write_file(Drv, Proc("setgroups"), [], 0, "deny")),
    ?STEP("map the user id", ok, alcove:write_file(Drv, Proc("uid_map"), [], 0, Map(Uid))),
    ?STEP("map the group id", ok, alcove:write_file(Drv, Proc("gid_map"), [], 0, Map(Gid))),
    Child;
child(#demo{drv = Drv}, [], _Id) ->
    {ok, Child} = ?STEP("fork", ?LIKE("{ok, Pid}", {ok, _}), alcove:fork(Drv)),
    Child;
child(#demo{drv = Drv}, Flags, _Id) ->
    {ok, Child} = clone(Drv, Flags),
    Child.

clone(Drv, Flags) ->
    Names = [Name || Flag <- Flags, "clone_new" ++ Name <- [atom_to_list(Flag)]],
    ?STEP(
        "clone: new " ++ lists:append(lists:join(" ", Names)),
        ?LIKE("{ok, Pid}", {ok, _}),
        alcove:clone(Drv, alcove:define(Drv, Flags))
    ).

confine(#demo{way = Way, drv = Drv, root = Root}, Child, Id) ->
    Limit = fun(Name, N) ->
        Resource = alcove:rlimit_define(Drv, Name),
        alcove:setrlimit(Drv, [Child], Resource, #alcove_rlimit{cur = N, max = N})
    end,
    ?STEP("limit: no file grows", ok, Limit(rlimit_fsize, 0)),
    ?STEP("limit: no descriptors", ok, Limit(rlimit_nofile, 0)),
    ?STEP("limit: one process", ok, Limit(rlimit_nproc, 1)),
    ?STEP("chroot", ok, alcove:chroot(Drv, [Child], Root)),
    ?STEP("chdir /", ok, alcove:chdir(Drv, [Child], "/")),
    ?STEP("setgid", ok, alcove:setgid(Drv, [Child], Id)),
    ?STEP("setuid", ok, alcove:setuid(Drv, [Child], Id)),
    ?STEP("its user id", Id, alcove:getuid(Drv, [Child])),
    ?STEP("become root again", {error, no_root(Way)}, alcove:setuid(Drv, [Child], 0)).

%% In the user namespace there is no user 0.
no_root(user_namespace) -> einval;
no_root(_) -> eperm.

shell(#demo{drv = Drv}, Sh) ->
    ?STEP(
        "execve /busybox sh",
        ok,
        alcove:execve(Drv, [Sh], "/busybox", ["/busybox", "sh"], ["PATH=/"])
    ).

holds(#demo{drv = Drv}, Sh) ->
    ?STEP(
        "create a file: > foo",
        "can't create foo: Too many open files",
        complaint(ask(Drv, Sh, "> foo\n", stderr))
    ),
    ?STEP(
        "run a program: /busybox true",
        ?LIKE("\"can't fork...\"", "can't fork" ++ _),
        complaint(ask(Drv, Sh, "/busybox true\n", stderr))
    ),
    ?STEP(
        "the shell gave up: its event",
        {exit_status, 2},
        alcove:event(Drv, [Sh])
    ),
    ?STEP(
        "a call to it now",
        ?LIKE("error:badpid", {raised, error, badpid}),
        alcove:getpid(Drv, [Sh])
    ).

%% What a shell says, without its name and the line that some put before.
complaint(Said) ->
    re:replace(Said, "^sh: (line [0-9]+: )?", "", [{return, list}]).

%% Writes a line to a program's stdin and reads one from its stdout or stderr.
ask(Drv, Sh, Line, Stream) ->
    true = alcove:stdin(Drv, [Sh], Line),
    line(Drv, Sh, Stream, []).

%% A program may write a line in pieces.
line(Drv, Sh, Stream, Read) ->
    case alcove:Stream(Drv, [Sh]) of
        false ->
            Read;
        More ->
            All = Read ++ binary_to_list(More),
            case lists:last(All) of
                $\n -> lists:droplast(All);
                _ -> line(Drv, Sh, Stream, All)
            end
    end.

network(Drv, Sh) ->
    % The first two lines are headings.
    {ok, Text} = alcove:read_file(Drv, [Sh], "/proc/self/net/dev"),
    [_, _ | Devices] = binary:split(Text, <<"\n">>, [global, trim]),
    [string:trim(hd(string:split(binary_to_list(Device), ":"))) || Device <- Devices].

alive(Pid) ->
    filelib:is_dir(filename:join("/proc", integer_to_list(Pid))).

%% @doc A busybox that is static: in the new root there are no libraries.
-spec busybox() -> {ok, file:filename()} | {error, string()}.
busybox() ->
    Paths = ["/bin/busybox", "/usr/bin/busybox"],
    case lists:search(fun(Path) -> is_static(file:read_file(Path)) end, Paths) of
        {value, Path} ->
            {ok, Path};
        false ->
            {error,
                "There is no static busybox in /bin or /usr/bin. "
                "On Debian: apt-get install busybox-static"}
    end.

%% A static executable asks for no interpreter: no program header has that type (elf(5)).
is_static({ok, <<16#7f, "ELF", Class, Data, _:10/binary, Header/binary>> = Elf}) ->
    Word = maps:get(Class, #{1 => 4, 2 => 8}),
    Endian = maps:get(Data, #{1 => little, 2 => big}),
    <<_:8/binary, _Entry:Word/binary, Offset:Word/binary, _Sections:Word/binary, _:6/binary,
        Size:2/binary, Count:2/binary, _/binary>> = Header,
    [At, Length, N] = [binary:decode_unsigned(Field, Endian) || Field <- [Offset, Size, Count]],
    Types = [
        binary:decode_unsigned(binary:part(Elf, At + I * Length, 4), Endian)
     || I <- lists:seq(0, N - 1)
    ],
    not lists:member(?PT_INTERP, Types);
is_static(_) ->
    false.

headline(Text) ->
    io:format("~n~ts~n", [Text]).

%% Runs a step and shows it.
step(What, Expected, Fun) ->
    Came =
        try
            Fun()
        catch
            Class:Reason -> {raised, Class, Reason}
        end,
    {Text, Good} =
        case Expected of
            {like, Description, Test} -> {Description, Test(Came)};
            _ -> {show(Expected), Came =:= Expected}
        end,
    Mark =
        case Good of
            true -> "ok";
            false -> "FAILED"
        end,
    io:format(?COLUMNS, [Mark, What, Text, show(Came)]),
    case Good of
        true -> Came;
        false -> throw(failed)
    end.

show({raised, Class, Reason}) ->
    io_lib:format("~p:~0P", [Class, Reason, 20]);
show(Term) ->
    io_lib:format("~0P", [Term, 20]).
