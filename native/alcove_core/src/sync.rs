//! The locks of what is also tested by loom, which tries every order in which threads can run.

#[cfg(not(all(loom, test)))]
pub use parking_lot::Mutex;

#[cfg(all(loom, test))]
pub use model::Mutex;

#[cfg(all(loom, test))]
mod model {
    use loom::sync::MutexGuard;

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
    }
}
