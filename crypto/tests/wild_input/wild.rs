//! The entry points for wild input, and real bytes to change.

use std::{collections::BTreeSet, sync::OnceLock};

use posthouse_crypto::{
    e2ee::{
        address::{Address, DeviceId},
        attachment::{ChunkDecryptor, Decryptor},
        content::{Body, Content},
        device::LocalDevice,
        group::{
            receiving::ReceivedSenderKeys,
            sending::{NotReady, SendingGroup},
        },
        identity::KnownIdentities,
        padding,
        prekey::store::PreKeys,
        primitives::{
            curve::{KeyPair, PublicKey},
            kem::{KemCiphertext, KemKeyPair, KemPublicKey},
        },
        profile::AcceptedProfiles,
        safety_number::SafetyNumber,
        secret::Secret,
        session::{Ciphertext, Peer, Session},
        signed::{
            device_list::{DeviceList, ListedDevice, SignedDeviceList},
            group_epoch::{Change, GroupEpoch, GroupState, Person, SignedGroupEpoch},
        },
        time::UnixMillis,
        wire::{
            message::SignalMessage,
            prekey_message::PreKeySignalMessage,
            sender_key_message::{SenderKeyDistribution, SenderKeyMessage},
        },
    },
    seal::{Encapsulation, SealingKey, SealingPublicKey},
    sign::VerifyingKey,
};
use proptest::prelude::*;
use rand::{SeedableRng, rngs::StdRng};

const NOW: UnixMillis = UnixMillis(1_000);

/// Gives the bytes to everything that reads bytes of strangers or of storage.
pub(crate) fn parse(bytes: &[u8]) {
    let owner = &fixture().b.identity;
    let _ = PublicKey::from_bytes(bytes);
    let _ = KemPublicKey::from_bytes(bytes);
    let _ = KemCiphertext::from_bytes(bytes);
    let _ = KemKeyPair::from_bytes(bytes);
    let _ = SignalMessage::from_bytes(bytes);
    let _ = PreKeySignalMessage::from_bytes(bytes);
    let _ = SenderKeyDistribution::from_bytes(bytes);
    if let Ok(message) = SenderKeyMessage::from_bytes(bytes) {
        let _ = fixture().group.clone().decrypt(&message);
    }
    let _ = padding::unpad_message(bytes);
    let _ = Content::from_padded_bytes(bytes);
    let _ = Content::from_padded_bytes(&padding::pad_message(bytes));
    if let Ok(list) = SignedDeviceList::from_bytes(bytes) {
        let _ = list.verify("b@south.test", &owner.public, None);
    }
    if let Ok(epoch) = SignedGroupEpoch::from_bytes(bytes) {
        let _ = GroupState::create("g@south.test", &epoch);
        let _ = fixture().state.apply(&epoch);
    }
    let _ = KnownIdentities::from_bytes(bytes);
    let _ = PreKeys::from_bytes(bytes);
    let _ = ReceivedSenderKeys::from_bytes(bytes);
    let _ = SendingGroup::from_bytes(bytes);
    let _ = fixture().number.compare(bytes);
    if let Ok(session) = Session::from_bytes(bytes) {
        use_session(session);
    }
    open_sealed(bytes);
    let key = Secret::new([1; 32]);
    if let Ok(mut decryptor) = Decryptor::new(&key, [0; 32], bytes.len() as u64) {
        let mut out = Vec::new();
        let _ = decryptor.push(bytes, &mut out).and_then(|()| decryptor.finish());
    }
    if let Ok(chunks) = ChunkDecryptor::new(&key, bytes.len() as u64) {
        let _ = chunks.open(0, bytes);
    }
}

/// Keys of servers, and what was sealed to them.
fn open_sealed(bytes: &[u8]) {
    for kind in [Encapsulation::XWing, Encapsulation::X25519] {
        let _ = SealingPublicKey::from_bytes(kind, bytes);
        if let Some((encapsulated, sealed)) = bytes.split_at_checked(kind.encapsulated_len()) {
            let key = SealingKey::from_secret(kind, &[7; 32]).unwrap();
            assert!(key.open(b"info", &[], encapsulated, sealed).is_err());
        }
    }
    if let Some((key, rest)) = bytes.split_first_chunk()
        && let Some((signature, message)) = rest.split_first_chunk()
        && let Ok(key) = VerifyingKey::from_bytes(key)
    {
        let _ = key.verify(message, signature);
    }
}

/// A session of whatever state must encrypt and decrypt without a panic.
fn use_session(mut session: Session) {
    let Fixture { a, b, messages, .. } = fixture();
    let mut rng = StdRng::seed_from_u64(9);
    let peer = Peer { address: &a.address, known: None };
    for sent in messages {
        if let Ok(message) = SignalMessage::from_bytes(sent.as_bytes()) {
            let _ = session.decrypt(b, peer, &message, &mut rng);
        }
        if let Ok(message) = PreKeySignalMessage::from_bytes(sent.as_bytes()) {
            let _ = session.decrypt_prekey(&mut b.clone(), peer, &message, &mut rng);
        }
    }
    let _ = session.encrypt(b, peer, b"x", NOW, &mut rng);
    let _ = (session.info(), session.to_bytes());
}

