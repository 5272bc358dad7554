%% @private
%% @doc Where the paths of a spec lead in the new root.
%%
%% A root directory may be hostile: an image of a stranger, or one in which a program has run that
%% could write to it. So the process that makes a sandbox, which has root's rights, follows no link
%% at all. The links are followed here, before it starts, as text: each name on a path is looked up
%% where the mounts before it have put that part of the path, and the text of a link leads to
%% another path in the new root. What comes out is a path without a link, and the calls are told to
%% fail if there is one on it all the same, because somebody made one meanwhile.
%%
%% A link of the root directory may lead a mount anywhere inside, as that takes nothing from
%% anybody. But nothing is made, and no owner is changed, in a directory of the host that is only
%% reached over such a link.
-module(alcove_sandbox_paths).

-export([resolved/3]).

-export_type([step/0, found/0]).

-type mount() :: alcove_sandbox_spec:mount().
-type path() :: binary().
%% What is at a path of the host; a link isn't followed.
-type found() :: directory | file | absent | {link, Text :: binary()} | {unknown, term()}.
%% A mount, and what has to be made for it before, in this order.
-type step() :: {mount(), [{directory | file, path()}]}.

%% As many links as the kernel follows.
-define(LINKS, 40).
%% The paths of a sysfs that tell much about the machine and its firmware; runc hides the first,
%% too.
-define(SYSFS, [<<"/firmware">>, <<"/devices/virtual/powercap">>]).

-record(inside, {
    here :: alcove_sandbox_plan:here(),
    %% Whether programs can write to the root directory, and thus make links in it.
    writable :: boolean(),
    %% Whether nobody can.
    fixed :: boolean(),
    %% What was looked up in directories of the host, and in file systems of the kernel.
    seen = #{} :: #{{host | kernel, path()} => found()},
    %% What is known of the new root besides, since it was made for the spec.
    made = #{<<"/">> => directory} :: #{path() => directory | file | {link, binary()}},
    %% What is mounted where, the last first; the root is at the empty path.
    mounted :: [{path(), Source :: own | {host | alone | kernel, path()}}],
    %% What is hidden already.
    hidden = #{} :: #{path() => masked | read_only}
}).

%% A path that was walked.
-record(walked, {
    path :: path(),
    found :: directory | file | absent,
    %% The directories that don't exist, from the upper one on; the last is the path itself.
    missing = [] :: [path()],
    links = 0 :: non_neg_integer(),
    %% The mounts of the host, and the root directory, in which there were links.
    foreign = [] :: [path()]
}).

%% @doc The mounts, each with a target without links. Each mount that hides something also has the
%% kind of what it hides: where nothing is, nothing has to be hidden.
%%
%% Throws `{plan, {Path, Reason}}': `eloop' for a path with a link in it if it is to be hidden, if
%% it is one of the kernel's file systems, on which the program relies, or if something would have
%% to be made where the link leads and must not be; `eexist' for a name that is there already;
%% `erofs' if something would have to be made in a root directory that is read-only; `exdev' for a
%% path that is to be hidden in a directory that was mounted without what is mounted below it, if it
%% is in one of those.
-spec resolved(alcove_sandbox_spec:root(), [mount()], alcove_sandbox_plan:here()) -> [step()].
resolved(Root, Mounts, Here) ->
    Below =
        case Root of
            {tmpfs, _} -> own;
            _ -> {host, element(2, Root)}
        end,
    Inside = #inside{
        here = Here,
        writable = element(1, Root) =:= rw,
        fixed = element(1, Root) =:= ro,
        mounted = [{<<>>, Below}]
    },
    {Steps, _} = lists:mapfoldl(fun step/2, Inside, Mounts),
    lists:append(Steps).

