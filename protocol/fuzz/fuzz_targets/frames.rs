//! Frames of clients, and of servers.
#![no_main]

#[path = "../../tests/wild_input/wild.rs"]
mod wild;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| wild::frames(bytes));
