//! Tests of the key log: what follows, what does not, what an attacker might try.

use posthouse_crypto::seal::{Encapsulation, SealingKey};
use proptest::prelude::*;
use rand::{SeedableRng, rngs::StdRng};

use super::*;

pub(crate) fn server() -> ServerName {
    ServerName::parse("north.test").unwrap()
}

pub(crate) fn key(seed: u8) -> SigningKey {
    SigningKey::from_seed(&[seed; 32])
}

/// An entry whose keys are made of seeds: signing `current`, next `current + 1`, recovery 100.
pub(crate) fn entry(number: u64, previous: Option<&SignedEntry>, current: u8) -> KeyLogEntry {
    let mut rng = StdRng::from_seed([50; 32]);
    KeyLogEntry {
        server: server(),
        number,
        previous: previous.map(SignedEntry::hash),
        at: Timestamp(1_700_000_000_000 + number),
        signing: vec![key(current).verifying_key()],
        next_signing: vec![key(current + 1).verifying_key()],
        sealing: Encapsulation::PREFERENCE
            .map(|encapsulation| SealingKey::generate(encapsulation, &mut rng).public_key())
            .to_vec(),
        retired: Vec::new(),
        recovery: key(100).verifying_key(),
    }
}

pub(crate) fn first() -> SignedEntry {
    SignedEntry::sign(entry(0, None, 1), &[&key(1)])
}

fn log(len: u8) -> Vec<SignedEntry> {
    let mut log = vec![first()];
    for number in 1..len {
        let next = entry(number.into(), log.last(), number + 1);
        log.push(SignedEntry::sign(next, &[&key(number + 1)]));
    }
    log
}

#[test]
fn a_peer_that_was_away_follows_many_changes() {
    let log = log(40);
    let known = follow(&server(), None, &log[..3]).unwrap();
    let head = follow(&server(), Some(&known), &log).unwrap();
    assert_eq!(head.entry().number, 39);
    assert_eq!(TrustedHead::from_storage(&head.encode()), Ok(head));
    let bytes = encode_log(&log);
    assert_eq!(decode_log(&bytes).unwrap(), log);
}

#[test]
fn a_key_of_an_unknown_encapsulation_is_passed_over() {
    let first = first();
    // The list of two begins with X-Wing's, 647a; one of 7fff comes before it.
    let at = first.bytes.windows(6).position(|six| six == b"\x07\x82\x82\x19\x64\x7a").unwrap();
    let mut bytes = first.bytes.clone();
    bytes.splice(at..at + 2, *b"\x07\x83\x82\x19\x7f\xff\x43new");
    let signatures =
        vec![(KeyId::of_signing(&key(1).verifying_key()), key(1).sign(&signed_text(&bytes)))];
    let newer = SignedEntry { entry: first.entry.clone(), bytes, signatures };
    let read = decode_log(&encode_log(std::slice::from_ref(&newer))).unwrap();
    let head = follow(&server(), None, &read).unwrap();
    assert_eq!(head.hash(), newer.hash(), "what was signed is what counts");
    assert_eq!(head.entry().sealing, first.entry.sealing);
    assert_eq!(TrustedHead::from_storage(&head.encode()), Ok(head));
}

#[test]
fn an_unexpected_change_is_refused() {
    let honest = log(3);
    let known = follow(&server(), None, &honest).unwrap();
    // Other keys from the start, although each step is signed in itself.
    let fresh = SignedEntry::sign(entry(0, None, 70), &[&key(70)]);
    let outcome = follow(&server(), Some(&known), &[fresh]);
    assert_eq!(outcome.unwrap_err(), KeyLogError::Shortened { found: 0, known: 2 });
    let other = {
        let mut other = entry(2, honest.get(1), 3);
        other.at = other.at.plus_millis(5);
        SignedEntry::sign(other, &[&key(3)])
    };
    let outcome = follow(&server(), Some(&known), &[honest[0].clone(), honest[1].clone(), other]);
    assert_eq!(outcome.unwrap_err(), KeyLogError::Forked { number: 2 });
    // Signed by its own new key only.
    let mut stolen = honest.clone();
    stolen.push(SignedEntry::sign(entry(3, honest.last(), 70), &[&key(70)]));
    let outcome = follow(&server(), Some(&known), &stolen);
    assert_eq!(outcome.unwrap_err(), KeyLogError::NotSigned { number: 3 });
    // Not signed by its own key.
    let mut unproved = honest.clone();
    unproved.push(SignedEntry::sign(entry(3, honest.last(), 70), &[&key(3)]));
    let outcome = follow(&server(), Some(&known), &unproved);
    assert_eq!(outcome.unwrap_err(), KeyLogError::NotSigned { number: 3 });
}

#[test]
fn the_recovery_key_can_sign_a_break_and_only_it_replaces_itself() {
    let mut log = log(2);
    let known = follow(&server(), None, &log).unwrap();
    let mut replaced = entry(2, log.last(), 3);
    replaced.recovery = key(101).verifying_key();
    let outcome = follow_entry(&server(), Some(&known), &SignedEntry::sign(replaced, &[&key(3)]));
    assert_eq!(outcome.unwrap_err(), KeyLogError::RecoveryReplaced { number: 2 });
    let lost_everything = entry(2, log.last(), 70);
    log.push(SignedEntry::sign(lost_everything, &[&key(70), &key(100)]));
    assert_eq!(follow(&server(), Some(&known), &log).unwrap().entry().number, 2);
}

#[test]
fn one_step_needs_no_log_and_two_do() {
    let log = log(4);
    let known = follow(&server(), None, &log[..1]).unwrap();
    let step = |at: usize| follow_entry(&server(), Some(&known), &log[at]).unwrap();
    assert_eq!(step(0).unwrap().entry().number, 0);
    assert_eq!(step(1).unwrap().entry().number, 1);
    assert_eq!(step(2), None);
    let other = ServerName::parse("south.test").unwrap();
    assert_eq!(follow(&other, None, &log).unwrap_err(), KeyLogError::WrongServer);
    assert_eq!(follow(&server(), None, &[]).unwrap_err(), KeyLogError::Empty);
    let outcome = follow(&server(), None, &log[1..]);
    assert_eq!(outcome.unwrap_err(), KeyLogError::NotASuccessor { number: 0 });
}

#[test]
fn retired_keys_count_for_the_longest_queue_time() {
    let mut entry = entry(0, None, 1);
    let old = key(60).verifying_key();
    entry.retired.push(RetiredKey { key: old, ended: Timestamp(1_000) });
    let id = KeyId::of_signing(&old);
    assert!(entry.signing_key(id, Timestamp(999 + RETIRED_LIFE_MS)).is_some());
    assert!(entry.signing_key(id, Timestamp(1_000 + RETIRED_LIFE_MS)).is_none());
    let next = KeyId::of_signing(&key(2).verifying_key());
    assert!(entry.signing_key(next, Timestamp(u64::MAX)).is_some());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn changed_logs_are_refused_without_panic(at: prop::sample::Index, bit in 0_u8..8) {
        let log = log(2);
        let mut bytes = encode_log(&log);
        let at = at.index(bytes.len());
        bytes[at] ^= 1 << bit;
        if let Ok(changed) = decode_log(&bytes) {
            prop_assert!(follow(&server(), None, &changed).is_err());
        }
    }

    #[test]
    fn noise_never_panics(noise: Vec<u8>) {
        let _ = decode_log(&noise);
        let _ = TrustedHead::from_storage(&noise);
    }
}
