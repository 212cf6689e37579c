//! Records and events: the first 16 bytes are the place that the header claims.
#![no_main]

use libfuzzer_sys::fuzz_target;
use posthouse_protocol::federation::{event::Event, payload, record};

fuzz_target!(|bytes: &[u8]| {
    let Some((first, rest)) = bytes.split_first_chunk::<8>() else { return };
    let Some((count, rest)) = rest.split_first_chunk::<8>() else { return };
    let _ = record::decode(rest, u64::from_be_bytes(*first).max(1), u64::from_be_bytes(*count));
    let _ = record::decode_ephemeral(rest);
    let _ = Event::decode(rest);
    let _ = payload::Watermark::decode(rest);
    let _ = payload::Presence::decode(rest);
    let _ = payload::Typing::decode(rest);
});
