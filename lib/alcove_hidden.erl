%% @private
%% @doc Arguments that no report shows.
%%
%% A supervisor logs the arguments of a child's start function, for instance when the child has
%% ended abnormally. A function is logged by its module, without what it holds.
%%
%% A supervisor keeps such a function as long as it runs. So the code of this module must not
%% change, and a release upgrade doesn't load it: functions of the version before the last keep
%% others from being loaded.
-module(alcove_hidden).

-export([hide/1, reveal/1]).

-export_type([hidden/0]).

-opaque hidden() :: fun(() -> term()).

-spec hide(term()) -> hidden().
hide(Term) ->
    fun() -> Term end.

-spec reveal(hidden()) -> term().
reveal(Hidden) ->
    Hidden().
