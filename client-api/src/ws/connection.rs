//! The loop of a socket: one task that reads, dispatches, collects what goes out, and writes.
//!
//! The order of a turn makes batches: everything that has arrived is read and dispatched before
//! anything is written, and everything that waits is written at once.

use std::{
    future::poll_fn,
    pin::{Pin, pin},
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use posthouse_protocol::{
    frame::ClientFrame,
    limits,
    problem::{Code, Rejection},
};
use tokio::time::{Instant, Sleep, sleep_until, timeout};
use tokio_util::sync::{CancellationToken, WaitForCancellationFuture};

use super::{
    decoder::{Decoder, Event},
    end::{End, Gone},
    reader,
    writer::Writer,
};
use crate::{
    Edge,
    mailbox::{Close, Frame, Mailbox},
    ports::{Caller, Feed},
    rate::Bucket,
    server::{self, Stream},
};

/// How long the close frame may take to be written.
const CLOSE_PATIENCE: Duration = Duration::from_secs(2);
/// How long a draining server waits for the answers to messages that were handed in.
const ANSWER_PATIENCE: Duration = Duration::from_secs(3);
/// Most reads in a row before something is written.
const MAX_READS: u32 = 16;
/// Pings that may go unanswered; the next one is not sent any more.
const MAX_MISSED: u8 = 2;
/// Heartbeats during which one message may stay incomplete.
const MAX_INCOMPLETE: u8 = 2;

/// A socket and what its loop keeps.
pub(super) struct Connection<'a> {
    pub(super) edge: &'a Edge,
    pub(super) caller: &'a Caller,
    pub(super) mailbox: &'a Arc<Mailbox>,
    stream: Stream,
    decoder: Decoder,
    pub(super) writer: Writer,
    /// A submission that waits for room behind the port.
    pub(super) submitting: Option<Pin<Box<dyn Future<Output = ()> + Send + 'a>>>,
    /// Whether the feed may have something.
    pub(super) pull_due: bool,
    /// Frames of the device, and its typing notices.
    pub(super) frames: Bucket,
    pub(super) typing: Bucket,
    /// Frames in a row that were refused for their rate.
    pub(super) refused: u32,
    start: Instant,
    now: Instant,
    /// Reads since the last write.
    reads: u32,
    heartbeat: Heartbeat,
    /// Set once the server drains: until when answers are waited for.
    leaving: Option<Instant>,
}

/// What is known about the device's being there.
struct Heartbeat {
    /// When the next ping is due.
    due: Instant,
    /// Whether anything arrived since the last ping.
    heard: bool,
    missed: u8,
    /// Whether a frame was completed since the last ping.
    completed: bool,
    incomplete: u8,
}

/// What a socket waits for besides its stream and mailbox.
struct Waits<'p, 'token> {
    /// Rings when a ping is due or patience ends.
    alarm: Pin<&'p mut Sleep>,
    /// The server drains.
    drained: Pin<&'p mut WaitForCancellationFuture<'token>>,
}

impl<'a> Connection<'a> {
    pub(super) fn new(
        stream: Stream,
        decoder: Decoder,
        caller: &'a Caller,
        mailbox: &'a Arc<Mailbox>,
        edge: &'a Edge,
    ) -> Self {
        let now = Instant::now();
        let mut connection = Self {
            edge,
            caller,
            mailbox,
            stream,
            decoder,
            writer: Writer::default(),
            submitting: None,
            pull_due: true,
            frames: Bucket::default(),
            typing: Bucket::default(),
            refused: 0,
            start: now,
            now,
            reads: 0,
            heartbeat: Heartbeat {
                due: now,
                heard: true,
                missed: 0,
                completed: true,
                incomplete: 0,
            },
            leaving: None,
        };
        connection.heartbeat.due = now + connection.ping_interval();
        connection
    }

    /// Runs until the socket has to end. Dropping the feed on return ends the connection's part
    /// in presence and delivery, before the close handshake.
    pub(super) async fn run(
        &mut self,
        mut feed: Box<dyn Feed>,
        draining: &CancellationToken,
    ) -> End {
        // Of its own, so that a connection that wakes does not meet all others at one lock.
        let draining = draining.child_token();
        let alarm = pin!(sleep_until(self.heartbeat.due));
        let drained = pin!(draining.cancelled());
        let mut waits = Waits { alarm, drained };
        loop {
            if let Err(end) = self.turn(&mut *feed, &mut waits).await {
                return end;
            }
        }
    }

