//! What the core has of Erlang.

use std::hash::Hash;

/// The things of Erlang that the core keeps and gives back. It never looks into them, but for the
/// bytes of binaries.
pub trait Erlang: 'static {
    /// An Erlang process, which waits for an answer, or owns a Unix process.
    type Pid: Copy + Eq + Hash + Send + Sync;
    /// A term that outlives the call in which it was made: a reference or an outcome.
    type Term: Send;
    /// A binary that outlives the call in which it was passed.
    type Binary: Binary + Send;
    /// The bytes of a binary that is being made.
    type Buffer: Buffer;
}

/// A binary.
pub trait Binary {
    /// Passes its bytes to a function. `None` if it turns out to be no binary.
    fn with<R>(&self, function: impl FnOnce(&[u8]) -> R) -> Option<R>;
}

/// The bytes of a binary that is being made.
pub trait Buffer: Sized {
    /// One of so many bytes.
    fn new(length: usize) -> Self;

    /// Its bytes.
    fn bytes(&mut self) -> &mut [u8];
}
