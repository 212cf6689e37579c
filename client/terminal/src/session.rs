//! A profile's device, running.

use std::time::Duration;

use posthouse_client::{Client, ClientError, KeyTrust, Update, Updates};
use posthouse_protocol::{
    id::{AccountId, Address, MessageId},
    status::Status,
};
use tokio::time::Instant;

use crate::{
    args::Wanted,
    failure::{Exit, Failure},
    names::Names,
    profile::Profile,
};

/// How long an ended program waits for its connection to be closed.
const CLOSING: Duration = Duration::from_secs(3);

/// A running device, and what people are called on it.
#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) client: Client,
    pub(crate) updates: Updates,
    pub(crate) names: Names,
    profile: Profile,
}

impl Session {
    /// Starts the device of a profile.
    pub(crate) async fn open(profile: Profile) -> Result<Self, Failure> {
        let home = profile.home()?;
        if !profile.has_store() {
            return Err(ClientError::NoDevice.into());
        }
        let opened = home.open(profile.store().await?).await?;
        Self::of(profile, opened)
    }

    /// A device that was just made.
    pub(crate) fn of(
        profile: Profile,
        (client, updates): (Client, Updates),
    ) -> Result<Self, Failure> {
        let mut names = profile.names()?;
        if names.learn(client.account(), &client.handle().to_string()) {
            profile.keep_names(&names)?;
        }
        Ok(Self { client, updates, names, profile })
    }

    /// The account that a name means. A name goes on meaning whom it has meant here first.
    pub(crate) async fn find(&mut self, name: &str) -> Result<AccountId, Failure> {
        let address = Address::parse(name, &self.client.account().server);
        let address = address.map_err(ClientError::from)?;
        let Address::Handle(handle) = &address else { return Ok(self.client.find(name).await?) };
        let name = if handle.server == self.client.account().server {
            handle.name.to_string()
        } else {
            handle.to_string()
        };
        if let Some(known) = self.names.whose(&name) {
            return Ok(known);
        }
        let user = self.client.find(&name).await?;
        if self.names.learn(&user, &name) {
            self.profile.keep_names(&self.names)?;
        }
        Ok(user)
    }

    /// Learns what somebody is called, if their region tells it. It is only a name: what fails is
    /// tried again another time.
    pub(crate) async fn learn(&mut self, user: &AccountId) -> Result<(), Failure> {
        if !self.names.knows(user)
            && let Ok(Some(handle)) = self.client.handle_of(user).await
            && self.names.learn(user, &handle.to_string())
        {
            self.profile.keep_names(&self.names)?;
        }
        Ok(())
    }

    /// Waits until a message has come so far. No update is taken: those are for `listen`.
    pub(crate) async fn wait_for(
        &mut self,
        to: &AccountId,
        id: MessageId,
        wanted: Wanted,
        within: Duration,
    ) -> Result<Option<Status>, Failure> {
        let least = match wanted {
            Wanted::Queued => None,
            Wanted::Sent => Some(Status::Sent),
            Wanted::Delivered => Some(Status::Delivered),
            Wanted::Read => Some(Status::Read),
        };
        let (until, own) = (Instant::now() + within, self.client.account().clone());
        let (mut reason, mut reached, mut keyless) = (None, false, false);
        loop {
            let entry = self.client.message(&own, id).await?;
            let status = entry.and_then(|entry| entry.status);
            if status == Some(Status::Failed) {
                return Err(failed(reason.as_deref()));
            }
            if status >= least {
                return Ok(status);
            }
            if status.is_none() && self.client.key_trust(to).await? == KeyTrust::Changed {
                return Err(key_changed(&self.names.of(to)));
            }
            let next = tokio::time::timeout_at(until, self.updates.next_numbered()).await;
            let Ok(next) = next else { return Err(waits(status, reached, keyless)) };
            match next.map(|numbered| numbered.update) {
                None => return Err(ClientError::Stopped.into()),
                Some(Update::Status { id: of, reason: why, .. }) if of == id => reason = why,
                Some(Update::WaitingForKeys { id: of, .. }) if of == id => keyless = true,
                Some(Update::Connected) => reached = true,
                Some(Update::SessionEnded) => return Err(ClientError::SessionEnded.into()),
                Some(Update::Replaced) => return Err(replaced()),
                Some(_) => {}
            }
        }
    }

    /// Ends in good order: what was acknowledged is told to the homeserver.
    pub(crate) async fn close(self) {
        let closing = self.updates.close(self.client);
        _ = tokio::time::timeout(CLOSING, closing).await;
    }
}

/// Another process has this device's connection.
pub(crate) fn replaced() -> Failure {
    let advice = "A copy of this profile runs elsewhere. A device belongs in one place: link a \
                  further one with `posthouse-chat link`.";
    Failure::new(Exit::Store, "Another program runs this device.", advice)
}

fn key_changed(name: &str) -> Failure {
    let fact = format!("{name} has another identity key than before; the message waits.");
    let advice = format!(
        "They set their account up anew, or somebody reads along. Compare the number of \
         `posthouse-chat safety {name}` with them, then add --accept."
    );
    Failure::new(Exit::KeyChanged, fact, advice)
}

fn failed(reason: Option<&str>) -> Failure {
    let fact = format!("The message failed: {}.", reason.unwrap_or("no reason is known"));
    Failure::new(Exit::Refused, fact, "docs/spec/statuses.md says what the reasons mean.")
}

fn waits(status: Option<Status>, reached: bool, keyless: bool) -> Failure {
    let (exit, fact, advice) = match (status, reached) {
        (None, _) if keyless => (
            Exit::Waits,
            "The message waits: its recipient has no keys yet.",
            "It is kept and goes once they have set a device up and a command runs here.",
        ),
        (None, false) => (
            Exit::Unreachable,
            "The message waits: the homeserver was not reached.",
            "It is kept and goes with the next command that reaches it.",
        ),
        (None, true) => (
            Exit::Waits,
            "The message waits: the homeserver has not taken it yet.",
            "It is kept and goes with the next command.",
        ),
        (Some(_), _) => (
            Exit::Waits,
            "The message is sent, but has not come so far in this time.",
            "Nothing needs to be done; `posthouse-chat history NAME` shows how far it comes.",
        ),
    };
    Failure::new(exit, fact, advice)
}
