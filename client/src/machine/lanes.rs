//! What waits to be taken by the homeserver, one lane for each conversation.
//!
//! Messages of a lane are taken in their order: each names the one before it (`prev`), so that
//! none overtakes one that was refused. Lanes do not wait for each other.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};

use posthouse_protocol::{
    id::{AccountId, ConversationId, MessageId},
    time::Timestamp,
};

use crate::records::{Queued, With};

/// Messages that are on the socket without an answer, at most. The server takes 256.
pub(super) const MAX_IN_FLIGHT: usize = 64;

/// All lanes that hold something.
#[derive(Default)]
pub(super) struct Lanes {
    all: BTreeMap<ConversationId, Lane>,
    /// Which lane a message is in.
    by_id: HashMap<MessageId, ConversationId>,
    flying: usize,
    pub(super) next_number: u64,
}

/// A conversation's messages that the homeserver has not taken.
pub(super) struct Lane {
    pub(super) to: With,
    pub(super) items: VecDeque<Item>,
    pub(super) hold: Option<Hold>,
    /// Of a group: the members about whom an answer is awaited.
    pub(super) needs: BTreeSet<AccountId>,
    /// Refusals in a row, for the pause after them.
    pub(super) refused: u32,
    /// Devices that the homeserver misses a ciphertext for.
    pub(super) suspects: Vec<u8>,
    /// Whether the next one leaves out `prev` or `after`, which were refused.
    pub(super) without_prev: bool,
    pub(super) without_after: bool,
}

#[derive(Clone, Copy)]
pub(super) struct Item {
    pub(super) number: u64,
    pub(super) id: MessageId,
    pub(super) flying: bool,
}

/// Why a lane does not move.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Hold {
    /// Until an answer to a call comes.
    Answer,
    /// Until the person has accepted a changed key.
    Person,
    /// Until then.
    Until(Timestamp),
}

impl Lanes {
    /// Adds what was written to the queue under this number.
    pub(super) fn push(&mut self, conversation: ConversationId, number: u64, queued: &Queued) {
        self.next_number = self.next_number.max(number + 1);
        self.by_id.insert(queued.id, conversation);
        let lane = self.all.entry(conversation).or_insert_with(|| Lane {
            to: queued.to.clone(),
            items: VecDeque::new(),
            hold: None,
            needs: BTreeSet::new(),
            refused: 0,
            suspects: Vec::new(),
            without_prev: false,
            without_after: false,
        });
        lane.items.push_back(Item { number, id: queued.id, flying: false });
    }

    /// Puts messages in at a place. Their numbers, and how those behind it are numbered anew, so
    /// that the order of the numbers is that of the lane.
    pub(super) fn insert(
        &mut self,
        conversation: ConversationId,
        at: usize,
        ids: &[MessageId],
    ) -> (Vec<u64>, Vec<(u64, u64)>) {
        let (mut inserted, mut moved) = (Vec::new(), Vec::new());
        let Some(lane) = self.all.get_mut(&conversation) else { return (inserted, moved) };
        if ids.is_empty() {
            return (inserted, moved);
        }
        let behind = lane.items.split_off(at.min(lane.items.len()));
        for id in ids {
            let number = self.next_number;
            self.next_number += 1;
            self.by_id.insert(*id, conversation);
            lane.items.push_back(Item { number, id: *id, flying: false });
            inserted.push(number);
        }
        for item in behind {
            let number = self.next_number;
            self.next_number += 1;
            moved.push((item.number, number));
            lane.items.push_back(Item { number, ..item });
        }
        (inserted, moved)
    }

    /// Takes a message out: it was taken, or will never be. Its number in the queue.
    pub(super) fn remove(&mut self, id: MessageId) -> Option<u64> {
        let conversation = self.by_id.remove(&id)?;
        let lane = self.all.get_mut(&conversation)?;
        let at = lane.items.iter().position(|item| item.id == id)?;
        let item = lane.items.remove(at)?;
        self.flying -= usize::from(item.flying);
        if lane.items.is_empty() {
            self.all.remove(&conversation);
        }
        Some(item.number)
    }

    pub(super) fn lane_of(&mut self, id: MessageId) -> Option<(ConversationId, &mut Lane)> {
        let conversation = *self.by_id.get(&id)?;
        self.all.get_mut(&conversation).map(|lane| (conversation, lane))
    }

    pub(super) fn get(&mut self, conversation: ConversationId) -> Option<&mut Lane> {
        self.all.get_mut(&conversation)
    }

    /// Whether a lane may move.
    pub(super) fn is_ready(&self, conversation: ConversationId) -> bool {
        let lane = self.all.get(&conversation);
        lane.is_some_and(|lane| lane.hold.is_none() && lane.items.iter().any(|i| !i.flying))
    }

    /// Lanes that may move.
    pub(super) fn ready(&self) -> Vec<ConversationId> {
        let ready = |lane: &Lane| lane.hold.is_none() && lane.items.iter().any(|i| !i.flying);
        self.all.iter().filter(|(_, lane)| ready(lane)).map(|(id, _)| *id).collect()
    }

    /// Lanes whose next message needs the devices of this account: its own, or all of them if it
    /// is the own account.
    pub(super) fn waiting_for(&mut self, user: &AccountId, own: bool) -> Vec<&mut Lane> {
        let waits = |lane: &&mut Lane| match lane.to.person() {
            Some(person) => own || person == user,
            None => lane.needs.contains(user),
        };
        self.all.values_mut().filter(waits).collect()
    }

    pub(super) fn may_fly(&self) -> bool {
        self.flying < MAX_IN_FLIGHT
    }

    pub(super) fn take_off(&mut self, conversation: ConversationId, at: usize) {
        if let Some(item) = self.all.get_mut(&conversation).and_then(|l| l.items.get_mut(at)) {
            self.flying += usize::from(!item.flying);
            item.flying = true;
        }
    }

    /// This message is not on the socket any more: it was refused.
    pub(super) fn land(&mut self, id: MessageId) {
        let conversation = self.by_id.get(&id);
        let lane = conversation.and_then(|conversation| self.all.get_mut(conversation));
        if let Some(item) = lane.and_then(|lane| lane.items.iter_mut().find(|i| i.id == id)) {
            self.flying -= usize::from(item.flying);
            item.flying = false;
        }
    }

    /// Nothing is on the socket any more.
    pub(super) fn ground(&mut self) {
        self.flying = 0;
        for lane in self.all.values_mut() {
            lane.items.iter_mut().for_each(|item| item.flying = false);
        }
    }

    /// The earliest time that a lane waits for.
    pub(super) fn due(&self) -> Option<Timestamp> {
        let until = |lane: &Lane| match lane.hold {
            Some(Hold::Until(at)) => Some(at),
            _ => None,
        };
        self.all.values().filter_map(until).min()
    }

    /// Lets lanes go whose time has come.
    pub(super) fn release(&mut self, now: Timestamp) {
        for lane in self.all.values_mut() {
            if matches!(lane.hold, Some(Hold::Until(at)) if at <= now) {
                lane.hold = None;
            }
        }
    }
}
