//! The shell around [`StreamSender`]: it does what the machine says, and tells it what came of it.
//!
//! One runs per destination, under the destination's lease. If the store fails or the lease is lost
//! it stops; whoever started it starts another one, which finds everything in the store again.

mod ahead;
mod chores;
mod flight;
mod launch;
mod pace;
mod sealing;

use std::{pin::pin, sync::Arc, time::Duration};

use posthouse_crypto::sign::SigningKey;
use posthouse_protocol::{
    federation::{
        cbor::Writer,
        key_log::TrustedHead,
        limits, record,
        stream::{Lane, PerLane},
    },
    id::ServerName,
    status::FailReason,
    time::{Clock, Timestamp},
};
use posthouse_storage::{error::StoreError, leases::Fence, outbox::Settled};
use rand_core::CryptoRng;
use tokio::{task::JoinSet, time};

use self::{
    ahead::{Ahead, Source},
    chores::Chores,
    flight::{Landed, Sealed},
    pace::{Pace, Pending},
    sealing::Sealing,
};
use super::Hints;
use crate::{
    engine::{
        ephemeral::{Room, WORTH_MS},
        outbound::OutboundStream,
        sender::{Action, Answer, ENVELOPE_OVERHEAD, Input, StreamSender},
    },
    ports::{
        KeyDirectory, LoadRange, Observer, OutboundStore, Refused, Setback, Settlement, Transport,
    },
};

/// How long a worker that has nothing to do stays, in milliseconds (5 min).
pub(super) const IDLE_MS: u64 = 5 * 60_000;
/// How long a worker that is to stop waits for envelopes in the air.
const LANDING: Duration = Duration::from_secs(10);

/// What a worker works with.
#[derive(Clone)]
pub struct WorkerParts {
    /// Our name.
    pub own: ServerName,
    /// The key that signs envelopes.
    pub signing: SigningKey,
    /// The streams.
    pub store: Arc<dyn OutboundStore>,
    /// Peers' keys.
    pub keys: Arc<dyn KeyDirectory>,
    /// The way to peers.
    pub transport: Arc<dyn Transport>,
    /// Who hears of it.
    pub observer: Arc<dyn Observer>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// How long entries are kept that the destination has signed for, in milliseconds.
    pub keep_ms: u64,
}

/// Why a worker stopped.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WorkerError {
    /// The store failed, or the lease passed on.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Why a worker ended without an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// It was told to.
    Stopped,
    /// Nothing was to do for five minutes.
    Idle,
    /// A flight broke; a new worker finds out what came of it.
    Broken,
}

/// Delivers to one destination.
pub struct Worker<R> {
    parts: WorkerParts,
    destination: ServerName,
    fence: Fence,
    rng: R,
    sender: StreamSender,
    sealing: Sealing,
    ahead: Ahead,
    hints: Arc<Hints>,
    flights: JoinSet<Landed>,
    chores: Chores,
    pace: Pace,
    /// What the last attempt came to, if that was nothing.
    setback: Option<Setback>,
    /// What the last refusal in a lane means for an event that was alone in its envelope.
    refused_as: PerLane<FailReason>,
    /// No version is common; the alarm was given.
    speechless: bool,
    /// Since when every attempt found that the name of a peer which was never reached does not
    /// exist.
    nameless_since: Option<Timestamp>,
    /// Ephemerals are dropped until then: the last ones found nobody.
    mute_until: Timestamp,
    busy_at: Timestamp,
    stopping: bool,
}

impl<R: CryptoRng + Send + Sync> Worker<R> {
    /// Takes the stream up where the store has it. Hints come through `hints`; a lost one costs no
    /// more than the time until the next.
    ///
    /// # Errors
    /// [`WorkerError`].
    pub async fn new(
        parts: WorkerParts,
        destination: ServerName,
        fence: Fence,
        hints: Arc<Hints>,
        mut rng: R,
    ) -> Result<Self, WorkerError> {
        let now = parts.clock.now();
        let mut random = [0; 16];
        rng.fill_bytes(&mut random);
        let fresh = OutboundStream::new(&parts.own, &destination, random, now);
        let stream = parts.store.stream(&fence, &destination, &fresh).await?;
        let sender = StreamSender::new(parts.own.clone(), destination.clone(), stream, now);
        Ok(Self {
            parts,
            destination,
            fence,
            rng,
            sender,
            sealing: Sealing::default(),
            ahead: Ahead::new(),
            hints,
            flights: JoinSet::new(),
            chores: Chores::new(now),
            pace: Pace::new(),
            setback: None,
            refused_as: PerLane::from_fn(|_| FailReason::Malformed),
            speechless: false,
            nameless_since: None,
            mute_until: Timestamp(0),
            busy_at: now,
            stopping: false,
        })
    }

