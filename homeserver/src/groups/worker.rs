//! Tells other regions of epochs, and asks again for changes that wait, until `shutdown`.

use std::{collections::HashMap, sync::Arc, time::Duration};

use posthouse_protocol::{
    id::{GroupId, ServerName},
    limits,
    time::Timestamp,
};
use posthouse_storage::{error::StoreError, groups::Pending};
use tokio::{task::JoinSet, time::Instant};
use tokio_util::sync::CancellationToken;

use super::GroupsService;

/// How long nothing is looked for, if nobody says that there is something.
const INTERVAL: Duration = Duration::from_secs(2);

/// Most entries that are looked at in one round.
const ROUND: usize = 256;

/// Most pages of what is to be told that are read in one round.
const PAGES: usize = 64;

/// The first and the longest pause after a failure, by region.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_mins(1);

/// Regions that did not answer: until when they are left alone, and the pause after that.
type Pauses = HashMap<ServerName, (Instant, Duration)>;

impl GroupsService {
    /// Runs until `shutdown`.
    pub async fn run(self: Arc<Self>, shutdown: CancellationToken) {
        let (mut telling, mut asking) = (Pauses::new(), Pauses::new());
        loop {
            tokio::select! {
                () = shutdown.cancelled() => return,
                () = self.untold.notified() => {}
                () = tokio::time::sleep(INTERVAL) => {}
            }
            let round = async {
                self.tell_regions(&mut telling).await;
                self.ask_again(&mut asking).await;
            };
            tokio::select! {
                () = shutdown.cancelled() => return,
                () = round => {}
            }
        }
    }

    async fn tell_regions(self: &Arc<Self>, pauses: &mut Pauses) {
        let untold = match self.untold().await {
            Ok(untold) => untold,
            Err(err) => {
                tracing::warn!(error = %err, "what is to be told of groups cannot be read");
                return;
            }
        };
        let now = Instant::now();
        pauses.retain(|region, _| untold.iter().any(|(one, ..)| one == region));
        // Each region by itself: a dead one costs the others nothing.
        let mut by_region: HashMap<ServerName, Vec<_>> = HashMap::new();
        for (region, group, epoch) in untold {
            if pauses.get(&region).is_none_or(|(until, _)| *until <= now) {
                by_region.entry(region).or_default().push((group, epoch));
            }
        }
        let mut telling = JoinSet::new();
        for (region, groups) in by_region {
            let service = Arc::clone(self);
            telling.spawn(async move {
                for (group, epoch) in groups {
                    if let Err(rejection) = service.push(&region, &group, epoch).await {
                        tracing::debug!(%region, %group, %rejection, "epochs could not be told");
                        return (region, false);
                    }
                }
                (region, true)
            });
        }
        while let Some(told) = telling.join_next().await {
            if let Ok((region, reached)) = told {
                note(pauses, region, reached);
            }
        }
    }

    /// Everything that is to be told, a bounded number of pages: what waits for a dead region must
    /// not hide what waits for others.
    async fn untold(&self) -> Result<Vec<(ServerName, GroupId, u64)>, StoreError> {
        let mut all: Vec<(ServerName, GroupId, u64)> = Vec::new();
        for _ in 0..PAGES {
            let after = all.last().map(|(region, group, _)| (region, group));
            let page = self.book.store().untold_groups(after, ROUND).await?;
            let is_last = page.len() < ROUND;
            all.extend(page);
            if is_last {
                break;
            }
        }
        Ok(all)
    }

    /// Asks again for changes that wait, of each owner by itself; a dead one costs the others nothing.
    async fn ask_again(self: &Arc<Self>, pauses: &mut Pauses) {
        let pending = match self.pending().await {
            Ok(pending) => pending,
            Err(err) => {
                tracing::warn!(error = %err, "changes of groups that wait cannot be read");
                return;
            }
        };
        let mut by_owner: HashMap<ServerName, Vec<Pending>> = HashMap::new();
        for one in pending {
            // What cannot be read now waits on.
            if let Ok(Some(known)) = self.book.current(&one.group).await
                && let Ok(owner) = ServerName::parse(known.state.region())
            {
                by_owner.entry(owner).or_default().push(one);
            }
        }
        pauses.retain(|owner, _| by_owner.contains_key(owner));
        let now = Instant::now();
        by_owner.retain(|owner, _| pauses.get(owner).is_none_or(|(until, _)| *until <= now));
        let mut asking = JoinSet::new();
        for (owner, waiting) in by_owner {
            let service = Arc::clone(self);
            asking.spawn(async move { (owner, service.ask_owner(waiting).await) });
        }
        while let Some(asked) = asking.join_next().await {
            if let Ok((owner, reached)) = asked {
                note(pauses, owner, reached);
            }
        }
    }

    /// Whether the owner of these was reached. What is too old is given up.
    async fn ask_owner(&self, waiting: Vec<Pending>) -> bool {
        let oldest: Timestamp = self.clock.now().minus_millis(limits::RETENTION_MS);
        let mut reached = true;
        for one in waiting {
            let settled = reached
                && match self.retry(&one.group, &one.document).await {
                    Ok(settled) => settled,
                    Err(rejection) => {
                        tracing::debug!(group = %one.group, %rejection, "a change waits on");
                        reached = false;
                        false
                    }
                };
            if settled || one.at < oldest {
                self.settle(&one).await;
            }
        }
        reached
    }

    async fn settle(&self, one: &Pending) {
        if let Err(err) = self.book.store().drop_pending_epoch(&one.hash).await {
            tracing::warn!(error = %err, "a change of a group could not be settled");
        }
    }

    /// Every change that waits, a bounded number of pages.
    async fn pending(&self) -> Result<Vec<Pending>, StoreError> {
        let mut all: Vec<Pending> = Vec::new();
        for _ in 0..PAGES {
            let page = self.book.store().pending_epochs(all.last(), ROUND).await?;
            let is_last = page.len() < ROUND;
            all.extend(page);
            if is_last {
                break;
            }
        }
        Ok(all)
    }
}

/// A region was reached, or is left alone for a while.
fn note(pauses: &mut Pauses, region: ServerName, reached: bool) {
    if reached {
        pauses.remove(&region);
        return;
    }
    let pause = pauses.get(&region).map_or(FIRST_PAUSE, |(_, pause)| *pause * 2);
    let pause = pause.min(LONGEST_PAUSE);
    pauses.insert(region, (Instant::now() + pause, pause));
}
