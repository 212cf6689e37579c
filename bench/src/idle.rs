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
    /// Of the server, before its first client.
    rss_fresh_kib: Option<u64>,
    /// With all accounts registered and nobody connected.
    rss_before_kib: u64,
    /// With all connections open and caught up.
    rss_after_kib: u64,
    kib_per_connection: f64,
}

/// Runs the scenario.
pub(crate) async fn run(target: &Target, args: &IdleArgs) -> Result<Any, Failure> {
    if target.pids.is_empty() {
        return Err(Failure::NoTarget);
    }
    let run = rand::random_range(0..u64::MAX);
    let users = users::register(target, run, args.connections).await?;
    let before = settled(&target.pids).await?;
    let connections = connect(users).await?;
    let after = settled(&target.pids).await?;
    let gained = after.saturating_sub(before);
    drop(connections);
    #[expect(clippy::cast_precision_loss, reason = "memory sizes fit")]
    let each = gained as f64 / f64::from(args.connections);
    Ok(Any::Idle(Figures {
        connections: args.connections,
        rss_fresh_kib: target.fresh_kib,
        rss_before_kib: before,
        rss_after_kib: after,
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
        line(f, "before connecting", Some(mebibytes(self.rss_before_kib)))?;
        line(f, "all connected", Some(mebibytes(self.rss_after_kib)))?;
        let each = format!("{:.1} KiB", self.kib_per_connection);
        line(f, "a connection", Some(each))
    }
}
