//! Cursors: places in an account's inbox.

use core::fmt;

use crate::{
    id::{IdError, text_id},
    time::Timestamp,
};

/// A place in an account's inbox: the arrival number of its last entry that lies before. The same
/// for all devices of the account; it increases and may have holes. On the wire it is an opaque
/// text that starts with `c`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Cursor(pub u64);

impl Cursor {
    /// Before every entry.
    pub const START: Self = Self(0);

    /// Parses a cursor that this server gave out.
    ///
    /// # Errors
    /// [`IdError`] for anything else.
    pub fn parse(text: &str) -> Result<Self, IdError> {
        let err =
            IdError { what: "a cursor", why: "a cursor given out by this server is expected" };
        let digits = text.strip_prefix('c').ok_or(err)?;
        let plain = digits.bytes().all(|b| b.is_ascii_digit());
        if !plain || digits.len() > 20 {
            return Err(err);
        }
        digits.parse().map(Self).map_err(|_| err)
    }
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "c{}", self.0)
    }
}

impl fmt::Debug for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

text_id!(Cursor);

/// Where a synchronisation starts: a cursor, or a time for clients that keep none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Since {
    /// After this cursor.
    Cursor(Cursor),
    /// From the first entry that arrived at or after this time.
    Time(Timestamp),
}

impl Since {
    /// Parses `since`: digits only are milliseconds, anything else must be a cursor.
    ///
    /// # Errors
    /// [`IdError`] if it is neither.
    pub fn parse(text: &str) -> Result<Self, IdError> {
        if !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()) {
            let err = IdError { what: "a time", why: "milliseconds since 1970 are expected" };
            return text.parse().map(|ms| Self::Time(Timestamp(ms))).map_err(|_| err);
        }
        Cursor::parse(text).map(Self::Cursor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tells_cursors_from_times() {
        assert_eq!(Since::parse("c17"), Ok(Since::Cursor(Cursor(17))));
        assert_eq!(Since::parse("1705234567890"), Ok(Since::Time(Timestamp(1_705_234_567_890))));
        for bad in ["", "c", "c-1", "c+1", "17c", "c99999999999999999999", "99999999999999999999"] {
            assert!(Since::parse(bad).is_err(), "{bad}");
        }
    }
}
