//! Who watches whom, and telling them: at most a few times a second for each person watched, and
//! only when something has changed.

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use posthouse_client_api::mailbox::Mailbox;
use posthouse_protocol::{
    frame::{Presence, PresenceFrame},
    id::{AccountId, ServerName},
    limits,
    problem::{Code, Rejection},
    rest::LastSeen,
    time::{Clock, Timestamp},
};
use tokio::{sync::Notify, time::MissedTickBehavior};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::{elsewhere::Whisperer, remote::Remote};
use crate::delivery::{Attendance, Connections};

/// For how long changes are collected before they are told: who reconnects within it was never
/// away.
const INTERVAL: Duration = Duration::from_millis(500);

/// How often it is looked for watches to renew.
const RENEWAL: Duration = Duration::from_secs(5);

/// Most watches that are renewed each time: no region is told of more at once than it has room for.
const RENEWALS: usize = 100;

/// Most regions that are noted as answering between two looks; those beyond are asked in their turn.
const MAX_MET: usize = 256;

/// Most accounts whose last activity is remembered in memory; the store knows the rest.
const MAX_LAST_SEEN: usize = 100_000;

/// The watchers of this process.
pub struct Watchers {
    server: ServerName,
    connections: Arc<Connections>,
    state: Mutex<State>,
    changed: Notify,
    /// Regions that answer, since the last look; at most [`MAX_MET`].
    met: Mutex<Vec<ServerName>>,
    answered: Notify,
}

#[derive(Default)]
struct State {
    targets: HashMap<Uuid, Target>,
    watching: HashMap<Key, HashSet<Uuid>>,
    dirty: HashSet<Uuid>,
    last_seen: HashMap<Uuid, Timestamp>,
    remote: Remote,
}

struct Target {
    watchers: HashMap<Key, Watcher>,
    told: Attendance,
    precision: LastSeen,
}

struct Watcher {
    mailbox: Arc<Mailbox>,
    account: AccountId,
}

/// A mailbox by its address: it is held as long as the key is.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Key(usize);

impl Key {
    pub(super) fn of(mailbox: &Arc<Mailbox>) -> Self {
        Self(Arc::as_ptr(mailbox).addr())
    }
}

impl Watchers {
    /// Nobody watches.
    pub fn new(server: ServerName, connections: Arc<Connections>) -> Self {
        let (state, met) = (Mutex::default(), Mutex::default());
        let (changed, answered) = (Notify::new(), Notify::new());
        Self { server, connections, state, changed, met, answered }
    }

    /// `mailbox` watches `accounts` from now on.
    ///
    /// # Errors
    /// [`Code::TooMany`] if it would watch more than [`limits::MAX_SUBSCRIPTIONS`]: then it watches
    /// none of `accounts` in addition.
    pub(super) fn watch(
        &self,
        mailbox: &Arc<Mailbox>,
        watcher: &AccountId,
        accounts: &[(Uuid, LastSeen)],
    ) -> Result<(), Rejection> {
        let key = Key::of(mailbox);
        let mut state = self.state();
        let state = &mut *state;
        let seen = state.watching.entry(key).or_default();
        let new = accounts.iter().filter(|(account, _)| !seen.contains(account)).count();
        if seen.len() + state.remote.of_socket(key) + new > limits::MAX_SUBSCRIPTIONS {
            return Err(too_many());
        }
        for (account, precision) in accounts {
            seen.insert(*account);
            let told = self.connections.attendance(*account);
            let target = state.targets.entry(*account).or_insert_with(|| Target {
                watchers: HashMap::new(),
                told,
                precision: *precision,
            });
            target.precision = *precision;
            let watcher = Watcher { mailbox: Arc::clone(mailbox), account: watcher.clone() };
            target.watchers.insert(key, watcher);
        }
        Ok(())
    }

    /// `mailbox` watches `accounts`, of other regions, from now on.
    ///
    /// # Errors
    /// As [`Watchers::watch`].
    pub(super) fn watch_abroad(
        &self,
        mailbox: &Arc<Mailbox>,
        watcher: Uuid,
        accounts: &[AccountId],
        now: Timestamp,
    ) -> Result<(), Rejection> {
        let key = Key::of(mailbox);
        let mut state = self.state();
        let here = state.watching.get(&key).map_or(0, HashSet::len);
        let new = state.remote.new_to_socket(key, accounts);
        if here + state.remote.of_socket(key) + new > limits::MAX_SUBSCRIPTIONS {
            return Err(too_many());
        }
        for target in accounts {
            state.remote.watch((key, mailbox), (watcher, target), now);
        }
        Ok(())
    }

