%% @private
%% @doc Whole files, as the process at a fork path sees them.
-module(alcove_proc_file).

-export([read/2, write/3, words/2]).

-type process() :: {alcove:drv(), alcove:fork_path()}.

-define(CHUNK, 65536).

%% @doc What is in a file. It is read to its end: files of proc(5) have no size.
-spec read(process(), iodata()) -> {ok, binary()} | {error, alcove:posix()}.
read({Drv, Pids}, Path) ->
    case alcove:open(Drv, Pids, Path, [o_rdonly, o_cloexec], 0) of
        {ok, Fd} ->
            Text = read(Drv, Pids, Fd, []),
            _ = alcove:close(Drv, Pids, Fd),
            Text;
        {error, Reason} ->
            {error, Reason}
    end.

read(Drv, Pids, Fd, Read) ->
    case alcove:read(Drv, Pids, Fd, ?CHUNK) of
        {ok, <<>>} -> {ok, iolist_to_binary(lists:reverse(Read))};
        {ok, Bytes} -> read(Drv, Pids, Fd, [Bytes | Read]);
        {error, Reason} -> {error, Reason}
    end.

%% @doc Writes to a file that there is, in one go: what files of proc(5) and the like want.
-spec write(process(), iodata(), iodata()) -> ok | {error, alcove:posix()}.
write({Drv, Pids}, Path, Data) ->
    Size = iolist_size(Data),
    case alcove:open(Drv, Pids, Path, [o_wronly, o_cloexec], 0) of
        {ok, Fd} ->
            Written = alcove:write(Drv, Pids, Fd, Data),
            _ = alcove:close(Drv, Pids, Fd),
            case Written of
                {ok, Size} -> ok;
                {ok, _} -> {error, eio};
                {error, Reason} -> {error, Reason}
            end;
        {error, Reason} ->
            {error, Reason}
    end.



%% @doc What a file has between its blanks; nothing, where there is none.
-spec words(process(), iodata()) -> [binary()].
words(Process, Path) ->
    case read(Process, Path) of
        {ok, Text} -> binary:split(Text, [<<" ">>, <<"\n">>, <<"\t">>], [global, trim_all]);
        {error, _} -> []
    end.
