//! Signals of an event loop.
//!
//! The loop is *quiescent* while it waits for the next call. If a signal
//! arrives then, the handler itself reaps children and writes frames. While a
//! call runs, the handler only leaves a mark. The loop looks for marks after it
//! has become quiescent and before it reads. So no signal is lost, and none needs
//! a system call that the loop doesn't make anyway.
//!
//! All signals are blocked while the handler runs. When a program is exec'ed, the
//! kernel resets every signal that has a handler to its default action. So before an
//! exec only the signals that the user wants ignored need attention.

use crate::exit::{die, leave};
use crate::process::Process;
use crate::sys::signal::{NUMBERS, kill, largest, reset_reserved, unblock};
use crate::sys::trap;
use crate::sys::wait::{Waited, wait4};
use crate::{descendants, io, protect, reap, wanted};
use alcove_proto::frame::{Short, Signal};
use alcove_proto::wire::arg::Handler;
use libc::{c_int, c_void, siginfo_t};
use nix::errno::Errno;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicPtr, Ordering::SeqCst};

/// The loop waits for a call.
static QUIESCENT: AtomicBool = AtomicBool::new(false);
/// The process, for the handler while the loop is quiescent.
static PROCESS: AtomicPtr<Process> = AtomicPtr::new(std::ptr::null_mut());

/// Marks: children may have ended; the child that the signal named.
static CHILD_ENDED: AtomicBool = AtomicBool::new(false);
static CHILD_NAMED: AtomicI32 = AtomicI32::new(0);
/// Marks: a trapped signal arrived; which ones did.
static TRAPPED: AtomicBool = AtomicBool::new(false);
static TRAPPED_NUMBER: [AtomicBool; NUMBERS] = [const { AtomicBool::new(false) }; NUMBERS];

/// The signal that the kernel sends root when the guardian has died. It isn't SIGKILL, since
/// root then has to end the tree.
fn guardian_died() -> c_int {
    largest()
}

/// The signal that the kernel sends a process when its parent has died.
#[cfg(target_os = "linux")]
pub fn death_signal(process: &Process) -> c_int {
    if process.depth == 0 {
        guardian_died()
    } else {
        libc::SIGKILL
    }
}

/// Whether alcove keeps its own handler for the signal, whatever the user asks for.
fn is_kept(signal: c_int) -> bool {
    signal == libc::SIGCHLD || (signal == guardian_died() && protect::is_root())
}

/// Sets every signal to its default action and empties the mask. What started alcove may
/// ignore or block some signals, and programs would inherit that across an exec.
pub fn reset() {
    for signal in 1..=largest() {
        // SIGKILL and SIGSTOP are refused, and are at their defaults.
        if install(signal, libc::SIG_DFL).is_err() {
            reset_reserved(signal);
        }
    }
    unblock();
}

/// Makes this process root: its parent is the guardian.
pub fn begin_root(guardian: c_int) {
    protect::set_parent(guardian, true);
    wanted::change(libc::SIGPIPE, wanted::UNSAID);
    for signal in [libc::SIGCHLD, libc::SIGPIPE, guardian_died()] {
        if install(signal, caught()).is_err() {
            die("cannot install a signal handler");
        }
    }
    end_with_parent(guardian_died());
}

/// Makes this a process that was just forked. Signals are blocked.
///
/// `parent` is what getppid(2) must say if the parent still lives. Ends the
/// process if it doesn't.
pub fn begin_child(parent: c_int) {
    let was_root = protect::is_root();
    protect::set_parent(parent, false);
    wanted::set_keeps(false);
    if was_root {
        let _ = install(guardian_died(), action(wanted::of(guardian_died())));
    }
    CHILD_ENDED.store(false, SeqCst);
    if TRAPPED.swap(false, SeqCst) {
        for mark in &TRAPPED_NUMBER {
            mark.store(false, SeqCst);
        }
    }
    end_with_parent(libc::SIGKILL);
}

/// Makes the kernel send `signal` when the parent dies. If the parent has died already, acts as if
/// the signal had come.
pub fn end_with_parent(signal: c_int) {
    protect::set_death_signal(signal);
    if protect::parent_died() {
        orphaned();
    }
}

fn orphaned() -> ! {
    if protect::is_root() {
        descendants::end(&[]);
    }
    leave(1)
}

