//! What `Debug` shows of everything that holds a secret: names, counts and public keys only.
//! A type that gains a field shows it here first.

#![cfg(test)]

use std::collections::BTreeSet;

use posthouse_crypto::{
    e2ee::{
        address::{Address, DeviceId},
        attachment::{ChunkDecryptor, Decryptor, Encryptor},
        content::{
            Body, Content, Mention,
            history::{HistoryChunk, HistoryStep},
        },
        device::LocalDevice,
        group::{
            receiving::ReceivedSenderKeys,
            sending::{NotReady, SendingGroup},
        },
        prekey::store::PreKeys,
        primitives::{curve::KeyPair, kem::KemKeyPair},
        profile::AcceptedProfiles,
        resend::RecentlySent,
        time::UnixMillis,
    },
    seal::{Encapsulation, SealingKey},
    sign::SigningKey,
};
use rand::{SeedableRng, rngs::StdRng};
use zeroize::Zeroizing;

const NOW: UnixMillis = UnixMillis(1);

/// The text without its public data: hexadecimal keys and lists of bytes become `_`.
fn shape(value: &impl core::fmt::Debug) -> String {
    let mut shape = String::new();
    for word in format!("{value:?}").split_inclusive([' ', ',', '(', ')', '[', ']', '{', '}']) {
        let bare = word.trim_end_matches([' ', ',', ')', ']', '}']);
        let data = bare.len() == 64 || bare.parse::<u64>().is_ok();
        shape.push_str(&if data { word.replacen(bare, "_", 1) } else { word.to_owned() });
    }
    while shape.contains("_, _") {
        shape = shape.replace("_, _", "_");
    }
    shape
}

fn address() -> Address {
    Address::new("b@south.test", DeviceId::new(1).unwrap()).unwrap()
}

#[test]
fn keys() {
    let rng = &mut StdRng::seed_from_u64(1);
    insta::assert_snapshot!(shape(&KeyPair::generate(rng)), @"KeyPair { public: _, private: PrivateKey(..) }");
    insta::assert_snapshot!(shape(&KemKeyPair::generate(rng)), @"KemKeyPair { public: KemPublicKey(c67b5b..), .. }");
    insta::assert_snapshot!(shape(&SigningKey::generate(rng)), @"SigningKey { public: _, .. }");
    insta::assert_snapshot!(shape(&SealingKey::generate(Encapsulation::X25519, rng)), @"SealingKey { encapsulation: X25519, .. }");
    insta::assert_snapshot!(shape(&SealingKey::generate(Encapsulation::XWing, rng)), @"SealingKey { encapsulation: XWing, .. }");
}

