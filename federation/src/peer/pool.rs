//! Kept connections: few per peer, bounded in all, closed after a rest.

use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    time::Duration,
};

use posthouse_protocol::id::ServerName;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{Instant, MissedTickBehavior, interval},
};
use tokio_util::task::TaskTracker;

use super::{
    dial::Dialed,
    request::{self, Sending},
};

/// Most connections to one peer: one for each lane, and one for what a user waits for.
pub(super) const MAX_PER_PEER: usize = 6;
/// Most connections in all.
pub(super) const MAX_CONNECTIONS: usize = 4_096;
/// How long a connection rests before it is closed.
pub(super) const IDLE: Duration = Duration::from_mins(1);
/// How long a connection is used at most: a busy one must also notice, some time, that the peer's
/// certificate has expired, or that DNS names another host.
pub(super) const MAX_AGE: Duration = Duration::from_mins(10);
/// Most peers that something is remembered of.
const MAX_PEERS: usize = 10_000;

/// A connection to a peer.
pub(super) struct Connection {
    pub(super) sending: Sending,
    pub(super) address: SocketAddr,
    opened: Instant,
    used: Instant,
    _place: OwnedSemaphorePermit,
}

impl Connection {
    fn is_usable(&self, now: Instant, idle: Duration) -> bool {
        !self.sending.is_closed() && now - self.used < idle && now - self.opened < MAX_AGE
    }
}

/// What is known of one peer.
struct Peer {
    /// One for each request that is under way, so that there are never more connections.
    places: Arc<Semaphore>,
    idle: Vec<Connection>,
    /// Where the last answer came from, and whether the last attempt failed.
    last: Option<SocketAddr>,
    failed: bool,
}

impl Default for Peer {
    fn default() -> Self {
        let places = Arc::new(Semaphore::new(MAX_PER_PEER));
        Self { places, idle: Vec::new(), last: None, failed: false }
    }
}

/// Kept connections to all peers.
pub(super) struct Pool {
    peers: Mutex<HashMap<ServerName, Peer>>,
    places: Arc<Semaphore>,
    tasks: TaskTracker,
    idle: Duration,
}

impl Pool {
    /// Connections rest for `idle` at most, and a quarter more until it is noticed.
    pub(super) fn new(idle: Duration) -> Arc<Self> {
        Arc::new(Self {
            idle,
            peers: Mutex::default(),
            places: Arc::new(Semaphore::new(MAX_CONNECTIONS)),
            tasks: TaskTracker::new(),
        })
    }

    /// What a request to `peer` waits for before it looks for a connection.
    pub(super) fn places(&self, peer: &ServerName) -> Arc<Semaphore> {
        let mut peers = self.peers();
        if peers.len() >= MAX_PEERS && !peers.contains_key(peer) {
            let busy = |peer: &Peer| Arc::strong_count(&peer.places) > 1 || !peer.idle.is_empty();
            peers.retain(|_, peer| busy(peer));
        }
        Arc::clone(&peers.entry(peer.clone()).or_default().places)
    }

    /// A kept connection that seems to live, the one used last.
    pub(super) fn take(&self, peer: &ServerName) -> Option<Connection> {
        let now = Instant::now();
        let mut peers = self.peers();
        let idle = &mut peers.get_mut(peer)?.idle;
        idle.retain(|connection| connection.is_usable(now, self.idle));
        idle.pop()
    }

    /// Makes a connection out of what was dialed; a resting one of another peer gives way if there
    /// are too many. `None` if all are in use, or the connection broke.
    pub(super) async fn adopt(
        self: &Arc<Self>,
        peer: &ServerName,
        dialed: Dialed,
    ) -> Option<Connection> {
        let place = self.place()?;
        let (sending, driving) = request::open(dialed.stream).await.ok()?;
        let (pool, peer) = (Arc::downgrade(self), peer.clone());
        self.tasks.spawn(drive(driving, pool, peer, self.idle));
        let now = Instant::now();
        let address = dialed.address;
        Some(Connection { sending, address, opened: now, used: now, _place: place })
    }

    /// Keeps a connection for the next request.
    pub(super) fn keep(&self, peer: &ServerName, mut connection: Connection) {
        let now = Instant::now();
        connection.used = now;
        if self.tasks.is_closed() || !connection.is_usable(now, self.idle) {
            return;
        }
        if let Some(peer) = self.peers().get_mut(peer) {
            peer.idle.push(connection);
        }
    }

    /// Notes that the peer answered from `address`; gives whether that is a sign of life.
    pub(super) fn succeeded(&self, peer: &ServerName, address: SocketAddr) -> bool {
        let mut peers = self.peers();
        let Some(peer) = peers.get_mut(peer) else { return false };
        let moved = peer.last.replace(address).is_some_and(|last| last != address);
        core::mem::take(&mut peer.failed) || moved
    }

    /// Notes that the peer did not answer. What rests is not used any more: if the peer went away
    /// without a word, each would cost a request its patience.
    pub(super) fn failed(&self, peer: &ServerName) {
        if let Some(peer) = self.peers().get_mut(peer) {
            peer.failed = true;
            peer.idle.clear();
        }
    }

    /// Closes what rests, keeps nothing from now on, and waits until all connections are gone.
    pub(super) async fn close(&self) {
        self.tasks.close();
        for peer in self.peers().values_mut() {
            peer.idle.clear();
        }
        self.tasks.wait().await;
    }

    fn place(&self) -> Option<OwnedSemaphorePermit> {
        let free = || Arc::clone(&self.places).try_acquire_owned().ok();
        free().or_else(|| {
            let mut peers = self.peers();
            let resting = peers.values_mut().filter(|peer| !peer.idle.is_empty());
            let oldest = resting.min_by_key(|peer| peer.idle.first().map(|one| one.used))?;
            drop(oldest.idle.remove(0));
            free()
        })
    }

    /// Closes the peer's connections that rest too long.
    fn prune(&self, peer: &ServerName) {
        let now = Instant::now();
        if let Some(peer) = self.peers().get_mut(peer) {
            peer.idle.retain(|connection| connection.is_usable(now, self.idle));
        }
    }

    fn peers(&self) -> MutexGuard<'_, HashMap<ServerName, Peer>> {
        // What a panic could leave is one connection more or less.
        self.peers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    #[cfg(test)]
    pub(super) fn resting(&self, peer: &ServerName) -> usize {
        self.peers().get(peer).map_or(0, |peer| peer.idle.len())
    }
}

/// Drives a connection to its end; it ends soon after nobody can send into it any more.
async fn drive(driving: request::Driving, pool: Weak<Pool>, peer: ServerName, idle: Duration) {
    let mut driving = std::pin::pin!(driving);
    let mut look = interval(idle / 4);
    look.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            ended = &mut driving => {
                if let Err(err) = ended {
                    tracing::debug!(%peer, error = %err, "a connection to a peer ended early");
                }
                return;
            }
            _ = look.tick() => {
                let Some(pool) = pool.upgrade() else { continue };
                pool.prune(&peer);
            }
        }
    }
}
