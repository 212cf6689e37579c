//! What a region may say of its users' keys, and every lie that a client would notice.

use posthouse_crypto::e2ee::{
    prekey::store::PreKeys,
    primitives::curve::KeyPair,
    signed::device_list::{DeviceList, ListedDevice},
    time::UnixMillis,
};
use posthouse_protocol::{
    id::ServerName,
    rest::keys::{KemKey, KemPreKey, OneTimeKey, Signature, SignedKey, UserDevice},
};
use rand::{SeedableRng as _, rngs::StdRng};
use uuid::Uuid;

use super::*;

const NOW: UnixMillis = UnixMillis(1_700_000_000_000);

struct User {
    account: AccountId,
    identity: KeyPair,
    prekeys: PreKeys,
    rng: StdRng,
}

fn user(number: u64) -> User {
    let mut rng = StdRng::seed_from_u64(number);
    let identity = KeyPair::generate(&mut rng);
    let prekeys = PreKeys::new(&identity, NOW, &mut rng);
    let server = ServerName::parse("north.test").unwrap();
    let account = AccountId { uuid: Uuid::from_u128(number.into()), server };
    User { account, identity, prekeys, rng }
}

impl User {
    /// A signed list of these devices, each with its number as registration id.
    fn list(&mut self, version: u64, devices: &[u8]) -> ListDocument {
        let device = |number: &u8| {
            let number = u64::from(*number);
            let registration_id = u32::try_from(number).unwrap();
            (DeviceId::new(number).unwrap(), ListedDevice { registration_id, added: NOW })
        };
        let list = DeviceList {
            account: self.account.to_string(),
            version,
            issued: UnixMillis(NOW.0 + version),
            devices: devices.iter().map(device).collect(),
            removed: std::collections::BTreeMap::new(),
        };
        ListDocument(list.sign(&self.identity.private, &mut self.rng))
    }

    fn devices(&mut self, version: u64, numbers: &[u8]) -> UserDevices {
        UserDevices {
            account_id: self.account.clone(),
            identity_key: Some(EcKey(self.identity.public)),
            version,
            device_list: Some(self.list(version, numbers)),
            devices: numbers.iter().map(|number| device(*number, true)).collect(),
        }
    }

    fn bundles(&mut self, listed: &[u8], numbers: &[u8]) -> Bundles {
        Bundles {
            account_id: self.account.clone(),
            identity_key: EcKey(self.identity.public),
            device_list: Some(self.list(1, listed)),
            bundles: numbers.iter().map(|number| self.bundle(*number)).collect(),
            without_keys: Vec::new(),
        }
    }

    fn bundle(&self, number: u8) -> Bundle {
        let (signed, kem) =
            (self.prekeys.signed_public().unwrap(), self.prekeys.last_resort_public().unwrap());
        Bundle {
            device: number.try_into().unwrap(),
            registration_id: u32::from(number).try_into().unwrap(),
            signed: SignedKey {
                id: signed.id.try_into().unwrap(),
                key: EcKey(signed.key),
                signature: Signature(signed.signature),
            },
            one_time: Some(OneTimeKey { id: 9.try_into().unwrap(), key: EcKey(signed.key) }),
            kem: KemPreKey {
                id: kem.id.try_into().unwrap(),
                key: KemKey(kem.key),
                signature: Signature(kem.signature),
            },
            last_resort: true,
        }
    }
}

fn device(number: u8, listed: bool) -> UserDevice {
    let registration_id = u32::from(number).try_into().unwrap();
    UserDevice { device: number.try_into().unwrap(), registration_id, listed }
}

#[track_caller]
fn refuses<T>(result: Result<T, Rejection>, why: &str) {
    let detail = match result {
        Ok(_) => panic!("it is believed: {why}"),
        Err(rejection) => {
            assert_eq!(rejection.code, Code::AnswerRefused);
            rejection.detail
        }
    };
    assert!(detail.contains(why), "{detail}");
}

