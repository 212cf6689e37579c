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

/// The limits of one process.
pub struct GroupLimits {
    group: Limiter<GroupId>,
    actor: Limiter<Uuid>,
    created: Limiter<Uuid>,
    pushed: Limiter<ServerName>,
    start: Instant,
}

impl Default for GroupLimits {
    fn default() -> Self {
        Self {
            group: Limiter::new(GROUP),
            actor: Limiter::new(ACTOR),
            created: Limiter::new(CREATED),
            pushed: Limiter::new(PUSHED),
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

    /// Counts a new group.
    pub(super) fn create(&self, actor: Uuid) -> Result<(), Rejection> {
        let taken = self.created.take(actor, self.start.elapsed());
        taken.map_err(|err| too_often(err.seconds()))
    }
}

fn too_often(seconds: u32) -> Rejection {
    Rejection::new(Code::RateLimited, "groups were changed too often; wait").retry_after(seconds)
}
