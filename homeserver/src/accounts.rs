//! Accounts: registering, logging in, sessions and their tokens, second factors, deletion, finding
//! users.

pub(crate) mod codes;
mod directory;
mod eraser;
mod guesses;
mod issue;
mod linked;
mod passwords;
mod pins;
mod rules;
mod security;
mod service;
mod sign_in;
mod tokens;
mod totp;

pub use directory::Directory;
pub(crate) use eraser::Eraser;
pub use guesses::Guesses;
pub use passwords::Passwords;
pub use service::{AccountsService, Registration};
pub(crate) use sign_in::check_device_name;
pub use tokens::Tokens;
pub(crate) use tokens::{new_refresh as new_secret, refresh_hash as secret_hash};

use posthouse_protocol::problem::{Code, Rejection};
use posthouse_storage::error::StoreError;

/// What a client is told when the store fails; the log has the facts.
pub(crate) fn store_failed(err: &StoreError) -> Rejection {
    if let StoreError::Unavailable(_) = err {
        tracing::warn!(error = %err, "the store is not available");
        Rejection::new(Code::Unavailable, "the store is not available now; try again")
            .retry_after(1)
    } else {
        tracing::error!(error = %err, "the store failed");
        Rejection::new(Code::Internal, "the server failed; its log has more")
    }
}
