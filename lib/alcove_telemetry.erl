%% @doc Events for those who measure.
%%
%% Where the application telemetry is there, each of these is an event that its handlers
%% get, by `telemetry:execute(Name, Measurements, Metadata)'. alcove doesn't depend on it:
%% nothing happens, and next to nothing is spent, where it isn't loaded.
%%
%% ```
%% telemetry:attach(my_id, [alcove, proc, exit], fun my_module:handle/4, [])
%% '''
%%
%% <h3>Programs</h3>
%%
%% Of each program that {@link alcove_proc} runs, whatever the function:
%%
%% <dl>
%% <dt>`[alcove, proc, spawn]'</dt>
%% <dd>It runs: `duration', what the start took, and `system_time', the time of day.</dd>
%% <dt>`[alcove, proc, exit]'</dt>
%% <dd>It has ended, and nothing of it is left: `duration', how long it ran, `user_time' and
%%     `system_time' in microseconds of a processor, `peak_memory' in bytes.</dd>
%% <dt>`[alcove, proc, kill]'</dt>
%% <dd>alcove signals it, at a deadline, when it wrote too much, or when it is stopped:
%%     `duration', how long it has run. The exit comes besides, once it is gone.</dd>
%% <dt>`[alcove, proc, oom]'</dt>
%% <dd>Its control group (option `cgroup') ran out of memory: `kills', how many processes
%%     that cost. It comes besides the exit.</dd>
%% </dl>
%%
%% The metadata has `drv', `pid' (the Erlang process), `os_pid', `fork_path', `argv' and what
%% was given as `meta'; `status' at an exit; `signal' and `reason' at a kill. A program that
%% can't be started is no event: who starts it has the error.
%%
%% <h3>Unix processes</h3>
%%
%% Of each process at a fork path, however it was made: by {@link alcove:fork/2}, {@link
%% alcove:clone/3}, {@link alcove:spawn/4} or {@link alcove_proc}. These cost a message for
%% each, so they come only of a Drv with the option `telemetry':
%%
%% ```
%% {ok, Drv} = alcove_drv:start([{telemetry, true}])
%% '''
%%
%% <dl>
%% <dt>`[alcove, process, spawn]'</dt>
%% <dd>It was forked: `system_time', the time of day.</dd>
%% <dt>`[alcove, process, exit]'</dt>
%% <dd>It is gone: `duration', how long it was there, as an event loop and as a program; and
%%     `user_time', `system_time' and `peak_memory' as above, of itself and of the children
%%     that it waited for.</dd>
%% </dl>
%%
%% The metadata has `drv', `fork_path' and `os_pid', and `status' at an exit: 0 to 255 or
%% `{termsig, Signal}', which is how a kill, by the kernel for want of memory too, is told.
%% It is `undefined', and there is only the duration, where nobody can know: of what ends
%% with the Drv, or with its parent.
%%
%% Handlers are called in a process of their own for each Drv: a slow one delays events, and
%% nothing else.
%%
%% <h3>Times</h3>
%%
%% `duration' is in native units of time, as is usual with telemetry, and so is `system_time'
%% at a spawn.
%%
%% <h3>The log</h3>
%%
%% All of these are logged as well, by `logger', as reports `#{event := Name, measurements :=
%% Measurements, metadata := Metadata}' whose own metadata has all of `Metadata' too, at the
%% level that the application's variable `log_level' names. By default that is `none', and
%% nothing is logged:
%%
%% ```
%% application:set_env(alcove, log_level, notice)
%% '''
%%
%% Logger leaves out what is below `notice' until `logger:set_primary_config(level, info)'.
-module(alcove_telemetry).

-export([execute/3, used/1]).

-include("alcove.hrl").

%% @private
-spec execute([atom(), ...], #{atom() => number()}, map()) -> ok.
execute(Event, Measurements, Metadata) ->
    case application:get_env(alcove, log_level, none) of
        none ->
            ok;
        Level ->
            Report = #{event => Event, measurements => Measurements, metadata => Metadata},
            %% In no domain: logger's default handler shows nobody else's.
            logger:log(Level, Report, Metadata)
    end,
    case erlang:function_exported(telemetry, execute, 3) of
        true ->
            %% By name: there need not be such a module.
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
