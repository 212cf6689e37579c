//! Messages of sender keys: what hands a sender's key to the members of a group, and a message
//! under that key.
//!
//! ```text
//! distribution   0x33 || protobuf: 1 distribution id (16)   2 chain id   3 iteration
//!                                  4 chain key (32)   5 signing key (33)
//! message        0x33 || protobuf: 1 distribution id (16)   2 chain id   3 iteration
//!                                  4 ciphertext
//!                || XEdDSA signature (64) over everything before it
//! ```

use super::{
    MAX_MESSAGE_LEN, MessageError,
    protobuf::{Fields, put_bytes, put_uint},
};
use crate::e2ee::{
    primitives::{curve::PublicKey, xeddsa},
    secret::Secret,
};

/// The first byte of both messages: version 3, in both halves.
const VERSION_BYTE: u8 = 0x33;
/// The version in the high half.
const VERSION: u8 = 3;

/// Names a sender key chain family: a group, as its sender sees it. 16 bytes of a UUID.
pub type DistributionId = [u8; 16];

/// Where a sender's chain stands, and the keys to follow it. As secret as the group's messages.
#[derive(Clone, Debug)]
pub struct SenderKeyDistribution {
    pub(crate) distribution_id: DistributionId,
    pub(crate) chain_id: u32,
    pub(crate) iteration: u32,
    pub(crate) chain_key: Secret<32>,
    pub(crate) signing_key: PublicKey,
}

impl SenderKeyDistribution {
    /// Parses the bytes that came inside a pairwise message.
    ///
    /// # Errors
    /// [`MessageError`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, MessageError> {
        let (mut distribution_id, mut chain_id, mut iteration) = (None, None, None);
        let (mut chain_key, mut signing_key) = (None, None);
        for field in Fields::new(versioned(bytes)?) {
            let (number, value) = field?;
            match number {
                1 => distribution_id = Some(value.exact()?),
                2 => chain_id = Some(value.u32()?),
                3 => iteration = Some(value.u32()?),
                4 => chain_key = Some(Secret::new(value.exact()?)),
                5 => signing_key = Some(PublicKey::from_bytes(value.bytes()?)?),
                _ => {}
            }
        }
        Ok(Self {
            distribution_id: distribution_id.ok_or(MessageError::Malformed)?,
            chain_id: chain_id.ok_or(MessageError::Malformed)?,
            iteration: iteration.ok_or(MessageError::Malformed)?,
            chain_key: chain_key.ok_or(MessageError::Malformed)?,
            signing_key: signing_key.ok_or(MessageError::Malformed)?,
        })
    }

    /// The bytes to send inside a pairwise message.
    pub fn to_bytes(&self) -> zeroize::Zeroizing<Vec<u8>> {
        let mut out = zeroize::Zeroizing::new(Vec::with_capacity(128));
        out.push(VERSION_BYTE);
        put_bytes(&mut out, 1, &self.distribution_id);
        put_uint(&mut out, 2, self.chain_id);
        put_uint(&mut out, 3, self.iteration);
        put_bytes(&mut out, 4, self.chain_key.expose());
        put_bytes(&mut out, 5, &self.signing_key.to_bytes());
        out
    }

    /// The group it belongs to.
    pub fn distribution_id(&self) -> &DistributionId {
        &self.distribution_id
    }

    /// The chain within the group; a new one with every rotation.
    pub fn chain_id(&self) -> u32 {
        self.chain_id
    }
}

/// A parsed message under a sender key. Its signature has not been checked.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SenderKeyMessage {
    serialized: Vec<u8>,
    distribution_id: DistributionId,
    chain_id: u32,
    iteration: u32,
    ciphertext: Vec<u8>,
}

impl SenderKeyMessage {
    /// Parses the bytes of the wire.
    ///
    /// # Errors
    /// [`MessageError`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, MessageError> {
        let body = versioned(bytes)?;
        let (body, _) =
            body.split_last_chunk::<{ xeddsa::SIGNATURE_LEN }>().ok_or(MessageError::Malformed)?;
        let (mut distribution_id, mut chain_id, mut iteration) = (None, None, None);
        let mut ciphertext = None;
        for field in Fields::new(body) {
            let (number, value) = field?;
            match number {
                1 => distribution_id = Some(value.exact()?),
                2 => chain_id = Some(value.u32()?),
                3 => iteration = Some(value.u32()?),
                4 => ciphertext = Some(value.bytes()?.to_vec()),
                _ => {}
            }
        }
        Ok(Self {
            serialized: bytes.to_vec(),
            distribution_id: distribution_id.ok_or(MessageError::Malformed)?,
            chain_id: chain_id.ok_or(MessageError::Malformed)?,
            iteration: iteration.ok_or(MessageError::Malformed)?,
            ciphertext: ciphertext.ok_or(MessageError::Malformed)?,
        })
    }

    /// The bytes that the sender signs.
    pub(crate) fn unsigned(
        distribution_id: &DistributionId,
        chain_id: u32,
        iteration: u32,
        ciphertext: &[u8],
    ) -> Vec<u8> {
        let mut out = Vec::with_capacity(128 + ciphertext.len());
        out.push(VERSION_BYTE);
        put_bytes(&mut out, 1, distribution_id);
        put_uint(&mut out, 2, chain_id);
        put_uint(&mut out, 3, iteration);
        put_bytes(&mut out, 4, ciphertext);
        out
    }

    /// Whether the signature is `key`'s.
    pub(crate) fn signed_by(&self, key: &PublicKey) -> bool {
        self.serialized
            .split_last_chunk::<{ xeddsa::SIGNATURE_LEN }>()
            .is_some_and(|(body, signature)| xeddsa::verify(key, &[body], signature).is_ok())
    }

    /// The group it belongs to.
    pub fn distribution_id(&self) -> &DistributionId {
        &self.distribution_id
    }

    /// The sender's chain within the group.
    pub fn chain_id(&self) -> u32 {
        self.chain_id
    }

    /// The place in the chain, from 0.
    pub fn iteration(&self) -> u32 {
        self.iteration
    }

    /// The encrypted body.
    pub fn ciphertext(&self) -> &[u8] {
        &self.ciphertext
    }
}

fn versioned(bytes: &[u8]) -> Result<&[u8], MessageError> {
    if bytes.len() > MAX_MESSAGE_LEN {
        return Err(MessageError::TooLong);
    }
    let (first, body) = bytes.split_first().ok_or(MessageError::Malformed)?;
    if first >> 4 == VERSION { Ok(body) } else { Err(MessageError::Version(first >> 4)) }
}
