//! Taking over a group whose owning region is gone for good, by the operator's order.

use std::sync::Arc;

use posthouse_crypto::e2ee::{
    signed::group_epoch::{Change, GroupEpoch},
    time::UnixMillis,
};
use posthouse_protocol::{
    id::{GroupId, ServerName},
    problem::{Code, Rejection},
    time::Timestamp,
};
use posthouse_storage::{
    groups::{Appended, Groups},
    ledger::Arrival,
};

use super::{
    GroupBook,
    abroad::regions,
    book::no_such_group,
    change::{self, Verified, stale_epoch},
};
use crate::accounts::store_failed;

/// This region, which an owner has named as deputy, sequences the group from here on. The other
/// regions are told like of every epoch. Should the region that had it come back with epochs of its
/// own, there are two chains, and clients say so.
///
/// # Errors
/// [`Code::NotFound`], [`Code::Forbidden`] if the region is no deputy, [`Code::Conflict`] if it has
/// the group already, or as the store.
pub(crate) async fn take_over(
    store: Arc<dyn Groups>,
    own: &ServerName,
    group: &GroupId,
    now: Timestamp,
) -> Result<Vec<Arrival>, Rejection> {
    let book = GroupBook::new(store);
    let before = book.current(group).await?.ok_or_else(no_such_group)?;
    if before.state.region() == own.as_str() {
        return Err(Rejection::new(Code::Conflict, "this region sequences the group already"));
    }
    let epoch = GroupEpoch {
        group: group.to_string(),
        epoch: before.state.epoch() + 1,
        previous: Some(*before.state.hash()),
        actor: None,
        change: Change::TakeOver(own.to_string()),
        issued: UnixMillis(now.0),
    };
    let read = change::read(epoch.unsigned(), group)?;
    let after = before.state.apply(&read.signed).map_err(|_| {
        Rejection::new(Code::Forbidden, "the group's owner has not named this region as deputy")
    })?;
    let mut announce = regions(&after);
    announce.retain(|region| region != own);
    let verified =
        Verified { before: Some(&before), after, read: &read, own, is_hidden: false, now };
    let (mut step, _) = change::step(verified, group)?;
    step.announce = announce;
    match book.store().append_epoch(&step).await.map_err(|err| store_failed(&err))? {
        Appended::Done(arrivals) => Ok(arrivals),
        Appended::Moved(head) => Err(stale_epoch(head.unwrap_or(step.head))),
        Appended::TooMany => Err(Rejection::new(Code::TooMany, "an account is in too many groups")),
    }
}
