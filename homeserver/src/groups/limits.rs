//! How often groups are changed.

use std::time::Duration;

use posthouse_client_api::rate::{Limiter, Rate};
use posthouse_protocol::{
    id::{GroupId, ServerName},
    problem::{Code, Rejection},
};
use tokio::time::Instant;
use uuid::Uuid;

/// Epochs of one group: enough to fill it at once. Each is told to every member.
const GROUP: Rate = Rate { burst: 2_200, interval: Duration::from_secs(3) };

/// Epochs of one account, in all its groups.
const ACTOR: Rate = Rate { burst: 2_200, interval: Duration::from_secs(3) };

/// New groups of one account.
const CREATED: Rate = Rate { burst: 50, interval: Duration::from_mins(10) };

/// Epochs that one region tells of.
const PUSHED: Rate = Rate { burst: 70_000, interval: Duration::from_millis(20) };

/// Wishes to join that one region brings, and one account makes elsewhere: each tries a code.
const ASKED: Rate = Rate { burst: 256, interval: Duration::from_secs(1) };
const ASKS: Rate = Rate { burst: 20, interval: Duration::from_secs(30) };

/// The limits of one process.
pub struct GroupLimits {
    group: Limiter<GroupId>,
    actor: Limiter<Uuid>,
    created: Limiter<Uuid>,
    pushed: Limiter<ServerName>,
    asked: Limiter<ServerName>,
    asks: Limiter<Uuid>,
    start: Instant,
}

impl Default for GroupLimits {
    fn default() -> Self {
        Self {
            group: Limiter::new(GROUP),
            actor: Limiter::new(ACTOR),
            created: Limiter::new(CREATED),
            pushed: Limiter::new(PUSHED),
            asked: Limiter::new(ASKED),
            asks: Limiter::new(ASKS),
            start: Instant::now(),
        }
    }
}

impl GroupLimits {
    /// Counts an epoch.
    pub(super) fn epoch(&self, actor: Uuid, group: &GroupId) -> Result<(), Rejection> {
        let now = self.start.elapsed();
        let taken = self.actor.take(actor, now).and_then(|()| self.group.take(group.clone(), now));
        taken.map_err(|err| too_often(err.seconds()))
    }

    /// Counts epochs that another region tells of.
    pub(super) fn pushed(&self, origin: &ServerName, epochs: usize) -> Result<(), Rejection> {
        let now = self.start.elapsed();
        for _ in 0..epochs.max(1) {
            let taken = self.pushed.take(origin.clone(), now);
            taken.map_err(|err| too_often(err.seconds()))?;
        }
        Ok(())
    }

    /// Counts a wish to join that another region brings.
    pub(super) fn asked(&self, origin: &ServerName) -> Result<(), Rejection> {
        let taken = self.asked.take(origin.clone(), self.start.elapsed());
        taken.map_err(|err| too_often(err.seconds()))
    }

    /// Counts a wish of an account to join a group of another region.
    pub(super) fn asks(&self, account: Uuid) -> Result<(), Rejection> {
        let taken = self.asks.take(account, self.start.elapsed());
        taken.map_err(|err| too_often(err.seconds()))
    }

    /// Counts a new group.
    pub(super) fn create(&self, actor: Uuid) -> Result<(), Rejection> {
        let taken = self.created.take(actor, self.start.elapsed());
        taken.map_err(|err| too_often(err.seconds()))
    }
}

fn too_often(seconds: u32) -> Rejection {
    Rejection::new(Code::RateLimited, "groups were changed too often; wait").retry_after(seconds)
}
