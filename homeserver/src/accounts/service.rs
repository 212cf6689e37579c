//! The accounts port of the client API.

use std::sync::Arc;

use async_trait::async_trait;
use posthouse_client_api::ports::{Accounts as AccountsPort, Caller};
use posthouse_protocol::{
    id::{AccountId, Address, DeviceId, RegistrationId, SessionId},
    limits,
    problem::{Code, Rejection},
    rest::{
        LogIn, Me, NewDevice as DeviceRequest, Refresh, Register, Secret, SessionInfo,
        SessionTokens, Sessions as SessionList, User,
    },
    time::{Clock, Timestamp},
};
use posthouse_storage::{
    accounts::{
        Account, AccountState, Accounts as AccountsStore, AddDevice, CreateAccount, Device,
        NewAccount, NewDevice,
    },
    sessions::{NewSession, Rotation, Session, Sessions as SessionsStore},
    wakes::Wakes,
};
use uuid::Uuid;

use super::{Directory, Passwords, Tokens, store_failed, tokens};
use crate::{delivery::Connections, devices::Notices, random::Random};

/// Who may register.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Registration {
    /// Anyone.
    Open,
    /// Nobody.
    Closed,
}

impl Registration {
    /// The policy's name, as capabilities tell it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Closed => "closed",
        }
    }
}

/// Accounts, devices and sessions of one region.
pub struct AccountsService {
    /// Who may register.
    pub registration: Registration,
    /// Accounts and devices.
    pub accounts: Arc<dyn AccountsStore>,
    /// Sessions.
    pub sessions: Arc<dyn SessionsStore>,
    /// To tell other processes of ended sessions.
    pub wakes: Arc<dyn Wakes>,
    /// Handles and devices.
    pub directory: Arc<Directory>,
    /// Hashing.
    pub passwords: Passwords,
    /// Access tokens.
    pub tokens: Tokens,
    /// Sockets, to be cut when their session ends.
    pub connections: Arc<Connections>,
    /// Tells devices that there are others now.
    pub notices: Arc<Notices>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Random numbers.
    pub random: Arc<Random>,
}

#[async_trait]
impl AccountsPort for AccountsService {
    async fn register(&self, request: Register) -> Result<SessionTokens, Rejection> {
        if self.registration == Registration::Closed {
            return Err(Rejection::new(Code::Forbidden, "this region takes no new accounts"));
        }
        check_password(&request.password)?;
        let name = device_name(&request.device)?;
        let password_hash = self.passwords.hash(&request.password, self.random.bytes()).await?;
        let now = self.clock.now();
        let id = self.random.uuid_at(now);
        let account =
            NewAccount { id, handle: request.handle.clone(), password_hash, created_at: now };
        let device = self.new_device(id, name, request.device.registration_id, now);
        let (session, refresh) = self.new_session(id, device.id, now);
        let created = self
            .accounts
            .create_account(&account, &device, &session)
            .await
            .map_err(|err| store_failed(&err))?;
        match created {
            CreateAccount::HandleTaken => {
                Err(Rejection::new(Code::HandleTaken, "the handle is taken"))
            }
            CreateAccount::Created(device) => {
                self.session_tokens(&device, request.handle, session.id, refresh, now)
            }
        }
    }

    async fn log_in(&self, request: LogIn) -> Result<SessionTokens, Rejection> {
        let wrong = || Rejection::new(Code::WrongCredentials, "the handle or password is wrong");
        let address = Address::parse(&request.user, self.directory.server());
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
        let hash = account.as_ref().map(|account| account.password_hash.as_str());
        let matches = self.passwords.check(&request.password, hash).await?;
        let account = account.filter(|_| matches).ok_or_else(wrong)?;
        if account.state == AccountState::Suspended {
            return Err(Rejection::new(Code::Forbidden, "the account is suspended"));
        }
        match request.device_id {
            Some(device) => self.log_in_again(account, device).await,
            None => self.log_in_new(account, &request.device).await,
        }
    }

    async fn refresh(&self, request: Refresh) -> Result<SessionTokens, Rejection> {
        let now = self.clock.now();
        let presented = tokens::refresh_hash(&request.refresh_token);
        let (refresh, next) = tokens::new_refresh(&self.random);
        let expires = now.plus_millis(limits::REFRESH_TOKEN_SECONDS * 1000);
        let rotation = self.sessions.rotate(&presented, &next, now, expires).await;
        match rotation.map_err(|err| store_failed(&err))? {
            Rotation::Rotated(session) => {
                let device = self.device(session.account, session.device, now).await?;
                let account = self.account(session.account).await?;
                self.session_tokens(&device, account.handle, session.id, refresh, now)
            }
            Rotation::Reused(session) => {
                tracing::warn!(session = %session.id, "a refresh token came twice: session ended");
                self.cut(&[session.id]).await;
                let detail =
                    "the refresh token was used before; the session is ended, log in again";
                Err(Rejection::new(Code::Unauthorized, detail))
            }
            Rotation::Unknown => {
                Err(Rejection::new(Code::Unauthorized, "the refresh token is not valid"))
            }
        }
    }

