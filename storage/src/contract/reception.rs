//! What comes from other regions.

use std::collections::{BTreeSet, HashMap, HashSet};

use posthouse_protocol::{
    cursor::Cursor,
    federation::{
        receipt::RejectionReason,
        record::{Void, VoidReason},
        stream::Lane,
    },
    frame::Class,
    id::{AccountId, ConversationId, DeviceNumber, MessageId},
    limits::{ID_MEMORY_MS, MAX_INBOX_BYTES, RETENTION_MS},
    status::Reached,
    time::{Stamp, Timestamp},
};
use uuid::Uuid;

use super::{
    Store, Subject,
    abroad::{Envelope, Region, received, rejected},
    concurrency::{close, worlds},
    world::{Person, START, World, message, server},
};
use crate::bodies::Bodies;
use crate::keys::Keys;
use crate::ledger::Ledger;
use crate::reception::Receptions;
use crate::{
    inbox::{EntryKind, StoredMessage},
    ledger::{Accept, Arrival, Destination, Outcome, Refusal},
    receipts::{Watermark, WatermarkRise},
    reception::{InboundStream, MAX_VOIDS, Received, Rejected, Taken},
    retention::{Cutoffs, Trimmed},
};

fn collapsing(key: &str, one: Received) -> Received {
    let message = StoredMessage { collapse: Some(key.to_owned()), ..one.message };
    Received { message, ..one }
}

/// A reader abroad has got this far with what this region sent.
fn rise(reader: &AccountId, told: &Person, through: u64, except: &[u64]) -> WatermarkRise {
    let watermark = Watermark {
        conversation: ConversationId::direct(reader, &told.account),
        reader: reader.clone(),
        origin: server(),
        reached: Reached::Delivered,
        through,
        except: except.to_vec(),
        at: START,
    };
    WatermarkRise { watermark, tell: vec![told.uuid()], forward: None }
}

/// A message of this region for somebody abroad.
fn to_abroad<S: Store>(world: &World<S>, from: &Person, to: &AccountId) -> Accept {
    let low = from.account.to_string() < to.to_string();
    Accept {
        conversation: ConversationId::direct(&from.account, to),
        side: if low { 1 } else { 2 },
        destinations: vec![Destination { server: to.server.clone(), recipients: vec![to.uuid] }],
        to: to.to_string(),
        ..world.message_abroad(from, &to.server, START)
    }
}

/// And the stream is where the envelope left it.
pub async fn a_message_arrives_with_all_its_facts<S: Subject>(subject: &S) {
    let world = World::new(subject).await;
    let (alice, bob) = (world.person("alice").await, world.person("bob").await);
    let mut us = Region::new("us.example");
    assert_eq!(world.store.inbound(&us.name).await.unwrap(), InboundStream::default());
    let plain = received(&world, &us.account(1), &alice, 1);
    let one = received(&world, &us.account(1), &alice, 7);
    let message = StoredMessage {
        device_number: Some(DeviceNumber::try_from(5).unwrap()),
        device_list_version: Some(u64::MAX),
        class: Class::Key,
        collapse: Some("k".to_owned()),
        expires: Some(Timestamp(u64::MAX)),
        epoch: Some(u64::MAX - 1),
        client_timestamp: Timestamp(u64::MAX),
        accepted_at: Timestamp(3),
        ..one.message
    };
    let one = Received { message, recipients: vec![bob.uuid(), alice.uuid()], ..one };
    let envelope = Envelope::of([plain.clone(), one.clone()]);
    let (arrivals, risen) = us.take(&world, &envelope).await;
    assert_eq!(risen, []);
    let arrival = |person: &Person, previous| Arrival {
        account: person.uuid(),
        previous: Cursor(previous),
        cursor: Cursor(previous + 1),
    };
    assert_eq!(arrivals, [vec![arrival(&alice, 0)], vec![arrival(&bob, 0), arrival(&alice, 1)]]);
    subject.close(world.store).await;

    let world = World::beside(subject, 1_000).await;
    assert_eq!(world.store.inbound(&us.name).await.unwrap(), us.stream);
    let inbox = world.inbox(&alice).await;
    assert_eq!(inbox.iter().map(message_of).collect::<Vec<_>>(), [&plain.message, &one.message]);
    assert!(inbox.iter().all(|entry| entry.arrived_at == START));
    let inbox = world.inbox(&bob).await;
    assert_eq!(inbox.iter().map(message_of).collect::<Vec<_>>(), [&one.message]);
    let found = world.store.messages(&[one.message.id]).await.unwrap();
    assert_eq!(found, core::slice::from_ref(&one.message));
    let body = world.store.get(&[one.message.body]).await.unwrap().remove(0).unwrap();
    assert_eq!(body, one.message.id.0.as_bytes()[..]);
    subject.close(world.store).await;
}

