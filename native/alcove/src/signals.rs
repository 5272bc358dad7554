//! Signals of an event loop.
//!
//! The loop is *quiescent* while it waits for the next call. A signal that
//! arrives then is dealt with by the handler: children are reaped, frames
//! written. While a call runs the handler only leaves a mark, and the loop looks
//! for marks after it has become quiescent and before it reads, so no signal is
//! lost and none needs a system call that the loop doesn't make anyway.
//!
//! All signals are blocked while the handler runs, and a program that is
//! exec'ed gets default actions for everything that has a handler, from the
//! kernel. Only what the user wants ignored has to be seen to before an exec.

use crate::process::Process;
use crate::{event_loop, tree};
use alcove_proto::frame::{self, HEADER, notify};
use alcove_proto::wire::arg::Handler;
use libc::{c_int, c_void, siginfo_t};
use nix::errno::Errno;
use nix::sys::signal::{SigSet, SigmaskHow};
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicPtr, AtomicU8, Ordering::SeqCst};

/// One more than the largest number of a signal on any platform.
const NUMBERS: usize = 129;

/// What the user wants of a signal, as [`Handler`].
static WANTED: [AtomicU8; NUMBERS] = [const { AtomicU8::new(Handler::Dfl as u8) }; NUMBERS];
/// Caught so that it does nothing: SIGPIPE as long as the user says nothing.
const UNSAID: u8 = 0xff;

/// The loop waits for a call.
static QUIESCENT: AtomicBool = AtomicBool::new(false);
/// The process, for the handler while the loop is quiescent.
static PROCESS: AtomicPtr<Process> = AtomicPtr::new(std::ptr::null_mut());

/// Marks: children may have ended; the one that the signal named.
static CHILD_ENDED: AtomicBool = AtomicBool::new(false);
static CHILD_NAMED: AtomicI32 = AtomicI32::new(0);
/// Marks: some trapped signal arrived; which.
static TRAPPED: AtomicBool = AtomicBool::new(false);
static TRAPPED_NUMBER: [AtomicBool; NUMBERS] = [const { AtomicBool::new(false) }; NUMBERS];

/// Whether this process is root, which ends the tree when the guardian dies.
static ROOT: AtomicBool = AtomicBool::new(false);
/// What getppid(2) says while the parent lives; 0 in another pid namespace than the parent's.
static PARENT: AtomicI32 = AtomicI32::new(0);

/// The largest number of a signal here.
fn largest() -> c_int {
    #[cfg(target_os = "linux")]
    return libc::SIGRTMAX();
    #[cfg(not(target_os = "linux"))]
    return 31;
}

/// A number that kill(2) takes, 0 included.
pub fn number(value: i64) -> Option<u8> {
    let signal = u8::try_from(value).ok()?;
    (c_int::from(signal) <= largest()).then_some(signal)
}

/// What the kernel tells root when the guardian has died; root then has to end
/// the tree, which SIGKILL would keep it from.
fn guardian_died() -> c_int {
    largest()
}

/// What the kernel sends a process when its parent has died.
pub fn death_signal(process: &Process) -> c_int {
    if process.depth == 0 {
        guardian_died()
    } else {
        libc::SIGKILL
    }
}

/// Whether alcove's handler stays whatever the user wants of the signal.
fn is_kept(signal: c_int) -> bool {
    signal == libc::SIGCHLD || (signal == guardian_died() && ROOT.load(SeqCst))
}

/// Sets every signal to its default action and the mask to empty: whatever
/// started alcove may ignore or block some, and that would outlive an exec.
pub fn reset() {
    for signal in 1..=largest() {
        // SIGKILL and SIGSTOP are refused, and are at their defaults.
        if install(signal, libc::SIG_DFL).is_err() {
            reset_reserved(signal);
        }
    }
    unblock();
}

