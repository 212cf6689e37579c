//! The messaging port of the client API.

use std::sync::Arc;

use async_trait::async_trait;
use posthouse_client_api::{
    mailbox::Mailbox,
    ports::{Answer, Caller, Feed as FeedPort, Messaging},
};
use posthouse_federation::engine::ephemeral::{Ephemeral, EphemeralKey};
use posthouse_protocol::{
    cursor::{Cursor, Since},
    federation::{
        event::{Event, EventClass, EventKind},
        message,
    },
    frame::{Ack, Class, Submission},
    id::{AccountId, Address, ConversationId, MessageId},
    limits,
    problem::{Code, Rejection},
    rest::{Conversations as ConversationPage, SyncPage},
    time::{Clock, Stamp},
};
use posthouse_storage::{
    bodies::BodyId, conversations::Conversations, inbox::StoredMessage, message_store::MessageStore,
};

use super::{
    Committer, Connections, GroupGate, Progress,
    accept::{Admitted, Gate, Reception},
    commit::refuse,
    feed::Feed,
    lists,
    local::Line,
    receipts::{Readers, Receipts},
    route::route,
    sync,
    window::Window,
};
use crate::{
    accounts::{Directory, store_failed},
    people::Relations,
    presence::{Acquaintance, Watchers},
    random::Random,
};

/// Messages of one region.
pub struct MessagingService {
    /// Policy.
    pub gate: Gate,
    /// Policy of groups.
    pub groups: GroupGate,
    /// The commit queue.
    pub committer: Committer,
    /// What is kept.
    pub store: MessageStore,
    /// Connected devices.
    pub connections: Arc<Connections>,
    /// Positions on their way to the store.
    pub progress: Arc<Progress>,
    /// Handles and devices.
    pub directory: Arc<Directory>,
    /// Who watches whose presence.
    pub watchers: Arc<Watchers>,
    /// Who has exchanged messages.
    pub acquaintance: Arc<Acquaintance>,
    /// Who hears whom.
    pub relations: Arc<Relations>,
    /// Lists of conversations.
    pub lists: Arc<dyn Conversations>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Random numbers.
    pub random: Arc<Random>,
}

#[async_trait]
impl Messaging for MessagingService {
    async fn submit(&self, caller: &Caller, submission: Submission, answer: Answer) {
        let id = submission.id;
        let now = self.clock.now();
        if submission.class == Class::Ephemeral && matches!(answer, Answer::Request(_)) {
            let detail = "ephemeral messages are for the socket";
            return refuse(answer, id, Rejection::new(Code::BadRequest, detail));
        }
        if submission.supplement {
            return self.supplement(caller, submission, answer).await;
        }
        if let Address::Group(group) = &submission.to {
            let group = group.clone();
            return self.submit_to_group(caller, submission, group, answer).await;
        }
        let admitted = match self.gate.admit(caller, submission, now).await {
            Ok(admitted) => admitted,
            Err(rejection) => return refuse(answer, id, rejection),
        };
        if admitted.submission().class == Class::Ephemeral {
            return self.pass_on(&admitted, answer).await;
        }
        if let Err(rejection) = self.introduce(&admitted).await {
            return refuse(answer, id, rejection);
        }
        let body = BodyId::new(now, self.random.bytes());
        let plan = route(&admitted, self.directory.server(), body);
        self.committer.commit(plan, answer).await;
    }

    async fn connect(
        &self,
        caller: &Caller,
        mailbox: Arc<Mailbox>,
    ) -> Result<Box<dyn FeedPort>, Rejection> {
        let account = caller.account.uuid;
        // The line first: what is committed after the inbox is read is on it.
        let line = Arc::new(Line::new(caller.clone(), mailbox));
        self.connections.open(account, Arc::clone(&line));
        self.watchers.changed(account);
        let mut feed = Feed {
            caller: caller.clone(),
            line,
            window: Window::new(Cursor::START),
            store: self.store.clone(),
            receipts: self.receipts(),
            watchers: Arc::clone(&self.watchers),
            clock: Arc::clone(&self.clock),
            behind: true,
            told_caught_up: false,
            held_back: false,
        };
        // From here on dropping the feed takes the line back.
        feed.window = Window::new(self.position(caller).await?);
        Ok(Box::new(feed))
    }

    async fn sync(
        &self,
        caller: &Caller,
        since: Option<Since>,
        limit: usize,
    ) -> Result<SyncPage, Rejection> {
        let position = self.position(caller).await?;
        let limit = limit.clamp(1, limits::MAX_SYNC_PAGE);
        sync::page(&self.store, caller, since, position, (limit, self.clock.now())).await
    }

    async fn acknowledge(&self, caller: &Caller, ack: Ack) -> Result<(), Rejection> {
        let position = self.position(caller).await?;
        let parameters = (ack, position, self.clock.now());
        sync::acknowledge(&self.store, &self.receipts(), caller, parameters).await
    }

    async fn conversations(
        &self,
        caller: &Caller,
        before: Option<(Stamp, ConversationId)>,
        limit: usize,
    ) -> Result<ConversationPage, Rejection> {
        lists::page(self.lists.as_ref(), caller, before, limit).await
    }

