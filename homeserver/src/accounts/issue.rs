//! New devices and sessions, and the tokens that go with them.

use posthouse_client_api::ports::Caller;
use posthouse_protocol::{
    id::{AccountId, DeviceId, HandleName, RegistrationId, SessionId},
    limits,
    problem::Rejection,
    rest::{Secret, SessionTokens},
    time::Timestamp,
};
use posthouse_storage::{
    accounts::{Device, NewDevice},
    sessions::NewSession,
};
use uuid::Uuid;

use super::{AccountsService, tokens};

impl AccountsService {
    pub(super) fn new_device(
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

    pub(super) fn new_session(
        &self,
        account: Uuid,
        device: DeviceId,
        now: Timestamp,
    ) -> (NewSession, Secret) {
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

    pub(super) fn session_tokens(
        &self,
        device: &Device,
        handle: HandleName,
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
