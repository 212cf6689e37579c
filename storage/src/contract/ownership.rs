//! Whose store it is.

use super::{
    Subject,
    world::{World, name},
};
use crate::ownership::Ownership;

/// Whoever comes first has it, also after it was opened again.
pub async fn a_store_belongs_to_whoever_claims_it_first<S: Subject>(subject: &S) {
    let (north, south) = (name("north.test"), name("south.test"));
    let store = World::new(subject).await.store;
    assert_eq!(store.claim_for(&north).await.unwrap(), north);
    assert_eq!(store.claim_for(&south).await.unwrap(), north);
    subject.close(store).await;
    let store = subject.open().await;
    assert_eq!(store.claim_for(&south).await.unwrap(), north);
    assert_eq!(store.claim_for(&north).await.unwrap(), north);
    subject.close(store).await;
}

/// Of two that claim it at once one has it, and both are told the same.
pub async fn of_two_claims_at_once_one_counts<S: Subject>(subject: &S) {
    let (north, south) = (name("north.test"), name("south.test"));
    let store = World::new(subject).await.store;
    let (one, other) = tokio::join!(store.claim_for(&north), store.claim_for(&south));
    let (one, other) = (one.unwrap(), other.unwrap());
    assert_eq!(one, other);
    assert_eq!(store.claim_for(&south).await.unwrap(), one);
    subject.close(store).await;
}
