//! Points in time, as the caller's clock gives them.

/// Milliseconds since 1970-01-01T00:00:00Z.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct UnixMillis(pub u64);

impl UnixMillis {
    /// How many milliseconds have passed since `earlier`; 0 if it lies ahead.
    pub fn since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}

/// A day, in milliseconds.
pub(crate) const DAY: u64 = 24 * 60 * 60 * 1000;
