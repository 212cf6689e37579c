//! How a device comes into being: registered, logged in, linked, or opened again.

use std::sync::{Arc, Mutex, PoisonError};

use posthouse_crypto::e2ee::{
    address::DeviceId,
    prekey::store::PreKeys,
    primitives::curve::{KeyPair, PrivateKey},
    signed::device_list::{DeviceList, ListedDevice},
    time::UnixMillis,
};
use posthouse_protocol::{
    id::{Address, HandleName, RegistrationId},
    limits::MAX_PREKEY_BATCH,
    rest::{
        LogIn, NewDevice, Register, Secret, SessionTokens,
        keys::{EcKey, ListDocument, PutDeviceList, SetIdentity, UploadPreKeys},
    },
    time::{Clock, Timestamp},
};
use rand::{SeedableRng, rngs::StdRng};

use super::{Client, Updates};
use crate::{
    Api, ClientError, Connector,
    access::Access,
    engine::Engine,
    machine::{Machine, Receiving, kem_key, one_time_key, signed_key},
    records::{Account, Person, Tokens, own},
    store::{Batch, Store, Table, Tx, decode, encode},
};

/// A homeserver as a device meets it, and where time and random numbers come from.
#[derive(Clone)]
pub struct Home {
    pub(super) connector: Connector,
    pub(super) clock: Arc<dyn Clock>,
    rng: Arc<Mutex<StdRng>>,
}

/// An account to be registered.
#[derive(Debug, Clone)]
pub struct NewAccount {
    /// The wanted name, without a domain.
    pub handle: String,
    /// 10 to 128 bytes.
    pub password: Secret,
    /// Where the region asks for one.
    pub invite: Option<Secret>,
    /// What the device is called.
    pub device_name: Option<String>,
}

impl NewAccount {
    /// An account with this handle and password.
    pub fn new(handle: &str, password: &str) -> Self {
        let password = Secret(password.to_owned());
        Self { handle: handle.to_owned(), password, invite: None, device_name: None }
    }
}

impl Home {
    /// The homeserver behind `connector`, with the system's clock and random numbers.
    ///
    /// # Errors
    /// [`ClientError::Random`].
    pub fn new(connector: Connector) -> Result<Self, ClientError> {
        let mut seed = zeroize::Zeroizing::new([0; 32]);
        getrandom::fill(seed.as_mut()).map_err(|_| ClientError::Random)?;
        Ok(Self::with(connector, Arc::new(SystemClock), &seed))
    }

    /// The homeserver behind `connector`, with another clock, and random numbers from a seed that
    /// nobody else knows and that is never used twice.
    pub fn with(connector: Connector, clock: Arc<dyn Clock>, seed: &[u8; 32]) -> Self {
        Self { connector, clock, rng: Arc::new(Mutex::new(StdRng::from_seed(*seed))) }
    }

    /// Registers an account and makes this its first device: the identity key is drawn here, and
    /// the first device list signed with it.
    ///
    /// # Errors
    /// [`ClientError::AlreadyThere`]; [`ClientError::Transport`], with codes such as
    /// `handle_taken`; [`ClientError::Store`]. After a failure behind the registration itself,
    /// [`Home::open`] goes on with it.
    pub async fn register(
        &self,
        store: impl Store + 'static,
        account: &NewAccount,
    ) -> Result<(Client, Updates), ClientError> {
        let store: Arc<dyn Store> = Arc::new(store);
        self.must_be_empty(&*store).await?;
        let registration_id = self.draw_registration_id();
        let request = Register {
            handle: HandleName::parse(&account.handle)?,
            password: account.password.clone(),
            invite: account.invite.clone(),
            device: NewDevice {
                name: account.device_name.clone(),
                registration_id: Some(registration_id),
            },
        };
        let tokens = Api::new(self.connector.clone()).register(&request).await?;
        self.keep(&*store, &tokens, registration_id).await?;
        self.open_shared(store).await
    }

    /// Logs in. A store that has a device goes on as that device, with its keys; an empty one
    /// becomes the first device of an account that has no keys yet.
    ///
    /// # Errors
    /// [`ClientError::LinkNeeded`] for a further device: its keys come through
    /// [`Home::link`](Home::link). [`ClientError::Transport`], with codes such as
    /// `wrong_credentials`.
    pub async fn log_in(
        &self,
        store: impl Store + 'static,
        account: &NewAccount,
        code: Option<Secret>,
    ) -> Result<(Client, Updates), ClientError> {
        let store: Arc<dyn Store> = Arc::new(store);
        let known = Tx::new(&*store).read::<Account>(Table::Own, own::ACCOUNT).await?;
        if known.is_none() {
            self.must_be_empty(&*store).await?;
        }
        let registration_id = match &known {
            Some(known) => known.registration_id,
            None => self.draw_registration_id(),
        };
        let device_id = known.as_ref().map(|known| known.device_id);
        let request = LogIn { device_id, ..Self::new_log_in(account, code, registration_id) };
        let api = Api::new(self.connector.clone());
        let tokens = api.log_in(&request).await?;
        if known.is_none() {
            let id = Address::Account(tokens.account_id.clone());
            let devices = api.user_devices(&tokens.access_token, &id).await?;
            if devices.identity_key.is_some() {
                api.log_out(&tokens.access_token).await?;
                return Err(ClientError::LinkNeeded);
            }
        }
        self.keep(&*store, &tokens, registration_id).await?;
        self.open_shared(store).await
    }

