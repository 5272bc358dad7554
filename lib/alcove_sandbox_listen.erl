%% @private
%% @doc Sockets that listen for a sandbox, in a network that the program itself isn't in.
%%
%% The process that becomes the program makes them, before anything else, in Drv's network namespace
%% and with Drv's rights. Then it leaves for a network namespace of its own. So no other process
%% ever has them, and if anything fails later, they are gone with the process.
%%
%% A TCP socket stays in the host's network. A program that has it, or a connection of it, could
%% stop listening and connect with it, by connect(2) or by sending to an address, or bind it to
%% another port. A filter of system calls refuses that. The filter makes listen(2) succeed without
%% effect, since servers call it for sockets that listen already.
-module(alcove_sandbox_listen).

-export([
    parse/1, calls/2, env/1, confined/1, present/2, failed/3, watched/2, released/2, release/1,
    remove/2
]).
%% For spawn.
-export([watch/3]).

-export_type([listener/0]).

-type address() ::
    {tcp, inet:ip_address(), 1..65535} | {unix, Path :: binary()}.
-type listener() :: {address(), #{name := binary(), backlog := pos_integer()}}.

%% The program is the first process after the init of its pid namespace, so its pid is known.
-define(PID, <<"2">>).
-define(BACKLOG, 128).
%% The longest path of a socket, unix(7).
-define(PATH, 107).
%% How many there can be.
-define(MOST, 16).
-define(MSG_FASTOPEN, 16#20000000).

%% @doc What a spec has as `listen'.
-spec parse(term()) -> {ok, [listener()]} | {error, term()}.
parse(Given) when is_list(Given), length(Given) =< ?MOST ->
    try
        Listeners = [listener(One) || One <- Given],
        Addresses = [Address || {Address, _} <- Listeners],
        case Addresses -- lists:usort(Addresses) of
            [] -> {ok, Listeners};
            [Twice | _] -> {error, Twice}
        end
    catch
        throw:{listen, Part} -> {error, Part}
    end;
parse(Given) ->
    {error, Given}.

listener({tcp, Address, Port}) -> listener({tcp, Address, Port, #{}});
listener({unix, Path}) -> listener({unix, Path, #{}});
listener({tcp, Address, Port, Options} = Given) ->
    is_integer(Port) andalso Port > 0 andalso Port =< 65535 orelse throw({listen, Given}),
    {{tcp, address(Address, Given), Port}, options(Options, Given)};
listener({unix, Path, Options} = Given) ->
    case alcove_text:bytes(Path) of
        <<"/", _/binary>> = Bytes when byte_size(Bytes) =< ?PATH ->
            {{unix, Bytes}, options(Options, Given)};
        _ ->
            throw({listen, Given})
    end;
listener(Given) ->
    throw({listen, Given}).

address(Address, Given) when is_tuple(Address) ->
    inet:is_ip_address(Address) orelse throw({listen, Given}),
    Address;
address(Address, Given) ->
    case alcove_text:bytes(Address) of
        error ->
            throw({listen, Given});
        Bytes ->
            case inet:parse_strict_address(binary_to_list(Bytes)) of
                {ok, Parsed} -> Parsed;
                {error, _} -> throw({listen, Given})
            end
    end.

options(Options, Given) when is_map(Options) ->
    Default = #{name => <<"unknown">>, backlog => ?BACKLOG},
    Merged = maps:merge(Default, Options),
    #{name := Name, backlog := Backlog} = Merged,
    map_size(Merged) =:= map_size(Default) andalso is_integer(Backlog) andalso Backlog > 0 andalso
        Backlog =< 65535 orelse throw({listen, Given}),
    %% See sd_listen_fds_with_names(3).
    Bytes =
        case alcove_text:bytes(Name) of
            error -> <<>>;
            Text -> Text
        end,
    re:run(Bytes, "^[ -9;-~]{1,255}$", [{capture, none}, dollar_endonly]) =:= match orelse
        throw({listen, Given}),
    Merged#{name := Bytes};
options(_Options, Given) ->
    throw({listen, Given}).

%% @doc The calls that make the sockets, with numbers from this one on, and leave the network unless
%% the program is to have it.
-spec calls(alcove_sandbox_spec:spec(), pos_integer()) -> alcove:calls().
calls(#{listen := []}, _First) ->
    [];
calls(#{listen := Listeners, network := Network}, First) ->
    Fds = lists:seq(First, First + length(Listeners) - 1),
    lists:append([one(Listener, Fd) || {Listener, Fd} <- lists:zip(Listeners, Fds)]) ++
        [{unshare, [[clone_newnet]]} || Network =:= none].

one({Address, #{backlog := Backlog}}, Fd) ->
    bound(Address, Fd) ++ [{listen, [Fd, Backlog]}].

bound({tcp, Address, Port}, Fd) when tuple_size(Address) =:= 4 ->
    [{socket, [af_inet, [sock_stream], 0]}, reused(Fd), {bind, [Fd, {inet, {Address, Port}}]}];
bound({tcp, Address, Port}, Fd) ->
    [
        {socket, [af_inet6, [sock_stream], 0]},
        reused(Fd),
        {setsockopt, [Fd, ipproto_ipv6, ipv6_v6only, <<1:32/native>>]},
        {bind, [Fd, {inet6, {Address, Port}}]}
    ];
bound({unix, Path}, Fd) ->
    [{socket, [af_unix, [sock_stream], 0]}, {bind, [Fd, {local, Path}]}].

%% Remains of former connections must not block the port.
reused(Fd) -> {setsockopt, [Fd, sol_socket, so_reuseaddr, <<1:32/native>>]}.

%% @doc The variables that tell the program about its sockets, see sd_listen_fds(3).
-spec env([listener()]) -> [{binary(), binary()}].
env([]) ->
    [];
env(Listeners) ->
    Names = [Name || {_, #{name := Name}} <- Listeners],
    [
        {<<"LISTEN_PID">>, ?PID},
        {<<"LISTEN_FDS">>, integer_to_binary(length(Listeners))},
        {<<"LISTEN_FDNAMES">>, iolist_to_binary(lists:join(<<":">>, Names))}
    ].

%% @doc The filter that keeps a program from connecting with a socket of a network that it isn't in.
-spec confined(alcove_sandbox_spec:spec()) -> alcove:calls().
confined(#{listen := [_ | _], network := none}) ->
    Opens = fun(Argument) -> [{Argument, {masked_eq, ?MSG_FASTOPEN}, ?MSG_FASTOPEN, 64}] end,
    {ok, Program} = alcove_seccomp:compile(#{
        default => allow,
        rules => [
            {[connect, bind, io_uring_setup], {errno, eacces}},
            {listen, {errno, 0}},
            {[sendto, sendmmsg], Opens(3), {errno, eacces}},
            {sendmsg, Opens(2), {errno, eacces}}
        ]
    }),
    alcove_seccomp:calls(Program);
confined(_Spec) ->
    [].

%%--------------------------------------------------------------------
%% Errors
%%--------------------------------------------------------------------

%% @doc Refuses a path that exists already. This is checked first, since an existing file must never
%% be taken for the sandbox's own, and removed later.
-spec present(pid(), [listener()]) -> ok | {error, {listen, {address(), eaddrinuse}}}.
present(Drv, Listeners) ->
    case [Path || {{unix, Path}, _} <- Listeners, {ok, _} <- [alcove:lstat(Drv, [], Path)]] of
        [] -> ok;
        [Path | _] -> {error, {listen, {{unix, Path}, eaddrinuse}}}
    end.

%% @doc Finds the socket that failed. Each is tried by itself, by starting a program that can't be
%% executed.
-spec failed(pid(), [listener()], {atom(), term()}) ->
    {listen, {address(), term()}} | {atom(), term()}.
failed(Drv, Listeners, {Call, Reason} = Error) when
    Call =:= bind; Call =:= listen; Call =:= socket; Call =:= setsockopt
->
    Failed = fun({Address, _} = Listener) ->
            Remove = [{unlink, [Path]} || {unix, Path} <- [Address]],
            Calls = one(Listener, alcove_sandbox_parts:first()) ++ Remove,
            Setup = alcove_sandbox_attempt:cleared(Drv) ++ Calls,
            case alcove_sandbox_attempt:try_out(Drv, #{setup => Setup}) of
                {error, Error} -> {true, Address};
                _ -> false
            end
    end,
    case lists:filtermap(Failed, Listeners) of
        [Address | _] -> {listen, {Address, Reason}};
        [] -> Error
    end;
failed(_Drv, _Listeners, Error) ->
    Error.

%%--------------------------------------------------------------------
%% Paths
%%--------------------------------------------------------------------

-type watcher() :: pid() | none.

%% @doc Starts a process that removes the paths of sockets when the caller tells it to or has ended.
%% It runs on Drv's node, since the program ends with its owner, and the paths must go then, even if
%% the caller's node is gone.
-spec watched(pid(), [listener()]) -> watcher().
watched(Drv, Listeners) ->
    case [Listener || {{unix, _}, _} = Listener <- Listeners] of
        [] -> none;
        Unix -> spawn(node(Drv), ?MODULE, watch, [self(), Drv, Unix])
    end.

%% @doc From now on the remover waits for the end of another process: that of the program.
-spec released(watcher(), pid()) -> ok.
released(none, _Pid) ->
    ok;
released(Watcher, Pid) ->
    Watcher ! {other, self(), Pid},
    ok.

%% @doc Removes the paths.
-spec release(watcher()) -> ok.
release(none) ->
    ok;
release(Watcher) ->
    Ref = monitor(process, Watcher),
    Watcher ! {remove, self()},
    receive
        {'DOWN', Ref, process, Watcher, _} -> ok
    end.

%% @private
-spec watch(pid(), pid(), [listener()]) -> ok.
watch(Pid, Drv, Listeners) ->
    Ref = monitor(process, Pid),
    receive
        {remove, Pid} ->
            remove(Drv, Listeners);
        {other, Pid, Other} ->
            demonitor(Ref, [flush]),
            watch(Other, Drv, Listeners);
        {'DOWN', Ref, process, Pid, _} ->
            remove(Drv, Listeners)
    end.

%% @doc Removes the paths of sockets on which no process listens any more.
-spec remove(pid(), [listener()]) -> ok.
remove(Drv, Listeners) ->
    try
        _ = [
            alcove:unlink(Drv, [], Path)
         || {{unix, Path}, _} <- Listeners, is_left(Drv, Path)
        ],
        ok
    catch
        error:badpid -> ok
    end.

%% Only a socket on which no process listens any more is removed, and nothing that was put there
%% since.
is_left(Drv, Path) ->
    case alcove:lstat(Drv, [], Path) of
        {ok, #{type := socket}} ->
            Flags = [sock_stream, sock_cloexec, sock_nonblock],
            case alcove:socket(Drv, [], af_unix, Flags, 0) of
                {ok, Fd} ->
                    Connected = alcove:connect(Drv, [], Fd, {local, Path}),
                    _ = alcove:close(Drv, [], Fd),
                    Connected =:= {error, econnrefused};
                {error, _} ->
                    false
            end;
        _ ->
            false
    end.
