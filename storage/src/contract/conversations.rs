//! Lists of conversations, discarded entries, and deleting for oneself.

use posthouse_protocol::{cursor::Cursor, id::ConversationId};

use super::{
    Store, Subject,
    abroad::{Envelope, Region, received},
    world::{Person, START, World},
};
use crate::{
    bodies::Bodies,
    conversations::Conversations,
    inbox::EntryKind,
    ledger::{Accept, Ledger},
    people::People,
    reception::Received,
    retention::Cutoffs,
};

async fn listed<S: Store>(world: &World<S>, of: &Person) -> Vec<String> {
    let found = world.store.conversations(of.uuid(), None, 100).await.unwrap();
    found.into_iter().map(|one| one.other).collect()
}

/// The latest first, in pages; it changes with every message, without being written.
pub async fn conversations_are_listed_by_last_activity<S: Subject>(subject: &S) {
    let world = World::new(subject).await;
    let alice = world.person("alice").await;
    let mut friends = Vec::new();
    for n in 0..5_u64 {
        let friend = world.person(&format!("friend{n}")).await;
        world.accept(&world.message(&alice, &friend, START.plus_millis(n))).await;
        friends.push(friend);
    }
    let name = |n: usize| friends[n].account.to_string();
    assert_eq!(listed(&world, &alice).await, [name(4), name(3), name(2), name(1), name(0)]);
    assert_eq!(listed(&world, &friends[0]).await, [alice.account.to_string()]);
    let reply = world.message(&friends[1], &alice, START.plus_millis(100));
    let reply = world.accept(&reply).await;
    assert_eq!(listed(&world, &alice).await, [name(1), name(4), name(3), name(2), name(0)]);
    let first = world.store.conversations(alice.uuid(), None, 2).await.unwrap();
    assert_eq!(first[0].highest, reply.stamp);
    let place = first.last().map(|last| (last.highest, last.id));
    let rest = world.store.conversations(alice.uuid(), place, 10).await.unwrap();
    let rest: Vec<_> = rest.into_iter().map(|one| one.other).collect();
    assert_eq!(rest, [name(3), name(2), name(0)]);
    world.store.block(alice.uuid(), &friends[4].account, START, 9).await.unwrap();
    assert_eq!(listed(&world, &alice).await, [name(1), name(3), name(2), name(0)]);
    assert_eq!(listed(&world, &friends[4]).await, [alice.account.to_string()], "he cannot tell");
    let group = (alice.uuid(), ConversationId([9; 16]), "g.x".to_owned());
    world.store.list(&[group.clone(), group]).await.unwrap();
    subject.close(world.store).await;
}

/// With another region: the conversation is there for whoever wrote or was written to.
pub async fn conversations_with_other_regions_are_listed<S: Subject>(subject: &S) {
    let world = World::new(subject).await;
    let (alice, bob) = (world.person("alice").await, world.person("bob").await);
    let mut us = Region::new("us.example");
    let (friend, pest) = (us.account(1), us.account(2));
    let one = received(&world, &friend, &alice, 1);
    let discarded = Received { discard: true, ..received(&world, &pest, &bob, 1) };
    us.take(&world, &Envelope::of([one, discarded.clone()])).await;
    assert_eq!(listed(&world, &alice).await, [friend.to_string()]);
    assert_eq!(listed(&world, &bob).await, Vec::<String>::new(), "Bob does not hear of it");
    let entries = world.inbox(&bob).await;
    assert!(matches!(&entries[0].kind, EntryKind::Discarded(one) if **one == discarded.message));
    let heard = received(&world, &pest, &bob, 2);
    us.take(&world, &Envelope::of([heard])).await;
    assert_eq!(listed(&world, &bob).await, [pest.to_string()], "now he does");
    let to_us = world.message_abroad(&bob, &us.name, START);
    world.accept(&to_us).await;
    assert!(listed(&world, &bob).await.contains(&to_us.to));
    subject.close(world.store).await;
}

