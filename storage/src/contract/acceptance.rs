//! Acceptance: ids, `prev`, `after`, numbers, stamps.

use bytes::Bytes;
use posthouse_protocol::{
    frame::Class,
    id::{ConversationId, MessageId},
    time::{Stamp, Timestamp},
};

use super::{
    Subject,
    world::{START, World, message, server},
};
use crate::bodies::Bodies;
use crate::ledger::Ledger;
use crate::{
    inbox::StoredMessage,
    ledger::{Accept, Outcome, Refusal},
};

/// Every fact comes back, also the largest and the absent ones.
pub async fn a_message_is_stored_with_all_its_facts<S: Subject>(subject: &S) {
    let world = World::new(subject).await;
    let (alice, bob) = (world.person("alice").await, world.person("bob").await);
    let full = Accept {
        class: Class::Receipt,
        collapse: Some("Schlüssel".to_owned()),
        expires: Some(Timestamp(u64::MAX)),
        epoch: Some(u64::MAX),
        device_list_version: Some(3),
        client_timestamp: Timestamp(u64::MAX),
        ..world.message(&alice, &bob, START)
    };
    let bare = world.message(&alice, &bob, START.plus_millis(1));
    for accept in [full, bare] {
        let accepted = world.accept(&accept).await;
        let want = StoredMessage {
            part: 0,
            sender: alice.account.clone(),
            device: Some(alice.device.id),
            device_number: Some(alice.device.number),
            device_list_version: accept.device_list_version,
            id: accept.id,
            to: bob.account.to_string(),
            conversation: accept.conversation,
            stamp: accepted.stamp,
            origin_number: accepted.origin_number,
            class: accept.class,
            collapse: accept.collapse.clone(),
            expires: accept.expires,
            epoch: accept.epoch,
            client_timestamp: accept.client_timestamp,
            accepted_at: accept.now,
            body: accept.body,
        };
        assert_eq!(want.sender.server, server());
        let inbox = world.inbox(&bob).await;
        let entry = inbox.last().unwrap();
        assert_eq!((message(entry), entry.arrived_at), (Some(&want), accept.now));
        assert_eq!(world.store.messages(&[accept.id]).await.unwrap(), [want]);
        let body = world.store.get(&[accept.body]).await.unwrap();
        assert_eq!(body, [Some(Bytes::copy_from_slice(accept.id.0.as_bytes()))]);
    }
    subject.close(world.store).await;
}

/// The first acceptance stands, whatever the repetition says; nothing is written.
pub async fn a_repetition_is_answered_with_the_first_acceptance<S: Subject>(subject: &S) {
    let world = World::new(subject).await;
    let (alice, bob) = (world.person("alice").await, world.person("bob").await);
    let first = world.message(&alice, &bob, START);
    let accepted = world.accept(&first).await;
    let later = START.plus_millis(5_000);
    // Another device, another conversation, a `prev` that would be refused: the id decides.
    let other = Accept {
        device: posthouse_protocol::id::DeviceId(world.id()),
        conversation: ConversationId([9; 16]),
        prev: Some(MessageId(world.id())),
        body: world.body(later),
        now: later,
        ..first.clone()
    };
    for repetition in [first.clone(), other] {
        let Outcome::Repeated(facts) = world.commit(&repetition).await else {
            panic!("accepted twice")
        };
        assert_eq!((facts.conversation, facts.stamp), (accepted.conversation, accepted.stamp));
        assert_eq!((facts.origin_number, facts.at), (accepted.origin_number, accepted.at));
        assert_eq!(facts.arrivals, []);
        let body = world.store.get(&[repetition.body]).await.unwrap();
        assert_eq!(body[0].is_some(), repetition.body == first.body);
    }
    // Twice in one batch, with something between.
    let (second, between) =
        (world.message(&alice, &bob, later), world.message(&bob, &alice, later));
    let batch = [second.clone(), between, second.clone()];
    let outcomes = world.store.commit(&batch, &[]).await.unwrap();
    let [Outcome::Accepted(once), Outcome::Accepted(_), Outcome::Repeated(twice)] = &outcomes[..]
    else {
        panic!("{outcomes:?}")
    };
    assert_eq!((once.stamp, once.origin_number), (twice.stamp, twice.origin_number));
    assert_eq!(world.inbox_ids(&bob).await, [first.id, second.id]);
    subject.close(world.store).await;
}

/// Another process, or the same after a restart, knows what was accepted.
pub async fn a_repetition_is_known_after_reopening<S: Subject>(subject: &S) {
    let world = World::new(subject).await;
    let (alice, bob) = (world.person("alice").await, world.person("bob").await);
    let first = world.message(&alice, &bob, START);
    let accepted = world.accept(&first).await;
    subject.close(world.store).await;
    let world = World::beside(subject, 10_000).await;
    let outcome = world.commit(&first).await;
    assert!(
        matches!(&outcome, Outcome::Repeated(facts)
            if facts.stamp == accepted.stamp && facts.origin_number == accepted.origin_number),
        "{outcome:?}"
    );
    let next = Accept { prev: Some(first.id), ..world.message(&alice, &bob, START) };
    let next = world.accept(&next).await;
    assert_eq!(next.origin_number, accepted.origin_number + 1);
    assert_eq!(world.inbox_ids(&bob).await.len(), 2);
    subject.close(world.store).await;
}

