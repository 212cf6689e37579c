//! Reads of inboxes and messages.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use posthouse_protocol::{
    cursor::Cursor,
    id::{AccountId, ConversationId, GroupId, MessageId},
    time::Timestamp,
};
use posthouse_storage::{
    groups::GroupNotice,
    inbox::{Entry, EntryKind, Page, StoredMessage},
};
use uuid::Uuid;

use crate::{
    columns::{MessageRow, message_columns},
    commit::write::SLOT_DISCARDED,
    db::{Fields, Script},
    failure::Failure,
    fanouts::Waiting,
    groups,
    keys::{self, StoredNotice},
    receipts::{FailedSlot, Key, TallyKey},
    statement::{Statement, statements},
    store::SqlStore,
};

statements! {
    /// The head and the entries in one statement: they are of one moment. An entry between a head
    /// that was read first and a page that was read later would seem to lie beyond the end.
    PAGE = Statement::new(concat!(
        "SELECT x.head, i.arrival, i.arrived_at, i.slot, i.data, ", message_columns!(), "
        FROM inboxes x
        LEFT JOIN inbox i ON i.account = x.account AND i.arrival > ?
        LEFT JOIN messages m ON m.ref = i.message
        WHERE x.account = ?
        ORDER BY i.arrival LIMIT 0 + ?",
    ));
    /// The messages of entries that have no rows.
    BY_REF = Statement::rows("i", concat!(
        "WITH v(ref) AS ({rows})
        SELECT m.ref, ", message_columns!(), " FROM v CROSS JOIN messages m WHERE m.ref = v.ref",
    ));
    CURSOR_AT = Statement::new(
        "SELECT x.head, (
            SELECT i.arrival FROM inbox i WHERE i.account = x.account AND i.arrived_at >= ?
            ORDER BY i.arrival LIMIT 1)
        FROM inboxes x WHERE x.account = ?",
    );
    /// At most 16 of each id.
    MESSAGES = Statement::rows("b", concat!(
        "WITH v(id) AS ({rows})
        SELECT ", message_columns!(), " FROM (
            SELECT x.ref, ROW_NUMBER() OVER (PARTITION BY x.id ORDER BY x.sender, x.server) AS place
            FROM v CROSS JOIN messages x WHERE x.id = v.id AND x.part = 0
        ) AS found CROSS JOIN messages m WHERE m.ref = found.ref AND found.place <= 16",
    ));
    PARTS = Statement::new(concat!(
        "SELECT ", message_columns!(), " FROM messages m
        WHERE m.id = ? AND m.sender = ? AND m.server = ? ORDER BY m.part",
    ));
    MUTUAL = Statement::rows(
        "b",
        "WITH v(id) AS ({rows})
        SELECT c.id FROM v CROSS JOIN conversations c WHERE c.id = v.id AND c.spoken = 3",
    );
}

/// What an entry refers to.
enum Found {
    Message(Box<MessageRow>),
    /// A message that is kept from all devices.
    Discarded(Box<MessageRow>),
    Watermark(Key),
    Failed(FailedSlot),
    Notice(StoredNotice),
    Group(Box<GroupNotice>),
    Tally(TallyKey, GroupId),
    /// Its message has been forgotten since.
    Nothing,
}

impl Found {
    /// What an entry without a message refers to: the first byte of its slot tells.
    fn read(fields: &Fields<'_>, slot: &[u8], data: Option<&[u8]>) -> Result<Self, Failure> {
        if let Some(notice) = keys::parse_notice(fields, slot, data)? {
            return Ok(Self::Notice(notice));
        }
        if let Some(notice) = groups::parse_notice(fields, slot, data)? {
            return Ok(Self::Group(Box::new(notice)));
        }
        if let Some((key, group)) = TallyKey::parse(fields, slot, data)? {
            return Ok(Self::Tally(key, group));
        }
        Ok(match FailedSlot::parse(fields, slot)? {
            Some(failed) => Self::Failed(failed),
            None => Self::Watermark(Key::parse(fields, slot)?),
        })
    }
}

