//! Bodies, in the ledger's database and elsewhere.

use std::{slice, sync::Arc};

use bytes::Bytes;
use posthouse_protocol::limits::{ID_MEMORY_MS, RETENTION_MS};

use super::{
    Store, Subject,
    memory::MemoryBodies,
    world::{START, World},
};
use crate::bodies::Bodies;
use crate::ledger::Ledger;
use crate::{
    bodies::BodyId,
    ledger::{Accept, Outcome},
    message_store::MessageStore,
    retention::Cutoffs,
};

/// The age at which nothing can point to a body any more.
const OLDEST_MS: u64 = RETENTION_MS + ID_MEMORY_MS;

/// A body never changes; asked for in any order, missing ones are told.
pub async fn a_body_is_written_once<S: Subject>(subject: &S) {
    let world = World::new(subject).await;
    let (one, two, missing) = (world.body(START), world.body(START), world.body(START));
    let large = Bytes::from(vec![7; 256 * 1024]);
    world.store.put(&[(one, Bytes::from_static(b"first")), (two, large.clone())]).await.unwrap();
    world.store.put(&[(one, Bytes::from_static(b"second"))]).await.unwrap();
    let got = world.store.get(&[two, missing, one]).await.unwrap();
    assert_eq!(got, [Some(large), None, Some(Bytes::from_static(b"first"))]);
    world.store.delete(&[one, missing]).await.unwrap();
    assert_eq!(world.store.get(&[one]).await.unwrap(), [None]);
    world.store.delete(&[]).await.unwrap();
    world.store.put(&[]).await.unwrap();
    assert_eq!(world.store.get(&[]).await.unwrap(), []);
    subject.close(world.store).await;
}

/// The oldest first, so many at a time.
pub async fn old_bodies_are_deleted_as_a_range<S: Subject>(subject: &S) {
    let world = World::new(subject).await;
    let ids: Vec<BodyId> = (0..5).map(|n| world.body(START.plus_millis(n * 10))).collect();
    for id in ids.iter().rev() {
        world.store.put(&[(*id, Bytes::from_static(b""))]).await.unwrap();
    }
    let end = BodyId::floor(START.plus_millis(30));
    assert_eq!(world.store.delete_before(end, 2).await.unwrap(), 2);
    let there = |got: Vec<Option<Bytes>>| got.iter().map(Option::is_some).collect::<Vec<_>>();
    let got = there(world.store.get(&ids).await.unwrap());
    assert_eq!(got, [false, false, true, true, true]);
    assert_eq!(world.store.delete_before(end, 2).await.unwrap(), 1);
    assert_eq!(world.store.delete_before(end, 2).await.unwrap(), 0);
    let got = there(world.store.get(&ids).await.unwrap());
    assert_eq!(got, [false, false, false, true, true]);
    subject.close(world.store).await;
}

/// A refused or repeated submission leaves no body behind.
pub async fn only_the_bodies_of_accepted_messages_are_written<S: Subject>(subject: &S) {
    let world = World::new(subject).await;
    let (alice, bob) = (world.person("alice").await, world.person("bob").await);
    let good = world.message(&alice, &bob, START);
    let refused = Accept { prev: Some(refused_prev(&world)), ..world.message(&alice, &bob, START) };
    let repeated = Accept { body: world.body(START), ..good.clone() };
    let unnamed = world.body(START);
    let bodies =
        [good.body, refused.body, repeated.body, unnamed].map(|id| (id, Bytes::from_static(b"b")));
    let store =
        MessageStore::together(Arc::new(world.store.clone()), Arc::new(world.store.clone()));
    let outcomes = store.commit(&[good, refused, repeated], &bodies).await.unwrap();
    let [Outcome::Accepted(_), Outcome::Refused(_), Outcome::Repeated(_)] = &outcomes[..] else {
        panic!("{outcomes:?}")
    };
    let got = store.bodies(&bodies.each_ref().map(|(id, _)| *id)).await.unwrap();
    assert_eq!(got.iter().map(Option::is_some).collect::<Vec<_>>(), [true, false, false, false]);
    subject.close(world.store).await;
}

fn refused_prev<S: Store>(world: &World<S>) -> posthouse_protocol::id::MessageId {
    posthouse_protocol::id::MessageId(world.id())
}

/// Bodies that live elsewhere are put first. If the ledger's commit then never happens, the body is
/// an orphan: it harms nobody, and goes with the old ones.
pub async fn a_crash_between_body_and_commit_leaves_an_orphan_that_goes<S: Subject>(subject: &S) {
    let world = World::new(subject).await;
    let (alice, bob) = (world.person("alice").await, world.person("bob").await);
    let bodies = Arc::new(MemoryBodies::default());
    let ledger = Arc::new(world.store.clone());
    let store = MessageStore::apart(ledger, Arc::clone(&bodies) as Arc<dyn Bodies>);
    let kept = world.message(&alice, &bob, START.plus_millis(OLDEST_MS));
    let body = |accept: &Accept| (accept.body, Bytes::copy_from_slice(accept.id.0.as_bytes()));
    store.commit(slice::from_ref(&kept), &[body(&kept)]).await.unwrap();
    assert_eq!(world.store.get(&[kept.body]).await.unwrap(), [None], "it is not in the ledger");
    assert_eq!(store.bodies(&[kept.body]).await.unwrap(), [Some(body(&kept).1)]);

    // The process dies after the put.
    let lost = world.message(&alice, &bob, START);
    Bodies::put(&*bodies, &[body(&lost)]).await.unwrap();
    assert_eq!(world.store.messages(&[lost.id]).await.unwrap(), []);
    let now = START.plus_millis(OLDEST_MS);
    store.trim(&Cutoffs::at(now), 100).await.unwrap();
    assert_eq!(bodies.len(), 2, "it is not old enough");
    store.trim(&Cutoffs::at(now.plus_millis(1)), 100).await.unwrap();
    assert_eq!(bodies.len(), 1);
    // The client, which never got an answer, sends again: a new body, accepted once.
    let again = Accept { body: world.body(now), ..lost };
    let outcomes = store.commit(slice::from_ref(&again), &[body(&again)]).await.unwrap();
    assert!(matches!(outcomes[..], [Outcome::Accepted(_)]));

    // Trimming deletes from where the bodies live.
    let end = now.plus_millis(RETENTION_MS + 1);
    let trimmed = store.trim(&Cutoffs::at(end), 100).await.unwrap();
    assert_eq!((trimmed.entries, bodies.len()), (2, 0));
    subject.close(world.store).await;
}
