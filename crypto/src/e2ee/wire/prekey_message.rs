//! The prekey message (type 3): a Signal message with what its receiver needs to build the
//! session. It has no MAC of its own; the message inside has.
//!
//! ```text
//! version << 4 | 4   1 byte
//! protobuf           1 pre_key_id (optional)   2 base_key (33)   3 identity_key (33)
//!                    4 message (a whole Signal message)   5 registration_id
//!                    6 signed_pre_key_id   7 kyber_pre_key_id   8 kyber_ciphertext (1569)
//! ```
//! Fields 7 and 8 come together, and version 4 needs them.

use super::{
    MessageError,
    message::{SignalMessage, version_byte, versioned},
    protobuf::{Fields, put_bytes, put_uint},
};
use crate::e2ee::primitives::{curve::PublicKey, kem::KemCiphertext};

/// Which prekeys a message used, and what it made with them.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct PreKeyUse {
    pub(crate) one_time: Option<u32>,
    pub(crate) signed: u32,
    pub(crate) kem: Option<(u32, KemCiphertext)>,
}

/// A parsed prekey message. Nothing in it has been authenticated.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PreKeySignalMessage {
    pub(crate) prekeys: PreKeyUse,
    pub(crate) base_key: PublicKey,
    pub(crate) identity_key: PublicKey,
    pub(crate) registration_id: u32,
    pub(crate) message: SignalMessage,
}

impl PreKeySignalMessage {
    /// Parses the bytes of the wire.
    ///
    /// # Errors
    /// [`MessageError`]. A Kyber ciphertext in version 3, none in version 4, and another version
    /// inside than outside are malformed.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, MessageError> {
        let (version, body) = versioned(bytes)?;
        let (mut one_time, mut signed, mut registration_id) = (None, None, 0);
        let (mut base_key, mut identity_key, mut message) = (None, None, None);
        let (mut kem_id, mut kem_ciphertext) = (None, None);
        for field in Fields::new(body) {
            let (number, value) = field?;
            match number {
                1 => one_time = Some(value.u32()?),
                2 => base_key = Some(PublicKey::from_bytes(value.bytes()?)?),
                3 => identity_key = Some(PublicKey::from_bytes(value.bytes()?)?),
                4 => message = Some(SignalMessage::from_bytes(value.bytes()?)?),
                5 => registration_id = value.u32()?,
                6 => signed = Some(value.u32()?),
                7 => kem_id = Some(value.u32()?),
                8 => kem_ciphertext = Some(KemCiphertext::from_bytes(value.bytes()?)?),
                _ => {}
            }
        }
        let kem = match (version, kem_id, kem_ciphertext) {
            (3, None, None) => None,
            (4, Some(id), Some(ciphertext)) => Some((id, ciphertext)),
            _ => return Err(MessageError::Malformed),
        };
        let message: SignalMessage = message.ok_or(MessageError::Malformed)?;
        if message.version() != version {
            return Err(MessageError::Malformed);
        }
        let signed = signed.ok_or(MessageError::Malformed)?;
        Ok(Self {
            prekeys: PreKeyUse { one_time, signed, kem },
            base_key: base_key.ok_or(MessageError::Malformed)?,
            identity_key: identity_key.ok_or(MessageError::Malformed)?,
            registration_id,
            message,
        })
    }

    /// Writes a prekey message around `message`, the bytes of a Signal message.
    pub(crate) fn wrap(
        version: u8,
        prekeys: &PreKeyUse,
        base_key: &PublicKey,
        identity_key: &PublicKey,
        registration_id: u32,
        message: &[u8],
    ) -> Vec<u8> {
        let mut out = Vec::with_capacity(1800 + message.len());
        out.push(version_byte(version));
        if let Some(id) = prekeys.one_time {
            put_uint(&mut out, 1, id);
        }
        put_bytes(&mut out, 2, &base_key.to_bytes());
        put_bytes(&mut out, 3, &identity_key.to_bytes());
        put_bytes(&mut out, 4, message);
        put_uint(&mut out, 5, registration_id);
        put_uint(&mut out, 6, prekeys.signed);
        if let Some((id, ciphertext)) = &prekeys.kem {
            put_uint(&mut out, 7, *id);
            put_bytes(&mut out, 8, &ciphertext.to_bytes());
        }
        out
    }

    /// The protocol's version: 3 for X3DH, 4 for PQXDH.
    pub fn version(&self) -> u8 {
        self.message.version()
    }

    /// The identity key that the sender claims.
    pub fn identity_key(&self) -> &PublicKey {
        &self.identity_key
    }

    /// The key that names the session.
    pub fn base_key(&self) -> &PublicKey {
        &self.base_key
    }

    /// The registration id that the sender claims.
    pub fn registration_id(&self) -> u32 {
        self.registration_id
    }

    /// The Signal message inside.
    pub fn message(&self) -> &SignalMessage {
        &self.message
    }
}
