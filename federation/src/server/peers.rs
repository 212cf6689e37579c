//! How much each address and each proved name has in hand.

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv6Addr},
    sync::{Arc, Mutex, PoisonError},
};

use posthouse_protocol::{id::ServerName, time::Timestamp};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::{Config, LogGate};

/// Most names that are remembered at a time.
const MAX_PEERS: usize = 10_000;
/// Tokens are counted in thousandths, so that one comes back each millisecond and rate.
const TOKEN: u64 = 1_000;

/// Connections by address, before anything is known of who is there.
pub(super) struct Addresses {
    open: Mutex<HashMap<IpAddr, usize>>,
    most: usize,
}

impl Addresses {
    pub(super) fn new(most: usize) -> Self {
        Self { open: Mutex::new(HashMap::new()), most }
    }

    /// A place for one more connection, given back when the answer is dropped.
    pub(super) fn enter(self: &Arc<Self>, address: IpAddr) -> Option<AddressPlace> {
        let network = network(address);
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let count = open.entry(network).or_insert(0);
        if *count >= self.most {
            return None;
        }
        *count += 1;
        Some(AddressPlace { addresses: Arc::clone(self), network })
    }
}

/// What one holder of addresses is given at least: a whole IPv4 address, or 64 bits of IPv6.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => {
            IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX)))
        }
        v4 @ IpAddr::V4(_) => v4,
    }
}

/// A connection's place at its address.
pub(super) struct AddressPlace {
    addresses: Arc<Addresses>,
    network: IpAddr,
}

impl Drop for AddressPlace {
    fn drop(&mut self) {
        let mut open = self.addresses.open.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = open.get_mut(&self.network) {
            *count -= 1;
            if *count == 0 {
                open.remove(&self.network);
            }
        }
    }
}

/// What each proved name has in hand.
pub(super) struct Peers {
    table: Mutex<HashMap<ServerName, Arc<Peer>>>,
    connections: usize,
    in_work: usize,
    burst: u32,
    per_second: u32,
}

impl Peers {
    pub(super) fn new(config: &Config) -> Self {
        Self {
            table: Mutex::new(HashMap::new()),
            connections: config.max_per_peer,
            in_work: config.max_in_work,
            burst: config.query_burst,
            per_second: config.queries_per_second,
        }
    }

    /// The account of `name`; `None` if too many names are remembered already.
    pub(super) fn get(&self, name: &ServerName, now: Timestamp) -> Option<Arc<Peer>> {
        let mut table = self.table.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(peer) = table.get(name) {
            return Some(Arc::clone(peer));
        }
        if table.len() >= MAX_PEERS {
            // Whoever has no connection and a full bucket has nothing worth remembering.
            table.retain(|_, peer| Arc::strong_count(peer) > 1 || !peer.is_rested(now));
            if table.len() >= MAX_PEERS {
                return None;
            }
        }
        let peer = Arc::new(Peer {
            connections: Arc::new(Semaphore::new(self.connections)),
            in_work: Arc::new(Semaphore::new(self.in_work)),
            bucket: Mutex::new(Bucket::new(self.burst, self.per_second, now)),
            refusals: LogGate::default(),
        });
        table.insert(name.clone(), Arc::clone(&peer));
        Some(peer)
    }
}

/// What one proved name has in hand.
pub(super) struct Peer {
    connections: Arc<Semaphore>,
    in_work: Arc<Semaphore>,
    bucket: Mutex<Bucket>,
    /// Its own, so that one peer's defects do not hide another's.
    pub(super) refusals: LogGate,
}

impl Peer {
    /// A place for one more connection.
    pub(super) fn connect(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.connections).try_acquire_owned().ok()
    }

    /// A place for one more request in work.
    pub(super) fn work(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.in_work).try_acquire_owned().ok()
    }

    /// Takes a query's token.
    ///
    /// # Errors
    /// In how many seconds there is one.
    pub(super) fn query(&self, now: Timestamp) -> Result<(), u32> {
        self.bucket.lock().unwrap_or_else(PoisonError::into_inner).take(now)
    }

    fn is_rested(&self, now: Timestamp) -> bool {
        self.bucket.lock().unwrap_or_else(PoisonError::into_inner).is_full(now)
    }
}

/// Tokens that come back with time.
struct Bucket {
    tokens: u64,
    most: u64,
    per_second: u64,
    at: Timestamp,
}

impl Bucket {
    fn new(burst: u32, per_second: u32, now: Timestamp) -> Self {
        let most = u64::from(burst) * TOKEN;
        Self { tokens: most, most, per_second: per_second.into(), at: now }
    }

    fn fill(&mut self, now: Timestamp) {
        // A clock that was set back brings nothing and takes nothing.
        let passed = now.0.saturating_sub(self.at.0);
        self.tokens = self.tokens.saturating_add(passed.saturating_mul(self.per_second));
        self.tokens = self.tokens.min(self.most);
        self.at = now;
    }

    fn take(&mut self, now: Timestamp) -> Result<(), u32> {
        self.fill(now);
        if let Some(rest) = self.tokens.checked_sub(TOKEN) {
            self.tokens = rest;
            return Ok(());
        }
        let wait = (TOKEN - self.tokens).div_ceil(self.per_second.max(1)).div_ceil(1_000);
        Err(u32::try_from(wait).unwrap_or(u32::MAX))
    }

    fn is_full(&mut self, now: Timestamp) -> bool {
        self.fill(now);
        self.tokens == self.most
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_gives_its_burst_and_then_its_rate() {
        let start = Timestamp(1_000_000);
        let mut bucket = Bucket::new(3, 2, start);
        for _ in 0..3 {
            assert_eq!(bucket.take(start), Ok(()));
        }
        assert_eq!(bucket.take(start), Err(1));
        assert_eq!(bucket.take(start.plus_millis(500)), Ok(()));
        assert_eq!(bucket.take(start.plus_millis(500)), Err(1));
        assert_eq!(bucket.take(Timestamp(0)), Err(1), "a clock that was set back");
        assert!(bucket.is_full(start.plus_millis(60_000)));
    }

    #[test]
    fn an_address_has_so_many_places_and_gets_them_back() {
        let addresses = Arc::new(Addresses::new(2));
        let enter = |text: &str| addresses.enter(text.parse().unwrap());
        let places = [enter("2001:db8::1"), enter("2001:db8::2")];
        assert!(places.iter().all(Option::is_some));
        assert!(enter("2001:db8::3").is_none(), "the same network of 64 bits");
        assert!(enter("2001:db8:0:1::3").is_some());
        let _v4 = [enter("192.0.2.1").unwrap(), enter("::ffff:192.0.2.1").unwrap()];
        assert!(enter("192.0.2.1").is_none(), "the same address in two forms");
        drop(places);
        assert!(enter("2001:db8::3").is_some());
    }

    #[test]
    fn a_flood_of_names_does_not_grow_the_memory() {
        let config = Config { query_burst: 1, queries_per_second: 1, ..Config::default() };
        let peers = Peers::new(&config);
        let name = |n: usize| ServerName::parse(&format!("n{n}.test")).unwrap();
        for n in 0..MAX_PEERS {
            peers.get(&name(n), Timestamp(0)).unwrap().query(Timestamp(0)).unwrap();
        }
        assert!(peers.get(&name(MAX_PEERS), Timestamp(0)).is_none(), "none has rested");
        assert!(peers.get(&name(7), Timestamp(0)).is_some());
        assert!(peers.get(&name(MAX_PEERS), Timestamp(2_000)).is_some());
        assert_eq!(peers.table.lock().unwrap().len(), 1);
    }
}
