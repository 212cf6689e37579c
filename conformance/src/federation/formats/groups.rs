//! Questions about groups and their answers (federation.md §Queries). What an epoch says is for
//! clients to read: here it is bytes.

use ed25519_dalek::SigningKey;

use super::{
    super::{
        cbor::{Fields, Malformed, Reading, Value},
        keys::{KeyId, labelled, public, sign, signing_key_id, verifies},
        lanes::Uuid,
    },
    envelope::server,
};

/// The label of a question's signature.
const LABEL: &str = "posthouse group query v1";
/// Most epochs in a question or an answer.
const MAX_EPOCHS: usize = 256;

/// A question about a group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupQuery {
    /// Who asks.
    pub origin: String,
    /// Who is asked.
    pub destination: String,
    /// The clock of the origin, in milliseconds.
    pub created: u64,
    /// The group's id.
    pub group: String,
    /// What is wanted.
    pub act: GroupAct,
}

/// What is wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum GroupAct {
    /// Epochs from this number on.
    Pull(u64),
    /// These epochs are new.
    Push(Vec<Vec<u8>>),
    /// This is to be the next epoch.
    Submit(Vec<u8>),
    /// An account asks to join; SHA-256 of the code of a link.
    Join(Uuid, [u8; 32]),
}

impl GroupQuery {
    /// Signs it.
    pub fn sign(&self, key: &SigningKey) -> Vec<u8> {
        let epochs = |all: &[Vec<u8>]| Value::Array(all.iter().map(Value::bytes).collect());
        let act = match &self.act {
            GroupAct::Pull(from) => (2, Value::Uint(*from)),
            GroupAct::Push(all) => (3, epochs(all)),
            GroupAct::Submit(epoch) => (4, Value::bytes(epoch)),
            GroupAct::Join(account, code) => {
                (5, Value::Array(vec![Value::bytes(account), Value::bytes(code)]))
            }
        };
        let bytes = Value::Map(vec![
            (1, Value::Uint(1)),
            (2, Value::text(&self.origin)),
            (3, Value::text(&self.destination)),
            (4, Value::Uint(self.created)),
            (5, Value::bytes(signing_key_id(&public(key)))),
            (6, Value::Map(vec![(1, Value::text(&self.group)), act])),
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
        let (origin, destination) = (fields.required(2, server)?, fields.required(3, server)?);
        let created = fields.required(4, Value::uint)?;
        let key = fields.required(5, Value::fixed)?;
        let mut asked = fields.required(6, Fields::of)?;
        fields.end()?;
        let group = asked.required(1, Value::string)?;
        let acts = [
            asked.optional(2, Value::uint)?.map(GroupAct::Pull),
            asked.optional(3, epochs)?.map(GroupAct::Push),
            asked.optional(4, Value::byte_string)?.map(GroupAct::Submit),
            asked.optional(5, join)?,
        ];
        asked.end()?;
        let mut acts = acts.into_iter().flatten();
        let (Some(act), None) = (acts.next(), acts.next()) else {
            return Err(Malformed("not one of the keys 2 to 5"));
        };
        let query = Self { origin, destination, created, group, act };
        let text = labelled(LABEL, &bytes);
        Ok((query, key, move |public: &[u8; 32]| verifies(public, &text, &signature)))
    }
}

fn epochs(value: Value) -> Reading<Vec<Vec<u8>>> {
    let all = value.each(Value::byte_string)?;
    if all.len() <= MAX_EPOCHS { Ok(all) } else { Err(Malformed("more than 256 epochs")) }
}

fn join(value: Value) -> Reading<GroupAct> {
    let [account, code] = value.tuple()?;
    Ok(GroupAct::Join(account.fixed()?, code.fixed()?))
}

/// The answer.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct GroupAnswer {
    /// 0 done, 1 nothing, 2 stale, 3 refused.
    pub outcome: u64,
    /// Number and hash of the newest epoch of the answerer.
    pub head: Option<(u64, [u8; 32])>,
    /// Epochs.
    pub epochs: Vec<Vec<u8>>,
    /// Why it is refused.
    pub reason: Option<String>,
}

impl GroupAnswer {
    /// Its bytes.
    pub fn encode(&self) -> Vec<u8> {
        let epochs = self.epochs.iter().map(Value::bytes).collect::<Vec<_>>();
        let fields = [
            (1, Some(Value::Uint(self.outcome))),
            (2, self.head.map(|(epoch, _)| Value::Uint(epoch))),
            (3, self.head.map(|(_, hash)| Value::bytes(hash))),
            (4, (!epochs.is_empty()).then_some(Value::Array(epochs))),
            (5, self.reason.as_deref().map(Value::text)),
        ];
        let fields = fields.into_iter().filter_map(|(key, value)| Some((key, value?)));
        Value::Map(fields.collect()).encode()
    }

    /// Reads one.
    ///
    /// # Errors
    /// [`Malformed`].
    pub fn read(bytes: &[u8]) -> Reading<Self> {
        let mut fields = Fields::parse(bytes)?;
        let outcome = fields.required(1, Value::uint)?;
        let (epoch, hash) = (fields.optional(2, Value::uint)?, fields.optional(3, Value::fixed)?);
        let answer = Self {
            outcome,
            head: epoch.zip(hash),
            epochs: fields.optional(4, epochs)?.unwrap_or_default(),
            reason: fields.optional(5, Value::string)?,
        };
        fields.end()?;
        Ok(answer)
    }
}
