//! Files: making and removing names of them, and what is known about them.

use super::io::user_fd;
use crate::process::Process;
use crate::reply::{Map, Outcome, Value};
use crate::sys::file::{self, Stat};
use alcove_proto::wire::Atom;
use alcove_proto::wire::arg::FileTime;
use libc::c_int;
use nix::errno::Errno;
use nix::sys::stat::{Mode, SFlag};
use nix::sys::time::TimeSpec;
use nix::unistd::AccessFlags;
use std::ffi::CStr;

/// unlink(2).
pub fn unlink(_: &mut Process, path: &CStr) -> Outcome {
    Ok(nix::unistd::unlink(path)?)
}

/// link(2): a second name for a file.
pub fn link(_: &mut Process, path: &CStr, new: &CStr) -> Outcome {
    Ok(file::link(path, new)?)
}

/// symlink(2): `path` becomes a link to `target`.
pub fn symlink(_: &mut Process, target: &CStr, path: &CStr) -> Outcome {
    Ok(file::symlink(target, path)?)
}

/// readlink(2): what a symbolic link says.
pub fn readlink(_: &mut Process, path: &CStr) -> Outcome<Vec<u8>> {
    let mut target = vec![0; libc::PATH_MAX as usize];
    loop {
        let room = target.len();
        let n = file::readlink(path, &mut target)?;
        if n < room {
            target.truncate(n);
            return Ok(target);
        }
        // It may be longer than what there was room for.
        target.resize(room * 2, 0);
    }
}

/// rename(2).
pub fn rename(_: &mut Process, from: &CStr, to: &CStr) -> Outcome {
    Ok(file::rename(from, to)?)
}

/// mkfifo(3). The umask applies.
pub fn mkfifo(_: &mut Process, path: &CStr, mode: u32) -> Outcome {
    let mode = Mode::from_bits_retain(mode as libc::mode_t);
    Ok(nix::unistd::mkfifo(path, mode)?)
}

/// mknod(2): `mode` says the type of the file too. The umask applies.
pub fn mknod(_: &mut Process, path: &CStr, mode: u32, dev: u64) -> Outcome {
    #[allow(
        clippy::useless_conversion,
        reason = "the types differ between platforms"
    )]
    let (mode, dev) = (
        libc::mode_t::try_from(mode).map_err(|_| Errno::EINVAL)?,
        dev.try_into().map_err(|_| Errno::EINVAL)?,
    );
    let kind = SFlag::from_bits_retain(mode);
    Ok(nix::sys::stat::mknod(path, kind, Mode::empty(), dev)?)
}

/// access(2): whether the real user may use a file so.
pub fn access(_: &mut Process, path: &CStr, mode: u64) -> Outcome {
    let mode = c_int::try_from(mode).map_err(|_| Errno::EINVAL)?;
    let mode = AccessFlags::from_bits_retain(mode);
    Ok(nix::unistd::access(path, mode)?)
}

/// utimensat(2): when a file was accessed and modified last. The one flag is
/// `at_symlink_nofollow`.
pub fn utimens(
    _: &mut Process,
    path: &CStr,
    atime: FileTime,
    mtime: FileTime,
    flags: u64,
) -> Outcome {
    let times = [timespec(atime)?, timespec(mtime)?];
    let flags = c_int::try_from(flags).map_err(|_| Errno::EINVAL)?;
    Ok(file::utimens(path, times, flags)?)
}

const SECOND: i64 = 1_000_000_000;

fn timespec(time: FileTime) -> nix::Result<TimeSpec> {
    Ok(match time {
        FileTime::Now => TimeSpec::UTIME_NOW,
        FileTime::Omit => TimeSpec::UTIME_OMIT,
        FileTime::At(time) => {
            #[allow(clippy::useless_conversion, reason = "32 bits on some platforms")]
            let seconds = time.div_euclid(SECOND).try_into();
            let seconds = seconds.map_err(|_| Errno::EOVERFLOW)?;
            TimeSpec::new(seconds, time.rem_euclid(SECOND) as _)
        }
    })
}

/// What is known about a file.
type Known = Map<14>;

/// stat(2): of the file that a symbolic link leads to.
pub fn stat(_: &mut Process, path: &CStr) -> Outcome<Known> {
    Ok(known(&file::stat(path)?))
}

/// lstat(2): of a symbolic link itself.
pub fn lstat(_: &mut Process, path: &CStr) -> Outcome<Known> {
    Ok(known(&file::lstat(path)?))
}

/// fstat(2): of an open file.
pub fn fstat(p: &mut Process, fd: i32) -> Outcome<Known> {
    let fd = user_fd(p, fd)?;
    Ok(known(&file::fstat(fd)?))
}

