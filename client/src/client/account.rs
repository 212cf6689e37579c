//! What protects the own account, and its end.

use posthouse_protocol::rest::{ChangePassword, Confirmation, Secret};

use super::Client;
use crate::ClientError;

impl Client {
    /// Gives the account another password, of 10 to 128 bytes. All its other sessions end; their devices
    /// stay and log in again with the new one.
    ///
    /// # Errors
    /// [`ClientError::Transport`], with codes such as `wrong_credentials` and `weak_password`.
    pub async fn change_password(&self, current: Secret, new: Secret) -> Result<(), ClientError> {
        let request = &ChangePassword { current_password: current, new_password: new };
        self.access
            .call(|api, token| async move { api.change_password(&token, request).await })
            .await
    }

    /// Deletes the account for good, with all its devices: nothing brings it back, and its handle is
    /// never given out again. What others have of it stays theirs. `code` is the one-time password, for
    /// accounts that ask for one. What the store has stays, and can be read no further than it was.
    ///
    /// # Errors
    /// [`ClientError::Transport`], with codes such as `wrong_credentials` and `code_required`.
    pub async fn delete_account(
        self,
        password: Secret,
        code: Option<Secret>,
    ) -> Result<(), ClientError> {
        let request = &Confirmation { current_password: password, code, recovery_code: None };
        self.access
            .call(|api, token| async move { api.delete_account(&token, request).await })
            .await
    }
}
