//! Tests of server documents.

use proptest::prelude::*;

use super::{
    super::key_log::{
        self,
        tests::{entry, first, key, server},
    },
    *,
};

pub(crate) fn document() -> ServerDocument {
    ServerDocument {
        server: server(),
        issued: Timestamp(1_700_000_000_000),
        valid_until: Timestamp(1_700_000_000_000 + limits::MAX_DOCUMENT_LIFE_MS),
        keys: EntryHash([0; 32]),
        pins: vec![[8; 32]],
        max_envelope: 4 * 1024 * 1024,
        max_records: 1_000,
        envelope_versions: vec![1],
        payload_versions: vec![1],
        features: vec![SHARED_ENCAPSULATION.to_owned()],
    }
}

#[test]
fn round_trips_and_verifies() {
    let signed = SignedDocument::sign(document(), first(), &key(1));
    let decoded = SignedDocument::decode(&signed.encode()).unwrap();
    assert_eq!(decoded, signed);
    let verified = decoded.verify(&server(), None).unwrap();
    assert_eq!(verified.document().max_records, 1_000);
    let at =
        |millis| verified.document().freshness(Timestamp(1_700_000_000_000).plus_millis(millis));
    assert_eq!(at(0), Freshness::Fresh);
    assert_eq!(at(limits::MAX_DOCUMENT_LIFE_MS + 1), Freshness::Expired);
    let early = Timestamp(1_700_000_000_000).minus_millis(limits::FRESHNESS_MS + 1);
    assert_eq!(verified.document().freshness(early), Freshness::Future);
}

#[test]
fn keys_change_only_along_the_log() {
    let head = first();
    let known = key_log::follow(&server(), None, std::slice::from_ref(&head)).unwrap();
    let second = SignedEntry::sign(entry(1, Some(&head), 2), &[&key(2)]);
    let third = SignedEntry::sign(entry(2, Some(&second), 3), &[&key(3)]);
    let verify = |entry: &SignedEntry, signer: u8| {
        SignedDocument::sign(document(), entry.clone(), &key(signer))
            .verify(&server(), Some(&known))
    };
    assert!(verify(&head, 1).is_ok());
    assert_eq!(verify(&second, 2).unwrap().head().entry().number, 1);
    assert_eq!(verify(&third, 3).unwrap_err(), DocumentError::LogNeeded);
    assert_eq!(verify(&second, 1).unwrap_err(), DocumentError::BadSignature);
    let stranger = SignedEntry::sign(entry(1, Some(&head), 70), &[&key(70)]);
    assert!(matches!(verify(&stranger, 70), Err(DocumentError::Keys(_))));
    let other = ServerName::parse("south.test").unwrap();
    let document = SignedDocument::sign(document(), head, &key(1));
    assert_eq!(document.verify(&other, None).unwrap_err(), DocumentError::WrongServer);
}

#[test]
fn a_document_holds_for_a_week_at_most() {
    let mut long = document();
    long.valid_until = long.valid_until.plus_millis(1);
    let bytes = SignedDocument::sign(long, first(), &key(1)).encode();
    assert!(SignedDocument::decode(&bytes).is_err());
}

#[test]
fn a_server_that_takes_nothing_is_not_believed() {
    let decode = |document| {
        SignedDocument::decode(&SignedDocument::sign(document, first(), &key(1)).encode())
            .map_err(|err| err.fault)
    };
    let none = ServerDocument { max_envelope: 0, ..document() };
    assert_eq!(decode(none), Err(Fault::Invalid("a server takes envelopes of no size")));
    let none = ServerDocument { max_records: 0, ..document() };
    assert_eq!(decode(none), Err(Fault::Invalid("a server takes envelopes without records")));
    let least = ServerDocument { max_envelope: 1, max_records: 1, ..document() };
    assert!(decode(least).is_ok());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_changed_bit_is_noticed(at: prop::sample::Index, bit in 0_u8..8) {
        let mut bytes = SignedDocument::sign(document(), first(), &key(1)).encode();
        let at = at.index(bytes.len());
        bytes[at] ^= 1 << bit;
        if let Ok(changed) = SignedDocument::decode(&bytes) {
            prop_assert!(changed.verify(&server(), None).is_err());
        }
    }
}
