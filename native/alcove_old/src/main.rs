//! Runs a program as on a kernel that lacks system calls, or in a container that refuses them.
//!
//!     alcove_old RULE... -- COMMAND...
//!
//! A rule says what some calls answer: `enosys:close_range,pidfd_open`, `eperm:mount`. Instead of a
//! name `424-` stands for every call from that number on, which is all that came after Linux 4.19,
//! and `clone_namespaces` for clone(2) with flags that make namespaces. The first rule that has a
//! call counts.

#[cfg(target_os = "linux")]
fn main() {
    use std::os::unix::process::CommandExt;
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let mut parts = arguments.splitn(2, |argument| argument == "--");
    let rules = parts.next().unwrap_or_default();
    let [program, rest @ ..] = parts.next().unwrap_or_default() else {
        give_up("usage: alcove_old RULE... -- COMMAND...");
    };
    match filter::program(rules).and_then(|program| filter::install(&program)) {
        Ok(()) => {
            let error = std::process::Command::new(program).args(rest).exec();
            give_up(&format!("{program}: {error}"));
        }
        Err(reason) => give_up(&reason),
    }
}

#[cfg(not(target_os = "linux"))]
fn main() {
    give_up("filters of system calls are Linux's");
}

fn give_up(reason: &str) -> ! {
    eprintln!("alcove_old: {reason}");
    std::process::exit(125);
}

#[cfg(target_os = "linux")]
mod filter {
    use alcove_proto::syscalls::{Arch, is_known};
    use libc::{
        BPF_ABS, BPF_JEQ, BPF_JGE, BPF_JMP, BPF_JSET, BPF_K, BPF_LD, BPF_RET, BPF_W,
        SECCOMP_RET_ALLOW, SECCOMP_RET_ERRNO, sock_filter,
    };

    /// Where `struct seccomp_data` has the number, the architecture, and the lower half of the
    /// first argument on a little-endian machine.
    const NUMBER: u32 = 0;
    const ARCHITECTURE: u32 = 4;
    const FIRST: u32 = 16;

    /// CLONE_NEW* that clone(2) takes.
    const NAMESPACES: u32 = 0x7e02_0000;

    /// No call that a kernel of today has is beyond it, and none of an architecture's own below.
    const BEYOND: u32 = 4096;

    /// BPF_MAXINSNS.
    const LONGEST: usize = 4096;

    fn statement(code: u32, k: u32) -> sock_filter {
        jump(code, k, 0, 0)
    }

    fn jump(code: u32, k: u32, jt: u8, jf: u8) -> sock_filter {
        sock_filter {
            code: code as u16,
            jt,
            jf,
            k,
        }
    }

    fn load(offset: u32) -> sock_filter {
        statement(BPF_LD | BPF_W | BPF_ABS, offset)
    }

    fn answer(action: u32) -> sock_filter {
        statement(BPF_RET | BPF_K, action)
    }

    /// The program for seccomp(2) that does what the rules say. Calls of another architecture than
    /// this program's are let through.
    pub fn program(rules: &[String]) -> Result<Vec<sock_filter>, String> {
        let arch = Arch::here().ok_or("no names of system calls are known for this machine")?;
        let mut program = vec![
            load(ARCHITECTURE),
            jump(BPF_JMP | BPF_JEQ | BPF_K, arch.audit(), 1, 0),
            answer(SECCOMP_RET_ALLOW),
            load(NUMBER),
        ];
        for rule in rules {
            let (errno, calls) = rule
                .split_once(':')
                .ok_or_else(|| format!("{rule} is no rule"))?;
            let errno = match errno {
                "enosys" => libc::ENOSYS,
                "eperm" => libc::EPERM,
                _ => return Err(format!("{rule} begins neither with enosys nor with eperm")),
            };
            let refused = answer(SECCOMP_RET_ERRNO | errno as u32);
            for call in calls.split(',') {
                program.extend(refusal(arch, call, refused)?);
            }
        }
        program.push(answer(SECCOMP_RET_ALLOW));
        if program.len() > LONGEST {
            return Err("too many rules".to_owned());
        }
        Ok(program)
    }

