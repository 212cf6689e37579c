//! The shell around [`StreamSender`]: it does what the machine says, and tells it what came of it.
//!
//! One runs per destination, under the destination's lease. If the store fails or the lease is lost
//! it stops; whoever started it starts another one, which finds everything in the store again.

use std::{pin::pin, sync::Arc, time::Duration};

use posthouse_crypto::sign::SigningKey;
use posthouse_protocol::{
    federation::{
        envelope::{Addressing, Envelope, EnvelopeDigest},
        key_log::TrustedHead,
        receipt::{SignedReceipt, VerifiedReceipt},
        refusal::{Refusal, RefusalCode},
        stream::Lane,
    },
    id::ServerName,
    limits,
    time::Clock,
};
use posthouse_storage::{error::StoreError, leases::Fence};
use rand_core::CryptoRng;
use tokio::{sync::mpsc, task::JoinSet, time};

use crate::{
    engine::{
        outbound::OutboundStream,
        sender::{Action, Answer, Input, Outgoing, Signed, StreamSender},
    },
    ports::{
        KeyDirectory, LoadRange, Observer, OutboundStore, Overdue, PostError, Settlement, Transport,
    },
};

/// Entries that are forgotten at a time.
const FORGET_AT_ONCE: usize = 1_000;

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
}

/// Why a worker stopped.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WorkerError {
    /// The store failed, or the lease passed on.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Delivers to one destination.
pub struct Worker<R> {
    parts: WorkerParts,
    destination: ServerName,
    fence: Fence,
    rng: R,
    sender: StreamSender,
    flights: JoinSet<(Lane, u64, Answer)>,
}

impl<R: CryptoRng + Send> Worker<R> {
    /// Takes the stream up where the store has it.
    ///
    /// # Errors
    /// [`WorkerError`].
    pub async fn new(
        parts: WorkerParts,
        destination: ServerName,
        fence: Fence,
        mut rng: R,
    ) -> Result<Self, WorkerError> {
        let now = parts.clock.now();
        let mut random = [0; 16];
        rng.fill_bytes(&mut random);
        let fresh = OutboundStream::new(&parts.own, &destination, random, now);
        let stream = parts.store.stream(&fence, &destination, &fresh).await?;
        let sender = StreamSender::new(parts.own.clone(), destination.clone(), stream, now);
        Ok(Self { parts, destination, fence, rng, sender, flights: JoinSet::new() })
    }

    /// Delivers until `stop`. Hints ([`Input::Wake`], [`Input::SignOfLife`]) come through `hints`;
    /// a lost one costs no more than the time until the next.
    ///
    /// # Errors
    /// [`WorkerError`]; nothing is lost, another worker goes on.
    pub async fn run(
        mut self,
        mut hints: mpsc::Receiver<Input>,
        stop: impl Future<Output = ()> + Send,
    ) -> Result<(), WorkerError> {
        let mut stop = pin!(stop);
        self.feed(Input::Tick).await?;
        loop {
            let now = self.parts.clock.now();
            let wait = self.sender.next_tick(now).0.saturating_sub(now.0).max(1);
            let input = tokio::select! {
                () = &mut stop => return Ok(()),
                hint = hints.recv() => hint.unwrap_or(Input::Tick),
                Some(flight) = self.flights.join_next() => match flight {
                    Ok((lane, attempt, answer)) => Input::Answered { lane, attempt, answer },
                    // A flight that broke answers nothing: a new worker finds out.
                    Err(_) => return Ok(()),
                },
                () = time::sleep(Duration::from_millis(wait)) => Input::Tick,
            };
            if matches!(input, Input::Tick) {
                self.forget().await?;
            }
            self.feed(input).await?;
        }
    }

    /// Feeds an input, and what comes back from the store, until there is nothing to do at once.
    async fn feed(&mut self, input: Input) -> Result<(), WorkerError> {
        let mut inputs = vec![input];
        while let Some(input) = inputs.pop() {
            let now = self.parts.clock.now();
            for action in self.sender.handle(input, now, &mut self.rng) {
                // In the order of the actions: the machine relies on it.
                if let Some(done) = self.act(action).await? {
                    inputs.insert(0, done);
                }
            }
        }
        Ok(())
    }

