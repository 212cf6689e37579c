//! The presence port of the client API.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use async_trait::async_trait;
use posthouse_client_api::{
    mailbox::Mailbox,
    ports::{Caller, Presence as PresencePort},
};
use posthouse_protocol::{
    frame::{Presence, PresenceFrame, PresenceUpdate},
    id::{AccountId, Address, ConversationId, DeviceId},
    limits,
    problem::{Code, Rejection},
    rest::LastSeen,
    time::{Clock, Timestamp},
};
use posthouse_storage::people::{Pair, Stance};
use uuid::Uuid;

use super::{Acquaintance, Watchers, abroad, watchers};
use crate::{
    accounts::{Directory, store_failed},
    delivery::{Attendance, Connections},
    people::Relations,
    random::Random,
    regions::FirstContacts,
};

/// Typing notices that say the same as one before are dropped for this long, in milliseconds.
const TYPING_REPEAT_MS: u64 = 1_000;

/// Most typing notices that are remembered for that; a full memory is emptied.
const MAX_TYPING: usize = 10_000;

/// Presence and typing of this region's people.
pub struct PresenceService {
    /// Connected devices.
    pub connections: Arc<Connections>,
    /// Who watches whom.
    pub watchers: Arc<Watchers>,
    /// Who may.
    pub acquaintance: Arc<Acquaintance>,
    /// Who hears whom, and who shows what.
    pub relations: Arc<Relations>,
    /// Handles.
    pub directory: Arc<Directory>,
    /// Random numbers.
    pub random: Arc<Random>,
    /// How many regions that were never reached an account may ask.
    pub first_contacts: Arc<FirstContacts>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Who typed to whom last, started or stopped.
    pub typing: Mutex<HashMap<(Uuid, Uuid), (bool, Timestamp)>>,
}

#[async_trait]
impl PresencePort for PresenceService {
    async fn update(&self, caller: &Caller, update: PresenceUpdate) -> Result<(), Rejection> {
        let account = caller.account.uuid;
        match update {
            PresenceUpdate::Online => self.connections.set_away(account, caller.device, false),
            PresenceUpdate::Away => self.connections.set_away(account, caller.device, true),
            PresenceUpdate::Typing { to, started } => {
                return self.type_to(caller, &to, started).await;
            }
        }
        self.watchers.changed(account);
        Ok(())
    }

    async fn subscribe(
        &self,
        caller: &Caller,
        mailbox: &Arc<Mailbox>,
        users: Vec<Address>,
    ) -> Result<(), Rejection> {
        let visible = self.visible(&caller.account, &self.accounts(&users).await?).await?;
        self.watchers.watch(mailbox, &caller.account, &visible)?;
        for (account, precision) in visible {
            mailbox.push(self.frame(account, precision).await?.to_json().into());
        }
        self.subscribe_abroad(&caller.account, mailbox, &users).await
    }

    async fn unsubscribe(
        &self,
        _caller: &Caller,
        mailbox: &Arc<Mailbox>,
        users: Vec<Address>,
    ) -> Result<(), Rejection> {
        let accounts = self.accounts(&users).await?;
        self.watchers.unwatch(mailbox, &accounts);
        for user in &users {
            if let Address::Account(id) = user {
                self.watchers.remote(|remote| remote.unwatch(watchers::Key::of(mailbox), id));
            }
        }
        Ok(())
    }

    async fn query(
        &self,
        caller: &Caller,
        users: Vec<Address>,
    ) -> Result<Vec<PresenceFrame>, Rejection> {
        let mut frames = Vec::new();
        let accounts = self.accounts(&users).await?;
        for (account, precision) in self.visible(&caller.account, &accounts).await? {
            frames.push(self.frame(account, precision).await?);
        }
        frames.extend(self.query_abroad(&caller.account, &users).await?);
        Ok(frames)
    }

    fn is_watched(&self, caller: &Caller) -> bool {
        self.watchers.is_watched(caller.account.uuid)
    }
}

