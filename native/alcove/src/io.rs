//! Writing to the control socket and to stderr.

use nix::errno::Errno;

/// Writes all of it. May be called in a signal handler.
pub fn write_all(fd: i32, mut bytes: &[u8]) -> nix::Result<()> {
    while !bytes.is_empty() {
        // SAFETY: the buffer is as long as is said.
        match Errno::result(unsafe { libc::write(fd, bytes.as_ptr().cast(), bytes.len()) }) {
            Ok(n) => bytes = &bytes[n as usize..],
            Err(Errno::EINTR) => {}
            Err(errno) => return Err(errno),
        }
    }
    Ok(())
}
