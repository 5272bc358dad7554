//! What ps(1) shows of a process: the memory that its arguments came in.

use super::environ;
use libc::c_char;
use nix::errno::Errno;
use std::ffi::CStr;
use std::ptr::null_mut;
use std::sync::atomic::{AtomicPtr, AtomicUsize, Ordering::Relaxed};

/// The memory of the arguments, how long it is, and how long with that of the
/// environment, which follows it.
static START: AtomicPtr<c_char> = AtomicPtr::new(null_mut());
static ARGUMENTS: AtomicUsize = AtomicUsize::new(0);
static WHOLE: AtomicUsize = AtomicUsize::new(0);

/// The C library's environment.
mod c {
    unsafe extern "C" {
        pub static mut environ: *mut *mut libc::c_char;
    }
}

/// The strings of a list that follow each other without a gap from `start` on: where
/// they end.
///
/// # Safety
/// `list` ends with a null pointer, and the rest of it points to strings.
unsafe fn end(mut list: *mut *mut c_char, start: *mut c_char) -> *mut c_char {
    let mut end = start;
    // SAFETY: the list ends with a null pointer, and its strings with a NUL.
    unsafe {
        while *list == end && !end.is_null() {
            end = end.add(CStr::from_ptr(end).count_bytes() + 1);
            list = list.add(1);
        }
    }
    end
}

/// Finds that memory, before anything changes the environment.
pub fn remember() {
    let count = std::env::args_os().len();
    // SAFETY: as long as nothing has changed the environment, `environ` is the list that
    // the kernel put behind the list of arguments and its null pointer.
    unsafe {
        let environment = c::environ;
        if count == 0 || environment.is_null() {
            return;
        }
        let arguments = environment.sub(count + 1);
        let start = *arguments;
        let middle = end(arguments, start);
        START.store(start, Relaxed);
        ARGUMENTS.store(middle.offset_from(start) as usize, Relaxed);
        WHOLE.store(
            end(environment, middle).offset_from(start) as usize,
            Relaxed,
        );
    }
}

/// Shows this, cut off where there is no more room; `ENOMEM` if there is none.
pub fn set(title: &[u8]) -> nix::Result<()> {
    let start = START.load(Relaxed);
    let whole = WHOLE.load(Relaxed);
    // Whether a variable of the environment is where the kernel put it.
    let length = if environ::is_within(&(start.addr()..start.addr() + whole)) {
        ARGUMENTS.load(Relaxed)
    } else {
        whole
    };
    if start.is_null() || length == 0 {
        return Err(Errno::ENOMEM);
    }
    let title = &title[..title.len().min(length - 1)];
    // SAFETY: the memory is the process's, so long, and nothing refers to it any more:
    // arguments were copied, and so were variables unless they were found to be there.
    unsafe {
        start.write_bytes(0, length);
        start
            .cast::<u8>()
            .copy_from_nonoverlapping(title.as_ptr(), title.len());
    }
    Ok(())
}
