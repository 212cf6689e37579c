//! A device of a test: registered or logged in, with or without a socket.

use std::time::Duration;

use posthouse_client::{Api, Closed, Connection, Error, Event, Message, Refusal, message_id};
use posthouse_protocol::{
    content::{Content, Payload},
    cursor::Cursor,
    frame::{Ack, AckTarget, Class, ClientFrame, StatusFrame, Submission, WatermarkFrame},
    id::{AccountId, Address, HandleName, MessageId},
    rest::{LogIn, NewDevice, Register, Secret, SessionTokens},
    status::{Seen, Status},
    time::Clock,
};

use super::home::Home;

pub(crate) const PASSWORD: &str = "correct horse battery";

/// How long anything may take that a test waits for.
pub(crate) const PATIENCE: Duration = Duration::from_mins(1);

pub(crate) struct Device {
    pub(crate) tokens: SessionTokens,
    pub(crate) api: Api,
    pub(crate) connection: Option<Connection>,
}

impl Device {
    /// Registers an account with this as its first device.
    pub(crate) async fn register(home: &Home, handle: &str) -> Self {
        let request = Register {
            handle: HandleName::parse(handle).unwrap(),
            password: Secret(PASSWORD.into()),
            invite: None,
            device: NewDevice::default(),
        };
        let api = home.api();
        let tokens = api.register(&request).await.unwrap();
        Self { tokens, api, connection: None }
    }

    /// The same device in another process: it has the tokens, and no connection yet.
    pub(crate) fn again(&self, home: &Home) -> Self {
        Self { tokens: self.tokens.clone(), api: home.api(), connection: None }
    }

    /// Logs in as a further device of an account.
    pub(crate) async fn log_in(home: &Home, handle: &str) -> Self {
        Self::log_in_with(home, &log_in(handle, PASSWORD)).await
    }

    pub(crate) async fn log_in_with(home: &Home, request: &LogIn) -> Self {
        let api = home.api();
        let tokens = api.log_in(request).await.unwrap();
        Self { tokens, api, connection: None }
    }

    pub(crate) fn account(&self) -> &AccountId {
        &self.tokens.account_id
    }

    pub(crate) fn token(&self) -> &Secret {
        &self.tokens.access_token
    }

    /// Connects, and expects the connection to be granted.
    pub(crate) async fn connect(&mut self, home: &Home) {
        self.api = home.api();
        let opened = Connection::open(&home.connector(), &self.tokens.access_token).await;
        self.connection = Some(opened.unwrap());
    }

    /// Connects, and drains the backlog: its messages, in order.
    pub(crate) async fn catch_up(&mut self, home: &Home) -> Vec<Message> {
        self.connect(home).await;
        let mut backlog = Vec::new();
        loop {
            match self.next().await {
                Event::Message(message) => backlog.push(*message),
                Event::CaughtUp { .. } => return backlog,
                _ => {}
            }
        }
    }

    /// Drops the connection without a word.
    pub(crate) fn vanish(&mut self) {
        self.connection = None;
    }

    /// Closes the connection.
    pub(crate) async fn leave(&mut self) {
        self.connection.take().unwrap().close().await;
    }

    pub(crate) async fn next(&mut self) -> Event {
        self.try_next().await.unwrap()
    }

    pub(crate) async fn try_next(&mut self) -> Result<Event, Error> {
        let connection = self.connection.as_mut().expect("the device is connected");
        tokio::time::timeout(PATIENCE, connection.next()).await.expect("an event comes in time")
    }

    /// The next event from which `pick` takes something; others are passed over.
    pub(crate) async fn wait<T>(&mut self, mut pick: impl FnMut(Event) -> Option<T>) -> T {
        loop {
            if let Some(picked) = pick(self.next().await) {
                return picked;
            }
        }
    }

    /// How the connection ends.
    pub(crate) async fn closed(&mut self) -> Closed {
        loop {
            match self.try_next().await {
                Ok(_) => {}
                Err(Error::Closed(closed)) => return closed,
                Err(err) => panic!("{err}"),
            }
        }
    }

    pub(crate) async fn send(&mut self, frame: ClientFrame) {
        self.connection.as_mut().unwrap().send(&frame).await.unwrap();
    }

    /// Submits a text and waits for `sent`.
    pub(crate) async fn write(&mut self, to: &AccountId, text: &str) -> StatusFrame {
        let submission = submission(to, text);
        self.submit(submission).await.unwrap()
    }

    /// Submits, and waits for the answer.
    pub(crate) async fn submit(&mut self, submission: Submission) -> Result<StatusFrame, Refusal> {
        let id = submission.id;
        self.send(ClientFrame::Message(Box::new(submission))).await;
        self.wait(|event| match event {
            Event::Status(status) if status.message_id == id && status.status == Status::Sent => {
                Some(Ok(*status))
            }
            Event::Refused(refusal) if refusal.reference == Some(id.to_string()) => {
                Some(Err(*refusal))
            }
            _ => None,
        })
        .await
    }

    pub(crate) async fn message(&mut self) -> Message {
        self.wait(|event| match event {
            Event::Message(message) => Some(*message),
            _ => None,
        })
        .await
    }

    pub(crate) async fn status(&mut self, id: MessageId, wanted: Status) -> StatusFrame {
        self.wait(|event| match event {
            Event::Status(status) if status.message_id == id && status.status == wanted => {
                Some(*status)
            }
            _ => None,
        })
        .await
    }

    pub(crate) async fn watermark(&mut self, wanted: Status) -> WatermarkFrame {
        self.wait(|event| match event {
            Event::Watermark(mark) if mark.status == wanted => Some(*mark),
            _ => None,
        })
        .await
    }

    pub(crate) async fn ack(&mut self, ids: Vec<MessageId>, seen: Seen) {
        let target = AckTarget::Messages { ids, from: None };
        self.send(ClientFrame::Ack(Ack { target, seen })).await;
    }

    pub(crate) async fn ack_through(&mut self, cursor: Cursor) {
        let target = AckTarget::Through(cursor);
        self.send(ClientFrame::Ack(Ack { target, seen: Seen::Delivered })).await;
    }

    /// Waits until the server has handled everything that was sent before.
    pub(crate) async fn settle(&mut self) -> Vec<Event> {
        let reference = new_id().to_string();
        self.send(ClientFrame::Ping(Some(reference.clone()))).await;
        let mut before = Vec::new();
        loop {
            match self.next().await {
                Event::Pong(answer) if answer.as_ref() == Some(&reference) => return before,
                event => before.push(event),
            }
        }
    }
}

pub(crate) fn log_in(user: &str, password: &str) -> LogIn {
    LogIn {
        user: user.into(),
        password: Secret(password.into()),
        code: None,
        recovery_code: None,
        device_id: None,
        device: NewDevice::default(),
    }
}

pub(crate) fn submission(to: &AccountId, text: &str) -> Submission {
    Submission {
        id: new_id(),
        to: Address::Account(to.clone()),
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
            kind: "text".into(),
            encrypted: false,
            payload: Payload::Body(text.into()),
        },
    }
}

pub(crate) fn new_id() -> MessageId {
    use rand::{SeedableRng, rngs::StdRng};
    let mut seed = [0; 32];
    getrandom::fill(&mut seed).unwrap();
    message_id(posthouse_homeserver::clock::SystemClock.now(), &mut StdRng::from_seed(seed))
}

pub(crate) fn text(message: &Message) -> &str {
    match &message.content.payload {
        Payload::Body(body) => body,
        Payload::Ciphertexts(_) => panic!("a body is expected"),
    }
}
