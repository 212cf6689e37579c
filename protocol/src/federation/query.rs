//! Questions that are answered at once (docs/spec/federation.md, "Queries"): which account has a
//! handle (`POST /federation/v1/query/resolve`), what its profile says
//! (`POST /federation/v1/query/profile`), and whether the other end is who it says, with which clock
//! (`POST /federation/v1/echo`). Those about keys are in [`keys`].
//!
//! ```text
//! signed query = [ query: bstr, signature: bstr (64) ]
//! signature    = Ed25519 over label ‖ 00 ‖ query; the label is "posthouse query v1" for handles,
//!                "posthouse profile query v1" for profiles, "posthouse echo v1" for echoes,
//!                "posthouse echo answer v1" for their answers
//! ```

pub mod groups;
pub mod keys;

use uuid::Uuid;

use super::{
    cbor::{CborError, Fields, Reader, Writer},
    header::{read_only_version, read_server},
    keys::KeyId,
    limits,
    signed::{Signable, Signed},
    version,
};
use crate::{
    id::{HandleName, ServerName},
    limits::{MAX_PROFILE_ABOUT, MAX_PROFILE_AVATAR, MAX_PROFILE_NAME},
    time::Timestamp,
};

/// What is asked: key 6 of a query.
pub trait Question: Sized {
    /// See [`Signable::LABEL`].
    const LABEL: &'static [u8];

    /// Writes the question.
    fn write(&self, writer: &mut Writer);

    /// Reads the question.
    ///
    /// # Errors
    /// [`CborError`] with the place and the rule that is broken.
    fn read(reader: &mut Reader<'_>) -> Result<Self, CborError>;
}

/// Which account has the handle with this local part?
impl Question for HandleName {
    const LABEL: &'static [u8] = b"posthouse query v1\0";

    fn write(&self, writer: &mut Writer) {
        writer.text(self.as_str());
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, CborError> {
        let text = reader.text(Self::MAX_LEN)?;
        Self::parse(text).map_err(|err| reader.invalid(err.why))
    }
}

/// What an echo sends there and back: random bytes that were never used before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Nonce(pub [u8; 16]);

/// Are you there, and who are you?
impl Question for Nonce {
    const LABEL: &'static [u8] = b"posthouse echo v1\0";

    fn write(&self, writer: &mut Writer) {
        writer.bytes(&self.0);
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, CborError> {
        reader.fixed().map(Self)
    }
}

/// What does this account's profile say?
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProfileOf(pub Uuid);

impl Question for ProfileOf {
    const LABEL: &'static [u8] = b"posthouse profile query v1\0";

    fn write(&self, writer: &mut Writer) {
        writer.bytes(self.0.as_bytes());
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, CborError> {
        reader.fixed().map(Uuid::from_bytes).map(Self)
    }
}

/// A question from one server to another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Query<Q> {
    /// Who asks.
    pub origin: ServerName,
    /// Who is asked; for a handle the region that owns it.
    pub destination: ServerName,
    /// The asker's clock; more than [`limits::FRESHNESS_MS`] off is refused.
    pub created: Timestamp,
    /// The asker's key.
    pub signing_key: KeyId,
    /// What is asked.
    pub question: Q,
}

/// Which account has a handle?
pub type ResolveQuery = Query<HandleName>;
/// A [`ResolveQuery`] with its signature.
pub type SignedQuery = Signed<ResolveQuery>;
/// A probe of the other end; answered by an [`EchoAnswer`].
pub type EchoQuery = Query<Nonce>;

impl<Q: Question> Signable for Query<Q> {
    const LABEL: &'static [u8] = Q::LABEL;
    const MAX_LEN: usize = limits::MAX_QUERY;

    fn encode(&self) -> Vec<u8> {
        let mut fields = Fields::default();
        fields.key(1).uint(version::ENVELOPE.into());
        fields.key(2).text(self.origin.as_str());
        fields.key(3).text(self.destination.as_str());
        fields.key(4).uint(self.created.0);
        fields.key(5).bytes(&self.signing_key.0);
        self.question.write(fields.key(6));
        fields.finish()
    }

