//! What a test needs: where it isn't there, the test says so and ends. The line is
//! one that `scripts/test.sh` counts. As in the suites, `ALCOVE_MUST_WORK=1` in the
//! environment makes it a failure.

use std::io::Write;

/// Whether the test has what it needs.
pub fn has(there: bool, what: &str) -> bool {
    if !there {
        let must = std::env::var("ALCOVE_MUST_WORK").unwrap_or_default();
        assert!(matches!(must.as_str(), "" | "0"), "needs {what}");
        let thread = std::thread::current();
        let test = thread.name().unwrap_or("a test");
        // What a test prints by macros is seen only when it fails.
        let line = format!("\n{test} skipped: needs {what}\n");
        let _ = std::io::stderr().write_all(line.as_bytes());
    }
    there
}

/// Whether the test is run by root.
pub fn root() -> bool {
    has(nix::unistd::geteuid().is_root(), "root")
}
