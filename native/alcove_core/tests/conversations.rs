//! The fuzz target of conversations, without a fuzzer. The only test here: it counts the open
//! descriptors of its process.

#[path = "../../../fuzz/src/conversations.rs"]
mod conversations;
#[path = "../../../fuzz/src/inputs.rs"]
mod inputs;

#[test]
fn conversations_hold() {
    inputs::hold("conversations", conversations::conversations);
}