/// Resets a signal that the C library keeps for itself: who was started by glibc's
/// posix_spawn(3) ignores those, and sigaction(2) there doesn't touch them.
fn reset_reserved(signal: c_int) {
    #[cfg(target_os = "linux")]
    {
        // The kernel's own structure is no larger than this; all zero is the default action.
        let default = [0_u64; 8];
        let set_size = (largest() as usize).div_ceil(8);
        // SAFETY: reads from memory of ours.
        unsafe {
            libc::syscall(
                libc::SYS_rt_sigaction,
                signal,
                default.as_ptr(),
                std::ptr::null_mut::<c_void>(),
                set_size,
            )
        };
    }
    #[cfg(not(target_os = "linux"))]
    let _ = signal;
}

/// Makes this process root: its parent is the guardian.
pub fn begin_root(guardian: c_int) {
    ROOT.store(true, SeqCst);
    PARENT.store(guardian, SeqCst);
    WANTED[libc::SIGPIPE as usize].store(UNSAID, SeqCst);
    for signal in [libc::SIGCHLD, libc::SIGPIPE, guardian_died()] {
        if install(signal, caught()).is_err() {
            crate::die("cannot install a signal handler");
        }
    }
    end_with_parent(guardian_died());
}

/// Makes this a process that was just forked. Signals are blocked.
///
/// `parent` is what getppid(2) must say if the parent still lives. Ends the
/// process if it doesn't.
pub fn begin_child(parent: c_int) {
    PARENT.store(parent, SeqCst);
    if ROOT.swap(false, SeqCst) {
        let wanted = WANTED[guardian_died() as usize].load(SeqCst);
        let _ = install(guardian_died(), action(wanted));
    }
    CHILD_ENDED.store(false, SeqCst);
    if TRAPPED.swap(false, SeqCst) {
        for mark in &TRAPPED_NUMBER {
            mark.store(false, SeqCst);
        }
    }
    end_with_parent(libc::SIGKILL);
}

/// Has the kernel send `signal` when the parent dies, and acts as if it had if
/// the parent has died already.
pub fn end_with_parent(signal: c_int) {
    #[cfg(target_os = "linux")]
    // SAFETY: the option takes a number and touches no memory.
    unsafe {
        libc::prctl(libc::PR_SET_PDEATHSIG, signal as libc::c_ulong, 0, 0, 0);
    }
    #[cfg(not(target_os = "linux"))]
    let _ = signal;
    if parent_died() {
        orphaned();
    }
}

/// Whether this is root, and the guardian lives.
pub fn is_guarded() -> bool {
    ROOT.load(SeqCst) && !parent_died()
}

fn parent_died() -> bool {
    nix::unistd::getppid().as_raw() != PARENT.load(SeqCst)
}

fn orphaned() -> ! {
    if ROOT.load(SeqCst) {
        tree::end(&[]);
    }
    crate::leave(1)
}

/// Does what a handler that is found in [`WANTED`] stands for.
fn action(wanted: u8) -> libc::sighandler_t {
    match wanted {
        wanted if wanted == Handler::Dfl as u8 => libc::SIG_DFL,
        wanted if wanted == Handler::Ign as u8 => libc::SIG_IGN,
        _ => caught(),
    }
}

fn caught() -> libc::sighandler_t {
    on_signal as *const () as libc::sighandler_t
}

/// Calls sigaction(2).
fn install(signal: c_int, handler: libc::sighandler_t) -> nix::Result<()> {
    // SAFETY: an all-zero sigaction is valid, and the calls fill in memory of ours.
    let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
    action.sa_sigaction = handler;
    action.sa_flags = libc::SA_RESTART;
    if handler == caught() {
        action.sa_flags |= libc::SA_SIGINFO;
    }
    // A child that stops is news only for who traps the signal.
    if signal == libc::SIGCHLD && WANTED[libc::SIGCHLD as usize].load(SeqCst) != Handler::Trap as u8
    {
        action.sa_flags |= libc::SA_NOCLDSTOP;
    }
    // SAFETY: `action` is valid; the handler makes only calls that are safe in one.
    let result = unsafe {
        libc::sigfillset(&mut action.sa_mask);
        libc::sigaction(signal, &action, std::ptr::null_mut())
    };
    Errno::result(result).map(drop)
}

