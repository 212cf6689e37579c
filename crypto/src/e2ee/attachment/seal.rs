//! Encryption, with as much memory as one chunk takes.

use rand_core::CryptoRng;
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use super::{AttachmentError, CHUNK_LEN, ChunkCipher, MAX_LEN, TAG_LEN, VERSION};
use crate::e2ee::{padding::padded_media_len, secret::Secret};

/// Encrypts one attachment under a fresh key.
pub struct Encryptor {
    key: Secret<32>,
    cipher: ChunkCipher,
    number: u32,
    size: u64,
    digest: Sha256,
    /// Plaintext of the chunk that is being filled; a full one waits, since it may be the last.
    pending: Zeroizing<Vec<u8>>,
}

/// What the pointer to an attachment must name.
#[derive(Clone, Debug)]
pub struct SealedAttachment {
    /// The key.
    pub key: Secret<32>,
    /// SHA-256 of the ciphertext.
    pub digest: [u8; 32],
    /// The true length of the plaintext, in bytes.
    pub size: u64,
}

impl Encryptor {
    /// Starts an attachment; the first bytes of the ciphertext go to `out`.
    pub fn new(rng: &mut impl CryptoRng, out: &mut Vec<u8>) -> Self {
        let key = Secret::random(rng);
        let cipher = ChunkCipher::new(&key);
        out.push(VERSION);
        let digest = Sha256::new().chain_update([VERSION]);
        let pending = Zeroizing::new(Vec::with_capacity(CHUNK_LEN + TAG_LEN));
        Self { key, cipher, number: 0, size: 0, digest, pending }
    }

    /// Takes in plaintext and appends the ciphertext of all chunks that are complete.
    ///
    /// # Errors
    /// [`AttachmentError::TooLong`].
    pub fn push(&mut self, plaintext: &[u8], out: &mut Vec<u8>) -> Result<(), AttachmentError> {
        self.size += plaintext.len() as u64;
        if self.size > MAX_LEN {
            return Err(AttachmentError::TooLong);
        }
        self.fill(plaintext, out)
    }

    /// Pads, and appends the rest of the ciphertext.
    ///
    /// # Errors
    /// [`AttachmentError::TooLong`].
    pub fn finish(mut self, out: &mut Vec<u8>) -> Result<SealedAttachment, AttachmentError> {
        const ZEROS: [u8; 4096] = [0; 4096];
        let mut missing = padded_media_len(self.size) - self.size;
        while missing > 0 {
            let zeros = usize::try_from(missing).ok().and_then(|missing| ZEROS.get(..missing));
            let zeros = zeros.unwrap_or(&ZEROS);
            self.fill(zeros, out)?;
            missing -= zeros.len() as u64;
        }
        self.flush(true, out)?;
        let digest = self.digest.finalize().into();
        Ok(SealedAttachment { key: self.key, digest, size: self.size })
    }

    fn fill(&mut self, mut plaintext: &[u8], out: &mut Vec<u8>) -> Result<(), AttachmentError> {
        while !plaintext.is_empty() {
            if self.pending.len() == CHUNK_LEN {
                self.flush(false, out)?;
            }
            let room = (CHUNK_LEN - self.pending.len()).min(plaintext.len());
            let (now, later) = plaintext.split_at_checked(room).unwrap_or((plaintext, &[]));
            self.pending.extend_from_slice(now);
            plaintext = later;
        }
        Ok(())
    }

    fn flush(&mut self, last: bool, out: &mut Vec<u8>) -> Result<(), AttachmentError> {
        self.cipher.seal(self.number, last, &mut self.pending)?;
        self.digest.update(&*self.pending);
        out.extend_from_slice(&self.pending);
        self.pending.clear();
        self.number = self.number.checked_add(1).ok_or(AttachmentError::TooLong)?;
        Ok(())
    }
}

impl core::fmt::Debug for Encryptor {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Encryptor").field("size", &self.size).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use rand::{SeedableRng, rngs::StdRng};

    use super::*;

    #[test]
    fn sixteen_gibibytes_are_the_most_that_is_sealed() {
        let mut out = Vec::new();
        let mut encryptor = Encryptor::new(&mut StdRng::seed_from_u64(1), &mut out);
        encryptor.size = MAX_LEN - 1;
        assert_eq!(encryptor.push(&[7], &mut out), Ok(()));
        assert_eq!(encryptor.push(&[7], &mut out), Err(AttachmentError::TooLong));
        assert_eq!(format!("{encryptor:?}"), "Encryptor { size: 17179869185, .. }");
    }
}
