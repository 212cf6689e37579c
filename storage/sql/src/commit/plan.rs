//! The decisions of acceptance, without a database: from what is known and a batch of submissions to
//! their outcomes and the rows to be written.

use std::collections::BTreeSet;

use foldhash::{HashMap, HashSet};
use posthouse_protocol::{
    cursor::Cursor,
    federation::stream::Lane,
    id::{ConversationId, DeviceId, MessageId, ServerName},
    time::{Stamp, Timestamp},
};
use posthouse_storage::{
    ledger::{Accept, Accepted, Arrival, Outcome, Refusal},
    outbox::lane_of,
};
use uuid::Uuid;

use super::load::Load;

mod receive;

pub(crate) use receive::{Earlier, Receipt, receive};

/// What a region is sent in one lane.
pub(crate) type Queue = (ServerName, Lane);

/// What the database knows of everything that the batch names. What is missing is new.
#[derive(Debug, Clone, Default)]
pub(crate) struct Known {
    /// Acceptances by id and sender, without arrivals.
    pub(crate) accepted: HashMap<(MessageId, Uuid), Accepted>,
    /// The parts of them: 0 for the message itself, and its supplements.
    pub(crate) parts: HashMap<(MessageId, Uuid), BTreeSet<u8>>,
    pub(crate) conversations: HashMap<ConversationId, Conversation>,
    /// The last accepted message of a device in a conversation.
    pub(crate) marks: HashMap<(DeviceId, ConversationId), MessageId>,
    /// The highest arrival number of each inbox.
    pub(crate) inboxes: HashMap<Uuid, Head>,
    /// How much each inbox holds.
    pub(crate) loads: HashMap<Uuid, Load>,
    /// Owners of inboxes, as far as it was asked.
    pub(crate) accounts: HashSet<Uuid>,
    /// The highest index of each queue to a region.
    pub(crate) outboxes: HashMap<Queue, Head>,
}

/// The highest number given out in a queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Head {
    pub(crate) last: u64,
    /// Whether the database has it: a row that does not exist yet could not be locked.
    pub(crate) stored: bool,
}

/// What is known of a conversation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Conversation {
    /// The highest stamp; `None` before the first message.
    pub(crate) highest: Option<Stamp>,
    /// The highest origin number given out by this region.
    pub(crate) last_number: u64,
    /// The sides that have spoken, as bits.
    pub(crate) spoken: u8,
    /// Whether the database has it: a row that does not exist yet could not be locked.
    pub(crate) stored: bool,
}

impl Conversation {
    /// A side speaks. Whether the conversation has become mutual by it; one with oneself never
    /// does.
    fn speaks(&mut self, side: u8) -> bool {
        let strangers = self.spoken != BOTH;
        self.spoken |= side;
        strangers && self.spoken == BOTH && side != BOTH
    }
}

/// What is to be written, and what to answer.
#[derive(Debug, Default)]
pub(crate) struct Plan {
    /// One for each submission, in order.
    pub(crate) outcomes: Vec<Outcome>,
    pub(crate) messages: Vec<NewMessage>,
    pub(crate) entries: Vec<NewEntry>,
    pub(crate) intents: Vec<NewIntent>,
    /// Submissions with which a direct conversation has become mutual, as indices into the batch.
    pub(crate) acquainted: Vec<usize>,
    /// The states after the batch of everything that changed, in the order of their keys: rows are
    /// locked in that order by everyone.
    pub(crate) conversations: Vec<(ConversationId, Conversation)>,
    pub(crate) marks: Vec<((DeviceId, ConversationId), MessageId)>,
    pub(crate) inboxes: Vec<(Uuid, Head)>,
    pub(crate) outboxes: Vec<(Queue, Head)>,
    /// Conversations for accounts' lists, if they are not there yet: account, conversation, other side.
    pub(crate) listed: Vec<(Uuid, ConversationId, String)>,
}