/// The action for sigaction(2) that an entry of [`wanted`] stands for.
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
    // Only a user that traps SIGCHLD learns that a child has stopped.
    if signal == libc::SIGCHLD && !wanted::keeps() && !wanted::is_trapped(libc::SIGCHLD) {
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
    let before = wanted::change(signal, handler as u8);
    let then = if is_kept(signal) {
        caught()
    } else {
        action(handler as u8)
    };
    install(signal, then).inspect_err(|_| {
        wanted::change(signal, before);
    })
}

/// Signals that are ignored by the program that is to be exec'ed, but caught by
/// alcove until then.
fn caught_but_ignored() -> impl Iterator<Item = c_int> {
    [libc::SIGCHLD, guardian_died()]
        .into_iter()
        .filter(|signal| is_kept(*signal) && wanted::is_ignored(*signal))
}

/// Sets up signals as the program that is about to be exec'ed shall find them.
pub fn before_exec() {
    for signal in caught_but_ignored() {
        let _ = install(signal, libc::SIG_IGN);
    }
    // A program that replaces root has no handler that would end the tree, so the kernel kills it
    // with the guardian.
    if protect::is_root() {
        end_with_parent(libc::SIGKILL);
    }
}

/// Undoes [`before_exec`].
pub fn after_failed_exec(process: &mut Process) {
    if protect::is_root() {
        end_with_parent(guardian_died());
    }
    let mut unreaped = false;
    for signal in caught_but_ignored() {
        let _ = install(signal, caught());
        unreaped |= signal == libc::SIGCHLD;
    }
    if unreaped {
        for pid in process.children.pids().to_vec() {
            match wait4(pid, libc::WNOHANG) {
                Ok(child) if child.pid > 0 => reap::found(process, &child),
                Ok(_) => {}
                // The kernel reaped the child while SIGCHLD was ignored; its status is lost.
                Err(_) => reap::found(process, &Waited::unknown(pid)),
            }
        }
        CHILD_ENDED.store(true, SeqCst);
    }
}

/// Makes the kernel tell this process when a child is stopped, from now on.
pub fn watch_keepers() {
    if !wanted::set_keeps(true) {
        let _ = install(libc::SIGCHLD, caught());
    }
}

/// Installs a handler for SIGCHLD, of children that end or are stopped, that does nothing but
/// interrupt a call that waits with the signal unblocked.
pub fn interrupt_by_child() {
    extern "C" fn nothing(_signal: c_int) {}
    wanted::set_keeps(true);
    let _ = install(libc::SIGCHLD, nothing as *const () as libc::sighandler_t);
}

/// Must be called after every change of credentials, since the kernel then forgets that this
/// process is to end with its parent. Under a filter it stays forgotten.
#[cfg(target_os = "linux")]
pub fn credentials_changed(process: &Process) {
    if !process.filtered {
        end_with_parent(death_signal(process));
    }
}

/// Whether a trapped signal arrived since the last [`settle`]. A call that waits then ends with
/// EINTR; after a signal that only alcove handles it goes on.
pub fn trapped_during_call() -> bool {
    TRAPPED.load(SeqCst)
}

/// Makes the loop quiescent: from now on the handler may use the process, until
/// [`wake`]. First handles the signals that left marks.
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

/// Handles the signals that left marks. The loop isn't quiescent.
pub fn drain(process: &mut Process) {
    if CHILD_ENDED.swap(false, SeqCst) {
        reap::reap(process, CHILD_NAMED.load(SeqCst));
    }
    if TRAPPED.swap(false, SeqCst) {
        for (signal, mark) in TRAPPED_NUMBER.iter().enumerate() {
            if mark.swap(false, SeqCst) {
                report(process, signal as c_int);
            }
        }
    }
}

/// Reports a trapped signal.
fn report(process: &Process, signal: c_int) {
    let _ = io::write_all(process.control, &Short::of(&Signal { signal }));
}

/// Whether a signal is a fault of the process itself, after which it can't go on.
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
    let _ = kill(nix::unistd::getpid().as_raw(), signal);
}

extern "C" fn on_signal(signal: c_int, info: *mut siginfo_t, context: *mut c_void) {
    let errno = Errno::last_raw();
    // SAFETY: with SA_SIGINFO the kernel gives a valid siginfo.
    let info = unsafe { &*info };
    // SAFETY: this is the handler.
    unsafe { trap::refuse(signal, info, context) };
    if signal == guardian_died() && protect::is_root() && protect::parent_died() {
        orphaned();
    }
    match wanted::of(signal) {
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
            reap::reap(process, named);
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
