%% @private
%% @doc The end of a program and of all that it left behind.
%%
%% The parent of a program (see {@link alcove_proc_setup}) is a subreaper: what the program
%% started, in sessions of its own or not, comes to it as soon as the ones in between have
%% ended. So killing its children until there are none ends everything.
-module(alcove_proc_reap).

-export([signal/3, silence/1, leftovers/2, release/3]).

%% How long a process that was killed may take to be gone, in milliseconds. One that waits
%% for a device does not end before that answers.
-define(KILLED, 5000).
%% How long it may take to hear of an end that is over.
-define(TOLD, 1000).

-type process() :: {alcove:drv(), Parent :: alcove:fork_path()}.

%% @doc Signals the program and its process group.
-spec signal(process(), alcove:os_pid(), atom() | integer()) -> ok | {error, alcove:posix()}.
signal({Drv, Parent}, Pid, Signal) ->
    case alcove:kill(Drv, Parent, -Pid, Signal) of
        %% It has not made its group yet.
        {error, esrch} -> alcove:kill(Drv, Parent, Pid, Signal);
        Result -> Result
    end.

%% @doc Has nobody told how children of the parent end.
-spec silence(process()) -> ok.
silence({Drv, Parent}) ->
    Options = [exit_status, termsig, rusage],
    {ok, _} = alcove:batch(Drv, Parent, [{setopt, [Option, 0]} || Option <- Options]),
    ok.

%% @doc Kills all children of the parent but these, and what they leave, and returns when
%% nothing is left; or says what is.
-spec leftovers(process(), Except :: [alcove:os_pid()]) -> ok | {error, [alcove:os_pid()]}.
leftovers({Drv, Parent} = Process, []) ->
    %% The common case takes one call.
    case alcove:waitpid(Drv, Parent, -1, [wnohang]) of
        {error, echild} -> ok;
        _ -> kill(Process, [], now_ms() + ?KILLED)
    end;
leftovers(Process, Except) ->
    kill(Process, Except, now_ms() + ?KILLED).

kill({Drv, Parent} = Process, Except, Deadline) ->
    case children(Process) -- Except of
        [] when Except =:= [] ->
            %% Without a /proc nobody can be found, but it can be told that there is somebody.
            case alcove:waitpid(Drv, Parent, -1, [wnohang]) of
                {error, echild} -> ok;
                {ok, 0, _, _} -> {error, []};
                _ -> kill(Process, Except, Deadline)
            end;
        [] ->
            ok;
        [First | _] = Pids ->
            _ = [alcove:kill(Drv, Parent, Pid, sigkill) || Pid <- Pids],
            case awaited(Process, First, Deadline) of
                true -> kill(Process, Except, Deadline);
                false -> {error, children(Process) -- Except}
            end
    end.

%% Children by the numbers that the parent knows them by, which is what kill(2) takes. Its
%% /proc may be that of a pid namespace further out, and then has other ones.
children(Process) ->
    Children = alcove_proc_file:words(Process, "/proc/thread-self/children"),
    case Children =:= [] orelse numbers(Process, "thread-self") of
        Many when is_list(Many), length(Many) > 1 ->
            [
                binary_to_integer(lists:nth(length(Many), Numbers))
             || Child <- Children,
                Numbers <- [numbers(Process, Child)],
                length(Numbers) >= length(Many)
            ];
        _ ->
            [binary_to_integer(Child) || Child <- Children]
    end.

%% From that of the /proc to the innermost.
numbers(Process, Name) ->
    Words = alcove_proc_file:words(Process, ["/proc/", Name, "/status"]),
    case lists:dropwhile(fun(Word) -> Word =/= <<"NSpid:">> end, Words) of
        [_ | After] -> lists:takewhile(fun(Word) -> binary:last(Word) =/= $: end, After);
        [] -> []
    end.

awaited({Drv, Parent}, Pid, Deadline) ->
    case max(0, Deadline - now_ms()) of
        0 ->
            false;
        Left ->
            %% The parent waits in the call, which ends by itself as soon as the child has.
            try
                _ = alcove:call(Drv, Parent, waitpid, [Pid, 0], Left),
                true
            catch
                exit:timeout -> false
            end
    end.

%% @doc Ends the parent of a program, and returns when it is gone.
%%
%% Its own end is nobody's business: the events of it that there are to be come to the
%% caller, who owns its fork path, and are taken here.
-spec release(alcove:drv(), alcove:fork_path(), alcove:os_pid()) -> ok.
release(Drv, In, Pid) ->
    Parent = In ++ [Pid],
    try
        {ok, Told} = alcove:batch(Drv, In, [{getopt, [rusage]}, {getopt, [exit_status]}]),
        _ = alcove:exit(Drv, Parent, 0),
        _ = [
            taken(Drv, Parent, Event)
         || {Event, 1} <- lists:zip([rusage, exit_status], Told)
        ],
        ok
    catch
        error:badpid -> ok
    end.

taken(Drv, Parent, Event) ->
    receive
        {alcove_event, Drv, Parent, {Event, _}} -> ok
    after ?TOLD ->
        ok
    end.

now_ms() ->
    erlang:monotonic_time(millisecond).
