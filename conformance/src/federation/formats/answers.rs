//! Queries, their answers, and refusals (federation.md §Queries, §Refusals).

use ed25519_dalek::SigningKey;

use super::{
    super::{
        cbor::{Fields, Malformed, Reading, Value},
        keys::{KeyId, labelled, public, sign, signing_key_id, verifies},
        lanes::Uuid,
    },
    envelope::server,
};

/// The label of a query's signature.
const LABEL: &str = "posthouse query v1";

/// Asks which account has a handle.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Query {
    /// The version; only 1 is read.
    pub version: u64,
    /// Who asks.
    pub origin: String,
    /// Who is asked.
    pub destination: String,
    /// The clock of the origin, in milliseconds.
    pub created: u64,
    /// The local part of the handle.
    pub handle: String,
}

impl Query {
    /// Signs it; the bytes of the `signed-query`.
    pub fn sign(&self, key: &SigningKey) -> Vec<u8> {
        let bytes = Value::Map(vec![
            (1, Value::Uint(self.version)),
            (2, Value::text(&self.origin)),
            (3, Value::text(&self.destination)),
            (4, Value::Uint(self.created)),
            (5, Value::bytes(signing_key_id(&public(key)))),
            (6, Value::text(&self.handle)),
        ])
        .encode();
        let signature = sign(key, LABEL, &bytes);
        Value::Array(vec![Value::Bytes(bytes), Value::bytes(signature)]).encode()
    }

    /// Reads one, with the id of the key that should have signed it, and a test of a public key.
    ///
    /// # Errors
    /// [`Malformed`].
    pub fn read(bytes: &[u8]) -> Reading<(Self, KeyId, impl Fn(&[u8; 32]) -> bool + use<>)> {
        let [bytes, signature] = Value::decode(bytes)?.tuple()?;
        let (bytes, signature) = (bytes.byte_string()?, signature.fixed()?);
        let mut fields = Fields::parse(&bytes)?;
        if fields.required(1, Value::uint)? != 1 {
            return Err(Malformed("a query of another version"));
        }
        let query = Self {
            version: 1,
            origin: fields.required(2, server)?,
            destination: fields.required(3, server)?,
            created: fields.required(4, Value::uint)?,
            handle: fields.required(6, Value::string)?,
        };
        let key = fields.required(5, Value::fixed)?;
        fields.end()?;
        let text = labelled(LABEL, &bytes);
        Ok((query, key, move |public: &[u8; 32]| verifies(public, &text, &signature)))
    }
}

/// Asks who is there and what its time is, or answers so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Echo {
    /// Who says it.
    pub origin: String,
    /// To whom.
    pub destination: String,
    /// The clock of the origin, in milliseconds.
    pub created: u64,
    /// Never used before; the answer repeats it.
    pub nonce: Uuid,
}

impl Echo {
    /// Signs a question; the bytes of the `signed-echo`.
    pub fn sign(&self, key: &SigningKey) -> Vec<u8> {
        let bytes = Value::Map(vec![
            (1, Value::Uint(1)),
            (2, Value::text(&self.origin)),
            (3, Value::text(&self.destination)),
            (4, Value::Uint(self.created)),
            (5, Value::bytes(signing_key_id(&public(key)))),
            (6, Value::bytes(self.nonce)),
        ])
        .encode();
        let signature = sign(key, "posthouse echo v1", &bytes);
        Value::Array(vec![Value::Bytes(bytes), Value::bytes(signature)]).encode()
    }

    /// Reads an answer, with the id of the key that should have signed it, and a test of a key.
    ///
    /// # Errors
    /// [`Malformed`].
    pub fn read_answer(bytes: &[u8]) -> Reading<(Self, KeyId, impl Fn(&[u8; 32]) -> bool + use<>)> {
        let [bytes, signature] = Value::decode(bytes)?.tuple()?;
        let (bytes, signature) = (bytes.byte_string()?, signature.fixed()?);
        let mut fields = Fields::parse(&bytes)?;
        if fields.required(1, Value::uint)? != 1 {
            return Err(Malformed("an echo of another version"));
        }
        let echo = Self {
            origin: fields.required(2, server)?,
            destination: fields.required(3, server)?,
            created: fields.required(4, Value::uint)?,
            nonce: fields.required(6, Value::fixed)?,
        };
        let key = fields.required(5, Value::fixed)?;
        fields.end()?;
        let text = labelled("posthouse echo answer v1", &bytes);
        Ok((echo, key, move |public: &[u8; 32]| verifies(public, &text, &signature)))
    }
}

/// The answer to a query.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The account; absent if nobody has the handle.
    pub account: Option<Uuid>,
    /// For how long to remember it, in seconds.
    pub seconds: u64,
}

impl Answer {
    /// Its bytes.
    pub fn encode(&self) -> Vec<u8> {
        let account = self.account.map(|account| (1, Value::bytes(account)));
        Value::Map(account.into_iter().chain([(2, Value::Uint(self.seconds))]).collect()).encode()
    }

    /// Reads one.
    ///
    /// # Errors
    /// [`Malformed`].
    pub fn read(bytes: &[u8]) -> Reading<Self> {
        let mut fields = Fields::parse(bytes)?;
        let account = fields.optional(1, Value::fixed)?;
        let seconds = fields.required(2, Value::uint)?;
        fields.end()?;
        Ok(Self { account, seconds })
    }
}

/// The body of whatever is not answered with 200.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The code.
    pub code: String,
    /// For people.
    pub detail: String,
    /// After how many seconds to try again.
    pub seconds: Option<u64>,
}

impl Refusal {
    /// Its bytes.
    pub fn encode(&self) -> Vec<u8> {
        let fields = [(1, Value::text(&self.code)), (2, Value::text(&self.detail))];
        let seconds = self.seconds.map(|seconds| (3, Value::Uint(seconds)));
        Value::Map(fields.into_iter().chain(seconds).collect()).encode()
    }

    /// Reads one.
    ///
    /// # Errors
    /// [`Malformed`].
    pub fn read(bytes: &[u8]) -> Reading<Self> {
        let mut fields = Fields::parse(bytes)?;
        let refusal = Self {
            code: fields.required(1, Value::string)?,
            detail: fields.required(2, Value::string)?,
            seconds: fields.optional(3, Value::uint)?,
        };
        fields.end()?;
        Ok(refusal)
    }
}
