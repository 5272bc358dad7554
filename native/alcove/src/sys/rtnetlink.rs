//! Network devices, their addresses and routes, by rtnetlink(7). Linux only.
//!
//! A request is one message. The kernel has answered it when send(2) returns, so nothing here
//! waits.

use libc::{c_int, c_void, socklen_t};
use nix::errno::Errno;
use std::ffi::CStr;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU32, Ordering};

/// A link-layer address of Ethernet.
pub type Mac = [u8; 6];

/// The longest name of a device, without its NUL.
const LONGEST: usize = libc::IFNAMSIZ - 1;

// linux/netlink.h and linux/rtnetlink.h.
const ERROR: u16 = 2;
const NEW_LINK: u16 = 16;
const GET_LINK: u16 = 18;
const NEW_ADDRESS: u16 = 20;
const NEW_ROUTE: u16 = 24;
const GET_ROUTE: u16 = 26;
/// NLM_F_REQUEST and NLM_F_ACK.
const ANSWERED: u16 = 1 | 4;
/// NLM_F_CREATE and NLM_F_EXCL.
const CREATE: u16 = 0x400 | 0x200;
const MAIN_TABLE: u8 = 254;
const BY_ADMINISTRATOR: u8 = 4;
const UNICAST: u8 = 1;
const LOCAL: u8 = 2;
const ROUTE_TO: u16 = 1;
const ROUTE_BY_DEVICE: u16 = 4;
const ROUTE_BY_GATEWAY: u16 = 5;

// linux/if_link.h and linux/veth.h.
const LINK_ADDRESS: u16 = 1;
const LINK_NAME: u16 = 3;
const LINK_MTU: u16 = 4;
const LINK_MASTER: u16 = 10;
const LINK_INFO: u16 = 18;
const LINK_NAMESPACE_OF: u16 = 19;
const INFO_KIND: u16 = 1;
const INFO_DATA: u16 = 2;
const VETH_PEER: u16 = 1;

// linux/if_addr.h.
const ADDRESS: u16 = 1;
const LOCAL_ADDRESS: u16 = 2;
const BROADCAST: u16 = 4;
/// IFA_F_NODAD: used at once, without asking whether another host has it.
const AT_ONCE: u8 = 2;

/// The sizes of the header of a message, and of that of an attribute.
const HEADER: usize = 16;
const ATTRIBUTE: usize = 4;
/// The sizes of `struct ifinfomsg` and `struct rtmsg`.
const LINK: usize = 16;
const ROUTE: usize = 12;
/// Where things start in a message.
const ALIGNMENT: usize = 4;

/// A request.
struct Message(Vec<u8>);

impl Message {
    fn new(kind: u16, flags: u16, body: &[u8]) -> Self {
        let mut bytes = vec![0; HEADER];
        bytes[4..6].copy_from_slice(&kind.to_ne_bytes());
        bytes[6..8].copy_from_slice(&(flags | ANSWERED).to_ne_bytes());
        bytes.extend_from_slice(body);
        Message(bytes)
    }

    fn attribute(&mut self, kind: u16, value: &[u8]) -> &mut Self {
        self.nest(kind, |inside| inside.0.extend_from_slice(value))
    }

    fn number(&mut self, kind: u16, value: u32) -> &mut Self {
        self.attribute(kind, &value.to_ne_bytes())
    }

    fn name(&mut self, kind: u16, name: &CStr) -> &mut Self {
        self.attribute(kind, name.to_bytes_with_nul())
    }

    fn address(&mut self, kind: u16, address: IpAddr) -> &mut Self {
        match address {
            IpAddr::V4(address) => self.attribute(kind, &address.octets()),
            IpAddr::V6(address) => self.attribute(kind, &address.octets()),
        }
    }

    /// An attribute of what the function writes.
    fn nest(&mut self, kind: u16, inside: impl FnOnce(&mut Self)) -> &mut Self {
        let at = self.0.len();
        self.0.extend_from_slice(&[0; ATTRIBUTE]);
        inside(self);
        // No request is longer than some hundred bytes.
        let length = (self.0.len() - at) as u16;
        self.0[at..at + 2].copy_from_slice(&length.to_ne_bytes());
        self.0[at + 2..at + 4].copy_from_slice(&kind.to_ne_bytes());
        let end = self.0.len().next_multiple_of(ALIGNMENT);
        self.0.resize(end, 0);
        self
    }

