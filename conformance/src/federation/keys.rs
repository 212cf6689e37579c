//! Server keys, the key log and the document (federation-keys.md).

use ed25519_dalek::{Signature, Signer as _, SigningKey, VerifyingKey};

use super::{
    cbor::{Fields, Malformed, Reading, Value},
    lanes::{Hash, sha256},
    seal::{Kem, SealingKey},
};

/// The id of a key (§Key ids).
pub type KeyId = [u8; 8];

/// The id of an Ed25519 key.
pub fn signing_key_id(public: &[u8; 32]) -> KeyId {
    first8(sha256(&[b"posthouse signing key v1\0", public]))
}

/// The id of a sealing key.
pub fn sealing_key_id(kem: Kem, public: &[u8]) -> KeyId {
    first8(sha256(&[b"posthouse sealing key v1\0", &kem.id().to_be_bytes(), public]))
}

fn first8(hash: Hash) -> KeyId {
    hash.first_chunk().copied().unwrap_or_default()
}

/// Whether `signature` is `public`'s over `text`, by the strict rules (federation-envelopes.md
/// §Envelope).
pub fn verifies(public: &[u8; 32], text: &[u8], signature: &[u8; 64]) -> bool {
    VerifyingKey::from_bytes(public)
        .is_ok_and(|key| key.verify_strict(text, &Signature::from_bytes(signature)).is_ok())
}

/// What is signed: a label with its zero byte, and the bytes.
pub fn labelled(label: &str, bytes: &[u8]) -> Vec<u8> {
    [label.as_bytes(), b"\0", bytes].concat()
}

/// A signature over `label ‖ 00 ‖ bytes`.
pub fn sign(key: &SigningKey, label: &str, bytes: &[u8]) -> [u8; 64] {
    key.sign(&labelled(label, bytes)).to_bytes()
}

/// The public part.
pub fn public(key: &SigningKey) -> [u8; 32] {
    key.verifying_key().to_bytes()
}

/// An entry of a key log that is being written.
#[derive(Debug, Clone)]
pub struct EntryDraft<'a> {
    /// The server.
    pub server: &'a str,
    /// From 0.
    pub number: u64,
    /// The hash of the entry before.
    pub before: Option<Hash>,
    /// When it was made, in milliseconds.
    pub made: u64,
    /// The key in force.
    pub signing: &'a SigningKey,
    /// The key that comes next.
    pub next: &'a SigningKey,
    /// The key that was in force before, and its end in milliseconds.
    pub retired: Option<(&'a SigningKey, u64)>,
    /// The keys that envelopes may be sealed to, the preferred one first.
    pub sealing: &'a [SealingKey],
    /// The recovery key.
    pub recovery: &'a SigningKey,
}

impl EntryDraft<'_> {
    /// The entry's bytes.
    pub fn encode(&self) -> Vec<u8> {
        let mut fields = vec![(1, Value::text(self.server)), (2, Value::Uint(self.number))];
        fields.extend(self.before.map(|hash| (3, Value::bytes(hash))));
        let sealing = self.sealing.iter().map(|key| {
            let kem = Value::Uint(key.kem().id().into());
            Value::Array(vec![kem, Value::bytes(key.public())])
        });
        let retired = self
            .retired
            .iter()
            .map(|(key, end)| Value::Array(vec![Value::bytes(public(key)), Value::Uint(*end)]));
        fields.extend([
            (4, Value::Uint(self.made)),
            (5, Value::Array(vec![Value::bytes(public(self.signing))])),
            (6, Value::Array(vec![Value::bytes(public(self.next))])),
            (7, Value::Array(sealing.collect())),
            (8, Value::Array(retired.collect())),
            (9, Value::bytes(public(self.recovery))),
        ]);
        Value::Map(fields).encode()
    }

    /// The signed entry: signed by its own key, and by `before`, the key of the entry before.
    pub fn sign(&self, before: Option<&SigningKey>) -> Value {
        let entry = self.encode();
        let signers = before.into_iter().filter(|key| public(key) != public(self.signing));
        let signatures = std::iter::once(self.signing).chain(signers).map(|key| {
            let signature = sign(key, "posthouse key log v1", &entry);
            let id = signing_key_id(&public(key));
            Value::Array(vec![Value::bytes(id), Value::bytes(signature)])
        });
        let signatures = Value::Array(signatures.collect());
        Value::Array(vec![Value::Bytes(entry), signatures])
    }
}

