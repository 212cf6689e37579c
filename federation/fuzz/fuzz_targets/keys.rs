//! Key logs and server documents.
#![no_main]

use libfuzzer_sys::fuzz_target;
use posthouse_protocol::federation::{
    document::SignedDocument,
    key_log::{TrustedHead, decode_log, encode_log},
};

fuzz_target!(|bytes: &[u8]| {
    if let Ok(log) = decode_log(bytes) {
        assert_eq!(encode_log(&log), bytes);
    }
    if let Ok(document) = SignedDocument::decode(bytes) {
        assert_eq!(document.encode(), bytes);
    }
    let _ = TrustedHead::from_storage(bytes);
});
