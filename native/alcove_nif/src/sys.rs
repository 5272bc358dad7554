//! System calls that nix does not have.

use std::ffi::{CStr, CString};
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, OwnedFd};

use nix::errno::Errno;
use nix::unistd::Pid;

/// How many bytes a pipe holds.
pub fn available(fd: &OwnedFd) -> usize {
    let mut n: libc::c_int = 0;
    // SAFETY: FIONREAD writes one int, to which the pointer points.
    let result = unsafe { libc::ioctl(fd.as_raw_fd(), libc::FIONREAD, &raw mut n) };
    if result == -1 {
        0
    } else {
        usize::try_from(n).unwrap_or(0)
    }
}

/// Waits until a descriptor has something to read, or for some time.
pub fn wait_readable(fd: &OwnedFd, limit: std::time::Duration) {
    use nix::poll::{PollFd, PollFlags};
    let mut fds = [PollFd::new(std::os::fd::AsFd::as_fd(fd), PollFlags::POLLIN)];
    // What ends the wait, a signal or the time, is all the same: the caller looks.
    #[cfg(any(target_os = "linux", target_os = "android", target_os = "freebsd"))]
    let _ = nix::poll::ppoll(&mut fds, Some(limit.into()), None);
    #[cfg(not(any(target_os = "linux", target_os = "android", target_os = "freebsd")))]
    let _ = (
        nix::poll::poll(&mut fds, nix::poll::PollTimeout::ZERO),
        limit,
    );
}

/// The same open file under a number that isn't below `lowest`.
pub fn raise(fd: OwnedFd, lowest: i32) -> Result<OwnedFd, Errno> {
    use std::os::fd::FromRawFd;
    // SAFETY: takes numbers only; a descriptor that comes back is new and nobody else's.
    unsafe {
        let raised = libc::fcntl(fd.as_raw_fd(), libc::F_DUPFD_CLOEXEC, lowest);
        Ok(OwnedFd::from_raw_fd(Errno::result(raised)?))
    }
}

/// read(2), without waiting.
pub fn read_now(fd: &OwnedFd, buf: &mut [u8]) -> Result<usize, Errno> {
    #[cfg(target_os = "linux")]
    {
        let part = libc::iovec {
            iov_base: buf.as_mut_ptr().cast(),
            iov_len: buf.len(),
        };
        // SAFETY: the one part is as long as is said. -1 is the offset of read(2).
        let n = unsafe { libc::preadv2(fd.as_raw_fd(), &raw const part, 1, -1, libc::RWF_NOWAIT) };
        match Errno::result(n) {
            // Before Linux 6.5 a pipe has no such reads.
            Err(Errno::EOPNOTSUPP | Errno::ENOSYS) => {}
            result => return result.map(|n| n as usize),
        }
    }
    never_wait(fd);
    nix::unistd::read(fd, buf)
}

/// write(2), without waiting.
pub fn write_now(fd: &OwnedFd, bytes: &[u8]) -> Result<usize, Errno> {
    #[cfg(target_os = "linux")]
    {
        let part = libc::iovec {
            iov_base: bytes.as_ptr().cast_mut().cast(),
            iov_len: bytes.len(),
        };
        // SAFETY: as for reading; the kernel only reads from the part.
        let n = unsafe { libc::pwritev2(fd.as_raw_fd(), &raw const part, 1, -1, libc::RWF_NOWAIT) };
        match Errno::result(n) {
            Err(Errno::EOPNOTSUPP | Errno::ENOSYS) => {}
            result => return result.map(|n| n as usize),
        }
    }
    never_wait(fd);
    nix::unistd::write(fd, bytes)
}

/// Makes a descriptor non-blocking. A process that was taken over may have kept its open
/// file, and undo this at any time: that is why each read and write says it for itself
/// where that is possible.
fn never_wait(fd: &OwnedFd) {
    let _ = nix::fcntl::fcntl(
        fd,
        nix::fcntl::FcntlArg::F_SETFL(nix::fcntl::OFlag::O_NONBLOCK),
    );
}

/// The status of a process that ended, when the kernel still tells: the VM ignores
/// SIGCHLD, so that wait(2) has nothing to say of its children.
#[cfg(target_os = "linux")]
pub fn exit_status(pidfd: &OwnedFd) -> Option<i32> {
    /// `struct pidfd_info` of linux/pidfd.h in its first version.
    #[repr(C)]
    #[derive(Default)]
    struct Info {
        mask: u64,
        cgroup: u64,
        ids: [u32; 11],
        exit_code: i32,
    }
    const PIDFD_INFO_EXIT: u64 = 1 << 3;
    nix::ioctl_readwrite!(pidfd_get_info, 0xff, 11, Info);

    let mut info = Info {
        mask: PIDFD_INFO_EXIT,
        ..Info::default()
    };
    // SAFETY: the request's number holds the structure's size; the kernel writes no more.
    unsafe { pidfd_get_info(pidfd.as_raw_fd(), &raw mut info) }.ok()?;
    (info.mask & PIDFD_INFO_EXIT != 0).then_some(info.exit_code)
}

