//! Parts that several kinds of content have.

use core::fmt;

use crate::e2ee::{
    cbor::{CborError, Reader, Writer},
    primitives::curve::{PUBLIC_KEY_LEN, PublicKey},
    secret::Secret,
    wire::sender_key_message::DistributionId,
};

/// The longest place of an attachment, in bytes.
const MAX_PLACE_LEN: usize = 512;
/// The longest media type, in bytes.
const MAX_TYPE_LEN: usize = 128;

/// A message's id: the 16 bytes of its UUID.
pub type MessageId = [u8; 16];

/// Where an attachment is and how to open it. As secret as the attachment.
#[derive(Clone, PartialEq, Eq)]
pub struct AttachmentPointer {
    /// Where the ciphertext can be fetched.
    pub place: String,
    /// The key, from [`attachment`](crate::e2ee::attachment).
    pub key: KeyBytes,
    /// SHA-256 of the ciphertext.
    pub digest: [u8; 32],
    /// The true length of the plaintext, in bytes.
    pub size: u64,
    /// Its media type, such as `image/jpeg`.
    pub media_type: String,
}

/// The 32 bytes of a key. Compared in constant time, never shown.
#[derive(Clone, Debug)]
pub struct KeyBytes(pub Secret<32>);

impl PartialEq for KeyBytes {
    fn eq(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0)
    }
}

impl Eq for KeyBytes {}

impl From<[u8; 32]> for KeyBytes {
    fn from(bytes: [u8; 32]) -> Self {
        Self(Secret::new(bytes))
    }
}

impl fmt::Debug for AttachmentPointer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AttachmentPointer").field("size", &self.size).finish_non_exhaustive()
    }
}

impl AttachmentPointer {
    pub(super) fn write(&self, w: &mut Writer) {
        w.array(5);
        w.text(&self.place);
        w.bytes(self.key.0.expose());
        w.bytes(&self.digest);
        w.uint(self.size);
        w.text(&self.media_type);
    }

    pub(super) fn read(r: &mut Reader<'_>) -> Result<Self, CborError> {
        r.fixed_array(5)?;
        Ok(Self {
            place: super::bounded(r, MAX_PLACE_LEN)?,
            key: KeyBytes(Secret::new(r.exact()?)),
            digest: r.exact()?,
            size: r.uint()?,
            media_type: super::bounded(r, MAX_TYPE_LEN)?,
        })
    }
}

/// How far a message has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReceiptStatus {
    /// It was decrypted.
    Delivered,
    /// The person has seen it.
    Read,
}

impl ReceiptStatus {
    pub(super) fn number(self) -> u64 {
        match self {
            Self::Delivered => 0,
            Self::Read => 1,
        }
    }

    pub(super) fn read_from(r: &mut Reader<'_>) -> Result<Self, CborError> {
        match r.uint()? {
            0 => Ok(Self::Delivered),
            1 => Ok(Self::Read),
            _ => Err(CborError),
        }
    }
}

/// 'I could not decrypt this message of yours: send it again.'
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResendRequest {
    /// Which message.
    pub message_id: MessageId,
    /// Of a pairwise message: its ratchet key, which names the session that does not fit.
    pub ratchet_key: Option<PublicKey>,
    /// Of a group message: distribution id and chain id of the key that is missing.
    pub sender_key: Option<(DistributionId, u32)>,
}

impl ResendRequest {
    pub(super) fn write(&self, w: &mut Writer) {
        w.array(3);
        w.bytes(&self.message_id);
        w.optional(self.ratchet_key.as_ref(), |w, key| w.bytes(&key.to_bytes()));
        w.optional(self.sender_key.as_ref(), |w, (distribution, chain)| {
            w.array(2);
            w.bytes(distribution);
            w.uint(u64::from(*chain));
        });
    }

    pub(super) fn read(r: &mut Reader<'_>) -> Result<Self, CborError> {
        r.fixed_array(3)?;
        Ok(Self {
            message_id: r.exact()?,
            ratchet_key: r.optional(|r| {
                let bytes = r.exact::<PUBLIC_KEY_LEN>()?;
                PublicKey::from_bytes(&bytes).map_err(|_| CborError)
            })?,
            sender_key: r.optional(|r| {
                r.fixed_array(2)?;
                Ok::<_, CborError>((r.exact()?, r.u32()?))
            })?,
        })
    }
}

pub(super) fn read_key_bytes(r: &mut Reader<'_>) -> Result<KeyBytes, CborError> {
    Ok(KeyBytes(Secret::new(r.exact()?)))
}