/// sigaction(2), as the user asks for it.
pub fn set(signal: c_int, handler: Handler) -> nix::Result<()> {
    if !(1..=largest()).contains(&signal) || signal == libc::SIGKILL || signal == libc::SIGSTOP {
        return Err(Errno::EINVAL);
    }
    // In this order, the handler never runs without knowing what is wanted.
    let before = WANTED[signal as usize].swap(handler as u8, SeqCst);
    let then = if is_kept(signal) {
        caught()
    } else {
        action(handler as u8)
    };
    install(signal, then).inspect_err(|_| WANTED[signal as usize].store(before, SeqCst))
}

/// Whether the user traps a signal.
pub fn is_trapped(signal: c_int) -> bool {
    WANTED[signal as usize].load(SeqCst) == Handler::Trap as u8
}

/// Signals that are ignored by the program that is to be exec'ed, but caught by
/// alcove until then.
fn caught_but_ignored() -> impl Iterator<Item = c_int> {
    [libc::SIGCHLD, guardian_died()]
        .into_iter()
        .filter(|signal| {
            is_kept(*signal) && WANTED[*signal as usize].load(SeqCst) == Handler::Ign as u8
        })
}

/// Sets everything up as the program that is about to be exec'ed shall find it.
pub fn before_exec() {
    for signal in caught_but_ignored() {
        let _ = install(signal, libc::SIG_IGN);
    }
    // Root's program has no handler that would end the tree, so it goes with the guardian.
    if ROOT.load(SeqCst) {
        end_with_parent(libc::SIGKILL);
    }
}

/// Undoes [`before_exec`].
pub fn after_failed_exec(process: &mut Process) {
    if ROOT.load(SeqCst) {
        end_with_parent(guardian_died());
    }
    let mut unreaped = false;
    for signal in caught_but_ignored() {
        let _ = install(signal, caught());
        unreaped |= signal == libc::SIGCHLD;
    }
    if unreaped {
        for pid in process.children.pids().to_vec() {
            match wait(pid, libc::WNOHANG) {
                Ok(child) if child.pid > 0 => found(process, &child),
                Ok(_) => {}
                // The kernel reaped it in between; how it ended is lost.
                Err(_) => found(process, &Ended::unknown(pid)),
            }
        }
        CHILD_ENDED.store(true, SeqCst);
    }
}

/// Has SIGCHLD interrupt what waits with it unblocked, and nothing else.
pub fn interrupt_by_child() {
    extern "C" fn nothing(_signal: c_int) {}
    let _ = install(libc::SIGCHLD, nothing as *const () as libc::sighandler_t);
}

/// Blocks all signals; returns the mask to give to [`restore`].
pub fn block() -> SigSet {
    SigSet::all()
        .thread_swap_mask(SigmaskHow::SIG_SETMASK)
        .unwrap_or_else(|_| SigSet::empty())
}

/// Sets the mask that [`block`] returned.
pub fn restore(mask: &SigSet) {
    let _ = mask.thread_set_mask();
}

/// Lets all signals in.
pub fn unblock() {
    restore(&SigSet::empty());
}

/// Whether a trapped signal arrived since the last [`settle`].
pub fn trapped_during_call() -> bool {
    TRAPPED.load(SeqCst)
}

/// Makes the loop quiescent: from now on the handler may use the process, until
/// [`wake`]. First does what signals left to be done.
///
/// # Safety
/// `process` stays valid, and nothing refers to it until [`wake`].
pub unsafe fn settle(process: *mut Process) {
    PROCESS.store(process, SeqCst);
    loop {
        QUIESCENT.store(true, SeqCst);
        if !CHILD_ENDED.load(SeqCst) && !TRAPPED.load(SeqCst) {
            return;
        }
        QUIESCENT.store(false, SeqCst);
        // SAFETY: the loop isn't quiescent, so the handler doesn't use the process.
        drain(unsafe { &mut *process });
    }
}

/// Ends being quiescent.
pub fn wake() {
    QUIESCENT.store(false, SeqCst);
}

/// Does what signals left to be done. The loop isn't quiescent.
pub fn drain(process: &mut Process) {
    if CHILD_ENDED.swap(false, SeqCst) {
        reap(process, CHILD_NAMED.load(SeqCst));
    }
    if TRAPPED.swap(false, SeqCst) {
        for (signal, mark) in TRAPPED_NUMBER.iter().enumerate() {
            if mark.swap(false, SeqCst) {
                report(process, signal as c_int);
            }
        }
    }
}

