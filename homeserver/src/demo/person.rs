//! A person of the demo: an account, a device and its connection, through the public client API.

use std::time::Duration;

use posthouse_client::{Api, Connection, Connector, Endpoint, Event, Trust, encode, message_id};
use posthouse_protocol::{
    content::{Content, Payload},
    frame::{Ack, AckTarget, Class, ClientFrame, PresenceUpdate, Submission},
    id::{AccountId, Address, HandleName, MessageId},
    rest::{NewDevice, Register, Secret, SessionTokens},
    status::Seen,
    time::Clock,
};
use rand::rngs::StdRng;

use super::{failed, process::Server};
use crate::{clock::SystemClock, failure::Failure};

/// The password of everyone in the demo.
pub(super) const PASSWORD: &str = "a throw-away password";

/// How long anything in the demo may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// A person with a device.
pub(super) struct Person {
    pub(super) name: &'static str,
    tokens: SessionTokens,
    connector: Connector,
    connection: Option<Connection>,
}

impl Person {
    /// Registers `name`, and connects.
    pub(super) async fn register(name: &'static str, server: &Server) -> Result<Self, Failure> {
        let ca = std::fs::read(server.authority())
            .map_err(|err| failed(format!("The demo's authority cannot be read: {err}.")))?;
        let url = format!("https://{}:{}", server.domain(), server.address().port());
        let endpoint = Endpoint::parse(&url).map_err(explain)?;
        let connector = Connector::new(endpoint, Trust::Pem(&ca)).map_err(explain)?;
        let connector = connector.at(server.address());
        let handle = HandleName::parse(name).map_err(explain)?;
        let request = Register {
            handle,
            password: Secret(PASSWORD.into()),
            invite: None,
            device: NewDevice { name: Some("demo".into()), registration_id: None },
        };
        let tokens = Api::new(connector.clone()).register(&request).await.map_err(explain)?;
        let mut person = Self { name, tokens, connector, connection: None };
        person.connect().await?;
        Ok(person)
    }

    /// The account.
    pub(super) fn account(&self) -> &AccountId {
        &self.tokens.account_id
    }

    /// Connects the device.
    pub(super) async fn connect(&mut self) -> Result<(), Failure> {
        let opened = Connection::open(&self.connector, &self.tokens.access_token).await;
        self.connection = Some(opened.map_err(explain)?);
        Ok(())
    }

    /// Sends a text and returns its id.
    pub(super) async fn write(
        &mut self,
        to: &Address,
        text: &str,
        rng: &mut StdRng,
    ) -> Result<MessageId, Failure> {
        let now = SystemClock.now();
        let id = message_id(now, rng);
        let content =
            Content { kind: "text".into(), encrypted: false, payload: Payload::Body(text.into()) };
        let submission = Submission {
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
            timestamp: Some(now),
            content,
        };
        self.send(&ClientFrame::Message(Box::new(submission))).await?;
        Ok(id)
    }

    /// Acknowledges messages.
    pub(super) async fn ack(&mut self, ids: Vec<MessageId>, seen: Seen) -> Result<(), Failure> {
        let target = AckTarget::Messages { ids, from: None };
        self.send(&ClientFrame::Ack(Ack { target, seen })).await
    }

    /// Begins to type to someone.
    pub(super) async fn type_to(&mut self, to: &AccountId) -> Result<(), Failure> {
        let to = Address::Account(to.clone());
        let update = PresenceUpdate::Typing { to, started: true };
        self.send(&ClientFrame::Presence(update)).await
    }

    /// Waits for an event from which `pick` takes something.
    pub(super) async fn wait<T>(
        &mut self,
        what: &str,
        mut pick: impl FnMut(&Event) -> Option<T>,
    ) -> Result<T, Failure> {
        let name = self.name;
        let connection = self.connection.as_mut().ok_or_else(|| offline(name))?;
        let picked = tokio::time::timeout(PATIENCE, async {
            loop {
                let event = connection.next().await.map_err(explain)?;
                if let Event::Refused(refusal) = &event {
                    return Err(failed(format!("{name} was refused: {}.", refusal.message)));
                }
                if let Some(picked) = pick(&event) {
                    return Ok(picked);
                }
            }
        });
        picked.await.map_err(|_| failed(format!("{name} waited for {what} in vain.")))?
    }

    async fn send(&mut self, frame: &ClientFrame) -> Result<(), Failure> {
        let name = self.name;
        let connection = self.connection.as_mut().ok_or_else(|| offline(name))?;
        connection.queue_text(encode(frame)).map_err(explain)?;
        connection.flush().await.map_err(explain)
    }
}

fn offline(name: &str) -> Failure {
    failed(format!("{name} is not connected."))
}

/// An error of the client, as a failure of the demo.
fn explain(err: impl core::fmt::Display) -> Failure {
    failed(format!("A step of the demo failed: {err}."))
}
