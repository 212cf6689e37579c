//! The changes of a group, as they are written.

use super::{MAX_DEPUTIES, MAX_TITLE_LEN, read_name};
use crate::e2ee::{
    cbor::{CborError, Reader, Writer},
    identity::read_key,
    primitives::curve::PublicKey,
};

/// What a member may do. Later ones may do all that earlier ones may.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum GroupRole {
    /// Writes and leaves.
    Member,
    /// Also invites, adds and removes members, and renames the group.
    Admin,
    /// Also gives roles and names deputy regions.
    Owner,
}

impl GroupRole {
    pub(super) fn number(self) -> u64 {
        match self {
            Self::Member => 0,
            Self::Admin => 1,
            Self::Owner => 2,
        }
    }

    pub(super) fn read(r: &mut Reader<'_>) -> Result<Self, CborError> {
        match r.uint()? {
            0 => Ok(Self::Member),
            1 => Ok(Self::Admin),
            2 => Ok(Self::Owner),
            _ => Err(CborError),
        }
    }
}

/// An account and the identity key by which the group knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Person {
    /// The full account name.
    pub account: String,
    /// Its identity key. Who has a new one is removed and added again.
    pub identity: PublicKey,
}

/// A change of a group.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Change {
    /// 0: the first epoch, signed by who becomes the owner.
    Create {
        /// The owner.
        owner: Person,
        /// The region that sequences the group.
        region: String,
        /// The encrypted name.
        title: Vec<u8>,
    },
    /// 1: asks somebody to join. By an admin.
    Invite(Person),
    /// 2: the invited one joins, by its own signature.
    Accept,
    /// 3: adds somebody who consented before. By an admin.
    Add(Person),
    /// 4: takes a member or an invitation out. By an admin; an admin can only be removed by an
    /// owner, an owner by nobody.
    Remove(String),
    /// 5: the actor leaves, or declines the invitation.
    Leave,
    /// 6: gives a role. By an owner; nobody takes an owner's role but that owner.
    SetRole {
        /// Whose.
        account: String,
        /// Which.
        role: GroupRole,
    },
    /// 7: a new encrypted name. By an admin.
    Rename(Vec<u8>),
    /// 8: the regions that may take over from the owning one. By an owner.
    SetDeputies(Vec<String>),
    /// 9: a deputy region sequences the group from here on. Without a person's signature: the
    /// owner's earlier grant stands for it, and members do not change.
    TakeOver(String),
}

impl Change {
    pub(super) fn write(&self, w: &mut Writer) {
        match self {
            Self::Create { owner, region, title } => {
                open(w, 0, 4);
                owner.write(w);
                w.text(region);
                w.bytes(title);
            }
            Self::Invite(person) => {
                open(w, 1, 2);
                person.write(w);
            }
            Self::Accept => open(w, 2, 0),
            Self::Add(person) => {
                open(w, 3, 2);
                person.write(w);
            }
            Self::Remove(account) => {
                open(w, 4, 1);
                w.text(account);
            }
            Self::Leave => open(w, 5, 0),
            Self::SetRole { account, role } => {
                open(w, 6, 2);
                w.text(account);
                w.uint(role.number());
            }
            Self::Rename(title) => {
                open(w, 7, 1);
                w.bytes(title);
            }
            Self::SetDeputies(regions) => {
                open(w, 8, 1);
                w.array(regions.len());
                for region in regions {
                    w.text(region);
                }
            }
            Self::TakeOver(region) => {
                open(w, 9, 1);
                w.text(region);
            }
        }
    }

    pub(super) fn read(r: &mut Reader<'_>) -> Result<Self, CborError> {
        let parts = r.array()?.checked_sub(1).ok_or(CborError)?;
        Ok(match (r.uint()?, parts) {
            (0, 4) => Self::Create {
                owner: Person::read(r)?,
                region: read_name(r)?,
                title: read_title(r)?,
            },
            (1, 2) => Self::Invite(Person::read(r)?),
            (2, 0) => Self::Accept,
            (3, 2) => Self::Add(Person::read(r)?),
            (4, 1) => Self::Remove(read_name(r)?),
            (5, 0) => Self::Leave,
            (6, 2) => Self::SetRole { account: read_name(r)?, role: GroupRole::read(r)? },
            (7, 1) => Self::Rename(read_title(r)?),
            (8, 1) => Self::SetDeputies(r.sequence(MAX_DEPUTIES, read_name)?),
            (9, 1) => Self::TakeOver(read_name(r)?),
            _ => return Err(CborError),
        })
    }
}

/// The head of a change with so many parts.
fn open(w: &mut Writer, number: u64, parts: usize) {
    w.array(1 + parts);
    w.uint(number);
}

impl Person {
    /// Two items: account, identity key.
    fn write(&self, w: &mut Writer) {
        w.text(&self.account);
        w.bytes(&self.identity.to_bytes());
    }

    fn read(r: &mut Reader<'_>) -> Result<Self, CborError> {
        Ok(Self { account: read_name(r)?, identity: read_key(r)? })
    }
}

fn read_title(r: &mut Reader<'_>) -> Result<Vec<u8>, CborError> {
    let title = r.bytes()?;
    if title.len() <= MAX_TITLE_LEN { Ok(title.to_vec()) } else { Err(CborError) }
}