    async fn act(&mut self, action: Action) -> Result<Option<Input>, WorkerError> {
        let (store, fence, to) = (&self.parts.store, &self.fence, &self.destination);
        Ok(match action {
            Action::Load { lane, after, limit, max_bytes } => {
                let range = LoadRange { after, limit, max_bytes };
                let loaded = store.load(fence, to, lane, range).await?;
                let (entries, end) = (loaded.entries, loaded.end);
                Some(Input::Loaded { lane, after, entries, end })
            }
            Action::Settle { lane, to: mark, rejected } => {
                let now = self.parts.clock.now();
                let settlement = Settlement { to: mark, rejected: &rejected, now };
                store.settle(fence, to, lane, settlement).await?;
                Some(Input::Stored(lane))
            }
            Action::Rewind { lane, to: mark } => {
                store.rewind(fence, to, lane, mark).await?;
                Some(Input::Stored(lane))
            }
            Action::Refuse { lane, index } => {
                store.refuse(fence, to, lane, index).await?;
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
                self.parts.observer.unreachable(to, since);
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

    /// Seals, signs and posts in the background; gives the answer at once if that cannot be.
    async fn launch(&mut self, outgoing: Outgoing) -> Option<Input> {
        let (lane, attempt) = (outgoing.place.lane, outgoing.attempt);
        let failed = |retry_after_ms| {
            let answer = Answer::Failed { retry_after_ms };
            Some(Input::Answered { lane, attempt, answer })
        };
        let Ok(head) = self.parts.keys.keys(&self.destination, false).await else {
            return failed(None);
        };
        let addressing = Addressing {
            origin: self.parts.own.clone(),
            destination: self.destination.clone(),
            created: self.parts.clock.now(),
            place: Some(outgoing.place.clone()),
        };
        let records = outgoing.encode();
        let sealed = head.entry().preferred_sealing_key().map(|key| {
            Envelope::make(addressing, &records, key, &self.parts.signing, &mut self.rng)
        });
        let Some(Ok(envelope)) = sealed else { return failed(None) };
        let (parts, destination) = (self.parts.clone(), self.destination.clone());
        let (digest, bytes) = (envelope.digest(), envelope.encode());
        self.flights.spawn(async move {
            let posted = parts.transport.post(&destination, bytes).await;
            (lane, attempt, answer(&parts, &destination, digest, posted).await)
        });
        None
    }

    /// Gives up receipted entries whose grace is over.
    async fn forget(&mut self) -> Result<(), WorkerError> {
        let before = self.parts.clock.now().minus_millis(limits::GRACE_MS);
        for lane in Lane::ALL {
            let range = Overdue { before, limit: FORGET_AT_ONCE };
            let (store, fence) = (&self.parts.store, &self.fence);
            let entries = store.overdue(fence, &self.destination, lane, range).await?;
            if !entries.is_empty() {
                self.feed(Input::Overdue { lane, entries }).await?;
            }
        }
        Ok(())
    }
}

/// What a posted envelope came to.
async fn answer(
    parts: &WorkerParts,
    destination: &ServerName,
    digest: EnvelopeDigest,
    posted: Result<Vec<u8>, PostError>,
) -> Answer {
    let failed = Answer::Failed { retry_after_ms: None };
    match posted {
        Ok(bytes) => match receipt(parts, destination, digest, &bytes).await {
            Some(receipt) => Answer::Receipt(Box::new(Signed::from(&receipt))),
            None => failed,
        },
        Err(PostError::Refused(refusal)) => {
            if refusal.code == RefusalCode::Unopenable {
                // It has other keys now; the next envelope is sealed to those. If it cannot be
                // asked, the next attempt asks again.
                drop(parts.keys.keys(destination, true).await);
            }
            refused(&refusal)
        }
        Err(PostError::Unreachable(_)) => failed,
    }
}

fn refused(refusal: &Refusal) -> Answer {
    match refusal.code {
        RefusalCode::Malformed | RefusalCode::TooLarge => Answer::Refused,
        _ => {
            let retry_after_ms = refusal.retry_after.map(|seconds| u64::from(seconds) * 1_000);
            Answer::Failed { retry_after_ms }
        }
    }
}

/// Believes a receipt only if the destination signed it, for us, about this envelope.
async fn receipt(
    parts: &WorkerParts,
    destination: &ServerName,
    digest: EnvelopeDigest,
    bytes: &[u8],
) -> Option<VerifiedReceipt> {
    let signed = SignedReceipt::decode(bytes).ok()?;
    let (from, id) = (signed.claimed_signer().0.clone(), signed.claimed_signer().1);
    let now = parts.clock.now();
    let find = |head: &TrustedHead| head.entry().signing_key(id, now).copied();
    let known = parts.keys.keys(destination, false).await.ok()?;
    let key = match find(&known) {
        Some(key) => key,
        None => find(parts.keys.keys(destination, true).await.ok()?.as_ref())?,
    };
    let verified = signed.verify(&key).ok()?;
    let receipt = verified.receipt();
    let fits = from == *destination && receipt.to == parts.own && receipt.answers == digest;
    fits.then_some(verified)
}

#[cfg(test)]
mod tests;
