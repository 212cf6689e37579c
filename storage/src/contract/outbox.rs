//! Logs of what goes to other regions: indices, loading, receipts, failures, forgetting.

pub(super) mod lane;
mod model;

use bytes::Bytes;
use posthouse_protocol::{
    federation::stream::Lane,
    frame::Class,
    limits::{GRACE_MS, ID_MEMORY_MS, RETENTION_MS},
    status::FailReason,
};

use self::lane::{ALL, Abroad, REGION, lease, mark, number};
pub use self::model::random_operations_follow_the_model;
use super::{
    Subject,
    concurrency::{close, worlds},
    world::{Person, START, World, name},
};
use crate::{
    error::StoreError,
    ledger::{Accept, Ledger},
    message_store::MessageStore,
    outbox::{LoadRange, Outbox, OutboxItem, OutboxLane, OutboxStream, Settled, Settlement},
    retention::Cutoffs,
};

/// Each lane counts for itself; an entry has the message with its facts and its body, also after a
/// restart.
pub async fn indices_are_dense_in_every_lane<S: Subject>(subject: &S) {
    let world = World::new(subject).await;
    let (alice, region) = (world.person("alice").await, name(REGION));
    let mut batch: Vec<Accept> =
        (0..9).map(|_| world.message_abroad(&alice, &region, START)).collect();
    batch[4].class = Class::Key;
    let bodies: Vec<_> = batch.iter().map(|accept| (accept.body, body(accept))).collect();
    world.store.commit(&batch, &bodies).await.unwrap();
    let late = world.message_abroad(&alice, &region, START);
    world.accept(&late).await;
    subject.close(world.store).await;

    let abroad = Abroad::new(World::beside(subject, 10_000).await).await;
    let key = batch.remove(4);
    batch.push(late);
    let loaded = abroad.load(Lane::Messages, 0).await;
    assert_eq!(loaded.offered, 9);
    for ((entry, accept), index) in loaded.entries.iter().zip(&batch).zip(1..) {
        assert_eq!((entry.index, entry.id), (index, accept.id.0));
        assert_eq!(entry.sender, Some(alice.uuid()));
        let OutboxItem::Message { message, recipients, body: bytes, payload_version } = &entry.item
        else {
            panic!("{entry:?}")
        };
        let known = abroad.world.store.messages(&[accept.id]).await.unwrap();
        assert_eq!(known, [message.as_ref().clone()]);
        assert_eq!(recipients, &accept.destinations[0].recipients);
        assert_eq!(bytes, &body(accept));
        assert_eq!(*payload_version, posthouse_protocol::federation::version::PAYLOAD);
    }
    let keys = abroad.load(Lane::Control, 0).await;
    assert_eq!(keys.entries.len(), 1);
    assert_eq!((keys.entries[0].index, keys.entries[0].id), (1, key.id.0));
    assert_eq!(abroad.load(Lane::Bulk, 0).await.entries, []);
    subject.close(abroad.world.store).await;
}

fn body(accept: &Accept) -> Bytes {
    Bytes::copy_from_slice(accept.id.0.as_bytes())
}

/// A worker that has read up to n never finds a new entry at or below n.
pub async fn indices_become_visible_in_order<S: Subject>(subject: &S) {
    const EACH: usize = 60;
    let (one, two) = worlds(subject).await;
    let (alice, bob) = (one.person("alice").await, one.person("bob").await);
    let abroad = Abroad::new(World::same(&one, 5_000_000)).await;
    let sent = async |world: &World<S::Store>, from: &Person| {
        let mut ids = Vec::new();
        for _ in 0..EACH {
            let accept = world.message_abroad(from, &abroad.region, START);
            world.accept(&accept).await;
            ids.push(accept.id.0);
        }
        ids
    };
    let read = async {
        let mut ids = Vec::new();
        while ids.len() < 2 * EACH {
            let loaded = abroad.load(Lane::Messages, ids.len() as u64).await;
            for entry in loaded.entries {
                ids.push(entry.id);
                assert_eq!(entry.index, ids.len() as u64, "nothing is passed over");
            }
            tokio::task::yield_now().await;
        }
        ids
    };
    let (left, right, mut read) = tokio::join!(sent(&one, &alice), sent(&two, &bob), read);
    let mut all = [left, right].concat();
    all.sort_unstable();
    read.sort_unstable();
    assert_eq!(read, all);
    close(subject, one, two).await;
}

