//! A person who takes part: an account and a device that encrypts, through the SDK.

use std::{sync::Arc, time::Duration};

use posthouse_client::{
    Client, Entry, Home, MemoryStore, NewAccount, SqliteStore, Update, Updates,
};
use posthouse_protocol::{
    id::{AccountId, MessageId},
    status::Status,
};
use rand::{Rng as _, rngs::StdRng};

use super::{Fault, Region, Stage};
use crate::clock::SystemClock;

/// A person with a device.
pub(crate) struct Person {
    pub(super) name: &'static str,
    client: Client,
    updates: Updates,
    patience: Duration,
}

impl Person {
    /// Registers the person whom the story calls `name`, and connects.
    pub(super) async fn register(
        name: &'static str,
        region: &Region,
        stage: &Stage,
        rng: &mut StdRng,
    ) -> Result<Self, Fault> {
        let mut seed = [0; 32];
        rng.fill_bytes(&mut seed);
        let home = Home::with(region.connector.clone(), Arc::new(SystemClock), &seed);
        let mut account = NewAccount::new(region.handle.as_str(), &stage.password);
        account.device_name = Some(name.into());
        let registered = match &region.device {
            Some(file) => {
                let store = SqliteStore::open(file).await.map_err(explain)?;
                Box::pin(home.register(store, &account)).await
            }
            None => Box::pin(home.register(MemoryStore::new(), &account)).await,
        };
        let (client, updates) = registered.map_err(explain)?;
        Ok(Self { name, client, updates, patience: stage.patience })
    }

    /// The account.
    pub(crate) fn account(&self) -> &AccountId {
        self.client.account()
    }

    /// Whom an address means, as the person's own region finds out.
    pub(super) async fn find(&self, address: &str) -> Result<AccountId, Fault> {
        self.client.find(address).await.map_err(explain)
    }

    /// The digits by which this person and another one see that nobody reads along.
    pub(super) async fn safety_number(&self, with: &AccountId) -> Result<String, Fault> {
        Ok(self.client.safety_number(with).await.map_err(explain)?.digits())
    }

    /// Writes a text, which is encrypted and sent when its turn comes.
    pub(super) async fn write(&self, to: &AccountId, text: &str) -> Result<MessageId, Fault> {
        self.client.send_text(to, text).await.map_err(explain)
    }

    /// Has read everything of somebody, and lets them know.
    pub(super) async fn read(&self, with: &AccountId) -> Result<(), Fault> {
        self.client.mark_read(with).await.map_err(explain)
    }

    /// Begins to type to someone.
    pub(super) async fn type_to(&self, to: &AccountId) -> Result<(), Fault> {
        self.client.set_typing(to, true).await.map_err(explain)
    }

    /// Waits for the next message of somebody else, decrypted.
    pub(super) async fn receive(&mut self) -> Result<Box<Entry>, Fault> {
        let own = self.account().clone();
        self.wait("a message", |update| match update {
            Update::Message(entry) if entry.from != own => Some(entry.clone()),
            _ => None,
        })
        .await
    }

    /// Waits until a message has come as far as one of `wanted`. How far.
    pub(super) async fn reached(
        &mut self,
        message: MessageId,
        wanted: &[Status],
    ) -> Result<Status, Fault> {
        let what = format!("{wanted:?} of {message}");
        self.wait(&what, |update| match update {
            Update::Status { id, status, .. } if *id == message => {
                wanted.contains(status).then_some(*status)
            }
            _ => None,
        })
        .await
    }

    /// Waits for an update from which `pick` takes something.
    pub(super) async fn wait<T>(
        &mut self,
        what: &str,
        mut pick: impl FnMut(&Update) -> Option<T>,
    ) -> Result<T, Fault> {
        let name = self.name;
        let updates = &mut self.updates;
        let picked = tokio::time::timeout(self.patience, async {
            loop {
                let update = updates.next().await;
                let update = update.ok_or_else(|| Fault(format!("{name}'s device stopped.")))?;
                if let Some(why) = is_wrong(&update) {
                    return Err(Fault(format!("{name} is told: {why}.")));
                }
                if let Some(picked) = pick(&update) {
                    return Ok(picked);
                }
            }
        });
        picked.await.map_err(|_| Fault(format!("{name} waited for {what} in vain.")))?
    }

    /// Ends the device in good order: another program can go on as it.
    pub(crate) async fn leave(self) {
        self.updates.close(self.client).await;
    }
}

/// What no device is told where all is well.
fn is_wrong(update: &Update) -> Option<String> {
    Some(match update {
        Update::Status { status: Status::Failed, id, reason, .. } => {
            format!("the message {id} failed, {}", reason.as_deref().unwrap_or("for no reason"))
        }
        Update::KeyChanged { user, .. } => format!("{user} has another identity key"),
        Update::Refused { user, reason } => format!("of {user}, {reason}"),
        Update::Undecryptable { id, reason, .. } => {
            format!("the message {id} cannot be read, {reason}")
        }
        Update::Replaced => "another program runs the device".to_owned(),
        Update::SessionEnded => "the session has ended".to_owned(),
        _ => return None,
    })
}

/// An error of the SDK, as a fault of the exchange.
fn explain(err: impl core::fmt::Display) -> Fault {
    Fault(format!("A device could not do what it should: {err}."))
}