#[test]
fn a_device_with_its_prekeys() {
    let rng = &mut StdRng::seed_from_u64(2);
    let identity = KeyPair::generate(rng);
    let mut prekeys = PreKeys::new(&identity, NOW, rng);
    prekeys.replenish(&identity, 1, rng);
    let accepts = AcceptedProfiles::default();
    let device = LocalDevice { address: address(), identity, registration_id: 5, prekeys, accepts };
    insta::assert_snapshot!(shape(&device), @r#"LocalDevice { address: Address { name: "b@south.test", device: _ }, identity: KeyPair { public: _, private: PrivateKey(..) }, registration_id: _, prekeys: PreKeys { next_id: _, signed: [Lasting { id: _, signed: Signed { key: KeyPair { public: _, private: PrivateKey(..) }, signature: [_] }, made: UnixMillis(_) }], last_resort: [Lasting { id: _, signed: Signed { key: KemKeyPair { public: KemPublicKey(f2bc4f..), .. }, signature: [_] }, made: UnixMillis(_) }], one_time: {3: KeyPair { public: _, private: PrivateKey(..) }}, one_time_kem: {4: Signed { key: KemKeyPair { public: KemPublicKey(b921ba..), .. }, signature: [_] }}, remembered: [] }, accepts: AcceptedProfiles { pqxdh: false, x3dh: false } }"#);
}

#[test]
fn groups() {
    let rng = &mut StdRng::seed_from_u64(3);
    let mut sending = SendingGroup::new([3; 16]);
    let not_ready = sending.ready(&BTreeSet::from([address()]), NOW, rng);
    let Err(NotReady::Undistributed(handed)) = not_ready else { panic!("nobody holds the key") };
    sending.mark_distributed(handed.distribution.chain_id(), address());
    let mut received = ReceivedSenderKeys::new([3; 16]);
    received.process(&handed.distribution).unwrap();
    insta::assert_snapshot!(shape(&handed), @r#"Undistributed { distribution: SenderKeyDistribution { distribution_id: [_], chain_id: _, iteration: _, chain_key: Secret<32>(..), signing_key: _ }, missing: [Address { name: "b@south.test", device: _ }] }"#);
    insta::assert_snapshot!(shape(&sending), @r#"SendingGroup { distribution_id: [_], key: Some(OwnSenderKey { chain_id: _, chain: SenderChain { key: Secret<32>(..), iteration: _ }, signing_key: KeyPair { public: _, private: PrivateKey(..) }, made: UnixMillis(_), used: _, holders: {Address { name: "b@south.test", device: _ }} }) }"#);
    insta::assert_snapshot!(shape(&received), @"ReceivedSenderKeys { distribution_id: [_], keys: [ReceivedKey { chain_id: _, signing_key: _, chain: SenderChain { key: Secret<32>(..), iteration: _ }, skipped: SkippedKeys([]) }] }");
    let ready = sending.ready(&BTreeSet::from([address()]), NOW, rng).unwrap();
    insta::assert_snapshot!(shape(&ready), @r#"ReadySender { distribution_id: [_], key: OwnSenderKey { chain_id: _, chain: SenderChain { key: Secret<32>(..), iteration: _ }, signing_key: KeyPair { public: _, private: PrivateKey(..) }, made: UnixMillis(_), used: _, holders: {Address { name: "b@south.test", device: _ }} } }"#);
}

#[test]
fn attachments() {
    let mut out = Vec::new();
    let mut encryptor = Encryptor::new(&mut StdRng::seed_from_u64(4), &mut out);
    encryptor.push(b"secret", &mut out).unwrap();
    insta::assert_snapshot!(shape(&encryptor), @"Encryptor { size: _, .. }");
    let sealed = encryptor.finish(&mut out).unwrap();
    insta::assert_snapshot!(shape(&sealed), @"SealedAttachment { key: Secret<32>(..), digest: [_], size: _ }");
    let mut decryptor = Decryptor::new(&sealed.key, sealed.digest, sealed.size).unwrap();
    decryptor.push(&out, &mut Vec::new()).unwrap();
    insta::assert_snapshot!(shape(&decryptor), @"Decryptor { left: _, .. }");
    let chunks = ChunkDecryptor::new(&sealed.key, sealed.size).unwrap();
    insta::assert_snapshot!(shape(&chunks), @"ChunkDecryptor { size: _, .. }");
}

#[test]
fn contents() {
    let text = Body::Text { text: "secret".to_owned() };
    let mut content = Content::new(NOW, None, text);
    content.mentions = vec![Mention { start: 0, len: 6, account: "b@south.test".to_owned() }];
    insta::assert_snapshot!(shape(&content), @"Content { sent_at: UnixMillis(_), conversation: None, expires_after: None, again: None, mentions: [Mention(..)], profile_key: None, body: Body { kind: _, .. }, unknown: {} }");
    let chunk =
        HistoryChunk { after: None, next: None, ends: true, messages: 1, of: 1, items: Vec::new() };
    insta::assert_snapshot!(shape(&chunk), @"HistoryChunk(..)");
    let step = HistoryStep::Request { after: Some(vec![1]) };
    insta::assert_snapshot!(shape(&step), @"Request(..)");
    insta::assert_snapshot!(shape(&HistoryStep::Chunk(chunk)), @"Chunk(..)");
    let mut recent = RecentlySent::new();
    let accounts = BTreeSet::from(["b@south.test".to_owned()]);
    recent.remember([1; 16], NOW, accounts, Zeroizing::new(b"secret".to_vec()));
    insta::assert_snapshot!(shape(&recent), @"RecentlySent { sent: [Sent { id: [_], at: UnixMillis(_), .. }], bytes: _ }");
}
