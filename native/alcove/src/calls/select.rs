//! select(2) for any number of descriptors.

use crate::process::Process;
use crate::reply::{Fail, List, Outcome, Reply, Term};
use crate::signals;
use crate::sys::fd::ensure_open;
use crate::sys::select::{self, Sets};
use alcove_proto::wire::arg::Timeval;
use alcove_proto::wire::{Atom, PutTerm};
use nix::errno::Errno;
use std::time::{Duration, Instant};

/// One more than the largest descriptor that may be asked about.
const MOST: i32 = 65_536;

/// `{ok, Readfds, Writefds, Exceptfds}`
#[derive(Debug)]
pub struct Selected(Outcome<[List<i32>; 3]>);

impl Reply for Selected {
    fn put_reply(&self, out: &mut Vec<u8>) {
        match &self.0 {
            Ok(ready) => {
                out.term_tuple(4);
                out.term_atom(Atom::Ok);
                for fds in ready {
                    fds.put(out);
                }
            }
            Err(fail) => fail.put(out),
        }
    }

    fn is_error(&self) -> bool {
        self.0.is_err()
    }
}

/// select(2): waits until one of the descriptors is ready, or for `timeout`; for
/// ever without one.
///
/// A trapped signal ends it with `{error, eintr}`. A descriptor that is not open is
/// `ebadf`, one of 65536 and above `einval`; there is no other limit.
pub fn select(
    p: &mut Process,
    readfds: Vec<i32>,
    writefds: Vec<i32>,
    exceptfds: Vec<i32>,
    timeout: Option<Timeval>,
) -> Selected {
    let asked = [readfds, writefds, exceptfds];
    let ready = wait(p, &asked, timeout).map(|sets| {
        std::array::from_fn(|at| {
            let fds = asked[at].iter().copied();
            List(fds.filter(|fd| sets.has(at, *fd)).collect())
        })
    });
    Selected(ready.map_err(Fail::from))
}

fn wait(p: &Process, asked: &[Vec<i32>; 3], timeout: Option<Timeval>) -> nix::Result<Sets> {
    for fd in asked.iter().flatten() {
        check(p, *fd)?;
    }
    let timeout = timeout.map(duration).transpose()?;
    // Under a filter, reading the clock may be one system call too many.
    let start = timeout.filter(|_| !p.filtered).map(|_| Instant::now());
    let mut left = timeout;
    loop {
        let mut sets = Sets::new(asked);
        match call(&mut sets, left) {
            // A signal that only alcove is interested in: wait for what is left of the time.
            Err(Errno::EINTR) if !signals::trapped_during_call() && !p.filtered => {
                left = timeout
                    .zip(start)
                    .map(|(all, start)| all.saturating_sub(start.elapsed()));
            }
            Err(errno) => return Err(errno),
            Ok(()) => return Ok(sets),
        }
    }
}

/// Refuses what the kernel can't be asked about.
fn check(p: &Process, fd: i32) -> nix::Result<()> {
    if fd < 0 || p.is_internal(fd) {
        return Err(Errno::EBADF);
    }
    if fd >= MOST {
        return Err(Errno::EINVAL);
    }
    // Linux passes over the descriptors that are beyond a process's table, and leaves them
    // in the sets as if they were ready. No table is smaller than a word.
    if fd as u32 >= select::BITS {
        ensure_open(fd)?;
    }
    Ok(())
}

fn duration(timeout: Timeval) -> nix::Result<Duration> {
    let part = |part: i64| u64::try_from(part).map_err(|_| Errno::EINVAL);
    let (seconds, micros) = (part(timeout.sec)?, part(timeout.usec)?);
    let sum = Duration::from_secs(seconds).checked_add(Duration::from_micros(micros));
    sum.ok_or(Errno::EINVAL)
}

