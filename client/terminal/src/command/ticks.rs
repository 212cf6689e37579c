//! What comes together and says the same is one line for people: how far messages have come, and groups
//! that have changed. Scripts get each by itself.

use core::time::Duration;

use posthouse_client::{Numbered, Update};
use posthouse_protocol::{
    id::{GroupId, MessageId},
    rest::groups::Standing,
};
use serde_json::Value;

use crate::{
    failure::Failure,
    output::{Output, came_to, have_it, people, stands},
    session::Session,
    text::{harmless, line},
};

/// What comes so soon after the one before comes together with it.
pub(super) const TOGETHER: Duration = Duration::from_millis(100);
/// So many are told in any case.
const MOST: usize = 256;

/// What is waiting for others to come with it, in its order.
#[derive(Default)]
pub(super) struct Ticks {
    waiting: Vec<Update>,
    /// The number of the last one.
    number: Option<u64>,
}

impl Ticks {
    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Takes an update in the place of an earlier one about the same. Whether it is such a one, and there
    /// was room.
    pub(super) fn take(&mut self, next: &Numbered) -> bool {
        let Some(what) = about(&next.update).filter(|_| self.waiting.len() < MOST) else {
            return false;
        };
        self.waiting.retain(|one| about(one).as_ref() != Some(&what));
        self.waiting.push(next.update.clone());
        self.number = next.number.or(self.number);
        true
    }

    /// Prints what waits, equal lines as one. Whether anybody still reads.
    pub(super) async fn print(
        &mut self,
        session: &mut Session,
        output: Output,
    ) -> Result<bool, Failure> {
        let mut lines: Vec<(String, usize)> = Vec::new();
        for one in std::mem::take(&mut self.waiting) {
            let text = text(session, &one).await?;
            match lines.iter_mut().find(|(known, _)| *known == text) {
                Some((_, count)) => *count += 1,
                None => lines.push((text, 1)),
            }
        }
        for (text, count) in lines {
            let text = if count > 1 { format!("{text}  ({count} messages)") } else { text };
            if !output.print(&Value::Null, harmless(&text)) {
                return Ok(false);
            }
        }
        if let Some(number) = self.number.take() {
            session.updates.taken(number).await?;
        }
        Ok(true)
    }
}

/// What an update tells of.
#[derive(PartialEq, Eq)]
enum What {
    Status(MessageId),
    Delivered(MessageId),
    Group(GroupId),
}

/// An invitation stands by itself.
fn about(update: &Update) -> Option<What> {
    match update {
        Update::Status { id, .. } => Some(What::Status(*id)),
        Update::Delivered { id, .. } => Some(What::Delivered(*id)),
        Update::Group { standing: Some(Standing::Invited), .. } => None,
        Update::Group { group, .. } => Some(What::Group(group.clone())),
        _ => None,
    }
}

async fn text(session: &mut Session, update: &Update) -> Result<String, Failure> {
    Ok(match update {
        Update::Status { id, with, status, reason } => {
            let own = session.client.account().clone();
            let said = session.client.message(&own, *id).await?;
            let to = match said.and_then(|entry| entry.group) {
                Some(group) => called(session, &group).await,
                None => line(&session.names.title(with)),
            };
            came_to(&to, *status, reason.as_deref())
        }
        Update::Delivered { group, delivered, audience, .. } => {
            have_it(&called(session, group).await, *delivered, *audience)
        }
        Update::Group { group, standing, .. } => {
            let known = session.client.group(group).await.ok();
            let known = known.filter(|known| known.standing.is_some());
            let people = known.map(|known| format!(", {}", people(&known))).unwrap_or_default();
            format!("  {}: {}{people}", called(session, group).await, stands(*standing))
        }
        _ => String::new(),
    })
}

async fn called(session: &Session, group: &GroupId) -> String {
    let known = session.client.group(group).await.ok();
    line(&known.and_then(|known| known.title).unwrap_or_else(|| group.to_string()))
}
