//! What an account asks for besides its password: one-time passwords (RFC 6238), recovery codes,
//! and the PIN for linking a device.

use async_trait::async_trait;
use posthouse_protocol::time::Timestamp;
use uuid::Uuid;
use zeroize::Zeroizing;

use crate::{accounts::PasswordHash, backoff::Backoff, error::StoreError};

/// Length of the secret of one-time passwords, in bytes (RFC 4226 §4 recommends 160 bits).
pub const TOTP_SECRET: usize = 20;

/// SHA-256 of a recovery code. A code has 80 random bits: a plain hash is enough.
pub type RecoveryHash = [u8; 32];

/// The secret that an account shares with its person's authenticator.
#[derive(Clone, PartialEq, Eq)]
pub struct Totp {
    /// The secret.
    pub secret: Zeroizing<[u8; TOTP_SECRET]>,
    /// Whether it is asked for at log-in: a first code has shown that the authenticator has it.
    pub active: bool,
    /// The newest time step whose code was used; 0 for none.
    pub last_step: u64,
}

/// What an account has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Protection {
    /// Whether one-time passwords are asked for.
    pub totp: bool,
    /// Recovery codes that were not used.
    pub recovery_codes: u32,
    /// Whether linking a device needs a PIN.
    pub pin: bool,
}

/// Whether a PIN may be tried now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PinTry {
    /// The account has no PIN.
    NoPin,
    /// It may be tried at this time.
    Wait(Timestamp),
    /// It may, and the try is counted as a failure until [`Factors::pin_was_right`].
    Allowed(PasswordHash),
}

/// Second factors. Every method is atomic: what is used once is used by one of many callers.
#[async_trait]
pub trait Factors: Send + Sync {
    /// What the account has.
    async fn protection(&self, account: Uuid) -> Result<Protection, StoreError>;

    /// The account's one-time passwords; `None` if it has none, not even one being set up.
    async fn totp(&self, account: Uuid) -> Result<Option<Totp>, StoreError>;

    /// Begins to set one-time passwords up, in place of an earlier beginning. `false` if they are
    /// active already.
    async fn enrol_totp(
        &self,
        account: Uuid,
        secret: &[u8; TOTP_SECRET],
    ) -> Result<bool, StoreError>;

    /// Makes the one-time passwords with this secret active, with a first used step and with
    /// recovery codes in place of all earlier ones. `false` if it is not what is being set up.
    async fn activate_totp(
        &self,
        account: Uuid,
        secret: &[u8; TOTP_SECRET],
        step: u64,
        codes: &[RecoveryHash],
    ) -> Result<bool, StoreError>;

    /// Uses the code of a time step up, and with it those of all earlier steps. `false` if it is
    /// used already.
    async fn use_totp_step(&self, account: Uuid, step: u64) -> Result<bool, StoreError>;

    /// Removes one-time passwords and recovery codes.
    async fn remove_totp(&self, account: Uuid) -> Result<(), StoreError>;

    /// Puts these recovery codes in the place of all that the account has.
    async fn replace_recovery_codes(
        &self,
        account: Uuid,
        codes: &[RecoveryHash],
    ) -> Result<(), StoreError>;

    /// Uses a recovery code up. `false` if the account has no such code.
    async fn use_recovery_code(
        &self,
        account: Uuid,
        code: &RecoveryHash,
    ) -> Result<bool, StoreError>;

    /// Sets the PIN; counts afresh.
    async fn set_pin(&self, account: Uuid, hash: &PasswordHash) -> Result<(), StoreError>;

    /// Removes the PIN.
    async fn remove_pin(&self, account: Uuid) -> Result<(), StoreError>;

    /// Counts a try of the PIN, before it is compared: neither many tries at once nor a crash get
    /// one for nothing.
    async fn try_pin(
        &self,
        account: Uuid,
        backoff: &Backoff,
        now: Timestamp,
    ) -> Result<PinTry, StoreError>;

    /// The PIN of the last try was the right one: counts afresh.
    async fn pin_was_right(&self, account: Uuid) -> Result<(), StoreError>;
}
