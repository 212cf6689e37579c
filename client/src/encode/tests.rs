//! What the client writes, the server's parser reads back unchanged.

use posthouse_protocol::id::{GroupId, Handle, HandleName, RegistrationId, ServerName};
use proptest::{collection::vec, option, prelude::*};
use uuid::Uuid;

use super::*;

fn server() -> impl Strategy<Value = ServerName> {
    "[a-z]{1,8}\\.example".prop_map(|name| ServerName::parse(&name).unwrap())
}

fn account() -> impl Strategy<Value = AccountId> {
    (any::<u128>(), server())
        .prop_map(|(uuid, server)| AccountId { uuid: Uuid::from_u128(uuid), server })
}

fn any_address() -> impl Strategy<Value = Address> {
    prop_oneof![
        account().prop_map(Address::Account),
        (any::<u128>(), server()).prop_map(|(uuid, server)| {
            Address::Group(GroupId { uuid: Uuid::from_u128(uuid), server })
        }),
        ("[a-z][a-z0-9]{0,9}", server()).prop_map(|(name, server)| {
            Address::Handle(Handle { name: HandleName::parse(&name).unwrap(), server })
        }),
    ]
}

fn id() -> impl Strategy<Value = MessageId> {
    any::<u128>().prop_map(|uuid| MessageId(Uuid::from_u128(uuid)))
}

fn ciphertext() -> impl Strategy<Value = Ciphertext> {
    (option::of(account()), 1_u8..=127, 0_u32..16_384, any::<u8>(), "[A-Za-z0-9+/]{0,40}").prop_map(
        |(user, device, registration, kind, data)| Ciphertext {
            user,
            device: device.try_into().unwrap(),
            registration_id: RegistrationId::try_from(registration).unwrap(),
            kind,
            data,
        },
    )
}

fn content() -> impl Strategy<Value = Content> {
    let payload = prop_oneof![
        any::<String>().prop_map(Payload::Body),
        vec(ciphertext(), 1..4).prop_map(Payload::Ciphertexts),
    ];
    ("[a-z]{1,20}", any::<bool>(), payload).prop_map(|(kind, encrypted, payload)| Content {
        kind,
        encrypted,
        payload,
    })
}

fn class() -> impl Strategy<Value = Class> {
    prop_oneof![
        Just(Class::Message),
        Just(Class::Receipt),
        Just(Class::Key),
        Just(Class::Control),
        Just(Class::Ephemeral)
    ]
}

fn submission() -> impl Strategy<Value = Submission> {
    let places = (id(), any_address(), option::of(any::<u64>()), option::of(id()), class());
    let rest = (option::of("[a-z]{1,20}"), any::<[Option<u64>; 4]>(), any::<bool>(), content());
    (places, rest).prop_map(|((id, to, after, prev, class), (collapse, numbers, flag, content))| {
        let [expires, device_list_version, epoch, timestamp] = numbers;
        Submission {
            id,
            to,
            after: after.map(Stamp),
            prev,
            class,
            collapse,
            expires: expires.map(Timestamp),
            device_list_version,
            epoch,
            supplement: flag,
            timestamp: timestamp.map(Timestamp),
            content,
        }
    })
}

fn ack() -> impl Strategy<Value = Ack> {
    let target = prop_oneof![
        (vec(id(), 0..4), option::of(account()))
            .prop_map(|(ids, from)| AckTarget::Messages { ids, from }),
        any::<u64>().prop_map(|place| AckTarget::Through(Cursor(place))),
    ];
    (target, prop_oneof![Just(Seen::Delivered), Just(Seen::Read)])
        .prop_map(|(target, seen)| Ack { target, seen })
}

fn frame() -> impl Strategy<Value = ClientFrame> {
    prop_oneof![
        submission().prop_map(|one| ClientFrame::Message(Box::new(one))),
        ack().prop_map(ClientFrame::Ack),
        prop_oneof![
            Just(PresenceUpdate::Online),
            Just(PresenceUpdate::Away),
            (any_address(), any::<bool>())
                .prop_map(|(to, started)| PresenceUpdate::Typing { to, started }),
        ]
        .prop_map(ClientFrame::Presence),
        vec(any_address(), 0..4).prop_map(ClientFrame::Subscribe),
        vec(any_address(), 0..4).prop_map(ClientFrame::Unsubscribe),
        option::of("[a-z0-9]{1,20}").prop_map(ClientFrame::Ping),
    ]
}

proptest! {
    #[test]
    fn the_server_reads_what_the_client_writes(frame in frame()) {
        let own = ServerName::parse("own.example").unwrap();
        let text = encode(&frame);
        prop_assert_eq!(ClientFrame::parse(&text, &own), Ok(frame), "{}", text);
    }
}
