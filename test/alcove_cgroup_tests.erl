%% What alcove_cgroup knows without a Unix process: names, the kernel's formats, and
%% how limits are written.
-module(alcove_cgroup_tests).

-include_lib("eunit/include/eunit.hrl").

names_test_() ->
    Group = fun alcove_cgroup_text:group/1,
    [
        ?_assertEqual({ok, Components}, Group(Name))
     || {Components, Name} <- [
            {[], <<>>},
            {[], ""},
            {[], []},
            {[], "/"},
            {[<<"a">>], <<"a">>},
            {[<<"a">>], "a"},
            {[<<"a">>], [<<"a">>]},
            {[<<"a">>], ["a"]},
            {[<<"a">>, <<"b">>], <<"/a//b/">>},
            {[<<"a">>, <<"b">>], [<<"a">>, "b"]},
            {[<<"a">>, <<"b">>, <<"c">>], ["a/b", <<"c">>]},
            {[<<"a.slice">>, <<"...">>], "a.slice/..."},
            {[<<"é"/utf8>>], "é"},
            {[<<255>>], <<255>>}
        ]
    ] ++
        [
            ?_assertEqual(error, Group(Name))
         || Name <- [
                a,
                1,
                {},
                <<1:7>>,
                "..",
                <<"a/../b">>,
                ".",
                ["a", ".."],
                <<"a", 0>>,
                "a" ++ [0],
                [$a | b],
                ["a" | "b"],
                [16#d800],
                [-1],
                [a]
            ]
        ].

files_test() ->
    ?assertEqual({ok, <<"cpu.max">>}, alcove_cgroup_text:file("cpu.max")),
    [
        ?assertEqual(error, alcove_cgroup_text:file(Name))
     || Name <- ["", "a/b", "../b", "/", a, <<"a", 0>>]
    ].

paths_test() ->
    ?assertEqual(<<"/sys/x">>, alcove_cgroup:join("/sys", "x")),
    ?assertEqual(<<"/sys">>, alcove_cgroup:join(<<"/sys">>, <<>>)),
    ?assertEqual([<<"a">>, <<"b">>], alcove_cgroup:relpath(<<"/a/b">>)),
    ?assertEqual([[<<"a">>], [<<"a">>, <<"b">>]], alcove_cgroup:expand([<<"a">>, <<"b">>])),
    ?assertEqual([], alcove_cgroup:expand(<<>>)).

mountinfo_test() ->
    Text =
        <<
            "24 30 0:22 / /proc rw,nosuid shared:13 - proc proc rw\n"
            "41 31 0:38 /a\\040b /sys/fs/my\\134cg\\011 ro,relatime shared:9 master:2 - cgroup cgroup "
            "rw,cpu,cpuacct\n"
            "garbage\n"
            "1 2 - 3\n"
            "42 31 0:39 / /x rw - cgroup2 none rw,nsdelegate"
        >>,
    ?assertMatch(
        [
            #{path := <<"/proc">>, type := <<"proc">>, options := [<<"rw">>, <<"nosuid">>]},
            #{
                device := <<"0:38">>,
                root := <<"/a b">>,
                path := <<"/sys/fs/my\\cg\t">>,
                options := [<<"ro">>, <<"relatime">>],
                super := [<<"rw">>, <<"cpu">>, <<"cpuacct">>]
            },
            #{type := <<"cgroup2">>, source := <<"none">>, super := [<<"rw">>, <<"nsdelegate">>]}
        ],
        alcove_cgroup_text:mountinfo(Text)
    ),
    ?assertEqual([], alcove_cgroup_text:mountinfo(<<>>)).

