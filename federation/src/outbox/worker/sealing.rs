//! The key that a destination's envelopes are sealed with.

use posthouse_crypto::{
    seal::{SealError, SealingPublicKey},
    sign::SigningKey,
};
use posthouse_protocol::{
    federation::{
        envelope::{Addressing, Envelope, SharedKey},
        keys::KeyId,
    },
    time::Timestamp,
};
use rand_core::CryptoRng;

/// How long an encapsulated key is used, in milliseconds (10 min).
const LIFE_MS: u64 = 10 * 60_000;
/// For how many envelopes it is used: far fewer than would let two random salts of 16 bytes meet.
const MOST: u32 = 65_536;

/// How long each envelope has a key of its own after the destination refused one that had not, in
/// milliseconds (1 h).
const ALONE_MS: u64 = 3_600_000;

/// Seals to one destination, which may let envelopes share an encapsulated key.
#[derive(Default)]
pub(super) struct Sealing {
    used: Option<InUse>,
    /// Envelopes share no key before this.
    alone_until: Timestamp,
}

struct InUse {
    key: SharedKey,
    since: Timestamp,
    left: u32,
}

impl Sealing {
    /// Makes an envelope; `shares` says whether the destination opens such as share a key.
    ///
    /// # Errors
    /// [`SealError`] if the destination's key is of no use.
    pub(super) fn make(
        &mut self,
        addressing: Addressing,
        records: &[u8],
        (to, shares): (&SealingPublicKey, bool),
        from: &SigningKey,
        rng: &mut impl CryptoRng,
    ) -> Result<Envelope, SealError> {
        let now = addressing.created;
        if !shares || now < self.alone_until {
            self.used = None;
            return Envelope::make(addressing, records, to, from, rng);
        }
        let mut used = match self.used.take() {
            Some(used) if used.serves(KeyId::of_sealing(to), now) => used,
            _ => InUse { key: SharedKey::new(to, rng)?, since: now, left: MOST },
        };
        used.left -= 1;
        let envelope = Envelope::make_shared(addressing, records, &used.key, from, rng);
        self.used = Some(used);
        envelope
    }

    /// The destination did not understand an envelope that shares its key: it may have gone back to
    /// a version that knows none. What is in it must not fail for that.
    pub(super) fn refused(&mut self, now: Timestamp) {
        self.alone_until = now.plus_millis(ALONE_MS);
    }
}

impl InUse {
    /// A clock that was set back ends its life too.
    fn serves(&self, key: KeyId, now: Timestamp) -> bool {
        self.key.sealing_key() == key
            && self.left > 0
            && (self.since..self.since.plus_millis(LIFE_MS)).contains(&now)
    }
}

#[cfg(test)]
mod tests {
    use posthouse_crypto::seal::{Encapsulation, SealingKey};
    use posthouse_protocol::id::ServerName;
    use rand::{SeedableRng, rngs::StdRng};

    use super::*;

    const NOW: Timestamp = Timestamp(1_700_000_000_000);

    struct Bench {
        sealing: Sealing,
        from: SigningKey,
        rng: StdRng,
    }

    impl Bench {
        fn new() -> Self {
            let mut rng = StdRng::seed_from_u64(1);
            Self { sealing: Sealing::default(), from: SigningKey::generate(&mut rng), rng }
        }

        fn make(&mut self, to: &SealingKey, shares: bool, created: Timestamp) -> Envelope {
            let [origin, destination] =
                ["north.test", "south.test"].map(|name| ServerName::parse(name).unwrap());
            let addressing = Addressing { origin, destination, created, place: None };
            let to_public = (&to.public_key(), shares);
            let made = self.sealing.make(addressing, b"r", to_public, &self.from, &mut self.rng);
            let envelope = made.unwrap();
            assert_eq!(envelope.open(to).unwrap(), b"r");
            envelope
        }
    }

    #[test]
    fn a_key_is_shared_for_ten_minutes_and_by_those_who_can() {
        let mut bench = Bench::new();
        let keys = [Encapsulation::XWing, Encapsulation::X25519]
            .map(|kind| SealingKey::generate(kind, &mut bench.rng));
        let encapsulated = |envelope: &Envelope| envelope.header().encapsulated.clone();
        let first = bench.make(&keys[0], true, NOW);
        let second = bench.make(&keys[0], true, NOW.plus_millis(LIFE_MS - 1));
        assert_eq!(encapsulated(&first), encapsulated(&second));
        assert_ne!(first.header().salt, second.header().salt);
        let late = bench.make(&keys[0], true, NOW.plus_millis(LIFE_MS));
        assert_ne!(encapsulated(&late), encapsulated(&second));
        let set_back = bench.make(&keys[0], true, NOW);
        assert_ne!(encapsulated(&set_back), encapsulated(&late));
        let other_key = bench.make(&keys[1], true, NOW);
        assert_eq!(other_key.header().encapsulation, Encapsulation::X25519);
        let alone = [0; 2].map(|_| bench.make(&keys[1], false, NOW));
        assert!(alone.iter().all(|envelope| envelope.header().salt.is_none()));
        assert_ne!(encapsulated(&alone[0]), encapsulated(&alone[1]));
        bench.sealing.refused(NOW);
        assert_eq!(bench.make(&keys[1], true, NOW).header().salt, None);
        assert!(bench.make(&keys[1], true, NOW.plus_millis(ALONE_MS)).header().salt.is_some());
    }

    #[test]
    fn a_key_serves_a_bounded_number_of_envelopes() {
        let mut bench = Bench::new();
        let key = SealingKey::generate(Encapsulation::X25519, &mut bench.rng);
        let first = bench.make(&key, true, NOW);
        let used = bench.sealing.used.as_mut().unwrap();
        assert_eq!(used.left, MOST - 1);
        used.left = 1;
        let last = bench.make(&key, true, NOW);
        assert_eq!(last.header().encapsulated, first.header().encapsulated);
        assert_ne!(bench.make(&key, true, NOW).header().encapsulated, first.header().encapsulated);
    }
}
