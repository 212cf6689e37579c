//! What an epoch changes, and who is told. Pure.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use posthouse_crypto::e2ee::signed::group_epoch::{
    self, EpochError, GroupEpoch, GroupState, SignedGroupEpoch,
};
use posthouse_protocol::{
    frame::GroupEvent,
    id::{AccountId, GroupId, ServerName},
    limits,
    problem::{Code, Rejection},
    rest::groups::{EpochHash, GroupHead, Standing},
    time::Timestamp,
};
use posthouse_storage::groups::{Becomes, Change, Head, Step};
use uuid::Uuid;

use super::book::{Derived, Known, LocalPerson, standing};

/// How far ahead of our clock an epoch may say that it was signed, in milliseconds (24 h).
const MAX_AHEAD_MS: u64 = 24 * 3_600_000;

/// What an epoch says, with all names in their form. Its signature is not checked yet.
#[derive(Debug)]
pub(super) struct Read {
    pub(super) signed: SignedGroupEpoch,
    pub(super) epoch: GroupEpoch,
    /// Whose act it is.
    pub(super) actor: Option<AccountId>,
    /// Whom it invites, adds, removes, or gives a role.
    pub(super) subject: Option<AccountId>,
}

/// Reads an epoch of `group`.
///
/// # Errors
/// [`Code::BadRequest`].
pub(super) fn read(signed: SignedGroupEpoch, group: &GroupId) -> Result<Read, Rejection> {
    let bad = |detail: &'static str| Rejection::new(Code::BadRequest, detail);
    let epoch = signed.unverified().map_err(|err| not_an_epoch(&err))?;
    if epoch.group != group.to_string() {
        return Err(bad("the epoch is of another group"));
    }
    let account = |text: &str| AccountId::parse(text).map_err(Rejection::from);
    let actor = epoch.actor.as_deref().map(account).transpose()?;
    let subject = match &epoch.change {
        group_epoch::Change::Create { owner: one, region, .. } => {
            ServerName::parse(region)?;
            Some(account(&one.account)?)
        }
        group_epoch::Change::Invite(one) | group_epoch::Change::Add(one) => {
            if !one.identity.is_prime_order() {
                return Err(bad("an identity key is none"));
            }
            Some(account(&one.account)?)
        }
        group_epoch::Change::Remove(one) | group_epoch::Change::SetRole { account: one, .. } => {
            Some(account(one)?)
        }
        group_epoch::Change::SetDeputies(regions) => {
            for region in regions {
                ServerName::parse(region)?;
            }
            None
        }
        group_epoch::Change::TakeOver(region) => {
            ServerName::parse(region)?;
            None
        }
        _ => None,
    };
    Ok(Read { signed, epoch, actor, subject })
}

/// The refusal of what is no epoch: which member breaks which rule.
pub(super) fn not_an_epoch(err: &EpochError) -> Rejection {
    Rejection::new(Code::BadRequest, err.to_string())
}

/// Bounds that clients do not check: the clock, and the length of chains.
pub(super) fn check_bounds(read: &Read, now: Timestamp) -> Result<(), Rejection> {
    if read.epoch.issued.0 > now.0.saturating_add(MAX_AHEAD_MS) {
        let detail = "the epoch was signed in the future; set the clock";
        return Err(Rejection::new(Code::BadRequest, detail));
    }
    let shrinks =
        matches!(read.epoch.change, group_epoch::Change::Leave | group_epoch::Change::Remove(_));
    let most = if shrinks { limits::MAX_GROUP_EPOCHS } else { limits::SHRINKING_GROUP_EPOCHS };
    if read.epoch.epoch > most {
        let detail = "the group's chain is full: make a new group";
        return Err(Rejection::new(Code::TooMany, detail));
    }
    Ok(())
}

/// Why clients would not believe an epoch.
pub(super) fn refused(err: EpochError, head: Head) -> Rejection {
    let because = |code| Rejection::new(code, err.to_string());
    match err {
        EpochError::Signature => because(Code::BadSignature),
        EpochError::NotAllowed(_) => because(Code::Forbidden),
        EpochError::Full => because(Code::TooMany),
        EpochError::AlreadyKnown
        | EpochError::Fork
        | EpochError::Gap { .. }
        | EpochError::Rollback { .. } => Rejection::stale_epoch(shown(head)),
        _ => because(Code::BadRequest),
    }
}

/// The refusal of what was made against another epoch than the newest.
pub(crate) fn stale_epoch(head: Head) -> Rejection {
    Rejection::stale_epoch(shown(head))
}

/// A head as clients are told.
pub(super) fn shown(head: Head) -> GroupHead {
    GroupHead { epoch: head.epoch, hash: EpochHash(head.hash) }
}

/// A verified epoch: what was, what will be, and what else decides.
pub(super) struct Verified<'a> {
    pub(super) before: Option<&'a Known>,
    pub(super) after: GroupState,
    pub(super) read: &'a Read,
    pub(super) own: &'a ServerName,
    /// Whether the invitation that it makes is kept from its subject.
    pub(super) is_hidden: bool,
    pub(super) now: Timestamp,
}

