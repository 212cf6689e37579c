//! Deleting accounts.

use bytes::Bytes;
use posthouse_protocol::{
    cursor::Cursor,
    federation::stream::Lane,
    id::{AccountId, HandleName},
    status::FailReason,
    time::Timestamp,
};
use uuid::Uuid;

use super::{
    Store, Subject,
    outbox::lane::{Abroad, REGION},
    world::{Person, START, World, name},
};
use crate::{
    accounts::{Accounts, AddDevice, CreateAccount, NewAccount, PasswordHash},
    bodies::Bodies,
    erasure::{Begun, Erasure, Next, SETTLE_MS, TELL_MS},
    factors::Factors,
    ledger::Ledger,
    outbox::{Outbox, OutboxItem, Settled},
    people::{Contact, People},
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

/// Each region with somebody whom the account knew, was asked by or wrote to has one notice in its
/// queue, behind the account's messages, which stays until it is receipted, or is given up.
pub async fn other_regions_are_told_that_an_account_is_gone<S: Subject>(subject: &S) {
    let world = World::new(subject).await;
    let (alice, bob) = (world.person("alice").await, world.person("bob").await);
    let region = name(REGION);
    let there =
        |n: u128, server: &str| AccountId { uuid: Uuid::from_u128(n), server: name(server) };
    for n in 0..7 {
        let who = there(n, if n == 0 { "asia.example" } else { REGION });
        let contact = Contact { who, label: None, at: START };
        world.store.put_contact(alice.uuid(), &contact, 9).await.unwrap();
    }
    let own = Contact { who: bob.account.clone(), label: None, at: START };
    world.store.put_contact(alice.uuid(), &own, 9).await.unwrap();
    let asks = [(alice.uuid(), there(9, "africa.example"))];
    world.store.request(&asks, START, 9).await.unwrap();
    world.accept(&world.message_abroad(&alice, &region, START)).await;
    world.store.begin_erasure(alice.uuid(), START).await.unwrap();
    let mut told = Vec::new();
    loop {
        let erased = world.store.erase_some(&alice.account, 2, START).await.unwrap();
        told.extend(erased.told);
        if erased.next != Next::Step {
            break;
        }
    }
    told.sort_unstable();
    let regions = ["africa.example", "asia.example", REGION].map(name);
    assert_eq!(told, regions, "each once");
    assert_eq!(world.store.waiting(None, 9).await.unwrap(), regions);
    subject.close(world.store).await;

    let abroad = Abroad::new(World::beside(subject, 10_000).await).await;
    let loaded = abroad.load(Lane::Messages, 0).await;
    let [message, notice] = loaded.entries.as_slice() else { panic!("{loaded:?}") };
    assert!(matches!(message.item, OutboxItem::Message { .. }), "{message:?}");
    assert_eq!((notice.index, notice.id, notice.sender), (2, alice.uuid(), Some(alice.uuid())));
    let payload_version = posthouse_protocol::federation::version::PAYLOAD;
    assert_eq!(notice.item, OutboxItem::Gone { payload_version });
    // What is rejected or given up is no failure that anybody is told of.
    assert_eq!(abroad.expire(TELL_MS).await.failed.len(), 1, "the message");
    assert_eq!(abroad.load(Lane::Messages, 1).await.entries[0].item, notice.item);
    assert_eq!(abroad.expire(TELL_MS + 1).await, Settled::default());
    assert_eq!(abroad.load(Lane::Messages, 1).await.entries[0].item, OutboxItem::Failed);
    let settled = abroad.settle(2, &[(2, FailReason::Unsupported)]).await;
    assert_eq!(settled.failed, []);
    subject.close(abroad.world.store).await;
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