    fn decode(bytes: &[u8]) -> Result<Self, CborError> {
        let (mut version, mut origin, mut destination) = (None, None, None);
        let (mut created, mut signing_key, mut question) = (None, None, None);
        let mut reader = Reader::new(bytes);
        reader.map(|reader, key| {
            match key {
                1 => version = Some(read_only_version(reader)?),
                2 => origin = Some(read_server(reader)?),
                3 => destination = Some(read_server(reader)?),
                4 => created = Some(Timestamp(reader.uint()?)),
                5 => signing_key = Some(KeyId(reader.fixed()?)),
                6 => question = Some(Q::read(reader)?),
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
            question: reader.require(question, "question")?,
        };
        reader.finish()?;
        Ok(query)
    }

    fn signer(&self) -> (&ServerName, KeyId) {
        (&self.origin, self.signing_key)
    }

    fn set_signing_key(&mut self, id: KeyId) {
        self.signing_key = id;
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

/// A question for a profile; answered by a [`ProfileAnswer`].
pub type ProfileQuery = Query<ProfileOf>;

/// The answer to a [`ProfileQuery`]. It stands under the TLS session like a [`ResolveAnswer`].
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ProfileAnswer {
    /// The account; `None` if the answering server has no such account, and then nothing else is said.
    pub account: Option<Uuid>,
    /// Rises with every change; 0 if there never was a profile.
    pub version: u64,
    /// The name, as its client encrypted it.
    pub name: Option<String>,
    /// A few words.
    pub about: Option<String>,
    /// A picture.
    pub avatar: Option<String>,
    /// When it was changed.
    pub updated_at: Option<Timestamp>,
    /// For how many seconds the answer may be remembered.
    pub remember_for: u32,
}

impl ProfileAnswer {
    /// The bytes on the wire.
    pub fn encode(&self) -> Vec<u8> {
        let mut fields = Fields::default();
        if let Some(account) = &self.account {
            fields.key(1).bytes(account.as_bytes());
        }
        fields.key(2).uint(self.remember_for.into());
        fields.key(3).uint(self.version);
        for (key, text) in [(4, &self.name), (5, &self.about), (6, &self.avatar)] {
            if let Some(text) = text {
                fields.key(key).text(text);
            }
        }
        if let Some(at) = self.updated_at {
            fields.key(7).uint(at.0);
        }
        fields.finish()
    }

    /// Parses an answer.
    ///
    /// # Errors
    /// [`CborError`] with the place and the rule that is broken.
    pub fn decode(bytes: &[u8]) -> Result<Self, CborError> {
        let mut answer = Self::default();
        let (mut version, mut remember_for) = (None, None);
        let mut reader = Reader::new(bytes);
        reader.map(|reader, key| {
            match key {
                1 => answer.account = Some(Uuid::from_bytes(reader.fixed()?)),
                2 => remember_for = u32::try_from(reader.uint_up_to(u32::MAX.into())?).ok(),
                3 => version = Some(reader.uint()?),
                4 => answer.name = Some(reader.text(MAX_PROFILE_NAME)?.to_owned()),
                5 => answer.about = Some(reader.text(MAX_PROFILE_ABOUT)?.to_owned()),
                6 => answer.avatar = Some(reader.text(MAX_PROFILE_AVATAR)?.to_owned()),
                7 => answer.updated_at = Some(Timestamp(reader.uint()?)),
                other => reader.unknown(other)?,
            }
            Ok(())
        })?;
        answer.remember_for = reader.require(remember_for, "remember for")?;
        answer.version = reader.require(version, "version")?;
        reader.finish()?;
        Ok(answer)
    }
}

/// The answer to an [`EchoQuery`]. Unlike other answers it is signed: it proves that the answerer
/// holds the signing key of its document, and tells its clock.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EchoAnswer {
    /// Who answers: the destination of the query.
    pub from: ServerName,
    /// For whom: the origin of the query.
    pub to: ServerName,
    /// The answerer's clock.
    pub created: Timestamp,
    /// The answerer's key.
    pub signing_key: KeyId,
    /// The nonce of the query.
    pub nonce: Nonce,
}

impl Signable for EchoAnswer {
    const LABEL: &'static [u8] = b"posthouse echo answer v1\0";
    const MAX_LEN: usize = limits::MAX_QUERY;

    fn encode(&self) -> Vec<u8> {
        let mut fields = Fields::default();
        fields.key(1).uint(version::ENVELOPE.into());
        fields.key(2).text(self.from.as_str());
        fields.key(3).text(self.to.as_str());
        fields.key(4).uint(self.created.0);
        fields.key(5).bytes(&self.signing_key.0);
        fields.key(6).bytes(&self.nonce.0);
        fields.finish()
    }

    /// The fields are those of an [`EchoQuery`] with the ends exchanged.
    fn decode(bytes: &[u8]) -> Result<Self, CborError> {
        let like = EchoQuery::decode(bytes)?;
        let EchoQuery { origin, destination, created, signing_key, question } = like;
        Ok(Self { from: origin, to: destination, created, signing_key, nonce: question })
    }

    fn signer(&self) -> (&ServerName, KeyId) {
        (&self.from, self.signing_key)
    }

    fn set_signing_key(&mut self, id: KeyId) {
        self.signing_key = id;
    }
}

#[cfg(test)]
mod tests {
    use posthouse_crypto::sign::SigningKey;
    use proptest::prelude::*;

    use super::*;
    use crate::federation::cbor::Fault;

    fn key() -> SigningKey {
        SigningKey::from_seed(&[3; 32])
    }

    fn query<Q>(question: Q) -> Query<Q> {
        Query {
            origin: ServerName::parse("north.test").unwrap(),
            destination: ServerName::parse("south.test").unwrap(),
            created: Timestamp(1_700_000_000_000),
            signing_key: KeyId([0; 8]),
            question,
        }
    }

    fn signed() -> SignedQuery {
        Signed::sign(query(HandleName::parse("alice").unwrap()), &key())
    }

    fn answer() -> EchoAnswer {
        let Query { origin, destination, created, signing_key, question } =
            query(Nonce([0x5a; 16]));
        EchoAnswer { from: destination, to: origin, created, signing_key, nonce: question }
    }

    #[test]
    fn round_trips() {
        let decoded = SignedQuery::decode(&signed().encode()).unwrap();
        assert_eq!(decoded, signed());
        let verified = decoded.verify(&key().verifying_key()).unwrap().into_value();
        assert_eq!(verified.question.as_str(), "alice");
        for account in [None, Some(Uuid::from_u128(7))] {
            let answer = ResolveAnswer { account, remember_for: 300 };
            assert_eq!(ResolveAnswer::decode(&answer.encode()), Ok(answer));
        }
        let asked = Signed::sign(query(ProfileOf(Uuid::from_u128(7))), &key());
        assert_eq!(Signed::<ProfileQuery>::decode(&asked.encode()).as_ref(), Ok(&asked));
        let full = ProfileAnswer {
            account: Some(Uuid::from_u128(7)),
            version: u64::MAX,
            name: Some("n".repeat(MAX_PROFILE_NAME)),
            about: Some("a".repeat(MAX_PROFILE_ABOUT)),
            avatar: Some("p".repeat(MAX_PROFILE_AVATAR)),
            updated_at: Some(Timestamp(u64::MAX)),
            remember_for: u32::MAX,
        };
        assert!(full.encode().len() <= limits::MAX_QUERY, "{}", full.encode().len());
        let long = ProfileAnswer { name: Some("n".repeat(MAX_PROFILE_NAME + 1)), ..full.clone() };
        assert!(ProfileAnswer::decode(&long.encode()).is_err());
        for answer in [full, ProfileAnswer::default()] {
            assert_eq!(ProfileAnswer::decode(&answer.encode()), Ok(answer));
        }
        let echo = Signed::sign(query(Nonce([0x5a; 16])), &key());
        assert_eq!(Signed::<EchoQuery>::decode(&echo.encode()).as_ref(), Ok(&echo));
        let answer = Signed::sign(answer(), &key());
        assert_eq!(Signed::<EchoAnswer>::decode(&answer.encode()).as_ref(), Ok(&answer));
    }

    /// Another version may mean something else by the same fields, and have others.
    #[test]
    fn another_version_is_told_apart_from_what_cannot_be_read() {
        let of_version = |bytes: Vec<u8>, version: u8| {
            assert_eq!(bytes.get(1..3), Some(&[1, 1][..]), "key 1 with the version comes first");
            [&bytes[..2], &[version], &bytes[3..]].concat()
        };
        let echo = |version| of_version(query(Nonce([0x5a; 16])).encode(), version);
        let answered = of_version(answer().encode(), 3);
        let fault = |err: CborError| err.fault;
        assert_eq!(EchoQuery::decode(&echo(2)).map_err(fault), Err(Fault::Version(2)));
        assert_eq!(EchoAnswer::decode(&answered).map_err(fault), Err(Fault::Version(3)));
        // Before what version 1 does not know is come upon.
        let mut fields = Fields::default();
        fields.key(1).uint(2);
        fields.key(7).uint(7);
        let other = ResolveQuery::decode(&fields.finish());
        assert_eq!(other.map_err(fault), Err(Fault::Version(2)));
        assert!(matches!(EchoQuery::decode(&echo(0)).map_err(fault), Err(Fault::Invalid(_))));
    }

    #[test]
    fn a_signature_of_one_kind_is_none_of_another() {
        // An echo and its answer have the same form: only the label tells them apart.
        let echo = Signed::sign(query(Nonce([0x5a; 16])), &key()).encode();
        let turned = Signed::<EchoAnswer>::decode(&echo).unwrap();
        assert!(turned.verify(&key().verifying_key()).is_err());
        let answer = Signed::sign(answer(), &key()).encode();
        let turned = Signed::<EchoQuery>::decode(&answer).unwrap();
        assert!(turned.verify(&key().verifying_key()).is_err());
        // So have a question for a profile and an echo.
        let asked = Signed::sign(query(ProfileOf(Uuid::from_u128(7))), &key()).encode();
        let turned = Signed::<EchoQuery>::decode(&asked).unwrap();
        assert!(turned.verify(&key().verifying_key()).is_err());
    }

    proptest! {
        #[test]
        fn a_changed_bit_is_noticed(at: prop::sample::Index, bit in 0_u8..8, noise: Vec<u8>) {
            let change = |mut bytes: Vec<u8>| {
                let at = at.index(bytes.len());
                bytes[at] ^= 1 << bit;
                bytes
            };
            let answer = Signed::sign(answer(), &key()).encode();
            let key = key().verifying_key();
            if let Ok(changed) = SignedQuery::decode(&change(signed().encode())) {
                prop_assert!(changed.verify(&key).is_err());
            }
            if let Ok(changed) = Signed::<EchoAnswer>::decode(&change(answer)) {
                prop_assert!(changed.verify(&key).is_err());
            }
            let _ = SignedQuery::decode(&noise);
            let _ = Signed::<EchoAnswer>::decode(&noise);
            let _ = ResolveAnswer::decode(&noise);
            let _ = ProfileAnswer::decode(&noise);
        }
    }
}
