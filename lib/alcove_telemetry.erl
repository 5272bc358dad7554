%% @doc Events for those who measure.
%%
%% Where the application telemetry is there, each of these is an event that its handlers
%% get, by `telemetry:execute(Name, Measurements, Metadata)'. alcove doesn't depend on it:
%% nothing happens, and next to nothing is spent, where it isn't loaded.
%%
%% <dl>
%% <dt>`[alcove, proc, spawn]'</dt>
%% <dd>A program runs: `duration', what the start took, and `system_time'.</dd>
%% <dt>`[alcove, proc, exit]'</dt>
%% <dd>It has ended, and nothing of it is left: `duration', how long it ran, `user_time' and
%%     `system_time' in microseconds, `peak_memory' in bytes.</dd>
%% <dt>`[alcove, proc, kill]'</dt>
%% <dd>alcove signals it, at a deadline, when it wrote too much, or when it is stopped:
%%     `duration', how long it has run.</dd>
%% <dt>`[alcove, proc, oom]'</dt>
%% <dd>Its control group ran out of memory: `kills', how many processes that cost. It comes
%%     besides the exit.</dd>
%% </dl>
%%
%% `duration' is in native units of time, as is usual with telemetry.
%%
%% The metadata has `drv', `pid' (the Erlang process), `os_pid', `fork_path', `argv' and what
%% was given as `meta'; `status' at an exit; `signal' and `reason' at a kill.
%%
%% ```
%% telemetry:attach(my_id, [alcove, proc, exit], fun my_module:handle/4, [])
%% '''
%%
%% They are logged as well, by `logger', with the metadata and in the domain `[alcove]',
%% at the level that the application's variable `log_level' names. By default that is `none',
%% and nothing is logged:
%%
%% ```
%% application:set_env(alcove, log_level, info)
%% '''
-module(alcove_telemetry).

-export([execute/3]).

%% @private
-spec execute([atom(), ...], #{atom() => number()}, map()) -> ok.
execute(Event, Measurements, Metadata) ->
    case application:get_env(alcove, log_level, none) of
        none ->
            ok;
        Level ->
            Report = #{event => Event, measurements => Measurements},
            logger:log(Level, Report, Metadata#{domain => [alcove]})
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
