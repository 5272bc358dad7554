//! Tries to get out of a sandbox, from inside, and writes a line for each thing that it tries:
//! `held NAME` or `broke NAME: DETAIL`. The first argument is the path of a file of the host that
//! must not be in reach; names after it are those of all that is to be tried.
#![cfg(target_os = "linux")]

use std::ffi::CString;
use std::fs::{self, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};

/// What came of trying something: `Ok` when it held.
type Tried = Result<(), String>;

/// Something to try, by its name.
type Try = (&'static str, fn(&Path) -> Tried);

const TRIES: &[Try] = &[
    ("descriptors", descriptors),
    ("environment", environment),
    ("signals_are_default", signals),
    ("capabilities", capabilities),
    ("no_new_privs", no_new_privs),
    ("setuid", setuid),
    ("host_by_path", host_by_path),
    ("host_by_proc_root", host_by_proc),
    ("host_by_chroot", host_by_chroot),
    ("chroot", |_| {
        refused("chroot", libc::SYS_chroot, &[pointer(&cstring("/"))])
    }),
    ("mount", mount),
    ("umount", umount),
    ("remount", remount),
    ("mount_api", mount_api),
    ("unshare_user", |_| {
        refused("unshare", libc::SYS_unshare, &[0x1000_0000])
    }),
    ("unshare_mount", |_| {
        refused("unshare", libc::SYS_unshare, &[0x0002_0000])
    }),
    ("clone_user", |_| {
        refused("clone", libc::SYS_clone, &[0x1000_0000 | 17])
    }),
    ("setns", setns),
    ("mknod", mknod),
    ("devices", devices),
    ("sysrq", |_| unwritable("/proc/sysrq-trigger")),
    ("core_pattern", |_| {
        unwritable("/proc/sys/kernel/core_pattern")
    }),
    ("kcore", |_| unreadable("/proc/kcore")),
    ("keys_are_masked", |_| empty("/proc/keys")),
    ("timers_are_masked", |_| empty("/proc/timer_list")),
    ("cgroups", cgroups),
    ("executables", executables),
    ("ptrace", ptrace),
    ("add_key", |_| refused("add_key", libc::SYS_add_key, &[])),
    ("keyctl", |_| {
        refused("keyctl", libc::SYS_keyctl, &[0, (-3_i64) as u64, 0])
    }),
    ("bpf", |_| refused("bpf", libc::SYS_bpf, &[])),
    ("perf", |_| {
        refused("perf_event_open", libc::SYS_perf_event_open, &[])
    }),
    ("userfaultfd", |_| {
        refused("userfaultfd", libc::SYS_userfaultfd, &[1])
    }),
    ("io_uring", |_| {
        refused("io_uring_setup", libc::SYS_io_uring_setup, &[1, 0])
    }),
    ("open_by_handle", |_| {
        refused("open_by_handle_at", libc::SYS_open_by_handle_at, &[])
    }),
    ("clone3", |_| refused("clone3", libc::SYS_clone3, &[])),
    ("netlink", |_| {
        no_socket(
            libc::AF_NETLINK,
            libc::SOCK_RAW,
            libc::NETLINK_KOBJECT_UEVENT,
        )
    }),
    ("vsock", |_| no_socket(libc::AF_VSOCK, libc::SOCK_STREAM, 0)),
    ("packet", |_| no_socket(libc::AF_PACKET, libc::SOCK_RAW, 0)),
    ("alg", |_| no_socket(libc::AF_ALG, libc::SOCK_SEQPACKET, 0)),
    ("raw", |_| {
        no_socket(libc::AF_INET, libc::SOCK_RAW, libc::IPPROTO_ICMP)
    }),
    ("abstract_socket", abstract_socket),
    ("tiocsti", tiocsti),
    ("processes", processes),
    ("other_architectures", architectures),
    ("root_is_read_only", |_| unwritable("/probe")),
    ("system_is_read_only", |_| unwritable("/usr/probe")),
    ("hostname", |_| {
        refused("sethostname", libc::SYS_sethostname, &[0, 0])
    }),
];

fn main() {
    let secret = std::env::args_os()
        .nth(1)
        .map_or_else(PathBuf::new, PathBuf::from);
    let wanted: Vec<_> = std::env::args().skip(2).collect();
    let is_wanted = |name: &str| wanted.is_empty() || wanted.iter().any(|one| one == name);
    for (name, attempt) in TRIES.iter().filter(|(name, _)| is_wanted(name)) {
        // Each in a process of its own: what one has gained is not for the next.
        // SAFETY: there is one thread, and the child goes on as this process would have.
        match unsafe { libc::fork() } {
            0 => {
                match attempt(&secret) {
                    Ok(()) => println!("held {name}"),
                    Err(detail) => println!("broke {name}: {detail}"),
                }
                std::process::exit(0);
            }
            -1 => println!("broke {name}: {}", io::Error::last_os_error()),
            pid => {
                // SAFETY: the status isn't wanted.
                unsafe { libc::waitpid(pid, std::ptr::null_mut(), 0) };
            }
        }
    }
    println!("done");
}

/// A system call, with arguments that are zero where none are given.
fn call(number: libc::c_long, args: &[u64]) -> io::Result<libc::c_long> {
    // As wide as a register is here.
    let arg = |n: usize| args.get(n).copied().unwrap_or(0) as usize;
    // SAFETY: pointers are null or to strings that the caller keeps; what the kernel does with
    // them is what is tried.
    let result = unsafe { libc::syscall(number, arg(0), arg(1), arg(2), arg(3), arg(4), arg(5)) };
    if result < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(result)
    }
}

