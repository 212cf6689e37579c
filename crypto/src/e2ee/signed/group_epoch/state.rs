//! A group as its chain of epochs makes it.

use std::collections::BTreeMap;

use super::{Change, DocumentHash, EpochError, GroupEpoch, GroupRole, Person, SignedGroupEpoch};
use super::{
    LABEL, UnixMillis,
    rules::{NO_MEMBER, NOT_INVITED, WITHOUT_ACTOR},
};
use crate::e2ee::primitives::curve::PublicKey;

/// A member of a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Member {
    /// The identity key by which the group knows the account.
    pub identity: PublicKey,
    /// What it may do.
    pub role: GroupRole,
    /// The epoch in which it joined: who joined first is the oldest.
    pub joined: u64,
}

/// What a verifier keeps of a group, so that it need not read the whole chain again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupParts {
    /// The group's full name.
    pub group: String,
    /// The newest verified epoch.
    pub epoch: u64,
    /// Its hash.
    pub hash: DocumentHash,
    /// The region that sequences the group.
    pub region: String,
    /// The encrypted name.
    pub title: Vec<u8>,
    /// The members by account.
    pub members: BTreeMap<String, Member>,
    /// Who is invited, with the identity keys by which the group knows them.
    pub invited: BTreeMap<String, PublicKey>,
    /// The regions that may take over.
    pub deputies: Vec<String>,
}

/// A group after a verified epoch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupState {
    pub(super) group: String,
    pub(super) epoch: u64,
    pub(super) hash: DocumentHash,
    pub(super) region: String,
    pub(super) title: Vec<u8>,
    pub(super) members: BTreeMap<String, Member>,
    pub(super) invited: BTreeMap<String, PublicKey>,
    pub(super) deputies: Vec<String>,
}

impl GroupState {
    /// The group as its verifier kept it. Only for what came out of a verified state: nothing is
    /// checked here.
    pub fn restore(parts: GroupParts) -> Self {
        let GroupParts { group, epoch, hash, region, title, members, invited, deputies } = parts;
        Self { group, epoch, hash, region, title, members, invited, deputies }
    }

    /// The group that a first epoch creates. Whether its owner is who the reader thinks is for
    /// the known identities to say: the caller compares [`Member::identity`] with them.
    ///
    /// # Errors
    /// [`EpochError`].
    pub fn create(group: &str, first: &SignedGroupEpoch) -> Result<Self, EpochError> {
        let epoch = first.read()?;
        if epoch.group != group {
            return Err(EpochError::OtherGroup);
        }
        let Change::Create { owner, region, title } = epoch.change else {
            return Err(EpochError::NotAllowed("a group begins with an epoch that creates it"));
        };
        let begins = epoch.epoch == 1
            && epoch.previous.is_none()
            && epoch.actor.as_ref() == Some(&owner.account);
        if !begins {
            let rule = "the first epoch has number 1, no epoch before and its owner as actor";
            return Err(EpochError::Malformed(rule));
        }
        if !first.0.signed_by(LABEL, &owner.identity) {
            return Err(EpochError::Signature);
        }
        let member = Member { identity: owner.identity, role: GroupRole::Owner, joined: 1 };
        Ok(Self {
            group: epoch.group,
            epoch: 1,
            hash: first.hash(),
            region,
            title,
            members: BTreeMap::from([(owner.account, member)]),
            invited: BTreeMap::new(),
            deputies: Vec::new(),
        })
    }

    /// The group after the next epoch.
    ///
    /// # Errors
    /// [`EpochError`]; the state stays as it was.
    pub fn apply(&self, next: &SignedGroupEpoch) -> Result<Self, EpochError> {
        let epoch = next.read()?;
        if epoch.group != self.group {
            return Err(EpochError::OtherGroup);
        }
        if epoch.epoch == self.epoch {
            let same = next.hash() == self.hash;
            return Err(if same { EpochError::AlreadyKnown } else { EpochError::Fork });
        }
        if epoch.epoch < self.epoch {
            return Err(EpochError::Rollback { known: self.epoch });
        }
        if epoch.epoch - self.epoch > 1 {
            return Err(EpochError::Gap { from: self.epoch + 1 });
        }
        if epoch.previous != Some(self.hash) {
            return Err(EpochError::Fork);
        }
        self.check_signature(&epoch, next)?;
        let mut state = self.clone();
        state.change(epoch.actor.as_deref(), epoch.change)?;
        (state.epoch, state.hash) = (epoch.epoch, next.hash());
        Ok(state)
    }

    /// An epoch of ours, to be signed.
    pub fn propose(&self, actor: &str, change: Change, issued: UnixMillis) -> GroupEpoch {
        GroupEpoch {
            group: self.group.clone(),
            epoch: self.epoch + 1,
            previous: Some(self.hash),
            actor: Some(actor.to_owned()),
            change,
            issued,
        }
    }

    /// The group's full name.
    pub fn group(&self) -> &str {
        &self.group
    }

    /// The newest verified epoch.
    pub fn epoch(&self) -> u64 {
        self.epoch
    }

    /// Hash of the newest verified epoch.
    pub fn hash(&self) -> &DocumentHash {
        &self.hash
    }

    /// The region that sequences the group.
    pub fn region(&self) -> &str {
        &self.region
    }

    /// The encrypted name.
    pub fn title(&self) -> &[u8] {
        &self.title
    }

    /// The members by account.
    pub fn members(&self) -> &BTreeMap<String, Member> {
        &self.members
    }

    /// Who is invited.
    pub fn invited(&self) -> impl Iterator<Item = Person> {
        self.invited
            .iter()
            .map(|(account, identity)| Person { account: account.clone(), identity: *identity })
    }

    /// Who is invited, with the identity keys by which the group knows them.
    pub fn invitations(&self) -> impl Iterator<Item = (&str, &PublicKey)> {
        self.invited.iter().map(|(account, identity)| (account.as_str(), identity))
    }

    /// Whether an account is invited.
    pub fn is_invited(&self, account: &str) -> bool {
        self.invited.contains_key(account)
    }

    /// The regions that may take over.
    pub fn deputies(&self) -> &[String] {
        &self.deputies
    }

    fn check_signature(
        &self,
        epoch: &GroupEpoch,
        signed: &SignedGroupEpoch,
    ) -> Result<(), EpochError> {
        let Some(actor) = &epoch.actor else {
            let impersonal = matches!(epoch.change, Change::TakeOver(_)) && !signed.0.is_signed();
            return if impersonal { Ok(()) } else { Err(EpochError::NotAllowed(WITHOUT_ACTOR)) };
        };
        let (identity, rule) = match epoch.change {
            Change::Accept => (self.invited.get(actor), NOT_INVITED),
            Change::Leave if self.is_invited(actor) => (self.invited.get(actor), NOT_INVITED),
            _ => (self.members.get(actor).map(|member| &member.identity), NO_MEMBER),
        };
        let identity = identity.ok_or(EpochError::NotAllowed(rule))?;
        if signed.0.signed_by(LABEL, identity) { Ok(()) } else { Err(EpochError::Signature) }
    }
}
