//! What the official library refuses of us, and we of it.

use posthouse_crypto::e2ee::{
    prekey::store::PreKeyError,
    profile::{AcceptedProfiles, Profile},
    session::{Ciphertext, DecryptError, InitiateError, Peer},
    time::UnixMillis,
};
use serde_json::json;

use crate::{
    oracle::encode,
    party::{OUR_NAME, THEIR_NAME, Talk, parse_bundle},
};

const TODAY: &str = "0.103.0";

fn spoiled(ciphertext: &Ciphertext) -> Ciphertext {
    let mut bytes = ciphertext.as_bytes().to_vec();
    // The last byte of a Signal message is of its MAC.
    if let Some(last) = bytes.last_mut() {
        *last ^= 1;
    }
    match ciphertext {
        Ciphertext::Message(_) => Ciphertext::Message(bytes),
        Ciphertext::PreKey(_) => Ciphertext::PreKey(bytes),
    }
}

#[test]
fn both_refuse_a_bad_mac_and_a_replay_and_go_on() {
    let mut talk = Talk::begin(TODAY, Profile::default(), true);
    for by_us in [true, false] {
        let sent = talk.send(by_us, "x");
        talk.deliver(by_us, &spoiled(&sent)).expect_err("a bad MAC");
        assert_eq!(talk.deliver(by_us, &sent).as_deref(), Ok("x"));
        talk.deliver(by_us, &sent).expect_err("a replay");
        talk.pass(by_us, "goes on");
    }
}

#[test]
fn both_refuse_a_bundle_with_a_wrong_signature() {
    for name in ["signedPreKeySignature", "kyberPreKeySignature"] {
        let mut talk = Talk::new(TODAY, [OUR_NAME, THEIR_NAME], AcceptedProfiles::default());
        let mut ours = talk.our_bundle(true);
        let theirs = talk.oracle.call("newBundle", json!({}))["bundle"].clone();
        ours[name] = theirs[name].clone();
        let refusal = talk.they_process(&ours).expect_err("a signature of another");
        assert!(refusal.contains("signature"), "{refusal}");
        let mut theirs = theirs;
        theirs[name] = encode([7; 64]);
        parse_bundle(&theirs).verify().expect_err("a wrong signature");
    }
}

#[test]
fn both_refuse_a_wrong_identity() {
    // They know another identity of us than the one that writes.
    let mut talk = Talk::begin(TODAY, Profile::default(), true);
    let mut other = Talk::new(TODAY, [OUR_NAME, THEIR_NAME], AcceptedProfiles::default());
    talk.ours.identity =
        posthouse_crypto::e2ee::primitives::curve::KeyPair::generate(&mut other.rng);
    let bundle = talk.oracle.call("newBundle", json!({}));
    let bundle = parse_bundle(&bundle["bundle"]).verify().unwrap();
    let peer = Peer { address: &talk.theirs, known: None };
    let now = UnixMillis(1_800_000_000_000);
    talk.session.initiate(&talk.ours, peer, &bundle, now, &mut talk.rng).unwrap();
    let sent = talk.send(true, "not me");
    let refusal = talk.deliver(true, &sent).expect_err("another identity");
    assert!(refusal.contains("identity"), "{refusal}");
    // We know another identity of them.
    let known = talk.ours.identity.public;
    let peer = Peer { address: &talk.theirs, known: Some(&known) };
    let outcome = talk.session.initiate(&talk.ours, peer, &bundle, now, &mut talk.rng);
    assert_eq!(outcome, Err(InitiateError::IdentityChanged));
}

#[test]
fn both_refuse_a_one_time_prekey_twice() {
    // Theirs.
    let mut talk = Talk::new(TODAY, [OUR_NAME, THEIR_NAME], AcceptedProfiles::default());
    let bundle = talk.oracle.call("newBundle", json!({}));
    let bundle = parse_bundle(&bundle["bundle"]).verify().unwrap();
    let now = UnixMillis(1_800_000_000_000);
    let mut outcomes = Vec::new();
    for text in ["first", "second"] {
        let peer = Peer { address: &talk.theirs, known: None };
        talk.session.initiate(&talk.ours, peer, &bundle, now, &mut talk.rng).unwrap();
        let sent = talk.send(true, text);
        outcomes.push(talk.deliver(true, &sent));
    }
    assert_eq!(outcomes[0].as_deref(), Ok("first"));
    outcomes[1].as_ref().expect_err("the one-time prekey is gone");
    // Ours.
    let mut talk = Talk::new(TODAY, [OUR_NAME, THEIR_NAME], AcceptedProfiles::default());
    let bundle = talk.our_bundle(true);
    talk.they_process(&bundle).unwrap();
    let first = talk.send(false, "first");
    talk.they_process(&bundle).unwrap();
    let second = talk.send(false, "second");
    assert_eq!(talk.deliver(false, &first).as_deref(), Ok("first"));
    let error = talk.decrypt(&second).unwrap_err();
    assert!(matches!(error, DecryptError::PreKey(PreKeyError::UnknownOneTime(_))), "{error}");
}

