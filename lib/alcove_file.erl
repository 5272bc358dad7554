%% @private
%% @doc Whole files, as the process at a fork path sees them.
%%
%% The privileges, the root directory and the mounts of that process count, not those of the
%% virtual machine.
-module(alcove_file).

-export([with/4, read/2, read_regular/5, write/3, is_dir/2, is_file/2]).

-export_type([process/0]).

-type process() :: {alcove:drv(), alcove:fork_path()}.

-define(CHUNK, 65536).

%% @doc The contents of a file, at once or, if that is too much for one call, in pieces.
-spec read(process(), iodata()) -> {ok, binary()} | {error, alcove:posix()}.
read({Drv, Pids} = Process, Path) ->
    case alcove:read_file(Drv, Pids, Path) of
        {error, efbig} ->
            Call = caller(Process, infinity),
            ?MODULE:with(Process, Path, [o_rdonly], fun(Fd) -> upto(Call, Fd, infinity, []) end);
        Read ->
            Read
    end.

%% @doc The contents of an untrusted file. Only a regular file of at most so many bytes is read, and
%% no step waits beyond the deadline.
-spec read_regular(process(), iodata(), [atom()], pos_integer(), alcove_deadline:deadline()) ->
    {ok, binary()} | {error, alcove:posix() | not_regular | too_large | timeout}.
read_regular(Process, Path, Flags, Max, Deadline) ->
    Call = caller(Process, Deadline),
    try Call(open, [Path, [o_rdonly, o_cloexec, o_nonblock | Flags], 0]) of
        {ok, Fd} ->
            Text = regular(Call, Fd, Max),
            _ = Call(close, [Fd]),
            Text;
        {error, Reason} ->
            {error, Reason}
    catch
        exit:timeout -> {error, timeout}
    end.

caller({Drv, Pids}, Deadline) ->
    fun(Name, Args) -> alcove:call(Drv, Pids, Name, Args, alcove_deadline:left(Deadline)) end.

regular(Call, Fd, Max) ->
    case Call(fstat, [Fd]) of
        {ok, #{type := regular, size := Size}} when Size =< Max -> upto(Call, Fd, Max, []);
        {ok, #{type := regular}} -> {error, too_large};
        {ok, _} -> {error, not_regular};
        {error, Reason} -> {error, Reason}
    end.

upto(_Call, _Fd, Left, _Read) when Left < 0 ->
    {error, too_large};
upto(Call, Fd, Left, Read) ->
    case Call(read, [Fd, ?CHUNK]) of
        {ok, <<>>} -> {ok, iolist_to_binary(lists:reverse(Read))};
        {ok, Bytes} -> upto(Call, Fd, less(Left, byte_size(Bytes)), [Bytes | Read]);
        {error, Reason} -> {error, Reason}
    end.

less(infinity, _Size) -> infinity;
less(Left, Size) -> Left - Size.

%% @doc Writes to an existing file, which is one command for files of proc(5) and cgroups(7).
-spec write(process(), iodata(), iodata()) -> ok | {error, alcove:posix()}.
write({Drv, Pids}, Path, Data) ->
    alcove:write_file(Drv, Pids, Path, [], 0, Data).

%% @doc Whether there is a directory.
-spec is_dir(process(), iodata()) -> boolean().
is_dir({Drv, Pids}, Path) ->
    case alcove:stat(Drv, Pids, Path) of
        {ok, #{type := directory}} -> true;
        _ -> false
    end.

%% @doc Whether there is a file that the process may read, and that is no directory.
-spec is_file(process(), iodata()) -> boolean().
is_file(Process, Path) ->
    %% Opening a named pipe would wait for a writer.
    ?MODULE:with(Process, Path, [o_rdonly, o_nonblock], fun(_) -> true end) =:= true andalso
        not is_dir(Process, Path).

%% @doc Calls a fun with an open file, and closes the file after that.
%%
%% The functions of this module call it with the module name, as other modules do. Then Dialyzer
%% takes the result from the spec, and not from all funs together.
-spec with(process(), iodata(), [atom()], fun((alcove:fd()) -> Result)) ->
    Result | {error, alcove:posix()}.
with({Drv, Pids}, Path, Flags, Fun) ->
    case alcove:open(Drv, Pids, Path, [o_cloexec | Flags], 0) of
        {ok, Fd} ->
            try
                Fun(Fd)
            after
                alcove:close(Drv, Pids, Fd)
            end;
        {error, Reason} ->
            {error, Reason}
    end.
