//! `POST /federation/v1/envelopes`, apart from HTTP: from the bytes that a peer posted to the
//! receipt that is signed for them (docs/spec/federation-streams.md, "The receiving end").

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use posthouse_crypto::sign::SigningKey;
use posthouse_protocol::{
    federation::{
        header::Place,
        key_log::TrustedHead,
        keys::KeyId,
        receipt::{Outcome, Receipt, Rejection, SignedReceipt},
        record::{EventRecord, Record},
        refusal::{Refusal, RefusalCode},
        stream::Standing,
    },
    id::ServerName,
    time::Timestamp,
};

use super::{
    AuthenticatedEnvelope, OpenedBody, OpenedEnvelope, SealingKeys, VerifiedEnvelope, without_keys,
};
use crate::{
    engine::{
        ephemeral::{EphemeralGuard, EphemeralRefusal},
        receiver::{Decision, InboundStream},
    },
    ports::{EphemeralSink, InboundStore, KeyDirectory, TakeError, Taking},
    tls::PeerNames,
};

/// How often a decision is made anew because another envelope of the origin was faster.
const MAX_DECISIONS: usize = 8;
/// Most origins whose ephemerals are guarded at a time; those of further ones are refused.
const MAX_GUARDS: usize = 10_000;
/// Most origins whose stream is kept in memory.
const MAX_STREAMS: usize = 10_000;

/// Who we are.
pub struct Own {
    /// Our name.
    pub name: ServerName,
    /// The key that signs receipts.
    pub signing: SigningKey,
    /// The keys that envelopes are sealed to.
    pub sealing: SealingKeys,
}

/// The ports that receiving calls.
pub struct Parts {
    /// Streams and effects.
    pub store: Arc<dyn InboundStore>,
    /// Peers' keys.
    pub keys: Arc<dyn KeyDirectory>,
    /// Where ephemerals go.
    pub ephemerals: Arc<dyn EphemeralSink>,
}

/// Takes envelopes.
pub struct Inbound {
    own: Own,
    parts: Parts,
    guards: Mutex<HashMap<ServerName, EphemeralGuard>>,
    /// Streams as they were when last written or read; another process may have moved them since.
    streams: Mutex<HashMap<ServerName, InboundStream>>,
}

/// What an envelope came to.
struct Taken {
    outcome: Outcome,
    standing: Option<Standing>,
    rejections: Vec<Rejection>,
}

impl Inbound {
    /// Takes envelopes for `own`.
    pub fn new(own: Own, parts: Parts) -> Self {
        Self { own, parts, guards: Mutex::default(), streams: Mutex::default() }
    }

    /// Takes what a peer posted. The receipt is signed only after everything in it is durable.
    ///
    /// # Errors
    /// [`Refusal`]: nothing was taken.
    pub async fn receive(
        &self,
        body: &[u8],
        peer: &PeerNames,
        now: Timestamp,
    ) -> Result<SignedReceipt, Refusal> {
        let envelope = AuthenticatedEnvelope::new(body, peer)?;
        let envelope = self.verify(envelope, now).await?;
        let opened = OpenedEnvelope::new(&envelope, &self.own.sealing)?;
        let origin = &opened.header().origin;
        let Taken { outcome, standing, rejections } = match opened.body() {
            OpenedBody::Sequenced(place, records) => {
                self.take(&opened, place, records, now).await?
            }
            OpenedBody::Ephemeral(events) => {
                self.pass(&opened, events, now).await?;
                let stream = match self.remembered(origin) {
                    Some(stream) => stream,
                    None => self.read(origin).await?,
                };
                let (outcome, rejections) = (Outcome::Accepted, Vec::new());
                Taken { outcome, standing: stream.standing, rejections }
            }
        };
        let receipt = Receipt {
            from: self.own.name.clone(),
            to: origin.clone(),
            created: now,
            signing_key: KeyId::of_signing(&self.own.signing.verifying_key()),
            answers: opened.digest(),
            outcome,
            standing,
            rejections,
        };
        Ok(SignedReceipt::sign(receipt, &self.own.signing))
    }

    /// Verifies; if the signing key is not known, looks once whether the origin has a newer one.
    async fn verify(
        &self,
        envelope: AuthenticatedEnvelope,
        now: Timestamp,
    ) -> Result<VerifiedEnvelope, Refusal> {
        let origin = envelope.header().origin.clone();
        let head = self.keys(&origin, false).await?;
        match VerifiedEnvelope::new(envelope, &self.own.name, head.entry(), now) {
            Ok(verified) => Ok(verified),
            Err((refusal, envelope)) if refusal.code == RefusalCode::UnknownKey => {
                let head = self.keys(&origin, true).await?;
                VerifiedEnvelope::new(*envelope, &self.own.name, head.entry(), now)
                    .map_err(|(refusal, _)| refusal)
            }
            Err((refusal, _)) => Err(refusal),
        }
    }

    async fn keys(&self, origin: &ServerName, renew: bool) -> Result<Arc<TrustedHead>, Refusal> {
        self.parts.keys.keys(origin, renew).await.map_err(|err| without_keys(origin, &err))
    }

