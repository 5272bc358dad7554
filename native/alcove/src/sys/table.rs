//! A table for code that may not allocate: memory that the kernel gives it, and nothing else uses.

use std::ptr::null_mut;

/// A table with room for so many entries. Only the pages that are used take memory. Signal-safe.
pub struct Table<T: Copy> {
    entries: *mut T,
    length: usize,
    room: usize,
}

impl<T: Copy> Table<T> {
    /// An empty one; `None` if there is no memory.
    pub fn new(room: usize) -> Option<Table<T>> {
        // What mmap(2) returns is aligned to pages.
        const { assert!(align_of::<T>() <= 4096) };
        let size = room.checked_mul(size_of::<T>())?;
        let protection = libc::PROT_READ | libc::PROT_WRITE;
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;
        // SAFETY: maps memory that nothing else uses.
        let memory = unsafe { libc::mmap(null_mut(), size, protection, flags, -1, 0) };
        (memory != libc::MAP_FAILED).then(|| Table {
            entries: memory.cast(),
            length: 0,
            room,
        })
    }

    /// Appends an entry, unless the table is full.
    pub fn push(&mut self, entry: T) {
        if self.length < self.room {
            // SAFETY: there is room.
            unsafe { self.entries.add(self.length).write(entry) };
            self.length += 1;
        }
    }

    /// What was appended.
    pub fn entries(&mut self) -> &mut [T] {
        // SAFETY: `length` entries were written, and the table is borrowed.
        unsafe { std::slice::from_raw_parts_mut(self.entries, self.length) }
    }
}

impl<T: Copy> Drop for Table<T> {
    fn drop(&mut self) {
        // SAFETY: mapped by `new`, and nothing refers to it any more.
        unsafe { libc::munmap(self.entries.cast(), self.room * size_of::<T>()) };
    }
}
