//! The sparse post-quantum ratchet (SPQR, version 1): heals the session's secrets with ML-KEM.
//!
//! Every message carries a small part of a key exchange that repeats for ever. Each exchange
//! that ends adds its secret to a chain, and the chain gives every message one more key, which
//! the double ratchet mixes in. While the first exchange runs, the chain holds what PQXDH gave.
//!
//! ```text
//! 0x01 || varint epoch (from 1) || varint index (from 1) || part kind || [varint x || 32 bytes]
//! ```

mod authenticator;
mod braid;
mod chain;
mod erasure;
mod field;
mod kem;
mod message;

use rand_core::CryptoRng;

use self::{
    braid::{Braid, BraidError},
    chain::{Chain, ChainError},
    message::Message,
};
use super::{
    cbor::{CborError, Reader, Writer},
    secret::Secret,
};

pub(crate) use self::message::announces_no_key;

/// Both halves of the ratchet: the running key exchange and the chain that it feeds.
#[derive(Clone, Debug)]
pub(crate) struct Spqr {
    braid: Braid,
    chain: Chain,
}

impl Spqr {
    /// The ratchet of whoever wrote first; `auth_key` is the third output of PQXDH.
    pub(crate) fn initiator(auth_key: &Secret<32>) -> Self {
        Self { braid: Braid::key_sender(auth_key), chain: Chain::initiator(auth_key) }
    }

    /// The ratchet of whoever answered.
    pub(crate) fn responder(auth_key: &Secret<32>) -> Self {
        Self { braid: Braid::ciphertext_sender(auth_key), chain: Chain::responder(auth_key) }
    }

    /// The bytes to put into the next message, and the key to mix into its encryption.
    pub(crate) fn send(
        &mut self,
        rng: &mut impl CryptoRng,
    ) -> Result<(Vec<u8>, Secret<32>), SpqrError> {
        let sent = self.braid.send(rng)?;
        if let Some((epoch, secret)) = &sent.secret {
            self.chain.add_epoch(*epoch, secret)?;
        }
        let (index, key) = self.chain.send_key(sent.epoch - 1)?;
        let message = Message { epoch: sent.epoch, index, part: sent.part };
        Ok((message.to_bytes(), key))
    }

    /// Takes in the bytes of a message and gives the key to decrypt it with. The state must be
    /// thrown away if the message then turns out not to be authentic.
    pub(crate) fn receive(&mut self, bytes: &[u8]) -> Result<Secret<32>, SpqrError> {
        let message = Message::from_bytes(bytes).ok_or(SpqrError::Malformed)?;
        if let Some((epoch, secret)) = self.braid.receive(message.epoch, &message.part)? {
            self.chain.add_epoch(epoch, &secret)?;
        }
        Ok(self.chain.receive_key(message.epoch - 1, message.index)?)
    }

    /// The exchange that is running; one less of them have ended.
    pub(crate) fn epoch(&self) -> u64 {
        self.braid.epoch()
    }

    pub(crate) fn write(&self, writer: &mut Writer) {
        writer.array(2);
        self.braid.write(writer);
        self.chain.write(writer);
    }

    pub(crate) fn read(reader: &mut Reader<'_>) -> Result<Self, CborError> {
        reader.fixed_array(2)?;
        Ok(Self { braid: Braid::read(reader)?, chain: Chain::read(reader)? })
    }
}

/// Why the post-quantum ratchet refused a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SpqrError {
    /// The key of this index is used up or was dropped.
    #[error("the post-quantum key of this message is gone")]
    KeyGone,
    /// No message of version 1, or one without a key.
    #[error("the post-quantum part is malformed or of another version")]
    Malformed,
    /// The peer's key exchange does not add up: a wrong MAC, or a key that does not match its
    /// hash.
    #[error("the post-quantum key exchange does not add up")]
    Misbehaved,
    /// The index is more than 25,000 ahead.
    #[error("the post-quantum index is too far ahead")]
    TooFarAhead,
    /// A message of an exchange that cannot be known here.
    #[error("the post-quantum epoch is unknown")]
    UnknownEpoch,
}

impl From<BraidError> for SpqrError {
    fn from(error: BraidError) -> Self {
        match error {
            BraidError::EpochAhead => Self::UnknownEpoch,
            BraidError::Misbehaved => Self::Misbehaved,
        }
    }
}

impl From<ChainError> for SpqrError {
    fn from(error: ChainError) -> Self {
        match error {
            ChainError::KeyGone => Self::KeyGone,
            ChainError::TooFarAhead => Self::TooFarAhead,
            ChainError::UnknownEpoch => Self::UnknownEpoch,
        }
    }
}

#[cfg(test)]
mod tests;
