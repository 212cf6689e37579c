//! How often keys are handed out and changed.

use std::time::Duration;

use posthouse_client_api::rate::{Limiter, Rate, TooOften};
use posthouse_protocol::{
    id::{AccountId, ServerName},
    problem::{Code, Rejection},
};
use tokio::time::Instant;
use uuid::Uuid;

/// Claims of one requester: enough for a person who writes to many, not for a collector of keys.
const REQUESTER: Rate = Rate { burst: 200, interval: Duration::from_secs(2) };

/// Claims on one account with one-time keys: its devices bring 100 keys at a time, as often as they
/// are told.
const TARGET: Rate = Rate { burst: 200, interval: Duration::from_secs(10) };

/// Claims of one requester on one account: a session is begun once, and again after a mishap.
const PAIR: Rate = Rate { burst: 10, interval: Duration::from_mins(5) };

/// Claims of one region's accounts on one account with one-time keys: a region that makes up accounts does not use up
/// the keys, nor what others may ask for.
const REGION_TARGET: Rate = Rate { burst: 100, interval: Duration::from_secs(20) };

/// Claims of one region's accounts.
const REGION: Rate = Rate { burst: 1_000, interval: Duration::from_millis(200) };

/// Devices of other regions' users that one account asks for.
const LOOK_UPS: Rate = Rate { burst: 100, interval: Duration::from_secs(1) };

/// Device lists of one account. Each is told to everyone it knows.
const LISTS: Rate = Rate { burst: 20, interval: Duration::from_mins(5) };

/// Identity keys of one account. Each is told to everyone it knows, and costs a password hash.
const IDENTITIES: Rate = Rate { burst: 5, interval: Duration::from_hours(1) };

/// Uploads of one account's prekeys.
const UPLOADS: Rate = Rate { burst: 40, interval: Duration::from_secs(30) };

/// The limits of one process.
pub struct KeyLimits {
    requester: Limiter<AccountId>,
    target: Limiter<Uuid>,
    pair: Limiter<(AccountId, Uuid)>,
    region_target: Limiter<(ServerName, Uuid)>,
    region: Limiter<ServerName>,
    look_ups: Limiter<Uuid>,
    lists: Limiter<Uuid>,
    identities: Limiter<Uuid>,
    uploads: Limiter<Uuid>,
    start: Instant,
}

impl Default for KeyLimits {
    fn default() -> Self {
        Self {
            requester: Limiter::new(REQUESTER),
            target: Limiter::new(TARGET),
            pair: Limiter::new(PAIR),
            region_target: Limiter::new(REGION_TARGET),
            region: Limiter::new(REGION),
            look_ups: Limiter::new(LOOK_UPS),
            lists: Limiter::new(LISTS),
            identities: Limiter::new(IDENTITIES),
            uploads: Limiter::new(UPLOADS),
            start: Instant::now(),
        }
    }
}

impl KeyLimits {
    /// Counts a claim, and says whether one-time keys may be given for it. The narrowest limit
    /// first: who asks for one account's keys over and over does not use up what others may ask of
    /// it. Claims on one account are never refused for what strangers ask: beyond its limit they get
    /// the lasting keys alone, so that nobody can make an account unreachable.
    pub(super) fn claim(
        &self,
        requester: &AccountId,
        target: Uuid,
        own: &ServerName,
    ) -> Result<bool, Rejection> {
        let now = self.start.elapsed();
        self.pair.take((requester.clone(), target), now).map_err(too_often)?;
        self.requester.take(requester.clone(), now).map_err(too_often)?;
        if requester.server != *own {
            let region = &requester.server;
            self.region.take(region.clone(), now).map_err(too_often)?;
            if self.region_target.take((region.clone(), target), now).is_err() {
                return Ok(false);
            }
        }
        Ok(self.target.take(target, now).is_ok())
    }

    /// Counts a claim on an account of another region, which counts for itself too.
    pub(super) fn claim_abroad(
        &self,
        requester: &AccountId,
        target: &AccountId,
    ) -> Result<(), Rejection> {
        let now = self.start.elapsed();
        self.pair.take((requester.clone(), target.uuid), now).map_err(too_often)?;
        self.requester.take(requester.clone(), now).map_err(too_often)
    }

    /// Counts a question about another region's account.
    pub(super) fn look_up(&self, by: Uuid) -> Result<(), Rejection> {
        self.look_ups.take(by, self.start.elapsed()).map_err(too_often)
    }

    pub(super) fn list(&self, account: Uuid) -> Result<(), Rejection> {
        self.lists.take(account, self.start.elapsed()).map_err(too_often)
    }

    pub(super) fn identity(&self, account: Uuid) -> Result<(), Rejection> {
        self.identities.take(account, self.start.elapsed()).map_err(too_often)
    }

    pub(super) fn upload(&self, account: Uuid) -> Result<(), Rejection> {
        self.uploads.take(account, self.start.elapsed()).map_err(too_often)
    }
}

fn too_often(err: TooOften) -> Rejection {
    Rejection::new(Code::RateLimited, "keys were asked for or changed too often; wait")
        .retry_after(err.seconds())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn account(number: u128, server: &ServerName) -> AccountId {
        AccountId { uuid: Uuid::from_u128(number), server: server.clone() }
    }

    /// Regions that make up accounts use up the one-time keys' budget, and not the account.
    #[test]
    fn strangers_cannot_make_an_account_unreachable() {
        let limits = KeyLimits::default();
        let own = ServerName::parse("north.test").unwrap();
        let target = Uuid::from_u128(1);
        let mut given = 0;
        for region in ["east.test", "south.test", "west.test"] {
            let region = ServerName::parse(region).unwrap();
            for number in 0..200 {
                given += u32::from(limits.claim(&account(number, &region), target, &own).unwrap());
            }
        }
        assert_eq!(given, TARGET.burst);
        let friend = account(7, &own);
        assert!(!limits.claim(&friend, target, &own).unwrap(), "the lasting keys alone");
        assert!(limits.claim(&friend, Uuid::from_u128(2), &own).unwrap());
    }
}