fn call(sets: &mut Sets, timeout: Option<Duration>) -> nix::Result<()> {
    let timeout = match timeout {
        Some(timeout) => Some(libc::timeval {
            tv_sec: timeout.as_secs().try_into().map_err(|_| Errno::EINVAL)?,
            // Below a million, whatever the type.
            tv_usec: timeout.subsec_micros() as _,
        }),
        None => None,
    };
    select::select(sets, timeout)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::calls::testing::{CONTROL, in_child, process, text};
    use crate::sys::fd::dup2;
    use std::os::fd::AsRawFd;

    const NOW: Option<Timeval> = Some(Timeval { sec: 0, usec: 0 });

    fn one(fd: i32) -> Vec<i32> {
        vec![fd]
    }

    fn none() -> Vec<i32> {
        Vec::new()
    }

    #[test]
    fn what_is_ready_is_told() {
        let mut p = process();
        let (reader, writer) = nix::unistd::pipe().expect("a pipe");
        let (r, w) = (reader.as_raw_fd(), writer.as_raw_fd());
        assert_eq!(
            text(&select(&mut p, one(r), none(), none(), NOW)),
            "{ok,[],[],[]}"
        );
        let ready = select(&mut p, one(r), one(w), vec![r, w], None);
        assert_eq!(text(&ready), format!("{{ok,[],[{w}],[]}}"));
        nix::unistd::write(&writer, b"x").expect("write");
        let ready = select(&mut p, one(r), one(w), none(), None);
        assert_eq!(text(&ready), format!("{{ok,[{r}],[{w}],[]}}"));
    }

    #[test]
    fn descriptors_have_no_limit() {
        in_child(|| {
            let mut p = process();
            let (hard, fd) = (nix::sys::resource::Resource::RLIMIT_NOFILE, 5000);
            let (_, most) = nix::sys::resource::getrlimit(hard).expect("a limit");
            if most <= fd as u64 {
                return;
            }
            nix::sys::resource::setrlimit(hard, most, most).expect("a higher limit");
            let (reader, writer) = nix::unistd::pipe().expect("a pipe");
            assert_eq!(dup2(reader.as_raw_fd(), fd), Ok(fd));
            assert_eq!(dup2(writer.as_raw_fd(), fd + 1), Ok(fd + 1));
            let ready = select(&mut p, one(fd), one(fd + 1), one(fd), NOW);
            assert_eq!(text(&ready), "{ok,[],[5001],[]}");
            nix::unistd::write(&writer, b"x").expect("write");
            let ready = select(&mut p, one(fd), one(fd + 1), one(fd), None);
            assert_eq!(text(&ready), "{ok,[5000],[5001],[]}");
        });
    }

    #[test]
    fn wrong_descriptors_are_refused() {
        in_child(|| {
            let mut p = process();
            let (reader, _) = nix::unistd::pipe().expect("a pipe");
            let closed = reader.as_raw_fd();
            drop(reader);
            for fd in [-1, i32::MIN, closed, 64, 1023, 1024, 65_535] {
                let _ = nix::unistd::close(fd);
                for at in 0..3 {
                    let mut fds = [none(), none(), none()];
                    fds[at].push(fd);
                    let [read, write, except] = fds;
                    let answer = select(&mut p, read, write, except, NOW);
                    assert_eq!(text(&answer), "{error,ebadf}", "{fd}");
                }
            }
            for fd in [65_536, i32::MAX] {
                assert_eq!(
                    text(&select(&mut p, one(fd), none(), none(), NOW)),
                    "{error,einval}"
                );
            }
            assert_eq!(dup2(1, CONTROL), Ok(CONTROL));
            assert_eq!(
                text(&select(&mut p, none(), one(CONTROL), none(), NOW)),
                "{error,ebadf}"
            );
        });
    }

    #[test]
    fn timeouts_are_kept() {
        let mut p = process();
        let start = Instant::now();
        let timeout = Some(Timeval {
            sec: 0,
            usec: 20_000,
        });
        assert_eq!(
            text(&select(&mut p, none(), none(), none(), timeout)),
            "{ok,[],[],[]}"
        );
        assert!(start.elapsed() >= Duration::from_millis(20));
        for (sec, usec) in [(-1, 0), (0, -1), (i64::MAX, i64::MAX), (i64::MIN, i64::MIN)] {
            let timeout = Some(Timeval { sec, usec });
            assert_eq!(
                text(&select(&mut p, none(), none(), none(), timeout)),
                "{error,einval}"
            );
        }
    }

    #[test]
    #[allow(unsafe_code)]
    fn other_signals_do_not_shorten_the_time() {
        extern "C" fn nothing(_: libc::c_int) {}
        in_child(|| {
            let mut p = process();
            let handler = nothing as *const () as libc::sighandler_t;
            let every = libc::timeval {
                tv_sec: 0,
                tv_usec: 5_000,
            };
            let timer = libc::itimerval {
                it_interval: every,
                it_value: every,
            };
            // SAFETY: the handler does nothing, and the timer's structure is ours.
            unsafe {
                libc::signal(libc::SIGALRM, handler);
                libc::setitimer(libc::ITIMER_REAL, &timer, std::ptr::null_mut());
            }
            let start = Instant::now();
            let timeout = Some(Timeval {
                sec: 0,
                usec: 50_000,
            });
            assert_eq!(
                text(&select(&mut p, none(), none(), none(), timeout)),
                "{ok,[],[],[]}"
            );
            assert!(start.elapsed() >= Duration::from_millis(50));
            p.filtered = true;
            assert_eq!(
                text(&select(&mut p, none(), none(), none(), timeout)),
                "{error,eintr}"
            );
        });
    }
}
