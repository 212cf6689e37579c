//! Backups: what a device knows, in one file under a passphrase.
//!
//! ```text
//! "PHBACKUP"                                            8
//! version, 1                                            1
//! Argon2id: memory in KiB, passes, lanes                12  (each 4, big-endian)
//! salt                                                  16
//! check                                                 16
//! parts: last << 31 | length of the ciphertext          4   (big-endian)
//!        ciphertext with its tag of 16
//!
//! secret   Argon2id v1.3 (passphrase, salt) to 32 bytes
//! keys     HKDF(no salt, secret, "Posthouse backup v1") -> key 32 | prefix 7 | check 16
//! part     AES-256-GCM, nonce prefix (7) || number (4, big-endian) || 1 for the last, else 0,
//!          associated data the 53 bytes before the first part
//! ```
//! The check tells a wrong passphrase from a damaged file. Parts cannot be changed, moved, dropped
//! or cut off unnoticed. The first part is the [`BackupHead`], each further one an array of
//! [items](crate::e2ee::content::history::HistoryItem).

mod contents;

pub use contents::{BackupHead, items_from_bytes, items_to_bytes};

use aes_gcm::{Aes256Gcm, KeyInit, Nonce, aead::AeadInOut};
use argon2::{Algorithm, Argon2, Block, Params, Version};
use rand_core::CryptoRng;
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use super::{
    primitives::kdf::{NO_SALT, hkdf},
    secret::Secret,
};

/// The bytes before the first part.
pub const HEADER_LEN: usize = 53;
/// The most plaintext of one part, in bytes.
pub const MAX_PART_LEN: usize = 64 * 1024;
/// The bytes that encryption adds to a part.
const TAG_LEN: usize = 16;
const MAGIC: &[u8; 8] = b"PHBACKUP";
const VERSION: u8 = 1;
const LABEL: &[u8] = b"Posthouse backup v1";
/// The bit of a part's length that says that it is the last one.
const LAST: u32 = 1 << 31;
/// The most that a file may ask for, lest it asks for all there is.
const MAX_COST: Cost = Cost { memory_kib: 1024 * 1024, passes: 16, lanes: 16 };

/// What deriving the key costs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cost {
    /// Memory, in KiB.
    pub memory_kib: u32,
    /// Passes over it.
    pub passes: u32,
    /// Lanes.
    pub lanes: u32,
}

impl Cost {
    /// Whether a file may ask for this.
    fn is_allowed(self) -> bool {
        self.memory_kib <= MAX_COST.memory_kib
            && self.passes <= MAX_COST.passes
            && self.lanes <= MAX_COST.lanes
    }
}

impl Default for Cost {
    /// 64 MiB, three passes, one lane: the second choice of RFC 9106 §4, which small devices can
    /// afford too, with one lane in the place of four.
    fn default() -> Self {
        Self { memory_kib: 64 * 1024, passes: 3, lanes: 1 }
    }
}

/// The keys of one backup, and the number of the next part.
struct Parts {
    cipher: Aes256Gcm,
    prefix: Secret<7>,
    header: [u8; HEADER_LEN],
    number: u32,
}

impl Parts {
    fn nonce(&self, last: bool) -> Nonce<aes_gcm::aead::consts::U12> {
        let mut nonce = [0; 12];
        let parts = self.prefix.expose().iter().copied().chain(self.number.to_be_bytes());
        let parts = parts.chain([u8::from(last)]);
        nonce.iter_mut().zip(parts).for_each(|(slot, byte)| *slot = byte);
        nonce.into()
    }
}

