//! A receiver: takes messages, checks their order, acknowledges.

use std::sync::{Arc, atomic::Ordering};

use posthouse_client::Connection;
use posthouse_protocol::cursor::Cursor;

use super::{Phase, Shared};
use crate::{
    clock,
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
    /// Whether this connection may begin with messages that came on the one before: their
    /// acknowledgement may not have arrived.
    repeats: bool,
    got: Received,
}

/// What a receiver has seen.
#[derive(Debug)]
pub(crate) struct Received {
    /// From sending to arriving, while it was measured.
    pub(crate) one_way: Latency,
    pub(crate) sound: Soundness,
    /// Messages that came again at the start of a later connection.
    pub(crate) repeated: u64,
}

impl Receiver {
    /// A receiver that acknowledges each message by its id, or all that came together.
    pub(crate) fn new(connection: Connection, shared: Arc<Shared>, ack_each: bool) -> Self {
        let got = Received { one_way: Latency::new(), sound: Soundness::default(), repeated: 0 };
        Self { connection, shared, ack_each, next: 0, repeats: false, got }
    }

    /// Receives until the run is over, or until `quota` messages have arrived.
    pub(crate) async fn run(mut self, quota: Option<u64>) -> Result<Received, Failure> {
        self.receive(quota).await?;
        Ok(self.got)
    }

    /// Receives until `quota` messages have arrived, and connects anew with `connect` whenever a
    /// connection ends.
    pub(crate) async fn run_through<C>(
        mut self,
        quota: u64,
        connect: impl Fn() -> C,
    ) -> Result<Received, Failure>
    where
        C: Future<Output = Result<Connection, Failure>>,
    {
        while self.receive(Some(quota)).await.is_err() {
            self.connection = connect().await?;
            self.repeats = true;
        }
        Ok(self.got)
    }

    async fn receive(&mut self, quota: Option<u64>) -> Result<(), Failure> {
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
        Ok(())
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
                let count =
                    if self.repeats { &mut self.got.repeated } else { &mut self.got.sound.doubled };
                *count += 1;
            } else {
                self.repeats = false;
                self.note_return(&frame);
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

    /// Notes when what was sent before the server's return has arrived.
    fn note_return(&self, frame: &Incoming<'_>) {
        let returned_at = self.shared.returned_at.load(Ordering::Relaxed);
        let now = clock::nanos();
        if returned_at > 0 && frame.age().is_some_and(|age| now - age < returned_at) {
            self.shared.caught_up_at.fetch_max(now, Ordering::Relaxed);
        }
    }
}
