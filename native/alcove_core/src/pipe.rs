//! Pipes between programs.
//!
//! The library makes them. A request to run a program has a copy of an end, which is closed as soon
//! as it was sent to the keeper. The end itself is closed when the program runs, or when it is
//! clear that it never will. So a program doesn't read the end of a pipe whose writer could not be
//! started.
//!
//! ```text
//!             alcove_nif:close/1, or no term refers to it any more
//!   the end ---------------------------------------------------------------> CLOSED
//!     | alcove_nif:keep/4          give                the frame is sent       ^
//!     +--------------------> QUEUED ----> with a frame ------------------------+
//! ```

use std::os::fd::OwnedFd;

use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::sys::stat::{Mode, fchmod};
use nix::unistd::pipe2;
use parking_lot::Mutex;

/// An end of a pipe, until a program has it.
pub struct PipeEnd(Mutex<Option<OwnedFd>>);

impl PipeEnd {
    /// A pipe: the end to read from, and the one to write to.
    ///
    /// The two programs may run as different users, and each may open its end by a name such as
    /// /dev/stdin. This is safe: a process that can look it up there has it already.
    pub fn pair() -> Result<[Self; 2], Errno> {
        let (read, write) = pipe2(OFlag::O_CLOEXEC)?;
        let all = Mode::S_IRUSR | Mode::S_IWUSR | Mode::S_IRGRP | Mode::S_IWGRP;
        fchmod(&read, all | Mode::S_IROTH | Mode::S_IWOTH)?;
        Ok([read, write].map(|fd| PipeEnd(Mutex::new(Some(fd)))))
    }

    /// A copy, for a program.
    pub fn copy(&self) -> Result<OwnedFd, Errno> {
        let end = self.0.lock();
        let end = end.as_ref().ok_or(Errno::EBADF)?;
        end.try_clone().map_err(|_| Errno::EMFILE)
    }

    /// Closes it.
    pub fn close(&self) {
        drop(self.0.lock().take());
    }
}
