//! Golden vectors: `docs/spec/vectors/federation-*.json`. A test makes each file anew and compares
//! it, so that no change of a byte goes unnoticed. After a wanted change:
//! `cargo test -p posthouse-protocol write_vectors -- --ignored`.

mod ephemerals;
mod groups;

use core::convert::Infallible;
use std::{fmt::Write as _, fs, path::PathBuf};

use posthouse_crypto::{
    seal::{Encapsulation, SealingKey},
    sign::SigningKey,
};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::{
    cbor::Writer,
    document::{SignedDocument, tests::document},
    envelope::{Addressing, Envelope, EnvelopeDigest, SharedKey},
    event::{BodyDevice, Event, EventBody, EventClass, EventKind},
    header::Place,
    key_log::{
        SignedEntry, encode_log,
        tests::{entry, first, key},
    },
    keys::KeyId,
    query::{EchoAnswer, EchoQuery, Nonce, ResolveQuery, SignedQuery},
    receipt::{Outcome, Receipt, Rejection, RejectionReason, SignedReceipt},
    record::{self, EventRecord, Record, Void, VoidReason},
    signed::Signed,
    stream::{Incarnation, Lane, PerLane, Position, RunningHash, Standing},
};
use crate::{
    id::{AccountId, ConversationId, DeviceNumber, HandleName, RegistrationId, ServerName},
    time::{Stamp, Timestamp},
};