/// The step that appends a verified epoch, and the group after it.
///
/// # Errors
/// [`Code::Internal`], if the chain holds what was never let in.
pub(super) fn step(verified: Verified<'_>, group: &GroupId) -> Result<(Step, Known), Rejection> {
    let changes = changes(&verified)?;
    let mut local = verified.before.map(|before| before.local.clone()).unwrap_or_default();
    let mut tell = Vec::new();
    for change in changes.iter().filter(|change| change.is_local) {
        let (account, name) = (&change.account, change.account.to_string());
        match &change.becomes {
            Becomes::Known { standing, is_hidden, .. } => {
                if *standing == Standing::Invited && !is_hidden {
                    tell.push((account.uuid, GroupEvent::Invited));
                }
                let has_left = stays_out(&verified, &name);
                let (account, is_hidden) = (account.clone(), *is_hidden);
                local.insert(name, LocalPerson { account, is_hidden, has_left });
            }
            Becomes::Gone { .. } => {
                // From whom it was kept that they are invited, it is kept that they are not.
                if local.remove(&name).is_some_and(|one| !one.is_hidden) {
                    tell.push((account.uuid, GroupEvent::Gone));
                }
            }
        }
    }
    // Who has left ahead of the chain, and is in it still, signs anew.
    let members = verified.after.members();
    let told = local.iter().filter(|(name, one)| one.has_left || members.contains_key(*name));
    tell.extend(told.map(|(_, one)| (one.account.uuid, GroupEvent::Epoch)));
    let region = ServerName::parse(verified.after.region())?;
    let deputies = verified.after.deputies().iter().map(|name| ServerName::parse(name));
    let step = Step {
        group: group.clone(),
        before: verified.before.map(Known::head),
        head: Head { epoch: verified.after.epoch(), hash: *verified.after.hash() },
        document: verified.read.signed.to_bytes().into(),
        region,
        title: Bytes::copy_from_slice(verified.after.title()),
        deputies: deputies.collect::<Result<_, _>>()?,
        joins: joins(&verified, &changes),
        changes,
        tell,
        announce: Vec::new(),
        now: verified.now,
    };
    let departures = verified.before.map_or(0, |before| before.departures);
    let derived = Derived::default();
    Ok((step, Known { id: group.clone(), state: verified.after, local, departures, derived }))
}

/// Whether somebody has left ahead of the chain, which does not let them in anew by this epoch.
fn stays_out(verified: &Verified<'_>, name: &str) -> bool {
    let joined = |state: &GroupState| state.members().get(name).map(|member| member.joined);
    let is_invited_again = matches!(&verified.read.epoch.change,
        group_epoch::Change::Invite(person) if person.account == name);
    verified.before.is_some_and(|before| {
        before.has_left(name) && joined(&before.state) == joined(&verified.after)
    }) && !is_invited_again
}

/// The account of this region that becomes a member.
fn joins(verified: &Verified<'_>, changes: &[Change]) -> Option<(Uuid, usize)> {
    let is_member = |change: &&Change| {
        let invited = Standing::Invited;
        matches!(&change.becomes, Becomes::Known { standing, .. } if *standing != invited)
    };
    let was_member = |change: &&Change| {
        let name = change.account.to_string();
        verified.before.is_some_and(|before| before.state.members().contains_key(&name))
    };
    let joins = changes.iter().filter(|one| one.is_local).filter(is_member);
    let one = joins.filter(|one| !was_member(one)).map(|one| one.account.uuid).next();
    one.map(|account| (account, limits::MAX_GROUPS))
}

/// The difference between two states, whatever change made it.
fn changes(verified: &Verified<'_>) -> Result<Vec<Change>, Rejection> {
    let before = verified.before.map(|known| entries(&known.state)).unwrap_or_default();
    let after = entries(&verified.after);
    let mut changed: BTreeSet<&str> = after
        .iter()
        .filter(|(name, entry)| before.get(*name) != Some(entry))
        .map(|(name, _)| *name)
        .collect();
    changed.extend(before.keys().filter(|name| !after.contains_key(*name)));
    // Who is invited again may hear who invites this time.
    let invited_again = match &verified.read.epoch.change {
        group_epoch::Change::Invite(person) => Some(person.account.as_str()),
        _ => None,
    };
    changed.extend(invited_again);
    let epoch = verified.after.epoch();
    let change = |name: &str| {
        let account = AccountId::parse(name)?;
        let becomes = if let Some(entry) = after.get(name) {
            Becomes::Known {
                identity: entry.identity,
                standing: entry.standing,
                since: entry.joined.unwrap_or(epoch),
                is_hidden: entry.standing == Standing::Invited && verified.is_hidden,
            }
        } else {
            let before = verified.before.and_then(|known| known.local.get(name));
            Becomes::Gone { may_read: before.is_some_and(|one| !one.is_hidden) }
        };
        Ok(Change { is_local: account.server == *verified.own, account, becomes })
    };
    changed.into_iter().map(change).collect()
}

/// Somebody in a group, as far as it is stored.
#[derive(PartialEq, Eq)]
struct Entry {
    identity: [u8; 33],
    standing: Standing,
    joined: Option<u64>,
}

fn entries(state: &GroupState) -> BTreeMap<&str, Entry> {
    let mut entries = BTreeMap::new();
    for (name, member) in state.members() {
        let Some(standing) = standing(state, name) else { continue };
        let identity = member.identity.to_bytes();
        entries.insert(name.as_str(), Entry { identity, standing, joined: Some(member.joined) });
    }
    for (name, identity) in state.invitations() {
        let identity = identity.to_bytes();
        entries.insert(name, Entry { identity, standing: Standing::Invited, joined: None });
    }
    entries
}
