//! Entries that replace each other.

use posthouse_protocol::frame::Class;

use super::{
    Subject,
    world::{START, World},
};
use crate::ledger::Ledger;
use crate::{
    ledger::{Accept, Outcome},
    retention::Cutoffs,
};

fn keyed(key: &str, accept: Accept) -> Accept {
    Accept { class: Class::Receipt, collapse: Some(key.to_owned()), ..accept }
}

/// Only the newest waits, at the end.
pub async fn a_newer_entry_replaces_the_one_that_waits<S: Subject>(subject: &S) {
    let world = World::new(subject).await;
    let (alice, bob) = (world.person("alice").await, world.person("bob").await);
    let old = keyed("k", world.message(&alice, &bob, START));
    let between = world.message(&alice, &bob, START);
    let new = keyed("k", world.message(&alice, &bob, START));
    let first = world.accept(&old).await;
    world.accept(&between).await;
    let last = world.accept(&new).await;
    assert_eq!(world.inbox_ids(&bob).await, [between.id, new.id]);
    assert!(last.arrivals[0].cursor > first.arrivals[0].cursor);
    // The id of what was replaced is remembered.
    assert!(matches!(world.commit(&old).await, Outcome::Repeated(_)));
    assert_eq!(world.inbox_ids(&bob).await, [between.id, new.id]);
    subject.close(world.store).await;
}

/// Anything else stays.
pub async fn only_the_same_sender_conversation_and_key_collapse<S: Subject>(subject: &S) {
    let world = World::new(subject).await;
    let (alice, bob) = (world.person("alice").await, world.person("bob").await);
    let carol = world.person("carol").await;
    let to_bob = Accept { recipients: vec![bob.uuid()], ..world.message(&alice, &carol, START) };
    let all = [
        keyed("k", world.message(&alice, &bob, START)),
        keyed("l", world.message(&alice, &bob, START)),
        keyed("", world.message(&alice, &bob, START)),
        keyed("k", world.message(&carol, &bob, START)),
        keyed("k", to_bob),
        world.message(&alice, &bob, START),
    ];
    for accept in &all {
        world.accept(accept).await;
    }
    assert_eq!(world.inbox_ids(&bob).await, all.iter().map(|a| a.id).collect::<Vec<_>>());
    subject.close(world.store).await;
}

/// Within a batch as across batches; each gets an arrival of its own, for those who are connected.
pub async fn the_last_one_of_a_batch_stays<S: Subject>(subject: &S) {
    let world = World::new(subject).await;
    let (alice, bob) = (world.person("alice").await, world.person("bob").await);
    world.accept(&keyed("k", world.message(&alice, &bob, START))).await;
    let batch: Vec<Accept> =
        (0..5).map(|_| keyed("k", world.message(&alice, &bob, START))).collect();
    let outcomes = world.store.commit(&batch, &[]).await.unwrap();
    let mut cursors = Vec::new();
    for outcome in &outcomes {
        let Outcome::Accepted(accepted) = outcome else { panic!("{outcome:?}") };
        cursors.push(accepted.arrivals[0].cursor);
    }
    assert!(cursors.is_sorted_by(|a, b| a < b));
    assert_eq!(world.inbox_ids(&bob).await, [batch[4].id]);
    assert_eq!(world.inbox(&bob).await[0].cursor, cursors[4]);
    subject.close(world.store).await;
}

/// Nothing points to it any more; what waits keeps its body.
pub async fn what_was_replaced_loses_its_body<S: Subject>(subject: &S) {
    let world = World::new(subject).await;
    let (alice, bob) = (world.person("alice").await, world.person("bob").await);
    let both = |accept| Accept { recipients: vec![bob.uuid(), alice.uuid()], ..keyed("k", accept) };
    let old = both(world.message(&alice, &bob, START));
    let half = both(world.message(&alice, &bob, START));
    let new = keyed("k", world.message(&alice, &bob, START));
    for accept in [&old, &half, &new] {
        world.accept(accept).await;
    }
    let trimmed = world.store.trim(&Cutoffs::at(START), 100).await.unwrap();
    assert_eq!((trimmed.unreferenced, trimmed.entries), (vec![old.body], 0));
    // `half` still waits in Alice's own inbox. What was handed over once is not again.
    let trimmed = world.store.trim(&Cutoffs::at(START), 100).await.unwrap();
    assert_eq!(trimmed.unreferenced, []);
    assert_eq!(world.inbox_ids(&alice).await, [half.id]);
    subject.close(world.store).await;
}
