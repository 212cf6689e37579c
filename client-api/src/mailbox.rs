//! The way from the homeserver to one connection: a bounded queue of ready frames, a hint that the
//! inbox has grown, and the order to close. It allocates nothing while it is empty.

use std::{
    collections::VecDeque,
    sync::{Mutex, MutexGuard, PoisonError},
};

use bytes::Bytes;
use posthouse_protocol::limits;
use tokio::sync::Notify;

/// Most frames that wait in a mailbox beside answers; a further one pushes out the oldest. Such
/// frames are presence, typing and live statuses: all may be lost, since watermarks in the inbox
/// tell the statuses again.
pub const MAX_WAITING: usize = 1_024;

/// A frame's JSON text, shared among all sockets that get it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame(Bytes);

impl From<String> for Frame {
    fn from(text: String) -> Self {
        Self(Bytes::from(text))
    }
}

impl Frame {
    /// The bytes; valid UTF-8.
    pub fn into_bytes(self) -> Bytes {
        self.0
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        core::str::from_utf8(&self.0).unwrap_or_default()
    }
}

/// Why the server closes a connection (docs/spec/client-socket.md).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Close {
    /// The server stops; come back at once. 1012 (RFC 6455 registry).
    Restart,
    /// Another connection of the same device took over. 4001.
    Replaced,
    /// The device does not read, or does not acknowledge, fast enough. 4002.
    TooSlow,
    /// The session was ended. 4003.
    Revoked,
}

impl Close {
    /// The close code.
    pub fn code(self) -> u16 {
        match self {
            Self::Restart => 1012,
            Self::Replaced => 4001,
            Self::TooSlow => 4002,
            Self::Revoked => 4003,
        }
    }

    /// The close reason, for people.
    pub fn reason(self) -> &'static str {
        match self {
            Self::Restart => "the server restarts, reconnect",
            Self::Replaced => "this device has connected again",
            Self::TooSlow => "the device is too slow; its messages are kept",
            Self::Revoked => "the session was ended",
        }
    }
}

/// The way to one connection.
#[derive(Debug, Default)]
pub struct Mailbox {
    state: Mutex<State>,
    changed: Notify,
}

#[derive(Debug, Default)]
struct State {
    answers: VecDeque<Frame>,
    frames: VecDeque<Frame>,
    in_flight: usize,
    close: Option<Close>,
}

impl Mailbox {
    /// An empty mailbox.
    pub fn new() -> Self {
        Self::default()
    }

    /// Puts in a frame that may be lost.
    pub fn push(&self, frame: Frame) {
        let mut state = self.state();
        if state.frames.len() >= MAX_WAITING {
            state.frames.pop_front();
        }
        state.frames.push_back(frame);
        drop(state);
        self.changed.notify_one();
    }

    /// Takes a place for the answer to a submission; `false` if
    /// [`limits::MAX_SUBMISSIONS_IN_FLIGHT`] are taken: the socket is not read until one is free.
    #[must_use]
    pub fn reserve(&self) -> bool {
        let mut state = self.state();
        let free = state.in_flight < limits::MAX_SUBMISSIONS_IN_FLIGHT;
        if free {
            state.in_flight += 1;
        }
        free
    }

    /// Puts in the answer to a submission, which is never lost, and gives its place back.
    pub fn answer(&self, frame: Frame) {
        let mut state = self.state();
        state.in_flight = state.in_flight.saturating_sub(1);
        state.answers.push_back(frame);
        drop(state);
        self.changed.notify_one();
    }

    /// Gives a place back without an answer: ephemeral messages are answered only if refused.
    pub fn release(&self) {
        let mut state = self.state();
        state.in_flight = state.in_flight.saturating_sub(1);
        drop(state);
        self.changed.notify_one();
    }

    /// How many submissions wait for their answer.
    pub fn in_flight(&self) -> usize {
        self.state().in_flight
    }

    /// Says that the feed may have something.
    pub fn wake(&self) {
        self.changed.notify_one();
    }

    /// Orders the connection to close; the first order counts.
    pub fn close(&self, close: Close) {
        self.state().close.get_or_insert(close);
        self.changed.notify_one();
    }

    /// The order to close, if there is one.
    pub fn closing(&self) -> Option<Close> {
        self.state().close
    }

    /// Takes all frames that wait: answers first, each kind in the order it came.
    pub fn take(&self, out: &mut Vec<Frame>) {
        let mut state = self.state();
        out.extend(core::mem::take(&mut state.answers));
        out.extend(core::mem::take(&mut state.frames));
    }

    /// Waits until something was put in since the last call. Safe to cancel.
    pub async fn changed(&self) {
        self.changed.notified().await;
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // No code that can panic runs under the lock, so a poisoned one still holds good data.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
