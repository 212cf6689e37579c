//! Names of servers.

use core::fmt;
use std::sync::Arc;

use super::{IdError, text_id};

/// A region's name: a lowercase DNS name in its ASCII form (RFC 1123 letters, digits, hyphens;
/// internationalised names as A-labels, RFC 5890), at least two labels, at most 253 bytes.
/// Cheap to clone.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ServerName(Arc<str>);

impl ServerName {
    /// Parses a name.
    ///
    /// # Errors
    /// [`IdError`] with the rule that `text` breaks.
    pub fn parse(text: &str) -> Result<Self, IdError> {
        let err = |why| Err(IdError { what: "a server name", why });
        if text.is_empty() || text.len() > 253 {
            return err("1 to 253 bytes are expected");
        }
        if !text.contains('.') {
            return err("at least two labels are expected, such as eu.example");
        }
        if text.split('.').all(|label| label.bytes().all(|b| b.is_ascii_digit())) {
            return err("an IP address is no name");
        }
        for label in text.split('.') {
            if label.is_empty() || label.len() > 63 {
                return err("each label has 1 to 63 bytes");
            }
            if label.starts_with('-') || label.ends_with('-') {
                return err("a label neither starts nor ends with a hyphen");
            }
            if !label.bytes().all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'-')) {
                return err("only lowercase letters, digits and hyphens are allowed");
            }
        }
        Ok(Self(text.into()))
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ServerName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for ServerName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

text_id!(ServerName);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accepts_names_and_refuses_the_rest() {
        for good in ["eu.example", "a.b", "xn--bcher-kva.example", "1.eu.example"] {
            assert_eq!(ServerName::parse(good).unwrap().as_str(), good);
        }
        let long = "a".repeat(64);
        for bad in [
            "",
            "localhost",
            "EU.example",
            "eu..example",
            ".eu",
            "eu.",
            "-a.b",
            "a-.b",
            "a_b.c",
            "127.0.0.1",
        ]
        .into_iter()
        .chain([format!("{long}.example").as_str()])
        {
            assert!(ServerName::parse(bad).is_err(), "{bad}");
        }
    }
}
