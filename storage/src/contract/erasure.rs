//! Deleting accounts.

use bytes::Bytes;
use posthouse_protocol::{cursor::Cursor, id::HandleName, time::Timestamp};
use uuid::Uuid;

use super::{
    Store, Subject,
    world::{Person, START, World},
};
use crate::{
    accounts::{Accounts, AddDevice, CreateAccount, NewAccount, PasswordHash},
    bodies::Bodies,
    erasure::{Begun, Erasure, Next, SETTLE_MS},
    factors::Factors,
    ledger::Ledger,
    sessions::Sessions,
};

/// Takes steps until there is nothing left for now; how many it took.
async fn erase<S: Store>(world: &World<S>, person: &Person, now: Timestamp) -> (usize, Next) {
    for step in 0..10_000 {
        let erased = world.store.erase_some(&person.account, 3, now).await.unwrap();
        if erased.next != Next::Step {
            return (step, erased.next);
        }
    }
    panic!("it does not end");
}

/// From the beginning on the account is not there, and its handle is nobody's.
pub async fn a_deleted_account_is_gone_at_once<S: Subject>(subject: &S) {
    let world = World::new(subject).await;
    let (alice, bob) = (world.person("alice").await, world.person("bob").await);
    let mut session = world.new_session(&world.new_device(alice.uuid(), START), START);
    session.device = alice.device.id;
    world.store.open_session(&session).await.unwrap();
    world.store.set_pin(alice.uuid(), &PasswordHash("pin".to_owned())).await.unwrap();
    world.store.replace_recovery_codes(alice.uuid(), &[[1; 32]]).await.unwrap();
    let begun = world.store.begin_erasure(alice.uuid(), START).await.unwrap();
    let handle = HandleName::parse("alice").unwrap();
    assert_eq!(begun, Some(Begun { handle: handle.clone(), sessions: vec![session.id] }));
    assert_eq!(world.store.begin_erasure(alice.uuid(), START).await.unwrap(), None);
    for _ in 0..2 {
        assert_eq!(world.store.account(alice.uuid()).await.unwrap(), None);
        assert_eq!(world.store.account_by_handle(&handle).await.unwrap(), None);
        let existing = world.store.existing(&[alice.uuid(), bob.uuid()]).await.unwrap();
        assert_eq!(existing, [false, true]);
        assert_eq!(world.store.session(session.id, START).await.unwrap(), None);
        let device = world.new_device(alice.uuid(), START);
        let next = world.new_session(&device, START);
        let added = world.store.add_device(&device, &next, 8).await.unwrap();
        assert_eq!(added, AddDevice::NoAccount);
        let id = world.id();
        let device = world.new_device(id, START);
        let session = world.new_session(&device, START);
        let password_hash = PasswordHash("x".to_owned());
        let again = NewAccount {
            id,
            handle: handle.clone(),
            password_hash,
            invite: None,
            created_at: START,
        };
        let taken = world.store.create_account(&again, &device, &session).await.unwrap();
        assert_eq!(taken, CreateAccount::HandleTaken);
        // The second time round nothing is left of it.
        erase(&world, &alice, START).await;
    }
    assert_eq!(world.store.gone_since(alice.uuid()).await.unwrap(), Some(START));
    assert_eq!(world.store.gone_since(bob.uuid()).await.unwrap(), None);
    subject.close(world.store).await;
}

