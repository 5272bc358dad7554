%% @private
%% @doc The member `linux' of an OCI configuration.
-module(alcove_sandbox_oci_linux).

-export([items/3, together/1]).

-import(alcove_sandbox_oci_items, [
    array/3, at/2, boolean/3, integer/3, natural/3, object/3, path/3, text/3, unsupported/1
]).

-type item() :: alcove_sandbox_oci_items:item().
-type path() :: alcove_sandbox_oci_items:path().

%% The kernel's own period, in microseconds, and its longest.
-define(PERIOD, 100000).
-define(LONGEST, 1000000).
%% The kernel takes no quota below a millisecond, and sandboxes have its own period.
-define(LEAST, 0.01).
%% More bytes, or processes, the kernel takes for fewer; and more processors than there are.
-define(MOST, 16#7fffffffffffffff).
-define(CPUS, 16#100000).
%% The weight of a control group that has none.
-define(SHARES, 1024).
-define(TYPES, [
    <<"pid">>, <<"network">>, <<"mount">>, <<"ipc">>, <<"uts">>, <<"user">>, <<"cgroup">>
]).

%% @doc The items of the member.
-spec items(path(), term(), {Uid :: non_neg_integer(), Gid :: non_neg_integer()}) -> [item()].
items(Path, Linux, {Uid, Gid}) ->
    Isolated = lists:member(<<"network">>, types(Linux)),
    mapped(Path, Linux, Uid, Gid) ++
        object(Path, Linux, #{
            <<"namespaces">> => fun namespaces/2,
            <<"uidMappings">> => fun mappings/2,
            <<"gidMappings">> => fun mappings/2,
            <<"timeOffsets">> => unsupported(<<"clocks are the host's">>),
            <<"devices">> => unsupported(<<"there are no devices but those of /dev">>),
            <<"netDevices">> => unsupported(<<"network devices aren't moved">>),
            <<"cgroupsPath">> => unsupported(<<"the control group is one of its own">>),
            <<"resources">> => fun resources/2,
            <<"intelRdt">> => unsupported(<<"not set">>),
            <<"memoryPolicy">> => unsupported(<<"not set">>),
            <<"sysctl">> => fun(At, Values) -> sysctl(At, Values, Isolated) end,
            <<"seccomp">> => fun alcove_sandbox_oci_seccomp:items/2,
            <<"rootfsPropagation">> => fun propagation/2,
            <<"maskedPaths">> => fun(At, Paths) -> paths(At, Paths, masked) end,
            <<"readonlyPaths">> => fun(At, Paths) -> paths(At, Paths, read_only) end,
            <<"mountLabel">> => unsupported(<<"labels aren't applied">>),
            <<"personality">> => unsupported(<<"not set">>)
        }).

%% @doc The items that a configuration as a whole gives.
-spec together(term()) -> [item()].
together(Config) ->
    Types =
        case Config of
            #{<<"linux">> := Linux} -> types(Linux);
            _ -> []
        end,
    Own = [Type || Type <- ?TYPES, Type =/= <<"network">>, not lists:member(Type, Types)],
    [{set, network, host} || not lists:member(<<"network">>, Types)] ++
        [
            {stricter, <<"linux.namespaces">>,
                iolist_to_binary(["namespaces of its own also of ", lists:join(", ", Own)])}
         || Own =/= []
        ].

types(#{<<"namespaces">> := Namespaces}) when is_list(Namespaces) ->
    try
        [Type || #{<<"type">> := Type} <- Namespaces]
    catch
        %% No proper list, which is told elsewhere.
        error:_ -> []
    end;
types(_Linux) ->
    [].

namespaces(Path, Namespaces) ->
    Items = array(Path, Namespaces, fun namespace/2),
    Types = [Type || {namespace, Type} <- Items],
    [Item || Item <- Items, element(1, Item) =/= namespace] ++
        [
            {wrong, Path, {invalid, <<"one namespace of a type">>}}
         || Types -- lists:usort(Types) =/= []
        ].

namespace(Path, #{<<"type">> := Type} = Namespace) ->
    At = at(Path, <<"type">>),
    object(Path, Namespace, #{
        <<"type">> => fun alcove_sandbox_oci_items:fine/2,
        <<"path">> => unsupported(<<"namespaces are new ones">>)
    }) ++
        case lists:member(Type, ?TYPES) of
            true -> [{namespace, Type}];
            false when Type =:= <<"time">> -> [{unsupported, At, <<"clocks are the host's">>}];
            false -> [{wrong, At, {invalid, <<"a type of namespaces(7)">>}}]
        end;
namespace(Path, _Namespace) ->
    [{wrong, at(Path, <<"type">>), missing}].

%% The program is one user, who has another id outside.
mapped(Path, Linux, Uid, Gid) when is_map(Linux) ->
    Users = at(Path, <<"uidMappings">>),
    Groups = at(Path, <<"gidMappings">>),
    case
        {maps:get(<<"uidMappings">>, Linux, []), maps:get(<<"gidMappings">>, Linux, [])}
    of
        {[], []} ->
            [];
        {UidMap, GidMap} ->
            As = {outside(Uid, UidMap), outside(Gid, GidMap)},
            [
                {wrong, At, {invalid, <<"a mapping only with a user namespace">>}}
             || At <- [Users], not lists:member(<<"user">>, types(Linux))
            ] ++
                [
                    {wrong, At, {invalid, <<"a mapping of the program's own id">>}}
                 || {At, none} <- [{Users, element(1, As)}, {Groups, element(2, As)}]
                ] ++
                as(Users, As, several(UidMap, GidMap))
    end;
mapped(_Path, _Linux, _Uid, _Gid) ->
    [].

%% Only an ordinary user has more than one range: its own id, and those that /etc/subuid gives it.
several([_, _ | _] = UidMap, [_ | _] = GidMap) -> ranges(UidMap, GidMap);
several([_ | _] = UidMap, [_, _ | _] = GidMap) -> ranges(UidMap, GidMap);
several(_UidMap, _GidMap) -> [].

ranges(UidMap, GidMap) ->
    Ranges = fun(Mappings) ->
        [
            {Inside, Outside, Size}
         || #{
                <<"containerID">> := Inside, <<"hostID">> := Outside, <<"size">> := Size
            } <- Mappings
        ]
    end,
    try
        [{set, ids, {Ranges(UidMap), Ranges(GidMap)}}]
    catch
        %% No proper list, which is told elsewhere.
        error:_ -> []
    end.

%% The program never runs as the host's root.
as(Path, {Uid, Gid}, _Several) when Uid =:= 0; Gid =:= 0 ->
    [{stricter, Path, <<"to the host it is a user that nobody is, not root">>}];
as(Path, {Uid, Gid}, []) when is_integer(Uid), is_integer(Gid) ->
    [{set, as, {Uid, Gid}}, {stricter, Path, <<"no other id is mapped">>}];
as(Path, {Uid, Gid}, Several) when is_integer(Uid), is_integer(Gid) ->
    [{set, as, {Uid, Gid}}, {stricter, Path, <<"no other id is mapped by a Drv that is root">>}] ++
        Several;
as(_Path, _, _Several) ->
    [].

outside(Id, Mappings) when is_list(Mappings) ->
    try
        [
            Outside + Id - Inside
         || #{<<"containerID">> := Inside, <<"hostID">> := Outside, <<"size">> := Size} <- Mappings,
            Id >= Inside,
            Id < Inside + Size
        ]
    of
        [Found | _] -> Found;
        [] -> none
    catch
        error:_ -> none
    end;
outside(_Id, _Mappings) ->
    none.

mappings(Path, Mappings) ->
    Number = fun(At, Value) ->
        natural(At, Value, fun
            (N) when N < 16#ffffffff -> [];
            (_) -> [{wrong, At, {invalid, <<"below 2^32 - 1">>}}]
        end)
    end,
    Names = [<<"containerID">>, <<"hostID">>, <<"size">>],
    array(Path, Mappings, fun(At, Mapping) ->
        alcove_sandbox_oci_items:required(At, Mapping, Names) ++
            object(At, Mapping, maps:from_list([{Name, Number} || Name <- Names]))
    end).

%%--------------------------------------------------------------------
%% Resources
%%--------------------------------------------------------------------

resources(Path, Resources) ->
    object(Path, Resources, #{
        <<"memory">> => fun memory/2,
        <<"cpu">> => fun cpu/2,
        <<"pids">> => fun(At, Pids) ->
            object(At, Pids, #{<<"limit">> => fun(Here, Value) -> limit(Here, Value, pids) end})
        end,
        <<"devices">> => fun(At, Devices) -> array(At, Devices, fun device/2) end,
        <<"blockIO">> => unsupported(<<"not limited">>),
        <<"hugepageLimits">> => unsupported(<<"not limited">>),
        <<"network">> => unsupported(<<"not limited">>),
        <<"rdma">> => unsupported(<<"not limited">>),
        <<"unified">> => unsupported(<<"not written">>)
    }).

%% In existing runtimes, 0 means no limit.
limit(Path, Value, Name) ->
    integer(Path, Value, fun
        (N) when N > 0, N =< ?MOST -> [{limit, Name, N}];
        (-1) -> [{limit, Name, infinity}];
        (0) -> [];
        (_) -> [{wrong, Path, {invalid, <<"a limit, or -1 for none">>}}]
    end).

memory(Path, Memory) ->
    object(Path, Memory, #{
        <<"limit">> => fun(At, Value) -> limit(At, Value, memory) end,
        <<"swap">> => fun
            (_, -1) -> [];
            (At, _) -> [{unsupported, At, <<"swap isn't limited">>}]
        end,
        <<"reservation">> => unsupported(<<"not reserved">>),
        <<"kernel">> => unsupported(<<"not limited by itself">>),
        <<"kernelTCP">> => unsupported(<<"not limited by itself">>),
        <<"swappiness">> => unsupported(<<"not set">>),
        <<"disableOOMKiller">> => unsupported(<<"who has too much is ended">>),
        <<"useHierarchy">> => fun alcove_sandbox_oci_items:fine/2,
        <<"checkBeforeUpdate">> => fun alcove_sandbox_oci_items:fine/2
    }).

cpu(Path, Cpu) ->
    quota(Path, Cpu) ++
        object(Path, Cpu, #{
            <<"quota">> => fun alcove_sandbox_oci_items:fine/2,
            <<"period">> => fun alcove_sandbox_oci_items:fine/2,
            <<"shares">> => fun
                (_, Shares) when Shares =:= 0; Shares =:= ?SHARES -> [];
                (At, _) -> [{unsupported, At, <<"sandboxes weigh the same">>}]
            end,
            <<"burst">> => fun
                (_, 0) -> [];
                (At, _) -> [{stricter, At, <<"time that wasn't used isn't saved">>}]
            end,
            <<"realtimeRuntime">> => unsupported(<<"not set">>),
            <<"realtimePeriod">> => unsupported(<<"not set">>),
            <<"cpus">> => unsupported(<<"processors aren't chosen">>),
            <<"mems">> => unsupported(<<"nodes aren't chosen">>),
            <<"idle">> => fun
                (_, 0) -> [];
                (At, _) -> [{unsupported, At, <<"not set">>}]
            end
        }).

quota(Path, #{<<"quota">> := Quota} = Cpu) when is_integer(Quota), Quota > 0 ->
    At = at(Path, <<"quota">>),
    case period(Cpu) of
        Period when is_integer(Period), Quota =< ?CPUS * Period ->
            %% This is more than the configuration has: the second item says so, or is ignored.
            case Quota / Period of
                Cpus when Cpus < ?LEAST ->
                    [{limit, cpu, ?LEAST}, {unsupported, At, <<"less than 0.01 processors">>}];
                Cpus ->
                    [{limit, cpu, Cpus}]
            end;
        _ ->
            [{wrong, At, {invalid, <<"microseconds, as the period">>}}]
    end;
quota(Path, Cpu) when is_map(Cpu) ->
    case {maps:get(<<"quota">>, Cpu, 0), period(Cpu)} of
        {_, error} ->
            [{wrong, at(Path, <<"period">>), {invalid, <<"microseconds, a second at most">>}}];
        {-1, _} ->
            [{limit, cpu, infinity}];
        {0, _} ->
            [];
        _ ->
            [{wrong, at(Path, <<"quota">>), {invalid, <<"microseconds, as the period">>}}]
    end;
quota(_Path, _Cpu) ->
    [].

period(Cpu) ->
    case maps:get(<<"period">>, Cpu, 0) of
        0 -> ?PERIOD;
        Period when is_integer(Period), Period > 0, Period =< ?LONGEST -> Period;
        _ -> error
    end.

%% A sandbox has the devices of `dev', whatever the configuration denies, and no others.
device(Path, Device) ->
    object(Path, Device, #{
        <<"allow">> => fun(At, Value) ->
            boolean(At, Value, fun(Allowed) ->
                [{stricter, At, <<"there are no devices but those of /dev">>} || Allowed]
            end)
        end,
        <<"type">> => fun alcove_sandbox_oci_items:fine/2,
        <<"major">> => fun alcove_sandbox_oci_items:fine/2,
        <<"minor">> => fun alcove_sandbox_oci_items:fine/2,
        <<"access">> => fun alcove_sandbox_oci_items:fine/2
    }).

