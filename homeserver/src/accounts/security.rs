//! What protects an account: the port `Security` of the client API.

use async_trait::async_trait;
use posthouse_client_api::ports::{Caller, Security};
use posthouse_protocol::{
    limits,
    problem::{Code, Rejection},
    rest::{
        AccountSecurity, ChangePassword, ConfirmTotp, Confirmation, RecoveryCodes, Secret, SetPin,
        TotpSecret,
    },
};
use posthouse_storage::{
    accounts::{Account, PasswordHash},
    factors::RecoveryHash,
};
use uuid::Uuid;
use zeroize::Zeroizing;

use super::{
    AccountsService,
    codes::{self, Purpose},
    guesses::Target,
    pins::Pins,
    rules, store_failed, totp,
};

#[async_trait]
impl Security for AccountsService {
    async fn protection(&self, caller: &Caller) -> Result<AccountSecurity, Rejection> {
        let found = self.factors.protection(caller.account.uuid).await;
        let found = found.map_err(|err| store_failed(&err))?;
        Ok(AccountSecurity {
            totp: found.totp,
            recovery_codes: found.recovery_codes,
            pin: found.pin,
        })
    }

    async fn change_password(
        &self,
        caller: &Caller,
        request: ChangePassword,
    ) -> Result<(), Rejection> {
        let account = self.account(caller.account.uuid).await?;
        rules::check_password(&request.new_password, &account.handle)?;
        let target = Target::Session(account.id);
        self.know_password(&account, &request.current_password, target).await?;
        self.guesses.was_right(target);
        let new = self.passwords.hash(&request.new_password, self.random.bytes()).await?;
        let hashes = (&account.password_hash, &PasswordHash(new));
        let now = self.clock.now();
        let changed = self.accounts.change_password(account.id, hashes, caller.session, now).await;
        let ended = changed.map_err(|err| store_failed(&err))?.ok_or_else(wrong_password)?;
        self.cut(&ended).await;
        Ok(())
    }

    async fn enrol_totp(
        &self,
        caller: &Caller,
        request: Confirmation,
    ) -> Result<TotpSecret, Rejection> {
        let account = self.confirm_password(caller, &request).await?;
        let secret = Zeroizing::new(self.random.bytes());
        let enrolled = self.factors.enrol_totp(account.id, &secret).await;
        if !enrolled.map_err(|err| store_failed(&err))? {
            let detail = "one-time passwords are set up already; turn them off first";
            return Err(Rejection::new(Code::BadRequest, detail));
        }
        let uri = totp::uri(&secret, &account.handle, self.directory.server());
        let text = codes::rfc_4648(secret.as_slice());
        Ok(TotpSecret { secret: Secret(text.to_string()), uri })
    }

    async fn confirm_totp(
        &self,
        caller: &Caller,
        request: ConfirmTotp,
    ) -> Result<RecoveryCodes, Rejection> {
        let account = caller.account.uuid;
        let nothing = || Rejection::new(Code::BadRequest, "nothing is being set up");
        let target = Target::Session(account);
        self.guesses.count(target)?;
        let found = self.factors.totp(account).await.map_err(|err| store_failed(&err))?;
        let pending = found.filter(|totp| !totp.active).ok_or_else(nothing)?;
        let now = self.clock.now();
        let step = totp::matching_step(&pending.secret, &request.code, 0, now);
        let step = step.ok_or_else(wrong_code)?;
        self.guesses.was_right(target);
        let (codes, hashes) = self.new_recovery_codes();
        let activated = self.factors.activate_totp(account, &pending.secret, step, &hashes).await;
        if activated.map_err(|err| store_failed(&err))? { Ok(codes) } else { Err(nothing()) }
    }

    async fn remove_totp(&self, caller: &Caller, request: Confirmation) -> Result<(), Rejection> {
        self.confirm_with_code(caller, &request).await?;
        let removed = self.factors.remove_totp(caller.account.uuid).await;
        removed.map_err(|err| store_failed(&err))
    }

    async fn renew_recovery_codes(
        &self,
        caller: &Caller,
        request: Confirmation,
    ) -> Result<RecoveryCodes, Rejection> {
        self.confirm_with_code(caller, &request).await?;
        let (codes, hashes) = self.new_recovery_codes();
        let replaced = self.factors.replace_recovery_codes(caller.account.uuid, &hashes).await;
        replaced.map_err(|err| store_failed(&err))?;
        Ok(codes)
    }

    async fn set_pin(&self, caller: &Caller, request: SetPin) -> Result<(), Rejection> {
        let SetPin { current_password, pin } = request;
        let confirmation = Confirmation { current_password, code: None, recovery_code: None };
        let account = self.confirm_password(caller, &confirmation).await?;
        self.pins().set(account.id, &pin, self.random.bytes()).await
    }

    async fn remove_pin(&self, caller: &Caller, request: Confirmation) -> Result<(), Rejection> {
        let account = self.confirm_password(caller, &request).await?;
        self.factors.remove_pin(account.id).await.map_err(|err| store_failed(&err))
    }

