%% What is measured together: in each round every variant once, in random order.
-record(group, {
    name :: atom(),
    %% What the variants need, made anew for each round or once.
    scope = round :: round | group,
    enter = fun(Context) -> {ok, Context} end ::
        fun((context()) -> {ok, term()} | {skip, string()}),
    leave = fun(_) -> ok end :: fun((term()) -> term()),
    variants :: [{atom(), fun((term(), pos_integer()) -> alcove_bench_measure:measured())}],
    %% Wait for a quiet machine before each round.
    quiet = true :: boolean(),
    %% The most rounds, for what takes long or varies little.
    rounds = 1000 :: pos_integer()
}).

%% A line of the table.
-record(row, {
    id :: atom(),
    group :: atom(),
    title :: string(),
    %% What is compared: the median time of one, or how much in a second, or memory, or how many.
    metric :: time | rate | kib | count,
    alcove :: atom(),
    limits = [] :: [atom()],
    port = none :: atom(),
    marks = [] :: [mark()]
}).

-type mark() ::
    %% The ratio to a limit, over all rounds: at least.
    {limit, atom(), float()}
    %% The same in every round, to the median of the limit's rounds: some of these run
    %% as fast as the limit on one processor, which is a limit of its own.
    | {every, atom(), float()}
    %% The 99th percentile, in medians: at most.
    | {tail, float()}
    %% What another variant of the group takes, times: at most.
    | {against, atom(), float()}
    %% What another variant does, times: at least.
    | {like, atom(), float()}
    %% More than another variant, unless that used so much of the processors already.
    | {grows, atom(), float()}
    %% Better than a port.
    | above_port
    %% At most.
    | {most, float()}.

-type context() :: #{
    limit := alcove_bench_limit:limit(),
    %% A root directory that holds a static busybox.
    root := file:filename(),
    %% How much of the default time there is.
    scale := float()
}.
