//! X25519 keys: `0x05 || u`, 33 bytes in public, 32 clamped bytes in private.

use core::fmt;

use curve25519_dalek::{
    edwards::EdwardsPoint,
    montgomery::MontgomeryPoint,
    scalar::{Scalar, clamp_integer},
    traits::IsIdentity,
};
use rand_core::CryptoRng;

use crate::e2ee::secret::Secret;

/// Length of a public key on the wire, in bytes.
pub const PUBLIC_KEY_LEN: usize = 33;
/// Length of a private key, in bytes.
pub const PRIVATE_KEY_LEN: usize = 32;
/// The type byte of an X25519 public key.
const TYPE_X25519: u8 = 0x05;
/// 2^255 - 19, little-endian.
const FIELD_PRIME: [u8; 32] = {
    let mut p = [0xff; 32];
    p[0] = 0xed;
    p[31] = 0x7f;
    p
};

/// An X25519 public key with a canonical coordinate.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PublicKey([u8; 32]);

impl PublicKey {
    /// Parses the 33 bytes of the wire.
    ///
    /// # Errors
    /// [`KeyError::Length`], [`KeyError::Type`], or [`KeyError::NotCanonical`] for a coordinate
    /// that is not below the field's prime: one key has one encoding.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, KeyError> {
        let bytes: &[u8; PUBLIC_KEY_LEN] = bytes.try_into().map_err(|_| KeyError::Length)?;
        let [kind, u @ ..] = bytes;
        if *kind != TYPE_X25519 {
            return Err(KeyError::Type);
        }
        if u.iter().rev().ge(FIELD_PRIME.iter().rev()) {
            return Err(KeyError::NotCanonical);
        }
        Ok(Self(*u))
    }

    /// `0x05 || u`.
    pub fn to_bytes(&self) -> [u8; PUBLIC_KEY_LEN] {
        let mut bytes = [TYPE_X25519; PUBLIC_KEY_LEN];
        for (to, from) in bytes.iter_mut().skip(1).zip(self.0) {
            *to = from;
        }
        bytes
    }

    /// The point of edwards25519 with this u and the given sign of x, if u is on the curve.
    pub(crate) fn to_edwards(self, sign: u8) -> Option<EdwardsPoint> {
        MontgomeryPoint(self.0).to_edwards(sign)
    }

    /// Whether the key is a point of the prime-order group: on the curve, not the neutral
    /// element, no component of small order.
    pub fn is_prime_order(&self) -> bool {
        self.to_edwards(0).is_some_and(|point| point.is_torsion_free() && !point.is_identity())
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for byte in self.0 {
            write!(f, "{byte:02x}")?;
        }
        Ok(())
    }
}

/// An X25519 private key. Zeroized when dropped.
#[derive(Clone)]
pub struct PrivateKey(Secret<PRIVATE_KEY_LEN>);

impl PrivateKey {
    /// A new key from 32 bytes of `rng`.
    pub fn generate(rng: &mut impl CryptoRng) -> Self {
        Self::from_bytes(Secret::random(rng).expose())
    }

    /// The key of these bytes, clamped (RFC 7748 §5).
    pub fn from_bytes(bytes: &[u8; PRIVATE_KEY_LEN]) -> Self {
        Self(Secret::new(clamp_integer(*bytes)))
    }

    /// The clamped bytes, to be stored where only their owner can read them.
    pub fn to_bytes(&self) -> Secret<PRIVATE_KEY_LEN> {
        self.0.clone()
    }

    /// The public half.
    pub fn public_key(&self) -> PublicKey {
        PublicKey(MontgomeryPoint::mul_base_clamped(*self.0.expose()).to_bytes())
    }

    /// The Diffie-Hellman secret with `theirs` (RFC 7748 §6.1).
    ///
    /// # Errors
    /// [`KeyError::LowOrder`] if the result is all zero: `theirs` adds nothing.
    pub fn agree(&self, theirs: &PublicKey) -> Result<Secret<32>, KeyError> {
        let shared = MontgomeryPoint(theirs.0).mul_clamped(*self.0.expose());
        let shared = Secret::new(shared.to_bytes());
        if shared.ct_eq(&Secret::new([0; 32])) { Err(KeyError::LowOrder) } else { Ok(shared) }
    }

    /// The key as a scalar of edwards25519.
    pub(crate) fn scalar(&self) -> Scalar {
        Scalar::from_bytes_mod_order(*self.0.expose())
    }

    pub(crate) fn expose(&self) -> &[u8; PRIVATE_KEY_LEN] {
        self.0.expose()
    }
}

impl fmt::Debug for PrivateKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PrivateKey(..)")
    }
}

/// Both halves of an X25519 key.
#[derive(Clone, Debug)]
pub struct KeyPair {
    /// The half to give away.
    pub public: PublicKey,
    /// The half to keep.
    pub private: PrivateKey,
}

impl KeyPair {
    /// A new pair from 32 bytes of `rng`.
    pub fn generate(rng: &mut impl CryptoRng) -> Self {
        Self::from_private(PrivateKey::generate(rng))
    }

    /// The pair of a private key.
    pub fn from_private(private: PrivateKey) -> Self {
        Self { public: private.public_key(), private }
    }
}

/// Why a key was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    /// The wrong number of bytes.
    #[error("the key has the wrong length")]
    Length,
    /// Agreement with this key gives zero.
    #[error("the public key has low order")]
    LowOrder,
    /// A second encoding of a key, or one outside the field.
    #[error("the public key is not encoded canonically")]
    NotCanonical,
    /// The type byte names another kind of key.
    #[error("the key is of another type")]
    Type,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_key_has_one_encoding() {
        let mut bytes = KeyPair::from_private(PrivateKey::from_bytes(&[9; 32])).public.to_bytes();
        assert!(PublicKey::from_bytes(&bytes).is_ok());
        bytes[32] |= 0x80;
        assert_eq!(PublicKey::from_bytes(&bytes), Err(KeyError::NotCanonical));
        let mut prime = [TYPE_X25519; PUBLIC_KEY_LEN];
        prime[1..].copy_from_slice(&FIELD_PRIME);
        assert_eq!(PublicKey::from_bytes(&prime), Err(KeyError::NotCanonical));
        prime[1] -= 1;
        assert!(PublicKey::from_bytes(&prime).is_ok());
        prime[0] = 0x06;
        assert_eq!(PublicKey::from_bytes(&prime), Err(KeyError::Type));
        assert_eq!(PublicKey::from_bytes(&prime[1..]), Err(KeyError::Length));
    }

    #[test]
    fn refuses_to_agree_with_low_order() {
        let private = PrivateKey::from_bytes(&[9; 32]);
        for u in [0, 1] {
            let mut bytes = [0; PUBLIC_KEY_LEN];
            bytes[0] = TYPE_X25519;
            bytes[1] = u;
            let low = PublicKey::from_bytes(&bytes).unwrap();
            assert_eq!(private.agree(&low).unwrap_err(), KeyError::LowOrder);
            assert!(!low.is_prime_order());
        }
        assert!(private.public_key().is_prime_order());
    }

    #[test]
    fn debug_shows_no_secret() {
        let pair = KeyPair::from_private(PrivateKey::from_bytes(&[7; 32]));
        let shown = format!("{pair:?}");
        assert!(shown.ends_with("private: PrivateKey(..) }"), "{shown}");
    }
}
