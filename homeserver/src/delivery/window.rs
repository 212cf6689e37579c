//! What a device has been sent and has acknowledged: pure, so that it can be proved.
//!
//! Entries leave in the order of their cursors. The device's position moves over a contiguous
//! acknowledged prefix only. Entries other than messages need no acknowledgement: the position
//! passes them when a later message is acknowledged, or by `through`.

use std::collections::{HashMap, VecDeque};

use posthouse_protocol::{
    cursor::Cursor,
    id::{AccountId, ConversationId, MessageId},
    limits,
};
use posthouse_storage::inbox::StoredMessage;

/// What is remembered of a message in flight.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Flying {
    pub(super) id: MessageId,
    pub(super) sender: AccountId,
    pub(super) conversation: ConversationId,
    pub(super) origin_number: u64,
    /// Whether it went to a group: its readers are counted, not told one by one.
    pub(super) is_group: bool,
}

impl From<&StoredMessage> for Flying {
    fn from(message: &StoredMessage) -> Self {
        Self {
            id: message.id,
            sender: message.sender.clone(),
            conversation: message.conversation,
            origin_number: message.origin_number,
            is_group: message.to.starts_with("g."),
        }
    }
}

#[derive(Debug)]
struct Slot {
    cursor: Cursor,
    message: Flying,
    state: State,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Sent, not yet acknowledged.
    Waiting,
    /// Acknowledged.
    Acknowledged,
    /// Not for this device, or expired: passed over, and never counted as seen.
    Skipped,
}

/// Most skipped messages that are remembered before the first one in flight. Nothing that the device
/// acknowledges would make room for them, so that more must not fill the window: the oldest are
/// forgotten. A watermark names 64 exceptions at most.
const MAX_SKIPPED: usize = 512;

/// Ids that are looked for one by one; for more, an index is made first.
const FEW_IDS: usize = 4;

/// The window of one connection.
#[derive(Debug)]
pub(super) struct Window {
    sent: Cursor,
    position: Cursor,
    slots: VecDeque<Slot>,
    waiting: usize,
}

/// What an acknowledgement brought about.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Progressed {
    /// Messages acknowledged now for the first time on this connection.
    pub(super) newly: Vec<Flying>,
    /// Messages that the position has passed now, with whether they were seen.
    pub(super) passed: Vec<(Flying, bool)>,
    /// The new position, if it moved.
    pub(super) position: Option<Cursor>,
    /// Ids that are not in flight: acknowledged before, or never sent here.
    pub(super) unknown: Vec<MessageId>,
}

impl Window {
    /// A window of a device that has acknowledged everything up to `position`.
    pub(super) fn new(position: Cursor) -> Self {
        Self { sent: position, position, slots: VecDeque::new(), waiting: 0 }
    }

    /// The last entry that was sent or passed over.
    pub(super) fn sent(&self) -> Cursor {
        self.sent
    }

    /// How many more messages may be sent before the device acknowledges.
    pub(super) fn room(&self) -> usize {
        // Behind a message in flight, what is skipped or acknowledged out of order takes little
        // room, but must not grow without bound.
        limits::WINDOW.saturating_sub(self.waiting.max(self.slots.len() / 8))
    }

    /// A message was sent.
    pub(super) fn send(&mut self, cursor: Cursor, message: Flying) {
        self.waiting += 1;
        self.push(cursor, message, State::Waiting);
    }

    /// A message was passed over.
    pub(super) fn skip(&mut self, cursor: Cursor, message: Flying) {
        self.push(cursor, message, State::Skipped);
        self.forget_skipped();
    }

    /// Everything up to `cursor` was sent, passed over, or does not exist any more.
    pub(super) fn advance(&mut self, cursor: Cursor) {
        self.sent = self.sent.max(cursor);
    }

    /// The device holds these messages. `from` tells whose they are, if the client says.
    pub(super) fn acknowledge(
        &mut self,
        ids: &[MessageId],
        from: Option<&AccountId>,
    ) -> Progressed {
        let mut progressed = Progressed::default();
        let is_from = |slot: &Slot| from.is_none_or(|from| slot.message.sender == *from);
        let mut index = HashMap::new();
        if ids.len() > FEW_IDS {
            let slots = self.slots.iter().enumerate().filter(|(_, slot)| is_from(slot));
            for (at, slot) in slots {
                index.entry(slot.message.id).or_insert(at);
            }
        }
        for id in ids {
            let found = if ids.len() > FEW_IDS {
                index.get(id).copied()
            } else {
                self.slots.iter().position(|slot| slot.message.id == *id && is_from(slot))
            };
            match found.and_then(|at| self.slots.get_mut(at)) {
                Some(slot) if slot.state == State::Waiting => {
                    slot.state = State::Acknowledged;
                    self.waiting -= 1;
                    progressed.newly.push(slot.message.clone());
                }
                Some(_) => {}
                None => progressed.unknown.push(*id),
            }
        }
        self.settle(&mut progressed, None);
        progressed
    }

    /// The device holds every entry up to `through`; what was not sent yet stays unacknowledged.
    pub(super) fn acknowledge_through(&mut self, through: Cursor) -> Progressed {
        let through = through.min(self.sent);
        let mut progressed = Progressed::default();
        for slot in self.slots.iter_mut().take_while(|slot| slot.cursor <= through) {
            if slot.state == State::Waiting {
                slot.state = State::Acknowledged;
                self.waiting -= 1;
                progressed.newly.push(slot.message.clone());
            }
        }
        self.settle(&mut progressed, Some(through));
        progressed
    }

    fn push(&mut self, cursor: Cursor, message: Flying, state: State) {
        self.slots.push_back(Slot { cursor, message, state });
        self.advance(cursor);
    }

    /// Moves the position over the contiguous acknowledged prefix, and at least to `through`.
    fn settle(&mut self, progressed: &mut Progressed, through: Option<Cursor>) {
        let end = self.slots.iter().position(|slot| slot.state == State::Waiting);
        let mut prefix = self.slots.iter().take(end.unwrap_or(self.slots.len()));
        let last = prefix.rfind(|slot| slot.state == State::Acknowledged);
        let acknowledged = last.map(|slot| slot.cursor);
        let Some(reached) = acknowledged.max(through) else { return };
        if reached <= self.position {
            return;
        }
        self.position = reached;
        progressed.position = Some(reached);
        // What is skipped up to there is passed with it: after a reconnection nobody would remember
        // it, and the next watermark would take it for seen.
        while let Some(slot) = self.slots.pop_front_if(|slot| slot.cursor <= reached) {
            progressed.passed.push((slot.message, slot.state == State::Acknowledged));
        }
        self.forget_skipped();
    }

    /// Forgets the oldest of many skipped messages at the front. The position stays: what was told
    /// between them may not have arrived.
    fn forget_skipped(&mut self) {
        let skipped = self.slots.iter().take_while(|slot| slot.state == State::Skipped).count();
        self.slots.drain(..skipped.saturating_sub(MAX_SKIPPED));
    }
}

#[cfg(test)]
mod tests;
