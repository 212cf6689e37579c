//! Leaving ahead of the chain.

use posthouse_protocol::{
    frame::GroupEvent,
    id::{ConversationId, GroupId},
    time::Timestamp,
};
use posthouse_storage::{
    groups::{GroupNotice, Head},
    ledger::Arrival,
};
use uuid::Uuid;

use super::{abroad::PUT_PENDING, notices};
use crate::{
    entries::Slotted,
    failure::Failure,
    statement::{Statement, statements},
    store::SqlStore,
};

statements! {
    /// First of all: whoever appends an epoch locks this row first too.
    COUNT = Statement::new("UPDATE group_heads SET departures = departures + 1 WHERE id = ?");
    LEAVE = Statement::new(
        "UPDATE group_people SET leaving = 1
        WHERE group_id = ? AND local = ? AND standing < 4 AND leaving = 0",
    );
    BELONGS = Statement::new(
        "SELECT 1 FROM group_people WHERE group_id = ? AND local = ? AND standing < 4",
    );
    UNLIST = Statement::new(
        "DELETE FROM conversation_lists WHERE account = ? AND conversation = ?",
    );
    DROP_OTHERS = Statement::new("DELETE FROM group_pending WHERE group_id = ? AND local = ?");
}

impl SqlStore {
    pub(super) async fn try_depart(
        &self,
        group: &GroupId,
        account: Uuid,
        (hash, document): (&[u8; 32], &[u8]),
        (head, now): (Head, Timestamp),
    ) -> Result<Option<Arrival>, Failure> {
        let id = ConversationId::group(group);
        let mut tx = self.db().begin().await?;
        let mut script = tx.script();
        script.one(&COUNT, |args| {
            args.bytes(&id.0);
        });
        let left = script.one(&LEAVE, |args| {
            args.bytes(&id.0).uuid(account);
        });
        let belongs = script.one(&BELONGS, |args| {
            args.bytes(&id.0).uuid(account);
        });
        let mut answers = tx.run(script).await?;
        if answers.take(belongs).is_empty() {
            tx.cancel().await?;
            return Ok(None);
        }
        let is_new = answers.changed(&left) > 0;
        let mut script = tx.script();
        script.one(&UNLIST, |args| {
            args.uuid(account).bytes(&id.0);
        });
        script.one(&DROP_OTHERS, |args| {
            args.bytes(&id.0).uuid(account);
        });
        script.one(&PUT_PENDING, |args| {
            args.bytes(hash).bytes(&id.0).bytes(document).number(now.0).uuid(account);
        });
        tx.run(script).await?;
        let notice = GroupNotice { event: GroupEvent::Gone, group: group.clone(), head };
        let (slot, data) = notices::written(&notice);
        let entry = is_new.then_some(Slotted { account, slot, data });
        let arrivals = self.finish_slotted(tx, entry.as_slice(), now).await?;
        Ok(arrivals.first().copied())
    }
}