fn message_of(entry: &crate::inbox::Entry) -> &StoredMessage {
    message(entry).unwrap()
}

/// Of what the envelope holds nothing is there.
pub async fn a_moved_stream_writes_nothing<S: Subject>(subject: &S) {
    let world = World::new(subject).await;
    let alice = world.person("alice").await;
    let mut us = Region::new("us.example");
    let before = us.clone();
    us.take(&world, &Envelope::default()).await;
    let one = received(&world, &us.account(1), &alice, 1);
    world.accept(&to_abroad(&world, &alice, &us.account(1))).await;
    let refused = received(&world, &us.account(1), &alice, 2);
    let envelope = Envelope {
        messages: vec![one.clone()],
        watermarks: vec![rise(&us.account(1), &alice, 1, &[])],
        rejected: vec![rejected(&refused, RejectionReason::Refused)],
        voids: vec![Void { from: 1, to: 2, reason: VoidReason::NotKept }],
    };
    let mut ahead = us.clone();
    ahead.stream = us.next();
    let mut elsewhen = us.clone();
    elsewhen.stream.since = Some(Timestamp(START.0 + 1));
    for wrong in [before, ahead, elsewhen] {
        assert_eq!(wrong.offer(&world, &envelope).await, Taken::Moved);
    }
    assert_eq!(world.store.inbound(&us.name).await.unwrap(), us.stream);
    assert_eq!(world.inbox(&alice).await, []);
    assert_eq!(world.store.messages(&[one.message.id]).await.unwrap(), []);
    assert_eq!(world.store.get(&[one.message.body]).await.unwrap(), [None]);
    assert_eq!(world.store.voids(&us.name, 9).await.unwrap(), []);
    let event = (Some(refused.message.sender.uuid), refused.message.id.0);
    assert_eq!(world.store.rejections(&us.name, &[event]).await.unwrap(), []);
    // The same with the stream as it is has every effect.
    let (arrivals, risen) = us.take(&world, &envelope).await;
    assert_eq!((arrivals[0].len(), risen.len()), (1, 1));
    assert_eq!(world.inbox(&alice).await.len(), 2);
    subject.close(world.store).await;
}

