//! The decisions on what another region sent, without a database: which messages take effect, and
//! which rejections are remembered.

use std::collections::{HashMap, HashSet};

use posthouse_protocol::federation::receipt::RejectionReason;
use posthouse_storage::{
    ledger::{Accepted, Arrival},
    reception::{Received, Rejected},
};
use uuid::Uuid;

use super::{Known, NewMessage, Plan, Planner, Touched};

/// What a reception comes to.
#[derive(Debug, Default)]
pub(crate) struct Receipt {
    /// The rows; [`NewMessage::submission`] is a message's place in the batch.
    pub(crate) plan: Plan,
    /// For each message its new inbox entries.
    pub(crate) arrivals: Vec<Vec<Arrival>>,
    /// Rejections to be remembered, as places in what was rejected.
    pub(crate) rejected: Vec<usize>,
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
    let take = |(place, received)| planner.receive(place, received, earlier);
    let arrivals = batch.iter().enumerate().map(take).collect();
    let mut verdicts: HashSet<(Uuid, Uuid)> =
        planner.known.accepted.keys().map(|(id, sender)| (id.0, *sender)).collect();
    let is_new = |(_, one): &(usize, &Rejected)| {
        let event = (one.id, one.sender.unwrap_or_default());
        !earlier.contains_key(&event) && verdicts.insert(event)
    };
    let new: Vec<(usize, &Rejected)> = rejected.iter().enumerate().filter(is_new).collect();
    let earlier = earlier.iter().map(|((id, sender), reason)| {
        let sender = (!sender.is_nil()).then_some(*sender);
        Rejected { sender, id: *id, reason: *reason }
    });
    let standing = earlier.chain(new.iter().map(|(_, one)| **one)).collect();
    let rejected = new.into_iter().map(|(place, _)| place).collect();
    Receipt { plan: planner.finish(), arrivals, rejected, standing }
}

impl Planner {
    fn receive(&mut self, place: usize, received: &Received, earlier: &Earlier) -> Vec<Arrival> {
        let message = &received.message;
        let key = (message.id, message.sender.uuid);
        if self.known.accepted.contains_key(&key)
            || earlier.contains_key(&(message.id.0, message.sender.uuid))
        {
            return Vec::new();
        }
        let (stamp, origin_number) = (message.stamp, message.origin_number);
        let state = self.known.conversations.entry(message.conversation).or_default();
        state.highest = state.highest.max(Some(stamp));
        state.spoken |= received.side;
        self.touched.conversations.push(message.conversation);
        let facts = Accepted {
            conversation: message.conversation,
            stamp,
            origin_number,
            at: message.accepted_at,
            arrivals: Vec::new(),
        };
        self.known.accepted.insert(key, facts);
        let new = self.plan.messages.len();
        self.plan.messages.push(NewMessage {
            submission: place,
            stamp,
            origin_number,
            pointers: 0,
        });
        let slot = message.collapse.as_ref();
        let slot = slot.map(|key| (message.sender.uuid, message.conversation, key.clone()));
        let recipients = received.recipients.iter();
        recipients.map(|&to| self.deliver(new, slot.as_ref(), to)).collect()
    }
}

#[cfg(test)]
mod tests;
