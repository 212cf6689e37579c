//! The conversations of an account, and what it deletes for itself.

use async_trait::async_trait;
use posthouse_protocol::{
    id::{AccountId, ConversationId, MessageId},
    time::Stamp,
};
use uuid::Uuid;

use crate::error::StoreError;

/// A conversation of an account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// The conversation.
    pub id: ConversationId,
    /// The other side: the text of an account or of a group.
    pub other: String,
    /// The highest stamp known in it.
    pub highest: Stamp,
}

/// A place in the list of conversations.
pub type ListPlace = (Stamp, ConversationId);

/// Conversations. A conversation is on the list of a local account once the account has written in it,
/// or something that was not discarded has come for it ([`crate::ledger::Ledger::commit`],
/// [`crate::reception::Receptions::take`]); those of groups are put there by [`Conversations::list`].
#[async_trait]
pub trait Conversations: Send + Sync {
    /// Conversations of the account that are neither hidden nor with somebody whom it has blocked, the
    /// latest first, those before `before`, at most `limit`.
    async fn conversations(
        &self,
        account: Uuid,
        before: Option<ListPlace>,
        limit: usize,
    ) -> Result<Vec<Listed>, StoreError>;

    /// Puts conversations on lists, where they are not yet: account, conversation, other side.
    async fn list(&self, entries: &[(Uuid, ConversationId, String)]) -> Result<(), StoreError>;

    /// Takes a conversation off the account's list until something is said in it. `false` if it is
    /// not on the list.
    async fn hide(&self, account: Uuid, conversation: ConversationId) -> Result<bool, StoreError>;

    /// Deletes at most `limit` entries that the account's inbox holds of a conversation. How many
    /// there were.
    async fn clear(
        &self,
        account: Uuid,
        conversation: ConversationId,
        limit: usize,
    ) -> Result<usize, StoreError>;

    /// Deletes messages from the account's inbox, wherever they came from. How many were there.
    async fn delete_messages(
        &self,
        account: Uuid,
        messages: &[(AccountId, MessageId)],
    ) -> Result<usize, StoreError>;
}
