%% @private
%% @doc The limits of a sandbox: by which means of the machine they are enforced, and which of them
%% ended a program.
-module(alcove_sandbox_limits).

-export([options/3, result/2]).

%% @doc The options of alcove_proc for the limits, and by which means each is enforced.
-spec options(pid(), alcove_sandbox_spec:spec(), alcove_sandbox_plan:here()) ->
    {ok, map(), map()} | {error, term()}.
options(Drv, Spec, Here) ->
    case groups(Drv, Spec, Here) of
        {ok, Groups, Without} -> options(Spec, Here, Groups, Without);
        {error, Reason} -> {error, {cgroup, Reason}}
    end.

options(Spec, Here, Groups, Without) ->
    #{limits := #{wall_time := Wall} = Limits, best_effort := BestEffort, asked := Asked} = Spec,
    Rlimits = lowest(maps:merge(rlimits(Limits), fallback(Without)), maps:get(rlimits, Spec)),
    case filter(Spec) of
        {ok, Filter, Seccomp} ->
            Force = maps:merge(
                in_force(Limits, Groups, Without),
                (held(Spec, Here))#{seccomp => Seccomp, user => user(Spec, Here)}
            ),
            %% If a default limit can't be enforced, the result says so, and that is no error.
            Lacking = [
                {Name, Why}
             || {Name, {lacking, Why}} <- maps:to_list(Force), lists:member(Name, Asked)
            ],
            case Lacking of
                [First | _] when not BestEffort -> {error, First};
                _ ->
                    Options = cgroup(Groups, #{rlimits => Rlimits, timeout => Wall}),
                    {ok, maps:merge(Filter, Options), Force}
            end;
        {error, Reason} ->
            {error, {seccomp, Reason}}
    end.

%% What is in force besides limits.
held(#{mounts := Mounts, without := Without}, #{landlock := Landlock, ids := Ids}) ->
    Own =
        [{user_namespace, own}, {keyring, own}] ++
            [{proc, own} || {proc, _} <- Mounts] ++
            [{ids, Ids} || Ids =/= own],
    Lacking = maps:map(
        fun(_Name, Why) -> {lacking, Why} end,
        maps:with([user_namespace, keyring, proc, ids], Without)
    ),
    maps:merge(maps:from_list([{landlock, Landlock} | Own]), Lacking).

user(#{as := unused}, #{privileged := true, as := {Uid, _}}) -> {unused, Uid};
user(_Spec, #{privileged := true, as := {Uid, _}}) -> {as, Uid};
user(_Spec, #{privileged := false, ids := own, as := {Uid, _}}) -> {own, Uid};
user(_Spec, #{as := {Uid, _}}) -> {mapped, Uid}.

filter(#{seccomp := none}) ->
    {ok, #{}, none};
filter(#{without := #{seccomp := Why}}) ->
    {ok, #{}, {lacking, Why}};
filter(#{seccomp := default}) ->
    Key = {?MODULE, alcove_nif:version()},
    case persistent_term:get(Key, undefined) of
        undefined -> remembered(Key, compiled(alcove_seccomp:sandbox(), default));
        Known -> Known
    end;
filter(#{seccomp := Policy}) when is_map(Policy) ->
    compiled(Policy, policy);
filter(#{seccomp := Program}) ->
    {ok, #{seccomp => iolist_to_binary(Program)}, policy}.

%% Every sandbox has this filter, and to compile it takes as long as a third of its start.
remembered(Key, {ok, _, _} = Compiled) ->
    ok = persistent_term:put(Key, Compiled),
    Compiled;
remembered(_Key, Error) ->
    Error.

compiled(Policy, Name) ->
    case alcove_seccomp:compile(Policy) of
        {ok, Program} -> {ok, #{seccomp => Program}, Name};
        {error, Reason} -> {error, Reason}
    end.

%% The limits that a control group enforces, if Drv may make one.
groups(Drv, #{limits := Limits, without := Lacking}, #{privileged := Privileged, users := Users}) ->
    %% In a user namespace, root has the control groups that were delegated to it.
    Who =
        case Privileged andalso Users =:= all of
            true -> root;
            false -> user
        end,
    Wanted = maps:filter(
        fun(Name, Limit) -> Limit =/= infinity andalso lists:member(Name, [memory, pids, cpu]) end,
        Limits
    ),
    Controllers = [
        atom_to_binary(Name)
     || not is_map_key(cgroup, Lacking), Name <- maps:keys(Wanted)
    ],
    case alcove_cgroup_own:offered({Drv, []}, Who, Controllers) of
        {ok, Named} ->
            Offered = [binary_to_existing_atom(Controller) || Controller <- Named],
            {ok, maps:with(Offered, Wanted), maps:without(Offered, Wanted)};
        {error, Reason} ->
            {error, Reason}
    end.

cgroup(Groups, Options) when map_size(Groups) =:= 0 -> Options;
cgroup(Groups, Options) -> Options#{cgroup => Groups}.

rlimits(#{cpu_time := Cpu, file_size := Size, open_files := Files}) ->
    Given = #{
        %% A program may ignore SIGXCPU; a second later the kernel sends SIGKILL.
        cpu => both(Cpu, 1),
        fsize => both(Size, 0),
        nofile => both(Files, 0)
    },
    maps:put(core, {0, 0}, maps:filter(fun(_, Limit) -> Limit =/= infinity end, Given)).

both(infinity, _) -> infinity;
both(Limit, More) -> {Limit, Limit + More}.

fallback(Without) ->
    maps:from_list(
        [{as, {Bytes, Bytes}} || #{memory := Bytes} <- [Without]] ++
            [{nproc, {Count, Count}} || #{pids := Count} <- [Without]]
    ).

%% The lower of two limits of a resource.
lowest(Some, Others) ->
    maps:fold(
        fun(Name, {Soft, Hard} = Limit, All) ->
            %% Any number compares as less than an atom.
            maps:update_with(Name, fun({S, H}) -> {min(S, Soft), min(H, Hard)} end, Limit, All)
        end,
        Some,
        Others
    ).

in_force(Limits, Groups, Without) ->
    maps:map(
        fun
            (_Name, infinity) -> none;
            (Name, Limit) when is_map_key(Name, Groups) -> {cgroup, Limit};
            (cpu, _) when is_map_key(cpu, Without) -> {lacking, no_control_group};
            (wall_time, Limit) -> {timer, Limit};
            (output, Limit) -> {collect, Limit};
            (_Name, Limit) -> {rlimit, Limit}
        end,
        Limits
    ).

%% @doc Adds to a result which limit ended the program, and what was in force.
-spec result(alcove_proc:outcome(), map()) -> alcove_sandbox:result().
result({ok, Result}, Force) ->
    {ok, told(Result, ended(Result), Force)};
result({error, {timeout, Result}}, Force) when is_map(Result) ->
    {error, {timeout, told(Result, wall_time, Force)}};
result({error, {{output_limit, _} = Why, Result}}, Force) when is_map(Result) ->
    {error, {Why, told(Result, output, Force)}};
result(Outcome, _Force) ->
    Outcome.

told(Result, none, Force) -> Result#{sandbox => Force};
told(Result, Limit, Force) -> Result#{sandbox => Force, limit => Limit}.

%% By the names that limits of a sandbox have.
ended(#{limit := cpu}) -> cpu_time;
ended(#{limit := fsize}) -> file_size;
ended(#{limit := Limit}) -> Limit;
ended(_Result) -> none.
