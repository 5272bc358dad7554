%% A resource limit, see getrlimit(2): `infinity' or -1 for none.
-record(alcove_rlimit, {
    cur = 0 :: integer() | infinity,
    max = 0 :: integer() | infinity
}).

%% How long select(2) waits: seconds and microseconds.
-record(alcove_timeval, {
    sec = 0 :: non_neg_integer(),
    usec = 0 :: non_neg_integer()
}).
