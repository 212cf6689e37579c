//! The ports of the client API for devices and keys.

use std::sync::Arc;

use async_trait::async_trait;
use posthouse_client_api::ports::{Caller, Devices as DevicesPort, Keys as KeysPort};
use posthouse_protocol::{
    id::{Address, DeviceId},
    problem::{Code, Rejection},
    rest::{
        Confirmation,
        keys::{
            Bundles, ClaimBundles, DeviceInfo, Devices, KeyChanges, PreKeyStatus, PutDeviceList,
            RenameDevice, SetIdentity, UploadPreKeys, UserDevices,
        },
    },
    time::Clock,
};
use posthouse_storage::{
    accounts::{Accounts, Device},
    keys::{Changed, Identity, KeyNotice, Keys, NewList, PreKeyCounts, Uploaded},
};

use super::{ForeignKeys, KeyBook, KeyLimits, Notices, book::BundleRequest, check};
use crate::accounts::{AccountsService, check_device_name, store_failed};

/// How often a change is tried anew that another one was quicker than.
const TRIES: usize = 3;

/// Devices and keys of one region.
pub struct KeysService {
    /// What is served of keys.
    pub book: Arc<KeyBook>,
    /// Keys of other regions' users.
    pub abroad: Arc<ForeignKeys>,
    /// Keys.
    pub store: Arc<dyn Keys>,
    /// Accounts and devices.
    pub accounts: Arc<dyn Accounts>,
    /// Sessions, which end with their device.
    pub sessions: Arc<AccountsService>,
    /// Tells devices.
    pub notices: Arc<Notices>,
    /// How often.
    pub limits: Arc<KeyLimits>,
    /// The time.
    pub clock: Arc<dyn Clock>,
}

#[async_trait]
impl DevicesPort for KeysService {
    async fn devices(&self, caller: &Caller) -> Result<Devices, Rejection> {
        let account = caller.account.uuid;
        let devices = self.book.directory.current_devices(account, self.clock.now()).await?;
        let info = |device: &Device| DeviceInfo {
            device_id: device.id,
            device: device.number,
            registration_id: device.registration_id,
            name: device.name.clone(),
            created_at: device.created_at,
            active_at: device.active_at,
            listed: device.listed,
            current: device.id == caller.device,
        };
        Ok(Devices { devices: devices.iter().map(info).collect() })
    }

    async fn rename(
        &self,
        caller: &Caller,
        device: DeviceId,
        request: RenameDevice,
    ) -> Result<(), Rejection> {
        let account = caller.account.uuid;
        let name = check_device_name(&request.name)?;
        let renamed = self.accounts.rename_device(account, device, &name).await;
        if !renamed.map_err(|err| store_failed(&err))? {
            return Err(Rejection::new(Code::NotFound, "the account has no such device"));
        }
        self.book.directory.forget_devices(account);
        Ok(())
    }

    async fn revoke(&self, caller: &Caller, device: DeviceId) -> Result<(), Rejection> {
        self.sessions.unlink(caller.account.uuid, device).await
    }
}

#[async_trait]
impl KeysPort for KeysService {
    async fn set_identity(&self, caller: &Caller, request: SetIdentity) -> Result<(), Rejection> {
        let (account, now) = (&caller.account, self.clock.now());
        let key = request.identity_key.0.to_bytes();
        let known = self.identity(caller).await?;
        if known.as_ref().is_some_and(|known| known.key == key) {
            return Ok(());
        }
        self.limits.identity(account.uuid)?;
        if known.is_some() {
            let Some(current_password) = request.password else {
                let detail = "the password is needed to change the identity key";
                return Err(Rejection::new(Code::WrongCredentials, detail));
            };
            let known = Confirmation { current_password, code: None, recovery_code: None };
            self.sessions.confirm_password(caller, &known).await?;
        }
        let before = known.as_ref().map(|known| &known.key);
        let set = self.store.set_identity(account, before, &key, now).await;
        let Changed::Done(arrivals) = set.map_err(|err| store_failed(&err))? else {
            let detail = "another device changed the identity key at the same time";
            return Err(Rejection::new(Code::Conflict, detail));
        };
        tracing::info!(account = %account, first = before.is_none(), "identity key set");
        self.book.directory.forget_devices(account.uuid);
        let notice = KeyNotice::Identity { user: account.clone() };
        self.notices.hand_over(&notice, &arrivals, now);
        self.notices.tell_acquaintances(account, &notice, now).await;
        Ok(())
    }

