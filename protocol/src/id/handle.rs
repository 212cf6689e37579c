//! Handles: the names people give each other.

use core::fmt;

use super::{IdError, ServerName, text_id};

/// The local part of a handle: 1 to 32 bytes of `a-z 0-9 . _ -`, starting and ending with a letter
/// or digit, never with the form of a UUID and never starting with `g.` (a group id does).
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct HandleName(Box<str>);

impl HandleName {
    /// Longest name, in bytes.
    pub const MAX_LEN: usize = 32;

    /// Parses a name.
    ///
    /// # Errors
    /// [`IdError`] with the rule that `text` breaks.
    pub fn parse(text: &str) -> Result<Self, IdError> {
        let what = "a handle";
        let err = |why| Err(IdError { what, why });
        if text.is_empty() || text.len() > Self::MAX_LEN {
            return err("1 to 32 characters are expected");
        }
        if !text.bytes().all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'.' | b'_' | b'-')) {
            return err("only a-z, 0-9, '.', '_' and '-' are allowed");
        }
        let edge = |b: Option<u8>| b.is_some_and(|b| b.is_ascii_alphanumeric());
        if !edge(text.bytes().next()) || !edge(text.bytes().next_back()) {
            return err("it starts and ends with a letter or a digit");
        }
        if text.starts_with("g.") {
            return err("'g.' is how a group id starts");
        }
        if uuid::Uuid::try_parse(text).is_ok() {
            return err("it looks like an account id");
        }
        Ok(Self(text.into()))
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for HandleName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for HandleName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

text_id!(HandleName);

/// A handle with its region: `alice@eu.example`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Handle {
    /// The local part.
    pub name: HandleName,
    /// The region that resolves it.
    pub server: ServerName,
}

impl fmt::Display for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.name, self.server)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accepts_names_and_refuses_the_rest() {
        for good in ["alice", "a", "a.b-c_d", "0cool", "x".repeat(32).as_str()] {
            assert_eq!(HandleName::parse(good).unwrap().as_str(), good);
        }
        let uuid = "01890a5d-ac96-774b-bcce-b302099a8057";
        for bad in ["", "Alice", ".a", "a-", "g.x", "ä", "a b", uuid, "x".repeat(33).as_str()] {
            assert!(HandleName::parse(bad).is_err(), "{bad}");
        }
    }
}
