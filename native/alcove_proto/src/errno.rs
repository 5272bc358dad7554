//! Names of error numbers, as Erlang's `posix()` has them.

/// The largest number a kernel gives.
pub const MAX: u16 = 4095;

/// Matches a number against the constants that the platform has. The first of several
/// names for one number is taken.
macro_rules! names {
    ($number:expr; $($(#[$platform:meta])* $constant:ident $name:literal,)*) => {
        match $number {
            $($(#[$platform])* libc::$constant => Some($name),)*
            _ => None,
        }
    };
}

/// The lower-case name of an error number: `eacces`. `None` when the platform has
/// no name for it.
///
/// Where two names share a number, the one is taken that Erlang itself gives:
/// `eagain` (not `ewouldblock`), `edeadlk` (not `edeadlock`), `enotsup` (not `eopnotsupp`,
/// its twin on Linux). Numbers that Erlang calls `unknown` have the names of errno(3).
pub fn name(number: u16) -> Option<&'static str> {
    #[allow(
        unreachable_patterns,
        reason = "on some platforms two names are one number"
    )]
    let name = names! { i32::from(number);
        E2BIG "e2big",
        EACCES "eacces",
        EADDRINUSE "eaddrinuse",
        EADDRNOTAVAIL "eaddrnotavail",
        EAFNOSUPPORT "eafnosupport",
        EAGAIN "eagain",
        EALREADY "ealready",
        EBADF "ebadf",
        EBUSY "ebusy",
        ECANCELED "ecanceled",
        ECHILD "echild",
        ECONNABORTED "econnaborted",
        ECONNREFUSED "econnrefused",
        ECONNRESET "econnreset",
        EDEADLK "edeadlk",
        EDESTADDRREQ "edestaddrreq",
        EDOM "edom",
        EDQUOT "edquot",
        EEXIST "eexist",
        EFAULT "efault",
        EFBIG "efbig",
        EHOSTDOWN "ehostdown",
        EHOSTUNREACH "ehostunreach",
        EIDRM "eidrm",
        EILSEQ "eilseq",
        EINPROGRESS "einprogress",
        EINTR "eintr",
        EINVAL "einval",
        EIO "eio",
        EISCONN "eisconn",
        EISDIR "eisdir",
        ELOOP "eloop",
        EMFILE "emfile",
        EMLINK "emlink",
        EMSGSIZE "emsgsize",
        ENAMETOOLONG "enametoolong",
        ENETDOWN "enetdown",
        ENETRESET "enetreset",
        ENETUNREACH "enetunreach",
        ENFILE "enfile",
        ENOBUFS "enobufs",
        ENODEV "enodev",
        ENOENT "enoent",
        ENOEXEC "enoexec",
        ENOLCK "enolck",
        ENOMEM "enomem",
        ENOMSG "enomsg",
        ENOPROTOOPT "enoprotoopt",
        ENOSPC "enospc",
        ENOSYS "enosys",
        ENOTBLK "enotblk",
        ENOTCONN "enotconn",
        ENOTDIR "enotdir",
        ENOTEMPTY "enotempty",
        ENOTSOCK "enotsock",
        ENOTSUP "enotsup",
        ENOTTY "enotty",
        ENXIO "enxio",
        EOPNOTSUPP "eopnotsupp",
        EOVERFLOW "eoverflow",
        EPERM "eperm",
        EPFNOSUPPORT "epfnosupport",
        EPIPE "epipe",
        EPROTONOSUPPORT "eprotonosupport",
        EPROTOTYPE "eprototype",
        ERANGE "erange",
        EREMOTE "eremote",
        EROFS "erofs",
        ESHUTDOWN "eshutdown",
        ESOCKTNOSUPPORT "esocktnosupport",
        ESPIPE "espipe",
        ESRCH "esrch",
        ESTALE "estale",
        ETIMEDOUT "etimedout",
        ETOOMANYREFS "etoomanyrefs",
        ETXTBSY "etxtbsy",
        EUSERS "eusers",
        EXDEV "exdev",
    };
    name.or_else(|| more(i32::from(number)))
}

/// What only Linux has.
#[cfg(any(target_os = "linux", target_os = "android"))]
fn more(number: i32) -> Option<&'static str> {
    #[allow(
        unreachable_patterns,
        reason = "on some architectures two names are one number"
    )]
    {
        names! { number;
            EADV "eadv",
            EBADE "ebade",
            EBADFD "ebadfd",
            EBADMSG "ebadmsg",
            EBADR "ebadr",
            EBADRQC "ebadrqc",
            EBADSLT "ebadslt",
            EBFONT "ebfont",
            ECHRNG "echrng",
            ECOMM "ecomm",
            EDEADLOCK "edeadlock",
            EDOTDOT "edotdot",
            EHWPOISON "ehwpoison",
            EISNAM "eisnam",
            EKEYEXPIRED "ekeyexpired",
            EKEYREJECTED "ekeyrejected",
            EKEYREVOKED "ekeyrevoked",
            EL2HLT "el2hlt",
            EL2NSYNC "el2nsync",
            EL3HLT "el3hlt",
            EL3RST "el3rst",
            ELIBACC "elibacc",
            ELIBBAD "elibbad",
            ELIBEXEC "elibexec",
            ELIBMAX "elibmax",
            ELIBSCN "elibscn",
            ELNRNG "elnrng",
            EMEDIUMTYPE "emediumtype",
            EMULTIHOP "emultihop",
            ENAVAIL "enavail",
            ENOANO "enoano",
            ENOCSI "enocsi",
            ENODATA "enodata",
            ENOKEY "enokey",
            ENOLINK "enolink",
            ENOMEDIUM "enomedium",
            ENONET "enonet",
            ENOPKG "enopkg",
            ENOSR "enosr",
            ENOSTR "enostr",
            ENOTNAM "enotnam",
            ENOTRECOVERABLE "enotrecoverable",
            ENOTUNIQ "enotuniq",
            EOWNERDEAD "eownerdead",
            EPROTO "eproto",
            EREMCHG "eremchg",
            EREMOTEIO "eremoteio",
            ERESTART "erestart",
            ERFKILL "erfkill",
            ESRMNT "esrmnt",
            ESTRPIPE "estrpipe",
            ETIME "etime",
            EUCLEAN "euclean",
            EUNATCH "eunatch",
            EXFULL "exfull",
        }
    }
}

