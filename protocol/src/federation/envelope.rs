//! An envelope: header, sealed body, signature (docs/spec/federation-envelopes.md).
//!
//! ```text
//! envelope = [ header: bstr, sealed: bstr, signature: bstr (64) ]      one CBOR array
//!
//! header    the bytes of a Header, readable by everybody on the way
//! sealed    HPKE: info  = "posthouse envelope v1" ‖ 00
//!                 aad   = the bytes of the header
//!                 plain = the records (record.rs)
//!           the encapsulated key stands in the header; single shot, or, if the header has a salt,
//!           with a key drawn from a context that other envelopes share
//! signature Ed25519 over      "posthouse envelope v1" ‖ 00 ‖ SHA-256(header) ‖ SHA-256(sealed)
//! digest    SHA-256 over what is signed: names the envelope in receipts and in the memory of
//!           ephemerals
//! ```
//! The header is bound twice: by the signature to the origin, and as associated data to the body,
//! so nobody can take a sealed body over into an envelope of their own.

use posthouse_crypto::{
    seal::{
        Encapsulation, SALT_LEN, SealError, SealingKey, SealingPublicKey, SharedOpening,
        SharedSealing,
    },
    sign::{KeyError, SIGNATURE_LEN, SigningKey, VerifyingKey},
};
use rand_core::CryptoRng;
use sha2::{Digest, Sha256};

use super::{
    cbor::{CborError, Fault, Reader, Writer},
    header::{Header, Place},
    keys::KeyId,
    limits, version,
};
use crate::{id::ServerName, time::Timestamp};

const LABEL: &[u8] = b"posthouse envelope v1\0";

/// Names an envelope.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct EnvelopeDigest(pub [u8; 32]);

/// An envelope whose form was checked and nothing else: neither its signature nor its sender.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Envelope {
    header: Header,
    header_bytes: Vec<u8>,
    sealed: Vec<u8>,
    signature: [u8; SIGNATURE_LEN],
}

/// What the maker of an envelope decides; the keys add the rest of the header.
#[derive(Debug, Clone)]
pub struct Addressing {
    /// The sending server.
    pub origin: ServerName,
    /// The receiving server.
    pub destination: ServerName,
    /// Now.
    pub created: Timestamp,
    /// The place in the stream; `None` for ephemerals.
    pub place: Option<Place>,
}

/// The part of a header that says how its body is sealed.
struct SealedTo {
    key: KeyId,
    encapsulation: Encapsulation,
    encapsulated: Vec<u8>,
    salt: Option<[u8; SALT_LEN]>,
}

impl Addressing {
    fn header(self, from: &SigningKey, to: SealedTo) -> Header {
        Header {
            version: version::ENVELOPE,
            origin: self.origin,
            destination: self.destination,
            created: self.created,
            signing_key: KeyId::of_signing(&from.verifying_key()),
            sealing_key: to.key,
            encapsulation: to.encapsulation,
            encapsulated: to.encapsulated,
            place: self.place,
            salt: to.salt,
        }
    }
}

/// A key that is encapsulated to a destination once, for several envelopes: the destination says by
/// [`super::document::SHARED_ENCAPSULATION`] that it knows such.
#[derive(Debug)]
pub struct SharedKey {
    sealing_key: KeyId,
    encapsulation: Encapsulation,
    sealing: SharedSealing,
}

impl SharedKey {
    /// Encapsulates a key to the destination's sealing key.
    ///
    /// # Errors
    /// [`SealError::Key`] if the destination's key is unusable.
    pub fn new(to: &SealingPublicKey, rng: &mut impl CryptoRng) -> Result<Self, SealError> {
        Ok(Self {
            sealing_key: KeyId::of_sealing(to),
            encapsulation: to.encapsulation(),
            sealing: to.share(LABEL, rng)?,
        })
    }

    /// Which of the destination's keys it is encapsulated to.
    pub fn sealing_key(&self) -> KeyId {
        self.sealing_key
    }
}

impl Envelope {
    /// Seals `records` under a shared key and signs.
    ///
    /// # Errors
    /// [`SealError`] if the records are too long.
    pub fn make_shared(
        addressing: Addressing,
        records: &[u8],
        to: &SharedKey,
        from: &SigningKey,
        rng: &mut impl CryptoRng,
    ) -> Result<Self, SealError> {
        let mut salt = [0; SALT_LEN];
        rng.fill_bytes(&mut salt);
        let sealed_to = SealedTo {
            key: to.sealing_key,
            encapsulation: to.encapsulation,
            encapsulated: to.sealing.encapsulated().to_vec(),
            salt: Some(salt),
        };
        let seal = |header: &[u8]| to.sealing.seal(&salt, header, records);
        Self::signed(addressing.header(from, sealed_to), from, seal)
    }

