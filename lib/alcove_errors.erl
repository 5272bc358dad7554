%% @private
%% @doc Errors: exceptions that tell which argument was wrong, and why; and which errors pass.
-module(alcove_errors).

-export([raise/5, format_error/2, is_shortage/1]).

-export_type([cause/0]).

%% What was wrong: an argument by its position (from 1), or one by what it is in
%% the list of arguments at that position.
-type cause() ::
    {drv, pos_integer()}
    | {no_drv, pos_integer()}
    | {no_drvs, pos_integer()}
    | {gone, pos_integer()}
    | {filtered, pos_integer()}
    | {badpid, pos_integer()}
    | {pids, pos_integer()}
    | {timeout, pos_integer()}
    | {names, pos_integer()}
    | {group, pos_integer()}
    | {how, pos_integer()}
    | {stream, pos_integer()}
    | {milliseconds, pos_integer()}
    | {dimension, pos_integer()}
    | {escape, pos_integer()}
    | {signal, pos_integer()}
    | {number, pos_integer()}
    | {pid, pos_integer()}
    | {server, pos_integer()}
    | {bytes, pos_integer()}
    | {kill, pos_integer()}
    | {iodata, pos_integer()}
    | {{argument, Call :: atom(), N :: pos_integer()}, pos_integer()}
    | {{in_argv, Call :: atom(), N :: pos_integer()}, pos_integer()}
    | {{in_calls, Index :: pos_integer(), N :: term()}, pos_integer()}
    | {{in_call, Index :: pos_integer(), Call :: atom(), N :: pos_integer()}, pos_integer()}
    | {undef, pos_integer()}
    | {length, pos_integer()}
    | {calls, pos_integer()}
    | {cgroup_name, pos_integer()}
    | {cgroup_root, pos_integer()}
    | {cgroup_file, pos_integer()}
    | {cgroup_controllers, pos_integer()}
    | {cgroup_limits, pos_integer()}
    | {function, pos_integer()}
    | {regexp, pos_integer()}
    | {{option, term()}, pos_integer()}
    | {{spec, term()}, pos_integer()}.

%% @doc Whether a reason is one of those that pass, because something was used up at that moment: it
%% says nothing about the machine.
-spec is_shortage(term()) -> boolean().
is_shortage({_Where, Reason}) ->
    is_shortage(Reason);
is_shortage(Reason) ->
    lists:member(Reason, [
        eagain, edquot, eintr, emfile, enfile, enobufs, enomem, etimedout, timeout
    ]).

