//! Sockets.

use super::done;
use super::io::{most, user_fd};
use crate::process::Process;
use crate::reply::{Flat, List, Outcome, Term};
use alcove_proto::wire::arg::Sockaddr;
use alcove_proto::wire::{Atom, PutTerm};
use libc::{c_int, c_void, socklen_t};
use nix::errno::Errno;
use std::mem::{offset_of, zeroed};

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

    fn new(given: Sockaddr<'_>) -> nix::Result<Self> {
        match given {
            Sockaddr::Raw(bytes) => {
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
            Sockaddr::Inet(ip, port) => {
                // SAFETY: an all-zero sockaddr_in is valid.
                let mut inet: libc::sockaddr_in = unsafe { zeroed() };
                inet.sin_family = libc::AF_INET as _;
                inet.sin_port = port.to_be();
                inet.sin_addr.s_addr = u32::from_ne_bytes(ip);
                Ok(Address::of(&inet, size_of_val(&inet)))
            }
            Sockaddr::Inet6(ip, port) => {
                // SAFETY: an all-zero sockaddr_in6 is valid.
                let mut inet: libc::sockaddr_in6 = unsafe { zeroed() };
                inet.sin6_family = libc::AF_INET6 as _;
                inet.sin6_port = port.to_be();
                inet.sin6_addr.s6_addr = ip;
                Ok(Address::of(&inet, size_of_val(&inet)))
            }
            Sockaddr::Local(path) => {
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
        }
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

    fn bytes(&self) -> &[u8] {
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

impl Term for Address {
    fn put(&self, out: &mut Vec<u8>) {
        let storage = (&raw const self.storage).cast::<libc::sockaddr_storage>();
        match c_int::from(self.storage.ss_family) {
            libc::AF_INET if self.length >= size_of::<libc::sockaddr_in>() => {
                // SAFETY: the storage is large enough and aligned for every address.
                let inet = unsafe { storage.cast::<libc::sockaddr_in>().read() };
                let ip = inet.sin_addr.s_addr.to_ne_bytes().map(i64::from);
                put_inet(out, Atom::Inet, &ip, inet.sin_port);
            }
            libc::AF_INET6 if self.length >= size_of::<libc::sockaddr_in6>() => {
                // SAFETY: as above.
                let inet = unsafe { storage.cast::<libc::sockaddr_in6>().read() };
                let pairs = inet.sin6_addr.s6_addr.chunks_exact(2);
                let ip: Vec<_> = pairs
                    .map(|pair| i64::from(u16::from_be_bytes([pair[0], pair[1]])))
                    .collect();
                put_inet(out, Atom::Inet6, &ip, inet.sin6_port);
            }
            libc::AF_UNIX => {
                let path = self.bytes().get(PATH..).unwrap_or_default();
                let named = path.first().is_some_and(|first| *first != 0);
                let end = path.iter().position(|byte| *byte == 0).filter(|_| named);
                out.term_tuple(2);
                out.term_atom(Atom::Local);
                out.term_bin(&path[..end.unwrap_or(path.len())]);
            }
            _ => out.term_bin(self.bytes()),
        }
    }
}

fn put_inet(out: &mut Vec<u8>, family: Atom, ip: &[i64], port: u16) {
    out.term_tuple(2);
    out.term_atom(family);
    out.term_tuple(2);
    out.term_tuple(ip.len() as u8);
    ip.iter().for_each(|part| out.term_int(*part));
    out.term_int(u16::from_be(port).into());
}

fn number(number: i64) -> nix::Result<c_int> {
    c_int::try_from(number).map_err(|_| Errno::EINVAL)
}

fn bits(flags: u64) -> nix::Result<c_int> {
    c_int::try_from(flags).map_err(|_| Errno::EINVAL)
}

/// socket(2).
pub fn socket(_: &mut Process, domain: i64, kind: u64, protocol: i64) -> Outcome<i32> {
    let (domain, kind, protocol) = (number(domain)?, bits(kind)?, number(protocol)?);
    // SAFETY: takes numbers and makes a descriptor.
    Ok(Errno::result(unsafe {
        libc::socket(domain, kind, protocol)
    })?)
}

/// socketpair(2): `{ok, Fd, Fd}`.
pub fn socketpair(_: &mut Process, domain: i64, kind: u64, protocol: i64) -> Flat<(i32, i32)> {
    let pair = || {
        let (domain, kind, protocol) = (number(domain)?, bits(kind)?, number(protocol)?);
        let mut pair = [0; 2];
        // SAFETY: the kernel fills in two numbers.
        Errno::result(unsafe { libc::socketpair(domain, kind, protocol, pair.as_mut_ptr()) })?;
        Ok((pair[0], pair[1]))
    };
    Flat(pair())
}

/// connect(2).
pub fn connect(p: &mut Process, fd: i32, address: Sockaddr<'_>) -> Outcome {
    let (fd, address) = (user_fd(p, fd)?, Address::new(address)?);
    // SAFETY: the address is as long as is said.
    done(unsafe { libc::connect(fd, address.pointer(), address.length()) })
}

/// bind(2).
pub fn bind(p: &mut Process, fd: i32, address: Sockaddr<'_>) -> Outcome {
    let (fd, address) = (user_fd(p, fd)?, Address::new(address)?);
    // SAFETY: the address is as long as is said.
    done(unsafe { libc::bind(fd, address.pointer(), address.length()) })
}

/// listen(2).
pub fn listen(p: &mut Process, fd: i32, backlog: i32) -> Outcome {
    let fd = user_fd(p, fd)?;
    // SAFETY: takes numbers and touches no memory.
    done(unsafe { libc::listen(fd, backlog) })
}

/// accept(2): `{ok, Fd, Address}`.
pub fn accept(p: &mut Process, fd: i32) -> Flat<(i32, Address)> {
    let accept = || {
        let fd = user_fd(p, fd)?;
        // SAFETY: the kernel fills in an address, no longer than is said.
        Ok(Address::filled(|address, length| unsafe {
            libc::accept(fd, address, length)
        })?)
    };
    Flat(accept())
}

/// getsockname(2): the address of a socket.
pub fn getsockname(p: &mut Process, fd: i32) -> Outcome<Address> {
    let fd = user_fd(p, fd)?;
    // SAFETY: the kernel fills in an address, no longer than is said.
    let (_, address) =
        Address::filled(|address, length| unsafe { libc::getsockname(fd, address, length) })?;
    Ok(address)
}

/// getpeername(2): the address that a socket is connected to.
pub fn getpeername(p: &mut Process, fd: i32) -> Outcome<Address> {
    let fd = user_fd(p, fd)?;
    // SAFETY: the kernel fills in an address, no longer than is said.
    let (_, address) =
        Address::filled(|address, length| unsafe { libc::getpeername(fd, address, length) })?;
    Ok(address)
}

/// getsockopt(2): the value of an option, at most `count` bytes.
pub fn getsockopt(
    p: &mut Process,
    fd: i32,
    level: i64,
    name: i64,
    count: usize,
) -> Outcome<Vec<u8>> {
    let (fd, level, name) = (user_fd(p, fd)?, number(level)?, number(name)?);
    let mut value = vec![0_u8; count];
    let mut length = socklen_t::try_from(count).map_err(|_| Errno::EINVAL)?;
    let at = value.as_mut_ptr().cast::<c_void>();
    // SAFETY: the buffer is as long as is said.
    Errno::result(unsafe { libc::getsockopt(fd, level, name, at, &mut length) })?;
    value.truncate(length as usize);
    Ok(value)
}

/// setsockopt(2).
pub fn setsockopt(p: &mut Process, fd: i32, level: i64, name: i64, value: &[u8]) -> Outcome {
    let (fd, level, name) = (user_fd(p, fd)?, number(level)?, number(name)?);
    let length = socklen_t::try_from(value.len()).map_err(|_| Errno::EINVAL)?;
    // SAFETY: the value is as long as is said.
    done(unsafe { libc::setsockopt(fd, level, name, value.as_ptr().cast(), length) })
}

/// shutdown(2).
pub fn shutdown(p: &mut Process, fd: i32, how: i64) -> Outcome {
    let (fd, how) = (user_fd(p, fd)?, number(how)?);
    // SAFETY: takes numbers and touches no memory.
    done(unsafe { libc::shutdown(fd, how) })
}

/// The most descriptors that one message takes, on Linux.
const MOST_FDS: usize = 253;

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

/// sendmsg(2): sends bytes, and with them descriptors through a local socket.
pub fn sendmsg(p: &mut Process, fd: i32, buf: &[u8], fds: Vec<i32>, flags: u64) -> Outcome<i64> {
    let (fd, flags) = (user_fd(p, fd)?, bits(flags)?);
    for fd in &fds {
        user_fd(p, *fd)?;
    }
    if fds.len() > MOST_FDS {
        return Err(Errno::EINVAL.into());
    }
    let mut part = libc::iovec {
        iov_base: buf.as_ptr().cast_mut().cast(),
        iov_len: buf.len(),
    };
    let mut control = Control { bytes: [0; 2048] };
    let (bytes, space) = if fds.is_empty() {
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
            header.cmsg_len = libc::CMSG_LEN(bytes as libc::c_uint) as _;
            let data = libc::CMSG_DATA(header);
            data.copy_from_nonoverlapping(fds.as_ptr().cast(), bytes);
        }
        libc::sendmsg(fd, &message, flags)
    };
    Ok(Errno::result(sent)? as i64)
}

/// recvmsg(2): `{ok, Bytes, Fds, Flags}`: at most `count` bytes, the descriptors that came with
/// them, and flags that tell what had no room, as `msg_trunc`.
pub fn recvmsg(
    p: &mut Process,
    fd: i32,
    count: usize,
    flags: u64,
) -> Flat<(Vec<u8>, List<i32>, i32)> {
    Flat(receive(p, fd, count, flags))
}

fn receive(p: &Process, fd: i32, count: usize, flags: u64) -> Outcome<(Vec<u8>, List<i32>, i32)> {
    let (fd, flags) = (user_fd(p, fd)?, bits(flags)?);
    let most = most(p, fd, count);
    let mut bytes: Vec<u8> = Vec::new();
    bytes.try_reserve_exact(most).map_err(|_| Errno::ENOMEM)?;
    let mut part = libc::iovec {
        iov_base: bytes.as_mut_ptr().cast(),
        iov_len: most,
    };
    let mut control = Control { bytes: [0; 2048] };
    let mut message = message(&mut part, &mut control, size_of::<Control>());
    // SAFETY: both buffers are as long as is said.
    let received = Errno::result(unsafe { libc::recvmsg(fd, &mut message, flags) })? as usize;
    // SAFETY: the kernel has written so many bytes; with MSG_TRUNC it may say more than fit.
    unsafe { bytes.set_len(received.min(most)) };
    Ok((bytes, List(descriptors(&message)), message.msg_flags))
}

/// The descriptors that came with a message.
fn descriptors(message: &libc::msghdr) -> Vec<i32> {
    let mut fds = Vec::new();
    // SAFETY: the kernel has filled in the message, and headers are found as it says.
    unsafe {
        let mut next = libc::CMSG_FIRSTHDR(message);
        while let Some(header) = next.as_ref() {
            if header.cmsg_level == libc::SOL_SOCKET && header.cmsg_type == libc::SCM_RIGHTS {
                let size = header.cmsg_len as usize - libc::CMSG_LEN(0) as usize;
                let data = libc::CMSG_DATA(header).cast::<c_int>();
                fds.extend((0..size / size_of::<c_int>()).map(|at| data.add(at).read_unaligned()));
            }
            next = libc::CMSG_NXTHDR(message, next);
        }
    }
    fds
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::calls::testing::{CONTROL, Scratch, in_child, process, text};
    use crate::reply::Bare;

    fn round(given: Sockaddr<'_>) -> String {
        text(&Bare(Address::new(given).expect("an address")))
    }

    #[test]
    fn addresses_come_back_as_they_were() {
        assert_eq!(
            round(Sockaddr::Inet([127, 0, 0, 1], 8080)),
            "{inet,{{127,0,0,1},8080}}"
        );
        let mut ip = [0; 16];
        (ip[0], ip[15]) = (0xfe, 1);
        assert_eq!(
            round(Sockaddr::Inet6(ip, 65535)),
            "{inet6,{{65024,0,0,0,0,0,0,1},65535}}"
        );
        assert_eq!(round(Sockaddr::Local(b"/tmp/s")), r#"{local,"/tmp/s"}"#);
        assert_eq!(round(Sockaddr::Local(b"\0s")), r#"{local,"\x00s"}"#);
        assert_eq!(round(Sockaddr::Local(b"")), r#"{local,""}"#);
        let unknown = 255_u16.to_ne_bytes();
        let text = round(Sockaddr::Raw(&unknown));
        assert!(text.starts_with('"'), "{text}");
    }

    #[test]
    fn addresses_that_are_too_long_are_refused() {
        let refused = |given| Address::new(given).map(drop);
        assert_eq!(refused(Sockaddr::Raw(&[0; 1000])), Err(Errno::EINVAL));
        assert_eq!(
            refused(Sockaddr::Local(&[b'a'; 1000])),
            Err(Errno::ENAMETOOLONG)
        );
    }

    #[test]
    fn descriptors_go_through_a_local_socket() {
        in_child(|| {
            let mut p = process();
            let scratch = Scratch::new("socket");
            let pair = socketpair(&mut p, libc::AF_UNIX.into(), libc::SOCK_STREAM as u64, 0);
            let (a, b) = pair.0.expect("a pair");
            let file = crate::calls::io::open(
                &mut p,
                &scratch.at("file"),
                (libc::O_CREAT | libc::O_RDWR) as u64,
                0o600,
            )
            .expect("a file");
            assert_eq!(text(&sendmsg(&mut p, a, b"x", vec![file], 0)), "{ok,1}");
            let (bytes, fds, _) = recvmsg(&mut p, b, 10, 0).0.expect("a message");
            assert_eq!(bytes, b"x");
            let [copy] = fds.0[..] else {
                panic!("{fds:?}");
            };
            assert_ne!(copy, file);
            assert_eq!(
                text(&crate::calls::io::write(&mut p, copy, b"hello")),
                "{ok,5}"
            );
            let written = std::fs::read(scratch.path().join("file")).expect("read");
            assert_eq!(written, b"hello");
            assert_eq!(
                text(&sendmsg(&mut p, a, b"x", vec![CONTROL], 0)),
                "{error,ebadf}"
            );
            assert_eq!(text(&recvmsg(&mut p, CONTROL, 1, 0)), "{error,ebadf}");
        });
    }
}
