//! Contacts, blocks, message requests, privacy settings.

use posthouse_protocol::{
    id::AccountId,
    rest::{Audience, LastSeen, Privacy, Writers},
    time::Timestamp,
};
use uuid::Uuid;

use super::{
    Store, Subject,
    world::{Person, START, World, name},
};
use crate::{
    erasure::{Erasure, Next, SETTLE_MS},
    ledger::Ledger,
    people::{Added, Contact, People, Range, Stance},
};

const ALL: Range<'static> = Range { after: None, limit: 1_000 };

fn abroad(n: u128) -> AccountId {
    AccountId { uuid: Uuid::from_u128(n), server: name("us.example") }
}

fn contact(who: &AccountId, label: &str) -> Contact {
    Contact { who: who.clone(), label: Some(label.to_owned()), at: START }
}

async fn request<S: Store>(world: &World<S>, of: Uuid, from: &AccountId, at: Timestamp) -> bool {
    let new = world.store.request(&[(of, from.clone())], at, 100).await.unwrap();
    new == [(of, from.clone())]
}

async fn is_blocked<S: Store>(world: &World<S>, of: &Person, other: &AccountId) -> bool {
    let pair = (of.account.clone(), other.clone());
    world.store.relations(&[pair]).await.unwrap()[0].blocked
}

async fn stance<S: Store>(world: &World<S>, of: &Person, other: &AccountId) -> Stance {
    let pair = (of.account.clone(), other.clone());
    world.store.relations(&[pair]).await.unwrap()[0].stance
}

/// A list holds so many and no more, is read in pages, and belongs to its account.
pub async fn contacts_are_listed_in_order_and_bounded<S: Subject>(subject: &S) {
    let world = World::new(subject).await;
    let (alice, bob) = (world.person("alice").await, world.person("bob").await);
    for n in (1..=5).rev() {
        let added = world.store.put_contact(alice.uuid(), &contact(&abroad(n), "x"), 5).await;
        assert_eq!(added.unwrap(), Added::Done);
    }
    let sixth = contact(&abroad(6), "x");
    assert_eq!(world.store.put_contact(alice.uuid(), &sixth, 5).await.unwrap(), Added::TooMany);
    let again = Contact { at: START.plus_millis(9), ..contact(&abroad(3), "renamed") };
    assert_eq!(world.store.put_contact(alice.uuid(), &again, 5).await.unwrap(), Added::Done);
    let nobody = world.store.put_contact(world.id(), &sixth, 5).await.unwrap();
    assert_eq!(nobody, Added::NoAccount);
    let first = Range { after: None, limit: 2 };
    let page = world.store.contacts(alice.uuid(), first).await.unwrap();
    assert_eq!(page, [contact(&abroad(1), "x"), contact(&abroad(2), "x")]);
    let rest = Range { after: Some(&abroad(2)), limit: 10 };
    let rest = world.store.contacts(alice.uuid(), rest).await.unwrap();
    assert_eq!(rest[0], contact(&abroad(3), "renamed"), "the first time stands");
    assert_eq!(rest.len(), 3);
    assert_eq!(world.store.contacts(bob.uuid(), ALL).await.unwrap(), []);
    assert!(!world.store.remove_contact(bob.uuid(), &abroad(1)).await.unwrap());
    assert!(world.store.remove_contact(alice.uuid(), &abroad(1)).await.unwrap());
    assert!(!world.store.remove_contact(alice.uuid(), &abroad(1)).await.unwrap());
    assert_eq!(world.store.put_contact(alice.uuid(), &sixth, 5).await.unwrap(), Added::Done);
    subject.close(world.store).await;
}

