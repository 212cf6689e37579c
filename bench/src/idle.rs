//! `idle`: what a connection costs in memory that does nothing.

use core::fmt;
use std::time::Duration;

use posthouse_client::{Connection, Event};
use serde::Serialize;
use tokio::task::JoinSet;

use crate::{
    args::IdleArgs,
    failure::Failure,
    pairs::{join, mebibytes},
    process,
    report::{Console, Figures as Any, line},
    target::Target,
    users::{self, User},
};

/// Handshakes at a time.
const AT_A_TIME: usize = 32;
/// Looks at the memory, half a second apart, until it stays the same.
const MOST_LOOKS: usize = 60;

/// What was measured.
#[derive(Debug, Serialize)]
pub(crate) struct Figures {
    connections: u32,
    /// Of the server, before its first client; started anew if it was started for this run.
    rss_fresh_kib: Option<u64>,
    /// With the first tenth of the connections: what is made once is there.
    rss_tenth_kib: u64,
    /// With all connections open and caught up.
    rss_all_kib: u64,
    /// Between these two.
    kib_per_connection: f64,
}

/// Runs the scenario.
pub(crate) async fn run(target: &mut Target, args: &IdleArgs) -> Result<Any, Failure> {
    if target.pids.is_empty() {
        return Err(Failure::NoProcess);
    }
    let run = rand::random_range(0..u64::MAX);
    let mut first = users::register(target, run, args.connections).await?;
    // Hashing passwords takes much memory, which would hide what connections take.
    target.restart().await?;
    let tenth = first.len() / 10;
    let others = first.split_off(tenth);
    let count = others.len();
    let early = connect(first).await?;
    let before = settled(&target.pids).await?;
    let late = connect(others).await?;
    let after = settled(&target.pids).await?;
    drop((early, late));
    #[expect(clippy::cast_precision_loss, reason = "memory sizes fit")]
    let each = after.saturating_sub(before) as f64 / count as f64;
    Ok(Any::Idle(Figures {
        connections: args.connections,
        rss_fresh_kib: target.fresh_kib,
        rss_tenth_kib: before,
        rss_all_kib: after,
        kib_per_connection: each,
    }))
}

/// Opens a connection for each user and waits until each has caught up.
async fn connect(users: Vec<User>) -> Result<Vec<Connection>, Failure> {
    let (count, mut open) = (users.len(), Vec::with_capacity(users.len()));
    let mut users = users.into_iter();
    while open.len() < count {
        let mut tasks = JoinSet::new();
        for user in users.by_ref().take(AT_A_TIME) {
            tasks.spawn(async move {
                let mut connection = user.connect().await?;
                while !matches!(connection.next().await?, Event::CaughtUp { .. }) {}
                Ok(connection)
            });
        }
        open.extend(join(&mut tasks, "the connections did not catch up").await?);
        Console::progress(format_args!("{} of {count} connections open", open.len()));
    }
    Ok(open)
}

/// The memory once it no longer moves: what was freed goes back to the system with a delay.
async fn settled(pids: &[u32]) -> Result<u64, Failure> {
    let mut last = process::resident_kib(pids)?;
    let mut same = 0;
    for _ in 0..MOST_LOOKS {
        tokio::time::sleep(Duration::from_millis(500)).await;
        let now = process::resident_kib(pids)?;
        same = if now.abs_diff(last) * 500 <= now { same + 1 } else { 0 };
        last = now;
        if same == 6 {
            break;
        }
    }
    Ok(last)
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        line(f, "idle connections", Some(self.connections))?;
        line(f, "server memory, fresh", self.rss_fresh_kib.map(mebibytes))?;
        line(f, "with a tenth of them", Some(mebibytes(self.rss_tenth_kib)))?;
        line(f, "with all of them", Some(mebibytes(self.rss_all_kib)))?;
        let each = format!("{:.1} KiB", self.kib_per_connection);
        line(f, "a connection", Some(each))
    }
}