%% @doc Raises an error as if the public function had raised it, whose name and arguments
%% are given. That function called this one in tail position, and so isn't on the stack any more.
-spec raise(term(), module(), atom(), [term()], cause()) -> no_return().
raise(Reason, Module, Function, Args, Cause) ->
    {current_stacktrace, Stack} = process_info(self(), current_stacktrace),
    Callers = lists:dropwhile(
        fun({M, _, _, _}) -> M =:= ?MODULE orelse M =:= Module end,
        Stack
    ),
    Info = [{error_info, #{module => ?MODULE, cause => named(Cause, Args)}}],
    erlang:raise(error, Reason, [{Module, Function, told(Module, Function, Args), Info} | Callers]).

%% The explanation needs no arguments: they may be left out of the trace.
named({{in_calls, Index, N}, Position}, Args) when is_integer(N), N > 0 ->
    {Call, _} = lists:nth(Index, lists:nth(Position, Args)),
    {{in_call, Index, Call, N}, Position};
named(Cause, _Args) ->
    Cause.

%% Arguments and environments of programs must not get into a log. So the stack only has the arity
%% of a function, unless the function is known to take neither.
told(Module, Function, Args) ->
    case is_harmless(Module, Function, Args) of
        true -> Args;
        false -> length(Args)
    end.

is_harmless(alcove_proc, Function, _Args) ->
    lists:member(Function, [
        active, attach, await, close, controlling_process, eof, fold, info, read, signal, stop,
        winsize, write
    ]);
is_harmless(alcove_drv, Function, _Args) ->
    lists:member(Function, [controlling_process, info, stop]);
is_harmless(alcove_pool, Function, _Args) ->
    Function =:= drain;
is_harmless(alcove, call, Args) when length(Args) =< 3 ->
    is_harmless_call(lists:nth(2, Args));
is_harmless(alcove, call, Args) ->
    is_harmless_call(lists:nth(3, Args));
is_harmless(alcove, Function, Args) when Function =:= batch; Function =:= spawn ->
    try
        lists:all(fun({Call, _}) -> is_harmless_call(Call) end, lists:last(Args))
    catch
        %% The argument is no list of calls.
        error:_ -> false
    end;
is_harmless(alcove, Function, _Args) ->
    kinds(Function) =:= none orelse is_harmless_call(Function);
is_harmless(Module, _Function, _Args) ->
    lists:member(Module, [alcove_cgroup, alcove_top]).

%% A call that isn't in the table may be a misspelt one that takes arguments.
is_harmless_call(Call) ->
    case kinds(Call) of
        Kinds when is_list(Kinds) ->
            Call =/= setenv andalso
                not lists:any(fun(Kind) -> lowercase(Kind) =:= "strvec" end, Kinds);
        _ ->
            false
    end.

%% @doc The explanation that the shell and the logger show.
-spec format_error(term(), erlang:stacktrace()) -> #{pos_integer() | general => unicode:chardata()}.
format_error(_Reason, [{_Module, _Function, _Args, Info} | _]) ->
    case proplists:get_value(error_info, Info, #{}) of
        #{cause := {What, Position}} -> #{Position => text(What)};
        _ -> #{}
    end.

text(drv) ->
    "not a Drv: the pid that alcove_drv:start returned, or a name that is registered";
text(no_drvs) ->
    "not a Drv, not a list of them, and not the name of a pool that has members";
text(no_drv) ->
    "a process that is no Drv";
text(filtered) ->
    "this process refuses the call, see alcove:filter/3";
text(gone) ->
    "not a Drv that runs";
text(badpid) ->
    "no process is in its event loop at this fork path";
text(pids) ->
    "not a fork path: a list of non-negative integers of 32 bits";
text(timeout) ->
    "not a timeout: a number of milliseconds or infinity";
text(names) ->
    "not the name of a constant, an atom, or a list of names";
text(group) ->
    "not the name of a kind of constants, an atom";
text(how) ->
    "neither fork nor {clone, Flags} with flags that are known";
text(stream) ->
    "not stdin, stdout or stderr";
text(milliseconds) ->
    "not a number of milliseconds";
text(escape) ->
    "not #{escape => Character}, with a character of ASCII or none";
text(dimension) ->
    "not a number of rows or columns, from 1 to 65535";
text(signal) ->
    "not an integer";
text(number) ->
    "not an integer";
text(server) ->
    "not a pid, and not the name of a process: Name, {Name, Node}, {global, Name} or "
    "{via, Module, Name}";
text(kill) ->
    "not kill";
text(bytes) ->
    "not a number of bytes above 0, or infinity";
text(pid) ->
    "not a pid";
text(iodata) ->
    "not iodata, or too large";
text({argument, Call, N}) ->
    expected(kind(Call, N));
text({in_argv, Call, N}) ->
    io_lib:format("argument ~b of ~ts is ~ts", [N, Call, expected(kind(Call, N))]);
text({in_call, Index, Call, N}) ->
    ["in call ", integer_to_list(Index), ", ", text({in_argv, Call, N})];
text({in_calls, Index, 0}) ->
    io_lib:format("call ~b is not {Call, Arguments}", [Index]);
text({in_calls, Index, undef}) ->
    io_lib:format("call ~b is none that there is, or has another number of arguments", [Index]);
text({in_calls, Index, last}) ->
    io_lib:format("call ~b ends the event loop, so none can follow it", [Index]);
text({in_calls, Index, length}) ->
    io_lib:format("with call ~b they are too large for one round trip", [Index]);
text(undef) ->
    "no such call with this number of arguments";
text(length) ->
    "the arguments are too large together";
text(calls) ->
    "not a list of {Call, Arguments}";
text(cgroup_name) ->
    "not the name of a control group: a path without .., or its components";
text(cgroup_root) ->
    "the root of a hierarchy, where a control group below it is needed";
text(cgroup_file) ->
    "not the name of a file of a control group";
text(cgroup_controllers) ->
    "not a controller of control groups, or not a list of them";
text(cgroup_limits) ->
    "not a map of limits of a control group, or one with a wrong value";
text(function) ->
    "not a function of two arguments";
text(regexp) ->
    "not a regular expression";
text({option, Option}) ->
    alcove_explain:option(Option);
text({spec, {drv, Drv}}) ->
    io_lib:format("not a Drv that runs or the name of one: ~0tp", [Drv]);
text({spec, Part}) ->
    io_lib:format("a wrong part of a sandbox: ~0tp", [Part]).

kind(Call, N) ->
    case kinds(Call) of
        Kinds when is_list(Kinds) -> lists:nth(N, Kinds);
        _ -> unknown
    end.

%% The kinds of a call's arguments; `none' if there is no such call.
kinds(Call) ->
    %% The library may not be loaded where the exception is shown.
    try lists:keyfind(Call, 1, alcove_nif:calls()) of
        {Call, _, Arguments, _, _, _} -> [Kind || {_, Kind} <- Arguments];
        false -> none
    catch
        _:_ -> unknown
    end.

lowercase(Kind) ->
    string:lowercase(atom_to_list(Kind)).

expected(Kind) ->
    case lowercase(Kind) of
        "i32" -> "not an integer of 32 bits";
        "u32" -> "not a non-negative integer of 32 bits";
        "i64" -> "not an integer of 64 bits";
        "u64" -> "not a non-negative integer of 64 bits";
        "fd" -> "not a file descriptor";
        "pid" -> "not a process id";
        "mode" -> "not a file mode: an integer from 0 to 8#177777";
        "id" -> "not a user or group id: an integer from 0 to 16#fffffffe";
        "idorkeep" -> "not a user or group id, or -1";
        "count" -> "not a number of bytes, or too large";
        "str" -> "not iodata without NUL bytes, or too large";
        "strvec" -> "not a list of iodata without NUL bytes, or too large";
        "bytes" -> "not iodata, or too large";
        "fds" -> "not a list of file descriptors";
        "rlimit" -> "not an #alcove_rlimit{}";
        "timeval" -> "not an #alcove_timeval{}, and not <<>>";
        "opt" -> "not an option of the event loop";
        "signal" -> "not a signal: its number or its name";
        "handler" -> "not dfl, ign or trap";
        "ptr" -> "not an integer, names of constants, iodata or a structure";
        "cloneflags" -> "not an integer, and not the names of clone_define";
        "openflags" -> "not an integer, and not the names of file_define";
        "mountflags" -> "not an integer, and not the names of mount_define";
        "whence" -> "not an integer, and not a name of file_define";
        "resource" -> "not an integer, and not a name of rlimit_define";
        "prctloption" -> "not an integer, and not a name of prctl_define";
        "flags" -> "not a non-negative integer, and not the names of constants";
        "const" -> "not an integer, and not the name of a constant";
        "dirfd" -> "not a file descriptor, and not at_fdcwd";
        "ids" -> "not a list of user or group ids";
        "cpus" -> "not a list of processors: integers from 0 to 65535";
        "caps" -> "not a set of capabilities: an integer of 64 bits or a list of names";
        "filetime" -> "not now, omit or an integer of 64 bits";
        "millis" -> "not a timeout: milliseconds to 2^31 - 1, or infinity";
        "pollfds" -> "not a list of {FD, Events}";
        "sockaddr" -> "not an address of a socket";
        "syscallnumber" -> "not an integer, and not a name of syscall_define";
        "calls" -> "not a list of names of calls, nor {allow, Names} or {deny, Names}";
        "ptrs" ->
            "not a list of at most six of integers, names of constants, iodata and structures";
        _ -> "has the wrong shape"
    end.
