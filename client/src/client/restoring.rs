//! A new device made from a backup. It has nothing of the old one but what is in the file: it is
//! a further device of the account, which signs itself into the device list.

use std::{path::Path, sync::Arc};

use posthouse_crypto::e2ee::{
    backup::BackupError, prekey::store::PreKeys, primitives::curve::KeyPair,
    signed::device_list::DeviceList, time::UnixMillis,
};
use posthouse_protocol::{
    id::{AccountId, Address, DeviceId as DeviceUuid, DeviceNumber, HandleName, RegistrationId},
    rest::{Secret, SessionTokens},
};
use uuid::Uuid;

use super::{Client, Home, NewAccount, Updates, backup::Open, listing::next_list};
use crate::{
    Api, ClientError,
    machine::Machine,
    records::{Account, own},
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
}
