//! ptrace(2). Linux only.

use super::ptr::Argument;
use crate::process::Process;
use crate::reply::{Flat, Outcome};
use alcove_proto::wire::arg::Ptr;

/// ptrace(2): `{ok, Returned, Addr, Data}`. Numbers are passed as they are, bytes and structures
/// as pointers to copies of them, as by prctl. What PTRACE_PEEKDATA and its like find is returned.
///
/// That a traced process has stopped is what waitpid tells.
pub fn ptrace(
    p: &mut Process,
    request: i64,
    pid: i32,
    addr: Ptr<'_>,
    data: Ptr<'_>,
) -> Flat<(i64, Argument, Argument)> {
    // Statuses of the traced process are kept for waitpid.
    p.children.reserve_statuses();
    Flat(sys::ptrace(request, pid, addr, data))
}

#[cfg(target_os = "linux")]
mod sys {
    use super::*;
    use crate::sys::ptr::Budget;
    use nix::errno::Errno;

    pub fn ptrace(
        request: i64,
        pid: i32,
        addr: Ptr<'_>,
        data: Ptr<'_>,
    ) -> Outcome<(i64, Argument, Argument)> {
        let request = u32::try_from(request).map_err(|_| Errno::EIO)?;
        let mut budget = Budget::new();
        let mut addr = Argument::new(&mut budget, addr)?;
        let mut data = Argument::new(&mut budget, data)?;
        let (at, with) = (addr.word()?, data.word()?);
        Errno::clear();
        // SAFETY: pointers are to memory that the kernel may write to. That it is as large as
        // the request wants is the user's to see to.
        let returned = unsafe { libc::ptrace(request as _, pid, at, with) };
        // A word that was peeked at may be -1.
        if returned == -1 && Errno::last_raw() != 0 {
            return Err(Errno::last().into());
        }
        Ok((returned.into(), addr, data))
    }
}

#[cfg(not(target_os = "linux"))]
mod sys {
    use super::*;
    use crate::reply::Fail;

    pub fn ptrace(_: i64, _: i32, _: Ptr<'_>, _: Ptr<'_>) -> Outcome<(i64, Argument, Argument)> {
        Err(Fail::Unsupported)
    }
}
