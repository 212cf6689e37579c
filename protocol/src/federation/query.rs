//! Questions that are answered at once: `POST /federation/v1/query/resolve`
//! (docs/spec/federation.md, "Queries").
//!
//! ```text
//! signed query = [ query: bstr, signature: bstr (64) ]
//! signature    = Ed25519 over "posthouse query v1" ‖ 00 ‖ query
//! ```

use posthouse_crypto::sign::{KeyError, SIGNATURE_LEN, SigningKey, VerifyingKey};
use uuid::Uuid;

use super::{
    cbor::{CborError, Fault, Fields, Reader, Writer},
    header::{read_server, read_version},
    keys::KeyId,
    limits, version,
};
use crate::{
    id::{HandleName, ServerName},
    time::Timestamp,
};

const LABEL: &[u8] = b"posthouse query v1\0";

/// Which account has this handle?
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResolveQuery {
    /// Who asks.
    pub origin: ServerName,
    /// Who is asked: the region that owns the handle.
    pub destination: ServerName,
    /// The asker's clock; more than [`limits::FRESHNESS_MS`] off is refused.
    pub created: Timestamp,
    /// The asker's key.
    pub signing_key: KeyId,
    /// The handle's local part.
    pub handle: HandleName,
}

/// A query as it came: its signature has not been checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedQuery {
    query: ResolveQuery,
    bytes: Vec<u8>,
    signature: [u8; SIGNATURE_LEN],
}

impl SignedQuery {
    /// Signs a query; `signing_key` is set to the key's id.
    pub fn sign(mut query: ResolveQuery, key: &SigningKey) -> Self {
        query.signing_key = KeyId::of_signing(&key.verifying_key());
        let bytes = query.encode();
        let signature = key.sign(&signed_text(&bytes));
        Self { query, bytes, signature }
    }

    /// The bytes on the wire.
    pub fn encode(&self) -> Vec<u8> {
        let mut writer = Writer::default();
        writer.array(2).bytes(&self.bytes).bytes(&self.signature);
        writer.finish()
    }

    /// Parses a query of at most [`limits::MAX_QUERY`] bytes.
    ///
    /// # Errors
    /// [`CborError`] with the place and the rule that is broken.
    pub fn decode(bytes: &[u8]) -> Result<Self, CborError> {
        let mut reader = Reader::new(bytes);
        if bytes.len() > limits::MAX_QUERY {
            return Err(reader.fault(Fault::TooLong));
        }
        reader.array_of(2)?;
        let inner = reader.bytes(limits::MAX_QUERY)?;
        let signature = reader.fixed()?;
        reader.finish()?;
        Ok(Self { query: ResolveQuery::decode(inner)?, bytes: inner.to_vec(), signature })
    }

    /// Whose key is said to have signed.
    pub fn claimed_signer(&self) -> (&ServerName, KeyId) {
        (&self.query.origin, self.query.signing_key)
    }

    /// Checks the signature and gives the query.
    ///
    /// # Errors
    /// [`KeyError::BadSignature`].
    pub fn verify(self, key: &VerifyingKey) -> Result<ResolveQuery, KeyError> {
        key.verify(&signed_text(&self.bytes), &self.signature)?;
        Ok(self.query)
    }
}

impl ResolveQuery {
    fn encode(&self) -> Vec<u8> {
        let mut fields = Fields::default();
        fields.key(1).uint(version::ENVELOPE.into());
        fields.key(2).text(self.origin.as_str());
        fields.key(3).text(self.destination.as_str());
        fields.key(4).uint(self.created.0);
        fields.key(5).bytes(&self.signing_key.0);
        fields.key(6).text(self.handle.as_str());
        fields.finish()
    }

