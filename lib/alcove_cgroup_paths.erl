%% @private
%% @doc Where control groups are, as the process at a fork path sees it.
-module(alcove_cgroup_paths).

-export([mounts/1, hierarchies/1, visible/1, own/2, with/2]).

-export_type([hierarchy/0]).

-type process() :: alcove_file:process().
-type hierarchy() :: #{
    version := 1 | 2, path := binary(), root := binary(), options := [binary()]
}.
%% Where a hierarchy is mounted, which group of it is mounted there, and its options: in
%% version 1 controllers are among them, in version 2 `cgroup2' and the controllers
%% that it offers are added.

%% @doc What is mounted, as the process sees it.
-spec mounts(process()) -> {ok, [alcove_cgroup_text:mount()]} | {error, alcove:posix()}.
mounts(Process) ->
    case alcove_file:read(Process, <<"/proc/self/mountinfo">>) of
        {ok, Text} -> {ok, alcove_cgroup_text:mountinfo(Text)};
        {error, _} = Error -> Error
    end.

%% @doc The hierarchies that are mounted, each once, in the order of their mounts.
-spec hierarchies(process()) -> {ok, [hierarchy()]} | {error, alcove:posix()}.
hierarchies(Process) ->
    case mounts(Process) of
        {ok, Mounts} ->
            Types = [<<"cgroup">>, <<"cgroup2">>],
            Found = [
                Mount
             || #{type := Type} = Mount <- visible(Mounts), lists:member(Type, Types)
            ],
            try
                {ok, [hierarchy(Process, Mount) || Mount <- once(Found)]}
            catch
                throw:{alcove_cgroup, {fail, {_File, Reason}}} -> {error, Reason}
            end;
        {error, _} = Error ->
            Error
    end.

%% @doc The mounts that a path leads to: not those that others cover, at the same directory
%% or above.
-spec visible([alcove_cgroup_text:mount()]) -> [alcove_cgroup_text:mount()].
visible(Mounts) ->
    Ids = [Id || #{id := Id} <- Mounts],
    %% A path that lies on no mount of the list lies on the mount that has the process's root
    %% directory.
    On = fun(#{id := Id, parent := Parent}) ->
        case Parent =/= Id andalso lists:member(Parent, Ids) of
            true -> Parent;
            false -> outside
        end
    end,
    %% If there are several mounts at one place, the last one covers the others.
    Places = maps:from_list([
        {{On(Mount), Path}, Id}
     || #{id := Id, path := Path} = Mount <- Mounts
    ]),
    [
        Mount
     || #{id := Id, path := Path} = Mount <- Mounts,
        walk(Places, outside, steps(Path)) =:= Id
    ].

%% Follows a path as the kernel does: at each directory it goes on with what is mounted there.
walk(Places, Mount, [Path | Steps]) ->
    case Places of
        #{{Mount, Path} := Next} -> walk(maps:remove({Mount, Path}, Places), Next, [Path | Steps]);
        _ -> walk(Places, Mount, Steps)
    end;
walk(_Places, Mount, []) ->
    Mount.

%% A path and those above it, from the root.
steps(Path) ->
    Names = binary:split(Path, <<"/">>, [global, trim_all]),
    [
        <<"/">>
        | [
            alcove_cgroup_text:join(<<>>, lists:sublist(Names, N))
         || N <- lists:seq(1, length(Names))
        ]
    ].

%% A hierarchy is one file system however often it is mounted, whole or in part: the
%% whole is preferred.
once(Mounts) ->
    [Mount || #{device := Device} = Mount <- Mounts, Mount =:= best(Device, Mounts)].

best(Device, Mounts) ->
    Same = [Mount || #{device := Other} = Mount <- Mounts, Other =:= Device],
    case [Mount || #{root := <<"/">>} = Mount <- Same] of
        [Whole | _] -> Whole;
        [] -> hd(Same)
    end.

hierarchy(_Process, #{type := <<"cgroup">>, path := Path, root := Root} = Mount) ->
    #{version => 1, path => Path, root => Root, options => options(Mount)};
hierarchy(Process, #{type := <<"cgroup2">>, path := Path, root := Root} = Mount) ->
    %% If the process can't reach the hierarchy, it can't use what the hierarchy offers.
    Controllers = alcove_cgroup_fs:words(
        Process, alcove_cgroup_text:join(Path, [<<"cgroup.controllers">>])
    ),
    #{
        version => 2,
        path => Path,
        root => Root,
        options => options(Mount) ++ [<<"cgroup2">> | Controllers]
    }.

options(#{options := Options, super := Super}) ->
    Options ++ (Super -- Options).

%% @doc The hierarchies that have a controller; all, for `<<>>'.
-spec with(binary(), [hierarchy()]) -> [hierarchy()].
with(<<>>, Hierarchies) ->
    Hierarchies;
with(Controller, Hierarchies) ->
    [
        Hierarchy
     || #{options := Options} = Hierarchy <- Hierarchies, lists:member(Controller, Options)
    ].

%% @doc The directory of the group that the process is a member of. `{error, enoent}': it is
%% not below what is mounted, or not below the root of the process's namespace of control groups.
-spec own(process(), hierarchy()) -> {ok, binary()} | {error, alcove:posix()}.
own(Process, #{path := Path, root := Root} = Hierarchy) ->
    case alcove_file:read(Process, <<"/proc/self/cgroup">>) of
        {ok, Text} ->
            Own = [
                Group
             || {Controllers, Group} <- alcove_cgroup_text:memberships(Text),
                is_of(Controllers, Hierarchy)
            ],
            case Own of
                [Group | _] -> below(Path, Root, Group);
                [] -> {error, enoent}
            end;
        {error, _} = Error ->
            Error
    end.

is_of([], #{version := Version}) -> Version =:= 2;
is_of(Controllers, #{version := 1, options := Options}) -> Controllers -- Options =:= [];
is_of(_Controllers, _Hierarchy) -> false.

below(Path, <<"/">>, <<"/", Rest/binary>>) ->
    joined(Path, Rest);
below(Path, Root, Group) ->
    Size = byte_size(Root),
    case Group of
        Root -> {ok, Path};
        <<Root:Size/binary, "/", Rest/binary>> -> joined(Path, Rest);
        _ -> {error, enoent}
    end.

%% The kernel writes `/..' for each group that is above the root of the process's namespace of
%% control groups. As a path that would lead out of the hierarchy, to another file system.
joined(Path, Rest) ->
    Names = binary:split(Rest, <<"/">>, [global, trim_all]),
    case lists:member(<<"..">>, Names) of
        true -> {error, enoent};
        false -> {ok, alcove_cgroup_text:join(Path, Names)}
    end.
