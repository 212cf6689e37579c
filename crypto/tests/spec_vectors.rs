//! `docs/spec/vectors/e2ee.json` holds what this code makes of fixed inputs, so that another
//! implementation can be checked against it.
#![cfg(test)]

use posthouse_crypto::e2ee::{
    address::DeviceId,
    attachment::{Decryptor, Encryptor},
    backup::{BackupHead, BackupWriter, Cost, items_to_bytes},
    content::{
        AttachmentPointer, Body, Content, KeyBytes, Mention, ReceiptStatus, ResendRequest,
        history::{HistoryChunk, HistoryItem, HistoryStep, PastMark, PastMessage, PastSaid},
    },
    padding,
    primitives::curve::{KeyPair, PrivateKey},
    safety_number::SafetyNumber,
    secret::Secret,
    signed::{
        device_list::{DeviceList, ListedDevice, SignedDeviceList},
        group_epoch::{Change, GroupEpoch, GroupRole, GroupState, Person, SignedGroupEpoch},
    },
    time::UnixMillis,
};
use rand::{SeedableRng, rngs::StdRng};
use serde_json::{Value, json};

const FILE: &str = include_str!("../../docs/spec/vectors/e2ee.json");
const ACCOUNT: &str = "01890a5d-ac96-774b-bcce-b302099a8057@eu.example";
const OTHER: &str = "01890a5d-ac96-774b-bcce-b302099a8058@us.example";
const THIRD: &str = "01890a5d-ac96-774b-bcce-b302099a8051@us.example";
const GROUP: &str = "g.01890a5d-ac96-774b-bcce-b302099a8059@eu.example";
const NOW: UnixMillis = UnixMillis(1_700_000_000_000);

#[test]
fn the_file_holds_what_the_code_makes() {
    let made = json!({
        "attachment": attachment(),
        "backup": backup(),
        "content": contents(),
        "device_list": device_list(),
        "group_epochs": group_epochs(),
        "history": history(),
        "padding": paddings(),
        "safety_number": safety_number(),
    });
    let file: Value = serde_json::from_str(FILE).unwrap();
    let pretty = serde_json::to_string_pretty(&made).unwrap();
    assert!(file == made, "docs/spec/vectors/e2ee.json should be:\n{pretty}");
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |text, byte| text + &format!("{byte:02x}"))
}

fn identity(byte: u8) -> KeyPair {
    KeyPair::from_private(PrivateKey::from_bytes(&[byte; 32]))
}

fn rng() -> StdRng {
    StdRng::seed_from_u64(1)
}

/// A short text, so that the whole ciphertext fits; its padding makes it 1,024 bytes.
fn attachment() -> Value {
    let mut out = Vec::new();
    let mut encryptor = Encryptor::new(&mut rng(), &mut out);
    encryptor.push(b"a small picture", &mut out).unwrap();
    let sealed = encryptor.finish(&mut out).unwrap();
    let mut plain = Vec::new();
    let mut decryptor = Decryptor::new(&sealed.key, sealed.digest, sealed.size).unwrap();
    decryptor.push(&out, &mut plain).unwrap();
    decryptor.finish().unwrap();
    json!({
        "key": hex(sealed.key.expose()),
        "plaintext": hex(&plain),
        "size": sealed.size,
        "ciphertext": hex(&out),
        "digest": hex(&sealed.digest),
    })
}