/// What only the BSDs have.
#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn more(number: i32) -> Option<&'static str> {
    names! { number;
        EAUTH "eauth",
        EFTYPE "eftype",
        ENEEDAUTH "eneedauth",
        EPROCLIM "eproclim",
        EPROCUNAVAIL "eprocunavail",
        EPROGMISMATCH "eprogmismatch",
        EPROGUNAVAIL "eprogunavail",
        ERPCMISMATCH "erpcmismatch",
        EBADRPC "ebadrpc",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_the_erlang_ones() {
        assert_eq!(name(libc::EACCES as u16), Some("eacces"));
        assert_eq!(name(libc::EAGAIN as u16), Some("eagain"));
        assert_eq!(name(libc::EWOULDBLOCK as u16), Some("eagain"));
        assert_eq!(name(libc::EDEADLK as u16), Some("edeadlk"));
        assert_eq!(name(libc::ENOTSUP as u16), Some("enotsup"));
    }

    #[test]
    fn other_numbers_have_no_name() {
        assert_eq!(name(0), None);
        assert_eq!(name(MAX), None);
        assert_eq!(name(u16::MAX), None);
    }

    /// What the Erlang emulator's erl_errno_id() gives for 1 to 133, "-" where it gives
    /// "unknown".
    #[cfg(all(target_os = "linux", target_arch = "x86_64"))]
    #[test]
    fn every_number_has_its_erlang_name() {
        const ERLANG: &str = "
            eperm enoent esrch eintr eio enxio e2big enoexec ebadf echild eagain
            enomem eacces efault enotblk ebusy eexist exdev enodev enotdir eisdir
            einval enfile emfile enotty etxtbsy efbig enospc espipe erofs emlink
            epipe edom erange edeadlk enametoolong enolck enosys enotempty eloop -
            enomsg eidrm echrng el2nsync el3hlt el3rst elnrng eunatch enocsi el2hlt
            ebade ebadr exfull enoano ebadrqc ebadslt - ebfont enostr enodata etime
            enosr enonet enopkg eremote enolink eadv esrmnt ecomm eproto emultihop
            edotdot ebadmsg eoverflow enotuniq ebadfd eremchg elibacc elibbad
            elibscn elibmax elibexec eilseq - - eusers enotsock edestaddrreq
            emsgsize eprototype enoprotoopt eprotonosupport esocktnosupport enotsup
            epfnosupport eafnosupport eaddrinuse eaddrnotavail enetdown enetunreach
            enetreset econnaborted econnreset enobufs eisconn enotconn eshutdown
            etoomanyrefs etimedout econnrefused ehostdown ehostunreach ealready
            einprogress estale euclean enotnam enavail - eremoteio edquot - - - - -
            - - - - - -";
        let erlang: Vec<_> = ERLANG.split_whitespace().collect();
        assert_eq!(erlang.len(), 133);
        for (number, erlang) in (1..).zip(erlang) {
            match erlang {
                // Erlang has no name; errno(3) has, but for two numbers that are not used.
                "-" => assert_eq!(
                    name(number).is_none(),
                    matches!(number, 41 | 58),
                    "{number}"
                ),
                _ => assert_eq!(name(number), Some(erlang), "{number}"),
            }
        }
    }
}
