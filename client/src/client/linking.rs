//! Another device of an account: linked by a code that goes from screen to camera.
//!
//! ```text
//! message  encapsulated key (32) || sealed
//! sealed   HPKE (X25519, HKDF-SHA256, AES-256-GCM) to the key of the code,
//!          info "posthouse link v1", associated data the link's id as text:
//!          version, 1 (1) || identity private key (32) || account (UTF-8)
//! ```

use std::sync::Arc;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use posthouse_crypto::seal::{Encapsulation, SealingKey, SealingPublicKey};
use posthouse_protocol::{
    id::{AccountId, RegistrationId, ServerName},
    rest::keys::{ApproveLink, FetchLink, Link, LinkStatus, Provisioning, StartLink},
};
use uuid::Uuid;
use zeroize::Zeroizing;

use super::{Client, Home, Updates};
use crate::{
    Api, ClientError,
    machine::{ListChange, Wish},
    records::own,
    store::{Batch, Store, Table},
};

const INFO: &[u8] = b"posthouse link v1";
const VERSION: u8 = 1;
/// What stands before a public key.
const KEY_TYPE: u8 = 5;
const CODE: &str = "posthouse-link:";

/// A device that waits to be let into an account.
pub struct Linking {
    home: Home,
    store: Arc<dyn Store>,
    link: Link,
    key: SealingKey,
    registration_id: RegistrationId,
    server: ServerName,
}

impl Home {
    /// Begins to link this device to an account: its person shows the [code](Linking::code) to
    /// another device of the account, where it goes into [`Client::approve_link`].
    ///
    /// # Errors
    /// [`ClientError::AlreadyThere`], [`ClientError::Transport`].
    pub async fn link(
        &self,
        store: impl Store + 'static,
        device_name: &str,
    ) -> Result<Linking, ClientError> {
        let store: Arc<dyn Store> = Arc::new(store);
        self.must_be_empty(&*store).await?;
        let registration_id = self.draw_registration_id();
        let api = Api::new(self.connector.clone());
        let server = ServerName::parse(&api.capabilities().await?.server_name)?;
        let request = StartLink { registration_id, name: Some(device_name.to_owned()) };
        let link = api.start_link(&request).await?;
        let key = SealingKey::generate(Encapsulation::X25519, &mut self.fork());
        Ok(Linking { home: self.clone(), store, link, key, registration_id, server })
    }
}

impl Linking {
    /// The code to show, as text or as a QR code. It is good for five minutes and one device.
    pub fn code(&self) -> String {
        let mut key = vec![KEY_TYPE];
        key.extend_from_slice(&self.key.public_key().to_bytes());
        let (id, key) = (self.link.link_id, URL_SAFE_NO_PAD.encode(key));
        let (server, registration) = (&self.server, self.registration_id.get());
        format!("{CODE}{id}?s={server}&k={key}&r={registration}")
    }

    /// Waits until the code was approved, and starts the device.
    ///
    /// # Errors
    /// [`ClientError::Transport`] with the code `not_found` once the link has expired;
    /// [`ClientError::Link`] if what came through it is not for this device.
    pub async fn finish(self) -> Result<(Client, Updates), ClientError> {
        let api = Api::new(self.home.connector.clone());
        let request = FetchLink { secret: self.link.secret.clone() };
        let (message, tokens) = loop {
            let result = api.fetch_link(self.link.link_id, &request).await?;
            match (result.status, result.message, result.session) {
                (LinkStatus::Waiting, ..) => {}
                (LinkStatus::Linked, Some(message), Some(tokens)) => break (message, tokens),
                _ => return Err(ClientError::Link("nothing came through it")),
            }
        };
        let (identity, account) = open(&self.key, self.link.link_id, &message)?;
        if account != tokens.account_id {
            return Err(ClientError::Link("it leads to another account"));
        }
        let mut batch = Batch::default();
        batch.put(Table::Own, own::IDENTITY.to_vec(), identity.to_vec());
        self.store.commit(batch).await?;
        self.home.keep(&*self.store, &tokens, self.registration_id).await?;
        self.home.open_shared(self.store).await
    }
}

