#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| alcove_fuzz::decoders::greetings(bytes));
