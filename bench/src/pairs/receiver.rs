//! A receiver: takes messages, checks their order, acknowledges.

use std::sync::{Arc, atomic::Ordering};

use posthouse_client::Connection;
use posthouse_protocol::cursor::Cursor;

use super::{Phase, Shared};
use crate::{
    failure::Failure,
    frame::{Incoming, ack_one, ack_through},
    latency::Latency,
    report::Soundness,
};

/// A device that gets messages of one sender.
#[derive(Debug)]
pub(crate) struct Receiver {
    connection: Connection,
    shared: Arc<Shared>,
    ack_each: bool,
    /// The number of the next message.
    next: u64,
    got: Received,
}

/// What a receiver has seen.
#[derive(Debug)]
pub(crate) struct Received {
    /// From sending to arriving, while it was measured.
    pub(crate) one_way: Latency,
    pub(crate) sound: Soundness,
}

impl Receiver {
    /// A receiver that acknowledges each message by its id, or all that came together.
    pub(crate) fn new(connection: Connection, shared: Arc<Shared>, ack_each: bool) -> Self {
        let got = Received { one_way: Latency::new(), sound: Soundness::default() };
        Self { connection, shared, ack_each, next: 0, got }
    }

    /// Receives until the run is over, or until `quota` messages have arrived.
    pub(crate) async fn run(mut self, quota: Option<u64>) -> Result<Received, Failure> {
        let mut phase = self.shared.phase.clone();
        while quota.is_none_or(|quota| self.next < quota) {
            let text = tokio::select! {
                text = self.connection.next_text() => text?,
                over = phase.wait_for(|phase| *phase == Phase::Over) => {
                    drop(over);
                    break;
                }
            };
            let measuring = *self.shared.phase.borrow() == Phase::Measuring;
            let mut through = self.take(&text, measuring)?;
            while let Some(text) = self.connection.ready_text()? {
                through = self.take(&text, measuring)?.or(through);
            }
            if let Some(cursor) = through.filter(|_| !self.ack_each) {
                self.connection.queue_text(ack_through(cursor))?;
            }
        }
        self.connection.flush().await?;
        Ok(self.got)
    }

    /// Takes one frame; a message's cursor is to be acknowledged.
    fn take(&mut self, text: &str, measuring: bool) -> Result<Option<Cursor>, Failure> {
        let Some(frame) = Incoming::read(text).filter(|frame| frame.kind == "message") else {
            return Ok(None);
        };
        if measuring && let Some(age) = frame.age() {
            self.got.one_way.note(age);
        }
        if let Some(number) = frame.number() {
            if number < self.next {
                self.got.sound.doubled += 1;
            } else {
                self.got.sound.out_of_order += number - self.next;
                self.next = number + 1;
                self.shared.arrived.fetch_add(1, Ordering::Relaxed);
            }
        }
        if self.ack_each
            && let Some(id) = &frame.id
        {
            self.connection.queue_text(ack_one(id))?;
        }
        Ok(frame.cursor)
    }
}
