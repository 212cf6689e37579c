//! A new device made from a backup. It has nothing of the old one but what is in the file: it is
//! a further device of the account, which signs itself into the device list.

use std::{path::Path, sync::Arc};

use posthouse_crypto::e2ee::{
    address::DeviceId,
    backup::BackupError,
    prekey::store::PreKeys,
    primitives::curve::KeyPair,
    signed::device_list::{DeviceList, ListedDevice, REUSE_AFTER},
    time::UnixMillis,
};
use posthouse_protocol::{
    id::{AccountId, Address, DeviceId as DeviceUuid, DeviceNumber, HandleName, RegistrationId},
    rest::{
        LogIn, NewDevice, Secret, SessionTokens,
        keys::{EcKey, ListDocument, UserDevices},
    },
};
use uuid::Uuid;

use super::{Client, Home, NewAccount, Updates, backup::Open};
use crate::{
    Api, ClientError,
    machine::Machine,
    records::{Account, Person, own},
    store::{Batch, Store, Table, encode},
};

impl Home {
    /// Makes a new device of an account out of a backup, in an empty store: the whole file is
    /// checked first, then its contents are taken over, then the device logs in and signs itself
    /// into the account's device list. Other devices of the account stay what they are. A store
    /// whose restoring was interrupted can be restored again, and is good for nothing else.
    ///
    /// # Errors
    /// [`ClientError::Backup`] for a wrong passphrase and for a file that is damaged, something
    /// else, or of another account; [`ClientError::File`]; [`ClientError::AlreadyThere`];
    /// [`ClientError::OtherIdentity`] if the account was set up anew since;
    /// [`ClientError::OtherDevices`]; [`ClientError::Transport`], with codes such as
    /// `wrong_credentials` and `too_many`.
    pub async fn restore(
        &self,
        store: impl Store + 'static,
        account: &NewAccount,
        code: Option<Secret>,
        (path, passphrase): (&Path, &str),
    ) -> Result<(Client, Updates), ClientError> {
        let store: Arc<dyn Store> = Arc::new(store);
        if store.get(Table::Own, own::ACCOUNT).await?.is_some() {
            return Err(ClientError::AlreadyThere);
        }
        let mut checked = Open::at(path, passphrase).await?;
        while !checked.items().await?.1 {}
        let id = AccountId::parse(&checked.head.account).map_err(|_| BackupError::Damaged)?;
        let identity = KeyPair::from_private(checked.head.identity.clone());
        Box::pin(self.take_over(&*store, &id, &identity, (path, passphrase))).await?;
        Box::pin(self.log_in_restored(&*store, account, code, (&id, &identity))).await?;
        self.open_shared(store).await
    }

    /// Takes what is in the file over into the store, a part at a time.
    async fn take_over(
        &self,
        store: &dyn Store,
        id: &AccountId,
        identity: &KeyPair,
        (path, passphrase): (&Path, &str),
    ) -> Result<(), ClientError> {
        let mut batch = Batch::default();
        batch.put(Table::Own, own::RESTORING.to_vec(), encode(id).to_vec());
        store.commit(batch).await?;
        let mut rng = self.fork();
        // Who it will be, the homeserver says later; until then nothing is sent.
        let nobody = Account {
            id: id.clone(),
            handle: HandleName::parse("restoring")?,
            device_id: DeviceUuid(Uuid::nil()),
            device: DeviceNumber::FIRST,
            registration_id: self.draw_registration_id(),
            ready: false,
        };
        let prekeys = PreKeys::new(identity, UnixMillis(self.clock.now().0), &mut rng);
        let mut machine = Machine::with_keys(store, nobody, identity.clone(), prekeys).await?;
        let mut open = Open::at(path, passphrase).await?;
        loop {
            let (items, last) = open.items().await?;
            let mut step = machine.begin(store, self.clock.now(), &mut rng);
            step.restore(&items).await?;
            // Calls and frames are made anew once the device is there.
            drop(step.finish().await?);
            if last {
                return Ok(());
            }
        }
    }

    async fn log_in_restored(
        &self,
        store: &dyn Store,
        account: &NewAccount,
        code: Option<Secret>,
        (id, identity): (&AccountId, &KeyPair),
    ) -> Result<(), ClientError> {
        let (api, tokens, registration_id) = self.log_in_as_new(account, code).await?;
        let next = self.list_with(&api, &tokens, (id, identity), registration_id).await;
        let next = match next {
            Ok(next) => next,
            Err(err) => {
                // Nobody has signed this device in: it is not left behind.
                api.log_out(&tokens.access_token).await?;
                return Err(err);
            }
        };
        self.keep_signed(store, (&tokens, registration_id), (identity, &next)).await
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

    /// The account's next device list, with this device.
    async fn list_with(
        &self,
        api: &Api,
        tokens: &SessionTokens,
        (id, identity): (&AccountId, &KeyPair),
        registration_id: RegistrationId,
    ) -> Result<DeviceList, ClientError> {
        if tokens.account_id != *id {
            return Err(ClientError::OtherAccount);
        }
        let known = api.user_devices(&tokens.access_token, &Address::Account(id.clone())).await?;
        let now = UnixMillis(self.clock.now().0);
        next_list(id, identity, &known, (tokens.device, registration_id.get(), now))
    }

    /// Signs a list, puts it where it is published from, and gives what is believed with it.
    fn sign_list(&self, next: &DeviceList, identity: &KeyPair, batch: &mut Batch) -> Person {
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