#[test]
fn todays_library_refuses_the_older_profiles() {
    for profile in [Profile::X3dh, Profile::Pqxdh] {
        let mut talk = Talk::new(TODAY, [OUR_NAME, THEIR_NAME], AcceptedProfiles::default());
        let bundle = talk.oracle.call("newBundle", json!({}));
        let mut bundle = parse_bundle(&bundle["bundle"]);
        if profile == Profile::X3dh {
            bundle.kem = None;
        }
        let bundle = bundle.verify().unwrap().with_profile(profile);
        let peer = Peer { address: &talk.theirs, known: None };
        talk.session.initiate(&talk.ours, peer, &bundle, UnixMillis(0), &mut talk.rng).unwrap();
        let peer = Peer { address: &talk.theirs, known: None };
        let sent =
            talk.session.encrypt(&talk.ours, peer, b"old", UnixMillis(0), &mut talk.rng).unwrap();
        talk.deliver(true, &sent).expect_err("an old profile");
    }
}

#[test]
fn we_refuse_older_profiles_by_default_and_take_them_by_choice() {
    for (version, profile) in
        [("0.72.1", Profile::X3dh), ("0.72.1", Profile::Pqxdh), ("0.90.0", Profile::Pqxdh)]
    {
        let mut talk = Talk::new(version, [OUR_NAME, THEIR_NAME], AcceptedProfiles::default());
        let bundle = talk.our_bundle(profile != Profile::X3dh);
        talk.they_process(&bundle).unwrap();
        let sent = talk.send(false, "old");
        assert_eq!(talk.decrypt(&sent), Err(DecryptError::Profile(profile)));
        talk.ours.accepts = AcceptedProfiles::default().with_pqxdh_without_spqr().with_x3dh();
        assert_eq!(talk.deliver(false, &sent).as_deref(), Ok("old"));
    }
}

#[test]
fn both_refuse_other_addresses_than_the_bound_ones() {
    let other = "33333333-3333-4333-8333-333333333333";
    // Ours, under another name than they know us by.
    let mut talk = Talk::new(TODAY, [OUR_NAME, THEIR_NAME], AcceptedProfiles::default());
    talk.we_begin(Profile::default());
    let sent = talk.send(true, "bound");
    talk.ours.address =
        posthouse_crypto::e2ee::address::Address::new(other, talk.ours.address.device()).unwrap();
    talk.deliver(true, &sent).expect_err("another sender");
    // Theirs, to another name than ours.
    let mut talk = Talk::new(TODAY, [OUR_NAME, THEIR_NAME], AcceptedProfiles::default());
    let bundle = talk.our_bundle(true);
    talk.they_process(&bundle).unwrap();
    let sent = talk.send(false, "bound");
    let ours = talk.ours.address.clone();
    talk.ours.address =
        posthouse_crypto::e2ee::address::Address::new(other, ours.device()).unwrap();
    assert_eq!(talk.decrypt(&sent), Err(DecryptError::AddressMismatch));
    talk.ours.address = ours;
    assert_eq!(talk.deliver(false, &sent).as_deref(), Ok("bound"));
}

#[test]
fn full_names_with_a_domain_need_no_bound_addresses() {
    let names = [OUR_NAME, THEIR_NAME].map(|name| format!("{name}@north.test"));
    let names = [names[0].as_str(), names[1].as_str()];
    let mut talk = Talk::new(TODAY, names, AcceptedProfiles::default());
    talk.we_begin(Profile::default());
    for n in 0..20 {
        talk.pass(true, &format!("ours {n}"));
        talk.pass(false, &format!("theirs {n}"));
    }
}

#[test]
fn both_keep_two_thousand_skipped_messages_and_five_chains() {
    let mut talk = Talk::begin(TODAY, Profile::default(), true);
    for by_us in [true, false] {
        talk.pass(!by_us, "turn");
        let sent: Vec<_> = (0..2_002).map(|n| talk.send(by_us, &n.to_string())).collect();
        assert_eq!(talk.deliver(by_us, &sent[2_001]).as_deref(), Ok("2001"));
        talk.deliver(by_us, &sent[0]).expect_err("the 2,001st skipped message");
        assert_eq!(talk.deliver(by_us, &sent[1]).as_deref(), Ok("1"));
    }
    for by_us in [true, false] {
        for (turns, survives) in [(5, true), (6, false)] {
            talk.pass(!by_us, "turn");
            let late = talk.send(by_us, "late");
            talk.pass(by_us, "opens the chain");
            for _ in 1..turns {
                talk.pass(!by_us, "turn");
                talk.pass(by_us, "turn");
            }
            assert_eq!(talk.deliver(by_us, &late).is_ok(), survives, "{by_us} {turns}");
        }
    }
}
