//! What protects an account, and its end.

use async_trait::async_trait;
use posthouse_protocol::{
    problem::Rejection,
    rest::{
        AccountSecurity, ChangePassword, ConfirmTotp, Confirmation, RecoveryCodes, Secret, SetPin,
        TotpSecret,
    },
};

use super::Caller;

/// Passwords, one-time passwords, recovery codes, the PIN, deletion: all of the caller's own account.
#[async_trait]
pub trait Security: Send + Sync {
    /// What protects the account.
    async fn protection(&self, caller: &Caller) -> Result<AccountSecurity, Rejection>;

    /// Changes the password and ends all other sessions.
    async fn change_password(
        &self,
        caller: &Caller,
        request: ChangePassword,
    ) -> Result<(), Rejection>;

    /// Begins to set one-time passwords up, with the password.
    async fn enrol_totp(
        &self,
        caller: &Caller,
        request: Confirmation,
    ) -> Result<TotpSecret, Rejection>;

    /// Makes them needed at log-in, once a code shows that the authenticator has the secret.
    async fn confirm_totp(
        &self,
        caller: &Caller,
        request: ConfirmTotp,
    ) -> Result<RecoveryCodes, Rejection>;

    /// Turns them off, with password and code.
    async fn remove_totp(&self, caller: &Caller, request: Confirmation) -> Result<(), Rejection>;

    /// Makes new recovery codes in place of the old ones, with password and code.
    async fn renew_recovery_codes(
        &self,
        caller: &Caller,
        request: Confirmation,
    ) -> Result<RecoveryCodes, Rejection>;

    /// Sets or changes the PIN, with the password.
    async fn set_pin(&self, caller: &Caller, request: SetPin) -> Result<(), Rejection>;

    /// Removes the PIN, with the password.
    async fn remove_pin(&self, caller: &Caller, request: Confirmation) -> Result<(), Rejection>;

    /// Lets the caller link a device: if its account has a PIN, `pin` must be it. Wrong ones cost a
    /// growing wait.
    ///
    /// # Errors
    /// [`PinRequired`](posthouse_protocol::problem::Code::PinRequired) without one,
    /// [`WrongCode`](posthouse_protocol::problem::Code::WrongCode),
    /// [`RateLimited`](posthouse_protocol::problem::Code::RateLimited) while one has to wait.
    async fn check_pin(&self, caller: &Caller, pin: Option<Secret>) -> Result<(), Rejection>;

    /// Deletes the account for good, with the password, and a code where it has one-time passwords.
    async fn delete_account(&self, caller: &Caller, request: Confirmation)
    -> Result<(), Rejection>;
}
