//! Time on the wire and the stamps that order a conversation.

use core::fmt;

use serde::{Deserialize, Serialize};

/// Milliseconds since 1970-01-01T00:00:00Z, without leap seconds. A plain number in JSON.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Timestamp(pub u64);

impl Timestamp {
    /// This time plus `millis`, without overflow.
    #[must_use]
    pub fn plus_millis(self, millis: u64) -> Self {
        Self(self.0.saturating_add(millis))
    }

    /// This time less `millis`, never before 1970.
    #[must_use]
    pub fn minus_millis(self, millis: u64) -> Self {
        Self(self.0.saturating_sub(millis))
    }
}

/// Reads the time. Loops and edges hold one; decisions take the [`Timestamp`] as an argument.
pub trait Clock: Send + Sync {
    /// The time now.
    fn now(&self) -> Timestamp;
}

/// A hybrid logical clock's reading: milliseconds in the upper 48 bits, a counter in the lower 16
/// (docs/spec/ordering.md). It orders the messages of a conversation in every region, without the
/// regions' clocks being in step. In JSON a string of digits, since it exceeds 2^53.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Stamp(pub u64);

impl Stamp {
    /// The first stamp of a millisecond.
    pub fn at(now: Timestamp) -> Self {
        Self(now.0.min((1 << 48) - 1) << 16)
    }

    /// The stamp of a message accepted at `now`: later than `after`, what its sender had seen, and
    /// than `highest`, the highest that this region knows in the conversation.
    #[must_use]
    pub fn next(now: Timestamp, after: Option<Self>, highest: Option<Self>) -> Self {
        let follow = |stamp: Option<Self>| stamp.map_or(0, |stamp| stamp.0.saturating_add(1));
        Self(Self::at(now).0.max(follow(after)).max(follow(highest)))
    }

    /// The milliseconds part.
    pub fn time(self) -> Timestamp {
        Timestamp(self.0 >> 16)
    }
}

impl fmt::Display for Stamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for Stamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.0 >> 16, self.0 & 0xffff)
    }
}

impl Stamp {
    /// Parses a string of digits, as in JSON.
    ///
    /// # Errors
    /// [`crate::id::IdError`] for anything else.
    pub fn parse(text: &str) -> Result<Self, crate::id::IdError> {
        let err = crate::id::IdError { what: "a stamp", why: "a string of digits is expected" };
        if !text.bytes().all(|b| b.is_ascii_digit()) {
            return Err(err);
        }
        text.parse().map(Self).map_err(|_| err)
    }
}

crate::id::text_id!(Stamp);

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Later than what the sender had seen and than everything known, whatever the clock says.
        #[test]
        fn a_stamp_follows_its_causes(now: u64, after: Option<u32>, highest: Option<u64>) {
            let after = after.map(|n| Stamp(u64::from(n)));
            let highest = highest.map(|n| Stamp(n >> 1));
            let next = Stamp::next(Timestamp(now), after, highest);
            prop_assert!(after.is_none_or(|after| next > after));
            prop_assert!(highest.is_none_or(|highest| next > highest));
            prop_assert!(next >= Stamp::at(Timestamp(now)));
        }

        #[test]
        fn text_round_trips(n: u64) {
            prop_assert_eq!(Stamp::parse(&Stamp(n).to_string()), Ok(Stamp(n)));
        }
    }
}
