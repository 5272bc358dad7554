//! The processors that a process may run on. Linux only.

use libc::c_ulong;
use nix::errno::Errno;

/// Processors that there is room for: more than any kernel has.
const MOST: usize = 65_536;
const BITS: usize = c_ulong::BITS as usize;

/// A set of processors as the kernel has it. The C library's ends at 1023.
pub struct Cpus([c_ulong; MOST / BITS]);

impl Cpus {
    /// The processors of these numbers; `EINVAL` for a number that no processor has.
    pub fn of(numbers: &[u32]) -> nix::Result<Cpus> {
        let mut set = [0; MOST / BITS];
        for number in numbers {
            let number = *number as usize;
            *set.get_mut(number / BITS).ok_or(Errno::EINVAL)? |= 1 << (number % BITS);
        }
        Ok(Cpus(set))
    }

    /// Their numbers, in order.
    pub fn numbers(&self) -> impl Iterator<Item = u32> {
        let has = |number: &usize| self.0[number / BITS] & 1 << (number % BITS) != 0;
        (0..MOST).filter(has).map(|number| number as u32)
    }
}

/// sched_getaffinity(2); 0 is this process.
pub fn get(pid: i32) -> nix::Result<Cpus> {
    let mut set = [0; MOST / BITS];
    let (size, at) = (size_of_val(&set), set.as_mut_ptr());
    // SAFETY: the set is as large as is said.
    Errno::result(unsafe { libc::syscall(libc::SYS_sched_getaffinity, pid, size, at) })?;
    Ok(Cpus(set))
}

/// sched_setaffinity(2); 0 is this process.
pub fn set(pid: i32, cpus: &Cpus) -> nix::Result<()> {
    let (size, at) = (size_of_val(&cpus.0), cpus.0.as_ptr());
    // SAFETY: the set is as large as is said.
    Errno::result(unsafe { libc::syscall(libc::SYS_sched_setaffinity, pid, size, at) }).map(drop)
}
