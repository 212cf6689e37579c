//! Keys, prekeys, sender keys and attachments.

use std::{collections::BTreeSet, hint::black_box};

use posthouse_crypto::{
    e2ee::{
        attachment::Encryptor,
        group::{
            receiving::ReceivedSenderKeys,
            sending::{NotReady, SendingGroup},
        },
        prekey::store::{PreKeys, ROTATE_AFTER},
        primitives::{curve::KeyPair, kem::KemKeyPair},
        secret::Secret,
        time::UnixMillis,
        wire::sender_key_message::SenderKeyMessage,
    },
    seal::{Encapsulation, SealingKey},
    sign::SigningKey,
};
use rand_core::TryRng;

use crate::{
    party::address,
    search::{Marks, Recorder, check, counts},
};

const NAME: &str = "b@south.test";

#[test]
fn the_search_finds_what_nobody_wiped() {
    let make = |rng: &mut Recorder| {
        let mut bytes = [0; 64];
        rng.try_fill_bytes(&mut bytes).unwrap();
        bytes
    };
    // The compiler would see that nobody reads them.
    let (before, after) = counts(1, make, |bytes| drop(black_box(bytes)));
    assert!(before >= 6 && after > 0, "{before} words before, {after} after");
}

#[test]
fn secrets_and_keys() {
    check(2, Secret::<64>::random);
    check(3, KeyPair::generate);
    check(4, |rng| {
        let pair = KemKeyPair::generate(rng);
        rng.marks.remember(&pair.to_bytes()[1..1537]);
        pair
    });
    check(5, SigningKey::generate);
}

#[test]
fn sealing_keys_of_servers() {
    for encapsulation in Encapsulation::PREFERENCE {
        check(6, |rng| {
            let key = SealingKey::generate(encapsulation, rng);
            rng.marks.remember(&key.secret()[..]);
            key
        });
    }
}

#[test]
fn sender_keys_and_their_stored_form() {
    check(7, |rng| {
        let mut group = SendingGroup::new([7; 16]);
        let handed = group.ready(&BTreeSet::from([address(NAME)]), UnixMillis(0), rng).map(drop);
        let Err(NotReady::Undistributed(handed)) = handed else { panic!("nobody holds the key") };
        let mut received = ReceivedSenderKeys::new([7; 16]);
        received.process(&handed.distribution).unwrap();
        (group.to_bytes(), received.to_bytes(), handed.distribution.to_bytes(), group, received)
    });
}

#[test]
fn attachments_that_are_being_encrypted() {
    check(8, |rng| {
        let mut out = Vec::new();
        let mut encryptor = Encryptor::new(rng, &mut out);
        let mut plaintext = zeroize::Zeroizing::new([0; 1024]);
        rng.try_fill_bytes(plaintext.as_mut()).unwrap();
        encryptor.push(plaintext.as_ref(), &mut out).unwrap();
        encryptor
    });
}

/// As many as make the collections grow and their nodes split, which moves what is in them.
#[test]
fn a_device_full_of_prekeys_and_their_stored_form() {
    check(9, |rng| {
        let identity = KeyPair::generate(rng);
        let mut keys = PreKeys::new(&identity, UnixMillis(0), rng);
        for week in 1..4 {
            keys.rotate(&identity, UnixMillis(week * ROTATE_AFTER), rng);
        }
        keys.replenish(&identity, 40, rng);
        (keys.to_bytes(), keys, identity)
    });
}

#[test]
fn keys_of_messages_that_came_late_are_gone_once_used() {
    const LATE: usize = 20;
    let make = |rng: &mut Recorder| {
        let mut group = SendingGroup::new([7; 16]);
        let to = BTreeSet::from([address(NAME)]);
        let handed = group.ready(&to, UnixMillis(0), rng).map(drop);
        let Err(NotReady::Undistributed(handed)) = handed else { panic!("nobody holds the key") };
        group.mark_distributed(handed.distribution.chain_id(), address(NAME));
        let mut received = ReceivedSenderKeys::new([7; 16]);
        received.process(&handed.distribution).unwrap();
        let mut send = || group.ready(&to, UnixMillis(0), rng).unwrap().encrypt(b"x", rng).unwrap();
        let late: Vec<_> = (0..LATE).map(|_| send()).collect();
        let last = SenderKeyMessage::from_bytes(&send()).unwrap();
        received.decrypt(&last).unwrap();
        // The stored form ends with the keys that wait: head, place, head of a string, 32 bytes.
        let stored = received.to_bytes();
        rng.marks = Marks::default();
        for entry in stored.rchunks(1 + 1 + 2 + 32).take(LATE) {
            rng.marks.remember(&entry[4..]);
        }
        (received, late)
    };
    let use_all = |value: Box<(ReceivedSenderKeys, Vec<Vec<u8>>)>| {
        let (mut received, late) = *value;
        for message in late {
            let message = SenderKeyMessage::from_bytes(&message).unwrap();
            received.decrypt(&message).unwrap();
        }
        Box::new(received)
    };
    let (before, after) = counts(10, make, use_all);
    assert!(before >= 2 * LATE, "only {before} words of the waiting keys are found");
    assert_eq!(after, 0, "words of used keys are left on the heap");
}
