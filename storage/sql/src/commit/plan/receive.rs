//! The decisions on what another region sent, without a database: which messages take effect, and
//! which rejections are remembered.

use foldhash::{HashMap, HashSet};
use posthouse_protocol::federation::receipt::RejectionReason;
use posthouse_storage::{
    ledger::{Accepted, Arrival},
    reception::{Received, Rejected},
};
use uuid::Uuid;

use super::{Known, NewMessage, Plan, Planner, Slot, Touched};

/// What a reception comes to.
#[derive(Debug, Default)]
pub(crate) struct Receipt {
    /// The rows; [`NewMessage::submission`] is a message's place in the batch.
    pub(crate) plan: Plan,
    /// For each message its new inbox entries.
    pub(crate) arrivals: Vec<Vec<Arrival>>,
    /// Rejections to be remembered, as places in what was rejected.
    pub(crate) rejected: Vec<usize>,
    /// Messages that no recipient's inbox has room for, as places in the batch: rejections to be
    /// remembered as well.
    pub(crate) full: Vec<usize>,
    /// Everything that stands rejected, earlier or now.
    pub(crate) standing: Vec<Rejected>,
}

/// Events that were rejected before, by (id, sender); without a sender it is nil.
pub(crate) type Earlier = HashMap<(Uuid, Uuid), RejectionReason>;

/// Decides, in order. Everything is of one origin, so that (id, sender) names an event.
///
/// `known` holds the messages that were taken before, `earlier` the events that were rejected
/// before. Of an event that the batch both takes and rejects the message stands: it is
/// never remembered as both.
pub(crate) fn receive(
    known: Known,
    earlier: &Earlier,
    batch: &[Received],
    rejected: &[Rejected],
) -> Receipt {
    let mut planner = Planner { known, plan: Plan::default(), touched: Touched::default() };
    let (mut arrivals, mut full) = (Vec::new(), Vec::new());
    let mut stands = earlier.clone();
    for (place, received) in batch.iter().enumerate() {
        let event = (received.message.id.0, received.message.sender.uuid);
        let taken = if stands.contains_key(&event) {
            Some(vec![])
        } else {
            planner.receive(place, received)
        };
        if taken.is_none() {
            full.push(place);
            stands.insert(event, RejectionReason::QueueFull);
        }
        arrivals.push(taken.unwrap_or_default());
    }
    let mut verdicts: HashSet<(Uuid, Uuid)> =
        planner.known.accepted.keys().map(|(id, sender)| (id.0, *sender)).collect();
    let is_new = |(_, one): &(usize, &Rejected)| {
        let event = (one.id, one.sender.unwrap_or_default());
        !stands.contains_key(&event) && verdicts.insert(event)
    };
    let new: Vec<(usize, &Rejected)> = rejected.iter().enumerate().filter(is_new).collect();
    let stands = stands.iter().map(|((id, sender), reason)| {
        let sender = (!sender.is_nil()).then_some(*sender);
        Rejected { sender, id: *id, reason: *reason }
    });
    let standing = stands.chain(new.iter().map(|(_, one)| **one)).collect();
    let rejected = new.into_iter().map(|(place, _)| place).collect();
    Receipt { plan: planner.finish(), arrivals, rejected, full, standing }
}

impl Planner {
    /// The new entries of a message that was not rejected before; `None` if it has recipients, and
    /// none of their inboxes has room. Those that have get it: one full inbox does not keep a
    /// group's message from the others.
    fn receive(&mut self, place: usize, received: &Received) -> Option<Vec<Arrival>> {
        let message = &received.message;
        let key = (message.id, message.sender.uuid);
        let parts = self.known.parts.get(&key);
        if parts.is_some_and(|parts| parts.contains(&message.part)) {
            return Some(Vec::new());
        }
        let named = received.recipients.iter().copied();
        let recipients: Vec<Uuid> =
            named.filter(|account| self.has_room(*account, received.size)).collect();
        if recipients.is_empty() && !received.recipients.is_empty() {
            return None;
        }
        let (stamp, origin_number) = (message.stamp, message.origin_number);
        let state = self.known.conversations.entry(message.conversation).or_default();
        state.highest = state.highest.max(Some(stamp));
        let is_first = received.side & !state.spoken != 0;
        if !received.discard && state.speaks(received.side) {
            self.plan.acquainted.push(place);
        }
        if is_first && !received.discard {
            let of = message.sender.to_string();
            let listed = recipients.iter().map(|to| (*to, message.conversation, of.clone()));
            self.plan.listed.extend(listed);
        }
        self.touched.conversations.push(message.conversation);
        let facts = Accepted {
            conversation: message.conversation,
            stamp,
            origin_number,
            at: message.accepted_at,
            arrivals: Vec::new(),
        };
        self.known.accepted.insert(key, facts);
        self.known.parts.entry(key).or_default().insert(message.part);
        let new = self.plan.messages.len();
        self.plan.messages.push(NewMessage {
            submission: place,
            stamp,
            origin_number,
            at: message.accepted_at,
            pointers: 0,
        });
        let slot = Slot::of(
            message.sender.uuid,
            message.id,
            message.conversation,
            // What waits with a supplement's key may be the message that it belongs to.
            message.collapse.as_ref().filter(|_| message.part == 0),
            received.discard,
        );
        let deliver = |to| self.deliver((new, received.size), slot.as_ref(), to);
        Some(recipients.into_iter().map(deliver).collect())
    }
}

#[cfg(test)]
mod tests;