/// It is refused by who may, not for its arguments.
fn refused(name: &str, number: libc::c_long, args: &[u64]) -> Tried {
    match call(number, args) {
        // A process that was made goes on from here: it is not to try the rest as well.
        Ok(0) if number == libc::SYS_clone => std::process::exit(0),
        Ok(result) => Err(format!("{name} returned {result}")),
        Err(error) => denied(name, &error),
    }
}

fn denied(name: &str, error: &io::Error) -> Tried {
    match error.raw_os_error() {
        Some(
            libc::EPERM
            | libc::EACCES
            | libc::ENOSYS
            | libc::EROFS
            | libc::EAFNOSUPPORT
            | libc::EPROTONOSUPPORT
            | libc::ESOCKTNOSUPPORT
            | libc::ENOENT
            | libc::ENOSPC,
        ) => Ok(()),
        _ => Err(format!("{name}: {error}")),
    }
}

fn cstring(path: impl AsRef<Path>) -> CString {
    CString::new(path.as_ref().as_os_str().as_encoded_bytes()).unwrap_or_default()
}

fn pointer(text: &CString) -> u64 {
    text.as_ptr() as u64
}

fn status(field: &str) -> String {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with(field));
    line.and_then(|line| line.split_once(':'))
        .map_or_else(String::new, |(_, value)| value.trim().to_owned())
}

fn descriptors(_: &Path) -> Tried {
    let own = fs::read_dir("/proc/self/fd").map_err(|error| error.to_string())?;
    let open: Vec<_> = own.flatten().map(|entry| entry.file_name()).collect();
    // The directory itself is one.
    if open.len() <= 4 {
        Ok(())
    } else {
        Err(format!("{open:?}"))
    }
}

fn environment(_: &Path) -> Tried {
    let known = ["PATH", "HOME", "LANG", "PWD"];
    let more: Vec<_> = std::env::vars()
        .map(|(name, _)| name)
        .filter(|name| !known.contains(&name.as_str()))
        .collect();
    if more.is_empty() {
        Ok(())
    } else {
        Err(format!("{more:?}"))
    }
}

fn signals(_: &Path) -> Tried {
    // Rust's own start ignores SIGPIPE.
    let ignored = u64::from_str_radix(&status("SigIgn"), 16).unwrap_or(u64::MAX)
        & !(1 << (libc::SIGPIPE - 1));
    let blocked = u64::from_str_radix(&status("SigBlk"), 16).unwrap_or(u64::MAX);
    if (ignored, blocked) == (0, 0) {
        Ok(())
    } else {
        Err(format!("{ignored:x} {blocked:x}"))
    }
}

fn capabilities(_: &Path) -> Tried {
    for set in ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"] {
        let value = status(set);
        if value.chars().any(|digit| digit != '0') || value.is_empty() {
            return Err(format!("{set} {value}"));
        }
    }
    Ok(())
}

fn no_new_privs(_: &Path) -> Tried {
    if status("NoNewPrivs") == "1" {
        Ok(())
    } else {
        Err(String::new())
    }
}

