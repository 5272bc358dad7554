//! What a process does that has been taken over.

use crate::{Call, End, Forger, announce, child, framed, reply, reply_of, stream, whole};
use alcove_proto::calls::number;
use alcove_proto::frame::{self, RUSAGE, from, notify, to};
use alcove_proto::wire::{Atom, MAX_DEPTH, Put, PutTerm, tag};
use nix::errno::Errno;
use nix::fcntl::{OFlag, open};
use nix::sys::eventfd::EventFd;
use nix::sys::socket::{AddressFamily, SockFlag, SockType, setsockopt, socketpair, sockopt};
use nix::sys::stat::Mode;
use nix::unistd::pipe;
use std::io::Write;
use std::net::{TcpListener, TcpStream};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

/// How often the acts repeat themselves.
const MANY: u32 = 100_000;
/// The most descriptors that one message takes.
const MAX_FDS: usize = 253;
/// A process that there isn't.
const NOBODY: i32 = 0x7fff_fff0;

/// How the next fork is announced.
#[derive(Default)]
pub enum Forks {
    /// As it should be.
    #[default]
    Honest,
    /// That often.
    Often(u32),
    /// With descriptors that are no channels.
    With(&'static str),
    /// With less descriptors than channels.
    Less(usize),
    /// With an option that has the kernel send more along at the VM's end of the control socket.
    Option(libc::c_int),
}

impl Forks {
    /// Forks, as far as that is part of the act, and announces it.
    pub fn announce(self, forger: &mut Forger, call: &Call) -> Result<(), End> {
        match self {
            Forks::Honest => {
                let (pid, fds) = child()?;
                forger.child = pid;
                announce(forger, call.id, pid, true, &fds)
            }
            Forks::Often(times) => {
                for n in 0..times {
                    let fds = channels("pipes")?;
                    announce(forger, call.id, NOBODY - n as i32, false, &fds)?;
                }
                forger.send(&reply(call.id))
            }
            Forks::With(what) => announce(forger, call.id, NOBODY, true, &channels(what)?),
            Forks::Option(option) => {
                let (pid, fds) = child()?;
                set(&fds[0], option)?;
                forger.child = pid;
                announce(forger, call.id, pid, true, &fds)
            }
            Forks::Less(n) => announce(forger, call.id, NOBODY, true, &channels("pipes")?[..n]),
        }
    }
}

/// Turns an option of a socket on.
fn set(socket: &OwnedFd, option: libc::c_int) -> Result<(), End> {
    let on: libc::c_int = 1;
    // SAFETY: the option is an int, to which the pointer points, of the size that is said.
    let result = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            option,
            (&raw const on).cast(),
            size_of::<libc::c_int>() as libc::socklen_t,
        )
    };
    Errno::result(result)?;
    Ok(())
}

/// A TCP connection of which to close one end takes so many seconds: it has sent what nobody
/// receives. The other end must stay open.
fn lingering(seconds: u32) -> Result<(OwnedFd, TcpStream), End> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let mut sender = TcpStream::connect(listener.local_addr()?)?;
    let (receiver, _) = listener.accept()?;
    let linger = libc::linger {
        l_onoff: 1,
        l_linger: seconds as libc::c_int,
    };
    setsockopt(&sender, sockopt::Linger, &linger)?;
    sender.set_nonblocking(true)?;
    while sender.write(&[0; 65536]).is_ok() {}
    Ok((OwnedFd::from(sender), receiver))
}

/// Descriptors in the place of channels.
fn channels(what: &str) -> Result<Vec<OwnedFd>, End> {
    match what {
        "swapped" => {
            let (control, _) = stream()?;
            let (read, write) = pipe()?;
            return Ok(vec![control, read, write.try_clone()?, write]);
        }
        "paths" => {
            let (control, _) = stream()?;
            let (read, write) = pipe()?;
            let path = |fd: &OwnedFd| {
                let path = format!("/proc/self/fd/{}", fd.as_raw_fd());
                open(
                    path.as_str(),
                    OFlag::O_PATH | OFlag::O_CLOEXEC,
                    Mode::empty(),
                )
            };
            return Ok(vec![control, path(&write)?, path(&read)?, path(&read)?]);
        }
        "tcp" => {
            let (tcp, _other) = lingering(1)?;
            let (read, write) = pipe()?;
            return Ok(vec![tcp, write, read.try_clone()?, read]);
        }
        "datagrams" => {
            let (socket, _) = socketpair(
                AddressFamily::Unix,
                SockType::Datagram,
                None,
                SockFlag::SOCK_CLOEXEC,
            )?;
            let (read, write) = pipe()?;
            return Ok(vec![socket, write, read.try_clone()?, read]);
        }
        _ => {}
    }
    let opened = |path: &str| open(path, OFlag::O_RDWR | OFlag::O_CLOEXEC, Mode::empty());
    let mut fds = Vec::new();
    for _ in 0..frame::CHANNELS {
        fds.push(match what {
            "null" => opened("/dev/null")?,
            "zero" => opened("/dev/zero")?,
            "terminal" => opened("/dev/ptmx")?,
            "directory" => open(
                "/",
                OFlag::O_DIRECTORY | OFlag::O_PATH | OFlag::O_CLOEXEC,
                Mode::empty(),
            )?,
            "event" => OwnedFd::from(EventFd::new()?),
            _ => pipe()?.0,
        });
    }
    Ok(fds)
}

