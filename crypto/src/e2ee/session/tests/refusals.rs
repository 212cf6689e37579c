//! What a session refuses, and that a refusal changes nothing.

use super::*;
use crate::e2ee::profile::AcceptedProfiles;

fn refused(party: &mut Party, from: &Address, ciphertext: &Ciphertext) -> DecryptError {
    let before = (party.session.to_bytes(), party.local.prekeys.to_bytes());
    let error = party.decrypt(from, ciphertext).unwrap_err();
    let after = (party.session.to_bytes(), party.local.prekeys.to_bytes());
    assert!(before == after, "a refusal changed something");
    error
}

fn changed(ciphertext: &Ciphertext, at: usize) -> Ciphertext {
    let mut bytes = ciphertext.as_bytes().to_vec();
    let at = at % bytes.len();
    bytes[at] ^= 1;
    match ciphertext {
        Ciphertext::Message(_) => Ciphertext::Message(bytes),
        Ciphertext::PreKey(_) => Ciphertext::PreKey(bytes),
    }
}

#[test]
fn refuses_a_message_twice() {
    let (mut a, mut b) = conversation(Profile::default());
    let sent = send(&mut a, &b, "once");
    assert_eq!(receive(&mut b, &a, &sent), "once");
    assert_eq!(refused(&mut b, &a.local.address, &sent), DecryptError::Duplicate);
}

#[test]
fn refuses_every_changed_byte_and_then_still_reads_the_message() {
    let (mut a, mut b) = conversation(Profile::default());
    let sent = send(&mut a, &b, "whole");
    for at in 1..sent.as_bytes().len() {
        refused(&mut b, &a.local.address, &changed(&sent, at));
    }
    assert_eq!(receive(&mut b, &a, &sent), "whole");
}

#[test]
fn refuses_a_changed_prekey_message_and_keeps_the_prekeys() {
    let (mut a, mut b) = (Party::new("a@north.test", 1), Party::new("b@south.test", 2));
    let bundle = b.bundle(true);
    a.initiate(&b, &bundle, Profile::default());
    let sent = send(&mut a, &b, "first");
    for at in (1..sent.as_bytes().len()).step_by(7) {
        // Bytes that name the sender's registration or a padding bit may change harmlessly.
        let copy = changed(&sent, at);
        let before = b.local.prekeys.to_bytes();
        if b.decrypt(&a.local.address, &copy).is_err() {
            assert!(before == b.local.prekeys.to_bytes());
        } else {
            b = Party::new("b@south.test", 2);
            b.bundle(true);
        }
    }
    assert_eq!(receive(&mut b, &a, &sent), "first");
    assert_eq!(b.local.prekeys.one_time_left(), (0, 0));
}

#[test]
fn a_one_time_prekey_serves_once() {
    let (mut a, mut b) = (Party::new("a@north.test", 1), Party::new("b@south.test", 2));
    let mut c = Party::new("c@west.test", 3);
    let bundle = b.bundle(true);
    a.initiate(&b, &bundle, Profile::default());
    c.initiate(&b, &bundle, Profile::default());
    let (first, second) = (send(&mut a, &b, "a"), send(&mut c, &b, "c"));
    assert_eq!(receive(&mut b, &a, &first), "a");
    b.session = Session::new();
    let error = refused(&mut b, &c.local.address, &second);
    assert!(matches!(error, DecryptError::PreKey(PreKeyError::UnknownOneTime(_))), "{error}");
}

#[test]
fn a_last_resort_session_cannot_be_replayed_after_its_session_is_gone() {
    let (mut a, mut b) = (Party::new("a@north.test", 1), Party::new("b@south.test", 2));
    let bundle = b.bundle(false);
    a.initiate(&b, &bundle, Profile::default());
    let first = send(&mut a, &b, "a");
    assert_eq!(receive(&mut b, &a, &first), "a");
    b.session = Session::new();
    let error = refused(&mut b, &a.local.address, &first);
    assert_eq!(error, DecryptError::PreKey(PreKeyError::Replayed));
}

#[test]
fn takes_older_profiles_only_where_its_owner_allowed_them() {
    for profile in [Profile::Pqxdh, Profile::X3dh] {
        let (mut a, mut b) = (Party::new("a@north.test", 1), Party::new("b@south.test", 2));
        let bundle = b.bundle(true);
        a.initiate(&b, &bundle, profile);
        let sent = send(&mut a, &b, "old");
        let error = refused(&mut b, &a.local.address, &sent);
        assert_eq!(error, DecryptError::Profile(profile));
        b.local.accepts = AcceptedProfiles::default().with_pqxdh_without_spqr().with_x3dh();
        assert_eq!(receive(&mut b, &a, &sent), "old");
    }
}