/// A refused id can be accepted later; its number and stamp are not used up.
pub async fn a_refusal_reserves_nothing<S: Subject>(subject: &S) {
    let world = World::new(subject).await;
    let (alice, bob) = (world.person("alice").await, world.person("bob").await);
    let good = world.message(&alice, &bob, START);
    let refused = Accept { prev: Some(good.id), ..world.message(&alice, &bob, START) };
    assert_eq!(world.commit(&refused).await, Outcome::Refused(Refusal::OutOfOrder));
    assert_eq!(world.store.messages(&[refused.id]).await.unwrap(), []);
    assert_eq!(world.inbox(&bob).await, []);
    assert_eq!(world.store.get(&[refused.body]).await.unwrap(), [None]);
    assert_eq!(world.accept(&good).await.origin_number, 1);
    assert_eq!(world.accept(&refused).await.origin_number, 2);
    subject.close(world.store).await;
}

/// Nothing overtakes a refused message of the same device, within a batch and across batches.
pub async fn prev_must_be_the_last_accepted_message<S: Subject>(subject: &S) {
    let world = World::new(subject).await;
    let (alice, bob) = (world.person("alice").await, world.person("bob").await);
    let one = world.message(&alice, &bob, START);
    let after =
        |prev: &Accept| Accept { prev: Some(prev.id), ..world.message(&alice, &bob, START) };
    let two = after(&one);
    let skipped = after(&world.message(&alice, &bob, START));
    let behind_skipped = after(&skipped);
    let three = after(&two);
    let batch = [one, two.clone(), skipped, behind_skipped, three.clone()];
    let outcomes = world.store.commit(&batch, &[]).await.unwrap();
    let accepted: Vec<bool> =
        outcomes.iter().map(|outcome| matches!(outcome, Outcome::Accepted(_))).collect();
    assert_eq!(accepted, [true, true, false, false, true]);
    assert_eq!(world.commit(&after(&two)).await, Outcome::Refused(Refusal::OutOfOrder));
    world.accept(&after(&three)).await;
    // Another device and another conversation have chains of their own.
    let mut other_device = world.message(&alice, &bob, START);
    other_device.device = posthouse_protocol::id::DeviceId(world.id());
    world.accept(&other_device).await;
    let carol = world.person("carol").await;
    let elsewhere = world.message(&alice, &carol, START);
    world.accept(&elsewhere).await;
    let mixed = Accept { prev: Some(elsewhere.id), ..world.message(&alice, &bob, START) };
    assert_eq!(world.commit(&mixed).await, Outcome::Refused(Refusal::OutOfOrder));
    subject.close(world.store).await;
}

/// A client cannot have seen what this region does not know.
pub async fn after_must_be_known<S: Subject>(subject: &S) {
    let world = World::new(subject).await;
    let (alice, bob) = (world.person("alice").await, world.person("bob").await);
    let said = |after| Accept { after: Some(after), ..world.message(&alice, &bob, START) };
    assert_eq!(world.commit(&said(Stamp(1))).await, Outcome::Refused(Refusal::AfterUnknown));
    let one = world.accept(&world.message(&alice, &bob, START)).await;
    let too_high = said(Stamp(one.stamp.0 + 1));
    assert_eq!(world.commit(&too_high).await, Outcome::Refused(Refusal::AfterUnknown));
    assert!(world.accept(&said(one.stamp)).await.stamp > one.stamp);
    subject.close(world.store).await;
}

/// Also when the clock stands still or goes back.
pub async fn origin_numbers_are_dense_and_stamps_rise<S: Subject>(subject: &S) {
    let world = World::new(subject).await;
    let (alice, bob) = (world.person("alice").await, world.person("bob").await);
    let mut highest = Stamp(0);
    let mut number = 0;
    for round in 0..5_u64 {
        let at = START.plus_millis(1_000).minus_millis(round * 300);
        let batch: Vec<Accept> = (0..=round)
            .map(|n| {
                let (from, to) = if n % 2 == 0 { (&alice, &bob) } else { (&bob, &alice) };
                world.message(from, to, at)
            })
            .collect();
        for outcome in world.store.commit(&batch, &[]).await.unwrap() {
            let Outcome::Accepted(accepted) = outcome else { panic!("{outcome:?}") };
            number += 1;
            assert_eq!(accepted.origin_number, number);
            assert!(accepted.stamp > highest);
            highest = accepted.stamp;
        }
    }
    subject.close(world.store).await;
}

/// Two senders may use one id.
pub async fn ids_belong_to_their_senders<S: Subject>(subject: &S) {
    let world = World::new(subject).await;
    let (alice, bob) = (world.person("alice").await, world.person("bob").await);
    let one = world.message(&alice, &bob, START);
    let other = Accept { id: one.id, ..world.message(&bob, &alice, START) };
    world.accept(&one).await;
    world.accept(&other).await;
    let found = world.store.messages(&[one.id, MessageId(world.id()), one.id]).await.unwrap();
    assert_eq!(found.len(), 2);
    for person in [alice, bob] {
        assert!(found.iter().any(|message| message.sender == person.account));
    }
    assert_eq!(world.store.messages(&[]).await.unwrap(), []);
    subject.close(world.store).await;
}

