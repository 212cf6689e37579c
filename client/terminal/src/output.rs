//! What the scriptable commands print: lines for people, or one JSON object a line.

use core::fmt::{Display, Write as _};
use std::io::{self, Write as _};

use jiff::tz::TimeZone;
use posthouse_client::{Availability, Change, Entry, GroupSummary, Said, Update};
use posthouse_protocol::{id::AccountId, rest::groups::Standing, status::Status, time::Timestamp};
use serde_json::{Value, json};

use crate::{
    failure::Failure,
    names::Names,
    text::{harmless, line},
};

/// Standard output and standard error.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Output {
    json: bool,
}

impl Output {
    pub(crate) fn new(json: bool) -> Self {
        Self { json }
    }

    /// Prints the object, or the line for people. Whether anybody still reads.
    pub(crate) fn print(self, object: &Value, text: impl Display) -> bool {
        let mut out = io::stdout().lock();
        let written = if self.json { writeln!(out, "{object}") } else { writeln!(out, "{text}") };
        written.and_then(|()| out.flush()).is_ok()
    }

    /// A remark that is no result: to standard error, for people only.
    pub(crate) fn remark(self, text: impl Display) {
        if !self.json {
            _ = writeln!(io::stderr().lock(), "{text}");
        }
    }

    /// Prints a failure to standard error.
    pub(crate) fn failure(self, failure: &Failure) {
        let mut err = io::stderr().lock();
        _ = if self.json {
            writeln!(err, "{}", failure.json())
        } else {
            writeln!(err, "posthouse-chat: {}", harmless(&failure.to_string()))
        };
    }

    /// Says on standard error that the homeserver is not reached, and that it is tried again.
    pub(crate) fn unreached(self, why: &Failure) {
        let mut err = io::stderr().lock();
        _ = if self.json {
            writeln!(err, "{}", why.passing_json("unreached"))
        } else {
            writeln!(err, "posthouse-chat: {}\n  It is tried again.", harmless(&why.to_string()))
        };
    }

    /// Says on standard error why what follows is what the device knew last.
    pub(crate) fn stale(self, why: &Failure) {
        let mut err = io::stderr().lock();
        _ = if self.json {
            writeln!(err, "{}", why.passing_json("stale"))
        } else {
            let known = "What follows is what this device knew last.";
            writeln!(err, "posthouse-chat: {}\n{known}", harmless(&why.to_string()))
        };
    }

    /// Whether people read it, for whom equal lines are joined.
    pub(crate) fn is_for_people(self) -> bool {
        !self.json
    }

    /// Prints a message.
    pub(crate) fn entry(self, own: &AccountId, entry: &Entry, names: &Names) -> bool {
        self.print(&entry_json(own, entry, names), entry_text(own, entry, names))
    }

    /// Prints an update. `None` if there is nothing to print.
    pub(crate) fn update(self, own: &AccountId, update: &Update, names: &Names) -> Option<bool> {
        if let Update::Message(entry) = update {
            return Some(self.entry(own, entry, names));
        }
        let (object, text) = tell(update, names)?;
        Some(self.print(&object, harmless(&text)))
    }
}

/// A message as an object (docs/chat.md).
pub(crate) fn entry_json(own: &AccountId, entry: &Entry, names: &Names) -> Value {
    let (kind, reply_to) = match &entry.said {
        Said::Text(_) => ("text", None),
        Said::Reply { to, .. } => ("reply", Some(to)),
        Said::Gone => ("gone", None),
        _ => ("unknown", None),
    };
    let reactions: Vec<Value> =
        entry.reactions.iter().map(|(by, what)| json!({ "by": by, "reaction": what })).collect();
    let mentions: Vec<Value> = entry
        .mentions
        .iter()
        .map(|one| json!({ "start": one.start, "end": one.end, "user": one.account }))
        .collect();
    json!({
        "event": "message",
        "id": entry.id,
        "from": entry.from,
        "from_name": names.of(&entry.from),
        "from_profile": names.said(&entry.from),
        "with": entry.with,
        "with_name": names.of(&entry.with),
        "group": entry.group,
        "outgoing": entry.from == *own,
        "sent_at": entry.sent_at,
        "kind": kind,
        "text": entry.said.text(),
        "reply_to": reply_to,
        "status": entry.status,
        "read": entry.read,
        "edited": entry.edited,
        "expires_after": entry.expires_after,
        "reactions": reactions,
        "mentions": mentions,
        "mentioned": entry.mentions(own),
    })
}