step(Mount, #inside{fixed = Fixed} = Inside) ->
    {Steps, _} = Placed = placed(Mount, Inside),
    [
        throw({plan, {Path, erofs}})
     || Fixed, Path <- lists:flatmap(fun makes/1, Steps), is_in_root(covering(Path, Inside))
    ],
    Placed.

%% What a step makes or changes.
makes({Mount, Made}) ->
    Above = [Path || {_, Path} <- Made],
    case Mount of
        {dir, Path, _} -> Above ++ [Path];
        {file, Path, _, _} -> Above ++ [Path];
        {symlink, _, Path} -> Above ++ [Path];
        _ -> Above
    end.

is_in_root({Target, _}) -> Target =:= <<>>.

placed({How, Source, Target}, Inside) when How =:= ro; How =:= rw ->
    {Path, Made, Now} = bound({host, Source}, Target, Inside),
    {[{{How, Source, Path}, Made}], Now};
placed({How, Source, Target, Options}, Inside) when How =:= ro; How =:= rw ->
    From =
        case lists:member(alone, Options) of
            true -> {alone, Source};
            false -> {host, Source}
        end,
    {Path, Made, Now} = bound(From, Target, Inside),
    {[{{How, Source, Path, Options}, Made}], Now};
placed({tmpfs, Target, Size, Options}, Inside) ->
    {Path, Made, Now} = mounted(Target, own, directory, Inside),
    {[{{tmpfs, Path, Size, Options}, Made}], Now};
placed({proc, Target} = Mount, Inside) ->
    Hides = [{How, [Target, "/", Name]} || {How, Name} <- alcove_sandbox_parts:hides()],
    with_hidden(Mount, <<"/proc">>, Hides, Inside);
placed({sysfs, Target} = Mount, Inside) ->
    with_hidden(Mount, <<"/sys">>, [{masked, [Target, Path]} || Path <- ?SYSFS], Inside);
placed({dev, Target, Names} = Mount, Inside) ->
    {Made, #inside{made = Known} = Now} = of_kernel(Target, own, Inside),
    At = fun(Name) -> <<Target/binary, "/", Name/binary>> end,
    Holds = maps:from_list(
        [{At(Name), What} || {Name, What} <- alcove_sandbox_parts:devices()] ++
            [{At(Name), directory} || Name <- Names]
    ),
    {[{Mount, Made}], Now#inside{made = maps:merge(Known, Holds)}};
placed({How, Target} = Mount, Inside) when How =:= mqueue; How =:= empty ->
    {Made, Now} = of_kernel(Target, own, Inside),
    {[{Mount, Made}], Now};
placed({dir, Given, Mode}, Inside) ->
    {#walked{path = Path} = Walked, Looked} = walked(Given, Inside),
    ok = reached(Given, Walked, Looked),
    Walked#walked.found =:= file andalso throw({plan, {Given, enotdir}}),
    {Made, Now} = with_directories(Walked, Looked),
    {[{{dir, Path, Mode}, Made}], Now};
placed({file, Given, Bytes, Mode}, Inside) ->
    {Path, Made, Now} = beside(Given, file, Inside),
    {[{{file, Path, Bytes, Mode}, Made} || is_new({file, Bytes}, Path, Inside)], Now};
placed({symlink, Text, Given}, Inside) ->
    {Path, Made, Now} = beside(Given, {link, Text}, Inside),
    {[{{symlink, Text, Path}, Made} || is_new({link, Text}, Path, Inside)], Now};
placed({How, Path}, #inside{hidden = Hidden} = Inside) when How =:= masked; How =:= read_only ->
    case Hidden of
        #{Path := How} -> {[], Inside};
        _ -> hide(How, Path, Inside)
    end.

hide(How, Path, Inside) ->
    {#walked{found = Found}, Looked} = straight(Path, Inside),
    is_uncovered(Path, Looked) andalso throw({plan, {Path, exdev}}),
    case Found of
        absent ->
            {[], Looked};
        Kind ->
            #inside{hidden = Hidden} = Now = over(How, Path, Kind, Looked),
            {[{{How, Path, Kind}, []}], Now#inside{hidden = Hidden#{Path => How}}}
    end.

over(masked, Path, Kind, Inside) -> covered(Path, own, Kind, Inside);
over(read_only, _Path, _Kind, Inside) -> Inside.

%% A file system of the kernel's, and what is hidden in it when it is mounted.
with_hidden({_, Target} = Mount, Source, Hides, Inside) ->
    {Made, Now} = of_kernel(Target, {kernel, Source}, Inside),
    {Hidden, After} = lists:mapfoldl(
        fun({How, Path}, Before) -> step({How, iolist_to_binary(Path)}, Before) end, Now, Hides
    ),
    {[{Mount, Made} | lists:append(Hidden)], After}.

%% Whether there may be something else at a path than on the host, where another mount covers it.
is_uncovered(Path, #inside{here = #{crosses := Crosses}} = Inside) ->
    case covering(Path, Inside) of
        {Target, {alone, Source}} -> Crosses(Source, rest(Path, Target));
        _ -> false
    end.

bound({_, Source} = From, Target, #inside{here = #{kinds := Kinds}} = Inside) ->
    Kind =
        case Kinds of
            #{Source := directory} -> directory;
            _ -> file
        end,
    mounted(Target, From, Kind, Inside).

mounted(Given, Source, Kind, Inside) ->
    {#walked{path = Path, missing = Missing} = Walked, Looked} = walked(Given, Inside),
    %% No mount covers the root.
    Path =:= <<"/">> andalso throw({plan, {Given, ebusy}}),
    Over = covering(Path, Looked),
    [throw({plan, {Given, eloop}}) || Missing =/= [], is_led_out(Walked, Over)],
    {Made, Now} = with_point(Walked, Kind, Looked),
    {Path, Made, covered(Path, Source, Kind, Now)}.

of_kernel(Target, Source, Inside) ->
    {Walked, Looked} = straight(Target, Inside),
    {Made, Now} = with_directories(Walked, Looked),
    {Made, covered(Target, Source, directory, Now)}.

%% Whether a name has to be made. There may be what it would get already, and nothing else.
is_new(What, Path, Inside) ->
    case at(Path, Inside) of
        {absent, _} -> true;
        {{unknown, Reason}, _} -> throw({plan, {Path, Reason}});
        _ -> not is_there(What, Path, Inside) andalso throw({plan, {Path, eexist}})
    end.

%% Whether a directory of the host has a name already, with what it would get: in a root directory
%% that was used before.
is_there(What, Path, #inside{here = #{holds := Holds}} = Inside) ->
    case {at(Path, Inside), covering(Path, Inside), What} of
        {{{link, Text}, _}, _, {link, Text}} -> true;
        {{file, _}, {Target, {Where, Source}}, {file, Bytes}} when Where =/= kernel ->
            Holds(in_source(Path, Target, Source), Bytes);
        _ -> false
    end.

%% A name that is made in a directory, and that must not exist.
beside(Given, What, Inside) ->
    {#walked{path = Above} = Walked, Looked} = walked(filename:dirname(Given), Inside),
    ok = reached(Given, Walked, Looked),
    {Made, #inside{made = Known} = Now} = with_directories(Walked, Looked),
    Path = below(Above, filename:basename(Given)),
    {Path, Made, Now#inside{made = Known#{Path => What}}}.

%% What belongs to the program isn't put where a link leads that a program may have made.
reached(_Given, #walked{foreign = []}, _Inside) ->
    ok;
reached(Given, #walked{path = Path, foreign = Foreign} = Walked, Inside) ->
    Trusted = not Inside#inside.writable andalso lists:all(fun(In) -> In =:= <<>> end, Foreign),
    Trusted andalso not is_led_out(Walked, covering(Path, Inside)) orelse
        throw({plan, {Given, eloop}}),
    ok.

%% Whether links lead to a directory of the host that isn't the root directory.
is_led_out(#walked{foreign = []}, _Over) -> false;
is_led_out(_Walked, {<<>>, _}) -> false;
is_led_out(_Walked, {_, own}) -> false;
is_led_out(_Walked, _) -> true.

with_directories(#walked{missing = Missing}, #inside{made = Made} = Inside) ->
    New = maps:from_list([{Path, directory} || Path <- Missing]),
    {[{directory, Path} || Path <- Missing], Inside#inside{made = maps:merge(Made, New)}}.

with_point(#walked{missing = []}, _Kind, Inside) ->
    {[], Inside};
with_point(#walked{missing = Missing} = Walked, Kind, Inside) ->
    Above = lists:droplast(Missing),
    {Made, Now} = with_directories(Walked#walked{missing = Above}, Inside),
    {Made ++ [{Kind, lists:last(Missing)}], Now}.

%% Forgets what was known below a path, which a mount now covers.
covered(Path, Source, Kind, #inside{made = Made, hidden = Hidden, mounted = Mounted} = Inside) ->
    Stays = fun(Other, _) -> rest(Other, Path) =:= none end,
    Inside#inside{
        made = (maps:filter(Stays, Made))#{Path => Kind},
        hidden = maps:filter(Stays, Hidden),
        mounted = [{Path, Source} | Mounted]
    }.

%%--------------------------------------------------------------------
%% Walking
%%--------------------------------------------------------------------

%% A path on which there must be no link.
straight(Path, Inside) ->
    case walked(Path, Inside) of
        {#walked{links = 0}, _} = Walked -> Walked;
        _ -> throw({plan, {Path, eloop}})
    end.

walked(Path, Inside) ->
    walk(parts(Path), #walked{path = <<"/">>, found = directory}, Path, Inside).

walk([], Walked, _Given, Inside) ->
    {Walked, Inside};
walk([<<"..">> | Rest], #walked{path = Path, missing = []} = Walked, Given, Inside) ->
    walk(Rest, Walked#walked{path = filename:dirname(Path)}, Given, Inside);
walk([<<"..">> | _], _Walked, Given, _Inside) ->
    throw({plan, {Given, enoent}});
walk([Name | Rest], #walked{path = Above, missing = [_ | _] = Missing} = Walked, Given, Inside) ->
    Path = below(Above, Name),
    walk(Rest, Walked#walked{path = Path, missing = Missing ++ [Path]}, Given, Inside);
walk(
    [Name | Rest],
    #walked{path = Above, foreign = Foreign, links = Links} = Walked,
    Given,
    Inside
) ->
    Path = below(Above, Name),
    case at(Path, Inside) of
        {{link, _}, _} when Links =:= ?LINKS ->
            throw({plan, {Given, eloop}});
        {{link, Text}, Looked} ->
            {In, Source} = covering(Path, Looked),
            %% In the kernel's file systems some links don't lead where their text says.
            is_tuple(Source) andalso element(1, Source) =:= kernel andalso
                throw({plan, {Given, eloop}}),
            From =
                case Text of
                    <<"/", _/binary>> -> <<"/">>;
                    _ -> Above
                end,
            Others = [In || not is_map_key(Path, Looked#inside.made)] ++ Foreign,
            Followed = Walked#walked{path = From, foreign = Others, links = Links + 1},
            walk(parts(Text) ++ Rest, Followed, Given, Looked);
        {absent, Looked} ->
            walk(Rest, Walked#walked{path = Path, found = absent, missing = [Path]}, Given, Looked);
        {file, _} when Rest =/= [] ->
            throw({plan, {Given, enotdir}});
        {{unknown, Reason}, _} ->
            throw({plan, {Given, Reason}});
        {Kind, Looked} ->
            walk(Rest, Walked#walked{path = Path, found = Kind}, Given, Looked)
    end.

parts(Path) ->
    [
        Part
     || Part <- binary:split(Path, <<"/">>, [global]), Part =/= <<>>, Part =/= <<".">>
    ].

below(<<"/">>, Name) -> <<"/", Name/binary>>;
below(Above, Name) -> <<Above/binary, "/", Name/binary>>.

%% What is at a path whose directory has no link in it.
at(Path, #inside{made = Made} = Inside) ->
    case Made of
        #{Path := Known} ->
            {Known, Inside};
        _ ->
            case covering(Path, Inside) of
                {_, own} ->
                    {absent, Inside};
                {Target, {kernel, Source}} ->
                    seen({kernel, in_source(Path, Target, Source)}, Inside);
                {Target, {_, Source}} ->
                    seen({host, in_source(Path, Target, Source)}, Inside)
            end
    end.

%% Where on the host a path is that a mount covers.
in_source(Path, Target, Source) ->
    <<Source/binary, (rest(Path, Target))/binary>>.

%% The mount in which a path is: the last one counts.
covering(Path, #inside{mounted = Mounted}) ->
    hd([Mount || {Target, _} = Mount <- Mounted, rest(Path, Target) =/= none]).

seen({Where, Path} = Place, #inside{seen = Seen, here = Here} = Inside) ->
    case Seen of
        #{Place := Found} ->
            {Found, Inside};
        _ ->
            #{look := Host, kernel := Kernel} = Here,
            Found =
                case Where of
                    host -> Host(Path);
                    kernel -> Kernel(Path)
                end,
            {Found, Inside#inside{seen = Seen#{Place => Found}}}
    end.

%% The part of a path that is below another path, or `none'.
rest(Path, Path) ->
    <<>>;
rest(Path, Target) ->
    Size = byte_size(Target),
    case Path of
        <<Target:Size/binary, "/", _/binary>> -> binary:part(Path, Size, byte_size(Path) - Size);
        _ -> none
    end.
