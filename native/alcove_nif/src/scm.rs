//! Control sockets: bytes, and file descriptors with them.

use std::collections::VecDeque;
use std::io::IoSlice;
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

use alcove_proto::frame;
use nix::errno::Errno;
use nix::sys::socket::{ControlMessage, MsgFlags, send, sendmsg};

/// The most descriptors that one message may bring: the channels of one process. The
/// kernel closes what there is no room for, before it takes numbers of the VM's.
const MAX_FDS: usize = frame::CHANNELS;

/// Bytes of control data for that many descriptors; 8-byte units keep it aligned.
const SPACE: usize = {
    let bytes = size_of::<libc::cmsghdr>() + MAX_FDS * size_of::<RawFd>();
    bytes.div_ceil(size_of::<u64>())
};

/// Sends without waiting, and without a SIGPIPE.
pub fn send_now(fd: BorrowedFd<'_>, bytes: &[u8]) -> Result<usize, Errno> {
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

/// Receives without waiting; descriptors that come along are appended to `fds`.
/// `Ok(0)` is the end of the stream.
pub fn receive(
    fd: BorrowedFd<'_>,
    buf: &mut [u8],
    fds: &mut VecDeque<OwnedFd>,
) -> Result<usize, Errno> {
    let mut space = MaybeUninit::<[u64; SPACE]>::uninit();
    let mut iov = libc::iovec {
        iov_base: buf.as_mut_ptr().cast(),
        iov_len: buf.len(),
    };
    // SAFETY: msghdr is plain data for which zero is a value; some platforms have padding in it.
    let mut message: libc::msghdr = unsafe { std::mem::zeroed() };
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
        if level == libc::SOL_SOCKET && kind == libc::SCM_RIGHTS {
            for i in 0..bytes / size_of::<RawFd>() {
                // SAFETY: the kernel put that many descriptors there, which are
                // open, new, and nobody else's.
                let fd =
                    unsafe { OwnedFd::from_raw_fd(data.cast::<RawFd>().add(i).read_unaligned()) };
                fds.push_back(fd);
            }
        }
        // SAFETY: as for CMSG_FIRSTHDR.
        header = unsafe { libc::CMSG_NXTHDR(&raw const message, header) };
    }
    Ok(received as usize)
}
