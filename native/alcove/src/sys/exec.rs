//! exec. All but the making of lists allocates nothing: a process that shares its memory may do it.

use libc::c_char;
use nix::errno::Errno;
use std::ffi::CStr;
use std::marker::PhantomData;
use std::ptr::null;

/// The arguments or the environment of a program, as the kernel takes them.
#[derive(Clone)]
pub struct Strings<'a> {
    /// The last is null.
    pointers: Vec<*const c_char>,
    strings: PhantomData<&'a CStr>,
}

impl<'a> FromIterator<&'a CStr> for Strings<'a> {
    fn from_iter<I: IntoIterator<Item = &'a CStr>>(strings: I) -> Self {
        let pointers = strings.into_iter().map(CStr::as_ptr);
        Strings {
            pointers: pointers.chain([null()]).collect(),
            strings: PhantomData,
        }
    }
}

impl<'a> Strings<'a> {
    /// The strings.
    pub fn iter(&self) -> impl Iterator<Item = &'a CStr> {
        let strings = self.pointers.iter().take_while(|string| !string.is_null());
        // SAFETY: they were made of such strings, which live as long.
        strings.map(|string| unsafe { CStr::from_ptr(*string) })
    }

    /// The pointers to them, and a null pointer.
    pub fn pointers(&self) -> &[*const c_char] {
        &self.pointers
    }
}

/// execve(2). Returns only if it fails, and then why.
pub fn execve(file: &CStr, argv: &Strings<'_>, env: &Strings<'_>) -> Errno {
    let (argv, env) = (argv.pointers.as_ptr(), env.pointers.as_ptr());
    // SAFETY: the strings and their lists live until the call returns.
    unsafe { libc::execve(file.as_ptr(), argv, env) };
    Errno::last()
}

/// execvp(3). Returns only if it fails, and then why.
pub fn execvp(file: &CStr, argv: &Strings<'_>) -> Errno {
    // SAFETY: the strings and their list live until the call returns.
    unsafe { libc::execvp(file.as_ptr(), argv.pointers.as_ptr()) };
    Errno::last()
}

/// fexecve(3). Returns only if it fails, and then why. On Linux it isn't the C library's, which
/// looks for the file in /proc where the kernel is old.
#[cfg(any(target_os = "linux", target_os = "freebsd"))]
pub fn fexecve(fd: libc::c_int, argv: &Strings<'_>, env: &Strings<'_>) -> Errno {
    let (argv, env) = (argv.pointers.as_ptr(), env.pointers.as_ptr());
    #[cfg(target_os = "linux")]
    // SAFETY: the strings and their lists live until the call returns; the empty path ends with
    // a NUL.
    unsafe {
        let (none, flags) = (c"".as_ptr(), libc::AT_EMPTY_PATH);
        libc::syscall(libc::SYS_execveat, fd, none, argv, env, flags);
    }
    #[cfg(not(target_os = "linux"))]
    // SAFETY: the strings and their lists live until the call returns.
    unsafe {
        libc::fexecve(fd, argv, env);
    }
    Errno::last()
}

/// What execvp(3) has the shell run if a program is a script without a `#!` line. It is made
/// beforehand, since a process that shares its memory doesn't allocate.
#[derive(Clone)]
pub struct Script<'a>(Strings<'a>);

impl<'a> Script<'a> {
    /// With the arguments of the program.
    pub fn new(argv: &Strings<'a>) -> Self {
        let file = c"";
        Script(
            [c"/bin/sh", file]
                .into_iter()
                .chain(argv.iter().skip(1))
                .collect(),
        )
    }

    /// Executes such a file. Returns only if it fails, and then why.
    pub fn execve(&mut self, file: &CStr, env: &Strings<'_>) -> Errno {
        let before = std::mem::replace(&mut self.0.pointers[1], file.as_ptr());
        let errno = execve(c"/bin/sh", &self.0, env);
        self.0.pointers[1] = before;
        errno
    }
}
