//! A message's content on its way: from the stored JSON into an event and back
//! (docs/spec/federation-envelopes.md, "Contents of messages").

use base64::{Engine, engine::general_purpose::STANDARD as BASE64};

use super::event::{BodyDevice, Event, EventBody};
use crate::{
    content::{Ciphertext, Content, Payload},
    id::{AccountId, ServerName},
    limits,
};

/// The outer type of what an encrypting client sends.
const ENCRYPTED: &str = "encrypted";

/// Why a stored content cannot travel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum UnsendableError {
    /// A ciphertext is not base64 (RFC 4648 §4).
    #[error("a ciphertext is not base64")]
    NotBase64,
    /// Nothing in it is for a recipient at the destination.
    #[error("it holds nothing for a recipient")]
    NothingFor,
}

/// Why an event's content is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ContentError {
    /// Its bodies make no content.
    #[error("the bodies make no content")]
    Malformed,
    /// It is larger than what a client of this region may send.
    #[error("the content is larger than the limit")]
    TooLarge,
}

/// Puts a content into an event whose recipients, accounts of `server`, are set. A ciphertext that
/// names no account is the first recipient's.
///
/// # Errors
/// [`UnsendableError`]; the event is as it was.
pub fn put(
    event: &mut Event,
    content: &Content,
    server: &ServerName,
) -> Result<(), UnsendableError> {
    let bodies = match &content.payload {
        Payload::Body(text) => vec![EventBody::for_all(text.as_bytes().to_vec())],
        Payload::Ciphertexts(all) => {
            let travelling = all.iter().filter_map(|one| Some((one, place(event, one, server)?)));
            let bodies = travelling.map(|(one, recipient)| body(one, recipient));
            bodies.collect::<Result<Vec<_>, _>>()?
        }
    };
    if bodies.is_empty() {
        return Err(UnsendableError::NothingFor);
    }
    event.content_type = Some(content.kind.clone());
    event.encrypted = Some(content.encrypted);
    event.bodies = bodies;
    Ok(())
}

/// The recipient that a ciphertext is for, as the event counts them.
fn place(event: &Event, one: &Ciphertext, server: &ServerName) -> Option<u16> {
    let Some(user) = &one.user else { return (!event.recipients.is_empty()).then_some(0) };
    let at = event.recipients.iter().position(|known| *known == user.uuid)?;
    u16::try_from(at).ok().filter(|_| user.server == *server)
}

fn body(one: &Ciphertext, recipient: u16) -> Result<EventBody, UnsendableError> {
    let data = BASE64.decode(&one.data).map_err(|_| UnsendableError::NotBase64)?;
    let (device, registration, kind) = (one.device, one.registration_id, one.kind);
    Ok(EventBody { data, device: Some(BodyDevice { recipient, device, registration, kind }) })
}

/// The content of an event for one of its recipients, as that recipient's region stores it.
///
/// # Errors
/// [`ContentError`].
pub fn content(event: &Event, recipient: &AccountId) -> Result<Content, ContentError> {
    let kind = event.content_type.clone().ok_or(ContentError::Malformed)?;
    let payload = match event.bodies.as_slice() {
        [EventBody { data, device: None }] => Payload::Body(text(data)?),
        bodies => Payload::Ciphertexts(ciphertexts(event, bodies, recipient)?),
    };
    let implied = matches!(payload, Payload::Ciphertexts(_)) || kind == ENCRYPTED;
    Ok(Content { kind, encrypted: event.encrypted.unwrap_or(implied), payload })
}

/// The content of an event to a group, for all its recipients at `server`: one body, or a ciphertext
/// for each device that a piece of a key distribution serves, which then names its user.
///
/// # Errors
/// [`ContentError`].
pub fn group_content(event: &Event, server: &ServerName) -> Result<Content, ContentError> {
    let kind = event.content_type.clone().ok_or(ContentError::Malformed)?;
    let payload = match event.bodies.as_slice() {
        [EventBody { data, device: None }] => Payload::Body(text(data)?),
        bodies => Payload::Ciphertexts(group_ciphertexts(event, bodies, server)?),
    };
    let implied = matches!(payload, Payload::Ciphertexts(_)) || kind == ENCRYPTED;
    Ok(Content { kind, encrypted: event.encrypted.unwrap_or(implied), payload })
}