/// The hash of an entry.
pub fn entry_hash(entry: &[u8]) -> Hash {
    sha256(&[b"posthouse key log entry v1\0", entry])
}

/// An entry with its signatures, as it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its bytes, which hash and signatures cover.
    pub bytes: Vec<u8>,
    /// The server.
    pub server: String,
    /// From 0.
    pub number: u64,
    /// The hash of the entry before.
    pub before: Option<Hash>,
    /// When it was made.
    pub made: u64,
    /// Signing keys in force.
    pub signing: Vec<[u8; 32]>,
    /// Signing keys that come next.
    pub next: Vec<[u8; 32]>,
    /// Encapsulation and key, the preferred one first.
    pub sealing: Vec<(u64, Vec<u8>)>,
    /// Retired signing keys with their end.
    pub retired: Vec<([u8; 32], u64)>,
    /// The recovery key.
    pub recovery: [u8; 32],
    /// Key ids and signatures.
    pub signatures: Vec<(KeyId, [u8; 64])>,
}

impl Entry {
    /// Reads a `signed-entry`.
    ///
    /// # Errors
    /// [`Malformed`].
    pub fn read(value: Value) -> Reading<Self> {
        let [bytes, signatures] = value.tuple()?;
        let bytes = bytes.byte_string()?;
        let mut fields = Fields::parse(&bytes)?;
        let entry = Self {
            server: fields.required(1, Value::string)?,
            number: fields.required(2, Value::uint)?,
            before: fields.optional(3, Value::fixed)?,
            made: fields.required(4, Value::uint)?,
            signing: fields.required(5, |keys| keys.each(Value::fixed))?,
            next: fields.required(6, |keys| keys.each(Value::fixed))?,
            sealing: fields.required(7, |keys| {
                keys.each(|key| {
                    let [kem, key] = key.tuple()?;
                    Ok((kem.uint()?, key.byte_string()?))
                })
            })?,
            retired: fields.required(8, |keys| {
                keys.each(|key| {
                    let [key, end] = key.tuple()?;
                    Ok((key.fixed()?, end.uint()?))
                })
            })?,
            recovery: fields.required(9, Value::fixed)?,
            signatures: signatures.each(|one| {
                let [id, signature] = one.tuple()?;
                Ok((id.fixed()?, signature.fixed()?))
            })?,
            bytes,
        };
        fields.end()?;
        let sizes = (1..=16).contains(&entry.signing.len())
            && entry.next.len() <= 16
            && (1..=16).contains(&entry.sealing.len())
            && entry.retired.len() <= 16
            && entry.signatures.len() <= 4;
        if sizes { Ok(entry) } else { Err(Malformed("too many keys, or none")) }
    }

    /// Its hash.
    pub fn hash(&self) -> Hash {
        entry_hash(&self.bytes)
    }

    fn signed_by<'a>(&self, keys: impl IntoIterator<Item = &'a [u8; 32]>) -> bool {
        let text = labelled("posthouse key log v1", &self.bytes);
        keys.into_iter().any(|key| {
            let id = signing_key_id(key);
            let by = self.signatures.iter().filter(|(signer, _)| *signer == id);
            by.into_iter().any(|(_, signature)| verifies(key, &text, signature))
        })
    }

    /// Whether it may stand at the beginning of a log (§Key log).
    pub fn begins(&self) -> bool {
        self.number == 0 && self.before.is_none() && self.signed_by(&self.signing)
    }

    /// Whether it follows another (§Key log).
    pub fn follows(&self, before: &Self) -> bool {
        let recovery = [&before.recovery];
        let old = before.signing.iter().chain(&before.next).chain(recovery);
        self.server == before.server
            && before.number.checked_add(1) == Some(self.number)
            && self.before == Some(before.hash())
            && self.made >= before.made
            && self.signed_by(&self.signing)
            && self.signed_by(old)
            && (self.recovery == before.recovery || self.signed_by(recovery))
    }

    /// The signing key with this id that counts at `now` (§Trust), in milliseconds.
    pub fn signing_key(&self, id: KeyId, now: u64) -> Option<[u8; 32]> {
        const MEMORY: u64 = 37 * 24 * 3600 * 1000;
        let kept = |end: u64| end.saturating_add(MEMORY) > now;
        let retired = self.retired.iter().filter(|(_, end)| kept(*end)).map(|(key, _)| key);
        let mut keys = self.signing.iter().chain(&self.next).chain(retired);
        keys.find(|key| signing_key_id(key) == id).copied()
    }
}

