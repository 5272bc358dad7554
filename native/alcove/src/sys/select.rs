//! select(2) for any number of descriptors.

use libc::c_int;
use nix::errno::Errno;
use std::ptr::null_mut;

/// What is asked about reading, writing and exceptions; afterwards, what is ready.
pub struct Sets {
    sets: [FdSet; 3],
    /// One more than the largest of the descriptors.
    count: c_int,
}

impl Sets {
    /// Sets of these descriptors, none of which is negative.
    pub fn new(asked: &[Vec<i32>; 3]) -> Self {
        let largest = asked.iter().flatten().max();
        let count = largest.map_or(0, |largest| largest + 1);
        Sets {
            sets: asked.each_ref().map(|fds| FdSet::new(fds, count)),
            count,
        }
    }

    /// Whether a descriptor is in one of the sets.
    pub fn has(&self, set: usize, fd: i32) -> bool {
        self.sets[set].has(fd)
    }
}

/// select(2): waits for so long at most; for ever without a limit.
pub fn select(sets: &mut Sets, mut limit: Option<libc::timeval>) -> nix::Result<()> {
    let limit = limit.as_mut().map_or(null_mut(), |limit| &raw mut *limit);
    let count = sets.count;
    let [read, write, except] = sets.sets.each_mut().map(FdSet::pointer);
    // SAFETY: every set is null or has room for `count` descriptors.
    Errno::result(unsafe { libc::select(count, read, write, except, limit) }).map(drop)
}

/// What an fd_set consists of.
#[cfg(any(
    target_os = "linux",
    target_os = "android",
    target_os = "freebsd",
    target_os = "dragonfly"
))]
type Word = libc::c_ulong;
#[cfg(not(any(
    target_os = "linux",
    target_os = "android",
    target_os = "freebsd",
    target_os = "dragonfly"
)))]
type Word = u32;

/// How many descriptors there is room for in a word.
pub const BITS: u32 = Word::BITS;

/// An fd_set as large as is needed. The C library's ends at 1023.
struct FdSet(Vec<Word>);

impl FdSet {
    /// A set of descriptors that are not negative and less than `count`.
    fn new(fds: &[i32], count: i32) -> Self {
        if fds.is_empty() {
            return FdSet(Vec::new());
        }
        let mut words = vec![0; count as usize / BITS as usize + 1];
        for fd in fds {
            let (word, bit) = Self::place(*fd);
            words[word] |= bit;
        }
        FdSet(words)
    }

    fn has(&self, fd: i32) -> bool {
        let (word, bit) = Self::place(fd);
        self.0.get(word).is_some_and(|word| word & bit != 0)
    }

    fn place(fd: i32) -> (usize, Word) {
        let fd = fd as u32;
        ((fd / BITS) as usize, 1 << (fd % BITS))
    }

    /// The set for the kernel; null when it is empty.
    fn pointer(&mut self) -> *mut libc::fd_set {
        if self.0.is_empty() {
            null_mut()
        } else {
            self.0.as_mut_ptr().cast()
        }
    }
}
