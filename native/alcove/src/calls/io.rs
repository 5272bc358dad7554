//! File descriptors.
//!
//! The control socket is not the user's: calls on it answer as if it was not open.

use crate::process::Process;
use crate::reply::Outcome;
use crate::sys::io::{self, Offset};
use alcove_proto::frame::MAX_DATA;
use libc::c_int;
use nix::errno::Errno;
use std::ffi::CStr;
use std::os::fd::{AsRawFd, IntoRawFd, OwnedFd};

pub use super::select::select;

/// The descriptor, unless it is alcove's own.
pub fn user_fd(p: &Process, fd: i32) -> nix::Result<c_int> {
    if p.is_internal(fd) {
        Err(Errno::EBADF)
    } else {
        Ok(fd)
    }
}

/// open(2). The descriptor is inherited by what the process forks and execs, the
/// latter unless `o_cloexec` is among the flags.
pub fn open(_: &mut Process, path: &CStr, flags: u64, mode: u32) -> Outcome<i32> {
    Ok(opened(path, flags, mode)?.into_raw_fd())
}

fn opened(path: &CStr, flags: u64, mode: u32) -> nix::Result<OwnedFd> {
    let flags = c_int::try_from(flags).map_err(|_| Errno::EINVAL)?;
    io::open(path, flags, mode)
}

/// What is in a file: open(2), read(2) to its end, and close(2). EFBIG if that is more than
/// [`MAX_DATA`] bytes, or under a filter more than [`FILTERED`].
///
/// Files that the kernel generates when they are read have no size, so this reads until nothing
/// comes.
pub fn read_file(p: &mut Process, path: &CStr) -> Outcome<Vec<u8>> {
    let file = opened(path, (libc::O_RDONLY | libc::O_CLOEXEC) as u64, 0)?;
    let longest = if p.filtered { FILTERED } else { MAX_DATA };
    let mut bytes = Vec::new();
    loop {
        let mut piece = read(p, file.as_raw_fd(), FILTERED)?;
        if piece.is_empty() {
            return Ok(bytes);
        }
        if bytes.len() + piece.len() > longest {
            return Err(Errno::EFBIG.into());
        }
        bytes.try_reserve(piece.len()).map_err(|_| Errno::ENOMEM)?;
        bytes.append(&mut piece);
    }
}

/// open(2) for writing, with other flags besides, write(2) until all is written, and close(2).
///
/// What the kernel takes at once, it gets at once: a file of proc(5) or cgroups(7) gets one
/// command.
pub fn write_file(p: &mut Process, path: &CStr, flags: u64, mode: u32, buf: &[u8]) -> Outcome {
    let access = flags & libc::O_ACCMODE as u64;
    if access != 0 && access != libc::O_WRONLY as u64 {
        return Err(Errno::EINVAL.into());
    }
    let flags = flags | (libc::O_WRONLY | libc::O_CLOEXEC) as u64;
    let file = opened(path, flags, mode)?;
    let mut left = buf;
    loop {
        let n = write(p, file.as_raw_fd(), left)?;
        left = left.get(n as usize..).unwrap_or_default();
        if left.is_empty() {
            break;
        }
        if n == 0 {
            return Err(Errno::EIO.into());
        }
    }
    // Some file systems only say now that it wasn't written.
    close(p, file.into_raw_fd())
}

/// close(2). It is made once: after an error too the descriptor is gone.
pub fn close(p: &mut Process, fd: i32) -> Outcome {
    let fd = user_fd(p, fd)?;
    Ok(nix::unistd::close(fd)?)
}

/// read(2): at most `count` bytes; none at the end of a file.
///
/// One read is made, so that fewer bytes may come than there are. Under a filter
/// at most [`FILTERED`] bytes come, for which no memory has to be mapped.
pub fn read(p: &mut Process, fd: i32, count: usize) -> Outcome<Vec<u8>> {
    let fd = user_fd(p, fd)?;
    Ok(io::read_new(fd, most(p, fd, count))?)
}

/// For how many bytes there has to be room to read `count`: no more memory is taken
/// than can be filled, and under a filter none that would have to be mapped.
pub(super) fn most(p: &Process, fd: c_int, count: usize) -> usize {
    match count.min(MAX_DATA) {
        count if count <= FILTERED => count,
        _ if p.filtered => FILTERED,
        count => io::available(fd).map_or(count, |available| count.min(available.max(FILTERED))),
    }
}

/// The most bytes that are read under a filter.
pub const FILTERED: usize = 16 * 1024;

/// write(2): how many bytes were written, which may be fewer than there are.
pub fn write(p: &mut Process, fd: i32, buf: &[u8]) -> Outcome<i64> {
    let fd = user_fd(p, fd)?;
    Ok(io::write(fd, buf)? as i64)
}

