//! The decisions on what another region sent, without a database: which messages take effect, and
//! which rejections are remembered.

use std::collections::HashSet;

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
}

/// Decides, in order. Everything is of one origin, so that (id, sender) names an event.
///
/// `known` holds the messages that were taken before, `earlier` the (id, sender) of events that were
/// rejected before. Of an event that the batch both takes and rejects the message stands: it is
/// never remembered as both.
pub(crate) fn receive(
    known: Known,
    earlier: &HashSet<(Uuid, Uuid)>,
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
        !earlier.contains(&event) && verdicts.insert(event)
    };
    let rejected = rejected.iter().enumerate().filter(is_new).map(|(place, _)| place).collect();
    Receipt { plan: planner.finish(), arrivals, rejected }
}

impl Planner {
    fn receive(
        &mut self,
        place: usize,
        received: &Received,
        earlier: &HashSet<(Uuid, Uuid)>,
    ) -> Vec<Arrival> {
        let message = &received.message;
        let key = (message.id, message.sender.uuid);
        if self.known.accepted.contains_key(&key)
            || earlier.contains(&(message.id.0, message.sender.uuid))
        {
            return Vec::new();
        }
        let (stamp, origin_number) = (message.stamp, message.origin_number);
        let state = self.known.conversations.entry(message.conversation).or_default();
        state.highest = state.highest.max(Some(stamp));
        if !received.discard {
            if received.side & !state.spoken != 0 {
                let of = message.sender.to_string();
                let listed = received.recipients.iter();
                self.plan
                    .listed
                    .extend(listed.map(|to| (*to, message.conversation, of.clone())));
            }
            state.spoken |= received.side;
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
        let new = self.plan.messages.len();
        self.plan.messages.push(NewMessage {
            submission: place,
            stamp,
            origin_number,
            pointers: 0,
        });
        let slot = message.collapse.as_ref().filter(|_| !received.discard);
        let slot = slot.map(|key| (message.sender.uuid, message.conversation, key.clone()));
        let recipients = received.recipients.iter();
        recipients.map(|&to| self.deliver(new, slot.as_ref(), (to, received.discard))).collect()
    }
}

#[cfg(test)]
mod tests;