/// The status of a process that ended, when the kernel still tells.
#[cfg(not(target_os = "linux"))]
pub fn exit_status(_pidfd: &OwnedFd) -> Option<i32> {
    None
}

/// A descriptor that becomes readable when the process ends.
#[cfg(target_os = "linux")]
pub fn pidfd_open(pid: libc::pid_t) -> Option<OwnedFd> {
    use std::os::fd::FromRawFd;
    // SAFETY: two integers.
    let fd = unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) };
    let fd = i32::try_from(fd).ok().filter(|fd| *fd >= 0)?;
    // SAFETY: a new descriptor, close-on-exec, that nobody else has.
    Some(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// A descriptor that becomes readable when the process ends.
#[cfg(not(target_os = "linux"))]
pub fn pidfd_open(_pid: libc::pid_t) -> Option<OwnedFd> {
    None
}

/// posix_spawnp(3): runs a program in a session of its own, with signal
/// dispositions and mask as a new login has them, `stdin` as descriptor 0,
/// /dev/null as 1, this process's 2, and no other descriptor.
pub fn spawn(
    program: &CStr,
    argv: &[CString],
    env: &[CString],
    stdin: &OwnedFd,
) -> Result<Pid, Errno> {
    let check = |result: libc::c_int| {
        if result == 0 {
            Ok(())
        } else {
            Err(Errno::from_raw(result))
        }
    };
    let pointers = |strings: &[CString]| -> Vec<*mut libc::c_char> {
        strings
            .iter()
            .map(|s| s.as_ptr().cast_mut())
            .chain([std::ptr::null_mut()])
            .collect()
    };
    let (argv, env) = (pointers(argv), pointers(env));
    let mut actions = MaybeUninit::uninit();
    let mut attributes = MaybeUninit::uninit();
    let mut signals = MaybeUninit::uninit();
    let mut pid = 0;
    // SAFETY: every object is initialised by its own function before it is used
    // and destroyed after; strings and vectors live until the end and the vectors
    // end in null; the descriptors are open.
    unsafe {
        check(libc::posix_spawn_file_actions_init(actions.as_mut_ptr()))?;
        let actions = Destroy(actions.as_mut_ptr(), libc::posix_spawn_file_actions_destroy);
        check(libc::posix_spawnattr_init(attributes.as_mut_ptr()))?;
        let attributes = Destroy(attributes.as_mut_ptr(), libc::posix_spawnattr_destroy);

        check(libc::posix_spawn_file_actions_adddup2(
            actions.0,
            stdin.as_raw_fd(),
            0,
        ))?;
        check(libc::posix_spawn_file_actions_addopen(
            actions.0,
            1,
            c"/dev/null".as_ptr(),
            libc::O_RDWR,
            0,
        ))?;
        // Many of the VM's descriptors aren't close-on-exec.
        #[cfg(all(target_os = "linux", target_env = "gnu"))]
        check(posix_spawn_file_actions_addclosefrom_np(actions.0, 3))?;

        let flags = libc::POSIX_SPAWN_SETSIGDEF | libc::POSIX_SPAWN_SETSIGMASK | SETSID;
        check(libc::posix_spawnattr_setflags(
            attributes.0,
            flags as libc::c_short,
        ))?;
        libc::sigfillset(signals.as_mut_ptr());
        check(libc::posix_spawnattr_setsigdefault(
            attributes.0,
            signals.as_ptr(),
        ))?;
        libc::sigemptyset(signals.as_mut_ptr());
        check(libc::posix_spawnattr_setsigmask(
            attributes.0,
            signals.as_ptr(),
        ))?;

        check(libc::posix_spawnp(
            &raw mut pid,
            program.as_ptr(),
            actions.0,
            attributes.0,
            argv.as_ptr(),
            env.as_ptr(),
        ))?;
    }
    Ok(Pid::from_raw(pid))
}

#[cfg(all(target_os = "linux", target_env = "gnu"))]
unsafe extern "C" {
    fn posix_spawn_file_actions_addclosefrom_np(
        actions: *mut libc::posix_spawn_file_actions_t,
        from: libc::c_int,
    ) -> libc::c_int;
}

/// `POSIX_SPAWN_SETSID` of spawn.h.
#[cfg(target_os = "linux")]
const SETSID: libc::c_int = 0x80;
/// A process group of its own where there is no attribute for a session.
#[cfg(not(target_os = "linux"))]
const SETSID: libc::c_int = libc::POSIX_SPAWN_SETPGROUP as libc::c_int;

/// Destroys a libc object when it goes out of scope.
struct Destroy<T>(*mut T, unsafe extern "C" fn(*mut T) -> libc::c_int);

impl<T> Drop for Destroy<T> {
    fn drop(&mut self) {
        // SAFETY: whoever made this initialised the object before.
        unsafe { (self.1)(self.0) };
    }
}
