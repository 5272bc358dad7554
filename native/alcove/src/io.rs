//! Writing to the control socket and to stderr.

use crate::sys::io;
use nix::errno::Errno;

/// Writes all of it. May be called in a signal handler.
pub fn write_all(to: i32, mut bytes: &[u8]) -> nix::Result<()> {
    while !bytes.is_empty() {
        match io::write(to, bytes) {
            Ok(n) => bytes = &bytes[n..],
            Err(Errno::EINTR) => {}
            Err(errno) => return Err(errno),
        }
    }
    Ok(())
}
