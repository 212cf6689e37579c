//! Queries, answers, refusals and well-known documents.
#![no_main]

#[path = "../../tests/wild_input/wild.rs"]
mod wild;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| wild::small(bytes));
