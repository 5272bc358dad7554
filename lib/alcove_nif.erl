%% @private
%% @doc The functions of the library priv/alcove_nif.so.
%%
%% They are called with a Drv of this node. docs/internals.md says what each
%% takes and returns.
-module(alcove_nif).

-define(FUNCTIONS, [
    stop/1,
    call/4,
    batch/3,
    spawn/4,
    keep/4,
    pipe/1,
    close/1,
    order/3,
    await/2,
    cancel/1,
    stdin/3,
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
    arity/1,
    info/1,
    note/1,
    cwd/0,
    version/0,
    drvs/0,
    limits/0,
    seccomp/2,
    seccomp_number/2,
    seccomp_calls/1
]).

-export([start/1, fits/1]).
-export(?FUNCTIONS).

-export_type([group/0, argv/0, refused/0, ticket/0, keep/0, stream/0, pipe_end/0]).

%% The kind of a program's stream: /dev/null, a pipe, the same as stdout, a terminal, the keeper's
%% own descriptor, or an end of a pipe to another program.
-type stream() :: 0..4 | pipe_end().
%% The end of a pipe has to be closed when the program runs. It is also closed once no term refers
%% to it.
-type pipe_end() :: reference().
-type keep() :: {
    CloneFlags :: non_neg_integer(),
    Streams :: {stream(), stream(), stream()},
    Terminal :: {Rows :: 0..65535, Columns :: 0..65535, Echo :: boolean(), Raw :: boolean()},
    OwnerOfStreams :: {Uid :: non_neg_integer(), Gid :: non_neg_integer()} | undefined,
    Timeout :: timeout(),
    Grace :: non_neg_integer(),
    Signal :: 0..127,
    LeaveLeftovers :: boolean(),
    Setgroups :: binary(),
    UidMap :: {binary(), WrittenByNewuidmap :: boolean()},
    GidMap :: {binary(), WrittenByNewgidmap :: boolean()},
    GroupFiles :: [binary()],
    KillFile :: [binary()],
    Clearenv :: boolean(),
    Env :: [binary()],
    Cwd :: [binary()],
    Program :: [binary()],
    Argv :: [binary()],
    Flowcontrol :: integer()
}.

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

-nifs([start_tree/1]).
-nifs(?FUNCTIONS).

-on_load(load/0).

%% The library that is loaded, or why none is. The module is loaded in either case, so that a caller
%% that starts a Drv gets the reason as a value.
-define(LIBRARY, {?MODULE, library}).
-define(IN_USE, "another build of alcove's library has Drvs that run: it stays").

%% If a library in another place is the same as the loaded one, that one stays, and its Drvs go on.
load() ->
    case {alcove_priv:file("alcove_nif"), library()} of
        {{ok, Path}, {loaded, Loaded, Known}} ->
            case sum(Path) of
                Known -> again(erlang:load_nif(Loaded, 0), Loaded, Known);
                Sum -> again(erlang:load_nif(Path, 0), Path, Sum)
            end;
        {{ok, Path}, {failed, _}} ->
            Sum = sum(Path),
            first(erlang:load_nif(Path, 0), Path, Sum);
        {{error, Dir}, {loaded, Loaded, Known}} ->
            again(no_path(Dir), Loaded, Known);
        {{error, Dir}, {failed, _}} ->
            first(no_path(Dir), none, none)
    end.

no_path(Dir) ->
    {error, {priv_dir, alcove_priv:format_error(Dir)}}.

first(ok, Path, Sum) ->
    persistent_term:put(?LIBRARY, {loaded, Path, Sum});
%% Another caller was faster.
first({error, {reload, _}}, _Path, _Sum) ->
    ok;
first({error, {_, Text}}, _Path, _Sum) ->
    persistent_term:put(?LIBRARY, {failed, Text}).

%% If loading is refused, the former code and library stay in place.
again(ok, Path, Sum) ->
    persistent_term:put(?LIBRARY, {loaded, Path, Sum});
again({error, {upgrade, _}}, _Path, _Sum) ->
    {error, {nif, ?IN_USE}};
again({error, {_, Text}}, _Path, _Sum) ->
    {error, {nif, Text}}.

%% @doc Whether the library in another directory can take the place of the loaded one now.
-spec fits(file:filename()) -> ok | {error, {nif, string()}}.
fits(Priv) ->
    Sum = sum(filename:join(Priv, "alcove_nif")),
    case library() of
        {loaded, _, Loaded} when Loaded =/= Sum ->
            case drvs() of
                0 -> ok;
                _ -> {error, {nif, ?IN_USE}}
            end;
        _ ->
            ok
    end.

library() ->
    persistent_term:get(?LIBRARY, {failed, "not loaded yet"}).

sum(Path) ->
    case erl_prim_loader:get_file(Path ++ ".so") of
        {ok, Bytes, _} -> erlang:md5(Bytes);
        error -> none
    end.

%% The reason of the error that a function raises while the library isn't loaded.
why() ->
    {failed, Text} = library(),
    {nif, Text}.

-spec start(map()) -> ok | {error, term()}.
start(Options) ->
    case library() of
        {loaded, _, _} ->
            start_tree(Options);
        {failed, _} ->
            %% The directory may be another one by now.
            _ = load(),
            case library() of
                {loaded, _, _} -> start_tree(Options);
                {failed, Text} -> {error, {nif, Text}}
            end
    end.

-spec start_tree(map()) -> ok | {error, term()}.
start_tree(_Options) ->
    erlang:nif_error(why()).

