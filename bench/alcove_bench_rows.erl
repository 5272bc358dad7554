%% @doc The lines of the table, and what each is to reach.
-module(alcove_bench_rows).

-export([all/0, needs/1]).

-include("alcove_bench.hrl").

%% What "no slower" and "no more" may differ by, which is what two measurements of
%% the same differ by.
-define(SAME, 1.05).

%% All processors are busy.
-define(ALL, 0.95).

%% @doc All lines, in the order of the table.
-spec all() -> [#row{}].
all() ->
    [
        call(call_alone, alone, "call, no children", []),
        call(call_depth_0, depth0, "call, depth 0 of 16", []),
        call(call_depth_1, depth1, "call, depth 1 of 16", []),
        call(call_depth_4, depth4, "call, depth 4 of 16", []),
        call(call_depth_16, depth16, "call, depth 16 of 16", [{against, depth0, 1.1}]),
        (call(call_mailbox, mailbox, "call, 100,000 messages waiting", []))#row{
            port = none,
            marks = [{against, alone, ?SAME}]
        },
        #row{
            id = batch,
            group = calls,
            title = "10 calls in a batch",
            metric = time,
            alcove = batch,
            marks = [{against, alone, 1.5}]
        },
        #row{
            id = ten,
            group = calls,
            title = "10 calls in turn",
            metric = time,
            alcove = ten
        }
    ] ++
        lists:append([
            [
                among(Id, Group, root, ["call to root, ", N, " children"]),
                among(one(Group), Group, one, ["call to one of ", N, " children"]),
                #row{
                    id = each(Group),
                    group = Group,
                    title = lists:concat(["calls to each of ", N, " children in turn"]),
                    metric = time,
                    alcove = each
                }
            ]
         || {Id, Group, N} <- [
                {call_root_1000, children_1000, "1,000"},
                {call_root_4000, children_4000, "4,000"}
            ]
        ]) ++
        [
            #row{
                id = name(callers, N),
                group = callers,
                title = lists:concat(["calls a second, ", N, " callers"]),
                metric = rate,
                alcove = name(alcove, N),
                limits = [name(pairs, N)],
                port = name(ports, N),
                marks = Marks
            }
         || {N, Marks} <- [
                {1, []}, {10, [{grows, alcove_1, ?ALL}]}, {100, [{grows, alcove_10, ?ALL}]}
            ]
        ] ++
        [
            #row{
                id = fork_exit,
                group = processes,
                title = "fork, exit, event (two calls)",
                metric = rate,
                alcove = fork_exit,
                limits = [fork_limit],
                marks = [{limit, fork_limit, 0.75}]
            },
            #row{
                id = fork_exit_spawn,
                group = processes,
                title = "fork, exit, event (one spawn)",
                metric = rate,
                alcove = fork_exit_spawn,
                limits = [fork_limit],
                marks = [{limit, fork_limit, 0.75}]
            },
            #row{
                id = true,
                group = processes,
                title = "fork, exec true, event (one spawn)",
                metric = rate,
                alcove = true,
                limits = [true_limit],
                port = true_port,
                marks = [{limit, true_limit, 0.85}, above_port]
            },
            #row{
                id = container,
                group = processes,
                title = "namespaces to exec true, event (one spawn)",
                metric = rate,
                alcove = container,
                limits = [container_limit],
                marks = [{limit, container_limit, 0.85}]
            },
            sandbox(sandbox, sandboxes, alcove, "a sandbox of true, as root"),
            sandbox(sandbox_limited, sandboxes, limited, "the same with control groups"),
            sandboxes(sandbox_crowd, sandboxes, "sandboxes a second, 100 at a time, as root"),
            sandbox(
                sandbox_rootless,
                sandboxes_rootless,
                alcove,
                "a sandbox of true, as an ordinary user"
            ),
            sandboxes(
                sandbox_rootless_crowd,
                sandboxes_rootless,
                "sandboxes a second, 100 at a time, as an ordinary user"
            ),
            out(stdout_head_1, head1, "stdout of head, depth 1", head_limit, head_port, []),
            out(stdout_head_16, head16, "stdout of head, depth 16", head_limit, head_port, [
                {like, head1, 0.95}
            ]),
            out(stdout_dd_1, dd1, "stdout of dd, depth 1", dd_limit, dd_port, []),
            out(stdout_dd_16, dd16, "stdout of dd, depth 16", dd_limit, dd_port, [
                {like, dd1, 0.95}
            ]),
            #row{
                id = stdin,
                group = streams,
                title = "stdin of cat >/dev/null",
                metric = rate,
                alcove = in,
                limits = [in_limit],
                port = in_port,
                marks = [{limit, in_limit, 0.8}]
            },
            #row{
                id = echo,
                group = streams,
                title = "echo through cat",
                metric = rate,
                alcove = echo,
                limits = [echo_limit],
                port = echo_port,
                marks = [{limit, echo_limit, 0.8}]
            },
            #row{
                id = start,
                group = start,
                title = "start of a Drv to its first reply",
                metric = time,
                alcove = alcove,
                limits = [limit],
                port = port,
                marks = [{limit, limit, 0.5}]
            },
            #row{
                id = memory,
                group = memory,
                title = "PSS of an idle process among 1,000",
                metric = kib,
                alcove = alcove,
                limits = [limit],
                marks = [{most, 60.0}]
            },
            slow(call_crowded, crowded, "call, all processors busy", [unpinned, pinned]),
            slow(call_one_scheduler, one_scheduler, "call, one scheduler", [unpinned, pinned]),
            slow(call_paced, paced, "call, one every 2 ms", [unpinned])
        ] ++ programs() ++ between_nodes().

