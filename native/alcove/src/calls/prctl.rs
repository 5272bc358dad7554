//! prctl(2) and seccomp(2).

use crate::calls::ptr::{Argument, Budget};
use crate::process::Process;
use crate::reply::{Flat, Outcome, Reply, Term};
use crate::sys::any;
use alcove_proto::wire::arg::Ptr;
use alcove_proto::wire::{Atom, PutTerm};
use libc::{c_int, c_uint, c_ulong};
use nix::errno::Errno;

/// `{ok, Returned, Arg2, Arg3, Arg4, Arg5}`: what the call returned, and the arguments as the
/// kernel left them.
#[derive(Debug)]
pub struct Done(Outcome<(i32, [Argument; 4])>);

impl Reply for Done {
    fn put_reply(&self, out: &mut Vec<u8>) {
        match &self.0 {
            Ok((returned, arguments)) => {
                out.term_tuple(6);
                out.term_atom(Atom::Ok);
                returned.put(out);
                for argument in arguments {
                    argument.put(out);
                }
            }
            Err(fail) => fail.put(out),
        }
    }

    fn is_error(&self) -> bool {
        self.0.is_err()
    }
}

/// prctl(2). Numbers are passed as they are, bytes and structures as pointers to copies of
/// them, which have to be as large as the option wants.
///
/// `{error, einval}` also when the arguments take more memory than a reply has room for.
pub fn prctl(
    p: &mut Process,
    option: u64,
    arg2: Ptr<'_>,
    arg3: Ptr<'_>,
    arg4: Ptr<'_>,
    arg5: Ptr<'_>,
) -> Done {
    Done(control(p, option, [arg2, arg3, arg4, arg5]))
}

/// seccomp(2): `{ok, Returned, Args}`. As prctl, with a program as PR_SET_SECCOMP takes it.
pub fn seccomp(
    p: &mut Process,
    operation: i64,
    flags: u64,
    args: Ptr<'_>,
) -> Flat<(i64, Argument)> {
    Flat(filter(p, operation, flags, args))
}

/// As linux/seccomp.h has them.
const SET_MODE: std::ops::RangeInclusive<c_uint> = 0..=1;

fn filter(p: &mut Process, operation: i64, flags: u64, args: Ptr<'_>) -> Outcome<(i64, Argument)> {
    let operation = c_uint::try_from(operation).map_err(|_| Errno::EINVAL)?;
    let flags = c_uint::try_from(flags).map_err(|_| Errno::EINVAL)?;
    let mut args = Argument::new(&mut Budget::new(), args)?;
    let address = args.word()?;
    // Before the call: after it, one system call too many may be the last.
    let filtered = p.filtered;
    p.filtered |= SET_MODE.contains(&operation);
    // SAFETY: a pointer is to memory of `args`, which the kernel may write to. That it is as
    // large as the operation wants is the user's to see to.
    let result = unsafe { any::seccomp(operation, flags, address) };
    if result.is_err() {
        p.filtered = filtered;
    }
    Ok((result?.into(), args))
}

