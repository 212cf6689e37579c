//! A profile's device, running.

use std::time::Duration;

use posthouse_client::{Client, ClientError, GroupSummary, KeyTrust, Update, Updates};
use posthouse_protocol::{
    id::{AccountId, Address, GroupId, MessageId},
    status::Status,
};
use tokio::time::Instant;

use crate::{
    args::Wanted,
    ended::{Ended, explain},
    failure::{Exit, Failure},
    names::{Names, called},
    output::Output,
    profile::Profile,
    talk::Talk,
};

/// How long an ended program waits for its connection to be closed.
const CLOSING: Duration = Duration::from_secs(3);
/// How long a list waits for the homeserver, before what is known is told.
pub(crate) const NEWS: Duration = Duration::from_secs(3);
/// How often it is looked whether everything was taken.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// A running device, and what people are called on it.
#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) client: Client,
    pub(crate) updates: Updates,
    pub(crate) names: Names,
    profile: Profile,
    /// Where it is said that the homeserver is not reached; nowhere under a full screen.
    notes: Option<Output>,
    /// Why it is not reached, as it was said last.
    unreached: Option<Failure>,
    /// The homeserver is reached, and what waited there is here.
    online: bool,
    /// It did not answer: it is not asked for names any more.
    silent: bool,
    /// The device is none any more.
    pub(crate) ended: Option<Ended>,
}

/// Whom a name means.
#[derive(Debug)]
pub(crate) enum Whose {
    /// It is known here.
    Known(AccountId),
    /// The homeserver is to be asked about this name.
    Named(String),
}

/// An account that was found, and the name that found it, if it was not known here.
pub(crate) type Found = (AccountId, Option<String>);

