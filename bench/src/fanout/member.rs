//! A member that takes and acknowledges what comes.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use posthouse_client::Connection;
use tokio::sync::{Mutex, Notify};

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
    more: Notify,
}

impl Default for Arrivals {
    fn default() -> Self {
        Self {
            count: AtomicU64::new(0),
            doubled: AtomicU64::new(0),
            each: Mutex::new(Latency::new()),
            more: Notify::new(),
        }
    }
}

impl Arrivals {
    /// Waits until so many messages have arrived. Only one may wait.
    pub(super) async fn reached(&self, wanted: u64) {
        while self.count.load(Ordering::Relaxed) < wanted {
            self.more.notified().await;
        }
    }
}

/// A member of the group.
pub(super) struct Member {
    connection: Connection,
    arrivals: Arc<Arrivals>,
    next: u64,
}

impl Member {
    pub(super) fn new(connection: Connection, arrivals: Arc<Arrivals>) -> Self {
        Self { connection, arrivals, next: 0 }
    }

    /// Takes messages until it is ended.
    pub(super) async fn run(mut self) -> Result<(), Failure> {
        loop {
            let text = self.connection.next_text().await?;
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
                    self.arrivals.count.fetch_add(1, Ordering::Relaxed);
                    self.arrivals.more.notify_one();
                }
            }
            if let Some(cursor) = frame.cursor {
                self.connection.queue_text(ack_through(cursor))?;
            }
        }
    }
}
