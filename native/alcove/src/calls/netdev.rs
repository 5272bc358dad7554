//! Network devices: what a network namespace of one's own needs to be part of a network.
//!
//! All of them take a socket of rtnetlink(7), and what they do is done in the network namespace in
//! which that was made.

use super::io::user_fd;
use crate::process::Process;
use crate::reply::{Fail, Outcome};
use crate::sys::rtnetlink::{self, End, Mac};
use nix::errno::Errno;
use std::ffi::CStr;
use std::net::IpAddr;

/// Makes a pair of devices. `name` is one of the ports of `bridge`, if that isn't empty, and on;
/// `peer` is in the network namespace of this process.
///
/// `enodev`: there is no such device as the bridge. `enotsup`: it isn't a bridge. `erange`: the MTU
/// is larger than the bridge's. An MTU of 0 is the bridge's. `unsupported`: the kernel has no such
/// pairs.
pub fn netdev_veth(
    p: &mut Process,
    socket: i32,
    name: &CStr,
    bridge: &CStr,
    peer: &CStr,
    address: &CStr,
    mtu: u32,
) -> Outcome {
    let socket = user_fd(p, socket)?;
    let address = match address.to_bytes() {
        b"" => None,
        text => Some(mac(text).ok_or(Errno::EINVAL)?),
    };
    let bridge = match bridge.to_bytes() {
        b"" => None,
        _ => Some(rtnetlink::link(socket, bridge)?),
    };
    // A kernel without pairs says the same as of a device that can't have ports.
    if bridge.as_ref().is_some_and(|link| link.kind != b"bridge") {
        return Err(Errno::EOPNOTSUPP.into());
    }
    if bridge.as_ref().is_some_and(|link| mtu > link.mtu) {
        return Err(Errno::ERANGE.into());
    }
    // A bridge takes the smallest MTU of its ports for its own.
    let bridges = bridge.as_ref().map(|link| link.mtu);
    let outer = End::new(name, bridge.as_ref().map(|_| PORT), bridges)?;
    let inner = End::new(peer, address, (mtu != 0).then_some(mtu).or(bridges))?;
    match rtnetlink::veth(socket, &outer, &inner, bridge.map(|link| link.index)) {
        Err(Errno::EOPNOTSUPP) => Err(Fail::Unsupported),
        made => Ok(made?),
    }
}

/// The address of all ports. A bridge whose address nobody has set takes the lowest of its ports'
/// for its own, and its neighbours lose it for a while when that changes. This is the highest that
/// a device can have. As ports of one bridge may have one address, a bridge that has only these
/// keeps its own while they come and go.
const PORT: Mac = [0xfe, 0xff, 0xff, 0xff, 0xff, 0xff];

/// Switches a device on.
pub fn netdev_up(p: &mut Process, socket: i32, name: &CStr) -> Outcome {
    Ok(rtnetlink::up(user_fd(p, socket)?, name)?)
}

/// Gives a device an address, as `10.0.0.2/24`, which is used at once.
pub fn netdev_address(p: &mut Process, socket: i32, name: &CStr, address: &CStr) -> Outcome {
    let socket = user_fd(p, socket)?;
    let (address, prefix) = network(address).ok_or(Errno::EINVAL)?;
    let link = rtnetlink::link(socket, name)?;
    Ok(rtnetlink::add_address(socket, &link, address, prefix)?)
}

/// Makes everything be reached through a gateway, as `10.0.0.1`, by a device.
pub fn netdev_route(p: &mut Process, socket: i32, name: &CStr, gateway: &CStr) -> Outcome {
    let socket = user_fd(p, socket)?;
    let gateway = ip(gateway).ok_or(Errno::EINVAL)?;
    let link = rtnetlink::link(socket, name)?;
    Ok(rtnetlink::add_default_route(socket, &link, gateway)?)
}

/// `eaddrinuse` if an address, as `10.0.0.2`, is one of the network namespace's own.
pub fn netdev_unused(p: &mut Process, socket: i32, address: &CStr) -> Outcome {
    let socket = user_fd(p, socket)?;
    let address = ip(address).ok_or(Errno::EINVAL)?;
    if rtnetlink::is_local(socket, address)? {
        return Err(Errno::EADDRINUSE.into());
    }
    Ok(())
}

fn ip(text: &CStr) -> Option<IpAddr> {
    text.to_str().ok()?.parse().ok()
}

/// An address, and how many of its first bits are those of its network.
fn network(text: &CStr) -> Option<(IpAddr, u8)> {
    let (address, prefix) = text.to_str().ok()?.split_once('/')?;
    let address = address.parse().ok()?;
    // No sign, which Rust would take.
    let digits = prefix.bytes().all(|byte| byte.is_ascii_digit());
    let prefix = prefix.parse().ok().filter(|_| digits)?;
    (prefix <= rtnetlink::width(address)).then_some((address, prefix))
}

