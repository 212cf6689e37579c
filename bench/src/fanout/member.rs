//! A member that takes and acknowledges what comes.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use posthouse_client::Connection;
use posthouse_protocol::cursor::Cursor;
use tokio::{
    sync::{Mutex, Notify},
    time::{Instant, sleep_until},
};

use crate::{
    failure::Failure,
    frame::{Incoming, ack_through},
    latency::Latency,
};

/// What has arrived at all members.
#[derive(Debug)]
pub(super) struct Arrivals {
    /// Messages, counted at each member.
    pub(super) count: AtomicU64,
    /// Messages that came again.
    pub(super) doubled: AtomicU64,
    /// From sending to arriving.
    pub(super) each: Mutex<Latency>,
    /// How many are waited for.
    wanted: AtomicU64,
    enough: Notify,
}

impl Default for Arrivals {
    fn default() -> Self {
        Self {
            count: AtomicU64::new(0),
            doubled: AtomicU64::new(0),
            each: Mutex::new(Latency::new()),
            wanted: AtomicU64::new(u64::MAX),
            enough: Notify::new(),
        }
    }
}

impl Arrivals {
    /// Waits until so many messages have arrived. Only one may wait.
    pub(super) async fn reached(&self, wanted: u64) {
        self.wanted.store(wanted, Ordering::SeqCst);
        while self.count.load(Ordering::SeqCst) < wanted {
            self.enough.notified().await;
        }
    }

    fn arrived(&self) {
        let count = self.count.fetch_add(1, Ordering::SeqCst) + 1;
        if count >= self.wanted.load(Ordering::SeqCst) {
            self.enough.notify_one();
        }
    }
}

/// A member of the group.
pub(super) struct Member {
    connection: Connection,
    arrivals: Arc<Arrivals>,
    next: u64,
    /// How long after a frame it is acknowledged, with all that came meanwhile.
    ack_after: Duration,
    /// What is not acknowledged yet, and when that is due.
    owed: Option<(Cursor, Instant)>,
}

impl Member {
    pub(super) fn new(
        connection: Connection,
        arrivals: Arc<Arrivals>,
        ack_after: Duration,
    ) -> Self {
        Self { connection, arrivals, next: 0, ack_after, owed: None }
    }

    /// Takes messages until it is ended.
    pub(super) async fn run(mut self) -> Result<(), Failure> {
        loop {
            let text = match self.owed {
                None => self.connection.next_text().await?,
                Some((cursor, due)) => tokio::select! {
                    text = self.connection.next_text() => text?,
                    () = sleep_until(due) => {
                        self.owed = None;
                        self.connection.queue_text(ack_through(cursor))?;
                        continue;
                    }
                },
            };
            let Some(frame) = Incoming::read(&text) else { continue };
            if frame.kind == "message"
                && let Some(number) = frame.number()
            {
                if number < self.next {
                    self.arrivals.doubled.fetch_add(1, Ordering::Relaxed);
                } else {
                    self.next = number + 1;
                    if let Some(age) = frame.age() {
                        self.arrivals.each.lock().await.note(age);
                    }
                    self.arrivals.arrived();
                }
            }
            if let Some(cursor) = frame.cursor {
                if self.ack_after.is_zero() {
                    self.connection.queue_text(ack_through(cursor))?;
                    continue;
                }
                let due = self.owed.map_or_else(|| Instant::now() + self.ack_after, |(_, due)| due);
                self.owed = Some((cursor, due));
            }
        }
    }
}
