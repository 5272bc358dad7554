//! What is fuzzed by libFuzzer. Tests of the crates that it is about run the same targets without
//! it.

pub mod conversations;
pub mod decoders;
