//! The accounts port of the client API.

use std::sync::Arc;

use async_trait::async_trait;
use posthouse_client_api::ports::{Accounts as AccountsPort, Caller};
use posthouse_protocol::{
    id::{AccountId, Address, DeviceId, SessionId},
    limits,
    problem::{Code, Rejection},
    rest::{
        LogIn, Me, Refresh, Register, SessionInfo, SessionTokens, Sessions as SessionList, User,
    },
    time::{Clock, Timestamp},
};
use posthouse_storage::{
    accounts::{Account, Accounts as AccountsStore, Device},
    erasure::Erasure,
    factors::Factors,
    sessions::{Rotation, Session, Sessions as SessionsStore},
    wakes::Wakes,
};
use tokio::sync::Notify;
use uuid::Uuid;

use super::{Directory, Passwords, Tokens, guesses::Guesses, store_failed, tokens};
use crate::{delivery::Connections, devices::Notices, random::Random};

/// Who may register.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Registration {
    /// Anyone.
    Open,
    /// Who has an invitation.
    Invite,
    /// Nobody.
    Closed,
}

impl Registration {
    /// The policy's name, as capabilities tell it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Invite => "invite",
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
    /// Second factors.
    pub factors: Arc<dyn Factors>,
    /// Deletion.
    pub erasure: Arc<dyn Erasure>,
    /// Tells whoever erases that there is something to do.
    pub begun: Arc<Notify>,
    /// Wrong passwords and codes.
    pub guesses: Guesses,
    /// To tell other processes of ended sessions and deleted accounts.
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
        self.sign_up(request).await
    }

    async fn log_in(&self, request: LogIn) -> Result<SessionTokens, Rejection> {
        self.sign_in(request).await
    }

    async fn refresh(&self, request: Refresh) -> Result<SessionTokens, Rejection> {
        let now = self.clock.now();
        let presented = tokens::refresh_hash(&request.refresh_token);
        let (refresh, next) = match request.next_refresh_token {
            Some(drawn) => tokens::drawn_refresh(drawn, &request.refresh_token)?,
            None => tokens::new_refresh(&self.random),
        };
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
        if let Address::Handle(handle) = &address
            && handle.server != *self.directory.server()
        {
            let account_id = self.directory.resolve(&address).await?;
            return Ok(User { account_id, handle: handle.name.clone() });
        }
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

    /// Ends connections of sessions that have ended, everywhere.
    pub(crate) async fn cut(&self, sessions: &[SessionId]) {
        self.sessions_ended(sessions);
        // The store has ended them already; a hint that is lost is made up for by the next check.
        if let Err(err) = self.wakes.ended(sessions).await {
            tracing::warn!(error = %err, "other processes could not be told of ended sessions");
        }
    }

    /// An account was deleted: forgets what is remembered of it.
    pub(crate) fn accounts_gone(&self, accounts: &[Uuid]) {
        for account in accounts {
            self.directory.forget(*account);
        }
    }

    /// Hints may have been lost: forgets what they would have been about.
    pub(crate) fn forget_all(&self) {
        self.directory.forget_all();
    }

    pub(super) async fn account(&self, id: Uuid) -> Result<Account, Rejection> {
        let found = self.accounts.account(id).await.map_err(|err| store_failed(&err))?;
        found.ok_or_else(|| Rejection::new(Code::Unauthorized, "the account is gone"))
    }

    pub(super) async fn device(
        &self,
        account: Uuid,
        id: DeviceId,
        now: Timestamp,
    ) -> Result<Device, Rejection> {
        let devices = self.directory.current_devices(account, now).await?;
        let found = devices.iter().find(|device| device.id == id).cloned();
        found.ok_or_else(|| Rejection::new(Code::Unauthorized, "the device was removed"))
    }
}
