//! What the federation asks of the homeserver: durable streams, effects of events, peers' keys.
//!
//! Each port says what one transaction holds together. [`memory`] is the reference that the
//! simulator and the tests run on; the SQL adapter has to do the same.

pub mod memory;

mod serving;

pub use serving::{
    Contacts, Handles, NoContacts, PeerGroups, Profiles, Published, Unanswered, UserKeys,
};

use std::sync::Arc;

use async_trait::async_trait;
use posthouse_protocol::{
    federation::{
        key_log::TrustedHead,
        receipt::{Outcome, Rejection},
        record::{EventRecord, Record},
        refusal::Refusal,
        stream::Lane,
    },
    id::ServerName,
    status::FailReason,
    time::Timestamp,
};
use posthouse_storage::{error::StoreError, leases::Fence, outbox::Settled};

use crate::engine::{
    outbound::{LogEntry, Mark, OutboundStream},
    receiver::InboundStream,
    sender::Alarm,
};

/// Entries of a lane's log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Loaded {
    /// The entries, in order and without a hole.
    pub entries: Vec<LogEntry>,
    /// The last index that the lane has.
    pub end: u64,
}

/// Streams to other servers. Every method but the lists takes the fence of the destination's lease.
///
/// # Errors
/// [`StoreError::Fenced`] if the fence is not the newest of its lease: nothing was written.
#[async_trait]
pub trait OutboundStore: Send + Sync {
    /// Destinations with entries that are not receipted, at most `limit`, in the order of their
    /// names after `after`. Needs no fence.
    async fn waiting(
        &self,
        after: Option<&ServerName>,
        limit: usize,
    ) -> Result<Vec<ServerName>, StoreError>;

    /// Destinations to which a stream exists, as [`OutboundStore::waiting`].
    async fn streams(
        &self,
        after: Option<&ServerName>,
        limit: usize,
    ) -> Result<Vec<ServerName>, StoreError>;

    /// The stream to `destination`; `fresh` is stored and given back if there is none.
    async fn stream(
        &self,
        fence: &Fence,
        destination: &ServerName,
        fresh: &OutboundStream,
    ) -> Result<OutboundStream, StoreError>;

    /// Gives the lane's next indices to what waits for the destination, in the order of acceptance,
    /// durably; what has expired meanwhile gets none and has failed. Then reads entries after
    /// `after`, at most `limit`, and at most `max_bytes` of events but at least one.
    async fn load(
        &self,
        fence: &Fence,
        destination: &ServerName,
        lane: Lane,
        range: LoadRange,
    ) -> Result<Loaded, StoreError>;

    /// In one transaction: the receipted mark moves; entries up to there are accepted; those that were
    /// rejected have failed for good and lose their content, so that they are rejected again if
    /// they must be sent again. Entries stay for the grace that restored destinations need.
    async fn settle(
        &self,
        fence: &Fence,
        destination: &ServerName,
        lane: Lane,
        settlement: Settlement<'_>,
    ) -> Result<Settled, StoreError>;

    /// The receipted mark goes back to `to`; no status changes.
    async fn rewind(
        &self,
        fence: &Fence,
        destination: &ServerName,
        lane: Lane,
        to: Mark,
    ) -> Result<(), StoreError>;

    /// The entry has failed for good, since the destination does not take it; it becomes
    /// `LogItem::Refused`.
    async fn refuse(
        &self,
        fence: &Fence,
        destination: &ServerName,
        lane: Lane,
        refused: Refused,
    ) -> Result<Settled, StoreError>;

    /// Messages that are not receipted and expired before `now` less [`EXPIRY_MARGIN_MS`] fail, at
    /// most [`FAIL_AT_ONCE`].
    async fn expire(
        &self,
        fence: &Fence,
        destination: &ServerName,
        now: Timestamp,
    ) -> Result<Settled, StoreError>;

    /// Messages that are not receipted fail, at most [`FAIL_AT_ONCE`]: the destination does not
    /// exist.
    async fn fail_all(
        &self,
        fence: &Fence,
        destination: &ServerName,
        now: Timestamp,
    ) -> Result<Settled, StoreError>;

    /// The lane's oldest entries that were receipted long ago and still are.
    async fn overdue(
        &self,
        fence: &Fence,
        destination: &ServerName,
        lane: Lane,
        range: Overdue,
    ) -> Result<Vec<LogEntry>, StoreError>;

    /// In one transaction: removes the entries up to `floor`, and stores it as the lane's floor.
    async fn forget(
        &self,
        fence: &Fence,
        destination: &ServerName,
        lane: Lane,
        floor: Mark,
    ) -> Result<(), StoreError>;

    /// Replaces the stream's state by its next incarnation.
    async fn open(
        &self,
        fence: &Fence,
        destination: &ServerName,
        next: &OutboundStream,
    ) -> Result<(), StoreError>;
}

