//! Encryption of attachments on the client, chunk by chunk.
//!
//! ```text
//! version, 1       1 byte
//! chunk 0          65,536 bytes of plaintext, encrypted, and a tag of 16
//! ...
//! last chunk       1 to 65,536 bytes of plaintext, encrypted, and a tag of 16
//! ```
//! Every chunk is AES-256-GCM under the attachment's own key, with the nonce
//! `prefix (7) || chunk number (4, big-endian) || 1 for the last chunk, else 0` and the version
//! byte as associated data. So chunks cannot be reordered, dropped or cut off, and any of them
//! can be decrypted alone. Key and prefix come from 32 random bytes:
//! HKDF(no salt, bytes, "Posthouse attachment v1") -> key 32 | prefix 7.
//!
//! The plaintext is padded with zeros to [`padded_media_len`](super::padding::padded_media_len).
//! Whoever points to an attachment names its key, its true length, and the SHA-256 of the whole
//! ciphertext, by which servers store it.

mod open;
mod seal;

pub use open::{ChunkDecryptor, Decryptor};
pub use seal::{Encryptor, SealedAttachment};

use aes_gcm::{Aes256Gcm, KeyInit, Nonce, aead::AeadInOut};

use super::{
    primitives::kdf::{NO_SALT, hkdf},
    secret::Secret,
};

/// Plaintext bytes of a full chunk.
pub const CHUNK_LEN: usize = 64 * 1024;
/// Bytes that encryption adds to a chunk.
pub const TAG_LEN: usize = 16;
/// The largest plaintext, in bytes: 2^32 chunks would be 256 TiB, we stop at 16 GiB.
pub const MAX_LEN: u64 = 16 * 1024 * 1024 * 1024;
/// The version, the first byte.
const VERSION: u8 = 1;
const LABEL: &[u8] = b"Posthouse attachment v1";

/// The length of the ciphertext of `len` bytes of media, in bytes.
pub fn ciphertext_len(len: u64) -> u64 {
    let padded = super::padding::padded_media_len(len);
    let chunks = padded.div_ceil(CHUNK_LEN as u64);
    1 + padded + chunks * TAG_LEN as u64
}

/// The cipher of one attachment.
struct ChunkCipher {
    cipher: Aes256Gcm,
    prefix: Secret<7>,
}

impl ChunkCipher {
    fn new(key: &Secret<32>) -> Self {
        let keys: Secret<39> = hkdf(&NO_SALT, key.expose(), &[LABEL]);
        let cipher = Aes256Gcm::new(keys.part::<0, 32>().expose().into());
        Self { cipher, prefix: keys.part::<32, 7>() }
    }

    /// Encrypts in place and appends the tag.
    fn seal(&self, number: u32, last: bool, chunk: &mut Vec<u8>) -> Result<(), AttachmentError> {
        let sealed = self.cipher.encrypt_in_place(&self.nonce(number, last), &[VERSION], chunk);
        sealed.map_err(|_| AttachmentError::TooLong)
    }

    /// Checks and removes the tag and decrypts in place.
    fn open(&self, number: u32, last: bool, chunk: &mut Vec<u8>) -> Result<(), AttachmentError> {
        let opened = self.cipher.decrypt_in_place(&self.nonce(number, last), &[VERSION], chunk);
        opened.map_err(|_| AttachmentError::NotAuthentic)
    }

    fn nonce(&self, number: u32, last: bool) -> Nonce<aes_gcm::aead::consts::U12> {
        let mut nonce = [0; 12];
        let parts = self.prefix.expose().iter().copied().chain(number.to_be_bytes());
        let parts = parts.chain([u8::from(last)]);
        nonce.iter_mut().zip(parts).for_each(|(slot, byte)| *slot = byte);
        nonce.into()
    }
}

/// Why an attachment cannot be encrypted or decrypted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AttachmentError {
    /// The SHA-256 of the ciphertext is another than announced.
    #[error("the attachment has another digest than announced")]
    Digest,
    /// A chunk was changed, moved or cut off, or the key is another.
    #[error("the attachment is not authentic")]
    NotAuthentic,
    /// The plaintext has another length than announced.
    #[error("the attachment has another length than announced")]
    Size,
    /// Longer than [`MAX_LEN`].
    #[error("the attachment is too long")]
    TooLong,
    /// Of a later version.
    #[error("the attachment has version {0}, which is unknown here")]
    Version(u8),
}

#[cfg(test)]
mod tests;
