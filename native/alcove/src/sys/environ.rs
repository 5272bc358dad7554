//! The environment: what getenv(3) finds and an exec'ed program inherits.
//!
//! No process of this executable has a second thread that could use it meanwhile.

use super::exec::Strings;
use libc::c_char;
use nix::errno::Errno;
use std::ffi::{CStr, CString};

/// The C library's.
mod c {
    unsafe extern "C" {
        pub static mut environ: *const *const libc::c_char;
    }
}

/// The variables, as `NAME=value`.
///
/// # Safety
/// Nothing changes the environment as long as they are used.
pub unsafe fn variables<'a>() -> impl Iterator<Item = &'a CStr> {
    // SAFETY: there is one thread.
    let mut next = unsafe { c::environ };
    std::iter::from_fn(move || {
        // SAFETY: the list is null or ends with a null pointer, and its elements are C strings.
        unsafe {
            if next.is_null() || (*next).is_null() {
                return None;
            }
            let variable = CStr::from_ptr(*next);
            next = next.add(1);
            Some(variable)
        }
    })
}

/// Copies of all variables.
pub fn all() -> Vec<Vec<u8>> {
    // SAFETY: each is copied at once.
    unsafe { variables() }
        .map(|variable| variable.to_bytes().to_vec())
        .collect()
}

/// Whether a variable is in this range of addresses.
#[cfg(target_os = "linux")]
pub fn is_within(addresses: &std::ops::Range<usize>) -> bool {
    // SAFETY: nothing of them is used but where they are.
    unsafe { variables() }.any(|variable| addresses.contains(&variable.as_ptr().addr()))
}

/// getenv(3).
pub fn get(name: &CStr) -> Option<Vec<u8>> {
    // SAFETY: the value is null or a C string, and copied before anything can change it.
    unsafe {
        let value = libc::getenv(name.as_ptr());
        (!value.is_null()).then(|| CStr::from_ptr(value).to_bytes().to_vec())
    }
}

/// setenv(3).
pub fn set(name: &CStr, value: &CStr, overwrite: i32) -> nix::Result<()> {
    // SAFETY: both strings are copied.
    Errno::result(unsafe { libc::setenv(name.as_ptr(), value.as_ptr(), overwrite) }).map(drop)
}

/// unsetenv(3).
pub fn unset(name: &CStr) -> nix::Result<()> {
    // SAFETY: the name ends with a NUL.
    Errno::result(unsafe { libc::unsetenv(name.as_ptr()) }).map(drop)
}

/// clearenv(3).
pub fn clear() {
    // SAFETY: that there is no environment is said by a null pointer.
    unsafe { c::environ = std::ptr::null() };
}

/// Makes these the environment.
pub fn replace(variables: Vec<CString>) {
    let variables = variables.into_iter().map(CString::into_boxed_c_str);
    // SAFETY: they are never freed.
    unsafe { replace_by(&variables.map(|variable| &*Box::leak(variable)).collect()) };
}

/// Makes this the environment. The C library takes an environment that it didn't make for one that
/// it must copy.
///
/// # Safety
/// The strings are never freed.
pub unsafe fn replace_by(variables: &Strings<'_>) {
    let pointers: Vec<*const c_char> = variables.pointers().to_vec();
    // SAFETY: the caller's promise; the list ends with a null pointer and is never freed.
    unsafe { c::environ = pointers.leak().as_ptr() };
}
