%% @private
%% @doc A sandbox's place in a network: a pair of network devices, of which one is inside and the
%% other a port of a bridge outside.
%%
%% The process that becomes the program makes the pair, with Drv's rights. It opens a socket of
%% rtnetlink(7) in Drv's network namespace, leaves that for a new one, has the kernel make the pair
%% across the two, and closes the socket. So no device is ever outside whose other end isn't in the
%% sandbox's namespace, and when the last process of that has ended, the kernel removes both.
-module(alcove_sandbox_network).

-export([parse/1, name/0, sources/1, calls/3, named/3]).

-export_type([network/0]).

-type address() :: {inet:ip_address(), Prefix :: 1..128}.
-type network() :: #{
    bridge := binary(),
    address := [address(), ...],
    gateway := [inet:ip_address()],
    name := binary(),
    %% Empty: the kernel chooses it.
    mac := binary(),
    %% 0: the bridge's.
    mtu := non_neg_integer()
}.
-type what() :: {bridge | name | mac | address | gateway, binary()} | {mtu, non_neg_integer()}.

%% The most addresses that a sandbox can have.
-define(MOST, 16).
%% The smallest MTU with which there is IPv4, and IPv6, and the largest of a pair.
-define(LEAST, 68).
-define(LEAST_V6, 1280).
-define(LARGEST, 65535).
%% A directory that is there if the kernel has IPv6.
-define(IPV6, <<"/proc/sys/net/ipv6">>).

%%--------------------------------------------------------------------
%% The spec
%%--------------------------------------------------------------------

