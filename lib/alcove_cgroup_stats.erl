%% @private
%% @doc What the members of a group have used, as its files say.
-module(alcove_cgroup_stats).

-export([read/2, oom_kills/2]).

-export_type([figures/0]).

-type figures() :: {
    Kind :: memory | pids | cpu,
    Controller :: binary(),
    [{Name :: atom(), File :: binary(), Key :: binary() | value | all, Unit :: pos_integer()}]
}.

%% @doc The figures of the directories of a group.
-spec read(alcove_file:process(), [{alcove_cgroup_paths:hierarchy(), binary()}]) ->
    alcove_cgroup:stats().
read(Process, Groups) ->
    read(Process, Groups, known()).

%% @doc How many processes were killed at the limit of memory; 0 where nobody counts them.
-spec oom_kills(alcove_file:process(), [{alcove_cgroup_paths:hierarchy(), binary()}]) ->
    non_neg_integer().
oom_kills(Process, Groups) ->
    Wanted = [
        {Version, {memory, Controller, [Figure]}}
     || {Version, {memory, Controller, Figures}} <- known(),
        {oom_kills, _, _, _} = Figure <- Figures
    ],
    case read(Process, Groups, Wanted) of
        #{memory := #{oom_kills := Kills}} -> Kills;
        _ -> 0
    end.

%% If both versions have a figure, that of version 1 comes later and wins.
known() ->
    [{2, Figures} || Figures <- alcove_cgroup_v2:figures()] ++
        [{1, Figures} || Figures <- alcove_cgroup_v1:figures()].

read(Process, Groups, Known) ->
    lists:foldl(
        fun
            ({_Kind, Map}, Stats) when map_size(Map) =:= 0 -> Stats;
            ({Kind, Map}, Stats) -> Stats#{Kind => maps:merge(maps:get(Kind, Stats, #{}), Map)}
        end,
        #{},
        [
            {Kind, figures(Process, Path, Wanted)}
         || {Version, {Kind, Controller, Wanted}} <- Known,
            {#{version := V, options := Options}, Path} <- Groups,
            V =:= Version,
            lists:member(Controller, Options)
        ]
    ).

figures(Process, Path, Wanted) ->
    Files = lists:usort([File || {_, File, _, _} <- Wanted]),
    Texts = [{File, text(Process, alcove_cgroup_text:join(Path, [File]))} || File <- Files],
    maps:from_list([
        {Name, Value}
     || {Name, File, Key, Unit} <- Wanted,
        {ok, Value} <- [figure(proplists:get_value(File, Texts), Key, Unit)]
    ]).

text(Process, File) ->
    case alcove_file:read(Process, File) of
        {ok, Text} -> Text;
        {error, enoent} -> none;
        {error, Reason} -> alcove_cgroup_fs:fail({File, Reason})
    end.

figure(none, _Key, _Unit) ->
    none;
figure(Text, value, Unit) ->
    in_unit(alcove_cgroup_text:value(string:trim(Text)), Unit);
figure(Text, Key, Unit) ->
    case {Key, alcove_cgroup_text:keyed(Text)} of
        {all, {ok, Map}} -> {ok, Map};
        {_, {ok, #{Key := Value}}} -> in_unit(Value, Unit);
        _ -> none
    end.

in_unit(N, Unit) when is_integer(N) -> {ok, N div Unit};
in_unit(max, _Unit) -> {ok, max};
in_unit(_, _Unit) -> none.
