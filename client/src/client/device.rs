//! The devices of the own account.

use posthouse_protocol::rest::keys::DeviceInfo;

use super::Client;
use crate::{
    ClientError,
    machine::{ListChange, Wish},
    store::{Scan, Table},
};

impl Client {
    /// The devices of the own account, as the homeserver knows them.
    ///
    /// # Errors
    /// [`ClientError::Transport`].
    pub async fn devices(&self) -> Result<Vec<DeviceInfo>, ClientError> {
        Ok(self.access.call(|api, token| async move { api.devices(&token).await }).await?.devices)
    }

    /// How many things of this device wait to be taken by the homeserver, also such as nobody sees:
    /// receipts, keys for groups and their titles.
    ///
    /// # Errors
    /// [`ClientError::Store`].
    pub async fn waiting(&self) -> Result<usize, ClientError> {
        let all = Scan::prefix(Table::Queue, &[], usize::MAX);
        Ok(self.access.store.scan(&all).await?.len())
    }

    /// Removes another device of the account, and signs a list without it.
    ///
    /// # Errors
    /// [`ClientError::Transport`], with the code `not_found` if there is no such device.
    pub async fn remove_device(&self, device: &DeviceInfo) -> Result<(), ClientError> {
        let id = device.device_id;
        self.access.call(|api, token| async move { api.remove_device(&token, id).await }).await?;
        self.wish(Wish::SignList(ListChange::Remove { device: device.device })).await
    }

    /// Ends the session and removes this device from the account. What the store has stays, and
    /// can be read no further than it was.
    ///
    /// # Errors
    /// [`ClientError::Transport`].
    pub async fn log_out(self) -> Result<(), ClientError> {
        self.access.call(|api, token| async move { api.log_out(&token).await }).await
    }
}