/// Some descriptors.
pub fn handful() -> Result<Vec<OwnedFd>, End> {
    (0..MAX_FDS).map(|_| Ok(pipe()?.0)).collect()
}

/// Lends descriptors.
pub fn borrow(fds: &[OwnedFd]) -> Vec<BorrowedFd<'_>> {
    fds.iter().map(AsFd::as_fd).collect()
}

/// Bytes of a generator that starts the same each time.
struct Noise(u64);

impl Noise {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn bytes(&mut self, n: usize) -> Vec<u8> {
        (0..n).map(|_| (self.next() >> 32) as u8).collect()
    }
}

/// Sends bytes without a meaning.
pub fn noise(forger: &mut Forger) -> Result<(), End> {
    let bytes = Noise(0x9e37_79b9_7f4a_7c15).bytes(64 * 1024);
    forger.send(&bytes)
}

/// Does what `call` names.
pub fn act(forger: &mut Forger, call: &Call) -> Result<(), End> {
    let (name, detail) = call.text.split_once(':').unwrap_or((&call.text, ""));
    let n = detail.parse().unwrap_or(0_u32);
    match name {
        "header" => {
            forger.send(&200_u32.to_le_bytes())?;
            forger.wait()
        }
        "promise" => {
            forger.send(&(frame::MAX_FRAME as u32).to_le_bytes())?;
            forger.send(&[from::REPLY; 8])?;
            forger.wait()
        }
        "truncated" => {
            let whole = reply(call.id);
            forger.send(&whole[..whole.len() - 1])?;
            std::process::exit(0)
        }
        "oversized" => forger.send(&(frame::MAX_FRAME as u32 + 1).to_le_bytes()),
        "empty" => forger.send(&[0; frame::HEADER]),
        "type" => forger.send(&framed(n as u8, |out| out.put_u32(call.id))),
        "backwards" => forger.send(&framed(to::SPAWN, |out| out.raw(&[0; 64]))),
        "noise" => noise(forger),
        "random" => random(forger, u64::from(n) + 1),
        // Whole frames that aren't due, in the place of a reply.
        "unasked" => {
            let id = call.id;
            let other = id.wrapping_add(1);
            let results = &[tag::LIST, 0, 0, 0, 0][..];
            match detail {
                "reply" => forger.send(&reply(other)),
                "partial" => forger.send(&whole(&frame::Partial { id, results })),
                "signal" => forger.send(&whole(&frame::Signal {
                    signal: libc::SIGUSR1,
                })),
                "end" => forger.send(&end(NOBODY)),
                "fork" => announce(forger, id, NOBODY, true, &channels("pipes")?),
                "fork_of_another" => announce(forger, other, NOBODY, true, &channels("pipes")?),
                "hello" => forger.send(&whole(&frame::Hello {
                    table: alcove_proto::calls::table_hash(),
                    pid: 1,
                    version: String::new(),
                })),
                _ => forger.send(&reply(id).repeat(2)),
            }
        }
        "signals" => {
            let signal = libc::SIGUSR1;
            flood(forger, &whole(&frame::Signal { signal }))?;
            forger.send(&reply(call.id))
        }
        // One of a number.
        "signal" => {
            let signal = detail.parse().unwrap_or_default();
            forger.send(&whole(&frame::Signal { signal }))?;
            forger.send(&reply(call.id))
        }
        "children" => {
            flood(forger, &end(NOBODY))?;
            forger.send(&reply(call.id))
        }
        // Replies for ever, and never the one that is waited for.
        "flood" => loop {
            flood(forger, &reply(call.id.wrapping_sub(1)))?;
        },
        "descriptors" => {
            forger.send(&(1_000_000_u32).to_le_bytes())?;
            let fds = handful()?;
            for _ in 0..n {
                forger.send_fds(&[from::REPLY], &borrow(&fds))?;
            }
            forger.wait()
        }
        "others" => {
            for other in [call.id.wrapping_sub(1), call.id.wrapping_add(1), u32::MAX] {
                forger.send(&reply_of(other, |out| out.term_atom(Atom::Error)))?;
            }
            forger.send(&reply(call.id))
        }
        "reversed" => {
            forger.send(&reply(call.id))?;
            let calls = (0..n)
                .map(|_| forger.receive())
                .collect::<Result<Vec<_>, _>>()?;
            for call in calls.iter().rev() {
                let number = call.number;
                forger.send(&reply_of(call.id, |out| {
                    out.term_int(i64::from(number == number::getpid));
                }))?;
            }
            Ok(())
        }
        // Its last child ends, again and again.
        "ends" => {
            forger.send(&end(forger.child).repeat(n as usize))?;
            forger.send(&reply(call.id))
        }
        // A reply, and a descriptor that takes long to close.
        "linger" => {
            let (fd, other) = lingering(n)?;
            std::mem::forget(other);
            let fds = vec![fd];
            forger.send_fds(&reply(call.id), &borrow(&fds))?;
            drop(fds);
            forger.wait()
        }
        "many_descriptors" => {
            let fds = handful()?;
            forger.send_fds(&reply(call.id), &borrow(&fds))
        }
        // Another's reply ahead of its own, with many terms.
        "heavy" => {
            let count = n as usize;
            forger.send(&reply_of(call.id, |out| {
                out.term_list(count);
                (0..count).for_each(|_| out.term_tuple(0));
            }))
        }
        "twice" => {
            forger.send(&reply(call.id))?;
            forger.send(&reply(call.id))
        }
        "term" => forger.send(&reply_of(call.id, |out| term(detail, out))),
        "next_fork_often" => next_fork(forger, call, Forks::Often(n)),
        "next_fork_less" => next_fork(forger, call, Forks::Less(n as usize)),
        "next_fork_with" => {
            let what = [
                "null",
                "zero",
                "terminal",
                "directory",
                "event",
                "swapped",
                "paths",
                "tcp",
                "datagrams",
            ]
            .into_iter()
            .find(|what| *what == detail);
            next_fork(forger, call, Forks::With(what.unwrap_or("pipes")))
        }
        "next_fork_option" => next_fork(forger, call, Forks::Option(n as libc::c_int)),
        _ => forger.send(&reply(call.id)),
    }
}

