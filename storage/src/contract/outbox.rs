//! Intents to other regions.

use uuid::Uuid;

use super::{
    Store, Subject,
    world::{START, World, name},
};
use crate::ledger::Ledger;
use crate::outbox::Outbox;
use crate::{
    error::StoreError,
    leases::Fence,
    ledger::Accept,
    outbox::{Intent, Lane},
};
use posthouse_protocol::{frame::Class, id::ServerName};

async fn lease<S: Store>(world: &World<S>, holder: u128, ms: u64) -> Fence {
    let at = START.plus_millis(ms);
    let holder = Uuid::from_u128(holder);
    world.store.acquire("outbox us.example", holder, at, 1_000).await.unwrap().unwrap()
}

async fn all<S: Store>(world: &World<S>, region: &ServerName, lane: Lane) -> Vec<Intent> {
    world.store.sequenced(region, lane, 0, 1_000).await.unwrap()
}

/// Also in small steps, and after a restart; each lane counts for itself.
pub async fn sequences_follow_the_numbers_without_a_gap<S: Subject>(subject: &S) {
    let world = World::new(subject).await;
    let (alice, region) = (world.person("alice").await, name("us.example"));
    let fence = lease(&world, 1, 0).await;
    let batch: Vec<Accept> =
        (0..10).map(|_| world.message_abroad(&alice, &region, START)).collect();
    world.store.commit(&batch, &[]).await.unwrap();
    let key = Accept { class: Class::Key, ..world.message_abroad(&alice, &region, START) };
    world.accept(&key).await;
    assert_eq!(all(&world, &region, Lane::Messages).await, [], "nothing is assigned yet");
    let assign =
        async |limit| world.store.assign(&fence, &region, Lane::Messages, limit).await.unwrap();
    assert_eq!([assign(3).await, assign(4).await, assign(100).await], [3, 4, 3]);
    assert_eq!(assign(100).await, 0);
    subject.close(world.store).await;

    let world = World::beside(subject, 10_000).await;
    let late = world.message_abroad(&alice, &region, START);
    world.accept(&late).await;
    assert_eq!(world.store.assign(&fence, &region, Lane::Messages, 9).await.unwrap(), 1);
    let intents = all(&world, &region, Lane::Messages).await;
    let sequences: Vec<u64> = intents.iter().map(|intent| intent.sequence.unwrap()).collect();
    assert_eq!(sequences, (1..=11).collect::<Vec<_>>());
    assert!(intents.is_sorted_by(|a, b| a.number < b.number));
    let sent: Vec<_> = batch.iter().chain([&late]).map(|accept| accept.id).collect();
    assert_eq!(intents.iter().map(|intent| intent.message.id).collect::<Vec<_>>(), sent);
    assert_eq!((&intents[0].recipients[..], intents[0].enqueued_at), (&b"recipients"[..], START));
    let rest = world.store.sequenced(&region, Lane::Messages, 4, 3).await.unwrap();
    assert_eq!(rest, intents[4..7]);
    // Keys go in the control lane, whose sequence starts at 1 too.
    assert_eq!(world.store.assign(&fence, &region, Lane::Control, 9).await.unwrap(), 1);
    let control = all(&world, &region, Lane::Control).await;
    assert_eq!((control[0].message.id, control[0].sequence), (key.id, Some(1)));
    subject.close(world.store).await;
}

/// A worker that slept through its lease cannot write any more.
pub async fn a_stale_fence_writes_nothing<S: Subject>(subject: &S) {
    let world = World::new(subject).await;
    let (alice, region) = (world.person("alice").await, name("us.example"));
    world.accept(&world.message_abroad(&alice, &region, START)).await;
    let stale = lease(&world, 1, 0).await;
    let fresh = lease(&world, 2, 2_000).await;
    let refused = world.store.assign(&stale, &region, Lane::Messages, 9).await;
    assert!(matches!(refused, Err(StoreError::Fenced { .. })), "{refused:?}");
    assert_eq!(world.store.assign(&fresh, &region, Lane::Messages, 9).await.unwrap(), 1);
    let refused = world.store.settle(&stale, &region, Lane::Messages, 1).await;
    assert!(matches!(refused, Err(StoreError::Fenced { .. })), "{refused:?}");
    assert_eq!(all(&world, &region, Lane::Messages).await.len(), 1);
    let forged = Fence { name: "no such lease".to_owned(), number: 1 };
    let refused = world.store.settle(&forged, &region, Lane::Messages, 1).await;
    assert!(matches!(refused, Err(StoreError::Fenced { .. })), "{refused:?}");
    world.store.settle(&fresh, &region, Lane::Messages, 1).await.unwrap();
    assert_eq!(all(&world, &region, Lane::Messages).await, []);
    subject.close(world.store).await;
}

/// Only what the destination signed for; the sequence goes on behind it.
pub async fn what_is_settled_is_gone<S: Subject>(subject: &S) {
    let world = World::new(subject).await;
    let (alice, region) = (world.person("alice").await, name("us.example"));
    let fence = lease(&world, 1, 0).await;
    let batch: Vec<Accept> = (0..5).map(|_| world.message_abroad(&alice, &region, START)).collect();
    world.store.commit(&batch, &[]).await.unwrap();
    world.store.assign(&fence, &region, Lane::Messages, 4).await.unwrap();
    world.store.settle(&fence, &region, Lane::Messages, 3).await.unwrap();
    let left = all(&world, &region, Lane::Messages).await;
    assert_eq!(left.iter().map(|intent| intent.sequence).collect::<Vec<_>>(), [Some(4)]);
    world.store.settle(&fence, &region, Lane::Messages, 100).await.unwrap();
    let waiting = world.store.waiting(None, 9).await.unwrap();
    assert_eq!(waiting, core::slice::from_ref(&region), "one has no sequence yet");
    assert_eq!(world.store.assign(&fence, &region, Lane::Messages, 9).await.unwrap(), 1);
    assert_eq!(all(&world, &region, Lane::Messages).await[0].sequence, Some(5));
    world.store.settle(&fence, &region, Lane::Messages, 5).await.unwrap();
    assert_eq!(world.store.waiting(None, 9).await.unwrap(), []);
    // Nothing points to the messages any more.
    let cutoffs = crate::retention::Cutoffs::at(START);
    assert_eq!(world.store.trim(&cutoffs, 100).await.unwrap().unreferenced.len(), 5);
    subject.close(world.store).await;
}

/// In pages, in the order of their bytes.
pub async fn waiting_regions_are_listed_by_name<S: Subject>(subject: &S) {
    let world = World::new(subject).await;
    let alice = world.person("alice").await;
    let mut regions: Vec<ServerName> =
        ["b.example", "a-b.example", "a.example", "ab.example"].map(name).to_vec();
    for region in &regions {
        world.accept(&world.message_abroad(&alice, region, START)).await;
    }
    regions.sort_unstable();
    let first = world.store.waiting(None, 3).await.unwrap();
    assert_eq!(first, regions[..3]);
    assert_eq!(world.store.waiting(first.last(), 3).await.unwrap(), regions[3..]);
    subject.close(world.store).await;
}
