//! Envelopes and headers: no panic, and one encoding for what is accepted.
#![no_main]

use libfuzzer_sys::fuzz_target;
use posthouse_protocol::federation::{envelope::Envelope, header::Header};

fuzz_target!(|bytes: &[u8]| {
    if let Ok(envelope) = Envelope::decode(bytes) {
        assert_eq!(envelope.encode(), bytes);
    }
    let _ = Header::decode(bytes);
});
