//! HPKE as envelopes use it (federation-envelopes.md §Envelope): base mode, HKDF-SHA256,
//! AES-256-GCM, with X-Wing or X25519.

use aes_gcm::{
    Aes256Gcm, KeyInit as _,
    aead::{Aead as _, Payload},
};
use hpke::{
    Deserializable as _, OpModeR, OpModeS, Serializable as _,
    aead::AesGcm256,
    kdf::HkdfSha256,
    kem::{X25519HkdfSha256, XWing},
};
use rand::CryptoRng;

use super::keys::{KeyId, sealing_key_id};

const INFO: &[u8] = b"posthouse envelope v1\0";

/// A key encapsulation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kem {
    /// X-Wing, 0x647a.
    XWing,
    /// DHKEM(X25519, HKDF-SHA256), 0x0020.
    X25519,
}

impl Kem {
    /// The number in headers.
    pub fn id(self) -> u16 {
        match self {
            Self::XWing => 0x647a,
            Self::X25519 => 0x0020,
        }
    }

    /// By its number.
    pub fn of(id: u64) -> Option<Self> {
        [Self::XWing, Self::X25519].into_iter().find(|kem| u64::from(kem.id()) == id)
    }
}

/// A key that others seal to.
#[derive(Clone)]
pub struct SealingKey {
    kem: Kem,
    secret: [u8; 32],
    public: Vec<u8>,
}

impl core::fmt::Debug for SealingKey {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("SealingKey").field("kem", &self.kem).finish_non_exhaustive()
    }
}

impl SealingKey {
    /// From the 32 bytes of its secret.
    pub fn from_secret(kem: Kem, secret: [u8; 32]) -> Option<Self> {
        let public = match kem {
            Kem::XWing => public::<XWing>(&secret),
            Kem::X25519 => public::<X25519HkdfSha256>(&secret),
        };
        Some(Self { kem, secret, public: public? })
    }

    /// Its encapsulation.
    pub fn kem(&self) -> Kem {
        self.kem
    }

    /// The public key.
    pub fn public(&self) -> &[u8] {
        &self.public
    }

    /// Its id.
    pub fn id(&self) -> KeyId {
        sealing_key_id(self.kem, &self.public)
    }

    /// Opens what was sealed to it under the header; with a salt if the encapsulated key is shared.
    pub fn open(
        &self,
        (encapsulated, salt): (&[u8], Option<[u8; 16]>),
        header: &[u8],
        sealed: &[u8],
    ) -> Option<Vec<u8>> {
        let body = Body { encapsulated, salt, header, sealed };
        match self.kem {
            Kem::XWing => body.open::<XWing>(&self.secret),
            Kem::X25519 => body.open::<X25519HkdfSha256>(&self.secret),
        }
    }
}

fn public<K: hpke::Kem>(secret: &[u8]) -> Option<Vec<u8>> {
    let secret = K::PrivateKey::from_bytes(secret).ok()?;
    Some(K::sk_to_pk(&secret).to_bytes().to_vec())
}

struct Body<'a> {
    encapsulated: &'a [u8],
    salt: Option<[u8; 16]>,
    header: &'a [u8],
    sealed: &'a [u8],
}

impl Body<'_> {
    fn open<K: hpke::Kem>(&self, secret: &[u8]) -> Option<Vec<u8>> {
        let secret = K::PrivateKey::from_bytes(secret).ok()?;
        let encapsulated = K::EncappedKey::from_bytes(self.encapsulated).ok()?;
        let base = OpModeR::Base;
        let receiver =
            hpke::setup_receiver::<AesGcm256, HkdfSha256, K>(&base, &secret, &encapsulated, INFO);
        let mut context = receiver.ok()?;
        let Some(salt) = self.salt else { return context.open(self.sealed, self.header).ok() };
        let (cipher, nonce) = shared(|drawn| context.export(&salt, drawn).ok())?;
        cipher.decrypt(&nonce.into(), Payload { msg: self.sealed, aad: self.header }).ok()
    }
}

