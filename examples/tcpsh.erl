%% @doc A shell in a container of its own for each TCP connection.
%%
%% ```
%% 1> {ok, Server} = tcpsh:start().
%% {ok,<0.95.0>}
%% 2> tcpsh:port(Server).
%% 40321
%% '''
%%
%% ```
%% $ nc 127.0.0.1 40321
%% echo $$
%% 1
%% exit
%% '''
%%
%% A process serves each connection. It is the owner of what alcove starts for it, so
%% the shell's output comes to that process only, and when it ends, for whatever
%% reason, all of that ends too:
%%
%% <ul>
%% <li>the shell ends: its output is sent, and the connection closed;</li>
%% <li>the peer closes, or has no more to send: the shell reads the end of its input,
%%     and ends, at the latest when it has been silent for a second;</li>
%% <li>the peer doesn't read: the shell waits, and nothing piles up in between.</li>
%% </ul>
%%
%% The containers are those of {@link nsex}, so it takes root's rights (`start/0' asks
%% sudo for them), or of {@link nsex_rootless}. The server listens on 127.0.0.1, without a
%% password: every user of the machine may connect.
-module(tcpsh).

-behaviour(gen_server).

-export([start/0, start/1, stop/1, port/1]).
-export([init/1, handle_continue/2, handle_call/3, handle_cast/2, handle_info/2, terminate/2]).

-export_type([options/0]).

-type options() :: #{
    port => inet:port_number(),
    sandbox => nsex | nsex_rootless,
    argv => [string()],
    alcove => [alcove_drv:option()],
    connections => pos_integer()
}.
%% The port to listen on (0, the default: any); which container; the static program that
%% runs in it; options of `alcove_drv:start/1'; how many connections there may be.

%% How long a shell whose input has ended may be silent, in milliseconds.
-define(GRACE, 1000).

-record(server, {
    options :: options(),
    listen :: gen_tcp:socket(),
    drv :: alcove:drv() | undefined,
    % The process that waits for the next connection.
    acceptor :: pid() | undefined,
    % The processes that have one, and the event loops that their shells are children of.
    connections = #{} :: #{pid() => alcove:os_pid()}
}).

%% @equiv start(#{})
-spec start() -> gen_server:start_ret().
start() ->
    start(#{}).

%% @doc Starts a server.
-spec start(options()) -> gen_server:start_ret().
start(Options) ->
    Defaults = #{
        port => 0,
        sandbox => nsex,
        argv => ["/bin/busybox", "sh"],
        alcove => [{exec, "sudo -n"}],
        connections => 16
    },
    gen_server:start(?MODULE, maps:merge(Defaults, Options), []).

%% @doc Ends all connections and their shells.
-spec stop(pid()) -> ok.
stop(Server) ->
    gen_server:stop(Server).

%% @doc The port that the server listens on.
-spec port(pid()) -> inet:port_number().
port(Server) ->
    gen_server:call(Server, port).

%%--------------------------------------------------------------------
%% The server
%%--------------------------------------------------------------------

%% @private
-spec init(options()) -> {ok, #server{}, {continue, accept}} | {stop, term()}.
init(#{port := Port, sandbox := Sandbox, alcove := Alcove} = Options) ->
    process_flag(trap_exit, true),
    Listen = [
        binary,
        {ip, {127, 0, 0, 1}},
        {reuseaddr, true},
        {active, false},
        % A peer that has no more to send may still want to read.
        {exit_on_close, false}
    ],
    case gen_tcp:listen(Port, Listen) of
        {ok, Socket} ->
            Drv = Sandbox:start([{exit_status, true}, {termsig, true} | Alcove]),
            _ = monitor(process, Drv),
            {ok, #server{options = Options, listen = Socket, drv = Drv}, {continue, accept}};
        {error, Reason} ->
            {stop, Reason}
    end.

%% @private
-spec handle_continue(accept, #server{}) -> {noreply, #server{}}.
handle_continue(accept, Server) ->
    {noreply, accept(Server)}.

%% @private
-spec handle_call(port | accepted, gen_server:from(), #server{}) ->
    {reply, term(), #server{}} | {reply, term(), #server{}, {continue, accept}}.
handle_call(port, _From, #server{listen = Listen} = Server) ->
    {ok, Port} = inet:port(Listen),
    {reply, Port, Server};
handle_call(accepted, {Pid, _}, #server{drv = Drv, acceptor = Pid} = Server) ->
    case alcove:fork(Drv) of
        {ok, Base} ->
            % Before there is a shell: nothing that it writes may come here.
            ok = alcove_drv:controlling_process(Drv, [Base], Pid),
            Connections = maps:put(Pid, Base, Server#server.connections),
            Next = Server#server{acceptor = undefined, connections = Connections},
            {reply, {ok, Drv, [Base]}, Next, {continue, accept}};
        {error, _} = Error ->
            {reply, Error, Server}
    end.

%% @private
-spec handle_cast(term(), #server{}) -> {noreply, #server{}}.
handle_cast(_Message, Server) ->
    {noreply, Server}.

%% @private
-spec handle_info(term(), #server{}) ->
    {noreply, #server{}} | {noreply, #server{}, {continue, accept}} | {stop, term(), #server{}}.
handle_info({'EXIT', Pid, normal}, #server{acceptor = Pid} = Server) ->
    {noreply, Server#server{acceptor = undefined}, {continue, accept}};
handle_info({'EXIT', Pid, Reason}, #server{acceptor = Pid} = Server) ->
    {stop, {accept, Reason}, Server#server{acceptor = undefined}};
handle_info({'EXIT', Pid, _Reason}, #server{connections = Connections} = Server) ->
    case maps:take(Pid, Connections) of
        {Base, Left} ->
            close(Server, Base),
            {noreply, Server#server{connections = Left}, {continue, accept}};
        error ->
            {noreply, Server}
    end;
handle_info({'DOWN', _, process, Drv, Reason}, #server{drv = Drv} = Server) ->
    {stop, {alcove, Reason}, Server#server{drv = undefined}};
handle_info(_Message, Server) ->
    % The last words of a shell whose connection is gone.
    {noreply, Server}.

%% The event loop above a shell ends, and with it the shell, which is process 1 of its
%% namespace: the kernel ends what else there is.
close(#server{drv = Drv}, Base) ->
    try
        ok = alcove:exit(Drv, [Base], 0)
    catch
        error:badpid -> ok
    end.

%% @private
-spec terminate(term(), #server{}) -> ok.
terminate(_Reason, #server{options = #{sandbox := Sandbox}, drv = Drv} = Server) ->
    Acceptor = [Pid || Pid <- [Server#server.acceptor], is_pid(Pid)],
    [exit(Pid, shutdown) || Pid <- Acceptor ++ maps:keys(Server#server.connections)],
    Drv =:= undefined orelse Sandbox:stop(Drv),
    ok.

%% Waits for one connection at a time, if there may be one more.
accept(#server{acceptor = undefined, connections = Connections} = Server) when
    map_size(Connections) < map_get(connections, Server#server.options)
->
    #server{options = Options, listen = Listen} = Server,
    Self = self(),
    Pid = proc_lib:spawn_link(fun() -> connection(Self, Listen, Options) end),
    Server#server{acceptor = Pid};
accept(Server) ->
    Server.

%%--------------------------------------------------------------------
%% A connection
%%--------------------------------------------------------------------

connection(Server, Listen, #{sandbox := Sandbox, argv := Argv}) ->
    {ok, Socket} = gen_tcp:accept(Listen),
    case gen_server:call(Server, accepted, infinity) of
        {ok, Drv, Base} ->
            Sh = Sandbox:sandbox(Drv, Base, Argv),
            serve(Socket, Drv, Base ++ [Sh]);
        {error, Reason} ->
            _ = gen_tcp:send(Socket, [atom_to_list(Reason), $\n]),
            ok
    end,
    gen_tcp:close(Socket).

%% Both directions wait for the slower side, so each has a process. This one would not
%% read the shell's output as long as the shell doesn't take its input.
serve(Socket, Drv, Path) ->
    Self = self(),
    Reader = spawn_link(fun() ->
        read(Socket, Drv, Path),
        Self ! {self(), eof}
    end),
    write(Socket, Drv, Path, Reader, infinity).

read(Socket, Drv, Path) ->
    case gen_tcp:recv(Socket, 0) of
        {ok, Bytes} ->
            case stdin(Drv, Path, Bytes) of
                true -> read(Socket, Drv, Path);
                gone -> ok
            end;
        {error, _} ->
            _ = stdin(Drv, Path, eof),
            ok
    end.

stdin(Drv, Path, Input) ->
    try
        send(Drv, Path, Input)
    catch
        error:badpid -> gone
    end.

send(Drv, Path, eof) ->
    alcove:eof(Drv, Path);
send(Drv, Path, Bytes) ->
    case alcove:stdin(Drv, Path, Bytes) of
        true -> true;
        % The shell has closed its input.
        {error, epipe} -> true
    end.

write(Socket, Drv, Path, Reader, Patience) ->
    receive
        {Stream, Drv, Path, Bytes} when Stream =:= alcove_stdout; Stream =:= alcove_stderr ->
            case gen_tcp:send(Socket, Bytes) of
                ok -> write(Socket, Drv, Path, Reader, Patience);
                {error, _} -> ok
            end;
        {alcove_event, Drv, Path, {Kind, _}} when Kind =:= exit_status; Kind =:= termsig ->
            ok;
        {Reader, eof} ->
            write(Socket, Drv, Path, Reader, ?GRACE)
    after Patience -> ok
    end.
