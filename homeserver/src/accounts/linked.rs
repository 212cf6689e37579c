//! Adding and removing devices: by logging in, by a link, by taking their session away.

use posthouse_protocol::{
    id::{AccountId, DeviceId, RegistrationId, SessionId},
    limits,
    problem::{Code, Rejection},
    rest::SessionTokens,
    time::Timestamp,
};
use posthouse_storage::{
    accounts::{AccountState, AddDevice, Device, NewDevice},
    sessions::NewSession,
};
use uuid::Uuid;

use super::{AccountsService, store_failed};

impl AccountsService {
    /// Removes a device, ends its sessions and cuts its socket, everywhere, before it returns.
    pub(super) async fn remove(
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

    /// Removes a device by its id, as ending its session does.
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

    pub(super) async fn add(
        &self,
        device: &NewDevice,
        session: &NewSession,
    ) -> Result<Device, Rejection> {
        let added = self.accounts.add_device(device, session, limits::MAX_DEVICES).await;
        let added = added.map_err(|err| store_failed(&err))?;
        self.directory.forget_devices(device.account);
        match added {
            AddDevice::Added(added) => {
                self.tell_devices_changed(device.account, device.created_at).await;
                Ok(added)
            }
            AddDevice::NoAccount => {
                Err(Rejection::new(Code::WrongCredentials, "the handle or password is wrong"))
            }
            AddDevice::TooMany => {
                let detail = format!(
                    "the account has {} devices already; log one out first",
                    limits::MAX_DEVICES
                );
                Err(Rejection::new(Code::TooMany, detail))
            }
        }
    }

    async fn tell_devices_changed(&self, account: Uuid, now: Timestamp) {
        let account = AccountId { uuid: account, server: self.directory.server().clone() };
        self.notices.devices_changed(&account, now).await;
    }
}
