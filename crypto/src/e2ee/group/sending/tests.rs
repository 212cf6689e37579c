//! Groups between our own parties, and a recorded one.

use rand::{SeedableRng, rngs::StdRng};

use super::*;
use crate::e2ee::{
    group::receiving::{GroupDecryptError, ReceivedSenderKeys},
    testing::field,
};

const ID: DistributionId = [7; 16];

fn devices(names: &[&str]) -> BTreeSet<Address> {
    let device = DeviceId::new(1).unwrap();
    names.iter().map(|name| Address::new(name, device).unwrap()).collect()
}

/// What must be handed out before anything can be sent.
fn handed_out(
    group: &mut SendingGroup,
    to: &BTreeSet<Address>,
    now: u64,
    rng: &mut StdRng,
) -> Option<Undistributed> {
    match group.ready(to, UnixMillis(now), rng) {
        Ok(_) => None,
        Err(NotReady::Undistributed(handed)) => Some(handed),
        Err(NotReady::TooManyRecipients) => panic!("too many recipients"),
    }
}

/// Sends one message, handing the key out as needed; gives the message, and the key if it was.
fn send(
    group: &mut SendingGroup,
    to: &BTreeSet<Address>,
    now: u64,
    rng: &mut StdRng,
) -> (SenderKeyMessage, Option<Undistributed>) {
    let handed = handed_out(group, to, now, rng);
    for device in handed.iter().flat_map(|handed| &handed.missing) {
        let chain_id = handed.as_ref().unwrap().distribution.chain_id();
        group.mark_distributed(chain_id, device.clone());
    }
    let sent = group.ready(to, UnixMillis(now), rng).unwrap().encrypt(b"to all", rng).unwrap();
    (SenderKeyMessage::from_bytes(&sent).unwrap(), handed)
}

#[test]
fn members_read_and_who_joins_later_reads_only_from_then_on() {
    let mut rng = StdRng::seed_from_u64(1);
    let mut group = SendingGroup::new(ID);
    let (first, handed) = send(&mut group, &devices(&["b"]), 0, &mut rng);
    let mut b = ReceivedSenderKeys::new(ID);
    b.process(&handed.unwrap().distribution).unwrap();
    let (second, handed) = send(&mut group, &devices(&["b", "c"]), 1, &mut rng);
    let handed = handed.unwrap();
    assert_eq!(handed.missing, Vec::from_iter(devices(&["c"])), "b holds it already");
    let mut c = ReceivedSenderKeys::new(ID);
    c.process(&handed.distribution).unwrap();
    assert_eq!(b.decrypt(&second).unwrap().as_slice(), b"to all", "out of order");
    assert_eq!(b.decrypt(&first).unwrap().as_slice(), b"to all");
    assert_eq!(b.decrypt(&first), Err(GroupDecryptError::Duplicate));
    assert_eq!(c.decrypt(&second).unwrap().as_slice(), b"to all");
    assert_eq!(c.decrypt(&first), Err(GroupDecryptError::Duplicate), "before c's time");
    b.process(&handed.distribution).unwrap();
    assert_eq!(b.decrypt(&second), Err(GroupDecryptError::Duplicate), "nothing turned back");
}

#[test]
fn who_left_cannot_read_what_follows() {
    let mut rng = StdRng::seed_from_u64(2);
    let mut group = SendingGroup::new(ID);
    let (_, handed) = send(&mut group, &devices(&["b", "c"]), 0, &mut rng);
    let mut gone = ReceivedSenderKeys::new(ID);
    gone.process(&handed.unwrap().distribution).unwrap();
    let group = SendingGroup::from_bytes(&group.to_bytes());
    let (after, handed) = send(&mut group.unwrap(), &devices(&["b"]), 1, &mut rng);
    assert_eq!(handed.unwrap().missing, Vec::from_iter(devices(&["b"])), "a new key for the rest");
    assert_eq!(gone.decrypt(&after), Err(GroupDecryptError::UnknownKey));
}

