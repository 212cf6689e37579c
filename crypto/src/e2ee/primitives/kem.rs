//! Kyber-1024 (round 3), the KEM of PQXDH: `0x08 || key`.
//!
//! Its keys and ciphertexts look like those of ML-KEM-1024, but its last hash differs, so the
//! two give different secrets.

use core::fmt;

use libcrux_ml_kem::{
    kyber1024,
    mlkem1024::{MlKem1024Ciphertext, MlKem1024PrivateKey, MlKem1024PublicKey},
};
use rand_core::CryptoRng;
use zeroize::{Zeroize, Zeroizing};

use super::curve::KeyError;
use crate::e2ee::secret::Secret;

/// Length of a public key on the wire, in bytes.
pub const KEM_PUBLIC_KEY_LEN: usize = 1 + 1568;
/// Length of a ciphertext on the wire, in bytes.
pub const KEM_CIPHERTEXT_LEN: usize = 1 + 1568;
/// Length of a stored secret key, in bytes.
pub const KEM_SECRET_KEY_LEN: usize = 1 + 3168;
/// The type byte of Kyber-1024.
const TYPE_KYBER1024: u8 = 0x08;
/// Where the public key stands inside the secret one.
const PUBLIC_IN_SECRET: usize = 1536;

/// A Kyber-1024 public key whose coefficients are in range.
#[derive(Clone, PartialEq, Eq)]
pub struct KemPublicKey(Box<[u8; 1568]>);

impl KemPublicKey {
    /// Parses the 1,569 bytes of the wire.
    ///
    /// # Errors
    /// [`KeyError::Length`], [`KeyError::Type`] or [`KeyError::NotCanonical`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, KeyError> {
        let key: [u8; 1568] = untype(bytes)?;
        if !kyber1024::validate_public_key(&MlKem1024PublicKey::from(&key)) {
            return Err(KeyError::NotCanonical);
        }
        Ok(Self(Box::new(key)))
    }

    /// `0x08 || key`.
    pub fn to_bytes(&self) -> Vec<u8> {
        typed(self.0.as_slice())
    }

    /// Makes a secret that only the key's owner can read out of the ciphertext.
    pub fn encapsulate(&self, rng: &mut impl CryptoRng) -> (KemCiphertext, Secret<32>) {
        let seed = Secret::<32>::random(rng);
        let key = MlKem1024PublicKey::from(&*self.0);
        let (ciphertext, secret) = kyber1024::encapsulate(&key, *seed.expose());
        (KemCiphertext(Box::new(*ciphertext.as_slice())), Secret::new(secret))
    }
}

impl fmt::Debug for KemPublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [first, second, third, ..] = *self.0;
        write!(f, "KemPublicKey({first:02x}{second:02x}{third:02x}..)")
    }
}

/// A Kyber-1024 ciphertext.
#[derive(Clone, PartialEq, Eq)]
pub struct KemCiphertext(Box<[u8; 1568]>);

impl KemCiphertext {
    /// Parses the 1,569 bytes of the wire.
    ///
    /// # Errors
    /// [`KeyError::Length`] or [`KeyError::Type`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, KeyError> {
        untype(bytes).map(|ciphertext| Self(Box::new(ciphertext)))
    }

    /// `0x08 || ciphertext`.
    pub fn to_bytes(&self) -> Vec<u8> {
        typed(self.0.as_slice())
    }
}

impl fmt::Debug for KemCiphertext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KemCiphertext(..)")
    }
}

/// Both halves of a Kyber-1024 key. Zeroized when dropped.
#[derive(Clone)]
pub struct KemKeyPair {
    public: KemPublicKey,
    secret: Box<Secret<3168>>,
}

impl KemKeyPair {
    /// A new pair from 64 bytes of `rng`.
    pub fn generate(rng: &mut impl CryptoRng) -> Self {
        let seed = Secret::<64>::random(rng);
        let pair = kyber1024::generate_key_pair(*seed.expose());
        let public = KemPublicKey(Box::new(*pair.pk()));
        let secret = Box::new(Secret::new(*pair.sk()));
        wipe(pair.into_parts().0);
        Self { public, secret }
    }

