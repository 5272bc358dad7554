%% @private
%% @doc The names of processes of programs, as gen_server has them.
-module(alcove_proc_registry).

-export([claim/1, release/1, is_server/1, pid/1]).
-export([note/3, noted/0]).

%% The key in the process dictionary, where the note can be read without a message.
-define(NOTE, '$alcove_program').

%% @doc Gives the caller a name.
-spec claim(alcove_proc_options:name() | undefined) ->
    ok | {error, {already_started, pid() | port() | undefined} | {name, term()}}.
claim(undefined) ->
    ok;
claim(Name) ->
    try
        claim(Name, 2)
    catch
        _:Reason -> {error, {name, Reason}}
    end.

%% Tries again, since the process that had the name may have ended meanwhile.
claim(Name, Tries) ->
    case {is_given(Name), whose(Name)} of
        {true, _} -> ok;
        {false, undefined} when Tries > 0 -> claim(Name, Tries - 1);
        {false, Pid} -> {error, {already_started, Pid}}
    end.

is_given({local, Name}) ->
    try
        erlang:register(Name, self())
    catch
        error:badarg -> false
    end;
is_given({global, Name}) ->
    global:register_name(Name, self()) =:= yes;
is_given({via, Module, Name}) ->
    Module:register_name(Name, self()) =:= yes.

whose({local, Name}) -> whereis(Name);
whose({global, Name}) -> global:whereis_name(Name);
whose({via, Module, Name}) -> Module:whereis_name(Name).

%% @doc Takes the caller's name, if it has one.
-spec release(alcove_proc_options:name() | undefined) -> ok.
release(Given) ->
    Self = self(),
    try Given =/= undefined andalso whose(Given) =:= Self andalso free(Given) of
        _ -> ok
    catch
        %% The process ends soon, and its name with it.
        _:_ -> ok
    end.

free({local, Name}) -> erlang:unregister(Name);
free({global, Name}) -> global:unregister_name(Name);
free({via, Module, Name}) -> Module:unregister_name(Name).

%% @doc Notes which program of which Drv the caller's name stands for.
-spec note(alcove_proc_options:name() | undefined, pid(), alcove:fork_path()) -> ok.
note(undefined, _Drv, _Path) ->
    ok;
note(Name, Drv, Path) ->
    _ = put(?NOTE, {Drv, Path, Name}),
    ok.

%% @doc All notes of this node.
-spec noted() -> [{Drv :: pid(), alcove:fork_path(), alcove_proc_options:name()}].
noted() ->
    [
        Note
     || Pid <- processes(),
        {dictionary, Dictionary} <- [process_info(Pid, dictionary)],
        {?NOTE, Note} <- [lists:keyfind(?NOTE, 1, Dictionary)]
    ].

%% @doc Whether a term may name the process of a program.
-spec is_server(term()) -> boolean().
is_server(Pid) when is_pid(Pid) -> true;
is_server(Name) when is_atom(Name) -> Name =/= undefined;
is_server({global, _}) -> true;
is_server({via, Module, _}) -> is_atom(Module);
is_server({Name, Node}) -> is_atom(Name) andalso Name =/= undefined andalso is_atom(Node);
is_server(_) -> false.

%% @doc The process that a term names, `undefined' if there is none. `exit({nodedown, Node})' if its
%% node can't be asked.
-spec pid(alcove_proc:server()) -> pid() | undefined.
pid(Pid) when is_pid(Pid) ->
    Pid;
pid(Name) when is_atom(Name) ->
    case whereis(Name) of
        Pid when is_pid(Pid) -> Pid;
        _ -> undefined
    end;
pid({global, Name}) ->
    global:whereis_name(Name);
pid({via, Module, Name}) ->
    Module:whereis_name(Name);
pid({Name, Node}) when Node =:= node() ->
    pid(Name);
pid({Name, Node}) ->
    try erpc:call(Node, erlang, whereis, [Name]) of
        Pid when is_pid(Pid) -> Pid;
        _ -> undefined
    catch
        error:{erpc, _} -> exit({nodedown, Node})
    end.