    /// Sends the request, and returns what the kernel says to it, or nothing if it only says that
    /// it is done.
    fn ask(mut self, socket: c_int) -> nix::Result<Option<Vec<u8>>> {
        static LAST: AtomicU32 = AtomicU32::new(0);
        let number = LAST.fetch_add(1, Ordering::Relaxed).wrapping_add(1);
        let length = self.0.len() as u32;
        self.0[..4].copy_from_slice(&length.to_ne_bytes());
        self.0[8..12].copy_from_slice(&number.to_ne_bytes());
        send(socket, &self.0)?;
        let mut buffer = vec![0; 32 * 1024];
        let mut said = None;
        loop {
            let received = receive(socket, &mut buffer)?;
            for (kind, of, body) in messages(received) {
                if of != number {
                    continue;
                }
                if kind != ERROR {
                    said = Some(body.to_vec());
                    continue;
                }
                return match body.first_chunk().map(|code| i32::from_ne_bytes(*code)) {
                    Some(0) => Ok(said),
                    Some(code) => {
                        Errno::set_raw(code.wrapping_neg());
                        Err(Errno::last())
                    }
                    None => Err(Errno::EPROTO),
                };
            }
        }
    }
}

/// The messages in what was received: kind, number of the request, body.
fn messages(mut bytes: &[u8]) -> impl Iterator<Item = (u16, u32, &[u8])> {
    std::iter::from_fn(move || {
        let (header, _) = bytes.split_first_chunk::<HEADER>()?;
        let length = u32::from_ne_bytes([header[0], header[1], header[2], header[3]]) as usize;
        let message = bytes.get(..length)?;
        let kind = u16::from_ne_bytes([header[4], header[5]]);
        let number = u32::from_ne_bytes([header[8], header[9], header[10], header[11]]);
        let body = message.get(HEADER..)?;
        bytes = bytes
            .get(length.next_multiple_of(ALIGNMENT)..)
            .unwrap_or_default();
        Some((kind, number, body))
    })
}

/// The value of an attribute among others.
fn find(mut bytes: &[u8], wanted: u16) -> Option<&[u8]> {
    /// The bits of a kind that don't say what it is.
    const FLAGS: u16 = 0xc000;
    loop {
        let (header, _) = bytes.split_first_chunk::<ATTRIBUTE>()?;
        let length = usize::from(u16::from_ne_bytes([header[0], header[1]]));
        let value = bytes.get(ATTRIBUTE..length)?;
        if u16::from_ne_bytes([header[2], header[3]]) & !FLAGS == wanted {
            return Some(value);
        }
        bytes = bytes.get(length.next_multiple_of(ALIGNMENT)..)?;
    }
}

fn number(bytes: &[u8]) -> Option<u32> {
    bytes.first_chunk().map(|bytes| u32::from_ne_bytes(*bytes))
}

/// An option of a socket, a number.
fn option(socket: c_int, name: c_int) -> nix::Result<c_int> {
    let mut value: c_int = 0;
    let mut length = size_of_val(&value) as socklen_t;
    let at = (&raw mut value).cast::<c_void>();
    // SAFETY: the value is as large as is said.
    let got = unsafe { libc::getsockopt(socket, libc::SOL_SOCKET, name, at, &mut length) };
    Errno::result(got).map(|_| value)
}

/// A socket that isn't one of rtnetlink would take requests for something else.
fn checked(socket: c_int) -> nix::Result<c_int> {
    if option(socket, libc::SO_DOMAIN)? == libc::AF_NETLINK
        && option(socket, libc::SO_PROTOCOL)? == libc::NETLINK_ROUTE
    {
        Ok(socket)
    } else {
        Err(Errno::EPROTOTYPE)
    }
}

fn send(socket: c_int, bytes: &[u8]) -> nix::Result<()> {
    let socket = checked(socket)?;
    // SAFETY: the bytes are as many as is said.
    let sent = unsafe { libc::send(socket, bytes.as_ptr().cast(), bytes.len(), 0) };
    Errno::result(sent).map(drop)
}

/// What the kernel has sent, one or more messages. Others may send to the socket, too.
fn receive(socket: c_int, buffer: &mut [u8]) -> nix::Result<&[u8]> {
    loop {
        // SAFETY: an all-zero sockaddr_nl is valid.
        let mut from: libc::sockaddr_nl = unsafe { std::mem::zeroed() };
        let mut length = size_of_val(&from) as socklen_t;
        // SAFETY: the buffer and the address are as large as is said.
        let received = unsafe {
            libc::recvfrom(
                socket,
                buffer.as_mut_ptr().cast(),
                buffer.len(),
                libc::MSG_DONTWAIT | libc::MSG_TRUNC,
                (&raw mut from).cast(),
                &mut length,
            )
        };
        match Errno::result(received) {
            Ok(_) if from.nl_pid != 0 => {}
            Ok(length) => return buffer.get(..length as usize).ok_or(Errno::EMSGSIZE),
            Err(Errno::EINTR) => {}
            // The answer should have been there.
            Err(Errno::EAGAIN) => return Err(Errno::EPROTO),
            Err(errno) => return Err(errno),
        }
    }
}

