//! Starts and ends workers: one per destination for which something waits, under its lease.
//!
//! Hints start a worker at once. What no hint told is found by a slow poll, and every stream is
//! looked at now and then, so that a destination which was restored is noticed although nothing is
//! new, and entries whose grace is over go.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    time::Duration,
};

use posthouse_protocol::{federation::stream::Lane, id::ServerName, time::Timestamp};
use posthouse_storage::{
    error::StoreError,
    leases::{Fence, Leases},
};
use rand_core::CryptoRng;
use tokio::{
    sync::Semaphore,
    time::{self, Instant},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use uuid::Uuid;

use super::{Ended, Hints, Worker, WorkerError, WorkerParts, seeking::Seeking};
use crate::{
    engine::{ephemeral::Ephemeral, sender::PROBE_EVERY_MS},
    ports::Contacts,
};

/// How long a lease holds unless it is renewed, in milliseconds (30 s).
const LEASE_MS: u64 = 30_000;
/// How often it is renewed.
const RENEW_EVERY: Duration = Duration::from_secs(10);
/// How often it is looked for what waits without a hint.
const POLL_EVERY: Duration = Duration::from_secs(15);
/// How often every stream is looked at.
const WALK_EVERY: Duration = Duration::from_millis(PROBE_EVERY_MS);
/// How long a destination is left alone whose lease another process has, or whose worker failed.
const PAUSE: Duration = Duration::from_secs(10);
/// The shortest time between two signs of life of one peer that are passed on, in milliseconds.
const HEARD_EVERY_MS: u64 = 5_000;
/// Most destinations that wait for a place; more are found again by the poll.
const MAX_QUEUED: usize = 4_096;
/// Names that are read at a time.
const PAGE: usize = 500;
/// Workers that start at a time.
const STARTING: usize = 16;

/// Makes a generator for each worker, seeded from the system.
pub type Randomness = Arc<dyn Fn() -> Box<dyn CryptoRng + Send + Sync> + Send + Sync>;

/// What a supervisor works with.
pub struct SupervisorParts {
    /// What each worker works with.
    pub worker: WorkerParts,
    /// Leases.
    pub leases: Arc<dyn Leases>,
    /// Random numbers.
    pub random: Randomness,
}

/// Settings.
#[derive(Debug, Clone, Copy)]
pub struct SupervisorConfig {
    /// Most workers at a time. When there are as many, one that rests gives its place to a
    /// destination that wants one.
    pub max_workers: usize,
    /// Names this process in leases.
    pub holder: Uuid,
}

impl SupervisorConfig {
    /// 4,096 workers.
    pub fn new(holder: Uuid) -> Self {
        Self { max_workers: 4_096, holder }
    }
}

/// The workers.
pub struct Supervisor {
    me: Weak<Self>,
    parts: SupervisorParts,
    config: SupervisorConfig,
    slots: Mutex<Slots>,
    seeking: Arc<Seeking>,
    starting: Semaphore,
    stop: CancellationToken,
    tasks: TaskTracker,
}

/// The workers, and who waits for one.
#[derive(Default)]
struct Slots {
    workers: HashMap<ServerName, Slot>,
    /// Destinations that found no room, each once.
    queue: VecDeque<ServerName>,
}

/// A destination's worker.
struct Slot {
    hints: Arc<Hints>,
    stop: CancellationToken,
    heard_at: Option<Timestamp>,
}

/// A worker's place among the others. It is given up even if the worker breaks.
struct Place {
    supervisor: Arc<Supervisor>,
    destination: ServerName,
    hints: Arc<Hints>,
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut slots = self.supervisor.slots();
        let own = slots.workers.get(&self.destination);
        if own.is_none_or(|slot| !Arc::ptr_eq(&slot.hints, &self.hints)) {
            return;
        }
        slots.workers.remove(&self.destination);
        // The runtime itself may be coming to its end.
        if tokio::runtime::Handle::try_current().is_ok() {
            self.supervisor.admit_next(&mut slots);
        }
    }
}

/// Why a destination gets a worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Want {
    /// Something waits.
    Delivery,
    /// Its stream is to be looked at.
    Look,
    /// Something may be sent at once or never, if the peer is known.
    Ephemeral,
}

/// What serving a destination came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Served {
    /// Nothing is left to do.
    Done,
    /// It was told to stop.
    Stopped,
    /// Another process does it, or the store failed: later again.
    NotNow,
}

