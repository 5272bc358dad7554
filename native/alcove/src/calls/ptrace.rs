//! ptrace(2).

use super::ptr::{Argument, Budget};
use crate::process::Process;
use crate::reply::{Flat, Outcome};
use alcove_proto::wire::arg::Ptr;
use nix::errno::Errno;

/// ptrace(2): `{ok, Returned, Addr, Data}`. Numbers are passed as they are, bytes and structures
/// as pointers to copies of them, as by prctl. What PTRACE_PEEKDATA and its like find is returned.
///
/// That a traced process has stopped is what waitpid tells, as long as it is stopped.
pub fn ptrace(
    p: &mut Process,
    request: i64,
    pid: i32,
    addr: Ptr<'_>,
    data: Ptr<'_>,
) -> Flat<(i64, Argument, Argument)> {
    // Statuses of the traced process are kept for waitpid.
    p.children.reserve_statuses();
    let done = trace(request, pid, addr, data);
    if done.is_ok() && ends_stop(request) {
        p.children.forget_stops(pid);
    }
    Flat(done)
}

/// Whether the process goes on from where it was stopped.
fn ends_stop(request: i64) -> bool {
    [
        libc::PTRACE_CONT as i64,
        libc::PTRACE_KILL as i64,
        libc::PTRACE_SINGLESTEP as i64,
        libc::PTRACE_DETACH as i64,
        libc::PTRACE_SYSCALL as i64,
    ]
    .contains(&request)
        || OTHERS.contains(&request)
}

/// PTRACE_SYSEMU, PTRACE_SYSEMU_SINGLESTEP and PTRACE_SINGLEBLOCK where the kernel has them:
/// elsewhere their numbers are other requests. The C library doesn't name them everywhere.
const OTHERS: &[i64] = if cfg!(any(target_arch = "x86", target_arch = "x86_64")) {
    &[31, 32, 33]
} else if cfg!(target_arch = "aarch64") {
    &[31, 32]
} else {
    &[]
};

fn trace(
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
