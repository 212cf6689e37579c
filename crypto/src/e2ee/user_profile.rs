//! What a person says of themselves, encrypted with their profile key: each field by itself, as the
//! homeserver keeps it.
//!
//! ```text
//! sealed   1 (1) || nonce (12) || AES-256-GCM of the plaintext, with its tag (16)
//! plain    length (2, big-endian) || value || zeros
//!          name 258 bytes   about 1,026 bytes   avatar a multiple of 2,048, at most 28,672
//! key      HKDF(no salt, profile key, "Posthouse profile v1" || field), field 1 name, 2 about, 3 avatar
//! aad      version of the profile (8, big-endian) || account (UTF-8)
//! ```
//! So a homeserver cannot put one field, version or person in the place of another.

use aes_gcm::{Aes256Gcm, KeyInit, Nonce, aead::AeadInOut};
use rand_core::CryptoRng;
use zeroize::Zeroizing;

use super::{
    primitives::kdf::{NO_SALT, hkdf},
    secret::Secret,
};

/// The longest name, in bytes.
pub const MAX_NAME_LEN: usize = 256;
/// The longest `about`, in bytes.
pub const MAX_ABOUT_LEN: usize = 1_024;
/// The largest avatar, in bytes: what the homeserver takes once it is encrypted and in base64.
pub const MAX_AVATAR_LEN: usize = 28_670;

const FORMAT: u8 = 1;
const LABEL: &[u8] = b"Posthouse profile v1";
const NONCE_LEN: usize = 12;
const TAG_LEN: usize = 16;
/// Bytes of the length before a value.
const HEAD: usize = 2;
/// Avatars are padded to a multiple of so many bytes.
const AVATAR_STEP: usize = 2_048;

/// A field of a profile.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ProfileField {
    /// What the person is called, at most [`MAX_NAME_LEN`] bytes.
    Name,
    /// A few words, at most [`MAX_ABOUT_LEN`] bytes.
    About,
    /// A picture, at most [`MAX_AVATAR_LEN`] bytes.
    Avatar,
}

impl ProfileField {
    fn number(self) -> u8 {
        match self {
            Self::Name => 1,
            Self::About => 2,
            Self::Avatar => 3,
        }
    }

    fn max_len(self) -> usize {
        match self {
            Self::Name => MAX_NAME_LEN,
            Self::About => MAX_ABOUT_LEN,
            Self::Avatar => MAX_AVATAR_LEN,
        }
    }

    /// The length of the plaintext of a value of `len` bytes.
    fn space(self, len: usize) -> usize {
        match self {
            Self::Name | Self::About => HEAD + self.max_len(),
            Self::Avatar => (HEAD + len).next_multiple_of(AVATAR_STEP),
        }
    }
}

/// Whose profile, and which version of it: what a sealed field is bound to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProfilePlace<'a> {
    /// The full name of the account.
    pub account: &'a str,
    /// The version of the profile, as the homeserver counts them.
    pub version: u64,
}

impl ProfilePlace<'_> {
    fn associated_data(&self) -> Vec<u8> {
        [&self.version.to_be_bytes(), self.account.as_bytes()].concat()
    }
}

/// Encrypts a field.
///
/// # Errors
/// [`ProfileError::TooLong`].
pub fn seal_field(
    key: &Secret<32>,
    place: ProfilePlace<'_>,
    field: ProfileField,
    value: &[u8],
    rng: &mut impl CryptoRng,
) -> Result<Vec<u8>, ProfileError> {
    let too_long = |_| ProfileError::TooLong;
    if value.len() > field.max_len() {
        return Err(ProfileError::TooLong);
    }
    let len = u16::try_from(value.len()).map_err(too_long)?;
    let space = field.space(value.len());
    let mut body = Zeroizing::new(Vec::with_capacity(space + TAG_LEN));
    body.extend_from_slice(&len.to_be_bytes());
    body.extend_from_slice(value);
    body.resize(space, 0);
    let mut nonce = [0; NONCE_LEN];
    rng.fill_bytes(&mut nonce);
    let aad = place.associated_data();
    let sealed = cipher(key, field).encrypt_in_place(&Nonce::from(nonce), &aad, &mut *body);
    sealed.map_err(|_| ProfileError::TooLong)?;
    Ok([&[FORMAT], nonce.as_slice(), body.as_slice()].concat())
}

/// Decrypts a field.
///
/// # Errors
/// [`ProfileError::Format`], [`ProfileError::NotAuthentic`].
pub fn open_field(
    key: &Secret<32>,
    place: ProfilePlace<'_>,
    field: ProfileField,
    sealed: &[u8],
) -> Result<Zeroizing<Vec<u8>>, ProfileError> {
    let (format, rest) = sealed.split_first().ok_or(ProfileError::NotAuthentic)?;
    if *format != FORMAT {
        return Err(ProfileError::Format(*format));
    }
    let (nonce, body) = rest.split_first_chunk::<NONCE_LEN>().ok_or(ProfileError::NotAuthentic)?;
    let mut body = Zeroizing::new(body.to_vec());
    let aad = place.associated_data();
    let opened = cipher(key, field).decrypt_in_place(&Nonce::from(*nonce), &aad, &mut *body);
    opened.map_err(|_| ProfileError::NotAuthentic)?;
    let (len, value) = body.split_first_chunk::<HEAD>().ok_or(ProfileError::NotAuthentic)?;
    let len = usize::from(u16::from_be_bytes(*len));
    let value = value.get(..len).filter(|_| len <= field.max_len());
    value.map(|value| Zeroizing::new(value.to_vec())).ok_or(ProfileError::NotAuthentic)
}

fn cipher(key: &Secret<32>, field: ProfileField) -> Aes256Gcm {
    let key: Secret<32> = hkdf(&NO_SALT, key.expose(), &[LABEL, &[field.number()]]);
    Aes256Gcm::new(key.expose().into())
}

/// Why a field cannot be encrypted or decrypted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ProfileError {
    /// Of a later format.
    #[error("the profile has format {0}, which is unknown here")]
    Format(u8),
    /// It was changed, belongs to another field, version or person, or the key is another.
    #[error("the profile is not authentic, or its key is another")]
    NotAuthentic,
    /// Longer than its field may be.
    #[error("the field of the profile is too long")]
    TooLong,
}

#[cfg(test)]
mod tests;
