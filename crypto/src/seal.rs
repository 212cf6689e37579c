//! Sealed bodies between servers: HPKE base mode (RFC 9180 §5.1.1) with HKDF-SHA256 and AES-256-GCM
//! over one of two key encapsulations; single shot (§6.1), or many bodies under one encapsulated key
//! ([`SharedSealing`]).
//!
//! X-Wing (ML-KEM-768 with X25519) is what a server offers by default, so that traffic recorded
//! today stays closed to a quantum computer; DHKEM(X25519, HKDF-SHA256) is what every server must
//! understand. Base mode says nothing about the sender: the caller signs.

mod shared;

use core::fmt;

use hpke::{
    Deserializable, HpkeError, Kem as _, OpModeR, OpModeS, Serializable,
    aead::AesGcm256,
    kdf::HkdfSha256,
    kem::{X25519HkdfSha256, XWing},
    single_shot_open, single_shot_seal_with_rng,
};
use rand_core::CryptoRng;
use zeroize::Zeroizing;

pub use self::shared::{SALT_LEN, SharedOpening, SharedSealing};

/// Length of a stored secret, in bytes, for either encapsulation.
pub const SECRET_LEN: usize = 32;
/// Length of the AES-256-GCM tag at the end of a sealed body, in bytes.
pub const TAG_LEN: usize = 16;

/// A key encapsulation, by its number in the IANA registry "HPKE KEM Identifiers".
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Encapsulation {
    /// DHKEM(X25519, HKDF-SHA256): mandatory.
    X25519,
    /// X-Wing: the default.
    XWing,
}

impl Encapsulation {
    /// Both, the preferred one first.
    pub const PREFERENCE: [Self; 2] = [Self::XWing, Self::X25519];

    /// The number in the registry.
    pub fn id(self) -> u16 {
        match self {
            Self::X25519 => 0x0020,
            Self::XWing => 0x647a,
        }
    }

    /// The encapsulation of a number; `None` for one that this version does not know.
    pub fn from_id(id: u16) -> Option<Self> {
        Self::PREFERENCE.into_iter().find(|known| known.id() == id)
    }

    /// Length of a public key, in bytes.
    pub fn public_key_len(self) -> usize {
        match self {
            Self::X25519 => 32,
            Self::XWing => 1216,
        }
    }

    /// Length of an encapsulated key, in bytes.
    pub fn encapsulated_len(self) -> usize {
        match self {
            Self::X25519 => 32,
            Self::XWing => 1120,
        }
    }
}

/// A server's secret sealing key. The parts are zeroized when dropped; `Debug` shows none of them.
#[derive(Clone)]
pub struct SealingKey(Secret);

#[derive(Clone)]
enum Secret {
    X25519(<X25519HkdfSha256 as hpke::Kem>::PrivateKey),
    XWing(Box<<XWing as hpke::Kem>::PrivateKey>),
}

impl SealingKey {
    /// Makes a new key from `rng`.
    pub fn generate(encapsulation: Encapsulation, rng: &mut impl CryptoRng) -> Self {
        match encapsulation {
            Encapsulation::X25519 => {
                Self(Secret::X25519(X25519HkdfSha256::gen_keypair_with_rng(rng).0))
            }
            Encapsulation::XWing => {
                Self(Secret::XWing(Box::new(XWing::gen_keypair_with_rng(rng).0)))
            }
        }
    }

    /// The key of a stored secret.
    ///
    /// # Errors
    /// [`SealError::Key`] if the bytes are no secret key.
    pub fn from_secret(
        encapsulation: Encapsulation,
        secret: &[u8; SECRET_LEN],
    ) -> Result<Self, SealError> {
        let key = match encapsulation {
            Encapsulation::X25519 => Deserializable::from_bytes(secret).map(Secret::X25519),
            Encapsulation::XWing => {
                Deserializable::from_bytes(secret).map(|key| Secret::XWing(Box::new(key)))
            }
        };
        key.map(Self).map_err(|_| SealError::Key)
    }