impl PresenceService {
    /// Those of `accounts`, of this region, whose presence `watcher` may see, and how exactly: itself,
    /// and who has exchanged messages with it, or has it as contact as it has them; unless they have
    /// blocked it, or one of the two shows nothing. Others, known or not, are left out alike.
    pub(super) async fn visible(
        &self,
        watcher: &AccountId,
        accounts: &[Uuid],
    ) -> Result<Vec<(Uuid, LastSeen)>, Rejection> {
        let server = self.directory.server();
        if watcher.server == *server
            && self.relations.privacy(watcher.uuid).await?.last_seen == LastSeen::Nobody
        {
            // Who shows nothing sees nothing, but themselves.
            let own = accounts.iter().filter(|account| **account == watcher.uuid);
            return Ok(own.map(|account| (*account, LastSeen::Exact)).collect());
        }
        let ids = accounts.iter().map(|uuid| AccountId { uuid: *uuid, server: server.clone() });
        let ids: Vec<AccountId> = ids.collect();
        let conversations: Vec<_> =
            ids.iter().map(|id| ConversationId::direct(watcher, id)).collect();
        let exchanged = self.acquaintance.all(&conversations).await?;
        let theirs: Vec<Pair> = ids.iter().map(|id| (id.clone(), watcher.clone())).collect();
        let now = self.clock.now();
        let theirs = self.relations.of(&theirs, now).await.map_err(|err| store_failed(&err))?;
        let mut visible = Vec::new();
        for ((id, exchanged), theirs) in ids.iter().zip(exchanged).zip(theirs) {
            if id == watcher {
                visible.push((id.uuid, LastSeen::Exact));
                continue;
            }
            let known = exchanged
                || (theirs.stance == Stance::Contact && self.has_as_contact(watcher, id).await?);
            if !known || theirs.blocked {
                continue;
            }
            let precision = self.relations.privacy(id.uuid).await?.last_seen;
            if precision != LastSeen::Nobody {
                visible.push((id.uuid, precision));
            }
        }
        Ok(visible)
    }

    /// Whether `watcher` has `other` as contact. A watcher of another region says so by watching: that
    /// region has looked.
    async fn has_as_contact(
        &self,
        watcher: &AccountId,
        other: &AccountId,
    ) -> Result<bool, Rejection> {
        if watcher.server != *self.directory.server() {
            return Ok(true);
        }
        let mine = self.relations.one(watcher, other, self.clock.now()).await?;
        Ok(mine.stance == Stance::Contact)
    }

    /// What an account thinks of others, or what it shows, has changed: who watches it is looked at
    /// again.
    pub async fn look_again(&self, account: Uuid) {
        // Who shows nothing sees nothing, also not what they watched before. If the store cannot say,
        // neither: the watcher asks again.
        let shows = self.relations.privacy(account).await.map(|privacy| privacy.last_seen);
        if !shows.is_ok_and(|shows| shows != LastSeen::Nobody) {
            let server = self.directory.server().clone();
            self.watchers.blind(&AccountId { uuid: account, server });
        }
        for watcher in self.watchers.watchers(account) {
            match self.visible(&watcher, &[account]).await {
                Ok(visible) => match visible.first() {
                    Some((_, precision)) => self.watchers.set_precision(account, *precision),
                    None => self.watchers.end(account, &watcher),
                },
                // Rather nothing than too much: the watcher asks again.
                Err(_) => self.watchers.end(account, &watcher),
            }
        }
    }

    /// Whether `account`, of this region, hears `other`.
    pub(crate) async fn hears(
        &self,
        account: &AccountId,
        other: &AccountId,
    ) -> Result<bool, Rejection> {
        Ok(!self.relations.one(account, other, self.clock.now()).await?.blocked)
    }

