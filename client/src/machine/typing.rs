//! Who types. A notice ends with its time, whatever becomes of the one that takes it back: both are
//! told to those who are connected, and may be lost.

use posthouse_protocol::{
    id::{AccountId, GroupId},
    limits::TYPING_SECONDS,
    time::Timestamp,
};

use super::{Machine, Step};
use crate::Update;

/// Notices that hold at once; what is beyond is not shown.
const MAX_TYPING: usize = 1_000;

/// Where somebody types, to this account alone if it is no group, and who.
pub(super) type Place = (Option<GroupId>, AccountId);

impl Machine {
    /// When the next notice ends.
    pub(super) fn typing_due(&self) -> Option<Timestamp> {
        self.typing.values().min().copied()
    }
}

impl Step<'_> {
    /// Somebody says that they type, or that they have stopped.
    pub(super) fn on_typing(&mut self, place: Place, started: bool) {
        if !started {
            self.stopped_typing(&place);
            return;
        }
        let typing = &mut self.machine.typing;
        if typing.len() >= MAX_TYPING && !typing.contains_key(&place) {
            return;
        }
        typing.insert(place.clone(), self.now.plus_millis(TYPING_SECONDS * 1_000));
        self.pass_typing(place, true);
    }

    /// Somebody has stopped: they say so, or what they have typed is there.
    pub(super) fn stopped_typing(&mut self, place: &Place) {
        if let Some((place, _)) = self.machine.typing.remove_entry(place) {
            self.pass_typing(place, false);
        }
    }

    /// Ends the notices whose time is over.
    pub(super) fn end_typing(&mut self) {
        let now = self.now;
        let is_over = |(place, until): (&Place, &Timestamp)| (*until <= now).then(|| place.clone());
        let over: Vec<Place> = self.machine.typing.iter().filter_map(is_over).collect();
        for place in over {
            self.stopped_typing(&place);
        }
    }

    fn pass_typing(&mut self, (group, user): Place, typing: bool) {
        self.out.passing.push(match group {
            Some(group) => Update::TypingInGroup { group, user, typing },
            None => Update::Typing { user, typing },
        });
    }
}