/// Steps interrupted by restarts take everything away that is the account's, and nothing else.
pub async fn an_erasure_goes_on_where_it_stopped<S: Subject>(subject: &S) {
    let mut world = World::new(subject).await;
    let (alice, bob) = (world.person("alice").await, world.person("bob").await);
    let mut bodies = Vec::new();
    for n in 0..8 {
        let (from, to) = if n % 2 == 0 { (&alice, &bob) } else { (&bob, &alice) };
        let accept = world.message(from, to, START);
        let body = [(accept.body, Bytes::from_static(b"body"))];
        world.store.commit(std::slice::from_ref(&accept), &body).await.unwrap();
        bodies.push((n % 2 == 0, accept.body));
    }
    let before = world.inbox(&bob).await;
    world.store.begin_erasure(alice.uuid(), START).await.unwrap();
    assert_eq!(world.store.unfinished_erasures(10).await.unwrap(), [alice.uuid()]);
    let mut next = Next::Step;
    let mut first = 20_000;
    while next == Next::Step {
        next = world.store.erase_some(&alice.account, 1, START).await.unwrap().next;
        subject.close(world.store).await;
        world = World::beside(subject, first).await;
        first += 1_000;
    }
    assert_eq!(next, Next::Later);
    assert!(world.inbox(&alice).await.is_empty());
    assert_eq!(world.inbox(&bob).await, before, "Bob keeps what Alice sent him");
    for (kept, body) in bodies {
        let found = world.store.get(&[body]).await.unwrap();
        assert_eq!(found[0].is_some(), kept);
    }
    // Something that was on its way when the account went arrives after all.
    world.accept(&world.message(&bob, &alice, START)).await;
    let settled = START.plus_millis(SETTLE_MS);
    assert_eq!(erase(&world, &alice, settled.minus_millis(1)).await.1, Next::Later);
    assert_eq!(erase(&world, &alice, settled).await.1, Next::Done);
    assert!(world.inbox(&alice).await.is_empty());
    assert_eq!(world.store.unfinished_erasures(10).await.unwrap(), Vec::<Uuid>::new());
    let page = world.store.page(alice.uuid(), Cursor::START, 1).await.unwrap();
    assert_eq!(page.head, Cursor::START, "not even the inbox's head is left");
    subject.close(world.store).await;
}

/// Suspension and new passwords end sessions; nothing else does.
pub async fn suspension_and_new_passwords_end_sessions<S: Subject>(subject: &S) {
    use crate::accounts::AccountState;
    let world = World::new(subject).await;
    let (alice, bob) = (world.person("alice").await, world.person("bob").await);
    let (one, other) = (opened(&world, &alice).await, opened(&world, &bob).await);
    let old = PasswordHash("$argon2id$v=19$".to_owned());
    let new = PasswordHash("new".to_owned());
    let changed = world.store.change_password(alice.uuid(), (&new, &old), one, START).await;
    assert_eq!(changed.unwrap(), None, "that is not the old one");
    let added = world.new_device(alice.uuid(), START);
    let second = world.new_session(&added, START);
    world.store.add_device(&added, &second, 8).await.unwrap();
    let changed = world.store.change_password(alice.uuid(), (&old, &new), one, START).await;
    assert_eq!(changed.unwrap(), Some(vec![second.id]));
    assert!(world.store.session(one, START).await.unwrap().is_some());
    let ended = world.store.set_state(alice.uuid(), AccountState::Suspended, START).await;
    assert_eq!(ended.unwrap(), Some(vec![one]));
    assert!(world.store.session(other, START).await.unwrap().is_some());
    let listed = world.store.accounts(None, 1).await.unwrap();
    assert_eq!(listed[0].state, AccountState::Suspended);
    let listed = world.store.accounts(Some(&listed[0].handle), 10).await.unwrap();
    assert_eq!(listed.iter().map(|account| account.id).collect::<Vec<_>>(), [bob.uuid()]);
    let ended = world.store.set_state(alice.uuid(), AccountState::Active, START).await;
    assert_eq!(ended.unwrap(), Some(vec![]));
    let unknown = world.store.set_state(world.id(), AccountState::Active, START).await;
    assert_eq!(unknown.unwrap(), None);
    subject.close(world.store).await;
}

async fn opened<S: Store>(world: &World<S>, person: &Person) -> posthouse_protocol::id::SessionId {
    let mut session = world.new_session(&world.new_device(person.uuid(), START), START);
    session.device = person.device.id;
    world.store.open_session(&session).await.unwrap();
    session.id
}
