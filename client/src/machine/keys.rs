//! Own prekeys, and notices about other people's keys.

use posthouse_crypto::e2ee::{
    address::DeviceId,
    prekey::bundle::{KemPreKeyPublic, OneTimePreKeyPublic, SignedPreKeyPublic},
    signed::device_list::{DeviceList, ListedDevice, REUSE_AFTER, VerifiedDeviceList},
    time::UnixMillis,
};
use posthouse_protocol::{
    frame::{KeysEvent, KeysFrame},
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

/// Refusals of the own list in a row after which its change is given up.
const MAX_LISTS_REFUSED: u32 = 5;

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

    /// A change of the own devices that the person wants. Nothing else ever adds a device: least
    /// of all what a server says.
    pub(super) async fn change_list(&mut self, change: ListChange) -> Result<(), StoreError> {
        let mut changes = self.changes().await?;
        changes.push(change);
        if let ListChange::Add { device, registration_id } = change {
            self.let_in(device, registration_id).await?;
        }
        self.tx.write(Table::Own, own::CHANGES.to_vec(), &changes);
        self.sign_next().await
    }

    async fn changes(&self) -> Result<Vec<ListChange>, StoreError> {
        Ok(self.tx.read(Table::Own, own::CHANGES).await?.unwrap_or_default())
    }

    /// Signs the next change, unless a list is still on its way: versions go up one by one.
    pub(super) async fn sign_next(&mut self) -> Result<(), StoreError> {
        let own = self.own();
        while self.tx.get(Table::Own, own::LIST).await?.is_none() {
            let changes = self.changes().await?;
            let Some((change, rest)) = changes.split_first() else { return Ok(()) };
            let person = self.person(&own).await?;
            let (Some(list), Some(before)) = (person.verified_list(&own), &person.list) else {
                return Ok(());
            };
            let now = UnixMillis(self.now.0);
            let gone = self.gone(&list, &person);
            let Some(next) = changed(list.as_list(), *change, &gone, now) else {
                // Another own device has done it.
                self.tx.write(Table::Own, own::CHANGES.to_vec(), &rest);
                continue;
            };
            self.tx.write(Table::Own, own::LIST_BEFORE.to_vec(), before);
            let version = next.version;
            let signed = ListDocument(next.sign(&self.machine.local.identity.private, self.rng));
            self.tx.write(Table::Own, own::LIST.to_vec(), &signed);
            let mut present = person.present.clone();
            match change {
                ListChange::Add { device, .. } => present.push(*device),
                ListChange::Remove { device } => present.retain(|one| one != device),
            }
            self.put_person(&own, &Person { list: Some(signed), present, ..person });
            self.call(Call::List(version));
        }
        Ok(())
    }

    /// Devices that the own list names and the homeserver does not have any more, as far as it was asked:
    /// they have logged out, or were silent for too long. It takes no list that names them.
    fn gone(&self, list: &VerifiedDeviceList, own: &Person) -> Vec<DeviceId> {
        let is_there = |device: &DeviceId| {
            device.get() == self.machine.account.device.get()
                || own.present.iter().any(|one| one.get() == device.get())
        };
        let named = list.as_list().devices.keys().copied();
        if own.fresh { named.filter(|device| !is_there(device)).collect() } else { Vec::new() }
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

    /// The homeserver has the own list.
    pub(super) async fn published(&mut self) -> Result<(), StoreError> {
        self.machine.lists_refused = 0;
        self.machine.just_listed = true;
        self.drop_change().await?;
        self.sign_next().await
    }

    /// The homeserver does not take the own list: another own device was quicker, or the devices
    /// have changed. What holds is asked for; then the change is signed once more.
    pub(super) async fn list_refused(&mut self) -> Result<(), StoreError> {
        let own = self.own();
        let before = self.tx.read(Table::Own, own::LIST_BEFORE).await?;
        self.machine.lists_refused += 1;
        if self.machine.lists_refused > MAX_LISTS_REFUSED {
            self.drop_change().await?;
        }
        self.tx.delete(Table::Own, own::LIST.to_vec());
        self.tx.delete(Table::Own, own::LIST_BEFORE.to_vec());
        if let Some(before) = before {
            let person = self.person(&own).await?;
            self.put_person(&own, &Person { list: Some(before), fresh: false, ..person });
        }
        self.call(Call::Devices(own));
        Ok(())
    }

    async fn drop_change(&mut self) -> Result<(), StoreError> {
        let changes = self.changes().await?;
        let rest = changes.split_first().map_or_else(Vec::new, |(_, rest)| rest.to_vec());
        self.tx.write(Table::Own, own::CHANGES.to_vec(), &rest);
        self.tx.delete(Table::Own, own::LIST.to_vec());
        self.tx.delete(Table::Own, own::LIST_BEFORE.to_vec());
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

/// The next list with a change, and without what is `gone`; `None` if it has the change already.
fn changed(
    list: &DeviceList,
    change: ListChange,
    gone: &[DeviceId],
    now: UnixMillis,
) -> Option<DeviceList> {
    let mut next = with_change(list, change, now)?;
    for device in gone {
        if next.devices.remove(device).is_some() {
            next.removed.insert(*device, next.issued);
        }
    }
    Some(next)
}

fn with_change(list: &DeviceList, change: ListChange, now: UnixMillis) -> Option<DeviceList> {
    match change {
        ListChange::Add { device, registration_id } => {
            let number = DeviceId::new(u64::from(device.get())).ok()?;
            if list.devices.contains_key(&number) {
                return None;
            }
            let mut next = list.clone();
            next.version = list.version.checked_add(1)?;
            next.issued = now.max(list.issued);
            next.removed.retain(|_, removed| now.since(*removed) < REUSE_AFTER);
            let registration_id = registration_id.get();
            next.devices.insert(number, ListedDevice { registration_id, added: next.issued });
            Some(next)
        }
        ListChange::Remove { device } => {
            list.without(DeviceId::new(u64::from(device.get())).ok()?, now)
        }
    }
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
