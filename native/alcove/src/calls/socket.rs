//! Sockets.

use super::io::{most, user_fd};
use crate::process::Process;
use crate::reply::{Flat, List, Outcome, Term};
use crate::sys::socket::{self as sys, Address};
use alcove_proto::wire::arg::Sockaddr;
use alcove_proto::wire::{Atom, PutTerm};
use libc::c_int;
use nix::errno::Errno;
use std::os::fd::IntoRawFd;

fn address(given: Sockaddr<'_>) -> nix::Result<Address> {
    match given {
        Sockaddr::Raw(bytes) => Address::raw(bytes),
        Sockaddr::Inet(ip, port) => Ok(Address::inet(ip, port)),
        Sockaddr::Inet6(ip, port) => Ok(Address::inet6(ip, port)),
        Sockaddr::Local(path) => Address::local(path),
    }
}

impl Term for Address {
    fn put(&self, out: &mut Vec<u8>) {
        if let Some((ip, port)) = self.as_inet() {
            put_inet(out, Atom::Inet, &ip.map(i64::from), port);
        } else if let Some((ip, port)) = self.as_inet6() {
            let pairs = ip.chunks_exact(2);
            let ip: Vec<_> = pairs
                .map(|pair| i64::from(u16::from_be_bytes([pair[0], pair[1]])))
                .collect();
            put_inet(out, Atom::Inet6, &ip, port);
        } else if let Some(path) = self.as_local() {
            out.term_tuple(2);
            out.term_atom(Atom::Local);
            out.term_bin(path);
        } else {
            out.term_bin(self.bytes());
        }
    }
}

fn put_inet(out: &mut Vec<u8>, family: Atom, ip: &[i64], port: u16) {
    out.term_tuple(2);
    out.term_atom(family);
    out.term_tuple(2);
    out.term_tuple(ip.len() as u8);
    ip.iter().for_each(|part| out.term_int(*part));
    out.term_int(port.into());
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
    Ok(sys::socket(domain, kind, protocol)?.into_raw_fd())
}

/// socketpair(2): `{ok, Fd, Fd}`.
pub fn socketpair(_: &mut Process, domain: i64, kind: u64, protocol: i64) -> Flat<(i32, i32)> {
    let pair = || {
        let (domain, kind, protocol) = (number(domain)?, bits(kind)?, number(protocol)?);
        let [one, other] = sys::socketpair(domain, kind, protocol)?;
        Ok((one.into_raw_fd(), other.into_raw_fd()))
    };
    Flat(pair())
}

/// connect(2).
pub fn connect(p: &mut Process, fd: i32, address: Sockaddr<'_>) -> Outcome {
    Ok(sys::connect(user_fd(p, fd)?, &self::address(address)?)?)
}

/// bind(2).
pub fn bind(p: &mut Process, fd: i32, address: Sockaddr<'_>) -> Outcome {
    Ok(sys::bind(user_fd(p, fd)?, &self::address(address)?)?)
}

/// listen(2).
pub fn listen(p: &mut Process, fd: i32, backlog: i32) -> Outcome {
    let fd = user_fd(p, fd)?;
    Ok(sys::listen(fd, backlog)?)
}

/// accept(2): `{ok, Fd, Address}`.
pub fn accept(p: &mut Process, fd: i32) -> Flat<(i32, Address)> {
    let accept = || {
        let (fd, address) = sys::accept(user_fd(p, fd)?)?;
        Ok((fd.into_raw_fd(), address))
    };
    Flat(accept())
}

/// getsockname(2): the address of a socket.
pub fn getsockname(p: &mut Process, fd: i32) -> Outcome<Address> {
    Ok(sys::getsockname(user_fd(p, fd)?)?)
}

/// getpeername(2): the address that a socket is connected to.
pub fn getpeername(p: &mut Process, fd: i32) -> Outcome<Address> {
    Ok(sys::getpeername(user_fd(p, fd)?)?)
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
    let length = sys::getsockopt(fd, level, name, &mut value)?;
    value.truncate(length);
    Ok(value)
}

/// setsockopt(2).
pub fn setsockopt(p: &mut Process, fd: i32, level: i64, name: i64, value: &[u8]) -> Outcome {
    let (fd, level, name) = (user_fd(p, fd)?, number(level)?, number(name)?);
    Ok(sys::setsockopt(fd, level, name, value)?)
}

/// shutdown(2).
pub fn shutdown(p: &mut Process, fd: i32, how: i64) -> Outcome {
    let (fd, how) = (user_fd(p, fd)?, number(how)?);
    Ok(sys::shutdown(fd, how)?)
}

/// sendmsg(2): sends bytes, and with them descriptors through a local socket.
pub fn sendmsg(p: &mut Process, fd: i32, buf: &[u8], fds: Vec<i32>, flags: u64) -> Outcome<i64> {
    let (fd, flags) = (user_fd(p, fd)?, bits(flags)?);
    for fd in &fds {
        user_fd(p, *fd)?;
    }
    Ok(sys::sendmsg(fd, buf, &fds, flags)? as i64)
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
    let (bytes, fds, flags) = sys::recvmsg(fd, most(p, fd, count), flags)?;
    Ok((bytes, List(fds), flags))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::calls::testing::{CONTROL, Scratch, in_child, process, text};
    use crate::reply::Bare;

    fn round(given: Sockaddr<'_>) -> String {
        text(&Bare(address(given).expect("an address")))
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
        let refused = |given| address(given).map(drop);
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
