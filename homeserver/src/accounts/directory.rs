//! Who is who: handles to accounts, accounts to devices. A bounded cache before the store.

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use posthouse_protocol::{
    id::{AccountId, Address, HandleName, ServerName},
    problem::{Code, Rejection},
    time::Timestamp,
};
use posthouse_storage::accounts::{Account, AccountState, Accounts, Device};
use uuid::Uuid;

use super::store_failed;

/// Most entries of each cache; a full one is emptied and fills again.
const MAX_CACHED: usize = 100_000;

/// For how long a device list is taken from the cache, in milliseconds. Changes by this process
/// are seen at once; this bounds how long those of another process of the region are not.
const DEVICES_FRESH_MS: u64 = 1_000;

/// Finds users. What it remembers can only change in ways that it is told of, or expires soon:
/// accounts and handles are never reassigned.
pub struct Directory {
    server: ServerName,
    store: Arc<dyn Accounts>,
    cache: Mutex<Cache>,
}

#[derive(Default)]
struct Cache {
    handles: HashMap<HandleName, Uuid>,
    accounts: HashSet<Uuid>,
    devices: HashMap<Uuid, (Timestamp, Arc<[Device]>)>,
}

impl Directory {
    /// The directory of the region `server`.
    pub fn new(server: ServerName, store: Arc<dyn Accounts>) -> Self {
        Self { server, store, cache: Mutex::default() }
    }

    /// The region.
    pub fn server(&self) -> &ServerName {
        &self.server
    }

    /// The account that `address` means.
    ///
    /// # Errors
    /// [`Code::UnknownUser`] if this region has no such account, [`Code::NotFound`] for a group,
    /// [`Code::RegionUnreachable`] for a handle or account of another region: this version does
    /// not federate yet.
    pub async fn resolve(&self, address: &Address) -> Result<AccountId, Rejection> {
        let (server, uuid) = match address {
            Address::Account(id) => (&id.server, self.known_account(id).await?),
            Address::Handle(handle) if handle.server == self.server => {
                (&handle.server, self.by_handle(&handle.name).await?)
            }
            Address::Handle(handle) => (&handle.server, None),
            Address::Group(_) => {
                return Err(Rejection::new(Code::NotFound, "there is no such group"));
            }
        };
        if *server != self.server {
            let detail = format!("this server does not reach {server}: it does not federate yet");
            return Err(Rejection::new(Code::RegionUnreachable, detail));
        }
        let uuid =
            uuid.ok_or_else(|| Rejection::new(Code::UnknownUser, "this region has no such user"))?;
        Ok(AccountId { uuid, server: self.server.clone() })
    }

    /// The account's devices, at most `DEVICES_FRESH_MS` old.
    ///
    /// # Errors
    /// As the store.
    pub async fn devices(&self, account: Uuid, now: Timestamp) -> Result<Arc<[Device]>, Rejection> {
        if let Some((read_at, devices)) = self.cache().devices.get(&account)
            // A clock that was put back must not keep a list for as long as it was ahead.
            && (*read_at..read_at.plus_millis(DEVICES_FRESH_MS)).contains(&now)
        {
            return Ok(Arc::clone(devices));
        }
        self.current_devices(account, now).await
    }

    /// The account's devices as they are now.
    ///
    /// # Errors
    /// As the store.
    pub async fn current_devices(
        &self,
        account: Uuid,
        now: Timestamp,
    ) -> Result<Arc<[Device]>, Rejection> {
        let devices = self.store.devices(account).await.map_err(|err| store_failed(&err))?;
        let devices: Arc<[Device]> = devices.into();
        let mut cache = self.cache();
        make_room(&mut cache.devices);
        cache.devices.insert(account, (now, Arc::clone(&devices)));
        Ok(devices)
    }

    /// The account's devices have changed.
    pub fn forget_devices(&self, account: Uuid) {
        self.cache().devices.remove(&account);
    }

    /// The whole account that `address` means, for logging in and looking up.
    ///
    /// # Errors
    /// As [`Directory::resolve`].
    pub async fn account(&self, address: &Address) -> Result<Account, Rejection> {
        let id = self.resolve(address).await?;
        let found = self.store.account(id.uuid).await.map_err(|err| store_failed(&err))?;
        found.ok_or_else(|| Rejection::new(Code::UnknownUser, "this region has no such user"))
    }

    async fn known_account(&self, id: &AccountId) -> Result<Option<Uuid>, Rejection> {
        if id.server != self.server {
            return Ok(None);
        }
        if self.cache().accounts.contains(&id.uuid) {
            return Ok(Some(id.uuid));
        }
        let found = self.store.existing(&[id.uuid]).await.map_err(|err| store_failed(&err))?;
        if found.first() != Some(&true) {
            return Ok(None);
        }
        let mut cache = self.cache();
        if cache.accounts.len() >= MAX_CACHED {
            cache.accounts.clear();
        }
        cache.accounts.insert(id.uuid);
        Ok(Some(id.uuid))
    }

    async fn by_handle(&self, handle: &HandleName) -> Result<Option<Uuid>, Rejection> {
        if let Some(uuid) = self.cache().handles.get(handle) {
            return Ok(Some(*uuid));
        }
        let found = self.store.account_by_handle(handle).await.map_err(|err| store_failed(&err))?;
        let Some(account) = found.filter(|account| account.state == AccountState::Active) else {
            return Ok(None);
        };
        let mut cache = self.cache();
        make_room(&mut cache.handles);
        cache.handles.insert(handle.clone(), account.id);
        Ok(Some(account.id))
    }

    fn cache(&self) -> MutexGuard<'_, Cache> {
        self.cache.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Emptying is crude, but costs one look-up per entry that is still wanted, and nothing else.
fn make_room<K, V>(cache: &mut HashMap<K, V>) {
    if cache.len() >= MAX_CACHED {
        cache.clear();
    }
}
