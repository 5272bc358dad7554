//! Memory that is there before it is needed, and that is wiped when it is
//! given back.
//!
//! A process may lose brk(2) and mmap(2) to a filter and must still answer, so
//! the heap is warmed once and never shrinks below that. A process that is
//! forked later must not find in its memory what earlier calls were about, so
//! whatever is freed is wiped.

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
    // Small enough not to be mapped; the padding makes the heap grow by WARM. None of it is
    // written to, so the pages take no memory yet.
    // SAFETY: the block is freed as it was got.
    unsafe { libc::free(black_box(libc::malloc(WARM / 4))) };
}

/// Overwrites what was in a buffer.
pub fn wipe(bytes: &mut [u8]) {
    bytes.fill(0);
    black_box(bytes);
}