/// How long after its expiry a message is called failed, in milliseconds (5 min): until then it may
/// be on its way, and the destination, whose clock decides, may have taken it.
pub const EXPIRY_MARGIN_MS: u64 = 5 * 60_000;
/// Most messages that fail in one step.
pub const FAIL_AT_ONCE: usize = 1_000;

/// An event that the destination refuses whenever it comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Refused {
    /// Its index.
    pub index: u64,
    /// Why.
    pub reason: FailReason,
    /// When it became clear.
    pub now: Timestamp,
}

/// What a receipt settles in a lane.
#[derive(Debug, Clone, Copy)]
pub struct Settlement<'a> {
    /// The new receipted mark.
    pub to: Mark,
    /// Indices of events that will never be taken, and why.
    pub rejected: &'a [(u64, Rejection)],
    /// When: the grace of the entries starts here.
    pub now: Timestamp,
}

/// Which entries' grace is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Overdue {
    /// Those that were receipted before this.
    pub before: Timestamp,
    /// At most so many.
    pub limit: usize,
}

/// What to read of a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LoadRange {
    /// After this index.
    pub after: u64,
    /// At most so many entries.
    pub limit: usize,
    /// At most so many bytes of events, but at least one entry.
    pub max_bytes: usize,
}

/// Records to be taken.
#[derive(Debug, Clone, Copy)]
pub struct Taking<'a> {
    /// The lane.
    pub lane: Lane,
    /// The sequence of the first record.
    pub first: u64,
    /// The records.
    pub records: &'a [Record],
}

/// Why records were not taken.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TakeError {
    /// Another envelope was faster: decide again with the state as it is now.
    #[error("the stream has moved")]
    Moved,
    /// The store failed; nothing was taken.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Streams from other servers.
#[async_trait]
pub trait InboundStore: Send + Sync {
    /// The stream from `origin`.
    async fn stream(&self, origin: &ServerName) -> Result<InboundStream, StoreError>;

    /// In one transaction, if the stream is still `expected`: it becomes `next`; every event takes
    /// effect or is rejected, and either is remembered, unless (origin, sender, id) has been decided
    /// before, in whatever incarnation, in which case the earlier decision stands; voids are
    /// recorded. Gives those of the events that stand rejected, now or by an earlier decision, with
    /// their sequences.
    ///
    /// # Errors
    /// [`TakeError::Moved`] if the stream is not `expected`.
    async fn take(
        &self,
        origin: &ServerName,
        expected: &InboundStream,
        next: &InboundStream,
        taking: Taking<'_>,
        now: Timestamp,
    ) -> Result<Vec<Rejection>, TakeError>;

    /// Those of the records that were rejected, now or earlier, with their sequences.
    async fn rejections(
        &self,
        origin: &ServerName,
        taking: Taking<'_>,
    ) -> Result<Vec<Rejection>, StoreError>;
}

/// Presence and typing of other regions: never stored.
#[async_trait]
pub trait EphemeralSink: Send + Sync {
    /// Passes events on to those who are connected and may see them; drops the rest.
    async fn pass(&self, origin: &ServerName, events: &[EventRecord]);
}

/// Posts an envelope to a peer: `POST /federation/v1/envelopes` over mutual TLS.
#[async_trait]
pub trait Transport: Send + Sync {
    /// The receipt's bytes.
    ///
    /// # Errors
    /// [`PostError`].
    async fn post(&self, peer: &ServerName, envelope: Vec<u8>) -> Result<Vec<u8>, PostError>;
}

/// Why there is no receipt.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PostError {
    /// The peer answered that it does not take the envelope.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The peer cannot be reached, or broke off.
    #[error("the peer cannot be reached: {0}")]
    Unreachable(String),
    /// The peer answered, and nobody can read the answer.
    #[error("the peer's answer cannot be read: {0}")]
    Unreadable(String),
    /// DNS says, now and not from memory, that the peer's name does not exist.
    #[error("the peer's name does not exist")]
    NoSuchName,
}

/// Why an attempt to deliver came to nothing, in words for an operator.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Setback {
    /// The destination's keys are not known, so that nothing can be sealed for it.
    #[error("{0}")]
    Keys(String),
    /// The destination speaks no version that is spoken here.
    #[error("it speaks no version that is spoken here")]
    NoCommonVersion,
    /// It has no key that can be sealed to.
    #[error("it has no key that can be sealed to")]
    NoSealingKey,
    /// It could not be reached, or broke off.
    #[error("{0}")]
    Unreachable(String),
    /// It was there, and refuses what it is sent.
    #[error("it refuses what it is sent: {0}")]
    Refused(Refusal),
    /// It answered with what is no receipt of its own for what was sent.
    #[error("its receipt is not believed: {0}")]
    NotBelieved(String),
    /// Its receipts are in order, and it still does not have what was sent.
    #[error("its receipts ({0:?}) do not move on")]
    NoProgress(Outcome),
}

