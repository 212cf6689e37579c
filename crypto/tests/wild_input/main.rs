//! No input makes a parser, a stored state or a decryption panic: random bytes, and real
//! messages and states with bytes changed, cut out and doubled.
//!
//! The same entry points are fuzzed with coverage in `crypto/fuzz`.
#![cfg(test)]

mod wild;

use proptest::prelude::*;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn parsers_take_any_bytes(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
        wild::parse(&bytes);
    }

    #[test]
    fn parsers_take_changed_documents(which: prop::sample::Index, edits in wild::edits()) {
        let samples = wild::samples();
        wild::parse(&wild::edited(which.get::<Vec<u8>>(samples), &edits));
    }

    #[test]
    fn decryption_takes_changed_messages(which in 0..4_usize, edits in wild::edits()) {
        wild::decrypt_changed_message(which, &wild::edited(wild::message(which), &edits));
    }

    #[test]
    fn decryption_takes_changed_states(edits in wild::edits()) {
        wild::decrypt_with_changed_state(&edits);
    }
}
