//! The time that certificates are held against.

use core::{fmt, time::Duration};
use std::sync::Arc;

use posthouse_protocol::time::{Clock, Timestamp};
use rustls::{pki_types::UnixTime, time_provider::TimeProvider};

/// Gives rustls the time of a [`Clock`].
#[derive(Clone)]
pub struct TlsClock(Arc<dyn Clock>);

impl TlsClock {
    /// The time of `clock`.
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self(clock)
    }
}

impl TimeProvider for TlsClock {
    fn current_time(&self) -> Option<UnixTime> {
        Some(unix(self.0.now()))
    }
}

impl fmt::Debug for TlsClock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TlsClock")
    }
}

pub(super) fn unix(now: Timestamp) -> UnixTime {
    UnixTime::since_unix_epoch(Duration::from_millis(now.0))
}