    async fn delete_conversation(
        &self,
        caller: &Caller,
        conversation: ConversationId,
    ) -> Result<(), Rejection> {
        lists::delete(self.lists.as_ref(), caller, conversation).await
    }

    async fn delete_messages(
        &self,
        caller: &Caller,
        messages: Vec<(AccountId, MessageId)>,
    ) -> Result<u64, Rejection> {
        let deleted = self.lists.delete_messages(caller.account.uuid, &messages).await;
        let deleted = deleted.map_err(|err| store_failed(&err))?;
        Ok(u64::try_from(deleted).unwrap_or(u64::MAX))
    }
}

impl MessagingService {
    /// Where the device is: what it acknowledged last may not be in the store yet.
    async fn position(&self, caller: &Caller) -> Result<Cursor, Rejection> {
        let account = caller.account.uuid;
        // Asked before the store is, so that no write in between hides it from both.
        let reached = self.progress.reached(caller.device);
        let devices = self.directory.current_devices(account, self.clock.now()).await?;
        let device = devices.iter().find(|device| device.id == caller.device);
        let device =
            device.ok_or_else(|| Rejection::new(Code::Unauthorized, "the device was removed"))?;
        Ok(device.position.max(reached.unwrap_or_default()))
    }

    fn receipts(&self) -> Receipts {
        Receipts {
            server: self.directory.server().clone(),
            connections: Arc::clone(&self.connections),
            progress: Arc::clone(&self.progress),
            random: Arc::clone(&self.random),
            regions: Arc::clone(self.directory.regions()),
            wishes: Arc::new(Readers {
                relations: Arc::clone(&self.relations),
                book: self.groups.book(),
            }),
        }
    }

    /// Writes down, before the message is, that the recipient is asked whether to hear the sender, or
    /// that the sender has answered the recipient's request.
    async fn introduce(&self, admitted: &Admitted) -> Result<(), Rejection> {
        let Reception { asks, replies, .. } = admitted.reception();
        let (sender, recipient) = (&admitted.sender().account, admitted.recipient());
        if asks {
            let from = [(recipient.uuid, sender.clone())];
            let asked = self.relations.ask(&from, admitted.at()).await;
            asked.map_err(|err| store_failed(&err))?;
        }
        if replies {
            self.relations.replied(sender.uuid, recipient, admitted.at()).await?;
        }
        Ok(())
    }

    /// An ephemeral message: to devices that are connected now, of people who know the sender.
    /// Nothing is stored, and only a refusal is answered on a socket.
    async fn pass_on(&self, admitted: &Admitted, answer: Answer) {
        let submission = admitted.submission();
        let (sender, recipient) = (&admitted.sender().account, admitted.recipient());
        let at = admitted.at();
        let conversation = ConversationId::direct(sender, recipient);
        match self.acquaintance.all(&[conversation]).await {
            Err(rejection) => return refuse(answer, submission.id, rejection),
            // Strangers are told nothing, not even that they are strangers.
            Ok(known) if known.first() != Some(&true) || admitted.reception().discard => {}
            Ok(_) if recipient.server != *self.directory.server() => self.whisper(admitted),
            Ok(_) => {
                let message = StoredMessage {
                    part: 0,
                    sender: sender.clone(),
                    device: Some(admitted.sender().device),
                    device_number: Some(admitted.sender().number),
                    device_list_version: None,
                    id: submission.id,
                    to: recipient.to_string(),
                    conversation,
                    stamp: Stamp::default(),
                    origin_number: 0,
                    class: Class::Ephemeral,
                    collapse: submission.collapse.clone(),
                    expires: submission.expires,
                    epoch: submission.epoch,
                    client_timestamp: submission.timestamp.unwrap_or(at),
                    accepted_at: at,
                    body: BodyId::floor(at),
                };
                let body = submission.content.to_stored();
                self.connections.pass_on(recipient.uuid, &message, &body);
            }
        }
        if let Answer::Socket(mailbox) = answer {
            mailbox.release();
        }
    }

    /// The same to a person of another region.
    fn whisper(&self, admitted: &Admitted) {
        let submission = admitted.submission();
        let (sender, recipient) = (&admitted.sender().account, admitted.recipient());
        let at = admitted.at();
        let conversation = ConversationId::direct(sender, recipient);
        let mut event = Event {
            conversation: Some(conversation),
            sender_device: Some(admitted.sender().number),
            recipients: vec![recipient.uuid],
            stamp: Some(Stamp::default()),
            origin_number: Some(0),
            client_timestamp: Some(submission.timestamp.unwrap_or(at)),
            accepted_at: Some(at),
            collapse: submission.collapse.clone(),
            expires: submission.expires,
            ..Event::new(EventKind::Message, EventClass::Ephemeral)
        };
        if message::put(&mut event, &submission.content, &recipient.server).is_err() {
            return;
        }
        let id = submission.id.0;
        // None replaces another, unless the client says so by a collapse key.
        let key = EphemeralKey {
            kind: EventKind::Message.number(),
            sender: if submission.collapse.is_some() { sender.uuid } else { id },
            conversation: Some(conversation),
        };
        let event = event.encode().into();
        let ephemeral = Ephemeral { key, sender: sender.uuid, id, event };
        self.directory.regions().whisper(&recipient.server, ephemeral);
    }
}
