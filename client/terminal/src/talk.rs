//! A conversation: with one person, or of a group. What can be said and read is the same.

use posthouse_client::{Client, ClientError, Entry};
use posthouse_protocol::id::{AccountId, GroupId, MessageId};

/// Whom a conversation is with.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Talk {
    /// One person.
    Person(AccountId),
    /// Everybody in a group.
    Group(GroupId),
}

impl Talk {
    /// Where a message belongs.
    pub(crate) fn of(entry: &Entry) -> Self {
        match &entry.group {
            Some(group) => Self::Group(group.clone()),
            None => Self::Person(entry.with.clone()),
        }
    }

    pub(crate) fn person(&self) -> Option<&AccountId> {
        match self {
            Self::Person(person) => Some(person),
            Self::Group(_) => None,
        }
    }

    pub(crate) fn group(&self) -> Option<&GroupId> {
        match self {
            Self::Person(_) => None,
            Self::Group(group) => Some(group),
        }
    }

    pub(crate) async fn timeline(
        &self,
        client: &Client,
        before: Option<&Entry>,
        limit: usize,
    ) -> Result<Vec<Entry>, ClientError> {
        match self {
            Self::Person(with) => client.timeline(with, before, limit).await,
            Self::Group(group) => client.group_timeline(group, before, limit).await,
        }
    }

    pub(crate) async fn send(&self, client: &Client, text: &str) -> Result<MessageId, ClientError> {
        match self {
            Self::Person(to) => client.send_text(to, text).await,
            Self::Group(group) => client.send_to_group(group, text).await,
        }
    }

    pub(crate) async fn reply(
        &self,
        client: &Client,
        target: MessageId,
        text: &str,
    ) -> Result<MessageId, ClientError> {
        match self {
            Self::Person(to) => client.reply(to, target, text).await,
            Self::Group(group) => client.reply_in_group(group, target, text).await,
        }
    }

    pub(crate) async fn edit(
        &self,
        client: &Client,
        target: MessageId,
        text: &str,
    ) -> Result<MessageId, ClientError> {
        match self {
            Self::Person(with) => client.edit(with, target, text).await,
            Self::Group(group) => client.edit_in_group(group, target, text).await,
        }
    }

    pub(crate) async fn delete(
        &self,
        client: &Client,
        target: MessageId,
    ) -> Result<MessageId, ClientError> {
        match self {
            Self::Person(with) => client.delete(with, target).await,
            Self::Group(group) => client.delete_in_group(group, target).await,
        }
    }

    pub(crate) async fn react(
        &self,
        client: &Client,
        target: MessageId,
        emoji: &str,
    ) -> Result<MessageId, ClientError> {
        match self {
            Self::Person(with) => client.react(with, target, emoji).await,
            Self::Group(group) => client.react_in_group(group, target, emoji).await,
        }
    }

    pub(crate) async fn mark_read(&self, client: &Client) -> Result<(), ClientError> {
        match self {
            Self::Person(with) => client.mark_read(with).await,
            Self::Group(group) => client.mark_group_read(group).await,
        }
    }
}