/// In the same envelope, another one, another incarnation, whatever it says by then.
pub async fn a_repeated_event_has_no_effect<S: Subject>(subject: &S) {
    let world = World::new(subject).await;
    let (alice, bob) = (world.person("alice").await, world.person("bob").await);
    let mut us = Region::new("us.example");
    let first = received(&world, &us.account(1), &alice, 1);
    let (arrivals, _) = us.take(&world, &Envelope::of([first.clone(), first.clone()])).await;
    assert_eq!(arrivals.iter().map(Vec::len).collect::<Vec<_>>(), [1, 0]);
    let other = received(&world, &us.account(1), &bob, 9);
    let message = StoredMessage { id: first.message.id, ..other.message };
    let other = Received { message, ..other };
    let (arrivals, _) = us.take(&world, &Envelope::of([other.clone()])).await;
    assert_eq!(arrivals, [vec![]]);
    let next = us.reopened(START);
    let again = Envelope::of([first.clone(), other.clone()]);
    let taken = us.offer_at(&world, &again, (&next, START)).await;
    let nothing = Taken::Done { arrivals: vec![vec![], vec![]], refused: vec![], risen: vec![] };
    assert_eq!(taken, nothing);
    assert_eq!(world.store.inbound(&us.name).await.unwrap(), next);
    assert_eq!(world.inbox_ids(&alice).await, [first.message.id]);
    assert_eq!(world.inbox(&bob).await, []);
    assert_eq!(world.store.messages(&[first.message.id]).await.unwrap(), [first.message]);
    assert_eq!(world.store.get(&[other.message.body]).await.unwrap(), [None]);
    // Neither did the conversation with Bob begin.
    let reply = Accept {
        after: Some(other.message.stamp),
        ..to_abroad(&world, &bob, &other.message.sender)
    };
    assert_eq!(world.commit(&reply).await, Outcome::Refused(Refusal::AfterUnknown));
    subject.close(world.store).await;
}

/// A region cannot take the ids of others, nor of senders here.
pub async fn ids_belong_to_their_origin_and_sender<S: Subject>(subject: &S) {
    let world = World::new(subject).await;
    let (alice, bob) = (world.person("alice").await, world.person("bob").await);
    let (mut us, mut ap) = (Region::new("us.example"), Region::new("ap.example"));
    let own = world.message(&alice, &bob, START);
    world.accept(&own).await;
    // Senders abroad with the UUID of Alice, and another one, all with the same id.
    let mut all = vec![own.id];
    for region in [&mut us, &mut ap] {
        let twin = AccountId { uuid: alice.uuid(), server: region.name.clone() };
        for sender in [twin, region.account(5)] {
            let one = received(&world, &sender, &bob, 1);
            let message = StoredMessage { id: own.id, ..one.message };
            let one = Received { message, ..one };
            let (arrivals, _) = region.take(&world, &Envelope::of([one])).await;
            assert_eq!(arrivals[0].len(), 1);
            all.push(own.id);
        }
    }
    assert_eq!(world.inbox_ids(&bob).await, all);
    let found = world.store.messages(&[own.id]).await.unwrap();
    let senders: HashSet<AccountId> = found.into_iter().map(|message| message.sender).collect();
    assert_eq!(senders.len(), 5);
    assert!(matches!(world.commit(&own).await, Outcome::Repeated(_)));
    subject.close(world.store).await;
}

/// It is told as long as it is asked for, with the first reason.
pub async fn a_rejected_event_stays_rejected<S: Subject>(subject: &S) {
    let world = World::new(subject).await;
    let alice = world.person("alice").await;
    let (mut us, mut ap) = (Region::new("us.example"), Region::new("ap.example"));
    let one = received(&world, &us.account(1), &alice, 1);
    let other = received(&world, &us.account(1), &alice, 2);
    let own = Rejected { sender: None, id: world.id(), reason: RejectionReason::Unsupported };
    let no = rejected(&one, RejectionReason::TooLarge);
    let refused = Envelope { rejected: vec![no, own, no], ..Envelope::default() };
    us.take(&world, &refused).await;
    let later = rejected(&one, RejectionReason::Expired);
    us.take(&world, &Envelope { rejected: vec![later], ..Envelope::default() }).await;
    let (arrivals, _) = us.take(&world, &Envelope::of([one.clone(), other.clone()])).await;
    assert_eq!(arrivals.iter().map(Vec::len).collect::<Vec<_>>(), [0, 1]);
    assert_eq!(world.inbox_ids(&alice).await, [other.message.id]);
    assert_eq!(world.store.messages(&[one.message.id]).await.unwrap(), []);
    let sender = Some(one.message.sender.uuid);
    let events = [
        (sender, other.message.id.0),
        (None, own.id),
        (sender, own.id),
        (None, one.message.id.0),
        (sender, one.message.id.0),
        (sender, one.message.id.0),
    ];
    let told = world.store.rejections(&us.name, &events).await.unwrap();
    let (large, unsupported) = (RejectionReason::TooLarge, RejectionReason::Unsupported);
    assert_eq!(told, [(1, unsupported), (4, large), (5, large)]);
    assert_eq!(world.store.rejections(&us.name, &[]).await.unwrap(), []);
    // Another region's events are others.
    assert_eq!(world.store.rejections(&ap.name, &events).await.unwrap(), []);
    let twin = AccountId { server: ap.name.clone(), ..one.message.sender.clone() };
    let twin = Received {
        message: StoredMessage { id: one.message.id, ..received(&world, &twin, &alice, 3).message },
        ..one
    };
    let (arrivals, _) = ap.take(&world, &Envelope::of([twin])).await;
    assert_eq!(arrivals[0].len(), 1);
    subject.close(world.store).await;
}

