//! Entries of inboxes that are no messages: a slot says what they are about, data says what.

use std::collections::BTreeMap;

use posthouse_protocol::{cursor::Cursor, time::Timestamp};
use posthouse_storage::ledger::Arrival;
use uuid::Uuid;

use crate::{
    commit::write::clear_slots,
    db::Tx,
    failure::Failure,
    statement::{Statement, statements},
    store::SqlStore,
    wakes,
};

statements! {
    LOCK_INBOXES = Statement::rows(
        "b",
        "WITH v(account) AS ({rows})
        SELECT i.account, i.head FROM v CROSS JOIN inboxes i WHERE i.account = v.account
        /*pg:ORDER BY i.account FOR UPDATE OF i*/",
    );
    RAISE_HEADS = Statement::rows(
        "bi",
        "WITH v(account, head) AS ({rows})
        UPDATE inboxes SET head = v.head FROM v WHERE inboxes.account = v.account",
    );
    ENTRIES = Statement::rows(
        "bibib",
        "INSERT INTO inbox (account, arrival, slot, arrived_at, data) {new}",
    );
}

/// An entry to be written in the place of the one that has its slot.
pub(crate) struct Slotted {
    pub(crate) account: Uuid,
    pub(crate) slot: Vec<u8>,
    pub(crate) data: Vec<u8>,
}

/// A row of an inbox.
struct Row<'a> {
    account: Uuid,
    cursor: u64,
    entry: &'a Slotted,
}

impl SqlStore {
    /// Puts entries into inboxes and commits. Every account has an inbox; one that is gone is told
    /// nothing.
    pub(crate) async fn finish_slotted(
        &self,
        mut tx: Tx<'_>,
        entries: &[Slotted],
        now: Timestamp,
    ) -> Result<Vec<Arrival>, Failure> {
        let mut accounts: Vec<Uuid> = entries.iter().map(|entry| entry.account).collect();
        accounts.sort_unstable();
        accounts.dedup();
        let mut script = tx.script();
        script.settle(&accounts);
        let locked = script.rows(&LOCK_INBOXES, &accounts, |args, account| {
            args.uuid(*account);
        });
        let mut heads: BTreeMap<Uuid, u64> = BTreeMap::new();
        for row in tx.run(script).await?.take(locked) {
            let mut fields = row.fields("inboxes");
            heads.insert(fields.uuid("account")?, fields.number("head")?);
        }
        let (mut rows, mut arrivals) = (Vec::new(), Vec::new());
        for entry in entries {
            let account = entry.account;
            let Some(head) = heads.get_mut(&account) else { continue };
            let previous = Cursor(*head);
            *head += 1;
            rows.push(Row { account, cursor: *head, entry });
            arrivals.push(Arrival { account, previous, cursor: Cursor(*head) });
        }
        let mut script = tx.script();
        let slots: Vec<(Uuid, &[u8])> =
            rows.iter().map(|row| (row.account, row.entry.slot.as_slice())).collect();
        clear_slots(&mut script, &slots);
        script.rows(&ENTRIES, &rows, |args, row| {
            args.uuid(row.account)
                .number(row.cursor)
                .bytes(&row.entry.slot)
                .number(now.0)
                .bytes(&row.entry.data);
        });
        let heads: Vec<(Uuid, u64)> = heads.into_iter().collect();
        script.rows(&RAISE_HEADS, &heads, |args, (account, head)| {
            args.uuid(*account).number(*head);
        });
        wakes::tell_inboxes(self, &mut script, accounts.into_iter());
        tx.finish(script).await?;
        Ok(arrivals)
    }
}