fn entry_text(own: &AccountId, entry: &Entry, names: &Names) -> String {
    let who = if let Some(group) = &entry.group {
        let from = if entry.from == *own { "you".to_owned() } else { names.title(&entry.from) };
        format!("{} → {}", line(&from), line(&names.group(group)))
    } else if entry.from == *own {
        format!("you → {}", line(&names.title(&entry.with)))
    } else {
        line(&names.title(&entry.from))
    };
    let said = match &entry.said {
        Said::Text(text) | Said::Reply { text, .. } => harmless(text).replace('\n', "\n    "),
        Said::Gone => "(taken back, or its time is over)".to_owned(),
        _ => "(something that this version cannot show)".to_owned(),
    };
    let mut text = format!("{} {who}: {said}", when(entry.sent_at, &TimeZone::system()));
    if entry.edited {
        text.push_str(" (edited)");
    }
    for (_, reaction) in &entry.reactions {
        text.push(' ');
        text.push_str(&line(reaction));
    }
    if entry.from == *own {
        text.push_str("  ");
        text.push_str(ticks(entry.status));
        if entry.group.is_some() && entry.audience > 0 {
            _ = write!(text, " {}/{}", entry.delivered, entry.audience);
        }
    }
    text
}

/// A status as a sign: one tick, two, and a word where signs say too little.
pub(crate) fn ticks(status: Option<Status>) -> &'static str {
    match status {
        None => "…",
        Some(Status::Sent) => "✓",
        Some(Status::Queued) => "✓ queued",
        Some(Status::Relayed) => "✓ relayed",
        Some(Status::Accepted) => "✓ accepted",
        Some(Status::Delivered) => "✓✓",
        Some(Status::Read) => "✓✓ read",
        Some(Status::Failed) => "✗ failed",
        Some(_) => "?",
    }
}

/// How far a message to somebody has come.
pub(crate) fn came_to(to: &str, status: Status, reason: Option<&str>) -> String {
    let reason = reason.map(|reason| format!(" ({reason})")).unwrap_or_default();
    format!("  to {to}: {}{reason}", ticks(Some(status)))
}

/// How many members of a group have a message.
pub(crate) fn have_it(group: &str, delivered: u64, audience: u64) -> String {
    format!("  to {group}: {delivered} of {audience} have it")
}

/// What this account is in a group, in words.
pub(crate) fn stands(standing: Option<Standing>) -> &'static str {
    match standing {
        None => "you are not in it any more",
        Some(Standing::Invited) => "you are invited",
        Some(Standing::Member) => "you are a member",
        Some(Standing::Admin) => "you are an admin",
        Some(Standing::Owner) => "you are an owner",
    }
}

/// How many are in a group.
pub(crate) fn people(group: &GroupSummary) -> String {
    let members = if group.members == 1 { "member" } else { "members" };
    let invited = match group.invited {
        0 => String::new(),
        some => format!(", {some} invited"),
    };
    format!("{} {members}{invited}", group.members)
}

/// Day and time in a time zone.
pub(crate) fn when(at: Timestamp, zone: &TimeZone) -> String {
    let millis = i64::try_from(at.0).unwrap_or(i64::MAX);
    match jiff::Timestamp::from_millisecond(millis) {
        Ok(at) => zone.to_datetime(at).strftime("%Y-%m-%d %H:%M").to_string(),
        Err(_) => "????-??-?? ??:??".to_owned(),
    }
}