/// A sound message to B.
pub(crate) fn message(which: usize) -> &'static [u8] {
    let messages = &fixture().messages;
    messages[which % messages.len()].as_bytes()
}

/// Decrypts a changed message in a sound state. It is not read, and the state still reads the
/// sound message that it was made from.
pub(crate) fn decrypt_changed_message(which: usize, bytes: &[u8]) {
    let Fixture { a, b, session, .. } = fixture();
    let mut rng = StdRng::seed_from_u64(9);
    let (mut session, mut b) = (session.clone(), b.clone());
    let peer = Peer { address: &a.address, known: None };
    let sound = message(which);
    if bytes != sound {
        let before = session.to_bytes();
        if let Ok(message) = SignalMessage::from_bytes(bytes) {
            assert!(session.decrypt(&b, peer, &message, &mut rng).is_err());
        }
        let read = PreKeySignalMessage::from_bytes(bytes)
            .is_ok_and(|message| session.decrypt_prekey(&mut b, peer, &message, &mut rng).is_ok());
        // The fields around the message itself have no MAC, and a sound one inside is read.
        assert!(read || session.to_bytes() == before);
        if read {
            return;
        }
    }
    let read = match SignalMessage::from_bytes(sound) {
        Ok(message) => session.decrypt(&b, peer, &message, &mut rng).is_ok(),
        Err(_) => PreKeySignalMessage::from_bytes(sound)
            .is_ok_and(|message| session.decrypt_prekey(&mut b, peer, &message, &mut rng).is_ok()),
    };
    assert!(read, "a changed message spoilt the state");
}

/// Decrypts sound messages in a changed state.
pub(crate) fn decrypt_with_changed_state(edits: &[Edit]) {
    let changed = edited(&fixture().session.to_bytes(), edits);
    if let Ok(session) = Session::from_bytes(&changed) {
        use_session(session);
    }
}

/// A change to bytes.
#[derive(Clone, Debug)]
pub(crate) enum Edit {
    /// Puts another byte in.
    Set(prop::sample::Index, u8),
    /// Cuts out up to 64 bytes.
    Cut(prop::sample::Index, u8),
    /// Doubles up to 64 bytes.
    Double(prop::sample::Index, u8),
}

pub(crate) fn edits() -> impl Strategy<Value = Vec<Edit>> {
    let edit = prop_oneof![
        6 => (any::<prop::sample::Index>(), any::<u8>()).prop_map(|(at, b)| Edit::Set(at, b)),
        1 => (any::<prop::sample::Index>(), 0..64_u8).prop_map(|(at, n)| Edit::Cut(at, n)),
        1 => (any::<prop::sample::Index>(), 0..64_u8).prop_map(|(at, n)| Edit::Double(at, n)),
    ];
    proptest::collection::vec(edit, 1..4)
}

pub(crate) fn edited(bytes: &[u8], edits: &[Edit]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    for edit in edits {
        if bytes.is_empty() {
            break;
        }
        match edit {
            Edit::Set(at, byte) => {
                let at = at.index(bytes.len());
                bytes[at] = *byte;
            }
            Edit::Cut(at, len) => {
                let at = at.index(bytes.len());
                let end = (at + usize::from(*len)).min(bytes.len());
                bytes.drain(at..end);
            }
            Edit::Double(at, len) => {
                let at = at.index(bytes.len());
                let end = (at + usize::from(*len)).min(bytes.len());
                let copy = bytes[at..end].to_vec();
                bytes.splice(at..at, copy);
            }
        }
    }
    bytes
}

struct Fixture {
    a: LocalDevice,
    b: LocalDevice,
    /// B's session with A.
    session: Session,
    /// To B: one that begins another session, and messages of this one.
    messages: Vec<Ciphertext>,
    group: ReceivedSenderKeys,
    state: GroupState,
    number: SafetyNumber,
    samples: Vec<Vec<u8>>,
}

/// Sound bytes of every kind.
pub(crate) fn samples() -> &'static [Vec<u8>] {
    &fixture().samples
}

fn fixture() -> &'static Fixture {
    static FIXTURE: OnceLock<Fixture> = OnceLock::new();
    FIXTURE.get_or_init(make_fixture)
}

fn device(name: &str, rng: &mut StdRng) -> LocalDevice {
    let identity = KeyPair::generate(rng);
    LocalDevice {
        address: Address::new(name, DeviceId::new(1).unwrap()).unwrap(),
        prekeys: PreKeys::new(&identity, NOW, rng),
        identity,
        registration_id: 5,
        accepts: AcceptedProfiles::default(),
    }
}

