%% @private
%% @doc Waits until an owner has read most of what a Drv, or the process of a program, sent it.
%%
%% Each time the router has sent an owner some megabytes, it asks whether the owner
%% keeps up, and holds the owner's streams until it gets an answer. If the owner's message
%% queue is short, it keeps up. A long queue may be full of messages of other processes, which an
%% owner that only reads Drv's messages may never take. Then this process counts Drv's messages
%% in the queue. That takes time in proportion to the length of the queue, so counting takes up
%% no more than a fiftieth of the time.
-module(alcove_flow).

-export([watch/1, wait/2]).

%% So many messages are few, however large they are.
-define(SHORT, 16).
%% So many bytes are few; and the memory that a message takes besides its bytes.
-define(FEW, 2 * 1024 * 1024).
-define(MESSAGE, 256).
%% The same for a piece of what a program writes: some hundred of these are many.
-define(PIECE, 8192).

%% The most microseconds between two counts: a count may have taken long because the machine was
%% busy.
-define(SELDOM, 1000000).

%% Milliseconds between two checks of the queue's length.
-define(MAX_DELAY, 50).

%% @doc Starts a process, on the owner's node, that ends when the owner keeps up with what
%% the caller sends, or when the owner or the caller ends. The caller monitors it.
-spec watch(pid()) -> reference().
watch(Owner) ->
    {_, Ref} = spawn_monitor(node(Owner), ?MODULE, wait, [Owner, self()]),
    Ref.

%% @doc Returns when the owner keeps up, or when it or the Drv has ended.
-spec wait(pid(), pid()) -> ok.
wait(Owner, Drv) ->
    Ref = monitor(process, Drv),
    wait(Owner, Drv, Ref, 1, now_us()),
    demonitor(Ref, [flush]),
    ok.

wait(Owner, Drv, Ref, Delay, Due) ->
    case process_info(Owner, message_queue_len) of
        {message_queue_len, Length} when Length > ?SHORT ->
            case count(Owner, Drv, Due) of
                few ->
                    ok;
                Next ->
                    receive
                        {'DOWN', Ref, process, Drv, _} -> ok
                    after Delay ->
                        wait(Owner, Drv, Ref, min(?MAX_DELAY, 2 * Delay), Next)
                    end
            end;
        _ ->
            ok
    end.

%% `few', or the time at which to count again.
count(Owner, Drv, Due) ->
    Start = now_us(),
    case Start >= Due of
        true ->
            case unread(Owner, Drv) =< ?FEW of
                true ->
                    few;
                false ->
                    End = now_us(),
                    %% The messages were copied to this process.
                    erlang:garbage_collect(),
                    End + min(50 * (End - Start), ?SELDOM)
            end;
        false ->
            Due
    end.

unread(Owner, Drv) ->
    case process_info(Owner, messages) of
        {messages, Messages} ->
            lists:sum([size_of(Message, Drv) || Message <- Messages]);
        undefined ->
            0
    end.

size_of({Tag, Drv, _, Bytes}, Drv) when
    is_binary(Bytes), Tag =:= alcove_stdout;
    is_binary(Bytes), Tag =:= alcove_stderr
->
    byte_size(Bytes) + ?MESSAGE;
size_of({_Tag, Pid, {Stream, Bytes}}, Pid) when
    is_binary(Bytes), Stream =:= stdout;
    is_binary(Bytes), Stream =:= stderr
->
    byte_size(Bytes) + ?PIECE;
size_of({alcove_event, Drv, _, _}, Drv) ->
    ?MESSAGE;
size_of(_, _) ->
    0.

now_us() ->
    erlang:monotonic_time(microsecond).
