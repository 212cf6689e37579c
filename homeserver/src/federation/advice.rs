//! Advice between regions about devices that a message did not serve: its sender's region had an
//! older list of them. The recipient's region sees it and says so; the sender's own tells the sender,
//! who may supplement the message.

use std::{sync::Arc, time::Duration};

use posthouse_client_api::rate::{Limiter, Rate};
use posthouse_federation::engine::ephemeral::{Ephemeral, EphemeralKey};
use posthouse_protocol::{
    federation::{
        event::{Event, EventBody, EventClass, EventKind},
        limits::MAX_UNSERVED,
        payload::Unserved,
    },
    id::{AccountId, ConversationId, DeviceNumber, MessageId, RegistrationId, ServerName},
    problem::Rejection,
    time::Timestamp,
};
use posthouse_storage::{accounts::addressable, keys::KeyNotice, message_store::MessageStore};
use tokio::time::Instant;
use uuid::Uuid;

use crate::{
    accounts::{Directory, store_failed},
    devices::{ForeignKeys, Notices},
    random::Random,
};

/// Pieces of advice that another region may give: each costs a look-up and an entry of an inbox.
const ADVICE: Rate = Rate { burst: 256, interval: Duration::from_millis(100) };

/// A message of another region's user that came just now.
#[derive(Debug)]
pub(super) struct Served {
    /// Its id.
    pub(super) id: Uuid,
    /// Who sent it.
    pub(super) sender: AccountId,
    /// For whom, of this region.
    pub(super) recipient: Uuid,
    /// The devices that it has ciphertexts for.
    pub(super) devices: Vec<(DeviceNumber, RegistrationId)>,
}

impl Served {
    /// What there may be to say about an event: nothing about one for everybody, to a group, or that
    /// is itself a supplement.
    pub(super) fn of(event: &Event, id: Uuid, sender: &AccountId) -> Option<Self> {
        let &[recipient] = event.recipients.as_slice() else { return None };
        if event.group.is_some() || event.part.is_some() {
            return None;
        }
        let devices = event.bodies.iter().map(|body| body.device);
        let devices: Vec<_> =
            devices.map(|one| Some((one?.device, one?.registration))).collect::<Option<_>>()?;
        Some(Self { id, sender: sender.clone(), recipient, devices })
    }
}

/// Gives advice and takes it.
pub struct Advice {
    parts: AdviceParts,
    taken: Limiter<ServerName>,
    start: Instant,
}

/// What [`Advice`] stands on.
pub struct AdviceParts {
    /// Devices of this region.
    pub directory: Arc<Directory>,
    /// Where people are told.
    pub notices: Arc<Notices>,
    /// Keys of other regions' users.
    pub abroad: Arc<ForeignKeys>,
    /// Messages that were sent.
    pub messages: MessageStore,
    /// Random numbers.
    pub random: Arc<Random>,
}

impl Advice {
    /// Nothing was said yet.
    pub fn new(parts: AdviceParts) -> Self {
        Self { parts, taken: Limiter::new(ADVICE), start: Instant::now() }
    }

    /// Tells the senders' regions of devices here that were not served. What fails is logged: the
    /// senders learn of the devices when they next send.
    pub(super) async fn give(&self, served: &[Served], now: Timestamp) {
        for one in served {
            if let Err(err) = self.try_give(one, now).await {
                tracing::warn!(reason = %err.detail, "a sender was not told of other devices");
            }
        }
    }

    async fn try_give(&self, served: &Served, now: Timestamp) -> Result<(), Rejection> {
        let devices = self.parts.directory.devices(served.recipient, now).await?;
        let is_missing = |device: &&_| {
            let device: &posthouse_storage::accounts::Device = device;
            !served.devices.contains(&(device.number, device.registration_id))
        };
        let missing = addressable(&devices).filter(is_missing).map(|device| device.number);
        let mut missing: Vec<DeviceNumber> = missing.take(MAX_UNSERVED).collect();
        if missing.is_empty() {
            return Ok(());
        }
        missing.sort_unstable();
        let identity = self.parts.notices.store.identity(served.recipient).await;
        let identity = identity.map_err(|err| store_failed(&err))?;
        let version = identity.map_or(0, |identity| identity.list_version);
        let body = Unserved { message: served.id, devices: missing, version }.encode();
        let own = self.parts.directory.server().clone();
        let recipient = AccountId { uuid: served.recipient, server: own };
        let event = Event {
            conversation: Some(ConversationId::direct(&served.sender, &recipient)),
            recipients: vec![served.sender.uuid],
            bodies: vec![EventBody::for_all(body)],
            ..Event::new(EventKind::Unserved, EventClass::Ephemeral)
        };
        let id = self.parts.random.uuid_at(now);
        // None replaces another: each is about a message of its own.
        let key =
            EphemeralKey { kind: EventKind::Unserved.number(), sender: id, conversation: None };
        let event = event.encode().into();
        let ephemeral = Ephemeral { key, sender: recipient.uuid, id, event };
        self.parts.directory.regions().whisper(&served.sender.server, ephemeral);
        Ok(())
    }

    /// Another region says which devices of `user` a message of `told` did not serve: `told` learns
    /// it, if there was such a message.
    pub(super) async fn take(
        &self,
        user: &AccountId,
        told: &AccountId,
        body: &[u8],
        now: Timestamp,
    ) {
        let Ok(unserved) = Unserved::decode(body) else { return };
        if self.taken.take(user.server.clone(), self.start.elapsed()).is_err() {
            return;
        }
        let message = MessageId(unserved.message);
        let conversation = ConversationId::direct(told, user);
        let sent = self.parts.messages.ledger().parts(told, message).await;
        let sent = sent.map(|parts| parts.iter().any(|part| part.conversation == conversation));
        let outcome = match sent {
            Ok(false) => return,
            Ok(true) => {
                // So that the supplement is compared with the newer list.
                self.parts.abroad.changed(user);
                let Unserved { devices: missing, version, .. } = unserved;
                let notice = KeyNotice::Unserved { message, user: user.clone(), missing, version };
                self.parts.notices.unserved(told.uuid, &notice, now).await
            }
            Err(err) => Err(err),
        };
        if let Err(err) = outcome {
            tracing::warn!(error = %err, "a sender was not told of other devices");
        }
    }
}
