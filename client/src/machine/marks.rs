//! Messages in the timeline, and what is said about them: edits, deletions, reactions, receipts.
//!
//! What is said about a message is kept beside it, so that it does not matter which of the two
//! comes first.

use posthouse_crypto::e2ee::content::{Body, Content, MessageId as RawId, ReceiptStatus};
use posthouse_protocol::{
    frame::{Presence, PresenceFrame},
    id::{AccountId, ConversationId, MessageId},
    status::Status,
    time::Stamp,
};
use uuid::Uuid;

use super::Step;
use crate::{
    Mention, Message,
    records::{
        Mark, With, author_key, mark_key, marks_prefix, message_key, open_key, timeline_key,
    },
    store::{Scan, StoreError, Table, decode},
    update::{Availability, Change, Entry, Said, Update},
};

/// Marks of one message that are looked at.
const MAX_MARKS: usize = 1_000;
/// Unread messages that are marked at once.
const MAX_READ: usize = 1_000;
/// Authors of one id in a group that are remembered: more than one is a member who cheats.
const MAX_AUTHORS: usize = 4;

impl Step<'_> {
    /// Puts a message of others, or of another own device, into the timeline.
    pub(super) async fn show(&mut self, entry: Entry) -> Result<(), StoreError> {
        self.note_author(&entry).await?;
        let entry = self.with_marks(entry).await?;
        let key = timeline_key(&entry);
        self.tx.put(Table::Index, message_key(&entry.from, entry.id), key.clone().into());
        if let Some(number) = entry.origin_number {
            let open = open_key(entry.conversation, number);
            self.tx.write(Table::Open, open, &entry.id);
        }
        let mut record = self.conversation(&With::of(&entry)).await?;
        record.active = record.active.max(entry.sent_at.min(self.now));
        record.unread += u64::from(!entry.read);
        record.mentioned += u64::from(entry.calls(&self.own()));
        self.tx.write(Table::Conversations, entry.conversation.0.to_vec(), &record);
        self.tx.write(Table::Timeline, key, &entry);
        if entry.read {
            self.start_expiry(&entry);
        }
        // Whoever typed has said it.
        self.stopped_typing(&(entry.group.clone(), entry.from.clone()));
        self.tell(&Update::Message(Box::new(entry)));
        Ok(())
    }

    /// An entry with what was said about it so far.
    pub(super) async fn with_marks(&self, mut entry: Entry) -> Result<Entry, StoreError> {
        let prefix = marks_prefix(entry.conversation, entry.id);
        for (key, mark) in self.tx.scan(&Scan::prefix(Table::Marks, &prefix, MAX_MARKS)).await? {
            let by = marker(&key, prefix.len());
            if let Some(by) = by {
                apply(&mut entry, &by, &decode(Table::Marks, &mark)?);
            }
        }
        Ok(entry)
    }

    /// Something was said about a message: by this device (`told` is false) or another.
    pub(super) async fn mark(
        &mut self,
        with: &With,
        by: &AccountId,
        content: &Content,
        stamp: Stamp,
        told: bool,
    ) -> Result<(), StoreError> {
        let (target, mark, change) = match &content.body {
            Body::Edit { text, target } => {
                let (text, mentions) = (text.clone(), Mention::of(&content.mentions));
                (target, Mark::Edit { text, stamp, mentions }, Change::Edited)
            }
            Body::Delete { target } => (target, Mark::Delete, Change::Deleted),
            Body::Reaction { emoji, target } => {
                (target, Mark::Reaction { emoji: emoji.clone(), stamp }, Change::Reacted)
            }
            _ => return Ok(()),
        };
        let target = message(target);
        if let Some(from) = self.note_mark(with, by, target, &mark).await?
            && told
        {
            let (with, by) = (with.person().unwrap_or(by).clone(), by.clone());
            self.tell(&Update::Changed { id: target, from, with, by, change });
        }
        Ok(())
    }

    /// Keeps what somebody said about a message, and changes the message if it is here: then its
    /// author is inside. `None` if something newer is known.
    pub(super) async fn note_mark(
        &mut self,
        with: &With,
        by: &AccountId,
        target: MessageId,
        mark: &Mark,
    ) -> Result<Option<Option<AccountId>>, StoreError> {
        let conversation = self.place_of(with);
        let key = mark_key(conversation, target, by, mark.kind());
        let before = self.tx.read::<Mark>(Table::Marks, &key).await?;
        if before.is_some_and(|before| newer(&before, mark)) {
            return Ok(None);
        }
        self.tx.write(Table::Marks, key, mark);
        // Only the sender edits and takes back; anybody may react.
        let authors = match with {
            _ if !matches!(mark, Mark::Reaction { .. }) => vec![by.clone()],
            With::Person(with) => vec![with.clone(), self.own()],
            With::Group(_) => self.authors(conversation, target).await?,
        };
        for author in &authors {
            if let Some((key, mut entry)) = self.entry(author, target).await? {
                if entry.conversation != conversation {
                    break;
                }
                let called = entry.calls(&self.own());
                apply(&mut entry, by, mark);
                self.recount(with, called, entry.calls(&self.own())).await?;
                self.tx.write(Table::Timeline, key, &entry);
                return Ok(Some(Some(entry.from)));
            }
        }
        Ok(Some(None))
    }

    /// An unread message that mentions this account does not any more, or does now.
    async fn recount(&mut self, with: &With, did: bool, does: bool) -> Result<(), StoreError> {
        if did != does {
            let mut record = self.conversation(with).await?;
            record.mentioned = (record.mentioned + u64::from(does)).saturating_sub(u64::from(did));
            let key = self.place_of(with).0.to_vec();
            self.tx.write(Table::Conversations, key, &record);
        }
        Ok(())
    }

    /// A receipt: of the other person about messages of this account, or of another own device
    /// about theirs.
    pub(super) async fn on_receipt(
        &mut self,
        with: &AccountId,
        by: &AccountId,
        status: ReceiptStatus,
        targets: &[RawId],
    ) -> Result<(), StoreError> {
        let own = self.own();
        let targets: Vec<MessageId> = targets.iter().map(message).collect();
        if *by == own {
            let read = self.mark_read(&with.clone().into(), Some(&targets)).await?;
            for id in read {
                let (from, with, by) = (Some(with.clone()), with.clone(), own.clone());
                self.tell(&Update::Changed { id, from, with, by, change: Change::ReadElsewhere });
            }
            return Ok(());
        }
        let status = match status {
            ReceiptStatus::Delivered => Status::Delivered,
            ReceiptStatus::Read => Status::Read,
        };
        for id in targets {
            if let Some((key, entry)) = self.entry(&own, id).await?
                && entry.with == *by
            {
                self.advance(key, entry, status, None);
            }
        }
        Ok(())
    }

    /// Marks messages of a person as read: those named, or all. The ids of those that were not.
    pub(super) async fn mark_read(
        &mut self,
        with: &With,
        named: Option<&[MessageId]>,
    ) -> Result<Vec<MessageId>, StoreError> {
        let mut record = self.conversation(with).await?;
        let mut found = Vec::new();
        let own = self.own();
        if let (Some(named), Some(person)) = (named, with.person()) {
            for id in named {
                found.extend(self.entry(person, *id).await?);
            }
        } else if record.unread > 0 {
            let conversation = self.place_of(with);
            let limit = MAX_READ.max(usize::try_from(record.unread).unwrap_or(MAX_READ) * 2);
            let scan = Scan::prefix(Table::Timeline, &conversation.0, limit).backwards();
            for (key, entry) in self.tx.scan(&scan).await? {
                found.push((key, decode::<Entry>(Table::Timeline, &entry)?));
            }
        }
        let mut read = Vec::new();
        for (key, entry) in found {
            if entry.from != own && !entry.read {
                read.push(entry.id);
                self.start_expiry(&entry);
                record.unread = record.unread.saturating_sub(1);
                record.mentioned = record.mentioned.saturating_sub(entry.calls(&own).into());
                self.tx.write(Table::Timeline, key, &Entry { read: true, ..entry });
            }
        }
        let conversation = self.place_of(with);
        self.tx.write(Table::Conversations, conversation.0.to_vec(), &record);
        Ok(read)
    }

    /// Notes who has written a message of a group, so that reactions find it.
    pub(super) async fn note_author(&mut self, entry: &Entry) -> Result<(), StoreError> {
        if entry.group.is_some() {
            let mut authors = self.authors(entry.conversation, entry.id).await?;
            if authors.len() < MAX_AUTHORS && !authors.contains(&entry.from) {
                authors.push(entry.from.clone());
                let key = author_key(entry.conversation, entry.id);
                self.tx.write(Table::Index, key, &authors);
            }
        }
        Ok(())
    }

    async fn authors(
        &self,
        conversation: ConversationId,
        id: MessageId,
    ) -> Result<Vec<AccountId>, StoreError> {
        Ok(self.tx.read(Table::Index, &author_key(conversation, id)).await?.unwrap_or_default())
    }

    /// A message of the timeline and its key.
    pub(super) async fn entry(
        &self,
        from: &AccountId,
        id: MessageId,
    ) -> Result<Option<(Vec<u8>, Entry)>, StoreError> {
        let Some(key) = self.tx.get(Table::Index, &message_key(from, id)).await? else {
            return Ok(None);
        };
        let entry = self.tx.read(Table::Timeline, &key).await?;
        Ok(entry.map(|entry| (key.to_vec(), entry)))
    }

    pub(super) fn on_presence(&mut self, frame: &PresenceFrame) {
        let user = frame.user_id.clone();
        let last_seen = frame.last_seen;
        let availability = match frame.status {
            Presence::Typing => return self.on_typing((None, user), true),
            Presence::StoppedTyping => return self.on_typing((None, user), false),
            Presence::Online => Availability::Online,
            Presence::Away => Availability::Away,
            Presence::Offline => Availability::Offline,
        };
        self.out.passing.push(Update::Presence { user, availability, last_seen });
    }

    /// Which message a content is, and its place: itself, or one that could not be read and is
    /// sent again. `None` if that one was read after all.
    pub(super) async fn meant(
        &self,
        message: &Message,
        content: &Content,
        stamp: Stamp,
    ) -> Result<Option<(MessageId, Stamp)>, StoreError> {
        let Some(again) = content.again else { return Ok(Some((message.id, stamp))) };
        let again = self::message(&again);
        let key = message_key(&message.from, again);
        Ok(match self.tx.get(Table::Index, &key).await? {
            None => Some((again, stamp)),
            // It is unreadable so far: its marker holds its place.
            Some(marker) => {
                let place: Option<[u8; 8]> = marker.as_slice().try_into().ok();
                place.map(|place| (again, Stamp(u64::from_be_bytes(place))))
            }
        })
    }
}

