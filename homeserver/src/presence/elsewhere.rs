//! Presence across regions: what people here may see of others, and others of them.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use posthouse_client_api::mailbox::Mailbox;
use posthouse_protocol::{
    federation::payload::{Presence as Told, Watch},
    frame::PresenceFrame,
    id::{AccountId, Address, ConversationId, ServerName},
    problem::Rejection,
    rest::LastSeen,
    time::Timestamp,
};
use posthouse_storage::people::Stance;

use super::{PresenceService, abroad, remote};
use crate::{
    random::Random,
    regions::{FirstContacts, Regions},
};

/// How long a question to other regions waits for answers.
const PATIENCE: Duration = Duration::from_millis(1_500);

/// Tells other regions, and asks them.
pub struct Whisperer {
    /// The way to them.
    pub regions: Arc<dyn Regions>,
    /// Ids.
    pub random: Arc<Random>,
    /// Who may have a region looked for that was never reached.
    pub first_contacts: Arc<FirstContacts>,
}

impl Whisperer {
    /// Asks for the presence of `target` for a while.
    pub(super) fn watch(&self, watcher: &AccountId, target: &AccountId, now: Timestamp) {
        self.ask((watcher, target), remote::LEASE_SECONDS, now);
    }

    /// Asks for the presence of `target`: once, if for 0 seconds. A region that was never reached is
    /// looked for, if the watcher may have that done.
    pub(super) fn ask(
        &self,
        (watcher, target): (&AccountId, &AccountId),
        seconds: u64,
        now: Timestamp,
    ) {
        if self.first_contacts.has_begun(watcher.uuid, &target.server) {
            self.regions.seek(&target.server);
        }
        let event = abroad::watch((watcher, target), seconds, self.random.uuid_at(now));
        self.regions.whisper(&target.server, event);
    }

    /// Tells `watcher` how the frame's user is.
    pub(super) fn presence(&self, frame: &PresenceFrame, watcher: &AccountId, now: Timestamp) {
        let id = self.random.uuid_at(now);
        self.regions.whisper(&watcher.server, abroad::presence(frame, watcher, id));
    }
}

impl PresenceService {
    /// What tells other regions.
    pub(crate) fn whisperer(&self) -> Whisperer {
        Whisperer {
            regions: Arc::clone(self.directory.regions()),
            random: Arc::clone(&self.random),
            first_contacts: Arc::clone(&self.first_contacts),
        }
    }

    /// Those of `users` who are of other regions and whose presence `watcher` may ask for: with whom
    /// it has exchanged messages, or whom it has as contact. Their regions decide what they tell.
    /// Users of other regions are named by their ids: nobody's handle is looked up for this.
    pub(super) async fn askable(
        &self,
        watcher: &AccountId,
        users: &[Address],
    ) -> Result<Vec<AccountId>, Rejection> {
        let of_others = |user: &Address| match user {
            Address::Account(id) if id.server != *self.directory.server() => Some(id.clone()),
            _ => None,
        };
        let ids: Vec<AccountId> = users.iter().filter_map(of_others).collect();
        if ids.is_empty()
            || self.relations.privacy(watcher.uuid).await?.last_seen == LastSeen::Nobody
        {
            return Ok(Vec::new());
        }
        let conversations: Vec<_> =
            ids.iter().map(|id| ConversationId::direct(watcher, id)).collect();
        let exchanged = self.acquaintance.all(&conversations).await?;
        let mut askable = Vec::new();
        for (id, exchanged) in ids.into_iter().zip(exchanged) {
            let known = exchanged
                || self.relations.one(watcher, &id, self.clock.now()).await?.stance
                    == Stance::Contact;
            if known {
                askable.push(id);
            }
        }
        Ok(askable)
    }

    /// `mailbox` watches `users` of other regions; what they tell comes in its own time.
    pub(super) async fn subscribe_abroad(
        &self,
        watcher: &AccountId,
        mailbox: &Arc<Mailbox>,
        users: &[Address],
    ) -> Result<(), Rejection> {
        let askable = self.askable(watcher, users).await?;
        let now = self.clock.now();
        self.watchers.watch_abroad(mailbox, watcher.uuid, &askable, now)?;
        self.begin(watcher, &askable).await;
        let whisperer = self.whisperer();
        for target in &askable {
            whisperer.watch(watcher, target, now);
        }
        Ok(())
    }

    /// Notes which regions of `targets` were never reached and are looked for, for `watcher`. Those
    /// beyond what one account may have looked for are asked once somebody else has reached them.
    async fn begin(&self, watcher: &AccountId, targets: &[AccountId]) {
        let regions: BTreeSet<&ServerName> = targets.iter().map(|target| &target.server).collect();
        for region in regions {
            if let Err(err) = self.first_contacts.begin(watcher.uuid, region).await {
                tracing::debug!(%region, reason = %err.detail, "a region is not looked for");
            }
        }
    }

    /// Asks the regions of `users`, and gives what they answer in time.
    pub(super) async fn query_abroad(
        &self,
        watcher: &AccountId,
        users: &[Address],
    ) -> Result<Vec<PresenceFrame>, Rejection> {
        let askable = self.askable(watcher, users).await?;
        self.begin(watcher, &askable).await;
        let (whisperer, mut answers) = (self.whisperer(), Vec::new());
        for target in &askable {
            let asked = self.watchers.remote(|remote| remote.ask(watcher.uuid, target));
            whisperer.ask((watcher, target), 0, self.clock.now());
            answers.extend(asked);
        }
        let deadline = tokio::time::Instant::now() + PATIENCE;
        let mut frames = Vec::new();
        for answer in answers {
            if let Ok(Ok(frame)) = tokio::time::timeout_at(deadline, answer).await {
                frames.push(frame);
            }
        }
        Ok(frames)
    }

    /// `watcher`, of another region, asks how `target`, of this one, is. Who may not see it gets no
    /// answer, as do those who ask for nobody.
    pub(crate) async fn asked(&self, watcher: &AccountId, target: &AccountId, body: &[u8]) {
        let Ok(watch) = Watch::decode(body) else { return };
        // Rather nothing than too much, if the store cannot say.
        let Ok(visible) = self.visible(watcher, &[target.uuid]).await else { return };
        let Some((account, precision)) = visible.first().copied() else {
            self.watchers.end(target.uuid, watcher);
            return;
        };
        let now = self.clock.now();
        let until = now.plus_millis(watch.seconds * 1_000);
        if watch.seconds > 0 {
            let told = self.connections.attendance(account);
            self.watchers.remote(|remote| {
                remote.lease((account, watcher), until, (told, precision));
            });
        }
        if let Ok(frame) = self.frame(account, precision).await {
            self.whisperer().presence(&frame, watcher, now);
        }
    }

    /// Another region tells `watcher` how `user` is.
    pub(crate) fn told(&self, user: &AccountId, watcher: &AccountId, body: &[u8]) {
        if let Ok(told) = Told::decode(body) {
            let frame = abroad::shown(user.clone(), &told);
            self.watchers.remote(|remote| remote.told(watcher.uuid, &frame));
        }
    }
}
