//! Presence and typing: unsequenced, coalesced, droppable, and never in the way of a message.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use posthouse_protocol::{
    federation::{envelope::EnvelopeDigest, limits::FRESHNESS_MS},
    id::ConversationId,
    time::Timestamp,
};
use uuid::Uuid;

use super::outbound::RECORD_OVERHEAD;

/// Most ephemerals that wait for one destination.
pub const MAX_WAITING: usize = 256;
/// How long an ephemeral is worth sending, in milliseconds (10 s).
pub const WORTH_MS: u64 = 10_000;
/// How far an ephemeral envelope may lie behind the newest of its origin, by the origin's clock, in
/// milliseconds (10 s): what is older is refused, so that it need not be remembered.
pub const BEHIND_MS: u64 = 10_000;
/// Most ephemeral envelopes that are remembered per origin, to refuse their repetition. An origin
/// that sends more within [`BEHIND_MS`] is refused, not forgotten.
pub const MAX_REMEMBERED: usize = 16_384;

/// What a newer ephemeral replaces.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EphemeralKey {
    /// The kind's number.
    pub kind: u16,
    /// Whose.
    pub sender: Uuid,
    /// Where, if it belongs to a conversation.
    pub conversation: Option<ConversationId>,
}

/// An event that is sent at once or never.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ephemeral {
    /// A newer one of the same key replaces one that waits.
    pub key: EphemeralKey,
    /// The sender's account here.
    pub sender: Uuid,
    /// Its id.
    pub id: Uuid,
    /// The event, encoded.
    pub event: Bytes,
}

/// What an envelope has room for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Room {
    /// At most so many records.
    pub records: usize,
    /// At most so many bytes of them.
    pub bytes: usize,
}

/// Ephemerals on their way to one destination.
#[derive(Debug, Default)]
pub struct EphemeralOutbox {
    waiting: BTreeMap<EphemeralKey, (Timestamp, Ephemeral)>,
    in_flight: bool,
}

impl EphemeralOutbox {
    /// Adds one, replacing an older one of the same key. Gives `false` if it was dropped because
    /// too many wait.
    pub fn push(&mut self, ephemeral: Ephemeral, now: Timestamp) -> bool {
        if self.waiting.len() >= MAX_WAITING && !self.waiting.contains_key(&ephemeral.key) {
            self.drop_worthless(now);
            if self.waiting.len() >= MAX_WAITING {
                return false;
            }
        }
        self.waiting.insert(ephemeral.key, (now, ephemeral));
        true
    }

    /// Takes what is to be sent now: what waits and fits into an envelope of `room`, if nothing is in
    /// flight and the destination answers; nothing, and what waits is dropped, if it does not.
    pub fn take(&mut self, reachable: bool, room: Room, now: Timestamp) -> Vec<Ephemeral> {
        if !reachable {
            self.waiting.clear();
            return Vec::new();
        }
        if self.in_flight {
            return Vec::new();
        }
        self.drop_worthless(now);
        let (mut taken, mut bytes) = (Vec::new(), 0_usize);
        while let Some((key, (at, ephemeral))) = self.waiting.pop_first() {
            let size = ephemeral.event.len().saturating_add(RECORD_OVERHEAD);
            bytes = bytes.saturating_add(size);
            if size > room.bytes {
                // It would never fit.
                bytes -= size;
            } else if taken.len() < room.records && bytes <= room.bytes {
                taken.push(ephemeral);
            } else {
                self.waiting.insert(key, (at, ephemeral));
                break;
            }
        }
        self.in_flight = !taken.is_empty();
        taken
    }

    /// The last one sent was answered, or was lost; nobody asks which.
    pub fn done(&mut self) {
        self.in_flight = false;
    }

    /// How many wait.
    pub fn len(&self) -> usize {
        self.waiting.len()
    }

    /// Whether none waits.
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    fn drop_worthless(&mut self, now: Timestamp) {
        self.waiting.retain(|_, (at, ..)| now.0.abs_diff(at.0) < WORTH_MS);
    }
}

/// Why an ephemeral envelope is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum EphemeralRefusal {
    /// Its clock is too far from ours, or it is older than another one of the same origin.
    #[error("the time here is {now} ms, the newest of yours {newest} ms, this one's {created} ms")]
    NotFresh {
        /// Ours, in milliseconds.
        now: u64,
        /// The newest that was taken.
        newest: u64,
        /// What it says.
        created: u64,
    },
    /// It came before.
    #[error("the ephemeral was repeated")]
    Replayed,
    /// The origin sends more than can be remembered.
    #[error("too many ephemerals")]
    TooMany,
}

/// Remembers the ephemeral envelopes of one origin.
#[derive(Debug, Default)]
pub struct EphemeralGuard {
    /// The newest `created` that passed.
    newest: Timestamp,
    /// Those that passed and are not refused for their age yet.
    known: BTreeSet<(Timestamp, EnvelopeDigest)>,
}

impl EphemeralGuard {
    /// Lets an envelope pass once, if `created` lies within [`FRESHNESS_MS`] of `now` and less than
    /// [`BEHIND_MS`] behind the newest one.
    ///
    /// # Errors
    /// [`EphemeralRefusal`].
    pub fn admit(
        &mut self,
        digest: EnvelopeDigest,
        created: Timestamp,
        now: Timestamp,
    ) -> Result<(), EphemeralRefusal> {
        let fresh = created.0.abs_diff(now.0) <= FRESHNESS_MS;
        if !fresh || created.plus_millis(BEHIND_MS) <= self.newest {
            let (now, newest, created) = (now.0, self.newest.0, created.0);
            return Err(EphemeralRefusal::NotFresh { now, newest, created });
        }
        if self.known.contains(&(created, digest)) {
            return Err(EphemeralRefusal::Replayed);
        }
        // Only what would be refused for its age is forgotten.
        let newest = self.newest.max(created);
        while self.known.first().is_some_and(|(at, _)| at.plus_millis(BEHIND_MS) <= newest) {
            self.known.pop_first();
        }
        self.newest = newest;
        if self.known.len() >= MAX_REMEMBERED {
            return Err(EphemeralRefusal::TooMany);
        }
        self.known.insert((created, digest));
        Ok(())
    }