/// Nobody is told both.
pub async fn a_taken_event_is_not_rejected_later<S: Subject>(subject: &S) {
    let world = World::new(subject).await;
    let alice = world.person("alice").await;
    let mut us = Region::new("us.example");
    let one = received(&world, &us.account(1), &alice, 1);
    let both = received(&world, &us.account(1), &alice, 2);
    us.take(&world, &Envelope::of([one.clone()])).await;
    let refusals = |all: [&Received; 2]| all.map(|one| rejected(one, RejectionReason::Refused));
    let envelope = Envelope {
        messages: vec![both.clone()],
        rejected: refusals([&one, &both]).to_vec(),
        ..Envelope::default()
    };
    let (arrivals, _) = us.take(&world, &envelope).await;
    assert_eq!(arrivals[0].len(), 1);
    let events = [&one, &both].map(|one| (Some(one.message.sender.uuid), one.message.id.0));
    assert_eq!(world.store.rejections(&us.name, &events).await.unwrap(), []);
    assert_eq!(world.inbox_ids(&alice).await, [one.message.id, both.message.id]);
    subject.close(world.store).await;
}

/// As [`Ledger::record`] raises them, over numbers that were given, and no higher.
pub async fn watermarks_rise_over_numbers_that_were_given<S: Subject>(subject: &S) {
    let world = World::new(subject).await;
    let alice = world.person("alice").await;
    let mut us = Region::new("us.example");
    let reader = us.account(1);
    for _ in 0..5 {
        world.accept(&to_abroad(&world, &alice, &reader)).await;
    }
    let envelope = |watermarks| Envelope { watermarks, ..Envelope::default() };
    // A message in the same envelope comes first in the inbox.
    let hello = received(&world, &reader, &alice, 1);
    let both = Envelope {
        messages: vec![hello.clone()],
        watermarks: vec![rise(&reader, &alice, 2, &[1]), rise(&reader, &alice, 3, &[])],
        ..Envelope::default()
    };
    let (arrivals, risen) = us.take(&world, &both).await;
    assert_eq!(arrivals[0][0].cursor, Cursor(1));
    let told: Vec<_> = risen.iter().map(|one| (one.watermark.through, one.arrivals[0])).collect();
    let arrival = |previous| Arrival {
        account: alice.uuid(),
        previous: Cursor(previous),
        cursor: Cursor(previous + 1),
    };
    assert_eq!(told, [(2, arrival(1)), (3, arrival(2))]);
    let inbox = world.inbox(&alice).await;
    assert_eq!(inbox.iter().map(|entry| entry.cursor.0).collect::<Vec<_>>(), [1, 3]);
    let EntryKind::Status(status) = &inbox[1].kind else { panic!("{:?}", inbox[1]) };
    assert_eq!((status.through, &status.except[..]), (3, &[1][..]));
    // What is known already, and what nobody sent.
    let (_, risen) = us.take(&world, &envelope(vec![rise(&reader, &alice, 2, &[])])).await;
    assert_eq!(risen, []);
    let (_, risen) = us.take(&world, &envelope(vec![rise(&us.account(2), &alice, 9, &[])])).await;
    assert_eq!(risen, [], "a conversation in which nothing was sent");
    let (_, risen) = us.take(&world, &envelope(vec![rise(&reader, &alice, 99, &[5, 7])])).await;
    let now = &risen[0].watermark;
    assert_eq!((now.through, &now.except[..]), (5, &[1, 5][..]), "number 5 was passed over");
    // What was recorded otherwise counts here, and the other way round.
    world.accept(&to_abroad(&world, &alice, &reader)).await;
    let recorded = rise(&reader, &alice, 6, &[]);
    assert_eq!(world.store.record(&[], core::slice::from_ref(&recorded)).await.unwrap().len(), 1);
    let (_, risen) = us.take(&world, &envelope(vec![recorded])).await;
    assert_eq!(risen, []);
    assert_eq!(world.inbox(&alice).await.len(), 2, "one entry tells the newest");
    subject.close(world.store).await;
}

