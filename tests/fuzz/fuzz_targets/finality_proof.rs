//! Bytes from anywhere, decoded as `FinalityProof`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| city_tests::wire::poke("FinalityProof", bytes));
