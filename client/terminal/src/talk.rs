//! A conversation: with one person, or of a group. What can be said and read is the same.

use posthouse_client::{Client, ClientError, Entry, Text};
use posthouse_protocol::id::{AccountId, GroupId, MessageId};

/// Whom a conversation is with.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Talk {
    /// One person.
    Person(AccountId),
    /// Everybody in a group.
    Group(GroupId),
}

/// What is written is about another message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum About {
    Reply(MessageId),
    Edit(MessageId),
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

    /// Says something: by itself, or about another message.
    pub(crate) async fn say(
        &self,
        client: &Client,
        about: Option<About>,
        text: impl Into<Text>,
    ) -> Result<MessageId, ClientError> {
        match (self, about) {
            (Self::Person(to), None) => client.send_text(to, text).await,
            (Self::Person(to), Some(About::Reply(id))) => client.reply(to, id, text).await,
            (Self::Person(to), Some(About::Edit(id))) => client.edit(to, id, text).await,
            (Self::Group(to), None) => client.send_to_group(to, text).await,
            (Self::Group(to), Some(About::Reply(id))) => client.reply_in_group(to, id, text).await,
            (Self::Group(to), Some(About::Edit(id))) => client.edit_in_group(to, id, text).await,
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

    /// What is said here from now on disappears so many seconds after it was read, or stays.
    pub(crate) async fn set_disappearing(
        &self,
        client: &Client,
        seconds: Option<u32>,
    ) -> Result<(), ClientError> {
        match self {
            Self::Person(with) => client.set_disappearing(with, seconds).await,
            Self::Group(group) => client.set_disappearing_in_group(group, seconds).await,
        }
    }

    pub(crate) async fn mark_read(&self, client: &Client) -> Result<(), ClientError> {
        match self {
            Self::Person(with) => client.mark_read(with).await,
            Self::Group(group) => client.mark_group_read(group).await,
        }
    }
}