/// The cipher and nonce of a body that shares its encapsulated key: 44 bytes of the context's secret
/// export, whose exporter context is the salt.
fn shared(export: impl FnOnce(&mut [u8]) -> Option<()>) -> Option<(Aes256Gcm, [u8; 12])> {
    let mut drawn = [0; 44];
    export(&mut drawn)?;
    let (key, nonce) = drawn.split_at(32);
    Some((Aes256Gcm::new_from_slice(key).ok()?, nonce.try_into().ok()?))
}

type Export = dyn Fn(&[u8], &mut [u8]) -> Option<()> + Send + Sync;

/// A key that was encapsulated to a server, for as many envelopes as are wanted.
pub struct SharedKey {
    kem: Kem,
    encapsulated: Vec<u8>,
    export: Box<Export>,
}

impl core::fmt::Debug for SharedKey {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("SharedKey").field("kem", &self.kem).finish_non_exhaustive()
    }
}

impl SharedKey {
    /// Encapsulates one.
    pub fn new((kem, public): (Kem, &[u8]), rng: &mut impl CryptoRng) -> Option<Self> {
        match kem {
            Kem::XWing => Self::with::<XWing>(kem, public, rng),
            Kem::X25519 => Self::with::<X25519HkdfSha256>(kem, public, rng),
        }
    }

    fn with<K>(kem: Kem, public: &[u8], rng: &mut impl CryptoRng) -> Option<Self>
    where
        K: hpke::Kem + Send + Sync + 'static,
    {
        let public = K::PublicKey::from_bytes(public).ok()?;
        let base = OpModeS::Base;
        let sender =
            hpke::setup_sender_with_rng::<AesGcm256, HkdfSha256, K>(&base, &public, INFO, rng);
        let (encapsulated, context) = sender.ok()?;
        let encapsulated = encapsulated.to_bytes().to_vec();
        let export = move |salt: &[u8], drawn: &mut [u8]| context.export(salt, drawn).ok();
        Some(Self { kem, encapsulated, export: Box::new(export) })
    }

    /// Its encapsulation.
    pub fn kem(&self) -> Kem {
        self.kem
    }

    /// The encapsulated key.
    pub fn encapsulated(&self) -> &[u8] {
        &self.encapsulated
    }

    /// Seals records under a salt.
    pub fn seal(&self, salt: [u8; 16], header: &[u8], records: &[u8]) -> Option<Vec<u8>> {
        let (cipher, nonce) = shared(|drawn| (self.export)(&salt, drawn))?;
        cipher.encrypt(&nonce.into(), Payload { msg: records, aad: header }).ok()
    }
}

/// Seals records to a public key. `header` is told the encapsulated key and gives the header's
/// bytes, which are the associated data.
///
/// The answer is the header and the sealed records.
pub fn seal(
    (kem, public): (Kem, &[u8]),
    records: &[u8],
    header: impl FnOnce(&[u8]) -> Vec<u8>,
    rng: &mut impl CryptoRng,
) -> Option<(Vec<u8>, Vec<u8>)> {
    match kem {
        Kem::XWing => seal_with::<XWing>(public, records, header, rng),
        Kem::X25519 => seal_with::<X25519HkdfSha256>(public, records, header, rng),
    }
}

fn seal_with<K: hpke::Kem>(
    public: &[u8],
    records: &[u8],
    header: impl FnOnce(&[u8]) -> Vec<u8>,
    rng: &mut impl CryptoRng,
) -> Option<(Vec<u8>, Vec<u8>)> {
    let public = K::PublicKey::from_bytes(public).ok()?;
    let base = OpModeS::Base;
    let (encapsulated, mut context) =
        hpke::setup_sender_with_rng::<AesGcm256, HkdfSha256, K>(&base, &public, INFO, rng).ok()?;
    let header = header(&encapsulated.to_bytes());
    let sealed = context.seal(records, &header).ok()?;
    Some((header, sealed))
}