    /// One turn: dispatch what has arrived, collect what goes out, then wait for something to do.
    async fn turn(&mut self, feed: &mut dyn Feed, waits: &mut Waits<'_, '_>) -> Result<(), End> {
        self.receive(feed).await?;
        self.collect(feed).await?;
        if let Some(close) = self.mailbox.closing() {
            return Err(End::Ordered(close));
        }
        if self.leaving.is_some() && self.mailbox.in_flight() == 0 && self.writer.is_empty() {
            return Err(End::Ordered(Close::Restart));
        }
        let next = self.next_alarm();
        if waits.alarm.deadline() != next {
            waits.alarm.as_mut().reset(next);
        }
        let (mailbox, leaving) = (self.mailbox, self.leaving.is_some());
        tokio::select! {
            biased;
            io = poll_fn(|cx| self.poll_io(cx)) => io?,
            () = mailbox.changed() => self.pull_due = true,
            () = waits.drained.as_mut(), if !leaving => {
                self.leaving = Some(Instant::now() + ANSWER_PATIENCE);
            }
            () = waits.alarm.as_mut() => {
                self.now = Instant::now();
                self.ring()?;
            }
        }
        Ok(())
    }

    /// Dispatches the frames that have arrived, until more bytes are needed or the connection has
    /// enough to do.
    async fn receive(&mut self, feed: &mut dyn Feed) -> Result<(), End> {
        let mut texts = 0;
        let result = loop {
            if !self.may_receive() {
                break Ok(());
            }
            let event = match self.decoder.next() {
                Ok(Some(event)) => event,
                Ok(None) => break Ok(()),
                Err(end) => break Err(end),
            };
            self.heartbeat.completed = true;
            let parsed = match event {
                Event::Text(text) => ClientFrame::parse(text, &self.edge.config().server_name),
                Event::Binary => Err(refused(Code::BadJson, "text frames are expected")),
                Event::Oversize => Err(refused(Code::TooLarge, "the frame is too large")),
                Event::Close(code) => break Err(End::ByPeer(code)),
                // Bounded like other frames, but not answered when there are too many.
                Event::Ping(payload) => {
                    let payload = Bytes::copy_from_slice(payload);
                    match self.count_control() {
                        Ok(true) => self.writer.pong(payload),
                        Ok(false) => {}
                        Err(end) => break Err(end),
                    }
                    continue;
                }
                Event::Pong | Event::Fragment => match self.count_control() {
                    Ok(_) => continue,
                    Err(end) => break Err(end),
                },
            };
            texts += 1;
            if let Err(end) = self.dispatch(parsed, feed).await {
                break Err(end);
            }
        };
        self.edge.counters().frames_in.add(texts);
        result
    }

    /// Takes what the mailbox and the feed have, as far as there is room.
    async fn collect(&mut self, feed: &mut dyn Feed) -> Result<(), End> {
        if !self.writer.has_room() {
            return Ok(());
        }
        let mut frames: Vec<Frame> = Vec::new();
        self.mailbox.take(&mut frames);
        frames.drain(..).for_each(|frame| self.writer.text(frame));
        // The feed comes after everything that was written before, and what it gives is written
        // before it is asked again.
        while self.pull_due && self.leaving.is_none() && self.writer.has_room() {
            match feed.pull(&mut frames).await {
                Ok(more) => self.pull_due = more,
                Err(rejection) => {
                    tracing::warn!(%rejection, "a feed failed");
                    self.refuse(&rejection, None);
                    return Err(End::Failed);
                }
            }
            frames.drain(..).for_each(|frame| self.writer.text(frame));
        }
        Ok(())
    }