/// A name that the kernel takes.
fn named(name: &CStr) -> nix::Result<&CStr> {
    match name.to_bytes().len() {
        0 => Err(Errno::ENODEV),
        1..=LONGEST => Ok(name),
        _ => Err(Errno::ENAMETOOLONG),
    }
}

/// A `struct ifinfomsg`: the device of this index, if any, which is to be on, or as it is.
fn link_body(up: bool) -> [u8; LINK] {
    let mut body = [0; LINK];
    let flags = if up { libc::IFF_UP as u32 } else { 0 };
    body[8..12].copy_from_slice(&flags.to_ne_bytes());
    body[12..].copy_from_slice(&flags.to_ne_bytes());
    body
}

fn family(address: IpAddr) -> u8 {
    match address {
        IpAddr::V4(_) => libc::AF_INET as u8,
        IpAddr::V6(_) => libc::AF_INET6 as u8,
    }
}

/// How many bits an address has.
pub fn width(address: IpAddr) -> u8 {
    match address {
        IpAddr::V4(_) => 32,
        IpAddr::V6(_) => 128,
    }
}

/// What is known of a device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    pub index: u32,
    pub mtu: u32,
    /// What kind of virtual device it is, as `bridge`; nothing if it is none.
    pub kind: Vec<u8>,
}

/// The device of a name.
pub fn link(socket: c_int, name: &CStr) -> nix::Result<Link> {
    let mut message = Message::new(GET_LINK, 0, &link_body(false));
    message.name(LINK_NAME, named(name)?);
    let said = message.ask(socket)?.ok_or(Errno::EPROTO)?;
    let read = || {
        let (body, attributes) = said.split_first_chunk::<LINK>()?;
        let kind = find(attributes, LINK_INFO).and_then(|info| find(info, INFO_KIND));
        let kind = kind.unwrap_or_default();
        Some(Link {
            index: number(&body[4..])?,
            mtu: number(find(attributes, LINK_MTU)?)?,
            kind: kind.strip_suffix(&[0]).unwrap_or(kind).to_vec(),
        })
    };
    read().ok_or(Errno::EPROTO)
}

/// One device of a pair.
pub struct End<'a> {
    name: &'a CStr,
    address: Option<Mac>,
    mtu: Option<u32>,
}

impl<'a> End<'a> {
    /// The kernel chooses the address and the MTU if there is none.
    pub fn new(name: &'a CStr, address: Option<Mac>, mtu: Option<u32>) -> nix::Result<Self> {
        Ok(End {
            name: named(name)?,
            address,
            mtu,
        })
    }

    fn put(&self, message: &mut Message) {
        message.name(LINK_NAME, self.name);
        if let Some(address) = self.address {
            message.attribute(LINK_ADDRESS, &address);
        }
        if let Some(mtu) = self.mtu {
            message.number(LINK_MTU, mtu);
        }
    }
}

/// Makes a pair of devices, see veth(4): `outer` in the network namespace of the socket, on, and
/// one of the ports of the bridge of that index; `inner` in the network namespace of the calling
/// process, off.
pub fn veth(
    socket: c_int,
    outer: &End<'_>,
    inner: &End<'_>,
    bridge: Option<u32>,
) -> nix::Result<()> {
    let mut message = Message::new(NEW_LINK, CREATE, &link_body(true));
    outer.put(&mut message);
    if let Some(bridge) = bridge {
        message.number(LINK_MASTER, bridge);
    }
    message.nest(LINK_INFO, |info| {
        info.name(INFO_KIND, c"veth");
        info.nest(INFO_DATA, |data| {
            data.nest(VETH_PEER, |peer| {
                peer.0.extend_from_slice(&link_body(false));
                inner.put(peer);
                peer.number(LINK_NAMESPACE_OF, std::process::id());
            });
        });
    });
    message.ask(socket).map(drop)
}

/// Switches a device on.
pub fn up(socket: c_int, name: &CStr) -> nix::Result<()> {
    let mut message = Message::new(NEW_LINK, 0, &link_body(true));
    message.name(LINK_NAME, named(name)?);
    message.ask(socket).map(drop)
}

/// Gives a device an address in the network of that prefix.
pub fn add_address(socket: c_int, link: &Link, address: IpAddr, prefix: u8) -> nix::Result<()> {
    // `struct ifaddrmsg`: family, prefix, flags, scope, index.
    let mut body = vec![family(address), prefix, AT_ONCE, 0];
    body.extend_from_slice(&link.index.to_ne_bytes());
    let mut message = Message::new(NEW_ADDRESS, CREATE, &body);
    message.address(LOCAL_ADDRESS, address);
    message.address(ADDRESS, address);
    if let IpAddr::V4(address) = address {
        // A network of one or two hosts has no address for all of them.
        if let Some(hosts) = u32::MAX
            .checked_shr(prefix.into())
            .filter(|hosts| *hosts > 1)
        {
            message.number(BROADCAST, (address.to_bits() | hosts).to_be());
        }
    }
    message.ask(socket).map(drop)
}

