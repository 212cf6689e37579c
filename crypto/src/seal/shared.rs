//! Many sealed bodies under one encapsulated key: the key and nonce of each are drawn from the HPKE
//! context by its secret export interface (RFC 9180 §5.3) and a salt of the body's own.
//!
//! Encapsulating and decapsulating cost a hundred times what sealing a short body costs; two
//! servers that exchange many of them do it once in a while instead. Bodies have no order and no
//! counter, so that nothing has to be remembered across a crash: a salt is random.

use core::fmt;

use aes_gcm::{
    Aes256Gcm, KeyInit, Nonce,
    aead::{Aead as _, Payload, consts::U12},
};
use hpke::{
    Deserializable, OpModeR,
    aead::{AeadCtxR, AeadCtxS, AesGcm256},
    kdf::HkdfSha256,
    kem::{X25519HkdfSha256, XWing},
    setup_receiver,
};
use rand_core::CryptoRng;
use zeroize::Zeroizing;

use super::{Public, SealError, SealingKey, SealingPublicKey, Secret, begin};

/// Length of a salt, in bytes.
pub const SALT_LEN: usize = 16;
const KEY_LEN: usize = 32;
const NONCE_LEN: usize = 12;

/// Seals many bodies under one encapsulated key.
pub struct SharedSealing {
    enc: Vec<u8>,
    context: Sender,
}

enum Sender {
    X25519(Box<AeadCtxS<AesGcm256, HkdfSha256, X25519HkdfSha256>>),
    XWing(Box<AeadCtxS<AesGcm256, HkdfSha256, XWing>>),
}

/// Opens many bodies under one encapsulated key.
pub struct SharedOpening(Receiver);

enum Receiver {
    X25519(Box<AeadCtxR<AesGcm256, HkdfSha256, X25519HkdfSha256>>),
    XWing(Box<AeadCtxR<AesGcm256, HkdfSha256, XWing>>),
}

impl SealingPublicKey {
    /// Encapsulates a key to this one, for many bodies.
    ///
    /// # Errors
    /// [`SealError::Key`] if the public key yields no shared secret (RFC 9180 §7.1.4).
    pub fn share(&self, info: &[u8], rng: &mut impl CryptoRng) -> Result<SharedSealing, SealError> {
        let (enc, context) = match &self.0 {
            Public::X25519(key) => begin::<X25519HkdfSha256>(key, info, rng)
                .map(|(enc, context)| (enc, Sender::X25519(Box::new(context))))?,
            Public::XWing(key) => begin::<XWing>(key, info, rng)
                .map(|(enc, context)| (enc, Sender::XWing(Box::new(context))))?,
        };
        Ok(SharedSealing { enc, context })
    }
}

impl SealingKey {
    /// Decapsulates a key that many bodies are sealed under. Whether it is the one that was
    /// encapsulated shows when a body opens.
    ///
    /// # Errors
    /// [`SealError::Open`] if the bytes are no encapsulated key.
    pub fn share(&self, info: &[u8], encapsulated: &[u8]) -> Result<SharedOpening, SealError> {
        let receiver = match &self.0 {
            Secret::X25519(key) => {
                Receiver::X25519(Box::new(receiver::<X25519HkdfSha256>(key, info, encapsulated)?))
            }
            Secret::XWing(key) => {
                Receiver::XWing(Box::new(receiver::<XWing>(key, info, encapsulated)?))
            }
        };
        Ok(SharedOpening(receiver))
    }
}

impl SharedSealing {
    /// The encapsulated key, which the opener needs.
    pub fn encapsulated(&self) -> &[u8] {
        &self.enc
    }

    /// Seals a body. A salt must never serve two bodies: it is random.
    ///
    /// # Errors
    /// [`SealError::TooLong`] beyond what AES-GCM can seal at once (RFC 5116 §5.1).
    pub fn seal(
        &self,
        salt: &[u8; SALT_LEN],
        associated: &[u8],
        plain: &[u8],
    ) -> Result<Vec<u8>, SealError> {
        let mut drawn = Zeroizing::new([0; KEY_LEN + NONCE_LEN]);
        match &self.context {
            Sender::X25519(context) => context.export(salt, drawn.as_mut()),
            Sender::XWing(context) => context.export(salt, drawn.as_mut()),
        }
        .map_err(|_| SealError::TooLong)?;
        let (cipher, nonce) = cipher(&drawn);
        cipher
            .encrypt(&nonce, Payload { msg: plain, aad: associated })
            .map_err(|_| SealError::TooLong)
    }
}

impl SharedOpening {
    /// Opens a body that was sealed with the same salt and `associated` data.
    ///
    /// # Errors
    /// [`SealError::Open`] if anything differs from what was sealed, or was sealed under another key.
    pub fn open(
        &self,
        salt: &[u8; SALT_LEN],
        associated: &[u8],
        sealed: &[u8],
    ) -> Result<Vec<u8>, SealError> {
        let mut drawn = Zeroizing::new([0; KEY_LEN + NONCE_LEN]);
        match &self.0 {
            Receiver::X25519(context) => context.export(salt, drawn.as_mut()),
            Receiver::XWing(context) => context.export(salt, drawn.as_mut()),
        }
        .map_err(|_| SealError::Open)?;
        let (cipher, nonce) = cipher(&drawn);
        cipher
            .decrypt(&nonce, Payload { msg: sealed, aad: associated })
            .map_err(|_| SealError::Open)
    }
}

fn cipher(drawn: &[u8; KEY_LEN + NONCE_LEN]) -> (Aes256Gcm, Nonce<U12>) {
    let (first, rest) = drawn.split_at(KEY_LEN);
    let (mut key, mut nonce) = (Zeroizing::new([0; KEY_LEN]), [0; NONCE_LEN]);
    key.copy_from_slice(first);
    nonce.copy_from_slice(rest);
    (Aes256Gcm::new((&*key).into()), nonce.into())
}

fn receiver<K: hpke::Kem>(
    key: &K::PrivateKey,
    info: &[u8],
    encapsulated: &[u8],
) -> Result<AeadCtxR<AesGcm256, HkdfSha256, K>, SealError> {
    let enc = K::EncappedKey::from_bytes(encapsulated).map_err(|_| SealError::Open)?;
    setup_receiver(&OpModeR::Base, key, &enc, info).map_err(|_| SealError::Open)
}

impl fmt::Debug for SharedSealing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SharedSealing").finish_non_exhaustive()
    }
}

impl fmt::Debug for SharedOpening {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SharedOpening").finish_non_exhaustive()
    }
}
