//! Nobody can write for somebody else, and each kind of fault has its reason.

use posthouse_protocol::{
    content::{Content, Payload},
    federation::event::EventBody,
    id::{DeviceNumber, GroupId},
    rest::Writers,
    status::Seen,
};
use posthouse_storage::people::Stance;
use proptest::prelude::*;

use super::*;

const NOW: Timestamp = Timestamp(1_800_000_000_000);

fn name(text: &str) -> ServerName {
    ServerName::parse(text).unwrap()
}

fn account(n: u128, server: &str) -> AccountId {
    AccountId { uuid: Uuid::from_u128(n), server: name(server) }
}

fn judge(record: &EventRecord) -> Verdict {
    let (origin, own) = (name("north.test"), name("south.test"));
    let judge = Judge { origin: &origin, own: &own, allow_unencrypted: true, now: NOW };
    judge.judge(record, &recipients(None), BodyId([7; 16]))
}

/// 2@south.test, who thinks this of 1@north.test.
fn recipients(relation: Option<Relation>) -> Recipients {
    let key = (Uuid::from_u128(2), account(1, "north.test"));
    Recipients {
        existing: HashSet::from([Uuid::from_u128(2)]),
        relations: relation.map(|relation| (key, relation)).into_iter().collect(),
        groups: HashMap::new(),
    }
}

/// A message from 1@north.test to 2@south.test.
fn message() -> EventRecord {
    let (sender, recipient) = (account(1, "north.test"), account(2, "south.test"));
    let mut event = Event {
        conversation: Some(ConversationId::direct(&sender, &recipient)),
        sender_device: Some(DeviceNumber::FIRST),
        recipients: vec![recipient.uuid],
        stamp: Some(Stamp::next(NOW, None, None)),
        origin_number: Some(1),
        ..Event::new(EventKind::Message, EventClass::Message)
    };
    let payload = Payload::Body("x".into());
    let content = Content { kind: "text".into(), encrypted: false, payload };
    message::put(&mut event, &content, &recipient.server).unwrap();
    EventRecord { id: Uuid::from_u128(9), sender: Some(sender.uuid), event: Ok(event) }
}

fn changed(change: impl FnOnce(&mut Event)) -> EventRecord {
    let mut record = message();
    if let Ok(event) = &mut record.event {
        change(event);
    }
    record
}

fn rejection(record: &EventRecord) -> RejectionReason {
    match judge(record) {
        Verdict::Rejected(reason) => reason,
        other => panic!("taken: {other:?}"),
    }
}

