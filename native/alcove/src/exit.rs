//! How this process ends itself.

use crate::io;
use crate::sys::process;

/// Ends the process at once, without the exit handlers that a parent of this process may have
/// registered.
pub fn leave(status: i32) -> ! {
    process::exit(status)
}

/// Writes what is wrong to stderr, on one line, and ends the process.
pub fn die(what: impl std::fmt::Display) -> ! {
    complain(format_args!("{what}"));
    leave(1)
}

/// Writes what is wrong to stderr, on one line.
pub fn complain(what: std::fmt::Arguments<'_>) {
    let mut line = format!("alcove: {what}").replace('\n', " ");
    line.push('\n');
    let _ = io::write_all(libc::STDERR_FILENO, line.as_bytes());
}
