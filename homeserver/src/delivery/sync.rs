//! The inbox without a socket: pages, acknowledgements over REST, and looking messages up.

use std::collections::HashSet;

use bytes::Bytes;
use posthouse_client_api::ports::Caller;
use posthouse_protocol::{
    cursor::{Cursor, Since},
    frame::{Ack, AckTarget},
    id::{AccountId, ConversationId, GroupId, MessageId},
    problem::{Code, Rejection},
    rest::SyncPage,
    status::Seen,
    time::Timestamp,
};
use posthouse_storage::{
    inbox::{Entry, EntryKind, StoredMessage},
    message_store::MessageStore,
};
use serde_json::value::RawValue;

use super::{
    entry,
    receipts::{Receipts, Wishes},
    window::{Flying, Progressed, Window},
};
use crate::accounts::store_failed;

/// A page ends early once its bodies exceed this, so that a request cannot hold much memory.
const PAGE_BYTES: usize = 4 * 1024 * 1024;

/// Entries whose bodies are read at a time.
const BODIES: usize = 32;

/// Entries that an acknowledgement over REST looks through at a time, and how often.
const ACK_PAGE: usize = 1_000;
const ACK_PAGES: usize = 10;

/// The bodies of a page's entries, in their order; `None` where there is none.
pub(super) async fn bodies(
    store: &MessageStore,
    entries: &[Entry],
) -> Result<Vec<Option<Bytes>>, Rejection> {
    let ids: Vec<_> = entries
        .iter()
        .filter_map(|entry| match &entry.kind {
            EntryKind::Message(message) => Some(message.body),
            _ => None,
        })
        .collect();
    let mut found = store.bodies(&ids).await.map_err(|err| store_failed(&err))?.into_iter();
    let body = |entry: &Entry| match entry.kind {
        EntryKind::Message(_) => found.next().flatten(),
        _ => None,
    };
    Ok(entries.iter().map(body).collect())
}

/// A page of the caller's inbox from `since`, or from `position`.
pub(super) async fn page(
    store: &MessageStore,
    caller: &Caller,
    since: Option<Since>,
    position: Cursor,
    (limit, now): (usize, Timestamp),
) -> Result<SyncPage, Rejection> {
    let account = caller.account.uuid;
    let after = match since {
        None => position,
        Some(Since::Cursor(cursor)) => cursor,
        Some(Since::Time(at)) => {
            store.ledger().cursor_at(account, at).await.map_err(|err| store_failed(&err))?
        }
    };
    let page = store.ledger().page(account, after, limit).await;
    let page = page.map_err(|err| store_failed(&err))?;
    if after > page.head {
        let detail = format!("the inbox ends at {}; synchronise from there or from c0", page.head);
        return Err(Rejection::new(Code::CursorReset, detail));
    }
    let (mut messages, mut events) = (Vec::new(), Vec::new());
    let (mut bytes, mut through) = (0, page.through);
    for some in page.entries.chunks(BODIES) {
        if bytes > PAGE_BYTES {
            break;
        }
        let bodies = bodies(store, some).await?;
        bytes += bodies.iter().flatten().map(Bytes::len).sum::<usize>();
        for (entry, body) in some.iter().zip(&bodies) {
            match &entry.kind {
                EntryKind::Message(message) => {
                    let expired = message.expires.is_some_and(|expires| expires <= now);
                    let body = body.as_deref().filter(|_| !expired);
                    let cursor = Some(entry.cursor);
                    let frame = body.and_then(|body| entry::message(message, body, cursor, caller));
                    messages.extend(frame.and_then(raw));
                }
                EntryKind::Status(mark) => events.extend(raw(entry::watermark(mark, entry.cursor))),
                EntryKind::Failed(failed) => {
                    events.extend(raw(entry::failed(failed, Some(entry.cursor))));
                }
                EntryKind::Group(notice) => events.extend(raw(entry::group(notice, entry.cursor))),
                EntryKind::Tally(tally) => events.extend(raw(entry::tally(tally, entry.cursor))),
                EntryKind::Keys(notice) => {
                    events.extend(entry::keys(notice, entry.cursor, caller).and_then(raw));
                }
                _ => {}
            }
        }
        through = some.last().map_or(through, |entry| entry.cursor);
    }
    let complete = page.entries.last().is_none_or(|last| last.cursor == through);
    let next_cursor = if complete { page.through } else { through };
    Ok(SyncPage { messages, events, has_more: next_cursor < page.head, next_cursor })
}

