//! The server document: `GET /federation/v1/server` (docs/spec/federation-keys.md). It says, for at
//! most a week, which keys are in force and what the server can do.
//!
//! ```text
//! signed document = [ document: bstr, signed entry, key id: bstr (8), signature: bstr (64) ]
//! signature       = Ed25519 over "posthouse document v1" ‖ 00 ‖ document
//! ```
//! The document names the entry of the key log by its hash; the entry travels beside it. Keys
//! change by log entries alone, so renewing the document every few days does not grow the log.

use posthouse_crypto::sign::{SIGNATURE_LEN, SigningKey};

use super::{
    cbor::{CborError, Fault, Fields, Reader, Writer},
    header::{read_server, read_version},
    key_log::{EntryHash, KeyLogError, SignedEntry, TrustedHead, follow_entry},
    keys::KeyId,
    limits,
};
use crate::{id::ServerName, time::Timestamp};

const LABEL: &[u8] = b"posthouse document v1\0";

/// The feature of a server that opens envelopes which share an encapsulated key
/// (docs/spec/federation-envelopes.md, "Shared encapsulation").
pub const SHARED_ENCAPSULATION: &str = "shared-encapsulation";

/// What a server says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerDocument {
    /// Whose document.
    pub server: ServerName,
    /// When it was made.
    pub issued: Timestamp,
    /// Until when it holds; at most [`limits::MAX_DOCUMENT_LIFE_MS`] after `issued`.
    pub valid_until: Timestamp,
    /// The entry of the key log that holds the keys in force.
    pub keys: EntryHash,
    /// SHA-256 of the public keys (SubjectPublicKeyInfo) of its certificates; may be empty.
    pub pins: Vec<[u8; 32]>,
    /// The largest envelope it takes, in bytes, 1 to [`limits::MAX_ENVELOPE`].
    pub max_envelope: u32,
    /// The most records it takes in an envelope, 1 to [`limits::MAX_RECORDS`].
    pub max_records: u16,
    /// Envelope versions it speaks.
    pub envelope_versions: Vec<u8>,
    /// Payload versions it reads.
    pub payload_versions: Vec<u8>,
    /// Names of optional things it does.
    pub features: Vec<String>,
}

/// Whether a document holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Freshness {
    /// It holds.
    Fresh,
    /// Its time is over. Known keys stay usable while their owner cannot be reached, flagged.
    Expired,
    /// It was made later than now: one of the two clocks is wrong.
    Future,
}

impl ServerDocument {
    /// Whether the document holds at `now`.
    pub fn freshness(&self, now: Timestamp) -> Freshness {
        if self.issued > now.plus_millis(limits::FRESHNESS_MS) {
            Freshness::Future
        } else if now > self.valid_until {
            Freshness::Expired
        } else {
            Freshness::Fresh
        }
    }

    fn encode(&self) -> Vec<u8> {
        let mut fields = Fields::default();
        fields.key(1).text(self.server.as_str());
        fields.key(2).uint(self.issued.0);
        fields.key(3).uint(self.valid_until.0);
        fields.key(4).bytes(&self.keys.0);
        let pins = fields.key(5).array(self.pins.len());
        for pin in &self.pins {
            pins.bytes(pin);
        }
        fields.key(6).uint(self.max_envelope.into());
        fields.key(7).uint(self.max_records.into());
        for (key, list) in [(8, &self.envelope_versions), (9, &self.payload_versions)] {
            let versions = fields.key(key).array(list.len());
            for version in list {
                versions.uint((*version).into());
            }
        }
        let features = fields.key(10).array(self.features.len());
        for feature in &self.features {
            features.text(feature);
        }
        fields.finish()
    }

    fn decode(bytes: &[u8]) -> Result<Self, CborError> {
        let mut reader = Reader::new(bytes);
        let mut raw = Raw::default();
        reader.map(|reader, key| raw.field(reader, key))?;
        let document = raw.check(&reader)?;
        reader.finish()?;
        Ok(document)
    }
}

/// A document as it came, with the entry of the key log that it names. No signature was checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedDocument {
    document: ServerDocument,
    bytes: Vec<u8>,
    entry: SignedEntry,
    signer: KeyId,
    signature: [u8; SIGNATURE_LEN],
}

/// Why a document is not believed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DocumentError {
    /// No present key of the entry has signed it, or it names another entry.
    #[error("the document is not signed by a key in force")]
    BadSignature,
    /// Its time is over, and nothing is known of the server: whoever holds it may be holding out an
    /// old one.
    #[error("the document has expired, and no key of the server is known yet")]
    Expired,
    /// The entry of the key log is not believed.
    #[error(transparent)]
    Keys(#[from] KeyLogError),
    /// The entry lies more than one step ahead of what is known: the whole log is needed.
    #[error("the key log is needed to follow the change of keys")]
    LogNeeded,
    /// The document is another server's.
    #[error("the document belongs to another server")]
    WrongServer,
}

/// A document that its server signed with keys that are trusted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifiedDocument {
    document: ServerDocument,
    head: TrustedHead,
}

impl VerifiedDocument {
    /// What it says.
    pub fn document(&self) -> &ServerDocument {
        &self.document
    }

    /// The keys in force, to be kept.
    pub fn head(&self) -> &TrustedHead {
        &self.head
    }
}

impl SignedDocument {
    /// Signs a document; `keys` is set to the entry's hash.
    pub fn sign(mut document: ServerDocument, entry: SignedEntry, key: &SigningKey) -> Self {
        document.keys = entry.hash();
        let bytes = document.encode();
        let signature = key.sign(&signed_text(&bytes));
        Self { document, bytes, entry, signer: KeyId::of_signing(&key.verifying_key()), signature }
    }