    async fn put_list(&self, caller: &Caller, request: PutDeviceList) -> Result<(), Rejection> {
        let (account, now) = (&caller.account, self.clock.now());
        self.limits.list(account.uuid)?;
        let document = request.list.0.to_bytes();
        for _ in 0..TRIES {
            let identity = self.identity(caller).await?.ok_or_else(no_identity)?;
            if identity.list.as_deref() == Some(&document[..]) {
                // The answer to it was lost.
                return Ok(());
            }
            let devices = self.book.directory.current_devices(account.uuid, now).await?;
            let checked = check::list(&request.list.0, account, &identity, &devices, now)?;
            let list = NewList {
                account: account.uuid,
                identity: &identity.key,
                version: checked.version,
                document: &document,
                devices: &checked.devices,
            };
            let put = self.store.put_list(list, account, now).await;
            if let Changed::Done(arrivals) = put.map_err(|err| store_failed(&err))? {
                self.book.directory.forget_devices(account.uuid);
                let notice =
                    KeyNotice::DeviceList { user: account.clone(), version: checked.version };
                self.notices.hand_over(&notice, &arrivals, now);
                self.notices.tell_acquaintances(account, &notice, now).await;
                return Ok(());
            }
        }
        Err(Rejection::new(Code::Conflict, "the account's devices change too fast; try again"))
    }

    async fn upload(
        &self,
        caller: &Caller,
        request: UploadPreKeys,
    ) -> Result<PreKeyStatus, Rejection> {
        self.limits.upload(caller.account.uuid)?;
        let identity = self.identity(caller).await?.ok_or_else(no_identity)?;
        let key = check::public(&identity.key)?;
        // 101 signatures take milliseconds, which other connections' tasks would feel.
        let checked = tokio::task::spawn_blocking(move || check::prekeys(&key, request)).await;
        let upload =
            checked.map_err(|_| Rejection::new(Code::Internal, "checking the keys failed"))??;
        let account = caller.account.uuid;
        let stored = self.store.upload(account, caller.device, &identity.key, &upload).await;
        match stored.map_err(|err| store_failed(&err))? {
            Uploaded::Stored(counts) => Ok(status(counts)),
            Uploaded::TooMany(counts) => {
                let detail = format!(
                    "there are {} one-time keys and {} KEM keys already, of at most {}",
                    counts.one_time,
                    counts.one_time_kem,
                    posthouse_storage::keys::MAX_STORED
                );
                Err(Rejection::new(Code::TooMany, detail))
            }
            Uploaded::SameId(id) => {
                let detail = format!("a one-time KEM key and the last-resort one have the id {id}");
                Err(Rejection::new(Code::BadRequest, detail))
            }
            Uploaded::Moved => {
                let detail = "the identity key was changed meanwhile: sign the keys anew";
                Err(Rejection::new(Code::Conflict, detail))
            }
        }
    }

    async fn prekeys(&self, caller: &Caller) -> Result<PreKeyStatus, Rejection> {
        let counts = self.store.counts(caller.device).await;
        Ok(status(counts.map_err(|err| store_failed(&err))?))
    }

    async fn user_devices(&self, caller: &Caller, user: Address) -> Result<UserDevices, Rejection> {
        let account = self.book.directory.resolve(&user).await?;
        if account.server == *self.book.directory.server() {
            return self.book.devices(account.uuid, self.clock.now()).await;
        }
        let devices = self.abroad.devices(&caller.account, &account).await?;
        Ok(UserDevices::clone(&devices))
    }

    async fn key_changes(&self, _: &Caller, user: Address) -> Result<KeyChanges, Rejection> {
        let account = self.book.directory.resolve(&user).await?;
        if account.server != *self.book.directory.server() {
            let detail = "the log of keys is served for users of this region alone";
            return Err(Rejection::new(Code::RegionUnreachable, detail));
        }
        self.book.key_changes(account.uuid).await
    }

    async fn claim(
        &self,
        caller: &Caller,
        user: Address,
        request: ClaimBundles,
    ) -> Result<Bundles, Rejection> {
        let account = self.book.directory.resolve(&user).await?;
        if account.server != *self.book.directory.server() {
            return self.abroad.bundles(&caller.account, &account, request).await;
        }
        let request = BundleRequest {
            requester: caller.account.clone(),
            request: request.request_id,
            devices: request.devices,
            except: Some(caller.device),
        };
        self.book.bundles(account.uuid, request, self.clock.now()).await
    }
}

impl KeysService {
    async fn identity(&self, caller: &Caller) -> Result<Option<Identity>, Rejection> {
        self.store.identity(caller.account.uuid).await.map_err(|err| store_failed(&err))
    }
}

fn no_identity() -> Rejection {
    Rejection::new(Code::NoIdentity, "the account has no identity key: upload one first")
}

fn status(counts: PreKeyCounts) -> PreKeyStatus {
    PreKeyStatus {
        one_time: counts.one_time,
        one_time_kem: counts.one_time_kem,
        signed: counts.signed,
        last_resort: counts.last_resort,
    }
}
