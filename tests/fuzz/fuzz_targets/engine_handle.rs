//! An engine fed whatever its peers, its store and its clock may come up with.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| city_tests::siege::run(bytes));
