//! A signed receipt: the destination's answer to an envelope (docs/spec/federation-streams.md,
//! "Receipts").
//!
//! ```text
//! signed receipt = [ receipt: bstr, signature: bstr (64) ]
//! signature      = Ed25519 over "posthouse receipt v1" ‖ 00 ‖ receipt
//! ```

use uuid::Uuid;

use super::{
    cbor::{CborError, Fault, Fields, Reader},
    envelope::EnvelopeDigest,
    header::{read_only_version, read_server},
    keys::KeyId,
    limits,
    signed::{Signable, Signed, Verified},
    stream::{Incarnation, PerLane, Position, Standing, read_lanes, write_lanes},
    version,
};
use crate::{id::ServerName, time::Timestamp};

/// What a destination signs for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Receipt {
    /// Who signs: the destination of the envelope.
    pub from: ServerName,
    /// For whom: the origin of the envelope.
    pub to: ServerName,
    /// The signer's clock.
    pub created: Timestamp,
    /// The signer's key.
    pub signing_key: KeyId,
    /// The envelope that is answered.
    pub answers: EnvelopeDigest,
    /// How it was taken.
    pub outcome: Outcome,
    /// Where the signer stands in the origin's stream; `None` if it has never taken anything.
    pub standing: Option<Standing>,
    /// Events of the answered envelope that will never be taken, now or since an earlier time; at
    /// most [`limits::MAX_REJECTIONS`].
    pub rejections: Vec<Rejection>,
}

/// How an envelope was taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Outcome {
    /// All of it is durable here, now or since an earlier time. Also the answer to a question for
    /// the position that found both sides agreeing.
    Accepted,
    /// Something before it is missing.
    Gap,
    /// The running hash before it is another one here.
    Diverged,
    /// A higher incarnation has been seen; this one is refused for ever.
    Stale,
    /// The same incarnation number has been seen with another random part: two servers hold the
    /// origin's identity.
    Conflict,
    /// The incarnation resumes a position that was not reached here.
    Behind,
    /// Incarnations follow each other too fast; this one may come again a minute later.
    TooSoon,
}

impl Outcome {
    const ALL: [Self; 7] = [
        Self::Accepted,
        Self::Gap,
        Self::Diverged,
        Self::Stale,
        Self::Conflict,
        Self::Behind,
        Self::TooSoon,
    ];

    fn number(self) -> u64 {
        match self {
            Self::Accepted => 0,
            Self::Gap => 1,
            Self::Diverged => 2,
            Self::Stale => 3,
            Self::Conflict => 4,
            Self::Behind => 5,
            Self::TooSoon => 6,
        }
    }
}

/// An event that will never be taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rejection {
    /// Its sequence.
    pub sequence: u64,
    /// Its id.
    pub id: Uuid,
    /// Why.
    pub reason: RejectionReason,
}

/// Why an event will never be taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum RejectionReason {
    /// It expired before it came.
    Expired,
    /// It cannot be read.
    Malformed,
    /// The recipient does not take it: blocked, or against the region's rules.
    Refused,
    /// It is larger than the region takes.
    TooLarge,
    /// The recipient does not exist.
    UnknownRecipient,
    /// Its kind or payload version is not known here.
    Unsupported,
    /// The recipient's inbox is full.
    QueueFull,
    /// A reason that this version does not know.
    Other(u8),
}

impl RejectionReason {
    /// The number on the wire.
    pub fn number(self) -> u8 {
        match self {
            Self::Expired => 1,
            Self::Malformed => 2,
            Self::Refused => 3,
            Self::TooLarge => 4,
            Self::UnknownRecipient => 5,
            Self::Unsupported => 6,
            Self::QueueFull => 7,
            Self::Other(number) => number,
        }
    }

    /// The reason of a number.
    pub fn from_number(number: u8) -> Self {
        match number {
            1 => Self::Expired,
            2 => Self::Malformed,
            3 => Self::Refused,
            4 => Self::TooLarge,
            5 => Self::UnknownRecipient,
            6 => Self::Unsupported,
            7 => Self::QueueFull,
            other => Self::Other(other),
        }
    }
}

impl Signable for Receipt {
    const LABEL: &'static [u8] = b"posthouse receipt v1\0";
    const MAX_LEN: usize = limits::MAX_RECEIPT;

