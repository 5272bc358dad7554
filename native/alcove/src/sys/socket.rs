//! Sockets, which are numbers here: they are the user's.

use super::scm::descriptors;
use libc::{c_int, c_void, socklen_t};
use nix::errno::Errno;
use std::mem::{offset_of, zeroed};
use std::os::fd::{FromRawFd, OwnedFd, RawFd};

/// An address as the kernel has it.
#[derive(Clone, Copy)]
pub struct Address {
    storage: libc::sockaddr_storage,
    length: usize,
}

impl Address {
    /// Room for any.
    fn empty() -> Self {
        Address {
            // SAFETY: an all-zero sockaddr_storage is valid.
            storage: unsafe { zeroed() },
            length: size_of::<libc::sockaddr_storage>(),
        }
    }

    /// The bytes of a structure that is no longer than the storage.
    fn of<T>(structure: &T, length: usize) -> Self {
        const { assert!(size_of::<T>() <= size_of::<libc::sockaddr_storage>()) };
        let mut address = Address {
            length,
            ..Address::empty()
        };
        let from = (&raw const *structure).cast::<u8>();
        // SAFETY: the structure fits into the storage.
        unsafe {
            (&raw mut address.storage)
                .cast::<u8>()
                .copy_from_nonoverlapping(from, size_of::<T>());
        }
        address
    }

    /// Any bytes; `EINVAL` if they are too many.
    pub fn raw(bytes: &[u8]) -> nix::Result<Self> {
        let mut address = Address::empty();
        if bytes.len() > address.length {
            return Err(Errno::EINVAL);
        }
        address.length = bytes.len();
        // SAFETY: the bytes fit into the storage.
        unsafe {
            (&raw mut address.storage)
                .cast::<u8>()
                .copy_from_nonoverlapping(bytes.as_ptr(), bytes.len());
        }
        Ok(address)
    }

    /// An address and a port of ip(7).
    pub fn inet(ip: [u8; 4], port: u16) -> Self {
        // SAFETY: an all-zero sockaddr_in is valid.
        let mut inet: libc::sockaddr_in = unsafe { zeroed() };
        inet.sin_family = libc::AF_INET as _;
        inet.sin_port = port.to_be();
        inet.sin_addr.s_addr = u32::from_ne_bytes(ip);
        Address::of(&inet, size_of_val(&inet))
    }

    /// An address and a port of ipv6(7).
    pub fn inet6(ip: [u8; 16], port: u16) -> Self {
        // SAFETY: an all-zero sockaddr_in6 is valid.
        let mut inet: libc::sockaddr_in6 = unsafe { zeroed() };
        inet.sin6_family = libc::AF_INET6 as _;
        inet.sin6_port = port.to_be();
        inet.sin6_addr.s6_addr = ip;
        Address::of(&inet, size_of_val(&inet))
    }

    /// A path, or an abstract name, of unix(7); `ENAMETOOLONG` if it is too long.
    pub fn local(path: &[u8]) -> nix::Result<Self> {
        // SAFETY: an all-zero sockaddr_un is valid.
        let mut local: libc::sockaddr_un = unsafe { zeroed() };
        local.sun_family = libc::AF_UNIX as _;
        // A path ends with a NUL; an abstract name, which begins with one, doesn't.
        let end = usize::from(path.first().is_some_and(|first| *first != 0));
        if path.len() + end > local.sun_path.len() {
            return Err(Errno::ENAMETOOLONG);
        }
        for (to, from) in local.sun_path.iter_mut().zip(path) {
            *to = *from as _;
        }
        Ok(Address::of(&local, PATH + path.len() + end))
    }

    /// What kind of address it is, as `AF_INET`.
    pub fn family(&self) -> c_int {
        self.storage.ss_family.into()
    }

    /// The address and the port of one of ip(7).
    pub fn as_inet(&self) -> Option<([u8; 4], u16)> {
        let whole = self.length >= size_of::<libc::sockaddr_in>();
        (self.family() == libc::AF_INET && whole).then(|| {
            let storage = &raw const self.storage;
            // SAFETY: the storage is large enough and aligned for every address.
            let inet = unsafe { storage.cast::<libc::sockaddr_in>().read() };
            let ip = inet.sin_addr.s_addr.to_ne_bytes();
            (ip, u16::from_be(inet.sin_port))
        })
    }

    /// The address and the port of one of ipv6(7).
    pub fn as_inet6(&self) -> Option<([u8; 16], u16)> {
        let whole = self.length >= size_of::<libc::sockaddr_in6>();
        (self.family() == libc::AF_INET6 && whole).then(|| {
            let storage = &raw const self.storage;
            // SAFETY: as above.
            let inet = unsafe { storage.cast::<libc::sockaddr_in6>().read() };
            (inet.sin6_addr.s6_addr, u16::from_be(inet.sin6_port))
        })
    }

