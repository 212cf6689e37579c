//! The receiving end, honest (federation-streams.md §The receiving end).

use std::collections::{BTreeMap, VecDeque};

use super::{
    cbor::Malformed,
    formats::{
        envelope::{Envelope, Header, Place},
        receipt::{Rejection, outcome},
        records::{self, Enclosed, Record},
    },
    keys::verifies,
    lanes::{Hash, Incarnation, Position, Positions, Uuid, sha256, starts},
    refusals::{self, Code},
    seal::SealingKey,
};

/// Least time between two incarnations, in milliseconds.
pub const MINUTE: u64 = 60_000;
/// How far `created` of an ephemeral or query may be off, in milliseconds.
pub const FRESH: u64 = 5 * 60_000;
/// Most digests of ephemerals that are remembered of an origin.
pub const MAX_DIGESTS: usize = 16_384;
/// How far `created` of an ephemeral may lie before the newest of its origin, in milliseconds.
pub const RECENT: u64 = 10_000;

/// An envelope whose form is right.
#[derive(Debug)]
pub struct Arrived {
    envelope: Envelope,
    /// Its header.
    pub header: Header,
    /// Its digest.
    pub digest: Hash,
}

impl Arrived {
    /// Reads an envelope.
    ///
    /// # Errors
    /// [`Malformed`].
    pub fn read(bytes: &[u8]) -> Result<Self, Malformed> {
        let envelope = Envelope::read(bytes)?;
        let header = Header::read(&envelope.header)?;
        let digest = envelope.digest();
        Ok(Self { envelope, header, digest })
    }

    /// Whether it is for `me`, from one of `names`, and in a version that is spoken.
    ///
    /// # Errors
    /// The refusal.
    pub fn is_addressed(&self, me: &str, names: &[String]) -> Result<(), Code> {
        let Header { version, origin, destination, .. } = &self.header;
        if *version != 1 {
            Err(refusals::UNSUPPORTED_VERSION)
        } else if destination != me {
            Err(refusals::WRONG_DESTINATION)
        } else if names.contains(origin) {
            Ok(())
        } else {
            Err(refusals::WRONG_ORIGIN)
        }
    }

    /// Checks signature and seal; the records.
    ///
    /// # Errors
    /// The refusal.
    pub fn open(&self, signer: &[u8; 32], keys: &[SealingKey]) -> Result<Vec<Record>, Code> {
        let Envelope { header, sealed, signature } = &self.envelope;
        if !verifies(signer, &Envelope::signed_text(header, sealed), signature) {
            return Err(refusals::BAD_SIGNATURE);
        }
        let key = keys
            .iter()
            .find(|key| key.id() == self.header.sealing_key && key.kem() == self.header.kem);
        let encapsulated = (self.header.encapsulated.as_slice(), self.header.salt);
        let opened = key.and_then(|key| key.open(encapsulated, header, sealed));
        let opened = opened.ok_or(refusals::UNOPENABLE)?;
        let place = self.header.place.as_ref().map(|place| (place.first, place.count));
        records::read(&opened, place).map_err(|Malformed(_)| refusals::MALFORMED)
    }
}

/// What the destination keeps of an origin.
#[derive(Debug, Default)]
pub struct Receiver {
    standing: Option<Standing>,
    verdicts: BTreeMap<(Option<Uuid>, Uuid), Option<u64>>,
    digests: VecDeque<(u64, Hash)>,
    newest: u64,
}

#[derive(Debug, Clone)]
struct Standing {
    incarnation: Incarnation,
    since: u64,
    positions: Positions,
}

/// What became of an envelope.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Taken {
    /// One of [`outcome`].
    pub outcome: u64,
    /// Rejections among its events.
    pub rejections: Vec<Rejection>,
}

/// The two ends of a stream, and when.
#[derive(Debug, Clone, Copy)]
pub struct Ends<'a> {
    /// Who sends.
    pub origin: &'a str,
    /// Who receives.
    pub destination: &'a str,
    /// The destination's clock, in milliseconds.
    pub now: u64,
    /// Least time between two incarnations, in milliseconds ([`MINUTE`], but for tests).
    pub minute: u64,
}

/// Decides about an event: `None` takes it, a reason rejects it.
pub type Judge<'a> = dyn FnMut(&Enclosed) -> Option<u64> + 'a;

impl Receiver {
    /// Where the destination stands.
    pub fn standing(&self) -> Option<(Incarnation, Positions)> {
        self.standing.as_ref().map(|standing| (standing.incarnation, standing.positions))
    }

