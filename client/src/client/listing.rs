//! The next device list of an account, for a device that signs itself into it.

use posthouse_crypto::e2ee::{
    address::DeviceId,
    prekey::store::PreKeys,
    primitives::curve::KeyPair,
    signed::device_list::{DeviceList, ListedDevice, REUSE_AFTER},
    time::UnixMillis,
};
use posthouse_protocol::{
    id::{AccountId, DeviceNumber, RegistrationId},
    rest::{
        LogIn, NewDevice, Secret, SessionTokens,
        keys::{EcKey, ListDocument, UserDevices},
    },
};

use super::{Home, NewAccount};
use crate::{
    Api, ClientError,
    records::{Person, own},
    store::{Batch, Store, Table, encode},
};

impl Home {
    /// Signs a list, puts it where it is published from, and gives what is believed with it.
    pub(super) fn sign_list(
        &self,
        next: &DeviceList,
        identity: &KeyPair,
        batch: &mut Batch,
    ) -> Person {
        let list = ListDocument(next.sign(&identity.private, &mut self.fork()));
        batch.put(Table::Own, own::LIST.to_vec(), encode(&list).to_vec());
        let present = next.devices.keys().filter_map(|n| DeviceNumber::try_from(n.get()).ok());
        Person {
            identity: Some(EcKey(identity.public)),
            list: Some(list),
            present: present.collect(),
            ..Person::default()
        }
    }

    /// Logs in as a device that is new to the account.
    pub(super) async fn log_in_as_new(
        &self,
        account: &NewAccount,
        code: Option<Secret>,
    ) -> Result<(Api, SessionTokens, RegistrationId), ClientError> {
        let registration_id = self.draw_registration_id();
        let api = Api::new(self.connector.clone());
        let tokens = api.log_in(&Self::new_log_in(account, code, registration_id)).await?;
        Ok((api, tokens, registration_id))
    }

    /// Stores a device with new prekeys and the list that names it, which is still to be published.
    pub(super) async fn keep_signed(
        &self,
        store: &dyn Store,
        (tokens, registration_id): (&SessionTokens, RegistrationId),
        (identity, next): (&KeyPair, &DeviceList),
    ) -> Result<(), ClientError> {
        let now = UnixMillis(self.clock.now().0);
        let prekeys = PreKeys::new(identity, now, &mut self.fork());
        let mut batch = Batch::default();
        let person = self.sign_list(next, identity, &mut batch);
        let secret = identity.private.to_bytes();
        batch.put(Table::Own, own::IDENTITY.to_vec(), secret.expose().to_vec());
        batch.put(Table::Own, own::PREKEYS.to_vec(), prekeys.to_bytes().to_vec());
        let name = tokens.account_id.to_string().into_bytes();
        batch.put(Table::People, name, encode(&person).to_vec());
        batch.delete(Table::Own, own::RESTORING.to_vec());
        self.keep_with(store, batch, tokens, registration_id).await
    }

    /// A log-in as a new device.
    pub(super) fn new_log_in(
        account: &NewAccount,
        code: Option<Secret>,
        registration_id: RegistrationId,
    ) -> LogIn {
        LogIn {
            user: account.handle.clone(),
            password: account.password.clone(),
            code,
            recovery_code: None,
            device_id: None,
            device: NewDevice {
                name: account.device_name.clone(),
                registration_id: Some(registration_id),
            },
        }
    }
}

/// The list after the one that the homeserver shows: without devices that are gone, with this one.
pub(super) fn next_list(
    id: &AccountId,
    identity: &KeyPair,
    known: &UserDevices,
    (own, registration_id, now): (DeviceNumber, u32, UnixMillis),
) -> Result<DeviceList, ClientError> {
    if known.identity_key.is_some_and(|key| key != EcKey(identity.public)) {
        return Err(ClientError::OtherIdentity);
    }
    let verified = |list: &ListDocument| list.0.verify(&id.to_string(), &identity.public, None);
    let before = known.device_list.as_ref().map(verified);
    let before = before.transpose().map_err(|_| ClientError::OtherIdentity)?;
    let mut next = before.as_ref().map_or_else(
        || DeviceList {
            account: id.to_string(),
            version: known.version,
            issued: now,
            devices: std::collections::BTreeMap::new(),
            removed: std::collections::BTreeMap::new(),
        },
        |list| list.as_list().clone(),
    );
    next.version += 1;
    let now = now.max(next.issued);
    next.issued = now;
    next.removed.retain(|_, removed| now.since(*removed) < REUSE_AFTER);
    let is_there =
        |number: &DeviceId| known.devices.iter().any(|one| one.device.get() == number.get());
    let gone: Vec<DeviceId> = next.devices.keys().filter(|one| !is_there(one)).copied().collect();
    for number in gone {
        next.devices.remove(&number);
        next.removed.insert(number, now);
    }
    let strangers = known.devices.iter().filter(|one| {
        one.device != own && !next.devices.keys().any(|number| number.get() == one.device.get())
    });
    match strangers.count() {
        0 => {}
        count => return Err(ClientError::OtherDevices(count)),
    }
    // A number of the protocol is one of the list's.
    if let Ok(number) = DeviceId::new(u64::from(own.get())) {
        next.devices.insert(number, ListedDevice { registration_id, added: now });
    }
    Ok(next)
}
