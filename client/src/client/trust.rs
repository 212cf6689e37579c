//! What this device believes of somebody, for an application to show.

use posthouse_protocol::id::{AccountId, Address, HandleName};

use super::Client;
use crate::{
    ClientError,
    records::Person,
    store::{Batch, Table, Tx, encode},
};

/// What is believed of somebody's identity key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum KeyTrust {
    /// Nothing is known of it yet.
    Unknown,
    /// The first one that was seen; nobody has compared the safety number.
    Unverified,
    /// The safety number was compared.
    Verified,
    /// Another one was seen, and waits for [`Client::accept_key`]: nothing is sent until then.
    Changed,
}

impl Client {
    /// The account's handle, without the region.
    pub fn handle(&self) -> &HandleName {
        &self.account.handle
    }

    /// The handle of an account, without the region. That of another region tells nobody whose handle
    /// an account has: such a one is known if somebody was found by it ([`Client::find`]), here or on the
    /// device or in the backup that this device has its history from.
    ///
    /// # Errors
    /// [`ClientError::Transport`], with the code `unknown_user` if there is no such account.
    pub async fn handle_of(&self, user: &AccountId) -> Result<Option<HandleName>, ClientError> {
        if user.server != self.account.id.server {
            let tx = Tx::new(&*self.access.store);
            return Ok(tx.read(Table::Handles, user.to_string().as_bytes()).await?);
        }
        let address = &Address::Account(user.clone());
        let user = self.access.call(|api, token| async move { api.user(&token, address).await });
        Ok(Some(user.await?.handle))
    }

    /// Remembers by which handle an account of another region was found first.
    pub(super) async fn remember_handle(
        &self,
        user: &AccountId,
        handle: &HandleName,
    ) -> Result<(), ClientError> {
        let (store, key) = (&self.access.store, user.to_string().into_bytes());
        if store.get(Table::Handles, &key).await?.is_none() {
            let mut batch = Batch::default();
            batch.put(Table::Handles, key, encode(handle).to_vec());
            store.commit(batch).await?;
        }
        Ok(())
    }

    /// What is believed of this person's identity key.
    ///
    /// # Errors
    /// [`ClientError::Store`].
    pub async fn key_trust(&self, user: &AccountId) -> Result<KeyTrust, ClientError> {
        let tx = Tx::new(&*self.access.store);
        let known = tx.read::<Person>(Table::People, user.to_string().as_bytes()).await?;
        Ok(match known {
            Some(Person { announced: Some(_), .. }) => KeyTrust::Changed,
            Some(Person { identity: Some(_), verified: true, .. }) => KeyTrust::Verified,
            Some(Person { identity: Some(_), .. }) => KeyTrust::Unverified,
            _ => KeyTrust::Unknown,
        })
    }
}
