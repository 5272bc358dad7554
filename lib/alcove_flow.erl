%% @private
%% @doc Waits until an owner has read most of what a Drv sent it.
%%
%% The router asks, each time it has sent an owner some megabytes, whether that
%% keeps up, and holds the owner's streams while it gets no answer. A short message
%% queue is one. A long one may be long with the messages of others, which an owner
%% that reads only Drv's need not ever take: then those of Drv's that are in it are
%% counted. This costs what the queue is long, so it is done no more often than takes
%% a fiftieth of the time.
-module(alcove_flow).

-export([watch/1, wait/2]).

%% Messages that are few, however large.
-define(SHORT, 16).
%% Bytes that are few; and what a message takes besides its bytes.
-define(FEW, 2 * 1024 * 1024).
-define(MESSAGE, 256).

%% Milliseconds between two looks at the queue's length.
-define(MAX_DELAY, 50).

%% @doc Starts a process that ends when the owner, a process of this node, keeps up,
%% or when the owner or the caller ends. The caller monitors it.
-spec watch(pid()) -> reference().
watch(Owner) ->
    {_, Ref} = spawn_monitor(?MODULE, wait, [Owner, self()]),
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

%% `few', or when to count again.
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
                    End + 50 * (End - Start)
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
size_of({alcove_event, Drv, _, _}, Drv) ->
    ?MESSAGE;
size_of(_, _) ->
    0.

now_us() ->
    erlang:monotonic_time(microsecond).
