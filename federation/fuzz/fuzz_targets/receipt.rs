//! Receipts: no panic, and one encoding for what is accepted.
#![no_main]

use libfuzzer_sys::fuzz_target;
use posthouse_protocol::federation::receipt::SignedReceipt;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(receipt) = SignedReceipt::decode(bytes) {
        assert_eq!(receipt.encode(), bytes);
    }
});