    fn decode(bytes: &[u8]) -> Result<Self, CborError> {
        let (mut version, mut origin, mut destination) = (None, None, None);
        let (mut created, mut signing_key, mut handle) = (None, None, None);
        let mut reader = Reader::new(bytes);
        reader.map(|reader, key| {
            match key {
                1 => version = Some(read_version(reader)?),
                2 => origin = Some(read_server(reader)?),
                3 => destination = Some(read_server(reader)?),
                4 => created = Some(Timestamp(reader.uint()?)),
                5 => signing_key = Some(KeyId(reader.fixed()?)),
                6 => {
                    let text = reader.text(HandleName::MAX_LEN)?;
                    let name = HandleName::parse(text).map_err(|err| reader.invalid(err.why))?;
                    handle = Some(name);
                }
                other => reader.unknown(other)?,
            }
            Ok(())
        })?;
        reader.require(version, "version")?;
        let query = Self {
            origin: reader.require(origin, "origin")?,
            destination: reader.require(destination, "destination")?,
            created: reader.require(created, "created")?,
            signing_key: reader.require(signing_key, "signing key")?,
            handle: reader.require(handle, "handle")?,
        };
        reader.finish()?;
        Ok(query)
    }
}

/// The answer to a [`ResolveQuery`]. It stands under the TLS session, and is only asked for and
/// remembered by the asker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ResolveAnswer {
    /// The account at the answering server; `None` if nobody has the handle.
    pub account: Option<Uuid>,
    /// For how many seconds the answer may be remembered.
    pub remember_for: u32,
}

impl ResolveAnswer {
    /// The bytes on the wire.
    pub fn encode(&self) -> Vec<u8> {
        let mut fields = Fields::default();
        if let Some(account) = &self.account {
            fields.key(1).bytes(account.as_bytes());
        }
        fields.key(2).uint(self.remember_for.into());
        fields.finish()
    }

    /// Parses an answer.
    ///
    /// # Errors
    /// [`CborError`] with the place and the rule that is broken.
    pub fn decode(bytes: &[u8]) -> Result<Self, CborError> {
        let (mut account, mut remember_for) = (None, None);
        let mut reader = Reader::new(bytes);
        reader.map(|reader, key| {
            match key {
                1 => account = Some(Uuid::from_bytes(reader.fixed()?)),
                2 => remember_for = u32::try_from(reader.uint_up_to(u32::MAX.into())?).ok(),
                other => reader.unknown(other)?,
            }
            Ok(())
        })?;
        let answer = Self { account, remember_for: reader.require(remember_for, "remember for")? };
        reader.finish()?;
        Ok(answer)
    }
}

fn signed_text(query: &[u8]) -> Vec<u8> {
    [LABEL, query].concat()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn signed() -> (SignedQuery, SigningKey) {
        let key = SigningKey::from_seed(&[3; 32]);
        let query = ResolveQuery {
            origin: ServerName::parse("north.test").unwrap(),
            destination: ServerName::parse("south.test").unwrap(),
            created: Timestamp(1_700_000_000_000),
            signing_key: KeyId([0; 8]),
            handle: HandleName::parse("alice").unwrap(),
        };
        (SignedQuery::sign(query, &key), key)
    }

    #[test]
    fn round_trips() {
        let (query, key) = signed();
        let decoded = SignedQuery::decode(&query.encode()).unwrap();
        assert_eq!(decoded, query);
        assert_eq!(decoded.verify(&key.verifying_key()).unwrap().handle.as_str(), "alice");
        for account in [None, Some(Uuid::from_u128(7))] {
            let answer = ResolveAnswer { account, remember_for: 300 };
            assert_eq!(ResolveAnswer::decode(&answer.encode()), Ok(answer));
        }
    }

    proptest! {
        #[test]
        fn a_changed_bit_is_noticed(at: prop::sample::Index, bit in 0_u8..8, noise: Vec<u8>) {
            let (query, key) = signed();
            let mut bytes = query.encode();
            let at = at.index(bytes.len());
            bytes[at] ^= 1 << bit;
            if let Ok(changed) = SignedQuery::decode(&bytes) {
                prop_assert!(changed.verify(&key.verifying_key()).is_err());
            }
            let _ = SignedQuery::decode(&noise);
            let _ = ResolveAnswer::decode(&noise);
        }
    }
}
