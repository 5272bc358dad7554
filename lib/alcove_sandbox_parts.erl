%% @private
%% @doc What every sandbox has alike: its descriptors, what is in its proc and its /dev, and a
%% keyring of its own.
-module(alcove_sandbox_parts).

-export([first/0, last/1, closed/1, hides/0, devices/0, new_proc/1, keyring/0]).

-define(FIRST, 3).
-define(LAST, 62).
-define(KEYCTL_JOIN_SESSION_KEYRING, 1).

%% The paths that runc masks, and those that it makes read-only.
-define(MASKED, [
    <<"acpi">>, <<"asound">>, <<"interrupts">>, <<"kcore">>, <<"keys">>, <<"latency_stats">>,
    <<"sched_debug">>, <<"scsi">>, <<"timer_list">>, <<"timer_stats">>
]).
-define(READ_ONLY, [<<"bus">>, <<"fs">>, <<"irq">>, <<"sys">>, <<"sysrq-trigger">>]).
-define(DEVICES, [<<"null">>, <<"zero">>, <<"full">>, <<"random">>, <<"urandom">>, <<"tty">>]).
-define(DEVICE_DIRECTORIES, [<<"pts">>, <<"shm">>]).
%% A text that doesn't begin with a slash leads to a name in the same directory.
-define(DEVICE_LINKS, [
    {<<"ptmx">>, <<"pts/ptmx">>},
    {<<"fd">>, <<"/proc/self/fd">>},
    {<<"stdin">>, <<"/proc/self/fd/0">>},
    {<<"stdout">>, <<"/proc/self/fd/1">>},
    {<<"stderr">>, <<"/proc/self/fd/2">>}
]).

%% @doc The first descriptor after the streams.
-spec first() -> pos_integer().
first() -> ?FIRST.

%% @doc The last descriptor that the calls may use and close, where so many may be open: alcove's
%% own is behind it.
-spec last(infinity | non_neg_integer()) -> integer().
last(infinity) -> ?LAST;
last(Limit) when is_integer(Limit) -> min(?LAST, Limit - 2).

%% @doc Closes all descriptors to the last, so that the next to be opened is the first.
-spec closed(integer()) -> alcove:calls().
closed(Last) -> [{syscall, [close_range, [?FIRST, Last, 0]]}].

%% @doc The names in a proc that are always hidden or read-only, if it has them.
-spec hides() -> [{masked | read_only, Name :: binary()}].
hides() ->
    [{masked, Name} || Name <- ?MASKED] ++ [{read_only, Name} || Name <- ?READ_ONLY].

%% @doc What is in a /dev besides the directories that a spec names.
-spec devices() -> [{Name :: binary(), file | directory | {link, Text :: binary()}}].
devices() ->
    [{Name, file} || Name <- ?DEVICES] ++
        [{Name, directory} || Name <- ?DEVICE_DIRECTORIES] ++
        [{Name, {link, Text}} || {Name, Text} <- ?DEVICE_LINKS].

%% @doc Makes a proc, whose descriptor is the one after `Fd'.
-spec new_proc(pos_integer()) -> alcove:calls().
new_proc(Fd) ->
    [
        {fsopen, [<<"proc">>, [fsopen_cloexec]]},
        {fsconfig, [Fd, fsconfig_cmd_create, <<>>, 0, 0]},
        {fsmount, [Fd, [], [mount_attr_nosuid, mount_attr_nodev, mount_attr_noexec]]}
    ].

%% @doc A keyring(7) of the program's own.
-spec keyring() -> alcove:calls().
keyring() ->
    [{syscall, [keyctl, [?KEYCTL_JOIN_SESSION_KEYRING, 0]]}].
