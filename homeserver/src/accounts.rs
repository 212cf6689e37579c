//! Accounts: registering, logging in, sessions and their tokens, finding users.

mod directory;
mod passwords;
mod service;
mod tokens;

pub use directory::Directory;
pub use passwords::Passwords;
pub(crate) use service::check_device_name;
pub use service::{AccountsService, Registration};
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
