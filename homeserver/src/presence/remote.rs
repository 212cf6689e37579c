//! Watching across regions: whom people here watch elsewhere, and who elsewhere watches people here.
//! In memory, bounded, and for a while only: a watch that nobody renews ends, so that a region which
//! asks for nothing costs nothing.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use posthouse_client_api::mailbox::Mailbox;
use posthouse_protocol::{
    frame::{Presence, PresenceFrame},
    id::{AccountId, ServerName},
    rest::LastSeen,
    time::Timestamp,
};
use tokio::sync::oneshot;
use uuid::Uuid;

use super::watchers::Key;
use crate::delivery::Attendance;

/// For how long another region is asked to tell, in seconds.
pub(super) const LEASE_SECONDS: u64 = 300;
/// After this a watch is renewed, in milliseconds, so that one lost renewal ends nothing.
const RENEW_MS: u64 = 120_000;
/// Before the first answer it is asked again after this time, and then after twice as long each time:
/// what is whispered may get lost.
const FIRST_MS: u64 = 2_500;
/// Most people elsewhere who watch people here.
const MAX_LEASES: usize = 100_000;
/// Most of them who watch one person.
const MAX_LEASES_OF_ONE: usize = 1_024;
/// Most questions that wait for an answer.
const MAX_ASKED: usize = 10_000;

/// Both sides of it.
#[derive(Default)]
pub(super) struct Remote {
    /// By whom is watched elsewhere: who watches here.
    ours: HashMap<AccountId, HashMap<Uuid, Ours>>,
    /// Whom each connection watches elsewhere.
    of_socket: HashMap<Key, HashSet<AccountId>>,
    /// By whom is watched here: who watches elsewhere.
    theirs: HashMap<Uuid, HashMap<AccountId, Lease>>,
    leases: usize,
    asked: HashMap<(AccountId, Uuid), Vec<oneshot::Sender<PresenceFrame>>>,
}

/// Somebody here who watches somebody elsewhere.
struct Ours {
    sockets: HashMap<Key, Arc<Mailbox>>,
    renew_at: Timestamp,
    wait_ms: u64,
    /// What the sockets were told last.
    shown: Option<PresenceFrame>,
}

/// Somebody elsewhere who watches somebody here.
struct Lease {
    until: Timestamp,
    told: Attendance,
    precision: LastSeen,
}

impl Remote {
    /// How many of `accounts` a connection does not watch yet.
    pub(super) fn new_to_socket(&self, key: Key, accounts: &[AccountId]) -> usize {
        let seen = self.of_socket.get(&key);
        let is_new = |account: &&AccountId| seen.is_none_or(|seen| !seen.contains(*account));
        accounts.iter().filter(is_new).count()
    }

    /// How many people elsewhere a connection watches.
    pub(super) fn of_socket(&self, key: Key) -> usize {
        self.of_socket.get(&key).map_or(0, HashSet::len)
    }

    /// `mailbox`, of `watcher`, watches `target` from now on; it is asked for at once.
    pub(super) fn watch(
        &mut self,
        (key, mailbox): (Key, &Arc<Mailbox>),
        (watcher, target): (Uuid, &AccountId),
        now: Timestamp,
    ) {
        self.of_socket.entry(key).or_default().insert(target.clone());
        let watchers = self.ours.entry(target.clone()).or_default();
        let ours = watchers.entry(watcher).or_insert_with(|| Ours {
            sockets: HashMap::new(),
            renew_at: now,
            wait_ms: FIRST_MS,
            shown: None,
        });
        ours.renew_at = now.plus_millis(ours.wait_ms);
        if let Some(shown) = &ours.shown {
            mailbox.push(shown.to_json().into());
        }
        ours.sockets.insert(key, Arc::clone(mailbox));
    }

    /// The connection watches `target` no longer.
    pub(super) fn unwatch(&mut self, key: Key, target: &AccountId) {
        if let Some(all) = self.of_socket.get_mut(&key) {
            all.remove(target);
            if all.is_empty() {
                self.of_socket.remove(&key);
            }
        }
        let Some(watchers) = self.ours.get_mut(target) else { return };
        watchers.retain(|_, ours| {
            ours.sockets.remove(&key);
            !ours.sockets.is_empty()
        });
        if watchers.is_empty() {
            self.ours.remove(target);
        }
    }

    /// `watcher`, of this region, watches nobody elsewhere any longer.
    pub(super) fn blind(&mut self, watcher: Uuid) {
        let ours = self.ours.iter().filter_map(|(target, watchers)| {
            let sockets = &watchers.get(&watcher)?.sockets;
            Some((target.clone(), sockets.keys().copied().collect::<Vec<Key>>()))
        });
        let ours: Vec<(AccountId, Vec<Key>)> = ours.collect();
        for (target, keys) in ours {
            for key in keys {
                self.unwatch(key, &target);
            }
        }
    }

    /// The connection is gone.
    pub(super) fn forget(&mut self, key: Key) {
        for target in self.of_socket.remove(&key).unwrap_or_default() {
            self.unwatch(key, &target);
        }
    }

    /// At most `limit` watches that are to be renewed: watcher, watched.
    pub(super) fn due(&mut self, now: Timestamp, limit: usize) -> Vec<(Uuid, AccountId)> {
        let mut due = Vec::new();
        for (target, watchers) in &mut self.ours {
            for (watcher, ours) in watchers {
                if due.len() >= limit {
                    return due;
                }
                if ours.renew_at <= now {
                    ours.wait_ms = (ours.wait_ms * 2).min(RENEW_MS);
                    ours.renew_at = now.plus_millis(ours.wait_ms);
                    due.push((*watcher, target.clone()));
                }
            }
        }
        due
    }