/// How a child ended, or that it stopped.
pub struct Ended {
    /// Its pid.
    pub pid: c_int,
    /// Its status; the pid is 0 and this is nothing when there was no news.
    pub status: c_int,
    /// What it has used.
    pub usage: libc::rusage,
}

impl Ended {
    /// Nothing is known but the pid.
    fn unknown(pid: c_int) -> Self {
        Ended {
            pid,
            status: 0,
            // SAFETY: an all-zero rusage is valid.
            usage: unsafe { std::mem::zeroed() },
        }
    }
}

/// wait4(2).
pub fn wait(pid: c_int, options: c_int) -> nix::Result<Ended> {
    let mut ended = Ended::unknown(pid);
    // SAFETY: the kernel fills in memory of ours.
    let pid = unsafe { libc::wait4(pid, &mut ended.status, options, &mut ended.usage) };
    ended.pid = Errno::result(pid)?;
    Ok(ended)
}

/// A child that has ended, if there is one.
fn ended_child(pid: c_int) -> Option<Ended> {
    wait(pid, libc::WNOHANG).ok().filter(|ended| ended.pid > 0)
}

/// Reaps the children that have ended. Looks at the one that the signal named
/// first: looking for any takes the kernel long when there are thousands.
fn reap(process: &mut Process, named: c_int) {
    if named > 0
        && let Some(child) = ended_child(named)
    {
        found(process, &child);
    }
    while let Some(child) = ended_child(-1) {
        found(process, &child);
    }
}

/// Deals with a status that was found on the way: what the user can find out about by
/// waitpid(2) is kept for that.
fn found(process: &mut Process, child: &Ended) {
    // A traced process shows its stops whether or not they were asked for.
    let stopped = libc::WIFSTOPPED(child.status);
    if stopped || WANTED[libc::SIGCHLD as usize].load(SeqCst) == Handler::Trap as u8 {
        process.children.keep_status(child.pid, child.status);
    }
    if !stopped {
        reaped(process, child);
    }
}

/// Reports a child that has ended; orphans that came to root are nobody's news. The loop
/// isn't quiescent, or this is its handler.
pub fn reaped(process: &mut Process, child: &Ended) {
    /// Where the frame has what the child used.
    const USAGE: usize = HEADER + 10;
    if !process.children.remove(child.pid) {
        return;
    }
    let asked = [
        (process.options.exit_status, notify::EXIT_STATUS),
        (process.options.termsig, notify::TERMSIG),
        (process.options.rusage, notify::RUSAGE),
    ];
    let notify = asked
        .iter()
        .fold(0, |all, (asked, bit)| all | if *asked { *bit } else { 0 });
    let mut bytes = [0; USAGE + frame::RUSAGE * 8];
    let length = (bytes.len() - HEADER) as u32;
    bytes[..HEADER].copy_from_slice(&length.to_le_bytes());
    bytes[HEADER] = frame::from::CHILD;
    bytes[5..9].copy_from_slice(&child.pid.to_le_bytes());
    bytes[9..13].copy_from_slice(&child.status.to_le_bytes());
    bytes[13] = notify;
    let (places, _) = bytes[USAGE..].as_chunks_mut();
    for (place, number) in places.iter_mut().zip(numbers(&child.usage)) {
        *place = number.to_le_bytes();
    }
    // When the control socket is gone, so is the process at its next read.
    let _ = event_loop::write(process.control, &bytes);
}

/// What a child used, in the order of its frame.
#[allow(
    clippy::unnecessary_cast,
    reason = "the types differ between platforms"
)]
fn numbers(usage: &libc::rusage) -> [i64; frame::RUSAGE] {
    [
        usage.ru_utime.tv_sec as i64,
        usage.ru_utime.tv_usec as i64,
        usage.ru_stime.tv_sec as i64,
        usage.ru_stime.tv_usec as i64,
        usage.ru_maxrss as i64,
        usage.ru_minflt as i64,
        usage.ru_majflt as i64,
        usage.ru_inblock as i64,
        usage.ru_oublock as i64,
        usage.ru_nvcsw as i64,
        usage.ru_nivcsw as i64,
    ]
}

