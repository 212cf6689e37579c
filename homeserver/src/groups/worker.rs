//! Tells other regions of epochs, and asks again for changes that wait, until `shutdown`.

use std::{collections::HashMap, sync::Arc, time::Duration};

use posthouse_protocol::{id::ServerName, limits, time::Timestamp};
use tokio::{task::JoinSet, time::Instant};
use tokio_util::sync::CancellationToken;

use super::GroupsService;

/// How long nothing is looked for, if nobody says that there is something.
const INTERVAL: Duration = Duration::from_secs(2);

/// Most entries that are looked at in one round.
const ROUND: usize = 256;

/// The first and the longest pause after a failure, by region.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_mins(1);

/// Regions that did not answer: until when they are left alone, and the pause after that.
type Pauses = HashMap<ServerName, (Instant, Duration)>;

impl GroupsService {
    /// Runs until `shutdown`.
    pub async fn run(self: Arc<Self>, shutdown: CancellationToken) {
        let mut pauses = Pauses::new();
        loop {
            tokio::select! {
                () = shutdown.cancelled() => return,
                () = self.untold.notified() => {}
                () = tokio::time::sleep(INTERVAL) => {}
            }
            let round = async {
                self.tell_regions(&mut pauses).await;
                self.ask_again().await;
            };
            tokio::select! {
                () = shutdown.cancelled() => return,
                () = round => {}
            }
        }
    }

    async fn tell_regions(self: &Arc<Self>, pauses: &mut Pauses) {
        let untold = match self.book.store().untold_groups(ROUND).await {
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
            let Ok((region, reached)) = told else { continue };
            if reached {
                pauses.remove(&region);
                continue;
            }
            let pause = pauses.get(&region).map_or(FIRST_PAUSE, |(_, pause)| *pause * 2);
            let pause = pause.min(LONGEST_PAUSE);
            pauses.insert(region, (Instant::now() + pause, pause));
        }
    }

    async fn ask_again(&self) {
        let pending = match self.book.store().pending_epochs(ROUND).await {
            Ok(pending) => pending,
            Err(err) => {
                tracing::warn!(error = %err, "changes of groups that wait cannot be read");
                return;
            }
        };
        let oldest: Timestamp = self.clock.now().minus_millis(limits::RETENTION_MS);
        for one in pending {
            let settled = match self.retry(&one.group, &one.document).await {
                Ok(settled) => settled,
                Err(rejection) => {
                    tracing::debug!(group = %one.group, %rejection, "a change waits on");
                    one.at < oldest
                }
            };
            if settled && let Err(err) = self.book.store().drop_pending_epoch(&one.hash).await {
                tracing::warn!(error = %err, "a change of a group could not be settled");
            }
        }
    }
}