    /// `region` answers now: whoever is watched there is asked for as if for the first time. Gives those
    /// for whom an answer is awaited, at most `limit`: watcher, watched.
    pub(super) fn met(
        &mut self,
        region: &ServerName,
        now: Timestamp,
        limit: usize,
    ) -> Vec<(Uuid, AccountId)> {
        let there = self.ours.iter_mut().filter(|(target, _)| target.server == *region);
        for ours in there.flat_map(|(_, watchers)| watchers.values_mut()) {
            (ours.renew_at, ours.wait_ms) = (now, FIRST_MS);
        }
        let asked = self.asked.iter().filter(|((target, _), waiting)| {
            target.server == *region && waiting.iter().any(|one| !one.is_closed())
        });
        asked.map(|((target, watcher), _)| (*watcher, target.clone())).take(limit).collect()
    }

    /// Another region tells `watcher` how somebody is: whoever asked is told. What nobody asked for
    /// is passed over.
    pub(super) fn told(&mut self, watcher: Uuid, frame: &PresenceFrame) {
        let asked = self.asked.remove(&(frame.user_id.clone(), watcher));
        for one in asked.into_iter().flatten() {
            // Whoever asked may have gone.
            let _ = one.send(frame.clone());
        }
        let watchers = self.ours.get_mut(&frame.user_id);
        if let Some(ours) = watchers.and_then(|watchers| watchers.get_mut(&watcher)) {
            ours.wait_ms = RENEW_MS;
            if ours.shown.as_ref().is_some_and(|shown| says_the_same(shown, frame)) {
                return;
            }
            ours.shown = Some(frame.clone());
            let text: posthouse_client_api::mailbox::Frame = frame.to_json().into();
            for mailbox in ours.sockets.values() {
                mailbox.push(text.clone());
            }
        }
    }

    /// An answer about `target` for `watcher` is expected; `None` if too many are.
    pub(super) fn ask(
        &mut self,
        watcher: Uuid,
        target: &AccountId,
    ) -> Option<oneshot::Receiver<PresenceFrame>> {
        if self.asked.len() >= MAX_ASKED {
            self.asked.retain(|_, waiting| {
                waiting.retain(|one| !one.is_closed());
                !waiting.is_empty()
            });
            if self.asked.len() >= MAX_ASKED {
                return None;
            }
        }
        let (answer, answered) = oneshot::channel();
        let waiting = self.asked.entry((target.clone(), watcher)).or_default();
        waiting.retain(|one| !one.is_closed());
        waiting.push(answer);
        Some(answered)
    }

    /// `watcher`, of another region, is told of `target` until then, who is now like `told`.
    pub(super) fn lease(
        &mut self,
        (target, watcher): (Uuid, &AccountId),
        until: Timestamp,
        (told, precision): (Attendance, LastSeen),
    ) {
        let is_full = self.leases >= MAX_LEASES;
        let leases = self.theirs.entry(target).or_default();
        let is_new = !leases.contains_key(watcher);
        if is_new && !is_full && leases.len() < MAX_LEASES_OF_ONE {
            self.leases += 1;
            leases.insert(watcher.clone(), Lease { until, told, precision });
        } else if let Some(lease) = leases.get_mut(watcher) {
            *lease = Lease { until, told, precision };
        }
        if leases.is_empty() {
            self.theirs.remove(&target);
        }
    }

    /// Whether anybody elsewhere watches `account`.
    pub(super) fn is_watched(&self, account: Uuid) -> bool {
        self.theirs.contains_key(&account)
    }

    /// Who elsewhere watches `account`.
    pub(super) fn watchers(&self, account: Uuid) -> impl Iterator<Item = &AccountId> {
        self.theirs.get(&account).into_iter().flat_map(HashMap::keys)
    }

    /// `watcher` is told of `account` no longer.
    pub(super) fn end(&mut self, account: Uuid, watcher: &AccountId) {
        let Some(leases) = self.theirs.get_mut(&account) else { return };
        if leases.remove(watcher).is_some() {
            self.leases -= 1;
        }
        if leases.is_empty() {
            self.theirs.remove(&account);
        }
    }

    /// From now on watchers are told of `account` so exactly.
    pub(super) fn set_precision(&mut self, account: Uuid, precision: LastSeen) {
        for lease in self.theirs.get_mut(&account).into_iter().flat_map(HashMap::values_mut) {
            lease.precision = precision;
        }
    }

    /// Who is to be told that `account` is now like `attendance`, and how exactly.
    pub(super) fn tellable(
        &mut self,
        account: Uuid,
        attendance: Attendance,
        now: Timestamp,
    ) -> Vec<(AccountId, LastSeen)> {
        let Some(leases) = self.theirs.get_mut(&account) else { return Vec::new() };
        let mut to_tell = Vec::new();
        for (watcher, lease) in leases {
            if lease.until > now && core::mem::replace(&mut lease.told, attendance) != attendance {
                to_tell.push((watcher.clone(), lease.precision));
            }
        }
        to_tell
    }

    /// Forgets watches that nobody has renewed.
    pub(super) fn expire(&mut self, now: Timestamp) {
        let mut left = 0;
        self.theirs.retain(|_, leases| {
            leases.retain(|_, lease| lease.until > now);
            left += leases.len();
            !leases.is_empty()
        });
        self.leases = left;
    }
}

/// Whoever is there was seen just now.
fn says_the_same(shown: &PresenceFrame, told: &PresenceFrame) -> bool {
    shown.status == told.status
        && (told.status == Presence::Online || shown.last_seen == told.last_seen)
}

#[cfg(test)]
mod tests;
