//! A new process that shares this one's memory until it execs, as in posix_spawn(3). Linux only.

use libc::{c_int, c_void};

/// The stack of such a process.
pub struct Stack {
    #[cfg(target_os = "linux")]
    top: *mut c_void,
}

impl Stack {
    /// A stack that is never freed. `None` if there is no memory, or the platform can't share it.
    pub fn new() -> Option<Stack> {
        #[cfg(target_os = "linux")]
        {
            const SIZE: usize = 64 * 1024;
            let protection = libc::PROT_READ | libc::PROT_WRITE;
            let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;
            // SAFETY: maps memory that nothing else uses.
            let memory =
                unsafe { libc::mmap(std::ptr::null_mut(), SIZE, protection, flags, -1, 0) };
            (memory != libc::MAP_FAILED).then(|| Stack {
                // SAFETY: the end of what was mapped.
                top: unsafe { memory.byte_add(SIZE) },
            })
        }
        #[cfg(not(target_os = "linux"))]
        None
    }
}

/// clone(2): runs `child` with `argument` in a new process, which it must end. Returns in this
/// process when the new one has left the memory by exec or exit.
///
/// # Safety
/// Nothing else uses the stack, this process has one thread, and `child` takes what `argument`
/// points to, and doesn't return.
pub unsafe fn run(
    child: extern "C" fn(*mut c_void) -> c_int,
    stack: &Stack,
    argument: *mut c_void,
) -> nix::Result<c_int> {
    #[cfg(target_os = "linux")]
    {
        let flags = libc::CLONE_VM | libc::CLONE_VFORK | libc::SIGCHLD;
        // SAFETY: the caller's promises; with CLONE_VFORK what is pointed to lives long enough.
        nix::errno::Errno::result(unsafe { libc::clone(child, stack.top, flags, argument) })
    }
    #[cfg(not(target_os = "linux"))]
    {
        let _ = (child, stack, argument);
        Err(nix::errno::Errno::ENOSYS)
    }
}
