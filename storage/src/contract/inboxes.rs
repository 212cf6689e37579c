//! Reading inboxes.

use posthouse_protocol::{cursor::Cursor, limits};

use super::{
    Store, Subject,
    world::{Person, START, World, message},
};
use crate::ledger::Ledger;
use crate::ledger::{Accept, Outcome, Refusal};
use crate::{receipts::PositionAdvance, retention::Cutoffs};

/// Pages of any size read the same.
pub async fn pages_follow_each_other_without_a_gap<S: Subject>(subject: &S) {
    let world = World::new(subject).await;
    let (alice, bob) = (world.person("alice").await, world.person("bob").await);
    let batch: Vec<Accept> = (0..23).map(|_| world.message(&alice, &bob, START)).collect();
    world.store.commit(&batch, &[]).await.unwrap();
    let sent: Vec<_> = batch.iter().map(|accept| accept.id).collect();
    for limit in [1, 5, 23, 100] {
        let (mut read, mut cursor) = (Vec::new(), Cursor::START);
        loop {
            let page = world.store.page(bob.uuid(), cursor, limit).await.unwrap();
            assert_eq!(page.head, Cursor(23));
            assert!(page.entries.len() <= limit);
            let Some(last) = page.entries.last() else { break };
            assert!(page.entries[0].cursor > cursor);
            assert!(page.entries.is_sorted_by_key(|entry| entry.cursor));
            cursor = last.cursor;
            read.extend(page.entries.iter().map(|entry| message(entry).unwrap().id));
        }
        assert_eq!((read, cursor), (sent.clone(), Cursor(23)), "pages of {limit}");
    }
    // A cursor beyond the end is told apart by the head, also the largest that can be written.
    for beyond in [Cursor(24), Cursor(u64::MAX)] {
        let page = world.store.page(bob.uuid(), beyond, 5).await.unwrap();
        assert_eq!((page.entries, page.head), (vec![], Cursor(23)));
    }
    subject.close(world.store).await;
}

/// A connected device that is there has missed nothing in between.
pub async fn every_arrival_names_the_head_before_it<S: Subject>(subject: &S) {
    let world = World::new(subject).await;
    let (alice, bob) = (world.person("alice").await, world.person("bob").await);
    let carol = world.person("carol").await;
    let mut heads = std::collections::HashMap::new();
    for round in 0..3 {
        let batch: Vec<Accept> = (0..=round)
            .map(|_| Accept {
                recipients: vec![carol.uuid(), alice.uuid(), bob.uuid()],
                ..world.message(&alice, &bob, START)
            })
            .collect();
        for outcome in world.store.commit(&batch, &[]).await.unwrap() {
            let Outcome::Accepted(accepted) = outcome else { panic!("{outcome:?}") };
            assert_eq!(accepted.arrivals.len(), 3);
            for arrival in accepted.arrivals {
                let head = heads.insert(arrival.account, arrival.cursor).unwrap_or_default();
                assert_eq!(arrival.previous, head);
                assert!(arrival.cursor > head);
            }
        }
    }
    for (account, head) in heads {
        assert_eq!(world.store.page(account, Cursor::START, 1).await.unwrap().head, head);
    }
    subject.close(world.store).await;
}

/// `since=<milliseconds>` starts before the first entry that arrived then or later.
pub async fn a_time_becomes_a_cursor<S: Subject>(subject: &S) {
    let world = World::new(subject).await;
    let (alice, bob) = (world.person("alice").await, world.person("bob").await);
    for ms in [0, 10, 10, 20] {
        world.accept(&world.message(&alice, &bob, START.plus_millis(ms))).await;
    }
    let at = async |ms| {
        let at = START.plus_millis(ms);
        let cursor = world.store.cursor_at(bob.uuid(), at).await.unwrap();
        let page = world.store.page(bob.uuid(), cursor, 100).await.unwrap();
        assert!(page.entries.iter().all(|entry| entry.arrived_at >= at));
        page.entries.len()
    };
    assert_eq!([at(0).await, at(1).await, at(10).await, at(11).await], [4, 3, 3, 1]);
    assert_eq!([at(20).await, at(21).await, at(u64::MAX).await], [1, 0, 0]);
    let end = world.store.cursor_at(bob.uuid(), START.plus_millis(21)).await.unwrap();
    assert_eq!(end, Cursor(4));
    subject.close(world.store).await;
}

/// The sender's other devices read the copy from the sender's own inbox.
pub async fn own_devices_get_a_copy<S: Subject>(subject: &S) {
    let world = World::new(subject).await;
    let (alice, bob) = (world.person("alice").await, world.person("bob").await);
    let accept =
        Accept { recipients: vec![bob.uuid(), alice.uuid()], ..world.message(&alice, &bob, START) };
    world.accept(&accept).await;
    for inbox in [world.inbox(&alice).await, world.inbox(&bob).await] {
        let [entry] = &inbox[..] else { panic!("one entry each") };
        let copy = message(entry).unwrap();
        assert_eq!((copy.id, &copy.to), (accept.id, &bob.account.to_string()));
        assert_eq!(copy.device, Some(alice.device.id), "so that this device can be passed over");
    }
    subject.close(world.store).await;
}

