//! The bounds of a session.

use super::*;

/// Encrypts `count` messages and gives them all.
fn burst(from: &mut Party, to: &Party, count: usize) -> Vec<Ciphertext> {
    (0..count).map(|n| send(from, to, &n.to_string())).collect()
}

#[test]
fn two_thousand_skipped_messages_are_kept_and_no_more() {
    let (mut a, mut b) = conversation(Profile::default());
    let sent = burst(&mut a, &b, 2_002);
    assert_eq!(receive(&mut b, &a, &sent[2_001]), "2001");
    assert_eq!(b.decrypt(&a.local.address, &sent[0]), Err(DecryptError::Duplicate));
    assert_eq!(receive(&mut b, &a, &sent[1]), "1");
    assert_eq!(receive(&mut b, &a, &sent[2_000]), "2000");
}

#[test]
fn a_jump_of_more_than_25_000_is_refused() {
    let (mut a, mut b) = conversation(Profile::X3dh);
    for _ in 0..25_000 {
        send(&mut a, &b, "lost");
    }
    let last_allowed = send(&mut a, &b, "allowed");
    let too_far = send(&mut a, &b, "too far");
    assert_eq!(b.decrypt(&a.local.address, &too_far), Err(DecryptError::TooFarAhead));
    assert_eq!(receive(&mut b, &a, &last_allowed), "allowed");
    assert_eq!(receive(&mut b, &a, &too_far), "too far");
}

#[test]
fn a_message_survives_five_turns_and_not_six() {
    for (turns, survives) in [(5, true), (6, false)] {
        let (mut a, mut b) = conversation(Profile::default());
        let late = send(&mut a, &b, "late");
        let next = send(&mut a, &b, "opens the chain");
        receive(&mut b, &a, &next);
        for _ in 1..turns {
            let back = send(&mut b, &a, "back");
            receive(&mut a, &b, &back);
            let there = send(&mut a, &b, "there");
            receive(&mut b, &a, &there);
        }
        let outcome = b.decrypt(&a.local.address, &late);
        assert_eq!(outcome.is_ok(), survives, "{turns} turns: {outcome:?}");
    }
}

#[test]
fn forty_archived_sessions_are_kept() {
    let (mut a, mut b) = conversation(Profile::default());
    let late = send(&mut a, &b, "late");
    let bundle = b.bundle(false);
    for n in 0..=MAX_ARCHIVED {
        a.initiate(&b, &bundle, Profile::default());
        let sent = send(&mut a, &b, "new");
        receive(&mut b, &a, &sent);
        assert_eq!(b.session.info().unwrap().archived, (n + 1).min(MAX_ARCHIVED));
    }
    assert!(b.decrypt(&a.local.address, &late).is_err(), "the 41st is gone");
}

#[test]
fn an_unanswered_session_ends_after_thirty_days() {
    let (mut a, mut b) = (Party::new("a@north.test", 1), Party::new("b@south.test", 2));
    let bundle = b.bundle(true);
    a.initiate(&b, &bundle, Profile::default());
    let started = a.now;
    assert_eq!(MAX_UNACKNOWLEDGED, 2_592_000_000);
    a.now = UnixMillis(started.0 + MAX_UNACKNOWLEDGED);
    assert_eq!(send(&mut a, &b, "x").kind(), 3);
    a.now = UnixMillis(started.0 + MAX_UNACKNOWLEDGED + 1);
    let late = a.encrypt(&b.local.address, b"x");
    assert_eq!(late, Err(EncryptError::Unacknowledged));
}
