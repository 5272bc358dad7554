-module(alcove_explain_tests).

-include_lib("eunit/include/eunit.hrl").

%% What a pool adds to the errors of programs is explained, too.
errors_of_pools_test_() ->
    [
        ?_assertNotEqual(
            nomatch, string:find(unicode:characters_to_list(alcove:format_error({error, Reason})), Part)
        )
     || {Reason, Part} <- [
            {busy, "no room in time"},
            {too_large, "even when it is empty"},
            {{no_member, none}, "a member of the pool none"},
            {{nodedown, 'a@b'}, "the node a@b was lost"},
            {{member, killed}, "has ended"}
        ]
    ].
