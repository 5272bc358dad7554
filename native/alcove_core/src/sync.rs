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
    use std::ops::{Deref, DerefMut};
    use std::sync::atomic::Ordering;

    use loom::sync::Condvar;
    pub use loom::sync::atomic::AtomicI64;
    use loom::sync::atomic::AtomicUsize;

    /// A mutex with the functions of parking_lot's. Loom's own lets a thread that only tries to
    /// take it wait, if another takes it at that moment.
    pub struct Mutex<T> {
        taken: loom::sync::Mutex<bool>,
        freed: Condvar,
        value: std::sync::Mutex<T>,
    }

    /// What holds a mutex.
    pub struct MutexGuard<'a, T> {
        mutex: &'a Mutex<T>,
        value: Option<std::sync::MutexGuard<'a, T>>,
    }

    impl<T> Mutex<T> {
        /// A mutex that nobody has.
        pub fn new(value: T) -> Self {
            Mutex {
                taken: loom::sync::Mutex::new(false),
                freed: Condvar::new(),
                value: std::sync::Mutex::new(value),
            }
        }

        /// Waits for it.
        pub fn lock(&self) -> MutexGuard<'_, T> {
            let mut taken = self.taken.lock().expect("no thread panicked");
            while *taken {
                taken = self.freed.wait(taken).expect("no thread panicked");
            }
            *taken = true;
            self.guard()
        }

        /// Takes it, if nobody has it.
        pub fn try_lock(&self) -> Option<MutexGuard<'_, T>> {
            let mut taken = self.taken.lock().expect("no thread panicked");
            if std::mem::replace(&mut *taken, true) {
                return None;
            }
            Some(self.guard())
        }

        fn guard(&self) -> MutexGuard<'_, T> {
            MutexGuard {
                mutex: self,
                value: Some(self.value.try_lock().expect("it is free")),
            }
        }

        /// What is in it.
        pub fn get_mut(&mut self) -> &mut T {
            self.value.get_mut().expect("no thread panicked")
        }
    }

    impl<T> Drop for MutexGuard<'_, T> {
        fn drop(&mut self) {
            self.value = None;
            *self.mutex.taken.lock().expect("no thread panicked") = false;
            self.mutex.freed.notify_one();
        }
    }

    impl<T> Deref for MutexGuard<'_, T> {
        type Target = T;
        fn deref(&self) -> &T {
            self.value.as_ref().expect("it is held")
        }
    }

    impl<T> DerefMut for MutexGuard<'_, T> {
        fn deref_mut(&mut self) -> &mut T {
            self.value.as_mut().expect("it is held")
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
