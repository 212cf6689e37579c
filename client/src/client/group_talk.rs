//! What is said in groups.

use posthouse_crypto::e2ee::content::Body;
use posthouse_protocol::{
    id::{ConversationId, GroupId, MessageId},
    rest::groups::Standing,
};

use super::{Client, words};
use crate::{ClientError, Text, machine::Wish, records::With, update::Entry};

impl Client {
    /// Sends a text to a group that this account is a member of; as [`Client::send_text`]. How
    /// many members have it comes as [`Update::Delivered`](crate::Update::Delivered).
    ///
    /// # Errors
    /// [`ClientError::UnknownGroup`] for who is no member, [`ClientError::TooLong`],
    /// [`ClientError::Stopped`].
    pub async fn send_to_group(
        &self,
        group: &GroupId,
        text: impl Into<Text>,
    ) -> Result<MessageId, ClientError> {
        self.say_words(group, text.into(), |text| Body::Text { text }, None).await
    }

    /// Sends a text to a group that disappears so many seconds after each member has read it.
    ///
    /// # Errors
    /// As [`Client::send_to_group`].
    pub async fn send_disappearing_to_group(
        &self,
        group: &GroupId,
        text: impl Into<Text>,
        seconds: u32,
    ) -> Result<MessageId, ClientError> {
        self.say_words(group, text.into(), |text| Body::Text { text }, Some(seconds)).await
    }

    /// What this device sends to the group from now on disappears so many seconds after each member
    /// has read it; with `None` it stays. As [`Client::set_disappearing`].
    ///
    /// # Errors
    /// [`ClientError::Stopped`].
    pub async fn set_disappearing_in_group(
        &self,
        group: &GroupId,
        seconds: Option<u32>,
    ) -> Result<(), ClientError> {
        self.wish(Wish::Disappear(group.clone().into(), seconds)).await
    }

    /// Tells the group that the own person types, or stopped; as [`Client::set_typing`].
    ///
    /// # Errors
    /// [`ClientError::Stopped`].
    pub async fn set_typing_in_group(
        &self,
        group: &GroupId,
        typing: bool,
    ) -> Result<(), ClientError> {
        self.wish(Wish::TypingIn(group.clone(), typing)).await
    }

    /// Answers a message of a group.
    ///
    /// # Errors
    /// As [`Client::send_to_group`].
    pub async fn reply_in_group(
        &self,
        group: &GroupId,
        target: MessageId,
        text: impl Into<Text>,
    ) -> Result<MessageId, ClientError> {
        let target = *target.0.as_bytes();
        self.say_words(group, text.into(), |text| Body::Reply { text, target }, None).await
    }

    /// Gives an own message in a group another text.
    ///
    /// # Errors
    /// As [`Client::send_to_group`].
    pub async fn edit_in_group(
        &self,
        group: &GroupId,
        target: MessageId,
        text: impl Into<Text>,
    ) -> Result<MessageId, ClientError> {
        let target = *target.0.as_bytes();
        self.say_words(group, text.into(), |text| Body::Edit { text, target }, None).await
    }

    /// Takes an own message in a group back, for everyone.
    ///
    /// # Errors
    /// As [`Client::send_to_group`].
    pub async fn delete_in_group(
        &self,
        group: &GroupId,
        target: MessageId,
    ) -> Result<MessageId, ClientError> {
        self.say_in(group, Body::Delete { target: *target.0.as_bytes() }).await
    }

    /// Reacts to a message in a group; an empty emoji takes the reaction back.
    ///
    /// # Errors
    /// As [`Client::send_to_group`].
    pub async fn react_in_group(
        &self,
        group: &GroupId,
        target: MessageId,
        emoji: &str,
    ) -> Result<MessageId, ClientError> {
        let target = *target.0.as_bytes();
        self.say_in(group, Body::Reaction { emoji: emoji.to_owned(), target }).await
    }

    /// The newest messages of a group before `before`; as [`Client::timeline`].
    ///
    /// # Errors
    /// [`ClientError::Store`].
    pub async fn group_timeline(
        &self,
        group: &GroupId,
        before: Option<&Entry>,
        limit: usize,
    ) -> Result<Vec<Entry>, ClientError> {
        self.timeline_of(ConversationId::group(group), before, limit).await
    }

    /// Everything in the group up to now was read. Nobody is told.
    ///
    /// # Errors
    /// [`ClientError::Stopped`].
    pub async fn mark_group_read(&self, group: &GroupId) -> Result<(), ClientError> {
        self.wish(Wish::ReadGroup(group.clone())).await
    }

    async fn say_words(
        &self,
        group: &GroupId,
        text: Text,
        body: impl FnOnce(String) -> Body,
        expires_after: Option<u32>,
    ) -> Result<MessageId, ClientError> {
        let to = self.speaking_in(group).await?;
        self.say_to(to, words(text, body, expires_after)).await
    }

    async fn say_in(&self, group: &GroupId, body: Body) -> Result<MessageId, ClientError> {
        let to = self.speaking_in(group).await?;
        self.say_to(to, body.into()).await
    }

    /// The group, in which this account may speak.
    async fn speaking_in(&self, group: &GroupId) -> Result<With, ClientError> {
        let standing = self.known_group(group).await?.standing(&self.account.id);
        if standing.is_none_or(|standing| standing < Standing::Member) {
            return Err(ClientError::UnknownGroup);
        }
        Ok(group.clone().into())
    }
}