/// A place in a file, if the platform has a number for it.
#[allow(
    clippy::useless_conversion,
    clippy::unnecessary_fallible_conversions,
    reason = "offsets have 32 bits on some platforms"
)]
pub(super) fn offset(offset: i64) -> nix::Result<Offset> {
    Offset::try_from(offset).map_err(|_| Errno::EOVERFLOW)
}

/// lseek(2).
pub fn lseek(p: &mut Process, fd: i32, offset: i64, whence: u64) -> Outcome {
    let fd = user_fd(p, fd)?;
    let offset = self::offset(offset)?;
    let whence = c_int::try_from(whence).map_err(|_| Errno::EINVAL)?;
    Ok(io::lseek(fd, offset, whence)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::calls::testing::{CONTROL, Scratch, in_child, process, text};
    use crate::sys::fd::{borrow, dup2, ensure_open};
    use crate::sys::io::available;
    use nix::fcntl::FcntlArg;

    const READ: u64 = libc::O_RDONLY as u64;
    const CREATE: u64 = (libc::O_RDWR | libc::O_CREAT | libc::O_EXCL) as u64;

    #[test]
    fn files_are_written_and_read() {
        let mut p = process();
        let scratch = Scratch::new("io");
        let path = scratch.at("file");
        let file = opened(&path, CREATE, 0o600).expect("a descriptor");
        let fd = file.as_raw_fd();
        assert_eq!(text(&open(&mut p, &path, CREATE, 0o600)), "{error,eexist}");
        assert_eq!(text(&write(&mut p, fd, b"hello\n")), "{ok,6}");
        assert_eq!(text(&read(&mut p, fd, 10)), r#"{ok,""}"#);
        assert_eq!(text(&lseek(&mut p, fd, -5, libc::SEEK_END as u64)), "ok");
        assert_eq!(text(&read(&mut p, fd, 0)), r#"{ok,""}"#);
        assert_eq!(text(&read(&mut p, fd, 3)), r#"{ok,"ell"}"#);
        assert_eq!(text(&read(&mut p, fd, usize::MAX)), r#"{ok,"o\n"}"#);
        assert_eq!(
            text(&lseek(&mut p, fd, -1, libc::SEEK_SET as u64)),
            "{error,einval}"
        );
        assert_eq!(text(&lseek(&mut p, fd, 0, 99)), "{error,einval}");
        assert_eq!(text(&lseek(&mut p, fd, 0, u64::MAX)), "{error,einval}");
        assert_eq!(
            text(&lseek(&mut p, fd, 1 << 40, libc::SEEK_SET as u64)),
            "ok"
        );
    }

    #[test]
    fn whole_files_are_written_and_read() {
        let mut p = process();
        let scratch = Scratch::new("whole");
        let path = scratch.at("file");
        let create = (libc::O_CREAT | libc::O_TRUNC) as u64;
        let append = libc::O_APPEND as u64;
        assert_eq!(text(&read_file(&mut p, &path)), "{error,enoent}");
        assert_eq!(
            text(&write_file(&mut p, &path, 0, 0, b"x")),
            "{error,enoent}"
        );
        assert_eq!(
            text(&write_file(&mut p, &path, create, 0o600, b"one\n")),
            "ok"
        );
        assert_eq!(text(&write_file(&mut p, &path, append, 0, b"two\n")), "ok");
        assert_eq!(text(&write_file(&mut p, &path, 0, 0, b"O")), "ok");
        assert_eq!(text(&read_file(&mut p, &path)), r#"{ok,"One\ntwo\n"}"#);
        assert_eq!(text(&write_file(&mut p, &path, create, 0, b"")), "ok");
        assert_eq!(text(&read_file(&mut p, &path)), r#"{ok,""}"#);
        for access in [libc::O_RDWR, libc::O_ACCMODE] {
            assert_eq!(
                text(&write_file(&mut p, &path, access as u64, 0, b"x")),
                "{error,einval}"
            );
        }
    }

    #[test]
    fn a_file_that_is_too_large_is_not_read() {
        let mut p = process();
        let scratch = Scratch::new("large");
        let path = scratch.at("file");
        let bytes: Vec<u8> = (0..MAX_DATA).map(|at| at as u8).collect();
        let create = libc::O_CREAT as u64;
        assert_eq!(write_file(&mut p, &path, create, 0o600, &bytes), Ok(()));
        assert_eq!(read_file(&mut p, &path), Ok(bytes));
        let append = libc::O_APPEND as u64;
        assert_eq!(write_file(&mut p, &path, append, 0, b"x"), Ok(()));
        assert_eq!(text(&read_file(&mut p, &path)), "{error,efbig}");
        assert_eq!(text(&read_file(&mut p, c"/dev/zero")), "{error,efbig}");
        assert_eq!(text(&read_file(&mut p, c"/")), "{error,eisdir}");
        p.filtered = true;
        let create = (libc::O_CREAT | libc::O_TRUNC) as u64;
        assert_eq!(write_file(&mut p, &path, create, 0, &[7; FILTERED]), Ok(()));
        assert_eq!(read_file(&mut p, &path), Ok(vec![7; FILTERED]));
        assert_eq!(write_file(&mut p, &path, append, 0, b"x"), Ok(()));
        assert_eq!(text(&read_file(&mut p, &path)), "{error,efbig}");
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn files_of_the_kernel_have_no_size() {
        let mut p = process();
        let maps = read_file(&mut p, c"/proc/self/status").expect("a text");
        assert!(maps.starts_with(b"Name:"));
        assert_eq!(
            text(&write_file(&mut p, c"/dev/full", 0, 0, b"x")),
            "{error,enospc}"
        );
    }

    #[test]
    fn descriptors_are_the_users() {
        in_child(|| {
            let mut p = process();
            let fd = open(&mut p, c"/dev/null", READ, 0).expect("a descriptor");
            let flags = |fd| nix::fcntl::fcntl(borrow(fd), FcntlArg::F_GETFD);
            assert_eq!(flags(fd), Ok(0));
            assert_eq!(text(&close(&mut p, fd)), "ok");
            assert_eq!(text(&close(&mut p, fd)), "{error,ebadf}");
            let cloexec = libc::O_CLOEXEC as u64;
            let fd = open(&mut p, c"/dev/null", READ | cloexec, 0).expect("a descriptor");
            assert_eq!(flags(fd), Ok(libc::FD_CLOEXEC));
        });
    }

    #[test]
    fn the_control_socket_is_not() {
        in_child(|| {
            let mut p = process();
            assert_eq!(dup2(1, CONTROL), Ok(CONTROL));
            assert_eq!(text(&read(&mut p, CONTROL, 1)), "{error,ebadf}");
            assert_eq!(text(&write(&mut p, CONTROL, b"")), "{error,ebadf}");
            assert_eq!(text(&lseek(&mut p, CONTROL, 0, 0)), "{error,ebadf}");
            assert_eq!(text(&close(&mut p, CONTROL)), "{error,ebadf}");
            assert_eq!(ensure_open(CONTROL), Ok(()));
        });
    }

    #[test]
    fn wrong_descriptors_and_flags_are_refused() {
        let mut p = process();
        for fd in [-1, i32::MIN, i32::MAX] {
            assert_eq!(text(&read(&mut p, fd, 1)), "{error,ebadf}");
            assert_eq!(text(&write(&mut p, fd, b"x")), "{error,ebadf}");
            assert_eq!(text(&lseek(&mut p, fd, 0, 0)), "{error,ebadf}");
            assert_eq!(text(&close(&mut p, fd)), "{error,ebadf}");
        }
        assert_eq!(text(&open(&mut p, c"/nonesuch", READ, 0)), "{error,enoent}");
        assert_eq!(
            text(&open(&mut p, c"/dev/null", u64::MAX, 0)),
            "{error,einval}"
        );
    }

    #[test]
    fn a_large_count_takes_no_more_memory_than_there_are_bytes() {
        let mut p = process();
        let scratch = Scratch::new("count");
        let file = opened(&scratch.at("file"), CREATE, 0o600).expect("a descriptor");
        assert_eq!(available(file.as_raw_fd()), Some(0));
        let bytes = vec![7; 1024 * 1024];
        assert_eq!(
            write(&mut p, file.as_raw_fd(), &bytes),
            Ok(bytes.len() as i64)
        );
        assert_eq!(available(file.as_raw_fd()), Some(bytes.len()));
        assert_eq!(lseek(&mut p, file.as_raw_fd(), 0, 0), Ok(()));
        assert_eq!(read(&mut p, file.as_raw_fd(), MAX_DATA), Ok(bytes));

        let (reader, writer) = nix::unistd::pipe().expect("a pipe");
        assert_eq!(write(&mut p, writer.as_raw_fd(), b"abc"), Ok(3));
        assert_eq!(available(reader.as_raw_fd()), Some(3));
        assert_eq!(
            read(&mut p, reader.as_raw_fd(), MAX_DATA),
            Ok(b"abc".to_vec())
        );
    }

    #[test]
    fn what_has_no_size_is_read_as_asked() {
        let mut p = process();
        let zero = opened(c"/dev/zero", READ, 0).expect("a descriptor");
        assert_eq!(
            read(&mut p, zero.as_raw_fd(), 100_000).map(|bytes| bytes.len()),
            Ok(100_000)
        );
        p.filtered = true;
        assert_eq!(
            read(&mut p, zero.as_raw_fd(), 100_000).map(|bytes| bytes.len()),
            Ok(FILTERED)
        );
    }
}