/// Messages do not change once they are accepted: all of them may have been sent, also those that
/// were never read.
pub async fn what_was_accepted_is_offered<S: Subject>(subject: &S) {
    let abroad = Abroad::new(World::new(subject).await).await;
    let alice = abroad.world.person("alice").await;
    abroad.send(&alice, 6).await;
    assert_eq!(abroad.lane(Lane::Messages).await.offered, 6);
    let loaded = abroad.load_some(Lane::Messages, (0, 2)).await;
    assert_eq!((loaded.entries.len(), loaded.offered), (2, 6));
    let loaded = abroad.load_some(Lane::Messages, (2, 3)).await;
    assert_eq!((number(&loaded), loaded.offered), (vec![3, 4, 5], 6));
    let loaded = abroad.load_some(Lane::Messages, (6, 3)).await;
    assert_eq!((number(&loaded), loaded.offered), (vec![], 6), "nothing was read");
    let nowhere = name("nowhere.example");
    let range = LoadRange { after: 0, limit: 9, max_bytes: 9 };
    let loaded = abroad.world.store.load(&abroad.fence, &nowhere, Lane::Messages, range).await;
    assert_eq!(loaded.unwrap(), crate::outbox::Loaded::default());
    subject.close(abroad.world.store).await;
}

/// By entries, and by bytes before the bodies are read; one entry always comes.
pub async fn a_load_is_bounded_by_entries_and_bytes<S: Subject>(subject: &S) {
    let abroad = Abroad::new(World::new(subject).await).await;
    let alice = abroad.world.person("alice").await;
    for size in [100, 200, 300, 10_000, 100] {
        let accept = abroad.world.message_abroad(&alice, &abroad.region, START);
        let body = (accept.body, Bytes::from(vec![7; size]));
        abroad.world.store.commit(&[accept], &[body]).await.unwrap();
    }
    let load = async |after, limit, max_bytes| {
        let range = LoadRange { after, limit, max_bytes };
        let lane = Lane::Messages;
        let loaded = abroad.world.store.load(&abroad.fence, &abroad.region, lane, range).await;
        number(&loaded.unwrap())
    };
    // Each has one recipient, which counts 16.
    assert_eq!(load(0, 9, 332).await, [1, 2]);
    assert_eq!(load(0, 9, 331).await, [1]);
    assert_eq!(load(0, 9, 0).await, [1], "at least one");
    assert_eq!(load(2, 9, 1_000).await, [3]);
    assert_eq!(load(3, 9, 1_000).await, [4], "however large");
    assert_eq!(load(0, 3, 1_000_000).await, [1, 2, 3]);
    assert_eq!(load(0, 9, 1_000_000).await, [1, 2, 3, 4, 5]);
    subject.close(abroad.world.store).await;
}

