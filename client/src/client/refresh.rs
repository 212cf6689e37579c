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

    /// Reads which groups the account is in or invited to, as the homeserver has it now, and what this
    /// device has not heard of yet of their chains and of those it knows. As with
    /// [`Client::refresh_group`], a program that runs for a moment only need not wait for that to come
    /// by itself.
    ///
    /// # Errors
    /// [`ClientError::Transport`]. A chain that is not believed is told as ever
    /// ([`Update::GroupRefused`](crate::Update::GroupRefused)), and the others are read.
    pub async fn refresh_groups(&self) -> Result<(), ClientError> {
        let (mut after, mut listed) = (None, Vec::new());
        loop {
            let ask = |api: crate::Api, token| async move { api.groups(&token, after).await };
            let page = self.access.call(ask).await?;
            for one in page.groups {
                let known = match self.known_group(&one.group_id).await {
                    Ok(group) => group.epoch(),
                    Err(ClientError::UnknownGroup) => 0,
                    Err(err) => return Err(err),
                };
                if known < one.head.epoch {
                    passed_over(self.catch_up(&one.group_id, known).await)?;
                }
                listed.push(one.group_id);
            }
            after = page.next;
            if after.is_none() {
                break;
            }
        }
        // Those that the account is out of by now.
        for one in self.groups().await? {
            if one.standing.is_some() && !listed.contains(&one.id) {
                passed_over(self.refresh_group(&one.id).await)?;
            }
        }
        Ok(())
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

/// What is wrong with one group does not hide the others.
fn passed_over(read: Result<(), ClientError>) -> Result<(), ClientError> {
    match read {
        Err(err) if err.is_transient() => Err(err),
        Err(ClientError::Chain | ClientError::UnknownGroup | ClientError::Transport(_)) => Ok(()),
        other => other,
    }
}