%% An escape at the end of a path, and what only looks like one.
escapes_test_() ->
    Path = fun(Escaped) ->
        Line = <<"1 2 0:1 / /", Escaped/binary, " rw - t s rw\n">>,
        [#{path := <<"/", Path/binary>>}] = alcove_cgroup_text:mountinfo(Line),
        Path
    end,
    [
        ?_assertEqual(Plain, Path(Escaped))
     || {Plain, Escaped} <- [
            {<<" ">>, <<"\\040">>},
            {<<"\\">>, <<"\\">>},
            {<<"\\04">>, <<"\\04">>},
            {<<"\\048">>, <<"\\048">>},
            {<<"\\777">>, <<"\\777">>},
            {<<"\\\\040">>, <<"\\134\\134040">>},
            {<<"a  b">>, <<"a\\040\\040b">>}
        ]
    ].

keyed_test_() ->
    [
        ?_assertEqual(Parsed, alcove_cgroup_text:keyed(Text))
     || {Parsed, Text} <- [
            {{ok, #{}}, <<>>},
            {{ok, #{<<"oom_kill">> => 3, <<"max">> => 0}}, <<"oom_kill 3\nmax 0\n">>},
            {{ok, #{<<"a">> => max, <<"b">> => <<"x">>}}, <<"a max\nb x">>},
            {
                {ok, #{
                    <<"some">> => #{<<"avg10">> => 0.25, <<"total">> => 7},
                    <<"full">> => #{<<"avg10">> => 0.0, <<"total">> => 0}
                }},
                <<"some avg10=0.25 total=7\nfull avg10=0.00 total=0\n">>
            },
            {
                {ok, #{<<"8:0">> => #{<<"rbytes">> => 1}, <<"8:16">> => #{}}},
                <<"8:0 rbytes=1\n8:16 \n">>
            },
            {
                {ok, #{<<"default">> => #{<<"rbps">> => max, <<"x">> => <<"a=b">>}}},
                <<"default rbps=max x=a=b\n">>
            },
            {error, <<"max\n">>},
            {error, <<"1\n2\n">>},
            {error, <<"cpu io memory pids\n">>},
            {error, <<"8:0 Read 123\n">>},
            {error, <<"a b=1\nc d=1 e\n">>}
        ]
    ].

values_test_() ->
    [
        ?_assertEqual(Value, alcove_cgroup_text:value(Word))
     || {Value, Word} <- [
            {0, <<"0">>},
            {-1, <<"-1">>},
            {max, <<"max">>},
            {max, <<"9223372036854771712">>},
            {max, <<"9223372036854710272">>},
            {max, <<"18446744073709551615">>},
            {1 bsl 62, <<"4611686018427387904">>},
            {0.5, <<"0.50">>},
            {<<"12:3">>, <<"12:3">>},
            {<<>>, <<>>}
        ]
    ].

pids_test() ->
    ?assertEqual([1, 0, 20], alcove_cgroup_text:pids(<<"1\n0\n20\n">>)),
    ?assertEqual([], alcove_cgroup_text:pids(<<>>)).

check_test() ->
    ?assertEqual({ok, []}, alcove_cgroup_limits:check(#{})),
    ?assertEqual(
        {ok, [{mems, "0"}, {cpus, <<"0-3">>}, {memory, 1}, {swap, 0}, {pids, max}, {cpu, 2}]},
        alcove_cgroup_limits:check(#{
            cpu => 2, pids => max, swap => 0, memory => 1, cpus => <<"0-3">>, mems => "0"
        })
    ),
    [
        ?assertEqual(error, alcove_cgroup_limits:check(Limits))
     || Limits <- [
            [],
            #{memory => 0},
            #{memory => 1.0},
            #{pids => -1},
            #{swap => a},
            #{cpu => 0},
            #{cpu => -1.0},
            #{cpu => a},
            #{cpu => 1.0e308},
            #{cpu => 1 bsl 21},
            #{memory => 1 bsl 63},
            #{swap => 1 bsl 64},
            #{pids => 1 bsl 64},
            #{mems => max},
            #{cpus => max},
            #{cpus => []},
            #{cpus => 1},
            #{other => 1},
            #{"memory" => 1}
        ]
    ].

writes_test_() ->
    [
        ?_assertEqual(Writes, alcove_cgroup_limits:writes(Version, Key, Value))
     || {Writes, Version, Key, Value} <- [
            {[{<<"memory.max">>, <<"1048576">>}], 2, memory, 1 bsl 20},
            {[{<<"memory.max">>, <<"max">>}], 2, memory, max},
            {[{<<"memory.swap.max">>, <<"0">>}], 2, swap, 0},
            {[{<<"pids.max">>, <<"5">>}], 1, pids, 5},
            {[{<<"pids.max">>, <<"max">>}], 2, pids, max},
            {[{<<"cpuset.cpus">>, <<"0-3">>}], 1, cpus, ["0-", $3]},
            {[{<<"cpuset.mems">>, <<"0">>}], 2, mems, "0"},
            {[{<<"cpu.max">>, <<"50000 100000">>}], 2, cpu, 0.5},
            {[{<<"cpu.max">>, <<"200000 100000">>}], 2, cpu, 2},
            {[{<<"cpu.max">>, <<"max">>}], 2, cpu, max},
            {
                [{<<"cpu.cfs_period_us">>, <<"100000">>}, {<<"cpu.cfs_quota_us">>, <<"33300">>}],
                1,
                cpu,
                0.333
            },
            {[{<<"cpu.cfs_quota_us">>, <<"-1">>}], 1, cpu, max}
        ]
    ].

%% Whatever is asked for, no write leaves the limit of both below that of memory on the
%% way, and in the end both are what was meant.
memory_test_() ->
    Values = [4, 8, 16, max],
    [
        {
            lists:flatten(io_lib:format("~0p", [{Memory, Swap, Now}])),
            ?_test(memory(Memory, Swap, Now))
        }
     || M <- Values,
        B <- Values,
        M =< B,
        Now <- [{M, B}],
        Memory <- [keep | Values],
        Swap <- [keep, 0 | Values],
        {Memory, Swap} =/= {keep, keep}
    ].

memory(Memory, Swap, {M, B} = Now) ->
    Meant =
        case Memory of
            keep -> M;
            _ -> Memory
        end,
    case alcove_cgroup_limits:memory(Memory, Swap, Now) of
        error ->
            ?assert(Meant =:= max andalso is_integer(Swap));
        {ok, Writes} ->
            {Memory1, Both1} = lists:foldl(fun apply_write/2, Now, Writes),
            ?assertEqual(Meant, Memory1),
            ?assertEqual(both(Meant, Swap, M, B), Both1)
    end.

both(max, _, _, _) -> max;
both(_, max, _, _) -> max;
both(_, keep, _, max) -> max;
both(Memory, keep, M, B) -> Memory + B - M;
both(Memory, Swap, _, _) -> Memory + Swap.

apply_write({File, Text}, {Memory, Both}) ->
    Value =
        case Text of
            <<"-1">> -> max;
            _ -> binary_to_integer(Text)
        end,
    {M, B} =
        case File of
            <<"memory.limit_in_bytes">> -> {Value, Both};
            <<"memory.memsw.limit_in_bytes">> -> {Memory, Value}
        end,
    ?assert(M =< B),
    {M, B}.

%% Without accounting of swap only memory is written.
memory_without_swap_test() ->
    ?assertEqual(
        {ok, [{<<"memory.limit_in_bytes">>, <<"8">>}]},
        alcove_cgroup_limits:memory(8, keep, {4, none})
    ).

%% Which mounts a path leads to: {Id, Parent, Path} of mountinfo, and the ids that are visible.
visible_test_() ->
    Visible = fun(Mounts) ->
        [
            Id
         || #{id := Id} <- alcove_cgroup_paths:visible([
                #{id => Id, parent => Parent, path => Path}
             || {Id, Parent, Path} <- Mounts
            ])
        ]
    end,
    [
        ?_assertEqual(Ids, Visible(Mounts))
     || {Ids, Mounts} <- [
            {[], []},
            {[1, 2], [{1, 0, <<"/">>}, {2, 1, <<"/cg">>}]},
            %% One over another, at the same directory.
            {[1, 3], [{1, 0, <<"/">>}, {2, 1, <<"/cg">>}, {3, 2, <<"/cg">>}]},
            {[1, 3], [{1, 0, <<"/">>}, {2, 1, <<"/cg">>}, {3, 1, <<"/cg">>}]},
            %% A tree over another.
            {[1, 4, 5], [
                {1, 0, <<"/">>},
                {2, 1, <<"/cg">>},
                {3, 2, <<"/cg/cpu">>},
                {4, 2, <<"/cg">>},
                {5, 4, <<"/cg/cpu">>}
            ]},
            %% Covered from above.
            {[1, 4], [{1, 0, <<"/">>}, {2, 1, <<"/a">>}, {3, 2, <<"/a/cg">>}, {4, 1, <<"/a">>}]},
            %% Of a process whose root directory is no mount, the parent isn't in the list.
            {[2, 3], [{2, 9, <<"/proc">>}, {3, 9, <<"/cg">>}]},
            {[3], [{2, 9, <<"/cg">>}, {3, 2, <<"/cg">>}]},
            %% A root over the root.
            {[2, 3], [{1, 1, <<"/">>}, {2, 1, <<"/">>}, {3, 2, <<"/cg">>}]},
            %% Names that only begin alike.
            {[1, 2, 3], [{1, 0, <<"/">>}, {2, 1, <<"/cg">>}, {3, 1, <<"/cg2">>}]}
        ]
    ].

memberships_test() ->
    ?assertEqual(
        [
            {[<<"cpu">>, <<"cpuacct">>], <<"/a">>},
            {[<<"name=systemd">>], <<"/">>},
            {[], <<"/user.slice/x:y">>}
        ],
        alcove_cgroup_text:memberships(<<"4:cpu,cpuacct:/a\n1:name=systemd:/\n0::/user.slice/x:y\n">>)
    ).
