%% @doc Runs suites in a virtual machine of their own, without rebar3, and says what came of each: for
%% `scripts/test-old.sh' and `scripts/test-vm.sh', where the machine is made to look like another, or is one,
%% and rebar3 isn't what is tested.
%%
%% It is a hook of Common Test, too, for what ct:run_test/1 doesn't tell.
-module(alcove_cell).

-export([main/0]).
-export([init/2, pre_init_per_testcase/4, on_tc_fail/4, on_tc_skip/4]).

-define(DETAIL, 600).

%% `ALCOVE_CELL_SUITES' in the environment names the suites, `ALCOVE_CELL_CASES' cases of the first if only
%% they are meant, and `ALCOVE_CELL_LOGS' the directory of the logs. The status is 0 when nothing failed.
-spec main() -> no_return().
main() ->
    Suites = [list_to_atom("alcove_" ++ Name ++ "_SUITE") || Name <- words("ALCOVE_CELL_SUITES")],
    Cases = case words("ALCOVE_CELL_CASES") of
                [] -> [];
                Names -> [{testcase, [list_to_atom(Name) || Name <- Names]}]
            end,
    Result = ct:run_test(Cases ++ [{dir, filename:dirname(code:which(?MODULE))}, {suite, Suites},
                                   {auto_compile, false}, {logdir, os:getenv("ALCOVE_CELL_LOGS")},
                                   {ct_hooks, [?MODULE]}, {verbosity, 0}, {basic_html, true}]),
    case Result of
        {Passed, Failed, {ByUser, ByCt}} ->
            io:format("~n~b passed, ~b failed, ~b skipped~n", [Passed, Failed + ByCt, ByUser]),
            halt(case Failed + ByCt of 0 when Passed > 0 -> 0; _ -> 1 end);
        Error ->
            io:format("~n~tp~n", [Error]),
            halt(2)
    end.

words(Name) ->
    string:lexemes(os:getenv(Name, ""), " ").

%% ---------------------------------------------------------------------------
%% What Common Test calls
%% ---------------------------------------------------------------------------

init(_Id, _Options) ->
    {ok, none}.

pre_init_per_testcase(Suite, _Case, Config, Suite) ->
    {Config, Suite};
pre_init_per_testcase(Suite, _Case, Config, _Before) ->
    io:format(user, "   ~s~n", [Suite]),
    {Config, Suite}.

on_tc_fail(Suite, Case, Reason, State) ->
    say("failed", Suite, Case, Reason),
    State.

%% Where a case was skipped for what it asked of the machine.
on_tc_skip(Suite, Case, {tc_user_skip, Reason}, State) ->
    say("skipped", Suite, Case, Reason),
    State;
on_tc_skip(Suite, Case, {tc_auto_skip, Reason}, State) ->
    say("failed", Suite, Case, Reason),
    State.

say(What, Suite, Case, Reason) ->
    Text = case io_lib:printable_unicode_list(Reason) of
               true -> Reason;
               false -> io_lib:format("~0tp", [Reason])
           end,
    io:format(user, "~s ~s:~0tp: ~ts~n",
              [What, Suite, Case, string:slice(unicode:characters_to_list(Text), 0, ?DETAIL)]).
