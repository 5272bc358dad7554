//! The platform's constants by name.
//!
//! Values are libc's. What a kernel has but libc does not (for one of the C
//! libraries at least) is written as a number, with the header it is from. What a
//! platform lacks has no row there, so that its name is unknown.

use std::collections::HashMap;
use std::sync::LazyLock;

/// Which function of `alcove` looks a constant up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Group {
    /// `clone_define`
    Clone,
    /// `file_define`
    File,
    /// `mount_define`
    Mount,
    /// `prctl_define`
    Prctl,
    /// `rlimit_define`
    Rlimit,
    /// `signal_define`
    Signal,
    /// `syscall_define`
    Syscall,
    /// `process_define`
    Process,
    /// `socket_define`
    Socket,
    /// `poll_define`
    Poll,
    /// `ioctl_define`
    Ioctl,
    /// `landlock_define`
    Landlock,
}

impl Group {
    /// Every group, in the order in which a name without a group is looked up.
    pub const ALL: [Group; 12] = [
        Group::Clone,
        Group::File,
        Group::Mount,
        Group::Prctl,
        Group::Rlimit,
        Group::Signal,
        Group::Syscall,
        Group::Process,
        Group::Socket,
        Group::Poll,
        Group::Ioctl,
        Group::Landlock,
    ];

    /// The name of the group, as `clone`.
    pub const fn name(self) -> &'static str {
        match self {
            Group::Clone => "clone",
            Group::File => "file",
            Group::Mount => "mount",
            Group::Prctl => "prctl",
            Group::Rlimit => "rlimit",
            Group::Signal => "signal",
            Group::Syscall => "syscall",
            Group::Process => "process",
            Group::Socket => "socket",
            Group::Poll => "poll",
            Group::Ioctl => "ioctl",
            Group::Landlock => "landlock",
        }
    }

    fn table(self) -> &'static Table {
        static TABLES: LazyLock<[Table; Group::ALL.len()]> =
            LazyLock::new(|| Group::ALL.map(Table::of));
        &TABLES[self as usize]
    }
}

/// The value of a name, in a group or, without one, in any.
///
/// Case does not matter. Mount flags have names without prefix, and either prefix
/// will do: `rdonly`, `ms_rdonly` and `mnt_rdonly` are the same flag. System calls are
/// `sys_getpid`, `__nr_getpid` and `getpid`.
///
/// Without a group, a full name goes before a short one, and [`Group::ALL`]
/// is the order: `bind` is the mount flag, `sys_bind` the system call.
pub fn lookup(group: Option<Group>, name: &str) -> Option<i64> {
    let mut buffer = [0; LONGEST];
    let name = lower_case(name, &mut buffer)?;
    match group {
        Some(group) => group.table().find(name).or_else(|| short(group, name)),
        None => {
            let full = in_any_group().get(name).copied();
            full.or_else(|| Group::ALL.iter().find_map(|group| short(*group, name)))
        }
    }
}

/// The full names of all groups, each with its value in the first group that has it.
fn in_any_group() -> &'static HashMap<&'static str, i64> {
    static NAMES: LazyLock<HashMap<&'static str, i64>> = LazyLock::new(|| {
        let groups = Group::ALL.iter().rev();
        groups.flat_map(|group| all(*group)).collect()
    });
    &NAMES
}

/// The constants of a group, by their full names in lower case, sorted.
pub fn all(group: Group) -> impl Iterator<Item = (&'static str, i64)> {
    group.table().sorted.iter().copied()
}

/// The name of a signal, as `sigterm`.
///
/// On Linux real-time signals are named by number, `sigrt32` to `sigrt64`: how many of them
/// a C library keeps for itself differs, so a name that counts from SIGRTMIN would not say
/// which signal it was.
pub fn signal_name(number: i32) -> Option<&'static str> {
    static NAMES: LazyLock<Vec<Option<&'static str>>> = LazyLock::new(|| {
        let mut names = Vec::new();
        for &(name, value) in SIGNAL_NAMES.into_iter().flatten() {
            let at = value as usize;
            if names.len() <= at {
                names.resize(at + 1, None);
            }
            names[at] = Some(name);
        }
        names
    });
    NAMES.get(usize::try_from(number).ok()?).copied().flatten()
}

/// The largest number of a signal here.
pub fn largest_signal() -> i32 {
    #[cfg(any(target_os = "linux", target_os = "android"))]
    return libc::SIGRTMAX();
    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    return 31;
}

/// No name is longer; a longer one is looked up in vain.
const LONGEST: usize = 64;

fn lower_case<'a>(name: &str, buffer: &'a mut [u8; LONGEST]) -> Option<&'a str> {
    let buffer = buffer.get_mut(..name.len())?;
    buffer.copy_from_slice(name.as_bytes());
    buffer.make_ascii_lowercase();
    std::str::from_utf8(buffer).ok()
}

/// Looks up the names that leave out a prefix or have that of another platform.
fn short(group: Group, name: &str) -> Option<i64> {
    let strip = |prefixes: &[&str]| {
        prefixes
            .iter()
            .find_map(|prefix| name.strip_prefix(prefix))
            .unwrap_or(name)
            .to_owned()
    };
    let (bare, prefixes): (String, &[&str]) = match group {
        Group::Mount => (strip(&["ms_", "mnt_"]), &["ms_", "mnt_"]),
        Group::Syscall => (bare_syscall(name).to_owned(), &["sys_"]),
        _ => return None,
    };
    prefixes
        .iter()
        .find_map(|prefix| group.table().find(&format!("{prefix}{bare}")))
}

/// Names and values, in order and to be found by name.
struct Table {
    sorted: Vec<(&'static str, i64)>,
    by_name: HashMap<&'static str, i64>,
}

impl Table {
    fn of(group: Group) -> Self {
        let tables: &[Rows] = match group {
            Group::Clone => &[CLONE],
            Group::File => &[FILE, FILE_LINUX, FILE_BSD, FILE_FREEBSD, FILE_APPLE],
            Group::Mount => &[MOUNT_LINUX, MOUNT_BSD, MOUNT_FREEBSD],
            Group::Prctl => &[PRCTL, SECCOMP, CAPABILITIES, AUDIT],
            Group::Rlimit => &[RLIMIT, RLIMIT_LINUX, RLIMIT_FREEBSD],
            Group::Signal => &[
                SIGNALS,
                SIGNALS_LINUX,
                SIGNALS_STKFLT,
                SIGNALS_BSD,
                SIGNALS_REALTIME,
                SIGNAL_ALIASES,
            ],
            Group::Syscall => &[],
            Group::Process => &[PROCESS, PROCESS_LINUX, PTRACE, PTRACE_X86],
            Group::Socket => &[SOCKET, SOCKET_LINUX],
            Group::Poll => &[POLL, POLL_LINUX],
            Group::Ioctl => &[IOCTL, IOCTL_TTY, IOCTL_LINUX],
            Group::Landlock => &[LANDLOCK],
        };
        let mut sorted: Vec<_> = tables.iter().copied().flatten().copied().collect();
        match group {
            Group::Signal => sorted.extend(realtime_range()),
            Group::Syscall => sorted.extend(system_calls()),
            _ => {}
        }
        sorted.sort_unstable();
        let by_name = sorted.iter().copied().collect();
        Table { sorted, by_name }
    }

    fn find(&self, name: &str) -> Option<i64> {
        self.by_name.get(name).copied()
    }
}

/// The range that the C library leaves to programs.
#[cfg(any(target_os = "linux", target_os = "android"))]
fn realtime_range() -> Vec<(&'static str, i64)> {
    vec![
        ("sigrtmin", i64::from(libc::SIGRTMIN())),
        ("sigrtmax", i64::from(libc::SIGRTMAX())),
    ]
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn realtime_range() -> Vec<(&'static str, i64)> {
    Vec::new()
}

#[cfg(any(target_os = "linux", target_os = "android"))]
fn system_calls() -> impl Iterator<Item = (&'static str, i64)> {
    let rows = match crate::syscalls::Arch::here() {
        Some(arch) => arch.calls().to_vec(),
        // Not Sysno::iter(), which leaves out the last one.
        None => ::syscalls::SysnoSet::all()
            .iter()
            .map(|call| (call.name(), call.id() as u32))
            .collect(),
    };
    // The table that they are for is kept for ever.
    rows.into_iter()
        .map(|(name, number)| (&*format!("sys_{name}").leak(), i64::from(number)))
}

#[cfg(any(target_os = "linux", target_os = "android"))]
use crate::syscalls::bare as bare_syscall;

#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn bare_syscall(name: &str) -> &str {
    name
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn system_calls() -> impl Iterator<Item = (&'static str, i64)> {
    std::iter::empty()
}

type Rows = &'static [(&'static str, i64)];