    /// Reads or changes what is watched across regions.
    pub(super) fn remote<T>(&self, act: impl FnOnce(&mut Remote) -> T) -> T {
        act(&mut self.state().remote)
    }

    /// `mailbox` watches `accounts` no longer.
    pub(super) fn unwatch(&self, mailbox: &Arc<Mailbox>, accounts: &[Uuid]) {
        let key = Key::of(mailbox);
        let mut state = self.state();
        for account in accounts {
            state.remove(key, *account);
        }
    }

    /// The connection is gone.
    pub(crate) fn forget(&self, mailbox: &Arc<Mailbox>) {
        let key = Key::of(mailbox);
        let mut state = self.state();
        state.remote.forget(key);
        for account in state.watching.remove(&key).unwrap_or_default() {
            state.remove(key, account);
        }
    }

    /// Who watches `account`.
    pub(super) fn watchers(&self, account: Uuid) -> Vec<AccountId> {
        let state = self.state();
        let here = state.targets.get(&account).into_iter();
        let here = here.flat_map(|target| target.watchers.values().map(|one| &one.account));
        let watchers: HashSet<&AccountId> = here.chain(state.remote.watchers(account)).collect();
        watchers.into_iter().cloned().collect()
    }

    /// `watcher` watches `account` no longer, whatever it watches with.
    pub(super) fn end(&self, account: Uuid, watcher: &AccountId) {
        let mut state = self.state();
        state.remote.end(account, watcher);
        let Some(target) = state.targets.get(&account) else { return };
        let of = target.watchers.iter().filter(|(_, one)| one.account == *watcher);
        let keys: Vec<Key> = of.map(|(key, _)| *key).collect();
        for key in keys {
            state.remove(key, account);
        }
    }

    /// `watcher`, of this region, watches nobody but itself any longer.
    pub(super) fn blind(&self, watcher: &AccountId) {
        let mut state = self.state();
        let others = state.targets.iter().filter(|(account, _)| **account != watcher.uuid);
        let seen = others.flat_map(|(account, target)| {
            let own = target.watchers.iter().filter(|(_, one)| one.account == *watcher);
            own.map(|(key, _)| (*key, *account))
        });
        let seen: Vec<(Key, Uuid)> = seen.collect();
        for (key, account) in seen {
            state.remove(key, account);
        }
        state.remote.blind(watcher.uuid);
    }

    /// From now on watchers are told of `account` so exactly.
    pub(super) fn set_precision(&self, account: Uuid, precision: LastSeen) {
        let mut state = self.state();
        state.remote.set_precision(account, precision);
        if let Some(target) = state.targets.get_mut(&account) {
            target.precision = precision;
        }
    }

    /// Something may have changed with this account.
    pub(crate) fn changed(&self, account: Uuid) {
        let mut state = self.state();
        let is_watched = state.targets.contains_key(&account) || state.remote.is_watched(account);
        if is_watched && state.dirty.insert(account) {
            drop(state);
            self.changed.notify_one();
        }
    }

    /// The account's last device has left.
    pub(crate) fn left(&self, account: Uuid, now: Timestamp) {
        let mut state = self.state();
        if state.last_seen.len() >= MAX_LAST_SEEN {
            state.last_seen.clear();
        }
        state.last_seen.insert(account, now);
        drop(state);
        self.changed(account);
    }

    /// Another region can be asked now: what people here watch there is asked for at once.
    pub fn met(&self, region: &ServerName) {
        let mut met = self.met.lock().unwrap_or_else(PoisonError::into_inner);
        if met.len() < MAX_MET && !met.contains(region) {
            met.push(region.clone());
        }
        drop(met);
        self.answered.notify_one();
    }

    /// Whether anyone watches this account.
    pub(super) fn is_watched(&self, account: Uuid) -> bool {
        let state = self.state();
        state.targets.contains_key(&account) || state.remote.is_watched(account)
    }

    /// When the account was last there, if this process saw it leave.
    pub(super) fn last_seen(&self, account: Uuid) -> Option<Timestamp> {
        self.state().last_seen.get(&account).copied()
    }

