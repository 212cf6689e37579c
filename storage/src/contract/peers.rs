//! What is known of other regions.

use posthouse_protocol::{id::HandleName, time::Timestamp};
use uuid::Uuid;

use super::{
    Subject,
    concurrency::{close, worlds},
    world::{START, World, name},
};
use crate::peers::{Peers, RememberedHandle};

/// Whoever decides on an old head decides again.
pub async fn a_key_head_is_replaced_only_as_expected<S: Subject>(subject: &S) {
    let world = World::new(subject).await;
    let (us, ap) = (name("us.example"), name("ap.example"));
    let store = &world.store;
    assert_eq!(store.key_head(&us).await.unwrap(), None);
    assert!(!store.advance_key_head(&us, Some(b"one"), b"two").await.unwrap(), "none is known");
    assert!(store.advance_key_head(&us, None, b"one").await.unwrap());
    assert!(!store.advance_key_head(&us, None, b"other").await.unwrap());
    assert!(!store.advance_key_head(&us, Some(b"other"), b"two").await.unwrap());
    assert_eq!(store.key_head(&us).await.unwrap().as_deref(), Some(&b"one"[..]));
    assert!(store.advance_key_head(&us, Some(b"one"), b"two").await.unwrap());
    assert_eq!(store.key_head(&ap).await.unwrap(), None);
    subject.close(world.store).await;
    let world = World::beside(subject, 1_000).await;
    assert_eq!(world.store.key_head(&us).await.unwrap().as_deref(), Some(&b"two"[..]));
    subject.close(world.store).await;
}

/// Also where there was none to be locked.
pub async fn of_two_heads_at_once_one_is_kept<S: Subject>(subject: &S) {
    let (one, two) = worlds(subject).await;
    for round in 0..20 {
        let us = name(&format!("us{round}.example"));
        let mut known: Option<&[u8]> = None;
        for heads in [[b"a", b"b"], [b"c", b"d"]] {
            let (left, right) = tokio::join!(
                one.store.advance_key_head(&us, known, heads[0]),
                two.store.advance_key_head(&us, known, heads[1]),
            );
            let (left, right) = (left.unwrap(), right.unwrap());
            assert!(left != right, "{left} {right}");
            known = Some(if left { heads[0] } else { heads[1] });
            assert_eq!(one.store.key_head(&us).await.unwrap().as_deref(), known);
        }
    }
    close(subject, one, two).await;
}

/// By name, in pieces.
pub async fn known_peers_are_listed_in_order<S: Subject>(subject: &S) {
    let world = World::new(subject).await;
    let mut names: Vec<_> = ["us.example", "ap-1.example", "ap.example", "b.example", "a.example"]
        .map(name)
        .into_iter()
        .collect();
    for peer in &names {
        assert!(world.store.advance_key_head(peer, None, b"head").await.unwrap());
    }
    // Whose name is known for another reason is no peer.
    let handle = HandleName::parse("alice").unwrap();
    let unknown = RememberedHandle { account: None, until: START };
    world.store.remember_handle(&name("ap0.example"), &handle, unknown).await.unwrap();
    names.sort_unstable();
    assert_eq!(world.store.known_peers(None, 10).await.unwrap(), names);
    assert_eq!(world.store.known_peers(None, 2).await.unwrap(), names[..2]);
    assert_eq!(world.store.known_peers(Some(&names[1]), 2).await.unwrap(), names[2..4]);
    let between = name("ap0.example");
    assert_eq!(world.store.known_peers(Some(&between), 9).await.unwrap(), names[3..]);
    assert_eq!(world.store.known_peers(Some(&names[4]), 9).await.unwrap(), []);
    subject.close(world.store).await;
}

/// The last answer counts, also that nobody has it.
pub async fn a_handle_is_remembered_as_last_told<S: Subject>(subject: &S) {
    let world = World::new(subject).await;
    let (us, ap) = (name("us.example"), name("ap.example"));
    let handle = |text| HandleName::parse(text).unwrap();
    let (alice, bob) = (handle("alice"), handle("bob"));
    let known = async |server, handle| world.store.remembered_handle(server, handle).await.unwrap();
    assert_eq!(known(&us, &alice).await, None);
    let nobody = RememberedHandle { account: None, until: START };
    let until = Timestamp(START.0 + 5);
    let somebody = RememberedHandle { account: Some(Uuid::from_u128(9)), until };
    world.store.remember_handle(&us, &alice, nobody).await.unwrap();
    assert_eq!(known(&us, &alice).await, Some(nobody));
    world.store.remember_handle(&us, &alice, somebody).await.unwrap();
    assert_eq!(known(&us, &alice).await, Some(somebody));
    world.store.remember_handle(&us, &bob, nobody).await.unwrap();
    assert_eq!(known(&us, &alice).await, Some(somebody));
    assert_eq!(known(&ap, &alice).await, None, "a handle is one region's");
    subject.close(world.store).await;
}
