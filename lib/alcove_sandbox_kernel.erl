%% @private
%% @doc What is in the file systems of the kernel that a sandbox has, for the paths in them that are
%% to be hidden, or that something is mounted upon.
%%
%% A sandbox has a proc and a sysfs of its own, and these are whole. Those that Drv sees needn't be:
%% its /proc may show processes only (`subset=pid'), something else may be mounted there, or nothing
%% at all. So Drv's own are looked at, which costs least, only where they are sure to have the same
%% as the new ones. Everything else is looked up in new ones, in a process that is in the same kinds
%% of namespaces as the sandbox will be, and ends after that.
-module(alcove_sandbox_kernel).

-export([calls/3, look/2]).
-export([hold/4]).

-type type() :: proc | sysfs.
-type look() :: fun((binary()) -> alcove_sandbox_paths:found()).

%% More bytes than a struct statfs has, and the type that it begins with.
-define(STATFS, 256).
-define(PROC, 16#9fa0).
-define(SYSFS, 16#62656572).
%% The root directory of both has this number.
-define(ROOT, 1).
%% How long the message about its end may take, in milliseconds.
-define(LAST, 5000).

%% @doc Looks a path up where Drv sees these file systems. The function throws `{plan, unseen}' if
%% that doesn't tell what a new one has.
-spec look(pid(), alcove_sandbox_spec:spec()) -> look().
look(Drv, Spec) ->
    Whole = maps:from_list([
        {Type, Device}
     || Type <- types(Spec), {ok, Device} <- [whole(Drv, Type)]
    ]),
    fun(Path) -> seen(Drv, Path, Whole) end.

%% The types that a sandbox has.
types(#{mounts := Mounts, without := Without}) ->
    lists:usort(
        [proc || {proc, _} <- Mounts, not is_map_key(proc, Without)] ++
            [sysfs || {sysfs, _} <- Mounts]
    ).

%% Whether Drv sees the whole of a file system at its place, and as which device.
whole(Drv, proc) ->
    %% A proc that shows processes only hasn't this file; a proc of any other kind has it.
    whole(Drv, <<"/proc">>, ?PROC, [{lstat, [<<"/proc/interrupts">>]}]);
whole(Drv, sysfs) ->
    whole(Drv, <<"/sys">>, ?SYSFS, []).

whole(Drv, Path, Magic, Further) ->
    Type = {syscall, [statfs, [<<Path/binary, 0>>, <<0:(?STATFS * 8)>>]]},
    case alcove:batch(Drv, [], [Type, {lstat, [Path]} | Further]) of
        {ok, [{ok, 0, [_, Info]}, {ok, #{ino := ?ROOT, dev := Device}} | _]} ->
            %% The type is a long or an int.
            case Info of
                <<Magic:32/native, _/binary>> -> {ok, Device};
                <<Magic:64/native, _/binary>> -> {ok, Device};
                _ -> false
            end;
        _ ->
            false
    end.

%% Each proc has the same names but for those of processes, and what is below a name may be of a
%% namespace.
seen(Drv, <<"/proc/", Name/binary>> = Path, #{proc := _}) ->
    case Name of
        <<Digit, _/binary>> when Digit >= $0, Digit =< $9 -> throw({plan, unseen});
        _ -> binary:match(Name, <<"/">>) =:= nomatch orelse throw({plan, unseen})
    end,
    found(alcove:lstat(Drv, [], Path));
seen(Drv, <<"/sys/", _/binary>> = Path, #{sysfs := Device}) ->
    %% On the way to a path something else may be mounted.
    case alcove:lstat(Drv, [], filename:dirname(Path)) of
        {ok, #{dev := Device}} -> found(alcove:lstat(Drv, [], Path));
        _ -> throw({plan, unseen})
    end;
seen(_Drv, _Path, _Whole) ->
    throw({plan, unseen}).

%% Nobody asks where a link leads here.
found({ok, #{type := symlink}}) -> {link, <<>>};
found({ok, #{type := directory}}) -> directory;
found({ok, _}) -> file;
found({error, Reason}) when Reason =:= enoent; Reason =:= enotdir -> absent;
found({error, Reason}) -> {unknown, Reason}.

%%--------------------------------------------------------------------
%% In new ones
%%--------------------------------------------------------------------

%% @doc The calls for a spec. `{lacks, Type, {Call, Reason}}': that type had to be looked at, but
%% can't be had here, which is what the start of the sandbox would say.
-spec calls(pid(), alcove_sandbox_spec:spec(), alcove_sandbox_plan:here()) ->
    {ok, alcove:calls()} | {error, term()} | {lacks, type() | process, {atom(), term()}}.
calls(Drv, #{network := Network} = Spec, #{privileged := Privileged} = Here) ->
    case alcove_sandbox_plan:calls(Spec, Here) of
        {error, unseen} ->
            Flags =
                [clone_newns, clone_newpid] ++ [clone_newuser || not Privileged] ++
                    [clone_newnet || Network =/= host],
            in_new(Drv, Flags, types(Spec), fun(Look) ->
                alcove_sandbox_plan:calls(Spec, Here#{kernel := Look})
            end);
        Planned ->
            Planned
    end.

%% Another Erlang process has the new process made and ended, so that it ends whatever becomes of
%% the caller; on Drv's node, as it must end if the caller's node does, too.
in_new(Drv, Flags, Types, Fun) ->
    {Holder, Ref} = spawn_monitor(node(Drv), ?MODULE, hold, [self(), Drv, Flags, Types]),
    receive
        {Holder, {ok, Child, Fds}} ->
            try
                Fun(fun(Path) -> seen_in(Drv, Child, Fds, Path) end)
            after
                Holder ! {self(), done},
                receive
                    {'DOWN', Ref, process, Holder, _} -> ok
                end
            end;
        {'DOWN', Ref, process, Holder, {shutdown, {lacks, _, _} = Lacks}} ->
            Lacks;
        {'DOWN', Ref, process, Holder, {shutdown, {Class, Reason}}} ->
            erlang:raise(Class, Reason, []);
        {'DOWN', Ref, process, Holder, Reason} ->
            exit(Reason)
    end.

seen_in(Drv, Child, #{proc := Fd}, <<"/proc/", Name/binary>>) -> below(Drv, Child, Fd, Name);
seen_in(Drv, Child, #{sysfs := Fd}, <<"/sys/", Name/binary>>) -> below(Drv, Child, Fd, Name).

below(Drv, Child, Fd, Name) ->
    case alcove:batch(Drv, [Child], [{syscall, [fchdir, [Fd]]}, {lstat, [Name]}]) of
        {ok, [_, Found]} -> found(Found);
        {error, {2, lstat, Reason}} -> found({error, Reason})
    end.

%% @private
%% @doc Makes a process with these file systems, tells the caller, and ends it when the caller says
%% so or has ended.
-spec hold(pid(), pid(), [atom()], [type()]) -> no_return().
hold(Caller, Drv, Flags, Types) ->
    Ref = monitor(process, Caller),
    try held(Caller, Ref, Drv, Flags, Types) of
        Outcome -> exit({shutdown, Outcome})
    catch
        Class:Reason -> exit({shutdown, {Class, Reason}})
    end.

held(Caller, Ref, Drv, Flags, Types) ->
    case alcove:clone(Drv, [], Flags) of
        {ok, Child} ->
            %% Nobody else gets messages about it.
            ok = alcove_drv:controlling_process(Drv, [Child], self()),
            Outcome =
                case opened(Drv, Child, Types, #{}) of
                    {ok, Fds} ->
                        Caller ! {self(), {ok, Child, Fds}},
                        receive
                            {Caller, done} -> done;
                            {'DOWN', Ref, process, Caller, _} -> done
                        end;
                    Lacks ->
                        Lacks
                end,
            ok = ended(Drv, Child),
            Outcome;
        {error, Reason} ->
            {lacks, process, {fork, Reason}}
    end.

%% Ends the process, and takes the last message about it.
ended(Drv, Child) ->
    Last = [Option || Option <- [exit_status, rusage], alcove:getopt(Drv, [], Option) =:= 1],
    ok = alcove:exit(Drv, [Child], 0),
    case Last of
        [] ->
            ok;
        [Event | _] ->
            receive
                {alcove_event, Drv, [Child], {Event, _}} -> ok
            after ?LAST -> ok
            end
    end.

opened(_Drv, _Child, [], Fds) ->
    {ok, Fds};
opened(Drv, Child, [Type | Types], Fds) ->
    case new(Drv, Child, Type) of
        {ok, Fd} -> opened(Drv, Child, Types, Fds#{Type => Fd});
        {error, Why} -> {lacks, Type, Why}
    end.

new(Drv, Child, Type) ->
    Attributes = [mount_attr_rdonly, mount_attr_nosuid, mount_attr_nodev, mount_attr_noexec],
    case alcove:fsopen(Drv, [Child], atom_to_binary(Type), [fsopen_cloexec]) of
        {ok, Fs} ->
            case alcove:fsconfig(Drv, [Child], Fs, fsconfig_cmd_create, <<>>, 0, 0) of
                ok ->
                    case alcove:fsmount(Drv, [Child], Fs, [], Attributes) of
                        {ok, Fd} -> {ok, Fd};
                        {error, Reason} -> {error, {fsmount, Reason}}
                    end;
                {error, Reason} ->
                    {error, {fsconfig, Reason}}
            end;
        {error, Reason} ->
            {error, {fsopen, Reason}}
    end.
