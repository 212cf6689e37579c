//! Message requests: strangers who have written, and whether they are heard.

use posthouse_protocol::{
    id::AccountId,
    rest::{Named, RequestInfo},
};

use super::Client;
use crate::ClientError;

impl Client {
    /// Strangers who have written first and are not answered yet. What they wrote is delivered like
    /// anything else; an application shows it apart. Writing back accepts, too.
    ///
    /// # Errors
    /// [`ClientError::Transport`].
    pub async fn requests(&self) -> Result<Vec<RequestInfo>, ClientError> {
        let (mut all, mut after) = (Vec::new(), None);
        loop {
            let from = after.as_ref();
            let ask = |api: crate::Api, token| async move { api.requests(&token, from).await };
            let page = self.access.call(ask).await?;
            all.extend(page.requests);
            // Pages go up: one that does not would be asked for for ever.
            match page.next {
                Some(next) if after.as_ref().is_none_or(|after| *after < next) => {
                    after = Some(next);
                }
                _ => return Ok(all),
            }
        }
    }

    /// Hears who asked.
    ///
    /// # Errors
    /// [`ClientError::Transport`], with the code `not_found` if they do not ask.
    pub async fn accept_request(&self, user: &AccountId) -> Result<(), ClientError> {
        let named = &Named { user: user.to_string() };
        self.access.call(|api, token| async move { api.accept_request(&token, named).await }).await
    }

    /// Does not hear who asked, for 30 days. They cannot tell.
    ///
    /// # Errors
    /// [`ClientError::Transport`], with the code `not_found` if they do not ask.
    pub async fn decline_request(&self, user: &AccountId) -> Result<(), ClientError> {
        let named = &Named { user: user.to_string() };
        self.access.call(|api, token| async move { api.decline_request(&token, named).await }).await
    }
}
