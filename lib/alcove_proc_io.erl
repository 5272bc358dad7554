%% @private
%% @doc Processes that wait, so that the one that runs a program doesn't: for a program that
%% is slow to read, and for what is written to a terminal.
-module(alcove_proc_io).

-export([writer/2, write/3, eof/2, reader/3, credit/2]).

%% What a terminal has at once is less.
-define(CHUNK, 65536).
%% Control-D, to a terminal that hasn't changed it.
-define(VEOF, <<4>>).

-type target() :: {stdin, alcove:fork_path()} | {tty, alcove:fork_path(), alcove:fd()}.

%% @doc Starts a process that writes in the order in which it is asked to, and answers those
%% who asked.
-spec writer(alcove:drv(), target()) -> pid().
writer(Drv, Target) ->
    spawn_link(fun() -> writing(Drv, Target) end).

%% @doc Has it write.
-spec write(pid(), gen_server:from() | none, iodata()) -> ok.
write(Writer, From, Data) ->
    Writer ! {write, From, Data},
    ok.

%% @doc Has it end the input, after all that is to be written before.
-spec eof(pid(), gen_server:from() | none) -> ok.
eof(Writer, From) ->
    Writer ! {eof, From},
    ok.

writing(Drv, Target) ->
    receive
        {write, From, Data} -> answer(From, attempt(fun() -> put(Drv, Target, Data) end));
        {eof, From} -> answer(From, attempt(fun() -> close(Drv, Target) end))
    end,
    writing(Drv, Target).

answer(none, _Result) -> ok;
answer(From, Result) -> gen_server:reply(From, Result).

attempt(Fun) ->
    try
        Fun()
    catch
        error:badpid -> {error, closed}
    end.

put(Drv, {stdin, Path}, Data) ->
    case alcove:stdin(Drv, Path, Data) of
        true -> ok;
        {error, Reason} -> {error, Reason}
    end;
put(Drv, {tty, Path, Master}, Data) ->
    all(Drv, Path, Master, iolist_to_binary(Data)).

all(_Drv, _Path, _Master, <<>>) ->
    ok;
all(Drv, Path, Master, Data) ->
    Now = binary:part(Data, 0, min(?CHUNK, byte_size(Data))),
    case alcove:write(Drv, Path, Master, Now) of
        {ok, N} -> all(Drv, Path, Master, binary:part(Data, N, byte_size(Data) - N));
        {error, Reason} -> {error, Reason}
    end.

close(Drv, {stdin, Path}) ->
    alcove:eof(Drv, Path);
close(Drv, {tty, Path, Master}) ->
    put(Drv, {tty, Path, Master}, ?VEOF).

%% @doc Starts a process that reads from a terminal, as often as it is allowed to: each time
%% it sends `{alcove_proc_io, Reader, Bytes}' to its caller, and `eof' for the last.
-spec reader(alcove:drv(), target(), pid()) -> pid().
reader(Drv, {tty, Path, Master}, Runner) ->
    spawn_link(fun() -> reading(Drv, Path, Master, Runner, 0) end).

%% @doc How many messages it may send from now on, -1 for any number.
-spec credit(pid(), integer()) -> ok.
credit(Reader, N) ->
    Reader ! {credit, N},
    ok.

reading(Drv, Path, Master, Runner, 0) ->
    receive
        {credit, N} -> reading(Drv, Path, Master, Runner, N)
    end;
reading(Drv, Path, Master, Runner, Credit) ->
    receive
        {credit, N} -> reading(Drv, Path, Master, Runner, N)
    after 0 ->
        case attempt(fun() -> alcove:read(Drv, Path, Master, ?CHUNK) end) of
            {ok, <<_, _/binary>> = Bytes} ->
                Runner ! {alcove_proc_io, self(), Bytes},
                reading(Drv, Path, Master, Runner, less(Credit));
            %% EIO: nobody has the terminal any more.
            _ ->
                Runner ! {alcove_proc_io, self(), eof},
                ok
        end
    end.

less(-1) -> -1;
less(Credit) -> Credit - 1.