/// Reads a key log and checks that each entry follows the one before.
///
/// # Errors
/// [`Malformed`] if one does not.
pub fn read_log(bytes: &[u8]) -> Reading<Vec<Entry>> {
    let log = Value::decode(bytes)?.each(Entry::read)?;
    let first = log.first().ok_or(Malformed("an empty log"))?;
    let linked = log.windows(2).all(|pair| matches!(pair, [old, new] if new.follows(old)));
    if !first.begins() {
        Err(Malformed("the first entry is not its own"))
    } else if linked && log.len() <= 1040 {
        Ok(log)
    } else {
        Err(Malformed("an entry that does not follow"))
    }
}

/// A document, as it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Document {
    /// The server.
    pub server: String,
    /// When it was issued, in milliseconds.
    pub issued: u64,
    /// Until when it is valid.
    pub until: u64,
    /// The newest entry.
    pub entry: Entry,
    /// Largest envelope, in bytes.
    pub max_envelope: u64,
    /// Most records of an envelope.
    pub max_records: u64,
    /// Envelope versions.
    pub envelopes: Vec<u64>,
    /// Payload versions.
    pub payloads: Vec<u64>,
    /// Names of optional things it does.
    pub features: Vec<String>,
}

/// The feature of a server that opens envelopes which share an encapsulated key.
pub const SHARED_ENCAPSULATION: &str = "shared-encapsulation";

impl Document {
    /// Reads a `signed-document` and checks its signature and that it belongs to its entry.
    ///
    /// # Errors
    /// [`Malformed`].
    pub fn read(bytes: &[u8]) -> Reading<Self> {
        let [document, entry, signer, signature] = Value::decode(bytes)?.tuple()?;
        let (document, entry) = (document.byte_string()?, Entry::read(entry)?);
        let (signer, signature) = (signer.fixed::<8>()?, signature.fixed()?);
        let mut fields = Fields::parse(&document)?;
        let server = fields.required(1, Value::string)?;
        let issued = fields.required(2, Value::uint)?;
        let until = fields.required(3, Value::uint)?;
        let newest: Hash = fields.required(4, Value::fixed)?;
        fields.required(5, |pins| pins.each(Value::fixed::<32>))?;
        let max_envelope = fields.required(6, Value::uint)?;
        let max_records = fields.required(7, Value::uint)?;
        let envelopes = fields.required(8, |list| list.each(Value::uint))?;
        let payloads = fields.required(9, |list| list.each(Value::uint))?;
        let features = fields.required(10, |list| list.each(Value::string))?;
        fields.end()?;
        let key = entry.signing.iter().find(|key| signing_key_id(key) == signer);
        let text = labelled("posthouse document v1", &document);
        if !key.is_some_and(|key| verifies(key, &text, &signature)) {
            return Err(Malformed("the document is not signed by a key in force"));
        }
        if entry.hash() != newest || entry.server != server {
            return Err(Malformed("the document belongs to another entry"));
        }
        if until.saturating_sub(issued) > 7 * 24 * 3600 * 1000 || until < issued {
            return Err(Malformed("the document is valid for more than seven days"));
        }
        Ok(Self {
            server,
            issued,
            until,
            entry,
            max_envelope,
            max_records,
            envelopes,
            payloads,
            features,
        })
    }
}

/// Writes a `signed-document`.
pub fn write_document(
    server: &str,
    (issued, until): (u64, u64),
    features: &[&str],
    signed_entry: &Value,
    signing: &SigningKey,
) -> Vec<u8> {
    let newest = match signed_entry {
        Value::Array(parts) => match parts.first() {
            Some(Value::Bytes(entry)) => entry_hash(entry),
            _ => Hash::default(),
        },
        _ => Hash::default(),
    };
    let document = Value::Map(vec![
        (1, Value::text(server)),
        (2, Value::Uint(issued)),
        (3, Value::Uint(until)),
        (4, Value::bytes(newest)),
        (5, Value::Array(Vec::new())),
        (6, Value::Uint(4 * 1024 * 1024)),
        (7, Value::Uint(1000)),
        (8, Value::Array(vec![Value::Uint(1)])),
        (9, Value::Array(vec![Value::Uint(1)])),
        (10, Value::Array(features.iter().copied().map(Value::text).collect())),
    ])
    .encode();
    let signature = sign(signing, "posthouse document v1", &document);
    Value::Array(vec![
        Value::Bytes(document),
        signed_entry.clone(),
        Value::bytes(signing_key_id(&public(signing))),
        Value::bytes(signature),
    ])
    .encode()
}