    /// Reads, or else writes; ready when there is something new.
    fn poll_io(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), End>> {
        if let Some(call) = &mut self.submitting
            && call.as_mut().poll(cx).is_ready()
        {
            self.submitting = None;
            return Poll::Ready(Ok(()));
        }
        let broken = |_| End::Gone(Gone::Broken);
        let is_overdue = self.reads >= MAX_READS && !self.writer.is_empty();
        let may_receive = self.may_receive() && !is_overdue;
        if may_receive {
            match reader::poll_read(&mut self.stream, &mut self.decoder, cx) {
                Poll::Ready(Ok(0)) => return Poll::Ready(Err(End::Gone(Gone::Broken))),
                Poll::Ready(Ok(_)) => {
                    self.reads = self.reads.saturating_add(1);
                    self.now = Instant::now();
                    self.heartbeat.heard = true;
                    return Poll::Ready(Ok(()));
                }
                Poll::Ready(Err(err)) => return Poll::Ready(Err(broken(err))),
                Poll::Pending => {}
            }
        }
        self.reads = 0;
        if self.writer.is_empty() {
            return Poll::Pending;
        }
        let stalled_before = self.writer.stalled_since();
        let is_settled = may_receive && !self.pull_due && self.leaving.is_none();
        match self.writer.poll_flush(&mut self.stream, cx, self.edge.counters()) {
            // Another turn sets the alarm anew.
            Poll::Pending if self.writer.stalled_since() != stalled_before => Poll::Ready(Ok(())),
            // Everything is written, the stream is listened to, and there was no more to be collected:
            // another turn would find nothing.
            Poll::Ready(Ok(())) if is_settled && stalled_before.is_none() => Poll::Pending,
            // Once everything is written, another turn sees whether there is more.
            other => other.map_err(broken),
        }
    }

    /// Whether a further frame may be looked at. What cannot be is left to the kernel's buffers,
    /// which slows the device down.
    fn may_receive(&self) -> bool {
        self.submitting.is_none()
            && self.leaving.is_none()
            && self.writer.has_room()
            && self.mailbox.in_flight() < limits::MAX_SUBMISSIONS_IN_FLIGHT
    }

    /// When something is due if nothing happens before.
    fn next_alarm(&self) -> Instant {
        let patience = self.edge.config().write_timeout;
        let stalled = self.writer.stalled_since().map(|since| since + patience);
        [stalled, self.leaving].into_iter().flatten().fold(self.heartbeat.due, Instant::min)
    }

    /// Does what is due.
    fn ring(&mut self) -> Result<(), End> {
        let patience = self.edge.config().write_timeout;
        if self.writer.stalled_since().is_some_and(|since| self.now >= since + patience) {
            return Err(End::Ordered(Close::TooSlow));
        }
        if self.leaving.is_some_and(|until| self.now >= until) {
            return Err(End::Ordered(Close::Restart));
        }
        if self.now >= self.heartbeat.due {
            self.beat()?;
        }
        Ok(())
    }

    /// Pings, unless the device has been silent for too long or never finishes a frame.
    fn beat(&mut self) -> Result<(), End> {
        // While the socket is not read, nothing is known of the device.
        let is_read = self.may_receive();
        let is_stuck = is_read && self.decoder.is_amid() && !self.heartbeat.completed;
        let beat = &mut self.heartbeat;
        beat.missed = if beat.heard || !is_read { 0 } else { beat.missed + 1 };
        beat.incomplete = if is_stuck { beat.incomplete + 1 } else { 0 };
        (beat.heard, beat.completed) = (false, false);
        if beat.missed >= MAX_MISSED {
            return Err(End::Gone(Gone::Silent));
        }
        if beat.incomplete >= MAX_INCOMPLETE {
            return Err(End::Policy("a frame stays incomplete"));
        }
        self.writer.ping();
        self.heartbeat.due = self.now + self.ping_interval();
        Ok(())
    }

    fn ping_interval(&self) -> Duration {
        let config = self.edge.config();
        if self.edge.ports().presence.is_watched(self.caller) {
            config.watched_ping_interval
        } else {
            config.ping_interval
        }
    }

    /// Monotonic time, for the buckets.
    pub(super) fn now(&self) -> Duration {
        self.now - self.start
    }

    /// The close handshake (RFC 6455 §7.1.1): say why, wait a little for the answer, and go.
    pub(super) async fn close(&mut self, end: End) {
        let Some((code, reason)) = end.close_frame() else { return };
        self.submitting = None;
        self.writer.close(code, reason);
        let told = poll_fn(|cx| self.writer.poll_flush(&mut self.stream, cx, self.edge.counters()));
        if let Ok(Ok(())) = timeout(CLOSE_PATIENCE, told).await {
            server::close(&mut self.stream).await;
        }
    }
}

fn refused(code: Code, detail: &'static str) -> posthouse_protocol::frame::Malformed {
    let rejection = Rejection::new(code, detail);
    posthouse_protocol::frame::Malformed { rejection, reference: None }
}