#[test]
fn never_goes_down_to_x3dh_for_want_of_a_kyber_key() {
    let (mut a, mut b) = (Party::new("a@north.test", 1), Party::new("b@south.test", 2));
    let mut bundle = b.bundle(true).as_bundle().clone();
    bundle.kem = None;
    let bundle = bundle.verify().unwrap();
    let peer = Peer { address: &b.local.address, known: None };
    for profile in [Profile::PqxdhSpqr, Profile::Pqxdh] {
        let bundle = bundle.clone().with_profile(profile);
        let outcome = a.session.initiate(&a.local, peer, &bundle, a.now, &mut a.rng);
        assert_eq!(outcome, Err(InitiateError::NoKemPreKey));
    }
    assert!(!a.session.is_established());
}

#[test]
fn refuses_a_bundle_that_its_identity_did_not_sign() {
    let mut b = Party::new("b@south.test", 2);
    let whole = b.bundle(true).as_bundle().clone();
    let mut wrong = whole.clone();
    wrong.signed.signature[5] ^= 1;
    wrong.verify().unwrap_err();
    let mut wrong = whole.clone();
    wrong.kem.as_mut().unwrap().signature[5] ^= 1;
    wrong.verify().unwrap_err();
    let mut wrong = whole.clone();
    wrong.identity = Party::new("c@west.test", 3).local.identity.public;
    wrong.verify().unwrap_err();
    let mut wrong = whole;
    wrong.signed.key = wrong.identity;
    wrong.verify().unwrap_err();
}

#[test]
fn refuses_a_changed_identity_everywhere() {
    let (mut a, mut b) = conversation(Profile::default());
    let other = Party::new("a@north.test", 99).local.identity.public;
    let sent = send(&mut a, &b, "x");
    b.known = Some(other);
    assert_eq!(refused(&mut b, &a.local.address, &sent), DecryptError::IdentityChanged);
    let answer = b.encrypt(&a.local.address, b"x");
    assert_eq!(answer, Err(EncryptError::IdentityChanged));
    let bundle = a.bundle(false);
    let peer = Peer { address: &a.local.address, known: Some(&other) };
    let outcome = b.session.initiate(&b.local, peer, &bundle, b.now, &mut b.rng);
    assert_eq!(outcome, Err(InitiateError::IdentityChanged));
    b.known = Some(a.local.identity.public);
    assert_eq!(receive(&mut b, &a, &sent), "x");
}

#[test]
fn refuses_a_bundle_of_another_device() {
    let (mut a, mut b) = (Party::new("a@north.test", 1), Party::new("b@south.test", 2));
    let bundle = b.bundle(true);
    let other = Address::new("b@south.test", DeviceId::new(2).unwrap()).unwrap();
    let peer = Peer { address: &other, known: None };
    let outcome = a.session.initiate(&a.local, peer, &bundle, a.now, &mut a.rng);
    assert_eq!(outcome, Err(InitiateError::OtherDevice));
}

#[test]
fn refuses_messages_bound_to_other_addresses() {
    let names = ["1", "2", "3"].map(|n| "00000000-0000-4000-8000-00000000000x".replace('x', n));
    let (mut a, mut b) = (Party::new(&names[0], 1), Party::new(&names[1], 2));
    let bundle = b.bundle(true);
    a.initiate(&b, &bundle, Profile::default());
    let sent = send(&mut a, &b, "bound");
    let third = Party::new(&names[2], 3);
    let error = refused(&mut b, &third.local.address, &sent);
    assert_eq!(error, DecryptError::AddressMismatch);
    assert_eq!(receive(&mut b, &a, &sent), "bound");
}

#[test]
fn refuses_a_session_without_spqr_inside_one_with_it() {
    let (mut a, mut b) = conversation(Profile::default());
    let (mut c, d) = conversation(Profile::Pqxdh);
    let other = send(&mut c, &d, "no spqr");
    refused(&mut b, &a.local.address, &other);
    let whole = send(&mut a, &b, "x");
    assert_eq!(receive(&mut b, &a, &whole), "x");
}
