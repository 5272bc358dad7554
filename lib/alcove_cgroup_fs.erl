%% @private
%% @doc The directories and files of control groups, through the Unix process at a fork path.
%%
%% If a function whose name begins with `must' fails, it ends the function of {@link
%% alcove_cgroup} that called it, with an error that says where.
-module(alcove_cgroup_fs).

-export([run/3, fail/1, gone/0]).
-export([must_read/3, must_write/4, read_value/3, must_read_value/3, words/2]).
-export([passing/1]).
-export([mkdir/2, rmdir/2, tree/2, remove/2]).
-export([wait/2]).

-type process() :: alcove_file:process().
-type reason() :: alcove:posix() | {Where :: binary() | atom(), alcove:posix()}.

%% How long the removal of groups waits for the next that it can remove, in milliseconds.
-define(REMOVE_WAIT, 1000).

%% How many files are checked in one round trip.
-define(MANY, 500).

%% @doc Runs the body of a public function of {@link alcove_cgroup}. A step that fails ends it with
%% an error; an argument of the wrong shape, or a Drv that is gone, ends it with an exception.
-spec run(atom(), [term(), ...], fun(() -> Result)) -> Result | {error, reason()}.
run(Function, Args, Fun) ->
    try
        Fun()
    catch
        throw:{alcove_cgroup, {fail, Reason}} ->
            {error, Reason};
        throw:{alcove_cgroup, gone} ->
            alcove_errors:raise(badpid, alcove_cgroup, Function, Args, {gone, 1});
        throw:{alcove_cgroup, {badarg, What, Position}} ->
            alcove_errors:raise(badarg, alcove_cgroup, Function, Args, {What, Position})
    end.

-spec fail(reason()) -> no_return().
fail(Reason) ->
    throw({alcove_cgroup, {fail, Reason}}).

%% @doc Ends it as the calls of {@link alcove} end when Drv is gone.
-spec gone() -> no_return().
gone() ->
    throw({alcove_cgroup, gone}).

%%--------------------------------------------------------------------
%% Files
%%--------------------------------------------------------------------

-spec must_read(process(), binary(), binary()) -> binary().
must_read(Process, Path, Name) ->
    File = join(Path, Name),
    case alcove_file:read(Process, File) of
        {ok, Text} -> Text;
        {error, Reason} -> fail({File, Reason})
    end.

-spec must_write(process(), binary(), binary(), iodata()) -> ok.
must_write(Process, Path, Name, Value) ->
    File = join(Path, Name),
    case alcove_file:write(Process, File, Value) of
        ok -> ok;
        {error, Reason} -> fail({File, Reason})
    end.

-spec must_read_value(process(), binary(), binary()) -> alcove_cgroup_text:value().
must_read_value(Process, Path, Name) ->
    alcove_cgroup_text:value(string:trim(must_read(Process, Path, Name))).

%% @doc The value in a file, `none' if there is no such file.
-spec read_value(process(), binary(), binary()) -> alcove_cgroup_text:value() | none.
read_value(Process, Path, Name) ->
    case alcove_file:read(Process, join(Path, Name)) of
        {ok, Text} -> alcove_cgroup_text:value(string:trim(Text));
        {error, enoent} -> none;
        {error, Reason} -> fail({join(Path, Name), Reason})
    end.

%% @doc The words of a file; none if it can't be read, unless for a shortage.
-spec words(process(), binary()) -> [binary()].
words(Process, File) ->
    case alcove_file:read(Process, File) of
        {ok, Text} ->
            alcove_cgroup_text:words(Text);
        {error, Reason} ->
            ok = passing({File, Reason}),
            []
    end.

%% @doc Fails with a shortage: there may be what can't be seen for want of something.
-spec passing(reason()) -> ok.
passing(Reason) ->
    case alcove_errors:is_shortage(Reason) of
        true -> fail(Reason);
        false -> ok
    end.

join(Path, Name) ->
    alcove_cgroup_text:join(Path, [Name]).

%%--------------------------------------------------------------------
%% Directories
%%--------------------------------------------------------------------