/// Six bytes, as `02:00:00:00:00:01`.
fn mac(text: &[u8]) -> Option<Mac> {
    let digit = |byte: u8| (byte as char).to_digit(16);
    let mut mac = Mac::default();
    let mut parts = text.split(|byte| *byte == b':');
    for byte in &mut mac {
        let [high, low] = parts.next()?.try_into().ok()?;
        *byte = (digit(high)? * 16 + digit(low)?) as u8;
    }
    parts.next().is_none().then_some(mac)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::calls::ns::unshare;
    use crate::calls::socket::socket;
    use crate::calls::testing::{CONTROL, in_child, need, process, text};

    fn route_socket(p: &mut Process) -> i32 {
        let kind = (libc::SOCK_RAW | libc::SOCK_CLOEXEC) as u64;
        socket(p, libc::AF_NETLINK.into(), kind, libc::NETLINK_ROUTE.into()).expect("a socket")
    }

    #[test]
    fn texts_are_read_strictly() {
        let at = |text: &CStr| network(text).map(|(address, prefix)| (address.to_string(), prefix));
        assert_eq!(at(c"10.0.0.2/24"), Some(("10.0.0.2".into(), 24)));
        assert_eq!(at(c"fd00::2/128"), Some(("fd00::2".into(), 128)));
        for wrong in [
            c"",
            c"/",
            c"10.0.0.2",
            c"10.0.0.2/",
            c"10.0.0.2/33",
            c"10.0.0.2/+1",
            c"10.0.0/8",
            c"010.0.0.2/8",
            c"fd00::2/129",
            c"10.0.0.2/24/8",
            c" 10.0.0.2/8",
            c"\xff/8",
        ] {
            assert_eq!(network(wrong), None, "{wrong:?}");
        }
        assert_eq!(mac(b"02:00:0a:FF:00:01"), Some([2, 0, 10, 255, 0, 1]));
        for wrong in [
            &b""[..],
            b"02:00:00:00:00",
            b"02:00:00:00:00:01:02",
            b"2:0:0:0:0:1",
            b"0g:00:00:00:00:01",
            b"02-00-00-00-00-01",
            b"+2:00:00:00:00:01",
        ] {
            assert_eq!(mac(wrong), None, "{wrong:?}");
        }
    }

    #[test]
    fn a_namespace_becomes_part_of_a_network() {
        if !need::root() {
            return;
        }
        in_child(|| {
            let p = &mut process();
            assert_eq!(text(&unshare(p, libc::CLONE_NEWNET as u64)), "ok");
            let host = route_socket(p);
            rtnetlink::bridge(host, c"br").expect("a bridge");
            assert_eq!(text(&netdev_up(p, host, c"lo")), "ok");
            assert_eq!(text(&netdev_up(p, host, c"br")), "ok");
            assert_eq!(text(&netdev_address(p, host, c"br", c"10.9.0.1/24")), "ok");
            assert_eq!(
                text(&netdev_address(p, host, c"br", c"10.9.0.1/24")),
                "{error,eexist}"
            );
            assert_eq!(
                text(&netdev_unused(p, host, c"10.9.0.1")),
                "{error,eaddrinuse}"
            );
            assert_eq!(text(&netdev_unused(p, host, c"10.9.0.2")), "ok");
            assert_eq!(text(&netdev_unused(p, host, c"192.0.2.1")), "ok");
            assert_eq!(text(&unshare(p, libc::CLONE_NEWNET as u64)), "ok");
            let mut make = |bridge: &CStr, peer: &CStr, mac: &CStr, mtu| {
                text(&netdev_veth(p, host, c"outer", bridge, peer, mac, mtu))
            };
            assert_eq!(make(c"none", c"eth0", c"", 0), "{error,enodev}");
            assert_eq!(make(c"lo", c"eth0", c"", 0), "{error,enotsup}");
            assert_eq!(make(c"br", c"eth0", c"", 1501), "{error,erange}");
            assert_eq!(make(c"br", c"eth0", c"", 67), "{error,einval}");
            assert_eq!(make(c"br", c"lo", c"", 0), "{error,eexist}");
            assert_eq!(
                make(c"br", c"sixteen-letters-", c"", 0),
                "{error,enametoolong}"
            );
            assert_eq!(make(c"br", c"eth0", c"1", 0), "{error,einval}");
            assert_eq!(
                make(c"br", c"eth0", c"01:00:00:00:00:01", 0),
                "{error,eaddrnotavail}"
            );
            assert_eq!(make(c"br", c"eth0", c"02:00:00:00:00:01", 1400), "ok");
            assert_eq!(make(c"br", c"eth1", c"", 0), "{error,eexist}");
            let own = route_socket(p);
            assert_eq!(
                text(&netdev_route(p, own, c"eth0", c"10.9.0.1")),
                "{error,enetunreach}"
            );
            assert_eq!(text(&netdev_address(p, own, c"eth0", c"10.9.0.2/24")), "ok");
            assert_eq!(text(&netdev_up(p, own, c"eth0")), "ok");
            assert_eq!(text(&netdev_up(p, own, c"none")), "{error,enodev}");
            assert_eq!(
                text(&netdev_route(p, own, c"eth0", c"10.9.1.1")),
                "{error,enetunreach}"
            );
            assert_eq!(text(&netdev_route(p, own, c"eth0", c"10.9.0.1")), "ok");
            assert_eq!(rtnetlink::link(own, c"eth0").map(|link| link.mtu), Ok(1400));
            assert_eq!(
                rtnetlink::link(host, c"outer").map(|link| link.mtu),
                Ok(1500)
            );
            assert_eq!(rtnetlink::link(host, c"br").map(|link| link.mtu), Ok(1500));
            let inside = std::net::UdpSocket::bind("10.9.0.2:0").expect("its address");
            inside.connect("192.0.2.1:1").expect("a way to everywhere");
        });
    }

    #[test]
    fn what_is_wrong_is_told() {
        let p = &mut process();
        assert_eq!(text(&netdev_up(p, CONTROL, c"lo")), "{error,ebadf}");
        assert_eq!(text(&netdev_up(p, -1, c"lo")), "{error,ebadf}");
        assert_eq!(
            text(&netdev_address(p, 0, c"lo", c"10.0.0.1")),
            "{error,einval}"
        );
        assert_eq!(
            text(&netdev_route(p, 0, c"lo", c"10.0.0.1/8")),
            "{error,einval}"
        );
        assert_eq!(text(&netdev_unused(p, 0, c"localhost")), "{error,einval}");
    }
}