#[test]
fn a_key_ends_after_a_thousand_messages_or_seven_days() {
    let mut rng = StdRng::seed_from_u64(3);
    let mut group = SendingGroup::new(ID);
    let to = devices(&["b"]);
    for n in 0..=MAX_MESSAGES {
        let (_, handed) = send(&mut group, &to, 0, &mut rng);
        assert_eq!(handed.is_some(), n == 0 || n == MAX_MESSAGES, "{n}");
    }
    assert!(send(&mut group, &to, MAX_AGE - 1, &mut rng).1.is_none());
    assert!(send(&mut group, &to, MAX_AGE, &mut rng).1.is_some());
    group.rotate();
    assert!(send(&mut group, &to, MAX_AGE, &mut rng).1.is_some());
}

#[test]
fn bounds_are_these() {
    assert_eq!((MAX_MESSAGES, MAX_AGE), (1_000, 604_800_000));
    let mut rng = StdRng::seed_from_u64(6);
    for _ in 0..40 {
        assert!(OwnSenderKey::generate(UnixMillis(0), &mut rng).chain_id < 1 << 31);
    }
}

#[test]
fn a_jump_of_more_than_25_000_is_refused() {
    let mut rng = StdRng::seed_from_u64(7);
    let mut group = SendingGroup::new(ID);
    assert!(group.distribution_for().is_none());
    let (first, handed) = send(&mut group, &devices(&["b"]), 0, &mut rng);
    let mut b = ReceivedSenderKeys::new(ID);
    b.process(&handed.unwrap().distribution).unwrap();
    b.decrypt(&first).unwrap();
    let at = group.distribution_for().unwrap();
    assert_eq!((at.chain_id(), at.iteration), (first.chain_id(), 1));
    // From 1, the message at 25,001 is the last one in reach.
    let key = group.key.as_mut().unwrap();
    while key.chain.iteration < 25_001 {
        key.chain.step();
    }
    let (allowed, _) = send(&mut group, &devices(&["b"]), 0, &mut rng);
    let (too_far, _) = send(&mut group, &devices(&["b"]), 0, &mut rng);
    assert_eq!(b.decrypt(&too_far), Err(GroupDecryptError::TooFarAhead));
    assert!(b.decrypt(&allowed).is_ok());
    assert!(b.decrypt(&too_far).is_ok());
}

#[test]
fn another_signing_key_for_a_known_chain_replaces_it() {
    let mut rng = StdRng::seed_from_u64(8);
    let mut group = SendingGroup::new(ID);
    let (first, handed) = send(&mut group, &devices(&["b"]), 0, &mut rng);
    let genuine = handed.unwrap().distribution;
    let other = KeyPair::generate(&mut rng).public;
    let false_one = SenderKeyDistribution { signing_key: other, ..genuine.clone() };
    let mut b = ReceivedSenderKeys::new(ID);
    b.process(&false_one).unwrap();
    assert_eq!(b.decrypt(&first), Err(GroupDecryptError::NotAuthentic));
    b.process(&genuine).unwrap();
    assert!(b.decrypt(&first).is_ok());
    let elsewhere = SenderKeyDistribution { distribution_id: [8; 16], ..genuine };
    assert_eq!(b.process(&elsewhere), Err(GroupDecryptError::OtherDistribution));
}

#[test]
fn the_largest_group_is_served_and_none_beyond() {
    let mut rng = StdRng::seed_from_u64(9);
    let mut group = SendingGroup::new(ID);
    let names: Vec<String> = (0..MAX_MEMBERS).map(|n| format!("{n}@north.test")).collect();
    let mut all = BTreeSet::new();
    for name in &names {
        let numbers = (1..=8).map(|number| DeviceId::new(number).unwrap());
        all.extend(numbers.map(|number| Address::new(name, number).unwrap()));
    }
    assert_eq!((all.len(), MAX_RECIPIENTS), (8_192, 8_192));
    let (_, handed) = send(&mut group, &all, 0, &mut rng);
    assert_eq!(handed.unwrap().missing.len(), MAX_RECIPIENTS);
    let mut group = SendingGroup::from_bytes(&group.to_bytes()).unwrap();
    assert!(send(&mut group, &all, 1, &mut rng).1.is_none(), "it is stored whole");
    let mut more = all.clone();
    more.extend(devices(&["one more"]));
    let refused = group.ready(&more, UnixMillis(1), &mut rng);
    assert!(matches!(refused, Err(NotReady::TooManyRecipients)));
    assert!(send(&mut group, &all, 1, &mut rng).1.is_none(), "which changed nothing");
}

