//! What regions say to each other about a group: questions, answers, and events.

use posthouse_crypto::{
    e2ee::{
        primitives::curve::KeyPair,
        signed::group_epoch::{Change, GroupEpoch, Person},
        time::UnixMillis,
    },
    sign::SigningKey,
};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::{Counter, hex, message, north, south};
use crate::{
    federation::{
        event::{Event, EventBody, EventClass},
        keys::KeyId,
        query::{
            Query,
            groups::{GroupAct, GroupAnswer, GroupOutcome, GroupQuestion},
        },
        signed::Signed,
    },
    id::{ConversationId, GroupId},
    time::{Stamp, Timestamp},
};

const SEED: [u8; 32] = [4; 32];
const CODE: &str = "8f3b2a9cdd10e47b6a5c4d3e2f100f1e@north.test";

fn group() -> GroupId {
    GroupId { uuid: Uuid::from_u128(0x66), server: south() }
}

/// The first epoch of the group, by somebody of its region.
fn epoch() -> Vec<u8> {
    let owner = format!("{}@south.test", Uuid::from_u128(0x22));
    let keys = KeyPair::generate(&mut Counter::default());
    let change = Change::Create {
        owner: Person { account: owner.clone(), identity: keys.public },
        region: "south.test".to_owned(),
        title: b"title".to_vec(),
    };
    let epoch = GroupEpoch {
        group: group().to_string(),
        epoch: 1,
        previous: None,
        actor: Some(owner),
        change,
        issued: UnixMillis(1_700_000_000_000),
    };
    epoch.sign(&keys.private, &mut Counter::default()).to_bytes()
}

fn query(act: GroupAct) -> String {
    let question = GroupQuestion { group: group(), act };
    let query = Query {
        origin: north(),
        destination: south(),
        created: Timestamp(1_700_000_000_000),
        signing_key: KeyId([0; 8]),
        question,
    };
    hex(&Signed::sign(query, &SigningKey::from_seed(&SEED)).encode())
}

fn answers() -> Value {
    let head = Some((7, [0xab; 32]));
    let case = |outcome: u64, answer: GroupAnswer| {
        let (epoch, hash) = answer.head.map(|(epoch, hash)| (epoch, hex(&hash))).unzip();
        let epochs: Vec<String> = answer.documents.iter().map(|one| hex(one)).collect();
        json!({ "outcome": outcome, "epoch": epoch, "hash": hash, "epochs": epochs,
            "reason": answer.reason, "answer": hex(&answer.encode()) })
    };
    let done = GroupAnswer::of(GroupOutcome::Done, head);
    let refused = GroupAnswer::of(GroupOutcome::Refused, None);
    json!([
        case(0, GroupAnswer { documents: vec![epoch()], ..done }),
        case(1, GroupAnswer::of(GroupOutcome::Nothing, None)),
        case(2, GroupAnswer::of(GroupOutcome::Stale, head)),
        case(3, GroupAnswer { reason: Some("forbidden".to_owned()), ..refused }),
    ])
}

/// A message to the group, a piece of keys for one member, and a message of lane 0.
fn events() -> [Event; 3] {
    let to_group = Event {
        conversation: Some(ConversationId::group(&group())),
        group: Some(group()),
        epoch: Some(7),
        device_list_version: None,
        recipients: Vec::new(),
        bodies: vec![EventBody::for_all(b"ciphertext".to_vec())],
        ..message()
    };
    let piece = Event {
        class: EventClass::Key,
        recipients: message().recipients,
        bodies: message().bodies,
        ..to_group.clone()
    };
    let whisper = Event {
        class: EventClass::Ephemeral,
        stamp: Some(Stamp::default()),
        origin_number: Some(0),
        epoch: None,
        expires: None,
        ..to_group.clone()
    };
    [to_group, piece, whisper]
}

pub(super) fn groups() -> Value {
    let account = Uuid::from_u128(0x33);
    let code: [u8; 32] = Sha256::digest(CODE).into();
    let [to_group, piece, whisper] = events();
    json!({
        "spec": "docs/spec/groups.md",
        "signing_seed": hex(&SEED),
        "origin": north(), "destination": south(), "created": 1_700_000_000_000_u64,
        "group": group(),
        "epoch": hex(&epoch()),
        "pull": { "from": 7, "query": query(GroupAct::Pull(7)) },
        "push": { "query": query(GroupAct::Push(vec![epoch()])) },
        "submit": { "query": query(GroupAct::Submit(epoch())) },
        "join": { "account": hex(account.as_bytes()), "code": CODE, "code_sha256": hex(&code),
            "query": query(GroupAct::Join { account, code }) },
        "answers": answers(),
        "message": hex(&to_group.encode()),
        "piece": hex(&piece.encode()),
        "ephemeral_message": hex(&whisper.encode()),
    })
}
