//! What comes from other regions.

use std::collections::{BTreeSet, HashSet};

use posthouse_protocol::{
    cursor::Cursor,
    federation::{
        receipt::RejectionReason,
        record::{Void, VoidReason},
    },
    frame::Class,
    id::{AccountId, ConversationId, DeviceNumber, MessageId},
    status::Reached,
    time::{Stamp, Timestamp},
};
use uuid::Uuid;

use super::{
    Store, Subject,
    abroad::{Envelope, Region, received, rejected, reported},
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
    reception::{InboundStream, Received, Rejected, Taken},
    retention::Cutoffs,
};

fn collapsing(key: &str, one: Received) -> Received {
    let message = StoredMessage { collapse: Some(key.to_owned()), ..one.message };
    Received { message, ..one }
}

/// A reader abroad has got this far with what this region sent.
pub(super) fn rise(
    reader: &AccountId,
    told: &Person,
    through: u64,
    except: &[u64],
) -> WatermarkRise {
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
pub(super) fn to_abroad<S: Store>(world: &World<S>, from: &Person, to: &AccountId) -> Accept {
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
        watermarks: vec![reported(&world, rise(&us.account(1), &alice, 1, &[]))],
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
    let (arrivals, risen, rejected) = (vec![vec![], vec![]], vec![], vec![]);
    assert_eq!(taken, Taken::Done { arrivals, risen, rejected });
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

/// Under the same lock, so that nobody has to ask: what stands rejected of an envelope, whichever
/// envelope rejected it; a watermark too.
pub async fn a_reception_tells_what_stands_rejected<S: Subject>(subject: &S) {
    let world = World::new(subject).await;
    let alice = world.person("alice").await;
    let mut us = Region::new("us.example");
    let told = async |us: &mut Region, envelope: &Envelope| {
        let next = us.next();
        let taken = us.offer_at(&world, envelope, (&next, START)).await;
        let Taken::Done { arrivals, risen, mut rejected } = taken else { panic!("{taken:?}") };
        us.stream = next;
        rejected.sort_unstable_by_key(|one| (one.id, one.sender));
        (arrivals.iter().map(Vec::len).sum::<usize>(), risen.len(), rejected)
    };
    let reader = us.account(1);
    world.accept(&to_abroad(&world, &alice, &reader)).await;
    let (one, good) = (received(&world, &reader, &alice, 1), received(&world, &reader, &alice, 2));
    let mark = reported(&world, rise(&reader, &alice, 1, &[]));
    let no = |id, sender| Rejected { sender, id, reason: RejectionReason::UnknownRecipient };
    let mut first = vec![
        no(one.message.id.0, Some(reader.uuid)),
        no(mark.id, Some(reader.uuid)),
        no(world.id(), None),
    ];
    let refused = Envelope { rejected: first.clone(), ..Envelope::default() };
    first.sort_unstable_by_key(|one| (one.id, one.sender));
    assert_eq!(told(&mut us, &refused).await, (0, 0, first.clone()));
    // By now all of them could be taken, or would be rejected for another reason.
    let later = first.iter().filter(|one| one.sender.is_none());
    let later = later.map(|one| Rejected { reason: RejectionReason::Expired, ..*one });
    let again = Envelope {
        messages: vec![one.clone(), good.clone()],
        watermarks: vec![mark],
        rejected: later.collect(),
        voids: vec![],
    };
    assert_eq!(told(&mut us, &again).await, (1, 0, first));
    assert_eq!(world.inbox_ids(&alice).await, [good.message.id]);
    // What was taken is never told as rejected.
    let late = rejected(&good, RejectionReason::Expired);
    let late = Envelope { rejected: vec![late], ..Envelope::default() };
    assert_eq!(told(&mut us, &late).await, (0, 0, vec![]));
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
    let envelope =
        |rise| Envelope { watermarks: vec![reported(&world, rise)], ..Envelope::default() };
    // A message in the same envelope comes first in the inbox.
    let hello = received(&world, &reader, &alice, 1);
    let both = Envelope {
        messages: vec![hello.clone()],
        watermarks: [rise(&reader, &alice, 2, &[1]), rise(&reader, &alice, 3, &[])]
            .map(|rise| reported(&world, rise))
            .to_vec(),
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
    let (_, risen) = us.take(&world, &envelope(rise(&reader, &alice, 2, &[]))).await;
    assert_eq!(risen, []);
    let (_, risen) = us.take(&world, &envelope(rise(&us.account(2), &alice, 9, &[]))).await;
    assert_eq!(risen, [], "a conversation in which nothing was sent");
    let (_, risen) = us.take(&world, &envelope(rise(&reader, &alice, 99, &[5, 7]))).await;
    let now = &risen[0].watermark;
    assert_eq!((now.through, &now.except[..]), (5, &[1, 5][..]), "number 5 was passed over");
    // What was recorded otherwise counts here, and the other way round.
    world.accept(&to_abroad(&world, &alice, &reader)).await;
    let recorded = rise(&reader, &alice, 6, &[]);
    assert_eq!(world.store.record(&[], core::slice::from_ref(&recorded)).await.unwrap().len(), 1);
    let (_, risen) = us.take(&world, &envelope(recorded)).await;
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
    let regions = world.store.acquainted_regions(alice.uuid(), 10).await.unwrap();
    assert_eq!(regions, [us.name.clone()]);
    let nowhere = world.store.acquainted_regions(Uuid::from_u128(1), 10).await.unwrap();
    assert_eq!(nowhere, []);
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
