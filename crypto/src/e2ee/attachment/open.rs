//! Decryption: of a whole stream, or of single chunks for range downloads.

use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use super::{AttachmentError, CHUNK_LEN, ChunkCipher, MAX_LEN, TAG_LEN, VERSION, ciphertext_len};
use crate::e2ee::{padding::padded_media_len, secret::Secret};

/// Ciphertext bytes of a full chunk.
const SEALED_CHUNK_LEN: usize = CHUNK_LEN + TAG_LEN;

/// Decrypts a stream. Plaintext comes out chunk by chunk, each authentic in itself and in its
/// place; that the whole is there, [`Decryptor::finish`] says.
pub struct Decryptor {
    cipher: ChunkCipher,
    expected: SealedSize,
    digest: Sha256,
    announced: [u8; 32],
    started: bool,
    number: u32,
    /// Plaintext bytes still to come before the padding begins.
    left: u64,
    pending: Vec<u8>,
}

/// The lengths that follow from the plaintext's.
#[derive(Clone, Copy, Debug)]
struct SealedSize {
    last_chunk: u32,
    last_len: usize,
}

impl SealedSize {
    fn of(size: u64) -> Result<Self, AttachmentError> {
        if size > MAX_LEN {
            return Err(AttachmentError::TooLong);
        }
        let padded = padded_media_len(size);
        let chunks = padded.div_ceil(CHUNK_LEN as u64).max(1);
        let last_chunk = u32::try_from(chunks - 1).map_err(|_| AttachmentError::TooLong)?;
        let last = padded - u64::from(last_chunk) * CHUNK_LEN as u64;
        let last_len = usize::try_from(last).map_err(|_| AttachmentError::TooLong)? + TAG_LEN;
        Ok(Self { last_chunk, last_len })
    }

    fn sealed_len(self, number: u32) -> usize {
        if number == self.last_chunk { self.last_len } else { SEALED_CHUNK_LEN }
    }
}

impl Decryptor {
    /// Opens an attachment with what its pointer names.
    ///
    /// # Errors
    /// [`AttachmentError::TooLong`].
    pub fn new(key: &Secret<32>, digest: [u8; 32], size: u64) -> Result<Self, AttachmentError> {
        Ok(Self {
            cipher: ChunkCipher::new(key),
            expected: SealedSize::of(size)?,
            digest: Sha256::new(),
            announced: digest,
            started: false,
            number: 0,
            left: size,
            pending: Vec::new(),
        })
    }

    /// Takes in ciphertext and appends the plaintext of all chunks that are complete.
    ///
    /// # Errors
    /// [`AttachmentError`]; nothing more must then be read from this attachment.
    pub fn push(&mut self, ciphertext: &[u8], out: &mut Vec<u8>) -> Result<(), AttachmentError> {
        self.digest.update(ciphertext);
        let mut rest = ciphertext;
        if !self.started
            && let Some((version, after)) = rest.split_first()
        {
            if *version != VERSION {
                return Err(AttachmentError::Version(*version));
            }
            (self.started, rest) = (true, after);
        }
        while !rest.is_empty() {
            if self.number > self.expected.last_chunk {
                return Err(AttachmentError::Size);
            }
            let wanted = self.expected.sealed_len(self.number) - self.pending.len();
            let (now, later) = rest.split_at_checked(wanted).unwrap_or((rest, &[]));
            self.pending.extend_from_slice(now);
            rest = later;
            if now.len() == wanted {
                self.open_pending(out)?;
            }
        }
        Ok(())
    }

    /// Checks that everything came and that the digest is the announced one.
    ///
    /// # Errors
    /// [`AttachmentError::Size`] or [`AttachmentError::Digest`].
    pub fn finish(self) -> Result<(), AttachmentError> {
        if self.number <= self.expected.last_chunk || !self.pending.is_empty() {
            return Err(AttachmentError::Size);
        }
        let digest: [u8; 32] = self.digest.finalize().into();
        let same: bool = digest.ct_eq(&self.announced).into();
        if same { Ok(()) } else { Err(AttachmentError::Digest) }
    }

    fn open_pending(&mut self, out: &mut Vec<u8>) -> Result<(), AttachmentError> {
        let last = self.number == self.expected.last_chunk;
        self.cipher.open(self.number, last, &mut self.pending)?;
        let plain = Zeroizing::new(core::mem::take(&mut self.pending));
        let keep = usize::try_from(self.left).unwrap_or(usize::MAX).min(plain.len());
        out.extend(plain.iter().take(keep));
        self.left -= keep as u64;
        self.number += 1;
        Ok(())
    }
}

impl core::fmt::Debug for Decryptor {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Decryptor").field("left", &self.left).finish_non_exhaustive()
    }
}

/// Decrypts single chunks, for who jumps into a video. The digest is not checked this way; each
/// chunk is still authentic and in its place.
pub struct ChunkDecryptor {
    cipher: ChunkCipher,
    size: u64,
    expected: SealedSize,
}

impl ChunkDecryptor {
    /// Opens an attachment with what its pointer names.
    ///
    /// # Errors
    /// [`AttachmentError::TooLong`].
    pub fn new(key: &Secret<32>, size: u64) -> Result<Self, AttachmentError> {
        Ok(Self { cipher: ChunkCipher::new(key), size, expected: SealedSize::of(size)? })
    }

    /// Where in the ciphertext the chunk that holds plaintext byte `offset` stands: its number,
    /// its first byte, and its length. `None` behind the end.
    pub fn locate(&self, offset: u64) -> Option<(u32, u64, usize)> {
        let number = u32::try_from(offset / CHUNK_LEN as u64).ok()?;
        let start = 1 + u64::from(number) * SEALED_CHUNK_LEN as u64;
        let inside = offset < self.size && start < ciphertext_len(self.size);
        inside.then(|| (number, start, self.expected.sealed_len(number)))
    }

    /// Decrypts chunk `number`, without the padding.
    ///
    /// # Errors
    /// [`AttachmentError::NotAuthentic`].
    pub fn open(&self, number: u32, chunk: &[u8]) -> Result<Vec<u8>, AttachmentError> {
        let mut plain = chunk.to_vec();
        self.cipher.open(number, number == self.expected.last_chunk, &mut plain)?;
        let before = u64::from(number) * CHUNK_LEN as u64;
        let left = self.size.saturating_sub(before);
        plain.truncate(usize::try_from(left).unwrap_or(usize::MAX));
        Ok(plain)
    }
}

impl core::fmt::Debug for ChunkDecryptor {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("ChunkDecryptor").field("size", &self.size).finish_non_exhaustive()
    }
}
