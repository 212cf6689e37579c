//! Links of new devices.

use posthouse_protocol::id::DeviceId;

use super::{
    Store, Subject,
    world::{START, World},
};
use crate::links::{Fetched, Links, NewLink};

fn link<S: Store>(world: &World<S>, secret: u8) -> NewLink {
    NewLink {
        id: world.id(),
        secret: [secret; 32],
        registration_id: 7.try_into().unwrap(),
        name: "laptop".to_owned(),
        expires_at: START.plus_millis(300_000),
    }
}

/// One approval succeeds, and its outcome is given to the holder of the secret only, as often as it
/// is asked for.
pub async fn a_link_is_approved_once<S: Subject>(subject: &S) {
    let world = World::new(subject).await;
    let other = if subject.shared() {
        World::beside(subject, 1_000_000).await
    } else {
        World::same(&world, 1_000_000)
    };
    for round in 0..10 {
        let link = link(&world, round);
        assert!(world.store.open_link(&link, START).await.unwrap());
        let waits = world.store.waiting_link(link.id, START).await.unwrap();
        assert_eq!(waits, Some((link.registration_id, link.name.clone())));
        let fetch =
            async |secret: u8| world.store.fetch_link(link.id, &[secret; 32], START).await.unwrap();
        assert_eq!(fetch(round).await, Fetched::Waiting);
        assert_eq!(fetch(round + 100).await, Fetched::Unknown);
        let by = [1, 2].map(|_| (world.id(), DeviceId(world.id())));
        let (one, two) = tokio::join!(
            world.store.approve_link(link.id, by[0], b"one", START),
            other.store.approve_link(link.id, by[1], b"two", START)
        );
        let first = one.unwrap();
        assert_ne!(first, two.unwrap(), "exactly one");
        assert_eq!(fetch(round + 100).await, Fetched::Unknown);
        let (left, right) = tokio::join!(
            world.store.fetch_link(link.id, &link.secret, START),
            other.store.fetch_link(link.id, &link.secret, START)
        );
        let ((account, device), message) =
            if first { (by[0], &b"one"[..]) } else { (by[1], &b"two"[..]) };
        let linked = Fetched::Linked { account, device, message: message.to_vec().into() };
        let both = [left.unwrap(), right.unwrap()];
        assert_eq!(both, [linked.clone(), linked]);
        assert_eq!(world.store.waiting_link(link.id, START).await.unwrap(), None);
    }
    subject.close(world.store).await;
    if subject.shared() {
        subject.close(other.store).await;
    }
}

/// An expired link can be neither approved nor used, and names the device that nobody fetched.
pub async fn an_expired_link_is_forgotten<S: Subject>(subject: &S) {
    let world = World::new(subject).await;
    let (waiting, approved, used) = (link(&world, 1), link(&world, 2), link(&world, 3));
    for link in [&waiting, &approved, &used] {
        assert!(world.store.open_link(link, START).await.unwrap());
    }
    let owner = (world.id(), DeviceId(world.id()));
    assert!(world.store.approve_link(approved.id, owner, b"x", START).await.unwrap());
    let user = (world.id(), DeviceId(world.id()));
    assert!(world.store.approve_link(used.id, user, b"x", START).await.unwrap());
    let fetched = world.store.fetch_link(used.id, &used.secret, START).await.unwrap();
    assert!(matches!(fetched, Fetched::Linked { .. }), "its device stays");
    assert_eq!(world.store.forget_links(START, 10).await.unwrap(), []);
    let late = waiting.expires_at;
    assert!(!world.store.approve_link(waiting.id, owner, b"x", late).await.unwrap());
    assert_eq!(world.store.waiting_link(waiting.id, late).await.unwrap(), None);
    let fetched = world.store.fetch_link(approved.id, &approved.secret, late).await.unwrap();
    assert_eq!(fetched, Fetched::Unknown);
    assert_eq!(world.store.forget_links(late, 10).await.unwrap(), [owner]);
    assert_eq!(world.store.forget_links(late, 10).await.unwrap(), []);
    subject.close(world.store).await;
}
