%% @doc Events for those who measure.
%%
%% If the application telemetry is loaded, alcove emits these events, by
%% `telemetry:execute(Name, Measurements, Metadata)'. alcove doesn't depend on telemetry:
%% if it isn't loaded, nothing happens, at almost no cost.
%%
%% ```
%% telemetry:attach(my_id, [alcove, proc, exit], fun my_module:handle/4, [])
%% '''
%%
%% <h3>Programs</h3>
%%
%% For each program that {@link alcove_proc} runs, with any function:
%%
%% <dl>
%% <dt>`[alcove, proc, spawn]'</dt>
%% <dd>The program runs: `duration', how long the start took, and `system_time', the time of
%%     day.</dd>
%% <dt>`[alcove, proc, exit]'</dt>
%% <dd>The program has ended, and nothing of it is left: `duration', how long it ran, `user_time'
%%     and `system_time', its processor time in microseconds, `peak_memory' in bytes. If the status
%%     can't be known, since the program's keeper was killed, or alcove couldn't kill the program or
%%     was ended itself, it is `undefined', and there is only the duration.</dd>
%% <dt>`[alcove, proc, kill]'</dt>
%% <dd>alcove signals the program, at a deadline, when it wrote too much, or when it is stopped:
%%     `duration', how long it has run. The exit event comes in addition, once it is gone.</dd>
%% <dt>`[alcove, proc, oom]'</dt>
%% <dd>The program's control group (option `cgroup') ran out of memory: `kills', how many processes
%%     the kernel killed there while the program ran. The exit event comes in addition. Programs
%%     that share a group with a name each have the event.</dd>
%% </dl>
%%
%% The metadata has `drv', `pid' (the Erlang process), `os_pid', `fork_path', `argv' and what
%% was given as `meta'; `status' at an exit; `signal' and `reason' at a kill. A program that
%% can't be started emits no event: its caller gets the error.
%%
%% <h3>Unix processes</h3>
%%
%% For each process at a fork path, however it was made: by {@link alcove:fork/2}, {@link
%% alcove:clone/3}, {@link alcove:spawn/4} or {@link alcove_proc}. Each event costs a message, so
%% only a Drv with the option `telemetry' emits them:
%%
%% ```
%% {ok, Drv} = alcove_drv:start([{telemetry, true}])
%% '''
%%
%% <dl>
%% <dt>`[alcove, process, spawn]'</dt>
%% <dd>The process was forked: `system_time', the time of day.</dd>
%% <dt>`[alcove, process, exit]'</dt>
%% <dd>The process is gone: `duration', how long it lived, as an event loop and as a program; and
%%     `user_time', `system_time' and `peak_memory' as above, of the process and of the children
%%     that it waited for.</dd>
%% </dl>
%%
%% The metadata has `drv', `fork_path' and `os_pid', and `status' at an exit: 0 to 255 or
%% `{termsig, Signal}', also if the kernel killed the process because memory ran out.
%% The status is `undefined', and there is only the duration, if the status can't be known, because
%% the process ended with the Drv or with its parent, or a program with its keeper.
%%
%% For each Drv a process of its own calls the handlers: a slow handler delays events, and
%% nothing else.
%%
%% <h3>Pools</h3>
%%
%% For {@link alcove_pool}; each event has `pool' and `node' as metadata:
%%
%% <dl>
%% <dt>`[alcove, pool, start]'</dt>
%% <dd>A member gave a caller room: `wait', how long the caller had waited in its queue, and
%%     `running' and `waiting', how many have room and how many wait there.</dd>
%% <dt>`[alcove, pool, stop]'</dt>
%% <dd>The room is free again: `duration', the time since it was asked for, `running',
%%     `waiting'.</dd>
%% <dt>`[alcove, pool, lost]'</dt>
%% <dd>On the caller's node: a member was lost that had a program to run. The metadata has `reason',
%%     and `retry', how often the program may be run again.</dd>
%% </dl>
%%
%% <h3>Times</h3>
%%
%% `duration' is in native units of time, as is usual with telemetry, and so is `system_time'
%% at a spawn.
%%
%% <h3>The log</h3>
%%
%% All of these are logged as well, by `logger', as reports `#{event := Name, measurements :=
%% Measurements, metadata := Metadata}' whose own metadata has `Metadata' too, except for keys that
%% logger itself gives a meaning, such as `time', `domain' and `gl': those are in the report alone.
%% They have the level that the application's variable `log_level' names. By default that is `none',
%% and nothing is logged:
%%
%% ```
%% application:set_env(alcove, log_level, notice)
%% '''
%%
%% Logger leaves out what is below `notice' until `logger:set_primary_config(level, info)'.
-module(alcove_telemetry).

-export([execute/3, used/1]).

-include("alcove.hrl").

%% What logger and its formatter take for their own, whoever gave it. With a domain, logger's
%% default handler wouldn't show the event.
-define(LOGGERS, [domain, error_logger, file, gl, line, logger_formatter, mfa, report_cb, time]).

%% @private
-spec execute([atom(), ...], #{atom() => number()}, map()) -> ok.
execute(Event, Measurements, Metadata) ->
    case application:get_env(alcove, log_level, none) of
        none ->
            ok;
        Level ->
            Report = #{event => Event, measurements => Measurements, metadata => Metadata},
            logger:log(Level, Report, maps:without(?LOGGERS, Metadata))
    end,
    case erlang:function_exported(telemetry, execute, 3) of
        true ->
            %% The module is called by its name, since it need not exist.
            Module = telemetry,
            _ = Module:execute(Event, Measurements, Metadata),
            ok;
        false ->
            ok
    end.

%% @private
%% @doc What a process used, as measurements.
-spec used(alcove:rusage()) -> #{user_time | system_time | peak_memory => non_neg_integer()}.
used(#{utime := User, stime := System, maxrss := Kilobytes}) ->
    #{
        user_time => micro(User),
        system_time => micro(System),
        peak_memory => Kilobytes * 1024
    }.

micro(#alcove_timeval{sec = Seconds, usec = Micro}) ->
    Seconds * 1000000 + Micro.
