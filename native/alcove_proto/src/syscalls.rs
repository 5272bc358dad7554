//! The system calls of Linux, by architecture: names, and their numbers.
//!
//! The crate `syscalls` has the tables. Added are what it leaves out, and the second
//! names that some calls have: a name that is known from one architecture, or from
//! the headers, means the same call on another that has it.

use ::syscalls::{aarch64, arm, riscv64, x86, x86_64};
use std::ops::{Range, RangeInclusive};
use std::sync::LazyLock;

/// An architecture for which filters of system calls can be compiled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arch {
    /// 64-bit PCs
    X86_64,
    /// 64-bit ARM
    Aarch64,
    /// 32-bit ARM, EABI
    Arm,
    /// 64-bit RISC-V
    Riscv64,
}

type Row = (&'static str, u32);

/// arch/arm/include/uapi/asm/unistd.h: numbers from here on are ARM's own.
const ARM_PRIVATE: u32 = 0xf_0000;

const ARM_CALLS: [Row; 6] = [
    ("breakpoint", ARM_PRIVATE + 1),
    ("cacheflush", ARM_PRIVATE + 2),
    ("usr26", ARM_PRIVATE + 3),
    ("usr32", ARM_PRIVATE + 4),
    ("set_tls", ARM_PRIVATE + 5),
    ("get_tls", ARM_PRIVATE + 6),
];

/// Younger than the crate's tables. New calls have the same number on every architecture.
const SINCE_LINUX_6_10: [Row; 8] = [
    ("mseal", 462),
    ("setxattrat", 463),
    ("getxattrat", 464),
    ("listxattrat", 465),
    ("removexattrat", 466),
    ("open_tree_attr", 467),
    ("file_getattr", 468),
    ("file_setattr", 469),
];

/// Calls with 64-bit times, of 32-bit architectures alone: the others have no other times. The
/// crate has them also on some of these.
const WITH_64_BIT_TIMES: RangeInclusive<u32> = 403..=423;

/// Of 64-bit PCs alone.
const PROBES: [Row; 2] = [("uretprobe", 335), ("uprobe", 336)];

/// Two names of one call.
const TWINS: [[&str; 2]; 2] = [
    ["newfstatat", "fstatat"],
    ["sync_file_range2", "arm_sync_file_range"],
];

impl Arch {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::X86_64, Self::Aarch64, Self::Arm, Self::Riscv64];

    /// The one that this program runs on, if it is one of them.
    pub fn here() -> Option<Self> {
        Self::named(std::env::consts::ARCH).filter(|_| cfg!(target_endian = "little"))
    }

    /// The one of this name, as [`std::env::consts::ARCH`] has it.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|arch| arch.name() == name)
    }

    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::X86_64 => "x86_64",
            Self::Aarch64 => "aarch64",
            Self::Arm => "arm",
            Self::Riscv64 => "riscv64",
        }
    }

    /// What a filter sees of it: AUDIT_ARCH_* of linux/audit.h.
    pub const fn audit(self) -> u32 {
        match self {
            Self::X86_64 => 0xc000_003e,
            Self::Aarch64 => 0xc000_00b7,
            Self::Arm => 0x4000_0028,
            Self::Riscv64 => 0xc000_00f3,
        }
    }

    /// The numbers that don't belong to the calls of every Linux.
    pub const fn private(self) -> Option<Range<u32>> {
        match self {
            Self::Arm => Some(ARM_PRIVATE..ARM_PRIVATE + 0x10),
            _ => None,
        }
    }

    /// Its calls, sorted by name. A call that has two names is there twice.
    pub fn calls(self) -> &'static [Row] {
        static TABLES: LazyLock<[Vec<Row>; 4]> = LazyLock::new(|| Arch::ALL.map(table));
        &TABLES[self as usize]
    }

    /// The number of a call.
    pub fn lookup(self, name: &str) -> Option<u32> {
        let calls = self.calls();
        let at = calls.binary_search_by(|(row, _)| row.cmp(&name)).ok()?;
        Some(calls[at].1)
    }
}

/// Whether a name is that of a system call anywhere: on one of [`Arch::ALL`], or a 32-bit PC.
pub fn is_known(name: &str) -> bool {
    Arch::ALL.iter().any(|arch| arch.lookup(name).is_some()) || name.parse::<x86::Sysno>().is_ok()
}