    /// Delivers until `stop`, or until there is nothing to do.
    ///
    /// # Errors
    /// [`WorkerError`]; nothing is lost, another worker goes on.
    pub async fn run(
        mut self,
        stop: impl Future<Output = ()> + Send,
    ) -> Result<Ended, WorkerError> {
        let mut stop = pin!(stop);
        let hints = Arc::clone(&self.hints);
        self.feed(Input::Tick).await?;
        loop {
            let now = self.parts.clock.now();
            if !self.is_idle() {
                self.busy_at = now;
            } else if now.0.abs_diff(self.busy_at.0) >= IDLE_MS {
                self.parts.observer.at_rest(&self.destination);
                return Ok(Ended::Idle);
            }
            self.hints.set_resting(self.is_idle() || self.sender.failing_since().is_some());
            let wait = self.next_look(now).0.saturating_sub(now.0).max(1);
            let put_off = self.pace.next();
            tokio::select! {
                biased;
                () = &mut stop => return self.land().await,
                Some(landed) = self.flights.join_next() => match landed {
                    Ok(landed) => self.landed(landed).await?,
                    Err(_) => return Ok(Ended::Broken),
                },
                told = hints.next() => {
                    for input in told.inputs() {
                        if matches!(input, Input::Wake(Lane::Receipts)) {
                            self.pace.note_receipts(time::Instant::now());
                        } else {
                            self.feed(input).await?;
                        }
                    }
                    if told.has_ephemeral() {
                        self.whisper().await;
                    }
                }
                () = until(put_off) => {}
                () = time::sleep(Duration::from_millis(wait)) => self.feed(Input::Tick).await?,
            }
            self.do_what_was_put_off().await?;
            self.do_chores().await?;
        }
    }

    fn is_idle(&self) -> bool {
        self.sender.is_idle() && self.flights.is_empty() && !self.pace.is_waiting()
    }

    /// When there is something to do without being told.
    fn next_look(&self, now: Timestamp) -> Timestamp {
        let idle = self.busy_at.plus_millis(IDLE_MS);
        let idle = if self.is_idle() { idle } else { now.plus_millis(IDLE_MS) };
        self.sender.next_tick(now).min(self.chores.next(!self.is_idle())).min(idle)
    }

    /// Waits for what is in the air, and settles it; nothing new leaves.
    async fn land(mut self) -> Result<Ended, WorkerError> {
        self.stopping = true;
        let deadline = time::Instant::now() + LANDING;
        while let Ok(Some(landed)) = time::timeout_at(deadline, self.flights.join_next()).await {
            match landed {
                Ok(landed) => self.landed(landed).await?,
                Err(_) => return Ok(Ended::Broken),
            }
        }
        self.settle_all().await?;
        Ok(Ended::Stopped)
    }

    async fn landed(&mut self, landed: Landed) -> Result<(), WorkerError> {
        match landed {
            Landed::Sequenced { lane, attempt, answer, setback, reason, sharing_refused } => {
                self.setback = match &answer {
                    Answer::Receipt(signed) => Some(Setback::NoProgress(signed.outcome())),
                    _ => setback,
                };
                if sharing_refused {
                    self.sealing.refused(self.parts.clock.now());
                }
                *self.refused_as.of_mut(lane) = reason;
                if matches!(answer, Answer::Receipt(_)) {
                    // The peer is there: what is worth telling at once is told again.
                    self.mute_until = Timestamp(0);
                }
                self.feed(Input::Answered { lane, attempt, answer }).await
            }
            Landed::Ephemeral(answered) => {
                self.hints.ephemerals_done();
                if !answered {
                    self.mute_until = self.parts.clock.now().plus_millis(WORTH_MS);
                }
                self.whisper().await;
                Ok(())
            }
        }
    }

    /// Feeds an input, and what comes back from the store, until there is nothing to do at once.
    async fn feed(&mut self, input: Input) -> Result<(), WorkerError> {
        if let Some(facts) = self.parts.keys.facts(&self.destination) {
            self.sender.set_limits(facts.max_records, facts.max_envelope);
        }
        let mut inputs = vec![input];
        while let Some(input) = inputs.pop() {
            let now = self.parts.clock.now();
            let is_answer = matches!(input, Input::Answered { .. });
            let actions = self.sender.handle(input, now, &mut self.rng);
            if is_answer && self.sender.failing_since().is_some() {
                self.parts.observer.failed_again(&self.destination, &self.setback());
            }
            for action in actions {
                // In the order of the actions: the machine relies on it.
                if let Some(done) = self.act(action).await? {
                    inputs.insert(0, done);
                }
            }
        }
        Ok(())
    }