/// As with local senders; the same sender, conversation and key of another region are others.
pub async fn a_newer_received_entry_replaces_the_one_that_waits<S: Subject>(subject: &S) {
    let world = World::new(subject).await;
    let (alice, bob) = (world.person("alice").await, world.person("bob").await);
    let mut us = Region::new("us.example");
    // Alice's twin abroad, in Alice's conversation.
    let twin = AccountId { uuid: alice.uuid(), server: us.name.clone() };
    let own = world.message(&alice, &bob, START);
    let own = Accept { collapse: Some("k".to_owned()), ..own };
    world.accept(&own).await;
    let make = |number| {
        let one = received(&world, &twin, &bob, number);
        let message = StoredMessage { conversation: own.conversation, ..one.message };
        collapsing("k", Received { message, ..one })
    };
    let all: Vec<Received> = (1..=4).map(make).collect();
    us.take(&world, &Envelope::of([all[0].clone()])).await;
    assert_eq!(world.inbox_ids(&bob).await, [own.id, all[0].message.id]);
    let (arrivals, _) = us.take(&world, &Envelope::of(all[1..].to_vec())).await;
    let cursors: Vec<u64> = arrivals.iter().map(|arrivals| arrivals[0].cursor.0).collect();
    assert_eq!(cursors, [3, 4, 5]);
    assert_eq!(world.inbox_ids(&bob).await, [own.id, all[3].message.id]);
    let newer = Accept { id: MessageId(world.id()), body: world.body(START), ..own };
    world.accept(&newer).await;
    assert_eq!(world.inbox_ids(&bob).await, [all[3].message.id, newer.id]);
    let mut gone: Vec<_> = all[..3].iter().map(|one| one.message.body).chain([own.body]).collect();
    gone.sort_unstable();
    let mut trimmed = world.store.trim(&Cutoffs::at(START), 100).await.unwrap();
    trimmed.unreferenced.sort_unstable();
    assert_eq!(trimmed.unreferenced, gone);
    subject.close(world.store).await;
}

