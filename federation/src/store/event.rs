//! What is queued, as events.

use bytes::Bytes;
use posthouse_protocol::{
    content::Content,
    federation::{
        event::{Event, EventBody, EventClass, EventKind},
        message, payload,
    },
    frame::Class,
    id::{GroupId, ServerName},
    limits,
    status::{Reached, Seen},
};
use posthouse_storage::{inbox::StoredMessage, receipts::Watermark};
use uuid::Uuid;

/// A message for `recipients` at `destination`; `None` if nothing of its content is for them.
pub(super) fn message(
    message: &StoredMessage,
    recipients: Vec<Uuid>,
    body: &[u8],
    payload_version: u8,
    destination: &ServerName,
) -> Option<Bytes> {
    let class = match message.class {
        Class::Message => EventClass::Message,
        Class::Receipt => EventClass::Receipt,
        Class::Key => EventClass::Key,
        Class::Control => EventClass::Control,
        Class::Ephemeral => EventClass::Ephemeral,
    };
    // What waits longest is given up at the same time at both ends.
    let latest = message.accepted_at.plus_millis(limits::RETENTION_MS);
    let mut event = Event {
        payload_version,
        conversation: Some(message.conversation),
        sender_device: message.device_number,
        recipients,
        stamp: Some(message.stamp),
        origin_number: Some(message.origin_number),
        client_timestamp: Some(message.client_timestamp),
        accepted_at: Some(message.accepted_at),
        epoch: message.epoch,
        group: GroupId::parse(&message.to).ok(),
        device_list_version: message.device_list_version,
        collapse: message.collapse.clone(),
        expires: Some(message.expires.unwrap_or(latest)),
        part: (message.part > 0).then_some(message.part),
        ..Event::new(EventKind::Message, class)
    };
    let content = Content::from_stored(body)?;
    message::put(&mut event, &content, destination).ok()?;
    Some(Bytes::from(event.encode()))
}

/// A watermark that goes to the region whose messages it is about.
pub(super) fn watermark(
    mark: &Watermark,
    recipients: Vec<Uuid>,
    payload_version: u8,
) -> Option<Bytes> {
    let seen = match mark.reached {
        Reached::Delivered => Seen::Delivered,
        Reached::Read => Seen::Read,
        // That is said by the receipt itself.
        Reached::Accepted => return None,
    };
    let (through, except) = mark.told();
    let payload = payload::Watermark { seen, through, except: except.to_vec() };
    let event = Event {
        payload_version,
        conversation: Some(mark.conversation),
        recipients,
        bodies: vec![EventBody::for_all(payload.encode())],
        ..Event::new(EventKind::Watermark, EventClass::Receipt)
    };
    Some(Bytes::from(event.encode()))
}

/// The notice that its sender was deleted.
pub(super) fn gone(payload_version: u8) -> Bytes {
    let event = Event { payload_version, ..Event::new(EventKind::Gone, EventClass::Control) };
    Bytes::from(event.encode())
}

#[cfg(test)]
mod tests {
    use posthouse_protocol::{
        content::{Ciphertext, Payload},
        id::{AccountId, ConversationId, DeviceNumber, MessageId, RegistrationId},
        time::{Stamp, Timestamp},
    };
    use posthouse_storage::bodies::BodyId;
    use proptest::{collection::vec, option, prelude::*};

    use super::*;

    const AT: Timestamp = Timestamp(1_700_000_000_000);

    fn account(n: u128, server: &str) -> AccountId {
        AccountId { uuid: Uuid::from_u128(n), server: ServerName::parse(server).unwrap() }
    }

    fn stored(expires: Option<Timestamp>) -> StoredMessage {
        StoredMessage {
            part: 0,
            sender: account(1, "north.test"),
            device: None,
            device_number: Some(DeviceNumber::FIRST),
            device_list_version: Some(4),
            id: MessageId(Uuid::from_u128(3)),
            to: "2@south.test".to_owned(),
            conversation: ConversationId([7; 16]),
            stamp: Stamp::at(AT),
            origin_number: 9,
            class: Class::Key,
            collapse: Some("c".to_owned()),
            expires,
            epoch: Some(5),
            client_timestamp: Timestamp(8),
            accepted_at: AT,
            body: BodyId([0; 16]),
        }
    }