impl core::fmt::Debug for Linking {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Linking").field("link", &self.link.link_id).finish_non_exhaustive()
    }
}

impl Client {
    /// Lets the device in whose code this is, after the person has agreed to it: it is given the
    /// account's identity key, and the next device list names it. `pin` is the device-link PIN of
    /// accounts that have one. The device's number.
    ///
    /// # Errors
    /// [`ClientError::Link`] for what is no code, or one of another region;
    /// [`ClientError::Transport`], with codes such as `not_found` and `too_many`.
    pub async fn approve_link(
        &self,
        code: &str,
        pin: Option<posthouse_protocol::rest::Secret>,
    ) -> Result<u8, ClientError> {
        let (link, server, key, registration_id) =
            read(code).ok_or(ClientError::Link("it is not a code for linking"))?;
        if server != self.account.id.server {
            return Err(ClientError::Link("it is of another region"));
        }
        let message = self.seal_identity(link, &key).await?;
        let request = &ApproveLink { registration_id, message, pin };
        let linked = self
            .access
            .call(|api, token| async move { api.approve_link(&token, link, request).await });
        let linked = linked.await?;
        let change = ListChange::Add { device: linked.device, registration_id };
        self.wish(Wish::SignList(change)).await?;
        Ok(linked.device.get())
    }

    async fn seal_identity(
        &self,
        link: Uuid,
        key: &SealingPublicKey,
    ) -> Result<Provisioning, ClientError> {
        let identity = self.access.store.get(Table::Own, own::IDENTITY).await?;
        let identity = identity.ok_or(ClientError::NoDevice)?;
        let mut plain = Zeroizing::new(vec![VERSION]);
        plain.extend_from_slice(&identity);
        plain.extend_from_slice(self.account.id.to_string().as_bytes());
        let mut rng = self.home.fork();
        let sealed = key.seal(INFO, link.to_string().as_bytes(), &plain, &mut rng);
        let (mut message, sealed) =
            sealed.map_err(|_| ClientError::Link("its key cannot be used"))?;
        message.extend_from_slice(&sealed);
        Ok(Provisioning(message))
    }
}

/// The parts of a code.
fn read(code: &str) -> Option<(Uuid, ServerName, SealingPublicKey, RegistrationId)> {
    let (link, rest) = code.trim().strip_prefix(CODE)?.split_once('?')?;
    let part =
        |name: &str| rest.split('&').find_map(|one| one.strip_prefix(name)?.strip_prefix('='));
    let key = URL_SAFE_NO_PAD.decode(part("k")?).ok()?;
    let (kind, key) = key.split_first()?;
    let key = SealingPublicKey::from_bytes(Encapsulation::X25519, key).ok()?;
    let registration_id = RegistrationId::try_from(part("r")?.parse::<u32>().ok()?).ok()?;
    let server = ServerName::parse(part("s")?).ok()?;
    (*kind == KEY_TYPE).then_some((Uuid::parse_str(link).ok()?, server, key, registration_id))
}

fn open(
    key: &SealingKey,
    link: Uuid,
    message: &Provisioning,
) -> Result<(Zeroizing<[u8; 32]>, AccountId), ClientError> {
    let wrong = || ClientError::Link("what came through it is not for this device");
    let len = Encapsulation::X25519.encapsulated_len();
    let (encapsulated, sealed) = message.0.split_at_checked(len).ok_or_else(wrong)?;
    let plain = key.open(INFO, link.to_string().as_bytes(), encapsulated, sealed);
    let plain = Zeroizing::new(plain.map_err(|_| wrong())?);
    let (version, rest) = plain.split_first().ok_or_else(wrong)?;
    let (identity, account) = rest.split_first_chunk::<32>().ok_or_else(wrong)?;
    if *version != VERSION {
        return Err(wrong());
    }
    let account = core::str::from_utf8(account).ok().and_then(|a| AccountId::parse(a).ok());
    Ok((Zeroizing::new(*identity), account.ok_or_else(wrong)?))
}