/// One item of each kind.
fn items() -> Vec<HistoryItem> {
    let (with, from, id) = (OTHER.to_owned(), OTHER.to_owned(), [9; 16]);
    let message = PastMessage {
        with: with.clone(),
        from: from.clone(),
        id,
        stamp: 111_411_200_000_000_000,
        sent_at: NOW,
        said: PastSaid::Reply { text: "hello to you".to_owned(), target: [8; 16] },
        expires_after: Some(3_600),
        read: true,
        edited: false,
        origin_number: None,
        status: None,
        delivered: 0,
        audience: 0,
        mentions: vec![Mention { start: 9, len: 3, account: ACCOUNT.to_owned() }],
    };
    let mark = PastMark::Reaction { emoji: "👍".to_owned(), stamp: 111_411_200_000_000_001 };
    vec![
        HistoryItem::Person {
            account: OTHER.to_owned(),
            identity: identity(2).public,
            verified: true,
        },
        HistoryItem::Group {
            group: GROUP.to_owned(),
            titles: vec![KeyBytes(Secret::new([5; 32]))],
            head: Some((3, [6; 32])),
        },
        HistoryItem::Conversation { with: with.clone(), active: NOW, highest: Some(message.stamp) },
        HistoryItem::Message(Box::new(message)),
        HistoryItem::Mark { with, target: id, by: ACCOUNT.to_owned(), mark },
        HistoryItem::Expiry { from, id, at: UnixMillis(NOW.0 + 3_600_000) },
    ]
}

fn history() -> Value {
    let chunk = HistoryChunk {
        after: Some(vec![3, 0, 1]),
        next: None,
        ends: true,
        messages: 1,
        of: 1,
        items: items(),
    };
    let steps = [
        ("nothing", HistoryStep::Nothing),
        ("request", HistoryStep::Request { after: Some(vec![3, 0, 1]) }),
        ("chunk", HistoryStep::Chunk(chunk)),
    ];
    let one = |(name, step)| {
        let padded = Content::new(NOW, None, Body::History(step)).to_padded_bytes().unwrap();
        json!({ "step": name, "map": hex(padding::unpad_message(&padded).unwrap()) })
    };
    steps.into_iter().map(one).collect()
}

fn backup() -> Value {
    let (passphrase, cost) = ("open sesame", Cost { memory_kib: 64, passes: 2, lanes: 1 });
    let mut file = Vec::new();
    let mut writer = BackupWriter::new(passphrase, cost, &mut rng(), &mut file).unwrap();
    let head =
        BackupHead { account: ACCOUNT.to_owned(), identity: identity(1).private, made_at: NOW };
    let parts = [head.to_bytes(), items_to_bytes(&items()), items_to_bytes(&[])];
    writer.push(&parts[0], &mut file).unwrap();
    writer.push(&parts[1], &mut file).unwrap();
    writer.finish(&parts[2], &mut file).unwrap();
    let parts: Vec<String> = parts.iter().map(|part| hex(part)).collect();
    json!({ "passphrase": passphrase, "parts": parts, "file": hex(&file) })
}

fn contents() -> Value {
    let target = [9; 16];
    let attachment = AttachmentPointer {
        place: "https://media.eu.example/1".to_owned(),
        key: KeyBytes(Secret::new([5; 32])),
        digest: [6; 32],
        size: 1_234_567,
        media_type: "image/jpeg".to_owned(),
    };
    let resend = ResendRequest {
        message_id: target,
        ratchet_key: Some(identity(1).public),
        sender_key: Some(([2; 16], 3)),
    };
    let bodies = [
        ("text", Body::Text { text: "hello".to_owned() }),
        ("media", Body::Media { caption: "look".to_owned(), attachment }),
        ("reaction", Body::Reaction { emoji: "👍".to_owned(), target }),
        ("receipt", Body::Receipt { status: ReceiptStatus::Read, targets: vec![target] }),
        ("typing", Body::Typing { started: true }),
        ("resend", Body::Resend(resend)),
        ("mention", Body::Text { text: "hello @bob".to_owned() }),
    ];
    let one = |(name, body): (&str, Body)| {
        let mut content = Content::new(NOW, Some(ACCOUNT.to_owned()), body);
        if name == "mention" {
            content.mentions = vec![Mention { start: 6, len: 4, account: OTHER.to_owned() }];
        }
        let padded = content.to_padded_bytes().unwrap();
        assert_eq!(Content::from_padded_bytes(&padded), Ok(content));
        let bare = padding::unpad_message(&padded).unwrap();
        json!({ "kind": name, "map": hex(bare), "padded_length": padded.len() })
    };
    bodies.into_iter().map(one).collect()
}

