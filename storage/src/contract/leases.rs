//! Leases and their fences.

use uuid::Uuid;

use super::{
    Subject,
    world::{START, World},
};
use crate::leases::Leases;

const TTL: u64 = 1_000;

fn holder(n: u128) -> Uuid {
    Uuid::from_u128(n)
}

/// The others wait until it expires; its holder may take it again.
pub async fn a_lease_has_one_holder<S: Subject>(subject: &S) {
    let world = World::new(subject).await;
    let store = &world.store;
    let one = store.acquire("l", holder(1), START, TTL).await.unwrap().unwrap();
    assert_eq!(store.acquire("l", holder(2), START, TTL).await.unwrap(), None);
    let again = store.acquire("l", holder(1), START.plus_millis(500), TTL).await.unwrap();
    assert_eq!(again, Some(one.clone()), "no change of hands, the same fence");
    let late = START.plus_millis(1_200);
    assert_eq!(store.acquire("l", holder(2), late, TTL).await.unwrap(), None, "held until 1,500");
    assert!(store.renew(&one, late, TTL).await.unwrap());
    let later = START.plus_millis(2_100);
    assert_eq!(store.acquire("l", holder(2), later, TTL).await.unwrap(), None, "until 2,200");
    let other = store.acquire("m", holder(2), START, TTL).await.unwrap();
    assert!(other.is_some(), "another lease is free");
    subject.close(world.store).await;
}

/// Of many that want it at once, one gets it.
pub async fn an_expired_lease_passes_on_with_a_higher_fence<S: Subject>(subject: &S) {
    let world = World::new(subject).await;
    let store = &world.store;
    let one = store.acquire("l", holder(1), START, TTL).await.unwrap().unwrap();
    let at = START.plus_millis(TTL);
    let mut wanting = tokio::task::JoinSet::new();
    for n in 2..8 {
        let store = store.clone();
        wanting.spawn(async move { store.acquire("l", holder(n), at, TTL).await.unwrap() });
    }
    let got: Vec<_> = wanting.join_all().await.into_iter().flatten().collect();
    let [two] = &got[..] else { panic!("{got:?}") };
    assert!(two.number > one.number);
    assert!(!store.renew(&one, at, TTL).await.unwrap(), "it has passed on");
    store.release(&one).await.unwrap();
    assert!(store.renew(two, at, TTL).await.unwrap(), "the old one cannot give it back");
    subject.close(world.store).await;
}

/// Its next holder gets a higher fence, whoever that is, also after a restart.
pub async fn a_released_lease_is_free_at_once<S: Subject>(subject: &S) {
    let world = World::new(subject).await;
    let one = world.store.acquire("l", holder(1), START, TTL).await.unwrap().unwrap();
    world.store.release(&one).await.unwrap();
    assert!(!world.store.renew(&one, START, TTL).await.unwrap());
    let two = world.store.acquire("l", holder(2), START, TTL).await.unwrap().unwrap();
    assert!(two.number > one.number);
    world.store.release(&two).await.unwrap();
    subject.close(world.store).await;
    let world = World::beside(subject, 10_000).await;
    let three = world.store.acquire("l", holder(2), START, TTL).await.unwrap().unwrap();
    assert!(three.number > two.number);
    subject.close(world.store).await;
}

/// All of a dead process's leases are free at once, nobody else's, and what it still writes is
/// refused.
pub async fn the_leases_of_the_dead_are_free_at_once<S: Subject>(subject: &S) {
    let world = World::new(subject).await;
    let store = &world.store;
    let one = store.acquire("l", holder(1), START, TTL).await.unwrap().unwrap();
    let two = store.acquire("m", holder(1), START, TTL).await.unwrap().unwrap();
    let other = store.acquire("n", holder(2), START, TTL).await.unwrap().unwrap();
    store.release_all(holder(1)).await.unwrap();
    for (name, old) in [("l", &one), ("m", &two)] {
        assert!(!store.renew(old, START, TTL).await.unwrap(), "{name}");
        let next = store.acquire(name, holder(3), START, TTL).await.unwrap().unwrap();
        assert!(next.number > old.number, "{name}");
        assert!(!store.renew(old, START, TTL).await.unwrap(), "{name}");
    }
    assert!(store.renew(&other, START, TTL).await.unwrap(), "this one lives");
    subject.close(world.store).await;
}
