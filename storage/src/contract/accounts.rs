//! Accounts, handles, devices.

use posthouse_protocol::{cursor::Cursor, id::HandleName};

use super::{
    Store, Subject,
    world::{START, World},
};
use crate::accounts::Accounts;
use crate::accounts::{
    AccountState, AddDevice, CreateAccount, NUMBER_REST_MS, NewAccount, PasswordHash,
};
use crate::ledger::Ledger;
use crate::sessions::Sessions;

/// A handle belongs to one account, and the attempt to take it leaves nothing behind.
pub async fn a_handle_is_given_out_once<S: Subject>(subject: &S) {
    let world = World::new(subject).await;
    world.person("alice").await;
    let account = world.id();
    let device = world.new_device(account, START);
    let session = world.new_session(&device, START);
    let new = NewAccount {
        id: account,
        handle: HandleName::parse("alice").unwrap(),
        password_hash: PasswordHash("other".to_owned()),
        invite: None,
        created_at: START,
    };
    let created = world.store.create_account(&new, &device, &session).await.unwrap();
    assert_eq!(created, CreateAccount::HandleTaken);
    assert_eq!(world.store.account(account).await.unwrap(), None);
    assert_eq!(world.store.devices(account).await.unwrap(), []);
    assert_eq!(world.store.session(session.id, START).await.unwrap(), None);
    subject.close(world.store).await;
}

/// Both look-ups give the same account; unknown ones give none.
pub async fn an_account_is_found_by_id_and_handle<S: Subject>(subject: &S) {
    let world = World::new(subject).await;
    let alice = world.person("alice").await;
    let bob = world.person("bob").await;
    let found = world.store.account(alice.uuid()).await.unwrap().unwrap();
    assert_eq!((found.id, found.state), (alice.uuid(), AccountState::Active));
    assert_eq!((found.handle.as_str(), found.device_list_version), ("alice", 1));
    let handle = HandleName::parse("alice").unwrap();
    assert_eq!(world.store.account_by_handle(&handle).await.unwrap(), Some(found));
    let nobody = HandleName::parse("nobody").unwrap();
    assert_eq!(world.store.account_by_handle(&nobody).await.unwrap(), None);
    let ids = [bob.uuid(), world.id(), alice.uuid()];
    assert_eq!(world.store.existing(&ids).await.unwrap(), [true, false, true]);
    assert!(world.store.existing(&[]).await.unwrap().is_empty());
    subject.close(world.store).await;
}

async fn add<S: Store>(world: &World<S>, account: uuid::Uuid, days: u64) -> AddDevice {
    let at = START.plus_millis(days * 86_400_000);
    let device = world.new_device(account, at);
    let session = world.new_session(&device, at);
    world.store.add_device(&device, &session, 100).await.unwrap()
}

fn number(added: &AddDevice) -> u8 {
    match added {
        AddDevice::Added(device) => device.number.get(),
        AddDevice::TooMany | AddDevice::NoAccount => panic!("no device was added"),
    }
}

/// The lowest free number is given out, but not for 60 days after its device's removal.
pub async fn numbers_of_removed_devices_rest<S: Subject>(subject: &S) {
    let world = World::new(subject).await;
    let alice = world.person("alice").await;
    assert_eq!(alice.device.number.get(), 1);
    let second = add(&world, alice.uuid(), 0).await;
    assert_eq!(number(&second), 2);
    assert_eq!(number(&add(&world, alice.uuid(), 0).await), 3);
    let AddDevice::Added(second) = second else { return };
    let removed = world.store.remove_device(alice.uuid(), second.id, START).await.unwrap();
    assert!(removed);
    let again = world.store.remove_device(alice.uuid(), second.id, START).await.unwrap();
    assert!(!again, "it is removed already");
    assert_eq!(number(&add(&world, alice.uuid(), 59).await), 4);
    let rest_days = NUMBER_REST_MS / 86_400_000;
    assert_eq!(number(&add(&world, alice.uuid(), rest_days).await), 2);
    let numbers = world.store.devices(alice.uuid()).await.unwrap();
    let numbers: Vec<u8> = numbers.iter().map(|device| device.number.get()).collect();
    assert_eq!(numbers, [1, 2, 3, 4]);
    // One creation, four additions, one removal; the second removal changed nothing.
    let account = world.store.account(alice.uuid()).await.unwrap().unwrap();
    assert_eq!(account.device_list_version, 6);
    subject.close(world.store).await;
}

/// The limit counts devices that exist; a refusal changes nothing.
pub async fn an_account_has_so_many_devices_and_no_more<S: Subject>(subject: &S) {
    let world = World::new(subject).await;
    let alice = world.person("alice").await;
    let device = world.new_device(alice.uuid(), START);
    let session = world.new_session(&device, START);
    let refused = world.store.add_device(&device, &session, 1).await.unwrap();
    assert_eq!(refused, AddDevice::TooMany);
    let account = world.store.account(alice.uuid()).await.unwrap().unwrap();
    assert_eq!(account.device_list_version, 1);
    let added = world.store.add_device(&device, &session, 2).await.unwrap();
    assert_eq!(number(&added), 2);
    subject.close(world.store).await;
}

/// What arrived before a device was added is not for it.
pub async fn a_new_device_starts_at_the_end_of_the_inbox<S: Subject>(subject: &S) {
    let world = World::new(subject).await;
    let (alice, bob) = (world.person("alice").await, world.person("bob").await);
    for _ in 0..3 {
        world.accept(&world.message(&alice, &bob, START)).await;
    }
    let head = world.store.page(bob.uuid(), Cursor::START, 1).await.unwrap().head;
    let AddDevice::Added(device) = add(&world, bob.uuid(), 0).await else { return };
    assert_eq!(device.position, head);
    assert_eq!(device.active_at, START);
    let stored = world.store.devices(bob.uuid()).await.unwrap();
    assert_eq!(stored, [bob.device.clone(), device]);
    subject.close(world.store).await;
}

/// Additions to one account do not see the same number as free.
pub async fn devices_added_at_once_get_different_numbers<S: Subject>(subject: &S) {
    let world = World::new(subject).await;
    let alice = world.person("alice").await;
    let mut adding = tokio::task::JoinSet::new();
    for _ in 0..6 {
        let device = world.new_device(alice.uuid(), START);
        let session = world.new_session(&device, START);
        let store = world.store.clone();
        adding.spawn(async move { store.add_device(&device, &session, 4).await.unwrap() });
    }
    let mut numbers = Vec::new();
    while let Some(added) = adding.join_next().await {
        if let AddDevice::Added(device) = added.unwrap() {
            numbers.push(device.number.get());
        }
    }
    numbers.sort_unstable();
    assert_eq!(numbers, [2, 3, 4]);
    subject.close(world.store).await;
}