/// Everything that is no message: the object and the line.
fn tell(update: &Update, names: &Names) -> Option<(Value, String)> {
    let name = |user: &AccountId| line(&names.of(user));
    Some(match update {
        Update::Status { id, with, status, reason } => (
            json!({ "event": "status", "id": id, "with": with, "status": status, "reason": reason }),
            came_to(&name(with), *status, reason.as_deref()),
        ),
        Update::Changed { id, with, by, change, .. } => {
            let how = match change {
                Change::Edited => "edited",
                Change::Deleted => "deleted",
                Change::Reacted => "reacted",
                Change::Expired => "expired",
                Change::ReadElsewhere => "read_elsewhere",
                _ => "changed",
            };
            let object =
                json!({ "event": "changed", "id": id, "with": with, "by": by, "change": how });
            (object, format!("  {} with {}: {how}", name(by), name(with)))
        }
        Update::WaitingForKeys { id, with } => (
            json!({ "event": "waiting_for_keys", "id": id, "with": with }),
            format!("  to {}: waits until they have set a device up", name(with)),
        ),
        Update::KeyChanged { user, was_verified } => (
            json!({ "event": "key_changed", "user": user, "was_verified": was_verified }),
            format!(
                "! {0} has another identity key. Nothing goes there until you have looked at \
                 `posthouse-chat safety {0}`.",
                name(user)
            ),
        ),
        Update::DevicesChanged { user, devices } => (
            json!({ "event": "devices_changed", "user": user, "devices": devices }),
            format!("  {} has the devices {devices:?} now", name(user)),
        ),
        Update::Refused { user, reason } => (
            json!({ "event": "refused", "user": user, "reason": reason.to_string() }),
            format!("! A server told something untrue of {}: {reason}.", name(user)),
        ),
        Update::Group { group, standing, epoch } => (
            json!({ "event": "group", "group": group, "standing": standing, "epoch": epoch }),
            format!("  {}: {}", line(&names.group(group)), stands(*standing)),
        ),
        Update::Delivered { id, group, delivered, audience } => (
            json!({
                "event": "delivered", "id": id, "group": group, "delivered": delivered,
                "audience": audience,
            }),
            have_it(&line(&names.group(group)), *delivered, *audience),
        ),
        Update::GroupRefused { group, fault } => (
            json!({ "event": "group_refused", "group": group, "reason": fault.to_string() }),
            format!("! A server told something untrue of {}: {fault}.", line(&names.group(group))),
        ),
        Update::Profile { user } => profile(user, names),
        Update::Undecryptable { id, from, reason } => (
            json!({ "event": "undecryptable", "id": id, "from": from, "reason": reason }),
            format!(
                "! A message of {} cannot be read ({reason}); it is asked for again.",
                name(from)
            ),
        ),
        Update::Typing { user, typing } => (
            json!({ "event": "typing", "user": user, "typing": typing }),
            format!("  {} {}", name(user), if *typing { "types …" } else { "stopped typing" }),
        ),
        Update::Presence { user, availability, last_seen } => {
            presence((user, &name(user)), *availability, *last_seen)
        }
        Update::Connected => (json!({ "event": "connected" }), "  connected".to_owned()),
        Update::Disconnected => {
            let text = "  the connection is lost; it is tried again";
            (json!({ "event": "disconnected" }), text.to_owned())
        }
        Update::Replaced | Update::SessionEnded | Update::Message(_) | _ => return None,
    })
}

fn profile(user: &AccountId, names: &Names) -> (Value, String) {
    let (name, about) = (names.said(user), names.about(user));
    let object = json!({ "event": "profile", "user": user, "name": name, "about": about });
    let said = name.map_or_else(
        || "does not say any more what they are called".to_owned(),
        |name| format!("is called {}", line(name)),
    );
    (object, format!("  {} {said}", line(&names.of(user))))
}

fn presence(
    (user, name): (&AccountId, &str),
    availability: Availability,
    last_seen: Option<Timestamp>,
) -> (Value, String) {
    let word = match availability {
        Availability::Online => "online",
        Availability::Away => "away",
        Availability::Offline => "offline",
    };
    let object = json!({
        "event": "presence", "user": user, "availability": availability, "last_seen": last_seen,
    });
    (object, format!("  {name} is {word}"))
}
