//! Several committers at once: in two processes where the database may be shared, else in tasks.

use std::{
    collections::HashSet,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
};

use posthouse_protocol::{cursor::Cursor, id::MessageId};
use tokio::task::JoinSet;

use super::{
    Store, Subject,
    world::{Person, START, World, message},
};
use crate::ledger::Ledger;
use crate::ledger::{Accept, Outcome};

/// Commits of each of the committers.
const COMMITS: usize = 60;

/// The first world, and another process's view of it where that is possible.
pub(super) async fn worlds<S: Subject>(subject: &S) -> (World<S::Store>, World<S::Store>) {
    let one = World::new(subject).await;
    let two = if subject.shared() {
        World::beside(subject, 1_000_000).await
    } else {
        World::same(&one, 1_000_000)
    };
    (one, two)
}

/// A reader that has read up to n never finds a new entry at or below n, while two committers and
/// a recorder of watermarks fill the same inboxes in changing order.
pub async fn arrivals_become_visible_in_order<S: Subject>(subject: &S) {
    let (one, two) = worlds(subject).await;
    let mut people = Vec::new();
    for n in 0..4 {
        people.push(one.person(&format!("p{n}")).await);
    }
    let done = Arc::new(AtomicBool::new(false));
    let mut reading = JoinSet::new();
    for (n, person) in people.iter().enumerate() {
        let store = if n % 2 == 0 { one.store.clone() } else { two.store.clone() };
        reading.spawn(read_on(store, person.clone(), done.clone()));
    }
    let (sent_one, sent_two) = tokio::join!(commit_on(&one, &people), commit_on(&two, &people));
    done.store(true, SeqCst);
    let sent: Vec<MessageId> = sent_one.into_iter().chain(sent_two).collect();
    let unique: HashSet<MessageId> = sent.iter().copied().collect();
    assert_eq!(unique.len(), sent.len());
    while let Some(read) = reading.join_next().await {
        let read = read.unwrap();
        let read_once: HashSet<MessageId> = read.iter().copied().collect();
        assert_eq!(read_once.len(), read.len(), "nothing is read twice");
        assert_eq!(read_once, unique, "nothing is passed over");
    }
    close(subject, one, two).await;
}

/// Commits batches to all people, in an order that differs from the other committer's.
async fn commit_on<S: Store>(world: &World<S>, people: &[Person]) -> Vec<MessageId> {
    let mut sent = Vec::new();
    for round in 0..COMMITS {
        let batch: Vec<Accept> = (0..=round % 3)
            .map(|n| {
                let mut recipients: Vec<_> = people.iter().map(Person::uuid).collect();
                recipients.rotate_left((round + n) % people.len());
                let from = &people[(round + n) % people.len()];
                let to = &people[(round * 7 + n) % people.len()];
                Accept { recipients, ..world.message(from, to, START) }
            })
            .collect();
        for outcome in world.store.commit(&batch, &[]).await.unwrap() {
            assert!(matches!(outcome, Outcome::Accepted(_)), "{outcome:?}");
        }
        sent.extend(batch.iter().map(|accept| accept.id));
        tokio::task::yield_now().await;
    }
    sent
}

/// Reads an inbox from its start until the writers are done and nothing is left.
async fn read_on<S: Store>(store: S, person: Person, done: Arc<AtomicBool>) -> Vec<MessageId> {
    let (mut read, mut cursor) = (Vec::new(), Cursor::START);
    loop {
        // Asked before the page is read: what was committed before is then in it.
        let last_round = done.load(SeqCst);
        let page = store.page(person.uuid(), cursor, 7).await.unwrap();
        assert!(page.head >= cursor);
        for entry in &page.entries {
            assert!(entry.cursor > cursor && entry.cursor <= page.head);
            cursor = entry.cursor;
            read.push(message(entry).unwrap().id);
        }
        if page.entries.is_empty() && last_round {
            return read;
        }
        tokio::task::yield_now().await;
    }
}

