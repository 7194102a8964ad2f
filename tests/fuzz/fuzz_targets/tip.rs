//! Bytes from anywhere, decoded as `Tip`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| city_tests::wire::poke("Tip", bytes));
