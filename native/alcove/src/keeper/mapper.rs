//! Maps of ids that an unprivileged process can't write. newuidmap(1) and newgidmap(1), which run
//! as root, write them, for the ranges that /etc/subuid and /etc/subgid give the user.

use crate::channels::{out_of_the_way, pipe};
use crate::exit::leave;
use crate::io::write_all;
use crate::sys::fd::dup2;
use crate::sys::poll::poll;
use crate::sys::signal::{kill, unblock};
use crate::sys::trace::{let_go_or_kill, wait_until_ended};
use crate::sys::wait::wait4;
use crate::{procfs, signals, spawn};
use libc::c_int;
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags};
use nix::sys::signal::SigSet;
use nix::unistd::{AccessFlags, access};
use std::ffi::{CStr, CString};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::time::{Duration, Instant};

/// The directories in which distributions install these programs, NixOS last.
const DIRECTORIES: [&str; 4] = ["/usr/bin", "/bin", "/usr/local/bin", "/run/wrappers/bin"];
/// How long one of them may take.
const TIME: Duration = Duration::from_secs(5);
/// How many bytes of its error text are reported.
const SAID: usize = 500;

/// Why the map wasn't written.
pub enum Refusal {
    /// The program isn't installed, or couldn't be started.
    Errno(Errno),
    /// The error text of the program.
    Said(Vec<u8>),
}

impl From<Errno> for Refusal {
    fn from(errno: Errno) -> Self {
        Refusal::Errno(errno)
    }
}

/// Runs the program of this name to write the map of a child. `lines` has the format of the
/// kernel's uid_map and gid_map files.
pub fn write(name: &str, child: c_int, lines: &[u8]) -> Result<(), Refusal> {
    let file = DIRECTORIES
        .into_iter()
        .filter_map(|directory| CString::new(format!("{directory}/{name}")).ok())
        .find(|file| access(file.as_c_str(), AccessFlags::X_OK).is_ok())
        .ok_or(Errno::ENOENT)?;
    let pid = child.to_string();
    let numbers = lines
        .split(u8::is_ascii_whitespace)
        .filter(|number| !number.is_empty());
    let argv: Vec<CString> = [name.as_bytes(), pid.as_bytes()]
        .into_iter()
        .chain(numbers)
        .map(CString::new)
        .collect::<Result<_, _>>()
        .map_err(|_| Errno::EINVAL)?;
    let null = nix::fcntl::open(
        "/dev/null",
        nix::fcntl::OFlag::O_RDWR | nix::fcntl::OFlag::O_CLOEXEC,
        nix::sys::stat::Mode::empty(),
    )?;
    let null = out_of_the_way(null)?;
    let (hears, says) = pipe()?;
    let says = out_of_the_way(says)?;
    let keeper = nix::unistd::getpid().as_raw();
    let helper = spawn::fork_closed(0)?;
    if helper == 0 {
        become_helper(keeper, &null, &says, &file, &argv);
    }
    drop((says, null));
    let until = Instant::now() + TIME;
    let said = hear(&hears, until);
    match reaped(helper, until) {
        Some(0) => Ok(()),
        None => Err(Errno::ETIMEDOUT.into()),
        Some(status) if said.is_empty() => {
            let text = format!("{name} ended with status {}", libc::WEXITSTATUS(status));
            Err(Refusal::Said(text.into_bytes()))
        }
        Some(_) => Err(Refusal::Said(said)),
    }
}

/// The program inherits nothing from the keeper but the pipe for its errors: no environment, no
/// other descriptors, no working directory.
fn become_helper(
    keeper: c_int,
    null: &OwnedFd,
    says: &OwnedFd,
    file: &CStr,
    argv: &[CString],
) -> ! {
    signals::begin_child(keeper);
    for (to, from) in [null, null, says].into_iter().enumerate() {
        let _ = dup2(from.as_raw_fd(), to as c_int);
    }
    spawn::close_all_but(&[0, 1, 2], None, procfs::trusted);
    let _ = nix::unistd::chdir("/");
    signals::before_exec();
    unblock();
    let Err(errno) = nix::unistd::execve(file, argv, &[c"LC_ALL=C"]);
    let _ = write_all(2, errno.desc().as_bytes());
    leave(127)
}

/// What is said until its end, or until then.
fn hear(hears: &OwnedFd, until: Instant) -> Vec<u8> {
    let mut said = Vec::new();
    let mut buffer = [0; 512];
    loop {
        let left = until.saturating_duration_since(Instant::now());
        let mut polled = [PollFd::new(hears.as_fd(), PollFlags::POLLIN)];
        match poll(&mut polled, Some(left), SigSet::all()) {
            Err(Errno::EINTR) => continue,
            Ok(1..) => {}
            _ => break,
        }
        match nix::unistd::read(hears, &mut buffer) {
            Err(Errno::EINTR) => {}
            Ok(n @ 1..) => said.extend_from_slice(&buffer[..n]),
            _ => break,
        }
        said.truncate(SAID);
    }
    said.truncate(said.trim_ascii_end().len());
    said
}

/// Waits for a child that is about to end, and returns its status; none if it had to be killed.
fn reaped(child: c_int, until: Instant) -> Option<c_int> {
    loop {
        match wait4(child, libc::WNOHANG) {
            Ok(waited) if let_go_or_kill(&waited) => {}
            Ok(waited) if waited.pid == child => return Some(waited.status),
            Ok(_) if Instant::now() < until => std::thread::sleep(Duration::from_millis(1)),
            Err(Errno::EINTR) => {}
            _ => break,
        }
    }
    // The keeper may signal it: its real user is still the keeper's, even though it runs as root.
    let _ = kill(child, libc::SIGKILL);
    wait_until_ended(child);
    None
}
