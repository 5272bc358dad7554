%% @doc Which Erlang processes held a scheduler of this virtual machine for long, and not because
%% the kernel kept the scheduler's thread from running.
%%
%% The virtual machine reports each process that ran for long between two looks at the clock
%% (erlang:system_monitor/2, long_schedule). On a machine that others use too most of them are the
%% work of the kernel's scheduler, or of the host's. `native/alcove_probe' has a program that says
%% when the threads of the schedulers waited for a processor; a report that is longer than the limit
%% by no more than they waited meanwhile says nothing. A thread that sleeps or waits for a lock in a
%% system call is not waiting for a processor, so what blocks a scheduler is found as well as what
%% keeps it busy.
-module(alcove_held).

-export([start/2, stop/1]).

%% The program looks every millisecond, and messages take a moment, in microseconds.
-define(AROUND, 5000).

%% Watches from now on for what holds a scheduler for so many milliseconds or more. `Program' is the
%% path of alcove_watch.
-spec start(file:filename(), pos_integer()) -> pid().
start(Program, Limit) ->
    Self = self(),
    Ref = make_ref(),
    {Pid, Monitor} = spawn_monitor(fun() -> init(Self, Ref, Program, Limit) end),
    receive
        {Ref, on} -> demonitor(Monitor, [flush]), Pid;
        {'DOWN', Monitor, process, Pid, Reason} -> error(Reason)
    end.

%% What held one: for how many milliseconds, for how many of them its thread was kept from running at
%% most, and what the virtual machine says of it.
-spec stop(pid()) -> [{pos_integer(), number(), pid() | port(), list()}].
stop(Pid) ->
    Ref = monitor(process, Pid),
    Pid ! {stop, self(), Ref},
    receive
        {Ref, Held} -> demonitor(Ref, [flush]), Held;
        {'DOWN', Ref, process, Pid, Reason} -> error(Reason)
    end.

init(Parent, Ref, Program, Limit) ->
    _ = process_flag(priority, max),
    Port = open_port({spawn_executable, Program}, [{args, [os:getpid()]}, {line, 200}, exit_status]),
    receive {Port, {data, {eol, "on"}}} -> ok end,
    _ = erlang:system_monitor(self(), [{long_schedule, Limit}]),
    Parent ! {Ref, on},
    loop(Port, Limit, [], []).

loop(Port, Limit, Events, Kept) ->
    receive
        {monitor, Who, long_schedule, Info} ->
            loop(Port, Limit, [{os:system_time(microsecond), Who, Info} | Events], Kept);
        {Port, {data, {eol, Line}}} ->
            loop(Port, Limit, Events, [numbers(Line) | Kept]);
        {stop, To, Ref} ->
            _ = erlang:system_monitor(undefined),
            true = port_command(Port, "."),
            {Last, All} = rest(Port, Events, Kept),
            To ! {Ref, [{Ms, Away, Who, Info}
                        || {At, Who, Info} <- lists:reverse(Last),
                           {timeout, Ms} <- Info,
                           Away <- [kept(At, Ms, All)],
                           Ms - Away >= Limit]}
    end.

%% What the program has yet to say.
rest(Port, Events, Kept) ->
    receive
        {monitor, Who, long_schedule, Info} ->
            rest(Port, [{os:system_time(microsecond), Who, Info} | Events], Kept);
        {Port, {data, {eol, "end"}}} ->
            receive {Port, {exit_status, _}} -> {Events, Kept} end;
        {Port, {data, {eol, Line}}} ->
            rest(Port, Events, [numbers(Line) | Kept])
    end.

numbers(Line) ->
    [From, To, Kept] = [list_to_integer(Word) || Word <- string:lexemes(Line, " ")],
    {From, To, Kept}.

%% For how many milliseconds a thread was kept from running around something that ended just before
%% `At', and took so many milliseconds.
kept(At, Ms, All) ->
    {First, Last} = {At - Ms * 1000 - ?AROUND, At + ?AROUND},
    lists:sum([Kept || {From, To, Kept} <- All, From =< Last, To >= First]) / 1000.