    /// The secret, to be stored in a file that only the server can read.
    pub fn secret(&self) -> Zeroizing<[u8; SECRET_LEN]> {
        let mut secret = Zeroizing::new([0; SECRET_LEN]);
        match &self.0 {
            Secret::X25519(key) => key.write_exact(secret.as_mut()),
            Secret::XWing(key) => key.write_exact(secret.as_mut()),
        }
        secret
    }

    /// How keys are encapsulated to this one.
    pub fn encapsulation(&self) -> Encapsulation {
        match self.0 {
            Secret::X25519(_) => Encapsulation::X25519,
            Secret::XWing(_) => Encapsulation::XWing,
        }
    }

    /// The public half.
    pub fn public_key(&self) -> SealingPublicKey {
        SealingPublicKey(match &self.0 {
            Secret::X25519(key) => Public::X25519(X25519HkdfSha256::sk_to_pk(key)),
            Secret::XWing(key) => Public::XWing(Box::new(XWing::sk_to_pk(key))),
        })
    }

    /// Opens what was sealed to this key with the same `info` and `associated` data.
    ///
    /// # Errors
    /// [`SealError::Open`] if anything differs from what was sealed, or was sealed to another key.
    pub fn open(
        &self,
        info: &[u8],
        associated: &[u8],
        encapsulated: &[u8],
        sealed: &[u8],
    ) -> Result<Vec<u8>, SealError> {
        match &self.0 {
            Secret::X25519(key) => {
                open::<X25519HkdfSha256>(key, info, associated, encapsulated, sealed)
            }
            Secret::XWing(key) => open::<XWing>(key, info, associated, encapsulated, sealed),
        }
    }
}

impl fmt::Debug for SealingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SealingKey")
            .field("encapsulation", &self.encapsulation())
            .finish_non_exhaustive()
    }
}

/// The public half of a [`SealingKey`].
#[derive(Clone, PartialEq, Eq)]
pub struct SealingPublicKey(Public);

#[derive(Clone, PartialEq, Eq)]
enum Public {
    X25519(<X25519HkdfSha256 as hpke::Kem>::PublicKey),
    XWing(Box<<XWing as hpke::Kem>::PublicKey>),
}

impl SealingPublicKey {
    /// Parses a public key as the encapsulation's specification lays it out.
    ///
    /// # Errors
    /// [`SealError::Key`] for a wrong length or a value that the encapsulation refuses.
    pub fn from_bytes(encapsulation: Encapsulation, bytes: &[u8]) -> Result<Self, SealError> {
        if bytes.len() != encapsulation.public_key_len() {
            return Err(SealError::Key);
        }
        let key = match encapsulation {
            Encapsulation::X25519 => Deserializable::from_bytes(bytes).map(Public::X25519),
            Encapsulation::XWing => {
                Deserializable::from_bytes(bytes).map(|key| Public::XWing(Box::new(key)))
            }
        };
        key.map(Self).map_err(|_| SealError::Key)
    }

    /// The bytes of the key.
    pub fn to_bytes(&self) -> Vec<u8> {
        match &self.0 {
            Public::X25519(key) => key.to_bytes().to_vec(),
            Public::XWing(key) => key.to_bytes().to_vec(),
        }
    }

    /// How keys are encapsulated to this one.
    pub fn encapsulation(&self) -> Encapsulation {
        match self.0 {
            Public::X25519(_) => Encapsulation::X25519,
            Public::XWing(_) => Encapsulation::XWing,
        }
    }

    /// Starts a sealing to this key. The encapsulated key comes first because the associated data
    /// may have to contain it; [`Sealing::finish`] then seals the body.
    ///
    /// # Errors
    /// [`SealError::Key`] if the public key yields no shared secret (RFC 9180 §7.1.4).
    pub fn begin(&self, info: &[u8], rng: &mut impl CryptoRng) -> Result<Sealing, SealError> {
        match &self.0 {
            Public::X25519(key) => begin::<X25519HkdfSha256>(key, info, rng)
                .map(|(enc, context)| Sealing { enc, context: Context::X25519(context) }),
            Public::XWing(key) => begin::<XWing>(key, info, rng)
                .map(|(enc, context)| Sealing { enc, context: Context::XWing(context) }),
        }
    }