impl Supervisor {
    /// Starts: workers come for everything that waits and for every stream that exists.
    pub fn start(parts: SupervisorParts, config: SupervisorConfig) -> Arc<Self> {
        let supervisor = Arc::new_cyclic(|me| Self {
            me: Weak::clone(me),
            parts,
            config,
            slots: Mutex::default(),
            seeking: Seeking::new(),
            starting: Semaphore::new(STARTING),
            stop: CancellationToken::new(),
            tasks: TaskTracker::new(),
        });
        let polling = Arc::clone(&supervisor);
        supervisor.tasks.spawn(async move { polling.poll().await });
        supervisor
    }

    /// Something may wait for a destination: a hint, cheap, for every commit.
    pub fn wake(&self, destination: &ServerName, lane: Lane) {
        self.tell(destination, Want::Delivery, |hints| hints.wake(lane));
    }

    /// Sends something at once, or drops it: nobody learns which. A destination without a worker
    /// gets one only if its keys are known.
    pub fn push_ephemeral(&self, destination: &ServerName, ephemeral: Ephemeral) {
        let now = self.parts.worker.clock.now();
        self.tell(destination, Want::Ephemeral, |hints| {
            // Whether it was dropped is of no use to anybody.
            let _: bool = hints.push(ephemeral, now);
        });
    }

    /// Somebody here waits for what `destination` would answer: if it was never reached, its keys are
    /// sought for 3 minutes from the last call on, and the observer is told when they are known. At
    /// most 1,024 regions are sought at a time.
    pub fn seek(&self, destination: &ServerName) {
        let Some(me) = self.me.upgrade().filter(|_| !self.stop.is_cancelled()) else { return };
        let now = self.parts.worker.clock.now();
        let Some(search) = self.seeking.want(destination, now) else { return };
        let rng = (self.parts.random)();
        self.tasks.spawn(async move { search.run(&me.parts.worker, rng, &me.stop).await });
    }

    /// The peer is alive: what waits for it is tried at once. Passed on at most every 5 s.
    pub fn sign_of_life(&self, peer: &ServerName) {
        self.seeking.heard(peer);
        let now = self.parts.worker.clock.now();
        let mut slots = self.slots();
        let Some(slot) = slots.workers.get_mut(peer) else { return };
        let lately = slot.heard_at.and_then(|at| now.0.checked_sub(at.0));
        if lately.is_none_or(|passed| passed >= HEARD_EVERY_MS) {
            slot.heard_at = Some(now);
            slot.hints.sign_of_life();
        }
    }

    /// How many workers there are.
    pub fn workers(&self) -> usize {
        self.slots().workers.len()
    }

    /// Ends all workers, after the envelopes that are in the air (at most 10 s), and gives their
    /// leases back. Nothing starts afterwards.
    pub async fn stop(&self) {
        self.stop.cancel();
        self.tasks.close();
        self.tasks.wait().await;
    }

    fn slots(&self) -> MutexGuard<'_, Slots> {
        // Each change is whole or has not begun.
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells the destination's worker, which starts if there is none. If there is no room for it,
    /// what is to be delivered waits for a place, in turn.
    fn tell(&self, destination: &ServerName, want: Want, tell: impl FnOnce(&Hints)) {
        // Under the lock, so that no worker ends between being found and being told.
        let mut slots = self.slots();
        if let Some(slot) = slots.workers.get(destination) {
            tell(&slot.hints);
        } else if slots.workers.len() < self.config.max_workers {
            let hints = Arc::new(Hints::default());
            tell(&hints);
            self.admit(&mut slots, destination, hints, want);
        } else if want == Want::Delivery && !slots.queue.contains(destination) {
            let others = slots.workers.values();
            let mut resting =
                others.filter(|slot| slot.hints.is_resting() && !slot.stop.is_cancelled());
            if let Some(resting) = resting.next() {
                resting.stop.cancel();
            }
            if slots.queue.len() < MAX_QUEUED {
                slots.queue.push_back(destination.clone());
            }
        }
    }

    /// Starts a worker.
    fn admit(&self, slots: &mut Slots, destination: &ServerName, hints: Arc<Hints>, want: Want) {
        let Some(me) = self.me.upgrade().filter(|_| !self.stop.is_cancelled()) else { return };
        let stop = self.stop.child_token();
        let slot = Slot { hints: Arc::clone(&hints), stop: stop.clone(), heard_at: None };
        slots.workers.insert(destination.clone(), slot);
        let place = Place { supervisor: me, destination: destination.clone(), hints };
        self.tasks.spawn(async move { place.supervisor.keep(&place, &stop, want).await });
    }

    /// A place is free: it goes to the one that has waited longest.
    fn admit_next(&self, slots: &mut Slots) {
        if let Some(next) = slots.queue.pop_front() {
            let hints = Arc::new(Hints::default());
            hints.wake_all();
            self.admit(slots, &next, hints, Want::Delivery);
        }
    }

