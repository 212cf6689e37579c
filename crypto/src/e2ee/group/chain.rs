//! The chain of a sender key and the keys of single messages.

use crate::e2ee::{
    primitives::kdf::{NO_SALT, hkdf, hmac},
    secret::Secret,
};

const GROUP: &[u8] = b"WhisperGroup";

/// The keys of one group message.
pub(super) struct GroupMessageKeys {
    pub(super) iv: Secret<16>,
    pub(super) cipher: Secret<32>,
}

impl GroupMessageKeys {
    /// HKDF(no salt, seed, "WhisperGroup") -> iv | cipher. Here the iv comes first.
    pub(super) fn derive(seed: &Secret<32>) -> Self {
        let keys: Secret<48> = hkdf(&NO_SALT, seed.expose(), &[GROUP]);
        Self { iv: keys.part::<0, 16>(), cipher: keys.part::<16, 32>() }
    }
}

/// A chain key and the place of its next message.
#[derive(Clone, Debug)]
pub(super) struct SenderChain {
    pub(super) key: Secret<32>,
    pub(super) iteration: u32,
}

impl SenderChain {
    /// The place and the seed of the next message; `None` at the end of the counter.
    pub(super) fn step(&mut self) -> Option<(u32, Secret<32>)> {
        let place = self.iteration;
        self.iteration = place.checked_add(1)?;
        let seed = hmac(self.key.expose(), &[&[1]]);
        self.key = hmac(self.key.expose(), &[&[2]]);
        Some((place, seed))
    }
}
