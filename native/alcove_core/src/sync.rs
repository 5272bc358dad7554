//! The locks of what is also tested by loom, which tries every order in which threads can run.

#[cfg(not(all(loom, test)))]
pub use std::sync::atomic::AtomicI64;

#[cfg(not(all(loom, test)))]
pub use parking_lot::{Mutex, MutexGuard};

#[cfg(all(loom, test))]
pub use model::{AtomicI64, Mutex, MutexGuard, kernel};

/// The kernel is about to be asked for something that another thread may change just before: loom
/// then tries both.
#[cfg(not(all(loom, test)))]
#[inline(always)]
pub fn kernel() {}

#[cfg(all(loom, test))]
mod model {
    use std::sync::atomic::Ordering;

    use loom::sync::atomic::AtomicUsize;
    pub use loom::sync::{MutexGuard, atomic::AtomicI64};

    /// A mutex of loom's with the functions of parking_lot's.
    pub struct Mutex<T>(loom::sync::Mutex<T>);

    impl<T> Mutex<T> {
        /// A mutex that nobody has.
        pub fn new(value: T) -> Self {
            Mutex(loom::sync::Mutex::new(value))
        }

        /// Waits for it.
        pub fn lock(&self) -> MutexGuard<'_, T> {
            self.0.lock().expect("a thread of the test panicked")
        }

        /// Takes it, if nobody has it.
        pub fn try_lock(&self) -> Option<MutexGuard<'_, T>> {
            self.0.try_lock().ok()
        }

        /// What is in it.
        pub fn get_mut(&mut self) -> &mut T {
            self.0.get_mut().expect("a thread of the test panicked")
        }
    }

    loom::lazy_static! {
        static ref KERNEL: AtomicUsize = AtomicUsize::new(0);
    }

    /// All that threads ask of the kernel is in some order, of which loom tries each.
    pub fn kernel() {
        KERNEL.fetch_add(1, Ordering::SeqCst);
    }
}
