//! Documents that people sign with their identity keys: device lists and group epochs.
//!
//! ```text
//! document   [payload (bytes), signature (64 bytes)]     deterministic CBOR
//! signature  XEdDSA over label || 0x00 || payload
//! hash       SHA-256(label || 0x01 || payload)
//! ```
//! The payload is itself deterministic CBOR. Entries that this version does not know are covered
//! by signature and hash like all others.

pub mod device_list;
pub mod group_epoch;

use rand_core::CryptoRng;
use sha2::{Digest, Sha256};

use super::{
    cbor::{CborError, Fields, Reader, Writer},
    primitives::{
        curve::{PrivateKey, PublicKey},
        xeddsa::{self, SIGNATURE_LEN},
    },
};

/// The longest document, in bytes.
pub const MAX_DOCUMENT_LEN: usize = 256 * 1024;
/// SHA-256 of a document's payload, with its label.
pub type DocumentHash = [u8; 32];

/// What is wrong with bytes that are no document at all.
const NO_DOCUMENT: &str = "it is no [payload, signature] in deterministic CBOR";

/// The fields of a payload.
fn all_fields(payload: &[u8]) -> Result<Fields, &'static str> {
    let mut reader = Reader::new(payload);
    let fields = Fields::read(&mut reader).and_then(|fields| reader.end().map(|()| fields));
    fields.map_err(|_| "its payload is no map of numbered fields in deterministic CBOR")
}

/// A payload and its signature, under a label that says what it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Document {
    payload: Vec<u8>,
    signature: Option<[u8; SIGNATURE_LEN]>,
}

impl Document {
    pub(crate) fn sign(
        label: &[u8],
        payload: &[u8],
        key: &PrivateKey,
        rng: &mut impl CryptoRng,
    ) -> Self {
        let signature = xeddsa::sign(key, &[label, &[0], payload], rng);
        Self { payload: payload.to_vec(), signature: Some(signature) }
    }

    /// A document without a person's signature, for the few acts that everyone can compute.
    pub(crate) fn unsigned(payload: &[u8]) -> Self {
        Self { payload: payload.to_vec(), signature: None }
    }

    pub(crate) fn signed_by(&self, label: &[u8], key: &PublicKey) -> bool {
        self.signature.as_ref().is_some_and(|signature| {
            xeddsa::verify(key, &[label, &[0], &self.payload], signature).is_ok()
        })
    }

    pub(crate) fn is_signed(&self) -> bool {
        self.signature.is_some()
    }

    pub(crate) fn payload(&self) -> &[u8] {
        &self.payload
    }

    pub(crate) fn hash(&self, label: &[u8]) -> DocumentHash {
        let hash = Sha256::new().chain_update(label).chain_update([1]);
        hash.chain_update(&self.payload).finalize().into()
    }

    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        let mut writer = Writer::new();
        writer.array(2);
        writer.bytes(&self.payload);
        writer.optional(self.signature.as_ref(), |w, signature| w.bytes(signature));
        writer.finish().to_vec()
    }

    pub(crate) fn from_bytes(bytes: &[u8]) -> Result<Self, CborError> {
        if bytes.len() > MAX_DOCUMENT_LEN {
            return Err(CborError);
        }
        let mut reader = Reader::new(bytes);
        reader.fixed_array(2)?;
        let payload = reader.bytes()?.to_vec();
        let signature = reader.optional(Reader::exact)?;
        reader.end()?;
        Ok(Self { payload, signature })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_document_of_the_longest_length_is_read_and_a_longer_one_is_not() {
        // An array of two: a byte string with a head of 5 bytes, and null.
        let longest = Document::unsigned(&vec![7; MAX_DOCUMENT_LEN - 7]);
        assert_eq!(longest.to_bytes().len(), MAX_DOCUMENT_LEN);
        assert_eq!(Document::from_bytes(&longest.to_bytes()), Ok(longest));
        let longer = Document::unsigned(&vec![7; MAX_DOCUMENT_LEN - 6]);
        assert_eq!(longer.to_bytes().len(), MAX_DOCUMENT_LEN + 1);
        assert_eq!(Document::from_bytes(&longer.to_bytes()), Err(CborError));
        assert_eq!(MAX_DOCUMENT_LEN, 262_144);
    }
}
