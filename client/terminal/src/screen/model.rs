//! What the screen shows: plain values, changed by the loop and read by the view.

use std::collections::{BTreeMap, BTreeSet};

use jiff::tz::TimeZone;
use posthouse_client::{Availability, Entry, GroupSummary, KeyTrust, Update};
use posthouse_protocol::{
    id::{AccountId, GroupId, MessageId},
    rest::groups::{Standing, Unacknowledged},
    status::Status,
    time::Timestamp,
};

use super::{dialog::Dialog, editor::Editor};
use crate::{
    mention::{self, Nameable},
    names::Names,
    output::when,
    talk::{About, Talk},
};

/// Reasons of failed messages that are remembered while the program runs.
const MAX_REASONS: usize = 1_000;

/// A conversation in the list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Row {
    pub(crate) talk: Talk,
    pub(crate) unread: u64,
    /// Whether something unread mentions the account.
    pub(crate) called: bool,
    pub(crate) mark: Mark,
}

/// What the person should know of a conversation before it is opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mark {
    Plain,
    /// A stranger, or an invitation: to be decided about.
    Asks,
    /// A group that the account is not in any more.
    Left,
}

/// A group, as the list and the head show it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Group {
    pub(crate) id: GroupId,
    pub(crate) title: Option<String>,
    pub(crate) standing: Option<Standing>,
    /// Who invites to it.
    pub(crate) invited_by: Option<AccountId>,
    pub(crate) members: usize,
    pub(crate) active: Timestamp,
    pub(crate) unread: u64,
    pub(crate) mentioned: u64,
    /// For how many seconds what is said there is shown.
    pub(crate) disappears: Option<u32>,
}

impl From<GroupSummary> for Group {
    fn from(one: GroupSummary) -> Self {
        let GroupSummary { id, title, standing, invited_by, members, active, unread, .. } = one;
        let (mentioned, disappears) = (one.mentioned, one.disappears);
        Self { id, title, standing, invited_by, members, active, unread, mentioned, disappears }
    }
}

/// Somebody in the open group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Member {
    pub(crate) account: AccountId,
    pub(crate) standing: Standing,
}

/// A conversation with somebody: when something was last said, and how much is unread.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Talked {
    pub(crate) with: AccountId,
    pub(crate) active: Timestamp,
    pub(crate) unread: u64,
    pub(crate) mentioned: u64,
}

