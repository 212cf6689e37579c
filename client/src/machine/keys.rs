//! Own prekeys, and notices about other people's keys.

use posthouse_crypto::e2ee::{
    address::DeviceId,
    prekey::bundle::{KemPreKeyPublic, OneTimePreKeyPublic, SignedPreKeyPublic},
    signed::device_list::{ListedDevice, REUSE_AFTER},
    time::UnixMillis,
};
use posthouse_protocol::{
    frame::{KeysEvent, KeysFrame},
    id::DeviceNumber,
    limits::{LOW_PREKEYS, MAX_PREKEY_BATCH},
    rest::keys::{
        EcKey, KemKey, KemPreKey, ListDocument, OneTimeKey, PreKeyId, PreKeyStatus, Signature,
        SignedKey, UploadPreKeys,
    },
};

use super::{Call, ListChange, Step};
use crate::{
    records::{Person, own},
    store::{StoreError, Table},
};

impl Step<'_> {
    /// A notice about keys: an entry of the inbox.
    pub(super) async fn on_keys(&mut self, keys: &KeysFrame) -> Result<(), StoreError> {
        self.seen(keys.cursor);
        match (keys.event, &keys.user) {
            (KeysEvent::PrekeysLow, _) => self.call(Call::PreKeys),
            (KeysEvent::DeviceList | KeysEvent::Identity, Some(user)) => {
                let person = self.person(user).await?;
                // Whoever is not known here is asked about when it matters.
                if person.identity.is_some() {
                    self.put_person(user, &Person { fresh: false, ..person });
                    self.call(Call::Devices(user.clone()));
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// Signs the own devices anew, with a change that the person wants. Nothing else ever adds a
    /// device: least of all what a server says.
    pub(super) async fn sign_list(&mut self, change: ListChange) -> Result<(), StoreError> {
        let own = self.own();
        let person = self.person(&own).await?;
        let Some(list) = person.verified_list(&own) else { return Ok(()) };
        let (mut list, now) = (list.as_list().clone(), UnixMillis(self.now.0));
        let mut present = person.present.clone();
        match change {
            ListChange::Add { device, registration_id } => {
                list.version += 1;
                list.issued = now.max(list.issued);
                list.removed.retain(|_, removed| now.since(*removed) < REUSE_AFTER);
                let listed =
                    ListedDevice { registration_id: registration_id.get(), added: list.issued };
                list.devices.insert(number(device)?, listed);
                present.push(device);
            }
            ListChange::Remove { device } => {
                let Some(next) = list.without(number(device)?, now) else { return Ok(()) };
                list = next;
                present.retain(|one| *one != device);
            }
        }
        let version = list.version;
        let signed = ListDocument(list.sign(&self.machine.local.identity.private, self.rng));
        self.tx.write(Table::Own, own::LIST.to_vec(), &signed);
        self.put_person(&own, &Person { list: Some(signed), present, ..person });
        self.call(Call::List(version));
        Ok(())
    }

    /// The own list that waits to be published, if there is one.
    pub(super) async fn publish_list(&mut self) -> Result<(), StoreError> {
        let own = self.own();
        if self.tx.get(Table::Own, own::LIST).await?.is_some()
            && let Some(list) = self.person(&own).await?.verified_list(&own)
        {
            self.call(Call::List(list.as_list().version));
        }
        Ok(())
    }

    /// The homeserver has the own list of this version.
    pub(super) async fn published(&mut self, version: u64) -> Result<(), StoreError> {
        let own = self.own();
        let newest = self.person(&own).await?.verified_list(&own);
        if newest.is_none_or(|newest| newest.as_list().version <= version) {
            self.tx.delete(Table::Own, own::LIST.to_vec());
        }
        Ok(())
    }

    /// What the homeserver has left: makes more if that is little, and replaces what is old.
    pub(super) fn on_prekey_status(&mut self, status: &PreKeyStatus) {
        let machine = &mut *self.machine;
        let (local, now) = (&mut machine.local, UnixMillis(self.now.0));
        let (curve, kem) = local.prekeys.one_time_left();
        let lacks = |stored: u32| {
            let missing = MAX_PREKEY_BATCH.saturating_sub(stored.try_into().unwrap_or(usize::MAX));
            if stored < LOW_PREKEYS { missing } else { 0 }
        };
        let more = lacks(status.one_time).max(lacks(status.one_time_kem));
        let mut upload = UploadPreKeys::default();
        if more > 0 {
            // Those that were handed out and not used yet are still here.
            let target = curve.max(kem) + more;
            let (one_time, one_time_kem) =
                local.prekeys.replenish(&local.identity, target, self.rng);
            upload.one_time =
                one_time.iter().take(MAX_PREKEY_BATCH).filter_map(one_time_key).collect();
            upload.one_time_kem =
                one_time_kem.iter().take(MAX_PREKEY_BATCH).filter_map(kem_key).collect();
        }
        let rotated = local.prekeys.rotate(&local.identity, now, self.rng);
        let signed = local.prekeys.signed_public();
        let last_resort = local.prekeys.last_resort_public();
        let is_stale = signed.as_ref().map(|key| key.id) != status.signed
            || last_resort.as_ref().map(|key| key.id) != status.last_resort;
        if rotated || is_stale {
            upload.signed = signed.as_ref().and_then(signed_key);
            upload.last_resort = last_resort.as_ref().and_then(kem_key);
        }
        self.prekeys_changed |= more > 0 || rotated;
        // When so many keys were handed out and never used that no more can be kept, there is
        // nothing to upload.
        if upload.check().is_ok() {
            self.out.upload = Some(Box::new(upload));
        }
    }
}

fn number(device: DeviceNumber) -> Result<DeviceId, StoreError> {
    DeviceId::new(u64::from(device.get())).map_err(|_| StoreError::Corrupt(Table::Own))
}

pub(crate) fn one_time_key(key: &OneTimePreKeyPublic) -> Option<OneTimeKey> {
    Some(OneTimeKey { id: PreKeyId::try_from(key.id).ok()?, key: EcKey(key.key) })
}

pub(crate) fn signed_key(key: &SignedPreKeyPublic) -> Option<SignedKey> {
    let id = PreKeyId::try_from(key.id).ok()?;
    Some(SignedKey { id, key: EcKey(key.key), signature: Signature(key.signature) })
}

pub(crate) fn kem_key(key: &KemPreKeyPublic) -> Option<KemPreKey> {
    let id = PreKeyId::try_from(key.id).ok()?;
    Some(KemPreKey { id, key: KemKey(key.key.clone()), signature: Signature(key.signature) })
}
