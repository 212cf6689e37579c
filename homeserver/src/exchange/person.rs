//! A person who takes part: an account, a device and its connection, through the public client API.

use std::time::Duration;

use posthouse_client::{Api, Connection, Event, encode, message_id};
use posthouse_protocol::{
    content::{Content, Payload},
    frame::{Ack, AckTarget, Class, ClientFrame, PresenceUpdate, Submission},
    id::{AccountId, Address, MessageId},
    rest::{NewDevice, Register, Secret, SessionTokens},
    status::Seen,
    time::Clock,
};
use rand::rngs::StdRng;

use super::{Fault, Region, Stage};
use crate::clock::SystemClock;

/// A person with a device.
pub(super) struct Person {
    pub(super) name: &'static str,
    tokens: SessionTokens,
    connection: Connection,
    patience: Duration,
}

impl Person {
    /// Registers the person whom the story calls `name`, and connects.
    pub(super) async fn register(
        name: &'static str,
        region: &Region,
        stage: &Stage,
    ) -> Result<Self, Fault> {
        let request = Register {
            handle: region.handle.clone(),
            password: Secret(stage.password.clone()),
            invite: None,
            device: NewDevice { name: Some(name.into()), registration_id: None },
        };
        let connector = region.connector.clone();
        let tokens = Api::new(connector.clone()).register(&request).await.map_err(explain)?;
        let opened = Connection::open(&connector, &tokens.access_token).await;
        let connection = opened.map_err(explain)?;
        Ok(Self { name, tokens, connection, patience: stage.patience })
    }

    /// The account.
    pub(super) fn account(&self) -> &AccountId {
        &self.tokens.account_id
    }

    /// Sends a text and returns its id.
    pub(super) async fn write(
        &mut self,
        to: &Address,
        text: &str,
        rng: &mut StdRng,
    ) -> Result<MessageId, Fault> {
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
    pub(super) async fn ack(&mut self, ids: Vec<MessageId>, seen: Seen) -> Result<(), Fault> {
        let target = AckTarget::Messages { ids, from: None };
        self.send(&ClientFrame::Ack(Ack { target, seen })).await
    }

    /// Begins to type to someone.
    pub(super) async fn type_to(&mut self, to: &AccountId) -> Result<(), Fault> {
        let to = Address::Account(to.clone());
        let update = PresenceUpdate::Typing { to, started: true };
        self.send(&ClientFrame::Presence(update)).await
    }

    /// Waits for the next message, which must be `id`: none that came before comes again, and none
    /// overtakes it.
    pub(super) async fn receive(&mut self, id: MessageId) -> Result<(), Fault> {
        let got = self
            .wait("a message", |event| match event {
                Event::Message(message) => Some(message.id),
                _ => None,
            })
            .await?;
        if got == id {
            return Ok(());
        }
        Err(Fault(format!("{} got the message {got} where {id} was due.", self.name)))
    }

    /// Waits for an event from which `pick` takes something.
    pub(super) async fn wait<T>(
        &mut self,
        what: &str,
        mut pick: impl FnMut(&Event) -> Option<T>,
    ) -> Result<T, Fault> {
        let name = self.name;
        let connection = &mut self.connection;
        let picked = tokio::time::timeout(self.patience, async {
            loop {
                let event = connection.next().await.map_err(explain)?;
                if let Event::Refused(refusal) = &event {
                    return Err(Fault(format!("{name} was refused: {}.", refusal.message)));
                }
                if let Some(picked) = pick(&event) {
                    return Ok(picked);
                }
            }
        });
        picked.await.map_err(|_| Fault(format!("{name} waited for {what} in vain.")))?
    }

    async fn send(&mut self, frame: &ClientFrame) -> Result<(), Fault> {
        self.connection.queue_text(encode(frame)).map_err(explain)?;
        self.connection.flush().await.map_err(explain)
    }
}

/// An error of the client, as a fault of the exchange.
fn explain(err: impl core::fmt::Display) -> Fault {
    Fault(format!("A call of the client API failed: {err}."))
}