    /// Decides with the stream as it is remembered: if it has moved, the store says so, and it is
    /// read again.
    async fn take(
        &self,
        opened: &OpenedEnvelope,
        place: &Place,
        records: &[Record],
        now: Timestamp,
    ) -> Result<Taken, Refusal> {
        let (origin, store) = (&opened.header().origin, &self.parts.store);
        let whole = Taking { lane: place.lane, first: place.first, records };
        let mut remembered = self.remembered(origin);
        for _ in 0..MAX_DECISIONS {
            let from_memory = remembered.is_some();
            let stream = match remembered.take() {
                Some(stream) => stream,
                None => self.read(origin).await?,
            };
            match stream.decide((origin, &self.own.name), place, records, now) {
                // Nothing of the store's would contradict an answer out of an old memory.
                Decision::Answer(_) if from_memory => {}
                Decision::Answer(outcome) => {
                    let rejections = if outcome == Outcome::Accepted {
                        self.rejections(origin, whole).await?
                    } else {
                        Vec::new()
                    };
                    return Ok(Taken { outcome, standing: stream.standing, rejections });
                }
                Decision::Take { skip, stream: next } => {
                    let (old, fresh) = records.split_at_checked(skip).unwrap_or((records, &[]));
                    let skipped: u64 = old.iter().map(Record::covers).sum();
                    let taking = Taking { first: place.first + skipped, records: fresh, ..whole };
                    let told = match store.take(origin, &stream, &next, taking, now).await {
                        Ok(told) => told,
                        Err(TakeError::Moved) => continue,
                        Err(TakeError::Store(err)) => {
                            // Whether it was written is not known.
                            self.forget(origin);
                            return Err(busy(&err));
                        }
                    };
                    self.remember(origin, next);
                    let mut rejections =
                        self.rejections(origin, Taking { records: old, ..whole }).await?;
                    rejections.extend(told);
                    let (outcome, standing) = (Outcome::Accepted, next.standing);
                    return Ok(Taken { outcome, standing, rejections });
                }
            }
        }
        Err(Refusal::new(RefusalCode::Overloaded, "the stream moves too fast"))
    }

    async fn rejections(
        &self,
        origin: &ServerName,
        taking: Taking<'_>,
    ) -> Result<Vec<Rejection>, Refusal> {
        if taking.records.is_empty() {
            return Ok(Vec::new());
        }
        self.parts.store.rejections(origin, taking).await.map_err(|err| busy(&err))
    }

    fn remembered(&self, origin: &ServerName) -> Option<InboundStream> {
        self.streams.lock().unwrap_or_else(PoisonError::into_inner).get(origin).copied()
    }

    fn remember(&self, origin: &ServerName, stream: InboundStream) {
        let mut streams = self.streams.lock().unwrap_or_else(PoisonError::into_inner);
        if streams.len() >= MAX_STREAMS && !streams.contains_key(origin) {
            let any = streams.keys().next().cloned();
            any.and_then(|any| streams.remove(&any));
        }
        streams.insert(origin.clone(), stream);
    }

    fn forget(&self, origin: &ServerName) {
        self.streams.lock().unwrap_or_else(PoisonError::into_inner).remove(origin);
    }

    async fn read(&self, origin: &ServerName) -> Result<InboundStream, Refusal> {
        let stream = self.parts.store.stream(origin).await.map_err(|err| busy(&err))?;
        self.remember(origin, stream);
        Ok(stream)
    }

    async fn pass(
        &self,
        opened: &OpenedEnvelope,
        events: &[EventRecord],
        now: Timestamp,
    ) -> Result<(), Refusal> {
        let origin = &opened.header().origin;
        let admitted = {
            // Each admission is whole or has not begun.
            let mut guards = self.guards.lock().unwrap_or_else(PoisonError::into_inner);
            if guards.len() >= MAX_GUARDS && !guards.contains_key(origin) {
                guards.retain(|_, guard| !guard.is_spent(now));
            }
            if guards.len() >= MAX_GUARDS && !guards.contains_key(origin) {
                Err(EphemeralRefusal::TooMany)
            } else {
                let guard = guards.entry(origin.clone()).or_default();
                guard.admit(opened.digest(), opened.header().created, now)
            }
        };
        admitted.map_err(|err| {
            let code = match err {
                EphemeralRefusal::NotFresh { .. } => RefusalCode::NotFresh,
                EphemeralRefusal::Replayed => RefusalCode::Replayed,
                EphemeralRefusal::TooMany => RefusalCode::RateLimited,
            };
            Refusal::new(code, err.to_string())
        })?;
        self.parts.ephemerals.pass(origin, events).await;
        Ok(())
    }
}

/// A failure of ours: the peer keeps the envelope and comes again. The log has the reason, the peer
/// does not.
fn busy(err: &dyn std::error::Error) -> Refusal {
    tracing::warn!(error = %err, "an envelope could not be taken");
    let mut refusal = Refusal::new(RefusalCode::Overloaded, "try again later");
    refusal.retry_after = Some(1);
    refusal
}
