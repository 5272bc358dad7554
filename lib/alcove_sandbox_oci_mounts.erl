%% @private
%% @doc The mounts of an OCI configuration.
%%
%% A runtime fills a tmpfs at /dev with devices. So such a mount becomes the `dev' of a sandbox,
%% which includes terminals and shared memory.
-module(alcove_sandbox_oci_mounts).

-export([items/4]).

-import(alcove_sandbox_oci_items, [array/3, at/2, nth/2, object/3, path/3, required/3, text/3]).

-type item() :: alcove_sandbox_oci_items:item().

%% What a tmpfs has that isn't limited by its options.
-define(SIZE, (64 bsl 20)).
%% The kernel takes a larger size for a smaller one, or for none.
-define(MOST, 16#7fffffffffffffff).
%% Options about restrictions that always hold, and about times of access, which have no effect.
-define(SO, [
    <<"defaults">>, <<"nosuid">>, <<"rnosuid">>, <<"nodev">>, <<"rnodev">>, <<"private">>,
    <<"rprivate">>, <<"slave">>, <<"rslave">>, <<"async">>, <<"loud">>, <<"silent">>, <<"nomand">>,
    <<"relatime">>, <<"rrelatime">>, <<"norelatime">>, <<"rnorelatime">>, <<"strictatime">>,
    <<"rstrictatime">>, <<"nostrictatime">>, <<"rnostrictatime">>, <<"atime">>, <<"ratime">>,
    <<"noatime">>, <<"rnoatime">>, <<"diratime">>, <<"rdiratime">>, <<"nodiratime">>,
    <<"rnodiratime">>, <<"lazytime">>, <<"nolazytime">>
]).
-define(NEVER, #{
    <<"suid">> => <<"without setuid programs">>,
    <<"rsuid">> => <<"without setuid programs">>,
    <<"dev">> => <<"without devices">>,
    <<"rdev">> => <<"without devices">>,
    <<"shared">> => <<"mounts are private">>,
    <<"rshared">> => <<"mounts are private">>,
    <<"unbindable">> => <<"mounts are private">>,
    <<"runbindable">> => <<"mounts are private">>
}).
-define(FLAGS, #{
    <<"ro">> => {ro, true},
    <<"rro">> => {ro, true},
    <<"rw">> => {ro, false},
    <<"rrw">> => {ro, false},
    <<"noexec">> => {noexec, true},
    <<"rnoexec">> => {noexec, true},
    <<"exec">> => {noexec, false},
    <<"rexec">> => {noexec, false},
    <<"bind">> => {bind, [alone]},
    <<"rbind">> => {bind, []}
}).

-record(mount, {
    path :: alcove_sandbox_oci_items:path(),
    target :: binary(),
    type :: binary(),
    source :: binary() | none,
    flags = #{} :: #{atom() => term()},
    %% Options of the file system itself, each with its path in the configuration.
    data = [] :: [{alcove_sandbox_oci_items:path(), binary()}]
}).

-spec items(
    alcove_sandbox_oci_items:path(),
    term(),
    Bundle :: binary(),
    {Uid :: non_neg_integer(), Gid :: non_neg_integer()}
) -> [item()].
items(Path, Mounts, Bundle, Ids) ->
    Read = array(Path, Mounts, fun read/2),
    All = [Mount || {mount, Mount} <- Read],
    {Items, _} = lists:mapfoldl(
        fun(Mount, Before) -> {made(Mount, Before, Bundle, Ids), [Mount | Before]} end, [], All
    ),
    [Item || Item <- Read, element(1, Item) =/= mount] ++
        lists:append(Items) ++
        [{stricter, Path, <<"there are no devices">>} || not lists:any(fun is_dev/1, All)].

%% A mount with its options looked at, and what is wrong with them.
read(Path, Mount) ->
    Required = required(Path, Mount, [<<"destination">>]),
    Items =
        Required ++
            object(Path, Mount, #{
                <<"destination">> => fun(At, Value) ->
                    path(At, Value, fun
                        (<<"/">>) -> [{wrong, At, {invalid, <<"a path in the root directory">>}}];
                        (Target) -> [{target, Target}]
                    end)
                end,
                <<"type">> => fun(At, Value) -> text(At, Value, fun(T) -> [{type, T}] end) end,
                <<"source">> => fun(At, Value) -> text(At, Value, fun(S) -> [{source, S}] end) end,
                <<"options">> => fun(At, Options) -> array(At, Options, fun option/2) end,
                <<"uidMappings">> => alcove_sandbox_oci_items:unsupported(<<"ids aren't mapped">>),
                <<"gidMappings">> => alcove_sandbox_oci_items:unsupported(<<"ids aren't mapped">>)
            }),
    Own = [target, type, source, flag, data],
    Others = [Item || Item <- Items, not lists:member(element(1, Item), Own)],
    Others ++
        case lists:keyfind(target, 1, Items) of
            {target, Target} ->
                [
                    {mount, #mount{
                        path = Path,
                        target = Target,
                        type = proplists:get_value(type, Items, <<>>),
                        source = proplists:get_value(source, Items, none),
                        flags = maps:from_list([Flag || {flag, Flag} <- Items]),
                        data = [Data || {data, Data} <- Items]
                    }}
                ];
            false ->
                []
        end.

option(Path, Value) ->
    text(Path, Value, fun(Option) ->
        case {lists:member(Option, ?SO), ?NEVER, ?FLAGS} of
            {true, _, _} -> [];
            {_, #{Option := How}, _} -> [{stricter, Path, How}];
            {_, _, #{Option := Flag}} -> [{flag, Flag}];
            _ -> [{data, {Path, Option}}]
        end
    end).

is_dev(#mount{type = <<"tmpfs">>, target = <<"/dev">>, flags = Flags}) ->
    not is_map_key(bind, Flags);
is_dev(#mount{}) ->
    false.

%%--------------------------------------------------------------------
%% By type
%%--------------------------------------------------------------------

made(#mount{flags = #{bind := How}} = Mount, Before, Bundle, _Ids) ->
    bind(Mount, How, Before, Bundle);
made(#mount{type = <<"bind">>} = Mount, Before, Bundle, _Ids) ->
    bind(Mount, [alone], Before, Bundle);
made(#mount{type = <<"proc">>, target = Target} = Mount, _Before, _Bundle, _Ids) ->
    none(Mount) ++
        [{mounts, [{proc, Target}] ++ [{read_only, Target} || flag(ro, Mount)]}];
made(#mount{type = <<"sysfs">>, target = Target} = Mount, _Before, _Bundle, _Ids) ->
    none(Mount) ++
        [{mounts, [{sysfs, Target}]}] ++
        [{stricter, Mount#mount.path, <<"read-only">>} || not flag(ro, Mount)];
made(#mount{type = <<"mqueue">>, target = Target} = Mount, _Before, _Bundle, _Ids) ->
    none(Mount) ++
        [{mounts, [{mqueue, Target}] ++ [{read_only, Target} || flag(ro, Mount)]}];
made(#mount{type = Type, target = Target, path = Path}, _Before, _Bundle, _Ids) when
    Type =:= <<"cgroup">>; Type =:= <<"cgroup2">>
->
    [{mounts, [{empty, Target}]}, {stricter, Path, <<"empty">>}];
made(#mount{type = <<"tmpfs">>, path = Path} = Mount, Before, _Bundle, Ids) ->
    case is_dev(Mount) of
        true ->
            [
                {mounts, [{dev, <<"/dev">>, []}]},
                {stricter, Path, <<"read-only, and with nothing but devices">>}
            ] ++ element(1, memory(Mount, Ids));
        false ->
            tmpfs(Mount, lists:any(fun is_dev/1, Before), Ids)
    end;
made(#mount{type = <<"devpts">>, target = <<"/dev/pts">>} = Mount, Before, _Bundle, _Ids) ->
    case lists:any(fun is_dev/1, Before) of
        true -> terminals(Mount);
        false -> [unsupported_type(Mount)]
    end;
made(#mount{type = Type, path = Path}, _Before, _Bundle, _Ids) when
    Type =:= <<>>; Type =:= <<"none">>
->
    [{wrong, at(Path, <<"type">>), {invalid, <<"a type, or the option bind or rbind">>}}];
made(Mount, _Before, _Bundle, _Ids) ->
    [unsupported_type(Mount)].

unsupported_type(#mount{path = Path}) ->
    {unsupported, at(Path, <<"type">>), <<"no such file system for a sandbox">>}.

flag(Name, #mount{flags = Flags}) -> maps:get(Name, Flags, false).

%% Options of the file system that aren't known.
none(#mount{data = Data}) ->
    [unsupported_option(Path) || {Path, _} <- Data].

unsupported_option(Path) ->
    {unsupported, Path, <<"no such option for this type">>}.

bind(#mount{path = Path, source = none}, _How, _Before, _Bundle) ->
    [{wrong, at(Path, <<"source">>), missing}];
bind(#mount{path = Path, target = Target, source = Given} = Mount, How, Before, Bundle) ->
    Source = iolist_to_binary(filename:join(Bundle, Given)),
    Access =
        case flag(ro, Mount) of
            true -> ro;
            false -> rw
        end,
    none(Mount) ++
        path(at(Path, <<"source">>), Source, fun(From) ->
            [
                {mounts, [{Access, From, Target, How ++ [noexec || flag(noexec, Mount)]}]}
             || not is_own_device(From, Target, Before)
            ]
        end).

%% A device that a `dev' has anyway. A mount of it would be one without devices.
is_own_device(<<"/dev/", Name/binary>> = Path, Path, Before) ->
    lists:member({Name, file}, alcove_sandbox_parts:devices()) andalso
        lists:any(fun is_dev/1, Before);