    async fn authenticate(&self, access_token: &str) -> Result<Caller, Rejection> {
        let caller = self.tokens.check(access_token, self.clock.now())?;
        self.still_valid(&caller).await?;
        Ok(caller)
    }

    async fn still_valid(&self, caller: &Caller) -> Result<(), Rejection> {
        let session = self.sessions.session(caller.session, self.clock.now()).await;
        let session = session.map_err(|err| store_failed(&err))?;
        let own = |session: &Session| {
            session.account == caller.account.uuid && session.device == caller.device
        };
        if session.as_ref().is_some_and(own) {
            Ok(())
        } else {
            Err(Rejection::new(Code::Unauthorized, "the session has ended; log in again"))
        }
    }

    async fn me(&self, caller: &Caller) -> Result<Me, Rejection> {
        let account = self.account(caller.account.uuid).await?;
        Ok(Me {
            account_id: caller.account.clone(),
            handle: account.handle,
            device_id: caller.device,
            device: caller.number,
        })
    }

    async fn sessions(&self, caller: &Caller) -> Result<SessionList, Rejection> {
        let now = self.clock.now();
        let account = caller.account.uuid;
        let sessions = self.sessions.sessions(account, now).await;
        let sessions = sessions.map_err(|err| store_failed(&err))?;
        let devices = self.directory.current_devices(account, now).await?;
        let info = |session: Session| {
            let device = devices.iter().find(|device| device.id == session.device)?;
            Some(SessionInfo {
                session_id: session.id,
                device_id: device.id,
                device: device.number,
                device_name: device.name.clone(),
                created_at: session.created_at,
                refreshed_at: session.refreshed_at,
                current: session.id == caller.session,
            })
        };
        Ok(SessionList { sessions: sessions.into_iter().filter_map(info).collect() })
    }

    async fn log_out(&self, caller: &Caller) -> Result<(), Rejection> {
        self.remove(caller.account.uuid, caller.device, caller.session).await
    }

    async fn end_session(&self, caller: &Caller, session: SessionId) -> Result<(), Rejection> {
        let account = caller.account.uuid;
        let sessions = self.sessions.sessions(account, self.clock.now()).await;
        let sessions = sessions.map_err(|err| store_failed(&err))?;
        let found = sessions.into_iter().find(|one| one.id == session);
        let found = found.ok_or_else(|| Rejection::new(Code::NotFound, "no such session"))?;
        self.remove(account, found.device, found.id).await
    }

    async fn user(&self, _caller: &Caller, address: Address) -> Result<User, Rejection> {
        let account = self.directory.account(&address).await?;
        let account_id = AccountId { uuid: account.id, server: self.directory.server().clone() };
        Ok(User { account_id, handle: account.handle })
    }
}

impl AccountsService {
    /// These sessions were ended elsewhere: cuts their sockets.
    pub fn sessions_ended(&self, sessions: &[SessionId]) {
        for session in sessions {
            self.connections.revoke(*session);
        }
    }