fn raw(json: String) -> Option<Box<RawValue>> {
    RawValue::from_string(json).ok()
}

/// An acknowledgement over REST. The device has no window here, so one is made of what lies after
/// its position: acknowledgements of one call count together, those of different calls do not.
pub(super) async fn acknowledge(
    store: &MessageStore,
    receipts: &Receipts,
    caller: &Caller,
    (ack, position, now): (Ack, Cursor, Timestamp),
) -> Result<(), Rejection> {
    let mut window = Window::new(position);
    let mut missing: HashSet<MessageId> = match &ack.target {
        AckTarget::Through(_) => HashSet::new(),
        AckTarget::Messages { ids, .. } => ids.iter().copied().collect(),
    };
    for _ in 0..ACK_PAGES {
        let after = window.sent();
        let page = store.ledger().page(caller.account.uuid, after, ACK_PAGE).await;
        let page = page.map_err(|err| store_failed(&err))?;
        for entry in &page.entries {
            match &entry.kind {
                // What the device sent itself is in no page that it gets.
                EntryKind::Message(message) if message.device == Some(caller.device) => {
                    window.advance(entry.cursor);
                }
                EntryKind::Message(message) => {
                    let named = missing.remove(&message.id);
                    let expired = message.expires.is_some_and(|expires| expires <= now);
                    let message = Flying::from(message.as_ref());
                    // The device may have got it in time; it says so by its id.
                    if expired && !named {
                        window.skip(entry.cursor, message);
                    } else {
                        window.send(entry.cursor, message);
                    }
                }
                EntryKind::Discarded(message) => {
                    window.skip(entry.cursor, Flying::from(message.as_ref()));
                }
                _ => window.advance(entry.cursor),
            }
        }
        // What lies beyond the last entry that is named changes nothing.
        let beyond = match ack.target {
            AckTarget::Through(through) => through <= window.sent(),
            AckTarget::Messages { .. } => missing.is_empty(),
        };
        window.advance(page.through);
        if page.through >= page.head || beyond {
            break;
        }
    }
    let progressed = match &ack.target {
        AckTarget::Through(cursor) => window.acknowledge_through(*cursor),
        AckTarget::Messages { ids, from } => window.acknowledge(ids, from.as_ref()),
    };
    receipts.progressed(caller, &progressed, now);
    if ack.seen == Seen::Read {
        let read =
            read_messages(store, (caller, receipts.wishes.as_ref()), &ack.target, progressed)
                .await?;
        receipts.read(caller, &read, now).await?;
    }
    Ok(())
}

async fn read_messages(
    store: &MessageStore,
    (caller, wishes): (&Caller, &dyn Wishes),
    target: &AckTarget,
    progressed: Progressed,
) -> Result<Vec<Flying>, Rejection> {
    match target {
        AckTarget::Through(_) => Ok(progressed.newly),
        AckTarget::Messages { ids, from } => {
            Lookup { store, reader: caller, wishes }.messages(ids, from.as_ref()).await
        }
    }
}

/// Finds messages by id for a reader who claims to have them.
pub(super) struct Lookup<'a> {
    pub(super) store: &'a MessageStore,
    pub(super) reader: &'a Caller,
    pub(super) wishes: &'a dyn Wishes,
}

impl Lookup<'_> {
    /// Those of `ids` that someone else sent to the reader. Ids of other people's messages find
    /// nothing: the conversation of a direct message follows from its two accounts, and a group's
    /// chain says who was a member.
    pub(super) async fn messages(
        &self,
        ids: &[MessageId],
        from: Option<&AccountId>,
    ) -> Result<Vec<Flying>, Rejection> {
        let found = self.store.ledger().messages(ids).await.map_err(|err| store_failed(&err))?;
        let wanted = |message: &&StoredMessage| from.is_none_or(|from| message.sender == *from);
        let mut mine = Vec::new();
        for message in found.iter().filter(wanted) {
            if self.was_sent_to_reader(message).await? {
                mine.push(Flying::from(message));
            }
        }
        Ok(mine)
    }

    async fn was_sent_to_reader(&self, message: &StoredMessage) -> Result<bool, Rejection> {
        let reader = &self.reader.account;
        if message.sender == *reader {
            return Ok(false);
        }
        if let Ok(group) = GroupId::parse(&message.to) {
            let epoch = message.epoch.unwrap_or_default();
            return self.wishes.belongs(reader, &group, epoch).await;
        }
        Ok(message.conversation == ConversationId::direct(&message.sender, reader))
    }
}
