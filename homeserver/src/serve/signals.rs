//! The signals that steer a server.

use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::failure::{Exit, Failure};

/// The signals, heard from the moment this exists: none is lost, or deadly, during the start.
pub(super) struct Signals {
    /// SIGTERM and SIGINT: stop.
    pub(super) stop: Stop,
    /// SIGHUP: read the certificate again.
    pub(super) hang_up: Signal,
}

/// SIGTERM and SIGINT.
pub(super) struct Stop {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    pub(super) fn listen() -> Result<Self, Failure> {
        let stop = Stop {
            terminate: hear(SignalKind::terminate())?,
            interrupt: hear(SignalKind::interrupt())?,
        };
        Ok(Self { stop, hang_up: Self::hang_up()? })
    }

    /// SIGHUP, for one more who waits for it.
    pub(super) fn hang_up() -> Result<Signal, Failure> {
        hear(SignalKind::hangup())
    }
}

impl Stop {
    /// Waits for the next of them, and names it.
    pub(super) async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
        }
    }
}

fn hear(kind: SignalKind) -> Result<Signal, Failure> {
    signal(kind).map_err(|err| {
        Failure::new(
            Exit::Other,
            format!("Signals cannot be received: {err}."),
            "Check the limits of the process and of the sandbox it runs in.",
        )
    })
}
