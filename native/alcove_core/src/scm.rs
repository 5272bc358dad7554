//! Control sockets: bytes, and file descriptors with them.

use std::collections::VecDeque;
use std::io::IoSlice;
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

use nix::errno::Errno;
use nix::sys::socket::{ControlMessage, MsgFlags, send, sendmsg};

use crate::sync::kernel;

/// The most descriptors that one message may bring, SCM_MAX_FD of net/scm.h. There is room for all
/// of them: descriptors without room are closed by the kernel in the receiving call, which may take
/// any time.
const MAX_FDS: usize = 253;

/// Bytes for control data of other kinds: the credentials of the sender, its security label, a
/// pidfd of the sender. If the other side made the VM's end of the socket, it can ask for these.
const OTHERS: usize = 1024;

/// Units of control data; 8 bytes each keep it aligned.
const SPACE: usize = {
    let bytes = size_of::<libc::cmsghdr>() + MAX_FDS * size_of::<RawFd>() + OTHERS;
    bytes.div_ceil(size_of::<u64>())
};

/// Sends without waiting, and without a SIGPIPE.
pub fn send_now(fd: BorrowedFd<'_>, bytes: &[u8]) -> Result<usize, Errno> {
    kernel();
    loop {
        match send(
            fd.as_raw_fd(),
            bytes,
            MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL,
        ) {
            Err(Errno::EINTR) => continue,
            sent => return sent,
        }
    }
}

/// Sends bytes without waiting, and descriptors with the first of them.
pub fn send_fds_now(fd: BorrowedFd<'_>, bytes: &[u8], fds: &[OwnedFd]) -> Result<usize, Errno> {
    if fds.is_empty() {
        return send_now(fd, bytes);
    }
    let fds: Vec<RawFd> = fds.iter().map(AsRawFd::as_raw_fd).collect();
    let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL;
    let rights = [ControlMessage::ScmRights(&fds)];
    loop {
        match sendmsg::<()>(fd.as_raw_fd(), &[IoSlice::new(bytes)], &rights, flags, None) {
            Err(Errno::EINTR) => continue,
            sent => return sent,
        }
    }
}

/// Sends bytes and descriptors.
pub fn send_fds(fd: BorrowedFd<'_>, bytes: &[u8], fds: &[RawFd]) -> Result<usize, Errno> {
    let rights = [ControlMessage::ScmRights(fds)];
    sendmsg::<()>(
        fd.as_raw_fd(),
        &[IoSlice::new(bytes)],
        &rights,
        MsgFlags::MSG_NOSIGNAL,
        None,
    )
}

/// What was received.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Received {
    /// How many bytes; 0 is the end of the stream.
    pub bytes: usize,
    /// Something other than bytes and descriptors came along. alcove's own processes never cause
    /// that.
    pub strange: bool,
}

/// Whether descriptors come with what can be received next. They stay where they are.
pub fn brings_descriptors(fd: BorrowedFd<'_>) -> bool {
    let (mut byte, mut message) = (0_u8, empty());
    let mut iov = libc::iovec {
        iov_base: (&raw mut byte).cast(),
        iov_len: 1,
    };
    message.msg_iov = &raw mut iov;
    message.msg_iovlen = 1;
    let flags = libc::MSG_DONTWAIT | libc::MSG_PEEK;
    // SAFETY: the header points at one byte, which lives until the call returns, and at no
    // control space, so that no descriptor is made.
    let received = unsafe { libc::recvmsg(fd.as_raw_fd(), &raw mut message, flags) };
    received > 0 && message.msg_flags & libc::MSG_CTRUNC != 0
}

/// A header of no message.
fn empty() -> libc::msghdr {
    // SAFETY: msghdr is plain data for which zero is a value; some platforms have padding in it.
    unsafe { std::mem::zeroed() }
}

/// Receives without waiting; descriptors that come along, in whatever way, are appended to
/// `fds`.
pub fn receive(
    fd: BorrowedFd<'_>,
    buf: &mut [u8],
    fds: &mut VecDeque<OwnedFd>,
) -> Result<Received, Errno> {
    kernel();
    let mut space = MaybeUninit::<[u64; SPACE]>::uninit();
    let mut iov = libc::iovec {
        iov_base: buf.as_mut_ptr().cast(),
        iov_len: buf.len(),
    };
    let mut message = empty();
    message.msg_iov = &raw mut iov;
    message.msg_iovlen = 1;
    message.msg_control = space.as_mut_ptr().cast();
    message.msg_controllen = size_of::<[u64; SPACE]>() as _;
    #[cfg(any(target_os = "linux", target_os = "android", target_os = "freebsd"))]
    let flags = libc::MSG_DONTWAIT | libc::MSG_CMSG_CLOEXEC;
    #[cfg(not(any(target_os = "linux", target_os = "android", target_os = "freebsd")))]
    let flags = libc::MSG_DONTWAIT;

    let received = loop {
        // SAFETY: the header points at a buffer and at control space that live
        // until the call returns, with their true sizes.
        let n = unsafe { libc::recvmsg(fd.as_raw_fd(), &raw mut message, flags) };
        match Errno::result(n) {
            Err(Errno::EINTR) => continue,
            result => break result?,
        }
    };

    let mut strange = false;
    // SAFETY: the kernel filled in the header; the macros walk the control
    // space within msg_controllen, which the kernel set to what it wrote.
    let mut header = unsafe { libc::CMSG_FIRSTHDR(&raw const message) };
    while !header.is_null() {
        // SAFETY: a header that CMSG_FIRSTHDR or CMSG_NXTHDR gave is inside the
        // control space and aligned; cmsg_len covers the data behind it.
        let (level, kind, data, bytes) = unsafe {
            let start = libc::CMSG_DATA(header);
            let head = start as usize - header as usize;
            let bytes = ((*header).cmsg_len as usize).saturating_sub(head);
            ((*header).cmsg_level, (*header).cmsg_type, start, bytes)
        };
        let rights = level == libc::SOL_SOCKET && kind == libc::SCM_RIGHTS;
        strange |= !rights;
        if rights || level == libc::SOL_SOCKET && kind == SCM_PIDFD {
            for i in 0..bytes / size_of::<RawFd>() {
                // SAFETY: the kernel put that many numbers there.
                let fd = unsafe { data.cast::<RawFd>().add(i).read_unaligned() };
                // Instead of a pidfd there may be an error's number.
                if fd >= 0 {
                    // SAFETY: the descriptor is open, new, and nothing else owns it.
                    fds.push_back(unsafe { OwnedFd::from_raw_fd(fd) });
                }
            }
        }
        // SAFETY: as for CMSG_FIRSTHDR.
        header = unsafe { libc::CMSG_NXTHDR(&raw const message, header) };
    }
    Ok(Received {
        bytes: received as usize,
        strange,
    })
}

/// A message brings a descriptor of its sender: linux/socket.h since Linux 6.5.
#[cfg(any(target_os = "linux", target_os = "android"))]
const SCM_PIDFD: libc::c_int = 4;
/// There is no such thing.
#[cfg(not(any(target_os = "linux", target_os = "android")))]
const SCM_PIDFD: libc::c_int = -1;
