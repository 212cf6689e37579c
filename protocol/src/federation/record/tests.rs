//! Tests of records and events: round trip, one encoding per value, no panic on changed input.

use proptest::{collection::vec, option, prelude::*};

use super::{
    super::event::{BodyDevice, EventBody, EventClass, EventKind},
    *,
};
use crate::{
    id::{ConversationId, DeviceNumber, GroupId, RegistrationId},
    time::{Stamp, Timestamp},
};

fn uuids() -> impl Strategy<Value = Uuid> {
    any::<[u8; 16]>().prop_map(Uuid::from_bytes)
}

prop_compose! {
    fn bodies(recipients: u16)(
        data in vec(any::<u8>(), 0..40),
        device in option::of((0..recipients, 1_u8..=127, 0_u32..16_384, any::<u8>())),
    ) -> EventBody {
        let device = device.map(|(recipient, device, registration, kind)| BodyDevice {
            recipient,
            device: DeviceNumber::try_from(device).unwrap(),
            registration: RegistrationId::try_from(registration).unwrap(),
            kind,
        });
        EventBody { data, device }
    }
}

prop_compose! {
    pub(crate) fn events()(
        kind in prop_oneof![Just(EventKind::Message), Just(EventKind::Watermark), Just(EventKind::Other(900))],
        class in prop_oneof![Just(EventClass::Message), Just(EventClass::Ephemeral)],
        conversation: [u8; 16],
        device in option::of(1_u8..=127),
        recipients in vec(uuids(), 1..4),
        stamp: u64,
        numbers in (any::<u64>(), option::of(any::<u64>()), option::of(any::<u64>()), option::of(any::<u64>())),
        collapse in option::of("[a-z]{1,64}"),
        content_type in option::of("[a-z]{1,64}"),
        group in option::of(uuids()),
        bodies in vec(bodies(1), 0..4),
        expires in option::of(any::<u64>()),
        encrypted in option::of(any::<bool>()),
    ) -> Event {
        let server = crate::id::ServerName::parse("south.test").unwrap();
        Event {
            payload_version: 1,
            conversation: Some(ConversationId(conversation)),
            sender_device: device.map(|number| DeviceNumber::try_from(number).unwrap()),
            recipients,
            stamp: Some(Stamp(stamp)),
            origin_number: Some(numbers.0),
            client_timestamp: numbers.1.map(Timestamp),
            accepted_at: numbers.2.map(Timestamp),
            epoch: numbers.3,
            device_list_version: numbers.1,
            collapse,
            expires: expires.map(Timestamp),
            content_type,
            group: group.map(|uuid| GroupId { uuid, server }),
            bodies,
            encrypted,
            ..Event::new(kind, class)
        }
    }
}

prop_compose! {
    fn plan()(plan in vec((option::of((uuids(), option::of(uuids()), events())), 0_u64..5), 0..6), first in 1_u64..1_000_000)
        -> (u64, Vec<Record>) {
        let mut next = first;
        let records = plan.into_iter().map(|(event, more)| {
            let record = match event {
                Some((id, sender, event)) => Record::Event(EventRecord { id, sender, event: Ok(event) }),
                None => Record::Void(Void { from: next, to: next + more, reason: VoidReason::NotKept }),
            };
            next += record.covers();
            record
        }).collect();
        (first, records)
    }
}

fn count(records: &[Record]) -> u64 {
    records.iter().map(Record::covers).sum()
}

proptest! {
    #[test]
    fn records_round_trip((first, records) in plan()) {
        let bytes = encode(&records).unwrap();
        let decoded = decode(&bytes, first, count(&records)).unwrap();
        prop_assert_eq!(&decoded, &records);
        prop_assert_eq!(encode(&decoded).unwrap(), bytes);
    }

    /// What the reader accepts, the writer writes in the same bytes: there is one encoding. Without
    /// fields from 128 up: a changed key of those is one that the reader skips.
    #[test]
    fn an_accepted_event_is_canonical(event in events(), at: prop::sample::Index, bit in 0_u8..8) {
        let mut bytes = Event { encrypted: None, ..event }.encode();
        let at = at.index(bytes.len());
        bytes[at] ^= 1 << bit;
        if let Ok(changed) = Event::decode(&bytes) {
            prop_assert_eq!(changed.encode(), bytes);
        }
    }

    #[test]
    fn changed_records_never_panic(
        (first, records) in plan(),
        edits in vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
        cut: prop::sample::Index,
    ) {
        let mut bytes = encode(&records).unwrap();
        for (at, byte) in edits {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        let _ = decode(&bytes, first, count(&records));
        let _ = decode_ephemeral(&bytes);
        bytes.truncate(cut.index(bytes.len()));
        prop_assert!(decode(&bytes, first, count(&records)).is_err());
    }

    #[test]
    fn noise_never_panics(bytes: Vec<u8>, first: u64, count: u64) {
        let _ = decode(&bytes, first, count);
        let _ = Event::decode(&bytes);
    }
}

#[test]
fn an_unreadable_event_is_one_events_fault() {
    let good = Event::new(EventKind::Other(9), EventClass::Control).encode();
    let mut writer = Writer::default();
    writer.array(3);
    write_event(&mut writer, Uuid::from_u128(1), None, &good);
    write_event(&mut writer, Uuid::from_u128(2), None, b"\xff");
    write_event(&mut writer, Uuid::from_u128(3), Some(Uuid::from_u128(9)), &good);
    let records = decode(&writer.finish(), 7, 3).unwrap();
    let readable = |record: &Record| matches!(record, Record::Event(one) if one.event.is_ok());
    assert_eq!(records.iter().map(readable).collect::<Vec<_>>(), [true, false, true]);
}

#[test]
fn sequences_must_add_up() {
    let void = Void { from: 5, to: u64::MAX - 1, reason: VoidReason::NotKept };
    let bytes = encode(&[Record::Void(void)]).unwrap();
    assert!(decode(&bytes, 5, u64::MAX - 5).is_ok());
    assert!(decode(&bytes, 5, 1).is_err());
    assert!(decode(&bytes, 4, u64::MAX - 5).is_err());
    let event = EventRecord {
        id: Uuid::nil(),
        sender: None,
        event: Ok(Event::new(EventKind::Other(9), EventClass::Control)),
    };
    let bytes = encode(&[Record::Void(void), Record::Event(event)]).unwrap();
    assert!(decode(&bytes, 5, u64::MAX - 4).is_err(), "beyond the last sequence");
    assert!(decode(&encode(&[]).unwrap(), 5, 0).is_ok());
}

#[test]
fn the_hash_tells_order_sender_void_and_place() {
    let start = RunningHash([7; 32]);
    let (one, two) = (Uuid::from_u128(1), Uuid::from_u128(2));
    let hashes = [
        start.event(1, Some(one), two),
        start.event(1, Some(two), one),
        start.event(2, Some(one), two),
        start.event(1, None, two),
        start.void(1, 1),
        start.void(1, 2),
    ];
    for (i, hash) in hashes.iter().enumerate() {
        assert!(!hashes[i + 1..].contains(hash));
    }
}