#[test]
fn what_the_user_signed_is_believed() {
    let mut ada = user(1);
    let first = ada.devices(1, &[1]);
    devices(&first, None).unwrap();
    devices(&first, Some(&first)).unwrap();
    let mut later = ada.devices(3, &[1, 2]);
    // One that nobody vouches for yet may be named, and is nobody to encrypt for.
    later.devices.push(device(3, false));
    devices(&later, Some(&first)).unwrap();
    // A revoked one is still in the list.
    later.devices.remove(1);
    devices(&later, Some(&first)).unwrap();
    let nothing = UserDevices {
        identity_key: None,
        version: 0,
        device_list: None,
        devices: vec![device(1, false)],
        ..first.clone()
    };
    devices(&nothing, None).unwrap();
    // Another identity key begins anew, which people are told of.
    let renewed =
        UserDevices { identity_key: Some(EcKey(user(2).identity.public)), version: 3, ..nothing };
    devices(&renewed, Some(&later)).unwrap();
}

#[test]
fn lists_that_a_client_would_refuse_are_refused() {
    let mut ada = user(1);
    let (first, second) = (ada.devices(1, &[1]), ada.devices(2, &[1, 2]));
    let mut ghost = first.clone();
    ghost.devices.push(device(2, true));
    refuses(devices(&ghost, None), "does not name device 2");
    let mut exchanged = first.clone();
    exchanged.devices[0].registration_id = 77.try_into().unwrap();
    refuses(devices(&exchanged, None), "does not name device 1");
    let foreign = UserDevices { device_list: Some(user(2).list(1, &[1])), ..first.clone() };
    refuses(devices(&foreign, None), "the device list");
    let mut twin = User { account: user(2).account, ..user(1) };
    let of_another = UserDevices { device_list: Some(twin.list(1, &[1])), ..first.clone() };
    refuses(devices(&of_another, None), "the device list");
    refuses(devices(&UserDevices { version: 2, ..first.clone() }, None), "the version");
    refuses(devices(&first, Some(&second)), "the device list");
    let fork = ada.devices(2, &[2]);
    refuses(devices(&fork, Some(&second)), "the device list");
    let gone = UserDevices { device_list: None, devices: Vec::new(), ..second.clone() };
    refuses(devices(&gone, Some(&second)), "gone");
    let keyless = UserDevices { identity_key: None, ..first.clone() };
    refuses(devices(&keyless, None), "no identity key");
    let unlisted = UserDevices { device_list: None, ..first.clone() };
    refuses(devices(&unlisted, None), "does not name device 1");
    let mut doubled = second.clone();
    doubled.devices[1] = device(1, true);
    refuses(devices(&doubled, None), "named twice");
    let back = UserDevices {
        identity_key: None,
        version: 1,
        device_list: None,
        devices: Vec::new(),
        ..first
    };
    refuses(devices(&back, Some(&second)), "gone back");
}

#[test]
fn bundles_that_a_client_would_refuse_are_refused() {
    let mut ada = user(1);
    let good = ada.bundles(&[1, 2], &[1, 2]);
    let numbers: Vec<DeviceNumber> = good.bundles.iter().map(|one| one.device).collect();
    bundles(&good, None, None).unwrap();
    bundles(&good, Some(&numbers), None).unwrap();
    bundles(&Bundles { device_list: None, ..good.clone() }, None, None).unwrap();
    refuses(bundles(&good, Some(&numbers[..1]), None), "not asked for");
    let without = Bundles { without_keys: numbers[1..].to_vec(), ..ada.bundles(&[1, 2], &[1]) };
    refuses(bundles(&without, Some(&numbers[..1]), None), "not asked for");
    refuses(bundles(&ada.bundles(&[1], &[1, 2]), None, None), "does not name device 2");
    refuses(bundles(&ada.bundles(&[1], &[1, 1]), None, None), "named twice");
    let mut changed = good.clone();
    changed.bundles[0].registration_id = 77.try_into().unwrap();
    refuses(bundles(&changed, None, None), "does not name device 1");
    let strange = user(2).bundle(1);
    for which in 0..2 {
        let mut changed = good.clone();
        let bundle = &mut changed.bundles[1];
        if which == 0 {
            bundle.signed = strange.signed.clone();
        } else {
            bundle.kem = strange.kem.clone();
        }
        refuses(bundles(&changed, None, None), "not signed");
    }
    let newer = ada.devices(2, &[1, 2]);
    refuses(bundles(&good, None, Some(&newer)), "the device list");
    let unlisted = Bundles { device_list: None, ..good };
    refuses(bundles(&unlisted, None, Some(&newer)), "gone");
}
