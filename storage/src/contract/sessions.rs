//! Sessions and refresh tokens.

use super::{
    Subject,
    world::{START, World},
};
use crate::accounts::Accounts;
use crate::sessions::Sessions;
use crate::sessions::{NewSession, Rotation, Session};

const DAY: u64 = 86_400_000;

fn rotated(rotation: Rotation) -> Session {
    match rotation {
        Rotation::Rotated(session) => session,
        other => panic!("not rotated: {other:?}"),
    }
}

/// A device with an open session.
async fn opened<S: Subject>(subject: &S) -> (World<S::Store>, super::world::Person, NewSession) {
    let world = World::new(subject).await;
    let alice = world.person("alice").await;
    let mut session = world.new_session(&world.new_device(alice.uuid(), START), START);
    session.device = alice.device.id;
    assert!(world.store.open_session(&session).await.unwrap().is_some());
    (world, alice, session)
}

/// Each token is good for one rotation, and the session goes on.
pub async fn a_refresh_token_is_used_once<S: Subject>(subject: &S) {
    let (world, _, session) = opened(subject).await;
    let later = START.plus_millis(1_000);
    let (second, third) = (world.token(), world.token());
    let expires = later.plus_millis(DAY);
    let one = world.store.rotate(&session.refresh, &second, later, expires).await.unwrap();
    let one = rotated(one);
    assert_eq!((one.id, one.refreshed_at), (session.id, later));
    assert_eq!(world.store.session(session.id, later).await.unwrap(), Some(one));
    let two = world.store.rotate(&second, &third, later, expires).await.unwrap();
    assert_eq!(rotated(two).id, session.id);
    let unknown = world.store.rotate(&world.token(), &world.token(), later, expires).await.unwrap();
    assert_eq!(unknown, Rotation::Unknown);
    subject.close(world.store).await;
}

/// Somebody has a copy of the token: the session ends for both, also after a restart.
pub async fn a_token_used_twice_ends_its_session<S: Subject>(subject: &S) {
    let (world, _, session) = opened(subject).await;
    let second = world.token();
    let expires = START.plus_millis(DAY);
    rotated(world.store.rotate(&session.refresh, &second, START, expires).await.unwrap());
    subject.close(world.store).await;
    let world = World::beside(subject, 10_000).await;
    let reused = world.store.rotate(&session.refresh, &world.token(), START, expires).await;
    assert!(matches!(reused.unwrap(), Rotation::Reused(ended) if ended.id == session.id));
    assert_eq!(world.store.session(session.id, START).await.unwrap(), None);
    let after = world.store.rotate(&second, &world.token(), START, expires).await.unwrap();
    assert_eq!(after, Rotation::Unknown);
    subject.close(world.store).await;
}

/// The answer to a rotation was lost: the same one again succeeds, until its result is used.
pub async fn a_rotation_can_be_repeated_as_it_was<S: Subject>(subject: &S) {
    let (world, _, session) = opened(subject).await;
    let (second, third, other) = (world.token(), world.token(), world.token());
    let expires = START.plus_millis(DAY);
    for _ in 0..3 {
        let again = world.store.rotate(&session.refresh, &second, START, expires).await.unwrap();
        assert_eq!(rotated(again).id, session.id);
    }
    // A token that is known is no new one: neither a used one nor the one that is presented.
    for known in [&session.refresh, &second] {
        let vain = world.store.rotate(&second, known, START, expires).await.unwrap();
        assert_eq!(vain, Rotation::Unknown);
    }
    rotated(world.store.rotate(&second, &third, START, expires).await.unwrap());
    // Whoever repeats the first one now has an old copy.
    let late = world.store.rotate(&session.refresh, &second, START, expires).await.unwrap();
    assert!(matches!(late, Rotation::Reused(ended) if ended.id == session.id));
    let after = world.store.rotate(&third, &other, START, expires).await.unwrap();
    assert_eq!(after, Rotation::Unknown);
    subject.close(world.store).await;
}

/// Exactly one of many wins.
pub async fn of_two_rotations_at_once_one_succeeds<S: Subject>(subject: &S) {
    let (world, _, session) = opened(subject).await;
    let other = if subject.shared() { Some(subject.open().await) } else { None };
    let mut rotating = tokio::task::JoinSet::new();
    for n in 0..8 {
        let store = match &other {
            Some(other) if n % 2 == 1 => other.clone(),
            _ => world.store.clone(),
        };
        let (next, presented) = (world.token(), session.refresh);
        rotating.spawn(async move {
            store.rotate(&presented, &next, START, START.plus_millis(DAY)).await.unwrap()
        });
    }
    let all = rotating.join_all().await;
    let won = all.iter().filter(|rotation| matches!(rotation, Rotation::Rotated(_))).count();
    let ended = all.iter().filter(|rotation| matches!(rotation, Rotation::Reused(_))).count();
    assert_eq!((won, ended), (1, 1), "{all:?}");
    assert_eq!(world.store.session(session.id, START).await.unwrap(), None);
    for store in other.into_iter().chain([world.store]) {
        subject.close(store).await;
    }
}

