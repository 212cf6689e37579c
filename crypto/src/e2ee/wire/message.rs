//! The Signal message (type 2): one step of a double ratchet.
//!
//! ```text
//! version << 4 | 4   1 byte
//! protobuf           1 ratchet_key (33)   2 counter   3 previous_counter   4 ciphertext
//!                    5 pq_ratchet (absent if empty)   6 addresses (36, optional)
//! MAC                8 bytes: HMAC-SHA256(mac key, sender identity || receiver identity ||
//!                    all of the above), truncated
//! ```

use core::ops::Range;

use subtle::ConstantTimeEq;

use super::{
    MAX_MESSAGE_LEN, MessageError,
    protobuf::{Fields, put_bytes, put_uint},
};
use crate::e2ee::{
    primitives::{curve::PublicKey, kdf::hmac},
    secret::Secret,
};

/// Length of the truncated MAC, in bytes.
const MAC_LEN: usize = 8;
/// Length of the field that binds the two addresses, in bytes.
pub(crate) const ADDRESSES_LEN: usize = 36;

/// What the version byte of every message announces in its low half: the newest version that
/// the sender speaks. Readers look at the high half only.
const NEWEST_VERSION: u8 = 4;

/// Both identity keys, in the order in which the MAC takes them.
#[derive(Clone, Copy)]
pub(crate) struct MacIdentities<'a> {
    pub(crate) sender: &'a PublicKey,
    pub(crate) receiver: &'a PublicKey,
}

/// What a Signal message carries, before it is one.
pub(crate) struct MessageFields<'a> {
    pub(crate) version: u8,
    pub(crate) ratchet_key: &'a PublicKey,
    pub(crate) counter: u32,
    pub(crate) previous_counter: u32,
    pub(crate) ciphertext: &'a [u8],
    pub(crate) pq_ratchet: &'a [u8],
    pub(crate) addresses: Option<[u8; ADDRESSES_LEN]>,
}

/// A parsed Signal message. Its MAC has not been checked.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SignalMessage {
    serialized: Vec<u8>,
    version: u8,
    ratchet_key: PublicKey,
    counter: u32,
    previous_counter: u32,
    ciphertext: Vec<u8>,
    pq_ratchet: Vec<u8>,
    addresses: Option<[u8; ADDRESSES_LEN]>,
}

impl SignalMessage {
    /// Parses the bytes of the wire.
    ///
    /// # Errors
    /// [`MessageError`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, MessageError> {
        let (version, body) = versioned(bytes)?;
        let body = body.split_last_chunk::<MAC_LEN>().ok_or(MessageError::Malformed)?.0;
        let (mut key, mut counter, mut ciphertext) = (None, None, None);
        let (mut previous_counter, mut pq_ratchet, mut addresses) = (0, Vec::new(), None);
        for field in Fields::new(body) {
            let (number, value) = field?;
            match number {
                1 => key = Some(PublicKey::from_bytes(value.bytes()?)?),
                2 => counter = Some(value.u32()?),
                3 => previous_counter = value.u32()?,
                4 => ciphertext = Some(value.bytes()?.to_vec()),
                5 => pq_ratchet = value.bytes()?.to_vec(),
                6 => addresses = Some(value.exact()?),
                _ => {}
            }
        }
        Ok(Self {
            serialized: bytes.to_vec(),
            version,
            ratchet_key: key.ok_or(MessageError::Malformed)?,
            counter: counter.ok_or(MessageError::Malformed)?,
            previous_counter,
            ciphertext: ciphertext.ok_or(MessageError::Malformed)?,
            pq_ratchet,
            addresses,
        })
    }

    /// Writes a message and its MAC.
    pub(crate) fn seal(
        fields: &MessageFields<'_>,
        mac_key: &Secret<32>,
        identities: MacIdentities<'_>,
    ) -> Vec<u8> {
        let mut out = Vec::with_capacity(128 + fields.ciphertext.len());
        out.push(version_byte(fields.version));
        put_bytes(&mut out, 1, &fields.ratchet_key.to_bytes());
        put_uint(&mut out, 2, fields.counter);
        put_uint(&mut out, 3, fields.previous_counter);
        put_bytes(&mut out, 4, fields.ciphertext);
        if !fields.pq_ratchet.is_empty() {
            put_bytes(&mut out, 5, fields.pq_ratchet);
        }
        if let Some(addresses) = &fields.addresses {
            put_bytes(&mut out, 6, addresses);
        }
        let mac = mac(mac_key, identities, &out);
        out.extend_from_slice(&mac);
        out
    }

    /// Whether the MAC is right, in constant time.
    pub(crate) fn authentic(&self, mac_key: &Secret<32>, identities: MacIdentities<'_>) -> bool {
        self.serialized
            .split_last_chunk::<MAC_LEN>()
            .is_some_and(|(body, theirs)| mac(mac_key, identities, body).ct_eq(theirs).into())
    }

    /// The whole message, as it came.
    pub fn as_bytes(&self) -> &[u8] {
        &self.serialized
    }

    /// The protocol's version: 3 for X3DH, 4 for PQXDH.
    pub fn version(&self) -> u8 {
        self.version
    }

    /// The sender's ratchet key.
    pub fn ratchet_key(&self) -> &PublicKey {
        &self.ratchet_key
    }

    /// The place in the sender's chain, from 0.
    pub fn counter(&self) -> u32 {
        self.counter
    }

    /// What the sender wrote about its chain before this one. Never used on receipt.
    pub fn previous_counter(&self) -> u32 {
        self.previous_counter
    }

    /// The encrypted body.
    pub fn ciphertext(&self) -> &[u8] {
        &self.ciphertext
    }

    /// The message of the post-quantum ratchet; empty if there is none.
    pub fn pq_ratchet(&self) -> &[u8] {
        &self.pq_ratchet
    }

    /// The two addresses that the sender bound to the message, if it did.
    pub(crate) fn addresses(&self) -> Option<&[u8; ADDRESSES_LEN]> {
        self.addresses.as_ref()
    }
}

/// `version << 4 | 4`.
pub(crate) fn version_byte(version: u8) -> u8 {
    version << 4 | NEWEST_VERSION
}

/// Splits off the version byte; 3 and 4 are spoken here.
pub(crate) fn versioned(bytes: &[u8]) -> Result<(u8, &[u8]), MessageError> {
    const SPOKEN: Range<u8> = 3..5;
    if bytes.len() > MAX_MESSAGE_LEN {
        return Err(MessageError::TooLong);
    }
    let (first, body) = bytes.split_first().ok_or(MessageError::Malformed)?;
    let version = first >> 4;
    if SPOKEN.contains(&version) {
        Ok((version, body))
    } else {
        Err(MessageError::Version(version))
    }
}

fn mac(key: &Secret<32>, identities: MacIdentities<'_>, body: &[u8]) -> [u8; MAC_LEN] {
    let sender = identities.sender.to_bytes();
    let receiver = identities.receiver.to_bytes();
    *hmac(key.expose(), &[&sender, &receiver, body]).part::<0, MAC_LEN>().expose()
}
