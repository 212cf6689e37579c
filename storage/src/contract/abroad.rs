//! Other regions for the cases: what they send, and how far their streams were taken.

use bytes::Bytes;
use posthouse_protocol::{
    federation::{
        receipt::RejectionReason,
        record::Void,
        stream::{Incarnation, Lane, Standing},
    },
    frame::Class,
    id::{AccountId, ConversationId, DeviceNumber, MessageId, ServerName},
    time::{Stamp, Timestamp},
};
use uuid::Uuid;

use super::{
    Store,
    world::{Person, START, World, name, server},
};
use crate::{
    bodies::BodyId,
    inbox::StoredMessage,
    ledger::Arrival,
    receipts::{Risen, WatermarkRise},
    reception::{InboundStream, Received, ReceivedWatermark, Reception, Rejected, Taken},
};

/// Another region, and how far its stream was taken.
#[derive(Debug, Clone)]
pub struct Region {
    /// Its name.
    pub name: ServerName,
    /// Its stream as this process knows it.
    pub stream: InboundStream,
}

/// What one envelope brings.
#[derive(Debug, Clone, Default)]
pub struct Envelope {
    /// Messages.
    pub messages: Vec<Received>,
    /// Readers who have got further.
    pub watermarks: Vec<ReceivedWatermark>,
    /// Events that are not taken.
    pub rejected: Vec<Rejected>,
    /// Sequences that carry nothing.
    pub voids: Vec<Void>,
}

impl Envelope {
    /// Messages only.
    pub fn of(messages: impl IntoIterator<Item = Received>) -> Self {
        Self { messages: messages.into_iter().collect(), ..Self::default() }
    }
}

impl Region {
    /// A region of which nothing was taken.
    pub fn new(text: &str) -> Self {
        Self { name: name(text), stream: InboundStream::default() }
    }

    /// Somebody there.
    pub fn account(&self, n: u128) -> AccountId {
        AccountId { uuid: Uuid::from_u128(n << 64 | n), server: self.name.clone() }
    }

    /// The stream after one more sequence.
    pub fn next(&self) -> InboundStream {
        let first = Incarnation { number: 1, random: [7; 16] };
        let start = || Standing::start(&self.name, &server(), first);
        let mut standing = self.stream.standing.unwrap_or_else(start);
        let at = standing.lanes.of_mut(Lane::Messages);
        at.through += 1;
        at.hash = at.hash.event(at.through, None, Uuid::from_u128(at.through.into()));
        InboundStream { standing: Some(standing), since: self.stream.since.or(Some(START)) }
    }

    /// The start of the stream's next incarnation.
    pub fn reopened(&self, now: Timestamp) -> InboundStream {
        let number = self.stream.standing.map_or(1, |standing| standing.incarnation.number + 1);
        let incarnation = Incarnation { number, random: [8; 16] };
        let standing = Standing::start(&self.name, &server(), incarnation);
        InboundStream { standing: Some(standing), since: Some(now) }
    }

    /// Takes an envelope, whose bodies name the messages' ids, from the stream as it is known here.
    pub async fn offer<S: Store>(&self, world: &World<S>, envelope: &Envelope) -> Taken {
        self.offer_at(world, envelope, (&self.next(), START)).await
    }

    /// [`Self::offer`] with the stream's state afterwards and the time.
    pub async fn offer_at<S: Store>(
        &self,
        world: &World<S>,
        envelope: &Envelope,
        (next, now): (&InboundStream, Timestamp),
    ) -> Taken {
        let reception = Reception {
            origin: &self.name,
            expected: &self.stream,
            next,
            lane: Lane::Messages,
            messages: &envelope.messages,
            bodies: &bodies(&envelope.messages),
            watermarks: &envelope.watermarks,
            rejected: &envelope.rejected,
            voids: &envelope.voids,
            now,
        };
        world.store.take(&reception).await.unwrap()
    }

    /// Takes an envelope that must be taken; the stream goes on.
    pub async fn take<S: Store>(
        &mut self,
        world: &World<S>,
        envelope: &Envelope,
    ) -> (Vec<Vec<Arrival>>, Vec<Risen>) {
        self.take_at(world, envelope, START).await
    }

    /// [`Self::take`] at a time.
    pub async fn take_at<S: Store>(
        &mut self,
        world: &World<S>,
        envelope: &Envelope,
        now: Timestamp,
    ) -> (Vec<Vec<Arrival>>, Vec<Risen>) {
        let next = self.next();
        match self.offer_at(world, envelope, (&next, now)).await {
            Taken::Done { arrivals, risen, .. } => {
                self.stream = next;
                assert_eq!(arrivals.len(), envelope.messages.len());
                (arrivals, risen)
            }
            Taken::Moved => panic!("the stream of {} has moved", self.name),
        }
    }
}

/// The bodies of messages: their ids.
pub fn bodies(messages: &[Received]) -> Vec<(BodyId, Bytes)> {
    let body =
        |one: &Received| (one.message.body, Bytes::copy_from_slice(one.message.id.0.as_bytes()));
    messages.iter().map(body).collect()
}

/// A message from somebody abroad, whose region gave it a number and a stamp of that millisecond
/// after the start.
pub fn received<S: Store>(
    world: &World<S>,
    from: &AccountId,
    to: &Person,
    number: u64,
) -> Received {
    let at = START.plus_millis(number);
    let message = StoredMessage {
        part: 0,
        sender: from.clone(),
        device: None,
        device_number: Some(DeviceNumber::FIRST),
        device_list_version: None,
        id: MessageId(world.id()),
        to: to.account.to_string(),
        conversation: ConversationId::direct(from, &to.account),
        stamp: Stamp::at(at),
        origin_number: number,
        class: Class::Message,
        collapse: None,
        expires: None,
        epoch: None,
        client_timestamp: at,
        accepted_at: at,
        body: world.body(START),
    };
    let low = from.to_string() < to.account.to_string();
    let (side, recipients) = (if low { 1 } else { 2 }, vec![to.uuid()]);
    Received { message, side, recipients, discard: false, size: 16 }
}

/// A watermark that an event of its own tells.
pub fn reported<S: Store>(world: &World<S>, rise: WatermarkRise) -> ReceivedWatermark {
    ReceivedWatermark { id: world.id(), rise }
}

/// A message that is rejected.
pub fn rejected(one: &Received, reason: RejectionReason) -> Rejected {
    Rejected { sender: Some(one.message.sender.uuid), id: one.message.id.0, reason }
}
