//! The executable of alcove, which the NIF starts: a guardian, and below it the
//! tree of Unix processes that take calls.
//!
//! No process of this executable ever has a second thread: fork(2) only copies the thread that
//! calls it, so the child would lack the others.
//!
//! The modules are in layers; docs/architecture.md has their order, and a test holds it.
//!
//! Unsafe code is only in the modules that allow it here, and in those of `calls` and `keeper` that
//! allow it there.
#![deny(unsafe_code)]

mod calls;
mod channels;
mod children;
mod descendants;
mod dispatch;
#[allow(unsafe_code)]
mod event_loop;
mod exit;
mod guardian;
mod init;
mod io;
mod keeper;
#[allow(unsafe_code)]
mod memory;
mod process;
mod procfs;
mod protect;
mod reap;
mod reply;
mod root;
#[allow(unsafe_code)]
mod signals;
mod spawn;
mod start;
#[allow(unsafe_code)]
mod sys;
mod wanted;

#[global_allocator]
static ALLOCATOR: memory::Wiping = memory::Wiping;

fn main() {
    std::panic::set_hook(Box::new(|panic| {
        exit::complain(format_args!("{panic}"));
        exit::leave(101)
    }));
    memory::warm();
    #[cfg(target_os = "linux")]
    sys::title::remember();
    if let Err(refusal) = guardian::run() {
        exit::die(refusal);
    }
}