    /// The bytes on the wire.
    pub fn encode(&self) -> Vec<u8> {
        let mut writer = Writer::default();
        writer.array(4).bytes(&self.bytes);
        self.entry.write(&mut writer);
        writer.bytes(&self.signer.0).bytes(&self.signature);
        writer.finish()
    }

    /// Parses a document of at most [`limits::MAX_DOCUMENT`] bytes.
    ///
    /// # Errors
    /// [`CborError`] with the place and the rule that is broken.
    pub fn decode(bytes: &[u8]) -> Result<Self, CborError> {
        let mut reader = Reader::new(bytes);
        if bytes.len() > limits::MAX_DOCUMENT {
            return Err(reader.fault(Fault::TooLong));
        }
        reader.array_of(4)?;
        let inner = reader.bytes(limits::MAX_DOCUMENT)?;
        let entry = SignedEntry::read(&mut reader)?;
        let (signer, signature) = (KeyId(reader.fixed()?), reader.fixed()?);
        reader.finish()?;
        let document = ServerDocument::decode(inner)?;
        Ok(Self { document, bytes: inner.to_vec(), entry, signer, signature })
    }

    /// The entry of the key log that came with it.
    pub fn entry(&self) -> &SignedEntry {
        &self.entry
    }

    /// Checks a document of `server` against the head that is known of it. On first contact
    /// (`known` is `None`) the caller must have proved by TLS that it speaks with `server`.
    ///
    /// # Errors
    /// [`DocumentError`]; for [`DocumentError::LogNeeded`] the caller fetches the log, takes it
    /// through [`super::key_log::follow`] and checks again with the new head.
    pub fn verify(
        self,
        server: &ServerName,
        known: Option<&TrustedHead>,
    ) -> Result<VerifiedDocument, DocumentError> {
        if self.document.server != *server {
            return Err(DocumentError::WrongServer);
        }
        let head = follow_entry(server, known, &self.entry)?.ok_or(DocumentError::LogNeeded)?;
        let key = head.entry().signing.iter().find(|key| KeyId::of_signing(key) == self.signer);
        let signed =
            key.is_some_and(|key| key.verify(&signed_text(&self.bytes), &self.signature).is_ok());
        if !signed || self.document.keys != head.hash() {
            return Err(DocumentError::BadSignature);
        }
        Ok(VerifiedDocument { document: self.document, head })
    }
}

#[derive(Default)]
struct Raw {
    server: Option<ServerName>,
    issued: Option<Timestamp>,
    valid_until: Option<Timestamp>,
    keys: Option<EntryHash>,
    pins: Option<Vec<[u8; 32]>>,
    max_envelope: Option<u32>,
    max_records: Option<u16>,
    envelope_versions: Option<Vec<u8>>,
    payload_versions: Option<Vec<u8>>,
    features: Option<Vec<String>>,
}

impl Raw {
    fn field(&mut self, reader: &mut Reader<'_>, key: u64) -> Result<(), CborError> {
        match key {
            1 => self.server = Some(read_server(reader)?),
            2 => self.issued = Some(Timestamp(reader.uint()?)),
            3 => self.valid_until = Some(Timestamp(reader.uint()?)),
            4 => self.keys = Some(EntryHash(reader.fixed()?)),
            5 => self.pins = Some(reader.list(limits::MAX_PINS, Reader::fixed)?),
            6 => {
                let bytes = reader.uint_up_to(limits::MAX_ENVELOPE as u64)?;
                if bytes == 0 {
                    return Err(reader.invalid("a server takes envelopes of no size"));
                }
                self.max_envelope = u32::try_from(bytes).ok();
            }
            7 => {
                let records = reader.uint_up_to(limits::MAX_RECORDS as u64)?;
                if records == 0 {
                    return Err(reader.invalid("a server takes envelopes without records"));
                }
                self.max_records = u16::try_from(records).ok();
            }
            8 => self.envelope_versions = Some(reader.list(limits::MAX_FEATURES, read_version)?),
            9 => self.payload_versions = Some(reader.list(limits::MAX_FEATURES, read_version)?),
            10 => {
                self.features = Some(reader.list(limits::MAX_FEATURES, |reader| {
                    reader.text(limits::MAX_FEATURE_LEN).map(str::to_owned)
                })?);
            }
            other => reader.unknown(other)?,
        }
        Ok(())
    }

    fn check(self, reader: &Reader<'_>) -> Result<ServerDocument, CborError> {
        let issued = reader.require(self.issued, "issued")?;
        let valid_until = reader.require(self.valid_until, "valid until")?;
        let longest = issued.plus_millis(limits::MAX_DOCUMENT_LIFE_MS);
        if valid_until <= issued || valid_until > longest {
            return Err(reader.invalid("a document holds for at most seven days"));
        }
        Ok(ServerDocument {
            server: reader.require(self.server, "server")?,
            issued,
            valid_until,
            keys: reader.require(self.keys, "keys")?,
            pins: reader.require(self.pins, "pins")?,
            max_envelope: reader.require(self.max_envelope, "largest envelope")?,
            max_records: reader.require(self.max_records, "most records")?,
            envelope_versions: reader.require(self.envelope_versions, "envelope versions")?,
            payload_versions: reader.require(self.payload_versions, "payload versions")?,
            features: reader.require(self.features, "features")?,
        })
    }
}

fn signed_text(document: &[u8]) -> Vec<u8> {
    [LABEL, document].concat()
}

#[cfg(test)]
pub(super) mod tests;
