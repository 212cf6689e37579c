//! What all connections of the edge share.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Arc, Mutex, PoisonError},
};

use posthouse_protocol::{
    problem::{Code, Rejection},
    rest::Secret,
    time::Clock,
};
use rand_core::CryptoRng;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::{
    address::AddressKey,
    config::{self, Config, RequestRates},
    counters::Counters,
    ports::{Caller, Ports},
    rate::{Limiter, TooOften},
    tickets::Tickets,
};

/// The edge of one region: its ports, its settings and what its connections share. Cheap to clone.
#[derive(Clone)]
pub struct Edge(Arc<Shared>);

struct Shared {
    ports: Ports,
    config: Config,
    clock: Arc<dyn Clock>,
    rng: Mutex<Box<dyn CryptoRng + Send>>,
    tickets: Tickets,
    start: Instant,
    limiters: Limiters,
    per_address: Mutex<HashMap<AddressKey, usize>>,
    counters: Counters,
    draining: CancellationToken,
}

/// A bucket for each peer, by what it does.
struct Limiters {
    register: Limiter<AddressKey>,
    log_in: Limiter<AddressKey>,
    refresh: Limiter<AddressKey>,
    link: Limiter<AddressKey>,
    link_result: Limiter<AddressKey>,
    account: Limiter<Uuid>,
    messages: Limiter<Uuid>,
    lookup: Limiter<Uuid>,
}

/// What a stranger does, limited by address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Anonymous {
    Register,
    LogIn,
    Refresh,
    Link,
    LinkResult,
}

/// What an account does, limited by account.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Personal {
    Any,
    Message,
    Lookup,
}

impl Edge {
    /// An edge. `rng` makes tickets, so it has to be the system's or be seeded by it.
    pub fn new(
        ports: Ports,
        config: Config,
        clock: Arc<dyn Clock>,
        rng: impl CryptoRng + Send + 'static,
    ) -> Self {
        let limiters = Limiters::new(&config.requests);
        Self(Arc::new(Shared {
            ports,
            config,
            clock,
            rng: Mutex::new(Box::new(rng)),
            tickets: Tickets::default(),
            start: Instant::now(),
            limiters,
            per_address: Mutex::default(),
            counters: Counters::default(),
            draining: CancellationToken::new(),
        }))
    }

    /// What happened since the start.
    pub fn counters(&self) -> &Counters {
        &self.0.counters
    }

    /// Tells every listener of this edge to stop: no new connections, sockets are closed with 1012,
    /// `GET /readyz` refuses. A [`crate::serve`] whose own shutdown comes does this for all.
    pub fn drain(&self) {
        self.0.draining.cancel();
    }

    pub(crate) fn draining(&self) -> &CancellationToken {
        &self.0.draining
    }

    pub(crate) fn ports(&self) -> &Ports {
        &self.0.ports
    }

    pub(crate) fn config(&self) -> &Config {
        &self.0.config
    }

    /// Gives out a ticket for `caller`.
    pub(crate) fn issue_ticket(&self, caller: Caller) -> Secret {
        let mut rng = self.0.rng.lock().unwrap_or_else(PoisonError::into_inner);
        self.0.tickets.issue(caller, self.0.clock.now(), &mut **rng)
    }

    /// Uses up a ticket and checks that its session still stands.
    pub(crate) async fn redeem_ticket(&self, ticket: &str) -> Result<Caller, Rejection> {
        let holder = self.0.tickets.redeem(ticket, self.0.clock.now());
        let caller = holder.ok_or_else(|| {
            Rejection::new(Code::Unauthorized, "the ticket is unknown, used or expired")
        })?;
        self.ports().accounts.still_valid(&caller).await?;
        Ok(caller)
    }

    /// Counts something that a stranger at `address` does.
    pub(crate) fn limit_address(&self, what: Anonymous, address: IpAddr) -> Result<(), Rejection> {
        if self.config().exempts(address.to_canonical()) {
            return Ok(());
        }
        let limiters = &self.0.limiters;
        let limiter = match what {
            Anonymous::Register => &limiters.register,
            Anonymous::LogIn => &limiters.log_in,
            Anonymous::Refresh => &limiters.refresh,
            Anonymous::Link => &limiters.link,
            Anonymous::LinkResult => &limiters.link_result,
        };
        limiter.take(address.into(), self.0.start.elapsed()).map_err(too_often)
    }

    /// Counts something that `caller` does.
    pub(crate) fn limit_account(&self, what: Personal, caller: &Caller) -> Result<(), Rejection> {
        let limiters = &self.0.limiters;
        let limiter = match what {
            Personal::Any => &limiters.account,
            Personal::Message => &limiters.messages,
            Personal::Lookup => &limiters.lookup,
        };
        limiter.take(caller.account.uuid, self.0.start.elapsed()).map_err(too_often)
    }

    /// A place for one more connection from `address`, unless there are too many.
    pub(crate) fn admit(&self, address: IpAddr) -> Result<Admission, Full> {
        let open = &self.counters().open_connections;
        if open.get() >= self.config().max_connections as u64 {
            return Err(Full::Edge);
        }
        let key = self.take_place(address)?;
        open.add(1);
        Ok(Admission { edge: self.clone(), key })
    }

    /// Counts a connection with those of its address, if they are limited.
    fn take_place(&self, address: IpAddr) -> Result<Option<AddressKey>, Full> {
        let canonical = address.to_canonical();
        if self.config().trusts(canonical) || self.config().exempts(canonical) {
            return Ok(None);
        }
        let key = AddressKey::from(address);
        let mut counts = self.0.per_address.lock().unwrap_or_else(PoisonError::into_inner);
        let count = counts.entry(key).or_default();
        if *count >= self.config().max_connections_per_address {
            return Err(Full::Address);
        }
        *count += 1;
        Ok(Some(key))
    }
}

/// Which limit a connection would exceed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Full {
    /// [`Config::max_connections`].
    Edge,
    /// [`Config::max_connections_per_address`].
    Address,
}

/// A connection's place, given back when dropped.
pub(crate) struct Admission {
    edge: Edge,
    key: Option<AddressKey>,
}

impl Drop for Admission {
    fn drop(&mut self) {
        self.edge.counters().open_connections.sub(1);
        let Some(key) = self.key else { return };
        let mut counts = self.edge.0.per_address.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = counts.get_mut(&key) {
            *count -= 1;
            if *count == 0 {
                counts.remove(&key);
            }
        }
    }
}

impl Limiters {
    fn new(rates: &RequestRates) -> Self {
        Self {
            register: Limiter::new(rates.register),
            log_in: Limiter::new(rates.log_in),
            refresh: Limiter::new(rates.refresh),
            link: Limiter::new(config::LINKS),
            link_result: Limiter::new(config::LINK_RESULTS),
            account: Limiter::new(rates.account),
            messages: Limiter::new(rates.messages),
            lookup: Limiter::new(rates.lookup),
        }
    }
}

/// The refusal of what comes too often.
pub(crate) fn too_often(err: TooOften) -> Rejection {
    Rejection::new(Code::RateLimited, "this was done too often; wait and try again")
        .retry_after(err.seconds())
}