/// The name of a constant in lower case.
macro_rules! lower {
    ($name:ident) => {{
        const UPPER: &str = stringify!($name);
        const LOWER: [u8; UPPER.len()] = {
            let upper = UPPER.as_bytes();
            let mut lower = [0; UPPER.len()];
            let mut at = 0;
            while at < lower.len() {
                lower[at] = upper[at].to_ascii_lowercase();
                at += 1;
            }
            lower
        };
        match std::str::from_utf8(&LOWER) {
            Ok(lower) => lower,
            Err(_) => panic!("an identifier is UTF-8"),
        }
    }};
}

/// Tables of constants: `NAME` has libc's value, `NAME = number` its own. A table exists
/// where its condition holds and is empty elsewhere.
macro_rules! tables {
    ($($(#[$doc:meta])* $table:ident if ($condition:meta) { $($name:ident $(= $value:expr)?),* $(,)? })*) => {$(
        $(#[$doc])*
        #[cfg($condition)]
        #[allow(clippy::unnecessary_cast, reason = "the types of libc differ between platforms")]
        const $table: Rows = &[$((lower!($name), tables!(@value $name $($value)?))),*];
        #[cfg(not($condition))]
        const $table: Rows = &[];
    )*};
    (@value $name:ident) => {
        libc::$name as i64
    };
    (@value $name:ident $value:expr) => {
        $value
    };
}

/// Requests of ioctl(2) by their type, their number, and the structure that is written, read
/// or both. How these are put together differs between architectures; all are 32 bits.
#[cfg(any(target_os = "linux", target_os = "android"))]
mod request {
    /// No structure.
    pub const fn io(kind: u8, number: u32) -> i64 {
        libc::_IO(kind as u32, number) as u32 as i64
    }

    /// The kernel writes it.
    pub const fn ior<T>(kind: u8, number: u32) -> i64 {
        libc::_IOR::<T>(kind as u32, number) as u32 as i64
    }

    /// The kernel reads it.
    pub const fn iow<T>(kind: u8, number: u32) -> i64 {
        libc::_IOW::<T>(kind as u32, number) as u32 as i64
    }

    /// Both.
    pub const fn iowr<T>(kind: u8, number: u32) -> i64 {
        libc::_IOWR::<T>(kind as u32, number) as u32 as i64
    }
}

#[cfg(any(target_os = "linux", target_os = "android"))]
use request::{io, ior, iow, iowr};

tables! {
    /// clone(2), unshare(2); linux/sched.h.
    CLONE if (any(target_os = "linux", target_os = "android")) {
        // The exit signal in the low byte of clone(2)'s flags.
        CSIGNAL = 0xff,
        CLONE_NEWTIME = 0x80,
        CLONE_VM, CLONE_FS, CLONE_FILES, CLONE_SIGHAND, CLONE_PIDFD = 0x1000, CLONE_PTRACE, CLONE_VFORK,
        CLONE_PARENT, CLONE_THREAD, CLONE_NEWNS, CLONE_SYSVSEM, CLONE_SETTLS, CLONE_PARENT_SETTID,
        CLONE_CHILD_CLEARTID, CLONE_DETACHED, CLONE_UNTRACED, CLONE_CHILD_SETTID, CLONE_NEWCGROUP,
        CLONE_NEWUTS, CLONE_NEWIPC, CLONE_NEWUSER, CLONE_NEWPID, CLONE_NEWNET,
        // libc has these as signed 32 bit integers, which they don't fit.
        CLONE_IO = 0x8000_0000, CLONE_CLEAR_SIGHAND = 0x1_0000_0000, CLONE_INTO_CGROUP = 0x2_0000_0000,
    }

    /// open(2), lseek(2), fcntl(2), access(2), flock(2), the *at(2) calls and the modes of files.
    FILE if (unix) {
        O_RDONLY, O_WRONLY, O_RDWR, O_ACCMODE, O_CREAT, O_EXCL, O_NOCTTY, O_TRUNC, O_APPEND, O_NONBLOCK,
        O_SYNC, O_DIRECTORY, O_NOFOLLOW, O_CLOEXEC,
        S_IFMT, S_IFSOCK, S_IFLNK, S_IFREG, S_IFBLK, S_IFDIR, S_IFCHR, S_IFIFO,
        S_ISUID = 0o4000, S_ISGID = 0o2000, S_ISVTX = 0o1000,
        S_IRWXU, S_IRUSR, S_IWUSR, S_IXUSR, S_IRWXG, S_IRGRP, S_IWGRP, S_IXGRP,
        S_IRWXO, S_IROTH, S_IWOTH, S_IXOTH,
        SEEK_SET, SEEK_CUR, SEEK_END,
        AT_FDCWD, AT_SYMLINK_NOFOLLOW, AT_SYMLINK_FOLLOW, AT_REMOVEDIR, AT_EACCESS,
        F_DUPFD, F_DUPFD_CLOEXEC, F_GETFD, F_SETFD, F_GETFL, F_SETFL, F_GETLK, F_SETLK, F_SETLKW,
        F_GETOWN, F_SETOWN, F_RDLCK, F_WRLCK, F_UNLCK, FD_CLOEXEC,
        F_OK, R_OK, W_OK, X_OK,
        LOCK_SH, LOCK_EX, LOCK_NB, LOCK_UN,
    }

    /// What only Linux has; linux/fcntl.h, linux/fs.h, linux/openat2.h and asm/fcntl.h.
    FILE_LINUX if (any(target_os = "linux", target_os = "android")) {
        O_NDELAY, O_DSYNC, O_RSYNC, O_FSYNC = libc::O_SYNC as i64, O_ASYNC, O_DIRECT, O_LARGEFILE,
        O_NOATIME, O_PATH, O_TMPFILE,
        S_IREAD = 0o400, S_IWRITE = 0o200, S_IEXEC = 0o100,
        SEEK_DATA = 3, SEEK_HOLE = 4,
        AT_NO_AUTOMOUNT = 0x800, AT_EMPTY_PATH = 0x1000, AT_RECURSIVE = 0x8000,
        AT_STATX_SYNC_TYPE = 0x6000, AT_STATX_SYNC_AS_STAT = 0, AT_STATX_FORCE_SYNC = 0x2000,
        AT_STATX_DONT_SYNC = 0x4000, AT_RENAME_NOREPLACE = 1, AT_RENAME_EXCHANGE = 2, AT_RENAME_WHITEOUT = 4,
        AT_HANDLE_FID = 0x200, AT_HANDLE_MNT_ID_UNIQUE = 1, AT_HANDLE_CONNECTABLE = 2, AT_EXECVE_CHECK = 0x1_0000,
        F_SETSIG = 10, F_GETSIG = 11, F_SETOWN_EX = 15, F_GETOWN_EX = 16, F_GETOWNER_UIDS = 17,
        F_OWNER_TID = 0, F_OWNER_PID = 1, F_OWNER_PGRP = 2,
        F_OFD_GETLK = 36, F_OFD_SETLK = 37, F_OFD_SETLKW = 38, F_EXLCK = 4, F_SHLCK = 8,
        F_SETLEASE = 1024, F_GETLEASE = 1025, F_NOTIFY = 1026, F_DUPFD_QUERY = 1027, F_CREATED_QUERY = 1028,
        F_CANCELLK = 1029, F_SETPIPE_SZ = 1031, F_GETPIPE_SZ = 1032, F_ADD_SEALS = 1033, F_GET_SEALS = 1034,
        F_GET_RW_HINT = 1035, F_SET_RW_HINT = 1036, F_GET_FILE_RW_HINT = 1037, F_SET_FILE_RW_HINT = 1038,
        F_SEAL_SEAL = 1, F_SEAL_SHRINK = 2, F_SEAL_GROW = 4, F_SEAL_WRITE = 8, F_SEAL_FUTURE_WRITE = 16,
        F_SEAL_EXEC = 32,
        F_ULOCK = 0, F_LOCK = 1, F_TLOCK = 2, F_TEST = 3,
        LOCK_MAND = 32, LOCK_READ = 64, LOCK_WRITE = 128, LOCK_RW = 192,
        DN_ACCESS = 1, DN_MODIFY = 2, DN_CREATE = 4, DN_DELETE = 8, DN_RENAME = 16, DN_ATTRIB = 32,
        DN_MULTISHOT = 0x8000_0000,
        RENAME_NOREPLACE = 1, RENAME_EXCHANGE = 2, RENAME_WHITEOUT = 4,
        RESOLVE_NO_XDEV = 1, RESOLVE_NO_MAGICLINKS = 2, RESOLVE_NO_SYMLINKS = 4, RESOLVE_BENEATH = 8,
        RESOLVE_IN_ROOT = 16, RESOLVE_CACHED = 32,
        UTIME_NOW = 0x3fff_ffff, UTIME_OMIT = 0x3fff_fffe,
        MFD_CLOEXEC = 1, MFD_ALLOW_SEALING = 2, MFD_HUGETLB = 4, MFD_NOEXEC_SEAL = 8, MFD_EXEC = 16,
    }

    /// What the BSDs have in common.
    FILE_BSD if (any(target_vendor = "apple", target_os = "freebsd", target_os = "dragonfly",
                    target_os = "openbsd", target_os = "netbsd")) {
        O_ASYNC, O_EXLOCK, O_SHLOCK, O_FSYNC, O_NDELAY,
    }

    /// What only FreeBSD has.
    FILE_FREEBSD if (target_os = "freebsd") {
        O_DIRECT, O_DSYNC, O_EXEC, O_SEARCH, O_TTY_INIT, O_VERIFY, O_PATH, O_RESOLVE_BENEATH, O_EMPTY_PATH,
        AT_EMPTY_PATH, AT_RESOLVE_BENEATH,
    }

    /// What only Apple's systems have.
    FILE_APPLE if (target_vendor = "apple") {
        O_DSYNC, O_EVTONLY, O_EXEC, O_SEARCH, O_SYMLINK,
    }

    /// mount(2), umount2(2), and the mount API of file descriptors; linux/mount.h, linux/fs.h.
    MOUNT_LINUX if (any(target_os = "linux", target_os = "android")) {
        MS_RDONLY, MS_NOSUID, MS_NODEV, MS_NOEXEC, MS_SYNCHRONOUS, MS_REMOUNT, MS_MANDLOCK, MS_DIRSYNC,
        MS_NOSYMFOLLOW = 256, MS_NOATIME, MS_NODIRATIME, MS_BIND, MS_MOVE, MS_REC, MS_VERBOSE = 32768,
        MS_SILENT, MS_POSIXACL, MS_UNBINDABLE, MS_PRIVATE, MS_SLAVE, MS_SHARED, MS_RELATIME, MS_KERNMOUNT,
        MS_I_VERSION, MS_STRICTATIME, MS_LAZYTIME = 1 << 25, MS_SUBMOUNT = 1 << 26, MS_NOREMOTELOCK = 1 << 27,
        MS_NOSEC = 1 << 28, MS_BORN = 1 << 29, MS_ACTIVE, MS_NOUSER = 1 << 31,
        MS_RMT_MASK, MS_MGC_VAL, MS_MGC_MSK,
        MNT_FORCE, MNT_DETACH, MNT_EXPIRE, UMOUNT_NOFOLLOW = 8,
        OPEN_TREE_CLONE = 1, OPEN_TREE_CLOEXEC = libc::O_CLOEXEC as i64,
        MOVE_MOUNT_F_SYMLINKS = 1, MOVE_MOUNT_F_AUTOMOUNTS = 2, MOVE_MOUNT_F_EMPTY_PATH = 4,
        MOVE_MOUNT_T_SYMLINKS = 0x10, MOVE_MOUNT_T_AUTOMOUNTS = 0x20, MOVE_MOUNT_T_EMPTY_PATH = 0x40,
        MOVE_MOUNT_SET_GROUP = 0x100, MOVE_MOUNT_BENEATH = 0x200,
        FSOPEN_CLOEXEC = 1, FSMOUNT_CLOEXEC = 1,
        FSPICK_CLOEXEC = 1, FSPICK_SYMLINK_NOFOLLOW = 2, FSPICK_NO_AUTOMOUNT = 4, FSPICK_EMPTY_PATH = 8,
        FSCONFIG_SET_FLAG = 0, FSCONFIG_SET_STRING = 1, FSCONFIG_SET_BINARY = 2, FSCONFIG_SET_PATH = 3,
        FSCONFIG_SET_PATH_EMPTY = 4, FSCONFIG_SET_FD = 5, FSCONFIG_CMD_CREATE = 6,
        FSCONFIG_CMD_RECONFIGURE = 7, FSCONFIG_CMD_CREATE_EXCL = 8,
        MOUNT_ATTR_RDONLY = 1, MOUNT_ATTR_NOSUID = 2, MOUNT_ATTR_NODEV = 4, MOUNT_ATTR_NOEXEC = 8,
        MOUNT_ATTR__ATIME = 0x70, MOUNT_ATTR_RELATIME = 0, MOUNT_ATTR_NOATIME = 0x10,
        MOUNT_ATTR_STRICTATIME = 0x20, MOUNT_ATTR_NODIRATIME = 0x80, MOUNT_ATTR_IDMAP = 0x10_0000,
        MOUNT_ATTR_NOSYMFOLLOW = 0x20_0000, MOUNT_ATTR_SIZE_VER0 = 32,
    }

    /// mount(2) of the BSDs: what they have in common.
    MOUNT_BSD if (any(target_vendor = "apple", target_os = "freebsd", target_os = "dragonfly",
                     target_os = "openbsd", target_os = "netbsd")) {
        MNT_RDONLY, MNT_SYNCHRONOUS, MNT_NOEXEC, MNT_NOSUID, MNT_NOATIME, MNT_ASYNC, MNT_FORCE, MNT_UPDATE,
        MNT_RELOAD, MNT_EXPORTED, MNT_LOCAL, MNT_QUOTA,
    }

    /// mount(2) of FreeBSD.
    MOUNT_FREEBSD if (target_os = "freebsd") {
        MNT_UNION, MNT_SUIDDIR, MNT_SOFTDEP, MNT_NOSYMFOLLOW, MNT_GJOURNAL, MNT_MULTILABEL, MNT_ACLS,
        MNT_NFS4ACLS, MNT_NOCLUSTERR, MNT_NOCLUSTERW, MNT_SUJ, MNT_AUTOMOUNTED, MNT_UNTRUSTED, MNT_VERIFIED,
        MNT_IGNORE, MNT_SNAPSHOT, MNT_NONBUSY, MNT_BYFSID, MNT_NOCOVER, MNT_EMPTYDIR, MNT_RECURSE,
        MNT_DEFERRED, MNT_USER, MNT_ROOTFS,
    }

    /// prctl(2); linux/prctl.h, linux/securebits.h. The numbers are the same on every architecture.
    PRCTL if (any(target_os = "linux", target_os = "android")) {
        PR_SET_PDEATHSIG = 1, PR_GET_PDEATHSIG = 2, PR_GET_DUMPABLE = 3, PR_SET_DUMPABLE = 4,
        PR_GET_UNALIGN = 5, PR_SET_UNALIGN = 6, PR_UNALIGN_NOPRINT = 1, PR_UNALIGN_SIGBUS = 2,
        PR_GET_KEEPCAPS = 7, PR_SET_KEEPCAPS = 8,
        PR_GET_FPEMU = 9, PR_SET_FPEMU = 10, PR_FPEMU_NOPRINT = 1, PR_FPEMU_SIGFPE = 2,
        PR_GET_FPEXC = 11, PR_SET_FPEXC = 12, PR_FP_EXC_SW_ENABLE = 0x80, PR_FP_EXC_DIV = 0x1_0000,
        PR_FP_EXC_OVF = 0x2_0000, PR_FP_EXC_UND = 0x4_0000, PR_FP_EXC_RES = 0x8_0000, PR_FP_EXC_INV = 0x10_0000,
        PR_FP_EXC_DISABLED = 0, PR_FP_EXC_NONRECOV = 1, PR_FP_EXC_ASYNC = 2, PR_FP_EXC_PRECISE = 3,
        PR_GET_TIMING = 13, PR_SET_TIMING = 14, PR_TIMING_STATISTICAL = 0, PR_TIMING_TIMESTAMP = 1,
        PR_SET_NAME = 15, PR_GET_NAME = 16,
        PR_GET_ENDIAN = 19, PR_SET_ENDIAN = 20, PR_ENDIAN_BIG = 0, PR_ENDIAN_LITTLE = 1, PR_ENDIAN_PPC_LITTLE = 2,
        PR_GET_SECCOMP = 21, PR_SET_SECCOMP = 22, PR_CAPBSET_READ = 23, PR_CAPBSET_DROP = 24,
        PR_GET_TSC = 25, PR_SET_TSC = 26, PR_TSC_ENABLE = 1, PR_TSC_SIGSEGV = 2,
        PR_GET_SECUREBITS = 27, PR_SET_SECUREBITS = 28, PR_SET_TIMERSLACK = 29, PR_GET_TIMERSLACK = 30,
        PR_TASK_PERF_EVENTS_DISABLE = 31, PR_TASK_PERF_EVENTS_ENABLE = 32,
        PR_MCE_KILL = 33, PR_MCE_KILL_CLEAR = 0, PR_MCE_KILL_SET = 1, PR_MCE_KILL_LATE = 0,
        PR_MCE_KILL_EARLY = 1, PR_MCE_KILL_DEFAULT = 2, PR_MCE_KILL_GET = 34,
        PR_SET_MM = 35, PR_SET_MM_START_CODE = 1, PR_SET_MM_END_CODE = 2, PR_SET_MM_START_DATA = 3,
        PR_SET_MM_END_DATA = 4, PR_SET_MM_START_STACK = 5, PR_SET_MM_START_BRK = 6, PR_SET_MM_BRK = 7,
        PR_SET_MM_ARG_START = 8, PR_SET_MM_ARG_END = 9, PR_SET_MM_ENV_START = 10, PR_SET_MM_ENV_END = 11,
        PR_SET_MM_AUXV = 12, PR_SET_MM_EXE_FILE = 13, PR_SET_MM_MAP = 14, PR_SET_MM_MAP_SIZE = 15,
        PR_SET_PTRACER = 0x5961_6d61, PR_SET_PTRACER_ANY = -1,
        PR_SET_CHILD_SUBREAPER = 36, PR_GET_CHILD_SUBREAPER = 37,
        PR_SET_NO_NEW_PRIVS = 38, PR_GET_NO_NEW_PRIVS = 39, PR_GET_TID_ADDRESS = 40,
        PR_SET_THP_DISABLE = 41, PR_GET_THP_DISABLE = 42, PR_THP_DISABLE_EXCEPT_ADVISED = 2,
        PR_MPX_ENABLE_MANAGEMENT = 43, PR_MPX_DISABLE_MANAGEMENT = 44,
        PR_SET_FP_MODE = 45, PR_GET_FP_MODE = 46, PR_FP_MODE_FR = 1, PR_FP_MODE_FRE = 2,
        PR_CAP_AMBIENT = 47, PR_CAP_AMBIENT_IS_SET = 1, PR_CAP_AMBIENT_RAISE = 2, PR_CAP_AMBIENT_LOWER = 3,
        PR_CAP_AMBIENT_CLEAR_ALL = 4,
        PR_SVE_SET_VL = 50, PR_SVE_SET_VL_ONEXEC = 1 << 18, PR_SVE_GET_VL = 51, PR_SVE_VL_LEN_MASK = 0xffff,
        PR_SVE_VL_INHERIT = 1 << 17,
        PR_GET_SPECULATION_CTRL = 52, PR_SET_SPECULATION_CTRL = 53, PR_SPEC_STORE_BYPASS = 0,
        PR_SPEC_INDIRECT_BRANCH = 1, PR_SPEC_L1D_FLUSH = 2, PR_SPEC_NOT_AFFECTED = 0, PR_SPEC_PRCTL = 1,
        PR_SPEC_ENABLE = 2, PR_SPEC_DISABLE = 4, PR_SPEC_FORCE_DISABLE = 8, PR_SPEC_DISABLE_NOEXEC = 16,
        PR_PAC_RESET_KEYS = 54, PR_PAC_APIAKEY = 1, PR_PAC_APIBKEY = 2, PR_PAC_APDAKEY = 4, PR_PAC_APDBKEY = 8,
        PR_PAC_APGAKEY = 16,
        PR_SET_TAGGED_ADDR_CTRL = 55, PR_GET_TAGGED_ADDR_CTRL = 56, PR_TAGGED_ADDR_ENABLE = 1,
        PR_MTE_TCF_NONE = 0, PR_MTE_TCF_SYNC = 2, PR_MTE_TCF_ASYNC = 4, PR_MTE_TCF_MASK = 6,
        PR_MTE_TAG_SHIFT = 3, PR_MTE_TAG_MASK = 0xffff << 3, PR_MTE_TCF_SHIFT = 1, PR_MTE_STORE_ONLY = 1 << 19,
        PR_PMLEN_SHIFT = 24, PR_PMLEN_MASK = 0x7f << 24,
        PR_SET_IO_FLUSHER = 57, PR_GET_IO_FLUSHER = 58,
        PR_SET_SYSCALL_USER_DISPATCH = 59, PR_SYS_DISPATCH_OFF = 0, PR_SYS_DISPATCH_ON = 1,
        SYSCALL_DISPATCH_FILTER_ALLOW = 0, SYSCALL_DISPATCH_FILTER_BLOCK = 1,
        PR_PAC_SET_ENABLED_KEYS = 60, PR_PAC_GET_ENABLED_KEYS = 61,
        PR_SCHED_CORE = 62, PR_SCHED_CORE_GET = 0, PR_SCHED_CORE_CREATE = 1, PR_SCHED_CORE_SHARE_TO = 2,
        PR_SCHED_CORE_SHARE_FROM = 3, PR_SCHED_CORE_MAX = 4, PR_SCHED_CORE_SCOPE_THREAD = 0,
        PR_SCHED_CORE_SCOPE_THREAD_GROUP = 1, PR_SCHED_CORE_SCOPE_PROCESS_GROUP = 2,
        PR_SME_SET_VL = 63, PR_SME_SET_VL_ONEXEC = 1 << 18, PR_SME_GET_VL = 64, PR_SME_VL_LEN_MASK = 0xffff,
        PR_SME_VL_INHERIT = 1 << 17,
        PR_SET_MDWE = 65, PR_GET_MDWE = 66, PR_MDWE_REFUSE_EXEC_GAIN = 1, PR_MDWE_NO_INHERIT = 2,
        PR_SET_VMA = 0x5356_4d41, PR_SET_VMA_ANON_NAME = 0, PR_GET_AUXV = 0x4155_5856,
        PR_SET_MEMORY_MERGE = 67, PR_GET_MEMORY_MERGE = 68,
        PR_RISCV_V_SET_CONTROL = 69, PR_RISCV_V_GET_CONTROL = 70, PR_RISCV_V_VSTATE_CTRL_DEFAULT = 0,
        PR_RISCV_V_VSTATE_CTRL_OFF = 1, PR_RISCV_V_VSTATE_CTRL_ON = 2, PR_RISCV_V_VSTATE_CTRL_INHERIT = 16,
        PR_RISCV_V_VSTATE_CTRL_CUR_MASK = 0x3, PR_RISCV_V_VSTATE_CTRL_NEXT_MASK = 0xc,
        PR_RISCV_V_VSTATE_CTRL_MASK = 0x1f,
        PR_RISCV_SET_ICACHE_FLUSH_CTX = 71, PR_RISCV_CTX_SW_FENCEI_ON = 0, PR_RISCV_CTX_SW_FENCEI_OFF = 1,
        PR_RISCV_SCOPE_PER_PROCESS = 0, PR_RISCV_SCOPE_PER_THREAD = 1,
        PR_PPC_GET_DEXCR = 72, PR_PPC_SET_DEXCR = 73, PR_PPC_DEXCR_SBHE = 0, PR_PPC_DEXCR_IBRTPD = 1,
        PR_PPC_DEXCR_SRAPD = 2, PR_PPC_DEXCR_NPHIE = 3, PR_PPC_DEXCR_CTRL_EDITABLE = 0x1,
        PR_PPC_DEXCR_CTRL_SET = 0x2, PR_PPC_DEXCR_CTRL_CLEAR = 0x4, PR_PPC_DEXCR_CTRL_SET_ONEXEC = 0x8,
        PR_PPC_DEXCR_CTRL_CLEAR_ONEXEC = 0x10, PR_PPC_DEXCR_CTRL_MASK = 0x1f,
        PR_GET_SHADOW_STACK_STATUS = 74, PR_SET_SHADOW_STACK_STATUS = 75, PR_LOCK_SHADOW_STACK_STATUS = 76,
        PR_SHADOW_STACK_ENABLE = 1, PR_SHADOW_STACK_WRITE = 2, PR_SHADOW_STACK_PUSH = 4,
        PR_TIMER_CREATE_RESTORE_IDS = 77, PR_TIMER_CREATE_RESTORE_IDS_OFF = 0,
        PR_TIMER_CREATE_RESTORE_IDS_ON = 1, PR_TIMER_CREATE_RESTORE_IDS_GET = 2,
        PR_FUTEX_HASH = 78, PR_FUTEX_HASH_SET_SLOTS = 1, PR_FUTEX_HASH_GET_SLOTS = 2,
        SECURE_NOROOT = 0, SECURE_NOROOT_LOCKED = 1, SECURE_NO_SETUID_FIXUP = 2, SECURE_NO_SETUID_FIXUP_LOCKED = 3,
        SECURE_KEEP_CAPS = 4, SECURE_KEEP_CAPS_LOCKED = 5, SECURE_NO_CAP_AMBIENT_RAISE = 6,
        SECURE_NO_CAP_AMBIENT_RAISE_LOCKED = 7, SECURE_EXEC_RESTRICT_FILE = 8,
        SECURE_EXEC_RESTRICT_FILE_LOCKED = 9, SECURE_EXEC_DENY_INTERACTIVE = 10,
        SECURE_EXEC_DENY_INTERACTIVE_LOCKED = 11,
        SECBIT_NOROOT = 1, SECBIT_NOROOT_LOCKED = 2, SECBIT_NO_SETUID_FIXUP = 4, SECBIT_NO_SETUID_FIXUP_LOCKED = 8,
        SECBIT_KEEP_CAPS = 16, SECBIT_KEEP_CAPS_LOCKED = 32, SECBIT_NO_CAP_AMBIENT_RAISE = 64,
        SECBIT_NO_CAP_AMBIENT_RAISE_LOCKED = 128, SECBIT_EXEC_RESTRICT_FILE = 256,
        SECBIT_EXEC_RESTRICT_FILE_LOCKED = 512, SECBIT_EXEC_DENY_INTERACTIVE = 1024,
        SECBIT_EXEC_DENY_INTERACTIVE_LOCKED = 2048,
    }

    /// seccomp(2) and the filters' instructions; linux/seccomp.h, linux/filter.h, linux/bpf_common.h.
    SECCOMP if (any(target_os = "linux", target_os = "android")) {
        SECCOMP_MODE_DISABLED = 0, SECCOMP_MODE_STRICT = 1, SECCOMP_MODE_FILTER = 2,
        SECCOMP_SET_MODE_STRICT = 0, SECCOMP_SET_MODE_FILTER = 1, SECCOMP_GET_ACTION_AVAIL = 2,
        SECCOMP_GET_NOTIF_SIZES = 3,
        SECCOMP_FILTER_FLAG_TSYNC = 1, SECCOMP_FILTER_FLAG_LOG = 2, SECCOMP_FILTER_FLAG_SPEC_ALLOW = 4,
        SECCOMP_FILTER_FLAG_NEW_LISTENER = 8, SECCOMP_FILTER_FLAG_TSYNC_ESRCH = 16,
        SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV = 32,
        SECCOMP_RET_KILL_PROCESS = 0x8000_0000, SECCOMP_RET_KILL_THREAD = 0, SECCOMP_RET_KILL = 0,
        SECCOMP_RET_TRAP = 0x0003_0000, SECCOMP_RET_ERRNO = 0x0005_0000, SECCOMP_RET_USER_NOTIF = 0x7fc0_0000,
        SECCOMP_RET_TRACE = 0x7ff0_0000, SECCOMP_RET_LOG = 0x7ffc_0000, SECCOMP_RET_ALLOW = 0x7fff_0000,
        SECCOMP_RET_ACTION_FULL = 0xffff_0000, SECCOMP_RET_ACTION = 0x7fff_0000, SECCOMP_RET_DATA = 0xffff,
        SECCOMP_USER_NOTIF_FLAG_CONTINUE = 1, SECCOMP_USER_NOTIF_FD_SYNC_WAKE_UP = 1,
        SECCOMP_ADDFD_FLAG_SETFD = 1, SECCOMP_ADDFD_FLAG_SEND = 2,
        BPF_LD = 0, BPF_LDX = 1, BPF_ST = 2, BPF_STX = 3, BPF_ALU = 4, BPF_JMP = 5, BPF_RET = 6, BPF_MISC = 7,
        BPF_W = 0, BPF_H = 8, BPF_B = 16,
        BPF_IMM = 0, BPF_ABS = 0x20, BPF_IND = 0x40, BPF_MEM = 0x60, BPF_LEN = 0x80, BPF_MSH = 0xa0,
        BPF_ADD = 0, BPF_SUB = 0x10, BPF_MUL = 0x20, BPF_DIV = 0x30, BPF_OR = 0x40, BPF_AND = 0x50,
        BPF_LSH = 0x60, BPF_RSH = 0x70, BPF_NEG = 0x80, BPF_MOD = 0x90, BPF_XOR = 0xa0,
        BPF_JA = 0, BPF_JEQ = 0x10, BPF_JGT = 0x20, BPF_JGE = 0x30, BPF_JSET = 0x40,
        BPF_K = 0, BPF_X = 8, BPF_A = 0x10, BPF_TAX = 0, BPF_TXA = 0x80, BPF_MAXINSNS = 4096, BPF_MEMWORDS = 16,
    }

    /// capabilities(7); linux/capability.h.
    CAPABILITIES if (any(target_os = "linux", target_os = "android")) {
        CAP_CHOWN = 0, CAP_DAC_OVERRIDE = 1, CAP_DAC_READ_SEARCH = 2, CAP_FOWNER = 3, CAP_FSETID = 4,
        CAP_KILL = 5, CAP_SETGID = 6, CAP_SETUID = 7, CAP_SETPCAP = 8, CAP_LINUX_IMMUTABLE = 9,
        CAP_NET_BIND_SERVICE = 10, CAP_NET_BROADCAST = 11, CAP_NET_ADMIN = 12, CAP_NET_RAW = 13,
        CAP_IPC_LOCK = 14, CAP_IPC_OWNER = 15, CAP_SYS_MODULE = 16, CAP_SYS_RAWIO = 17, CAP_SYS_CHROOT = 18,
        CAP_SYS_PTRACE = 19, CAP_SYS_PACCT = 20, CAP_SYS_ADMIN = 21, CAP_SYS_BOOT = 22, CAP_SYS_NICE = 23,
        CAP_SYS_RESOURCE = 24, CAP_SYS_TIME = 25, CAP_SYS_TTY_CONFIG = 26, CAP_MKNOD = 27, CAP_LEASE = 28,
        CAP_AUDIT_WRITE = 29, CAP_AUDIT_CONTROL = 30, CAP_SETFCAP = 31, CAP_MAC_OVERRIDE = 32,
        CAP_MAC_ADMIN = 33, CAP_SYSLOG = 34, CAP_WAKE_ALARM = 35, CAP_BLOCK_SUSPEND = 36, CAP_AUDIT_READ = 37,
        CAP_PERFMON = 38, CAP_BPF = 39, CAP_CHECKPOINT_RESTORE = 40, CAP_LAST_CAP = 40,
    }

    /// The architectures that a filter of system calls sees; linux/audit.h, linux/elf-em.h.
    AUDIT if (any(target_os = "linux", target_os = "android")) {
        AUDIT_ARCH_AARCH64 = 0xc000_00b7, AUDIT_ARCH_ALPHA = 0xc000_9026, AUDIT_ARCH_ARM = 0x4000_0028,
        AUDIT_ARCH_ARMEB = 0x28, AUDIT_ARCH_I386 = 0x4000_0003, AUDIT_ARCH_LOONGARCH32 = 0x4000_0102,
        AUDIT_ARCH_LOONGARCH64 = 0xc000_0102, AUDIT_ARCH_M68K = 4, AUDIT_ARCH_MIPS = 8,
        AUDIT_ARCH_MIPSEL = 0x4000_0008, AUDIT_ARCH_MIPS64 = 0x8000_0008, AUDIT_ARCH_MIPS64N32 = 0xa000_0008,
        AUDIT_ARCH_MIPSEL64 = 0xc000_0008, AUDIT_ARCH_MIPSEL64N32 = 0xe000_0008, AUDIT_ARCH_PARISC = 15,
        AUDIT_ARCH_PARISC64 = 0x8000_000f, AUDIT_ARCH_PPC = 20, AUDIT_ARCH_PPC64 = 0x8000_0015,
        AUDIT_ARCH_PPC64LE = 0xc000_0015, AUDIT_ARCH_RISCV32 = 0x4000_00f3, AUDIT_ARCH_RISCV64 = 0xc000_00f3,
        AUDIT_ARCH_S390 = 22, AUDIT_ARCH_S390X = 0x8000_0016, AUDIT_ARCH_SPARC = 2,
        AUDIT_ARCH_SPARC64 = 0x8000_002b, AUDIT_ARCH_X86_64 = 0xc000_003e,
    }

    /// getrlimit(2).
    RLIMIT if (unix) {
        RLIMIT_CORE, RLIMIT_CPU, RLIMIT_DATA, RLIMIT_FSIZE, RLIMIT_MEMLOCK, RLIMIT_NOFILE, RLIMIT_NPROC,
        RLIMIT_RSS, RLIMIT_STACK,
        // Limits are unsigned, and -1 stands for this one on every platform.
        RLIM_INFINITY = -1,
    }

    /// What only Linux has.
    RLIMIT_LINUX if (any(target_os = "linux", target_os = "android")) {
        RLIMIT_AS, RLIMIT_LOCKS, RLIMIT_SIGPENDING, RLIMIT_MSGQUEUE, RLIMIT_NICE, RLIMIT_RTPRIO, RLIMIT_RTTIME,
    }

    /// What only FreeBSD has.
    RLIMIT_FREEBSD if (target_os = "freebsd") {
        RLIMIT_AS, RLIMIT_SBSIZE, RLIMIT_VMEM, RLIMIT_NPTS, RLIMIT_SWAP, RLIMIT_KQUEUES, RLIMIT_UMTXP,
    }

    /// waitpid(2), getpriority(2), getrusage(2).
    PROCESS if (unix) {
        WNOHANG, WUNTRACED, WCONTINUED,
        PRIO_PROCESS, PRIO_PGRP, PRIO_USER,
        RUSAGE_SELF, RUSAGE_CHILDREN,
    }

    /// What only Linux has; linux/wait.h, linux/random.h, linux/pidfd.h.
    PROCESS_LINUX if (any(target_os = "linux", target_os = "android")) {
        WALL = 0x4000_0000, WCLONE = 0x8000_0000, WNOTHREAD = 0x2000_0000,
        RUSAGE_THREAD,
        GRND_NONBLOCK = 1, GRND_RANDOM = 2, GRND_INSECURE = 4,
        PIDFD_NONBLOCK = libc::O_NONBLOCK as i64, PIDFD_THREAD = libc::O_EXCL as i64,
        PIDFD_SIGNAL_THREAD = 1, PIDFD_SIGNAL_THREAD_GROUP = 2, PIDFD_SIGNAL_PROCESS_GROUP = 4,
    }

    /// ptrace(2); linux/ptrace.h.
    PTRACE if (any(target_os = "linux", target_os = "android")) {
        PTRACE_TRACEME = 0, PTRACE_PEEKTEXT = 1, PTRACE_PEEKDATA = 2, PTRACE_PEEKUSR = 3, PTRACE_PEEKUSER = 3,
        PTRACE_POKETEXT = 4, PTRACE_POKEDATA = 5, PTRACE_POKEUSR = 6, PTRACE_POKEUSER = 6,
        PTRACE_CONT = 7, PTRACE_KILL = 8, PTRACE_SINGLESTEP = 9,
        PTRACE_ATTACH = 16, PTRACE_DETACH = 17, PTRACE_SYSCALL = 24,
        PTRACE_SETOPTIONS = 0x4200, PTRACE_GETEVENTMSG = 0x4201, PTRACE_GETSIGINFO = 0x4202,
        PTRACE_SETSIGINFO = 0x4203, PTRACE_GETREGSET = 0x4204, PTRACE_SETREGSET = 0x4205,
        PTRACE_SEIZE = 0x4206, PTRACE_INTERRUPT = 0x4207, PTRACE_LISTEN = 0x4208, PTRACE_PEEKSIGINFO = 0x4209,
        PTRACE_GETSIGMASK = 0x420a, PTRACE_SETSIGMASK = 0x420b, PTRACE_SECCOMP_GET_FILTER = 0x420c,
        PTRACE_SECCOMP_GET_METADATA = 0x420d, PTRACE_GET_SYSCALL_INFO = 0x420e,
        PTRACE_O_TRACESYSGOOD = 1, PTRACE_O_TRACEFORK = 1 << 1, PTRACE_O_TRACEVFORK = 1 << 2,
        PTRACE_O_TRACECLONE = 1 << 3, PTRACE_O_TRACEEXEC = 1 << 4, PTRACE_O_TRACEVFORKDONE = 1 << 5,
        PTRACE_O_TRACEEXIT = 1 << 6, PTRACE_O_TRACESECCOMP = 1 << 7, PTRACE_O_EXITKILL = 1 << 20,
        PTRACE_O_SUSPEND_SECCOMP = 1 << 21,
        PTRACE_EVENT_FORK = 1, PTRACE_EVENT_VFORK = 2, PTRACE_EVENT_CLONE = 3, PTRACE_EVENT_EXEC = 4,
        PTRACE_EVENT_VFORK_DONE = 5, PTRACE_EVENT_EXIT = 6, PTRACE_EVENT_SECCOMP = 7, PTRACE_EVENT_STOP = 128,
        NT_PRSTATUS = 1, NT_FPREGSET = 2,
    }

    /// asm/ptrace-abi.h. Other architectures have PTRACE_GETREGSET only.
    PTRACE_X86 if (all(any(target_os = "linux", target_os = "android"),
                       any(target_arch = "x86_64", target_arch = "x86"))) {
        PTRACE_GETREGS = 12, PTRACE_SETREGS = 13, PTRACE_GETFPREGS = 14, PTRACE_SETFPREGS = 15,
        PTRACE_SYSEMU = 31, PTRACE_SYSEMU_SINGLESTEP = 32,
    }

    /// socket(2) and what goes with it.
    SOCKET if (unix) {
        AF_UNSPEC, AF_UNIX, AF_INET, AF_INET6,
        SOCK_STREAM, SOCK_DGRAM, SOCK_SEQPACKET, SOCK_RAW,
        IPPROTO_IP, IPPROTO_ICMP, IPPROTO_TCP, IPPROTO_UDP, IPPROTO_IPV6, IPPROTO_ICMPV6,
        SOL_SOCKET, SO_REUSEADDR, SO_KEEPALIVE, SO_BROADCAST, SO_LINGER, SO_RCVBUF, SO_SNDBUF, SO_RCVTIMEO,
        SO_SNDTIMEO, SO_ERROR, SO_TYPE, SO_REUSEPORT,
        TCP_NODELAY, IPV6_V6ONLY,
        MSG_PEEK, MSG_WAITALL, MSG_DONTWAIT, MSG_OOB, MSG_TRUNC, MSG_CTRUNC, MSG_EOR,
        SHUT_RD, SHUT_WR, SHUT_RDWR, SOMAXCONN, SCM_RIGHTS,
    }

    /// What only Linux has.
    SOCKET_LINUX if (any(target_os = "linux", target_os = "android")) {
        AF_LOCAL = libc::AF_UNIX as i64, AF_NETLINK, AF_PACKET, AF_VSOCK, AF_ALG,
        SOCK_CLOEXEC, SOCK_NONBLOCK, SOCK_RDM,
        SO_PASSCRED, SO_PEERCRED, SO_DOMAIN, SO_PROTOCOL, SO_BINDTODEVICE, SO_MARK, SO_PRIORITY,
        MSG_NOSIGNAL, MSG_CMSG_CLOEXEC, MSG_MORE,
        NETLINK_ROUTE, NETLINK_KOBJECT_UEVENT,
    }

    /// poll(2).
    POLL if (unix) {
        POLLIN, POLLPRI, POLLOUT, POLLERR, POLLHUP, POLLNVAL,
        POLLRDNORM, POLLRDBAND, POLLWRNORM, POLLWRBAND,
    }

    /// What only Linux has.
    POLL_LINUX if (any(target_os = "linux", target_os = "android")) {
        POLLRDHUP,
    }

    /// ioctl(2): terminals and what most descriptors have.
    IOCTL if (unix) {
        TIOCSCTTY, TIOCGWINSZ, TIOCSWINSZ, FIONREAD, FIONBIO, FIOCLEX, FIONCLEX,
    }

    /// The same, where libc has their numbers.
    IOCTL_TTY if (not(any(target_os = "netbsd", target_os = "openbsd"))) {
        TIOCNOTTY, TIOCGPGRP, TIOCSPGRP, TIOCSTI, TIOCOUTQ, TIOCEXCL, TIOCNXCL,
    }

    /// What only Linux has; asm/ioctls.h, linux/sockios.h, linux/if_tun.h, linux/nsfs.h, linux/fs.h,
    /// linux/loop.h, linux/seccomp.h, linux/gpio.h.
    IOCTL_LINUX if (any(target_os = "linux", target_os = "android")) {
        TCGETS, TCSETS, TCSETSW, TCSETSF, TIOCGSID, TIOCINQ, TIOCGPTN, TIOCSPTLCK, TIOCGPTPEER,
        SIOCGIFNAME = 0x8910, SIOCGIFCONF = 0x8912, SIOCGIFFLAGS = 0x8913, SIOCSIFFLAGS = 0x8914,
        SIOCGIFADDR = 0x8915, SIOCSIFADDR = 0x8916, SIOCGIFNETMASK = 0x891b, SIOCSIFNETMASK = 0x891c,
        SIOCGIFMTU = 0x8921, SIOCSIFMTU = 0x8922, SIOCSIFNAME = 0x8923, SIOCGIFHWADDR = 0x8927,
        SIOCGIFINDEX = 0x8933, SIOCADDRT = 0x890b, SIOCDELRT = 0x890c,
        TUNSETIFF = iow::<u32>(b'T', 202), TUNSETPERSIST = iow::<u32>(b'T', 203),
        TUNSETOWNER = iow::<u32>(b'T', 204), TUNSETGROUP = iow::<u32>(b'T', 206),
        NS_GET_USERNS = io(0xb7, 1), NS_GET_PARENT = io(0xb7, 2), NS_GET_NSTYPE = io(0xb7, 3),
        NS_GET_OWNER_UID = io(0xb7, 4),
        FS_IOC_GETFLAGS = ior::<libc::c_long>(b'f', 1), FS_IOC_SETFLAGS = iow::<libc::c_long>(b'f', 2),
        FICLONE = iow::<u32>(0x94, 9), BLKGETSIZE64 = ior::<usize>(0x12, 114),
        LOOP_SET_FD = 0x4c00, LOOP_CLR_FD = 0x4c01, LOOP_CONFIGURE = 0x4c0a, LOOP_CTL_GET_FREE = 0x4c82,
        SECCOMP_IOCTL_NOTIF_RECV = iowr::<[u8; 80]>(b'!', 0), SECCOMP_IOCTL_NOTIF_SEND = iowr::<[u8; 24]>(b'!', 1),
        SECCOMP_IOCTL_NOTIF_ID_VALID = iow::<u64>(b'!', 2), SECCOMP_IOCTL_NOTIF_ADDFD = iow::<[u8; 24]>(b'!', 3),
        GPIO_GET_CHIPINFO_IOCTL = ior::<[u8; 68]>(0xb4, 1), GPIO_GET_LINEHANDLE_IOCTL = iowr::<[u8; 364]>(0xb4, 3),
        GPIOHANDLE_GET_LINE_VALUES_IOCTL = iowr::<[u8; 64]>(0xb4, 8),
        GPIOHANDLE_SET_LINE_VALUES_IOCTL = iowr::<[u8; 64]>(0xb4, 9),
        GPIO_V2_GET_LINEINFO_IOCTL = iowr::<[u8; 256]>(0xb4, 5), GPIO_V2_GET_LINE_IOCTL = iowr::<[u8; 592]>(0xb4, 7),
        GPIO_V2_LINE_GET_VALUES_IOCTL = iowr::<[u8; 16]>(0xb4, 14),
        GPIO_V2_LINE_SET_VALUES_IOCTL = iowr::<[u8; 16]>(0xb4, 15),
        IFF_UP = 1, IFF_LOOPBACK = 8, IFF_RUNNING = 64, IFF_TUN = 1, IFF_TAP = 2, IFF_NO_PI = 0x1000,
    }

    /// landlock(7); linux/landlock.h.
    LANDLOCK if (any(target_os = "linux", target_os = "android")) {
        LANDLOCK_RULE_PATH_BENEATH = 1, LANDLOCK_RULE_NET_PORT = 2,
        LANDLOCK_ACCESS_FS_EXECUTE = 1, LANDLOCK_ACCESS_FS_WRITE_FILE = 1 << 1,
        LANDLOCK_ACCESS_FS_READ_FILE = 1 << 2, LANDLOCK_ACCESS_FS_READ_DIR = 1 << 3,
        LANDLOCK_ACCESS_FS_REMOVE_DIR = 1 << 4, LANDLOCK_ACCESS_FS_REMOVE_FILE = 1 << 5,
        LANDLOCK_ACCESS_FS_MAKE_CHAR = 1 << 6, LANDLOCK_ACCESS_FS_MAKE_DIR = 1 << 7,
        LANDLOCK_ACCESS_FS_MAKE_REG = 1 << 8, LANDLOCK_ACCESS_FS_MAKE_SOCK = 1 << 9,
        LANDLOCK_ACCESS_FS_MAKE_FIFO = 1 << 10, LANDLOCK_ACCESS_FS_MAKE_BLOCK = 1 << 11,
        LANDLOCK_ACCESS_FS_MAKE_SYM = 1 << 12, LANDLOCK_ACCESS_FS_REFER = 1 << 13,
        LANDLOCK_ACCESS_FS_TRUNCATE = 1 << 14, LANDLOCK_ACCESS_FS_IOCTL_DEV = 1 << 15,
        LANDLOCK_ACCESS_NET_BIND_TCP = 1, LANDLOCK_ACCESS_NET_CONNECT_TCP = 2,
        LANDLOCK_SCOPE_ABSTRACT_UNIX_SOCKET = 1, LANDLOCK_SCOPE_SIGNAL = 2,
        LANDLOCK_RESTRICT_SELF_LOG_SAME_EXEC_OFF = 1, LANDLOCK_RESTRICT_SELF_LOG_NEW_EXEC_ON = 2,
        LANDLOCK_RESTRICT_SELF_LOG_SUBDOMAINS_OFF = 4,
    }

    /// signal(7): the names by which signals are reported, one for a number.
    SIGNALS if (unix) {
        SIGHUP, SIGINT, SIGQUIT, SIGILL, SIGTRAP, SIGABRT, SIGBUS, SIGFPE, SIGKILL, SIGUSR1, SIGSEGV, SIGUSR2,
        SIGPIPE, SIGALRM, SIGTERM, SIGCHLD, SIGCONT, SIGSTOP, SIGTSTP, SIGTTIN, SIGTTOU, SIGURG, SIGXCPU,
        SIGXFSZ, SIGVTALRM, SIGPROF, SIGWINCH, SIGIO, SIGSYS,
    }

    /// What only Linux has.
    SIGNALS_LINUX if (any(target_os = "linux", target_os = "android")) {
        SIGPWR,
    }

    /// What Linux has on most architectures.
    SIGNALS_STKFLT if (all(any(target_os = "linux", target_os = "android"),
                          not(any(target_arch = "mips", target_arch = "mips64", target_arch = "mips32r6",
                                  target_arch = "mips64r6", target_arch = "sparc", target_arch = "sparc64")))) {
        SIGSTKFLT,
    }

    /// What the BSDs have in common.
    SIGNALS_BSD if (any(target_vendor = "apple", target_os = "freebsd", target_os = "dragonfly",
                       target_os = "openbsd", target_os = "netbsd")) {
        SIGEMT, SIGINFO,
    }

    /// The kernel's real-time signals.
    SIGNALS_REALTIME if (any(target_os = "linux", target_os = "android")) {
        SIGRT32 = 32, SIGRT33 = 33, SIGRT34 = 34, SIGRT35 = 35, SIGRT36 = 36, SIGRT37 = 37, SIGRT38
        = 38, SIGRT39 = 39, SIGRT40 = 40, SIGRT41 = 41, SIGRT42 = 42, SIGRT43 = 43, SIGRT44 = 44,
        SIGRT45 = 45, SIGRT46 = 46, SIGRT47 = 47, SIGRT48 = 48, SIGRT49 = 49, SIGRT50 = 50, SIGRT51
        = 51, SIGRT52 = 52, SIGRT53 = 53, SIGRT54 = 54, SIGRT55 = 55, SIGRT56 = 56, SIGRT57 = 57,
        SIGRT58 = 58, SIGRT59 = 59, SIGRT60 = 60, SIGRT61 = 61, SIGRT62 = 62, SIGRT63 = 63, SIGRT64
        = 64,
    }

    /// Second names of signals.
    SIGNAL_ALIASES if (any(target_os = "linux", target_os = "android")) {
        SIGIOT = libc::SIGABRT as i64, SIGPOLL = libc::SIGIO as i64, SIGCLD = libc::SIGCHLD as i64,
    }
}

/// The tables of signals by which they are reported.
const SIGNAL_NAMES: [Rows; 5] = [
    SIGNALS,
    SIGNALS_LINUX,
    SIGNALS_STKFLT,
    SIGNALS_BSD,
    SIGNALS_REALTIME,
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_are_sorted_and_names_unique() {
        for group in Group::ALL {
            let names: Vec<_> = all(group).map(|(name, _)| name).collect();
            assert!(names.is_sorted(), "{}", group.name());
            assert!(
                names.windows(2).all(|pair| pair[0] != pair[1]),
                "{}",
                group.name()
            );
            for name in names {
                assert!(name.len() <= LONGEST, "{name}");
                assert_eq!(name, name.to_ascii_lowercase());
            }
        }
    }

    #[test]
    fn no_name_is_in_two_groups() {
        let mut names: Vec<_> = Group::ALL.into_iter().flat_map(all).collect();
        let all = names.len();
        names.sort();
        names.dedup_by_key(|(name, _)| *name);
        assert_eq!(names.len(), all);
    }

    #[test]
    fn every_constant_is_found_in_either_case() {
        for group in Group::ALL {
            for (name, value) in all(group) {
                assert_eq!(lookup(Some(group), name), Some(value), "{name}");
                assert_eq!(lookup(None, name), Some(value), "{name}");
                assert_eq!(
                    lookup(None, &name.to_ascii_uppercase()),
                    Some(value),
                    "{name}"
                );
            }
        }
    }

    #[test]
    fn what_is_not_there_is_unknown() {
        for name in ["", "clone_nonesuch", "é", "sigtermx", &"x".repeat(1000)] {
            assert_eq!(lookup(None, name), None, "{name}");
        }
        assert_eq!(lookup(Some(Group::File), "sigterm"), None);
        assert_eq!(lookup(Some(Group::Signal), "term"), None);
    }

    #[test]
    fn every_group_has_its_name_and_place() {
        for (place, group) in Group::ALL.into_iter().enumerate() {
            assert_eq!(group as usize, place);
            assert!(!group.name().is_empty());
        }
    }

    #[test]
    fn posix_values_are_those_of_libc() {
        let file = |name| lookup(Some(Group::File), name);
        assert_eq!(file("o_creat"), Some(i64::from(libc::O_CREAT)));
        assert_eq!(file("O_CLOEXEC"), Some(i64::from(libc::O_CLOEXEC)));
        assert_eq!(file("seek_end"), Some(i64::from(libc::SEEK_END)));
        assert_eq!(file("s_irusr"), Some(0o400));
        assert_eq!(file("s_isvtx"), Some(0o1000));
        assert_eq!(file("at_fdcwd"), Some(i64::from(libc::AT_FDCWD)));
        assert_eq!(
            lookup(Some(Group::Rlimit), "rlimit_nofile"),
            Some(libc::RLIMIT_NOFILE as i64)
        );
        assert_eq!(
            lookup(Some(Group::Signal), "SIGTERM"),
            Some(i64::from(libc::SIGTERM))
        );
    }

    #[test]
    fn signals_have_one_name_each() {
        assert_eq!(signal_name(libc::SIGTERM), Some("sigterm"));
        assert_eq!(signal_name(libc::SIGABRT), Some("sigabrt"));
        assert_eq!(signal_name(libc::SIGIO), Some("sigio"));
        for number in [i32::MIN, -1, 0, 1000, i32::MAX] {
            assert_eq!(signal_name(number), None, "{number}");
        }
        let mut numbers: Vec<_> = SIGNAL_NAMES.iter().flat_map(|rows| rows.iter()).collect();
        let all = numbers.len();
        numbers.sort_by_key(|(_, number)| *number);
        numbers.dedup_by_key(|(_, number)| *number);
        assert_eq!(numbers.len(), all);
        for (name, number) in numbers {
            assert_eq!(signal_name(*number as i32), Some(*name));
        }
    }

    #[cfg(target_os = "linux")]
    mod linux {
        use super::super::*;

        #[test]
        fn flags_that_fill_32_bits_are_positive() {
            assert_eq!(lookup(None, "clone_io"), Some(0x8000_0000));
            assert_eq!(lookup(None, "ms_nouser"), Some(0x8000_0000));
            assert_eq!(lookup(None, "seccomp_ret_kill_process"), Some(0x8000_0000));
            assert_eq!(lookup(None, "pr_set_ptracer_any"), Some(-1));
        }

        #[test]
        fn mount_flags_need_no_prefix() {
            for name in ["rdonly", "ms_rdonly", "MS_RDONLY", "mnt_rdonly"] {
                assert_eq!(
                    lookup(Some(Group::Mount), name),
                    Some(libc::MS_RDONLY as i64),
                    "{name}"
                );
                assert_eq!(lookup(None, name), Some(libc::MS_RDONLY as i64), "{name}");
            }
            assert_eq!(
                lookup(Some(Group::Mount), "detach"),
                Some(i64::from(libc::MNT_DETACH))
            );
            assert_eq!(
                lookup(Some(Group::Mount), "mnt_detach"),
                Some(i64::from(libc::MNT_DETACH))
            );
            assert_eq!(
                lookup(Some(Group::Mount), "private"),
                Some(libc::MS_PRIVATE as i64)
            );
        }

        #[test]
        fn system_calls_have_three_names() {
            for name in [
                "sys_getpid",
                "SYS_GETPID",
                "__nr_getpid",
                "__NR_getpid",
                "getpid",
            ] {
                assert_eq!(
                    lookup(Some(Group::Syscall), name),
                    Some(libc::SYS_getpid),
                    "{name}"
                );
                assert_eq!(lookup(None, name), Some(libc::SYS_getpid), "{name}");
            }
            let last = ::syscalls::Sysno::last();
            assert_eq!(
                lookup(Some(Group::Syscall), last.name()),
                Some(i64::from(last.id()))
            );
            // Some have two names.
            let mut numbers: Vec<_> = all(Group::Syscall).map(|(_, number)| number).collect();
            numbers.sort_unstable();
            numbers.dedup();
            assert!(numbers.len() >= ::syscalls::Sysno::count());
        }

        #[test]
        fn a_full_name_goes_before_a_short_one() {
            assert_eq!(lookup(None, "bind"), Some(libc::MS_BIND as i64));
            assert_eq!(lookup(None, "sys_bind"), Some(libc::SYS_bind));
            assert_eq!(lookup(Some(Group::Syscall), "bind"), Some(libc::SYS_bind));
        }

        #[test]
        fn real_time_signals_have_numbers_in_their_names() {
            assert_eq!(signal_name(34), Some("sigrt34"));
            assert_eq!(lookup(Some(Group::Signal), "sigrt64"), Some(64));
            assert_eq!(lookup(None, "sigrtmin"), Some(i64::from(libc::SIGRTMIN())));
            assert_eq!(lookup(None, "sigcld"), Some(i64::from(libc::SIGCHLD)));
        }

        #[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
        #[test]
        fn requests_are_those_of_the_headers() {
            let same = [
                ("tunsetiff", 0x4004_54ca),
                ("ns_get_userns", 0xb701),
                ("fs_ioc_getflags", 0x8008_6601),
                ("ficlone", 0x4004_9409),
                ("blkgetsize64", 0x8008_1272),
                ("seccomp_ioctl_notif_recv", 0xc050_2100),
                ("gpio_get_chipinfo_ioctl", 0x8044_b401),
                ("gpio_get_linehandle_ioctl", 0xc16c_b403),
                ("gpio_v2_get_line_ioctl", 0xc250_b407),
                ("gpio_v2_line_set_values_ioctl", 0xc010_b40f),
            ];
            for (name, value) in same {
                assert_eq!(lookup(Some(Group::Ioctl), name), Some(value), "{name}");
            }
        }

        #[test]
        fn numbers_that_are_written_out_are_those_of_the_headers() {
            let same = [
                ("clone_pidfd", i64::from(libc::CLONE_PIDFD)),
                ("clone_newtime", i64::from(libc::CLONE_NEWTIME)),
                ("umount_nofollow", i64::from(libc::UMOUNT_NOFOLLOW)),
                ("ms_nosymfollow", libc::MS_NOSYMFOLLOW as i64),
                ("at_recursive", i64::from(libc::AT_RECURSIVE)),
                ("f_ofd_setlkw", i64::from(libc::F_OFD_SETLKW)),
                ("f_add_seals", i64::from(libc::F_ADD_SEALS)),
                ("seek_hole", i64::from(libc::SEEK_HOLE)),
                ("resolve_cached", libc::RESOLVE_CACHED as i64),
                ("pr_set_seccomp", i64::from(libc::PR_SET_SECCOMP)),
                ("pr_set_ptracer", i64::from(libc::PR_SET_PTRACER)),
                ("pr_cap_ambient", i64::from(libc::PR_CAP_AMBIENT)),
                ("pr_set_vma", i64::from(libc::PR_SET_VMA)),
                ("seccomp_ret_errno", i64::from(libc::SECCOMP_RET_ERRNO)),
                (
                    "seccomp_ret_user_notif",
                    i64::from(libc::SECCOMP_RET_USER_NOTIF),
                ),
                ("secbit_keep_caps", i64::from(libc::SECBIT_KEEP_CAPS)),
            ];
            for (name, value) in same {
                assert_eq!(lookup(None, name), Some(value), "{name}");
            }
        }
    }
}