/// Every method says so, and nothing changes.
pub async fn a_stale_fence_writes_nothing<S: Subject>(subject: &S) {
    let mut abroad = Abroad::new(World::new(subject).await).await;
    let alice = abroad.world.person("alice").await;
    abroad.send(&alice, 6).await;
    abroad.load_some(Lane::Messages, (0, 4)).await;
    abroad.settle(2, &[]).await;
    let stale = abroad.fence.clone();
    abroad.fence = lease(&abroad.world, 2, 1_000).await;
    let before = abroad.stream().await;
    let inbox = abroad.world.inbox(&alice).await;
    let (store, region, lane) = (&abroad.world.store, &abroad.region, Lane::Messages);
    let now = START.plus_millis(5);
    let settlement = Settlement { to: mark(4), rejected: &[(3, FailReason::Refused)], now };
    let range = LoadRange { after: 0, limit: 9, max_bytes: ALL };
    let known = LoadRange { after: 0, limit: 2, max_bytes: ALL };
    let next = OutboxStream { state: Bytes::from_static(b"next"), lanes: before.lanes };
    let refusal = (FailReason::Refused, now);
    let end = START.plus_millis(2 * RETENTION_MS);
    let results = [
        store.stream(&stale, region, &next).await.map(drop),
        store.load(&stale, region, lane, range).await.map(drop),
        store.load(&stale, region, lane, known).await.map(drop),
        store.settle(&stale, region, lane, settlement).await.map(drop),
        store.rewind(&stale, region, lane, mark(0)).await,
        store.refuse(&stale, region, lane, 3, refusal).await.map(drop),
        store.expire(&stale, region, (end, now), 9).await.map(drop),
        store.fail_all(&stale, region, refusal, 9).await.map(drop),
        store.forget(&stale, region, lane, mark(1)).await,
        store.open(&stale, region, &next).await,
    ];
    for (at, result) in results.iter().enumerate() {
        assert!(matches!(result, Err(StoreError::Fenced { .. })), "{at}: {result:?}");
    }
    assert_eq!(abroad.stream().await, before);
    assert_eq!(abroad.world.inbox(&alice).await, inbox);
    assert_eq!(abroad.overdue(u64::MAX >> 2).await, [1, 2]);
    let loaded = abroad.load(lane, 0).await;
    assert!(loaded.entries.iter().all(|entry| matches!(entry.item, OutboxItem::Message { .. })));
    assert_eq!(number(&loaded), [1, 2, 3, 4, 5, 6]);
    // A lease that was given back is nobody's.
    let fence = abroad.fence.clone();
    crate::leases::Leases::release(store, &fence).await.unwrap();
    let result = store.rewind(&fence, region, lane, mark(0)).await;
    assert!(matches!(result, Err(StoreError::Fenced { .. })), "{result:?}");
    subject.close(abroad.world.store).await;
}

/// Marks move, the sender is told once however often the mark goes back.
pub async fn what_is_settled_again_is_told_once<S: Subject>(subject: &S) {
    let abroad = Abroad::new(World::new(subject).await).await;
    let alice = abroad.world.person("alice").await;
    abroad.send(&alice, 5).await;
    abroad.load(Lane::Messages, 0).await;
    let settled = abroad.settle(3, &[]).await;
    assert_eq!(settled.failed, []);
    let [risen] = &settled.risen[..] else { panic!("{settled:?}") };
    assert_eq!((risen.watermark.through, &risen.watermark.except[..]), (3, &[][..]));
    assert_eq!(risen.watermark.reader.server, abroad.region);
    assert_eq!(risen.watermark.origin, alice.account.server);
    assert_eq!(risen.arrivals[0].account, alice.uuid());
    assert_eq!(abroad.statuses(&alice).await, [(3, vec![])]);
    assert_eq!(abroad.lane(Lane::Messages).await.receipted, mark(3));
    // The same again, and from an earlier mark.
    assert_eq!(abroad.settle(3, &[]).await, Settled::default());
    abroad.rewind(1).await;
    assert_eq!(abroad.lane(Lane::Messages).await.receipted, mark(1));
    assert_eq!(abroad.settle(2, &[]).await, Settled::default());
    let settled = abroad.settle(5, &[]).await;
    assert_eq!(settled.risen[0].watermark.through, 5);
    assert_eq!(abroad.statuses(&alice).await, [(5, vec![])], "one entry, the newest state");
    assert_eq!(number(&abroad.load(Lane::Messages, 0).await), [1, 2, 3, 4, 5], "they stay");
    subject.close(abroad.world.store).await;
}

