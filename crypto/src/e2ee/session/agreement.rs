//! X3DH and PQXDH: the first secret of a session.
//!
//! ```text
//! 0xff * 32 || DH(IKa, SPKb) || DH(EKa, IKb) || DH(EKa, SPKb) [|| DH(EKa, OPKb)] [|| KEM secret]
//! X3DH   HKDF(no salt, "WhisperText")                                     -> root | chain
//! PQXDH  HKDF(no salt, "WhisperText_X25519_SHA-256_CRYSTALS-KYBER-1024")  -> root | chain | pq
//! ```

use zeroize::Zeroizing;

use crate::e2ee::{
    prekey::{bundle::PreKeyBundle, store::NamedPreKeys},
    primitives::{
        curve::{KeyError, KeyPair, PublicKey},
        kdf::{NO_SALT, hkdf},
    },
    profile::Profile,
    secret::Secret,
};

const X3DH: &[u8] = b"WhisperText";
const PQXDH: &[u8] = b"WhisperText_X25519_SHA-256_CRYSTALS-KYBER-1024";
/// The longest input: the prefix, four agreements and a KEM secret.
const MAX_INPUT: usize = 6 * 32;

/// What both sides have in common when a session begins.
#[derive(Debug)]
pub(crate) struct SharedSecrets {
    pub(crate) root: Secret<32>,
    pub(crate) chain: Secret<32>,
    /// For the post-quantum ratchet; not used by profiles without one.
    pub(crate) pq: Secret<32>,
}

/// The initiator's side. `kem` is the secret that the bundle's Kyber key was given.
pub(crate) fn initiate(
    profile: Profile,
    identity: &KeyPair,
    base: &KeyPair,
    bundle: &PreKeyBundle,
    kem: Option<&Secret<32>>,
) -> Result<SharedSecrets, KeyError> {
    let signed = &bundle.signed.key;
    let mut input = Input::new();
    input.push(&identity.private.agree(signed)?);
    input.push(&base.private.agree(&bundle.identity)?);
    input.push(&base.private.agree(signed)?);
    if let Some(one_time) = &bundle.one_time {
        input.push(&base.private.agree(&one_time.key)?);
    }
    Ok(input.finish(profile, kem))
}

/// The responder's side.
pub(crate) fn respond(
    profile: Profile,
    identity: &KeyPair,
    keys: &NamedPreKeys<'_>,
    their_identity: &PublicKey,
    base_key: &PublicKey,
    kem: Option<&Secret<32>>,
) -> Result<SharedSecrets, KeyError> {
    let mut input = Input::new();
    input.push(&keys.signed.private.agree(their_identity)?);
    input.push(&identity.private.agree(base_key)?);
    input.push(&keys.signed.private.agree(base_key)?);
    if let Some(one_time) = keys.one_time {
        input.push(&one_time.private.agree(base_key)?);
    }
    Ok(input.finish(profile, kem))
}

struct Input(Zeroizing<Vec<u8>>);

impl Input {
    fn new() -> Self {
        let mut input = Zeroizing::new(Vec::with_capacity(MAX_INPUT));
        input.extend_from_slice(&[0xff; 32]);
        Self(input)
    }

    fn push(&mut self, secret: &Secret<32>) {
        self.0.extend_from_slice(secret.expose());
    }

    fn finish(mut self, profile: Profile, kem: Option<&Secret<32>>) -> SharedSecrets {
        if let Some(secret) = kem {
            self.push(secret);
        }
        debug_assert!(self.0.len() <= MAX_INPUT, "growing would leave secrets in freed memory");
        let label = if profile == Profile::X3dh { X3DH } else { PQXDH };
        let keys: Secret<96> = hkdf(&NO_SALT, &self.0, &[label]);
        SharedSecrets {
            root: keys.part::<0, 32>(),
            chain: keys.part::<32, 32>(),
            pq: keys.part::<64, 32>(),
        }
    }
}