/// A message to be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct NewMessage {
    /// Its submission, as an index into the batch.
    pub(crate) submission: usize,
    pub(crate) stamp: Stamp,
    pub(crate) origin_number: u64,
    /// When its region accepted it.
    pub(crate) at: Timestamp,
    /// How many entries and intents refer to it.
    pub(crate) pointers: i64,
}

/// An inbox entry to be written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct NewEntry {
    pub(crate) account: Uuid,
    pub(crate) cursor: Cursor,
    /// Its message, as an index into [`Plan::messages`].
    pub(crate) message: usize,
    /// It replaces the entry with the same.
    pub(crate) slot: Option<Slot>,
    /// Bytes of its body.
    pub(crate) size: u64,
}

impl NewEntry {
    /// Whether it is kept from all devices.
    pub(crate) fn is_discarded(&self) -> bool {
        matches!(self.slot, Some(Slot::Discarded(_)))
    }
}

/// An outbox intent to be written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct NewIntent {
    /// Its message, as an index into [`Plan::messages`].
    pub(crate) message: usize,
    /// Its destination, as an index into the submission's.
    pub(crate) destination: usize,
    pub(crate) index: u64,
}

/// Both sides of a direct conversation.
const BOTH: u8 = 3;

/// Decides on a batch, in order: a later submission sees the effects of an earlier one.
pub(crate) fn plan(known: Known, batch: &[Accept]) -> Plan {
    let mut planner = Planner { known, plan: Plan::default(), touched: Touched::default() };
    for (submission, accept) in batch.iter().enumerate() {
        let outcome = planner.submit(submission, accept);
        planner.plan.outcomes.push(outcome);
    }
    planner.finish()
}

struct Planner {
    known: Known,
    plan: Plan,
    touched: Touched,
}

/// What has changed, each once: the keys' last states are written at the end.
#[derive(Default)]
struct Touched {
    conversations: Vec<ConversationId>,
    marks: Vec<(DeviceId, ConversationId)>,
    inboxes: Vec<Uuid>,
    outboxes: Vec<Queue>,
    /// Entries of this batch that a later one of it may replace, as indices into the entries.
    collapsible: HashMap<(Uuid, Slot), usize>,
}

/// What entries of one inbox must share to replace each other.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Slot {
    /// Messages of one sender in one conversation with one collapse key.
    Collapse(Uuid, ConversationId, String),
    /// What is kept from all devices: an inbox holds a bounded number of these, so that who is
    /// blocked does not fill it.
    Discarded(u16),
}

/// How many entries of an inbox are kept from all devices at most.
const DISCARDED_SLOTS: u16 = 4_096;

impl Slot {
    /// The slot of a message, if it has one. Two that are kept from all devices share theirs now and
    /// then, long before an inbox has as many.
    fn of(
        sender: Uuid,
        id: MessageId,
        conversation: ConversationId,
        collapse: Option<&String>,
        discarded: bool,
    ) -> Option<Self> {
        if !discarded {
            return Some(Self::Collapse(sender, conversation, collapse?.clone()));
        }
        let bytes = (sender.as_u128() ^ id.0.as_u128()).to_be_bytes();
        let folded = bytes.chunks_exact(2).fold(0_u16, |all, two| {
            all.rotate_left(5) ^ two.iter().fold(0, |word, byte| word << 8 | u16::from(*byte))
        });
        Some(Self::Discarded(folded % DISCARDED_SLOTS))
    }
}