#[allow(
    clippy::unnecessary_cast,
    clippy::useless_conversion,
    reason = "the types differ between platforms"
)]
fn known(stat: &Stat) -> Known {
    let time =
        |seconds: i64, nanos: i64| Value::Int(seconds.saturating_mul(SECOND).saturating_add(nanos));
    #[cfg(not(target_os = "netbsd"))]
    let nanos = (stat.st_atime_nsec, stat.st_mtime_nsec, stat.st_ctime_nsec);
    #[cfg(target_os = "netbsd")]
    let nanos = (stat.st_atimensec, stat.st_mtimensec, stat.st_ctimensec);
    Map([
        (Atom::Type, Value::Atom(kind(stat.st_mode as libc::mode_t))),
        (Atom::Mode, Value::Int(i64::from(stat.st_mode) & 0o7777)),
        (Atom::Uid, Value::Int(i64::from(stat.st_uid))),
        (Atom::Gid, Value::Int(i64::from(stat.st_gid))),
        (Atom::Size, Value::Int(stat.st_size as i64)),
        (Atom::Atime, time(stat.st_atime as i64, nanos.0 as i64)),
        (Atom::Mtime, time(stat.st_mtime as i64, nanos.1 as i64)),
        (Atom::Ctime, time(stat.st_ctime as i64, nanos.2 as i64)),
        (Atom::Dev, Value::Uint(stat.st_dev as u64)),
        (Atom::Ino, Value::Uint(stat.st_ino as u64)),
        (Atom::Nlink, Value::Uint(stat.st_nlink as u64)),
        (Atom::Rdev, Value::Uint(stat.st_rdev as u64)),
        (Atom::Blksize, Value::Int(stat.st_blksize as i64)),
        (Atom::Blocks, Value::Int(stat.st_blocks as i64)),
    ])
}

fn kind(mode: libc::mode_t) -> Atom {
    match mode & libc::S_IFMT {
        libc::S_IFREG => Atom::Regular,
        libc::S_IFDIR => Atom::Directory,
        libc::S_IFLNK => Atom::Symlink,
        libc::S_IFCHR => Atom::Character,
        libc::S_IFBLK => Atom::Block,
        libc::S_IFIFO => Atom::Fifo,
        libc::S_IFSOCK => Atom::Socket,
        _ => Atom::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::calls::testing::{Scratch, process, text};

    fn field(known: &Known, key: Atom) -> Value {
        let found = known.0.iter().find(|(name, _)| *name == key);
        found.expect("a field").1
    }

    #[test]
    fn names_come_and_go() {
        let mut p = process();
        let scratch = Scratch::new("file");
        let (a, b) = (scratch.at("a"), scratch.at("b"));
        std::fs::write(scratch.path().join("a"), "x").expect("write");
        assert_eq!(text(&link(&mut p, &a, &b)), "ok");
        assert_eq!(text(&link(&mut p, &a, &b)), "{error,eexist}");
        assert_eq!(text(&unlink(&mut p, &a)), "ok");
        assert_eq!(text(&rename(&mut p, &b, &a)), "ok");
        assert_eq!(text(&unlink(&mut p, &b)), "{error,enoent}");
        assert_eq!(text(&symlink(&mut p, c"where", &b)), "ok");
        assert_eq!(text(&readlink(&mut p, &b)), r#"{ok,"where"}"#);
        assert_eq!(text(&readlink(&mut p, &a)), "{error,einval}");
    }

    #[test]
    fn times_are_nanoseconds() {
        let mut p = process();
        let scratch = Scratch::new("utimens");
        let path = scratch.at("file");
        std::fs::write(scratch.path().join("file"), "").expect("write");
        let times = [-1, 0, 1_234_567_890_123_456_789];
        for time in times {
            let at = FileTime::At(time);
            assert_eq!(text(&utimens(&mut p, &path, at, at, 0)), "ok");
            let known = stat(&mut p, &path).expect("known");
            assert_eq!(field(&known, Atom::Mtime), Value::Int(time));
            assert_eq!(field(&known, Atom::Atime), Value::Int(time));
        }
        let omit = FileTime::Omit;
        assert_eq!(text(&utimens(&mut p, &path, FileTime::Now, omit, 0)), "ok");
        let known = stat(&mut p, &path).expect("known");
        assert_eq!(field(&known, Atom::Mtime), Value::Int(times[2]));
        assert_ne!(field(&known, Atom::Atime), Value::Int(times[2]));
    }

    #[test]
    fn types_have_names() {
        let mut p = process();
        let scratch = Scratch::new("stat");
        let fifo = scratch.at("fifo");
        assert_eq!(text(&mkfifo(&mut p, &fifo, 0o600)), "ok");
        for (path, kind) in [
            (fifo.as_c_str(), Atom::Fifo),
            (c"/dev/null", Atom::Character),
            (c"/", Atom::Directory),
        ] {
            let known = stat(&mut p, path).expect("known");
            assert_eq!(field(&known, Atom::Type), Value::Atom(kind));
        }
        assert_eq!(text(&fstat(&mut p, -1)), "{error,ebadf}");
    }
}
