//! What ps(1) shows of a process: the memory that its arguments came in.

use crate::process::Process;
use crate::reply::Outcome;
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

unsafe extern "C" {
    static mut environ: *mut *mut c_char;
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
        let environment = environ;
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

/// Whether a variable of the environment is where the kernel put it.
fn environment_is_there(start: *mut c_char, length: usize) -> bool {
    let there = start.addr()..start.addr() + length;
    // SAFETY: the list is null or ends with a null pointer.
    unsafe {
        let mut list = environ;
        while !list.is_null() && !(*list).is_null() {
            if there.contains(&(*list).addr()) {
                return true;
            }
            list = list.add(1);
        }
    }
    false
}

/// setproctitle(3): what ps(1) shows as the process's command, cut off where there is no more
/// room: the arguments and the environment that alcove was started with had to fit there.
pub fn setproctitle(_: &mut Process, title: &CStr) -> Outcome {
    let start = START.load(Relaxed);
    let whole = WHOLE.load(Relaxed);
    let length = if environment_is_there(start, whole) {
        ARGUMENTS.load(Relaxed)
    } else {
        whole
    };
    if start.is_null() || length == 0 {
        return Err(Errno::ENOMEM.into());
    }
    let title = title.to_bytes();
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
