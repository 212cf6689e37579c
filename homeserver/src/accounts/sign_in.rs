//! Registering and logging in.

use posthouse_protocol::{
    id::{AccountId, Address, DeviceId, Handle},
    limits,
    problem::{Code, Rejection},
    rest::{LogIn, NewDevice as DeviceRequest, Register, SessionTokens},
};
use posthouse_storage::{
    accounts::{Account, AccountState, CreateAccount, NewAccount, PasswordHash},
    invites::InviteHash,
};

use super::{
    AccountsService, Registration,
    codes::{self, Purpose},
    guesses::Target,
    rules, store_failed,
};

impl AccountsService {
    pub(super) async fn sign_up(&self, request: Register) -> Result<SessionTokens, Rejection> {
        let invite = self.invitation(&request)?;
        rules::check_handle(&request.handle)?;
        rules::check_password(&request.password, &request.handle)?;
        let name = device_name(&request.device)?;
        let password_hash = self.passwords.hash(&request.password, self.random.bytes()).await?;
        let now = self.clock.now();
        let id = self.random.uuid_at(now);
        let account = NewAccount {
            id,
            handle: request.handle.clone(),
            password_hash: PasswordHash(password_hash),
            invite,
            created_at: now,
        };
        let device = self.new_device(id, name, request.device.registration_id, now);
        let (session, refresh) = self.new_session(id, device.id, now);
        let created = self.accounts.create_account(&account, &device, &session).await;
        match created.map_err(|err| store_failed(&err))? {
            CreateAccount::InviteRefused => Err(no_invitation()),
            CreateAccount::HandleTaken => {
                Err(Rejection::new(Code::HandleTaken, "the handle is taken"))
            }
            CreateAccount::Created(device) => {
                self.session_tokens(&device, request.handle, session.id, refresh, now)
            }
        }
    }

    /// What the store is to use up, if the region asks for an invitation.
    fn invitation(&self, request: &Register) -> Result<Option<InviteHash>, Rejection> {
        match self.registration {
            Registration::Open => Ok(None),
            Registration::Closed => {
                Err(Rejection::new(Code::Forbidden, "this region takes no new accounts"))
            }
            Registration::Invite => {
                let code = request.invite.as_ref();
                let hash = code.and_then(|code| codes::hash(Purpose::Invite, code));
                hash.map(Some).ok_or_else(no_invitation)
            }
        }
    }

    pub(super) async fn sign_in(&self, request: LogIn) -> Result<SessionTokens, Rejection> {
        let wrong = || Rejection::new(Code::WrongCredentials, "the handle or password is wrong");
        let address = Address::parse(&request.user, self.directory.server());
        if let Ok(
            Address::Account(AccountId { server, .. }) | Address::Handle(Handle { server, .. }),
        ) = &address
            && server != self.directory.server()
        {
            let own = self.directory.server();
            let detail = format!("this is the region {own}: log in at {server}, that user's own");
            return Err(Rejection::new(Code::BadRequest, detail));
        }
        let account = match address {
            Ok(address) => match self.directory.account(&address).await {
                Ok(account) => Some(account),
                Err(rejection) if rejection.code == Code::UnknownUser => None,
                Err(rejection) => return Err(rejection),
            },
            Err(_) => None,
        };
        if request.password.0.len() > limits::MAX_PASSWORD {
            return Err(wrong());
        }
        let target = self.target(account.as_ref(), &request).await?;
        self.guesses.count(target)?;
        let hash = account.as_ref().map(|account| &account.password_hash);
        let matches = self.passwords.check(&request.password, hash).await?;
        let account = account.filter(|_| matches).ok_or_else(wrong)?;
        if account.state == AccountState::Suspended {
            return Err(Rejection::new(Code::Forbidden, "the account is suspended"));
        }
        self.second_factor(account.id, request.code.as_ref(), request.recovery_code.as_ref())
            .await?;
        self.guesses.was_right(target);
        match request.device_id {
            Some(device) => self.log_in_again(account, device).await,
            None => self.log_in_new(account, &request.device).await,
        }
    }

    /// Whose failure this log-in will be, if it is one.
    async fn target(
        &self,
        account: Option<&Account>,
        request: &LogIn,
    ) -> Result<Target, Rejection> {
        let Some(account) = account else { return Ok(self.guesses.nobody(&request.user)) };
        let Some(named) = request.device_id else { return Ok(Target::Account(account.id)) };
        let devices = self.directory.devices(account.id, self.clock.now()).await?;
        let known = devices.iter().any(|device| device.id == named);
        Ok(if known { Target::Device(named) } else { Target::Account(account.id) })
    }

    async fn log_in_new(
        &self,
        account: Account,
        request: &DeviceRequest,
    ) -> Result<SessionTokens, Rejection> {
        let now = self.clock.now();
        let name = device_name(request)?;
        let device = self.new_device(account.id, name, request.registration_id, now);
        let (session, refresh) = self.new_session(account.id, device.id, now);
        let device = self.add(&device, &session).await?;
        self.session_tokens(&device, account.handle, session.id, refresh, now)
    }

    pub(super) async fn log_in_again(
        &self,
        account: Account,
        device: DeviceId,
    ) -> Result<SessionTokens, Rejection> {
        let now = self.clock.now();
        let (session, refresh) = self.new_session(account.id, device, now);
        let opened = self.sessions.open_session(&session).await;
        let Some(ended) = opened.map_err(|err| store_failed(&err))? else {
            return Err(Rejection::new(Code::NotFound, "the account has no such device"));
        };
        self.cut(&ended).await;
        let device = self.device(account.id, device, now).await?;
        self.session_tokens(&device, account.handle, session.id, refresh, now)
    }
}

fn no_invitation() -> Rejection {
    Rejection::new(Code::InviteInvalid, "registering here needs a valid invitation")
}

fn device_name(request: &DeviceRequest) -> Result<String, Rejection> {
    check_device_name(request.name.as_deref().unwrap_or("unnamed device"))
}

/// A device's name without blanks around it, if it is one.
pub(crate) fn check_device_name(name: &str) -> Result<String, Rejection> {
    let name = name.trim();
    if name.is_empty() || name.len() > limits::MAX_DEVICE_NAME || name.chars().any(char::is_control)
    {
        let detail = format!(
            "a device name has 1 to {} bytes and no control characters",
            limits::MAX_DEVICE_NAME
        );
        return Err(Rejection::new(Code::BadRequest, detail));
    }
    Ok(name.to_owned())
}
