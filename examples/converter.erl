%% @doc Converts a file that a stranger has sent, with a program that may have holes.
%%
%% ```
%% {ok, Drv} = alcove_drv:start(),
%% ok = converter:gzip(Drv, "/uploads/1", "/uploads/1.gz")
%% '''
%%
%% One file in, one file out: the program gets both as its standard streams, opened before it is
%% confined, and sees neither where they are nor anything else of the host's files. What it
%% writes is limited, and removed when it fails. To convert something else is another command,
%% as `["convert", "png:-", "jpg:-"]'.
-module(converter).

-export([gzip/3, convert/4]).

-define(MIB, (1 bsl 20)).

%% @doc Compresses a file. The new one must not be there yet.
-spec gzip(alcove:drv(), file:name(), file:name()) -> ok | {error, term()}.
gzip(Drv, From, To) ->
    convert(Drv, ["gzip", "-c"], From, To).

%% @doc Runs a command that reads one file and writes another.
-spec convert(alcove:drv(), alcove_proc:argv(), file:name(), file:name()) ->
    ok | {error, eexist | {failed, term(), binary()} | term()}.
convert(Drv, Command, From, To) ->
    case alcove:open(Drv, To, [o_wronly, o_creat, o_excl, o_cloexec], 8#600) of
        {ok, Fd} ->
            ok = alcove:close(Drv, Fd),
            Converted = converted(alcove_sandbox:run(Drv, Command, spec(From, To))),
            Converted =:= ok orelse alcove:unlink(Drv, To),
            Converted;
        {error, Reason} ->
            {error, Reason}
    end.

spec(From, To) ->
    #{
        mounts => [system, dev, {tmpfs, "/tmp", 64 * ?MIB}],
        stdin => {file, From},
        stdout => {file, To},
        limits => #{
            memory => 256 * ?MIB,
            pids => 4,
            cpu_time => 20,
            wall_time => 60000,
            file_size => 64 * ?MIB,
            output => 4096
        }
    }.

converted({ok, #{limit := Limit}}) -> {error, {limit, Limit}};
converted({ok, #{status := 0}}) -> ok;
converted({ok, #{status := Status, stderr := Text}}) -> {error, {failed, Status, Text}};
converted({error, {_Why, #{limit := Limit}}}) -> {error, {limit, Limit}};
converted({error, Reason}) -> {error, Reason}.
