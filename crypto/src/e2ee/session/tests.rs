//! Sessions between our own parties, and recorded conversations of the official library.

mod limits;
mod properties;
mod refusals;
mod vectors;

use super::*;
use crate::e2ee::address::DeviceId;
use crate::e2ee::testing::{Party, conversation, receive, send};

#[test]
fn every_profile_carries_a_conversation() {
    for profile in [Profile::PqxdhSpqr, Profile::Pqxdh, Profile::X3dh] {
        let (mut a, mut b) = conversation(profile);
        for n in 0..20 {
            let there = send(&mut a, &b, &format!("there {n}"));
            assert_eq!(there.kind(), 2);
            assert_eq!(receive(&mut b, &a, &there), format!("there {n}"));
            let back = send(&mut b, &a, &format!("back {n}"));
            assert_eq!(receive(&mut a, &b, &back), format!("back {n}"));
        }
        let info = b.session.info().unwrap();
        assert_eq!((info.profile, info.acknowledged), (profile, true));
    }
}

#[test]
fn the_post_quantum_ratchet_goes_through_epochs_and_storage() {
    let (mut a, mut b) = conversation(Profile::PqxdhSpqr);
    for n in 0..200 {
        let there = send(&mut a, &b, &format!("there {n}"));
        assert_eq!(receive(&mut b, &a, &there), format!("there {n}"));
        let back = send(&mut b, &a, &format!("back {n}"));
        assert_eq!(receive(&mut a, &b, &back), format!("back {n}"));
        a.session = Session::from_bytes(&a.session.to_bytes()).unwrap();
        b.session = Session::from_bytes(&b.session.to_bytes()).unwrap();
    }
    assert!(a.session.info().unwrap().pq_epoch.unwrap() >= 4);
}

#[test]
fn two_who_begin_at_the_same_time_settle_on_one_session() {
    let (mut a, mut b) = (Party::new("a@north.test", 1), Party::new("b@south.test", 2));
    let (to_a, to_b) = (a.bundle(true), b.bundle(true));
    a.initiate(&b, &to_b, Profile::default());
    b.initiate(&a, &to_a, Profile::default());
    let (from_a, from_b) = (send(&mut a, &b, "a1"), send(&mut b, &a, "b1"));
    assert_eq!(receive(&mut b, &a, &from_a), "a1");
    assert_eq!(receive(&mut a, &b, &from_b), "b1");
    for n in 0..4 {
        let from_a = send(&mut a, &b, &format!("a{n}"));
        assert_eq!(receive(&mut b, &a, &from_a), format!("a{n}"));
        let from_b = send(&mut b, &a, &format!("b{n}"));
        assert_eq!(receive(&mut a, &b, &from_b), format!("b{n}"));
    }
    let base = |party: &Party| party.session.current.as_ref().unwrap().base_key;
    assert_eq!(base(&a), base(&b));
    assert_eq!(send(&mut a, &b, "x").kind(), 2);
}

#[test]
fn an_archived_session_still_decrypts_what_comes_late() {
    let (mut a, mut b) = conversation(Profile::default());
    let late = send(&mut a, &b, "late");
    let bundle = b.bundle(false);
    a.initiate(&b, &bundle, Profile::default());
    let fresh = send(&mut a, &b, "fresh");
    assert_eq!(receive(&mut b, &a, &fresh), "fresh");
    assert_eq!(b.session.info().unwrap().archived, 1);
    assert_eq!(receive(&mut b, &a, &late), "late");
    // The session of the message is asked first, so its answer counts; the other one would say
    // that its post-quantum key is gone.
    for n in 0..5 {
        let more = send(&mut a, &b, &n.to_string());
        receive(&mut b, &a, &more);
    }
    assert_eq!(b.decrypt(&a.local.address, &late), Err(DecryptError::Duplicate));
}

#[test]
fn a_resend_request_archives_only_the_session_that_it_names() {
    let (mut a, b) = conversation(Profile::default());
    let lost = send(&mut a, &b, "lost");
    let Ciphertext::Message(bytes) = &lost else { panic!("a running session") };
    let named = *SignalMessage::from_bytes(bytes).unwrap().ratchet_key();
    assert!(!a.session.archive_if_sending_with(&b.local.identity.public));
    assert!(a.session.is_established());
    assert!(a.session.archive_if_sending_with(&named));
    assert!(!a.session.archive_if_sending_with(&named), "a second request finds nothing");
    let again = a.encrypt(&b.local.address, b"x");
    assert_eq!(again, Err(EncryptError::NoSession));
}

#[test]
fn debug_shows_no_secret() {
    let (a, _) = conversation(Profile::default());
    let shown = format!("{:?}", a.session);
    let root = a.session.to_bytes();
    assert!(shown.contains("root: Secret<32>(..)"), "{shown}");
    assert!(shown.contains("private: PrivateKey(..)"), "{shown}");
    assert!(root.len() > 400);
    insta::assert_snapshot!(redacted_shape(&shown), @r#"Session { current: Some(SessionState { ratchet: Ratchet { profile: PqxdhSpqr, ours: _, theirs: _, root: Secret<32>(..), sending_key: KeyPair { public: _, private: PrivateKey(..) }, sending: ChainKey { key: Secret<32>(..), counter: _ }, previous_counter: _, receiving: [ReceivingChain { ratchet_key: _, chain: ChainKey { key: Secret<32>(..), counter: _ }, skipped: SkippedKeys([]) }, ReceivingChain { ratchet_key: _, chain: ChainKey { key: Secret<32>(..), counter: _ }, skipped: SkippedKeys([]) }], spqr: Some(Spqr { braid: Braid { epoch: _, authenticator: Authenticator { root: Secret<32>(..), mac_key: Secret<32>(..) }, state: SendHeader { seed: DecapsulationSeed(Secret<64>(..)), header: Encoder { block: [Chunk(_), Chunk(_), Chunk(_)], next: _ } } }, chain: Chain { initiator: true, root: Secret<32>(..), epochs: [Epoch { number: _, sending: Some(Direction { key: Secret<32>(..), index: _ }), receiving: Direction { key: Secret<32>(..), index: _ }, skipped: SkippedKeys([]) }] } }) }, base_key: _, unacknowledged: None, registration_id: _ }), archived: [] }"#);
}

/// The Debug text without its numbers and keys: what remains is structure and redactions.
fn redacted_shape(shown: &str) -> String {
    let mut shape = String::new();
    for word in shown.split_inclusive([' ', ',', '(', ')', '[', ']', '{', '}']) {
        let bare = word.trim_end_matches([' ', ',', ')', ']', '}']);
        let data = bare.len() == 64 || bare.parse::<u64>().is_ok();
        shape.push_str(&if data { word.replacen(bare, "_", 1) } else { word.to_owned() });
    }
    shape
}
