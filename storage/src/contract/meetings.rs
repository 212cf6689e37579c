//! Receptions that meet each other, or commits and receipts.

use std::collections::HashMap;

use posthouse_protocol::cursor::Cursor;
use uuid::Uuid;

use super::{
    Store, Subject,
    abroad::{Envelope, Region, received},
    concurrency::{close, worlds},
    reception::{rise, to_abroad},
    world::{Person, START, World},
};
use crate::{
    ledger::{Accept, Arrival, Ledger, Outcome},
    receipts::WatermarkRise,
    reception::{Receptions, Taken},
};

/// Two envelopes that were decided on the same state: one is decided again. Also the first two of an
/// origin, of which there is nothing to be locked.
pub async fn of_two_receptions_at_once_one_is_moved<S: Subject>(subject: &S) {
    let (one, two) = worlds(subject).await;
    let alice = one.person("alice").await;
    let mut taken = Vec::new();
    for n in 0..10 {
        let mut region = Region::new(&format!("us{n}.example"));
        for number in 1..=3 {
            let sender = region.account(1);
            let left = Envelope::of([received(&one, &sender, &alice, number)]);
            let right = Envelope::of([received(&two, &sender, &alice, number)]);
            let told = tokio::join!(region.offer(&one, &left), region.offer(&two, &right));
            let first = match told {
                (Taken::Done { .. }, Taken::Moved) => &left,
                (Taken::Moved, Taken::Done { .. }) => &right,
                other => panic!("{other:?}"),
            };
            taken.push(first.messages[0].message.id);
            region.stream = region.next();
            assert_eq!(one.store.inbound(&region.name).await.unwrap(), region.stream);
        }
    }
    assert_eq!(one.inbox_ids(&alice).await, taken);
    close(subject, one, two).await;
}

/// Receptions, commits and receipts fill the same inboxes at once: arrivals are dense, each is told
/// once, and pages hold them in order.
pub async fn receptions_and_commits_share_inboxes<S: Subject>(subject: &S) {
    let (one, two) = worlds(subject).await;
    let mut people = Vec::new();
    for n in 0..4 {
        people.push(one.person(&format!("p{n}")).await);
    }
    let (left, right) = tokio::join!(commits(&one, &people), receptions(&two, &people));
    let mut told: HashMap<Uuid, Vec<u64>> = HashMap::new();
    for arrival in left.iter().chain(&right) {
        assert_eq!(arrival.cursor.0, arrival.previous.0 + 1);
        told.entry(arrival.account).or_default().push(arrival.cursor.0);
    }
    for person in &people {
        let mut cursors = told.remove(&person.uuid()).unwrap();
        cursors.sort_unstable();
        assert_eq!(cursors, (1..=cursors.len() as u64).collect::<Vec<_>>());
        let page = one.store.page(person.uuid(), Cursor::START, 10_000).await.unwrap();
        assert_eq!(page.head.0, cursors.len() as u64);
        assert!(page.entries.is_sorted_by(|a, b| a.cursor < b.cursor));
    }
    close(subject, one, two).await;
}

/// Rounds of each of the two.
const ROUNDS: usize = 40;

async fn commits<S: Store>(world: &World<S>, people: &[Person]) -> Vec<Arrival> {
    let us = Region::new("us.example");
    let mut told = Vec::new();
    for round in 0..ROUNDS {
        let mut recipients: Vec<_> = people.iter().map(Person::uuid).collect();
        recipients.rotate_left(round % people.len());
        let (from, to) = (&people[round % people.len()], &people[(round * 3 + 1) % people.len()]);
        let own = Accept { recipients, ..world.message(from, to, START) };
        let batch = [own, to_abroad(world, from, &us.account(1))];
        for outcome in world.store.commit(&batch, &[]).await.unwrap() {
            let Outcome::Accepted(accepted) = outcome else { panic!("{outcome:?}") };
            told.extend(accepted.arrivals);
        }
        let through = round as u64 / 4 + 1;
        let tell = people.iter().rev().map(Person::uuid).collect();
        let read = WatermarkRise { tell, ..rise(&us.account(1), from, through, &[]) };
        for risen in world.store.record(&[], &[read]).await.unwrap() {
            told.extend(risen.arrivals);
        }
    }
    told
}

async fn receptions<S: Store>(world: &World<S>, people: &[Person]) -> Vec<Arrival> {
    let mut us = Region::new("us.example");
    let (friend, mut told) = (us.account(1), Vec::new());
    for round in 0..ROUNDS {
        let mut messages = Vec::new();
        for n in 0..=round % 3 {
            let to = &people[(round * 5 + n) % people.len()];
            let mut one = received(world, &friend, to, (round * 3 + n) as u64 + 1);
            one.recipients = people.iter().rev().map(Person::uuid).collect();
            one.recipients.rotate_left(round % people.len());
            messages.push(one);
        }
        let watermarks = people.iter().map(|told| rise(&friend, told, round as u64, &[])).collect();
        let envelope = Envelope { messages, watermarks, ..Envelope::default() };
        let (arrivals, risen) = us.take(world, &envelope).await;
        told.extend(arrivals.into_iter().flatten());
        told.extend(risen.into_iter().flat_map(|one| one.arrivals));
    }
    told
}
