//! The devices of the own account.

use posthouse_protocol::rest::{Confirmation, Pin, Secret, SetPin, keys::DeviceInfo};

use super::Client;
use crate::{
    ClientError,
    machine::{ListChange, Wish},
    records::own,
    store::{Scan, Table, Tx},
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

    /// Whether the homeserver has the list of devices as this device signed it last.
    ///
    /// # Errors
    /// [`ClientError::Store`].
    pub async fn is_list_published(&self) -> Result<bool, ClientError> {
        let tx = Tx::new(&*self.access.store);
        let changes = tx.read::<Vec<ListChange>>(Table::Own, own::CHANGES).await?;
        Ok(changes.is_none_or(|waiting| waiting.is_empty()))
    }

    /// Whether letting a further device in takes a PIN.
    ///
    /// # Errors
    /// [`ClientError::Transport`].
    pub async fn has_link_pin(&self) -> Result<bool, ClientError> {
        Ok(self.access.call(|api, token| async move { api.security(&token).await }).await?.pin)
    }

    /// Lets further devices in by this PIN alone, or without one; `password` is the account's. The
    /// homeserver asks for it: whoever has an unlocked device cannot add another one.
    ///
    /// # Errors
    /// [`ClientError::Transport`], with codes such as `wrong_credentials`.
    pub async fn set_link_pin(
        &self,
        password: Secret,
        pin: Option<Pin>,
    ) -> Result<(), ClientError> {
        let current_password = password;
        let Some(pin) = pin else {
            let request = &Confirmation { current_password, code: None, recovery_code: None };
            let off = |api: crate::Api, token| async move { api.remove_pin(&token, request).await };
            return self.access.call(off).await;
        };
        let request = &SetPin { current_password, pin };
        self.access.call(|api, token| async move { api.set_pin(&token, request).await }).await
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
