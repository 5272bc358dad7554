%% @doc Runs snippets of Python that strangers have sent.
%%
%% ```
%% 1> {ok, Drv} = alcove_drv:start().
%% 2> untrusted:python(Drv, "print(6 * 7)").
%% {ok,<<"42\n">>}
%% 3> untrusted:python(Drv, "while True: pass").
%% {limit,cpu_time}
%% 4> untrusted:python(Drv, "1 / 0").
%% {failed,<<"ZeroDivisionError: division by zero">>}
%% '''
%%
%% A snippet sees the programs and libraries of the machine, a directory for temporary files
%% and itself: no network, no files of anybody, no other processes. Each has a sandbox of its
%% own, so that none sees anything of another's.
-module(untrusted).

-export([python/2, python/3]).

-type outcome() ::
    {ok, Output :: binary()}
    %% What Python says last, mostly an exception.
    | {failed, binary()}
    %% The limit that it hit.
    | {limit, atom()}
    | {killed, Signal :: atom()}
    %% There was no sandbox, and the snippet hasn't run.
    | {error, term()}.

-define(MIB, (1 bsl 20)).

%% @equiv python(Drv, Code, [])
-spec python(alcove:drv(), iodata()) -> outcome().
python(Drv, Code) ->
    python(Drv, Code, []).

%% @doc Runs Python code, which may read the input.
-spec python(alcove:drv(), iodata(), iodata()) -> outcome().
python(Drv, Code, Input) ->
    Spec = #{
        mounts => [system, proc, dev, {tmpfs, "/tmp", 16 * ?MIB}, {file, "/snippet.py", Code}],
        cwd => "/tmp",
        stdin => {data, Input},
        limits => #{
            memory => 256 * ?MIB,
            pids => 8,
            cpu_time => 2,
            wall_time => 10000,
            file_size => 16 * ?MIB,
            output => 64 * 1024
        }
    },
    %% -I: nothing of the directory that it runs in, or the environment, counts.
    outcome(alcove_sandbox:run(Drv, ["python3", "-I", "-B", "/snippet.py"], Spec)).

outcome({ok, #{limit := Limit}}) -> {limit, Limit};
outcome({ok, #{status := 0, stdout := Output}}) -> {ok, Output};
outcome({ok, #{status := {termsig, Signal}}}) -> {killed, Signal};
outcome({ok, #{stderr := Text}}) -> {failed, last_line(Text)};
outcome({error, {_Why, #{limit := Limit}}}) -> {limit, Limit};
outcome({error, Reason}) -> {error, Reason}.

last_line(Text) ->
    case lists:reverse(string:lexemes(Text, "\n")) of
        [Line | _] -> Line;
        [] -> <<>>
    end.