/// Keys travel in a faster lane: their receipts say nothing of the messages below them.
pub async fn keys_do_not_claim_messages<S: Subject>(subject: &S) {
    let abroad = Abroad::new(World::new(subject).await).await;
    let alice = abroad.world.person("alice").await;
    abroad.send(&alice, 1).await;
    let key = abroad.world.message_abroad(&alice, &abroad.region, START);
    abroad.world.accept(&Accept { class: Class::Key, ..key }).await;
    abroad.load(Lane::Control, 0).await;
    assert_eq!(abroad.settle_in(Lane::Control, 1, &[]).await, Settled::default());
    assert_eq!(abroad.statuses(&alice).await, []);
    abroad.load(Lane::Messages, 0).await;
    assert_eq!(abroad.settle(1, &[]).await.risen[0].watermark.through, 1);
    subject.close(abroad.world.store).await;
}

/// Retention deletes old bodies as a range; what waits for a region, or is kept for one that may be
/// restored, is older than that.
pub async fn waiting_bodies_outlive_the_retention<S: Subject>(subject: &S) {
    let abroad = Abroad::new(World::new(subject).await).await;
    let alice = abroad.world.person("alice").await;
    abroad.send(&alice, 2).await;
    let store = abroad.world.store.clone();
    let messages =
        MessageStore::together(std::sync::Arc::new(store.clone()), std::sync::Arc::new(store));
    // Receipted on the last day, kept for the grace: nearly 38 days.
    for days in [31, 38, 59] {
        let now = START.plus_millis(days * 24 * 3_600_000);
        messages.trim(&Cutoffs::at(now), 100).await.unwrap();
    }
    const { assert!(RETENTION_MS + GRACE_MS < RETENTION_MS + ID_MEMORY_MS) };
    let loaded = abroad.load(Lane::Messages, 0).await;
    assert_eq!(loaded.entries.len(), 2);
    assert!(loaded.entries.iter().all(|entry| matches!(entry.item, OutboxItem::Message { .. })));
    subject.close(abroad.world.store).await;
}

/// The grace runs from the receipt that holds.
pub async fn overdue_entries_were_receipted_and_still_are<S: Subject>(subject: &S) {
    let abroad = Abroad::new(World::new(subject).await).await;
    let alice = abroad.world.person("alice").await;
    abroad.send(&alice, 8).await;
    abroad.load(Lane::Messages, 0).await;
    assert!(abroad.overdue(1_000_000).await.is_empty());
    abroad.settle_at(2, 10).await;
    abroad.settle_at(5, 20).await;
    assert!(abroad.overdue(10).await.is_empty(), "before, not at");
    assert_eq!(abroad.overdue(11).await, [1, 2]);
    assert_eq!(abroad.overdue(21).await, [1, 2, 3, 4, 5]);
    // A receipt that says nothing new does not prolong anything.
    abroad.settle_at(5, 900).await;
    assert_eq!(abroad.overdue(21).await, [1, 2, 3, 4, 5]);
    abroad.rewind(2).await;
    assert_eq!(abroad.overdue(1_000).await, [1, 2]);
    abroad.settle_at(6, 30).await;
    assert_eq!(abroad.overdue(30).await, [1, 2], "the others' grace began anew");
    assert_eq!(abroad.overdue(31).await, [1, 2, 3, 4, 5, 6]);
    // The clock was set back: what follows a young receipt is young.
    abroad.settle_at(7, 15).await;
    assert_eq!(abroad.overdue(20).await, [1, 2]);
    abroad.forget(2).await;
    assert_eq!(abroad.overdue(31).await, [3, 4, 5, 6, 7]);
    // A new incarnation that takes up lower makes what lies above unreceipted.
    let mut next = abroad.stream().await;
    next.lanes.of_mut(Lane::Messages).receipted = mark(3);
    abroad.open(&next).await;
    assert!(abroad.overdue(1_000).await.is_empty());
    abroad.settle_at(8, 40).await;
    assert!(abroad.overdue(40).await.is_empty());
    assert_eq!(abroad.overdue(41).await, [3, 4, 5, 6, 7, 8]);
    let limited =
        abroad.world.store.overdue(&abroad.region, Lane::Messages, START.plus_millis(41), 2);
    assert_eq!(limited.await.unwrap().len(), 2);
    subject.close(abroad.world.store).await;
}