/// Batches are cut into statements of certain sizes; no size loses anything.
pub async fn a_batch_of_any_size_is_accepted<S: Subject>(subject: &S) {
    let world = World::new(subject).await;
    let (alice, bob) = (world.person("alice").await, world.person("bob").await);
    assert_eq!(world.store.commit(&[], &[]).await.unwrap(), []);
    let mut sent = Vec::new();
    for size in [1, 2, 3, 127, 128, 129, 300, 7] {
        let batch: Vec<Accept> = (0..size).map(|_| world.message(&alice, &bob, START)).collect();
        let bodies: Vec<_> =
            batch.iter().map(|accept| (accept.body, Bytes::from_static(b"body"))).collect();
        let outcomes = world.store.commit(&batch, &bodies).await.unwrap();
        assert!(outcomes.iter().all(|outcome| matches!(outcome, Outcome::Accepted(_))));
        let stored = world.store.get(&bodies.iter().map(|b| b.0).collect::<Vec<_>>()).await;
        assert!(stored.unwrap().iter().all(Option::is_some));
        sent.extend(batch.iter().map(|accept| accept.id));
    }
    assert_eq!(world.inbox_ids(&bob).await, sent);
    assert_eq!(world.store.messages(&sent).await.unwrap().len(), sent.len());
    subject.close(world.store).await;
}

/// Presence is shown to those who have exchanged messages both ways.
pub async fn both_sides_must_have_spoken<S: Subject>(subject: &S) {
    let world = World::new(subject).await;
    let (alice, bob) = (world.person("alice").await, world.person("bob").await);
    let there = world.message(&alice, &bob, START);
    let back = world.message(&bob, &alice, START);
    let asked = [ConversationId([1; 16]), there.conversation];
    assert_eq!(world.store.mutual(&asked).await.unwrap(), [false, false]);
    world.accept(&there).await;
    world.accept(&world.message(&alice, &bob, START)).await;
    assert_eq!(world.store.mutual(&asked).await.unwrap(), [false, false]);
    world.accept(&back).await;
    assert_eq!(world.store.mutual(&asked).await.unwrap(), [false, true]);
    assert!(world.store.mutual(&[]).await.unwrap().is_empty());
    subject.close(world.store).await;
}

/// It serves more inboxes, replaces nothing, and comes in its turn.
pub async fn a_supplement_has_the_place_of_its_message<S: Subject>(subject: &S) {
    let world = World::new(subject).await;
    let (alice, bob) = (world.person("alice").await, world.person("bob").await);
    let collapse = Some("k".to_owned());
    let first = Accept { collapse, ..world.message(&alice, &bob, START) };
    let accepted = world.accept(&first).await;
    let later = START.plus_millis(9_000);
    let part = |part| Accept { part, body: world.body(later), now: later, ..first.clone() };
    let offer = async |accept: Accept| {
        let body = (accept.body, Bytes::from_static(b"more"));
        world.store.commit(&[accept], &[body]).await.unwrap().remove(0)
    };
    let unknown = Accept { id: MessageId(world.id()), ..part(1) };
    assert_eq!(offer(unknown).await, Outcome::Refused(Refusal::NothingToSupplement));
    let elsewhere = Accept { conversation: ConversationId([9; 16]), ..part(1) };
    assert_eq!(offer(elsewhere).await, Outcome::Refused(Refusal::NothingToSupplement));
    assert_eq!(offer(part(2)).await, Outcome::Refused(Refusal::Overtaken));
    let Outcome::Accepted(supplement) = offer(part(1)).await else { panic!("it is taken") };
    assert_eq!(supplement.arrivals.len(), 1);
    assert_eq!(
        crate::ledger::Accepted { arrivals: accepted.arrivals.clone(), ..supplement },
        accepted
    );
    assert_eq!(offer(part(1)).await, Outcome::Refused(Refusal::Overtaken));
    assert!(matches!(offer(part(2)).await, Outcome::Accepted(_)));
    let inbox = world.inbox(&bob).await;
    let parts: Vec<u8> = inbox.iter().filter_map(|one| Some(message(one)?.part)).collect();
    assert_eq!(parts, [0, 1, 2], "the message itself is still there");
    assert!(inbox.iter().filter_map(message).all(|one| one.stamp == accepted.stamp));
    let known = world.store.parts(&alice.account, first.id).await.unwrap();
    assert_eq!(known.iter().map(|one| one.part).collect::<Vec<_>>(), [0, 1, 2]);
    assert_eq!(world.store.messages(&[first.id]).await.unwrap(), known[..1]);
    let next = world.accept(&world.message(&alice, &bob, later)).await;
    assert_eq!(next.origin_number, accepted.origin_number + 1);
    subject.close(world.store).await;
}