    /// Seals `records` (see [`super::record::encode`]) to the destination's key and signs.
    ///
    /// # Errors
    /// [`SealError`] if the destination's key is unusable.
    pub fn make(
        addressing: Addressing,
        records: &[u8],
        to: &SealingPublicKey,
        from: &SigningKey,
        rng: &mut impl CryptoRng,
    ) -> Result<Self, SealError> {
        let sealing = to.begin(LABEL, rng)?;
        let sealed_to = SealedTo {
            key: KeyId::of_sealing(to),
            encapsulation: to.encapsulation(),
            encapsulated: sealing.encapsulated().to_vec(),
            salt: None,
        };
        let seal = |header: &[u8]| sealing.finish(header, records);
        Self::signed(addressing.header(from, sealed_to), from, seal)
    }

    fn signed(
        header: Header,
        from: &SigningKey,
        seal: impl FnOnce(&[u8]) -> Result<Vec<u8>, SealError>,
    ) -> Result<Self, SealError> {
        let header_bytes = header.encode();
        let sealed = seal(&header_bytes)?;
        let signature = from.sign(&signed_text(&header_bytes, &sealed));
        Ok(Self { header, header_bytes, sealed, signature })
    }

    /// The bytes on the wire.
    pub fn encode(&self) -> Vec<u8> {
        let mut writer = Writer::default();
        writer.array(3).bytes(&self.header_bytes).bytes(&self.sealed).bytes(&self.signature);
        writer.finish()
    }

    /// Parses an envelope of at most [`limits::MAX_ENVELOPE`] bytes.
    ///
    /// # Errors
    /// [`CborError`] with the place and the rule that is broken.
    pub fn decode(bytes: &[u8]) -> Result<Self, CborError> {
        let mut reader = Reader::new(bytes);
        if bytes.len() > limits::MAX_ENVELOPE {
            return Err(reader.fault(Fault::TooLong));
        }
        reader.array_of(3)?;
        let header_bytes = reader.bytes(limits::MAX_HEADER)?;
        let header = Header::decode(header_bytes)?;
        let sealed = reader.bytes(limits::MAX_ENVELOPE)?.to_vec();
        let signature = reader.fixed()?;
        reader.finish()?;
        Ok(Self { header, header_bytes: header_bytes.to_vec(), sealed, signature })
    }

    /// The header: claims, until the signature is checked.
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// The envelope's name.
    pub fn digest(&self) -> EnvelopeDigest {
        EnvelopeDigest(Sha256::digest(signed_text(&self.header_bytes, &self.sealed)).into())
    }

    /// Checks the signature.
    ///
    /// # Errors
    /// [`KeyError::BadSignature`].
    pub fn check_signature(&self, key: &VerifyingKey) -> Result<(), KeyError> {
        key.verify(&signed_text(&self.header_bytes, &self.sealed), &self.signature)
    }

    /// Opens the body.
    ///
    /// # Errors
    /// [`SealError::Open`] if header or body were changed, or were sealed to another key.
    pub fn open(&self, key: &SealingKey) -> Result<Vec<u8>, SealError> {
        if self.header.salt.is_some() {
            return self.open_shared(&self.share(key)?);
        }
        key.open(LABEL, &self.header_bytes, &self.header.encapsulated, &self.sealed)
    }

    /// Decapsulates the key that others of the origin's envelopes may share.
    ///
    /// # Errors
    /// [`SealError::Open`] if there is no such key in the header.
    pub fn share(&self, key: &SealingKey) -> Result<SharedOpening, SealError> {
        key.share(LABEL, &self.header.encapsulated)
    }

    /// Opens the body with the shared key that was decapsulated from the same bytes.
    ///
    /// # Errors
    /// [`SealError::Open`] if header or body were changed, were sealed under another key, or share
    /// none.
    pub fn open_shared(&self, opening: &SharedOpening) -> Result<Vec<u8>, SealError> {
        let salt = self.header.salt.as_ref().ok_or(SealError::Open)?;
        opening.open(salt, &self.header_bytes, &self.sealed)
    }
}

fn signed_text(header: &[u8], sealed: &[u8]) -> Vec<u8> {
    let mut text = LABEL.to_vec();
    text.extend_from_slice(&Sha256::digest(header));
    text.extend_from_slice(&Sha256::digest(sealed));
    text
}

#[cfg(test)]
mod tests;
