//! What the homeserver has of a group, read when the application asks.

use posthouse_protocol::{id::GroupId, rest::groups::Unacknowledged};

use super::Client;
use crate::{ClientError, machine::Wish};

impl Client {
    /// Reads what the homeserver has of a group's chain and this device has not heard of yet. It is
    /// verified like everything that comes by itself; a program that runs for a moment only need
    /// not wait for that.
    ///
    /// # Errors
    /// [`ClientError::UnknownGroup`]; [`ClientError::Chain`] if what came was not believed;
    /// [`ClientError::Transport`].
    pub async fn refresh_group(&self, group: &GroupId) -> Result<(), ClientError> {
        loop {
            let known = self.group(group).await?.epoch;
            let from = known + 1;
            let ask =
                |api: crate::Api, token| async move { api.group_epochs(&token, group, from).await };
            let page = self.access.call(ask).await?;
            if page.epochs.is_empty() {
                return Ok(());
            }
            let more = page.next.is_some();
            self.wish(Wish::Chain(group.clone(), Box::new(page))).await?;
            if self.group(group).await?.epoch == known {
                return Err(ClientError::Chain);
            }
            if !more {
                return Ok(());
            }
        }
    }

    /// Asks which regions may not know yet what has changed in a group, and from which epoch on: what
    /// is written there may still be encrypted for somebody who was removed by then. `None` if
    /// another region than the own one sequences the group: that one knows.
    ///
    /// # Errors
    /// [`ClientError::Transport`].
    pub async fn regions_behind(
        &self,
        group: &GroupId,
    ) -> Result<Option<Vec<Unacknowledged>>, ClientError> {
        let ask = |api: crate::Api, token| async move { api.group(&token, group).await };
        Ok(self.access.call(ask).await?.unacknowledged)
    }
}
