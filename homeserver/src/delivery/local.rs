//! Step 7a: devices that are connected here, and what has arrived for them since they last looked.
//!
//! An arrival is handed over with its content, so that a device which is caught up need not read
//! back what was just committed. It is a hint all the same: a line that overflows says so, and its
//! feed reads the inbox from its cursor instead.

use std::{
    collections::VecDeque,
    hash::BuildHasher,
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError},
};

use bytes::Bytes;
use foldhash::{HashMap, fast::RandomState};
use posthouse_client_api::{
    mailbox::{Close, Frame, Mailbox},
    ports::Caller,
};
use posthouse_protocol::{
    cursor::Cursor,
    id::{DeviceId, SessionId},
    limits,
};
use posthouse_storage::{
    inbox::{Entry, StoredMessage},
    ledger::Arrival,
};
use uuid::Uuid;

use super::entry;

/// Locks of the registry; accounts are spread over them.
const SHARDS: usize = 64;

/// Most bytes of bodies that wait on one line. They are shared with the store's commit and with other
/// lines, but a device that reads nothing is what keeps them.
const MAX_WAITING_BYTES: usize = 1024 * 1024;

/// A new entry of an inbox, on its way to connected devices.
#[derive(Debug)]
pub(super) struct LiveEntry {
    /// The inbox's head before it.
    pub(super) previous: Cursor,
    /// The entry.
    pub(super) entry: Entry,
    /// The body, if it is a message.
    pub(super) body: Option<LiveBody>,
}

impl LiveEntry {
    fn bytes(&self) -> usize {
        self.body.as_ref().map_or(0, |body| body.bytes.len())
    }
}

/// A message's body on its way to connected devices.
#[derive(Debug, Clone)]
pub(super) struct LiveBody {
    /// The stored content.
    pub(super) bytes: Bytes,
    /// What the frames of all recipients share, if they are several: whoever is first encodes it.
    pub(super) shared: Option<Arc<OnceLock<Option<entry::SharedFrame>>>>,
}

impl LiveBody {
    /// A body for so many inboxes.
    fn new(bytes: &Bytes, inboxes: usize) -> Self {
        Self { bytes: bytes.clone(), shared: (inboxes > 1).then(Arc::default) }
    }
}

/// A connected device's line: its mailbox, and the entries that arrived since its feed last took.
#[derive(Debug)]
pub(super) struct Line {
    viewer: Caller,
    pub(super) mailbox: Arc<Mailbox>,
    live: Mutex<Live>,
}

#[derive(Debug, Default)]
struct Live {
    entries: VecDeque<Arc<LiveEntry>>,
    /// Of the bodies of `entries`.
    bytes: usize,
    overflowed: bool,
    away: bool,
}

impl Live {
    fn overflow(&mut self) {
        self.entries = VecDeque::new();
        self.bytes = 0;
        self.overflowed = true;
    }
}

/// What a feed takes from its line.
pub(super) enum Taken {
    /// Arrivals, in order.
    Entries(VecDeque<Arc<LiveEntry>>),
    /// There were too many, or another process wrote: the inbox has to be read.
    Overflowed,
}

impl Line {
    pub(super) fn new(viewer: Caller, mailbox: Arc<Mailbox>) -> Self {
        Self { viewer, mailbox, live: Mutex::default() }
    }

    /// Takes what has arrived.
    pub(super) fn take(&self) -> Taken {
        let mut live = self.live();
        if core::mem::take(&mut live.overflowed) {
            return Taken::Overflowed;
        }
        live.bytes = 0;
        Taken::Entries(core::mem::take(&mut live.entries))
    }

    /// Puts back what the window had no room for.
    pub(super) fn put_back(&self, mut rest: VecDeque<Arc<LiveEntry>>) {
        let mut live = self.live();
        // What overflowed meanwhile is read from the inbox, with all that came before it.
        if !live.overflowed {
            live.bytes += rest.iter().map(|entry| entry.bytes()).sum::<usize>();
            rest.append(&mut live.entries);
            live.entries = rest;
        }
    }

    fn arrive(&self, entry: &Arc<LiveEntry>) {
        let mut live = self.live();
        if live.entries.len() >= limits::WINDOW || live.bytes > MAX_WAITING_BYTES {
            live.overflow();
        }
        if !live.overflowed {
            live.bytes += entry.bytes();
            live.entries.push_back(Arc::clone(entry));
        }
        drop(live);
        self.mailbox.wake();
    }

    fn overflow(&self) {
        self.live().overflow();
        self.mailbox.wake();
    }

    fn live(&self) -> MutexGuard<'_, Live> {
        self.live.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether an account is there, as far as this process knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Attendance {
    /// A connected device is in use.
    Online,
    /// Devices are connected, none is in use.
    Away,
    /// No device is connected.
    Offline,
}

/// The connected devices of this process. It holds one entry per connection; connections are
/// bounded by the edge.
pub struct Connections {
    shards: Vec<Mutex<Shard>>,
    hasher: RandomState,
}

type Shard = HashMap<Uuid, Vec<Arc<Line>>>;

impl Default for Connections {
    fn default() -> Self {
        let shards = (0..SHARDS).map(|_| Mutex::default()).collect();
        Self { shards, hasher: RandomState::default() }
    }
}

impl Connections {
    /// No connections.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a line; an earlier one of the same device is closed. Whether the account had no line
    /// before.
    pub(super) fn open(&self, account: Uuid, line: Arc<Line>) -> bool {
        let mut shard = self.shard(account);
        let lines = shard.entry(account).or_default();
        let first = lines.is_empty();
        let replaced = lines.iter().position(|old| old.viewer.device == line.viewer.device);
        match replaced.and_then(|at| lines.get_mut(at)) {
            Some(old) => {
                old.mailbox.close(Close::Replaced);
                *old = line;
            }
            None => lines.push(line),
        }
        first
    }

