//! Any bytes, to everything that reads bytes of strangers or of storage.
#![no_main]

#[path = "../../tests/wild_input/wild.rs"]
mod wild;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| wild::parse(bytes));
