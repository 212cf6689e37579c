//! The process's source of random numbers, opened once by the composition root and handed to
//! whoever needs it.

use std::sync::{Mutex, PoisonError};

use posthouse_protocol::time::Timestamp;
use rand::{Rng, SeedableRng, rngs::StdRng};
use uuid::{Builder, Uuid};

/// A cryptographically secure generator that many tasks share.
pub struct Random(Mutex<StdRng>);

impl Random {
    /// Seeds the generator; the seed must come from the system, or from a test.
    pub fn from_seed(seed: [u8; 32]) -> Self {
        Self(Mutex::new(StdRng::from_seed(seed)))
    }

    /// Random bytes.
    pub fn bytes<const N: usize>(&self) -> [u8; N] {
        let mut bytes = [0; N];
        // The generator has no state that a panic could leave half changed.
        self.0.lock().unwrap_or_else(PoisonError::into_inner).fill_bytes(&mut bytes);
        bytes
    }

    /// A random UUID (RFC 9562 §5.4).
    pub fn uuid(&self) -> Uuid {
        Builder::from_random_bytes(self.bytes()).into_uuid()
    }

    /// A UUID that sorts by its time (RFC 9562 §5.7).
    pub fn uuid_at(&self, now: Timestamp) -> Uuid {
        Builder::from_unix_timestamp_millis(now.0, &self.bytes()).into_uuid()
    }
}