    /// Takes an envelope of lane 0.
    ///
    /// # Errors
    /// The refusal (federation-envelopes.md §Ephemerals).
    pub fn ephemeral(
        &mut self,
        arrived: &Arrived,
        records: &[Record],
        now: u64,
        judge: &mut Judge<'_>,
    ) -> Result<Taken, Code> {
        let created = arrived.header.created;
        let newest = self.newest.max(created);
        if created.abs_diff(now) > FRESH || created.saturating_add(RECENT) <= newest {
            return Err(refusals::NOT_FRESH);
        }
        if self.digests.iter().any(|(_, digest)| *digest == arrived.digest) {
            return Err(refusals::REPLAYED);
        }
        if self.digests.len() >= MAX_DIGESTS {
            return Err(refusals::RATE_LIMITED);
        }
        self.newest = newest;
        self.digests.retain(|(created, _)| created.saturating_add(RECENT) > newest);
        self.digests.push_back((created, arrived.digest));
        for record in records {
            if let Record::Event(event) = record {
                judge(event);
            }
        }
        Ok(Taken { outcome: outcome::ACCEPTED, rejections: Vec::new() })
    }

    /// Takes an envelope of a lane from 1 to 4.
    pub fn sequenced(
        &mut self,
        (lane, place): (u64, &Place),
        records: &[Record],
        ends: Ends<'_>,
        judge: &mut Judge<'_>,
    ) -> Taken {
        let refused = |outcome| Taken { outcome, rejections: Vec::new() };
        let question = place.count == 0 && place.first == 1 && place.resumes.is_none();
        let mut standing = match &self.standing {
            Some(standing) if place.incarnation.number < standing.incarnation.number => {
                return refused(outcome::STALE);
            }
            Some(standing) if place.incarnation.number == standing.incarnation.number => {
                if place.incarnation.random != standing.incarnation.random {
                    return refused(outcome::CONFLICT);
                }
                standing.clone()
            }
            None if question => return refused(outcome::ACCEPTED),
            before => match opened(before.as_ref(), place, records, ends) {
                Ok(standing) => standing,
                Err(outcome) => return refused(outcome),
            },
        };
        let taken = self.take(&mut standing, (lane, place), records, judge);
        if taken.outcome == outcome::ACCEPTED {
            self.standing = Some(standing);
        }
        taken
    }

    fn take(
        &mut self,
        standing: &mut Standing,
        (lane, place): (u64, &Place),
        records: &[Record],
        judge: &mut Judge<'_>,
    ) -> Taken {
        let refused = |outcome| Taken { outcome, rejections: Vec::new() };
        let lane = usize::try_from(lane.saturating_sub(1)).unwrap_or_default();
        let Some(at) = standing.positions.get_mut(lane) else { return refused(outcome::GAP) };
        let last = place.first - 1 + place.count;
        if place.first - 1 > at.through {
            return refused(outcome::GAP);
        }
        let mut known = Position { through: place.first - 1, hash: place.before };
        if last >= at.through {
            let mut reached = known;
            for record in records {
                if reached.through >= at.through {
                    break;
                }
                reached = record.after(reached);
            }
            if reached != *at {
                return refused(outcome::DIVERGED);
            }
        }
        let mut rejections = Vec::new();
        for record in records {
            let next = record.after(known);
            if let Record::Event(event) = record {
                let key = (event.sender, event.id);
                let old = self.verdicts.get(&key).copied();
                // Below the position, an event that is not remembered was taken long ago.
                let verdict = match old {
                    Some(verdict) => verdict,
                    None if next.through <= at.through => None,
                    None => *self.verdicts.entry(key).or_insert_with(|| judge(event)),
                };
                let sequence = next.through;
                rejections.extend(verdict.map(|reason| Rejection {
                    sequence,
                    id: event.id,
                    reason,
                }));
            }
            known = next;
        }
        if last > at.through {
            *at = known;
        }
        Taken { outcome: outcome::ACCEPTED, rejections }
    }
}

/// Step 3: whether a higher incarnation may be opened; the standing at its start.
fn opened(
    before: Option<&Standing>,
    place: &Place,
    records: &[Record],
    ends: Ends<'_>,
) -> Result<Standing, u64> {
    let reaches = |(incarnation, positions): &(Incarnation, Positions)| {
        before.is_some_and(|standing| {
            standing.incarnation == *incarnation
                && standing
                    .positions
                    .iter()
                    .zip(positions)
                    .all(|(ours, theirs)| ours.through > theirs.through || ours == theirs)
        })
    };
    if !place.resumes.as_ref().is_none_or(reaches) {
        Err(outcome::BEHIND)
    } else if place.first != 1 || records.is_empty() {
        Err(outcome::GAP)
    } else if before.is_some_and(|standing| ends.now.saturating_sub(standing.since) < ends.minute) {
        Err(outcome::TOO_SOON)
    } else {
        let incarnation = place.incarnation;
        let positions = starts(ends.origin, ends.destination, incarnation);
        Ok(Standing { incarnation, since: ends.now, positions })
    }
}

/// A hash that no lane has.
pub fn nonsense(label: &str) -> Hash {
    sha256(&[b"conformance nonsense", label.as_bytes()])
}
