//! A group's membership as a chain of epochs, each signed by whoever made the change: no server
//! can add a member.
//!
//! ```text
//! 0 format, 1    1 group    2 epoch (from 1)    3 hash of the epoch before (absent in the first)
//! 4 actor (absent in acts without a person)     5 change [number, ...]     6 issued at (ms)
//! ```

mod change;
mod rules;
mod state;

pub use change::{Change, GroupRole, Person};
pub use state::{GroupParts, GroupState, Member};

use rand_core::CryptoRng;

use super::{Document, DocumentHash, NO_DOCUMENT, all_fields};
use crate::e2ee::{
    address::MAX_NAME_LEN,
    cbor::{CborError, Fields, Reader, Writer},
    primitives::curve::PrivateKey,
    time::UnixMillis,
};

const LABEL: &[u8] = b"Posthouse group epoch v1";
/// The format of the payload.
const FORMAT: u64 = 1;
/// How many members a group has at most.
pub const MAX_MEMBERS: usize = 1_024;
/// How many people can be invited at once.
pub const MAX_INVITED: usize = 1_024;
/// How many regions can stand in for the owning one.
pub const MAX_DEPUTIES: usize = 8;
/// The longest encrypted name of a group, in bytes.
pub const MAX_TITLE_LEN: usize = 4 * 1024;

/// One change of a group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupEpoch {
    /// The group's full name.
    pub group: String,
    /// Its place in the chain, from 1.
    pub epoch: u64,
    /// Hash of the epoch before; `None` in the first.
    pub previous: Option<DocumentHash>,
    /// Who made the change; `None` in acts without a person's signature.
    pub actor: Option<String>,
    /// What changes.
    pub change: Change,
    /// By the actor's clock.
    pub issued: UnixMillis,
}

impl GroupEpoch {
    /// Signs the epoch with the actor's identity key.
    pub fn sign(&self, identity: &PrivateKey, rng: &mut impl CryptoRng) -> SignedGroupEpoch {
        SignedGroupEpoch(Document::sign(LABEL, &self.payload(), identity, rng))
    }

    /// An epoch without a person's signature: [`Change::TakeOver`] is the only one.
    pub fn unsigned(&self) -> SignedGroupEpoch {
        SignedGroupEpoch(Document::unsigned(&self.payload()))
    }

    fn payload(&self) -> Vec<u8> {
        let mut fields = Fields::default();
        fields.put(0, |w| w.uint(FORMAT));
        fields.put(1, |w| w.text(&self.group));
        fields.put(2, |w| w.uint(self.epoch));
        if let Some(previous) = &self.previous {
            fields.put(3, |w| w.bytes(previous));
        }
        if let Some(actor) = &self.actor {
            fields.put(4, |w| w.text(actor));
        }
        fields.put(5, |w| self.change.write(w));
        fields.put(6, |w| w.uint(self.issued.0));
        let mut writer = Writer::new();
        fields.write(&mut writer);
        writer.finish().to_vec()
    }

    /// Reads a payload; the error names the member and the rule.
    fn read(payload: &[u8]) -> Result<Self, &'static str> {
        let mut fields = all_fields(payload)?;
        if fields.uint(0) != Ok(FORMAT) {
            return Err("field 0 (format) is not 1");
        }
        let group = fields.take(1, read_name).map_err(|_| "field 1 (group) is no name")?;
        let epoch = fields.uint(2).map_err(|_| "field 2 (epoch) is no number")?;
        let previous = fields.optional_exact(3);
        let previous = previous.map_err(|_| "field 3 (hash of the epoch before) is no 32 bytes")?;
        let actor = fields.take_optional(4, read_name);
        let actor = actor.map_err(|_| "field 4 (actor) is no name")?;
        let change = fields.take(5, Change::read);
        let change =
            change.map_err(|_| "field 5 (change) is none, or its items are not its own")?;
        let issued = fields.uint(6).map_err(|_| "field 6 (issued at) is no number")?;
        Ok(Self { group, epoch, previous, actor, change, issued: UnixMillis(issued) })
    }
}

/// A full name of an account, group or region.
fn read_name(r: &mut Reader<'_>) -> Result<String, CborError> {
    let name = r.text()?;
    let fits = (1..=MAX_NAME_LEN).contains(&name.len());
    if fits { Ok(name.to_owned()) } else { Err(CborError) }
}

/// An epoch as it comes from a server. Nothing has been checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedGroupEpoch(Document);

impl SignedGroupEpoch {
    /// Parses the envelope; [`GroupState`] reads the payload.
    ///
    /// # Errors
    /// [`EpochError::Malformed`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, EpochError> {
        let read = Document::from_bytes(bytes).map(Self);
        read.map_err(|_| EpochError::Malformed(NO_DOCUMENT))
    }

    /// The bytes to publish.
    pub fn to_bytes(&self) -> Vec<u8> {
        self.0.to_bytes()
    }

    /// What the next epoch names as the one before.
    pub fn hash(&self) -> DocumentHash {
        self.0.hash(LABEL)
    }

    /// What the epoch says. Nothing of it has been checked: whoever believes it asks
    /// [`GroupState::create`] or [`GroupState::apply`].
    ///
    /// # Errors
    /// [`EpochError::Malformed`].
    pub fn unverified(&self) -> Result<GroupEpoch, EpochError> {
        self.read()
    }

    fn read(&self) -> Result<GroupEpoch, EpochError> {
        GroupEpoch::read(self.0.payload()).map_err(EpochError::Malformed)
    }
}

/// Why an epoch is not believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EpochError {
    /// The epoch is known; nothing is to be done.
    #[error("the epoch is known")]
    AlreadyKnown,
    /// Another epoch of this number is known: somebody shows different chains to different
    /// people.
    #[error("there are two epochs of one number")]
    Fork,
    /// The group would have too many members, invitations or deputies.
    #[error("the group is full")]
    Full,
    /// Epochs in between are missing: fetch the chain.
    #[error("the epochs from {from} are missing")]
    Gap {
        /// The first one that is missing.
        from: u64,
    },
    /// Not an epoch: which member breaks which rule.
    #[error("the epoch is malformed: {0}")]
    Malformed(&'static str),
    /// The actor may not do this, for this reason.
    #[error("the actor may not make this change: {0}")]
    NotAllowed(&'static str),
    /// Of another group.
    #[error("the epoch belongs to another group")]
    OtherGroup,
    /// Older than the newest known epoch, and not kept to compare.
    #[error("the epoch is older than {known}, which is known")]
    Rollback {
        /// The newest known epoch.
        known: u64,
    },
    /// Not signed by the identity key that the chain names for its actor.
    #[error("the epoch is not signed by its actor")]
    Signature,
}

#[cfg(test)]
mod tests;