fn device_list() -> Value {
    let owner = identity(1);
    let number = |number| DeviceId::new(number).unwrap();
    let device = |registration_id| ListedDevice { registration_id, added: NOW };
    let list = DeviceList {
        account: ACCOUNT.to_owned(),
        version: 3,
        issued: NOW,
        devices: [(number(1), device(77)), (number(3), device(78))].into(),
        removed: [(number(2), NOW)].into(),
    };
    let document = list.sign(&owner.private, &mut rng()).to_bytes();
    let read = SignedDeviceList::from_bytes(&document).unwrap();
    let verified = read.verify(ACCOUNT, &owner.public, None).unwrap();
    json!({
        "account": ACCOUNT,
        "identity": hex(&owner.public.to_bytes()),
        "document": hex(&document),
        "hash": hex(verified.hash()),
        "devices": [1, 3],
    })
}

/// A chain with every change; each document follows the one before.
fn group_epochs() -> Value {
    let (owner, other, third) = (identity(1), identity(2), identity(3));
    let person = |account: &str, pair: &KeyPair| Person {
        account: account.to_owned(),
        identity: pair.public,
    };
    let create = GroupEpoch {
        group: GROUP.to_owned(),
        epoch: 1,
        previous: None,
        actor: Some(ACCOUNT.to_owned()),
        change: Change::Create {
            owner: person(ACCOUNT, &owner),
            region: "eu.example".to_owned(),
            title: vec![1, 2, 3],
        },
        issued: NOW,
    };
    let mut documents = vec![create.sign(&owner.private, &mut rng())];
    let mut state = GroupState::create(GROUP, &documents[0]).unwrap();
    let us = || "us.example".to_owned();
    let steps = [
        (ACCOUNT, Change::Invite(person(OTHER, &other))),
        (OTHER, Change::Accept),
        (ACCOUNT, Change::SetRole { account: OTHER.to_owned(), role: GroupRole::Admin }),
        (OTHER, Change::Rename(vec![4, 5])),
        (ACCOUNT, Change::SetDeputies(vec![us()])),
        ("", Change::TakeOver(us())),
        (ACCOUNT, Change::Remove(OTHER.to_owned())),
        (ACCOUNT, Change::Add(person(OTHER, &other))),
        (ACCOUNT, Change::Invite(person(THIRD, &third))),
        (THIRD, Change::Leave),
        (ACCOUNT, Change::Leave),
    ];
    for (actor, change) in steps {
        let epoch = state.propose(actor, change, NOW);
        let document = match actor {
            ACCOUNT => epoch.sign(&owner.private, &mut rng()),
            OTHER => epoch.sign(&other.private, &mut rng()),
            THIRD => epoch.sign(&third.private, &mut rng()),
            _ => GroupEpoch { actor: None, ..epoch }.unsigned(),
        };
        let document = SignedGroupEpoch::from_bytes(&document.to_bytes()).unwrap();
        state = state.apply(&document).unwrap();
        documents.push(document);
    }
    assert_eq!(state.members()[OTHER].role, GroupRole::Owner, "the heir");
    json!({
        "group": GROUP,
        "documents": documents.iter().map(|d| hex(&d.to_bytes())).collect::<Vec<_>>(),
        "hash": hex(state.hash()),
        "members": { OTHER: "owner" },
        "region": state.region(),
    })
}

fn paddings() -> Value {
    let message = |len: usize| json!([len, padding::pad_message(&vec![1; len]).len()]);
    let media = |len: u64| json!([len, padding::padded_media_len(len)]);
    let messages = [0, 158, 159, 1_000, 40_958, 40_959, 61_440].map(message);
    let media = [0, 1_024, 1_025, 100_000, 1_000_001, 4_294_967_297].map(media);
    json!({ "message": messages, "media": media })
}

fn safety_number() -> Value {
    let (ours, theirs) = (identity(1), identity(2));
    let number =
        SafetyNumber::new(ACCOUNT.as_bytes(), &ours.public, OTHER.as_bytes(), &theirs.public);
    json!({
        "local": [ACCOUNT, hex(&ours.public.to_bytes())],
        "remote": [OTHER, hex(&theirs.public.to_bytes())],
        "digits": number.digits(),
        "scannable": hex(&number.scannable()),
    })
}