-spec mkdir(process(), binary()) -> ok | {error, alcove:posix()}.
mkdir({Drv, Pids}, Path) ->
    alcove:mkdir(Drv, Pids, Path, 8#755).

-spec rmdir(process(), binary()) -> ok | {error, alcove:posix()}.
rmdir({Drv, Pids}, Path) ->
    alcove:rmdir(Drv, Pids, Path).

%% The directories of the groups that are directly in a group.
-spec subgroups(process(), binary()) -> {ok, [binary()]} | {error, {binary(), alcove:posix()}}.
subgroups({Drv, Pids} = Process, Path) ->
    case alcove:stat(Drv, Pids, Path) of
        {ok, #{type := directory, nlink := Links}} when Links =/= 2 ->
            case alcove:readdir(Drv, Pids, Path) of
                {ok, Names} -> {ok, directories(Process, [join(Path, Name) || Name <- Names])};
                {error, enoent} -> {ok, []};
                {error, Reason} -> {error, {Path, Reason}}
            end;
        %% The kernel counts the links of a directory as usual: two, and one for each directory in
        %% it.
        {ok, _} ->
            {ok, []};
        %% The directory is gone by now.
        {error, enoent} ->
            {ok, []};
        {error, Reason} ->
            {error, {Path, Reason}}
    end.

directories(_Process, []) ->
    [];
directories({Drv, Pids} = Process, Paths) ->
    {Some, More} = lists:split(min(?MANY, length(Paths)), Paths),
    case alcove:batch(Drv, Pids, [{stat, [Path]} || Path <- Some]) of
        {ok, Stats} ->
            [Path || {Path, {ok, #{type := directory}}} <- lists:zip(Some, Stats)] ++
                directories(Process, More);
        %% A file that is gone by now.
        {error, {Index, stat, _}} ->
            {Before, [_ | After]} = lists:split(Index - 1, Some),
            directories(Process, Before ++ After ++ More)
    end.

%% @doc A group's directory and those of the groups in it, at any depth.
-spec tree(process(), binary()) -> {ok, [binary()]} | {error, {binary(), alcove:posix()}}.
tree(Process, Path) ->
    trees(Process, [Path], []).

trees(Process, [Path | Paths], Found) ->
    case subgroups(Process, Path) of
        {ok, Groups} -> trees(Process, Groups ++ Paths, [Path | Found]);
        Error -> Error
    end;
trees(_Process, [], Found) ->
    {ok, lists:reverse(Found)}.

%% @doc Removes a group and those in it.
%%
%% The function waits for a group that has members. The time for that starts anew with each group
%% that it could remove, however many there are.
-spec remove(process(), binary()) -> ok | {error, {binary(), alcove:posix()}}.
remove(Process, Path) ->
    remove(Process, Path, alcove_deadline:in(?REMOVE_WAIT), 0).

remove(Process, Path, Deadline, Pause) ->
    case rmdir(Process, Path) of
        Gone when Gone =:= ok; Gone =:= {error, enoent} ->
            ok;
        {error, Busy} when Busy =:= ebusy; Busy =:= enotempty ->
            case removed_below(Process, Path) of
                {error, _} = Error ->
                    Error;
                {[_ | _], _} ->
                    remove(Process, Path, alcove_deadline:in(?REMOVE_WAIT), 0);
                {[], Left} ->
                    case alcove_deadline:is_over(Deadline) of
                        true ->
                            {error, {hd(Left ++ [Path]), Busy}};
                        false ->
                            pause(Pause),
                            remove(Process, Path, Deadline, min(2 * Pause + 1, 50))
                    end
            end;
        {error, Reason} ->
            {error, {Path, Reason}}
    end.

%% The groups below a group that could be removed, and those that have members.
removed_below(Process, Path) ->
    case tree(Process, Path) of
        {ok, [_ | Below]} ->
            %% Deeper groups come later in the tree.
            Results = [{Group, rmdir(Process, Group)} || Group <- lists:reverse(Below)],
            Busy = [Group || {Group, {error, Why}} <- Results, is_busy(Why)],
            case
                [
                    {Group, Why}
                 || {Group, {error, Why}} <- Results, Why =/= enoent, not is_busy(Why)
                ]
            of
                [Error | _] -> {error, Error};
                [] -> {[Group || {Group, ok} <- Results], Busy}
            end;
        {error, _} = Error ->
            Error
    end.

is_busy(Why) ->
    Why =:= ebusy orelse Why =:= enotempty.

%%--------------------------------------------------------------------
%% Time
%%--------------------------------------------------------------------

%% @doc Whether something comes true before the deadline.
-spec wait(fun(() -> boolean()), alcove_deadline:deadline()) -> boolean().
wait(Fun, Deadline) ->
    wait(Fun, Deadline, 1).

wait(Fun, Deadline, Pause) ->
    case Fun() of
        true ->
            true;
        false ->
            case alcove_deadline:is_over(Deadline) of
                true ->
                    false;
                false ->
                    pause(Pause),
                    wait(Fun, Deadline, min(2 * Pause, 20))
            end
    end.

-spec pause(non_neg_integer()) -> ok.
pause(Ms) ->
    receive
    after Ms -> ok
    end.