/// Reports a trapped signal.
fn report(process: &Process, signal: c_int) {
    let [a, b, c, d] = signal.to_le_bytes();
    let _ = event_loop::write(
        process.control,
        &[5, 0, 0, 0, frame::from::SIGNAL, a, b, c, d],
    );
}

/// A fault of the process itself, which a handler can't make good.
fn is_fault(signal: c_int, info: &siginfo_t) -> bool {
    let faults = [
        libc::SIGSEGV,
        libc::SIGBUS,
        libc::SIGFPE,
        libc::SIGILL,
        libc::SIGTRAP,
    ];
    info.si_code > 0 && faults.contains(&signal)
}

/// Ends the process by a signal, as soon as the handler returns.
fn die_by(signal: c_int) {
    let _ = install(signal, libc::SIG_DFL);
    // SAFETY: sends a signal to this process.
    unsafe { libc::kill(libc::getpid(), signal) };
}

/// Has a system call that a filter trapped answer ENOSYS. It wasn't made, and without this the
/// caller would take the number of the call, which is left in the register, for its result.
///
/// # Safety
/// `context` is what the kernel gave the handler.
unsafe fn refuse_trapped_call(signal: c_int, info: &siginfo_t, context: *mut c_void) {
    /// SYS_SECCOMP of asm-generic/siginfo.h.
    const FILTERED: c_int = 1;
    if signal != libc::SIGSYS || info.si_code != FILTERED {
        return;
    }
    // SAFETY: the kernel gives the handler a context that is its own until it returns.
    #[cfg(all(target_os = "linux", target_arch = "x86_64"))]
    unsafe {
        let context = &mut *context.cast::<libc::ucontext_t>();
        context.uc_mcontext.gregs[libc::REG_RAX as usize] = -i64::from(libc::ENOSYS);
    }
    // SAFETY: as above.
    #[cfg(all(target_os = "linux", target_arch = "aarch64"))]
    unsafe {
        let context = &mut *context.cast::<libc::ucontext_t>();
        context.uc_mcontext.regs[0] = -i64::from(libc::ENOSYS) as u64;
    }
    #[cfg(not(all(
        target_os = "linux",
        any(target_arch = "x86_64", target_arch = "aarch64")
    )))]
    let _ = context;
}

extern "C" fn on_signal(signal: c_int, info: *mut siginfo_t, context: *mut c_void) {
    let errno = Errno::last_raw();
    // SAFETY: with SA_SIGINFO the kernel gives a valid siginfo.
    let info = unsafe { &*info };
    // SAFETY: this is the handler.
    unsafe { refuse_trapped_call(signal, info, context) };
    if signal == guardian_died() && ROOT.load(SeqCst) && parent_died() {
        orphaned();
    }
    match WANTED[signal as usize].load(SeqCst) {
        _ if is_fault(signal, info) => die_by(signal),
        wanted if wanted == Handler::Dfl as u8 && signal != libc::SIGCHLD => die_by(signal),
        wanted => arrived(signal, info, wanted == Handler::Trap as u8),
    }
    Errno::set_raw(errno);
}

/// Deals with a signal, or leaves marks.
fn arrived(signal: c_int, info: &siginfo_t, trapped: bool) {
    // SAFETY: the field is a number whatever the signal; it means a pid for SIGCHLD.
    let named = unsafe { info.si_pid() };
    if QUIESCENT.load(SeqCst) {
        // SAFETY: while the loop is quiescent the process is the handler's, and the handler
        // isn't interrupted by another.
        let process = unsafe { &mut *PROCESS.load(SeqCst) };
        if signal == libc::SIGCHLD {
            reap(process, named);
        }
        if trapped {
            report(process, signal);
        }
        return;
    }
    if signal == libc::SIGCHLD {
        CHILD_NAMED.store(named, SeqCst);
        CHILD_ENDED.store(true, SeqCst);
    }
    if trapped {
        TRAPPED_NUMBER[signal as usize].store(true, SeqCst);
        TRAPPED.store(true, SeqCst);
    }
}
