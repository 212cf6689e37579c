//! Running hashes of lanes (federation-streams.md §Running hash).

use sha2::{Digest as _, Sha256};

/// A SHA-256 hash.
pub type Hash = [u8; 32];
/// A UUID's bytes.
pub type Uuid = [u8; 16];

/// A stream's life (federation-streams.md §Incarnations).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Incarnation {
    /// From 1; only rises.
    pub number: u64,
    /// Drawn when it was opened.
    pub random: Uuid,
}

/// How far a lane is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Position {
    /// The last sequence.
    pub through: u64,
    /// The running hash there.
    pub hash: Hash,
}

/// The positions of the lanes control, messages, receipts and bulk.
pub type Positions = [Position; 4];

/// SHA-256 over parts that are joined.
pub fn sha256(parts: &[&[u8]]) -> Hash {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update(part);
    }
    hash.finalize().into()
}

/// Where a lane starts.
pub fn start(origin: &str, destination: &str, incarnation: Incarnation, lane: u64) -> Position {
    let lane = u8::try_from(lane).unwrap_or_default();
    let hash = sha256(&[
        b"posthouse lane v1\0",
        origin.as_bytes(),
        b"\0",
        destination.as_bytes(),
        b"\0",
        &incarnation.number.to_be_bytes(),
        &incarnation.random,
        &[lane],
    ]);
    Position { through: 0, hash }
}

/// Where all four lanes start.
pub fn starts(origin: &str, destination: &str, incarnation: Incarnation) -> Positions {
    [1, 2, 3, 4].map(|lane| start(origin, destination, incarnation, lane))
}

impl Position {
    /// One event further.
    #[must_use]
    pub fn event(self, sender: Option<Uuid>, id: Uuid) -> Self {
        let through = self.through.saturating_add(1);
        let sender = sender.unwrap_or_default();
        let hash = sha256(&[&self.hash, &[1], &through.to_be_bytes(), &sender, &id]);
        Self { through, hash }
    }

    /// A void further.
    #[must_use]
    pub fn void(self, from: u64, to: u64) -> Self {
        let hash = sha256(&[&self.hash, &[2], &from.to_be_bytes(), &to.to_be_bytes()]);
        Self { through: to, hash }
    }
}