/// A new incarnation replaces state and marks, but what may have been sent stays so.
pub async fn opening_keeps_what_was_offered<S: Subject>(subject: &S) {
    let abroad = Abroad::new(World::new(subject).await).await;
    let alice = abroad.world.person("alice").await;
    let fresh = abroad.stream().await;
    let other = OutboxStream { state: Bytes::from_static(b"other"), ..fresh.clone() };
    let known = abroad.world.store.stream(&abroad.fence, &abroad.region, &other).await.unwrap();
    assert_eq!(known, fresh, "the first one stands");
    abroad.send(&alice, 5).await;
    abroad.load_some(Lane::Messages, (0, 3)).await;
    let mut next = other.clone();
    *next.lanes.of_mut(Lane::Messages) =
        OutboxLane { floor: mark(1), receipted: mark(2), offered: 0 };
    next.lanes.of_mut(Lane::Bulk).offered = 7;
    abroad.open(&next).await;
    next.lanes.of_mut(Lane::Messages).offered = 5;
    assert_eq!(abroad.stream().await, next);
    let unknown = name("unknown.example");
    assert_eq!(abroad.world.store.marks(&unknown).await.unwrap(), None);
    subject.close(abroad.world.store).await;
}

/// Names of regions in order, and messages in the order of their acceptance, whatever the lane.
pub async fn what_waits_is_listed<S: Subject>(subject: &S) {
    let abroad = Abroad::new(World::new(subject).await).await;
    let (world, alice) = (&abroad.world, abroad.world.person("alice").await);
    let (asia, region) = (name("asia.example"), abroad.region.clone());
    let first = abroad.send(&alice, 2).await;
    let key = Accept { class: Class::Key, ..world.message_abroad(&alice, &region, START) };
    world.accept(&key).await;
    let last = abroad.send(&alice, 1).await;
    world.accept(&world.message_abroad(&alice, &asia, START)).await;
    let both = [asia.clone(), region.clone()];
    assert_eq!(world.store.waiting(None, 9).await.unwrap(), both);
    assert_eq!(world.store.waiting(None, 1).await.unwrap(), both[..1]);
    assert_eq!(world.store.waiting(Some(&asia), 9).await.unwrap(), both[1..]);
    assert_eq!(world.store.streams(None, 9).await.unwrap(), both[1..]);
    let waiting = async |limit| {
        let waiting = world.store.unreceipted(&region, limit).await.unwrap();
        assert!(waiting.iter().all(|one| one.sender == alice.uuid()));
        waiting.into_iter().map(|one| one.id).collect::<Vec<_>>()
    };
    assert_eq!(waiting(9).await, [first[0], first[1], key.id, last[0]]);
    assert_eq!(waiting(3).await, [first[0], first[1], key.id]);
    abroad.load(Lane::Messages, 0).await;
    abroad.settle(1, &[]).await;
    abroad.refuse(2).await;
    assert_eq!(waiting(9).await, [key.id, last[0]]);
    abroad.load(Lane::Control, 0).await;
    abroad.settle_in(Lane::Control, 1, &[]).await;
    abroad.settle(3, &[]).await;
    assert_eq!(waiting(9).await, []);
    assert_eq!(world.store.waiting(None, 9).await.unwrap(), [asia]);
    subject.close(abroad.world.store).await;
}