fn group_ciphertexts(
    event: &Event,
    bodies: &[EventBody],
    server: &ServerName,
) -> Result<Vec<Ciphertext>, ContentError> {
    let (mut all, mut total) = (Vec::new(), 0_usize);
    for EventBody { data, device } in bodies {
        let device = device.ok_or(ContentError::Malformed)?;
        let whose = event.recipients.get(usize::from(device.recipient));
        let user =
            AccountId { uuid: *whose.ok_or(ContentError::Malformed)?, server: server.clone() };
        let length = base64::encoded_len(data.len(), true).unwrap_or(usize::MAX);
        total = total.saturating_add(length);
        let many = all.len() >= limits::MAX_KEY_CIPHERTEXTS;
        if many || length > limits::MAX_BODY || total > limits::MAX_CIPHERTEXTS_TOTAL {
            return Err(ContentError::TooLarge);
        }
        all.push(Ciphertext {
            user: Some(user),
            device: device.device,
            registration_id: device.registration,
            kind: device.kind,
            data: BASE64.encode(data),
        });
    }
    if all.is_empty() { Err(ContentError::Malformed) } else { Ok(all) }
}

fn text(data: &[u8]) -> Result<String, ContentError> {
    if data.len() > limits::MAX_BODY {
        return Err(ContentError::TooLarge);
    }
    core::str::from_utf8(data).map(str::to_owned).map_err(|_| ContentError::Malformed)
}

