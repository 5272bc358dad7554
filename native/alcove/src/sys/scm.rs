//! Descriptors that come through a local socket: cmsg(3), unix(7).

use libc::c_int;
use nix::errno::Errno;
use std::os::fd::{FromRawFd, OwnedFd, RawFd};

/// What was received.
pub struct Message {
    /// How many bytes; 0 at the end.
    pub length: usize,
    /// The descriptors that came with them. Exec closes them.
    pub fds: Vec<OwnedFd>,
    /// Some were lost: there was no room for them, or this process had no numbers left.
    pub cut: bool,
}

/// The most descriptors that one message is received with.
const MOST: usize = 4;

/// recvmsg(2): waits for bytes, and receives them with at most so many descriptors.
pub fn receive(socket: c_int, buffer: &mut [u8], most: usize) -> nix::Result<Message> {
    /// Units of 8 bytes keep the space aligned.
    const SPACE: usize = room(MOST).div_ceil(size_of::<u64>());
    let mut space = [0_u64; SPACE];
    let mut part = libc::iovec {
        iov_base: buffer.as_mut_ptr().cast(),
        iov_len: buffer.len(),
    };
    // SAFETY: msghdr is plain data for which zero is a value.
    let mut message: libc::msghdr = unsafe { std::mem::zeroed() };
    message.msg_iov = &raw mut part;
    message.msg_iovlen = 1;
    message.msg_control = space.as_mut_ptr().cast();
    message.msg_controllen = room(most.min(MOST)) as _;
    #[cfg(any(target_os = "linux", target_os = "android", target_os = "freebsd"))]
    let flags = libc::MSG_CMSG_CLOEXEC;
    #[cfg(not(any(target_os = "linux", target_os = "android", target_os = "freebsd")))]
    let flags = 0;
    // SAFETY: the header points at a buffer and at space that live until the call returns, and
    // are no shorter than it says.
    let n = Errno::result(unsafe { libc::recvmsg(socket, &raw mut message, flags) })?;
    // SAFETY: the kernel filled in the message, and nothing else owns these descriptors.
    let fds = unsafe {
        let fds = descriptors(&message).into_iter();
        fds.map(|fd| OwnedFd::from_raw_fd(fd)).collect()
    };
    Ok(Message {
        length: n as usize,
        fds,
        cut: message.msg_flags & libc::MSG_CTRUNC != 0,
    })
}

/// How many bytes so many descriptors take, with their header.
const fn room(fds: usize) -> usize {
    // SAFETY: reckons with a number.
    unsafe { libc::CMSG_SPACE((fds * size_of::<RawFd>()) as libc::c_uint) as usize }
}

/// The descriptors that came with a message.
///
/// # Safety
/// The kernel filled in the message, and its space is still there.
pub unsafe fn descriptors(message: &libc::msghdr) -> Vec<RawFd> {
    let mut fds = Vec::new();
    // SAFETY: the macros walk the space within msg_controllen, which the kernel set to what it
    // wrote.
    let mut next = unsafe { libc::CMSG_FIRSTHDR(message) };
    // SAFETY: a header that these macros give is inside the space and aligned.
    while let Some(header) = unsafe { next.as_ref() } {
        if (header.cmsg_level, header.cmsg_type) == (libc::SOL_SOCKET, libc::SCM_RIGHTS) {
            // SAFETY: cmsg_len covers the data behind the header, numbers of descriptors, as far as
            // they had room.
            unsafe {
                let data = libc::CMSG_DATA(next);
                let head = data as usize - next as usize;
                let end = message.msg_control as usize + message.msg_controllen as usize;
                let length = (header.cmsg_len as usize).min(end - next as usize);
                let count = length.saturating_sub(head) / size_of::<RawFd>();
                let data = data.cast::<RawFd>();
                fds.extend((0..count).map(|at| data.add(at).read_unaligned()));
            }
        }
        // SAFETY: as for the first.
        next = unsafe { libc::CMSG_NXTHDR(message, next) };
    }
    fds
}
