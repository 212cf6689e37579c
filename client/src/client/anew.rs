//! An account whose devices are all lost, without a backup.

use std::sync::Arc;

use posthouse_crypto::e2ee::{primitives::curve::KeyPair, time::UnixMillis};
use posthouse_protocol::{
    id::Address,
    rest::{
        Secret,
        keys::{EcKey, SetIdentity, UserDevices},
    },
};

use super::{Client, Home, NewAccount, Updates, listing::next_list};
use crate::{ClientError, store::Store};

impl Home {
    /// Goes on with an account whose devices are all lost, under a new identity key: its password
    /// is enough for that. All its other devices are removed. Everybody who knows the account is
    /// told that its key has changed; its conversations are lost, and groups know it by the key
    /// before, so that it must be removed and invited there again.
    ///
    /// # Errors
    /// [`ClientError::AlreadyThere`]; [`ClientError::Transport`], with codes such as
    /// `wrong_credentials`.
    pub async fn begin_anew(
        &self,
        store: impl Store + 'static,
        account: &NewAccount,
        code: Option<Secret>,
    ) -> Result<(Client, Updates), ClientError> {
        let store: Arc<dyn Store> = Arc::new(store);
        self.must_be_empty(&*store).await?;
        let (api, tokens, registration_id) = self.log_in_as_new(account, code).await?;
        let token = &tokens.access_token;
        for device in api.devices(token).await?.devices {
            if !device.current {
                api.remove_device(token, device.device_id).await?;
            }
        }
        let identity = KeyPair::generate(&mut self.fork());
        let identity_key = EcKey(identity.public);
        let password = Some(account.password.clone());
        api.set_identity(token, &SetIdentity { identity_key, password }).await?;
        // A new key begins its own list, whose versions go on from those before.
        let known = api.user_devices(token, &Address::Account(tokens.account_id.clone())).await?;
        let nobody =
            UserDevices { identity_key: None, device_list: None, devices: Vec::new(), ..known };
        let now = UnixMillis(self.clock.now().0);
        let own_device = (tokens.device, registration_id.get(), now);
        let next = next_list(&tokens.account_id, &identity, &nobody, own_device)?;
        self.keep_signed(&*store, (&tokens, registration_id), (&identity, &next)).await?;
        self.open_shared(store).await
    }
}