    /// [Opens](Home::open) the device of the store, or [registers](Home::register) it if there is
    /// none.
    ///
    /// # Errors
    /// As those two.
    pub async fn open_or_register(
        &self,
        store: impl Store + 'static,
        account: &NewAccount,
    ) -> Result<(Client, Updates), ClientError> {
        match store.get(Table::Own, own::ACCOUNT).await? {
            Some(_) => self.open(store).await,
            None => self.register(store, account).await,
        }
    }

    /// Opens a device again, with everything that it had; it connects by itself.
    ///
    /// # Errors
    /// [`ClientError::NoDevice`], [`ClientError::Store`]; [`ClientError::Transport`] if its keys
    /// were not uploaded yet and the homeserver is away.
    pub async fn open(
        &self,
        store: impl Store + 'static,
    ) -> Result<(Client, Updates), ClientError> {
        self.open_shared(Arc::new(store)).await
    }

    pub(super) async fn open_shared(
        &self,
        store: Arc<dyn Store>,
    ) -> Result<(Client, Updates), ClientError> {
        let tx = Tx::new(&*store);
        let account = tx.read::<Account>(Table::Own, own::ACCOUNT).await?;
        let tokens = tx.read::<Tokens>(Table::Own, own::TOKENS).await?;
        let (Some(mut account), Some(tokens)) = (account, tokens) else {
            return Err(ClientError::NoDevice);
        };
        let clock = Arc::clone(&self.clock);
        let tokens = (tokens, self.fork());
        let access = Arc::new(Access::new(&self.connector, Arc::clone(&store), clock, tokens));
        if !account.ready {
            Box::pin(self.enrol(&access, &account)).await?;
            account.ready = true;
            let mut batch = Batch::default();
            batch.put(Table::Own, own::ACCOUNT.to_vec(), encode(&account).to_vec());
            store.commit(batch).await?;
        }
        let machine = Machine::load(&*store, account.clone()).await?;
        let identity = machine.identity();
        let (engine, ends) = Engine::new(Arc::clone(&access), machine, self.fork());
        let commands = ends.commands.clone();
        // How it ends, the application's ends tell.
        crate::platform::spawn(async move { drop(engine.run().await) });
        let client = Client {
            home: self.clone(),
            access: Arc::clone(&access),
            account: Arc::new(account),
            identity,
            commands,
        };
        Ok((client, Updates::new(access, ends)))
    }

    /// Makes the keys, if there are none, and uploads what others need of them. Everything is
    /// stored before it is uploaded, so it can be done again.
    async fn enrol(&self, access: &Access, account: &Account) -> Result<(), ClientError> {
        let tx = Tx::new(&*access.store);
        let stored = tx.get(Table::Own, own::IDENTITY).await?;
        let prekeys = tx.get(Table::Own, own::PREKEYS).await?;
        let corrupt = || crate::store::StoreError::Corrupt(Table::Own);
        let upload = if let (Some(_), Some(prekeys)) = (&stored, &prekeys) {
            first_upload(&PreKeys::from_bytes(prekeys).map_err(|_| corrupt())?)
        } else {
            let identity = match &stored {
                Some(secret) => {
                    let secret = secret.as_slice().try_into().map_err(|_| corrupt())?;
                    KeyPair::from_private(PrivateKey::from_bytes(secret))
                }
                None => KeyPair::generate(&mut self.fork()),
            };
            self.make_keys(access, account, &identity, stored.is_some()).await?
        };
        if let Some(list) = tx.get(Table::Own, own::LIST).await? {
            let list: ListDocument = decode(Table::Own, &list)?;
            let name = account.id.to_string();
            let person = tx.read::<Person>(Table::People, name.as_bytes()).await?;
            let identity_key = person.and_then(|own| own.identity).ok_or_else(corrupt)?;
            let identity = &SetIdentity { identity_key, password: None };
            access
                .call(|api, token| async move { api.set_identity(&token, identity).await })
                .await?;
            let list = &PutDeviceList { list };
            access
                .call(|api, token| async move { api.put_device_list(&token, list).await })
                .await?;
            let mut batch = Batch::default();
            batch.delete(Table::Own, own::LIST.to_vec());
            access.store.commit(batch).await?;
        }
        let upload = &upload;
        access.call(|api, token| async move { api.upload_prekeys(&token, upload).await }).await?;
        Ok(())
    }