fn control(p: &mut Process, option: u64, given: [Ptr<'_>; 4]) -> Outcome<(i32, [Argument; 4])> {
    let option = c_int::try_from(option).map_err(|_| Errno::EINVAL)?;
    let mut budget = Budget::new();
    let [a, b, c, d] = given.map(|given| Argument::new(&mut budget, given));
    let mut arguments = [a?, b?, c?, d?];
    let [a, b, c, d] = arguments
        .each_mut()
        .map(|argument| argument.word().map(|word| word as c_ulong));
    let (a, b, c, d) = (a?, b?, c?, d?);
    // Before the call: after it, one system call too many may be the last.
    let filtered = p.filtered;
    p.filtered |= option == libc::PR_SET_SECCOMP;
    // SAFETY: pointers are to memory of `arguments`, which the kernel may write to. That an
    // option is given memory as large as it uses is the user's to see to.
    let result = Errno::result(unsafe { libc::prctl(option, a, b, c, d) });
    if result.is_err() {
        p.filtered = filtered;
    }
    Ok((result?, arguments))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::calls::testing::{in_child, process, text};
    use alcove_proto::wire::arg::Field;

    const ZERO: Ptr<'static> = Ptr::Int(0);

    fn call(p: &mut Process, option: i32, arg2: Ptr<'_>) -> String {
        text(&prctl(p, option as u64, arg2, ZERO, ZERO, ZERO))
    }

    #[test]
    fn numbers_go_in_and_out() {
        let mut p = process();
        let mut held = |capability| call(&mut p, libc::PR_CAPBSET_READ, Ptr::Int(capability));
        // Every kernel knows the first capability, none the last of these.
        assert!(["{ok,1,0,0,0,0}", "{ok,0,0,0,0,0}"].contains(&held(0).as_str()));
        assert_eq!(held(1000), "{error,einval}");
    }

    #[test]
    fn bytes_come_back_as_the_kernel_left_them() {
        in_child(|| {
            let mut p = process();
            assert_eq!(
                call(&mut p, libc::PR_SET_NAME, Ptr::Bytes(b"alcove")),
                r#"{ok,0,"alcove",0,0,0}"#
            );
            assert_eq!(
                call(&mut p, libc::PR_GET_NAME, Ptr::Bytes(&[0; 17])),
                r#"{ok,0,"alcove\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00",0,0,0}"#
            );
            // Too little memory for what the option writes.
            assert_eq!(
                call(&mut p, libc::PR_GET_NAME, Ptr::Bytes(b"xx")),
                r#"{ok,0,"al",0,0,0}"#
            );
            assert_eq!(call(&mut p, libc::PR_GET_NAME, ZERO), "{error,efault}");
            assert_eq!(
                call(&mut p, libc::PR_SET_PDEATHSIG, Ptr::Int(10)),
                "{ok,0,10,0,0,0}"
            );
            let signal = 10_i32.to_ne_bytes();
            assert_eq!(
                call(&mut p, libc::PR_GET_PDEATHSIG, Ptr::Bytes(&[9; 4])),
                format!(r#"{{ok,0,"{}",0,0,0}}"#, signal.escape_ascii())
            );
        });
    }

    #[test]
    fn options_are_checked() {
        let mut p = process();
        assert_eq!(call(&mut p, 9999, ZERO), "{error,einval}");
        let beyond = prctl(&mut p, 1 << 32 | 3, ZERO, ZERO, ZERO, ZERO);
        assert_eq!(text(&beyond), "{error,einval}");
        assert!(beyond.is_error());
    }

    /// A filter that answers getppid(2) with an error and admits everything else.
    fn filter() -> Vec<u8> {
        let ret = (libc::BPF_RET | libc::BPF_K) as u16;
        let instructions = [
            ((libc::BPF_LD | libc::BPF_W | libc::BPF_ABS) as u16, 0, 0, 0),
            (
                (libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K) as u16,
                0,
                1,
                libc::SYS_getppid as u32,
            ),
            (ret, 0, 0, libc::SECCOMP_RET_ERRNO | libc::EXDEV as u32),
            (ret, 0, 0, libc::SECCOMP_RET_ALLOW),
        ];
        let mut bytes = Vec::new();
        for (code, then, otherwise, k) in instructions {
            bytes.extend_from_slice(&u16::to_ne_bytes(code));
            bytes.extend_from_slice(&[then, otherwise]);
            bytes.extend_from_slice(&u32::to_ne_bytes(k));
        }
        bytes
    }

    #[test]
    fn a_filter_is_a_structure_with_a_pointer() {
        in_child(|| {
            let mut p = process();
            let filter = filter();
            let length = 4_u16.to_ne_bytes();
            let padding = [0; size_of::<usize>() - 2];
            let program = Ptr::Struct(vec![
                Field::Bytes(&length),
                Field::Bytes(&padding),
                Field::Pointer(&filter),
            ]);
            let one = Ptr::Int(1);
            assert_eq!(
                call(&mut p, libc::PR_SET_NO_NEW_PRIVS, one),
                "{ok,0,1,0,0,0}"
            );
            let mode = Ptr::Int(libc::SECCOMP_MODE_FILTER.into());
            let set = libc::PR_SET_SECCOMP as u64;
            let done = prctl(&mut p, set, mode, program, ZERO, ZERO);
            let expected = format!(
                r#"{{ok,0,2,["{}","{}",{{ptr,"{}"}}],0,0}}"#,
                length.escape_ascii(),
                padding.escape_ascii(),
                filter.escape_ascii()
            );
            assert_eq!(text(&done), expected);
            assert!(p.filtered);
            // SAFETY: no memory is touched.
            assert_eq!(unsafe { libc::syscall(libc::SYS_getppid) }, -1);
            assert_eq!(nix::errno::Errno::last_raw(), libc::EXDEV);
        });
    }

    #[test]
    fn a_refused_filter_is_none() {
        let mut p = process();
        assert_eq!(
            call(&mut p, libc::PR_SET_SECCOMP, Ptr::Int(77)),
            "{error,einval}"
        );
        assert!(!p.filtered);
    }
}
