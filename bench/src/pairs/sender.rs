//! A sender: keeps a window of messages in flight, or sends at a fixed rate.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use posthouse_client::Connection;
use tokio::time::{Instant, sleep_until};

use super::{Phase, Shared};
use crate::{
    clock,
    failure::Failure,
    frame::{Incoming, Messages},
    latency::Latency,
};

/// Most messages of a sender in flight, at a fixed rate. A server that falls behind further is
/// sent less than it was asked for, which the delivered rate shows.
const MAX_IN_FLIGHT: u64 = 200;
/// Places for messages in flight; more than any window.
const PLACES: usize = 256;

/// When a message is done with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Done {
    /// When its receiver has it.
    Delivered,
    /// When it is durable.
    Sent,
}

/// When the next message is sent.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Pace {
    /// As soon as fewer are in flight.
    Window(u64),
    /// In equal steps.
    Every {
        /// The step.
        interval: Duration,
        /// The time of the first one after the start.
        offset: Duration,
    },
}

impl Pace {
    /// The pace of one of `pairs` pairs, which take turns.
    pub(crate) fn new(rate: Option<u32>, pairs: u16, pair: u16, window: u16) -> Self {
        let Some(rate) = rate.filter(|rate| *rate > 0) else {
            return Self::Window(u64::from(window));
        };
        let turn = Duration::from_secs(1) / rate;
        Self::Every { interval: turn * u32::from(pairs), offset: turn * u32::from(pair) }
    }
}

/// A device that sends messages to one receiver.
#[derive(Debug)]
pub(crate) struct Sender {
    connection: Connection,
    messages: Messages,
    shared: Arc<Shared>,
    /// The number of the next message.
    next: u64,
    in_flight: u64,
    /// When each message in flight was sent, by its number; 0 for none.
    sent_at: Box<[u64; PLACES]>,
    told: Told,
}

/// What a sender has been told, while it was measured.
#[derive(Debug)]
pub(crate) struct Told {
    /// From sending to `sent`.
    pub(crate) accepted: Latency,
    /// From sending until it was done with.
    pub(crate) done: Latency,
}

impl Sender {
    /// A sender that has sent nothing.
    pub(crate) fn new(connection: Connection, messages: Messages, shared: Arc<Shared>) -> Self {
        let told = Told { accepted: Latency::new(), done: Latency::new() };
        let sent_at = Box::new([0; PLACES]);
        Self { connection, messages, shared, next: 0, in_flight: 0, sent_at, told }
    }

    /// Sends until the run drains, or until `quota` messages are sent; then waits for the rest.
    pub(crate) async fn run(
        mut self,
        pace: Pace,
        done: Done,
        quota: Option<u64>,
    ) -> Result<Told, Failure> {
        let mut phase = self.shared.phase.clone();
        let start = Instant::now();
        loop {
            let now = *phase.borrow_and_update();
            let flows = matches!(now, Phase::Warmup | Phase::Measuring);
            let more = flows && quota.is_none_or(|quota| self.next < quota);
            if !more && self.in_flight == 0 {
                return Ok(self.told);
            }
            let due = if more { self.fill(pace, start, quota)? } else { None };
            tokio::select! {
                text = self.connection.next_text() => {
                    self.take(&text?, now, done)?;
                    while let Some(text) = self.connection.ready_text()? {
                        self.take(&text, now, done)?;
                    }
                }
                () = sleep_until(due.unwrap_or(start)), if due.is_some() => {}
                changed = phase.changed() => if changed.is_err() { return Ok(self.told) },
            }
        }
    }

    /// Sends what is due; tells when the next one is, if that is a matter of time.
    fn fill(
        &mut self,
        pace: Pace,
        start: Instant,
        quota: Option<u64>,
    ) -> Result<Option<Instant>, Failure> {
        let left = |next: u64| quota.is_none_or(|quota| next < quota);
        match pace {
            Pace::Window(window) => {
                while self.in_flight < window && left(self.next) {
                    self.send()?;
                }
                Ok(None)
            }
            Pace::Every { interval, offset } => loop {
                let steps = u32::try_from(self.next).unwrap_or(u32::MAX);
                let due = start + offset + interval * steps;
                if due > Instant::now() {
                    return Ok(Some(due));
                }
                if self.in_flight >= MAX_IN_FLIGHT || !left(self.next) {
                    return Ok(None);
                }
                self.send()?;
            },
        }
    }

    fn send(&mut self) -> Result<(), Failure> {
        self.connection.queue_text(self.messages.frame(self.next))?;
        *self.place(self.next) = clock::nanos().max(1);
        self.next += 1;
        self.in_flight += 1;
        Ok(())
    }

    fn take(&mut self, text: &str, phase: Phase, done: Done) -> Result<(), Failure> {
        let Some(frame) = Incoming::read(text) else { return Ok(()) };
        if frame.kind == "error" {
            let said = |text: Option<&str>| text.unwrap_or_default().to_owned();
            let (code, message) = (said(frame.code.as_deref()), said(frame.message.as_deref()));
            return Err(Failure::Refused { code, message });
        }
        if let Some(through) = frame.through {
            // It repeats the live statuses; between regions those may be lost.
            if frame.status.as_deref() == Some("delivered") && done == Done::Delivered {
                self.covered(through, phase);
            }
            return Ok(());
        }
        let Some(number) = frame.number().filter(|_| frame.kind == "status") else {
            return Ok(());
        };
        let told = match frame.status.as_deref() {
            Some("sent") => Done::Sent,
            Some("delivered") => Done::Delivered,
            _ => return Ok(()),
        };
        let sent_at = *self.place(number);
        if sent_at == 0 {
            return Ok(());
        }
        if told == Done::Sent && phase == Phase::Measuring {
            self.told.accepted.note(clock::nanos().saturating_sub(sent_at));
        }
        if told == done {
            self.finish(number, phase);
        }
        Ok(())
    }

    /// The message is done with.
    fn finish(&mut self, number: u64, phase: Phase) {
        let sent_at = core::mem::take(self.place(number));
        if sent_at == 0 {
            return;
        }
        self.in_flight -= 1;
        self.shared.done.fetch_add(1, Ordering::Relaxed);
        if phase == Phase::Measuring {
            self.told.done.note(clock::nanos().saturating_sub(sent_at));
        }
    }

    /// A watermark: the sender is alone in its conversation, so that the region's numbers are its
    /// own, counted from 1.
    fn covered(&mut self, through: u64, phase: Phase) {
        let oldest = self.next.saturating_sub(PLACES as u64);
        for number in oldest..through.min(self.next) {
            self.finish(number, phase);
        }
    }

    /// A message's place. No two messages in flight share one, since fewer are than there are
    /// places and they are numbered one after the other.
    fn place(&mut self, number: u64) -> &mut u64 {
        let index = usize::try_from(number % PLACES as u64).unwrap_or_default();
        #[expect(clippy::indexing_slicing, reason = "the index is below the length")]
        &mut self.sent_at[index]
    }
}