    /// Ends of sessions may have been missed: asks the store about every connected one.
    pub async fn check_connected_sessions(&self) {
        for session in self.connections.sessions() {
            match self.sessions.session(session, self.clock.now()).await {
                Ok(None) => self.connections.revoke(session),
                Ok(Some(_)) => {}
                Err(err) => tracing::warn!(error = %err, "a session could not be checked"),
            }
        }
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

    async fn log_in_again(
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

    /// Removes a device, ends its sessions and cuts its socket, everywhere, before it returns.
    async fn remove(
        &self,
        account: Uuid,
        device: DeviceId,
        session: SessionId,
    ) -> Result<(), Rejection> {
        let now = self.clock.now();
        let removed = self.accounts.remove_device(account, device, now).await;
        let removed = removed.map_err(|err| store_failed(&err))?;
        self.directory.forget_devices(account);
        // The device may have logged in again since `session` was looked up.
        self.connections.revoke_device(account, device);
        self.cut(&[session]).await;
        if removed {
            self.tell_devices_changed(account, now).await;
        }
        Ok(())
    }

    /// Removes a device by its id, as [`AccountsPort::end_session`] does by its session.
    ///
    /// # Errors
    /// [`Code::NotFound`] if the account has no such device, or as the store.
    pub async fn unlink(&self, account: Uuid, device: DeviceId) -> Result<(), Rejection> {
        let now = self.clock.now();
        let sessions = self.sessions.sessions(account, now).await;
        let sessions = sessions.map_err(|err| store_failed(&err))?;
        let removed = self.accounts.remove_device(account, device, now).await;
        if !removed.map_err(|err| store_failed(&err))? {
            return Err(Rejection::new(Code::NotFound, "the account has no such device"));
        }
        self.directory.forget_devices(account);
        self.connections.revoke_device(account, device);
        let of_device = sessions.iter().filter(|session| session.device == device);
        let ended: Vec<SessionId> = of_device.map(|session| session.id).collect();
        self.cut(&ended).await;
        self.tell_devices_changed(account, now).await;
        Ok(())
    }

    /// Adds a device that another one lets in. Its session cannot be used: the one that can is
    /// opened by [`AccountsService::open_linked`].
    ///
    /// # Errors
    /// [`Code::TooMany`], or as the store.
    pub(crate) async fn add_linked(
        &self,
        account: Uuid,
        name: String,
        registration_id: RegistrationId,
    ) -> Result<Device, Rejection> {
        let now = self.clock.now();
        let device = self.new_device(account, name, Some(registration_id), now);
        let (session, _) = self.new_session(account, device.id, now);
        self.add(&device, &session).await
    }

    /// Opens the session of a device that was let in.
    ///
    /// # Errors
    /// [`Code::NotFound`] if it was removed since, [`Code::Forbidden`], or as the store.
    pub(crate) async fn open_linked(
        &self,
        account: Uuid,
        device: DeviceId,
    ) -> Result<SessionTokens, Rejection> {
        let account = self.account(account).await?;
        if account.state == AccountState::Suspended {
            return Err(Rejection::new(Code::Forbidden, "the account is suspended"));
        }
        self.log_in_again(account, device).await
    }

    async fn add(&self, device: &NewDevice, session: &NewSession) -> Result<Device, Rejection> {
        let added = self.accounts.add_device(device, session, limits::MAX_DEVICES).await;
        let added = added.map_err(|err| store_failed(&err))?;
        self.directory.forget_devices(device.account);
        let AddDevice::Added(added) = added else {
            let detail = format!(
                "the account has {} devices already; log one out first",
                limits::MAX_DEVICES
            );
            return Err(Rejection::new(Code::TooMany, detail));
        };
        self.tell_devices_changed(device.account, device.created_at).await;
        Ok(added)
    }

    async fn tell_devices_changed(&self, account: Uuid, now: Timestamp) {
        let account = AccountId { uuid: account, server: self.directory.server().clone() };
        self.notices.devices_changed(&account, now).await;
    }

    async fn cut(&self, sessions: &[SessionId]) {
        self.sessions_ended(sessions);
        // The store has ended them already; a hint that is lost is made up for by the next check.
        if let Err(err) = self.wakes.ended(sessions).await {
            tracing::warn!(error = %err, "other processes could not be told of ended sessions");
        }
    }

    async fn account(&self, id: Uuid) -> Result<Account, Rejection> {
        let found = self.accounts.account(id).await.map_err(|err| store_failed(&err))?;
        found.ok_or_else(|| Rejection::new(Code::Unauthorized, "the account is gone"))
    }

    async fn device(
        &self,
        account: Uuid,
        id: DeviceId,
        now: Timestamp,
    ) -> Result<Device, Rejection> {
        let devices = self.directory.current_devices(account, now).await?;
        let found = devices.iter().find(|device| device.id == id).cloned();
        found.ok_or_else(|| Rejection::new(Code::Unauthorized, "the device was removed"))
    }

    fn new_device(
        &self,
        account: Uuid,
        name: String,
        registration_id: Option<RegistrationId>,
        now: Timestamp,
    ) -> NewDevice {
        let registration_id =
            registration_id.unwrap_or_else(|| RegistrationId::from_random(self.random.bytes()));
        let id = DeviceId(self.random.uuid());
        NewDevice { id, account, registration_id, name, created_at: now }
    }

    fn new_session(&self, account: Uuid, device: DeviceId, now: Timestamp) -> (NewSession, Secret) {
        let (refresh, hash) = tokens::new_refresh(&self.random);
        let session = NewSession {
            id: SessionId(self.random.uuid()),
            account,
            device,
            refresh: hash,
            created_at: now,
            expires_at: now.plus_millis(limits::REFRESH_TOKEN_SECONDS * 1000),
        };
        (session, refresh)
    }

    fn session_tokens(
        &self,
        device: &Device,
        handle: posthouse_protocol::id::HandleName,
        session_id: SessionId,
        refresh_token: Secret,
        now: Timestamp,
    ) -> Result<SessionTokens, Rejection> {
        let server = self.directory.server().clone();
        let account_id = AccountId { uuid: device.account, server };
        let caller = Caller {
            account: account_id.clone(),
            device: device.id,
            number: device.number,
            session: session_id,
        };
        Ok(SessionTokens {
            account_id,
            handle,
            device_id: device.id,
            device: device.number,
            session_id,
            access_token: self.tokens.issue(&caller, now)?,
            expires_in: limits::ACCESS_TOKEN_SECONDS,
            refresh_token,
        })
    }
}

fn check_password(password: &Secret) -> Result<(), Rejection> {
    if (limits::MIN_PASSWORD..=limits::MAX_PASSWORD).contains(&password.0.len()) {
        return Ok(());
    }
    let detail =
        format!("a password has {} to {} bytes", limits::MIN_PASSWORD, limits::MAX_PASSWORD);
    Err(Rejection::new(Code::BadRequest, detail))
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