fn setuid(_: &Path) -> Tried {
    match call(libc::SYS_setuid, &[0]) {
        Ok(_) => Err("is 0".to_owned()),
        Err(_) => Ok(()),
    }
}

fn reached(path: &Path) -> Tried {
    match fs::read(path) {
        Ok(_) => Err(path.display().to_string()),
        Err(_) => Ok(()),
    }
}

/// The secret below what may be another root.
fn below(root: &str, secret: &Path) -> PathBuf {
    Path::new(root).join(secret.strip_prefix("/").unwrap_or(secret))
}

fn host_by_path(secret: &Path) -> Tried {
    reached(secret)?;
    reached(&below("/../../../../../..", secret))
}

fn host_by_proc(secret: &Path) -> Tried {
    let own = fs::read_dir("/proc").map_err(|error| error.to_string())?;
    for entry in own.flatten() {
        for link in ["root", "cwd", "fd/0/..", "fd/3", "fd/4", "fd/10"] {
            let link = entry.path().join(link);
            reached(&below(&link.to_string_lossy(), secret))?;
            reached(&below(
                &format!("{}/../../../../../..", link.display()),
                secret,
            ))?;
        }
    }
    Ok(())
}

fn host_by_chroot(secret: &Path) -> Tried {
    let _ = fs::create_dir("/tmp/probe");
    let Ok(root) = fs::File::open("/") else {
        return Ok(());
    };
    let jail = cstring("/tmp/probe");
    if call(libc::SYS_chroot, &[pointer(&jail)]).is_err() {
        return Ok(());
    }
    let _ = call(
        libc::SYS_fchdir,
        &[std::os::fd::AsRawFd::as_raw_fd(&root) as u64],
    );
    for _ in 0..50 {
        let _ = std::env::set_current_dir("..");
    }
    reached(secret.strip_prefix("/").unwrap_or(secret))
}

/// A socket of the host's whose name is in no file system: that of the secret.
fn abstract_socket(secret: &Path) -> Tried {
    use std::os::linux::net::SocketAddrExt;
    use std::os::unix::net::{SocketAddr, UnixStream};
    let name = secret.as_os_str().as_encoded_bytes();
    let address = SocketAddr::from_abstract_name(name).map_err(|error| error.to_string())?;
    match UnixStream::connect_addr(&address) {
        Ok(_) => Err("connected".to_owned()),
        Err(_) => Ok(()),
    }
}

fn mount(_: &Path) -> Tried {
    let (kind, target) = (cstring("tmpfs"), cstring("/tmp"));
    refused(
        "mount",
        libc::SYS_mount,
        &[pointer(&kind), pointer(&target), pointer(&kind)],
    )
}

fn umount(_: &Path) -> Tried {
    for target in ["/proc/sys", "/usr", "/dev", "/"] {
        let target = cstring(target);
        refused("umount2", libc::SYS_umount2, &[pointer(&target), 2])?;
    }
    Ok(())
}

fn remount(_: &Path) -> Tried {
    let target = cstring("/usr");
    refused(
        "mount",
        libc::SYS_mount,
        // MS_REMOUNT and MS_BIND, which aren't as wide everywhere.
        &[0, pointer(&target), 0, 0x1020],
    )
}

fn mount_api(_: &Path) -> Tried {
    let (kind, target) = (cstring("tmpfs"), cstring("/usr"));
    refused("fsopen", libc::SYS_fsopen, &[pointer(&kind)])?;
    refused(
        "open_tree",
        libc::SYS_open_tree,
        &[libc::AT_FDCWD as u64, pointer(&target), 1],
    )
}

fn setns(_: &Path) -> Tried {
    for name in ["mnt", "pid", "net", "user", "ipc", "uts", "cgroup"] {
        let Ok(namespace) = fs::File::open(format!("/proc/1/ns/{name}")) else {
            continue;
        };
        match call(
            libc::SYS_setns,
            &[std::os::fd::AsRawFd::as_raw_fd(&namespace) as u64, 0],
        ) {
            Ok(_) => return Err(name.to_owned()),
            // Its own user namespace is refused so.
            Err(error) if name == "user" && error.raw_os_error() == Some(libc::EINVAL) => {}
            Err(error) => denied("setns", &error)?,
        }
    }
    Ok(())
}

