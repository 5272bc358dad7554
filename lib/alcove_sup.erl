%% @private
%% @doc Supervises what belongs to the application.
-module(alcove_sup).

-behaviour(supervisor).

-export([start_link/0]).
-export([init/1]).

-spec start_link() -> {ok, pid()} | {error, term()}.
start_link() ->
    case supervisor:start_link({local, ?MODULE}, ?MODULE, []) of
        {ok, Pid} -> {ok, Pid};
        {error, Reason} -> {error, Reason}
    end.

%% @private
-spec init([]) -> {ok, {supervisor:sup_flags(), [supervisor:child_spec()]}}.
init([]) ->
    Children = [
        alcove_default:child_spec(),
        alcove_sandbox_ids:child_spec()
        | alcove_pool_view:child_specs()
    ],
    {ok, {#{strategy => one_for_one, intensity => 3, period => 10}, Children}}.
