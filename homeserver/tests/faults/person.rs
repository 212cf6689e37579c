//! A person with one device, who keeps book of everything that it is told.

use std::{
    collections::{HashMap, HashSet},
    net::SocketAddr,
    time::Duration,
};

use posthouse_client::{
    Api, Connection, Connector, Endpoint, Event, Message, Refusal, Trust, message_id,
};
use posthouse_protocol::{
    content::{Content, Payload},
    cursor::Cursor,
    frame::{Ack, AckTarget, Class, ClientFrame, Submission},
    id::{AccountId, Address, ConversationId, HandleName, MessageId},
    rest::{NewDevice, Register, SessionTokens, SyncPage},
    status::{Seen, Status},
    time::Timestamp,
};
use rand::{RngExt, rngs::StdRng};
use tokio::time::{Instant, timeout_at};

/// A pause before another attempt to connect.
const AGAIN: Duration = Duration::from_millis(50);

/// A person.
pub(crate) struct Person {
    pub(crate) account: AccountId,
    pub(crate) tokens: SessionTokens,
    connector: Connector,
    connection: Option<Connection>,
    rng: StdRng,
    book: Book,
}

/// What was told.
#[derive(Default)]
struct Book {
    /// Messages, in the order in which they came for the first time.
    inbox: Vec<Message>,
    places: HashMap<(AccountId, MessageId), usize>,
    /// What the region promised for messages of this device.
    sent: HashMap<MessageId, (ConversationId, u64)>,
    single: HashSet<(MessageId, Status)>,
    /// How far a watermark has risen.
    marks: HashMap<(ConversationId, Status), u64>,
    refused: Vec<Refusal>,
    /// Whether messages may fail; in most stories none may.
    may_fail: bool,
    highest: Cursor,
}

impl Person {
    /// Registers `name` at the server, and connects.
    pub(crate) async fn register(name: &str, server: SocketAddr, mut rng: StdRng) -> Self {
        let endpoint = Endpoint::parse(&format!("http://{server}")).unwrap();
        let connector = Connector::new(endpoint, Trust::System).unwrap();
        let password: u128 = rng.random_range(0..u128::MAX);
        let request = Register {
            handle: HandleName::parse(name).unwrap(),
            password: posthouse_protocol::rest::Secret(format!("{password:x}")),
            invite: None,
            device: NewDevice::default(),
        };
        let tokens = Api::new(connector.clone()).register(&request).await.unwrap();
        let (account, book) = (tokens.account_id.clone(), Book::default());
        Self { account, tokens, connector, connection: None, rng, book }
    }

    /// Writes `texts` to `to`, one after the other, without waiting for anything but room.
    pub(crate) async fn write(&mut self, to: &Address, texts: &[String]) -> Vec<MessageId> {
        let mut ids = Vec::new();
        for text in texts {
            let id = message_id(Timestamp(0), &mut self.rng);
            let frame = ClientFrame::Message(Box::new(submission(id, to, text)));
            self.connected().await.send(&frame).await.unwrap();
            ids.push(id);
        }
        ids
    }

    /// Takes what comes until `holds`; reconnects when the connection ends.
    pub(crate) async fn until(
        &mut self,
        what: &str,
        patience: Duration,
        holds: impl Fn(&Self) -> bool,
    ) {
        let deadline = Instant::now() + patience;
        while !holds(self) {
            let next = async { self.connected().await.next().await };
            let Ok(event) = timeout_at(deadline, next).await else {
                panic!("{} waited in vain for {what}: {}", self.account, self.summary());
            };
            match event {
                Ok(event) => self.note(event).await,
                Err(err) if err.is_transient() => self.connection = None,
                Err(err) => panic!("{}: {err}", self.account),
            }
        }
    }

    /// From now on messages may fail.
    pub(crate) fn expect_failures(&mut self) {
        self.book.may_fail = true;
    }

    /// Ends the connection; the next act makes another.
    pub(crate) fn hang_up(&mut self) {
        self.connection = None;
    }

    /// All of the messages have been told `sent`.
    pub(crate) fn was_told_sent(&self, ids: &[MessageId]) -> bool {
        ids.iter().all(|id| self.book.sent.contains_key(id))
    }

    /// All of the messages have got so far, by a status of their own or by a watermark.
    pub(crate) fn reached(&self, ids: &[MessageId], status: Status) -> bool {
        ids.iter().all(|id| {
            let marked = self.book.sent.get(id).is_some_and(|(conversation, number)| {
                let through = self.book.marks.get(&(*conversation, status));
                through.is_some_and(|through| through >= number)
            });
            marked || self.book.single.contains(&(*id, status))
        })
    }

