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
use posthouse_storage::{
    accounts::{Account, Accounts, Device},
    error::StoreError,
};
use uuid::Uuid;

use super::store_failed;
use crate::regions::Regions;

/// Most entries of each cache; a full one is emptied and fills again.
const MAX_CACHED: usize = 100_000;

/// For how long a device list is taken from the cache, in milliseconds. Changes by this process
/// are seen at once; this bounds how long those of another process of the region are not.
const DEVICES_FRESH_MS: u64 = 1_000;

/// Finds users. What it remembers can only change in ways that it is told of, or expires soon:
/// accounts and handles are never reassigned, and a deleted one is forgotten.
pub struct Directory {
    server: ServerName,
    store: Arc<dyn Accounts>,
    regions: Arc<dyn Regions>,
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
    pub fn new(server: ServerName, store: Arc<dyn Accounts>, regions: Arc<dyn Regions>) -> Self {
        Self { server, store, regions, cache: Mutex::default() }
    }

    /// Other regions.
    pub fn regions(&self) -> &Arc<dyn Regions> {
        &self.regions
    }

    /// The region.
    pub fn server(&self) -> &ServerName {
        &self.server
    }

    /// The account that `address` means. Whether an account of another region exists is for that
    /// region to say, when something comes for it.
    ///
    /// # Errors
    /// [`Code::UnknownUser`] if there is no such account, [`Code::NotFound`] for a group,
    /// [`Code::RegionUnreachable`] for a region that this one does not speak with, or a handle of
    /// one that cannot be asked.
    pub async fn resolve(&self, address: &Address) -> Result<AccountId, Rejection> {
        let uuid = match address {
            Address::Account(id) if id.server != self.server => {
                self.regions.admits(&id.server)?;
                return Ok(id.clone());
            }
            Address::Account(id) => self.known_account(id.uuid).await?,
            Address::Handle(handle) if handle.server != self.server => {
                self.regions.admits(&handle.server)?;
                return self.regions.resolve(handle).await;
            }
            Address::Handle(handle) => {
                self.by_handle(&handle.name).await.map_err(|err| store_failed(&err))?
            }
            Address::Group(_) => {
                return Err(Rejection::new(Code::NotFound, "there is no such group"));
            }
        };
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

    /// The account is gone.
    pub fn forget(&self, account: Uuid) {
        let mut cache = self.cache();
        cache.accounts.remove(&account);
        cache.devices.remove(&account);
        cache.handles.retain(|_, owner| *owner != account);
    }

    /// Anything may have changed.
    pub fn forget_all(&self) {
        *self.cache() = Cache::default();
    }

    /// The whole account that `address` means, for logging in and looking up.
    ///
    /// # Errors
    /// As [`Directory::resolve`].
    pub async fn account(&self, address: &Address) -> Result<Account, Rejection> {
        let id = self.resolve(address).await?;
        if id.server != self.server {
            return Err(Rejection::new(Code::UnknownUser, "this region has no such user"));
        }
        let found = self.store.account(id.uuid).await.map_err(|err| store_failed(&err))?;
        found.ok_or_else(|| Rejection::new(Code::UnknownUser, "this region has no such user"))
    }

    async fn known_account(&self, uuid: Uuid) -> Result<Option<Uuid>, Rejection> {
        let known = self.existing(&[uuid]).await.map_err(|err| store_failed(&err))?;
        Ok((known.first() == Some(&true)).then_some(uuid))
    }

    /// Which of `ids` are accounts here, in their order.
    ///
    /// # Errors
    /// As the store.
    pub async fn existing(&self, ids: &[Uuid]) -> Result<Vec<bool>, StoreError> {
        let unknown: Vec<Uuid> = {
            let cache = self.cache();
            ids.iter().filter(|id| !cache.accounts.contains(id)).copied().collect()
        };
        let mut fresh = HashSet::new();
        if !unknown.is_empty() {
            let found = self.store.existing(&unknown).await?;
            fresh.extend(unknown.iter().zip(found).filter(|(_, yes)| *yes).map(|(id, _)| *id));
        }
        let mut cache = self.cache();
        if cache.accounts.len() + fresh.len() > MAX_CACHED {
            cache.accounts.clear();
        }
        let known = |id: &Uuid| fresh.contains(id) || cache.accounts.contains(id);
        let answer = ids.iter().map(known).collect();
        cache.accounts.extend(fresh);
        Ok(answer)
    }

    /// The account that has a handle here, if one has.
    ///
    /// # Errors
    /// As the store.
    pub async fn by_handle(&self, handle: &HandleName) -> Result<Option<Uuid>, StoreError> {
        if let Some(uuid) = self.cache().handles.get(handle) {
            return Ok(Some(*uuid));
        }
        let found = self.store.account_by_handle(handle).await?;
        // Also a suspended one: what is sent to it waits.
        let Some(account) = found else { return Ok(None) };
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