    /// The path or the abstract name of one of unix(7).
    pub fn as_local(&self) -> Option<&[u8]> {
        if self.family() != libc::AF_UNIX {
            return None;
        }
        let path = self.bytes().get(PATH..).unwrap_or_default();
        let named = path.first().is_some_and(|first| *first != 0);
        let end = path.iter().position(|byte| *byte == 0).filter(|_| named);
        Some(&path[..end.unwrap_or(path.len())])
    }

    fn pointer(&self) -> *const libc::sockaddr {
        (&raw const self.storage).cast()
    }

    /// Lets a call fill it in.
    fn filled(
        call: impl FnOnce(*mut libc::sockaddr, *mut socklen_t) -> c_int,
    ) -> nix::Result<(c_int, Self)> {
        let mut address = Address::empty();
        let mut length = address.length as socklen_t;
        let result = call((&raw mut address.storage).cast(), &raw mut length);
        address.length = address.length.min(length as usize);
        Ok((Errno::result(result)?, address))
    }

    /// As the kernel has it.
    pub fn bytes(&self) -> &[u8] {
        let bytes = (&raw const self.storage).cast::<u8>();
        // SAFETY: the storage has been written to from its start to its end.
        unsafe { std::slice::from_raw_parts(bytes, self.length) }
    }

    fn length(&self) -> socklen_t {
        self.length as socklen_t
    }
}

/// Where the path is in an address.
const PATH: usize = offset_of!(libc::sockaddr_un, sun_path);

/// socket(2).
pub fn socket(domain: c_int, kind: c_int, protocol: c_int) -> nix::Result<OwnedFd> {
    // SAFETY: takes numbers only; nothing else owns the descriptor.
    unsafe {
        let fd = Errno::result(libc::socket(domain, kind, protocol))?;
        Ok(OwnedFd::from_raw_fd(fd))
    }
}

/// socketpair(2).
pub fn socketpair(domain: c_int, kind: c_int, protocol: c_int) -> nix::Result<[OwnedFd; 2]> {
    let mut pair = [0; 2];
    // SAFETY: the kernel fills in two numbers.
    Errno::result(unsafe { libc::socketpair(domain, kind, protocol, pair.as_mut_ptr()) })?;
    // SAFETY: nothing else owns the descriptors.
    Ok(pair.map(|fd| unsafe { OwnedFd::from_raw_fd(fd) }))
}

/// connect(2).
pub fn connect(fd: c_int, address: &Address) -> nix::Result<()> {
    // SAFETY: the address is as long as is said.
    Errno::result(unsafe { libc::connect(fd, address.pointer(), address.length()) }).map(drop)
}

/// bind(2).
pub fn bind(fd: c_int, address: &Address) -> nix::Result<()> {
    // SAFETY: the address is as long as is said.
    Errno::result(unsafe { libc::bind(fd, address.pointer(), address.length()) }).map(drop)
}

/// listen(2).
pub fn listen(fd: c_int, backlog: c_int) -> nix::Result<()> {
    // SAFETY: takes numbers only.
    Errno::result(unsafe { libc::listen(fd, backlog) }).map(drop)
}

/// accept(2).
pub fn accept(fd: c_int) -> nix::Result<(OwnedFd, Address)> {
    // SAFETY: the kernel fills in an address, no longer than is said.
    let (fd, address) =
        Address::filled(|address, length| unsafe { libc::accept(fd, address, length) })?;
    // SAFETY: nothing else owns the descriptor.
    Ok((unsafe { OwnedFd::from_raw_fd(fd) }, address))
}

/// getsockname(2).
pub fn getsockname(fd: c_int) -> nix::Result<Address> {
    // SAFETY: the kernel fills in an address, no longer than is said.
    let (_, address) =
        Address::filled(|address, length| unsafe { libc::getsockname(fd, address, length) })?;
    Ok(address)
}

/// getpeername(2).
pub fn getpeername(fd: c_int) -> nix::Result<Address> {
    // SAFETY: the kernel fills in an address, no longer than is said.
    let (_, address) =
        Address::filled(|address, length| unsafe { libc::getpeername(fd, address, length) })?;
    Ok(address)
}

/// getsockopt(2): how many bytes the value has, if there is room for it.
pub fn getsockopt(fd: c_int, level: c_int, name: c_int, value: &mut [u8]) -> nix::Result<usize> {
    let mut length = socklen_t::try_from(value.len()).map_err(|_| Errno::EINVAL)?;
    let at = value.as_mut_ptr().cast::<c_void>();
    // SAFETY: the buffer is as long as is said.
    Errno::result(unsafe { libc::getsockopt(fd, level, name, at, &mut length) })?;
    Ok(length as usize)
}