    /// Whether nothing that it remembers could pass at `now` without it.
    pub fn is_spent(&self, now: Timestamp) -> bool {
        self.newest.plus_millis(FRESHNESS_MS) < now
    }

    /// How many are remembered.
    pub fn len(&self) -> usize {
        self.known.len()
    }

    /// Whether none is remembered.
    pub fn is_empty(&self) -> bool {
        self.known.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use proptest::prelude::*;

    use super::*;

    const NOW: Timestamp = Timestamp(1_700_000_000_000);

    const ROOM: Room = Room { records: 1_000, bytes: 100_000 };

    fn digest(n: u64) -> EnvelopeDigest {
        let mut bytes = [0; 32];
        bytes[..8].copy_from_slice(&n.to_be_bytes());
        EnvelopeDigest(bytes)
    }

    fn ephemeral(sender: u128, id: u128) -> Ephemeral {
        let (sender, id) = (Uuid::from_u128(sender), Uuid::from_u128(id));
        let key = EphemeralKey { kind: 4, sender, conversation: None };
        Ephemeral { key, sender, id, event: Bytes::new() }
    }

    #[test]
    fn newer_replaces_older_and_the_number_is_bounded() {
        let mut outbox = EphemeralOutbox::default();
        for n in 0..1_000 {
            outbox.push(ephemeral(n % 400, n), NOW);
        }
        assert_eq!(outbox.len(), MAX_WAITING);
        let taken = outbox.take(true, ROOM, NOW);
        assert_eq!(taken.len(), MAX_WAITING);
        assert_eq!(taken[0].id, Uuid::from_u128(800), "the newest of its key");
        outbox.push(ephemeral(1, 0), NOW);
        assert!(outbox.take(true, ROOM, NOW).is_empty(), "one envelope at a time");
        outbox.done();
        assert!(
            outbox.take(true, ROOM, NOW.plus_millis(WORTH_MS)).is_empty(),
            "no longer worth it"
        );
        outbox.push(ephemeral(1, 0), NOW);
        assert!(outbox.take(false, ROOM, NOW).is_empty());
        assert!(outbox.is_empty(), "dropped while the peer is away");
    }

    #[test]
    fn an_envelope_takes_what_fits() {
        let mut outbox = EphemeralOutbox::default();
        let sized = |n, size| Ephemeral { event: Bytes::from(vec![0; size]), ..ephemeral(n, n) };
        for (n, size) in [(1, 400), (2, 400), (3, 2_000), (4, 400)] {
            outbox.push(sized(n, size), NOW);
        }
        let room = Room { records: 10, bytes: 1_000 };
        let ids = |taken: Vec<Ephemeral>| taken.iter().map(|e| e.id.as_u128()).collect::<Vec<_>>();
        assert_eq!(ids(outbox.take(true, room, NOW)), [1, 2]);
        outbox.done();
        assert_eq!(ids(outbox.take(true, room, NOW)), [4], "the large one is dropped");
        outbox.done();
        outbox.push(sized(1, 0), NOW);
        outbox.push(sized(2, 0), NOW);
        assert_eq!(ids(outbox.take(true, Room { records: 1, ..room }, NOW)), [1]);
    }

    proptest! {
        /// However clocks and arrivals mix, no envelope passes twice, and memory is bounded.
        #[test]
        fn no_envelope_passes_twice(
            arrivals in prop::collection::vec((0_u64..40, 0_u64..1_000_000, 0_u64..900_000), 1..200),
        ) {
            let mut guard = EphemeralGuard::default();
            let mut passed = HashSet::new();
            let mut now = NOW;
            for (n, created, step) in arrivals {
                // An envelope's `created` is part of it, so of its digest.
                let created = NOW.plus_millis(created / 1_000 * 1_000);
                let name = digest((n << 32) | (created.0 % (1 << 32)));
                now = now.plus_millis(step / 100);
                if guard.admit(name, created, now).is_ok() {
                    prop_assert!(passed.insert(name));
                }
                prop_assert!(guard.len() <= MAX_REMEMBERED && guard.known.len() <= MAX_REMEMBERED);
            }
        }
    }

    #[test]
    fn a_flood_is_refused_not_forgotten() {
        let mut guard = EphemeralGuard::default();
        for n in 0..MAX_REMEMBERED as u64 {
            assert_eq!(guard.admit(digest(n), NOW, NOW), Ok(()));
        }
        assert_eq!(guard.admit(digest(u64::MAX), NOW, NOW), Err(EphemeralRefusal::TooMany));
        assert_eq!(guard.admit(digest(0), NOW, NOW), Err(EphemeralRefusal::Replayed));
        let later = NOW.plus_millis(FRESHNESS_MS + 1);
        let late = guard.admit(digest(0), NOW, later);
        assert!(matches!(late, Err(EphemeralRefusal::NotFresh { .. })), "{late:?}");
        assert_eq!(guard.admit(digest(1), later, later), Ok(()));
        assert_eq!(guard.len(), 1);
    }
}