/// As with local senders, but it is the origin that tells its sender.
pub async fn a_full_inbox_rejects_what_comes_from_abroad<S: Subject>(subject: &S) {
    let world = World::new(subject).await;
    let (alice, bob) = (world.person("alice").await, world.person("bob").await);
    let mut us = Region::new("us.example");
    let sized =
        |number, size| Received { size, ..received(&world, &us.account(1), &alice, number) };
    let (large, small) = (sized(1, MAX_INBOX_BYTES - 50), sized(2, 50));
    let (over, also) = (sized(3, 1), sized(4, 7));
    // What waits for two goes to the one whose inbox has room.
    let recipients = vec![alice.uuid(), bob.uuid()];
    let both = Received { recipients, ..sized(5, 9) };
    let refused = |places: &[usize]| -> Vec<(usize, RejectionReason)> {
        places.iter().map(|place| (*place, RejectionReason::QueueFull)).collect()
    };
    let envelope = Envelope::of([large.clone(), small.clone(), over.clone(), both.clone()]);
    let next = us.next();
    let Taken::Done { arrivals, refused: told, .. } =
        us.offer_at(&world, &envelope, (&next, START)).await
    else {
        panic!("the stream is as expected")
    };
    us.stream = next;
    assert_eq!(arrivals.iter().map(Vec::len).collect::<Vec<_>>(), [1, 1, 0, 1]);
    assert_eq!(told, refused(&[2]));
    assert_eq!(world.inbox_ids(&bob).await, [both.message.id]);
    let name = |one: &Received| (Some(one.message.sender.uuid), one.message.id.0);
    let told = world.store.rejections(&us.name, &[name(&over), name(&small)]).await.unwrap();
    assert_eq!(told, refused(&[0]));
    assert_eq!(world.store.get(&[over.message.body]).await.unwrap(), [None]);
    // Local senders see the same inbox.
    let own = Accept { size: 1, ..world.message(&bob, &alice, START) };
    assert_eq!(world.commit(&own).await, Outcome::Refused(Refusal::QueueFull));
    // The verdict stands when there is room again, and also in another incarnation.
    let later = START.plus_millis(RETENTION_MS + 1);
    while world.store.trim(&Cutoffs::at(later), 100).await.unwrap().more {}
    let next = us.reopened(later);
    let again = Envelope::of([over.clone(), also.clone()]);
    let Taken::Done { arrivals, refused: told, .. } =
        us.offer_at(&world, &again, (&next, later)).await
    else {
        panic!("the stream is as expected")
    };
    assert_eq!((arrivals[0].len(), arrivals[1].len()), (0, 1));
    assert_eq!(told, refused(&[0]));
    assert_eq!(world.inbox_ids(&alice).await, [also.message.id]);
    subject.close(world.store).await;
}

/// Also if the second message comes from there.
pub async fn messages_both_ways_make_acquaintances<S: Subject>(subject: &S) {
    let world = World::new(subject).await;
    let (alice, bob) = (world.person("alice").await, world.person("bob").await);
    let mut us = Region::new("us.example");
    let (friend, other) = (us.account(1), us.account(2));
    let known = async |abroad: &AccountId| {
        world.store.acquaintances(abroad, Uuid::nil(), 10).await.unwrap()
    };
    us.take(&world, &Envelope::of([received(&world, &friend, &alice, 1)])).await;
    world.accept(&to_abroad(&world, &bob, &friend)).await;
    assert!(known(&friend).await.is_empty(), "one way each");
    world.accept(&to_abroad(&world, &alice, &friend)).await;
    assert_eq!(known(&friend).await, [alice.uuid()]);
    us.take(&world, &Envelope::of([received(&world, &friend, &bob, 2)])).await;
    let mut both = [alice.uuid(), bob.uuid()];
    both.sort_unstable();
    assert_eq!(known(&friend).await, both);
    assert!(known(&other).await.is_empty());
    let twin = AccountId { server: server(), ..friend };
    assert!(known(&twin).await.is_empty(), "somebody here");
    subject.close(world.store).await;
}