/// Derives cipher, prefix and check.
fn derive(
    passphrase: &str,
    cost: Cost,
    salt: &[u8; 16],
) -> Result<(Aes256Gcm, Secret<7>, Secret<16>), BackupError> {
    let params = Params::new(cost.memory_kib, cost.passes, cost.lanes, Some(32));
    let params = params.map_err(|_| BackupError::Cost)?;
    // Whoever has the last of these blocks has the key; the library would free them as they are.
    let mut blocks = Zeroizing::new(Vec::new());
    blocks.try_reserve_exact(params.block_count()).map_err(|_| BackupError::Cost)?;
    blocks.resize(params.block_count(), Block::new());
    let argon = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
    let mut secret = Secret::<32>::new([0; 32]);
    let passphrase = passphrase.as_bytes();
    argon
        .hash_password_into_with_memory(passphrase, salt, secret.as_mut(), &mut **blocks)
        .map_err(|_| BackupError::Cost)?;
    let keys: Secret<55> = hkdf(&NO_SALT, secret.expose(), &[LABEL]);
    let cipher = Aes256Gcm::new(keys.part::<0, 32>().expose().into());
    Ok((cipher, keys.part::<32, 7>(), keys.part::<39, 16>()))
}

/// Writes a backup, part by part.
pub struct BackupWriter(Parts);

impl BackupWriter {
    /// Begins a backup; the header goes to `out`. Takes as long as `cost` says.
    ///
    /// # Errors
    /// [`BackupError::Cost`] for a cost that Argon2 does not know.
    pub fn new(
        passphrase: &str,
        cost: Cost,
        rng: &mut impl CryptoRng,
        out: &mut Vec<u8>,
    ) -> Result<Self, BackupError> {
        let mut salt = [0; 16];
        rng.fill_bytes(&mut salt);
        let (cipher, prefix, check) = derive(passphrase, cost, &salt)?;
        let numbers = [cost.memory_kib, cost.passes, cost.lanes].map(u32::to_be_bytes);
        let bytes = MAGIC.iter().copied().chain([VERSION]).chain(numbers.into_iter().flatten());
        let bytes = bytes.chain(salt).chain(*check.expose());
        let mut header = [0; HEADER_LEN];
        header.iter_mut().zip(bytes).for_each(|(slot, byte)| *slot = byte);
        out.extend_from_slice(&header);
        Ok(Self(Parts { cipher, prefix, header, number: 0 }))
    }

    /// Appends a part to `out`.
    ///
    /// # Errors
    /// [`BackupError::TooLong`] beyond [`MAX_PART_LEN`], or 2^32 parts.
    pub fn push(&mut self, part: &[u8], out: &mut Vec<u8>) -> Result<(), BackupError> {
        self.seal(part, false, out)
    }

    /// Appends the last part.
    ///
    /// # Errors
    /// [`BackupError::TooLong`] beyond [`MAX_PART_LEN`].
    pub fn finish(mut self, part: &[u8], out: &mut Vec<u8>) -> Result<(), BackupError> {
        self.seal(part, true, out)
    }

    fn seal(&mut self, part: &[u8], last: bool, out: &mut Vec<u8>) -> Result<(), BackupError> {
        if part.len() > MAX_PART_LEN {
            return Err(BackupError::TooLong);
        }
        let parts = &mut self.0;
        let mut sealed = Zeroizing::new(Vec::with_capacity(part.len() + TAG_LEN));
        sealed.extend_from_slice(part);
        let nonce = parts.nonce(last);
        let done = parts.cipher.encrypt_in_place(&nonce, &parts.header, &mut *sealed);
        done.map_err(|_| BackupError::TooLong)?;
        let len = u32::try_from(sealed.len()).map_err(|_| BackupError::TooLong)?;
        out.extend_from_slice(&(len | if last { LAST } else { 0 }).to_be_bytes());
        out.extend_from_slice(&sealed);
        parts.number = parts.number.checked_add(1).ok_or(BackupError::TooLong)?;
        Ok(())
    }
}

/// Reads a backup, part by part.
pub struct BackupReader(Parts);

/// What stands before a part.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PartHead {
    /// The bytes of the ciphertext that follows.
    pub len: usize,
    /// Whether nothing may follow it.
    pub last: bool,
}

