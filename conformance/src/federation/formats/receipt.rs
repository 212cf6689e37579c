//! Receipts (federation-streams.md §Receipts).

use ed25519_dalek::SigningKey;

use super::{
    super::{
        cbor::{Fields, Malformed, Reading, Value},
        keys::{KeyId, labelled, public, sign, signing_key_id},
        lanes::{Hash, Incarnation, Positions, Uuid},
    },
    envelope::server,
    read_incarnation, read_positions, write_incarnation, write_positions,
};

/// The label of a receipt's signature.
const LABEL: &str = "posthouse receipt v1";

/// Outcomes.
pub mod outcome {
    /// Taken, or nothing to do.
    pub const ACCEPTED: u64 = 0;
    /// Something before it is missing.
    pub const GAP: u64 = 1;
    /// Another history.
    pub const DIVERGED: u64 = 2;
    /// An incarnation below the standing's.
    pub const STALE: u64 = 3;
    /// The same number with another random part.
    pub const CONFLICT: u64 = 4;
    /// The standing does not reach what is resumed.
    pub const BEHIND: u64 = 5;
    /// A new incarnation within a minute.
    pub const TOO_SOON: u64 = 6;
}

/// Reasons of rejections.
pub mod reason {
    /// Expired.
    pub const EXPIRED: u64 = 1;
    /// Not readable.
    pub const MALFORMED: u64 = 2;
    /// Refused.
    pub const REFUSED: u64 = 3;
    /// Beyond a limit.
    pub const TOO_LARGE: u64 = 4;
    /// No such recipient.
    pub const UNKNOWN_RECIPIENT: u64 = 5;
    /// A kind that is not known.
    pub const UNSUPPORTED: u64 = 6;
}

/// An event that was rejected for good.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rejection {
    /// Its sequence.
    pub sequence: u64,
    /// Its id.
    pub id: Uuid,
    /// Why: one of [`reason`].
    pub reason: u64,
}

/// A receipt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Receipt {
    /// Who answers.
    pub from: String,
    /// Who is answered.
    pub to: String,
    /// The clock of `from`, in milliseconds.
    pub created: u64,
    /// The key that signs.
    pub signing_key: KeyId,
    /// The digest of the answered envelope.
    pub answers: Hash,
    /// One of [`outcome`].
    pub outcome: u64,
    /// Where the destination stands; absent if nowhere.
    pub standing: Option<(Incarnation, Positions)>,
    /// Rejections among the events of the answered envelope.
    pub rejections: Vec<Rejection>,
}

/// A receipt with its signature.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedReceipt {
    /// What it says.
    pub receipt: Receipt,
    bytes: Vec<u8>,
    signature: [u8; 64],
}

impl Receipt {
    /// Signs it; the bytes of the `signed-receipt`.
    pub fn sign(&self, key: &SigningKey) -> Vec<u8> {
        let mut fields = vec![
            (1, Value::Uint(1)),
            (2, Value::text(&self.from)),
            (3, Value::text(&self.to)),
            (4, Value::Uint(self.created)),
            (5, Value::bytes(self.signing_key)),
            (6, Value::bytes(self.answers)),
            (7, Value::Uint(self.outcome)),
        ];
        if let Some((incarnation, positions)) = &self.standing {
            fields.push((8, write_incarnation(*incarnation)));
            fields.push((9, write_positions(positions)));
        }
        let rejections = self.rejections.iter().map(|one| {
            Value::Array(vec![
                Value::Uint(one.sequence),
                Value::bytes(one.id),
                Value::Uint(one.reason),
            ])
        });
        fields.push((10, Value::Array(rejections.collect())));
        let bytes = Value::Map(fields).encode();
        let signature = sign(key, LABEL, &bytes);
        Value::Array(vec![Value::Bytes(bytes), Value::bytes(signature)]).encode()
    }

    /// The id of `key`, for the field `signing_key`.
    pub fn key_id(key: &SigningKey) -> KeyId {
        signing_key_id(&public(key))
    }

    fn read(bytes: &[u8]) -> Reading<Self> {
        let mut fields = Fields::parse(bytes)?;
        if fields.required(1, Value::uint)? != 1 {
            return Err(Malformed("a receipt of another version"));
        }
        let incarnation = fields.optional(8, read_incarnation)?;
        let positions = fields.optional(9, read_positions)?;
        let receipt = Self {
            from: fields.required(2, server)?,
            to: fields.required(3, server)?,
            created: fields.required(4, Value::uint)?,
            signing_key: fields.required(5, Value::fixed)?,
            answers: fields.required(6, Value::fixed)?,
            outcome: fields.required(7, Value::uint)?,
            standing: match (incarnation, positions) {
                (Some(incarnation), Some(positions)) => Some((incarnation, positions)),
                (None, None) => None,
                _ => return Err(Malformed("a standing by half")),
            },
            rejections: fields.required(10, |list| {
                list.each(|one| {
                    let [sequence, id, reason] = one.tuple()?;
                    let (sequence, id) = (sequence.uint()?, id.fixed()?);
                    Ok(Rejection { sequence, id, reason: reason.uint()? })
                })
            })?,
        };
        fields.end()?;
        if receipt.outcome > 6 || receipt.rejections.len() > 1000 {
            return Err(Malformed("an outcome or rejections out of range"));
        }
        Ok(receipt)
    }
}

impl SignedReceipt {
    /// Reads one. Its signature still has to be checked.
    ///
    /// # Errors
    /// [`Malformed`].
    pub fn read(bytes: &[u8]) -> Reading<Self> {
        let [bytes, signature] = Value::decode(bytes)?.tuple()?;
        let (bytes, signature) = (bytes.byte_string()?, signature.fixed()?);
        Ok(Self { receipt: Receipt::read(&bytes)?, bytes, signature })
    }

    /// Whether `public` signed it.
    pub fn is_signed_by(&self, public: &[u8; 32]) -> bool {
        let text = labelled(LABEL, &self.bytes);
        signing_key_id(public) == self.receipt.signing_key
            && super::super::keys::verifies(public, &text, &self.signature)
    }
}
