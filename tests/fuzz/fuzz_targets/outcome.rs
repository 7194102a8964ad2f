//! Bytes from anywhere, decoded as `Outcome`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| city_tests::wire::poke("Outcome", bytes));
