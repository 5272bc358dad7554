//! Names of error numbers, as Erlang's `posix()` has them.

use nix::errno::Errno;

/// The largest number a kernel gives.
pub const MAX: u16 = 4095;

/// The lower-case name of an error number: `eacces`. `None` when the platform has
/// no name for it.
pub fn name(number: u16) -> Option<String> {
    match Errno::from_raw(i32::from(number)) {
        Errno::UnknownErrno => None,
        errno => Some(format!("{errno:?}").to_ascii_lowercase()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_the_erlang_ones() {
        assert_eq!(name(libc::EACCES as u16).as_deref(), Some("eacces"));
        assert_eq!(name(libc::EAGAIN as u16).as_deref(), Some("eagain"));
        assert_eq!(name(MAX), None);
        assert_eq!(name(0), None);
    }
}