/// A client that gave up waiting and sends again through another process is not doubled.
pub async fn one_id_is_accepted_once<S: Subject>(subject: &S) {
    let (one, two) = worlds(subject).await;
    let (alice, bob) = (one.person("alice").await, one.person("bob").await);
    let carol = one.person("carol").await;
    for round in 0..20 {
        let first = one.message(&alice, &bob, START);
        // In every second round the repetition names another conversation, which no lock on the
        // conversation catches.
        let other = if round % 2 == 0 { &bob } else { &carol };
        let second = Accept { id: first.id, ..one.message(&alice, other, START) };
        let (left, right) = tokio::join!(one.commit(&first), two.commit(&second));
        let facts = match (&left, &right) {
            (Outcome::Accepted(accepted), Outcome::Repeated(repeated))
            | (Outcome::Repeated(repeated), Outcome::Accepted(accepted)) => (accepted, repeated),
            other => panic!("{other:?}"),
        };
        assert_eq!(facts.0.stamp, facts.1.stamp);
        assert_eq!(facts.0.origin_number, facts.1.origin_number);
        assert_eq!(facts.0.conversation, facts.1.conversation);
        assert_eq!(one.store.messages(&[first.id]).await.unwrap().len(), 1);
    }
    let arrived = one.inbox(&bob).await.len() + one.inbox(&carol).await.len();
    assert_eq!(arrived, 20);
    close(subject, one, two).await;
}

/// Numbers stay dense when both sides write at once through two processes. Their inboxes differ, so
/// that only the conversation is shared.
pub async fn numbers_are_dense_with_two_committers<S: Subject>(subject: &S) {
    let (one, two) = worlds(subject).await;
    let (alice, bob) = (one.person("alice").await, one.person("bob").await);
    one.accept(&one.message(&alice, &bob, START)).await;
    let mut numbers = vec![1];
    for _ in 0..COMMITS {
        let there = one.message(&alice, &bob, START);
        let back = two.message(&bob, &alice, START);
        let (left, right) = tokio::join!(one.accept(&there), two.accept(&back));
        numbers.extend([left.origin_number, right.origin_number]);
        let (first, second) =
            if left.origin_number < right.origin_number { (left, right) } else { (right, left) };
        assert!(first.stamp < second.stamp, "stamps follow the numbers");
    }
    numbers.sort_unstable();
    assert_eq!(numbers, (1..=1 + 2 * COMMITS as u64).collect::<Vec<_>>());
    close(subject, one, two).await;
}

/// A conversation that does not exist yet has nothing to be locked.
pub async fn the_first_messages_of_a_conversation_get_different_numbers<S: Subject>(subject: &S) {
    let (one, two) = worlds(subject).await;
    for round in 0..20 {
        let alice = one.person(&format!("alice{round}")).await;
        let bob = one.person(&format!("bob{round}")).await;
        let there: Vec<Accept> = (0..2).map(|_| one.message(&alice, &bob, START)).collect();
        let back = one.message(&bob, &alice, START);
        let (left, right) = tokio::join!(one.store.commit(&there, &[]), two.commit(&back));
        let mut numbers = Vec::new();
        for outcome in left.unwrap().into_iter().chain([right]) {
            let Outcome::Accepted(accepted) = outcome else { panic!("{outcome:?}") };
            numbers.push((accepted.origin_number, accepted.stamp));
        }
        numbers.sort_unstable();
        assert_eq!(numbers.iter().map(|(number, _)| *number).collect::<Vec<_>>(), [1, 2, 3]);
        assert!(numbers.is_sorted_by(|a, b| a.1 < b.1), "stamps follow the numbers");
        let mutual = one.store.mutual(&[back.conversation]).await.unwrap();
        assert_eq!(mutual, [true]);
    }
    close(subject, one, two).await;
}

/// Closes both.
pub(super) async fn close<S: Subject>(subject: &S, one: World<S::Store>, two: World<S::Store>) {
    subject.close(one.store).await;
    if subject.shared() {
        subject.close(two.store).await;
    }
}