fn mknod(_: &Path) -> Tried {
    let path = cstring("/tmp/device");
    refused(
        "mknodat",
        libc::SYS_mknodat,
        &[libc::AT_FDCWD as u64, pointer(&path), 0o60_600, 0x0800],
    )
}

fn devices(_: &Path) -> Tried {
    let known = [
        "null", "zero", "full", "random", "urandom", "tty", "pts", "ptmx", "shm", "fd", "stdin",
        "stdout", "stderr", "console", "mqueue", "core",
    ];
    let here = fs::read_dir("/dev").map_err(|error| error.to_string())?;
    let more: Vec<_> = here
        .flatten()
        .map(|entry| entry.file_name())
        .filter(|name| !known.iter().any(|known| name == known))
        .collect();
    if more.is_empty() {
        Ok(())
    } else {
        Err(format!("{more:?}"))
    }
}

fn unwritable(path: &str) -> Tried {
    match OpenOptions::new()
        .write(true)
        .create(path.ends_with("probe"))
        .truncate(false)
        .open(path)
    {
        Ok(_) => Err(format!("{path} opens")),
        Err(_) => Ok(()),
    }
}

fn unreadable(path: &str) -> Tried {
    empty(path)
}

fn empty(path: &str) -> Tried {
    let mut some = [0; 16];
    match fs::File::open(path).and_then(|mut file| io::Read::read(&mut file, &mut some)) {
        Ok(0) | Err(_) => Ok(()),
        Ok(_) => Err(format!("{path} can be read")),
    }
}

fn cgroups(_: &Path) -> Tried {
    let target = Path::new("/sys/fs/cgroup/probe");
    if fs::create_dir(target).is_ok() {
        let _ = fs::remove_dir(target);
        return Err("a group can be made".to_owned());
    }
    let (kind, place) = (cstring("cgroup2"), cstring("/tmp"));
    refused(
        "mount",
        libc::SYS_mount,
        &[pointer(&kind), pointer(&place), pointer(&kind)],
    )
}

fn executables(_: &Path) -> Tried {
    for path in ["/proc/1/exe", "/proc/self/exe"] {
        if OpenOptions::new().write(true).open(path).is_ok() {
            return Err(format!("{path} opens"));
        }
    }
    Ok(())
}

fn ptrace(_: &Path) -> Tried {
    // PTRACE_SEIZE, which stops nobody, of whoever is 1.
    refused("ptrace", libc::SYS_ptrace, &[0x4206, 1])
}

fn no_socket(family: i32, kind: i32, protocol: i32) -> Tried {
    refused(
        "socket",
        libc::SYS_socket,
        &[family as u64, kind as u64, protocol as u64],
    )
}

fn tiocsti(_: &Path) -> Tried {
    let key = b'x';
    for request in [0x5412, 0x1_0000_5412_u64] {
        for fd in 0..3 {
            if call(libc::SYS_ioctl, &[fd, request, &raw const key as u64]).is_ok() {
                return Err("a key was pressed".to_owned());
            }
        }
    }
    Ok(())
}

/// Processes of others have numbers far above those of a new namespace.
fn processes(_: &Path) -> Tried {
    let own = fs::read_dir("/proc").map_err(|error| error.to_string())?;
    let pids: Vec<u32> = own
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .collect();
    if pids.len() < 8 {
        Ok(())
    } else {
        Err(format!("{} are seen", pids.len()))
    }
}

/// i386 calls and x32 numbers don't get round the filter: no other process is made by them, and
/// getpid(2) isn't answered.
fn architectures(_: &Path) -> Tried {
    #[cfg(target_arch = "x86_64")]
    {
        if call(libc::SYS_getpid | 0x4000_0000, &[]).is_ok() {
            return Err("x32".to_owned());
        }
        // SAFETY: the child does nothing but what is tried, and ends.
        let pid = unsafe { libc::fork() };
        if pid == 0 {
            let answer: i32;
            // SAFETY: getpid(2) of i386, which takes no arguments.
            unsafe { std::arch::asm!("int 0x80", inlateout("eax") 20 => answer) };
            std::process::exit(i32::from(answer > 0));
        }
        let mut status = 0;
        // SAFETY: the status is written to.
        unsafe { libc::waitpid(pid, &raw mut status, 0) };
        if libc::WIFEXITED(status) && libc::WEXITSTATUS(status) == 1 {
            return Err("i386".to_owned());
        }
    }
    Ok(())
}
