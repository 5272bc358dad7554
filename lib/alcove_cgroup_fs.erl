%% @private
%% @doc The files of control groups, through the Unix process at a fork path.
%%
%% Its privileges, its root directory and its mounts are what counts, not those of
%% the virtual machine.
-module(alcove_cgroup_fs).

-export([read/2, write/3, mkdir/2, rmdir/2, is_dir/2, is_file/2, tree/2]).
-export([mounts/1, hierarchies/1]).

-export_type([process/0, hierarchy/0]).

-type process() :: {alcove:drv(), alcove:fork_path()}.
-type hierarchy() :: #{version := 1 | 2, path := binary(), options := [binary()]}.
%% Where a hierarchy is mounted, and its options: in version 1 controllers are among
%% them, in version 2 `cgroup2' and the controllers that it offers are added.

-define(CHUNK, 65536).

%% @doc The whole of a file.
-spec read(process(), binary()) -> {ok, binary()} | {error, alcove:posix()}.
read(Process, Path) ->
    case open(Process, Path, [o_rdonly]) of
        {ok, FD} ->
            try
                read_on(Process, FD, [])
            after
                close(Process, FD)
            end;
        {error, _} = Error ->
            Error
    end.

%% The kernel makes up these files as they are read: only the end says how long one is.
read_on({Drv, Pids} = Process, FD, Read) ->
    case alcove:read(Drv, Pids, FD, ?CHUNK) of
        {ok, <<>>} -> {ok, iolist_to_binary(lists:reverse(Read))};
        {ok, Bytes} -> read_on(Process, FD, [Bytes | Read]);
        {error, _} = Error -> Error
    end.

%% @doc Writes to a file that exists, in one write(2): it is one command to the kernel.
-spec write(process(), binary(), iodata()) -> {ok, non_neg_integer()} | {error, alcove:posix()}.
write({Drv, Pids} = Process, Path, Data) ->
    case open(Process, Path, [o_wronly]) of
        {ok, FD} ->
            try
                alcove:write(Drv, Pids, FD, Data)
            after
                close(Process, FD)
            end;
        {error, _} = Error ->
            Error
    end.

open({Drv, Pids}, Path, Flags) ->
    alcove:open(Drv, Pids, Path, [o_cloexec | Flags], 0).

close({Drv, Pids}, FD) ->
    _ = alcove:close(Drv, Pids, FD),
    ok.

can_open(Process, Path, Flags) ->
    case open(Process, Path, Flags) of
        {ok, FD} ->
            close(Process, FD),
            true;
        {error, _} ->
            false
    end.

-spec mkdir(process(), binary()) -> ok | {error, alcove:posix()}.
mkdir({Drv, Pids}, Path) ->
    alcove:mkdir(Drv, Pids, Path, 8#755).

-spec rmdir(process(), binary()) -> ok | {error, alcove:posix()}.
rmdir({Drv, Pids}, Path) ->
    alcove:rmdir(Drv, Pids, Path).

%% @doc Whether there is a directory that the process may read.
-spec is_dir(process(), iodata()) -> boolean().
is_dir(Process, Path) ->
    can_open(Process, Path, [o_rdonly, o_directory]).

%% @doc Whether there is a file that the process may read.
-spec is_file(process(), iodata()) -> boolean().
is_file(Process, Path) ->
    %% A named pipe would wait for a writer.
    can_open(Process, Path, [o_rdonly, o_nonblock]) andalso not is_dir(Process, Path).

%% @doc A group's directory and those of the groups in it, at any depth.
-spec tree(process(), binary()) -> {ok, [binary()]} | {error, {binary(), alcove:posix()}}.
tree({Drv, Pids} = Process, Path) ->
    case alcove:readdir(Drv, Pids, Path) of
        {ok, Names} -> trees(Process, [join(Path, Name) || Name <- Names], [Path]);
        %% A file, or a group that is gone by now.
        {error, Reason} when Reason =:= enotdir; Reason =:= enoent -> {ok, []};
        {error, Reason} -> {error, {Path, Reason}}
    end.

trees(Process, [Path | Paths], Found) ->
    case tree(Process, Path) of
        {ok, More} -> trees(Process, Paths, Found ++ More);
        Error -> Error
    end;
trees(_Process, [], Found) ->
    {ok, Found}.

join(Path, Name) ->
    alcove_cgroup_text:join(Path, [Name]).

%% @doc What is mounted, as the process sees it.
-spec mounts(process()) ->
    {ok, [alcove_cgroup_text:mount()]} | {error, alcove:posix()}.
mounts(Process) ->
    case read(Process, <<"/proc/self/mountinfo">>) of
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
             || #{type := Type} = Mount <- Mounts, lists:member(Type, Types), visible(Mount, Mounts)
            ],
            {ok, [hierarchy(Process, Mount) || Mount <- once(Found)]};
        {error, _} = Error ->
            Error
    end.

%% Whether no mount covers this one: what is mounted at its directory or at one above
%% lies below it.
visible(#{path := Path} = Mount, Mounts) ->
    Below = below(Mount, maps:from_list([{Id, Other} || #{id := Id} = Other <- Mounts])),
    lists:all(
        fun(#{id := Id, path := Other}) ->
            lists:member(Id, Below) orelse not covers(Other, Path)
        end,
        Mounts
    ).

%% The mounts that a mount lies on, itself included.
below(#{id := Id, parent := Parent}, ById) ->
    case ById of
        #{Parent := Mount} when Parent =/= Id -> [Id | below(Mount, maps:remove(Id, ById))];
        _ -> [Id]
    end.

covers(<<"/">>, _Path) ->
    true;
covers(Above, Path) ->
    Size = byte_size(Above),
    case Path of
        Above -> true;
        <<Above:Size/binary, "/", _/binary>> -> true;
        _ -> false
    end.

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

hierarchy(_Process, #{type := <<"cgroup">>, path := Path} = Mount) ->
    #{version => 1, path => Path, options => options(Mount)};
hierarchy(Process, #{type := <<"cgroup2">>, path := Path} = Mount) ->
    Controllers =
        case read(Process, join(Path, <<"cgroup.controllers">>)) of
            {ok, Text} -> alcove_cgroup_text:words(Text);
            %% Not to be reached: what it offers, it doesn't offer to this process.
            {error, _} -> []
        end,
    #{version => 2, path => Path, options => options(Mount) ++ [<<"cgroup2">> | Controllers]}.

options(#{options := Options, super := Super}) ->
    Options ++ (Super -- Options).