/// A `struct rtmsg`.
fn route_body(address: IpAddr, to: u8, table: u8, by: u8, kind: u8) -> [u8; ROUTE] {
    let mut body = [0; ROUTE];
    body[..8].copy_from_slice(&[family(address), to, 0, 0, table, by, 0, kind]);
    body
}

/// Makes the way to everywhere lead through a gateway that is reached by this device.
pub fn add_default_route(socket: c_int, link: &Link, gateway: IpAddr) -> nix::Result<()> {
    let body = route_body(gateway, 0, MAIN_TABLE, BY_ADMINISTRATOR, UNICAST);
    let mut message = Message::new(NEW_ROUTE, CREATE, &body);
    message.address(ROUTE_BY_GATEWAY, gateway);
    message.number(ROUTE_BY_DEVICE, link.index);
    message.ask(socket).map(drop)
}

/// Whether an address is one of the network namespace's own.
pub fn is_local(socket: c_int, address: IpAddr) -> nix::Result<bool> {
    let body = route_body(address, width(address), 0, 0, 0);
    let mut message = Message::new(GET_ROUTE, 0, &body);
    message.address(ROUTE_TO, address);
    match message.ask(socket) {
        Ok(Some(route)) => Ok(route.get(7) == Some(&LOCAL)),
        Ok(None) => Err(Errno::EPROTO),
        // There is no way to it, or none is to be used.
        Err(Errno::ENETUNREACH | Errno::EHOSTUNREACH | Errno::EACCES | Errno::EINVAL) => Ok(false),
        Err(errno) => Err(errno),
    }
}

/// Makes a bridge.
#[cfg(test)]
pub fn bridge(socket: c_int, name: &CStr) -> nix::Result<()> {
    let mut message = Message::new(NEW_LINK, CREATE, &link_body(true));
    message.name(LINK_NAME, name);
    message.nest(LINK_INFO, |info| {
        info.name(INFO_KIND, c"bridge");
    });
    message.ask(socket).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_are_found_as_they_were_written() {
        let mut message = Message::new(NEW_LINK, CREATE, &link_body(true));
        message.name(LINK_NAME, c"abc").number(LINK_MTU, 1400);
        message.nest(LINK_INFO, |info| {
            info.name(INFO_KIND, c"veth");
        });
        let bytes = &message.0;
        assert_eq!(bytes.len() % ALIGNMENT, 0);
        assert_eq!(bytes[4..8], [16, 0, 5, 6]);
        let attributes = &bytes[HEADER + LINK..];
        assert_eq!(find(attributes, LINK_NAME), Some(&b"abc\0"[..]));
        assert_eq!(find(attributes, LINK_MTU).and_then(number), Some(1400));
        let info = find(attributes, LINK_INFO).expect("nested");
        assert_eq!(find(info, INFO_KIND), Some(&b"veth\0"[..]));
        assert_eq!(find(attributes, LINK_MASTER), None);
    }

    #[test]
    fn what_is_cut_off_is_left_out() {
        let mut message = Message::new(NEW_LINK, 0, &link_body(false));
        message.name(LINK_NAME, c"abc");
        let length = message.0.len() as u32;
        message.0[..4].copy_from_slice(&length.to_ne_bytes());
        assert_eq!(messages(&message.0).count(), 1);
        for end in 0..message.0.len() {
            assert_eq!(messages(&message.0[..end]).count(), 0);
            let _ = find(&message.0[..end], LINK_NAME);
        }
        // Lengths that lead nowhere.
        for wrong in [0_u32, 1, 15, u32::MAX] {
            let mut bytes = message.0.clone();
            bytes[..4].copy_from_slice(&wrong.to_ne_bytes());
            assert_eq!(messages(&bytes).count(), 0);
            let wrong = wrong as u16;
            bytes[HEADER + LINK..][..2].copy_from_slice(&wrong.to_ne_bytes());
            assert_eq!(find(&bytes[HEADER + LINK..], LINK_NAME), None);
        }
    }

    #[test]
    fn only_sockets_of_rtnetlink_are_asked() {
        let other = std::net::UdpSocket::bind("127.0.0.1:0").expect("a socket");
        let other = std::os::fd::AsRawFd::as_raw_fd(&other);
        assert_eq!(link(other, c"lo"), Err(Errno::EPROTOTYPE));
        assert_eq!(link(-1, c"lo"), Err(Errno::EBADF));
    }
}
