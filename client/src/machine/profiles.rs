//! Profiles: the own one, which the homeserver keeps encrypted, and those of others. Here is when
//! the homeserver is asked for one.

mod others;
mod own;

use std::collections::{BTreeMap, BTreeSet};

use posthouse_protocol::{id::AccountId, rest::Blocks, time::Timestamp};

use super::{Call, Machine, Step};
use crate::store::{StoreError, Table};

/// Profiles that wait to be asked for; those beyond are asked for when they are shown.
const MAX_WANTED: usize = 1_000;
/// Questions that are on their way.
const MAX_ASKED: usize = 4;
/// Pages of the list of the blocked that are read, so that a server cannot go on for ever.
const MAX_BLOCKED: usize = 5_000;

/// What a device knows of profiles while it runs.
#[derive(Default)]
pub(super) struct Profiles {
    /// Whose profile is to be asked for, and from when on.
    wanted: BTreeMap<AccountId, Timestamp>,
    /// Whom the account has blocked, as far as is known.
    blocked: BTreeSet<AccountId>,
    /// The same, while the list is being read.
    listing: BTreeSet<AccountId>,
}

impl Profiles {
    pub(super) fn new(blocked: BTreeSet<AccountId>) -> Self {
        Self { blocked, ..Self::default() }
    }

    fn want(&mut self, user: &AccountId, at: Timestamp) {
        let has_room = self.wanted.len() < MAX_WANTED;
        match self.wanted.get_mut(user) {
            Some(known) => *known = at.min(*known),
            None if has_room => drop(self.wanted.insert(user.clone(), at)),
            None => {}
        }
    }
}

impl Machine {
    /// When the next profile is to be asked for.
    pub(super) fn profiles_due(&self) -> Option<Timestamp> {
        let next = self.profiles.wanted.values().min().copied();
        next.filter(|_| self.online && self.asked_profiles() < MAX_ASKED)
    }

    fn asked_profiles(&self) -> usize {
        self.asked.iter().filter(|call| matches!(call, Call::Profile(_))).count()
    }
}

impl Step<'_> {
    /// Asks for profiles whose time has come, a few at once.
    pub(super) fn look_at_profiles(&mut self) {
        while self.machine.profiles_due().is_some_and(|due| due <= self.now) {
            let wanted = &mut self.machine.profiles.wanted;
            let next = wanted.iter().min_by_key(|(_, at)| **at).map(|(user, _)| user.clone());
            let Some(user) = next else { return };
            wanted.remove(&user);
            self.call(Call::Profile(user));
        }
    }

    /// The homeserver was reached: what is to be published is, or it is asked for what other own
    /// devices have published; and who must not be given the key.
    pub(super) async fn profiles_connected(&mut self) -> Result<(), StoreError> {
        let Some(own) = self.own_profile().await? else { return Ok(()) };
        if own.is_due() {
            self.publish_profile(&own);
        } else {
            self.call(Call::Profile(self.own()));
        }
        self.call(Call::Blocks(None));
        Ok(())
    }

    /// Something of the account was changed elsewhere.
    pub(super) async fn on_changed(&mut self, what: &str) -> Result<(), StoreError> {
        if self.own_profile().await?.is_some() {
            match what {
                "profile" => self.call(Call::Profile(self.own())),
                "blocks" => self.call(Call::Blocks(None)),
                _ => {}
            }
        }
        Ok(())
    }

    /// A page of those who are blocked.
    pub(super) fn on_blocks(&mut self, after: Option<&AccountId>, page: &Blocks) {
        let profiles = &mut self.machine.profiles;
        if after.is_none() {
            profiles.listing.clear();
        }
        profiles.listing.extend(page.blocks.iter().map(|one| one.account_id.clone()));
        // Pages go up: one that does not would be asked for for ever.
        match &page.next {
            Some(next) if Some(next) > after && profiles.listing.len() < MAX_BLOCKED => {
                self.call(Call::Blocks(Some(next.clone())));
            }
            _ => {
                profiles.blocked = core::mem::take(&mut profiles.listing);
                self.put_blocked();
            }
        }
    }

    /// This device's person blocks somebody: what is published from now on they cannot read.
    pub(super) async fn blocked(&mut self, user: &AccountId) -> Result<(), StoreError> {
        self.machine.profiles.blocked.insert(user.clone());
        self.put_blocked();
        self.rotate_profile_key(user).await
    }

    /// This device's person hears somebody again.
    pub(super) fn unblocked(&mut self, user: &AccountId) {
        self.machine.profiles.blocked.remove(user);
        self.put_blocked();
    }

    fn put_blocked(&mut self) {
        let blocked = self.machine.profiles.blocked.clone();
        self.tx.write(Table::Own, crate::records::own::BLOCKED.to_vec(), &blocked);
    }

    fn is_blocked(&self, user: &AccountId) -> bool {
        self.machine.profiles.blocked.contains(user)
    }
}
