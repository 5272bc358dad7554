%% A resource limit, see getrlimit(2). For none setrlimit takes `infinity', -1 or
%% 16#ffffffffffffffff, which is what getrlimit returns.
-record(alcove_rlimit, {
    cur = 0 :: integer() | infinity,
    max = 0 :: integer() | infinity
}).

%% How long select(2) waits: seconds and microseconds.
-record(alcove_timeval, {
    sec = 0 :: non_neg_integer(),
    usec = 0 :: non_neg_integer()
}).