/// Stamps of both regions are in one order, and each region's numbers are its own.
pub async fn received_stamps_count_in_the_conversation<S: Subject>(subject: &S) {
    let world = World::new(subject).await;
    let alice = world.person("alice").await;
    let mut us = Region::new("us.example");
    let friend = us.account(1);
    let ahead = received(&world, &friend, &alice, 5_000);
    let conversation = ahead.message.conversation;
    let mutual = async || world.store.mutual(&[conversation]).await.unwrap()[0];
    let reply = |after: Stamp| Accept { after: Some(after), ..to_abroad(&world, &alice, &friend) };
    let unknown = reply(ahead.message.stamp);
    assert_eq!(world.commit(&unknown).await, Outcome::Refused(Refusal::AfterUnknown));
    us.take(&world, &Envelope::of([ahead.clone()])).await;
    assert!(!mutual().await);
    // Later ones that lie before it change nothing.
    us.take(&world, &Envelope::of([received(&world, &friend, &alice, 3)])).await;
    let later = reply(Stamp(ahead.message.stamp.0 + 1));
    assert_eq!(world.commit(&later).await, Outcome::Refused(Refusal::AfterUnknown));
    let accepted = world.accept(&unknown).await;
    assert!(accepted.stamp > ahead.message.stamp);
    assert_eq!(accepted.origin_number, 1, "numbers of this region are its own");
    assert!(mutual().await);
    // And the other way round, where this region spoke first.
    let stranger = us.account(2);
    world.accept(&to_abroad(&world, &alice, &stranger)).await;
    let answer = received(&world, &stranger, &alice, 1);
    let talk = answer.message.conversation;
    assert_eq!(world.store.mutual(&[talk]).await.unwrap(), [false]);
    us.take(&world, &Envelope::of([answer])).await;
    assert_eq!(world.store.mutual(&[talk]).await.unwrap(), [true]);
    let next = world.accept(&to_abroad(&world, &alice, &stranger)).await;
    assert_eq!(next.origin_number, 2);
    subject.close(world.store).await;
}

/// As many as an envelope can hold, half of them repetitions.
pub async fn a_thousand_messages_come_in_one_envelope<S: Subject>(subject: &S) {
    let world = World::new(subject).await;
    let mut people = Vec::new();
    for n in 0..7 {
        people.push(world.person(&format!("p{n}")).await);
    }
    let mut us = Region::new("us.example");
    let to = |n: usize| &people[n % people.len()];
    let all: Vec<Received> = (0..1_000)
        .map(|n| received(&world, &us.account(n as u128 % 5), to(n), n as u64 + 1))
        .collect();
    us.take(&world, &Envelope::of(all.iter().step_by(2).cloned())).await;
    let refused: Vec<Rejected> = (0..300)
        .map(|_| Rejected { sender: None, id: world.id(), reason: RejectionReason::Expired })
        .collect();
    let envelope =
        Envelope { messages: all.clone(), rejected: refused.clone(), ..Envelope::default() };
    let (arrivals, _) = us.take(&world, &envelope).await;
    let counts: Vec<usize> = arrivals.iter().map(Vec::len).collect();
    assert_eq!(counts, (0..1_000).map(|n| n % 2).collect::<Vec<_>>());
    let mut found = 0;
    for (n, person) in people.iter().enumerate() {
        let want: BTreeSet<MessageId> =
            all.iter().skip(n).step_by(people.len()).map(|one| one.message.id).collect();
        let ids = world.inbox_ids(person).await;
        found += ids.len();
        assert_eq!(ids.into_iter().collect::<BTreeSet<_>>(), want);
    }
    assert_eq!(found, 1_000);
    let events: Vec<(Option<Uuid>, Uuid)> = refused.iter().map(|one| (None, one.id)).collect();
    assert_eq!(world.store.rejections(&us.name, &events).await.unwrap().len(), 300);
    subject.close(world.store).await;
}

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