impl BackupReader {
    /// Opens a backup by its header. Takes as long as the header says, within bounds.
    ///
    /// # Errors
    /// [`BackupError::NotABackup`], [`BackupError::Version`], [`BackupError::Cost`],
    /// [`BackupError::Passphrase`].
    pub fn open(header: &[u8; HEADER_LEN], passphrase: &str) -> Result<Self, BackupError> {
        let damaged = || BackupError::NotABackup;
        let rest = header.strip_prefix(MAGIC).ok_or_else(damaged)?;
        let (version, rest) = rest.split_first().ok_or_else(damaged)?;
        if *version != VERSION {
            return Err(BackupError::Version(*version));
        }
        let (memory_kib, rest) = number(rest)?;
        let (passes, rest) = number(rest)?;
        let (lanes, rest) = number(rest)?;
        let (salt, check) = rest.split_first_chunk::<16>().ok_or_else(damaged)?;
        let cost = Cost { memory_kib, passes, lanes };
        if !cost.is_allowed() {
            return Err(BackupError::Cost);
        }
        let (cipher, prefix, derived) = derive(passphrase, cost, salt)?;
        if !bool::from(derived.expose().as_slice().ct_eq(check)) {
            return Err(BackupError::Passphrase);
        }
        Ok(Self(Parts { cipher, prefix, header: *header, number: 0 }))
    }

    /// What the 4 bytes before a part say.
    ///
    /// # Errors
    /// [`BackupError::Damaged`] for a length that no part has.
    pub fn head(bytes: [u8; 4]) -> Result<PartHead, BackupError> {
        let number = u32::from_be_bytes(bytes);
        let len = usize::try_from(number & !LAST).map_err(|_| BackupError::Damaged)?;
        if !(TAG_LEN..=MAX_PART_LEN + TAG_LEN).contains(&len) {
            return Err(BackupError::Damaged);
        }
        Ok(PartHead { len, last: number & LAST != 0 })
    }

    /// Decrypts the next part.
    ///
    /// # Errors
    /// [`BackupError::Damaged`] if it was changed, moved or cut off.
    pub fn part(
        &mut self,
        head: PartHead,
        sealed: Vec<u8>,
    ) -> Result<Zeroizing<Vec<u8>>, BackupError> {
        let mut part = Zeroizing::new(sealed);
        let nonce = self.0.nonce(head.last);
        let opened = self.0.cipher.decrypt_in_place(&nonce, &self.0.header, &mut *part);
        opened.map_err(|_| BackupError::Damaged)?;
        self.0.number = self.0.number.checked_add(1).ok_or(BackupError::TooLong)?;
        Ok(part)
    }
}

fn number(bytes: &[u8]) -> Result<(u32, &[u8]), BackupError> {
    let (number, rest) = bytes.split_first_chunk::<4>().ok_or(BackupError::NotABackup)?;
    Ok((u32::from_be_bytes(*number), rest))
}

impl core::fmt::Debug for BackupWriter {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("BackupWriter").field("parts", &self.0.number).finish_non_exhaustive()
    }
}

impl core::fmt::Debug for BackupReader {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("BackupReader").field("parts", &self.0.number).finish_non_exhaustive()
    }
}

/// Why a backup cannot be written or read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BackupError {
    /// Deriving the key would cost more than is allowed.
    #[error("the backup asks for more memory or time than is allowed for its key")]
    Cost,
    /// A part was changed, moved or cut off.
    #[error("the backup is damaged: it was changed or cut off")]
    Damaged,
    /// The file is something else.
    #[error("the file is not a Posthouse backup")]
    NotABackup,
    /// Another passphrase, or the header was changed.
    #[error("the passphrase is wrong")]
    Passphrase,
    /// A part is longer than [`MAX_PART_LEN`], or there are too many.
    #[error("the backup is too long")]
    TooLong,
    /// Of a later version.
    #[error("the backup has version {0}, which is unknown here")]
    Version(u8),
}

#[cfg(test)]
mod tests;