    /// The keys of a new device, stored. `linked`: the account has its identity and its list from
    /// another device.
    async fn make_keys(
        &self,
        access: &Access,
        account: &Account,
        identity: &KeyPair,
        linked: bool,
    ) -> Result<UploadPreKeys, ClientError> {
        let (mut rng, now) = (self.fork(), self.clock.now());
        let mut prekeys = PreKeys::new(identity, UnixMillis(now.0), &mut rng);
        let (curve, kem) = prekeys.replenish(identity, MAX_PREKEY_BATCH, &mut rng);
        let mut upload = first_upload(&prekeys);
        upload.one_time = curve.iter().filter_map(one_time_key).collect();
        upload.one_time_kem = kem.iter().filter_map(kem_key).collect();
        let mut batch = Batch::default();
        batch.put(Table::Own, own::PREKEYS.to_vec(), prekeys.to_bytes().to_vec());
        let mut person = Person { identity: Some(EcKey(identity.public)), ..Person::default() };
        if linked {
            let history = encode(&Receiving::default()).to_vec();
            batch.put(Table::Own, own::HISTORY.to_vec(), history);
        } else {
            let list = self.first_list(access, account, identity, now).await?;
            person.list = Some(list.clone());
            person.present = vec![account.device];
            batch.put(Table::Own, own::LIST.to_vec(), encode(&list).to_vec());
            let secret = identity.private.to_bytes();
            batch.put(Table::Own, own::IDENTITY.to_vec(), secret.expose().to_vec());
        }
        let name = account.id.to_string().into_bytes();
        batch.put(Table::People, name, encode(&person).to_vec());
        access.store.commit(batch).await?;
        Ok(upload)
    }

    /// Version 1 of the account's device list. It names this device alone: one that nobody has
    /// let in is not signed.
    async fn first_list(
        &self,
        access: &Access,
        account: &Account,
        identity: &KeyPair,
        now: Timestamp,
    ) -> Result<ListDocument, ClientError> {
        let devices =
            access.call(|api, token| async move { api.devices(&token).await }).await?.devices;
        let others = devices.iter().filter(|one| !one.current).count();
        if others > 0 {
            return Err(ClientError::OtherDevices(others));
        }
        let added = UnixMillis(now.0);
        let listed = ListedDevice { registration_id: account.registration_id.get(), added };
        let number = DeviceId::new(u64::from(account.device.get()));
        let list = DeviceList {
            account: account.id.to_string(),
            version: 1,
            issued: added,
            devices: number.ok().map(|number| (number, listed)).into_iter().collect(),
            removed: std::collections::BTreeMap::new(),
        };
        Ok(ListDocument(list.sign(&identity.private, &mut self.fork())))
    }

    /// Stores who the device is. Its session is good for nothing else until then.
    pub(super) async fn keep(
        &self,
        store: &dyn Store,
        tokens: &SessionTokens,
        registration_id: RegistrationId,
    ) -> Result<(), ClientError> {
        self.keep_with(store, Batch::default(), tokens, registration_id).await
    }

    /// The same, together with other records.
    pub(super) async fn keep_with(
        &self,
        store: &dyn Store,
        mut batch: Batch,
        tokens: &SessionTokens,
        registration_id: RegistrationId,
    ) -> Result<(), ClientError> {
        let known = Tx::new(store).read::<Account>(Table::Own, own::ACCOUNT).await?;
        let account = Account {
            id: tokens.account_id.clone(),
            handle: tokens.handle.clone(),
            device_id: tokens.device_id,
            device: tokens.device,
            registration_id,
            ready: known.is_some_and(|known| known.ready),
        };
        batch.put(Table::Own, own::ACCOUNT.to_vec(), encode(&account).to_vec());
        let tokens = Tokens::new(tokens, self.clock.now());
        batch.put(Table::Own, own::TOKENS.to_vec(), encode(&tokens).to_vec());
        Ok(store.commit(batch).await?)
    }

    pub(super) async fn must_be_empty(&self, store: &dyn Store) -> Result<(), ClientError> {
        let account = store.get(Table::Own, own::ACCOUNT).await?;
        let restoring = store.get(Table::Own, own::RESTORING).await?;
        if account.or(restoring).is_some() { Err(ClientError::AlreadyThere) } else { Ok(()) }
    }

    pub(super) fn draw_registration_id(&self) -> RegistrationId {
        let mut bytes = [0; 2];
        rand::Rng::fill_bytes(&mut self.fork(), &mut bytes);
        RegistrationId::from_random(bytes)
    }

    /// A generator of its own for one task.
    pub(super) fn fork(&self) -> StdRng {
        StdRng::from_rng(&mut *self.rng.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl core::fmt::Debug for Home {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_tuple("Home").field(&self.connector).finish()
    }
}

/// The lasting prekeys.
fn first_upload(prekeys: &PreKeys) -> UploadPreKeys {
    UploadPreKeys {
        signed: prekeys.signed_public().as_ref().and_then(signed_key),
        last_resort: prekeys.last_resort_public().as_ref().and_then(kem_key),
        ..UploadPreKeys::default()
    }
}

/// The system's clock.
struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        crate::platform::now()
    }
}
