//! The calls that protect an account, and its deletion (docs/spec/rest.md §2.7 to §2.15).

use http::Method;
use posthouse_protocol::rest::{
    AccountSecurity, ChangePassword, ConfirmTotp, Confirmation, RecoveryCodes, Secret, SetPin,
    TotpSecret,
};
use serde::Serialize;

use super::{Api, json};
use crate::Error;

impl Api {
    /// `GET /v1/account/security`: what protects the account.
    pub async fn security(&self, access: &Secret) -> Result<AccountSecurity, Error> {
        self.get("/v1/account/security", Some(access)).await
    }

    /// `POST /v1/account/password`: changes the password and ends all other sessions.
    pub async fn change_password(
        &self,
        access: &Secret,
        request: &ChangePassword,
    ) -> Result<(), Error> {
        self.act("/v1/account/password", access, request).await
    }

    /// `POST /v1/account/totp`: begins to set one-time passwords up.
    pub async fn enrol_totp(
        &self,
        access: &Secret,
        request: &Confirmation,
    ) -> Result<TotpSecret, Error> {
        self.post("/v1/account/totp", Some(access), json(request)).await
    }

    /// `POST /v1/account/totp/confirm`: makes them needed at log-in.
    pub async fn confirm_totp(
        &self,
        access: &Secret,
        request: &ConfirmTotp,
    ) -> Result<RecoveryCodes, Error> {
        self.post("/v1/account/totp/confirm", Some(access), json(request)).await
    }

    /// `POST /v1/account/totp/off`: turns them off.
    pub async fn remove_totp(&self, access: &Secret, request: &Confirmation) -> Result<(), Error> {
        self.act("/v1/account/totp/off", access, request).await
    }

    /// `POST /v1/account/recovery-codes`: new ones in place of all old ones.
    pub async fn renew_recovery_codes(
        &self,
        access: &Secret,
        request: &Confirmation,
    ) -> Result<RecoveryCodes, Error> {
        self.post("/v1/account/recovery-codes", Some(access), json(request)).await
    }

    /// `POST /v1/account/pin`: sets or changes the PIN for linking devices.
    pub async fn set_pin(&self, access: &Secret, request: &SetPin) -> Result<(), Error> {
        self.act("/v1/account/pin", access, request).await
    }

    /// `POST /v1/account/pin/off`: removes it.
    pub async fn remove_pin(&self, access: &Secret, request: &Confirmation) -> Result<(), Error> {
        self.act("/v1/account/pin/off", access, request).await
    }

    /// `POST /v1/account/delete`: deletes the account for good.
    pub async fn delete_account(
        &self,
        access: &Secret,
        request: &Confirmation,
    ) -> Result<(), Error> {
        self.act("/v1/account/delete", access, request).await
    }

    pub(super) async fn act(
        &self,
        path: &str,
        access: &Secret,
        request: &impl Serialize,
    ) -> Result<(), Error> {
        self.call(Method::POST, path, Some(access), Some(json(request))).await.map(drop)
    }
}
