//! Every form goes there and back, and nothing else is read.

use posthouse_crypto::{
    e2ee::{
        prekey::store::PreKeys,
        primitives::curve::KeyPair,
        signed::device_list::{DeviceList, ListedDevice},
        time::UnixMillis,
    },
    sign::SigningKey,
};
use proptest::prelude::*;
use rand::{SeedableRng as _, rngs::StdRng};

use super::*;
use crate::{
    federation::{keys::KeyId, query::Query, signed::Signed},
    id::ServerName,
    time::Timestamp,
};

const NOW: UnixMillis = UnixMillis(1_700_000_000_000);

fn account() -> AccountId {
    let server = ServerName::parse("south.test").unwrap();
    AccountId { uuid: Uuid::from_u128(7), server }
}

fn number(number: u8) -> DeviceNumber {
    number.try_into().unwrap()
}

fn registration() -> RegistrationId {
    4_711_u32.try_into().unwrap()
}

fn id(id: u32) -> PreKeyId {
    id.try_into().unwrap()
}

/// Real keys: what is not a key is not read.
fn bundles() -> Bundles {
    let mut rng = StdRng::seed_from_u64(1);
    let identity = KeyPair::generate(&mut rng);
    let prekeys = PreKeys::new(&identity, NOW, &mut rng);
    let (signed, kem) = (prekeys.signed_public().unwrap(), prekeys.last_resort_public().unwrap());
    let device = posthouse_crypto::e2ee::address::DeviceId::new(2).unwrap();
    let listed = ListedDevice { registration_id: 4_711, added: NOW };
    let list = DeviceList {
        account: account().to_string(),
        version: 3,
        issued: NOW,
        devices: [(device, listed)].into(),
        removed: std::collections::BTreeMap::new(),
    };
    let bundle = |one_time| Bundle {
        device: number(2),
        registration_id: registration(),
        signed: SignedKey {
            id: id(signed.id),
            key: EcKey(signed.key),
            signature: Signature(signed.signature),
        },
        one_time,
        kem: KemPreKey {
            id: id(kem.id),
            key: KemKey(kem.key.clone()),
            signature: Signature(kem.signature),
        },
        last_resort: true,
    };
    let one_time = OneTimeKey { id: id(9), key: EcKey(identity.public) };
    Bundles {
        account_id: account(),
        identity_key: EcKey(identity.public),
        device_list: Some(ListDocument(list.sign(&identity.private, &mut rng))),
        bundles: vec![bundle(Some(one_time)), bundle(None)],
        without_keys: vec![number(4)],
    }
}

fn devices() -> UserDevices {
    let Bundles { identity_key, device_list, .. } = bundles();
    let device =
        |at, listed| UserDevice { device: number(at), registration_id: registration(), listed };
    UserDevices {
        account_id: account(),
        identity_key: Some(identity_key),
        version: 3,
        device_list,
        devices: vec![device(2, true), device(127, false)],
    }
}

fn claim() -> BundlesOf {
    BundlesOf {
        account: Uuid::from_u128(1),
        requester: Uuid::from_u128(2),
        request: Uuid::from_u128(3),
        devices: Some(vec![number(1), number(2)]),
    }
}

fn signed<Q: Question>(question: Q) -> Vec<u8> {
    let query = Query {
        origin: ServerName::parse("north.test").unwrap(),
        destination: account().server,
        created: Timestamp(NOW.0),
        signing_key: KeyId([0; 8]),
        question,
    };
    Signed::sign(query, &SigningKey::from_seed(&[3; 32])).encode()
}

fn given() -> DevicesAnswer {
    DevicesAnswer { devices: Some(devices()), gone_since: None, remember_for: 60 }
}

#[test]
fn who_is_gone_has_no_devices() {
    let both = DevicesAnswer { gone_since: Some(Timestamp(7)), ..given() };
    assert!(DevicesAnswer::decode(&both.encode(), &account()).is_err());
}