%% @doc What a spec has as `network'.
-spec parse(term()) -> {ok, none | host | network()} | {error, term()}.
parse(Network) when Network =:= none; Network =:= host ->
    {ok, Network};
parse(#{bridge := _, address := _} = Given) ->
    try
        Default = #{gateway => [], name => <<"eth0">>, mac => <<>>, mtu => 0},
        {ok, agreed(maps:merge(Default, maps:map(fun key/2, Given)))}
    catch
        throw:{network, Part} -> {error, Part}
    end;
parse(Given) ->
    {error, Given}.

-spec refuse(term()) -> no_return().
refuse(Part) ->
    throw({network, Part}).

key(bridge, Given) ->
    device(bridge, Given);
key(name, Given) ->
    case device(name, Given) of
        <<"lo">> -> refuse({name, Given});
        Name -> Name
    end;
key(address, Given) ->
    case several(address, Given) of
        [_ | _] = All when length(All) =< ?MOST -> [address(One) || One <- All];
        _ -> refuse({address, Given})
    end;
key(gateway, Given) ->
    [ip(One, {gateway, One}) || One <- several(gateway, Given)];
key(mac, Given) ->
    %% The lowest bit of the first byte would make it the address of a group.
    Mac = text(mac, Given),
    is(Mac, "^[0-9a-fA-F][02468aceACE](:[0-9a-fA-F]{2}){5}$") andalso
        Mac =/= <<"00:00:00:00:00:00">> orelse refuse({mac, Given}),
    Mac;
key(mtu, Mtu) when is_integer(Mtu), Mtu >= ?LEAST, Mtu =< ?LARGEST ->
    Mtu;
key(Name, Value) ->
    refuse({Name, Value}).

%% One, or a list of them. A string is one.
several(_Name, Given) when is_binary(Given); is_tuple(Given) -> [Given];
several(_Name, [First | _] = Given) when is_integer(First) -> [Given];
several(_Name, Given) when is_list(Given), length(Given) >= 0 -> Given;
several(Name, Given) -> refuse({Name, Given}).

text(Name, Given) ->
    case alcove_text:bytes(Given) of
        error -> refuse({Name, Given});
        Bytes -> Bytes
    end.

is(Text, Pattern) ->
    re:run(Text, Pattern, [{capture, none}, dollar_endonly]) =:= match.

%% What the kernel takes for the name of a network device, but for names that it would complete
%% (%d).
device(Name, Given) ->
    Bytes = text(Name, Given),
    is(Bytes, "^[!-$&-.0-9;-~]{1,15}$") andalso not lists:member(Bytes, [<<".">>, <<"..">>]) orelse
        refuse({Name, Given}),
    Bytes.

address({Ip, Prefix} = Given) when is_integer(Prefix) ->
    checked({ip(Ip, {address, Given}), Prefix}, Given);
address(Given) ->
    case binary:split(text(address, Given), <<"/">>) of
        [Ip, Digits] when byte_size(Digits) =< 3 ->
            is(Digits, "^[0-9]+$") orelse refuse({address, Given}),
            checked({ip(Ip, {address, Given}), binary_to_integer(Digits)}, Given);
        _ ->
            refuse({address, Given})
    end.

%% An address with its prefix is that of a host.
checked({Ip, Prefix} = Address, Given) ->
    Width = width(Ip),
    Prefix > 0 andalso Prefix =< Width orelse refuse({address, Given}),
    Hosts = (1 bsl (Width - Prefix)) - 1,
    %% In networks of two hosts or one, and in those of IPv6, each address may be one.
    Host = bits(Ip) band Hosts,
    (Width =:= 128 orelse Hosts < 3 orelse (Host =/= 0 andalso Host =/= Hosts)) orelse
        refuse({address, Given}),
    Address.

ip(Address, Refused) when is_tuple(Address) ->
    inet:is_ip_address(Address) andalso is_usable(Address) orelse refuse(Refused),
    Address;
ip(Text, {Name, _} = Refused) ->
    Bytes = text(Name, Text),
    case inet:parse_strict_address(binary_to_list(Bytes)) of
        {ok, Address} ->
            %% The name of a device may follow an address.
            is(Bytes, "^[0-9a-fA-F.:]+$") orelse refuse(Refused),
            ip(Address, Refused);
        {error, _} ->
            refuse(Refused)
    end.

%% Whether a host may have such an address.
is_usable({0, _, _, _}) -> false;
is_usable({127, _, _, _}) -> false;
is_usable({First, _, _, _}) -> First < 224;
is_usable({0, 0, 0, 0, 0, 0, 0, Last}) -> Last > 1;
is_usable({0, 0, 0, 0, 0, 16#ffff, _, _}) -> false;
is_usable({First, _, _, _, _, _, _, _}) -> First < 16#ff00.

width(Ip) when tuple_size(Ip) =:= 4 -> 32;
width(_Ip) -> 128.

bits(Ip) ->
    Part = width(Ip) div tuple_size(Ip),
    lists:foldl(fun(N, Bits) -> Bits bsl Part bor N end, 0, tuple_to_list(Ip)).

%% What is right by itself may not go together.
agreed(#{address := Addresses, gateway := Gateways, mtu := Mtu} = Network) ->
    Ips = [Ip || {Ip, _} <- Addresses],
    _ = [refuse({address, inet:ntoa(Twice)}) || Twice <- Ips -- lists:usort(Ips)],
    Widths = [width(Gateway) || Gateway <- Gateways],
    Widths -- lists:usort(Widths) =:= [] orelse refuse({gateway, [inet:ntoa(G) || G <- Gateways]}),
    Mtu > 0 andalso Mtu < ?LEAST_V6 andalso has_v6(Network) andalso refuse({mtu, Mtu}),
    Network.

has_v6(#{address := Addresses}) ->
    lists:any(fun({Ip, _}) -> width(Ip) =:= 128 end, Addresses).

%%--------------------------------------------------------------------
%% The calls
%%--------------------------------------------------------------------

%% @doc A name for the device outside that no other has: the sixty bits don't come again.
-spec name() -> binary().
name() ->
    Unique = {node(), os:getpid(), erlang:time_offset(), make_ref()},
    <<Bits:60/bitstring, _/bitstring>> = erlang:md5(term_to_binary(Unique)),
    Digits = <<"0123456789abcdefghijklmnopqrstuv">>,
    <<"alc", <<<<(binary:at(Digits, N))>> || <<N:5>> <= Bits>>/binary>>.

%% @doc The paths of the host whose kinds have to be known.
-spec sources(alcove_sandbox_spec:spec()) -> [binary()].
sources(#{network := #{}}) -> [?IPV6];
sources(_Spec) -> [].

%% @doc The calls that make the network, before anything else is made. `Fd' and the numbers after it
%% are free, then and afterwards.
-spec calls(alcove_sandbox_spec:spec(), alcove_sandbox_plan:here(), pos_integer()) ->
    alcove:calls().
