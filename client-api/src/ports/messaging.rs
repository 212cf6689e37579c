//! Messages: submission, the feed of a device, synchronisation.

use std::sync::Arc;

use async_trait::async_trait;
use posthouse_protocol::{
    cursor::Since,
    frame::{Ack, Submission},
    id::{AccountId, ConversationId, MessageId},
    problem::Rejection,
    rest::{Conversations, Sent, SyncPage},
    time::Stamp,
};
use tokio::sync::oneshot;

use super::Caller;
use crate::mailbox::{Frame, Mailbox};

/// Where the answer to a submission goes, once the message is durable or refused.
#[derive(Debug)]
pub enum Answer {
    /// As a `status` or `error` frame, by [`Mailbox::answer`], which also gives back the place that
    /// [`Mailbox::reserve`] took.
    Socket(Arc<Mailbox>),
    /// To a waiting request.
    Request(oneshot::Sender<Result<Sent, Rejection>>),
}

/// Messages.
#[async_trait]
pub trait Messaging: Send + Sync {
    /// Hands in a message. Returns once it is queued for the next commit (which may wait for room)
    /// or refused; the outcome goes to `answer` in every case, exactly once. Submissions handed in
    /// one after the other are accepted in that order.
    async fn submit(&self, caller: &Caller, submission: Submission, answer: Answer);

    /// Opens the feed of the caller's device: everything after its position, then live traffic. An
    /// earlier feed of the device is closed with [`crate::mailbox::Close::Replaced`].
    async fn connect(
        &self,
        caller: &Caller,
        mailbox: Arc<Mailbox>,
    ) -> Result<Box<dyn Feed>, Rejection>;

    /// A page of the inbox: from `since`, or from the device's position. It acknowledges nothing.
    async fn sync(
        &self,
        caller: &Caller,
        since: Option<Since>,
        limit: usize,
    ) -> Result<SyncPage, Rejection>;

    /// An acknowledgement without a socket.
    async fn acknowledge(&self, caller: &Caller, ack: Ack) -> Result<(), Rejection>;

    /// The caller's conversations, the latest activity first: those before a place, or the first.
    async fn conversations(
        &self,
        caller: &Caller,
        before: Option<(Stamp, ConversationId)>,
        limit: usize,
    ) -> Result<Conversations, Rejection>;

    /// Deletes a conversation of the caller's account for that account alone.
    async fn delete_conversation(
        &self,
        caller: &Caller,
        conversation: ConversationId,
    ) -> Result<(), Rejection>;

    /// Deletes messages from the inbox of the caller's account. How many were there.
    async fn delete_messages(
        &self,
        caller: &Caller,
        messages: Vec<(AccountId, MessageId)>,
    ) -> Result<u64, Rejection>;
}

/// What a connected device gets, in order and without a gap. Dropping it ends the connection's
/// part in presence and delivery.
#[async_trait]
pub trait Feed: Send {
    /// Appends the frames to be written now, at most a window of them. Whether there may be more: then
    /// it is to be called again after they are written. Else [`Mailbox::changed`] tells when to ask
    /// again.
    async fn pull(&mut self, out: &mut Vec<Frame>) -> Result<bool, Rejection>;

    /// An acknowledgement; it makes room in the window.
    async fn acknowledge(&mut self, ack: Ack) -> Result<(), Rejection>;

    /// Whether frames wait that the window holds back: the device has to acknowledge first. Only then
    /// is the feed asked again after an acknowledgement.
    fn is_held_back(&self) -> bool;
}
