//! The library stays mapped once it was loaded: its threads and its callbacks
//! outlive a purge of the Erlang module. It carries a hash of what it was built from.

use std::path::{Path, PathBuf};

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rustc-env=ALCOVE_BUILD={:016x}", build());
    let target = std::env::var("CARGO_CFG_TARGET_OS").unwrap_or_default();
    if target == "macos" {
        // The VM has the enif_ functions; they are found when the library is loaded.
        println!("cargo::rustc-cdylib-link-arg=-undefined");
        println!("cargo::rustc-cdylib-link-arg=dynamic_lookup");
    } else {
        println!("cargo::rustc-cdylib-link-arg=-Wl,-z,nodelete");
    }
}

/// What decides how things lie in memory: the sources, what they depend on, the compiler and
/// how it was called.
fn build() -> u64 {
    let mut files = Vec::new();
    for place in [
        "src",
        "../alcove_core/src",
        "../alcove_proto/src",
        "../../Cargo.lock",
        "../../Cargo.toml",
    ] {
        println!("cargo::rerun-if-changed={place}");
        collect(Path::new(place), &mut files);
    }
    files.sort();
    let contents = files
        .iter()
        .flat_map(|file| std::fs::read(file).unwrap_or_default());
    let mut hash = fnv(0xcbf2_9ce4_8422_2325, contents);
    for name in [
        "RUSTC",
        "TARGET",
        "OPT_LEVEL",
        "DEBUG",
        "CARGO_ENCODED_RUSTFLAGS",
    ] {
        println!("cargo::rerun-if-env-changed={name}");
        hash = fnv(hash, std::env::var(name).unwrap_or_default().into_bytes());
    }
    let rustc = std::env::var("RUSTC").unwrap_or_else(|_| "rustc".into());
    let version = std::process::Command::new(rustc).arg("-vV").output();
    fnv(
        hash,
        version.map(|output| output.stdout).unwrap_or_default(),
    )
}

fn collect(place: &Path, files: &mut Vec<PathBuf>) {
    let Ok(entries) = std::fs::read_dir(place) else {
        files.push(place.to_owned());
        return;
    };
    for entry in entries.flatten() {
        collect(&entry.path(), files);
    }
}

/// FNV-1a.
fn fnv(start: u64, bytes: impl IntoIterator<Item = u8>) -> u64 {
    bytes.into_iter().fold(start, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}
