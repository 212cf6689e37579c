//! Tickets for `GET /v1/connect?ticket=…`: for browsers, which cannot set header fields on a
//! WebSocket handshake. A ticket is 256 random bits, valid once and for
//! [`limits::TICKET_SECONDS`]; only its hash is kept.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Mutex, MutexGuard, PoisonError},
};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use posthouse_protocol::{limits, rest::Secret, time::Timestamp};
use rand_core::CryptoRng;
use sha2::{Digest as _, Sha256};

use crate::ports::Caller;

/// Most tickets that wait to be used; a further one pushes out the oldest.
pub const MAX_TICKETS: usize = 65_536;

/// Characters of a ticket: 32 bytes in base64url (RFC 4648 §5) without padding.
const TICKET_LEN: usize = 43;

/// The tickets that were given out and neither used nor expired.
#[derive(Default)]
pub(crate) struct Tickets(Mutex<Store>);

#[derive(Default)]
struct Store {
    holders: HashMap<[u8; 32], Holder>,
    /// Hashes in the order in which they expire, since all live equally long.
    order: VecDeque<(Timestamp, [u8; 32])>,
}

struct Holder {
    caller: Caller,
    expires: Timestamp,
}

impl Tickets {
    /// Gives out a ticket.
    pub(crate) fn issue(&self, caller: Caller, now: Timestamp, rng: &mut dyn CryptoRng) -> Secret {
        let mut bits = [0; 32];
        rng.fill_bytes(&mut bits);
        let ticket = URL_SAFE_NO_PAD.encode(bits);
        let hash = digest(&ticket);
        let expires = now.plus_millis(limits::TICKET_SECONDS * 1_000);
        let mut store = self.store();
        store.sweep(now);
        store.holders.insert(hash, Holder { caller, expires });
        store.order.push_back((expires, hash));
        Secret(ticket)
    }

    /// Uses up a ticket: who it was given to, if it is valid.
    pub(crate) fn redeem(&self, ticket: &str, now: Timestamp) -> Option<Caller> {
        if ticket.len() != TICKET_LEN {
            return None;
        }
        let holder = self.store().holders.remove(&digest(ticket))?;
        (now < holder.expires).then_some(holder.caller)
    }

    fn store(&self) -> MutexGuard<'_, Store> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Store {
    /// Forgets what has expired, and the oldest if there is no room.
    fn sweep(&mut self, now: Timestamp) {
        while let Some((expires, hash)) = self.order.front() {
            if *expires > now && self.order.len() < MAX_TICKETS {
                break;
            }
            self.holders.remove(hash);
            self.order.pop_front();
        }
    }
}

/// Looking a hash up leaks nothing of a ticket by its timing.
fn digest(ticket: &str) -> [u8; 32] {
    Sha256::digest(ticket).into()
}

#[cfg(test)]
mod tests {
    use posthouse_protocol::id::{AccountId, DeviceId, DeviceNumber, SessionId};
    use rand::{SeedableRng as _, rngs::StdRng};
    use uuid::Uuid;

    use super::*;

    fn caller() -> Caller {
        Caller {
            account: AccountId::parse("01890a5d-0000-774b-bcce-b302099a8057@eu.example").unwrap(),
            device: DeviceId(Uuid::from_u128(1)),
            number: DeviceNumber::FIRST,
            session: SessionId(Uuid::from_u128(2)),
        }
    }

    #[test]
    fn a_ticket_is_good_once_and_for_a_while() {
        let (tickets, mut rng) = (Tickets::default(), StdRng::seed_from_u64(1));
        let mut issue = |at| tickets.issue(caller(), Timestamp(at), &mut rng);
        let first = issue(0);
        assert_eq!(first.0.len(), TICKET_LEN);
        assert_eq!(tickets.redeem(&first.0, Timestamp(29_999)), Some(caller()));
        assert_eq!(tickets.redeem(&first.0, Timestamp(29_999)), None);
        let late = issue(0);
        assert_eq!(tickets.redeem(&late.0, Timestamp(30_000)), None);
        assert_eq!(tickets.redeem("", Timestamp(0)), None);
        let tampered = issue(0).0.replace(|_| true, "A");
        assert_eq!(tickets.redeem(&tampered, Timestamp(0)), None);
    }

    #[test]
    fn the_store_is_bounded_and_forgets() {
        let (tickets, mut rng) = (Tickets::default(), StdRng::seed_from_u64(2));
        let first = tickets.issue(caller(), Timestamp(0), &mut rng);
        for _ in 0..MAX_TICKETS {
            tickets.issue(caller(), Timestamp(1), &mut rng);
        }
        assert_eq!(tickets.store().holders.len(), MAX_TICKETS);
        assert_eq!(tickets.redeem(&first.0, Timestamp(1)), None);
        tickets.issue(caller(), Timestamp(60_000), &mut rng);
        assert_eq!(tickets.store().holders.len(), 1);
        assert_eq!(tickets.store().order.len(), 1);
    }
}
