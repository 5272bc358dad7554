%% @doc A light at a GPIO pin of a BeagleBone Black or a Raspberry Pi.
%%
%% Two processes share the work, and each has no more rights than its part takes:
%%
%% <ul>
%% <li>the port asks the kernel to export the pin to user space, forks a child into
%%     new namespaces and drops its privileges. What it keeps is a descriptor by which the
%%     pin can be taken back;</li>
%% <li>the child gets a descriptor for the pin and drops its privileges too. It can't open
%%     anything any more. What it still can do is to switch the light.</li>
%% </ul>
%%
%% A pin is `{Chip, Line}', the number of the GPIO controller and that of its line:
%%
%% ```
%% 1> {ok, Led} = gpioled:start({1, 21}).       % the BeagleBone's own, usr0
%% {ok,_}
%% 2> gpioled:blink(Led, 10, 500).
%% ok
%% 3> gpioled:stop(Led).
%% ok
%% 4> {ok, Pin11} = gpioled:start({0, 17}).     % the Raspberry Pi's pin 11
%% {ok,_}
%% '''
%%
%% The pin is requested from the controller's character device, `/dev/gpiochipN', by ioctl(2)
%% (userspace-api/gpio/chardev.rst), from Linux 5.10 on. Then there is nothing to export,
%% and nothing to take back: the kernel does when the child's descriptor is closed.
%%
%% Older kernels have GPIO as files, in `/sys/class/gpio' (gpio/sysfs.rst of the kernel's
%% documentation). There, lines are counted over all controllers, and which number is the
%% first of a controller isn't said by the order of the controllers: it is the one whose
%% device is that of the controller. Kernels before 4.8 have no numbers of controllers; there the
%% one with the lowest lines is number 0.
-module(gpioled).

-export([start/1, start/2, stop/1, on/1, off/1, blink/3]).

-export_type([pin/0, led/0, options/0]).

-include_lib("alcove/include/alcove.hrl").

-type pin() :: {Chip :: non_neg_integer(), Line :: non_neg_integer()}.
-type options() :: #{root => file:filename(), alcove => [alcove_drv:option()]}.
%% Where `/sys' and `/dev' are, and options of `alcove_drv:start/1'.

-record(led, {
    drv :: alcove:drv(),
    child :: alcove:fork_path(),
    % How the pin is set, by a descriptor of the child.
    pin :: {value | line, alcove:fd()},
    % How it is taken back, by a descriptor of the port.
    unexport :: {alcove:fd(), Number :: string()} | none
}).

-opaque led() :: #led{}.

-define(NAMESPACES, [clone_newipc, clone_newnet, clone_newns, clone_newpid, clone_newuts]).

%% From linux/gpio.h, where `struct gpio_v2_line_request' is 592 bytes long and
%% `struct gpio_v2_line_values' 16: _IOWR(0xB4, 0x07, ...), _IOWR(0xB4, 0x0F, ...).
-define(GPIO_V2_GET_LINE_IOCTL, 16#c250b407).
-define(GPIO_V2_LINE_SET_VALUES_IOCTL, 16#c010b40f).
-define(GPIO_V2_LINE_FLAG_OUTPUT, (1 bsl 3)).
-define(GPIO_V2_LINES_MAX, 64).

%% @equiv start(Pin, #{})
-spec start(pin()) -> {ok, led()} | {error, term()}.
start(Pin) ->
    start(Pin, #{}).

%% @doc Makes a pin an output, which is low. Exporting it takes root's rights: if no options
%% for alcove are given, it is started through sudo. A line that the controller doesn't have is
%% `{error, einval}', either way.
-spec start(pin(), options()) -> {ok, led()} | {error, term()}.
start({Chip, Line} = Pin, Options) when
    is_integer(Chip), Chip >= 0, is_integer(Line), Line >= 0
->
    #{root := Root, alcove := Alcove} = maps:merge(
        #{root => "/", alcove => [{exec, "sudo -n"}]}, Options
    ),
    case alcove_drv:start(Alcove) of
        {ok, Drv} ->
            try
                {ok, led(Drv, Root, Pin)}
            catch
                throw:{?MODULE, Reason} ->
                    alcove_drv:stop(Drv),
                    {error, Reason}
            end;
        {error, _} = Error ->
            Error
    end.

%% @doc Puts the light out and gives the pin back.
-spec stop(led()) -> ok | {error, alcove:posix()}.
stop(#led{drv = Drv, child = Child, unexport = Unexport} = Led) ->
    Off = off(Led),
    ok = alcove:exit(Drv, Child, 0),
    Back = unexport(Drv, Unexport),
    alcove_drv:stop(Drv),
    case Off of
        ok -> Back;
        {error, _} -> Off
    end.

-spec on(led()) -> ok | {error, alcove:posix()}.
on(Led) ->
    set(Led, 1).

-spec off(led()) -> ok | {error, alcove:posix()}.
off(Led) ->
    set(Led, 0).

%% @doc Switches the light on and off so many times, each for so many milliseconds.
-spec blink(led(), non_neg_integer(), non_neg_integer()) -> ok | {error, alcove:posix()}.
blink(_Led, 0, _Ms) ->
    ok;
blink(Led, Times, Ms) ->
    case on(Led) of
        ok ->
            timer:sleep(Ms),
            case off(Led) of
                ok ->
                    timer:sleep(Ms),
                    blink(Led, Times - 1, Ms);
                Error ->
                    Error
            end;
        Error ->
            Error
    end.

set(#led{drv = Drv, child = Child, pin = {value, Fd}}, Value) ->
    case alcove:pwrite(Drv, Child, Fd, integer_to_list(Value), 0) of
        {ok, 1} -> ok;
        {error, _} = Error -> Error
    end;
set(#led{drv = Drv, child = Child, pin = {line, Fd}}, Value) ->
    % The values of the lines, of which there is one, and which of them to set.
    Values = <<Value:64/native, 1:64/native>>,
    case alcove:ioctl(Drv, Child, Fd, ?GPIO_V2_LINE_SET_VALUES_IOCTL, Values) of
        {ok, _, _} -> ok;
        {error, _} = Error -> Error
    end.

%%--------------------------------------------------------------------
%% The two processes
%%--------------------------------------------------------------------

led(Drv, Root, {Chip, Line}) ->
    case by_device(Drv, device(Root, Chip), Line) of
        {ok, Led} ->
            Led;
        {error, Reason} ->
            Gpio = filename:join(Root, "sys/class/gpio"),
            case alcove:access(Drv, filename:join(Gpio, "export"), w_ok) of
                ok -> by_files(Drv, Gpio, number(Drv, Root, Gpio, Chip, Line));
                {error, enoent} -> throw({?MODULE, Reason});
                {error, Refused} -> throw({?MODULE, Refused})
            end
    end.

by_files(Drv, Gpio, Number) ->
    File = fun(Name) -> filename:join([Gpio, "gpio" ++ Number, Name]) end,
    Unexport = open(Drv, [], filename:join(Gpio, "unexport"), o_wronly),
    Exported =
        case export(Drv, filename:join(Gpio, "export"), Number) of
            ok -> {Unexport, Number};
            % Somebody else uses it, and will give it back.
            busy -> none
        end,
    try
        write(Drv, File("direction"), "low"),
        Child = child(Drv),
        % The child has a copy of it.
        done(alcove:close(Drv, Child, Unexport)),
        drop_privs(Drv, []),
        Value = open(Drv, Child, File("value"), o_wronly),
        confine(Drv, Child),
        #led{drv = Drv, child = Child, pin = {value, Value}, unexport = Exported}
    catch
        throw:Reason ->
            _ = unexport(Drv, Exported),
            throw(Reason)
    end.

%% An error where there is no such device, or the kernel is older than what is asked of it; what
%% else is refused, as a line that is in use, is no reason to try another way.
by_device(Drv, Device, Line) ->
    Child = child(Drv),
    case alcove:open(Drv, Child, Device, [o_rdwr, o_cloexec], 0) of
        {ok, Chip} ->
            Requested = line(Drv, Child, Chip, Line),
            done(alcove:close(Drv, Child, Chip)),
            case Requested of
                {ok, Fd} ->
                    drop_privs(Drv, []),
                    confine(Drv, Child),
                    {ok, #led{drv = Drv, child = Child, pin = {line, Fd}, unexport = none}};
                {old, Reason} ->
                    without(Drv, Child, Reason);
                {error, Reason} ->
                    throw({?MODULE, Reason})
            end;
        {error, Reason} when Reason =:= enoent; Reason =:= enodev; Reason =:= enxio ->
            without(Drv, Child, Reason);
        {error, Reason} ->
            throw({?MODULE, Reason})
    end.

without(Drv, Child, Reason) ->
    ok = alcove:exit(Drv, Child, 0),
    {error, Reason}.

child(Drv) ->
    [must(alcove:clone(Drv, ?NAMESPACES))].

confine(Drv, Child) ->
    Limit = #alcove_rlimit{cur = 0, max = 0},
    done(alcove:setrlimit(Drv, Child, rlimit_nofile, Limit)),
    drop_privs(Drv, Child).

%% Each becomes a user of its own, so that neither may touch the other.
drop_privs(Drv, Pids) ->
    NoNewPrivs = {prctl, [pr_set_no_new_privs, 1, 0, 0, 0]},
    {ok, _} = alcove:batch(Drv, Pids, chrootex:drop_privs(chrootex:id()) ++ [NoNewPrivs]),
    ok.

%%--------------------------------------------------------------------
%% GPIO
%%--------------------------------------------------------------------

%% The number of a line. Beyond those of its controller are the lines of the next one.
number(Drv, Root, Gpio, Chip, Line) ->
    Base = base(Drv, Root, Gpio, Chip),
    Directory = filename:join(Gpio, "gpiochip" ++ integer_to_list(Base)),
    Lines = must(alcove:read_file(Drv, filename:join(Directory, "ngpio"))),
    case binary_to_integer(string:trim(Lines)) of
        Count when Line < Count -> integer_to_list(Base + Line);
        _ -> throw({?MODULE, einval})
    end.

%% The number of the first line of a controller. There is a directory with that in its
%% name for each of them, in the directory of the controller or of its parent.
base(Drv, Root, Gpio, Chip) ->
    Names = must(alcove:readdir(Drv, Gpio)),
    Bases = lists:sort([binary_to_integer(Base) || <<"gpiochip", Base/binary>> <- Names]),
    Devices = filename:join(Root, "sys/bus/gpio/devices"),
    Found =
        case alcove:access(Drv, Devices, f_ok) of
            ok ->
                Device = filename:join(Devices, "gpiochip" ++ integer_to_list(Chip)),
                Same = [
                    File
                 || {ok, File} <- [file(Drv, Device), file(Drv, filename:join(Device, ".."))]
                ],
                [
                    Base
                 || Base <- Bases,
                    Dir <- [filename:join(Gpio, "gpiochip" ++ integer_to_list(Base))],
                    {ok, File} <- [file(Drv, filename:join(Dir, "../.."))],
                    lists:member(File, Same)
                ];
            {error, _} ->
                lists:sublist(Bases, Chip + 1, 1)
        end,
    case Found of
        [Base] -> Base;
        %% None, or several, which nothing tells apart: the wrong light is worse than none.
        _ -> throw({?MODULE, enodev})
    end.

%% What is the same for all the names of a file.
file(Drv, Path) ->
    case alcove:stat(Drv, Path) of
        {ok, #{dev := Dev, ino := Ino}} -> {ok, {Dev, Ino}};
        {error, _} = Error -> Error
    end.

export(Drv, File, Number) ->
    case alcove:write_file(Drv, File, [], 0, Number) of
        {error, ebusy} -> busy;
        Written -> done(Written)
    end.

unexport(_Drv, none) ->
    ok;
unexport(Drv, {Fd, Number}) ->
    case alcove:write(Drv, Fd, Number) of
        {ok, _} -> ok;
        {error, _} = Error -> Error
    end.

device(Root, Chip) ->
    filename:join([Root, "dev", "gpiochip" ++ integer_to_list(Chip)]).

%% The descriptor of a line, which is the last thing in what the kernel makes of the request, where
%% the line has 32 bits.
line(_Drv, _Child, _Chip, Line) when Line >= 1 bsl 32 ->
    {error, einval};
line(Drv, Child, Chip, Line) ->
    case alcove:ioctl(Drv, Child, Chip, ?GPIO_V2_GET_LINE_IOCTL, request(Line)) of
        {ok, _, <<_:588/binary, Fd:32/signed-native>>} ->
            {ok, Fd};
        {error, Reason} when Reason =:= einval; Reason =:= enotty ->
            % Whether it was the line, or the kernel doesn't know such requests.
            case alcove:ioctl(Drv, Child, Chip, gpio_v2_get_lineinfo_ioctl, <<0:(256 * 8)>>) of
                {ok, _, _} -> {error, Reason};
                {error, _} -> {old, Reason}
            end;
        {error, Reason} ->
            {error, Reason}
    end.

%% A `struct gpio_v2_line_request' for one line.
request(Line) ->
    Consumer = <<"alcove">>,
    <<
        % offsets
        Line:32/native,
        0:((?GPIO_V2_LINES_MAX - 1) * 32),
        % consumer
        Consumer/binary,
        0:((32 - byte_size(Consumer)) * 8),
        % config: flags; without attributes
        ?GPIO_V2_LINE_FLAG_OUTPUT:64/native,
        0:(264 * 8),
        % num_lines
        1:32/native,
        % event_buffer_size and padding
        0:(24 * 8),
        % fd
        0:32
    >>.

%%--------------------------------------------------------------------
%% Calls that must not fail
%%--------------------------------------------------------------------

open(Drv, Pids, File, Flag) ->
    must(alcove:open(Drv, Pids, File, [Flag, o_cloexec], 0)).

write(Drv, File, Text) ->
    done(alcove:write_file(Drv, File, [], 0, Text)).

must({ok, Value}) -> Value;
must({error, Reason}) -> throw({?MODULE, Reason}).

done(ok) -> ok;
done({ok, _}) -> ok;
done({error, Reason}) -> throw({?MODULE, Reason}).
