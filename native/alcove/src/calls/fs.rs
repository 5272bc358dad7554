//! Files by their names.

use crate::process::Process;
use crate::reply::{List, Outcome};
use crate::sys::file;
use nix::dir::Dir;
use nix::fcntl::OFlag;
use nix::sys::stat::Mode;
use nix::unistd::{self, Gid, Uid};
use std::ffi::CStr;
use std::os::unix::ffi::OsStringExt;

/// chdir(2).
pub fn chdir(_: &mut Process, path: &CStr) -> Outcome {
    Ok(unistd::chdir(path)?)
}

/// chmod(2).
pub fn chmod(_: &mut Process, path: &CStr, mode: u32) -> Outcome {
    Ok(file::chmod(path, mode)?)
}

/// chown(2).
pub fn chown(_: &mut Process, path: &CStr, owner: u32, group: u32) -> Outcome {
    Ok(unistd::chown(
        path,
        Some(Uid::from_raw(owner)),
        Some(Gid::from_raw(group)),
    )?)
}

/// chroot(2). The working directory stays where it is.
pub fn chroot(_: &mut Process, path: &CStr) -> Outcome {
    Ok(unistd::chroot(path)?)
}

/// getcwd(3).
pub fn getcwd(_: &mut Process) -> Outcome<Vec<u8>> {
    Ok(unistd::getcwd()?.into_os_string().into_vec())
}

/// mkdir(2). The umask applies.
pub fn mkdir(_: &mut Process, path: &CStr, mode: u32) -> Outcome {
    let mode = Mode::from_bits_retain(mode as libc::mode_t);
    Ok(unistd::mkdir(path, mode)?)
}

/// readdir(3): the names in a directory, but for `.` and `..`, in the kernel's order.
pub fn readdir(_: &mut Process, path: &CStr) -> Outcome<List<Vec<u8>>> {
    let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
    let mut names = Vec::new();
    for entry in Dir::open(path, flags, Mode::empty())?.iter() {
        let entry = entry?;
        match entry.file_name().to_bytes() {
            b"." | b".." => {}
            name => names.push(name.to_vec()),
        }
    }
    Ok(List(names))
}

/// rmdir(2).
pub fn rmdir(_: &mut Process, path: &CStr) -> Outcome {
    Ok(file::rmdir(path)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::calls::testing::{Scratch, in_child, need, process, text};
    use std::os::unix::ffi::OsStrExt;
    use std::os::unix::fs::{MetadataExt, PermissionsExt};

    #[test]
    fn the_working_directory_changes() {
        let scratch = Scratch::new("chdir");
        in_child(|| {
            let mut p = process();
            assert_eq!(text(&chdir(&mut p, &scratch.at(""))), "ok");
            let there = std::fs::canonicalize(scratch.path()).expect("canonicalize");
            assert_eq!(getcwd(&mut p), Ok(there.as_os_str().as_bytes().to_vec()));
            assert_eq!(text(&chdir(&mut p, c"nonesuch")), "{error,enoent}");
            std::fs::remove_dir(scratch.path()).expect("remove");
            assert_eq!(text(&getcwd(&mut p)), "{error,enoent}");
        });
    }

    #[test]
    fn the_root_directory_changes() {
        if !need::root() {
            return;
        }
        let scratch = Scratch::new("chroot");
        std::fs::write(scratch.path().join("here"), "").expect("write");
        in_child(|| {
            let mut p = process();
            assert_eq!(text(&chroot(&mut p, c"/nonesuch")), "{error,enoent}");
            assert_eq!(text(&chroot(&mut p, &scratch.at(""))), "ok");
            assert_eq!(text(&readdir(&mut p, c"/")), r#"{ok,["here"]}"#);
            assert_eq!(text(&chdir(&mut p, c"/")), "ok");
            assert_eq!(text(&getcwd(&mut p)), r#"{ok,"/"}"#);
        });
    }

    #[test]
    fn modes_and_owners_change() {
        let mut p = process();
        let scratch = Scratch::new("chmod");
        let path = scratch.path().join("file");
        std::fs::write(&path, "").expect("write");
        assert_eq!(text(&chmod(&mut p, &scratch.at("file"), 0o4710)), "ok");
        let metadata = || std::fs::metadata(&path).expect("metadata");
        assert_eq!(metadata().permissions().mode() & 0o7777, 0o4710);
        assert_eq!(text(&chmod(&mut p, c"/nonesuch", 0o700)), "{error,enoent}");
        if Uid::effective().is_root() {
            assert_eq!(
                text(&chown(&mut p, &scratch.at("file"), 0xf000_0001, 7)),
                "ok"
            );
            assert_eq!((metadata().uid(), metadata().gid()), (0xf000_0001, 7));
        }
        assert_eq!(text(&chown(&mut p, c"/nonesuch", 0, 0)), "{error,enoent}");
    }

    #[test]
    fn directories_come_and_go() {
        let mut p = process();
        let scratch = Scratch::new("mkdir");
        assert_eq!(text(&mkdir(&mut p, &scratch.at("a"), 0o700)), "ok");
        assert_eq!(
            text(&mkdir(&mut p, &scratch.at("a"), 0o700)),
            "{error,eexist}"
        );
        assert_eq!(text(&readdir(&mut p, &scratch.at(""))), r#"{ok,["a"]}"#);
        assert_eq!(text(&rmdir(&mut p, &scratch.at("a"))), "ok");
        assert_eq!(text(&rmdir(&mut p, &scratch.at("a"))), "{error,enoent}");
        assert_eq!(text(&readdir(&mut p, &scratch.at(""))), "{ok,[]}");
        assert_eq!(text(&readdir(&mut p, &scratch.at("a"))), "{error,enoent}");
    }

    #[test]
    fn large_directories_are_read_whole() {
        let mut p = process();
        let scratch = Scratch::new("readdir");
        let mut expected: Vec<_> = (0..3000).map(|n| format!("file-{n:0>100}")).collect();
        for name in &expected {
            std::fs::write(scratch.path().join(name), "").expect("write");
        }
        let mut names = readdir(&mut p, &scratch.at("")).expect("names").0;
        names.sort();
        expected.sort();
        assert!(
            names
                .iter()
                .map(Vec::as_slice)
                .eq(expected.iter().map(|name| name.as_bytes()))
        );
        let file = scratch.at(&expected[0]);
        assert_eq!(text(&readdir(&mut p, &file)), "{error,enotdir}");
    }
}
