//! What one server signs for another, on its own or as the answer to something.
//!
//! ```text
//! signed value = [ value: bstr, signature: bstr (64) ]
//! signature    = Ed25519 over label ‖ 00 ‖ value
//! ```
//! The value names its signer and the signer's key. Every kind of value has a label of its own, so
//! that a signature of one kind is none of another.

use posthouse_crypto::sign::{KeyError, SIGNATURE_LEN, SigningKey, VerifyingKey};

use super::{
    cbor::{CborError, Fault, Reader, Writer},
    keys::KeyId,
};
use crate::id::ServerName;

/// A value that is signed.
pub trait Signable: Sized {
    /// What separates its signatures from those of other kinds; ends with a zero byte.
    const LABEL: &'static [u8];
    /// Most bytes of the signed value on the wire.
    const MAX_LEN: usize;

    /// The value's own bytes, without the signature.
    fn encode(&self) -> Vec<u8>;

    /// Parses the value's own bytes.
    ///
    /// # Errors
    /// [`CborError`] with the place and the rule that is broken.
    fn decode(bytes: &[u8]) -> Result<Self, CborError>;

    /// Whose key is said to sign.
    fn signer(&self) -> (&ServerName, KeyId);

    /// Says whose key signs.
    fn set_signing_key(&mut self, id: KeyId);
}

/// A value as it came: its signature has not been checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signed<T> {
    value: T,
    bytes: Vec<u8>,
    signature: [u8; SIGNATURE_LEN],
}

impl<T: Signable> Signed<T> {
    /// Signs a value; it is set to name the key.
    pub fn sign(mut value: T, key: &SigningKey) -> Self {
        value.set_signing_key(KeyId::of_signing(&key.verifying_key()));
        let bytes = value.encode();
        let signature = key.sign(&signed_text::<T>(&bytes));
        Self { value, bytes, signature }
    }

    /// The bytes on the wire.
    pub fn encode(&self) -> Vec<u8> {
        let mut writer = Writer::default();
        writer.array(2).bytes(&self.bytes).bytes(&self.signature);
        writer.finish()
    }

    /// Parses a signed value of at most [`Signable::MAX_LEN`] bytes.
    ///
    /// # Errors
    /// [`CborError`] with the place and the rule that is broken.
    pub fn decode(bytes: &[u8]) -> Result<Self, CborError> {
        let mut reader = Reader::new(bytes);
        if bytes.len() > T::MAX_LEN {
            return Err(reader.fault(Fault::TooLong));
        }
        reader.array_of(2)?;
        let inner = reader.bytes(T::MAX_LEN)?;
        let signature = reader.fixed()?;
        reader.finish()?;
        Ok(Self { value: T::decode(inner)?, bytes: inner.to_vec(), signature })
    }

    /// What is said, by nobody yet.
    pub fn claim(&self) -> &T {
        &self.value
    }

    /// Whose key is said to have signed.
    pub fn claimed_signer(&self) -> (&ServerName, KeyId) {
        self.value.signer()
    }

    /// Checks the signature and gives the value.
    ///
    /// # Errors
    /// [`KeyError::BadSignature`].
    pub fn verify(self, key: &VerifyingKey) -> Result<Verified<T>, KeyError> {
        key.verify(&signed_text::<T>(&self.bytes), &self.signature)?;
        Ok(Verified(self.value))
    }
}

/// A value whose signature was checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified<T>(T);

impl<T> Verified<T> {
    /// What was signed.
    pub fn value(&self) -> &T {
        &self.0
    }

    /// What was signed.
    pub fn into_value(self) -> T {
        self.0
    }
}

fn signed_text<T: Signable>(bytes: &[u8]) -> Vec<u8> {
    [T::LABEL, bytes].concat()
}
