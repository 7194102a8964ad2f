//! Bytes from anywhere, decoded as `SignedRecovery`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| city_tests::wire::poke("SignedRecovery", bytes));
