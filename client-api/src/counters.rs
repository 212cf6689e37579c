//! What this edge counts, as plain atomics.

use std::sync::atomic::{AtomicU64, Ordering};

use posthouse_protocol::problem::Code;

/// What happened since the start. Each number is exact by itself; several read together may belong
/// to slightly different moments.
#[derive(Debug, Default)]
pub struct Counters {
    /// Connections that were accepted.
    pub connections: Count,
    /// Connections that are open.
    pub open_connections: Count,
    /// Connections that were closed at once, since a limit was reached.
    pub refused_connections: Count,
    /// TLS handshakes that failed or took too long.
    pub failed_handshakes: Count,
    /// Failures of accepting, such as a lack of file descriptors.
    pub accept_errors: Count,
    /// Requests that were answered.
    pub requests: Count,
    /// Sockets that were opened.
    pub sockets: Count,
    /// Sockets that are open.
    pub open_sockets: Count,
    /// Sockets that were closed since the device did not read (4002).
    pub slow_sockets: Count,
    /// Sockets that were dropped since the device answered no ping.
    pub dead_sockets: Count,
    /// Data frames from devices.
    pub frames_in: Count,
    /// Data frames to devices.
    pub frames_out: Count,
    /// Writes to sockets; together with `frames_out` it tells how well frames are batched.
    pub writes: Count,
    errors: ErrorCounts,
}

/// A number that many tasks change.
#[derive(Debug, Default)]
pub struct Count(AtomicU64);

impl Count {
    /// The number now.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    pub(crate) fn add(&self, n: u64) {
        self.0.fetch_add(n, Ordering::Relaxed);
    }

    pub(crate) fn sub(&self, n: u64) {
        self.0.fetch_sub(n, Ordering::Relaxed);
    }

    /// Counts one up until the guard is dropped.
    pub(crate) fn hold(&self) -> Held<'_> {
        self.add(1);
        Held(self)
    }
}

/// One, as long as it lives.
pub(crate) struct Held<'a>(&'a Count);

impl Drop for Held<'_> {
    fn drop(&mut self) {
        self.0.sub(1);
    }
}

/// A count for each code, in the order of [`Code::ALL`].
#[derive(Debug)]
struct ErrorCounts(Box<[Count]>);

impl Default for ErrorCounts {
    fn default() -> Self {
        Self(Code::ALL.iter().map(|_| Count::default()).collect())
    }
}

impl Counters {
    /// Refusals that this edge told, by code. Refused submissions are counted by who refuses them.
    pub fn errors(&self) -> impl Iterator<Item = (Code, u64)> + '_ {
        Code::ALL.iter().copied().zip(self.errors.0.iter().map(Count::get))
    }

    pub(crate) fn error(&self, code: Code) {
        let position = Code::ALL.iter().position(|one| *one == code);
        if let Some(count) = position.and_then(|at| self.errors.0.get(at)) {
            count.add(1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_are_counted_by_code() {
        let counters = Counters::default();
        counters.error(Code::TooLarge);
        counters.error(Code::TooLarge);
        counters.error(Code::AfterUnknown);
        let seen: Vec<_> = counters.errors().filter(|(_, n)| *n > 0).collect();
        assert_eq!(seen, [(Code::AfterUnknown, 1), (Code::TooLarge, 2)]);
    }

    #[test]
    fn a_held_count_falls_again() {
        let count = Count::default();
        let held = count.hold();
        assert_eq!(count.get(), 1);
        drop(held);
        assert_eq!(count.get(), 0);
    }
}