/// The end of a child.
fn end(pid: i32) -> Vec<u8> {
    whole(&frame::Child {
        pid: pid as u32,
        status: 0,
        notify: notify::EXIT_STATUS | notify::TERMSIG,
        used: [0; RUSAGE],
    })
}

fn next_fork(forger: &mut Forger, call: &Call, forks: Forks) -> Result<(), End> {
    forger.forks = forks;
    forger.send(&reply(call.id))
}

/// A frame many times, in large pieces.
fn flood(forger: &mut Forger, frame: &[u8]) -> Result<(), End> {
    let piece = frame.repeat(1000);
    for _ in 0..MANY / 1000 {
        forger.send(&piece)?;
    }
    Ok(())
}

/// Whole frames of random types and contents.
fn random(forger: &mut Forger, seed: u64) -> Result<(), End> {
    let mut noise = Noise(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
    loop {
        let length = (noise.next() % 64) as usize;
        let kind = (noise.next() % 7) as u8;
        let payload = noise.bytes(length);
        forger.send(&framed(kind, |out| out.raw(&payload)))?;
    }
}

/// Terms that an event loop doesn't send.
fn term(which: &str, out: &mut Vec<u8>) {
    match which {
        "atom" => out.raw(&[tag::ATOM, 0xff, 0xff]),
        "compressed" => out.raw(&[80, 0, 0, 0, 1, 0x78, 0x9c]),
        "external" => out.raw(&[131, 100, 0, 3, b'f', b'o', b'o']),
        "deep" => {
            for _ in 0..=MAX_DEPTH {
                out.term_tuple(1);
            }
            out.term_atom(Atom::Ok);
        }
        "count" => out.term_list(u32::MAX as usize),
        "many" => {
            let n = (frame::MAX_DATA - 16) / 2;
            out.term_list(n);
            for _ in 0..n {
                out.term_tuple(0);
            }
        }
        "binary" => {
            out.put_u8(tag::BIN);
            out.put_u32(u32::MAX);
        }
        "same_keys" => {
            out.term_map(2);
            for _ in 0..2 {
                out.term_atom(Atom::Ok);
                out.term_int(1);
            }
        }
        // Each promises that all that follows are its pairs.
        "maps" => {
            let size = frame::MAX_DATA;
            for level in 0..6 {
                out.term_map((size - 8 * level) / 2 - 8);
                out.term_atom(Atom::Ok);
            }
            for _ in 0..size / 2 {
                out.term_tuple(0);
            }
        }
        "trailing" => {
            out.term_atom(Atom::Ok);
            out.term_atom(Atom::Ok);
        }
        "errno" => out.raw(&[tag::ERRNO, 0xff, 0xff]),
        "signal" => out.raw(&[tag::SIGNAL, 0xff, 0xff]),
        _ => {}
    }
}