impl Planner {
    fn submit(&mut self, submission: usize, accept: &Accept) -> Outcome {
        let key = (accept.id, accept.sender.uuid);
        if accept.part > 0 {
            return self.supplement(submission, accept);
        }
        if let Some(first) = self.known.accepted.get(&key) {
            return Outcome::Repeated(first.clone());
        }
        let mark = (accept.device, accept.conversation);
        if accept.prev.is_some() && self.known.marks.get(&mark) != accept.prev.as_ref() {
            return Outcome::Refused(Refusal::OutOfOrder);
        }
        let is_group = accept.side == 0;
        if !is_group && !accept.recipients.iter().all(|to| self.has_room(*to, accept.size)) {
            return Outcome::Refused(Refusal::QueueFull);
        }
        let state = self.known.conversations.entry(accept.conversation).or_default();
        if accept.after > state.highest {
            return Outcome::Refused(Refusal::AfterUnknown);
        }
        let stamp = Stamp::next(accept.now, accept.after, state.highest);
        state.highest = Some(stamp);
        state.last_number += 1;
        let is_first = accept.side & !state.spoken != 0;
        if !accept.discard && state.speaks(accept.side) {
            self.plan.acquainted.push(submission);
        }
        let origin_number = state.last_number;
        self.touched.conversations.push(accept.conversation);
        self.known.marks.insert(mark, accept.id);
        self.touched.marks.push(mark);

        if is_first {
            self.list(accept);
        }
        let message = self.plan.messages.len();
        self.plan.messages.push(NewMessage {
            submission,
            stamp,
            origin_number,
            at: accept.now,
            pointers: 0,
        });
        let slot = |discarded| {
            let (sender, collapse) = (accept.sender.uuid, accept.collapse.as_ref());
            Slot::of(sender, accept.id, accept.conversation, collapse, discarded)
        };
        let (seen, unseen) = (slot(false), slot(true));
        // Of a group, those who cannot be reached are passed over: the others shall hear.
        let reached = |planner: &Self, to: &Uuid| {
            let has_inbox = planner.known.inboxes.get(to).is_some_and(|head| head.stored);
            !is_group || (has_inbox && planner.has_room(*to, accept.size))
        };
        let recipients: Vec<Uuid> =
            accept.recipients.iter().copied().filter(|to| reached(self, to)).collect();
        let arrivals = recipients
            .into_iter()
            .map(|to| {
                let discarded = accept.discard && to != accept.sender.uuid;
                let slot = if discarded { &unseen } else { &seen };
                self.deliver((message, accept.size), slot.as_ref(), to)
            })
            .collect();
        for destination in 0..accept.destinations.len() {
            self.enqueue(message, accept, destination);
        }
        let mut accepted = Accepted {
            conversation: accept.conversation,
            stamp,
            origin_number,
            at: accept.now,
            arrivals: Vec::new(),
        };
        self.known.accepted.insert(key, accepted.clone());
        self.known.parts.entry(key).or_default().insert(0);
        accepted.arrivals = arrivals;
        Outcome::Accepted(accepted)
    }

    /// A supplement has the place of its message, and replaces nothing: what waits with its collapse
    /// key may be that message.
    fn supplement(&mut self, submission: usize, accept: &Accept) -> Outcome {
        let key = (accept.id, accept.sender.uuid);
        let known = self.known.accepted.get(&key);
        let known = known.filter(|known| known.conversation == accept.conversation).cloned();
        let Some(mut accepted) = known else {
            return Outcome::Refused(Refusal::NothingToSupplement);
        };
        let parts = self.known.parts.entry(key).or_default();
        if parts.last().is_none_or(|last| last.checked_add(1) != Some(accept.part)) {
            return Outcome::Refused(Refusal::Overtaken);
        }
        if !accept.recipients.iter().all(|to| self.has_room(*to, accept.size)) {
            return Outcome::Refused(Refusal::QueueFull);
        }
        self.known.parts.entry(key).or_default().insert(accept.part);
        let Accepted { stamp, origin_number, at, .. } = accepted;
        let message = self.plan.messages.len();
        self.plan.messages.push(NewMessage { submission, stamp, origin_number, at, pointers: 0 });
        let (sender, conversation) = (accept.sender.uuid, accept.conversation);
        let unseen = Slot::of(sender, accept.id, conversation, None, true);
        let deliver = |to: &Uuid| {
            let slot = unseen.as_ref().filter(|_| accept.discard && *to != sender);
            self.deliver((message, accept.size), slot, *to)
        };
        accepted.arrivals = accept.recipients.iter().map(deliver).collect();
        for destination in 0..accept.destinations.len() {
            self.enqueue(message, accept, destination);
        }
        Outcome::Accepted(accepted)
    }