    /// The message was told `queued`.
    pub(crate) fn was_told_queued(&self, id: MessageId) -> bool {
        self.book.single.contains(&(id, Status::Queued))
    }

    /// How many different messages have come.
    pub(crate) fn received(&self) -> usize {
        self.book.inbox.len()
    }

    /// The last refusal of a message.
    pub(crate) fn refusal(&self) -> Option<&Refusal> {
        self.book.refused.last()
    }

    /// The ids of what has come, each once, in the order in which they came first.
    pub(crate) fn ids(&self) -> Vec<MessageId> {
        self.book.inbox.iter().map(|message| message.id).collect()
    }

    /// The ids of all messages that the region keeps for this device, from the first on.
    pub(crate) async fn kept(&self) -> Vec<MessageId> {
        let mut kept = Vec::new();
        let page = |page: SyncPage| {
            kept.extend(page.messages.iter().map(|text| Message::parse(text.get()).unwrap().id));
        };
        let api = Api::new(self.connector.clone());
        api.drain(&self.tokens.access_token, Cursor::START, 500, page).await.unwrap();
        kept
    }

    /// The connection; made anew until it stands.
    async fn connected(&mut self) -> &mut Connection {
        while self.connection.is_none() {
            match Connection::open(&self.connector, &self.tokens.access_token).await {
                Ok(connection) => {
                    self.book.highest = Cursor::START;
                    self.connection = Some(connection);
                }
                Err(err) if err.is_transient() => tokio::time::sleep(AGAIN).await,
                Err(err) => panic!("{}: {err}", self.account),
            }
        }
        self.connection.as_mut().unwrap()
    }

    async fn note(&mut self, event: Event) {
        let Some(cursor) = self.book.note(event) else { return };
        let target = AckTarget::Through(cursor);
        let ack = ClientFrame::Ack(Ack { target, seen: Seen::Delivered });
        // If it does not arrive, the message comes again.
        if let Some(connection) = &mut self.connection
            && connection.send(&ack).await.is_err()
        {
            self.connection = None;
        }
    }

    fn summary(&self) -> String {
        let Book { inbox, sent, single, marks, refused, .. } = &self.book;
        let (inbox, sent) = (inbox.len(), sent.len());
        format!("{inbox} received, {sent} sent, {marks:?}, {refused:?}, {single:?}")
    }
}

impl Book {
    /// Writes an event down; what is to be acknowledged comes back.
    fn note(&mut self, event: Event) -> Option<Cursor> {
        match event {
            Event::Message(message) => {
                let place = message.place.expect("a place");
                assert!(place.cursor > self.highest, "on one connection cursors rise");
                self.highest = place.cursor;
                let key = (message.from.clone(), message.id);
                if let Some(first) = self.places.get(&key).and_then(|at| self.inbox.get(*at)) {
                    // A region that was restored gives it another cursor.
                    assert_eq!(first.content, message.content);
                    assert_eq!(first.place.map(|at| at.stamp), Some(place.stamp));
                } else {
                    self.places.insert(key, self.inbox.len());
                    self.inbox.push(*message);
                }
                return Some(place.cursor);
            }
            Event::Status(status) => {
                assert!(self.may_fail || status.status != Status::Failed, "{status:?}");
                if let (Status::Sent, Some(conversation), Some(number)) =
                    (status.status, status.conversation_id, status.origin_number)
                {
                    self.sent.insert(status.message_id, (conversation, number));
                }
                self.single.insert((status.message_id, status.status));
            }
            Event::Watermark(mark) => {
                assert!(self.may_fail || mark.except.is_empty(), "{mark:?}");
                let key = (mark.conversation_id, mark.status);
                let through = self.marks.entry(key).or_default();
                *through = mark.through.max(*through);
            }
            Event::Refused(refusal) => self.refused.push(*refusal),
            _ => {}
        }
        None
    }
}

/// A message of one text.
fn submission(id: MessageId, to: &Address, text: &str) -> Submission {
    Submission {
        id,
        to: to.clone(),
        after: None,
        prev: None,
        class: Class::Message,
        collapse: None,
        expires: None,
        device_list_version: None,
        epoch: None,
        supplement: false,
        timestamp: None,
        content: Content {
            kind: "encrypted".into(),
            encrypted: true,
            payload: Payload::Body(text.to_owned()),
        },
    }
}
