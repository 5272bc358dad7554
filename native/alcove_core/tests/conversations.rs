//! The fuzz target of conversations, without a fuzzer. The only test here: it counts the open
//! descriptors of its process, and looks at the memory that the process has taken.

#[path = "../../../fuzz/src/conversations.rs"]
mod conversations;
#[path = "../../../fuzz/src/inputs.rs"]
mod inputs;

/// More than all conversations need, of which each ends before the next, in KiB. A header that says
/// how long a frame will be takes none of it.
const MEMORY: u64 = 12 * 1024;

#[test]
fn conversations_hold() {
    inputs::hold("conversations", conversations::conversations, 5);
    let peak = peak();
    println!("at most {peak:?} KiB");
    assert!(peak.is_none_or(|peak| peak < MEMORY), "{peak:?} KiB");
}

/// The most memory that this process has had, in KiB, where the kernel tells.
fn peak() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
    line.split_whitespace().nth(1)?.parse().ok()
}