    /// Seals `plain` in one step; gives the encapsulated key and the sealed body.
    ///
    /// # Errors
    /// [`SealError::Key`] if the public key yields no shared secret (RFC 9180 §7.1.4).
    pub fn seal(
        &self,
        info: &[u8],
        associated: &[u8],
        plain: &[u8],
        rng: &mut impl CryptoRng,
    ) -> Result<(Vec<u8>, Vec<u8>), SealError> {
        match &self.0 {
            Public::X25519(key) => seal::<X25519HkdfSha256>(key, info, associated, plain, rng),
            Public::XWing(key) => seal::<XWing>(key, info, associated, plain, rng),
        }
    }
}

impl fmt::Debug for SealingPublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SealingPublicKey({:?})", self.encapsulation())
    }
}

/// A sealing whose key is encapsulated and whose body is still to come.
pub struct Sealing {
    enc: Vec<u8>,
    context: Context,
}

enum Context {
    X25519(hpke::aead::AeadCtxS<AesGcm256, HkdfSha256, X25519HkdfSha256>),
    XWing(hpke::aead::AeadCtxS<AesGcm256, HkdfSha256, XWing>),
}

impl Sealing {
    /// The encapsulated key, which the opener needs.
    pub fn encapsulated(&self) -> &[u8] {
        &self.enc
    }

    /// Seals the body; each sealing serves one body.
    ///
    /// # Errors
    /// [`SealError::TooLong`] beyond what AES-GCM can seal at once (RFC 5116 §5.1).
    pub fn finish(self, associated: &[u8], plain: &[u8]) -> Result<Vec<u8>, SealError> {
        match self.context {
            Context::X25519(mut context) => context.seal(plain, associated),
            Context::XWing(mut context) => context.seal(plain, associated),
        }
        .map_err(|_| SealError::TooLong)
    }
}

/// Why something was not sealed or opened. It never tells which part of a sealed body differed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SealError {
    /// The bytes are no key of this encapsulation, or one that yields no secret.
    #[error("not a usable sealing key")]
    Key,
    /// The body, its associated data or the encapsulated key is not what was sealed to this key.
    #[error("the sealed body does not open")]
    Open,
    /// The body is longer than can be sealed.
    #[error("the body is too long to be sealed")]
    TooLong,
}

type Started<K> = (Vec<u8>, hpke::aead::AeadCtxS<AesGcm256, HkdfSha256, K>);

fn begin<K: hpke::Kem>(
    key: &K::PublicKey,
    info: &[u8],
    rng: &mut impl CryptoRng,
) -> Result<Started<K>, SealError> {
    let started =
        hpke::setup_sender_with_rng::<AesGcm256, HkdfSha256, K>(&OpModeS::Base, key, info, rng);
    started.map(|(enc, context)| (enc.to_bytes().to_vec(), context)).map_err(|_| SealError::Key)
}

fn seal<K: hpke::Kem>(
    key: &K::PublicKey,
    info: &[u8],
    associated: &[u8],
    plain: &[u8],
    rng: &mut impl CryptoRng,
) -> Result<(Vec<u8>, Vec<u8>), SealError> {
    let sealed = single_shot_seal_with_rng::<AesGcm256, HkdfSha256, K>(
        &OpModeS::Base,
        key,
        info,
        plain,
        associated,
        rng,
    );
    sealed.map(|(enc, body)| (enc.to_bytes().to_vec(), body)).map_err(|err| match err {
        HpkeError::SealError => SealError::TooLong,
        _ => SealError::Key,
    })
}

fn open<K: hpke::Kem>(
    key: &K::PrivateKey,
    info: &[u8],
    associated: &[u8],
    encapsulated: &[u8],
    sealed: &[u8],
) -> Result<Vec<u8>, SealError> {
    let enc = K::EncappedKey::from_bytes(encapsulated).map_err(|_| SealError::Open)?;
    single_shot_open::<AesGcm256, HkdfSha256, K>(
        &OpModeR::Base,
        key,
        &enc,
        info,
        sealed,
        associated,
    )
    .map_err(|_| SealError::Open)
}

#[cfg(test)]
mod tests;