/// Changes an entry as a mark says.
fn apply(entry: &mut Entry, by: &AccountId, mark: &Mark) {
    match mark {
        Mark::Edit { text, mentions, .. } if *by == entry.from => {
            match &mut entry.said {
                Said::Text(said) | Said::Reply { text: said, .. } => said.clone_from(text),
                Said::Gone | Said::Unknown(_) => return,
            }
            entry.mentions.clone_from(mentions);
            entry.edited = true;
        }
        Mark::Delete if *by == entry.from => {
            entry.said = Said::Gone;
            entry.reactions.clear();
            entry.mentions.clear();
        }
        Mark::Reaction { emoji, .. } => {
            entry.reactions.retain(|(who, _)| who != by);
            if !emoji.is_empty() && entry.said != Said::Gone {
                entry.reactions.push((by.clone(), emoji.clone()));
            }
        }
        Mark::Edit { .. } | Mark::Delete => {}
    }
}

/// Whether the mark that is known came after the other one.
fn newer(known: &Mark, other: &Mark) -> bool {
    match (known, other) {
        (Mark::Edit { stamp: known, .. }, Mark::Edit { stamp: other, .. })
        | (Mark::Reaction { stamp: known, .. }, Mark::Reaction { stamp: other, .. }) => {
            known > other
        }
        _ => false,
    }
}

/// Who made a mark, by its key.
fn marker(key: &[u8], prefix: usize) -> Option<AccountId> {
    let rest = key.get(prefix..)?;
    let name = rest.get(..rest.len().checked_sub(2)?)?;
    AccountId::parse(core::str::from_utf8(name).ok()?).ok()
}

/// The id in a content.
pub(super) fn message(id: &RawId) -> MessageId {
    MessageId(Uuid::from_bytes(*id))
}