/// setsockopt(2).
pub fn setsockopt(fd: c_int, level: c_int, name: c_int, value: &[u8]) -> nix::Result<()> {
    let length = socklen_t::try_from(value.len()).map_err(|_| Errno::EINVAL)?;
    let at = value.as_ptr().cast::<c_void>();
    // SAFETY: the value is as long as is said.
    Errno::result(unsafe { libc::setsockopt(fd, level, name, at, length) }).map(drop)
}

/// shutdown(2).
pub fn shutdown(fd: c_int, how: c_int) -> nix::Result<()> {
    // SAFETY: takes numbers only.
    Errno::result(unsafe { libc::shutdown(fd, how) }).map(drop)
}

/// The most descriptors that one message takes, on Linux.
pub const MOST_FDS: usize = 253;

/// Room for a message's descriptors, aligned as its header has to be.
#[repr(C)]
union Control {
    _header: libc::cmsghdr,
    bytes: [u8; 2048],
}

/// A message of one buffer, and room for descriptors.
fn message(part: &mut libc::iovec, control: &mut Control, room: usize) -> libc::msghdr {
    // SAFETY: an all-zero msghdr is valid.
    let mut message: libc::msghdr = unsafe { zeroed() };
    message.msg_iov = part;
    message.msg_iovlen = 1;
    if room > 0 {
        message.msg_control = (&raw mut *control).cast();
        message.msg_controllen = room as _;
    }
    message
}

/// The bytes that so many descriptors take in a message: their own, and with what is around them.
fn room(fds: usize) -> (usize, usize) {
    let bytes = fds * size_of::<c_int>();
    // SAFETY: these only reckon.
    let space = unsafe { libc::CMSG_SPACE(bytes as libc::c_uint) as usize };
    debug_assert!(space <= size_of::<Control>());
    (bytes, space)
}

/// sendmsg(2): sends bytes, and with them at most [`MOST_FDS`] descriptors through a local socket.
pub fn sendmsg(fd: c_int, bytes: &[u8], fds: &[RawFd], flags: c_int) -> nix::Result<usize> {
    if fds.len() > MOST_FDS {
        return Err(Errno::EINVAL);
    }
    let mut part = libc::iovec {
        iov_base: bytes.as_ptr().cast_mut().cast(),
        iov_len: bytes.len(),
    };
    let mut control = Control { bytes: [0; 2048] };
    let (size, space) = if fds.is_empty() {
        (0, 0)
    } else {
        room(fds.len())
    };
    let message = message(&mut part, &mut control, space);
    // SAFETY: the control buffer has room for the header and the descriptors; the kernel only
    // reads from the other.
    let sent = unsafe {
        if let Some(header) = libc::CMSG_FIRSTHDR(&message).as_mut() {
            header.cmsg_level = libc::SOL_SOCKET;
            header.cmsg_type = libc::SCM_RIGHTS;
            header.cmsg_len = libc::CMSG_LEN(size as libc::c_uint) as _;
            let data = libc::CMSG_DATA(header);
            data.copy_from_nonoverlapping(fds.as_ptr().cast(), size);
        }
        libc::sendmsg(fd, &message, flags)
    };
    Errno::result(sent).map(|sent| sent as usize)
}

/// recvmsg(2): at most so many bytes, the descriptors that came with them, and flags that tell what
/// had no room. The memory for the bytes is touched only as they come.
pub fn recvmsg(fd: c_int, most: usize, flags: c_int) -> nix::Result<(Vec<u8>, Vec<RawFd>, c_int)> {
    let mut bytes: Vec<u8> = Vec::new();
    bytes.try_reserve_exact(most).map_err(|_| Errno::ENOMEM)?;
    if flags & libc::MSG_TRUNC != 0 {
        // TCP discards the bytes then: it says how many, and writes none. See tcp(7).
        bytes.resize(most, 0);
        bytes.clear();
    }
    let mut part = libc::iovec {
        iov_base: bytes.as_mut_ptr().cast(),
        iov_len: most,
    };
    let mut control = Control { bytes: [0; 2048] };
    let mut message = message(&mut part, &mut control, size_of::<Control>());
    // SAFETY: both buffers are as long as is said.
    let received = Errno::result(unsafe { libc::recvmsg(fd, &mut message, flags) })? as usize;
    // SAFETY: the kernel has written so many bytes. With MSG_TRUNC it may say more than fit, and
    // those that it hasn't written are zeros.
    unsafe { bytes.set_len(received.min(most)) };
    // SAFETY: the kernel has filled in the message.
    let fds = unsafe { descriptors(&message) };
    Ok((bytes, fds, message.msg_flags))
}