%% Programs that alcove_proc runs.
programs() ->
    [
        #row{
            id = run,
            group = runs,
            title = "run of true",
            metric = time,
            alcove = run,
            limits = [run_limit],
            port = run_port,
            marks = [{against, run_port, 1.0}]
        },
        #row{
            id = run_cpu,
            group = runs,
            title = "processors' time of a run of true",
            metric = time,
            alcove = cpu,
            port = cpu_port,
            marks = [{against, cpu_port, 1.0}]
        }
    ] ++
        [
            #row{
                id = Runs,
                group = workers,
                title = lists:concat(["runs of true a second, ", N, " workers"]),
                metric = rate,
                alcove = Runs,
                limits = [Limit],
                port = Ports,
                marks = [{limit, Limit, 0.85} | [{like, Ports, 1.3} || N > 1]]
            }
         || {N, Runs, Ports, Limit} <- alcove_bench_programs:workers()
        ] ++
        [
            line(line_primitive, primitive, "a line through cat, primitives"),
            line(line_proc, proc, "a line through cat, alcove_proc"),
            program_out(messages, "stdout of head as messages", 1.0),
            program_out(fold, "stdout of head to a fold", 1.0),
            program_out(active, "stdout of head, 10 messages at a time", 0.9),
            #row{
                id = run_beside,
                group = beside,
                title = "run of true beside 2,000 programs",
                metric = time,
                alcove = many,
                marks = [{against, few, 1.1}]
            },
            held(
                idle,
                beside,
                count,
                "us of a processor a second, 2,000 idle programs",
                idle,
                1000.0
            ),
            held(
                descriptors,
                held,
                count,
                "descriptors of a program with streams",
                descriptors,
                5.0
            ),
            held(
                descriptors_alone,
                held,
                count,
                "descriptors of one without",
                descriptors_alone,
                2.0
            ),
            held(processes, held, count, "Erlang processes of a program", processes, 1.0),
            held(erlang_memory, held, kib, "Erlang memory of a program", memory, 6.0),
            held(helper, held, kib, "PSS of a program's keeper", helper, 40.0)
        ].

%% Calls to another node, and programs on other nodes.
between_nodes() ->
    [
        #row{
            id = call_remote,
            group = nodes,
            title = "call to a Drv of another node",
            metric = time,
            alcove = remote,
            limits = [erpc],
            marks = [{against, erpc, 1.2}]
        }
    ] ++
        [
            #row{
                id = Variant,
                group = nodes,
                title = lists:concat(["runs of true a second by a pool of ", N, " other nodes"]),
                metric = rate,
                alcove = Variant,
                limits = [here]
            }
         || {N, Variant} <- alcove_bench_nodes:pools()
        ].

line(Id, Variant, Title) ->
    #row{
        id = Id,
        group = lines,
        title = Title,
        metric = time,
        alcove = Variant,
        port = port,
        marks = [{against, port, 1.1}]
    }.

program_out(Variant, Title, AtLeast) ->
    #row{
        id = Variant,
        group = output,
        title = Title,
        metric = rate,
        alcove = Variant,
        limits = [output_limit],
        port = output_port,
        marks = [{like, output_port, AtLeast}]
    }.

held(Id, Group, Metric, Title, Variant, AtMost) ->
    #row{
        id = Id,
        group = Group,
        title = Title,
        metric = Metric,
        alcove = Variant,
        marks = [{most, AtMost}]
    }.

%% @doc The variants that a row is made of.
-spec needs(#row{}) -> [atom()].
needs(#row{alcove = Alcove, limits = Limits, port = Port, marks = Marks}) ->
    [Alcove | Limits] ++ [Port || Port =/= none] ++
        [Other || {Kind, Other, _} <- Marks, lists:member(Kind, [against, like, grows])].

call(Id, Variant, Title, Marks) ->
    #row{
        id = Id,
        group = calls,
        title = Title,
        metric = time,
        alcove = Variant,
        limits = [unpinned, pinned],
        port = port,
        %% 0.3 times what the limit takes, and no more than that.
        marks = [{every, unpinned, 1 / 0.3}, {every, pinned, 1.0}, {tail, 2.5}] ++ Marks
    }.

among(Id, Group, Variant, Title) ->
    #row{
        id = Id,
        group = Group,
        title = lists:concat(Title),
        metric = time,
        alcove = Variant,
        limits = [unpinned, pinned],
        marks = [{against, alone, 1.1}]
    }.

out(Id, Variant, Title, Limit, Port, Marks) ->
    #row{
        id = Id,
        group = streams,
        title = Title,
        metric = rate,
        alcove = Variant,
        limits = [Limit],
        port = Port,
        marks = [{limit, Limit, 1.0}, above_port] ++ Marks
    }.

%% The other is bubblewrap, which makes no control groups.
sandbox(Id, Group, Variant, Title) ->
    #row{
        id = Id,
        group = Group,
        title = Title,
        metric = time,
        alcove = Variant,
        limits = [bwrap],
        marks = [{limit, bwrap, 1.0} || Variant =:= alcove]
    }.

sandboxes(Id, Group, Title) ->
    #row{
        id = Id,
        group = Group,
        title = Title,
        metric = rate,
        alcove = crowd,
        limits = [bwrap_crowd],
        marks = [{limit, bwrap_crowd, 1.0}]
    }.

slow(Id, Group, Title, Limits) ->
    #row{
        id = Id,
        group = Group,
        title = Title,
        metric = time,
        alcove = alone,
        limits = Limits,
        port = port
    }.

one(children_1000) -> call_one_1000;
one(children_4000) -> call_one_4000.

each(children_1000) -> call_each_1000;
each(children_4000) -> call_each_4000.

name(Kind, N) ->
    list_to_atom(lists:concat([Kind, "_", N])).