    async fn check_pin(&self, caller: &Caller, pin: Option<Secret>) -> Result<(), Rejection> {
        self.pins().check(caller.account.uuid, pin).await
    }

    async fn delete_account(
        &self,
        caller: &Caller,
        request: Confirmation,
    ) -> Result<(), Rejection> {
        let account = self.account(caller.account.uuid).await?;
        let target = Target::Session(account.id);
        self.know_password(&account, &request.current_password, target).await?;
        self.second_factor(account.id, request.code.as_ref(), request.recovery_code.as_ref())
            .await?;
        self.guesses.was_right(target);
        self.erase(account.id).await.map(drop)
    }
}

impl AccountsService {
    /// Deletes an account for good, and cuts its sessions off everywhere. Whether there was one.
    pub(crate) async fn erase(&self, account: Uuid) -> Result<bool, Rejection> {
        let begun = self.erasure.begin_erasure(account, self.clock.now()).await;
        let Some(begun) = begun.map_err(|err| store_failed(&err))? else { return Ok(false) };
        self.accounts_gone(&[account]);
        self.cut(&begun.sessions).await;
        if let Err(err) = self.wakes.gone(&[account]).await {
            tracing::warn!(error = %err, "other processes could not be told of a deleted account");
        }
        self.begun.notify_one();
        Ok(true)
    }

    /// Checks what the account asks for besides its password, if it does.
    pub(super) async fn second_factor(
        &self,
        account: Uuid,
        code: Option<&Secret>,
        recovery_code: Option<&Secret>,
    ) -> Result<(), Rejection> {
        let totp = self.factors.totp(account).await.map_err(|err| store_failed(&err))?;
        let Some(totp) = totp.filter(|totp| totp.active) else { return Ok(()) };
        let used = match (code, recovery_code) {
            (None, None) => {
                let detail = "the account asks for a code of its authenticator";
                return Err(Rejection::new(Code::CodeRequired, detail));
            }
            (Some(code), _) => {
                let now = self.clock.now();
                match totp::matching_step(&totp.secret, code, totp.last_step, now) {
                    Some(step) => self.factors.use_totp_step(account, step).await,
                    None => Ok(false),
                }
            }
            (None, Some(typed)) => match codes::hash(Purpose::Recovery, typed) {
                Some(hash) => self.factors.use_recovery_code(account, &hash).await,
                None => Ok(false),
            },
        };
        if used.map_err(|err| store_failed(&err))? { Ok(()) } else { Err(wrong_code()) }
    }

    /// The caller knows the password.
    pub(crate) async fn confirm_password(
        &self,
        caller: &Caller,
        request: &Confirmation,
    ) -> Result<Account, Rejection> {
        let account = self.account(caller.account.uuid).await?;
        let target = Target::Session(account.id);
        self.know_password(&account, &request.current_password, target).await?;
        self.guesses.was_right(target);
        Ok(account)
    }

    /// The caller knows the password and has a code; without one-time passwords there is none.
    async fn confirm_with_code(
        &self,
        caller: &Caller,
        request: &Confirmation,
    ) -> Result<(), Rejection> {
        let account = self.account(caller.account.uuid).await?;
        let target = Target::Session(account.id);
        self.know_password(&account, &request.current_password, target).await?;
        let totp = self.factors.totp(account.id).await.map_err(|err| store_failed(&err))?;
        if totp.is_none_or(|totp| !totp.active) {
            self.guesses.was_right(target);
            return Err(Rejection::new(Code::BadRequest, "one-time passwords are not set up"));
        }
        self.second_factor(account.id, request.code.as_ref(), request.recovery_code.as_ref())
            .await?;
        self.guesses.was_right(target);
        Ok(())
    }

    async fn know_password(
        &self,
        account: &Account,
        password: &Secret,
        target: Target,
    ) -> Result<(), Rejection> {
        if password.0.len() > limits::MAX_PASSWORD {
            return Err(wrong_password());
        }
        self.guesses.count(target)?;
        if self.passwords.check(password, Some(&account.password_hash)).await? {
            Ok(())
        } else {
            Err(wrong_password())
        }
    }

    fn new_recovery_codes(&self) -> (RecoveryCodes, Vec<RecoveryHash>) {
        let new = || codes::new(Purpose::Recovery, self.random.bytes());
        let (codes, hashes) = (0..limits::RECOVERY_CODES).map(|_| new()).unzip();
        (RecoveryCodes { recovery_codes: codes }, hashes)
    }

    fn pins(&self) -> Pins {
        Pins {
            factors: self.factors.clone(),
            passwords: self.passwords.clone(),
            clock: self.clock.clone(),
        }
    }
}

fn wrong_password() -> Rejection {
    Rejection::new(Code::WrongCredentials, "the password is wrong")
}

fn wrong_code() -> Rejection {
    Rejection::new(Code::WrongCode, "the code is wrong, or was used before")
}
