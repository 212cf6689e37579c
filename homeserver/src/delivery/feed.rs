//! What one connected device gets: its backlog, then live traffic, without a gap and without a
//! duplicate.
//!
//! The proof in short: the window's `sent` says up to where everything has been sent. Arrivals are
//! taken from the line only if they follow `sent` immediately (`previous <= sent`); what lies at or
//! below it was read from the inbox already; anything else sends the feed back to the inbox. The
//! line is registered before the inbox is read for the first time, so what is committed after the
//! read is on the line, or the line says that it overflowed.

use std::{collections::VecDeque, sync::Arc};

use async_trait::async_trait;
use posthouse_client_api::{
    mailbox::Frame,
    ports::{Caller, Feed as FeedPort},
};
use posthouse_protocol::{
    cursor::Cursor,
    frame::{Ack, AckTarget, ServerFrame},
    problem::Rejection,
    status::Seen,
    time::{Clock, Timestamp},
};
use posthouse_storage::{
    inbox::{Entry, EntryKind, StoredMessage},
    message_store::MessageStore,
};

use super::{
    entry,
    local::{Line, LiveBody, LiveEntry, Taken},
    receipts::Receipts,
    sync::{self, Lookup},
    window::{Flying, Window},
};
use crate::{accounts::store_failed, presence::Watchers};

/// Entries read from an inbox at a time.
const PAGE: usize = 64;

/// After this many bytes of frames a pull ends: what is written meets the peer's pace before more
/// is taken. With the largest bodies a page is a few times that.
const PULL_BYTES: usize = 1024 * 1024;

/// Pages that one pull reads while they give no frame. Then the connection has its turn: it may have
/// been ordered to close, and its peer wants answers to its pings.
const EMPTY_PAGES: usize = 16;

/// The feed of one connection.
pub(super) struct Feed {
    pub(super) caller: Caller,
    pub(super) line: Arc<Line>,
    pub(super) window: Window,
    pub(super) store: MessageStore,
    pub(super) receipts: Receipts,
    pub(super) watchers: Arc<Watchers>,
    pub(super) clock: Arc<dyn Clock>,
    /// Whether the inbox has to be read before the line is.
    pub(super) behind: bool,
    /// Whether the client was told that its backlog is drained.
    pub(super) told_caught_up: bool,
    pub(super) held_back: bool,
}

#[async_trait]
impl FeedPort for Feed {
    async fn pull(&mut self, out: &mut Vec<Frame>) -> Result<bool, Rejection> {
        let had = out.len();
        self.held_back = false;
        let mut pages = 0;
        loop {
            if self.window.room() == 0 {
                self.held_back = true;
                return Ok(false);
            }
            let more = if self.behind {
                if pages == EMPTY_PAGES {
                    self.line.mailbox.wake();
                    return Ok(false);
                }
                pages += 1;
                self.read_inbox(out).await?;
                true
            } else {
                self.take_line(out)
            };
            if out.len() > had || !more {
                return Ok(more);
            }
        }
    }

    async fn acknowledge(&mut self, ack: Ack) -> Result<(), Rejection> {
        let now = self.clock.now();
        let (ids, from) = match ack.target {
            AckTarget::Through(cursor) => {
                let progressed = self.window.acknowledge_through(cursor);
                self.receipts.progressed(&self.caller, &progressed, now);
                if ack.seen == Seen::Read {
                    let read: Vec<Flying> = progressed.newly;
                    self.receipts.read(&self.caller, &read, now).await?;
                }
                return Ok(());
            }
            AckTarget::Messages { ids, from } => (ids, from),
        };
        let progressed = self.window.acknowledge(&ids, from.as_ref());
        self.receipts.progressed(&self.caller, &progressed, now);
        let lookup = Lookup {
            store: &self.store,
            reader: &self.caller,
            wishes: self.receipts.wishes.as_ref(),
        };
        if ack.seen == Seen::Read {
            // Reading what was delivered long ago is the usual case, so the ledger is asked.
            let read = lookup.messages(&ids, from.as_ref()).await?;
            self.receipts.read(&self.caller, &read, now).await?;
        }
        Ok(())
    }

    fn is_held_back(&self) -> bool {
        self.held_back
    }
}