/// Who hears of what becomes of a destination.
pub trait Observer: Send + Sync {
    /// Nothing is delivered to the destination any more: what waits for it is `queued`.
    fn unreachable(&self, destination: &ServerName, since: Timestamp, why: &Setback);
    /// A further attempt came to nothing.
    fn failed_again(&self, destination: &ServerName, why: &Setback);
    /// Nothing waits for the destination, and nobody looks for it any more: whether it answers will
    /// be seen when something does.
    fn at_rest(&self, destination: &ServerName);
    /// It answers again.
    fn reachable(&self, destination: &ServerName);
    /// It was sought and never reached before, and its keys are known now: it can be asked what may
    /// be lost.
    fn met(&self, destination: &ServerName);
    /// The operator must know.
    fn alarm(&self, destination: &ServerName, alarm: Alarm);
    /// Messages were accepted, or have failed: their senders are to be told. It is durable already.
    fn settled(&self, destination: &ServerName, settled: Settled);
}

/// Why a peer's keys cannot be told.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeysError {
    /// The peer's document is not believed: its keys changed in a way that the known ones do not
    /// allow.
    #[error("the peer's keys are not believed: {0}")]
    NotBelieved(String),
    /// What the peer publishes cannot be read.
    #[error("what the peer publishes cannot be read: {0}")]
    Unreadable(String),
    /// Nothing is known of the peer yet, and the document that it shows has expired.
    #[error("no keys are known, and the document that the peer serves has expired")]
    Expired,
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The peer cannot be asked now.
    #[error("the peer's keys cannot be fetched now: {0}")]
    Unreachable(String),
    /// Nothing is known of the peer, and DNS says that its name does not exist.
    #[error("the peer's name does not exist")]
    NoSuchName,
}

/// Peers' keys, fetched and followed along their key logs.
#[async_trait]
pub trait KeyDirectory: Send + Sync {
    /// The newest trusted entry of the peer's key log: what is known, or, if nothing is known or
    /// `renew` is set, what the peer says now. Implementations bound how often one peer is asked.
    async fn keys(&self, peer: &ServerName, renew: bool) -> Result<Arc<TrustedHead>, KeysError>;

    /// What the peer's document says that it takes; `None` if no document of it was seen since the
    /// start.
    fn facts(&self, peer: &ServerName) -> Option<Arc<PeerFacts>>;

    /// Whether any keys of the peer are known: whether it was ever reached.
    async fn is_known(&self, peer: &ServerName) -> Result<bool, StoreError>;
}

/// What is known of peers' keys, without asking anybody.
#[async_trait]
pub trait KnownKeys: Send + Sync {
    /// The newest trusted entry of the peer's key log that is kept; `None` if the peer was never
    /// reached.
    async fn head(&self, peer: &ServerName) -> Result<Option<TrustedHead>, StoreError>;
}

/// What a peer's document says that it takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PeerFacts {
    /// The most records in an envelope.
    pub max_records: usize,
    /// The largest envelope, in bytes.
    pub max_envelope: usize,
    /// Envelope versions that it speaks.
    pub envelope_versions: Vec<u8>,
    /// Payload versions that it reads.
    pub payload_versions: Vec<u8>,
    /// Whether it opens envelopes that share an encapsulated key.
    pub shares_encapsulation: bool,
    /// Until when the document holds.
    pub valid_until: Timestamp,
}

impl PeerFacts {
    /// Whether the document's time is over. What it says is still used, since the peer cannot be
    /// asked.
    pub fn is_expired(&self, now: Timestamp) -> bool {
        now > self.valid_until
    }
}

/// Asks a peer for what it publishes: `GET /federation/v1/server` and `/keylog` over mutual TLS that
/// proves the peer's name.
#[async_trait]
pub trait KeySource: Send + Sync {
    /// The signed document, as it came.
    ///
    /// # Errors
    /// [`FetchError`].
    async fn document(&self, peer: &ServerName) -> Result<Vec<u8>, FetchError>;

    /// The key log, as it came.
    ///
    /// # Errors
    /// [`FetchError`].
    async fn key_log(&self, peer: &ServerName) -> Result<Vec<u8>, FetchError>;
}

/// Why a peer said nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FetchError {
    /// It cannot be reached, broke off, or answered with an error.
    #[error("the peer cannot be asked: {0}")]
    Unreachable(String),
    /// DNS says, now and not from memory, that its name does not exist.
    #[error("the peer's name does not exist")]
    NoSuchName,
}
