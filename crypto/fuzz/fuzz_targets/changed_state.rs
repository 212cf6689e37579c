//! Sound messages, decrypted in a stored session with changes: `[(at low, at high, byte) ...]`.
#![no_main]

#[path = "../../tests/wild_input/wild.rs"]
mod wild;

libfuzzer_sys::fuzz_target!(|changes: &[u8]| {
    // The first sample is the stored session; `parse` uses what it reads.
    let mut bytes = wild::samples()[0].clone();
    for [low, high, byte] in changes.as_chunks::<3>().0 {
        let at = usize::from(u16::from_le_bytes([*low, *high])) % bytes.len();
        bytes[at] = *byte;
    }
    wild::parse(&bytes);
});