#[test]
fn a_message_is_taken_as_it_was_sent() {
    let Verdict::Message(received, content) = judge(&message()) else { panic!("not taken") };
    assert_eq!(received.message.sender, account(1, "north.test"));
    assert_eq!(received.recipients, [Uuid::from_u128(2)]);
    assert_eq!(received.message.device_number, Some(DeviceNumber::FIRST));
    assert_eq!(&content[..], br#"{"type":"text","encrypted":false,"body":"x"}"#);
    let sides = [side(&received.message.sender, &account(2, "south.test"))];
    assert_eq!(sides, [1], "north sorts before south for these ids");
}

#[test]
fn who_is_not_heard_is_discarded_or_refused() {
    let (origin, own) = (name("north.test"), name("south.test"));
    let judge = Judge { origin: &origin, own: &own, allow_unencrypted: true, now: NOW };
    let known = Relation {
        stance: Stance::Known,
        blocked: false,
        writers: Writers::Contacts,
        has_spoken: true,
    };
    let verdict = |relation| judge.judge(&message(), &recipients(Some(relation)), BodyId([7; 16]));
    assert!(matches!(verdict(known), Verdict::Message(one, _) if !one.discard));
    let Verdict::Message(discarded, content) = verdict(Relation { blocked: true, ..known }) else {
        panic!("not taken")
    };
    assert!(discarded.discard && content.is_empty());
    let stranger = Relation { stance: Stance::Stranger, ..known };
    for blocked in [false, true] {
        let refused = verdict(Relation { blocked, ..stranger });
        assert!(matches!(refused, Verdict::Rejected(RejectionReason::Refused)));
    }
    let open = Relation { writers: Writers::Everyone, ..stranger };
    assert!(matches!(verdict(open), Verdict::Request(one, _) if !one.discard));
    let declined = verdict(Relation { stance: Stance::Declined, ..open });
    assert!(matches!(declined, Verdict::Message(one, _) if one.discard));
}

#[test]
fn every_fault_has_its_reason() {
    use RejectionReason::{Expired, Malformed, Refused, UnknownRecipient, Unsupported};
    let stranger = ConversationId::direct(&account(3, "south.test"), &account(2, "south.test"));
    let ahead = Stamp::next(NOW.plus_millis(MAX_AHEAD_MS + 1_000), None, None);
    let two = vec![Uuid::from_u128(2), Uuid::from_u128(3)];
    let cases: Vec<(EventRecord, RejectionReason)> = vec![
        (changed(|e| e.conversation = Some(stranger)), Malformed),
        (changed(|e| e.conversation = None), Malformed),
        (changed(|e| e.recipients = two), Malformed),
        (changed(|e| e.recipients = vec![Uuid::from_u128(3)]), Malformed),
        (changed(|e| e.expires = Some(NOW)), Expired),
        (changed(|e| e.stamp = Some(ahead)), Refused),
        (changed(|e| e.bodies.clear()), Malformed),
        (changed(|e| e.class = EventClass::Ephemeral), Malformed),
        (changed(|e| e.payload_version = 9), Unsupported),
        (changed(|e| e.kind = EventKind::Other(99)), Unsupported),
        (changed(|e| e.kind = EventKind::Presence), Unsupported),
        (EventRecord { sender: None, ..message() }, Malformed),
    ];
    for (number, (record, reason)) in cases.iter().enumerate() {
        assert_eq!(rejection(record), *reason, "case {number}");
    }
    let (sender, nobody) = (account(1, "north.test"), account(5, "south.test"));
    let unknown = changed(|event| {
        event.conversation = Some(ConversationId::direct(&sender, &nobody));
        event.recipients = vec![nobody.uuid];
    });
    assert_eq!(rejection(&unknown), UnknownRecipient);
}

/// The origin's clock may be wrong by any amount.
#[test]
fn no_absurd_time_of_acceptance_is_shown() {
    let shown = |accepted_at: Option<u64>| {
        let record = changed(|event| event.accepted_at = accepted_at.map(Timestamp));
        let Verdict::Message(received, _) = judge(&record) else { panic!("not taken") };
        let message = received.message;
        assert_eq!(message.client_timestamp, message.accepted_at, "the client gave none");
        message.accepted_at.0
    };
    let (minute, day) = (60_000, 24 * 3_600_000);
    let (back, ahead) = (NOW.0 - 37 * day, NOW.0 + 5 * minute);
    assert_eq!(shown(None), NOW.0);
    for just in [back, NOW.0 - 29 * day, NOW.0, ahead] {
        assert_eq!(shown(Some(just)), just);
    }
    for early in [0, 1, back - 1] {
        assert_eq!(shown(Some(early)), back);
    }
    for late in [ahead + 1, NOW.0 + 20 * day, u64::MAX] {
        assert_eq!(shown(Some(late)), ahead);
    }
}

#[test]
fn a_region_that_takes_no_plain_contents_takes_none_from_others() {
    let (origin, own) = (name("north.test"), name("south.test"));
    let judge = Judge { origin: &origin, own: &own, allow_unencrypted: false, now: NOW };
    let verdict = judge.judge(&message(), &recipients(None), BodyId([7; 16]));
    assert!(matches!(verdict, Verdict::Rejected(RejectionReason::Refused)), "{verdict:?}");
}

#[test]
fn a_watermark_counts_this_regions_numbers() {
    let mark = payload::Watermark { seen: Seen::Read, through: 7, except: vec![3] };
    let record = changed(|event| {
        event.kind = EventKind::Watermark;
        event.class = EventClass::Receipt;
        event.bodies = vec![EventBody::for_all(mark.encode())];
    });
    let Verdict::Watermark(rise) = judge(&record) else { panic!("not taken") };
    assert_eq!(rise.watermark.origin, name("south.test"));
    assert_eq!(rise.watermark.reader, account(1, "north.test"));
    assert_eq!((rise.watermark.through, rise.watermark.except), (7, vec![3]));
    assert_eq!(rise.tell, [Uuid::from_u128(2)]);
}

proptest! {
    /// Whatever a peer puts into an event: its effect is by one of its own people, for one of ours,
    /// in the conversation of those two.
    #[test]
    fn effects_stay_between_sender_and_recipient(
        sender: u128, recipient: u128, conversation: [u8; 16], is_right: bool, kind in 1_u16..6,
    ) {
        let (from, to) = (account(sender, "north.test"), account(recipient, "south.test"));
        let right = ConversationId::direct(&from, &to);
        let mut record = changed(|event| {
            event.recipients = vec![to.uuid];
            event.conversation = Some(if is_right { right } else { ConversationId(conversation) });
            if kind == 2 {
                let mark = payload::Watermark { seen: Seen::Delivered, through: 1, except: vec![] };
                event.kind = EventKind::Watermark;
                event.bodies = vec![EventBody::for_all(mark.encode())];
            }
        });
        record.sender = Some(from.uuid);
        let (origin, own) = (name("north.test"), name("south.test"));
        let judge = Judge { origin: &origin, own: &own, allow_unencrypted: true, now: NOW };
        let existing = HashSet::from([to.uuid]);
        let known = Recipients { existing, ..Recipients::default() };
        match judge.judge(&record, &known, BodyId([7; 16])) {
            Verdict::Message(received, _) | Verdict::Request(received, _) => {
                prop_assert_eq!(received.message.conversation, right);
                prop_assert_eq!(&received.message.sender, &from);
                prop_assert_eq!(received.recipients, vec![to.uuid]);
            }
            Verdict::Watermark(rise) => {
                prop_assert_eq!(rise.watermark.conversation, right);
                prop_assert_eq!(&rise.watermark.reader, &from);
                prop_assert_eq!(rise.tell, vec![to.uuid]);
            }
            Verdict::Gone(_) => prop_assert!(false, "it says nothing of the kind"),
            Verdict::Rejected(_) => prop_assert!(!is_right),
        }
    }
}

const GROUP: &str = "g.00000000-0000-0000-0000-000000000063@north.test";

/// At epoch 9: 1@north.test since 1, 2@south.test since 1, 3@south.test since 8.
fn group() -> Recipients {
    use posthouse_crypto::e2ee::{
        primitives::curve::KeyPair,
        signed::group_epoch::{GroupParts, GroupRole, GroupState, Member},
    };
    use rand::{SeedableRng, rngs::StdRng};
    use std::collections::BTreeMap;
    let id = GroupId::parse(GROUP).unwrap();
    let identity = KeyPair::generate(&mut StdRng::seed_from_u64(1)).public;
    let member = |joined| Member { identity, role: GroupRole::Member, joined };
    let people = [
        (account(1, "north.test"), 1),
        (account(2, "south.test"), 1),
        (account(3, "south.test"), 8),
    ];
    let members = people.iter().map(|(one, joined)| (one.to_string(), member(*joined)));
    let state = GroupState::restore(GroupParts {
        group: GROUP.to_owned(),
        epoch: 9,
        hash: [0; 32],
        region: "north.test".to_owned(),
        title: Vec::new(),
        members: members.collect(),
        invited: BTreeMap::new(),
        deputies: Vec::new(),
    });
    let here =
        people.into_iter().map(|(one, _)| one).filter(|one| one.server == name("south.test"));
    let local = here.map(|account| {
        let local = crate::groups::LocalPerson { account, is_hidden: false, has_left: false };
        (local.account.to_string(), local)
    });
    let (local, derived) = (local.collect(), crate::groups::Derived::default());
    let known = Arc::new(Known { id: id.clone(), state, local, departures: 0, derived });
    let groups = HashMap::from([(ConversationId::group(&id), known)]);
    Recipients { groups, ..recipients(None) }
}

fn to_group(change: impl FnOnce(&mut Event)) -> Verdict {
    let (origin, own) = (name("north.test"), name("south.test"));
    let judge = Judge { origin: &origin, own: &own, allow_unencrypted: true, now: NOW };
    let id = GroupId::parse(GROUP).unwrap();
    let record = changed(|event| {
        event.conversation = Some(ConversationId::group(&id));
        event.group = Some(id);
        event.recipients = Vec::new();
        event.epoch = Some(9);
        change(event);
    });
    judge.judge(&record, &group(), BodyId([7; 16]))
}

/// A region tells members what its own members have read, and nobody else.
#[test]
fn a_watermark_of_a_group_is_told_to_members() {
    let (origin, own) = (name("north.test"), name("south.test"));
    let judge = Judge { origin: &origin, own: &own, allow_unencrypted: true, now: NOW };
    let mark = payload::Watermark { seen: Seen::Delivered, through: 7, except: vec![] };
    let record = changed(|event| {
        event.kind = EventKind::Watermark;
        event.class = EventClass::Receipt;
        event.conversation = Some(ConversationId::group(&GroupId::parse(GROUP).unwrap()));
        event.recipients = vec![Uuid::from_u128(2), Uuid::from_u128(4)];
        event.bodies = vec![EventBody::for_all(mark.encode())];
    });
    let existing = [2, 3, 4].map(Uuid::from_u128).into();
    let known = Recipients { existing, ..group() };
    let verdict = judge.judge(&record, &known, BodyId([7; 16]));
    let Verdict::Watermark(rise) = verdict else { panic!("not taken: {verdict:?}") };
    assert_eq!(rise.tell, [Uuid::from_u128(2)], "the other one exists, and is no member");
}

#[test]
fn a_message_to_a_group_is_for_those_who_were_and_are_members() {
    let people = |epoch| match to_group(|event| event.epoch = Some(epoch)) {
        Verdict::Message(received, _) => {
            assert_eq!((received.side, received.message.to.as_str()), (0, GROUP));
            received.recipients
        }
        other => panic!("not taken: {other:?}"),
    };
    let (two, three) = (Uuid::from_u128(2), Uuid::from_u128(3));
    assert_eq!(people(9), [two, three]);
    assert_eq!(people(8), [two, three]);
    assert_eq!(people(7), [two], "the third joined later");
    // Keys name whom they are for; nobody else gets them.
    let keys = to_group(|event| {
        event.class = EventClass::Key;
        event.recipients = vec![three, Uuid::from_u128(4)];
    });
    let Verdict::Message(received, _) = keys else { panic!("not taken: {keys:?}") };
    assert_eq!(received.recipients, [three]);
}

#[test]
fn what_is_wrong_about_a_group_is_rejected() {
    let refused = |change: fn(&mut Event)| match to_group(change) {
        Verdict::Rejected(reason) => reason,
        other => panic!("taken: {other:?}"),
    };
    assert_eq!(refused(|event| event.epoch = None), RejectionReason::Malformed);
    assert_eq!(refused(|event| event.epoch = Some(10)), RejectionReason::Refused);
    let other = "g.00000000-0000-0000-0000-000000000064@north.test";
    let other = GroupId::parse(other).unwrap();
    let elsewhere = to_group(|event| {
        event.conversation = Some(ConversationId::group(&other));
        event.group = Some(other.clone());
    });
    assert!(matches!(elsewhere, Verdict::Rejected(RejectionReason::UnknownRecipient)));
    let mixed = to_group(|event| event.group = Some(other.clone()));
    assert!(matches!(mixed, Verdict::Rejected(RejectionReason::Malformed)));
    // Who is no member, and who is nobody.
    let (origin, own) = (name("north.test"), name("south.test"));
    let judge = Judge { origin: &origin, own: &own, allow_unencrypted: true, now: NOW };
    let id = GroupId::parse(GROUP).unwrap();
    for (sender, reason) in [
        (Some(Uuid::from_u128(5)), RejectionReason::Refused),
        // 2@south.test is a member, 2@north.test is not.
        (Some(Uuid::from_u128(2)), RejectionReason::Refused),
        (None, RejectionReason::Malformed),
    ] {
        let mut record = changed(|event| {
            event.conversation = Some(ConversationId::group(&id));
            event.group = Some(id.clone());
            event.epoch = Some(9);
        });
        record.sender = sender;
        let verdict = judge.judge(&record, &group(), BodyId([7; 16]));
        let Verdict::Rejected(found) = verdict else { panic!("taken: {verdict:?}") };
        assert_eq!(found, reason);
    }
}

/// A region says of its own accounts that they are gone, and of nobody else's.
#[test]
fn a_region_says_that_its_own_account_is_gone() {
    let gone = |sender: Option<u128>, recipients| EventRecord {
        id: Uuid::from_u128(9),
        sender: sender.map(Uuid::from_u128),
        event: Ok(Event { recipients, ..Event::new(EventKind::Gone, EventClass::Control) }),
    };
    let Verdict::Gone(account) = judge(&gone(Some(2), Vec::new())) else { panic!("not taken") };
    assert_eq!(account, self::account(2, "north.test"), "whoever has that id here");
    for wrong in [gone(None, Vec::new()), gone(Some(2), vec![Uuid::from_u128(2)])] {
        let verdict = judge(&wrong);
        assert!(matches!(verdict, Verdict::Rejected(RejectionReason::Malformed)), "{verdict:?}");
    }
}