/// A discarded message is the sender's like any other, and an entry without a face for the recipient.
pub async fn a_discarded_message_is_for_the_sender_alone<S: Subject>(subject: &S) {
    let world = World::new(subject).await;
    let (alice, bob) = (world.person("alice").await, world.person("bob").await);
    let discarded = Accept {
        discard: true,
        collapse: Some("k".to_owned()),
        recipients: vec![alice.uuid(), bob.uuid()],
        ..world.message(&bob, &alice, START)
    };
    let again = Accept { id: posthouse_protocol::id::MessageId(world.id()), ..discarded.clone() };
    let first = world.accept(&discarded).await;
    let second = world.accept(&again).await;
    assert_eq!((first.origin_number, second.origin_number), (1, 2));
    let kinds = |entries: &[crate::inbox::Entry]| -> Vec<bool> {
        entries.iter().map(|one| matches!(one.kind, EntryKind::Discarded(_))).collect()
    };
    assert_eq!(kinds(&world.inbox(&alice).await), [true, true], "each counts by itself");
    assert_eq!(kinds(&world.inbox(&bob).await), [false], "Bob's copy, collapsed as he asked");
    assert_eq!(listed(&world, &alice).await, Vec::<String>::new());
    assert_eq!(listed(&world, &bob).await, [alice.account.to_string()]);
    let heard = world.message(&bob, &alice, START);
    world.accept(&heard).await;
    assert_eq!(listed(&world, &alice).await, [bob.account.to_string()]);
    subject.close(world.store).await;
}

/// Off the list until something is said; and its entries go.
pub async fn a_conversation_is_deleted_for_one_side<S: Subject>(subject: &S) {
    let world = World::new(subject).await;
    let (alice, bob) = (world.person("alice").await, world.person("bob").await);
    let carol = world.person("carol").await;
    let mut bodies = Vec::new();
    for n in 0..5 {
        let one = world.message(&bob, &alice, START.plus_millis(n));
        bodies.push(one.body);
        world.accept(&one).await;
    }
    world.accept(&world.message(&carol, &alice, START)).await;
    let conversation = ConversationId::direct(&alice.account, &bob.account);
    let store = &world.store;
    assert!(!store.hide(carol.uuid(), conversation).await.unwrap(), "it is not Carol's");
    assert_eq!(store.clear(carol.uuid(), conversation, 100).await.unwrap(), 0);
    assert!(store.hide(alice.uuid(), conversation).await.unwrap());
    assert_eq!(store.clear(alice.uuid(), conversation, 3).await.unwrap(), 3);
    assert_eq!(store.clear(alice.uuid(), conversation, 3).await.unwrap(), 2);
    assert_eq!(store.clear(alice.uuid(), conversation, 3).await.unwrap(), 0);
    assert_eq!(world.inbox(&alice).await.len(), 1, "Carol's");
    assert_eq!(listed(&world, &alice).await, [carol.account.to_string()]);
    assert_eq!(listed(&world, &bob).await, [alice.account.to_string()], "Bob keeps it");
    let trimmed = store.trim(&Cutoffs::at(START), 100).await.unwrap();
    assert_eq!(trimmed.unreferenced.len(), 5, "nobody holds the bodies any more");
    store.delete(&bodies).await.unwrap();
    let page = store.page(alice.uuid(), Cursor::START, 10).await.unwrap();
    assert_eq!(page.head, Cursor(6), "numbers are not given out again");
    world.accept(&world.message(&bob, &alice, START.plus_millis(9))).await;
    assert_eq!(listed(&world, &alice).await[0], bob.account.to_string());
    subject.close(world.store).await;
}

/// Only one's own entries, by sender and id, and only once.
pub async fn messages_are_deleted_from_one_inbox<S: Subject>(subject: &S) {
    let world = World::new(subject).await;
    let (alice, bob) = (world.person("alice").await, world.person("bob").await);
    let one =
        Accept { recipients: vec![alice.uuid(), bob.uuid()], ..world.message(&bob, &alice, START) };
    let other = world.message(&bob, &alice, START);
    world.accept(&one).await;
    world.accept(&other).await;
    let store = &world.store;
    let name = [(bob.account.clone(), one.id)];
    let wrong = [(alice.account.clone(), one.id), (bob.account.clone(), world_id(&world))];
    assert_eq!(store.delete_messages(alice.uuid(), &wrong).await.unwrap(), 0);
    assert_eq!(store.delete_messages(alice.uuid(), &[]).await.unwrap(), 0);
    assert_eq!(store.delete_messages(alice.uuid(), &name).await.unwrap(), 1);
    assert_eq!(store.delete_messages(alice.uuid(), &name).await.unwrap(), 0);
    assert_eq!(world.inbox_ids(&alice).await, [other.id]);
    assert_eq!(world.inbox_ids(&bob).await, [one.id], "Bob's copy is his");
    let body = store.get(&[one.body]).await.unwrap().remove(0);
    assert!(body.is_some(), "Bob still points to it");
    subject.close(world.store).await;
}

fn world_id<S: Store>(world: &World<S>) -> posthouse_protocol::id::MessageId {
    posthouse_protocol::id::MessageId(world.id())
}