/// A device has one session; a device that is not there gets none.
pub async fn a_new_session_ends_the_devices_earlier_ones<S: Subject>(subject: &S) {
    let (world, alice, first) = opened(subject).await;
    let mut second = world.new_session(&world.new_device(alice.uuid(), START), START);
    second.device = alice.device.id;
    let ended = world.store.open_session(&second).await.unwrap();
    assert_eq!(ended, Some(vec![first.id]));
    let live = world.store.sessions(alice.uuid(), START).await.unwrap();
    assert_eq!(live.iter().map(|session| session.id).collect::<Vec<_>>(), [second.id]);
    let nowhere = world.new_session(&world.new_device(alice.uuid(), START), START);
    assert_eq!(world.store.open_session(&nowhere).await.unwrap(), None);
    let bob = world.person("bob").await;
    let mut foreign = world.new_session(&world.new_device(bob.uuid(), START), START);
    foreign.device = alice.device.id;
    assert_eq!(world.store.open_session(&foreign).await.unwrap(), None, "another's device");
    subject.close(world.store).await;
}

/// Neither is found, listed or refreshed; both are forgotten with their tokens.
pub async fn expired_and_ended_sessions_are_gone<S: Subject>(subject: &S) {
    let (world, alice, session) = opened(subject).await;
    let bob = world.person("bob").await;
    let late = START.plus_millis(DAY);
    assert!(world.store.session(session.id, START).await.unwrap().is_some());
    assert_eq!(world.store.session(session.id, late).await.unwrap(), None, "it expires then");
    let rotation = world.store.rotate(&session.refresh, &world.token(), late, late).await.unwrap();
    assert_eq!(rotation, Rotation::Unknown);
    let others = world.store.end_session(bob.uuid(), session.id, START).await.unwrap();
    assert!(!others, "it is not Bob's");
    assert!(world.store.end_session(alice.uuid(), session.id, START).await.unwrap());
    assert!(!world.store.end_session(alice.uuid(), session.id, START).await.unwrap());
    assert_eq!(world.store.sessions(alice.uuid(), START).await.unwrap(), []);
    // Alice has two ended ones (the one of her registration too), Bob one that expired.
    let after = START.plus_millis(2 * DAY);
    assert_eq!(world.store.forget_sessions(after, 2).await.unwrap(), 2);
    assert_eq!(world.store.forget_sessions(after, 2).await.unwrap(), 1);
    assert_eq!(world.store.forget_sessions(after, 2).await.unwrap(), 0);
    subject.close(world.store).await;
}

/// A removed device is logged out at once and cannot log in.
pub async fn removing_a_device_ends_its_sessions<S: Subject>(subject: &S) {
    let (world, alice, session) = opened(subject).await;
    assert!(world.store.remove_device(alice.uuid(), alice.device.id, START).await.unwrap());
    assert_eq!(world.store.session(session.id, START).await.unwrap(), None);
    let mut again = world.new_session(&world.new_device(alice.uuid(), START), START);
    again.device = alice.device.id;
    assert_eq!(world.store.open_session(&again).await.unwrap(), None);
    subject.close(world.store).await;
}

/// Tokens that were used long ago go, the newest stays good.
pub async fn used_tokens_are_forgotten_in_time<S: Subject>(subject: &S) {
    let (world, _, session) = opened(subject).await;
    let expires = START.plus_millis(90 * DAY);
    let (second, third) = (world.token(), world.token());
    let later = START.plus_millis(1);
    rotated(world.store.rotate(&session.refresh, &second, START, expires).await.unwrap());
    rotated(world.store.rotate(&second, &third, later, expires).await.unwrap());
    assert_eq!(world.store.forget_used_tokens(START, 10).await.unwrap(), 0);
    assert_eq!(world.store.forget_used_tokens(later, 10).await.unwrap(), 1);
    let unknown = world.store.rotate(&session.refresh, &world.token(), later, expires).await;
    assert_eq!(unknown.unwrap(), Rotation::Unknown, "it no longer ends the session");
    rotated(world.store.rotate(&third, &world.token(), later, expires).await.unwrap());
    let reused = world.store.rotate(&second, &world.token(), later, expires).await.unwrap();
    assert!(matches!(reused, Rotation::Reused(_)), "{reused:?}");
    subject.close(world.store).await;
}
