//! The device-link PIN: a second thing that somebody who got hold of a device would have to know.

use async_trait::async_trait;
use posthouse_protocol::{problem::Rejection, rest::Secret};
use uuid::Uuid;

/// Checks the PIN of an account that lets a device in.
#[async_trait]
pub trait LinkPin: Send + Sync {
    /// `Ok` if the account has no PIN, or if it is `pin`.
    async fn check(&self, account: Uuid, pin: Option<&Secret>) -> Result<(), Rejection>;
}

/// Accounts without PINs.
#[derive(Debug, Clone, Copy)]
pub struct NoPin;

#[async_trait]
impl LinkPin for NoPin {
    async fn check(&self, _: Uuid, _: Option<&Secret>) -> Result<(), Rejection> {
        Ok(())
    }
}