#[test]
fn answers_round_trip() {
    let bare = UserDevices {
        identity_key: None,
        device_list: None,
        version: 0,
        devices: Vec::new(),
        ..devices()
    };
    let gone = Some(Timestamp(1_705_234_567_890));
    for (devices, gone_since) in
        [(None, None), (None, gone), (Some(bare), None), (Some(devices()), None)]
    {
        let answer = DevicesAnswer { devices, gone_since, remember_for: 60 };
        assert_eq!(DevicesAnswer::decode(&answer.encode(), &account()).as_ref(), Ok(&answer));
    }
    let unlisted = Bundles { device_list: None, bundles: Vec::new(), ..bundles() };
    for answer in [
        BundlesAnswer::Given(Box::new(bundles())),
        BundlesAnswer::Given(Box::new(unlisted)),
        BundlesAnswer::NoAccount,
        BundlesAnswer::NoIdentity,
        BundlesAnswer::OtherRequest,
    ] {
        assert_eq!(BundlesAnswer::decode(&answer.encode(), &account()).as_ref(), Ok(&answer));
    }
}

#[test]
#[ignore = "writes the seeds of the fuzzer after a wanted change of the protocol"]
fn write_seeds() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/fuzz/seeds/small");
    for (name, bytes) in [
        ("devices_query", signed(DevicesOf(Uuid::from_u128(1)))),
        ("bundle_query", signed(claim())),
        ("devices_answer", given().encode()),
        ("bundle_answer", BundlesAnswer::Given(Box::new(bundles())).encode()),
    ] {
        std::fs::write(format!("{folder}/{name}"), bytes).unwrap();
    }
}

#[test]
fn the_largest_answer_fits() {
    let Bundles { bundles: some, device_list, .. } = bundles();
    let many = Bundles { bundles: vec![some[0].clone(); limits::MAX_DEVICES], ..bundles() };
    let list = device_list.unwrap().to_wire().len();
    let answer = BundlesAnswer::Given(Box::new(many)).encode().len();
    assert!(answer - list + limits::MAX_DEVICE_LIST <= crate::federation::limits::MAX_QUERY);
    let nine = Bundles { bundles: vec![some[0].clone(); limits::MAX_DEVICES + 1], ..bundles() };
    let nine = BundlesAnswer::Given(Box::new(nine)).encode();
    assert!(BundlesAnswer::decode(&nine, &account()).is_err());
}

#[test]
fn questions_round_trip_and_are_told_apart() {
    let all = BundlesOf { devices: None, ..claim() };
    for question in [claim(), all] {
        let decoded = Signed::<Query<BundlesOf>>::decode(&signed(question.clone())).unwrap();
        assert_eq!(decoded.claim().question, question);
    }
    let question = DevicesOf(Uuid::from_u128(1));
    let decoded = Signed::<Query<DevicesOf>>::decode(&signed(question)).unwrap();
    assert_eq!(decoded.claim().question, question);
    for devices in [vec![], vec![number(1); limits::MAX_DEVICES + 1]] {
        let wrong = signed(BundlesOf { devices: Some(devices), ..claim() });
        assert!(Signed::<Query<BundlesOf>>::decode(&wrong).is_err());
    }
    // A nonce has the form of an account: only the label tells them apart.
    let echo = signed(crate::federation::query::Nonce([1; 16]));
    let turned = Signed::<Query<DevicesOf>>::decode(&echo).unwrap();
    assert!(turned.verify(&SigningKey::from_seed(&[3; 32]).verifying_key()).is_err());
}

proptest! {
    /// What comes from a stranger is read or refused; what is read is written in the same way.
    #[test]
    fn changed_answers_are_refused_or_mean_what_they_say(
        at: prop::sample::Index, bit in 0_u8..8, noise: Vec<u8>,
    ) {
        let devices = given().encode();
        let bundles = BundlesAnswer::Given(Box::new(bundles())).encode();
        let change = |bytes: &[u8]| {
            let mut bytes = bytes.to_vec();
            let at = at.index(bytes.len());
            bytes[at] ^= 1 << bit;
            bytes
        };
        for bytes in [change(&devices), change(&bundles), noise] {
            if let Ok(answer) = DevicesAnswer::decode(&bytes, &account()) {
                let again = DevicesAnswer::decode(&answer.encode(), &account());
                prop_assert_eq!(again.as_ref(), Ok(&answer));
            }
            if let Ok(answer) = BundlesAnswer::decode(&bytes, &account()) {
                let again = BundlesAnswer::decode(&answer.encode(), &account());
                prop_assert_eq!(again.as_ref(), Ok(&answer));
            }
        }
    }
}
