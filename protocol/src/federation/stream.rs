//! Streams (docs/spec/federation-streams.md): lanes, incarnations, sequences, running hashes.

use core::fmt;

use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::cbor::{CborError, Reader, Writer};
use crate::id::ServerName;

/// A lane of a stream: a gap-free sequence of its own. Lanes are not ordered among each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Lane {
    /// Keys, devices, group state: first, since the rest may need it.
    Control,
    /// Messages.
    Messages,
    /// Receipts and other watermarks.
    Receipts,
    /// Everything large or late.
    Bulk,
}

impl Lane {
    /// All lanes, the most urgent first.
    pub const ALL: [Self; 4] = [Self::Control, Self::Messages, Self::Receipts, Self::Bulk];

    /// The lane's number on the wire, 1 to 4. Number 0 is the ephemeral lane, which has no
    /// sequence.
    pub fn number(self) -> u8 {
        match self {
            Self::Control => 1,
            Self::Messages => 2,
            Self::Receipts => 3,
            Self::Bulk => 4,
        }
    }

    /// The lane of a number.
    pub fn from_number(number: u64) -> Option<Self> {
        Self::ALL.into_iter().find(|lane| u64::from(lane.number()) == number)
    }
}

/// One value for each lane.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PerLane<T>([T; 4]);

impl<T> PerLane<T> {
    /// Makes each lane's value.
    pub fn from_fn(mut value: impl FnMut(Lane) -> T) -> Self {
        Self(Lane::ALL.map(&mut value))
    }

    /// The lanes with their values.
    pub fn iter(&self) -> impl Iterator<Item = (Lane, &T)> {
        Lane::ALL.into_iter().zip(&self.0)
    }

    /// The value of a lane.
    pub fn of(&self, lane: Lane) -> &T {
        let [control, messages, receipts, bulk] = &self.0;
        match lane {
            Lane::Control => control,
            Lane::Messages => messages,
            Lane::Receipts => receipts,
            Lane::Bulk => bulk,
        }
    }

    /// The value of a lane, to be changed.
    pub fn of_mut(&mut self, lane: Lane) -> &mut T {
        let [control, messages, receipts, bulk] = &mut self.0;
        match lane {
            Lane::Control => control,
            Lane::Messages => messages,
            Lane::Receipts => receipts,
            Lane::Bulk => bulk,
        }
    }
}

/// One life of a stream. A server whose database was restored or doubled opens the next one.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Incarnation {
    /// Rises with every life; the first is 1.
    pub number: u64,
    /// Drawn when the incarnation is opened. The same number with another random part means that
    /// two servers hold one identity.
    pub random: [u8; 16],
}

impl Incarnation {
    /// Reads `[number, random]`.
    ///
    /// # Errors
    /// [`CborError`], also for the number 0.
    pub fn read(reader: &mut Reader<'_>) -> Result<Self, CborError> {
        reader.array_of(2)?;
        let number = reader.uint()?;
        if number == 0 {
            return Err(reader.invalid("incarnations are numbered from 1"));
        }
        Ok(Self { number, random: reader.fixed()? })
    }

    /// Writes `[number, random]`.
    pub fn write(&self, writer: &mut Writer) {
        writer.array(2).uint(self.number).bytes(&self.random);
    }
}

impl fmt::Debug for Incarnation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, ..] = self.random;
        write!(f, "{}/{a:02x}{b:02x}", self.number)
    }
}

/// A hash over everything that a lane carried, in order. Equal hashes at equal sequences prove that
/// nothing was lost, added or exchanged.
///
/// ```text
/// start:  SHA-256("posthouse lane v1" ‖ 00 ‖ origin ‖ 00 ‖ destination ‖ 00
///                 ‖ incarnation number (8) ‖ incarnation random (16) ‖ lane number (1))
/// event:  SHA-256(hash before (32) ‖ 01 ‖ sequence (8) ‖ sender (16, zeros if absent) ‖ id (16))
/// void:   SHA-256(hash before (32) ‖ 02 ‖ from (8) ‖ to (8))
/// ```
/// Numbers are big-endian. The sender's account is its UUID alone: its server is the origin.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct RunningHash(pub [u8; 32]);

