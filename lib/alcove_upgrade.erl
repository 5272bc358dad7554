%% @private
%% @doc What an upgrade of a running release asks before it loads anything: `scripts/appup.sh'
%% writes the instructions.
-module(alcove_upgrade).

-export([check/1]).

%% @doc Whether the library of another version, in a directory beside this one's as releases have
%% it, can take the place of the loaded one. If it can't, release_handler changes nothing and
%% returns the reason.
-spec check(string()) -> ok.
check(Vsn) ->
    Priv = filename:join([filename:dirname(code:lib_dir(alcove)), "alcove-" ++ Vsn, "priv"]),
    %% Without such a directory nothing can be said before the library is loaded.
    case filelib:is_dir(Priv) andalso alcove_nif:fits(Priv) of
        {error, Reason} -> throw({error, Reason});
        _ -> ok
    end.
