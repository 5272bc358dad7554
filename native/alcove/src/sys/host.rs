//! What the kernel says of the machine. Linux only.

use libc::c_uint;
use nix::errno::Errno;

/// getdomainname(2): fills the buffer with a name and a NUL.
pub fn getdomainname(buffer: &mut [u8]) -> nix::Result<()> {
    // SAFETY: the buffer is as long as is said.
    Errno::result(unsafe { libc::getdomainname(buffer.as_mut_ptr().cast(), buffer.len()) })
        .map(drop)
}

/// setdomainname(2).
pub fn setdomainname(name: &[u8]) -> nix::Result<()> {
    // SAFETY: the name is as long as is said.
    Errno::result(unsafe { libc::setdomainname(name.as_ptr().cast(), name.len()) }).map(drop)
}

/// getrandom(2): how many bytes of the buffer it fills.
pub fn getrandom(buffer: &mut [u8], flags: c_uint) -> nix::Result<usize> {
    // SAFETY: the buffer is as long as is said.
    let n = unsafe { libc::getrandom(buffer.as_mut_ptr().cast(), buffer.len(), flags) };
    Errno::result(n).map(|n| n as usize)
}