-spec stop(pid()) -> ok.
stop(_Drv) ->
    erlang:nif_error(why()).

-spec call(pid(), [non_neg_integer()], atom(), argv()) ->
    term() | ticket() | refused().
call(_Drv, _Pids, _Call, _Argv) ->
    erlang:nif_error(why()).

-spec batch(pid(), [non_neg_integer()], [{atom(), argv()}]) ->
    term() | ticket() | refused().
batch(_Drv, _Pids, _Calls) ->
    erlang:nif_error(why()).

-spec spawn(pid(), [non_neg_integer()], non_neg_integer(), [{atom(), argv()}]) ->
    term() | ticket() | refused().
spawn(_Drv, _Pids, _Flags, _Calls) ->
    erlang:nif_error(why()).

-spec keep(pid(), [non_neg_integer()], keep(), [{atom(), argv()}]) ->
    ticket() | {error, atom()} | refused().
keep(_Drv, _Pids, _Keep, _Calls) ->
    erlang:nif_error(why()).

-spec pipe(pid()) -> {ok, {Read :: pipe_end(), Write :: pipe_end()}} | {error, atom()} | '$badpid'.
pipe(_Drv) ->
    erlang:nif_error(why()).

-spec close(pipe_end()) -> ok.
close(_End) ->
    erlang:nif_error(why()).

-spec order(pid(), [non_neg_integer()], Order) -> ok | ticket() | refused() when
    Order ::
        {'end', Signal :: 0..127, Grace :: non_neg_integer()}
        | {signal, 0..127}
        | {size, 1..65535, 1..65535}.
order(_Drv, _Pids, _Order) ->
    erlang:nif_error(why()).

-spec await(ticket(), reference()) -> ok.
await(_Ticket, _Ref) ->
    erlang:nif_error(why()).

-spec cancel(ticket()) -> boolean().
cancel(_Ticket) ->
    erlang:nif_error(why()).

-spec stdin(pid(), [non_neg_integer()], iodata()) ->
    true | ticket() | {error, atom()} | refused().
stdin(_Drv, _Pids, _Data) ->
    erlang:nif_error(why()).

-spec eof(pid(), [non_neg_integer()], stdin | stdout | stderr) ->
    ok | {error, atom()} | refused().
eof(_Drv, _Pids, _Stream) ->
    erlang:nif_error(why()).

-spec owner(pid(), [non_neg_integer()], pid() | default) -> ok | refused().
owner(_Drv, _Pids, _Owner) ->
    erlang:nif_error(why()).

-spec flowcontrol(pid(), [non_neg_integer()]) -> integer() | refused().
flowcontrol(_Drv, _Pids) ->
    erlang:nif_error(why()).

-spec flowcontrol(pid(), [non_neg_integer()], integer()) -> true | refused().
flowcontrol(_Drv, _Pids, _Messages) ->
    erlang:nif_error(why()).

-spec children(pid(), [non_neg_integer()]) ->
    [{non_neg_integer(), event_loop | keeper | exec | exited, integer()}] | refused().
children(_Drv, _Pids) ->
    erlang:nif_error(why()).

-spec reset_owner(pid(), pid()) -> ok.
reset_owner(_Drv, _Owner) ->
    erlang:nif_error(why()).

-spec resume(pid(), term()) -> ok.
resume(_Drv, _Token) ->
    erlang:nif_error(why()).

-spec define(group(), atom() | binary()) -> integer() | unknown.
define(_Group, _Name) ->
    erlang:nif_error(why()).

-spec constants(group()) -> [{atom(), integer()}].
constants(_Group) ->
    erlang:nif_error(why()).

-spec signal_name(integer()) -> atom().
signal_name(_Number) ->
    erlang:nif_error(why()).

-spec errno_name(integer()) -> atom().
errno_name(_Number) ->
    erlang:nif_error(why()).

-spec groups() -> [group()].
groups() ->
    erlang:nif_error(why()).

-spec calls() -> [{atom(), non_neg_integer(), [{atom(), atom()}], binary(), atom(), binary()}].
calls() ->
    erlang:nif_error(why()).

%% How many arguments a call has.
-spec arity(atom()) -> non_neg_integer() | unknown.
arity(_Call) ->
    erlang:nif_error(why()).

-spec info(pid()) -> map() | '$badpid'.
info(_Drv) ->
    erlang:nif_error(why()).

%% The note that a Drv which has started was started with.
-spec note(pid()) -> binary() | '$badpid'.
note(_Drv) ->
    erlang:nif_error(why()).

%% The working directory of the virtual machine. file:get_cwd/0 goes to another thread for it.
-spec cwd() -> {ok, binary()} | {error, atom()}.
cwd() ->
    erlang:nif_error(why()).

-spec drvs() -> non_neg_integer().
drvs() ->
    erlang:nif_error(why()).

-spec version() -> binary().
version() ->
    erlang:nif_error(why()).

-spec limits() -> map().
limits() ->
    erlang:nif_error(why()).

-spec seccomp(term(), native | atom()) ->
    {ok, binary()}
    | {error, {unknown_syscall, [atom()]} | too_large | unsupported}
    | {'$badarg', term()}.
seccomp(_Policy, _Architecture) ->
    erlang:nif_error(why()).

-spec seccomp_number(term(), native | atom()) -> non_neg_integer() | elsewhere | unknown.
seccomp_number(_Name, _Architecture) ->
    erlang:nif_error(why()).

-spec seccomp_calls(native | atom()) -> [{atom(), non_neg_integer()}].
seccomp_calls(_Architecture) ->
    erlang:nif_error(why()).
