%% @private
%% @doc The functions of the library priv/alcove_nif.so.
%%
%% They are called with a Drv of this node. docs/internals.md says what each
%% takes and gives.
-module(alcove_nif).

-define(FUNCTIONS, [
    start/1,
    stop/1,
    call/4, call_dirty/4,
    batch/3, batch_dirty/3,
    spawn/4, spawn_dirty/4,
    await/2,
    cancel/1,
    stdin/3, stdin_dirty/3,
    eof/3,
    owner/3,
    flowcontrol/2, flowcontrol/3,
    children/2,
    reset_owner/2,
    resume/2,
    define/2,
    constants/1,
    signal_name/1,
    errno_name/1,
    groups/0,
    calls/0,
    info/1,
    version/0,
    limits/0,
    seccomp/1
]).

-export(?FUNCTIONS).

-export_type([group/0, argv/0, refused/0, ticket/0]).

-type group() ::
    clone
    | file
    | mount
    | prctl
    | rlimit
    | signal
    | syscall
    | process
    | socket
    | poll
    | ioctl
    | landlock
    | all.
-type argv() :: [term()].
-type refused() :: '$badpid' | {'$badarg', term()}.
%% Stands for an outcome that isn't there yet.
-type ticket() :: reference().

-nifs(?FUNCTIONS).

-on_load(load/0).

load() ->
    erlang:load_nif(filename:join(priv_dir(), "alcove_nif"), 0).

%% The library lies beside the beam file where the directory isn't called alcove.
priv_dir() ->
    case code:priv_dir(alcove) of
        {error, bad_name} ->
            filename:join(filename:dirname(filename:dirname(code:which(?MODULE))), "priv");
        Dir ->
            Dir
    end.

-spec start(map()) -> ok | {error, term()}.
start(_Options) ->
    erlang:nif_error(not_loaded).

-spec stop(pid()) -> ok.
stop(_Drv) ->
    erlang:nif_error(not_loaded).

-spec call(pid(), [non_neg_integer()], atom(), argv()) ->
    term() | ticket() | '$dirty' | refused().
call(_Drv, _Pids, _Call, _Argv) ->
    erlang:nif_error(not_loaded).

-spec call_dirty(pid(), [non_neg_integer()], atom(), argv()) ->
    term() | ticket() | refused().
call_dirty(_Drv, _Pids, _Call, _Argv) ->
    erlang:nif_error(not_loaded).

-spec batch(pid(), [non_neg_integer()], [{atom(), argv()}]) ->
    term() | ticket() | '$dirty' | refused().
batch(_Drv, _Pids, _Calls) ->
    erlang:nif_error(not_loaded).

-spec batch_dirty(pid(), [non_neg_integer()], [{atom(), argv()}]) ->
    term() | ticket() | refused().
batch_dirty(_Drv, _Pids, _Calls) ->
    erlang:nif_error(not_loaded).

-spec spawn(pid(), [non_neg_integer()], non_neg_integer(), [{atom(), argv()}]) ->
    term() | ticket() | '$dirty' | refused().
spawn(_Drv, _Pids, _Flags, _Calls) ->
    erlang:nif_error(not_loaded).

-spec spawn_dirty(pid(), [non_neg_integer()], non_neg_integer(), [{atom(), argv()}]) ->
    term() | ticket() | refused().
spawn_dirty(_Drv, _Pids, _Flags, _Calls) ->
    erlang:nif_error(not_loaded).

-spec await(ticket(), reference()) -> ok.
await(_Ticket, _Ref) ->
    erlang:nif_error(not_loaded).

-spec cancel(ticket()) -> boolean().
cancel(_Ticket) ->
    erlang:nif_error(not_loaded).

-spec stdin(pid(), [non_neg_integer()], iodata()) ->
    true | ticket() | '$dirty' | {error, atom()} | refused().
stdin(_Drv, _Pids, _Data) ->
    erlang:nif_error(not_loaded).

-spec stdin_dirty(pid(), [non_neg_integer()], iodata()) ->
    true | ticket() | {error, atom()} | refused().
stdin_dirty(_Drv, _Pids, _Data) ->
    erlang:nif_error(not_loaded).

-spec eof(pid(), [non_neg_integer()], stdin | stdout | stderr) ->
    ok | {error, atom()} | refused().
eof(_Drv, _Pids, _Stream) ->
    erlang:nif_error(not_loaded).

-spec owner(pid(), [non_neg_integer()], pid() | default) -> ok | refused().
owner(_Drv, _Pids, _Owner) ->
    erlang:nif_error(not_loaded).

-spec flowcontrol(pid(), [non_neg_integer()]) -> integer() | refused().
flowcontrol(_Drv, _Pids) ->
    erlang:nif_error(not_loaded).

-spec flowcontrol(pid(), [non_neg_integer()], integer()) -> true | refused().
flowcontrol(_Drv, _Pids, _Messages) ->
    erlang:nif_error(not_loaded).

-spec children(pid(), [non_neg_integer()]) ->
    [{non_neg_integer(), event_loop | exec | exited, integer()}] | refused().
children(_Drv, _Pids) ->
    erlang:nif_error(not_loaded).

-spec reset_owner(pid(), pid()) -> ok.
reset_owner(_Drv, _Owner) ->
    erlang:nif_error(not_loaded).

-spec resume(pid(), term()) -> ok.
resume(_Drv, _Token) ->
    erlang:nif_error(not_loaded).

-spec define(group(), atom()) -> integer() | unknown.
define(_Group, _Name) ->
    erlang:nif_error(not_loaded).

-spec constants(group()) -> [{atom(), integer()}].
constants(_Group) ->
    erlang:nif_error(not_loaded).

-spec signal_name(integer()) -> atom().
signal_name(_Number) ->
    erlang:nif_error(not_loaded).

-spec errno_name(integer()) -> atom().
errno_name(_Number) ->
    erlang:nif_error(not_loaded).

-spec groups() -> [group()].
groups() ->
    erlang:nif_error(not_loaded).

-spec calls() -> [{atom(), non_neg_integer(), [{atom(), atom()}], binary(), atom(), binary()}].
calls() ->
    erlang:nif_error(not_loaded).

-spec info(pid()) -> map() | '$badpid'.
info(_Drv) ->
    erlang:nif_error(not_loaded).

-spec version() -> binary().
version() ->
    erlang:nif_error(not_loaded).

-spec limits() -> map().
limits() ->
    erlang:nif_error(not_loaded).

-spec seccomp(term()) ->
    {ok, binary()}
    | {error, {unknown_syscall, [atom()]} | too_large | unsupported}
    | {'$badarg', term()}.
seccomp(_Policy) ->
    erlang:nif_error(not_loaded).
