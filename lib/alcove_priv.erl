%% @private
%% @doc Where the library and the executable are.
-module(alcove_priv).

-export([file/1, format_error/1]).

%% @doc The path of a file there, an absolute one where that can be told: in what the application's
%% variable `priv_dir' says, alcove's own `priv', or where there is no application of that name, the
%% one beside the beam files. What is no path, or none in the encoding of file names, is returned.
-spec file(string()) -> {ok, string()} | {error, Dir :: term()}.
file(Name) ->
    Dir = found(),
    case characters(alcove_text:nonempty(Dir)) of
        error -> {error, Dir};
        Characters -> {ok, filename:join(absolute(Characters), Name)}
    end.

%% @doc What is said of a directory that is no path.
-spec format_error(Dir :: term()) -> string().
format_error(Dir) ->
    lists:flatten(
        io_lib:format("priv_dir, a variable of the application alcove, is no path of ~tp: ~0tp", [
            file:native_name_encoding(), Dir
        ])
    ).

characters(error) ->
    error;
characters(Bytes) ->
    case unicode:characters_to_list(Bytes, file:native_name_encoding()) of
        Characters when is_list(Characters) -> Characters;
        _ -> error
    end.

absolute(Dir) ->
    case {filename:pathtype(Dir), file:get_cwd()} of
        {relative, {ok, Cwd}} -> filename:join(Cwd, Dir);
        _ -> Dir
    end.

found() ->
    case application:get_env(alcove, priv_dir, undefined) of
        undefined ->
            case code:priv_dir(alcove) of
                {error, bad_name} -> beside(code:which(?MODULE));
                Dir -> Dir
            end;
        Dir ->
            Dir
    end.

beside(File) when is_list(File) ->
    filename:join(filename:dirname(filename:dirname(File)), "priv");
%% It was loaded from no file.
beside(_) ->
    "priv".
