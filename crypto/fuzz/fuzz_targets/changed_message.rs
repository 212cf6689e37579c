//! Changed messages, decrypted in a sound session: `[which, (at low, at high, byte) ...]`.
#![no_main]

#[path = "../../tests/wild_input/wild.rs"]
mod wild;

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    let Some((which, changes)) = input.split_first() else { return };
    let mut bytes = wild::message(usize::from(*which)).to_vec();
    for [low, high, byte] in changes.as_chunks::<3>().0 {
        let at = usize::from(u16::from_le_bytes([*low, *high])) % bytes.len();
        bytes[at] = *byte;
    }
    wild::decrypt_changed_message(usize::from(*which), &bytes);
});