    /// Serves a destination for as long as there is something to do.
    async fn keep(&self, place: &Place, stop: &CancellationToken, mut want: Want) {
        let Place { destination, hints, .. } = place;
        loop {
            let served = self.serve(destination, hints, stop, want).await;
            let served = served.unwrap_or_else(|err| {
                tracing::warn!(%destination, error = %err, "a worker failed; another one goes on");
                Served::NotNow
            });
            if served == Served::NotNow {
                tokio::select! {
                    () = stop.cancelled() => {}
                    () = time::sleep(PAUSE) => {}
                }
            }
            let mut slots = self.slots();
            if stop.is_cancelled() || !hints.is_pending() {
                slots.workers.remove(destination);
                self.admit_next(&mut slots);
                return;
            }
            want = Want::Delivery;
        }
    }

    async fn serve(
        &self,
        destination: &ServerName,
        hints: &Arc<Hints>,
        stop: &CancellationToken,
        want: Want,
    ) -> Result<Served, WorkerError> {
        let parts = &self.parts.worker;
        let permit = tokio::select! {
            () = stop.cancelled() => return Ok(Served::Stopped),
            permit = self.starting.acquire() => permit,
        };
        if want == Want::Ephemeral
            && !hints.is_pending()
            && !parts.keys.is_known(destination).await?
        {
            return Ok(Served::Done);
        }
        let name = format!("outbox {destination}");
        let (leases, holder) = (&self.parts.leases, self.config.holder);
        let fence = leases.acquire(&name, holder, parts.clock.now(), LEASE_MS).await?;
        let Some(fence) = fence else { return Ok(Served::NotNow) };
        let rng = (self.parts.random)();
        let told = Arc::clone(hints);
        let worker =
            Worker::new(parts.clone(), destination.clone(), fence.clone(), told, rng).await;
        drop(permit);
        let ended = match worker {
            Ok(worker) => tokio::select! {
                ended = Box::pin(worker.run(stop.cancelled())) => ended,
                () = self.hold(&fence) => {
                    tracing::warn!(%destination, "the lease has passed to another process");
                    return Ok(Served::NotNow);
                }
            },
            Err(err) => Err(err),
        };
        leases.release(&fence).await?;
        Ok(match ended? {
            Ended::Stopped => Served::Stopped,
            Ended::Idle => Served::Done,
            Ended::Broken => Served::NotNow,
        })
    }

    /// Renews a lease until it is lost.
    async fn hold(&self, fence: &Fence) {
        let mut renewed = Instant::now();
        loop {
            time::sleep(RENEW_EVERY).await;
            let at = Instant::now();
            let now = self.parts.worker.clock.now();
            match self.parts.leases.renew(fence, now, LEASE_MS).await {
                Ok(true) => renewed = at,
                Ok(false) => return,
                Err(err) => {
                    tracing::warn!(lease = %fence.name, error = %err, "a lease was not renewed");
                    if renewed.elapsed() >= Duration::from_millis(LEASE_MS) {
                        return;
                    }
                }
            }
        }
    }

    /// Finds what no hint told.
    async fn poll(&self) {
        let mut walk_at = Instant::now();
        loop {
            let walks = Instant::now() >= walk_at;
            if walks {
                walk_at = Instant::now() + WALK_EVERY;
            }
            // What waits comes first, so that it has a place.
            let wants = [Some(Want::Delivery), walks.then_some(Want::Look)];
            for want in wants.into_iter().flatten() {
                if let Err(err) = self.look(want).await {
                    tracing::warn!(error = %err, "it cannot be told what waits for other regions");
                }
            }
            tokio::select! {
                () = self.stop.cancelled() => return,
                () = time::sleep(POLL_EVERY) => {}
            }
        }
    }

    /// Goes through the destinations, page by page.
    async fn look(&self, want: Want) -> Result<(), StoreError> {
        let store = &self.parts.worker.store;
        let mut after: Option<ServerName> = None;
        loop {
            let page = match want {
                Want::Delivery => store.waiting(after.as_ref(), PAGE).await?,
                Want::Look | Want::Ephemeral => store.streams(after.as_ref(), PAGE).await?,
            };
            for destination in &page {
                self.tell(destination, want, |hints| {
                    if want == Want::Delivery {
                        hints.wake_all();
                    }
                });
            }
            if page.len() < PAGE || self.stop.is_cancelled() {
                return Ok(());
            }
            after = page.into_iter().next_back();
        }
    }
}

impl Contacts for Supervisor {
    fn heard(&self, peer: &ServerName) {
        self.sign_of_life(peer);
    }
}

#[cfg(test)]
mod tests;