    /// Tells watchers of changes, until `shutdown`.
    pub async fn run(
        self: Arc<Self>,
        whisperer: Whisperer,
        clock: Arc<dyn Clock>,
        shutdown: CancellationToken,
    ) {
        let mut renewal = tokio::time::interval(RENEWAL);
        renewal.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = shutdown.cancelled() => return,
                _ = renewal.tick() => {
                    self.renew(&whisperer, clock.now());
                    continue;
                }
                () = self.answered.notified() => {
                    self.ask_again(&whisperer, clock.now());
                    continue;
                }
                () = self.changed.notified() => {}
            }
            tokio::select! {
                () = shutdown.cancelled() => return,
                () = tokio::time::sleep(INTERVAL) => {}
            }
            let now = clock.now();
            for (frame, watcher) in self.tell(now) {
                whisperer.presence(&frame, &watcher, now);
            }
        }
    }

    /// Renews watches of people elsewhere, and forgets those that nobody elsewhere has renewed.
    fn renew(&self, whisperer: &Whisperer, now: Timestamp) {
        let due = self.remote(|remote| {
            remote.expire(now);
            remote.due(now, RENEWALS)
        });
        for (watcher, target) in due {
            let watcher = AccountId { uuid: watcher, server: self.server.clone() };
            whisperer.watch(&watcher, &target, now);
        }
    }

    /// Asks regions that answer now.
    fn ask_again(&self, whisperer: &Whisperer, now: Timestamp) {
        let met = core::mem::take(&mut *self.met.lock().unwrap_or_else(PoisonError::into_inner));
        for region in met {
            for (watcher, target) in self.remote(|remote| remote.met(&region, now, RENEWALS)) {
                let watcher = AccountId { uuid: watcher, server: self.server.clone() };
                whisperer.ask((&watcher, &target), 0, now);
            }
        }
        self.renew(whisperer, now);
    }

    /// Tells those here; gives what is to be told elsewhere.
    fn tell(&self, now: Timestamp) -> Vec<(PresenceFrame, AccountId)> {
        let mut state = self.state();
        let state = &mut *state;
        let mut elsewhere = Vec::new();
        for account in state.dirty.drain() {
            let attendance = self.connections.attendance(account);
            let last_seen = state.last_seen.get(&account).copied();
            for (watcher, precision) in state.remote.tellable(account, attendance, now) {
                let seen = (last_seen, precision);
                elsewhere.push((frame(&self.server, account, attendance, seen, now), watcher));
            }
            let Some(target) = state.targets.get_mut(&account) else { continue };
            if target.told == attendance {
                continue;
            }
            target.told = attendance;
            let last_seen = (last_seen, target.precision);
            let frame = frame(&self.server, account, attendance, last_seen, now);
            let frame: posthouse_client_api::mailbox::Frame = frame.to_json().into();
            for watcher in target.watchers.values() {
                watcher.mailbox.push(frame.clone());
            }
        }
        elsewhere
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn remove(&mut self, key: Key, account: Uuid) {
        if let Some(watched) = self.watching.get_mut(&key) {
            watched.remove(&account);
            if watched.is_empty() {
                self.watching.remove(&key);
            }
        }
        let Some(target) = self.targets.get_mut(&account) else { return };
        target.watchers.remove(&key);
        if target.watchers.is_empty() {
            self.targets.remove(&account);
        }
    }
}

fn too_many() -> Rejection {
    let detail = format!("at most {} users are watched", limits::MAX_SUBSCRIPTIONS);
    Rejection::new(Code::TooMany, detail)
}

/// A time as exactly as its person tells it.
pub(super) fn coarsened(at: Timestamp, precision: LastSeen) -> Option<Timestamp> {
    match precision {
        LastSeen::Exact => Some(at),
        LastSeen::Hour => Some(Timestamp(at.0 / HOUR_MS * HOUR_MS)),
        LastSeen::Nobody => None,
    }
}

/// An hour, in milliseconds.
const HOUR_MS: u64 = 3_600_000;

/// The frame that tells an account's presence.
pub(super) fn frame(
    server: &ServerName,
    account: Uuid,
    attendance: Attendance,
    (last_seen, precision): (Option<Timestamp>, LastSeen),
    now: Timestamp,
) -> PresenceFrame {
    let status = match attendance {
        Attendance::Online => Presence::Online,
        Attendance::Away => Presence::Away,
        Attendance::Offline => Presence::Offline,
    };
    let last_seen = if attendance == Attendance::Online { Some(now) } else { last_seen };
    let last_seen = last_seen.and_then(|at| coarsened(at, precision));
    let user_id = AccountId { uuid: account, server: server.clone() };
    PresenceFrame { user_id, status, last_seen, expires_in: None }
}