    /// The conversation of a side that speaks for the first time goes on the lists of its accounts.
    fn list(&mut self, accept: &Accept) {
        let conversation = accept.conversation;
        self.plan.listed.push((accept.sender.uuid, conversation, accept.to.clone()));
        let others = accept.recipients.iter().filter(|to| **to != accept.sender.uuid);
        if !accept.discard {
            let of = accept.sender.to_string();
            self.plan.listed.extend(others.map(|to| (*to, conversation, of.clone())));
        }
    }

    /// Whether a message of `size` bytes fits into an inbox.
    fn has_room(&self, account: Uuid, size: u64) -> bool {
        let load = self.known.loads.get(&account).copied().unwrap_or_default();
        load.with(size).is_some()
    }

    /// A new entry for a message of `size` bytes; there is room for it. What is kept from all devices
    /// takes no room.
    fn deliver(
        &mut self,
        (message, size): (usize, u64),
        slot: Option<&Slot>,
        account: Uuid,
    ) -> Arrival {
        let head = self.known.inboxes.entry(account).or_default();
        let previous = Cursor(head.last);
        head.last += 1;
        let cursor = Cursor(head.last);
        self.touched.inboxes.push(account);
        if !matches!(slot, Some(Slot::Discarded(_))) {
            let load = self.known.loads.entry(account).or_default();
            *load = load.with(size).unwrap_or(*load);
        }
        let entry = self.plan.entries.len();
        self.plan.entries.push(NewEntry { account, cursor, message, slot: slot.cloned(), size });
        self.point(message, 1);
        if let Some(slot) = slot {
            let earlier = self.touched.collapsible.insert((account, slot.clone()), entry);
            if let Some(earlier) = earlier {
                self.withdraw(earlier);
            }
        }
        Arrival { account, previous, cursor }
    }

    /// An entry of this batch is replaced by a later one: it is never written.
    fn withdraw(&mut self, entry: usize) {
        if let Some(entry) = self.plan.entries.get_mut(entry) {
            let message = entry.message;
            if !entry.is_discarded() {
                let load = self.known.loads.entry(entry.account).or_default();
                *load = load.without(1, entry.size);
            }
            // Cursors start at 1: 0 marks the entry as withdrawn until `finish` drops it.
            entry.cursor = Cursor::START;
            self.point(message, -1);
        }
    }

    fn enqueue(&mut self, message: usize, accept: &Accept, destination: usize) {
        let Some(to) = accept.destinations.get(destination) else { return };
        let queue = (to.server.clone(), lane_of(accept.class));
        let head = self.known.outboxes.entry(queue.clone()).or_default();
        head.last += 1;
        self.plan.intents.push(NewIntent { message, destination, index: head.last });
        self.touched.outboxes.push(queue);
        self.point(message, 1);
    }

    fn point(&mut self, message: usize, by: i64) {
        if let Some(message) = self.plan.messages.get_mut(message) {
            message.pointers += by;
        }
    }

    fn finish(self) -> Plan {
        let Self { known, mut plan, touched } = self;
        plan.entries.retain(|entry| entry.cursor != Cursor::START);
        plan.conversations = last_states(touched.conversations, &known.conversations);
        plan.marks = last_states(touched.marks, &known.marks);
        plan.inboxes = last_states(touched.inboxes, &known.inboxes);
        plan.outboxes = last_states(touched.outboxes, &known.outboxes);
        plan
    }
}

fn last_states<K: Ord + std::hash::Hash, V: Copy>(
    mut keys: Vec<K>,
    states: &HashMap<K, V>,
) -> Vec<(K, V)> {
    keys.sort_unstable();
    keys.dedup();
    keys.into_iter().filter_map(|key| states.get(&key).copied().map(|state| (key, state))).collect()
}

#[cfg(test)]
mod tests;