/// A name as the tables have it, of `SYS_getpid`, `__NR_getpid` or `getpid` in lower case.
pub fn bare(name: &str) -> &str {
    ["__nr_", "sys_"]
        .iter()
        .find_map(|prefix| name.strip_prefix(prefix))
        .unwrap_or(name)
}

/// The rows of one of the crate's tables. Its iterator leaves out the last one.
macro_rules! rows {
    ($arch:ident) => {
        (0..=$arch::Sysno::last().id())
            .filter_map(|id| $arch::Sysno::new(id as usize))
            .map(|call| (call.name(), call.id() as u32))
            .collect()
    };
}

fn table(arch: Arch) -> Vec<Row> {
    let mut rows: Vec<Row> = match arch {
        Arch::X86_64 => rows!(x86_64),
        Arch::Aarch64 => rows!(aarch64),
        Arch::Arm => rows!(arm),
        Arch::Riscv64 => rows!(riscv64),
    };
    rows.extend(SINCE_LINUX_6_10);
    match arch {
        Arch::X86_64 => rows.extend(PROBES),
        Arch::Arm => rows.extend(ARM_CALLS),
        Arch::Aarch64 => {}
        // The crate has a call of 32-bit RISC-V here.
        Arch::Riscv64 => rows.retain(|row| row.0 != "renameat"),
    }
    if arch != Arch::Arm {
        rows.retain(|row| !WITH_64_BIT_TIMES.contains(&row.1));
    }
    if matches!(arch, Arch::Aarch64 | Arch::Riscv64) {
        for row in rows.iter_mut().filter(|row| row.1 == 84) {
            row.0 = "sync_file_range";
        }
    }
    for [one, other] in TWINS {
        let number = |name| rows.iter().find(|row| row.0 == name).map(|row| row.1);
        match (number(one), number(other)) {
            (Some(number), None) => rows.push((other, number)),
            (None, Some(number)) => rows.push((one, number)),
            _ => {}
        }
    }
    rows.sort_unstable();
    rows
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_has_the_number_of_its_architecture() {
        for (name, numbers) in [
            ("read", [0, 63, 3, 63]),
            ("newfstatat", [262, 79, u32::MAX, 79]),
            ("fstatat", [262, 79, u32::MAX, 79]),
            ("fstatat64", [u32::MAX, u32::MAX, 327, u32::MAX]),
            ("set_tls", [u32::MAX, u32::MAX, 0xf_0005, u32::MAX]),
            ("clone3", [435; 4]),
            ("file_setattr", [469; 4]),
            ("uprobe", [336, u32::MAX, u32::MAX, u32::MAX]),
            ("renameat", [264, 38, 329, u32::MAX]),
            ("sync_file_range", [277, 84, u32::MAX, 84]),
            ("sync_file_range2", [u32::MAX, u32::MAX, 341, u32::MAX]),
            ("clock_gettime64", [u32::MAX, u32::MAX, 403, u32::MAX]),
            (
                "sched_rr_get_interval_time64",
                [u32::MAX, u32::MAX, 423, u32::MAX],
            ),
            ("pidfd_send_signal", [424; 4]),
        ] {
            for (arch, number) in Arch::ALL.into_iter().zip(numbers) {
                let expected = (number != u32::MAX).then_some(number);
                assert_eq!(arch.lookup(name), expected, "{name} on {arch:?}");
            }
        }
    }

    #[test]
    fn no_table_loses_its_last_call() {
        for arch in Arch::ALL {
            for name in ["file_setattr", "open_tree_attr"] {
                assert!(arch.lookup(name).is_some(), "{name} on {arch:?}");
            }
        }
    }

    #[test]
    fn only_32_bits_have_calls_with_64_bit_times() {
        for arch in Arch::ALL {
            let with = |(name, _): &&Row| name.ends_with("_time64") || name.ends_with("ettime64");
            let found = arch.calls().iter().filter(with).count();
            assert_eq!(found > 0, arch == Arch::Arm, "{arch:?}");
        }
    }

    #[test]
    fn a_name_of_another_architecture_is_known() {
        for name in ["open", "mmap2", "socketcall", "set_tls", "fstatat"] {
            assert!(is_known(name), "{name}");
        }
        for name in ["", "opem", "sys_open", "newfstat"] {
            assert!(!is_known(name), "{name}");
        }
    }
}