impl Whose {
    /// The account.
    pub(crate) async fn find(self, client: &Client) -> Result<Found, Failure> {
        Ok(match self {
            Self::Known(account) => (account, None),
            Self::Named(name) => (client.find(&name).await?, Some(name)),
        })
    }
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
        let ended = profile.ended()?.filter(|ended| ended.is_final());
        Ok(Self {
            client,
            updates,
            names,
            profile,
            notes: None,
            unreached: None,
            online: false,
            silent: ended.is_some(),
            ended,
        })
    }

    /// The same, saying on standard error when the homeserver is not reached.
    pub(crate) fn telling(self, output: Output) -> Self {
        Self { notes: Some(output), ..self }
    }

    /// Whether the homeserver is reached, as an update says: each reason why not is said once, at once.
    pub(crate) fn note(&mut self, update: &Update) {
        match update {
            Update::Connected => (self.unreached, self.online) = (None, true),
            Update::Disconnected => self.online = false,
            Update::Unreached { reason } => {
                let why = Failure::unreached(reason);
                if self.unreached.as_ref() != Some(&why) {
                    if let Some(output) = self.notes {
                        output.unreached(&why);
                    }
                    self.unreached = Some(why);
                }
            }
            _ => {}
        }
    }

    /// The time is over, and the homeserver was not reached: why, as far as it is known.
    pub(crate) fn not_reached(&mut self) -> Failure {
        self.unreached.take().unwrap_or_else(|| {
            let advice = "Check whether the server runs, or give it more time.";
            Failure::new(Exit::Unreachable, "The homeserver was not reached.", advice)
        })
    }

    /// The account that a name means. A name goes on meaning whom it has meant here first.
    pub(crate) async fn find(&mut self, name: &str) -> Result<AccountId, Failure> {
        let found = self.whose(name)?.find(&self.client).await?;
        self.found(found)
    }

    /// What is known here of whom a name means.
    pub(crate) fn whose(&self, name: &str) -> Result<Whose, Failure> {
        let own = &self.client.account().server;
        let handle = match Address::parse(name, own).map_err(ClientError::from)? {
            Address::Account(account) => return Ok(Whose::Known(account)),
            Address::Handle(handle) => handle,
            Address::Group(_) => return Ok(Whose::Named(name.to_owned())),
        };
        let name = if handle.server == *own { handle.name.to_string() } else { handle.to_string() };
        Ok(self.names.whose(&name).map_or(Whose::Named(name), Whose::Known))
    }

    /// Remembers whom a name was found to mean.
    pub(crate) fn found(&mut self, (user, name): Found) -> Result<AccountId, Failure> {
        if let Some(name) = name {
            self.call(&user, &name)?;
        }
        Ok(user)
    }

    /// Remembers what somebody is called.
    pub(crate) fn call(&mut self, user: &AccountId, name: &str) -> Result<(), Failure> {
        if self.names.learn(user, name) {
            self.profile.keep_names(&self.names)?;
        }
        Ok(())
    }

    /// Learns what somebody is called, if their region tells it or it is known from before. It is only a
    /// name: what fails is tried again another time.
    pub(crate) async fn learn(&mut self, user: &AccountId) -> Result<(), Failure> {
        let own = self.client.account().server.clone();
        let asks = user.server == own;
        if self.names.knows(user) || (asks && self.silent) {
            return Ok(());
        }
        match self.client.handle_of(user).await {
            Ok(Some(handle)) => self.call(user, &called(user, &handle, &own)),
            Ok(None) => Ok(()),
            Err(err) => {
                self.silent |= err.code() != Some("unknown_user");
                Ok(())
            }
        }
    }

    /// Learns what somebody says of themselves, as the store has it.
    pub(crate) async fn learn_profile(&mut self, user: &AccountId) -> Result<(), Failure> {
        let profile = self.client.profile(user).await?;
        self.names.learn_profile(user, profile);
        Ok(())
    }

    /// Learns both of somebody.
    pub(crate) async fn learn_all(&mut self, user: &AccountId) -> Result<(), Failure> {
        self.learn(user).await?;
        self.learn_profile(user).await
    }

    /// Waits until the homeserver has the own profile as it was set, or the time is over.
    pub(crate) async fn published(&mut self, until: Instant) -> Result<(), Failure> {
        while !self.client.is_profile_published().await? {
            if self.learned(until).await?.is_none() {
                let advice = "It is kept and goes with the next command that reaches it.";
                let fact = "The profile waits: the homeserver has not taken it yet.";
                return Err(Failure::new(Exit::Waits, fact, advice));
            }
        }
        Ok(())
    }

    /// Waits until a message has come so far. No update is taken: those are for `listen`.
    pub(crate) async fn wait_for(
        &mut self,
        to: &Talk,
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
        let (mut reason, mut reached, mut keyless) = (None, self.online, false);
        loop {
            let entry = self.client.message(&own, id).await?;
            let status = entry.and_then(|entry| entry.status);
            if status == Some(Status::Failed) {
                return Err(failed(reason.as_deref()));
            }
            if status >= least {
                return Ok(status);
            }
            if status.is_none()
                && let Some(to) = to.person()
                && self.client.key_trust(to).await? == KeyTrust::Changed
            {
                return Err(key_changed(&self.names.of(to)));
            }
            let next = tokio::time::timeout_at(until, self.updates.next_numbered()).await;
            let Ok(next) = next else { return Err(waits(status, reached, keyless)) };
            let next = next.map(|numbered| numbered.update);
            if let Some(update) = &next {
                self.note(update);
            }
            match next {
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

    /// The group that a name means: its id, or its title if only one of this account's groups has
    /// it. If this device knows none, the homeserver is asked; a title whose key is still on its way is
    /// waited for.
    pub(crate) async fn find_group(
        &mut self,
        name: &str,
        until: Instant,
    ) -> Result<GroupSummary, Failure> {
        let id = GroupId::parse(name).ok();
        let mut is_asked = self.ended.is_some();
        loop {
            let mut found = self.client.groups().await?;
            let is_untitled = |one: &GroupSummary| one.standing.is_some() && one.title.is_none();
            let may_come = id.is_none() && found.iter().any(is_untitled);
            found.retain(|one| match &id {
                Some(id) => one.id == *id,
                None => one.standing.is_some() && one.title.as_deref() == Some(name),
            });
            match (found.pop(), found.is_empty()) {
                (Some(group), true) => return Ok(group),
                (Some(_), false) => {
                    let fact = format!("Several groups are called \"{name}\".");
                    let advice = "Name it by its id: `posthouse-chat groups` shows them.";
                    return Err(Failure::new(Exit::Usage, fact, advice));
                }
                (None, _) => {}
            }
            if !is_asked {
                self.connected(until).await?;
                self.client.refresh_groups().await?;
                is_asked = true;
            } else if !may_come || self.learned(until).await?.is_none() {
                let fact = format!("No group of yours is called \"{name}\".");
                let advice = "`posthouse-chat groups` shows them, with their ids.";
                return Err(Failure::new(Exit::Usage, fact, advice));
            }
        }
    }

    /// Waits until this device has heard of something; `None` once the time is over. Nothing is
    /// taken: that is for `listen`.
    async fn learned(&mut self, until: Instant) -> Result<Option<Update>, Failure> {
        match tokio::time::timeout_at(until, self.updates.next_numbered()).await {
            Err(_) => Ok(None),
            Ok(None) => Err(ClientError::Stopped.into()),
            Ok(Some(numbered)) => match numbered.update {
                Update::SessionEnded => Err(ClientError::SessionEnded.into()),
                Update::Replaced => Err(replaced()),
                update => {
                    self.note(&update);
                    Ok(Some(update))
                }
            },
        }
    }

    /// Waits until the homeserver was reached and what waited there is here.
    pub(crate) async fn connected(&mut self, until: Instant) -> Result<(), Failure> {
        while !self.online {
            if self.learned(until).await?.is_none() {
                return Err(self.not_reached());
            }
        }
        Ok(())
    }

    /// Hears of what is new before something is listed, and of `groups` too, if the homeserver is reached
    /// soon. Why not, if not: what is known is told without.
    pub(crate) async fn news(
        &mut self,
        groups: bool,
        until: Instant,
    ) -> Result<Result<(), Failure>, Failure> {
        if let Some(ended) = self.ended {
            return Ok(Err(ended.failure()));
        }
        // It is not tried again, so that this is not said either.
        let notes = self.notes.take();
        let heard = self.heard(groups, until.min(Instant::now() + NEWS)).await;
        self.notes = notes;
        self.silent |= heard.is_err();
        match heard {
            Err(failure) if matches!(failure.exit(), Exit::Unreachable | Exit::Refused) => {
                Ok(Err(explain(&self.profile, failure)))
            }
            Err(failure) => Err(failure),
            Ok(()) => Ok(Ok(())),
        }
    }

    async fn heard(&mut self, groups: bool, until: Instant) -> Result<(), Failure> {
        while !self.online {
            match self.learned(until).await? {
                None | Some(Update::Unreached { .. }) => return Err(self.not_reached()),
                Some(_) => {}
            }
        }
        if groups {
            let refreshed = tokio::time::timeout_at(until, self.client.refresh_groups()).await;
            refreshed.map_err(|_| self.not_reached())??;
        }
        Ok(())
    }

    /// The same for a list, which says so if it is not news.
    pub(crate) async fn refreshed(
        &mut self,
        groups: bool,
        until: Instant,
        output: Output,
    ) -> Result<(), Failure> {
        if let Err(why) = self.news(groups, until).await? {
            output.stale(&why);
        }
        Ok(())
    }

    /// What has happened to the device, as far as it is known by now.
    pub(crate) fn how_ended(&self) -> Result<Option<Ended>, Failure> {
        self.profile.ended()
    }

    /// Waits until the homeserver has taken everything of this device, or the time is over: it goes
    /// with the next command then.
    pub(crate) async fn flush(&mut self, until: Instant) -> Result<(), Failure> {
        while self.client.waiting().await? > 0 && Instant::now() < until {
            tokio::time::sleep(LOOK_EVERY).await;
        }
        Ok(())
    }

    /// Waits until the homeserver has the own list of devices, or the time is over: it goes with the next
    /// command then. Whether it has.
    pub(crate) async fn listed(&self, until: Instant) -> Result<bool, Failure> {
        loop {
            let is_there = self.client.is_list_published().await?;
            if is_there || Instant::now() >= until {
                return Ok(is_there);
            }
            tokio::time::sleep(LOOK_EVERY).await;
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
            "Nothing needs to be done; `history NAME`, or `groups history NAME`, shows how far it comes.",
        ),
    };
    Failure::new(exit, fact, advice)
}