fn make_fixture() -> Fixture {
    let mut rng = StdRng::seed_from_u64(1);
    let (a, mut b) = (device("a@north.test", &mut rng), device("b@south.test", &mut rng));
    b.prekeys.replenish(&b.identity.clone(), 2, &mut rng);
    let (mut ours, mut session) = (Session::new(), Session::new());
    let to_b = Peer { address: &b.address.clone(), known: None };
    let to_a = Peer { address: &a.address, known: None };
    let bundle = b.bundle(None, None).unwrap().verify().unwrap();
    ours.initiate(&a, to_b, &bundle, NOW, &mut rng).unwrap();
    let first = ours.encrypt(&a, to_b, b"first", NOW, &mut rng).unwrap();
    let message = PreKeySignalMessage::from_bytes(first.as_bytes()).unwrap();
    session.decrypt_prekey(&mut b, to_a, &message, &mut rng).unwrap();
    for _ in 0..30 {
        let sent = session.encrypt(&b, to_a, b"x", NOW, &mut rng).unwrap();
        let message = SignalMessage::from_bytes(sent.as_bytes()).unwrap();
        ours.decrypt(&a, to_b, &message, &mut rng).unwrap();
        let sent = ours.encrypt(&a, to_b, b"x", NOW, &mut rng).unwrap();
        let message = SignalMessage::from_bytes(sent.as_bytes()).unwrap();
        session.decrypt(&b, to_a, &message, &mut rng).unwrap();
    }
    let mut other = Session::new();
    other.initiate(&a, to_b, &bundle, NOW, &mut rng).unwrap();
    let mut messages = vec![other.encrypt(&a, to_b, b"a session more", NOW, &mut rng).unwrap()];
    messages.extend((0..3).map(|_| ours.encrypt(&a, to_b, b"more", NOW, &mut rng).unwrap()));

    let (group, group_samples) = make_group(&mut rng);
    let (state, documents) = make_documents(&b, &mut rng);
    let (mine, theirs) = (b.identity.public, a.identity.public);
    let number = SafetyNumber::new(b"b@south.test", &mine, b"a@north.test", &theirs);
    let body = Body::Text { text: "hello".to_owned() };
    let content = Content::new(NOW, Some("a@north.test".to_owned()), body);
    let mut known = KnownIdentities::new();
    known.accept("a@north.test", theirs);
    let mut samples = vec![
        session.to_bytes().to_vec(),
        b.prekeys.to_bytes().to_vec(),
        number.scannable(),
        content.to_padded_bytes().unwrap().to_vec(),
        known.to_bytes(),
        group.to_bytes().to_vec(),
    ];
    samples.extend(messages.iter().map(|message| message.as_bytes().to_vec()));
    samples.extend(group_samples);
    samples.extend(documents);
    Fixture { a, b, session, messages, group, state, number, samples }
}

fn make_group(rng: &mut StdRng) -> (ReceivedSenderKeys, Vec<Vec<u8>>) {
    let mut sending = SendingGroup::new([3; 16]);
    let to = BTreeSet::from([Address::new("b@south.test", DeviceId::new(1).unwrap()).unwrap()]);
    let Err(NotReady::Undistributed(handed)) = sending.ready(&to, NOW, rng) else {
        panic!("nobody holds the key yet")
    };
    for device in handed.missing {
        sending.mark_distributed(handed.distribution.chain_id(), device);
    }
    let mut group = ReceivedSenderKeys::new([3; 16]);
    group.process(&handed.distribution).unwrap();
    let message = sending.ready(&to, NOW, rng).unwrap().encrypt(b"to all", rng).unwrap();
    let distribution = handed.distribution.to_bytes().to_vec();
    (group, vec![message, distribution, sending.to_bytes().to_vec()])
}

fn make_documents(owner: &LocalDevice, rng: &mut StdRng) -> (GroupState, Vec<Vec<u8>>) {
    let device = ListedDevice { registration_id: 5, added: NOW };
    let list = DeviceList {
        account: "b@south.test".to_owned(),
        version: 1,
        issued: NOW,
        devices: [(DeviceId::new(1).unwrap(), device)].into(),
        removed: [(DeviceId::new(2).unwrap(), NOW)].into(),
    };
    let person = Person { account: "b@south.test".to_owned(), identity: owner.identity.public };
    let first = GroupEpoch {
        group: "g@south.test".to_owned(),
        epoch: 1,
        previous: None,
        actor: Some("b@south.test".to_owned()),
        change: Change::Create { owner: person, region: "south.test".to_owned(), title: vec![1] },
        issued: NOW,
    };
    let first = first.sign(&owner.identity.private, rng);
    let state = GroupState::create("g@south.test", &first).unwrap();
    let next = state.propose("b@south.test", Change::Rename(vec![2]), NOW);
    let next = next.sign(&owner.identity.private, rng).to_bytes();
    let list = list.sign(&owner.identity.private, rng).to_bytes();
    (state, vec![list, first.to_bytes(), next])
}