is_own_device(_Source, _Target, _Before) ->
    false.

terminals(#mount{data = Data}) ->
    [
        unsupported_option(Path)
     || {Path, Option} <- Data,
        not lists:member(Option, [
            <<"newinstance">>, <<"ptmxmode=0666">>, <<"mode=0620">>, <<"gid=5">>
        ])
    ].

tmpfs(#mount{target = Target} = Mount, HasDev, Ids) ->
    {Items, Size, Options} = tmpfs_options(Mount, Ids),
    Shared = HasDev andalso Target =:= <<"/dev/shm">> andalso Size =:= ?SIZE andalso
        maps:with([mode, ro, noexec], Options) =:= #{mode => 8#1777, noexec => true},
    Items ++ [{mounts, [{tmpfs, Target, Size, Options}]} || not Shared].

tmpfs_options(Mount, {Uid, Gid} = Ids) ->
    {Items, Data} = memory(Mount, Ids),
    Owner =
        case {maps:get(uid, Data, 0), maps:get(gid, Data, 0)} of
            {Uid, _} -> program;
            {0, 0} -> root;
            {0, Gid} -> root
        end,
    Flags = [{Flag, true} || Flag <- [ro, noexec], flag(Flag, Mount)],
    Options = maps:from_list([{owner, Owner}, {mode, maps:get(mode, Data, 8#1777)} | Flags]),
    {Items, maps:get(size, Data, ?SIZE), Options}.

%% The parsed options of a tmpfs, and the errors in them.
memory(#mount{data = Options}, Ids) ->
    Items = lists:append([memory(Path, Option, Ids) || {Path, Option} <- Options]),
    {
        [Item || Item <- Items, element(1, Item) =/= is],
        maps:from_list([Is || {is, Is} <- Items])
    }.

memory(Path, Option, {Uid, Gid}) ->
    case binary:split(Option, <<"=">>) of
        [<<"size">>, Value] ->
            case amount(Value) of
                error -> [{wrong, Path, {invalid, <<"a size in bytes, or with k, m or g">>}}];
                percent -> [{unsupported, Path, <<"not a part of the machine's memory">>}];
                0 -> [{stricter, Path, <<"64 MiB">>}];
                Size when Size > ?MOST -> [{wrong, Path, {invalid, <<"a size below 8 EiB">>}}];
                Size -> [{is, {size, Size}}]
            end;
        [<<"mode">>, Value] ->
            case number(Value, 8) of
                Mode when is_integer(Mode), Mode =< 8#1777 -> [{is, {mode, Mode}}];
                _ -> [{wrong, Path, {invalid, <<"an octal mode of at most 1777">>}}]
            end;
        [<<"uid">>, Value] ->
            owner(Path, uid, number(Value, 10), Uid);
        [<<"gid">>, Value] ->
            owner(Path, gid, number(Value, 10), Gid);
        _ ->
            [unsupported_option(Path)]
    end.

owner(_Path, Name, Id, Own) when Id =:= 0; Id =:= Own -> [{is, {Name, Id}}];
owner(Path, _Name, error, _Own) -> [{wrong, Path, {invalid, <<"an id">>}}];
owner(Path, _Name, _Id, _Own) -> [{unsupported, Path, <<"neither the program's nor root's">>}].

number(Text, Base) ->
    try binary_to_integer(Text, Base) of
        N when N >= 0 -> N;
        _ -> error
    catch
        error:badarg -> error
    end.

amount(Text) ->
    Parts = [{capture, all_but_first, binary}, dollar_endonly],
    case re:run(Text, "^([0-9]{1,15})([kmgKMG%]?)$", Parts) of
        {match, [_, <<"%">>]} -> percent;
        {match, [Number, Unit]} -> binary_to_integer(Number) bsl bits(string:lowercase(Unit));
        nomatch -> error
    end.

bits(<<>>) -> 0;
bits(<<"k">>) -> 10;
bits(<<"m">>) -> 20;
bits(<<"g">>) -> 30.
