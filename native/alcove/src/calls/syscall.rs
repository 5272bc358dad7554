//! Any system call.

use super::cred::keeping;
use super::ptr::{Argument, Budget};
use crate::process::Process;
use crate::reply::{Flat, List, Outcome};
use crate::sys::any;
use alcove_proto::wire::arg::Ptr;
use libc::c_long;
use nix::errno::Errno;

/// syscall(2): `{ok, Returned, Args}`. Numbers are passed as they are, bytes and structures as
/// pointers to copies of them, as by prctl; arguments that aren't given are 0.
///
/// `einval` for what would make a second process of this one behind alcove's back: fork and
/// clone are calls of their own.
pub fn syscall(p: &mut Process, number: u64, args: Vec<Ptr<'_>>) -> Flat<(i64, List<Argument>)> {
    Flat(make(p, number, args))
}

fn forks(number: c_long) -> bool {
    #[cfg(any(target_arch = "x86_64", target_arch = "x86", target_arch = "arm"))]
    if number == libc::SYS_fork || number == libc::SYS_vfork {
        return true;
    }
    number == libc::SYS_clone || number == libc::SYS_clone3
}

/// Whether a call puts the process under a filter.
fn filters(number: c_long, words: &[usize; 6]) -> bool {
    let [first, ..] = *words;
    (number == libc::SYS_seccomp && first <= libc::SECCOMP_SET_MODE_FILTER as usize)
        || (number == libc::SYS_prctl && first == libc::PR_SET_SECCOMP as usize)
}

/// Whether a call may change the limit of open files.
fn limits(number: c_long) -> bool {
    #[cfg(not(target_arch = "loongarch64"))]
    if number == libc::SYS_setrlimit {
        return true;
    }
    number == libc::SYS_prlimit64
}

fn make(p: &mut Process, number: u64, args: Vec<Ptr<'_>>) -> Outcome<(i64, List<Argument>)> {
    let number = c_long::try_from(number).map_err(|_| Errno::ENOSYS)?;
    if forks(number) {
        return Err(Errno::EINVAL.into());
    }
    let mut budget = Budget::new();
    let mut arguments = Vec::with_capacity(args.len());
    let mut words = [0; 6];
    for (given, word) in args.into_iter().zip(&mut words) {
        let mut argument = Argument::new(&mut budget, given)?;
        *word = argument.word()?;
        arguments.push(argument);
    }
    // Before the call: after it, one system call too many may be the last.
    let filtered = p.filtered;
    p.filtered |= filters(number, &words);
    // SAFETY: pointers are to memory that the kernel may write to. What the call does to
    // the process besides is the user's to see to.
    let call = || unsafe { any::syscall(number, words) };
    // prctl(2) is how to change by hand what is kept here.
    let result = if number == libc::SYS_prctl {
        call()
    } else {
        keeping(p, call)
    };
    if result.is_err() {
        p.filtered = filtered;
    }
    match result {
        // Maybe of this process, and from any limit.
        Ok(_) if limits(number) => p.may_have_below(u64::MAX),
        // Maybe a descriptor.
        Ok(returned) => p.may_have(returned.into()),
        Err(_) => {}
    }
    p.divides |= [libc::SYS_unshare, libc::SYS_setns].contains(&number);
    Ok((result?.into(), List(arguments)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::calls::testing::{in_child, process, text};
    use crate::process::MOST_DESCRIPTORS;

    fn number(number: libc::c_long) -> u64 {
        number as u64
    }

    #[test]
    fn arguments_are_passed_and_come_back() {
        let mut p = process();
        let pid = std::process::id();
        let done = syscall(&mut p, number(libc::SYS_getpid), Vec::new());
        assert_eq!(text(&done), format!("{{ok,{pid},[]}}"));
        let asked = vec![Ptr::Int(0), Ptr::Bytes(&[0; 16])];
        let (returned, arguments) = syscall(&mut p, number(libc::SYS_clock_gettime), asked)
            .0
            .expect("the time");
        assert_eq!((returned, arguments.0.len()), (0, 2));
        let closed = syscall(&mut p, number(libc::SYS_close), vec![Ptr::Int(u64::MAX)]);
        assert_eq!(text(&closed), "{error,ebadf}");
        assert_eq!(
            text(&syscall(&mut p, u64::MAX, Vec::new())),
            "{error,enosys}"
        );
    }

    #[test]
    fn there_is_no_fork_behind_alcoves_back() {
        let mut p = process();
        for call in [libc::SYS_clone, libc::SYS_clone3] {
            assert_eq!(
                text(&syscall(&mut p, number(call), Vec::new())),
                "{error,einval}"
            );
        }
    }

    #[test]
    fn descriptors_may_come_of_it() {
        in_child(|| {
            let mut p = process();
            let copy = vec![Ptr::Int(0), Ptr::Int(300), Ptr::Int(0)];
            let made = syscall(&mut p, number(libc::SYS_dup3), copy);
            assert_eq!(text(&made), "{ok,300,[0,300,0]}");
            assert_eq!(p.below, 301);
            let nofile = libc::RLIMIT_NOFILE as u64;
            let limit = [100_u64.to_ne_bytes(); 2].concat();
            for (limit, below) in [(Ptr::Int(1), 301), (Ptr::Bytes(&limit), MOST_DESCRIPTORS)] {
                let given = vec![Ptr::Int(0), Ptr::Int(nofile), limit, Ptr::Int(0)];
                let set = syscall(&mut p, number(libc::SYS_prlimit64), given);
                assert_eq!(set.0.is_ok(), below > 301);
                assert_eq!(p.below, below);
            }
        });
    }

    #[test]
    fn a_filter_is_noticed() {
        in_child(|| {
            let mut p = process();
            let strict = |operation| vec![Ptr::Int(operation), Ptr::Int(77)];
            // Refused: flags make no sense there.
            let refused = syscall(&mut p, number(libc::SYS_seccomp), strict(0));
            assert_eq!(text(&refused), "{error,einval}");
            assert!(!p.filtered);
            let mode = vec![
                Ptr::Int(libc::PR_SET_SECCOMP as u64),
                Ptr::Int(libc::SECCOMP_MODE_STRICT.into()),
            ];
            // Afterwards only read, write, exit and sigreturn are left.
            let done = syscall(&mut p, number(libc::SYS_prctl), mode);
            let well = p.filtered && text(&done) == "{ok,0,[22,1]}";
            // SAFETY: ends the process.
            unsafe { libc::syscall(libc::SYS_exit, i32::from(!well)) };
        });
    }
}