    fn encode(&self) -> Vec<u8> {
        let mut fields = Fields::default();
        fields.key(1).uint(version::ENVELOPE.into());
        fields.key(2).text(self.from.as_str());
        fields.key(3).text(self.to.as_str());
        fields.key(4).uint(self.created.0);
        fields.key(5).bytes(&self.signing_key.0);
        fields.key(6).bytes(&self.answers.0);
        fields.key(7).uint(self.outcome.number());
        if let Some(standing) = &self.standing {
            standing.incarnation.write(fields.key(8));
            write_lanes(&standing.lanes, fields.key(9));
        }
        let rejections = fields.key(10).array(self.rejections.len());
        for one in &self.rejections {
            rejections.array(3).uint(one.sequence).bytes(one.id.as_bytes());
            rejections.uint(one.reason.number().into());
        }
        fields.finish()
    }

    fn decode(bytes: &[u8]) -> Result<Self, CborError> {
        let mut reader = Reader::new(bytes);
        let mut raw = Raw::default();
        reader.map(|reader, key| raw.field(reader, key))?;
        let receipt = raw.check(&reader)?;
        reader.finish()?;
        Ok(receipt)
    }

    fn signer(&self) -> (&ServerName, KeyId) {
        (&self.from, self.signing_key)
    }

    fn set_signing_key(&mut self, id: KeyId) {
        self.signing_key = id;
    }
}

/// A receipt with its signature, which has not been checked.
pub type SignedReceipt = Signed<Receipt>;
/// A receipt whose signature was checked.
pub type VerifiedReceipt = Verified<Receipt>;

impl VerifiedReceipt {
    /// What was signed.
    pub fn receipt(&self) -> &Receipt {
        self.value()
    }
}

#[derive(Default)]
struct Raw {
    version: Option<()>,
    from: Option<ServerName>,
    to: Option<ServerName>,
    created: Option<u64>,
    signing_key: Option<KeyId>,
    answers: Option<EnvelopeDigest>,
    outcome: Option<Outcome>,
    incarnation: Option<Incarnation>,
    lanes: Option<PerLane<Position>>,
    rejections: Option<Vec<Rejection>>,
}

impl Raw {
    fn field(&mut self, reader: &mut Reader<'_>, key: u64) -> Result<(), CborError> {
        match key {
            1 => self.version = Some(read_only_version(reader)?),
            2 => self.from = Some(read_server(reader)?),
            3 => self.to = Some(read_server(reader)?),
            4 => self.created = Some(reader.uint()?),
            5 => self.signing_key = Some(KeyId(reader.fixed()?)),
            6 => self.answers = Some(EnvelopeDigest(reader.fixed()?)),
            7 => {
                let number = reader.uint()?;
                let outcome = Outcome::ALL.into_iter().find(|known| known.number() == number);
                self.outcome = Some(outcome.ok_or_else(|| reader.invalid("an unknown outcome"))?);
            }
            8 => self.incarnation = Some(Incarnation::read(reader)?),
            9 => self.lanes = Some(read_lanes(reader)?),
            10 => self.rejections = Some(reader.list(limits::MAX_REJECTIONS, read_rejection)?),
            other => reader.unknown(other)?,
        }
        Ok(())
    }

    fn check(self, reader: &Reader<'_>) -> Result<Receipt, CborError> {
        reader.require(self.version, "version")?;
        let standing = match (self.incarnation, self.lanes) {
            (None, None) => None,
            (Some(incarnation), Some(lanes)) => Some(Standing { incarnation, lanes }),
            _ => return Err(reader.invalid("incarnation and lanes come together")),
        };
        Ok(Receipt {
            from: reader.require(self.from, "from")?,
            to: reader.require(self.to, "to")?,
            created: Timestamp(reader.require(self.created, "created")?),
            signing_key: reader.require(self.signing_key, "signing key")?,
            answers: reader.require(self.answers, "answers")?,
            outcome: reader.require(self.outcome, "outcome")?,
            standing,
            rejections: reader.require(self.rejections, "rejections")?,
        })
    }
}

fn read_rejection(reader: &mut Reader<'_>) -> Result<Rejection, CborError> {
    reader.array_of(3)?;
    let sequence = reader.uint()?;
    let id = Uuid::from_bytes(reader.fixed()?);
    let reason = u8::try_from(reader.uint()?).map_err(|_| reader.fault(Fault::TooLong))?;
    Ok(Rejection { sequence, id, reason: RejectionReason::from_number(reason) })
}

#[cfg(test)]
mod tests;
