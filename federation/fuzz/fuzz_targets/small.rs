//! Queries, answers, refusals and well-known documents.
#![no_main]

use libfuzzer_sys::fuzz_target;
use posthouse_protocol::federation::{
    query::{EchoAnswer, EchoQuery, ResolveAnswer, SignedQuery},
    refusal::Refusal,
    signed::Signed,
    well_known::WellKnown,
};

fuzz_target!(|bytes: &[u8]| {
    if let Ok(query) = SignedQuery::decode(bytes) {
        assert_eq!(query.encode(), bytes);
    }
    if let Ok(echo) = Signed::<EchoQuery>::decode(bytes) {
        assert_eq!(echo.encode(), bytes);
    }
    if let Ok(answer) = Signed::<EchoAnswer>::decode(bytes) {
        assert_eq!(answer.encode(), bytes);
    }
    let _ = ResolveAnswer::decode(bytes);
    let _ = Refusal::decode(bytes);
    if let Ok(document) = WellKnown::parse(bytes) {
        let _ = document.federation();
    }
});
