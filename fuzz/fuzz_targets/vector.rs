#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| atio_fuzz::check("vector", bytes));