impl Feed {
    /// Takes arrivals from the line, as far as the window has room. `false` if none are left there:
    /// with the next one the mailbox wakes.
    fn take_line(&mut self, out: &mut Vec<Frame>) -> bool {
        let mut arrivals = match self.line.take() {
            Taken::Overflowed => {
                self.behind = true;
                return true;
            }
            Taken::Entries(arrivals) if arrivals.is_empty() => return false,
            Taken::Entries(arrivals) => arrivals,
        };
        let now = self.clock.now();
        let mut bytes = 0;
        while let Some(arrival) = arrivals.pop_front() {
            if arrival.entry.cursor <= self.window.sent() {
                continue;
            }
            if arrival.previous > self.window.sent() {
                self.behind = true;
                return true;
            }
            if self.window.room() == 0 || bytes > PULL_BYTES {
                self.return_to_line(arrival, arrivals);
                return true;
            }
            let body = arrival.body.as_ref();
            bytes += body.map_or(0, |body| body.bytes.len());
            self.send(&arrival.entry, body, now, out);
        }
        false
    }

    fn return_to_line(&self, first: Arc<LiveEntry>, mut rest: VecDeque<Arc<LiveEntry>>) {
        rest.push_front(first);
        self.line.put_back(rest);
    }

    /// Reads the inbox from where the device is.
    async fn read_inbox(&mut self, out: &mut Vec<Frame>) -> Result<(), Rejection> {
        let limit = self.window.room().min(PAGE);
        let account = self.caller.account.uuid;
        let page = self.store.ledger().page(account, self.window.sent(), limit).await;
        let page = page.map_err(|err| store_failed(&err))?;
        let bodies = sync::bodies(&self.store, &page.entries).await?;
        let now = self.clock.now();
        for (entry, body) in page.entries.iter().zip(&bodies) {
            let body = body.clone().map(|bytes| LiveBody { bytes, shared: None });
            self.send(entry, body.as_ref(), now, out);
        }
        // Numbers that no entry has belong to entries that are gone.
        self.window.advance(page.through);
        if page.through >= page.head {
            self.behind = false;
            if !self.told_caught_up {
                self.told_caught_up = true;
                let cursor = self.window.sent();
                out.push(ServerFrame::CaughtUp { cursor }.to_json().into());
            }
        }
        Ok(())
    }

    /// The `message` frame for this device, out of what all recipients share if there is such.
    fn message_frame(
        &self,
        message: &StoredMessage,
        body: &LiveBody,
        cursor: Cursor,
    ) -> Option<String> {
        let shared = body.shared.as_ref();
        let shared = shared.and_then(|shared| {
            shared.get_or_init(|| entry::SharedFrame::new(message, &body.bytes)).as_ref()
        });
        shared
            .and_then(|shared| shared.of(message, cursor, &self.caller))
            .or_else(|| entry::message(message, &body.bytes, Some(cursor), &self.caller))
    }

    fn send(
        &mut self,
        entry: &Entry,
        body: Option<&LiveBody>,
        now: Timestamp,
        out: &mut Vec<Frame>,
    ) {
        let cursor: Cursor = entry.cursor;
        match &entry.kind {
            EntryKind::Message(message) => {
                let expired = message.expires.is_some_and(|expires| expires <= now);
                let Some(body) = body.filter(|_| !expired) else {
                    self.window.skip(cursor, Flying::from(message.as_ref()));
                    return;
                };
                match self.message_frame(message, body, cursor) {
                    Some(frame) => {
                        out.push(frame.into());
                        self.window.send(cursor, Flying::from(message.as_ref()));
                    }
                    // Nothing for this device; another device of the account answers for it.
                    None => self.window.advance(cursor),
                }
            }
            EntryKind::Status(mark) => {
                out.push(entry::watermark(mark, cursor).into());
                self.window.advance(cursor);
            }
            EntryKind::Failed(failed) => {
                out.push(entry::failed(failed, Some(cursor)).into());
                self.window.advance(cursor);
            }
            EntryKind::Discarded(message) => {
                self.window.skip(cursor, Flying::from(message.as_ref()));
            }
            EntryKind::Keys(notice) => {
                out.extend(entry::keys(notice, cursor, &self.caller).map(Frame::from));
                self.window.advance(cursor);
            }
            EntryKind::Group(notice) => {
                out.push(entry::group(notice, cursor).into());
                self.window.advance(cursor);
            }
            EntryKind::Tally(tally) => {
                out.push(entry::tally(tally, cursor).into());
                self.window.advance(cursor);
            }
            // Written by a newer version beside this one; that version's devices ask for it.
            _ => self.window.advance(cursor),
        }
    }
}

impl Drop for Feed {
    fn drop(&mut self) {
        let account = self.caller.account.uuid;
        let now = self.clock.now();
        self.receipts.left(&self.caller, now);
        if self.receipts.connections.close(account, &self.line) {
            self.watchers.left(account, now);
        } else {
            self.watchers.changed(account);
        }
        self.watchers.forget(&self.line.mailbox);
    }
}

#[cfg(test)]
mod tests;
