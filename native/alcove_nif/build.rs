//! The library stays mapped once it was loaded: its threads and its callbacks
//! outlive a purge of the Erlang module.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    let target = std::env::var("CARGO_CFG_TARGET_OS").unwrap_or_default();
    if target == "macos" {
        // The VM has the enif_ functions; they are found when the library is loaded.
        println!("cargo::rustc-cdylib-link-arg=-undefined");
        println!("cargo::rustc-cdylib-link-arg=dynamic_lookup");
    } else {
        println!("cargo::rustc-cdylib-link-arg=-Wl,-z,nodelete");
    }
}
