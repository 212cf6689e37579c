//! The port `Wakes`: LISTEN and NOTIFY between the processes of one PostgreSQL.
//!
//! A payload is the sending node's id (32 hex digits), a letter (`i` inboxes, `e` ended sessions,
//! `g` accounts that are gone, `o` queues to other regions) and the ids, 32 hex digits each, or the
//! regions' names with commas. A commit's notifications are sent by the transaction itself,
//! so that they arrive if and only if it committed.

use async_trait::async_trait;
use posthouse_protocol::id::{ServerName, SessionId};
use posthouse_storage::{
    error::StoreError,
    wakes::{Wake, Wakes},
};
use sqlx::postgres::PgListener;
use tokio::sync::Mutex;
use uuid::Uuid;

use crate::{
    db::Script,
    failure::unavailable,
    statement::{Dialect, Statement, statements},
    store::SqlStore,
};

statements! {
    /// Only PostgreSQL notifies; the text for SQLite never runs.
    NOTIFY = Statement::of_each("SELECT ?", "SELECT pg_notify('posthouse_wake', ?)");
}

const CHANNEL: &str = "posthouse_wake";

/// Ids in one notification: PostgreSQL's payloads have less than 8,000 bytes.
const MAX_IDS: usize = 240;

/// Names in one notification: one has at most 253 bytes.
const MAX_NAMES: usize = 30;

const INBOXES: char = 'i';
const ENDED: char = 'e';
const GONE: char = 'g';
const OUTBOXES: char = 'o';

/// The connection that listens; opened by the first to wait.
#[derive(Default)]
pub(crate) struct Listener {
    listener: Mutex<Option<PgListener>>,
}

impl Listener {
    pub(crate) fn close(&self) {
        // Whoever waits holds the lock, and is told by the pool's closing.
        if let Ok(mut listener) = self.listener.try_lock() {
            listener.take();
        }
    }
}

/// Adds notifications that these inboxes have grown.
pub(crate) fn tell_inboxes(
    store: &SqlStore,
    script: &mut Script,
    accounts: impl Iterator<Item = Uuid>,
) {
    if store.db().dialect() == Dialect::Postgres {
        let accounts: Vec<Uuid> = accounts.collect();
        notify(script, store.inner.node, INBOXES, &accounts);
    }
}

/// Adds notifications that the queues to these regions have grown.
pub(crate) fn tell_outboxes<'a>(
    store: &SqlStore,
    script: &mut Script,
    names: impl Iterator<Item = &'a ServerName>,
) {
    if store.db().dialect() == Dialect::Postgres {
        let mut names: Vec<&str> = names.map(ServerName::as_str).collect();
        names.sort_unstable();
        names.dedup();
        for names in names.chunks(MAX_NAMES) {
            send(script, store.inner.node, OUTBOXES, &names.join(","));
        }
    }
}

fn notify(script: &mut Script, node: Uuid, kind: char, ids: &[Uuid]) {
    for ids in ids.chunks(MAX_IDS) {
        let mut rest = String::with_capacity(ids.len() * 32);
        for id in ids {
            rest.push_str(id.as_simple().encode_lower(&mut [0; 32]));
        }
        send(script, node, kind, &rest);
    }
}

fn send(script: &mut Script, node: Uuid, kind: char, rest: &str) {
    let payload = format!("{}{kind}{rest}", node.as_simple());
    script.one(&NOTIFY, |args| {
        args.text(&payload);
    });
}

