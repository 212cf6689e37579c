//! Identifiers (identifiers.md), written from the specification.

use sha2::{Digest as _, Sha256};

/// What an address names (§4), with the full form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Address {
    /// An account.
    Account(String),
    /// A group.
    Group(String),
    /// A handle.
    Handle(String),
}

/// Whether a text is a UUID in the one accepted spelling (§1).
pub fn is_uuid(text: &str) -> bool {
    text.len() == 36
        && text.bytes().enumerate().all(|(place, byte)| match place {
            8 | 13 | 18 | 23 => byte == b'-',
            _ => matches!(byte, b'0'..=b'9' | b'a'..=b'f'),
        })
}

/// Whether a text is a server name (§2).
pub fn is_server_name(text: &str) -> bool {
    let labels: Vec<_> = text.split('.').collect();
    let digits = |label: &&str| label.bytes().all(|byte| byte.is_ascii_digit());
    let well_formed = |label: &&str| {
        (1..=63).contains(&label.len())
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-'))
    };
    text.len() <= 253
        && labels.len() >= 2
        && labels.iter().all(well_formed)
        && !labels.iter().all(digits)
}

/// Whether a text is the name part of a handle (§3).
pub fn is_handle_name(text: &str) -> bool {
    let allowed = |byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'.' | b'_' | b'-');
    let edge = |byte: Option<u8>| byte.is_some_and(|byte| byte.is_ascii_alphanumeric());
    (1..=32).contains(&text.len())
        && text.bytes().all(allowed)
        && edge(text.bytes().next())
        && edge(text.bytes().last())
        && !text.starts_with("g.")
        && !(text.len() == 32 && text.bytes().all(|byte| byte.is_ascii_hexdigit()))
}

/// Reads an address; `own` is the region that a bare form means (§4).
pub fn address(text: &str, own: &str) -> Option<Address> {
    let (local, server) = text.split_once('@').unwrap_or((text, own));
    if !is_server_name(server) {
        return None;
    }
    let full = format!("{local}@{server}");
    match local.strip_prefix("g.") {
        Some(uuid) => is_uuid(uuid).then_some(Address::Group(full)),
        None if is_uuid(local) => Some(Address::Account(full)),
        None => is_handle_name(local).then_some(Address::Handle(full)),
    }
}

/// The conversation of two accounts, in their full form (§6).
pub fn direct_conversation(one: &str, other: &str) -> String {
    let (low, high) = if one <= other { (one, other) } else { (other, one) };
    first_half(&["posthouse conversation direct v1", low, high])
}

/// The conversation of a group, in its full form (§6).
pub fn group_conversation(group: &str) -> String {
    first_half(&["posthouse conversation group v1", group])
}

fn first_half(parts: &[&str]) -> String {
    let hash: [u8; 32] = Sha256::digest(parts.join("\0")).into();
    let (half, _) = hash.split_at(16);
    let number = half.iter().fold(0, |number, byte| number << 8 | u128::from(*byte));
    format!("{number:032x}")
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    fn vectors(text: &str) -> Value {
        serde_json::from_str(text).unwrap()
    }

    fn cases<'a>(vectors: &'a Value, name: &str) -> &'a [Value] {
        let cases = vectors[name].as_array().unwrap();
        assert!(!cases.is_empty());
        cases
    }

    #[test]
    fn the_vectors_of_identifiers_hold() {
        let vectors = vectors(include_str!("../../docs/spec/vectors/identifiers.json"));
        for case in cases(&vectors, "server_names") {
            let got = is_server_name(case["text"].as_str().unwrap());
            assert_eq!(got, case["valid"].as_bool().unwrap(), "{case}");
        }
        for case in cases(&vectors, "message_ids") {
            let got = is_uuid(case["text"].as_str().unwrap());
            assert_eq!(got, case["valid"].as_bool().unwrap(), "{case}");
        }
        let own = vectors["own_server"].as_str().unwrap();
        for case in cases(&vectors, "addresses") {
            let (kind, means) = match address(case["text"].as_str().unwrap(), own) {
                Some(Address::Account(full)) => (Some("account"), Some(full)),
                Some(Address::Group(full)) => (Some("group"), Some(full)),
                Some(Address::Handle(full)) => (Some("handle"), Some(full)),
                None => (None, None),
            };
            assert_eq!(kind, case["kind"].as_str(), "{case}");
            assert_eq!(means.as_deref(), case["means"].as_str(), "{case}");
        }
    }

    #[test]
    fn the_vectors_of_conversations_hold() {
        let vectors = vectors(include_str!("../../docs/spec/vectors/conversations.json"));
        for case in cases(&vectors, "direct") {
            let [one, other] = [0, 1].map(|at| case["accounts"][at].as_str().unwrap());
            assert_eq!(direct_conversation(one, other), case["conversation_id"], "{case}");
        }
        for case in cases(&vectors, "groups") {
            let group = case["group"].as_str().unwrap();
            assert_eq!(group_conversation(group), case["conversation_id"], "{case}");
        }
    }
}