calls(#{network := #{bridge := Bridge}}, #{privileged := false}, _Fd) ->
    throw({plan, {network, {{bridge, Bridge}, eperm}}});
calls(#{network := #{} = Network}, #{kinds := Kinds, link := Link}, Fd) ->
    #{bridge := Bridge, address := Addresses, gateway := Gateways} = Network,
    #{name := Name, mac := Mac, mtu := Mtu} = Network,
    lists:append([
        [socket() | [{netdev_unused, [Fd, text(Ip)]} || {Ip, _} <- Addresses]],
        [{unshare, [[clone_newnet]]}],
        alcove_sandbox_kinds:sysctl(values(Network, maps:get(?IPV6, Kinds, absent)), Fd + 1),
        [
            {netdev_veth, [Fd, Link, Bridge, Name, Mac, Mtu]},
            {close, [Fd]},
            socket(),
            {netdev_up, [Fd, <<"lo">>]}
        ],
        [
            {netdev_address, [Fd, Name, iolist_to_binary([text(Ip), $/, integer_to_list(Prefix)])]}
         || {Ip, Prefix} <- Addresses
        ],
        [{netdev_up, [Fd, Name]}],
        [{netdev_route, [Fd, Name, text(Gateway)]} || Gateway <- Gateways],
        [{close, [Fd]}]
    ]);
calls(#{network := Network}, _Here, _Fd) when Network =:= none; Network =:= host ->
    [].

socket() ->
    {socket, [af_netlink, [sock_raw, sock_cloexec], netlink_route]}.

text(Ip) ->
    list_to_binary(inet:ntoa(Ip)).

%% Kernel parameters of the new namespace that the device begins with. It announces its addresses
%% when it is switched on, since an earlier sandbox may have had them, whose Ethernet address others
%% remember. It has no addresses of IPv6 but those of the spec and the link-local one; none at all
%% if the spec has none.
values(Network, Ipv6) ->
    V6 =
        case has_v6(Network) of
            true ->
                [{disable_ipv6, 0}, {accept_ra, 0}, {accept_dad, 0}, {ndisc_notify, 1}];
            false ->
                [{disable_ipv6, 1}]
        end,
    [value(ipv4, arp_notify, 1) | [value(ipv6, Name, N) || {Name, N} <- V6, Ipv6 =/= absent]].

value(Family, Name, N) ->
    Path = lists:concat(["net.", Family, ".conf.default.", Name]),
    {list_to_binary(Path), integer_to_binary(N)}.

%%--------------------------------------------------------------------
%% Errors
%%--------------------------------------------------------------------

%% @doc The error with the part of the spec that it is about, if a call for the network failed.
-spec named(pid(), none | host | network(), term()) ->
    {sandbox, {network, {what(), term()}}} | term().
named(Drv, #{bridge := Bridge} = Network, {Call, Reason} = Error) ->
    #{address := Addresses, gateway := Gateways, name := Name, mac := Mac, mtu := Mtu} = Network,
    Part =
        case {Call, Reason} of
            {netdev_veth, erange} -> {mtu, Mtu};
            {netdev_veth, eexist} -> {name, Name};
            {netdev_veth, eaddrnotavail} -> {mac, Mac};
            {netdev_veth, _} -> {bridge, Bridge};
            {netdev_up, _} -> {name, Name};
            {netdev_address, _} -> {address, text(refused(Addresses))};
            {netdev_unused, _} -> {address, text(used(Drv, Addresses))};
            {netdev_route, _} -> {gateway, text(unreached(Gateways, Addresses))};
            _ -> none
        end,
    case Part of
        none -> Error;
        _ -> {sandbox, {network, {Part, Reason}}}
    end;
named(_Drv, _Network, Error) ->
    Error.

%% Addresses of IPv4 are never refused; those of IPv6 are if the kernel has none.
refused(Addresses) ->
    case [Ip || {Ip, _} <- Addresses, width(Ip) =:= 128] of
        [Ip | _] -> Ip;
        [] -> element(1, hd(Addresses))
    end.

%% Each address is tried by itself, by starting a program that can't be executed.
used(_Drv, [{Ip, _}]) ->
    Ip;
used(Drv, [{Ip, _} | More]) ->
    Calls = [socket(), {netdev_unused, [alcove_sandbox_parts:first(), text(Ip)]}],
    Setup = alcove_sandbox_attempt:cleared(Drv) ++ Calls,
    case alcove_sandbox_attempt:try_out(Drv, #{setup => Setup}) of
        {error, {netdev_unused, _}} -> Ip;
        _ -> used(Drv, More)
    end.

unreached(Gateways, Addresses) ->
    Reached = fun(Gateway) ->
        lists:any(fun(Address) -> is_in(Gateway, Address) end, Addresses)
    end,
    case lists:dropwhile(Reached, Gateways) of
        [Gateway | _] -> Gateway;
        [] -> hd(Gateways)
    end.

is_in(Gateway, {Ip, Prefix}) ->
    Hosts = width(Ip) - Prefix,
    width(Gateway) =:= width(Ip) andalso bits(Gateway) bsr Hosts =:= bits(Ip) bsr Hosts.
