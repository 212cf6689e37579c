//! What a peer is told whose signature cannot be checked.

use posthouse_protocol::{
    federation::refusal::{Refusal, RefusalCode},
    id::ServerName,
};

use crate::ports::KeysError;

/// When a peer may come again whose keys could not be fetched, in seconds: it is not asked for them
/// more often.
const ASK_EVERY: u32 = 10;

/// The refusal of whatever `origin` has signed. What is wrong with the peer's own keys is told in
/// full. Why it could not be reached stays in the log: with an address of its choice, the answer would
/// tell what is open in this network.
pub(crate) fn without_keys(origin: &ServerName, err: &KeysError) -> Refusal {
    tracing::warn!(peer = %origin, error = %err, "what a peer sent cannot be checked without its keys");
    let (code, detail, retry_after) = match err {
        KeysError::NotBelieved(_) | KeysError::Unreadable(_) | KeysError::Expired => {
            (RefusalCode::UnknownKey, err.to_string(), None)
        }
        KeysError::Store(_) => (RefusalCode::Overloaded, "try again later".to_owned(), Some(1)),
        KeysError::Unreachable(_) | KeysError::NoSuchName => {
            let detail = format!("the document of {origin} cannot be fetched from here now");
            (RefusalCode::Overloaded, detail, Some(ASK_EVERY))
        }
    };
    let mut refusal = Refusal::new(code, detail);
    refusal.retry_after = retry_after;
    refusal
}