    /// Removes a line, unless it was replaced. Whether the account has no line left because of it.
    pub(super) fn close(&self, account: Uuid, line: &Arc<Line>) -> bool {
        let mut shard = self.shard(account);
        let Some(lines) = shard.get_mut(&account) else { return false };
        let before = lines.len();
        lines.retain(|one| !Arc::ptr_eq(one, line));
        if !lines.is_empty() || before == 0 {
            return false;
        }
        shard.remove(&account);
        true
    }

    /// Hands an arrival to the account's connected devices.
    #[cfg(test)]
    pub(super) fn arrive(&self, account: Uuid, entry: &Arc<LiveEntry>) {
        self.each(account, |line| line.arrive(entry));
    }

    /// Hands new entries of inboxes to their accounts' connected devices; `entry` is made only for
    /// those.
    pub(crate) fn hand_over(
        &self,
        arrivals: &[Arrival],
        entry: impl Fn(Cursor) -> Entry,
        body: Option<&Bytes>,
    ) {
        let body = body.map(|body| LiveBody::new(body, arrivals.len()));
        for arrival in arrivals {
            let shard = self.shard(arrival.account);
            if let Some(lines) = shard.get(&arrival.account) {
                let (previous, entry) = (arrival.previous, entry(arrival.cursor));
                let live = Arc::new(LiveEntry { previous, entry, body: body.clone() });
                for line in lines {
                    line.arrive(&live);
                }
            }
        }
    }

    /// Hands an ephemeral message to the account's connected devices.
    pub(crate) fn pass_on(&self, account: Uuid, message: &StoredMessage, body: &[u8]) {
        self.each(account, |line| {
            if let Some(frame) = entry::message(message, body, None, &line.viewer) {
                line.mailbox.push(frame.into());
            }
        });
    }

    /// Whether anyone of the account is connected.
    pub fn is_connected(&self, account: Uuid) -> bool {
        self.shard(account).contains_key(&account)
    }

    /// The account's inbox has grown by another process's hand.
    pub fn inbox_grew(&self, account: Uuid) {
        self.each(account, Line::overflow);
    }

    /// Any inbox may have grown.
    pub fn inboxes_may_have_grown(&self) {
        self.every(Line::overflow);
    }

    /// Pushes a frame that may be lost to the account's connected devices, except one.
    pub fn push(&self, account: Uuid, frame: &Frame, except: Option<DeviceId>) {
        self.each(account, |line| {
            if Some(line.viewer.device) != except {
                line.mailbox.push(frame.clone());
            }
        });
    }

    /// Closes the connections of a session.
    pub fn revoke(&self, session: SessionId) {
        self.every(|line| {
            if line.viewer.session == session {
                line.mailbox.close(Close::Revoked);
            }
        });
    }

    /// Closes the connections of a device that was removed, whatever their sessions.
    pub fn revoke_device(&self, account: Uuid, device: DeviceId) {
        self.each(account, |line| {
            if line.viewer.device == device {
                line.mailbox.close(Close::Revoked);
            }
        });
    }

    /// The sessions that have a connection here.
    pub fn sessions(&self) -> Vec<SessionId> {
        let mut sessions = Vec::new();
        self.every(|line| sessions.push(line.viewer.session));
        sessions
    }

    /// A connected device is in use, or is not.
    pub fn set_away(&self, account: Uuid, device: DeviceId, away: bool) {
        self.each(account, |line| {
            if line.viewer.device == device {
                line.live().away = away;
            }
        });
    }

    /// Whether the account is there.
    pub fn attendance(&self, account: Uuid) -> Attendance {
        let shard = self.shard(account);
        match shard.get(&account) {
            None => Attendance::Offline,
            Some(lines) if lines.iter().all(|line| line.live().away) => Attendance::Away,
            Some(_) => Attendance::Online,
        }
    }

    fn each(&self, account: Uuid, act: impl Fn(&Line)) {
        if let Some(lines) = self.shard(account).get(&account) {
            for line in lines {
                act(line);
            }
        }
    }

    fn every(&self, mut act: impl FnMut(&Line)) {
        for shard in &self.shards {
            let shard = shard.lock().unwrap_or_else(PoisonError::into_inner);
            for line in shard.values().flatten() {
                act(line);
            }
        }
    }

    fn shard(&self, account: Uuid) -> MutexGuard<'_, Shard> {
        let at = usize::try_from(self.hasher.hash_one(account)).unwrap_or(0) % SHARDS;
        #[expect(clippy::indexing_slicing, reason = "there are SHARDS shards and at < SHARDS")]
        self.shards[at].lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