/// Of many additions at once no more than the bound succeed.
pub async fn a_list_stays_bounded_under_concurrency<S: Subject>(subject: &S) {
    let world = World::new(subject).await;
    let alice = world.person("alice").await.uuid();
    let mut adding = tokio::task::JoinSet::new();
    for n in 0..12 {
        let store = world.store.clone();
        adding.spawn(async move { store.block(alice, &abroad(n), START, 4).await.unwrap() });
    }
    let added = adding.join_all().await;
    assert_eq!(added.iter().filter(|added| **added == Added::Done).count(), 4);
    assert_eq!(world.store.blocks(alice, ALL).await.unwrap().len(), 4);
    subject.close(world.store).await;
}

/// Who is blocked stays a contact, and is heard again afterwards.
pub async fn a_block_comes_before_everything_else<S: Subject>(subject: &S) {
    let world = World::new(subject).await;
    let (alice, bob) = (world.person("alice").await, world.person("bob").await);
    assert_eq!(stance(&world, &alice, &bob.account).await, Stance::Stranger);
    world.store.put_contact(alice.uuid(), &contact(&bob.account, "b"), 9).await.unwrap();
    assert_eq!(stance(&world, &alice, &bob.account).await, Stance::Contact);
    assert_eq!(stance(&world, &bob, &alice.account).await, Stance::Stranger, "it is Alice's");
    world.store.block(alice.uuid(), &bob.account, START, 9).await.unwrap();
    world.store.block(alice.uuid(), &bob.account, START.plus_millis(5), 9).await.unwrap();
    assert!(is_blocked(&world, &alice, &bob.account).await);
    assert!(!is_blocked(&world, &bob, &alice.account).await);
    let blocks = world.store.blocks(alice.uuid(), ALL).await.unwrap();
    assert_eq!(blocks, [(bob.account.clone(), START)]);
    assert!(!world.store.unblock(bob.uuid(), &alice.account).await.unwrap());
    assert!(world.store.unblock(alice.uuid(), &bob.account).await.unwrap());
    assert!(!world.store.unblock(alice.uuid(), &bob.account).await.unwrap());
    assert!(!is_blocked(&world, &alice, &bob.account).await);
    assert_eq!(stance(&world, &alice, &bob.account).await, Stance::Contact);
    subject.close(world.store).await;
}

/// A request waits until it is accepted, declined, or its sender blocked.
pub async fn a_request_is_answered_once<S: Subject>(subject: &S) {
    let world = World::new(subject).await;
    let alice = world.person("alice").await;
    let store = &world.store;
    let later = START.plus_millis(7);
    for n in 1..=4 {
        assert!(request(&world, alice.uuid(), &abroad(n), START).await);
        assert!(!request(&world, alice.uuid(), &abroad(n), later).await);
    }
    assert!(!request(&world, world.id(), &abroad(1), START).await, "no account");
    let waiting = store.requests(alice.uuid(), ALL).await.unwrap();
    let expected: Vec<_> = (1..=4).map(|n| (abroad(n), START)).collect();
    assert_eq!(waiting, expected, "the first times stand");
    assert_eq!(stance(&world, &alice, &abroad(1)).await, Stance::Requested);
    assert!(store.answer_request(alice.uuid(), &abroad(1), true, later).await.unwrap());
    assert!(!store.answer_request(alice.uuid(), &abroad(1), false, later).await.unwrap());
    assert_eq!(stance(&world, &alice, &abroad(1)).await, Stance::Known);
    assert!(!request(&world, alice.uuid(), &abroad(1), later).await);
    assert!(store.answer_request(alice.uuid(), &abroad(2), false, later).await.unwrap());
    assert_eq!(stance(&world, &alice, &abroad(2)).await, Stance::Declined);
    assert!(!request(&world, alice.uuid(), &abroad(2), later).await);
    store.block(alice.uuid(), &abroad(3), later, 9).await.unwrap();
    store.put_contact(alice.uuid(), &contact(&abroad(4), "c"), 9).await.unwrap();
    assert_eq!(store.requests(alice.uuid(), ALL).await.unwrap(), []);
    store.unblock(alice.uuid(), &abroad(3)).await.unwrap();
    assert_eq!(stance(&world, &alice, &abroad(3)).await, Stance::Stranger, "the request went");
    assert_eq!(stance(&world, &alice, &abroad(4)).await, Stance::Contact);
    assert_eq!(store.forget_declined(later, 10).await.unwrap(), 0, "not older");
    assert_eq!(store.forget_declined(later.plus_millis(1), 10).await.unwrap(), 1);
    assert_eq!(stance(&world, &alice, &abroad(2)).await, Stance::Stranger);
    subject.close(world.store).await;
}