    fn ciphertexts() -> impl Strategy<Value = Payload> {
        let one = (option::of(1_u128..3), 1_u8..=127, 0_u32..16_384, any::<u8>(), 0_usize..40);
        let one = one.prop_map(|(user, device, registration, kind, length)| Ciphertext {
            // Number 1 is the sender, whose own devices' ciphertexts stay at home.
            user: user.map(|n| account(n, if n == 1 { "north.test" } else { "south.test" })),
            device: DeviceNumber::try_from(device).unwrap(),
            registration_id: RegistrationId::try_from(registration).unwrap(),
            kind,
            data: "QUJD".repeat(length),
        });
        vec(one, 1..16).prop_map(Payload::Ciphertexts)
    }

    proptest! {
        /// From the text that the sender's region keeps to the text that the recipient's keeps.
        #[test]
        fn a_content_arrives_as_it_was_kept(
            kind in "[ -~]{1,64}", encrypted: bool,
            payload in prop_oneof![any::<String>().prop_map(Payload::Body), ciphertexts()],
        ) {
            let content = Content { kind, encrypted, payload };
            let (recipient, server) = (account(2, "south.test"), ServerName::parse("south.test").unwrap());
            let kept = content.to_stored();
            let event = message(&stored(None), vec![recipient.uuid], &kept, 1, &server);
            let arrived = event.map(|bytes| {
                let event = Event::decode(&bytes).unwrap();
                message::content(&event, &recipient).unwrap().to_stored()
            });
            let expected = match &content.payload {
                Payload::Body(_) => Some(kept),
                Payload::Ciphertexts(all) => {
                    let theirs = all.iter().filter(|one| {
                        one.user.as_ref().is_none_or(|user| *user == recipient)
                    });
                    let theirs: Vec<_> =
                        theirs.map(|one| Ciphertext { user: None, ..one.clone() }).collect();
                    let payload = Payload::Ciphertexts(theirs.clone());
                    (!theirs.is_empty()).then(|| Content { payload, ..content.clone() }.to_stored())
                }
            };
            prop_assert_eq!(arrived, expected);
        }
    }

    #[test]
    fn a_message_keeps_its_facts_and_expires_with_its_queue() {
        let body = br#"{"type":"text","encrypted":false,"body":"Hello"}"#;
        let (to, server) = (Uuid::from_u128(2), ServerName::parse("south.test").unwrap());
        let event = |expires| {
            let bytes = message(&stored(expires), vec![to], body, 1, &server).unwrap();
            Event::decode(&bytes).unwrap()
        };
        let found = event(None);
        assert_eq!((found.kind, found.class), (EventKind::Message, EventClass::Key));
        assert_eq!(found.recipients, [to]);
        assert_eq!((found.stamp, found.origin_number), (Some(Stamp::at(AT)), Some(9)));
        assert_eq!((found.client_timestamp, found.accepted_at), (Some(Timestamp(8)), Some(AT)));
        assert_eq!((found.epoch, found.device_list_version), (Some(5), Some(4)));
        assert_eq!(found.collapse.as_deref(), Some("c"));
        assert_eq!(found.sender_device, Some(DeviceNumber::FIRST));
        assert_eq!(found.expires, Some(AT.plus_millis(limits::RETENTION_MS)));
        assert_eq!(event(Some(Timestamp(77))).expires, Some(Timestamp(77)));
        assert_eq!(message(&stored(None), vec![to], b"no content", 1, &server), None);
    }

    #[test]
    fn a_watermark_tells_what_was_seen_and_never_what_was_signed_for() {
        let mark = |reached| Watermark {
            conversation: ConversationId([7; 16]),
            reader: account(1, "north.test"),
            origin: ServerName::parse("south.test").unwrap(),
            reached,
            through: 9,
            except: vec![3],
            at: AT,
        };
        let to = vec![Uuid::from_u128(2)];
        let event = watermark(&mark(Reached::Read), to.clone(), 1).unwrap();
        let event = Event::decode(&event).unwrap();
        assert_eq!((event.kind, event.class), (EventKind::Watermark, EventClass::Receipt));
        let found = payload::Watermark::decode(&event.bodies[0].data).unwrap();
        assert_eq!(found, payload::Watermark { seen: Seen::Read, through: 9, except: vec![3] });
        assert_eq!(watermark(&mark(Reached::Accepted), to, 1), None);
    }
}
