%% @doc A chroot sandbox, the Unix way.
%%
%% A process is forked. While it is still in its event loop, it gives up the right
%% to create files, to open descriptors and to fork, changes its root directory
%% and becomes a user that nobody is. Only then does it become the program. It is told
%% all of that at once, by `alcove:spawn/3': if one of the calls fails, nothing is left.
%%
%% ```
%% 1> {ok, Drv} = chrootex:start().
%% {ok,<0.95.0>}
%% 2> Cat = chrootex:sandbox(Drv).
%% 31831
%% 3> alcove:stdin(Drv, [Cat], "test test\n").
%% true
%% 4> alcove:stdout(Drv, [Cat]).
%% <<"test test\n">>
%% 5> Sh = chrootex:sandbox(Drv, ["/bin/busybox", "sh"]).
%% 31861
%% 6> alcove:stdin(Drv, [Sh], "> foo\n").
%% true
%% 7> alcove:stderr(Drv, [Sh]).
%% <<"sh: can't create foo: Too many open files\n">>
%% '''
%%
%% chroot(2) and the change of user take root's rights: `start/0' asks sudo for
%% them, and a VM that runs as root says `chrootex:start([])'.
%%
%% The new root is the directory of the program, so the program has to be static.
-module(chrootex).

-export([start/0, start/1, sandbox/1, sandbox/2]).
-export([argv/1, chroot/1, drop_privs/1, exec/1, id/0]).

-include_lib("alcove/include/alcove.hrl").

%% @doc Starts alcove through sudo.
-spec start() -> {ok, alcove:drv()} | {error, term()}.
start() ->
    start([{exec, "sudo -n"}]).

%% @doc Starts alcove with options of `alcove_drv:start/1'. The port traps SIGCHLD:
%% `alcove:event(Drv)' is `{signal, sigchld}' when a sandbox has ended.
-spec start([alcove_drv:option()]) -> {ok, alcove:drv()} | {error, term()}.
start(Options) ->
    case alcove_drv:start(Options) of
        {ok, Drv} ->
            ok = alcove:sigaction(Drv, sigchld, trap),
            {ok, Drv};
        {error, _} = Error ->
            Error
    end.

%% @doc Runs `cat' in a sandbox.
-spec sandbox(alcove:drv()) -> alcove:os_pid().
sandbox(Drv) ->
    sandbox(Drv, ["/bin/busybox", "cat"]).

%% @doc Runs a static program in a sandbox: its path and its arguments. Gives back
%% the process id of the program, which is a child of the port.
-spec sandbox(alcove:drv(), [string()]) -> alcove:os_pid().
sandbox(Drv, Argv) ->
    {Root, Arg0, Args} = argv(Argv),
    Calls = setlimits() ++ chroot(Root) ++ drop_privs(id()) ++ exec([Arg0 | Args]),
    {ok, Child} = alcove:spawn(Drv, fork, Calls),
    Child.

%% The limits bind the event loop as well. It goes on: it needs no descriptor but
%% the ones it has.
setlimits() ->
    Limits = [
        % No file can grow, so none can be written.
        {rlimit_fsize, 0},
        % No descriptor can be opened.
        {rlimit_nofile, 0},
        % One process of this user, which is the sandbox itself.
        {rlimit_nproc, 1}
    ],
    [{setrlimit, [Name, #alcove_rlimit{cur = N, max = N}]} || {Name, N} <- Limits].

%% @doc The root directory that a program gets, and its path and arguments there.
-spec argv([string()]) -> {string(), string(), [string()]}.
argv([Program | Args]) ->
    {filename:dirname(Program), filename:join("/", filename:basename(Program)), Args}.

%% @doc The calls that change the root directory. The working directory must follow, or
%% it would be a way out.
-spec chroot(string()) -> alcove:calls().
chroot(Path) ->
    [{chroot, [Path]}, {chdir, ["/"]}].

%% @doc The calls that make another user of a process, in no other groups. The groups go
%% first: afterwards the right to change them is gone.
-spec drop_privs(alcove:id()) -> alcove:calls().
drop_privs(Id) ->
    [{setgroups, [[]]}, {setgid, [Id]}, {setuid, [Id]}].

%% @doc The call by which a process becomes a program.
-spec exec([string()]) -> alcove:calls().
exec([Arg0 | _] = Argv) ->
    [{execvp, [Arg0, Argv]}].

%% @doc A user and group id that hardly any system gives to somebody.
-spec id() -> 16#f0000000..16#f000ffff.
id() ->
    16#f0000000 + rand:uniform(16#10000) - 1.
