//! The host.

use crate::process::Process;
use crate::reply::Outcome;
#[cfg(target_os = "linux")]
use crate::sys::host;
#[cfg(target_os = "linux")]
use nix::errno::Errno;
use nix::unistd;
use std::ffi::{CStr, OsStr};
use std::os::unix::ffi::{OsStrExt, OsStringExt};

/// gethostname(2).
pub fn gethostname(_: &mut Process) -> Outcome<Vec<u8>> {
    Ok(unistd::gethostname()?.into_vec())
}

/// sethostname(2): of the UTS namespace that the process is in.
pub fn sethostname(_: &mut Process, name: &CStr) -> Outcome {
    Ok(unistd::sethostname(OsStr::from_bytes(name.to_bytes()))?)
}

/// getdomainname(2): the NIS domain name.
#[cfg(target_os = "linux")]
pub fn getdomainname(_: &mut Process) -> Outcome<Vec<u8>> {
    // The kernel has room for 64 bytes and a NUL.
    let mut name = [0_u8; 65];
    host::getdomainname(&mut name)?;
    let length = name.iter().position(|byte| *byte == 0);
    Ok(name[..length.unwrap_or(name.len())].to_vec())
}

/// setdomainname(2): of the UTS namespace that the process is in.
#[cfg(target_os = "linux")]
pub fn setdomainname(_: &mut Process, name: &CStr) -> Outcome {
    Ok(host::setdomainname(name.to_bytes())?)
}

/// getrandom(2): so many random bytes, or as many as a signal lets through.
#[cfg(target_os = "linux")]
pub fn getrandom(_: &mut Process, count: usize, flags: u64) -> Outcome<Vec<u8>> {
    let flags = libc::c_uint::try_from(flags).map_err(|_| Errno::EINVAL)?;
    let mut bytes = vec![0; count];
    let n = host::getrandom(&mut bytes, flags)?;
    bytes.truncate(n);
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::calls::testing::{process, text};

    #[test]
    fn the_name_is_the_kernels() {
        let name = nix::sys::utsname::uname().expect("uname");
        let expected = name.nodename().as_bytes().to_vec();
        assert_eq!(gethostname(&mut process()), Ok(expected));
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_namespace_has_its_own_name() {
        use crate::calls::testing::{in_child, need};
        if !need::root() {
            return;
        }
        let outside = gethostname(&mut process());
        in_child(|| {
            let mut p = process();
            nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWUTS).expect("unshare");
            assert_eq!(text(&sethostname(&mut p, c"inside")), "ok");
            assert_eq!(text(&gethostname(&mut p)), r#"{ok,"inside"}"#);
            let long = std::ffi::CString::new(vec![b'x'; 65]).expect("no NUL");
            assert_eq!(text(&sethostname(&mut p, &long)), "{error,einval}");
            unistd::setuid(unistd::Uid::from_raw(0xf000_0001)).expect("setuid");
            assert_eq!(text(&sethostname(&mut p, c"again")), "{error,eperm}");
        });
        assert_eq!(gethostname(&mut process()), outside);
    }
}
