//! poll(2).

use super::io::user_fd;
use crate::process::Process;
use crate::reply::{List, Outcome, Tuple};
use crate::signals;
use crate::sys::poll::poll_numbers;
use alcove_proto::wire::Atom;
use alcove_proto::wire::arg::PollFd;
use nix::errno::Errno;
use std::time::{Duration, Instant};

/// What may have happened, by name.
const EVENTS: &[(libc::c_short, Atom)] = &[
    (libc::POLLIN, Atom::Pollin),
    (libc::POLLPRI, Atom::Pollpri),
    (libc::POLLOUT, Atom::Pollout),
    (libc::POLLERR, Atom::Pollerr),
    (libc::POLLHUP, Atom::Pollhup),
    (libc::POLLNVAL, Atom::Pollnval),
    #[cfg(target_os = "linux")]
    (libc::POLLRDHUP, Atom::Pollrdhup),
    (libc::POLLRDNORM, Atom::Pollrdnorm),
    (libc::POLLRDBAND, Atom::Pollrdband),
    (libc::POLLWRNORM, Atom::Pollwrnorm),
    (libc::POLLWRBAND, Atom::Pollwrband),
];

/// A descriptor, and what happened to it.
type Happened = Tuple<(i32, List<Atom>)>;

/// poll(2): waits until something happens to one of the descriptors, or for `timeout`
/// milliseconds; for ever if that is negative. `{ok, [{Fd, [Event]}]}`.
///
/// A trapped signal ends it with `eintr`.
pub fn poll(p: &mut Process, fds: Vec<PollFd>, timeout: i32) -> Outcome<List<Happened>> {
    let mut polled = Vec::with_capacity(fds.len());
    for PollFd { fd, events } in fds {
        let fd = user_fd(p, fd)?;
        polled.push(libc::pollfd {
            fd,
            events,
            revents: 0,
        });
    }
    wait(p, &mut polled, timeout)?;
    let happened = polled.iter().filter(|polled| polled.revents != 0);
    Ok(List(
        happened
            .map(|polled| Tuple((polled.fd, names(polled.revents))))
            .collect(),
    ))
}

fn names(happened: libc::c_short) -> List<Atom> {
    let mut names: Vec<Atom> = Vec::new();
    for (event, name) in EVENTS {
        if happened & event != 0 && !names.contains(name) {
            names.push(*name);
        }
    }
    List(names)
}

fn wait(p: &Process, polled: &mut [libc::pollfd], timeout: i32) -> nix::Result<()> {
    let all = u64::try_from(timeout).ok().map(Duration::from_millis);
    // Under a filter, reading the clock may be one system call too many.
    let start = all.filter(|_| !p.filtered).map(|_| Instant::now());
    let mut left = timeout;
    loop {
        match poll_numbers(polled, left) {
            // A signal that only alcove is interested in: wait for what is left of the time.
            Err(Errno::EINTR) if !signals::trapped_during_call() && !p.filtered => {
                if let Some((all, start)) = all.zip(start) {
                    // Rounded up, so that it isn't over before it is.
                    let rest = all
                        .saturating_sub(start.elapsed())
                        .as_micros()
                        .div_ceil(1000);
                    left = i32::try_from(rest).unwrap_or(timeout);
                }
            }
            result => return result,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::calls::testing::{CONTROL, process, text};
    use std::os::fd::AsRawFd;

    fn one(fd: i32, events: libc::c_short) -> Vec<PollFd> {
        vec![PollFd { fd, events }]
    }

    #[test]
    fn what_happened_is_told() {
        let mut p = process();
        let (reader, writer) = nix::unistd::pipe().expect("a pipe");
        let r = reader.as_raw_fd();
        assert_eq!(text(&poll(&mut p, one(r, libc::POLLIN), 0)), "{ok,[]}");
        nix::unistd::write(&writer, b"x").expect("write");
        let happened = poll(&mut p, one(r, libc::POLLIN), -1);
        assert_eq!(text(&happened), format!("{{ok,[{{{r},[pollin]}}]}}"));
        drop(writer);
        let happened = poll(&mut p, one(r, libc::POLLIN), -1);
        assert_eq!(
            text(&happened),
            format!("{{ok,[{{{r},[pollin,pollhup]}}]}}")
        );
        assert_eq!(
            text(&poll(&mut p, one(CONTROL, libc::POLLIN), 0)),
            "{error,ebadf}"
        );
    }

    #[test]
    fn timeouts_are_kept() {
        let start = Instant::now();
        assert_eq!(text(&poll(&mut process(), Vec::new(), 20)), "{ok,[]}");
        assert!(start.elapsed() >= Duration::from_millis(20));
    }
}
