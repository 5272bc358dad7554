%% @private
%% @doc Where the library and the executable are.
-module(alcove_priv).

-export([dir/0]).

%% @doc The directory, as an absolute path where one can be told: what the application's
%% variable `priv_dir' says, alcove's own `priv', or where there is no application of that
%% name, the one beside the beam files.
-spec dir() -> file:filename_all().
dir() ->
    Dir = found(),
    case filename:pathtype(Dir) of
        absolute ->
            Dir;
        _ ->
            case file:get_cwd() of
                {ok, Cwd} -> filename:join(Cwd, Dir);
                {error, _} -> Dir
            end
    end.

found() ->
    case application:get_env(alcove, priv_dir) of
        {ok, Dir} when is_list(Dir); is_binary(Dir) ->
            Dir;
        _ ->
            case code:priv_dir(alcove) of
                {error, bad_name} ->
                    beside(code:which(?MODULE));
                Dir ->
                    Dir
            end
    end.

beside(File) when is_list(File) ->
    filename:join(filename:dirname(filename:dirname(File)), "priv");
%% It was loaded from no file.
beside(_) ->
    "priv".
