//! What the listener counts, for the operator's metrics.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering::Relaxed},
};

use posthouse_protocol::federation::refusal::RefusalCode;

use super::routes::Route;

/// Numbers since the start. Reading them is always possible and never exact to the moment.
#[derive(Debug, Default)]
pub struct Counters {
    /// Connections that were let in.
    pub connections: AtomicU64,
    /// Connections that are open now.
    pub open_connections: AtomicU64,
    /// Connections that were closed at once, since a bound was reached.
    pub refused_connections: AtomicU64,
    /// TLS handshakes that failed or took too long.
    pub failed_handshakes: AtomicU64,
    /// Failures of accepting a connection.
    pub accept_errors: AtomicU64,
    requests: [AtomicU64; Route::ALL.len()],
    elsewhere: AtomicU64,
    refusals: [AtomicU64; RefusalCode::ALL.len()],
}

impl Counters {
    /// Requests by route; what had no route is the route "other".
    pub fn requests(&self) -> impl Iterator<Item = (&'static str, u64)> {
        let routes = Route::ALL.iter().map(|route| route.name()).zip(&self.requests);
        let all = routes.chain([("other", &self.elsewhere)]);
        all.map(|(name, count)| (name, count.load(Relaxed)))
    }

    /// Refusals by code.
    pub fn refusals(&self) -> impl Iterator<Item = (&'static str, u64)> {
        let codes = RefusalCode::ALL.iter().map(|code| code.as_str());
        codes.zip(&self.refusals).map(|(code, count)| (code, count.load(Relaxed)))
    }

    pub(super) fn count_request(&self, route: Option<Route>) {
        let at = route.and_then(|route| Route::ALL.iter().position(|known| *known == route));
        let count = at.and_then(|at| self.requests.get(at)).unwrap_or(&self.elsewhere);
        count.fetch_add(1, Relaxed);
    }

    pub(super) fn count_refusal(&self, code: RefusalCode) {
        let at = RefusalCode::ALL.iter().position(|known| *known == code);
        if let Some(count) = at.and_then(|at| self.refusals.get(at)) {
            count.fetch_add(1, Relaxed);
        }
    }

    /// Counts a connection as open for as long as the answer lives.
    pub(super) fn enter(self: &Arc<Self>) -> Open {
        self.open_connections.fetch_add(1, Relaxed);
        Open(Arc::clone(self))
    }
}

/// A connection that is open.
pub(super) struct Open(Arc<Counters>);

impl Drop for Open {
    fn drop(&mut self) {
        self.0.open_connections.fetch_sub(1, Relaxed);
    }
}