    async fn act(&mut self, action: Action) -> Result<Option<Input>, WorkerError> {
        match &action {
            Action::Rewind { lane, .. }
            | Action::Refuse { lane, .. }
            | Action::Forget { lane, .. } => {
                self.ahead.forget();
                self.settle(*lane).await?;
            }
            Action::Open(_) => {
                self.ahead.forget();
                self.settle_all().await?;
            }
            _ => {}
        }
        let (store, fence, to) = (&self.parts.store, &self.fence, &self.destination);
        let now = self.parts.clock.now();
        Ok(match action {
            Action::Load { lane, after, limit, max_bytes } => {
                let range = LoadRange { after, limit, max_bytes };
                let source = Source {
                    store: Arc::clone(store),
                    fence: fence.clone(),
                    destination: to.clone(),
                };
                let loaded = self.ahead.load(&source, lane, range).await?;
                let (entries, end) = (loaded.entries, loaded.end);
                Some(Input::Loaded { lane, after, entries, end })
            }
            Action::Settle { lane, to: mark, rejected } => {
                let before = self.sender.stream().lanes.of(lane).receipted.index;
                let due = self.pace.settle(lane, before, (mark, rejected), time::Instant::now());
                self.write_settlement(lane, due).await?;
                Some(Input::Stored(lane))
            }
            Action::Rewind { lane, to: mark } => {
                store.rewind(fence, to, lane, mark).await?;
                Some(Input::Stored(lane))
            }
            Action::Refuse { lane, index } => {
                let refused = Refused { index, reason: *self.refused_as.of(lane), now };
                let settled = store.refuse(fence, to, lane, refused).await?;
                self.tell(settled);
                Some(Input::Stored(lane))
            }
            Action::Forget { lane, floor } => {
                store.forget(fence, to, lane, floor).await?;
                None
            }
            Action::Open(next) => {
                store.open(fence, to, &next).await?;
                Some(Input::Opened)
            }
            Action::Send(outgoing) => self.launch(*outgoing).await,
            Action::Unreachable { since } => {
                self.parts.observer.unreachable(to, since, &self.setback());
                None
            }
            Action::Reachable => {
                self.parts.observer.reachable(to);
                None
            }
            Action::Alarm(alarm) => {
                self.parts.observer.alarm(to, alarm);
                None
            }
        })
    }

    async fn do_what_was_put_off(&mut self) -> Result<(), WorkerError> {
        let now = time::Instant::now();
        if self.pace.is_settling_due(now) {
            self.settle_all().await?;
        }
        if self.pace.are_receipts_due(now) {
            self.feed(Input::Wake(Lane::Receipts)).await?;
        }
        Ok(())
    }

    /// Makes the settlements that wait, before something else is written.
    async fn settle_all(&mut self) -> Result<(), WorkerError> {
        for lane in Lane::ALL {
            self.settle(lane).await?;
        }
        Ok(())
    }

    async fn settle(&mut self, lane: Lane) -> Result<(), WorkerError> {
        let pending = self.pace.take(lane);
        self.write_settlement(lane, pending).await
    }

    async fn write_settlement(
        &self,
        lane: Lane,
        pending: Option<Pending>,
    ) -> Result<(), WorkerError> {
        let Some(Pending { to, rejected, .. }) = pending else { return Ok(()) };
        let settlement = Settlement { to, rejected: &rejected, now: self.parts.clock.now() };
        let store = &self.parts.store;
        self.tell(store.settle(&self.fence, &self.destination, lane, settlement).await?);
        Ok(())
    }

    fn tell(&self, settled: Settled) {
        if settled != Settled::default() {
            self.parts.observer.settled(&self.destination, settled);
        }
    }

    /// Sends the ephemerals that wait, if the peer answers; drops them if it does not.
    async fn whisper(&mut self) {
        let now = self.parts.clock.now();
        let there = self.sender.failing_since().is_none() && now >= self.mute_until;
        let head = if there && !self.stopping { self.known_head().await } else { None };
        let head = head.filter(|_| self.can_speak());
        let taken = self.hints.take_ephemerals(head.is_some(), self.room(), now);
        let Some(head) = head.filter(|_| !taken.is_empty()) else { return };
        let mut records = Writer::default();
        records.array(taken.len());
        for one in &taken {
            record::write_event(&mut records, one.id, Some(one.sender), &one.event);
        }
        let records = records.finish();
        let content = (None, records.as_slice());
        match Sealed::new(&self.parts, &mut self.sealing, &head, content, &mut self.rng) {
            Some(sealed) => {
                let (parts, destination) = (self.parts.clone(), self.destination.clone());
                self.flights
                    .spawn(async move { sealed.post_ephemeral(&parts, &destination).await });
            }
            None => self.hints.ephemerals_done(),
        }
    }

    /// The peer's keys, if any are known: they are fetched for what waits in the stream, and not for
    /// what may be dropped.
    async fn known_head(&self) -> Option<Arc<TrustedHead>> {
        let keys = &self.parts.keys;
        match keys.is_known(&self.destination).await {
            Ok(true) => keys.keys(&self.destination, false).await.ok(),
            _ => None,
        }
    }

    /// What the peer takes in an envelope.
    fn room(&self) -> Room {
        let facts = self.parts.keys.facts(&self.destination);
        let (records, bytes) = facts.map_or((limits::MAX_RECORDS, limits::MAX_ENVELOPE), |f| {
            (f.max_records, f.max_envelope)
        });
        Room { records, bytes: bytes.saturating_sub(ENVELOPE_OVERHEAD) }
    }
}

/// Waits for a moment; for ever if there is none.
async fn until(moment: Option<time::Instant>) {
    match moment {
        Some(moment) => time::sleep_until(moment).await,
        None => core::future::pending().await,
    }
}

#[cfg(test)]
mod tests;
