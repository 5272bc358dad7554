//! A Unix process that has been taken over: what the tests start in place of alcove's
//! executable.
//!
//! It says hello, forks and answers like an event loop, until the call `chdir` names one
//! of the acts below. What an act sends then is what any process could send that runs
//! foreign code before its exec. `FORGE` in the environment spoils the greeting instead.

mod act;

use alcove_proto::calls::number;
use alcove_proto::frame::{self, Calls, Frame, Hello, Raw, from};
use alcove_proto::wire::{Atom, Malformed, PutTerm, Reader};
use nix::errno::Errno;
use nix::sys::prctl;
use nix::sys::signal::{Signal, killpg};
use nix::sys::socket::{
    AddressFamily, ControlMessage, ControlMessageOwned, MsgFlags, SockFlag, SockType, recvmsg,
    sendmsg, socketpair,
};
use nix::unistd::{ForkResult, fork, getpgrp, getpid, getppid, pause, pipe};
use std::fs::File;
use std::io::{IoSlice, IoSliceMut, Read, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

/// Why this process ends.
#[derive(Debug)]
pub enum End {
    /// A system call failed; most often the other side is gone.
    Failed(Errno),
    /// The VM sent what it shouldn't.
    Malformed,
}

impl From<Errno> for End {
    fn from(errno: Errno) -> Self {
        End::Failed(errno)
    }
}

impl From<std::io::Error> for End {
    fn from(error: std::io::Error) -> Self {
        End::Failed(Errno::from_raw(error.raw_os_error().unwrap_or_default()))
    }
}

impl From<Malformed> for End {
    fn from(_: Malformed) -> Self {
        End::Malformed
    }
}

/// A call that came.
pub struct Call {
    /// What a reply must name.
    pub id: u32,
    /// Its number; that of fork for a spawn.
    pub number: u16,
    /// Its first argument, if that is a string.
    pub text: String,
}

/// A process with its control socket.
pub struct Forger {
    /// The socket.
    pub control: File,
    /// How the next forks are announced.
    pub forks: act::Forks,
    /// The last process that it forked.
    pub child: i32,
}

fn main() {
    // When the test is over nobody is left to hear of an error.
    let _ = start();
}

fn start() -> Result<(), End> {
    // SAFETY: standard input is the control socket, and nothing else here uses it.
    let control = unsafe { File::from_raw_fd(libc::STDIN_FILENO) };
    let (_, mut fds) = first_frame(&control)?;
    if fds.is_empty() {
        return Err(End::Malformed);
    }
    let mut lifeline = File::from(fds.remove(0));
    std::thread::spawn(move || {
        let _ = lifeline.read(&mut [0]);
        // What forks is started in a session of its own, so that this is the whole tree.
        let _ = killpg(getpgrp(), Signal::SIGKILL);
    });
    // Root's stdin, stdout and stderr are of no use here, but open they stay.
    std::mem::forget(fds);
    let mut forger = Forger {
        control,
        forks: act::Forks::default(),
        child: 0,
    };
    greet(&mut forger)?;
    forger.serve()
}

/// Receives the first frame and what comes with it.
fn first_frame(control: &File) -> Result<(Vec<u8>, Vec<OwnedFd>), End> {
    let mut bytes = Vec::new();
    let mut fds = Vec::new();
    loop {
        match frame::length(&bytes)? {
            Some(length) if bytes.len() >= frame::HEADER + length => return Ok((bytes, fds)),
            _ => {}
        }
        let mut chunk = [0; 64 * 1024];
        let mut space = nix::cmsg_space!([RawFd; frame::CHANNELS]);
        let mut parts = [IoSliceMut::new(&mut chunk)];
        let flags = MsgFlags::MSG_CMSG_CLOEXEC;
        let message = recvmsg::<()>(control.as_raw_fd(), &mut parts, Some(&mut space), flags)?;
        for part in message.cmsgs()? {
            if let ControlMessageOwned::ScmRights(received) = part {
                // SAFETY: the kernel made these descriptors for this process.
                fds.extend(
                    received
                        .iter()
                        .map(|fd| unsafe { OwnedFd::from_raw_fd(*fd) }),
                );
            }
        }
        match message.bytes {
            0 => return Err(End::Malformed),
            n => bytes.extend_from_slice(&chunk[..n]),
        }
    }
}

fn greet(forger: &mut Forger) -> Result<(), End> {
    let how = std::env::var("FORGE").unwrap_or_default();
    let mut hello = Vec::new();
    Hello {
        table: alcove_proto::calls::table_hash(),
        pid: std::process::id(),
        version: alcove_proto::VERSION.to_owned(),
    }
    .write(&mut hello);
    match how.as_str() {
        "hello_header" => {
            forger.control.write_all(&hello[..frame::HEADER])?;
            forger.wait();
        }
        "hello_long" => {
            let mut hello = vec![from::HELLO; frame::HEADER + 8192];
            hello[..frame::HEADER].copy_from_slice(&8192_u32.to_le_bytes());
            forger.control.write_all(&hello)?;
        }
        "hello_reply" => forger.send(&reply(0))?,
        "hello_noise" => act::noise(forger)?,
        "hello_descriptors" => {
            let fds = act::handful()?;
            forger.send_fds(&hello, &act::borrow(&fds))?;
        }
        _ => forger.send(&hello)?,
    }
    Ok(())
}

/// A reply that says `ok`.
pub fn reply(id: u32) -> Vec<u8> {
    reply_of(id, |out| out.term_atom(Atom::Ok))
}

/// A reply with a term.
pub fn reply_of(id: u32, write: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut term = Vec::new();
    write(&mut term);
    whole(&frame::Reply { id, term: &term })
}

/// A whole frame.
pub fn whole<'a>(frame: &impl Frame<'a>) -> Vec<u8> {
    let mut out = Vec::new();
    frame.write(&mut out);
    out
}