    async fn accounts(&self, users: &[Address]) -> Result<Vec<Uuid>, Rejection> {
        let mut accounts = Vec::new();
        for user in users {
            // Users of other regions are asked for by their ids: `elsewhere`.
            if user.server() != self.directory.server() {
                continue;
            }
            match self.directory.resolve(user).await {
                Ok(account) => accounts.push(account.uuid),
                Err(rejection)
                    if matches!(
                        rejection.code,
                        Code::UnknownUser | Code::NotFound | Code::RegionUnreachable
                    ) => {}
                Err(rejection) => return Err(rejection),
            }
        }
        Ok(accounts)
    }

    pub(super) async fn frame(
        &self,
        account: Uuid,
        precision: LastSeen,
    ) -> Result<PresenceFrame, Rejection> {
        let now = self.clock.now();
        let attendance = self.connections.attendance(account);
        let mut last_seen = self.watchers.last_seen(account);
        if last_seen.is_none() && attendance == Attendance::Offline {
            let devices = self.directory.devices(account, now).await?;
            last_seen = devices.iter().map(|device| device.active_at).max();
        }
        let server = self.directory.server();
        Ok(watchers::frame(server, account, attendance, (last_seen, precision), now))
    }

    async fn type_to(&self, caller: &Caller, to: &Address, started: bool) -> Result<(), Rejection> {
        // Whether or not there is such a group, and what the account is in it.
        if matches!(to, Address::Group(_)) {
            let detail = "in a group, typing is an ephemeral message";
            return Err(Rejection::new(Code::BadRequest, detail));
        }
        // Strangers are told nothing, not even that they are strangers, or that there is nobody:
        // typing is not limited as look-ups are.
        let to = match self.directory.resolve(to).await {
            Err(rejection) if rejection.code == Code::UnknownUser => return Ok(()),
            resolved => resolved?,
        };
        let conversation = ConversationId::direct(&caller.account, &to);
        let known = self.acquaintance.all(&[conversation]).await?;
        let now = self.clock.now();
        if known.first() != Some(&true)
            || self.is_repeated(caller.account.uuid, to.uuid, started, now)
        {
            return Ok(());
        }
        // Who is not heard is not told so; and nobody types to whom they do not hear.
        let is_local = to.server == *self.directory.server();
        if !self.hears(&caller.account, &to).await?
            || (is_local && !self.hears(&to, &caller.account).await?)
        {
            return Ok(());
        }
        if !is_local {
            let id = self.random.uuid_at(now);
            let ephemeral = abroad::typing((&caller.account, &to), started, id);
            self.directory.regions().whisper(&to.server, ephemeral);
            return Ok(());
        }
        let except = (to == caller.account).then_some(caller.device);
        self.push_typing(&caller.account, &to, started, except);
        Ok(())
    }

    /// Tells devices here that somebody of another region types to them, or has stopped.
    pub(crate) fn show_typing(&self, from: &AccountId, to: &AccountId, started: bool) {
        if !self.is_repeated(from.uuid, to.uuid, started, self.clock.now()) {
            self.push_typing(from, to, started, None);
        }
    }

    fn push_typing(
        &self,
        from: &AccountId,
        to: &AccountId,
        started: bool,
        except: Option<DeviceId>,
    ) {
        let status = if started { Presence::Typing } else { Presence::StoppedTyping };
        let expires_in = started.then_some(limits::TYPING_SECONDS);
        let user_id = from.clone();
        let frame = PresenceFrame { user_id, status, last_seen: None, expires_in };
        self.connections.push(to.uuid, &frame.to_json().into(), except);
    }

    fn is_repeated(&self, from: Uuid, to: Uuid, started: bool, now: Timestamp) -> bool {
        let mut typing = self.typing.lock().unwrap_or_else(PoisonError::into_inner);
        if typing.len() >= MAX_TYPING {
            typing.clear();
        }
        let before = typing.insert((from, to), (started, now));
        let Some((same, at)) = before else { return false };
        let repeated = same == started && now < at.plus_millis(TYPING_REPEAT_MS);
        if repeated {
            // The first of a row counts, so that a steady typist is told of every second.
            typing.insert((from, to), (same, at));
        }
        repeated
    }
}