/// Everything that is shown.
#[derive(Debug)]
pub(crate) struct Model {
    pub(crate) own: AccountId,
    pub(crate) names: Names,
    pub(crate) zone: TimeZone,
    pub(crate) rows: Vec<Row>,
    /// The open conversation.
    pub(crate) open: Option<Talk>,
    /// The open conversation's messages, the oldest first.
    pub(crate) timeline: Vec<Entry>,
    /// For how many seconds what is said in the open conversation is shown.
    pub(crate) disappears: Option<u32>,
    /// What is believed of the open conversation's key.
    pub(crate) trust: KeyTrust,
    /// The open group, and who is in it.
    pub(crate) group: Option<Group>,
    pub(crate) members: Vec<Member>,
    /// Regions that may not know the newest changes of a group, as far as its own region told.
    pub(crate) behind: Option<(GroupId, Vec<Unacknowledged>)>,
    /// Strangers who have written and were not answered.
    pub(crate) requests: BTreeSet<AccountId>,
    /// Whether the homeserver has said who they are since the last change.
    pub(crate) knows_requests: bool,
    /// The message that something is to be done about.
    pub(crate) chosen: Option<MessageId>,
    /// What the draft of the open conversation is about.
    pub(crate) about: Option<About>,
    /// Lines that the timeline is scrolled up.
    pub(crate) scrolled: usize,
    pub(crate) drafts: BTreeMap<Talk, Editor>,
    pub(crate) dialog: Option<Dialog>,
    pub(crate) connected: bool,
    /// What goes on beside the screen.
    pub(crate) working: Option<String>,
    /// Something to tell once.
    pub(crate) notice: Option<String>,
    pub(crate) typing: BTreeSet<AccountId>,
    pub(crate) presence: BTreeMap<AccountId, (Availability, Option<Timestamp>)>,
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
            disappears: None,
            trust: KeyTrust::Unknown,
            group: None,
            members: Vec::new(),
            behind: None,
            requests: BTreeSet::new(),
            knows_requests: false,
            chosen: None,
            about: None,
            scrolled: 0,
            drafts: BTreeMap::new(),
            dialog: None,
            connected: false,
            working: None,
            notice: None,
            typing: BTreeSet::new(),
            presence: BTreeMap::new(),
            reasons: BTreeMap::new(),
        }
    }

    /// The conversations as the store has them, those with the latest activity first; an open one
    /// without a message stays in the list.
    pub(crate) fn list(&mut self, people: Vec<Talked>, groups: &[Group]) {
        self.names.learn_groups(groups.iter().map(|one| (one.id.clone(), one.title.clone())));
        let mut all: Vec<(Timestamp, Row)> = people
            .into_iter()
            .map(|one| {
                let asks = self.requests.contains(&one.with);
                let mark = if asks { Mark::Asks } else { Mark::Plain };
                let (talk, unread, called) =
                    (Talk::Person(one.with), one.unread, one.mentioned > 0);
                (one.active, Row { talk, unread, called, mark })
            })
            .collect();
        all.extend(groups.iter().map(|one| {
            let mark = match one.standing {
                Some(Standing::Invited) => Mark::Asks,
                Some(_) => Mark::Plain,
                None => Mark::Left,
            };
            let (talk, unread, called) =
                (Talk::Group(one.id.clone()), one.unread, one.mentioned > 0);
            (one.active, Row { talk, unread, called, mark })
        }));
        // What asks for a decision stands first.
        all.sort_by_key(|(active, row)| {
            (row.mark != Mark::Asks, row.mark == Mark::Left, core::cmp::Reverse(*active))
        });
        self.rows = all.into_iter().map(|(_, row)| row).collect();
        if let Some(open) = &self.open
            && !self.rows.iter().any(|row| row.talk == *open)
        {
            let row = Row { talk: open.clone(), unread: 0, called: false, mark: Mark::Plain };
            self.rows.insert(0, row);
        }
    }

    /// The conversation so many places below the open one, around the end; the first if none is
    /// open.
    pub(crate) fn beside(&self, down: bool) -> Option<Talk> {
        let count = self.rows.len();
        let at = self.open.as_ref().and_then(|o| self.rows.iter().position(|row| row.talk == *o));
        let next = match (at, down) {
            (None, _) => 0,
            (Some(at), true) => at + 1,
            (Some(at), false) => (at + count).saturating_sub(1),
        };
        self.rows.get(next.checked_rem(count)?).map(|row| row.talk.clone())
    }

    /// What a conversation is called, in little room.
    pub(crate) fn title(&self, talk: &Talk) -> String {
        match talk {
            Talk::Person(person) => self.names.title(person),
            Talk::Group(group) => {
                let title = self.names.group(group);
                // Its key may still be on its way.
                if title == group.to_string() { "a group".to_owned() } else { title }
            }
        }
    }

    /// What is being written in the open conversation.
    pub(crate) fn draft(&mut self) -> Option<&mut Editor> {
        let open = self.open.clone()?;
        Some(self.drafts.entry(open).or_default())
    }

    /// Who can be mentioned in the open conversation.
    pub(crate) fn nameable(&self) -> Vec<Nameable> {
        let people: Vec<&AccountId> = match &self.open {
            Some(Talk::Person(person)) => vec![person],
            _ => self.members.iter().map(|one| &one.account).collect(),
        };
        mention::nameable(people.into_iter().filter(|one| **one != self.own), &self.names)
    }

    /// Completes the name that is being written behind an `@`. Whether there was one.
    pub(crate) fn complete(&mut self) -> bool {
        let people = self.nameable();
        let Some(draft) = self.draft() else { return false };
        let Some((more, found)) = mention::complete(draft.before(), &people) else { return false };
        draft.insert(&more);
        if found.len() > 1 {
            self.notice = Some(found.join("  "));
        }
        true
    }

    /// The open conversation is a stranger's, or of a group that the account is invited to.
    pub(crate) fn asks(&self) -> bool {
        match &self.open {
            Some(Talk::Person(person)) => self.requests.contains(person),
            Some(Talk::Group(_)) => self.standing() == Some(Standing::Invited),
            None => false,
        }
    }

    /// Whether the writers in the open conversation may be told that they were read: not a stranger, who
    /// would be heard from then on. Whoever was answered is none, whatever is not known yet.
    pub(crate) fn may_tell(&self) -> bool {
        let is_answered = || self.timeline.iter().any(|one| one.from == self.own);
        match &self.open {
            Some(Talk::Person(_)) => !self.asks() && (self.knows_requests || is_answered()),
            _ => !self.asks(),
        }
    }

    /// Who invites to the open group.
    pub(crate) fn inviter(&self) -> Option<&AccountId> {
        self.group.as_ref()?.invited_by.as_ref()
    }

    /// What the account is in the open group.
    pub(crate) fn standing(&self) -> Option<Standing> {
        self.group.as_ref()?.standing
    }

    /// A message of the open conversation.
    pub(crate) fn message(&self, id: MessageId) -> Option<&Entry> {
        self.timeline.iter().find(|one| one.id == id)
    }

    /// Chooses the message before or behind the chosen one; the newest if none is.
    pub(crate) fn choose(&mut self, down: bool) {
        let count = self.timeline.len();
        let at = self.chosen.and_then(|id| self.timeline.iter().position(|one| one.id == id));
        let next = match (at, down) {
            (None, _) => count.saturating_sub(1),
            (Some(at), true) => (at + 1).min(count.saturating_sub(1)),
            (Some(at), false) => at.saturating_sub(1),
        };
        self.chosen = self.timeline.get(next).map(|one| one.id);
    }

    /// Remembers what an update says besides what the store has.
    pub(crate) fn told(&mut self, update: &Update) {
        match update {
            Update::Message(entry) => {
                self.typing.remove(&entry.from);
                let talk = Talk::of(entry);
                if entry.mentions(&self.own) && self.open.as_ref() != Some(&talk) {
                    let (name, place) = (self.names.title(&entry.from), self.title(&talk));
                    self.notice = Some(match talk {
                        Talk::Person(_) => format!("{name} mentions you"),
                        Talk::Group(_) => format!("{name} mentions you in {place}"),
                    });
                }
            }
            Update::Typing { user, typing: true } => _ = self.typing.insert(user.clone()),
            Update::Typing { user, typing: false } => _ = self.typing.remove(user),
            Update::Presence { user, availability, last_seen } => {
                if *availability == Availability::Offline {
                    self.typing.remove(user);
                }
                self.presence.insert(user.clone(), (*availability, *last_seen));
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
            Update::GroupRefused { group, fault } => {
                self.notice = Some(format!("of {}: {fault}", self.names.group(group)));
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
    pub(crate) fn about_person(&self, user: &AccountId) -> Option<String> {
        if self.typing.contains(user) {
            return Some("types …".to_owned());
        }
        match self.presence.get(user)? {
            (Availability::Online, _) => Some("online".to_owned()),
            (Availability::Away, _) => Some("away".to_owned()),
            (Availability::Offline, Some(at)) => {
                Some(format!("last seen {}", when(*at, &self.zone)))
            }
            (Availability::Offline, None) => None,
        }
    }
}
