//! What the screen shows: plain values, changed by the loop and read by the view.

use std::collections::{BTreeMap, BTreeSet};

use jiff::tz::TimeZone;
use posthouse_client::{ConversationSummary, Entry, KeyTrust, Update};
use posthouse_protocol::{
    id::{AccountId, MessageId},
    status::Status,
    time::Timestamp,
};

use super::editor::Editor;
use crate::{names::Names, output::when};

/// Reasons of failed messages that are remembered while the program runs.
const MAX_REASONS: usize = 1_000;

/// A conversation in the list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Row {
    pub(crate) with: AccountId,
    pub(crate) unread: u64,
}

/// What lies over the conversation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Dialog {
    /// The keys.
    Help,
    /// Whom to write to.
    To(Editor),
    /// Only messages with this text are shown.
    Search(Editor),
    /// The safety number of the open conversation.
    Safety(Safety),
}

/// What the safety-number screen shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Safety {
    pub(crate) digits: String,
    pub(crate) trust: KeyTrust,
    pub(crate) code: Vec<String>,
}

/// Everything that is shown.
#[derive(Debug)]
pub(crate) struct Model {
    pub(crate) own: AccountId,
    pub(crate) names: Names,
    pub(crate) zone: TimeZone,
    pub(crate) rows: Vec<Row>,
    /// The open conversation.
    pub(crate) open: Option<AccountId>,
    /// The open conversation's messages, the oldest first.
    pub(crate) timeline: Vec<Entry>,
    /// What is believed of the open conversation's key.
    pub(crate) trust: KeyTrust,
    /// Lines that the timeline is scrolled up.
    pub(crate) scrolled: usize,
    pub(crate) drafts: BTreeMap<AccountId, Editor>,
    pub(crate) dialog: Option<Dialog>,
    pub(crate) connected: bool,
    /// Something to tell once.
    pub(crate) notice: Option<String>,
    pub(crate) typing: BTreeSet<AccountId>,
    pub(crate) presence: BTreeMap<AccountId, (bool, Option<Timestamp>)>,
    pub(crate) reasons: BTreeMap<MessageId, String>,
}

impl Model {
    pub(crate) fn new(own: AccountId, names: Names, zone: TimeZone) -> Self {
        Self {
            own,
            names,
            zone,
            rows: Vec::new(),
            open: None,
            timeline: Vec::new(),
            trust: KeyTrust::Unknown,
            scrolled: 0,
            drafts: BTreeMap::new(),
            dialog: None,
            connected: false,
            notice: None,
            typing: BTreeSet::new(),
            presence: BTreeMap::new(),
            reasons: BTreeMap::new(),
        }
    }

    /// The conversations as the store has them; an open one without a message stays in the list.
    pub(crate) fn list(&mut self, all: Vec<ConversationSummary>) {
        let rows = all.into_iter().map(|one| Row { with: one.with, unread: one.unread });
        self.rows = rows.collect();
        if let Some(open) = &self.open
            && !self.rows.iter().any(|row| row.with == *open)
        {
            self.rows.insert(0, Row { with: open.clone(), unread: 0 });
        }
    }

    /// The conversation so many places below the open one, around the end; the first if none is
    /// open.
    pub(crate) fn beside(&self, down: bool) -> Option<AccountId> {
        let count = self.rows.len();
        let at = self.open.as_ref().and_then(|o| self.rows.iter().position(|row| row.with == *o));
        let next = match (at, down) {
            (None, _) => 0,
            (Some(at), true) => at + 1,
            (Some(at), false) => (at + count).saturating_sub(1),
        };
        self.rows.get(next.checked_rem(count)?).map(|row| row.with.clone())
    }

    /// What is being written in the open conversation.
    pub(crate) fn draft(&mut self) -> Option<&mut Editor> {
        let open = self.open.clone()?;
        Some(self.drafts.entry(open).or_default())
    }

    /// Remembers what an update says besides what the store has.
    pub(crate) fn told(&mut self, update: &Update) {
        match update {
            Update::Message(entry) => _ = self.typing.remove(&entry.from),
            Update::Typing { user, typing: true } => _ = self.typing.insert(user.clone()),
            Update::Typing { user, typing: false } => _ = self.typing.remove(user),
            Update::Presence { user, online, last_seen } => {
                if !online {
                    self.typing.remove(user);
                }
                self.presence.insert(user.clone(), (*online, *last_seen));
            }
            Update::Connected => self.connected = true,
            Update::Disconnected => {
                self.connected = false;
                self.typing.clear();
                self.presence.clear();
            }
            Update::Status { id, status: Status::Failed, reason: Some(reason), .. } => {
                if self.reasons.len() >= MAX_REASONS {
                    self.reasons.pop_first();
                }
                self.reasons.insert(*id, reason.clone());
            }
            Update::KeyChanged { user, .. } => {
                let name = self.names.of(user);
                self.notice = Some(format!("{name} has another identity key: F2 to look at it"));
            }
            Update::Refused { user, reason } => {
                self.notice = Some(format!("of {}: {reason}", self.names.of(user)));
            }
            Update::Undecryptable { from, .. } => {
                let name = self.names.of(from);
                self.notice = Some(format!("a message of {name} cannot be read; asked again"));
            }
            _ => {}
        }
    }

    /// The messages that are shown: those that are searched for, or all.
    pub(crate) fn shown(&self) -> impl Iterator<Item = &Entry> {
        let wanted = match &self.dialog {
            Some(Dialog::Search(wanted)) => wanted.text().to_lowercase(),
            _ => String::new(),
        };
        self.timeline.iter().filter(move |entry| {
            wanted.is_empty()
                || entry.said.text().is_some_and(|text| text.to_lowercase().contains(&wanted))
        })
    }

    /// What is known of the other one's presence, in words.
    pub(crate) fn about(&self, user: &AccountId) -> Option<String> {
        if self.typing.contains(user) {
            return Some("types …".to_owned());
        }
        match self.presence.get(user)? {
            (true, _) => Some("online".to_owned()),
            (false, Some(at)) => Some(format!("last seen {}", when(*at, &self.zone))),
            (false, None) => None,
        }
    }
}