fn ciphertexts(
    event: &Event,
    bodies: &[EventBody],
    recipient: &AccountId,
) -> Result<Vec<Ciphertext>, ContentError> {
    let mut all = Vec::new();
    let mut total = 0_usize;
    for EventBody { data, device } in bodies {
        let device = device.ok_or(ContentError::Malformed)?;
        let whose = event.recipients.get(usize::from(device.recipient));
        if whose != Some(&recipient.uuid) {
            continue;
        }
        let length = base64::encoded_len(data.len(), true).unwrap_or(usize::MAX);
        total = total.saturating_add(length);
        let many = all.len() >= limits::MAX_CIPHERTEXTS;
        if many || length > limits::MAX_BODY || total > limits::MAX_CIPHERTEXTS_TOTAL {
            return Err(ContentError::TooLarge);
        }
        all.push(Ciphertext {
            user: None,
            device: device.device,
            registration_id: device.registration,
            kind: device.kind,
            data: BASE64.encode(data),
        });
    }
    if all.is_empty() { Err(ContentError::Malformed) } else { Ok(all) }
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, option, prelude::*};
    use uuid::Uuid;

    use super::{
        super::event::{EventClass, EventKind},
        *,
    };
    use crate::id::{DeviceNumber, RegistrationId};

    fn account(n: u128, server: &str) -> AccountId {
        AccountId { uuid: Uuid::from_u128(n), server: ServerName::parse(server).unwrap() }
    }

    fn event(recipients: &[u128]) -> Event {
        let mut event = Event::new(EventKind::Message, EventClass::Message);
        event.recipients = recipients.iter().map(|n| Uuid::from_u128(*n)).collect();
        event
    }

    prop_compose! {
        fn ciphertext()(
            whose in option::of(0_u128..4),
            device in 1_u8..=127,
            registration in 0_u32..16_384,
            kind: u8,
            data in vec(any::<u8>(), 0..40),
        ) -> Ciphertext {
            let user = |n| account(n, if n == 3 { "north.test" } else { "south.test" });
            Ciphertext {
                user: whose.map(user),
                device: DeviceNumber::try_from(device).unwrap(),
                registration_id: RegistrationId::try_from(registration).unwrap(),
                kind,
                data: BASE64.encode(data),
            }
        }
    }

    fn payload() -> impl Strategy<Value = Payload> {
        prop_oneof![
            any::<String>().prop_map(Payload::Body),
            vec(ciphertext(), 1..12).prop_map(Payload::Ciphertexts),
        ]
    }

    proptest! {
        /// Each recipient's region stores the very text that a client of its own would have led to;
        /// what is for others, or for the sender's own devices, is not in it.
        #[test]
        fn the_destination_stores_the_senders_text(
            kind in "[ -~]{1,64}", encrypted: bool, payload in payload(),
        ) {
            let content = Content { kind, encrypted, payload };
            let stored = Content::from_stored(&content.to_stored()).unwrap();
            prop_assert_eq!(&stored, &content);
            let mut event = event(&[0, 1]);
            let put = put(&mut event, &stored, &ServerName::parse("south.test").unwrap());
            if put == Err(UnsendableError::NothingFor) {
                event.bodies.clear();
                event.content_type = Some("text".to_owned());
            } else {
                put.unwrap();
            }
            event.conversation = Some(crate::id::ConversationId([0; 16]));
            (event.stamp, event.origin_number) = (Some(crate::time::Stamp(1)), Some(1));
            let event = Event::decode(&event.encode()).unwrap();
            for n in [0, 1] {
                let recipient = account(n, "south.test");
                let expected = match &content.payload {
                    Payload::Body(text) => Some(Payload::Body(text.clone())),
                    Payload::Ciphertexts(all) => {
                        let mine = |one: &&Ciphertext| match &one.user {
                            None => n == 0,
                            Some(user) => *user == recipient,
                        };
                        let own = all.iter().filter(mine).cloned();
                        let own: Vec<_> = own.map(|one| Ciphertext { user: None, ..one }).collect();
                        (!own.is_empty()).then_some(Payload::Ciphertexts(own))
                    }
                };
                let expected = expected.map(|payload| Content { payload, ..content.clone() }.to_stored());
                let got = super::content(&event, &recipient).ok().map(|got| got.to_stored());
                prop_assert_eq!(got, expected);
            }
        }
    }

    #[test]
    fn refuses_what_makes_no_content() {
        let recipient = account(1, "south.test");
        let mut one = event(&[1]);
        assert_eq!(content(&one, &recipient), Err(ContentError::Malformed), "no type");
        one.content_type = Some("text".to_owned());
        assert_eq!(content(&one, &recipient), Err(ContentError::Malformed), "no body");
        one.bodies = vec![EventBody::for_all(vec![0xff])];
        assert_eq!(content(&one, &recipient), Err(ContentError::Malformed), "not UTF-8");
        one.bodies = vec![EventBody::for_all(vec![b'x'; limits::MAX_BODY + 1])];
        assert_eq!(content(&one, &recipient), Err(ContentError::TooLarge));
        one.bodies = vec![EventBody::for_all(Vec::new()), EventBody::for_all(Vec::new())];
        assert_eq!(content(&one, &recipient), Err(ContentError::Malformed), "two for everybody");
        let device = BodyDevice {
            recipient: 0,
            device: DeviceNumber::FIRST,
            registration: RegistrationId::try_from(1).unwrap(),
            kind: 1,
        };
        let body = EventBody { data: Vec::new(), device: Some(device) };
        one.bodies = vec![body.clone(); limits::MAX_CIPHERTEXTS + 1];
        assert_eq!(content(&one, &recipient), Err(ContentError::TooLarge));
        one.bodies = vec![body];
        assert_eq!(content(&one, &account(2, "south.test")), Err(ContentError::Malformed));
    }

    #[test]
    fn what_is_not_said_is_derived() {
        let recipient = account(1, "south.test");
        let mut one = event(&[1]);
        one.bodies = vec![EventBody::for_all(b"x".to_vec())];
        for (kind, expected) in [("text", false), ("encrypted", true)] {
            one.content_type = Some(kind.to_owned());
            assert_eq!(content(&one, &recipient).unwrap().encrypted, expected);
        }
    }

    #[test]
    fn what_is_not_base64_does_not_travel() {
        let ciphertext = Ciphertext {
            user: None,
            device: DeviceNumber::FIRST,
            registration_id: RegistrationId::try_from(1).unwrap(),
            kind: 1,
            data: "no base64".to_owned(),
        };
        let payload = Payload::Ciphertexts(vec![ciphertext]);
        let content = Content { kind: "encrypted".to_owned(), encrypted: true, payload };
        let server = ServerName::parse("south.test").unwrap();
        let outcome = put(&mut event(&[1]), &content, &server);
        assert_eq!(outcome, Err(UnsendableError::NotBase64));
    }
}
