//! One-time passwords, recovery codes, PINs.

use super::{
    Subject,
    world::{START, World},
};
use crate::{
    accounts::PasswordHash,
    backoff::Backoff,
    factors::{Factors, PinTry, Protection},
};

const SECRET: [u8; 20] = [7; 20];

/// They are asked for only once a first code has been shown, and a step counts once.
pub async fn one_time_passwords_are_used_once<S: Subject>(subject: &S) {
    let world = World::new(subject).await;
    let alice = world.person("alice").await.uuid();
    let store = &world.store;
    assert!(store.totp(alice).await.unwrap().is_none());
    assert!(!store.enrol_totp(world.id(), &SECRET).await.unwrap(), "there is no such account");
    assert!(store.enrol_totp(alice, &[1; 20]).await.unwrap());
    assert!(store.enrol_totp(alice, &SECRET).await.unwrap(), "it begins again");
    let pending = store.totp(alice).await.unwrap().unwrap();
    assert_eq!((*pending.secret, pending.active), (SECRET, false));
    assert!(!store.use_totp_step(alice, 5).await.unwrap(), "it is not active");
    assert!(!store.activate_totp(alice, &[1; 20], 10, &[]).await.unwrap(), "another secret");
    assert!(store.activate_totp(alice, &SECRET, 10, &[[1; 32], [2; 32]]).await.unwrap());
    assert!(!store.activate_totp(alice, &SECRET, 11, &[]).await.unwrap(), "it is active");
    assert!(!store.enrol_totp(alice, &[2; 20]).await.unwrap(), "it is active");
    let protection = Protection { totp: true, recovery_codes: 2, pin: false };
    assert_eq!(store.protection(alice).await.unwrap(), protection);
    assert!(!store.use_totp_step(alice, 10).await.unwrap(), "the first code is used");
    assert!(store.use_totp_step(alice, 11).await.unwrap());
    assert!(!store.use_totp_step(alice, 11).await.unwrap());
    assert!(!store.use_totp_step(alice, 9).await.unwrap(), "older than a used one");
    store.remove_totp(alice).await.unwrap();
    let nothing = Protection { totp: false, recovery_codes: 0, pin: false };
    assert_eq!(store.protection(alice).await.unwrap(), nothing);
    subject.close(world.store).await;
}

/// Of many uses of one step or code at once one succeeds; new codes replace old ones.
pub async fn recovery_codes_are_used_once<S: Subject>(subject: &S) {
    let world = World::new(subject).await;
    let alice = world.person("alice").await.uuid();
    let ben = world.person("ben").await.uuid();
    world.store.replace_recovery_codes(alice, &[[1; 32], [2; 32]]).await.unwrap();
    world.store.replace_recovery_codes(ben, &[[1; 32]]).await.unwrap();
    let mut using = tokio::task::JoinSet::new();
    for _ in 0..8 {
        let store = world.store.clone();
        using.spawn(async move { store.use_recovery_code(alice, &[1; 32]).await.unwrap() });
    }
    assert_eq!(using.join_all().await.into_iter().filter(|used| *used).count(), 1);
    assert!(world.store.use_recovery_code(ben, &[1; 32]).await.unwrap(), "Ben's is his own");
    world.store.replace_recovery_codes(alice, &[[3; 32]]).await.unwrap();
    assert!(!world.store.use_recovery_code(alice, &[2; 32]).await.unwrap(), "it was replaced");
    assert!(world.store.use_recovery_code(alice, &[3; 32]).await.unwrap());
    subject.close(world.store).await;
}

/// Wrong tries cost a growing wait, which a restart does not shorten.
pub async fn tries_of_a_pin_are_counted<S: Subject>(subject: &S) {
    let backoff = Backoff { free: 2, first_ms: 60_000, most_ms: 100_000 };
    let world = World::new(subject).await;
    let alice = world.person("alice").await.uuid();
    assert_eq!(world.store.try_pin(alice, &backoff, START).await.unwrap(), PinTry::NoPin);
    let hash = PasswordHash("hash of a PIN".to_owned());
    world.store.set_pin(alice, &hash).await.unwrap();
    for _ in 0..3 {
        let tried = world.store.try_pin(alice, &backoff, START).await.unwrap();
        assert_eq!(tried, PinTry::Allowed(hash.clone()));
    }
    subject.close(world.store).await;
    let world = World::beside(subject, 10_000).await;
    let first = START.plus_millis(60_000);
    let tried = world.store.try_pin(alice, &backoff, START.plus_millis(59_999)).await.unwrap();
    assert_eq!(tried, PinTry::Wait(first));
    let tried = world.store.try_pin(alice, &backoff, first).await.unwrap();
    assert_eq!(tried, PinTry::Allowed(hash.clone()));
    let second = first.plus_millis(100_000);
    let tried = world.store.try_pin(alice, &backoff, first).await.unwrap();
    assert_eq!(tried, PinTry::Wait(second), "it grew up to the bound");
    world.store.pin_was_right(alice).await.unwrap();
    let tried = world.store.try_pin(alice, &backoff, first).await.unwrap();
    assert_eq!(tried, PinTry::Allowed(hash));
    world.store.remove_pin(alice).await.unwrap();
    assert_eq!(world.store.try_pin(alice, &backoff, first).await.unwrap(), PinTry::NoPin);
    subject.close(world.store).await;
}

/// No more than the free tries get through at once.
pub async fn tries_at_once_are_all_counted<S: Subject>(subject: &S) {
    let backoff = Backoff { free: 2, first_ms: 60_000, most_ms: 100_000 };
    let world = World::new(subject).await;
    let alice = world.person("alice").await.uuid();
    world.store.set_pin(alice, &PasswordHash("hash".to_owned())).await.unwrap();
    let mut trying = tokio::task::JoinSet::new();
    for _ in 0..10 {
        let store = world.store.clone();
        trying.spawn(async move { store.try_pin(alice, &backoff, START).await.unwrap() });
    }
    let tried = trying.join_all().await;
    let allowed = tried.iter().filter(|tried| matches!(tried, PinTry::Allowed(_))).count();
    assert_eq!(allowed, 3, "{tried:?}");
    subject.close(world.store).await;
}