/// Beyond the bound the oldest request goes, whoever sent it.
pub async fn requests_are_bounded<S: Subject>(subject: &S) {
    let world = World::new(subject).await;
    let alice = world.person("alice").await;
    for n in 1..=8_u64 {
        let (at, from) = (START.plus_millis(n), [(alice.uuid(), abroad(n.into()))]);
        assert_eq!(world.store.request(&from, at, 5).await.unwrap(), from);
    }
    let waiting = world.store.requests(alice.uuid(), ALL).await.unwrap();
    let waiting: Vec<_> = waiting.into_iter().map(|(who, _)| who).collect();
    assert_eq!(waiting, (4..=8).map(abroad).collect::<Vec<_>>());
    // What is declined takes no place of what waits, and the other way round.
    for n in 4..=8_u64 {
        let at = START.plus_millis(100 + n);
        let from = abroad(n.into());
        assert!(world.store.answer_request(alice.uuid(), &from, false, at).await.unwrap());
    }
    for n in 11..=15_u64 {
        let (at, from) = (START.plus_millis(n), [(alice.uuid(), abroad(n.into()))]);
        assert_eq!(world.store.request(&from, at, 5).await.unwrap(), from);
    }
    let waiting = world.store.requests(alice.uuid(), ALL).await.unwrap();
    let waiting: Vec<_> = waiting.into_iter().map(|(who, _)| who).collect();
    assert_eq!(waiting, (11..=15).map(abroad).collect::<Vec<_>>());
    for n in 4..=8 {
        assert_eq!(stance(&world, &alice, &abroad(n)).await, Stance::Declined);
    }
    subject.close(world.store).await;
}

/// To write to somebody is to know them.
pub async fn who_has_written_knows_the_other<S: Subject>(subject: &S) {
    let world = World::new(subject).await;
    let (alice, bob) = (world.person("alice").await, world.person("bob").await);
    let store = &world.store;
    request(&world, alice.uuid(), &bob.account, START).await;
    let pair = |one: &Person, other: &Person| (one.account.clone(), other.account.clone());
    let both = [pair(&alice, &bob), pair(&bob, &alice)];
    let before = store.relations(&both).await.unwrap();
    assert!(before.iter().all(|relation| !relation.has_spoken));
    world.accept(&world.message(&alice, &bob, START)).await;
    let after = store.relations(&both).await.unwrap();
    assert_eq!(
        after.iter().map(|one| one.stance).collect::<Vec<_>>(),
        [Stance::Known, Stance::Stranger]
    );
    assert!(after.iter().all(|relation| relation.has_spoken));
    let discarded = crate::ledger::Accept { discard: true, ..world.message(&bob, &alice, START) };
    world.accept(&discarded).await;
    assert_eq!(stance(&world, &bob, &alice.account).await, Stance::Stranger);
    let conversation = discarded.conversation;
    assert_eq!(store.mutual(&[conversation]).await.unwrap(), [false]);
    subject.close(world.store).await;
}

