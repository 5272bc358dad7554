//! The executable of alcove, which the NIF starts: a guardian, and below it the
//! tree of Unix processes that take calls.
//!
//! There are no threads here, ever: a process that forks must be whole.

mod child;
mod dispatch;
mod event_loop;
mod guardian;
mod memory;
mod process;
mod reply;
mod signals;
mod spawn;
mod sys;
mod tree;

#[global_allocator]
static ALLOCATOR: memory::Wiping = memory::Wiping;

fn main() {
    std::panic::set_hook(Box::new(|panic| {
        complain(format_args!("{panic}"));
        leave(101)
    }));
    memory::warm();
    sys::title::remember();
    if let Err(refusal) = guardian::run() {
        die(refusal);
    }
}

/// Ends the process at once: nothing that a parent of this process registered
/// to be done at its end is to be done here.
fn leave(status: i32) -> ! {
    // SAFETY: ends the process.
    unsafe { libc::_exit(status) }
}

/// Says what is wrong, on one line of stderr, and ends the process.
fn die(what: impl std::fmt::Display) -> ! {
    complain(format_args!("{what}"));
    leave(1)
}

fn complain(what: std::fmt::Arguments<'_>) {
    let mut line = format!("alcove: {what}").replace('\n', " ");
    line.push('\n');
    let _ = event_loop::write(libc::STDERR_FILENO, line.as_bytes());
}