impl SqlStore {
    pub(crate) async fn read_page(
        &self,
        account: Uuid,
        after: Cursor,
        limit: usize,
    ) -> Result<Page, Failure> {
        // Before the database is asked: what is written meanwhile is found there.
        let waiting = self.waiting_in(account);
        let rows = self.db().rows(&PAGE, |args| {
            // At least one row, which has the head.
            args.number(after.0).uuid(account).limit(limit.max(1));
        });
        let rows = rows.await?;
        let entries = Vec::with_capacity(rows.len());
        let mut page = Page { entries, through: Cursor::START, head: Cursor::START };
        let mut found = Vec::with_capacity(rows.len());
        for row in &rows {
            let mut fields = row.fields("inboxes");
            page.head = fields.cursor("head")?;
            let fields = fields.of("inbox");
            let Some(arrival) = fields.maybe_number("arrival")? else { continue };
            let arrived_at = fields.maybe_number("arrived_at")?.unwrap_or_default();
            let slot = fields.maybe_bytes("slot")?;
            let data = fields.maybe_bytes("data")?;
            let content = match (MessageRow::read(fields)?, slot) {
                (Some(message), Some([SLOT_DISCARDED, ..])) => Found::Discarded(Box::new(message)),
                (Some(message), _) => Found::Message(Box::new(message)),
                (None, Some([SLOT_DISCARDED, ..]) | None) => Found::Nothing,
                (None, Some(slot)) => Found::read(fields.of("inbox"), slot, data)?,
            };
            found.push((Cursor(arrival), Timestamp(arrived_at), content));
        }
        let waiting: Vec<Waiting> =
            waiting.into_iter().filter(|entry| entry.cursor > page.head).collect();
        page.head = waiting.last().map_or(page.head, |last| last.cursor);
        self.add_waiting(&mut found, &waiting, after, limit).await?;
        found.truncate(limit);
        let last = found.last().map_or(after, |(cursor, ..)| *cursor);
        page.through = if found.len() < limit { page.head } else { last };
        let keys: Vec<Key> = found
            .iter()
            .filter_map(|(.., content)| match content {
                Found::Watermark(key) => Some(*key),
                _ => None,
            })
            .collect();
        let watermarks = self.read_watermarks(&keys).await?;
        for (cursor, arrived_at, content) in found {
            let kind = match content {
                Found::Message(message) => {
                    EntryKind::Message(Arc::new(message.resolve(self).await?))
                }
                Found::Discarded(message) => {
                    EntryKind::Discarded(Arc::new(message.resolve(self).await?))
                }
                Found::Failed(failed) => EntryKind::Failed(failed.resolve(self, arrived_at).await?),
                Found::Notice(notice) => EntryKind::Keys(Box::new(notice.resolve(self).await?)),
                Found::Group(notice) => EntryKind::Group(notice),
                Found::Tally(key, group) => {
                    EntryKind::Tally(Box::new(self.read_tally(&key, group, account).await?))
                }
                Found::Watermark(key) => match watermarks.get(&key) {
                    Some(watermark) => EntryKind::Status(Box::new(watermark.clone())),
                    // Its watermark has been forgotten since.
                    None => continue,
                },
                Found::Nothing => continue,
            };
            page.entries.push(Entry { cursor, arrived_at, kind });
        }
        Ok(page)
    }

    fn waiting_in(&self, account: Uuid) -> Vec<Waiting> {
        self.db().fanouts().map(|fanouts| fanouts.waiting_in(account)).unwrap_or_default()
    }