impl RunningHash {
    /// The hash before a lane's sequence 1.
    pub fn start(
        origin: &ServerName,
        destination: &ServerName,
        incarnation: &Incarnation,
        lane: Lane,
    ) -> Self {
        let mut hash = Sha256::new_with_prefix(b"posthouse lane v1\0");
        hash.update(origin.as_str());
        hash.update([0]);
        hash.update(destination.as_str());
        hash.update([0]);
        hash.update(incarnation.number.to_be_bytes());
        hash.update(incarnation.random);
        hash.update([lane.number()]);
        Self(hash.finalize().into())
    }

    /// The hash after an event.
    #[must_use]
    pub fn event(&self, sequence: u64, sender: Option<Uuid>, id: Uuid) -> Self {
        let mut hash = Sha256::new_with_prefix(self.0);
        hash.update([1]);
        hash.update(sequence.to_be_bytes());
        hash.update(sender.unwrap_or(Uuid::nil()).as_bytes());
        hash.update(id.as_bytes());
        Self(hash.finalize().into())
    }

    /// The hash after a void that covers the sequences `from` to `to`.
    #[must_use]
    pub fn void(&self, from: u64, to: u64) -> Self {
        let mut hash = Sha256::new_with_prefix(self.0);
        hash.update([2]);
        hash.update(from.to_be_bytes());
        hash.update(to.to_be_bytes());
        Self(hash.finalize().into())
    }
}

impl fmt::Debug for RunningHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for byte in self.0.iter().take(4) {
            write!(f, "{byte:02x}")?;
        }
        f.write_str("…")
    }
}

/// How far a lane has got.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Position {
    /// Everything up to this sequence; 0 is nothing.
    pub through: u64,
    /// The running hash there.
    pub hash: RunningHash,
}

impl Position {
    /// Before sequence 1.
    pub fn start(
        origin: &ServerName,
        destination: &ServerName,
        incarnation: &Incarnation,
        lane: Lane,
    ) -> Self {
        Self { through: 0, hash: RunningHash::start(origin, destination, incarnation, lane) }
    }

    /// Reads `[through, hash]`.
    ///
    /// # Errors
    /// [`CborError`].
    pub fn read(reader: &mut Reader<'_>) -> Result<Self, CborError> {
        reader.array_of(2)?;
        Ok(Self { through: reader.uint()?, hash: RunningHash(reader.fixed()?) })
    }

    /// Writes `[through, hash]`.
    pub fn write(&self, writer: &mut Writer) {
        writer.array(2).uint(self.through).bytes(&self.hash.0);
    }
}

/// Where a receiver stands in a stream, or is expected to stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Standing {
    /// The highest incarnation of which something was taken.
    pub incarnation: Incarnation,
    /// How far each lane has got in it.
    pub lanes: PerLane<Position>,
}

impl Standing {
    /// The start of an incarnation.
    pub fn start(origin: &ServerName, destination: &ServerName, incarnation: Incarnation) -> Self {
        let lanes = |lane| Position::start(origin, destination, &incarnation, lane);
        Self { incarnation, lanes: PerLane::from_fn(lanes) }
    }

    /// Whether this standing is at least `other`: the same life, no lane behind, and the same hash
    /// where a lane is just as far.
    pub fn reaches(&self, other: &Self) -> bool {
        self.incarnation == other.incarnation
            && Lane::ALL.into_iter().all(|lane| {
                let (mine, theirs) = (self.lanes.of(lane), other.lanes.of(lane));
                mine.through > theirs.through || mine == theirs
            })
    }
}

/// Writes `[control, messages, receipts, bulk]`.
pub(super) fn write_lanes(lanes: &PerLane<Position>, writer: &mut Writer) {
    let writer = writer.array(Lane::ALL.len());
    for (_, position) in lanes.iter() {
        position.write(writer);
    }
}

/// Reads `[control, messages, receipts, bulk]`.
pub(super) fn read_lanes(reader: &mut Reader<'_>) -> Result<PerLane<Position>, CborError> {
    reader.array_of(Lane::ALL.len())?;
    let mut lanes = PerLane::default();
    for lane in Lane::ALL {
        *lanes.of_mut(lane) = Position::read(reader)?;
    }
    Ok(lanes)
}
