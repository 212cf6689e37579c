//! What is trimmed, and when.

use posthouse_protocol::{
    cursor::Cursor,
    limits::{GRACE_MS, ID_MEMORY_MS, RETENTION_MS},
    time::Timestamp,
};

use super::{
    Store, Subject,
    world::{Person, START, World, name},
};
use crate::accounts::Accounts;
use crate::ledger::Ledger;
use crate::{
    ledger::{Accept, Outcome},
    receipts::PositionAdvance,
    retention::{Cutoffs, Trimmed},
};

/// Trims until nothing more goes.
async fn trim<S: Store>(world: &World<S>, now: Timestamp, limit: u32) -> Trimmed {
    let mut all = Trimmed::default();
    for _ in 0..1_000 {
        let round = world.store.trim(&Cutoffs::at(now), limit).await.unwrap();
        assert!(round.entries <= limit.into() && round.messages <= limit.into());
        assert!(round.unreferenced.len() <= limit as usize);
        all.entries += round.entries;
        all.messages += round.messages;
        all.unreferenced.extend(round.unreferenced);
        if !round.more {
            // In no order.
            all.unreferenced.sort_unstable();
            return all;
        }
    }
    panic!("trimming never ends: {all:?}")
}

async fn acknowledge<S: Store>(world: &World<S>, person: &Person, position: u64) {
    let device = person.device.id;
    let advance = PositionAdvance { device, position: Cursor(position), active_at: START };
    world.store.record(&[advance], &[]).await.unwrap();
}

fn days(ms: u64) -> Timestamp {
    START.plus_millis(ms)
}

/// Only what every device has acknowledged, and only when the grace is over.
pub async fn acknowledged_entries_go_after_the_grace<S: Subject>(subject: &S) {
    let world = World::new(subject).await;
    let (alice, bob) = (world.person("alice").await, world.person("bob").await);
    let second = world.new_device(bob.uuid(), START);
    let session = world.new_session(&second, START);
    world.store.add_device(&second, &session, 8).await.unwrap();
    let sent: Vec<Accept> = (0..4).map(|_| world.message(&alice, &bob, START)).collect();
    for accept in &sent {
        world.accept(accept).await;
    }
    acknowledge(&world, &bob, 3).await;
    assert_eq!(trim(&world, days(GRACE_MS + 1), 100).await, Trimmed::default());
    let behind = PositionAdvance { device: second.id, position: Cursor(2), active_at: START };
    world.store.record(&[behind], &[]).await.unwrap();
    assert_eq!(trim(&world, days(GRACE_MS), 100).await, Trimmed::default(), "one ms too early");
    let trimmed = trim(&world, days(GRACE_MS + 1), 100).await;
    assert_eq!(trimmed.entries, 2);
    let mut gone = [sent[0].body, sent[1].body];
    gone.sort_unstable();
    assert_eq!(trimmed.unreferenced, gone);
    let left: Vec<_> = sent[2..].iter().map(|accept| accept.id).collect();
    assert_eq!(world.inbox_ids(&bob).await, left);
    // The device that lags behind is removed: the other one's position counts.
    world.store.remove_device(bob.uuid(), second.id, START).await.unwrap();
    assert_eq!(trim(&world, days(GRACE_MS + 1), 100).await.unreferenced, [sent[2].body]);
    let page = world.store.page(bob.uuid(), Cursor::START, 9).await.unwrap();
    assert_eq!(page.head, Cursor(4), "the head stays");
    subject.close(world.store).await;
}

/// Whether anybody read it or not.
pub async fn waiting_entries_go_after_the_retention<S: Subject>(subject: &S) {
    let world = World::new(subject).await;
    let (alice, bob) = (world.person("alice").await, world.person("bob").await);
    let old = world.message(&alice, &bob, START);
    let young = world.message(&alice, &bob, START.plus_millis(1));
    world.accept(&old).await;
    world.accept(&young).await;
    assert_eq!(trim(&world, days(RETENTION_MS), 100).await, Trimmed::default());
    let trimmed = trim(&world, days(RETENTION_MS + 1), 100).await;
    assert_eq!((trimmed.entries, trimmed.unreferenced), (1, vec![old.body]));
    assert_eq!(world.inbox_ids(&bob).await, [young.id]);
    assert!(matches!(world.commit(&old).await, Outcome::Repeated(_)), "the id is remembered");
    subject.close(world.store).await;
}

