//! Memory that is allocated before it is needed, and wiped when it is freed.
//!
//! A filter may forbid brk(2) and mmap(2), and the process must still answer. So
//! the heap is made large enough once and never shrinks below that. A process that is
//! forked later must not find data of earlier calls in its memory, so
//! everything that is freed is wiped.

use std::alloc::{GlobalAlloc, Layout, System};
use std::hint::black_box;

/// The system's allocator; freed memory is wiped.
pub struct Wiping;

// SAFETY: allocation and deallocation are the system allocator's; the default
// `realloc` goes through both.
unsafe impl GlobalAlloc for Wiping {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's promises are the ones asked for.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's promises are the ones asked for.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        // SAFETY: the block is `layout.size()` bytes long and still ours.
        unsafe { memory.write_bytes(0, layout.size()) };
        // The compiler may otherwise leave out writes to memory that is freed next.
        black_box(memory);
        // SAFETY: the caller's promises are the ones asked for.
        unsafe { System.dealloc(memory, layout) }
    }
}

/// Bytes of heap that are there from the start.
const WARM: usize = 256 * 1024;

/// Blocks of this size and more are mapped, and unmapped when freed, so that one
/// large call doesn't leave a large heap behind.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
const MAPPED: usize = 128 * 1024;

/// Warms the heap.
pub fn warm() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    // SAFETY: mallopt only sets parameters of the allocator.
    unsafe {
        libc::mallopt(libc::M_MMAP_THRESHOLD, MAPPED as i32);
        libc::mallopt(libc::M_TRIM_THRESHOLD, 4 * WARM as i32);
        libc::mallopt(libc::M_TOP_PAD, WARM as i32);
    }
    // The block is small enough not to be mapped; the padding makes the heap grow by WARM. Nothing
    // is written to it, so its pages take no memory yet.
    // SAFETY: the block is freed as it was got.
    unsafe { libc::free(black_box(libc::malloc(WARM / 4))) };
}

/// Overwrites what was in a buffer.
pub fn wipe(bytes: &mut [u8]) {
    bytes.fill(0);
    black_box(bytes);
}
