//! Root: the first event loop, in a session of its own, below the guardian.

use crate::exit::{die, leave};
use crate::io::write_all;
use crate::process::{Options, Process};
use crate::protect::become_subreaper;
use crate::start::{CONTROL, Refusal, Start, Step};
use crate::sys::environ;
use crate::sys::fd::place;
use crate::{event_loop, procfs, signals};
use alcove_proto::frame::{Frame, Hello};
use nix::errno::Errno;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

/// Becomes root, or says why not.
pub fn run(control: OwnedFd, start: Start, guardian: i32) -> ! {
    match prepare_root(control, start) {
        Ok(process) => {
            // A child doesn't inherit this attribute. Root needs it for when the guardian is
            // killed.
            become_subreaper(true);
            procfs::remember();
            signals::begin_root(guardian);
            greet(&process);
            event_loop::run(process)
        }
        Err(refusal) => die(refusal),
    }
}

/// Says hello to the VM.
fn greet(process: &Process) {
    let mut hello = Vec::new();
    Hello {
        table: alcove_proto::calls::table_hash(),
        pid: std::process::id(),
        version: alcove_proto::VERSION.to_owned(),
    }
    .write(&mut hello);
    if write_all(process.control, &hello).is_err() {
        leave(1);
    }
}

/// Gives root its descriptors, limits and environment.
fn prepare_root(control: OwnedFd, start: Start) -> Result<Process, Refusal> {
    drop(start.lifeline);
    // The guardian can kill root's process group as a whole, because it isn't a member of it.
    // In a session of their own, root and its descendants have no controlling terminal, even if
    // sudo gave the guardian one, and get no SIGHUP when the guardian dies.
    nix::unistd::setsid().step("setsid")?;
    for (fd, to) in start.stdio.iter().zip(libc::STDIN_FILENO..) {
        place(fd.as_fd(), to, false).step("standard input and output")?;
    }
    drop(start.stdio);
    let (mut soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).step("RLIMIT_NOFILE")?;
    if start.init.nofile != 0 {
        soft = start.init.nofile.try_into().unwrap_or(hard).min(hard);
        setrlimit(Resource::RLIMIT_NOFILE, soft, hard).step("RLIMIT_NOFILE")?;
    }
    let soft = wide(soft);
    let control = settle_control(control, soft)?;
    replace_environment(&start.init.env);
    let mut root = Process::root(control, Options::new(&start.init, soft));
    root.may_have_below(wide(hard));
    Ok(root)
}

/// A limit's type isn't the same everywhere.
const fn wide(limit: libc::rlim_t) -> u64 {
    limit as u64
}

/// Gives the control socket its place: [`CONTROL`], or the highest below the limit.
fn settle_control(control: OwnedFd, soft: u64) -> Result<i32, Refusal> {
    let place_of = i32::try_from(soft).map_or(CONTROL, |soft| CONTROL.min(soft - 1));
    if place_of <= libc::STDERR_FILENO {
        return Err(Refusal::Failed("RLIMIT_NOFILE", Errno::EMFILE));
    }
    if control.as_raw_fd() != place_of {
        place(control.as_fd(), place_of, true).step("moving the channel")?;
        return Ok(place_of);
    }
    Ok(std::os::fd::IntoRawFd::into_raw_fd(control))
}

/// Sets the environment that the VM asks for, since sudo may have changed it.
fn replace_environment(variables: &[Vec<u8>]) {
    let variables = variables
        .iter()
        .filter(|variable| variable.contains(&b'='))
        .filter_map(|variable| std::ffi::CString::new(variable.as_slice()).ok());
    environ::replace(variables.collect());
}