/// A whole frame of any type and contents.
pub fn framed(kind: u8, payload: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut out = Vec::new();
    frame::start(&mut out, kind);
    payload(&mut out);
    frame::finish(&mut out, 0);
    out
}

impl Forger {
    fn serve(&mut self) -> Result<(), End> {
        loop {
            let call = self.receive()?;
            self.answer(&call)?;
        }
    }

    /// Waits for a call.
    pub fn receive(&mut self) -> Result<Call, End> {
        let mut header = [0; frame::HEADER];
        self.control.read_exact(&mut header)?;
        let length = frame::length(&header)?.ok_or(End::Malformed)?;
        let mut payload = vec![0; length];
        self.control.read_exact(&mut payload)?;
        let raw = Raw::new(&payload)?;
        let (id, number, arguments) = if let Ok(call) = raw.read::<frame::Call<'_>>() {
            (call.id, call.number, call.arguments)
        } else if let Ok(batch) = raw.read::<frame::Batch<'_>>() {
            let first = Calls::read(batch.calls)?.next().ok_or(Malformed)?;
            let (number, arguments) = first?;
            (batch.id, number, arguments)
        } else {
            let spawn: frame::Spawn<'_> = raw.read()?;
            (spawn.id, number::fork, &[][..])
        };
        let text = Reader::new(arguments)
            .cstr()
            .map(|text| text.to_string_lossy().into_owned())
            .unwrap_or_default();
        Ok(Call { id, number, text })
    }

    fn answer(&mut self, call: &Call) -> Result<(), End> {
        match call.number {
            number::fork => {
                let forks = std::mem::take(&mut self.forks);
                forks.announce(self, call)
            }
            number::getpid => {
                let pid = getpid().as_raw();
                self.send(&reply_of(call.id, |out| out.term_int(i64::from(pid))))
            }
            number::chdir => act::act(self, call),
            _ => self.send(&reply(call.id)),
        }
    }

    /// Sends bytes.
    pub fn send(&mut self, bytes: &[u8]) -> Result<(), End> {
        Ok(self.control.write_all(bytes)?)
    }

    /// Sends bytes and descriptors.
    pub fn send_fds(&mut self, bytes: &[u8], fds: &[BorrowedFd<'_>]) -> Result<(), End> {
        let fds: Vec<RawFd> = fds.iter().map(AsRawFd::as_raw_fd).collect();
        let rights = [ControlMessage::ScmRights(&fds)];
        let parts = [IoSlice::new(bytes)];
        loop {
            let flags = MsgFlags::MSG_NOSIGNAL;
            match sendmsg::<()>(self.control.as_raw_fd(), &parts, &rights, flags, None) {
                Ok(sent) => return self.send(&bytes[sent..]),
                // So many are under way that the kernel wants to see some received.
                Err(Errno::ETOOMANYREFS | Errno::EINTR) => std::thread::yield_now(),
                Err(errno) => return Err(errno.into()),
            }
        }
    }

    /// Says nothing any more, and reads nothing.
    pub fn wait(&self) -> ! {
        loop {
            pause();
        }
    }
}

/// A pair of sockets as control sockets are.
pub fn stream() -> Result<(OwnedFd, OwnedFd), Errno> {
    socketpair(
        AddressFamily::Unix,
        SockType::Stream,
        None,
        SockFlag::SOCK_CLOEXEC,
    )
}

/// Forks a process that serves like this one; its pid and the VM's ends of its channels.
pub fn child() -> Result<(i32, [OwnedFd; frame::CHANNELS]), End> {
    let (control, its_control) = stream()?;
    let (its_stdin, stdin) = pipe()?;
    let (stdout, its_stdout) = pipe()?;
    let (stderr, its_stderr) = pipe()?;
    let parent = getpid();
    // SAFETY: the other thread only waits, and no lock of its is needed here.
    match unsafe { fork() }? {
        ForkResult::Child => {
            let _ = prctl::set_pdeathsig(Signal::SIGKILL);
            if getppid() == parent {
                drop((control, stdin, stdout, stderr));
                let mut forger = Forger {
                    control: File::from(its_control),
                    forks: act::Forks::default(),
                    child: 0,
                };
                let _ = forger.serve();
            }
            drop((its_stdin, its_stdout, its_stderr));
            std::process::exit(0);
        }
        ForkResult::Parent { child } => Ok((child.as_raw(), [control, stdin, stdout, stderr])),
    }
}

/// Sends a FORKED frame.
pub fn announce(
    forger: &mut Forger,
    id: u32,
    pid: i32,
    last: bool,
    fds: &[OwnedFd],
) -> Result<(), End> {
    let bytes = whole(&frame::Forked {
        id,
        pid: pid as u32,
        last,
        flow: -1,
    });
    let fds: Vec<_> = fds.iter().map(AsFd::as_fd).collect();
    forger.send_fds(&bytes, &fds)
}