type Vector = (&'static str, fn() -> Value);

const FILES: [Vector; 6] = [
    ("federation-envelopes.json", envelopes),
    ("federation-streams.json", streams),
    ("federation-receipts.json", receipts),
    ("federation-keys.json", keys),
    ("federation-invalid.json", invalid),
    ("federation-groups.json", groups::groups),
];

#[test]
fn vectors_are_unchanged() {
    for (file, make) in FILES {
        let stored = fs::read_to_string(path(file)).unwrap();
        assert_eq!(stored, text(&make()), "{file}");
    }
}

#[test]
#[ignore = "writes the vectors after a wanted change of the protocol"]
fn write_vectors() {
    for (file, make) in FILES {
        fs::create_dir_all(path("")).unwrap();
        fs::write(path(file), text(&make())).unwrap();
    }
}

/// Every refused example is refused, and for the stated kind of value.
#[test]
fn invalid_vectors_are_refused() {
    for case in invalid()["cases"].as_array().unwrap() {
        let bytes = unhex(case["bytes"].as_str().unwrap());
        let refused = match case["as"].as_str().unwrap() {
            "header" => super::header::Header::decode(&bytes).is_err(),
            "records" => record::decode(&bytes, 1, 1).is_err(),
            "event" => Event::decode(&bytes).is_err(),
            other => panic!("{other}"),
        };
        assert!(refused, "{}", case["why"]);
    }
}

fn path(file: &str) -> PathBuf {
    [env!("CARGO_MANIFEST_DIR"), "..", "docs", "spec", "vectors", file].iter().collect()
}

fn text(value: &Value) -> String {
    let mut text = serde_json::to_string_pretty(value).unwrap();
    text.push('\n');
    text
}

fn north() -> ServerName {
    ServerName::parse("north.test").unwrap()
}

fn south() -> ServerName {
    ServerName::parse("south.test").unwrap()
}

/// Who sends: an account at the origin.
fn sender() -> AccountId {
    AccountId { uuid: Uuid::from_u128(0x33), server: north() }
}

/// To whom: an account at the destination.
fn recipient() -> AccountId {
    AccountId { uuid: Uuid::from_u128(0x22), server: south() }
}

fn incarnation(number: u64) -> Incarnation {
    Incarnation { number, random: [u8::try_from(number).unwrap(); 16] }
}

fn message() -> Event {
    Event {
        conversation: Some(ConversationId::direct(&sender(), &recipient())),
        sender_device: Some(DeviceNumber::FIRST),
        recipients: vec![recipient().uuid],
        stamp: Some(Stamp::at(Timestamp(1_700_000_000_000))),
        origin_number: Some(1),
        client_timestamp: Some(Timestamp(1_699_999_999_000)),
        accepted_at: Some(Timestamp(1_700_000_000_000)),
        device_list_version: Some(4),
        expires: Some(Timestamp(1_702_592_000_000)),
        content_type: Some("encrypted".to_owned()),
        bodies: vec![EventBody {
            data: b"ciphertext".to_vec(),
            device: Some(BodyDevice {
                recipient: 0,
                device: DeviceNumber::FIRST,
                registration: RegistrationId::try_from(7).unwrap(),
                kind: 2,
            }),
        }],
        encrypted: Some(true),
        ..Event::new(EventKind::Message, EventClass::Message)
    }
}

fn records() -> Vec<Record> {
    let sender = Some(sender().uuid);
    vec![
        Record::Event(EventRecord { id: Uuid::from_u128(0x44), sender, event: Ok(message()) }),
        Record::Void(Void { from: 6, to: 9, reason: VoidReason::NotKept }),
        Record::Event(EventRecord {
            id: Uuid::from_u128(0x55),
            sender: None,
            event: Ok(Event::new(EventKind::Other(900), EventClass::Control)),
        }),
    ]
}

fn place() -> Place {
    Place {
        lane: Lane::Messages,
        incarnation: incarnation(2),
        first: 5,
        count: 6,
        before: RunningHash([0x66; 32]),
        resumes: Some(Standing {
            incarnation: incarnation(1),
            lanes: PerLane::from_fn(|_| Position { through: 40, hash: RunningHash([0x77; 32]) }),
        }),
    }
}

fn envelopes() -> Value {
    let plain = record::encode(&records()).unwrap();
    let signing = SigningKey::from_seed(&[1; 32]);
    let mut cases = Vec::new();
    for encapsulation in Encapsulation::PREFERENCE {
        let sealing = SealingKey::from_secret(encapsulation, &[2; 32]).unwrap();
        for (place, shared) in [(Some(place()), false), (None, false), (Some(place()), true)] {
            let addressing = Addressing {
                origin: north(),
                destination: south(),
                created: Timestamp(1_700_000_000_000),
                place: place.clone(),
            };
            let body = if place.is_some() { plain.clone() } else { ephemeral() };
            let mut rng = Counter::default();
            let to = sealing.public_key();
            let envelope = if shared {
                let key = SharedKey::new(&to, &mut rng).unwrap();
                Envelope::make_shared(addressing, &body, &key, &signing, &mut rng).unwrap()
            } else {
                Envelope::make(addressing, &body, &to, &signing, &mut rng).unwrap()
            };
            assert_eq!(envelope.open(&sealing).unwrap(), body);
            cases.push(json!({
                "encapsulation": encapsulation.id(),
                "sealing_secret": hex(sealing.secret().as_ref()),
                "sealing_public": hex(&to.to_bytes()),
                "sealing_key_id": KeyId::of_sealing(&to).to_string(),
                "signing_seed": hex(&[1; 32]),
                "signing_public": hex(&signing.verifying_key().to_bytes()),
                "signing_key_id": KeyId::of_signing(&signing.verifying_key()).to_string(),
                "sequenced": place.is_some(),
                "shared": shared,
                "header": hex(&envelope.header().encode()),
                "records": hex(&body),
                "envelope": hex(&envelope.encode()),
                "digest": hex(&envelope.digest().0),
            }));
        }
    }
    let event = hex(&message().encode());
    json!({
        "spec": "docs/spec/federation-envelopes.md",
        "sender": sender(), "recipient": recipient(),
        "event": event, "ephemeral_events": ephemerals::all(), "cases": cases,
    })
}

fn ephemeral() -> Vec<u8> {
    let sender = Some(sender().uuid);
    let record = |id, event| {
        Record::Event(EventRecord { id: Uuid::from_u128(id), sender, event: Ok(event) })
    };
    record::encode(&[record(0x88, ephemerals::typing()), record(0x89, ephemerals::whisper())])
        .unwrap()
}

fn streams() -> Value {
    let start = Position::start(&north(), &south(), &incarnation(1), Lane::Messages);
    let (sender, id) = (Uuid::from_u128(0x33), Uuid::from_u128(0x44));
    let first = start.hash.event(1, Some(sender), id);
    let second = first.event(2, None, id);
    let third = second.void(3, 9);
    json!({
        "spec": "docs/spec/federation-streams.md",
        "origin": north(), "destination": south(),
        "incarnation_number": 1, "incarnation_random": hex(&incarnation(1).random),
        "lane": Lane::Messages.number(), "start": hex(&start.hash.0),
        "steps": [
            { "sequence": 1, "sender": hex(sender.as_bytes()), "id": hex(id.as_bytes()), "hash": hex(&first.0) },
            { "sequence": 2, "sender": null, "id": hex(id.as_bytes()), "hash": hex(&second.0) },
            { "void_from": 3, "void_to": 9, "hash": hex(&third.0) },
        ],
    })
}

fn receipts() -> Value {
    let receipt = Receipt {
        from: south(),
        to: north(),
        created: Timestamp(1_700_000_000_500),
        signing_key: KeyId([0; 8]),
        answers: EnvelopeDigest([0x99; 32]),
        outcome: Outcome::Accepted,
        standing: Some(Standing {
            incarnation: incarnation(2),
            lanes: PerLane::from_fn(|lane| Position {
                through: u64::from(lane.number()) * 10,
                hash: RunningHash([lane.number(); 32]),
            }),
        }),
        rejections: vec![Rejection {
            sequence: 17,
            id: Uuid::from_u128(0x44),
            reason: RejectionReason::UnknownRecipient,
        }],
    };
    let refused = Receipt {
        outcome: Outcome::Gap,
        standing: None,
        rejections: Vec::new(),
        ..receipt.clone()
    };
    let query = ResolveQuery {
        origin: north(),
        destination: south(),
        created: Timestamp(1_700_000_000_000),
        signing_key: KeyId([0; 8]),
        question: HandleName::parse("alice").unwrap(),
    };
    let echo = EchoQuery {
        origin: north(),
        destination: south(),
        created: Timestamp(1_700_000_000_000),
        signing_key: KeyId([0; 8]),
        question: Nonce([0x5a; 16]),
    };
    let echo_answer = EchoAnswer {
        from: south(),
        to: north(),
        created: Timestamp(1_700_000_000_250),
        signing_key: KeyId([0; 8]),
        nonce: Nonce([0x5a; 16]),
    };
    let key = SigningKey::from_seed(&[3; 32]);
    json!({
        "spec": "docs/spec/federation-streams.md",
        "signing_seed": hex(&[3; 32]),
        "accepted": hex(&SignedReceipt::sign(receipt, &key).encode()),
        "gap_and_nothing_known": hex(&SignedReceipt::sign(refused, &key).encode()),
        "resolve_query": hex(&SignedQuery::sign(query, &key).encode()),
        "echo": hex(&Signed::sign(echo, &key).encode()),
        "echo_answer": hex(&Signed::sign(echo_answer, &key).encode()),
    })
}

fn keys() -> Value {
    let head = first();
    let second = SignedEntry::sign(entry(1, Some(&head), 2), &[&key(2)]);
    let log = [head, second.clone()];
    json!({
        "spec": "docs/spec/federation-keys.md",
        "signing_seeds": [hex(&[1; 32]), hex(&[2; 32])],
        "recovery_seed": hex(&[100; 32]),
        "log": hex(&encode_log(&log)),
        "entry_hashes": log.iter().map(|entry| hex(&entry.hash().0)).collect::<Vec<_>>(),
        "document": hex(&SignedDocument::sign(document(), second, &key(2)).encode()),
    })
}

fn invalid() -> Value {
    let event = Event::new(EventKind::Other(900), EventClass::Control).encode();
    let wrapped = |write: &dyn Fn(&mut Writer)| {
        let mut writer = Writer::default();
        writer.array(1);
        write(&mut writer);
        writer.finish()
    };
    let id = Uuid::from_u128(1);
    let good = wrapped(&|writer| record::write_event(writer, id, None, &event));
    assert!(record::decode(&good, 1, 1).is_ok());
    let with = |change: &dyn Fn(&mut Vec<u8>)| {
        let mut bytes = event.clone();
        change(&mut bytes);
        hex(&bytes)
    };
    let void = |from, to| Void { from, to, reason: VoidReason::Refused };
    let case =
        |what: &str, why: &str, bytes: String| json!({ "as": what, "why": why, "bytes": bytes });
    json!({
        "spec": "docs/spec/federation-envelopes.md",
        "cases": [
            case("event", "a longer head than needed", with(&|bytes| {
                bytes.splice(1..2, [0x18, 0x01]);
            })),
            case("event", "keys out of order", with(&|bytes| bytes[1] = 2)),
            case("event", "a key twice", with(&|bytes| bytes[5] = 1)),
            case("event", "bytes after the value", with(&|bytes| bytes.push(0))),
            case("event", "cut short", with(&|bytes| {
                bytes.pop();
            })),
            case("event", "an indefinite map", with(&|bytes| {
                bytes[0] = 0xbf;
                bytes.push(0xff);
            })),
            case("event", "an unknown field below 128", with(&|bytes| {
                bytes[0] += 1;
                bytes.extend([0x18, 100, 0]);
            })),
            case("event", "a message without stamp and origin number, of class 6 too", {
                let whisper = ephemerals::whisper();
                hex(&Event { stamp: None, origin_number: None, ..whisper }.encode())
            }),
            case("records", "a void that starts elsewhere", hex(&wrapped(&|writer| {
                record::write_void(writer, &void(2, 2));
            }))),
            case("records", "a void that ends before it starts", hex(&wrapped(&|writer| {
                record::write_void(writer, &void(1, 0));
            }))),
            case("records", "more sequences than the header counts", hex(&wrapped(&|writer| {
                record::write_void(writer, &void(1, 2));
            }))),
            case("records", "a claim of 2^64 - 1 records", hex(&[0x9b, 255, 255, 255, 255, 255, 255, 255, 255])),
            case("header", "an empty map", hex(&[0xa0])),
        ],
    })
}

/// Bytes that are the same on every machine: SHA-256 of a counter. For vectors only.
#[derive(Default)]
struct Counter {
    block: u64,
}

impl rand_core::TryRng for Counter {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        self.try_next_u64().map(|n| u32::try_from(n >> 32).unwrap())
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        let mut bytes = [0; 8];
        self.try_fill_bytes(&mut bytes)?;
        Ok(u64::from_be_bytes(bytes))
    }

    fn try_fill_bytes(&mut self, out: &mut [u8]) -> Result<(), Infallible> {
        for chunk in out.chunks_mut(32) {
            self.block += 1;
            let block = Sha256::digest(self.block.to_be_bytes());
            chunk.copy_from_slice(&block[..chunk.len()]);
        }
        Ok(())
    }
}

impl rand_core::TryCryptoRng for Counter {}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").unwrap();
        text
    })
}

fn unhex(text: &str) -> Vec<u8> {
    (0..text.len()).step_by(2).map(|i| u8::from_str_radix(&text[i..i + 2], 16).unwrap()).collect()
}
