//! Ed25519 signing keys of a server (RFC 8032), used for access tokens and, between servers, for
//! envelopes and documents.

use core::fmt;

use ed25519_dalek::{Signer, pkcs8::EncodePrivateKey};
use rand_core::CryptoRng;
use zeroize::Zeroizing;

/// Length of the secret seed, in bytes.
pub const SEED_LEN: usize = 32;
/// Length of a public key, in bytes.
pub const PUBLIC_KEY_LEN: usize = 32;
/// Length of a signature, in bytes.
pub const SIGNATURE_LEN: usize = 64;

/// A server's secret signing key. Zeroized when dropped; its `Debug` shows the public half only.
#[derive(Clone)]
pub struct SigningKey(ed25519_dalek::SigningKey);

impl SigningKey {
    /// Makes a new key from `rng`.
    pub fn generate(rng: &mut impl CryptoRng) -> Self {
        let mut seed = Zeroizing::new([0; SEED_LEN]);
        rng.fill_bytes(seed.as_mut());
        Self::from_seed(&seed)
    }

    /// The key of a stored seed.
    pub fn from_seed(seed: &[u8; SEED_LEN]) -> Self {
        Self(ed25519_dalek::SigningKey::from_bytes(seed))
    }

    /// The seed, to be stored in a file that only the server can read.
    pub fn seed(&self) -> Zeroizing<[u8; SEED_LEN]> {
        Zeroizing::new(self.0.to_bytes())
    }

    /// Signs `message` as it is: the caller separates domains by a label in its bytes.
    pub fn sign(&self, message: &[u8]) -> [u8; SIGNATURE_LEN] {
        self.0.sign(message).to_bytes()
    }

    /// The public half.
    pub fn verifying_key(&self) -> VerifyingKey {
        VerifyingKey(self.0.verifying_key())
    }

    /// The key as PKCS #8 DER (RFC 8410), the form token libraries take.
    ///
    /// # Errors
    /// [`KeyError::Encoding`] if the encoder fails, which no valid key makes it do.
    pub fn to_pkcs8_der(&self) -> Result<Zeroizing<Vec<u8>>, KeyError> {
        let document = self.0.to_pkcs8_der().map_err(|_| KeyError::Encoding)?;
        Ok(Zeroizing::new(document.as_bytes().to_vec()))
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SigningKey").field("public", &self.verifying_key()).finish_non_exhaustive()
    }
}

/// The public half of a [`SigningKey`].
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct VerifyingKey(ed25519_dalek::VerifyingKey);

impl VerifyingKey {
    /// Parses 32 bytes; refuses encodings that are no point of the curve and weak keys.
    ///
    /// # Errors
    /// [`KeyError::NotAPoint`] or [`KeyError::Weak`].
    pub fn from_bytes(bytes: &[u8; PUBLIC_KEY_LEN]) -> Result<Self, KeyError> {
        let key =
            ed25519_dalek::VerifyingKey::from_bytes(bytes).map_err(|_| KeyError::NotAPoint)?;
        if key.is_weak() { Err(KeyError::Weak) } else { Ok(Self(key)) }
    }

    /// The 32 bytes of the key.
    pub fn to_bytes(&self) -> [u8; PUBLIC_KEY_LEN] {
        self.0.to_bytes()
    }

    /// Checks a signature, strictly: no malleable encodings (RFC 8032 §5.1.7).
    ///
    /// # Errors
    /// [`KeyError::BadSignature`].
    pub fn verify(&self, message: &[u8], signature: &[u8; SIGNATURE_LEN]) -> Result<(), KeyError> {
        let signature = ed25519_dalek::Signature::from_bytes(signature);
        self.0.verify_strict(message, &signature).map_err(|_| KeyError::BadSignature)
    }
}

impl fmt::Debug for VerifyingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for byte in self.to_bytes() {
            write!(f, "{byte:02x}")?;
        }
        Ok(())
    }
}

/// Why a key or signature was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    /// The signature is not this key's over this message.
    #[error("the signature does not match")]
    BadSignature,
    /// The key could not be encoded.
    #[error("the key cannot be encoded")]
    Encoding,
    /// The bytes are no point of the curve.
    #[error("the public key is not a point of the curve")]
    NotAPoint,
    /// The key has small order: anyone could sign for it.
    #[error("the public key is weak")]
    Weak,
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 8032 §7.1, test 2.
    #[test]
    fn signs_as_the_rfc_vector_says() {
        let seed = hex("4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb");
        let seed: [u8; SEED_LEN] = seed.try_into().unwrap();
        let key = SigningKey::from_seed(&seed);
        let expected = hex(concat!(
            "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da",
            "085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00"
        ));
        assert_eq!(key.sign(&[0x72]).to_vec(), expected);
        key.verifying_key().verify(&[0x72], &expected.try_into().unwrap()).unwrap();
        let public = hex("3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c");
        assert_eq!(key.verifying_key().to_bytes().to_vec(), public);
        let public = VerifyingKey::from_bytes(&public.try_into().unwrap()).unwrap();
        assert_eq!(public, key.verifying_key());
        assert_eq!((*key.seed(), seed_of(&key)), (seed, seed));
    }

    /// The seed as RFC 8410 §7 stores it: an OCTET STRING inside an OCTET STRING, behind the
    /// version and the algorithm.
    fn seed_of(key: &SigningKey) -> [u8; SEED_LEN] {
        let der = key.to_pkcs8_der().unwrap();
        assert_eq!(der[5..16], hex("300506032b657004220420"));
        der[16..16 + SEED_LEN].try_into().unwrap()
    }

    #[test]
    fn refuses_a_changed_message_and_a_weak_key() {
        let key = SigningKey::from_seed(&[7; 32]);
        let signature = key.sign(b"to south.test");
        let outcome = key.verifying_key().verify(b"to north.test", &signature);
        assert_eq!(outcome, Err(KeyError::BadSignature));
        let mut identity = [0; 32];
        identity[0] = 1;
        assert_eq!(VerifyingKey::from_bytes(&identity), Err(KeyError::Weak));
        // y = 2 is on no point: (y^2 - 1) / (d y^2 + 1) is no square.
        identity[0] = 2;
        assert_eq!(VerifyingKey::from_bytes(&identity), Err(KeyError::NotAPoint));
    }

    #[test]
    fn debug_shows_no_secret() {
        let key = SigningKey::from_seed(&[7; 32]);
        let shown = format!("{key:?}");
        assert!(!shown.contains("07070707"), "{shown}");
        let public = key.verifying_key().to_bytes().map(|byte| format!("{byte:02x}")).concat();
        assert_eq!(shown, format!("SigningKey {{ public: {public}, .. }}"));
    }

    fn hex(text: &str) -> Vec<u8> {
        (0..text.len())
            .step_by(2)
            .map(|i| u8::from_str_radix(&text[i..i + 2], 16).unwrap())
            .collect()
    }
}
