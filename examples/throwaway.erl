%% @doc Builds somebody's sources in a root directory that is thrown away.
%%
%% ```
%% {ok, Drv} = alcove_drv:start(),
%% {ok, Program, Log} = throwaway:build(Drv, "/srv/sources", "make", "bin/program")
%% '''
%%
%% The build sees its sources, read-only, and copies them to a directory that is gone when it
%% ends; one file of it comes back. It has no network: what it needs has to be there. Where Drv
%% is root, the build is a user that owns nothing, and everybody must be able to read the
%% sources.
-module(throwaway).

-export([build/4]).

-define(MIB, (1 bsl 20)).

%% @doc The file that the command, a line for the shell, makes of the sources; and what it said.
-spec build(alcove:drv(), file:name(), string(), string()) ->
    {ok, binary(), Log :: binary()} | {error, {failed, term(), Log :: binary()} | term()}.
build(Drv, Sources, Command, Made) ->
    Spec = #{
        mounts => [
            system, proc, dev, {tmpfs, "/tmp", 64 * ?MIB}, {ro, Sources, "/sources"},
            {tmpfs, "/build", 256 * ?MIB}
        ],
        cwd => "/build",
        home => "/build",
        env => #{"COMMAND" => Command, "MADE" => Made},
        limits => #{
            memory => 1024 * ?MIB,
            pids => 200,
            cpu_time => 600,
            wall_time => 900000,
            file_size => 256 * ?MIB,
            output => 64 * ?MIB
        }
    },
    Script = "cp -R /sources/. . && sh -c \"$COMMAND\" >&2 && cat \"$MADE\"",
    case alcove_sandbox:run(Drv, ["sh", "-c", Script], Spec) of
        {ok, #{limit := Limit}} -> {error, {limit, Limit}};
        {ok, #{status := 0, stdout := Bytes, stderr := Log}} -> {ok, Bytes, Log};
        {ok, #{status := Status, stderr := Log}} -> {error, {failed, Status, Log}};
        {error, {_Why, #{limit := Limit}}} -> {error, {limit, Limit}};
        {error, Reason} -> {error, Reason}
    end.
