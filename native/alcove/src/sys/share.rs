//! A new process that shares this one's memory until it execs, as in posix_spawn(3). Linux only.

use libc::c_int;
#[cfg(target_os = "linux")]
use libc::c_void;

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

/// clone(2): runs `child` with `argument` in a new process. Returns in this process when the new
/// one has left the memory, by exec or exit.
///
/// This process finds the memory as `child` left it: what that allocates is lost.
pub fn run<T>(child: fn(&mut T) -> !, stack: &mut Stack, argument: &mut T) -> nix::Result<c_int> {
    #[cfg(target_os = "linux")]
    {
        let mut call = Call { child, argument };
        let flags = libc::CLONE_VM | libc::CLONE_VFORK | libc::SIGCHLD;
        let at = (&raw mut call).cast();
        // SAFETY: nothing else uses the stack, and no process of this executable has a second
        // thread. With CLONE_VFORK this process waits until the new one is done with `call`.
        nix::errno::Errno::result(unsafe { libc::clone(begin::<T>, stack.top, flags, at) })
    }
    #[cfg(not(target_os = "linux"))]
    {
        let _ = (child, stack, argument);
        Err(nix::errno::Errno::ENOSYS)
    }
}

#[cfg(target_os = "linux")]
struct Call<'a, T> {
    child: fn(&mut T) -> !,
    argument: &'a mut T,
}

#[cfg(target_os = "linux")]
extern "C" fn begin<T>(call: *mut c_void) -> c_int {
    // SAFETY: `run` passed the pointer, and doesn't use what it points to meanwhile.
    let call = unsafe { &mut *call.cast::<Call<'_, T>>() };
    (call.child)(call.argument)
}