    /// Parses a stored secret key of 3,169 bytes, which holds the public half as well.
    ///
    /// # Errors
    /// [`KeyError::Length`], [`KeyError::Type`] or [`KeyError::NotCanonical`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, KeyError> {
        let secret = Box::new(Secret::new(untype::<3168>(bytes)?));
        let public = secret.part::<PUBLIC_IN_SECRET, 1568>();
        let public = KemPublicKey::from_bytes(&typed(public.expose()))?;
        Ok(Self { public, secret })
    }

    /// `0x08 || secret key`, to be stored where only its owner can read it.
    pub fn to_bytes(&self) -> Zeroizing<Vec<u8>> {
        Zeroizing::new(typed(self.secret.expose()))
    }

    /// The half to give away.
    pub fn public_key(&self) -> &KemPublicKey {
        &self.public
    }

    /// The secret in `ciphertext`. A ciphertext made for another key gives an unrelated secret,
    /// which the MAC of the message will not match.
    pub fn decapsulate(&self, ciphertext: &KemCiphertext) -> Secret<32> {
        let key = MlKem1024PrivateKey::from(self.secret.expose());
        let secret = kyber1024::decapsulate(&key, &MlKem1024Ciphertext::from(&*ciphertext.0));
        wipe(key);
        Secret::new(secret)
    }
}

impl fmt::Debug for KemKeyPair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KemKeyPair").field("public", &self.public).finish_non_exhaustive()
    }
}

/// Overwrites a private key that the library hands out without a destructor.
fn wipe(key: MlKem1024PrivateKey) {
    let mut bytes: [u8; 3168] = key.into();
    bytes.zeroize();
}

fn typed(bytes: &[u8]) -> Vec<u8> {
    let mut wire = Vec::with_capacity(1 + bytes.len());
    wire.push(TYPE_KYBER1024);
    wire.extend_from_slice(bytes);
    wire
}

fn untype<const N: usize>(bytes: &[u8]) -> Result<[u8; N], KeyError> {
    let (kind, rest) = bytes.split_first().ok_or(KeyError::Length)?;
    let rest = rest.try_into().map_err(|_| KeyError::Length)?;
    if *kind == TYPE_KYBER1024 { Ok(rest) } else { Err(KeyError::Type) }
}

#[cfg(test)]
mod tests {
    use rand::{SeedableRng, rngs::StdRng};

    use super::*;

    #[test]
    fn both_sides_get_one_secret_and_debug_shows_none() {
        let mut rng = StdRng::seed_from_u64(1);
        let pair = KemKeyPair::generate(&mut rng);
        let (ciphertext, ours) = pair.public_key().encapsulate(&mut rng);
        let stored = KemKeyPair::from_bytes(&pair.to_bytes()).unwrap();
        assert!(stored.public_key() == pair.public_key());
        assert!(stored.decapsulate(&ciphertext).ct_eq(&ours));
        assert!(!KemKeyPair::generate(&mut rng).decapsulate(&ciphertext).ct_eq(&ours));
        assert_eq!(format!("{ciphertext:?}"), "KemCiphertext(..)");
        let [_, first, second, third, ..] = pair.public_key().to_bytes()[..] else { panic!() };
        let public = format!("KemPublicKey({first:02x}{second:02x}{third:02x}..)");
        assert_eq!(format!("{pair:?}"), format!("KemKeyPair {{ public: {public}, .. }}"));
    }

    #[test]
    fn refuses_what_is_no_key() {
        let pair = KemKeyPair::generate(&mut StdRng::seed_from_u64(2));
        let bytes = pair.public_key().to_bytes();
        assert_eq!(bytes.len(), KEM_PUBLIC_KEY_LEN);
        let mut other = bytes.clone();
        other[0] = 0x07;
        assert_eq!(KemPublicKey::from_bytes(&other), Err(KeyError::Type));
        assert_eq!(KemPublicKey::from_bytes(&bytes[..1568]), Err(KeyError::Length));
        // Coefficients beyond the modulus.
        let mut beyond = bytes;
        beyond[1..1537].fill(0xff);
        assert_eq!(KemPublicKey::from_bytes(&beyond), Err(KeyError::NotCanonical));
    }
}
