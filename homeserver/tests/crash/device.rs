//! A device of a person who writes with one other person, and reconnects whatever happens.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use posthouse_client::{
    Api, Backoff, Connection, Connector, Endpoint, Error, Event, Message, Trust, message_id,
};
use posthouse_protocol::{
    content::{Content, Payload},
    cursor::Cursor,
    frame::{Ack, AckTarget, Class, ClientFrame, Submission},
    id::{AccountId, Address, HandleName},
    rest::{NewDevice, Register, Secret, SyncPage},
    status::Seen,
    time::Timestamp,
};
use rand::{RngExt, rngs::StdRng};

use crate::ledger::{Received, Sent};

/// Most messages of a device that wait for their answer.
const WINDOW: usize = 20;
/// Entries of a page when an inbox is compared at the end.
const PAGE: usize = 500;

/// A device.
pub(crate) struct Device {
    account: AccountId,
    access: Secret,
    /// All servers of the region; each connection takes the next one.
    servers: Vec<Connector>,
    turn: usize,
    rng: StdRng,
    peer: Option<AccountId>,
    pub(crate) sent: Sent,
    pub(crate) received: Received,
}

impl Device {
    /// Registers a person with a device.
    pub(crate) async fn register(name: &str, servers: &[SocketAddr], rng: StdRng) -> Self {
        let servers: Vec<Connector> = servers
            .iter()
            .map(|address| {
                let endpoint = Endpoint::parse(&format!("http://{address}")).unwrap();
                Connector::new(endpoint, Trust::System).unwrap()
            })
            .collect();
        let request = Register {
            handle: HandleName::parse(name).unwrap(),
            password: Secret(format!("password of {name}")),
            invite: None,
            device: NewDevice::default(),
        };
        let tokens = Api::new(servers[0].clone()).register(&request).await.unwrap();
        Self {
            account: tokens.account_id.clone(),
            access: tokens.access_token.clone(),
            servers,
            turn: 0,
            rng,
            peer: None,
            sent: Sent::default(),
            received: Received::default(),
        }
    }

    /// The two write with each other.
    pub(crate) fn befriend(&mut self, other: &mut Self) {
        self.peer = Some(other.account.clone());
        other.peer = Some(self.account.clone());
    }

    /// Sends until `goal` messages have been told `sent`, and receives until as many of the peer
    /// have come. `answers` counts the first.
    pub(crate) async fn write_until(&mut self, goal: usize, answers: &Arc<AtomicUsize>) {
        let mut backoff = Backoff::new(Duration::from_millis(5), Duration::from_millis(200));
        self.turn += self.rng.random_range(0..self.servers.len());
        while !self.is_done(goal) {
            match self.talk(goal, answers, &mut backoff).await {
                Ok(()) => {}
                Err(err) if err.is_transient() => {
                    tokio::time::sleep(backoff.delay(&mut self.rng)).await;
                }
                Err(err) => panic!("{}: {err}", self.account),
            }
        }
    }

    fn is_done(&self, goal: usize) -> bool {
        self.sent.answered >= goal && self.received.count() >= goal
    }

    /// One connection, until it ends or all is done.
    async fn talk(
        &mut self,
        goal: usize,
        answers: &Arc<AtomicUsize>,
        backoff: &mut Backoff,
    ) -> Result<(), Error> {
        let server = &self.servers[self.turn % self.servers.len()];
        self.turn += 1;
        let mut connection = Connection::open(server, &self.access).await?;
        backoff.reset();
        self.received.reconnected();
        // Whatever has no answer is sent again, under the same id and in the same order.
        let mut next = self.sent.answered;
        while !self.is_done(goal) {
            while next < goal && next < self.sent.answered + WINDOW {
                if !self.sent.is_answered(next) {
                    connection.queue(&self.message(next))?;
                }
                next += 1;
            }
            let before = self.sent.answered;
            let mut through = self.take(connection.next().await?);
            while let Some(text) = connection.ready_text()? {
                through = self.take(Event::parse(&text)?).or(through);
            }
            answers.fetch_add(self.sent.answered - before, Ordering::Relaxed);
            if let Some(cursor) = through {
                let target = AckTarget::Through(cursor);
                connection.queue(&ClientFrame::Ack(Ack { target, seen: Seen::Delivered }))?;
            }
        }
        connection.flush().await
    }

    /// Takes an event; a message's cursor is to be acknowledged.
    fn take(&mut self, event: Event) -> Option<Cursor> {
        match event {
            Event::Message(message) => {
                assert_eq!(Some(&message.from), self.peer.as_ref());
                let cursor = message.place.map(|place| place.cursor);
                self.received.take(*message);
                cursor
            }
            Event::Status(status) => {
                self.sent.status(&status);
                None
            }
            Event::Refused(refusal) => panic!("{}: {refusal:?}", self.account),
            _ => None,
        }
    }

    /// The message of that number, the same every time.
    fn message(&mut self, number: usize) -> ClientFrame {
        if number == self.sent.ids.len() {
            self.sent.add(message_id(Timestamp(number as u64), &mut self.rng));
        }
        ClientFrame::Message(Box::new(Submission {
            id: self.sent.ids[number],
            to: Address::Account(self.peer.clone().expect("a peer")),
            after: self.received.highest,
            prev: number.checked_sub(1).map(|before| self.sent.ids[before]),
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
                payload: Payload::Body(number.to_string()),
            },
        }))
    }

    /// Reads the whole inbox anew and compares it with what came by socket.
    pub(crate) async fn compare_inbox(&self) {
        let server = &self.servers[self.turn % self.servers.len()];
        let mut inbox = Received::default();
        let page = |page: SyncPage| {
            for text in page.messages {
                inbox.take(Message::parse(text.get()).unwrap());
            }
        };
        let api = Api::new(server.clone());
        api.drain(&self.access, Cursor::START, PAGE, page).await.unwrap();
        assert_eq!(inbox.messages(), self.received.messages());
    }
}
