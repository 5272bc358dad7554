%% @private
%% @doc Calls that are tried out, in a process of their own.
-module(alcove_sandbox_attempt).

-include("alcove.hrl").

-export([try_out/2, cleared/1, last/1, unplaced/1]).

%% How long an attempt to start may take, in milliseconds.
-define(TIMEOUT, 60000).

%% @doc Whether all calls succeed up to the exec, which always fails: it is given a directory.
-spec try_out(pid(), map()) -> ok | {error, term()}.
try_out(Drv, Options) ->
    Way = maps:with(
        [
            setup, namespaces, uid_map, gid_map, seccomp, no_new_privs, rlimits, cgroup, cwd,
            clearenv, env
        ],
        Options
    ),
    case unplaced(alcove_proc:run(Drv, ["/"], Way#{timeout => ?TIMEOUT})) of
        {error, {execvp, _}} -> ok;
        {error, Reason} -> {error, Reason};
        %% The process has closed alcove's own descriptor, since it may have none with a number
        %% above those that a sandbox closes.
        {ok, _} -> {error, {pipe, emfile}}
    end.

%% @doc An outcome whose error names the call that failed, but not its place among the calls of
%% `setup': those of a sandbox aren't the user's.
-spec unplaced(Outcome) -> Outcome when Outcome :: term().
unplaced({error, {setup, {_Index, Call, Reason}}}) -> {error, {Call, Reason}};
unplaced(Outcome) -> Outcome.

%% @doc The calls that begin a set-up whose first descriptor is to be {@link
%% alcove_sandbox_parts:first/0}.
-spec cleared(pid()) -> alcove:calls().
cleared(Drv) -> alcove_sandbox_parts:closed(last(Drv)).

%% @doc The last descriptor that the calls of a set-up may use, which depends on Drv's limit.
-spec last(pid()) -> integer().
last(Drv) ->
    {ok, #alcove_rlimit{cur = Limit}} = alcove:getrlimit(Drv, [], rlimit_nofile),
    alcove_sandbox_parts:last(Limit).
