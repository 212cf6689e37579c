//! Identifiers, cursors and stamps.
#![no_main]

#[path = "../../tests/wild_input/wild.rs"]
mod wild;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| wild::ids(bytes));