/// No account, no entries, no error.
pub async fn an_unknown_inbox_is_empty<S: Subject>(subject: &S) {
    let world = World::new(subject).await;
    let nobody = world.id();
    let page = world.store.page(nobody, Cursor::START, 10).await.unwrap();
    assert_eq!((page.entries, page.head), (vec![], Cursor::START));
    assert_eq!(world.store.cursor_at(nobody, START).await.unwrap(), Cursor::START);
    subject.close(world.store).await;
}

/// What would not fit is refused and reserves nothing; what is replaced or trimmed makes room.
pub async fn a_full_inbox_refuses_until_there_is_room<S: Subject>(subject: &S) {
    let world = World::new(subject).await;
    let (alice, bob) = (world.person("alice").await, world.person("bob").await);
    let large = |collapse: Option<&str>| Accept {
        size: limits::MAX_INBOX_BYTES - 100,
        collapse: collapse.map(str::to_owned),
        ..world.message(&alice, &bob, START)
    };
    world.accept(&large(Some("key"))).await;
    let small = world.message(&alice, &bob, START);
    world.accept(&small).await;
    let full = Outcome::Refused(Refusal::QueueFull);
    let next = Accept { size: 85, ..world.message(&alice, &bob, START) };
    assert_eq!(world.commit(&next).await, full);
    let copied = Accept { recipients: vec![bob.uuid(), alice.uuid()], ..next.clone() };
    assert_eq!(world.commit(&copied).await, full, "for nobody, if not for all");
    assert!(world.inbox(&alice).await.is_empty());
    let fits = Accept { size: 84, ..next.clone() };
    world.accept(&fits).await;
    // The large one is replaced by a small one of the same key, beside which there is room.
    let replacing = Accept { size: 0, ..large(Some("key")) };
    world.accept(&replacing).await;
    let again = world.message(&alice, &bob, START);
    world.accept(&again).await;
    assert_eq!(world.commit(&large(None)).await, full);
    let later = START.plus_millis(limits::RETENTION_MS + 1);
    while world.store.trim(&Cutoffs::at(later), 100).await.unwrap().more {}
    assert!(world.inbox(&bob).await.is_empty());
    world.accept(&large(None)).await;
    subject.close(world.store).await;
}

async fn acknowledge<S: Store>(world: &World<S>, person: &Person, position: u64) {
    let device = person.device.id;
    let advance = PositionAdvance { device, position: Cursor(position), active_at: START };
    world.store.record(&[advance], &[]).await.unwrap();
}

/// What all devices have acknowledged takes no room any more, also while it is kept for the grace.
pub async fn what_is_acknowledged_makes_room<S: Subject>(subject: &S) {
    let world = World::new(subject).await;
    let (alice, bob) = (world.person("alice").await, world.person("bob").await);
    let large = |collapse: Option<&str>| Accept {
        size: limits::MAX_INBOX_BYTES - 100,
        collapse: collapse.map(str::to_owned),
        ..world.message(&alice, &bob, START)
    };
    let full = Outcome::Refused(Refusal::QueueFull);
    world.accept(&large(Some("key"))).await;
    world.accept(&world.message(&alice, &bob, START)).await;
    assert_eq!(world.commit(&large(None)).await, full);
    acknowledge(&world, &bob, 1).await;
    world.accept(&large(None)).await;
    assert_eq!(world.commit(&large(None)).await, full, "only the first is acknowledged");
    // What was taken out of the count is not taken out again: not when it is replaced, deleted for
    // oneself, or trimmed.
    world.accept(&Accept { size: 0, ..large(Some("key")) }).await;
    assert_eq!(world.commit(&large(None)).await, full);
    acknowledge(&world, &bob, 2).await;
    assert_eq!(world.commit(&large(None)).await, full, "the second was small");
    let trimmed = Cutoffs::at(START.plus_millis(limits::GRACE_MS + 1));
    while world.store.trim(&trimmed, 100).await.unwrap().more {}
    assert_eq!(world.inbox(&bob).await.len(), 2);
    assert_eq!(world.commit(&large(None)).await, full);
    acknowledge(&world, &bob, 4).await;
    world.accept(&large(None)).await;
    assert_eq!(world.commit(&large(None)).await, full);
    subject.close(world.store).await;
}

/// Who is blocked cannot fill the inbox, nor the disk.
pub async fn what_is_discarded_takes_no_room<S: Subject>(subject: &S) {
    let world = World::new(subject).await;
    let (alice, bob) = (world.person("alice").await, world.person("bob").await);
    let pest = |n: u64| {
        let one = world.message(&bob, &alice, START.plus_millis(n));
        Accept { discard: true, size: limits::MAX_INBOX_BYTES / 2, ..one }
    };
    for _ in 0..6 {
        let batch: Vec<Accept> = (0..1_000).map(pest).collect();
        for outcome in world.store.commit(&batch, &[]).await.unwrap() {
            assert!(matches!(outcome, Outcome::Accepted(_)));
        }
    }
    let heard = Accept { size: limits::MAX_INBOX_BYTES, ..world.message(&bob, &alice, START) };
    world.accept(&heard).await;
    let entries = world.store.page(alice.uuid(), Cursor::START, 10_000).await.unwrap().entries;
    assert_eq!(entries.iter().filter_map(message).count(), 1);
    assert!((2_000..=4_097).contains(&entries.len()), "{} are kept", entries.len());
    subject.close(world.store).await;
}