/// What a payload says; `None` if `node` sent it itself.
fn parse(payload: &str, node: Uuid) -> Option<Wake> {
    let (sender, rest) = payload.split_at_checked(32)?;
    if Uuid::try_parse(sender) == Ok(node) {
        return None;
    }
    let (kind, rest) = rest.split_at_checked(1)?;
    let ids = || -> Option<Vec<Uuid>> {
        rest.as_bytes().chunks(32).map(|id| Uuid::try_parse_ascii(id).ok()).collect()
    };
    let wake = match kind.chars().next() {
        Some(INBOXES) => ids().map(Wake::Inboxes),
        Some(ENDED) => ids().map(|ids| Wake::Ended(ids.into_iter().map(SessionId).collect())),
        Some(GONE) => ids().map(Wake::Gone),
        Some(OUTBOXES) => {
            let names: Option<Vec<ServerName>> =
                rest.split(',').map(|name| ServerName::parse(name).ok()).collect();
            names.map(Wake::Outboxes)
        }
        _ => None,
    };
    // What is not understood is a newer version's, perhaps.
    Some(wake.unwrap_or(Wake::Missed))
}

#[async_trait]
impl Wakes for SqlStore {
    async fn next(&self) -> Result<Wake, StoreError> {
        let Some(pool) = self.db().notifications() else {
            return core::future::pending().await;
        };
        let mut slot = self.inner.listener.listener.lock().await;
        let listener = match &mut *slot {
            Some(listener) => listener,
            empty => {
                let mut listener = PgListener::connect_with(pool).await.map_err(unavailable)?;
                listener.eager_reconnect(false);
                listener.listen(CHANNEL).await.map_err(unavailable)?;
                *empty = Some(listener);
                // What was sent before this moment has not been heard.
                return Ok(Wake::Missed);
            }
        };
        loop {
            match listener.try_recv().await {
                Ok(Some(notification)) => {
                    if let Some(wake) = parse(notification.payload(), self.inner.node) {
                        return Ok(wake);
                    }
                }
                // The connection was lost; the next call opens another.
                Ok(None) => {
                    *slot = None;
                    return Ok(Wake::Missed);
                }
                Err(error) => {
                    *slot = None;
                    return Err(unavailable(error));
                }
            }
        }
    }

    async fn ended(&self, sessions: &[SessionId]) -> Result<(), StoreError> {
        if self.db().dialect() == Dialect::Sqlite || sessions.is_empty() {
            return Ok(());
        }
        let ids: Vec<Uuid> = sessions.iter().map(|session| session.0).collect();
        let mut script = Script::new(Dialect::Postgres);
        notify(&mut script, self.inner.node, ENDED, &ids);
        self.db().read(script).await?;
        Ok(())
    }

    async fn gone(&self, accounts: &[Uuid]) -> Result<(), StoreError> {
        if self.db().dialect() == Dialect::Sqlite || accounts.is_empty() {
            return Ok(());
        }
        let mut script = Script::new(Dialect::Postgres);
        notify(&mut script, self.inner.node, GONE, accounts);
        self.db().read(script).await?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn payloads_round_trip_and_own_ones_are_skipped() {
        let (own, other) = (Uuid::from_u128(1), Uuid::from_u128(2));
        let ids: Vec<Uuid> = (0..3).map(Uuid::from_u128).collect();
        let mut payload = format!("{}i", other.as_simple());
        for id in &ids {
            payload.push_str(&id.as_simple().to_string());
        }
        assert_eq!(parse(&payload, own), Some(Wake::Inboxes(ids)));
        assert_eq!(parse(&payload, other), None);
        assert_eq!(parse(&format!("{}x", other.as_simple()), own), Some(Wake::Missed));
        let names = ["asia.example", "us.example"].map(|name| ServerName::parse(name).ok());
        let names: Vec<ServerName> = names.into_iter().flatten().collect();
        let joined = names.iter().map(ServerName::as_str).collect::<Vec<_>>().join(",");
        let payload = format!("{}o{joined}", other.as_simple());
        assert_eq!(parse(&payload, own), Some(Wake::Outboxes(names)));
        assert_eq!(parse(&format!("{}o", other.as_simple()), own), Some(Wake::Missed));
        let longest = 32 + 1 + (MAX_IDS * 32).max(MAX_NAMES * (253 + 1));
        assert!(longest < 8_000);
    }
}