/// Settings are the defaults until they are chosen, and each account's own.
pub async fn privacy_is_chosen<S: Subject>(subject: &S) {
    let world = World::new(subject).await;
    let (alice, bob) = (world.person("alice").await, world.person("bob").await);
    let store = &world.store;
    assert_eq!(store.privacy(alice.uuid()).await.unwrap(), Privacy::default());
    let chosen = Privacy {
        last_seen: LastSeen::Nobody,
        read_receipts: false,
        stories: Audience::Nobody,
        groups: Audience::Everyone,
        messages: Writers::Contacts,
    };
    for privacy in [Privacy { last_seen: LastSeen::Hour, ..chosen }, chosen] {
        assert!(store.set_privacy(alice.uuid(), &privacy).await.unwrap());
        assert_eq!(store.privacy(alice.uuid()).await.unwrap(), privacy);
    }
    assert!(!store.set_privacy(world.id(), &chosen).await.unwrap(), "there is no such account");
    let pairs = [(alice.account.clone(), abroad(1)), (bob.account.clone(), abroad(1))];
    let writers: Vec<_> =
        store.relations(&pairs).await.unwrap().into_iter().map(|one| one.writers).collect();
    assert_eq!(writers, [Writers::Contacts, Writers::Everyone]);
    subject.close(world.store).await;
}

/// What an account said of others, and others of it, goes with it.
pub async fn people_are_erased<S: Subject>(subject: &S) {
    let world = World::new(subject).await;
    let (alice, bob) = (world.person("alice").await, world.person("bob").await);
    let store = &world.store;
    let chosen = Privacy { read_receipts: false, ..Privacy::default() };
    for (one, other) in [(&alice, &bob), (&bob, &alice)] {
        store.put_contact(one.uuid(), &contact(&other.account, "c"), 9).await.unwrap();
        store.block(one.uuid(), &other.account, START, 9).await.unwrap();
        request(&world, one.uuid(), &abroad(1), START).await;
        store.set_privacy(one.uuid(), &chosen).await.unwrap();
    }
    store.begin_erasure(alice.uuid(), START).await.unwrap();
    assert_eq!(store.privacy(alice.uuid()).await.unwrap(), Privacy::default(), "at once");
    let now = START.plus_millis(SETTLE_MS);
    while store.erase_some(&alice.account, 10, now).await.unwrap().next != Next::Done {}
    for gone in [alice.uuid(), bob.uuid()] {
        assert_eq!(store.contacts(gone, ALL).await.unwrap(), []);
        assert_eq!(store.blocks(gone, ALL).await.unwrap(), []);
    }
    assert_eq!(store.requests(alice.uuid(), ALL).await.unwrap(), []);
    assert_eq!(store.requests(bob.uuid(), ALL).await.unwrap().len(), 1, "that is not about Alice");
    assert_eq!(store.privacy(bob.uuid()).await.unwrap(), chosen);
    subject.close(world.store).await;
}

/// An account of another region is gone: nobody here has it as contact or request any more. It stays
/// blocked, and whoever has the same UUID here has nothing to do with it.
pub async fn people_of_other_regions_who_are_gone_are_forgotten<S: Subject>(subject: &S) {
    let world = World::new(subject).await;
    let (alice, bob) = (world.person("alice").await, world.person("bob").await);
    let store = &world.store;
    let gone = AccountId { uuid: bob.uuid(), server: name("us.example") };
    store.put_contact(alice.uuid(), &contact(&gone, "g"), 9).await.unwrap();
    store.put_contact(alice.uuid(), &contact(&bob.account, "b"), 9).await.unwrap();
    store.put_contact(bob.uuid(), &contact(&abroad(2), "c"), 9).await.unwrap();
    request(&world, bob.uuid(), &gone, START).await;
    store.block(alice.uuid(), &gone, START, 9).await.unwrap();
    assert!(store.forget_abroad(&gone, 1).await.unwrap());
    while store.forget_abroad(&gone, 1).await.unwrap() {}
    let left = store.contacts(alice.uuid(), ALL).await.unwrap();
    assert_eq!(left, [contact(&bob.account, "b")]);
    assert_eq!(store.requests(bob.uuid(), ALL).await.unwrap(), []);
    assert_eq!(store.contacts(bob.uuid(), ALL).await.unwrap(), [contact(&abroad(2), "c")]);
    assert!(is_blocked(&world, &alice, &gone).await);
    subject.close(world.store).await;
}