#[test]
fn a_key_that_too_many_hold_is_given_up() {
    let mut rng = StdRng::seed_from_u64(9);
    let mut group = SendingGroup::new(ID);
    let to = devices(&["b"]);
    let chain_id = handed_out(&mut group, &to, 0, &mut rng).unwrap().distribution.chain_id();
    let names: Vec<String> = (1..MAX_RECIPIENTS).map(|n| n.to_string()).collect();
    for name in names.iter().map(String::as_str).chain(["b", "b"]) {
        group.mark_distributed(chain_id, devices(&[name]).pop_first().unwrap());
    }
    assert_eq!(group.key.as_ref().unwrap().holders.len(), MAX_RECIPIENTS);
    group.mark_distributed(chain_id ^ 1, devices(&["c"]).pop_first().unwrap());
    assert!(group.key.is_some(), "of another key");
    group.mark_distributed(chain_id, devices(&["c"]).pop_first().unwrap());
    assert!(group.key.is_none());
}

#[test]
fn a_changed_message_is_refused_and_the_state_kept() {
    let mut rng = StdRng::seed_from_u64(4);
    let mut group = SendingGroup::new(ID);
    let to = devices(&["b"]);
    let handed = handed_out(&mut group, &to, 0, &mut rng).unwrap();
    group.mark_distributed(handed.distribution.chain_id(), handed.missing[0].clone());
    let sent = group.ready(&to, UnixMillis(0), &mut rng).unwrap();
    let sent = sent.encrypt(b"to all", &mut rng).unwrap();
    let mut b = ReceivedSenderKeys::new(ID);
    b.process(&handed.distribution).unwrap();
    let before = b.to_bytes();
    for at in 0..sent.len() {
        let mut copy = sent.clone();
        copy[at] ^= 1;
        // The low half of the version byte is signed as well.
        let refused = SenderKeyMessage::from_bytes(&copy).map(|copy| b.decrypt(&copy));
        assert!(!matches!(refused, Ok(Ok(_))), "byte {at}");
        assert!(before == b.to_bytes());
    }
    let mut b = ReceivedSenderKeys::from_bytes(&before).unwrap();
    assert!(b.decrypt(&SenderKeyMessage::from_bytes(&sent).unwrap()).is_ok());
}

#[test]
fn five_keys_of_a_sender_are_kept() {
    let mut rng = StdRng::seed_from_u64(5);
    let mut group = SendingGroup::new(ID);
    let mut b = ReceivedSenderKeys::new(ID);
    let mut sent = Vec::new();
    for _ in 0..6 {
        group.rotate();
        let (message, handed) = send(&mut group, &devices(&["b"]), 0, &mut rng);
        b.process(&handed.unwrap().distribution).unwrap();
        sent.push(message);
    }
    assert_eq!(b.decrypt(&sent[0]), Err(GroupDecryptError::UnknownKey));
    assert!(sent[1..].iter().all(|message| b.decrypt(message).is_ok()));
}

#[test]
fn reads_recorded_groups_of_the_official_library() {
    let files = [
        include_str!("../../../../tests/vectors/pqxdh_v4_nospqr_0.72.1.json"),
        include_str!("../../../../tests/vectors/pqxdh_v4_spqr_0.103.0.json"),
        include_str!("../../../../tests/vectors/x3dh_v3_0.72.1.json"),
    ];
    for text in files {
        let recorded: serde_json::Value = serde_json::from_str(text).unwrap();
        let bytes = field(&recorded["group"], "distribution");
        let distribution = SenderKeyDistribution::from_bytes(&bytes).unwrap();
        assert_eq!(distribution.to_bytes().to_vec(), bytes, "written as it was read");
        let mut keys = ReceivedSenderKeys::new(*distribution.distribution_id());
        keys.process(&distribution).unwrap();
        let messages = recorded["group"]["messages"].as_array().unwrap();
        assert_eq!(messages.len(), 4);
        for recorded in messages.iter().rev() {
            let message = SenderKeyMessage::from_bytes(&field(recorded, "message")).unwrap();
            let plaintext = keys.decrypt(&message).unwrap();
            assert_eq!(plaintext.to_vec(), field(recorded, "plaintext"));
        }
    }
}