    /// The part of the program that refuses some calls, and leaves the number loaded for the next.
    fn refusal(arch: Arch, call: &str, refused: sock_filter) -> Result<Vec<sock_filter>, String> {
        let equal = BPF_JMP | BPF_JEQ | BPF_K;
        let from = BPF_JMP | BPF_JGE | BPF_K;
        if let Some(first) = call.strip_suffix('-') {
            let first = first
                .parse()
                .map_err(|_| format!("{call} is no number of a system call"))?;
            return Ok(vec![
                jump(from, first, 0, 2),
                jump(from, BEYOND, 1, 0),
                refused,
            ]);
        }
        if call == "clone_namespaces" {
            let number = arch.lookup("clone").ok_or("no clone here")?;
            return Ok(vec![
                jump(equal, number, 0, 4),
                load(FIRST),
                jump(BPF_JMP | BPF_JSET | BPF_K, NAMESPACES, 0, 1),
                refused,
                load(NUMBER),
            ]);
        }
        match arch.lookup(call) {
            Some(number) => Ok(vec![jump(equal, number, 0, 1), refused]),
            // Another architecture has it, so that there is nothing to refuse.
            None if is_known(call) => Ok(Vec::new()),
            None => Err(format!("{call} is no system call")),
        }
    }

    /// Puts this process, and what it becomes, under the program.
    pub fn install(program: &[sock_filter]) -> Result<(), String> {
        let whole = libc::sock_fprog {
            len: program.len() as libc::c_ushort,
            filter: program.as_ptr().cast_mut(),
        };
        let mode = libc::SECCOMP_MODE_FILTER;
        // SAFETY: the program is as long as is said, and the kernel copies it.
        let mut done = unsafe { libc::prctl(libc::PR_SET_SECCOMP, mode, &raw const whole, 0, 0) };
        if done != 0 {
            // Whoever isn't privileged has to give up becoming it first.
            // SAFETY: numbers only, then as above.
            done = unsafe {
                libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
                    | libc::prctl(libc::PR_SET_SECCOMP, mode, &raw const whole, 0, 0)
            };
        }
        if done == 0 {
            Ok(())
        } else {
            Err(format!("seccomp: {}", std::io::Error::last_os_error()))
        }
    }

    #[cfg(test)]
    mod tests {
        use super::*;

        /// What a call answers in a process that is under these rules: an errno, or 0.
        fn answers(rules: &[&str], number: libc::c_long, first: libc::c_long) -> i32 {
            let rules: Vec<String> = rules.iter().map(|rule| (*rule).to_owned()).collect();
            let program = program(&rules).expect("rules");
            // SAFETY: the child makes the system call and ends.
            let pid = unsafe { libc::fork() };
            if pid == 0 {
                let installed = install(&program).is_ok();
                // SAFETY: calls that do nothing with these arguments.
                let result = unsafe { libc::syscall(number, first, 0, 0, 0, 0) };
                // SAFETY: what clone(2) made has nothing to do, and this process neither.
                unsafe {
                    libc::_exit(match result {
                        _ if !installed => 255,
                        -1 => *libc::__errno_location(),
                        _ => 0,
                    })
                };
            }
            let mut status = 0;
            // SAFETY: the status is written to.
            assert_eq!(unsafe { libc::waitpid(pid, &raw mut status, 0) }, pid);
            assert!(libc::WIFEXITED(status));
            libc::WEXITSTATUS(status)
        }

        #[test]
        fn calls_are_refused_as_the_first_rule_says() {
            let rules = ["enosys:getppid", "eperm:getppid,getuid,open"];
            assert_eq!(answers(&rules, libc::SYS_getppid, 0), libc::ENOSYS);
            assert_eq!(answers(&rules, libc::SYS_getuid, 0), libc::EPERM);
            assert_eq!(answers(&rules, libc::SYS_getgid, 0), 0);
        }

        #[test]
        fn a_number_stands_for_all_that_came_later() {
            for call in [libc::SYS_pidfd_send_signal, libc::SYS_close_range, 4000] {
                assert_eq!(answers(&["eperm:424-"], call, -1), libc::EPERM);
            }
            assert_eq!(answers(&["eperm:424-"], libc::SYS_getppid, 0), 0);
        }

        #[test]
        fn clone_makes_processes_and_no_namespaces() {
            let rules = ["eperm:clone_namespaces,getuid"];
            let sigchld = libc::c_long::from(libc::SIGCHLD);
            assert_eq!(answers(&rules, libc::SYS_clone, sigchld), 0);
            for flag in [libc::CLONE_NEWUTS, libc::CLONE_NEWUSER] {
                let flags = libc::c_long::from(flag) | sigchld;
                assert_eq!(answers(&rules, libc::SYS_clone, flags), libc::EPERM);
            }
            // The number is loaded again for the next.
            assert_eq!(answers(&rules, libc::SYS_getuid, 0), libc::EPERM);
        }

        #[test]
        fn what_is_no_rule_is_refused() {
            for rule in ["getppid", "einval:getppid", "eperm:getparent", "enosys:x-"] {
                assert!(program(&[rule.to_owned()]).is_err(), "{rule}");
            }
        }
    }
}
