//! The chains between two turns of the ratchet, and the keys of single messages.

use crate::e2ee::{
    cbor::{CborError, Reader, Writer},
    identity::read_key,
    primitives::{
        curve::PublicKey,
        kdf::{NO_SALT, hkdf, hmac},
    },
    secret::Secret,
    session::{
        DecryptError,
        skipped::{MAX_JUMP, SkippedKeys},
    },
};

const MESSAGE_KEYS: &[u8] = b"WhisperMessageKeys";

/// The keys of one message.
pub(super) struct MessageKeys {
    pub(super) cipher: Secret<32>,
    pub(super) mac: Secret<32>,
    pub(super) iv: Secret<16>,
}

impl MessageKeys {
    /// HKDF(post-quantum key or no salt, seed, "WhisperMessageKeys") -> cipher | mac | iv.
    pub(super) fn derive(seed: &Secret<32>, pq_key: Option<&Secret<32>>) -> Self {
        let salt = pq_key.map_or(&NO_SALT, Secret::expose);
        let keys: Secret<80> = hkdf(salt, seed.expose(), &[MESSAGE_KEYS]);
        Self { cipher: keys.part::<0, 32>(), mac: keys.part::<32, 32>(), iv: keys.part::<64, 16>() }
    }
}

/// A chain key and how many messages it has given.
#[derive(Clone, Debug)]
pub(super) struct ChainKey {
    key: Secret<32>,
    counter: u32,
}

impl ChainKey {
    pub(super) fn new(key: Secret<32>) -> Self {
        Self { key, counter: 0 }
    }

    pub(super) fn counter(&self) -> u32 {
        self.counter
    }

    /// The place and the seed of the next message; `None` after 2^32 - 1 of them.
    pub(super) fn step(&mut self) -> Option<(u32, Secret<32>)> {
        let place = self.counter;
        self.counter = place.checked_add(1)?;
        let seed = hmac(self.key.expose(), &[&[1]]);
        self.key = hmac(self.key.expose(), &[&[2]]);
        Some((place, seed))
    }

    pub(super) fn write(&self, writer: &mut Writer) {
        writer.array(2);
        writer.bytes(self.key.expose());
        writer.uint(u64::from(self.counter));
    }

    pub(super) fn read(reader: &mut Reader<'_>) -> Result<Self, CborError> {
        reader.fixed_array(2)?;
        Ok(Self { key: Secret::new(reader.exact()?), counter: reader.u32()? })
    }
}

/// The chain of one ratchet key of the peer. Seeds are kept for skipped messages, not keys: the
/// post-quantum key comes with the message.
#[derive(Clone, Debug)]
pub(super) struct ReceivingChain {
    ratchet_key: PublicKey,
    chain: ChainKey,
    skipped: SkippedKeys,
}

impl ReceivingChain {
    pub(super) fn new(ratchet_key: PublicKey, chain: ChainKey) -> Self {
        Self { ratchet_key, chain, skipped: SkippedKeys::new() }
    }

    pub(super) fn is_of(&self, ratchet_key: &PublicKey) -> bool {
        self.ratchet_key == *ratchet_key
    }

    /// The seed of the message at `counter`; each is given out once.
    pub(super) fn seed(&mut self, counter: u32) -> Result<Secret<32>, DecryptError> {
        if counter < self.chain.counter {
            return self.skipped.take(counter).ok_or(DecryptError::Duplicate);
        }
        if counter - self.chain.counter > MAX_JUMP {
            return Err(DecryptError::TooFarAhead);
        }
        loop {
            let (place, seed) = self.chain.step().ok_or(DecryptError::TooFarAhead)?;
            if place == counter {
                return Ok(seed);
            }
            self.skipped.push(place, seed);
        }
    }

    pub(super) fn write(&self, writer: &mut Writer) {
        writer.array(3);
        writer.bytes(&self.ratchet_key.to_bytes());
        self.chain.write(writer);
        self.skipped.write(writer);
    }

    pub(super) fn read(reader: &mut Reader<'_>) -> Result<Self, CborError> {
        reader.fixed_array(3)?;
        Ok(Self {
            ratchet_key: read_key(reader)?,
            chain: ChainKey::read(reader)?,
            skipped: SkippedKeys::read(reader)?,
        })
    }
}
