//! The index after a start: what `fanouts` names and has no row yet.

use foldhash::HashMap;
use posthouse_protocol::time::Timestamp;
use posthouse_storage::error::StoreError;
use uuid::Uuid;

use super::{
    Fanout, Fanouts, Tail,
    settle::{ACCOUNT, ENTRY_SIZE},
};
use crate::{
    commit::load::Load,
    db::{Fields, Script},
    failure::Failure,
    statement::{Statement, statements},
    store::SqlStore,
};

statements! {
    FANOUTS = Statement::new("SELECT message, arrived_at, size, entries FROM fanouts");
    /// An account that was erased had everything written before its inbox went. If it has one again, by
    /// something that was late, that begins anew, and its head says nothing about what was.
    INBOXES = Statement::rows(
        "b",
        "WITH v(account) AS ({rows})
        SELECT i.account, i.head, i.entries, i.bytes
        FROM v CROSS JOIN accounts a CROSS JOIN inboxes i
        WHERE a.id = v.account AND i.account = v.account",
    );
    FORGET = Statement::rows("i", "DELETE FROM fanouts WHERE message IN ({rows})");
}

/// An entry of an inbox: its arrival number and its message.
type Entry = (u64, i64);

impl Fanouts {
    /// Reads what waits; nothing is written meanwhile. Rows of which nothing waits any more are deleted.
    pub(crate) async fn recover(&self, store: &SqlStore) -> Result<(), Failure> {
        let rows = store.db().rows(&FANOUTS, |_| {}).await?;
        let mut messages = HashMap::default();
        let mut entries: HashMap<Uuid, Vec<Entry>> = HashMap::default();
        for row in &rows {
            let mut fields = row.fields("fanouts");
            let message = fields.integer("message")?;
            let (arrived_at, size) = (fields.time("arrived_at")?, fields.number("size")?);
            messages.insert(message, (arrived_at, size));
            for (account, arrival) in read_entries(&mut fields)? {
                entries.entry(account).or_default().push((arrival, message));
            }
        }
        let accounts: Vec<Uuid> = entries.keys().copied().collect();
        let mut script = Script::new(store.db().dialect());
        let slot = script.rows(&INBOXES, &accounts, |args, account| {
            args.uuid(*account);
        });
        for row in store.db().read(script).await?.take(slot) {
            let mut fields = row.fields("inboxes");
            let account = fields.uuid("account")?;
            let head = fields.number("head")?;
            let load = Load { entries: fields.number("entries")?, bytes: fields.number("bytes")? };
            let waiting = entries.remove(&account).unwrap_or_default();
            let waiting = after(head, waiting).ok_or_else(|| {
                fields.corrupt("head", format_args!("{head} is not where what waits begins"))
            })?;
            self.recover_inbox(account, Tail { head, load, waiting }, &messages);
        }
        let is_over = |message: &&i64| !self.index().messages.contains_key(*message);
        let over: Vec<i64> = messages.keys().filter(is_over).copied().collect();
        if !over.is_empty() {
            let mut tx = store.db().begin().await?;
            let mut script = tx.script();
            script.rows(&FORGET, &over, |args, message| {
                args.integer(*message);
            });
            tx.finish(script).await?;
        }
        if self.waiting() > 0 {
            self.urgent.notify_one();
            self.waits.notify_one();
        }
        Ok(())
    }

    fn recover_inbox(
        &self,
        account: Uuid,
        mut tail: Tail,
        messages: &HashMap<i64, (Timestamp, u64)>,
    ) {
        if tail.waiting.is_empty() {
            return;
        }
        let mut index = self.index();
        for message in &tail.waiting {
            let (arrived_at, size) = messages.get(message).copied().unwrap_or_default();
            tail.load = tail.load.with(size).unwrap_or(tail.load);
            let new = Fanout { arrived_at, size, left: 0 };
            index.messages.entry(*message).or_insert(new).left += 1;
        }
        index.waiting += tail.waiting.len();
        index.tails.insert(account, tail);
    }
}

fn read_entries(fields: &mut Fields<'_>) -> Result<Vec<(Uuid, u64)>, StoreError> {
    let bytes = fields.bytes("entries")?;
    let (entries, rest) = bytes.as_chunks::<ENTRY_SIZE>();
    if !rest.is_empty() {
        return Err(fields.corrupt("entries", "half an entry"));
    }
    let entry = |entry: &[u8; ENTRY_SIZE]| {
        let (account, arrival) = entry.split_first_chunk::<ACCOUNT>()?;
        Some((Uuid::from_bytes(*account), u64::from_be_bytes(arrival.try_into().ok()?)))
    };
    Ok(entries.iter().filter_map(entry).collect())
}

/// The messages of the entries beyond `head`, in order; `None` if one is missing.
fn after(head: u64, mut entries: Vec<Entry>) -> Option<Vec<i64>> {
    entries.retain(|(arrival, _)| *arrival > head);
    entries.sort_unstable();
    let is_next = |((arrival, _), expected): (&Entry, u64)| *arrival == expected;
    let is_whole = entries.iter().zip(head + 1..).all(is_next);
    is_whole.then(|| entries.into_iter().map(|(_, message)| message).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_waits_begins_behind_the_head_and_has_no_gap() {
        assert_eq!(after(3, vec![(5, 50), (2, 20), (4, 40)]), Some(vec![40, 50]));
        assert_eq!(after(5, vec![(5, 50)]), Some(vec![]));
        assert_eq!(after(3, vec![(5, 50)]), None, "4 is missing");
        assert_eq!(after(3, vec![(4, 40), (4, 41)]), None, "4 is there twice");
    }
}
