//! How a check ends, and small matchers that end it.

use serde_json::Value;

/// Why a check did not pass.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// The server does something else than the specification says.
    #[error("{0}")]
    Differs(String),
    /// The server lacks a part that it may lack, and says so; the check says nothing.
    #[error("skipped: {0}")]
    Lacks(String),
    /// The server cannot be talked to.
    #[error("no answer: {0}")]
    Unreachable(String),
}

/// A check's end.
pub type Verdict<T = ()> = Result<T, Failure>;

/// A difference from the specification.
pub fn differs<T>(fact: impl Into<String>) -> Verdict<T> {
    Err(Failure::Differs(fact.into()))
}

/// The connection to the server failed.
pub fn unreachable(err: impl core::fmt::Display) -> Failure {
    Failure::Unreachable(err.to_string())
}

/// `got` must be `expected`.
///
/// # Errors
/// [`Failure::Differs`], with `what` and both values.
pub fn must_be<T: PartialEq + core::fmt::Debug>(what: &str, got: &T, expected: &T) -> Verdict {
    if got == expected { Ok(()) } else { differs(format!("{what} is {got:?}, not {expected:?}")) }
}

/// The text in the field `name` of an object.
///
/// # Errors
/// [`Failure::Differs`] if there is none.
pub fn text<'a>(value: &'a Value, name: &str) -> Verdict<&'a str> {
    match value.get(name).and_then(Value::as_str) {
        Some(text) => Ok(text),
        None => differs(format!("`{name}` is missing or no text in {}", short(value))),
    }
}

/// The non-negative integer in the field `name` of an object.
///
/// # Errors
/// [`Failure::Differs`] if there is none.
pub fn number(value: &Value, name: &str) -> Verdict<u64> {
    match value.get(name).and_then(Value::as_u64) {
        Some(number) => Ok(number),
        None => differs(format!("`{name}` is missing or no integer in {}", short(value))),
    }
}

/// The list in the field `name` of an object.
///
/// # Errors
/// [`Failure::Differs`] if there is none.
pub fn list<'a>(value: &'a Value, name: &str) -> Verdict<&'a [Value]> {
    match value.get(name).and_then(Value::as_array) {
        Some(list) => Ok(list),
        None => differs(format!("`{name}` is missing or no list in {}", short(value))),
    }
}

/// A stamp: digits in a string.
///
/// # Errors
/// [`Failure::Differs`] if the field holds none.
pub fn stamp(value: &Value, name: &str) -> Verdict<u64> {
    let digits = text(value, name)?;
    match crate::stamps::parse(digits) {
        Some(stamp) => Ok(stamp),
        None => differs(format!("`{name}` is no stamp: {digits:?}")),
    }
}

/// The beginning of a value's text, for messages.
pub fn short(value: &Value) -> String {
    let text = value.to_string();
    match text.char_indices().nth(300) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
        None => text,
    }
}