/// The newest first; older ones than so many are gone.
pub async fn voids_are_listed<S: Subject>(subject: &S) {
    let world = World::new(subject).await;
    let (mut us, mut ap) = (Region::new("us.example"), Region::new("ap.example"));
    assert_eq!(world.store.voids(&us.name, 9).await.unwrap(), []);
    let void = |from, reason| Void { from, to: from + 2, reason };
    let reasons = [VoidReason::NotKept, VoidReason::Refused, VoidReason::Other(77)];
    for (n, reason) in reasons.into_iter().enumerate() {
        let voids = vec![void(n as u64 * 10 + 1, reason), void(n as u64 * 10 + 4, reason)];
        us.take_at(&world, &Envelope { voids, ..Envelope::default() }, Timestamp(n as u64)).await;
    }
    let listed = world.store.voids(&us.name, 9).await.unwrap();
    let of = |from, reason, at| (Lane::Messages, void(from, reason), Timestamp(at));
    let want = [
        of(24, reasons[2], 2),
        of(21, reasons[2], 2),
        of(14, reasons[1], 1),
        of(11, reasons[1], 1),
        of(4, reasons[0], 0),
        of(1, reasons[0], 0),
    ];
    assert_eq!(listed, want);
    assert_eq!(world.store.voids(&us.name, 2).await.unwrap(), want[..2]);
    let many = MAX_VOIDS as u64 + 1_500;
    for start in (1..=many).step_by(1_000) {
        let end = (start + 1_000).min(many + 1);
        let voids = (start..end).map(|n| Void { from: n, to: n, reason: VoidReason::NotKept });
        ap.take(&world, &Envelope { voids: voids.collect(), ..Envelope::default() }).await;
    }
    let listed = world.store.voids(&ap.name, 20_000).await.unwrap();
    assert_eq!(listed.len(), MAX_VOIDS);
    assert_eq!((listed[0].1.from, listed[MAX_VOIDS - 1].1.from), (many, 1_501));
    assert_eq!(world.store.voids(&us.name, 9).await.unwrap().len(), 6, "of each origin");
    subject.close(world.store).await;
}

/// What other regions sent goes with ids, by the clock of this region: theirs neither keeps anything
/// nor takes it away.
pub async fn verdicts_are_forgotten_with_ids<S: Subject>(subject: &S) {
    let world = World::new(subject).await;
    let (alice, bob) = (world.person("alice").await, world.person("bob").await);
    let mut us = Region::new("us.example");
    let dated = |accepted_at| {
        let one = received(&world, &us.account(1), &alice, 1);
        Received { message: StoredMessage { accepted_at, ..one.message }, ..one }
    };
    let (ahead, past) = (dated(Timestamp(u64::MAX >> 1)), dated(Timestamp(1)));
    let refused: Vec<Rejected> = (0..5)
        .map(|_| Rejected { sender: None, id: world.id(), reason: RejectionReason::Refused })
        .collect();
    let void = |from| Void { from, to: from, reason: VoidReason::NotKept };
    let envelope = Envelope {
        messages: vec![ahead.clone(), past.clone()],
        rejected: refused.clone(),
        voids: (1..=5).map(void).collect(),
        ..Envelope::default()
    };
    us.take(&world, &envelope).await;
    let own = world.message(&alice, &bob, START);
    world.accept(&own).await;
    let end = START.plus_millis(RETENTION_MS + ID_MEMORY_MS);
    let young = Envelope {
        rejected: vec![rejected(
            &received(&world, &us.account(1), &bob, 9),
            RejectionReason::Expired,
        )],
        voids: vec![void(6)],
        ..Envelope::default()
    };
    us.take_at(&world, &young, end).await;
    let events: Vec<(Option<Uuid>, Uuid)> = refused
        .iter()
        .map(|one| (one.sender, one.id))
        .chain(young.rejected.iter().map(|one| (one.sender, one.id)))
        .collect();
    let left = async || {
        let ids = [ahead.message.id, past.message.id, own.id];
        let messages = world.store.messages(&ids).await.unwrap().len();
        let rejections = world.store.rejections(&us.name, &events).await.unwrap().len();
        (messages, rejections, world.store.voids(&us.name, 99).await.unwrap().len())
    };
    trim(&world, end).await;
    assert_eq!(left().await, (3, 6, 6), "one ms too early");
    trim(&world, end.plus_millis(1)).await;
    assert_eq!(left().await, (0, 1, 1));
    subject.close(world.store).await;
}

/// Trims in small rounds until nothing more goes.
async fn trim<S: Store>(world: &World<S>, now: Timestamp) {
    for _ in 0..100 {
        if !world.store.trim(&Cutoffs::at(now), 2).await.unwrap().more {
            // Ids of messages whose entries went in this pass go in the next one.
            let all = world.store.trim(&Cutoffs::at(now), 100).await.unwrap();
            assert_eq!(Trimmed { messages: 0, ..all }, Trimmed::default());
            return;
        }
    }
    panic!("trimming never ends");
}
