//! The sender keys of one device of a group, as its readers keep them.

use std::collections::VecDeque;

use zeroize::Zeroizing;

use super::chain::{GroupMessageKeys, SenderChain};
use crate::e2ee::{
    cbor::{CborError, Reader, Writer},
    identity::{StateError, read_key},
    primitives::{cbc, curve::PublicKey},
    secret::Secret,
    session::skipped::{MAX_JUMP, SkippedKeys},
    wire::sender_key_message::{DistributionId, SenderKeyDistribution, SenderKeyMessage},
};

/// How many keys of one sender are kept; the oldest go first.
pub const MAX_SENDER_KEYS: usize = 5;
/// The version of the stored form.
const VERSION: u64 = 1;

/// All keys that one sender gave us for one distribution id, newest first.
#[derive(Clone, Debug)]
pub struct ReceivedSenderKeys {
    distribution_id: DistributionId,
    keys: VecDeque<ReceivedKey>,
}

#[derive(Clone, Debug)]
struct ReceivedKey {
    chain_id: u32,
    signing_key: PublicKey,
    chain: SenderChain,
    skipped: SkippedKeys,
}

impl ReceivedSenderKeys {
    /// None yet.
    pub fn new(distribution_id: DistributionId) -> Self {
        Self { distribution_id, keys: VecDeque::new() }
    }

    /// Takes in a key. A known one keeps its state, so that a repeated distribution cannot turn
    /// it back; another signing key for a known chain replaces it.
    ///
    /// # Errors
    /// [`GroupDecryptError::OtherDistribution`] if it is of another distribution id.
    pub fn process(
        &mut self,
        distribution: &SenderKeyDistribution,
    ) -> Result<(), GroupDecryptError> {
        if distribution.distribution_id != self.distribution_id {
            return Err(GroupDecryptError::OtherDistribution);
        }
        let known = self.keys.iter().any(|key| {
            key.chain_id == distribution.chain_id && key.signing_key == distribution.signing_key
        });
        if !known {
            self.keys.retain(|key| key.chain_id != distribution.chain_id);
            self.keys.push_front(ReceivedKey {
                chain_id: distribution.chain_id,
                signing_key: distribution.signing_key,
                chain: SenderChain {
                    key: distribution.chain_key.clone(),
                    iteration: distribution.iteration,
                },
                skipped: SkippedKeys::new(),
            });
            self.keys.truncate(MAX_SENDER_KEYS);
        }
        Ok(())
    }

    /// Decrypts a message of the sender. Only a key that came from this sender's own session
    /// may be in here: that is what ties the message to a person.
    ///
    /// # Errors
    /// [`GroupDecryptError`]; then nothing has changed.
    pub fn decrypt(
        &mut self,
        message: &SenderKeyMessage,
    ) -> Result<Zeroizing<Vec<u8>>, GroupDecryptError> {
        if *message.distribution_id() != self.distribution_id {
            return Err(GroupDecryptError::OtherDistribution);
        }
        let key = self.keys.iter_mut().find(|key| key.chain_id == message.chain_id());
        let key = key.ok_or(GroupDecryptError::UnknownKey)?;
        if !message.signed_by(&key.signing_key) {
            return Err(GroupDecryptError::NotAuthentic);
        }
        let mut copy = key.clone();
        let keys = GroupMessageKeys::derive(&copy.seed(message.iteration())?);
        let plaintext = cbc::decrypt(&keys.cipher, &keys.iv, message.ciphertext());
        let plaintext = plaintext.ok_or(GroupDecryptError::NotAuthentic)?;
        *key = copy;
        Ok(plaintext)
    }

    /// The stored form, as secret as the keys: version 1, deterministic CBOR.
    pub fn to_bytes(&self) -> Zeroizing<Vec<u8>> {
        let mut w = Writer::new();
        w.array(3);
        w.uint(VERSION);
        w.bytes(&self.distribution_id);
        w.array(self.keys.len());
        for key in &self.keys {
            w.array(5);
            w.uint(u64::from(key.chain_id));
            w.bytes(&key.signing_key.to_bytes());
            w.bytes(key.chain.key.expose());
            w.uint(u64::from(key.chain.iteration));
            key.skipped.write(&mut w);
        }
        w.finish()
    }

    /// Reads the stored form.
    ///
    /// # Errors
    /// [`StateError`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, StateError> {
        let mut r = Reader::new(bytes);
        r.fixed_array(3)?;
        StateError::check_version(r.uint()?, VERSION)?;
        let distribution_id = r.exact()?;
        let keys = r.sequence(MAX_SENDER_KEYS, |r| {
            r.fixed_array(5)?;
            let (chain_id, signing_key) = (r.u32()?, read_key(r)?);
            let chain = SenderChain { key: Secret::new(r.exact()?), iteration: r.u32()? };
            let skipped = SkippedKeys::read(r)?;
            Ok::<_, CborError>(ReceivedKey { chain_id, signing_key, chain, skipped })
        })?;
        r.end()?;
        Ok(Self { distribution_id, keys: keys.into() })
    }
}

impl ReceivedKey {
    fn seed(&mut self, iteration: u32) -> Result<Secret<32>, GroupDecryptError> {
        if iteration < self.chain.iteration {
            return self.skipped.take(iteration).ok_or(GroupDecryptError::Duplicate);
        }
        if iteration - self.chain.iteration > MAX_JUMP {
            return Err(GroupDecryptError::TooFarAhead);
        }
        loop {
            let (place, seed) = self.chain.step().ok_or(GroupDecryptError::TooFarAhead)?;
            if place == iteration {
                return Ok(seed);
            }
            self.skipped.push(place, seed);
        }
    }
}

/// Why a group message cannot be decrypted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum GroupDecryptError {
    /// The message was decrypted before, or its key was dropped long ago.
    #[error("the message was decrypted before or is too old")]
    Duplicate,
    /// The signature is not the sender's, or the body does not decrypt.
    #[error("the message is not authentic")]
    NotAuthentic,
    /// The message or key is of another distribution id.
    #[error("the message belongs to another distribution")]
    OtherDistribution,
    /// The message is more than 25,000 ahead of the last one.
    #[error("the message is too far ahead")]
    TooFarAhead,
    /// The sender's key has not arrived: the message should wait.
    #[error("the sender's key has not arrived")]
    UnknownKey,
}
