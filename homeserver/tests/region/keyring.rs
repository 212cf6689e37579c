//! The keys of an account, and what its first device signs with them.

use posthouse_crypto::e2ee::{
    prekey::store::PreKeys, primitives::curve::KeyPair, signed::device_list::DeviceList,
    time::UnixMillis,
};
use posthouse_protocol::{
    id::AccountId,
    rest::keys::{
        EcKey, KemKey, KemPreKey, ListDocument, OneTimeKey, Signature, SignedKey, UploadPreKeys,
    },
};
use rand::{SeedableRng, rngs::StdRng};
use serde_json::{Value, json};

/// The keys of an account, as its first device holds them.
pub(crate) struct Keyring {
    pub(crate) identity: KeyPair,
    pub(crate) prekeys: PreKeys,
    pub(crate) rng: StdRng,
}

impl Keyring {
    pub(crate) fn new(seed: u64) -> Self {
        let mut rng = StdRng::seed_from_u64(seed);
        let identity = KeyPair::generate(&mut rng);
        let prekeys = PreKeys::new(&identity, UnixMillis(1_700_000_000_000), &mut rng);
        Self { identity, prekeys, rng }
    }

    pub(crate) fn identity_key(&self) -> Value {
        json!(EcKey(self.identity.public))
    }

    /// The lasting keys, and one-time keys until there are `target`.
    pub(crate) fn upload(&mut self, target: usize) -> UploadPreKeys {
        let (curve, kem) = self.prekeys.replenish(&self.identity, target, &mut self.rng);
        let signed = self.prekeys.signed_public().unwrap();
        let last = self.prekeys.last_resort_public().unwrap();
        let kem_key = |key: posthouse_crypto::e2ee::prekey::bundle::KemPreKeyPublic| KemPreKey {
            id: key.id.try_into().unwrap(),
            key: KemKey(key.key),
            signature: Signature(key.signature),
        };
        UploadPreKeys {
            signed: Some(SignedKey {
                id: signed.id.try_into().unwrap(),
                key: EcKey(signed.key),
                signature: Signature(signed.signature),
            }),
            last_resort: Some(kem_key(last)),
            one_time: curve
                .into_iter()
                .map(|key| OneTimeKey { id: key.id.try_into().unwrap(), key: EcKey(key.key) })
                .collect(),
            one_time_kem: kem.into_iter().map(kem_key).collect(),
        }
    }

    /// Signs a list of these devices, of which each is a number and a registration id.
    pub(crate) fn list(
        &mut self,
        account: &AccountId,
        version: u64,
        devices: &[(u64, u32)],
    ) -> Value {
        self.list_after(account, version, devices, &[])
    }

    /// The same with devices that were removed, each with the version that did so: a list is issued
    /// that many milliseconds after a fixed time.
    pub(crate) fn list_after(
        &mut self,
        account: &AccountId,
        version: u64,
        devices: &[(u64, u32)],
        removed: &[(u64, u64)],
    ) -> Value {
        use posthouse_crypto::e2ee::{address::DeviceId, signed::device_list::ListedDevice};
        let at = |version: u64| UnixMillis(1_700_000_000_000 + version);
        let issued = at(version);
        let removed = removed.iter().map(|(number, by)| (DeviceId::new(*number).unwrap(), at(*by)));
        let devices = devices.iter().map(|(number, registration_id)| {
            let listed = ListedDevice { registration_id: *registration_id, added: issued };
            (DeviceId::new(*number).unwrap(), listed)
        });
        let list = DeviceList {
            account: account.to_string(),
            version,
            issued,
            devices: devices.collect(),
            removed: removed.collect(),
        };
        json!({ "list": ListDocument(list.sign(&self.identity.private, &mut self.rng)) })
    }
}