%%--------------------------------------------------------------------
%% The rest
%%--------------------------------------------------------------------

sysctl(Path, Values, Isolated) when is_map(Values) ->
    Table = maps:from_list([
        {Name, fun(At, Value) ->
            text(At, Value, fun(Text) -> one_sysctl(At, Name, Text, Isolated) end)
        end}
     || Name <- maps:keys(Values), is_binary(Name)
    ]),
    Items = object(Path, Values, Table),
    Own = [{Name, Text} || {sysctl, {Name, Text}} <- Items],
    [Item || Item <- Items, element(1, Item) =/= sysctl] ++
        [{set, sysctl, maps:from_list(Own)} || Own =/= []];
sysctl(Path, _Values, _Isolated) ->
    [{wrong, Path, {invalid, <<"an object">>}}].

one_sysctl(Path, Name, Text, Isolated) ->
    case alcove_sandbox_kinds:is_own(Name, Isolated) of
        true -> [{sysctl, {Name, Text}}];
        false -> [{unsupported, Path, <<"not of its own namespaces">>}]
    end.

propagation(Path, Value) ->
    text(Path, Value, fun(How) ->
        case lists:member(How, [<<>>, <<"private">>, <<"rprivate">>, <<"slave">>, <<"rslave">>]) of
            true ->
                [];
            false ->
                case
                    lists:member(How, [
                        <<"shared">>, <<"rshared">>, <<"unbindable">>, <<"runbindable">>
                    ])
                of
                    true -> [{stricter, Path, <<"mounts are private">>}];
                    false -> [{wrong, Path, {invalid, <<"a propagation of mount(8)">>}}]
                end
        end
    end).

paths(Path, Paths, How) ->
    Items = array(Path, Paths, fun(At, Value) ->
        path(At, Value, fun
            (<<"/">>) -> [{wrong, At, {invalid, <<"a path in the root directory">>}}];
            (Named) -> [{How, [{How, Named}]}]
        end)
    end),
    lists:usort(Items).
