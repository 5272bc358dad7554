//! The answer to a system call that a filter trapped: SECCOMP_RET_TRAP of seccomp(2).
//!
//! The kernel doesn't make the call, and sends SIGSYS with the registers as they were before it.
//! Whoever made the call takes what is in the register of the result for the result: the number of
//! the call on x86, its first argument on ARM and RISC-V. Neither looks like an error.

use libc::{c_int, c_void, siginfo_t};

/// Whether [`refuse`] can answer a trapped call. Where it can't, SIGSYS must have no handler: the
/// signal then ends the process, and no call seems to be made that was not.
pub fn can_be_refused() -> bool {
    cfg!(not(target_os = "linux")) || ANSWER.is_some()
}

/// SYS_SECCOMP of asm-generic/siginfo.h: why the kernel sent SIGSYS.
const FILTERED: c_int = 1;

/// In a signal handler: if the signal says that a filter trapped a call, makes the call return
/// ENOSYS when the handler returns.
///
/// # Safety
/// `context` is what the kernel gave the handler.
pub unsafe fn refuse(signal: c_int, info: &siginfo_t, context: *mut c_void) {
    if signal != libc::SIGSYS || info.si_code != FILTERED {
        return;
    }
    if let Some(answer) = ANSWER {
        // SAFETY: the kernel gives the handler a context that is its own until it returns.
        answer(unsafe { &mut *context.cast::<Context>() });
    }
}

#[cfg(target_os = "linux")]
type Context = libc::ucontext_t;
#[cfg(not(target_os = "linux"))]
type Context = c_void;

/// Puts ENOSYS into the register of a call's result, which differs by processor. The register is
/// where syscall_rollback and syscall_set_return_value of the kernel's asm/syscall.h write to.
type Answer = Option<fn(&mut Context)>;

#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
const ANSWER: Answer = Some(|context| {
    context.uc_mcontext.gregs[libc::REG_RAX as usize] = -libc::greg_t::from(libc::ENOSYS);
});

#[cfg(all(target_os = "linux", target_arch = "x86"))]
const ANSWER: Answer = Some(|context| {
    /// REG_EAX of sys/ucontext.h. The libc crate has no registers with musl.
    const EAX: usize = 11;
    let registers = (&raw mut context.uc_mcontext).cast::<c_int>();
    // SAFETY: the context of a machine begins with 19 registers of this type.
    unsafe { *registers.add(EAX) = -libc::ENOSYS };
});

#[cfg(all(target_os = "linux", target_arch = "aarch64"))]
const ANSWER: Answer = Some(|context| {
    context.uc_mcontext.regs[0] = -i64::from(libc::ENOSYS) as u64;
});

#[cfg(all(target_os = "linux", target_arch = "arm"))]
const ANSWER: Answer = Some(|context| {
    context.uc_mcontext.arm_r0 = -libc::ENOSYS as libc::c_ulong;
});

#[cfg(all(target_os = "linux", target_arch = "riscv64"))]
const ANSWER: Answer = Some(|context| {
    /// REG_A0 of sys/ucontext.h, which the libc crate lacks with musl.
    const A0: usize = 10;
    context.uc_mcontext.__gregs[A0] = -i64::from(libc::ENOSYS) as libc::c_ulong;
});

// Other processors need more than one register for it, or have not been looked at.
#[cfg(not(all(
    target_os = "linux",
    any(
        target_arch = "x86_64",
        target_arch = "x86",
        target_arch = "aarch64",
        target_arch = "arm",
        target_arch = "riscv64"
    )
)))]
const ANSWER: Answer = None;