    /// Adds those of the entries without rows that belong to the page, which has room for `limit`.
    async fn add_waiting(
        &self,
        found: &mut Vec<(Cursor, Timestamp, Found)>,
        waiting: &[Waiting],
        after: Cursor,
        limit: usize,
    ) -> Result<(), Failure> {
        let room = limit.saturating_sub(found.len());
        let entries = waiting.iter().filter(|entry| entry.cursor > after).take(room);
        let entries: Vec<&Waiting> = entries.collect();
        if entries.is_empty() {
            return Ok(());
        }
        let mut script = Script::new(self.db().dialect());
        let slot = script.rows(&BY_REF, &entries, |args, entry| {
            args.integer(entry.message);
        });
        let mut messages = HashMap::new();
        for row in self.db().read(script).await?.take(slot) {
            let mut fields = row.fields("messages");
            let number = fields.integer("ref")?;
            messages.insert(number, MessageRow::read(&mut fields)?);
        }
        for entry in entries {
            let message = messages.remove(&entry.message).flatten();
            let content = message.map_or(Found::Nothing, |row| Found::Message(Box::new(row)));
            found.push((entry.cursor, entry.arrived_at, content));
        }
        Ok(())
    }

    pub(crate) async fn read_cursor_at(
        &self,
        account: Uuid,
        at: Timestamp,
    ) -> Result<Cursor, Failure> {
        let waiting = self.waiting_in(account);
        let rows = self.db().rows(&CURSOR_AT, |args| {
            args.number(at.0).uuid(account);
        });
        let rows = rows.await?;
        let Some(row) = rows.first() else { return Ok(Cursor::START) };
        let mut fields = row.fields("inboxes");
        let head = fields.cursor("head")?;
        let first = fields.of("inbox").maybe_number("arrival")?;
        let mut waiting = waiting.iter().filter(|entry| entry.cursor > head);
        let end = waiting.clone().next_back().map_or(head, |last| last.cursor);
        let first = first
            .or_else(|| waiting.find(|entry| entry.arrived_at >= at).map(|entry| entry.cursor.0));
        Ok(first.map_or(end, |arrival| Cursor(arrival.saturating_sub(1))))
    }

    pub(crate) async fn read_messages(
        &self,
        ids: &[MessageId],
    ) -> Result<Vec<StoredMessage>, Failure> {
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        let mut ids = ids.to_vec();
        ids.sort_unstable();
        ids.dedup();
        let mut script = Script::new(self.db().dialect());
        let slot = script.rows(&MESSAGES, &ids, |args, id| {
            args.uuid(id.0);
        });
        let mut messages = Vec::new();
        for row in self.db().read(script).await?.take(slot) {
            if let Some(message) = MessageRow::read(&mut row.fields("messages"))? {
                messages.push(message.resolve(self).await?);
            }
        }
        Ok(messages)
    }

    pub(crate) async fn read_parts(
        &self,
        sender: &AccountId,
        id: MessageId,
    ) -> Result<Vec<StoredMessage>, Failure> {
        let server = self.inner.servers.number(self.db(), &sender.server).await?;
        let rows = self.db().rows(&PARTS, |args| {
            args.uuid(id.0).uuid(sender.uuid).integer(server);
        });
        let mut parts = Vec::new();
        for row in rows.await? {
            if let Some(part) = MessageRow::read(&mut row.fields("messages"))? {
                parts.push(part.resolve(self).await?);
            }
        }
        Ok(parts)
    }

    pub(crate) async fn read_mutual(
        &self,
        conversations: &[ConversationId],
    ) -> Result<Vec<bool>, Failure> {
        if conversations.is_empty() {
            return Ok(Vec::new());
        }
        let mut script = Script::new(self.db().dialect());
        let slot = script.rows(&MUTUAL, conversations, |args, id| {
            args.bytes(&id.0);
        });
        let mut mutual = HashSet::new();
        for row in self.db().read(script).await?.take(slot) {
            mutual.insert(ConversationId(row.fields("conversations").array("id")?));
        }
        Ok(conversations.iter().map(|id| mutual.contains(id)).collect())
    }
}