/// After another 30 days the id may be used again, and numbers go on.
pub async fn ids_are_remembered_for_longer<S: Subject>(subject: &S) {
    let world = World::new(subject).await;
    let (alice, bob) = (world.person("alice").await, world.person("bob").await);
    let old = world.message(&alice, &bob, START);
    world.accept(&old).await;
    let end = RETENTION_MS + ID_MEMORY_MS;
    assert_eq!(trim(&world, days(end), 100).await.messages, 0);
    let trimmed = trim(&world, days(end + 1), 100).await;
    assert_eq!(trimmed.messages, 1);
    assert_eq!(world.store.messages(&[old.id]).await.unwrap(), []);
    let again = Accept { body: world.body(days(end)), now: days(end), ..old };
    let accepted = world.accept(&again).await;
    assert_eq!(accepted.origin_number, 2, "numbers of a conversation are never given twice");
    subject.close(world.store).await;
}

/// Copies, intents and unread entries hold their message and its body.
pub async fn nothing_live_is_trimmed<S: Subject>(subject: &S) {
    let world = World::new(subject).await;
    let (alice, bob) = (world.person("alice").await, world.person("bob").await);
    let carol = world.person("carol").await;
    let region = name("us.example");
    let group =
        Accept { recipients: vec![bob.uuid(), carol.uuid()], ..world.message(&alice, &bob, START) };
    let abroad = world.message_abroad(&alice, &region, START);
    world.accept(&group).await;
    world.accept(&abroad).await;
    acknowledge(&world, &bob, 1).await;
    let trimmed = trim(&world, days(GRACE_MS + 1), 100).await;
    assert_eq!((trimmed.entries, trimmed.unreferenced), (1, vec![]), "Carol has not read it");
    assert_eq!(world.inbox_ids(&carol).await, [group.id]);
    acknowledge(&world, &carol, 1).await;
    let trimmed = trim(&world, days(GRACE_MS + 1), 100).await;
    assert_eq!((trimmed.entries, trimmed.unreferenced), (1, vec![group.body]));
    // An intent that waits holds its message, however old that is.
    let much_later = days(10 * (RETENTION_MS + ID_MEMORY_MS));
    let trimmed = trim(&world, much_later, 100).await;
    assert_eq!((trimmed.messages, trimmed.unreferenced), (1, vec![]));
    assert_eq!(world.store.messages(&[abroad.id]).await.unwrap().len(), 1);
    subject.close(world.store).await;
}

/// Where a round stopped, the next one goes on; every inbox gets its turn.
pub async fn small_rounds_trim_as_much_as_large_ones<S: Subject>(subject: &S) {
    let world = World::new(subject).await;
    let mut people = Vec::new();
    for n in 0..7 {
        people.push(world.person(&format!("p{n}")).await);
    }
    let young = days(RETENTION_MS + ID_MEMORY_MS);
    let mut kept = Vec::new();
    for round in 0..3 {
        for (n, to) in people.iter().enumerate() {
            let from = &people[(n + 1) % people.len()];
            world.accept(&world.message(from, to, START.plus_millis(round))).await;
        }
    }
    for (n, to) in people.iter().enumerate() {
        let accept = world.message(&people[(n + 2) % people.len()], to, young);
        world.accept(&accept).await;
        kept.push(accept.id);
    }
    let trimmed = trim(&world, young.plus_millis(3), 2).await;
    assert_eq!((trimmed.entries, trimmed.unreferenced.len()), (21, 21));
    // Their ids may go in the pass that saw their entries go, or in the next one.
    let next = trim(&world, young.plus_millis(3), 2).await;
    assert_eq!(trimmed.messages + next.messages, 21);
    assert_eq!(trim(&world, young.plus_millis(3), 2).await, Trimmed::default());
    for (to, id) in people.iter().zip(kept) {
        assert_eq!(world.inbox_ids(to).await, [id]);
    }
    subject.close(world.store).await;
}
