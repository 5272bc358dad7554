//! The fuzz targets of the decoders, without a fuzzer.

#[path = "../../../fuzz/src/decoders.rs"]
mod decoders;
#[path = "../../../fuzz/src/inputs.rs"]
mod inputs;

#[test]
fn targets_hold() {
    for (name, target) in decoders::TARGETS {
        inputs::hold(name, *target, 1);
    }
}
