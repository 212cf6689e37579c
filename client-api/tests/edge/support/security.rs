//! What protects an account, in memory: one password, one code, everybody's alike.

use async_trait::async_trait;
use posthouse_client_api::ports::{Accounts as _, Caller, Security};
use posthouse_protocol::{
    problem::{Code, Rejection},
    rest::{
        AccountSecurity, ChangePassword, ConfirmTotp, Confirmation, RecoveryCodes, Secret, SetPin,
        TotpSecret,
    },
};

use super::home::Home;

fn password(given: &Secret) -> Result<(), Rejection> {
    if given.0 == "correct horse" {
        return Ok(());
    }
    Err(Rejection::new(Code::WrongCredentials, "no"))
}

fn code(given: Option<&Secret>) -> Result<(), Rejection> {
    match given {
        Some(code) if code.0 == "287082" => Ok(()),
        Some(_) => Err(Rejection::new(Code::WrongCode, "no")),
        None => Err(Rejection::new(Code::CodeRequired, "a code")),
    }
}

fn codes() -> RecoveryCodes {
    RecoveryCodes { recovery_codes: vec![Secret("0000-0000-0000-0000".into())] }
}

#[async_trait]
impl Security for Home {
    async fn protection(&self, _: &Caller) -> Result<AccountSecurity, Rejection> {
        Ok(AccountSecurity { totp: true, recovery_codes: 10, pin: false })
    }

    async fn change_password(&self, _: &Caller, request: ChangePassword) -> Result<(), Rejection> {
        password(&request.current_password)
    }

    async fn enrol_totp(&self, _: &Caller, request: Confirmation) -> Result<TotpSecret, Rejection> {
        password(&request.current_password)?;
        Ok(TotpSecret { secret: Secret("A".into()), uri: Secret("otpauth://totp/".into()) })
    }

    async fn confirm_totp(
        &self,
        _: &Caller,
        request: ConfirmTotp,
    ) -> Result<RecoveryCodes, Rejection> {
        code(Some(&request.code))?;
        Ok(codes())
    }

    async fn remove_totp(&self, _: &Caller, request: Confirmation) -> Result<(), Rejection> {
        password(&request.current_password)?;
        code(request.code.as_ref())
    }

    async fn renew_recovery_codes(
        &self,
        _: &Caller,
        request: Confirmation,
    ) -> Result<RecoveryCodes, Rejection> {
        password(&request.current_password)?;
        code(request.code.as_ref())?;
        Ok(codes())
    }

    async fn set_pin(&self, _: &Caller, request: SetPin) -> Result<(), Rejection> {
        password(&request.current_password)
    }

    async fn remove_pin(&self, _: &Caller, request: Confirmation) -> Result<(), Rejection> {
        password(&request.current_password)
    }

    async fn check_pin(&self, _: &Caller, _: Option<Secret>) -> Result<(), Rejection> {
        Ok(())
    }

    async fn delete_account(
        &self,
        caller: &Caller,
        request: Confirmation,
    ) -> Result<(), Rejection> {
        password(&request.current_password)?;
        self.log_out(caller).await
    }
}
