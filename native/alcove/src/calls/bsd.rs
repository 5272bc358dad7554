//! How the BSDs restrict processes.

#[cfg(target_os = "freebsd")]
pub use freebsd::{cap_enter, jail, jail_attach, jail_remove, procctl};
#[cfg(target_os = "openbsd")]
pub use openbsd::{pledge, unveil};

#[cfg(target_os = "openbsd")]
mod openbsd {
    use crate::process::Process;
    use crate::reply::Outcome;
    use crate::sys::bsd;
    use std::ffi::CStr;

    /// pledge(2): from now on only these promises, and these for what is exec'ed. An empty string
    /// is an empty promise.
    pub fn pledge(_: &mut Process, promises: &CStr, execpromises: &CStr) -> Outcome {
        Ok(bsd::pledge(promises, execpromises)?)
    }

    /// unveil(2): from now on only these paths. Two empty strings end it.
    pub fn unveil(_: &mut Process, path: &CStr, permissions: &CStr) -> Outcome {
        let end = path.is_empty() && permissions.is_empty();
        Ok(bsd::unveil((!end).then_some((path, permissions)))?)
    }
}

#[cfg(target_os = "freebsd")]
mod freebsd {
    use crate::calls::ptr::{Argument, Budget};
    use crate::process::Process;
    use crate::reply::{Flat, Outcome};
    use crate::sys::bsd;
    use alcove_proto::wire::arg::Ptr;
    use libc::{c_int, c_void};
    use nix::errno::Errno;

    fn number(number: i64) -> nix::Result<c_int> {
        c_int::try_from(number).map_err(|_| Errno::EINVAL)
    }

    /// jail(2): `{ok, Jid}`. The argument is a `struct jail`.
    pub fn jail(_: &mut Process, jail: Ptr<'_>) -> Outcome<i32> {
        let mut jail = Argument::new(&mut Budget::new(), jail)?;
        let jail = std::ptr::with_exposed_provenance_mut(jail.word()?);
        // SAFETY: that the structure is one is the user's to see to.
        Ok(Errno::result(unsafe { libc::jail(jail) })?)
    }

    /// jail_attach(2).
    pub fn jail_attach(_: &mut Process, jid: i32) -> Outcome {
        Ok(bsd::jail_attach(jid)?)
    }

    /// jail_remove(2).
    pub fn jail_remove(_: &mut Process, jid: i32) -> Outcome {
        Ok(bsd::jail_remove(jid)?)
    }

    /// cap_enter(2): capability mode.
    pub fn cap_enter(_: &mut Process) -> Outcome {
        Ok(bsd::cap_enter()?)
    }

    /// procctl(2): `{ok, Returned, Data}`.
    pub fn procctl(
        _: &mut Process,
        idtype: i64,
        id: i64,
        command: i64,
        data: Ptr<'_>,
    ) -> Flat<(i64, Argument)> {
        Flat(control(idtype, id, command, data))
    }

    fn control(idtype: i64, id: i64, command: i64, data: Ptr<'_>) -> Outcome<(i64, Argument)> {
        let (idtype, command) = (number(idtype)?, number(command)?);
        let mut data = Argument::new(&mut Budget::new(), data)?;
        let word = std::ptr::with_exposed_provenance_mut::<c_void>(data.word()?);
        // SAFETY: a pointer is to memory that the kernel may write to. That it is as large as
        // the command wants is the user's to see to.
        let returned =
            Errno::result(unsafe { libc::procctl(idtype as _, id as _, command, word) })?;
        Ok((returned.into(), data))
    }
}
